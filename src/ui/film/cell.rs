//! The cells of the film: an image, the map over it, and both enlarged under the pointer.

use std::hash::{DefaultHasher, Hash, Hasher};

use care_data::{BoundingBox, Image, ImageId};
use care_figures::MapStyle;
use care_learn::event::ImageAttention;
use care_learn::metrics::argmax;
use care_learn::{ModelRole, health};
use egui::{
    EventFilter, Key, Label, Modifiers, Rect, RichText, Role, Sense, Stroke, StrokeKind, Tooltip,
    Ui, WidgetInfo, vec2,
};

use super::Dragged;
use crate::command::Command;
use crate::training::Moment;
use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{box_on_screen, box_outline, fitted, focus_ring, picture_ui};
use crate::ui::{Context, overlay};

/// A cell under the pointer, enlarged.
const LARGE: f32 = 320.0;
const CROSS_FADE: f64 = 0.15;
/// A map that has come is marked for so long, in seconds.
const FRESH: f64 = 1.0;

/// A model's map giving way to its next one. Frames are known by their step.
#[derive(Default, Clone, Copy)]
pub(super) struct Fade {
    now: Option<u32>,
    pub(super) before: Option<u32>,
    since: f64,
}

impl Fade {
    pub(super) fn show(&mut self, step: Option<u32>, time: f64) {
        if self.now != step {
            *self = Self {
                now: step,
                before: self.now,
                since: time,
            };
        }
    }

    /// Whether its newest map has come just now.
    pub(super) fn is_fresh(&self, time: f64) -> bool {
        self.now.is_some() && time - self.since < FRESH
    }

    /// How far the new map has come, 0..=1.
    pub(super) fn progress(&self, time: f64) -> f32 {
        match self.before {
            Some(_) => ((time - self.since) / CROSS_FADE).clamp(0.0, 1.0) as f32,
            None => 1.0,
        }
    }
}

/// One map over an image, with its share of the opacity.
pub(super) struct Layer<'a> {
    role: ModelRole,
    moment: Moment,
    seen: &'a ImageAttention,
    share: f32,
    gain: f32,
}

impl<'a> Layer<'a> {
    /// `peaks` are of all models that are shown on the image.
    pub(super) fn of(
        role: ModelRole,
        moment: Moment,
        seen: &'a ImageAttention,
        share: f32,
        style: &MapStyle,
        peaks: &[Option<f32>],
    ) -> Self {
        Self {
            role,
            moment,
            seen,
            share,
            gain: style.gain(seen.peak, peaks.iter().copied()),
        }
    }
}

/// In a corner of a cell whose map has just come.
pub(super) fn fresh_mark(ui: &Ui, cell: Rect) {
    let t = Tokens::of(ui);
    let at = cell.left_top() + vec2(8.0, 8.0);
    ui.painter().circle_filled(at, 5.0, tokens::OVERLAY_EDGE);
    ui.painter().circle_filled(at, 3.5, t.accent);
}

pub(super) fn empty_cell(ui: &Ui, rect: Rect) {
    let t = Tokens::of(ui);
    ui.painter().rect(
        rect,
        f32::from(radius::IMAGE),
        t.panel,
        Stroke::new(1.0, t.stroke),
        StrokeKind::Inside,
    );
}

fn boxes_ui(ui: &Ui, cx: &Context<'_>, image: &Image, rect: Rect) {
    for annotation in cx.project.boxes(image.id) {
        let on_screen = box_on_screen(annotation.rect, image.size, rect);
        box_outline(&ui.painter().with_clip_rect(rect), on_screen, false);
    }
}

/// The image of a column, which can be moved, taken out and opened.
pub(super) fn original_cell(
    ui: &Ui,
    cx: &mut Context<'_>,
    cell: Rect,
    image: &Image,
    watch: &[ImageId],
    column: usize,
) {
    let t = Tokens::of(ui);
    let picture = cx.thumbnail(image);
    let rect = picture_ui(ui, cell, &picture);
    boxes_ui(ui, cx, image, rect);
    let id = ui.scope_id().with(("original", image.id));
    let response = ui.interact(cell, id, Sense::click_and_drag());
    let is_selected = cx.selected == Some(image.id);
    response.widget_info(|| {
        let label = format!("original, {}", image.name());
        WidgetInfo::selected(Role::Button, true, is_selected, label)
    });
    response.dnd_set_drag_payload(Dragged { image: image.id });
    if is_selected {
        ui.painter().rect_stroke(
            cell.expand(2.0),
            f32::from(radius::IMAGE) + 2.0,
            Stroke::new(2.0, t.accent),
            StrokeKind::Outside,
        );
    }
    focus_ring(ui, &response, radius::IMAGE);
    if response.clicked() {
        response.request_focus();
        cx.commands.send(Command::Select(image.id));
    }
    if response.double_clicked() {
        cx.commands.send(Command::Annotate(image.id));
    }
    if response.has_focus() {
        let filter = EventFilter {
            horizontal_arrows: true,
            ..EventFilter::default()
        };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
        let mut columns = watch.to_vec();
        if pressed(Key::ArrowLeft) && column > 0 {
            columns.swap(column, column - 1);
        }
        if pressed(Key::ArrowRight) && column + 1 < columns.len() {
            columns.swap(column, column + 1);
        }
        if (pressed(Key::Delete) || pressed(Key::Backspace)) && columns.len() > 1 {
            columns.remove(column);
        }
        if columns != watch {
            cx.commands.send(Command::SetWatch(Some(columns)));
        }
    }
    let is_dragged = response.dragged();
    if !is_dragged {
        response.on_hover_ui(|ui| {
            enlarged(ui, cx, image, &[]);
            ui.label(RichText::new(image.name()).font(tokens::medium(13.0)));
            ui.label("Drag it to another column; Delete takes it out. A double click opens it in Annotate.");
        });
    }
}

/// `layers` lie one over the other; the last is the one that counts.
pub(super) fn model_cell(
    ui: &Ui,
    cx: &mut Context<'_>,
    cell: Rect,
    image: &Image,
    layers: &[Layer<'_>],
) {
    let Some(Layer {
        role, moment, seen, ..
    }) = layers.last()
    else {
        empty_cell(ui, cell);
        return;
    };
    let picture = cx.thumbnail(image);
    let rect = picture_ui(ui, cell, &picture);
    maps_ui(ui, cx, rect, layers);
    boxes_ui(ui, cx, image, rect);
    let boxes: Vec<BoundingBox> = cx.project.boxes(image.id).iter().map(|a| a.rect).collect();
    let concerns = health::concerns(&seen.map, image.size, &boxes);
    if !concerns.is_empty() {
        health_light(ui, cell);
    }
    let id = ui.scope_id().with((*role, image.id));
    let response = ui.interact(cell, id, Sense::hover());
    let score = match seen.energy {
        Some(energy) => format!("{energy:.2} of the attention in the box"),
        None if cx.project.boxes(image.id).is_empty() => "no box to score against".to_owned(),
        None => "a flat map, not scored".to_owned(),
    };
    response.widget_info(|| {
        let mut name = format!("{}, {}, {score}", role.name(), image.name());
        for concern in &concerns {
            name = format!("{name}. {concern}");
        }
        WidgetInfo::labeled(Role::Image, true, name)
    });
    // A question over the window goes before what rests under the pointer.
    if ui.memory(|memory| memory.top_modal_layer().is_some()) {
        return;
    }
    let epoch = moment.epoch.ceil();
    Tooltip::for_enabled(&response).width(LARGE).show(|ui| {
        let t = Tokens::of(ui);
        enlarged(ui, cx, image, layers);
        let title = format!("{}, {}, epoch {epoch}", image.name(), role.name());
        ui.label(
            RichText::new(title)
                .font(tokens::medium(13.0))
                .color(t.text_strong),
        );
        ui.label(RichText::new(score).color(t.text));
        for concern in &concerns {
            let text = RichText::new(concern.to_string());
            ui.add(Label::new(text.text_style(tokens::caption()).color(t.warning)).wrap());
        }
        let predicted = argmax(&seen.probabilities);
        if let (Some(class), Some(p)) = (
            cx.project.classes().get(predicted),
            seen.probabilities.get(predicted),
        ) {
            let text = format!("predicted {}, probability {p:.2}", class.name);
            ui.label(
                RichText::new(text)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
        }
    });
}

/// There is something to know about this map before one believes it; its tooltip says what.
fn health_light(ui: &Ui, cell: Rect) {
    let at = cell.right_top() + vec2(-8.0, 8.0);
    ui.painter().circle_filled(at, 5.0, tokens::OVERLAY_EDGE);
    ui.painter().circle_filled(at, 3.5, Tokens::of(ui).warning);
}

fn maps_ui(ui: &Ui, cx: &mut Context<'_>, rect: Rect, layers: &[Layer<'_>]) {
    let run = cx.run.map(|run| run.id);
    for Layer {
        role,
        moment,
        seen,
        share,
        gain,
    } in layers
    {
        let mut hasher = DefaultHasher::new();
        ("film", run, role, moment.step, seen.image).hash(&mut hasher);
        // A stage may end with the weights of an earlier epoch: another map at the same step.
        for value in &seen.map.values {
            value.to_bits().hash(&mut hasher);
        }
        let shown = overlay::Shown {
            key: hasher.finish(),
            map: &seen.map,
            gain: *gain,
        };
        overlay::map_ui(ui.painter(), cx, rect, shown, *share);
    }
}

fn enlarged(ui: &mut Ui, cx: &mut Context<'_>, image: &Image, layers: &[Layer<'_>]) {
    let picture = cx.thumbnail(image);
    let whole = vec2(image.size.width as f32, image.size.height as f32);
    let cell = Rect::from_min_size(ui.cursor().min, vec2(LARGE, LARGE));
    let (rect, _) = ui.allocate_exact_size(fitted(cell, whole).size(), Sense::hover());
    let rect = picture_ui(ui, rect, &picture);
    maps_ui(ui, cx, rect, layers);
    boxes_ui(ui, cx, image, rect);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_fades_into_the_next() {
        let mut fade = Fade::default();
        fade.show(Some(1), 0.0);
        assert_eq!(
            fade.progress(0.0),
            1.0,
            "the first has nothing to fade from"
        );
        fade.show(Some(2), 1.0);
        assert_eq!((fade.before, fade.progress(1.0)), (Some(1), 0.0));
        assert_eq!(fade.progress(1.15), 1.0);
        assert!(fade.is_fresh(1.5) && !fade.is_fresh(2.5));
    }
}
