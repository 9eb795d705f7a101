//! The demo without a project: generate, train, and say what CARE changed. For trying settings over several seeds.
//!
//!     cargo run -p care-learn --example demo -- 0 1 2 --set learning_rate=0.001
#![allow(clippy::print_stdout, reason = "an executable")]

use std::error::Error;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use care_data::{ClassId, ImageId, Part, synthetic};
use care_learn::event::{ModelRole, Outcome, TrainerEvent};
use care_learn::metrics::Summary;
use care_learn::task::{Sample, TaskClass};
use care_learn::trainer::{Host, train};
use care_learn::{RunConfig, Task, TrainerCommand};

type Measure = fn(&Summary) -> f64;

struct Console {
    verbose: bool,
}

impl Host for Console {
    fn report(&mut self, event: TrainerEvent) {
        if let (true, TrainerEvent::Epoch(e)) = (self.verbose, &event) {
            println!(
                "  {:>7} epoch {:>2}: L_c {:.3}, L_a {:>6.3?}, watched energy {:.2?}, validation rare {:.2?}, MCA {:.2?}",
                e.role.name(),
                e.epoch,
                e.classification,
                e.attention,
                e.watched_energy,
                e.rare_recall,
                e.mca
            );
        }
    }

    fn commands(&mut self) -> Vec<TrainerCommand> {
        Vec::new()
    }

    fn stop_requested(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut seeds = Vec::new();
    let mut config = RunConfig::demo();
    let mut verbose = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--set" => config = config.with(&arguments.next().unwrap_or_default())?,
            "--verbose" => verbose = true,
            seed => seeds.push(seed.parse::<u64>()?),
        }
    }
    let mut gains = Vec::new();
    for seed in seeds {
        let begun = Instant::now();
        let dir = tempfile::tempdir()?;
        let task = task(
            dir.path(),
            RunConfig {
                seed,
                ..config.clone()
            },
        )?;
        let generated = begun.elapsed().as_secs_f32();
        match train(&task, &mut Console { verbose }) {
            Outcome::Finished(results) => {
                let value = |role, of: Measure| results.summary(role).map_or(f64::NAN, of);
                let measures: [(&str, Measure); 4] = [
                    ("rare recall", |s| {
                        s.rare_recall.map_or(f64::NAN, |e| e.value)
                    }),
                    ("MCA", |s| s.mca.map_or(f64::NAN, |e| e.value)),
                    ("energy", |s| s.energy.map_or(f64::NAN, |e| e.value)),
                    ("hit", |s| s.pointing_hit.map_or(f64::NAN, |e| e.value)),
                ];
                let of_all = measures.map(|(name, of)| {
                    let [before, control, care] = ModelRole::ALL.map(|role| value(role, of));
                    format!("{name} {before:.2} {control:.2} {care:.2}")
                });
                gains.push(
                    measures
                        .map(|(_, of)| value(ModelRole::Care, of) - value(ModelRole::Control, of)),
                );
                println!(
                    "seed {seed}: {}; {generated:.1} s + {:.1} s",
                    of_all.join(", "),
                    begun.elapsed().as_secs_f32() - generated
                );
            }
            other => println!("seed {seed}: {other:?}"),
        }
    }
    let medians = [0, 1, 2, 3].map(|i| {
        let mut of_measure: Vec<f64> = gains.iter().map(|g| g[i]).collect();
        of_measure.sort_by(f64::total_cmp);
        of_measure
            .get(of_measure.len() / 2)
            .copied()
            .unwrap_or(f64::NAN)
    });
    println!("median gain of CARE over control: rare recall, MCA, energy, hit {medians:.2?}");
    Ok(())
}

/// The demo's images as a task, as the project would give it.
fn task(dir: &std::path::Path, config: RunConfig) -> Result<Task, Box<dyn Error>> {
    let import = synthetic::generate(
        &dir.join("images"),
        config.seed,
        &|_, _| {},
        &AtomicBool::new(false),
    )?;
    let mut names: Vec<String> = Vec::new();
    let mut samples = Vec::with_capacity(import.images.len());
    for (i, image) in import.images.into_iter().enumerate() {
        let label = names
            .iter()
            .position(|n| *n == image.class)
            .unwrap_or_else(|| {
                names.push(image.class.clone());
                names.len() - 1
            });
        let part = image.part.ok_or("the generator says which part")?;
        let rare = image.class == synthetic::RARE_CLASS;
        // Boxes on the rare class for training, on every image for scoring: as the demo's project has them.
        let boxes = if rare || part != Part::Train {
            image.boxes
        } else {
            Vec::new()
        };
        samples.push(Sample {
            image: ImageId(i as i64 + 1),
            path: image.path,
            size: image.size,
            label,
            part,
            boxes,
        });
    }
    let watch = samples
        .iter()
        .filter(|s| s.part == Part::Test && names[s.label] == synthetic::RARE_CLASS)
        .take(6)
        .map(|s| s.image)
        .collect();
    let classes = names
        .into_iter()
        .enumerate()
        .map(|(i, name)| TaskClass {
            id: ClassId(i as i64 + 1),
            rare: name == synthetic::RARE_CLASS,
            name,
        })
        .collect();
    Ok(Task {
        config,
        classes,
        samples,
        watch,
        folder: dir.join("run"),
    })
}
