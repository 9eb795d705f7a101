//! The loss lens over an image: what is rewarded and what is penalised, with a hard edge at the box.
//!
//! Textures are as fine as an attention map's, and the edge is the mesh's: nothing of the image's size is computed.

use care_data::{BoundingBox, ImageSize};
use care_figures::{Grid, map_style};
use care_learn::AttentionMap;
use care_learn::lens::LensMasks;
use egui::{Color32, ColorImage, Mesh, Painter, Rect, TextureHandle, TextureOptions, pos2};

use crate::ui::tokens;

/// Pixels along the textures' sides.
const SIDE: usize = 112;
/// Of a pixel with F = 1 whose side of the box counts fully.
const OPACITY: f32 = 0.9;

/// A part of the image that lies wholly inside the boxes or wholly outside, in 0..=1 across and down.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    rect: Rect,
    is_inside: bool,
}

/// A texture and what it was made of.
#[derive(Default)]
struct Layer {
    of: Option<u64>,
    texture: Option<TextureHandle>,
}

impl Layer {
    /// Made anew where `of`, which names its values, is new.
    fn renew(&mut self, ctx: &egui::Context, of: u64, value: impl Fn(f32, f32) -> f32) {
        if self.of.replace(of) == Some(of) {
            return;
        }
        let at = |i: usize| (i as f32 + 0.5) / SIDE as f32;
        let pixels = (0..SIDE * SIDE)
            .map(|i| value(at(i % SIDE), at(i / SIDE)))
            .map(|value| Color32::from_white_alpha((255.0 * value).round() as u8));
        let image = ColorImage::new([SIDE, SIDE], pixels.collect());
        match &mut self.texture {
            Some(texture) => texture.set(image, TextureOptions::LINEAR),
            None => self.texture = Some(ctx.load_texture("lens", image, TextureOptions::LINEAR)),
        }
    }
}

#[derive(Default)]
pub struct Tint {
    inside: Layer,
    /// F times M_out.
    outside: Layer,
    cells: Vec<Cell>,
    cells_of: Vec<BoundingBox>,
    strengths: [f32; 2],
}

/// What is tinted.
pub struct Tinted<'a> {
    pub f: &'a AttentionMap,
    pub masks: &'a LensMasks,
    pub grid: Grid,
    /// Name the values of `f`, and of the masks; 0 where M_out is the same everywhere outside.
    pub keys: [u64; 2],
    /// The boxes as they are learned from.
    pub boxes: &'a [BoundingBox],
    pub image: ImageSize,
    /// How large the gradient over all pixels inside is, and over all outside.
    pub gradients: [f64; 2],
}

impl Tint {
    pub fn renew(&mut self, ctx: &egui::Context, tinted: &Tinted<'_>) {
        let Tinted { f, masks, grid, .. } = *tinted;
        let [of_f, of_masks] = tinted.keys;
        let attention = |u, v| map_style::sample(f, grid, u, v).max(0.0).powf(0.6);
        self.inside.renew(ctx, of_f, attention);
        self.outside.renew(ctx, of_f ^ of_masks, |u, v| {
            // The edge is the mesh's: where M_out is 1 outside, it is left out here.
            let weight = if of_masks == 0 {
                1.0
            } else {
                masks.outside(f64::from(u), f64::from(v)) as f32
            };
            attention(u, v) * weight
        });
        if self.cells_of != tinted.boxes {
            self.cells = cells(tinted.boxes, tinted.image);
            self.cells_of = tinted.boxes.to_vec();
        }
        self.strengths = tinted.gradients.map(strength);
    }

    /// Over the image at `rect`.
    pub fn ui(&self, painter: &Painter, rect: Rect) {
        let sides = [
            (true, &self.inside, tokens::LENS_INSIDE, self.strengths[0]),
            (
                false,
                &self.outside,
                tokens::LENS_OUTSIDE,
                self.strengths[1],
            ),
        ];
        for (is_inside, layer, ink, strength) in sides {
            let Some(texture) = layer.texture.as_ref().filter(|_| strength > 0.0) else {
                continue;
            };
            let ink = ink.gamma_multiply(OPACITY * strength);
            let mut mesh = Mesh::with_texture(texture.id());
            for cell in self.cells.iter().filter(|cell| cell.is_inside == is_inside) {
                let on_screen = Rect::from_min_max(
                    rect.lerp_inside(cell.rect.min.to_vec2()),
                    rect.lerp_inside(cell.rect.max.to_vec2()),
                );
                mesh.add_rect_with_uv(on_screen, cell.rect, ink);
            }
            painter.add(mesh);
        }
    }
}

/// From the size of a side's gradient (alpha inside, alpha lambda outside) to a share of the opacity: an eye sees the first
/// small steps, and 1 is full.
fn strength(gradient: f64) -> f32 {
    (gradient.abs() as f32).min(1.0).powf(0.3)
}

/// The image cut along the boxes' edges into rows, and each row where a box begins or ends.
fn cells(boxes: &[BoundingBox], image: ImageSize) -> Vec<Cell> {
    let share = |rect: &BoundingBox| {
        let [x0, y0, x1, y1] = rect.xyxy();
        let [w, h] = [image.width, image.height].map(f64::from);
        [x0 / w, y0 / h, x1 / w, y1 / h].map(|t| t.clamp(0.0, 1.0) as f32)
    };
    let boxes: Vec<[f32; 4]> = boxes.iter().map(share).collect();
    let mut ys: Vec<f32> = boxes.iter().flat_map(|[_, y0, _, y1]| [*y0, *y1]).collect();
    ys.extend([0.0, 1.0]);
    ys.sort_unstable_by(f32::total_cmp);
    ys.dedup();
    let mut cells = Vec::new();
    for row in ys.windows(2) {
        let [top, bottom] = [row[0], row[1]];
        let mut spans: Vec<[f32; 2]> = boxes
            .iter()
            .filter(|[_, y0, _, y1]| *y0 <= top && bottom <= *y1)
            .map(|[x0, _, x1, _]| [*x0, *x1])
            .collect();
        spans.sort_unstable_by(|a, b| a[0].total_cmp(&b[0]));
        let mut put = |left: f32, right: f32, is_inside| {
            if left < right {
                let rect = Rect::from_min_max(pos2(left, top), pos2(right, bottom));
                cells.push(Cell { rect, is_inside });
            }
        };
        let mut done = 0.0_f32;
        for [left, right] in spans {
            put(done, left, false);
            put(left.max(done), right, true);
            done = done.max(right);
        }
        put(done, 1.0, false);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cover_the_image_once_and_know_their_side() {
        let image = ImageSize::new(100, 50);
        for boxes in [
            vec![],
            vec![[10.0, 10.0, 40.0, 30.0]],
            vec![[0.0, 0.0, 100.0, 50.0]],
            // One over the other, one in the other, side by side.
            vec![
                [10.0, 10.0, 40.0, 30.0],
                [30.0, 5.0, 60.0, 20.0],
                [12.0, 12.0, 20.0, 20.0],
                [60.0, 5.0, 80.0, 20.0],
            ],
        ] {
            let boxes: Vec<_> = boxes
                .into_iter()
                .map(|it| BoundingBox::try_from(it).unwrap())
                .collect();
            let cells = cells(&boxes, image);
            for i in 0..500 {
                let at = [f64::from(i % 25) * 4.0 + 1.5, f64::from(i / 25) * 2.5 + 0.7];
                let here = pos2(at[0] as f32 / 100.0, at[1] as f32 / 50.0);
                let of: Vec<_> = cells.iter().filter(|it| it.rect.contains(here)).collect();
                let [cell] = of[..] else {
                    panic!("{at:?}: {of:?}")
                };
                let is_inside = boxes.iter().any(|rect| {
                    let [x0, y0, x1, y1] = rect.xyxy();
                    (x0..x1).contains(&at[0]) && (y0..y1).contains(&at[1])
                });
                assert_eq!(cell.is_inside, is_inside, "{at:?}");
            }
        }
    }

    #[test]
    fn nothing_is_tinted_that_has_no_gradient() {
        assert_eq!(strength(0.0), 0.0);
        assert_eq!((strength(-1.0), strength(2.0)), (1.0, 1.0));
        assert!(strength(0.35) > 0.7 && strength(0.35) < strength(0.5));
    }
}
