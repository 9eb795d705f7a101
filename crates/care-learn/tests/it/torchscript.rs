//! A network brought as a TorchScript file, from loading to its last checkpoint. `scripts/reference/torchscript.py` makes the
//! fixtures, and says what PyTorch computes with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use care_data::{BoundingBox, ImageSize, Look, Part};
use care_learn::attention_loss::{
    GridMasks, MaskBatch, Raster, Upsampling, attention_terms, total,
};
use care_learn::backbone::Network;
use care_learn::config::{BackboneKind, Outside, Precision, Preprocess};
use care_learn::dataset::Dataset;
use care_learn::event::{ModelRole, Outcome};
use care_learn::grad_cam::{GradCam, label_tensor};
use care_learn::run_folder::RunFolder;
use care_learn::{LiveParams, RunConfig};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::reference::formula::{Probe, numbers};
use super::tiny::{Reaction, run, tiny_task};

const SIDE: u32 = 56;

#[derive(Deserialize)]
struct Reference {
    labels: Vec<usize>,
    /// Rows of the images with boxes, xyxy.
    boxes: Vec<(i64, Vec<[f64; 4]>)>,
    live: LiveParams,
    logits: Vec<f64>,
    loss: f64,
    /// L_c, L_in, L_out.
    terms: [f64; 3],
    gradients: BTreeMap<String, Probe>,
    /// Once a pass in training mode has moved the running statistics.
    logits_afterwards: Vec<f64>,
}

fn fixture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fixtures.join(name)
}

fn open(path: &Path, classes: usize, side: u32) -> Result<Network, String> {
    let config = RunConfig {
        backbone: BackboneKind::Torchscript,
        weights: Some(path.to_owned()),
        input_size: side,
        ..RunConfig::default()
    };
    let network = Network::from_config(&config, classes, Device::Cpu);
    network.map(|(n, _)| n).map_err(|error| error.to_string())
}

fn densenet() -> Network {
    open(&fixture("torchscript/densenet.pt"), 2, SIDE).expect("opens")
}

fn logits(network: &Network, images: &Tensor) -> Tensor {
    let backbone = network.backbone();
    tch::no_grad(|| backbone.head(&backbone.features(images, false), false))
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn logits_loss_and_gradients_are_pytorchs() {
    let text = include_str!("../fixtures/torchscript/densenet.json");
    let reference: Reference = serde_json::from_str(text).expect("a fixture");
    let network = densenet();
    let backbone = network.backbone();
    let side = i64::from(SIDE);
    let count = reference.labels.len() as i64;
    let images = numbers("images", &[count, 3, side, side], 0.0, 2.0);
    let labels = label_tensor(&reference.labels, Device::Cpu);
    let expected = Tensor::from_slice(&reference.logits).view([count, 2]);

    let size = ImageSize::new(SIDE, SIDE);
    let upsampling = Upsampling::new(7, 7, size);
    let (rows, masks): (Vec<i64>, Vec<GridMasks>) = reference
        .boxes
        .iter()
        .map(|(row, boxes)| {
            let boxes: Vec<BoundingBox> = boxes
                .iter()
                .map(|b| BoundingBox::try_from(*b).expect("a box"))
                .collect();
            let raster = Raster::new(&boxes, size, size);
            let masks = GridMasks::new(&raster, Outside::Uniform, &upsampling);
            (*row, masks.expect("boxes"))
        })
        .unzip();
    let masks: Vec<&GridMasks> = masks.iter().collect();
    let masks = MaskBatch::new(&masks, Kind::Float, Device::Cpu);
    let rows = Tensor::from_slice(&rows);
    let variables = network.store().variables();
    // Again and again, because torch's interpreter optimises a program while it runs.
    for pass in 0..4 {
        let activations = backbone.features(&images, false);
        let logits = backbone.head(&activations, false);
        assert!(difference(&logits, &expected) < 1e-4, "pass {pass}");
        let cam = GradCam::default();
        let f = cam.attention_of(&rows, backbone, &activations, &logits, &labels);
        let terms = attention_terms(&f, &masks, &reference.live);
        let l_c = logits.cross_entropy_for_logits(&labels);
        let loss = total(&l_c, Some(&terms.l_a), reference.live.alpha);
        for (value, expected) in [&l_c, &terms.l_in, &terms.l_out, &loss]
            .into_iter()
            .zip(reference.terms.iter().chain([&reference.loss]))
        {
            let error = (value.double_value(&[]) - expected).abs();
            assert!(error < 1e-4, "pass {pass}: {error} from {expected}");
        }
        let of: Vec<&Tensor> = reference.gradients.keys().map(|n| &variables[n]).collect();
        let gradients = Tensor::run_backward(&[loss], &of, false, false);
        for ((name, expected), gradient) in reference.gradients.iter().zip(&gradients) {
            let what = format!("pass {pass}: {name}");
            expected.check_within(1e-3, &what, &[(name, gradient.shallow_clone())]);
        }
    }

    drop(tch::no_grad(|| backbone.features(&images, true)));
    let expected = Tensor::from_slice(&reference.logits_afterwards).view([count, 2]);
    assert!(difference(&logits(&network, &images), &expected) < 1e-4);
}

/// The running statistics are among its variables, so that a step can be taken back.
#[test]
fn its_variables_are_the_parameters_and_buffers() {
    let network = densenet();
    let variables = network.store().variables();
    let mean = &variables["network.features.norm0.running_mean"];
    let (before, trained) = (mean.copy(), network.store().trainable_variables().len());
    let images = numbers("images", &[2, 3, 56, 56], 0.0, 2.0);
    drop(tch::no_grad(|| network.backbone().features(&images, true)));
    assert_ne!(*mean, before);
    let parameters = variables.values().filter(|v| v.requires_grad()).count();
    assert_eq!(trained, parameters);
    // What a map needs is there also where nothing before it is trained.
    for variable in variables.values() {
        let _ = variable.set_requires_grad(false);
    }
    let activations = network.backbone().features(&images, true);
    assert!(activations.requires_grad());
}

#[test]
fn a_duplicate_has_everything_and_drops_the_same() {
    let network = densenet();
    let images = numbers("images", &[4, 3, 56, 56], 0.0, 2.0);
    // Statistics that are not the file's.
    drop(tch::no_grad(|| network.backbone().features(&images, true)));
    let twins = [(); 2].map(|()| network.duplicate().expect("copies"));
    let expected = logits(&network, &images);
    assert_ne!(expected, logits(&densenet(), &images));
    let in_training = |network: &Network| {
        let backbone = network.backbone();
        tch::no_grad(|| backbone.head(&backbone.features(&images, true), true))
    };
    for twin in &twins {
        assert_eq!(logits(twin, &images), expected);
        assert_eq!(
            twin.store().trainable_variables().len(),
            network.store().trainable_variables().len()
        );
    }
    let [first, second] = twins.each_ref().map(|t| [in_training(t), in_training(t)]);
    assert_eq!(first, second);
    assert_ne!(first[0], first[1]);
    // Each has its own.
    assert_eq!(logits(&network, &images), expected);
    assert_ne!(logits(&twins[0], &images), expected);
}

#[test]
fn a_run_trains_it_and_its_checkpoints_load_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    task.config.backbone = BackboneKind::Torchscript;
    task.config.weights = Some(fixture("torchscript/densenet.pt"));
    task.config.stage1_epochs = 1;
    let (outcome, _) = run(&task, |_| Reaction::Nothing);
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");

    let folder = RunFolder::open(&task.folder).expect("the run's");
    let test: Vec<usize> = (0..task.samples.len())
        .filter(|i| task.samples[*i].part == Part::Test)
        .collect();
    let paths = task.samples.iter().map(|s| s.path.clone()).collect();
    let size = ImageSize::new(SIDE, SIDE);
    let data =
        Dataset::load(paths, &test, Look::default(), size, Preprocess::IMAGENET).expect("decodes");
    assert!(data.wait_for(&test, || true));
    let images = data.batch(&test, Device::Cpu);
    let mut seen = vec![logits(&densenet(), &images)];
    for role in ModelRole::ALL {
        let path = folder.weights(role);
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("pt"));
        let now = logits(&open(&path, 2, SIDE).expect("its own file"), &images);
        let probabilities = now.softmax(-1, Kind::Float);
        let tested = folder.test_attention(&[role]).expect("seen");
        for (row, image) in tested[0].1.iter().enumerate() {
            let expected = Tensor::from_slice(&image.probabilities);
            assert!(difference(&probabilities.get(row as i64), &expected) < 1e-5);
        }
        assert!(
            seen.iter().all(|before| *before != now),
            "{role:?} has learned"
        );
        seen.push(now);
    }

    task.config.precision = Precision::Bf16;
    task.config.weights = Some(folder.weights(ModelRole::Care));
    task.folder = dir.path().join("runs/0002");
    let (outcome, _) = run(&task, |_| Reaction::Nothing);
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
}

#[test]
fn a_file_that_cannot_be_used_is_refused_in_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let written = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    };
    let nan = f64::NAN;
    let poisoned = densenet();
    let weight = poisoned.store().variables()["network.classifier.weight"].shallow_clone();
    let _ = tch::no_grad(|| weight.get(0).get(3).fill_(nan));
    drop(weight);
    let huge = densenet();
    // Each of them a number, their products none.
    for name in ["network.features.norm5.bias", "network.classifier.weight"] {
        let mut variable = huge.store().variables()[name].shallow_clone();
        let _ = tch::no_grad(|| variable.fill_(3e38));
    }
    let strange = densenet();
    let images = Tensor::full([2, 3, 56, 56], nan, (Kind::Float, Device::Cpu));
    drop(tch::no_grad(|| strange.backbone().features(&images, true)));
    let whole = std::fs::read(fixture("torchscript/densenet.pt")).expect("reads");
    for (path, classes, side, says) in [
        ("nowhere.pt".into(), 2, SIDE, "cannot be read"),
        (
            written("page.pt", b"<!DOCTYPE html>"),
            2,
            SIDE,
            "torch.jit.script",
        ),
        (
            written("cut.pt", &whole[..9000]),
            2,
            SIDE,
            "torch.jit.script",
        ),
        (fixture("weights/zip.pth"), 2, SIDE, "torch.jit.script"),
        (
            fixture("weights/torchscript.pth"),
            5,
            SIDE,
            "no method forward_features",
        ),
        (fixture("torchscript/flat.pt"), 2, SIDE, "gives [2, 3]"),
        (
            fixture("torchscript/densenet.pt"),
            7,
            SIDE,
            "tells 2 classes apart, and there are 7",
        ),
        (
            fixture("torchscript/densenet.pt"),
            2,
            40,
            "map is 5 x 5 at input_size=40, too coarse to say where it looks: 7 x 7 is the least. Take input_size=56",
        ),
        (fixture("torchscript/densenet.pt"), 2, 8, "map is 1 x 1"),
        (
            written("poisoned.pt", &poisoned.to_bytes().expect("packs")),
            2,
            SIDE,
            "\"network.classifier.weight\" holds values that are no numbers",
        ),
        (
            written("strange.pt", &strange.to_bytes().expect("packs")),
            2,
            SIDE,
            "running_mean\" holds values that are no numbers",
        ),
        (
            written("huge.pt", &huge.to_bytes().expect("packs")),
            2,
            SIDE,
            "logits are no numbers",
        ),
    ] {
        let Err(error) = open(&path, classes, side) else {
            panic!("{} was taken", path.display())
        };
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(
            error.contains(says) && error.contains(&*name) && error.lines().count() == 1,
            "{name}: {error}"
        );
    }
}

#[test]
fn a_run_with_a_file_that_does_not_fit_fails_in_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    task.config.backbone = BackboneKind::Torchscript;
    task.config.weights = Some(fixture("torchscript/flat.pt"));
    let (outcome, _) = run(&task, |_| Reaction::Nothing);
    let Outcome::Failed(why) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        why.contains("flat.pt") && why.contains("not a map"),
        "{why}"
    );
}
