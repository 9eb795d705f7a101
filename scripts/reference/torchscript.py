#!/usr/bin/env python3
"""A small network as TorchScript and what PyTorch makes of it, for `crates/care-learn/tests/it/torchscript.rs` to compare with.

    python3 scripts/reference/torchscript.py      # writes crates/care-learn/tests/fixtures/torchscript/

Exported as docs/bring-your-own.md says.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import environment

environment.enter()

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.densenet import DenseNet

from formula import numbers, probe, rounded, set_weights

OUT = environment.ROOT / "crates/care-learn/tests/fixtures/torchscript"
CLASSES = 2
# The map is an eighth of it, 7 x 7.
SIDE = 56
# Of classes whose maps say something.
LABELS = [0, 1, 0]
# Images with boxes (xyxy): their rows.
BOXES = {0: [[10, 6, 30, 41]], 2: [[2, 2, 20, 20], [30, 24, 55, 44]]}
# Between the means inside of the two, so that one has reached it.
ALPHA, LAMBDA, TAU = 0.4, 0.7, 0.5755


class Export(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network
        self.dropout = nn.Dropout(0.25)

    def forward(self, images):
        return self.forward_head(self.forward_features(images))

    @torch.jit.export
    def forward_features(self, images):
        return F.relu(self.network.features(images))

    @torch.jit.export
    def forward_head(self, activations):
        # `view` works in the usual layout only.
        pooled = F.adaptive_avg_pool2d(activations, 1)
        return self.network.classifier(self.dropout(pooled.view(activations.size(0), -1)))


class Flat(nn.Module):
    """Whose features are no map."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, CLASSES)

    def forward(self, images):
        return self.forward_head(self.forward_features(images))

    @torch.jit.export
    def forward_features(self, images):
        return images.mean((2, 3))

    @torch.jit.export
    def forward_head(self, activations):
        return self.linear(activations)


def care_loss(network, images):
    """Eqs. 1 to 4 as they are written: maps enlarged, masks in pixels, gradients through the head with the graph kept."""
    activations = network.forward_features(images)
    logits = network.forward_head(activations)
    labels = torch.tensor(LABELS)
    score = logits.gather(1, labels[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, activations, create_graph=True)
    raw = (gradient.mean((2, 3), keepdim=True) * activations).sum(1, keepdim=True).relu()
    small = raw / (raw.amax((2, 3), keepdim=True) + 1e-8)
    large = F.interpolate(small, size=(SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0]
    terms, reached = [], 0
    for row, boxes in BOXES.items():
        inside = torch.zeros(SIDE, SIDE)
        for x0, y0, x1, y1 in boxes:
            inside[y0:y1, x0:x1] = 1
        mean_inside = (inside * large[row]).sum() / inside.sum()
        reached += int(mean_inside > TAU)
        l_in = -torch.clamp(mean_inside, max=TAU)
        l_out = ((1 - inside) * large[row]).sum() / (1 - inside).sum()
        terms.append((l_in, l_out))
    assert reached == 1, f"tau is reached by {reached} images"
    l_in, l_out = (torch.stack(term).mean() for term in zip(*terms))
    l_c = F.cross_entropy(logits, labels)
    loss = (1 - ALPHA) * l_c + ALPHA * (l_in + LAMBDA * l_out)
    return loss, [l_c, l_in, l_out], logits


def main():
    torch.manual_seed(0)
    OUT.mkdir(parents=True, exist_ok=True)
    densenet = DenseNet(growth_rate=6, block_config=(2, 2), num_init_features=12, bn_size=2, num_classes=CLASSES)
    network = Export(densenet).eval()
    with torch.no_grad():
        set_weights(network, gain=4.0)
    torch.jit.script(network).save(OUT / "densenet.pt")
    torch.jit.script(Flat()).save(OUT / "flat.pt")

    images = numbers("images", (len(LABELS), 3, SIDE, SIDE), 0.0, 2.0)
    loss, terms, logits = care_loss(network, images)
    parameters = dict(network.named_parameters())
    names = ["network.features.conv0.weight", "network.classifier.weight"]
    gradients = torch.autograd.grad(loss, [parameters[name] for name in names])
    network.train()
    with torch.no_grad():
        network.forward_features(images)
    network.eval()
    fixture = {
        "labels": LABELS,
        "boxes": list(BOXES.items()),
        "live": {"alpha": ALPHA, "lambda": LAMBDA, "tau": TAU},
        "logits": rounded(logits),
        "loss": loss.item(),
        "terms": rounded(torch.stack(terms)),
        "gradients": {name: probe({name: gradient}) for name, gradient in zip(names, gradients)},
        # Of the running statistics after one pass in training mode.
        "logits_afterwards": rounded(network(images)),
    }
    (OUT / "densenet.json").write_text(json.dumps(fixture) + "\n")
    for file in sorted(OUT.iterdir()):
        print(file.relative_to(environment.ROOT), file.stat().st_size)
    print(fixture)


if __name__ == "__main__":
    main()
