//! SVG as pixels and as PDF, with the fonts that come along: the system's are never looked at, so every machine gives the same.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla_svg::{SurfaceExt, SvgSettings};
use png::{ColorType, PixelDimensions, Unit};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("the figure's SVG cannot be read: {0}")]
    Svg(#[from] resvg::usvg::Error),
    #[error("a picture cannot be written as PNG: {0}")]
    Png(#[from] png::EncodingError),
    #[error("the PDF cannot be written: {0}")]
    Pdf(String),
    #[error("the animation cannot be written: {0}")]
    Gif(#[from] gif::EncodingError),
    #[error("there is no memory for a picture of this size; make it narrower")]
    TooLarge,
    #[error("{path} cannot be written: {source}")]
    Write {
        path: String,
        source: std::io::Error,
    },
    #[error("it was cancelled")]
    Cancelled,
}

/// CSS's pixels to an inch, which SVG's millimetres are brought to.
const CSS_DPI: f32 = 96.0;
/// What journals ask for.
pub const PRINT_DPI: f32 = 300.0;

fn fonts() -> Arc<fontdb::Database> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let load = || {
        let mut fonts = fontdb::Database::new();
        for font in [
            include_bytes!("../../../assets/fonts/CareSans-Regular.ttf").as_slice(),
            include_bytes!("../../../assets/fonts/CareSans-Medium.ttf"),
            include_bytes!("../../../assets/fonts/CareSans-SemiBold.ttf"),
        ] {
            fonts.load_font_data(font.to_vec());
        }
        fonts.set_sans_serif_family("CARE Sans");
        Arc::new(fonts)
    };
    Arc::clone(FONTS.get_or_init(load))
}

fn tree(svg: &str) -> Result<Tree, RenderError> {
    let options = Options {
        font_family: "CARE Sans".to_owned(),
        fontdb: fonts(),
        ..Options::default()
    };
    Ok(Tree::from_str(svg, &options)?)
}

/// An SVG document as pixels.
pub(crate) struct Pixels {
    pub width: u32,
    pub height: u32,
    /// Row by row, not see-through.
    pub rgb: Vec<u8>,
}

/// The document at so many pixels to an inch.
pub(crate) fn pixels(svg: &str, dpi: f32) -> Result<Pixels, RenderError> {
    let tree = tree(svg)?;
    let zoom = dpi / CSS_DPI;
    let side = |length: f32| ((length * zoom).round() as u32).max(1);
    let (width, height) = (side(tree.size().width()), side(tree.size().height()));
    let mut pixmap = Pixmap::new(width, height).ok_or(RenderError::TooLarge)?;
    resvg::render(
        &tree,
        Transform::from_scale(zoom, zoom),
        &mut pixmap.as_mut(),
    );
    let rgb = pixmap
        .pixels()
        .iter()
        .flat_map(|pixel| {
            let c = pixel.demultiply();
            [c.red(), c.green(), c.blue()]
        })
        .collect();
    Ok(Pixels { width, height, rgb })
}

/// The document as PNG, which says how many pixels go to an inch.
///
/// # Errors
/// Where the document is none, or is too large.
pub fn svg_to_png(svg: &str, dpi: f32) -> Result<Vec<u8>, RenderError> {
    let Pixels { width, height, rgb } = pixels(svg, dpi)?;
    png(width, height, ColorType::Rgb, &rgb, Some(dpi))
}

/// The document as a PDF of one page of its size. Text stays text, with the fonts inside.
///
/// # Errors
/// Where the document is none.
pub fn svg_to_pdf(svg: &str, title: &str) -> Result<Vec<u8>, RenderError> {
    let tree = tree(svg)?;
    let points = |length: f32| length * 72.0 / CSS_DPI;
    let (width, height) = (points(tree.size().width()), points(tree.size().height()));
    let size = krilla::geom::Size::from_wh(width, height).ok_or(RenderError::TooLarge)?;
    let mut document = krilla::Document::new();
    let metadata = Metadata::new().title(title.to_owned());
    document.set_metadata(metadata.creator("CARE Studio".to_owned()));
    let mut page = document.start_page_with(PageSettings::new(size));
    let mut surface = page.surface();
    surface
        .draw_svg(&tree, size, SvgSettings::default())
        .ok_or_else(|| RenderError::Pdf("a part of the figure cannot be drawn".to_owned()))?;
    surface.finish();
    page.finish();
    document
        .finish()
        .map_err(|error| RenderError::Pdf(format!("{error:?}")))
}

/// Pixels row by row as a PNG.
pub(crate) fn png(
    width: u32,
    height: u32,
    color: ColorType,
    pixels: &[u8],
    dpi: Option<f32>,
) -> Result<Vec<u8>, RenderError> {
    const INCHES_PER_METRE: f32 = 1.0 / 0.0254;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(dpi) = dpi {
        let per_metre = (dpi * INCHES_PER_METRE).round() as u32;
        encoder.set_pixel_dims(Some(PixelDimensions {
            xppu: per_metre,
            yppu: per_metre,
            unit: Unit::Meter,
        }));
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(out)
}

/// Under its name only once it is whole: written beside it, synced, renamed.
///
/// # Errors
/// Where it cannot be written; what was there before is still there then.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RenderError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let unfinished = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().map_err(|source| {
        let _ = std::fs::remove_file(&unfinished);
        RenderError::Write {
            path: path.display().to_string(),
            source,
        }
    })
}

/// A folder that comes under its name once `fill` has written everything into it; until then it stands beside, under a name that
/// nothing else has, and it is gone where that fails.
///
/// # Errors
/// Where there is something of that name already, it cannot be written, or `fill` fails.
pub fn write_folder(
    to: &Path,
    fill: impl FnOnce(&Path) -> Result<(), RenderError>,
) -> Result<(), RenderError> {
    let failed = |source| RenderError::Write {
        path: to.display().to_string(),
        source,
    };
    if to.exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".unfinished-");
    // Not for its owner alone, as temporary folders are, but as any other folder.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let unfinished = builder
        .tempdir_in(to.parent().unwrap_or(to))
        .map_err(failed)?;
    fill(unfinished.path())?;
    std::fs::rename(unfinished.path(), to).map_err(failed)?;
    // What had that name is elsewhere now.
    let _ = unfinished.keep();
    Ok(())
}
