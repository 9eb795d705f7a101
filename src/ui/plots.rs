//! The three plots under the film: losses, attention on the watched images, measures on the validation part.

mod series;

use care_learn::ModelRole;
use egui::text::{LayoutJob, TextFormat};
use egui::{
    Align, Align2, Color32, FontId, Label, Layout, Popup, PopupCloseBehavior, Rangef, Rect,
    RichText, ScrollArea, Sense, Shape, Stroke, Ui, UiBuilder, Vec2b, pos2, vec2,
};
use egui_plot::{
    AxisHints, GridInput, GridMark, HoverPosition, Line, LineStyle, Plot, PlotTransform, VLine,
};

use super::film::{Mark, tick_step};
use super::tokens::{self, Tokens};
use super::widgets::{IconButton, segmented, slider_row};
use super::{Context, icons};
use crate::command::Command;
use crate::format;
use crate::training::TrainingRun;
use series::{Attention, Loss, Measure, Series};

const PAD: f32 = 16.0;
const GAP: f32 = 16.0;
const TITLE: f32 = 24.0;
const TOP: f32 = 8.0;
const BOTTOM: f32 = 12.0;
/// Left of a plot, for the figures of its axis; right of it, for the words at the ends of its lines.
const AXIS: f32 = 36.0;
const WORDS: f32 = 80.0;
const X_AXIS: f32 = 20.0;
/// The button of the options, with room beside it.
const OPTIONS: f32 = 32.0;
/// Ends of lines keep so far apart.
const APART: f32 = 15.0;

/// The height of everything here, round plots of a height.
#[must_use]
pub fn height(plot: f32) -> f32 {
    TOP + TITLE + plot + BOTTOM + 1.0
}

/// What each plot shows, and how.
#[derive(Default)]
pub struct PlotsView {
    loss: Loss,
    attention: Attention,
    measure: Measure,
    /// 0 is none.
    smoothing: f64,
}

/// What all three plots have in common.
struct Frame {
    num_epochs: u32,
    /// The end of stage 1, as planned or as it came; none before a run.
    stage1: Option<f32>,
    /// The epoch that the film shows.
    at: Option<f32>,
    smoothing: f64,
}

/// The lines of one plot.
struct Lines {
    series: Vec<Series>,
    /// Of an earlier run, and its name.
    behind: Vec<Series>,
    behind_name: String,
    scale: Scale,
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    /// 0..=1.
    Share,
    Loss,
    Rate,
}

impl PlotsView {
    /// Fills `area`. `at` is the epoch that the film shows; `marks` are the changes made while it trained.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        area: Rect,
        marks: &[Mark],
        at: Option<f32>,
    ) {
        let t = Tokens::of(ui);
        ui.painter()
            .hline(area.x_range(), area.top() + 0.5, Stroke::new(1.0, t.stroke));
        let run = cx.run;
        let planned = cx.draft.stage1_epochs + cx.draft.stage2_epochs;
        let behind = cx
            .behind
            .filter(|behind| run.map(|run| run.id) != Some(behind.id));
        let num_epochs = run.map_or(planned, TrainingRun::num_epochs).max(1);
        let frame = Frame {
            num_epochs: behind.map_or(num_epochs, |behind| behind.num_epochs().max(num_epochs)),
            stage1: run.map(|run| {
                let planned = run.config.stage1_epochs as f32;
                run.stage_two().unwrap_or(planned)
            }),
            at: run.and_then(|run| at.or_else(|| run.film.last().map(|frame| frame.epoch))),
            smoothing: self.smoothing,
        };
        let inner = Rect::from_min_max(
            area.min + vec2(PAD, TOP + 1.0),
            area.max - vec2(PAD, BOTTOM),
        );
        let width = (inner.width() - 2.0 * GAP) / 3.0;
        for place in 0..3 {
            let left = inner.left() + place as f32 * (width + GAP);
            let column = Rect::from_min_size(pos2(left, inner.top()), vec2(width, inner.height()));
            let (mut title, plot) = column.split_top_bottom_at_y(column.top() + TITLE);
            if place == 2 {
                let button = title.with_min_x(title.right() - OPTIONS);
                title.max.x -= OPTIONS;
                ui.scope_builder(
                    UiBuilder::new()
                        .max_rect(button)
                        .id_salt("options")
                        .layout(Layout::right_to_left(Align::Center)),
                    |ui| self.options(ui, cx),
                );
            }
            // Half a figure of the axis stands above its uppermost mark.
            let plot = plot.with_min_y(plot.top() + 8.0);
            ui.scope_builder(
                UiBuilder::new()
                    .max_rect(title)
                    .id_salt(("title", place))
                    .layout(Layout::left_to_right(Align::Center)),
                |ui| self.title(ui, place, run, behind),
            );
            ui.scope_builder(
                UiBuilder::new().max_rect(plot).id_salt(("plot", place)),
                |ui| {
                    let lines = Lines {
                        series: run.map(|run| self.series(place, run)).unwrap_or_default(),
                        behind: behind
                            .map(|run| self.series(place, run))
                            .unwrap_or_default(),
                        behind_name: behind.map_or(String::new(), |run| format!("run {} ", run.id)),
                        scale: match (place, self.measure) {
                            (0, _) => Scale::Loss,
                            (2, Measure::LearningRate) => Scale::Rate,
                            _ => Scale::Share,
                        },
                    };
                    let missing = run.is_some_and(|run| !run.epochs.is_empty())
                        && lines.series.iter().all(|series| series.points.is_empty());
                    let transform = plot_ui(ui, &frame, &lines);
                    marks_ui(ui, marks, &transform);
                    if missing {
                        self.say_missing(ui, place, &transform);
                    }
                },
            );
        }
    }

    fn title(
        &mut self,
        ui: &mut Ui,
        place: usize,
        run: Option<&TrainingRun>,
        behind: Option<&TrainingRun>,
    ) {
        let t = Tokens::of(ui);
        let weak = |ui: &mut Ui, text: String| {
            let text = RichText::new(text).text_style(tokens::caption());
            ui.add(Label::new(text.color(t.text_weak)).truncate());
        };
        ui.spacing_mut().interact_size.y = TITLE;
        match place {
            0 => {
                let choices = [
                    (Loss::Parts, "Loss".to_owned()),
                    (Loss::Total, "Total".to_owned()),
                    (Loss::Inside, "In".to_owned()),
                    (Loss::Outside, "Out".to_owned()),
                ];
                segmented(ui, "Loss shown", &choices, &mut self.loss);
                let mut job = LayoutJob::default();
                let parts: &[(&str, &str)] = match self.loss {
                    Loss::Parts => &[("L", "c"), (" and L", "a")],
                    Loss::Total => &[("L", "")],
                    Loss::Inside => &[("L", "in")],
                    Loss::Outside => &[("L", "out")],
                };
                for (text, subscript) in parts.iter().chain([&(", train", "")]) {
                    append(&mut job, text, FontId::proportional(12.0), t.text_weak);
                    append_subscript(&mut job, subscript, t.text_weak);
                }
                if let Some(behind) = behind {
                    let text = format!("; thin: run {}", behind.id);
                    append(&mut job, &text, FontId::proportional(12.0), t.text_weak);
                }
                ui.add(Label::new(job).truncate());
            }
            1 => {
                let choices = [
                    (Attention::Energy, "In the box".to_owned()),
                    (Attention::Hits, "Pointing hits".to_owned()),
                ];
                segmented(ui, "Attention shown", &choices, &mut self.attention);
                let scored = run.and_then(|run| run.film.last()).map(|frame| {
                    frame
                        .images
                        .iter()
                        .filter(|seen| seen.energy.is_some())
                        .count()
                });
                if let Some(n) = scored {
                    weak(ui, format!("watched, n = {}", format::count(n)));
                }
            }
            _ => {
                let choices = [
                    (Measure::RareRecall, "Rare recall".to_owned()),
                    (Measure::Mca, "MCA".to_owned()),
                    (Measure::LearningRate, "Rate".to_owned()),
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
                        Measure::Mca | Measure::LearningRate => epoch.num_validation,
                    });
                weak(
                    ui,
                    match (self.measure, n) {
                        (Measure::LearningRate, _) => "learning rate".to_owned(),
                        // The group of the choices is named after the part.
                        (_, Some(n)) if ui.available_width() < 120.0 => {
                            format!("n = {}", format::count(n as usize))
                        }
                        (_, Some(n)) => format!("validation, n = {}", format::count(n as usize)),
                        (_, None) => "validation".to_owned(),
                    },
                );
            }
        }
    }

    /// Smoothing, and the run behind.
    fn options(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let is_set = self.smoothing > 0.0 || cx.behind.is_some();
        let button = IconButton::new(icons::SLIDERS_HORIZONTAL, "How curves are drawn")
            .tooltip("Smoothing, and an earlier run behind the curves")
            .selected(is_set)
            .ui(ui);
        Popup::from_toggle_button_response(&button)
            .width(264.0)
            .gap(4.0)
            .layout(Layout::top_down(Align::LEFT))
            .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
            .show(|ui| {
                ui.spacing_mut().item_spacing.y = 6.0;
                slider_row(ui, "Smooth", &mut self.smoothing, 0.0..=0.95);
                let weak = |text: &str| {
                    let text = RichText::new(text).text_style(tokens::caption());
                    text.color(Tokens::of(ui).text_weak)
                };
                let words = "A moving average; what was measured stays as a thin line, and in the figures at its end.";
                let words = Label::new(weak(words)).wrap();
                let others = weak("Earlier run behind the curves");
                ui.add(words);
                ui.add_space(4.0);
                ui.label(others);
                let before = cx.behind.map(|run| run.id);
                let mut chosen = before;
                ui.selectable_value(&mut chosen, None, "None");
                let shown = cx.run.map(|run| run.id);
                ScrollArea::vertical().max_height(160.0).show(ui, |ui| {
                    let runs = cx.project.runs().iter().rev();
                    for other in runs.filter(|run| Some(run.id) != shown) {
                        let text = format!("Run {}, {}", other.id, other.note);
                        ui.selectable_value(&mut chosen, Some(other.id), text);
                    }
                });
                if chosen != before {
                    cx.commands.send(Command::DrawBehind(chosen));
                }
            });
    }

    fn series(&self, place: usize, run: &TrainingRun) -> Vec<Series> {
        match place {
            0 => series::losses(run, self.loss),
            1 => series::attention(run, self.attention),
            _ => series::measures(run, self.measure),
        }
    }

    fn say_missing(&self, ui: &Ui, place: usize, transform: &PlotTransform) {
        let text = match (place, self.measure) {
            (0, _) => "Not kept in this run",
            (1, _) => "No watched image has a box",
            (_, Measure::RareRecall) => "No rare image in validation",
            (_, Measure::Mca) => "The validation part is empty",
            (_, Measure::LearningRate) => "Not kept in this run",
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

/// Where something was changed while the run trained.
fn marks_ui(ui: &Ui, marks: &[Mark], transform: &PlotTransform) {
    let t = Tokens::of(ui);
    let rect = *transform.frame();
    for (place, mark) in marks.iter().enumerate() {
        let x = transform.position_from_point_x(f64::from(mark.epoch));
        let center = pos2(x, rect.bottom());
        let hit = Rect::from_center_size(center, vec2(12.0, 12.0));
        let response = ui.interact(hit, ui.scope_id().with(("mark", place)), Sense::hover());
        let ink = if response.hovered() {
            t.text_strong
        } else {
            t.stroke_strong
        };
        let line = [pos2(x, rect.top()), pos2(x, rect.bottom() - 4.0)];
        let dashes = Shape::dashed_line(&line, Stroke::new(1.0, t.stroke_strong), 2.0, 4.0);
        ui.painter().extend(dashes);
        let corners = [(0.0, -4.0), (4.0, 0.0), (0.0, 4.0), (-4.0, 0.0)];
        ui.painter().add(Shape::convex_polygon(
            corners.map(|(x, y)| center + vec2(x, y)).into(),
            t.panel,
            Stroke::new(1.0, ink),
        ));
        if response.hovered() {
            response.on_hover_text(format!("epoch {}: {}", mark.epoch.ceil(), mark.text));
        }
    }
}

fn plot_ui(ui: &mut Ui, frame: &Frame, lines: &Lines) -> PlotTransform {
    let t = Tokens::of(ui);
    let scale = lines.scale;
    let (y_range, y_step) = if scale == Scale::Share {
        (0.0..=1.0, 0.25)
    } else {
        series::range(lines.series.iter().chain(&lines.behind))
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
        .custom_y_axes(vec![axis(AxisHints::new_y(), AXIS).formatter(
            move |mark, _| match scale {
                Scale::Rate => rate(mark.value),
                _ => figure(mark.value, decimals),
            },
        )])
        .label_formatter(move |position| match position {
            HoverPosition::NearDataPoint {
                plot_name,
                position,
                ..
            } => Some(format!(
                "{plot_name} {}\nepoch {:.0}",
                value(position.y, scale),
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
        let drawn = |line: &&Series| line.points.len() > 1;
        for line in lines.behind.iter().filter(drawn) {
            let name = &lines.behind_name;
            let points = line.smoothed(frame.smoothing);
            plot.line(thin(line_of(line, points, name, t), line, t));
        }
        for line in lines.series.iter().filter(drawn) {
            if frame.smoothing > 0.0 {
                let measured = line_of(line, line.points.clone(), "measured, ", t);
                plot.line(thin(measured, line, t));
            }
            let points = line.smoothed(frame.smoothing);
            plot.line(line_of(line, points, "", t));
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
        let taken = end_words(ui, &lines.series, &transform, scale);
        stage_name(ui, "stage 1", stage1, &taken);
        stage_name(ui, "stage 2", stage2, &taken);
    }
    let edge = Stroke::new(1.0, t.stroke_strong);
    ui.painter().vline(rect.left(), rect.y_range(), edge);
    transform
}

fn line_of(line: &Series, points: Vec<[f64; 2]>, of: &str, t: &Tokens) -> Line<'static> {
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
    Line::new(format!("{of}{}{suffix}", line.role.name()), points)
        .color(t.role(line.role))
        .width(width)
        .style(style)
}

/// Behind the others.
fn thin(line: Line<'static>, of: &Series, t: &Tokens) -> Line<'static> {
    line.width(1.0).color(t.role(of.role).gamma_multiply(0.45))
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
fn end_words(ui: &Ui, series: &[Series], transform: &PlotTransform, scale: Scale) -> Vec<Rect> {
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
        if scale != Scale::Rate {
            append(&mut job, line.role.name(), font.clone(), color);
        }
        if line.is_attention {
            append(&mut job, " L", font, color);
            append_subscript(&mut job, "a", color);
        }
        let value = format!(" {}", value(*y, scale));
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

fn value(value: f64, scale: Scale) -> String {
    match scale {
        Scale::Rate => rate(value),
        Scale::Share | Scale::Loss => figure(value, 2),
    }
}

/// "2.5e−4".
fn rate(value: f64) -> String {
    if value.abs() < 1e-12 {
        return "0".to_owned();
    }
    let text = format!("{value:.1e}").replace("e-", "e\u{2212}");
    text.replace(".0e", "e")
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
    fn a_rate_is_short() {
        for (value, expected) in [(0.0, "0"), (1e-4, "1e\u{2212}4"), (2.5e-5, "2.5e\u{2212}5")] {
            assert_eq!(rate(value), expected);
        }
    }
}
