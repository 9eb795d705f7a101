//! The image in hand: zoomed, moved, and drawn on. A drag is a draft that becomes one edit when the button is released.

mod paint;

use care_data::{
    Annotation, BoundingBox, BoxId, Edit, Image, ImageId, Look, Project, ReaderId, ReviewState,
};
use egui::{
    Color32, CursorIcon, Event, EventFilter, Id, MouseWheelUnit, Painter, PointerButton, Pos2,
    Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2,
};

use self::paint::{
    crosshair_ui, handles_ui, label_ui, minimap_rect, minimap_ui, not_shown, on_minimap,
    reader_box_ui, scaled_box_ui, size_label_ui, suggestion_ui,
};
use super::Context;
use super::lens::Over;
use super::story::{self, Place};
use super::tokens::Tokens;
use super::view::{Handle, Part, View, Zoom};
use super::widgets::box_outline;
use crate::suggestion::Found;
use crate::textures::Picture;

/// A drag shorter than this, in points, is a click.
const MIN_SIDE: f32 = 3.0;
/// Points of scrolling that enlarge e times: a notch of the wheel, 40 or 80 points, enlarges by a tenth or a fifth.
const POINTS_PER_E: f32 = 400.0;

/// What a press on the canvas does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tool {
    #[default]
    Box,
    Select,
    Pan,
}

/// What a press at some place would take hold of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    NewBox,
    Resize(BoxId, Handle),
    Move(BoxId),
    Nothing,
}

/// A drag under way. Nothing of it is in the project yet.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Draft {
    target: Target,
    /// Where the button went down and where the pointer is now, in pixels of the image.
    from: [f64; 2],
    to: [f64; 2],
}

impl Draft {
    /// The box as it would be were the button released now, on whole pixels.
    fn rect(&self, boxes: &[Annotation], image: &Image) -> Option<BoundingBox> {
        let whole = |at: [f64; 2]| at.map(f64::round);
        let by = whole([self.to[0] - self.from[0], self.to[1] - self.from[1]]);
        match self.target {
            Target::NewBox => {
                BoundingBox::from_corners(whole(self.from), whole(self.to), image.size).ok()
            }
            Target::Resize(id, handle) => {
                let rect = find(boxes, id)?.rect;
                Some(handle.drag(rect, by, image.size).unwrap_or(rect))
            }
            Target::Move(id) => Some(find(boxes, id)?.rect.moved(by, image.size)),
            Target::Nothing => None,
        }
    }

    /// The box that it changes; none for a new one.
    fn id(&self) -> Option<BoxId> {
        match self.target {
            Target::Resize(id, _) | Target::Move(id) => Some(id),
            Target::NewBox | Target::Nothing => None,
        }
    }
}

fn find(boxes: &[Annotation], id: BoxId) -> Option<&Annotation> {
    boxes.iter().find(|a| a.id == id)
}

/// The boxes under a place of the screen, the smallest first.
fn under(at: Pos2, boxes: &[Annotation], view: View) -> Vec<BoxId> {
    let mut under: Vec<&Annotation> = boxes
        .iter()
        .filter(|a| Part::under(at, view.box_to_screen(a.rect)).is_some())
        .collect();
    under.sort_by(|a, b| a.rect.area().total_cmp(&b.rect.area()));
    under.into_iter().map(|a| a.id).collect()
}

/// What a click selects of the boxes under it: the one after `selected`, the first where that is none of them.
fn next_of(under: &[BoxId], selected: Option<BoxId>) -> Option<BoxId> {
    let at = under.iter().position(|id| Some(*id) == selected);
    let next = at.map_or(0, |at| (at + 1) % under.len());
    under.get(next).copied()
}

/// A wheel's notches, up is positive; none of a finger's, nor with Ctrl, which zooms.
fn notches(ui: &Ui) -> Option<(f64, bool)> {
    ui.input(|i| {
        i.events.iter().find_map(|event| match event {
            Event::MouseWheel {
                unit: MouseWheelUnit::Line,
                delta,
                modifiers,
                ..
            } if !modifiers.command && delta.y != 0.0 => {
                Some((f64::from(delta.y.signum()), modifiers.shift))
            }
            // With Shift it arrives sideways on some systems.
            Event::MouseWheel {
                unit: MouseWheelUnit::Line,
                delta,
                modifiers,
                ..
            } if modifiers.shift && delta.x != 0.0 => Some((f64::from(delta.x.signum()), true)),
            _ => None,
        })
    })
}

fn id() -> Id {
    Id::unique("canvas")
}

#[derive(Default)]
pub struct Canvas {
    pub tool: Tool,
    /// Pixels are squares when enlarged.
    pub squares: bool,
    /// Zoom and place stay from image to image.
    pub keep_zoom: bool,
    /// May name a box that was undone, and is selected again when it comes back.
    selected: Option<BoxId>,
    /// Arrow keys move the selected box: it was clicked, not only just drawn.
    in_hand: bool,
    zoom: Zoom,
    draft: Option<Draft>,
    /// What was selected when the button went down.
    before: Option<BoxId>,
    /// The edge that the wheel moves, while the pointer stays where it is.
    wheeled: Option<(Pos2, BoxId, Handle)>,
    /// The image in hand and whose boxes on it.
    page: Option<(ImageId, Option<ReaderId>)>,
    /// As last drawn.
    scale: f64,
    /// The pixel of the image under the pointer, when last drawn.
    pointed: Option<[f64; 2]>,
}

impl Canvas {
    /// Points of the screen to a pixel of the image, as last drawn.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Where the pointer is on the image, in its pixels, as last drawn.
    #[must_use]
    pub fn pointed(&self) -> Option<[f64; 2]> {
        self.pointed
    }

    /// The boxes of an image as they would be were the button released now.
    #[must_use]
    pub fn boxes_now(&self, boxes: &[Annotation], image: &Image) -> Vec<BoundingBox> {
        let draft = self
            .draft
            .filter(|_| self.page.map(|(id, _)| id) == Some(image.id));
        let in_hand = draft.and_then(|draft| Some((draft.id(), draft.rect(boxes, image)?)));
        let as_now = |annotation: &Annotation| match in_hand {
            Some((Some(id), rect)) if id == annotation.id => rect,
            _ => annotation.rect,
        };
        let mut now: Vec<_> = boxes.iter().map(as_now).collect();
        if let Some((None, rect)) = in_hand {
            now.push(rect);
        }
        now
    }

    pub fn fit(&mut self) {
        self.zoom = Zoom::Fit;
    }

    /// A pixel of the image to one of the screen, about the middle of the canvas.
    pub fn actual_size(&mut self, ctx: &egui::Context, image: &Image) {
        let scale = 1.0 / f64::from(ctx.pixels_per_point());
        self.zoom = match self.zoom {
            Zoom::Fit => Zoom::At {
                centre: [
                    f64::from(image.size.width) / 2.0,
                    f64::from(image.size.height) / 2.0,
                ],
                scale,
            },
            Zoom::At { centre, .. } => Zoom::At { centre, scale },
        };
    }

    /// The selected box of the image in hand.
    #[must_use]
    pub fn selected(&self, project: &Project) -> Option<BoxId> {
        self.on_image(project, self.selected?).map(|a| a.id)
    }

    /// As a click on it does: the arrow keys then move it.
    pub fn select(&mut self, id: Option<BoxId>) {
        self.selected = id;
        self.in_hand = id.is_some();
    }

    /// The box that the arrow keys move.
    #[must_use]
    pub fn in_hand<'a>(&self, project: &'a Project) -> Option<&'a Annotation> {
        self.on_image(project, self.selected.filter(|_| self.in_hand)?)
    }

    fn on_image<'a>(&self, project: &'a Project, id: BoxId) -> Option<&'a Annotation> {
        let annotation = project.annotation(id);
        annotation.filter(|a| Some((a.image, a.reader)) == self.page)
    }

    /// Whether it has the keyboard's focus.
    #[must_use]
    pub fn has_focus(ctx: &egui::Context) -> bool {
        ctx.memory(|m| m.has_focus(id()))
    }

    /// Whether a box is under the hand.
    #[must_use]
    pub fn is_drafting(&self) -> bool {
        self.draft.is_some()
    }

    /// Forgets the box under the hand.
    pub fn put_down(&mut self) {
        self.draft = None;
    }

    /// Takes back the box under the hand; where there is none, nothing is selected any more.
    pub fn cancel(&mut self) {
        if self.draft.take().is_none() {
            self.selected = None;
        }
    }

    /// Takes up an image, or another reader's boxes on it: nothing of the one before is in the hand any more.
    pub fn turn_to(&mut self, image: ImageId, reader: Option<ReaderId>) {
        let page = Some((image, reader));
        if self.page == page {
            return;
        }
        let same_image = self.page.map(|(id, _)| id) == Some(image);
        let zoom = if self.keep_zoom || same_image {
            self.zoom
        } else {
            Zoom::Fit
        };
        *self = Self {
            tool: self.tool,
            squares: self.squares,
            keep_zoom: self.keep_zoom,
            zoom,
            page,
            ..Self::default()
        };
    }

    /// The canvas, filling what room there is; a grey image is seen through `look`, `over` lies over it, and `bare` shows it
    /// without anything on it. Returns how far the right button has dragged since the last frame, in points.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        image: &Image,
        look: Look,
        over: &Over<'_>,
        bare: bool,
    ) -> Vec2 {
        let boxes = cx.boxes(image.id);
        let (area, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
        let response = ui.interact(area, id(), Sense::click_and_drag());
        story::mark(ui.ctx(), Place::Canvas, area);
        let painter = ui.painter_at(area);
        painter.rect_filled(area, 0.0, Tokens::of(ui).canvas);

        cx.textures.show_squares(self.squares);
        let picture = cx.full(image, look);
        response.widget_info(|| WidgetInfo {
            current_text_value: matches!(picture, Picture::Loading).then(|| "loading".to_owned()),
            ..WidgetInfo::labeled(Role::Canvas, true, "Canvas")
        });
        if let Picture::Failed(why) = &picture {
            self.draft = None;
            not_shown(ui, area, &cx.project.path_of(image).to_string_lossy(), why);
            return Vec2::ZERO;
        }
        if let Some((id, rect)) = self.wheel_on_edge(ui, &response, boxes, image) {
            cx.commands.edit(Edit::SetBox { id, rect });
        }
        let view = self.navigate(ui, &response, image, bare);
        self.drag(ui, &response, boxes, view, bare);

        let rect = view.image_rect(image.size);
        let pointer = ui.input(|i| i.pointer.hover_pos());
        let pointed = pointer.filter(|_| response.hovered());
        let pointed = pointed.map(|at| view.to_image(at));
        if std::mem::replace(&mut self.pointed, pointed) != pointed {
            // What is said of it stands in panels that were drawn before.
            ui.ctx().request_repaint();
        }
        let muted = (over.is_muted() && !bare).then(|| cx.muted(image, look));
        let shown = match (muted, picture) {
            (Some(Picture::Ready(texture)), _) | (_, Picture::Ready(texture)) => Some(texture),
            // The picture is not there yet; its thumbnail is enough to draw on.
            _ => cx.thumbnail(image).texture().cloned(),
        };
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        match &shown {
            Some(texture) => {
                painter.image(texture.id(), rect, whole, Color32::WHITE);
            }
            None => {
                painter.rect_filled(rect, 0.0, Tokens::of(ui).raised);
            }
        }
        if !bare {
            over.ui(&painter, cx, rect);
            let box_scale = cx.draft.box_scale;
            if box_scale != 1.0 {
                for annotation in boxes {
                    if let Ok(rect) = annotation.rect.scaled(box_scale, image.size) {
                        scaled_box_ui(&painter, view.box_to_screen(rect));
                    }
                }
            }
            self.boxes_ui(ui, &painter, cx, image, view);
            // Who draws anew where readers differ sees what they drew.
            if cx.reader.is_none() && cx.review(image.id).state != ReviewState::Done {
                for reader in cx.project.readers() {
                    for annotation in cx.project.boxes_of(Some(reader.id), image.id) {
                        let rect = view.box_to_screen(annotation.rect);
                        reader_box_ui(&painter, rect, &reader.name);
                    }
                }
            }
            if let Some(Found::Box(rect)) = cx.suggestion.map(|suggestion| &suggestion.found) {
                let class = cx.project.class(image.class);
                suggestion_ui(&painter, view.box_to_screen(*rect), class);
            }
            if let Some(at) = pointer.filter(|_| self.draft.is_none() && response.hovered())
                && self.target(at, boxes, view) == Target::NewBox
            {
                crosshair_ui(&painter, rect, at);
            }
        }
        if let (Some(map), Some(texture)) = (minimap_rect(area, view, image.size), &shown) {
            let held = ui.interact(map, id().with("minimap"), Sense::click_and_drag());
            held.widget_info(|| {
                WidgetInfo::labeled(Role::Image, true, "Part of the image in view")
            });
            if let Some(at) = held.interact_pointer_pos() {
                let moved = View::centred(on_minimap(map, at, image.size), view.scale(), area);
                self.zoom = Zoom::from_view(moved, image.size, area);
                ui.ctx().request_repaint();
            }
            minimap_ui(&painter, map, texture, view, image.size);
        }
        if response.has_focus() {
            let arrows = EventFilter {
                horizontal_arrows: true,
                ..EventFilter::default()
            };
            ui.memory_mut(|m| m.set_focus_lock_filter(response.id, arrows));
            painter.rect_stroke(
                area,
                0.0,
                Stroke::new(2.0, Tokens::of(ui).focus),
                StrokeKind::Inside,
            );
        }
        // Last, so that what was under the hand is still drawn in the frame that makes it an edit.
        self.release(&response, cx, image, view);
        if response.dragged_by(PointerButton::Secondary) {
            response.drag_delta()
        } else {
            Vec2::ZERO
        }
    }

    /// The selected box after a notch of the wheel on one of its edges: up makes it larger by a pixel, with Shift by ten.
    fn wheel_on_edge(
        &mut self,
        ui: &Ui,
        response: &Response,
        boxes: &[Annotation],
        image: &Image,
    ) -> Option<(BoxId, BoundingBox)> {
        let at = ui.input(|i| i.pointer.hover_pos());
        let at = at.filter(|_| response.hovered() && self.draft.is_none())?;
        if self
            .wheeled
            .is_some_and(|(place, id, _)| place != at || Some(id) != self.selected)
        {
            self.wheeled = None;
        }
        let (notches, by_ten) = notches(ui)?;
        let view = self.zoom.view(image.size, response.rect);
        // An edge that has gone from under the pointer is still the one that the wheel moves.
        let (id, handle) = match self.wheeled {
            Some((_, id, handle)) => (id, handle),
            None => {
                let selected = find(boxes, self.selected?)?;
                let handle = Handle::of_edge(at, view.box_to_screen(selected.rect))?;
                self.wheeled = Some((at, selected.id, handle));
                (selected.id, handle)
            }
        };
        let rect = find(boxes, id)?.rect;
        let by = notches * if by_ten { 10.0 } else { 1.0 };
        let larger = handle.drag(rect, handle.outwards(by), image.size).ok()?;
        // An edge does not go past the one across.
        let turned = by < 0.0 && (larger.width() + larger.height() >= rect.width() + rect.height());
        (larger != rect && !turned).then_some((id, larger))
    }

    /// Zoom and pan, then the transform of this frame. `bare`: the pointer moves the image.
    fn navigate(&mut self, ui: &Ui, response: &Response, image: &Image, bare: bool) -> View {
        use egui::MouseWheelSource::{Momentum, Trackpad};
        let (size, area) = (image.size, response.rect);
        let mut view = self.zoom.view(size, area);
        let before = view;
        if response.hovered() && self.wheeled.is_none() {
            let (pointer, pinch, scroll, by_finger) = ui.input(|i| {
                let by_finger = matches!(i.scroll_source(), Some(Trackpad | Momentum));
                (
                    i.pointer.hover_pos(),
                    i.zoom_delta(),
                    i.smooth_scroll_delta(),
                    by_finger,
                )
            });
            let factor = if by_finger {
                view = view.moved(scroll);
                pinch
            } else {
                pinch * (scroll.y / POINTS_PER_E).exp()
            };
            if let Some(at) = pointer
                && factor != 1.0
            {
                view = view.zoomed(Zoom::limited(view, f64::from(factor), size, area), at);
            }
        }
        let panned = response.dragged_by(PointerButton::Middle)
            || (bare || self.tool == Tool::Pan) && response.dragged_by(PointerButton::Primary);
        if panned {
            view = view.moved(response.drag_delta());
        }
        if view != before {
            self.zoom = Zoom::from_view(view, size, area);
        }
        // On boxes quick clicks go from one to the next.
        if response.double_clicked() && self.selected.is_none() {
            self.zoom = Zoom::Fit;
        }
        let view = self.zoom.view(size, area);
        if view.scale() != self.scale {
            self.scale = view.scale();
            // The toolbar, drawn before the canvas, has shown the scale of the last frame.
            ui.ctx().request_repaint();
        }
        view
    }

    fn target(&self, at: Pos2, boxes: &[Annotation], view: View) -> Target {
        let selected = self.selected.and_then(|id| find(boxes, id));
        let part = selected.and_then(|a| Part::under(at, view.box_to_screen(a.rect)));
        match (self.tool, selected, part) {
            (Tool::Pan, ..) => Target::Nothing,
            (_, Some(a), Some(Part::Handle(handle))) => Target::Resize(a.id, handle),
            // One that was only just drawn leaves room for another within it.
            (Tool::Box, Some(a), Some(Part::Inside)) if self.in_hand => Target::Move(a.id),
            (Tool::Box, ..) => Target::NewBox,
            // The one that was chosen of several stays in the hand.
            (Tool::Select, Some(a), Some(Part::Inside)) => Target::Move(a.id),
            (Tool::Select, ..) => {
                let under = under(at, boxes, view);
                under
                    .first()
                    .map_or(Target::Nothing, |id| Target::Move(*id))
            }
        }
    }

    /// The pointer on the image: what it would do, what it begins, how far it has come.
    fn drag(&mut self, ui: &Ui, response: &Response, boxes: &[Annotation], view: View, bare: bool) {
        let (pressed, origin, at, panning) = ui.input(|i| {
            let p = &i.pointer;
            (
                p.primary_pressed(),
                p.press_origin(),
                p.interact_pos(),
                p.middle_down() || p.primary_down(),
            )
        });
        // An undo may have taken the box from under the hand.
        if let Some(id) = self.draft.and_then(|draft| draft.id())
            && find(boxes, id).is_none()
        {
            self.draft = None;
        }
        if pressed
            && !bare
            && response.is_pointer_button_down_on()
            && let Some(at) = origin
        {
            let target = self.target(at, boxes, view);
            self.before = self.selected;
            if let Target::Move(id) | Target::Resize(id, _) = target {
                self.select(Some(id));
            } else if self.tool == Tool::Select {
                self.select(None);
            }
            let from = view.to_image(at);
            self.draft = (target != Target::Nothing).then_some(Draft {
                target,
                from,
                to: from,
            });
        }
        if let (Some(draft), Some(at)) = (&mut self.draft, at) {
            let to = view.to_image(at);
            if std::mem::replace(&mut draft.to, to) != to {
                // The loss lens, drawn before the canvas, has shown the box of the last frame.
                ui.ctx().request_repaint();
            }
        }
        if response.hovered() || self.draft.is_some() {
            let target = match (self.draft, at) {
                (Some(draft), _) => draft.target,
                (None, Some(at)) if !bare => self.target(at, boxes, view),
                (None, _) => Target::Nothing,
            };
            let pans = bare || self.tool == Tool::Pan;
            ui.ctx().set_cursor_icon(match target {
                Target::NewBox => CursorIcon::Crosshair,
                Target::Resize(_, handle) => handle.cursor(),
                Target::Move(_) => CursorIcon::Move,
                Target::Nothing if pans && panning => CursorIcon::Grabbing,
                Target::Nothing if pans => CursorIcon::Grab,
                Target::Nothing => CursorIcon::Default,
            });
        }
    }

    /// What the button leaves behind when it is released: one edit, or a selection.
    fn release(&mut self, response: &Response, cx: &mut Context<'_>, image: &Image, view: View) {
        if response.ctx.input(|i| i.pointer.primary_down()) {
            return;
        }
        let boxes = cx.boxes(image.id);
        let Some(draft) = self.draft.take() else {
            // A click so short that it fell into one frame.
            if let Some(at) = response.interact_pointer_pos()
                && self.tool != Tool::Pan
                && response.clicked_by(PointerButton::Primary)
            {
                self.select(next_of(&under(at, boxes, view), self.selected));
            }
            return;
        };
        let [from, to] = [draft.from, draft.to].map(|at| view.to_screen(at));
        // A hand is never quite still.
        let is_click = from.distance(to) < MIN_SIDE;
        let rect = draft.rect(boxes, image).filter(|rect| {
            let is_new = draft.target == Target::NewBox;
            let is_seen = view.box_to_screen(*rect).size().min_elem() >= MIN_SIDE;
            !is_click && (is_seen || !is_new)
        });
        match (draft.id(), rect) {
            (None, Some(rect)) => {
                let annotation = cx.new_box(image.id, rect);
                self.selected = Some(annotation.id);
                self.in_hand = false;
                cx.commands.edit(Edit::AddBox { annotation });
            }
            (None, None) => {
                let at = view.to_screen(draft.to);
                self.select(next_of(&under(at, boxes, view), self.selected));
            }
            (Some(id), Some(rect)) if find(boxes, id).is_some_and(|a| a.rect != rect) => {
                cx.commands.edit(Edit::SetBox { id, rect });
            }
            // A click: of several boxes the next one.
            (Some(id), _) if self.before == Some(id) && is_click => {
                let at = view.to_screen(draft.to);
                self.select(next_of(&under(at, boxes, view), Some(id)));
            }
            (Some(_), _) => {}
        }
    }

    fn boxes_ui(&self, ui: &Ui, painter: &Painter, cx: &Context<'_>, image: &Image, view: View) {
        let area = painter.clip_rect();
        let boxes = cx.boxes(image.id);
        let class = cx.project.class(image.class);
        let in_hand = self.draft.and_then(|draft| {
            let rect = draft.rect(boxes, image)?;
            Some((draft.id(), rect))
        });
        let mut selected = None;
        for (n, annotation) in (1..).zip(boxes) {
            let (rect, in_hand) = match in_hand {
                Some((Some(id), rect)) if id == annotation.id => (rect, true),
                _ => (annotation.rect, false),
            };
            let on_screen = view.box_to_screen(rect);
            let is_selected = self.selected == Some(annotation.id);
            let visible = on_screen.intersect(area);
            if visible.is_positive() {
                ui.interact(visible, id().with(annotation.id), Sense::hover())
                    .widget_info(|| {
                        WidgetInfo::selected(
                            Role::GraphicsObject,
                            true,
                            is_selected,
                            format!("box {n}"),
                        )
                    });
            }
            if is_selected {
                selected = Some((on_screen, in_hand.then_some(rect)));
            } else {
                box_outline(painter, on_screen, false);
                if let Some(class) = class {
                    label_ui(painter, on_screen, &class.name, Some(class.color));
                }
            }
        }
        if let Some((rect, in_hand)) = selected {
            box_outline(painter, rect, true);
            match (in_hand, class) {
                (Some(rect), _) => size_label_ui(painter, view, rect),
                (None, Some(class)) => {
                    label_ui(painter, rect, &class.name, Some(class.color));
                }
                (None, None) => {}
            }
            handles_ui(painter, rect);
        }
        if let Some((None, rect)) = in_hand {
            box_outline(painter, view.box_to_screen(rect), true);
            size_label_ui(painter, view, rect);
        }
    }
}
