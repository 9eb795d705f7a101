"""The backbones, each split into features and head as care-learn splits them."""

import dataclasses
from collections.abc import Callable, Iterator

import efficientnet_lite_pytorch.model
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from formula import set_weights

CLASSES = 10


@dataclasses.dataclass
class Network:
    name: str
    model: nn.Module
    features: Callable[[torch.Tensor], torch.Tensor]
    head: Callable[[torch.Tensor], torch.Tensor]
    # Keeps the activations of this architecture neither vanishing nor exploding.
    gain: float
    # The outermost weights.
    first: str
    last: str

    def __post_init__(self):
        set_weights(self.model, self.gain)
        self.model.eval()

    def train(self) -> None:
        """Training mode but for dropout, whose values no two libraries draw alike."""
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.eval()


def keep_all(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """EfficientNet-Lite0's stochastic depth in a pass that happens to drop no block. The factor is single precision on the
    other side as well."""
    return x * torch.tensor(1 / (1 - p)).item() if training else x


efficientnet_lite_pytorch.model.drop_connect = keep_all


def resnet(name: str) -> Network:
    model = getattr(torchvision.models, name)(num_classes=CLASSES)
    features = nn.Sequential(*list(model.children())[:-2])
    head = nn.Sequential(model.avgpool, nn.Flatten(), model.fc)
    return Network(name, model, features, head, 2.0, "conv1.weight", "fc.weight")


def vgg(name: str) -> Network:
    model = getattr(torchvision.models, name)(num_classes=CLASSES, init_weights=False)
    head = nn.Sequential(model.features[-1], model.avgpool, nn.Flatten(), model.classifier)
    return Network(name, model, model.features[:-1], head, 6.0, "features.0.weight", "classifier.6.weight")


def densenet(name: str) -> Network:
    model = getattr(torchvision.models, name)(num_classes=CLASSES)
    features = nn.Sequential(model.features, nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.classifier)
    return Network(name, model, features, head, 6.0, "features.conv0.weight", "classifier.weight")


def mobilenet(name: str) -> Network:
    model = getattr(torchvision.models, name)(num_classes=CLASSES)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.classifier)
    return Network(name, model, model.features, head, 4.0, "features.0.0.weight", "classifier.1.weight")


def efficientnet_lite(name: str, size: tuple[int, int]) -> Network:
    # The package fixes its padding for one size of image.
    options = {"num_classes": CLASSES, "image_size": list(size)}
    model = EfficientNet.from_name(name.replace("_", "-"), **options)
    head = nn.Sequential(model._avg_pooling, nn.Flatten(), model._dropout, model._fc)
    return Network(name, model, model.extract_features, head, 4.0, "_conv_stem.weight", "_fc.weight")


def networks(size: tuple[int, int]) -> Iterator[Network]:
    """One after another, since the larger take gigabytes; for images of this height and width."""
    yield from map(resnet, ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
    yield from map(vgg, ["vgg16", "vgg19", "vgg19_bn"])
    yield densenet("densenet121")
    yield mobilenet("mobilenet_v2")
    yield efficientnet_lite("efficientnet_lite0", size)
