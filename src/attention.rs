//! What the newest model of the run that is shown makes of the project's images, asked for one after another.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use care_data::{BoundingBox, ClassId, Image, ImageId, ImageSize, Project, ReaderId, RunId};
use care_learn::attention_loss::{Raster, Upsampling};
use care_learn::attention_on_demand::{Asked, AttentionOnDemand, Question};
use care_learn::metrics::attention_score;
use care_learn::{AttentionMap, ModelRole};

use crate::queue::QueueView;
use crate::training::TrainingRun;

/// Images that it looks at to sort the queue, at most.
pub const MAX_SORTED: usize = 5000;

/// An image as the model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Whose attention `map` is: the image's own class.
    pub class: ClassId,
    pub map: AttentionMap,
    pub predicted: ClassId,
    /// One less the largest probability.
    pub uncertainty: f32,
    input_size: u32,
    /// As it came out for the boxes that the image had when it was seen.
    scored: (Vec<BoundingBox>, Option<f64>),
}

impl Seen {
    /// Share of the attention that lies in the boxes; none without a box or with a flat map.
    #[must_use]
    pub fn energy(&self, boxes: &[BoundingBox], image: ImageSize) -> Option<f64> {
        if self.scored.0 == boxes {
            return self.scored.1;
        }
        let input = ImageSize::new(self.input_size, self.input_size);
        let values: Vec<f64> = self.map.values.iter().map(|v| f64::from(*v)).collect();
        let upsampling = Upsampling::new(self.map.height, self.map.width, input);
        let score = attention_score(&values, &Raster::new(boxes, image, input), &upsampling)?;
        Some(score.energy)
    }
}

/// The model that is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub run: RunId,
    pub role: ModelRole,
    folder: PathBuf,
    /// When its weights were: those of a run in training are written again and again.
    written: Option<SystemTime>,
    input_size: u32,
}

impl Model {
    /// CARE where it is trained, else its control, else stage 1; none where the run has left no weights yet.
    fn of(project: &Project, run: &TrainingRun) -> Option<Self> {
        let folder = project.run_dir(run.id);
        let opened = care_learn::run_folder::RunFolder::open(&folder).ok()?;
        let newest_first = [ModelRole::Care, ModelRole::Control, ModelRole::Before];
        let role = newest_first
            .into_iter()
            .find(|role| opened.weights(*role).is_file())?;
        Some(Self {
            run: run.id,
            role,
            written: std::fs::metadata(opened.weights(role))
                .and_then(|file| file.modified())
                .ok(),
            folder,
            input_size: run.config.input_size,
        })
    }

    fn asked(&self) -> Asked {
        Asked::OfRun {
            run: self.folder.clone(),
            role: self.role,
        }
    }
}

/// The thread that answers, and what it has answered.
#[derive(Default)]
pub struct Attention {
    thread: Option<AttentionOnDemand>,
    model: Option<Model>,
    /// The run that `model` is of, and whether it had ended when its weights were looked for.
    of: Option<(RunId, bool)>,
    /// Or why the image cannot be seen.
    seen: HashMap<ImageId, Result<Seen, String>>,
    asked: Option<ImageId>,
    /// Grows with every answer.
    revision: u64,
    /// The system gave no thread.
    failed: bool,
    /// When the queue was last looked through: revisions of the project and of what was seen, who reads, and the queue.
    looked: Option<(u64, u64, Option<ReaderId>, QueueView)>,
}

impl Attention {
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// What the model makes of an image, once it was asked and has answered.
    #[must_use]
    pub fn seen(&self, image: ImageId) -> Option<&Result<Seen, String>> {
        self.seen.get(&image)
    }

    #[must_use]
    pub fn can_answer(&self) -> bool {
        !self.failed
    }

    /// Asks again for what could not be seen.
    pub fn forget_failures(&mut self) {
        self.seen.retain(|_, seen| seen.is_ok());
    }

    /// Lets go of the thread and its model, without waiting for it.
    pub fn leave(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Without a thread to wait on, it is waited for here.
            let _ = std::thread::Builder::new().spawn(move || drop(thread));
        }
        *self = Self::default();
    }

    /// Asks from now on the newest model of this run; what another one saw is forgotten.
    pub fn ask_of(&mut self, project: &Project, run: Option<&TrainingRun>) {
        let model = run.and_then(|run| Model::of(project, run));
        self.of = run.map(|run| (run.id, run.phase.is_over()));
        if self.model != model {
            self.model = model;
            self.seen.clear();
            self.asked = None;
            self.revision += 1;
        }
    }

    /// As [`ask_of`](Self::ask_of), looking for weights only where another run is shown or it has ended since.
    fn keep_to(&mut self, project: &Project, run: Option<&TrainingRun>) {
        if self.of != run.map(|run| (run.id, run.phase.is_over())) {
            self.ask_of(project, run);
        }
    }

    /// Looks at what the queue is to be sorted by, one image after another.
    pub fn look_through(
        &mut self,
        project: &Project,
        run: Option<&TrainingRun>,
        reader: Option<ReaderId>,
        queue: &QueueView,
        ctx: &egui::Context,
    ) {
        self.keep_to(project, run);
        let looked = (project.revision(), self.revision, reader, queue.clone());
        // Otherwise there is nothing new to look for.
        if self.asked.is_some() || self.looked.as_ref() != Some(&looked) {
            let wanted = queue.images(project, reader).take(MAX_SORTED);
            self.go_on(project, wanted, ctx);
            self.looked = Some(looked);
        }
    }

    /// Takes the answer that is there, and asks for the first of `wanted` that is not known yet.
    pub fn go_on<'a>(
        &mut self,
        project: &Project,
        wanted: impl Iterator<Item = &'a Image>,
        ctx: &egui::Context,
    ) {
        self.take_answer(project);
        if self.asked.is_some() {
            return;
        }
        let is_open = |image: &&Image| match self.seen.get(&image.id) {
            Some(Ok(seen)) => seen.class != image.class,
            // Asked again only after `forget_failures`.
            Some(Err(_)) => false,
            None => true,
        };
        let mut open = wanted.filter(is_open);
        if let (Some(image), Some(model)) = (open.next(), &self.model) {
            if self.thread.is_none() && !self.failed {
                let ctx = ctx.clone();
                self.thread = AttentionOnDemand::start(move || ctx.request_repaint()).ok();
                self.failed = self.thread.is_none();
            }
            if let Some(thread) = &mut self.thread {
                thread.ask(Question {
                    model: model.asked(),
                    image: project.path_of(image),
                    class: Some(image.class),
                });
                self.asked = Some(image.id);
            }
        }
    }

    fn take_answer(&mut self, project: &Project) {
        let (Some(thread), Some(id), Some(model)) = (&self.thread, self.asked, &self.model) else {
            return;
        };
        let Some(answer) = thread.answer() else {
            return;
        };
        self.asked = None;
        // Asked of a model, or of a class, that is no longer the one.
        let is_asked = answer.question.model == model.asked();
        let Some(image) = project.image(id).filter(|_| is_asked) else {
            return;
        };
        let seen = answer.attention.map(|attention| {
            let probabilities = attention.probabilities.iter().map(|(_, p)| *p);
            let mut seen = Seen {
                class: attention.class,
                predicted: attention.predicted,
                uncertainty: 1.0 - probabilities.fold(0.0, f32::max),
                map: attention.map,
                input_size: model.input_size,
                scored: (Vec::new(), None),
            };
            let boxes = project.boxes(id).iter();
            let boxes: Vec<_> = boxes.map(|annotation| annotation.rect).collect();
            seen.scored = (boxes.clone(), seen.energy(&boxes, image.size));
            seen
        });
        self.seen.insert(id, seen);
        self.revision += 1;
    }
}
