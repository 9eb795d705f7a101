//! Whether a model looks at one place of its images again and again, away from what was boxed: a ruler, a marker, burnt-in
//! text, a vignette.
//!
//! Images are laid over one another, each side of length 1. The attention that a region of this square draws is compared
//! with what a map would give that spreads the same mass evenly over everything outside the boxes.

use care_data::{BoundingBox, ImageSize};

use crate::attention_loss::{Raster, Upsampling};
use crate::event::AttentionMap;
use crate::metrics::{Estimate, estimate};

/// Points along a side at which maps are read.
const SIDE: u32 = 48;
/// A border is this share of the side deep; a corner is a square of it.
const DEPTH: f64 = 1.0 / 6.0;
/// With fewer images nothing is said.
pub const MIN_IMAGES: usize = 5;
/// With less than this share of an image outside its boxes, the image says nothing.
const MIN_OUTSIDE: f64 = 0.05;

/// A part of the square, the same in every image; the last two are another one in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    TopLeft,
    Top,
    TopRight,
    Left,
    Centre,
    Right,
    BottomLeft,
    Bottom,
    BottomRight,
    /// In each image the border, corners and all, that draws most: what lies now here, now there.
    OneBorder,
    /// In each image the corner that draws most.
    OneCorner,
}

impl Region {
    pub const ALL: [Self; 11] = [
        Self::TopLeft,
        Self::Top,
        Self::TopRight,
        Self::Left,
        Self::Centre,
        Self::Right,
        Self::BottomLeft,
        Self::Bottom,
        Self::BottomRight,
        Self::OneBorder,
        Self::OneCorner,
    ];

    /// As a sentence has it: "the top left corner".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TopLeft => "the top left corner",
            Self::Top => "the top border",
            Self::TopRight => "the top right corner",
            Self::Left => "the left border",
            Self::Centre => "the middle, away from the boxes",
            Self::Right => "the right border",
            Self::BottomLeft => "the bottom left corner",
            Self::Bottom => "the bottom border",
            Self::BottomRight => "the bottom right corner",
            Self::OneBorder => "one of the borders, not always the same",
            Self::OneCorner => "one of the corners, not always the same",
        }
    }

    /// Row and column among three by three; none of the two that differ from image to image.
    #[must_use]
    pub fn cell(self) -> Option<[usize; 2]> {
        let at = Self::ALL.iter().position(|region| *region == self)?;
        (at < 9).then_some([at / 3, at % 3])
    }

    /// What has to be surpassed for an alarm: how many times an even map's share, and by how much of all attention. The
    /// strongest of four places is above the mean by chance alone.
    fn threshold(self) -> (f64, f64) {
        match self {
            Self::OneBorder | Self::OneCorner => (2.5, 0.10),
            _ => (1.5, 0.05),
        }
    }
}

/// One image as a model sees it.
#[derive(Debug, Clone, Copy)]
pub struct Looked<'a> {
    pub map: &'a AttentionMap,
    /// In pixels of the image as shown, as `size`. Without one the whole image is outside.
    pub boxes: &'a [BoundingBox],
    pub size: ImageSize,
}

/// What a region draws, over all images.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub region: Region,
    /// Mean share of an image's attention.
    pub share: f64,
    /// What an even map of the same mass would give.
    pub even: f64,
    /// `share - even` with its n and interval.
    pub excess: Estimate,
    /// Whether this is more than chance and worth a look.
    pub alarm: bool,
    /// The images that it surpasses by itself, by their place in the list, with their own share; the largest first.
    pub affected: Vec<(usize, f64)>,
}

/// Where a model looks outside the boxes.
#[derive(Debug, Clone, PartialEq)]
pub struct OutsideAttention {
    /// Images that say something.
    pub n: u32,
    /// How many of them have a box. Where not all have one, the middle raises no alarm: what is looked at may well lie there.
    pub boxed: u32,
    /// In the order of [`Region::ALL`].
    pub findings: Vec<Finding>,
    /// Mean over the images of F where it is outside the boxes, 0 inside; 0..=1.
    pub mean: AttentionMap,
}

impl OutsideAttention {
    /// The regions with an alarm, the largest excess first. What lies now along this border, now along that one is named
    /// only where no border is by itself and a corner does not account for it; then corners are where its borders meet.
    #[must_use]
    pub fn alarms(&self) -> Vec<&Finding> {
        let is_named = |of: fn([usize; 2]) -> bool| {
            let mut named = self.findings.iter().filter(|finding| finding.alarm);
            named.any(|finding| finding.region.cell().is_some_and(of))
        };
        let is_corner = |[row, column]: [usize; 2]| row != 1 && column != 1;
        let corner = is_named(is_corner);
        let border = is_named(|[row, column]| (row == 1) != (column == 1));
        let share = |region| self.finding(region).map_or(0.0, |finding| finding.share);
        let one_border = !border && share(Region::OneBorder) >= 1.5 * share(Region::OneCorner);
        let wanders = one_border && self.finding(Region::OneBorder).is_some_and(|it| it.alarm);
        let mut alarms: Vec<&Finding> = self
            .findings
            .iter()
            .filter(|finding| finding.alarm)
            .filter(|finding| match finding.region {
                Region::OneBorder => wanders,
                Region::OneCorner => !corner && !border && !wanders,
                fixed => !wanders || !fixed.cell().is_some_and(is_corner),
            })
            .collect();
        alarms.sort_by(|a, b| b.excess.value.total_cmp(&a.excess.value));
        alarms
    }

    #[must_use]
    pub fn finding(&self, region: Region) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.region == region)
    }
}

/// One image: the share of its attention in each of three by three cells, away from the boxes, and an even map's.
#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    own: [[f64; 3]; 3],
    even: [[f64; 3]; 3],
}

impl Shares {
    /// Own and even.
    fn of(&self, region: Region) -> (f64, f64) {
        let sum = |cells: &[[usize; 2]]| {
            let of = |shares: &[[f64; 3]; 3]| {
                cells
                    .iter()
                    .map(|[row, column]| shares[*row][*column])
                    .sum()
            };
            (of(&self.own), of(&self.even))
        };
        let strongest = |places: &[&[[usize; 2]]; 4]| {
            places
                .iter()
                .map(|cells| sum(cells))
                .max_by(|a: &(f64, f64), b| (a.0 - a.1).total_cmp(&(b.0 - b.1)))
                .unwrap_or_default()
        };
        match region {
            Region::OneBorder => strongest(&[
                &[[0, 0], [0, 1], [0, 2]],
                &[[2, 0], [2, 1], [2, 2]],
                &[[0, 0], [1, 0], [2, 0]],
                &[[0, 2], [1, 2], [2, 2]],
            ]),
            Region::OneCorner => strongest(&[&[[0, 0]], &[[0, 2]], &[[2, 0]], &[[2, 2]]]),
            fixed => fixed.cell().map_or((0.0, 0.0), |cell| sum(&[cell])),
        }
    }
}

/// Where the attention outside the boxes lies, over images of one class; none where fewer than [`MIN_IMAGES`] of them say
/// something. Outside is what is more than one cell of the map away from every box: maps are that coarse.
#[must_use]
pub fn outside_attention(images: &[Looked<'_>], seed: u64) -> Option<OutsideAttention> {
    let area = SIDE as usize * SIDE as usize;
    let mut sum = vec![0.0; area];
    let mut shares = Vec::new();
    let mut upsampling: Option<([usize; 2], Upsampling)> = None;
    for (place, image) in images.iter().enumerate() {
        let grid = [image.map.height, image.map.width];
        if grid.contains(&0) || image.map.values.len() != grid[0] * grid[1] {
            continue;
        }
        if upsampling.as_ref().is_none_or(|(of, _)| *of != grid) {
            let to = ImageSize::new(SIDE, SIDE);
            upsampling = Some((grid, Upsampling::new(grid[0], grid[1], to)));
        }
        let Some((_, upsampling)) = &upsampling else {
            continue;
        };
        let exact: Vec<f64> = image.map.values.iter().map(|v| f64::from(*v)).collect();
        let enlarged = upsampling.up(&exact);
        let outside = outside(image);
        let Some(own) = shares_of(&enlarged, &outside) else {
            continue;
        };
        let points = sum.iter_mut().zip(enlarged.iter().zip(&outside));
        for (sum, (value, _)) in points.filter(|(_, (_, outside))| **outside) {
            *sum += value;
        }
        shares.push((place, own));
    }
    if shares.len() < MIN_IMAGES {
        return None;
    }
    let count_of = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let has_box = |(place, _): &&(usize, Shares)| !images[*place].boxes.is_empty();
    let boxed = shares.iter().filter(has_box).count();
    let can_alarm = |region: Region| region != Region::Centre || boxed == shares.len();
    let n = shares.len() as f64;
    Some(OutsideAttention {
        n: count_of(shares.len()),
        boxed: count_of(boxed),
        mean: AttentionMap {
            height: SIDE as usize,
            width: SIDE as usize,
            values: sum.iter().map(|sum| (sum / n) as f32).collect(),
        },
        findings: Region::ALL
            .into_iter()
            .filter_map(|region| {
                let mut finding = finding(region, &shares, seed)?;
                finding.alarm &= can_alarm(region);
                Some(finding)
            })
            .collect(),
    })
}

fn finding(region: Region, shares: &[(usize, Shares)], seed: u64) -> Option<Finding> {
    let of = || {
        shares
            .iter()
            .map(|(place, shares)| (*place, shares.of(region)))
    };
    let excesses: Vec<f64> = of().map(|(_, (own, even))| own - even).collect();
    let excess = estimate(&[&excesses], seed)?;
    let n = shares.len() as f64;
    let share = of().map(|(_, (own, _))| own).sum::<f64>() / n;
    let even = of().map(|(_, (_, even))| even).sum::<f64>() / n;
    let (times, by) = region.threshold();
    let surpasses = |own: f64, even: f64| own >= times * even && own - even >= by;
    let mut affected: Vec<(usize, f64)> = of()
        .filter(|(_, (own, even))| surpasses(*own, *even))
        .map(|(place, (own, _))| (place, own))
        .collect();
    affected.sort_by(|a, b| b.1.total_cmp(&a.1));
    Some(Finding {
        region,
        share,
        even,
        alarm: surpasses(share, even) && excess.low > 0.0,
        excess,
        affected,
    })
}

/// Row by row, whether a point is more than one cell of the map away from every box.
fn outside(image: &Looked<'_>) -> Vec<bool> {
    let cell = |pixels: u32, cells: usize| f64::from(pixels) / cells as f64;
    let (dx, dy) = (
        cell(image.size.width, image.map.width),
        cell(image.size.height, image.map.height),
    );
    let grown = |rect: &BoundingBox| {
        let [x0, y0, x1, y1] = rect.xyxy();
        BoundingBox::from_corners([x0 - dx, y0 - dy], [x1 + dx, y1 + dy], image.size).ok()
    };
    let boxes: Vec<BoundingBox> = image.boxes.iter().filter_map(grown).collect();
    let raster = Raster::new(&boxes, image.size, ImageSize::new(SIDE, SIDE));
    raster
        .inside()
        .iter()
        .map(|inside| *inside == 0.0)
        .collect()
}

/// None of a flat map, and where there is hardly any outside.
fn shares_of(enlarged: &[f64], outside: &[bool]) -> Option<Shares> {
    let whole: f64 = enlarged.iter().sum();
    let num_outside = outside.iter().filter(|outside| **outside).count() as f64;
    if whole <= 0.0 || !whole.is_finite() || num_outside < MIN_OUTSIDE * outside.len() as f64 {
        return None;
    }
    let mut shares = Shares::default();
    let mut out = 0.0;
    for (at, (value, outside)) in enlarged.iter().zip(outside).enumerate() {
        if *outside {
            let [row, column] = [at / SIDE as usize, at % SIDE as usize].map(third);
            shares.own[row][column] += value / whole;
            shares.even[row][column] += 1.0 / num_outside;
            out += value / whole;
        }
    }
    shares
        .even
        .iter_mut()
        .flatten()
        .for_each(|even| *even *= out);
    Some(shares)
}

/// Which of the border before, the middle and the border behind a point lies in.
fn third(at: usize) -> usize {
    let t = (at as f64 + 0.5) / f64::from(SIDE);
    if t < DEPTH {
        0
    } else if t < 1.0 - DEPTH {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const GRID: usize = 12;
    const IMAGE: ImageSize = ImageSize {
        width: 120,
        height: 120,
    };

    /// A blob over its box somewhere in the middle, noise everywhere, and whatever `plant` adds; so many images.
    fn images(
        n: usize,
        plant: impl Fn(usize, &mut [f32], &mut ChaCha8Rng),
    ) -> Vec<(AttentionMap, BoundingBox)> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        (0..n)
            .map(|image| {
                let [x, y] = [0, 1].map(|_| rng.random_range(2..7_usize));
                let mut values: Vec<f32> = (0..GRID * GRID)
                    .map(|_| rng.random_range(0.0..0.1))
                    .collect();
                for row in y..y + 3 {
                    for column in x..x + 3 {
                        values[row * GRID + column] = 1.0;
                    }
                }
                plant(image, &mut values, &mut rng);
                let [x, y] = [x, y].map(|at| at as f64 * 10.0);
                let rect = BoundingBox::new(x, y, x + 30.0, y + 30.0).expect("a box");
                let map = AttentionMap {
                    height: GRID,
                    width: GRID,
                    values,
                };
                (map, rect)
            })
            .collect()
    }

    fn look(images: &[(AttentionMap, BoundingBox)]) -> OutsideAttention {
        let looked: Vec<Looked<'_>> = images
            .iter()
            .map(|(map, rect)| Looked {
                map,
                boxes: std::slice::from_ref(rect),
                size: IMAGE,
            })
            .collect();
        outside_attention(&looked, 0).expect("enough images")
    }

    fn regions(seen: &OutsideAttention) -> Vec<Region> {
        seen.alarms().iter().map(|finding| finding.region).collect()
    }

    /// Along the side of that number: top, bottom, left, right.
    fn mark_side(values: &mut [f32], side: usize) {
        for along in 0..GRID {
            let at = match side {
                0 => along,
                1 => (GRID - 1) * GRID + along,
                2 => along * GRID,
                _ => along * GRID + GRID - 1,
            };
            values[at] = 1.0;
        }
    }

    #[test]
    fn where_nothing_is_planted_there_is_no_alarm() {
        assert_eq!(regions(&look(&images(60, |_, _, _| {}))), []);
        // Attention that spills over the box's edge by a cell is the map's coarseness, not a shortcut.
        let spilt = images(60, |_, values, _| {
            let blob: Vec<usize> = (0..values.len()).filter(|at| values[*at] == 1.0).collect();
            for at in blob {
                for next in [at - 1, at + 1, at - GRID, at + GRID] {
                    values[next] = values[next].max(0.7);
                }
            }
        });
        assert_eq!(regions(&look(&spilt)), []);
    }

    #[test]
    fn a_marker_in_one_corner_is_found_in_the_images_that_have_it() {
        let planted = images(40, |image, values, _| {
            if image % 2 == 0 {
                for at in [0, 1, GRID, GRID + 1] {
                    values[at] = 1.0;
                }
            }
        });
        let seen = look(&planted);
        assert_eq!(regions(&seen), [Region::TopLeft]);
        let found = seen.finding(Region::TopLeft).expect("there");
        assert_eq!(found.affected.len(), 20);
        assert!(found.affected.iter().all(|(image, _)| image % 2 == 0));
        let by_share = |pair: &[(usize, f64)]| pair[0].1 >= pair[1].1;
        assert!(found.affected.windows(2).all(by_share), "largest first");
        assert!(found.share > 2.0 * found.even && found.excess.low > 0.05);
        assert!(seen.mean.values[0] > 0.4 && seen.mean.values[47] < 0.25);
    }

    #[test]
    fn a_corner_is_not_taken_for_a_border_that_wanders() {
        // A wide box leaves little of the left border outside, so that the corner is most of it.
        let mut values = vec![0.01; GRID * GRID];
        values[5 * GRID + 5] = 1.0;
        values[11 * GRID] = 1.0;
        let map = AttentionMap {
            height: GRID,
            width: GRID,
            values,
        };
        let rect = BoundingBox::new(20.0, 20.0, 100.0, 80.0).expect("a box");
        assert_eq!(regions(&look(&vec![(map, rect); 12])), [Region::BottomLeft]);
    }

    #[test]
    fn a_ruler_along_the_same_border_or_along_another_one_each_time_is_found() {
        let bottom = images(40, |_, values, _| mark_side(values, 1));
        let found = regions(&look(&bottom));
        assert_eq!(found[0], Region::Bottom);
        let of_the_bottom = [Region::Bottom, Region::BottomLeft, Region::BottomRight];
        assert!(
            found.iter().all(|it| of_the_bottom.contains(it)),
            "{found:?}"
        );

        let any = images(60, |image, values, rng| {
            if image % 2 == 0 {
                mark_side(values, rng.random_range(0..4));
            }
        });
        assert_eq!(regions(&look(&any)), [Region::OneBorder]);
    }

    #[test]
    fn without_boxes_the_middle_raises_no_alarm_and_a_corner_does() {
        let planted = images(20, |_, values, _| {
            for at in [0, 1, GRID, GRID + 1] {
                values[at] = 1.0;
            }
        });
        let looked: Vec<Looked<'_>> = planted
            .iter()
            .map(|(map, _)| Looked {
                map,
                boxes: &[],
                size: IMAGE,
            })
            .collect();
        let seen = outside_attention(&looked, 0).expect("enough images");
        assert_eq!((seen.n, seen.boxed), (20, 0));
        assert_eq!(regions(&seen), [Region::TopLeft]);
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let few = images(MIN_IMAGES, |_, _, _| {});
        let mut looked: Vec<Looked<'_>> = few
            .iter()
            .map(|(map, rect)| Looked {
                map,
                boxes: std::slice::from_ref(rect),
                size: IMAGE,
            })
            .collect();
        assert_eq!(outside_attention(&looked, 0).map(|it| it.n), Some(5));
        let (flat, whole) = (
            AttentionMap {
                height: GRID,
                width: GRID,
                values: vec![0.0; GRID * GRID],
            },
            [BoundingBox::new(0.0, 0.0, 120.0, 120.0).expect("a box")],
        );
        looked[0].map = &flat;
        assert_eq!(outside_attention(&looked, 0), None);
        looked[0].map = &few[0].0;
        looked[1].boxes = &whole;
        assert_eq!(outside_attention(&looked, 0), None);
        assert_eq!(outside_attention(&[], 0), None);
    }
}
