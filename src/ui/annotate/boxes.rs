//! What the keyboard does with boxes: moved pixel by pixel, doubled, copied and pasted.

use care_data::{Annotation, BoundingBox, BoxId, Edit, Image, Project};
use egui::{Event, Key, Modifiers};

use crate::command::Action;
use crate::ui::Context;
use crate::ui::canvas::Canvas;

/// How far from its original a doubled box lies, in pixels.
const ASIDE: f64 = 8.0;

/// Takes the keys. What is copied lies in the system's clipboard as lines `x0,y0,x1,y1`, so that it can be pasted in
/// another window, and into `care box --add`.
pub(super) fn take_keys(
    ctx: &egui::Context,
    canvas: &mut Canvas,
    cx: &mut Context<'_>,
    image: &Image,
) {
    let project = cx.project;
    if let Some(Annotation { id, rect, .. }) = canvas.in_hand(project)
        && let Some(by) = arrows(ctx)
    {
        let moved = rect.moved(by, image.size);
        if moved != *rect {
            cx.commands.edit(Edit::SetBox {
                id: *id,
                rect: moved,
            });
        }
    }
    let selected = canvas.selected(project);
    let of_image = project.boxes(image.id).iter();
    // Nothing selected is everything.
    let chosen: Vec<BoundingBox> = of_image
        .filter(|a| selected.is_none_or(|id| id == a.id))
        .map(|a| a.rect)
        .collect();
    if Action::DoubleBox.pressed(ctx) && selected.is_some() {
        let aside = |rect: &BoundingBox| {
            // Towards where there is room.
            let moved = rect.moved([ASIDE; 2], image.size);
            if moved == *rect {
                rect.moved([-ASIDE; 2], image.size)
            } else {
                moved
            }
        };
        add(canvas, cx, image, chosen.iter().map(aside).collect());
        return;
    }
    if Action::CopyBoxes.pressed(ctx) && !chosen.is_empty() {
        ctx.copy_text(written(&chosen));
    }
    if Action::PasteBoxes.pressed(ctx) {
        ctx.send_viewport_cmd(egui::ViewportCommand::RequestPaste);
    }
    let events = ctx.input(|i| i.events.clone());
    for event in events {
        match event {
            Event::Copy if !chosen.is_empty() => ctx.copy_text(written(&chosen)),
            Event::Paste(text) => add(canvas, cx, image, pasted(&text, project, image)),
            _ => {}
        }
    }
}

/// Selected is the last of them.
fn add(canvas: &mut Canvas, cx: &mut Context<'_>, image: &Image, rects: Vec<BoundingBox>) {
    let BoxId(first) = cx.project.next_box_id();
    for (id, rect) in (first..).map(BoxId).zip(rects) {
        let annotation = Annotation {
            id,
            image: image.id,
            rect,
        };
        cx.commands.edit(Edit::AddBox { annotation });
        canvas.select(Some(id));
    }
}

/// An arrow key that was pressed, in pixels: one, or ten with Shift.
fn arrows(ctx: &egui::Context) -> Option<[f64; 2]> {
    const KEYS: [(Key, [f64; 2]); 4] = [
        (Key::ArrowLeft, [-1.0, 0.0]),
        (Key::ArrowRight, [1.0, 0.0]),
        (Key::ArrowUp, [0.0, -1.0]),
        (Key::ArrowDown, [0.0, 1.0]),
    ];
    KEYS.into_iter().find_map(|(key, by)| {
        // Shift first: a key without it also answers where it is held.
        [(Modifiers::SHIFT, 10.0), (Modifiers::NONE, 1.0)]
            .into_iter()
            .find(|(modifiers, _)| ctx.input_mut(|i| i.consume_key(*modifiers, key)))
            .map(|(_, far)| by.map(|v| v * far))
    })
}

fn written(rects: &[BoundingBox]) -> String {
    let lines = rects.iter().map(|rect| {
        let numbers = rect.xyxy().map(|v| v.to_string());
        numbers.join(",") + "\n"
    });
    lines.collect()
}

/// The boxes of a text that fit into the image, cut to it; those that it has already are left out.
fn pasted(text: &str, project: &Project, image: &Image) -> Vec<BoundingBox> {
    let there: Vec<BoundingBox> = project.boxes(image.id).iter().map(|a| a.rect).collect();
    text.lines()
        .filter_map(|line| {
            let numbers: Vec<f64> = line
                .split(',')
                .map(|number| number.trim().parse().ok())
                .collect::<Option<_>>()?;
            let corners = <[f64; 4]>::try_from(numbers).ok()?;
            BoundingBox::try_from(corners)
                .ok()?
                .clamped(image.size)
                .ok()
        })
        .filter(|rect| !there.contains(rect))
        .collect()
}
