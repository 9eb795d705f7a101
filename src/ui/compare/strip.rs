//! A strip of small images: those of what was clicked last.

use care_data::ImageId;
use egui::{
    Color32, Rect, RichText, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2,
};

use super::cases::Cell;
use super::shown::Shown;
use crate::command::{Action, Command};
use crate::format;
use crate::textures::Picture;
use crate::ui::tokens::{self, Tokens, radius, size};
use crate::ui::widgets::{WordButton, filling_uv, focus_ring};
use crate::ui::{Context, icons};

/// A side of an image of the strip.
const THUMBNAIL: f32 = 56.0;
const GAP: f32 = 8.0;
/// Room for the ring round the selected image.
const RING: f32 = 2.0;

/// The images of what was clicked last.
#[derive(Default)]
pub(super) struct Strip {
    /// The cell of a confusion matrix, where it is one.
    pub cell: Option<Cell>,
    pub what: String,
    pub images: Vec<ImageId>,
}

/// The images of what was clicked, and the way to Annotate.
pub(super) fn strip_ui(ui: &mut Ui, cx: &mut Context<'_>, shown: &mut Shown, hint: &str) {
    let t = Tokens::of(ui);
    ui.horizontal_centered(|ui| {
        if shown.strip.what.is_empty() {
            ui.label(
                RichText::new(hint)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
            return;
        }
        heading_ui(ui, &shown.strip.what, shown.strip.images.len());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let spec = Action::ShowInAnnotate.spec();
            let key = Action::ShowInAnnotate.shortcut(ui.ctx());
            let key = key.map(|key| ui.ctx().format_shortcut(&key));
            let button = WordButton::new(spec.text)
                .key(key.unwrap_or_default())
                .enabled(shown.picked.is_some())
                .ui(ui)
                .on_hover_text(spec.tooltip);
            if let (true, Some(image)) = (button.clicked(), shown.picked) {
                cx.commands.send(Command::Annotate(image));
            }
            ui.add_space(8.0);
            let size = vec2(ui.available_width(), THUMBNAIL + 8.0);
            let layout = egui::Layout::left_to_right(egui::Align::Center);
            ui.allocate_ui_with_layout(size, layout, |ui| images_ui(ui, cx, shown));
        });
    });
}

/// How many images, and of what.
fn heading_ui(ui: &mut Ui, what: &str, n: usize) {
    let t = Tokens::of(ui);
    ui.allocate_ui_with_layout(
        vec2(152.0, 60.0),
        egui::Layout::top_down(egui::Align::Min).with_main_align(egui::Align::Center),
        |ui| {
            ui.set_width(152.0);
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.label(
                RichText::new(format::plural(n, "image", "images"))
                    .font(tokens::medium(13.0))
                    .color(t.text_strong),
            );
            ui.add(
                egui::Label::new(
                    RichText::new(what)
                        .text_style(tokens::caption())
                        .color(t.text_weak),
                )
                .wrap(),
            );
        },
    );
}

/// The images side by side, scrolled by the wheel, and how many lie beyond; only those in view are laid out.
fn images_ui(ui: &mut Ui, cx: &mut Context<'_>, shown: &mut Shown) {
    /// "+1234".
    const MORE: f32 = 40.0;
    let n = shown.strip.images.len();
    let pitch = THUMBNAIL + GAP;
    let fits = |width: f32| ((width + GAP) / pitch).floor().max(0.0) as usize;
    let num_seen = if n <= fits(ui.available_width() - 2.0 * RING) {
        n
    } else {
        fits(ui.available_width() - 2.0 * RING - MORE)
    };
    ui.style_mut().always_scroll_the_only_direction = true;
    let mut end = 0;
    ScrollArea::horizontal()
        .id_salt(("strip", &shown.strip.what))
        .scroll_bar_visibility(egui::scroll_area::ScrollBarVisibility::AlwaysHidden)
        .max_width((num_seen as f32 * pitch - GAP + 2.0 * RING).max(0.0))
        .auto_shrink([false, true])
        .show_viewport(ui, |ui, viewport| {
            ui.set_height(THUMBNAIL + 2.0 * RING);
            ui.set_width((n as f32 * pitch - GAP + 2.0 * RING).max(0.0));
            let first = (viewport.left() / pitch).floor().max(0.0) as usize;
            end = (((viewport.right() - 2.0 * RING) / pitch).ceil().max(0.0) as usize).min(n);
            let origin = ui.max_rect().left_top() + vec2(RING, RING);
            for place in first..end {
                let at = origin + vec2(place as f32 * pitch, 0.0);
                let rect = Rect::from_min_size(at, vec2(THUMBNAIL, THUMBNAIL));
                let image = shown.strip.images[place];
                thumbnail_ui(ui, cx, shown, image, rect, "in the strip");
            }
        });
    if end < n {
        ui.label(
            RichText::new(format!("+{}", format::count(n - end)))
                .text_style(tokens::caption())
                .color(Tokens::of(ui).text_weak),
        );
    }
}

/// A small image to pick; `place` tells it from the same image elsewhere.
pub(super) fn thumbnail_ui(
    ui: &Ui,
    cx: &mut Context<'_>,
    shown: &mut Shown,
    id: ImageId,
    rect: Rect,
    place: &str,
) {
    let t = Tokens::of(ui);
    let project = cx.project;
    let Some(image) = project.image(id) else {
        return;
    };
    let response = ui.interact(rect, ui.scope_id().with((place, id)), Sense::click());
    let selected = shown.picked == Some(id);
    response.widget_info(|| {
        let name = format!("{}, {place}", image.name());
        WidgetInfo::selected(Role::Button, true, selected, name)
    });
    let corner = f32::from(radius::IMAGE);
    match cx.thumbnail(image) {
        Picture::Ready(texture) => {
            let uv = filling_uv(rect.size(), texture.size_vec2());
            let shape = egui::epaint::RectShape::filled(rect, corner, Color32::WHITE)
                .with_texture(texture.id(), uv);
            ui.painter().add(shape);
        }
        Picture::Loading => {
            ui.painter().rect_filled(rect, corner, t.active);
        }
        Picture::Failed(_) => {
            ui.painter().rect_filled(rect, corner, t.active);
            ui.painter().text(
                rect.center(),
                egui::Align2::CENTER_CENTER,
                icons::WARNING,
                tokens::icon(size::ICON),
                t.warning,
            );
        }
    }
    if selected {
        ui.painter().rect_stroke(
            rect,
            corner,
            Stroke::new(2.0, t.accent),
            StrokeKind::Outside,
        );
    }
    focus_ring(ui, &response, radius::IMAGE);
    if response.clicked() {
        shown.picked = Some(id);
    }
    if response.double_clicked() {
        cx.commands.send(Command::Annotate(id));
    }
    response.on_hover_text(image.name());
}
