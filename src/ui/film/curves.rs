//! Under each column: the share of the attention in the box, of all three models over the epochs.

use care_data::{ImageId, RunId};
use care_learn::ModelRole;
use egui::{Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2};

use crate::training::TrainingRun;
use crate::ui::tokens::{Tokens, radius};

/// Points of a line: more than a small cell has across.
const MAX_POINTS: usize = 64;

/// Epochs and shares of one model on one image, ascending.
type Line = Vec<[f32; 2]>;

/// The lines of every column, computed when a frame has come.
#[derive(Default)]
pub(super) struct Curves {
    of: Option<(RunId, usize, Option<u32>, Vec<ImageId>)>,
    columns: Vec<[Line; 3]>,
}

impl Curves {
    pub(super) fn renew(&mut self, run: &TrainingRun, watch: &[ImageId]) {
        let last = run.film.last().map(|frame| frame.step);
        let is_known = self.of.as_ref().is_some_and(|(id, frames, step, images)| {
            (*id, *frames, *step, &images[..]) == (run.id, run.film.len(), last, watch)
        });
        if is_known {
            return;
        }
        self.of = Some((run.id, run.film.len(), last, watch.to_vec()));
        let line = |role, image| {
            let frames = run.film.iter().filter(|frame| frame.role == role);
            let points = frames.filter_map(|frame| Some([frame.epoch, frame.seen(image)?.energy?]));
            thinned(points.collect())
        };
        self.columns = watch
            .iter()
            .map(|image| ModelRole::ALL.map(|role| line(role, *image)))
            .collect();
    }

    /// The lines of a column, with the epoch that is shown; the newest where none.
    pub(super) fn ui(
        &self,
        ui: &Ui,
        rect: Rect,
        run: &TrainingRun,
        column: usize,
        name: &str,
        epoch: Option<f32>,
    ) {
        let t = Tokens::of(ui);
        let Some(lines) = self.columns.get(column) else {
            return;
        };
        let painter = ui.painter();
        painter.rect_filled(rect, f32::from(radius::BAR), t.panel);
        let plot = rect.shrink(2.0);
        let x = |epoch: f32| egui::lerp(plot.x_range(), epoch / run.num_epochs().max(1) as f32);
        let y = |share: f32| egui::lerp(plot.bottom()..=plot.top(), share);
        let newest = run.film.last().map_or(0.0, |frame| frame.epoch);
        let at = epoch.unwrap_or(newest);
        painter.vline(x(at), rect.y_range(), Stroke::new(1.0, t.stroke_strong));
        for (role, line) in ModelRole::ALL.into_iter().zip(lines) {
            let points: Vec<_> = line
                .iter()
                .map(|[epoch, share]| pos2(x(*epoch), y(*share)))
                .collect();
            let ink = t.role(role);
            match (role, points.len()) {
                (_, 0) => {}
                (_, 1) => {
                    painter.circle_filled(points[0], 1.5, ink);
                }
                (ModelRole::Control, _) => {
                    painter.extend(Shape::dashed_line(&points, Stroke::new(1.0, ink), 3.0, 2.0));
                }
                (ModelRole::Before, _) => {
                    painter.add(Shape::line(points, Stroke::new(1.0, ink)));
                }
                (ModelRole::Care, _) => {
                    painter.add(Shape::line(points, Stroke::new(1.5, ink)));
                }
            }
        }
        let response = ui.interact(rect, ui.scope_id().with(("curve", column)), Sense::hover());
        let text = || {
            let values = ModelRole::ALL
                .into_iter()
                .zip(lines)
                .filter_map(|(role, line)| {
                    let [_, share] = line.iter().rev().find(|[epoch, _]| *epoch <= at + 1e-3)?;
                    Some(format!("{} {share:.2}", role.name()))
                });
            let values: Vec<String> = values.collect();
            if values.is_empty() {
                return format!("{name}: no box to score against");
            }
            let epoch = at.ceil();
            format!("{name}, in the box at epoch {epoch}: {}", values.join(", "))
        };
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, text()));
        if response.hovered() {
            response.on_hover_text(text());
        }
    }
}

/// At most [`MAX_POINTS`] of them, the last included.
fn thinned(points: Line) -> Line {
    let stride = points.len().div_ceil(MAX_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points
        .into_iter()
        .enumerate()
        .filter(|(i, _)| (last - i).is_multiple_of(stride))
        .map(|(_, point)| point)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bounded_and_ends_where_it_ends() {
        for n in [0_usize, 1, 64, 65, 240, 512] {
            let line: Line = (0..n).map(|i| [i as f32, 0.5]).collect();
            let thin = thinned(line.clone());
            assert!(thin.len() <= MAX_POINTS && thin.len() >= n.min(MAX_POINTS / 2));
            assert_eq!(thin.last(), line.last());
        }
    }
}
