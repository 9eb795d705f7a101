//! egui's triangles drawn on the processor: the same picture on every machine, whatever its graphics driver.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use egui::epaint::{ClippedPrimitive, ImageData, Mesh, Primitive, Vertex};
use egui::{Color32, ColorImage, Pos2, TextureFilter, TextureId, TexturesDelta, pos2};
use egui_kittest::{Harness, TestRenderer};
use image::{Rgb, RgbImage};

struct Texture {
    image: ColorImage,
    squares: bool,
}

impl Texture {
    /// Premultiplied, 0 to 1.
    fn at(&self, uv: Pos2) -> [f32; 4] {
        let [width, height] = self.image.size;
        let pixel = |x: i64, y: i64| {
            let x = x.clamp(0, width as i64 - 1) as usize;
            let y = y.clamp(0, height as i64 - 1) as usize;
            self.image.pixels[y * width + x].to_normalized_gamma_f32()
        };
        let (x, y) = (uv.x * width as f32, uv.y * height as f32);
        if self.squares {
            return pixel(x.floor() as i64, y.floor() as i64);
        }
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (dx, dy) = (x - left, y - top);
        let (left, top) = (left as i64, top as i64);
        let row = |y| mix(pixel(left, y), pixel(left + 1, y), dx);
        mix(row(top), row(top + 1), dy)
    }
}

fn mix(a: [f32; 4], b: [f32; 4], t: f32) -> [f32; 4] {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

/// What a graphics card would keep of a window.
#[derive(Clone, Default)]
pub struct Raster(Arc<Mutex<HashMap<TextureId, Texture>>>);

impl TestRenderer for Raster {
    fn handle_delta(&mut self, delta: &mut TexturesDelta) {
        let mut textures = self.0.lock().unwrap();
        for (id, changes) in delta.set.drain() {
            for change in changes {
                let ImageData::Color(image) = change.image;
                let squares = change.options.magnification == TextureFilter::Nearest;
                match change.pos {
                    None => {
                        let image = Arc::unwrap_or_clone(image);
                        textures.insert(id, Texture { image, squares });
                    }
                    Some([x, y]) => {
                        let whole = &mut textures.get_mut(&id).unwrap().image;
                        let [width, _] = image.size;
                        for (row, pixels) in image.pixels.chunks(width).enumerate() {
                            let from = (y + row) * whole.size[0] + x;
                            whole.pixels[from..from + width].copy_from_slice(pixels);
                        }
                    }
                }
            }
        }
        for id in &delta.free {
            textures.remove(id);
        }
        delta.clear();
    }
}

impl Raster {
    /// The window as it stands, at one pixel to a point.
    pub fn picture<T>(&self, window: &Harness<'_, T>) -> RgbImage {
        let textures = self.0.lock().unwrap();
        let size = window.ctx.content_rect().size();
        let mut target = RgbImage::new(size.x as u32, size.y as u32);
        let shapes = window.output().shapes.clone();
        for ClippedPrimitive {
            clip_rect,
            primitive,
        } in window.ctx.tessellate(shapes, 1.0)
        {
            let Primitive::Mesh(mesh) = primitive else {
                panic!("a callback for a graphics card")
            };
            // As the real one cuts: on whole pixels.
            let clip = [
                clip_rect.left().round().clamp(0.0, size.x) as u32,
                clip_rect.top().round().clamp(0.0, size.y) as u32,
                clip_rect.right().round().clamp(0.0, size.x) as u32,
                clip_rect.bottom().round().clamp(0.0, size.y) as u32,
            ];
            draw(&mesh, &textures[&mesh.texture_id], clip, &mut target);
        }
        target
    }
}

fn draw(mesh: &Mesh, texture: &Texture, clip: [u32; 4], target: &mut RgbImage) {
    for corners in mesh.indices.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|i| mesh.vertices[corners[i] as usize]);
        let area = beyond(a.pos, b.pos, c.pos);
        // One way round, so that inside is on the same side of all edges.
        if area > 0.0 {
            triangle([a, b, c], area, texture, clip, target);
        } else if area < 0.0 {
            triangle([a, c, b], -area, texture, clip, target);
        }
    }
}

/// How far a place lies beyond the line from `a` to `b`, times that line's length.
fn beyond(a: Pos2, b: Pos2, place: Pos2) -> f64 {
    let [ax, ay, bx, by, x, y] = [a.x, a.y, b.x, b.y, place.x, place.y].map(f64::from);
    (bx - ax) * (y - ay) - (by - ay) * (x - ax)
}

fn triangle(
    [a, b, c]: [Vertex; 3],
    area: f64,
    texture: &Texture,
    [left, top, right, bottom]: [u32; 4],
    target: &mut RgbImage,
) {
    let least = a.pos.min(b.pos).min(c.pos);
    let most = a.pos.max(b.pos).max(c.pos);
    let columns =
        left.max(least.x.floor().max(0.0) as u32)..right.min(most.x.ceil().max(0.0) as u32);
    let rows = top.max(least.y.floor().max(0.0) as u32)..bottom.min(most.y.ceil().max(0.0) as u32);
    let edges = [(b.pos, c.pos), (c.pos, a.pos), (a.pos, b.pos)];
    // A pixel on the edge of two triangles belongs to one of them.
    let owns = edges.map(|(from, to)| from.y > to.y || (from.y == to.y && from.x < to.x));
    let plain = (a.uv == b.uv && b.uv == c.uv).then(|| texture.at(a.uv));
    let colors = [a, b, c].map(|corner| corner.color.to_normalized_gamma_f32());
    for y in rows {
        for x in columns.clone() {
            let middle = pos2(x as f32 + 0.5, y as f32 + 0.5);
            let inside = edges.map(|(from, to)| beyond(from, to, middle));
            if (0..3).any(|i| inside[i] < 0.0 || (inside[i] == 0.0 && !owns[i])) {
                continue;
            }
            let share = inside.map(|inside| (inside / area) as f32);
            let sum = |of: [f32; 3]| (0..3).map(|i| of[i] * share[i]).sum::<f32>();
            let texel = plain.unwrap_or_else(|| {
                let uv = [a.uv, b.uv, c.uv];
                texture.at(pos2(sum(uv.map(|uv| uv.x)), sum(uv.map(|uv| uv.y))))
            });
            let [r, g, b, alpha]: [f32; 4] =
                std::array::from_fn(|i| texel[i] * sum(colors.map(|color| color[i])));
            let Rgb(below) = *target.get_pixel(x, y);
            let below = Color32::from_rgb(below[0], below[1], below[2]).to_normalized_gamma_f32();
            let over = |color: f32, below: f32| (color + below * (1.0 - alpha)) * 255.0;
            let mixed = [over(r, below[0]), over(g, below[1]), over(b, below[2])];
            target.put_pixel(x, y, Rgb(mixed.map(|value| value.round() as u8)));
        }
    }
}
