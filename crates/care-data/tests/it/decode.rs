use std::io::Cursor;
use std::path::Path;

use care_data::decode::{
    DecodeError, decode, decode_resized, header, resized_and_cropped, thumbnail,
};
use care_data::{ImageSize, Look};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ColorType, DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;
use tiff::encoder::{TiffEncoder, colortype};

use crate::picture;

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

const FORMATS: [ImageFormat; 4] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::Tiff,
    ImageFormat::WebP,
];

fn signed_tiff() -> Vec<u8> {
    let mut tiff = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut tiff).unwrap();
    encoder
        .write_image::<colortype::GrayI16>(2, 1, &[-5, 5])
        .unwrap();
    tiff.into_inner()
}

fn decoded(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let image = decode(file.path(), &Look::default())?;
    let size = header(bytes)?.size;
    assert_eq!(
        (size.width, size.height),
        image.dimensions(),
        "the header tells the size as shown"
    );
    Ok(image)
}

#[test]
fn every_kind_comes_out_as_8_bit_rgb() {
    // 0x12FF is 0x12 in 8 bits; image's own conversion would round it up.
    let [color16, grey16] = [[0x12FF, 0x80FF, 0xFFFF], [0x12FF; 3]];
    let (color, grey) = ([0x12, 0x80, 0xFF], [0x12; 3]);
    let half = |v: u8| (u16::from(v) * 0x80 / 255) as u8;
    use ColorType::{L8, L16, La8, Rgb8, Rgb16, Rgba8, Rgba16};
    use ImageFormat::{Jpeg, Png, Tiff, WebP};
    for (format, kind, expected) in [
        (Png, L8, grey),
        (Png, La8, grey.map(half)),
        (Png, Rgb8, color),
        (Png, Rgba8, color.map(half)),
        (Png, L16, grey),
        (Png, Rgb16, color),
        (Png, Rgba16, color.map(half)),
        (Jpeg, L8, grey),
        (Jpeg, Rgb8, color),
        (Tiff, L8, grey),
        (Tiff, Rgb8, color),
        (Tiff, Rgba8, color.map(half)),
        (Tiff, L16, grey),
        (Tiff, Rgb16, color),
        (Tiff, Rgba16, color.map(half)),
        (WebP, Rgb8, color),
        (WebP, Rgba8, color.map(half)),
    ] {
        let fill = |[r, g, b]: [u16; 3]| {
            image::ImageBuffer::from_pixel(9, 7, image::Rgba([r, g, b, 0x80FF]))
        };
        let of = |image: image::ImageBuffer<image::Rgba<u16>, Vec<u16>>| {
            let low = |v: u16| (v >> 8) as u8;
            let eight = image::RgbaImage::from_fn(9, 7, |x, y| {
                image::Rgba(image.get_pixel(x, y).0.map(low))
            });
            match kind {
                L8 => DynamicImage::ImageRgba8(eight).into_luma8().into(),
                La8 => DynamicImage::ImageRgba8(eight).into_luma_alpha8().into(),
                Rgb8 => DynamicImage::ImageRgba8(eight).into_rgb8().into(),
                Rgba8 => eight.into(),
                L16 => DynamicImage::ImageRgba16(image).into_luma16().into(),
                Rgb16 => DynamicImage::ImageRgba16(image).into_rgb16().into(),
                _ => DynamicImage::ImageRgba16(image),
            }
        };
        let is_grey = matches!(kind, L8 | La8 | L16);
        let image = decoded(&encoded(
            &of(fill(if is_grey { grey16 } else { color16 })),
            format,
        ))
        .unwrap();
        let found = image.get_pixel(4, 3).0;
        // JPEG keeps colours roughly, and luma of a grey may miss it by one.
        let tolerance = if format == Jpeg { 3 } else { u8::from(is_grey) };
        let is_close = found
            .iter()
            .zip(expected)
            .all(|(a, b)| a.abs_diff(b) <= tolerance);
        assert!(
            is_close,
            "{format:?} {kind:?}: {found:?}, expected {expected:?}"
        );
    }
}

/// EXIF that says nothing but the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0\x01\0".to_vec();
    bytes.extend([
        0x12,
        0x01,
        3,
        0,
        1,
        0,
        0,
        0,
        orientation,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    bytes
}

#[test]
fn images_are_turned_upright() {
    // Stored with the marked block in the upper left; where EXIF's orientations 1 to 8 show it.
    let (right, bottom) = (true, true);
    let corners = [
        (!right, !bottom),
        (right, !bottom),
        (right, bottom),
        (!right, bottom),
        (!right, !bottom),
        (right, !bottom),
        (right, bottom),
        (!right, bottom),
    ];
    let (width, height) = (32, 16);
    let stored = RgbImage::from_fn(width, height, |x, y| {
        if x < 8 && y < 8 {
            Rgb([250; 3])
        } else {
            Rgb([5; 3])
        }
    });
    for (orientation, (is_right, is_bottom)) in (1_u8..).zip(corners) {
        let mut jpeg = Vec::new();
        let mut encoder = JpegEncoder::new(&mut jpeg);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder
            .write_image(&stored, width, height, ExtendedColorType::Rgb8)
            .unwrap();

        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder
            .write_image(&stored, width, height, ExtendedColorType::Rgb8)
            .unwrap();

        let mut tiff = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut tiff).unwrap();
        let mut page = encoder.new_image::<colortype::RGB8>(width, height).unwrap();
        page.encoder()
            .write_tag(tiff::tags::Tag::Orientation, u16::from(orientation))
            .unwrap();
        page.write_data(&stored).unwrap();

        let mut webp = Vec::new();
        let mut encoder = WebPEncoder::new_lossless(&mut webp);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder
            .write_image(&stored, width, height, ExtendedColorType::Rgb8)
            .unwrap();

        for bytes in [jpeg, png, tiff.into_inner(), webp] {
            let image = decoded(&bytes).unwrap();
            let shown = if orientation >= 5 {
                (height, width)
            } else {
                (width, height)
            };
            assert_eq!(image.dimensions(), shown, "{orientation}");
            let x = if is_right { shown.0 - 4 } else { 3 };
            let y = if is_bottom { shown.1 - 4 } else { 3 };
            assert!(
                image.get_pixel(x, y).0[0] > 200,
                "orientation {orientation}"
            );
            assert_eq!(header(&bytes).unwrap().orientation.exif(), orientation);
        }
    }
}

#[test]
fn what_is_no_image_is_refused_with_its_reason() {
    let image = DynamicImage::ImageRgb8(picture(64, 64, 7));
    let [png, jpeg, tiff, webp] = FORMATS.map(|f| encoded(&image, f));
    let mut animated = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut animated);
    encoder.set_exif_metadata(exif(1)).unwrap();
    encoder
        .write_image(image.as_bytes(), 64, 64, ExtendedColorType::Rgb8)
        .unwrap();
    animated[20] |= 2;
    let cut = |bytes: &[u8]| bytes[..bytes.len() * 9 / 10].to_vec();
    let mut huge = png.clone();
    // Width and height, and the header's checksum as it then is.
    huge[16..24].copy_from_slice(&[0, 0, 0x4E, 0x20, 0, 0, 0x4E, 0x20]);
    huge[29..33].copy_from_slice(&0x6C12_D16E_u32.to_be_bytes());
    let mut garbled = png.clone();
    let middle = garbled.len() / 2;
    garbled[middle..middle + 8].fill(0xAA);
    for (what, bytes, reason) in [
        ("empty", Vec::new(), "The file is empty."),
        ("text", b"image_id,dx".to_vec(), "Not an image"),
        (
            "another format",
            b"GIF89a\x01\0\x01\0".to_vec(),
            "This kind of image is not supported",
        ),
        ("PNG, cut", cut(&png), "The file is cut off"),
        ("JPEG, cut", cut(&jpeg), "The file is cut off"),
        ("TIFF, cut", cut(&tiff), ""),
        (
            "TIFF, signed",
            signed_tiff(),
            "This kind of image is not supported",
        ),
        ("WebP, cut", cut(&webp), "The file is cut off"),
        (
            "WebP, animated",
            animated,
            "This kind of image is not supported: an animation.",
        ),
        ("JPEG, start only", jpeg[..20].to_vec(), ""),
        ("PNG, garbled", garbled, "The file is damaged"),
        (
            "PNG, 20,000 x 20,000",
            huge,
            "It has 400 million pixels; more than 100 million do not fit.",
        ),
    ] {
        let error = decoded(&bytes).expect_err(what);
        let (message, advice) = (error.to_string(), error.advice());
        assert!(message.starts_with(reason), "{what}: {message}");
        assert!(
            message.ends_with('.') && advice.ends_with('.') && !message.contains('\n'),
            "{what}: {message}"
        );
    }
    assert!(matches!(
        decode(Path::new("/nowhere/at all.png"), &Look::default()),
        Err(DecodeError::Missing)
    ));
}

proptest! {
    /// Whatever a disk or a stranger did to a file, it is an image or an error, and never a panic.
    #[test]
    fn spoilt_files_do_no_harm(format in 0..4_usize, at: prop::sample::Index, with: [u8; 3], cut: prop::sample::Index) {
        let image = DynamicImage::ImageRgb8(picture(16, 16, 7));
        let mut bytes = encoded(&image, FORMATS[format]);
        let at = at.index(bytes.len() - 3);
        bytes[at..at + 3].copy_from_slice(&with);
        let _ = decoded(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decoded(&bytes);
    }
}

#[test]
fn resizing_averages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stripes.png");
    RgbImage::from_fn(64, 32, |x, _| Rgb([if x % 2 == 0 { 0 } else { 200 }; 3]))
        .save(&path)
        .unwrap();
    let small = decode_resized(&path, &Look::default(), ImageSize::new(8, 16)).unwrap();
    assert_eq!(small.dimensions(), (8, 16));
    assert!(
        small.pixels().all(|pixel| pixel.0[0].abs_diff(100) < 15),
        "no stripe is picked, none lost"
    );
    assert_eq!(
        decode_resized(&path, &Look::default(), ImageSize::new(64, 32)).unwrap(),
        decode(&path, &Look::default()).unwrap()
    );
    for (side, expected) in [(16, (16, 8)), (64, (64, 32)), (1000, (64, 32)), (1, (1, 1))] {
        assert_eq!(
            thumbnail(&path, &Look::default(), side)
                .unwrap()
                .dimensions(),
            expected
        );
    }
}

/// What torchvision 0.26.0 gives for Resize(32), CenterCrop(28) of these pictures (Pillow 13.0.0): three pixels and the sum of all
/// values.
#[test]
fn resized_and_cropped_as_torchvision_does_it() {
    for ([width, height], pixels, sum) in [
        (
            [61, 40],
            [[98, 167, 54], [192, 134, 226], [183, 149, 239]],
            306_934,
        ),
        (
            [40, 61],
            [[56, 20, 146], [150, 108, 86], [141, 93, 80]],
            297_279,
        ),
        (
            [300, 301],
            [[179, 136, 87], [157, 117, 172], [194, 139, 108]],
            299_663,
        ),
        (
            [9, 50],
            [[63, 21, 226], [84, 27, 13], [140, 89, 70]],
            183_966,
        ),
    ] {
        let image = RgbImage::from_fn(width, height, |x, y| {
            Rgb([x * 7 + y * 3, x * x + y, y * 11 + x * 2].map(|v| (v % 256) as u8))
        });
        let cropped = resized_and_cropped(image, 32, 28).unwrap();
        assert_eq!(cropped.dimensions(), (28, 28));
        for ([x, y], expected) in [[0, 0], [5, 13], [27, 27]].into_iter().zip(pixels) {
            assert_eq!(cropped.get_pixel(x, y).0, expected, "{width} {x} {y}");
        }
        let found: u64 = cropped.iter().map(|v| u64::from(*v)).sum();
        assert_eq!(found, sum, "{width}");
    }
    let long = RgbImage::new(1, 100_000);
    let error = resized_and_cropped(long, 256, 224).unwrap_err();
    assert!(
        matches!(error, DecodeError::TooLarge { width: 256, .. }),
        "{error}"
    );
}

/// As Pillow sees them (scripts/dicom_fixtures.py).
#[test]
fn jpegs_of_printers_and_of_scanners() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
    for name in ["cmyk", "ycck", "grey"] {
        let image = decoded(&std::fs::read(folder.join(format!("{name}.jpg"))).unwrap()).unwrap();
        let expected = std::fs::read(folder.join(format!("{name}.rgb"))).unwrap();
        assert_eq!(image.as_raw().len(), expected.len());
        let differences = image.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
        let off = differences.max().unwrap();
        assert!(off <= 4, "{name}: off by {off}");
    }
}
