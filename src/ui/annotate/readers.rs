//! Readers who read apart: who reads now, how far two of them agree, and what becomes of it.

mod case;

use std::collections::HashSet;

use care_data::agreement::{Agreement, compare, has_read, settle};
use care_data::{BoundingBox, BoxId, Edit, Image, ImageId, Project, Reader, ReaderId, ReviewState};
use egui::{
    Align, ComboBox, Key, Layout, Modifiers, Rect, RichText, Role, ScrollArea, Sense, TextEdit, Ui,
    WidgetInfo, pos2, vec2,
};

use self::case::{Answer, side_by_side};
use crate::command::{Action, Command};
use crate::format;
use crate::ui::tokens::{self, Tokens, radius, size};
use crate::ui::widgets::{
    IconButton, WordButton, combo_caret, elided, focus_ring, name_field, segmented, sheet,
};
use crate::ui::{Context, icons};

const WIDTH: f32 = 980.0;
const PROJECT: &str = "The project";
/// Letters of a reader's name.
const MAX_NAME: usize = 16;
/// Of the table and the pictures.
const HEIGHT: f32 = 336.0;
const TABLE: f32 = 440.0;
/// From the right: whether they agree, the overlap, and the boxes of the second and the first reader.
const COLUMNS: [f32; 4] = [92.0, 56.0, 64.0, 64.0];

#[derive(Default)]
pub(super) struct ReadersSheet {
    open: bool,
    name: String,
    /// Who are compared.
    pair: Option<(ReaderId, ReaderId)>,
    table: Option<Table>,
    chosen: Option<ImageId>,
    /// The chosen row is to be scrolled to.
    reveal: bool,
    /// Of the boxes of both readers.
    picked: HashSet<BoxId>,
}

/// The images that both have read, the least agreement first.
struct Table {
    revision: u64,
    pair: (ReaderId, ReaderId),
    rows: Vec<(ImageId, Agreement)>,
    /// Images that only one of them has read.
    waiting: usize,
}

impl Table {
    fn new(project: &Project, pair: (ReaderId, ReaderId)) -> Self {
        let mut rows = compare(project, pair.0, pair.1);
        let key = |agreement: &Agreement| {
            let unmatched = agreement.only_a.len() + agreement.only_b.len();
            (unmatched == 0, agreement.mean_iou().unwrap_or(1.0))
        };
        rows.sort_by(|(_, a), (_, b)| {
            let ((whole_a, iou_a), (whole_b, iou_b)) = (key(a), key(b));
            whole_a.cmp(&whole_b).then(iou_a.total_cmp(&iou_b))
        });
        let images = project.images().iter().map(|image| image.id);
        let one = |id| has_read(project, pair.0, id) != has_read(project, pair.1, id);
        Self {
            revision: project.revision(),
            pair,
            waiting: images.filter(|&id| one(id)).count(),
            rows,
        }
    }
}

impl ReadersSheet {
    pub fn open(&mut self) {
        self.open = true;
    }

    pub fn ui(&mut self, ui: &Ui, cx: &mut Context<'_>) {
        if !self.open {
            return;
        }
        let response = sheet(ui.ctx(), "readers").show(ui.ctx(), |ui| {
            let t = Tokens::of(ui);
            ui.set_width(WIDTH.min(ui.ctx().content_rect().width() - 96.0));
            ui.spacing_mut().item_spacing.y = 4.0;
            ui.label(
                RichText::new("Readers")
                    .text_style(egui::TextStyle::Heading)
                    .color(t.text_strong),
            );
            let rest = "Readers who read apart do not see each other's boxes. Only the project's own boxes are trained on and exported.";
            ui.label(RichText::new(rest).color(t.text_weak));
            ui.add_space(8.0);
            self.who_ui(ui, cx);
            if let Some(pair) = self.pair(cx.project) {
                ui.add_space(8.0);
                let (line, _) =
                    ui.allocate_exact_size(vec2(ui.available_width(), 1.0), Sense::hover());
                ui.painter().rect_filled(line, 0.0, t.stroke);
                ui.add_space(8.0);
                self.compare_ui(ui, cx, pair);
            }
            ui.add_space(12.0);
            self.foot_ui(ui, cx)
        });
        if response.inner || response.should_close() {
            self.open = false;
        }
    }

    /// Who reads now, and a field for one more.
    fn who_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let t = Tokens::of(ui);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(12.0, 8.0);
            ui.label(RichText::new("Draw as").color(t.text));
            let readers = cx.project.readers().iter();
            let choices: Vec<_> = std::iter::once((None, PROJECT.to_owned()))
                .chain(readers.map(|reader| (Some(reader.id), reader.name.clone())))
                .collect();
            let mut reader = cx.reader;
            if segmented(ui, "Who reads now", &choices, &mut reader) {
                cx.commands.send(Command::Read(reader));
            }
            let field = TextEdit::singleline(&mut self.name)
                .hint_text("A reader's name")
                .char_limit(MAX_NAME)
                .desired_width(140.0);
            let field = ui.add(field);
            name_field(&field, "A reader's name");
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            let name = self.name.trim().to_owned();
            let mut others = cx.project.readers().iter();
            let is_new = name != PROJECT && others.all(|other| other.name != name);
            let add = WordButton::new("Add a reader")
                .enabled(is_new && !name.is_empty())
                .ui(ui)
                .clicked();
            if (add || entered) && is_new && !name.is_empty() {
                let id = cx.project.next_reader_id();
                cx.commands.edit(Edit::AddReader {
                    reader: Reader { id, name },
                });
                cx.commands.send(Command::Read(Some(id)));
                self.name.clear();
            }
        });
    }

    /// Who are compared: those chosen, else the first two.
    fn pair(&mut self, project: &Project) -> Option<(ReaderId, ReaderId)> {
        let is_there = |id| project.reader(id).is_some();
        let chosen = self.pair.filter(|(a, b)| is_there(*a) && is_there(*b));
        self.pair = chosen.or_else(|| match project.readers() {
            [a, b, ..] => Some((a.id, b.id)),
            _ => None,
        });
        self.pair
    }

    fn compare_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, pair: (ReaderId, ReaderId)) {
        let project = cx.project;
        let is_made = |table: &Table| (table.revision, table.pair) == (project.revision(), pair);
        if !self.table.as_ref().is_some_and(is_made) {
            self.table = Some(Table::new(project, pair));
        }
        let Some(table) = self.table.take() else {
            return;
        };
        self.pair_ui(ui, project, pair);
        summary_ui(ui, project, &table);
        if table.rows.is_empty() {
            self.table = Some(table);
            return;
        }
        if !table.rows.iter().any(|(id, _)| Some(*id) == self.chosen) {
            self.chosen = table.rows.first().map(|(id, _)| *id);
        }
        ui.add_space(8.0);
        let top = vec2(ui.available_width(), HEIGHT);
        ui.allocate_ui_with_layout(top, Layout::left_to_right(Align::Min), |ui| {
            ui.spacing_mut().item_spacing.x = 24.0;
            ui.allocate_ui_with_layout(vec2(TABLE, HEIGHT), Layout::top_down(Align::Min), |ui| {
                self.rows_ui(ui, project, &table)
            });
            let rest = vec2(ui.available_width(), HEIGHT);
            ui.allocate_ui_with_layout(rest, Layout::top_down(Align::Min), |ui| {
                let row = table.rows.iter().find(|(id, _)| Some(*id) == self.chosen);
                if let Some((id, agreement)) = row
                    && let Some(image) = project.image(*id)
                {
                    match side_by_side(ui, cx, image, pair, agreement, &mut self.picked) {
                        Some(Answer::Anew) => self.open = false,
                        Some(Answer::Settled) => self.next_open(project, &table, image.id),
                        None => {}
                    }
                }
            });
        });
        self.table = Some(table);
    }

    /// What can be done with the whole table. True where the sheet is to be closed.
    fn foot_ui(&self, ui: &mut Ui, cx: &mut Context<'_>) -> bool {
        let project = cx.project;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            let table = self.table.as_ref().filter(|table| !table.rows.is_empty());
            if let Some(table) = table.filter(|table| Some(table.pair) == self.pair) {
                // What somebody drew or imported is replaced one by one, if at all.
                let is_open = |id| {
                    project.review(None, id).state != ReviewState::Done
                        && project.boxes(id).is_empty()
                };
                let rows = table.rows.iter();
                let open = rows.filter(|(id, it)| is_open(*id) && it.is_enough());
                let settled: Vec<(ImageId, Vec<BoundingBox>)> = open
                    .map(|(id, it)| (*id, it.pairs.iter().map(|pair| pair.mean()).collect()))
                    .collect();
                let words = match settled.len() {
                    0 => "None left where they agree".to_owned(),
                    n => format!(
                        "Settle {} where they agree, with the mean",
                        format::count(n)
                    ),
                };
                let button = WordButton::new(&words)
                    .primary()
                    .enabled(!settled.is_empty());
                if button.ui(ui).clicked() {
                    let edit = settle(project, &settled);
                    cx.commands.extend(edit.map(Command::Edit));
                }
                let copy = WordButton::new("Copy the table").icon(icons::COPY);
                if copy.ui(ui).on_hover_text("As CSV").clicked() {
                    ui.ctx().copy_text(written(project, table));
                }
            }
            WordButton::new("Close").ui(ui).clicked()
        })
        .inner
    }

    fn pair_ui(&mut self, ui: &mut Ui, project: &Project, pair: (ReaderId, ReaderId)) {
        if project.readers().len() == 2 {
            return;
        }
        let (mut a, mut b) = pair;
        ui.horizontal(|ui| {
            for (name, one) in [("First reader", &mut a), ("Second reader", &mut b)] {
                ui.name_inputs(name, |ui| {
                    ComboBox::from_id_salt(name)
                        .selected_text(name_of(project, *one))
                        .icon(combo_caret)
                        .show_ui(ui, |ui| {
                            for reader in project.readers() {
                                ui.selectable_value(one, reader.id, &reader.name);
                            }
                        });
                });
            }
        });
        if a != b {
            self.pair = Some((a, b));
        }
    }

    fn rows_ui(&mut self, ui: &mut Ui, project: &Project, table: &Table) {
        let (a, b) = table.pair;
        let headings = ["Image", "", "IoU", name_of(project, b), name_of(project, a)];
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
        let weak = Tokens::of(ui).text_weak;
        columns_ui(
            ui,
            rect,
            headings.map(|words| (words.to_owned(), weak)),
            12.0,
        );
        let step = ui.input_mut(|i| {
            let down = i.consume_key(Modifiers::NONE, Key::ArrowDown);
            let up = i.consume_key(Modifiers::NONE, Key::ArrowUp);
            i32::from(down) - i32::from(up)
        });
        if step != 0 {
            let at = table
                .rows
                .iter()
                .position(|(id, _)| Some(*id) == self.chosen);
            let to = at.and_then(|at| at.checked_add_signed(step as isize));
            if let Some((id, _)) = to.and_then(|to| table.rows.get(to)) {
                self.choose(*id);
            }
        }
        ui.spacing_mut().item_spacing.y = 0.0;
        let mut area = ScrollArea::vertical().auto_shrink(false);
        let mut rows = table.rows.iter();
        if std::mem::take(&mut self.reveal)
            && let Some(at) = rows.position(|(id, _)| Some(*id) == self.chosen)
        {
            // In the middle of what is seen.
            let middle = (ui.available_height() - size::ROW) / 2.0;
            area = area.vertical_scroll_offset((at as f32 * size::ROW - middle).max(0.0));
        }
        area.show_rows(ui, size::ROW, table.rows.len(), |ui, range| {
            for (id, agreement) in table.rows.get(range).unwrap_or_default() {
                if let Some(image) = project.image(*id) {
                    self.row_ui(ui, project, image, agreement);
                }
            }
        });
    }

    fn row_ui(&mut self, ui: &mut Ui, project: &Project, image: &Image, agreement: &Agreement) {
        let t = Tokens::of(ui);
        let (rect, response) =
            ui.allocate_exact_size(vec2(ui.available_width(), size::ROW), Sense::click());
        let selected = self.chosen == Some(image.id);
        let is_settled = project.review(None, image.id).state == ReviewState::Done;
        let (verdict, ink) = match (is_settled, agreement.is_enough()) {
            (true, _) => ("settled", t.text_weak),
            (false, true) => ("agree", t.text),
            (false, false) => ("differ", t.warning),
        };
        let iou = agreement.mean_iou();
        let iou = iou.map_or("\u{2013}".to_owned(), |iou| format!("{iou:.2}"));
        let num_a = agreement.pairs.len() + agreement.only_a.len();
        let num_b = agreement.pairs.len() + agreement.only_b.len();
        response.widget_info(|| {
            let words = format!("{}: {verdict}, overlap {iou}", image.name());
            WidgetInfo::selected(Role::Button, true, selected, words)
        });
        let fill = match (selected, response.hovered()) {
            (true, _) => t.accent_soft,
            (false, true) => t.hover,
            (false, false) => egui::Color32::TRANSPARENT,
        };
        ui.painter()
            .rect_filled(rect, f32::from(radius::CONTROL), fill);
        let cells = [
            (image.name().to_owned(), t.text_strong),
            (verdict.to_owned(), ink),
            (iou, t.text),
            (num_b.to_string(), t.text),
            (num_a.to_string(), t.text),
        ];
        columns_ui(ui, rect, cells, 13.0);
        focus_ring(ui, &response, radius::CONTROL);
        if response.clicked() {
            self.chosen = Some(image.id);
        }
    }

    /// From the image that was just settled on to the next one that is not.
    fn next_open(&mut self, project: &Project, table: &Table, settled: ImageId) {
        let at = table.rows.iter().position(|(id, _)| *id == settled);
        let (before, after) = table.rows.split_at(at.map_or(0, |at| at + 1));
        let is_open =
            |id: &ImageId| *id != settled && project.review(None, *id).state != ReviewState::Done;
        let mut round = after.iter().chain(before).map(|(id, _)| *id);
        if let Some(next) = round.find(is_open) {
            self.choose(next);
        }
    }

    fn choose(&mut self, image: ImageId) {
        self.chosen = Some(image);
        self.reveal = true;
    }
}

/// A name at the left, and the [`COLUMNS`] from the right.
fn columns_ui(ui: &Ui, rect: Rect, cells: [(String, egui::Color32); 5], font: f32) {
    let painter = ui.painter();
    let font = egui::FontId::proportional(font);
    let [first, rest @ ..] = cells;
    let mut right = rect.right() - 8.0;
    for ((words, ink), width) in rest.into_iter().zip(COLUMNS) {
        let galley = elided(painter, &words, font.clone(), ink, width - 8.0);
        let at = pos2(
            right - galley.size().x,
            rect.center().y - galley.size().y / 2.0,
        );
        painter.galley(at, galley, ink);
        right -= width;
    }
    let left = rect.left() + 8.0;
    let galley = elided(painter, &first.0, font, first.1, right - left);
    let at = pos2(left, rect.center().y - galley.size().y / 2.0);
    painter.galley(at, galley, first.1);
}

fn name_of(project: &Project, id: ReaderId) -> &str {
    project.reader(id).map_or("", |reader| &reader.name)
}

fn summary_ui(ui: &mut Ui, project: &Project, table: &Table) {
    let t = Tokens::of(ui);
    let (a, b) = (
        name_of(project, table.pair.0),
        name_of(project, table.pair.1),
    );
    let rows = &table.rows;
    let agree = rows.iter().filter(|(_, it)| it.is_enough()).count();
    let pairs = rows.iter().flat_map(|(_, it)| &it.pairs);
    let (sum, n) = pairs.fold((0.0, 0), |(sum, n), pair| (sum + pair.iou, n + 1));
    let only = |of: fn(&Agreement) -> usize| rows.iter().map(|(_, it)| of(it)).sum::<usize>();
    let (only_a, only_b) = (only(|it| it.only_a.len()), only(|it| it.only_b.len()));
    let mut words = match rows.len() {
        0 => format!("No image has been read by both {a} and {b} yet."),
        all => format!(
            "{a} and {b} both read {}; they agree on {agree}.",
            format::plural(all, "image", "images")
        ),
    };
    if n > 0 {
        let mean = sum / f64::from(n);
        words += &format!(" Mean overlap (IoU) {mean:.2}.");
    }
    for (name, only) in [(a, only_a), (b, only_b)] {
        if only > 0 {
            words += &format!(" {} by {name} alone.", format::plural(only, "box", "boxes"));
        }
    }
    if table.waiting > 0 {
        let waiting = format::plural(table.waiting, "image waits", "images wait");
        words += &format!(" {waiting} for the other reader.");
    }
    ui.label(RichText::new(words).color(t.text_strong));
}

/// The table as CSV: image, boxes of each reader, those without a counterpart, mean overlap, whether they agree.
fn written(project: &Project, table: &Table) -> String {
    let mut text = "image,boxes_a,boxes_b,only_a,only_b,mean_iou,agree\n".to_owned();
    for (id, it) in &table.rows {
        let name = project.image(*id).map_or("", |image| image.name());
        let iou = it
            .mean_iou()
            .map_or(String::new(), |iou| format!("{iou:.4}"));
        text += &format!(
            "\"{}\",{},{},{},{},{iou},{}\n",
            name.replace('"', "\"\""),
            it.pairs.len() + it.only_a.len(),
            it.pairs.len() + it.only_b.len(),
            it.only_a.len(),
            it.only_b.len(),
            it.is_enough()
        );
    }
    text
}

/// Who reads apart just now, and the way to the sheet.
pub(super) fn reader_ui(ui: &mut Ui, cx: &Context<'_>, sheet: &mut ReadersSheet) {
    let button = IconButton::new(icons::USERS, Action::Readers.spec().text)
        .tooltip(&Action::Readers.tooltip(ui.ctx()))
        .selected(cx.reader.is_some())
        .ui(ui);
    if button.clicked() {
        sheet.open();
    }
    if let Some(reader) = cx.reader.and_then(|id| cx.project.reader(id)) {
        let t = Tokens::of(ui);
        let words = format!("{} reads apart", reader.name);
        ui.label(
            RichText::new(words)
                .text_style(tokens::caption())
                .color(t.accent),
        );
    }
}
