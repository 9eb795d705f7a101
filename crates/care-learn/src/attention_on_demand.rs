//! The attention of a model on one image after another, whatever a person looks at: a thread of its own that keeps
//! the model.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use care_data::{ClassId, HeatMap, Look, decode};
use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::config::RunConfig;
use crate::evaluation::{Explainer, Explanation};
use crate::event::{AttentionMap, ModelRole};
use crate::run_folder::RunFolder;

/// Whose attention is wanted, and on what.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub model: Asked,
    pub image: PathBuf,
    /// None for the predicted one.
    pub class: Option<ClassId>,
}

/// A model that can be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// One of the run's in this folder.
    OfRun { run: PathBuf, role: ModelRole },
    /// The network that a run with these settings on these classes would begin with.
    Untrained {
        config: Box<RunConfig>,
        /// In logit order.
        classes: Vec<ClassId>,
        look: Look,
    },
}

/// What a model makes of an image, seen as the run saw its images.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Whose attention it is.
    pub class: ClassId,
    pub map: AttentionMap,
    /// The weighted sum that `map` is, before it was normalised, in logits.
    pub raw: HeatMap,
    pub predicted: ClassId,
    /// Of each of the run's classes, in the model's order.
    pub probabilities: Vec<(ClassId, f32)>,
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub question: Question,
    /// Or what stood in the way, in one line.
    pub attention: Result<Attention, String>,
}

/// A thread that answers the last question asked. It keeps the model of that, and opens it anew where its file has been
/// written since.
///
/// Dropping it leaves the question that it is at, after decoding or the pass through the network, and waits for the thread.
pub struct AttentionOnDemand {
    /// Of each the number; none asks the thread to end.
    questions: Sender<Option<(u64, Question)>>,
    answers: Receiver<(u64, Answer)>,
    asked: u64,
    thread: Option<JoinHandle<()>>,
}

impl AttentionOnDemand {
    /// Starts the thread, which opens nothing before it is asked. `wake` is called when an answer is there.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (questions, question_receiver) = unbounded();
        let (answer_sender, answers) = unbounded();
        let thread = std::thread::Builder::new()
            .name("attention".to_owned())
            .spawn(move || answer_until_dropped(&question_receiver, &answer_sender, wake))?;
        Ok(Self {
            questions,
            answers,
            asked: 0,
            thread: Some(thread),
        })
    }

    /// Takes the place of all questions before; what is not answered by now will not be.
    pub fn ask(&mut self, question: Question) {
        self.asked += 1;
        // Only a thread that has panicked no longer listens.
        let _ = self.questions.send(Some((self.asked, question)));
    }

    /// The answer to the last question, once it is there; given once.
    pub fn answer(&self) -> Option<Answer> {
        let (_, answer) = self.answers.try_iter().find(|(n, _)| *n == self.asked)?;
        Some(answer)
    }
}

impl Drop for AttentionOnDemand {
    fn drop(&mut self) {
        let _ = self.questions.send(None);
        if let Some(thread) = self.thread.take() {
            // One that panicked, in `wake`, has nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn answer_until_dropped(
    questions: &Receiver<Option<(u64, Question)>>,
    answers: &Sender<(u64, Answer)>,
    wake: impl Fn(),
) {
    let mut model = None;
    while let Ok(first) = questions.recv() {
        let Some((number, question)) = questions.try_iter().last().unwrap_or(first) else {
            return;
        };
        let Some(attention) = attention(&mut model, &question, || questions.is_empty()) else {
            continue;
        };
        let answer = Answer {
            question,
            attention,
        };
        if answers.send((number, answer)).is_err() {
            return;
        }
        wake();
    }
}

/// None where it is no longer `wanted`, which is asked after each step that takes long.
fn attention(
    model: &mut Option<Model>,
    question: &Question,
    is_wanted: impl Fn() -> bool,
) -> Option<Result<Attention, String>> {
    let model = match Model::kept_or_opened(model, question) {
        Ok(model) => model,
        Err(why) => return Some(Err(why)),
    };
    if !is_wanted() {
        return None;
    }
    let pixels = match model.pixels(&question.image) {
        Ok(pixels) => pixels,
        Err(why) => return Some(Err(why)),
    };
    is_wanted().then(|| model.explain(&pixels, question.class))
}

impl Asked {
    /// When a run's weights were written: those of one in training are written again and again.
    fn written(&self) -> Result<Option<SystemTime>, String> {
        let Self::OfRun { run, role } = self else {
            return Ok(None);
        };
        let folder = RunFolder::open(run).map_err(|e| e.to_string())?;
        let file = std::fs::metadata(folder.weights(*role));
        // A file that is not there is said when it is opened.
        Ok(file.and_then(|file| file.modified()).ok())
    }
}

/// A model, opened.
struct Model {
    of: Asked,
    /// When a run's file of it was written.
    written: Option<SystemTime>,
    explainer: Explainer,
    /// In logit order.
    classes: Vec<ClassId>,
    look: Look,
}

impl Model {
    fn kept_or_opened<'m>(
        kept: &'m mut Option<Self>,
        question: &Question,
    ) -> Result<&'m Self, String> {
        let written = question.model.written()?;
        let is_untrained = matches!(question.model, Asked::Untrained { .. });
        let is_kept = |kept: &Self| {
            let is_there = written.is_some() || is_untrained;
            (&kept.of, kept.written) == (&question.model, written) && is_there
        };
        // The old one goes first: two may not fit into memory.
        let opened = match kept.take().filter(is_kept) {
            Some(model) => model,
            None => Self::open(&question.model, written)?,
        };
        Ok(kept.insert(opened))
    }

    fn open(of: &Asked, written: Option<SystemTime>) -> Result<Self, String> {
        let (explainer, classes, look) = match of {
            Asked::OfRun { run, role } => {
                let folder = RunFolder::open(run).map_err(|e| e.to_string())?;
                let (explainer, data) =
                    Explainer::of_run(&folder, *role).map_err(|e| e.to_string())?;
                let classes = data.classes.iter().map(|class| class.id).collect();
                (explainer, classes, data.look)
            }
            Asked::Untrained {
                config,
                classes,
                look,
            } => {
                let explainer =
                    Explainer::untrained(config, classes.len()).map_err(|e| e.to_string())?;
                (explainer, classes.clone(), *look)
            }
        };
        Ok(Self {
            of: of.clone(),
            written,
            explainer,
            classes,
            look,
        })
    }

    /// The image as the run saw its own.
    fn pixels(&self, image: &Path) -> Result<Vec<u8>, String> {
        decode::decode_resized(image, &self.look, self.explainer.input())
            .map(|image| image.into_raw())
            .map_err(|e| format!("{e} {}", e.advice()))
    }

    fn explain(&self, pixels: &[u8], class: Option<ClassId>) -> Result<Attention, String> {
        let classes = &self.classes;
        let label = class
            .map(|wanted| {
                classes
                    .iter()
                    .position(|class| *class == wanted)
                    .ok_or("The class came after this run; train again to have it learned.")
            })
            .transpose()?;
        let Explanation {
            class,
            predicted,
            probabilities,
            map,
            raw,
            ..
        } = self
            .explainer
            .explain(pixels, label)
            .map_err(|e| e.to_string())?;
        Ok(Attention {
            class: classes[class],
            map,
            raw,
            predicted: classes[predicted],
            probabilities: classes.iter().copied().zip(probabilities).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use care_data::Look;
    use tch::Device;

    use super::*;
    use crate::backbone::Network;
    use crate::run_folder::{RunData, RunWriter};
    use crate::task::TaskClass;

    #[test]
    fn what_is_no_longer_wanted_is_left_after_each_step() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = RunConfig {
            input_size: 56,
            ..RunConfig::default()
        };
        let data = RunData {
            classes: (1..=2)
                .map(|id| TaskClass {
                    id: ClassId(id),
                    name: id.to_string(),
                    rare: false,
                })
                .collect(),
            look: Look::default(),
            stage1_of: None,
        };
        let writer = RunWriter::open(dir.path(), &config, &data, None).expect("creates");
        let network = Network::new(config.backbone, 2, 5, Device::Cpu);
        let bytes = network.to_bytes().expect("packs");
        writer.weights(ModelRole::Care, &bytes).expect("writes");
        let image = dir.path().join("image.png");
        image::RgbImage::new(60, 60).save(&image).expect("saves");
        let question = Question {
            model: Asked::OfRun {
                run: dir.path().to_owned(),
                role: ModelRole::Care,
            },
            image,
            class: None,
        };
        let mut model = None;
        // How often it is still wanted, and whether there is an answer then.
        for (wanted, is_answered) in [(0_u32, false), (1, false), (2, true)] {
            let left = Cell::new(wanted);
            let is_wanted = || left.replace(left.get().saturating_sub(1)) > 0;
            let answer = attention(&mut model, &question, is_wanted);
            assert_eq!(answer.is_some(), is_answered, "{wanted}: {answer:?}");
            assert!(answer.is_none_or(|answer| answer.is_ok()));
            assert!(model.is_some(), "what was opened is kept");
        }
    }

    #[test]
    fn of_many_questions_the_last_one_is_answered() {
        let question = |image: &str| Question {
            model: Asked::OfRun {
                run: PathBuf::from("no such run"),
                role: ModelRole::Care,
            },
            image: PathBuf::from(image),
            class: None,
        };
        let (questions, question_receiver) = unbounded();
        let (answer_sender, answers) = unbounded();
        for (number, image) in [(1, "a"), (2, "b"), (3, "c")] {
            questions
                .send(Some((number, question(image))))
                .expect("listens");
        }
        let (woken, wakes) = unbounded();
        let thread = std::thread::spawn(move || {
            answer_until_dropped(&question_receiver, &answer_sender, || {
                let _ = woken.send(());
            });
        });
        wakes.recv().expect("wakes");
        questions.send(None).expect("listens");
        thread.join().expect("ends");
        let answers: Vec<(u64, Answer)> = answers.try_iter().collect();
        let [(3, answer)] = &answers[..] else {
            panic!("{answers:?}")
        };
        assert_eq!(answer.question, question("c"));
        let why = answer.attention.as_ref().expect_err("there is no run");
        assert!(why.starts_with("no such run cannot be read"), "{why}");
    }
}
