//! Before a run: what it would begin with, and what is missing.

use std::path::PathBuf;

use care_data::{ImageId, Look, Part, RunId};
use care_learn::Task;
use care_learn::task::{Problem, check as problems_of};
use egui::{Align2, RichText, Sense, TextStyle, Ui, vec2};

use super::rows::{remark, title};
use crate::command::{Command, Room};
use crate::dispatch::watch_list;
use crate::format;
use crate::ui::tokens::{self, Tokens, size};
use crate::ui::{Context, icons};

/// What a run would find in the project.
pub(super) struct Ready {
    /// Of the project that it was made of; made anew where that has changed.
    revision: u64,
    /// Kept, so that a slider under the hand does not look at every image in every frame.
    task: Task,
    num_training: usize,
    /// What stands in the way, or is worth knowing.
    pub(super) problems: Vec<Problem>,
    /// The held-out images that a run would watch.
    pub(super) watch: Vec<ImageId>,
    /// What they were chosen by.
    watch_of: (Option<RunId>, Option<Vec<ImageId>>),
}

impl Ready {
    fn of(cx: &Context<'_>) -> Self {
        let (project, config) = (cx.project, cx.draft);
        // It is only looked at: nothing is written to its folder.
        let task = Task::from_project(project, config.clone(), PathBuf::new(), Vec::new());
        let is_training = |sample: &&care_learn::task::Sample| sample.part == Part::Train;
        Self {
            revision: project.revision(),
            num_training: task.samples.iter().filter(is_training).count(),
            problems: problems_of(&task),
            task,
            watch: watch_list(project, cx.run, cx.watch),
            watch_of: watch_of(cx),
        }
    }

    /// What was known before, brought up to date.
    pub(super) fn renewed(known: Option<Self>, cx: &Context<'_>) -> Self {
        let (project, config) = (cx.project, cx.draft);
        match known {
            Some(mut ready)
                if ready.revision == project.revision()
                    // Which images train, and with which boxes, depends on it.
                    && ready.task.config.boxes == config.boxes =>
            {
                if ready.task.config != *config {
                    ready.task.config = config.clone();
                    ready.problems = problems_of(&ready.task);
                }
                let of = watch_of(cx);
                if ready.watch_of != of {
                    ready.watch = watch_list(project, cx.run, cx.watch);
                    ready.watch_of = of;
                }
                ready
            }
            _ => Self::of(cx),
        }
    }
}

fn watch_of(cx: &Context<'_>) -> (Option<RunId>, Option<Vec<ImageId>>) {
    let tested = cx.run.filter(|run| !run.test.is_empty());
    (tested.map(|run| run.id), cx.watch.map(<[ImageId]>::to_vec))
}

/// What a run would begin with, and what is missing, each with the way to it.
pub(super) fn checklist(ui: &mut Ui, cx: &mut Context<'_>, ready: &Ready) {
    let next = cx.project.runs().last().map_or(1, |run| run.id.0 + 1);
    title(ui, &format!("Run {next}"), |ui| {
        let text = format!("on {}", cx.device);
        remark(ui, &text, None, Tokens::of(ui).text_weak);
    });
    ui.spacing_mut().item_spacing.y = 4.0;
    // Beside an earlier run there is room for what wants attention only.
    let with_fine = cx.run.is_none();
    if with_fine && ready.num_training > 0 {
        let images = format::plural(ready.num_training, "training image", "training images");
        let classes = format::plural(ready.task.classes.len(), "class", "classes");
        check(ui, cx, Check::Fine, &format!("{images}, {classes}"), None);
    }
    let look = cx.project.look();
    if with_fine && look != Look::default() {
        let text = format!("Grey images: {}", format::look(look));
        check(ui, cx, Check::Fine, &text, None);
    }
    let counts = cx.counts;
    if counts.boxed > 0 {
        if with_fine {
            let verb = if counts.boxed == 1 { "has" } else { "have" };
            let text = format!(
                "{} {verb} a box",
                format::plural(counts.boxed, "rare image", "rare images")
            );
            check(ui, cx, Check::Fine, &text, None);
        }
        let without = counts.rare - counts.boxed;
        if without > 0 {
            let text = if without == 1 {
                "1 rare image has no box yet. It trains without the attention loss.".to_owned()
            } else {
                format!(
                    "{} rare images have no box yet. They train without the attention loss.",
                    format::count(without)
                )
            };
            check(ui, cx, Check::Caution, &text, Some(Room::Annotate));
        }
    }
    for problem in &ready.problems {
        let kind = if problem.blocks() {
            Check::Blocks
        } else {
            Check::Caution
        };
        check(ui, cx, kind, &problem.to_string(), room_for(problem));
    }
}

/// Where a problem is mended.
fn room_for(problem: &Problem) -> Option<Room> {
    match problem {
        Problem::NoBoxes | Problem::NoDoneBoxes | Problem::RareWithoutBoxes { .. } => {
            Some(Room::Annotate)
        }
        Problem::Config(_) | Problem::Memory { .. } => None,
        _ => Some(Room::Images),
    }
}

#[derive(Clone, Copy)]
enum Check {
    Fine,
    Caution,
    Blocks,
}

fn check(ui: &mut Ui, cx: &mut Context<'_>, kind: Check, text: &str, room: Option<Room>) {
    let t = Tokens::of(ui);
    let (icon, ink) = match kind {
        Check::Fine => (icons::CHECK_CIRCLE, t.success),
        Check::Caution => (icons::WARNING, t.warning),
        Check::Blocks => (icons::WARNING_CIRCLE, t.danger),
    };
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        // As high as a line of the text, whatever the icon's own height.
        let line = vec2(size::ICON, ui.spacing().interact_size.y);
        let (rect, _) = ui.allocate_exact_size(line, Sense::hover());
        ui.painter().text(
            rect.center(),
            Align2::CENTER_CENTER,
            icon,
            tokens::icon(size::ICON),
            ink,
        );
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(4.0, 0.0);
            ui.label(RichText::new(text).color(t.text));
            if let Some(room) = room {
                let words = format!("Open {}", room.name());
                // In two lines it would be two controls, the second without a name.
                let font = TextStyle::Body.resolve(ui.style());
                let whole = ui.painter().layout_no_wrap(words.clone(), font, t.text);
                if ui.available_size_before_wrap().x < whole.size().x {
                    ui.end_row();
                }
                if ui.link(words).clicked() {
                    cx.commands.send(Command::Go(room));
                }
            }
        });
    });
}
