#!/usr/bin/env python3
"""What `cargo bench -p care-data --bench input` measures, by Pillow and torchvision: JPEG to 224 x 224 RGB, on one thread.

    python3 scripts/benchmark/input.py [FOLDER]     # without one: the pictures that the bench has made
"""

import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import environment

environment.enter()

import numpy
import torch
from PIL import Image
from torchvision.transforms import Resize

ROUNDS, ROUND_SECONDS = 7, 0.7
MADE = environment.ROOT / "target/benchmark/input"

torch.set_num_threads(1)
resize = Resize((224, 224))


def images_per_second(files: list[pathlib.Path]) -> float:
    begun = time.thread_time()
    images = 0
    while time.thread_time() - begun < ROUND_SECONDS:
        for file in files:
            numpy.asarray(resize(Image.open(file).convert("RGB")))
        images += len(files)
    return images / (time.thread_time() - begun)


folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else MADE
files = sorted(folder.glob("*.jpg"))[:64]
if not files:
    sys.exit(f"no JPEG files in {folder}: run the bench first, it makes them")
rate = statistics.median(images_per_second(files) for _ in range(ROUNDS))
print(
    f"input: {rate:.0f} images/s on one thread, {1e3 / rate:.2f} ms an image "
    f"(median of {ROUNDS} rounds, {len(files)} files)"
)
