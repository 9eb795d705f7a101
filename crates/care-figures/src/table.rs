//! Tables for other programs: CSV with every digit, Markdown and LaTeX as a paper prints them.

use std::fmt::Write;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Count(u64),
    /// With so many decimals where people read it.
    Number(f64, usize),
    /// An interval's ends, with so many decimals; two columns in CSV.
    Interval(Option<(f64, f64)>, usize),
    Empty,
}

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Words,
    Numbers,
    Intervals,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows: its name in a file's name, a caption elsewhere.
    pub name: String,
    pub columns: Vec<(String, Kind)>,
    pub rows: Vec<Vec<Value>>,
    /// What has to be said beside it.
    pub note: String,
}

/// What a table is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TableFormat {
    #[default]
    Csv,
    Markdown,
    Latex,
}

impl TableFormat {
    pub const ALL: [Self; 3] = [Self::Csv, Self::Markdown, Self::Latex];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Markdown => "Markdown",
            Self::Latex => "LaTeX",
        }
    }

    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Markdown => "md",
            Self::Latex => "tex",
        }
    }
}

/// Rows that fit a page.
const LONGEST: usize = 40;

impl Value {
    /// As people read it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(n) => n.to_string(),
            Self::Number(value, decimals) => format!("{value:.decimals$}"),
            Self::Interval(Some((low, high)), decimals) => {
                format!("{low:.decimals$}\u{2013}{high:.decimals$}")
            }
            Self::Interval(None, _) | Self::Empty => String::new(),
        }
    }
}

impl Table {
    #[must_use]
    pub fn written(&self, format: TableFormat) -> String {
        match format {
            TableFormat::Csv => self.csv(),
            TableFormat::Markdown => self.markdown(),
            TableFormat::Latex => self.latex(),
        }
    }

    fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let head = self.columns.iter().flat_map(|(name, kind)| match kind {
            Kind::Intervals => vec![format!("{name}, low"), format!("{name}, high")],
            Kind::Words | Kind::Numbers => vec![name.clone()],
        });
        // Writing to memory cannot fail, and every row has the columns' cells.
        let _ = writer.write_record(head.collect::<Vec<_>>());
        for row in &self.rows {
            let cells = row.iter().zip(&self.columns);
            let cells = cells.flat_map(|(value, (_, kind))| match (value, kind) {
                (Value::Interval(Some((low, high)), _), _) => {
                    vec![low.to_string(), high.to_string()]
                }
                (_, Kind::Intervals) => vec![String::new(), String::new()],
                (Value::Number(value, _), _) => vec![value.to_string()],
                (Value::Text(text), _) => vec![harmless(text)],
                (other, _) => vec![other.shown()],
            });
            let _ = writer.write_record(cells.collect::<Vec<_>>());
        }
        let bytes = writer.into_inner().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn markdown(&self) -> String {
        let mut out = format!("**{}**\n\n|", markdown_text(&self.name));
        for (name, _) in &self.columns {
            let _ = write!(out, " {} |", markdown_text(name));
        }
        out.push_str("\n|");
        for (_, kind) in &self.columns {
            out.push_str(if *kind == Kind::Numbers {
                "---:|"
            } else {
                "---|"
            });
        }
        for row in &self.rows {
            out.push_str("\n|");
            for value in row {
                let _ = write!(out, " {} |", markdown_text(&value.shown()));
            }
        }
        out.push('\n');
        if !self.note.is_empty() {
            let _ = write!(out, "\n{}\n", markdown_text(&self.note));
        }
        out
    }

    /// A `table` for the package booktabs; where it is longer than a page, a `longtable`.
    fn latex(&self) -> String {
        let columns: String = self
            .columns
            .iter()
            .map(|(_, kind)| if *kind == Kind::Numbers { 'r' } else { 'l' })
            .collect();
        let head: Vec<String> = self
            .columns
            .iter()
            .map(|(name, _)| latex_text(name))
            .collect();
        let head = format!("\\toprule\n{} \\\\\n\\midrule\n", head.join(" & "));
        let mut caption = latex_text(&self.name);
        if !self.note.is_empty() {
            let _ = write!(caption, ". {}", latex_text(&self.note));
        }
        let is_long = self.rows.len() > LONGEST;
        let mut out = if is_long {
            format!(
                "% needs \\usepackage{{booktabs,longtable}}\n\\begin{{longtable}}{{{columns}}}\n\\caption{{{caption}}} \\\\\n{head}\\endfirsthead\n{head}\\endhead\n\\bottomrule\n\\endfoot\n"
            )
        } else {
            format!(
                "% needs \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\\begin{{tabular}}{{{columns}}}\n{head}"
            )
        };
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|value| latex_text(&value.shown())).collect();
            let _ = writeln!(out, "{} \\\\", cells.join(" & "));
        }
        out.push_str(if is_long {
            "\\end{longtable}\n"
        } else {
            "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
        });
        out
    }
}

/// A name that a spreadsheet would run as a formula, so that it does not.
fn harmless(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

/// Words that people chose, where Markdown would read something into them.
#[must_use]
pub fn markdown_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

fn latex_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => out.extend(['\\', c]),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '\u{2013}' => out.push_str("--"),
            '\u{2212}' => out.push_str("$-$"),
            '\u{2265}' => out.push_str("$\\geq$"),
            '\u{d7}' => out.push_str("$\\times$"),
            c if c.is_control() => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            name: "Results & more".to_owned(),
            columns: vec![
                ("class".to_owned(), Kind::Words),
                ("n".to_owned(), Kind::Numbers),
                ("CARE".to_owned(), Kind::Numbers),
                ("CARE 95 % interval".to_owned(), Kind::Intervals),
            ],
            rows: vec![
                vec![
                    Value::Text("a_b|50 %, {x} \\ ~^ $1 #2 \"q\"".to_owned()),
                    Value::Count(23),
                    Value::Number(0.123_456, 2),
                    Value::Interval(Some((0.05, 0.25)), 2),
                ],
                vec![
                    Value::Text("=1+1".to_owned()),
                    Value::Count(0),
                    Value::Empty,
                    Value::Interval(None, 2),
                ],
            ],
            note: "95 % bootstrap".to_owned(),
        }
    }

    #[test]
    fn csv_keeps_every_digit_and_runs_no_formula() {
        let text = table().written(TableFormat::Csv);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let head: Vec<String> = reader
            .headers()
            .expect("a head")
            .iter()
            .map(str::to_owned)
            .collect();
        assert_eq!(
            head[3..],
            ["CARE 95 % interval, low", "CARE 95 % interval, high"]
        );
        let rows: Vec<csv::StringRecord> =
            reader.records().map(|row| row.expect("a row")).collect();
        assert_eq!(&rows[0][0], "a_b|50 %, {x} \\ ~^ $1 #2 \"q\"");
        assert_eq!(
            [&rows[0][2], &rows[0][3], &rows[0][4]],
            ["0.123456", "0.05", "0.25"]
        );
        assert_eq!([&rows[1][0], &rows[1][2], &rows[1][4]], ["'=1+1", "", ""]);
    }

    #[test]
    fn markdown_and_latex_read_nothing_into_names() {
        let text = table().written(TableFormat::Markdown);
        assert!(
            text.contains("| class | n | CARE | CARE 95 % interval |\n|---|---:|---:|---|\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "| a\\_b\\|50 %, {x} \\\\ ~^ $1 \\#2 \"q\" | 23 | 0.12 | 0.05\u{2013}0.25 |"
            ),
            "{text}"
        );
        let text = table().written(TableFormat::Latex);
        assert!(
            text.contains("\\caption{Results \\& more. 95 \\% bootstrap}"),
            "{text}"
        );
        assert!(
            text.contains("a\\_b|50 \\%, \\{x\\} \\textbackslash{} \\textasciitilde{}\\textasciicircum{} \\$1 \\#2 \"q\" & 23 & 0.12 & 0.05--0.25 \\\\"),
            "{text}"
        );
        assert!(text.contains("\\begin{tabular}{lrrl}"), "{text}");
    }

    #[test]
    fn a_table_longer_than_a_page_breaks_over_pages() {
        for (rows, begins) in [(40, "\\begin{tabular}"), (41, "\\begin{longtable}")] {
            let mut long = table();
            long.rows = vec![long.rows[0].clone(); rows];
            let text = long.written(TableFormat::Latex);
            assert!(text.contains(begins), "{rows}");
            assert_eq!(
                text.matches("\\begin{").count(),
                text.matches("\\end{").count()
            );
            assert_eq!(text.matches("a\\_b").count(), rows);
        }
    }
}
