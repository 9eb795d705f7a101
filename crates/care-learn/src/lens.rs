//! The attention loss of one image, taken apart (Eqs. 1 to 4), in plain numbers: quick enough to be computed anew in every
//! frame while a slider or a box is moved. [`attention_loss`](crate::attention_loss) computes the same on tensors.

use care_data::{BoundingBox, HeatMap, ImageSize};

use crate::attention_loss::{GridMasks, Mask, Raster, Upsampling};
use crate::augment::Affine;
use crate::classification_loss::focal;
use crate::config::{LiveParams, Normalisation, Outside};
use crate::event::AttentionMap;
use crate::grad_cam::{EPS, floor, peak};

/// F on the grid of `raw`, the weighted sum before ReLU and normalisation: as
/// [`grad_cam::normalise`](crate::grad_cam::normalise) has it.
#[must_use]
pub fn normalised(raw: &HeatMap, normalisation: Normalisation) -> AttentionMap {
    let floor = floor(&raw.values, normalisation);
    let high = peak(&raw.values, normalisation);
    let above = |value: &f32| (value - floor).max(0.0);
    // A flat map says nothing about a place.
    let varies = raw.values.iter().any(|value| above(value) < high);
    let share = |value: &f32| {
        if varies {
            (f64::from(above(value)) / (f64::from(high) + EPS)) as f32
        } else {
            0.0
        }
    };
    HeatMap {
        values: raw.values.iter().map(share).collect(),
        ..*raw
    }
}

/// An image's boxes as the loss meets them. Computed anew where a box, its scale or M_out changes, not where a slider moves.
#[derive(Debug, Clone, PartialEq)]
pub struct LensMasks {
    input: ImageSize,
    /// Of the network's input.
    inside: Mask,
    /// M_out, row by row.
    outside: Vec<f64>,
    sum_inside: f64,
    sum_outside: f64,
    grid: GridMasks,
}

impl LensMasks {
    /// `boxes` as they were drawn on an image of size `image`; `input` is the network's, `grid` the map's rows and columns,
    /// at least 1 each. None without a box.
    #[must_use]
    pub fn new(
        boxes: &[BoundingBox],
        box_scale: f64,
        outside: Outside,
        image: ImageSize,
        input: ImageSize,
        [rows, columns]: [usize; 2],
    ) -> Option<Self> {
        let raster = Raster::scaled(boxes, box_scale, image, input);
        let inside = raster.seen_through(&Affine::IDENTITY)?;
        let upsampling = Upsampling::new(rows, columns, input);
        let grid = GridMasks::of(&inside, outside, &upsampling);
        let outside = inside.outside(outside);
        Some(Self {
            input,
            sum_inside: inside.inside().iter().sum(),
            sum_outside: outside.iter().sum(),
            inside,
            outside,
            grid,
        })
    }

    /// M_out at a place of the image, `u` and `v` in 0..1 across and down; 0 inside.
    #[must_use]
    pub fn outside(&self, u: f64, v: f64) -> f64 {
        self.outside[self.pixel(u, v)]
    }

    /// The masks on the map's grid.
    #[must_use]
    pub fn grid(&self) -> &GridMasks {
        &self.grid
    }

    /// Of the network's input, row by row; beyond the image that of its edge.
    fn pixel(&self, u: f64, v: f64) -> usize {
        // `as` saturates.
        let at = |t: f64, side: u32| ((t * f64::from(side)) as usize).min(side as usize - 1);
        let ImageSize { width, height } = self.input;
        at(v, height) * width as usize + at(u, width)
    }
}

/// Every term of the loss for one image, as if it were the only one of its batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Lens {
    pub live: LiveParams,
    /// What the box gives: none without one, where L_a is 0.
    pub boxed: Option<Boxed>,
    /// L_c: of one image a class's weight falls out.
    pub l_c: f64,
}

/// The terms that need a box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boxed {
    /// `sum(M_in F) / sum(M_in)`.
    pub mean_inside: f64,
    /// `sum(M_out F) / sum(M_out)`.
    pub mean_outside: f64,
    pub l_in: f64,
    pub l_out: f64,
    pub l_a: f64,
    /// The mean inside is above tau: more attention in the box earns nothing.
    pub is_enough: bool,
    /// dL/dF of each pixel inside: negative, or 0 where it is enough.
    pub inside: f64,
    /// dL/dF of a pixel outside whose M_out is 1.
    pub outside: f64,
}

impl Lens {
    /// `f` is the map on its grid, `probability` the model's for the image's own class, `gamma` that of the focal loss.
    #[must_use]
    pub fn new(
        f: &AttentionMap,
        masks: Option<&LensMasks>,
        live: LiveParams,
        probability: f32,
        gamma: f64,
    ) -> Self {
        let LiveParams { alpha, lambda, tau } = live;
        let boxed = masks.map(|masks| {
            let mean_inside = masks.grid.mean_inside(f);
            let l_out = masks.grid.mean_outside(f);
            let l_in = -mean_inside.min(tau);
            // At tau itself torch's clamp lets the gradient pass.
            let is_enough = mean_inside > tau;
            let per = |weight: f64, sum: f64| if sum > 0.0 { weight / sum } else { 0.0 };
            Boxed {
                mean_inside,
                mean_outside: l_out,
                l_in,
                l_out,
                l_a: l_in + lambda * l_out,
                is_enough,
                inside: if is_enough {
                    0.0
                } else {
                    -per(alpha, masks.sum_inside)
                },
                outside: per(alpha * lambda, masks.sum_outside),
            }
        });
        Self {
            live,
            boxed,
            l_c: focal(f64::from(probability.max(f32::MIN_POSITIVE)).ln(), gamma),
        }
    }

    /// L_a, 0 without a box.
    #[must_use]
    pub fn l_a(&self) -> f64 {
        self.boxed.map_or(0.0, |boxed| boxed.l_a)
    }

    /// Eq. 1.
    #[must_use]
    pub fn total(&self) -> f64 {
        (1.0 - self.live.alpha) * self.l_c + self.live.alpha * self.l_a()
    }
}

impl Boxed {
    /// dL/dF of the pixel of the network's input at a place of the image, `u` and `v` in 0..1 across and down.
    #[must_use]
    pub fn gradient(&self, masks: &LensMasks, u: f64, v: f64) -> f64 {
        let pixel = masks.pixel(u, v);
        if masks.inside.has(pixel) {
            self.inside
        } else {
            self.outside * masks.outside[pixel]
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::attention_loss::{MaskBatch, attention_terms, total};
    use crate::classification_loss::ClassificationLoss;
    use crate::grad_cam::normalise;

    const IMAGE: ImageSize = ImageSize::new(40, 20);
    const INPUT: ImageSize = ImageSize::new(12, 12);

    fn map(values: Vec<f32>, [height, width]: [usize; 2]) -> HeatMap {
        HeatMap {
            height,
            width,
            values,
        }
    }

    fn tensor(map: &HeatMap) -> Tensor {
        let size = [1, map.height as i64, map.width as i64];
        Tensor::from_slice(&map.values)
            .view(size)
            .to_kind(Kind::Double)
    }

    fn masks(boxes: &[[f64; 4]], scale: f64, outside: Outside, grid: [usize; 2]) -> LensMasks {
        let boxes: Vec<_> = boxes
            .iter()
            .map(|b| BoundingBox::try_from(*b).expect("a box"))
            .collect();
        LensMasks::new(&boxes, scale, outside, IMAGE, INPUT, grid).expect("a box")
    }

    fn some_boxes() -> impl Strategy<Value = Vec<[f64; 4]>> {
        let one = (0.0..39.0, 0.0..19.0, 0.01..40.0, 0.01..20.0)
            .prop_map(|(x, y, w, h)| [x, y, f64::min(x + w, 40.0), f64::min(y + h, 20.0)]);
        prop::collection::vec(one, 1..4)
    }

    fn grids() -> impl Strategy<Value = HeatMap> {
        let flat = (-1.0f32..1.0).prop_map(|value| map(vec![value; 6], [2, 3]));
        let any = (1usize..5, 1usize..5).prop_flat_map(|grid| {
            let values = prop::collection::vec(-2.0f32..3.0, grid.0 * grid.1);
            values.prop_map(move |values| map(values, [grid.0, grid.1]))
        });
        prop_oneof![1 => flat, 9 => any]
    }

    proptest! {
        /// F, every term, and dL/dF by autograd through libtorch's own enlarging, in all variants.
        #[test]
        fn the_lens_is_the_loss(
            raw in grids(),
            boxes in some_boxes(),
            (min_max, distance) in (any::<bool>(), any::<bool>()),
            scale in prop_oneof![Just(1.0), 0.7..1.3],
            (alpha, lambda, tau) in (0.0..1.0, 0.0..2.0, prop_oneof![Just(0.0), 0.0..1.0]),
            (logits, gamma) in (prop::collection::vec(-4.0f64..4.0, 3), prop_oneof![Just(0.0), Just(2.0)]),
        ) {
            let live = LiveParams { alpha, lambda, tau };
            let normalisation = if min_max { Normalisation::MinMax } else { Normalisation::Max };
            let outside = if distance { Outside::Distance } else { Outside::Uniform };
            let masks = masks(&boxes, scale, outside, [raw.height, raw.width]);
            let logits = Tensor::from_slice(&logits).view([1, 3]);
            let probability = logits.softmax(-1, Kind::Double).double_value(&[0, 1]);
            let f = normalised(&raw, normalisation);
            let lens = Lens::new(&f, Some(&masks), live, probability as f32, gamma);
            let boxed = lens.boxed.expect("a box");

            let expected = normalise(&tensor(&raw), normalisation);
            let differs = (tensor(&f) - &expected).abs().max().double_value(&[]);
            prop_assert!(differs < 1e-5, "F: {differs}");
            let batch = MaskBatch::new(&[masks.grid()], Kind::Double, Device::Cpu);
            let terms = attention_terms(&expected, &batch, &live);
            let l_c = ClassificationLoss::new(&[5, 2, 9], true, gamma).mean(&logits, &[1]);
            let whole = total(&l_c, Some(&terms.l_a), alpha);
            for (name, tensor, plain) in [
                ("L_in", &terms.l_in, boxed.l_in),
                ("L_out", &terms.l_out, boxed.l_out),
                ("L_a", &terms.l_a, boxed.l_a),
                ("L_c", &l_c, lens.l_c),
                ("L", &whole, lens.total()),
            ] {
                let expected = tensor.double_value(&[]);
                prop_assert!((expected - plain).abs() < 1e-5, "{name}: {plain}, {expected}");
            }

            // The equations as they stand, on the enlarged F.
            let [height, width] = [INPUT.height, INPUT.width].map(i64::from);
            let full = expected.unsqueeze(0).upsample_bilinear2d([height, width], false, None, None);
            let full = full.view([height, width]).set_requires_grad(true);
            let mean = |mask: &[f64]| {
                let mask = Tensor::from_slice(mask).view([height, width]);
                let sum = mask.sum(Kind::Double).double_value(&[]);
                (&full * mask).sum(Kind::Double) / sum.max(1e-300)
            };
            let inside = mean(&masks.inside.inside());
            // Exactly at tau either answer is right.
            prop_assume!((inside.double_value(&[]) - tau).abs() > 1e-6 || tau == 0.0);
            let l_a = lambda * mean(&masks.outside) - inside.clamp_max(tau);
            let loss = total(&Tensor::from(0.0), Some(&l_a), alpha);
            let gradient = &Tensor::run_backward(&[loss], &[&full], false, false)[0];
            for y in 0..height {
                for x in 0..width {
                    let at = |i: i64, side: i64| (i as f64 + 0.5) / side as f64;
                    let plain = boxed.gradient(&masks, at(x, width), at(y, height));
                    let expected = gradient.double_value(&[y, x]);
                    prop_assert!((plain - expected).abs() < 1e-5, "{x} {y}: {plain}, {expected}");
                }
            }
        }
    }

    #[test]
    fn reward_ends_above_tau_and_a_box_over_everything_has_no_penalty() {
        let f = map(vec![0.5; 4], [2, 2]);
        let live = |tau| LiveParams {
            alpha: 0.5,
            lambda: 0.7,
            tau,
        };
        let left = masks(&[[0.0, 0.0, 20.0, 20.0]], 1.0, Outside::Uniform, [2, 2]);
        let at = |masks, tau| {
            let lens = Lens::new(&f, Some(masks), live(tau), 1.0, 0.0);
            assert_eq!(lens.l_c, 0.0);
            lens.boxed.expect("a box")
        };
        // 72 of the 144 pixels each.
        let rewarded = at(&left, 0.6);
        assert!(!rewarded.is_enough);
        assert!((rewarded.inside + 0.5 / 72.0).abs() < 1e-12);
        assert!((rewarded.outside - 0.35 / 72.0).abs() < 1e-12);
        let enough = at(&left, 0.4);
        assert!(enough.is_enough);
        assert_eq!((enough.inside, enough.l_in), (0.0, -0.4));
        assert_eq!(enough.outside, rewarded.outside);
        let whole = masks(&[[0.0, 0.0, 40.0, 20.0]], 1.0, Outside::Distance, [2, 2]);
        assert_eq!((at(&whole, 0.6).outside, at(&whole, 0.6).l_out), (0.0, 0.0));
    }

    #[test]
    fn without_a_box_the_diagnosis_is_all_there_is() {
        let none = LensMasks::new(&[], 1.0, Outside::Uniform, IMAGE, INPUT, [2, 2]);
        assert_eq!(none, None);
        let f = map(vec![1.0, 0.0, 0.0, 0.0], [2, 2]);
        let live = LiveParams {
            alpha: 0.25,
            ..LiveParams::default()
        };
        let lens = Lens::new(&f, None, live, 0.5, 0.0);
        assert_eq!((lens.boxed, lens.l_a()), (None, 0.0));
        assert!((lens.total() - 0.75 * std::f64::consts::LN_2).abs() < 1e-7);
        let hopeless = Lens::new(&f, None, live, 0.0, 0.0);
        assert!(hopeless.total().is_finite() && hopeless.l_c > 80.0);
    }
}
