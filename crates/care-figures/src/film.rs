//! The film as an animated GIF, and as numbered PNG frames.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use gif::{Encoder, Frame, Repeat};
use rayon::prelude::*;

use crate::figure::Figure;
use crate::render::{self, Pixels, RenderError};

/// How fast the film plays in the window.
const FRAMES_PER_SECOND: u16 = 4;
/// The last frame stays so long, in hundredths of a second.
const LAST: u16 = 200;

/// One moment: [`Figure::title`] says which.
pub type Frames<'a> = &'a mut dyn Iterator<Item = Figure>;

type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Pixels to an inch at which a figure is `width` pixels wide.
fn dpi(figure: &Figure, width: u32) -> f32 {
    width as f32 / (figure.width / 25.4)
}

fn drawn(figure: &Figure, width: u32) -> Result<Pixels, RenderError> {
    render::pixels(&figure.svg()?, dpi(figure, width))
}

/// What `of` makes of each frame, in order: as many at a time as there are cores, so that only so many are in memory.
fn each<T: Send>(
    frames: Frames<'_>,
    count: usize,
    of: impl Fn(&Figure) -> Result<T, RenderError> + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), RenderError>,
    progress: Progress<'_>,
    stop: &AtomicBool,
) -> Result<(), RenderError> {
    let mut done = 0;
    loop {
        let batch: Vec<_> = frames.take(rayon::current_num_threads()).collect();
        if batch.is_empty() {
            return Ok(());
        }
        if stop.load(Ordering::Relaxed) {
            return Err(RenderError::Cancelled);
        }
        let drawn: Vec<_> = batch.par_iter().map(&of).collect();
        for one in drawn {
            take(done, one?)?;
            done += 1;
            progress(done, count);
        }
    }
}

/// The film as a GIF of this width in pixels. Every frame has its own 256 colours, so that the maps' stay clean.
///
/// # Errors
/// Where a frame cannot be drawn, or it was cancelled.
pub fn gif(
    frames: Frames<'_>,
    count: usize,
    width: u32,
    progress: Progress<'_>,
    stop: &AtomicBool,
) -> Result<Vec<u8>, RenderError> {
    let frame = |figure: &Figure| {
        let Pixels { width, height, rgb } = drawn(figure, width)?;
        let side = |side: u32| u16::try_from(side).map_err(|_| RenderError::TooLarge);
        /// Of 1, best, to 30.
        const SPEED: i32 = 10;
        Ok(Frame::from_rgb_speed(
            side(width)?,
            side(height)?,
            &rgb,
            SPEED,
        ))
    };
    let mut encoder: Option<Encoder<Vec<u8>>> = None;
    let write = |i: usize, mut frame: Frame<'static>| {
        frame.delay = if i + 1 == count {
            LAST
        } else {
            100 / FRAMES_PER_SECOND
        };
        let encoder = match &mut encoder {
            Some(encoder) => encoder,
            empty => {
                let mut new = Encoder::new(Vec::new(), frame.width, frame.height, &[])?;
                new.set_repeat(Repeat::Infinite)?;
                empty.insert(new)
            }
        };
        Ok(encoder.write_frame(&frame)?)
    };
    each(frames, count, frame, write, progress, stop)?;
    let encoder = encoder.ok_or(RenderError::TooLarge)?;
    Ok(encoder.into_inner()?)
}

/// The film as `frame-0001.png` and so on, of this width in pixels, in a folder that comes under its name once it is whole.
///
/// # Errors
/// Where a frame cannot be drawn or written, the folder is there already, or it was cancelled.
pub fn png_frames(
    frames: Frames<'_>,
    count: usize,
    width: u32,
    folder: &Path,
    progress: Progress<'_>,
    stop: &AtomicBool,
) -> Result<(), RenderError> {
    let png = |figure: &Figure| {
        let Pixels { width, height, rgb } = drawn(figure, width)?;
        render::png(width, height, png::ColorType::Rgb, &rgb, None)
    };
    render::write_folder(folder, |unfinished| {
        let write = |i: usize, png: Vec<u8>| {
            let path = unfinished.join(format!("frame-{:04}.png", i + 1));
            render::write_whole(&path, &png)
        };
        each(frames, count, png, write, progress, stop)
    })
}
