//! From a file's bytes to upright 8-bit RGB pixels: PNG, JPEG and TIFF.

use std::path::Path;

use image::RgbImage;

use crate::geometry::{ImageSize, Orientation};

/// Why a file is not an image that can be worked with. The message is one sentence; [`advice`](Self::advice) is another.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("The file is empty.")]
    Empty,
    #[error("Not an image: neither PNG, JPEG nor TIFF.")]
    NotAnImage,
    #[error("The file is cut off: its end is missing.")]
    CutOff,
    #[error("{width} × {height} pixels are more than the {} million that fit.", MAX_PIXELS / 1_000_000)]
    TooLarge { width: u32, height: u32 },
    #[error("This kind of image is not supported: {0}.")]
    Unsupported(String),
    #[error("The file is damaged: {0}.")]
    Damaged(String),
    #[error("The file cannot be read: {0}.")]
    Io(#[from] std::io::Error),
}

/// Images beyond this many pixels are refused.
pub const MAX_PIXELS: u64 = 100_000_000;

impl DecodeError {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Empty | Self::CutOff => "Copy it again from the source.",
            Self::NotAnImage => "Convert it to PNG, JPEG or TIFF, or take it out of the folder.",
            Self::TooLarge { .. } => "Cut it into smaller images, or scale it down.",
            Self::Unsupported(_) => "Save it as 8- or 16-bit PNG.",
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
pub fn header(_bytes: &[u8]) -> Result<Header, DecodeError> {
    Err(DecodeError::NotAnImage)
}

/// Decodes a file.
///
/// # Errors
/// Where the file cannot be read or is no image within the limits.
pub fn decode(path: &Path) -> Result<RgbImage, DecodeError> {
    header(&std::fs::read(path)?)?;
    Err(DecodeError::NotAnImage)
}

/// Decodes a file and brings it to `size`, sides scaled separately, each pixel an area's average.
///
/// # Errors
/// As [`decode`].
pub fn decode_resized(path: &Path, _size: ImageSize) -> Result<RgbImage, DecodeError> {
    decode(path)
}

/// Decodes a file and fits it into `side` x `side` pixels, proportions kept, never enlarged.
///
/// # Errors
/// As [`decode`].
pub fn thumbnail(path: &Path, _side: u32) -> Result<RgbImage, DecodeError> {
    decode(path)
}
