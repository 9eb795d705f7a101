//! Pixels of an image and boxes in them. Every transform that moves pixels moves boxes with them.

use serde::{Deserialize, Serialize};

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageSize {
    pub width: u32,
    pub height: u32,
}

impl ImageSize {
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    #[must_use]
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }
}

/// A bounding box, xyxy, in pixels; x to the right, y down, the edges between pixels: the box
/// `0, 0, 1, 1` is exactly the first pixel. Always `x0 < x1`, `y0 < y1`, all four finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 4]", into = "[f64; 4]")]
pub struct BoundingBox {
    x0: f64,
    y0: f64,
    x1: f64,
    y1: f64,
}

/// Four numbers that are not a box.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is not a box: it needs four finite numbers, the right edge beyond the left and the lower beyond the upper"
)]
pub struct NotABox(pub [f64; 4]);

impl BoundingBox {
    /// # Errors
    /// Where a number is not finite or the box has no area.
    pub fn new(x0: f64, y0: f64, x1: f64, y1: f64) -> Result<Self, NotABox> {
        let finite = [x0, y0, x1, y1].iter().all(|v| v.is_finite());
        if finite && x0 < x1 && y0 < y1 {
            Ok(Self { x0, y0, x1, y1 })
        } else {
            Err(NotABox([x0, y0, x1, y1]))
        }
    }

    /// The box between two opposite corners, in any order, cut to the image.
    ///
    /// # Errors
    /// Where nothing of it lies in the image.
    pub fn from_corners(a: [f64; 2], b: [f64; 2], size: ImageSize) -> Result<Self, NotABox> {
        let (w, h) = (f64::from(size.width), f64::from(size.height));
        Self::new(
            a[0].min(b[0]).clamp(0.0, w),
            a[1].min(b[1]).clamp(0.0, h),
            a[0].max(b[0]).clamp(0.0, w),
            a[1].max(b[1]).clamp(0.0, h),
        )
    }

    /// `[x0, y0, x1, y1]`.
    #[must_use]
    pub const fn xyxy(self) -> [f64; 4] {
        [self.x0, self.y0, self.x1, self.y1]
    }

    #[must_use]
    pub fn width(self) -> f64 {
        self.x1 - self.x0
    }

    #[must_use]
    pub fn height(self) -> f64 {
        self.y1 - self.y0
    }

    #[must_use]
    pub fn area(self) -> f64 {
        self.width() * self.height()
    }

    /// Intersection over union: 0 where they do not overlap, 1 where they are the same.
    #[must_use]
    pub fn iou(self, other: Self) -> f64 {
        let width = self.x1.min(other.x1) - self.x0.max(other.x0);
        let height = self.y1.min(other.y1) - self.y0.max(other.y0);
        let shared = width.max(0.0) * height.max(0.0);
        shared / (self.area() + other.area() - shared)
    }

    #[must_use]
    pub fn contains(self, [x, y]: [f64; 2]) -> bool {
        self.x0 <= x && x <= self.x1 && self.y0 <= y && y <= self.y1
    }

    /// Cut to the image.
    ///
    /// # Errors
    /// Where nothing of it lies in the image.
    pub fn clamped(self, size: ImageSize) -> Result<Self, NotABox> {
        Self::from_corners([self.x0, self.y0], [self.x1, self.y1], size)
    }

    /// Whether it lies in the image with all of its area.
    #[must_use]
    pub fn fits(self, size: ImageSize) -> bool {
        self.x0 >= 0.0
            && self.y0 >= 0.0
            && self.x1 <= f64::from(size.width)
            && self.y1 <= f64::from(size.height)
    }

    /// Moved by `delta`, stopped at the image's edges with its size kept.
    #[must_use]
    pub fn moved(self, [dx, dy]: [f64; 2], size: ImageSize) -> Self {
        let stop = |low: f64, high: f64, limit: u32, d: f64| {
            d.clamp((-low).min(0.0), (f64::from(limit) - high).max(0.0))
        };
        let dx = stop(self.x0, self.x1, size.width, dx);
        let dy = stop(self.y0, self.y1, size.height, dy);
        Self {
            x0: self.x0 + dx,
            y0: self.y0 + dy,
            x1: self.x1 + dx,
            y1: self.y1 + dy,
        }
    }

    /// Its sides times `factor` about its centre, cut to the image.
    ///
    /// # Errors
    /// Where nothing of it lies in the image.
    pub fn scaled(self, factor: f64, size: ImageSize) -> Result<Self, NotABox> {
        // Not from the centre, so that 1 gives back the box to the last bit.
        let (dx, dy) = (
            self.width() / 2.0 * (factor - 1.0),
            self.height() / 2.0 * (factor - 1.0),
        );
        Self::from_corners(
            [self.x0 - dx, self.y0 - dy],
            [self.x1 + dx, self.y1 + dy],
            size,
        )
    }

    /// The same box after the image was resized, sides scaled separately.
    #[must_use]
    pub fn resized(self, from: ImageSize, to: ImageSize) -> Self {
        let sx = f64::from(to.width) / f64::from(from.width);
        let sy = f64::from(to.height) / f64::from(from.height);
        Self {
            x0: self.x0 * sx,
            y0: self.y0 * sy,
            x1: self.x1 * sx,
            y1: self.y1 * sy,
        }
    }

    /// The same box after the image was mirrored left to right.
    #[must_use]
    pub fn flipped_horizontally(self, size: ImageSize) -> Self {
        let w = f64::from(size.width);
        Self {
            x0: w - self.x1,
            x1: w - self.x0,
            ..self
        }
    }

    /// The same box after the image was mirrored top to bottom.
    #[must_use]
    pub fn flipped_vertically(self, size: ImageSize) -> Self {
        let h = f64::from(size.height);
        Self {
            y0: h - self.y1,
            y1: h - self.y0,
            ..self
        }
    }
}

impl TryFrom<[f64; 4]> for BoundingBox {
    type Error = NotABox;

    fn try_from([x0, y0, x1, y1]: [f64; 4]) -> Result<Self, NotABox> {
        Self::new(x0, y0, x1, y1)
    }
}

impl From<BoundingBox> for [f64; 4] {
    fn from(b: BoundingBox) -> Self {
        b.xyxy()
    }
}

/// How the stored pixels have to be turned to be shown: EXIF's orientation, 1 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation(u8);

impl Orientation {
    /// EXIF's number; anything outside 1..=8 means "as stored", as every viewer has it.
    #[must_use]
    pub const fn from_exif(value: u32) -> Self {
        match value {
            2..=8 => Self(value as u8 - 1),
            _ => Self(0),
        }
    }

    /// EXIF's number, 1..=8.
    #[must_use]
    pub const fn exif(self) -> u8 {
        self.0 + 1
    }

    /// The size as shown of an image stored with `size`.
    #[must_use]
    pub const fn shown(self, size: ImageSize) -> ImageSize {
        if self.exif() >= 5 {
            ImageSize::new(size.height, size.width)
        } else {
            size
        }
    }
}
