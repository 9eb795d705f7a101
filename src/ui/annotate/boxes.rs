//! What the keyboard does with boxes: moved pixel by pixel, doubled, copied and pasted; and the suggested one.

use care_data::{Annotation, BoundingBox, BoxId, Edit, Image};
use egui::{Event, Key, Modifiers, RichText, Ui};

use crate::command::{Action, Command};
use crate::suggestion::{Found, Source};
use crate::ui::Context;
use crate::ui::canvas::Canvas;
use crate::ui::tokens::{self, Tokens};
use crate::ui::widgets::WordButton;

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
        && let Some(arrow) = arrow(ctx)
    {
        let changed = match arrow {
            Arrow::Move(by) => rect.moved(by, image.size),
            Arrow::Resize([dx, dy]) => {
                let [x0, y0, x1, y1] = rect.xyxy();
                BoundingBox::new(x0, y0, x1 + dx, y1 + dy)
                    .and_then(|larger| larger.clamped(image.size))
                    .unwrap_or(*rect)
            }
        };
        if changed != *rect {
            cx.commands.edit(Edit::SetBox {
                id: *id,
                rect: changed,
            });
        }
    }
    let selected = canvas.selected(project);
    let of_image = cx.boxes(image.id).iter();
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
            Event::Paste(text) => {
                let there = cx.boxes(image.id);
                add(canvas, cx, image, pasted(&text, there, image));
            }
            _ => {}
        }
    }
}

/// Selected is the last of them.
fn add(canvas: &mut Canvas, cx: &mut Context<'_>, image: &Image, rects: Vec<BoundingBox>) {
    let BoxId(first) = cx.project.next_box_id();
    let mut edits = Vec::new();
    for (id, rect) in (first..).map(BoxId).zip(rects) {
        let annotation = Annotation {
            id,
            ..cx.new_box(image.id, rect)
        };
        edits.push(Edit::AddBox { annotation });
        canvas.select(Some(id));
    }
    cx.commands.extend(Edit::several(edits).map(Command::Edit));
}

/// What an arrow key does to the box in hand, in pixels.
enum Arrow {
    Move([f64; 2]),
    /// Of the right edge and the lower one.
    Resize([f64; 2]),
}

/// An arrow key that was pressed: one pixel, or ten with Shift; with Ctrl it resizes.
fn arrow(ctx: &egui::Context) -> Option<Arrow> {
    const KEYS: [(Key, [f64; 2]); 4] = [
        (Key::ArrowLeft, [-1.0, 0.0]),
        (Key::ArrowRight, [1.0, 0.0]),
        (Key::ArrowUp, [0.0, -1.0]),
        (Key::ArrowDown, [0.0, 1.0]),
    ];
    // The most keys first: a shortcut also answers where Shift is held beside it.
    let ways = [
        (Modifiers::COMMAND | Modifiers::SHIFT, true, 10.0),
        (Modifiers::COMMAND, true, 1.0),
        (Modifiers::SHIFT, false, 10.0),
        (Modifiers::NONE, false, 1.0),
    ];
    KEYS.into_iter().find_map(|(key, by)| {
        let (_, resizes, far) = ways
            .into_iter()
            .find(|(modifiers, ..)| ctx.input_mut(|i| i.consume_key(*modifiers, key)))?;
        let by = by.map(|v| v * far);
        Some(if resizes {
            Arrow::Resize(by)
        } else {
            Arrow::Move(by)
        })
    })
}

/// Asks for a box: of a photograph from what stands out in it, of a grey image from where a model looks.
pub(super) fn suggest(cx: &mut Context<'_>, image: &Image) {
    let first = match cx.textures.grey(image.id) {
        Some(_) => Source::Attention,
        None => Source::Saliency,
    };
    cx.commands.send(Command::Suggest(first));
}

/// Answers what is suggested with yes: the box becomes one of the project's, and where none was found the message goes.
/// False where nothing is suggested.
pub(super) fn accept(cx: &mut Context<'_>, image: &Image, canvas: &mut Canvas) -> bool {
    let suggestion = cx.suggestion.filter(|it| it.image == image.id);
    let Some(suggestion) = suggestion else {
        return false;
    };
    let rect = match &suggestion.found {
        Found::Box(rect) => *rect,
        // Not yet: what comes is looked at first.
        Found::Looking => return true,
        Found::Nothing(_) => {
            cx.commands.send(Command::DropSuggestion);
            return true;
        }
    };
    let annotation = Annotation {
        origin: suggestion.source.origin(),
        ..cx.new_box(image.id, rect)
    };
    // In the hand: a person looks whether it fits, and the arrow keys are the quickest to mend it.
    canvas.select(Some(annotation.id));
    cx.commands.edit(Edit::AddBox { annotation });
    true
}

/// What is suggested, from what, and what can be done with it.
pub(super) fn suggestion_ui(ui: &mut Ui, cx: &mut Context<'_>, image: &Image, canvas: &mut Canvas) {
    let Some(suggestion) = cx.suggestion else {
        return;
    };
    let t = Tokens::of(ui);
    let from = match suggestion.source {
        Source::Saliency => "the picture alone".to_owned(),
        Source::Attention => match cx.attention.model() {
            Some(model) => format!("the attention of {}", model.role.name()),
            None => "the model's attention".to_owned(),
        },
    };
    let words = match &suggestion.found {
        Found::Looking => format!("Looking, from {from}\u{2026}"),
        Found::Box(_) => {
            let is_grey = cx.textures.grey(image.id).is_some();
            let caution = match suggestion.source {
                Source::Saliency if is_grey => ", which says little of a radiograph",
                _ => "",
            };
            format!("Suggested from {from}{caution}. It counts once you accept it.")
        }
        Found::Nothing(why) => why.clone(),
    };
    ui.add_space(4.0);
    let words = RichText::new(words).text_style(tokens::caption());
    ui.add(egui::Label::new(words.color(t.text)).wrap());
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        let enter = Action::DoneAndNext.shortcut(ui.ctx());
        let enter = enter.map_or_else(String::new, |key| ui.ctx().format_shortcut(&key));
        if matches!(suggestion.found, Found::Box(_)) {
            let button = WordButton::new("Accept").key(enter).height(28.0);
            if button.ui(ui).clicked() {
                accept(cx, image, canvas);
            }
        }
        let button = WordButton::new("Dismiss").height(28.0);
        if button.ui(ui).clicked() {
            cx.commands.send(Command::DropSuggestion);
        }
    });
}

fn written(rects: &[BoundingBox]) -> String {
    let lines = rects.iter().map(|rect| {
        let numbers = rect.xyxy().map(|v| v.to_string());
        numbers.join(",") + "\n"
    });
    lines.collect()
}

/// The boxes of a text that fit into the image, cut to it; those that it has already are left out.
fn pasted(text: &str, there: &[Annotation], image: &Image) -> Vec<BoundingBox> {
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
        .filter(|rect| there.iter().all(|annotation| annotation.rect != *rect))
        .collect()
}
