//! The attention film: a column for each watched image, a row for each model, and the scrubber that plays it again.

mod cell;
mod curves;
mod scrubber;
mod tray;

use std::time::Duration;

use care_data::{Image, ImageId, RunId};
use care_learn::ModelRole;
use care_learn::event::{FilmFrame, ImageAttention, mean_energy};
use egui::{
    Align, Align2, Color32, FontId, Layout, Pos2, Rangef, Rect, RichText, Role, Sense, Stroke,
    StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, pos2, vec2,
};

use super::overlay::overlay_ui;
use super::story::{self, Place};
use super::take_away::film_button_ui;
use super::tokens::{self, Tokens, radius, size};
use super::widgets::{IconButton, WordButton, elided};
use super::{Context, icons};
use crate::command::Command;
use crate::format;
use crate::training::{Moment, Phase};
use cell::{Fade, Layer, empty_cell, fresh_mark, model_cell, original_cell};
use curves::Curves;
use scrubber::Scrubber;
pub use scrubber::{Mark, tick_step};
use tray::{Tray, drag_ui};

const PAD: f32 = 16.0;
const LABEL: f32 = 80.0;
const VALUE: f32 = 56.0;
const GAP: f32 = 8.0;
const SCRUBBER: f32 = 56.0;
/// The curve under a column.
const CURVE: f32 = 30.0;
const CELL_MIN: f32 = 44.0;
const CELL_MAX: f32 = 160.0;
/// Columns shown empty where there is nothing to watch.
const EMPTY_COLUMNS: usize = 8;
const ROWS: usize = 4;

/// What a model made of an image, and when.
type Seen<'a> = (Moment, &'a ImageAttention);
/// What each model made of a watched image.
type Column<'a> = (ImageId, [Option<Seen<'a>>; 3]);

/// The moment that the film shows.
#[derive(Default)]
pub struct FilmView {
    of: Option<RunId>,
    scrubber: Scrubber,
    fades: [Fade; 3],
    curves: Curves,
    tray: Tray,
}

/// Where everything lies.
struct Grid {
    area: Rect,
    cell: f32,
    columns: usize,
}

impl Grid {
    fn cell(&self, row: usize, column: usize) -> Rect {
        let step = self.cell + GAP;
        let left = self.area.left() + PAD + LABEL + column as f32 * step;
        let top = self.area.top() + size::TOOLBAR + row as f32 * step;
        Rect::from_min_size(pos2(left, top), vec2(self.cell, self.cell))
    }

    /// All cells of a row.
    fn row(&self, row: usize) -> Rect {
        self.cell(row, 0)
            .union(self.cell(row, self.columns.max(1) - 1))
    }

    /// Where the curve of a column lies.
    fn curve(&self, column: usize) -> Rect {
        let cell = self.cell(ROWS - 1, column);
        Rect::from_min_size(
            pos2(cell.left(), cell.bottom() + GAP),
            vec2(self.cell, CURVE),
        )
    }

    /// All of a column, its curve included.
    fn column(&self, column: usize) -> Rect {
        self.cell(0, column).union(self.curve(column))
    }

    fn value_right(&self) -> f32 {
        self.row(0).right() + VALUE
    }

    /// The scrubber is as long as the row of cells; beside a few cells it takes the whole width.
    fn lane(&self) -> Rangef {
        let cells = self.row(0).x_range();
        let whole = Rangef::new(cells.min, self.area.right() - PAD - VALUE);
        if self.has_few_columns() { whole } else { cells }
    }

    fn has_few_columns(&self) -> bool {
        self.columns < 4
    }
}

/// The side of a cell in an area of `available` size that leaves `below` to what stands under the film.
#[must_use]
pub fn cell_side(available: Vec2, below: f32, num_images: usize) -> f32 {
    let n = columns(num_images) as f32;
    let wide = (available.x - 2.0 * PAD - LABEL - VALUE - (n - 1.0) * GAP) / n;
    let high = (available.y - below - height(0.0)) / ROWS as f32;
    wide.min(high).clamp(CELL_MIN, CELL_MAX).floor()
}

/// The height of a film with such cells, without room to spare.
#[must_use]
pub fn height(cell: f32) -> f32 {
    size::TOOLBAR + ROWS as f32 * (cell + GAP) + CURVE + SCRUBBER
}

fn columns(num_images: usize) -> usize {
    if num_images == 0 {
        EMPTY_COLUMNS
    } else {
        num_images
    }
}

impl FilmView {
    /// The epoch looked at; the newest where none.
    #[must_use]
    pub fn epoch(&self) -> Option<f32> {
        self.scrubber.epoch()
    }

    /// Fills `area`. `watch` are the held-out images, in order.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        area: Rect,
        cell: f32,
        watch: &[ImageId],
        marks: &[Mark],
    ) {
        let run = cx.run;
        if self.of != run.map(|run| run.id) {
            *self = Self {
                of: run.map(|run| run.id),
                tray: std::mem::take(&mut self.tray),
                ..Self::default()
            };
        }
        self.scrubber.play(ui, run);
        let grid = Grid {
            area,
            cell,
            columns: columns(watch.len()),
        };
        self.header(ui, cx, &grid, watch);
        row_label(
            ui,
            &grid,
            0,
            "original",
            "held out",
            Tokens::of(ui).text_strong,
        );
        for column in 0..grid.columns {
            let image = watch.get(column).and_then(|id| cx.project.image(*id));
            match image {
                Some(image) => {
                    original_cell(ui, cx, grid.cell(0, column), image, watch, column);
                }
                None => empty_cell(ui, grid.cell(0, column)),
            }
        }
        let frames = ModelRole::ALL.map(|role| run?.frame(role, self.epoch()));
        let is_newest = self.epoch().is_none();
        let seen: Vec<Column<'_>> = watch
            .iter()
            .map(|id| {
                let seen = frames.map(|frame| run?.seen(frame?, *id, is_newest));
                (*id, seen)
            })
            .collect();
        for row in 1..ROWS {
            self.model_row(ui, cx, &grid, row, frames[row - 1], &seen);
        }
        self.curves_row(ui, cx, &grid, watch);
        for column in 0..grid.columns {
            drop_ui(ui, cx, grid.column(column), watch, column);
        }
        drag_ui(ui, cx);
        if let Some((title, text)) = message(cx, watch) {
            message_card(ui, &grid, title, &text);
        }
        let below = Rect::from_min_max(
            pos2(area.left(), area.bottom() - SCRUBBER),
            area.right_bottom(),
        );
        self.scrubber.ui(ui, cx, below, grid.lane(), marks);
    }

    fn model_row(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        grid: &Grid,
        row: usize,
        frame: Option<&FilmFrame>,
        seen: &[Column<'_>],
    ) {
        let t = Tokens::of(ui);
        let run = cx.run;
        let role = ModelRole::ALL[row - 1];
        let caption = match role {
            ModelRole::Before => "stage 1".to_owned(),
            ModelRole::Control => "alpha 0".to_owned(),
            ModelRole::Care => {
                let live = run.map_or(cx.draft.live, |run| run.live_at(self.epoch()));
                format!("alpha {:.2}", live.alpha)
            }
        };
        let right = row_label(ui, grid, row, role.name(), &caption, t.role(role));
        let whole = grid.row(row).with_min_x(grid.area.left() + PAD - 4.0);
        let whole = whole.with_max_x(grid.value_right() + 4.0);
        story::mark(ui.ctx(), Place::Row(role), whole);
        if cx.is_training && role == ModelRole::Care && frame.is_some() {
            ui.painter()
                .circle_filled(right + vec2(10.0, 0.0), 4.0, t.care);
        }

        let time = ui.input(|input| input.time);
        let is_newest = self.epoch().is_none();
        let fade = &mut self.fades[row - 1];
        fade.show(frame.map(|frame| frame.step), time);
        let progress = fade.progress(time);
        let is_fresh = cx.is_training && is_newest && fade.is_fresh(time);
        let earlier = fade.before.filter(|_| progress < 1.0).and_then(|step| {
            let film = run?.film.iter();
            film.rev().find(|f| f.role == role && f.step == step)
        });
        if progress < 1.0 {
            ui.ctx().request_repaint();
        } else if is_fresh {
            ui.ctx().request_repaint_after(Duration::from_millis(200));
        }
        for column in 0..grid.columns {
            let rect = grid.cell(row, column);
            let (id, now) = seen.get(column).copied().unzip();
            let image = id.and_then(|id| cx.project.image(id));
            let now = now.unwrap_or_default();
            let peaks: Vec<Option<f32>> = now.iter().flatten().map(|(_, seen)| seen.peak).collect();
            let before = || run?.seen(earlier?, id?, is_newest);
            let layers: Vec<Layer<'_>> = [(before(), 1.0 - progress), (now[row - 1], progress)]
                .into_iter()
                .filter_map(|(seen, share)| {
                    let (moment, seen) = seen?;
                    Some(Layer::of(role, moment, seen, share, cx.map_style, &peaks))
                })
                .collect();
            match image {
                Some(image) if !layers.is_empty() => {
                    model_cell(ui, cx, rect, image, &layers);
                    if is_fresh {
                        fresh_mark(ui, rect);
                    }
                }
                _ => empty_cell(ui, rect),
            }
        }
        let waits = cx.is_training && frame.is_none() && role != ModelRole::Before;
        if waits && run.is_some_and(|run| run.stage_two().is_none() && !run.film.is_empty()) {
            let name = ui.painter().layout_no_wrap(
                "begins with stage 2".to_owned(),
                FontId::proportional(12.0),
                t.text_weak,
            );
            let rect = Rect::from_center_size(grid.row(row).center(), name.size());
            // Its own ground, for the edges of two cells run under it.
            let ground = rect.expand2(vec2(8.0, 4.0));
            ui.painter()
                .rect_filled(ground, f32::from(radius::IMAGE), t.raised);
            ui.painter().galley(rect.min, name, t.text_weak);
        }
        if frame.is_some() {
            let row_seen: Vec<_> = seen
                .iter()
                .map(|(_, seen)| seen[row - 1].map(|it| it.1))
                .collect();
            mean_ui(ui, grid, row, role, &row_seen);
        }
    }

    fn curves_row(&mut self, ui: &Ui, cx: &Context<'_>, grid: &Grid, watch: &[ImageId]) {
        let t = Tokens::of(ui);
        let Some(run) = cx.run.filter(|run| !run.film.is_empty()) else {
            return;
        };
        self.curves.renew(run, watch);
        let at = pos2(grid.area.left() + PAD, grid.curve(0).center().y);
        ui.painter().text(
            at,
            Align2::LEFT_CENTER,
            "in box, 0\u{2013}1",
            FontId::proportional(12.0),
            t.text_weak,
        );
        for (column, id) in watch.iter().enumerate() {
            if let Some(image) = cx.project.image(*id) {
                let name = image.name();
                self.curves
                    .ui(ui, grid.curve(column), run, column, name, self.epoch());
            }
        }
    }

    /// Whether the images are being chosen: [`Self::choose_ui`] then stands in place of the plots.
    #[must_use]
    pub fn is_choosing(&self) -> bool {
        self.tray.is_open
    }

    /// The held-out images to choose from. Fills `area`.
    pub fn choose_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, area: Rect, watch: &[ImageId]) {
        self.tray.ui(ui, cx, area, watch);
    }

    fn header(&mut self, ui: &mut Ui, cx: &mut Context<'_>, grid: &Grid, watch: &[ImageId]) {
        let t = Tokens::of(ui);
        let rect = Rect::from_min_max(
            grid.area.min + vec2(PAD, 0.0),
            pos2(
                grid.row(0).right().max(grid.lane().max),
                grid.area.top() + size::TOOLBAR,
            ),
        );
        let title = ui.painter().layout_no_wrap(
            "Attention film".to_owned(),
            tokens::section().resolve(ui.style()),
            t.text_strong,
        );
        let mut right = rect.right();
        ui.scope_builder(
            UiBuilder::new()
                .max_rect(rect.with_min_x(rect.left() + title.size().x))
                .layout(Layout::right_to_left(Align::Center)),
            |ui| {
                let words = "Choose images";
                let response = if rect.width() > 760.0 {
                    WordButton::new(words)
                        .icon(icons::IMAGES)
                        .height(28.0)
                        .ui(ui)
                } else {
                    IconButton::new(icons::IMAGES, words).ui(ui)
                };
                if response
                    .on_hover_text("Choose the held-out images that the film shows")
                    .clicked()
                {
                    self.tray.is_open = !self.tray.is_open;
                }
                film_button_ui(ui, cx.run, cx.commands);
                overlay_ui(ui, cx);
                right = ui.cursor().right();
            },
        );
        let text = ui.painter();
        let middle = rect.center().y;
        let left = rect.left() + title.size().x + 12.0;
        let at = pos2(rect.left(), middle - title.size().y / 2.0);
        text.galley(at, title, t.text_strong);
        let caption = elided(
            text,
            &watched(cx, watch),
            tokens::caption().resolve(ui.style()),
            t.text_weak,
            right - left - 8.0,
        );
        let at = pos2(left, middle - caption.size().y / 2.0);
        text.galley(at, caption, t.text_weak);
        if !watch.is_empty() {
            // Beside a few cells the header's words reach over the column of values; the originals have none.
            let row = if grid.has_few_columns() {
                grid.row(0)
            } else {
                rect
            };
            ui.painter().text(
                pos2(grid.value_right(), row.center().y),
                Align2::RIGHT_CENTER,
                "in box",
                tokens::medium(12.0),
                t.text_weak,
            );
        }
    }
}

/// Something that is dragged over the film.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Dragged {
    image: ImageId,
}

/// What is dragged is let go over a column: an image of the film moves there, another one takes its place.
fn drop_ui(ui: &mut Ui, cx: &mut Context<'_>, rect: Rect, watch: &[ImageId], column: usize) {
    let response = ui.interact(rect, ui.scope_id().with(("column", column)), Sense::hover());
    if response.dnd_hover_payload::<Dragged>().is_some() {
        ui.painter().rect_stroke(
            rect.expand(3.0),
            f32::from(radius::IMAGE) + 3.0,
            Stroke::new(2.0, Tokens::of(ui).accent),
            StrokeKind::Inside,
        );
    }
    if let Some(dragged) = response.dnd_release_payload::<Dragged>() {
        let dropped = dropped(watch, dragged.image, column);
        if dropped != watch {
            cx.commands.send(Command::SetWatch(Some(dropped)));
        }
    }
}

/// The columns after an image was let go over one of them.
fn dropped(watch: &[ImageId], image: ImageId, column: usize) -> Vec<ImageId> {
    let mut watch = watch.to_vec();
    if let Some(from) = watch.iter().position(|other| *other == image) {
        watch.remove(from);
        watch.insert(column.min(watch.len()), image);
    } else if let Some(place) = watch.get_mut(column) {
        *place = image;
    } else {
        watch.push(image);
    }
    watch
}

/// What the columns are.
fn watched(cx: &Context<'_>, watch: &[ImageId]) -> String {
    let images: Vec<&Image> = watch
        .iter()
        .filter_map(|id| cx.project.image(*id))
        .collect();
    let Some(first) = images.first() else {
        return String::new();
    };
    let n = format::plural(images.len(), "held-out image", "held-out images");
    let class = cx
        .project
        .class(first.class)
        .filter(|_| images.iter().all(|image| image.class == first.class));
    match class {
        Some(class) => format!("{n} of {}, class read: their own label", class.name),
        None => format!("{n}, class read: their own label"),
    }
}

/// Right of a row: the mean share in the box, and over which of its images.
fn mean_ui(ui: &Ui, grid: &Grid, row: usize, role: ModelRole, seen: &[Option<&ImageAttention>]) {
    let right = pos2(grid.value_right(), grid.row(row).center().y);
    let value = mean_energy(seen.iter().copied().flatten());
    let value = value.map_or("\u{2013}".to_owned(), |mean| format!("{mean:.2}"));
    let ink = Tokens::of(ui).role(role);
    let font = tokens::semibold(15.0);
    let rect = ui
        .painter()
        .text(right, Align2::RIGHT_CENTER, &value, font, ink);
    let id = ui.scope_id().with(("mean", row));
    let response = ui.interact(rect.expand(4.0), id, Sense::hover());
    let words = mean_of(seen);
    response.widget_info(|| {
        let label = format!("{} in the box {value}, {words}", role.name());
        WidgetInfo::labeled(Role::Label, true, label)
    });
    response.on_hover_text(words);
}

/// What a mean is over; where that is not all of the watched images, why not.
fn mean_of(seen: &[Option<&ImageAttention>]) -> String {
    let [mut scored, mut flat, mut unboxed] = [0; 3];
    for seen in seen.iter().flatten() {
        let is_flat = seen.map.values.iter().all(|value| *value == 0.0);
        match seen.energy {
            Some(_) => scored += 1,
            None if is_flat => flat += 1,
            None => unboxed += 1,
        }
    }
    let missing = seen.iter().filter(|seen| seen.is_none()).count();
    let mut words = format!("mean of {scored} of {}", seen.len());
    let reasons = [
        (flat, "map is flat", "maps are flat"),
        (unboxed, "image has no box", "images have no box"),
        (
            missing,
            "image was not watched then",
            "images were not watched then",
        ),
    ];
    let reasons = reasons.into_iter().filter(|(n, ..)| *n > 0);
    for (place, (n, one, many)) in reasons.enumerate() {
        words += if place == 0 { ": " } else { ", " };
        words += &format::plural(n, one, many);
    }
    words
}

/// The label left of a row. Returns where its first line ends.
fn row_label(ui: &Ui, grid: &Grid, row: usize, name: &str, caption: &str, ink: Color32) -> Pos2 {
    let at = pos2(grid.area.left() + PAD, grid.row(row).center().y);
    let painter = ui.painter();
    let name = painter.text(
        at - vec2(0.0, 9.0),
        Align2::LEFT_CENTER,
        name,
        tokens::medium(13.0),
        ink,
    );
    painter.text(
        at + vec2(0.0, 9.0),
        Align2::LEFT_CENTER,
        caption,
        FontId::proportional(12.0),
        Tokens::of(ui).text_weak,
    );
    name.right_center()
}

/// What stands over the cells while there is nothing in them.
fn message(cx: &Context<'_>, watch: &[ImageId]) -> Option<(&'static str, String)> {
    let Some(run) = cx.run else {
        let text = if watch.is_empty() {
            "Mark a class as rare in Images: its held-out images appear here."
        } else {
            "Press Train. The first maps appear here within seconds."
        };
        return Some(("No run yet", text.to_owned()));
    };
    if !run.film.is_empty() {
        return None;
    }
    match &run.phase {
        phase if phase.is_over() => {
            Some(("No maps", "This run ended before its first map.".into()))
        }
        Phase::Loading(_, 0) => Some((
            "Starting",
            "The first maps appear here within seconds.".into(),
        )),
        Phase::Loading(done, total) => Some((
            "Reading images",
            format!("{done} of {total}. The first maps appear here within seconds."),
        )),
        _ if watch.is_empty() => Some((
            "Nothing to watch",
            "No held-out image is rare or has a box.".into(),
        )),
        _ => None,
    }
}

fn message_card(ui: &mut Ui, grid: &Grid, title: &str, text: &str) {
    let t = Tokens::of(ui);
    const SIZE: Vec2 = vec2(408.0, 104.0);
    let cells = grid.row(1).union(grid.row(3));
    // Few cells are narrower than the card, which leaves the rows' names free.
    let center = pos2(
        cells.center().x.max(cells.left() + SIZE.x / 2.0),
        cells.center().y,
    );
    let rect = Rect::from_center_size(center, SIZE);
    ui.painter().rect(
        rect,
        f32::from(radius::CARD),
        t.raised,
        Stroke::new(1.0, t.stroke),
        StrokeKind::Inside,
    );
    let inner = Rect::from_center_size(center, vec2(376.0, 52.0));
    ui.scope_builder(
        UiBuilder::new()
            .max_rect(inner)
            .layout(Layout::top_down(Align::Center)),
        |ui| {
            ui.label(
                RichText::new(title)
                    .text_style(tokens::section())
                    .color(t.text_strong),
            );
            ui.label(RichText::new(text).color(t.text));
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_follow_the_window() {
        let below = 185.0;
        for (available, num_images, expected) in [
            (vec2(1120.0, 828.0), 8, 112.0),
            (vec2(960.0, 728.0), 8, 92.0),
            (vec2(1600.0, 1008.0), 8, 160.0),
            (vec2(812.0, 628.0), 8, 70.0),
            // A few images would fill the width, but not the height.
            (vec2(1120.0, 828.0), 4, 120.0),
            // As many as can be chosen, in the smallest window and in a large one.
            (vec2(812.0, 628.0), 12, 46.0),
            (vec2(1600.0, 1008.0), 12, 112.0),
        ] {
            let side = cell_side(available, below, num_images);
            assert_eq!(side, expected, "{num_images} in {available}");
        }
    }

    #[test]
    fn what_is_let_go_moves_or_takes_a_place() {
        let ids = |ids: &[i64]| ids.iter().map(|id| ImageId(*id)).collect::<Vec<_>>();
        let watch = ids(&[1, 2, 3]);
        for (image, column, expected) in [
            (1, 2, [2, 3, 1].as_slice()),
            (3, 0, &[3, 1, 2]),
            (2, 1, &[1, 2, 3]),
            (9, 1, &[1, 9, 3]),
            (9, 7, &[1, 2, 3, 9]),
        ] {
            let dropped = dropped(&watch, ImageId(image), column);
            assert_eq!(dropped, ids(expected), "{image} to {column}");
        }
    }
}
