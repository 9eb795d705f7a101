//! The room Compare: held-out images as before, control and CARE saw them, and what the whole test part shows.

mod cases;
mod confusion;
mod difference;
mod figure;
mod pair;
mod results;
mod runs;
mod shortcuts;
mod table;

use care_data::{Edit, ImageId, Project, Run, RunState};
use care_learn::event::ImageAttention;
use egui::{
    Align, CentralPanel, Color32, ComboBox, FontId, Frame, IntoAtoms, Layout, Margin, Panel, Rect,
    RichText, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo,
};

use self::cases::{Cases, Cell, Key, Order, Which, attention};
use self::pair::Pair;
use self::results::{Measure, Told};
use self::runs::Runs;
use self::shortcuts::Shortcuts;
use self::table::Table;
use super::overlay::overlay_ui;
use super::story::{self, Place};
use super::tokens::{self, Tokens, radius, size};
use super::widgets::{
    WordButton, combo_caret, divider, filling_uv, focus_ring, problem_ui, segmented,
};
use super::{Context, bar_frame, icons, take_away};
use crate::background::Later;
use crate::command::{Action, Command};
use crate::comparison::{Measured, OtherRun};
use crate::format;
use crate::textures::Picture;
use crate::training::{Phase, TrainingRun};

/// What is seen on the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum View {
    #[default]
    Figure,
    /// One image, large.
    Image,
}

/// What is read on the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tab {
    #[default]
    Results,
    Images,
    Shortcuts,
    Runs,
}

/// The runs whose models are shown.
#[derive(Clone, Copy)]
struct From<'a> {
    run: &'a TrainingRun,
    other: Option<&'a OtherRun>,
}

/// The images of what was clicked last.
#[derive(Default)]
struct Strip {
    /// The cell of a confusion matrix, where it is one.
    cell: Option<Cell>,
    what: String,
    images: Vec<ImageId>,
}

/// What is shown of one run.
struct Shown {
    cases: Cases,
    /// The models that are compared with each other: the second against the first.
    pair: [usize; 2],
    which: Which,
    order: Order,
    /// Places of the figure's images in `cases`.
    rows: Vec<usize>,
    /// Grows where `rows` are other ones.
    list: u64,
    strip: Strip,
    /// The image that A opens in Annotate.
    picked: Option<ImageId>,
    view: View,
    /// The row that the figure is to begin with.
    scroll_to: Option<usize>,
    /// The row that the strip below one image was brought to.
    in_strip: Option<usize>,
    measured: Later<Measured>,
    shortcuts: Shortcuts,
}

impl Shown {
    fn new(
        ctx: &egui::Context,
        from: From<'_>,
        project: &Project,
        order: Order,
        view: View,
        before: Option<Shortcuts>,
    ) -> Self {
        let cases = Cases::new(from.run, from.other, project);
        let mut shown = Self {
            pair: cases.first_pair(),
            which: Which::Class(cases.first_class()),
            measured: measured(ctx, from, &cases),
            shortcuts: Shortcuts::start(ctx, from, &cases, project, before),
            strip: Strip::default(),
            cases,
            order,
            rows: Vec::new(),
            list: 0,
            picked: None,
            view,
            scroll_to: None,
            in_strip: None,
        };
        shown.list(project);
        if let Some(cell) = shown.cases.most_telling_cell() {
            shown.fill_strip(cell);
        }
        shown
    }

    /// Draws up the lists of images anew.
    fn list(&mut self, project: &Project) {
        self.rows = self.cases.rows(self.which, self.order, self.pair, project);
        self.list += 1;
        self.in_strip = None;
    }

    fn fill_strip(&mut self, cell: Cell) {
        let name = |class: usize| self.cases.class_name(class);
        let model = self.cases.models.get(cell.model).map_or("", |it| &it.name);
        let what = if cell.label == cell.predicted {
            format!("{model}: {} recognised", name(cell.label))
        } else {
            format!(
                "{model}: {} predicted as {}",
                name(cell.label),
                name(cell.predicted)
            )
        };
        self.strip = Strip {
            cell: Some(cell),
            what,
            images: self.cases.in_cell(cell),
        };
        // What A opens is ringed from the first frame on.
        self.picked = self.strip.images.first().copied();
    }

    fn place_of_picked(&self) -> Option<usize> {
        let picked = self.picked?;
        let is_picked = |row: &usize| self.cases.all[*row].image == picked;
        self.rows.iter().position(is_picked)
    }

    /// After a click elsewhere: the picked image is among the rows.
    fn bring_picked(&mut self, project: &Project) {
        if let (Some(picked), None) = (self.picked, self.place_of_picked())
            && let Some(case) = self.cases.case(picked)
        {
            self.which = Which::Class(case.label);
            self.list(project);
        }
    }
}

/// The figures: as the run recorded them where its models are all there is and nothing is missing, else measured anew on what
/// all models saw.
fn measured(ctx: &egui::Context, from: From<'_>, cases: &Cases) -> Later<Measured> {
    let has_other = cases.models.iter().any(|model| model.is_other);
    if let Some(results) = from.run.results.as_ref().filter(|_| !has_other) {
        let roles: Vec<_> = cases.models.iter().map(|model| model.role).collect();
        let recorded = Measured::recorded(results, &roles);
        let mut summaries = recorded.summaries.iter().flatten();
        // Runs of before these were measured lack them.
        let is_whole = summaries.all(|it| it.macro_f1.is_some() || it.mca.is_none());
        if is_whole || cases.relabelled != Some(0) {
            return Later::Done(recorded);
        }
    }
    let of_model = |model: usize| -> (Vec<usize>, Vec<ImageAttention>) {
        let seen = cases.all.iter().filter_map(|case| {
            let of = attention(
                from.run,
                from.other,
                &cases.models[model],
                case.seen(model)?,
            )?;
            Some((case.label, of.clone()))
        });
        seen.unzip()
    };
    let models: Vec<_> = (0..cases.models.len()).map(of_model).collect();
    let rare: Vec<bool> = cases.classes.iter().map(|class| class.rare).collect();
    let seed = from.run.config.seed;
    let recorded = from.run.results.as_ref().filter(|_| !has_other);
    let recorded = recorded.and_then(|results| results.rare_difference);
    Later::start("measures", ctx, move || Measured {
        recorded,
        ..Measured::anew(&models, &rare, seed)
    })
}

#[derive(Default)]
pub struct CompareRoom {
    order: Order,
    view: View,
    tab: Tab,
    measure: Measure,
    pair: Pair,
    table: Table,
    runs: Runs,
    shown: Option<Shown>,
}

impl CompareRoom {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let finished = cx.run.filter(|run| run.results.is_some());
        match finished {
            Some(run) => {
                let other = cx.other;
                self.comparison_ui(ui, cx, From { run, other });
            }
            None => self.nothing_yet_ui(ui, cx),
        }
        if self.tab != Tab::Runs {
            self.runs.leave(cx);
        }
    }

    /// A name or note of a run that is still being typed.
    pub fn take_note(&mut self, project: &Project) -> Option<Edit> {
        self.runs.take(project)
    }

    /// Another room is shown: what is being typed becomes an edit.
    pub fn leave(&mut self, cx: &mut Context<'_>) {
        self.runs.leave(cx);
    }

    /// What is shown, drawn up anew where the run or the project has changed.
    fn shown(&mut self, ctx: &egui::Context, from: From<'_>, project: &Project) -> Shown {
        let key = Key::of(from.run, from.other, project);
        let Some(mut shown) = self.shown.take() else {
            return Shown::new(ctx, from, project, self.order, self.view, None);
        };
        if shown.cases.key == key {
            return shown;
        }
        if !shown.cases.key.is_of_the_same(key) {
            let before = Some(shown.shortcuts);
            return Shown::new(ctx, from, project, self.order, self.view, before);
        }
        let before = std::mem::replace(&mut shown.cases, Cases::new(from.run, from.other, project));
        if !shown.cases.is_labelled_as(&before) {
            shown.measured = measured(ctx, from, &shown.cases);
        }
        shown.shortcuts = Shortcuts::start(ctx, from, &shown.cases, project, Some(shown.shortcuts));
        shown.list(project);
        shown
    }

    fn comparison_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, from: From<'_>) {
        let mut shown = self.shown(ui.ctx(), from, cx.project);
        let before = (shown.pair, shown.picked, shown.view);
        let room = ui.available_width();
        Panel::left("compare figure")
            .exact_size(figure_width(room))
            .resizable(false)
            .frame(Frame::NONE)
            .show(ui, |ui| self.left_ui(ui, cx, from, &mut shown));
        let panel = Frame::new().fill(Tokens::of(ui).panel);
        CentralPanel::no_frame()
            .frame(panel)
            .show(ui, |ui| self.right_ui(ui, cx, from, &mut shown));
        if shown.pair != before.0 {
            shown.list(cx.project);
        }
        if shown.picked != before.1 || shown.view != before.2 {
            shown.bring_picked(cx.project);
        }
        if let (Some(image), true) = (shown.picked, Action::ShowInAnnotate.pressed(ui.ctx())) {
            cx.commands.send(Command::Annotate(image));
        }
        let first = shown.rows.first().map(|row| shown.cases.all[*row].image);
        let proves = Action::Proof.pressed(ui.ctx());
        if let (Some(image), true) = (shown.picked.or(first), proves) {
            cx.commands.send(Command::Prove(image, None));
        }
        self.order = shown.order;
        self.view = shown.view;
        self.shown = Some(shown);
    }

    fn left_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, from: From<'_>, shown: &mut Shown) {
        let width = ui.available_width() - 32.0;
        toolbar(ui, "figure toolbar", |ui| {
            let views = [(View::Figure, "Figure"), (View::Image, "One image")];
            let views = views.map(|(view, text)| (view, text.to_owned()));
            if segmented(ui, "View", &views, &mut shown.view) && shown.view == View::Figure {
                shown.scroll_to = shown.place_of_picked();
            }
            choice_of_images_ui(ui, cx.project, shown);
        });
        Panel::bottom("figure foot")
            .exact_size(40.0)
            .resizable(false)
            .frame(bar_frame(ui))
            .show(ui, |ui| foot_ui(ui, cx, shown));
        // The scroll bar has the padding on the right to itself.
        let right = if shown.view == View::Figure { 2 } else { 16 };
        let frame = Frame::new().inner_margin(Margin {
            left: 16,
            right,
            top: 12,
            bottom: 0,
        });
        CentralPanel::no_frame().frame(frame).show(ui, |ui| {
            if shown.rows.is_empty() {
                ui.label(match shown.which {
                    Which::All | Which::Class(_) => "The test part has no image of this class.",
                    Which::WrongReason => {
                        "No model is right for the wrong reason on any test image."
                    }
                    Which::Disagree => "Both models recognise the same test images.",
                });
            } else {
                match shown.view {
                    View::Figure => figure::figure_ui(ui, cx, from, shown, width),
                    View::Image => self.pair.ui(ui, cx, from, shown),
                }
            }
        });
    }

    fn right_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, from: From<'_>, shown: &mut Shown) {
        let t = Tokens::of(ui);
        toolbar(ui, "results toolbar", |ui| {
            choice_of_run_ui(ui, cx);
            let n = format::plural(shown.cases.all.len(), "test image", "test images");
            ui.label(
                RichText::new(n)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
            take_away::buttons_ui(ui, cx.commands);
        });
        toolbar(ui, "tabs", |ui| self.tabs_ui(ui, cx, shown));
        if matches!(self.tab, Tab::Results | Tab::Shortcuts) {
            let strip = Frame::new()
                .fill(t.raised)
                .inner_margin(Margin::symmetric(24, 0));
            let hint = match self.tab {
                Tab::Results => "Click a cell above to see its images.",
                _ => "Click a place above to see its images.",
            };
            Panel::bottom("images of a cell")
                .exact_size(80.0)
                .resizable(false)
                .frame(strip)
                .show(ui, |ui| confusion::strip_ui(ui, cx, shown, hint));
        }
        let problem = |ui: &mut Ui, cx: &mut Context<'_>| {
            if let Some(problem) = cx.problem {
                Frame::new()
                    .inner_margin(Margin::symmetric(24, 12))
                    .show(ui, |ui| {
                        problem_ui(ui, problem, cx.commands);
                    });
            }
        };
        match self.tab {
            Tab::Results => self.results_ui(ui, cx, from, shown),
            Tab::Images => {
                problem(ui, cx);
                let frame = Frame::new().inner_margin(Margin {
                    left: 24,
                    right: 10,
                    top: 12,
                    bottom: 0,
                });
                frame.show(ui, |ui| self.table.ui(ui, cx, shown));
            }
            Tab::Shortcuts => {
                ScrollArea::vertical()
                    .id_salt("shortcuts")
                    .auto_shrink(false)
                    .show(ui, |ui| {
                        problem(ui, cx);
                        let frame = Frame::new().inner_margin(Margin::symmetric(24, 16));
                        frame.show(ui, |ui| shortcuts::shortcuts_ui(ui, cx, shown));
                    });
            }
            Tab::Runs => {
                problem(ui, cx);
                self.runs.ui(ui, cx);
            }
        }
    }

    /// What is read, and which two models are compared.
    fn tabs_ui(&mut self, ui: &mut Ui, cx: &Context<'_>, shown: &mut Shown) {
        let alarms = shown.shortcuts.alarms().len();
        let counted = |text: &str, n: usize| match n {
            0 => text.to_owned(),
            n => format!("{text} {}", format::count(n)),
        };
        let tabs = [
            (Tab::Results, "Results".to_owned()),
            (Tab::Images, "Images".to_owned()),
            (Tab::Shortcuts, counted("Shortcuts", alarms)),
            (Tab::Runs, counted("Runs", cx.project.runs().len())),
        ];
        segmented(ui, "Shown", &tabs, &mut self.tab);
        if shown.cases.models.len() < 2 {
            return;
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let width = ((ui.available_width() - 56.0) / 2.0).clamp(72.0, 128.0);
            let weak = Tokens::of(ui).text_weak;
            let [mut first, mut second] = shown.pair;
            model_ui(ui, "First model", width, &shown.cases, &mut first);
            ui.label(
                RichText::new("against")
                    .text_style(tokens::caption())
                    .color(weak),
            );
            model_ui(ui, "Second model", width, &shown.cases, &mut second);
            // Never a model against itself: the other one gives way.
            if first == second {
                if first == shown.pair[0] {
                    first = shown.pair[1];
                } else {
                    second = shown.pair[0];
                }
            }
            shown.pair = [first, second];
        });
    }

    fn results_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, from: From<'_>, shown: &mut Shown) {
        let alarms: Vec<String> = shown
            .shortcuts
            .alarms()
            .iter()
            .map(|(seen, finding)| shortcuts::in_words(&shown.cases, seen, finding))
            .collect();
        let failed = shown.measured.has_failed();
        let told = Told {
            run: from.run,
            cases: &shown.cases,
            pair: shown.pair,
            measured: shown.measured.get(),
            alarms: &alarms,
        };
        let mut clicked = None;
        let mut follow = false;
        ScrollArea::vertical()
            .id_salt("results")
            .auto_shrink(false)
            .show(ui, |ui| {
                let padded = |x: i8, top: i8, bottom: i8| {
                    Frame::new().inner_margin(Margin {
                        left: x,
                        right: x,
                        top,
                        bottom,
                    })
                };
                ui.spacing_mut().item_spacing.y = 0.0;
                padded(24, 16, 12).show(ui, |ui| {
                    if let Some(problem) = cx.problem {
                        problem_ui(ui, problem, cx.commands);
                        ui.add_space(12.0);
                    }
                    follow = results::sentence_ui(ui, &told);
                });
                padded(24, 0, 4).show(ui, |ui| {
                    let measures = Measure::ALL.map(|it| (it, it.name().to_owned()));
                    segmented(ui, "Measure", &measures, &mut self.measure);
                });
                let table = padded(16, 0, 16).show(ui, |ui| {
                    if failed {
                        ui.label("The figures could not be worked out. Choose the run again.");
                    }
                    results::table_ui(ui, &told, self.measure);
                });
                story::mark(ui.ctx(), Place::Results, table.response.rect);
                let Some(measured) = told.measured else {
                    return;
                };
                // In a tall window the matrices stand at the foot.
                let height = 1.0 + 24.0 + confusion::height(ui.available_width() - 48.0, measured);
                ui.add_space((ui.available_height() - height).max(0.0));
                divider(ui);
                padded(24, 12, 12).show(ui, |ui| {
                    let selected = shown.strip.cell;
                    clicked = confusion::matrices_ui(ui, told.cases, measured, selected);
                });
            });
        if let Some(cell) = clicked {
            shown.fill_strip(cell);
        }
        if follow {
            self.tab = Tab::Shortcuts;
        }
    }

    /// The room without results: why there are none, the way to some, and the runs that there are.
    fn nothing_yet_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        if !cx.project.runs().is_empty() || !cx.project.trash().is_empty() {
            let width = figure_width(ui.available_width());
            let room = ui.available_width() - width;
            Panel::right("runs beside nothing")
                .exact_size(room)
                .resizable(false)
                .frame(Frame::new().fill(Tokens::of(ui).panel))
                .show(ui, |ui| {
                    toolbar(ui, "results toolbar", |ui| {
                        ui.label(
                            RichText::new("Runs")
                                .text_style(tokens::section())
                                .color(Tokens::of(ui).text_strong),
                        );
                    });
                    self.runs.ui(ui, cx);
                });
        }
        nothing_yet_ui(ui, cx);
    }
}

/// The choice of one of the models.
fn model_ui(ui: &mut Ui, name: &str, width: f32, cases: &Cases, chosen: &mut usize) {
    let text = cases.models.get(*chosen).map_or("", |it| it.name.as_str());
    combo(ui, name, width, text, |ui| {
        for (index, model) in cases.models.iter().enumerate() {
            ui.selectable_value(chosen, index, &model.name);
        }
    });
}

/// The figure is 616 wide; it gives on a small window, so that the table stays whole, and grows on a large one.
fn figure_width(room: f32) -> f32 {
    const TABLE_MIN: f32 = 664.0;
    if room < 1280.0 {
        (room - TABLE_MIN).clamp(520.0, 616.0)
    } else {
        (room * 0.428).clamp(616.0, 800.0).round()
    }
}

fn foot_ui(ui: &mut Ui, cx: &mut Context<'_>, shown: &Shown) {
    ui.horizontal_centered(|ui| {
        let t = Tokens::of(ui);
        let weak = |text: &str, font| RichText::new(text).font(font).color(t.text_weak);
        // The smallest window has no room for these words.
        if ui.available_width() > 520.0 {
            ui.label(weak("model attention", tokens::medium(12.0)));
        }
        overlay_ui(ui, cx);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let n = format::plural(shown.rows.len(), "image", "images");
            let place = shown.place_of_picked().map_or(0, |place| place + 1);
            let text = match shown.view {
                View::Figure if ui.available_width() < 290.0 => {
                    "Number: share in the box.".to_owned()
                }
                View::Figure => format!("{n}. Number: share of attention in the box."),
                View::Image => format!("image {} of {n}", format::count(place)),
            };
            let text = weak(&text, FontId::proportional(12.0));
            ui.label(text).on_hover_text(
                "Test images only: the models were tested on these, and learned from the others.",
            );
        });
    });
}

impl Which {
    fn id(self) -> (u8, usize) {
        match self {
            Self::All => (0, 0),
            Self::Class(class) => (1, class),
            Self::WrongReason => (2, 0),
            Self::Disagree => (3, 0),
        }
    }

    fn text(self, cases: &Cases) -> String {
        match self {
            Self::All => "all test images".to_owned(),
            Self::Class(class) => cases.class_name(class).to_owned(),
            Self::WrongReason => "right for the wrong reason".to_owned(),
            Self::Disagree => "only one of the two right".to_owned(),
        }
    }
}

/// Which held-out images the figure shows, and in which order.
fn choice_of_images_ui(ui: &mut Ui, project: &Project, shown: &mut Shown) {
    let before = (shown.which, shown.order);
    let cases = &shown.cases;
    let mut chosen = shown.which;
    let room = ui.available_width();
    combo(
        ui,
        "Class",
        (room - 8.0) / 2.0,
        shown.which.text(cases),
        |ui| {
            let classes = (0..cases.classes.len()).map(Which::Class);
            let others = [Which::WrongReason, Which::Disagree, Which::All];
            for which in classes.chain(others) {
                let is_in = |case: &&cases::Case| cases.is_in(case, which, shown.pair);
                let n = cases.all.iter().filter(is_in).count();
                let weak = RichText::new(format::count(n)).color(Tokens::of(ui).text_weak);
                let item = egui::Button::selectable(chosen == which, (which.text(cases), weak));
                if ui.add_enabled(n > 0, item).clicked() {
                    chosen = which;
                }
            }
        },
    );
    shown.which = chosen;
    combo(
        ui,
        "Order",
        ui.available_width(),
        shown.order.text(),
        |ui| {
            for order in Order::ALL {
                ui.selectable_value(&mut shown.order, order, order.text());
            }
        },
    );
    if before != (shown.which, shown.order) {
        // What is wrong for its reason stands first in its own list.
        shown.list(project);
        if shown.view == View::Image && shown.place_of_picked().is_none() {
            let first = shown.rows.first();
            shown.picked = first.map(|row| shown.cases.all[*row].image);
        }
    }
}

/// A small image to pick; `place` tells it from the same image elsewhere.
fn thumbnail_ui(
    ui: &Ui,
    cx: &mut Context<'_>,
    shown: &mut Shown,
    id: ImageId,
    rect: Rect,
    place: &str,
) {
    let t = Tokens::of(ui);
    let project = cx.project;
    let Some(image) = project.image(id) else {
        return;
    };
    let response = ui.interact(rect, ui.scope_id().with((place, id)), Sense::click());
    let selected = shown.picked == Some(id);
    response.widget_info(|| {
        let name = format!("{}, {place}", image.name());
        WidgetInfo::selected(Role::Button, true, selected, name)
    });
    let corner = f32::from(radius::IMAGE);
    match cx.thumbnail(image) {
        Picture::Ready(texture) => {
            let uv = filling_uv(rect.size(), texture.size_vec2());
            let shape = egui::epaint::RectShape::filled(rect, corner, Color32::WHITE)
                .with_texture(texture.id(), uv);
            ui.painter().add(shape);
        }
        Picture::Loading => {
            ui.painter().rect_filled(rect, corner, t.active);
        }
        Picture::Failed(_) => {
            ui.painter().rect_filled(rect, corner, t.active);
            ui.painter().text(
                rect.center(),
                egui::Align2::CENTER_CENTER,
                icons::WARNING,
                tokens::icon(size::ICON),
                t.warning,
            );
        }
    }
    if selected {
        ui.painter().rect_stroke(
            rect,
            corner,
            Stroke::new(2.0, t.accent),
            StrokeKind::Outside,
        );
    }
    focus_ring(ui, &response, radius::IMAGE);
    if response.clicked() {
        shown.picked = Some(id);
    }
    if response.double_clicked() {
        cx.commands.send(Command::Annotate(id));
    }
    response.on_hover_text(image.name());
}

/// The bar of 44 over a half of the room.
fn toolbar(ui: &mut Ui, id: &'static str, contents: impl FnOnce(&mut Ui)) {
    Panel::top(id)
        .exact_size(size::TOOLBAR)
        .resizable(false)
        .frame(bar_frame(ui))
        .show(ui, |ui| ui.horizontal_centered(contents));
}

/// A combo of 28 x `width` with an accessible name.
fn combo<'a>(
    ui: &mut Ui,
    name: &str,
    width: f32,
    text: impl IntoAtoms<'a>,
    items: impl FnOnce(&mut Ui),
) {
    let t = Tokens::of(ui);
    ui.name_inputs(name, |ui| {
        ui.scope(|ui| {
            ui.visuals_mut().widgets.inactive.weak_bg_fill = t.field;
            ComboBox::from_id_salt(name)
                .width(width)
                .truncate()
                .selected_text(text)
                .icon(combo_caret)
                .show_ui(ui, items);
        });
    });
}

/// The runs of the project, the newest first.
fn choice_of_run_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    let shown = cx.run.map(|run| run.id);
    let weak = Tokens::of(ui).text_weak;
    let words = |run: &Run| {
        let how = match run.state {
            RunState::Finished if !run.name.is_empty() => run.name.clone(),
            RunState::Finished => run.note.clone(),
            state => state.name().to_owned(),
        };
        (format!("Run {}", run.id), RichText::new(how).color(weak))
    };
    let runs = cx.project.runs();
    let text = runs
        .iter()
        .find(|run| Some(run.id) == shown)
        .map_or(("Choose a run".to_owned(), RichText::new("")), words);
    let commands = &mut *cx.commands;
    let busy = cx.is_training;
    combo(ui, "Run", 248.0, text, |ui| {
        for run in runs.iter().rev() {
            let item = egui::Button::selectable(shown == Some(run.id), words(run));
            let can_be_shown = !busy && matches!(run.state, RunState::Finished | RunState::Stopped);
            if ui.add_enabled(can_be_shown, item).clicked() {
                commands.send(Command::ShowRun(run.id));
            }
        }
    });
}

/// The room without results: why there are none, and the way to some.
fn nothing_yet_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    let t = Tokens::of(ui);
    let (title, text, button) = nothing_yet(cx);
    let room = ui.available_rect_before_wrap();
    let column = egui::Rect::from_center_size(
        room.center() - egui::vec2(0.0, room.height() * 0.05),
        egui::vec2(480.0_f32.min(room.width() - 48.0), 220.0),
    );
    ui.scope_builder(egui::UiBuilder::new().max_rect(column), |ui| {
        ui.vertical_centered(|ui| {
            if let Some(problem) = cx.problem {
                problem_ui(ui, problem, cx.commands);
                ui.add_space(12.0);
            }
            ui.label(
                RichText::new(icons::COLUMNS)
                    .font(tokens::icon(32.0))
                    .color(t.text_weak),
            );
            ui.label(
                RichText::new(title)
                    .text_style(egui::TextStyle::Heading)
                    .color(t.text_strong),
            );
            ui.add(egui::Label::new(RichText::new(text).color(t.text)).wrap());
            ui.add_space(8.0);
            let button = WordButton::new(button).primary().height(size::BUTTON_MAIN);
            if button.ui(ui).clicked() {
                cx.commands.act(Action::GoTrain);
            }
        });
    });
}

/// Title, text and the word on the button.
fn nothing_yet(cx: &Context<'_>) -> (String, String, &'static str) {
    const COLUMNS: &str = "Held-out images then stand here as the model saw them before, after the control and after CARE, with every figure of the test part.";
    let Some(run) = cx.run else {
        let title = if cx.project.runs().is_empty() {
            "Train once to compare"
        } else {
            "No run has results yet"
        };
        return (title.to_owned(), COLUMNS.to_owned(), "Train");
    };
    let id = run.id;
    match &run.phase {
        Phase::Ended(RunState::Finished) => (
            format!("The results of run {id} cannot be read"),
            "Train again, or show another run.".to_owned(),
            "Train",
        ),
        Phase::Ended(_) => (
            format!("Run {id} was stopped before it had results"),
            "CARE and its control are trained in stage 2 and tested at the end. Train again, or show another run."
                .to_owned(),
            "Train",
        ),
        Phase::Failed(why) => (format!("Run {id} failed"), why.clone(), "Train"),
        Phase::Evaluating { role, done, total } => (
            format!("Run {id} is being tested"),
            format!(
                "{}: {} of {} test images. The results appear here in a moment.",
                role.name(),
                format::count(*done),
                format::count(*total)
            ),
            "Watch it",
        ),
        Phase::Loading(..) | Phase::Training | Phase::Paused | Phase::Held | Phase::Stopping => (
            format!("Run {id} is training"),
            format!("When it has ended, its results appear here. {COLUMNS}").replace(" then", ""),
            "Watch it",
        ),
    }
}
