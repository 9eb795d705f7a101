//! Transfer syntaxes (PS3.5, annex A; PS3.6, table A-1): how elements and pixels are written.

use super::data_set::Encoding;
use crate::decode::DecodeError;

/// How pixels are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Native,
    /// As native ones, the whole data set compressed.
    Deflated,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
}

#[derive(Debug, Clone, Copy)]
pub struct Syntax {
    pub encoding: Encoding,
    pub coding: Coding,
    /// As the standard calls it.
    pub name: &'static str,
}

/// What the UIDs of DICOM's own transfer syntaxes begin with.
const ROOT: &str = "1.2.840.10008.1.2";

impl Syntax {
    /// Of a data set without meta information.
    pub fn uncompressed(encoding: Encoding) -> Self {
        Self {
            encoding,
            coding: Coding::Native,
            name: "DICOM without meta information",
        }
    }

    /// The transfer syntax of a UID, where its pixels can be decoded.
    pub fn of(uid: &str) -> Result<Self, DecodeError> {
        let within = uid.strip_prefix(ROOT);
        let (coding, name) = match within {
            Some("") => (Coding::Native, "Implicit VR Little Endian"),
            Some(".1") => (Coding::Native, "Explicit VR Little Endian"),
            Some(".1.99") => (Coding::Deflated, "Deflated Explicit VR Little Endian"),
            Some(".2") => (Coding::Native, "Explicit VR Big Endian"),
            Some(".5") => (Coding::Rle, "RLE Lossless"),
            Some(".4.50") => (Coding::Jpeg, "JPEG Baseline"),
            Some(".4.51") => (Coding::Jpeg, "JPEG Extended"),
            Some(".4.57" | ".4.70") => (Coding::Jpeg, "JPEG Lossless"),
            Some(".4.80") => (Coding::JpegLs, "JPEG-LS Lossless"),
            Some(".4.81") => (Coding::JpegLs, "JPEG-LS Near-lossless"),
            Some(".4.90") => (Coding::Jpeg2000, "JPEG 2000 Lossless"),
            Some(".4.91") => (Coding::Jpeg2000, "JPEG 2000"),
            other => {
                let name = other.and_then(undecodable).unwrap_or("an unknown one");
                return Err(DecodeError::Unsupported(format!(
                    "DICOM with the transfer syntax {name}"
                )));
            }
        };
        let encoding = match within {
            Some("") => Encoding::IMPLICIT_LITTLE,
            Some(".2") => Encoding::EXPLICIT_BIG,
            _ => Encoding::EXPLICIT_LITTLE,
        };
        Ok(Self {
            encoding,
            coding,
            name,
        })
    }
}

/// The name of a transfer syntax that cannot be decoded.
fn undecodable(within: &str) -> Option<&'static str> {
    Some(match within {
        ".1.98" => "Encapsulated Uncompressed Explicit VR Little Endian",
        ".8.1" => "Deflated Image Frame Compression",
        ".4.52" | ".4.53" | ".4.54" | ".4.55" | ".4.56" | ".4.58" | ".4.59" | ".4.60" | ".4.61"
        | ".4.62" | ".4.63" | ".4.64" | ".4.65" | ".4.66" => "JPEG (retired)",
        ".4.92" | ".4.93" => "JPEG 2000 Part 2",
        ".4.94" | ".4.95" | ".4.204" | ".4.205" => "JPIP",
        ".4.100" | ".4.100.1" | ".4.101" | ".4.101.1" => "MPEG2",
        ".4.102" | ".4.102.1" | ".4.103" | ".4.103.1" | ".4.104" | ".4.104.1" | ".4.105"
        | ".4.105.1" | ".4.106" | ".4.106.1" => "MPEG-4 AVC/H.264",
        ".4.107" | ".4.108" => "HEVC/H.265",
        ".4.110" | ".4.111" | ".4.112" => "JPEG XL",
        ".4.201" | ".4.202" | ".4.203" => "High-Throughput JPEG 2000",
        ".6.1" => "RFC 2557 MIME",
        ".6.2" => "XML",
        ".7.1" | ".7.2" | ".7.3" => "SMPTE ST 2110",
        _ => return None,
    })
}
