//! What was asked for, checked: every path, number and name that can be checked without opening the project.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use care_data::export;
use care_data::import::{BoxesFrom, Options};
use care_data::split::SplitSpec;
use care_data::synthetic::Demo;
use care_data::{BoundingBox, BoxId, Part, RunId, Windowing};
use care_figures::MapStyle;
use care_figures::figure::Theme;
use care_figures::map_style::{Grid, Palette, Scale};
use care_figures::table::TableFormat;
use care_learn::config::BackboneKind;
use care_learn::{ModelRole, RunConfig};
use clap_complete::Shell;

use super::args::{
    Arguments, CamArguments, Command, EvaluateArguments, Maps, OfRun, Preprocessing, WeightsCommand,
};
use super::pictures::{Named, named};
use crate::take_away::{FIGURE_WIDTHS, FigureFormat, FilmFormat, ModelFormat};
use crate::weight_store::Published;
use crate::window::Start;

#[derive(Debug, PartialEq)]
pub enum Request {
    Window(Start),
    New {
        project: PathBuf,
    },
    Import(Import),
    Export(Export),
    List {
        project: PathBuf,
        json: bool,
    },
    Box(Boxes),
    Train(Train),
    Evaluate(Evaluate),
    TakeAway(Box<TakeAway>),
    Cam(Cam),
    Convert(Convert),
    Weights(Weights),
    Completions(Shell),
    Man {
        out: PathBuf,
    },
    HeadlessDemo {
        demo: Demo,
        config: RunConfig,
        json: bool,
    },
    Bench(Bench),
    Doctor {
        json: bool,
    },
}

#[derive(Debug, PartialEq)]
pub struct Bench {
    pub backbones: Vec<BackboneKind>,
    pub batch: usize,
    pub rounds: usize,
    pub peer: Option<PathBuf>,
    pub json: bool,
}

#[derive(Debug, PartialEq)]
pub struct Import {
    pub project: PathBuf,
    pub path: PathBuf,
    pub rare: Vec<String>,
    pub options: Options,
    /// Only say what would come in.
    pub dry_run: bool,
    pub json: bool,
}

#[derive(Debug, PartialEq)]
pub struct Export {
    pub project: PathBuf,
    pub out: PathBuf,
    pub options: export::Options,
}

#[derive(Debug, PartialEq)]
pub struct Boxes {
    pub project: PathBuf,
    pub image: String,
    pub add: Vec<BoundingBox>,
    pub remove: Vec<BoxId>,
}

#[derive(Debug, PartialEq)]
pub struct Train {
    pub project: PathBuf,
    /// The run that is to go on.
    pub resume: Option<RunId>,
    /// From `--config`; the project's own first settings where none was given.
    pub config: Option<RunConfig>,
    /// `name=value`, each checked on its own.
    pub set: Vec<String>,
    /// Only say with what it would train.
    pub dry_run: bool,
    pub json: bool,
}

#[derive(Debug, PartialEq)]
pub struct Evaluate {
    pub subject: Subject,
    pub json: bool,
}

/// What is measured.
#[derive(Debug, PartialEq)]
pub enum Subject {
    Run { project: PathBuf, run: RunId },
    Weights(Box<EvaluateWeights>),
}

#[derive(Debug, PartialEq)]
pub struct EvaluateWeights {
    /// Its `weights` are as they were typed.
    pub config: RunConfig,
    /// The table.
    pub images: PathBuf,
    pub boxes: BoxesFrom,
    /// In the model's order; none where they are the table's, sorted.
    pub classes: Option<Vec<String>>,
    pub rare: Vec<String>,
}

/// Something of a run, to be written to a file or folder that is not there yet.
#[derive(Debug, PartialEq)]
pub struct TakeAway {
    pub project: PathBuf,
    /// None for the newest that finished.
    pub run: Option<RunId>,
    pub out: PathBuf,
    pub wanted: Wanted,
    /// None for all that there are.
    pub models: Option<Vec<ModelRole>>,
    pub style: MapStyle,
}

#[derive(Debug, PartialEq)]
pub enum Wanted {
    Figure {
        format: FigureFormat,
        /// By name, path or number; the most telling where there are none.
        images: Vec<String>,
        /// In millimetres.
        width: f64,
        theme: Theme,
        has_captions: bool,
        with_names: bool,
    },
    Tables(TableFormat),
    Film(FilmFormat),
    Report,
    Model {
        format: ModelFormat,
        role: ModelRole,
    },
}

impl TakeAway {
    fn new(of: OfRun, out: PathBuf, wanted: Wanted, maps: Option<Maps>) -> Result<Box<Self>> {
        let mut style = MapStyle::default();
        let mut models = None;
        if let Some(maps) = maps {
            style.palette = among("--palette", &maps.palette, Palette::ALL, Palette::name)?;
            if maps.common_scale {
                style.scale = Scale::Common;
            }
            if maps.raw {
                style.grid = Grid::Raw;
            }
            let names = maps.models.iter();
            let wanted = names.map(|name| among("--models", name, ModelRole::ALL, ModelRole::name));
            models = Some(wanted.collect::<Result<Vec<_>>>()?).filter(|them| !them.is_empty());
        }
        Ok(Box::new(Self {
            project: of.project,
            run: of.run.map(RunId),
            out,
            wanted,
            models,
            style,
        }))
    }
}

/// The one of that name, whatever its case.
fn among<T: Copy, const N: usize>(
    option: &str,
    wanted: &str,
    all: [T; N],
    name: impl Fn(T) -> &'static str,
) -> Result<T> {
    let found = all
        .into_iter()
        .find(|it| name(*it).eq_ignore_ascii_case(wanted));
    found.with_context(|| {
        let names = all.map(|it| name(it).to_lowercase());
        format!("{option} {wanted}: there are {}", names.join(", "))
    })
}

fn ending(path: &Path) -> String {
    let ending = path.extension().unwrap_or_default();
    ending.to_string_lossy().to_lowercase()
}

#[derive(Debug, PartialEq)]
pub struct Cam {
    /// Its `weights` are as they were typed.
    pub config: RunConfig,
    /// None for the predicted one.
    pub class: Option<usize>,
    pub images: Named,
    pub out: PathBuf,
    pub npy: bool,
    pub preprocess: Preprocessing,
    pub json: bool,
}

#[derive(Debug, PartialEq)]
pub struct Convert {
    pub images: Named,
    pub out: PathBuf,
    pub windowing: Windowing,
    /// The values of grey images instead of what is seen of them.
    pub raw: bool,
    pub force: bool,
    pub json: bool,
}

#[derive(Debug, PartialEq)]
pub enum Weights {
    List { json: bool },
    Get(Published),
    Add { file: PathBuf },
}

impl TryFrom<Arguments> for Request {
    type Error = anyhow::Error;

    fn try_from(arguments: Arguments) -> Result<Self> {
        let is_project = |path: &PathBuf| path.extension().is_some_and(|e| e == "care");
        let check_project = |path: &PathBuf| {
            ensure!(
                is_project(path),
                "{} does not end in .care, as a project's folder does",
                path.display()
            );
            Ok(())
        };
        let Some(command) = arguments.command else {
            let Some(project) = arguments.project else {
                return Ok(Self::Window(Start::Page));
            };
            ensure!(
                is_project(&project),
                "{} is neither a command nor a project, NAME.care; see care --help",
                project.display()
            );
            return Ok(Self::Window(Start::Project(project)));
        };
        if let Some(project) = arguments.project {
            bail!(
                "{} stands before the command; see care --help",
                project.display()
            );
        }
        Ok(match command {
            Command::New { project } => {
                check_project(&project)?;
                Self::New { project }
            }
            Command::Import {
                project,
                path,
                rare,
                format,
                boxes,
                no_boxes,
                dry_run,
                json,
                per_class,
                test,
                validation,
                seed,
            } => {
                check_project(&project)?;
                for (name, share) in [("--test", test), ("--validation", validation)] {
                    ensure!(
                        (0.0..1.0).contains(&share),
                        "{name} {share} is not a share from 0 to below 1"
                    );
                }
                ensure!(per_class != Some(0), "--per-class 0 would leave no images");
                let boxes = match boxes {
                    Some(file) => BoxesFrom::File(file),
                    None if no_boxes => BoxesFrom::None,
                    None => BoxesFrom::Found,
                };
                let split = SplitSpec {
                    seed,
                    test,
                    validation,
                };
                Self::Import(Import {
                    project,
                    path,
                    rare,
                    options: Options {
                        split,
                        boxes,
                        per_class,
                        format: format
                            .map(|name| name.parse().context("--format"))
                            .transpose()?,
                    },
                    dry_run,
                    json,
                })
            }
            Command::Export {
                project,
                format,
                out,
                split,
                force,
            } => {
                check_project(&project)?;
                let part = |name: String| {
                    Part::from_name(&name).with_context(|| {
                        format!(
                            "--split {name}: there are {}",
                            Part::ALL.map(Part::name).join(", ")
                        )
                    })
                };
                Self::Export(Export {
                    project,
                    out,
                    options: export::Options {
                        format: format.parse().context("--format")?,
                        part: split.map(part).transpose()?,
                        replace: force,
                    },
                })
            }
            Command::List { project, json } => Self::List { project, json },
            Command::Box {
                project,
                image,
                add,
                remove,
            } => {
                let add = add
                    .iter()
                    .map(|text| parse_box(text))
                    .collect::<Result<_>>()?;
                Self::Box(Boxes {
                    project,
                    image,
                    add,
                    remove: remove.into_iter().map(BoxId).collect(),
                })
            }
            Command::Train {
                project,
                resume,
                config,
                set,
                dry_run,
                json,
            } => {
                let config = config
                    .map(|file| {
                        let text = std::fs::read_to_string(&file)
                            .with_context(|| format!("{} cannot be read", file.display()))?;
                        RunConfig::from_toml(&text)
                            .with_context(|| format!("{} cannot be used", file.display()))
                    })
                    .transpose()?;
                with_settings(config.clone().unwrap_or_default(), &set)?;
                Self::Train(Train {
                    project,
                    resume: resume.map(RunId),
                    config,
                    set,
                    dry_run,
                    json,
                })
            }
            Command::Evaluate(arguments) => Self::Evaluate(arguments.try_into()?),
            Command::Figure {
                of,
                out,
                images,
                maps,
                width,
                dark,
                no_captions,
                names,
            } => {
                ensure!(
                    FIGURE_WIDTHS.contains(&width),
                    "--width {width}: a figure is {} to {} mm wide",
                    FIGURE_WIDTHS.start(),
                    FIGURE_WIDTHS.end()
                );
                let wanted = Wanted::Figure {
                    format: match ending(&out).as_str() {
                        "png" => FigureFormat::Png,
                        "svg" => FigureFormat::Svg,
                        "pdf" => FigureFormat::Pdf,
                        _ => bail!("--out {}: a figure is .png, .svg or .pdf", out.display()),
                    },
                    images,
                    width,
                    theme: if dark { Theme::Dark } else { Theme::Light },
                    has_captions: !no_captions,
                    with_names: names,
                };
                Self::TakeAway(TakeAway::new(of, out, wanted, Some(maps))?)
            }
            Command::Tables { of, out, format } => {
                let all = TableFormat::ALL;
                let format = among("--format", &format, all, TableFormat::name)?;
                Self::TakeAway(TakeAway::new(of, out, Wanted::Tables(format), None)?)
            }
            Command::Film { of, out, maps } => {
                let format = match ending(&out).as_str() {
                    "gif" => FilmFormat::Gif,
                    "" => FilmFormat::Frames,
                    _ => bail!("--out {}: a film is a .gif or a folder", out.display()),
                };
                Self::TakeAway(TakeAway::new(of, out, Wanted::Film(format), Some(maps))?)
            }
            Command::Report { of, out } => {
                ensure!(
                    ["html", "htm"].contains(&ending(&out).as_str()),
                    "--out {}: a report is .html",
                    out.display()
                );
                Self::TakeAway(TakeAway::new(of, out, Wanted::Report, None)?)
            }
            Command::ExportModel {
                of,
                out,
                model,
                format,
            } => {
                let formats = [ModelFormat::Torchscript, ModelFormat::Safetensors];
                let wanted = Wanted::Model {
                    format: among("--format", &format, formats, ModelFormat::name)?,
                    role: among("--model", &model, ModelRole::ALL, ModelRole::name)?,
                };
                Self::TakeAway(TakeAway::new(of, out, wanted, None)?)
            }
            Command::Cam(arguments) => Self::Cam(arguments.try_into()?),
            Command::Convert {
                images,
                out,
                window,
                raw,
                force,
                json,
            } => Self::Convert(Convert {
                images: named(images)?,
                out,
                windowing: window,
                raw,
                force,
                json,
            }),
            Command::Weights { command } => Self::Weights(match command {
                WeightsCommand::List { json } => Weights::List { json },
                WeightsCommand::Get { name } => Weights::Get(Published::find(&name)?),
                WeightsCommand::Add { file } => Weights::Add { file },
            }),
            Command::Demo {
                headless: true,
                chest,
                seed,
                set,
                json,
            } => {
                let demo = which_demo(chest);
                let config = RunConfig {
                    seed,
                    ..crate::demo::config(demo)
                };
                Self::HeadlessDemo {
                    demo,
                    config: with_settings(config, &set)?,
                    json,
                }
            }
            Command::Demo {
                headless: false,
                chest,
                ..
            } => Self::Window(Start::Story(which_demo(chest))),
            Command::Bench {
                backbone,
                batch,
                rounds,
                peer,
                json,
            } => {
                if let Some(peer) = &peer {
                    ensure!(peer.is_file(), "{} is not there", peer.display());
                }
                let backbones = backbone
                    .iter()
                    .map(|name| {
                        let config = RunConfig::default().with(&format!("backbone={name}"))?;
                        ensure!(
                            BackboneKind::BUILT_IN.contains(&config.backbone),
                            "only built-in networks are timed"
                        );
                        Ok(config.backbone)
                    })
                    .collect::<Result<_>>()?;
                Self::Bench(Bench {
                    backbones,
                    batch: batch.into(),
                    rounds: rounds.into(),
                    peer,
                    json,
                })
            }
            Command::Doctor { json } => Self::Doctor { json },
            Command::Completions { shell } => Self::Completions(shell),
            Command::Man { out } => Self::Man { out },
        })
    }
}

impl TryFrom<EvaluateArguments> for Evaluate {
    type Error = anyhow::Error;

    fn try_from(arguments: EvaluateArguments) -> Result<Self> {
        let EvaluateArguments {
            project,
            run,
            weights,
            backbone,
            images,
            classes,
            rare,
            boxes,
            input,
            set,
            json,
        } = arguments;
        let subject = match (project.zip(run), weights.zip(backbone).zip(images)) {
            (Some((project, run)), _) => Subject::Run {
                project,
                run: RunId(run),
            },
            (None, Some(((weights, backbone), images))) => {
                for (i, class) in classes.iter().enumerate() {
                    ensure!(!class.is_empty(), "--classes has an empty name");
                    ensure!(
                        !classes[..i].contains(class),
                        "--classes has \"{class}\" twice"
                    );
                }
                Subject::Weights(Box::new(EvaluateWeights {
                    config: network_settings(weights, &backbone, input, &set)?,
                    images,
                    boxes: boxes.map_or(BoxesFrom::Found, BoxesFrom::File),
                    classes: Some(classes).filter(|classes| !classes.is_empty()),
                    rare,
                }))
            }
            (None, None) => bail!("name a PROJECT and its --run, or --weights"),
        };
        Ok(Self { subject, json })
    }
}

impl TryFrom<CamArguments> for Cam {
    type Error = anyhow::Error;

    fn try_from(arguments: CamArguments) -> Result<Self> {
        let CamArguments {
            images,
            backbone,
            weights,
            class,
            out,
            npy,
            preprocess,
            input,
            set,
            json,
        } = arguments;
        let class = match class.as_str() {
            "predicted" => None,
            number => Some(number.parse().with_context(|| {
                format!("--class {number} is neither a class's number from 0 on nor \"predicted\"")
            })?),
        };
        Ok(Self {
            config: network_settings(weights, &backbone, input, &set)?,
            class,
            images: named(images)?,
            out,
            npy,
            preprocess,
            json,
        })
    }
}

/// The settings that say how a network sees.
fn network_settings(
    weights: PathBuf,
    backbone: &str,
    input: Option<u32>,
    set: &[String],
) -> Result<RunConfig> {
    let config = RunConfig::default()
        .with(&format!("backbone={backbone}"))
        .with_context(|| format!("--backbone {backbone}"))?;
    let config = RunConfig {
        input_size: input.unwrap_or_else(|| config.backbone.usual_input()),
        weights: Some(weights),
        ..config
    };
    with_settings(config, set)
}

/// These settings with each `name=value` in turn.
pub fn with_settings(config: RunConfig, set: &[String]) -> Result<RunConfig> {
    let config = set.iter().try_fold(config, |config, assignment| {
        config
            .with(assignment)
            .with_context(|| format!("--set {assignment}"))
    })?;
    config.check()?;
    Ok(config)
}

fn which_demo(chest: bool) -> Demo {
    if chest { Demo::Chest } else { Demo::Skin }
}

fn parse_box(text: &str) -> Result<BoundingBox> {
    let numbers = text
        .split(',')
        .map(|part| part.trim().parse::<f64>())
        .collect::<Result<Vec<_>, _>>();
    let numbers: [f64; 4] = numbers
        .ok()
        .and_then(|numbers| numbers.try_into().ok())
        .with_context(|| format!("\"{text}\" is not a box: write X0,Y0,X1,Y1"))?;
    Ok(BoundingBox::try_from(numbers)?)
}

#[cfg(test)]
mod tests {
    use care_learn::config::Normalisation;
    use clap::Parser as _;

    use super::*;

    fn parse(line: &str) -> Result<Request> {
        Request::try_from(Arguments::try_parse_from(line.split(' '))?)
    }

    #[test]
    fn good_lines() {
        assert_eq!(parse("care").unwrap(), Request::Window(Start::Page));
        assert_eq!(
            parse("care a.care").unwrap(),
            Request::Window(Start::Project("a.care".into()))
        );
        for (line, demo) in [
            ("care demo", Demo::Skin),
            ("care demo --chest", Demo::Chest),
        ] {
            assert_eq!(parse(line).unwrap(), Request::Window(Start::Story(demo)));
        }
        let Request::Import(import) =
            parse("care import a.care b --format coco --dry-run --json").unwrap()
        else {
            panic!("not an import")
        };
        assert_eq!(import.options.format, Some(care_data::import::Format::Coco));
        assert!(import.dry_run && import.json);
        let Request::Export(export) =
            parse("care export a.care --format yolo --out o --split test --force").unwrap()
        else {
            panic!("not an export")
        };
        let options = export::Options {
            format: export::Format::Yolo,
            part: Some(Part::Test),
            replace: true,
        };
        assert_eq!((export.out, export.options), ("o".into(), options));
        for (line, expected) in [
            ("care demo --headless", Demo::Skin),
            ("care demo --chest --headless", Demo::Chest),
        ] {
            let Request::HeadlessDemo {
                demo,
                config,
                json: true,
            } = parse(&format!("{line} --seed 3 --set alpha=0.25 --json")).unwrap()
            else {
                panic!("not a demo in JSON")
            };
            assert_eq!((demo, config.seed, config.live.alpha), (expected, 3, 0.25));
        }
        let Request::Train(train) =
            parse("care train a.care --set alpha=0.25 --set seed=4").unwrap()
        else {
            panic!("not a training")
        };
        let config = with_settings(RunConfig::demo(), &train.set).unwrap();
        assert_eq!((config.live.alpha, config.seed), (0.25, 4));
        for line in ["care -q list a.care", "care list a.care --quiet"] {
            assert!(matches!(parse(line).unwrap(), Request::List { .. }));
        }
        let Request::Box(boxes) = parse("care box a.care x --add 1,2,3.5,4").unwrap() else {
            panic!("not a box")
        };
        assert_eq!(boxes.add, [BoundingBox::new(1.0, 2.0, 3.5, 4.0).unwrap()]);
        let Request::Evaluate(Evaluate { subject, json }) =
            parse("care evaluate a.care --run 3 --json").unwrap()
        else {
            panic!("not an evaluation")
        };
        let (project, run) = ("a.care".into(), RunId(3));
        assert_eq!((subject, json), (Subject::Run { project, run }, true));
        let line = "care evaluate --weights w.pth --backbone vgg19 --images t.csv \
                    --classes a,b --rare b --set normalisation=min-max";
        let Request::Evaluate(Evaluate {
            subject: Subject::Weights(weights),
            json: false,
        }) = parse(line).unwrap()
        else {
            panic!("not of weights")
        };
        assert_eq!(weights.classes.unwrap(), ["a", "b"]);
        let config = weights.config;
        assert_eq!(
            (config.backbone, config.input_size),
            (BackboneKind::Vgg19, 224)
        );
        assert_eq!(config.normalisation, Normalisation::MinMax);
        let line = "care cam --backbone small_resnet --weights w.pth --class predicted \
                    a/x.png b/y.jpg --out maps --preprocess torchvision";
        let Request::Cam(cam) = parse(line).unwrap() else {
            panic!("not a map")
        };
        assert_eq!((cam.class, cam.config.input_size), (None, 96));
        assert_eq!(cam.images[1], ("b/y.jpg".into(), "y".to_owned()));
        assert_eq!(
            parse("care weights get resnet18").unwrap(),
            Request::Weights(Weights::Get(Published::find("resnet18").unwrap()))
        );
    }

    #[test]
    fn bad_lines() {
        for line in [
            "care new a",
            "care train a.care --set alhpa=0.5",
            "care train a.care --set alpha=2",
            "care train a.care --set alpha",
            "care train a.care --config /does/not/exist.toml",
            "care box a.care x --add 1,2,3",
            "care box a.care x --add 3,3,1,1",
            "care import a b",
            "care import a.care b --test 1.5",
            "care import a.care b --per-class 0",
            "care import a.care b --boxes c.csv --no-boxes",
            "care import a.care b --format docx",
            "care import a.care b --json",
            "care export a.care --format coco",
            "care export a.care --out o",
            "care export a.care --format rsna --out o",
            "care export a.care --format coco --out o --split tset",
            "care export a --format coco --out o",
            "care demo --seed 3",
            "care evaluate",
            "care evaluate a.care",
            "care evaluate --run 3",
            "care evaluate a.care --run 3 --weights w.pth --backbone vgg19 --images t.csv",
            "care evaluate a.care --run 3 --input 224",
            "care evaluate --weights w.pth --images t.csv",
            "care evaluate --weights w.pth --backbone alexnet --images t.csv",
            "care evaluate --weights w.pth --backbone vgg19 --images t.csv --classes a,b,a",
            "care evaluate --weights w.pth --backbone vgg19 --images t.csv --input 100",
            "care cam --backbone vgg19 --weights w.pth --class 0 --out maps",
            "care cam --backbone vgg19 --weights w.pth --class -1 --out maps x.png",
            "care cam --backbone vgg19 --weights w.pth --class dog --out maps x.png",
            "care cam --backbone vgg19 --weights w.pth --class 0 --out maps x.png a/x.jpg",
            "care cam --backbone vgg19 --weights w.pth --class 0 --out maps ..",
            "care cam --backbone vgg19 --weights w.pth --class 0 --out maps x.png --set alpha=2",
            "care figure a.care --out figure.bmp",
            "care figure a.care --out figure.png --width 0",
            "care figure a.care --out figure.png --models before,after",
            "care figure a.care --out figure.png --palette rainbow",
            "care tables a.care --out t --format excel",
            "care film a.care --out film.mp4",
            "care report a.care --out report.pdf",
            "care export-model a.care --out m --format onnx",
            "care export-model a.care --out m --model after",
            "care weights",
            "care weights get alexnet",
            "care fly",
            "care a.care list a.care",
        ] {
            assert!(parse(line).is_err(), "{line} was accepted");
        }
    }
}
