#!/usr/bin/env python3
"""The backbones as PyTorch trains them: the losses, their gradients, and what a step leaves behind.

    python3 scripts/reference/training.py      # writes crates/care-learn/tests/fixtures/training.json

All in double precision: in single, a ReLU near zero falls on either side, and moves the gradient of 100 layers by percents.
"""

import functools
import itertools
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import environment

environment.enter()

import torch

import method
from formula import numbers, probe, rounded, weight
from networks import CLASSES, Network, networks

FIXTURE = environment.ROOT / "crates/care-learn/tests/fixtures/training.json"
# Height and width; neither square nor a multiple of any stride. DenseNet's poolings leave too little of the smaller.
SIZE, LARGER, SMALLER = (38, 70), (66, 102), (22, 38)
# The boxes are those of images of this width and height.
IMAGE = (640, 480)
BOXES = [
    [],
    # Two that overlap, and one apart.
    [(40, 60, 260, 220), (200.5, 180, 330, 300.25), (500, 400, 600, 470)],
    [(0, 0, *IMAGE)],
    # No pixel's centre lies in it.
    [(300.2, 100, 301.4, 390)],
]
ALPHA, LAMBDA = 0.4, 0.7
# Normalisation, weights and outside. The defaults come last: their loss is the step's.
OPTIONS = [("min-max", "constant", "distance"), ("max", "exact", "uniform")]
# Every pair of two options' values, for one network of either kind of head.
MORE_OPTIONS = [("max", "constant", "distance"), ("min-max", "exact", "distance"), ("min-max", "constant", "uniform"), OPTIONS[-1]]
WITH_MORE_OPTIONS = ["resnet18", "vgg16"]
LEARNING_RATE = 1e-4
WEIGHT_DECAY = 0.01
# Of the losses and optimisers that the first network alone is compared in.
CLASSIFIED = [1, 4, 4, 8]
OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": functools.partial(torch.optim.SGD, momentum=0.9),
}
CLASS_COUNTS = [400, 30, 250, 120, 60, 20, 10, 90, 170, 50]


def labels_with_maps(activations, logits, size) -> list[int]:
    """For each image the first class from 3 * its index on whose map is not flat."""

    def says_something(image, label):
        return method.attention(activations, logits, image, label, size, "max", "constant").max() > 0.5

    candidates = [[(3 * image + c) % CLASSES for c in range(CLASSES)] for image in range(len(BOXES))]
    return [next(c for c in of_image if says_something(image, c)) for image, of_image in enumerate(candidates)]


def trained(network: Network, size) -> dict:
    model = network.model.double()
    network.train()
    images = numbers("images", (len(BOXES), 3, *size), 0.0, 2.0).double()
    activations = network.features(images)
    logits = network.head(activations)
    labels = labels_with_maps(activations, logits, size)
    l_c = method.classification_loss(logits, labels)
    boxed = [image for image, boxes in enumerate(BOXES) if boxes]
    insides = [method.inside_mask(BOXES[image], IMAGE, size) for image in boxed]
    parameters = dict(model.named_parameters())
    outermost = [parameters[network.first], parameters[network.last]]
    losses = []
    for normalisation, weights, outside in MORE_OPTIONS if network.name in WITH_MORE_OPTIONS else OPTIONS:
        maps = [
            method.attention(activations, logits, image, labels[image], size, normalisation, weights)
            for image in boxed
        ]
        # Reached by the first of three, in order of how much they see inside.
        means = sorted(method.mean_under(inside, f).item() for inside, f in zip(insides, maps))
        tau = round((means[1] + means[2]) / 2, 3)
        l_in, l_out, l_a = method.attention_loss(maps, insides, outside, LAMBDA, tau)
        loss = (1 - ALPHA) * l_c + ALPHA * l_a
        gradients = torch.autograd.grad(loss, outermost, retain_graph=True)
        losses.append({
            "normalisation": normalisation,
            "weights": weights,
            "outside": outside,
            "tau": tau,
            "terms": rounded(torch.stack([l_in, l_out, l_a, loss])),
            "gradients": {name: probe({name: g}) for name, g in zip((network.first, network.last), gradients)},
        })
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, foreach=False)
    loss.backward()
    optimizer.step()
    result = {
        "backbone": network.name,
        "gain": network.gain,
        "images": list(images.shape),
        "labels": labels,
        "l_c": rounded(l_c)[0],
        "losses": losses,
        "step": changes(network),
    }
    statistics = {name: value for name, value in model.state_dict().items() if "running" in name}
    if statistics:
        result["statistics"] = probe(statistics)
    return result


def changes(network: Network) -> dict:
    """How far the parameters are from what they were, for each part of the network."""
    parts = {}
    for name, parameter in network.model.named_parameters():
        was = weight(name, parameter.shape, network.gain)
        parts.setdefault(name.split(".")[0], {})[name] = parameter.detach() - was
    return {part: probe(tensors) for part, tensors in parts.items()}


def classified(size) -> list[dict]:
    """Every L_c of the first network, and its gradients."""
    made = []
    for class_counts, gamma in itertools.product((None, CLASS_COUNTS), (0.0, 2.0)):
        network = next(networks(size))
        model = network.model.double()
        images = numbers("images", (len(BOXES), 3, *size), 0.0, 2.0).double()
        loss = method.classification_loss(network.head(network.features(images)), CLASSIFIED, class_counts, gamma)
        loss.backward()
        gradients = {name: probe({name: model.get_parameter(name).grad}) for name in (network.first, network.last)}
        made.append({
            "class_counts": class_counts,
            "gamma": gamma,
            "l_c": rounded(loss)[0],
            "gradients": gradients,
        })
    return made


def optimised(size) -> list:
    """The first network after three steps of each optimiser: later ones tell the moments and their correction."""
    made = []
    for name, optimizer in OPTIMIZERS.items():
        network = next(networks(size))
        model = network.model.double()
        network.train()
        images = numbers("images", (len(BOXES), 3, *size), 0.0, 2.0).double()
        optimizer = optimizer(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(3):
            optimizer.zero_grad()
            method.classification_loss(network.head(network.features(images)), CLASSIFIED).backward()
            optimizer.step()
        made.append((name, changes(network)))
    return made


def main() -> None:
    fixture = {
        "boxes_in": IMAGE,
        "boxes": BOXES,
        "alpha": ALPHA,
        "lambda": LAMBDA,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "labels": CLASSIFIED,
        "images": [len(BOXES), 3, *SMALLER],
        "classified": classified(SMALLER),
        "optimised": optimised(SMALLER),
        "trained": [],
    }
    for network in networks(SIZE):
        made = trained(network, LARGER if network.name == "densenet121" else SIZE)
        fixture["trained"].append(made)
        print(made["backbone"], made["labels"], "L_c", made["l_c"], "L", made["losses"][-1]["terms"][-1], flush=True)
    FIXTURE.write_text(json.dumps(fixture).replace("}, {", "},\n{") + "\n")
    print(f"wrote {FIXTURE.relative_to(environment.ROOT)}")


if __name__ == "__main__":
    main()
