//! Pictures on the graphics card: thumbnails, the image in hand, attention maps.
//!
//! Decoding happens on two background threads, newest request first, so that what the user looks at now comes
//! before what was scrolled past. Both caches are bounded.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use care_data::{ImageId, Look, decode};
use care_learn::AttentionMap;
use egui::{ColorImage, TextureHandle, TextureOptions};

use crate::colormap;

/// Longer side of a thumbnail in pixels: the largest cell is 160 points, at scale 2.
const THUMBNAIL_SIDE: u32 = 320;
const MAX_THUMBNAILS: usize = 600;
const MAX_IMAGES: usize = 8;
/// Of whole images; the one in hand stays in any case.
const MAX_IMAGE_BYTES: usize = 512 << 20;
const MAX_MAPS: usize = 400;
/// Requests kept; older ones are forgotten and asked for again when they come into view.
const MAX_WAITING: usize = 200;
/// Uploads in one frame, so that a burst of finished thumbnails never costs a frame.
const UPLOADS_PER_FRAME: usize = 12;
/// Pixels along an enlarged attention map's longer side.
const MAP_SIDE: usize = 112;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Thumbnail,
    Full,
}

type Key = (Kind, ImageId);

/// A picture that may not be there yet.
#[derive(Clone)]
pub enum Picture {
    Ready(TextureHandle),
    Loading,
    /// Why the file could not be decoded.
    Failed(Arc<str>),
}

impl Picture {
    #[must_use]
    pub fn texture(&self) -> Option<&TextureHandle> {
        match self {
            Self::Ready(texture) => Some(texture),
            Self::Loading | Self::Failed(_) => None,
        }
    }
}

struct Cached {
    picture: Picture,
    used: u64,
}

#[derive(Default)]
struct Queue {
    /// The last is decoded first.
    waiting: Vec<(Key, PathBuf)>,
    /// How grey images are seen, and how often that has changed.
    look: (Look, u64),
    /// With the number of the look that it was seen through.
    finished: Vec<(Key, u64, Result<ColorImage, String>)>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

impl Shared {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The window's pictures. Belongs to one open project; dropped and made anew with it.
pub struct Textures {
    ctx: egui::Context,
    shared: Arc<Shared>,
    pictures: HashMap<Key, Cached>,
    maps: HashMap<u64, (TextureHandle, u64)>,
    frame: u64,
}

impl Textures {
    #[must_use]
    pub fn new(ctx: &egui::Context) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
        });
        let max_side = ctx.input(|i| i.max_texture_side) as u32;
        for _ in 0..2 {
            let (shared, ctx) = (Arc::clone(&shared), ctx.clone());
            // A system that gives no thread shows no pictures; everything else goes on.
            let _ = std::thread::Builder::new()
                .name("decode".into())
                .spawn(move || serve(&shared, &ctx, max_side));
        }
        Self {
            ctx: ctx.clone(),
            shared,
            pictures: HashMap::new(),
            maps: HashMap::new(),
            frame: 0,
        }
    }

    /// Takes what the decoders finished, and forgets what was not looked at for longest. Once a frame.
    pub fn begin_frame(&mut self, look: Look) {
        self.frame += 1;
        let (finished, more, now) = {
            let mut queue = self.shared.queue();
            if queue.look.0 != look {
                queue.look = (look, queue.look.1 + 1);
                queue.waiting.clear();
                self.pictures.clear();
            }
            let n = queue.finished.len().min(UPLOADS_PER_FRAME);
            (
                queue.finished.drain(..n).collect::<Vec<_>>(),
                queue.finished.len(),
                queue.look.1,
            )
        };
        if more > 0 {
            self.ctx.request_repaint();
        }
        for (key, _, result) in finished.into_iter().filter(|(_, of, _)| *of == now) {
            let picture = match result {
                Ok(image) => Picture::Ready(self.ctx.load_texture(
                    format!("{key:?}"),
                    image,
                    TextureOptions {
                        mipmap_mode: Some(egui::TextureFilter::Linear),
                        ..TextureOptions::LINEAR
                    },
                )),
                Err(why) => Picture::Failed(why.into()),
            };
            self.pictures.insert(
                key,
                Cached {
                    picture,
                    used: self.frame,
                },
            );
        }
        self.forget_oldest(Kind::Thumbnail, MAX_THUMBNAILS, usize::MAX);
        self.forget_oldest(Kind::Full, MAX_IMAGES, MAX_IMAGE_BYTES);
        if self.maps.len() > MAX_MAPS {
            let frame = self.frame;
            self.maps.retain(|_, (_, used)| *used + 2 >= frame);
        }
    }

    fn forget_oldest(&mut self, kind: Kind, limit: usize, max_bytes: usize) {
        let of_kind = self.pictures.iter().filter(|(key, _)| key.0 == kind);
        let mut newest_first: Vec<(u64, Key, usize)> = of_kind
            .map(|(key, cached)| {
                let bytes = cached.picture.texture().map_or(0, TextureHandle::byte_size);
                (cached.used, *key, bytes)
            })
            .collect();
        newest_first.sort_unstable_by_key(|(used, ..)| Reverse(*used));
        let mut sum = 0;
        for (place, (_, key, bytes)) in newest_first.into_iter().enumerate() {
            sum += bytes;
            if place >= limit || (sum > max_bytes && place > 0) {
                self.pictures.remove(&key);
            }
        }
    }

    /// The image, at most 320 pixels on its longer side.
    pub fn thumbnail(&mut self, image: ImageId, path: impl FnOnce() -> PathBuf) -> Picture {
        self.picture((Kind::Thumbnail, image), path)
    }

    /// The whole image (reduced only where the graphics card cannot hold it).
    pub fn full(&mut self, image: ImageId, path: impl FnOnce() -> PathBuf) -> Picture {
        self.picture((Kind::Full, image), path)
    }

    fn picture(&mut self, key: Key, path: impl FnOnce() -> PathBuf) -> Picture {
        if let Some(cached) = self.pictures.get_mut(&key) {
            cached.used = self.frame;
            return cached.picture.clone();
        }
        self.pictures.insert(
            key,
            Cached {
                picture: Picture::Loading,
                used: self.frame,
            },
        );
        let dropped = {
            let mut queue = self.shared.queue();
            queue.waiting.push((key, path()));
            let excess = queue.waiting.len().saturating_sub(MAX_WAITING);
            queue
                .waiting
                .drain(..excess)
                .map(|(key, _)| key)
                .collect::<Vec<_>>()
        };
        for key in dropped {
            self.pictures.remove(&key);
        }
        self.shared.work.notify_one();
        Picture::Loading
    }

    /// An attention map as a translucent texture at full opacity; tint it to fade it. `key` names the map for good:
    /// the same key always means the same values.
    pub fn map(&mut self, key: u64, map: &AttentionMap) -> TextureHandle {
        let frame = self.frame;
        let entry = self.maps.entry(key).or_insert_with(|| {
            let long = map.width.max(map.height).max(1);
            let (w, h) = (
                (MAP_SIDE * map.width / long).max(1),
                (MAP_SIDE * map.height / long).max(1),
            );
            let texture = self.ctx.load_texture(
                "attention",
                colormap::overlay(map, w, h),
                TextureOptions::LINEAR,
            );
            (texture, frame)
        });
        entry.1 = frame;
        entry.0.clone()
    }
}

impl Drop for Textures {
    /// Lets the decoders go without waiting: one may be in the middle of a huge file.
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.work.notify_all();
    }
}

fn serve(shared: &Shared, ctx: &egui::Context, max_side: u32) {
    loop {
        let (key, path, (look, number)) = {
            let mut queue = shared.queue();
            let (key, path) = loop {
                if queue.closed {
                    return;
                }
                // The image in hand goes before every thumbnail.
                let next = queue
                    .waiting
                    .iter()
                    .rposition(|(key, _)| key.0 == Kind::Full);
                if let Some(index) = next {
                    break queue.waiting.remove(index);
                }
                if let Some(newest) = queue.waiting.pop() {
                    break newest;
                }
                queue = shared
                    .work
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            (key, path, queue.look)
        };
        let side = match key.0 {
            Kind::Thumbnail => THUMBNAIL_SIDE,
            Kind::Full => max_side,
        };
        let result = decode::thumbnail(&path, &look, side)
            .map_err(|error| format!("{error} {}", error.advice()))
            .map(|image| {
                ColorImage::from_rgb(
                    [image.width() as usize, image.height() as usize],
                    image.as_raw(),
                )
            });
        shared.queue().finished.push((key, number, result));
        ctx.request_repaint();
    }
}
