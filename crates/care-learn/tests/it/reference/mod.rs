//! care-learn against PyTorch, on the same weights and images. The scripts in `scripts/reference` make the fixtures
//! (`cargo xtask reference`).

pub(crate) mod formula;
mod training;

use std::io::Write;
use std::path::{Path, PathBuf};

use care_data::ImageSize;
use care_learn::attention_loss::Upsampling;
use care_learn::backbone::Network;
use care_learn::config::BackboneKind;
use care_learn::grad_cam::{Evaluated, GradCam, label_tensor};
use serde::Deserialize;
use tch::{Device, Tensor};

use formula::{fnv1a, images, numbers, weight};

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
    /// Pixels from one value of `peer` to the next, down and across.
    peer_grid: [usize; 2],
    /// The enlarged maps of the package `grad-cam`.
    peer: Vec<f64>,
}

const NUM_CLASSES: usize = 10;
/// Not any: its first pass in training mode drops no block of EfficientNet-Lite0 for any of four images. What no two
/// libraries draw alike is left out of the comparison so.
const SEED: u64 = 40;
const LOGITS: f64 = 1e-4;
const MAP: f64 = 1e-3;
const PEER: f64 = 1e-3;

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
        -2.915_519,
        0.084_581_61,
        0.904_552_5,
        -0.100_303_29,
        1.104_833_6,
        -0.752_709_9,
    ];
    let error = largest_difference(&first, &expected);
    assert!(error < LOGITS * 6.9, "logits differ by {error}");
    assert_eq!(logits.argmax(-1, false), Tensor::from_slice(&[21i64, 21]));
}

fn check_all(kinds: &[BackboneKind]) {
    let fixture = include_str!("../../fixtures/backbones.json");
    let references: Vec<Reference> = serde_json::from_str(fixture).expect("a fixture");
    for kind in kinds {
        let reference = references.iter().find(|r| r.backbone == *kind);
        check(reference.expect("a reference for every kind"));
    }
}

fn check(reference: &Reference) {
    let name = reference.backbone.name();
    let network = network(reference.backbone, reference.gain);
    let mut lines: Vec<String> = network
        .store()
        .variables()
        .iter()
        .map(|(name, tensor)| format!("{name} {:?}\n", tensor.size()))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), reference.num_tensors, "{name}");
    assert_eq!(fnv1a(&lines.concat()), reference.names_and_shapes, "{name}");

    let images = images(&reference.images);
    let labels = label_tensor(&[reference.label; 2], Device::Cpu);
    let Evaluated {
        attention: map,
        logits,
        ..
    } = GradCam::default().evaluate(network.backbone(), &images, &labels);
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
    let error = largest_difference(&as_peers(&map, reference), &reference.peer);
    assert!(error < PEER, "{name}: the peer's maps differ by {error}");
}

/// Enlarged maps, their values brought to 0..=1 anew as the package does, where it was looked at.
fn as_peers(map: &Tensor, reference: &Reference) -> Tensor {
    let [batch, _, height, width] = reference.images;
    let size = map.size();
    let input = ImageSize::new(width as u32, height as u32);
    let upsampling = Upsampling::new(size[1] as usize, size[2] as usize, input);
    let [down, across] = reference.peer_grid;
    let mut seen = Vec::new();
    for image in 0..batch {
        let map = Vec::<f64>::try_from(map.get(image).flatten(0, -1)).expect("numbers");
        let up = upsampling.up(&map);
        let low = up.iter().copied().fold(f64::INFINITY, f64::min);
        let high = up.iter().copied().fold(0.0, f64::max);
        for row in up.chunks_exact(width as usize).step_by(down) {
            seen.extend(row.iter().step_by(across).map(|f| (f - low) / (high - low)));
        }
    }
    Tensor::from_slice(&seen)
}

fn network(kind: BackboneKind, gain: f64) -> Network {
    let network = Network::without_weights(kind, NUM_CLASSES, SEED, Device::Cpu);
    for (name, mut variable) in network.store().variables() {
        let values = weight(&name, &variable.size(), gain);
        tch::no_grad(|| variable.copy_(&values));
    }
    network
}

fn largest_difference(tensor: &Tensor, expected: &[f64]) -> f64 {
    let expected = Tensor::from_slice(expected).view(tensor.size().as_slice());
    (tensor - expected).abs().max().double_value(&[])
}
