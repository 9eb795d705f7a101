//! DICOM in, whatever it was written by.

mod hostile;

use std::path::{Path, PathBuf};
use std::time::Instant;

use care_data::decode::{DecodeError, Picture, header, open};
use care_data::{GreyImage, ImageSize, Look, Window, Windowing};
use dicom_core::value::{DataSetSequence, PixelFragmentSequence};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use crate::test_data;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

/// The picture in a file of these bytes; that the header tells its size, or refuses what cannot be opened, is checked.
fn opened(bytes: &[u8]) -> Result<Picture, DecodeError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let picture = open(file.path())?;
    assert_eq!(header(bytes)?.size, picture.size());
    Ok(picture)
}

fn grey(bytes: &[u8]) -> GreyImage {
    match opened(bytes).unwrap() {
        Picture::Grey(image) => image,
        Picture::Colour(_) => panic!("a colour image"),
    }
}

fn values(image: &GreyImage) -> Vec<f64> {
    let size = image.size();
    (0..size.height)
        .flat_map(|y| (0..size.width).map(move |x| (x, y)))
        .map(|(x, y)| image.value(x, y).unwrap())
        .collect()
}

fn seen(bytes: &[u8], windowing: Windowing) -> Vec<u8> {
    let look = Look {
        windowing,
        invert: false,
    };
    let image = opened(bytes).unwrap().seen(&look);
    image.pixels().map(|pixel| pixel.0[0]).collect()
}

fn rgb(bytes: &[u8]) -> Vec<[u8; 3]> {
    match opened(bytes).unwrap() {
        Picture::Colour(image) => image.pixels().map(|pixel| pixel.0).collect(),
        Picture::Grey(_) => panic!("a grey image"),
    }
}

pub type Object = InMemDicomObject;

pub fn text(object: &mut Object, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

fn number(object: &mut Object, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

/// An image without pixels, of one row.
fn of_kind(photometric: &str, width: u16, allocated: u16, stored: u16) -> Object {
    let mut object = Object::new_empty();
    text(
        &mut object,
        tags::SOP_CLASS_UID,
        VR::UI,
        uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
    );
    text(&mut object, tags::SOP_INSTANCE_UID, VR::UI, "2.25.1");
    text(
        &mut object,
        tags::PHOTOMETRIC_INTERPRETATION,
        VR::CS,
        photometric,
    );
    let samples = if photometric.starts_with("MONO") || photometric.starts_with("PAL") {
        1
    } else {
        3
    };
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, samples),
        (tags::ROWS, 1),
        (tags::COLUMNS, width),
        (tags::BITS_ALLOCATED, allocated),
        (tags::BITS_STORED, stored),
        (tags::HIGH_BIT, stored - 1),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        number(&mut object, tag, value);
    }
    object
}

fn words(object: &mut Object, tag: Tag, words: &[u16]) {
    object.put(DataElement::new(
        tag,
        VR::OW,
        PrimitiveValue::U16(words.into()),
    ));
}

fn bytes(object: &mut Object, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    object.put(DataElement::new(
        tags::PIXEL_DATA,
        VR::OB,
        PrimitiveValue::U8(bytes.into()),
    ));
}

fn fragments(object: &mut Object, fragments: &[&[u8]]) {
    let fragments: Vec<Vec<u8>> = fragments.iter().map(|f| f.to_vec()).collect();
    let value = PixelFragmentSequence::new_fragments(fragments);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
}

fn item(object: &mut Object, tag: Tag, descriptor: [u16; 3], data: &[u16]) {
    let mut inner = Object::new_empty();
    words(&mut inner, tags::LUT_DATA, data);
    inner.put(DataElement::new(
        tags::LUT_DESCRIPTOR,
        VR::US,
        PrimitiveValue::U16(descriptor[..].into()),
    ));
    object.put(DataElement::new(
        tag,
        VR::SQ,
        DataSetSequence::from(vec![inner]),
    ));
}

/// A row of 16-bit greys.
fn row(stored: u16, pixels: &[u16]) -> Object {
    let mut object = of_kind("MONOCHROME2", pixels.len() as u16, 16, stored);
    words(&mut object, tags::PIXEL_DATA, pixels);
    object
}

pub fn file(object: &Object, syntax: &str) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(syntax)
        .media_storage_sop_class_uid(uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION)
        .media_storage_sop_instance_uid("2.25.1");
    let mut bytes = Vec::new();
    object
        .clone()
        .with_meta(meta)
        .unwrap()
        .write_all(&mut bytes)
        .unwrap();
    bytes
}

fn plain(object: &Object) -> Vec<u8> {
    file(object, uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

/// A small image with everything that a patient would not want to see elsewhere.
pub fn of_patient(id: &str, shade: u16) -> Object {
    let mut object = row(12, &[0, shade, 4095]);
    text(&mut object, tags::PATIENT_ID, VR::LO, id);
    text(&mut object, tags::PATIENT_NAME, VR::PN, "Planted^Name");
    text(&mut object, tags::PATIENT_BIRTH_DATE, VR::DA, "19010203");
    text(&mut object, tags::STUDY_DATE, VR::DA, "20010203");
    object
}

const NATIVE: [&str; 4] = [
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    // Explicit VR Big Endian, retired.
    "1.2.840.10008.1.2.2",
];

#[test]
fn uncompressed_values_are_kept() {
    for (stored, high, signed, pixels, expected) in [
        (
            16,
            15,
            0,
            [0, 1, 0x8000, 0xFFFF],
            [0.0, 1.0, 32768.0, 65535.0],
        ),
        (
            16,
            15,
            1,
            [0, 1, 0x8000, 0xFFFF],
            [0.0, 1.0, -32768.0, -1.0],
        ),
        // What stands above the value is none of it.
        (
            12,
            11,
            0,
            [0, 0xF001, 0x8800, 0x0FFF],
            [0.0, 1.0, 2048.0, 4095.0],
        ),
        (
            12,
            11,
            1,
            [0, 0xF001, 0x0800, 0xFFFF],
            [0.0, 1.0, -2048.0, -1.0],
        ),
        (
            12,
            15,
            0,
            [0, 0x001F, 0x8000, 0xFFF0],
            [0.0, 1.0, 2048.0, 4095.0],
        ),
        (9, 8, 1, [0, 1, 0x0100, 0x01FF], [0.0, 1.0, -256.0, -1.0]),
    ] {
        let mut object = row(stored, &pixels);
        number(&mut object, tags::HIGH_BIT, high);
        number(&mut object, tags::PIXEL_REPRESENTATION, signed);
        for syntax in NATIVE {
            assert_eq!(
                values(&grey(&file(&object, syntax))),
                expected,
                "{stored} {high} {signed} {syntax}"
            );
        }
    }
    let mut object = of_kind("MONOCHROME2", 5, 8, 8);
    bytes(&mut object, &[0, 1, 2, 254, 255]);
    for syntax in NATIVE {
        assert_eq!(
            seen(&file(&object, syntax), Windowing::File),
            [0, 1, 2, 254, 255],
            "{syntax}"
        );
    }
    // As words, which big endian turns.
    words(&mut object, tags::PIXEL_DATA, &[0x0100, 0xFE02, 0x00FF]);
    for syntax in NATIVE {
        assert_eq!(
            seen(&file(&object, syntax), Windowing::File),
            [0, 1, 2, 254, 255],
            "{syntax}"
        );
    }
}

#[test]
fn greys_go_through_their_tables_and_windows() {
    let pixels = [0, 100, 1100, 2100, 4095];
    let object = || row(12, &pixels);
    let with = |set: &dyn Fn(&mut Object)| {
        let mut object = object();
        set(&mut object);
        plain(&object)
    };
    let ds = |object: &mut Object, tag, value: &str| text(object, tag, VR::DS, value);

    let rescaled = with(&|it| {
        ds(it, tags::RESCALE_SLOPE, "2");
        ds(it, tags::RESCALE_INTERCEPT, " -1024 ");
        text(it, tags::RESCALE_TYPE, VR::LO, "HU");
        ds(it, tags::WINDOW_CENTER, "76\\40");
        ds(it, tags::WINDOW_WIDTH, "2001\\400");
    });
    let image = grey(&rescaled);
    assert_eq!(values(&image), [-1024.0, -824.0, 1176.0, 3176.0, 7166.0]);
    assert!(image.is_hounsfield());
    let first = Window {
        center: 76.0,
        width: 2001.0,
    };
    assert_eq!(image.window(Windowing::File), Some(first));
    assert_eq!(seen(&rescaled, Windowing::File), [0, 12, 255, 255, 255]);

    let exact = with(&|it| {
        ds(it, tags::WINDOW_CENTER, "1100");
        ds(it, tags::WINDOW_WIDTH, "2000");
        text(it, tags::VOILUT_FUNCTION, VR::CS, "LINEAR_EXACT");
    });
    assert_eq!(seen(&exact, Windowing::File), [0, 0, 128, 255, 255]);
    let sigmoid = with(&|it| {
        ds(it, tags::WINDOW_CENTER, "1100");
        ds(it, tags::WINDOW_WIDTH, "4000");
        text(it, tags::VOILUT_FUNCTION, VR::CS, "SIGMOID");
    });
    assert_eq!(seen(&sigmoid, Windowing::File), [63, 68, 128, 187, 243]);

    // The tables come first, whatever window stands beside them.
    let tables = with(&|it| {
        item(it, tags::MODALITY_LUT_SEQUENCE, [3, 99, 16], &[10, 20, 30]);
        item(it, tags::VOILUT_SEQUENCE, [3, 10, 8], &[0, 51, 255]);
        ds(it, tags::WINDOW_CENTER, "1");
        ds(it, tags::WINDOW_WIDTH, "1");
        ds(it, tags::RESCALE_SLOPE, "9");
    });
    let image = grey(&tables);
    assert_eq!(values(&image), [10.0, 20.0, 30.0, 30.0, 30.0]);
    assert_eq!(image.window(Windowing::File), None);
    assert_eq!(seen(&tables, Windowing::File), [0, 255, 255, 255, 255]);
    let signed = with(&|it| {
        item(
            it,
            tags::VOILUT_SEQUENCE,
            [3, (-1_i16).cast_unsigned(), 8],
            &[0, 51, 255],
        );
        ds(it, tags::RESCALE_SLOPE, "0.01");
        ds(it, tags::RESCALE_INTERCEPT, "-1");
    });
    assert_eq!(seen(&signed, Windowing::File), [0, 51, 255, 255, 255]);

    // Without a window: from the 1st to the 99th percentile, the padding left out.
    let padded = with(&|it| number(it, tags::PIXEL_PADDING_VALUE, 0));
    let auto = Window::from_range(100.0, 4095.0);
    assert_eq!(grey(&padded).window(Windowing::File), Some(auto));

    // White is low, in either way of saying so, and once where both say it.
    for (photometric, shape, first) in [
        ("MONOCHROME2", None, 0),
        ("MONOCHROME2", Some("IDENTITY"), 0),
        ("MONOCHROME2", Some("INVERSE"), 255),
        ("MONOCHROME1", None, 255),
        ("MONOCHROME1", Some("INVERSE"), 255),
    ] {
        let bytes = with(&|it| {
            text(it, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric);
            if let Some(shape) = shape {
                text(it, tags::PRESENTATION_LUT_SHAPE, VR::CS, shape);
            }
        });
        assert_eq!(
            seen(&bytes, Windowing::Full)[0],
            first,
            "{photometric} {shape:?}"
        );
    }
}

#[test]
fn colours_are_as_they_are_shown() {
    let expected = [[255, 0, 0], [0, 255, 0], [10, 20, 30], [40, 50, 60]];
    let flat: Vec<u8> = expected.concat();
    let planes: Vec<u8> = (0..3)
        .flat_map(|c| expected.map(|pixel| pixel[c]))
        .collect();
    for (planar, stream) in [(0, &flat), (1, &planes)] {
        let mut object = of_kind("RGB", 4, 8, 8);
        number(&mut object, tags::PLANAR_CONFIGURATION, planar);
        // A window means nothing here.
        text(&mut object, tags::WINDOW_CENTER, VR::DS, "1");
        text(&mut object, tags::WINDOW_WIDTH, VR::DS, "1");
        bytes(&mut object, stream);
        for syntax in NATIVE {
            assert_eq!(rgb(&file(&object, syntax)), expected, "{planar} {syntax}");
        }
        let of_16_bits: Vec<u16> = stream.iter().map(|v| u16::from(*v) << 8 | 0xFF).collect();
        for (tag, value) in [
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 16),
            (tags::HIGH_BIT, 15),
        ] {
            number(&mut object, tag, value);
        }
        words(&mut object, tags::PIXEL_DATA, &of_16_bits);
        assert_eq!(rgb(&plain(&object)), expected);
    }

    // Red, and grey, by PS3.3, C.7.6.3.1.2.
    for (photometric, stream, expected) in [
        (
            "YBR_FULL",
            &[76, 85, 255, 128, 128, 128][..],
            [[254, 0, 0], [128; 3]],
        ),
        ("YBR_FULL_422", &[76, 76, 85, 255], [[254, 0, 0]; 2]),
        ("YBR_PARTIAL_422", &[16, 235, 128, 128], [[0; 3], [255; 3]]),
    ] {
        let mut object = of_kind(photometric, 2, 8, 8);
        bytes(&mut object, stream);
        assert_eq!(rgb(&plain(&object)), expected, "{photometric}");
    }

    for (bits, scale) in [(8, 1), (16, 257)] {
        let mut object = of_kind("PALETTE COLOR", 4, 8, 8);
        bytes(&mut object, &[0, 7, 8, 255]);
        for (i, (descriptor, data)) in [
            (
                tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
                tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            ),
            (
                tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
                tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            ),
            (
                tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
                tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let shade = 50 * i as u16;
            object.put(DataElement::new(
                descriptor,
                VR::US,
                PrimitiveValue::U16([2, 7, bits][..].into()),
            ));
            words(&mut object, data, &[shade * scale, (shade + 100) * scale]);
        }
        assert_eq!(
            rgb(&plain(&object)),
            [[0, 50, 100], [0, 50, 100], [100, 150, 200], [100, 150, 200]],
            "{bits}"
        );
    }
}

/// A frame as annex G of PS3.5 writes it: `segments` in runs of one byte, and literally.
fn run_lengths(segments: &[Vec<u8>]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut head = vec![segments.len() as u32];
    for segment in segments {
        head.push(64 + packed.len() as u32);
        for run in segment.chunk_by(|a, b| a == b) {
            match run {
                [one] => packed.extend([0, *one]),
                run => packed.extend([(257 - run.len()) as u8, run[0]]),
            }
        }
        // Means nothing.
        packed.push(128);
        packed.resize(packed.len().next_multiple_of(2), 128);
    }
    head.resize(16, 0);
    head.iter()
        .flat_map(|word| word.to_le_bytes())
        .chain(packed)
        .collect()
}

#[test]
fn run_lengths_are_unpacked() {
    let pixels = [0x0102, 0x0102, 0x0102, 0xFF03, 0x0003];
    let segments = [8, 0].map(|shift| pixels.iter().map(|v| (v >> shift) as u8).collect());
    let stream = run_lengths(&segments);
    let mut object = row(16, &pixels);
    fragments(&mut object, &[&stream]);
    let whole = file(&object, uids::RLE_LOSSLESS);
    let expected = pixels.map(f64::from);
    assert_eq!(values(&grey(&whole)), expected);
    // A frame may come in several fragments.
    let (one, other) = stream.split_at(70);
    fragments(&mut object, &[one, other]);
    assert_eq!(values(&grey(&file(&object, uids::RLE_LOSSLESS))), expected);

    let mut object = of_kind("RGB", 2, 8, 8);
    fragments(
        &mut object,
        &[&run_lengths(&[vec![1, 1], vec![2, 3], vec![4, 5]])],
    );
    assert_eq!(
        rgb(&file(&object, uids::RLE_LOSSLESS)),
        [[1, 2, 4], [1, 3, 5]]
    );
}

/// As other programs wrote them (scripts/dicom_fixtures.py): the values that are in them, and how far ours may be off.
#[test]
fn every_encoding_gives_its_values() {
    for (name, tolerance) in [
        ("jpeg-baseline", 1),
        ("jpeg-colour", 2),
        ("jpeg-rgb", 1),
        ("jpeg-extended-12", 1),
        ("jpeg-lossless-1", 0),
        ("jpeg-lossless-2", 0),
        ("jpeg-lossless-3", 0),
        ("jpeg-lossless-4", 0),
        ("jpeg-lossless-5", 0),
        ("jpeg-lossless-6", 0),
        ("jpeg-lossless-7", 0),
        ("jpeg-lossless-sv1", 0),
        ("jpeg-lossless-rgb", 0),
        ("jpeg-ls-8", 0),
        ("jpeg-ls-12", 0),
        ("jpeg-ls-16", 0),
        ("jpeg-ls-near", 0),
        ("jpeg-2000-8", 0),
        ("jpeg-2000-12", 0),
        ("jpeg-2000-16", 0),
        ("jpeg-2000-signed", 0),
        ("jpeg-2000-rgb", 0),
        ("jpeg-2000-lossy", 1),
    ] {
        let read =
            |ending: &str| std::fs::read(fixtures().join(format!("{name}.{ending}"))).unwrap();
        let found: Vec<i32> = match opened(&read("dcm")).unwrap() {
            Picture::Grey(image) => values(&image).into_iter().map(|v| v as i32).collect(),
            Picture::Colour(image) => image.into_raw().into_iter().map(i32::from).collect(),
        };
        let is_signed = name.ends_with("signed");
        let raw = read("raw");
        let expected = raw.as_chunks::<2>().0.iter().map(|pair| {
            if is_signed {
                i16::from_le_bytes(*pair).into()
            } else {
                i32::from(u16::from_le_bytes(*pair))
            }
        });
        assert_eq!(found.len(), expected.len(), "{name}");
        let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).max();
        assert!(off <= Some(tolerance), "{name}: off by {off:?}");
    }
}

#[test]
fn a_preamble_is_not_needed() {
    let object = row(12, &[5, 6, 4095]);
    let with_meta = plain(&object)[128 + 4..].to_vec();
    let [explicit, implicit] = [
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
    ]
    .map(|syntax| {
        let file = file(&object, syntax);
        file[file.len() - data_set_length(&file)..].to_vec()
    });
    for bytes in [with_meta, explicit, implicit] {
        assert_eq!(values(&grey(&bytes)), [5.0, 6.0, 4095.0]);
    }
}

/// How many bytes follow the meta information.
fn data_set_length(file: &[u8]) -> usize {
    let length = u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
    file.len() - 144 - length
}

#[test]
fn files_of_real_encoders_open() {
    let Some(folder) = test_data("dicom") else {
        return;
    };
    for (name, width, height) in [
        ("JPLL_RG3_JPLL", 1760, 1760),
        ("RG1_J2KR", 1841, 1955),
        ("RLE_RG3_RLE", 1760, 1760),
        ("rsna_like_mono1", 1024, 1024),
        ("rsna_like_mono2", 1024, 1024),
    ] {
        let bytes = std::fs::read(folder.join(format!("{name}.dcm"))).unwrap();
        let start = Instant::now();
        let size = opened(&bytes).unwrap().size();
        eprintln!("{name}: {size:?} in {:.0?}", start.elapsed());
        assert_eq!(size, ImageSize::new(width, height), "{name}");
    }
    let seen = |name: &str| {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        opened(&bytes).unwrap().seen(&Look::default())
    };
    // The very same values, said to be white where they are low, and the same picture in two encodings.
    let (inverse, upright) = (seen("rsna_like_mono1.dcm"), seen("rsna_like_mono2.dcm"));
    let is_inverse = inverse
        .iter()
        .zip(upright.iter())
        .all(|(a, b)| *a == 255 - b);
    assert!(is_inverse, "MONOCHROME1 is the negative of MONOCHROME2");
    assert!(seen("JPLL_RG3_JPLL.dcm") == seen("RLE_RG3_RLE.dcm"));
    // Bone is white and air black in a radiograph of white that is low: the shank's tibia, and beside the shank.
    let shank = seen("RLE_RG3_RLE.dcm");
    let at = |x: u32, y: u32| shank.get_pixel(x, y).0[0];
    assert!(
        at(860, 500) > at(500, 500) + 100,
        "{} {}",
        at(860, 500),
        at(500, 500)
    );
}
