//! The attention on every test image: a scatter of two models, and a table that sorts by any of its columns.

use std::cmp::Ordering;

use care_data::Project;
use egui::{
    Align2, FontId, Rect, RichText, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo,
    pos2, vec2,
};

use super::View;
use super::cases::{Case, Cases, Seen};
use super::shown::Shown;
use crate::command::Command;
use crate::format;
use crate::ui::tokens::{self, Tokens, radius, size};
use crate::ui::widgets::{class_dot, elided, focus_ring, picture_ui};
use crate::ui::{Context, icons};

/// A column of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Measure {
    Energy,
    Hit,
    Iou,
    Probability,
    Right,
}

impl Measure {
    const ALL: [Self; 5] = [
        Self::Energy,
        Self::Hit,
        Self::Iou,
        Self::Probability,
        Self::Right,
    ];

    fn head(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Hit => "hit",
            Self::Iou => "IoU",
            Self::Probability => "prob.",
            Self::Right => "right",
        }
    }

    fn explained(self) -> &'static str {
        match self {
            Self::Energy => "Share of the attention that lies in the boxes",
            Self::Hit => "Whether the maximum of the attention lies in a box",
            Self::Iou => "Overlap of the attended area (F \u{2265} 0.5) with the boxes",
            Self::Probability => "Probability of the image\u{2019}s own class",
            Self::Right => "Whether it is taken for its own class",
        }
    }

    /// Largest is best, for sorting; none comes last.
    fn value(self, case: &Case, seen: Seen) -> Option<f32> {
        let yes = |yes: bool| f32::from(u8::from(yes));
        match self {
            Self::Energy => seen.energy,
            Self::Hit => seen.hit.map(yes),
            Self::Iou => seen.iou,
            Self::Probability => Some(seen.probability),
            Self::Right => Some(yes(seen.predicted == case.label)),
        }
    }

    fn text(self, case: &Case, seen: Seen) -> String {
        let number = |value: Option<f32>| {
            value.map_or_else(|| "\u{2013}".to_owned(), |value| format!("{value:.2}"))
        };
        match self {
            Self::Energy => number(seen.energy),
            Self::Iou => number(seen.iou),
            Self::Probability => number(Some(seen.probability)),
            Self::Hit => match seen.hit {
                Some(true) => "hit".to_owned(),
                Some(false) => "miss".to_owned(),
                None => "\u{2013}".to_owned(),
            },
            Self::Right if seen.predicted == case.label => "right".to_owned(),
            Self::Right => "wrong".to_owned(),
        }
    }
}

/// What the rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum By {
    Name,
    Class,
    Model(usize, Measure),
}

/// The table's order, and the rows in it.
pub(super) struct Table {
    by: By,
    descending: bool,
    /// Places in the cases.
    rows: Vec<usize>,
    /// What they were sorted for.
    of: Option<(super::cases::Key, u64, By, bool)>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            by: By::Name,
            descending: false,
            rows: Vec::new(),
            of: None,
        }
    }
}

impl Table {
    fn sort(&mut self, shown: &Shown, project: &Project) {
        let of = Some((shown.cases.key, shown.list, self.by, self.descending));
        if self.of == of {
            return;
        }
        self.of = of;
        let cases = &shown.cases;
        self.rows.clone_from(&shown.rows);
        let name = |place: &usize| project.image(cases.all[*place].image).map(|it| it.name());
        let value = |place: &usize| match self.by {
            By::Model(model, measure) => {
                let case = &cases.all[*place];
                measure.value(case, case.seen(model)?)
            }
            By::Name | By::Class => None,
        };
        let turned = |ordering: Ordering| {
            if self.descending {
                ordering.reverse()
            } else {
                ordering
            }
        };
        self.rows.sort_by(|a, b| {
            let by = match self.by {
                By::Name => turned(name(a).cmp(&name(b))),
                By::Class => turned(cases.all[*a].label.cmp(&cases.all[*b].label)),
                By::Model(..) => match (value(a), value(b)) {
                    (Some(a), Some(b)) => turned(a.total_cmp(&b)),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => Ordering::Equal,
                },
            };
            by.then_with(|| name(a).cmp(&name(b)))
        });
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, shown: &mut Shown) {
        self.sort(shown, cx.project);
        ui.spacing_mut().item_spacing.y = 0.0;
        let side = (ui.available_height() * 0.36).clamp(132.0, 280.0).round();
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 24.0;
            scatter_ui(ui, shown, side);
            ui.vertical(|ui| beside_scatter_ui(ui, shown));
        });
        ui.add_space(12.0);
        let columns = Columns::over(ui.available_width() - SCROLL_BAR, &shown.cases, shown.pair);
        self.head_ui(ui, &shown.cases, &columns);
        ScrollArea::vertical()
            .id_salt("images table")
            .auto_shrink(false)
            .show_rows(ui, ROW, self.rows.len(), |ui, range| {
                for row in range {
                    let case = shown.cases.all[self.rows[row]].clone();
                    row_ui(ui, cx, shown, &case, &columns);
                }
            });
    }

    fn head_ui(&mut self, ui: &mut Ui, cases: &Cases, columns: &Columns) {
        let t = Tokens::of(ui);
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 40.0), Sense::hover());
        for (model, left) in &columns.models {
            let Some(of) = cases.models.get(*model) else {
                continue;
            };
            let font = tokens::medium(12.0);
            let galley = elided(ui.painter(), &of.name, font, t.role(of.role), MODEL - 8.0);
            ui.painter()
                .galley(pos2(rect.left() + left, rect.top()), galley, t.text);
        }
        let line = Rect::from_min_max(pos2(rect.left(), rect.top() + 18.0), rect.max);
        let mut heads = vec![
            (By::Class, "class", 34.0, 34.0, false),
            (By::Name, "image", NAME_AT, NAME - NAME_AT - 8.0, false),
        ];
        for (model, left) in &columns.models {
            let mut x = *left;
            for (measure, width) in Measure::ALL.into_iter().zip(WIDTHS) {
                heads.push((By::Model(*model, measure), measure.head(), x, width, true));
                x += width;
            }
        }
        for (by, text, x, width, at_right) in heads {
            let cell = Rect::from_min_size(
                pos2(line.left() + x, line.top()),
                vec2(width, line.height()),
            );
            let id = ui.scope_id().with(("sort", by));
            let response = ui.interact(cell, id, Sense::click());
            let is_by = self.by == by;
            let name = match by {
                By::Model(model, measure) => {
                    let model = cases.models.get(model).map_or("", |it| &it.name);
                    format!("Sort by {} of {model}", measure.head())
                }
                By::Name | By::Class => format!("Sort by {text}"),
            };
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_by, &name));
            let ink = match (is_by, response.hovered()) {
                (true, _) => t.text_strong,
                (false, true) => t.text,
                (false, false) => t.text_weak,
            };
            let arrow = match (is_by, self.descending) {
                (false, _) => "",
                (true, true) => icons::CARET_DOWN,
                (true, false) => icons::CARET_UP,
            };
            let (at, align) = if at_right {
                (cell.right_center(), Align2::RIGHT_CENTER)
            } else {
                (cell.left_center(), Align2::LEFT_CENTER)
            };
            let drawn = ui
                .painter()
                .text(at, align, text, FontId::proportional(11.0), ink);
            // Over the word, where there is always room for it.
            ui.painter().text(
                pos2(drawn.center().x, drawn.top() - 2.0),
                Align2::CENTER_CENTER,
                arrow,
                tokens::icon(9.0),
                ink,
            );
            focus_ring(ui, &response, radius::CONTROL);
            if response.clicked() {
                // A measure begins with its worst.
                self.descending = is_by && !self.descending;
                self.by = by;
            }
            match by {
                By::Model(_, measure) => {
                    response.on_hover_text(measure.explained());
                }
                By::Name | By::Class => {}
            }
        }
        let y = rect.bottom().round() - 0.5;
        ui.painter()
            .hline(rect.x_range(), y, Stroke::new(1.0, t.stroke));
    }
}

const ROW: f32 = 36.0;
const SCROLL_BAR: f32 = 12.0;
/// Thumbnail, name and class.
const NAME: f32 = 148.0;
/// Where names begin.
const NAME_AT: f32 = 72.0;
/// Of the measures of a model.
const WIDTHS: [f32; 5] = [40.0, 30.0, 30.0, 36.0, 42.0];
/// What they take together, and the space before.
const MODEL: f32 = 178.0 + 12.0;

/// The models that there is room for, each with where it begins.
struct Columns {
    models: Vec<(usize, f32)>,
    name: f32,
}

impl Columns {
    /// All models where they fit, else the two that are compared, else the second of them.
    fn over(width: f32, cases: &Cases, [first, second]: [usize; 2]) -> Self {
        let fits = |n: usize| NAME + n as f32 * MODEL <= width;
        let all = 0..cases.models.len();
        let shown: Vec<usize> = if fits(all.len()) {
            all.collect()
        } else if fits(2) && first != second {
            vec![first.min(second), first.max(second)]
        } else {
            vec![second]
        };
        // Names are given what is left.
        let name = (width - shown.len() as f32 * MODEL).clamp(NAME, 320.0);
        let place = |(place, model): (usize, usize)| (model, name + place as f32 * MODEL + 12.0);
        Self {
            models: shown.into_iter().enumerate().map(place).collect(),
            name,
        }
    }
}

fn row_ui(ui: &mut Ui, cx: &mut Context<'_>, shown: &mut Shown, case: &Case, columns: &Columns) {
    let t = Tokens::of(ui);
    let project = cx.project;
    let Some(image) = project.image(case.image) else {
        return;
    };
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    let id = ui.scope_id().with(("row", case.image));
    let response = ui.interact(rect, id, Sense::click());
    let selected = shown.picked == Some(case.image);
    let spoken = || {
        let mut text = format!("{}, {}", image.name(), shown.cases.class_name(case.label));
        for (model, of) in shown.cases.models.iter().enumerate() {
            let Some(seen) = case.seen(model) else {
                continue;
            };
            text.push_str(&format!(", {}:", of.name));
            for measure in Measure::ALL {
                text.push_str(&match measure {
                    Measure::Hit | Measure::Right => format!(" {}", measure.text(case, seen)),
                    _ => format!(" {} {}", measure.head(), measure.text(case, seen)),
                });
            }
        }
        text
    };
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, spoken()));
    let painter = ui.painter().clone();
    if selected || response.hovered() {
        let fill = if selected { t.accent_soft } else { t.hover };
        painter.rect_filled(rect, f32::from(radius::CONTROL), fill);
    }
    let thumbnail = Rect::from_min_size(rect.left_top() + vec2(4.0, 4.0), vec2(28.0, 28.0));
    let picture = cx.thumbnail(image);
    picture_ui(ui, thumbnail, &picture);
    let y = rect.center().y;
    let color = shown
        .cases
        .classes
        .get(case.label)
        .map_or(0, |class| class.color);
    class_dot(&painter, t, pos2(rect.left() + 46.0, y), color);
    let left = rect.left() + NAME_AT;
    let width = rect.left() + columns.name - left;
    let font = FontId::proportional(12.0);
    let galley = elided(ui.painter(), image.name(), font, t.text_strong, width);
    painter.galley(pos2(left, y - galley.size().y / 2.0), galley, t.text_strong);
    for (model, left) in &columns.models {
        let Some(seen) = case.seen(*model) else {
            continue;
        };
        let mut x = rect.left() + left;
        for (measure, width) in Measure::ALL.into_iter().zip(WIDTHS) {
            x += width;
            let ink = match (measure, measure.value(case, seen)) {
                (Measure::Right, Some(0.0)) => t.text_strong,
                (Measure::Hit | Measure::Right, _) => t.text_weak,
                _ => t.text,
            };
            let text = measure.text(case, seen);
            let font = FontId::proportional(12.0);
            painter.text(pos2(x, y), Align2::RIGHT_CENTER, text, font, ink);
        }
    }
    focus_ring(ui, &response, radius::CONTROL);
    if response.clicked() {
        shown.picked = Some(case.image);
        shown.view = View::Image;
    }
    if response.double_clicked() {
        cx.commands.send(Command::Annotate(case.image));
    }
}

/// The share in the box of the second model over that of the first, a dot an image, with the diagonal.
fn scatter_ui(ui: &mut Ui, shown: &mut Shown, side: f32) {
    const LEFT: f32 = 44.0;
    const BOTTOM: f32 = 34.0;
    /// A click finds the nearest image within so many points.
    const REACH: f32 = 12.0;
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(side + LEFT, side), Sense::hover());
    let plot = Rect::from_min_max(rect.min + vec2(LEFT, 4.0), rect.max - vec2(4.0, BOTTOM));
    let [first, second] = shown.pair;
    let at = |x: f32, y: f32| plot.lerp_inside(vec2(x, 1.0 - y));
    let points: Vec<(usize, egui::Pos2)> = shown
        .rows
        .iter()
        .filter_map(|place| {
            let case = &shown.cases.all[*place];
            Some((*place, at(case.energy(first)?, case.energy(second)?)))
        })
        .collect();
    // Every image is a row of the table as well, which Tab reaches.
    let response = ui.interact(
        plot.expand(6.0),
        ui.scope_id().with("scatter"),
        Sense::CLICK,
    );
    let name = |model: usize| {
        shown
            .cases
            .models
            .get(model)
            .map_or("", |it| it.name.as_str())
    };
    let spoken = format!(
        "Energy in the box, {} against {}: {}",
        name(second),
        name(first),
        format::plural(points.len(), "image", "images")
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &spoken));
    let painter = ui.painter().clone();
    painter.rect_filled(plot, 0.0, t.bg);
    let weak = Stroke::new(1.0, t.stroke);
    for share in [0.25, 0.5, 0.75] {
        painter.vline(at(share, 0.0).x, plot.y_range(), weak);
        painter.hline(plot.x_range(), at(0.0, share).y, weak);
    }
    let edge = Stroke::new(1.0, t.stroke_strong);
    painter.rect_stroke(plot, 0.0, edge, StrokeKind::Inside);
    painter.line_segment([at(0.0, 0.0), at(1.0, 1.0)], edge);
    let font = FontId::proportional(11.0);
    for (share, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        let x = pos2(at(share, 0.0).x, plot.bottom() + 4.0);
        painter.text(x, Align2::CENTER_TOP, text, font.clone(), t.text_weak);
        let y = pos2(plot.left() - 6.0, at(0.0, share).y);
        painter.text(y, Align2::RIGHT_CENTER, text, font.clone(), t.text_weak);
    }
    let role = |model: usize| {
        shown
            .cases
            .models
            .get(model)
            .map_or(t.text, |it| t.role(it.role))
    };
    let below = pos2(plot.center().x, plot.bottom() + 18.0);
    painter.text(
        below,
        Align2::CENTER_TOP,
        name(first),
        tokens::medium(12.0),
        role(first),
    );
    let galley =
        painter.layout_no_wrap(name(second).to_owned(), tokens::medium(12.0), role(second));
    let turned = egui::epaint::TextShape::new(
        pos2(rect.left(), plot.center().y + galley.size().x / 2.0),
        galley,
        role(second),
    )
    .with_angle(-std::f32::consts::FRAC_PI_2);
    painter.add(turned);
    for (place, point) in &points {
        let case = &shown.cases.all[*place];
        let color = shown
            .cases
            .classes
            .get(case.label)
            .map_or(0, |class| class.color);
        let ink = t.class(color);
        // Full where the second model is right, a ring where it is not.
        if case.is_right(second) == Some(true) {
            painter.circle_filled(*point, 3.5, ink);
        } else {
            painter.circle(*point, 3.5, t.bg, Stroke::new(1.5, ink));
        }
        if shown.picked == Some(case.image) {
            painter.circle_stroke(*point, 7.0, Stroke::new(2.0, t.accent));
        }
    }
    let nearest = response.hover_pos().and_then(|pointer| {
        let distance = |(_, point): &&(usize, egui::Pos2)| point.distance(pointer);
        let near = points.iter().filter(|it| distance(it) <= REACH);
        near.min_by(|a, b| distance(a).total_cmp(&distance(b)))
    });
    if let Some((place, point)) = nearest {
        painter.circle_stroke(*point, 7.0, Stroke::new(1.5, t.text_strong));
        if response.clicked() {
            shown.picked = Some(shown.cases.all[*place].image);
            shown.view = View::Image;
        }
    }
}

/// What the scatter shows, in words.
fn beside_scatter_ui(ui: &mut Ui, shown: &Shown) {
    let t = Tokens::of(ui);
    let [first, second] = shown.pair;
    let energies = shown.rows.iter().filter_map(|place| {
        let case = &shown.cases.all[*place];
        Some((case.energy(first)?, case.energy(second)?))
    });
    let (mut more, mut less, mut n) = (0, 0, 0);
    for (a, b) in energies {
        n += 1;
        more += usize::from(b > a);
        less += usize::from(b < a);
    }
    let called = |model: usize| shown.cases.called(model);
    ui.set_max_width(size::TEXT_MAX.min(ui.available_width()));
    ui.spacing_mut().item_spacing.y = 4.0;
    ui.label(
        RichText::new("Energy in the box")
            .text_style(tokens::section())
            .color(t.text_strong),
    );
    let text = if n == 0 {
        "No image here has a box that both models were scored on.".to_owned()
    } else {
        format!(
            "{} looks more into the box than {} on {} of {}, less on {}.",
            called(second),
            called(first),
            format::count(more),
            format::plural(n, "image with a box", "images with a box"),
            format::count(less),
        )
    };
    ui.add(egui::Label::new(RichText::new(text).color(t.text)).wrap());
    let note = "Above the diagonal: more than before. Full: taken for its own class; ring: not. Click a dot to see its image.";
    let note = note.replace("than before", &format!("than {}", called(first)));
    let note = RichText::new(note).text_style(tokens::caption());
    ui.add(egui::Label::new(note.color(t.text_weak)).wrap());
}
