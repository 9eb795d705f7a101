//! Room 2: the queue of images that need a box, the canvas to draw on, and what is known of the image in hand.

mod boxes;
mod inspector;
mod readers;
mod review;
mod strip;
mod toolbar;
mod viewing;

use care_data::{BoxId, Edit, Image, ImageId, Project, ReviewState};
use egui::{CentralPanel, Frame, Key, Modifiers, RichText, Ui, Vec2};

use self::readers::ReadersSheet;
use self::review::ReviewSection;
use self::viewing::Viewing;
use super::Context;
use super::canvas::{Canvas, Tool};
use super::lens::{LensView, next_model, toggled};
use super::queue::QueuePanel;
use super::tokens::{self, Tokens};
use super::widgets::{WordButton, problem_ui, section_title};
use crate::command::{Action, Command, DIGITS, Room};
use crate::queue::Queue;

/// Pixels of an image that is decoded before it is looked at.
const MAX_AHEAD: u64 = 16_000_000;

#[derive(Default)]
pub struct AnnotateRoom {
    queue: Queue,
    panel: QueuePanel,
    canvas: Canvas,
    viewing: Viewing,
    lens: LensView,
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
        // The box under the hand counts as it would be.
        let boxes = self.canvas.boxes_now(cx.boxes(image.id), image);
        self.inspector_ui(ui, cx, image, &boxes);
        self.toolbar_ui(ui, image, cx);
        self.strip_ui(ui, cx, image);
        CentralPanel::no_frame().show(ui, |ui| {
            if let Some(problem) = cx.problem {
                Frame::new()
                    .inner_margin(16)
                    .show(ui, |ui| problem_ui(ui, problem, cx.commands));
            }
            self.prefetch(cx, image);
            let look = self.viewing.look(project);
            let over = self.lens.over(ui.ctx(), cx, image, &boxes);
            let by = self.canvas.ui(ui, cx, image, look, &over, bare);
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
        if Action::NextModel.pressed(&ctx) {
            cx.commands.send(Command::SetLens(next_model(cx)));
        }
        if Action::Lens.pressed(&ctx) {
            cx.commands.send(Command::SetLens(toggled(cx)));
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

/// The patient or lesion, where one is known: an image of which nothing is known is a group of its own, called as its
/// file.
fn group_of(image: &Image) -> Option<&str> {
    (image.group != image.path).then_some(image.group.as_str())
}

fn key_of(ui: &Ui, action: Action) -> String {
    let key = action.shortcut(ui.ctx());
    key.map_or_else(String::new, |key| ui.ctx().format_shortcut(&key))
}

/// A section's title in a line of 24, as in the queue beside it.
fn title_row(ui: &mut Ui, title: &str, remark: &str) {
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = 24.0;
        section_title(ui, title, remark);
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
