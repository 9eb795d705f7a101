//! The attention film: a column for each watched image, a row for each model, and the scrubber that plays it again.

use std::hash::{DefaultHasher, Hash, Hasher};

use care_data::{Image, ImageId, RunId};
use care_learn::event::{FilmFrame, ImageAttention};
use care_learn::metrics::argmax;
use care_learn::{ModelRole, RunConfig};
use egui::{
    Align, Align2, Color32, EventFilter, FontId, Key, Layout, Modifiers, Rangef, Rect, RichText,
    Role, Sense, Stroke, StrokeKind, Tooltip, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};

use super::tokens::{self, Tokens, radius, size};
use super::widgets::{
    IconButton, box_on_screen, box_outline, color_bar, fitted, focus_ring, picture_ui, texture_ui,
};
use super::{Context, icons};
use crate::training::{Phase, TrainingRun};

const PAD: f32 = 16.0;
const LABEL: f32 = 80.0;
const VALUE: f32 = 56.0;
const GAP: f32 = 8.0;
const SCRUBBER: f32 = 56.0;
const CELL_MIN: f32 = 72.0;
const CELL_MAX: f32 = 160.0;
/// Columns shown empty where there is nothing to watch.
const EMPTY_COLUMNS: usize = 8;
const ROWS: usize = 4;
/// A cell under the pointer, enlarged.
const LARGE: f32 = 320.0;
const OPACITY: f32 = 0.70;
const CROSS_FADE: f64 = 0.15;
const EPOCHS_PER_SECOND: f32 = 4.0;

/// A change made while the model trained, where it stands in the film and what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub epoch: f32,
    pub text: String,
}

/// The moment that the film shows.
#[derive(Default)]
pub struct FilmView {
    of: Option<RunId>,
    /// The epoch looked at; the newest where none.
    scrub: Option<f32>,
    playing: bool,
    fades: [Fade; 3],
}

/// A model's map giving way to its next one. Frames are known by their step.
#[derive(Default, Clone, Copy)]
struct Fade {
    now: Option<u32>,
    before: Option<u32>,
    since: f64,
}

impl Fade {
    fn show(&mut self, step: Option<u32>, time: f64) {
        if self.now != step {
            *self = Self {
                now: step,
                before: self.now,
                since: time,
            };
        }
    }

    /// How far the new map has come, 0..=1.
    fn progress(&self, time: f64) -> f32 {
        match self.before {
            Some(_) => ((time - self.since) / CROSS_FADE).clamp(0.0, 1.0) as f32,
            None => 1.0,
        }
    }
}

/// One map over an image, with its share of the opacity.
struct Layer<'a> {
    frame: &'a FilmFrame,
    seen: &'a ImageAttention,
    share: f32,
}

impl<'a> Layer<'a> {
    fn of(frame: &'a FilmFrame, image: ImageId, share: f32) -> Option<Self> {
        let seen = frame.images.iter().find(|seen| seen.image == image)?;
        Some(Self { frame, seen, share })
    }
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

    fn value_right(&self) -> f32 {
        self.row(0).right() + VALUE
    }

    /// The scrubber is as long as the row of cells; beside a few cells it takes the whole width.
    fn lane(&self) -> Rangef {
        let cells = self.row(0).x_range();
        let whole = Rangef::new(cells.min, self.area.right() - PAD - VALUE);
        if self.columns < 4 { whole } else { cells }
    }
}

/// The side of a cell in an area of `available` size that leaves `below` to what stands under the film.
#[must_use]
pub fn cell_side(available: egui::Vec2, below: f32, num_images: usize) -> f32 {
    let n = columns(num_images) as f32;
    let wide = (available.x - 2.0 * PAD - LABEL - VALUE - (n - 1.0) * GAP) / n;
    let high = (available.y - below - height(0.0)) / ROWS as f32;
    wide.min(high).clamp(CELL_MIN, CELL_MAX).floor()
}

/// The height of a film with such cells, without room to spare.
#[must_use]
pub fn height(cell: f32) -> f32 {
    size::TOOLBAR + ROWS as f32 * cell + (ROWS - 1) as f32 * GAP + SCRUBBER
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
        self.scrub
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
                ..Self::default()
            };
        }
        self.play(ui, run);
        let grid = Grid {
            area,
            cell,
            columns: columns(watch.len()),
        };
        header(ui, cx, &grid, watch);
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
                Some(image) => original_cell(ui, cx, grid.cell(0, column), image),
                None => empty_cell(ui, grid.cell(0, column)),
            }
        }
        for (row, role) in ModelRole::ALL.into_iter().enumerate() {
            self.model_row(ui, cx, &grid, row + 1, role, watch);
        }
        if let Some((title, text)) = message(cx, watch) {
            message_card(ui, &grid, title, &text);
        }
        let below = Rect::from_min_max(
            pos2(area.left(), area.bottom() - SCRUBBER),
            area.right_bottom(),
        );
        self.scrubber(ui, cx, &grid, below, marks);
    }

    fn play(&mut self, ui: &Ui, run: Option<&TrainingRun>) {
        let (true, Some(run)) = (self.playing, run) else {
            self.playing = false;
            return;
        };
        let dt = ui.input(|input| input.stable_dt.min(0.1));
        let next = self.scrub.unwrap_or(0.0) + dt * EPOCHS_PER_SECOND;
        if next < newest(run) {
            self.scrub = Some(next);
            ui.ctx().request_repaint();
        } else {
            self.playing = false;
            self.scrub = None;
        }
    }

    fn model_row(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        grid: &Grid,
        row: usize,
        role: ModelRole,
        watch: &[ImageId],
    ) {
        let t = Tokens::of(ui);
        let run = cx.run;
        let caption = match role {
            ModelRole::Before => "stage 1".to_owned(),
            ModelRole::Control => "alpha 0".to_owned(),
            ModelRole::Care => {
                let live = run.map_or(cx.draft.live, |run| run.live_at(self.scrub));
                format!("alpha {:.2}", live.alpha)
            }
        };
        let right = row_label(ui, grid, row, role.name(), &caption, t.role(role));
        let frame = run.and_then(|run| run.frame(role, self.scrub));
        if cx.is_training && role == ModelRole::Care && frame.is_some() {
            ui.painter()
                .circle_filled(right + vec2(10.0, 0.0), 4.0, t.care);
        }

        let time = ui.input(|input| input.time);
        let fade = &mut self.fades[row - 1];
        fade.show(frame.map(|frame| frame.step), time);
        let progress = fade.progress(time);
        let earlier = fade.before.filter(|_| progress < 1.0).and_then(|step| {
            let film = run?.film.iter();
            film.rev().find(|f| f.role == role && f.step == step)
        });
        if progress < 1.0 {
            ui.ctx().request_repaint();
        }
        for column in 0..grid.columns {
            let rect = grid.cell(row, column);
            let id = watch.get(column);
            let image = id.and_then(|id| cx.project.image(*id));
            let layers: Vec<Layer<'_>> = [(earlier, 1.0 - progress), (frame, progress)]
                .into_iter()
                .filter_map(|(frame, share)| Layer::of(frame?, *id?, share))
                .collect();
            match (image, frame) {
                (Some(image), Some(_)) => model_cell(ui, cx, rect, image, &layers),
                _ => empty_cell(ui, rect),
            }
        }
        let waits = cx.is_training && frame.is_none() && role != ModelRole::Before;
        if waits && run.is_some_and(|run| run.stage_two().is_none() && !run.film.is_empty()) {
            ui.painter().text(
                grid.row(row).center(),
                Align2::CENTER_CENTER,
                "begins with stage 2",
                FontId::proportional(12.0),
                t.text_weak,
            );
        }
        let energy = frame.and_then(FilmFrame::mean_energy);
        if frame.is_some() {
            let value = energy.map_or("\u{2013}".to_owned(), |energy| format!("{energy:.2}"));
            ui.painter().text(
                pos2(grid.value_right(), grid.row(row).center().y),
                Align2::RIGHT_CENTER,
                value,
                tokens::semibold(15.0),
                t.role(role),
            );
        }
    }

    /// Play, back to the start, the rail, and the way back to the newest maps.
    fn scrubber(&mut self, ui: &mut Ui, cx: &Context<'_>, grid: &Grid, area: Rect, marks: &[Mark]) {
        let rail_y = area.top() + 23.0;
        let stops = cx.run.map(stops).unwrap_or_default();
        let enabled = stops.len() > 1;
        let buttons = Rect::from_min_size(
            pos2(area.left() + PAD, rail_y - 14.0),
            vec2(LABEL - 16.0, 28.0),
        );
        ui.scope_builder(
            UiBuilder::new()
                .max_rect(buttons)
                .layout(Layout::left_to_right(Align::Center)),
            |ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                let (glyph, name) = if self.playing {
                    (icons::PAUSE, "Pause the film")
                } else {
                    (icons::PLAY, "Play the film")
                };
                if IconButton::new(glyph, name)
                    .fill()
                    .enabled(enabled)
                    .ui(ui)
                    .clicked()
                {
                    self.playing = !self.playing;
                    if self.playing && self.scrub.is_none() {
                        self.scrub = Some(0.0);
                    }
                }
                let back = IconButton::new(icons::SKIP_BACK, "Back to the start");
                if back.fill().enabled(enabled).ui(ui).clicked() {
                    self.playing = false;
                    self.scrub = Some(0.0);
                }
            },
        );
        let lane = grid.lane();
        let rail = Rect::from_x_y_ranges(lane, rail_y - 3.0..=rail_y + 3.0);
        let timeline = Timeline::new(cx.run, cx.draft, rail);
        self.move_handle(ui, &timeline, &stops);
        timeline.paint(ui, self.scrub, enabled);
        timeline.marks(ui, marks);
        if enabled {
            self.live_button(ui, cx, pos2(lane.max + VALUE, rail_y));
        }
    }

    fn move_handle(&mut self, ui: &mut Ui, timeline: &Timeline<'_>, stops: &[f32]) {
        let hit = timeline.rail.expand2(vec2(8.0, 8.0));
        let enabled = stops.len() > 1;
        let sense = if enabled {
            Sense::click_and_drag()
        } else {
            Sense::hover()
        };
        let response = ui.interact(hit, ui.id().with("scrubber"), sense);
        let at = self.scrub.unwrap_or(timeline.newest);
        response.widget_info(|| WidgetInfo::slider(enabled, f64::from(at), "Epoch"));
        if !enabled {
            return;
        }
        focus_ring(ui, &response, radius::CONTROL);
        let mut to = None;
        if let Some(pointer) = response.interact_pointer_pos() {
            let epoch = timeline.epoch_at(pointer.x);
            to = stops
                .iter()
                .copied()
                .min_by(|a, b| (a - epoch).abs().total_cmp(&(b - epoch).abs()));
        }
        if response.has_focus() {
            let filter = EventFilter {
                horizontal_arrows: true,
                ..EventFilter::default()
            };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
            let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
            if pressed(Key::ArrowLeft) {
                to = stops.iter().copied().rfind(|stop| *stop < at - 1e-3);
            }
            if pressed(Key::ArrowRight) {
                to = stops.iter().copied().find(|stop| *stop > at + 1e-3);
            }
        }
        if let Some(stop) = to {
            self.playing = false;
            self.scrub = (stop < timeline.newest).then_some(stop);
        }
    }

    /// Jumps to the newest maps; says so where they are shown.
    fn live_button(&mut self, ui: &mut Ui, cx: &Context<'_>, right: egui::Pos2) {
        let t = Tokens::of(ui);
        let (word, tooltip) = if cx.is_training {
            ("live", "Show the newest maps as they come")
        } else {
            ("end", "Show the last maps")
        };
        let is_live = self.scrub.is_none();
        let ink = if is_live { t.accent } else { t.text };
        let galley = ui
            .painter()
            .layout_no_wrap(word.into(), FontId::proportional(12.0), ink);
        let dot = if cx.is_training { 11.0 } else { 0.0 };
        let size = vec2(galley.size().x + dot + 12.0, 22.0);
        let rect = Rect::from_min_size(pos2(right.x - size.x, right.y - 11.0), size);
        let response = ui.interact(rect, ui.id().with("live"), Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_live, word));
        let fill = match (is_live, response.hovered()) {
            (true, _) => t.accent_soft,
            (false, true) => t.hover,
            (false, false) => t.raised,
        };
        let corner = f32::from(radius::IMAGE);
        ui.painter().rect_filled(rect, corner, fill);
        if dot > 0.0 {
            let center = pos2(rect.left() + 9.0, rect.center().y);
            ui.painter().circle_filled(center, 3.0, ink);
        }
        let at = pos2(
            rect.left() + 6.0 + dot,
            rect.center().y - galley.size().y / 2.0,
        );
        ui.painter().galley(at, galley, ink);
        focus_ring(ui, &response, radius::IMAGE);
        if response.on_hover_text(tooltip).clicked() {
            self.playing = false;
            self.scrub = None;
        }
    }
}

fn newest(run: &TrainingRun) -> f32 {
    run.film.last().map_or(0.0, |frame| frame.epoch)
}

/// The epochs at which there are maps, ascending.
fn stops(run: &TrainingRun) -> Vec<f32> {
    let mut stops: Vec<f32> = run.film.iter().map(|frame| frame.epoch).collect();
    stops.dedup();
    stops
}

fn header(ui: &mut Ui, cx: &Context<'_>, grid: &Grid, watch: &[ImageId]) {
    let t = Tokens::of(ui);
    let rect = Rect::from_min_max(
        grid.area.min + vec2(PAD, 0.0),
        pos2(
            grid.row(0).right().max(grid.lane().max),
            grid.area.top() + size::TOOLBAR,
        ),
    );
    ui.scope_builder(
        UiBuilder::new()
            .max_rect(rect)
            .layout(Layout::left_to_right(Align::Center)),
        |ui| {
            ui.label(
                RichText::new("Attention film")
                    .text_style(tokens::section())
                    .color(t.text_strong),
            );
            ui.add_space(4.0);
            ui.label(
                RichText::new(watched(cx, watch))
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
            ui.with_layout(Layout::right_to_left(Align::Center), color_bar);
        },
    );
    if !watch.is_empty() {
        ui.painter().text(
            pos2(grid.value_right(), rect.center().y),
            Align2::RIGHT_CENTER,
            "in box",
            tokens::medium(12.0),
            t.text_weak,
        );
    }
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
    let n = crate::format::plural(images.len(), "held-out image", "held-out images");
    let class = cx
        .project
        .class(first.class)
        .filter(|_| images.iter().all(|image| image.class == first.class));
    match class {
        Some(class) => format!("{n} of {}, class read: their own label", class.name),
        None => format!("{n}, class read: their own label"),
    }
}

/// The label left of a row. Returns where its first line ends.
fn row_label(
    ui: &Ui,
    grid: &Grid,
    row: usize,
    name: &str,
    caption: &str,
    ink: Color32,
) -> egui::Pos2 {
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

fn empty_cell(ui: &Ui, rect: Rect) {
    let t = Tokens::of(ui);
    ui.painter().rect(
        rect,
        f32::from(radius::IMAGE),
        t.panel,
        Stroke::new(1.0, t.stroke),
        StrokeKind::Inside,
    );
}

fn boxes_ui(ui: &Ui, cx: &Context<'_>, image: &Image, rect: Rect) {
    for annotation in cx.project.boxes(image.id) {
        let on_screen = box_on_screen(annotation.rect, image.size, rect);
        box_outline(&ui.painter().with_clip_rect(rect), on_screen, false);
    }
}

fn original_cell(ui: &Ui, cx: &mut Context<'_>, cell: Rect, image: &Image) {
    let picture = cx.thumbnail(image);
    let rect = picture_ui(ui, cell, &picture);
    boxes_ui(ui, cx, image, rect);
    let response = ui.interact(cell, ui.id().with(("original", image.id)), Sense::hover());
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Image, true, format!("original, {}", image.name()))
    });
    response.on_hover_ui(|ui| {
        enlarged(ui, cx, image, &[]);
        ui.label(RichText::new(image.name()).font(tokens::medium(13.0)));
    });
}

/// `layers` lie one over the other; the last is the one that counts.
fn model_cell(ui: &Ui, cx: &mut Context<'_>, cell: Rect, image: &Image, layers: &[Layer<'_>]) {
    let Some(Layer { frame, seen, .. }) = layers.last() else {
        empty_cell(ui, cell);
        return;
    };
    let picture = cx.thumbnail(image);
    let rect = picture_ui(ui, cell, &picture);
    maps_ui(ui, cx, rect, layers);
    boxes_ui(ui, cx, image, rect);
    let id = ui.id().with((frame.role, image.id));
    let response = ui.interact(cell, id, Sense::hover());
    let score = match seen.energy {
        Some(energy) => format!("{energy:.2} of the attention in the box"),
        None if cx.project.boxes(image.id).is_empty() => "no box to score against".to_owned(),
        None => "a flat map, not scored".to_owned(),
    };
    response.widget_info(|| {
        let name = format!("{}, {}, {score}", frame.role.name(), image.name());
        WidgetInfo::labeled(Role::Image, true, name)
    });
    let epoch = frame.epoch.ceil();
    Tooltip::for_enabled(&response).width(LARGE).show(|ui| {
        let t = Tokens::of(ui);
        enlarged(ui, cx, image, layers);
        let title = format!("{}, {}, epoch {epoch}", image.name(), frame.role.name());
        ui.label(
            RichText::new(title)
                .font(tokens::medium(13.0))
                .color(t.text_strong),
        );
        ui.label(RichText::new(score).color(t.text));
        let predicted = argmax(&seen.probabilities);
        if let (Some(class), Some(p)) = (
            cx.project.classes().get(predicted),
            seen.probabilities.get(predicted),
        ) {
            let text = format!("predicted {}, probability {p:.2}", class.name);
            ui.label(
                RichText::new(text)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
        }
    });
}

fn maps_ui(ui: &Ui, cx: &mut Context<'_>, rect: Rect, layers: &[Layer<'_>]) {
    let run = cx.run.map(|run| run.id);
    for Layer { frame, seen, share } in layers {
        let mut hasher = DefaultHasher::new();
        ("film", run, frame.role, frame.step, seen.image).hash(&mut hasher);
        let texture = cx.textures.map(hasher.finish(), &seen.map);
        let tint = Color32::WHITE.gamma_multiply(OPACITY * share);
        texture_ui(ui.painter(), rect, &texture, tint);
    }
}

fn enlarged(ui: &mut Ui, cx: &mut Context<'_>, image: &Image, layers: &[Layer<'_>]) {
    let picture = cx.thumbnail(image);
    let whole = vec2(image.size.width as f32, image.size.height as f32);
    let cell = Rect::from_min_size(ui.cursor().min, vec2(LARGE, LARGE));
    let (rect, _) = ui.allocate_exact_size(fitted(cell, whole).size(), Sense::hover());
    let rect = picture_ui(ui, rect, &picture);
    maps_ui(ui, cx, rect, layers);
    boxes_ui(ui, cx, image, rect);
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
    let center = grid.row(1).union(grid.row(3)).center();
    let rect = Rect::from_center_size(center, vec2(408.0, 104.0));
    ui.painter().rect(
        rect,
        f32::from(radius::CARD),
        t.raised,
        Stroke::new(1.0, t.stroke),
        StrokeKind::Inside,
    );
    let inner = Rect::from_center_size(center, vec2(376.0, 64.0));
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

/// Epochs along the rail.
struct Timeline<'a> {
    run: Option<&'a TrainingRun>,
    rail: Rect,
    num_epochs: u32,
    newest: f32,
}

impl<'a> Timeline<'a> {
    fn new(run: Option<&'a TrainingRun>, draft: &RunConfig, rail: Rect) -> Self {
        Self {
            run,
            rail,
            num_epochs: run.map_or(
                draft.stage1_epochs + draft.stage2_epochs,
                TrainingRun::num_epochs,
            ),
            newest: run.map_or(0.0, newest),
        }
    }

    fn x(&self, epoch: f32) -> f32 {
        egui::lerp(self.rail.x_range(), epoch / self.num_epochs.max(1) as f32)
    }

    fn epoch_at(&self, x: f32) -> f32 {
        (x - self.rail.left()) / self.rail.width() * self.num_epochs as f32
    }

    fn paint(&self, ui: &Ui, scrub: Option<f32>, enabled: bool) {
        let t = Tokens::of(ui);
        let painter = ui.painter();
        let part = |from: f32, to: f32| {
            Rect::from_x_y_ranges(self.x(from)..=self.x(to), self.rail.y_range())
        };
        painter.rect_filled(self.rail, 3.0, t.active);
        let stage_two = self.run.and_then(TrainingRun::stage_two);
        let stage1_end = stage_two.unwrap_or(self.newest).min(self.newest);
        painter.rect_filled(part(0.0, stage1_end), 3.0, t.stroke_strong);
        if let Some(begin) = stage_two.filter(|begin| *begin < self.newest) {
            painter.rect_filled(part(begin, self.newest), 3.0, t.accent);
        }
        if self.run.is_some() {
            let y = self.rail.bottom() + 2.0;
            let every = tick_step(self.rail.width() / self.num_epochs.max(1) as f32, 5.0);
            for epoch in (0..=self.num_epochs).step_by(every as usize) {
                let x = self.x(epoch as f32).round() + 0.5;
                painter.vline(x, y..=y + 4.0, Stroke::new(1.0, t.stroke_strong));
            }
        }
        if let Some(begin) = stage_two {
            let mark =
                Rect::from_center_size(pos2(self.x(begin), self.rail.center().y), vec2(2.0, 14.0));
            painter.rect_filled(mark, 0.0, t.text_strong);
        }
        self.labels(ui, scrub, stage_two, enabled);
        if enabled {
            let center = pos2(self.x(scrub.unwrap_or(self.newest)), self.rail.center().y);
            painter.circle(center, 7.0, t.text_strong, Stroke::new(3.0, t.accent));
        }
    }

    /// The most telling first; what would overlap is left out.
    fn labels(&self, ui: &Ui, scrub: Option<f32>, stage_two: Option<f32>, enabled: bool) {
        let t = Tokens::of(ui);
        let mut labels = Vec::new();
        if enabled {
            let epoch = scrub.unwrap_or(self.newest);
            let text = format!("epoch {}", epoch.ceil());
            labels.push((epoch, text, tokens::semibold(11.0), t.text_strong));
        }
        let small = FontId::proportional(11.0);
        if let Some(begin) = stage_two {
            let text = format!("{}, stage 2 begins", begin.round());
            labels.push((begin, text, small.clone(), t.text));
        }
        let last = if self.run.is_some() {
            self.num_epochs.to_string()
        } else {
            crate::format::plural(self.num_epochs as usize, "epoch", "epochs")
        };
        labels.push((0.0, "0".to_owned(), small.clone(), t.text_weak));
        labels.push((self.num_epochs as f32, last, small.clone(), t.text_weak));
        let half = self.num_epochs / 2;
        if self.run.is_some() && half > 0 {
            labels.push((half as f32, half.to_string(), small, t.text_weak));
        }
        let mut taken: Vec<Rect> = Vec::new();
        for (epoch, text, font, ink) in labels {
            let galley = ui.painter().layout_no_wrap(text, font, ink);
            let half = galley.size().x / 2.0;
            let limits = self.rail.x_range();
            let center = self.x(epoch).clamp(
                limits.min + half,
                (limits.max - half).max(limits.min + half),
            );
            let rect = Rect::from_center_size(
                pos2(center, self.rail.bottom() + 17.0),
                galley.size() + vec2(8.0, 0.0),
            );
            if taken.iter().all(|other| !other.intersects(rect)) {
                ui.painter().galley(rect.min + vec2(4.0, 0.0), galley, ink);
                taken.push(rect);
            }
        }
    }

    fn marks(&self, ui: &Ui, marks: &[Mark]) {
        let t = Tokens::of(ui);
        for (place, mark) in marks.iter().enumerate() {
            let center = pos2(self.x(mark.epoch), self.rail.top() - 6.0);
            let hit = Rect::from_center_size(center, vec2(14.0, 12.0));
            let response = ui.interact(hit, ui.id().with(("mark", place)), Sense::hover());
            let text = format!("epoch {}: {}", mark.epoch.ceil(), mark.text);
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &text));
            let edge = if response.hovered() {
                t.text_strong
            } else {
                t.text
            };
            let corners = [
                vec2(0.0, -4.0),
                vec2(4.0, 0.0),
                vec2(0.0, 4.0),
                vec2(-4.0, 0.0),
            ];
            ui.painter().add(egui::Shape::convex_polygon(
                corners.map(|corner| center + corner).into(),
                t.panel,
                Stroke::new(1.0, edge),
            ));
            response.on_hover_text(text);
        }
    }
}

/// A round number of epochs whose ticks, at `points` an epoch, stand at least `apart`.
#[must_use]
pub fn tick_step(points: f32, apart: f32) -> u32 {
    [1, 2, 5, 10, 20, 50, 100, 200, 500]
        .into_iter()
        .find(|step| *step as f32 * points >= apart)
        .unwrap_or(1000)
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
            (vec2(812.0, 628.0), 8, 73.0),
            // A few images would fill the width, but not the height.
            (vec2(1120.0, 828.0), 4, 129.0),
            (vec2(600.0, 400.0), 8, 72.0),
        ] {
            let side = cell_side(available, below, num_images);
            assert_eq!(side, expected, "{num_images} in {available}");
        }
    }

    #[test]
    fn ticks_stay_apart() {
        for (points, expected) in [(40.0, 1), (4.0, 2), (2.0, 5), (0.3, 20), (0.001, 1000)] {
            assert_eq!(tick_step(points, 5.0), expected);
        }
    }

    #[test]
    fn a_map_fades_into_the_next() {
        let mut fade = Fade::default();
        fade.show(Some(1), 0.0);
        assert_eq!(
            fade.progress(0.0),
            1.0,
            "the first has nothing to fade from"
        );
        fade.show(Some(2), 1.0);
        assert_eq!((fade.before, fade.progress(1.0)), (Some(1), 0.0));
        assert_eq!(fade.progress(1.15), 1.0);
    }
}
