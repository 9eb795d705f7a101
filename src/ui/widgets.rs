//! The controls of the window: each drawn one way, everywhere. Every one has an accessible name.

use egui::emath::GuiRounding as _;
use egui::{
    Align2, Color32, CornerRadius, FontId, Id, Modal, Painter, Pos2, Rect, Response, RichText,
    Role, Sense, Stroke, StrokeKind, TextureHandle, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::icons;
use super::tokens::{self, Tokens, radius, size};
use crate::command::{Command, Commands};
use crate::state::Problem;
use crate::textures::Picture;

/// What a button looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emphasis {
    /// Filled with the accent: at most one in a room.
    Primary,
    Normal,
}

/// A button with a word: an icon before it, a key after it.
#[derive(Debug, Clone)]
#[must_use = "show it with `ui`"]
pub struct WordButton<'a> {
    text: &'a str,
    icon: Option<(&'a str, FontId)>,
    icon_after: Option<&'a str>,
    key: Option<String>,
    emphasis: Emphasis,
    enabled: bool,
    size: Vec2,
}

impl<'a> WordButton<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            icon: None,
            icon_after: None,
            key: None,
            emphasis: Emphasis::Normal,
            enabled: true,
            size: vec2(0.0, size::BUTTON),
        }
    }

    pub fn primary(mut self) -> Self {
        self.emphasis = Emphasis::Primary;
        self
    }

    pub fn icon(mut self, glyph: &'a str) -> Self {
        self.icon = Some((glyph, tokens::icon(size::ICON)));
        self
    }

    /// A filled glyph: play, stop, star.
    pub fn icon_fill(mut self, glyph: &'a str) -> Self {
        self.icon = Some((glyph, tokens::icon_fill(size::ICON)));
        self
    }

    pub fn icon_after(mut self, glyph: &'a str) -> Self {
        self.icon_after = Some(glyph);
        self
    }

    /// The key that does the same, drawn as a key cap.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// At least this wide.
    pub fn width(mut self, width: f32) -> Self {
        self.size.x = width;
        self
    }

    pub fn height(mut self, height: f32) -> Self {
        self.size.y = height;
        self
    }

    pub fn ui(self, ui: &mut Ui) -> Response {
        const GAP: f32 = 8.0;
        let t = Tokens::of(ui);
        let painter = ui.painter().clone();
        let ink = if !self.enabled {
            t.text_disabled
        } else if self.emphasis == Emphasis::Primary {
            t.accent_text
        } else {
            t.text_strong
        };
        let text_size = if self.size.y >= size::BUTTON_MAIN {
            14.0
        } else {
            13.0
        };
        let lay = |text: &str, font: FontId| painter.layout_no_wrap(text.to_owned(), font, ink);
        let mut parts = Vec::new();
        if let Some((glyph, font)) = &self.icon {
            parts.push((lay(glyph, font.clone()), false));
        }
        parts.push((lay(self.text, tokens::medium(text_size)), false));
        if let Some(glyph) = self.icon_after {
            parts.push((lay(glyph, tokens::icon(size::ICON)), false));
        }
        if let Some(key) = &self.key {
            parts.push((lay(key, FontId::proportional(11.0)), true));
        }
        let cap = |is_key: bool| if is_key { 12.0 } else { 0.0 };
        let content: f32 = parts.iter().map(|(g, k)| g.size().x + cap(*k)).sum::<f32>()
            + GAP * (parts.len() - 1) as f32;
        let wanted = vec2(self.size.x.max(content + 24.0), self.size.y);
        let sense = if self.enabled {
            Sense::click()
        } else {
            Sense::hover()
        };
        let (rect, response) = ui.allocate_exact_size(wanted, sense);
        let enabled = self.enabled && ui.is_enabled();
        response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, self.text));

        let corner = CornerRadius::same(radius::CONTROL);
        let (fill, edge) = match (self.emphasis, self.enabled) {
            (Emphasis::Primary, true) if response.hovered() => {
                (t.accent_fill_hover, Color32::TRANSPARENT)
            }
            (Emphasis::Primary, true) => (t.accent_fill, Color32::TRANSPARENT),
            (_, false) => (t.raised, t.stroke),
            (_, true) if response.is_pointer_button_down_on() => (t.active, t.stroke_strong),
            (_, true) if response.hovered() => (t.hover, t.stroke_strong),
            (_, true) => (t.raised, t.stroke),
        };
        painter.rect(
            rect,
            corner,
            fill,
            Stroke::new(1.0, edge),
            StrokeKind::Inside,
        );
        let mut x = rect.center().x - content / 2.0;
        for (galley, is_key) in parts {
            let galley_size = galley.size();
            if is_key {
                let key_rect = Rect::from_min_size(
                    pos2(x, rect.center().y - 9.0),
                    vec2(galley_size.x + cap(true), 18.0),
                );
                painter.rect_stroke(
                    key_rect,
                    4.0,
                    Stroke::new(1.0, ink.gamma_multiply(0.7)),
                    StrokeKind::Inside,
                );
                painter.galley(key_rect.center() - galley_size / 2.0, galley, ink);
            } else {
                painter.galley(pos2(x, rect.center().y - galley_size.y / 2.0), galley, ink);
            }
            x += galley_size.x + cap(is_key) + GAP;
        }
        focus_ring(ui, &response, radius::CONTROL);
        response
    }
}

/// An icon without a word, 28 x 28, with its name as tooltip and accessible name.
#[derive(Debug, Clone, Copy)]
#[must_use = "show it with `ui`"]
pub struct IconButton<'a> {
    glyph: &'a str,
    name: &'a str,
    tooltip: &'a str,
    enabled: bool,
    selected: bool,
    fill: bool,
}

impl<'a> IconButton<'a> {
    pub fn new(glyph: &'a str, name: &'a str) -> Self {
        Self {
            glyph,
            name,
            tooltip: name,
            enabled: true,
            selected: false,
            fill: false,
        }
    }

    pub fn tooltip(mut self, tooltip: &'a str) -> Self {
        self.tooltip = tooltip;
        self
    }

    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    pub fn selected(mut self, selected: bool) -> Self {
        self.selected = selected;
        self
    }

    pub fn fill(mut self) -> Self {
        self.fill = true;
        self
    }

    pub fn ui(self, ui: &mut Ui) -> Response {
        let t = Tokens::of(ui);
        let sense = if self.enabled {
            Sense::click()
        } else {
            Sense::hover()
        };
        let (rect, response) = ui.allocate_exact_size(Vec2::splat(28.0), sense);
        let enabled = self.enabled && ui.is_enabled();
        response
            .widget_info(|| WidgetInfo::selected(Role::Button, enabled, self.selected, self.name));
        let fill = if self.selected {
            t.accent_soft
        } else if enabled && response.hovered() {
            t.hover
        } else {
            Color32::TRANSPARENT
        };
        ui.painter()
            .rect_filled(rect, f32::from(radius::CONTROL), fill);
        let ink = match (enabled, self.selected) {
            (false, _) => t.text_disabled,
            (true, true) => t.accent,
            (true, false) => t.text,
        };
        let font = if self.fill {
            tokens::icon_fill
        } else {
            tokens::icon
        }(size::ICON_TOOLBAR);
        ui.painter()
            .text(rect.center(), Align2::CENTER_CENTER, self.glyph, font, ink);
        focus_ring(ui, &response, radius::CONTROL);
        response
            .on_hover_text(self.tooltip)
            .on_disabled_hover_text(self.tooltip)
    }
}

/// A ring round what has the keyboard's focus.
pub fn focus_ring(ui: &Ui, response: &Response, corner: u8) {
    if response.has_focus() {
        ui.painter().rect_stroke(
            response.rect.expand(2.0),
            f32::from(corner) + 2.0,
            Stroke::new(2.0, Tokens::of(ui).focus),
            StrokeKind::Outside,
        );
    }
}

/// One of a few, side by side. `name` is the accessible name of the group. True where the choice changed.
pub fn segmented<T: Copy + PartialEq>(
    ui: &mut Ui,
    name: &str,
    choices: &[(T, String)],
    current: &mut T,
) -> bool {
    segmented_ui(ui, name, choices, current, None, &|_| None)
}

/// As [`segmented`], where `why_not` says of some choices why they cannot be made now.
pub fn segmented_where<T: Copy + PartialEq>(
    ui: &mut Ui,
    name: &str,
    choices: &[(T, String)],
    current: &mut T,
    why_not: &dyn Fn(T) -> Option<String>,
) -> bool {
    segmented_ui(ui, name, choices, current, None, why_not)
}

/// As [`segmented`], across the whole width.
pub fn segmented_across<T: Copy + PartialEq>(
    ui: &mut Ui,
    name: &str,
    choices: &[(T, String)],
    current: &mut T,
) -> bool {
    let width = ui.available_width();
    segmented_ui(ui, name, choices, current, Some(width), &|_| None)
}

fn segmented_ui<T: Copy + PartialEq>(
    ui: &mut Ui,
    name: &str,
    choices: &[(T, String)],
    current: &mut T,
    width: Option<f32>,
    why_not: &dyn Fn(T) -> Option<String>,
) -> bool {
    let t = Tokens::of(ui);
    let painter = ui.painter().clone();
    let mut changed = false;
    let galleys: Vec<_> = choices
        .iter()
        .map(|(value, text)| {
            let ink = if why_not(*value).is_some() {
                t.text_disabled
            } else if value == current {
                t.text_strong
            } else {
                t.text
            };
            painter.layout_no_wrap(text.clone(), tokens::medium(12.0), ink)
        })
        .collect();
    let words: f32 = galleys.iter().map(|g| g.size().x).sum();
    let padding = width.map_or(24.0, |width| {
        ((width - words) / choices.len().max(1) as f32).max(0.0)
    });
    let width = words + padding * choices.len() as f32;
    let (rect, _) = ui.allocate_exact_size(vec2(width, 28.0), Sense::hover());
    painter.rect(
        rect,
        f32::from(radius::CONTROL),
        t.field,
        Stroke::new(1.0, t.stroke),
        StrokeKind::Inside,
    );
    let mut x = rect.left();
    for ((value, text), galley) in choices.iter().zip(galleys) {
        let part = Rect::from_min_size(
            pos2(x, rect.top()),
            vec2(galley.size().x + padding, rect.height()),
        );
        x = part.right();
        let why_not = why_not(*value);
        let (enabled, sense) = match why_not {
            None => (true, Sense::click()),
            Some(_) => (false, Sense::hover()),
        };
        let response = ui.interact(part, ui.scope_id().with((name, text)), sense);
        let selected = value == current;
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, enabled, selected, text));
        let fill = if selected {
            t.active
        } else if enabled && response.hovered() {
            t.hover
        } else {
            Color32::TRANSPARENT
        };
        painter.rect_filled(part.shrink(1.0), f32::from(radius::CONTROL) - 1.0, fill);
        painter.galley(part.center() - galley.size() / 2.0, galley, t.text);
        focus_ring(ui, &response, radius::CONTROL);
        if response.clicked() && !selected {
            *current = *value;
            changed = true;
        }
        if let Some(why_not) = why_not {
            response.on_hover_text(why_not);
        }
    }
    changed
}

/// A row of 32: label, slider, value. The label is also the accessible name. True where the value changed.
pub fn slider_row(
    ui: &mut Ui,
    label: &str,
    value: &mut f64,
    range: std::ops::RangeInclusive<f64>,
) -> bool {
    let t = Tokens::of(ui);
    let before = *value;
    ui.name_inputs(label, |ui| {
        ui.horizontal(|ui| {
            ui.set_height(size::ROW);
            let (rect, _) = ui.allocate_exact_size(vec2(64.0, size::ROW), Sense::hover());
            ui.painter().text(
                rect.left_center(),
                Align2::LEFT_CENTER,
                label,
                FontId::proportional(13.0),
                t.text_strong,
            );
            const FIELD: f32 = 52.0;
            // The rail is as wide as what is left; egui makes the handle's radius 0.4 of the height.
            let gap = ui.spacing().item_spacing.x;
            ui.spacing_mut().slider_width = (ui.available_width() - FIELD - gap).max(40.0);
            ui.spacing_mut().interact_size.y = 20.0;
            ui.spacing_mut().button_padding.x = 4.0;
            ui.visuals_mut().selection.bg_fill = t.accent;
            ui.visuals_mut().widgets.inactive.bg_fill = t.active;
            let slider = ui.add(
                egui::Slider::new(value, range.clone())
                    .show_value(false)
                    .step_by(0.01),
            );
            let reach = slider.rect.x_range().shrink(8.0);
            let share = (*value - range.start()) / (range.end() - range.start());
            let handle = pos2(
                egui::lerp(reach, share.clamp(0.0, 1.0) as f32),
                slider.rect.center().y,
            );
            let ring = if ui.is_enabled() {
                t.accent
            } else {
                t.text_disabled
            };
            ui.painter()
                .circle(handle, 8.0, tokens::OVERLAY_LINE, Stroke::new(2.5, ring));
            focus_ring(ui, &slider, radius::CONTROL);
            ui.visuals_mut().selection.bg_fill = t.accent_soft;
            ui.visuals_mut().widgets.inactive.weak_bg_fill = t.field;
            ui.add_sized(
                [FIELD, 26.0],
                egui::DragValue::new(value)
                    .range(range)
                    .speed(0.005)
                    .fixed_decimals(2),
            );
        });
    });
    // The slider snaps to its steps, which moves 0.7 in its last bit: no change.
    let changed = (*value - before).abs() > 1e-6;
    if !changed {
        *value = before;
    }
    changed
}

/// A box to tick, with its edge to be seen: there is no word in it.
pub fn checkbox(ui: &mut Ui, value: &mut bool, text: &str) -> Response {
    ui.scope(|ui| {
        let t = Tokens::of(ui);
        ui.visuals_mut().widgets.inactive.bg_stroke.color = t.stroke_strong;
        ui.visuals_mut().widgets.inactive.bg_fill = t.field;
        ui.checkbox(value, text)
    })
    .inner
}

/// A class's dot; a ring where its colour is used a second time.
pub fn class_dot(painter: &Painter, t: &Tokens, center: Pos2, color: u32) {
    if tokens::is_ring(color) {
        painter.circle_stroke(center, 4.0, Stroke::new(2.0, t.class(color)));
    } else {
        painter.circle_filled(center, 4.5, t.class(color));
    }
}

/// A 1 pt line across the whole panel, through its padding.
pub fn divider(ui: &mut Ui) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 1.0), Sense::hover());
    let clip = ui.clip_rect();
    let stroke = Stroke::new(1.0, Tokens::of(ui).stroke);
    ui.painter()
        .hline(clip.x_range(), rect.center().y.round() + 0.5, stroke);
}

/// A section's title with a weak remark at the right end.
pub fn section_title(ui: &mut Ui, title: &str, remark: &str) {
    ui.horizontal(|ui| {
        ui.label(
            RichText::new(title)
                .text_style(tokens::section())
                .color(Tokens::of(ui).text_strong),
        );
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.label(
                RichText::new(remark)
                    .text_style(tokens::caption())
                    .color(Tokens::of(ui).text_weak),
            );
        });
    });
}

/// The arrow of a combo box, for [`egui::ComboBox::icon`].
pub fn combo_caret(ui: &Ui, rect: Rect, _: &egui::style::WidgetVisuals, _open: bool) {
    ui.painter().text(
        rect.center(),
        Align2::CENTER_CENTER,
        icons::CARET_DOWN,
        tokens::icon(12.0),
        Tokens::of(ui).text_weak,
    );
}

/// Gives a text field its accessible name. egui takes the hint for one, but the hint is gone once something is typed.
pub fn name_field(response: &Response, name: &str) {
    response
        .ctx
        .accesskit_node_builder(response.id, |node| node.set_label(name));
}

/// A bar of `fraction` in the accent, 6 high.
pub fn progress_bar(ui: &mut Ui, name: &str, fraction: f32) {
    let t = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 6.0), Sense::hover());
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ProgressIndicator, true, name);
        info.value = Some(f64::from(fraction));
        info
    });
    ui.painter()
        .rect_filled(rect, f32::from(radius::BAR), t.active);
    let mut done = rect;
    done.set_width(rect.width() * fraction.clamp(0.0, 1.0));
    ui.painter()
        .rect_filled(done, f32::from(radius::BAR), t.accent);
}

/// The part of `cell` that a picture of this size fills when it is fitted into it.
#[must_use]
pub fn fitted(cell: Rect, picture: Vec2) -> Rect {
    let scale = (cell.width() / picture.x.max(1.0)).min(cell.height() / picture.y.max(1.0));
    Rect::from_center_size(cell.center(), picture * scale)
}

/// The texture coordinates that show the middle of a picture, filling `cell` wholly.
#[must_use]
pub fn filling_uv(cell: Vec2, picture: Vec2) -> Rect {
    let scale = (cell.x / picture.x.max(1.0)).max(cell.y / picture.y.max(1.0));
    let shown = cell / (picture * scale).max(Vec2::splat(1e-6));
    Rect::from_center_size(pos2(0.5, 0.5), shown)
}

/// A picture fitted into a cell with rounded corners, or why there is none. Returns the rectangle of the image.
pub fn picture_ui(ui: &Ui, cell: Rect, picture: &Picture) -> Rect {
    let t = Tokens::of(ui);
    let corner = f32::from(radius::IMAGE);
    match picture {
        Picture::Ready(texture) => {
            let rect = fitted(cell, texture.size_vec2());
            if rect != cell {
                ui.painter().rect_filled(cell, corner, t.raised);
            }
            texture_ui(ui.painter(), rect, texture, Color32::WHITE);
            rect
        }
        Picture::Loading => {
            ui.painter().rect_filled(cell, corner, t.raised);
            cell
        }
        Picture::Failed(_) => {
            ui.painter().rect_filled(cell, corner, t.raised);
            ui.painter().text(
                cell.center(),
                Align2::CENTER_CENTER,
                icons::WARNING,
                tokens::icon(20.0),
                t.warning,
            );
            cell
        }
    }
}

/// The whole texture over `rect`, corners rounded; `tint` fades an attention map.
pub fn texture_ui(painter: &Painter, rect: Rect, texture: &TextureHandle, tint: Color32) {
    let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    let shape = egui::epaint::RectShape::filled(rect, f32::from(radius::IMAGE), tint)
        .with_texture(texture.id(), uv);
    painter.add(shape);
}

/// The outline of a box on an image: white over black. `rect` in points.
pub fn box_outline(painter: &Painter, rect: Rect, selected: bool) {
    let (line, edge) = if selected { (2.0, 4.0) } else { (1.5, 3.0) };
    // Both on the same pixels: left to itself, each would be rounded to its own.
    let rect = rect.round_to_pixel_center(painter.pixels_per_point());
    for (width, ink) in [(edge, tokens::OVERLAY_EDGE), (line, tokens::OVERLAY_LINE)] {
        let stroke = Stroke::new(width, ink);
        let shape = egui::epaint::RectShape::stroke(rect, 0.0, stroke, StrokeKind::Middle);
        painter.add(shape.with_round_to_pixels(false));
    }
}

/// The rectangle on screen of a box of the image that is drawn over `image`.
#[must_use]
pub fn box_on_screen(rect: care_data::BoundingBox, of: care_data::ImageSize, image: Rect) -> Rect {
    let [x0, y0, x1, y1] = rect.xyxy();
    let at = |x: f64, y: f64| {
        pos2(
            image.left() + (x / f64::from(of.width)) as f32 * image.width(),
            image.top() + (y / f64::from(of.height)) as f32 * image.height(),
        )
    };
    Rect::from_min_max(at(x0, y0), at(x1, y1))
}

/// One line of text, cut off with an ellipsis where it would be wider than `width`.
#[must_use]
pub fn elided(
    painter: &Painter,
    text: &str,
    font: FontId,
    ink: Color32,
    width: f32,
) -> std::sync::Arc<egui::Galley> {
    let mut job = egui::text::LayoutJob::simple_singleline(text.to_owned(), font, ink);
    job.wrap = egui::text::TextWrapping::truncate_at_width(width);
    painter.layout_job(job)
}

/// A dialog in the middle of the window, which waits for an answer.
#[must_use]
pub fn sheet(ctx: &egui::Context, name: &str) -> Modal {
    let style = ctx.global_style();
    let frame = egui::Frame::popup(&style)
        .corner_radius(radius::CARD)
        .inner_margin(24);
    Modal::new(Id::unique(name)).frame(frame)
}

/// A message that says what went wrong and what to do, with a way to put it away.
pub fn problem_ui(ui: &mut Ui, problem: &Problem, commands: &mut Commands) {
    let t = Tokens::of(ui);
    egui::Frame::new()
        .fill(t.raised)
        .stroke(Stroke::new(1.0, t.danger))
        .corner_radius(CornerRadius::same(radius::CARD))
        .inner_margin(egui::Margin::symmetric(16, 12))
        .show(ui, |ui| {
            ui.set_max_width(size::TEXT_MAX.min(ui.available_width()));
            ui.horizontal(|ui| {
                ui.label(
                    RichText::new(icons::WARNING_CIRCLE)
                        .font(tokens::icon(size::ICON))
                        .color(t.danger),
                );
                ui.label(
                    RichText::new(&problem.title)
                        .font(tokens::medium(13.0))
                        .color(t.text_strong),
                );
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if IconButton::new(icons::X, "Dismiss").ui(ui).clicked() {
                        commands.send(Command::DismissProblem);
                    }
                });
            });
            ui.add(egui::Label::new(RichText::new(&problem.text).color(t.text)).wrap());
        });
}
