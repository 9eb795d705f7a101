//! The held-out images that the film can show, to be chosen from.

use care_data::{Image, ImageId, Part};
use care_learn::film::Refresh;
use egui::{
    Align, Color32, DragAndDrop, Id, LayerId, Layout, Order, Rect, RichText, Role, ScrollArea,
    Sense, Stroke, StrokeKind, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};

use super::{Dragged, PAD};
use crate::command::Command;
use crate::dispatch::MOST_WATCHED;
use crate::format;
use crate::textures::Picture;
use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{
    WordButton, box_on_screen, box_outline, focus_ring, picture_ui, segmented,
};
use crate::ui::{Context, icons};

const TITLE: f32 = 44.0;
const CELL: f32 = 64.0;
const GAP: f32 = 8.0;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
enum Which {
    #[default]
    Rare,
    All,
}

#[derive(Default)]
pub(super) struct Tray {
    pub(super) is_open: bool,
    which: Which,
    /// The images shown, and what they were found by.
    shown: Option<((u64, Which), Vec<ImageId>)>,
}

impl Tray {
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, area: Rect, watch: &[ImageId]) {
        let t = Tokens::of(ui);
        ui.painter()
            .hline(area.x_range(), area.top() + 0.5, Stroke::new(1.0, t.stroke));
        let inner = area.shrink2(vec2(PAD, 0.0));
        let (top, rest) = inner.split_top_bottom_at_y(area.top() + TITLE);
        ui.scope_builder(
            UiBuilder::new()
                .max_rect(top)
                .layout(Layout::left_to_right(Align::Center)),
            |ui| self.title(ui, cx, watch),
        );
        let images = self.images(cx).to_vec();
        if images.is_empty() {
            let text = match self.which {
                Which::Rare => "No image of a rare class is held out. All shows the others.",
                Which::All => "No image is held out: all of them train.",
            };
            ui.put(rest.with_max_y(rest.top() + 28.0), egui::Label::new(text));
            return;
        }
        ui.scope_builder(UiBuilder::new().max_rect(rest), |ui| {
            grid(ui, cx, &images, watch);
        });
    }

    fn images(&mut self, cx: &Context<'_>) -> &[ImageId] {
        let key = (cx.project.revision(), self.which);
        let is_shown = |image: &&Image| {
            let class = cx.project.class(image.class);
            image.part != Part::Train
                && (self.which == Which::All || class.is_some_and(|class| class.rare))
        };
        if self.shown.as_ref().is_none_or(|(of, _)| *of != key) {
            let images = cx.project.images().iter().filter(is_shown);
            self.shown = Some((key, images.map(|image| image.id).collect()));
        }
        self.shown.as_ref().map_or(&[], |(_, images)| images)
    }

    fn title(&mut self, ui: &mut Ui, cx: &mut Context<'_>, watch: &[ImageId]) {
        let t = Tokens::of(ui);
        ui.label(
            RichText::new("Held-out images")
                .font(tokens::medium(13.0))
                .color(t.text_strong),
        );
        let choices = [
            (Which::Rare, "Rare".to_owned()),
            (Which::All, "All".to_owned()),
        ];
        segmented(ui, "Held-out images shown", &choices, &mut self.which);
        let text = format!("{} of {MOST_WATCHED} watched", format::count(watch.len()));
        ui.label(
            RichText::new(text)
                .text_style(tokens::caption())
                .color(t.text_weak),
        )
        .on_hover_text(
            "A click watches an image, or no longer. Dragged onto a column it takes that place; columns of the film can be dragged too.",
        );
        refresh_ui(ui, cx);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if WordButton::new("Done").height(28.0).ui(ui).clicked() {
                self.is_open = false;
            }
            let pick = WordButton::new("Pick for me")
                .height(28.0)
                .enabled(cx.watch.is_some())
                .ui(ui);
            let tooltip = "Rare images with boxes, spread from hard to easy once a model has been tested, and a few common ones";
            if pick.on_hover_text(tooltip).clicked() {
                cx.commands.send(Command::SetWatch(None));
            }
        });
    }
}

/// How often the film of a run in training is renewed.
fn refresh_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    let text = RichText::new("Maps every").text_style(tokens::caption());
    ui.label(text.color(Tokens::of(ui).text_weak)).on_hover_text(
        "While a run trains. The film never takes more than 5 % of its time: a slow network has new maps less often.",
    );
    let choices = [1, 2, 5, 10].map(|seconds| (Refresh(seconds), format!("{seconds} s")));
    let mut refresh = cx.refresh;
    if segmented(ui, "Maps every", &choices, &mut refresh) {
        cx.commands.send(Command::SetRefresh(refresh));
    }
}

fn grid(ui: &mut Ui, cx: &mut Context<'_>, images: &[ImageId], watch: &[ImageId]) {
    let pitch = CELL + GAP;
    // The scroll bar has its own place.
    let columns = (((ui.available_width() - 16.0 + GAP) / pitch) as usize).max(1);
    let rows = images.len().div_ceil(columns);
    ScrollArea::vertical()
        .auto_shrink(false)
        .show_viewport(ui, |ui, viewport| {
            let origin = ui.min_rect().min + vec2(3.0, 3.0);
            ui.set_height(rows as f32 * pitch + 6.0);
            let row = |y: f32| (y / pitch).floor().max(0.0) as usize;
            let end = ((row(viewport.bottom()) + 1) * columns).min(images.len());
            let begin = (row(viewport.top()) * columns).min(end);
            for (place, id) in images.iter().enumerate().take(end).skip(begin) {
                let at = vec2(
                    (place % columns) as f32 * pitch,
                    (place / columns) as f32 * pitch,
                );
                let rect = Rect::from_min_size(origin + at, vec2(CELL, CELL));
                if let Some(image) = cx.project.image(*id) {
                    cell(ui, cx, rect, image, watch);
                }
            }
        });
}

fn cell(ui: &Ui, cx: &mut Context<'_>, rect: Rect, image: &Image, watch: &[ImageId]) {
    let t = Tokens::of(ui);
    let place = watch.iter().position(|other| *other == image.id);
    let id = ui.scope_id().with(("held out", image.id));
    let response = ui.interact(rect, id, Sense::click_and_drag());
    let label = format!("watch {}", image.name());
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, place.is_some(), &label));
    response.dnd_set_drag_payload(Dragged { image: image.id });
    let picture = cx.thumbnail(image);
    let shown = picture_ui(ui, rect, &picture);
    for annotation in cx.project.boxes(image.id) {
        let on_screen = box_on_screen(annotation.rect, image.size, shown);
        box_outline(&ui.painter().with_clip_rect(rect), on_screen, false);
    }
    if place.is_some() {
        ui.painter().rect_stroke(
            rect.expand(2.0),
            f32::from(radius::IMAGE) + 2.0,
            Stroke::new(2.0, t.accent),
            StrokeKind::Outside,
        );
        let mark = rect.right_bottom() - vec2(11.0, 11.0);
        ui.painter().circle_filled(mark, 8.0, tokens::OVERLAY_EDGE);
        ui.painter().text(
            mark,
            egui::Align2::CENTER_CENTER,
            icons::CHECK,
            tokens::icon(12.0),
            tokens::OVERLAY_LINE,
        );
    }
    focus_ring(ui, &response, radius::IMAGE);
    let is_full = place.is_none() && watch.len() >= MOST_WATCHED;
    let is_last = place.is_some() && watch.len() == 1;
    if response.clicked() && !is_full && !is_last {
        let mut chosen = watch.to_vec();
        match place {
            Some(place) => {
                chosen.remove(place);
            }
            None => chosen.push(image.id),
        }
        cx.commands.send(Command::SetWatch(Some(chosen)));
    }
    response.on_hover_ui(|ui| {
        ui.label(RichText::new(image.name()).font(tokens::medium(13.0)));
        let class = cx.project.class(image.class);
        let class = class.map_or("no class", |class| class.name.as_str());
        ui.label(format!("{class}, {}", image.part.name()));
        if is_full {
            ui.label(format!(
                "{MOST_WATCHED} are watched already; take one out first."
            ));
        }
    });
}

/// What is dragged, under the pointer.
pub(super) fn drag_ui(ui: &Ui, cx: &mut Context<'_>) {
    let Some(dragged) = DragAndDrop::payload::<Dragged>(ui.ctx()) else {
        return;
    };
    let pointer = ui.ctx().pointer_interact_pos();
    let (Some(at), Some(image)) = (pointer, cx.project.image(dragged.image)) else {
        return;
    };
    if let Picture::Ready(texture) = cx.thumbnail(image) {
        let layer = LayerId::new(Order::Tooltip, Id::unique("dragged image"));
        let rect = Rect::from_center_size(at, vec2(CELL, CELL));
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        let tint = Color32::WHITE.gamma_multiply(0.8);
        ui.ctx()
            .layer_painter(layer)
            .image(texture.id(), rect, uv, tint);
    }
}
