//! Room 2: the queue of images that need a box, the canvas to draw on, and what is known of the image in hand.

mod boxes;
mod readers;
mod review;
mod viewing;

use care_data::{Annotation, BoxId, Edit, Image, ImageId, Project, ReviewState};
use egui::{
    Align, CentralPanel, Color32, CornerRadius, FontId, Frame, Key, Layout, Margin, Modifiers,
    Panel, Rect, Response, RichText, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, UiBuilder,
    Vec2, WidgetInfo, pos2, vec2,
};
use jiff::tz::TimeZone;

use self::readers::{ReadersSheet, reader_ui};
use self::review::ReviewSection;
use self::viewing::Viewing;
use super::canvas::{Canvas, Tool};
use super::queue::QueuePanel;
use super::tokens::{self, Tokens, radius, size};
use super::widgets::{
    IconButton, WordButton, class_dot, combo_caret, divider, elided, focus_ring, problem_ui,
    section_title,
};
use super::{Context, icons};
use crate::command::{Action, Command, DIGITS, Room};
use crate::format;
use crate::queue::{Classes, Counts, Queue};

/// Pixels of an image that is decoded before it is looked at.
const MAX_AHEAD: u64 = 16_000_000;

#[derive(Default)]
pub struct AnnotateRoom {
    queue: Queue,
    panel: QueuePanel,
    canvas: Canvas,
    viewing: Viewing,
    review: ReviewSection,
    readers: ReadersSheet,
}

impl AnnotateRoom {
    /// Another room is shown: a box that was under the hand must not grow on when this one is shown again.
    pub fn leave(&mut self, cx: &mut Context<'_>) {
        self.canvas.put_down();
        self.review.keep(cx);
    }

    /// The edit of a note that was written and is not kept yet.
    pub fn take_note(&mut self, project: &Project) -> Option<Edit> {
        self.review.take(project)
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let project = cx.project;
        let now = ui.input(|i| i.time);
        self.queue
            .update(project, cx.reader, cx.queue, cx.attention, cx.selected, now);
        if let Some(seconds) = self.queue.resorted_in(cx.queue, cx.attention, now) {
            let later = std::time::Duration::from_secs_f64(seconds);
            ui.ctx().request_repaint_after(later);
        }
        let image = cx.selected.and_then(|id| project.image(id));
        if let Some(image) = image {
            self.canvas.turn_to(image.id, cx.reader);
        }
        if image.is_none() {
            let first = || project.images().first().map(|image| image.id);
            if let Some(id) = self.queue.first().or_else(first) {
                cx.commands.send(Command::Select(id));
            }
        }
        self.readers.ui(ui, cx);
        let bare = self.take_keys(ui, cx, image);
        self.panel.ui(ui, cx, &mut self.queue);
        let Some(image) = image else {
            if project.images().is_empty() {
                no_images(ui, cx);
            }
            return;
        };
        self.viewing.begin(image.id);
        self.inspector_ui(ui, cx, image);
        self.toolbar_ui(ui, image, cx);
        CentralPanel::no_frame().show(ui, |ui| {
            if let Some(problem) = cx.problem {
                Frame::new()
                    .inner_margin(16)
                    .show(ui, |ui| problem_ui(ui, problem, cx.commands));
            }
            self.prefetch(cx, image);
            let look = self.viewing.look(project);
            let by = self.canvas.ui(ui, cx, image, look, bare);
            if by != Vec2::ZERO
                && let Some(grey) = cx.textures.grey(image.id)
            {
                self.viewing.drag(by, grey, project);
                ui.ctx().request_repaint();
            }
        });
    }

    /// The neighbours are decoded while the image in hand is looked at, which itself comes first.
    fn prefetch(&self, cx: &mut Context<'_>, image: &Image) {
        let neighbours = [
            self.previous(cx.project, image),
            self.next(cx.project, image),
            self.queue.next_to_do(),
        ];
        for id in neighbours.into_iter().flatten() {
            // Of huge ones there is room for the image in hand alone.
            if let Some(next) = cx.project.image(id)
                && next.size.area().max(image.size.area()) <= MAX_AHEAD
            {
                cx.full(next, self.viewing.look_of_others(cx.project));
            }
        }
    }

    /// Everything the keyboard does here. True while Space hides what lies on the image.
    fn take_keys(&mut self, ui: &Ui, cx: &mut Context<'_>, image: Option<&Image>) -> bool {
        let ctx = ui.ctx().clone();
        let blocked = ctx.any_popup_open()
            || ctx.text_edit_focused()
            || ctx.memory(|m| m.top_modal_layer().is_some());
        let Some(image) = image.filter(|_| !blocked) else {
            return false;
        };
        if Action::Readers.pressed(&ctx) {
            self.readers.open();
        }
        for (action, tool) in [
            (Action::ToolBox, Tool::Box),
            (Action::ToolSelect, Tool::Select),
            (Action::ToolPan, Tool::Pan),
        ] {
            if action.pressed(&ctx) {
                self.canvas.tool = tool;
            }
        }
        if Action::Fit.pressed(&ctx) {
            self.canvas.fit();
        }
        if Action::ActualSize.pressed(&ctx) {
            self.canvas.actual_size(&ctx, image);
        }
        if Action::Squares.pressed(&ctx) {
            self.canvas.squares = !self.canvas.squares;
        }
        if Action::KeepZoom.pressed(&ctx) {
            self.canvas.keep_zoom = !self.canvas.keep_zoom;
        }
        if Action::CancelDraft.pressed(&ctx) {
            if cx.suggestion.is_some() && !self.canvas.is_drafting() {
                cx.commands.send(Command::DropSuggestion);
            } else {
                self.canvas.cancel();
            }
        }
        if cx.textures.grey(image.id).is_some() {
            if Action::Invert.pressed(&ctx) {
                self.viewing.invert(cx.project);
            }
            if Action::ProjectWindow.pressed(&ctx) {
                self.viewing.reset();
            }
        }
        // Neither the image nor its boxes change under a hand that draws.
        if self.canvas.is_drafting() {
            return false;
        }
        let backspace = || ctx.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Backspace));
        if (Action::DeleteBox.pressed(&ctx) || backspace())
            && let Some(id) = self.canvas.selected(cx.project)
        {
            delete(cx, image, id);
        }
        // The class is the project's: who reads apart sees it, and leaves it.
        let classes = cx.project.classes().iter().filter(|_| cx.reader.is_none());
        for (key, class) in DIGITS.into_iter().zip(classes) {
            if ctx.input_mut(|i| i.consume_key(Modifiers::NONE, key)) && class.id != image.class {
                cx.commands.edit(Edit::SetClass {
                    image: image.id,
                    class: class.id,
                });
            }
        }
        // What the keyboard's focus is on has its own use for these; the canvas has not.
        let elsewhere = ctx.memory(|m| m.focused()).is_some() && !Canvas::has_focus(&ctx);
        if elsewhere {
            return false;
        }
        boxes::take_keys(&ctx, &mut self.canvas, cx, image);
        if Action::PreviousImage.pressed(&ctx) {
            go(self.previous(cx.project, image), cx);
        }
        if Action::NextImage.pressed(&ctx) {
            go(self.next(cx.project, image), cx);
        }
        if Action::Suggest.pressed(&ctx) {
            boxes::suggest(cx, image);
            // An Enter of the same frame is for what comes.
            return false;
        }
        if Action::DoneAndNext.pressed(&ctx) {
            self.done_and_next(cx, image);
        }
        if Action::Note.pressed(&ctx) {
            self.review.focus();
        }
        if Action::Filters.pressed(&ctx) {
            self.panel.toggle_filters();
        }
        if Action::SecondLook.pressed(&ctx) {
            self.second_look_and_next(cx, image);
        }
        Action::HideBoxes.held(&ctx)
    }

    /// In the queue; where nothing is asked for, among all images.
    fn previous(&self, project: &Project, image: &Image) -> Option<ImageId> {
        if self.queue.is_empty() {
            let before = place_of(project, image)?.checked_sub(1)?;
            return Some(project.images()[before].id);
        }
        self.queue.previous()
    }

    /// As [`previous`](Self::previous).
    fn next(&self, project: &Project, image: &Image) -> Option<ImageId> {
        if self.queue.is_empty() {
            let after = project.images().get(place_of(project, image)? + 1)?;
            return Some(after.id);
        }
        self.queue.next()
    }

    fn done_and_next(&mut self, cx: &mut Context<'_>, image: &Image) {
        if boxes::accept(cx, image, &mut self.canvas) {
            return;
        }
        set_review(cx, image, ReviewState::Done);
        go(self.queue.next_to_do(), cx);
    }

    fn second_look_and_next(&self, cx: &mut Context<'_>, image: &Image) {
        set_review(cx, image, ReviewState::SecondLook);
        go(self.queue.next_to_do(), cx);
    }

    fn toolbar_ui(&mut self, ui: &mut Ui, image: &Image, cx: &mut Context<'_>) {
        let t = Tokens::of(ui);
        Panel::top("annotate toolbar")
            .exact_size(size::TOOLBAR)
            .resizable(false)
            .frame(
                Frame::new()
                    .fill(t.panel)
                    .inner_margin(Margin::symmetric(12, 0)),
            )
            .show(ui, |ui| {
                let bar = ui.max_rect();
                ui.horizontal_centered(|ui| {
                    ui.spacing_mut().item_spacing.x = 4.0;
                    let ctx = ui.ctx().clone();
                    for (action, tool, glyph) in [
                        (Action::ToolBox, Tool::Box, icons::BOUNDING_BOX),
                        (Action::ToolSelect, Tool::Select, icons::CURSOR),
                        (Action::ToolPan, Tool::Pan, icons::HAND),
                    ] {
                        let button = IconButton::new(glyph, action.spec().text)
                            .tooltip(&action.tooltip(&ctx))
                            .selected(self.canvas.tool == tool)
                            .ui(ui);
                        if button.clicked() {
                            self.canvas.tool = tool;
                        }
                    }
                    let suggest = IconButton::new(icons::SPARKLE, Action::Suggest.spec().text)
                        .tooltip(&Action::Suggest.tooltip(&ctx))
                        .selected(cx.suggestion.is_some())
                        .ui(ui);
                    if suggest.clicked() {
                        boxes::suggest(cx, image);
                    }
                    ui.add_space(4.0);
                    let (line, _) = ui.allocate_exact_size(vec2(1.0, 20.0), Sense::hover());
                    ui.painter().rect_filled(line, 0.0, t.stroke);
                    ui.add_space(4.0);
                    let tooltip = Action::Fit.tooltip(&ctx);
                    let fit = IconButton::new(icons::CORNERS_OUT, Action::Fit.spec().text)
                        .tooltip(&tooltip);
                    if fit.ui(ui).clicked() {
                        self.canvas.fit();
                    }
                    let keep = IconButton::new(icons::LOCK_SIMPLE, Action::KeepZoom.spec().text)
                        .tooltip(&Action::KeepZoom.tooltip(&ctx))
                        .selected(self.canvas.keep_zoom)
                        .ui(ui);
                    if keep.clicked() {
                        self.canvas.keep_zoom = !self.canvas.keep_zoom;
                    }
                    ui.label(
                        RichText::new(format!("{:.0} %", self.canvas.scale() * 100.0))
                            .text_style(tokens::caption())
                            .color(t.text_weak),
                    )
                    .on_hover_text(Action::ActualSize.tooltip(&ctx));
                    ui.add_space(4.0);
                    reader_ui(ui, cx, &mut self.readers);
                    let left = ui.cursor().left();
                    let right = ui
                        .with_layout(Layout::right_to_left(Align::Center), |ui| {
                            if bar.width() >= 560.0 {
                                self.hints_ui(ui, cx, image);
                            }
                            ui.cursor().right()
                        })
                        .inner;
                    title_ui(ui, image, bar, left + 16.0..=right - 16.0);
                });
            });
    }

    /// The keys that lead through the queue.
    fn hints_ui(&self, ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
        let t = Tokens::of(ui);
        let weak = |text| {
            RichText::new(text)
                .text_style(tokens::caption())
                .color(t.text_weak)
        };
        ui.spacing_mut().item_spacing.x = 6.0;
        ui.label(weak("done, next"));
        let small = FontId::proportional(11.0);
        let enter = key_of(ui, Action::DoneAndNext);
        key_cap(ui, &enter, small, t.text_weak, Sense::hover());
        ui.add_space(6.0);
        ui.label(weak("image"));
        for (action, glyph, to) in [
            (
                Action::NextImage,
                icons::ARROW_RIGHT,
                self.next(cx.project, image),
            ),
            (
                Action::PreviousImage,
                icons::ARROW_LEFT,
                self.previous(cx.project, image),
            ),
        ] {
            let (ink, sense) = match to {
                Some(_) => (t.text_weak, Sense::click()),
                None => (t.text_disabled, Sense::hover()),
            };
            let response = key_cap(ui, glyph, tokens::icon(12.0), ink, sense);
            let name = action.spec().text;
            response.widget_info(|| WidgetInfo::labeled(Role::Button, to.is_some(), name));
            let tooltip = action.tooltip(ui.ctx());
            if response.on_hover_text(tooltip).clicked() {
                go(to, cx);
            }
        }
    }

    fn inspector_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
        let narrow = ui.ctx().content_rect().width() < 1280.0;
        let fill = Tokens::of(ui).panel;
        Panel::right("inspector")
            .exact_size(if narrow { 280.0 } else { 304.0 })
            .resizable(false)
            .frame(Frame::new().fill(fill))
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                if !self.queue.is_empty() {
                    Panel::bottom("inspector foot")
                        .exact_size(88.0)
                        .resizable(false)
                        .frame(Frame::new().inner_margin(Margin::symmetric(16, 12)))
                        .show(ui, |ui| self.foot_ui(ui, cx, image));
                }
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                    let section = Frame::new().inner_margin(Margin::symmetric(16, 12));
                    section.show(ui, |ui| self.boxes_ui(ui, cx, image));
                    if let Some(grey) = cx.textures.grey(image.id).cloned() {
                        divider(ui);
                        section.show(ui, |ui| self.viewing.ui(ui, cx, &grey));
                    }
                    divider(ui);
                    section.show(ui, |ui| self.review.ui(ui, cx, image));
                    divider(ui);
                    section.show(ui, |ui| image_ui(ui, cx, image));
                });
            });
    }

    fn boxes_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
        let t = Tokens::of(ui);
        let pixels = format!("{} × {} px", image.size.width, image.size.height);
        title_row(ui, "Boxes", &pixels);
        ui.add_space(8.0);
        for (n, annotation) in (1..).zip(cx.boxes(image.id)) {
            self.box_row(ui, cx, image, n, annotation);
        }
        let scale = cx.draft.box_scale;
        if scale != 1.0 && !cx.boxes(image.id).is_empty() {
            let text = format!("Dashed: as training scales them, \u{d7} {scale:.2}");
            let text = RichText::new(text).text_style(tokens::caption());
            ui.label(text.color(t.text_weak));
        }
        boxes::suggestion_ui(ui, cx, image, &mut self.canvas);
        ui.add_space(4.0);
        ui.allocate_ui_with_layout(
            vec2(ui.available_width(), 28.0),
            Layout::left_to_right(Align::Center),
            |ui| {
                ui.label(
                    RichText::new(icons::PLUS)
                        .font(tokens::icon(14.0))
                        .color(t.text_weak),
                );
                let hint = match self.canvas.tool {
                    Tool::Box => "Drag on the image to add a box".to_owned(),
                    Tool::Select | Tool::Pan => {
                        format!("Press {} to draw a box", key_of(ui, Action::ToolBox))
                    }
                };
                ui.label(
                    RichText::new(hint)
                        .text_style(tokens::caption())
                        .color(t.text_weak),
                );
            },
        );
    }

    fn box_row(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        image: &Image,
        n: usize,
        annotation: &Annotation,
    ) {
        let t = Tokens::of(ui);
        let (inner, _) =
            ui.allocate_exact_size(vec2(ui.available_width(), size::ROW), Sense::hover());
        let row = inner.expand2(vec2(8.0, 0.0));
        let selected = self.canvas.selected(cx.project) == Some(annotation.id);
        let [x, y, _, _] = annotation.rect.xyxy();
        let place = format!("{x:.0}, {y:.0}");
        let extent = format!(
            "{:.0} × {:.0}",
            annotation.rect.width(),
            annotation.rect.height()
        );
        let share = format!(
            "{:.1} %",
            100.0 * annotation.rect.area() / image.size.area() as f64
        );
        let response = ui.interact(
            row,
            ui.scope_id().with(("box row", annotation.id)),
            Sense::click(),
        );
        let project = cx.project;
        let made = || {
            let reader = annotation.reader.and_then(|id| project.reader(id));
            format::made(annotation, reader, TimeZone::system())
        };
        response.widget_info(|| {
            WidgetInfo::selected(
                Role::Button,
                true,
                selected,
                format!(
                    "Box {n}: {place}, {extent}, {share} of the image. {}",
                    made()
                ),
            )
        });
        let fill = match (selected, response.hovered()) {
            (true, _) => t.accent_soft,
            (false, true) => t.hover,
            (false, false) => t.panel,
        };
        let painter = ui.painter();
        painter.rect_filled(row, CornerRadius::same(radius::CONTROL), fill);
        let mut x = inner.left();
        let mut put = |text: String, font: FontId, ink, gap: f32| {
            let galley = painter.layout_no_wrap(text, font, ink);
            let width = galley.size().x;
            painter.galley(
                pos2(x, inner.center().y - galley.size().y / 2.0),
                galley,
                ink,
            );
            x += width + gap;
        };
        let glyph_ink = if selected { t.accent } else { t.text_weak };
        let body = FontId::proportional(13.0);
        put(
            icons::BOUNDING_BOX.to_owned(),
            tokens::icon(size::ICON),
            glyph_ink,
            8.0,
        );
        put(place, body.clone(), t.text_strong, 8.0);
        put(extent, body, t.text, 8.0);
        let share = painter.layout_no_wrap(share, FontId::proportional(12.0), t.text_weak);
        painter.galley(
            pos2(
                inner.right() - 24.0 - share.size().x,
                inner.center().y - share.size().y / 2.0,
            ),
            share,
            t.text_weak,
        );
        focus_ring(ui, &response, radius::CONTROL);
        let bin =
            Rect::from_center_size(pos2(row.right() - 16.0, row.center().y), Vec2::splat(28.0));
        // A child of its own: the row reaches into the panel's padding, and must not widen it.
        let mut ui = ui.new_child(UiBuilder::new().max_rect(bin));
        let tooltip = if selected {
            Action::DeleteBox.tooltip(ui.ctx())
        } else {
            "Delete this box".to_owned()
        };
        let button = IconButton::new(icons::TRASH, &format!("Delete box {n}"))
            .tooltip(&tooltip)
            .ui(&mut ui);
        if button.clicked() {
            delete(cx, image, annotation.id);
        }
        let response = response.on_hover_ui(|ui| {
            ui.label(made());
        });
        if response.clicked() {
            self.canvas.select(Some(annotation.id));
        }
    }

    /// The next action with its reason.
    fn foot_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
        let t = Tokens::of(ui);
        ui.spacing_mut().item_spacing.y = 8.0;
        let Counts {
            to_do,
            second_look,
            open,
        } = self.queue.counts();
        let what = match cx.queue.classes {
            Classes::Rare => "rare image",
            Classes::All | Classes::One(_) => "image",
        };
        let reason = match to_do {
            0 if second_look > 0 => format!(
                "Nothing to do; {} for a second look.",
                format::plural(second_look, what, &format!("{what}s"))
            ),
            0 if open > 0 => format!(
                "{} to be confirmed.",
                format::plural(open, "boxed image", "boxed images")
            ),
            0 => format!("Every {what} here is done."),
            1 => format!("1 {what} still needs a box."),
            n => format!("{} {what}s still need a box.", format::count(n)),
        };
        ui.add(
            egui::Label::new(
                RichText::new(reason)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            )
            .wrap(),
        );
        let width = ui.available_width();
        if to_do == 0 {
            let button = WordButton::new("Go to Train")
                .icon_after(icons::ARROW_RIGHT)
                .primary()
                .width(width)
                .height(size::BUTTON_MAIN);
            if button.ui(ui).clicked() {
                cx.commands.send(Command::Go(Room::Train));
            }
        } else {
            let button = WordButton::new(Action::DoneAndNext.spec().text)
                .key(key_of(ui, Action::DoneAndNext))
                .primary()
                .width(width)
                .height(size::BUTTON_MAIN);
            if button
                .ui(ui)
                .on_hover_text(Action::DoneAndNext.tooltip(ui.ctx()))
                .clicked()
            {
                self.done_and_next(cx, image);
            }
        }
    }
}

/// Says how far the work on an image has come, where that is new.
fn set_review(cx: &mut Context<'_>, image: &Image, state: ReviewState) {
    if cx.review(image.id).state != state {
        cx.commands.edit(Edit::SetReview {
            image: image.id,
            reader: cx.reader,
            state,
        });
    }
}

/// Takes a box away. An image that was done with it is to do without it.
fn delete(cx: &mut Context<'_>, image: &Image, id: BoxId) {
    let mut edits = vec![Edit::RemoveBox { id }];
    let is_last = cx
        .boxes(image.id)
        .iter()
        .all(|annotation| annotation.id == id);
    if is_last && cx.review(image.id).state == ReviewState::Done {
        edits.push(Edit::SetReview {
            image: image.id,
            reader: cx.reader,
            state: ReviewState::ToDo,
        });
    }
    cx.commands.extend(Edit::several(edits).map(Command::Edit));
}

fn place_of(project: &Project, image: &Image) -> Option<usize> {
    let images = project.images();
    images
        .binary_search_by_key(&image.id, |image| image.id)
        .ok()
}

fn go(to: Option<ImageId>, cx: &mut Context<'_>) {
    if let Some(id) = to {
        cx.commands.send(Command::Select(id));
    }
}

/// Name, group and part of the image: in the middle of the bar where there is room, within `between` in any case.
fn title_ui(ui: &Ui, image: &Image, bar: Rect, between: std::ops::RangeInclusive<f32>) {
    let t = Tokens::of(ui);
    let painter = ui.painter();
    let room = (between.end() - between.start()).max(0.0);
    let name = elided(
        painter,
        image.name(),
        tokens::medium(13.0),
        t.text_strong,
        room,
    );
    let rest = painter.layout_no_wrap(
        match group_of(image) {
            Some(group) => format!("group {group}, {}", image.part.name()),
            None => image.part.name().to_owned(),
        },
        FontId::proportional(13.0),
        t.text_weak,
    );
    let both = name.size().x + 8.0 + rest.size().x;
    let with_rest = both <= room;
    let width = if with_rest { both } else { name.size().x };
    let x = (bar.center().x - width / 2.0)
        .min(between.end() - width)
        .max(*between.start());
    let y = |galley: &egui::Galley| bar.center().y - galley.size().y / 2.0;
    let after = x + name.size().x + 8.0;
    painter.galley(pos2(x, y(&name)), name, t.text_strong);
    if with_rest {
        painter.galley(pos2(after, y(&rest)), rest, t.text_weak);
    }
}

/// The patient or lesion, where one is known: an image of which nothing is known is a group of its own, called as its
/// file.
fn group_of(image: &Image) -> Option<&str> {
    (image.group != image.path).then_some(image.group.as_str())
}

fn key_of(ui: &Ui, action: Action) -> String {
    let key = action.shortcut(ui.ctx());
    key.map_or_else(String::new, |key| ui.ctx().format_shortcut(&key))
}

/// A key as it looks on a keyboard.
fn key_cap(ui: &mut Ui, text: &str, font: FontId, ink: Color32, sense: Sense) -> Response {
    let t = Tokens::of(ui);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, ink);
    let width = (galley.size().x + 12.0).max(22.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 20.0), sense);
    let (fill, edge) = if sense.senses_click() && response.hovered() {
        (t.hover, t.stroke_strong)
    } else {
        (t.panel, t.stroke)
    };
    let painter = ui.painter();
    painter.rect(rect, 4.0, fill, Stroke::new(1.0, edge), StrokeKind::Inside);
    painter.galley(rect.center() - galley.size() / 2.0, galley, ink);
    focus_ring(ui, &response, 4);
    response
}

fn image_ui(ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
    let t = Tokens::of(ui);
    title_row(ui, "Image", "");
    ui.add_space(4.0);
    row_ui(ui, "Class", |ui| class_ui(ui, cx, image));
    let value = |ui: &mut Ui, text: String, tooltip: &str| {
        let label = egui::Label::new(RichText::new(text).color(t.text_strong)).truncate();
        let response = ui.add(label);
        if !tooltip.is_empty() {
            response.on_hover_text(tooltip);
        }
    };
    row_ui(ui, "Part", |ui| {
        value(ui, image.part.name().to_owned(), "");
    });
    row_ui(ui, "Group", |ui| {
        let text = group_of(image).unwrap_or("not known").to_owned();
        let tooltip = "The patient or lesion. All images of a group stand in the same part.";
        value(ui, text, tooltip);
    });
    row_ui(ui, "File", |ui| {
        let path = cx.project.path_of(image);
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        value(ui, name, &path.to_string_lossy());
    });
}

/// A section's title in a line of 24, as in the queue beside it.
fn title_row(ui: &mut Ui, title: &str, remark: &str) {
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = 24.0;
        section_title(ui, title, remark);
    });
}

/// A row of 32: what it is called, and what it is.
fn row_ui(ui: &mut Ui, label: &str, value: impl FnOnce(&mut Ui)) {
    const LABEL: f32 = 64.0;
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), size::ROW),
        Layout::left_to_right(Align::Center),
        |ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(LABEL, size::ROW), Sense::hover());
            ui.painter().text(
                rect.left_center(),
                egui::Align2::LEFT_CENTER,
                label,
                FontId::proportional(13.0),
                Tokens::of(ui).text_weak,
            );
            value(ui);
        },
    );
}

/// The image's class, with its dot; the digit that sets it stands before each.
fn class_ui(ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
    let t = Tokens::of(ui);
    let classes = cx.project.classes();
    let Some(current) = cx.project.class(image.class) else {
        return;
    };
    let (dot, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
    class_dot(ui.painter(), t, dot.center(), current.color);
    if cx.reader.is_some() {
        ui.label(RichText::new(&current.name).color(t.text_strong));
        return;
    }
    ui.name_inputs("Class", |ui| {
        egui::ComboBox::from_id_salt("class")
            .selected_text(&current.name)
            .width(ui.available_width())
            .truncate()
            .icon(combo_caret)
            .show_ui(ui, |ui| {
                for (n, class) in (1..).zip(classes) {
                    let key = if n <= DIGITS.len() {
                        n.to_string()
                    } else {
                        String::new()
                    };
                    let button = egui::Button::selectable(class.id == current.id, &class.name)
                        .shortcut_text(key);
                    if ui.add(button).clicked() && class.id != current.id {
                        cx.commands.edit(Edit::SetClass {
                            image: image.id,
                            class: class.id,
                        });
                    }
                }
            });
    });
}

fn no_images(ui: &mut Ui, cx: &mut Context<'_>) {
    let t = Tokens::of(ui);
    CentralPanel::no_frame().show(ui, |ui| {
        ui.add_space(ui.available_height() * 0.4);
        ui.vertical_centered(|ui| {
            ui.label(
                RichText::new("No images yet")
                    .text_style(tokens::section())
                    .color(t.text_strong),
            );
            ui.label(RichText::new("Choose a folder of images first.").color(t.text_weak));
            if WordButton::new("Go to Images").primary().ui(ui).clicked() {
                cx.commands.send(Command::Go(Room::Images));
            }
        });
    });
}
