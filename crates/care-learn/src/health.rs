//! What makes an attention map less trustworthy than it looks. Nothing of it stops a run.

use care_data::{BoundingBox, ImageSize};

use crate::event::AttentionMap;

/// Something to know about a map before one believes it.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Concern {
    #[error(
        "The map is not a number in places: the model's weights or its activations have run away."
    )]
    NotFinite,
    #[error("The map is flat: nothing in the image speaks for this class, and nothing is scored.")]
    Flat,
    /// The sides of a cell, and of the box, in pixels of the image.
    #[error(
        "The box is smaller than a cell of the map: {box_width:.0} \u{d7} {box_height:.0} against {cell_width:.0} \u{d7} {cell_height:.0} pixels. An earlier target layer has a finer map."
    )]
    Coarse {
        box_width: f64,
        box_height: f64,
        cell_width: f64,
        cell_height: f64,
    },
    #[error(
        "The strongest attention lies in a corner, where padding, vignettes and markers often are."
    )]
    Corner,
}

/// What there is to know about a map of an image of `size`, the gravest first. `boxes` are in pixels of the image. A corner that a
/// box covers is none to worry about.
#[must_use]
pub fn concerns(map: &AttentionMap, size: ImageSize, boxes: &[BoundingBox]) -> Vec<Concern> {
    let (height, width) = (map.height, map.width);
    if map.values.iter().any(|value| !value.is_finite()) {
        return vec![Concern::NotFinite];
    }
    let mut concerns = Vec::new();
    let cell_width = f64::from(size.width) / width.max(1) as f64;
    let cell_height = f64::from(size.height) / height.max(1) as f64;
    let (low, high) = map
        .values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        });
    // Also where there is no value at all.
    if high <= low || high <= 0.0 {
        concerns.push(Concern::Flat);
    } else if width > 2 && height > 2 {
        // A corner is a sixth of both sides: rulers, letters and vignettes are wider than a cell of a fine map.
        let ends = |n: usize| {
            let deep = n.div_ceil(6);
            (0..deep).chain(n - deep..n)
        };
        let is_top = |y: usize, x: usize| map.values.get(y * width + x) == Some(&high);
        let is_covered = |y: usize, x: usize| {
            let middle = [
                (x as f64 + 0.5) * cell_width,
                (y as f64 + 0.5) * cell_height,
            ];
            boxes.iter().any(|rect| rect.contains(middle))
        };
        let mut corners = ends(height).flat_map(|y| ends(width).map(move |x| (y, x)));
        if corners.any(|(y, x)| is_top(y, x) && !is_covered(y, x)) {
            concerns.push(Concern::Corner);
        }
    }
    let thin = |rect: &&BoundingBox| rect.width() < cell_width || rect.height() < cell_height;
    let smallest = boxes.iter().filter(thin);
    if let Some(rect) = smallest.min_by(|a, b| a.area().total_cmp(&b.area())) {
        concerns.push(Concern::Coarse {
            box_width: rect.width(),
            box_height: rect.height(),
            cell_width,
            cell_height,
        });
    }
    concerns
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: ImageSize = ImageSize {
        width: 70,
        height: 70,
    };

    fn map(top: Option<usize>, value: f32) -> AttentionMap {
        let mut values = vec![0.25; 49];
        if let Some(top) = top {
            values[top] = value;
        }
        AttentionMap {
            height: 7,
            width: 7,
            values,
        }
    }

    fn boxed(xyxy: [f64; 4]) -> BoundingBox {
        let [x0, y0, x1, y1] = xyxy;
        BoundingBox::new(x0, y0, x1, y1).expect("a box")
    }

    #[test]
    fn each_concern_is_raised_by_what_it_says_and_by_nothing_else() {
        let middle = boxed([20.0, 20.0, 50.0, 50.0]);
        let tiny = boxed([30.0, 30.0, 36.0, 36.0]);
        let corner = boxed([0.0, 0.0, 20.0, 20.0]);
        let names = |map: &AttentionMap, boxes: &[BoundingBox]| -> Vec<&str> {
            let name = |concern: &Concern| match concern {
                Concern::NotFinite => "not finite",
                Concern::Flat => "flat",
                Concern::Coarse { .. } => "coarse",
                Concern::Corner => "corner",
            };
            concerns(map, SIZE, boxes).iter().map(name).collect()
        };
        for (map, boxes, expected) in [
            (map(Some(24), 1.0), vec![middle], vec![]),
            (map(Some(24), 1.0), vec![], vec![]),
            (map(None, 0.0), vec![middle], vec!["flat"]),
            (map(Some(24), f32::NAN), vec![tiny], vec!["not finite"]),
            (map(Some(3), f32::INFINITY), vec![], vec!["not finite"]),
            // 6 x 6 pixels against 10 x 10.
            (map(Some(24), 1.0), vec![middle, tiny], vec!["coarse"]),
            (map(Some(0), 1.0), vec![middle], vec!["corner"]),
            (map(Some(6), 1.0), vec![], vec!["corner"]),
            (map(Some(42), 1.0), vec![tiny], vec!["corner", "coarse"]),
            (map(Some(48), 1.0), vec![middle], vec!["corner"]),
            (map(Some(0), 1.0), vec![corner], vec![]),
            // On the edge, not in the corner.
            (map(Some(3), 1.0), vec![middle], vec![]),
        ] {
            assert_eq!(names(&map, &boxes), expected, "{map:?} {boxes:?}");
        }
        let zeros = AttentionMap {
            values: vec![0.0; 49],
            ..map(None, 0.0)
        };
        assert_eq!(names(&zeros, &[]), ["flat"]);
        // Two cells are no grid with corners.
        let two = AttentionMap {
            height: 1,
            width: 2,
            values: vec![0.0, 1.0],
        };
        assert_eq!(names(&two, &[]), Vec::<&str>::new());
    }

    #[test]
    fn the_reason_names_the_sizes() {
        let tiny = boxed([30.0, 30.0, 36.0, 35.0]);
        let concerns = concerns(&map(Some(24), 1.0), SIZE, &[tiny]);
        assert!(
            concerns[0]
                .to_string()
                .contains("6 \u{d7} 5 against 10 \u{d7} 10")
        );
    }
}
