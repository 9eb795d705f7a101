//! How the grey image in hand is seen: the window dragged, chosen or typed, and whether training sees the same.

use care_data::grey::Voi;
use care_data::{Edit, ImageId, Look, Project, Window, Windowing};
use egui::{ComboBox, DragValue, Label, RichText, Ui, Vec2};

use super::inspector::row_ui;
use super::title_row;
use crate::command::Action;
use crate::format;
use crate::textures::Grey;
use crate::ui::Context;
use crate::ui::tokens::{self, Tokens};
use crate::ui::widgets::{WordButton, checkbox, combo_caret};

/// Points of a drag that double the width, and that move the center by a width.
const POINTS_PER_WIDTH: f64 = 300.0;
/// From this width on, fractions of a value are noise.
const WHOLE_FROM: f64 = 20.0;

#[derive(Default)]
pub(super) struct Viewing {
    /// Where it is another than the project's.
    look: Option<Look>,
    /// Not only for the image in hand.
    keep: bool,
    image: Option<ImageId>,
}

impl Viewing {
    /// Once a frame, before anything is asked.
    pub fn begin(&mut self, image: ImageId) {
        if self.image.replace(image) != Some(image) && !self.keep {
            self.look = None;
        }
    }

    pub fn look(&self, project: &Project) -> Look {
        let mut look = self.look.unwrap_or(project.look());
        if let Windowing::Fixed(window) = &mut look.windowing
            && window.width >= WHOLE_FROM
        {
            (window.center, window.width) = (window.center.round(), window.width.round());
        }
        look
    }

    /// Of the images that may come next.
    pub fn look_of_others(&self, project: &Project) -> Look {
        if self.keep {
            self.look(project)
        } else {
            project.look()
        }
    }

    /// Exchanges black and white.
    pub fn invert(&mut self, project: &Project) {
        let look = self.look.get_or_insert(project.look());
        look.invert = !look.invert;
    }

    /// By a drag of the right button: to the right widens, upwards brightens.
    pub fn drag(&mut self, by: Vec2, grey: &Grey, project: &Project) {
        let look = self.look.get_or_insert(project.look());
        let window = match look.windowing {
            Windowing::Fixed(window) => Some(window),
            _ => grey.window.or(grey.image.window(Windowing::Full)),
        };
        if let Some(Window { center, width }) = window {
            let [x, y] = [by.x, by.y].map(|points| f64::from(points) / POINTS_PER_WIDTH);
            let upwards = if grey.image.is_inverted(look) { -y } else { y };
            look.windowing = Windowing::Fixed(Window {
                center: center + upwards * width,
                width: (width * x.exp2()).clamp(1.0, 1e6),
            });
        }
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, grey: &Grey) {
        let project = cx.project;
        let mut look = self.look(project);
        title_row(ui, "Window", "");
        ui.add_space(4.0);
        row_ui(ui, "Shows", |ui| choice_ui(ui, &mut look.windowing, grey));
        let numbers = match look.windowing {
            Windowing::Fixed(window) => Some(window),
            _ => grey.window,
        };
        if let Some(mut window) = numbers {
            let before = window;
            let speed = (window.width / 200.0).max(0.1);
            let number = |value| DragValue::new(value).speed(speed).max_decimals(1);
            row_ui(ui, "Center", |ui| {
                ui.name_inputs("Center", |ui| ui.add(number(&mut window.center)));
                ui.label(RichText::new("width").color(Tokens::of(ui).text_weak));
                let width = number(&mut window.width).range(1.0..=1e6);
                ui.name_inputs("Width", |ui| ui.add(width));
            });
            if window != before {
                look.windowing = Windowing::Fixed(window);
            }
        }
        row_ui(ui, "Invert", |ui| {
            checkbox(ui, &mut look.invert, "black and white exchanged")
                .on_hover_text(Action::Invert.tooltip(ui.ctx()));
        });
        row_ui(ui, "Keep", |ui| {
            checkbox(ui, &mut self.keep, "from image to image");
        });
        if look != self.look(project) {
            self.look = Some(look);
        }
        ui.add_space(4.0);
        let trained = format!("Training sees {}.", format::look(project.look()));
        let text = RichText::new(trained).text_style(tokens::caption());
        ui.add(Label::new(text.color(Tokens::of(ui).text_weak)).wrap());
        if look != project.look() {
            ui.add_space(8.0);
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 8.0;
                if WordButton::new("Use for all")
                    .ui(ui)
                    .on_hover_text("Show every grey image of the project so, and train so")
                    .clicked()
                {
                    cx.commands.edit(Edit::SetLook { look });
                    self.look = None;
                }
                if WordButton::new("Back")
                    .ui(ui)
                    .on_hover_text(Action::ProjectWindow.tooltip(ui.ctx()))
                    .clicked()
                {
                    self.reset();
                }
            });
        }
    }

    /// As the project has it.
    pub fn reset(&mut self) {
        self.look = None;
    }
}

fn choice_ui(ui: &mut Ui, windowing: &mut Windowing, grey: &Grey) {
    let own = match grey.image.voi() {
        Voi::Window(..) | Voi::Table { .. } => "the file's own",
        Voi::Full => "as the file: all values",
        Voi::Auto => "as the file: percentiles",
    };
    let mut choices = vec![
        (Windowing::File, own),
        (Windowing::Auto, "percentiles 1 to 99"),
        (Windowing::Full, "all values"),
    ];
    if grey.image.is_hounsfield() {
        choices.push((Windowing::Fixed(Window::LUNG), "lung"));
        choices.push((Windowing::Fixed(Window::BONE), "bone"));
    }
    let current = choices.iter().find(|(choice, _)| choice == windowing);
    let current = current.map_or("as set", |(_, name)| name);
    ui.name_inputs("Window", |ui| {
        ComboBox::from_id_salt("window")
            .selected_text(current)
            .width(ui.available_width())
            .truncate()
            .icon(combo_caret)
            .show_ui(ui, |ui| {
                for (choice, name) in choices {
                    ui.selectable_value(windowing, choice, name);
                }
            });
    });
}
