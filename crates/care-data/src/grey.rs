//! Images of grey values, and the window through which they are seen: the second half of DICOM's way from stored values
//! to a screen (PS3.3 C.11.1 modality LUT, C.11.2 VOI LUT), for PNG and TIFF as well.

use std::fmt;
use std::str::FromStr;

use image::{ImageBuffer, Luma, Pixel, Primitive, RgbImage};
use serde::{Deserialize, Serialize};

use crate::geometry::ImageSize;

/// The values from black to white, in the unit that the modality LUT gives (Hounsfield units for CT; numbers otherwise).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub center: f64,
    /// At least 1.
    pub width: f64,
}

impl Window {
    /// For CT only, in Hounsfield units.
    pub const LUNG: Self = Self {
        center: -600.0,
        width: 1500.0,
    };
    /// For CT only, in Hounsfield units.
    pub const BONE: Self = Self {
        center: 400.0,
        width: 1800.0,
    };

    /// The window that makes `low` black and `high` white.
    #[must_use]
    pub fn from_range(low: f64, high: f64) -> Self {
        let width = (high - low).max(0.0) + 1.0;
        Self {
            center: low + width / 2.0,
            width,
        }
    }

    /// Where a value lies between black, 0, and white, 1.
    fn place(self, value: f64, function: VoiFunction) -> f64 {
        let Self { center, width } = self;
        match function {
            // C.11.2.1.2.1; of width 1 it is a threshold.
            VoiFunction::Linear if width <= 1.0 => f64::from(u8::from(value > center - 0.5)),
            VoiFunction::Linear => (value - (center - 0.5)) / (width - 1.0) + 0.5,
            VoiFunction::LinearExact => (value - center) / width + 0.5,
            VoiFunction::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
        }
        .clamp(0.0, 1.0)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.center, self.width)
    }
}

/// Which window grey images are seen through.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Windowing {
    /// The file's own. Without one: all values of 8 bits and of PNG and TIFF, the percentiles of other DICOM files.
    #[default]
    File,
    /// From the 1st to the 99th percentile of each image's values.
    Auto,
    /// All values that the image can hold.
    Full,
    Fixed(Window),
}

impl fmt::Display for Windowing {
    /// As [`FromStr`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Auto => f.write_str("auto"),
            Self::Full => f.write_str("full"),
            Self::Fixed(window) => window.fmt(f),
        }
    }
}

/// A window that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no window: write file, auto, full, or center,width such as 40,400, the width at least 1"
)]
pub struct NotAWindow(String);

impl FromStr for Windowing {
    type Err = NotAWindow;

    fn from_str(text: &str) -> Result<Self, NotAWindow> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
        match text.trim() {
            "file" => Ok(Self::File),
            "auto" => Ok(Self::Auto),
            "full" => Ok(Self::Full),
            other => other
                .split_once(',')
                .and_then(|(center, width)| Some((number(center)?, number(width)?)))
                .filter(|(_, width)| *width >= 1.0)
                .map(|(center, width)| Self::Fixed(Window { center, width }))
                .ok_or_else(|| NotAWindow(text.to_owned())),
        }
    }
}

impl From<Windowing> for String {
    fn from(windowing: Windowing) -> Self {
        windowing.to_string()
    }
}

impl TryFrom<String> for Windowing {
    type Error = NotAWindow;

    fn try_from(text: String) -> Result<Self, NotAWindow> {
        text.parse()
    }
}

/// How the grey images of a project are seen, by people and by networks. Colour images are as they are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Look {
    pub windowing: Windowing,
    /// Black and white exchanged.
    pub invert: bool,
}

/// How values between black and white are placed (C.11.2.1.2, C.11.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VoiFunction {
    #[default]
    Linear,
    LinearExact,
    Sigmoid,
}

/// What the file itself wants of its values.
#[derive(Debug, Clone, PartialEq)]
pub enum Voi {
    Window(Window, VoiFunction),
    /// For each value from `first` on a place from 0 to 1; those beyond take the nearest.
    Table {
        first: f64,
        places: Vec<f32>,
    },
    Full,
    Auto,
}

/// From stored values to those that mean something.
#[derive(Debug, Clone, PartialEq)]
pub enum Modality {
    Rescale {
        slope: f64,
        intercept: f64,
    },
    /// For each stored value from `first` on; those beyond take the nearest.
    Table {
        first: i32,
        values: Vec<f32>,
    },
}

impl Modality {
    pub const IDENTITY: Self = Self::Rescale {
        slope: 1.0,
        intercept: 0.0,
    };

    fn value(&self, stored: i32) -> f64 {
        match self {
            Self::Rescale { slope, intercept } => f64::from(stored) * slope + intercept,
            Self::Table { first, values } => {
                let at = (i64::from(stored) - i64::from(*first)).clamp(0, values.len() as i64 - 1);
                f64::from(values[at as usize])
            }
        }
    }
}

/// An image of one channel, upright, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct GreyImage {
    pub(crate) size: ImageSize,
    /// Row by row. Each is a stored value less `lowest`.
    pub(crate) codes: Vec<u16>,
    /// The lowest and the highest stored value that there can be; at most 65536 apart.
    pub(crate) lowest: i32,
    pub(crate) highest: i32,
    pub(crate) modality: Modality,
    pub(crate) voi: Voi,
    /// White is the lowest value (MONOCHROME1).
    pub(crate) white_is_low: bool,
    /// The stored value outside the picture proper; it is none of the image's values.
    pub(crate) padding: Option<i32>,
    /// The values are Hounsfield units.
    pub(crate) hounsfield: bool,
}

impl GreyImage {
    /// Of values that mean nothing but their order: all of them are seen unless a window is chosen. Where 16 bits hold no
    /// more than 12, as many devices give, these are all.
    pub(crate) fn from_luma<S>(image: &ImageBuffer<Luma<S>, Vec<S>>) -> Self
    where
        S: Primitive + Into<u16>,
        Luma<S>: Pixel<Subpixel = S>,
    {
        const MAX_OF_12_BITS: u16 = 4095;
        let codes: Vec<u16> = image.as_raw().iter().map(|code| (*code).into()).collect();
        let max = S::DEFAULT_MAX_VALUE.into();
        let is_of_12_bits = codes.iter().all(|code| *code <= MAX_OF_12_BITS);
        Self {
            size: ImageSize::new(image.width(), image.height()),
            codes,
            lowest: 0,
            highest: if is_of_12_bits {
                max.min(MAX_OF_12_BITS)
            } else {
                max
            }
            .into(),
            modality: Modality::IDENTITY,
            voi: Voi::Full,
            white_is_low: false,
            padding: None,
            hounsfield: false,
        }
    }

    #[must_use]
    pub fn size(&self) -> ImageSize {
        self.size
    }

    /// Whether low values are bright.
    #[must_use]
    pub fn is_inverted(&self, look: &Look) -> bool {
        self.white_is_low != look.invert
    }

    #[must_use]
    pub fn voi(&self) -> &Voi {
        &self.voi
    }

    /// Whether [`Window::LUNG`] and [`Window::BONE`] mean anything.
    #[must_use]
    pub fn is_hounsfield(&self) -> bool {
        self.hounsfield
    }

    /// The value at a pixel, after the modality LUT.
    #[must_use]
    pub fn value(&self, x: u32, y: u32) -> Option<f64> {
        let at = u64::from(y) * u64::from(self.size.width) + u64::from(x);
        let code = self.codes.get(usize::try_from(at).ok()?)?;
        (x < self.size.width).then(|| self.value_of(*code))
    }

    /// What the window is in numbers; none where the file brings a table instead.
    #[must_use]
    pub fn window(&self, windowing: Windowing) -> Option<Window> {
        match windowing {
            Windowing::Fixed(window) => Some(window),
            Windowing::Auto => Some(self.percentiles()),
            Windowing::Full => Some(self.full()),
            Windowing::File => match &self.voi {
                Voi::Window(window, _) => Some(*window),
                Voi::Full => Some(self.full()),
                Voi::Auto => Some(self.percentiles()),
                Voi::Table { .. } => None,
            },
        }
    }

    /// 8 bits, the same in all three channels.
    #[must_use]
    pub fn seen(&self, look: &Look) -> RgbImage {
        let greys = self.greys(look);
        let mut image = RgbImage::new(self.size.width, self.size.height);
        for (pixel, code) in image.pixels_mut().zip(&self.codes) {
            pixel.0 = [greys[usize::from(*code)]; 3];
        }
        image
    }

    /// The values after the modality LUT as 16-bit greys, low is black whatever the file says; with them the slope and the
    /// intercept that give the values back. Whole values in reach of 16 bits are kept exactly.
    #[must_use]
    pub fn raw(&self) -> (Vec<u16>, f64, f64) {
        let values: Vec<f64> = self.all_codes().map(|code| self.value_of(code)).collect();
        let (low, high) = bounds(&values);
        let exact = values.iter().all(|v| v.fract() == 0.0) && high - low <= f64::from(u16::MAX);
        let slope = if exact || high <= low {
            1.0
        } else {
            (high - low) / f64::from(u16::MAX)
        };
        let intercept = if exact && low >= 0.0 && high <= f64::from(u16::MAX) {
            0.0
        } else {
            low
        };
        let greys: Vec<u16> = values
            .iter()
            .map(|value| ((value - intercept) / slope).round() as u16)
            .collect();
        let raw = self.codes.iter().map(|code| greys[usize::from(*code)]);
        (raw.collect(), slope, intercept)
    }

    fn full(&self) -> Window {
        let values: Vec<f64> = self.all_codes().map(|code| self.value_of(code)).collect();
        let (low, high) = bounds(&values);
        Window::from_range(low, high)
    }

    /// From the 1st to the 99th percentile of the picture proper.
    fn percentiles(&self) -> Window {
        let mut counts = vec![0_u64; self.all_codes().count()];
        for code in &self.codes {
            counts[usize::from(*code)] += 1;
        }
        let padding = self
            .padding
            .and_then(|padding| usize::try_from(padding - self.lowest).ok());
        let mut of_value: Vec<(f64, u64)> = self
            .all_codes()
            .zip(&counts)
            .filter(|(code, count)| **count > 0 && Some(usize::from(*code)) != padding)
            .map(|(code, count)| (self.value_of(code), *count))
            .collect();
        of_value.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: u64 = of_value.iter().map(|(_, count)| count).sum();
        let beyond = |share: f64| {
            let mut seen = 0;
            let found = of_value.iter().find(|(_, count)| {
                seen += count;
                seen as f64 > share * total as f64
            });
            found.or(of_value.last()).map(|(value, _)| *value)
        };
        match (beyond(0.01), beyond(0.99)) {
            (Some(low), Some(high)) => Window::from_range(low, high),
            _ => self.full(),
        }
    }

    fn all_codes(&self) -> impl Iterator<Item = u16> + use<> {
        0..=(self.highest - self.lowest).clamp(0, i32::from(u16::MAX)) as u16
    }

    fn value_of(&self, code: u16) -> f64 {
        self.modality.value(self.lowest + i32::from(code))
    }

    /// What each code is seen as.
    fn greys(&self, look: &Look) -> Vec<u8> {
        let inverted = self.is_inverted(look);
        let window = self.window(look.windowing);
        let place = |value: f64| match (look.windowing, &self.voi, window) {
            (Windowing::File, Voi::Table { first, places }, _) => {
                let at = (value - first)
                    .round()
                    .clamp(0.0, places.len() as f64 - 1.0);
                f64::from(places[at as usize])
            }
            (Windowing::File, Voi::Window(window, function), _) => window.place(value, *function),
            (.., Some(window)) => window.place(value, VoiFunction::Linear),
            (.., None) => 0.0,
        };
        let of = |code| {
            let place = place(self.value_of(code));
            let place = if inverted { 1.0 - place } else { place };
            // Steps of the same width: of 16 bits the upper 8 remain, and 8 bits stay what they are.
            (place * 256.0).min(255.0) as u8
        };
        self.all_codes().map(of).collect()
    }
}

fn bounds(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of stored values, of 12 bits, signed.
    fn row(stored: &[i32], modality: Modality, voi: Voi) -> GreyImage {
        GreyImage {
            size: ImageSize::new(stored.len() as u32, 1),
            codes: stored.iter().map(|v| (v + 2048) as u16).collect(),
            lowest: -2048,
            highest: 2047,
            modality,
            voi,
            white_is_low: false,
            padding: None,
            hounsfield: true,
        }
    }

    fn seen(image: &GreyImage, windowing: Windowing) -> Vec<u8> {
        let look = Look {
            windowing,
            invert: false,
        };
        image.seen(&look).pixels().map(|p| p.0[0]).collect()
    }

    fn fixed(center: f64, width: f64) -> Windowing {
        Windowing::Fixed(Window { center, width })
    }

    /// PS3.3 C.11.2.1.2.1 and its note: center 2048 and width 4096 is the identity of 12 bits; center 0 and width 1 a
    /// threshold between -1 and 0, that is at -0.5.
    #[test]
    fn the_standards_own_examples() {
        let image = row(&[-1, 0, 100], Modality::IDENTITY, Voi::Full);
        assert_eq!(seen(&image, fixed(0.0, 1.0)), [0, 255, 255]);
        assert_eq!(seen(&image, fixed(0.0, 100.0)), [126, 129, 255]);
        let shifted = Modality::Rescale {
            slope: 1.0,
            intercept: 2048.0,
        };
        let image = row(&[-2048, -2032, 0, 2047], shifted, Voi::Full);
        assert_eq!(seen(&image, fixed(2048.0, 4096.0)), [0, 1, 128, 255]);
        assert_eq!(seen(&image, Windowing::Full), [0, 1, 128, 255]);
        assert_eq!(image.value(1, 0), Some(16.0));
        assert_eq!((image.value(4, 0), image.value(0, 1)), (None, None));
    }

    #[test]
    fn the_files_own_wishes_are_kept() {
        let window = Window {
            center: 50.0,
            width: 100.0,
        };
        for (function, expected) in [
            (VoiFunction::Linear, [0, 129, 255]),
            (VoiFunction::LinearExact, [0, 128, 255]),
            (VoiFunction::Sigmoid, [30, 128, 225]),
        ] {
            let image = row(
                &[0, 50, 100],
                Modality::IDENTITY,
                Voi::Window(window, function),
            );
            assert_eq!(seen(&image, Windowing::File), expected, "{function:?}");
            assert_eq!(image.window(Windowing::File), Some(window));
        }
        let table = Voi::Table {
            first: 10.0,
            places: vec![1.0, 0.5, 0.0],
        };
        let image = row(&[0, 10, 11, 12, 900], Modality::IDENTITY, table);
        assert_eq!(seen(&image, Windowing::File), [255, 255, 128, 0, 0]);
        assert_eq!(image.window(Windowing::File), None);
        assert_eq!(seen(&image, fixed(10.5, 2.0)), [0, 128, 255, 255, 255]);
        let modality = Modality::Table {
            first: 0,
            values: vec![5.0, 7.0],
        };
        let image = row(&[-9, 0, 1, 9], modality, Voi::Full);
        let values: Vec<_> = (0..4).filter_map(|x| image.value(x, 0)).collect();
        assert_eq!(values, [5.0, 5.0, 7.0, 7.0]);
    }

    #[test]
    fn white_may_be_low_and_may_be_exchanged() {
        let stored = [0, 255];
        let mut image = row(
            &stored,
            Modality::IDENTITY,
            Voi::Window(Window::from_range(0.0, 255.0), VoiFunction::Linear),
        );
        let invert = Look {
            invert: true,
            ..Look::default()
        };
        let low = |image: &GreyImage, look: &Look| image.seen(look).get_pixel(0, 0).0[0];
        assert_eq!(
            (low(&image, &Look::default()), low(&image, &invert)),
            (0, 255)
        );
        image.white_is_low = true;
        assert_eq!(
            (low(&image, &Look::default()), low(&image, &invert)),
            (255, 0)
        );
    }

    #[test]
    fn percentiles_leave_out_the_extremes_and_the_padding() {
        let mut stored: Vec<i32> = (0..1000).collect();
        stored.extend([-2000; 5000]);
        let mut image = row(&stored, Modality::IDENTITY, Voi::Auto);
        image.padding = Some(-2000);
        let window = image.window(Windowing::File).expect("numbers");
        assert_eq!(window, Window::from_range(10.0, 990.0));
        let flat = row(&[7; 4], Modality::IDENTITY, Voi::Auto);
        assert_eq!(seen(&flat, Windowing::Auto), [0; 4]);
        image.codes.fill(48);
        assert_eq!(image.window(Windowing::Auto), image.window(Windowing::Full));
    }

    #[test]
    fn eight_and_sixteen_bits_are_what_they_were() {
        let bytes = ImageBuffer::from_fn(256, 1, |x, _| Luma([x as u8]));
        let eight = GreyImage::from_luma(&bytes);
        let words = ImageBuffer::from_fn(256, 3, |x, y| {
            Luma([(x * 256 + [0, 128, 255][y as usize]) as u16])
        });
        let sixteen = GreyImage::from_luma(&words);
        for windowing in [Windowing::File, Windowing::Full] {
            let expected: Vec<u8> = (0..=255).collect();
            assert_eq!(seen(&eight, windowing), expected);
            assert_eq!(seen(&sixteen, windowing), expected.repeat(3));
        }
        let words = ImageBuffer::from_fn(256, 1, |x, _| Luma([(x * 16) as u16]));
        let twelve = GreyImage::from_luma(&words);
        let expected: Vec<u8> = (0..=255).collect();
        assert_eq!(seen(&twelve, Windowing::Full), expected);
        let inverted = Look {
            invert: true,
            ..Look::default()
        };
        let back = eight
            .seen(&inverted)
            .pixels()
            .map(|p| 255 - p.0[0])
            .collect::<Vec<_>>();
        assert_eq!(back, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn raw_values_come_back() {
        for (modality, slope, intercept, exact) in [
            (Modality::IDENTITY, 1.0, -2048.0, true),
            (
                Modality::Rescale {
                    slope: 2.0,
                    intercept: 4096.0,
                },
                1.0,
                0.0,
                true,
            ),
            (
                Modality::Rescale {
                    slope: 0.1,
                    intercept: 0.0,
                },
                409.5 / 65535.0,
                -204.8,
                false,
            ),
        ] {
            let stored = [-2048, -7, 0, 2047];
            let image = row(&stored, modality, Voi::Full);
            let (raw, found_slope, found_intercept) = image.raw();
            assert!(
                (found_slope - slope).abs() < 1e-12 && (found_intercept - intercept).abs() < 1e-12
            );
            for (x, raw) in raw.iter().enumerate() {
                let value = image.value(x as u32, 0).expect("a pixel");
                let back = f64::from(*raw) * slope + intercept;
                assert!(
                    (back - value).abs() <= if exact { 0.0 } else { slope },
                    "{value} {back}"
                );
            }
        }
    }

    #[test]
    fn windows_are_read_as_they_are_written() {
        for windowing in [
            Windowing::File,
            Windowing::Auto,
            Windowing::Full,
            fixed(-600.0, 1500.5),
        ] {
            assert_eq!(windowing.to_string().parse(), Ok(windowing));
        }
        assert_eq!(" 40 , 400 ".parse(), Ok(fixed(40.0, 400.0)));
        for wrong in ["", "40", "40,0", "40,-1", "nan,10", "1,2,3", "lung"] {
            assert!(wrong.parse::<Windowing>().is_err(), "{wrong}");
        }
    }
}
