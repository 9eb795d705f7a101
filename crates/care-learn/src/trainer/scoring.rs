//! What the models make of the watch list, of the validation part and, at the end, of the test part.

use std::time::{Duration, Instant};

use care_data::Part;

use super::failure::TrainError;
use super::learner::Learner;
use super::{COUNT_EVERY, Flow, PAUSE_TICK, Session, go_on, in_part};
use crate::config::KeyMetric;
use crate::event::{EpochMetrics, FilmFrame, ImageAttention, ModelRole, Results, TrainerEvent};
use crate::metrics::{argmax, rare_difference, score, summarise};

/// What a model made of the validation part.
struct Seen {
    predicted: Vec<usize>,
    /// Mean over the images with boxes, where the maps were computed.
    energy: Option<f64>,
}

impl Session<'_> {
    /// The watch list seen by each model: reported, and kept in the film.
    pub(super) fn refresh_film(&mut self, learners: &[Learner], always: bool) {
        if self.watch.is_empty() {
            return;
        }
        let begun = Instant::now();
        let (step, epoch) = (self.step, self.epoch());
        let Self {
            viewer,
            data,
            targets,
            watch,
            host,
            ..
        } = self;
        let frames: Vec<FilmFrame> = learners
            .iter()
            .filter_map(|learner| {
                let images = viewer.look(&learner.network, data, targets, watch, |_| {
                    host.tick();
                    true
                })?;
                Some(FilmFrame {
                    role: learner.role,
                    step,
                    epoch,
                    images,
                })
            })
            .collect();
        self.show(frames, begun.elapsed(), always);
    }

    /// Control and CARE begin as what stage 1 ended with, so its last maps are their first.
    pub(super) fn begin_pair(&mut self) {
        let last = self.film.film().frames.last();
        let Some(last) = last.filter(|last| last.role == ModelRole::Before) else {
            return;
        };
        let as_role = |role| FilmFrame {
            role,
            ..last.clone()
        };
        let frames = vec![as_role(ModelRole::Control), as_role(ModelRole::Care)];
        self.show(frames, Duration::ZERO, true);
    }

    fn show(&mut self, frames: Vec<FilmFrame>, cost: Duration, always: bool) {
        let trained = self.pace.trained();
        self.film.push(&frames, cost, trained, always);
        for frame in frames {
            self.host.report(TrainerEvent::Film(frame));
        }
    }

    /// Scores the models on the validation part, and ends the stage where it is time: its number of steps is then that of the steps
    /// done. Where the host wants to stop before the models are scored, the epoch has not ended.
    pub(super) fn end_epoch(&mut self, learners: &mut [Learner]) -> Result<Flow, TrainError> {
        let mut validation: Vec<usize> = in_part(&self.samples, Part::Validation).collect();
        if !self.wait_for(&validation) {
            return Ok(Flow::Stopped);
        }
        validation.retain(|image| self.data.is_readable(*image));
        let labels: Vec<usize> = validation.iter().map(|i| self.targets[*i].label).collect();
        let mut all_seen = Vec::with_capacity(learners.len());
        for learner in &*learners {
            let Some(seen) = self.validate(learner, &validation) else {
                return Ok(Flow::Stopped);
            };
            all_seen.push(seen);
        }

        self.epochs_done += 1;
        let stage = &mut self.stage;
        // Of the step that was the last.
        let learning_rate = stage.rate.at(stage.step - 1, stage.num_steps);
        let losses = learners.iter().map(|learner| learner.epoch.total());
        let falls = stage.falling.iter_mut().zip(losses);
        let progress = falls.fold(false, |any, (falling, loss)| falling.falls_to(loss) | any);
        stage.rate.epoch_ended(progress);
        let is_last = stage.step == stage.num_steps
            || (stage.number == 1 && stage.plateau.ends_with(progress));
        if is_last || self.film.is_due(self.pace.trained()) {
            self.refresh_film(learners, is_last);
        }
        let any_best = self.record_epoch(learners, &labels, &all_seen, learning_rate)?;
        let early_stop = self.task.config.early_stop;
        let is_early = early_stop > 0 && self.stage.early_stop.ends_with(any_best);
        if !is_last && !is_early {
            return Ok(Flow::Done);
        }
        self.stage.num_steps = self.stage.step;
        if self.stage.number == 2 && self.hold()? == Flow::Stopped {
            return Ok(Flow::Stopped);
        }
        self.take_more_epochs();
        self.stage_steps[usize::from(self.stage.number) - 1] = self.stage.num_steps;
        Ok(Flow::Done)
    }

    /// Says whether any model is at its best by the key metric.
    fn record_epoch(
        &mut self,
        learners: &mut [Learner],
        labels: &[usize],
        all_seen: &[Seen],
        learning_rate: f64,
    ) -> Result<bool, TrainError> {
        let mut any_best = false;
        for (learner, seen) in learners.iter_mut().zip(all_seen) {
            let score = score(labels, &seen.predicted, &self.task.rare());
            let metric = match self.task.config.key_metric {
                KeyMetric::None => None,
                KeyMetric::Mca => score.mca,
                KeyMetric::RareRecall => score.rare_recall,
                KeyMetric::Energy => seen.energy,
            };
            any_best |= match metric {
                Some(metric) => learner.keep_if_best(metric as f32, self.epochs_done)?,
                // What cannot be measured ends no stage.
                None => true,
            };
            let epoch = std::mem::take(&mut learner.epoch);
            let attention = epoch.attention();
            let (watched_energy, watched_hits) = self.film.scores(learner.role);
            let metrics = EpochMetrics {
                role: learner.role,
                epoch: self.epochs_done,
                stage: self.stage.number,
                classification: epoch.classification(),
                attention: attention.map(|a| a.l_a),
                watched_energy,
                rare_recall: score.rare_recall.map(|recall| recall as f32),
                num_rare: score.num_rare as u32,
                mca: score.mca.map(|mca| mca as f32),
                num_validation: labels.len() as u32,
                skipped: epoch.skipped,
                l_in: attention.map(|a| a.l_in),
                l_out: attention.map(|a| a.l_out),
                total: Some(epoch.total()),
                watched_hits,
                learning_rate: Some(learning_rate),
            };
            self.writer.epoch(&metrics)?;
            self.host.report(TrainerEvent::Epoch(metrics));
        }
        Ok(any_best)
    }

    /// One model on these images; none where the host wants to stop.
    fn validate(&mut self, learner: &Learner, images: &[usize]) -> Option<Seen> {
        let Self {
            viewer,
            data,
            targets,
            host,
            ..
        } = self;
        let network = &learner.network;
        if self.task.config.key_metric != KeyMetric::Energy {
            let predicted = viewer.predict(network, data, images, || go_on(*host))?;
            return Some(Seen {
                predicted,
                energy: None,
            });
        }
        // Maps are computed only where they are asked for.
        let seen = viewer.look(network, data, targets, images, |_| go_on(*host))?;
        // A flat map has nothing in the box.
        let energies: Vec<f64> = images
            .iter()
            .zip(&seen)
            .filter(|(image, _)| !targets[**image].raster.is_empty())
            .map(|(_, seen)| seen.energy.map_or(0.0, f64::from))
            .collect();
        Some(Seen {
            predicted: seen.iter().map(|i| argmax(&i.probabilities)).collect(),
            energy: (!energies.is_empty())
                .then(|| energies.iter().sum::<f64>() / energies.len() as f64),
        })
    }

    /// Waits with the test where that was asked for, until more epochs are wanted or the test is.
    pub(super) fn hold(&mut self) -> Result<Flow, TrainError> {
        let planned = self.more_epochs;
        // What was asked for during the last step counts.
        let mut flow = self.attend_to_host()?;
        while self.holds && self.more_epochs == planned && flow == Flow::Done {
            if !self.held {
                self.held = true;
                self.host.report(TrainerEvent::Held);
            }
            std::thread::sleep(PAUSE_TICK);
            self.pace.rest();
            flow = self.attend_to_host()?;
        }
        self.held = false;
        Ok(flow)
    }

    /// Scores the models on the test part; none where nobody waits for it any more.
    pub(super) fn evaluate(
        &mut self,
        learners: &[Learner],
        flow: Flow,
    ) -> Result<Option<Results>, TrainError> {
        let mut test: Vec<usize> = in_part(&self.samples, Part::Test).collect();
        // Whoever stopped the run does not want to wait for images that it no longer needs.
        let needed = match flow {
            Flow::Done => (0..self.samples.len()).collect(),
            Flow::Stopped => test.clone(),
        };
        let Self {
            data,
            host,
            loading,
            ..
        } = self;
        let waited = data.wait_for(&needed, || {
            loading.report(*host, data);
            host.tick();
            !host.abandoned()
        });
        if !waited {
            return Ok(None);
        }
        self.loading.report(self.host, &self.data);
        test.retain(|image| self.data.is_readable(*image));
        let labels: Vec<usize> = test.iter().map(|i| self.targets[*i].label).collect();
        let rare = self.task.rare();
        let mut seen: Vec<(ModelRole, Vec<ImageAttention>)> = Vec::with_capacity(learners.len());
        for learner in learners {
            let host = &mut *self.host;
            let mut reported_at: Option<Instant> = None;
            let go_on = |done| {
                if reported_at.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
                    host.report(TrainerEvent::Evaluating {
                        role: learner.role,
                        done,
                        total: test.len(),
                    });
                    reported_at = Some(Instant::now());
                }
                host.tick();
                !host.abandoned()
            };
            let images =
                self.viewer
                    .look(&learner.network, &self.data, &self.targets, &test, go_on);
            match images {
                Some(images) => seen.push((learner.role, images)),
                None => return Ok(None),
            }
        }
        let seed = self.task.config.seed;
        let summaries = seen
            .iter()
            .map(|(role, images)| (*role, summarise(&labels, images, &rare, seed)))
            .collect();
        let of = |role| {
            seen.iter()
                .find(|(r, _)| *r == role)
                .map(|(_, images)| images)
        };
        let rare_difference = of(ModelRole::Control)
            .zip(of(ModelRole::Care))
            .and_then(|(control, care)| rare_difference(&labels, control, care, &rare));
        let results = Results {
            seconds: self.seconds(),
            summaries,
            rare_difference,
            kept: self.kept.clone(),
        };
        self.writer.test_attention(&seen)?;
        self.writer.results(&results)?;
        Ok(Some(results))
    }
}
