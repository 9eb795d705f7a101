//! Pictures on the graphics card: thumbnails, the image in hand, attention maps.
//!
//! Decoding happens on two background threads, newest request first. What nobody asked for in the last frame is decoded
//! and uploaded no more, so that a gallery stands complete a moment after it stops, however far it was scrolled. Both caches are
//! bounded in bytes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use care_data::decode::{self, DecodeError};
use care_data::{GreyImage, ImageId, Look, Window};
use care_figures::{Blending, Grid, MapStyle, map_style};
use care_learn::AttentionMap;
use egui::{ColorImage, TextureHandle, TextureOptions};

/// Longer side of a thumbnail in pixels: the largest cell is 160 points, at scale 2.
const THUMBNAIL_SIDE: u32 = 320;
const MAX_MAPS: usize = 400;
/// A texture takes so many bytes at least, whatever it shows.
const MIN_BYTES: usize = 16 << 10;
/// Uploads in one frame, so that a burst of finished thumbnails never costs a frame.
const UPLOADS_PER_FRAME: usize = 12;
/// Pixels along an attention map's longer side: with sharp cells, and with slopes, which the graphics card enlarges as well.
const RAW_SIDE: usize = 112;
const SMOOTH_SIDE: usize = 56;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Thumbnail,
    Full,
    /// As `Full`, nearly grey, so that what lies on it is seen.
    Muted,
}

impl Kind {
    /// Bytes that are kept of what is not in view.
    fn limit(self) -> usize {
        match self {
            Self::Thumbnail => 128 << 20,
            Self::Full => 256 << 20,
            Self::Muted => 128 << 20,
        }
    }
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
    /// The frame in which it was asked for last.
    used: u64,
}

impl Cached {
    fn bytes(&self) -> usize {
        // With its smaller versions, for when it is shown reduced.
        let texture = |texture: &TextureHandle| texture.byte_size() * 4 / 3;
        let values = |grey: &Grey| 2 * grey.image.size().area() as usize;
        let texture = self.picture.texture().map_or(0, texture);
        texture.max(MIN_BYTES) + self.grey.as_ref().map_or(0, values)
    }
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

impl Queue {
    /// The image in hand goes before every thumbnail.
    fn next(&mut self) -> Option<Job> {
        let is_full = |job: &Job| job.key.0 != Kind::Thumbnail;
        match self.waiting.iter().rposition(is_full) {
            Some(index) => Some(self.waiting.remove(index)),
            None => self.waiting.pop(),
        }
    }
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

/// An attention map on the graphics card.
#[derive(Clone)]
pub struct MapTexture {
    /// Translucent, at full opacity: tint it to fade it.
    pub texture: TextureHandle,
    /// Lines round what is above the threshold, in 0..=1 across and down the image.
    pub contour: Arc<Vec<Vec<[f32; 2]>>>,
}

/// The window's pictures. Belongs to one open project; dropped and made anew with it.
pub struct Textures {
    ctx: egui::Context,
    shared: Arc<Shared>,
    pictures: HashMap<Key, Cached>,
    maps: HashMap<u64, (TextureHandle, u64)>,
    contours: HashMap<u64, (Arc<Vec<Vec<[f32; 2]>>>, u64)>,
    frame: u64,
    serial: u64,
    /// Pixels of whole images are squares when enlarged.
    squares: bool,
}

impl Textures {
    #[must_use]
    pub fn new(ctx: &egui::Context) -> Self {
        Self::with_decoders(ctx, 2)
    }

    fn with_decoders(ctx: &egui::Context, number: usize) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
        });
        let max_side = ctx.input(|i| i.max_texture_side) as u32;
        for _ in 0..number {
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
            contours: HashMap::new(),
            frame: 0,
            serial: 0,
            squares: false,
        }
    }

    /// Whether pixels of whole images are squares when enlarged, or run into one another.
    pub fn show_squares(&mut self, squares: bool) {
        if std::mem::replace(&mut self.squares, squares) != squares {
            self.pictures
                .retain(|(kind, _), _| *kind == Kind::Thumbnail);
        }
    }

    /// Takes what the decoders finished, and forgets what was not looked at for longest. Once a frame.
    pub fn begin_frame(&mut self) {
        let last = self.frame;
        self.frame += 1;
        let (uploads, more) = {
            let mut queue = self.shared.queue();
            let pictures = &mut self.pictures;
            let mut is_wanted = |job: &Job| {
                let wanted = pictures
                    .get(&job.key)
                    .is_some_and(|cached| cached.used >= last);
                // Asked for again, it is decoded again.
                if !wanted && let Entry::Occupied(cached) = pictures.entry(job.key) {
                    cached.remove();
                }
                wanted
            };
            queue.waiting.retain(&mut is_wanted);
            queue.finished.retain(|(job, _)| is_wanted(job));
            let n = queue.finished.len().min(UPLOADS_PER_FRAME);
            (
                queue.finished.drain(..n).collect::<Vec<_>>(),
                queue.finished.len(),
            )
        };
        if more > 0 {
            self.ctx.request_repaint();
        }
        for (job, result) in uploads {
            self.upload(&job, result);
        }
        self.forget_oldest(Kind::Thumbnail);
        self.forget_oldest(Kind::Full);
        self.forget_oldest(Kind::Muted);
        if self.maps.len() > MAX_MAPS {
            let frame = self.frame;
            self.maps.retain(|_, (_, used)| *used + 2 >= frame);
        }
        if self.contours.len() > MAX_MAPS {
            let frame = self.frame;
            self.contours.retain(|_, (_, used)| *used + 2 >= frame);
        }
    }

    fn upload(&mut self, job: &Job, result: Result<Decoded, String>) {
        let &Job {
            key, serial, look, ..
        } = job;
        let before = self.pictures.get(&key);
        // Of two decoders the one that began first may end last.
        if before.is_some_and(|before| before.serial > serial) {
            return;
        }
        let look = before.map_or(look, |before| before.look);
        let (picture, grey) = match result {
            Ok(Decoded { pixels, grey }) => {
                let mut options = TextureOptions {
                    mipmap_mode: Some(egui::TextureFilter::Linear),
                    ..TextureOptions::LINEAR
                };
                if self.squares && key.0 != Kind::Thumbnail {
                    options.magnification = egui::TextureFilter::Nearest;
                }
                let texture = self.ctx.load_texture(format!("{key:?}"), pixels, options);
                (Picture::Ready(texture), grey)
            }
            Err(why) => (Picture::Failed(why.into()), None),
        };
        let cached = Cached {
            picture,
            look,
            grey,
            serial,
            used: self.frame,
        };
        self.pictures.insert(key, cached);
    }

    /// Keeps what was asked for in the last frame, and of the rest the newest up to its kind's limit.
    fn forget_oldest(&mut self, kind: Kind) {
        let of_kind = || self.pictures.iter().filter(|(key, _)| key.0 == kind);
        let mut bytes: usize = of_kind().map(|(_, cached)| cached.bytes()).sum();
        if bytes <= kind.limit() {
            return;
        }
        let mut oldest_first: Vec<_> = of_kind()
            .map(|(key, cached)| (cached.used, *key, cached.bytes()))
            .filter(|(used, ..)| used + 1 < self.frame)
            .collect();
        oldest_first.sort_unstable_by_key(|(used, ..)| *used);
        // Some room is made at once, not a little in every frame.
        let enough = kind.limit() / 8 * 7;
        for (_, key, freed) in oldest_first {
            if bytes <= enough {
                break;
            }
            self.pictures.remove(&key);
            bytes -= freed;
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

    /// As [`full`](Self::full), with most of its colour taken out. A grey image is that already.
    pub fn muted(&mut self, image: ImageId, look: Look, path: impl FnOnce() -> PathBuf) -> Picture {
        self.picture((Kind::Muted, image), look, path)
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
                    (None, Picture::Ready(_) | Picture::Failed(_)) if key.0 != Kind::Thumbnail => {
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
        let mut queue = self.shared.queue();
        // Only the look that is wanted now is worth computing.
        queue.waiting.retain(|job| job.key != key);
        queue.waiting.push(Job {
            key,
            serial,
            look,
            from,
        });
        drop(queue);
        self.shared.work.notify_one();
        picture
    }

    /// An attention map with its values times `gain`. `key` names its values for good; the style's opacity is left to a tint, so
    /// that changing it uploads nothing.
    pub fn map(&mut self, key: u64, map: &AttentionMap, style: &MapStyle, gain: f32) -> MapTexture {
        let frame = self.frame;
        let of = |parts: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            (key, style.grid, gain.to_bits()).hash(&mut hasher);
            parts(&mut hasher);
            hasher.finish()
        };
        let texture = of(&|hasher| style.palette.hash(hasher));
        let texture = self.maps.entry(texture).or_insert_with(|| {
            let long = map.width.max(map.height).max(1);
            let side = match style.grid {
                Grid::Raw => RAW_SIDE,
                Grid::Smooth => SMOOTH_SIDE,
            };
            let size = [map.width, map.height].map(|cells| (side * cells / long).max(1));
            let rgba = map_style::overlay(map, style, Blending::ByAttention, gain, size);
            let pixels = ColorImage::from_rgba_unmultiplied(size, rgba.as_flattened());
            let texture = self
                .ctx
                .load_texture("attention", pixels, TextureOptions::LINEAR);
            (texture, frame)
        });
        texture.1 = frame;
        let contour = style.contour.map(|threshold| {
            let lines = of(&|hasher| threshold.to_bits().hash(hasher));
            let lines = self.contours.entry(lines).or_insert_with(|| {
                let lines = map_style::contour(map, style.grid, gain, threshold);
                (Arc::new(lines), frame)
            });
            lines.1 = frame;
            Arc::clone(&lines.0)
        });
        MapTexture {
            texture: texture.0.clone(),
            contour: contour.unwrap_or_default(),
        }
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
                if let Some(job) = queue.next() {
                    break job;
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
            decode::Picture::Colour(image) => {
                let mut image = decode::fitted(image, max_side)?;
                if job.key.0 == Kind::Muted {
                    image.pixels_mut().for_each(|pixel| mute(&mut pixel.0));
                }
                (image, None)
            }
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

/// Takes out most of a pixel's colour; its luma (ITU-R BT.601) stays.
fn mute(pixel: &mut [u8; 3]) {
    const COLOUR: f32 = 0.45;
    let [r, g, b] = pixel.map(f32::from);
    let luma = 0.299 * r + 0.587 * g + 0.114 * b;
    *pixel = [r, g, b].map(|value| (luma + COLOUR * (value - luma)).round() as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is decoded: what waits stays there to be looked at.
    fn textures() -> Textures {
        Textures::with_decoders(&egui::Context::default(), 0)
    }

    fn ask(textures: &mut Textures, images: impl IntoIterator<Item = i64>) {
        for id in images {
            textures.thumbnail(ImageId(id), Look::default(), PathBuf::new);
        }
    }

    fn waiting(textures: &Textures) -> Vec<i64> {
        let queue = textures.shared.queue();
        queue.waiting.iter().map(|job| job.key.1.0).collect()
    }

    /// As if a decoder had done the job that it would take next.
    fn decode_next(textures: &mut Textures, side: usize) {
        let job = textures.shared.queue().next().expect("a job");
        let pixels = ColorImage::filled([side, side], egui::Color32::BLACK);
        let decoded = Decoded { pixels, grey: None };
        textures.shared.queue().finished.push((job, Ok(decoded)));
    }

    #[test]
    fn the_newest_comes_first_and_the_image_in_hand_before_it() {
        let mut textures = textures();
        ask(&mut textures, [1, 2]);
        textures.full(ImageId(3), Look::default(), PathBuf::new);
        ask(&mut textures, [4]);
        let mut queue = textures.shared.queue();
        let order: Vec<i64> = std::iter::from_fn(|| queue.next().map(|job| job.key.1.0)).collect();
        assert_eq!(order, [3, 4, 2, 1]);
    }

    #[test]
    fn what_was_scrolled_past_is_not_decoded() {
        let mut textures = textures();
        for top in (0..1000).step_by(10) {
            ask(&mut textures, top..top + 30);
            textures.begin_frame();
        }
        assert_eq!(waiting(&textures).len(), 30, "those in view");
        ask(&mut textures, [500]);
        textures.begin_frame();
        assert_eq!(waiting(&textures), [500], "asked for again");
        textures.begin_frame();
        assert!(textures.pictures.is_empty());
    }

    #[test]
    fn what_was_scrolled_past_is_not_uploaded() {
        let mut textures = textures();
        ask(&mut textures, 0..30);
        for _ in 0..30 {
            decode_next(&mut textures, 8);
        }
        textures.begin_frame();
        assert_eq!(
            textures.shared.queue().finished.len(),
            30 - UPLOADS_PER_FRAME
        );
        ask(&mut textures, [29]);
        textures.begin_frame();
        assert!(textures.shared.queue().finished.is_empty());
        assert_eq!(textures.pictures.len(), UPLOADS_PER_FRAME);
    }

    #[test]
    fn pictures_out_of_view_are_bounded_in_bytes() {
        const SIDE: usize = 512;
        let mut textures = textures();
        let bytes =
            |textures: &Textures| -> usize { textures.pictures.values().map(Cached::bytes).sum() };
        let limit = Kind::Thumbnail.limit();
        let ctx = textures.ctx.clone();
        let mut most = 0;
        for id in 0..200 {
            ask(&mut textures, [id]);
            decode_next(&mut textures, SIDE);
            textures.begin_frame();
            ctx.tex_manager().write().take_delta().clear();
            most = most.max(bytes(&textures));
        }
        assert!(most <= limit && most > limit / 2, "{most}");
        assert!(
            textures
                .pictures
                .contains_key(&(Kind::Thumbnail, ImageId(199)))
        );
        assert!(
            !textures
                .pictures
                .contains_key(&(Kind::Thumbnail, ImageId(0)))
        );
        // What is in view stays, however much it is: else it would be decoded again in every frame.
        for _ in 0..60 {
            ask(&mut textures, 0..200);
            while !waiting(&textures).is_empty() {
                decode_next(&mut textures, SIDE);
            }
            textures.begin_frame();
            ctx.tex_manager().write().take_delta().clear();
        }
        assert!(bytes(&textures) > limit);
        ask(&mut textures, 0..200);
        assert!(waiting(&textures).is_empty());
    }
}
