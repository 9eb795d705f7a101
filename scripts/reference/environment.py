"""Python with the pinned packages that the scripts here need, in a virtual environment of its own where they are missing."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys

PACKAGES = {
    "torch": "2.11.0",
    "torchvision": "0.26.0",
    "efficientnet-lite-pytorch": "0.1.0",
    "grad-cam": "1.5.7",
    "numpy": "2.3.5",
}
ROOT = pathlib.Path(__file__).resolve().parents[2]


def packages_are_here() -> bool:
    try:
        return all(importlib.metadata.version(name).split("+")[0] == version for name, version in PACKAGES.items())
    except importlib.metadata.PackageNotFoundError:
        return False


def enter() -> None:
    """Goes on in target/reference (several GB, made the first time) where this Python has not what is needed."""
    if packages_are_here():
        return
    environment = ROOT / "target" / "reference"
    python = environment / "bin" / "python"
    pinned = [f"{name}=={version}" for name, version in PACKAGES.items()]
    if pathlib.Path(sys.prefix) == environment:
        # Made for fewer packages, or other versions.
        subprocess.run([python, "-m", "pip", "install", "--quiet", *pinned], check=True)
        if not packages_are_here():
            sys.exit(f"{environment} cannot be brought to {PACKAGES}. Delete it and try again.")
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    os.execv(python, [python, *sys.argv])
