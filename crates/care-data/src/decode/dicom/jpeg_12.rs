//! Greys of 12 bits in sequential JPEG (ITU-T T.81, annexes B, F and A.3.3), which no decoder at hand has.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use crate::decode::DecodeError;

/// Where the coefficient that comes as the n-th belongs.
#[rustfmt::skip]
const ZIGZAG: [usize; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

const HIGHEST: f32 = 4095.0;

/// Decodes a stream of one component of 12 bits, which is known to have these sides.
pub fn decoded(data: &[u8], width: usize, height: usize) -> Result<Vec<u16>, DecodeError> {
    let mut tables = Tables::default();
    let mut rest = data.get(2..).unwrap_or_default();
    loop {
        match *rest {
            [0xFF, 0xFF, ..] => rest = &rest[1..],
            [0xFF, marker, high, low, ref after @ ..] => {
                let length = usize::from(u16::from_be_bytes([high, low])).saturating_sub(2);
                let segment = after.get(..length).ok_or(DecodeError::CutOff)?;
                rest = after.get(length..).unwrap_or_default();
                match marker {
                    0xC1 => tables.used = usize::from(segment.get(8).copied().unwrap_or(0) & 3),
                    0xC4 => tables.read_huffman(segment)?,
                    0xDB => tables.read_quantisation(segment)?,
                    0xDD => {
                        let words = segment.as_chunks::<2>().0;
                        tables.restart = words.first().map_or(0, |word| u16::from_be_bytes(*word));
                    }
                    0xDA => return tables.scan(segment, rest, width, height),
                    _ => {}
                }
            }
            _ => return Err(DecodeError::CutOff),
        }
    }
}

fn damaged() -> DecodeError {
    DecodeError::Damaged("its JPEG stream does not fit its tables".to_owned())
}

/// Canonical codes, shortest first.
#[derive(Default, Clone)]
struct Huffman {
    /// Of each length from 1 on: how many codes there are.
    counts: [u8; 16],
    symbols: Vec<u8>,
}

#[derive(Default)]
struct Tables {
    /// Those for the first coefficient of a block, then those for the others.
    huffman: [[Huffman; 4]; 2],
    quantisation: [Option<[u16; 64]>; 4],
    /// Which quantisation the component has.
    used: usize,
    /// Blocks between restart markers.
    restart: u16,
}

impl Tables {
    fn read_huffman(&mut self, mut segment: &[u8]) -> Result<(), DecodeError> {
        while let [class, rest @ ..] = segment {
            let counts = *rest.first_chunk::<16>().ok_or_else(damaged)?;
            let count: usize = counts.iter().map(|n| usize::from(*n)).sum();
            let symbols = rest.get(16..16 + count).ok_or_else(damaged)?.to_vec();
            segment = &rest[16 + count..];
            self.huffman[usize::from(class >> 4 & 1)][usize::from(class & 3)] =
                Huffman { counts, symbols };
        }
        Ok(())
    }

    fn read_quantisation(&mut self, mut segment: &[u8]) -> Result<(), DecodeError> {
        while let [kind, rest @ ..] = segment {
            let width = if kind >> 4 == 0 { 1 } else { 2 };
            let values = rest.get(..64 * width).ok_or_else(damaged)?;
            let mut table = [0; 64];
            for (entry, value) in table.iter_mut().zip(values.chunks(width)) {
                *entry = value
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u16::from(*byte));
            }
            self.quantisation[usize::from(kind & 3)] = Some(table);
            segment = &rest[64 * width..];
        }
        Ok(())
    }

    fn scan(
        &self,
        header: &[u8],
        data: &[u8],
        width: usize,
        height: usize,
    ) -> Result<Vec<u16>, DecodeError> {
        let &[1, _, chosen, 0, 63, 0] = header else {
            return Err(damaged());
        };
        let first = &self.huffman[0][usize::from(chosen >> 4 & 3)];
        let others = &self.huffman[1][usize::from(chosen & 3)];
        let quantisation = self.quantisation[self.used].ok_or_else(damaged)?;
        let cosines = cosines();
        let mut bits = Bits {
            data,
            held: 0,
            count: 0,
        };
        let (mut predicted, mut until_restart) = (0_i32, self.restart);
        let mut samples = vec![0; width * height];
        for top in (0..height).step_by(8) {
            for left in (0..width).step_by(8) {
                if self.restart > 0 {
                    if until_restart == 0 {
                        bits.restart()?;
                        (predicted, until_restart) = (0, self.restart);
                    }
                    until_restart -= 1;
                }
                let mut block = [0.0; 64];
                let size = bits.symbol(first)?;
                predicted = predicted.wrapping_add(bits.signed(size)?);
                block[0] = predicted as f32 * f32::from(quantisation[0]);
                let mut at = 1;
                while at < 64 {
                    let symbol = bits.symbol(others)?;
                    let (zeros, size) = (usize::from(symbol >> 4), symbol & 0x0F);
                    match (zeros, size) {
                        (15, 0) => at += 16,
                        (_, 0) => break,
                        _ => {
                            at += zeros;
                            let place = *ZIGZAG.get(at).ok_or_else(damaged)?;
                            block[place] = bits.signed(size)? as f32 * f32::from(quantisation[at]);
                            at += 1;
                        }
                    }
                }
                let block = inverse(&block, &cosines);
                for (row, y) in block.as_chunks::<8>().0.iter().zip(top..height) {
                    for (value, x) in row.iter().zip(left..width) {
                        samples[y * width + x] = value.clamp(0.0, HIGHEST).round() as u16;
                    }
                }
            }
        }
        Ok(samples)
    }
}

/// `C(u) / 2 * cos((2 x + 1) u pi / 16)` at `[x][u]` (A.3.3).
fn cosines() -> [[f32; 8]; 8] {
    std::array::from_fn(|x| {
        std::array::from_fn(|u| {
            let scale = if u == 0 { FRAC_1_SQRT_2 } else { 1.0 };
            scale / 2.0 * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos()
        })
    })
}

/// The inverse transform of a block, its middle at 2048.
fn inverse(block: &[f32; 64], cosines: &[[f32; 8]; 8]) -> [f32; 64] {
    let mut rows = [0.0; 64];
    for (from, to) in block
        .as_chunks::<8>()
        .0
        .iter()
        .zip(rows.as_chunks_mut::<8>().0)
    {
        for (x, value) in to.iter_mut().enumerate() {
            *value = from.iter().zip(&cosines[x]).map(|(a, b)| a * b).sum();
        }
    }
    std::array::from_fn(|i| {
        let (y, x) = (i / 8, i % 8);
        let sum: f32 = (0..8).map(|v| rows[8 * v + x] * cosines[y][v]).sum();
        sum + 2048.0
    })
}

/// The bits of a scan, zeros that were stuffed in left out.
struct Bits<'a> {
    data: &'a [u8],
    held: u32,
    count: u32,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<u32, DecodeError> {
        if self.count == 0 {
            self.held = match *self.data {
                [0xFF, 0, ref rest @ ..] => {
                    self.data = rest;
                    0xFF
                }
                // A marker: nothing follows.
                [0xFF, ..] | [] => return Err(DecodeError::CutOff),
                [byte, ref rest @ ..] => {
                    self.data = rest;
                    byte.into()
                }
            };
            self.count = 8;
        }
        self.count -= 1;
        Ok(self.held >> self.count & 1)
    }

    fn symbol(&mut self, huffman: &Huffman) -> Result<u8, DecodeError> {
        let (mut code, mut first, mut before) = (0, 0, 0);
        for count in huffman.counts {
            let count = u32::from(count);
            code = code << 1 | self.bit()?;
            first <<= 1;
            if code < first + count {
                let at = before + code.checked_sub(first).ok_or_else(damaged)?;
                return huffman
                    .symbols
                    .get(at as usize)
                    .copied()
                    .ok_or_else(damaged);
            }
            first += count;
            before += count;
        }
        Err(damaged())
    }

    /// A value of `size` bits; those that begin with 0 are negative (F.2.2.1).
    fn signed(&mut self, size: u8) -> Result<i32, DecodeError> {
        if size > 15 {
            return Err(damaged());
        }
        let mut value = 0;
        for _ in 0..size {
            value = value << 1 | self.bit()?.cast_signed();
        }
        Ok(if size > 0 && value >> (size - 1) == 0 {
            value - (1 << size) + 1
        } else {
            value
        })
    }

    /// Passes over a restart marker.
    fn restart(&mut self) -> Result<(), DecodeError> {
        self.count = 0;
        match *self.data {
            [0xFF, 0xD0..=0xD7, ref rest @ ..] => {
                self.data = rest;
                Ok(())
            }
            [_, _, ..] => Err(damaged()),
            _ => Err(DecodeError::CutOff),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Two flat blocks of 8 x 8: codes 0 and 10 for no bits and for four, a quantisation of 8 throughout.
    fn stream(restart: u8, blocks: &[u8]) -> Vec<u8> {
        let table = |class: u8, counts: [u8; 2], symbols: &[u8]| {
            let rest = [counts.as_slice(), &[0; 14], symbols].concat();
            [
                &[0xFF, 0xC4, 0, 19 + symbols.len() as u8, class],
                rest.as_slice(),
            ]
            .concat()
        };
        [
            &[0xFF, 0xD8][..],
            &[0xFF, 0xDB, 0, 67, 0],
            &[8; 64],
            &[0xFF, 0xC1, 0, 11, 12, 0, 8, 0, 16, 1, 1, 0x11, 0],
            &table(0, [1, 1], &[0, 4]),
            &table(0x10, [1, 0], &[0]),
            &[0xFF, 0xDD, 0, 4, 0, restart],
            &[0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0],
            blocks,
            &[0xFF, 0xD9],
        ]
        .concat()
    }

    #[test]
    fn restart_markers_begin_anew() {
        // +10, no more; then -10, no more.
        let (up, down) = (0b1010_1001, 0b1001_0101);
        for (restart, blocks, expected) in [
            (1, &[up, 0xFF, 0xD0, down][..], [2058, 2038]),
            (1, &[up, 0xFF, 0xD0, up], [2058, 2058]),
            // Seven bits and seven bits: the second counts from the first.
            (0, &[0b1010_1001, 0b0010_1011], [2058, 2048]),
        ] {
            let samples = decoded(&stream(restart, blocks), 16, 8).unwrap();
            let (left, right) = (samples[8 * 16 - 9], samples[8]);
            assert_eq!([left, right], expected, "{blocks:?}");
        }
        for blocks in [&[][..], &[up], &[up, 0xFF, 0xD0], &[up, 0, 0, down]] {
            assert!(decoded(&stream(1, blocks), 16, 8).is_err());
        }
    }
}
