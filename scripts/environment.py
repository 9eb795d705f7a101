"""The Python that the scripts here run in: these packages in these very versions.

`enter()` goes on in this interpreter where it has them, and otherwise in a virtual environment of their own
(target/reference, several GB), which is made where it is missing.
"""

import importlib
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
    "pillow": "13.0.0",
}
ROOT = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / "target" / "reference"


def has_packages() -> bool:
    try:
        return all(importlib.metadata.version(name).split("+")[0] == version for name, version in PACKAGES.items())
    except importlib.metadata.PackageNotFoundError:
        return False


def enter() -> None:
    """Before the first import of a package."""
    if has_packages():
        return
    if pathlib.Path(sys.prefix) != ENVIRONMENT:
        python = ENVIRONMENT / "bin" / "python"
        if not python.exists():
            run(sys.executable, "-m", "venv", ENVIRONMENT)
        os.execv(python, [python, *sys.argv])
    pinned = [f"{name}=={version}" for name, version in PACKAGES.items()]
    print(f"Installing into {ENVIRONMENT}: {' '.join(pinned)}", file=sys.stderr)
    run(sys.executable, "-m", "pip", "install", "--quiet", *pinned)
    importlib.invalidate_caches()
    if not has_packages():
        sys.exit(f"{ENVIRONMENT} has other versions than {PACKAGES}. Delete it and try again.")


def run(*command) -> None:
    # Standard output is the scripts' own.
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        sys.exit(f"{ENVIRONMENT} could not be made")
