//! The runs of the project: what each is called, in what its settings differ, what it came to, and what is thought of it.

use std::collections::HashMap;

use care_data::{Edit, Project, Run, RunId, RunState};
use care_learn::run_folder::RunFolder;
use care_learn::{ModelRole, RunConfig};
use egui::{
    Align, Frame, Layout, Margin, RichText, Role, ScrollArea, Sense, Stroke, TextEdit, Ui,
    WidgetInfo, vec2,
};

use crate::command::Command;
use crate::format;
use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{IconButton, WordButton, focus_ring, name_field, segmented};
use crate::ui::{Context, icons};

/// The text under the hand: kept until it is done, and then an edit.
struct Draft {
    run: RunId,
    of: Field,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Field {
    Name,
    Note,
}

impl Field {
    fn of(self, run: &Run) -> &str {
        match self {
            Self::Name => &run.name,
            Self::Note => &run.remark,
        }
    }

    fn edit(self, run: RunId, text: String) -> Edit {
        match self {
            Self::Name => Edit::SetRunName { run, name: text },
            Self::Note => Edit::SetRunRemark { run, remark: text },
        }
    }
}

#[derive(Default)]
pub(super) struct Runs {
    draft: Option<Draft>,
    /// Read from the runs' folders once; settings never change. Without those that cannot be read, or not yet.
    configs: HashMap<RunId, RunConfig>,
    /// In words, of each run; for these runs.
    differing: (Vec<RunId>, HashMap<RunId, String>),
    /// Of that revision of the project, while or while not the trash is emptied: bytes, and whether undo has any to bring back.
    trash: Option<((u64, bool), u64, bool)>,
    /// Asked whether the trash is to be emptied.
    empties: bool,
}

impl Runs {
    /// What is being typed becomes an edit.
    pub fn leave(&mut self, cx: &mut Context<'_>) {
        if let Some(edit) = self.take(cx.project) {
            cx.commands.edit(edit);
        }
    }

    /// What is being typed, as the edit that it comes to.
    pub fn take(&mut self, project: &Project) -> Option<Edit> {
        let Draft { run, of, text } = self.draft.take()?;
        let text = text.trim();
        let is_new = of.of(project.run(run)?) != text;
        is_new.then(|| of.edit(run, text.to_owned()))
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        self.read(cx.project);
        let starred_first = |run: &&Run| (!run.starred, -run.id.0);
        let mut runs: Vec<&Run> = cx.project.runs().iter().collect();
        runs.sort_by_key(starred_first);
        ScrollArea::vertical()
            .id_salt("runs")
            .auto_shrink(false)
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 8.0;
                Frame::new()
                    .inner_margin(Margin::symmetric(24, 12))
                    .show(ui, |ui| {
                        for run in runs {
                            self.run_ui(ui, cx, run);
                        }
                        self.trash_ui(ui, cx);
                    });
            });
    }

    fn read(&mut self, project: &Project) {
        let ids: Vec<RunId> = project.runs().iter().map(|run| run.id).collect();
        let known = self.configs.len();
        for id in &ids {
            if !self.configs.contains_key(id)
                && let Ok(folder) = RunFolder::open(&project.run_dir(*id))
                && let Ok(config) = folder.config()
            {
                self.configs.insert(*id, config);
            }
        }
        if self.differing.0 == ids && self.configs.len() == known {
            return;
        }
        let of = |id: &RunId| Some((*id, self.configs.get(id)?));
        let read: Vec<(RunId, &RunConfig)> = ids.iter().filter_map(of).collect();
        let configs: Vec<&RunConfig> = read.iter().map(|(_, config)| *config).collect();
        let differing = RunConfig::differing(&configs);
        let words = read.iter().enumerate().map(|(place, (id, _))| {
            let of = |(name, values): &(String, Vec<String>)| {
                let value = values.get(place).map_or("", String::as_str);
                format!("{} {value}", name.replace('_', " "))
            };
            let words: Vec<String> = differing.iter().map(of).collect();
            (*id, words.join(", "))
        });
        self.differing = (ids, words.collect());
    }

    fn run_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, run: &Run) {
        let t = Tokens::of(ui);
        let is_shown = cx.run.is_some_and(|shown| shown.id == run.id);
        let other = cx.other.filter(|other| other.run.id == run.id);
        let edge = match (is_shown, other.is_some()) {
            (true, _) => Stroke::new(2.0, t.accent),
            (false, true) => Stroke::new(2.0, t.stroke_strong),
            _ => Stroke::new(1.0, t.stroke),
        };
        Frame::new()
            .fill(t.raised)
            .stroke(edge)
            .corner_radius(radius::CARD)
            .inner_margin(Margin::symmetric(12, 8))
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing = vec2(8.0, 4.0);
                ui.horizontal(|ui| self.head_ui(ui, cx, run, is_shown));
                let weak = |text: String| {
                    RichText::new(text)
                        .text_style(tokens::caption())
                        .color(t.text_weak)
                };
                let results = results_in_words(cx.project, run);
                ui.add(egui::Label::new(RichText::new(results).color(t.text)).wrap());
                let settings = match self.differing.1.get(&run.id) {
                    None => "its settings cannot be read".to_owned(),
                    Some(words) if words.is_empty() => "same settings as the others".to_owned(),
                    Some(words) => words.clone(),
                };
                if self.differing.0.len() > 1 {
                    ui.add(egui::Label::new(weak(settings)).wrap());
                }
                let width = ui.available_width();
                self.field_ui(ui, cx, run, Field::Note, width);
                if cx.coming == Some(run.id) {
                    ui.label(weak(format!("Reading run {} \u{2026}", run.id)));
                } else if let Some(other) = other {
                    let mut role = other.role;
                    let roles = other.run.test.iter();
                    let choices: Vec<_> = roles
                        .map(|(role, _)| (*role, role.name().to_owned()))
                        .collect();
                    ui.horizontal(|ui| {
                        ui.label(weak("beside the run shown:".to_owned()));
                        if segmented(ui, "Model of the other run", &choices, &mut role) {
                            cx.commands.send(Command::CompareWith(Some((run.id, role))));
                        }
                    });
                }
            });
    }

    fn head_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, run: &Run, is_shown: bool) {
        let t = Tokens::of(ui);
        let id = run.id;
        let star = if run.starred {
            format!("Take the star from run {id}")
        } else {
            format!("Star run {id}")
        };
        let mut button = IconButton::new(icons::STAR, &star).selected(run.starred);
        if run.starred {
            button = button.fill();
        }
        if button.ui(ui).clicked() {
            cx.commands.edit(Edit::SetRunStar {
                run: id,
                starred: !run.starred,
            });
        }
        let title = RichText::new(format!("Run {id}")).font(tokens::semibold(13.0));
        ui.label(title.color(t.text_strong));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let is_running = run.state == RunState::Running;
            let delete = format!("Delete run {id}");
            let tooltip = if is_running {
                "It is training; stop it first"
            } else {
                "Into the trash; undo brings it back"
            };
            let button = IconButton::new(icons::TRASH, &delete).tooltip(tooltip);
            if button.enabled(!is_running).ui(ui).clicked() {
                let deleted = true;
                cx.commands.edit(Edit::SetRunDeleted { run: id, deleted });
            }
            let is_over = matches!(run.state, RunState::Finished | RunState::Stopped);
            let can_be_shown = is_over && !cx.is_training;
            let is_other =
                cx.coming == Some(id) || cx.other.is_some_and(|other| other.run.id == id);
            if is_shown {
                ui.label(
                    RichText::new("shown")
                        .text_style(tokens::caption())
                        .color(t.accent),
                );
            } else {
                if word_ui(ui, "Show", &format!("Show run {id}"), can_be_shown) {
                    cx.commands.send(Command::ShowRun(id));
                }
                let shown = cx.run.is_some_and(|run| run.results.is_some());
                let was_tested = !cx.project.metrics(id).is_empty();
                let can_be_compared = can_be_shown && shown && was_tested;
                if is_other {
                    if word_ui(ui, "Leave out", &format!("Leave out run {id}"), true) {
                        cx.commands.send(Command::CompareWith(None));
                    }
                } else if word_ui(
                    ui,
                    "Compare",
                    &format!("Compare with run {id}"),
                    can_be_compared,
                ) {
                    let with = Some((id, ModelRole::Care));
                    cx.commands.send(Command::CompareWith(with));
                }
            }
            let width = ui.available_width();
            self.field_ui(ui, cx, run, Field::Name, width);
        });
    }

    /// A line of text that becomes an edit when it is left.
    fn field_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, run: &Run, of: Field, width: f32) {
        let t = Tokens::of(ui);
        let is_hand = |draft: &&mut Draft| draft.run == run.id && draft.of == of;
        let in_hand = self.draft.as_mut().filter(is_hand);
        let was_in_hand = in_hand.is_some();
        let mut text = in_hand.map_or_else(|| of.of(run).to_owned(), |draft| draft.text.clone());
        let (name, hint) = match of {
            Field::Name => (format!("Name of run {}", run.id), "name"),
            Field::Note => (format!("Note on run {}", run.id), "note"),
        };
        let response = ui
            .scope(|ui| {
                ui.visuals_mut().widgets.inactive.bg_stroke.color = t.stroke;
                ui.add(
                    TextEdit::singleline(&mut text)
                        .id_salt((run.id.0, of))
                        .desired_width((width - 16.0).max(40.0))
                        .background_color(t.field)
                        .hint_text(hint),
                )
            })
            .inner;
        name_field(&response, &name);
        if response.changed() || (response.has_focus() && !was_in_hand) {
            self.leave_other(cx, run.id, of);
            self.draft = Some(Draft {
                run: run.id,
                of,
                text,
            });
        }
        if response.lost_focus() {
            self.leave(cx);
        }
    }

    fn leave_other(&mut self, cx: &mut Context<'_>, run: RunId, of: Field) {
        let is_other = |draft: &Draft| (draft.run, draft.of) != (run, of);
        if self.draft.as_ref().is_some_and(is_other) {
            self.leave(cx);
        }
    }

    /// What was deleted, how much of the disk it takes, and the way to be rid of it.
    fn trash_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let project = cx.project;
        let n = project.trash().len();
        let now = (project.revision(), cx.is_emptying);
        let known = self.trash.filter(|(of, ..)| *of == now);
        let (_, bytes, has_folders) = *self.trash.insert(known.unwrap_or_else(|| {
            let mut runs = project.trash().iter();
            let has_folders = runs.any(|run| project.run_dir(run.id).exists());
            (now, project.trash_size(), has_folders)
        }));
        if n == 0 && bytes == 0 {
            self.empties = false;
            return;
        }
        let t = Tokens::of(ui);
        let runs = format::plural(n, "deleted run", "deleted runs");
        ui.add_space(8.0);
        if bytes == 0 {
            let text = format!("{runs}; the files are gone, undo brings back the figures.");
            ui.label(RichText::new(text).color(t.text_weak));
            return;
        }
        if cx.is_emptying {
            ui.label(
                RichText::new("The files of deleted runs are being removed.").color(t.text_weak),
            );
            return;
        }
        let text = if has_folders {
            format!(
                "{runs}, {}. Undo brings them back, also tomorrow.",
                megabytes(bytes)
            )
        } else {
            format!(
                "{} are left of an emptied trash. Empty it again to be rid of them.",
                megabytes(bytes)
            )
        };
        ui.add(egui::Label::new(RichText::new(text).color(t.text_weak)).wrap());
        if !self.empties {
            if WordButton::new("Empty the trash")
                .icon(icons::TRASH)
                .ui(ui)
                .clicked()
            {
                self.empties = true;
            }
            return;
        }
        ui.add(
            egui::Label::new("Weights, films and maps of these runs are then gone for good.")
                .wrap(),
        );
        ui.horizontal(|ui| {
            if WordButton::new("Keep them").primary().ui(ui).clicked() {
                self.empties = false;
            }
            let text = format!("Remove {} for good", megabytes(bytes));
            if WordButton::new(&text).ui(ui).clicked() {
                cx.commands.send(Command::EmptyTrash);
                self.empties = false;
                // It may be over before the next look.
                self.trash = None;
            }
        });
    }
}

fn megabytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 10.0 {
        format!("{megabytes:.1} MB")
    } else {
        format!("{megabytes:.0} MB")
    }
}

/// A small button whose name says of which run it is.
fn word_ui(ui: &mut Ui, text: &str, name: &str, enabled: bool) -> bool {
    let t = Tokens::of(ui);
    let ink = if enabled {
        t.text_strong
    } else {
        t.text_disabled
    };
    let galley = ui
        .painter()
        .layout_no_wrap(text.to_owned(), tokens::medium(12.0), ink);
    let sense = if enabled {
        Sense::click()
    } else {
        Sense::hover()
    };
    let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(16.0, 10.0), sense);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, name));
    let fill = if enabled && response.hovered() {
        t.hover
    } else {
        t.field
    };
    let corner = f32::from(radius::CONTROL);
    ui.painter().rect(
        rect,
        corner,
        fill,
        Stroke::new(1.0, t.stroke),
        egui::StrokeKind::Inside,
    );
    ui.painter()
        .galley(rect.center() - galley.size() / 2.0, galley, ink);
    focus_ring(ui, &response, radius::CONTROL);
    response.clicked()
}

/// How it ended, and what CARE, or what there is, came to.
fn results_in_words(project: &Project, run: &Run) -> String {
    let metrics = project.metrics(run.id);
    let value = |model: ModelRole, name: &str| {
        let mut all = metrics.iter();
        all.find(|metric| metric.model == model.name() && metric.name == name)
    };
    let last = ModelRole::ALL.into_iter().rev();
    let Some(model) = last
        .into_iter()
        .find(|role| metrics.iter().any(|metric| metric.model == role.name()))
    else {
        return match run.state {
            RunState::Running => "training".to_owned(),
            state => format!("{}: {}", state.name(), run.note),
        };
    };
    let measures = [
        ("rare recall", "rare recall"),
        ("mca", "MCA"),
        ("energy in the box", "energy in the box"),
    ];
    let told = measures.iter().filter_map(|(name, shown)| {
        let now = value(model, name)?;
        let mut text = format!("{shown} {:.2}", now.value);
        let control = value(ModelRole::Control, name).filter(|_| model == ModelRole::Care);
        if let Some(control) = control {
            text.push_str(&format!(" (control {:.2})", control.value));
        }
        Some(text)
    });
    let told: Vec<String> = told.collect();
    let ended = match run.state {
        RunState::Finished => String::new(),
        state => format!("{}; ", state.name()),
    };
    format!("{ended}{}: {}", model.name(), told.join(", "))
}
