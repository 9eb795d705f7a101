//! The attention loss (Eqs. 1 to 4), on the activation map's own grid.
//!
//! The loss meets F only through sums against fixed masks, and enlarging is linear: `<M, up(f)> = <up^T(M), f>`. So
//! each image's masks are brought down to h x w once ([`GridMasks`]) and no map is ever enlarged while training.

use care_data::{BoundingBox, ImageSize};
use tch::{Device, Kind, Tensor};

use crate::config::{LiveParams, Outside};
use crate::event::{AttentionLosses, AttentionMap};

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
        for (line, row) in mask.chunks_exact(self.columns.len()).zip(&self.rows) {
            for (value, column) in line.iter().zip(&self.columns) {
                for (i, a) in row {
                    for (j, b) in column {
                        out[i * self.width + j] += a * b * value;
                    }
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

/// One image's boxes as whole pixels of the network's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    size: ImageSize,
    /// Half-open: the first column and the one past the last, the first row and the one past the last.
    boxes: Vec<[u32; 4]>,
}

impl Raster {
    /// A pixel is inside where its centre is; a box so thin that it holds no centre covers the pixel it lies in.
    /// `image` is the size that the boxes are given in, `input` the network's.
    #[must_use]
    pub fn new(boxes: &[BoundingBox], image: ImageSize, input: ImageSize) -> Self {
        let boxes = boxes
            .iter()
            .map(|rect| {
                let [x0, y0, x1, y1] = rect.resized(image, input).xyxy();
                let [left, right] = pixels(x0, x1, input.width);
                let [top, bottom] = pixels(y0, y1, input.height);
                [left, right, top, bottom]
            })
            .collect();
        Self { size: input, boxes }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.boxes.is_empty()
    }

    #[must_use]
    pub fn contains(&self, x: u32, y: u32) -> bool {
        self.boxes.iter().any(|[left, right, top, bottom]| {
            (*left..*right).contains(&x) && (*top..*bottom).contains(&y)
        })
    }

    /// M_in: 1 inside any box, 0 elsewhere, row by row.
    #[must_use]
    pub fn inside(&self) -> Vec<f64> {
        self.each_pixel(|x, y| f64::from(u8::from(self.contains(x, y))))
    }

    /// M_out: 0 inside any box; outside 1, or the distance to the nearest box's pixel over the largest such distance.
    #[must_use]
    pub fn outside(&self, outside: Outside) -> Vec<f64> {
        match outside {
            Outside::Uniform => self.each_pixel(|x, y| f64::from(u8::from(!self.contains(x, y)))),
            Outside::Distance => {
                let mut mask = self.each_pixel(|x, y| self.distance(x, y));
                let largest = mask.iter().copied().fold(0.0, f64::max);
                if largest > 0.0 {
                    mask.iter_mut().for_each(|d| *d /= largest);
                }
                mask
            }
        }
    }

    fn distance(&self, x: u32, y: u32) -> f64 {
        let beyond = |at: u32, from: u32, to: u32| {
            f64::from(from.saturating_sub(at).max(at.saturating_sub(to - 1)))
        };
        self.boxes
            .iter()
            .map(|[left, right, top, bottom]| {
                beyond(x, *left, *right).hypot(beyond(y, *top, *bottom))
            })
            .fold(f64::INFINITY, f64::min)
    }

    fn each_pixel(&self, value: impl Fn(u32, u32) -> f64) -> Vec<f64> {
        (0..self.size.height)
            .flat_map(|y| (0..self.size.width).map(move |x| (x, y)))
            .map(|(x, y)| value(x, y))
            .collect()
    }
}

/// The half-open range of pixels whose centres lie in `low..high`, or else the one pixel that its middle lies in.
fn pixels(low: f64, high: f64, limit: u32) -> [u32; 2] {
    // `as` saturates, and limit is at least 1.
    let first = ((low - 0.5).ceil().max(0.0) as u32).min(limit);
    let end = ((high - 0.5).ceil().max(0.0) as u32).min(limit);
    if first < end {
        [first, end]
    } else {
        let middle = (((low + high) / 2.0).floor().max(0.0) as u32).min(limit - 1);
        [middle, middle + 1]
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
    /// None without a box.
    #[must_use]
    pub fn new(raster: &Raster, outside: Outside, upsampling: &Upsampling) -> Option<Self> {
        (!raster.is_empty()).then(|| Self {
            inside: mean_weights(&raster.inside(), upsampling),
            outside: mean_weights(&raster.outside(outside), upsampling),
        })
    }

    /// The terms for one map, without a tensor: what the loss lens shows.
    #[must_use]
    pub fn losses(&self, map: &AttentionMap, live: &LiveParams) -> AttentionLosses {
        let l_in = -self.mean_inside(map).min(live.tau);
        let l_out = self.mean_outside(map);
        AttentionLosses {
            l_in: l_in as f32,
            l_out: l_out as f32,
            l_a: (l_in + live.lambda * l_out) as f32,
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
    pub fn new(masks: &[&GridMasks], kind: Kind, device: Device) -> Self {
        let stack = |part: fn(&GridMasks) -> &[f64]| {
            let values: Vec<f64> = masks.iter().flat_map(|m| part(m)).copied().collect();
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
    use crate::config::Normalisation;
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
        let mask = raster.outside(Outside::Distance);
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
            let plain = masks.losses(&map(&values), &live);
            let f = Tensor::from_slice(&values).view([1, 8, 8]);
            let terms = attention_terms(
                &f,
                &MaskBatch::new(&[&masks], Kind::Double, Device::Cpu),
                &live,
            );
            let l_a = l_in + 0.7 * l_out;
            for (name, tensor, plain, expected) in [
                ("l_in", &terms.l_in, plain.l_in, l_in),
                ("l_out", &terms.l_out, plain.l_out, l_out),
                ("l_a", &terms.l_a, plain.l_a, l_a),
            ] {
                assert!(
                    (tensor.double_value(&[]) - expected).abs() < 1e-9,
                    "{name} {left} {right}"
                );
                assert!(
                    (f64::from(plain) - expected).abs() < 1e-6,
                    "{name} {left} {right}"
                );
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
            let losses = masks.losses(&map(&[1.0; 9]), &LiveParams::default());
            assert_eq!((losses.l_in, losses.l_out, losses.l_a), (-0.6, 0.0, -0.6));
        }
        assert_eq!(
            GridMasks::new(&raster(&[]), Outside::Uniform, &upsampling),
            None
        );
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
            let l_out = mean_over(&raster.outside(outside));
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
