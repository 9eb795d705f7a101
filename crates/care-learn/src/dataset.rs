//! Images as the network reads them: decoded once, kept as u8 at network size.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use care_data::{ImageSize, Look, NotRead, decode};
use tch::{Device, Kind, Tensor};

use crate::augment::{self, View};
use crate::config::Preprocess;
use crate::panics::caught;

/// How often a wait looks up.
const TICK: Duration = Duration::from_millis(50);

/// Every image of a run, filled by decode threads in the order in which they will be needed. Dropping it ends them.
///
/// What is kept of an image is its pixels as u8 at network size, 3 H W bytes (147 KiB at 224 x 224). Views of it, where
/// images are augmented, are computed for their step and kept nowhere.
#[derive(Debug)]
pub struct Dataset {
    shared: Arc<Shared>,
    preprocess: Preprocess,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    paths: Vec<PathBuf>,
    look: Look,
    size: ImageSize,
    /// Per image, RGB row by row, or why it could not be decoded.
    slots: Vec<OnceLock<Result<Vec<u8>, NotRead>>>,
    /// The images that no thread has begun with.
    left: Mutex<VecDeque<usize>>,
    /// How many slots are filled.
    done: Mutex<usize>,
    filled: Condvar,
    stop: AtomicBool,
}

impl Dataset {
    /// Starts to decode all `paths`, those in `first` first and in that order, seen through `look`, to `size`. Batches are normalised as
    /// `preprocess` says.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn load(
        paths: Vec<PathBuf>,
        first: &[usize],
        look: Look,
        size: ImageSize,
        preprocess: Preprocess,
    ) -> std::io::Result<Self> {
        let mut seen = vec![false; paths.len()];
        let mut left: VecDeque<usize> = first.iter().copied().chain(0..paths.len()).collect();
        left.retain(|i| !std::mem::replace(&mut seen[*i], true));
        let shared = Arc::new(Shared {
            slots: paths.iter().map(|_| OnceLock::new()).collect(),
            paths,
            look,
            size,
            left: Mutex::new(left),
            done: Mutex::new(0),
            filled: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let mut dataset = Self {
            shared,
            preprocess,
            threads: Vec::new(),
        };
        // With more than two cores one is left to whatever else is being done.
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let num_threads = if cores > 2 { cores - 1 } else { 2 };
        for i in 0..num_threads {
            let shared = Arc::clone(&dataset.shared);
            let thread = std::thread::Builder::new()
                .name(format!("decode {i}"))
                .spawn(move || shared.decode_until_done())?;
            dataset.threads.push(thread);
        }
        Ok(dataset)
    }

    /// How many images are decoded, or were found unreadable, and how many there are.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (*lock(&self.shared.done), self.shared.slots.len())
    }

    /// Waits until these images are decoded, which now come before all others. `go_on` is called every 50 ms; false
    /// ends the wait, and so the result.
    pub fn wait_for(&self, images: &[usize], mut go_on: impl FnMut() -> bool) -> bool {
        self.shared.put_first(images);
        let mut waiting = images
            .iter()
            .filter(|i| self.shared.slots[**i].get().is_none())
            .peekable();
        while waiting.peek().is_some() {
            if !go_on() {
                return false;
            }
            let done = lock(&self.shared.done);
            // The lock is held when a slot is filled, so none can be between the look and the wait.
            if waiting
                .peek()
                .is_some_and(|i| self.shared.slots[**i].get().is_none())
            {
                drop(self.shared.filled.wait_timeout(done, TICK));
            }
            while waiting
                .next_if(|i| self.shared.slots[**i].get().is_some())
                .is_some()
            {}
        }
        true
    }

    /// Whether the image is decoded and could be read.
    #[must_use]
    pub fn is_readable(&self, image: usize) -> bool {
        matches!(self.shared.slots[image].get(), Some(Ok(_)))
    }

    /// The images found unreadable so far, in order.
    #[must_use]
    pub fn not_read(&self) -> Vec<NotRead> {
        self.shared
            .slots
            .iter()
            .filter_map(|slot| slot.get()?.as_ref().err().cloned())
            .collect()
    }

    /// A batch [B, 3, H, W] of these images, normalised per channel, channels innermost in memory. Images that are
    /// not decoded or cannot be read are passed over.
    pub fn batch(&self, images: &[usize], device: Device) -> Tensor {
        normalised(&self.rgb(images, device), self.preprocess)
    }

    /// As [`Self::batch`], each image as its view shows it; for training only. `views` are in the order of `images`.
    pub fn batch_seen_through(&self, images: &[usize], views: &[View], device: Device) -> Tensor {
        let pairs = images.iter().copied().zip(views.iter().copied());
        let (images, views): (Vec<usize>, Vec<View>) =
            pairs.filter(|(image, _)| self.is_readable(*image)).unzip();
        augment::seen_through(&self.rgb(&images, device), &views, self.preprocess)
    }

    /// The readable ones of these images, [B, H, W, 3] of u8.
    fn rgb(&self, images: &[usize], device: Device) -> Tensor {
        let mut pixels = Vec::with_capacity(images.len() * self.shared.size.area() as usize * 3);
        let mut count = 0;
        for image in images {
            if let Some(Ok(rgb)) = self.shared.slots[*image].get() {
                pixels.extend_from_slice(rgb);
                count += 1;
            }
        }
        rgb(&pixels, count, self.shared.size, device)
    }
}

/// `count` decoded images of `size`, RGB row by row, as [B, H, W, 3] of u8.
pub(crate) fn rgb(pixels: &[u8], count: i64, size: ImageSize, device: Device) -> Tensor {
    let shape = [count, i64::from(size.height), i64::from(size.width), 3];
    Tensor::from_data_size(pixels, &shape, Kind::Uint8).to_device(device)
}

/// The network's input [B, 3, H, W], channels innermost in memory, of decoded images [B, H, W, 3] of u8.
pub(crate) fn normalised(rgb: &Tensor, Preprocess { mean, std }: Preprocess) -> Tensor {
    let constant = |values: [f32; 3]| Tensor::from_slice(&values).to_device(rgb.device());
    ((rgb.to_kind(Kind::Float) - constant(mean)) / constant(std)).permute([0, 3, 1, 2])
}

impl Drop for Dataset {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A decoder's panic is caught where it happens.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Has these images decoded before the others, in the order in which they stand.
    fn put_first(&self, images: &[usize]) {
        let mut left = lock(&self.left);
        if left.is_empty() {
            return;
        }
        let mut wanted = vec![false; self.slots.len()];
        images.iter().for_each(|image| wanted[*image] = true);
        left.make_contiguous().sort_by_key(|image| !wanted[*image]);
    }

    fn decode_until_done(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some(image) = lock(&self.left).pop_front() else {
                return;
            };
            let decoded = self.decode(image);
            let mut done = lock(&self.done);
            // Each slot is filled once, by the thread that drew it.
            let _ = self.slots[image].set(decoded);
            *done += 1;
            self.filled.notify_all();
        }
    }

    fn decode(&self, image: usize) -> Result<Vec<u8>, NotRead> {
        let path = &self.paths[image];
        let not_read = |why: String, advice: &str| NotRead {
            path: path.clone(),
            why,
            advice: advice.to_owned(),
        };
        // A decoder that panics on a malformed file must not leave the trainer waiting for it.
        caught(|| decode::decode_resized(path, &self.look, self.size))
            .map_err(|_| {
                not_read(
                    "The decoder failed on this file.".to_owned(),
                    "Export the image again.",
                )
            })?
            .map(|image| image.into_raw())
            .map_err(|e| not_read(e.to_string(), e.advice()))
    }
}

/// A thread that panicked left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackboneKind;

    #[test]
    fn what_is_waited_for_is_decoded_first() {
        let shared = Shared {
            paths: vec![PathBuf::new(); 8],
            look: Look::default(),
            size: ImageSize::new(1, 1),
            slots: (0..8).map(|_| OnceLock::new()).collect(),
            // 2 and 6 are begun with.
            left: Mutex::new([0, 4, 1, 5, 3, 7].into()),
            done: Mutex::new(0),
            filled: Condvar::new(),
            stop: AtomicBool::new(false),
        };
        for (wanted, order) in [
            (&[][..], [0, 4, 1, 5, 3, 7]),
            (&[2, 3, 5], [5, 3, 0, 4, 1, 7]),
            (&[7], [7, 5, 3, 0, 4, 1]),
        ] {
            shared.put_first(wanted);
            assert_eq!(*lock(&shared.left), order, "{wanted:?}");
        }
    }

    #[test]
    fn every_image_is_decoded_once_whatever_is_waited_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let paths: Vec<PathBuf> = (0..12u8)
            .map(|i| {
                let path = dir.path().join(format!("{i}.png"));
                let image = image::RgbImage::from_pixel(4, 4, image::Rgb([i, 0, 255]));
                image.save(&path).expect("saves");
                path
            })
            .collect();
        let preprocess = BackboneKind::EfficientnetLite0.preprocess();
        let data = Dataset::load(
            paths,
            &[3, 3, 1],
            Look::default(),
            ImageSize::new(4, 4),
            preprocess,
        )
        .expect("threads");
        for images in [&[11, 0][..], &[5], &(0..12).collect::<Vec<_>>()] {
            assert!(data.wait_for(images, || true));
            assert!(images.iter().all(|image| data.is_readable(*image)));
        }
        assert_eq!(data.progress(), (12, 12));
        // Each image in its own slot: the red of image i is i.
        let batch = data.batch(&(0..12).collect::<Vec<_>>(), Device::Cpu);
        let red = batch.select(1, 0).amax([1, 2].as_slice(), false) * 128.0 + 127.0;
        let expected = Tensor::arange(12, (Kind::Float, Device::Cpu));
        assert!((red - expected).abs().max().double_value(&[]) < 1e-3);
    }
}
