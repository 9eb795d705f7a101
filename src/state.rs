//! What the window shows. Panels read it; only [`crate::dispatch`] changes it.

use std::thread::JoinHandle;
use std::time::Duration;

use care_data::{Image, ImageId, Part, Project, ReaderId, ReviewState, RunId};
use care_learn::RunConfig;
use care_learn::worker::Worker;

use crate::attention::Attention;
use crate::background::Later;
use crate::command::{Command, Room};
use crate::comparison::{Coming, OtherRun};
use crate::dialog::FolderDialog;
use crate::jobs::{ExportDraft, Job, Offer};
use crate::lens::Lens;
use crate::missing::Missing;
use crate::proof::Proof;
use crate::queue::QueueView;
use crate::settings::Settings;
use crate::story::Story;
use crate::suggestion::Suggestion;
use crate::take_away::TakeAway;
use crate::training::{TrainingRun, first_config};

/// An error beside what it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What could not be done, in a few words.
    pub title: String,
    /// The file, what is wrong with it and what to do.
    pub text: String,
}

impl Problem {
    pub const NOT_SAVED: &str = "This edit could not be saved";

    pub fn new(title: impl Into<String>, text: impl ToString) -> Self {
        Self {
            title: title.into(),
            text: text.to_string(),
        }
    }
}

/// A command, and what it would lose.
pub struct Asked {
    pub command: Command,
    pub loss: Loss,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It ends before it is tested.
    Run(RunId),
    /// What a person did in the story's own project.
    Work,
}

pub struct State {
    pub settings: Settings,
    pub project: Option<Project>,
    pub room: Room,
    /// None until an image is chosen; each room then begins with one of its own.
    pub selected: Option<ImageId>,
    /// Who reads apart from the others just now; `None` works on the project's own boxes.
    pub reader: Option<ReaderId>,
    pub queue: QueueView,
    /// How long the window waits with a frame that only a run in training asks for.
    pub rest: Duration,
    pub attention: Attention,
    pub suggestion: Option<Suggestion>,
    pub lens: Lens,
    pub missing: Missing,
    /// What is about to be exported.
    pub export: Option<ExportDraft>,
    /// What is about to be taken away of the run.
    pub take_away: Option<TakeAway>,
    /// The run shown in Train and Compare: the one in training, else the newest or the one chosen.
    pub run: Option<TrainingRun>,
    /// A model of another run, beside those of `run` in Compare.
    pub other: Option<OtherRun>,
    /// The one that is to stand there, while it is read.
    pub coming: Option<Coming>,
    /// Deleted runs' files being removed for good.
    pub emptying: Option<Later<std::io::Result<()>>>,
    /// What the network saw of an image, while that is shown.
    pub proof: Option<Proof>,
    /// The images that were chosen for the film; none where they are picked.
    pub watch: Option<Vec<ImageId>>,
    /// An earlier run whose curves are drawn behind those of the one shown.
    pub behind: Option<TrainingRun>,
    /// The thread that trains, while it does.
    pub worker: Option<Worker>,
    /// The settings of the next run. Its `live` part is also what the run in training trains with.
    pub draft: RunConfig,
    pub job: Option<Job>,
    pub dialog: Option<FolderDialog>,
    /// What a folder would bring.
    pub offer: Option<Offer>,
    /// What would lose something, and waits for a yes.
    pub asked: Option<Asked>,
    /// Threads of runs that were left: they save their checkpoints before the program ends.
    pub leaving: Vec<JoinHandle<()>>,
    /// The last thing that happened, for the status bar.
    pub last_event: String,
    /// The last thing that went wrong, until it is dismissed.
    pub problem: Option<Problem>,
    /// The demo that shows itself, also after a person has taken over.
    pub story: Option<Story>,
    pub show_keys: bool,
    /// The list of commands is open.
    pub find_command: bool,
    /// What a run would train on: "CPU" or "GPU".
    pub device: String,
    counts: Option<(u64, BoxCounts)>,
}

impl State {
    #[must_use]
    pub fn new(settings: Settings, device: String) -> Self {
        Self {
            settings,
            project: None,
            room: Room::Images,
            selected: None,
            reader: None,
            queue: QueueView::default(),
            rest: Duration::ZERO,
            attention: Attention::default(),
            suggestion: None,
            lens: Lens::default(),
            missing: Missing::default(),
            export: None,
            take_away: None,
            run: None,
            other: None,
            coming: None,
            emptying: None,
            proof: None,
            watch: None,
            behind: None,
            worker: None,
            draft: RunConfig::default(),
            job: None,
            dialog: None,
            offer: None,
            asked: None,
            leaving: Vec::new(),
            last_event: String::new(),
            problem: None,
            story: None,
            show_keys: false,
            find_command: false,
            device,
            counts: None,
        }
    }

    /// How far annotation has come; counted anew only where the project has changed.
    pub fn counts(&mut self) -> BoxCounts {
        let Some(project) = &self.project else {
            return BoxCounts::default();
        };
        match self.counts {
            Some((revision, counts)) if revision == project.revision() => counts,
            _ => {
                let counts = BoxCounts::of(project);
                self.counts = Some((project.revision(), counts));
                counts
            }
        }
    }

    /// Shows this project, or the start page. What was being read for the one before is no longer wanted.
    pub fn show(&mut self, project: Option<Project>) {
        self.worker = None;
        self.job = None;
        self.offer = None;
        self.run = None;
        self.other = None;
        self.coming = None;
        self.proof = None;
        self.behind = None;
        self.counts = None;
        self.draft = project.as_ref().map(first_config).unwrap_or_default();
        self.room = Room::Images;
        self.selected = None;
        let desk = project.as_ref().map(|it| self.settings.desk(it.dir()));
        let (queue, reader) = desk.unwrap_or_default();
        self.queue = queue;
        self.watch = project
            .as_ref()
            .and_then(|it| self.settings.watch(it.dir()));
        let is_there = |id: &ReaderId| project.as_ref().is_some_and(|it| it.reader(*id).is_some());
        self.reader = reader.filter(is_there);
        self.attention.leave();
        self.suggestion = None;
        self.lens.leave();
        self.missing = Missing::default();
        self.export = None;
        self.take_away = None;
        self.project = project;
        // Last: its folder goes with it.
        let dir = self.project.as_ref().map(Project::dir);
        self.story = (self.story.take()).filter(|story| dir.is_some_and(|dir| story.owns(dir)));
    }

    /// Whether the last edit could not be saved.
    #[must_use]
    pub fn edit_was_lost(&self) -> bool {
        self.problem
            .as_ref()
            .is_some_and(|problem| problem.title == Problem::NOT_SAVED)
    }

    /// Whether the open project is the story's own, which goes with the window.
    #[must_use]
    pub fn is_of_the_story(&self) -> bool {
        let owns = |project: &Project| self.story.as_ref().is_some_and(|it| it.owns(project.dir()));
        self.project.as_ref().is_some_and(owns)
    }

    #[must_use]
    pub fn is_training(&self) -> bool {
        self.worker.is_some()
    }
}

/// Whether an image is asked for a box: a training image of a rare class.
#[must_use]
pub fn wants_box(project: &Project, image: &Image) -> bool {
    image.part == Part::Train && project.class(image.class).is_some_and(|class| class.rare)
}

/// Whether such an image still needs one.
#[must_use]
pub fn needs_box(project: &Project, image: &Image) -> bool {
    wants_box(project, image) && is_to_do(project, None, image.id)
}

/// Whether nothing was done for an image yet, by a reader or for the project: no box, and nobody said that it needs none or
/// a second look.
#[must_use]
pub fn is_to_do(project: &Project, reader: Option<ReaderId>, image: ImageId) -> bool {
    project.review(reader, image).state == ReviewState::ToDo
        && project.boxes_of(reader, image).is_empty()
}

/// How far annotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BoxCounts {
    /// Training images of rare classes.
    pub rare: usize,
    /// Those that have a box.
    pub boxed: usize,
    /// Those that still need one: no box, and not marked as done without one.
    pub to_do: usize,
    /// Those that a person was not sure of.
    pub second_look: usize,
}

impl BoxCounts {
    #[must_use]
    pub fn of(project: &Project) -> Self {
        let mut counts = Self::default();
        for image in project
            .images()
            .iter()
            .filter(|image| wants_box(project, image))
        {
            counts.rare += 1;
            counts.boxed += usize::from(!project.boxes(image.id).is_empty());
            counts.to_do += usize::from(is_to_do(project, None, image.id));
            let state = project.review(None, image.id).state;
            counts.second_look += usize::from(state == ReviewState::SecondLook);
        }
        counts
    }
}
