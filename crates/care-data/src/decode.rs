//! From a file's bytes to an upright picture: PNG, JPEG, TIFF, WebP and DICOM.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{
    ColorType, DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader,
    Limits, Pixel, Primitive, RgbImage, Rgba,
};
use tiff::tags::Tag;

use crate::geometry::{ImageSize, Orientation};
use crate::grey::{GreyImage, Look};
use crate::pillow;

mod dicom;

pub(crate) use dicom::patient_id;

/// Why a file is not an image that can be worked with. The message is one sentence; [`advice`](Self::advice) is another.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("The file is not there any more.")]
    Missing,
    #[error("The file is empty.")]
    Empty,
    #[error("Not an image: neither PNG, JPEG, TIFF, WebP nor DICOM.")]
    NotAnImage,
    #[error("It is an index of DICOM files, not an image.")]
    Index,
    #[error("This DICOM file holds no image, but a report, a measurement or a plan.")]
    NoImage,
    #[error("It has {0} frames; only single ones can be read.")]
    Frames(u32),
    #[error("The file is cut off: its end is missing.")]
    CutOff,
    #[error(
        "It has {} million pixels; more than {} million do not fit.",
        ImageSize::new(*width, *height).area() / 1_000_000,
        MAX_PIXELS / 1_000_000
    )]
    TooLarge { width: u32, height: u32 },
    #[error("This kind of image is not supported: {0}.")]
    Unsupported(String),
    #[error("The file is damaged: {0}.")]
    Damaged(String),
    #[error("The file cannot be read: {0}.")]
    Io(std::io::Error),
}

impl From<std::io::Error> for DecodeError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Io(error),
        }
    }
}

/// Images beyond this many pixels are refused.
pub const MAX_PIXELS: u64 = 100_000_000;

/// Enough for [`MAX_PIXELS`] of four 16-bit channels.
const MAX_BYTES: u64 = 1 << 30;

impl DecodeError {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Missing => {
                "Import the folder that it lies in now; it is found again by its content."
            }
            Self::Empty | Self::CutOff => "Copy it again from the source.",
            Self::NotAnImage => "Convert it to one of these, or take it out of the folder.",
            Self::Index | Self::NoImage => "Take it out of the folder.",
            Self::Frames(_) => "Save the frame that matters as a file of its own.",
            Self::TooLarge { .. } => "Cut it into smaller images, or scale it down.",
            Self::Unsupported(_) => "Save it as 8- or 16-bit PNG, or as uncompressed DICOM.",
            Self::Damaged(_) => {
                "Copy it again from the source, or open it in an image editor and save it anew."
            }
            Self::Io(_) => "Check that the file is there and that you may read it.",
        }
    }
}

/// What can be known of an image without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// As shown, that is after `orientation` was applied.
    pub size: ImageSize,
    pub orientation: Orientation,
}

/// Reads size and orientation from a whole file's bytes, and notices most files that are cut off.
///
/// # Errors
/// Where the bytes are no image that [`decode`] could read.
pub fn header(bytes: &[u8]) -> Result<Header, DecodeError> {
    guarded(|| {
        let format = match known_format(bytes)? {
            Format::Raster(format) => format,
            Format::Dicom => return dicom::header(bytes),
        };
        let (decoder, orientation) = decoder(bytes, format)?;
        let (width, height) = decoder.dimensions();
        Ok(Header {
            size: orientation.shown(ImageSize::new(width, height)),
            orientation,
        })
    })
}

/// A malformed file that makes a decoder panic is a damaged file, not the end of the thread that opened it.
fn guarded<T>(decode: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(DecodeError::Damaged("its decoder failed".to_owned())))
}

/// A decoded file, upright.
#[derive(Debug, Clone, PartialEq)]
pub enum Picture {
    /// Of 16 bits the upper 8 are kept, and what is transparent is laid over black.
    Colour(RgbImage),
    Grey(GreyImage),
}

impl Picture {
    #[must_use]
    pub fn size(&self) -> ImageSize {
        match self {
            Self::Colour(image) => ImageSize::new(image.width(), image.height()),
            Self::Grey(image) => image.size(),
        }
    }

    /// 8-bit RGB; greys in all three channels.
    #[must_use]
    pub fn seen(self, look: &Look) -> RgbImage {
        match self {
            Self::Colour(image) => image,
            Self::Grey(image) => image.seen(look),
        }
    }
}

/// Decodes a file.
///
/// # Errors
/// Where it cannot be read or is no image within the limits.
pub fn open(path: &Path) -> Result<Picture, DecodeError> {
    picture(&read_file(path)?)
}

/// Decodes a whole file's bytes.
///
/// # Errors
/// As [`open`].
pub fn picture(bytes: &[u8]) -> Result<Picture, DecodeError> {
    guarded(|| {
        let format = match known_format(bytes)? {
            Format::Raster(format) => format,
            Format::Dicom => return dicom::open(bytes),
        };
        let (decoder, orientation) = decoder(bytes, format)?;
        let mut image = DynamicImage::from_decoder(decoder)?;
        if let Some(orientation) = image::metadata::Orientation::from_exif(orientation.exif()) {
            image.apply_orientation(orientation);
        }
        Ok(match image {
            DynamicImage::ImageLuma8(image) => Picture::Grey(GreyImage::from_luma(&image)),
            DynamicImage::ImageLuma16(image) => Picture::Grey(GreyImage::from_luma(&image)),
            colour => Picture::Colour(rgb8(colour)),
        })
    })
}

/// Decodes a file to 8-bit RGB.
///
/// # Errors
/// As [`open`].
pub fn decode(path: &Path, look: &Look) -> Result<RgbImage, DecodeError> {
    Ok(open(path)?.seen(look))
}

/// Decodes a file and brings it to `size`, sides scaled separately, each pixel an area's average.
///
/// # Errors
/// As [`decode`].
pub fn decode_resized(path: &Path, look: &Look, size: ImageSize) -> Result<RgbImage, DecodeError> {
    resized(decode(path, look)?, size)
}

/// Decodes a file and fits it into `side` x `side` pixels, proportions kept, never enlarged.
///
/// # Errors
/// As [`decode`].
pub fn thumbnail(path: &Path, look: &Look, side: u32) -> Result<RgbImage, DecodeError> {
    fitted(decode(path, look)?, side)
}

/// Fits an image into `side` x `side` pixels, proportions kept, never enlarged.
///
/// # Errors
/// Where there is no memory for it.
pub fn fitted(image: RgbImage, side: u32) -> Result<RgbImage, DecodeError> {
    let (width, height) = image.dimensions();
    let scale = f64::from(side) / f64::from(width.max(height));
    if scale >= 1.0 {
        return Ok(image);
    }
    let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    resized(image, ImageSize::new(scaled(width), scaled(height)))
}

/// Whether a file begins like an image, without reading on.
pub(crate) fn check_beginning(path: &Path) -> Result<(), DecodeError> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(dicom::SEEN)
        .read_to_end(&mut bytes)?;
    known_format(&bytes)?;
    Ok(())
}

/// A whole file's bytes, where it begins like an image and is not beyond all measure.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, DecodeError> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() > 2 * MAX_BYTES {
        return Err(DecodeError::Unsupported(
            "the file is larger than 2 GB".to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    (&mut file).take(dicom::SEEN).read_to_end(&mut bytes)?;
    known_format(&bytes)?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

enum Format {
    Raster(ImageFormat),
    Dicom,
}

fn known_format(bytes: &[u8]) -> Result<Format, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    // First, as the preamble may make a file another one as well (PS3.10, 7.1).
    if dicom::recognises(bytes) {
        return Ok(Format::Dicom);
    }
    match image::guess_format(bytes) {
        Ok(
            format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Tiff | ImageFormat::WebP),
        ) => Ok(Format::Raster(format)),
        Ok(other) => Err(DecodeError::Unsupported(format!("{other:?}"))),
        Err(_) => Err(DecodeError::NotAnImage),
    }
}

/// A decoder that has read the header of an image within the limits, and the image's orientation.
fn decoder(
    bytes: &[u8],
    format: ImageFormat,
) -> Result<(impl ImageDecoder + '_, Orientation), DecodeError> {
    if format == ImageFormat::WebP && is_animated(bytes) {
        return Err(DecodeError::Unsupported("an animation".to_owned()));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if ImageSize::new(width, height).area() > MAX_PIXELS {
        return Err(DecodeError::TooLarge { width, height });
    }
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(DecodeError::Unsupported(
            "floating-point samples".to_owned(),
        ));
    }
    if !is_whole(bytes, format) {
        return Err(DecodeError::CutOff);
    }
    // An unreadable orientation is no reason to refuse an image: every viewer then shows it as stored.
    let orientation = decoder
        .orientation()
        .map_or(1, |orientation| orientation.to_exif());
    Ok((decoder, Orientation::from_exif(orientation.into())))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    limits
}

/// Whether a file's end is there. Decoders fill what is missing of a JPEG with grey and say nothing.
fn is_whole(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Png => has_png_end(bytes),
        ImageFormat::Jpeg => has_jpeg_end(bytes),
        ImageFormat::Tiff => has_tiff_strips(bytes),
        ImageFormat::WebP => has_riff_end(bytes),
        _ => true,
    }
}

/// Whether the file is as long as it says after `RIFF`.
fn has_riff_end(bytes: &[u8]) -> bool {
    let stated = bytes.get(4..).and_then(|bytes| bytes.first_chunk::<4>());
    stated.is_some_and(|length| bytes.len() as u64 >= 8 + u64::from(u32::from_le_bytes(*length)))
}

/// Whether a WebP file's extended header says that it moves.
fn is_animated(bytes: &[u8]) -> bool {
    bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0)
}

/// Walks the chunks (length, name, data, checksum) to IEND.
fn has_png_end(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        if after.starts_with(b"IEND") {
            return true;
        }
        let length = u32::from_be_bytes(*length) as usize;
        rest = after.get(length.saturating_add(8)..).unwrap_or_default();
    }
    false
}

/// Walks the segments to the first scan and looks for the end marker behind it, where entropy coding cannot produce it.
fn has_jpeg_end(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        match *rest {
            // Any number of FF may stand before a marker.
            [0xFF, 0xFF, ..] => rest = &rest[1..],
            [0xFF, START_OF_SCAN, ref scan @ ..] => {
                // From the end, where it is as a rule.
                return scan.windows(2).rev().any(|pair| pair == END_OF_IMAGE);
            }
            [0xFF, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                rest = rest.get(2 + length..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}

/// Whether every strip or tile of the first image lies within the file. What the reader does not understand is left for
/// decoding to find.
fn has_tiff_strips(bytes: &[u8]) -> bool {
    let Ok(mut tiff) = tiff::decoder::Decoder::new(Cursor::new(bytes)) else {
        return true;
    };
    let mut ends_within = |offsets, counts| {
        let (offsets, counts) = (
            tiff.get_tag_u64_vec(offsets).ok()?,
            tiff.get_tag_u64_vec(counts).ok()?,
        );
        Some(
            offsets
                .iter()
                .zip(&counts)
                .all(|(at, n)| at.saturating_add(*n) <= bytes.len() as u64),
        )
    };
    ends_within(Tag::StripOffsets, Tag::StripByteCounts)
        .or_else(|| ends_within(Tag::TileOffsets, Tag::TileByteCounts))
        .unwrap_or(true)
}

fn rgb8(image: DynamicImage) -> RgbImage {
    match image {
        DynamicImage::ImageRgb8(_) => image.into_rgb8(),
        DynamicImage::ImageLumaA8(_) | DynamicImage::ImageRgba8(_) => {
            over_black(&image.into_rgba8(), |v| v)
        }
        // Not image's own conversion, which rounds: 8 bits then no longer mean the same grey in every file of a series.
        _ => over_black(&image.into_rgba16(), |v| (v >> 8) as u8),
    }
}

fn over_black<S: Primitive + 'static>(
    image: &ImageBuffer<Rgba<S>, Vec<S>>,
    to_8_bits: fn(S) -> u8,
) -> RgbImage
where
    Rgba<S>: Pixel<Subpixel = S>,
{
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, a] = image.get_pixel(x, y).0.map(to_8_bits);
        image::Rgb([r, g, b].map(|v| (u16::from(v) * u16::from(a) / 255) as u8))
    })
}

/// Brings an image to `size`, sides scaled separately, each pixel an area's average.
///
/// # Errors
/// Where there is no memory for it.
pub fn resized(image: RgbImage, size: ImageSize) -> Result<RgbImage, DecodeError> {
    if image.dimensions() == (size.width, size.height) {
        return Ok(image);
    }
    let mut to = RgbImage::new(size.width, size.height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let failed = |error: &dyn std::fmt::Display| DecodeError::Unsupported(sentence_part(error));
    // Of this one kind of pixel, or the compiler would make all that there are.
    let (width, height) = image.dimensions();
    let from = TypedImageRef::<U8x3>::from_buffer(width, height, &image).map_err(|e| failed(&e))?;
    let mut into = TypedImage::<U8x3>::from_buffer(size.width, size.height, &mut to)
        .map_err(|e| failed(&e))?;
    Resizer::new()
        .resize_typed(&from, &mut into, &options)
        .map_err(|e| failed(&e))?;
    Ok(to)
}

/// As torchvision's transform for ImageNet, to the last bit: the shorter side is brought to `resize` pixels and the longer in proportion, then a
/// square of `crop` pixels (at most `resize`) is cut from the middle.
///
/// # Errors
/// Where the image is so long that it is too large in between.
pub fn resized_and_cropped(
    image: RgbImage,
    resize: u32,
    crop: u32,
) -> Result<RgbImage, DecodeError> {
    let (width, height) = image.dimensions();
    let longer = u64::from(resize) * u64::from(width.max(height)) / u64::from(width.min(height));
    let too_large = |longer| {
        let (width, height) = if width > height {
            (longer, resize)
        } else {
            (resize, longer)
        };
        DecodeError::TooLarge { width, height }
    };
    let longer = u32::try_from(longer).map_err(|_| too_large(u32::MAX))?;
    if u64::from(longer) * u64::from(resize) > MAX_PIXELS {
        return Err(too_large(longer));
    }
    let size = if width > height {
        ImageSize::new(longer, resize)
    } else {
        ImageSize::new(resize, longer)
    };
    let whole = pillow::resized(image, size);
    let crop = crop.min(resize);
    // Python's round: halves go to the even side.
    let margin = |side: u32| (f64::from(side - crop) / 2.0).round_ties_even() as u32;
    let (left, top) = (margin(size.width), margin(size.height));
    Ok(image::imageops::crop_imm(&whole, left, top, crop, crop).to_image())
}

impl From<ImageError> for DecodeError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Self::CutOff,
            ImageError::IoError(error) => error.into(),
            ImageError::Unsupported(error) => Self::Unsupported(sentence_part(&error)),
            ImageError::Limits(_) => Self::Unsupported("it needs too much memory".to_owned()),
            other => Self::Damaged(sentence_part(&other)),
        }
    }
}

/// A decoder's message, fit to stand in the middle of a sentence and in one line.
fn sentence_part(error: &dyn std::fmt::Display) -> String {
    let line = error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    line.trim_end_matches('.').to_owned()
}
