//! DICOM: one frame of grey values or colours.
//!
//! In the order of PS3.3, C.11: stored value (bits allocated and stored, high bit, sign) -> modality LUT -> VOI LUT ->
//! presentation. The last three stay with a [`GreyImage`] as what they are, so that a window can be chosen; colours come out as they
//! are shown and never have a window.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use flate2::read::DeflateDecoder;
use image::RgbImage;

use super::{DecodeError, Header, MAX_PIXELS, Picture};
use crate::geometry::{ImageSize, Orientation};
use crate::grey::{GreyImage, Modality, Voi, VoiFunction, Window};
use data_set::{DataSet, Encoding, PixelData, Tag};
use syntax::{Coding, Syntax};

mod codec;
mod data_set;
mod jpeg_12;
mod syntax;

const MEDIA_STORAGE_SOP_CLASS: Tag = Tag(0x0002, 0x0002);
const TRANSFER_SYNTAX: Tag = Tag(0x0002, 0x0010);
/// The root of a DICOMDIR's records.
const DIRECTORY_RECORDS: Tag = Tag(0x0004, 0x1220);
const MODALITY: Tag = Tag(0x0008, 0x0060);
const PATIENT_ID: Tag = Tag(0x0010, 0x0020);
const SAMPLES_PER_PIXEL: Tag = Tag(0x0028, 0x0002);
const PHOTOMETRIC_INTERPRETATION: Tag = Tag(0x0028, 0x0004);
const PLANAR_CONFIGURATION: Tag = Tag(0x0028, 0x0006);
const NUMBER_OF_FRAMES: Tag = Tag(0x0028, 0x0008);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const BITS_STORED: Tag = Tag(0x0028, 0x0101);
const HIGH_BIT: Tag = Tag(0x0028, 0x0102);
const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);
const PIXEL_PADDING_VALUE: Tag = Tag(0x0028, 0x0120);
const WINDOW_CENTER: Tag = Tag(0x0028, 0x1050);
const WINDOW_WIDTH: Tag = Tag(0x0028, 0x1051);
const RESCALE_INTERCEPT: Tag = Tag(0x0028, 0x1052);
const RESCALE_SLOPE: Tag = Tag(0x0028, 0x1053);
const RESCALE_TYPE: Tag = Tag(0x0028, 0x1054);
const VOI_LUT_FUNCTION: Tag = Tag(0x0028, 0x1056);
const PALETTE_DESCRIPTORS: [Tag; 3] = [
    Tag(0x0028, 0x1101),
    Tag(0x0028, 0x1102),
    Tag(0x0028, 0x1103),
];
const PALETTES: [Tag; 3] = [
    Tag(0x0028, 0x1201),
    Tag(0x0028, 0x1202),
    Tag(0x0028, 0x1203),
];
const SEGMENTED_RED_PALETTE: Tag = Tag(0x0028, 0x1221);
const MODALITY_LUT_SEQUENCE: Tag = Tag(0x0028, 0x3000);
const LUT_DESCRIPTOR: Tag = Tag(0x0028, 0x3002);
const LUT_DATA: Tag = Tag(0x0028, 0x3006);
const VOI_LUT_SEQUENCE: Tag = Tag(0x0028, 0x3010);
const PRESENTATION_LUT_SHAPE: Tag = Tag(0x2050, 0x0020);
const SHARED_FUNCTIONAL_GROUPS: Tag = Tag(0x5200, 0x9229);
const PER_FRAME_FUNCTIONAL_GROUPS: Tag = Tag(0x5200, 0x9230);
const FLOAT_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0008);
const DOUBLE_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0009);

/// All that is read of a file, apart from its pixels.
const WANTED: &[Tag] = &[
    DIRECTORY_RECORDS,
    MODALITY,
    SAMPLES_PER_PIXEL,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    NUMBER_OF_FRAMES,
    ROWS,
    COLUMNS,
    BITS_ALLOCATED,
    BITS_STORED,
    HIGH_BIT,
    PIXEL_REPRESENTATION,
    PIXEL_PADDING_VALUE,
    WINDOW_CENTER,
    WINDOW_WIDTH,
    RESCALE_INTERCEPT,
    RESCALE_SLOPE,
    RESCALE_TYPE,
    VOI_LUT_FUNCTION,
    PALETTE_DESCRIPTORS[0],
    PALETTE_DESCRIPTORS[1],
    PALETTE_DESCRIPTORS[2],
    PALETTES[0],
    PALETTES[1],
    PALETTES[2],
    SEGMENTED_RED_PALETTE,
    MODALITY_LUT_SEQUENCE,
    VOI_LUT_SEQUENCE,
    PRESENTATION_LUT_SHAPE,
    SHARED_FUNCTIONAL_GROUPS,
    PER_FRAME_FUNCTIONAL_GROUPS,
    FLOAT_PIXEL_DATA,
    DOUBLE_PIXEL_DATA,
];

const DICOMDIR_SOP_CLASS: &str = "1.2.840.10008.1.3.10";

/// As much of a deflated data set is inflated to find its pixels; beyond, no more than the pixels need.
const DEFLATED_HEAD: u64 = 16 << 20;

/// From so many pixels on ...
const LARGE: u64 = 16 << 20;
/// ... a byte of compressed data must not stand for more pixels than this: whoever wrote it wants memory, not an image.
const MAX_PIXELS_PER_BYTE: u64 = 512;

/// How many bytes [`recognises`] wants to see.
pub const SEEN: u64 = 132 + 8;

/// Whether a file begins like one of DICOM: with the preamble, or without it with its first elements.
pub fn recognises(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM") || without_preamble(bytes).is_some()
}

/// Of a data set without preamble: whether it begins with the file's meta information, or how it is written. Only elements of group
/// 0008 as every image has them are taken for a beginning.
fn without_preamble(bytes: &[u8]) -> Option<Option<Encoding>> {
    let head = bytes.first_chunk::<8>()?;
    match *head {
        [0x02, 0, 0x00 | 0x01, 0, b'U', b'L', 4, 0]
        | [0x02, 0, 0x01, 0, b'O', b'B', 0, 0]
        | [0x02, 0, 0x02 | 0x03 | 0x10, 0, b'U', b'I', _, 0] => Some(None),
        [0x08, 0, 0x00, 0, b'U', b'L', 4, 0]
        | [0x08, 0, 0x05 | 0x08, 0, b'C', b'S', _, 0]
        | [0x08, 0, 0x16 | 0x18, 0, b'U', b'I', _, 0] => Some(Some(Encoding::EXPLICIT_LITTLE)),
        [0x08, 0, 0x00, 0, 4, 0, 0, 0]
        | [0x08, 0, 0x05 | 0x08 | 0x16 | 0x18, 0, 2..=64, 0, 0, 0] => {
            Some(Some(Encoding::IMPLICIT_LITTLE))
        }
        _ => None,
    }
}

/// Reads no pixels, and notices most files that are cut off.
pub fn header(bytes: &[u8]) -> Result<Header, DecodeError> {
    let (syntax, body) = located(bytes)?;
    let (body, rest_is_there) = inflated(syntax, body, false)?;
    let set = data_set(syntax, &body)?;
    let format = Format::new(&set, syntax)?;
    if !rest_is_there {
        format.checked_pixels(&set)?;
    }
    Ok(Header {
        size: format.size,
        orientation: Orientation::default(),
    })
}

pub fn open(bytes: &[u8]) -> Result<Picture, DecodeError> {
    let (syntax, body) = located(bytes)?;
    let (body, _) = inflated(syntax, body, true)?;
    let set = data_set(syntax, &body)?;
    let format = Format::new(&set, syntax)?;
    let (samples, photometric) = match format.checked_pixels(&set)? {
        PixelData::Native { bytes, words, .. } => (format.native(bytes, words), format.photometric),
        PixelData::Encapsulated(bytes) => {
            let fragments = data_set::fragments(bytes)?;
            let data = match fragments.as_slice() {
                [one] => Cow::Borrowed(*one),
                several => Cow::Owned(several.concat()),
            };
            codec::decoded(&data, &format)?
        }
    };
    match photometric {
        Photometric::Monochrome { white_is_low } => {
            Ok(Picture::Grey(grey(&set, &format, samples, white_is_low)))
        }
        Photometric::Palette => Ok(Picture::Colour(palette(&set, &format, &samples)?)),
        Photometric::Colours(colours) => Ok(Picture::Colour(colour(&format, samples, colours)?)),
    }
}

/// The patient's id as it is written, where the file is DICOM and has one. Not text: it may be in any character set.
pub fn patient_id(bytes: &[u8]) -> Option<Vec<u8>> {
    if !recognises(bytes) {
        return None;
    }
    let (syntax, body) = located(bytes).ok()?;
    let (body, _) = inflated(syntax, body, false).ok()?;
    let (set, _) = DataSet::read(&body, syntax.encoding, &[PATIENT_ID], None).ok()?;
    set.bytes(PATIENT_ID).map(<[u8]>::to_vec)
}

/// The transfer syntax, and the data set as it is written in the file.
fn located(bytes: &[u8]) -> Result<(Syntax, &[u8]), DecodeError> {
    let meta = if bytes.get(128..132) == Some(b"DICM") {
        bytes.get(132..).unwrap_or_default()
    } else {
        match without_preamble(bytes) {
            None => return Err(DecodeError::NotAnImage),
            Some(None) => bytes,
            Some(Some(encoding)) => return Ok((Syntax::uncompressed(encoding), bytes)),
        }
    };
    let wanted = [MEDIA_STORAGE_SOP_CLASS, TRANSFER_SYNTAX];
    let (set, end) = DataSet::read(meta, Encoding::EXPLICIT_LITTLE, &wanted, Some(0x0002))?;
    if set.text(MEDIA_STORAGE_SOP_CLASS) == Some(DICOMDIR_SOP_CLASS) {
        return Err(DecodeError::Index);
    }
    let body = meta.get(end..).unwrap_or_default();
    let Some(uid) = set.text(TRANSFER_SYNTAX) else {
        return Err(if body.is_empty() {
            DecodeError::CutOff
        } else {
            DecodeError::Damaged("it does not say how it is written".to_owned())
        });
    };
    Ok((Syntax::of(uid)?, body))
}

fn data_set(syntax: Syntax, body: &[u8]) -> Result<DataSet<'_>, DecodeError> {
    let (set, _) = DataSet::read(body, syntax.encoding, WANTED, None)?;
    Ok(set)
}

/// The data set, inflated where it is deflated; without its pixels where they are not wanted and many: then the second answer says
/// that they are there.
fn inflated(
    syntax: Syntax,
    body: &[u8],
    with_pixels: bool,
) -> Result<(Cow<'_, [u8]>, bool), DecodeError> {
    if syntax.coding != Coding::Deflated {
        return Ok((Cow::Borrowed(body), false));
    }
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => DecodeError::CutOff,
        _ => DecodeError::Damaged("it cannot be inflated".to_owned()),
    };
    let mut inflater = DeflateDecoder::new(body);
    let mut head = Vec::new();
    let read = (&mut inflater).take(DEFLATED_HEAD).read_to_end(&mut head);
    if read.map_err(failed)? as u64 == DEFLATED_HEAD {
        let (set, pixels_at) = DataSet::read(&head, syntax.encoding, WANTED, None)?;
        let format = Format::new(&set, syntax)?;
        let missing = (pixels_at + format.native_bytes()).saturating_sub(head.len());
        let mut rest = (&mut inflater).take(missing as u64);
        let found = if with_pixels {
            rest.read_to_end(&mut head).map_err(failed)? as u64
        } else {
            std::io::copy(&mut rest, &mut std::io::sink()).map_err(failed)?
        };
        if found < missing as u64 {
            return Err(DecodeError::CutOff);
        }
        return Ok((Cow::Owned(head), !with_pixels));
    }
    Ok((Cow::Owned(head), false))
}

/// How samples are to be understood (PS3.3, C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Photometric {
    Monochrome { white_is_low: bool },
    Palette,
    Colours(Colours),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Rgb,
    /// Luminance and two differences, all from 0 to 255.
    YbrFull,
    /// Two pixels share their differences.
    YbrFull422,
    /// Luminance from 16 to 235, and so on, two pixels sharing their differences.
    YbrPartial422,
    /// As JPEG 2000 has them, whose decoder gives RGB.
    YbrWavelet,
}

/// What the samples are, checked.
#[derive(Debug, Clone, Copy)]
struct Format {
    syntax: Syntax,
    size: ImageSize,
    photometric: Photometric,
    /// All of one sample first, then all of the next.
    planar: bool,
    /// 8 or 16.
    allocated: u16,
    stored: u16,
    high: u16,
    signed: bool,
}

impl Format {
    fn new(set: &DataSet<'_>, syntax: Syntax) -> Result<Self, DecodeError> {
        let damaged = |why: &str| Err(DecodeError::Damaged(why.to_owned()));
        let unsupported = |what: &str| Err(DecodeError::Unsupported(what.to_owned()));
        if set.bytes(DIRECTORY_RECORDS).is_some() {
            return Err(DecodeError::Index);
        }
        if set
            .bytes(FLOAT_PIXEL_DATA)
            .or(set.bytes(DOUBLE_PIXEL_DATA))
            .is_some()
        {
            return unsupported("floating-point samples");
        }
        let (Some(height), Some(width)) = (set.word(ROWS), set.word(COLUMNS)) else {
            return Err(DecodeError::NoImage);
        };
        if set.pixel_data.is_none() {
            return Err(DecodeError::CutOff);
        }
        let size = ImageSize::new(width.into(), height.into());
        if size.area() == 0 {
            return damaged("it has no rows or no columns");
        }
        if size.area() > MAX_PIXELS {
            let ImageSize { width, height } = size;
            return Err(DecodeError::TooLarge { width, height });
        }
        // What its values mean stands in its functional groups, and would be passed over.
        let groups = [SHARED_FUNCTIONAL_GROUPS, PER_FRAME_FUNCTIONAL_GROUPS];
        if groups.iter().any(|tag| set.bytes(*tag).is_some()) {
            return unsupported("enhanced DICOM of several frames");
        }
        match set.number(NUMBER_OF_FRAMES) {
            Some(frames) if frames > 1.0 => {
                return Err(DecodeError::Frames(frames.min(f64::from(u32::MAX)) as u32));
            }
            _ => {}
        }
        let photometric = match set.text(PHOTOMETRIC_INTERPRETATION) {
            // For both the shape says INVERSE where white is low; it does not turn them twice (C.8.11.3).
            Some("MONOCHROME1") => Photometric::Monochrome { white_is_low: true },
            Some("MONOCHROME2") => Photometric::Monochrome {
                white_is_low: set.text(PRESENTATION_LUT_SHAPE) == Some("INVERSE"),
            },
            Some("PALETTE COLOR") => Photometric::Palette,
            Some("RGB") => Photometric::Colours(Colours::Rgb),
            Some("YBR_FULL") => Photometric::Colours(Colours::YbrFull),
            Some("YBR_FULL_422") => Photometric::Colours(Colours::YbrFull422),
            Some("YBR_PARTIAL_422") => Photometric::Colours(Colours::YbrPartial422),
            Some("YBR_ICT" | "YBR_RCT") => Photometric::Colours(Colours::YbrWavelet),
            Some(known @ ("YBR_PARTIAL_420" | "XYB" | "HSV" | "ARGB" | "CMYK")) => {
                return unsupported(&format!("DICOM with colours as {known}"));
            }
            Some(_) => return unsupported("DICOM with colours of an unknown kind"),
            None => return damaged("it does not say how its values are shown"),
        };
        let samples = set.word(SAMPLES_PER_PIXEL).unwrap_or(1);
        let expected = match photometric {
            Photometric::Colours(_) => 3,
            Photometric::Monochrome { .. } | Photometric::Palette => 1,
        };
        if samples != expected {
            return damaged("its number of samples does not fit its kind of image");
        }
        let allocated = set.word(BITS_ALLOCATED).unwrap_or(0);
        if !matches!(allocated, 8 | 16) {
            return unsupported(&format!("DICOM with {allocated} bits for each sample"));
        }
        let stored = set.word(BITS_STORED).unwrap_or(allocated);
        let high = set.word(HIGH_BIT).unwrap_or(stored.saturating_sub(1));
        if stored == 0 || high >= allocated || high + 1 < stored {
            return damaged("its bits do not fit");
        }
        let format = Self {
            syntax,
            size,
            photometric,
            planar: set.word(PLANAR_CONFIGURATION) == Some(1),
            allocated,
            stored,
            high,
            signed: set.word(PIXEL_REPRESENTATION) == Some(1),
        };
        if format.is_subsampled() && allocated != 8 {
            return unsupported("DICOM with YBR 4:2:2 of more than 8 bits");
        }
        Ok(format)
    }

    fn samples(&self) -> usize {
        match self.photometric {
            Photometric::Colours(_) => 3,
            Photometric::Monochrome { .. } | Photometric::Palette => 1,
        }
    }

    /// At most [`MAX_PIXELS`].
    fn pixels(&self) -> usize {
        self.size.area() as usize
    }

    /// Whether uncompressed pixels share their colour differences.
    fn is_subsampled(&self) -> bool {
        matches!(
            self.photometric,
            Photometric::Colours(Colours::YbrFull422 | Colours::YbrPartial422)
        )
    }

    /// How many bytes uncompressed pixels take.
    fn native_bytes(&self) -> usize {
        if self.is_subsampled() {
            let ImageSize { width, height } = self.size;
            return width.div_ceil(2) as usize * 4 * height as usize;
        }
        self.pixels() * self.samples() * usize::from(self.allocated / 8)
    }

    /// The pixels, where they can be all there.
    fn checked_pixels<'a>(&self, set: &DataSet<'a>) -> Result<PixelData<'a>, DecodeError> {
        let damaged = |why: &str| Err(DecodeError::Damaged(why.to_owned()));
        let is_native = matches!(self.syntax.coding, Coding::Native | Coding::Deflated);
        match set.pixel_data {
            Some(data @ PixelData::Native { bytes, stated, .. }) if is_native => {
                match self.native_bytes() {
                    needed if bytes.len() >= needed => Ok(data),
                    needed if stated < needed => {
                        damaged("it has fewer pixels than its rows and columns say")
                    }
                    _ => Err(DecodeError::CutOff),
                }
            }
            Some(data @ PixelData::Encapsulated(bytes)) if !is_native => {
                let there: u64 = data_set::fragments(bytes)?
                    .iter()
                    .map(|fragment| fragment.len() as u64)
                    .sum();
                let area = self.size.area();
                if there == 0 || area > LARGE && there * MAX_PIXELS_PER_BYTE < area {
                    return damaged("it has fewer pixels than its rows and columns say");
                }
                Ok(data)
            }
            Some(_) => damaged("its pixels are not written as it says"),
            None => Err(DecodeError::CutOff),
        }
    }

    /// Samples pixel by pixel from uncompressed ones, of which all are there.
    fn native(&self, bytes: &[u8], words: bool) -> Vec<u16> {
        let bytes = &bytes[..self.native_bytes().next_multiple_of(2).min(bytes.len())];
        let encoding = self.syntax.encoding;
        let samples: Vec<u16> = if self.allocated == 16 {
            let (pairs, _) = bytes.as_chunks::<2>();
            pairs.iter().map(|pair| encoding.u16(*pair)).collect()
        } else if encoding.big_endian && words {
            let (pairs, rest) = bytes.as_chunks::<2>();
            let swapped = pairs.iter().flat_map(|[a, b]| [*b, *a]);
            swapped.chain(rest.iter().copied()).map(u16::from).collect()
        } else {
            bytes.iter().copied().map(u16::from).collect()
        };
        let count = self.pixels() * self.samples();
        if self.is_subsampled() {
            let width = self.size.width as usize;
            let mut full = Vec::with_capacity(count);
            for row in samples.chunks_exact(width.div_ceil(2) * 4) {
                let pixels = row
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .flat_map(|[y0, y1, cb, cr]| [[*y0, *cb, *cr], [*y1, *cb, *cr]]);
                full.extend(pixels.take(width).flatten());
            }
            return full;
        }
        let samples = &samples[..count.min(samples.len())];
        if self.planar && self.samples() == 3 {
            let plane = self.pixels();
            let (red, rest) = samples.split_at(plane);
            let (green, blue) = rest.split_at(plane);
            let pixels = red.iter().zip(green).zip(blue);
            return pixels.flat_map(|((r, g), b)| [*r, *g, *b]).collect();
        }
        samples.to_vec()
    }

    /// The bits of a sample that are its value.
    fn value(&self, sample: u16) -> u16 {
        let mask = u16::MAX >> (16 - self.stored);
        (sample >> (self.high + 1 - self.stored)) & mask
    }

    /// The lowest and the highest stored value.
    fn range(&self) -> (i32, i32) {
        let count = 1_i32 << self.stored;
        if self.signed {
            (-count / 2, count / 2 - 1)
        } else {
            (0, count - 1)
        }
    }

    /// A 16-bit element that is signed where the pixels are.
    fn signed_word(&self, word: u16) -> i32 {
        if self.signed {
            word.cast_signed().into()
        } else {
            word.into()
        }
    }
}

fn grey(
    set: &DataSet<'_>,
    format: &Format,
    mut samples: Vec<u16>,
    white_is_low: bool,
) -> GreyImage {
    // Two's complement with its sign bit turned counts from the lowest value.
    let sign = u16::from(format.signed) << (format.stored - 1);
    for sample in &mut samples {
        *sample = format.value(*sample) ^ sign;
    }
    let (lowest, highest) = format.range();
    let modality = modality(set, format);
    let voi = voi(set, format, &modality);
    let rescale_type = set.text(RESCALE_TYPE);
    GreyImage {
        size: format.size,
        codes: samples,
        lowest,
        highest,
        hounsfield: match rescale_type {
            Some(unit) => unit == "HU",
            None => set.text(MODALITY) == Some("CT") && set.number(RESCALE_SLOPE).is_some(),
        },
        modality,
        voi,
        white_is_low,
        padding: set
            .word(PIXEL_PADDING_VALUE)
            .map(|word| format.signed_word(word)),
    }
}

/// A table's first input as it is written, its entries and the highest that there can be.
fn table(set: &DataSet<'_>, descriptor: Tag, data: Tag) -> Option<(u16, Vec<u16>, u16)> {
    let descriptor = set.words(descriptor)?;
    let &[count, first, bits, ..] = descriptor.as_slice() else {
        return None;
    };
    let count = if count == 0 {
        65536
    } else {
        usize::from(count)
    };
    let bytes = set.bytes(data)?;
    let mut entries: Vec<u16> = if bytes.len() < 2 * count {
        // Of 8 bits.
        bytes.iter().copied().map(u16::from).collect()
    } else {
        set.words(data)?
    };
    entries.truncate(count);
    if entries.len() < count || !(1..=16).contains(&bits) {
        return None;
    }
    // Some say 16 where their entries have fewer bits, and some fewer than they have: the former is taken at its word.
    let highest = entries.iter().copied().max()?.max(u16::MAX >> (16 - bits));
    Some((first, entries, highest))
}

fn modality(set: &DataSet<'_>, format: &Format) -> Modality {
    let item = set.first_item(MODALITY_LUT_SEQUENCE, &[LUT_DESCRIPTOR, LUT_DATA]);
    if let Some((first, entries, _)) = item.and_then(|set| table(&set, LUT_DESCRIPTOR, LUT_DATA)) {
        return Modality::Table {
            first: format.signed_word(first),
            values: entries.into_iter().map(f32::from).collect(),
        };
    }
    Modality::Rescale {
        // A slope of 0 would make every image flat; whoever writes it means none.
        slope: set
            .number(RESCALE_SLOPE)
            .filter(|slope| *slope != 0.0)
            .unwrap_or(1.0),
        intercept: set.number(RESCALE_INTERCEPT).unwrap_or(0.0),
    }
}

fn voi(set: &DataSet<'_>, format: &Format, modality: &Modality) -> Voi {
    let item = set.first_item(VOI_LUT_SEQUENCE, &[LUT_DESCRIPTOR, LUT_DATA]);
    if let Some((first, entries, highest)) =
        item.and_then(|set| table(&set, LUT_DESCRIPTOR, LUT_DATA))
    {
        // Signed where the values that come in can be negative.
        let is_signed = match modality {
            Modality::Rescale { slope, intercept } => {
                let (lowest, highest) = format.range();
                [lowest, highest]
                    .iter()
                    .any(|stored| f64::from(*stored) * slope + intercept < 0.0)
            }
            Modality::Table { .. } => false,
        };
        let first = if is_signed {
            f64::from(first.cast_signed())
        } else {
            f64::from(first)
        };
        let places = entries
            .into_iter()
            .map(|entry| f32::from(entry) / f32::from(highest))
            .collect();
        return Voi::Table { first, places };
    }
    let function = match set.text(VOI_LUT_FUNCTION) {
        Some("LINEAR_EXACT") => VoiFunction::LinearExact,
        Some("SIGMOID") => VoiFunction::Sigmoid,
        _ => VoiFunction::Linear,
    };
    let least = if function == VoiFunction::Linear {
        1.0
    } else {
        f64::MIN_POSITIVE
    };
    match (set.number(WINDOW_CENTER), set.number(WINDOW_WIDTH)) {
        (Some(center), Some(width)) if width >= least => {
            Voi::Window(Window { center, width }, function)
        }
        _ if format.stored <= 8 => Voi::Full,
        _ => Voi::Auto,
    }
}

/// A sample's value brought to 8 bits.
fn to_8_bits(format: &Format, sample: u16) -> u8 {
    let value = format.value(sample);
    match format.stored {
        8.. => (value >> (format.stored - 8)) as u8,
        bits => (u32::from(value) * 255 / ((1 << bits) - 1)) as u8,
    }
}

fn colour(format: &Format, samples: Vec<u16>, colours: Colours) -> Result<RgbImage, DecodeError> {
    let mut bytes: Vec<u8> = samples
        .iter()
        .map(|sample| to_8_bits(format, *sample))
        .collect();
    drop(samples);
    let luminance = match colours {
        Colours::Rgb | Colours::YbrWavelet => None,
        Colours::YbrFull | Colours::YbrFull422 => {
            Some((0.0, 1.0, 1.402, 0.344_136, 0.714_136, 1.772))
        }
        Colours::YbrPartial422 => Some((
            16.0,
            255.0 / 219.0,
            1.596_027,
            0.391_762,
            0.812_968,
            2.017_232,
        )),
    };
    if let Some((black, scale, r_cr, g_cb, g_cr, b_cb)) = luminance {
        for pixel in bytes.as_chunks_mut::<3>().0 {
            let [y, cb, cr] = pixel.map(f32::from);
            let (y, cb, cr) = ((y - black) * scale, cb - 128.0, cr - 128.0);
            // The conversion saturates.
            *pixel = [y + r_cr * cr, y - g_cb * cb - g_cr * cr, y + b_cb * cb]
                .map(|value: f32| value.round() as u8);
        }
    }
    let ImageSize { width, height } = format.size;
    RgbImage::from_raw(width, height, bytes)
        .ok_or_else(|| DecodeError::Damaged("it has too few pixels".to_owned()))
}

fn palette(set: &DataSet<'_>, format: &Format, samples: &[u16]) -> Result<RgbImage, DecodeError> {
    let mut tables = Vec::new();
    for (descriptor, data) in PALETTE_DESCRIPTORS.into_iter().zip(PALETTES) {
        let Some((first, entries, highest)) = table(set, descriptor, data) else {
            return Err(if set.bytes(SEGMENTED_RED_PALETTE).is_some() {
                DecodeError::Unsupported("DICOM with a segmented palette".to_owned())
            } else {
                DecodeError::Damaged("its palette is not whole".to_owned())
            });
        };
        let shift = if highest > 255 { 8 } else { 0 };
        let bytes: Vec<u8> = entries.iter().map(|entry| (entry >> shift) as u8).collect();
        tables.push((format.signed_word(first), bytes));
    }
    let sign = u16::from(format.signed) << (format.stored - 1);
    let (lowest, _) = format.range();
    let mut image = RgbImage::new(format.size.width, format.size.height);
    for (pixel, sample) in image.pixels_mut().zip(samples) {
        let stored = i32::from(format.value(*sample) ^ sign) + lowest;
        for (channel, (first, bytes)) in pixel.0.iter_mut().zip(&tables) {
            let at = (stored - first).clamp(0, bytes.len() as i32 - 1);
            *channel = bytes[at as usize];
        }
    }
    Ok(image)
}
