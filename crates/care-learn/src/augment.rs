//! Random changes of training images, and of their masks with them.
//!
//! All that is done to an image in one step is a [`View`]: one affine map from the network's input back to the decoded
//! image, and one affine change of colour. Pixels are read through it once, and [masks](crate::attention_loss) too.

use std::f64::consts::PI;
use std::ops::RangeInclusive;

use care_data::ImageSize;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::config::{Augmentation, Preprocess};

/// Keeps the views' random numbers apart from those of the batches, which have the same seed.
const STREAM: u64 = 1;
/// How often a crop is drawn anew that does not fit into the image; then the whole image is taken (as torchvision).
const CROP_TRIES: u32 = 10;
/// Width to height of a crop.
const CROP_RATIO: RangeInclusive<f64> = 3.0 / 4.0..=4.0 / 3.0;
/// Red, green and blue in a grey (ITU-R BT.601, to torchvision's four digits).
const GREY: [f64; 3] = [0.2989, 0.587, 0.114];

/// `[x', y']` = `self.0` times `[x, y, 1]`; points in pixels, the edges between pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine(pub [[f64; 3]; 2]);

impl Affine {
    pub const IDENTITY: Self = Self::scaling([1.0, 1.0], [0.0, 0.0]);

    /// Each axis times its factor, then moved.
    #[must_use]
    pub const fn scaling([sx, sy]: [f64; 2], [dx, dy]: [f64; 2]) -> Self {
        Self([[sx, 0.0, dx], [0.0, sy, dy]])
    }

    /// Turned by `angle` radians about `centre`.
    #[must_use]
    pub fn rotation(angle: f64, [x, y]: [f64; 2]) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self([
            [cos, -sin, x - cos * x + sin * y],
            [sin, cos, y - sin * x - cos * y],
        ])
    }

    #[must_use]
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        self.0.map(|[a, b, c]| a * x + b * y + c)
    }

    /// First `self`, then `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let [[a, b, c], [d, e, f]] = self.0;
        Self(
            next.0
                .map(|[x, y, z]| [x * a + y * d, x * b + y * e, x * c + y * f + z]),
        )
    }

    /// Of a map that does not flatten the plane; no view does.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let [[a, b, c], [d, e, f]] = self.0;
        let determinant = a * e - b * d;
        Self(
            [[e, -b, b * f - c * e], [-d, a, c * d - a * f]]
                .map(|row| row.map(|v| v / determinant)),
        )
    }
}

/// Factors as torchvision's `adjust_brightness`, `adjust_contrast` and `adjust_saturation` take them, in that order. What
/// leaves the range of a pixel is cut off once, at the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    pub brightness: f64,
    pub contrast: f64,
    pub saturation: f64,
}

impl Colour {
    pub const UNCHANGED: Self = Self {
        brightness: 1.0,
        contrast: 1.0,
        saturation: 1.0,
    };

    /// M [3 x 3] and k: a pixel becomes `M pixel + k grey`, with the mean grey of its image.
    fn affine(self) -> ([[f64; 3]; 3], f64) {
        let Self {
            brightness,
            contrast,
            saturation,
        } = self;
        let scale = brightness * contrast;
        let matrix = [0, 1, 2].map(|row| {
            [0, 1, 2].map(|column| {
                let own = if row == column { saturation } else { 0.0 };
                scale * (own + (1.0 - saturation) * GREY[column])
            })
        });
        // A grey with a saturation keeps its value, but for the last digit of the three shares' sum.
        let kept = saturation + (1.0 - saturation) * GREY.iter().sum::<f64>();
        (matrix, brightness * (1.0 - contrast) * kept)
    }
}

/// What is done to one image in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// From the network's input to the decoded image, which have the same size.
    pub to_source: Affine,
    pub colour: Colour,
}

impl View {
    pub const IDENTITY: Self = Self {
        to_source: Affine::IDENTITY,
        colour: Colour::UNCHANGED,
    };
}

/// Draws views for ever. The same seed draws the same views.
#[derive(Debug, Clone)]
pub struct Augmenter {
    augmentation: Augmentation,
    size: ImageSize,
    rng: ChaCha8Rng,
}

impl Augmenter {
    /// `size` is that of the network's input.
    #[must_use]
    pub fn new(augmentation: Augmentation, size: ImageSize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(STREAM);
        Self {
            augmentation,
            size,
            rng,
        }
    }

    /// Where its random numbers stand.
    pub(crate) fn random(&mut self) -> &mut ChaCha8Rng {
        &mut self.rng
    }

    /// Views for a batch of so many images; none where nothing is to be changed in any.
    pub fn draw(&mut self, images: usize) -> Option<Vec<View>> {
        (self.augmentation != Augmentation::default())
            .then(|| (0..images).map(|_| self.view()).collect())
    }

    /// The image is cropped, then mirrored, then turned about the centre; so a point of the input is turned back first.
    fn view(&mut self) -> View {
        let [width, height] = [self.size.width, self.size.height].map(f64::from);
        let turned = self.turned([width / 2.0, height / 2.0]);
        let [mirror_x, mirror_y] = self.mirrored();
        let mirrored = Affine::scaling(
            [mirror_x, mirror_y].map(|yes| if yes { -1.0 } else { 1.0 }),
            [
                if mirror_x { width } else { 0.0 },
                if mirror_y { height } else { 0.0 },
            ],
        );
        let cropped = self.cropped([width, height]);
        View {
            to_source: turned.then(&mirrored).then(&cropped),
            colour: self.coloured(),
        }
    }

    fn turned(&mut self, centre: [f64; 2]) -> Affine {
        let most = self.augmentation.rotation;
        if most == 0.0 {
            return Affine::IDENTITY;
        }
        Affine::rotation(self.rng.random_range(-most..=most) * PI / 180.0, centre)
    }

    /// Left and right, top and bottom.
    fn mirrored(&mut self) -> [bool; 2] {
        let Augmentation {
            flip_horizontal,
            flip_vertical,
            ..
        } = self.augmentation;
        [flip_horizontal, flip_vertical].map(|allowed| allowed && self.rng.random())
    }

    /// Area and, on a scale of ratios, proportions are uniform, and so is the place.
    fn cropped(&mut self, [width, height]: [f64; 2]) -> Affine {
        let smallest = self.augmentation.crop;
        if smallest == 1.0 {
            return Affine::IDENTITY;
        }
        for _ in 0..CROP_TRIES {
            let area = width * height * self.rng.random_range(smallest..=1.0);
            let ratio = self
                .rng
                .random_range(CROP_RATIO.start().ln()..=CROP_RATIO.end().ln())
                .exp();
            let (w, h) = ((area * ratio).sqrt(), (area / ratio).sqrt());
            if w <= width && h <= height {
                let place = [width - w, height - h].map(|most| self.rng.random_range(0.0..=most));
                return Affine::scaling([w / width, h / height], place);
            }
        }
        Affine::IDENTITY
    }

    fn coloured(&mut self) -> Colour {
        let most = self.augmentation.colour_jitter;
        if most == 0.0 {
            return Colour::UNCHANGED;
        }
        let mut factor = || self.rng.random_range(1.0 - most..=1.0 + most);
        Colour {
            brightness: factor(),
            contrast: factor(),
            saturation: factor(),
        }
    }
}

/// The network's input [B, 3, H, W], normalised, channels innermost in memory, from decoded images [B, H, W, 3] of u8
/// as `views` (B of them) show them; on the device of the images. Between pixels it is bilinear; beyond the image's
/// edges there is the mean of `preprocess`, which is 0 in the input.
pub fn seen_through(images: &Tensor, views: &[View], preprocess: Preprocess) -> Tensor {
    let planes = images
        .permute([0, 3, 1, 2])
        .contiguous()
        .to_kind(Kind::Float);
    let normalised = coloured(&planes, views, preprocess);
    let seen = if views.iter().all(|view| view.to_source == Affine::IDENTITY) {
        normalised
    } else {
        normalised.grid_sampler(&grid(&planes, views), 0, 0, false)
    };
    seen.permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2])
}

/// Colour and normalisation of planes [B, 3, H, W] as one product for each image.
fn coloured(planes: &Tensor, views: &[View], Preprocess { mean, std }: Preprocess) -> Tensor {
    let device = planes.device();
    let num_images = views.len() as i64;
    let column = |values: &[f32]| {
        Tensor::from_slice(values)
            .view([-1, 3, 1])
            .to_device(device)
    };
    let (mean, std) = (column(&mean), column(&std));
    let (matrices, of_grey): (Vec<[[f64; 3]; 3]>, Vec<f64>) =
        views.iter().map(|view| view.colour.affine()).unzip();
    let matrices: Vec<f32> = matrices
        .iter()
        .flatten()
        .flatten()
        .map(|v| *v as f32)
        .collect();
    let matrices = Tensor::from_slice(&matrices)
        .view([num_images, 3, 3])
        .to_device(device)
        / &std;
    let changed = views.iter().any(|view| view.colour != Colour::UNCHANGED);
    let offset = if changed {
        let grey = planes
            .mean_dim([2, 3].as_slice(), false, Kind::Float)
            .matmul(&Tensor::from_slice(&GREY.map(|v| v as f32)).to_device(device));
        let of_grey: Vec<f32> = of_grey.iter().map(|v| *v as f32).collect();
        (grey * Tensor::from_slice(&of_grey).to_device(device)).view([num_images, 1, 1]) - &mean
    } else {
        -&mean
    };
    let mut normalised = (offset / &std)
        .expand([num_images, 3, 1], false)
        .baddbmm(&matrices, &planes.flatten(2, 3), 1.0, 1.0)
        .view_as(planes);
    if changed {
        let bound = |value: f64| ((value - &mean) / &std).view([1, 3, 1, 1]);
        let _ = normalised.clamp_tensor_(Some(&bound(0.0)), Some(&bound(255.0)));
    }
    normalised
}

/// For each pixel of the input its point in the image as libtorch's `grid_sampler` wants it: [B, H, W, 2], -1 to 1 from
/// edge to edge. Not `affine_grid_generator`, which takes longer than the sampling itself.
fn grid(planes: &Tensor, views: &[View]) -> Tensor {
    let sides @ [height, width] = [2, 3].map(|dim| planes.size()[dim]);
    let centres = |side: i64, shape: [i64; 2]| {
        let centres = Tensor::arange(side, (Kind::Float, planes.device())) + 0.5;
        centres.view(shape).expand(sides, false)
    };
    let (x, y) = (centres(width, [1, -1]), centres(height, [-1, 1]));
    let points = Tensor::stack(&[&x, &y, &x.ones_like()], 0).flatten(1, 2);
    let maps: Vec<f32> = views
        .iter()
        .flat_map(|view| view.to_source.0.into_iter().zip([width, height]))
        .flat_map(|([a, b, c], side)| {
            let scale = 2.0 / side as f64;
            [a * scale, b * scale, c * scale - 1.0].map(|v| v as f32)
        })
        .collect();
    Tensor::from_slice(&maps)
        .view([-1, 2, 3])
        .to_device(planes.device())
        .matmul(&points)
        .view([-1, 2, height, width])
        .permute([0, 2, 3, 1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::Device;

    use super::*;
    use crate::config::BackboneKind;

    const SIZE: ImageSize = ImageSize::new(20, 14);
    const EVERYTHING: Augmentation = Augmentation {
        rotation: 180.0,
        flip_horizontal: true,
        flip_vertical: true,
        colour_jitter: 0.4,
        crop: 0.2,
    };
    /// Pixels come out as they are.
    const PLAIN: Preprocess = Preprocess {
        mean: [0.0; 3],
        std: [1.0; 3],
    };

    /// [1, H, W, 3], any but constant.
    fn picture(phase: f64) -> Tensor {
        let pixels: Vec<u8> = (0..SIZE.area() * 3)
            .map(|i| (127.0 + 120.0 * (i as f64 * 1.7 + phase).sin()) as u8)
            .collect();
        Tensor::from_slice(&pixels).view([1, 14, 20, 3])
    }

    fn view(to_source: Affine) -> View {
        View {
            to_source,
            ..View::IDENTITY
        }
    }

    fn largest(tensor: &Tensor) -> f64 {
        tensor.abs().max().double_value(&[])
    }

    #[test]
    fn what_is_not_set_is_not_drawn() {
        assert_eq!(
            Augmenter::new(Augmentation::default(), SIZE, 3).draw(8),
            None
        );
        let only = |augmentation| {
            let views = Augmenter::new(augmentation, SIZE, 3)
                .draw(64)
                .expect("views");
            let moved = views
                .iter()
                .filter(|v| v.to_source != Affine::IDENTITY)
                .count();
            let coloured = views
                .iter()
                .filter(|v| v.colour != Colour::UNCHANGED)
                .count();
            (moved, coloured)
        };
        let none = Augmentation::default();
        assert_eq!(
            only(Augmentation {
                rotation: 5.0,
                ..none
            }),
            (64, 0)
        );
        assert_eq!(only(Augmentation { crop: 0.5, ..none }), (64, 0));
        assert_eq!(
            only(Augmentation {
                colour_jitter: 0.1,
                ..none
            }),
            (0, 64)
        );
        let (flipped, _) = only(Augmentation {
            flip_vertical: true,
            ..none
        });
        assert!((16..48).contains(&flipped), "{flipped} of 64");
    }

    #[test]
    fn the_seed_decides_the_views_and_they_keep_to_the_settings() {
        let views = |seed| {
            Augmenter::new(EVERYTHING, SIZE, seed)
                .draw(200)
                .expect("views")
        };
        assert_eq!(views(1), views(1));
        assert_ne!(views(1), views(2));
        let area = |view: &View| {
            let [[a, b, _], [d, e, _]] = view.to_source.0;
            a * e - b * d
        };
        let (mirrored, colours): (Vec<bool>, Vec<Colour>) = views(1)
            .iter()
            .map(|view| (area(view) < 0.0, view.colour))
            .unzip();
        assert!((60..140).contains(&mirrored.iter().filter(|m| **m).count()));
        for factor in [
            |c: &Colour| c.brightness,
            |c: &Colour| c.contrast,
            |c: &Colour| c.saturation,
        ] {
            let (low, high) = colours
                .iter()
                .map(factor)
                .fold((9.0, 0.0), |(low, high), v| {
                    (f64::min(low, v), f64::max(high, v))
                });
            assert!((0.6..0.65).contains(&low) && (1.35..=1.4).contains(&high));
        }
        // Cropped only: all of the view lies in the image, with the share and the proportions asked for.
        let crops = Augmentation {
            crop: 0.2,
            ..Augmentation::default()
        };
        let mut areas = Vec::new();
        for view in Augmenter::new(crops, SIZE, 1).draw(200).expect("views") {
            let [x0, y0] = view.to_source.apply([0.0, 0.0]);
            let [x1, y1] = view.to_source.apply([20.0, 14.0]);
            assert!(x0 >= 0.0 && y0 >= 0.0 && x1 <= 20.0 + 1e-9 && y1 <= 14.0 + 1e-9);
            areas.push(area(&view));
            let whole = view.to_source == Affine::IDENTITY;
            assert!(whole || (0.749..1.334).contains(&((x1 - x0) / (y1 - y0))));
        }
        areas.sort_by(f64::total_cmp);
        assert!(
            areas[0] >= 0.2 && areas[0] < 0.25 && areas[100] < 0.75,
            "{areas:?}"
        );
    }

    #[test]
    fn the_identity_is_the_image_normalised() {
        let images = Tensor::cat(&[picture(0.0), picture(1.0)], 0);
        let preprocess = BackboneKind::Resnet18.preprocess();
        let seen = seen_through(&images, &[View::IDENTITY; 2], preprocess);
        let constant = |values: [f32; 3]| Tensor::from_slice(&values);
        let expected =
            (images.to_kind(Kind::Float) - constant(preprocess.mean)) / constant(preprocess.std);
        assert!(largest(&(seen.permute([0, 2, 3, 1]) - expected)) < 1e-5);
        assert_eq!(seen.size(), [2, 3, 14, 20]);
        // Channels innermost.
        assert_eq!(seen.stride(), [14 * 20 * 3, 1, 20 * 3, 3]);
    }

    #[test]
    fn mirrors_and_quarter_turns_move_whole_pixels() {
        let square = picture(0.0).narrow(2, 3, 14);
        let mirror = |axis: usize, side: f64| {
            let mut map = Affine::IDENTITY;
            map.0[axis][axis] = -1.0;
            map.0[axis][2] = side;
            map
        };
        let quarter = Affine::rotation(PI / 2.0, [7.0, 7.0]);
        for (name, image, map, expected) in [
            (
                "left and right",
                picture(0.0),
                mirror(0, 20.0),
                picture(0.0).flip([2]),
            ),
            (
                "top and bottom",
                picture(0.0),
                mirror(1, 14.0),
                picture(0.0).flip([1]),
            ),
            (
                "twice",
                picture(0.0),
                mirror(0, 20.0).then(&mirror(0, 20.0)),
                picture(0.0),
            ),
            ("a quarter", square.copy(), quarter, square.rot90(1, [1, 2])),
            (
                "back",
                square.copy(),
                quarter.then(&quarter.inverse()),
                square.copy(),
            ),
        ] {
            let seen = seen_through(&image, &[view(map)], PLAIN).permute([0, 2, 3, 1]);
            assert!(largest(&(seen - expected)) < 0.01, "{name}");
        }
    }

    /// Images of one pixel row: three planes of 2 x 2, changed by torchvision 0.26's functional transforms one after
    /// the other.
    #[test]
    fn colours_change_as_in_torchvision() {
        let planes = [[10u8, 200, 60, 120], [30, 180, 90, 100], [50, 20, 140, 70]];
        let image = Tensor::from_slice(planes.as_flattened())
            .view([1, 3, 2, 2])
            .permute([0, 2, 3, 1]);
        for ([brightness, contrast, saturation], expected) in [
            (
                [1.2, 1.0, 1.0],
                [
                    [12.0f32, 240.0, 72.0, 144.0],
                    [36.0, 216.0, 108.0, 120.0],
                    [60.0, 24.0, 168.0, 84.0],
                ],
            ),
            (
                [1.0, 0.6, 1.0],
                [
                    [44.329, 158.329, 74.329, 110.329],
                    [56.329, 146.329, 92.329, 98.329],
                    [68.329, 50.329, 122.329, 80.329],
                ],
            ),
            (
                [1.0, 1.3, 1.0],
                [
                    [0.0, 231.253, 49.253, 127.253],
                    [10.253, 205.253, 88.253, 101.253],
                    [36.253, 0.0, 153.253, 62.253],
                ],
            ),
            (
                [1.0, 1.0, 0.4],
                [
                    [19.779, 180.632, 76.034, 109.529],
                    [27.779, 172.632, 88.034, 101.529],
                    [35.779, 108.632, 108.034, 89.529],
                ],
            ),
            (
                [1.0, 1.0, 1.2],
                [
                    [6.74, 206.456, 54.655, 123.49],
                    [30.74, 182.456, 90.655, 99.49],
                    [54.74, 0.0, 150.655, 63.49],
                ],
            ),
            (
                [1.1, 0.7, 1.2],
                [
                    [36.812, 190.593, 73.707, 126.71],
                    [55.292, 172.113, 101.427, 108.23],
                    [73.772, 24.273, 147.627, 80.51],
                ],
            ),
        ] {
            let colour = Colour {
                brightness,
                contrast,
                saturation,
            };
            let coloured = View {
                colour,
                ..View::IDENTITY
            };
            let expected = Tensor::from_slice(expected.as_flattened()).view([1, 3, 2, 2]);
            // Whatever comes after: normalisation is part of the same product.
            for preprocess in [PLAIN, BackboneKind::EfficientnetLite0.preprocess()] {
                let seen = seen_through(&image, &[coloured], preprocess);
                let back = seen * f64::from(preprocess.std[0]) + f64::from(preprocess.mean[0]);
                assert!(largest(&(back - &expected)) < 0.02, "{colour:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// On an image that grows evenly along both sides the bilinear value is known everywhere.
        #[test]
        fn each_pixel_comes_from_its_point(seed: u64) {
            let ramp: Vec<u8> = (0..14u8).flat_map(|y| (0..20u8).flat_map(move |x| [10 * x, 10 * y, 128])).collect();
            let image = Tensor::from_slice(&ramp).view([1, 14, 20, 3]);
            let still = Augmentation { colour_jitter: 0.0, ..EVERYTHING };
            let views = Augmenter::new(still, SIZE, seed).draw(1).expect("a view");
            let preprocess = Preprocess { mean: [50.0; 3], std: [10.0; 3] };
            let seen = seen_through(&image, &views, preprocess);
            let seen = Vec::<f32>::try_from(seen.permute([0, 2, 3, 1]).contiguous().flatten(0, -1)).expect("numbers");
            let mut inner = 0;
            for (i, pixel) in seen.chunks_exact(3).enumerate() {
                let [x, y] = views[0].to_source.apply([(i % 20) as f64 + 0.5, (i / 20) as f64 + 0.5]);
                let within = |at: f64, side: f64, edge: f64| at > edge && at < side - edge;
                if within(x, 20.0, 0.5) && within(y, 14.0, 0.5) {
                    inner += 1;
                    prop_assert!((f64::from(pixel[0]) - (x - 0.5 - 5.0)).abs() < 1e-3);
                    prop_assert!((f64::from(pixel[1]) - (y - 0.5 - 5.0)).abs() < 1e-3);
                    prop_assert!((f64::from(pixel[2]) - 7.8).abs() < 1e-3);
                } else if !within(x, 20.0, -0.5) || !within(y, 14.0, -0.5) {
                    prop_assert_eq!(pixel, [0.0; 3], "beyond the image is the mean");
                }
            }
            prop_assert!(inner > 50);
        }

        #[test]
        fn an_inverse_leads_back(seed: u64, x in -30.0..30.0, y in -30.0..30.0) {
            let map = Augmenter::new(EVERYTHING, SIZE, seed).draw(1).expect("a view")[0].to_source;
            for back in [map.then(&map.inverse()), map.inverse().then(&map)] {
                let [bx, by] = back.apply([x, y]);
                prop_assert!((bx - x).abs() < 1e-9 && (by - y).abs() < 1e-9);
            }
            let next = Affine::rotation(1.0, [3.0, 4.0]);
            let [one, two] = [map.then(&next).apply([x, y]), next.apply(map.apply([x, y]))];
            prop_assert!((one[0] - two[0]).abs() < 1e-9 && (one[1] - two[1]).abs() < 1e-9);
        }
    }

    /// The same image in another batch is seen the same: only its own mean grey counts.
    #[test]
    fn an_image_is_seen_by_itself() {
        let views = Augmenter::new(EVERYTHING, SIZE, 5).draw(3).expect("views");
        let images = Tensor::cat(&[picture(0.0), picture(1.0), picture(2.0) / 2], 0)
            .to_kind(Kind::Uint8)
            .to_device(Device::Cpu);
        let together = seen_through(&images, &views, Preprocess::IMAGENET);
        for (i, view) in views.iter().enumerate() {
            let alone = seen_through(
                &images.narrow(0, i as i64, 1),
                &[*view],
                Preprocess::IMAGENET,
            );
            assert!(largest(&(together.get(i as i64) - alone.get(0))) < 1e-4);
        }
    }
}
