//! What is seen of the demo that shows itself: the sentence, a ring round what it speaks of, a pointer that draws, and one
//! image large, as the models see it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use care_data::{BoundingBox, ImageId};
use care_learn::ModelRole;
use care_learn::event::FilmFrame;
use egui::{
    Align, Align2, Area, Color32, Event, Frame, Id, Label, LayerId, Layout, Margin, Order, Painter,
    Panel, Pos2, Rect, RichText, Role, Sense, Stroke, StrokeKind, Ui, UiBuilder, WidgetInfo, pos2,
    vec2,
};

use super::overlay::{self, Shown};
use super::tokens::{self, Tokens, radius};
use super::view::View;
use super::widgets::{box_on_screen, box_outline, picture_ui};
use super::{Context, icons};
use crate::command::Action;
use crate::state::State;
use crate::story::{DRAGGING, POINTING, Step, Story, caption};

/// To be read from two metres away.
const SENTENCE: f32 = 24.0;
const BAR: f32 = 104.0;
const HINTS: f32 = 232.0;
/// An image as the models see it, in heights of the room.
const PICTURE: f32 = 0.30;

/// A part of the window that the story speaks of. Rooms say where it is ([`mark`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Classes,
    Row(ModelRole),
    Canvas,
    TrainButton,
    Results,
}

fn id(place: Place) -> Id {
    Id::unique("place").with(place)
}

/// Says where a place lies in this frame.
pub fn mark(ctx: &egui::Context, place: Place, rect: Rect) {
    let frame = ctx.cumulative_frame_nr();
    ctx.data_mut(|data| data.insert_temp(id(place), (rect, frame)));
}

/// Where a place was drawn in this frame or the last.
fn find(ctx: &egui::Context, place: Place) -> Option<Rect> {
    let frame = ctx.cumulative_frame_nr();
    let marked = ctx.data(|data| data.get_temp::<(Rect, u64)>(id(place)))?;
    (frame <= marked.1 + 1).then_some(marked.0)
}

/// Whether a person wants the window. What they pressed does nothing else: it is taken.
#[must_use]
pub fn is_taken_over(ctx: &egui::Context) -> bool {
    let kept = [Action::PlayStory, Action::FullScreen].map(|action| action.shortcut(ctx));
    let is_kept = |event: &Event| {
        let Event::Key { key, modifiers, .. } = event else {
            return false;
        };
        let mut kept = kept.iter().flatten();
        kept.any(|it| it.logical_key == *key && modifiers.matches_exact(it.modifiers))
    };
    let is_a_hand = |event: &Event| {
        matches!(
            event,
            Event::Key { pressed: true, .. }
                | Event::Text(_)
                | Event::Copy
                | Event::Cut
                | Event::Paste(_)
                | Event::MouseWheel { .. }
                | Event::Zoom(_)
                | Event::PointerButton { pressed: true, .. }
                | Event::AccessKitActionRequest(_)
        ) && !is_kept(event)
    };
    ctx.input_mut(|input| {
        let before = input.events.len();
        input.events.retain(|event| !is_a_hand(event));
        input.events.len() < before
    })
}

/// Over everything, so that the click that takes over ([`is_taken_over`]) clicks on nothing.
pub fn shield_ui(ctx: &egui::Context) {
    Area::new(Id::unique("story shield"))
        .order(Order::Foreground)
        .fixed_pos(Pos2::ZERO)
        .show(ctx, |ui| {
            let (_, response) = ui.allocate_exact_size(ctx.content_rect().size(), Sense::click());
            response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Take over"));
        });
}

/// The sentence along the bottom, how far the story has come, and the way out of it.
pub fn bar_ui(ui: &mut Ui, state: &State, story: &Story) {
    let Some((step, at, of)) = story.step() else {
        return;
    };
    let t = Tokens::of(ui);
    let now = ui.input(|input| input.time);
    Panel::bottom("story")
        .exact_size(BAR)
        .resizable(false)
        .frame(
            Frame::new()
                .fill(t.raised)
                .inner_margin(Margin::symmetric(24, 0)),
        )
        .show(ui, |ui| {
            let whole = ui.max_rect();
            steps_ui(ui.painter(), t, whole, at, of);
            let (sentence, hints) = whole.split_left_right_at_x(whole.right() - HINTS);
            let sentence = sentence.with_max_x(sentence.right() - 24.0);
            let layout = Layout::left_to_right(Align::Center);
            ui.scope_builder(UiBuilder::new().max_rect(sentence).layout(layout), |ui| {
                let text = RichText::new(caption(story, step, state, now))
                    .font(tokens::semibold(SENTENCE))
                    .line_height(Some(SENTENCE + 8.0))
                    .color(t.text_strong);
                ui.add(Label::new(text).wrap());
            });
            let hints = Rect::from_center_size(hints.center(), vec2(HINTS, 68.0));
            ui.scope_builder(UiBuilder::new().max_rect(hints), |ui| {
                ui.spacing_mut().item_spacing.y = 4.0;
                ui.spacing_mut().interact_size.y = 20.0;
                hint_ui(ui, "Any key or click", "it is yours");
                for (action, what) in [
                    (Action::PlayStory, "from the beginning"),
                    (Action::FullScreen, "full screen"),
                ] {
                    if let Some(key) = action.shortcut(ui.ctx()) {
                        let key = ui.ctx().format_shortcut(&key);
                        hint_ui(ui, &key, what);
                    }
                }
            });
        });
}

fn hint_ui(ui: &mut Ui, key: &str, what: &str) {
    let t = Tokens::of(ui);
    ui.horizontal(|ui| {
        ui.label(
            RichText::new(key)
                .font(tokens::medium(13.0))
                .color(t.text_strong),
        );
        ui.label(RichText::new(what).color(t.text_weak));
    });
}

/// A dash for each step along the bar's upper edge.
fn steps_ui(painter: &Painter, t: &Tokens, bar: Rect, at: usize, of: usize) {
    const GAP: f32 = 4.0;
    let bar = bar.expand2(vec2(24.0, 0.0));
    let width = (bar.width() + GAP) / of.max(1) as f32;
    for n in 0..of {
        let x = bar.left() + n as f32 * width;
        let dash = Rect::from_min_size(pos2(x, bar.top()), vec2(width - GAP, 3.0));
        painter.rect_filled(dash, 0.0, if n <= at { t.accent } else { t.stroke });
    }
}

/// What the story shows on a room: a ring, the pointer, the image that stands for all.
pub fn stage_ui(ui: &Ui, cx: &mut Context<'_>, story: &Story) {
    let Some((step, ..)) = story.step() else {
        return;
    };
    let ctx = ui.ctx().clone();
    let elapsed = story.elapsed(ctx.input(|input| input.time));
    let layer = LayerId::new(Order::Foreground, Id::unique("story"));
    let painter = ctx.layer_painter(layer);
    let t = Tokens::of(ui);
    let place = match step {
        Step::Imbalance => Some(Place::Classes),
        Step::Plain | Step::Fooled => Some(Place::Row(ModelRole::Before)),
        Step::Moving => Some(Place::Row(ModelRole::Care)),
        Step::Train => Some(Place::TrainButton),
        Step::Table => Some(Place::Results),
        Step::Making | Step::Box(_) | Step::Testing | Step::End => None,
    };
    if let Some(rect) = place.and_then(|place| find(&ctx, place)) {
        let share = (elapsed / 0.3).clamp(0.0, 1.0) as f32;
        let stroke = Stroke::new(3.0, t.accent.gamma_multiply(share));
        let rect = rect.expand(4.0).intersect(ui.max_rect().shrink(2.0));
        painter.rect_stroke(rect, f32::from(radius::CARD), stroke, StrokeKind::Inside);
    }
    match step {
        Step::Box(n) => {
            let area = find(&ctx, Place::Canvas);
            if let (Some(area), Some((image, rect))) = (area, story.cast.boxes.get(n)) {
                hand_ui(
                    &painter.with_clip_rect(area),
                    cx,
                    area,
                    *image,
                    *rect,
                    elapsed,
                );
            }
        }
        Step::Train => {
            if let Some(button) = find(&ctx, Place::TrainButton) {
                let from = ctx.content_rect().center();
                pointer_ui(
                    &painter,
                    from.lerp(button.center(), eased(elapsed / POINTING)),
                );
            }
        }
        Step::Fooled => star_ui(ui, cx, story, &[ModelRole::Before]),
        Step::Moving => star_ui(ui, cx, story, &ModelRole::ALL),
        _ => {}
    }
}

/// A box as a hand would draw it; what it leaves is a real edit.
fn hand_ui(
    painter: &Painter,
    cx: &Context<'_>,
    area: Rect,
    image: ImageId,
    rect: BoundingBox,
    elapsed: f64,
) {
    let Some(image) = cx.project.image(image) else {
        return;
    };
    let rect = View::fit(image.size, area).box_to_screen(rect);
    let from = area.center() + vec2(area.width() / 3.0, area.height() / 4.0);
    if elapsed < POINTING {
        pointer_ui(painter, from.lerp(rect.min, eased(elapsed / POINTING)));
        return;
    }
    let share = eased((elapsed - POINTING) / (DRAGGING - POINTING));
    let corner = rect.min.lerp(rect.max, share);
    if elapsed < DRAGGING {
        box_outline(painter, Rect::from_min_max(rect.min, corner), true);
    }
    pointer_ui(painter, corner);
}

/// Slowly off and slowly there.
fn eased(share: f64) -> f32 {
    let share = share.clamp(0.0, 1.0);
    (share * share * (3.0 - 2.0 * share)) as f32
}

/// An arrow with its tip there, white over black as everything on images.
fn pointer_ui(painter: &Painter, tip: Pos2) {
    let lay = |ink| {
        let font = tokens::icon_fill(34.0);
        painter.layout_no_wrap(icons::CURSOR.to_owned(), font, ink)
    };
    let (edge, white) = (lay(Color32::BLACK), lay(tokens::OVERLAY_LINE));
    let at = tip - white.mesh_bounds.min.to_vec2();
    for n in 0..8 {
        let turned = egui::Vec2::angled(n as f32 * std::f32::consts::TAU / 8.0);
        painter.galley(at + 1.5 * turned, edge.clone(), Color32::BLACK);
    }
    painter.galley(at, white, tokens::OVERLAY_LINE);
}

/// One held-out image large: as it is, and as each of these models sees it now.
fn star_ui(ui: &Ui, cx: &mut Context<'_>, story: &Story, roles: &[ModelRole]) {
    let t = Tokens::of(ui);
    let (Some(run), Some(image)) = (cx.run, story.star) else {
        return;
    };
    let Some(image) = cx.project.image(image) else {
        return;
    };
    let frames: Vec<(ModelRole, &FilmFrame)> = roles
        .iter()
        .filter_map(|role| Some((*role, run.frame(*role, None)?)))
        .filter(|(_, frame)| frame.seen(image.id).is_some())
        .collect();
    if frames.len() < roles.len() {
        return;
    }
    const GAP: f32 = 12.0;
    const WORDS: f32 = 28.0;
    let room = ui.max_rect();
    let side = (PICTURE * room.height()).clamp(176.0, 320.0).round();
    let n = roles.len() as f32 + 1.0;
    let size = vec2(n * side + (n + 1.0) * GAP, side + WORDS + 2.0 * GAP);
    let card = Rect::from_min_size(
        pos2(room.left() + 16.0, room.bottom() - size.y - 16.0),
        size,
    );
    let layer = LayerId::new(Order::Foreground, Id::unique("story"));
    let ui = &Ui::new(
        ui.ctx().clone(),
        Id::unique("story star"),
        UiBuilder::new().layer_id(layer).max_rect(card),
    );
    ui.painter().rect(
        card,
        f32::from(radius::CARD),
        t.raised,
        Stroke::new(1.0, t.stroke),
        StrokeKind::Inside,
    );
    let peaks = || {
        frames
            .iter()
            .filter_map(|(_, frame)| Some(frame.seen(image.id)?.peak))
    };
    let columns = std::iter::once(None).chain(frames.iter().map(Some));
    for (place, frame) in columns.enumerate() {
        let left = card.left() + GAP + place as f32 * (side + GAP);
        let square = Rect::from_min_size(pos2(left, card.top() + GAP), vec2(side, side));
        let picture = cx.full(image, cx.project.look());
        let rect = picture_ui(ui, square, &picture);
        let (mut name, mut ink, mut share) = ("held out".to_owned(), t.text_strong, None);
        if let Some((role, frame)) = frame
            && let Some(seen) = frame.seen(image.id)
        {
            // Another telling has other images and runs by the same numbers.
            let mut hasher = DefaultHasher::new();
            for value in &seen.map.values {
                value.to_bits().hash(&mut hasher);
            }
            let shown = Shown {
                key: hasher.finish(),
                map: &seen.map,
                gain: cx.map_style.gain(seen.peak, peaks()),
            };
            overlay::map_ui(&ui.painter().clone(), cx, rect, shown, 1.0);
            name = match role {
                ModelRole::Before => "plain".to_owned(),
                role => role.name().to_owned(),
            };
            (ink, share) = (t.role(*role), seen.energy);
        }
        for annotation in cx.project.boxes(image.id) {
            let on_screen = box_on_screen(annotation.rect, image.size, rect);
            box_outline(&ui.painter().with_clip_rect(rect), on_screen, false);
        }
        let words = pos2(square.left(), square.bottom() + WORDS / 2.0 + 2.0);
        let font = tokens::semibold(15.0);
        ui.painter()
            .text(words, Align2::LEFT_CENTER, name, font.clone(), ink);
        if let Some(share) = share {
            let words = pos2(square.right(), words.y);
            let share = format!("{share:.2} in the box");
            ui.painter()
                .text(words, Align2::RIGHT_CENTER, share, font, ink);
        }
    }
}
