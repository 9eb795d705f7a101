# /// script
# requires-python = ">=3.10"
# dependencies = ["brotli==1.2.1", "fonttools==4.68.0", "resvg-py==0.5.0", "uharfbuzz==0.57.0"]
# ///
"""Make the fonts and the icon from their sources; see README.md beside this file."""

import argparse
import io
import itertools
import re
import tarfile
from pathlib import Path

import resvg_py
import uharfbuzz
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

ASSETS = Path(__file__).resolve().parent
FONTS = ASSETS / "fonts"
ICONS_RS = ASSETS.parent / "src/ui/icons.rs"

FAMILY = "CARE Sans"
WEIGHTS = ["Regular", "Medium", "SemiBold"]
FIGURES = "0123456789"
# Signs that stand among figures. Hyphen, space, stops and brackets stand in words too and keep their own widths.
SIGNS = "+\u2212±×÷<>=≤≥≈≠"
CHARACTERS = [
    *range(0x0020, 0x007F),  # Latin
    *range(0x00A0, 0x0180),  # Latin-1, Latin Extended-A
    *range(0x0218, 0x021C),  # Romanian
    *range(0x02C6, 0x02DE),  # spacing accents
    *range(0x0300, 0x0329),  # combining accents: file names may come decomposed
    *range(0x0370, 0x0400),  # Greek
    *range(0x2000, 0x2070),  # general punctuation
    *range(0x2070, 0x20A0),  # superscripts and subscripts
    *(0x20AC, 0x2122, 0x25CC, 0xFFFD),  # euro, trade mark, dotted circle, replacement
    *range(0x2190, 0x2200),  # arrows
    *range(0x2200, 0x2270),  # mathematical operators
]


def read(package: Path, member: str) -> bytes:
    """One file of an npm package."""
    with tarfile.open(package) as archive:
        return archive.extractfile(f"package/{member}").read()


def subset(data: bytes, characters: list[int], features: list[str]) -> TTFont:
    """The font with these characters and these OpenType features only."""
    font = TTFont(io.BytesIO(data), recalcTimestamp=False)
    font.flavor = None
    names = [0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 13, 14]  # not 7, a trademark in the name we take away
    options = Options(layout_features=features, hinting=False, notdef_outline=True, name_IDs=names)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    return font


def freeze_tabular(data: bytes) -> bytes:
    """The font with `tnum`'s figures and signs as its ordinary ones, for egui cannot ask for a feature."""
    font = TTFont(io.BytesIO(data), recalcTimestamp=False)
    gsub = font["GSUB"].table
    lookups = {i for r in gsub.FeatureList.FeatureRecord if r.FeatureTag == "tnum" for i in r.Feature.LookupListIndex}
    tabular = {}
    for lookup in (gsub.LookupList.Lookup[i] for i in lookups):
        for subtable in lookup.SubTable:
            tabular |= getattr(subtable, "ExtSubTable", subtable).mapping
    for table in font["cmap"].tables:
        for character in map(ord, FIGURES + SIGNS):
            glyph = table.cmap[character]
            table.cmap[character] = tabular.get(glyph, glyph)  # tables may share one dictionary
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()


def rename(font: TTFont, weight: str) -> None:
    """Our own family name, as a changed font of the Open Font License should have."""
    family = FAMILY if weight == "Regular" else f"{FAMILY} {weight}"
    names = {1: family, 2: "Regular", 3: f"CARE Studio; {FAMILY} {weight}", 4: f"{FAMILY} {weight}"}
    names |= {6: f"{FAMILY.replace(' ', '')}-{weight}", 16: FAMILY, 17: weight}
    for name_id, text in names.items():
        font["name"].setName(text, name_id, 3, 1, 0x409)


def check_tabular(data: bytes) -> None:
    """Every figure and sign has one width, and no neighbour changes it."""
    font = uharfbuzz.Font(uharfbuzz.Face(data))

    def width(text: str) -> int:
        buffer = uharfbuzz.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        uharfbuzz.shape(font, buffer)
        return sum(position.x_advance for position in buffer.glyph_positions)

    one = width("0")
    assert {width(c) for c in FIGURES + SIGNS} == {one}, "figures and signs of different widths"
    assert {width(a + b) for a, b in itertools.product(FIGURES + SIGNS, repeat=2)} == {2 * one}, "kerned figures"
    for mark in ".,:/%–\u2009":
        widths = {width(a + mark + b) for a, b in itertools.product(FIGURES, FIGURES)}
        assert len(widths) == 1, f"figures kerned against {mark!r}"


def inter(package: Path) -> None:
    for weight in WEIGHTS:
        frozen = freeze_tabular(read(package, f"web/Inter-{weight}.woff2"))
        # Without calt: it turns "4x4" and "->" in a file's name into signs that are not there.
        font = subset(frozen, CHARACTERS, ["ccmp", "locl", "kern", "mark", "mkmk"])
        rename(font, weight)
        path = FONTS / f"CareSans-{weight}.ttf"
        font.save(path)
        check_tabular(path.read_bytes())
    (FONTS / "CareSans-OFL.txt").write_bytes(read(package, "LICENSE.txt"))


def phosphor(package: Path) -> None:
    """The glyphs that icons.rs names, each checked to be the one that Phosphor gives that name."""
    named = re.findall(r'pub const (\w+): &str = "\\u\{(\w+)\}";', ICONS_RS.read_text("utf-8"))
    for style, prefix in {"regular": "ph", "fill": "ph-fill"}.items():
        stem = "Phosphor" if style == "regular" else "Phosphor-Fill"
        css = read(package, f"src/{style}/style.css").decode()
        known = dict(re.findall(rf'\.{prefix}\.ph-([a-z0-9-]+):before {{\s*content: "\\(\w+)"', css))
        for name, code in named:
            assert known[name.lower().replace("_", "-")] == code, f"{name} is not {code}"
        font = subset(read(package, f"src/{style}/{stem}.ttf"), [int(code, 16) for _, code in named], [])
        glyphs, characters = font.getGlyphSet(), font.getBestCmap()
        for name, code in named:
            pen = DecomposingRecordingPen(glyphs)
            glyphs[characters[int(code, 16)]].draw(pen)
            assert pen.value, f"{name} is empty in {stem}"
        font.save(FONTS / f"{stem.lower()}.ttf")
    (FONTS / "phosphor-MIT.txt").write_bytes(read(package, "LICENSE"))


def icon() -> None:
    png = resvg_py.svg_to_bytes(svg_path=str(ASSETS / "icon.svg"), width=256, height=256)
    (ASSETS / "icon.png").write_bytes(bytes(png))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inter", type=Path, help="inter-ui-4.1.1.tgz")
    parser.add_argument("phosphor", type=Path, help="phosphor-icons-web-2.1.2.tgz")
    arguments = parser.parse_args()
    inter(arguments.inter)
    phosphor(arguments.phosphor)
    icon()


if __name__ == "__main__":
    main()
