//! A run's model as other programs get it.

use std::path::{Path, PathBuf};
use std::process::Command;

use care_data::{ClassId, Look};
use care_learn::backbone::Network;
use care_learn::config::BackboneKind;
use care_learn::model_export::{NOTE, safetensors, torchscript};
use care_learn::run_folder::{RunData, RunFolder};
use care_learn::task::TaskClass;
use care_learn::{ModelRole, RunConfig};
use tch::{Device, Kind, Tensor};

/// A run's folder with one model, its running statistics not those of a new network.
fn folder(dir: &Path, config: &RunConfig, classes: usize) -> (RunFolder, Network) {
    let (network, _) = Network::from_config(config, classes, Device::Cpu).expect("a network");
    tch::no_grad(|| {
        for (name, mut variable) in network.store().variables() {
            if name.ends_with("running_mean") {
                variable.copy_(&(variable.ones_like() * 0.05));
            } else if name.ends_with("running_var") {
                variable.copy_(&(variable.ones_like() * 1.3));
            }
        }
    });
    let classes = (0..classes)
        .map(|i| TaskClass {
            id: ClassId(i as i64 + 1),
            name: format!("class \"{i}\" ä"),
            rare: i == 1,
        })
        .collect();
    let data = RunData {
        classes,
        look: Look::default(),
        stage1_of: None,
    };
    let config = RunConfig {
        weights: None,
        ..config.clone()
    };
    let text = toml::to_string(&config).expect("serialises");
    std::fs::write(dir.join("config.toml"), text).expect("writes");
    let data = serde_json::to_vec(&data).expect("serialises");
    std::fs::write(dir.join("data.json"), data).expect("writes");
    let is_script = config.backbone == BackboneKind::Torchscript;
    let name = if is_script {
        "care.pt"
    } else {
        "care.safetensors"
    };
    let bytes = network.to_bytes().expect("packs");
    std::fs::write(dir.join(name), bytes).expect("writes");
    (RunFolder::open(dir).expect("opens"), network)
}

/// Values in -2..=2, the same always.
fn images(n: i64, side: u32) -> Tensor {
    let side = i64::from(side);
    let count = n * 3 * side * side;
    let values = Tensor::arange(count, (Kind::Float, Device::Cpu));
    ((values * 12.9898).sin() * 43_758.547)
        .frac()
        .view([n, 3, side, side])
        * 2.0
}

fn logits(network: &Network, x: &Tensor) -> Tensor {
    let backbone = network.backbone();
    tch::no_grad(|| backbone.head(&backbone.features(x, false), false))
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

fn config(backbone: BackboneKind, side: u32) -> RunConfig {
    RunConfig {
        backbone,
        input_size: side,
        ..RunConfig::default()
    }
}

/// Opened again as a program that knows nothing of this one would, with other numbers of images than it was traced with.
#[test]
fn the_program_gives_the_networks_logits() {
    for (backbone, side, layer) in [
        (BackboneKind::SmallResnet, 56, None),
        (BackboneKind::SmallResnet, 57, Some("layer2")),
        (BackboneKind::Resnet18, 112, Some("layer3")),
        (BackboneKind::Densenet121, 112, Some("features.denseblock3")),
        (BackboneKind::MobilenetV2, 112, Some("features.13")),
        (BackboneKind::EfficientnetLite0, 113, Some("_blocks.10")),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let config = RunConfig {
            target_layer: layer.map(str::to_owned),
            ..config(backbone, side)
        };
        let (folder, network) = folder(dir.path(), &config, 3);
        let bytes = torchscript(&folder, ModelRole::Care).expect("exports");
        let path = dir.path().join("exported.pt");
        std::fs::write(&path, bytes).expect("writes");
        let module = tch::CModule::load(&path).expect("loads");
        for n in [1, 3] {
            let x = images(n, side);
            let ours = logits(&network, &x);
            let theirs = tch::no_grad(|| module.forward_ts(&[&x])).expect("runs");
            assert_eq!(theirs.size(), [n, 3]);
            let off = difference(&ours, &theirs);
            assert!(off < 1e-5, "{backbone:?} {layer:?}: {off}");
        }
        // It is a network that CARE can be trained on again, at the same layer.
        let again = Network::open_torchscript(&path, Some(3), side, 0, Device::Cpu);
        let again = again.expect("a network");
        let x = images(2, side);
        assert!(difference(&logits(&network, &x), &logits(&again, &x)) < 1e-5);
        assert_eq!(again.grid(side), network.grid(side), "{backbone:?}");
    }
}

#[test]
fn a_program_brought_along_gets_a_forward() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torchscript");
    let side = 224;
    let config = RunConfig {
        weights: Some(fixture.join("densenet.pt")),
        ..config(BackboneKind::Torchscript, side)
    };
    let dir = tempfile::tempdir().expect("a folder");
    let (folder, network) = folder(dir.path(), &config, 2);
    let bytes = torchscript(&folder, ModelRole::Care).expect("exports");
    let path = dir.path().join("exported.pt");
    std::fs::write(&path, bytes).expect("writes");
    let x = images(2, side);
    let module = tch::CModule::load(&path).expect("loads");
    let theirs = tch::no_grad(|| module.forward_ts(&[&x])).expect("runs");
    assert!(difference(&logits(&network, &x), &theirs) < 1e-5);
    let error = safetensors(&folder, ModelRole::Care).expect_err("none");
    assert!(error.to_string().contains("TorchScript"), "{error}");
}

#[test]
fn safetensors_hold_the_weights_and_say_how_to_use_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let (folder, network) = folder(dir.path(), &config(BackboneKind::SmallResnet, 56), 2);
    let bytes = safetensors(&folder, ModelRole::Care).expect("exports");
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
    let metadata = header.metadata().as_ref().expect("metadata");
    let note: serde_json::Value = serde_json::from_str(&metadata[NOTE]).expect("JSON");
    assert_eq!(note["classes"][1], "class \"1\" ä");
    assert_eq!(note["input_size"], 56);
    assert_eq!(note["intended_use"], "research only, not for diagnosis");
    let path = dir.path().join("exported.safetensors");
    std::fs::write(&path, bytes).expect("writes");
    let mut again = Network::without_weights(BackboneKind::SmallResnet, 2, 0, Device::Cpu);
    again.load(&path).expect("loads");
    let x = images(2, 56);
    assert!(difference(&logits(&network, &x), &logits(&again, &x)) < 1e-6);
}

/// The Python of `cargo xtask reference`, where it was made.
fn python() -> Option<PathBuf> {
    let target = std::env::var_os("CARE_REFERENCE_PYTHON").map(PathBuf::from);
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/reference/bin/python");
    target.into_iter().chain([made]).find(|path| path.exists())
}

#[test]
fn python_loads_it_and_gets_the_same_logits() {
    check_in_python(&[
        (BackboneKind::SmallResnet, 56),
        (BackboneKind::MobilenetV2, 112),
        (BackboneKind::EfficientnetLite0, 112),
    ]);
}

#[test]
#[ignore = "minutes: files of up to 550 MB"]
fn python_loads_the_large_ones_too() {
    check_in_python(&[
        (BackboneKind::Resnet50, 224),
        (BackboneKind::Vgg16, 112),
        (BackboneKind::Vgg19Bn, 112),
        (BackboneKind::Densenet121, 224),
    ]);
}

fn check_in_python(backbones: &[(BackboneKind, u32)]) {
    let Some(python) = python() else {
        eprintln!("skipped: no reference Python. Make it with `cargo xtask reference`.");
        return;
    };
    const SCRIPT: &str = "
import json, sys, torch
dir, side = sys.argv[1], int(sys.argv[2])
note = {'care.json': ''}
model = torch.jit.load(dir + '/exported.pt', _extra_files=note)
note = json.loads(note['care.json'])
assert note['input_size'] == side and note['classes'][0] == 'class \"0\" \\u00e4', note
x = torch.frombuffer(bytearray(open(dir + '/x.bin', 'rb').read()), dtype=torch.float32).view(-1, 3, side, side)
y = torch.frombuffer(bytearray(open(dir + '/y.bin', 'rb').read()), dtype=torch.float32).view(len(x), -1)
with torch.no_grad():
    # Untrained networks give logits of many sizes.
    bound = 1e-5 * max(1.0, y.abs().max().item())
    for given, wanted in ((model(x), y), (model(x[:1]), y[:1]), (model.forward_head(model.forward_features(x)), y)):
        off = (given - wanted).abs().max().item()
        assert off < bound, (off, bound)
names = set(name for name, _ in model.named_parameters())
print(len(names), 'fc.weight' in names)
";
    for &(backbone, side) in backbones {
        let dir = tempfile::tempdir().expect("a folder");
        let (folder, network) = folder(dir.path(), &config(backbone, side), 2);
        let bytes = torchscript(&folder, ModelRole::Care).expect("exports");
        std::fs::write(dir.path().join("exported.pt"), bytes).expect("writes");
        let x = images(3, side);
        for (name, tensor) in [("x.bin", &x), ("y.bin", &logits(&network, &x))] {
            let values: Vec<f32> = Vec::try_from(tensor.flatten(0, -1)).expect("numbers");
            let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
            std::fs::write(dir.path().join(name), bytes).expect("writes");
        }
        let output = Command::new(&python)
            .env_remove("LD_LIBRARY_PATH")
            .args(["-c", SCRIPT])
            .arg(dir.path())
            .arg(side.to_string())
            .output()
            .expect("starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{backbone:?}: {error}");
        if backbone == BackboneKind::Resnet50 {
            // As torchvision's resnet50 has.
            assert_eq!(output.stdout, b"161 True\n");
        }
    }
}
