//! What is written for other programs, and where.

use care_data::Part;
use care_data::export::Format;
use egui::{Checkbox, RichText, Ui};

use super::tokens::{self, Tokens};
use super::widgets::{WordButton, segmented, sheet};
use crate::command::{Action, Command, Commands};
use crate::jobs::ExportDraft;

const WIDTH: f32 = 560.0;

pub fn export_sheet(ctx: &egui::Context, draft: &ExportDraft, commands: &mut Commands) {
    let mut changed = draft.clone();
    let response = sheet(ctx, "export").show(ctx, |ui| {
        let t = Tokens::of(ui);
        ui.set_width(WIDTH);
        ui.spacing_mut().item_spacing.y = 4.0;
        ui.label(
            RichText::new("Export")
                .text_style(egui::TextStyle::Heading)
                .color(t.text_strong),
        );
        let rest = "Classes and boxes for other programs. The images stay where they are; nothing of a patient goes along.";
        ui.add(egui::Label::new(RichText::new(rest).color(t.text_weak)).wrap());
        ui.add_space(12.0);
        let formats = Format::ALL.map(|format| (format, described(format).0.to_owned()));
        segmented(ui, "Format", &formats, &mut changed.format);
        caption(ui, described(changed.format).1);
        ui.add_space(8.0);
        let parts = [
            (None, "All images".to_owned()),
            (Some(Part::Train), "Training".to_owned()),
            (Some(Part::Validation), "Validation".to_owned()),
            (Some(Part::Test), "Test".to_owned()),
        ];
        segmented(ui, "Images", &parts, &mut changed.part);
        ui.add_space(12.0);
        ui.label(RichText::new("Into").color(t.text));
        let path = changed.path();
        let name = path.file_name().unwrap_or(path.as_os_str());
        ui.label(RichText::new(name.to_string_lossy()).color(t.text_strong));
        let folder = RichText::new(changed.folder.to_string_lossy());
        let folder = folder.text_style(tokens::caption()).color(t.text_weak);
        ui.add(egui::Label::new(folder).wrap());
        ui.add_space(4.0);
        if WordButton::new("Another folder").ui(ui).clicked() {
            commands.send(Command::ChooseExportFolder);
        }
        let is_there = path.exists();
        if is_there {
            ui.add_space(8.0);
            let words = "Replace what an earlier export wrote there";
            ui.add(Checkbox::new(&mut changed.replace, words));
        }
        ui.add_space(12.0);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 12.0;
            let write = WordButton::new("Write")
                .primary()
                .enabled(!is_there || changed.replace);
            (
                write.ui(ui).clicked(),
                WordButton::new("Cancel").ui(ui).clicked(),
            )
        })
        .inner
    });
    let (write, cancel) = response.inner;
    if changed != *draft {
        commands.send(Command::SetExport(changed));
    }
    if write {
        commands.send(Command::Export);
    } else if cancel || response.should_close() {
        commands.act(Action::Export);
    }
}

fn caption(ui: &mut Ui, text: &str) {
    let text = RichText::new(text).text_style(tokens::caption());
    ui.label(text.color(Tokens::of(ui).text_weak));
}

/// The format's name, and what it writes.
fn described(format: Format) -> (&'static str, &'static str) {
    match format {
        Format::Coco => ("COCO", "One JSON file. Boxes are written as they are."),
        Format::Voc => (
            "Pascal VOC",
            "A folder with an XML file for each image. Edges are rounded to whole pixels.",
        ),
        Format::Yolo => (
            "YOLO",
            "A folder with a text file for each image. An image without a box has no class there.",
        ),
        Format::Csv => (
            "CSV",
            "One table, a line for each box, and for each image without one.",
        ),
        Format::Labelme => ("labelme", "A folder with a JSON file for each image."),
    }
}
