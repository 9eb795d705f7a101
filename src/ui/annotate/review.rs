//! What is said about the image in hand: how far the work on it has come, and a note.

use care_data::{Edit, Image, ImageId, Project, ReaderId, ReviewState};
use egui::{TextEdit, Ui};

use super::{set_review, title_row};
use crate::command::{Action, Command};
use crate::ui::Context;
use crate::ui::widgets::{name_field, segmented_across};

/// Seconds without a key press after which a note is kept.
const PAUSE: f64 = 1.0;

/// A note is a draft until the field is left, or the hands rest.
#[derive(Default)]
pub(super) struct ReviewSection {
    draft: Option<Draft>,
    focus: bool,
}

struct Draft {
    /// When it last changed, in seconds.
    at: f64,
    image: ImageId,
    reader: Option<ReaderId>,
    note: String,
}

impl ReviewSection {
    /// The note takes the keyboard.
    pub fn focus(&mut self) {
        self.focus = true;
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
        title_row(ui, "Review", "");
        ui.add_space(8.0);
        // A box is work done, if nobody has confirmed it yet.
        let open = match cx.boxes(image.id) {
            [] => "To do",
            _ => "Has a box",
        };
        let choices = [
            (ReviewState::ToDo, open),
            (ReviewState::Done, "Done"),
            (ReviewState::SecondLook, "Second look"),
        ]
        .map(|(state, word)| (state, word.to_owned()));
        let mut state = cx.review(image.id).state;
        if segmented_across(ui, "Review", &choices, &mut state) {
            set_review(cx, image, state);
        }
        ui.add_space(8.0);
        self.keep_if_elsewhere(cx, image);
        let known = &cx.review(image.id).note;
        let mut note = match &self.draft {
            Some(draft) => draft.note.clone(),
            None => known.clone(),
        };
        let now = ui.input(|i| i.time);
        let field = TextEdit::multiline(&mut note)
            .hint_text("Note")
            .desired_rows(2)
            .desired_width(f32::INFINITY);
        let response = ui.add(field);
        name_field(&response, "Note");
        if std::mem::take(&mut self.focus) {
            response.request_focus();
        }
        let tooltip = Action::Note.tooltip(ui.ctx());
        let response = response.on_hover_text(tooltip);
        if response.changed() {
            self.draft = Some(Draft {
                at: now,
                image: image.id,
                reader: cx.reader,
                note,
            });
        }
        let rests = self.draft.as_ref().map(|draft| draft.at + PAUSE - now);
        match rests {
            Some(left) if left > 0.0 && !response.lost_focus() => {
                let left = std::time::Duration::from_secs_f64(left);
                ui.ctx().request_repaint_after(left);
            }
            Some(_) => self.keep(cx),
            None => {}
        }
    }

    /// Keeps what was written about another image, or by another reader.
    fn keep_if_elsewhere(&mut self, cx: &mut Context<'_>, image: &Image) {
        let is_here = |draft: &Draft| (draft.image, draft.reader) == (image.id, cx.reader);
        if !self.draft.as_ref().is_none_or(is_here) {
            self.keep(cx);
        }
    }

    /// Makes an edit of what was written.
    pub fn keep(&mut self, cx: &mut Context<'_>) {
        let edit = self.take(cx.project);
        cx.commands.extend(edit.map(Command::Edit));
    }

    /// The edit of what was written and is not kept yet.
    pub fn take(&mut self, project: &Project) -> Option<Edit> {
        let Draft {
            image,
            reader,
            note,
            at: _,
        } = self.draft.take()?;
        let is_new = project.review(reader, image).note != note;
        is_new.then_some(Edit::SetNote {
            image,
            reader,
            note,
        })
    }
}
