//! The queue's panel: what stands in it, and how far it has come.

use std::ops::Range;

use care_data::{Edit, Image, Part, ReviewState};
use egui::style::ScrollAnimation;
use egui::{
    Align, Color32, ComboBox, Frame, Layout, Margin, Painter, Panel, Rect, RichText, Role,
    ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2,
};

use super::tokens::{self, Tokens, radius};
use super::widgets::{
    IconButton, WordButton, box_on_screen, box_outline, class_dot, combo_caret, filling_uv,
    focus_ring, name_field, progress_bar, segmented_across,
};
use super::{Context, icons};
use crate::attention::MAX_SORTED;
use crate::command::{Action, Command, Room};
use crate::format;
use crate::queue::{Classes, Filter, Member, Queue, QueueView, Sort};
use crate::textures::Picture;

const PADDING: f32 = 16.0;
const GAP: f32 = 8.0;
/// How much of a thumbnail shows that needs nothing more.
const DONE_OPACITY: f32 = 0.62;

#[derive(Default)]
pub struct QueuePanel {
    show_filters: bool,
}

impl QueuePanel {
    pub fn toggle_filters(&mut self) {
        self.show_filters = !self.show_filters;
    }

    /// The left panel.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, queue: &mut Queue) {
        let narrow = ui.ctx().content_rect().width() < 1280.0;
        let columns = if narrow { 2 } else { 3 };
        let fill = Tokens::of(ui).panel;
        Panel::left("queue")
            .exact_size(if narrow { 206.0 } else { 270.0 })
            .resizable(false)
            .frame(Frame::new().fill(fill))
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                if !queue.is_empty() {
                    Panel::bottom("queue foot")
                        .exact_size(60.0)
                        .resizable(false)
                        .frame(Frame::new().inner_margin(Margin::symmetric(16, 12)))
                        .show(ui, |ui| foot_ui(ui, queue));
                }
                Frame::new()
                    .inner_margin(Margin {
                        left: 16,
                        right: 16,
                        top: 12,
                        bottom: 8,
                    })
                    .show(ui, |ui| {
                        let mut view = cx.queue.clone();
                        self.head_ui(ui, cx, queue, &mut view);
                        if view != *cx.queue {
                            cx.commands.send(Command::SetQueue(view));
                        }
                    });
                if queue.list().is_empty() {
                    empty_ui(ui, cx, queue);
                } else {
                    grid_ui(ui, cx, queue, columns);
                }
            });
    }

    fn head_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, queue: &Queue, view: &mut QueueView) {
        ui.allocate_ui_with_layout(
            vec2(ui.available_width(), 28.0),
            Layout::right_to_left(Align::Center),
            |ui| {
                let tooltip = match view.is_usual() {
                    true => "Choose which images stand here, and in which order",
                    false => "Other images than those that are asked for boxes stand here",
                };
                let tooltip = match Action::Filters.shortcut(ui.ctx()) {
                    Some(key) => format!("{tooltip} ({})", ui.ctx().format_shortcut(&key)),
                    None => tooltip.to_owned(),
                };
                let filters = IconButton::new(icons::FUNNEL, Action::Filters.spec().text)
                    .tooltip(&tooltip)
                    .selected(self.show_filters || !view.is_usual())
                    .ui(ui);
                if filters.clicked() {
                    self.toggle_filters();
                }
                title_ui(ui, cx, view);
            },
        );
        if self.show_filters {
            ui.add_space(4.0);
            filters_ui(ui, cx, queue.members(), view);
        }
        if !queue.is_empty() {
            ui.add_space(8.0);
            let (counts, all) = (queue.counts(), queue.members().len());
            let (to_do, second) = (counts.to_do, counts.second_look);
            let mut choices = vec![
                (Filter::ToDo, "To do", to_do),
                (Filter::Done, "Done", all - to_do - second),
                (Filter::All, "All", all),
            ];
            // In the narrow panel there is room for three numbers.
            let narrow = ui.available_width() < 200.0;
            let with_second = second > 0 || view.filter == Filter::SecondLook;
            if with_second {
                let words = if narrow { "2nd" } else { "2nd look" };
                choices.insert(2, (Filter::SecondLook, words, second));
            }
            let choices: Vec<_> = choices
                .into_iter()
                .map(|(filter, word, n)| {
                    let bare =
                        narrow && with_second && matches!(filter, Filter::Done | Filter::All);
                    let words = match bare {
                        true => word.to_owned(),
                        false => format!("{word} {}", format::count(n)),
                    };
                    (filter, words)
                })
                .collect();
            segmented_across(ui, "Part of the queue", &choices, &mut view.filter);
        }
    }
}

/// Which classes stand here.
fn title_ui(ui: &mut Ui, cx: &Context<'_>, view: &QueueView) {
    let t = Tokens::of(ui);
    let mut rare = cx.project.classes().iter().filter(|class| class.rare);
    let (class, words, remark) = match (view.classes, rare.next(), rare.next()) {
        (Classes::All, ..) => (None, "All classes", ""),
        (Classes::One(id), ..) => (cx.project.class(id), "", ""),
        (Classes::Rare, None, _) => (None, "Queue", ""),
        (Classes::Rare, Some(one), None) => (Some(one), "", "rare"),
        (Classes::Rare, ..) => (None, "Rare classes", ""),
    };
    ui.spacing_mut().item_spacing.x = 6.0;
    if !remark.is_empty() {
        ui.label(weak(remark, t));
    }
    if let Some(class) = class {
        let (dot, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
        class_dot(ui.painter(), t, dot.center(), class.color);
    }
    let words = class.map_or(words, |class| &class.name);
    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
        ui.add(egui::Label::new(strong(words, t)).truncate());
    });
}

fn filters_ui(ui: &mut Ui, cx: &mut Context<'_>, members: &[Member], view: &mut QueueView) {
    let class_name = |classes: Classes| match classes {
        Classes::Rare => "Rare classes",
        Classes::All => "All classes",
        Classes::One(id) => cx.project.class(id).map_or("", |class| &class.name),
    };
    let classes = cx.project.classes().iter().map(|class| class.id);
    let classes: Vec<_> = [Classes::Rare, Classes::All]
        .into_iter()
        .chain(classes.map(Classes::One))
        .collect();
    choice_row(ui, "Class", &classes, class_name, &mut view.classes);
    let part_name = |part: Option<Part>| match part {
        None => "All parts",
        Some(Part::Train) => "Training",
        Some(Part::Validation) => "Validation",
        Some(Part::Test) => "Test",
    };
    let parts: Vec<_> = Part::ALL.into_iter().map(Some).chain([None]).collect();
    choice_row(ui, "Part", &parts, part_name, &mut view.part);
    let boxed_name = |boxed: Option<bool>| match boxed {
        None => "With and without",
        Some(true) => "With a box",
        Some(false) => "Without",
    };
    let boxed = [None, Some(false), Some(true)];
    choice_row(ui, "Boxes", &boxed, boxed_name, &mut view.boxed);
    choice_row(ui, "Order", &Sort::ALL, Sort::name, &mut view.sort);
    if view.sort.needs_model() {
        let sorted = members.iter().take(MAX_SORTED);
        let unseen = sorted.filter(|m| cx.attention.seen(m.id).is_none());
        let words = match (cx.attention.model(), unseen.count()) {
            _ if cx.is_training => "After this run.".to_owned(),
            (None, _) => "No model yet: train first.".to_owned(),
            (_, 0) => String::new(),
            (_, n) => format!("The model has {} to look at.", format::count(n)),
        };
        if !words.is_empty() {
            ui.label(weak(words, Tokens::of(ui)));
        }
    }
    field_row(ui, "Text", |ui| {
        let field = egui::TextEdit::singleline(&mut view.text)
            .hint_text("file, group or note")
            .desired_width(f32::INFINITY);
        name_field(&ui.add(field), "Text to find");
    });
    let open: Vec<_> = members.iter().filter(|m| m.is_open()).collect();
    let width = ui.available_width();
    if !open.is_empty() {
        ui.add_space(4.0);
        let words = format!("Confirm {} boxed", format::count(open.len()));
        let confirm = WordButton::new(&words).width(width).ui(ui);
        let tooltip =
            "Mark every image of this queue that has a box as done, whichever part is shown";
        if confirm.on_hover_text(tooltip).clicked() {
            let done = open.iter().map(|member| Edit::SetReview {
                image: member.id,
                reader: cx.reader,
                state: ReviewState::Done,
            });
            let edit = Edit::several(done.collect());
            cx.commands.extend(edit.map(Command::Edit));
        }
    }
    if *view != QueueView::default() {
        ui.add_space(4.0);
        let usual = WordButton::new("Back to what needs a box").width(width);
        if usual.ui(ui).clicked() {
            *view = QueueView::default();
        }
    }
}

fn field_row(ui: &mut Ui, name: &str, field: impl FnOnce(&mut Ui)) {
    const LABEL: f32 = 48.0;
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), 32.0),
        Layout::left_to_right(Align::Center),
        |ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(LABEL, 32.0), Sense::hover());
            ui.painter().text(
                rect.left_center(),
                egui::Align2::LEFT_CENTER,
                name,
                tokens::caption().resolve(ui.style()),
                Tokens::of(ui).text_weak,
            );
            field(ui);
        },
    );
}

fn choice_row<'a, T: Copy + PartialEq>(
    ui: &mut Ui,
    name: &str,
    choices: &[T],
    word: impl Fn(T) -> &'a str,
    current: &mut T,
) {
    field_row(ui, name, |ui| {
        ui.name_inputs(name, |ui| {
            ComboBox::from_id_salt(("queue", name))
                .selected_text(word(*current))
                .width(ui.available_width())
                .truncate()
                .icon(combo_caret)
                .show_ui(ui, |ui| {
                    for &choice in choices {
                        ui.selectable_value(current, choice, word(choice));
                    }
                });
        });
    });
}

fn foot_ui(ui: &mut Ui, queue: &Queue) {
    let t = Tokens::of(ui);
    let all = queue.members().len();
    let done = all - queue.counts().to_do - queue.counts().second_look;
    ui.spacing_mut().interact_size.y = 20.0;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        let counted = format!("{} of {}", format::count(done), format::count(all));
        ui.label(
            RichText::new(counted)
                .font(tokens::medium(13.0))
                .color(t.text_strong),
        );
        ui.label(match queue.counts().open {
            0 => "done",
            _ => "boxed or done",
        });
        if let Some(left) = queue.time_left() {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(weak(left, t));
            });
        }
    });
    ui.add_space(8.0);
    progress_bar(ui, "Done", done as f32 / all.max(1) as f32);
}

fn empty_ui(ui: &mut Ui, cx: &mut Context<'_>, queue: &Queue) {
    let t = Tokens::of(ui);
    let any_rare = cx.project.classes().iter().any(|class| class.rare);
    let view = cx.queue;
    let (title, text) = match view.filter {
        _ if !any_rare && view.classes == Classes::Rare => (
            "No class is rare yet",
            "Mark the class that needs boxes with its star. Its training images come here.",
        ),
        _ if queue.is_empty() && !view.is_usual() => {
            ("No such image", "No image is as the filters ask.")
        }
        _ if queue.is_empty() => (
            "Nothing to box",
            "No image of a rare class stands in the training part.",
        ),
        Filter::Done => ("None is done yet", "Draw a box, or press Enter for none."),
        Filter::SecondLook => (
            "None needs a second look",
            "Mark one where you are not sure.",
        ),
        Filter::ToDo | Filter::All if queue.counts().second_look > 0 => {
            ("Nothing to do", "What is left needs a second look.")
        }
        Filter::ToDo | Filter::All => (
            "All are done",
            "Every image here has its box or needs none.",
        ),
    };
    Frame::new()
        .inner_margin(Margin::symmetric(16, 8))
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 4.0;
            ui.label(
                RichText::new(title)
                    .font(tokens::medium(13.0))
                    .color(t.text_strong),
            );
            ui.add(egui::Label::new(RichText::new(text).color(t.text_weak)).wrap());
            if !any_rare && view.classes == Classes::Rare {
                ui.add_space(8.0);
                if WordButton::new("Go to Images").ui(ui).clicked() {
                    cx.commands.send(Command::Go(Room::Images));
                }
            }
        });
}

fn grid_ui(ui: &mut Ui, cx: &mut Context<'_>, queue: &mut Queue, columns: usize) {
    let inner = ui.available_width() - 2.0 * PADDING;
    let cell = (inner + GAP) / columns as f32 - GAP;
    let pitch = cell + GAP;
    let rows = queue.list().len().div_ceil(columns);
    let rect = |origin: egui::Pos2, place: usize| {
        let (row, column) = (place / columns, place % columns);
        let at = vec2(PADDING + column as f32 * pitch, 4.0 + row as f32 * pitch);
        Rect::from_min_size(origin + at, vec2(cell, cell))
    };
    ScrollArea::vertical()
        .auto_shrink(false)
        .show_viewport(ui, |ui, viewport| {
            let origin = ui.min_rect().min;
            ui.set_height(rows as f32 * pitch + 4.0);
            if let Some(place) = queue.take_reveal() {
                let rect = rect(origin, place).expand(GAP);
                ui.scroll_to_rect_animation(rect, None, ScrollAnimation::none());
            }
            for place in visible(viewport.y_range(), pitch, columns, queue.list().len()) {
                if let Some(member) = queue.list().get(place)
                    && let Some(image) = cx.project.image(member.id)
                {
                    cell_ui(ui, cx, rect(origin, place), image, *member);
                }
            }
        });
}

/// The places that are seen, of `n` in rows of `columns`.
fn visible(y: egui::Rangef, pitch: f32, columns: usize, n: usize) -> Range<usize> {
    let row = |y: f32| (y / pitch).floor().max(0.0) as usize;
    let end = ((row(y.max) + 1) * columns).min(n);
    (row(y.min) * columns).min(end)..end
}

fn cell_ui(ui: &Ui, cx: &mut Context<'_>, cell: Rect, image: &Image, member: Member) {
    let t = Tokens::of(ui);
    let current = cx.selected == Some(image.id);
    let response = ui.interact(
        cell,
        ui.scope_id().with(("in queue", image.id)),
        Sense::click(),
    );
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, current, image.name()));
    if response.clicked() {
        cx.commands.send(Command::Select(image.id));
    }
    let mut painter = ui.painter().clone();
    if !member.to_do && !member.second_look && !current {
        painter.set_opacity(DONE_OPACITY);
    }
    let corner = f32::from(radius::IMAGE);
    painter.rect_filled(cell, corner, t.raised);
    match cx.thumbnail(image) {
        Picture::Ready(texture) => {
            let size = texture.size_vec2();
            let picture = egui::epaint::RectShape::filled(cell, corner, Color32::WHITE)
                .with_texture(texture.id(), filling_uv(cell.size(), size));
            painter.add(picture);
            let scale = (cell.width() / size.x).max(cell.height() / size.y);
            let whole = Rect::from_center_size(cell.center(), size * scale);
            boxes_ui(&painter.with_clip_rect(cell), cx, image, whole);
        }
        Picture::Loading => {}
        Picture::Failed(_) => {
            painter.text(
                cell.center(),
                egui::Align2::CENTER_CENTER,
                icons::WARNING,
                tokens::icon(20.0),
                t.warning,
            );
        }
    }
    if !member.to_do {
        let mark = cell.right_bottom() - vec2(13.0, 13.0);
        let glyph = match member {
            Member {
                second_look: true, ..
            } => icons::QUESTION,
            member if member.is_open() => icons::BOUNDING_BOX,
            _ => icons::CHECK,
        };
        painter.circle_filled(mark, 8.5, tokens::OVERLAY_EDGE);
        painter.text(
            mark,
            egui::Align2::CENTER_CENTER,
            glyph,
            tokens::icon(12.0),
            tokens::OVERLAY_LINE,
        );
    }
    if current {
        ui.painter().rect_stroke(
            cell.expand(2.0),
            corner + 2.0,
            Stroke::new(2.0, t.accent),
            StrokeKind::Outside,
        );
    }
    focus_ring(ui, &response, radius::IMAGE);
    response.on_hover_ui(|ui| {
        let state = match member {
            Member {
                second_look: true, ..
            } => "needs a second look",
            Member { to_do: true, .. } => "needs a box",
            member if member.is_open() => "has a box, to be confirmed",
            Member { boxed: true, .. } => "done, has a box",
            _ => "done without a box",
        };
        ui.label(format!("{}: {state}", image.name()));
    });
}

fn boxes_ui(painter: &Painter, cx: &Context<'_>, image: &Image, whole: Rect) {
    for annotation in cx.boxes(image.id) {
        let rect = box_on_screen(annotation.rect, image.size, whole);
        box_outline(painter, rect, false);
    }
}

fn strong(text: impl Into<String>, t: &Tokens) -> RichText {
    RichText::new(text)
        .text_style(tokens::section())
        .color(t.text_strong)
}

fn weak(text: impl Into<String>, t: &Tokens) -> RichText {
    RichText::new(text)
        .text_style(tokens::caption())
        .color(t.text_weak)
}
