"""Numbers from a formula, so that neither weights nor images are stored: crates/care-learn/tests/it/reference has the same."""

import math

import numpy as np
import torch
from torch import nn


def fnv1a(text: str) -> int:
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


# A prime: no row of a tensor is the one above it.
PERIOD = 1_048_573


def table() -> torch.Tensor:
    """In -1..1, by murmur3's last step."""
    x = np.arange(PERIOD, dtype=np.uint32) * np.uint32(0x9E3779B9)
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    x ^= x >> 16
    return torch.from_numpy((x.astype(np.float64) / 2**31 - 1).astype(np.float32))


TABLE = table()


def numbers(name: str, shape, offset: float, scale: float) -> torch.Tensor:
    """`offset + scale * u`, u from the table again and again, from a place that the name's hash gives."""
    count, start = math.prod(shape), fnv1a(name) % PERIOD
    times = (start + count) // PERIOD + 1
    return TABLE.repeat(times)[start : start + count].mul(scale).add_(offset).reshape(shape)


@torch.no_grad()
def set_weights(model: nn.Module, gain: float) -> None:
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        tensor.copy_(weight(name, tensor.shape, gain))


def weight(name: str, shape, gain: float) -> torch.Tensor:
    if len(shape) > 1:
        offset, scale = 0.0, math.sqrt(gain / math.prod(shape[1:]))
    elif name.endswith((".running_mean", ".bias")):
        offset, scale = 0.0, 0.1
    else:  # weight and running variance of a batch normalisation
        offset, scale = 1.0, 0.2
    return numbers(name, shape, offset, scale)


def rounded(values: torch.Tensor):
    return [float(f"{value:.9g}") for value in values.flatten().tolist()]


def probe(tensors: dict) -> list:
    """Norm of all together, and product with numbers in -1..1: the second tells every single value, the first how much it
    may differ. Of tensors of millions of values, every so many."""
    square = product = 0.0
    for name, tensor in tensors.items():
        values = tensor.detach().flatten()
        values = values[:: values.numel() // PERIOD + 1].double()
        square += values.square().sum()
        product += (values * numbers("probe " + name, values.shape, 0.0, 1.0)).sum()
    return rounded(torch.stack([square.sqrt(), product]))
