//! What the test part shows: a sentence in words and counts, then the table, n in every row.

use care_data::{Class, Project, RunState};
use care_learn::ModelRole;
use care_learn::event::Results;
use care_learn::metrics::{Estimate, McNemar, Summary};
use egui::{
    Align2, FontId, Frame, Margin, Pos2, Rangef, Rect, RichText, Role, Sense, Stroke, Ui,
    WidgetInfo, pos2, vec2,
};

use super::cases::Cases;
use crate::format;
use crate::training::{Phase, TrainingRun};
use crate::ui::icons;
use crate::ui::tokens::{self, Tokens, size};
use crate::ui::widgets::{class_dot, elided};

/// With fewer rare test images than this, the room warns.
const FEW: u32 = 10;

/// The sentence and what to be careful about.
pub(super) fn sentence_ui(ui: &mut Ui, project: &Project, run: &TrainingRun, results: &Results) {
    let t = Tokens::of(ui);
    let (heading, detail) = sentence(project, results);
    ui.spacing_mut().item_spacing.y = 4.0;
    ui.add(
        egui::Label::new(
            RichText::new(heading)
                .text_style(egui::TextStyle::Heading)
                .color(t.text_strong),
        )
        .wrap(),
    );
    ui.scope(|ui| {
        ui.set_max_width(size::TEXT_MAX.min(ui.available_width()));
        ui.add(egui::Label::new(RichText::new(detail).color(t.text)).wrap());
        for caution in cautions(project, run, results) {
            ui.horizontal_top(|ui| {
                ui.label(
                    RichText::new(icons::WARNING)
                        .font(tokens::icon(size::ICON))
                        .color(t.warning),
                );
                ui.add(egui::Label::new(RichText::new(caution).color(t.text)).wrap());
            });
        }
    });
}

fn estimate_of(
    results: &Results,
    role: ModelRole,
    of: fn(&Summary) -> Option<Estimate>,
) -> Option<Estimate> {
    results.summary(role).and_then(of)
}

/// The classes marked rare, where the run's own figures are about these; a mark changed since makes them be about
/// others.
fn rare_class<'a>(project: &'a Project, summary: &Summary) -> Option<&'a Class> {
    let mut rare = project
        .classes()
        .iter()
        .enumerate()
        .filter(|(_, class)| class.rare);
    let (index, class) = rare.next()?;
    let its_own = summary.recalls.get(index).copied().flatten();
    (rare.next().is_none() && its_own == summary.rare_recall).then_some(class)
}

/// The heading and the line under it.
fn sentence(project: &Project, results: &Results) -> (String, String) {
    let rare = |role| estimate_of(results, role, |summary| summary.rare_recall);
    let whose = results
        .summaries
        .first()
        .and_then(|(_, summary)| rare_class(project, summary))
        .map_or("of rare classes".to_owned(), |class| {
            format!("of {}", class.name)
        });
    let of = |n: u32| match n {
        1 => format!("The one test image {whose}"),
        n => format!("Of {} test images {whose}", format::count(n as usize)),
    };
    let (care, control) = (rare(ModelRole::Care), rare(ModelRole::Control));
    if let (Some(care), Some(control)) = (care, control) {
        let heading = format!(
            "{}, CARE recognises {}, the control {}.",
            of(care.n),
            recognised(care),
            recognised(control)
        );
        let gain = care.value - control.value;
        let detail = results
            .rare_difference
            .map_or_else(String::new, |difference| {
                difference_in_words(gain, difference)
            });
        return (heading, detail);
    }
    if let Some(before) = rare(ModelRole::Before) {
        return (
            format!(
                "{}, the model before CARE recognises {}.",
                of(before.n),
                recognised(before)
            ),
            "The run was stopped before stage 2, so there is no CARE to compare it with."
                .to_owned(),
        );
    }
    (
        "No test image is of a rare class.".to_owned(),
        "So this run cannot show what CARE does for one. Mark the rare class in Images, or add images of it, and train again."
            .to_owned(),
    )
}

/// How many images were recognised.
fn recognised(recall: Estimate) -> String {
    format::count((recall.value * f64::from(recall.n)).round() as usize)
}

fn difference_in_words(gain: f64, difference: McNemar) -> String {
    let what = match Verdict::of(difference) {
        Verdict::Higher(_) => format!("Recall higher by {}", format::plain(gain.abs())),
        Verdict::Lower(_) => format!("Recall lower by {}", format::plain(gain.abs())),
        Verdict::NoDifference => "No detectable difference in recall".to_owned(),
    };
    format!(
        "{what}: only CARE is right on {}, only the control on {}. McNemar\u{2019}s exact test: {}.",
        difference.second_only,
        difference.first_only,
        // Never broken over two lines.
        format::p_value(difference.p).replace(' ', "\u{a0}")
    )
}

/// What makes the figures worth less than they look.
fn cautions(project: &Project, run: &TrainingRun, results: &Results) -> Vec<String> {
    let mut cautions = Vec::new();
    if run.phase == Phase::Ended(RunState::Stopped) {
        cautions.push(format!(
            "Run {} was stopped early: its models had not learned all that they were to.",
            run.id
        ));
    }
    let Some((_, summary)) = results.summaries.first() else {
        return cautions;
    };
    let classes = project.classes().iter().zip(&summary.recalls);
    for (class, recall) in classes.filter(|(class, _)| class.rare) {
        let few = match recall {
            None => format!(
                "No test image is of {}: its recall cannot be measured.",
                class.name
            ),
            Some(recall) if recall.n < FEW => format!(
                "Only {} of {}: one image moves the recall by {:.2}, and the intervals are wide. More test images would tell more.",
                format::plural(recall.n as usize, "test image", "test images"),
                class.name,
                1.0 / f64::from(recall.n)
            ),
            Some(_) => continue,
        };
        cautions.push(few);
    }
    cautions
}

/// What McNemar's test says, in a word.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Higher(f64),
    Lower(f64),
    NoDifference,
}

impl Verdict {
    fn of(difference: McNemar) -> Self {
        match difference.p < format::SIGNIFICANCE {
            true if difference.second_only > difference.first_only => Self::Higher(difference.p),
            true => Self::Lower(difference.p),
            false => Self::NoDifference,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Higher(p) => format!("higher, {}", format::p_value(p)),
            Self::Lower(p) => format!("lower, {}", format::p_value(p)),
            Self::NoDifference => "no detectable difference".to_owned(),
        }
    }
}

/// What the last column says of CARE against the control.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Against {
    Tested(Verdict),
    /// CARE's value less the control's, untested.
    Gain(f64),
    /// Why there is nothing to say.
    Nothing(&'static str),
}

struct Row {
    name: String,
    /// The class's colour, where the row is about one.
    color: Option<u32>,
    rare: bool,
    /// Before, control, CARE.
    values: [Option<Estimate>; 3],
    /// Whether each image counts as 0 or 1, so that the value is a number of images.
    counts: bool,
    against: Against,
}

impl Row {
    fn n(&self) -> u32 {
        self.values
            .iter()
            .flatten()
            .next()
            .map_or(0, |estimate| estimate.n)
    }

    /// The whole row in words, for those who hear it.
    fn spoken(&self) -> String {
        let mut text = format!("{}, n {}", self.name, self.n());
        for (role, estimate) in ModelRole::ALL.iter().zip(&self.values) {
            if let Some(estimate) = estimate {
                let interval = interval(estimate, self.counts);
                text.push_str(&format!(
                    ", {} {:.2} ({interval})",
                    role.name(),
                    estimate.value
                ));
            }
        }
        match self.against {
            Against::Tested(verdict) => text.push_str(&format!(", {}", verdict.text())),
            Against::Gain(gain) => text.push_str(&format!(", {}", format::signed(gain))),
            Against::Nothing(why) => text.push_str(&format!(", {why}")),
        }
        text
    }
}

/// The interval, or how many of how many where all images are alike.
fn interval(estimate: &Estimate, counts: bool) -> String {
    if counts && (estimate.value <= 0.0 || estimate.value >= 1.0) {
        let n = format::count(estimate.n as usize);
        let all = if estimate.value >= 1.0 { &n } else { "0" };
        format!("{all} of {n}")
    } else {
        format!("{:.2}\u{2013}{:.2}", estimate.low, estimate.high)
    }
}

/// Rare classes first, then the others, then what is measured over all.
fn rows(project: &Project, results: &Results, cases: &Cases) -> Vec<Row> {
    let values = |of: &dyn Fn(&Summary) -> Option<Estimate>| {
        ModelRole::ALL.map(|role| results.summary(role).and_then(of))
    };
    let gain = |values: &[Option<Estimate>; 3], why: &'static str| match values {
        [_, Some(control), Some(care)] => Against::Gain(care.value - control.value),
        [None, None, None] => Against::Nothing(why),
        _ => Against::Nothing(""),
    };
    let class_row = |(index, class): (usize, &Class)| {
        let values = values(&|summary| summary.recalls.get(index).copied().flatten());
        let against = match cases.differences.get(index).copied().flatten() {
            Some(difference) => Against::Tested(Verdict::of(difference)),
            None => gain(&values, "no test images"),
        };
        Row {
            name: class.name.clone(),
            color: Some(class.color),
            rare: class.rare,
            values,
            counts: true,
            against,
        }
    };
    let classes = || project.classes().iter().enumerate();
    let mut rows: Vec<Row> = classes()
        .filter(|(_, class)| class.rare)
        .chain(classes().filter(|(_, class)| !class.rare))
        .map(class_row)
        .collect();
    if classes().filter(|(_, class)| class.rare).count() > 1 {
        let values = values(&|summary| summary.rare_recall);
        let against = match results.rare_difference {
            Some(difference) => Against::Tested(Verdict::of(difference)),
            None => gain(&values, "no test images"),
        };
        rows.push(Row {
            name: "all rare classes".to_owned(),
            color: None,
            rare: false,
            values,
            counts: true,
            against,
        });
    }
    type Measure = (
        &'static str,
        bool,
        &'static str,
        fn(&Summary) -> Option<Estimate>,
    );
    let measures: [Measure; 3] = [
        ("MCA", true, "no test images", |summary| summary.mca),
        (
            "energy in the box",
            false,
            "no boxes on rare test images",
            |summary| summary.energy,
        ),
        (
            "pointing hit",
            true,
            "no boxes on rare test images",
            |summary| summary.pointing_hit,
        ),
    ];
    rows.extend(measures.map(|(name, counts, why, of)| {
        let values = values(&of);
        Row {
            name: name.to_owned(),
            color: None,
            rare: false,
            against: gain(&values, why),
            values,
            counts,
        }
    }));
    rows
}

/// Where the columns stand, in points.
struct Columns {
    name: Rangef,
    /// Right edges.
    n: f32,
    roles: [f32; 3],
    /// Empty where there is no room for it.
    strip: Rangef,
    against: Rangef,
    /// The interval stands under the value, where there is no room beside it.
    stacked: bool,
    row_height: f32,
}

impl Columns {
    fn over(rect: Rect) -> Self {
        const N: f32 = 36.0;
        /// "no detectable difference" and the space before it.
        const AGAINST: f32 = 166.0;
        let stacked = rect.width() < 760.0;
        let (role, gap, strip) = match rect.width() {
            760.0.. => (116.0, 20.0, 80.0),
            600.0.. => (68.0, 12.0, 72.0),
            // The smallest window: the figures say it alone.
            _ => (68.0, 0.0, 0.0),
        };
        let name = rect.width() - N - 3.0 * role - gap - strip - AGAINST;
        // A wide window gives to long names first, then to the verdict.
        let name = name.clamp(112.0, 220.0);
        let n = rect.left() + name + N;
        let roles = [1.0, 2.0, 3.0].map(|place| n + place * role);
        let strip = Rangef::new(roles[2] + gap, roles[2] + gap + strip);
        Self {
            name: Rangef::new(rect.left() + 8.0, rect.left() + name),
            n,
            roles,
            strip,
            against: Rangef::new(strip.max + 12.0, rect.right()),
            stacked,
            row_height: 36.0,
        }
    }
}

/// The table of recalls, mean class accuracy and attention.
pub(super) fn table_ui(ui: &mut Ui, project: &Project, results: &Results, cases: &Cases) {
    let t = Tokens::of(ui);
    ui.spacing_mut().item_spacing.y = 0.0;
    let (head, _) = ui.allocate_exact_size(vec2(ui.available_width(), 28.0), Sense::hover());
    let columns = Columns::over(head);
    head_ui(ui, head, &columns);
    let rows = rows(project, results, cases);
    for row in &rows {
        row_ui(ui, row, &columns);
    }
    let chosen = if rows.iter().filter(|row| row.rare).count() > 1 {
        "the rare classes were"
    } else {
        "the rare class was"
    };
    Frame::new()
        .inner_margin(Margin { left: 8, right: 8, top: 8, bottom: 0 })
        .show(ui, |ui| {
            ui.set_max_width(size::TEXT_MAX.min(ui.available_width()));
            let note = format!(
                "95 % bootstrap intervals. Only {chosen} chosen beforehand; read the other tests with care. One seed."
            );
            let note = RichText::new(note).text_style(tokens::caption()).color(t.text_weak);
            ui.add(egui::Label::new(note).wrap());
        });
}

fn head_ui(ui: &Ui, rect: Rect, columns: &Columns) {
    let t = Tokens::of(ui);
    let y = rect.center().y;
    let text = |x: f32, align: Align2, text: &str, ink| {
        ui.painter()
            .text(pos2(x, y), align, text, tokens::medium(12.0), ink);
    };
    text(columns.name.min, Align2::LEFT_CENTER, "recall", t.text_weak);
    text(columns.n, Align2::RIGHT_CENTER, "n", t.text_weak);
    for (role, x) in ModelRole::ALL.into_iter().zip(columns.roles) {
        text(x, Align2::RIGHT_CENTER, role.name(), t.role(role));
    }
    if columns.strip.span() > 0.0 {
        let axis = axis(columns);
        text(axis.min, Align2::CENTER_CENTER, "0", t.text_weak);
        text(axis.max, Align2::CENTER_CENTER, "1", t.text_weak);
    }
    text(
        columns.against.min,
        Align2::LEFT_CENTER,
        "CARE against control",
        t.text_weak,
    );
}

/// Where 0 and 1 stand in the strip.
fn axis(columns: &Columns) -> Rangef {
    columns.strip.shrink(4.0)
}

fn row_ui(ui: &mut Ui, row: &Row, columns: &Columns) {
    let t = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(
        vec2(ui.available_width(), columns.row_height),
        Sense::hover(),
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Row, true, row.spoken()));
    let painter = ui.painter().clone();
    if row.rare {
        painter.rect_filled(rect, 0.0, t.raised);
    }
    painter.hline(rect.x_range(), rect.top() + 0.5, Stroke::new(1.0, t.stroke));
    let y = rect.center().y;
    if let Some(color) = row.color {
        class_dot(&painter, t, pos2(columns.name.min + 4.0, y), color);
    }
    let font = if row.rare {
        tokens::semibold(13.0)
    } else {
        FontId::proportional(13.0)
    };
    let name = elided(
        ui.painter(),
        &row.name,
        font,
        t.text_strong,
        columns.name.span() - 16.0,
    );
    let at = pos2(columns.name.min + 16.0, y - name.size().y / 2.0);
    painter.galley(at, name, t.text_strong);
    painter.text(
        pos2(columns.n, y),
        Align2::RIGHT_CENTER,
        format::count(row.n() as usize),
        FontId::proportional(13.0),
        t.text_weak,
    );
    for ((role, x), estimate) in ModelRole::ALL
        .into_iter()
        .zip(columns.roles)
        .zip(&row.values)
    {
        if let Some(estimate) = estimate {
            let bold = row.rare && role == ModelRole::Care;
            estimate_ui(
                ui,
                pos2(x, y),
                role,
                estimate,
                row.counts,
                bold,
                columns.stacked,
            );
        }
    }
    if columns.strip.span() > 0.0 {
        strip_ui(ui, rect, row, columns);
    }
    let (text, font, ink) = match row.against {
        Against::Tested(verdict @ (Verdict::Higher(_) | Verdict::Lower(_))) => {
            (verdict.text(), tokens::medium(13.0), t.text_strong)
        }
        Against::Tested(Verdict::NoDifference) => (
            Verdict::NoDifference.text(),
            FontId::proportional(13.0),
            t.text_weak,
        ),
        Against::Gain(gain) => (
            format::signed(gain),
            FontId::proportional(13.0),
            t.text_strong,
        ),
        Against::Nothing(why) => (why.to_owned(), FontId::proportional(13.0), t.text_weak),
    };
    let galley = elided(ui.painter(), &text, font, ink, columns.against.span());
    painter.galley(
        pos2(columns.against.min, y - galley.size().y / 2.0),
        galley,
        ink,
    );
}

/// A value with its interval, its right edge at `at`.
fn estimate_ui(
    ui: &Ui,
    at: Pos2,
    role: ModelRole,
    estimate: &Estimate,
    counts: bool,
    bold: bool,
    stacked: bool,
) {
    let t = Tokens::of(ui);
    let font = if bold {
        tokens::semibold(13.0)
    } else {
        tokens::medium(13.0)
    };
    let ink = if role == ModelRole::Care {
        t.text_strong
    } else {
        t.text
    };
    let value = format!("{:.2}", estimate.value);
    let interval = interval(estimate, counts);
    let (value_at, interval_at, size) = if stacked {
        (at - vec2(0.0, 7.0), at + vec2(0.0, 8.0), 11.0)
    } else {
        (at - vec2(66.0, 0.0), at, 12.0)
    };
    ui.painter()
        .text(value_at, Align2::RIGHT_CENTER, value, font, ink);
    ui.painter().text(
        interval_at,
        Align2::RIGHT_CENTER,
        interval,
        FontId::proportional(size),
        t.text_weak,
    );
}

/// A point with its whisker for each model, on 0..=1.
fn strip_ui(ui: &Ui, rect: Rect, row: &Row, columns: &Columns) {
    let t = Tokens::of(ui);
    let painter = ui.painter();
    let axis = axis(columns);
    let x = |share: f64| egui::lerp(axis.min..=axis.max, share.clamp(0.0, 1.0) as f32);
    for share in [0.0, 0.5, 1.0] {
        painter.vline(
            x(share).round() + 0.5,
            rect.y_range(),
            Stroke::new(1.0, t.stroke),
        );
    }
    for (place, (role, estimate)) in ModelRole::ALL.into_iter().zip(&row.values).enumerate() {
        let Some(estimate) = estimate else { continue };
        let y = rect.top() + rect.height() * (place + 1) as f32 / 4.0;
        let ink = t.role(role);
        painter.hline(x(estimate.low)..=x(estimate.high), y, Stroke::new(1.5, ink));
        painter.circle_filled(pos2(x(estimate.value), y), 3.0, ink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, n: u32) -> Estimate {
        Estimate {
            value,
            n,
            low: value - 0.05,
            high: value + 0.05,
        }
    }

    #[test]
    fn a_difference_is_claimed_only_where_the_test_shows_one() {
        for (first_only, second_only, p, gain, expected) in [
            (
                0,
                36,
                2.9e-11,
                0.6,
                "Recall higher by 0.60: only CARE is right on 36",
            ),
            (
                9,
                1,
                0.021,
                -0.13,
                "Recall lower by 0.13: only CARE is right on 1",
            ),
            (
                2,
                5,
                0.45,
                0.05,
                "No detectable difference in recall: only CARE is right on 5",
            ),
        ] {
            let difference = McNemar {
                n: 60,
                first_only,
                second_only,
                p,
            };
            let words = difference_in_words(gain, difference);
            assert!(words.starts_with(expected), "{words}");
            assert!(
                words.replace('\u{a0}', " ").contains(&format::p_value(p)),
                "{words}"
            );
        }
    }

    #[test]
    fn where_all_images_are_alike_there_is_no_interval() {
        for (value, counts, expected) in [
            (1.0, true, "60 of 60"),
            (0.0, true, "0 of 60"),
            (0.5, true, "0.45\u{2013}0.55"),
            (0.5, false, "0.45\u{2013}0.55"),
        ] {
            assert_eq!(interval(&estimate(value, 60), counts), expected);
        }
    }
}
