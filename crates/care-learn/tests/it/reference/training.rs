//! The losses, their gradients and a step of training, from `scripts/reference/training.py`: there F is enlarged and met with
//! whole masks, image by image; here the masks were brought down.
//!
//! All in double precision: in single, a ReLU near zero falls on either side, and moves the gradient of 100 layers by percents.

use std::collections::BTreeMap;

use care_data::{BoundingBox, ImageSize};
use care_learn::LiveParams;
use care_learn::attention_loss::{
    GridMasks, MaskBatch, Raster, Upsampling, attention_terms, total,
};
use care_learn::backbone::{Backbone, Network};
use care_learn::classification_loss::ClassificationLoss;
use care_learn::config::{BackboneKind, CamWeights, Normalisation, OptimizerKind, Outside};
use care_learn::grad_cam::{GradCam, label_tensor};
use care_learn::optimizer::Optimizer;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::formula::{Probe, images, weight};
use super::{NUM_CLASSES, network};

#[derive(Deserialize)]
struct Fixture {
    /// Width and height of the images that the boxes are of.
    boxes_in: [u32; 2],
    /// Of each image of the batch.
    boxes: Vec<Vec<[f64; 4]>>,
    alpha: f64,
    lambda: f64,
    learning_rate: f64,
    weight_decay: f64,
    /// Of `classified` and `optimised`, which are of the first network trained.
    labels: Vec<usize>,
    images: [i64; 4],
    classified: Vec<Classified>,
    /// The network's parts after three steps each.
    optimised: Vec<(OptimizerKind, BTreeMap<String, Probe>)>,
    trained: Vec<Trained>,
}

#[derive(Deserialize)]
struct Classified {
    class_counts: Option<Vec<usize>>,
    gamma: f64,
    l_c: f64,
    gradients: BTreeMap<String, Probe>,
}

#[derive(Deserialize)]
struct Trained {
    backbone: BackboneKind,
    gain: f64,
    /// B, 3, H, W.
    images: [i64; 4],
    labels: Vec<usize>,
    l_c: f64,
    /// The last one's is the step's.
    losses: Vec<Loss>,
    /// How far the step moved each part of the network.
    step: BTreeMap<String, Probe>,
    /// All running statistics after it.
    statistics: Option<Probe>,
}

#[derive(Deserialize)]
struct Loss {
    normalisation: Normalisation,
    weights: CamWeights,
    outside: Outside,
    tau: f64,
    /// L_in, L_out, L_a, L.
    terms: [f64; 4],
    /// With respect to the first and the last layer's weight.
    gradients: BTreeMap<String, Probe>,
}

const TERM: f64 = 1e-6;

#[test]
fn residual_networks_train_as_pytorchs() {
    train_all(&BackboneKind::BUILT_IN[1..6]);
}

#[test]
fn other_networks_train_as_pytorchs() {
    train_all(&BackboneKind::BUILT_IN[6..]);
}

#[test]
fn classification_losses_and_their_gradients() {
    let fixture = fixture();
    for expected in &fixture.classified {
        let what = format!("{:?}, gamma {}", expected.class_counts, expected.gamma);
        let counts = expected.class_counts.as_deref();
        let loss = ClassificationLoss::new(
            counts.unwrap_or(&[1; NUM_CLASSES]),
            counts.is_some(),
            expected.gamma,
        );
        let (network, images) = in_double(&fixture.trained[0], &fixture.images);
        let (_, logits) = forward(network.backbone(), &images, false);
        let l_c = loss.mean(&logits, &fixture.labels);
        check_term(&what, &l_c, expected.l_c);
        let layers = layers(&network, &expected.gradients);
        let gradients = Tensor::run_backward(&[l_c], &layers, false, false);
        check_gradients(&what, &gradients, &expected.gradients);
    }
}

#[test]
fn three_steps_of_every_optimiser() {
    let fixture = fixture();
    assert_eq!(fixture.optimised.len(), 3);
    for (kind, expected) in &fixture.optimised {
        let reference = &fixture.trained[0];
        let (network, images) = in_double(reference, &fixture.images);
        let mut optimizer = Optimizer::new(*kind, fixture.weight_decay, network.store());
        for _ in 0..3 {
            let (_, logits) = forward(network.backbone(), &images, true);
            let l_c = cross_entropy(&logits, &fixture.labels);
            optimizer.forget_gradients().expect("forgets");
            l_c.backward();
            optimizer.step(fixture.learning_rate).expect("a step");
        }
        check_changes(&format!("{kind:?}"), &network, reference.gain, expected);
    }
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../fixtures/training.json")).expect("a fixture")
}

fn train_all(kinds: &[BackboneKind]) {
    let fixture = fixture();
    for kind in kinds {
        let reference = fixture.trained.iter().find(|r| r.backbone == *kind);
        train(&fixture, reference.expect("a reference for every kind"));
    }
}

fn train(fixture: &Fixture, reference: &Trained) {
    let name = reference.backbone.name();
    let (network, images) = in_double(reference, &reference.images);
    let backbone = network.backbone();
    let (activations, logits) = forward(backbone, &images, true);
    let l_c = cross_entropy(&logits, &reference.labels);
    check_term(&format!("{name}: L_c"), &l_c, reference.l_c);

    let boxed = boxed_rows(&fixture.boxes);
    let labels = label_tensor(&reference.labels, Device::Cpu);
    let grid = &activations.size()[2..];
    let input = ImageSize::new(reference.images[3] as u32, reference.images[2] as u32);
    let upsampling = Upsampling::new(grid[0] as usize, grid[1] as usize, input);
    for (i, expected) in reference.losses.iter().enumerate() {
        let what = format!(
            "{name}, {:?}, {:?} weights, {:?}",
            expected.normalisation, expected.weights, expected.outside
        );
        let cam = GradCam {
            normalisation: expected.normalisation,
            weights: expected.weights,
        };
        let live = LiveParams {
            alpha: fixture.alpha,
            lambda: fixture.lambda,
            tau: expected.tau,
        };
        let masks = masks(fixture, input, expected.outside, &upsampling);
        let masks = MaskBatch::new(&masks.iter().collect::<Vec<_>>(), Kind::Double, Device::Cpu);
        let f = cam.attention_of(&boxed, backbone, &activations, &logits, &labels);
        let terms = attention_terms(&f, &masks, &live);
        let loss = total(&l_c, Some(&terms.l_a), live.alpha);
        let got = [&terms.l_in, &terms.l_out, &terms.l_a, &loss];
        for (term, (got, expected)) in ["L_in", "L_out", "L_a", "L"]
            .iter()
            .zip(got.into_iter().zip(&expected.terms))
        {
            check_term(&format!("{what}: {term}"), got, *expected);
        }
        let layers = layers(&network, &expected.gradients);
        let gradients = if i + 1 < reference.losses.len() {
            Tensor::run_backward(&[loss], &layers, true, false)
        } else {
            loss.backward();
            layers.iter().map(Tensor::grad).collect()
        };
        check_gradients(&what, &gradients, &expected.gradients);
    }

    // Here, and not before the gradients, whose way takes gigabytes of its own.
    Optimizer::new(OptimizerKind::Adam, 0.0, network.store())
        .step(fixture.learning_rate)
        .expect("a step");
    check_changes(name, &network, reference.gain, &reference.step);
    let variables = network.store().variables();
    let statistics: Vec<(&str, Tensor)> = variables
        .iter()
        .filter(|(name, _)| name.contains("running"))
        .map(|(name, tensor)| (name.as_str(), tensor.shallow_clone()))
        .collect();
    assert_eq!(
        statistics.is_empty(),
        reference.statistics.is_none(),
        "{name}"
    );
    if let Some(expected) = &reference.statistics {
        expected.check(&format!("{name}: statistics"), &statistics);
    }
}

/// A network as the fixture's, and images.
fn in_double(reference: &Trained, size: &[i64]) -> (Network, Tensor) {
    let network = network(reference.backbone, reference.gain);
    network.store().root().set_kind(Kind::Double);
    (network, images(size).to_kind(Kind::Double))
}

/// A and logits. Every head's only difference in training is its dropout, which no two libraries draw alike.
fn forward(backbone: &dyn Backbone, images: &Tensor, train: bool) -> (Tensor, Tensor) {
    let activations = backbone.features(images, train);
    let logits = backbone.head(&activations, false);
    (activations, logits)
}

fn cross_entropy(logits: &Tensor, labels: &[usize]) -> Tensor {
    ClassificationLoss::new(&[1; NUM_CLASSES], false, 0.0).mean(logits, labels)
}

fn boxed_rows(boxes: &[Vec<[f64; 4]>]) -> Tensor {
    let rows: Vec<i64> = (0..boxes.len() as i64)
        .filter(|row| !boxes[*row as usize].is_empty())
        .collect();
    Tensor::from_slice(&rows)
}

fn masks(
    fixture: &Fixture,
    input: ImageSize,
    outside: Outside,
    upsampling: &Upsampling,
) -> Vec<GridMasks> {
    let [width, height] = fixture.boxes_in;
    let of_image = |boxes: &Vec<[f64; 4]>| {
        let boxes: Vec<BoundingBox> = boxes
            .iter()
            .map(|b| BoundingBox::try_from(*b).expect("a box"))
            .collect();
        let raster = Raster::new(&boxes, ImageSize::new(width, height), input);
        GridMasks::new(&raster, outside, upsampling)
    };
    fixture.boxes.iter().filter_map(of_image).collect()
}

fn check_term(what: &str, got: &Tensor, expected: f64) {
    let got = got.double_value(&[]);
    let allowed = TERM * expected.abs().max(1.0);
    assert!(
        (got - expected).abs() < allowed,
        "{what}: {got}, not {expected}"
    );
}

fn layers(network: &Network, expected: &BTreeMap<String, Probe>) -> Vec<Tensor> {
    let variables = network.store().variables();
    let layers = expected.keys().map(|name| variables[name].shallow_clone());
    layers.collect()
}

fn check_gradients(what: &str, gradients: &[Tensor], expected: &BTreeMap<String, Probe>) {
    for ((layer, expected), gradient) in expected.iter().zip(gradients) {
        expected.check(
            &format!("{what}: gradient by {layer}"),
            &[(layer, gradient.shallow_clone())],
        );
    }
}

/// How far the parameters are from what they were, for each part of the network.
fn check_changes(what: &str, network: &Network, gain: f64, expected: &BTreeMap<String, Probe>) {
    let mut parts: BTreeMap<&str, Vec<(&str, Tensor)>> = BTreeMap::new();
    let variables = network.store().variables();
    for (name, variable) in variables.iter().filter(|(_, v)| v.requires_grad()) {
        let part = name.split('.').next().unwrap_or(name);
        let change = variable.detach() - weight(name, &variable.size(), gain);
        parts.entry(part).or_default().push((name, change));
    }
    assert!(
        parts.keys().eq(expected.keys()),
        "{what}: {:?}",
        parts.keys()
    );
    for (part, changes) in &parts {
        expected[*part].check(&format!("{what}: step of {part}"), changes);
    }
}
