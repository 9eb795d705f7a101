//! What is shown of one run, and the figures worked out for it.

use care_data::{ImageId, Project};
use care_learn::event::ImageAttention;

use super::View;
use super::cases::{Cases, Cell, Key, Order, Which, attention};
use super::shortcuts::Shortcuts;
use super::strip::Strip;
use crate::background::Later;
use crate::comparison::{Measured, OtherRun};
use crate::training::TrainingRun;

/// The runs whose models are shown.
#[derive(Clone, Copy)]
pub(super) struct From<'a> {
    pub run: &'a TrainingRun,
    pub other: Option<&'a OtherRun>,
}

/// What is shown of one run.
pub(super) struct Shown {
    pub cases: Cases,
    /// The models that are compared with each other: the second against the first.
    pub pair: [usize; 2],
    pub which: Which,
    pub order: Order,
    /// Places of the figure's images in `cases`.
    pub rows: Vec<usize>,
    /// Grows where `rows` are other ones.
    pub list: u64,
    pub strip: Strip,
    /// The image that A opens in Annotate.
    pub picked: Option<ImageId>,
    pub view: View,
    /// The row that the figure is to begin with.
    pub scroll_to: Option<usize>,
    /// The row that the strip below one image was brought to.
    pub in_strip: Option<usize>,
    pub measured: Later<Measured>,
    pub shortcuts: Shortcuts,
}

impl Shown {
    /// Drawn up anew where the run or the project has changed since.
    pub fn renewed(
        before: Option<Self>,
        ctx: &egui::Context,
        from: From<'_>,
        project: &Project,
        order: Order,
        view: View,
    ) -> Self {
        let key = Key::of(from.run, from.other, project);
        let Some(mut shown) = before else {
            return Self::new(ctx, from, project, order, view, None);
        };
        if shown.cases.key == key {
            return shown;
        }
        if !shown.cases.key.is_of_the_same(key) {
            let before = Some(shown.shortcuts);
            return Self::new(ctx, from, project, order, view, before);
        }
        let before = std::mem::replace(&mut shown.cases, Cases::new(from.run, from.other, project));
        if !shown.cases.is_labelled_as(&before) {
            shown.measured = measured(ctx, from, &shown.cases);
        }
        shown.shortcuts = Shortcuts::start(ctx, from, &shown.cases, project, Some(shown.shortcuts));
        shown.list(project);
        shown
    }

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
    pub fn list(&mut self, project: &Project) {
        self.rows = self.cases.rows(self.which, self.order, self.pair, project);
        self.list += 1;
        self.in_strip = None;
    }

    pub fn fill_strip(&mut self, cell: Cell) {
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

    pub fn place_of_picked(&self) -> Option<usize> {
        let picked = self.picked?;
        let is_picked = |row: &usize| self.cases.all[*row].image == picked;
        self.rows.iter().position(is_picked)
    }

    /// After a click elsewhere: the picked image is among the rows.
    pub fn bring_picked(&mut self, project: &Project) {
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
