//! The figure: a row for each held-out image, with what each model looked at, all on one colour scale.

use std::hash::{DefaultHasher, Hash, Hasher};

use care_data::Image;
use care_learn::ModelRole;
use egui::{
    Align2, FontId, Rect, Response, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo,
    pos2, vec2,
};

use super::Shown;
use super::cases::{Case, Reading, Seen, WRONG_REASON, attention};
use crate::command::{Action, Command};
use crate::format;
use crate::training::TrainingRun;
use crate::ui::Context;
use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{box_on_screen, box_outline, elided, focus_ring, picture_ui};
use crate::ui::{icons, overlay};

const GAP: f32 = 8.0;
const CAPTION: f32 = 24.0;
const ROW_GAP: f32 = 4.0;

/// The picture columns: the image itself, then the models in order.
const COLUMNS: [Option<ModelRole>; 4] = [
    None,
    Some(ModelRole::Before),
    Some(ModelRole::Control),
    Some(ModelRole::Care),
];

/// `width` is what the four columns share.
pub(super) fn figure_ui(
    ui: &mut Ui,
    cx: &mut Context<'_>,
    run: &TrainingRun,
    shown: &mut Shown,
    width: f32,
) {
    let cell = ((width - 3.0 * GAP) / 4.0).round();
    header_ui(ui, cell);
    ui.spacing_mut().item_spacing.y = ROW_GAP;
    ScrollArea::vertical()
        .id_salt(("figure", shown.class, shown.order.text()))
        .auto_shrink(false)
        .show_rows(ui, cell + CAPTION, shown.rows.len(), |ui, range| {
            for row in range {
                let case = shown.cases.all[shown.rows[row]].clone();
                row_ui(ui, cx, run, shown, &case, cell);
            }
        });
}

fn header_ui(ui: &mut Ui, cell: f32) {
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(4.0 * cell + 3.0 * GAP, 20.0), Sense::hover());
    for (column, role) in COLUMNS.into_iter().enumerate() {
        let (text, ink) = match role {
            None => ("original", t.text_strong),
            Some(role) => (role.name(), t.role(role)),
        };
        let x = rect.left() + column as f32 * (cell + GAP);
        ui.painter().text(
            pos2(x, rect.center().y),
            Align2::LEFT_CENTER,
            text,
            tokens::medium(13.0),
            ink,
        );
    }
}

fn row_ui(
    ui: &mut Ui,
    cx: &mut Context<'_>,
    run: &TrainingRun,
    shown: &mut Shown,
    case: &Case,
    cell: f32,
) {
    let (rect, _) =
        ui.allocate_exact_size(vec2(4.0 * cell + 3.0 * GAP, cell + CAPTION), Sense::hover());
    let project = cx.project;
    let Some(image) = project.image(case.image) else {
        return;
    };
    for (column, role) in COLUMNS.into_iter().enumerate() {
        let x = rect.left() + column as f32 * (cell + GAP);
        let square = Rect::from_min_size(pos2(x, rect.top()), vec2(cell, cell));
        let caption = Rect::from_min_size(square.left_bottom(), vec2(cell, CAPTION));
        // The row's one stop on the way of the Tab key is its original.
        let sense = if role.is_none() {
            Sense::click()
        } else {
            Sense::CLICK
        };
        let response = ui.interact(
            square.union(caption),
            ui.scope_id().with((case.image, column)),
            sense,
        );
        let seen = role.and_then(|role| Some((role, case.seen(role)?)));
        picture_of(ui, cx, run, case, image, seen, square);
        match (role, seen) {
            (None, _) => original_ui(ui, shown, image, &response, square, caption),
            (Some(_), Some((role, seen))) => {
                caption_ui(ui, cx, case, seen, caption);
                let text = || description(cx, run, case, image, role, seen);
                response.widget_info(|| {
                    WidgetInfo::labeled(Role::Image, true, text().replace('\n', ", "))
                });
                response.clone().on_hover_ui(|ui| {
                    ui.label(text());
                });
            }
            // The run was stopped before there was such a model.
            (Some(_), None) => {}
        }
        if response.clicked() {
            shown.picked = Some(case.image);
        }
        if response.double_clicked() {
            cx.commands.send(Command::Annotate(case.image));
        }
    }
}

/// The image with its boxes, and a model's map over it.
fn picture_of(
    ui: &Ui,
    cx: &mut Context<'_>,
    run: &TrainingRun,
    case: &Case,
    image: &Image,
    seen: Option<(ModelRole, Seen)>,
    square: Rect,
) {
    let picture = cx.thumbnail(image);
    let rect = picture_ui(ui, square, &picture);
    if picture.texture().is_none() {
        return;
    }
    let map = seen.and_then(|(role, seen)| Some((role, attention(run, role, seen)?)));
    if let Some((role, attention)) = map {
        let shown = overlay::Shown {
            key: map_key(run, role, image),
            map: &attention.map,
            gain: cx.map_style.gain(attention.peak, peaks(run, case)),
        };
        overlay::map_ui(ui.painter(), cx, rect, shown, 1.0);
    }
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    for annotation in cx.project.boxes(image.id) {
        box_outline(
            &painter,
            box_on_screen(annotation.rect, image.size, rect),
            false,
        );
    }
}

/// The peaks of all models' maps of an image.
fn peaks(run: &TrainingRun, case: &Case) -> impl Iterator<Item = Option<f32>> {
    let seen = ModelRole::ALL.into_iter();
    seen.filter_map(|role| Some(attention(run, role, case.seen(role)?)?.peak))
}

/// A run's map of a test image never changes, so its key is made of these three alone.
fn map_key(run: &TrainingRun, role: ModelRole, image: &Image) -> u64 {
    let mut hasher = DefaultHasher::new();
    ("test part", run.id, role, image.id).hash(&mut hasher);
    hasher.finish()
}

fn original_ui(
    ui: &Ui,
    shown: &Shown,
    image: &Image,
    response: &Response,
    square: Rect,
    caption: Rect,
) {
    let t = Tokens::of(ui);
    let selected = shown.picked == Some(image.id);
    let name = image.name();
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, name));
    if selected {
        ui.painter().rect_stroke(
            square,
            f32::from(radius::IMAGE),
            Stroke::new(2.0, t.accent),
            StrokeKind::Outside,
        );
    }
    focus_ring(ui, response, radius::IMAGE);
    let galley = elided(
        ui.painter(),
        name,
        tokens::medium(11.0),
        t.text_strong,
        caption.width(),
    );
    let at = pos2(caption.left(), caption.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, t.text_strong);
    let key = Action::ShowInAnnotate.tooltip(ui.ctx());
    response
        .clone()
        .on_hover_text(format!("{name}\n{key}; double click does the same"));
}

/// Under a map: right or taken for what, and the share of the attention in the box.
fn caption_ui(ui: &Ui, cx: &Context<'_>, case: &Case, seen: Seen, rect: Rect) {
    let t = Tokens::of(ui);
    let painter = ui.painter();
    let font = FontId::proportional(11.0);
    let share = match seen.energy {
        Some(energy) => format::plain(f64::from(energy)),
        // A box, but a map that is 0 everywhere.
        None if !cx.project.boxes(case.image).is_empty() => "\u{2013}".to_owned(),
        None => String::new(),
    };
    let share = painter.layout_no_wrap(share, font.clone(), t.text_strong);
    let y = rect.center().y;
    let number_at = pos2(rect.right() - share.size().x, y - share.size().y / 2.0);
    let (glyph, text, ink) = match case.reading(seen) {
        Reading::Correct => (icons::CHECK, "correct", t.text_weak),
        Reading::WrongReason => (icons::EYE_SLASH, "wrong reason", t.warning),
        Reading::Wrong(class) => (icons::X, class_name(cx, class), t.text_strong),
    };
    painter.text(
        pos2(rect.left(), y),
        Align2::LEFT_CENTER,
        glyph,
        tokens::icon(12.0),
        ink,
    );
    let text_left = rect.left() + 16.0;
    let galley = elided(ui.painter(), text, font, ink, number_at.x - 4.0 - text_left);
    painter.galley(pos2(text_left, y - galley.size().y / 2.0), galley, ink);
    painter.galley(number_at, share, t.text_strong);
}

fn class_name<'a>(cx: &Context<'a>, class: usize) -> &'a str {
    let project = cx.project;
    project.classes().get(class).map_or("", |class| &class.name)
}

/// What a model made of an image, in full.
fn description(
    cx: &Context<'_>,
    run: &TrainingRun,
    case: &Case,
    image: &Image,
    role: ModelRole,
    seen: Seen,
) -> String {
    let mut text = format!("{}, {}", image.name(), role.name());
    let Some(attention) = attention(run, role, seen) else {
        return text;
    };
    let mut say = |class: usize| {
        let probability = attention.probabilities.get(class).copied().unwrap_or(0.0);
        let name = class_name(cx, class);
        text.push_str(&format!("\n{name}: probability {probability:.2}"));
    };
    say(seen.predicted);
    if seen.predicted != case.label {
        say(case.label);
    }
    if let Some(energy) = seen.energy {
        text.push_str(&format!("\n{energy:.2} of the attention in the box"));
    }
    if let Some(hit) = attention.hit {
        let place = if hit { "in the box" } else { "outside the box" };
        text.push_str(&format!("\nits maximum {place}"));
    }
    if case.reading(seen) == Reading::WrongReason {
        text.push_str(&format!(
            "\nright class, but less than {WRONG_REASON:.2} of the attention in the box"
        ));
    }
    text
}
