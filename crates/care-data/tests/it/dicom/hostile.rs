//! Files that are damaged, cut off, made to do harm, or of a kind that cannot be shown.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use care_data::decode::{DecodeError, MAX_PIXELS, header};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use proptest::prelude::*;

use super::{
    NATIVE, Object, data_set_length, file, fixtures, fragments, grey, item, number, of_kind,
    opened, plain, row, text, values,
};
use crate::test_data;

#[test]
fn what_cannot_be_shown_is_refused_with_its_reason() {
    let with = |set: &dyn Fn(&mut Object)| {
        let mut object = row(12, &[1, 2, 3]);
        set(&mut object);
        object
    };
    let fixture = |name: &str| std::fs::read(fixtures().join(name)).unwrap();
    let mut mpeg = row(12, &[1, 2, 3]);
    fragments(&mut mpeg, &[&[1; 8]]);
    let cut = plain(&row(12, &[1, 2, 3]));
    let mut unknown = cut.clone();
    let at = unknown
        .windows(20)
        .position(|w| w == b"1.2.840.10008.1.2.1\0")
        .unwrap();
    unknown[at..at + 19].copy_from_slice(b"1.2.999.Planted^Nam");
    for (what, bytes, reason) in [
        (
            "frames",
            plain(&with(&|it| text(it, tags::NUMBER_OF_FRAMES, VR::IS, "30"))),
            "It has 30 frames",
        ),
        (
            "one bit",
            plain(&with(&|it| number(it, tags::BITS_ALLOCATED, 1))),
            "This kind of image is not supported: DICOM with 1 bits",
        ),
        (
            "32 bits",
            plain(&with(&|it| number(it, tags::BITS_ALLOCATED, 32))),
            "This kind of image is not supported: DICOM with 32 bits",
        ),
        (
            "bits",
            plain(&with(&|it| number(it, tags::BITS_STORED, 17))),
            "The file is damaged: its bits do not fit",
        ),
        (
            "no bits",
            plain(&with(&|it| number(it, tags::BITS_STORED, 0))),
            "The file is damaged: its bits do not fit",
        ),
        (
            "high bit",
            plain(&with(&|it| number(it, tags::HIGH_BIT, 65535))),
            "The file is damaged: its bits do not fit",
        ),
        (
            "samples",
            plain(&with(&|it| number(it, tags::SAMPLES_PER_PIXEL, 3))),
            "The file is damaged: its number of samples",
        ),
        (
            "rows",
            plain(&with(&|it| number(it, tags::ROWS, 0))),
            "The file is damaged: it has no rows",
        ),
        (
            "more rows",
            plain(&with(&|it| number(it, tags::ROWS, 2))),
            "The file is damaged: it has fewer pixels",
        ),
        (
            "65,535 squared",
            plain(&with(&|it| {
                number(it, tags::ROWS, 65535);
                number(it, tags::COLUMNS, 65535);
            })),
            "It has 4294 million pixels",
        ),
        (
            "kind",
            plain(&with(&|it| {
                text(it, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PLANTED NAME")
            })),
            "This kind of image is not supported: DICOM with colours of an unknown kind.",
        ),
        (
            "no kind",
            plain(&with(&|it| {
                it.remove_element(tags::PHOTOMETRIC_INTERPRETATION);
            })),
            "The file is damaged: it does not say how",
        ),
        (
            "report",
            plain(&with(&|it| {
                for tag in [tags::ROWS, tags::COLUMNS, tags::PIXEL_DATA] {
                    it.remove_element(tag);
                }
            })),
            "This DICOM file holds no image",
        ),
        (
            "no pixels",
            plain(&with(&|it| {
                it.remove_element(tags::PIXEL_DATA);
            })),
            "The file is cut off",
        ),
        (
            "index",
            plain(&with(&|it| {
                item(it, tags::DIRECTORY_RECORD_SEQUENCE, [0; 3], &[])
            })),
            "It is an index of DICOM files",
        ),
        (
            "film",
            file(&mpeg, uids::MPEG4HP41),
            "This kind of image is not supported: DICOM with the transfer syntax MPEG-4 AVC/H.264.",
        ),
        (
            "syntax",
            unknown,
            "This kind of image is not supported: DICOM with the transfer syntax an unknown one.",
        ),
        (
            "native where compressed",
            file(&mpeg, uids::EXPLICIT_VR_LITTLE_ENDIAN),
            "The file is damaged: its pixels are not written as it says",
        ),
        (
            "colour",
            fixture("jpeg-ls-rgb.dcm"),
            "This kind of image is not supported: JPEG-LS Lossless, in colour.",
        ),
        ("cut", cut[..cut.len() - 1].to_vec(), "The file is cut off"),
        ("preamble only", cut[..132].to_vec(), "The file is cut off"),
        ("less than that", cut[..131].to_vec(), "Not an image"),
    ] {
        let error = opened(&bytes).expect_err(what);
        let (message, advice) = (error.to_string(), error.advice());
        assert!(message.starts_with(reason), "{what}: {message}");
        assert!(
            message.ends_with('.') && advice.ends_with('.') && !message.contains('\n'),
            "{what}: {message}"
        );
        assert!(
            !message.to_lowercase().contains("planted"),
            "{what}: {message}"
        );
        if what != "colour" {
            assert_eq!(
                header(&bytes).expect_err(what).to_string(),
                message,
                "noticed before it is decoded"
            );
        }
    }
}

/// Elements nested `depth` times, of lengths that are told by what ends them.
fn nested(depth: usize, vr: &[u8; 2]) -> Vec<u8> {
    let mut object = row(12, &[5, 6, 4095]);
    object.remove_element(tags::PIXEL_DATA);
    let mut bytes = plain(&object);
    let mut start = vec![0x29, 0, 0x10, 0];
    start.extend(vr);
    start.extend([0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    let inner = if vr == b"UN" {
        vec![0x29, 0, 0x10, 0, 0xFF, 0xFF, 0xFF, 0xFF]
    } else {
        start.clone()
    };
    for i in 0..depth {
        bytes.extend(if i == 0 { &start } else { &inner });
        bytes.extend([0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }
    for _ in 0..depth {
        bytes.extend([
            0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0,
        ]);
    }
    bytes
}

#[test]
fn sequences_may_be_nested_as_deeply_as_they_like() {
    let pixels = [
        &[0xE0, 0x7F, 0x10, 0, b'O', b'W', 0, 0, 6, 0, 0, 0],
        &[5, 0, 6, 0, 0xFF, 0x0F][..],
    ]
    .concat();
    for vr in [b"SQ", b"UN"] {
        let mut bytes = nested(100_000, vr);
        assert!(
            matches!(opened(&bytes), Err(DecodeError::CutOff)),
            "without pixels"
        );
        bytes.extend(&pixels);
        assert_eq!(values(&grey(&bytes)), [5.0, 6.0, 4095.0]);
        // Never closed.
        let open = &bytes[..bytes.len() / 2];
        assert!(matches!(opened(open), Err(DecodeError::CutOff)));
    }
}

#[test]
fn bombs_do_not_go_off() {
    let start = Instant::now();
    // A gigabyte of zeros before the pixels, deflated to a megabyte.
    let mut object = row(12, &[1, 2, 3]);
    let mut bomb = file(&object, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN);
    object.remove_element(tags::PIXEL_DATA);
    let meta_end = bomb.len() - data_set_length(&bomb);
    bomb.truncate(meta_end);
    let mut deflater = flate2::write::DeflateEncoder::new(bomb, flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    std::io::Write::write_all(&mut deflater, b"\x09\0\x10\0UN\0\0\xFE\xFF\xFF\x7F").unwrap();
    for _ in 0..512 {
        std::io::Write::write_all(&mut deflater, &zeros).unwrap();
    }
    let bomb = deflater.finish().unwrap();
    assert!(bomb.len() < 4 << 20);
    let (made, opening) = (start.elapsed(), Instant::now());
    assert!(matches!(opened(&bomb), Err(DecodeError::CutOff)));
    assert!(
        opening.elapsed() < Duration::from_secs(2),
        "{:?} after {made:?}",
        opening.elapsed()
    );

    // As large as may be, in a few bytes.
    let side = (MAX_PIXELS as f64).sqrt() as u16;
    for syntax in [
        uids::RLE_LOSSLESS,
        uids::JPEG_BASELINE8_BIT,
        uids::JPEGLS_LOSSLESS,
        uids::JPEG2000_LOSSLESS,
    ] {
        let mut object = of_kind("MONOCHROME2", side, 16, 16);
        number(&mut object, tags::ROWS, side);
        fragments(&mut object, &[&[0; 1000]]);
        let error = opened(&file(&object, syntax)).unwrap_err().to_string();
        assert!(error.contains("fewer pixels"), "{syntax}: {error}");
    }
}

#[test]
fn a_cut_file_is_no_image() {
    let mut files = vec![
        (fixtures().join("jpeg-ls-8.dcm"), 1),
        (fixtures().join("jpeg-2000-12.dcm"), 1),
    ];
    if let Some(folder) = test_data("dicom") {
        files.push((folder.join("rsna_like_mono1.dcm"), 50));
    }
    for (path, step) in files {
        let whole = std::fs::read(path).unwrap();
        for length in (0..whole.len() - 8).step_by(step) {
            assert!(
                header(&whole[..length]).is_err(),
                "{length} of {}",
                whole.len()
            );
        }
    }
}

fn every_fixture() -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "dcm"))
        .collect();
    paths.sort();
    let mut files: Vec<_> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let object = row(12, &[1, 2, 3]);
    files.extend(NATIVE.map(|syntax| file(&object, syntax)));
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Whatever a disk or a stranger did to a file, it is an image or an error, and never a panic, nor a lot of memory.
    #[test]
    fn spoilt_files_do_no_harm(which: prop::sample::Index, flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..6), cut: prop::sample::Index) {
        static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(every_fixture);
        let mut bytes = FILES[which.index(FILES.len())].clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        let _ = opened(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = opened(&bytes);
    }
}

/// A codestream whose main header asks for much.
fn codestream(side: u32, tile: u32, components: &[[u8; 3]], precincts: Option<u8>) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0x4F, 0xFF, 0x51];
    bytes.extend((38 + 3 * components.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    for field in [side, side, 0, 0, tile, tile, 0, 0] {
        bytes.extend(field.to_be_bytes());
    }
    bytes.extend((components.len() as u16).to_be_bytes());
    bytes.extend(components.as_flattened());
    let sides = precincts.map_or(Vec::new(), |sides| vec![sides; 2]);
    bytes.extend([
        0xFF,
        0x52,
        0,
        12 + sides.len() as u8,
        u8::from(precincts.is_some()),
    ]);
    bytes.extend([0, 0, 1, 0, 1, 4, 4, 0, 1]);
    bytes.extend(sides);
    bytes.extend([0xFF, 0x5C, 0, 7, 0x40, 0x80, 0x88, 0x88, 0x90]);
    // Enough for the number of pixels to seem possible.
    bytes.extend([0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0x93]);
    bytes.resize(bytes.len() + side as usize * side as usize / 256, 0);
    bytes
}

#[test]
fn jpeg_2000_asks_for_no_more_than_its_image() {
    let grey = [[15, 1, 1]];
    for (side, tile, components, precincts, reason) in [
        (8000, 1, &grey[..], None, "too many tiles"),
        (8000, 8000, &grey, Some(0x00), "very small precincts"),
        (
            8000,
            8000,
            &[[15, 1, 1]; 16384],
            None,
            "not as many as its header says",
        ),
        (8001, 8001, &grey, None, "not as many as its header says"),
        (8000, 8000, &[[15, 2, 1]], None, "components that differ"),
        (8000, 8000, &[[37, 1, 1]], None, "above 16 bits"),
    ] {
        let mut object = of_kind("MONOCHROME2", 8000, 16, 16);
        number(&mut object, tags::ROWS, 8000);
        fragments(
            &mut object,
            &[&codestream(side, tile, components, precincts)],
        );
        let error = opened(&file(&object, uids::JPEG2000_LOSSLESS))
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}
