"""The Python that the scripts here run in: these packages in these very versions.

`enter()` goes on in this interpreter where it has them, and otherwise in a virtual environment of their own
(target/reference, several GB), which is made where it is missing. A script that needs others names them, and the folder
below target/ for theirs.
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


def has(packages: dict[str, str]) -> bool:
    try:
        return all(importlib.metadata.version(name).split("+")[0] == version for name, version in packages.items())
    except importlib.metadata.PackageNotFoundError:
        return False


def enter(packages: dict[str, str] = PACKAGES, folder: str = "reference") -> None:
    """Before the first import of a package."""
    if has(packages):
        return
    environment = ROOT / "target" / folder
    if pathlib.Path(sys.prefix) != environment:
        python = environment / "bin" / "python"
        if not python.exists():
            run(environment, sys.executable, "-m", "venv", environment)
        os.execv(python, [python, *sys.argv])
    pinned = [f"{name}=={version}" for name, version in packages.items()]
    print(f"Installing into {environment}: {' '.join(pinned)}", file=sys.stderr)
    run(environment, sys.executable, "-m", "pip", "install", "--quiet", *pinned)
    importlib.invalidate_caches()
    if not has(packages):
        sys.exit(f"{environment} has other versions than {packages}. Delete it and try again.")


def run(environment: pathlib.Path, *command) -> None:
    # Standard output is the scripts' own.
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        sys.exit(f"{environment} could not be made")
