//! The cells of the film: an image, the map over it, and both enlarged under the pointer.

use std::hash::{DefaultHasher, Hash, Hasher};

use care_data::{Image, ImageId};
use care_figures::MapStyle;
use care_learn::event::{FilmFrame, ImageAttention};
use care_learn::metrics::argmax;
use egui::{Rect, RichText, Role, Sense, Stroke, StrokeKind, Tooltip, Ui, WidgetInfo, vec2};

use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{box_on_screen, box_outline, fitted, picture_ui};
use crate::ui::{Context, overlay};

/// A cell under the pointer, enlarged.
const LARGE: f32 = 320.0;
const CROSS_FADE: f64 = 0.15;

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
    frame: &'a FilmFrame,
    seen: &'a ImageAttention,
    share: f32,
    /// [`care_figures::MapStyle::gain`].
    gain: f32,
}

impl<'a> Layer<'a> {
    /// `peaks` are those of all models' maps of the image.
    pub(super) fn of(
        frame: &'a FilmFrame,
        image: ImageId,
        share: f32,
        style: &MapStyle,
        peaks: &[Option<f32>],
    ) -> Option<Self> {
        let seen = frame.seen(image)?;
        Some(Self {
            frame,
            seen,
            share,
            gain: style.gain(seen.peak, peaks.iter().copied()),
        })
    }
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

pub(super) fn original_cell(ui: &Ui, cx: &mut Context<'_>, cell: Rect, image: &Image) {
    let picture = cx.thumbnail(image);
    let rect = picture_ui(ui, cell, &picture);
    boxes_ui(ui, cx, image, rect);
    let response = ui.interact(
        cell,
        ui.scope_id().with(("original", image.id)),
        Sense::hover(),
    );
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Image, true, format!("original, {}", image.name()))
    });
    response.on_hover_ui(|ui| {
        enlarged(ui, cx, image, &[]);
        ui.label(RichText::new(image.name()).font(tokens::medium(13.0)));
    });
}

/// `layers` lie one over the other; the last is the one that counts.
pub(super) fn model_cell(
    ui: &Ui,
    cx: &mut Context<'_>,
    cell: Rect,
    image: &Image,
    layers: &[Layer<'_>],
) {
    let Some(Layer { frame, seen, .. }) = layers.last() else {
        empty_cell(ui, cell);
        return;
    };
    let picture = cx.thumbnail(image);
    let rect = picture_ui(ui, cell, &picture);
    maps_ui(ui, cx, rect, layers);
    boxes_ui(ui, cx, image, rect);
    let id = ui.scope_id().with((frame.role, image.id));
    let response = ui.interact(cell, id, Sense::hover());
    let score = match seen.energy {
        Some(energy) => format!("{energy:.2} of the attention in the box"),
        None if cx.project.boxes(image.id).is_empty() => "no box to score against".to_owned(),
        None => "a flat map, not scored".to_owned(),
    };
    response.widget_info(|| {
        let name = format!("{}, {}, {score}", frame.role.name(), image.name());
        WidgetInfo::labeled(Role::Image, true, name)
    });
    // A question over the window goes before what rests under the pointer.
    if ui.memory(|memory| memory.top_modal_layer().is_some()) {
        return;
    }
    let epoch = frame.epoch.ceil();
    Tooltip::for_enabled(&response).width(LARGE).show(|ui| {
        let t = Tokens::of(ui);
        enlarged(ui, cx, image, layers);
        let title = format!("{}, {}, epoch {epoch}", image.name(), frame.role.name());
        ui.label(
            RichText::new(title)
                .font(tokens::medium(13.0))
                .color(t.text_strong),
        );
        ui.label(RichText::new(score).color(t.text));
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

fn maps_ui(ui: &Ui, cx: &mut Context<'_>, rect: Rect, layers: &[Layer<'_>]) {
    let run = cx.run.map(|run| run.id);
    for Layer {
        frame,
        seen,
        share,
        gain,
    } in layers
    {
        let mut hasher = DefaultHasher::new();
        ("film", run, frame.role, frame.step, seen.image).hash(&mut hasher);
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
    }
}
