#!/usr/bin/env python3
"""Small DICOM and JPEG files as other programs write them, with the pixels that are in them.

    python3 -m venv DIR
    DIR/bin/pip install pydicom==3.0.2 pylibjpeg==2.1.0 pylibjpeg-libjpeg==2.5.0 pylibjpeg-openjpeg==2.6.0 \\
        pyjpegls==1.5.1 imagecodecs==2026.3.6 pillow==13.0.0 numpy==2.4.6
    DIR/bin/python scripts/dicom_fixtures.py      # writes crates/care-data/tests/fixtures/images

Beside each NAME.dcm stands NAME.raw: the stored values, 16 bits each, little endian, pixel by pixel. They are what was
encoded where the encoding loses nothing, and what pydicom decodes otherwise; that pydicom decodes the former too is checked.
Beside each NAME.jpg stands NAME.rgb: what Pillow makes of it, 8-bit RGB.
"""

import io
import pathlib

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.uid import UID

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "crates/care-data/tests/fixtures/images"
# Neither square nor a multiple of a block, and odd.
HEIGHT, WIDTH = 13, 21
ROOT = "1.2.840.10008.1.2.4."


def grey(bits: int, signed: bool = False) -> np.ndarray:
    """A gradient over all values, a flat corner for run modes, and noise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = (x * 7919 + y * 104729 + x * y * 31) * (2**bits) // 300000 + x * y * 5
    values[:5, :9] = 3
    values = values % 2**bits
    if signed:
        return (values - 2 ** (bits - 1)).astype(np.int16)
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def smooth(bits: int) -> np.ndarray:
    """For encodings that lose something: little of it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = (x * 3 + y * 2) * (2**bits - 1) // (3 * WIDTH + 2 * HEIGHT)
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def colour() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 12, y * 19, 255 - x * 6 - y * 9], axis=-1).astype(np.uint8)


def write(name, syntax, stream, pixels, *, bits, signed=False, photometric="MONOCHROME2", lossless=True):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(ROOT + syntax)
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = photometric
    data.BitsAllocated = 8 if bits <= 8 else 16
    data.BitsStored, data.HighBit = bits, bits - 1
    data.PixelRepresentation = int(signed)
    data.PixelData = encapsulate([bytes(stream)])
    data["PixelData"].is_undefined_length = True
    file = FOLDER / f"{name}.dcm"
    data.save_as(file, enforce_file_format=True)

    decoded = dcmread(file)
    found = decoded.pixel_array
    if lossless:
        assert np.array_equal(found, pixels), name
    else:
        off = np.abs(found.astype(int) - pixels.astype(int)).max()
        assert off <= 2 ** (bits - 4), (name, off)
        pixels = found
    (FOLDER / f"{name}.raw").write_bytes(pixels.astype("<i2" if signed else "<u2").tobytes())


def jpeg(pixels, **options) -> bytes:
    return imagecodecs.jpeg8_encode(pixels, **options)


def pillow(pixels, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=92, **options)
    return out.getvalue()


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()

    write("jpeg-baseline", "50", pillow(smooth(8)), smooth(8), bits=8, lossless=False)
    stream = pillow(colour(), subsampling=0)
    write("jpeg-colour", "50", stream, colour(), bits=8, photometric="YBR_FULL", lossless=False)
    stream = jpeg(colour(), level=95, colorspace="RGB", outcolorspace="RGB")
    write("jpeg-rgb", "50", stream, colour(), bits=8, photometric="RGB", lossless=False)
    stream = jpeg(smooth(12), level=95, bitspersample=12)
    write("jpeg-extended-12", "51", stream, smooth(12), bits=12, lossless=False)
    for predictor in range(1, 8):
        bits = 16 if predictor % 2 else 12
        stream = jpeg(grey(bits), lossless=True, predictor=predictor, bitspersample=bits)
        write(f"jpeg-lossless-{predictor}", "57", stream, grey(bits), bits=bits)
    stream = jpeg(grey(8), lossless=True, predictor=1, bitspersample=8)
    write("jpeg-lossless-sv1", "70", stream, grey(8), bits=8)
    stream = jpeg(colour(), lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB")
    write("jpeg-lossless-rgb", "70", stream, colour(), bits=8, photometric="RGB")

    for bits in (8, 12, 16):
        write(f"jpeg-ls-{bits}", "80", imagecodecs.jpegls_encode(grey(bits)), grey(bits), bits=bits)
    write("jpeg-ls-near", "81", imagecodecs.jpegls_encode(grey(12), level=3), grey(12), bits=12, lossless=False)
    write("jpeg-ls-rgb", "80", imagecodecs.jpegls_encode(colour()), colour(), bits=8, photometric="RGB")

    def jpeg_2000(pixels, level=0, **options):
        options = {"codecformat": "j2k", "reversible": level == 0, "resolutions": 3} | options
        return imagecodecs.jpeg2k_encode(pixels, level=level, **options)

    for bits in (8, 12, 16):
        write(f"jpeg-2000-{bits}", "90", jpeg_2000(grey(bits), bitspersample=bits), grey(bits), bits=bits)
    write("jpeg-2000-signed", "90", jpeg_2000(grey(16, True)), grey(16, True), bits=16, signed=True)
    write("jpeg-2000-rgb", "90", jpeg_2000(colour()), colour(), bits=8, photometric="YBR_RCT")
    write("jpeg-2000-lossy", "91", jpeg_2000(smooth(12), level=60, bitspersample=12), smooth(12), bits=12, lossless=False)

    cmyk = Image.fromarray(np.concatenate([colour(), (colour()[..., :1] // 3)], axis=-1), "CMYK")
    for name, picture, options in [
        ("cmyk", cmyk, {}),
        ("grey", Image.fromarray(smooth(8)), {}),
    ]:
        picture.save(FOLDER / f"{name}.jpg", "JPEG", quality=95, **options)
        found = Image.open(FOLDER / f"{name}.jpg").convert("RGB")
        (FOLDER / f"{name}.rgb").write_bytes(found.tobytes())
    # Pillow writes no YCCK; libjpeg does.
    inverted = 255 - np.asarray(cmyk)
    stream = imagecodecs.jpeg8_encode(inverted, level=95, colorspace="CMYK", outcolorspace="YCCK")
    (FOLDER / "ycck.jpg").write_bytes(stream)
    (FOLDER / "ycck.rgb").write_bytes(Image.open(io.BytesIO(stream)).convert("RGB").tobytes())


if __name__ == "__main__":
    main()
