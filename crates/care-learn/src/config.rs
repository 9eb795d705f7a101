//! The settings of a run, as they stand in its `config.toml`.

mod backbone;
mod setting;

use serde::{Deserialize, Serialize};

pub(crate) use self::backbone::LEAST_MAP_SIDE;
use self::backbone::layer_names;
pub use self::backbone::{BackboneKind, Preprocess, TargetLayer};
pub use self::setting::{SETTINGS, Setting, Takes};

/// The three numbers of the attention loss. They may change while a model trains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveParams {
    /// Eq. 1: share of the attention loss in the whole, 0..=1.
    pub alpha: f64,
    /// Eq. 2: weight of the attention outside the boxes, >= 0.
    pub lambda: f64,
    /// Eq. 3: mean attention inside the boxes beyond which there is no more reward, 0..=1.
    pub tau: f64,
}

impl Default for LiveParams {
    fn default() -> Self {
        Self {
            alpha: 0.5,
            lambda: 0.7,
            tau: 0.6,
        }
    }
}

impl LiveParams {
    /// # Errors
    /// Where a number lies outside its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_ranges(&table(self)?)
    }
}

/// How an activation map becomes F in 0..=1 (method.md, Grad-CAM).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// ReLU, then divided by the largest value.
    #[default]
    Max,
    /// The smallest value subtracted, then divided by the largest; as the authors' released code.
    MinMax,
}

/// Whether the loss is differentiated through the Grad-CAM weights w_k as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CamWeights {
    #[default]
    Exact,
    Constant,
}

/// What M_out is outside the boxes (Eq. 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outside {
    #[default]
    Uniform,
    /// The distance to the nearest box over the largest such distance in the image.
    Distance,
}

/// How batches are drawn. Each holds [`RunConfig::batch_size`] images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// P classes and K images of each.
    #[default]
    ClassesTimesImages,
    /// Every image once an epoch, in a shuffled order: batches are as imbalanced as the data.
    Shuffled,
    /// As shuffled, but images of smaller classes come again until every class is as frequent as the largest.
    Oversampled,
}

/// What follows the gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Kingma and Ba 2015, betas (0.9, 0.999); weight decay is added to the gradient.
    #[default]
    Adam,
    /// Loshchilov and Hutter 2019: weight decay apart from the gradient.
    AdamW,
    /// With momentum 0.9.
    Sgd,
}

/// How the learning rate falls within a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Along a cosine, to nearly nothing at the stage's last step.
    #[default]
    Cosine,
    /// To a tenth wherever the epoch's loss has not fallen for half of `patience`, of either model where two are trained.
    Plateau,
    Constant,
}

/// The validation measure by which the best epoch of a stage is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyMetric {
    /// None: a stage ends with the weights of its last epoch.
    #[default]
    None,
    /// Mean class accuracy.
    Mca,
    RareRecall,
    /// Mean energy in the box, over the validation images with boxes.
    Energy,
}

/// What the forward passes compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    Fp32,
    /// Convolutions and matrix products in bfloat16 by libtorch's autocast; weights, loss and optimiser stay fp32.
    Bf16,
}

/// Random changes of training images ("DA" in the paper's Table 1), drawn anew for each image and step. Masks go
/// through the same transform as the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Largest rotation either way in degrees, 0..=180.
    pub rotation: f64,
    /// Left and right are exchanged in half of the cases.
    pub flip_horizontal: bool,
    /// Top and bottom are exchanged in half of the cases.
    pub flip_vertical: bool,
    /// Brightness, contrast and saturation are multiplied by factors in 1 - this ..= 1 + this; 0..1.
    pub colour_jitter: f64,
    /// The smallest share of the image's area that a random crop keeps, sides 3:4 to 4:3; 1 crops nothing.
    pub crop: f64,
}

impl Default for Augmentation {
    /// Nothing is changed.
    fn default() -> Self {
        Self {
            rotation: 0.0,
            flip_horizontal: false,
            flip_vertical: false,
            colour_jitter: 0.0,
            crop: 1.0,
        }
    }
}

/// Whose boxes a run learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reviewed {
    /// Of every training image.
    #[default]
    All,
    /// Of the training images that are marked as done; those that need a second look are left out wholly.
    Done,
}

/// Every setting of a run. `Default` is the paper's, at the size of the demo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    pub backbone: BackboneKind,
    /// The layer whose map is looked at, one of [`BackboneKind::layers`]; none for the last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_layer: Option<String>,
    /// Side of the square network input in pixels.
    pub input_size: u32,
    /// Seeds the network, the batches and the intervals.
    pub seed: u64,
    /// Epochs of stage 1 (cross-entropy only), at most; it ends early on a plateau.
    pub stage1_epochs: u32,
    /// Stage 1 ends where its loss has not fallen for so many epochs.
    pub patience: u32,
    /// Epochs of stage 2 (CARE and its control).
    pub stage2_epochs: u32,
    pub optimizer: OptimizerKind,
    /// The learning rate at the start of each stage.
    pub learning_rate: f64,
    pub schedule: Schedule,
    /// Of all parameters; see [`OptimizerKind`].
    pub weight_decay: f64,
    /// The norm of all gradients together is brought down to this where it is larger; 0 lets it be.
    pub clip_norm: f64,
    pub precision: Precision,
    pub sampling: Sampling,
    /// P: classes in a batch; limited by the classes there are.
    pub classes_per_batch: usize,
    /// K: images of each class in a batch.
    pub images_per_class: usize,
    /// Each class counts in L_c by `N / (C n_c)`, n_c its share of the N training images ("CSL" in Table 1).
    pub class_weighted: bool,
    /// L_c is the focal loss with this gamma (Lin et al. 2017; "FL" in Table 1: 2); 0 is cross-entropy.
    pub focal_gamma: f64,
    /// A stage ends with its best epoch by this measure.
    pub key_metric: KeyMetric,
    /// A stage ends where `key_metric` has not risen for so many epochs, of either model where two are trained; 0: never.
    pub early_stop: u32,
    pub normalisation: Normalisation,
    pub cam_weights: CamWeights,
    pub outside: Outside,
    pub boxes: Reviewed,
    /// Boxes are learned from with their sides times this, about their centres (Table 3: 0.7 to 1.3).
    pub box_scale: f64,
    #[serde(flatten)]
    pub augmentation: Augmentation,
    /// Pretrained weights, see [`crate::weights`]; the classifier layer is new where it is for other classes. Of
    /// [`BackboneKind::Torchscript`] the file, weights and all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<std::path::PathBuf>,
    #[serde(flatten)]
    pub live: LiveParams,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            backbone: BackboneKind::default(),
            target_layer: None,
            input_size: 96,
            seed: 0,
            stage1_epochs: 20,
            patience: 10,
            stage2_epochs: 10,
            optimizer: OptimizerKind::default(),
            learning_rate: 1e-4,
            schedule: Schedule::default(),
            weight_decay: 0.0,
            clip_norm: 0.0,
            precision: Precision::default(),
            sampling: Sampling::default(),
            classes_per_batch: 8,
            images_per_class: 4,
            class_weighted: false,
            focal_gamma: 0.0,
            key_metric: KeyMetric::default(),
            early_stop: 0,
            normalisation: Normalisation::default(),
            cam_weights: CamWeights::default(),
            outside: Outside::default(),
            boxes: Reviewed::default(),
            box_scale: 1.0,
            augmentation: Augmentation::default(),
            weights: None,
            live: LiveParams::default(),
        }
    }
}

/// Settings that cannot be trained with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    #[error("{} = {value} cannot be: it takes {}", .setting.name, .setting.takes)]
    Value {
        setting: &'static Setting,
        value: toml::Value,
    },
    #[error("there is no setting \"{name}\". The nearest is {}, which takes {}", .nearest.name, .nearest.takes)]
    NoSuchSetting {
        name: String,
        nearest: &'static Setting,
    },
    #[error(
        "input_size = {input_size} is too small for {}: the map of {} would say too little of where it looks. \
         Take input_size={} or more", .backbone.name(), .layer.name, .layer.smallest_input()
    )]
    InputTooSmall {
        input_size: u32,
        backbone: BackboneKind,
        layer: TargetLayer,
    },
    #[error("target_layer = \"{layer}\" is none of {}'s: {}", .backbone.name(), layer_names(*.backbone))]
    NoSuchLayer {
        layer: String,
        backbone: BackboneKind,
    },
    #[error("backbone = \"torchscript\" is a network in a file: set weights to that file")]
    NoTorchscriptFile,
    #[error("early_stop = {0} needs a measure: set key_metric to mca, rare_recall or energy")]
    EarlyStopByNothing(u32),
    #[error("\"{0}\" is not a setting: write it as name=value, for example alpha=0.5")]
    NotASetting(String),
    #[error("the settings cannot be read: {0}")]
    Toml(String),
}

impl RunConfig {
    /// The demo's: 96 x 96 images, a small network trained from nothing in about a minute on two cores.
    #[must_use]
    pub fn demo() -> Self {
        Self {
            stage1_epochs: 3,
            stage2_epochs: 10,
            learning_rate: 2e-3,
            classes_per_batch: 4,
            images_per_class: 4,
            ..Self::default()
        }
    }

    /// The layer whose map is looked at; none of a TorchScript file, which decides that itself.
    ///
    /// # Errors
    /// Where the backbone has no layer of that name.
    pub fn layer(&self) -> Result<Option<TargetLayer>, ConfigError> {
        match &self.target_layer {
            Some(name) => {
                let at = self.backbone.find_layer(name)?;
                Ok(self.backbone.layers().get(at).copied())
            }
            None => Ok(self.backbone.last_layer()),
        }
    }

    /// Cells along a side of the map that is looked at; none where the settings do not know it.
    #[must_use]
    pub fn map_side(&self) -> Option<u32> {
        Some(self.layer().ok()??.map_side(self.input_size))
    }

    /// # Errors
    /// Where a number lies outside its range, the input is too small for the network, it has no such layer, or a
    /// TorchScript file is wanted and none named.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_ranges(&table(self)?)?;
        if let Some(layer) = self.layer()?
            && self.input_size < layer.smallest_input()
        {
            return Err(ConfigError::InputTooSmall {
                input_size: self.input_size,
                backbone: self.backbone,
                layer,
            });
        }
        if self.backbone == BackboneKind::Torchscript && self.weights.is_none() {
            return Err(ConfigError::NoTorchscriptFile);
        }
        if self.early_stop > 0 && self.key_metric == KeyMetric::None {
            return Err(ConfigError::EarlyStopByNothing(self.early_stop));
        }
        Ok(())
    }

    /// The settings in which these runs are not all alike, by name, each with its value in every run; "-" where a run does
    /// not set it.
    #[must_use]
    pub fn differing(runs: &[&Self]) -> Vec<(String, Vec<String>)> {
        let tables: Vec<toml::Table> = runs
            .iter()
            .map(|run| toml::Table::try_from(run).unwrap_or_default())
            .collect();
        let names: std::collections::BTreeSet<&String> =
            tables.iter().flat_map(toml::Table::keys).collect();
        let value = |table: &toml::Table, name: &str| match table.get(name) {
            None => "-".to_owned(),
            Some(toml::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        names
            .into_iter()
            .map(|name| {
                let values: Vec<String> = tables.iter().map(|table| value(table, name)).collect();
                (name.clone(), values)
            })
            .filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1]))
            .collect()
    }

    /// Images in a batch: P x K.
    #[must_use]
    pub const fn batch_size(&self) -> usize {
        self.classes_per_batch * self.images_per_class
    }

    /// The settings of a file; those that it leaves out are the default's. Whether they fit together is for [`Self::check`] to say.
    ///
    /// # Errors
    /// Where the text is no TOML, a setting does not exist, or its value is of another kind or out of range.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let settings = text
            .parse()
            .map_err(|e: toml::de::Error| ConfigError::Toml(e.to_string()))?;
        Self::from_table(settings)
    }

    fn from_table(settings: toml::Table) -> Result<Self, ConfigError> {
        for (name, value) in &settings {
            let setting = Setting::find(name).ok_or_else(|| ConfigError::NoSuchSetting {
                name: name.clone(),
                nearest: Setting::nearest(name),
            })?;
            let alone = toml::Table::from_iter([(name.clone(), value.clone())]);
            if !setting.takes.has(value) || alone.try_into::<Self>().is_err() {
                let value = value.clone();
                return Err(ConfigError::Value { setting, value });
            }
        }
        settings
            .try_into()
            .map_err(|e: toml::de::Error| ConfigError::Toml(e.message().to_owned()))
    }

    /// The file that [`Self::from_toml`] reads, every setting in it explained.
    ///
    /// # Errors
    /// Where a number is too large for TOML.
    pub fn explained(&self) -> Result<String, ConfigError> {
        let (settings, defaults) = (table(self)?, table(&Self::default())?);
        let mut text = "# The settings of a run. What is left out has its default.\n".to_owned();
        for Setting { name, about, takes } in SETTINGS {
            text += &format!("\n# {about}\n# Takes {takes}.");
            if let Some(default) = defaults.get(*name) {
                text += &format!(" Default: {default}");
            }
            text += &match (settings.get(*name), takes) {
                (Some(value), _) => format!("\n{name} = {value}\n"),
                (None, Takes::Text(_, example)) => format!("\n# {name} = \"{example}\"\n"),
                (None, _) => "\n".to_owned(),
            };
        }
        Ok(text)
    }

    /// These settings with one of them changed: `alpha=0.5`, `backbone=resnet18`. Quotes may be left out. Whether
    /// the settings fit together is for [`Self::check`] to say, once all of them are changed.
    ///
    /// # Errors
    /// Where there is no such setting, or its value is of another kind or out of range.
    pub fn with(&self, assignment: &str) -> Result<Self, ConfigError> {
        let (name, value) = assignment
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or_else(|| ConfigError::NotASetting(assignment.to_owned()))?;
        let mut settings = table(self)?;
        let parsed = format!("value = {value}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut t| t.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        settings.insert(name.to_owned(), parsed);
        Self::from_table(settings)
    }
}

fn table(settings: &impl Serialize) -> Result<toml::Table, ConfigError> {
    toml::Table::try_from(settings).map_err(|e| ConfigError::Toml(e.to_string()))
}

fn check_ranges(settings: &toml::Table) -> Result<(), ConfigError> {
    for (name, value) in settings {
        match Setting::find(name) {
            Some(setting) if !setting.takes.has(value) => {
                let value = value.clone();
                return Err(ConfigError::Value { setting, value });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_differ_in_what_they_do_not_share() {
        let (paper, demo) = (RunConfig::default(), RunConfig::demo());
        let mut fine = paper.clone();
        fine.live.tau = 0.9;
        fine.target_layer = Some("layer3".to_owned());
        let names = |runs: &[&RunConfig]| -> Vec<String> {
            let differing = RunConfig::differing(runs).into_iter();
            differing.map(|(name, _)| name).collect()
        };
        assert_eq!(names(&[&paper]), [""; 0]);
        assert_eq!(names(&[&paper, &paper.clone()]), [""; 0]);
        let expected = [
            (
                "target_layer".to_owned(),
                vec!["-".to_owned(), "layer3".to_owned()],
            ),
            ("tau".to_owned(), vec!["0.6".to_owned(), "0.9".to_owned()]),
        ];
        assert_eq!(RunConfig::differing(&[&paper, &fine]), expected);
        assert!(names(&[&paper, &fine, &demo]).contains(&"learning_rate".to_owned()));
    }

    #[test]
    fn survives_its_own_file() {
        for config in [
            RunConfig::default(),
            RunConfig::demo(),
            RunConfig {
                weights: Some("a b.safetensors".into()),
                target_layer: Some("layer2".to_owned()),
                outside: Outside::Distance,
                optimizer: OptimizerKind::AdamW,
                sampling: Sampling::Oversampled,
                key_metric: KeyMetric::RareRecall,
                early_stop: 3,
                precision: Precision::Bf16,
                augmentation: Augmentation {
                    rotation: 30.0,
                    flip_vertical: true,
                    ..Augmentation::default()
                },
                ..RunConfig::demo()
            },
        ] {
            let text = toml::to_string(&config).expect("serialises");
            assert_eq!(
                toml::from_str::<RunConfig>(&text).expect("parses"),
                config,
                "{text}"
            );
        }
        assert_eq!(
            toml::from_str::<RunConfig>("").expect("empty"),
            RunConfig::default()
        );
        assert!(toml::from_str::<RunConfig>("alhpa = 0.5").is_err());
    }

    /// With a value for each setting that may be left out.
    fn whole() -> RunConfig {
        RunConfig {
            weights: Some("a \"b\".safetensors".into()),
            target_layer: Some("layer2".to_owned()),
            key_metric: KeyMetric::Mca,
            ..RunConfig::default()
        }
    }

    #[test]
    fn every_setting_is_explained() {
        let settings = table(&whole()).expect("a table");
        let names = |names: &mut dyn Iterator<Item = &str>| -> std::collections::BTreeSet<String> {
            names.map(str::to_owned).collect()
        };
        assert_eq!(
            names(&mut settings.keys().map(String::as_str)),
            names(&mut SETTINGS.iter().map(|s| s.name))
        );
        assert_eq!(settings.len(), SETTINGS.len());
        for config in [RunConfig::default(), RunConfig::demo(), whole()] {
            let text = config.explained().expect("a file");
            assert_eq!(RunConfig::from_toml(&text), Ok(config), "{text}");
            for Setting { name, about, .. } in SETTINGS {
                assert!(text.contains(&format!("# {about}\n")), "{name}");
                assert!(text.contains(&format!("{name} = ")), "{name}");
            }
        }
        // The examples are taken as they stand.
        let text = RunConfig::default().explained().expect("a file");
        let text = text.replace("# target_layer", "target_layer");
        let config = RunConfig::from_toml(&text).expect("reads");
        assert_eq!(config.target_layer.as_deref(), Some("layer3"));
    }

    #[test]
    fn what_a_setting_takes_is_what_is_taken() {
        let config = RunConfig::default();
        for Setting { name, takes, .. } in SETTINGS {
            let Takes::OneOf(values) = takes else {
                continue;
            };
            for value in *values {
                config.with(&format!("{name}={value}")).expect("is taken");
            }
            let bad = toml::Table::from_iter([((*name).to_owned(), "no such".into())]);
            let error = bad.try_into::<RunConfig>().expect_err("is not");
            let known = error.message().split('`').skip(3).step_by(2);
            let known: Vec<&str> = known.filter(|name| *name != "small-resnet").collect();
            assert_eq!(known, *values, "{name}");
        }
    }

    #[test]
    fn a_wrong_setting_is_told_what_would_be_right() {
        for (text, says) in [
            (
                "alhpa = 0.5",
                "there is no setting \"alhpa\". The nearest is alpha, which takes a number from 0 to 1",
            ),
            (
                "backbon = \"resnet18\"",
                "The nearest is backbone, which takes one of small_resnet, resnet18,",
            ),
            (
                "learningrate = 1",
                "The nearest is learning_rate, which takes a number above 0, up to 1",
            ),
            (
                "alpha = 2",
                "alpha = 2 cannot be: it takes a number from 0 to 1",
            ),
            (
                "lambda = nan",
                "lambda = nan cannot be: it takes a number, 0 or more",
            ),
            (
                "alpha = \"high\"",
                "alpha = \"high\" cannot be: it takes a number from 0 to 1",
            ),
            (
                "seed = -1",
                "seed = -1 cannot be: it takes a whole number, 0 or more",
            ),
            (
                "seed = 0.5",
                "seed = 0.5 cannot be: it takes a whole number",
            ),
            (
                "stage1_epochs = 0",
                "it takes a whole number from 1 to 10000",
            ),
            (
                "optimizer = \"lion\"",
                "optimizer = \"lion\" cannot be: it takes one of adam, adamw, sgd",
            ),
            ("flip_vertical = 1", "it takes true or false"),
            ("[care]\nalpha = 0.5", "there is no setting \"care\""),
            ("alpha 0.5", "the settings cannot be read"),
        ] {
            let error = RunConfig::from_toml(text).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn every_backbone_has_its_name() {
        let torchscript = [BackboneKind::Torchscript];
        for kind in BackboneKind::BUILT_IN.into_iter().chain(torchscript) {
            let config = RunConfig {
                backbone: kind,
                ..RunConfig::default()
            };
            let text = toml::to_string(&config).expect("serialises");
            assert!(
                text.contains(&format!("backbone = \"{}\"", kind.name())),
                "{text}"
            );
            let assignment = format!("backbone={}", kind.name());
            let set = RunConfig::default().with(&assignment).expect("a name");
            assert_eq!(set.backbone, kind);
        }
        // As the first version wrote it.
        let first = toml::from_str::<RunConfig>("backbone = \"small-resnet\"").expect("parses");
        assert_eq!(first.backbone, BackboneKind::SmallResnet);
    }

    #[test]
    fn one_setting_changed() {
        let config = RunConfig::default();
        assert_eq!(config.with("alpha=1").expect("alpha").live.alpha, 1.0);
        assert_eq!(config.with(" tau = 0.25 ").expect("tau").live.tau, 0.25);
        assert_eq!(
            config.with("backbone=resnet18").expect("backbone").backbone,
            BackboneKind::Resnet18
        );
        assert_eq!(config.with("seed=7").expect("seed").seed, 7);
        let turned = config.with("rotation=30").expect("rotation");
        assert_eq!(turned.augmentation.rotation, 30.0);
        assert!(
            config
                .with("class_weighted=true")
                .expect("CSL")
                .class_weighted
        );
        assert!(
            config
                .with("early_stop=3")
                .expect("in range")
                .check()
                .is_err()
        );
        for wrong in [
            "alpha",
            "alpha=",
            "=1",
            "alhpa=0.5",
            "alpha=2",
            "alpha=high",
            "lambda=-1",
            "lambda=nan",
            "stage1_epochs=0",
            "seed=-1",
            "backbone=vgg",
            "input_size=2000",
            "crop=0",
            "rotation=200",
            "box_scale=0",
            "optimizer=lion",
        ] {
            assert!(config.with(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_map_has_at_least_seven_cells_a_side() {
        assert_eq!(RunConfig::default().check(), Ok(()));
        assert_eq!(RunConfig::demo().check(), Ok(()));
        for (backbone, layer, input_size, map_side) in [
            (BackboneKind::SmallResnet, None, 55, None),
            (BackboneKind::SmallResnet, None, 56, Some(7)),
            (BackboneKind::SmallResnet, None, 100, Some(13)),
            (BackboneKind::SmallResnet, Some("layer2"), 55, Some(14)),
            (BackboneKind::Resnet18, None, 96, None),
            (BackboneKind::Resnet18, None, 223, None),
            (BackboneKind::Resnet18, None, 224, Some(7)),
            (BackboneKind::Resnet18, Some("layer4"), 224, Some(7)),
            (BackboneKind::Resnet18, Some("layer3"), 224, Some(14)),
            (BackboneKind::Resnet18, Some("layer3"), 111, None),
            (BackboneKind::Vgg19, None, 111, None),
            (BackboneKind::Vgg19, None, 239, Some(14)),
            (BackboneKind::Densenet121, None, 255, Some(8)),
            (BackboneKind::Densenet121, None, 252, Some(7)),
        ] {
            let config = RunConfig {
                backbone,
                target_layer: layer.map(str::to_owned),
                input_size,
                ..RunConfig::default()
            };
            let side = config.check().map(|()| config.map_side());
            assert_eq!(
                side.ok().flatten(),
                map_side,
                "{backbone:?} {layer:?} {input_size}"
            );
        }
        // One setting after the other, as they stand on a command line.
        let resnet18 = RunConfig::default()
            .with("backbone=resnet18")
            .expect("backbone");
        let error = resnet18.check().expect_err("too small").to_string();
        assert!(
            error.contains("input_size=224") && error.contains("resnet18"),
            "{error}"
        );
        let larger = resnet18.with("input_size=224").expect("input_size");
        assert_eq!(larger.check(), Ok(()));
    }

    #[test]
    fn what_a_layer_or_a_torchscript_file_lacks_is_said() {
        for (set, says) in [
            (
                &["target_layer=layer9"][..],
                "it has layer1, layer2, layer3",
            ),
            (&["backbone=torchscript"], "set weights"),
            (
                &[
                    "backbone=torchscript",
                    "weights=a.pt",
                    "target_layer=layer4",
                ],
                "leave target_layer out",
            ),
        ] {
            let config = set.iter().fold(RunConfig::default(), |config, set| {
                config.with(set).expect("each by itself")
            });
            let error = config.check().expect_err("lacks something").to_string();
            assert!(error.contains(says), "{error}");
        }
        let config = RunConfig::default().with("backbone=torchscript");
        let config = config.and_then(|config| config.with("weights=a.pt"));
        let config = config.expect("both");
        assert_eq!((config.check(), config.map_side()), (Ok(()), None));
    }
}
