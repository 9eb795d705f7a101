#!/usr/bin/env python3
"""The backbones as PyTorch has them, looked at: names, logits, Grad-CAM maps.

    python3 scripts/reference/backbones.py      # writes crates/care-learn/tests/fixtures/backbones.json

No weights are stored: both sides compute them, and the images, from a hash of their names.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import environment

environment.enter()

import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from formula import fnv1a, numbers, rounded
from networks import CLASSES, Network, networks

FIXTURE = environment.ROOT / "crates/care-learn/tests/fixtures/backbones.json"
# Neither square nor a multiple of any stride: swapped sides and wrong rounding show.
BATCH, HEIGHT, WIDTH = 2, 70, 102
# Where the enlarged maps of pytorch-grad-cam are kept: every so many pixels down and across.
GRID = (10, 17)


class Function(nn.Module):
    """A hook wants a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def attention(activations, logits, label: int) -> torch.Tensor:
    """[B, h, w]."""
    (gradient,) = torch.autograd.grad(logits[:, label].sum(), activations, retain_graph=True)
    raw = (gradient.mean((2, 3), keepdim=True) * activations).sum(1).relu()
    return raw / (raw.amax((1, 2), keepdim=True) + 1e-8)


def peer(network: Network, images, label: int):
    """[B, H, W] by pytorch-grad-cam."""
    features = Function(network.features)
    model = nn.Sequential(features, Function(network.head))
    model.eval()
    # One that has parameters, which the package asks for its device.
    model.add_module("whole", Function(lambda logits: logits))
    model.whole.parameter = next(network.model.parameters())
    with GradCAM(model, [features]) as cam:
        return torch.from_numpy(cam(images, [ClassifierOutputTarget(label)] * len(images)))


def reference(network: Network) -> dict:
    images = numbers("images", (BATCH, 3, HEIGHT, WIDTH), 0.0, 2.0)
    activations = network.features(images)
    logits = network.head(activations)
    assert torch.allclose(logits, network.model(images)), network.name

    # Not every class's map says something.
    maps = {label: attention(activations, logits, label).detach() for label in range(CLASSES)}
    label = next(c for c in [*range(3, CLASSES), *range(3)] if maps[c].amax((1, 2)).min() > 0.9)
    state = network.model.state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    listed = "".join(f"{key} {list(value.shape)}\n" for key, value in sorted(state.items()))
    return {
        "backbone": network.name,
        "gain": network.gain,
        "images": [BATCH, 3, HEIGHT, WIDTH],
        "num_tensors": len(state),
        "names_and_shapes": fnv1a(listed),
        "label": label,
        "logits": rounded(logits),
        "map": rounded(maps[label]),
        "peer_grid": GRID,
        "peer": [round(value, 4) for value in peer(network, images, label)[:, :: GRID[0], :: GRID[1]].flatten().tolist()],
    }


def main() -> None:
    references = []
    for network in networks((HEIGHT, WIDTH)):
        made = reference(network)
        references.append(made)
        print(made["backbone"], made["num_tensors"], "class", made["label"], "logits", made["logits"][:3])
    FIXTURE.write_text("[\n" + ",\n".join(map(json.dumps, references)) + "\n]\n")
    print(f"wrote {FIXTURE.relative_to(environment.ROOT)}")


if __name__ == "__main__":
    main()
