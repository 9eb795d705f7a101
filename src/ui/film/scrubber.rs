//! Under the film: play it, move through its epochs, see when something was changed.

use care_learn::RunConfig;
use egui::{
    Align, EventFilter, FontId, Key, Layout, Modifiers, Pos2, Rangef, Rect, Role, Sense, Shape,
    Stroke, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};

use crate::format;
use crate::training::TrainingRun;
use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{IconButton, focus_ring};
use crate::ui::{Context, icons};

use super::{LABEL, PAD, VALUE};

const EPOCHS_PER_SECOND: f32 = 4.0;

/// A change made while the model trained, where it stands in the film and what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub epoch: f32,
    pub text: String,
}

/// The moment that the film shows.
#[derive(Default)]
pub(super) struct Scrubber {
    /// The newest where none.
    epoch: Option<f32>,
    playing: bool,
}

impl Scrubber {
    /// The epoch looked at; the newest where none.
    pub(super) fn epoch(&self) -> Option<f32> {
        self.epoch
    }

    /// Goes on where the film is played. Once a frame.
    pub(super) fn play(&mut self, ui: &Ui, run: Option<&TrainingRun>) {
        let (true, Some(run)) = (self.playing, run) else {
            self.playing = false;
            return;
        };
        let dt = ui.input(|input| input.stable_dt.min(0.1));
        let next = self.epoch.unwrap_or(0.0) + dt * EPOCHS_PER_SECOND;
        if next < newest(run) {
            self.epoch = Some(next);
            ui.ctx().request_repaint();
        } else {
            self.playing = false;
            self.epoch = None;
        }
    }

    /// Play, back to the start, the rail, and the way back to the newest maps.
    /// `lane` is where the rail lies across.
    pub(super) fn ui(
        &mut self,
        ui: &mut Ui,
        cx: &Context<'_>,
        area: Rect,
        lane: Rangef,
        marks: &[Mark],
    ) {
        let rail_y = area.top() + 23.0;
        let stops = cx.run.map(stops).unwrap_or_default();
        let enabled = stops.len() > 1;
        let buttons = Rect::from_min_size(
            pos2(area.left() + PAD, rail_y - 14.0),
            vec2(LABEL - 16.0, 28.0),
        );
        ui.scope_builder(
            UiBuilder::new()
                .max_rect(buttons)
                .layout(Layout::left_to_right(Align::Center)),
            |ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                let (glyph, name) = if self.playing {
                    (icons::PAUSE, "Pause the film")
                } else {
                    (icons::PLAY, "Play the film")
                };
                if IconButton::new(glyph, name)
                    .fill()
                    .enabled(enabled)
                    .ui(ui)
                    .clicked()
                {
                    self.playing = !self.playing;
                    if self.playing && self.epoch.is_none() {
                        self.epoch = Some(0.0);
                    }
                }
                let back = IconButton::new(icons::SKIP_BACK, "Back to the start");
                if back.fill().enabled(enabled).ui(ui).clicked() {
                    self.playing = false;
                    self.epoch = Some(0.0);
                }
            },
        );
        let rail = Rect::from_x_y_ranges(lane, rail_y - 3.0..=rail_y + 3.0);
        let timeline = Timeline::new(cx.run, cx.draft, rail);
        self.move_handle(ui, &timeline, &stops);
        let shown = enabled.then(|| self.epoch.unwrap_or(timeline.newest));
        timeline.paint(ui, shown);
        timeline.marks(ui, marks);
        if enabled {
            self.live_button(ui, cx, pos2(lane.max + VALUE, rail_y));
        }
    }

    fn move_handle(&mut self, ui: &mut Ui, timeline: &Timeline<'_>, stops: &[f32]) {
        let hit = timeline.rail.expand2(vec2(8.0, 8.0));
        let enabled = stops.len() > 1;
        let sense = if enabled {
            Sense::click_and_drag()
        } else {
            Sense::hover()
        };
        let response = ui.interact(hit, ui.scope_id().with("scrubber"), sense);
        let at = self.epoch.unwrap_or(timeline.newest);
        response.widget_info(|| WidgetInfo::slider(enabled, f64::from(at), "Epoch"));
        if !enabled {
            return;
        }
        focus_ring(ui, &response, radius::CONTROL);
        let mut to = None;
        if let Some(pointer) = response.interact_pointer_pos() {
            let epoch = timeline.epoch_at(pointer.x);
            to = stops
                .iter()
                .copied()
                .min_by(|a, b| (a - epoch).abs().total_cmp(&(b - epoch).abs()));
        }
        if response.has_focus() {
            let filter = EventFilter {
                horizontal_arrows: true,
                ..EventFilter::default()
            };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
            let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
            if pressed(Key::ArrowLeft) {
                to = stops.iter().copied().rfind(|stop| *stop < at - 1e-3);
            }
            if pressed(Key::ArrowRight) {
                to = stops.iter().copied().find(|stop| *stop > at + 1e-3);
            }
        }
        if let Some(stop) = to {
            self.playing = false;
            self.epoch = (stop < timeline.newest).then_some(stop);
        }
    }

    /// Jumps to the newest maps; says so where they are shown.
    fn live_button(&mut self, ui: &mut Ui, cx: &Context<'_>, right: Pos2) {
        let t = Tokens::of(ui);
        let (word, tooltip) = if cx.is_training {
            ("live", "Show the newest maps as they come")
        } else {
            ("end", "Show the last maps")
        };
        let is_live = self.epoch.is_none();
        let ink = if is_live { t.accent } else { t.text };
        let galley = ui
            .painter()
            .layout_no_wrap(word.into(), FontId::proportional(12.0), ink);
        let dot = if cx.is_training { 11.0 } else { 0.0 };
        let size = vec2(galley.size().x + dot + 12.0, 22.0);
        let rect = Rect::from_min_size(pos2(right.x - size.x, right.y - 11.0), size);
        let response = ui.interact(rect, ui.scope_id().with("live"), Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_live, word));
        let fill = match (is_live, response.hovered()) {
            (true, _) => t.accent_soft,
            (false, true) => t.hover,
            (false, false) => t.raised,
        };
        let corner = f32::from(radius::IMAGE);
        ui.painter().rect_filled(rect, corner, fill);
        if dot > 0.0 {
            let center = pos2(rect.left() + 9.0, rect.center().y);
            ui.painter().circle_filled(center, 3.0, ink);
        }
        let at = pos2(
            rect.left() + 6.0 + dot,
            rect.center().y - galley.size().y / 2.0,
        );
        ui.painter().galley(at, galley, ink);
        focus_ring(ui, &response, radius::IMAGE);
        if response.on_hover_text(tooltip).clicked() {
            self.playing = false;
            self.epoch = None;
        }
    }
}

fn newest(run: &TrainingRun) -> f32 {
    run.film.last().map_or(0.0, |frame| frame.epoch)
}

/// The epochs at which there are maps, ascending.
fn stops(run: &TrainingRun) -> Vec<f32> {
    let mut stops: Vec<f32> = run.film.iter().map(|frame| frame.epoch).collect();
    stops.dedup();
    stops
}

/// Epochs along the rail.
struct Timeline<'a> {
    run: Option<&'a TrainingRun>,
    rail: Rect,
    num_epochs: u32,
    newest: f32,
}

impl<'a> Timeline<'a> {
    fn new(run: Option<&'a TrainingRun>, draft: &RunConfig, rail: Rect) -> Self {
        Self {
            run,
            rail,
            num_epochs: run.map_or(
                draft.stage1_epochs + draft.stage2_epochs,
                TrainingRun::num_epochs,
            ),
            newest: run.map_or(0.0, newest),
        }
    }

    fn x(&self, epoch: f32) -> f32 {
        egui::lerp(self.rail.x_range(), epoch / self.num_epochs.max(1) as f32)
    }

    fn epoch_at(&self, x: f32) -> f32 {
        (x - self.rail.left()) / self.rail.width() * self.num_epochs as f32
    }

    /// `shown` is the epoch under the handle, which is there only where there is something to look at.
    fn paint(&self, ui: &Ui, shown: Option<f32>) {
        let t = Tokens::of(ui);
        let painter = ui.painter();
        let part = |from: f32, to: f32| {
            Rect::from_x_y_ranges(self.x(from)..=self.x(to), self.rail.y_range())
        };
        painter.rect_filled(self.rail, 3.0, t.active);
        let stage_two = self.run.and_then(TrainingRun::stage_two);
        let stage1_end = stage_two.unwrap_or(self.newest).min(self.newest);
        painter.rect_filled(part(0.0, stage1_end), 3.0, t.stroke_strong);
        if let Some(begin) = stage_two.filter(|begin| *begin < self.newest) {
            painter.rect_filled(part(begin, self.newest), 3.0, t.accent);
        }
        if self.run.is_some() {
            let y = self.rail.bottom() + 2.0;
            let every = tick_step(self.rail.width() / self.num_epochs.max(1) as f32, 5.0);
            for epoch in (0..=self.num_epochs).step_by(every as usize) {
                let x = self.x(epoch as f32).round() + 0.5;
                painter.vline(x, y..=y + 4.0, Stroke::new(1.0, t.stroke_strong));
            }
        }
        if let Some(begin) = stage_two {
            let mark =
                Rect::from_center_size(pos2(self.x(begin), self.rail.center().y), vec2(2.0, 14.0));
            painter.rect_filled(mark, 0.0, t.text_strong);
        }
        self.labels(ui, shown, stage_two);
        if let Some(epoch) = shown {
            let center = pos2(self.x(epoch), self.rail.center().y);
            painter.circle(
                center,
                7.0,
                tokens::OVERLAY_LINE,
                Stroke::new(3.0, t.accent),
            );
        }
    }

    /// The most telling first; what would come too near is left out.
    fn labels(&self, ui: &Ui, shown: Option<f32>, stage_two: Option<f32>) {
        /// Beside each label.
        const ROOM: f32 = 12.0;
        let t = Tokens::of(ui);
        let mut labels = Vec::new();
        if let Some(epoch) = shown {
            let text = format!("epoch {}", epoch.ceil());
            labels.push((epoch, text, tokens::semibold(11.0), t.text_strong));
        }
        let small = FontId::proportional(11.0);
        if let Some(begin) = stage_two {
            let text = format!("{}, stage 2 begins", begin.round());
            labels.push((begin, text, small.clone(), t.text));
        }
        let last = if self.run.is_some() {
            self.num_epochs.to_string()
        } else {
            format::plural(self.num_epochs as usize, "epoch", "epochs")
        };
        labels.push((0.0, "0".to_owned(), small.clone(), t.text_weak));
        labels.push((self.num_epochs as f32, last, small.clone(), t.text_weak));
        let half = self.num_epochs / 2;
        if self.run.is_some() && half > 0 {
            labels.push((half as f32, half.to_string(), small, t.text_weak));
        }
        let mut taken: Vec<Rect> = Vec::new();
        for (epoch, text, font, ink) in labels {
            let galley = ui.painter().layout_no_wrap(text, font, ink);
            let half = galley.size().x / 2.0;
            let limits = self.rail.x_range();
            let center = self.x(epoch).clamp(
                limits.min + half,
                (limits.max - half).max(limits.min + half),
            );
            let rect = Rect::from_center_size(
                pos2(center, self.rail.bottom() + 17.0),
                galley.size() + vec2(2.0 * ROOM, 0.0),
            );
            if taken.iter().all(|other| !other.intersects(rect)) {
                ui.painter().galley(rect.min + vec2(ROOM, 0.0), galley, ink);
                taken.push(rect);
            }
        }
    }

    fn marks(&self, ui: &Ui, marks: &[Mark]) {
        let t = Tokens::of(ui);
        for (place, mark) in marks.iter().enumerate() {
            let center = pos2(self.x(mark.epoch), self.rail.top() - 6.0);
            let hit = Rect::from_center_size(center, vec2(14.0, 12.0));
            let response = ui.interact(hit, ui.scope_id().with(("mark", place)), Sense::hover());
            let text = format!("epoch {}: {}", mark.epoch.ceil(), mark.text);
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &text));
            let edge = if response.hovered() {
                t.text_strong
            } else {
                t.text
            };
            let corners = [
                vec2(0.0, -4.0),
                vec2(4.0, 0.0),
                vec2(0.0, 4.0),
                vec2(-4.0, 0.0),
            ];
            ui.painter().add(Shape::convex_polygon(
                corners.map(|corner| center + corner).into(),
                t.panel,
                Stroke::new(1.0, edge),
            ));
            response.on_hover_text(text);
        }
    }
}

/// A round number of epochs whose ticks, at `points` an epoch, stand at least `apart`.
#[must_use]
pub fn tick_step(points: f32, apart: f32) -> u32 {
    [1, 2, 5, 10, 20, 50, 100, 200, 500]
        .into_iter()
        .find(|step| *step as f32 * points >= apart)
        .unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stay_apart() {
        for (points, expected) in [(40.0, 1), (4.0, 2), (2.0, 5), (0.3, 20), (0.001, 1000)] {
            assert_eq!(tick_step(points, 5.0), expected);
        }
    }
}
