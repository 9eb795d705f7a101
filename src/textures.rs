//! Pictures on the graphics card: thumbnails, the image in hand, attention maps.
//!
//! Decoding happens on two background threads, newest request first, so that what the user looks at now comes
//! before what was scrolled past. Both caches are bounded.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use care_data::decode::{self, DecodeError};
use care_data::{GreyImage, ImageId, Look, Window};
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
    /// What was asked for last.
    look: Look,
    /// Of a whole grey image: its values, and the window that its picture shows.
    grey: Option<Grey>,
    /// Of the job that made it.
    serial: u64,
    used: u64,
}

/// A grey image in hand.
#[derive(Clone)]
pub struct Grey {
    pub image: Arc<GreyImage>,
    /// As its picture shows it; none where the file brings a table.
    pub window: Option<Window>,
}

struct Job {
    key: Key,
    /// Ascending.
    serial: u64,
    look: Look,
    from: Source,
}

enum Source {
    File(PathBuf),
    /// It is there, and is to be seen through another window.
    Grey(Arc<GreyImage>),
}

struct Decoded {
    pixels: ColorImage,
    grey: Option<Grey>,
}

#[derive(Default)]
struct Queue {
    /// The last is decoded first.
    waiting: Vec<Job>,
    finished: Vec<(Job, Result<Decoded, String>)>,
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
    serial: u64,
    /// Pixels of whole images are squares when enlarged.
    squares: bool,
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
            serial: 0,
            squares: false,
        }
    }

    /// Whether pixels of whole images are squares when enlarged, or run into one another.
    pub fn show_squares(&mut self, squares: bool) {
        if std::mem::replace(&mut self.squares, squares) != squares {
            self.pictures.retain(|(kind, _), _| *kind != Kind::Full);
        }
    }

    /// Takes what the decoders finished, and forgets what was not looked at for longest. Once a frame.
    pub fn begin_frame(&mut self) {
        self.frame += 1;
        let (finished, more) = {
            let mut queue = self.shared.queue();
            let n = queue.finished.len().min(UPLOADS_PER_FRAME);
            (
                queue.finished.drain(..n).collect::<Vec<_>>(),
                queue.finished.len(),
            )
        };
        if more > 0 {
            self.ctx.request_repaint();
        }
        for (
            Job {
                key, serial, look, ..
            },
            result,
        ) in finished
        {
            let before = self.pictures.get(&key);
            // Of two decoders the one that began first may end last.
            if before.is_some_and(|before| before.serial > serial) {
                continue;
            }
            let look = before.map_or(look, |before| before.look);
            let (picture, grey) = match result {
                Ok(Decoded { pixels, grey }) => {
                    let mut options = TextureOptions {
                        mipmap_mode: Some(egui::TextureFilter::Linear),
                        ..TextureOptions::LINEAR
                    };
                    if self.squares && key.0 == Kind::Full {
                        options.magnification = egui::TextureFilter::Nearest;
                    }
                    let texture = self.ctx.load_texture(format!("{key:?}"), pixels, options);
                    (Picture::Ready(texture), grey)
                }
                Err(why) => (Picture::Failed(why.into()), None),
            };
            self.pictures.insert(
                key,
                Cached {
                    picture,
                    look,
                    grey,
                    serial,
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
                let values = |grey: &Grey| 2 * grey.image.size().area() as usize;
                let bytes = cached.picture.texture().map_or(0, TextureHandle::byte_size)
                    + cached.grey.as_ref().map_or(0, values);
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

    /// The image, at most 320 pixels on its longer side; a grey one seen through `look`.
    pub fn thumbnail(
        &mut self,
        image: ImageId,
        look: Look,
        path: impl FnOnce() -> PathBuf,
    ) -> Picture {
        self.picture((Kind::Thumbnail, image), look, path)
    }

    /// The whole image (reduced only where the graphics card cannot hold it); a grey one seen through `look`, as soon as
    /// it has been computed.
    pub fn full(&mut self, image: ImageId, look: Look, path: impl FnOnce() -> PathBuf) -> Picture {
        self.picture((Kind::Full, image), look, path)
    }

    /// The whole image's values, where it is grey and there.
    #[must_use]
    pub fn grey(&self, image: ImageId) -> Option<&Grey> {
        self.pictures.get(&(Kind::Full, image))?.grey.as_ref()
    }

    fn picture(&mut self, key: Key, look: Look, path: impl FnOnce() -> PathBuf) -> Picture {
        let (picture, from) = match self.pictures.get_mut(&key) {
            Some(cached) if cached.look == look => {
                cached.used = self.frame;
                return cached.picture.clone();
            }
            Some(cached) => {
                let from = match (&cached.grey, &cached.picture) {
                    (Some(grey), _) => Source::Grey(Arc::clone(&grey.image)),
                    // In colour it stays as it is.
                    (None, Picture::Ready(_) | Picture::Failed(_)) if key.0 == Kind::Full => {
                        cached.look = look;
                        return cached.picture.clone();
                    }
                    (None, _) => Source::File(path()),
                };
                (cached.picture.clone(), from)
            }
            None => (Picture::Loading, Source::File(path())),
        };
        let before = self.pictures.remove(&key);
        self.pictures.insert(
            key,
            Cached {
                picture: picture.clone(),
                look,
                serial: before.as_ref().map_or(0, |before| before.serial),
                grey: before.and_then(|before| before.grey),
                used: self.frame,
            },
        );
        self.serial += 1;
        let serial = self.serial;
        let dropped = {
            let mut queue = self.shared.queue();
            // Only the look that is wanted now is worth computing.
            queue.waiting.retain(|job| job.key != key);
            queue.waiting.push(Job {
                key,
                serial,
                look,
                from,
            });
            let excess = queue.waiting.len().saturating_sub(MAX_WAITING);
            queue
                .waiting
                .drain(..excess)
                .map(|job| job.key)
                .collect::<Vec<_>>()
        };
        for key in dropped {
            self.pictures.remove(&key);
        }
        self.shared.work.notify_one();
        picture
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
        let job = {
            let mut queue = shared.queue();
            loop {
                if queue.closed {
                    return;
                }
                // The image in hand goes before every thumbnail.
                let next = queue
                    .waiting
                    .iter()
                    .rposition(|job| job.key.0 == Kind::Full);
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
            }
        };
        let result = decoded(&job, max_side).map_err(|error| format!("{error} {}", error.advice()));
        shared.queue().finished.push((job, result));
        ctx.request_repaint();
    }
}

fn decoded(job: &Job, max_side: u32) -> Result<Decoded, DecodeError> {
    let look = &job.look;
    let (image, grey) = match (job.key.0, &job.from) {
        (Kind::Thumbnail, Source::File(path)) => {
            (decode::thumbnail(path, look, THUMBNAIL_SIDE)?, None)
        }
        (_, Source::File(path)) => match decode::open(path)? {
            decode::Picture::Colour(image) => (decode::fitted(image, max_side)?, None),
            decode::Picture::Grey(image) => {
                let seen = decode::fitted(image.seen(look), max_side)?;
                (seen, Some(Arc::new(image)))
            }
        },
        (_, Source::Grey(image)) => {
            let seen = decode::fitted(image.seen(look), max_side)?;
            (seen, Some(Arc::clone(image)))
        }
    };
    let size = [image.width() as usize, image.height() as usize];
    Ok(Decoded {
        pixels: ColorImage::from_rgb(size, image.as_raw()),
        grey: grey.map(|image| Grey {
            window: image.window(look.windowing),
            image,
        }),
    })
}
