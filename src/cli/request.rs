//! What was asked for, checked: every path, number and name that can be checked without opening the project.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use care_data::import::{BoxesFrom, Options};
use care_data::split::SplitSpec;
use care_data::{BoundingBox, BoxId};
use care_learn::RunConfig;
use care_learn::config::BackboneKind;

use super::args::{Arguments, Command, WeightsCommand};
use crate::weight_store::Published;
use crate::window::Start;

#[derive(Debug, PartialEq)]
pub enum Request {
    Window(Start),
    New { project: PathBuf },
    Import(Import),
    List { project: PathBuf, json: bool },
    Box(Boxes),
    Train(Train),
    Weights(Weights),
    HeadlessDemo { config: RunConfig, json: bool },
    Bench(Bench),
    Doctor { json: bool },
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
    /// From `--config`; the project's own first settings where none was given.
    pub config: Option<RunConfig>,
    /// `name=value`, each checked on its own.
    pub set: Vec<String>,
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
        Ok(match command {
            Command::New { project } => {
                check_project(&project)?;
                Self::New { project }
            }
            Command::Import {
                project,
                path,
                rare,
                boxes,
                no_boxes,
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
                config,
                set,
                json,
            } => {
                let config = config
                    .map(|file| {
                        let text = std::fs::read_to_string(&file)
                            .with_context(|| format!("{} cannot be read", file.display()))?;
                        toml::from_str(&text)
                            .with_context(|| format!("{} cannot be used", file.display()))
                    })
                    .transpose()?;
                with_settings(config.clone().unwrap_or_default(), &set)?;
                Self::Train(Train {
                    project,
                    config,
                    set,
                    json,
                })
            }
            Command::Weights { command } => Self::Weights(match command {
                WeightsCommand::List { json } => Weights::List { json },
                WeightsCommand::Get { name } => Weights::Get(Published::find(&name)?),
                WeightsCommand::Add { file } => Weights::Add { file },
            }),
            Command::Demo {
                headless: true,
                seed,
                set,
                json,
            } => {
                let config = RunConfig {
                    seed,
                    ..RunConfig::demo()
                };
                Self::HeadlessDemo {
                    config: with_settings(config, &set)?,
                    json,
                }
            }
            Command::Demo {
                headless: false, ..
            } => Self::Window(Start::Demo),
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
        })
    }
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
        assert_eq!(parse("care demo").unwrap(), Request::Window(Start::Demo));
        let Request::HeadlessDemo { config, json: true } =
            parse("care demo --headless --seed 3 --set alpha=0.25 --json").unwrap()
        else {
            panic!("not a demo in JSON")
        };
        assert_eq!((config.seed, config.live.alpha), (3, 0.25));
        let Request::Train(train) =
            parse("care train a.care --set alpha=0.25 --set seed=4").unwrap()
        else {
            panic!("not a training")
        };
        let config = with_settings(RunConfig::demo(), &train.set).unwrap();
        assert_eq!((config.live.alpha, config.seed), (0.25, 4));
        let Request::Box(boxes) = parse("care box a.care x --add 1,2,3.5,4").unwrap() else {
            panic!("not a box")
        };
        assert_eq!(boxes.add, [BoundingBox::new(1.0, 2.0, 3.5, 4.0).unwrap()]);
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
            "care demo --seed 3",
            "care weights",
            "care weights get alexnet",
            "care fly",
        ] {
            assert!(parse(line).is_err(), "{line} was accepted");
        }
    }
}
