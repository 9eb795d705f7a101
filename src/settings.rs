//! What the application remembers between starts: the theme and the recent projects. Nothing of it leaves the
//! machine, and losing it costs nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use care_data::{ImageId, Project, ReaderId};
use care_figures::MapStyle;
use care_learn::film::Refresh;
use serde::{Deserialize, Serialize};

use crate::keymap::Keymap;
use crate::queue::QueueView;

const MAX_RECENT: usize = 6;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub light: bool,
    pub keys: Keymap,
    /// How attention maps are drawn.
    pub map_style: MapStyle,
    /// How often the film of a run in training is renewed.
    pub refresh: Refresh,
    /// Newest first.
    pub recent: Vec<RecentProject>,
    #[serde(skip)]
    file: Option<PathBuf>,
}

/// A row of the start page, as it was when the project was last closed or left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecentProject {
    pub dir: PathBuf,
    pub num_images: usize,
    /// Rare training images that have a box, of how many.
    pub num_boxed: usize,
    pub num_rare: usize,
    /// Unix time in seconds.
    pub opened_at: i64,
    /// Up to three images, for the thumbnails.
    pub pictures: Vec<PathBuf>,
    /// What its queue showed.
    #[serde(default)]
    pub queue: QueueView,
    /// Who read apart.
    #[serde(default)]
    pub reader: Option<ReaderId>,
    /// The images that were chosen for the film.
    #[serde(default)]
    pub watch: Option<Vec<ImageId>>,
}

impl Settings {
    /// From the user's configuration folder; the defaults where there is nothing to read.
    #[must_use]
    pub fn load() -> Self {
        let file = dirs::config_dir().map(|dir| dir.join("care-studio").join("settings.json"));
        let read = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let mut settings: Self = read
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        settings.file = file;
        settings
    }

    /// Written at once. A configuration folder that cannot be written is no reason to trouble anybody.
    pub fn save(&self) {
        let Some(file) = &self.file else { return };
        let (Some(folder), Ok(json)) = (file.parent(), serde_json::to_vec_pretty(self)) else {
            return;
        };
        let _ = std::fs::create_dir_all(folder);
        // Under its name only once it is whole.
        if let Ok(mut whole) = tempfile::NamedTempFile::new_in(folder)
            && whole.write_all(&json).is_ok()
        {
            let _ = whole.persist(file);
        }
    }

    /// Puts the project first in the list.
    pub fn remember(&mut self, project: &Project, now: i64) {
        let counts = crate::state::BoxCounts::of(project);
        let (queue, reader) = self.desk(project.dir());
        let watch = self.watch(project.dir());
        self.forget(project.dir());
        self.recent.insert(
            0,
            RecentProject {
                dir: project.dir().to_owned(),
                num_images: project.images().len(),
                num_boxed: counts.boxed,
                num_rare: counts.rare,
                opened_at: now,
                pictures: project
                    .images()
                    .iter()
                    .take(3)
                    .map(|image| project.path_of(image))
                    .collect(),
                queue,
                reader,
                watch,
            },
        );
        self.recent.truncate(MAX_RECENT);
        self.save();
    }

    /// What the queue of a project showed last, and who read apart.
    #[must_use]
    pub fn desk(&self, dir: &Path) -> (QueueView, Option<ReaderId>) {
        let row = self.recent.iter().find(|recent| recent.dir == dir);
        row.map(|row| (row.queue.clone(), row.reader))
            .unwrap_or_default()
    }

    /// Keeps what the queue of a project shows, and who reads apart.
    pub fn set_desk(&mut self, dir: &Path, queue: &QueueView, reader: Option<ReaderId>) {
        let row = self.recent.iter_mut().find(|recent| recent.dir == dir);
        if let Some(row) = row {
            let kept = QueueView {
                text: String::new(),
                ..queue.clone()
            };
            if (&row.queue, row.reader) != (&kept, reader) {
                (row.queue, row.reader) = (kept, reader);
                self.save();
            }
        }
    }

    /// The images of a project that were chosen for the film.
    #[must_use]
    pub fn watch(&self, dir: &Path) -> Option<Vec<ImageId>> {
        let row = self.recent.iter().find(|recent| recent.dir == dir)?;
        row.watch.clone()
    }

    pub fn set_watch(&mut self, dir: &Path, watch: Option<&[ImageId]>) {
        let row = self.recent.iter_mut().find(|recent| recent.dir == dir);
        if let Some(row) = row {
            row.watch = watch.map(<[ImageId]>::to_vec);
            self.save();
        }
    }

    pub fn forget(&mut self, dir: &Path) {
        self.recent.retain(|recent| recent.dir != dir);
    }
}
