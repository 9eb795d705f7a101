//! One image as two readers see it, side by side, and what to make of it.

use std::collections::HashSet;

use care_data::agreement::{Agreement, settle};
use care_data::{Annotation, BoundingBox, BoxId, Image, ReaderId};
use egui::{
    Align, CursorIcon, Event, Key, Layout, Modifiers, Rect, RichText, Role, Sense, Stroke,
    StrokeKind, Ui, Vec2, WidgetInfo, vec2,
};

use super::{HEIGHT, name_of};
use crate::command::Command;
use crate::textures::Picture;
use crate::ui::Context;
use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{WordButton, box_on_screen, box_outline, fitted, focus_ring, picture_ui};

const GAP: f32 = 12.0;

/// What was made of an image.
pub(super) enum Answer {
    Settled,
    /// It is to be drawn on instead.
    Anew,
}

/// The two readings. A click on a box picks it.
pub(super) fn side_by_side(
    ui: &mut Ui,
    cx: &mut Context<'_>,
    image: &Image,
    (a, b): (ReaderId, ReaderId),
    agreement: &Agreement,
    picked: &mut HashSet<BoxId>,
) -> Option<Answer> {
    let project = cx.project;
    let picture = cx.full(image, project.look());
    let readings = [a, b].map(|id| (name_of(project, id), project.boxes_of(Some(id), image.id)));
    let side = vec2((ui.available_width() - GAP) / 2.0, HEIGHT - 96.0);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = GAP;
        for (name, boxes) in readings {
            ui.allocate_ui_with_layout(side, Layout::top_down(Align::Min), |ui| {
                reading_ui(ui, side, image, &picture, name, boxes, picked);
            });
        }
    });
    ui.add_space(8.0);
    let rects = |boxes: &[Annotation]| boxes.iter().map(|it| it.rect).collect::<Vec<_>>();
    let [(name_a, of_a), (name_b, of_b)] = readings;
    let is_whole = agreement.only_a.is_empty() && agreement.only_b.is_empty();
    let mean = (is_whole && !agreement.pairs.is_empty())
        .then(|| agreement.pairs.iter().map(|pair| pair.mean()).collect());
    let of_picked: Vec<BoundingBox> = of_a
        .iter()
        .chain(of_b)
        .filter(|it| picked.contains(&it.id))
        .map(|it| it.rect)
        .collect();
    let of_picked = (!of_picked.is_empty()).then_some(of_picked);
    let mut taken = None;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        for (words, rects, key) in [
            (format!("Take {name_a}'s"), Some(rects(of_a)), Key::Num1),
            (format!("Take {name_b}'s"), Some(rects(of_b)), Key::Num2),
            ("Take the mean".to_owned(), mean, Key::Num3),
        ] {
            taken = taken.take().or(choice_ui(ui, &words, rects, key));
        }
    });
    ui.add_space(4.0);
    let mut anew = false;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        let words = match &of_picked {
            Some(rects) => format!("Take the {} picked", rects.len()),
            None => "Click boxes to pick them".to_owned(),
        };
        taken = taken.take().or(choice_ui(ui, &words, of_picked, Key::Num4));
        anew = WordButton::new("Draw it anew").ui(ui).clicked();
    });
    if let Some(rects) = taken {
        let settled = settle(project, &[(image.id, rects)]);
        cx.commands.extend(settled.map(Command::Edit));
        picked.clear();
        return Some(Answer::Settled);
    }
    if anew {
        cx.commands.send(Command::Read(None));
        cx.commands.send(Command::Annotate(image.id));
        return Some(Answer::Anew);
    }
    None
}

fn reading_ui(
    ui: &mut Ui,
    side: Vec2,
    image: &Image,
    picture: &Picture,
    name: &str,
    boxes: &[Annotation],
    picked: &mut HashSet<BoxId>,
) {
    let t = Tokens::of(ui);
    ui.label(
        RichText::new(name)
            .text_style(tokens::caption())
            .color(t.text_weak),
    );
    let (cell, _) = ui.allocate_exact_size(vec2(side.x, side.y - 20.0), Sense::hover());
    ui.painter()
        .rect_filled(cell, f32::from(radius::IMAGE), t.canvas);
    let shape = vec2(image.size.width as f32, image.size.height as f32);
    let place = fitted(cell, shape);
    picture_ui(ui, place, picture);
    if boxes.is_empty() {
        let stroke = Stroke::new(1.0, t.stroke);
        let corner = f32::from(radius::IMAGE);
        ui.painter()
            .rect_stroke(cell, corner, stroke, StrokeKind::Inside);
    }
    for (n, annotation) in (1..).zip(boxes) {
        let rect = box_on_screen(annotation.rect, image.size, place);
        box_ui(
            ui,
            rect,
            &format!("{name}'s box {n}"),
            annotation.id,
            picked,
        );
    }
}

fn box_ui(ui: &Ui, rect: Rect, name: &str, id: BoxId, picked: &mut HashSet<BoxId>) {
    let response = ui.interact(
        rect,
        ui.scope_id().with(("reader's box", id)),
        Sense::click(),
    );
    if response.clicked() && !picked.remove(&id) {
        picked.insert(id);
    }
    let is_picked = picked.contains(&id);
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, is_picked, name));
    box_outline(ui.painter(), rect, is_picked);
    focus_ring(ui, &response, 0);
    response.on_hover_cursor(CursorIcon::PointingHand);
}

/// A button with its key: what it takes, where it was asked for just now. A key that is held down settles nothing.
fn choice_ui(
    ui: &mut Ui,
    words: &str,
    rects: Option<Vec<BoundingBox>>,
    key: Key,
) -> Option<Vec<BoundingBox>> {
    let button = WordButton::new(words)
        .key(key.name())
        .enabled(rects.is_some())
        .ui(ui);
    let is_repeat = |event: &Event| matches!(event, Event::Key { repeat: true, .. });
    let is_held = ui.input(|i| i.events.iter().any(is_repeat));
    let is_pressed = ui.input_mut(|i| i.consume_key(Modifiers::NONE, key));
    let is_asked = button.clicked() || is_pressed && !ui.ctx().text_edit_focused();
    rects.filter(|_| is_asked && !is_held)
}
