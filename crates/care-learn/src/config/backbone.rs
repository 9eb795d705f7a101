//! The networks that the settings can name, their layers, and what each expects of its input.

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The network. The settings name it as torchvision does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackboneKind {
    /// Three residual stages with a last map of an eighth of the input's side (12 x 12 at 96). For the demo.
    #[default]
    #[serde(alias = "small-resnet")]
    SmallResnet,
    Resnet18,
    Resnet34,
    Resnet50,
    Resnet101,
    Resnet152,
    Vgg16,
    Vgg19,
    /// With batch normalisation.
    Vgg19Bn,
    /// The one that work on chest X-rays uses (CheXNet).
    Densenet121,
    MobilenetV2,
    /// Not in torchvision; as the PyPI package `efficientnet-lite-pytorch` has it.
    EfficientnetLite0,
    /// The network of a TorchScript file, which [`RunConfig::weights`] names (see docs/bring-your-own.md). What it is
    /// made of shows only when it is opened.
    Torchscript,
}

/// Cells along a side of a map below which it is too coarse to say where a network looks; the paper's has 7.
pub(crate) const LEAST_MAP_SIDE: u32 = 7;

/// A map of a network that Grad-CAM can be computed on: what the named layer gives, with the normalisation and the
/// activation that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetLayer {
    /// torchvision's name of the layer (EfficientNet-Lite0: as in its package).
    pub name: &'static str,
    /// Pixels of the input to a cell, along a side.
    pub stride: u32,
    /// The part of the stride whose layers pad what does not fill a cell; those after them leave it out.
    padded: u32,
}

impl TargetLayer {
    /// Of strided convolutions and padded poolings, which pad.
    const fn new(name: &'static str, stride: u32) -> Self {
        Self {
            name,
            stride,
            padded: stride,
        }
    }

    /// VGG's poolings leave out what does not fill a cell, and so do DenseNet's transitions.
    const fn padded_to(self, padded: u32) -> Self {
        Self { padded, ..self }
    }

    /// Cells along a side for an input of this side in pixels.
    #[must_use]
    pub const fn map_side(self, input_size: u32) -> u32 {
        input_size.div_ceil(self.padded) / (self.stride / self.padded)
    }

    /// The smallest side of the input in pixels for which the map has 7 x 7 whole cells.
    #[must_use]
    pub const fn smallest_input(self) -> u32 {
        LEAST_MAP_SIDE * self.stride
    }
}

impl BackboneKind {
    /// All but [`Self::Torchscript`].
    pub const BUILT_IN: [Self; 12] = [
        Self::SmallResnet,
        Self::Resnet18,
        Self::Resnet34,
        Self::Resnet50,
        Self::Resnet101,
        Self::Resnet152,
        Self::Vgg16,
        Self::Vgg19,
        Self::Vgg19Bn,
        Self::Densenet121,
        Self::MobilenetV2,
        Self::EfficientnetLite0,
    ];

    /// The layers whose maps can be looked at, in the order of the network; none are known of a TorchScript file.
    #[must_use]
    pub const fn layers(self) -> &'static [TargetLayer] {
        const fn of(name: &'static str, stride: u32) -> TargetLayer {
            TargetLayer::new(name, stride)
        }
        const fn cut(name: &'static str, stride: u32) -> TargetLayer {
            of(name, stride).padded_to(1)
        }
        match self {
            Self::SmallResnet => &const { [of("layer1", 2), of("layer2", 4), of("layer3", 8)] },
            Self::Resnet18
            | Self::Resnet34
            | Self::Resnet50
            | Self::Resnet101
            | Self::Resnet152 => {
                &const {
                    [
                        of("layer1", 4),
                        of("layer2", 8),
                        of("layer3", 16),
                        of("layer4", 32),
                    ]
                }
            }
            Self::Vgg16 => {
                &const {
                    [
                        cut("features.3", 1),
                        cut("features.8", 2),
                        cut("features.15", 4),
                        cut("features.22", 8),
                        cut("features.29", 16),
                    ]
                }
            }
            Self::Vgg19 => {
                &const {
                    [
                        cut("features.3", 1),
                        cut("features.8", 2),
                        cut("features.17", 4),
                        cut("features.26", 8),
                        cut("features.35", 16),
                    ]
                }
            }
            Self::Vgg19Bn => {
                &const {
                    [
                        cut("features.5", 1),
                        cut("features.12", 2),
                        cut("features.25", 4),
                        cut("features.38", 8),
                        cut("features.51", 16),
                    ]
                }
            }
            Self::Densenet121 => {
                &const {
                    [
                        of("features.denseblock1", 4),
                        of("features.denseblock2", 8).padded_to(4),
                        of("features.denseblock3", 16).padded_to(4),
                        of("features.norm5", 32).padded_to(4),
                    ]
                }
            }
            Self::MobilenetV2 => {
                &const {
                    [
                        of("features.1", 2),
                        of("features.3", 4),
                        of("features.6", 8),
                        of("features.10", 16),
                        of("features.13", 16),
                        of("features.16", 32),
                        of("features.17", 32),
                        of("features.18", 32),
                    ]
                }
            }
            Self::EfficientnetLite0 => {
                &const {
                    [
                        of("_blocks.0", 2),
                        of("_blocks.2", 4),
                        of("_blocks.4", 8),
                        of("_blocks.7", 16),
                        of("_blocks.10", 16),
                        of("_blocks.14", 32),
                        of("_blocks.15", 32),
                        of("_conv_head", 32),
                    ]
                }
            }
            Self::Torchscript => &[],
        }
    }

    /// The layer of the last convolutional map; none where nothing is known of the network.
    #[must_use]
    pub const fn last_layer(self) -> Option<TargetLayer> {
        self.layers().last().copied()
    }

    /// The side of the input, in pixels, that the network is known with.
    #[must_use]
    pub const fn usual_input(self) -> u32 {
        match self {
            Self::SmallResnet => 96,
            _ => 224,
        }
    }

    /// Where in [`Self::layers`] the layer of this name is.
    pub(crate) fn find_layer(self, name: &str) -> Result<usize, ConfigError> {
        let mut layers = self.layers().iter();
        layers
            .position(|layer| layer.name == name)
            .ok_or_else(|| ConfigError::NoSuchLayer {
                layer: name.to_owned(),
                backbone: self,
            })
    }

    /// As in the settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SmallResnet => "small_resnet",
            Self::Resnet18 => "resnet18",
            Self::Resnet34 => "resnet34",
            Self::Resnet50 => "resnet50",
            Self::Resnet101 => "resnet101",
            Self::Resnet152 => "resnet152",
            Self::Vgg16 => "vgg16",
            Self::Vgg19 => "vgg19",
            Self::Vgg19Bn => "vgg19_bn",
            Self::Densenet121 => "densenet121",
            Self::MobilenetV2 => "mobilenet_v2",
            Self::EfficientnetLite0 => "efficientnet_lite0",
            Self::Torchscript => "torchscript",
        }
    }

    /// As people write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::SmallResnet => "Small ResNet",
            Self::Resnet18 => "ResNet-18",
            Self::Resnet34 => "ResNet-34",
            Self::Resnet50 => "ResNet-50",
            Self::Resnet101 => "ResNet-101",
            Self::Resnet152 => "ResNet-152",
            Self::Vgg16 => "VGG-16",
            Self::Vgg19 => "VGG-19",
            Self::Vgg19Bn => "VGG-19 BN",
            Self::Densenet121 => "DenseNet-121",
            Self::MobilenetV2 => "MobileNetV2",
            Self::EfficientnetLite0 => "EfficientNet-Lite0",
            Self::Torchscript => "TorchScript file",
        }
    }

    /// The layer that gives the logits: its parameters are `{classifier}.weight` [C, K] and `{classifier}.bias` [C]. Empty
    /// where it is not known.
    #[must_use]
    pub const fn classifier(self) -> &'static str {
        match self {
            Self::Vgg16 | Self::Vgg19 | Self::Vgg19Bn => "classifier.6",
            Self::Densenet121 => "classifier",
            Self::MobilenetV2 => "classifier.1",
            Self::EfficientnetLite0 => "_fc",
            Self::Torchscript => "",
            _ => "fc",
        }
    }

    /// How its pretrained weights expect their images. A TorchScript network is given ImageNet's, and changes inside what
    /// it wants otherwise.
    #[must_use]
    pub const fn preprocess(self) -> Preprocess {
        match self {
            Self::EfficientnetLite0 => Preprocess {
                mean: [127.0; 3],
                std: [128.0; 3],
            },
            _ => Preprocess::IMAGENET,
        }
    }
}

/// What is done to the pixels of a network's input: `(value - mean) / std` for red, green and blue, all in 0..=255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Preprocess {
    /// ImageNet's own mean and standard deviation, as torchvision's weights expect.
    pub const IMAGENET: Self = Self {
        mean: [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0],
        std: [0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0],
    };
}

/// Of a backbone, for a message.
pub(super) fn layer_names(backbone: BackboneKind) -> String {
    let names: Vec<&str> = backbone.layers().iter().map(|layer| layer.name).collect();
    match names[..] {
        [] => "a TorchScript file is looked at where its forward_features ends; leave target_layer out"
            .to_owned(),
        _ => format!("it has {}", names.join(", ")),
    }
}
