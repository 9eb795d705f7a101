//! Against files that PyTorch wrote (`scripts/reference/weights.py`), and files that somebody damaged.

use std::path::PathBuf;

use safetensors::tensor::TensorView;
use tch::Device;
use tch::nn::{Init, Path as Root};

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/weights")
        .join(name)
}

/// The tensor of the script's formula.
fn expected(name: &str, shape: &[i64]) -> Tensor {
    let i = Tensor::arange(shape.iter().product::<i64>(), (Kind::Int64, Device::Cpu));
    let eighths = (i * 7i64 + name.len() as i64).remainder(33i64) - 16i64;
    (eighths.to_kind(Kind::Float) / 8.0).reshape(shape)
}

const TENSORS: [(&str, &[i64]); 7] = [
    ("bn.bias", &[4]),
    ("bn.running_mean", &[4]),
    ("bn.running_var", &[4]),
    ("bn.weight", &[4]),
    ("conv.weight", &[4, 3, 3, 3]),
    ("fc.bias", &[5]),
    ("fc.weight", &[5, 4]),
];

#[test]
fn every_layout_holds_the_same_tensors() {
    for name in [
        "zip.pth",
        "older.pth",
        "protocol4.pth",
        "older_protocol4.pth",
        "parameters.pth",
        "checkpoint.pth",
        "older_checkpoint.pth",
        "2017.pth",
    ] {
        let file = WeightFile::open(&fixture(name)).expect("opens");
        file.check().expect("its checksums are right");
        let names: Vec<&str> = file.tensors.keys().map(String::as_str).collect();
        assert_eq!(names, TENSORS.map(|(name, _)| name), "{name}");
        for (tensor, shape) in TENSORS {
            let values = file.values(tensor).expect("reads");
            assert_eq!(values, expected(tensor, shape), "{name} {tensor}");
        }
    }
}

#[test]
fn parts_of_tensors_and_other_types() {
    let whole = expected("whole", &[6, 8]);
    for name in ["views.pth", "older_views.pth"] {
        let file = WeightFile::open(&fixture(name)).expect("opens");
        for (tensor, values) in [
            ("whole", whole.shallow_clone()),
            ("row", whole.get(2)),
            ("transposed", whole.tr()),
            ("strided", whole.slice(0, 1, 6, 2).slice(1, 0, 8, 3)),
            ("scalar", whole.get(3).get(5)),
            ("f64", expected("f64", &[5])),
            ("f16", expected("f16", &[5])),
            ("bf16", expected("bf16", &[5])),
        ] {
            let read = file.values(tensor).expect("reads");
            assert_eq!((read.kind(), read.size()), (Kind::Float, values.size()));
            assert_eq!(read, values, "{name} {tensor}");
        }
    }
}

#[test]
fn what_holds_no_weights_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let written = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    };
    let mut huge_header = u64::MAX.to_le_bytes().to_vec();
    huge_header.extend(b"{}");
    for (path, says) in [
        (dir.path().join("nowhere.pth"), "cannot be read"),
        (dir.path().to_owned(), "directory"),
        (written("empty.pth", b""), "neither a safetensors file nor"),
        (written("page.pth", b"<!DOCTYPE html>"), "neither"),
        (written("huge.safetensors", &huge_header), "longer"),
        (
            written("hostile.pth", b"\x80\x02cos\nsystem\n."),
            "\"os.system\"",
        ),
        (
            written("plain.pth", b"\x80\x02}."),
            "neither a safetensors file nor",
        ),
        (
            written("cut.safetensors", b"\x02\0\0\0\0\0\0\0{}\0"),
            "cut off",
        ),
        (fixture("torchscript.pth"), "TorchScript"),
        (fixture("whole_module.pth"), "torch.nn.modules"),
    ] {
        let error = WeightFile::open(&path).expect_err("an error").to_string();
        assert!(error.contains(says), "{error}");
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(error.contains(&*name), "{error}");
    }
}

/// Opens a file and reads all of it.
fn read_whole(path: &Path) -> Result<Vec<Tensor>, WeightsError> {
    let file = WeightFile::open(path)?;
    file.check()?;
    file.tensors.keys().map(|name| file.values(name)).collect()
}

/// The files that a hostile one can be like.
fn samples() -> Vec<Vec<u8>> {
    let files = ["zip.pth", "older.pth", "checkpoint.pth", "older_views.pth"];
    let mut samples = files
        .map(|name| std::fs::read(fixture(name)).expect("reads"))
        .to_vec();
    samples.push(pack(&TENSORS));
    samples
}

#[test]
fn what_is_cut_off_is_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("cut");
    for (i, bytes) in samples().iter().enumerate() {
        for end in (0..bytes.len()).step_by(97) {
            std::fs::write(&path, &bytes[..end]).expect("writes");
            assert!(read_whole(&path).is_err(), "sample {i} up to {end}");
        }
        std::fs::write(&path, bytes).expect("writes");
        assert!(read_whole(&path).is_ok(), "sample {i}");
    }
}

#[test]
fn what_is_changed_never_panics() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("changed");
    for bytes in samples() {
        std::fs::write(&path, &bytes).expect("writes");
        let whole = read_whole(&path).expect("reads");
        let has_checksums = bytes.starts_with(b"PK");
        for (i, flip) in (0..bytes.len())
            .step_by(5)
            .zip([0x01, 0x80, 0xff].into_iter().cycle())
        {
            let mut changed = bytes.clone();
            changed[i] ^= flip;
            std::fs::write(&path, &changed).expect("writes");
            if let Ok(read) = read_whole(&path) {
                assert!(!has_checksums || read == whole, "byte {i} ^ {flip}");
            }
        }
    }
}

/// A safetensors file of the formula's values.
fn pack(tensors: &[(&str, &[i64])]) -> Vec<u8> {
    let tensors: Vec<(&str, Vec<f32>, Vec<usize>)> = tensors
        .iter()
        .map(|(name, shape)| {
            let values = Vec::try_from(expected(name, shape).flatten(0, -1)).expect("copies");
            (*name, values, shape.iter().map(|n| *n as usize).collect())
        })
        .collect();
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, values, _)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, _, shape), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.expect("a tensor"))
    });
    safetensors::serialize(views, None).expect("packs")
}

/// A network of these parameters, all of them 7.
fn store(tensors: &[(&str, &[i64])]) -> VarStore {
    let store = VarStore::new(Device::Cpu);
    for (name, shape) in tensors {
        let mut path: Root<'_> = store.root();
        let parts: Vec<&str> = name.split('.').collect();
        let (last, layers) = parts.split_last().expect("a name");
        for layer in layers {
            path = path / layer;
        }
        let _ = path.var(last, shape, Init::Const(7.0));
    }
    store
}

fn is_seven(store: &VarStore, name: &str) -> bool {
    store.variables()[name].eq(7.0).all().double_value(&[]) != 0.0
}

/// A network of these parameters takes over a file of those; which of its parameters stayed its own, or what did not fit.
fn taken(
    kind: BackboneKind,
    own: &[(&str, &[i64])],
    file: &[(&str, &[i64])],
) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("weights.safetensors");
    std::fs::write(&path, pack(file)).expect("writes");
    let store = store(own);
    let result = WeightFile::open(&path)
        .expect("opens")
        .load_into(&store, kind);
    let kept: Vec<String> = own
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .filter(|name| is_seven(&store, name))
        .collect();
    match result {
        Ok(loaded) => {
            assert_eq!(loaded.new_classifier, !kept.is_empty(), "{kept:?}");
            Ok(kept)
        }
        Err(error) => {
            assert_eq!(kept.len(), own.len(), "unchanged");
            Err(error.to_string())
        }
    }
}

#[test]
fn nothing_is_missing_superfluous_or_misshapen() {
    let own: &[(&str, &[i64])] = &[
        ("a.weight", &[4, 3]),
        ("b.weight", &[2]),
        ("fc.weight", &[5, 4]),
        ("fc.bias", &[5]),
    ];
    let [a, b, weight, bias] = [own[0], own[1], own[2], own[3]];
    let classifier = vec!["fc.weight".to_owned(), "fc.bias".to_owned()];
    let many: Vec<String> = (0..9).map(|i| format!("new.{i}")).collect();
    let mut with_many = own.to_vec();
    with_many.extend(many.iter().map(|name| (&**name, &[1i64][..])));
    let ignored = ("b.num_batches_tracked", &[1i64][..]);
    for (file, expected) in [
        (&[a, b, weight, bias][..], Ok(vec![])),
        (&[a, b, weight, bias, ignored], Ok(vec![])),
        (&[a, b], Ok(classifier.clone())),
        (
            &[a, b, ("fc.weight", &[9, 4]), ("fc.bias", &[9])],
            Ok(classifier),
        ),
        (
            &[a, b, ("fc.weight", &[9, 3]), ("fc.bias", &[9])],
            Err("of another shape fc.weight ([9, 3] there, [5, 4] here)"),
        ),
        (&[b, weight, bias], Err("missing a.weight")),
        (
            &[a, ("c.weight", &[2]), weight, bias],
            Err("missing b.weight; unknown to it c.weight"),
        ),
        (
            &[("a.weight", &[3, 4]), b, weight, bias],
            Err("of another shape a.weight ([3, 4] there, [4, 3] here)"),
        ),
        (
            &with_many[..],
            Err("unknown to it new.0, new.1, new.2 and 6 more"),
        ),
    ] {
        let found = taken(BackboneKind::Resnet18, own, file);
        match expected {
            Ok(kept) => assert_eq!(found, Ok(kept)),
            Err(says) => {
                let error = found.expect_err(says);
                assert!(error.ends_with(says), "{error}");
                assert!(
                    error.contains("weights.safetensors") && error.contains("ResNet-18"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn a_head_of_several_layers_is_new_as_a_whole_or_in_its_last_one() {
    let own: &[(&str, &[i64])] = &[
        ("features.0.weight", &[4]),
        ("classifier.0.weight", &[3, 4]),
        ("classifier.6.weight", &[5, 3]),
        ("classifier.6.bias", &[5]),
    ];
    let kept = |file: &[(&str, &[i64])]| taken(BackboneKind::Vgg19, own, file);
    assert_eq!(kept(&own[..1]).map(|kept| kept.len()), Ok(3));
    assert_eq!(kept(&own[..2]).map(|kept| kept.len()), Ok(2));
    assert_eq!(kept(own), Ok(vec![]));
    let error = kept(&[own[0], own[2], own[3]]).expect_err("a layer is missing");
    assert!(error.ends_with("missing classifier.0.weight"), "{error}");
}

#[test]
fn values_that_are_no_numbers_are_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("weights.safetensors");
    for (dtype, value) in [
        (Dtype::F32, f32::NAN.to_le_bytes().to_vec()),
        (Dtype::F32, f32::NEG_INFINITY.to_le_bytes().to_vec()),
        (Dtype::F16, vec![0x00, 0x7c]),
        // Infinite in f32.
        (Dtype::F64, 1e300f64.to_le_bytes().to_vec()),
    ] {
        let mut bytes = vec![0; 2 * value.len()];
        bytes.extend(value);
        let view = TensorView::new(dtype, vec![3], &bytes).expect("a tensor");
        let packed = safetensors::serialize([("a.weight", view)], None).expect("packs");
        std::fs::write(&path, packed).expect("writes");
        let store = store(&[("a.weight", &[3])]);
        let error = WeightFile::open(&path)
            .expect("opens")
            .load_into(&store, BackboneKind::Resnet18)
            .expect_err("an error");
        assert!(matches!(&error, WeightsError::NotFinite { tensor, .. } if tensor == "a.weight"));
        assert!(is_seven(&store, "a.weight"));
    }
}

#[test]
fn torchvisions_names_of_densenet() {
    for (name, today) in [
        (
            "features.denseblock1.denselayer2.norm.1.weight",
            "features.denseblock1.denselayer2.norm1.weight",
        ),
        (
            "features.denseblock4.denselayer16.conv.2.weight",
            "features.denseblock4.denselayer16.conv2.weight",
        ),
        (
            "features.denseblock1.denselayer2.norm1.bias",
            "features.denseblock1.denselayer2.norm1.bias",
        ),
        (
            "features.transition1.norm.weight",
            "features.transition1.norm.weight",
        ),
    ] {
        assert_eq!(todays_name(name.to_owned()), today);
    }
}

#[test]
fn a_file_says_which_network_it_is_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("weights.safetensors");
    for kind in [BackboneKind::SmallResnet, BackboneKind::MobilenetV2] {
        let network = backbone::Network::new(kind, 3, 1, Device::Cpu);
        std::fs::write(&path, network.to_bytes().expect("packs")).expect("writes");
        let file = WeightFile::open(&path).expect("opens");
        assert_eq!(file.network(), Some((kind, Some(3))));
    }
    let other = WeightFile::open(&fixture("zip.pth")).expect("opens");
    assert_eq!(other.network(), None);
}

/// The weights that are at hand beside a checkout, where they are.
#[test]
fn real_weights_fit() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/weights");
    for (name, kind, classes) in [
        (
            "efficientnet_lite0.safetensors",
            BackboneKind::EfficientnetLite0,
            Some(1000),
        ),
        (
            "vgg19_features_torchvision_fp16.safetensors",
            BackboneKind::Vgg19,
            None,
        ),
    ] {
        let Ok(file) = WeightFile::open(&folder.join(name)) else {
            continue;
        };
        assert_eq!(file.network(), Some((kind, classes)));
        let mut network = backbone::Network::new(kind, classes.unwrap_or(2), 1, Device::Cpu);
        let loaded = network.load(&folder.join(name)).expect("loads");
        assert_eq!(loaded.new_classifier, classes.is_none());
    }
}
