//! The user's pretrained weights: one folder, whose files are called by their names.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result, bail, ensure};
use care_learn::RunConfig;
use care_learn::config::BackboneKind;
use care_learn::weights::WeightFile;

/// A file that torchvision publishes: what `weights="IMAGENET1K_V1"` gives there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    pub backbone: BackboneKind,
    /// `NAME-HASH.pth`, the first eight digits of the file's SHA-256.
    pub file: &'static str,
    pub megabytes: u32,
}

impl Published {
    const fn new(backbone: BackboneKind, file: &'static str, megabytes: u32) -> Self {
        Self {
            backbone,
            file,
            megabytes,
        }
    }

    /// The one of this name, a backbone's.
    ///
    /// # Errors
    /// Where there is none: with the names that there are.
    pub fn find(name: &str) -> Result<Self> {
        let found = PUBLISHED.iter().find(|p| p.backbone.name() == name);
        found.copied().with_context(|| {
            let names: Vec<&str> = PUBLISHED.iter().map(|p| p.backbone.name()).collect();
            format!(
                "torchvision publishes no weights \"{name}\" that can be used here; there are {}",
                names.join(", ")
            )
        })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("https://download.pytorch.org/models/{}", self.file)
    }

    /// The hash that the name carries.
    #[must_use]
    pub fn sha256(&self) -> &'static str {
        split_hash(self.file.trim_end_matches(".pth")).map_or("", |(_, hash)| hash)
    }
}

/// Of ImageNet, 1000 classes.
pub const PUBLISHED: [Published; 10] = [
    Published::new(BackboneKind::Resnet18, "resnet18-f37072fd.pth", 47),
    Published::new(BackboneKind::Resnet34, "resnet34-b627a593.pth", 87),
    Published::new(BackboneKind::Resnet50, "resnet50-0676ba61.pth", 103),
    Published::new(BackboneKind::Resnet101, "resnet101-63fe2227.pth", 179),
    Published::new(BackboneKind::Resnet152, "resnet152-394f9c45.pth", 242),
    Published::new(BackboneKind::Vgg16, "vgg16-397923af.pth", 553),
    Published::new(BackboneKind::Vgg19, "vgg19-dcbb9e9d.pth", 575),
    Published::new(BackboneKind::Vgg19Bn, "vgg19_bn-c79401a0.pth", 575),
    Published::new(BackboneKind::Densenet121, "densenet121-a639ec97.pth", 32),
    Published::new(BackboneKind::MobilenetV2, "mobilenet_v2-b0353104.pth", 14),
];

/// The folder of the weights.
#[derive(Debug, Clone)]
pub struct WeightStore {
    dir: PathBuf,
}

impl WeightStore {
    #[must_use]
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// In the user's data folder.
    #[must_use]
    pub fn of_user() -> Self {
        let data = dirs::data_dir().unwrap_or_else(std::env::temp_dir);
        Self::new(data.join("care-studio").join("weights"))
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every file, whole ones only, by name.
    ///
    /// # Errors
    /// Where the folder is there and cannot be read.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.is_file() && path.extension().is_none_or(|e| e != "part") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// The file that a setting means: a path, or the name of a file in the store, of which the ending and a hash at its
    /// end may be left out.
    ///
    /// # Errors
    /// Where there is no such file, or more than one of that name in the store.
    pub fn find(&self, wanted: &Path) -> Result<PathBuf> {
        if wanted.is_file() {
            return Ok(std::path::absolute(wanted)?);
        }
        let files = self
            .files()
            .with_context(|| format!("{} cannot be read", self.dir.display()))?;
        let is_named = |name: Option<&std::ffi::OsStr>| name == Some(wanted.as_os_str());
        let whole = files
            .iter()
            .find(|file| is_named(file.file_name()) || is_named(file.file_stem()));
        if let Some(file) = whole {
            return Ok(file.clone());
        }
        let called: Vec<&PathBuf> = files
            .iter()
            .filter(|file| Path::new(&short_name(file)) == wanted)
            .collect();
        match called[..] {
            [file] => Ok(file.clone()),
            [] => {
                let wanted = wanted.display();
                let names: Vec<String> = files.iter().map(|file| short_name(file)).collect();
                if let Ok(published) = Published::find(&wanted.to_string()) {
                    let name = published.backbone.name();
                    bail!("the weights {name} are not here yet: care weights get {name}");
                } else if names.is_empty() {
                    bail!(
                        "there is no file {wanted}, and no weights in {}",
                        self.dir.display()
                    );
                }
                bail!(
                    "there is neither a file {wanted} nor such weights in {}, which are {}",
                    self.dir.display(),
                    names.join(", ")
                )
            }
            _ => {
                let names = called.iter().filter_map(|file| file.file_name());
                let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
                bail!("several weights are called so: {}", names.join(", "))
            }
        }
    }

    /// Copies a file into the store, where it fits one of the networks.
    ///
    /// # Errors
    /// Where it cannot be read, is damaged, fits none of them, or a file of its name is there already.
    pub fn add(&self, file: &Path) -> Result<PathBuf> {
        let weights = WeightFile::open(file)?;
        weights.check()?;
        if weights.network().is_none() {
            let kinds = BackboneKind::BUILT_IN.map(BackboneKind::name);
            let tensors: Vec<&str> = weights.names().take(3).collect();
            bail!(
                "{} fits none of the networks {}: it holds {} ...",
                file.display(),
                kinds.join(", "),
                tensors.join(", ")
            );
        }
        let name = file.file_name().context("it has no name")?;
        let into = self.dir.join(name);
        ensure!(!into.exists(), "{} is there already", into.display());
        fs::create_dir_all(&self.dir)
            .and_then(|()| {
                let copy = tempfile::Builder::new()
                    .suffix(".part")
                    .tempfile_in(&self.dir)?;
                fs::copy(file, copy.path())?;
                Ok(copy.persist_noclobber(&into)?)
            })
            .with_context(|| format!("{} cannot be written", into.display()))?;
        Ok(into)
    }
}

/// These settings, with the path of the weights that they name.
///
/// # Errors
/// Where there are no such weights.
pub fn with_path_of_weights(mut config: RunConfig) -> Result<RunConfig> {
    if let Some(wanted) = &config.weights {
        config.weights = Some(WeightStore::of_user().find(wanted)?);
    }
    Ok(config)
}

/// What a file in the store is called: its name without its ending and the hash at its end.
#[must_use]
pub fn short_name(file: &Path) -> String {
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_default();
    split_hash(&stem).map_or(stem.clone(), |(name, _)| name.to_owned())
}

/// `NAME-HASH`, the hash of eight digits.
fn split_hash(stem: &str) -> Option<(&str, &str)> {
    let is_hash = |hash: &str| hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    stem.rsplit_once('-')
        .filter(|(name, hash)| !name.is_empty() && is_hash(hash))
}

#[cfg(test)]
mod tests {
    use care_learn::backbone::Network;

    use super::*;

    #[test]
    fn a_name_or_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let store = WeightStore::new(dir.path().join("weights"));
        let wanted = |wanted: &str| store.find(Path::new(wanted));
        let said = |name: &str| wanted(name).unwrap_err().to_string();
        assert!(said("mine").contains("no weights in"), "{}", said("mine"));
        fs::create_dir(store.dir()).unwrap();
        for name in [
            "resnet18-f37072fd.pth",
            "mine.safetensors",
            "resnet50-0676ba61.pth",
            "resnet50-11ad3fa6.pth",
            "vgg19-dcbb9e9d.pth.part",
        ] {
            fs::write(store.dir().join(name), name).unwrap();
        }
        let mine = store.dir().join("mine.safetensors");
        for (name, file) in [
            ("mine", "mine.safetensors"),
            ("mine.safetensors", "mine.safetensors"),
            (&mine.to_string_lossy(), "mine.safetensors"),
            ("resnet18", "resnet18-f37072fd.pth"),
            ("resnet18-f37072fd", "resnet18-f37072fd.pth"),
            ("resnet50-11ad3fa6", "resnet50-11ad3fa6.pth"),
        ] {
            assert_eq!(wanted(name).unwrap(), store.dir().join(file), "{name}");
        }
        for (name, says) in [
            ("resnet50", "resnet50-0676ba61.pth, resnet50-11ad3fa6.pth"),
            ("vgg19", "care weights get vgg19"),
            ("yours", "mine, resnet18, resnet50, resnet50"),
            ("", "neither"),
        ] {
            assert!(said(name).contains(says), "{name}: {}", said(name));
        }
    }

    #[test]
    fn only_what_fits_a_network_comes_in() {
        let dir = tempfile::tempdir().unwrap();
        let store = WeightStore::new(dir.path().join("weights"));
        let network = Network::new(BackboneKind::SmallResnet, 3, 0, tch::Device::Cpu);
        let file = dir.path().join("mine.safetensors");
        fs::write(&file, network.to_bytes().unwrap()).unwrap();
        let added = store.add(&file).unwrap();
        assert_eq!(fs::read(&added).unwrap(), fs::read(&file).unwrap());
        assert!(
            store
                .add(&file)
                .unwrap_err()
                .to_string()
                .contains("already")
        );
        let other = dir.path().join("other.safetensors");
        fs::write(&other, b"\x02\0\0\0\0\0\0\0{}").unwrap();
        assert!(
            store
                .add(&other)
                .unwrap_err()
                .to_string()
                .contains("none of")
        );
        assert_eq!(store.files().unwrap(), [added]);
    }

    #[test]
    fn every_published_name_carries_a_hash() {
        for published in PUBLISHED {
            assert_eq!(published.sha256().len(), 8, "{published:?}");
            let name = short_name(Path::new(published.file));
            assert_eq!(name, published.backbone.name());
            assert_eq!(Published::find(&name).unwrap(), published);
        }
        assert!(Published::find("alexnet").is_err());
    }
}
