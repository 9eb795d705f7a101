//! Attention maps over pictures, and the one control of how they are drawn.

use care_figures::{Grid, MapStyle, Palette, Scale};
use care_learn::AttentionMap;
use egui::{
    Align2, Color32, FontId, Layout, Painter, Popup, PopupCloseBehavior, Rect, Response, RichText,
    Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, vec2,
};

use super::Context;
use super::icons;
use super::tokens::{self, Tokens, radius, size};
use super::widgets::{checkbox, focus_ring, segmented_across, slider_row, texture_ui};
use crate::command::{Action, Command};

/// A map to be drawn. `key` names its values for good.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    pub key: u64,
    pub map: &'a AttentionMap,
    /// [`MapStyle::gain`].
    pub gain: f32,
}

/// A map over the picture at `rect`, with a `share` of the opacity in 0..=1.
pub fn map_ui(painter: &Painter, cx: &mut Context<'_>, rect: Rect, map: Shown<'_>, share: f32) {
    let style = cx.map_style;
    let drawn = cx.textures.map(map.key, map.map, style, map.gain);
    let tint = Color32::WHITE.gamma_multiply(style.opacity * share);
    texture_ui(painter, rect, &drawn.texture, tint);
    let painter = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    for line in drawn.contour.iter() {
        let points: Vec<_> = line
            .iter()
            .map(|[u, v]| rect.lerp_inside(vec2(*u, *v)))
            .collect();
        for (width, ink) in [(2.5, tokens::OVERLAY_EDGE), (1.0, tokens::OVERLAY_LINE)] {
            let stroke = Stroke::new(width, ink.gamma_multiply(share));
            painter.add(Shape::line(points.clone(), stroke));
        }
    }
}

/// What the colours are on, in a few words.
fn words(style: &MapStyle, has_peaks: bool) -> &'static str {
    let scale = if has_peaks { style.scale } else { Scale::Own };
    match (scale, style.grid) {
        (Scale::Own, Grid::Smooth) => "own scale, smooth",
        (Scale::Own, Grid::Raw) => "own scale, raw grid",
        (Scale::Common, Grid::Smooth) => "one scale, smooth",
        (Scale::Common, Grid::Raw) => "one scale, raw grid",
    }
}

/// Whether the maps of the run shown can be put on one scale.
fn has_peaks(cx: &Context<'_>) -> bool {
    cx.run.is_none_or(|run| {
        let film = run.film.iter().flat_map(|frame| frame.images.first());
        let test = run.test.iter().flat_map(|(_, seen)| seen.first());
        film.chain(test).all(|seen| seen.peak.is_some())
    })
}

/// The colour bar, with what its colours are relative to; a click opens the choices.
pub fn overlay_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    let t = Tokens::of(ui);
    let style = *cx.map_style;
    let words = words(&style, has_peaks(cx));
    const BAR: f32 = 108.0;
    const PAD: f32 = 8.0;
    let text =
        ui.painter()
            .layout_no_wrap(words.to_owned(), FontId::proportional(12.0), t.text_weak);
    let width = PAD + BAR + 8.0 + text.size().x + 4.0 + 12.0 + PAD;
    let (rect, response) = ui.allocate_exact_size(vec2(width, 28.0), Sense::click());
    let name = format!("Overlay: {}, {words}", style.palette.name());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
    let painter = ui.painter();
    if response.hovered() {
        painter.rect_filled(rect, f32::from(radius::CONTROL), t.hover);
    }
    let left = rect.left() + PAD;
    let middle = rect.center().y;
    color_bar(
        painter,
        t,
        &style,
        Rect::from_min_max(pos2(left, rect.top()), pos2(left + BAR, rect.bottom())),
    );
    let at = pos2(left + BAR + 8.0, middle - text.size().y / 2.0);
    let caret = at.x + text.size().x + 4.0 + 6.0;
    painter.galley(at, text, t.text_weak);
    painter.text(
        pos2(caret, middle),
        Align2::CENTER_CENTER,
        icons::CARET_DOWN,
        tokens::icon(12.0),
        t.text_weak,
    );
    focus_ring(ui, &response, radius::CONTROL);
    choices_ui(&response, style, cx);
    let hint = format!(
        "How attention maps are drawn. {}",
        Action::RawGrid.tooltip(ui.ctx())
    );
    if !Popup::is_id_open(ui.ctx(), Popup::default_response_id(&response)) {
        response.on_hover_text(hint);
    }
}

fn color_bar(painter: &Painter, t: &Tokens, style: &MapStyle, rect: Rect) {
    let bar = Rect::from_min_max(
        pos2(rect.left() + 12.0, rect.center().y - 4.0),
        pos2(rect.right() - 12.0, rect.center().y + 4.0),
    );
    let mut mesh = egui::Mesh::default();
    const STEPS: u32 = 32;
    for i in 0..=STEPS {
        let f = i as f32 / STEPS as f32;
        let [r, g, b] = style.palette.color(f);
        let x = egui::lerp(bar.x_range(), f);
        mesh.colored_vertex(pos2(x, bar.top()), Color32::from_rgb(r, g, b));
        mesh.colored_vertex(pos2(x, bar.bottom()), Color32::from_rgb(r, g, b));
        if i > 0 {
            mesh.add_triangle(2 * i - 2, 2 * i - 1, 2 * i);
            mesh.add_triangle(2 * i - 1, 2 * i, 2 * i + 1);
        }
    }
    painter.add(mesh);
    if let Some(threshold) = style.contour {
        let x = egui::lerp(bar.x_range(), threshold);
        painter.vline(
            x,
            rect.center().y - 7.0..=rect.center().y + 7.0,
            Stroke::new(1.5, t.text_strong),
        );
    }
    for (text, x, align) in [
        ("0", rect.left(), Align2::LEFT_CENTER),
        ("1", rect.right(), Align2::RIGHT_CENTER),
    ] {
        let at = pos2(x, rect.center().y);
        painter.text(at, align, text, FontId::proportional(12.0), t.text);
    }
}

fn choices_ui(button: &Response, before: MapStyle, cx: &mut Context<'_>) {
    Popup::from_toggle_button_response(button)
        .width(296.0)
        .gap(4.0)
        .layout(Layout::top_down(egui::Align::LEFT))
        .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
        .show(|ui| {
            let mut style = before;
            ui.spacing_mut().item_spacing.y = 8.0;
            let palettes = Palette::ALL.map(|palette| (palette, palette.name().to_owned()));
            segmented_across(ui, "Colours", &palettes, &mut style.palette);
            let mut opacity = f64::from(style.opacity);
            if slider_row(ui, "Opacity", &mut opacity, 0.0..=1.0) {
                style.opacity = opacity as f32;
            }
            let mut is_drawn = style.contour.is_some();
            checkbox(ui, &mut is_drawn, "Contour");
            style.contour = is_drawn.then(|| style.contour.unwrap_or(0.5));
            if let Some(threshold) = &mut style.contour {
                let mut value = f64::from(*threshold);
                if slider_row(ui, "at", &mut value, 0.05..=0.95) {
                    *threshold = value as f32;
                }
            }
            let grids = [(Grid::Smooth, "Smooth"), (Grid::Raw, "Raw grid")];
            let grids = grids.map(|(grid, text)| (grid, text.to_owned()));
            segmented_across(ui, "Between the cells", &grids, &mut style.grid);
            let scales = [(Scale::Own, "Each its own scale"), (Scale::Common, "One scale")];
            let scales = scales.map(|(scale, text)| (scale, text.to_owned()));
            segmented_across(ui, "Scale", &scales, &mut style.scale);
            let remark = match style.scale {
                Scale::Own => "1 is each map's own largest value, as the loss sees it.",
                Scale::Common => {
                    "1 is the largest value of all models on an image. Runs of before this was kept stay on their own."
                }
            };
            let remark = RichText::new(remark).text_style(tokens::caption());
            ui.set_max_width(size::TEXT_MAX.min(ui.available_width()));
            ui.add(egui::Label::new(remark.color(Tokens::of(ui).text_weak)).wrap());
            if style != before {
                cx.commands.send(Command::SetMapStyle(style));
            }
        });
}
