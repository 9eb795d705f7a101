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
                let at = |(i, a): (usize, f64), (j, b): (usize, f64)| a * b * grid[i * self.width + j];
                out.push(row.iter().flat_map(|r| column.iter().map(move |c| at(*r, *c))).sum());
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
    /// Half-open: first and last-but-one column, first and last-but-one row.
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
        self.boxes
            .iter()
            .any(|[left, right, top, bottom]| (*left..*right).contains(&x) && (*top..*bottom).contains(&y))
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
        let beyond = |at: u32, from: u32, to: u32| f64::from(from.saturating_sub(at).max(at.saturating_sub(to - 1)));
        self.boxes
            .iter()
            .map(|[left, right, top, bottom]| beyond(x, *left, *right).hypot(beyond(y, *top, *bottom)))
            .fold(f64::INFINITY, f64::min)
    }

    fn each_pixel(&self, value: impl Fn(u32, u32) -> f64) -> Vec<f64> {
        (0..self.size.height).flat_map(|y| (0..self.size.width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect()
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
    weights.iter().zip(&map.values).map(|(w, f)| w * f64::from(*f)).sum()
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
            Tensor::from_slice(&values).view([masks.len() as i64, -1]).to_kind(kind).to_device(device)
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
#[must_use]
pub fn attention_terms(attention: &Tensor, masks: &MaskBatch, live: &LiveParams) -> Terms {
    let flat = attention.flatten(1, 2);
    let mean = |mask: &Tensor| (&flat * mask).sum_dim_intlist([1].as_slice(), false, flat.kind());
    let l_in = -mean(&masks.inside).clamp_max(live.tau).mean(flat.kind());
    let l_out = mean(&masks.outside).mean(flat.kind());
    let l_a = &l_in + live.lambda * &l_out;
    Terms { l_in, l_out, l_a }
}

/// Eq. 1. Without an image with boxes in the batch L_a is 0.
#[must_use]
pub fn total(l_c: &Tensor, l_a: Option<&Tensor>, alpha: f64) -> Tensor {
    let classification = (1.0 - alpha) * l_c;
    match l_a {
        Some(l_a) => classification + alpha * l_a,
        None => classification,
    }
}
