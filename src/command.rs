//! Everything the window can be asked to do. Panels send commands; [`crate::dispatch`] carries them out.

use std::path::PathBuf;

use care_data::import::Format;
use care_data::synthetic::Demo;
use care_data::{Edit, ImageId, ReaderId, RunId};
use care_figures::MapStyle;
use care_learn::film::Refresh;
use care_learn::{LiveParams, ModelRole, RunConfig};
use egui::{Key, KeyboardShortcut, Modifiers};

use crate::jobs::ExportDraft;
use crate::keymap::Keymap;
use crate::lens;
use crate::queue::QueueView;
use crate::suggestion::Source;
use crate::take_away::{TakeAway, What};

/// The four rooms, in the order of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Room {
    Images,
    Annotate,
    Train,
    Compare,
}

impl Room {
    pub const ALL: [Self; 4] = [Self::Images, Self::Annotate, Self::Train, Self::Compare];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "Images",
            Self::Annotate => "Annotate",
            Self::Train => "Train",
            Self::Compare => "Compare",
        }
    }
}

/// What a panel asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Action(Action),
    Go(Room),
    /// Opens a demo's project, which is made where there is none.
    OpenDemo(Demo),
    /// The demo that shows itself, from the beginning.
    PlayStory(Demo),
    /// A person goes on where the story is.
    TakeOver,
    /// Opens `NAME.care`.
    OpenProject(PathBuf),
    /// Reads a folder (or a table) into the open project, or into a new project beside the folder.
    ReadFolder(PathBuf),
    /// As [`ReadFolder`](Self::ReadFolder), as a data set of this format.
    ReadAs(PathBuf, Format),
    /// Whether what a folder would bring is to come in.
    Offered(bool),
    /// A typed or dropped path: a project is opened, anything else is read.
    OpenPath(PathBuf),
    Edit(Edit),
    /// From now on the boxes of this reader are drawn and seen in Annotate; `None` for the project's own.
    Read(Option<ReaderId>),
    SetQueue(QueueView),
    /// Suggests a box for the image in hand, from this source where it is there; where one was suggested already, from
    /// the other source.
    Suggest(Source),
    /// Takes the suggested box away.
    DropSuggestion,
    /// Whose attention is to lie over the image in hand, and how.
    SetLens(lens::View),
    Select(ImageId),
    /// Selects the image and goes to Annotate.
    Annotate(ImageId),
    /// Sets the settings of the next run; [`Action::Train`] starts it.
    SetDraft(RunConfig),
    /// Settings of the attention loss; a training run takes them at its next step.
    SetLive(LiveParams),
    /// The film shows these held-out images, in this order, now and in runs to come; none has them picked.
    SetWatch(Option<Vec<ImageId>>),
    /// How often the film is renewed, now and in runs to come.
    SetRefresh(Refresh),
    /// Whether the run in training waits after its last epoch, before it is tested.
    HoldBeforeTest(bool),
    /// Draws the curves of this run behind those of the one shown.
    DrawBehind(Option<RunId>),
    /// Shows a finished run in Train and Compare.
    ShowRun(RunId),
    /// Has a run that was stopped, or failed, go on where it was.
    GoOn(RunId),
    /// Puts a model of another run beside those of the one shown; none takes it away.
    CompareWith(Option<(RunId, ModelRole)>),
    /// Shows what the network saw of an image; with a number as a training step may show it, changed at random.
    Prove(ImageId, Option<u64>),
    /// Puts that away.
    EndProof,
    /// Removes the files of deleted runs for good.
    EmptyTrash,
    /// From now on these keys hold.
    SetKeys(Keymap),
    /// From now on attention maps are drawn like this.
    SetMapStyle(MapStyle),
    /// Takes a project out of the list of recent ones; the project itself stays as it is.
    Forget(PathBuf),
    SetExport(ExportDraft),
    /// Asks the system for another folder to export into.
    ChooseExportFolder,
    ExportInto(PathBuf),
    /// Writes what [`SetExport`](Self::SetExport) says.
    Export,
    /// What is to be taken away of the run, and how.
    SetTakeAway(Box<TakeAway>),
    /// Asks the system for another folder for it.
    ChooseTakeAwayFolder,
    TakeAwayInto(PathBuf),
    /// Writes it.
    TakeAway,
    /// Puts the sheet away.
    CloseTakeAway,
    DismissProblem,
    CancelJob,
    /// Answers the question whether what was asked last may lose what it would lose.
    Leave(bool),
    /// Closes the window.
    Quit,
}

/// A command without data: it has a name, and often a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    ChooseFolder,
    OpenProject,
    StartDemo,
    StartChestDemo,
    PlayStory,
    Export,
    CloseProject,
    Undo,
    Redo,
    GoImages,
    GoAnnotate,
    GoTrain,
    GoCompare,
    PreviousImage,
    NextImage,
    DoneAndNext,
    SecondLook,
    Note,
    Filters,
    Readers,
    DeleteBox,
    CancelDraft,
    Suggest,
    ToolBox,
    ToolSelect,
    ToolPan,
    Fit,
    ActualSize,
    KeepZoom,
    Squares,
    NextModel,
    Lens,
    DoubleBox,
    CopyBoxes,
    PasteBoxes,
    HideBoxes,
    Invert,
    ProjectWindow,
    ShowInAnnotate,
    Proof,
    Train,
    Pause,
    Resume,
    Stop,
    MoreEpochs,
    Watch,
    RawGrid,
    TakeFigure,
    TakeTables,
    TakeReport,
    TakeFilm,
    TakeModel,
    SwitchTheme,
    FullScreen,
    ShowKeys,
    FindCommand,
}

/// The words and the key of an [`Action`].
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// On a button or in a menu.
    pub text: &'static str,
    /// One line for the tooltip.
    pub tooltip: &'static str,
    /// The usual one; a person may have given another: [`Action::shortcut`].
    pub shortcut: Option<KeyboardShortcut>,
}

impl Action {
    pub const ALL: [Self; 56] = [
        Self::ChooseFolder,
        Self::OpenProject,
        Self::StartDemo,
        Self::StartChestDemo,
        Self::PlayStory,
        Self::Export,
        Self::CloseProject,
        // Before undo: a key without Shift also answers where Shift is held, and takes the press.
        Self::Redo,
        Self::Undo,
        Self::GoImages,
        Self::GoAnnotate,
        Self::GoTrain,
        Self::GoCompare,
        Self::PreviousImage,
        Self::NextImage,
        Self::DoneAndNext,
        Self::SecondLook,
        Self::Note,
        Self::Filters,
        Self::Readers,
        Self::DeleteBox,
        Self::CancelDraft,
        Self::Suggest,
        Self::ToolBox,
        Self::ToolSelect,
        Self::ToolPan,
        Self::Fit,
        Self::ActualSize,
        Self::KeepZoom,
        Self::Squares,
        Self::NextModel,
        Self::Lens,
        Self::DoubleBox,
        Self::CopyBoxes,
        Self::PasteBoxes,
        Self::HideBoxes,
        Self::Invert,
        Self::ProjectWindow,
        Self::ShowInAnnotate,
        Self::Proof,
        Self::Train,
        Self::Pause,
        Self::Resume,
        Self::Stop,
        Self::MoreEpochs,
        Self::Watch,
        Self::RawGrid,
        Self::TakeFigure,
        Self::TakeTables,
        Self::TakeReport,
        Self::TakeFilm,
        Self::TakeModel,
        Self::SwitchTheme,
        Self::FullScreen,
        Self::ShowKeys,
        Self::FindCommand,
    ];

    /// The one place where an action's words and key stand; buttons, menus, keys and tests read it here.
    #[must_use]
    pub fn spec(self) -> Spec {
        let of = |text, tooltip, shortcut| Spec {
            text,
            tooltip,
            shortcut,
        };
        let key = |key| Some(KeyboardShortcut::new(Modifiers::NONE, key));
        let command = |key| Some(KeyboardShortcut::new(Modifiers::COMMAND, key));
        const SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);
        match self {
            Self::ChooseFolder => of(
                "Choose a folder",
                "Read a folder of images",
                command(Key::N),
            ),
            Self::OpenProject => of(
                "Open a project",
                "Open a project folder, NAME.care",
                command(Key::O),
            ),
            Self::StartDemo => of(
                "Start the demo",
                "Synthetic skin lesions with a rare class and a misleading ruler",
                None,
            ),
            Self::StartChestDemo => of(
                "Start the chest demo",
                "Synthetic chest radiographs with a rare class and a misleading side marker",
                None,
            ),
            Self::PlayStory => of(
                "Run the demo by itself",
                "The demo shows itself, from the beginning; any key takes over",
                key(Key::F5),
            ),
            Self::Export => of(
                "Export",
                "Write classes and boxes for other programs",
                command(Key::E),
            ),
            Self::CloseProject => of(
                "Close the project",
                "Back to the start page; everything is saved",
                command(Key::W),
            ),
            Self::Undo => of("Undo", "Undo the last edit", command(Key::Z)),
            Self::Redo => of(
                "Redo",
                "Redo the edit that was undone",
                Some(KeyboardShortcut::new(
                    Modifiers::COMMAND.plus(Modifiers::SHIFT),
                    Key::Z,
                )),
            ),
            Self::GoImages => of(
                "Images",
                "Classes, split and what could not be read",
                command(Key::Num1),
            ),
            Self::GoAnnotate => of("Annotate", "Draw boxes", command(Key::Num2)),
            Self::GoTrain => of("Train", "Train CARE beside its control", command(Key::Num3)),
            Self::GoCompare => of(
                "Compare",
                "Before, control and CARE on held-out images",
                command(Key::Num4),
            ),
            Self::PreviousImage => of(
                "Previous image",
                "Previous image in the queue",
                key(Key::ArrowLeft),
            ),
            Self::NextImage => of(
                "Next image",
                "Next image in the queue",
                key(Key::ArrowRight),
            ),
            Self::DoneAndNext => of(
                "Done, next",
                "Accept the suggestion; without one, mark as done and go on",
                key(Key::Enter),
            ),
            Self::SecondLook => of(
                "Second look, next",
                "Not sure: mark for a second look and go on",
                key(Key::R),
            ),
            Self::Note => of("Note", "Write a note on the image in hand", key(Key::N)),
            Self::Filters => of(
                "Filter and sort",
                "Choose which images stand in the queue, and in which order",
                key(Key::Q),
            ),
            Self::Readers => of(
                "Readers",
                "Readers who read apart, and how far they agree",
                command(Key::R),
            ),
            Self::DeleteBox => of("Delete box", "Delete the selected box", key(Key::Delete)),
            Self::CancelDraft => of(
                "Cancel",
                "Take back the box under the hand, or the suggestion",
                key(Key::Escape),
            ),
            Self::Suggest => of(
                "Suggest a box",
                "Suggest a box, from the picture or the model's attention",
                key(Key::B),
            ),
            Self::ToolBox => of("Box", "Draw a box", key(Key::D)),
            Self::ToolSelect => of("Select", "Select, move and resize boxes", key(Key::V)),
            Self::ToolPan => of(
                "Pan",
                "Move the image; also with the middle button",
                key(Key::H),
            ),
            Self::Fit => of(
                "Fit",
                "Fit the image; also with a double click",
                key(Key::F),
            ),
            Self::ActualSize => of(
                "Actual size",
                "A pixel of the image to one of the screen",
                key(Key::Z),
            ),
            Self::KeepZoom => of(
                "Keep zoom",
                "Keep zoom and place from image to image",
                key(Key::K),
            ),
            Self::Squares => of(
                "Pixels",
                "Show an enlarged image's pixels as squares, or smooth",
                key(Key::S),
            ),
            Self::NextModel => of(
                "Model attention",
                "Lay the next model's attention over the image, or none",
                key(Key::M),
            ),
            Self::Lens => of(
                "Loss lens",
                "Show what the attention loss rewards and penalises, or the map",
                key(Key::L),
            ),
            Self::DoubleBox => of("Double", "Double the selected box", command(Key::D)),
            Self::CopyBoxes => of(
                "Copy",
                "Copy the selected box; without one, all of the image",
                command(Key::C),
            ),
            Self::PasteBoxes => of(
                "Paste",
                "Paste boxes where they were, also into another image",
                command(Key::V),
            ),
            Self::HideBoxes => of(
                "Hide boxes",
                "While held: the image alone, and a drag moves it",
                key(Key::Space),
            ),
            Self::Invert => of(
                "Invert",
                "Exchange black and white of a grey image",
                key(Key::I),
            ),
            Self::ProjectWindow => of(
                "Window",
                "See a grey image as training does; a right drag changes it",
                key(Key::W),
            ),
            Self::ShowInAnnotate => of(
                "Annotate",
                "Open the selected image in Annotate",
                key(Key::A),
            ),
            Self::Proof => of(
                "As the network sees it",
                "Show exactly what the network saw of the selected image",
                key(Key::T),
            ),
            Self::Train => of("Train", "Train CARE beside its control", command(Key::T)),
            Self::Pause => of("Pause", "Pause after this step", None),
            Self::Resume => of("Resume", "Go on training", None),
            Self::Stop => of(
                "Stop",
                "Stop after this step, or leave out the test; the checkpoint is kept",
                None,
            ),
            Self::MoreEpochs => of(
                "Another 5 epochs",
                "Train stage 2 for 5 epochs more than planned; its learning rate follows",
                None,
            ),
            Self::Watch => of(
                "Watch in the film",
                "Watch the selected held-out image in the film, or no longer",
                key(Key::O),
            ),
            Self::RawGrid => of(
                "Raw grid",
                "Show attention maps on the network's own grid, or smooth",
                key(Key::G),
            ),
            Self::TakeFigure => of(
                "Save a figure",
                "Chosen images and models side by side: PNG, SVG or PDF",
                Some(KeyboardShortcut::new(SHIFT, Key::F)),
            ),
            Self::TakeTables => of(
                "Save the tables",
                "Results, attention on each image, confusion: CSV, Markdown or LaTeX",
                None,
            ),
            Self::TakeReport => of(
                "Save a report",
                "The whole run on one page that opens offline",
                Some(KeyboardShortcut::new(SHIFT, Key::R)),
            ),
            Self::TakeFilm => of(
                "Save the film",
                "The attention film as an animated GIF, or as numbered frames",
                None,
            ),
            Self::TakeModel => of(
                "Save a model",
                "As TorchScript or safetensors, with a model card",
                None,
            ),
            Self::SwitchTheme => of("Light or dark", "Switch between light and dark", None),
            Self::FullScreen => of(
                "Full screen",
                "Fill the whole screen, or leave it",
                key(Key::F11),
            ),
            Self::ShowKeys => of("Keys", "Show every key", key(Key::F1)),
            Self::FindCommand => of(
                "Find a command",
                "Find any command by its words",
                command(Key::P),
            ),
        }
    }

    /// What it takes away of a run, if anything.
    #[must_use]
    pub fn takes(self) -> Option<What> {
        match self {
            Self::TakeFigure => Some(What::Figure),
            Self::TakeTables => Some(What::Tables),
            Self::TakeReport => Some(What::Report),
            Self::TakeFilm => Some(What::Film),
            Self::TakeModel => Some(What::Model),
            _ => None,
        }
    }

    /// The room that it belongs to, which listens itself; none where its key works in every room.
    #[must_use]
    pub fn room(self) -> Option<Room> {
        match self {
            Self::ShowInAnnotate => Some(Room::Images),
            Self::Proof => Some(Room::Compare),
            Self::PreviousImage
            | Self::NextImage
            | Self::DoneAndNext
            | Self::SecondLook
            | Self::Note
            | Self::Filters
            | Self::Readers
            | Self::DeleteBox
            | Self::CancelDraft
            | Self::Suggest
            | Self::ToolBox
            | Self::ToolSelect
            | Self::ToolPan
            | Self::Fit
            | Self::ActualSize
            | Self::KeepZoom
            | Self::Squares
            | Self::NextModel
            | Self::Lens
            | Self::DoubleBox
            | Self::CopyBoxes
            | Self::PasteBoxes
            | Self::HideBoxes
            | Self::Invert
            | Self::ProjectWindow => Some(Room::Annotate),
            _ => None,
        }
    }

    /// As if its key were pressed in the next frame, for what a room listens to.
    pub fn ask(self, ctx: &egui::Context) {
        let at = ctx.cumulative_frame_nr();
        ctx.data_mut(|data| data.insert_temp(egui::Id::unique("asked"), (self, at)));
        ctx.request_repaint();
    }

    /// Whether it was asked for just now; takes the question.
    fn asked(self, ctx: &egui::Context) -> bool {
        /// A room has drawn itself by then.
        const FRAMES: u64 = 3;
        let id = egui::Id::unique("asked");
        let now = ctx.cumulative_frame_nr();
        ctx.data_mut(|data| {
            let is_asked = data
                .get_temp::<(Self, u64)>(id)
                .is_some_and(|(action, at)| action == self && now <= at + FRAMES);
            if is_asked {
                data.remove::<(Self, u64)>(id);
            }
            is_asked
        })
    }

    /// The tooltip with the key at its end, as every icon without a word shows it.
    #[must_use]
    pub fn tooltip(self, ctx: &egui::Context) -> String {
        let tooltip = self.spec().tooltip;
        match self.shortcut(ctx) {
            Some(shortcut) => format!("{tooltip} ({})", ctx.format_shortcut(&shortcut)),
            None => tooltip.to_owned(),
        }
    }

    /// Whether the action's key was just pressed, or it was asked for; takes the key press. Nothing while a text is being typed.
    #[must_use]
    pub fn pressed(self, ctx: &egui::Context) -> bool {
        if self.asked(ctx) {
            return true;
        }
        let Some(shortcut) = self.shortcut(ctx) else {
            return false;
        };
        // While a text is being typed, plain keys are its letters, and undo and redo are its own.
        let is_typing_key = shortcut.modifiers.is_none() || shortcut.logical_key == Key::Z;
        if is_typing_key && ctx.text_edit_focused() {
            return false;
        }
        let is_held = ctx.input(|input| {
            input.events.iter().any(|event| {
                matches!(event, egui::Event::Key { key, repeat: true, .. } if *key == shortcut.logical_key)
            })
        });
        // A key that is held down walks and steps back; it does nothing else again and again.
        let repeats = matches!(
            self,
            Self::PreviousImage | Self::NextImage | Self::Undo | Self::Redo
        );
        ctx.input_mut(|input| input.consume_shortcut(&shortcut)) && (repeats || !is_held)
    }

    /// Whether the action's key is held down.
    #[must_use]
    pub fn held(self, ctx: &egui::Context) -> bool {
        let shortcut = self.shortcut(ctx);
        shortcut.is_some_and(|shortcut| ctx.input(|input| input.key_down(shortcut.logical_key)))
    }
}

/// In Annotate each sets the class of its number.
pub const DIGITS: [Key; 9] = [
    Key::Num1,
    Key::Num2,
    Key::Num3,
    Key::Num4,
    Key::Num5,
    Key::Num6,
    Key::Num7,
    Key::Num8,
    Key::Num9,
];

/// Where panels leave their commands.
#[derive(Debug, Default)]
pub struct Commands(Vec<Command>);

impl Commands {
    pub fn send(&mut self, command: Command) {
        self.0.push(command);
    }

    pub fn extend(&mut self, commands: impl IntoIterator<Item = Command>) {
        self.0.extend(commands);
    }

    pub fn act(&mut self, action: Action) {
        self.send(Command::Action(action));
    }

    pub fn edit(&mut self, edit: Edit) {
        self.send(Command::Edit(edit));
    }

    /// Everything sent since the last call, in order.
    pub fn take(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_actions_share_a_key() {
        let mut seen = HashSet::new();
        for action in Action::ALL {
            if let Some(shortcut) = action.spec().shortcut {
                assert!(
                    seen.insert(shortcut),
                    "{action:?} has a key that another action has too"
                );
            }
        }
    }
}
