#!/usr/bin/env python3
"""The maps of `care cam` against those of the package grad-cam (pytorch_grad_cam), on the same weights and images.

    cargo build && python3 scripts/reference/peer.py [CARE]

CARE is the program, target/debug/care where it is not given. Weights and images are random with fixed seeds. The package takes
ReLU as the paper does, but then subtracts the smallest value and, once the map is enlarged (by OpenCV), brings it to 0..1 again; so
this is done to our maps too before they are compared. Ends with 1 where one differs by more than 0.02 anywhere.
"""

import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import environment

environment.enter()

import numpy as np
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torchvision import transforms

LIMIT = 0.02
CLASSES = 10
# Landscape, portrait, smaller than the input, and a square.
SIZES = [(500, 375), (301, 420), (150, 200), (256, 256)]
IMAGENET = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Features(nn.Module):
    """What gives the last map, where that is no layer of its own."""

    def __init__(self, model: EfficientNet):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model.extract_features(images)


def efficientnet_lite0():
    model = EfficientNet.from_name("efficientnet-lite0", num_classes=CLASSES, image_size=224)
    features = Features(model)
    whole = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), model._fc)
    return model, whole, features, transforms.Normalize((127 / 255,) * 3, (128 / 255,) * 3)


def torchvisions(name: str, layer):
    model = getattr(torchvision.models, name)(num_classes=CLASSES)
    return model, model, layer(model), IMAGENET


MODELS = {
    "resnet18": lambda: torchvisions("resnet18", lambda model: model.layer4),
    "resnet50": lambda: torchvisions("resnet50", lambda model: model.layer4),
    "mobilenet_v2": lambda: torchvisions("mobilenet_v2", lambda model: model.features),
    "vgg16": lambda: torchvisions("vgg16", lambda model: model.features[-2]),
    "efficientnet_lite0": efficientnet_lite0,
}


def picture(size, rng) -> Image.Image:
    """Coarse noise, so that something is left of it at the network's input."""
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def rescaled(grid: np.ndarray) -> np.ndarray:
    grid = grid - grid.min()
    return grid / (1e-7 + grid.max())


def wake(model: nn.Module, images: torch.Tensor) -> None:
    """Running statistics of these images: with those of new layers every place of a deep map looks the same."""
    model.train()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.no_grad():
        model(images)
    model.eval()


def differences(care: pathlib.Path, name: str, paths: list[pathlib.Path], folder: pathlib.Path):
    """For each image: the largest difference, and our map's range at the input's size."""
    torch.manual_seed(5)
    model, whole, layer, normalise = MODELS[name]()
    preprocess = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalise]
    )
    batch = torch.stack([preprocess(Image.open(path)) for path in paths])
    wake(whole, batch)
    weights = folder / f"{name}.pth"
    torch.save(model.state_dict(), weights)
    # Not every class has a place: the first whose maps all say something.
    with GradCAM(model=whole, target_layers=[layer]) as package:
        for label in range(CLASSES):
            maps = package(batch, [ClassifierOutputTarget(label)] * len(paths))
            if maps.std((1, 2)).min() > 0.1:
                break
        else:
            sys.exit(f"{name}: no class has a map on every image")
    out = folder / name
    options = ["--backbone", name, "--weights", weights, "--class", str(label), "--out", out]
    subprocess.run(
        [care, "cam", *options, "--npy", "--preprocess", "torchvision", *paths],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for path, theirs in zip(paths, maps):
        ours = np.load(out / f"{path.stem}.npy")
        assert ours.dtype == np.float32 and ours.shape == theirs.shape == (224, 224)
        plain = np.abs(ours - theirs).max()
        yield label, np.abs(rescaled(ours) - theirs).max(), plain, ours.min(), theirs.std()


def main() -> None:
    care = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else environment.ROOT / "target/debug/care").resolve()
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rng = np.random.default_rng(3)
        paths = [folder / f"{width}x{height}.png" for width, height in SIZES]
        for size, path in zip(SIZES, paths):
            picture(size, rng).save(path)
        print(f"{'network':20} {'image':9} class  difference  (as they are; our minimum, their deviation)")
        for name in MODELS:
            for path, (label, rescaled, plain, least, deviation) in zip(paths, differences(care, name, paths, folder)):
                print(
                    f"{name:20} {path.stem:9} {label:5}  {rescaled:10.5f}"
                    f"  ({plain:.3f}; {least:.2f}, {deviation:.2f})"
                )
                worst = max(worst, rescaled)
    print(f"largest difference {worst:.5f}, allowed {LIMIT}")
    sys.exit(int(worst > LIMIT))


if __name__ == "__main__":
    main()
