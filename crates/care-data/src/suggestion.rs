//! A box to begin with: round what stands out in a map of an image, be it a model's attention or a
//! [`saliency`](crate::saliency). It is a suggestion until a person accepts it.

use crate::geometry::{BoundingBox, ImageSize};

/// How strongly each part of an image stands out: a grid over the whole image, row by row.
/// Enlarged by whoever draws it (bilinear, align_corners = false), never in here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeatMap {
    pub height: usize,
    pub width: usize,
    pub values: Vec<f32>,
}

/// Cells that the longer side of a map has at least before a box is looked for: one of 7 x 7 would give boxes of sevenths.
const FINENESS: usize = 64;
const BINS: usize = 256;
/// Otsu's threshold lies half-way up an edge; the box has to reach its foot.
const FOOT: f32 = 0.7;

/// The box round what stands out in `map`, in pixels of the image of `size` that the map lies over.
///
/// Cells from 0.7 of Otsu's threshold on (N. Otsu, A threshold selection method from gray-level histograms, 1979; counted
/// from the map's lowest value) form parts that touch along their sides; the box holds the part with the largest sum.
/// None where the map is flat, is not finite or has not as many values as cells.
#[must_use]
pub fn suggest(map: &HeatMap, size: ImageSize) -> Option<BoundingBox> {
    let is_whole = map.values.len() == map.height * map.width;
    if !is_whole || map.values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let (height, width, mut values) = enlarged(map);
    let low = values.iter().copied().reduce(f32::min)?;
    let high = values.iter().copied().reduce(f32::max)?;
    let range = high - low;
    if !(range > 0.0 && range.is_finite()) {
        return None;
    }
    for value in &mut values {
        *value = (*value - low) / range;
    }
    let part = heaviest(&values, width, FOOT * otsu(&values))?;
    let cells = ImageSize::new(width as u32, height as u32);
    Some(part.resized(cells, size))
}

/// The map with at least [`FINENESS`] cells along its longer side.
fn enlarged(map: &HeatMap) -> (usize, usize, Vec<f32>) {
    let factor = FINENESS.div_ceil(map.height.max(map.width).max(1));
    if factor == 1 {
        return (map.height, map.width, map.values.clone());
    }
    // For each cell of the result the two that it lies between, and how far it is from the first.
    let taps = |cells: usize| -> Vec<(usize, usize, f32)> {
        let tap = |i: usize| {
            let at = ((i as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
            let first = at as usize;
            (first, (first + 1).min(cells - 1), at - first as f32)
        };
        (0..cells * factor).map(tap).collect()
    };
    let (rows, columns) = (taps(map.height), taps(map.width));
    let mut values = Vec::with_capacity(rows.len() * columns.len());
    for &(upper, lower, down) in &rows {
        for &(left, right, along) in &columns {
            let in_row = |row: usize| {
                let row = &map.values[row * map.width..][..map.width];
                row[left] + along * (row[right] - row[left])
            };
            let (above, below) = (in_row(upper), in_row(lower));
            values.push(above + down * (below - above));
        }
    }
    (rows.len(), columns.len(), values)
}

/// Where values in 0..=1 fall into two groups such that their means lie furthest apart, weighed by how many they are.
fn otsu(values: &[f32]) -> f32 {
    let mut histogram = [0u32; BINS];
    for value in values {
        histogram[((value * BINS as f32) as usize).min(BINS - 1)] += 1;
    }
    let moment = |bin: usize| bin as f64 * f64::from(histogram[bin]);
    let (count, sum) = (values.len() as f64, (0..BINS).map(moment).sum::<f64>());
    let (mut count_below, mut sum_below) = (0.0, 0.0);
    let (mut best, mut threshold) = (0.0, 0);
    for (bin, n) in histogram.iter().enumerate() {
        let count_above = count - count_below;
        if count_below > 0.0 && count_above > 0.0 {
            let apart = sum_below / count_below - (sum - sum_below) / count_above;
            let between = count_below * count_above * apart * apart;
            if between > best {
                (best, threshold) = (between, bin);
            }
        }
        count_below += f64::from(*n);
        sum_below += moment(bin);
    }
    threshold as f32 / BINS as f32
}

/// The box, in cells, of the part with the largest sum among those that cells from `threshold` on form.
fn heaviest(values: &[f32], width: usize, threshold: f32) -> Option<BoundingBox> {
    let mut is_left: Vec<bool> = values.iter().map(|value| *value >= threshold).collect();
    let mut best = (0.0, None);
    for start in 0..values.len() {
        let mut sum = 0.0;
        let mut part = [usize::MAX, usize::MAX, 0, 0];
        take_connected(&mut is_left, width, vec![start], |x, y| {
            sum += f64::from(values[y * width + x]);
            let [x0, y0, x1, y1] = part;
            part = [x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)];
        });
        if sum > best.0 {
            best = (sum, Some(part));
        }
    }
    BoundingBox::try_from(best.1?.map(|edge| edge as f64)).ok()
}

/// Takes out of the cells that `are_left`, in rows of `width`, those that hang together with the cells `from` along their
/// sides, and tells `visit` the column and row of each.
pub(crate) fn take_connected(
    are_left: &mut [bool],
    width: usize,
    mut from: Vec<usize>,
    mut visit: impl FnMut(usize, usize),
) {
    while let Some(cell) = from.pop() {
        if !std::mem::take(&mut are_left[cell]) {
            continue;
        }
        let (x, y) = (cell % width, cell / width);
        visit(x, y);
        if x > 0 {
            from.push(cell - 1);
        }
        if x + 1 < width {
            from.push(cell + 1);
        }
        if y > 0 {
            from.push(cell - width);
        }
        if cell + width < are_left.len() {
            from.push(cell + width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 in the cells of these boxes (x0, y0, x1, y1), 0 elsewhere.
    fn map(width: usize, height: usize, boxes: &[[usize; 4]]) -> HeatMap {
        let inside = |x, y| {
            let within =
                |[x0, y0, x1, y1]: &[usize; 4]| (*x0..*x1).contains(&x) && (*y0..*y1).contains(&y);
            boxes.iter().any(within)
        };
        HeatMap {
            height,
            width,
            values: (0..width * height)
                .map(|i| f32::from(u8::from(inside(i % width, i / width))))
                .collect(),
        }
    }

    #[test]
    fn the_box_holds_the_heaviest_part_in_pixels_of_the_image() {
        let size = ImageSize::new(600, 450);
        for (boxes, xyxy) in [
            (&[[10, 20, 40, 50]][..], [60.0, 120.0, 240.0, 300.0]),
            // Of two the larger, of which a diagonal is no part.
            (
                &[[10, 20, 40, 50], [40, 50, 60, 60]],
                [60.0, 120.0, 240.0, 300.0],
            ),
            (
                &[[0, 0, 100, 3], [50, 30, 100, 75]],
                [300.0, 180.0, 600.0, 450.0],
            ),
            (&[[99, 74, 100, 75]], [594.0, 444.0, 600.0, 450.0]),
        ] {
            let rect = suggest(&map(100, 75, boxes), size).expect("a box");
            assert_eq!(rect.xyxy(), xyxy);
        }
    }

    #[test]
    fn it_does_not_depend_on_the_maps_scale() {
        let size = ImageSize::new(100, 75);
        let plain = map(100, 75, &[[10, 20, 40, 50]]);
        for (factor, offset) in [(1e-6, 0.0), (255.0, 0.0), (2.0, -7.0), (1e30, 1e30)] {
            let scaled = HeatMap {
                values: plain.values.iter().map(|v| factor * v + offset).collect(),
                ..plain
            };
            assert_eq!(suggest(&scaled, size), suggest(&plain, size), "{factor}");
        }
    }

    #[test]
    fn a_coarse_map_gives_a_finer_box() {
        let mut coarse = map(7, 7, &[[2, 3, 4, 5]]);
        let size = ImageSize::new(70, 70);
        let rect = suggest(&coarse, size).expect("a box");
        let [x0, y0, x1, y1] = rect.xyxy();
        assert!(
            (x0 - 20.0).abs() < 3.0 && (y0 - 30.0).abs() < 3.0,
            "{rect:?}"
        );
        assert!(
            (x1 - 40.0).abs() < 3.0 && (y1 - 50.0).abs() < 3.0,
            "{rect:?}"
        );
        // Half as strong a column beside it moves the edge by less than a cell.
        coarse.values[3 * 7 + 4] = 0.5;
        coarse.values[4 * 7 + 4] = 0.5;
        let [.., wider, _] = suggest(&coarse, size).expect("a box").xyxy();
        assert!(x1 + 2.0 < wider && wider < x1 + 10.0, "{x1} {wider}");
    }

    #[test]
    fn what_shows_nothing_gives_no_box() {
        let size = ImageSize::new(10, 10);
        let with = |value: f32| {
            let mut map = map(8, 8, &[[2, 2, 4, 4]]);
            map.values[60] = value;
            map
        };
        let flat = |value| HeatMap {
            height: 8,
            width: 8,
            values: vec![value; 64],
        };
        let mut cut = with(0.0);
        assert!(suggest(&cut, size).is_some());
        cut.values.pop();
        let huge = HeatMap {
            height: 1,
            width: 2,
            values: vec![f32::MIN, f32::MAX],
        };
        for map in [
            HeatMap::default(),
            flat(0.0),
            flat(0.3),
            with(f32::NAN),
            with(f32::INFINITY),
            cut,
            huge,
        ] {
            assert_eq!(suggest(&map, size), None, "{map:?}");
        }
    }
}
