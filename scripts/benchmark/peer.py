#!/usr/bin/env python3
"""PyTorch at the same work, for `care bench` to be measured against: a co-process, so that both sides take turns in one run.

    python3 scripts/benchmark/peer.py       # a request a line on standard input, a line of JSON back for each

    {"measure": "plain"}                steps of cross-entropy training
    {"measure": "authors"}              steps of CARE as its authors released it
    {"measure": "care"}                 steps of CARE, maps in closed form and masks brought down
    {"measure": "epoch", "folder": F}   epochs of plain training from F/CLASS/*.jpg
    {"measure": "input", "folder": F}   the same files, decoded and resized to bytes by one thread
    {"measure": "versions"}

What a request leaves out has the values below. An answer has "seconds", a list, and of files "images_per_second" as well; to a
request that failed it has "error" alone. A network and its optimiser live until others are asked for.
"""

import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import environment

environment.enter()

import PIL
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision import transforms

DEFAULTS = {
    "backbone": "resnet18",
    "classes": 7,
    "batch": 16,
    # Images of the batch with boxes; none given: all.
    "boxed": None,
    "size": 224,
    "threads": 2,
    "channels_last": True,
    # Adam: "default" lets PyTorch choose, "fused" is one kernel for all parameters.
    "optimizer": "default",
    "device": "cpu",
    # Autocast to bfloat16.
    "bf16": False,
    # Steps that are measured, or passes over the files, after so many that are not.
    "steps": 5,
    "warmup": 1,
    "folder": None,
    # All of them count: the first is what a user waits for.
    "epochs": 3,
    # The DataLoader's.
    "workers": 2,
}
ALPHA, LAMBDA, TAU = 0.5, 0.7, 0.6
LEARNING_RATE = 1e-4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What a step's network and data depend on.
OF_TRAINER = ("backbone", "classes", "batch", "boxed", "size", "channels_last", "optimizer", "device", "bf16")


def network(request: dict) -> nn.Module:
    if request["backbone"] == "efficientnet_lite0":
        from efficientnet_lite_pytorch import EfficientNet

        options = {"num_classes": request["classes"], "image_size": request["size"]}
        return EfficientNet.from_name("efficientnet-lite0", **options)
    return torchvision.models.get_model(request["backbone"], weights=None, num_classes=request["classes"])


class Trainer:
    """A network, its optimiser, and one batch of noise with boxes."""

    def __init__(self, request: dict):
        torch.manual_seed(0)
        self.request = request
        self.device = torch.device(request["device"])
        self.layout = torch.channels_last if request["channels_last"] else torch.contiguous_format
        self.model = network(request).to(self.device, memory_format=self.layout).train()
        fused = {"fused": True} if request["optimizer"] == "fused" else {}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE, **fused)
        batch, size = request["batch"], request["size"]
        self.images = torch.randn(batch, 3, size, size, device=self.device).to(memory_format=self.layout)
        self.labels = torch.arange(batch, device=self.device) % request["classes"]
        # A box in the middle.
        inside = torch.zeros(size, size, device=self.device)
        inside[size // 4 : -(size // 4), size // 3 : -(size // 3)] = 1
        boxed = batch if request["boxed"] is None else request["boxed"]
        self.inside = [inside] * boxed
        self.outside = [1 - inside] * boxed

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.request["bf16"])

    def plain(self):
        self.optimizer.zero_grad()
        with self.autocast():
            loss = functional.cross_entropy(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def authors(self):
        """The released way: the activations and, by a hook, their gradients; one backward pass of the batch's own logits
        through the whole network with its graph kept; for each image with boxes a min-max map with constant weights, enlarged
        to the input and met with whole masks; the sum of the images' losses; a second backward pass."""
        seen = {}

        def keep(_module, _inputs, activations):
            seen["activations"] = activations
            activations.register_hook(lambda gradient: seen.update(gradient=gradient))

        self.optimizer.zero_grad()
        hook = self.target_layer().register_forward_hook(keep)
        logits = self.model(self.images)
        hook.remove()
        l_c = functional.cross_entropy(logits, self.labels)
        one_hot = functional.one_hot(self.labels, logits.shape[1])
        (one_hot * logits).sum().backward(retain_graph=True)
        l_a = torch.zeros((), device=self.device)
        for activations, gradient, inside, outside in zip(
            seen["activations"], seen["gradient"], self.inside, self.outside
        ):
            weights = gradient.mean((1, 2), keepdim=True)
            cam = (weights * activations).sum(0)
            cam = cam - cam.min()
            cam = cam / cam.max()
            cam = functional.interpolate(cam[None, None], size=inside.shape, mode="bilinear", align_corners=False)[0, 0]
            seen_inside = (cam * inside).sum() / inside.sum()
            # As theirs, asked on the host.
            if torch.isnan(seen_inside):
                raise FloatingPointError("a map is not finite")
            if seen_inside > TAU:
                seen_inside = torch.tensor(TAU, device=self.device)
            l_a = l_a - seen_inside + LAMBDA * (cam * outside).sum() / outside.sum()
        loss = ALPHA * l_a + (1 - ALPHA) * l_c
        loss.backward()
        self.optimizer.step()
        return loss

    def care(self):
        """As care-learn does it: the weights w_k of a pooled linear head are known, and of any other head differentiated
        through the head alone; masks are brought down to the map's size once."""
        self.optimizer.zero_grad()
        seen = {}
        with self.autocast():
            hook = self.target_layer().register_forward_hook(lambda _m, _i, out: seen.update(activations=out))
            logits = self.model(self.images)
            hook.remove()
        l_c = functional.cross_entropy(logits, self.labels)
        boxed = len(self.inside)
        activations, labels = seen["activations"], self.labels[:boxed]
        linear = self.pooled_linear()
        if linear is None:
            score = logits[:boxed].gather(1, labels[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, activations, create_graph=True)
            weights = gradient[:boxed].mean((2, 3))
        else:
            weights = linear.weight[labels] / activations[0, 0].numel()
        activations = activations[:boxed].float()
        raw = torch.einsum("bk,bkhw->bhw", weights.float(), activations).relu()
        f = raw / (raw.amax((1, 2), keepdim=True) + 1e-8)
        inside, outside = self.grid_masks(f.shape[1:])
        l_in = -(f * inside).sum((1, 2)).clamp(max=TAU).mean()
        l_out = (f * outside).sum((1, 2)).mean()
        loss = (1 - ALPHA) * l_c + ALPHA * (l_in + LAMBDA * l_out)
        loss.backward()
        self.optimizer.step()
        return loss

    def target_layer(self) -> nn.Module:
        """The last convolutional map. Of DenseNet and EfficientNet-Lite0 before its rectifier, which is no module of its own:
        the same work."""
        model, name = self.model, self.request["backbone"]
        if name.startswith("resnet"):
            return model.layer4
        if name.startswith("vgg"):
            return model.features[-2]
        if name == "efficientnet_lite0":
            return model._bn1
        return model.features

    def pooled_linear(self) -> nn.Linear | None:
        *_, last = (module for module in self.model.modules() if isinstance(module, nn.Linear))
        return None if self.request["backbone"].startswith("vgg") else last

    def grid_masks(self, grid):
        """up^T(M) / sum(M) of both masks, by autograd of the enlargement. [boxed, h, w] each."""
        if getattr(self, "masks", None) is None:
            f = torch.zeros(1, 1, *grid, device=self.device, requires_grad=True)
            up = functional.interpolate(f, size=self.inside[0].shape, mode="bilinear", align_corners=False)[0, 0]
            of = [(up * mask / mask.sum()).sum() for mask in (self.inside[0], self.outside[0])]
            down = [torch.autograd.grad(value, f, retain_graph=True)[0][0] for value in of]
            self.masks = [mask.expand(len(self.inside), -1, -1) for mask in down]
        return self.masks

    def seconds(self, measure: str) -> list[float]:
        step = getattr(self, measure)
        times = []
        for _ in range(self.request["warmup"] + self.request["steps"]):
            start = time.perf_counter()
            loss = step()
            # Brings the number here, as whoever shows it does, and so waits for a GPU.
            loss.item()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return times[self.request["warmup"] :]


def pictures(request: dict, *then) -> torchvision.datasets.ImageFolder:
    size = (request["size"], request["size"])
    return torchvision.datasets.ImageFolder(request["folder"], transforms.Compose([transforms.Resize(size), *then]))


def rates(images: int, times: list[float]) -> dict:
    return {"seconds": times, "images_per_second": [images / seconds for seconds in times]}


def epochs(request: dict) -> dict:
    """As PyTorch's own examples train: torchvision's transforms in a DataLoader's workers, every epoch from the files."""
    files = pictures(request, transforms.ToTensor(), transforms.Normalize(MEAN, STD))
    loader = torch.utils.data.DataLoader(
        files,
        batch_size=request["batch"],
        shuffle=True,
        num_workers=request["workers"],
        persistent_workers=request["workers"] > 0,
        pin_memory=request["device"] != "cpu",
    )
    trainer = Trainer(request)
    times = []
    for _ in range(request["epochs"]):
        start = time.perf_counter()
        for images, labels in loader:
            trainer.images = images.to(trainer.device, memory_format=trainer.layout, non_blocking=True)
            trainer.labels = labels.to(trainer.device, non_blocking=True)
            trainer.plain().item()
        times.append(time.perf_counter() - start)
    return rates(len(files), times)


def reading(request: dict) -> dict:
    torch.set_num_threads(1)
    files = pictures(request)
    times = []
    for _ in range(request["warmup"] + request["steps"]):
        start = time.perf_counter()
        for i in range(len(files)):
            files[i][0].tobytes()
        times.append(time.perf_counter() - start)
    return rates(len(files), times[request["warmup"] :])


def answer(request: dict, kept: dict) -> dict:
    unknown = request.keys() - DEFAULTS.keys() - {"measure"}
    if unknown:
        raise ValueError(f"not known: {', '.join(sorted(unknown))}")
    measure = request["measure"]
    request = DEFAULTS | request
    torch.set_num_threads(request["threads"])
    match measure:
        case "plain" | "authors" | "care":
            key = tuple(request[name] for name in OF_TRAINER)
            if kept.get("key") != key:
                # The one before goes first.
                kept.clear()
                kept.update(key=key, trainer=Trainer(request))
            kept["trainer"].request = request
            return {"seconds": kept["trainer"].seconds(measure)}
        case "epoch":
            kept.clear()
            return epochs(request)
        case "input":
            return reading(request)
        case "versions":
            return {"torch": torch.__version__, "torchvision": torchvision.__version__, "pillow": PIL.__version__}
        case _:
            raise ValueError(f"not a measure: {measure}")


def main() -> None:
    kept = {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), kept)
        except Exception as error:  # Whatever it is, whoever asked has to hear of it.
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
