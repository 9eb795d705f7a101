//! The queue of room 2: the rare classes' training images, those that need a box first.

use std::ops::Range;

use care_data::{ClassId, Image, ImageId, Project};
use egui::style::ScrollAnimation;
use egui::{
    Align, Color32, ComboBox, Frame, Layout, Margin, Painter, Panel, Rect, RichText, Role,
    ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2,
};

use super::tokens::{self, Tokens, radius};
use super::widgets::{
    WordButton, box_on_screen, box_outline, class_dot, combo_caret, filling_uv, focus_ring,
    progress_bar, segmented_across,
};
use super::{Context, icons};
use crate::command::{Command, Room};
use crate::format;
use crate::state::{is_to_do, wants_box};
use crate::textures::Picture;

const PADDING: f32 = 16.0;
const GAP: f32 = 8.0;
/// How much of a thumbnail shows that needs nothing more.
const DONE_OPACITY: f32 = 0.62;

/// Which part of the queue is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Filter {
    ToDo,
    Done,
    /// To do first, done below.
    #[default]
    All,
}

/// An image of the queue.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Member {
    id: ImageId,
    to_do: bool,
    boxed: bool,
}

/// What the list below was made of; made anew where any of it has changed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Made {
    revision: u64,
    class: Option<ClassId>,
    filter: Filter,
    current: Option<ImageId>,
}

#[derive(Default)]
pub struct Queue {
    /// One rare class, or all of them.
    class: Option<ClassId>,
    filter: Filter,
    made: Option<Made>,
    /// Ascending by id.
    members: Vec<Member>,
    /// What is shown, in order.
    list: Vec<Member>,
    /// The image in hand and whether it was to do when it was taken up: it keeps its place while it is worked on.
    held: Option<(ImageId, bool)>,
    /// The place in `list` of the image in hand, or where it was last.
    place: usize,
    reveal: bool,
    pace: Pace,
}

impl Queue {
    /// Brings the list up to date. Once a frame; costs nothing where nothing has changed.
    pub fn update(&mut self, project: &Project, current: Option<ImageId>, now: f64) {
        let is_rare = |id| project.class(id).is_some_and(|class| class.rare);
        self.class = self.class.filter(|&id| is_rare(id));
        let made = Made {
            revision: project.revision(),
            class: self.class,
            filter: self.filter,
            current,
        };
        if self.made == Some(made) {
            return;
        }
        let before = self.made.replace(made);
        let same_members =
            before.is_some_and(|b| (b.revision, b.class) == (made.revision, made.class));
        if !same_members {
            let to_do = self.num_to_do();
            self.members = members(project, self.class);
            if before.is_some_and(|b| b.class == made.class) {
                self.pace.note(to_do, self.num_to_do(), now);
            } else {
                self.pace = Pace::default();
            }
        }
        if self.held.map(|(id, _)| id) != current {
            self.held = current.map(|id| (id, self.member(id).is_some_and(|m| m.to_do)));
            self.reveal = true;
        }
        if before.is_none_or(|b| (b.filter, b.class) != (made.filter, made.class)) {
            self.reveal = true;
        }
        self.list = listed(&self.members, self.filter, self.held);
        self.place = self
            .list
            .iter()
            .position(|m| Some(m.id) == current)
            .unwrap_or(self.place.min(self.list.len()));
    }

    fn member(&self, id: ImageId) -> Option<&Member> {
        let at = self.members.binary_search_by_key(&id, |m| m.id).ok()?;
        self.members.get(at)
    }

    /// Images that still need a box.
    #[must_use]
    pub fn num_to_do(&self) -> usize {
        self.members.iter().filter(|m| m.to_do).count()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The image to begin with.
    #[must_use]
    pub fn first(&self) -> Option<ImageId> {
        let first = self.members.iter().find(|m| m.to_do);
        first.or(self.members.first()).map(|m| m.id)
    }

    /// The image before the one in hand.
    #[must_use]
    pub fn previous(&self) -> Option<ImageId> {
        let at = self.place.checked_sub(1)?;
        self.list.get(at).map(|m| m.id)
    }

    /// The image after the one in hand. Where that one has left the list, the one that took its place.
    #[must_use]
    pub fn next(&self) -> Option<ImageId> {
        let current = self.held.map(|(id, _)| id);
        let here = self.list.get(self.place)?;
        if Some(here.id) == current {
            self.list.get(self.place + 1).map(|m| m.id)
        } else {
            Some(here.id)
        }
    }

    /// The next image that needs a box, from the one in hand on and round; none where that was the last.
    #[must_use]
    pub fn next_to_do(&self) -> Option<ImageId> {
        let current = self.held.map(|(id, _)| id);
        let mut to_do = self.members.iter().filter(|m| m.to_do).map(|m| m.id);
        let first = to_do.clone().find(|&id| Some(id) != current);
        to_do.find(|&id| Some(id) > current).or(first)
    }

    /// The left panel.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let narrow = ui.ctx().content_rect().width() < 1280.0;
        let columns = if narrow { 2 } else { 3 };
        let fill = Tokens::of(ui).panel;
        Panel::left("queue")
            .exact_size(if narrow { 206.0 } else { 270.0 })
            .resizable(false)
            .frame(Frame::new().fill(fill))
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                if !self.is_empty() {
                    Panel::bottom("queue foot")
                        .exact_size(60.0)
                        .resizable(false)
                        .frame(Frame::new().inner_margin(Margin::symmetric(16, 12)))
                        .show(ui, |ui| self.foot_ui(ui));
                }
                Frame::new()
                    .inner_margin(Margin {
                        left: 16,
                        right: 16,
                        top: 12,
                        bottom: 8,
                    })
                    .show(ui, |ui| self.head_ui(ui, cx));
                if self.list.is_empty() {
                    self.empty_ui(ui, cx);
                } else {
                    self.grid_ui(ui, cx, columns);
                }
            });
    }

    fn head_ui(&mut self, ui: &mut Ui, cx: &Context<'_>) {
        let t = Tokens::of(ui);
        let rare: Vec<_> = cx.project.classes().iter().filter(|c| c.rare).collect();
        ui.allocate_ui_with_layout(
            vec2(ui.available_width(), 24.0),
            Layout::left_to_right(Align::Center),
            |ui| match rare.as_slice() {
                [] => {
                    ui.label(strong("Queue", t));
                }
                [class] => {
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        ui.spacing_mut().item_spacing.x = 6.0;
                        ui.label(weak("rare", t));
                        let (dot, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
                        class_dot(ui.painter(), t, dot.center(), class.color);
                        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                            ui.add(egui::Label::new(strong(&class.name, t)).truncate());
                        });
                    });
                }
                classes => {
                    let name = |id: Option<ClassId>| {
                        id.and_then(|id| cx.project.class(id))
                            .map_or("All rare classes", |class| &class.name)
                    };
                    ui.name_inputs("Rare class", |ui| {
                        ComboBox::from_id_salt("rare class")
                            .selected_text(name(self.class))
                            .width(ui.available_width())
                            .truncate()
                            .icon(combo_caret)
                            .show_ui(ui, |ui| {
                                let ids = classes.iter().map(|class| Some(class.id));
                                for id in std::iter::once(None).chain(ids) {
                                    ui.selectable_value(&mut self.class, id, name(id));
                                }
                            });
                    });
                }
            },
        );
        if !self.is_empty() {
            ui.add_space(8.0);
            let to_do = self.num_to_do();
            let choices = [
                (Filter::ToDo, "To do", to_do),
                (Filter::Done, "Done", self.members.len() - to_do),
                (Filter::All, "All", self.members.len()),
            ]
            .map(|(filter, word, n)| (filter, format!("{word} {}", format::count(n))));
            segmented_across(ui, "Part of the queue", &choices, &mut self.filter);
        }
    }

    fn foot_ui(&self, ui: &mut Ui) {
        let t = Tokens::of(ui);
        let (boxed, all) = (
            self.members.iter().filter(|m| m.boxed).count(),
            self.members.len(),
        );
        ui.spacing_mut().interact_size.y = 20.0;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            let counted = format!("{} of {}", format::count(boxed), format::count(all));
            ui.label(
                RichText::new(counted)
                    .font(tokens::medium(13.0))
                    .color(t.text_strong),
            );
            ui.label("boxed");
            if let Some(left) = self.pace.left(self.num_to_do()) {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    ui.label(weak(left, t));
                });
            }
        });
        ui.add_space(8.0);
        progress_bar(ui, "Boxed", boxed as f32 / all.max(1) as f32);
    }

    fn empty_ui(&self, ui: &mut Ui, cx: &mut Context<'_>) {
        let t = Tokens::of(ui);
        let any_rare = cx.project.classes().iter().any(|class| class.rare);
        let (title, text) = match self.filter {
            _ if !any_rare => (
                "No class is rare yet",
                "Mark the class that needs boxes with its star. Its training images come here.",
            ),
            _ if self.is_empty() => (
                "Nothing to box",
                "No image of a rare class stands in the training part.",
            ),
            Filter::Done => ("None is done yet", "Draw a box, or press Enter for none."),
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
                if !any_rare {
                    ui.add_space(8.0);
                    if WordButton::new("Go to Images").ui(ui).clicked() {
                        cx.commands.send(Command::Go(Room::Images));
                    }
                }
            });
    }

    fn grid_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, columns: usize) {
        let inner = ui.available_width() - 2.0 * PADDING;
        let cell = (inner + GAP) / columns as f32 - GAP;
        let pitch = cell + GAP;
        let rows = self.list.len().div_ceil(columns);
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
                if std::mem::take(&mut self.reveal) && self.place < self.list.len() {
                    let rect = rect(origin, self.place).expand(GAP);
                    ui.scroll_to_rect_animation(rect, None, ScrollAnimation::none());
                }
                for place in visible(viewport.y_range(), pitch, columns, self.list.len()) {
                    if let Some(member) = self.list.get(place)
                        && let Some(image) = cx.project.image(member.id)
                    {
                        cell_ui(ui, cx, rect(origin, place), image, *member);
                    }
                }
            });
    }
}

/// The places that are seen, of `n` in rows of `columns`.
fn visible(y: egui::Rangef, pitch: f32, columns: usize, n: usize) -> Range<usize> {
    let row = |y: f32| (y / pitch).floor().max(0.0) as usize;
    let end = ((row(y.max) + 1) * columns).min(n);
    (row(y.min) * columns).min(end)..end
}

fn members(project: &Project, class: Option<ClassId>) -> Vec<Member> {
    project
        .images()
        .iter()
        .filter(|image| class.is_none_or(|class| image.class == class))
        .filter(|image| wants_box(project, image))
        .map(|image| Member {
            id: image.id,
            to_do: is_to_do(project, image),
            boxed: !project.boxes(image.id).is_empty(),
        })
        .collect()
}

/// What of the queue is shown, in order. The image in hand stands where it stood when it was taken up.
fn listed(members: &[Member], filter: Filter, held: Option<(ImageId, bool)>) -> Vec<Member> {
    let among_to_do = |m: &Member| match held {
        Some((id, was_to_do)) if id == m.id => was_to_do,
        _ => m.to_do,
    };
    let (mut to_do, done): (Vec<_>, Vec<_>) = members.iter().partition(|m| among_to_do(m));
    match filter {
        Filter::ToDo => to_do,
        Filter::Done => done,
        Filter::All => {
            to_do.extend(done);
            to_do
        }
    }
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
    if !member.to_do && !current {
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
            boxes_ui(&painter.with_clip_rect(cell), cx.project, image, whole);
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
        let tick = cell.right_bottom() - vec2(13.0, 13.0);
        painter.circle_filled(tick, 8.5, tokens::OVERLAY_EDGE);
        painter.text(
            tick,
            egui::Align2::CENTER_CENTER,
            icons::CHECK,
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
            Member { to_do: true, .. } => "needs a box",
            Member { boxed: true, .. } => "has a box",
            _ => "done without a box",
        };
        ui.label(format!("{}: {state}", image.name()));
    });
}

fn boxes_ui(painter: &Painter, project: &Project, image: &Image, whole: Rect) {
    for annotation in project.boxes(image.id) {
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

/// How fast the images are done, for the time left.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    last: Option<f64>,
    seconds: f64,
    images: u32,
}

impl Pace {
    /// A longer time than this between two images was a break.
    const BREAK: f64 = 120.0;
    /// Fewer images say nothing.
    const ENOUGH: u32 = 3;

    /// `after` images are to do where `before` were; `now` in seconds.
    fn note(&mut self, before: usize, after: usize, now: f64) {
        if after + 1 != before {
            return;
        }
        if let Some(last) = self.last.replace(now)
            && now - last < Self::BREAK
        {
            self.seconds += now - last;
            self.images += 1;
        }
    }

    fn left(&self, to_do: usize) -> Option<String> {
        if self.images < Self::ENOUGH || to_do == 0 {
            return None;
        }
        let minutes = self.seconds / f64::from(self.images) * to_do as f64 / 60.0;
        Some(format!("about {:.0} min left", minutes.ceil()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member((id, to_do): (i64, bool)) -> Member {
        Member {
            id: ImageId(id),
            to_do,
            boxed: !to_do,
        }
    }

    fn queue(members: &[(i64, bool)], filter: Filter, held: Option<(i64, bool)>) -> Queue {
        let members: Vec<_> = members.iter().copied().map(member).collect();
        let held = held.map(|(id, to_do)| (ImageId(id), to_do));
        let list = listed(&members, filter, held);
        let place = list
            .iter()
            .position(|m| held.is_some_and(|(id, _)| id == m.id))
            .unwrap_or(0);
        Queue {
            filter,
            members,
            list,
            held,
            place,
            ..Queue::default()
        }
    }

    const FIVE: [(i64, bool); 5] = [(1, false), (2, true), (3, false), (4, true), (5, true)];

    #[test]
    fn what_needs_a_box_comes_first() {
        for (filter, held, expected) in [
            (Filter::All, None, vec![2, 4, 5, 1, 3]),
            (Filter::ToDo, None, vec![2, 4, 5]),
            (Filter::Done, None, vec![1, 3]),
            // Image 3 was just given its box and image 4 lost its own: both stay while they are in hand.
            (Filter::All, Some((3, true)), vec![2, 3, 4, 5, 1]),
            (Filter::ToDo, Some((3, true)), vec![2, 3, 4, 5]),
            (Filter::Done, Some((4, false)), vec![1, 3, 4]),
        ] {
            let ids: Vec<_> = queue(&FIVE, filter, held)
                .list
                .iter()
                .map(|m| m.id.0)
                .collect();
            assert_eq!(ids, expected, "{filter:?} with {held:?} in hand");
        }
    }

    #[test]
    fn neighbours() {
        for (held, previous, next, next_to_do) in [
            (Some((2, true)), None, Some(4), Some(4)),
            (Some((5, true)), Some(4), Some(1), Some(2)),
            (Some((3, false)), Some(1), None, Some(4)),
            // An image from elsewhere: the arrows lead into the queue.
            (Some((9, false)), None, Some(2), Some(2)),
            (None, None, Some(2), Some(2)),
        ] {
            let queue = queue(&FIVE, Filter::All, held);
            let id = |n: i64| ImageId(n);
            assert_eq!(queue.previous(), previous.map(id), "before {held:?}");
            assert_eq!(queue.next(), next.map(id), "after {held:?}");
            assert_eq!(
                queue.next_to_do(),
                next_to_do.map(id),
                "to do after {held:?}"
            );
        }
        assert_eq!(queue(&[(1, false)], Filter::All, None).next_to_do(), None);
        let last = queue(&[(1, false), (2, true)], Filter::All, Some((2, true)));
        assert_eq!(last.next_to_do(), None, "the one in hand was the last");
    }

    #[test]
    fn time_left() {
        let mut pace = Pace::default();
        for (before, after, now) in [
            (9, 8, 0.0),
            (8, 7, 20.0),
            (7, 6, 30.0),
            // Two at once came from an import; a long time was a break.
            (6, 4, 40.0),
            (4, 3, 1000.0),
        ] {
            pace.note(before, after, now);
        }
        assert_eq!(pace.left(3), None, "two images say nothing");
        pace.note(3, 2, 1030.0);
        assert_eq!(pace.left(2).as_deref(), Some("about 1 min left"));
        assert_eq!(pace.left(9).as_deref(), Some("about 3 min left"));
        assert_eq!(pace.left(0), None);
    }
}
