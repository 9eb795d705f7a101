"""Grad-CAM and the losses of Zhuang et al. (CARE, MIDL 2019) as they are written down: image by image, F enlarged to the
size of the input, masks pixel by pixel, and autograd for whatever is a derivative.

care-learn computes the same without enlarging anything and mostly in closed form. The two share no line.
"""

import numpy as np
import torch
from torch.nn import functional

EPS = 1e-8


def inside_mask(boxes, image, size) -> np.ndarray:
    """M_in [H, W] of boxes (x0, y0, x1, y1) in pixels of an image of (width, height): the pixels of the input whose centres
    lie in a box; of a box that holds no centre, the pixel that it lies in."""
    height, width = size
    mask = np.zeros(size, dtype=bool)

    def along(low, high, pixels, of_image):
        low, high = low / of_image * pixels, high / of_image * pixels
        centres = np.arange(pixels) + 0.5
        covered = (low <= centres) & (centres < high)
        if not covered.any():
            covered[min(int((low + high) / 2), pixels - 1)] = True
        return covered

    for x0, y0, x1, y1 in boxes:
        mask |= np.outer(along(y0, y1, height, image[1]), along(x0, x1, width, image[0]))
    return mask


def outside_mask(inside: np.ndarray, outside: str) -> np.ndarray:
    """M_out [H, W]: 0 inside; outside 1, or the distance to the nearest pixel inside over the largest such distance."""
    if outside == "uniform":
        return (~inside).astype(float)
    rows, columns = np.nonzero(inside)
    distance = np.zeros(inside.shape)
    for y, x in np.ndindex(inside.shape):
        distance[y, x] = np.hypot(rows - y, columns - x).min()
    return distance / distance.max() if distance.max() > 0 else distance


def mean_under(mask: np.ndarray, f: torch.Tensor) -> torch.Tensor:
    """sum(M F) / sum(M); 0 where there is no M."""
    mask = torch.from_numpy(mask.astype(float)).to(f)
    return (mask * f).sum() / mask.sum() if mask.sum() > 0 else f.sum() * 0


def attention(activations, logits, image: int, label: int, size, normalisation: str, weights: str) -> torch.Tensor:
    """F [H, W] of one image of the batch: A [B, K, h, w], logits [B, C]."""
    score = logits[image, label]
    (gradient,) = torch.autograd.grad(score, activations, retain_graph=True, create_graph=weights == "exact")
    w = gradient[image].mean((1, 2))
    cam = (w[:, None, None] * activations[image]).sum(0)
    cam = torch.relu(cam) if normalisation == "max" else cam - cam.min()
    if cam.min() == cam.max():
        cam = cam * 0
    f = cam / (cam.max() + EPS)
    return functional.interpolate(f[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def attention_loss(maps, insides, outside: str, lambda_: float, tau: float):
    """L_in, L_out and L_a (Eqs. 3, 4, 2) of images with boxes, each the mean over them."""
    l_in = [-mean_under(inside, f).clamp(max=tau) for f, inside in zip(maps, insides)]
    l_out = [mean_under(outside_mask(inside, outside), f) for f, inside in zip(maps, insides)]
    l_in, l_out = torch.stack(l_in).mean(), torch.stack(l_out).mean()
    return l_in, l_out, l_in + lambda_ * l_out


def classification_loss(logits, labels, class_counts=None, gamma: float = 0.0) -> torch.Tensor:
    """L_c: cross-entropy, with gamma > 0 the focal loss (Lin et al. 2017), as the mean over the images; with class counts the
    mean weighted by N / (C n_c)."""
    p = functional.softmax(logits, 1)[range(len(labels)), labels]
    each = -((1 - p) ** gamma) * p.log()
    if class_counts is None:
        return each.mean()
    counts = torch.tensor(class_counts, dtype=logits.dtype)
    weights = (counts.sum() / (len(counts) * counts))[labels]
    return (weights * each).sum() / weights.sum()
