//! The application: `logic` takes in what happened elsewhere, `ui` draws. Nothing else lives here.

use std::time::Duration;

use egui::{CentralPanel, Frame, ThemePreference};

use crate::command::{Action, Command, Commands, Room};
use crate::dispatch::{
    apply, dispatch, drain_trainer, finish_coming, finish_emptying, finish_job, leave_run, look_on,
    remember, take_answer, tell_story,
};
use crate::settings::Settings;
use crate::state::State;
use crate::story::Story;
use crate::textures::Textures;
use crate::ui::annotate::AnnotateRoom;
use crate::ui::compare::CompareRoom;
use crate::ui::images::ImagesRoom;
use crate::ui::keys::KeysSheet;
use crate::ui::palette::Palette;
use crate::ui::proof::ProofSheet;
use crate::ui::start::StartRoom;
use crate::ui::take_away::TakeAwaySheet;
use crate::ui::train::TrainRoom;
use crate::ui::{Context, export, job, leave, offer, status, story, tokens, top_bar};

#[derive(Default)]
struct Rooms {
    start: StartRoom,
    images: ImagesRoom,
    annotate: AnnotateRoom,
    train: TrainRoom,
    compare: CompareRoom,
}

pub struct App {
    pub state: State,
    commands: Commands,
    textures: Textures,
    rooms: Rooms,
    palette: Palette,
    keys: KeysSheet,
    taking: TakeAwaySheet,
    proof_sheet: ProofSheet,
    /// The project that the textures and the rooms' own state belong to.
    shown: Option<std::path::PathBuf>,
}

impl App {
    #[must_use]
    pub fn new(ctx: &egui::Context, settings: Settings, device: String) -> Self {
        tokens::install(ctx);
        settings.keys.install(ctx);
        Self {
            state: State::new(settings, device),
            commands: Commands::default(),
            textures: Textures::new(ctx),
            rooms: Rooms::default(),
            palette: Palette::default(),
            keys: KeysSheet::default(),
            taking: TakeAwaySheet::default(),
            proof_sheet: ProofSheet::default(),
            shown: None,
        }
    }

    /// What a caller wants done before the first frame, as if a panel had asked for it.
    pub fn commands(&mut self) -> &mut Commands {
        &mut self.commands
    }

    fn carry_out(&mut self, ctx: &egui::Context) {
        let commands = self.commands.take();
        if !commands.is_empty() {
            self.keep_note();
        }
        for command in commands {
            dispatch(command, &mut self.state, ctx);
            // One more frame shows what changed.
            ctx.request_repaint();
        }
        let dir = self
            .state
            .project
            .as_ref()
            .map(|project| project.dir().to_owned());
        if dir != self.shown {
            self.shown = dir;
            self.textures = Textures::new(ctx);
            self.rooms = Rooms::default();
        }
    }

    /// A note under the hand, on an image or a run, is an edit before anything else happens to its project.
    fn keep_note(&mut self) {
        let Some(project) = &self.state.project else {
            return;
        };
        let of_image = self.rooms.annotate.take_note(project);
        let of_run = self.rooms.compare.take_note(project);
        for edit in of_image.into_iter().chain(of_run) {
            apply(edit, &mut self.state);
        }
    }

    fn take_keys(&mut self, ctx: &egui::Context) {
        for action in Action::ALL
            .into_iter()
            .filter(|action| action.room().is_none())
        {
            if action.pressed(ctx) {
                self.commands.act(action);
            }
        }
        let dropped = ctx.input_mut(|input| std::mem::take(&mut input.raw.dropped_files));
        if let Some(file) = dropped.first() {
            self.commands
                .send(Command::OpenPath(file.path().to_owned()));
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.update(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.draw(ui);
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.extreme_bg_color.to_normalized_gamma_f32()
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.keep_note();
        remember(&mut self.state);
        leave_run(&mut self.state);
        for leaving in self.state.leaving.drain(..) {
            // A trainer turns its own panics into an outcome.
            let _ = leaving.join();
        }
    }

    fn persist_egui_memory(&self) -> bool {
        false
    }
}

impl App {
    fn tell_story(&mut self, ctx: &egui::Context) {
        /// Between frames in which nothing moves: the processor is the trainer's.
        const RESTING: Duration = Duration::from_millis(250);
        const MOVING: Duration = Duration::from_millis(33);
        let now = ctx.input(|input| input.time);
        self.commands.extend(tell_story(&mut self.state, now));
        let moves = |story: &Story| story.is_moving(now);
        let moves = self.state.story.as_ref().is_some_and(moves);
        ctx.request_repaint_after(if moves { MOVING } else { RESTING });
    }

    /// Before each frame: what other threads finished, keys, commands.
    pub fn update(&mut self, ctx: &egui::Context) {
        ctx.set_theme(if self.state.settings.light {
            ThemePreference::Light
        } else {
            ThemePreference::Dark
        });
        finish_job(&mut self.state, ctx);
        drain_trainer(&mut self.state);
        finish_emptying(&mut self.state);
        finish_coming(&mut self.state);
        look_on(&mut self.state, ctx);
        self.commands.extend(take_answer(&mut self.state));
        let plays = self.state.story.as_ref().is_some_and(Story::is_playing);
        if plays && story::is_taken_over(ctx) {
            self.commands.send(Command::TakeOver);
        } else if plays {
            self.tell_story(ctx);
        }
        let closes = ctx.input(|input| input.viewport().close_requested());
        if closes && self.state.is_training() && !plays {
            ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            self.commands.send(Command::Quit);
        }
        if !self.keys.is_asking() {
            self.take_keys(ctx);
        }
        self.carry_out(ctx);
        self.textures.begin_frame();
    }

    /// One frame. Commands run once more at its end, so that a click takes effect in its own frame.
    pub fn draw(&mut self, ui: &mut egui::Ui) {
        let ctx = ui.ctx().clone();
        let counts = self.state.counts();
        let Self {
            state,
            commands,
            textures,
            rooms,
            palette,
            keys,
            taking,
            proof_sheet,
            ..
        } = self;
        top_bar::top_bar(ui, state, counts, commands);
        status::status_bar(ui, state);
        let story = state.story.as_ref().filter(|story| story.is_playing());
        if let Some(story) = story {
            story::bar_ui(ui, state, story);
        }
        let frame = Frame::new().fill(tokens::Tokens::of(ui).bg);
        CentralPanel::no_frame()
            .frame(frame)
            .show(ui, |ui| match &state.project {
                None => rooms.start.ui(ui, state, textures, commands),
                Some(project) => {
                    let mut cx = Context {
                        project,
                        counts,
                        selected: state.selected,
                        reader: state.reader,
                        queue: &state.queue,
                        attention: &state.attention,
                        suggestion: state.suggestion.as_ref(),
                        lens: &state.lens,
                        missing: &state.missing,
                        run: state.run.as_ref(),
                        other: state.other.as_ref(),
                        coming: state.coming.as_ref().map(|coming| coming.id),
                        is_training: state.is_training(),
                        is_emptying: state.emptying.is_some(),
                        watch: state.watch.as_deref(),
                        behind: state.behind.as_ref(),
                        draft: &state.draft,
                        device: &state.device,
                        map_style: &state.settings.map_style,
                        refresh: state.settings.refresh,
                        problem: state.problem.as_ref(),
                        textures,
                        commands,
                    };
                    if state.room != Room::Annotate {
                        rooms.annotate.leave(&mut cx);
                    }
                    if state.room != Room::Compare {
                        rooms.compare.leave(&mut cx);
                    }
                    match state.room {
                        Room::Images => rooms.images.ui(ui, &mut cx),
                        Room::Annotate => rooms.annotate.ui(ui, &mut cx),
                        Room::Train => rooms.train.ui(ui, &mut cx),
                        Room::Compare => rooms.compare.ui(ui, &mut cx),
                    }
                    if let Some(story) = story {
                        story::stage_ui(ui, &mut cx, story);
                    }
                }
            });
        // The story's sentence says how far its images are.
        if let (Some(job), None) = (&state.job, story) {
            job::job_card(&ctx, job, commands);
        }
        if let Some(offer) = &state.offer {
            offer::offer_sheet(&ctx, offer, commands);
        }
        if let Some(draft) = &state.export {
            export::export_sheet(&ctx, draft, commands);
        }
        match (&state.take_away, &state.project, &state.run) {
            (Some(draft), Some(project), Some(run)) if draft.run == run.id => {
                taking.ui(&ctx, draft, project, run, textures, commands);
            }
            _ => *taking = TakeAwaySheet::default(),
        }
        if let (Some(proof), Some(project)) = (&mut state.proof, &state.project) {
            proof_sheet.ui(&ctx, proof, project, textures, commands);
        }
        if state.show_keys {
            keys.ui(&ctx, &state.settings.keys, commands);
        }
        if state.find_command {
            palette.ui(&ctx, state, commands);
        }
        if let Some(asked) = &state.asked {
            leave::leave_sheet(&ctx, asked.loss, commands);
        }
        if story.is_some() {
            story::shield_ui(&ctx);
        }
        self.carry_out(&ctx);
    }
}
