//! Measures as tables: of a run, and of any weights.

use anyhow::Result;
use care_data::Metric;
use care_learn::metrics::McNemar;

use super::output;
use crate::format;

const NONE: &str = "\u{2013}";

/// A row for each measure and a column for each of `models`. Of how many images a value is stands in a column of its own where
/// it is the same for all models (it is not for those taken for a class), else beside the value.
pub fn table(header: &str, models: &[&str], metrics: &[Metric]) -> Result<()> {
    let mut names: Vec<&str> = Vec::new();
    for metric in metrics {
        if !names.contains(&metric.name.as_str()) {
            names.push(&metric.name);
        }
    }
    let row = |name: &str| {
        let of = |model: &&str| {
            let mut metrics = metrics.iter();
            metrics.find(|m| m.name == name && m.model == *model)
        };
        let mut ns: Vec<u64> = models
            .iter()
            .filter_map(of)
            .map(|metric| metric.n)
            .collect();
        ns.dedup();
        let cell = |model: &&str| {
            let Some(metric) = of(model) else {
                return NONE.to_owned();
            };
            let mut text = format!("{:.2}", metric.value);
            if let Some((low, high)) = metric.low.zip(metric.high) {
                text += &format!(" ({low:.2}\u{2013}{high:.2})");
            }
            if ns.len() > 1 {
                text += &format!(" n {}", metric.n);
            }
            text
        };
        let n = match ns[..] {
            [n] => n.to_string(),
            _ => String::new(),
        };
        let mut row = vec![name.to_owned(), n];
        row.extend(models.iter().map(cell));
        row
    };
    let rows: Vec<Vec<String>> = names.into_iter().map(row).collect();
    let mut columns = vec![header, "n"];
    columns.extend(models);
    output::table(&columns, &rows)
}

/// CARE against its control, in words.
pub fn difference(test: McNemar) -> Result<()> {
    let p = format::p_value(test.p);
    let verdict = if test.p < format::SIGNIFICANCE {
        "differ"
    } else {
        "no detectable difference"
    };
    output::line(&format!(
        "CARE against the control on {} rare test images: right only in CARE {}, only in the control {}; \
         McNemar's exact test {p}: {verdict}",
        test.n, test.second_only, test.first_only
    ))
}
