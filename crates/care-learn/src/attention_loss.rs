//! The attention loss (Eqs. 1 to 4), on the activation map's own grid.
//!
//! The loss meets F only through sums against fixed masks, and enlarging is linear: `<M, up(f)> = <up^T(M), f>`. So
//! each image's masks are brought down to h x w ([`GridMasks`]; once, or for each view where images are augmented) and
//! no map is ever enlarged while training.

use std::borrow::Borrow;

use care_data::{BoundingBox, ImageSize};
use tch::{Device, Kind, Tensor};

use crate::augment::Affine;
use crate::config::{LiveParams, Outside};
use crate::event::AttentionMap;

/// Bilinear enlarging (align_corners = false) of an h x w grid to the network's input, and its adjoint.
#[derive(Debug, Clone)]
pub struct Upsampling {
    /// For each row of the input, the grid rows it is made of.
    rows: Vec<[(usize, f64); 2]>,
    columns: Vec<[(usize, f64); 2]>,
    height: usize,
    width: usize,
}

impl Upsampling {
    /// From `height` x `width` to `size`. All have to be at least 1.
    #[must_use]
    pub fn new(height: usize, width: usize, size: ImageSize) -> Self {
        Self {
            rows: taps(height, size.height as usize),
            columns: taps(width, size.width as usize),
            height,
            width,
        }
    }

    /// The enlarged map, row by row.
    #[must_use]
    pub fn up(&self, grid: &[f64]) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.rows.len() * self.columns.len());
        for row in &self.rows {
            for column in &self.columns {
                let at =
                    |(i, a): (usize, f64), (j, b): (usize, f64)| a * b * grid[i * self.width + j];
                out.push(
                    row.iter()
                        .flat_map(|r| column.iter().map(move |c| at(*r, *c)))
                        .sum(),
                );
            }
        }
        out
    }

    /// `up^T`: a mask of the input's size brought down, such that `<mask, up(f)> = <down(mask), f>`.
    #[must_use]
    pub fn down(&self, mask: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.height * self.width];
        let mut line = vec![0.0; self.width];
        for (values, row) in mask.chunks_exact(self.columns.len()).zip(&self.rows) {
            line.fill(0.0);
            for (value, [(i, a), (j, b)]) in values.iter().zip(&self.columns) {
                // Most of a mask is.
                if *value != 0.0 {
                    line[*i] += a * value;
                    line[*j] += b * value;
                }
            }
            for (i, a) in row {
                let cells = &mut out[i * self.width..][..self.width];
                for (cell, value) in cells.iter_mut().zip(&line) {
                    *cell += a * value;
                }
            }
        }
        out
    }
}

fn taps(from: usize, to: usize) -> Vec<[(usize, f64); 2]> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let at = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
            let low = (at.floor() as usize).min(from - 1);
            let share = at - low as f64;
            [(low, 1.0 - share), ((low + 1).min(from - 1), share)]
        })
        .collect()
}

/// One image's boxes on the network's input, where a pixel is inside if its centre is.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    size: ImageSize,
    /// xyxy in pixels of the input; a side so short that it holds no centre is that of the pixel it lies in.
    boxes: Vec<[f64; 4]>,
}

impl Raster {
    /// `image` is the size that the boxes are given in, `input` the network's.
    #[must_use]
    pub fn new(boxes: &[BoundingBox], image: ImageSize, input: ImageSize) -> Self {
        let boxes = boxes
            .iter()
            .map(|rect| {
                let [x0, y0, x1, y1] = rect.resized(image, input).xyxy();
                let [x0, x1] = with_a_centre(x0, x1, input.width);
                let [y0, y1] = with_a_centre(y0, y1, input.height);
                [x0, y0, x1, y1]
            })
            .collect();
        Self { size: input, boxes }
    }

    /// As they are learned from: their sides times `scale` about their centres, cut to the image.
    #[must_use]
    pub fn scaled(boxes: &[BoundingBox], scale: f64, image: ImageSize, input: ImageSize) -> Self {
        let scaled = boxes
            .iter()
            .filter_map(|rect| rect.scaled(scale, image).ok());
        Self::new(&scaled.collect::<Vec<_>>(), image, input)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.boxes.is_empty()
    }

    #[must_use]
    pub fn contains(&self, x: u32, y: u32) -> bool {
        let centre = [x, y].map(|at| f64::from(at) + 0.5);
        self.boxes.iter().any(|rect| holds(rect, centre))
    }

    /// M_in of the whole image, row by row; zeros without a box.
    #[must_use]
    pub fn inside(&self) -> Vec<f64> {
        self.seen_through(&Affine::IDENTITY).map_or_else(
            || vec![0.0; self.size.area() as usize],
            |mask| mask.inside(),
        )
    }

    /// The pixels of a view (`to_source` maps them to the image's) whose centres come from inside a box: a box that is
    /// turned stays a turned box. One that covers no centre covers the pixel that its middle comes to lie in. None
    /// where no box is in the view.
    #[must_use]
    pub fn seen_through(&self, to_source: &Affine) -> Option<Mask> {
        let [width, height] = [self.size.width, self.size.height].map(|side| side as usize);
        let to_view = to_source.inverse();
        let mut inside = vec![false; width * height];
        for rect @ [x0, y0, x1, y1] in &self.boxes {
            let corners = [[*x0, *y0], [*x1, *y0], [*x0, *y1], [*x1, *y1]];
            let corners = corners.map(|corner| to_view.apply(corner));
            // `as` saturates.
            let reach = |axis: usize, side: usize| {
                let at = corners.map(|corner| corner[axis]);
                let low = at.into_iter().fold(f64::INFINITY, f64::min).floor() as usize;
                let high = at.into_iter().fold(0.0, f64::max).ceil() as usize;
                low..high.min(side)
            };
            let mut covers = false;
            let [step_x, step_y] = to_source.0.map(|[step, ..]| step);
            let columns = reach(0, width);
            for y in reach(1, height) {
                let [from_x, from_y] = to_source.apply([0.5, y as f64 + 0.5]);
                for x in columns.clone() {
                    let at = [from_x + step_x * x as f64, from_y + step_y * x as f64];
                    if holds(rect, at) {
                        inside[y * width + x] = true;
                        covers = true;
                    }
                }
            }
            let middle = to_view.apply([(x0 + x1) / 2.0, (y0 + y1) / 2.0]);
            let [x, y] = middle.map(f64::floor);
            let in_view = (0.0..width as f64).contains(&x) && (0.0..height as f64).contains(&y);
            if !covers && in_view {
                inside[y as usize * width + x as usize] = true;
            }
        }
        inside.contains(&true).then_some(Mask { width, inside })
    }
}

/// Half-open, so that of two boxes side by side one has the pixel on their border.
fn holds([x0, y0, x1, y1]: &[f64; 4], [x, y]: [f64; 2]) -> bool {
    *x0 <= x && x < *x1 && *y0 <= y && y < *y1
}

/// `low..high` where a pixel's centre lies in it, or else the pixel that its middle lies in.
fn with_a_centre(low: f64, high: f64, side: u32) -> [f64; 2] {
    let side = f64::from(side);
    let first = (low - 0.5).ceil().max(0.0) + 0.5;
    if first < high.min(side) {
        [low, high]
    } else {
        let pixel = ((low + high) / 2.0).floor().clamp(0.0, side - 1.0);
        [pixel, pixel + 1.0]
    }
}

/// The pixels of the network's input that are inside a box; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    /// Row by row.
    inside: Vec<bool>,
}

impl Mask {
    /// Whether a pixel is, by its place row by row.
    #[must_use]
    pub fn has(&self, pixel: usize) -> bool {
        self.inside[pixel]
    }

    /// M_in: 1 inside any box, 0 elsewhere, row by row.
    #[must_use]
    pub fn inside(&self) -> Vec<f64> {
        self.inside
            .iter()
            .map(|v| f64::from(u8::from(*v)))
            .collect()
    }

    /// M_out: 0 inside any box; outside 1, or the distance to the nearest pixel inside over the largest such distance.
    /// Both are those of the view, not of the image.
    #[must_use]
    pub fn outside(&self, outside: Outside) -> Vec<f64> {
        match outside {
            Outside::Uniform => self
                .inside
                .iter()
                .map(|v| f64::from(u8::from(!*v)))
                .collect(),
            Outside::Distance => {
                let mut mask = self.distances();
                let largest = mask.iter().copied().fold(0.0, f64::max);
                if largest > 0.0 {
                    mask.iter_mut().for_each(|d| *d /= largest);
                }
                mask
            }
        }
    }

    /// From each pixel to the nearest one inside: along the columns first, then along the rows by the lower envelope of
    /// parabolas (Felzenszwalb and Huttenlocher, Distance Transforms of Sampled Functions, 2012).
    fn distances(&self) -> Vec<f64> {
        let Self { width, inside } = self;
        let height = inside.len() / width;
        // A column without a pixel inside is farther away than any pixel can be.
        let mut vertical = vec![(width + height) as f64; inside.len()];
        for i in 0..inside.len() {
            if inside[i] {
                vertical[i] = 0.0;
            } else if i >= *width {
                vertical[i] = vertical[i - width] + 1.0;
            }
        }
        for i in (0..inside.len() - width).rev() {
            vertical[i] = vertical[i].min(vertical[i + width] + 1.0);
        }
        let mut distances = Vec::with_capacity(inside.len());
        // The parabolas that are the lowest somewhere, each with its column, its height at column 0 and where it begins.
        let mut envelope: Vec<(usize, f64, f64)> = Vec::with_capacity(*width);
        for row in vertical.chunks_exact(*width) {
            envelope.clear();
            for (column, distance) in row.iter().enumerate() {
                let height = distance * distance + (column * column) as f64;
                let mut begins = f64::NEG_INFINITY;
                while let Some((other, other_height, other_begins)) = envelope.last() {
                    begins = (height - other_height) / (2 * (column - other)) as f64;
                    if begins > *other_begins {
                        break;
                    }
                    envelope.pop();
                    begins = f64::NEG_INFINITY;
                }
                envelope.push((column, height, begins));
            }
            let mut lowest = 0;
            for column in 0..*width {
                let x = column as f64;
                while envelope
                    .get(lowest + 1)
                    .is_some_and(|(.., begins)| *begins <= x)
                {
                    lowest += 1;
                }
                let (nearest, height, _) = envelope[lowest];
                // (x - nearest)^2 + distance^2, a whole number.
                distances.push((height + x * (x - 2.0 * nearest as f64)).sqrt());
            }
        }
        distances
    }
}

/// One image's masks on the activation map's grid, each h x w, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct GridMasks {
    /// `up^T(M_in) / sum(M_in)`: its product with f is the mean of F inside.
    pub inside: Vec<f64>,
    /// `up^T(M_out) / sum(M_out)`; zeros where there is no outside.
    pub outside: Vec<f64>,
}

impl GridMasks {
    /// Of the whole image; none without a box.
    #[must_use]
    pub fn new(raster: &Raster, outside: Outside, upsampling: &Upsampling) -> Option<Self> {
        let mask = raster.seen_through(&Affine::IDENTITY)?;
        Some(Self::of(&mask, outside, upsampling))
    }

    #[must_use]
    pub fn of(mask: &Mask, outside: Outside, upsampling: &Upsampling) -> Self {
        Self {
            inside: mean_weights(&mask.inside(), upsampling),
            outside: mean_weights(&mask.outside(outside), upsampling),
        }
    }

    /// `sum(M_in F) / sum(M_in)`.
    #[must_use]
    pub fn mean_inside(&self, map: &AttentionMap) -> f64 {
        product(&self.inside, map)
    }

    /// `sum(M_out F) / sum(M_out)`, 0 where there is no outside.
    #[must_use]
    pub fn mean_outside(&self, map: &AttentionMap) -> f64 {
        product(&self.outside, map)
    }
}

fn mean_weights(mask: &[f64], upsampling: &Upsampling) -> Vec<f64> {
    let sum: f64 = mask.iter().sum();
    let mut down = upsampling.down(mask);
    if sum > 0.0 {
        down.iter_mut().for_each(|v| *v /= sum);
    }
    down
}

fn product(weights: &[f64], map: &AttentionMap) -> f64 {
    weights
        .iter()
        .zip(&map.values)
        .map(|(w, f)| w * f64::from(*f))
        .sum()
}

/// The masks of a batch's images with boxes, on the device: [B, h w] each.
#[derive(Debug)]
pub struct MaskBatch {
    inside: Tensor,
    outside: Tensor,
}

impl MaskBatch {
    #[must_use]
    pub fn new(masks: &[impl Borrow<GridMasks>], kind: Kind, device: Device) -> Self {
        let stack = |part: fn(&GridMasks) -> &[f64]| {
            let each = masks.iter().flat_map(|m| part(m.borrow()));
            let values: Vec<f64> = each.copied().collect();
            Tensor::from_slice(&values)
                .view([masks.len() as i64, -1])
                .to_kind(kind)
                .to_device(device)
        };
        Self {
            inside: stack(|m| &m.inside),
            outside: stack(|m| &m.outside),
        }
    }
}

/// L_in, L_out and L_a, each the mean over the images with boxes.
#[derive(Debug)]
pub struct Terms {
    pub l_in: Tensor,
    pub l_out: Tensor,
    pub l_a: Tensor,
}

/// Eqs. 2 to 4 for F [B, h, w] of the images with boxes, B at least 1.
pub fn attention_terms(attention: &Tensor, masks: &MaskBatch, live: &LiveParams) -> Terms {
    let flat = attention.flatten(1, 2);
    let mean = |mask: &Tensor| (&flat * mask).sum_dim_intlist([1].as_slice(), false, flat.kind());
    let l_in = -mean(&masks.inside).clamp_max(live.tau).mean(flat.kind());
    let l_out = mean(&masks.outside).mean(flat.kind());
    let l_a = &l_in + live.lambda * &l_out;
    Terms { l_in, l_out, l_a }
}

/// Eq. 1. Without an image with boxes in the batch L_a is 0.
pub fn total(l_c: &Tensor, l_a: Option<&Tensor>, alpha: f64) -> Tensor {
    let classification = (1.0 - alpha) * l_c;
    match l_a {
        Some(l_a) => classification + alpha * l_a,
        None => classification,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::augment::{Augmenter, View, seen_through};
    use crate::config::{Augmentation, Normalisation, Preprocess};
    use crate::grad_cam::{normalise, weighted_sum};

    const IMAGE: ImageSize = ImageSize::new(40, 20);
    const INPUT: ImageSize = ImageSize::new(8, 8);

    fn raster(boxes: &[[f64; 4]]) -> Raster {
        let boxes: Vec<BoundingBox> = boxes
            .iter()
            .map(|b| BoundingBox::try_from(*b).expect("a box"))
            .collect();
        Raster::new(&boxes, IMAGE, INPUT)
    }

    fn whole(raster: &Raster) -> Mask {
        raster.seen_through(&Affine::IDENTITY).expect("a box")
    }

    fn covered(raster: &Raster) -> Vec<(u32, u32)> {
        (0..8)
            .flat_map(|y| (0..8).map(move |x| (x, y)))
            .filter(|(x, y)| raster.contains(*x, *y))
            .collect()
    }

    fn map(values: &[f64]) -> AttentionMap {
        let side = (values.len() as f64).sqrt() as usize;
        AttentionMap {
            height: side,
            width: side,
            values: values.iter().map(|v| *v as f32).collect(),
        }
    }

    #[test]
    fn boxes_cover_the_pixels_whose_centres_they_hold() {
        // The image's 40 x 20 become 8 x 8: 5 wide and 2.5 high a pixel.
        type Case<'a> = (&'a [[f64; 4]], &'a [(u32, u32)]);
        let cases: [Case; 7] = [
            (&[[0.0, 0.0, 5.0, 2.5]], &[(0, 0)]),
            (&[[5.0, 2.5, 15.0, 5.0]], &[(1, 1), (2, 1)]),
            // Just beyond, and just short of, a centre.
            (&[[5.0, 2.5, 12.6, 5.0]], &[(1, 1), (2, 1)]),
            (&[[5.0, 2.5, 12.4, 5.0]], &[(1, 1)]),
            // Thinner than a pixel, in the middle and at the far corner.
            (&[[11.0, 6.0, 11.1, 6.1]], &[(2, 2)]),
            (&[[39.9, 19.9, 40.0, 20.0]], &[(7, 7)]),
            // Two boxes are their union.
            (
                &[[0.0, 0.0, 10.0, 2.5], [5.0, 0.0, 15.0, 2.5]],
                &[(0, 0), (1, 0), (2, 0)],
            ),
        ];
        for (boxes, pixels) in cases {
            assert_eq!(covered(&raster(boxes)), pixels, "{boxes:?}");
        }
    }

    #[test]
    fn distance_grows_to_one_away_from_the_nearest_box() {
        let raster = raster(&[[0.0, 0.0, 5.0, 2.5], [35.0, 0.0, 40.0, 2.5]]);
        let mask = whole(&raster).outside(Outside::Distance);
        let at = |x: usize, y: usize| mask[y * 8 + x];
        assert_eq!((at(0, 0), at(7, 0)), (0.0, 0.0));
        let largest = f64::hypot(3.0, 7.0);
        assert!((at(3, 7) - 1.0).abs() < 1e-12 && (at(4, 7) - 1.0).abs() < 1e-12);
        assert!((at(1, 0) - 1.0 / largest).abs() < 1e-12);
        assert!((at(6, 2) - f64::hypot(1.0, 2.0) / largest).abs() < 1e-12);
    }

    /// Eqs. 3 and 4 where the answer is known: an 8 x 8 grid needs no enlarging.
    #[test]
    fn the_terms_in_closed_form() {
        let upsampling = Upsampling::new(8, 8, INPUT);
        // The left half.
        let masks = GridMasks::new(
            &raster(&[[0.0, 0.0, 20.0, 20.0]]),
            Outside::Uniform,
            &upsampling,
        )
        .expect("a box");
        let live = LiveParams {
            alpha: 0.5,
            lambda: 0.7,
            tau: 0.6,
        };
        for (left, right, l_in, l_out) in [
            (0.5, 0.25, -0.5, 0.25),
            (0.8, 0.1, -0.6, 0.1),
            (0.0, 1.0, 0.0, 1.0),
            (0.6, 0.0, -0.6, 0.0),
        ] {
            let values: Vec<f64> = (0..64)
                .map(|i| if i % 8 < 4 { left } else { right })
                .collect();
            let f = Tensor::from_slice(&values).view([1, 8, 8]);
            let terms = attention_terms(
                &f,
                &MaskBatch::new(&[&masks], Kind::Double, Device::Cpu),
                &live,
            );
            let l_a = l_in + 0.7 * l_out;
            for (name, tensor, expected) in [
                ("l_in", &terms.l_in, l_in),
                ("l_out", &terms.l_out, l_out),
                ("l_a", &terms.l_a, l_a),
            ] {
                assert!(
                    (tensor.double_value(&[]) - expected).abs() < 1e-9,
                    "{name} {left} {right}"
                );
            }
            // Of the values as a map keeps them.
            for (plain, expected) in [
                (masks.mean_inside(&map(&values)), left),
                (masks.mean_outside(&map(&values)), right),
            ] {
                assert!((plain - expected).abs() < 1e-6, "{left} {right}");
            }
        }
    }

    /// Eq. 1.
    #[test]
    fn the_whole_loss() {
        let l_c = Tensor::from(2.0);
        let l_a = Tensor::from(-0.4);
        for (alpha, with, without) in [
            (0.0, 2.0, 2.0),
            (0.5, 0.8, 1.0),
            (1.0, -0.4, 0.0),
            (0.25, 1.4, 1.5),
        ] {
            assert!((total(&l_c, Some(&l_a), alpha).double_value(&[]) - with).abs() < 1e-12);
            assert!((total(&l_c, None, alpha).double_value(&[]) - without).abs() < 1e-12);
        }
    }

    #[test]
    fn a_box_over_everything_has_no_outside() {
        let upsampling = Upsampling::new(3, 3, INPUT);
        for outside in [Outside::Uniform, Outside::Distance] {
            let masks = GridMasks::new(&raster(&[[0.0, 0.0, 40.0, 20.0]]), outside, &upsampling)
                .expect("a box");
            let full = map(&[1.0; 9]);
            assert!((masks.mean_inside(&full) - 1.0).abs() < 1e-9);
            assert_eq!(masks.mean_outside(&full), 0.0);
        }
        assert_eq!(
            GridMasks::new(&raster(&[]), Outside::Uniform, &upsampling),
            None
        );
    }

    /// Where the boxes are, by halves of the image's 40 x 20.
    #[test]
    fn masks_are_of_what_a_view_shows() {
        let left_top = raster(&[[0.0, 0.0, 5.0, 2.5]]);
        let shows = |raster: &Raster, to_source: Affine| {
            let mask = raster.seen_through(&to_source);
            mask.map(|mask| mask.inside().iter().sum::<f64>())
        };
        // Half of each side: a pixel becomes four.
        let quarter = |at| Affine::scaling([0.5, 0.5], at);
        assert_eq!(shows(&left_top, Affine::IDENTITY), Some(1.0));
        assert_eq!(shows(&left_top, quarter([0.0, 0.0])), Some(4.0));
        assert_eq!(shows(&left_top, quarter([0.5, 0.0])), Some(2.0));
        assert_eq!(shows(&left_top, quarter([2.0, 0.0])), None, "cropped away");
        assert_eq!(shows(&raster(&[]), Affine::IDENTITY), None);
        let both = raster(&[[0.0, 0.0, 5.0, 2.5], [35.0, 17.5, 40.0, 20.0]]);
        assert_eq!(shows(&both, quarter([4.0, 4.0])), Some(4.0));
        // A turned box stays one: of a square of 4 x 4, the twelve pixels of a diamond.
        let square = raster(&[[10.0, 5.0, 30.0, 15.0]]);
        let eighth = Affine::rotation(std::f64::consts::FRAC_PI_4, [4.0, 4.0]);
        assert_eq!(shows(&square, eighth), Some(12.0));
        // A box of one pixel between the centres of a view turned and moved off them.
        let speck = raster(&[[21.0, 11.0, 21.1, 11.1]]);
        let askew = Affine::rotation(std::f64::consts::FRAC_PI_4, [4.5, 4.5])
            .then(&Affine::scaling([1.0, 1.0], [0.0, f64::sqrt(0.5)]));
        let mask = speck.seen_through(&askew).expect("in the view");
        let [x, y] = askew.inverse().apply([4.5, 4.5]);
        assert_eq!(mask.inside()[y as usize * 8 + x as usize], 1.0);
    }

    /// White where the boxes are, warped by the path that pixels take.
    fn warped(boxes: &[[f64; 4]], size: ImageSize, view: View) -> Vec<f32> {
        let white = |x: u32, y: u32| {
            let at = [f64::from(x) + 0.5, f64::from(y) + 0.5];
            255 * u8::from(boxes.iter().any(|rect| holds(rect, at)))
        };
        let pixels: Vec<u8> = (0..size.height)
            .flat_map(|y| (0..size.width).flat_map(move |x| [(x, y); 3]))
            .map(|(x, y)| white(x, y))
            .collect();
        let image = Tensor::from_slice(&pixels).view([1, size.height.into(), size.width.into(), 3]);
        let preprocess = Preprocess {
            mean: [0.0; 3],
            std: [255.0; 3],
        };
        let seen = seen_through(&image, &[view], preprocess).select(1, 0);
        Vec::try_from(seen.contiguous().flatten(0, -1)).expect("numbers")
    }

    fn torch_up(grid: &[f64], h: usize, w: usize, size: ImageSize) -> Tensor {
        Tensor::from_slice(grid)
            .view([1, 1, h as i64, w as i64])
            .upsample_bilinear2d(
                [i64::from(size.height), i64::from(size.width)],
                false,
                None,
                None,
            )
    }

    fn some_boxes() -> impl Strategy<Value = Vec<[f64; 4]>> {
        let one = (0.0..39.0, 0.0..19.0, 0.01..40.0, 0.01..20.0)
            .prop_map(|(x, y, w, h)| [x, y, f64::min(x + w, 40.0), f64::min(y + h, 20.0)]);
        prop::collection::vec(one, 1..4)
    }

    proptest! {
        /// Up to the pixels on a box's border, where bilinear pixels are grey.
        #[test]
        fn masks_go_where_the_pixels_go(
            corners in prop::collection::vec((0..32u32, 0..24u32, 1..32u32, 1..24u32), 1..4),
            (rotation, crop) in (prop_oneof![Just(0.0), Just(30.0), Just(180.0)], prop_oneof![Just(1.0), 0.1..1.0]),
            quarters in 0..4,
            seed: u64,
        ) {
            let size = ImageSize::new(32, 24);
            let boxes: Vec<[f64; 4]> = corners
                .iter()
                .map(|(x, y, w, h)| [*x, *y, (x + w).min(32), (y + h).min(24)].map(f64::from))
                .collect();
            let rects: Vec<BoundingBox> = boxes.iter().map(|b| BoundingBox::try_from(*b).expect("a box")).collect();
            let raster = Raster::new(&rects, size, size);
            let augmentation = Augmentation { rotation, crop, flip_horizontal: true, flip_vertical: true, colour_jitter: 0.0 };
            let turned = Affine::rotation(f64::from(quarters) * std::f64::consts::FRAC_PI_2, [16.0, 12.0]);
            let drawn = Augmenter::new(augmentation, size, seed).draw(1).expect("a view")[0];
            let view = View { to_source: turned.then(&drawn.to_source), ..drawn };

            let mask = raster.seen_through(&view.to_source).map_or_else(|| vec![0.0; 32 * 24], |mask| mask.inside());
            let pixels = warped(&boxes, size, view);
            for (i, (mask, pixel)) in mask.iter().zip(&pixels).enumerate() {
                let [x, y] = view.to_source.apply([(i % 32) as f64 + 0.5, (i / 32) as f64 + 0.5]);
                let reach = 0.75;
                let on_a_border = boxes.iter().any(|[x0, y0, x1, y1]| {
                    let meets = x + reach > *x0 && x - reach < *x1 && y + reach > *y0 && y - reach < *y1;
                    meets && !(x - reach > *x0 && x + reach < *x1 && y - reach > *y0 && y + reach < *y1)
                });
                prop_assert!(on_a_border || (*mask > 0.5) == (*pixel > 0.5), "{i}: {x} {y} {mask} {pixel}");
            }
            // Mirrored twice is not mirrored.
            let mirror = Affine::scaling([-1.0, 1.0], [32.0, 0.0]);
            let twice = view.to_source.then(&mirror).then(&mirror);
            prop_assert_eq!(raster.seen_through(&twice), raster.seen_through(&view.to_source));
        }

        /// The whole image is covered as ranges of whole pixels say.
        #[test]
        fn the_identity_view_is_the_image(boxes in some_boxes()) {
            let raster = raster(&boxes);
            let range = |low: f64, high: f64| {
                let (first, end) = ((low - 0.5).ceil().max(0.0), (high - 0.5).ceil().clamp(0.0, 8.0));
                let middle = ((low + high) / 2.0).floor().min(7.0);
                if first < end { first..end } else { middle..middle + 1.0 }
            };
            let expected: Vec<f64> = (0..64)
                .map(|i| {
                    let (x, y) = (f64::from(i % 8), f64::from(i / 8));
                    let inside = boxes.iter().any(|[x0, y0, x1, y1]| {
                        range(x0 / 5.0, x1 / 5.0).contains(&x) && range(y0 / 2.5, y1 / 2.5).contains(&y)
                    });
                    f64::from(u8::from(inside))
                })
                .collect();
            prop_assert_eq!(&raster.inside(), &expected);
            for (i, inside) in expected.iter().enumerate() {
                prop_assert_eq!(raster.contains(i as u32 % 8, i as u32 / 8), *inside > 0.0);
            }
        }

        #[test]
        fn distances_are_to_the_nearest_pixel_inside(
            (width, inside) in (1usize..9, 1usize..9)
                .prop_flat_map(|(w, h)| (Just(w), prop::collection::vec(prop::bool::weighted(0.1), w * h)))
                .prop_filter("a pixel inside", |(_, inside)| inside.contains(&true)),
        ) {
            let mask = Mask { width, inside };
            for (i, found) in mask.distances().into_iter().enumerate() {
                let to = |j: usize| f64::hypot((i % width).abs_diff(j % width) as f64, (i / width).abs_diff(j / width) as f64);
                let inside = (0..mask.inside.len()).filter(|j| mask.inside[*j]);
                let nearest = inside.map(to).fold(f64::INFINITY, f64::min);
                prop_assert!((found - nearest).abs() < 1e-12, "{i}: {found} {nearest}");
            }
        }

        #[test]
        fn enlarging_is_torchs_and_down_is_its_adjoint(
            (h, w, grid) in (1usize..6, 1usize..6)
                .prop_flat_map(|(h, w)| (Just(h), Just(w), prop::collection::vec(-1.0..1.0, h * w))),
            (height, width) in (1u32..14, 1u32..14),
            seed in 0.0..1.0,
        ) {
            let size = ImageSize::new(width, height);
            let upsampling = Upsampling::new(h, w, size);
            let up = upsampling.up(&grid);
            let torch = Vec::<f64>::try_from(torch_up(&grid, h, w, size).flatten(0, -1)).expect("numbers");
            for (ours, theirs) in up.iter().zip(&torch) {
                prop_assert!((ours - theirs).abs() < 1e-12);
            }
            // <M, up(f)> = <up^T(M), f> for any mask.
            let mask: Vec<f64> = (0..up.len()).map(|i| f64::sin((i as f64 + seed) * 12.9898)).collect();
            let left: f64 = mask.iter().zip(&up).map(|(m, f)| m * f).sum();
            let right: f64 = upsampling.down(&mask).iter().zip(&grid).map(|(m, f)| m * f).sum();
            prop_assert!((left - right).abs() < 1e-10);
        }

        /// The loss on the grid against the equations as they stand, with every map enlarged by libtorch.
        #[test]
        fn the_grid_gives_the_full_size_loss(
            boxes in some_boxes(),
            grid in prop::collection::vec(0.0..1.0, 9),
            distance: bool,
            (lambda, tau) in (0.0..2.0, 0.0..1.0),
        ) {
            let outside = if distance { Outside::Distance } else { Outside::Uniform };
            let live = LiveParams { alpha: 0.5, lambda, tau };
            let raster = raster(&boxes);
            let masks = GridMasks::new(&raster, outside, &Upsampling::new(3, 3, INPUT)).expect("boxes");
            let f = Tensor::from_slice(&grid).view([1, 3, 3]);
            let terms = attention_terms(&f, &MaskBatch::new(&[&masks], Kind::Double, Device::Cpu), &live);

            let full = torch_up(&grid, 3, 3, INPUT).view([8, 8]);
            let mean_over = |mask: &[f64]| {
                let mask = Tensor::from_slice(mask).view([8, 8]);
                let sum = mask.sum(Kind::Double).double_value(&[]);
                if sum > 0.0 { (mask * &full).sum(Kind::Double).double_value(&[]) / sum } else { 0.0 }
            };
            let l_in = -mean_over(&raster.inside()).min(tau);
            let l_out = mean_over(&whole(&raster).outside(outside));
            prop_assert!((terms.l_in.double_value(&[]) - l_in).abs() < 1e-9);
            prop_assert!((terms.l_out.double_value(&[]) - l_out).abs() < 1e-9);
            prop_assert!((terms.l_a.double_value(&[]) - (l_in + lambda * l_out)).abs() < 1e-9);
        }
    }

    /// dL/dA and dL/dW of the whole chain (closed-form weights, map, normalisation, loss) in double precision
    /// against central differences.
    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let live = LiveParams {
            alpha: 0.6,
            lambda: 0.7,
            tau: 0.95,
        };
        let upsampling = Upsampling::new(3, 3, INPUT);
        let masks: Vec<GridMasks> = [[3.0, 2.0, 21.0, 9.0], [20.0, 9.0, 40.0, 20.0]]
            .into_iter()
            .map(|b| GridMasks::new(&raster(&[b]), Outside::Distance, &upsampling).expect("a box"))
            .collect();
        let batch = MaskBatch::new(&masks.iter().collect::<Vec<_>>(), Kind::Double, Device::Cpu);
        let labels = Tensor::from_slice(&[1i64, 0]);
        let numbers = |n: usize, phase: f64| -> Vec<f64> {
            (0..n)
                .map(|i| ((i as f64 * 1.7 + phase).sin() + 0.3) * 0.8)
                .collect()
        };
        for normalisation in [Normalisation::Max, Normalisation::MinMax] {
            let loss = |a: &Tensor, w: &Tensor| {
                let weights = crate::grad_cam::pooled_linear_weights(w, &labels, a);
                let f = normalise(&weighted_sum(a, &weights), normalisation);
                let logits = a
                    .mean_dim([2, 3].as_slice(), false, Kind::Double)
                    .matmul(&w.transpose(0, 1));
                // Not `cross_entropy_for_logits`, which computes in single precision.
                let l_c = logits.log_softmax(-1, Kind::Double).nll_loss(&labels);
                total(
                    &l_c,
                    Some(&attention_terms(&f, &batch, &live).l_a),
                    live.alpha,
                )
            };
            let shapes: [&[i64]; 2] = [&[2, 4, 3, 3], &[2, 4]];
            let points = [numbers(72, 0.4), numbers(8, 2.1)];
            let tensor = |i: usize, values: &[f64]| Tensor::from_slice(values).view(shapes[i]);
            let inputs = [0, 1].map(|i| tensor(i, &points[i]).set_requires_grad(true));
            let gradients =
                Tensor::run_backward(&[loss(&inputs[0], &inputs[1])], &inputs, false, false);
            for i in 0..2 {
                let gradient = Vec::<f64>::try_from(gradients[i].flatten(0, -1)).expect("numbers");
                for (j, exact) in gradient.iter().enumerate() {
                    let at = |step: f64| {
                        let mut moved = points.clone();
                        moved[i][j] += step;
                        loss(&tensor(0, &moved[0]), &tensor(1, &moved[1])).double_value(&[])
                    };
                    let h = 1e-6;
                    let difference = (at(h) - at(-h)) / (2.0 * h);
                    assert!(
                        (exact - difference).abs() < 1e-7,
                        "{normalisation:?} {i} {j}: {exact} {difference}"
                    );
                }
            }
        }
    }
}
