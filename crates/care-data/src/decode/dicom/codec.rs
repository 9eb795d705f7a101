//! Compressed pixels, to samples pixel by pixel.

use std::fmt::Display;

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use jpeg_decoder::{ColorTransform, Decoder};

use super::jpeg_12;
use super::syntax::Coding;
use super::{Colours, Format, Photometric};
use crate::decode::{DecodeError, MAX_BYTES, sentence_part};

/// The samples of one frame, and what they are: some decoders turn luminance and differences into RGB.
pub fn decoded(data: &[u8], format: &Format) -> Result<(Vec<u16>, Photometric), DecodeError> {
    let (samples, photometric) = match format.syntax.coding {
        Coding::Rle => (run_lengths(data, format)?, format.photometric),
        Coding::Jpeg => jpeg(data, format)?,
        Coding::JpegLs => (jpeg_ls(data, format)?, format.photometric),
        Coding::Jpeg2000 => (jpeg_2000(data, format)?, format.photometric),
        // Uncompressed pixels do not come here.
        Coding::Native | Coding::Deflated => return Err(of_another_size()),
    };
    if samples.len() != format.pixels() * format.samples() {
        return Err(of_another_size());
    }
    // No decoder leaves differences to be shared.
    let photometric = match photometric {
        Photometric::Colours(Colours::YbrFull422) => Photometric::Colours(Colours::YbrFull),
        other => other,
    };
    Ok((samples, photometric))
}

fn of_another_size() -> DecodeError {
    DecodeError::Damaged("its pixels are not as many as its header says".to_owned())
}

fn damaged(format: &Format, why: &dyn Display) -> DecodeError {
    DecodeError::Damaged(format!("{}: {}", format.syntax.name, sentence_part(why)))
}

fn unsupported(format: &Format, what: &dyn Display) -> DecodeError {
    DecodeError::Unsupported(format!("{}, {}", format.syntax.name, sentence_part(what)))
}

/// PS3.5, annex G: for each sample's bytes, the highest first, a segment of runs as PackBits has them.
fn run_lengths(data: &[u8], format: &Format) -> Result<Vec<u16>, DecodeError> {
    let words: Vec<usize> = data
        .get(..64)
        .ok_or(DecodeError::CutOff)?
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word) as usize)
        .collect();
    let bytes = usize::from(format.allocated / 8);
    let segments = format.samples() * bytes;
    if words[0] != segments {
        return Err(of_another_size());
    }
    let mut samples = vec![0_u16; format.pixels() * format.samples()];
    for segment in 0..segments {
        let end = if segment + 1 < segments {
            words[segment + 2]
        } else {
            data.len()
        };
        let runs = data
            .get(words[segment + 1]..end)
            .ok_or(DecodeError::CutOff)?;
        let shift = 8 * (bytes - 1 - segment % bytes);
        let of_sample = samples[segment / bytes..]
            .iter_mut()
            .step_by(format.samples());
        unpack(runs, of_sample, |sample, byte| {
            *sample |= u16::from(byte) << shift;
        })?;
    }
    Ok(samples)
}

fn unpack<'a>(
    mut runs: &[u8],
    mut into: impl Iterator<Item = &'a mut u16>,
    put: impl Fn(&mut u16, u8),
) -> Result<(), DecodeError> {
    let mut next = into.next();
    while next.is_some() {
        let (head, rest) = runs.split_first().ok_or(DecodeError::CutOff)?;
        let (taken, count) = match *head {
            literal @ 0..=127 => {
                let count = usize::from(literal) + 1;
                (count, count)
            }
            128 => (0, 0),
            run => (1, 257 - usize::from(run)),
        };
        let bytes = rest.get(..taken).ok_or(DecodeError::CutOff)?;
        for i in 0..count {
            let Some(sample) = next else {
                return Ok(());
            };
            put(sample, bytes[i.min(taken - 1)]);
            next = into.next();
        }
        runs = &rest[taken..];
    }
    Ok(())
}

/// What a JPEG stream says of itself before its first scan.
#[derive(Debug, Default)]
struct JpegFrame {
    precision: u8,
    size: (u16, u16),
    components: u8,
    is_lossless: bool,
    is_progressive: bool,
    restarts: bool,
    /// By how many bits lossless values were shortened.
    point_transform: u8,
    is_jfif: bool,
    /// 0: no transform of colours; 1: luminance and differences.
    adobe: Option<u8>,
}

fn jpeg_frame(data: &[u8], format: &Format) -> Result<JpegFrame, DecodeError> {
    let mut frame = JpegFrame::default();
    let mut rest = data
        .strip_prefix(&[0xFF, 0xD8])
        .ok_or_else(|| damaged(format, &"it does not begin as it should"))?;
    loop {
        match *rest {
            [0xFF, 0xFF, ..] => rest = &rest[1..],
            [0xFF, marker, high, low, ref after @ ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                let segment = after
                    .get(..length.saturating_sub(2))
                    .ok_or(DecodeError::CutOff)?;
                match (marker, segment) {
                    // Not among them: tables (C4, CC) and an extension (C8).
                    (
                        0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF,
                        &[precision, h1, h0, w1, w0, components, ..],
                    ) => {
                        if marker > 0xC3 {
                            return Err(unsupported(format, &"arithmetic or hierarchical coding"));
                        }
                        frame.is_lossless = marker == 0xC3;
                        frame.is_progressive = marker == 0xC2;
                        frame.precision = precision;
                        frame.size = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
                        frame.components = components;
                    }
                    (0xDD, &[a, b, ..]) => frame.restarts = a != 0 || b != 0,
                    (0xE0, segment) if segment.starts_with(b"JFIF\0") => frame.is_jfif = true,
                    (0xEE, segment) if segment.starts_with(b"Adobe") => {
                        frame.adobe = segment.get(11).copied();
                    }
                    (0xDA, segment) => {
                        frame.point_transform = segment.last().map_or(0, |last| last & 0x0F);
                        return Ok(frame);
                    }
                    _ => {}
                }
                rest = after.get(length.saturating_sub(2)..).unwrap_or_default();
            }
            [] | [_] | [_, _] | [_, _, _] => return Err(DecodeError::CutOff),
            _ => return Err(damaged(format, &"a marker is missing")),
        }
    }
}

fn jpeg(data: &[u8], format: &Format) -> Result<(Vec<u16>, Photometric), DecodeError> {
    let frame = jpeg_frame(data, format)?;
    let (width, height) = frame.size;
    if (u32::from(width), u32::from(height)) != (format.size.width, format.size.height)
        || usize::from(frame.components) != format.samples()
    {
        return Err(of_another_size());
    }
    if frame.is_lossless && (frame.restarts || frame.point_transform > 0) {
        // The decoder would give wrong values.
        return Err(unsupported(
            format,
            &"restart markers or values that were shortened",
        ));
    }
    if frame.is_progressive {
        // DICOM has retired it, and a few bytes of it can ask for as many passes over an image as they like.
        return Err(unsupported(format, &"progressive"));
    }
    if !frame.is_lossless && frame.precision != 8 {
        if frame.precision != 12 || frame.components != 1 {
            return Err(unsupported(format, &"more than 8 bits in colour"));
        }
        let samples = jpeg_12::decoded(data, width.into(), height.into())?;
        return Ok((samples, format.photometric));
    }
    let mut decoder = Decoder::new(data);
    decoder.set_max_decoding_buffer_size(MAX_BYTES as usize);
    let mut photometric = format.photometric;
    if frame.components == 3 && !frame.is_lossless {
        // The stream knows better than the header, which is often left from before the compression.
        let is_rgb = match (frame.adobe, frame.is_jfif) {
            (Some(transform), _) => transform == 0,
            (None, true) => false,
            (None, false) => photometric == Photometric::Colours(Colours::Rgb),
        };
        decoder.set_color_transform(if is_rgb {
            ColorTransform::RGB
        } else {
            ColorTransform::YCbCr
        });
        photometric = Photometric::Colours(Colours::Rgb);
    }
    let bytes = decoder.decode().map_err(|error| match error {
        jpeg_decoder::Error::Unsupported(what) => unsupported(format, &format!("{what:?}")),
        other => damaged(format, &other),
    })?;
    // Lossless samples of 8 bits are bytes, all others words.
    let samples = if frame.is_lossless && frame.precision != 8 {
        let (words, _) = bytes.as_chunks::<2>();
        words.iter().map(|word| u16::from_ne_bytes(*word)).collect()
    } else {
        bytes.into_iter().map(u16::from).collect()
    };
    Ok((samples, photometric))
}

fn jpeg_ls(data: &[u8], format: &Format) -> Result<Vec<u16>, DecodeError> {
    if format.samples() != 1 {
        return Err(unsupported(format, &"in colour"));
    }
    let (samples, _, _) = jpegls::decode(data, format.size.width, format.size.height)
        .map_err(|error| damaged(format, &error))?;
    Ok(samples)
}

fn jpeg_2000(data: &[u8], format: &Format) -> Result<Vec<u16>, DecodeError> {
    let settings = DecodeSettings {
        resolve_palette_indices: false,
        strict: true,
        target_resolution: None,
    };
    let is_signed = checked_codestream(data, format)?;
    let image = Image::new(data, &settings).map_err(|error| damaged(format, &error))?;
    if (image.width(), image.height()) != (format.size.width, format.size.height) {
        return Err(of_another_size());
    }
    let mut context = DecoderContext::default();
    let decoded = image
        .decode(&mut context)
        .map_err(|error| damaged(format, &error))?;
    // Where the stream calls its values signed, they come out above those that are not.
    let sign = |bits: u8| {
        if is_signed { 1_u16 << (bits - 1) } else { 0 }
    };
    let (count, pixels) = (format.samples(), format.pixels());
    let components = decoded.components();
    if components.len() < count || components.iter().any(|c| c.samples().len() != pixels) {
        return Err(of_another_size());
    }
    let mut samples = vec![0_u16; pixels * count];
    for (i, component) in components.iter().take(count).enumerate() {
        let bits = component.bit_depth().clamp(1, 16);
        let (highest, sign) = (f32::from(u16::MAX >> (16 - bits)), sign(bits));
        for (sample, value) in samples[i..]
            .iter_mut()
            .step_by(count)
            .zip(component.samples())
        {
            *sample = (value.round().clamp(0.0, highest) as u16).wrapping_sub(sign);
        }
    }
    Ok(samples)
}

/// From so many pixels on small precincts would cost more memory than the image.
const MANY_FOR_SMALL_PRECINCTS: u64 = 1 << 20;

/// Whether the codestream's values are signed, where the rest of what it announces (ISO 15444-1, annex A) is as the header says and
/// costs no more than such an image should.
fn checked_codestream(data: &[u8], format: &Format) -> Result<bool, DecodeError> {
    const START_AND_SIZE: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
    let long = |at: usize| -> Option<u64> {
        Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?).into())
    };
    let short = |at: usize| -> Option<usize> {
        Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?).into())
    };
    // It may stand in a JP2 file's boxes.
    let start = data.windows(4).position(|bytes| bytes == START_AND_SIZE);
    let fields = |size: usize| {
        let [x, y, x0, y0, tile_x, tile_y, tile_x0, tile_y0] =
            std::array::from_fn(|i| long(size + 6 + 4 * i));
        let sides = (x?.checked_sub(x0?)?, y?.checked_sub(y0?)?);
        let across = x?.checked_sub(tile_x0?)?.div_ceil(tile_x?.max(1));
        let down = y?.checked_sub(tile_y0?)?.div_ceil(tile_y?.max(1));
        let components = data.get(size + 40..)?.get(..3 * short(size + 38)?)?;
        Some((
            sides,
            across.saturating_mul(down),
            components.as_chunks::<3>().0,
        ))
    };
    let Some((start, (sides, tiles, components))) =
        start.and_then(|start| Some((start, fields(start + 2)?)))
    else {
        return Err(DecodeError::CutOff);
    };
    let size = (format.size.width.into(), format.size.height.into());
    if sides != size || components.len() != format.samples() {
        return Err(of_another_size());
    }
    let precision = components[0][0];
    let is_alike = |component: &[u8; 3]| *component == [precision, 1, 1];
    if precision & 0x7F > 15 || !components.iter().all(is_alike) {
        return Err(unsupported(
            format,
            &"components that differ, or above 16 bits",
        ));
    }
    // As many as the standard allows.
    if tiles > 65535 {
        return Err(damaged(format, &"it has too many tiles"));
    }
    let (mut at, mut tile_end) = (start + 2, None);
    while let (Some(marker), Some(length)) = (short(at), short(at + 2)) {
        let segment = data.get(at + 4..at + 2 + length).unwrap_or_default();
        // Where precincts are not of the greatest size: after ten bytes; for one component after seven.
        let precincts = match (marker, segment) {
            (0xFF52, [style, ..]) if style & 1 != 0 => segment.get(10..),
            (0xFF53, [_, style, ..]) if style & 1 != 0 => segment.get(7..),
            (0xFF90, _) => {
                tile_end = long(at + 6).and_then(|length| at.checked_add(length as usize));
                None
            }
            _ => None,
        };
        let is_small = |sides: &u8| sides & 0x0F < 4 || sides >> 4 < 4;
        if format.size.area() > MANY_FOR_SMALL_PRECINCTS
            && precincts.unwrap_or_default().iter().any(is_small)
        {
            return Err(unsupported(format, &"very small precincts"));
        }
        at = match (marker, tile_end) {
            // Its data follow; the next tile begins where they end.
            (0xFF93, Some(end)) if end > at => end,
            (0xFF93 | 0xFFD9, _) => break,
            _ => at + 2 + length.max(2),
        };
    }
    Ok(precision & 0x80 != 0)
}
