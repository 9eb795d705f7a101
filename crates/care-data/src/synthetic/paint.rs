//! Noise, and the words that every image bears.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::SIDE;

/// Smooth noise over the picture, from -1 to 1: random values at `cells` x `cells` points, softly joined.
pub(super) struct Field {
    cells: usize,
    values: Vec<f32>,
}

impl Field {
    pub(super) fn new(cells: usize, rng: &mut ChaCha8Rng) -> Self {
        let values = (0..(cells + 2) * (cells + 2))
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        Self { cells, values }
    }

    /// At `x`, `y` in 0..1.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (
            x.clamp(0.0, 1.0) * self.cells as f32,
            y.clamp(0.0, 1.0) * self.cells as f32,
        );
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (smoothstep(x - column as f32), smoothstep(y - row as f32));
        let stride = self.cells + 2;
        let [a, b] = [
            &self.values[row * stride + column..][..2],
            &self.values[(row + 1) * stride + column..][..2],
        ];
        let (above, below) = (a[0] + fx * (a[1] - a[0]), b[0] + fx * (b[1] - b[0]));
        above + fy * (below - above)
    }
}

/// Cheaper than `f32::hypot`, whose care for huge numbers nobody needs here.
pub(super) fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

pub(super) fn smoothstep(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Writes what this is into the lower right corner, so that no copy of it can be taken for a patient's. `blend` mixes a
/// pixel, x and y, with a grey by a share.
pub(super) fn stamp(mut blend: impl FnMut(i32, i32, f32, f32)) {
    const WORD: [[u8; 6]; 9] = [
        // One row a byte, three pixels each, top to bottom; the sixth row holds descenders.
        [0b011, 0b100, 0b010, 0b001, 0b110, 0],     // s
        [0b000, 0b101, 0b101, 0b011, 0b001, 0b110], // y
        [0b000, 0b110, 0b101, 0b101, 0b101, 0],     // n
        [0b010, 0b111, 0b010, 0b010, 0b011, 0],     // t
        [0b100, 0b110, 0b101, 0b101, 0b101, 0],     // h
        [0b000, 0b111, 0b110, 0b100, 0b111, 0],     // e
        [0b010, 0b111, 0b010, 0b010, 0b011, 0],     // t
        [0b010, 0b000, 0b010, 0b010, 0b010, 0],     // i
        [0b000, 0b011, 0b100, 0b100, 0b011, 0],     // c
    ];
    let (width, height) = (4 * WORD.len() as i32 + 1, 8);
    let (left, top) = (SIDE as i32 - width - 2, SIDE as i32 - height - 2);
    for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
        let (letter, column) = ((x - 1).div_euclid(4), (x - 1).rem_euclid(4));
        let row = WORD
            .get(letter as usize)
            .and_then(|rows| rows.get((y - 1) as usize));
        let inked = column < 3 && row.is_some_and(|row| row >> (2 - column) & 1 == 1);
        let (grey, share) = if inked { (245.0, 0.95) } else { (0.0, 0.45) };
        blend(left + x, top + y, grey, share);
    }
}
