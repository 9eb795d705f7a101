//! What the canvas draws over the image.

use care_data::{BoundingBox, Class, ImageSize};
use egui::{
    Color32, CornerRadius, Painter, Pos2, Rect, Stroke, StrokeKind, TextureHandle, Ui, Vec2, pos2,
    vec2,
};

use crate::ui::icons;
use crate::ui::tokens::{self, Tokens};
use crate::ui::view::{Handle, View};
use crate::ui::widgets::class_dot;

/// Longer side of the small map of a zoomed image, in points.
const MINIMAP: f32 = 144.0;
const MINIMAP_MARGIN: f32 = 12.0;

/// Lines through the pointer, over the image's whole width and height.
pub(super) fn crosshair_ui(painter: &Painter, image: Rect, at: Pos2) {
    let seen = image.intersect(painter.clip_rect());
    if seen.contains(at) {
        // Light over dark, so that it is seen on both.
        for (width, ink) in [(3.0, tokens::OVERLAY_EDGE), (1.0, tokens::OVERLAY_LINE)] {
            let stroke = Stroke::new(width, ink.gamma_multiply(0.5));
            painter.hline(seen.x_range(), at.y, stroke);
            painter.vline(at.x, seen.y_range(), stroke);
        }
    }
}

/// A box as training scales it, in dashes: beside the box that was drawn, not in its place.
pub(super) fn scaled_box_ui(painter: &Painter, rect: Rect) {
    dashed_ui(painter, rect, 1.0, [6.0, 6.0]);
}

/// What somebody drew who reads apart.
pub(super) fn reader_box_ui(painter: &Painter, rect: Rect, reader: &str) {
    dashed_ui(painter, rect, 1.0, [2.0, 4.0]);
    label_ui(painter, rect, reader, None);
}

/// A box that nobody has accepted yet.
pub(super) fn suggestion_ui(painter: &Painter, rect: Rect, class: Option<&Class>) {
    dashed_ui(painter, rect, 1.5, [8.0, 6.0]);
    if let Some(class) = class {
        let words = format!("suggested: {}", class.name);
        label_ui(painter, rect, &words, Some(class.color));
    }
}

fn dashed_ui(painter: &Painter, rect: Rect, width: f32, [dash, gap]: [f32; 2]) {
    let corners = [
        rect.left_top(),
        rect.right_top(),
        rect.right_bottom(),
        rect.left_bottom(),
        rect.left_top(),
    ];
    painter.add(egui::Shape::line(
        corners.to_vec(),
        Stroke::new(3.0, tokens::OVERLAY_EDGE),
    ));
    painter.extend(egui::Shape::dashed_line(
        &corners,
        Stroke::new(width, tokens::OVERLAY_LINE),
        dash,
        gap,
    ));
}

/// Where the small map of a zoomed image stands; none where all of the image is seen.
pub(super) fn minimap_rect(area: Rect, view: View, size: ImageSize) -> Option<Rect> {
    let image = view.image_rect(size);
    (!area.expand(1.0).contains_rect(image)).then(|| {
        let scale = MINIMAP / image.size().max_elem();
        let corner = area.max - Vec2::splat(MINIMAP_MARGIN);
        Rect::from_min_max(corner - image.size() * scale, corner)
    })
}

/// The pixel of the image at a place of the small map.
pub(super) fn on_minimap(map: Rect, at: Pos2, size: ImageSize) -> [f64; 2] {
    let share = (at - map.min) / map.size();
    [
        f64::from(share.x) * f64::from(size.width),
        f64::from(share.y) * f64::from(size.height),
    ]
}

pub(super) fn minimap_ui(
    painter: &Painter,
    map: Rect,
    texture: &TextureHandle,
    view: View,
    size: ImageSize,
) {
    let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    painter.image(texture.id(), map, whole, Color32::WHITE);
    painter.rect_stroke(
        map,
        0.0,
        Stroke::new(1.0, tokens::OVERLAY_LABEL),
        StrokeKind::Outside,
    );
    let image = view.image_rect(size);
    let seen = painter.clip_rect().intersect(image);
    let on_map = |at: Pos2| map.min + (at - image.min) / image.size() * map.size();
    let seen = Rect::from_min_max(on_map(seen.min), on_map(seen.max));
    for (width, ink) in [(3.0, tokens::OVERLAY_EDGE), (1.0, tokens::OVERLAY_LINE)] {
        painter.rect_stroke(seen, 0.0, Stroke::new(width, ink), StrokeKind::Middle);
    }
}

pub(super) fn handles_ui(painter: &Painter, rect: Rect) {
    for handle in Handle::of(rect) {
        painter.rect(
            Rect::from_center_size(handle.on(rect), Vec2::splat(9.0)),
            1.5,
            tokens::OVERLAY_LINE,
            Stroke::new(1.0, tokens::OVERLAY_LABEL),
            StrokeKind::Outside,
        );
    }
}

/// The size of the box under the hand, in pixels of the image.
pub(super) fn size_label_ui(painter: &Painter, view: View, rect: BoundingBox) {
    let text = format!("{:.0} × {:.0} px", rect.width(), rect.height());
    label_ui(painter, view.box_to_screen(rect), &text, None);
}

/// A label above a box; below it or in it where the canvas ends.
pub(super) fn label_ui(painter: &Painter, rect: Rect, text: &str, class: Option<u32>) {
    const HEIGHT: f32 = 20.0;
    const GAP: f32 = 6.0;
    let area = painter.clip_rect();
    if !area.intersects(rect) {
        return;
    }
    let galley =
        painter.layout_no_wrap(text.to_owned(), tokens::medium(12.0), tokens::OVERLAY_TEXT);
    let before = if class.is_some() { 22.0 } else { 8.0 };
    let size = vec2(before + galley.size().x + 8.0, HEIGHT);
    let top = if rect.top() - GAP - HEIGHT >= area.top() {
        rect.top() - GAP - HEIGHT
    } else if rect.bottom() + GAP + HEIGHT <= area.bottom() {
        rect.bottom() + GAP
    } else {
        area.top().max(rect.top()) + GAP
    };
    // Flush with the outline, which is drawn to both sides of the edge.
    let left = (rect.left() - 2.0).clamp(area.left(), (area.right() - size.x).max(area.left()));
    let label = Rect::from_min_size(pos2(left, top), size);
    painter.rect_filled(label, CornerRadius::same(3), tokens::OVERLAY_LABEL);
    if let Some(color) = class {
        // The label is dark in both themes.
        class_dot(
            painter,
            &tokens::DARK,
            pos2(label.left() + 11.0, label.center().y),
            color,
        );
    }
    let at = pos2(
        label.left() + before,
        label.center().y - galley.size().y / 2.0,
    );
    painter.galley(at, galley, tokens::OVERLAY_TEXT);
}

/// In place of an image that cannot be decoded: which file, why, and what to do.
pub(super) fn not_shown(ui: &mut Ui, area: Rect, path: &str, why: &str) {
    let t = Tokens::of(ui);
    let width = (area.width() - 64.0).clamp(120.0, 480.0);
    let middle = Rect::from_center_size(area.center(), vec2(width, 160.0));
    ui.scope_builder(egui::UiBuilder::new().max_rect(middle), |ui| {
        ui.vertical_centered(|ui| {
            ui.label(
                egui::RichText::new(icons::WARNING)
                    .font(tokens::icon(32.0))
                    .color(t.warning),
            );
            ui.label(
                egui::RichText::new("This image cannot be shown")
                    .text_style(tokens::section())
                    .color(t.text_strong),
            );
            ui.label(egui::RichText::new(path).color(t.text));
            ui.label(egui::RichText::new(why).color(t.text));
        });
    });
}
