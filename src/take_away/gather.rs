//! A run's figures, tables and report, drawn up from the project and the run.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use care_data::{Image, ImageId, Part, Project, RunState, decode};
use care_figures::figure::{Boxed, Caption, Cell, Figure, Map, Picture, Row, Theme};
use care_figures::report::{Line, Plot, Report};
use care_figures::table::{Kind, Table, Value, markdown_text};
use care_figures::{Blending, MapStyle};
use care_learn::ModelRole;
use care_learn::device::torch_info;
use care_learn::event::{EpochMetrics, FilmFrame, ImageAttention};
use care_learn::metrics::argmax;
use care_learn::run_folder::{RunData, RunFolder};

use super::card::{self, Card, ClassCounts};
use super::{Progress, TakeAway};
use crate::findings::{self, Facts, Found, RareClass, WRONG_REASON};
use crate::training::{Phase, TrainingRun};

/// Moments of the film; of a longer one every second, third and so on.
const MOMENTS: usize = 120;

/// Test images, rare ones first, then those whose attention lies least in the box.
pub(super) fn most_telling(project: &Project, run: &TrainingRun, n: usize) -> Vec<ImageId> {
    // The last model that there is.
    let Some((_, seen)) = run.test.last() else {
        return Vec::new();
    };
    let mut ranked: Vec<(bool, f32, ImageId)> = seen
        .iter()
        .filter_map(|it| {
            let image = project.image(it.image)?;
            let is_rare = project.class(image.class).is_some_and(|class| class.rare);
            Some((!is_rare, it.energy.unwrap_or(f32::MAX), image.id))
        })
        .collect();
    ranked.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    ranked.into_iter().take(n).map(|(_, _, id)| id).collect()
}

/// Everything that is taken away comes from here.
pub(super) struct Source<'a> {
    pub project: &'a Project,
    run: &'a TrainingRun,
    pub draft: &'a TakeAway,
    data: RunData,
    seen: HashMap<(ModelRole, ImageId), &'a ImageAttention>,
}

impl<'a> Source<'a> {
    /// # Errors
    /// Where it cannot be told which classes the run learned: today's may be others, in another order.
    pub fn new(
        project: &'a Project,
        run: &'a TrainingRun,
        draft: &'a TakeAway,
    ) -> Result<Self, String> {
        let read = || {
            let folder = RunFolder::open(&project.run_dir(run.id));
            folder
                .and_then(|folder| folder.data())
                .map_err(|e| format!("Which classes run {} learned cannot be read: {e}", run.id))
        };
        let data = run.data.clone().map_or_else(read, Ok)?;
        let seen = run
            .test
            .iter()
            .flat_map(|(role, images)| images.iter().map(move |it| ((*role, it.image), it)));
        Ok(Self {
            project,
            run,
            draft,
            data,
            seen: seen.collect(),
        })
    }

    fn class_name(&self, class: usize) -> &str {
        self.data.classes.get(class).map_or("", |class| &class.name)
    }

    fn label(&self, image: &Image) -> Option<usize> {
        self.data.classes.iter().position(|c| c.id == image.class)
    }

    /// What an image is called: its number in the test part, else in the film, unless its name was asked for.
    fn called(&self, image: &Image) -> String {
        if self.draft.has_names() {
            return image.name().to_owned();
        }
        let test = self.run.test.first().map_or(&[][..], |(_, images)| images);
        let in_test = test.iter().position(|it| it.image == image.id);
        let in_film = || self.run.watch.iter().position(|id| *id == image.id);
        let place = in_test.or_else(in_film).unwrap_or_default();
        format!("image {}", place + 1)
    }

    fn boxed(&self, image: &Image, side: u32) -> Result<Boxed, String> {
        let path = self.project.path_of(image);
        // Without the file's name: what a message says may be passed on.
        let pixels = decode::thumbnail(&path, &self.data.look, side).map_err(|e| {
            format!("An image cannot be read: {e} Leave it out, or bring its file back.")
        })?;
        let (width, height) = pixels.dimensions();
        let (w, h) = (f64::from(image.size.width), f64::from(image.size.height));
        let boxes = self.project.boxes(image.id).iter().map(|annotation| {
            let [x0, y0, x1, y1] = annotation.rect.xyxy();
            [x0 / w, y0 / h, x1 / w, y1 / h]
        });
        Ok(Boxed {
            boxes: boxes.collect(),
            picture: Picture {
                width,
                height,
                rgb: pixels.into_raw(),
            },
        })
    }

    fn map(style: &MapStyle, of: &ImageAttention, all: &[Option<f32>]) -> Map {
        Map {
            map: of.map.clone(),
            gain: style.gain(of.peak, all.iter().copied()),
        }
    }

    fn caption(&self, label: Option<usize>, of: &ImageAttention) -> Caption {
        let predicted = argmax(&of.probabilities);
        let is_right = Some(predicted) == label;
        let is_warning = is_right && of.energy.is_some_and(|energy| energy < WRONG_REASON);
        let words = match (is_right, is_warning) {
            (true, true) => "correct, wrong reason".to_owned(),
            (true, false) => "correct".to_owned(),
            (false, _) => format!("taken for {}", self.class_name(predicted)),
        };
        Caption {
            words,
            number: of.energy.map_or(String::new(), |e| format!("{e:.2}")),
            is_warning,
        }
    }

    fn blank(&self, columns: Vec<String>) -> Figure {
        Figure {
            title: String::new(),
            columns,
            pictures: Vec::new(),
            rows: Vec::new(),
            note: "Boxes were drawn by people. Number: share of the attention in the box. Research only, not for diagnosis.".to_owned(),
            style: self.draft.style,
            blending: self.draft.blending,
            theme: self.draft.theme,
            has_captions: self.draft.has_captions,
            width: self.draft.width as f32,
        }
    }

    /// Figure 2: the chosen images in rows, the original and the chosen models in columns.
    pub fn figure(
        &self,
        side: u32,
        progress: Progress<'_>,
        stop: &AtomicBool,
    ) -> Result<Figure, String> {
        let roles: Vec<ModelRole> = self.draft.roles().collect();
        let names = roles.iter().map(|role| role.name().to_owned());
        let columns = std::iter::once("original".to_owned())
            .chain(names)
            .collect();
        let mut figure = self.blank(columns);
        let images = self.draft.images.iter();
        let images: Vec<&Image> = images.filter_map(|id| self.project.image(*id)).collect();
        for (i, image) in images.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Err("It was cancelled.".to_owned());
            }
            figure.pictures.push(self.boxed(image, side)?);
            let label = self.label(image);
            let class = label.map_or("", |label| self.class_name(label));
            let original = Cell {
                picture: i,
                map: None,
                caption: Caption {
                    words: format!("{}, {class}", self.called(image)),
                    ..Caption::default()
                },
            };
            let seen = |role: &ModelRole| self.seen.get(&(*role, image.id)).copied();
            let peaks: Vec<Option<f32>> = ModelRole::ALL
                .iter()
                .filter_map(|role| Some(seen(role)?.peak))
                .collect();
            let cells = roles.iter().map(|role| {
                let of = seen(role)?;
                Some(Cell {
                    picture: i,
                    map: Some(Self::map(&self.draft.style, of, &peaks)),
                    caption: self.caption(label, of),
                })
            });
            figure.rows.push(Row {
                label: String::new(),
                cells: std::iter::once(Some(original)).chain(cells).collect(),
            });
            progress(i + 1, images.len());
        }
        Ok(figure)
    }

    /// The watched images with every moment at which a map of theirs was kept.
    pub fn film(&self, stop: &AtomicBool) -> Result<Film<'_>, String> {
        const SIDE: u32 = 240;
        let mut blank = self.blank(Vec::new());
        blank.has_captions = true;
        let watch = self.run.watch.iter();
        let watch: Vec<&Image> = watch.filter_map(|id| self.project.image(*id)).collect();
        for image in &watch {
            if stop.load(Ordering::Relaxed) {
                return Err("It was cancelled.".to_owned());
            }
            blank.pictures.push(self.boxed(image, SIDE)?);
            blank.columns.push(self.called(image));
        }
        let mut epochs: Vec<f32> = self.run.film.iter().map(|frame| frame.epoch).collect();
        epochs.sort_by(f32::total_cmp);
        epochs.dedup_by(|a, b| (*a - *b).abs() < 1e-3);
        let stride = epochs.len().div_ceil(MOMENTS).max(1);
        let last = epochs.len().saturating_sub(1);
        let kept = epochs.iter().enumerate();
        let kept = kept.filter(|(i, _)| i % stride == 0 || *i == last);
        Ok(Film {
            of: self,
            blank,
            watch: watch.iter().map(|image| image.id).collect(),
            epochs: kept.map(|(_, epoch)| *epoch).collect(),
        })
    }

    fn counts(&self) -> Vec<ClassCounts> {
        let mut counts = vec![ClassCounts::default(); self.data.classes.len()];
        for image in self.project.images() {
            let Some(label) = self.label(image) else {
                continue;
            };
            let part = Part::ALL.iter().position(|part| *part == image.part);
            counts[label].parts[part.unwrap_or_default()] += 1;
            let is_boxed = !self.project.boxes(image.id).is_empty();
            counts[label].boxed += usize::from(is_boxed && image.part == Part::Train);
        }
        counts
    }

    fn date(&self) -> String {
        let run = self.project.runs().iter().find(|run| run.id == self.run.id);
        run.and_then(|run| jiff::Timestamp::from_millisecond(run.started_at).ok())
            .map_or(String::new(), |at| {
                let at = at.to_zoned(jiff::tz::TimeZone::system());
                at.strftime("%-d %B %Y").to_string()
            })
    }

    pub fn card(&self, role: ModelRole) -> String {
        let torch = torch_info().version;
        card::card(&Card {
            name: &format!(
                "{}, run {}, {}",
                self.project.name(),
                self.run.id,
                role.name()
            ),
            date: &self.date(),
            role,
            config: &self.run.config,
            data: &self.data,
            counts: &self.counts(),
            results: self.run.results.as_ref(),
            finding: self.finding().as_deref(),
            cautions: &self.cautions(),
            format: self.draft.model,
            versions: &[
                ("CARE Studio", env!("CARGO_PKG_VERSION")),
                ("libtorch", &torch),
            ],
        })
    }

    /// Every measure of every model, with n and intervals.
    fn results(&self) -> Table {
        let summaries = self
            .run
            .results
            .iter()
            .flat_map(|results| &results.summaries);
        let summaries: Vec<_> = summaries
            .map(|(role, summary)| (*role, card::measures(&self.data, summary)))
            .collect();
        let mut columns = vec![("measure".to_owned(), Kind::Words)];
        for (role, _) in &summaries {
            columns.push((role.name().to_owned(), Kind::Numbers));
            columns.push((format!("{} 95 % interval", role.name()), Kind::Intervals));
            columns.push((format!("{} n", role.name()), Kind::Numbers));
        }
        let mut names: Vec<&String> = Vec::new();
        for (name, _) in summaries.iter().flat_map(|(_, measures)| measures) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let rows = names.iter().map(|name| {
            let of_models = summaries.iter().flat_map(|(_, measures)| {
                match measures.iter().find(|(other, _)| other == *name) {
                    Some((_, e)) => [
                        Value::Number(e.value, 2),
                        Value::Interval(Some((e.low, e.high)), 2),
                        Value::Count(u64::from(e.n)),
                    ],
                    None => [Value::Empty, Value::Interval(None, 2), Value::Empty],
                }
            });
            std::iter::once(Value::Text((*name).clone()))
                .chain(of_models)
                .collect()
        });
        Table {
            name: "Results on the test part".to_owned(),
            rows: rows.collect(),
            columns,
            note: format!(
                "95 % bootstrap intervals over the test images. {}",
                self.finding().unwrap_or_default()
            ),
        }
    }

    /// Each test image as each model saw it.
    fn attention(&self) -> Table {
        let column = |name: &str, kind| (name.to_owned(), kind);
        let mut rows = Vec::new();
        for (role, images) in &self.run.test {
            for of in images {
                let Some(image) = self.project.image(of.image) else {
                    continue;
                };
                let Some(label) = self.label(image) else {
                    continue;
                };
                let predicted = argmax(&of.probabilities);
                let number = |value: Option<f32>| {
                    value.map_or(Value::Empty, |value| Value::Number(f64::from(value), 3))
                };
                rows.push(vec![
                    Value::Text(self.called(image)),
                    Value::Text(self.class_name(label).to_owned()),
                    Value::Text(role.name().to_owned()),
                    Value::Text(self.class_name(predicted).to_owned()),
                    Value::Text(if predicted == label { "yes" } else { "no" }.to_owned()),
                    number(of.probabilities.get(label).copied()),
                    number(of.energy),
                    Value::Text(
                        of.hit
                            .map_or("", |hit| if hit { "yes" } else { "no" })
                            .to_owned(),
                    ),
                    number(of.iou),
                ]);
            }
        }
        Table {
            name: "Attention on each test image".to_owned(),
            columns: vec![
                column("image", Kind::Words),
                column("class", Kind::Words),
                column("model", Kind::Words),
                column("predicted", Kind::Words),
                column("right", Kind::Words),
                column("probability of its class", Kind::Numbers),
                column("energy in the box", Kind::Numbers),
                column("pointing hit", Kind::Words),
                column("IoU", Kind::Numbers),
            ],
            rows,
            note: "Attention is for the image\u{2019}s own class; empty where it has no box or the map is flat. Images are numbered in the test part\u{2019}s order."
                .to_owned(),
        }
    }

    fn confusion(&self, role: ModelRole, matrix: &[Vec<u32>]) -> Table {
        let mut columns = vec![("label".to_owned(), Kind::Words)];
        let classes = self.data.classes.iter();
        columns.extend(classes.map(|class| (format!("predicted {}", class.name), Kind::Numbers)));
        let rows = matrix.iter().enumerate().map(|(label, row)| {
            let counts = row.iter().map(|n| Value::Count(u64::from(*n)));
            std::iter::once(Value::Text(self.class_name(label).to_owned()))
                .chain(counts)
                .collect()
        });
        Table {
            name: format!("Confusion, {}", role.name()),
            columns,
            rows: rows.collect(),
            note: String::new(),
        }
    }

    fn confusions(&self) -> Vec<Table> {
        let summaries = self
            .run
            .results
            .iter()
            .flat_map(|results| &results.summaries);
        summaries
            .map(|(role, summary)| self.confusion(*role, &summary.confusion))
            .collect()
    }

    /// Names and contents of the tables' files.
    pub fn table_files(&self) -> Vec<(String, Vec<u8>)> {
        let mut tables = vec![("results".to_owned(), self.results())];
        tables.push(("attention".to_owned(), self.attention()));
        let summaries = self
            .run
            .results
            .iter()
            .flat_map(|results| &results.summaries);
        tables.extend(summaries.map(|(role, summary)| {
            let name = format!("confusion-{}", role.name().to_lowercase());
            (name, self.confusion(*role, &summary.confusion))
        }));
        let notes = ("notes.md".to_owned(), self.notes(&tables).into_bytes());
        let format = self.draft.table;
        let files = tables.into_iter().map(|(name, table)| {
            let name = format!("{name}.{}", format.ending());
            (name, table.written(format).into_bytes())
        });
        files.chain([notes]).collect()
    }

    /// What CARE came to against the control on rare images, as the run recorded it.
    fn finding(&self) -> Option<String> {
        let results = self.run.results.as_ref()?;
        let right = |role| {
            let recall = results.summary(role)?.rare_recall?;
            Some((recall.value * f64::from(recall.n)).round() as usize)
        };
        let found = Found {
            right: [right(ModelRole::Control)?, right(ModelRole::Care)?],
            test: results.rare_difference?,
        };
        let words = found.in_words("the control", "CARE");
        Some(format!("On test images of rare classes, {words}."))
    }

    /// What has to be said beside the run's figures.
    fn cautions(&self) -> Vec<String> {
        let mut cautions = vec![
            "Research only, not for diagnosis. It has not been validated on data of any other place, device or population."
                .to_owned(),
            format!(
                "One run with one seed ({}). Another seed gives other figures; compare several before concluding.",
                self.run.config.seed
            ),
            "Attention maps show what the score of a class depends on in the last layer's grid. They are not a segmentation.".to_owned(),
        ];
        let first = self
            .run
            .results
            .as_ref()
            .and_then(|results| results.summaries.first());
        let tested = first.and_then(|(role, _)| self.run.test.iter().find(|(it, _)| it == role));
        let tested: Vec<(&Image, usize, usize)> = tested
            .iter()
            .flat_map(|(_, images)| images)
            .filter_map(|of| {
                let image = self.project.image(of.image)?;
                Some((image, self.label(image)?, argmax(&of.probabilities)))
            })
            .collect();
        let today = tested
            .iter()
            .map(|(_, label, predicted)| (*label, *predicted));
        let relabelled =
            first.and_then(|(_, summary)| findings::relabelled(&summary.confusion, today));
        let classes = self.data.classes.iter().enumerate();
        let rare = classes.filter(|(_, class)| class.rare && first.is_some());
        let rare = rare.map(|(index, class)| {
            let of = tested.iter().filter(|(_, label, _)| *label == index);
            let groups = of.clone().map(|(image, ..)| image.group.as_str());
            RareClass {
                name: &class.name,
                images: of.count(),
                groups: groups.collect::<BTreeSet<_>>().len(),
            }
        });
        cautions.extend(findings::cautions(&Facts {
            run: self.run.id,
            was_stopped: self.run.phase == Phase::Ended(RunState::Stopped),
            relabelled: relabelled.map(|n| (self.run.id, n)).into_iter().collect(),
            measured_anew: false,
            rare: rare.collect(),
        }));
        cautions
    }

    /// What has to be said beside the tables, which have no room for it.
    fn notes(&self, tables: &[(String, Table)]) -> String {
        let title = format!("{}, run {}", self.project.name(), self.run.id);
        let mut text = format!("# {}\n\n", markdown_text(&title));
        for caution in self.cautions() {
            text += &format!("- {}\n", markdown_text(&caution));
        }
        for (name, table) in tables.iter().filter(|(_, table)| !table.note.is_empty()) {
            text += &format!(
                "\n## {name}\n\n{}. {}\n",
                markdown_text(&table.name),
                markdown_text(&table.note)
            );
        }
        text
    }

    fn split(&self) -> Table {
        let column = |name: &str, kind| (name.to_owned(), kind);
        let counts = self.counts();
        let rows = self.data.classes.iter().zip(counts).map(|(class, counts)| {
            let [train, validation, test] = counts.parts.map(|n| Value::Count(n as u64));
            vec![
                Value::Text(class.name.clone()),
                Value::Text(if class.rare { "rare" } else { "" }.to_owned()),
                train,
                Value::Count(counts.boxed as u64),
                validation,
                test,
            ]
        });
        Table {
            name: "Images of each class".to_owned(),
            columns: vec![
                column("class", Kind::Words),
                column("", Kind::Words),
                column("training", Kind::Numbers),
                column("with a box", Kind::Numbers),
                column("validation", Kind::Numbers),
                column("test", Kind::Numbers),
            ],
            rows: rows.collect(),
            note: String::new(),
        }
    }

    fn plots(&self) -> Vec<Plot> {
        let stage_two = self.run.stage_two().map(f64::from);
        let plot = |title: &str, range, value: &dyn Fn(&EpochMetrics) -> Option<f32>| {
            let lines = ModelRole::ALL.iter().map(|role| {
                let epochs = self.run.epochs.iter().filter(|epoch| epoch.role == *role);
                let points = epochs
                    .filter_map(|epoch| Some([f64::from(epoch.epoch), f64::from(value(epoch)?)]));
                let (color, is_dashed) = match role {
                    ModelRole::Before => ("#5f6978", false),
                    ModelRole::Control => ("#222832", true),
                    ModelRole::Care => ("#3f4bd3", false),
                };
                Line {
                    name: role.name().to_owned(),
                    color: color.to_owned(),
                    is_dashed,
                    points: points.collect(),
                }
            });
            Plot {
                title: title.to_owned(),
                range,
                lines: lines.filter(|line| !line.points.is_empty()).collect(),
                stage_two,
            }
        };
        let share = Some([0.0, 1.0]);
        let plots = [
            plot("Classification loss L_c", None, &|e| Some(e.classification)),
            plot("Attention in the box", share, &|e| e.watched_energy),
            plot("Recall of rare classes, validation", share, &|e| {
                e.rare_recall
            }),
            plot("Mean class accuracy, validation", share, &|e| e.mca),
        ];
        plots
            .into_iter()
            .filter(|plot| !plot.lines.is_empty())
            .collect()
    }

    /// The whole run on a page.
    pub fn report(&self, progress: Progress<'_>, stop: &AtomicBool) -> Result<Report, String> {
        const SIDE: u32 = 360;
        let mut figure = self.figure(SIDE, progress, stop)?;
        figure.theme = Theme::Light;
        let svg = figure.svg().map_err(|e| e.to_string())?;
        let mut tables = vec![self.results()];
        tables.extend(self.confusions());
        tables.push(self.attention());
        let words = match self.draft.blending {
            Blending::ByAttention => "Low attention is left clear.",
            Blending::Even => "Maps are blended evenly, as in the paper.",
        };
        Ok(Report {
            title: format!("{}, run {}", self.project.name(), self.run.id),
            subtitle: format!("CARE Studio, {}", self.date()),
            finding: self.finding().unwrap_or_else(|| {
                "This run has no CARE and control to compare on rare images.".to_owned()
            }),
            cautions: self.cautions(),
            data: vec![self.split()],
            data_note: format!(
                "{} Numbers are as the project was when this was written.",
                split_in_words(self.project.images().iter().map(|it| &*it.group))
            ),
            plots: self.plots(),
            figure: (!figure.rows.is_empty()).then(|| {
                let caption = format!(
                    "Held-out images with the boxes that people drew, and what each model attends to for the image\u{2019}s own class. {words} These rows were chosen; the table below has every test image."
                );
                (svg, caption)
            }),
            tables,
            settings: card::settings(&self.run.config),
            versions: vec![
                ("CARE Studio".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                ("libtorch".to_owned(), torch_info().version),
            ],
        })
    }
}

/// By what the images were split, of each image's group.
fn split_in_words<'a>(mut groups: impl Iterator<Item = &'a str>) -> &'static str {
    let mut seen = HashSet::new();
    if groups.any(|group| !seen.insert(group)) {
        "Images of one patient or lesion stand in one part of the split."
    } else {
        "Which images share a patient is not known; the split is by image."
    }
}

/// The film, a figure for each moment.
pub(super) struct Film<'a> {
    of: &'a Source<'a>,
    blank: Figure,
    watch: Vec<ImageId>,
    epochs: Vec<f32>,
}

impl Film<'_> {
    pub fn len(&self) -> usize {
        self.epochs.len()
    }

    pub fn frames(&self) -> impl Iterator<Item = Figure> {
        self.epochs.iter().map(|epoch| self.frame(*epoch))
    }

    fn frame(&self, epoch: f32) -> Figure {
        let run = self.of.run;
        let mut figure = self.blank.clone();
        let stage = if run.stage_two().is_some_and(|two| epoch > two - 1e-3) {
            2
        } else {
            1
        };
        figure.title = format!("Epoch {epoch:.1} of {}, stage {stage}", run.num_epochs());
        let frames: Vec<Option<&FilmFrame>> = ModelRole::ALL
            .iter()
            .map(|role| run.frame(*role, Some(epoch)))
            .collect();
        let seen = |frame: Option<&FilmFrame>, image: ImageId| frame?.seen(image).cloned();
        let original = |i: usize| Cell {
            picture: i,
            map: None,
            caption: Caption::default(),
        };
        figure.rows.push(Row {
            label: "original".to_owned(),
            cells: (0..self.watch.len()).map(|i| Some(original(i))).collect(),
        });
        for role in self.of.draft.roles() {
            let cells = self.watch.iter().enumerate().map(|(i, image)| {
                let peaks: Vec<Option<f32>> = frames
                    .iter()
                    .filter_map(|frame| Some(seen(*frame, *image)?.peak))
                    .collect();
                let of = seen(frames[role as usize], *image)?;
                let label = self
                    .of
                    .project
                    .image(*image)
                    .and_then(|it| self.of.label(it));
                Some(Cell {
                    picture: i,
                    map: Some(Source::map(&figure.style, &of, &peaks)),
                    caption: self.of.caption(label, &of),
                })
            });
            let row = Row {
                label: role.name().to_owned(),
                cells: cells.collect(),
            };
            figure.rows.push(row);
        }
        figure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patients_are_spoken_of_only_where_they_are_known() {
        for (groups, expected) in [
            (&["a", "b", "a"][..], "Images of one patient"),
            (&["a", "b"], "Which images share a patient is not known"),
            (&[], "Which images share a patient is not known"),
        ] {
            let words = split_in_words(groups.iter().copied());
            assert!(words.starts_with(expected), "{groups:?}: {words}");
        }
    }
}
