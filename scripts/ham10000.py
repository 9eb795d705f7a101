#!/usr/bin/env python3
"""CARE beside its control on a fixed subset of HAM10000, dermatofibroma rare, over several seeds: docs/results.md's figures.

    cargo build && python3 scripts/ham10000.py HAM10000 WEIGHTS [--seeds 0 1 2] [--set NAME=VALUE]...

HAM10000 is the folder with HAM10000_metadata.csv, images/ and boxes.csv; WEIGHTS the ImageNet weights of EfficientNet-Lite0. A seed
decides split, batches and classifier. Finished seeds are kept in target/ham10000 and not trained again.
"""

import argparse
import csv
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).parent.parent
CARE = ROOT / "target" / "debug" / "care"
RARE = "df"
IMPORT = ["--per-class", "160", "--test", "0.38", "--validation", "0.1"]
SETTINGS = {
    "backbone": "efficientnet_lite0",
    "input_size": 224,
    "classes_per_batch": 7,
    "images_per_class": 3,
    "stage1_epochs": 3,
    "stage2_epochs": 3,
    "learning_rate": 1e-4,
}
MODELS = ["before", "control", "care"]


def train(seed: int, arguments: argparse.Namespace) -> dict:
    changed = "-".join(re.sub(r"\W", "", setting) for setting in arguments.set)
    folder = ROOT / "target" / "ham10000" / "-".join(filter(None, [f"seed{seed}", changed]))
    results = folder / "results.json"
    if not results.exists():
        folder.mkdir(parents=True, exist_ok=True)
        boxes = folder / "boxes.csv"
        with (arguments.images / "boxes.csv").open() as given, boxes.open("w", newline="") as kept:
            reader = csv.DictReader(given)
            writer = csv.DictWriter(kept, reader.fieldnames)
            writer.writeheader()
            writer.writerows(row for row in reader if row["label"] == RARE)
        project = folder / "ham.care"
        taken = [*IMPORT, "--seed", str(seed), "--rare", RARE, "--boxes", boxes]
        subprocess.run([CARE, "import", project, arguments.images, *taken], check=True)
        settings = [f"{name}={value}" for name, value in SETTINGS.items()]
        settings += [f"weights={arguments.weights.resolve()}", f"seed={seed}", *arguments.set]
        command = [CARE, "train", project, "--json"]
        for setting in settings:
            command += ["--set", setting]
        results.write_bytes(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return json.loads(results.read_text())


def cell(estimate) -> str:
    return f"{estimate['value']:.2f} ({estimate['low']:.2f} to {estimate['high']:.2f})" if estimate else ""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    print("| seed | model | rare recall | MCA | energy in the box | pointing hit |\n|---|---|---|---|---|---|")
    for seed in arguments.seeds:
        results = train(seed, arguments)
        for model, summary in results["summaries"]:
            measures = [summary[name] for name in ("rare_recall", "mca", "energy", "pointing_hit")]
            print(f"| {seed} | {model} | " + " | ".join(map(cell, measures)) + " |")
        test = results["rare_difference"]
        print(
            f"| {seed} | CARE against control | right only in CARE {test['second_only']}, only in the control "
            f"{test['first_only']}, of {test['n']}; p = {test['p']:.2f} | | | {results['seconds']:.0f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
