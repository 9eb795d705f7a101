use care_data::{BoundingBox, ImageSize, Orientation};
use proptest::prelude::*;

/// An image's size and two corners, anywhere.
fn case() -> impl Strategy<Value = (ImageSize, [f64; 2], [f64; 2])> {
    (1..5000_u32, 1..5000_u32).prop_flat_map(|(width, height)| {
        let corner = || {
            [
                -2.0 * f64::from(width)..3.0 * f64::from(width),
                -2.0 * f64::from(height)..3.0 * f64::from(height),
            ]
        };
        (Just(ImageSize::new(width, height)), corner(), corner())
    })
}

/// An image's size and a box in it.
fn boxed() -> impl Strategy<Value = (ImageSize, BoundingBox)> {
    case().prop_filter_map("no area", |(size, a, b)| {
        Some((size, BoundingBox::from_corners(a, b, size).ok()?))
    })
}

fn close(a: BoundingBox, b: BoundingBox) -> bool {
    a.xyxy()
        .iter()
        .zip(b.xyxy())
        .all(|(a, b)| (a - b).abs() < 1e-6)
}

proptest! {
    #[test]
    fn corners_in_any_order_give_one_box_in_the_image((size, a, b) in case()) {
        let boxes = [BoundingBox::from_corners(a, b, size), BoundingBox::from_corners(b, a, size),
            BoundingBox::from_corners([a[0], b[1]], [b[0], a[1]], size)];
        prop_assert_eq!(boxes[0].ok(), boxes[1].ok());
        prop_assert_eq!(boxes[0].ok(), boxes[2].ok());
        if let Ok(rect) = boxes[0] {
            prop_assert!(rect.fits(size) && rect.area() > 0.0);
            prop_assert_eq!(rect.clamped(size), Ok(rect));
        }
    }

    #[test]
    fn moving_keeps_the_size_and_stays_inside((size, rect) in boxed(), dx in -9e3..9e3, dy in -9e3..9e3) {
        let moved = rect.moved([dx, dy], size);
        prop_assert!((moved.width() - rect.width()).abs() < 1e-6 && (moved.height() - rect.height()).abs() < 1e-6);
        let [x0, y0, x1, y1] = moved.xyxy();
        prop_assert!(x0 >= -1e-6 && y0 >= -1e-6);
        prop_assert!(x1 <= f64::from(size.width) + 1e-6 && y1 <= f64::from(size.height) + 1e-6);
        prop_assert!(close(rect.moved([0.0, 0.0], size), rect));
    }

    #[test]
    fn scaling_keeps_the_centre_and_stays_in_the_image((size, rect) in boxed(), factor in 0.1..3.0) {
        prop_assert_eq!(rect.scaled(1.0, size), Ok(rect));
        let scaled = rect.scaled(factor, size).unwrap();
        prop_assert!(scaled.fits(size));
        // Cut off is what a canvas without end would show beyond the image.
        let vast = ImageSize::new(100_000, 100_000);
        let away = |rect: BoundingBox| rect.moved([40_000.0; 2], vast);
        let whole = away(rect).scaled(factor, vast).unwrap();
        prop_assert!((whole.width() - factor * rect.width()).abs() < 1e-6);
        prop_assert!((whole.height() - factor * rect.height()).abs() < 1e-6);
        let middle = |rect: BoundingBox| { let [x0, y0, x1, y1] = rect.xyxy(); [x0 + x1, y0 + y1] };
        prop_assert!(middle(whole).iter().zip(middle(away(rect))).all(|(a, b)| (a - b).abs() < 1e-6));
        let [x0, y0, x1, y1] = whole.xyxy();
        let cut = BoundingBox::from_corners([x0 - 40_000.0, y0 - 40_000.0], [x1 - 40_000.0, y1 - 40_000.0], size);
        prop_assert!(close(scaled, cut.unwrap()));
    }

    #[test]
    fn what_is_resized_and_mirrored_comes_back((size, rect) in boxed(), w in 1..5000_u32, h in 1..5000_u32) {
        let to = ImageSize::new(w, h);
        let resized = rect.resized(size, to);
        prop_assert!(close(resized.resized(to, size), rect));
        prop_assert!((resized.area() / to.area() as f64 - rect.area() / size.area() as f64).abs() < 1e-9);
        prop_assert!(close(rect.flipped_horizontally(size).flipped_horizontally(size), rect));
        prop_assert!(close(rect.flipped_vertically(size).flipped_vertically(size), rect));
    }

    /// A box goes where the pixels under it go: the one dark pixel of an image stays in its box through every transform.
    #[test]
    fn boxes_follow_pixels(width in 1..12_u32, height in 1..12_u32, at in any::<(prop::sample::Index, prop::sample::Index)>()) {
        let size = ImageSize::new(width, height);
        let (x, y) = (at.0.index(width as usize) as u32, at.1.index(height as usize) as u32);
        let mut image = image::GrayImage::from_pixel(width, height, image::Luma([255]));
        image.put_pixel(x, y, image::Luma([0]));
        let pixel = |x: u32, y: u32| BoundingBox::new(x.into(), y.into(), f64::from(x) + 1.0, f64::from(y) + 1.0).unwrap();
        let rect = pixel(x, y);
        for (moved, image) in [
            (rect.flipped_horizontally(size), image::imageops::flip_horizontal(&image)),
            (rect.flipped_vertically(size), image::imageops::flip_vertical(&image)),
        ] {
            let (x, y, _) = image.enumerate_pixels().find(|(_, _, p)| p.0 == [0]).unwrap();
            prop_assert_eq!(moved, pixel(x, y));
        }
    }

    #[test]
    fn boxes_survive_json((_, rect) in boxed()) {
        let json = serde_json::to_string(&rect).unwrap();
        prop_assert_eq!(serde_json::from_str::<BoundingBox>(&json).unwrap(), rect);
    }
}

#[test]
fn what_is_no_box() {
    for xyxy in [
        [0.0, 0.0, 0.0, 1.0],
        [2.0, 0.0, 1.0, 1.0],
        [0.0, f64::NAN, 1.0, 1.0],
        [0.0, 0.0, f64::INFINITY, 1.0],
    ] {
        assert!(BoundingBox::try_from(xyxy).is_err(), "{xyxy:?}");
        assert!(
            serde_json::from_value::<BoundingBox>(serde_json::json!(xyxy)).is_err(),
            "{xyxy:?}"
        );
    }
}

#[test]
fn orientation_swaps_the_sides_from_five_on() {
    let size = ImageSize::new(3, 2);
    for exif in 0..=9_u32 {
        let orientation = Orientation::from_exif(exif);
        let expected = if (5..=8).contains(&exif) {
            ImageSize::new(2, 3)
        } else {
            size
        };
        assert_eq!(orientation.shown(size), expected, "{exif}");
        assert_eq!(
            u32::from(orientation.exif()),
            if exif == 0 || exif == 9 { 1 } else { exif }
        );
    }
}
