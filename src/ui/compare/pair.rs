//! One image large, as two models saw it: wiped, in turns, side by side, and their signed difference.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use care_data::{Image, ImageId};
use care_figures::Grid;
use egui::{
    Align2, CursorIcon, FontId, Key, Modifiers, Painter, Rect, Role, ScrollArea, Sense, Stroke,
    StrokeKind, TextureHandle, TextureOptions, Ui, WidgetInfo, pos2, vec2,
};

use super::cases::{Case, attention};
use super::difference;
use super::figure::{boxes_of, map_of, reading_in_words};
use super::shown::{From, Shown};
use super::strip::thumbnail_ui;
use crate::format;
use crate::ui::Context;
use crate::ui::icons;
use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{elided, fitted, focus_ring, picture_ui, segmented, texture_ui};

/// How two models are laid beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    #[default]
    Wipe,
    Blink,
    Beside,
    Difference,
}

impl Mode {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Wipe, "Wipe"),
        (Self::Blink, "Blink"),
        (Self::Beside, "Side by side"),
        (Self::Difference, "Difference"),
    ];
}

/// Seconds that each model is seen.
const TURN: f64 = 0.8;
/// An image of the strip.
const THUMBNAIL: f32 = 64.0;
const GAP: f32 = 8.0;

/// What is seen large.
pub(super) struct Pair {
    pub mode: Mode,
    /// Where the line stands, 0..=1 across the image.
    line: f32,
    /// The difference that was drawn last, and of what it is.
    drawn: Option<(u64, TextureHandle)>,
}

/// The image that is seen, and who saw it.
#[derive(Clone, Copy)]
struct Subject<'a> {
    from: From<'a>,
    shown: &'a Shown,
    case: &'a Case,
    image: &'a Image,
}

impl Subject<'_> {
    fn map_of(&self, ui: &Ui, cx: &mut Context<'_>, model: usize, rect: Rect) {
        map_of(ui, cx, self.from, &self.shown.cases, self.case, model, rect);
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            line: 0.5,
            drawn: None,
        }
    }
}

impl Pair {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, from: From<'_>, shown: &mut Shown) {
        let at = shown.place_of_picked();
        step_by_keys(ui, shown, at);
        let Some(case) = shown.rows.get(shown.place_of_picked().unwrap_or(0)) else {
            return;
        };
        let case = shown.cases.all[*case].clone();
        shown.picked = Some(case.image);
        let project = cx.project;
        let Some(image) = project.image(case.image) else {
            return;
        };
        ui.spacing_mut().item_spacing.y = 8.0;
        self.head_ui(ui, image);
        let room = ui.available_rect_before_wrap();
        let height = (room.height() - THUMBNAIL - 2.0 * GAP).max(80.0);
        let (area, _) = ui.allocate_exact_size(vec2(room.width(), height), Sense::hover());
        let subject = Subject {
            from,
            shown,
            case: &case,
            image,
        };
        if self.mode == Mode::Beside {
            beside_ui(ui, cx, subject, area);
        } else {
            self.one_ui(ui, cx, subject, area);
        }
        strip_ui(ui, cx, shown);
    }

    fn head_ui(&mut self, ui: &mut Ui, image: &Image) {
        let t = Tokens::of(ui);
        ui.horizontal(|ui| {
            ui.set_height(28.0);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let modes = Mode::ALL.map(|(mode, text)| (mode, text.to_owned()));
                segmented(ui, "How", &modes, &mut self.mode);
                let font = tokens::medium(13.0);
                let width = ui.available_width();
                let galley = elided(ui.painter(), image.name(), font, t.text_strong, width);
                let (rect, response) = ui.allocate_exact_size(vec2(width, 20.0), Sense::hover());
                ui.painter().galley(rect.left_top(), galley, t.text_strong);
                let name = format!("{}, shown large", image.name());
                response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &name));
            });
        });
    }

    /// Both models over one picture.
    fn one_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, subject: Subject<'_>, area: Rect) {
        let Subject {
            shown, case, image, ..
        } = subject;
        let [first, second] = shown.pair;
        let Some(rect) = large(ui, cx, image, area) else {
            return;
        };
        let seen = |ui: &Ui, model: usize, cx: &mut Context<'_>| {
            subject.map_of(ui, cx, model, rect);
        };
        match self.mode {
            Mode::Wipe => {
                let x = egui::lerp(rect.x_range(), self.line);
                for (model, part) in [
                    (first, Rect::from_min_max(rect.min, pos2(x, rect.bottom()))),
                    (second, Rect::from_min_max(pos2(x, rect.top()), rect.max)),
                ] {
                    let mut half = ui.new_child(egui::UiBuilder::new().max_rect(rect));
                    half.set_clip_rect(part.intersect(ui.clip_rect()));
                    seen(&half, model, cx);
                }
                boxes_of(ui, cx, image, rect);
                self.line_ui(ui, rect);
                label(ui, shown, case, first, rect, Align2::LEFT_TOP);
                label(ui, shown, case, second, rect, Align2::RIGHT_TOP);
            }
            Mode::Difference => {
                if let Some(texture) = self.difference_of(ui, cx, subject) {
                    let tint = egui::Color32::WHITE.gamma_multiply(cx.map_style.opacity);
                    texture_ui(ui.painter(), rect, &texture, tint);
                }
                boxes_of(ui, cx, image, rect);
                label(ui, shown, case, first, rect, Align2::LEFT_TOP);
                label(ui, shown, case, second, rect, Align2::RIGHT_TOP);
                difference_bar(ui, shown, rect);
            }
            Mode::Blink | Mode::Beside => {
                let time = ui.input(|input| input.time);
                let turn = (time / TURN) as u64 % 2;
                let left = TURN - time % TURN;
                ui.ctx()
                    .request_repaint_after(Duration::from_secs_f64(left));
                let (model, corner) = if turn == 0 {
                    (first, Align2::LEFT_TOP)
                } else {
                    (second, Align2::RIGHT_TOP)
                };
                seen(ui, model, cx);
                boxes_of(ui, cx, image, rect);
                label(ui, shown, case, model, rect, corner);
            }
        }
        let words = format!(
            "{}: {} and {}",
            image.name(),
            spoken(shown, case, first),
            spoken(shown, case, second)
        );
        let id = ui.scope_id().with("the picture");
        let response = ui.interact(rect, id, Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &words));
    }

    /// The line between the two, and what moves it.
    fn line_ui(&mut self, ui: &mut Ui, rect: Rect) {
        const HANDLE: egui::Vec2 = vec2(36.0, 28.0);
        const STEP: f32 = 0.01;
        let id = ui.scope_id().with("wipe");
        let x = egui::lerp(rect.x_range(), self.line).round();
        let handle = Rect::from_center_size(pos2(x, rect.top() + rect.height() * 0.9), HANDLE);
        let strip = Rect::from_x_y_ranges(x - 8.0..=x + 8.0, rect.y_range());
        let response = ui.interact(strip.union(handle), id, Sense::click_and_drag());
        response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::Slider, true, "Wipe");
            info.value = Some(f64::from(self.line));
            info
        });
        if let Some(at) = response.interact_pointer_pos() {
            self.line = (at.x - rect.left()) / rect.width();
        }
        if response.has_focus() {
            let filter = egui::EventFilter {
                horizontal_arrows: true,
                ..Default::default()
            };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
        }
        if response.has_focus() || nothing_has_focus(ui) {
            let pressed =
                |key| ui.input_mut(|input| input.count_and_consume_key(Modifiers::NONE, key));
            let by = pressed(Key::ArrowRight) as f32 - pressed(Key::ArrowLeft) as f32;
            self.line += by * STEP;
        }
        self.line = self.line.clamp(0.0, 1.0);
        let painter = ui.painter();
        for (width, ink) in [(4.0, tokens::OVERLAY_EDGE), (2.0, tokens::OVERLAY_LINE)] {
            painter.vline(x, rect.y_range(), Stroke::new(width, ink));
        }
        painter.rect(
            handle,
            f32::from(radius::CONTROL),
            tokens::OVERLAY_LINE,
            Stroke::new(1.0, tokens::OVERLAY_EDGE),
            StrokeKind::Outside,
        );
        for (glyph, dx) in [(icons::CARET_LEFT, -8.0), (icons::CARET_RIGHT, 8.0)] {
            painter.text(
                handle.center() + vec2(dx, 0.0),
                Align2::CENTER_CENTER,
                glyph,
                tokens::icon(14.0),
                tokens::OVERLAY_LABEL,
            );
        }
        focus_ring(ui, &response.clone().with_new_rect(handle), radius::CONTROL);
        response
            .on_hover_cursor(CursorIcon::ResizeHorizontal)
            .on_hover_text("Drag, or press the arrow keys");
    }

    /// Drawn anew where it is of something else than the last one.
    fn difference_of(
        &mut self,
        ui: &Ui,
        cx: &Context<'_>,
        subject: Subject<'_>,
    ) -> Option<TextureHandle> {
        let Subject {
            from, shown, case, ..
        } = subject;
        let seen = |model: usize| {
            let of = shown.cases.models.get(model)?;
            attention(from.run, from.other, of, case.seen(model)?)
        };
        let [first, second] = shown.pair;
        let (a, b) = (seen(first)?, seen(second)?);
        let peaks = || (0..shown.cases.models.len()).filter_map(|model| Some(seen(model)?.peak));
        let [gain_a, gain_b] = [a, b].map(|it| cx.map_style.gain(it.peak, peaks()));
        let raw = cx.map_style.grid == Grid::Raw;
        let mut hasher = DefaultHasher::new();
        let models = shown.pair.map(|model| {
            let of = &shown.cases.models[model];
            (of.run, of.role)
        });
        (models, case.image, raw, gain_a.to_bits(), gain_b.to_bits()).hash(&mut hasher);
        let key = hasher.finish();
        if self.drawn.as_ref().is_none_or(|(of, _)| *of != key) {
            let pixels = difference::overlay((&a.map, gain_a), (&b.map, gain_b), cx.map_style.grid);
            let options = TextureOptions::LINEAR;
            let texture = ui.ctx().load_texture("difference", pixels, options);
            self.drawn = Some((key, texture));
        }
        self.drawn.as_ref().map(|(_, texture)| texture.clone())
    }
}

/// Both pictures, beside or below each other.
fn beside_ui(ui: &mut Ui, cx: &mut Context<'_>, subject: Subject<'_>, area: Rect) {
    let Subject {
        shown, case, image, ..
    } = subject;
    // Beside or below each other, whichever is larger.
    let ratio = f64::from(image.size.width) / f64::from(image.size.height.max(1));
    let size = vec2(ratio as f32, 1.0);
    let halves = |beside: bool| {
        let (a, b) = if beside {
            area.split_left_right_at_fraction(0.5)
        } else {
            area.split_top_bottom_at_fraction(0.5)
        };
        let [dx, dy] = if beside {
            [GAP / 2.0, 0.0]
        } else {
            [0.0, GAP / 2.0]
        };
        let a = Rect::from_min_max(a.min, a.max - vec2(dx, dy));
        let b = Rect::from_min_max(b.min + vec2(dx, dy), b.max);
        [a, b]
    };
    let larger = |beside: bool| fitted(halves(beside)[0], size).area();
    let halves = halves(larger(true) >= larger(false));
    for (model, half) in shown.pair.into_iter().zip(halves) {
        let Some(rect) = large(ui, cx, image, half) else {
            continue;
        };
        subject.map_of(ui, cx, model, rect);
        boxes_of(ui, cx, image, rect);
        label(ui, shown, case, model, rect, Align2::LEFT_TOP);
        let id = ui
            .scope_id()
            .with(("beside", model, half.left() as i32, half.top() as i32));
        let words = format!("{}: {}", image.name(), spoken(shown, case, model));
        let response = ui.interact(rect, id, Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &words));
    }
}

fn nothing_has_focus(ui: &Ui) -> bool {
    ui.memory(|memory| memory.focused().is_none())
}

/// Up and down go through the images.
fn step_by_keys(ui: &Ui, shown: &mut Shown, at: Option<usize>) {
    if !nothing_has_focus(ui) {
        return;
    }
    let pressed = |key| ui.input_mut(|input| input.count_and_consume_key(Modifiers::NONE, key));
    let by = pressed(Key::ArrowDown) as isize - pressed(Key::ArrowUp) as isize;
    if by != 0 {
        let last = shown.rows.len().saturating_sub(1);
        let to = at.unwrap_or(0).saturating_add_signed(by).min(last);
        shown.picked = shown.rows.get(to).map(|row| shown.cases.all[*row].image);
    }
}

/// All pixels of the image, or its thumbnail until they are there, fitted into the middle.
fn large(ui: &Ui, cx: &mut Context<'_>, image: &Image, area: Rect) -> Option<Rect> {
    let full = cx.full(image, cx.project.look());
    let picture = if full.texture().is_some() {
        full
    } else {
        cx.thumbnail(image)
    };
    let rect = picture_ui(ui, area, &picture);
    picture.texture().is_some().then_some(rect)
}

fn spoken(shown: &Shown, case: &Case, model: usize) -> String {
    let name = shown.cases.models.get(model).map_or("", |it| &it.name);
    let Some(seen) = case.seen(model) else {
        return format!("{name}, not tested");
    };
    let (_, reading, _) = reading_in_words(&tokens::DARK, &shown.cases, case, seen);
    match seen.energy {
        Some(energy) => format!("{name} {}, {reading}", format::plain(f64::from(energy))),
        None => format!("{name}, {reading}"),
    }
}

/// Whose map it is, in a corner of it.
fn label(ui: &Ui, shown: &Shown, case: &Case, model: usize, rect: Rect, corner: Align2) {
    let text = spoken(shown, case, model);
    let ink = tokens::OVERLAY_TEXT;
    let galley = elided(
        ui.painter(),
        &text,
        tokens::medium(12.0),
        ink,
        rect.width() / 2.0 - 40.0,
    );
    let size = galley.size() + vec2(20.0, 8.0);
    let inner = rect.shrink(12.0);
    let at = corner.align_size_within_rect(size, inner);
    ui.painter().rect_filled(at, 3.0, tokens::OVERLAY_LABEL);
    ui.painter().galley(at.min + vec2(10.0, 4.0), galley, ink);
}

/// What the colours of the difference mean, on the image's lower edge.
fn difference_bar(ui: &Ui, shown: &Shown, rect: Rect) {
    let painter: &Painter = ui.painter();
    let name = |model: usize| {
        shown
            .cases
            .models
            .get(model)
            .map_or("", |it| it.name.as_str())
    };
    let ink = tokens::OVERLAY_TEXT;
    let font = FontId::proportional(12.0);
    let lay = |text: String| painter.layout_no_wrap(text, font.clone(), ink);
    let less = lay(format!("{} more  \u{2212}1", name(shown.pair[0])));
    let more = lay(format!("+1  {} more", name(shown.pair[1])));
    const BAR: f32 = 96.0;
    let size = vec2(less.size().x + BAR + more.size().x + 32.0, 24.0);
    let place = Align2::CENTER_BOTTOM.align_size_within_rect(size, rect.shrink(12.0));
    painter.rect_filled(place, 3.0, tokens::OVERLAY_LABEL);
    let y = place.center().y;
    painter.galley(
        pos2(place.left() + 8.0, y - less.size().y / 2.0),
        less.clone(),
        ink,
    );
    let left = place.left() + 16.0 + less.size().x;
    let mut mesh = egui::Mesh::default();
    const STEPS: u32 = 32;
    for i in 0..=STEPS {
        let t = i as f32 / STEPS as f32;
        let [r, g, b] = difference::color(2.0 * t - 1.0);
        for y in [y - 4.0, y + 4.0] {
            mesh.colored_vertex(pos2(left + t * BAR, y), egui::Color32::from_rgb(r, g, b));
        }
        if i > 0 {
            mesh.add_triangle(2 * i - 2, 2 * i - 1, 2 * i);
            mesh.add_triangle(2 * i - 1, 2 * i, 2 * i + 1);
        }
    }
    painter.add(mesh);
    painter.galley(pos2(left + BAR + 8.0, y - more.size().y / 2.0), more, ink);
}

/// The images in order, the one in hand ringed; only those in view are laid out.
fn strip_ui(ui: &mut Ui, cx: &mut Context<'_>, shown: &mut Shown) {
    let pitch = THUMBNAIL + GAP;
    ui.style_mut().always_scroll_the_only_direction = true;
    let n = shown.rows.len();
    let at = shown.place_of_picked();
    let mut area = ScrollArea::horizontal()
        .id_salt(("images", shown.which.id(), shown.order.text()))
        .scroll_bar_visibility(egui::scroll_area::ScrollBarVisibility::AlwaysHidden)
        .auto_shrink([false, true]);
    // What is chosen elsewhere comes into view.
    if let Some(at) = at.filter(|at| shown.in_strip != Some(*at)) {
        let middle = at as f32 * pitch - (ui.available_width() - pitch) / 2.0;
        area = area.horizontal_scroll_offset(middle.max(0.0));
    }
    shown.in_strip = at;
    area.show_viewport(ui, |ui, viewport| {
        ui.set_height(THUMBNAIL + 4.0);
        ui.set_width((n as f32 * pitch - GAP + 4.0).max(0.0));
        let first = (viewport.left() / pitch).floor().max(0.0) as usize;
        let end = ((viewport.right() / pitch).ceil().max(0.0) as usize).min(n);
        let origin = ui.max_rect().left_top() + vec2(2.0, 2.0);
        for place in first..end {
            let min = origin + vec2(place as f32 * pitch, 0.0);
            let rect = Rect::from_min_size(min, vec2(THUMBNAIL, THUMBNAIL));
            let id: ImageId = shown.cases.all[shown.rows[place]].image;
            thumbnail_ui(ui, cx, shown, id, rect, "among the images");
        }
    });
}
