//! `bench`: how long steps, epochs and reading take on this machine; beside PyTorch where a peer is given. Both sides
//! alternate within one run, so that a noisy machine disturbs them alike.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use care_data::{ImageSize, Look, decode};
use care_learn::RunConfig;
use care_learn::benchmark::{Steps, epochs};
use care_learn::device::{leave_a_core, pick_device};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::output::{self, Progress};
use super::request::Bench;

/// Steps of each kind in a round.
const STEPS: usize = 3;
/// The network's input in pixels a side.
const INPUT: u32 = 224;
/// One image in so many has boxes, as where one of the classes in a batch is rare.
const BOXED: usize = 4;
/// Photographs as a dermatoscope's data set has them.
const PHOTOGRAPHS: u32 = 160;
const PHOTOGRAPH: ImageSize = ImageSize::new(600, 450);
const EPOCHS: u32 = 3;

/// One line of the result.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    /// Medians over the rounds.
    studio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<f64>,
    /// How many times as fast CARE Studio is, or for a step with attention its time over a plain one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    note: &'static str,
}

/// The two sides of a row, each with a measurement for every round.
#[derive(Default)]
struct Pair {
    studio: Vec<f64>,
    other: Vec<f64>,
}

pub fn bench(request: &Bench) -> Result<()> {
    let progress = Progress::new();
    // Before anything else of libtorch.
    let device = pick_device(None)?;
    let threads = leave_a_core();
    let mut peer = request.peer.as_deref().map(Peer::start).transpose()?;
    let mut rows = Vec::new();
    for backbone in &request.backbones {
        let config = RunConfig {
            backbone: *backbone,
            input_size: INPUT,
            ..RunConfig::default()
        };
        let mut steps = Steps::new(config, request.batch, request.batch.div_ceil(BOXED), device)?;
        let [mut plain, mut care, mut authors] = [(); 3].map(|()| Pair::default());
        // The first round warms up.
        for round in 0..=request.rounds {
            let text = format!("{} round {round} of {}", backbone.name(), request.rounds);
            progress.show(round as u64, request.rounds as u64, &text);
            let ours = (median(steps.plain(STEPS)?), median(steps.care(STEPS)?));
            let mut theirs = |measure: &str| {
                let request = json!({
                    "measure": measure, "backbone": backbone.name(), "batch": request.batch, "size": INPUT,
                    "threads": threads, "channels_last": true, "optimizer": "fused", "steps": STEPS, "warmup": 0,
                    "device": if device.is_cuda() { "cuda" } else { "cpu" },
                    "boxed": request.batch.div_ceil(BOXED),
                });
                peer.as_mut().map(|peer| peer.seconds(&request)).transpose()
            };
            let (their_plain, their_authors) = (theirs("plain")?, theirs("authors")?);
            if round > 0 {
                plain.studio.push(ours.0);
                care.studio.push(ours.1 / ours.0);
                authors.studio.push(ours.1);
                plain.other.extend(their_plain.map(median));
                authors.other.extend(their_authors.map(median));
            }
        }
        let per_image = 1e3 / request.batch as f64;
        let name = backbone.name();
        rows.push(plain.row(
            &format!("{name}, plain step"),
            "ms an image",
            per_image,
            "PyTorch, fused Adam",
        ));
        rows.push(Row {
            what: format!("{name}, CARE step over plain"),
            unit: "times",
            studio: median(care.studio),
            other: None,
            ratio: None,
            note: "a quarter of the images with boxes",
        });
        rows.push(authors.row(
            &format!("{name}, CARE step"),
            "ms an image",
            per_image,
            "PyTorch, as the paper's authors do it",
        ));
    }
    let on_gpu = device.is_cuda();
    rows.extend(from_files(
        request,
        peer.as_mut(),
        threads,
        on_gpu,
        &progress,
    )?);
    drop(progress);
    if request.json {
        return output::json(&json!({
            "threads": threads, "batch": request.batch, "input": INPUT, "rounds": request.rounds, "rows": rows,
        }));
    }
    let number = |value: Option<f64>| value.map_or("\u{2013}".to_owned(), |v| format!("{v:.2}"));
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.what.clone(),
                format!("{:.2}", row.studio),
                number(row.other),
                number(row.ratio),
                row.unit.to_owned(),
                row.note.to_owned(),
            ]
        })
        .collect();
    output::table(
        &["median", "CARE Studio", "other", "ratio", "unit", "note"],
        &cells,
    )
}

impl Pair {
    /// Of times, in `factor` of a second; the ratio says how many times as fast CARE Studio is.
    fn row(self, what: &str, unit: &'static str, factor: f64, note: &'static str) -> Row {
        let studio = median(self.studio) * factor;
        let other = (!self.other.is_empty()).then(|| median(self.other) * factor);
        Row {
            what: what.to_owned(),
            unit,
            studio,
            other,
            ratio: other.map(|other| other / studio),
            note,
        }
    }
}

/// Whole epochs from JPEG files, and reading alone.
fn from_files(
    request: &Bench,
    mut peer: Option<&mut Peer>,
    threads: usize,
    on_gpu: bool,
    progress: &Progress,
) -> Result<Vec<Row>> {
    // Of two classes.
    let batch = request.batch / 2 * 2;
    let dir = tempfile::tempdir().context("there is no room for temporary files")?;
    let folder = dir.path().join("images");
    let files = photographs(&folder)?;
    let input = ImageSize::new(INPUT, INPUT);

    let mut reading = Pair::default();
    for round in 0..=request.rounds {
        let text = format!("reading, round {round} of {}", request.rounds);
        progress.show(round as u64, request.rounds as u64, &text);
        let begun = Instant::now();
        for (path, _) in &files {
            decode::decode_resized(path, &Look::default(), input).map_err(|e| anyhow!("{e}"))?;
        }
        let ours = begun.elapsed().as_secs_f64();
        let asked = json!({ "measure": "input", "folder": folder, "size": INPUT, "threads": 1, "steps": 1, "warmup": 0 });
        let theirs = peer.as_mut().map(|p| p.seconds(&asked)).transpose()?;
        if round > 0 {
            reading.studio.push(ours);
            reading.other.extend(theirs.map(median));
        }
    }
    let per_image = 1e3 / f64::from(PHOTOGRAPHS);
    let mut rows = vec![reading.row(
        "JPEG of 600 x 450 to 224 x 224, one thread",
        "ms an image",
        per_image,
        "Pillow and torchvision",
    )];

    if let Some(backbone) = request.backbones.first() {
        progress.show(0, 1, &format!("{} epochs from files", backbone.name()));
        let config = RunConfig {
            backbone: *backbone,
            input_size: INPUT,
            stage1_epochs: EPOCHS,
            images_per_class: batch / 2,
            ..RunConfig::default()
        };
        let ours = epochs(config, &files, dir.path().join("run"))?;
        let asked = json!({
            "measure": "epoch", "backbone": backbone.name(), "folder": folder, "batch": batch, "size": INPUT,
            "threads": threads, "channels_last": true, "optimizer": "fused", "epochs": EPOCHS, "workers": 2,
            "device": if on_gpu { "cuda" } else { "cpu" },
        });
        let theirs = peer.as_mut().map(|p| p.seconds(&asked)).transpose()?;
        let of = |seconds: &[f64], first: bool| match (first, seconds) {
            (true, [first, ..]) => *first,
            (_, [_, later @ ..]) => median(later.to_vec()),
            _ => f64::NAN,
        };
        for (name, first) in [("first epoch", true), ("later epochs", false)] {
            let pair = Pair {
                studio: vec![of(&ours, first)],
                other: theirs.iter().map(|theirs| of(theirs, first)).collect(),
            };
            rows.push(pair.row(
                &format!("{}, {name} from JPEG files", backbone.name()),
                "ms an image",
                per_image,
                "PyTorch and its DataLoader",
            ));
        }
    }
    Ok(rows)
}

/// Smooth colours with grain, about as hard to decode as skin, in two folders as torchvision reads classes.
fn photographs(folder: &Path) -> Result<Vec<(PathBuf, ImageSize)>> {
    (0..PHOTOGRAPHS)
        .map(|i| {
            let class = folder.join(["common", "rare"][(i % 2) as usize]);
            std::fs::create_dir_all(&class)?;
            let mut noise = 0x9e37_79b9u32.wrapping_mul(i + 1);
            let image = image::RgbImage::from_fn(PHOTOGRAPH.width, PHOTOGRAPH.height, |x, y| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let grain = (noise >> 28) as u8;
                let wave = |v: u32, by: f32| ((v as f32 / by).sin() * 40.0 + 40.0) as u8;
                let shade = wave(x + i, 70.0) + wave(y, 50.0);
                image::Rgb([
                    90 + shade / 2 + grain,
                    60 + shade / 2 + grain,
                    50 + shade / 3 + grain,
                ])
            });
            let path = class.join(format!("{i:04}.jpg"));
            let file = std::io::BufWriter::new(std::fs::File::create(&path)?);
            image::codecs::jpeg::JpegEncoder::new_with_quality(file, 90).encode_image(&image)?;
            Ok((path, PHOTOGRAPH))
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// PyTorch in a process of its own, asked by a JSON line and answering by one (`scripts/benchmark/peer.py`).
struct Peer {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seconds: Vec<f64>,
    #[serde(default)]
    error: Option<String>,
}

impl Peer {
    fn start(script: &Path) -> Result<Self> {
        let mut process = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("python3 cannot be started")?;
        let (asks, answers) = process
            .stdin
            .take()
            .zip(process.stdout.take())
            .context("python3 cannot be spoken to")?;
        Ok(Self {
            process,
            asks,
            answers: BufReader::new(answers),
        })
    }

    fn seconds(&mut self, request: &serde_json::Value) -> Result<Vec<f64>> {
        writeln!(self.asks, "{request}").context("the peer has ended")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Answer = serde_json::from_str(&line)
            .with_context(|| format!("the peer answered \"{}\"", line.trim()))?;
        match answer.error {
            Some(error) => bail!("the peer failed: {error}"),
            None => Ok(answer.seconds),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It has no state worth an orderly end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
