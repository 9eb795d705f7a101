//! What a folder would bring, before it does.

use care_data::import::{Format, Preview};
use egui::{Align, ComboBox, Grid, Layout, RichText, ScrollArea, Ui, vec2};

use super::tokens::{self, Tokens, size};
use super::widgets::{WordButton, combo_caret, sheet};
use crate::command::{Command, Commands};
use crate::format;
use crate::jobs::Offer;

const WIDTH: f32 = 520.0;
/// Classes that are seen at once.
const ROWS: f32 = 9.0;
/// Width of a column of numbers.
const NUMBER: f32 = 72.0;
/// What is left out is listed up to here; the whole list is in Images afterwards.
const MAX_LISTED: usize = 100;

pub fn offer_sheet(ctx: &egui::Context, offer: &Offer, commands: &mut Commands) {
    let preview = &offer.preview;
    let response = sheet(ctx, "offer").show(ctx, |ui| {
        let t = Tokens::of(ui);
        ui.set_width(WIDTH);
        ui.spacing_mut().item_spacing.y = 4.0;
        let name = offer.from.file_name().unwrap_or(offer.from.as_os_str());
        ui.label(
            RichText::new(name.to_string_lossy())
                .text_style(egui::TextStyle::Heading)
                .color(t.text_strong),
        );
        let source = preview
            .source
            .file_name()
            .filter(|_| preview.source != offer.from);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            ui.label(RichText::new("Read as").color(t.text_weak));
            format_ui(ui, offer, commands);
            if let Some(source) = source {
                ui.label(RichText::new(source.to_string_lossy()).color(t.text_weak));
            }
        });
        ui.add_space(8.0);
        classes_ui(ui, preview);
        if offer.already_there > 0 {
            let there = format::count(offer.already_there.min(preview.images));
            let words = format!("{there} of them are in the project already and stay as they are.");
            ui.label(RichText::new(words).color(t.text));
        }
        if !preview.not_read.is_empty() {
            ui.add_space(8.0);
            left_out_ui(ui, preview);
        }
        ui.add_space(12.0);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 12.0;
            let words = format!("Add {}", format::plural(preview.images, "image", "images"));
            let add = WordButton::new(&words)
                .primary()
                .enabled(preview.images > 0)
                .ui(ui)
                .clicked();
            let cancel = WordButton::new("Cancel").ui(ui).clicked();
            let rest = "Images stay where they are.";
            ui.label(
                RichText::new(rest)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
            (add, cancel)
        })
        .inner
    });
    let (add, cancel) = response.inner;
    if add {
        commands.send(Command::Offered(true));
    } else if cancel || response.should_close() {
        commands.send(Command::Offered(false));
    }
}

/// The format that was recognised; another one where that is wrong.
fn format_ui(ui: &mut Ui, offer: &Offer, commands: &mut Commands) {
    let mut format = offer.preview.format;
    ui.name_inputs("Format", |ui| {
        ComboBox::from_id_salt("format")
            .selected_text(format.described())
            .width(300.0)
            .truncate()
            .icon(combo_caret)
            .show_ui(ui, |ui| {
                for other in Format::ALL {
                    ui.selectable_value(&mut format, other, other.described());
                }
            });
    });
    if format != offer.preview.format {
        commands.send(Command::ReadAs(offer.from.clone(), format));
    }
}

fn classes_ui(ui: &mut Ui, preview: &Preview) {
    let t = Tokens::of(ui);
    let number = |ui: &mut Ui, text: RichText| {
        let right = Layout::right_to_left(Align::Center);
        ui.allocate_ui_with_layout(vec2(NUMBER, ui.spacing().interact_size.y), right, |ui| {
            ui.label(text);
        });
    };
    ScrollArea::vertical()
        .id_salt("classes")
        .max_height(ROWS * size::ROW)
        .show(ui, |ui| {
            Grid::new("classes")
                .num_columns(3)
                .min_col_width(NUMBER)
                .spacing([24.0, 4.0])
                .show(ui, |ui| {
                    for heading in ["class", "images", "boxes"] {
                        let text = RichText::new(heading)
                            .text_style(tokens::caption())
                            .color(t.text_weak);
                        if heading == "class" {
                            ui.label(text);
                        } else {
                            number(ui, text);
                        }
                    }
                    ui.end_row();
                    for class in &preview.classes {
                        ui.label(RichText::new(&class.name).color(t.text_strong));
                        number(ui, RichText::new(format::count(class.images)).color(t.text));
                        number(ui, RichText::new(format::count(class.boxes)).color(t.text));
                        ui.end_row();
                    }
                    if preview.classes.len() > 1 {
                        ui.label(RichText::new("together").color(t.text_weak));
                        let all = RichText::new(format::count(preview.images));
                        number(ui, all.color(t.text_strong));
                        let all = RichText::new(format::count(preview.boxes));
                        number(ui, all.color(t.text_strong));
                        ui.end_row();
                    }
                });
        });
    if preview.masks > 0 {
        let masks = format::plural(preview.masks, "mask", "masks");
        ui.label(RichText::new(format!("{masks} will become boxes.")).color(t.text));
    }
}

fn left_out_ui(ui: &mut Ui, preview: &Preview) {
    let t = Tokens::of(ui);
    let n = preview.not_read.len();
    let title = format!("{} left out", format::plural(n, "thing", "things"));
    ui.label(
        RichText::new(title)
            .font(tokens::medium(13.0))
            .color(t.warning),
    );
    ScrollArea::vertical()
        .id_salt("left out")
        .max_height(96.0)
        .show(ui, |ui| {
            for file in preview.not_read.iter().take(MAX_LISTED) {
                let text = RichText::new(format::not_read(file)).text_style(tokens::caption());
                ui.add(egui::Label::new(text.color(t.text_weak)).wrap());
            }
            if n > MAX_LISTED {
                let more = format!("and {} more", format::count(n - MAX_LISTED));
                ui.label(
                    RichText::new(more)
                        .text_style(tokens::caption())
                        .color(t.text_weak),
                );
            }
        });
}
