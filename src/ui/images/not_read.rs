//! The files that could not be read: each with why, and what to do about it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use care_data::NotRead;
use egui::{
    Align, Align2, FontId, Frame, Galley, Layout, Margin, Rect, RichText, Role, ScrollArea, Sense,
    Stroke, Ui, WidgetInfo, pos2, vec2,
};

use crate::format;
use crate::ui::icons;
use crate::ui::tokens::{self, Tokens, radius, size};
use crate::ui::widgets::elided;

const MEASURED_PER_FRAME: usize = 500;

/// What could not be read. The rows are of different heights, measured once, so that only visible ones are laid out.
#[derive(Default)]
pub(super) struct NotReadList {
    /// Of the project, when it was last asked whether the files are still the same.
    revision: Option<u64>,
    /// The files and the width that the rows were measured for.
    files: u64,
    width: f32,
    /// The top of each row, and the end of the last.
    tops: Vec<f32>,
}

impl NotReadList {
    pub fn ui(&mut self, ui: &mut Ui, files: &[NotRead], num_images: usize, revision: u64) {
        let t = Tokens::of(ui);
        ui.horizontal(|ui| {
            ui.set_height(24.0);
            ui.label(
                RichText::new("Not read")
                    .text_style(tokens::section())
                    .color(t.text_strong),
            );
            if !files.is_empty() {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let n = format!(
                        "{} of {}",
                        format::count(files.len()),
                        format::plural(files.len() + num_images, "file", "files")
                    );
                    Frame::new()
                        .fill(t.raised)
                        .corner_radius(radius::IMAGE)
                        .inner_margin(Margin::symmetric(6, 2))
                        .show(ui, |ui| {
                            let n = RichText::new(n).text_style(tokens::caption());
                            ui.label(n.color(t.warning));
                        });
                });
            }
        });
        if files.is_empty() {
            ui.label(
                RichText::new("All files were read.")
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
            return;
        }
        let width = ui.available_width();
        let known = if self.revision == Some(revision) {
            self.files
        } else {
            let mut hasher = DefaultHasher::new();
            for file in files {
                (&file.path, &file.why).hash(&mut hasher);
            }
            hasher.finish()
        };
        if (self.files, self.width) != (known, width) || self.tops.is_empty() {
            (self.files, self.width) = (known, width);
            self.tops = vec![0.0];
        }
        self.revision = Some(revision);
        // Each is measured once, and many of them over several frames.
        let mut top = self.tops.last().copied().unwrap_or(0.0);
        for file in files
            .iter()
            .skip(self.tops.len() - 1)
            .take(MEASURED_PER_FRAME)
        {
            top += row_of(ui, file, width).height();
            self.tops.push(top);
        }
        if self.tops.len() <= files.len() {
            ui.ctx().request_repaint();
        }
        ScrollArea::vertical()
            .id_salt("not read")
            .auto_shrink(false)
            .show_viewport(ui, |ui, viewport| {
                let origin = ui.min_rect().min;
                ui.set_height(self.tops.last().copied().unwrap_or(0.0) + 8.0);
                let first = self.tops.partition_point(|top| *top <= viewport.top());
                let last = self.tops.partition_point(|top| *top < viewport.bottom());
                let range = first.saturating_sub(1)..last.min(self.tops.len() - 1);
                for (file, top) in files
                    .iter()
                    .zip(&self.tops)
                    .take(range.end)
                    .skip(range.start)
                {
                    row_of(ui, file, width).paint(ui, origin + vec2(0.0, *top), file);
                }
            });
    }
}

/// A file that was not read: its name, why, what to do.
struct NotReadRow {
    width: f32,
    /// Name in strong, why in normal, what to do in weak.
    lines: [Arc<Galley>; 3],
}

fn row_of(ui: &Ui, file: &NotRead, width: f32) -> NotReadRow {
    let t = Tokens::of(ui);
    let room = width - NotReadRow::INDENT;
    let name = file.path.file_name().unwrap_or(file.path.as_os_str());
    let painter = ui.painter();
    let wrapped =
        |text: &str, ink| painter.layout(text.to_owned(), FontId::proportional(12.0), ink, room);
    NotReadRow {
        width,
        lines: [
            elided(
                painter,
                &name.to_string_lossy(),
                tokens::medium(13.0),
                t.text_strong,
                room,
            ),
            wrapped(&file.why, t.text),
            wrapped(&file.advice, t.text_weak),
        ],
    }
}

impl NotReadRow {
    const INDENT: f32 = 24.0;
    const PADDING: f32 = 8.0;

    fn height(&self) -> f32 {
        let lines: f32 = self.lines.iter().map(|line| line.size().y).sum();
        (lines + 2.0 * Self::PADDING).ceil()
    }

    fn paint(self, ui: &Ui, at: egui::Pos2, file: &NotRead) {
        let t = Tokens::of(ui);
        let rect = Rect::from_min_size(at, vec2(self.width, self.height()));
        let response = ui.interact(rect, ui.scope_id().with(&file.path), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format::not_read(file)));
        let painter = ui.painter();
        let edge = rect.top().round() + 0.5;
        painter.hline(rect.x_range(), edge, Stroke::new(1.0, t.stroke));
        let mut y = rect.top() + Self::PADDING;
        painter.text(
            pos2(rect.left(), y + 8.0),
            Align2::LEFT_CENTER,
            icons::WARNING,
            tokens::icon(size::ICON),
            t.warning,
        );
        for line in self.lines {
            let height = line.size().y;
            painter.galley(pos2(rect.left() + Self::INDENT, y), line, t.text);
            y += height;
        }
        response.on_hover_text(file.path.display().to_string());
    }
}
