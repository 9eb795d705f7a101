//! The confusion matrices of the models.

use egui::{Align2, FontId, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::cases::{Cases, Cell};
use crate::comparison::Measured;
use crate::ui::tokens::{self, Tokens};
use crate::ui::widgets::{class_dot, elided, focus_ring};

/// Largest pitch of the cells, and on a wide screen.
const PITCH: f32 = 42.0;
const WIDE_PITCH: f32 = 52.0;
const WIDE: f32 = 1000.0;
const CELL_GAP: f32 = 2.0;
/// Before the rows of a line's first matrix: dot and class name.
const NAMES: f32 = 116.0;
/// Before the rows of the others: dot only.
const DOTS: f32 = 16.0;
const BETWEEN: f32 = 24.0;
const TITLE: f32 = 24.0;
const LINE_GAP: f32 = 8.0;
/// Model's name and the classes' initials above a matrix.
const HEAD: f32 = 20.0 + 22.0;

/// How high the section is on `width`.
pub(super) fn height(width: f32, measured: &Measured) -> f32 {
    let (per_line, pitch, num_classes) = layout_of(width, measured);
    let num_lines = matrices(measured).count().div_ceil(per_line) as f32;
    TITLE + num_lines * (LINE_GAP + HEAD + num_classes as f32 * pitch)
}

/// Each model that has one, with its counts.
fn matrices(measured: &Measured) -> impl Iterator<Item = (usize, &Vec<Vec<u32>>)> {
    let models = measured.summaries.iter().enumerate();
    models.filter_map(|(model, summary)| Some((model, &summary.as_ref()?.confusion)))
}

/// Returns the cell that was clicked.
pub(super) fn matrices_ui(
    ui: &mut Ui,
    cases: &Cases,
    measured: &Measured,
    selected: Option<Cell>,
) -> Option<Cell> {
    ui.spacing_mut().item_spacing.y = LINE_GAP;
    let (title, _) = ui.allocate_exact_size(vec2(ui.available_width(), TITLE), Sense::hover());
    title_ui(ui, title);
    let (per_line, pitch, num_classes) = layout_of(ui.available_width(), measured);
    let mut clicked = None;
    let all: Vec<_> = matrices(measured).collect();
    for line in all.chunks(per_line) {
        let width = NAMES
            + (line.len() - 1) as f32 * (BETWEEN + DOTS)
            + (line.len() * num_classes) as f32 * pitch;
        // Spread over the panel, as far as the cells do not fill it.
        let slack = (ui.available_width() - width).max(0.0) / (line.len() - 1).max(1) as f32;
        let height = HEAD + num_classes as f32 * pitch;
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
        let mut left = rect.left();
        for (place, (model, counts)) in line.iter().enumerate() {
            let names = if place == 0 { NAMES } else { DOTS };
            let matrix = Matrix {
                cases,
                model: *model,
                counts,
                left,
                top: rect.top(),
                names,
                pitch,
            };
            clicked = clicked.or(matrix.ui(ui, selected));
            left += names + num_classes as f32 * pitch + BETWEEN + slack;
        }
    }
    clicked
}

fn title_ui(ui: &Ui, rect: Rect) {
    let t = Tokens::of(ui);
    let painter = ui.painter();
    let ink = t.text_strong;
    let title = painter.layout_no_wrap("Confusion".to_owned(), tokens::semibold(15.0), ink);
    let after = rect.left() + title.size().x + 16.0;
    painter.galley(
        pos2(rect.left(), rect.center().y - title.size().y / 2.0),
        title,
        ink,
    );
    let remark = |x: f32, align: Align2, text: &str| {
        let font = FontId::proportional(12.0);
        painter.text(
            pos2(x, rect.center().y + 1.0),
            align,
            text,
            font,
            t.text_weak,
        );
    };
    remark(
        after,
        Align2::LEFT_CENTER,
        "rows: label, columns: prediction",
    );
    remark(
        rect.right(),
        Align2::RIGHT_CENTER,
        "click a cell to see its images",
    );
}

/// [`layout`] for these results, and their number of classes.
fn layout_of(width: f32, measured: &Measured) -> (usize, f32, usize) {
    let confusions = || matrices(measured).map(|(_, confusion)| confusion);
    let largest = confusions().flatten().flatten().max().copied().unwrap_or(0);
    let num_classes = confusions().map(Vec::len).max().unwrap_or(0).max(1);
    let num_models = confusions().count().max(1);
    let (per_line, pitch) = layout(width, num_models, num_classes, largest);
    (per_line, pitch, num_classes)
}

/// How many matrices stand side by side, and the pitch of their cells: as many as leave room for the largest count.
fn layout(width: f32, num_models: usize, num_classes: usize, largest: u32) -> (usize, f32) {
    let digits = largest.max(1).ilog10() + 1;
    let smallest = (8.0 * digits as f32 + 8.0).max(24.0);
    let pitch = |per_line: usize| {
        let beside = NAMES + (per_line - 1) as f32 * (BETWEEN + DOTS);
        ((width - beside) / (per_line * num_classes) as f32).floor()
    };
    let per_line = (1..=num_models)
        .rev()
        .find(|n| pitch(*n) >= smallest)
        .unwrap_or(1);
    let largest = if width < WIDE { PITCH } else { WIDE_PITCH };
    (per_line, pitch(per_line).clamp(16.0, largest))
}

/// One model's matrix, drawn from `left`, `top`.
struct Matrix<'a> {
    cases: &'a Cases,
    model: usize,
    /// Rows: label, columns: prediction.
    counts: &'a [Vec<u32>],
    left: f32,
    top: f32,
    /// Width of what stands before the rows.
    names: f32,
    pitch: f32,
}

impl Matrix<'_> {
    fn ui(&self, ui: &mut Ui, selected: Option<Cell>) -> Option<Cell> {
        let t = Tokens::of(ui);
        let x = |column: usize| self.left + self.names + column as f32 * self.pitch;
        let y = |row: usize| self.top + HEAD + row as f32 * self.pitch;
        let of = self.cases.models.get(self.model)?;
        ui.painter().text(
            pos2(x(0), self.top + 8.0),
            Align2::LEFT_CENTER,
            &of.name,
            tokens::medium(13.0),
            t.role(of.role),
        );
        let classes = &self.cases.classes;
        for (index, class) in classes.iter().enumerate().take(self.counts.len()) {
            let initials: String = class.name.chars().take(3).collect();
            ui.painter().text(
                pos2(
                    x(index) + (self.pitch - CELL_GAP) / 2.0,
                    self.top + HEAD - 12.0,
                ),
                Align2::CENTER_CENTER,
                initials,
                FontId::proportional(11.0),
                t.text_weak,
            );
            let middle = y(index) + (self.pitch - CELL_GAP) / 2.0;
            let dot_x = if self.names > DOTS {
                self.left + 4.0
            } else {
                x(0) - 10.0
            };
            class_dot(ui.painter(), t, pos2(dot_x, middle), class.color);
            if self.names > DOTS {
                let font = FontId::proportional(12.0);
                let galley = elided(ui.painter(), &class.name, font, t.text, self.names - 20.0);
                let at = pos2(self.left + 16.0, middle - galley.size().y / 2.0);
                ui.painter().galley(at, galley, t.text);
            }
        }
        let mut clicked = None;
        for (label, row) in self.counts.iter().enumerate() {
            let total: u32 = row.iter().sum();
            for (predicted, n) in row.iter().enumerate() {
                let rect = Rect::from_min_size(
                    pos2(x(predicted), y(label)),
                    vec2(self.pitch - CELL_GAP, self.pitch - CELL_GAP),
                );
                let cell = Cell {
                    model: self.model,
                    label,
                    predicted,
                };
                if self.cell_ui(ui, rect, cell, *n, total, selected == Some(cell)) {
                    clicked = Some(cell);
                }
            }
        }
        clicked
    }

    /// The count on a grey that stands for its share of the row, so that a rare class can be read beside a common
    /// one; one scale for all models. True where it was clicked.
    fn cell_ui(&self, ui: &Ui, rect: Rect, cell: Cell, n: u32, total: u32, selected: bool) -> bool {
        let t = Tokens::of(ui);
        let id = ui.scope_id().with(cell);
        let response = ui.interact(rect, id, Sense::click());
        let name = |class: usize| self.cases.class_name(class);
        let of = self.cases.models.get(cell.model);
        let what = || {
            format!(
                "{}: {n} of {total} {} predicted as {}",
                of.map_or("", |model| &model.name),
                name(cell.label),
                name(cell.predicted)
            )
        };
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, what()));
        let share = n as f32 / total.max(1) as f32;
        let lift = if response.hovered() { 0.08 } else { 0.0 };
        let painter = ui.painter();
        painter.rect_filled(rect, 3.0, t.text.gamma_multiply(0.05 + 0.30 * share + lift));
        let (font, ink) = match (cell.label == cell.predicted, n) {
            (true, 1..) => (tokens::semibold(13.0), t.text_strong),
            (_, 0) => (FontId::proportional(13.0), t.text_weak),
            (false, _) => (FontId::proportional(13.0), t.text_strong),
        };
        let font = if self.pitch < 32.0 {
            FontId::new(11.0, font.family)
        } else {
            font
        };
        painter.text(rect.center(), Align2::CENTER_CENTER, n, font, ink);
        if selected {
            painter.rect_stroke(rect, 3.0, Stroke::new(2.0, t.accent), StrokeKind::Outside);
        }
        focus_ring(ui, &response, 3);
        response.clone().on_hover_ui(|ui| {
            ui.label(what());
        });
        response.clicked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_matrices_stand_side_by_side_as_long_as_their_counts_fit() {
        for (width, classes, largest, expected) in [
            (776.0, 4, 60, (3, PITCH)),
            (1072.0, 4, 60, (3, WIDE_PITCH)),
            (616.0, 4, 60, (3, 35.0)),
            (776.0, 7, 60, (3, 27.0)),
            (776.0, 7, 1341, (2, PITCH)),
            (616.0, 7, 1341, (1, PITCH)),
            (616.0, 40, 1341, (1, 16.0)),
        ] {
            assert_eq!(
                layout(width, 3, classes, largest),
                expected,
                "{classes} classes on {width}"
            );
        }
    }
}
