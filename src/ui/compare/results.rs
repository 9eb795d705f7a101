//! What the test part shows: a sentence in words and counts, then the table, n in every row.

use care_data::RunState;
use care_learn::ModelRole;
use care_learn::metrics::{Estimate, Summary};
use egui::{
    Align2, FontId, Frame, Margin, Pos2, Rangef, Rect, RichText, Role, Sense, Stroke, Ui,
    WidgetInfo, pos2, vec2,
};

use super::cases::{CaseClass, Cases, Model};
use crate::comparison::Measured;
use crate::findings::{self, Facts, Found, RareClass, Verdict};
use crate::format;
use crate::training::{Phase, TrainingRun};
use crate::ui::icons;
use crate::ui::tokens::{self, Tokens, size};
use crate::ui::widgets::{class_dot, elided};

/// What the table's rows of classes are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Measure {
    #[default]
    Recall,
    Precision,
    F1,
    Auroc,
}

impl Measure {
    pub const ALL: [Self; 4] = [Self::Recall, Self::Precision, Self::F1, Self::Auroc];

    pub fn name(self) -> &'static str {
        match self {
            Self::Recall => "Recall",
            Self::Precision => "Precision",
            Self::F1 => "F1",
            Self::Auroc => "AUROC",
        }
    }

    fn of_class(self, summary: &Summary, class: usize) -> Option<Estimate> {
        let estimates = match self {
            Self::Recall => &summary.recalls,
            Self::Precision => &summary.precisions,
            Self::F1 => &summary.f1s,
            Self::Auroc => &summary.aurocs,
        };
        estimates.get(class).copied().flatten()
    }

    fn of_all(self, summary: &Summary) -> Option<Estimate> {
        match self {
            Self::Recall => summary.mca,
            Self::Precision => summary.macro_precision,
            Self::F1 => summary.macro_f1,
            Self::Auroc => summary.macro_auroc,
        }
    }
}

/// Where the run is in the project, and what it came to.
pub(super) struct Told<'a> {
    pub run: &'a TrainingRun,
    pub cases: &'a Cases,
    pub pair: [usize; 2],
    /// None while it is being worked out.
    pub measured: Option<&'a Measured>,
    /// What the shortcut alarm says, in sentences.
    pub alarms: &'a [String],
}

/// The sentence and what to be careful about. True where the alarms are to be shown.
pub(super) fn sentence_ui(ui: &mut Ui, told: &Told<'_>) -> bool {
    let t = Tokens::of(ui);
    let (heading, detail) = sentence(told);
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
        for caution in cautions(told) {
            caution_ui(ui, &caution);
        }
        let mut follow = false;
        if let Some(first) = told.alarms.first() {
            let more = told.alarms.len() - 1;
            let text = match more {
                0 => first.clone(),
                _ => format!("{first} And {} more.", format::count(more)),
            };
            caution_ui(ui, &text);
            let link = RichText::new("See where it looks").color(t.accent);
            follow = ui.link(link).clicked();
        }
        follow
    })
    .inner
}

pub(super) fn caution_ui(ui: &mut Ui, text: &str) {
    let t = Tokens::of(ui);
    ui.horizontal_top(|ui| {
        ui.label(
            RichText::new(icons::WARNING)
                .font(tokens::icon(size::ICON))
                .color(t.warning),
        );
        ui.add(egui::Label::new(RichText::new(text).color(t.text)).wrap());
    });
}

/// The heading and the line under it.
fn sentence(told: &Told<'_>) -> (String, String) {
    let cases = told.cases;
    let mut rare = cases.classes.iter().filter(|class| class.rare);
    let whose = match (rare.next(), rare.next()) {
        (Some(class), None) => format!("of {}", class.name),
        _ => "of rare classes".to_owned(),
    };
    let both = if cases.models.iter().any(|model| model.is_other) {
        " that both runs tested"
    } else {
        ""
    };
    let of = |n: usize| match n {
        1 => format!("The one test image {whose}{both}"),
        n => format!("Of {} test images {whose}{both}", format::count(n)),
    };
    if let Some(found) = found_rare(told).filter(|_| told.pair[0] != told.pair[1]) {
        let [first, second] = told.pair.map(|model| cases.called(model));
        let heading = format!(
            "{}, {second} recognises {}, {first} {}.",
            of(found.test.n as usize),
            format::count(found.right[1]),
            format::count(found.right[0]),
        );
        return (heading, difference_in_words(&found, &first, &second));
    }
    let num_rare = cases
        .all
        .iter()
        .filter(|case| cases.classes[case.label].rare);
    let (n, model) = (num_rare.clone().count(), told.pair[1]);
    if n > 0 && !cases.models.is_empty() {
        let right = num_rare.filter(|case| case.is_right(model) == Some(true));
        return (
            format!(
                "{}, {} recognises {}.",
                of(n),
                cases.called(model).replace("before", "before CARE"),
                format::count(right.count())
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

/// As the run recorded it, where that is what is compared.
fn found_rare(told: &Told<'_>) -> Option<Found> {
    let found = told.cases.found_rare(told.pair)?;
    let roles = told.pair.map(|model| {
        let model = told.cases.models.get(model);
        model.filter(|it| !it.is_other).map(|it| it.role)
    });
    let is_recorded = roles == [Some(ModelRole::Control), Some(ModelRole::Care)];
    let recorded = told.measured.and_then(|measured| measured.recorded);
    Some(Found {
        test: recorded.filter(|_| is_recorded).unwrap_or(found.test),
        ..found
    })
}

fn difference_in_words(found: &Found, first: &str, second: &str) -> String {
    let n = f64::from(found.test.n.max(1));
    let gain = (found.right[1] as f64 - found.right[0] as f64) / n;
    let what = match Verdict::of(found.test) {
        Verdict::Higher(_) => format!("Recall higher by {}", format::plain(gain.abs())),
        Verdict::Lower(_) => format!("Recall lower by {}", format::plain(gain.abs())),
        Verdict::NoDifference => "No detectable difference in recall".to_owned(),
    };
    format!(
        "{what}: only {second} is right on {}, only {first} on {}. McNemar\u{2019}s exact test: {}.",
        found.test.second_only,
        found.test.first_only,
        // Never broken over two lines.
        format::p_value(found.test.p).replace(' ', "\u{a0}")
    )
}

/// What makes the figures worth less than they look.
fn cautions(told: &Told<'_>) -> Vec<String> {
    let (run, cases) = (told.run, told.cases);
    let classes = cases.classes.iter().zip(&cases.counts).zip(&cases.groups);
    let rare = classes
        .filter(|((class, _), _)| class.rare)
        .map(|((class, images), groups)| RareClass {
            name: &class.name,
            images: *images,
            groups: *groups,
        });
    let facts = Facts {
        run: run.id,
        was_stopped: run.phase == Phase::Ended(RunState::Stopped),
        relabelled: cases
            .relabelled
            .map(|n| (run.id, n))
            .into_iter()
            .chain(cases.other_relabelled)
            .collect(),
        // Figures of two runs are all measured anew.
        measured_anew: cases.models.iter().any(|model| model.is_other),
        rare: rare.collect(),
    };
    let why = cases.not_comparable.iter().cloned();
    why.chain(findings::cautions(&facts)).collect()
}

/// What the last column says of the second model against the first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Against {
    Tested(Verdict),
    /// The second model's value less the first's, untested.
    Gain(f64),
    /// Why there is nothing to say.
    Nothing(&'static str),
}

struct Row {
    name: String,
    /// The class's colour, where the row is about one.
    color: Option<u32>,
    rare: bool,
    /// Of each model.
    values: Vec<Option<Estimate>>,
    /// Whether each image counts as 0 or 1, so that the value is a number of images.
    counts: bool,
    against: Against,
    /// That in a sentence, where there is one.
    words: Option<String>,
}

impl Row {
    /// Where it is the same for all models.
    fn n(&self) -> Option<u32> {
        let mut all = self.values.iter().flatten().map(|estimate| estimate.n);
        let first = all.next()?;
        all.all(|n| n == first).then_some(first)
    }

    /// The whole row in words, for those who hear it.
    fn spoken(&self, models: &[Model]) -> String {
        let mut text = self.name.clone();
        if let Some(n) = self.n() {
            text.push_str(&format!(", n {n}"));
        }
        for (model, estimate) in models.iter().zip(&self.values) {
            if let Some(estimate) = estimate {
                let interval = interval(estimate, self.counts);
                text.push_str(&format!(
                    ", {} {:.2} ({interval})",
                    model.name, estimate.value
                ));
                if self.n().is_none() {
                    text.push_str(&format!(", n {}", estimate.n));
                }
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
fn rows(told: &Told<'_>, measure: Measure) -> Vec<Row> {
    let (cases, pair) = (told.cases, told.pair);
    let values = |of: &dyn Fn(&Summary) -> Option<Estimate>| -> Vec<Option<Estimate>> {
        (0..cases.models.len())
            .map(|model| of(told.measured?.summaries.get(model)?.as_ref()?))
            .collect()
    };
    let gain = |values: &[Option<Estimate>], why: &'static str| {
        let [first, second] = pair.map(|model| values.get(model).copied().flatten());
        match (first, second) {
            (Some(first), Some(second)) if pair[0] != pair[1] => {
                Against::Gain(second.value - first.value)
            }
            _ if told.measured.is_some() && values.iter().all(Option::is_none) => {
                Against::Nothing(why)
            }
            _ => Against::Nothing(""),
        }
    };
    let [first, second] = pair.map(|model| cases.called(model));
    let tested = |found: Option<Found>, values: &[Option<Estimate>]| match found {
        Some(found) if measure == Measure::Recall && pair[0] != pair[1] => (
            Against::Tested(Verdict::of(found.test)),
            Some(found.in_words(&first, &second)),
        ),
        _ => (gain(values, "no test images"), None),
    };
    let class_row = |(index, class): (usize, &CaseClass)| {
        let values = values(&|summary| measure.of_class(summary, index));
        let found = cases.found(pair, |label| label == index);
        let (against, words) = tested(found, &values);
        Row {
            name: class.name.clone(),
            color: Some(class.color),
            rare: class.rare,
            values,
            counts: measure == Measure::Recall,
            against,
            words,
        }
    };
    let classes = || cases.classes.iter().enumerate();
    let mut rows: Vec<Row> = classes()
        .filter(|(_, class)| class.rare)
        .chain(classes().filter(|(_, class)| !class.rare))
        .map(class_row)
        .collect();
    let all_rare = classes().filter(|(_, class)| class.rare).count() > 1;
    if all_rare && measure == Measure::Recall {
        let values = values(&|summary| summary.rare_recall);
        let (against, words) = tested(found_rare(told), &values);
        rows.push(Row {
            name: "all rare classes".to_owned(),
            color: None,
            rare: false,
            values,
            counts: true,
            against,
            words,
        });
    }
    let mut measured = |name: &str, counts, why, of: &dyn Fn(&Summary) -> Option<Estimate>| {
        let values = values(of);
        rows.push(Row {
            name: name.to_owned(),
            color: None,
            rare: false,
            against: gain(&values, why),
            values,
            counts,
            words: None,
        });
    };
    let name = if measure == Measure::Recall {
        "MCA"
    } else {
        "mean of the classes"
    };
    measured(name, false, "no test images", &|summary| {
        measure.of_all(summary)
    });
    if measure == Measure::Recall {
        let why = "no boxes on rare test images";
        measured("energy in the box", false, why, &|summary| summary.energy);
        measured("pointing hit", true, why, &|summary| summary.pointing_hit);
        let iou = |summary: &Summary| summary.iou;
        // Runs of before it was measured have none.
        let mut summaries = told
            .measured
            .iter()
            .flat_map(|it| it.summaries.iter().flatten());
        if summaries.any(|summary| summary.iou.is_some()) {
            measured("IoU with the box", false, why, &iou);
        }
    }
    rows
}

/// Where the columns stand, in points.
struct Columns {
    name: Rangef,
    /// Right edges.
    n: f32,
    models: Vec<f32>,
    /// Empty where there is no room for it.
    strip: Rangef,
    against: Rangef,
    /// The interval stands under the value, where there is no room beside it.
    stacked: bool,
    row_height: f32,
}

impl Columns {
    fn over(rect: Rect, num_models: usize) -> Self {
        const N: f32 = 36.0;
        /// "no detectable difference" and the space before it.
        const AGAINST: f32 = 166.0;
        const NAME: f32 = 112.0;
        let of_models = |each: f32| each * num_models as f32;
        let left = |each: f32| rect.width() - N - AGAINST - NAME - of_models(each);
        // Beside its value an interval takes more room.
        let stacked = left(116.0) < 100.0;
        let model = if stacked { 68.0 } else { 116.0 };
        let (gap, strip) = match left(model) {
            100.0.. if !stacked => (20.0, 80.0),
            84.0.. => (12.0, 72.0),
            // The smallest window: the figures say it alone.
            _ => (0.0, 0.0),
        };
        let name = rect.width() - N - of_models(model) - gap - strip - AGAINST;
        // A wide window gives to long names first, then to the verdict.
        let name = name.clamp(NAME.min(96.0), 220.0);
        let n = rect.left() + name + N;
        let models: Vec<f32> = (1..=num_models)
            .map(|place| n + place as f32 * model)
            .collect();
        let last = models.last().copied().unwrap_or(n);
        let strip = Rangef::new(last + gap, last + gap + strip);
        Self {
            name: Rangef::new(rect.left() + 8.0, rect.left() + name),
            n,
            models,
            strip,
            against: Rangef::new(strip.max + 12.0, rect.right()),
            stacked,
            row_height: 36.0,
        }
    }
}

/// The table of recalls, mean class accuracy and attention.
pub(super) fn table_ui(ui: &mut Ui, told: &Told<'_>, measure: Measure) {
    let t = Tokens::of(ui);
    ui.spacing_mut().item_spacing.y = 0.0;
    let (head, _) = ui.allocate_exact_size(vec2(ui.available_width(), 28.0), Sense::hover());
    let columns = Columns::over(head, told.cases.models.len());
    head_ui(ui, head, &columns, told, measure);
    let rows = rows(told, measure);
    for row in &rows {
        row_ui(ui, row, &columns, told);
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
            let note = match (told.measured.is_some(), measure) {
                (false, _) => "Being measured on the images that all of them tested.".to_owned(),
                (true, Measure::Recall) => format!(
                    "95 % bootstrap intervals. Only {chosen} chosen beforehand; read the other tests with care. One seed."
                ),
                (true, _) => "95 % bootstrap intervals; each class against the rest. No test is made of these.".to_owned(),
            };
            let note = RichText::new(note).text_style(tokens::caption()).color(t.text_weak);
            ui.add(egui::Label::new(note).wrap());
        });
}

fn head_ui(ui: &Ui, rect: Rect, columns: &Columns, told: &Told<'_>, measure: Measure) {
    let t = Tokens::of(ui);
    let y = rect.center().y;
    let text = |x: f32, align: Align2, text: &str, ink| {
        ui.painter()
            .text(pos2(x, y), align, text, tokens::medium(12.0), ink);
    };
    let name = match measure {
        Measure::Recall | Measure::Precision => measure.name().to_lowercase(),
        Measure::F1 | Measure::Auroc => measure.name().to_owned(),
    };
    text(columns.name.min, Align2::LEFT_CENTER, &name, t.text_weak);
    text(columns.n, Align2::RIGHT_CENTER, "n", t.text_weak);
    let models = &told.cases.models;
    for (model, x) in models.iter().zip(&columns.models) {
        text(*x, Align2::RIGHT_CENTER, &model.name, t.role(model.role));
    }
    if columns.strip.span() > 0.0 {
        let axis = axis(columns);
        text(axis.min, Align2::CENTER_CENTER, "0", t.text_weak);
        text(axis.max, Align2::CENTER_CENTER, "1", t.text_weak);
    }
    let name = |model: usize| models.get(model).map_or("", |it| &it.name);
    let [first, second] = told.pair;
    let against = format!("{} against {}", name(second), name(first));
    let font = tokens::medium(12.0);
    let width = columns.against.span();
    let galley = elided(ui.painter(), &against, font, t.text_weak, width);
    let at = pos2(columns.against.min, y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, t.text_weak);
}

/// Where 0 and 1 stand in the strip.
fn axis(columns: &Columns) -> Rangef {
    columns.strip.shrink(4.0)
}

fn row_ui(ui: &mut Ui, row: &Row, columns: &Columns, told: &Told<'_>) {
    let t = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(
        vec2(ui.available_width(), columns.row_height),
        Sense::hover(),
    );
    let models = &told.cases.models;
    response.widget_info(|| WidgetInfo::labeled(Role::Row, true, row.spoken(models)));
    if let Some(words) = &row.words {
        response.on_hover_text(words);
    }
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
        row.n().map_or(String::new(), |n| format::count(n as usize)),
        FontId::proportional(13.0),
        t.text_weak,
    );
    for ((model, x), estimate) in models.iter().zip(&columns.models).zip(&row.values) {
        if let Some(estimate) = estimate {
            let bold = row.rare && model.role == ModelRole::Care;
            estimate_ui(
                ui,
                pos2(*x, y),
                model.role,
                estimate,
                row.counts,
                bold,
                columns.stacked,
            );
        }
    }
    if columns.strip.span() > 0.0 {
        strip_ui(ui, rect, row, columns, models);
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
fn strip_ui(ui: &Ui, rect: Rect, row: &Row, columns: &Columns, models: &[Model]) {
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
    for (place, (model, estimate)) in models.iter().zip(&row.values).enumerate() {
        let Some(estimate) = estimate else { continue };
        let share = (place + 1) as f32 / (models.len() + 1) as f32;
        let y = rect.top() + rect.height() * share;
        let ink = t.role(model.role);
        painter.hline(x(estimate.low)..=x(estimate.high), y, Stroke::new(1.5, ink));
        painter.circle_filled(pos2(x(estimate.value), y), 3.0, ink);
    }
}

#[cfg(test)]
mod tests {
    use care_learn::metrics::McNemar;

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
            let test = McNemar {
                n: 60,
                first_only,
                second_only,
                p,
            };
            let right = [20, 20 + (gain * 60.0_f64).round() as i64].map(|n: i64| n as usize);
            let found = Found { right, test };
            let words = difference_in_words(&found, "the control", "CARE");
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
