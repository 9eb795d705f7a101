//! Walks the elements of a DICOM data set (PS3.5, chapter 7). Nothing is copied, nothing is called recursively however deep
//! sequences are nested, and every step goes forward: time and memory are bounded by the bytes.

use std::collections::BTreeMap;

use crate::decode::DecodeError;

/// Group and element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(pub u16, pub u16);

const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

/// The length of what ends with a delimiter.
const UNDEFINED: u32 = 0xFFFF_FFFF;

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    pub explicit_vr: bool,
    pub big_endian: bool,
}

impl Encoding {
    pub const IMPLICIT_LITTLE: Self = Self {
        explicit_vr: false,
        big_endian: false,
    };
    pub const EXPLICIT_LITTLE: Self = Self {
        explicit_vr: true,
        big_endian: false,
    };
    pub const EXPLICIT_BIG: Self = Self {
        explicit_vr: true,
        big_endian: true,
    };

    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }
}

/// The pixels as they stand in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PixelData<'a> {
    /// From the first byte to the last that is there; `stated` is how many there should be.
    Native {
        bytes: &'a [u8],
        stated: usize,
        /// Written as 16-bit words, which are in the file's byte order even where a pixel is 8 bits.
        words: bool,
    },
    /// Items: an offset table and fragments, to the end of the file.
    Encapsulated(&'a [u8]),
}

/// Some elements of a data set, by their tags.
#[derive(Debug, Clone)]
pub struct DataSet<'a> {
    encoding: Encoding,
    elements: BTreeMap<Tag, &'a [u8]>,
    pub pixel_data: Option<PixelData<'a>>,
}

impl<'a> DataSet<'a> {
    /// Reads the elements in `wanted` up to the pixels, or only those at the beginning of one group, little endian.
    /// Where they end is the second answer.
    pub fn read(
        bytes: &'a [u8],
        encoding: Encoding,
        wanted: &[Tag],
        group: Option<u16>,
    ) -> Result<(Self, usize), DecodeError> {
        let mut set = Self {
            encoding,
            elements: BTreeMap::new(),
            pixel_data: None,
        };
        let mut walk = Walk { bytes, at: 0 };
        while !walk.rest().is_empty() {
            let start = walk.at;
            // What follows a group may be written in another way, or compressed.
            if group.is_some_and(|group| !walk.rest().starts_with(&group.to_le_bytes())) {
                break;
            }
            let Header { tag, vr, length } = walk.header(encoding)?;
            if tag == ITEM_END {
                return Ok((set, start));
            }
            if tag.0 == 0xFFFE {
                return Err(DecodeError::Damaged(
                    "an item stands outside of a sequence".to_owned(),
                ));
            }
            if tag == PIXEL_DATA {
                set.pixel_data = Some(if length == UNDEFINED {
                    PixelData::Encapsulated(walk.rest())
                } else {
                    let stated = length as usize;
                    let rest = walk.rest();
                    PixelData::Native {
                        bytes: rest.get(..stated).unwrap_or(rest),
                        stated,
                        words: vr != *b"OB",
                    }
                });
                return Ok((set, walk.at));
            }
            let value = if length == UNDEFINED {
                // What a person's program does not know is written as UN, with its contents as in Implicit VR Little Endian.
                let inner = if vr == *b"UN" {
                    Encoding::IMPLICIT_LITTLE
                } else {
                    encoding
                };
                walk.sequence(inner)?
            } else {
                walk.take(length)?
            };
            if wanted.contains(&tag) {
                set.elements.insert(tag, value);
            }
        }
        Ok((set, walk.at))
    }

    /// An element's bytes, where it has any.
    pub fn bytes(&self, tag: Tag) -> Option<&'a [u8]> {
        self.elements
            .get(&tag)
            .copied()
            .filter(|value| !value.is_empty())
    }

    /// All of an element's 16-bit numbers.
    pub fn words(&self, tag: Tag) -> Option<Vec<u16>> {
        let (pairs, _) = self.bytes(tag)?.as_chunks::<2>();
        Some(pairs.iter().map(|pair| self.encoding.u16(*pair)).collect())
    }

    /// An element's first 16-bit number.
    pub fn word(&self, tag: Tag) -> Option<u16> {
        let pair = self.bytes(tag)?.first_chunk::<2>()?;
        Some(self.encoding.u16(*pair))
    }

    /// An element's first text, without the spaces and zeros that fill it up.
    pub fn text(&self, tag: Tag) -> Option<&'a str> {
        let text = self.bytes(tag)?.split(|byte| *byte == b'\\').next()?;
        let text = std::str::from_utf8(text)
            .ok()?
            .trim_matches([' ', '\0', '\t', '\r', '\n']);
        (!text.is_empty()).then_some(text)
    }

    /// An element's first number that is written as text.
    pub fn number(&self, tag: Tag) -> Option<f64> {
        self.text(tag)?
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
    }

    /// The elements in `wanted` of a sequence's first item.
    pub fn first_item(&self, tag: Tag, wanted: &[Tag]) -> Option<Self> {
        let mut walk = Walk {
            bytes: self.bytes(tag)?,
            at: 0,
        };
        let (tag, length) = walk.tag_and_length(self.encoding).ok()?;
        let item = if length == UNDEFINED {
            walk.rest()
        } else {
            walk.take(length).ok()?
        };
        let (item, _) = Self::read(item, self.encoding, wanted, None).ok()?;
        (tag == ITEM).then_some(item)
    }
}

/// The fragments of encapsulated pixels, the offset table left out.
pub fn fragments(bytes: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    let mut walk = Walk { bytes, at: 0 };
    let mut items = Vec::new();
    loop {
        // Always little endian (PS3.5, A.4).
        let (tag, length) = walk.tag_and_length(Encoding::EXPLICIT_LITTLE)?;
        match tag {
            ITEM if length != UNDEFINED => {
                let item = walk.take(length)?;
                // Empty ones would cost memory and hold nothing; the first is the table.
                if items.is_empty() || !item.is_empty() {
                    items.push(item);
                }
            }
            SEQUENCE_END => break,
            _ => {
                return Err(DecodeError::Damaged(
                    "its pixels are not in one piece".to_owned(),
                ));
            }
        }
    }
    if items.is_empty() {
        return Err(DecodeError::CutOff);
    }
    items.remove(0);
    Ok(items)
}

struct Header {
    tag: Tag,
    /// Zeros where it is not written.
    vr: [u8; 2],
    length: u32,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], DecodeError> {
        let value = self
            .rest()
            .get(..length as usize)
            .ok_or(DecodeError::CutOff)?;
        self.at += value.len();
        Ok(value)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let chunk = self.rest().first_chunk::<N>().ok_or(DecodeError::CutOff)?;
        self.at += N;
        Ok(*chunk)
    }

    fn tag(&mut self, encoding: Encoding) -> Result<Tag, DecodeError> {
        let (group, element) = (self.chunk()?, self.chunk()?);
        Ok(Tag(encoding.u16(group), encoding.u16(element)))
    }

    /// As items and their delimiters are written in every encoding.
    fn tag_and_length(&mut self, encoding: Encoding) -> Result<(Tag, u32), DecodeError> {
        let tag = self.tag(encoding)?;
        Ok((tag, encoding.u32(self.chunk()?)))
    }

    fn header(&mut self, encoding: Encoding) -> Result<Header, DecodeError> {
        let tag = self.tag(encoding)?;
        if !encoding.explicit_vr || tag.0 == 0xFFFE {
            return Ok(Header {
                tag,
                vr: [0; 2],
                length: encoding.u32(self.chunk()?),
            });
        }
        let vr: [u8; 2] = self.chunk()?;
        let length = match &vr {
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN"
            | b"UR" | b"UT" | b"UV" => {
                self.chunk::<2>()?;
                encoding.u32(self.chunk()?)
            }
            _ if vr.iter().all(u8::is_ascii_uppercase) => encoding.u16(self.chunk()?).into(),
            _ => {
                return Err(DecodeError::Damaged(
                    "its elements are not where they should be".to_owned(),
                ));
            }
        };
        Ok(Header { tag, vr, length })
    }

    /// Passes over what ends with a delimiter, and gives what stands before that.
    fn sequence(&mut self, encoding: Encoding) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        // Sequences and items that are open.
        let mut depth = 1_u64;
        // Within it, contents are as in Implicit VR Little Endian.
        let mut unknown: Option<u64> = None;
        loop {
            let end = self.at;
            let inner = if unknown.is_some() {
                Encoding::IMPLICIT_LITTLE
            } else {
                encoding
            };
            let Header { tag, vr, length } = self.header(inner)?;
            match tag {
                ITEM_END | SEQUENCE_END => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(self.bytes.get(start..end).unwrap_or_default());
                    }
                    unknown = unknown.filter(|at| depth >= *at);
                }
                _ if length == UNDEFINED => {
                    depth += 1;
                    if vr == *b"UN" {
                        unknown = unknown.or(Some(depth));
                    }
                }
                _ => {
                    self.take(length)?;
                }
            }
        }
    }
}
