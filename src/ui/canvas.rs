//! The image in hand: zoomed, moved, and drawn on. A drag is a draft that becomes one edit when the button is released.

use care_data::{Annotation, BoundingBox, BoxId, Edit, Image, ImageId, Look, Project};
use egui::{
    Color32, CornerRadius, CursorIcon, EventFilter, Id, Painter, PointerButton, Pos2, Rect,
    Response, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::tokens::{self, Tokens};
use super::view::{Handle, Part, View, Zoom};
use super::widgets::{box_outline, class_dot};
use super::{Context, icons};
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
    fn rect(&self, project: &Project, image: &Image) -> Option<BoundingBox> {
        let whole = |at: [f64; 2]| at.map(f64::round);
        let by = whole([self.to[0] - self.from[0], self.to[1] - self.from[1]]);
        match self.target {
            Target::NewBox => {
                BoundingBox::from_corners(whole(self.from), whole(self.to), image.size).ok()
            }
            Target::Resize(id, handle) => {
                let rect = find(project, image.id, id)?.rect;
                Some(handle.drag(rect, by, image.size).unwrap_or(rect))
            }
            Target::Move(id) => Some(find(project, image.id, id)?.rect.moved(by, image.size)),
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

fn find(project: &Project, image: ImageId, id: BoxId) -> Option<&Annotation> {
    project.boxes(image).iter().find(|a| a.id == id)
}

/// The smallest box under a place of the screen.
fn smallest_under(at: Pos2, project: &Project, image: &Image, view: View) -> Option<BoxId> {
    project
        .boxes(image.id)
        .iter()
        .filter(|a| Part::under(at, view.box_to_screen(a.rect)).is_some())
        .min_by(|a, b| a.rect.area().total_cmp(&b.rect.area()))
        .map(|a| a.id)
}

fn id() -> Id {
    Id::unique("canvas")
}

#[derive(Default)]
pub struct Canvas {
    pub tool: Tool,
    /// May name a box that was undone, and is selected again when it comes back.
    selected: Option<BoxId>,
    zoom: Zoom,
    draft: Option<Draft>,
    image: Option<ImageId>,
    /// As last drawn.
    scale: f64,
}

impl Canvas {
    /// Points of the screen to a pixel of the image, as last drawn.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    pub fn fit(&mut self) {
        self.zoom = Zoom::Fit;
    }

    /// The selected box of the image in hand.
    #[must_use]
    pub fn selected(&self, project: &Project) -> Option<BoxId> {
        find(project, self.image?, self.selected?).map(|a| a.id)
    }

    pub fn select(&mut self, id: Option<BoxId>) {
        self.selected = id;
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

    /// The canvas, filling what room there is; a grey image is seen through `look`, and `bare` shows it without anything on
    /// it. Returns how far the right button has dragged since the last frame, in points.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        image: &Image,
        look: Look,
        bare: bool,
    ) -> Vec2 {
        let project = cx.project;
        let (area, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
        let response = ui.interact(area, id(), Sense::click_and_drag());
        let painter = ui.painter_at(area);
        painter.rect_filled(area, 0.0, Tokens::of(ui).canvas);

        if self.image != Some(image.id) {
            let tool = self.tool;
            *self = Self {
                tool,
                image: Some(image.id),
                ..Self::default()
            };
        }
        let picture = cx.full(image, look);
        response.widget_info(|| WidgetInfo {
            current_text_value: matches!(picture, Picture::Loading).then(|| "loading".to_owned()),
            ..WidgetInfo::labeled(Role::Canvas, true, "Canvas")
        });
        if let Picture::Failed(why) = &picture {
            self.draft = None;
            not_shown(ui, area, &project.path_of(image).to_string_lossy(), why);
            return Vec2::ZERO;
        }
        let view = self.navigate(ui, &response, image);
        self.drag(ui, &response, project, image, view);

        let rect = view.image_rect(image.size);
        let shown = match picture {
            Picture::Ready(texture) => Some(texture),
            // The picture is not there yet; its thumbnail is enough to draw on.
            _ => cx.thumbnail(image).texture().cloned(),
        };
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        match shown {
            Some(texture) => {
                painter.image(texture.id(), rect, whole, Color32::WHITE);
            }
            None => {
                painter.rect_filled(rect, 0.0, Tokens::of(ui).raised);
            }
        }
        if !bare {
            self.boxes_ui(ui, &painter, project, image, view);
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

    /// Zoom and pan, then the transform of this frame.
    fn navigate(&mut self, ui: &Ui, response: &Response, image: &Image) -> View {
        use egui::MouseWheelSource::{Momentum, Trackpad};
        let (size, area) = (image.size, response.rect);
        let mut view = self.zoom.view(size, area);
        let before = view;
        if response.hovered() {
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
            || self.tool == Tool::Pan && response.dragged_by(PointerButton::Primary);
        if panned {
            view = view.moved(response.drag_delta());
        }
        if view != before {
            self.zoom = Zoom::from_view(view, size, area);
        }
        if response.double_clicked() {
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

    fn target(&self, at: Pos2, project: &Project, image: &Image, view: View) -> Target {
        let selected = self.selected.and_then(|id| find(project, image.id, id));
        let part = selected.and_then(|a| Part::under(at, view.box_to_screen(a.rect)));
        match (self.tool, selected, part) {
            (Tool::Pan, ..) => Target::Nothing,
            (_, Some(a), Some(Part::Handle(handle))) => Target::Resize(a.id, handle),
            (_, Some(a), Some(Part::Edge)) => Target::Move(a.id),
            (Tool::Box, ..) => Target::NewBox,
            (Tool::Select, ..) => {
                smallest_under(at, project, image, view).map_or(Target::Nothing, Target::Move)
            }
        }
    }

    /// The pointer on the image: what it would do, what it begins, how far it has come.
    fn drag(&mut self, ui: &Ui, response: &Response, project: &Project, image: &Image, view: View) {
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
            && find(project, image.id, id).is_none()
        {
            self.draft = None;
        }
        if pressed
            && response.is_pointer_button_down_on()
            && let Some(at) = origin
        {
            let target = self.target(at, project, image, view);
            if let Target::Move(id) | Target::Resize(id, _) = target {
                self.selected = Some(id);
            } else if self.tool == Tool::Select {
                self.selected = None;
            }
            let from = view.to_image(at);
            self.draft = (target != Target::Nothing).then_some(Draft {
                target,
                from,
                to: from,
            });
        }
        if let (Some(draft), Some(at)) = (&mut self.draft, at) {
            draft.to = view.to_image(at);
        }
        if response.hovered() || self.draft.is_some() {
            let target = match (self.draft, at) {
                (Some(draft), _) => draft.target,
                (None, Some(at)) => self.target(at, project, image, view),
                (None, None) => Target::Nothing,
            };
            ui.ctx().set_cursor_icon(match target {
                Target::NewBox => CursorIcon::Crosshair,
                Target::Resize(_, handle) => handle.cursor(),
                Target::Move(_) => CursorIcon::Move,
                Target::Nothing if self.tool == Tool::Pan && panning => CursorIcon::Grabbing,
                Target::Nothing if self.tool == Tool::Pan => CursorIcon::Grab,
                Target::Nothing => CursorIcon::Default,
            });
        }
    }

    /// What the button leaves behind when it is released: one edit, or a selection.
    fn release(&mut self, response: &Response, cx: &mut Context<'_>, image: &Image, view: View) {
        if response.ctx.input(|i| i.pointer.primary_down()) {
            return;
        }
        let project = cx.project;
        let Some(draft) = self.draft.take() else {
            // A click so short that it fell into one frame.
            if let Some(at) = response.interact_pointer_pos()
                && self.tool != Tool::Pan
                && response.clicked_by(PointerButton::Primary)
            {
                self.selected = smallest_under(at, project, image, view);
            }
            return;
        };
        let rect = draft.rect(project, image).filter(|rect| {
            let is_moved = matches!(draft.target, Target::Move(_));
            is_moved || view.box_to_screen(*rect).size().min_elem() >= MIN_SIDE
        });
        match (draft.id(), rect) {
            (None, Some(rect)) => {
                let id = project.next_box_id();
                self.selected = Some(id);
                cx.commands.edit(Edit::AddBox {
                    annotation: Annotation {
                        id,
                        image: image.id,
                        rect,
                    },
                });
            }
            (None, None) => {
                self.selected = smallest_under(view.to_screen(draft.to), project, image, view);
            }
            (Some(id), Some(rect))
                if find(project, image.id, id).is_some_and(|a| a.rect != rect) =>
            {
                cx.commands.edit(Edit::SetBox { id, rect });
            }
            (Some(_), _) => {}
        }
    }

    fn boxes_ui(&self, ui: &Ui, painter: &Painter, project: &Project, image: &Image, view: View) {
        let area = painter.clip_rect();
        let class = project.class(image.class);
        let in_hand = self.draft.and_then(|draft| {
            let rect = draft.rect(project, image)?;
            Some((draft.id(), rect))
        });
        let mut selected = None;
        for (n, annotation) in (1..).zip(project.boxes(image.id)) {
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

fn handles_ui(painter: &Painter, rect: Rect) {
    for handle in Handle::of(rect) {
        painter.rect(
            Rect::from_center_size(handle.on(rect), Vec2::splat(9.0)),
            1.5,
            tokens::OVERLAY_LINE,
            Stroke::new(1.0, tokens::OVERLAY_LABEL),
            StrokeKind::Outside,
        );
    }
}

/// The size of the box under the hand, in pixels of the image.
fn size_label_ui(painter: &Painter, view: View, rect: BoundingBox) {
    let text = format!("{:.0} × {:.0} px", rect.width(), rect.height());
    label_ui(painter, view.box_to_screen(rect), &text, None);
}

/// A label above a box; below it or in it where the canvas ends.
fn label_ui(painter: &Painter, rect: Rect, text: &str, class: Option<u32>) {
    const HEIGHT: f32 = 20.0;
    const GAP: f32 = 6.0;
    let area = painter.clip_rect();
    if !area.intersects(rect) {
        return;
    }
    let galley =
        painter.layout_no_wrap(text.to_owned(), tokens::medium(12.0), tokens::OVERLAY_TEXT);
    let before = if class.is_some() { 22.0 } else { 8.0 };
    let size = vec2(before + galley.size().x + 8.0, HEIGHT);
    let top = if rect.top() - GAP - HEIGHT >= area.top() {
        rect.top() - GAP - HEIGHT
    } else if rect.bottom() + GAP + HEIGHT <= area.bottom() {
        rect.bottom() + GAP
    } else {
        area.top().max(rect.top()) + GAP
    };
    // Flush with the outline, which is drawn to both sides of the edge.
    let left = (rect.left() - 2.0).clamp(area.left(), (area.right() - size.x).max(area.left()));
    let label = Rect::from_min_size(pos2(left, top), size);
    painter.rect_filled(label, CornerRadius::same(3), tokens::OVERLAY_LABEL);
    if let Some(color) = class {
        // The label is dark in both themes.
        class_dot(
            painter,
            &tokens::DARK,
            pos2(label.left() + 11.0, label.center().y),
            color,
        );
    }
    let at = pos2(
        label.left() + before,
        label.center().y - galley.size().y / 2.0,
    );
    painter.galley(at, galley, tokens::OVERLAY_TEXT);
}

/// In place of an image that cannot be decoded: which file, why, and what to do.
fn not_shown(ui: &mut Ui, area: Rect, path: &str, why: &str) {
    let t = Tokens::of(ui);
    let width = (area.width() - 64.0).clamp(120.0, 480.0);
    let middle = Rect::from_center_size(area.center(), vec2(width, 160.0));
    ui.scope_builder(egui::UiBuilder::new().max_rect(middle), |ui| {
        ui.vertical_centered(|ui| {
            ui.label(
                egui::RichText::new(icons::WARNING)
                    .font(tokens::icon(32.0))
                    .color(t.warning),
            );
            ui.label(
                egui::RichText::new("This image cannot be shown")
                    .text_style(tokens::section())
                    .color(t.text_strong),
            );
            ui.label(egui::RichText::new(path).color(t.text));
            ui.label(egui::RichText::new(why).color(t.text_weak));
        });
    });
}
