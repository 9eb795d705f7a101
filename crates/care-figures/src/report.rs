//! A run as one HTML file that opens offline: it refers to nothing outside itself. Every text is escaped.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::figure::{Ink, Number, Text, Theme, clean, fitted, text};
use crate::table::{Kind, Table};

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub name: String,
    /// A CSS colour.
    pub color: String,
    pub is_dashed: bool,
    /// Epoch and value, in order.
    pub points: Vec<[f64; 2]>,
}

/// Curves over the same epochs.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    pub title: String,
    /// The values' range; from the lines where none.
    pub range: Option<[f64; 2]>,
    pub lines: Vec<Line>,
    /// The epoch at which stage 2 began.
    pub stage_two: Option<f64>,
}

/// What a report says, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    pub title: String,
    pub subtitle: String,
    /// What was found, in a sentence.
    pub finding: String,
    pub cautions: Vec<String>,
    /// How many images of what stand where.
    pub data: Vec<Table>,
    pub data_note: String,
    pub plots: Vec<Plot>,
    /// A figure as an SVG document of this program, and what it shows.
    pub figure: Option<(String, String)>,
    pub tables: Vec<Table>,
    /// As they stand in the run's file.
    pub settings: String,
    /// Names and versions.
    pub versions: Vec<(String, String)>,
}

const STYLE: &str = "
:root{color-scheme:light;--text:#12151a;--weak:#5c6573;--line:#d5d9e0;--panel:#f7f8fa;--warn:#8a5a00}
*{box-sizing:border-box}
body{margin:0 auto;max-width:960px;padding:40px 24px 80px;background:#fff;color:var(--text);font:15px/1.55 'CARE Sans',Inter,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}
h1{font-size:28px;line-height:1.25;margin:0}h2{font-size:19px;margin:48px 0 12px;padding-top:16px;border-top:1px solid var(--line)}
p{max-width:640px}.weak{color:var(--weak)}.finding{font-size:18px;font-weight:600}
.caution{border-left:3px solid var(--warn);background:var(--panel);padding:8px 16px;margin:16px 0}.caution ul{margin:0;padding-left:18px}
table{border-collapse:collapse;margin:12px 0 4px;font-size:13px;font-variant-numeric:tabular-nums;width:100%}
caption{text-align:left;font-weight:600;font-size:14px;padding:8px 0}
th{font-weight:500;color:var(--weak);text-align:left;border-bottom:1px solid var(--text);vertical-align:bottom}td{border-bottom:1px solid var(--line)}
th,td{padding:5px 10px 5px 0}.r{text-align:right}.scroll{overflow-x:auto}
figure{margin:16px 0}figure>svg{width:100%;height:auto;display:block;border:1px solid var(--line)}figcaption{color:var(--weak);font-size:13px;margin-top:8px;max-width:640px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:16px}.plots svg{width:100%;height:auto}
pre{background:var(--panel);border:1px solid var(--line);padding:12px 16px;font:12px/1.5 ui-monospace,Menlo,Consolas,monospace;overflow-x:auto}
footer{margin-top:56px;color:var(--weak);font-size:13px}
@media print{body{padding:0}h2{break-after:avoid}figure,table{break-inside:avoid}}
";

impl Report {
    /// The whole page.
    #[must_use]
    pub fn html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en-GB" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    // It could not reach anything even if a name in it tried.
                    meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1 { (self.title) }
                    p.weak { (self.subtitle) }
                    p.finding { (self.finding) }
                    div.caution { ul { @for caution in &self.cautions { li { (caution) } } } }
                    h2 { "Data and split" }
                    @for table in &self.data { (table_of(table)) }
                    p.weak { (self.data_note) }
                    @if !self.plots.is_empty() {
                        h2 { "Training" }
                        div.plots { @for plot in &self.plots { (plot_of(plot)) } }
                    }
                    @if let Some((svg, caption)) = &self.figure {
                        h2 { "Model attention on held-out images" }
                        figure { (PreEscaped(svg)) figcaption { (caption) } }
                    }
                    h2 { "Results" }
                    @for table in &self.tables { (table_of(table)) }
                    h2 { "Settings" }
                    pre { (self.settings) }
                    h2 { "Versions" }
                    ul { @for (name, version) in &self.versions { li { (name) " " (version) } } }
                    footer { "Research software. Not for diagnosis. This file refers to nothing outside itself." }
                }
            }
        };
        page.into_string()
    }
}

fn table_of(table: &Table) -> Markup {
    let class = |kind: Kind| (kind == Kind::Numbers).then_some("r");
    html! {
        div.scroll { table {
            caption { (table.name) }
            thead { tr { @for (name, kind) in &table.columns { th class=[class(*kind)] { (name) } } } }
            tbody { @for row in &table.rows { tr {
                @for (value, (_, kind)) in row.iter().zip(&table.columns) { td class=[class(*kind)] { (value.shown()) } }
            } } }
        } }
        @if !table.note.is_empty() { p.weak { (table.note) } }
    }
}

const WIDTH: f32 = 300.0;
const HEIGHT: f32 = 190.0;

/// One plot with its axes; each line's name stands at its end.
fn plot_of(plot: &Plot) -> Markup {
    let ink: Ink = Theme::Light.ink();
    let all = || plot.lines.iter().flat_map(|line| &line.points);
    let last = all().map(|[x, _]| *x).fold(1.0_f64, f64::max);
    let [low, high] = plot.range.unwrap_or_else(|| {
        let high = all().map(|[_, y]| *y).fold(f64::MIN, f64::max);
        let low = all().map(|[_, y]| *y).fold(f64::MAX, f64::min).min(0.0);
        [low, if high > low { high } else { low + 1.0 }]
    });
    let (left, right, top, bottom) = (32.0, WIDTH - 62.0, 26.0, HEIGHT - 26.0);
    let x = |epoch: f64| left + (right - left) * (epoch / last) as f32;
    let y = |value: f64| bottom - (bottom - top) * ((value - low) / (high - low)) as f32;
    let mut ends: Vec<(f32, &Line)> = plot
        .lines
        .iter()
        .filter_map(|line| Some((y(line.points.last()?[1]), line)))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    for i in 1..ends.len() {
        ends[i].0 = ends[i].0.max(ends[i - 1].0 + 10.0);
    }
    html! {
        svg viewBox={"0 0 " (Number(WIDTH)) " " (Number(HEIGHT))} role="img" aria-label=(plot.title) {
            (text([0.0, 12.0], 12.0, ink.strong, &plot.title, Text::Strong))
            @if let Some(stage_two) = plot.stage_two {
                rect x=(Number(left)) y=(Number(top)) width=(Number(x(stage_two) - left)) height=(Number(bottom - top)) fill="#f0f1f4" {}
            }
            @for value in [low, f64::midpoint(low, high), high] {
                line x1=(Number(left)) x2=(Number(right)) y1=(Number(y(value))) y2=(Number(y(value))) stroke="#d5d9e0" {}
                (text([left - 4.0, y(value) + 3.5], 10.0, ink.weak, &format!("{value:.2}"), Text::Right))
            }
            (text([left, bottom + 14.0], 10.0, ink.weak, "0", Text::Middle))
            (text([right, bottom + 14.0], 10.0, ink.weak, &format!("{last:.0}"), Text::Middle))
            (text([(left + right) / 2.0, bottom + 14.0], 10.0, ink.weak, "epoch", Text::Middle))
            @for line in &plot.lines {
                @let points: String = line.points.iter().map(|[e, v]| format!("{},{} ", Number(x(*e)).text(), Number(y(*v)).text())).collect();
                polyline points=(points.trim_end()) fill="none" stroke=(clean(&line.color)) stroke-width="1.75"
                    stroke-dasharray=[line.is_dashed.then_some("5 3")] {}
            }
            @for (at, line) in &ends {
                @let value = line.points.last().map_or(0.0, |[_, v]| *v);
                (text([right + 4.0, at + 3.5], 10.0, &clean(&line.color), &fitted(&format!("{} {value:.2}", line.name), 62.0, 10.0), Text::Plain))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Value;

    #[test]
    fn names_stay_text_and_nothing_outside_is_referred_to() {
        let evil = "<script>alert(1)</script> & \"q\"";
        let report = Report {
            title: evil.to_owned(),
            finding: evil.to_owned(),
            cautions: vec![evil.to_owned()],
            tables: vec![Table {
                name: evil.to_owned(),
                columns: vec![(evil.to_owned(), Kind::Numbers)],
                rows: vec![vec![Value::Text(evil.to_owned())]],
                note: evil.to_owned(),
            }],
            plots: vec![Plot {
                title: evil.to_owned(),
                range: None,
                lines: vec![Line {
                    name: "CARE".to_owned(),
                    color: "#3f4bd3".to_owned(),
                    is_dashed: false,
                    points: vec![[1.0, 0.25], [2.0, 0.75]],
                }],
                stage_two: Some(1.0),
            }],
            settings: evil.to_owned(),
            ..Report::default()
        };
        let page = report.html();
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 11);
        for reference in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(reference), "{reference}");
        }
        // The second point: the last epoch, at the top.
        assert!(page.contains("<polyline points=\"135,"), "{page}");
        assert!(page.contains("238,26\""), "{page}");
    }
}
