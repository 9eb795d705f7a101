//! Where an image stands on the screen, and which part of a box is under the pointer. Geometry only.
//!
//! Pixels of the image are `[x, y]` in `f64`, as boxes have them; points of the screen are egui's [`Pos2`].
//! [`View`] is the one way from either to the other.

use care_data::geometry::NotABox;
use care_data::{BoundingBox, ImageSize};
use egui::{CursorIcon, Pos2, Rect, Vec2, pos2};

/// Points left free round a fitted image.
const MARGIN: f32 = 16.0;
/// Most points to a pixel: beyond that a pixel is only a larger square.
const MAX_SCALE: f64 = 40.0;

/// The transform from image to screen: the pixel `p` stands at `origin + scale * p`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    origin: [f64; 2],
    scale: f64,
}

impl View {
    /// The whole image in the middle of `area`.
    #[must_use]
    pub fn fit(size: ImageSize, area: Rect) -> Self {
        let room = area.shrink(MARGIN).size().max(Vec2::splat(1.0));
        let scale = (f64::from(room.x) / f64::from(size.width))
            .min(f64::from(room.y) / f64::from(size.height));
        Self::centred(middle(size), scale, area)
    }

    /// `pixel` in the middle of `area`, at `scale` points a pixel.
    #[must_use]
    pub fn centred(pixel: [f64; 2], scale: f64, area: Rect) -> Self {
        let centre = area.center();
        Self {
            origin: [
                f64::from(centre.x) - scale * pixel[0],
                f64::from(centre.y) - scale * pixel[1],
            ],
            scale,
        }
    }

    /// Points of the screen to a pixel of the image.
    #[must_use]
    pub fn scale(self) -> f64 {
        self.scale
    }

    #[must_use]
    pub fn to_screen(self, [x, y]: [f64; 2]) -> Pos2 {
        pos2(
            (self.origin[0] + self.scale * x) as f32,
            (self.origin[1] + self.scale * y) as f32,
        )
    }

    #[must_use]
    pub fn to_image(self, at: Pos2) -> [f64; 2] {
        [
            (f64::from(at.x) - self.origin[0]) / self.scale,
            (f64::from(at.y) - self.origin[1]) / self.scale,
        ]
    }

    #[must_use]
    pub fn box_to_screen(self, rect: BoundingBox) -> Rect {
        let [x0, y0, x1, y1] = rect.xyxy();
        Rect::from_min_max(self.to_screen([x0, y0]), self.to_screen([x1, y1]))
    }

    /// The rectangle of the whole image.
    #[must_use]
    pub fn image_rect(self, size: ImageSize) -> Rect {
        let corner = [f64::from(size.width), f64::from(size.height)];
        Rect::from_min_max(self.to_screen([0.0, 0.0]), self.to_screen(corner))
    }

    /// Enlarged `factor` times; the pixel under `at` stays there.
    #[must_use]
    pub fn zoomed(self, factor: f64, at: Pos2) -> Self {
        let keep = |at: f32, origin: f64| f64::from(at) - factor * (f64::from(at) - origin);
        Self {
            origin: [keep(at.x, self.origin[0]), keep(at.y, self.origin[1])],
            scale: self.scale * factor,
        }
    }

    #[must_use]
    pub fn moved(self, by: Vec2) -> Self {
        let [x, y] = self.origin;
        Self {
            origin: [x + f64::from(by.x), y + f64::from(by.y)],
            ..self
        }
    }
}

/// What the user zoomed and moved to. Kept apart from the window's size, so that resizing the window keeps the middle.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Zoom {
    #[default]
    Fit,
    At {
        /// The pixel in the middle of the canvas.
        centre: [f64; 2],
        scale: f64,
    },
}

impl Zoom {
    #[must_use]
    pub fn view(self, size: ImageSize, area: Rect) -> View {
        match self {
            Self::Fit => View::fit(size, area),
            Self::At { centre, scale } => View::centred(centre, scale, area),
        }
    }

    /// As `view` has it, within reason: neither so far away nor so much to the side that the image is lost.
    #[must_use]
    pub fn from_view(view: View, size: ImageSize, area: Rect) -> Self {
        let [x, y] = view.to_image(area.center());
        let (w, h) = (f64::from(size.width), f64::from(size.height));
        Self::At {
            centre: [x.clamp(0.0, w), y.clamp(0.0, h)],
            scale: view.scale,
        }
    }

    /// `factor`, cut so that the scale stays between half the fitted one and [`MAX_SCALE`].
    #[must_use]
    pub fn limited(view: View, factor: f64, size: ImageSize, area: Rect) -> f64 {
        let fitted = View::fit(size, area).scale;
        let scale = (view.scale * factor).clamp(0.5 * fitted.min(MAX_SCALE), fitted.max(MAX_SCALE));
        scale / view.scale
    }
}

fn middle(size: ImageSize) -> [f64; 2] {
    [f64::from(size.width) / 2.0, f64::from(size.height) / 2.0]
}

/// One of a box's eight handles: -1 for its left or upper edge, 1 for its right or lower one, 0 for neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    x: i8,
    y: i8,
}

impl Handle {
    pub const ALL: [Self; 8] = {
        const fn at(x: i8, y: i8) -> Handle {
            Handle { x, y }
        }
        [
            at(-1, -1),
            at(1, -1),
            at(-1, 1),
            at(1, 1),
            at(0, -1),
            at(0, 1),
            at(-1, 0),
            at(1, 0),
        ]
    };

    /// The handles that a box drawn over `rect` has room for; the corners always.
    pub fn of(rect: Rect) -> impl Iterator<Item = Self> {
        const ROOM: f32 = 36.0;
        Self::ALL.into_iter().filter(move |handle| {
            (handle.x != 0 || rect.width() >= ROOM) && (handle.y != 0 || rect.height() >= ROOM)
        })
    }

    #[must_use]
    pub fn on(self, rect: Rect) -> Pos2 {
        rect.center() + Vec2::new(f32::from(self.x), f32::from(self.y)) * rect.size() / 2.0
    }

    /// The box after this handle was dragged by `delta` pixels. Dragged past the opposite edge, the box turns over.
    ///
    /// # Errors
    /// Where nothing of it is left in the image.
    pub fn drag(
        self,
        rect: BoundingBox,
        delta: [f64; 2],
        size: ImageSize,
    ) -> Result<BoundingBox, NotABox> {
        let [mut x0, mut y0, mut x1, mut y1] = rect.xyxy();
        match self.x {
            -1 => x0 += delta[0],
            1 => x1 += delta[0],
            _ => {}
        }
        match self.y {
            -1 => y0 += delta[1],
            1 => y1 += delta[1],
            _ => {}
        }
        BoundingBox::from_corners([x0, y0], [x1, y1], size)
    }

    /// The edge of a box drawn over `rect` that is under `at`.
    #[must_use]
    pub fn of_edge(at: Pos2, rect: Rect) -> Option<Self> {
        match Part::under(at, rect)? {
            Part::Inside => None,
            Part::Handle(_) => Self::nearest_edge(at, rect),
        }
    }

    fn nearest_edge(at: Pos2, rect: Rect) -> Option<Self> {
        let far = |handle: &Self| match (handle.x, handle.y) {
            (x, 0) => (at.x - rect.center().x - f32::from(x) * rect.width() / 2.0).abs(),
            (_, y) => (at.y - rect.center().y - f32::from(y) * rect.height() / 2.0).abs(),
        };
        Self::ALL
            .into_iter()
            .filter(|handle| handle.x == 0 || handle.y == 0)
            .min_by(|a, b| far(a).total_cmp(&far(b)))
    }

    /// The drag that makes a box larger by so many pixels.
    #[must_use]
    pub fn outwards(self, by: f64) -> [f64; 2] {
        [f64::from(self.x) * by, f64::from(self.y) * by]
    }

    #[must_use]
    pub fn cursor(self) -> CursorIcon {
        match (self.x, self.y) {
            (0, _) => CursorIcon::ResizeVertical,
            (_, 0) => CursorIcon::ResizeHorizontal,
            (x, y) if x == y => CursorIcon::ResizeNwSe,
            _ => CursorIcon::ResizeNeSw,
        }
    }
}

/// A part of a box that the pointer can take hold of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A handle, or the edge that a handle moves.
    Handle(Handle),
    Inside,
}

impl Part {
    /// The part of a box drawn over `rect` that is under `at`; the nearest handle where several are.
    #[must_use]
    pub fn under(at: Pos2, rect: Rect) -> Option<Self> {
        /// Half of a handle's hit area of 16 points.
        const REACH: f32 = 8.0;
        const EDGE: f32 = 4.0;
        // Of a small box the middle is left to move it by.
        let inwards = (rect.size() / 3.0).min(Vec2::splat(REACH));
        let reached = |handle: &Handle| {
            let to = at - handle.on(rect);
            let within = |to: f32, side: i8, inwards: f32| {
                let inside = if side == 0 {
                    to.abs() <= REACH
                } else {
                    to * f32::from(-side) <= inwards
                };
                inside && to.abs() <= REACH
            };
            within(to.x, handle.x, inwards.x) && within(to.y, handle.y, inwards.y)
        };
        let nearest = Handle::of(rect)
            .filter(reached)
            .min_by(|a, b| a.on(rect).distance(at).total_cmp(&b.on(rect).distance(at)));
        if let Some(handle) = nearest {
            Some(Self::Handle(handle))
        } else if !rect.expand(EDGE).contains(at) {
            None
        } else if rect.shrink2(inwards.min(Vec2::splat(EDGE))).contains(at) {
            Some(Self::Inside)
        } else {
            Handle::nearest_edge(at, rect).map(Self::Handle)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AREA: Rect = Rect {
        min: pos2(270.0, 92.0),
        max: pos2(1136.0, 876.0),
    };

    fn size() -> impl Strategy<Value = ImageSize> {
        (1u32..10_000, 1u32..10_000).prop_map(|(w, h)| ImageSize::new(w, h))
    }

    proptest! {
        #[test]
        fn the_inverse_brings_the_pointer_back(
            size in size(),
            factor in 0.5f64..30.0,
            at in (270.0f32..1136.0, 92.0f32..876.0),
            by in (-300.0f32..300.0, -300.0f32..300.0),
            pointer in (0.0f32..1920.0, 0.0f32..1080.0),
        ) {
            let view = View::fit(size, AREA).zoomed(factor, at.into()).moved(by.into());
            let pointer = Pos2::from(pointer);
            let back = view.to_screen(view.to_image(pointer));
            prop_assert!(back.distance(pointer) < 1e-3, "{pointer} came back as {back}");
        }

        #[test]
        fn the_pixel_under_the_pointer_stays_there(
            size in size(),
            factor in 0.1f64..30.0,
            at in (270.0f32..1136.0, 92.0f32..876.0),
        ) {
            let view = View::fit(size, AREA);
            let (before, at) = (view.to_image(at.into()), Pos2::from(at));
            let after = view.zoomed(factor, at).to_image(at);
            let tolerance = 1e-9 * f64::from(size.width.max(size.height));
            prop_assert!((before[0] - after[0]).abs() <= tolerance);
            prop_assert!((before[1] - after[1]).abs() <= tolerance);
        }

        #[test]
        fn a_fitted_image_lies_inside_and_touches_two_margins(size in size()) {
            let rect = View::fit(size, AREA).image_rect(size);
            prop_assert!(AREA.shrink(MARGIN - 0.01).contains_rect(rect));
            let free = AREA.shrink(MARGIN).size() - rect.size();
            prop_assert!(free.min_elem() < 0.01, "{free}");
            prop_assert!(rect.center().distance(AREA.center()) < 0.01);
        }

        #[test]
        fn a_resized_box_stays_in_the_image(
            handle in prop::sample::select(&Handle::ALL[..]),
            delta in (-900.0f64..900.0, -900.0f64..900.0),
        ) {
            let size = ImageSize::new(600, 450);
            let rect = BoundingBox::new(100.0, 80.0, 300.0, 200.0).unwrap();
            if let Ok(resized) = handle.drag(rect, delta.into(), size) {
                prop_assert_eq!(resized, resized.clamped(size).unwrap());
            }
        }
    }

    #[test]
    fn resizing_the_window_keeps_the_middle() {
        let size = ImageSize::new(600, 450);
        let view = View::fit(size, AREA).zoomed(4.0, pos2(500.0, 300.0));
        let zoom = Zoom::from_view(view, size, AREA);
        let larger = AREA
            .expand2(Vec2::new(200.0, 50.0))
            .translate(Vec2::splat(30.0));
        let before = view.to_image(AREA.center());
        let after = zoom.view(size, larger).to_image(larger.center());
        assert!((before[0] - after[0]).abs() < 1e-9 && (before[1] - after[1]).abs() < 1e-9);
    }

    #[test]
    fn a_handle_moves_its_edges_only() {
        let size = ImageSize::new(600, 450);
        let rect = BoundingBox::new(100.0, 80.0, 300.0, 200.0).unwrap();
        for (handle, expected) in [
            ((-1, -1), [110.0, 75.0, 300.0, 200.0]),
            ((1, 1), [100.0, 80.0, 310.0, 195.0]),
            ((0, -1), [100.0, 75.0, 300.0, 200.0]),
            ((1, 0), [100.0, 80.0, 310.0, 200.0]),
        ] {
            let (x, y) = handle;
            let resized = Handle { x, y }.drag(rect, [10.0, -5.0], size).unwrap();
            assert_eq!(resized.xyxy(), expected, "{handle:?}");
        }
        let over = Handle { x: -1, y: 0 }
            .drag(rect, [250.0, 0.0], size)
            .unwrap();
        assert_eq!(over.xyxy(), [300.0, 80.0, 350.0, 200.0], "turned over");
    }

    #[test]
    fn parts_of_a_box() {
        let rect = Rect::from_min_max(pos2(100.0, 100.0), pos2(300.0, 200.0));
        let corner = Handle { x: -1, y: -1 };
        for (at, expected) in [
            ((100.0, 100.0), Some(Part::Handle(corner))),
            ((93.0, 107.0), Some(Part::Handle(corner))),
            ((300.0, 150.0), Some(Part::Handle(Handle { x: 1, y: 0 }))),
            ((150.0, 102.0), Some(Part::Handle(Handle { x: 0, y: -1 }))),
            ((150.0, 97.0), Some(Part::Handle(Handle { x: 0, y: -1 }))),
            ((102.0, 125.0), Some(Part::Handle(Handle { x: -1, y: 0 }))),
            ((150.0, 150.0), Some(Part::Inside)),
            ((150.0, 90.0), None),
        ] {
            assert_eq!(Part::under(at.into(), rect), expected, "at {at:?}");
        }
    }

    #[test]
    fn a_small_box_keeps_its_corners() {
        let small = Rect::from_min_size(pos2(0.0, 0.0), Vec2::splat(10.0));
        assert_eq!(Handle::of(small).count(), 4);
        assert_eq!(Handle::of(small.expand(50.0)).count(), 8);
        assert_eq!(
            Part::under(pos2(9.0, 9.0), small),
            Some(Part::Handle(Handle { x: 1, y: 1 }))
        );
    }
}
