#!/usr/bin/env python3
"""The backbones as PyTorch has them, for `crates/care-learn/tests/it/reference.rs` to compare with.

    python3 scripts/reference/backbones.py      # writes crates/care-learn/tests/fixtures/backbones.json

Needs the packages below in these very versions. Where they are missing they go into a virtual environment of their own
(target/reference, several GB). No weights are stored: both sides compute them, and the images, from a hash of their names.
"""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

PACKAGES = {
    "torch": "2.11.0",
    "torchvision": "0.26.0",
    "efficientnet-lite-pytorch": "0.1.0",
    "numpy": "2.3.5",
}
ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "crates/care-learn/tests/fixtures/backbones.json"
CLASSES = 10
# Neither square nor a multiple of any stride: swapped sides and wrong rounding show.
BATCH, HEIGHT, WIDTH = 2, 70, 102


def packages_are_here() -> bool:
    try:
        return all(importlib.metadata.version(name).split("+")[0] == version for name, version in PACKAGES.items())
    except importlib.metadata.PackageNotFoundError:
        return False


if not packages_are_here():
    environment = ROOT / "target" / "reference"
    python = environment / "bin" / "python"
    if pathlib.Path(sys.prefix) == environment:
        sys.exit(f"{environment} has other versions than {PACKAGES}. Delete it and try again.")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pinned = [f"{name}=={version}" for name, version in PACKAGES.items()]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *pinned], check=True)
    os.execv(python, [python, *sys.argv])

import numpy as np
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from torch import nn


def fnv1a(text: str) -> int:
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def numbers(name: str, shape, offset: float, scale: float) -> torch.Tensor:
    """`offset + scale * u`, u in -1..1 from a hash of the name and the index (murmur3's last step)."""
    x = np.uint32(fnv1a(name)) + np.arange(np.prod(shape), dtype=np.uint32) * np.uint32(0x9E3779B9)
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    x ^= x >> 16
    u = x.astype(np.float64) / 2**31 - 1
    return torch.from_numpy((offset + scale * u).astype(np.float32)).reshape(shape)


def set_weights(model: nn.Module, gain: float) -> None:
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        if tensor.dim() > 1:
            offset, scale = 0.0, np.sqrt(gain / np.prod(tensor.shape[1:], dtype=np.float64))
        elif name.endswith((".running_mean", ".bias")):
            offset, scale = 0.0, 0.1
        else:  # weight and running variance of a batch normalisation
            offset, scale = 1.0, 0.2
        tensor.copy_(numbers(name, tensor.shape, offset, scale))


def rounded(values: torch.Tensor):
    return [float(f"{value:.9g}") for value in values.flatten().tolist()]


def probe(name: str, tensor: torch.Tensor):
    """Norm, and product with numbers in -1..1: the second tells every single value, the first how much it may differ."""
    tensor = tensor.detach().double()
    return rounded(torch.stack([tensor.norm(), (tensor * numbers("probe " + name, tensor.shape, 0.0, 1.0)).sum()]))


def attention(activations, logits, label: int, exact: bool):
    """Grad-CAM (method.md) by autograd through the head, whatever the head."""
    score = logits[:, label].sum()
    (gradient,) = torch.autograd.grad(score, activations, retain_graph=True, create_graph=exact)
    raw = (gradient.mean((2, 3), keepdim=True) * activations).sum(1).relu()
    return raw / (raw.amax((1, 2), keepdim=True) + 1e-8)


def reference(name, model, features, head, gain, first, last, norm) -> dict:
    """What there is to compare. `gain` keeps the activations of this architecture neither vanishing nor exploding; `first` and
    `last` are its outermost weights, `norm` its first batch normalisation."""
    with torch.no_grad():
        set_weights(model, gain)
    model.eval()
    images = numbers("images", (BATCH, 3, HEIGHT, WIDTH), 0.0, 2.0)
    activations = features(images)
    logits = single = head(activations)
    assert torch.allclose(logits, model(images)), name

    # Not every class's map says something.
    maps = {label: attention(activations, logits, label, exact=False).detach() for label in range(CLASSES)}
    label = next(c for c in [*range(3, CLASSES), *range(3)] if maps[c].amax((1, 2)).min() > 0.9)
    # In double precision: in single, a ReLU near zero falls on either side, and moves the gradient of 100 layers by percents.
    model.double()
    activations = features(images.double())
    logits = head(activations)
    parameters = dict(model.named_parameters())
    gradients = []
    for weights in ("exact", "constant"):
        attended = attention(activations, logits, label, weights == "exact")
        value = (attended * numbers("attention", attended.shape, 0.0, 1.0)).sum() + logits.sum()
        of = torch.autograd.grad(value, [parameters[first], parameters[last]], retain_graph=True)
        gradients.append((weights, {key: probe(key, gradient) for key, gradient in zip((first, last), of)}))

    state = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    listed = "".join(f"{key} {list(value.shape)}\n" for key, value in sorted(state.items()))
    result = {
        "backbone": name,
        "gain": gain,
        "images": [BATCH, 3, HEIGHT, WIDTH],
        "num_tensors": len(state),
        "names_and_shapes": fnv1a(listed),
        "label": label,
        "logits": rounded(single),
        "map": rounded(maps[label]),
        "gradients": gradients,
        "statistics": {},
    }
    if norm:
        model.train()
        with torch.no_grad():
            features(images.double())
        for key in (f"{norm}.running_mean", f"{norm}.running_var"):
            result["statistics"][key] = probe(key, model.state_dict()[key])
    return result


def resnet(name):
    model = getattr(torchvision.models, name)(num_classes=CLASSES)
    features = nn.Sequential(*list(model.children())[:-2])
    head = nn.Sequential(model.avgpool, nn.Flatten(), model.fc)
    return reference(name, model, features, head, 2.0, "conv1.weight", "fc.weight", "bn1")


def vgg(name, norm=None):
    model = getattr(torchvision.models, name)(num_classes=CLASSES, init_weights=False)
    head = nn.Sequential(model.features[-1], model.avgpool, nn.Flatten(), model.classifier)
    return reference(name, model, model.features[:-1], head, 6.0, "features.0.weight", "classifier.6.weight", norm)


def densenet(name):
    model = getattr(torchvision.models, name)(num_classes=CLASSES)
    features = nn.Sequential(model.features, nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.classifier)
    first, last = "features.conv0.weight", "classifier.weight"
    return reference(name, model, features, head, 6.0, first, last, "features.norm0")


def mobilenet(name):
    model = getattr(torchvision.models, name)(num_classes=CLASSES)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.classifier)
    first, last = "features.0.0.weight", "classifier.1.weight"
    return reference(name, model, model.features, head, 4.0, first, last, "features.0.1")


def efficientnet_lite(name):
    # The package fixes its padding for one size of image.
    options = {"num_classes": CLASSES, "image_size": [HEIGHT, WIDTH]}
    model = EfficientNet.from_name(name.replace("_", "-"), **options)
    head = nn.Sequential(model._avg_pooling, nn.Flatten(), model._dropout, model._fc)
    first, last = "_conv_stem.weight", "_fc.weight"
    return reference(name, model, model.extract_features, head, 4.0, first, last, "_bn0")


def main() -> None:
    references = [
        *map(resnet, ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]),
        vgg("vgg16"),
        vgg("vgg19"),
        vgg("vgg19_bn", norm="features.1"),
        densenet("densenet121"),
        mobilenet("mobilenet_v2"),
        efficientnet_lite("efficientnet_lite0"),
    ]
    FIXTURE.parent.mkdir(exist_ok=True)
    FIXTURE.write_text("[\n" + ",\n".join(map(json.dumps, references)) + "\n]\n")
    for made in references:
        print(made["backbone"], made["num_tensors"], "class", made["label"], "logits", made["logits"][:3])
    print(f"wrote {FIXTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
