//! The sheet in which is chosen what is taken away of a run, with the figure as it will come out.

use care_data::{ImageId, Project};
use care_figures::Blending;
use care_figures::figure::Theme;
use care_figures::table::TableFormat;
use egui::{
    Align, Align2, Color32, DragValue, FontId, Layout, Rect, RichText, Role, ScrollArea, Sense,
    Stroke, StrokeKind, TextureHandle, TextureOptions, Ui, WidgetInfo, pos2, vec2,
};

use super::icons;
use super::tokens::{self, Tokens, radius, size};
use super::widgets::{
    IconButton, WordButton, checkbox, fitted, focus_ring, picture_ui, segmented, segmented_across,
    sheet, texture_ui,
};
use crate::background::Later;
use crate::command::{Action, Command, Commands};
use crate::format;
use crate::take_away::{
    FIGURE_WIDTHS, FigureFormat, FilmFormat, MAX_ROWS, ModelFormat, TakeAway, What, preview,
};
use crate::textures::Textures;
use crate::training::TrainingRun;

const CHOICES: f32 = 392.0;
const PREVIEW: f32 = 464.0;
const HEIGHT: f32 = 424.0;

const FAULT: &str =
    "The figure cannot be drawn: this is a fault of the program. Other choices may work.";

/// The figure as drawn on a thread of its own.
type Drawn = Result<egui::ColorImage, String>;

/// On the right of Compare's toolbar: Figure, Tables and Report, without words where there is no room for them.
pub fn buttons_ui(ui: &mut Ui, commands: &mut Commands) {
    const WORDS: f32 = 300.0;
    let has_words = ui.available_width() > WORDS;
    let buttons = [
        (Action::TakeReport, What::Report, icons::EXPORT),
        (Action::TakeTables, What::Tables, icons::TABLE),
        (Action::TakeFigure, What::Figure, icons::IMAGE),
    ];
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        for (action, what, glyph) in buttons {
            let tooltip = action.tooltip(ui.ctx());
            let clicked = if has_words {
                let button = WordButton::new(what.name()).icon(glyph);
                let button = button.height(size::BUTTON_TOOLBAR);
                let is_main = what == What::Report;
                let button = if is_main { button.primary() } else { button };
                button.ui(ui).on_hover_text(tooltip).clicked()
            } else {
                let button = IconButton::new(glyph, what.name()).tooltip(&tooltip);
                button.ui(ui).clicked()
            };
            if clicked {
                commands.act(action);
            }
        }
    });
}

/// In the film's header.
pub fn film_button_ui(ui: &mut Ui, run: Option<&TrainingRun>, commands: &mut Commands) {
    let has_film = run.is_some_and(|run| !run.film.is_empty());
    let tooltip = Action::TakeFilm.tooltip(ui.ctx());
    let button = IconButton::new(icons::FLOPPY_DISK, "Save film").tooltip(&tooltip);
    if button.enabled(has_film).ui(ui).clicked() {
        commands.act(Action::TakeFilm);
    }
}

#[derive(Default)]
pub struct TakeAwaySheet {
    /// Of which choices, and what came of it.
    shown: Option<(TakeAway, Result<TextureHandle, String>)>,
    waiting: Option<(TakeAway, Later<Drawn>)>,
}

impl TakeAwaySheet {
    pub fn ui(
        &mut self,
        ctx: &egui::Context,
        draft: &TakeAway,
        project: &Project,
        run: &TrainingRun,
        textures: &mut Textures,
        commands: &mut Commands,
    ) {
        let mut changed = draft.clone();
        let response = sheet(ctx, "take away").show(ctx, |ui| {
            let t = Tokens::of(ui);
            ui.set_width(CHOICES + 24.0 + PREVIEW);
            ui.label(
                RichText::new(format!("Take away of run {}", draft.run))
                    .text_style(egui::TextStyle::Heading)
                    .color(t.text_strong),
            );
            ui.add_space(8.0);
            let whats = What::ALL.map(|what| (what, what.name().to_owned()));
            segmented(ui, "What", &whats, &mut changed.what);
            ui.add_space(12.0);
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 24.0;
                ui.vertical(|ui| {
                    ui.set_width(CHOICES);
                    ui.set_height(HEIGHT);
                    ui.spacing_mut().item_spacing = vec2(8.0, 6.0);
                    choices_ui(ui, &mut changed, project, textures);
                });
                let (rect, _) = ui.allocate_exact_size(vec2(PREVIEW, HEIGHT), Sense::hover());
                match changed.what {
                    What::Figure | What::Report => {
                        self.preview_ui(ui, rect, &changed, project, run);
                    }
                    What::Tables | What::Film | What::Model => contents_ui(ui, rect, changed.what),
                }
            });
            ui.add_space(8.0);
            foot_ui(ui, &changed, run, commands)
        });
        let (write, cancel) = response.inner;
        if changed != *draft {
            commands.send(Command::SetTakeAway(Box::new(changed)));
        }
        if write {
            commands.send(Command::TakeAway);
        } else if cancel || response.should_close() {
            commands.send(Command::CloseTakeAway);
        }
    }

    fn preview_ui(
        &mut self,
        ui: &Ui,
        rect: Rect,
        draft: &TakeAway,
        project: &Project,
        run: &TrainingRun,
    ) {
        let t = Tokens::of(ui);
        self.draw(ui.ctx(), draft, project, run);
        let painter = ui.painter().with_clip_rect(rect);
        painter.rect_filled(rect, f32::from(radius::IMAGE), t.canvas);
        let says = |text: &str, ink: Color32| {
            let galley = painter.layout(
                text.to_owned(),
                FontId::proportional(13.0),
                ink,
                rect.width() - 48.0,
            );
            painter.galley(rect.center() - galley.size() / 2.0, galley, ink);
        };
        match &self.shown {
            Some((_, Ok(texture))) => {
                let to = fitted(rect.shrink(12.0), texture.size_vec2());
                texture_ui(&painter, to, texture, Color32::WHITE);
            }
            Some((_, Err(why))) => says(why, t.text),
            None => says("Drawing the figure", t.text_weak),
        }
    }

    /// Has the figure drawn where the choices have changed, one after the other.
    fn draw(
        &mut self,
        ctx: &egui::Context,
        draft: &TakeAway,
        project: &Project,
        run: &TrainingRun,
    ) {
        if let Some((of, mut later)) = self.waiting.take() {
            later.get();
            let load = |image| ctx.load_texture("figure", image, TextureOptions::LINEAR);
            match later {
                Later::Done(drawn) => self.shown = Some((of, drawn.map(load))),
                Later::Failed => self.shown = Some((of, Err(FAULT.to_owned()))),
                waiting @ Later::Waiting(_) => self.waiting = Some((of, waiting)),
            }
        }
        if self.waiting.is_some()
            || self
                .shown
                .as_ref()
                .is_some_and(|(of, _)| of.is_drawn_as(draft))
        {
            return;
        }
        let (of, dir, run) = (draft.clone(), project.dir().to_owned(), run.clone());
        let work = move || {
            let image = image::load_from_memory(&preview(&of, &dir, &run)?);
            let image = image.map_err(|e| e.to_string())?.into_rgba8();
            let size = [image.width() as usize, image.height() as usize];
            Ok(egui::ColorImage::from_rgba_unmultiplied(size, &image))
        };
        self.waiting = Some((draft.clone(), Later::start("preview", ctx, work)));
    }
}

fn choices_ui(ui: &mut Ui, draft: &mut TakeAway, project: &Project, textures: &mut Textures) {
    match draft.what {
        What::Figure => {
            let formats = [
                (FigureFormat::Png, "PNG, 300 dpi"),
                (FigureFormat::Svg, "SVG"),
                (FigureFormat::Pdf, "PDF"),
            ];
            row(ui, "Format", &formats, &mut draft.figure);
            width_ui(ui, draft);
            let themes = [(Theme::Light, "Light"), (Theme::Dark, "Dark")];
            row(ui, "Theme", &themes, &mut draft.theme);
            blending_ui(ui, draft);
            models_ui(ui, draft);
            ui.horizontal(|ui| {
                checkbox(ui, &mut draft.has_captions, "Captions");
                names_ui(ui, draft);
            });
            images_ui(ui, draft, project, textures);
        }
        What::Report => {
            blending_ui(ui, draft);
            models_ui(ui, draft);
            images_ui(ui, draft, project, textures);
            caption(
                ui,
                "One file that opens offline and refers to nothing outside itself. It holds no patient, no path and no image\u{2019}s name.",
            );
        }
        What::Tables => {
            let formats = TableFormat::ALL.map(|format| (format, format.name()));
            row(ui, "Format", &formats, &mut draft.table);
            names_ui(ui, draft);
            caption(
                ui,
                "Images are numbered in the test part\u{2019}s order unless you ask for their names.",
            );
        }
        What::Film => {
            let formats = [
                (FilmFormat::Gif, "Animated GIF"),
                (FilmFormat::Frames, "PNG frames"),
            ];
            row(ui, "Format", &formats, &mut draft.film);
            let themes = [(Theme::Light, "Light"), (Theme::Dark, "Dark")];
            row(ui, "Theme", &themes, &mut draft.theme);
            blending_ui(ui, draft);
            models_ui(ui, draft);
            names_ui(ui, draft);
        }
        What::Model => {
            let formats = [
                (ModelFormat::Torchscript, "TorchScript"),
                (ModelFormat::Safetensors, "safetensors"),
            ];
            row(ui, "Format", &formats, &mut draft.model);
            let models: Vec<_> = draft
                .models
                .iter()
                .map(|(role, _)| (*role, role.name()))
                .collect();
            row(ui, "Model", &models, &mut draft.role);
            caption(
                ui,
                match draft.model {
                    ModelFormat::Torchscript => {
                        "Opens in Python with torch.jit.load and gives the same logits; no code of this program is needed."
                    }
                    ModelFormat::Safetensors => {
                        "The weights by torchvision\u{2019}s names; the network itself comes from torchvision."
                    }
                },
            );
        }
    }
}

/// A label, and one of a few.
fn row<T: Copy + PartialEq>(ui: &mut Ui, name: &str, choices: &[(T, &str)], current: &mut T) {
    label(ui, name);
    let choices: Vec<(T, String)> = choices
        .iter()
        .map(|(value, text)| (*value, (*text).to_owned()))
        .collect();
    segmented_across(ui, name, &choices, current);
}

fn label(ui: &mut Ui, text: &str) {
    let text = RichText::new(text).text_style(tokens::caption());
    ui.label(text.color(Tokens::of(ui).text_weak));
}

fn caption(ui: &mut Ui, text: &str) {
    ui.add_space(4.0);
    let text = RichText::new(text).text_style(tokens::caption());
    ui.add(egui::Label::new(text.color(Tokens::of(ui).text_weak)).wrap());
}

fn width_ui(ui: &mut Ui, draft: &mut TakeAway) {
    label(ui, "Width");
    ui.horizontal(|ui| {
        ui.name_inputs("Width in millimetres", |ui| {
            ui.add(
                DragValue::new(&mut draft.width)
                    .range(FIGURE_WIDTHS)
                    .speed(1.0)
                    .fixed_decimals(0)
                    .suffix(" mm"),
            );
        });
        let widths = [(85.0, "1 column"), (120.0, "1.5"), (170.0, "2 columns")];
        let widths = widths.map(|(width, text)| (width, text.to_owned()));
        segmented(ui, "Usual widths", &widths, &mut draft.width);
    });
}

fn blending_ui(ui: &mut Ui, draft: &mut TakeAway) {
    let blendings = [
        (Blending::ByAttention, "By attention"),
        (Blending::Even, "As in the paper"),
    ];
    row(ui, "Blend", &blendings, &mut draft.blending);
}

fn models_ui(ui: &mut Ui, draft: &mut TakeAway) {
    label(ui, "Models");
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        for (role, shown) in &mut draft.models {
            checkbox(ui, shown, role.name());
        }
    });
}

fn names_ui(ui: &mut Ui, draft: &mut TakeAway) {
    checkbox(ui, &mut draft.with_names, "Images\u{2019} file names").on_hover_text(
        "Off: images are numbered. A file\u{2019}s name may say who the patient is.",
    );
}

/// The held-out images that can stand in the figure; a click takes one in or out.
fn images_ui(ui: &mut Ui, draft: &mut TakeAway, project: &Project, textures: &mut Textures) {
    const CELL: f32 = 44.0;
    let n = format::plural(draft.images.len(), "image", "images");
    label(ui, &format!("Images: {n}, in the order of your clicks"));
    ScrollArea::vertical()
        .id_salt("offered images")
        .max_height(ui.available_height().clamp(CELL, 2.0 * CELL + 16.0))
        .show(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = vec2(6.0, 6.0);
                for id in draft.offered.clone() {
                    image_ui(ui, draft, project, textures, id, CELL);
                }
            });
        });
}

fn image_ui(
    ui: &mut Ui,
    draft: &mut TakeAway,
    project: &Project,
    textures: &mut Textures,
    id: ImageId,
    side: f32,
) {
    let Some(image) = project.image(id) else {
        return;
    };
    let t = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::click());
    let place = draft.images.iter().position(|chosen| *chosen == id);
    let name = format!("In the figure: {}", image.name());
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, place.is_some(), &name));
    if ui.is_rect_visible(rect) {
        let picture = textures.thumbnail(id, project.look(), || project.path_of(image));
        picture_ui(ui, rect.shrink(2.0), &picture);
        if let Some(place) = place {
            let painter = ui.painter();
            let stroke = Stroke::new(2.0, t.accent);
            painter.rect_stroke(rect, f32::from(radius::IMAGE), stroke, StrokeKind::Inside);
            let badge = Rect::from_min_size(rect.min, vec2(16.0, 16.0));
            painter.rect_filled(badge, f32::from(radius::IMAGE), t.accent_fill);
            let number = (place + 1).to_string();
            let font = tokens::medium(11.0);
            painter.text(
                badge.center(),
                Align2::CENTER_CENTER,
                number,
                font,
                t.accent_text,
            );
        }
    }
    focus_ring(ui, &response, radius::IMAGE);
    if response.clicked() {
        match place {
            Some(place) => {
                draft.images.remove(place);
            }
            None if draft.images.len() < MAX_ROWS => draft.images.push(id),
            None => {}
        }
    }
}

/// What will be written, where there is no figure to show.
fn contents_ui(ui: &Ui, rect: Rect, what: What) {
    let t = Tokens::of(ui);
    ui.painter()
        .rect_filled(rect, f32::from(radius::IMAGE), t.canvas);
    let lines: &[(&str, &str, &str)] = match what {
        What::Tables => &[
            (
                icons::TABLE,
                "results",
                "Every measure of every model, with n and 95 % intervals.",
            ),
            (
                icons::TABLE,
                "attention",
                "A line for each test image and model.",
            ),
            (icons::TABLE, "confusion", "A matrix for each model."),
        ],
        What::Film => &[
            (
                icons::IMAGES,
                "The watched images",
                "A row for each model, boxes, share in the box.",
            ),
            (
                icons::CLOCK,
                "Every stored moment",
                "At most 120, with its epoch; 4 a second. 960 pixels wide.",
            ),
        ],
        What::Figure | What::Report | What::Model => &[
            (
                icons::HARD_DRIVES,
                "model",
                "forward gives logits; forward_features and forward_head the map between.",
            ),
            (
                icons::INFO,
                "card.md",
                "Preprocessing, classes, counts, results with intervals, cautions. Research only.",
            ),
        ],
    };
    let mut y = rect.top() + 24.0;
    for (glyph, title, text) in lines {
        let painter = ui.painter();
        let left = rect.left() + 24.0;
        painter.text(
            pos2(left, y + 9.0),
            Align2::LEFT_CENTER,
            *glyph,
            tokens::icon(18.0),
            t.text_weak,
        );
        painter.text(
            pos2(left + 32.0, y + 9.0),
            Align2::LEFT_CENTER,
            *title,
            tokens::medium(13.0),
            t.text_strong,
        );
        let room = rect.width() - 48.0 - 32.0;
        let galley = painter.layout(
            (*text).to_owned(),
            FontId::proportional(12.0),
            t.text_weak,
            room,
        );
        let height = galley.size().y;
        painter.galley(pos2(left + 32.0, y + 22.0), galley, t.text_weak);
        y += 22.0 + height + 20.0;
    }
}

/// Where to, and the buttons: whether to write, and whether to close.
fn foot_ui(
    ui: &mut Ui,
    draft: &TakeAway,
    run: &TrainingRun,
    commands: &mut Commands,
) -> (bool, bool) {
    let t = Tokens::of(ui);
    let path = draft.path();
    let name = path.file_name().unwrap_or(path.as_os_str());
    let folder = RichText::new(draft.folder.to_string_lossy());
    ui.horizontal(|ui| {
        ui.label(RichText::new("Into").color(t.text_weak));
        ui.label(RichText::new(name.to_string_lossy()).color(t.text_strong));
        ui.label(RichText::new("in").color(t.text_weak));
        let folder = folder.color(t.text);
        ui.add(egui::Label::new(folder).truncate());
    });
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 12.0;
        let lacks = draft.lacks(run);
        let write = WordButton::new("Write").primary().enabled(lacks.is_none());
        let write = write.ui(ui).clicked();
        let cancel = WordButton::new("Cancel").ui(ui).clicked();
        if WordButton::new("Another folder").ui(ui).clicked() {
            commands.send(Command::ChooseTakeAwayFolder);
        }
        if let Some(lacks) = lacks {
            ui.label(RichText::new(lacks).color(t.text_weak));
        }
        (write && lacks.is_none(), cancel)
    })
    .inner
}
