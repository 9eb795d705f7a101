//! The backbones against PyTorch's own, on the same weights and images. `scripts/reference/backbones.py` makes the fixture.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use care_learn::backbone::Network;
use care_learn::config::{BackboneKind, CamWeights};
use care_learn::grad_cam::{GradCam, label_tensor};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

#[derive(Deserialize)]
struct Reference {
    backbone: BackboneKind,
    gain: f64,
    /// B, 3, H, W.
    images: [i64; 4],
    num_tensors: usize,
    /// Hash of a line for each.
    names_and_shapes: u32,
    /// Class of the maps.
    label: usize,
    logits: Vec<f64>,
    map: Vec<f64>,
    /// Of the maps and the logits with respect to the first and the last layer's weight.
    gradients: Vec<(CamWeights, BTreeMap<String, Probe>)>,
    /// The first batch normalisation's after one pass in training mode.
    statistics: BTreeMap<String, Probe>,
}

/// Norm of a tensor, and its product with [`numbers`].
#[derive(Debug, Deserialize)]
pub(crate) struct Probe(pub(crate) f64, pub(crate) f64);

const NUM_CLASSES: usize = 10;
const LOGITS: f64 = 1e-4;
const MAP: f64 = 1e-3;
const PROBE: f64 = 1e-6;

#[test]
fn residual_networks_are_pytorchs() {
    check_all(&BackboneKind::BUILT_IN[1..6]);
}

#[test]
fn other_networks_are_pytorchs() {
    check_all(&BackboneKind::BUILT_IN[6..]);
}

/// With its published weights, where they are; the logits are those of `efficientnet-lite-pytorch`.
#[test]
fn efficientnet_lite0_with_its_own_weights() {
    let data = std::env::var_os("CARE_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = data.join("weights/efficientnet_lite0.safetensors");
    if !path.is_file() {
        // Not by `eprintln!`, which is not shown of a test that passes.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: {} is not there",
            path.display()
        );
        return;
    }
    let kind = BackboneKind::EfficientnetLite0;
    let mut network = Network::without_weights(kind, 1000, 0, Device::Cpu);
    let loaded = network.load(&path).expect("loads");
    assert!(!loaded.new_classifier);
    let images = numbers("images", &[2, 3, 224, 224], 0.0, 1.0);
    let backbone = network.backbone();
    let logits = tch::no_grad(|| backbone.head(&backbone.features(&images, false), false));
    let first = logits.get(0).narrow(0, 0, 6);
    let expected = [
        -2.897702,
        0.014_949_79,
        0.927_276_5,
        -0.074_804_43,
        1.065_936,
        -0.604_419_1,
    ];
    let error = largest_difference(&first, &expected);
    assert!(error < LOGITS * 7.5, "logits differ by {error}");
    assert_eq!(logits.argmax(-1, false), Tensor::from_slice(&[21i64, 21]));
}

fn check_all(kinds: &[BackboneKind]) {
    let fixture = include_str!("../fixtures/backbones.json");
    let references: Vec<Reference> = serde_json::from_str(fixture).expect("a fixture");
    for kind in kinds {
        let reference = references.iter().find(|r| r.backbone == *kind);
        check(reference.expect("a reference for every kind"));
    }
}

fn check(reference: &Reference) {
    let name = reference.backbone.name();
    let network = Network::without_weights(reference.backbone, NUM_CLASSES, 0, Device::Cpu);
    let variables = network.store().variables();
    let mut lines: Vec<String> = variables
        .iter()
        .map(|(name, tensor)| format!("{name} {:?}\n", tensor.size()))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), reference.num_tensors, "{name}");
    assert_eq!(fnv1a(&lines.concat()), reference.names_and_shapes, "{name}");
    set_weights(&variables, reference.gain);

    let images = numbers("images", &reference.images, 0.0, 2.0);
    // Channels innermost, as in training.
    let images = images
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2]);
    let labels = label_tensor(&[reference.label; 2], Device::Cpu);
    let backbone = network.backbone();

    let (map, logits) = GradCam::default().evaluate(backbone, &images, &labels);
    let error = largest_difference(&logits, &reference.logits);
    let largest = reference
        .logits
        .iter()
        .fold(0.0, |m: f64, l| m.max(l.abs()));
    assert!(
        error < LOGITS * largest,
        "{name}: logits differ by {error} of {largest}"
    );
    let error = largest_difference(&map, &reference.map);
    assert!(error < MAP, "{name}: maps differ by {error}");

    // In double precision: in single, a ReLU near zero falls on either side, and moves the gradient of 100 layers by percents.
    network.store().root().set_kind(Kind::Double);
    let images = images.to_kind(Kind::Double);
    let activations = backbone.features(&images, false);
    let logits = backbone.head(&activations, false);
    for (weights, expected) in &reference.gradients {
        let cam = GradCam {
            weights: *weights,
            ..GradCam::default()
        };
        let f = cam.attention(backbone, &activations, &logits, &labels);
        let value = (&f * numbers("attention", &f.size(), 0.0, 1.0)).sum(Kind::Double)
            + logits.sum(Kind::Double);
        let of: Vec<&Tensor> = expected.keys().map(|name| &variables[name]).collect();
        let gradients = Tensor::run_backward(&[value], &of, true, false);
        for ((layer, expected), gradient) in expected.iter().zip(&gradients) {
            let what = format!("{name}: gradient by {layer}, {weights:?} weights");
            check_probe(&what, layer, gradient, expected);
        }
    }

    drop(tch::no_grad(|| backbone.features(&images, true)));
    for (statistic, expected) in &reference.statistics {
        let what = format!("{name}: {statistic}");
        check_probe(&what, statistic, &variables[statistic], expected);
    }

    if backbone.pooled_linear().is_none() {
        // A head that is differentiated in training: its map comes from the pass of the logits, with the values it dropped.
        let activations = backbone.features(&images, true);
        let logits = backbone.head(&activations, true);
        let f = GradCam::default().attention(backbone, &activations, &logits, &labels);
        let first = &variables["features.0.weight"];
        let gradient = &Tensor::run_backward(&[f.mean(Kind::Double)], &[first], false, false)[0];
        let norm = gradient.norm().double_value(&[]);
        assert!(norm.is_finite() && norm > 0.0, "{name}: {norm}");
    }
}

fn check_probe(what: &str, name: &str, tensor: &Tensor, expected: &Probe) {
    let tensor = tensor.detach().to_kind(Kind::Double);
    let norm = tensor.norm().double_value(&[]);
    let product = &tensor * numbers(&format!("probe {name}"), &tensor.size(), 0.0, 1.0);
    let product = product.sum(Kind::Double).double_value(&[]);
    let allowed = PROBE * expected.0;
    assert!(
        (norm - expected.0).abs() <= allowed && (product - expected.1).abs() <= allowed,
        "{what}: {norm} and {product}, not {expected:?}"
    );
}

fn largest_difference(tensor: &Tensor, expected: &[f64]) -> f64 {
    let expected = Tensor::from_slice(expected).view(tensor.size().as_slice());
    (tensor - expected).abs().max().double_value(&[])
}

fn set_weights(variables: &HashMap<String, Tensor>, gain: f64) {
    for (name, variable) in variables {
        let size = variable.size();
        let (offset, scale) = match &size[..] {
            [_, rest @ ..] if !rest.is_empty() => {
                let fan_in = rest.iter().product::<i64>();
                (0.0, (gain / fan_in as f64).sqrt())
            }
            _ if name.ends_with(".running_mean") || name.ends_with(".bias") => (0.0, 0.1),
            // Weight and running variance of a batch normalisation.
            _ => (1.0, 0.2),
        };
        let values = numbers(name, &size, offset, scale);
        tch::no_grad(|| variable.shallow_clone().copy_(&values));
    }
}

/// `offset + scale * u`, u in -1..1 from a hash of the name and the index (murmur3's last step).
pub(crate) fn numbers(name: &str, shape: &[i64], offset: f64, scale: f64) -> Tensor {
    let seed = fnv1a(name);
    let count = shape.iter().product::<i64>() as u32;
    let values: Vec<f32> = (0..count)
        .map(|i| {
            let x = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9));
            let x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
            let x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
            let u = f64::from(x ^ (x >> 16)) / f64::from(1u32 << 31) - 1.0;
            (offset + scale * u) as f32
        })
        .collect();
    Tensor::from_slice(&values).view(shape)
}

fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
