//! Room 1, Images: the classes as bars, which of them are rare, the split, what could not be read, the gallery.

mod classes;
mod not_read;
mod split;
mod tally;

use care_data::{Part, Project};
use egui::text::{LayoutJob, TextFormat};
use egui::{
    Align, Align2, CentralPanel, ComboBox, FontId, Frame, Layout, Margin, Panel, Popup, Rect,
    RichText, Stroke, StrokeKind, TextEdit, Ui, UiBuilder, vec2,
};

use self::classes::classes_ui;
use self::not_read::NotReadList;
use self::split::split_ui;
use self::tally::{Filter, Groups, Tally};
use super::gallery::Gallery;
use super::paths::{drop_text, path_field};
use super::story::{self, Place};
use super::tokens::{self, Tokens, radius, size};
use super::widgets::{WordButton, combo_caret, divider, name_field, problem_ui, segmented};
use super::{Context, icons, panel_frame};
use crate::command::{Action, Command, Room};
use crate::format;
use crate::state::needs_box;

const SIDE: f32 = 320.0;

#[derive(Default)]
pub struct ImagesRoom {
    tally: Option<(u64, Tally)>,
    groups: Option<(usize, Groups)>,
    filter: Filter,
    shown: Option<(u64, Filter, Vec<usize>)>,
    gallery: Gallery,
    not_read: NotReadList,
    /// The typed path under Add images.
    path: String,
}

impl ImagesRoom {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let project = cx.project;
        let revision = project.revision();
        let tally = match self.tally.take() {
            Some((at, tally)) if at == revision => tally,
            _ => Tally::of(project),
        };
        // No edit moves an image to another part: only an import changes the groups.
        let groups = match self.groups {
            Some((n, groups)) if n == project.images().len() => groups,
            _ => Groups::of(project.images()),
        };
        self.groups = Some((project.images().len(), groups));

        Panel::right("images side")
            .exact_size(SIDE)
            .resizable(false)
            .frame(panel_frame(ui).inner_margin(0))
            .show(ui, |ui| self.side_ui(ui, cx, &tally, groups));
        if let Some(problem) = cx.problem {
            Panel::top("images problem")
                .resizable(false)
                .frame(Frame::new().inner_margin(Margin::symmetric(16, 12)))
                .show(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = 4.0;
                    problem_ui(ui, problem, cx.commands);
                });
        }
        Panel::top("classes")
            .exact_size(16.0 + classes::height(project.classes().len()) + 12.0 + 1.0)
            .resizable(false)
            .frame(Frame::new().inner_margin(Margin {
                left: 16,
                right: 16,
                top: 16,
                bottom: 12,
            }))
            .show(ui, |ui| {
                story::mark(ui.ctx(), Place::Classes, ui.max_rect().expand(4.0));
                classes_ui(ui, cx, &tally);
            });
        Panel::top("images toolbar")
            .exact_size(size::TOOLBAR)
            .resizable(false)
            .frame(panel_frame(ui).inner_margin(Margin::symmetric(12, 0)))
            .show(ui, |ui| self.toolbar_ui(ui, project, &tally));
        CentralPanel::no_frame().show(ui, |ui| {
            self.gallery_ui(ui, cx);
            drop_ui(ui);
        });
        self.tally = Some((revision, tally));
    }

    fn toolbar_ui(&mut self, ui: &mut Ui, project: &Project, tally: &Tally) {
        const FIND: &str = "Find by name or patient";
        ui.horizontal_centered(|ui| {
            let named = |name: &str, n: usize| format!("{name} {}", format::count(n));
            let [train, validation, test] = tally.parts;
            let choices = [
                (None, named("All", tally.total())),
                (Some(Part::Train), named("Train", train)),
                (Some(Part::Validation), named("Validation", validation)),
                (Some(Part::Test), named("Test", test)),
            ];
            segmented(ui, "Part", &choices, &mut self.filter.part);
            let t = Tokens::of(ui);
            ui.visuals_mut().widgets.inactive.weak_bg_fill = t.field;
            ui.visuals_mut().widgets.inactive.fg_stroke.color = t.text;
            let class = self.filter.class.and_then(|id| project.class(id));
            ui.name_inputs("Class", |ui| {
                ComboBox::from_id_salt("class")
                    .width(150.0)
                    .truncate()
                    .icon(combo_caret)
                    .selected_text(class.map_or("All classes", |class| class.name.as_str()))
                    .show_ui(ui, |ui| {
                        ui.selectable_value(&mut self.filter.class, None, "All classes");
                        for class in project.classes() {
                            let id = Some(class.id);
                            ui.selectable_value(&mut self.filter.class, id, &class.name);
                        }
                    });
            });
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let width = ui.available_width().min(200.0);
                let field = ui.add_sized(
                    vec2(width, size::BUTTON_TOOLBAR),
                    TextEdit::singleline(&mut self.filter.find)
                        .align(Align2::LEFT_CENTER)
                        .prefix(
                            RichText::new(icons::MAGNIFYING_GLASS)
                                .font(tokens::icon(size::ICON))
                                .color(t.text_weak),
                        )
                        .hint_text(FIND),
                );
                name_field(&field, FIND);
            });
        });
    }

    fn gallery_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let revision = cx.project.revision();
        let shown = match self.shown.take() {
            Some((at, filter, shown)) if at == revision && filter == self.filter => shown,
            before => {
                if before.is_some_and(|(_, filter, _)| filter != self.filter) {
                    self.gallery.rewind();
                }
                self.filter.apply(cx.project)
            }
        };
        let filter = self.filter.clone();
        if !shown.is_empty() {
            self.gallery.ui(ui, cx, &shown);
        } else if cx.project.images().is_empty() {
            empty_ui(
                ui,
                "No images yet",
                "Drop a folder here: one folder for each class, or images with a table of labels.",
            );
        } else {
            empty_ui(
                ui,
                "No image matches",
                "Choose another part or class, or find something else.",
            );
            let button = Rect::from_center_size(
                ui.max_rect().center() + vec2(0.0, 44.0),
                vec2(120.0, size::BUTTON_TOOLBAR),
            );
            let show_all = WordButton::new("Show all")
                .height(size::BUTTON_TOOLBAR)
                .width(button.width());
            let ui = &mut ui.new_child(UiBuilder::new().max_rect(button));
            if show_all.ui(ui).clicked() {
                self.filter = Filter::default();
            }
        }
        self.shown = Some((revision, filter, shown));
    }

    fn side_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, tally: &Tally, groups: Groups) {
        Panel::bottom("next action")
            .resizable(false)
            .frame(Frame::new().inner_margin(16))
            .show(ui, |ui| self.next_ui(ui, cx, tally));
        if tally.total() == 0 {
            return;
        }
        let padded = Frame::new().inner_margin(Margin::symmetric(16, 12));
        padded.show(ui, |ui| split_ui(ui, cx.project, tally, groups));
        ui.spacing_mut().item_spacing.y = 0.0;
        divider(ui);
        let padded = Frame::new().inner_margin(Margin {
            left: 16,
            right: 16,
            top: 12,
            bottom: 0,
        });
        padded.show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 8.0;
            missing_ui(ui, cx);
            let project = cx.project;
            let num_images = project.images().len();
            self.not_read
                .ui(ui, project.not_read(), num_images, project.revision());
        });
    }

    /// What to do next, with its reason.
    fn next_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, tally: &Tally) {
        let t = Tokens::of(ui);
        let next = Next::of(cx, tally);
        ui.spacing_mut().item_spacing.y = 12.0;
        let (glyph, strong, rest) = next.reason(cx);
        ui.horizontal(|ui| {
            let font = if glyph == icons::STAR {
                tokens::icon_fill(size::ICON)
            } else {
                tokens::icon(size::ICON)
            };
            ui.label(RichText::new(glyph).font(font).color(t.accent));
            let mut job = LayoutJob::default();
            let format = |font, color| TextFormat::simple(font, color);
            job.append(&strong, 0.0, format(tokens::medium(12.0), t.text_strong));
            job.append(rest, 0.0, format(FontId::proportional(12.0), t.text));
            ui.add(egui::Label::new(job).wrap());
        });
        ui.horizontal(|ui| {
            let width = (ui.available_width() - 8.0) / 2.0;
            let mut add = WordButton::new("Add images").icon(icons::PLUS).width(width);
            if matches!(next, Next::AddImages | Next::AddRare) {
                add = add.primary();
            }
            let add = add.ui(ui);
            self.add_menu(&add, cx);
            let (text, go) = match next {
                Next::Train => ("Train", Command::Go(Room::Train)),
                _ => ("Annotate", self.annotate(cx, tally)),
            };
            let mut button = WordButton::new(text)
                .icon_after(icons::ARROW_RIGHT)
                .width(width)
                .enabled(tally.total() > 0);
            if matches!(next, Next::Annotate | Next::Train) {
                button = button.primary();
            }
            if button.ui(ui).clicked() {
                cx.commands.send(go);
            }
        });
    }

    /// Annotate, with an image in hand that still needs a box where there is one.
    fn annotate(&self, cx: &Context<'_>, tally: &Tally) -> Command {
        let selected = cx.selected.and_then(|id| cx.project.image(id));
        match tally.first_to_do {
            Some(first) if !selected.is_some_and(|image| needs_box(cx.project, image)) => {
                Command::Annotate(first)
            }
            _ => Command::Go(Room::Annotate),
        }
    }

    fn add_menu(&mut self, button: &egui::Response, cx: &mut Context<'_>) {
        let path = &mut self.path;
        Popup::from_toggle_button_response(button)
            .width(SIDE - 56.0)
            .gap(8.0)
            .layout(Layout::top_down(Align::LEFT))
            .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
            .show(|ui| {
                let t = Tokens::of(ui);
                let width = ui.available_width();
                ui.label(
                    RichText::new("Drop a folder anywhere in the window, or")
                        .text_style(tokens::caption())
                        .color(t.text_weak),
                );
                let action = Action::ChooseFolder;
                let choose = WordButton::new(action.spec().text)
                    .icon(icons::FOLDER_OPEN)
                    .width(width)
                    .ui(ui);
                let tooltip = action.tooltip(ui.ctx());
                if choose.on_hover_text(tooltip).clicked() {
                    cx.commands.act(action);
                    ui.close();
                }
                if let Some(path) = path_field(ui, width, path) {
                    cx.commands.send(Command::OpenPath(path));
                    ui.close();
                }
            });
    }
}

/// The images whose files are not where they were.
fn missing_ui(ui: &mut Ui, cx: &Context<'_>) {
    const NAMED: usize = 4;
    let t = Tokens::of(ui);
    let files = cx.missing.files();
    if files.is_empty() {
        return;
    }
    let names = files.iter().filter_map(|file| file.file_name());
    let names: Vec<_> = names
        .take(NAMED)
        .map(|name| name.to_string_lossy())
        .collect();
    let more = match files.len() - names.len() {
        0 => String::new(),
        n => format!(" and {} more", format::count(n)),
    };
    ui.label(
        RichText::new("Missing")
            .text_style(tokens::section())
            .color(t.text_strong),
    );
    let what = format::plural(files.len(), "file is", "files are");
    let words = format!("{what} not there any more: {}{more}.", names.join(", "));
    ui.add(egui::Label::new(RichText::new(words).color(t.warning)).wrap());
    let advice = "Add the folder that they lie in now: they are found again by their content, boxes and all.";
    let advice = RichText::new(advice).text_style(tokens::caption());
    ui.add(egui::Label::new(advice.color(t.text_weak)).wrap());
    ui.add_space(8.0);
}

/// The next thing to do in a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    AddImages,
    MarkRare,
    /// A class is rare, but has nothing to train on.
    AddRare,
    Annotate,
    Train,
}

impl Next {
    fn of(cx: &Context<'_>, tally: &Tally) -> Self {
        if tally.total() == 0 {
            Self::AddImages
        } else if !cx.project.classes().iter().any(|class| class.rare) {
            Self::MarkRare
        } else if cx.counts.rare == 0 {
            Self::AddRare
        } else if cx.counts.to_do > 0 {
            Self::Annotate
        } else {
            Self::Train
        }
    }

    /// An icon, what is to be said with emphasis, and the rest of the sentence.
    fn reason(self, cx: &Context<'_>) -> (&'static str, String, &'static str) {
        let counts = cx.counts;
        match self {
            Self::AddImages => (icons::IMAGES, "No images".into(), " in this project yet."),
            Self::MarkRare => (icons::STAR, "Mark the rare class".into(), " with its star."),
            Self::AddRare => (
                icons::WARNING,
                "The rare class".into(),
                " has no training images.",
            ),
            Self::Annotate => (
                icons::BOUNDING_BOX,
                format::plural(counts.to_do, "rare image", "rare images"),
                if counts.to_do == 1 {
                    " still needs a box."
                } else {
                    " still need a box."
                },
            ),
            Self::Train if counts.boxed < counts.rare && counts.second_look == 0 => (
                icons::CHECK_CIRCLE,
                format!(
                    "{} of {} rare images",
                    format::count(counts.boxed),
                    format::count(counts.rare)
                ),
                " have a box, the others are marked as done.",
            ),
            Self::Train if counts.second_look > 0 => (
                icons::QUESTION,
                format::plural(counts.second_look, "rare image", "rare images"),
                if counts.second_look == 1 {
                    " needs a second look."
                } else {
                    " need a second look."
                },
            ),
            Self::Train => (
                icons::CHECK_CIRCLE,
                "Every rare image".into(),
                " has a box.",
            ),
        }
    }
}

/// In place of the gallery: a title and what to do.
fn empty_ui(ui: &Ui, title: &str, advice: &str) {
    let t = Tokens::of(ui);
    let centre = ui.max_rect().center();
    for (text, y, font, ink) in [
        (title, -12.0, tokens::semibold(15.0), t.text_strong),
        (advice, 12.0, FontId::proportional(13.0), t.text_weak),
    ] {
        let at = centre + vec2(0.0, y);
        ui.painter()
            .text(at, Align2::CENTER_CENTER, text, font, ink);
    }
}

/// Over the gallery while something is dragged over the window.
fn drop_ui(ui: &Ui) {
    let Some(text) = drop_text(ui.ctx()) else {
        return;
    };
    let t = Tokens::of(ui);
    let zone = ui.max_rect().shrink(12.0);
    ui.painter().rect(
        zone,
        f32::from(radius::START),
        t.accent_soft.gamma_multiply(0.92),
        Stroke::new(2.0, t.accent),
        StrokeKind::Inside,
    );
    ui.painter().text(
        zone.center(),
        Align2::CENTER_CENTER,
        text,
        tokens::semibold(15.0),
        t.text_strong,
    );
}
