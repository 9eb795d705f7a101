#!/usr/bin/env python3
"""A demo over several seeds, one after another, against its bar. Exits with 1 where the bar is missed.

    cargo build && python3 scripts/demo_bar.py [--chest] [SEED...]      # seeds 0 to 4 where none is given
"""

import json
import pathlib
import statistics
import subprocess
import sys

CARE = pathlib.Path(__file__).parent.parent / "target" / "debug" / "care"
MEASURES = ["rare_recall", "mca", "energy_in_box", "pointing_hit"]
# Median gain of CARE over its control; seconds are an upper bound for the slowest seed.
BAR = {"rare_recall": 0.20, "mca": 0.0, "energy_in_box": 0.20}
SECONDS = 180


def main() -> int:
    arguments = sys.argv[1:]
    which = ["--chest"] if "--chest" in arguments else []
    seeds = [int(seed) for seed in arguments if seed != "--chest"] or range(5)
    gains = {measure: [] for measure in MEASURES}
    slowest = 0.0
    print("seed  " + "  ".join(f"{measure:>16}" for measure in MEASURES) + "  seconds")
    for seed in seeds:
        command = [CARE, "demo", *which, "--headless", "--seed", str(seed), "--json"]
        report = json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        )
        cells = []
        for measure in MEASURES:
            stage1, control, care = (report[model][measure] for model in ("stage1", "control", "care"))
            gains[measure].append(care - control)
            cells.append(f"{stage1:.2f} {control:.2f} {care:.2f}")
        slowest = max(slowest, report["seconds"])
        print(f"{seed:>4}  " + "  ".join(f"{cell:>16}" for cell in cells) + f"  {report['seconds']:7.0f}", flush=True)
    medians = {measure: statistics.median(of_seed) for measure, of_seed in gains.items()}
    print("median gain of CARE over control: " + ", ".join(f"{m} {v:+.3f}" for m, v in medians.items()))
    missed = [measure for measure, least in BAR.items() if medians[measure] < least]
    if slowest > SECONDS:
        missed.append(f"seconds ({slowest:.0f})")
    print("the bar is missed in " + ", ".join(missed) if missed else "the bar is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
