//! The three plots under the film: loss, attention in the box, recall on the validation part.

use care_learn::ModelRole;
use care_learn::event::EpochMetrics;
use egui::text::{LayoutJob, TextFormat};
use egui::{
    Align, Align2, Color32, FontId, Layout, Rangef, Rect, RichText, Sense, Stroke, Ui, UiBuilder,
    Vec2b, pos2, vec2,
};
use egui_plot::{
    AxisHints, GridInput, GridMark, HoverPosition, Line, LineStyle, Plot, PlotTransform, VLine,
};

use super::film::tick_step;
use super::tokens::{self, Tokens};
use super::widgets::segmented;
use crate::format;
use crate::training::TrainingRun;

const PAD: f32 = 16.0;
const GAP: f32 = 16.0;
const TITLE: f32 = 24.0;
const TOP: f32 = 8.0;
const BOTTOM: f32 = 12.0;
/// Left of a plot, for the figures of its axis; right of it, for the words at the ends of its lines.
const AXIS: f32 = 36.0;
const WORDS: f32 = 80.0;
const X_AXIS: f32 = 20.0;
/// Ends of lines keep so far apart.
const APART: f32 = 15.0;

/// The height of everything here, round plots of a height.
#[must_use]
pub fn height(plot: f32) -> f32 {
    TOP + TITLE + plot + BOTTOM + 1.0
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Measure {
    #[default]
    RareRecall,
    Mca,
}

impl Measure {
    fn of(self, epoch: &EpochMetrics) -> Option<f32> {
        match self {
            Self::RareRecall => epoch.rare_recall,
            Self::Mca => epoch.mca,
        }
    }
}

/// Which measure the third plot shows.
#[derive(Default)]
pub struct PlotsView {
    measure: Measure,
}

/// A line of a plot.
struct Series {
    role: ModelRole,
    /// L_a, dotted.
    is_attention: bool,
    /// Epochs done, value.
    points: Vec<[f64; 2]>,
}

/// What all three plots have in common.
struct Frame {
    num_epochs: u32,
    /// The end of stage 1, as planned or as it came; none before a run.
    stage1: Option<f32>,
    /// The epoch that the film shows.
    at: Option<f32>,
}

impl PlotsView {
    /// Fills `area`. `at` is the epoch that the film shows; `planned` the epochs of the next run.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        area: Rect,
        run: Option<&TrainingRun>,
        planned: u32,
        at: Option<f32>,
    ) {
        let t = Tokens::of(ui);
        ui.painter()
            .hline(area.x_range(), area.top() + 0.5, Stroke::new(1.0, t.stroke));
        let frame = Frame {
            num_epochs: run.map_or(planned, TrainingRun::num_epochs).max(1),
            stage1: run.map(|run| {
                let planned = run.config.stage1_epochs as f32;
                run.stage_two().unwrap_or(planned)
            }),
            at: run.and_then(|run| at.or_else(|| run.film.last().map(|frame| frame.epoch))),
        };
        let inner = Rect::from_min_max(
            area.min + vec2(PAD, TOP + 1.0),
            area.max - vec2(PAD, BOTTOM),
        );
        let width = (inner.width() - 2.0 * GAP) / 3.0;
        for place in 0..3 {
            let left = inner.left() + place as f32 * (width + GAP);
            let column = Rect::from_min_size(pos2(left, inner.top()), vec2(width, inner.height()));
            let (title, plot) = column.split_top_bottom_at_y(column.top() + TITLE);
            // Half a figure of the axis stands above its uppermost mark.
            let plot = plot.with_min_y(plot.top() + 8.0);
            ui.scope_builder(
                UiBuilder::new()
                    .max_rect(title)
                    .id_salt(("title", place))
                    .layout(Layout::left_to_right(Align::Center)),
                |ui| self.title(ui, place, run),
            );
            ui.scope_builder(
                UiBuilder::new().max_rect(plot).id_salt(("plot", place)),
                |ui| {
                    let series = self.series(place, run);
                    let missing = run.is_some_and(|run| !run.epochs.is_empty() && place == 2)
                        && series.iter().all(|series| series.points.is_empty());
                    let transform = plot_ui(ui, &frame, &series, place == 0);
                    if missing {
                        self.say_missing(ui, &transform);
                    }
                },
            );
        }
    }

    fn title(&mut self, ui: &mut Ui, place: usize, run: Option<&TrainingRun>) {
        let t = Tokens::of(ui);
        let strong = |ui: &mut Ui, text: &str| {
            ui.label(
                RichText::new(text)
                    .font(tokens::medium(13.0))
                    .color(t.text_strong),
            );
        };
        let weak = |ui: &mut Ui, text: String| {
            ui.label(
                RichText::new(text)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
        };
        match place {
            0 => {
                strong(ui, "Loss");
                let mut job = LayoutJob::default();
                for (text, subscript) in [("L", "c"), (" and L", "a"), (", train", "")] {
                    append(&mut job, text, FontId::proportional(12.0), t.text_weak);
                    append_subscript(&mut job, subscript, t.text_weak);
                }
                ui.label(job);
            }
            1 => {
                strong(ui, "Attention in the box");
                let scored = run.and_then(|run| run.film.last()).map(|frame| {
                    frame
                        .images
                        .iter()
                        .filter(|seen| seen.energy.is_some())
                        .count()
                });
                if let Some(n) = scored {
                    weak(ui, format::plural(n, "watched image", "watched images"));
                }
            }
            _ => {
                ui.spacing_mut().interact_size.y = TITLE;
                let choices = [
                    (Measure::RareRecall, "Rare recall".to_owned()),
                    (Measure::Mca, "MCA".to_owned()),
                ];
                segmented(
                    ui,
                    "Measure on the validation part",
                    &choices,
                    &mut self.measure,
                );
                let n = run
                    .and_then(|run| run.epochs.last())
                    .map(|epoch| match self.measure {
                        Measure::RareRecall => epoch.num_rare,
                        Measure::Mca => epoch.num_validation,
                    });
                weak(
                    ui,
                    match n {
                        Some(n) => format!("validation, n = {}", format::count(n as usize)),
                        None => "validation".to_owned(),
                    },
                );
            }
        }
    }

    fn series(&self, place: usize, run: Option<&TrainingRun>) -> Vec<Series> {
        let Some(run) = run else { return Vec::new() };
        let mut series = match place {
            0 => losses(run),
            1 => energies(run),
            _ => of_epochs(run, |epoch| self.measure.of(epoch)),
        };
        join_stages(&mut series);
        series
    }

    fn say_missing(&self, ui: &Ui, transform: &PlotTransform) {
        let text = match self.measure {
            Measure::RareRecall => "No rare image in validation",
            Measure::Mca => "The validation part is empty",
        };
        ui.painter().text(
            transform.frame().center(),
            Align2::CENTER_CENTER,
            text,
            FontId::proportional(12.0),
            Tokens::of(ui).text_weak,
        );
    }
}

/// A line for each model: one point an epoch, where there is a value.
fn of_epochs(run: &TrainingRun, value: impl Fn(&EpochMetrics) -> Option<f32>) -> Vec<Series> {
    let of_role = |role| Series {
        role,
        is_attention: false,
        points: run
            .epochs
            .iter()
            .filter(|epoch| epoch.role == role)
            .filter_map(|epoch| Some([f64::from(epoch.epoch), f64::from(value(epoch)?)]))
            .collect(),
    };
    ModelRole::ALL.into_iter().map(of_role).collect()
}

/// L_c of each model and L_a of CARE, the epoch under way included.
fn losses(run: &TrainingRun) -> Vec<Series> {
    let mut series = of_epochs(run, |epoch| Some(epoch.classification));
    let attention = of_epochs(run, |epoch| epoch.attention)
        .into_iter()
        .filter(|series| series.role == ModelRole::Care)
        .map(|series| Series {
            is_attention: true,
            ..series
        });
    series.extend(attention);
    for so_far in &run.so_far {
        for line in series.iter_mut().filter(|line| line.role == so_far.role) {
            let value = if line.is_attention {
                so_far.attention
            } else {
                Some(so_far.classification)
            };
            // The mean of a few steps is no mean of an epoch, and so steep a line after the last one draws a wedge.
            let epoch = f64::from(so_far.epoch);
            let is_early = line.points.last().is_some_and(|[x, _]| epoch - x < 0.3);
            if let (Some(value), false) = (value, is_early) {
                line.points.push([epoch, f64::from(value)]);
            }
        }
    }
    series
}

/// Every refresh of the film, for it comes more often than epochs do.
fn energies(run: &TrainingRun) -> Vec<Series> {
    let of_role = |role| Series {
        role,
        is_attention: false,
        points: run
            .film
            .iter()
            .filter(|frame| frame.role == role)
            .filter_map(|frame| Some([f64::from(frame.epoch), f64::from(frame.mean_energy()?)]))
            .collect(),
    };
    ModelRole::ALL.into_iter().map(of_role).collect()
}

/// Both models of stage 2 go on from where stage 1 ended.
fn join_stages(series: &mut [Series]) {
    let end = series
        .iter()
        .find(|line| line.role == ModelRole::Before)
        .and_then(|line| line.points.last().copied());
    let Some(end) = end else { return };
    for line in series.iter_mut() {
        let continues = line.role != ModelRole::Before && !line.is_attention;
        if continues && line.points.first().is_some_and(|first| first[0] > end[0]) {
            line.points.insert(0, end);
        }
    }
}

/// The range of a loss, on round numbers, and the distance of its marks.
fn loss_range(series: &[Series]) -> (std::ops::RangeInclusive<f64>, f64) {
    let values = || {
        series
            .iter()
            .flat_map(|line| line.points.iter().map(|point| point[1]))
    };
    let low = values().fold(0.0, f64::min);
    // Some room at the top for the names of the stages.
    let high = values().fold(0.0, f64::max) * 1.1;
    if high <= low {
        return (0.0..=1.0, 0.25);
    }
    let step = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0]
        .into_iter()
        .find(|step| (high - low) / step <= 4.5)
        .unwrap_or(((high - low) / 4.0).ceil());
    (
        (low / step).floor() * step..=(high / step).ceil() * step,
        step,
    )
}

fn plot_ui(ui: &mut Ui, frame: &Frame, series: &[Series], is_loss: bool) -> PlotTransform {
    let t = Tokens::of(ui);
    let (y_range, y_step) = if is_loss {
        loss_range(series)
    } else {
        (0.0..=1.0, 0.25)
    };
    let area = ui.available_rect_before_wrap();
    let width = area.width() - WORDS;
    let per_epoch = (width - AXIS) / frame.num_epochs as f32;
    let x_step = f64::from(tick_step(per_epoch, 48.0).min(frame.num_epochs));
    let decimals = if y_step < 0.5 { 2 } else { 1 };
    let marks = |step: f64| {
        move |input: GridInput| {
            let (low, high) = input.bounds;
            let (first, last) = (
                (low / step).ceil() as i64,
                (high / step + 1e-9).floor() as i64,
            );
            (first..=last)
                .map(|i| GridMark {
                    value: i as f64 * step,
                    step_size: step,
                })
                .collect()
        }
    };
    // Every mark has its line and its figure at full strength.
    let always = Rangef::new(0.5, 1.0);
    let axis = |axis: AxisHints<'static>, thickness| {
        axis.min_thickness(thickness)
            .label_spacing(always)
            .tick_label_color(t.text_weak)
            .tick_label_font(FontId::proportional(11.0))
    };
    let plot = Plot::new("plot")
        .width(width)
        .height(area.height())
        .sense(Sense::hover())
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .allow_double_click_reset(false)
        .set_margin_fraction(vec2(0.0, 0.0))
        .show_background(false)
        .show_crosshair(false)
        .show_grid(Vec2b::new(false, true))
        .grid_color(t.stroke)
        .grid_spacing(always)
        .grid_fade(0.0)
        .x_grid_spacer(marks(x_step))
        .y_grid_spacer(marks(y_step))
        .custom_x_axes(vec![
            axis(AxisHints::new_x(), X_AXIS).formatter(|mark, _| format!("{}", mark.value)),
        ])
        .custom_y_axes(vec![
            axis(AxisHints::new_y(), AXIS).formatter(move |mark, _| figure(mark.value, decimals)),
        ])
        .label_formatter(|position| match position {
            HoverPosition::NearDataPoint {
                plot_name,
                position,
                ..
            } => Some(format!(
                "{plot_name} {}\nepoch {:.0}",
                figure(position.y, 2),
                position.x.ceil()
            )),
            HoverPosition::Elsewhere { .. } => None,
        });
    let band = ui.painter().add(egui::Shape::Noop);
    // Lines at the very top and bottom are not cut in half.
    let margin = (y_range.end() - y_range.start()) * 0.015;
    let response = plot.show(ui, |plot| {
        plot.set_plot_bounds_x(0.0..=f64::from(frame.num_epochs));
        plot.set_plot_bounds_y(y_range.start() - margin..=y_range.end() + margin);
        if let Some(at) = frame.at {
            let line = VLine::new("", f64::from(at))
                .color(t.stroke_strong)
                .width(1.0);
            plot.vline(line.allow_hover(false));
        }
        for line in series.iter().filter(|line| line.points.len() > 1) {
            plot.line(line_of(line, t));
        }
    });
    let transform = response.transform;
    let rect = *transform.frame();
    if let Some(end) = frame.stage1 {
        // Behind the grid, which a span of the plot would cover.
        let border = transform.position_from_point_x(f64::from(end));
        let (stage1, stage2) = rect.split_left_right_at_x(border);
        ui.painter()
            .set(band, egui::Shape::rect_filled(stage1, 0.0, t.panel));
        let taken = end_words(ui, series, &transform);
        stage_name(ui, "stage 1", stage1, &taken);
        stage_name(ui, "stage 2", stage2, &taken);
    }
    let edge = Stroke::new(1.0, t.stroke_strong);
    ui.painter().vline(rect.left(), rect.y_range(), edge);
    transform
}

fn line_of(line: &Series, t: &Tokens) -> Line<'static> {
    let (width, style) = match (line.is_attention, line.role) {
        (true, _) => (1.0, LineStyle::Dotted { spacing: 4.0 }),
        (false, ModelRole::Before) => (1.5, LineStyle::Solid),
        (false, ModelRole::Control) => (1.5, LineStyle::Dashed { length: 5.0 }),
        (false, ModelRole::Care) => (2.0, LineStyle::Solid),
    };
    let suffix = if line.is_attention {
        " attention loss"
    } else {
        ""
    };
    Line::new(format!("{}{suffix}", line.role.name()), line.points.clone())
        .color(t.role(line.role))
        .width(width)
        .style(style)
}

/// In the top left corner of its part of a plot, where it fits and nothing else is written.
fn stage_name(ui: &Ui, name: &str, part: Rect, taken: &[Rect]) {
    let ink = Tokens::of(ui).text_weak;
    let galley = ui
        .painter()
        .layout_no_wrap(name.to_owned(), FontId::proportional(11.0), ink);
    let rect = Rect::from_min_size(part.left_top() + vec2(6.0, 2.0), galley.size());
    if part.width() > rect.width() + 8.0 && !taken.iter().any(|other| other.intersects(rect)) {
        ui.painter().galley(rect.min, galley, ink);
    }
}

/// The dot and the word at the end of each line, with its last value; the words moved apart. Returns where they are.
fn end_words(ui: &Ui, series: &[Series], transform: &PlotTransform) -> Vec<Rect> {
    let t = Tokens::of(ui);
    let is_stage_two = series
        .iter()
        .any(|line| line.role != ModelRole::Before && !line.points.is_empty());
    let mut words = Vec::new();
    for line in series {
        let shown = line.role != ModelRole::Before || !is_stage_two;
        let (Some([x, y]), true) = (line.points.last(), shown) else {
            continue;
        };
        let at = pos2(
            transform.position_from_point_x(*x),
            transform.position_from_point_y(*y),
        );
        let color = t.role(line.role);
        ui.painter().circle_filled(at, 3.0, color);
        let font = tokens::medium(11.0);
        let mut job = LayoutJob::default();
        append(&mut job, line.role.name(), font.clone(), color);
        if line.is_attention {
            append(&mut job, " L", font, color);
            append_subscript(&mut job, "a", color);
        }
        let value = format!(" {}", figure(*y, 2));
        append(&mut job, &value, tokens::semibold(11.0), t.text_strong);
        words.push((at, ui.painter().layout_job(job)));
    }
    words.sort_by(|a, b| a.0.y.total_cmp(&b.0.y));
    let rect = *transform.frame();
    let heights: Vec<f32> = words.iter().map(|(at, _)| at.y).collect();
    words
        .into_iter()
        .zip(moved_apart(&heights, rect.y_range()))
        .map(|((at, galley), y)| {
            let corner = pos2(at.x + 9.0, y - galley.size().y / 2.0);
            let word = Rect::from_min_size(corner, galley.size());
            ui.painter().galley(corner, galley, t.text);
            word
        })
        .collect()
}

/// `heights`, ascending, with at least [`APART`] between them and all within `range` where they fit.
fn moved_apart(heights: &[f32], range: Rangef) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::with_capacity(heights.len());
    for height in heights {
        let least = out.last().map_or(range.min, |above| above + APART);
        out.push(height.max(least));
    }
    let mut most = range.max;
    for height in out.iter_mut().rev() {
        *height = height.min(most);
        most = *height - APART;
    }
    out
}

/// A true minus and a fixed number of decimals.
fn figure(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.chars().all(|c| c == '0' || c == '.');
    if value < 0.0 && !is_zero {
        format!("\u{2212}{text}")
    } else {
        text
    }
}

fn append(job: &mut LayoutJob, text: &str, font: FontId, color: Color32) {
    job.append(text, 0.0, TextFormat::simple(font, color));
}

fn append_subscript(job: &mut LayoutJob, text: &str, color: Color32) {
    let format = TextFormat {
        valign: Align::BOTTOM,
        ..TextFormat::simple(FontId::proportional(10.0), color)
    };
    job.append(text, 0.0, format);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_apart_and_inside() {
        let range = Rangef::new(0.0, 100.0);
        for (heights, expected) in [
            (vec![10.0, 60.0], vec![10.0, 60.0]),
            (vec![10.0, 12.0], vec![10.0, 25.0]),
            (vec![95.0, 99.0], vec![85.0, 100.0]),
            (vec![-5.0, 0.0, 1.0], vec![0.0, 15.0, 30.0]),
            (vec![], vec![]),
        ] {
            assert_eq!(moved_apart(&heights, range), expected, "{heights:?}");
        }
    }

    #[test]
    fn a_loss_is_drawn_on_round_numbers() {
        let line = |values: &[f64]| Series {
            role: ModelRole::Care,
            is_attention: false,
            points: values.iter().map(|value| [0.0, *value]).collect(),
        };
        for (values, expected, step) in [
            (vec![], 0.0..=1.0, 0.25),
            (vec![1.39, 0.2], 0.0..=2.0, 0.5),
            (vec![1.3, -0.43], -0.5..=1.5, 0.5),
            (vec![0.3, 0.1], 0.0..=0.4, 0.1),
        ] {
            let (range, marks) = loss_range(&[line(&values)]);
            assert!(
                (range.start() - expected.start()).abs() < 1e-9
                    && (range.end() - expected.end()).abs() < 1e-9,
                "{values:?}: {range:?}"
            );
            assert_eq!(marks, step);
        }
    }

    #[test]
    fn stage_two_begins_where_stage_one_ended() {
        let line = |role, points: &[[f64; 2]]| Series {
            role,
            is_attention: false,
            points: points.to_vec(),
        };
        let mut series = [
            line(ModelRole::Before, &[[1.0, 0.5], [2.0, 0.4]]),
            line(ModelRole::Control, &[[3.0, 0.3]]),
            line(ModelRole::Care, &[[2.0, 0.4], [3.0, 0.2]]),
        ];
        join_stages(&mut series);
        assert_eq!(series[1].points, [[2.0, 0.4], [3.0, 0.3]]);
        assert_eq!(series[2].points.len(), 2, "joined already");
    }
}
