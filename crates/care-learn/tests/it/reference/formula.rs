//! Weights and images that both sides compute, from a hash of their names; `scripts/reference/formula.py` has the same.

use std::sync::LazyLock;

use serde::Deserialize;
use tch::{Kind, Tensor};

/// Norm of some tensors together, and the sum of their products with [`numbers`].
#[derive(Debug, Deserialize)]
pub(crate) struct Probe(f64, f64);

const TOLERANCE: f64 = 1e-6;
/// A prime: no row of a tensor is the one above it.
const PERIOD: usize = 1_048_573;

impl Probe {
    /// The same of named tensors; of those of millions of values, every so many.
    pub(super) fn check(&self, what: &str, tensors: &[(&str, Tensor)]) {
        self.check_within(TOLERANCE, what, tensors);
    }

    /// With another relative error than usual.
    pub(crate) fn check_within(&self, tolerance: f64, what: &str, tensors: &[(&str, Tensor)]) {
        let (mut square, mut product) = (0.0, 0.0);
        for (name, tensor) in tensors {
            let values = tensor.detach().flatten(0, -1);
            let step = values.numel() / PERIOD + 1;
            let values = values
                .slice(0, None, None, step as i64)
                .to_kind(Kind::Double);
            let with = numbers(&format!("probe {name}"), &values.size(), 0.0, 1.0);
            square += values.square().sum(Kind::Double).double_value(&[]);
            product += (values * with).sum(Kind::Double).double_value(&[]);
        }
        let norm = square.sqrt();
        let allowed = tolerance * self.0;
        assert!(
            (norm - self.0).abs() <= allowed && (product - self.1).abs() <= allowed,
            "{what}: {norm} and {product}, not {self:?}"
        );
    }
}

/// A network's weights of this name and shape; `gain` keeps its activations neither vanishing nor exploding.
pub(super) fn weight(name: &str, size: &[i64], gain: f64) -> Tensor {
    let (offset, scale) = match size {
        [_, rest @ ..] if !rest.is_empty() => {
            let fan_in = rest.iter().product::<i64>();
            (0.0, (gain / fan_in as f64).sqrt())
        }
        _ if name.ends_with(".running_mean") || name.ends_with(".bias") => (0.0, 0.1),
        // Weight and running variance of a batch normalisation.
        _ => (1.0, 0.2),
    };
    numbers(name, size, offset, scale)
}

/// Images, channels innermost as in training.
pub(super) fn images(shape: &[i64]) -> Tensor {
    numbers("images", shape, 0.0, 2.0)
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2])
}

/// `offset + scale * u`, u from the table again and again, from a place that the name's hash gives.
pub(crate) fn numbers(name: &str, shape: &[i64], offset: f64, scale: f64) -> Tensor {
    static TABLE: LazyLock<Vec<f32>> = LazyLock::new(table);
    let count = shape.iter().product::<i64>() as usize;
    let mut values = Vec::with_capacity(count);
    let mut from = fnv1a(name) as usize % PERIOD;
    while values.len() < count {
        let to = PERIOD.min(from + count - values.len());
        values.extend_from_slice(&TABLE[from..to]);
        from = 0;
    }
    Tensor::from_slice(&values)
        .g_mul_scalar_(scale)
        .g_add_scalar_(offset)
        .view(shape)
}

/// In -1..1, by murmur3's last step.
fn table() -> Vec<f32> {
    (0..PERIOD as u32)
        .map(|i| {
            let x = i.wrapping_mul(0x9e37_79b9);
            let x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
            let x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
            (f64::from(x ^ (x >> 16)) / f64::from(1u32 << 31) - 1.0) as f32
        })
        .collect()
}

pub(super) fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
