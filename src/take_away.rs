//! What a person takes away of a run: Figure 2, tables, a report, the film, a model. Chosen in one sheet, made by a job.

mod card;
mod gather;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use care_data::{ImageId, Project, RunId};
use care_figures::figure::Theme;
use care_figures::film;
use care_figures::render::{self, PRINT_DPI, RenderError, svg_to_pdf, svg_to_png, write_whole};
use care_figures::table::TableFormat;
use care_figures::{Blending, MapStyle};
use care_learn::ModelRole;
use care_learn::model_export;
use care_learn::run_folder::RunFolder;

use self::gather::Source;
use crate::jobs::{Done, Work};
use crate::training::TrainingRun;

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    Figure,
    Tables,
    Report,
    Film,
    Model,
}

impl What {
    pub const ALL: [Self; 5] = [
        Self::Figure,
        Self::Tables,
        Self::Report,
        Self::Film,
        Self::Model,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Figure => "Figure",
            Self::Tables => "Tables",
            Self::Report => "Report",
            Self::Film => "Film",
            Self::Model => "Model",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureFormat {
    Png,
    Svg,
    Pdf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilmFormat {
    Gif,
    Frames,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFormat {
    Torchscript,
    Safetensors,
}

impl ModelFormat {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Torchscript => "TorchScript",
            Self::Safetensors => "safetensors",
        }
    }
}

/// What is to be taken away, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct TakeAway {
    /// Of the project.
    name: String,
    pub run: RunId,
    pub what: What,
    pub folder: PathBuf,
    /// Held-out images that can stand in the figure, the most telling first.
    pub offered: Vec<ImageId>,
    /// Those that do.
    pub images: Vec<ImageId>,
    /// Models that there are, and whether each stands in the figure and the film.
    pub models: Vec<(ModelRole, bool)>,
    pub figure: FigureFormat,
    /// In millimetres.
    pub width: f64,
    pub theme: Theme,
    pub has_captions: bool,
    pub blending: Blending,
    /// Whether images are called by their files' names; otherwise they are numbered, as they always are in a report.
    pub with_names: bool,
    pub table: TableFormat,
    pub film: FilmFormat,
    pub model: ModelFormat,
    pub role: ModelRole,
    pub style: MapStyle,
}

/// Rows that a figure begins with.
const ROWS: usize = 4;
/// Rows that it can have.
pub const MAX_ROWS: usize = 12;
/// Images that are offered.
const OFFERED: usize = 60;
/// In millimetres, from and to.
pub const FIGURE_WIDTHS: RangeInclusive<f64> = 60.0..=400.0;
/// Pixels across the film.
const FILM_WIDTH: u32 = 960;

impl TakeAway {
    /// Of the run that is shown; none where it has nothing yet.
    #[must_use]
    pub fn new(what: What, project: &Project, run: &TrainingRun, style: MapStyle) -> Option<Self> {
        let offered = gather::most_telling(project, run, OFFERED);
        let roles = ModelRole::ALL.into_iter();
        let roles: Vec<ModelRole> = roles
            .filter(|role| {
                run.test.iter().any(|(r, _)| r == role) || run.frame(*role, None).is_some()
            })
            .collect();
        let role = *roles.last()?;
        Some(Self {
            name: project.name().to_owned(),
            run: run.id,
            what,
            folder: project.dir().parent().unwrap_or(project.dir()).to_owned(),
            images: offered.iter().take(ROWS).copied().collect(),
            offered,
            models: roles.into_iter().map(|role| (role, true)).collect(),
            figure: FigureFormat::Png,
            width: 170.0,
            theme: Theme::Light,
            has_captions: true,
            blending: Blending::ByAttention,
            with_names: false,
            table: TableFormat::Csv,
            film: FilmFormat::Gif,
            model: ModelFormat::Torchscript,
            role,
            style,
        })
    }

    /// Why it cannot be written, where it cannot.
    #[must_use]
    pub fn lacks(&self, run: &TrainingRun) -> Option<&'static str> {
        match self.what {
            What::Figure if self.images.is_empty() => Some("Choose an image."),
            What::Figure if self.offered.is_empty() => Some("The run has no test images."),
            What::Tables | What::Report if run.results.is_none() => {
                Some("The run has no results yet.")
            }
            What::Film if run.film.is_empty() => Some("The run has no film."),
            What::Model if !run.phase.is_over() => Some("The run is still training."),
            _ => None,
        }
    }

    /// The file or folder that is written: one that is not there yet, so that nothing is ever replaced.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let role = self.role.name().to_lowercase();
        let (what, ending) = match self.what {
            What::Figure => (
                "figure".to_owned(),
                match self.figure {
                    FigureFormat::Png => ".png",
                    FigureFormat::Svg => ".svg",
                    FigureFormat::Pdf => ".pdf",
                },
            ),
            What::Tables => ("tables".to_owned(), ""),
            What::Report => ("report".to_owned(), ".html"),
            What::Film => match self.film {
                FilmFormat::Gif => ("film".to_owned(), ".gif"),
                FilmFormat::Frames => ("film".to_owned(), ""),
            },
            What::Model => (format!("{role}-model"), ""),
        };
        let name = format!("{}-run-{}-{what}", self.name, self.run);
        let first = self.folder.join(format!("{name}{ending}"));
        let others = (2..1000).map(|n| self.folder.join(format!("{name}-{n}{ending}")));
        let mut all = std::iter::once(first.clone()).chain(others);
        all.find(|path| !path.exists()).unwrap_or(first)
    }

    /// Whether the figure of both is the same.
    #[must_use]
    pub fn is_drawn_as(&self, other: &Self) -> bool {
        let without_the_rest = Self {
            what: other.what,
            folder: other.folder.clone(),
            figure: other.figure,
            table: other.table,
            film: other.film,
            model: other.model,
            role: other.role,
            with_names: other.with_names,
            ..self.clone()
        };
        without_the_rest == *other && self.has_names() == other.has_names()
    }

    fn has_names(&self) -> bool {
        self.with_names && self.what != What::Report
    }

    fn roles(&self) -> impl Iterator<Item = ModelRole> {
        let shown = self.models.iter().filter(|(_, shown)| *shown);
        shown.map(|(role, _)| *role)
    }
}

/// Writes it to `to`, whole or not at all.
#[must_use]
pub fn take_away(draft: TakeAway, to: PathBuf, project: PathBuf, run: TrainingRun) -> Work {
    Box::new(move |progress, stop| {
        let project = Project::open_read_only(&project).map_err(|e| e.to_string())?;
        let source = Source::new(&project, &run, &draft)?;
        let done = match draft.what {
            What::Figure => figure(&source, &to, progress, stop),
            What::Tables => write_folder(&to, &source.table_files(), stop),
            What::Report => source
                .report(progress, stop)
                .and_then(|report| whole(&to, report.html().as_bytes(), stop)),
            What::Film => film_of(&source, &to, progress, stop),
            What::Model => model(&source, &to, stop),
        };
        done.map(|()| Done::TakenAway)
    })
}

/// The figure as pixels, for the sheet to show how it comes out.
///
/// # Errors
/// Where a picture cannot be read.
pub fn preview(draft: &TakeAway, project: &Path, run: &TrainingRun) -> Result<Vec<u8>, String> {
    /// Pixels to an inch.
    const DPI: f32 = 120.0;
    let project = Project::open_read_only(project).map_err(|e| e.to_string())?;
    let source = Source::new(&project, run, draft)?;
    let figure = source.figure(256, &|_, _| {}, &AtomicBool::new(false))?;
    let svg = figure.svg().map_err(|e| e.to_string())?;
    svg_to_png(&svg, DPI).map_err(|e| e.to_string())
}

type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Unless it was cancelled by now.
fn whole(to: &Path, bytes: &[u8], stop: &AtomicBool) -> Result<(), String> {
    if stop.load(Ordering::Relaxed) {
        return Err("It was cancelled.".to_owned());
    }
    write_whole(to, bytes).map_err(|e| e.to_string())
}

fn figure(
    source: &Source<'_>,
    to: &Path,
    progress: Progress<'_>,
    stop: &AtomicBool,
) -> Result<(), String> {
    /// Of a picture, in pixels: what a column of a wide figure has at 300 dpi.
    const SIDE: u32 = 768;
    let svg = source.figure(SIDE, progress, stop)?.svg();
    let svg = svg.map_err(|e| e.to_string())?;
    let bytes = match source.draft.figure {
        FigureFormat::Svg => Ok(svg.into_bytes()),
        FigureFormat::Png => svg_to_png(&svg, PRINT_DPI),
        FigureFormat::Pdf => svg_to_pdf(&svg, "Model attention on held-out images"),
    };
    whole(to, &bytes.map_err(|e| e.to_string())?, stop)
}

fn film_of(
    source: &Source<'_>,
    to: &Path,
    progress: Progress<'_>,
    stop: &AtomicBool,
) -> Result<(), String> {
    let film = source.film(stop)?;
    let mut frames = film.frames();
    let count = film.len();
    match source.draft.film {
        FilmFormat::Gif => film::gif(&mut frames, count, FILM_WIDTH, progress, stop)
            .and_then(|bytes| write_whole(to, &bytes)),
        FilmFormat::Frames => film::png_frames(&mut frames, count, FILM_WIDTH, to, progress, stop),
    }
    .map_err(|e| e.to_string())
}

fn model(source: &Source<'_>, to: &Path, stop: &AtomicBool) -> Result<(), String> {
    let draft = source.draft;
    let folder = RunFolder::open(&source.project.run_dir(draft.run)).map_err(|e| e.to_string())?;
    let (name, bytes) = match draft.model {
        ModelFormat::Torchscript => ("model.pt", model_export::torchscript(&folder, draft.role)),
        ModelFormat::Safetensors => (
            "model.safetensors",
            model_export::safetensors(&folder, draft.role),
        ),
    };
    let bytes = bytes.map_err(|e| format!("{e}."))?;
    let card = source.card(draft.role).into_bytes();
    write_folder(
        to,
        &[(name.to_owned(), bytes), ("card.md".to_owned(), card)],
        stop,
    )
}

/// A folder with these files, under its name once all are there.
fn write_folder(to: &Path, files: &[(String, Vec<u8>)], stop: &AtomicBool) -> Result<(), String> {
    let written = render::write_folder(to, |unfinished| {
        files.iter().try_for_each(|(name, bytes)| {
            if stop.load(Ordering::Relaxed) {
                return Err(RenderError::Cancelled);
            }
            write_whole(&unfinished.join(name), bytes)
        })
    });
    written.map_err(|e| e.to_string())
}
