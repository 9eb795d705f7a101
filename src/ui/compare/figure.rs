//! The figure: a row for each held-out image, with what each model looked at.

use std::hash::{DefaultHasher, Hash, Hasher};

use care_data::Image;
use egui::{
    Align2, FontId, Rect, Response, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo,
    pos2, vec2,
};

use super::View;
use super::cases::{Case, Cases, Reading, Seen, attention};
use super::shown::{From, Shown};
use crate::command::{Action, Command};
use crate::findings::WRONG_REASON;
use crate::format;
use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{box_on_screen, box_outline, elided, focus_ring, picture_ui};
use crate::ui::{Context, icons, overlay};

const GAP: f32 = 8.0;
const CAPTION: f32 = 24.0;
const ROW_GAP: f32 = 4.0;
/// The largest cell.
const CELL: f32 = 192.0;

/// Where the cells stand.
#[derive(Clone, Copy)]
struct Grid {
    cell: f32,
    /// The image itself, then the models in order.
    columns: usize,
}

impl Grid {
    fn width(self) -> f32 {
        self.columns as f32 * (self.cell + GAP) - GAP
    }

    fn left(self, rect: Rect, column: usize) -> f32 {
        rect.left() + column as f32 * (self.cell + GAP)
    }
}

/// `width` is what the columns share.
pub(super) fn figure_ui(
    ui: &mut Ui,
    cx: &mut Context<'_>,
    from: From<'_>,
    shown: &mut Shown,
    width: f32,
) {
    let columns = 1 + shown.cases.models.len();
    let cell = ((width + GAP) / columns as f32 - GAP).min(CELL).round();
    let grid = Grid { cell, columns };
    header_ui(ui, grid, &shown.cases);
    ui.spacing_mut().item_spacing.y = ROW_GAP;
    let area = ScrollArea::vertical()
        .id_salt(("figure", shown.which.id(), shown.order.text()))
        .auto_shrink(false);
    let area = match shown.scroll_to.take() {
        Some(row) => area.vertical_scroll_offset(row as f32 * (cell + CAPTION + ROW_GAP)),
        None => area,
    };
    area.show_rows(ui, cell + CAPTION, shown.rows.len(), |ui, range| {
        for row in range {
            let case = shown.cases.all[shown.rows[row]].clone();
            row_ui(ui, cx, from, shown, &case, grid);
        }
    });
}

fn header_ui(ui: &mut Ui, grid: Grid, cases: &Cases) {
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(grid.width(), 20.0), Sense::hover());
    let models = cases.models.iter();
    let names = models.map(|model| (model.name.as_str(), t.role(model.role)));
    for (column, (text, ink)) in [("original", t.text_strong)]
        .into_iter()
        .chain(names)
        .enumerate()
    {
        let font = tokens::medium(13.0);
        let galley = elided(ui.painter(), text, font, ink, grid.cell);
        let at = pos2(
            grid.left(rect, column),
            rect.center().y - galley.size().y / 2.0,
        );
        ui.painter().galley(at, galley, ink);
    }
}

fn row_ui(
    ui: &mut Ui,
    cx: &mut Context<'_>,
    from: From<'_>,
    shown: &mut Shown,
    case: &Case,
    grid: Grid,
) {
    let (rect, _) = ui.allocate_exact_size(vec2(grid.width(), grid.cell + CAPTION), Sense::hover());
    let project = cx.project;
    let Some(image) = project.image(case.image) else {
        return;
    };
    for column in 0..grid.columns {
        let model = column.checked_sub(1);
        let at = pos2(grid.left(rect, column), rect.top());
        let square = Rect::from_min_size(at, vec2(grid.cell, grid.cell));
        let caption = Rect::from_min_size(square.left_bottom(), vec2(grid.cell, CAPTION));
        // The row's one stop on the way of the Tab key is its original.
        let sense = if model.is_none() {
            Sense::click()
        } else {
            Sense::CLICK
        };
        let response = ui.interact(
            square.union(caption),
            ui.scope_id().with((case.image, column)),
            sense,
        );
        let rect = picture_of(ui, cx, image, square);
        let seen = model.and_then(|model| Some((model, case.seen(model)?)));
        if let (Some(rect), Some((model, _))) = (rect, seen) {
            map_of(ui, cx, from, &shown.cases, case, model, rect);
        }
        if let Some(rect) = rect {
            boxes_of(ui, cx, image, rect);
        }
        match (model, seen) {
            (None, _) => original_ui(ui, shown, image, &response, square, caption),
            (Some(_), Some((model, seen))) => {
                caption_ui(ui, cx, &shown.cases, case, seen, caption);
                let text = || description(from, &shown.cases, case, image, model, seen);
                response.widget_info(|| {
                    WidgetInfo::labeled(Role::Image, true, text().replace('\n', ", "))
                });
                response.clone().on_hover_ui(|ui| {
                    ui.label(text());
                    ui.label("Click: see it large");
                });
            }
            // The run was stopped before there was such a model.
            (Some(_), None) => {}
        }
        if response.clicked() {
            shown.picked = Some(case.image);
            if let Some(model) = model {
                shown.view = View::Image;
                // What was clicked is what is seen to the right of the line.
                if shown.pair[0] != model {
                    shown.pair[1] = model;
                }
            }
        }
        if response.double_clicked() {
            cx.commands.send(Command::Annotate(case.image));
        }
    }
}

/// The image, fitted into the square; where it stands then, once it is there.
pub(super) fn picture_of(
    ui: &Ui,
    cx: &mut Context<'_>,
    image: &Image,
    square: Rect,
) -> Option<Rect> {
    let picture = cx.thumbnail(image);
    let rect = picture_ui(ui, square, &picture);
    picture.texture().is_some().then_some(rect)
}

/// A model's map over its image.
pub(super) fn map_of(
    ui: &Ui,
    cx: &mut Context<'_>,
    from: From<'_>,
    cases: &Cases,
    case: &Case,
    model: usize,
    rect: Rect,
) {
    let attention = |model: usize| {
        let model_of = cases.models.get(model)?;
        attention(from.run, from.other, model_of, case.seen(model)?)
    };
    let (Some(seen), Some(of)) = (attention(model), cases.models.get(model)) else {
        return;
    };
    let peaks = (0..cases.models.len()).filter_map(|model| Some(attention(model)?.peak));
    let mut hasher = DefaultHasher::new();
    // A run's map of a test image never changes.
    ("test part", of.run, of.role, case.image).hash(&mut hasher);
    let map = overlay::Shown {
        key: hasher.finish(),
        map: &seen.map,
        gain: cx.map_style.gain(seen.peak, peaks),
    };
    overlay::map_ui(ui.painter(), cx, rect, map, 1.0);
}

pub(super) fn boxes_of(ui: &Ui, cx: &Context<'_>, image: &Image, rect: Rect) {
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    for annotation in cx.project.boxes(image.id) {
        let on_screen = box_on_screen(annotation.rect, image.size, rect);
        box_outline(&painter, on_screen, false);
    }
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
    let keys = [Action::ShowInAnnotate, Action::Proof].map(|it| it.tooltip(ui.ctx()));
    let [annotate, proof] = keys;
    response.clone().on_hover_text(format!(
        "{name}\n{annotate}; double click does the same\n{proof}"
    ));
}

/// Under a map: right or taken for what, and the share of the attention in the box.
fn caption_ui(ui: &Ui, cx: &Context<'_>, cases: &Cases, case: &Case, seen: Seen, rect: Rect) {
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
    let (glyph, text, ink) = reading_in_words(t, cases, case, seen);
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

/// Icon, words and colour.
pub(super) fn reading_in_words<'a>(
    t: &Tokens,
    cases: &'a Cases,
    case: &Case,
    seen: Seen,
) -> (&'static str, &'a str, egui::Color32) {
    match case.reading(seen) {
        Reading::Correct => (icons::CHECK, "correct", t.text_weak),
        Reading::WrongReason => (icons::EYE_SLASH, "wrong reason", t.warning),
        Reading::Wrong(class) => (icons::X, cases.class_name(class), t.text_strong),
    }
}

/// What a model made of an image, in full.
pub(super) fn description(
    from: From<'_>,
    cases: &Cases,
    case: &Case,
    image: &Image,
    model: usize,
    seen: Seen,
) -> String {
    let Some(of) = cases.models.get(model) else {
        return String::new();
    };
    let mut text = format!("{}, {}", image.name(), of.name);
    let Some(attention) = attention(from.run, from.other, of, seen) else {
        return text;
    };
    let mut say = |class: usize| {
        let probability = attention.probabilities.get(class).copied().unwrap_or(0.0);
        let name = cases.class_name(class);
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
