#!/usr/bin/env python3
"""What `care export --format coco` writes, read by pycocotools: images, classes and boxes are those of the project, and measured
against themselves they are found to be the same. Ends with 1 where something is not.

    cargo build && python3 scripts/coco.py [CARE]

CARE is the program, target/debug/care where it is not given.
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

import environment

environment.enter({"pycocotools": "2.0.11", "numpy": "2.4.6"}, "coco")

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

CARE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else environment.ROOT / "target" / "debug" / "care").resolve()
WIDTH, HEIGHT = 90, 60
# Of each image its class and its boxes, x, y, width, height: whole, fractional, several, up to the edge, none.
IMAGES = {
    "a 1": ("nævus", [(0, 0, 90, 60)]),
    "b": ("nævus", [(1.5, 2.25, 30.125, 10), (40, 30, 50, 30)]),
    "c": ("df & co", [(10, 10, 1, 1)]),
    "d": ("df & co", []),
}


def png(shade: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = (b"\0" + bytes((x * 2 + y + shade) % 256 for x in range(WIDTH)) for y in range(HEIGHT))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")


def care(folder: pathlib.Path, *arguments: str) -> str:
    return subprocess.run([CARE, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        lines = ["image_id,x,y,width,height"]
        for shade, (name, (label, boxes)) in enumerate(IMAGES.items()):
            (folder / "images" / label).mkdir(parents=True, exist_ok=True)
            (folder / "images" / label / f"{name}.png").write_bytes(png(shade * 40))
            lines += [",".join(map(str, (name, *box))) for box in boxes]
        (folder / "images" / "boxes.csv").write_text("\n".join(lines) + "\n")
        care(folder, "import", "p.care", "images")
        (folder / "out").mkdir()
        care(folder, "export", "p.care", "--format", "coco", "--out", "out/boxes.json")
        file = folder / "out" / "boxes.json"
        coco = COCO(file)
        labels = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
        found = {}
        for image in coco.loadImgs(coco.getImgIds()):
            path = (file.parent / image["file_name"]).resolve()
            assert path.is_file(), path
            assert (image["width"], image["height"]) == (WIDTH, HEIGHT), image
            boxes = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
            assert {labels[box["category_id"]] for box in boxes} <= {path.parent.name}, boxes
            found[path.stem] = (path.parent.name, [tuple(box["bbox"]) for box in boxes])
        assert found == IMAGES, found

        sure = [{**box, "score": 1.0} for box in json.loads(file.read_text())["annotations"]]
        results = COCOeval(coco, coco.loadRes(sure), "bbox")
        results.evaluate()
        results.accumulate()
        results.summarize()
        assert results.stats[0] > 0.999, results.stats
    print(f"{len(IMAGES)} images and their boxes, as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
