//! Each setting by its name: what it is for, and what it takes. A run's `config.toml` is written from this, and so is the answer
//! to a wrong one.

use std::fmt;

/// A line of a run's `config.toml`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    pub name: &'static str,
    /// A sentence, or two.
    pub about: &'static str,
    pub takes: Takes,
}

/// The values that there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Takes {
    /// From the first to the second.
    Number(f64, f64),
    /// From the first to the second.
    Whole(i64, i64),
    Switch,
    OneOf(&'static [&'static str]),
    /// Something that may be left out: what, and an example.
    Text(&'static str, &'static str),
}

impl Takes {
    /// Whether a number lies in the range; anything that is none is left to whoever reads the settings.
    pub(super) fn has(self, value: &toml::Value) -> bool {
        match (self, value) {
            (Self::Number(low, high), toml::Value::Float(x)) => (low..=high).contains(x),
            // As it may be typed.
            (Self::Number(low, high), toml::Value::Integer(n)) => {
                (low..=high).contains(&(*n as f64))
            }
            (Self::Whole(low, high), toml::Value::Integer(n)) => (low..=high).contains(n),
            _ => true,
        }
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number(f64::MIN_POSITIVE, high) => write!(f, "a number above 0, up to {high}"),
            Self::Number(low, f64::MAX) => write!(f, "a number, {low} or more"),
            Self::Number(low, high) => write!(f, "a number from {low} to {high}"),
            Self::Whole(low, i64::MAX) => write!(f, "a whole number, {low} or more"),
            Self::Whole(low, high) => write!(f, "a whole number from {low} to {high}"),
            Self::Switch => write!(f, "true or false"),
            Self::OneOf(names) => write!(f, "one of {}", names.join(", ")),
            Self::Text(what, _) => write!(f, "{what}"),
        }
    }
}

const fn setting(name: &'static str, takes: Takes, about: &'static str) -> Setting {
    Setting { name, about, takes }
}

const EPOCHS: Takes = Takes::Whole(1, 10_000);

/// All of them, in the order in which one thinks of them.
pub const SETTINGS: &[Setting] = &[
    setting(
        "backbone",
        Takes::OneOf(&[
            "small_resnet",
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet101",
            "resnet152",
            "vgg16",
            "vgg19",
            "vgg19_bn",
            "densenet121",
            "mobilenet_v2",
            "efficientnet_lite0",
            "torchscript",
        ]),
        "The network, named as in torchvision. torchscript is one in a file of your own, which weights names.",
    ),
    setting(
        "weights",
        Takes::Text("a file, or the name of weights in the store", "resnet18"),
        "Pretrained weights to begin with. Without them the network learns from nothing.",
    ),
    setting(
        "target_layer",
        Takes::Text("a layer of the backbone", "layer3"),
        "The layer whose map is looked at. Without it the last one.",
    ),
    setting(
        "input_size",
        Takes::Whole(1, 1024),
        "Side of the square network input in pixels. The map needs 7 cells a side: 56 for small_resnet, 224 for a ResNet.",
    ),
    setting(
        "seed",
        Takes::Whole(0, i64::MAX),
        "Seeds the network, the batches and the intervals.",
    ),
    setting(
        "stage1_epochs",
        EPOCHS,
        "Epochs of stage 1 (classification only), at most; it ends early where its loss no longer falls.",
    ),
    setting(
        "patience",
        EPOCHS,
        "Stage 1 ends where its loss has not fallen for so many epochs.",
    ),
    setting(
        "stage2_epochs",
        EPOCHS,
        "Epochs of stage 2 (CARE, and its control beside it).",
    ),
    setting(
        "alpha",
        Takes::Number(0.0, 1.0),
        "Share of the attention loss in the whole: L = (1 - alpha) L_c + alpha L_a (Eq. 1). May be changed while it trains.",
    ),
    setting(
        "lambda",
        Takes::Number(0.0, f64::MAX),
        "Weight of the attention outside the boxes: L_a = L_in + lambda L_out (Eq. 2). May be changed while it trains.",
    ),
    setting(
        "tau",
        Takes::Number(0.0, 1.0),
        "Mean attention inside the boxes beyond which there is no more reward (Eq. 3). May be changed while it trains.",
    ),
    setting(
        "normalisation",
        Takes::OneOf(&["max", "min-max"]),
        "How a map becomes F in 0 to 1: divided by its largest value, or its smallest subtracted before.",
    ),
    setting(
        "cam_weights",
        Takes::OneOf(&["exact", "constant"]),
        "Whether the loss is differentiated through Grad-CAM's weights as well.",
    ),
    setting(
        "outside",
        Takes::OneOf(&["uniform", "distance"]),
        "What counts outside the boxes (Eq. 4): everything alike, or more the farther from the nearest box.",
    ),
    setting(
        "boxes",
        Takes::OneOf(&["all", "done"]),
        "Whose boxes are learned from: of every training image, or of those marked as done.",
    ),
    setting(
        "box_scale",
        Takes::Number(0.1, 3.0),
        "Boxes are learned from with their sides times this, about their centres (Table 3: 0.7 to 1.3).",
    ),
    setting(
        "optimizer",
        Takes::OneOf(&["adam", "adamw", "sgd"]),
        "What follows the gradients.",
    ),
    setting(
        "learning_rate",
        Takes::Number(f64::MIN_POSITIVE, 1.0),
        "At the start of each stage. 0.0001 suits pretrained weights, 0.002 a small network that learns from nothing.",
    ),
    setting(
        "schedule",
        Takes::OneOf(&["cosine", "plateau", "constant"]),
        "How the learning rate falls within a stage. plateau: to a tenth where the loss has not fallen for half of patience.",
    ),
    setting(
        "weight_decay",
        Takes::Number(0.0, 1.0),
        "Of all parameters. adam and sgd add it to the gradient, adamw keeps it apart.",
    ),
    setting(
        "clip_norm",
        Takes::Number(0.0, f64::MAX),
        "The norm of all gradients together is brought down to this where it is larger. 0 lets it be.",
    ),
    setting(
        "precision",
        Takes::OneOf(&["fp32", "bf16"]),
        "What the forward passes compute in. Weights, loss and optimiser stay fp32.",
    ),
    setting(
        "sampling",
        Takes::OneOf(&["classes-times-images", "shuffled", "oversampled"]),
        "How batches are drawn: so many images of so many classes; every image once; or small classes again until all are alike.",
    ),
    setting(
        "classes_per_batch",
        Takes::Whole(2, 1000),
        "Classes in a batch (P), limited by those there are. With images_per_class it makes the batch's size.",
    ),
    setting(
        "images_per_class",
        Takes::Whole(1, 1000),
        "Images of each class in a batch (K).",
    ),
    setting(
        "class_weighted",
        Takes::Switch,
        "Each class counts in L_c by its rarity (CSL in Table 1).",
    ),
    setting(
        "focal_gamma",
        Takes::Number(0.0, 10.0),
        "L_c is the focal loss with this gamma (FL in Table 1: 2). 0 is cross-entropy.",
    ),
    setting(
        "rotation",
        Takes::Number(0.0, 180.0),
        "Training images are turned at random by up to so many degrees either way (DA in Table 1, with the four below).",
    ),
    setting(
        "flip_horizontal",
        Takes::Switch,
        "Left and right are exchanged in half of the cases.",
    ),
    setting(
        "flip_vertical",
        Takes::Switch,
        "Top and bottom are exchanged in half of the cases.",
    ),
    setting(
        "colour_jitter",
        Takes::Number(0.0, 0.9),
        "Brightness, contrast and saturation change by up to this share.",
    ),
    setting(
        "crop",
        Takes::Number(0.05, 1.0),
        "The smallest share of an image's area that a random crop keeps. 1 crops nothing.",
    ),
    setting(
        "key_metric",
        Takes::OneOf(&["none", "mca", "rare_recall", "energy"]),
        "A stage ends with its best epoch by this measure on the validation part; none: with its last.",
    ),
    setting(
        "early_stop",
        Takes::Whole(0, u32::MAX as i64),
        "A stage ends where key_metric has not risen for so many epochs. 0: never.",
    ),
];

impl Setting {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// The one that may have been meant.
    pub(super) fn nearest(name: &str) -> &'static Self {
        let likeness = |setting: &Self| strsim::jaro_winkler(setting.name, name);
        SETTINGS
            .iter()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .unwrap_or(&SETTINGS[0])
    }
}
