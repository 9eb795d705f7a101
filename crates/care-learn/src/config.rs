//! The settings of a run, as they stand in its `config.toml`.

mod backbone;

use serde::{Deserialize, Serialize};

pub(crate) use self::backbone::LEAST_MAP_SIDE;
use self::backbone::layer_names;
pub use self::backbone::{BackboneKind, Preprocess, TargetLayer};

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
        in_range("alpha", self.alpha, 0.0..=1.0)?;
        in_range("lambda", self.lambda, 0.0..=f64::MAX)?;
        in_range("tau", self.tau, 0.0..=1.0)
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
    #[error("{name} = {value} is out of range: it has to lie between {low} and {high}")]
    OutOfRange {
        name: &'static str,
        value: f64,
        low: f64,
        high: f64,
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
        self.check_ranges()?;
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

    /// Each number by itself.
    fn check_ranges(&self) -> Result<(), ConfigError> {
        self.live.check()?;
        in_range("input_size", f64::from(self.input_size), 1.0..=1024.0)?;
        in_range(
            "stage1_epochs",
            f64::from(self.stage1_epochs),
            1.0..=10_000.0,
        )?;
        in_range(
            "stage2_epochs",
            f64::from(self.stage2_epochs),
            1.0..=10_000.0,
        )?;
        in_range("patience", f64::from(self.patience), 1.0..=10_000.0)?;
        in_range("learning_rate", self.learning_rate, f64::MIN_POSITIVE..=1.0)?;
        in_range(
            "classes_per_batch",
            self.classes_per_batch as f64,
            2.0..=1000.0,
        )?;
        in_range(
            "images_per_class",
            self.images_per_class as f64,
            1.0..=1000.0,
        )?;
        in_range("weight_decay", self.weight_decay, 0.0..=1.0)?;
        in_range("clip_norm", self.clip_norm, 0.0..=f64::MAX)?;
        in_range("focal_gamma", self.focal_gamma, 0.0..=10.0)?;
        in_range("box_scale", self.box_scale, 0.1..=3.0)?;
        in_range("rotation", self.augmentation.rotation, 0.0..=180.0)?;
        in_range("colour_jitter", self.augmentation.colour_jitter, 0.0..=0.9)?;
        in_range("crop", self.augmentation.crop, 0.05..=1.0)
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
        let mut table =
            toml::Table::try_from(self).map_err(|e| ConfigError::Toml(e.to_string()))?;
        let parsed = format!("value = {value}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut t| t.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        // TOML tells 1 from 1.0; a person who writes alpha=1 does not.
        let parsed = match (table.get(name), parsed) {
            (Some(toml::Value::Float(_)), toml::Value::Integer(i)) => toml::Value::Float(i as f64),
            (_, other) => other,
        };
        table.insert(name.to_owned(), parsed);
        let config: Self = table
            .try_into()
            .map_err(|e: toml::de::Error| ConfigError::Toml(e.message().to_owned()))?;
        config.check_ranges()?;
        Ok(config)
    }
}

fn in_range(
    name: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::OutOfRange {
            name,
            value,
            low: *range.start(),
            high: *range.end(),
        })
    }
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
