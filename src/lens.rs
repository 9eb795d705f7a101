//! Whose attention lies over the image in hand, and what that model makes of it, asked for while somebody looks.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use care_data::{ClassId, HeatMap, Image, ImageId, Project, RunId, RunState};
use care_learn::attention_on_demand::{Asked, AttentionOnDemand, Question};
use care_learn::run_folder::RunFolder;
use care_learn::{ModelRole, RunConfig};

use crate::training::TrainingRun;
use crate::weight_store::with_path_of_weights;

/// How often the weights of a run in training are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is laid over the image in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shows {
    /// Where the model looks.
    #[default]
    Map,
    /// Which pixels the attention loss rewards and which it penalises.
    Lens,
}

/// What a person chose to see over the image in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// None for nothing.
    pub role: Option<ModelRole>,
    pub shows: Shows,
}

/// Where a model comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Of {
    /// It is what a run would begin with; `pretrained` where the settings name weights.
    Untrained { pretrained: bool },
    Run {
        id: RunId,
        role: ModelRole,
        /// When it was saved, where it is still in training.
        training: Option<SystemTime>,
    },
}

/// The model that is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub of: Of,
    asked: Asked,
    pub input_size: u32,
    written: Option<SystemTime>,
}

/// An image as the model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Whose it is: while a run trains perhaps its last checkpoint but one.
    pub of: Of,
    /// Names `raw` for good.
    pub key: u64,
    /// The weighted sum before normalisation, in logits.
    pub raw: HeatMap,
    /// Of the image's own class.
    pub probability: f32,
    /// Side of the network's square input.
    pub input_size: u32,
}

/// A run's weights of one role.
#[derive(Debug, Clone, PartialEq)]
struct Weights {
    run: RunId,
    folder: PathBuf,
    written: SystemTime,
}

/// For the class that each image had when it was asked for; or why it cannot be seen.
type Answers = HashMap<ImageId, (ClassId, Result<Seen, String>)>;

/// The thread that answers, and what it has answered.
#[derive(Default)]
pub struct Lens {
    pub view: View,
    thread: Option<AttentionOnDemand>,
    /// The system gave no thread.
    failed: bool,
    model: Option<Result<Model, String>>,
    seen: Answers,
    /// By earlier checkpoints of the same model, until it is seen anew.
    before: Answers,
    asked: Option<(ImageId, ClassId)>,
    weights: [Option<Weights>; 3],
    /// What `weights` and `model` were looked for with, and when, in seconds of the window.
    looked: Option<(LookedFor, f64)>,
}

/// Another one of these has other weights looked for.
#[derive(Debug, Clone, PartialEq)]
struct LookedFor {
    run: Option<(RunId, bool)>,
    runs: usize,
    role: Option<ModelRole>,
    untrained: RunConfig,
    look: care_data::Look,
    classes: usize,
}

impl Lens {
    /// Whether a model of this role can be shown: the untrained network stands in for "before" until there is a run.
    #[must_use]
    pub fn is_there(&self, role: ModelRole) -> bool {
        self.weights[role as usize].is_some() || role == ModelRole::Before && self.is_untrained()
    }

    /// Whether there are no weights of a run: none has begun, or the one shown has left none.
    #[must_use]
    pub fn is_untrained(&self) -> bool {
        self.weights.iter().all(Option::is_none)
    }

    /// The best that can be shown: CARE where it is trained.
    #[must_use]
    pub fn newest(&self) -> ModelRole {
        let newest_first = [ModelRole::Care, ModelRole::Control];
        let newest = newest_first.into_iter().find(|role| self.is_there(*role));
        newest.unwrap_or(ModelRole::Before)
    }

    /// Whose attention is shown: the one that was chosen, or the nearest to it that there is.
    #[must_use]
    pub fn role(&self) -> Option<ModelRole> {
        let chosen = self.view.role?;
        if self.is_there(chosen) {
            Some(chosen)
        } else {
            Some(self.newest())
        }
    }

    /// The model that is asked, or why there is none; none while nothing is to be shown.
    #[must_use]
    pub fn model(&self) -> Option<&Result<Model, String>> {
        self.model.as_ref()
    }

    /// What it makes of an image, once it has answered; until then what its checkpoint before made of it.
    #[must_use]
    pub fn seen(&self, image: &Image) -> Option<&Result<Seen, String>> {
        known(&self.seen, image).or_else(|| known(&self.before, image))
    }

    /// Whether no model can be asked for lack of a thread.
    #[must_use]
    pub fn can_answer(&self) -> bool {
        !self.failed
    }

    /// Lets go of the thread and its model, without waiting for it; what was chosen stays.
    pub fn leave(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Without a thread to wait on, it is waited for here.
            let _ = std::thread::Builder::new().spawn(move || drop(thread));
        }
        *self = Self {
            view: self.view,
            ..Self::default()
        };
    }

    /// Once a frame while images are looked at: finds the models that there are, takes the answer, asks for `image`.
    pub fn go_on(
        &mut self,
        project: &Project,
        run: Option<&TrainingRun>,
        draft: &RunConfig,
        image: Option<&Image>,
        ctx: &egui::Context,
    ) {
        let now = ctx.input(|input| input.time);
        self.find(project, run, draft, now);
        let trains = run.is_some_and(|run| !run.phase.is_over());
        if trains && self.view.role.is_some() {
            ctx.request_repaint_after(LOOK_AGAIN);
        }
        self.take_answer();
        let (Some(image), Some(Ok(model))) = (image, &self.model) else {
            return;
        };
        if known(&self.seen, image).is_some() || self.asked == Some((image.id, image.class)) {
            return;
        }
        let question = Question {
            model: model.asked.clone(),
            image: project.path_of(image),
            class: Some(image.class),
        };
        if self.thread.is_none() && !self.failed {
            let ctx = ctx.clone();
            self.thread = AttentionOnDemand::start(move || ctx.request_repaint()).ok();
            self.failed = self.thread.is_none();
        }
        if let Some(thread) = &mut self.thread {
            // Takes the place of the question before: another image is in hand.
            thread.ask(question);
            self.asked = Some((image.id, image.class));
        }
    }

    /// Looks for weights and settings, where something may be new.
    fn find(&mut self, project: &Project, run: Option<&TrainingRun>, draft: &RunConfig, now: f64) {
        let trains = run.is_some_and(|run| !run.phase.is_over());
        let wanted = LookedFor {
            run: run.map(|run| (run.id, run.phase.is_over())),
            runs: project.runs().len(),
            role: self.view.role,
            untrained: network_of(draft),
            look: project.look(),
            classes: project.classes().len(),
        };
        let is_fresh = |(looked, at): &(LookedFor, f64)| {
            *looked == wanted && (!trains || now < at + LOOK_AGAIN.as_secs_f64())
        };
        if self.looked.as_ref().is_some_and(is_fresh) {
            return;
        }
        self.looked = Some((wanted, now));
        self.weights = ModelRole::ALL.map(|role| weights(project, run, role));
        let model = self
            .role()
            .map(|role| self.model_of(role, project, run, draft));
        if model != self.model {
            let asked = |model: &Option<Result<Model, String>>| {
                let model = model.as_ref()?.as_ref().ok()?;
                Some(model.asked.clone())
            };
            let seen = std::mem::take(&mut self.seen);
            if asked(&model) == asked(&self.model) {
                self.before.extend(seen);
            } else {
                self.before.clear();
            }
            self.model = model;
            self.asked = None;
        }
    }

    fn model_of(
        &self,
        role: ModelRole,
        project: &Project,
        run: Option<&TrainingRun>,
        draft: &RunConfig,
    ) -> Result<Model, String> {
        let Some(weights) = &self.weights[role as usize] else {
            let config = with_path_of_weights(network_of(draft)).map_err(|e| format!("{e:#}."))?;
            config.check().map_err(|e| e.to_string())?;
            return Ok(Model {
                of: Of::Untrained {
                    pretrained: config.weights.is_some(),
                },
                input_size: config.input_size,
                asked: Asked::Untrained {
                    config: Box::new(config),
                    classes: project.classes().iter().map(|class| class.id).collect(),
                    look: project.look(),
                },
                written: None,
            });
        };
        let config = RunFolder::open(&weights.folder).and_then(|folder| folder.config());
        let config = config.map_err(|e| e.to_string())?;
        let is_training = run.is_some_and(|run| run.id == weights.run && !run.phase.is_over());
        Ok(Model {
            of: Of::Run {
                id: weights.run,
                role,
                training: is_training.then_some(weights.written),
            },
            asked: Asked::OfRun {
                run: weights.folder.clone(),
                role,
            },
            input_size: config.input_size,
            written: Some(weights.written),
        })
    }

    fn take_answer(&mut self) {
        let (Some(thread), Some((id, class)), Some(Ok(model))) =
            (&self.thread, self.asked, &self.model)
        else {
            return;
        };
        let Some(answer) = thread.answer() else {
            return;
        };
        self.asked = None;
        if answer.question.model != model.asked {
            return;
        }
        let seen = answer.attention.map(|attention| {
            let own = |(of, _): &&(ClassId, f32)| *of == class;
            let probability = attention.probabilities.iter().find(own);
            let mut hasher = DefaultHasher::new();
            ("lens", id, class).hash(&mut hasher);
            for value in &attention.raw.values {
                value.to_bits().hash(&mut hasher);
            }
            Seen {
                of: model.of,
                key: hasher.finish(),
                probability: probability.map_or(0.0, |(_, p)| *p),
                raw: attention.raw,
                input_size: model.input_size,
            }
        });
        self.seen.insert(id, (class, seen));
    }
}

/// What was seen of an image, for the class that it has now.
fn known<'a>(seen: &'a Answers, image: &Image) -> Option<&'a Result<Seen, String>> {
    let (class, seen) = seen.get(&image.id)?;
    (*class == image.class).then_some(seen)
}

/// What of the settings decides an untrained network: the others do not have it asked again.
fn network_of(draft: &RunConfig) -> RunConfig {
    RunConfig {
        backbone: draft.backbone,
        target_layer: draft.target_layer.clone(),
        input_size: draft.input_size,
        seed: draft.seed,
        weights: draft.weights.clone(),
        ..RunConfig::default()
    }
}

/// Those of the run that is shown. While that one trains and has none yet, those of the newest that has.
fn weights(project: &Project, run: Option<&TrainingRun>, role: ModelRole) -> Option<Weights> {
    let run = run?;
    let of = |id: RunId| {
        let folder = project.run_dir(id);
        let file = RunFolder::open(&folder).ok()?.weights(role);
        Some(Weights {
            run: id,
            folder,
            written: std::fs::metadata(file).ok()?.modified().ok()?,
        })
    };
    let earlier = || {
        let mut runs = project.runs().iter().rev();
        runs.find_map(|it| (it.state == RunState::Finished).then(|| of(it.id))?)
    };
    of(run.id).or_else(|| (!run.phase.is_over()).then(earlier)?)
}
