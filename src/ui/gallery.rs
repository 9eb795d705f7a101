//! The gallery of room 1: thumbnails in rows, of which only the visible ones are laid out.

use care_data::{Image, ImageId};
use egui::style::ScrollAnimation;
use egui::{
    EventFilter, FontId, Id, Key, Modifiers, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui,
    Vec2, WidgetInfo, pos2, vec2,
};

use super::tokens::{self, Tokens, radius};
use super::widgets::{box_on_screen, box_outline, class_dot, elided, picture_ui};
use super::{Context, icons};
use crate::command::Command;
use crate::state::{needs_box, wants_box};
use crate::textures::Picture;

const PADDING: f32 = 16.0;
const GAP: f32 = 16.0;
const ROW_GAP: f32 = 8.0;
const NAME: f32 = 24.0;
const CELL_MIN: f32 = 112.0;
const CELL_MAX: f32 = 144.0;

/// The gallery's own state; what is in it, and which image is selected, its caller says.
#[derive(Default)]
pub struct Gallery {
    /// The selected image that was scrolled to last.
    revealed: Option<ImageId>,
    to_top: bool,
    /// Height of most pictures over their width, and of how many images that was found.
    aspect: Option<(usize, f32)>,
}

/// Where the cells lie, from the gallery's top left corner on.
#[derive(Debug, Clone, Copy)]
struct Grid {
    columns: usize,
    /// Of a picture.
    cell: Vec2,
}

impl Grid {
    /// As many columns of at least 112 as fit, each up to 144 wide and `aspect` times as high.
    fn new(width: f32, aspect: f32) -> Self {
        let inner = (width - 2.0 * PADDING).max(CELL_MIN);
        let columns = (((inner + GAP) / (CELL_MIN + GAP)) as usize).max(1);
        let cell = ((inner + GAP) / columns as f32 - GAP).min(CELL_MAX).floor();
        Self {
            columns,
            cell: vec2(cell, (cell * aspect).round()),
        }
    }

    fn pitch(self) -> f32 {
        self.cell.y + NAME + ROW_GAP
    }

    fn height(self, n: usize) -> f32 {
        2.0 * PADDING - ROW_GAP + n.div_ceil(self.columns) as f32 * self.pitch()
    }

    /// Picture and name of the image in this place.
    fn rect(self, origin: egui::Pos2, place: usize) -> Rect {
        let (row, column) = (place / self.columns, place % self.columns);
        let at = vec2(
            PADDING + column as f32 * (self.cell.x + GAP),
            PADDING + row as f32 * self.pitch(),
        );
        Rect::from_min_size(origin + at, self.cell + vec2(0.0, NAME))
    }

    /// The places of `n` that are seen between `top` and `bottom`.
    fn visible(self, top: f32, bottom: f32, n: usize) -> std::ops::Range<usize> {
        let row = |y: f32| ((y - PADDING) / self.pitch()).floor().max(0.0) as usize;
        let end = ((row(bottom) + 1) * self.columns).min(n);
        (row(top) * self.columns).min(end)..end
    }
}

impl Gallery {
    /// Begins at the top again, or at the selected image where it is still shown.
    pub fn rewind(&mut self) {
        self.revealed = None;
        self.to_top = true;
    }

    /// Shows the images at these places of the project, ascending. A double click or Enter opens one in Annotate.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, shown: &[usize]) {
        let images = cx.project.images();
        let aspect = match self.aspect {
            Some((n, aspect)) if n == images.len() => aspect,
            _ => usual_aspect(images),
        };
        self.aspect = Some((images.len(), aspect));
        let grid = Grid::new(ui.available_width(), aspect);
        let id = ui.scope_id().with("gallery");
        // One stop for the Tab key; the arrows move inside.
        let listener = ui.interact(ui.available_rect_before_wrap(), id, Sense::FOCUSABLE);
        listener.widget_info(|| WidgetInfo::labeled(Role::ListBox, true, "Images"));
        let place = cx.selected.and_then(|selected| {
            shown
                .binary_search_by_key(&selected, |&at| images[at].id)
                .ok()
        });
        let page = (ui.available_height() / grid.pitch()).floor().max(1.0) as usize;
        match read_keys(ui, id) {
            Some(Key::Enter) => {
                if let Some(image) = cx.selected.filter(|_| place.is_some()) {
                    cx.commands.send(Command::Annotate(image));
                }
            }
            Some(key) => {
                let to = moved(place, key, grid.columns, page, shown.len());
                if let Some(&at) = to.and_then(|to| shown.get(to)) {
                    cx.commands.send(Command::Select(images[at].id));
                }
            }
            None => {}
        }

        let mut area = ScrollArea::vertical().auto_shrink(false);
        if std::mem::take(&mut self.to_top) {
            area = area.vertical_scroll_offset(0.0);
        }
        area.show_viewport(ui, |ui, viewport| {
            let origin = ui.min_rect().min;
            ui.set_height(grid.height(shown.len()));
            if cx.selected != self.revealed {
                self.revealed = cx.selected;
                if let Some(place) = place {
                    let margin = vec2(0.0, PADDING);
                    let rect = grid.rect(origin, place).expand2(margin);
                    ui.scroll_to_rect_animation(rect, None, ScrollAnimation::none());
                }
            }
            for place in grid.visible(viewport.top(), viewport.bottom(), shown.len()) {
                let rect = grid.rect(origin, place);
                if let Some(image) = shown.get(place).and_then(|&at| images.get(at)) {
                    cell_ui(ui, cx, rect, image, id);
                }
            }
        });
    }
}

/// Height over width of the middle one of a sample, within what still makes a gallery.
fn usual_aspect(images: &[Image]) -> f32 {
    let mut sample: Vec<f32> = images
        .iter()
        .step_by((images.len() / 100).max(1))
        .map(|image| image.size.height as f32 / image.size.width.max(1) as f32)
        .collect();
    sample.sort_unstable_by(f32::total_cmp);
    let middle = sample.get(sample.len() / 2).copied().unwrap_or(1.0);
    middle.clamp(0.6, 1.25)
}

/// The key that was pressed, where the gallery is the one to answer: it has the focus, or nothing has.
fn read_keys(ui: &Ui, gallery: Id) -> Option<Key> {
    const KEYS: [Key; 9] = [
        Key::ArrowLeft,
        Key::ArrowRight,
        Key::ArrowUp,
        Key::ArrowDown,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::Enter,
    ];
    let ctx = ui.ctx();
    let focused = ctx.memory(|memory| memory.focused());
    let covered = ctx.any_popup_open() || ctx.memory(|memory| memory.top_modal_layer().is_some());
    if covered || focused.is_some_and(|id| id != gallery) {
        return None;
    }
    ctx.memory_mut(|memory| {
        let filter = EventFilter {
            horizontal_arrows: true,
            vertical_arrows: true,
            ..EventFilter::default()
        };
        memory.set_focus_lock_filter(gallery, filter);
    });
    ctx.input_mut(|input| {
        KEYS.into_iter()
            .find(|key| input.consume_key(Modifiers::NONE, *key))
    })
}

/// The place after a key, of `n`; the first where none was selected.
fn moved(place: Option<usize>, key: Key, columns: usize, page: usize, n: usize) -> Option<usize> {
    let last = n.checked_sub(1)?;
    let Some(place) = place else { return Some(0) };
    let down = |by: usize| {
        if place + by <= last {
            place + by
        } else {
            // The last row may be short: its end stands in for what is missing, and nothing lies below it.
            if place / columns == last / columns {
                place
            } else {
                last
            }
        }
    };
    Some(match key {
        Key::ArrowLeft => place.saturating_sub(1),
        Key::ArrowRight => (place + 1).min(last),
        Key::ArrowUp => place.checked_sub(columns).unwrap_or(place),
        Key::ArrowDown => down(columns),
        Key::PageUp => place.saturating_sub(columns * page),
        Key::PageDown => (place + columns * page).min(last),
        Key::Home => 0,
        Key::End => last,
        _ => place,
    })
}

fn cell_ui(ui: &mut Ui, cx: &mut Context<'_>, rect: Rect, image: &Image, gallery: Id) {
    let t = Tokens::of(ui);
    let painter = ui.painter().clone();
    let response = ui.interact(rect, gallery.with(image.id), Sense::CLICK);
    let selected = cx.selected == Some(image.id);
    let class = cx.project.class(image.class);
    let (wants, to_do) = (wants_box(cx.project, image), needs_box(cx.project, image));
    response.widget_info(|| {
        let class = class.map_or("", |class| class.name.as_str());
        let state = match (wants, to_do) {
            (true, true) => ", needs a box",
            (true, false) => ", done",
            (false, _) => "",
        };
        let label = format!("{}, {class}{state}", image.name());
        WidgetInfo::selected(Role::ListBoxOption, true, selected, label)
    });

    let cell = rect.with_max_y(rect.bottom() - NAME);
    let picture = cx.thumbnail(image);
    let shown = picture_ui(ui, cell, &picture);
    if picture.texture().is_some() {
        for annotation in cx.project.boxes(image.id) {
            box_outline(
                &painter,
                box_on_screen(annotation.rect, image.size, shown),
                false,
            );
        }
    }
    if selected || response.hovered() {
        let ink = if !selected {
            t.stroke_strong
        } else if ui.memory(|memory| memory.has_focus(gallery)) {
            t.focus
        } else {
            t.accent
        };
        painter.rect_stroke(
            cell.expand(2.0),
            f32::from(radius::IMAGE) + 2.0,
            Stroke::new(if selected { 2.0 } else { 1.0 }, ink),
            StrokeKind::Outside,
        );
    }

    let y = cell.bottom() + NAME / 2.0;
    let mut right = cell.right();
    if wants {
        let (glyph, ink) = if to_do {
            (icons::BOUNDING_BOX, t.accent)
        } else {
            (icons::CHECK, t.text_weak)
        };
        let at = pos2(right, y);
        painter.text(
            at,
            egui::Align2::RIGHT_CENTER,
            glyph,
            tokens::icon(14.0),
            ink,
        );
        right -= 20.0;
    }
    if let Some(class) = class {
        class_dot(&painter, t, pos2(cell.left() + 4.5, y), class.color);
    }
    let left = cell.left() + 15.0;
    let ink = if selected { t.text_strong } else { t.text_weak };
    let name = elided(
        &painter,
        image.name(),
        FontId::proportional(11.0),
        ink,
        right - left,
    );
    painter.galley(pos2(left, y - name.size().y / 2.0), name, ink);

    if response.clicked() {
        ui.memory_mut(|memory| memory.request_focus(gallery));
        cx.commands.send(Command::Select(image.id));
    }
    if response.double_clicked() {
        cx.commands.send(Command::Annotate(image.id));
    }
    response.on_hover_ui(|ui| about_ui(ui, cx, image, &picture));
}

/// What is known of an image, as a tooltip.
fn about_ui(ui: &mut Ui, cx: &Context<'_>, image: &Image, picture: &Picture) {
    let t = Tokens::of(ui);
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.label(
        egui::RichText::new(image.name())
            .font(tokens::medium(13.0))
            .color(t.text_strong),
    );
    let class = cx.project.class(image.class);
    let class = class.map_or("no class", |class| class.name.as_str());
    ui.label(format!("{class}, {}", image.part.name()));
    if image.group != image.path {
        ui.label(format!("patient or lesion {}", image.group));
    }
    let size = image.size;
    ui.label(format!("{} \u{d7} {} pixels", size.width, size.height));
    if let Picture::Failed(why) = picture {
        ui.colored_label(t.warning, why.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_fill_the_width() {
        for (width, columns, cell) in [
            (1120.0, 8, 122.0),
            (960.0, 7, 118.0),
            (1600.0, 12, 116.0),
            (100.0, 1, 112.0),
        ] {
            let grid = Grid::new(width, 1.0);
            assert_eq!((grid.columns, grid.cell.x), (columns, cell), "{width}");
        }
    }

    #[test]
    fn only_visible_places_are_laid_out() {
        let grid = Grid::new(1120.0, 0.75);
        let (top, bottom) = (50_000.0, 50_600.0);
        let visible = grid.visible(top, bottom, 100_000);
        assert!(visible.len() <= 7 * grid.columns, "{visible:?}");
        let origin = egui::Pos2::ZERO;
        assert!(grid.rect(origin, visible.start).top() <= top);
        assert!(grid.rect(origin, visible.end).top() >= bottom);
        assert_eq!(grid.visible(0.0, 600.0, 3), 0..3);
        assert_eq!(grid.visible(0.0, 600.0, 0), 0..0);
    }

    #[test]
    fn keys_stay_inside() {
        // Ten images in rows of four.
        for (from, key, to) in [
            (Some(5), Key::ArrowLeft, 4),
            (Some(0), Key::ArrowLeft, 0),
            (Some(9), Key::ArrowRight, 9),
            (Some(1), Key::ArrowUp, 1),
            (Some(5), Key::ArrowUp, 1),
            (Some(5), Key::ArrowDown, 9),
            (Some(7), Key::ArrowDown, 9),
            (Some(8), Key::ArrowDown, 8),
            (Some(1), Key::PageDown, 9),
            (Some(9), Key::PageUp, 1),
            (Some(9), Key::Home, 0),
            (None, Key::ArrowDown, 0),
        ] {
            assert_eq!(moved(from, key, 4, 2, 10), Some(to), "{from:?} {key:?}");
        }
        assert_eq!(moved(None, Key::ArrowDown, 4, 2, 0), None);
    }
}
