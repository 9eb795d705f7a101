//! The split: how many images of each class stand in which part, and whether it kept patients whole.

use care_data::{Part, Project};
use egui::{
    Align2, FontId, Rect, RichText, Role, ScrollArea, Sense, Stroke, Ui, WidgetInfo, pos2, vec2,
};

use super::tally::{Groups, Tally};
use crate::format;
use crate::ui::icons;
use crate::ui::tokens::{self, Tokens, radius, size};
use crate::ui::widgets::{class_dot, elided, section_title};

const TABLE_ROW: f32 = 32.0;
const TABLE_MAX: f32 = 8.0 * TABLE_ROW;

pub(super) fn split_ui(ui: &mut Ui, project: &Project, tally: &Tally, groups: Groups) {
    const COLUMNS: [f32; 3] = [122.0, 52.0, 0.0];
    let t = Tokens::of(ui);
    ui.spacing_mut().item_spacing.y = 0.0;
    section_title(ui, "Split", "");
    ui.add_space(8.0);

    // The three parts as one bar, each with its name and number above it.
    let inks = [t.text, t.stroke_strong, t.text_weak.gamma_multiply(0.6)];
    let width = ui.available_width();
    let (names, _) = ui.allocate_exact_size(vec2(width, 20.0), Sense::hover());
    let painter = ui.painter().clone();
    let caption = FontId::proportional(12.0);
    let says = |part: Part| {
        format!(
            "{} {}",
            part.name(),
            format::count(tally.parts[part as usize])
        )
    };
    let y = names.top() + 8.0;
    for (part, x, align) in [
        (Part::Train, names.left(), Align2::LEFT_CENTER),
        (Part::Validation, names.center().x, Align2::CENTER_CENTER),
        (Part::Test, names.right(), Align2::RIGHT_CENTER),
    ] {
        painter.text(pos2(x, y), align, says(part), caption.clone(), t.text);
    }
    let (bar, response) = ui.allocate_exact_size(vec2(width, 8.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, Part::ALL.map(says).join(", ")));
    let gaps = 2.0 * (tally.parts.iter().filter(|n| **n > 0).count().max(1) - 1) as f32;
    let unit = (bar.width() - gaps) / tally.total().max(1) as f32;
    let mut x = bar.left();
    for (n, ink) in tally.parts.iter().zip(inks).filter(|(n, _)| **n > 0) {
        let piece = Rect::from_min_size(pos2(x, bar.top()), vec2(unit * *n as f32, 8.0));
        painter.rect_filled(piece, f32::from(radius::BAR), ink);
        x = piece.right() + 2.0;
    }

    ui.add_space(8.0);
    let (head, _) = ui.allocate_exact_size(vec2(width, 28.0), Sense::hover());
    let line = Stroke::new(1.0, t.stroke);
    let label = tokens::medium(12.0);
    let y = head.center().y;
    painter.text(
        head.left_center(),
        Align2::LEFT_CENTER,
        "class",
        label.clone(),
        t.text_weak,
    );
    for (part, column) in Part::ALL.into_iter().zip(COLUMNS) {
        let at = pos2(head.right() - column, y);
        painter.text(
            at,
            Align2::RIGHT_CENTER,
            part.name(),
            label.clone(),
            t.text_weak,
        );
    }
    let classes = project.classes();
    let height = (classes.len() as f32 * TABLE_ROW).min(TABLE_MAX);
    ScrollArea::vertical()
        .id_salt("split table")
        .max_height(height)
        .auto_shrink([false, true])
        .show_rows(ui, TABLE_ROW, classes.len(), |ui, rows| {
            let painter = ui.painter().clone();
            for (class, count) in classes
                .iter()
                .zip(&tally.classes)
                .take(rows.end)
                .skip(rows.start)
            {
                let (row, response) =
                    ui.allocate_exact_size(vec2(width, TABLE_ROW), Sense::hover());
                let [train, validation, test] = count.parts;
                response.widget_info(|| {
                    let label = format!(
                        "{}: train {train}, validation {validation}, test {test}",
                        class.name
                    );
                    WidgetInfo::labeled(Role::Row, true, label)
                });
                painter.hline(row.x_range(), row.top().round() + 0.5, line);
                let y = row.center().y;
                class_dot(&painter, t, pos2(row.left() + 4.5, y), class.color);
                let font = FontId::proportional(13.0);
                let left = row.left() + 17.0;
                let room = row.right() - COLUMNS[0] - 48.0 - left;
                let name = elided(&painter, &class.name, font.clone(), t.text, room);
                painter.galley(pos2(left, y - name.size().y / 2.0), name, t.text);
                for (n, column) in count.parts.into_iter().zip(COLUMNS) {
                    let at = pos2(row.right() - column, y);
                    let n = format::count(n);
                    painter.text(at, Align2::RIGHT_CENTER, n, font.clone(), t.text);
                }
            }
        });
    ui.add_space(8.0);
    let (glyph, ink) = match groups {
        Groups {
            in_two_parts: 1.., ..
        } => (icons::WARNING, t.warning),
        Groups { count: 0, .. } => (icons::INFO, t.text_weak),
        _ => (icons::CHECK_CIRCLE, t.success),
    };
    ui.horizontal(|ui| {
        ui.label(
            RichText::new(glyph)
                .font(tokens::icon(size::ICON))
                .color(ink),
        );
        ui.add(
            egui::Label::new(RichText::new(groups.sentence()).text_style(tokens::caption())).wrap(),
        );
    });
}
