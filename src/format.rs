//! Numbers and times as people read them (look.md, "Words").

use std::path::Path;

use care_data::export::Exported;
use care_data::{Annotation, Look, NotRead, Origin, Reader, Window, Windowing};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// "2 min 15 s", "48 s", "1 h 5 min".
#[must_use]
pub fn duration(seconds: f32) -> String {
    let s = seconds.max(0.0).round() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// No grouping below 10 000, then thin spaces.
#[must_use]
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let first = digits.len() % 3;
    let mut out = digits[..first].to_owned();
    for (i, digit) in digits[first..].chars().enumerate() {
        if i % 3 == 0 && !out.is_empty() {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}

/// Two decimals with a true minus; zero without a sign.
#[must_use]
pub fn signed(value: f64) -> String {
    let text = format!("{:.2}", value.abs());
    if text == "0.00" {
        text
    } else if value < 0.0 {
        format!("\u{2212}{text}")
    } else {
        format!("+{text}")
    }
}

/// Two decimals, a true minus, no plus.
#[must_use]
pub fn plain(value: f64) -> String {
    signed(value).trim_start_matches('+').to_owned()
}

/// Two digits and a power of ten, with a true minus: "3.1e-5"; zero as "0".
#[must_use]
pub fn scientific(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    format!("{value:.1e}").replace('-', "\u{2212}")
}

/// "1 image", "12 images".
#[must_use]
pub fn plural(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Through what grey images are seen: "all values", "center 40, width 400, inverted".
#[must_use]
pub fn look(look: Look) -> String {
    let window = match look.windowing {
        Windowing::File => "each file's own window".to_owned(),
        Windowing::Auto => "percentiles 1 to 99 of each image".to_owned(),
        Windowing::Full => "all values".to_owned(),
        Windowing::Fixed(Window { center, width }) => format!("center {center}, width {width}"),
    };
    let inverted = if look.invert { ", inverted" } else { "" };
    format!("{window}{inverted}")
}

/// "today", then the weekday, then "12 March", and with the year where that is another. `then` in Unix seconds.
#[must_use]
pub fn day(then: i64, now: &Zoned) -> String {
    let Ok(then) = Timestamp::from_second(then) else {
        return String::new();
    };
    let (then, today) = (then.to_zoned(now.time_zone().clone()).date(), now.date());
    let format = match (today - then).get_days() {
        0 => return "today".to_owned(),
        1..7 => "%A",
        _ if then.year() == today.year() => "%-d %B",
        _ => "%-d %B %Y",
    };
    then.strftime(format).to_string()
}

/// Where a box comes from, from whom and when: "Drawn by ada, 12 March 2026, 14:02".
#[must_use]
pub fn made(annotation: &Annotation, reader: Option<&Reader>, zone: TimeZone) -> String {
    let Annotation { by, at, origin, .. } = annotation;
    let by = reader.map_or(by, |reader| &reader.name);
    let what = match origin {
        Origin::Drawn => "Drawn",
        Origin::Imported => "Imported",
        Origin::Attention => "Suggested by a model's attention, accepted",
        Origin::Saliency => "Suggested by the picture's saliency, accepted",
        Origin::Readers => "Taken over from readers",
    };
    let mut words = what.to_owned();
    if !by.is_empty() {
        words += &format!(" by {by}");
    }
    if let (true, Ok(at)) = (*at > 0, Timestamp::from_millisecond(*at)) {
        words += &at.to_zoned(zone).strftime(", %-d %B %Y, %H:%M").to_string();
    }
    words
}

/// What was written, and what the format had no room for.
#[must_use]
pub fn exported(exported: Exported, to: &Path) -> (String, Vec<String>) {
    let words = format!(
        "{} with {} written to {}",
        plural(exported.images, "image", "images"),
        plural(exported.boxes, "box", "boxes"),
        to.display()
    );
    let mut notes = Vec::new();
    if exported.rounded > 0 {
        let boxes = plural(exported.rounded, "box", "boxes");
        notes.push(format!("the edges of {boxes} were rounded to whole pixels"));
    }
    if exported.without_class > 0 {
        let images = plural(exported.without_class, "image", "images");
        notes.push(format!(
            "{images} without a box have no class in this format"
        ));
    }
    (words, notes)
}

/// One line for a file that was left out.
#[must_use]
pub fn not_read(file: &NotRead) -> String {
    format!("{}: {} {}", file.path.display(), file.why, file.advice)
}

/// A test below this is said to show a difference.
pub const SIGNIFICANCE: f64 = 0.05;

/// "p < 0.001", "p = 0.012", "p = 0.45".
#[must_use]
pub fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".to_owned(),
        p if p < 0.1 => format!("p = {p:.3}"),
        p => format!("p = {p:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, expected) in [
            (0.4, "0 s"),
            (48.0, "48 s"),
            (60.0, "1 min"),
            (135.2, "2 min 15 s"),
            (3600.0, "1 h"),
            (3900.0, "1 h 5 min"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn days_are_named_from_today() {
        let now: Zoned = "2026-03-20T00:30:00+01:00[Europe/Berlin]".parse().unwrap();
        for (then, expected) in [
            ("2026-03-20T00:10:00+01:00", "today"),
            ("2026-03-19T23:50:00+01:00", "Thursday"),
            ("2026-03-14T12:00:00+01:00", "Saturday"),
            ("2026-03-12T12:00:00+01:00", "12 March"),
            ("2025-11-02T12:00:00+01:00", "2 November 2025"),
        ] {
            let then: Timestamp = then.parse().unwrap();
            assert_eq!(day(then.as_second(), &now), expected);
        }
    }

    #[test]
    fn counts_are_grouped_from_ten_thousand_on() {
        for (n, expected) in [
            (0, "0"),
            (9999, "9999"),
            (10_015, "10\u{2009}015"),
            (100_000, "100\u{2009}000"),
            (1_234_567, "1\u{2009}234\u{2009}567"),
        ] {
            assert_eq!(count(n), expected);
        }
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(signed(-0.001), "0.00");
        assert_eq!(signed(-0.17), "\u{2212}0.17");
        assert_eq!(signed(0.81), "+0.81");
        assert_eq!(plain(0.81), "0.81");
        assert_eq!(scientific(0.0), "0");
        assert_eq!(scientific(-3.14e-5), "\u{2212}3.1e\u{2212}5");
    }

    #[test]
    fn probabilities_are_given_as_papers_do() {
        for (p, expected) in [
            (1e-9, "p < 0.001"),
            (0.0123, "p = 0.012"),
            (0.049, "p = 0.049"),
            (0.45, "p = 0.45"),
            (1.0, "p = 1.00"),
        ] {
            assert_eq!(p_value(p), expected);
        }
    }
}
