//! The loss lens: every term of the attention loss for the image in hand, as sliders and boxes move.

mod terms;
mod tint;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use care_data::{BoundingBox, Image, ImageSize, Part};
use care_learn::config::{Normalisation, Outside};
use care_learn::lens::{Lens, LensMasks, normalised};
use care_learn::{AttentionMap, LiveParams, ModelRole};
use egui::{Painter, Rect, RichText, Sense, Stroke, StrokeKind, Ui, vec2};

use self::terms::terms_ui;
use self::tint::{Tint, Tinted};
use super::Context;
use super::overlay::{self, Shown};
use super::tokens::{self, Tokens, radius, size};
use super::widgets::{
    WordButton, box_on_screen, box_outline, fitted, picture_ui, segmented, segmented_across,
    segmented_where, slider_row,
};
use crate::command::{Action, Command};
use crate::format;
use crate::lens::{Of, Seen, Shows, View};

/// Of the picture over the lens, where it has one of its own: the height at most.
const CARD_PICTURE: f32 = 224.0;

/// How strong the tint's colours are.
const STRENGTH: &str = "The colour is as strong as the attention to the power of 0.6, so that little is seen too, and stronger where dL/dF is larger. The exact number is under the pointer.";

/// The lens on one image, as drawn in this frame.
pub struct Reading {
    pub lens: Lens,
    pub f: AttentionMap,
    /// Names the values of `f`.
    key: u64,
    pub is_flat: bool,
}

/// What of the masks was asked for.
#[derive(Debug, Clone, PartialEq)]
struct MasksOf {
    boxes: Vec<BoundingBox>,
    box_scale: f64,
    outside: Outside,
    image: ImageSize,
    input_size: u32,
    grid: [usize; 2],
}

impl MasksOf {
    fn masks(&self) -> Option<LensMasks> {
        let input = ImageSize::new(self.input_size, self.input_size);
        LensMasks::new(
            &self.boxes,
            self.box_scale,
            self.outside,
            self.image,
            input,
            self.grid,
        )
    }
}

#[derive(Default)]
pub struct LensView {
    /// The sliders under the hand. Letting go makes one change of it, as with a box.
    dragged: Option<LiveParams>,
    /// Sliders elsewhere, under the hand.
    followed: Option<LiveParams>,
    masks: Option<(MasksOf, Option<LensMasks>)>,
    reading: Option<Reading>,
    tint: Tint,
}

impl LensView {
    /// What the terms were in this frame.
    #[must_use]
    pub fn reading(&self) -> Option<&Reading> {
        self.reading.as_ref()
    }

    /// The sliders of the loss, and of what its masks and its map are, each with a sentence.
    pub fn sliders_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let mut live = self.live(cx);
        let before = live;
        ui.spacing_mut().item_spacing = vec2(12.0, 0.0);
        slider_row(ui, "alpha", &mut live.alpha, 0.0..=1.0);
        under(
            ui,
            match live.alpha {
                0.0 => "Boxes count for nothing, as in the control.",
                1.0 => "Only where it looks counts, not what it says.",
                _ => "Where it looks counts, against what it says.",
            },
        );
        slider_row(ui, "lambda", &mut live.lambda, 0.0..=2.0);
        under(
            ui,
            match live.lambda {
                0.0 => "Attention outside the box costs nothing.",
                _ => "What attention outside the box costs.",
            },
        );
        slider_row(ui, "tau", &mut live.tau, 0.0..=1.0);
        under(
            ui,
            match live.tau {
                0.0 => "Attention in the box earns nothing.",
                _ => "Mean attention in the box that is enough.",
            },
        );
        if live != before {
            self.dragged = Some(live);
        }
    }

    /// What the boxes are scaled by, how the map is normalised and what counts as outside: settings of the next run.
    fn settings_ui(ui: &mut Ui, cx: &mut Context<'_>) {
        let mut draft = cx.draft.clone();
        ui.spacing_mut().item_spacing = vec2(12.0, 0.0);
        slider_row(ui, "box scale", &mut draft.box_scale, 0.7..=1.3);
        under(
            ui,
            match draft.box_scale {
                scale if scale < 0.995 => "Only the middle of each box earns a reward.",
                scale if scale > 1.005 => "A rim round each box earns a reward too.",
                _ => "Each box counts as it was drawn.",
            },
        );
        let choice = |ui: &mut Ui, label: &str, add: &mut dyn FnMut(&mut Ui)| {
            ui.horizontal(|ui| {
                ui.set_height(size::ROW);
                let (rect, _) = ui.allocate_exact_size(vec2(64.0, size::ROW), Sense::hover());
                ui.painter().text(
                    rect.left_center(),
                    egui::Align2::LEFT_CENTER,
                    label,
                    egui::FontId::proportional(13.0),
                    Tokens::of(ui).text_strong,
                );
                add(ui);
            });
        };
        choice(ui, "map", &mut |ui| {
            let choices = [
                (Normalisation::Max, "max"),
                (Normalisation::MinMax, "min\u{2013}max"),
            ];
            let choices = choices.map(|(value, text)| (value, text.to_owned()));
            segmented_across(ui, "Normalisation", &choices, &mut draft.normalisation);
        });
        under(
            ui,
            match draft.normalisation {
                Normalisation::Max => "1 is its largest value; evidence against the class is 0.",
                Normalisation::MinMax => "1 is its largest value, 0 its smallest.",
            },
        );
        choice(ui, "outside", &mut |ui| {
            let choices = [
                (Outside::Uniform, "alike"),
                (Outside::Distance, "by distance"),
            ];
            let choices = choices.map(|(value, text)| (value, text.to_owned()));
            segmented_across(ui, "Outside", &choices, &mut draft.outside);
        });
        under(
            ui,
            match draft.outside {
                Outside::Uniform => "Attention costs the same everywhere outside.",
                Outside::Distance => "The farther from a box, the more attention costs.",
            },
        );
        if draft != *cx.draft {
            cx.commands.send(Command::SetDraft(draft));
        }
    }

    /// The sliders as they are under the hand.
    fn live(&self, cx: &Context<'_>) -> LiveParams {
        let in_hand = self.dragged.or(self.followed);
        in_hand.unwrap_or(cx.draft.live)
    }

    /// Computes the terms anew for `boxes` on `image`; none while the model has not answered.
    fn read(&mut self, cx: &Context<'_>, image: &Image, boxes: &[BoundingBox]) {
        let live = self.live(cx);
        self.reading = None;
        let Some(Ok(seen)) = cx.lens.seen(image) else {
            return;
        };
        let draft = cx.draft;
        let of = MasksOf {
            boxes: boxes.to_vec(),
            box_scale: draft.box_scale,
            outside: draft.outside,
            image: image.size,
            input_size: seen.input_size,
            grid: [seen.raw.height, seen.raw.width],
        };
        if self.masks.as_ref().is_none_or(|(before, _)| *before != of) {
            let masks = of.masks();
            self.masks = Some((of, masks));
        }
        let masks = self.masks.as_ref().and_then(|(_, masks)| masks.as_ref());
        let Seen {
            key,
            raw,
            probability,
            ..
        } = seen;
        let f = normalised(raw, draft.normalisation);
        self.reading = Some(Reading {
            lens: Lens::new(&f, masks, live, *probability, draft.focal_gamma),
            is_flat: f.values.iter().all(|value| *value == 0.0),
            key: key ^ (1 + draft.normalisation as u64),
            f,
        });
    }

    /// The terms of the loss for `boxes` on `image`, or why there are none. Sliders come before: what they were moved to in
    /// this frame is shown in this frame.
    pub fn terms_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        image: &Image,
        boxes: &[BoundingBox],
    ) {
        self.read(cx, image, boxes);
        let mut live = self.live(cx);
        let before = live;
        match (&self.reading, cx.lens.model(), cx.lens.seen(image)) {
            (Some(reading), ..) => {
                if reading.is_flat {
                    sentence(ui, "The map is flat: it says nothing about a place.");
                }
                if reading.lens.boxed.is_none() {
                    sentence(ui, "Draw a box to see its loss.");
                }
                terms_ui(ui, &reading.lens, &mut live.tau);
            }
            (None, Some(Err(why)), _) | (None, _, Some(Err(why))) => sentence(ui, why),
            _ if !cx.lens.can_answer() => {
                sentence(
                    ui,
                    "No model can be asked. Close other programs and try again.",
                );
            }
            _ => sentence(ui, "Looking\u{2026}"),
        }
        if live != before {
            self.dragged = Some(live);
            // The curve is drawn; the sliders above it follow in the next frame.
            ui.ctx().request_repaint();
        }
        ui.add_space(4.0);
        sentence(ui, &source(cx, image));
    }

    /// Hands on what a slider was moved to, once it is let go. Last in a frame.
    fn let_go(&mut self, ui: &Ui, cx: &mut Context<'_>) {
        if !ui.ctx().egui_is_using_pointer()
            && let Some(live) = self.dragged.take()
        {
            cx.commands.send(Command::SetLive(live));
        }
    }

    /// What is to lie over `image` in this frame.
    pub fn over<'a>(
        &'a mut self,
        ctx: &egui::Context,
        cx: &Context<'_>,
        image: &Image,
        boxes: &[BoundingBox],
    ) -> Over<'a> {
        let (Some(reading), Some(_)) = (&self.reading, cx.lens.role()) else {
            return Over::Nothing;
        };
        if cx.lens.view.shows == Shows::Map {
            return Over::Map(Shown {
                key: reading.key,
                map: &reading.f,
                gain: 1.0,
            });
        }
        // Without a box there is nothing to tint, and the image is to be drawn on in its colours.
        let (Some((of, Some(masks))), Some(boxed)) = (&self.masks, &reading.lens.boxed) else {
            return Over::Nothing;
        };
        let scaled: Vec<BoundingBox> = boxes
            .iter()
            .filter_map(|rect| rect.scaled(of.box_scale, image.size).ok())
            .collect();
        let LiveParams { alpha, lambda, .. } = reading.lens.live;
        let grid = cx.map_style.grid;
        self.tint.renew(
            ctx,
            &Tinted {
                f: &reading.f,
                masks,
                grid,
                keys: [
                    reading.key.rotate_left(grid as u32),
                    match of.outside {
                        Outside::Uniform => 0,
                        Outside::Distance => hash_of(&scaled) | 1,
                    },
                ],
                boxes: &scaled,
                image: image.size,
                gradients: [
                    if boxed.is_enough { 0.0 } else { alpha },
                    if boxed.outside > 0.0 {
                        alpha * lambda
                    } else {
                        0.0
                    },
                ],
            },
        );
        Over::Tint(&self.tint)
    }

    /// What the tint's colours say just now; nothing without a box.
    pub fn legend_ui(&self, ui: &mut Ui) {
        let t = Tokens::of(ui);
        let Some(boxed) = self.reading.as_ref().and_then(|reading| reading.lens.boxed) else {
            return;
        };
        let rewarded = match (boxed.is_enough, boxed.inside < 0.0) {
            (true, _) => "enough: no more reward",
            (false, true) => "rewarded",
            (false, false) => "no reward",
        };
        let penalised = if boxed.outside > 0.0 {
            "penalised"
        } else {
            "no penalty"
        };
        for (is_on, ink, text, hint) in [
            (
                boxed.inside < 0.0,
                t.reward,
                rewarded,
                "In the box: where attention lowers the loss, dL/dF < 0.",
            ),
            (
                boxed.outside > 0.0,
                t.penalty,
                penalised,
                "Outside the box: where attention raises the loss, dL/dF > 0.",
            ),
        ] {
            let (chip, response) = ui.allocate_exact_size(vec2(12.0, 12.0), Sense::hover());
            let corner = f32::from(radius::BAR);
            if is_on {
                ui.painter().rect_filled(chip, corner, ink);
            } else {
                let stroke = Stroke::new(1.5, ink);
                ui.painter()
                    .rect_stroke(chip, corner, stroke, StrokeKind::Inside);
            }
            ui.add_space(-2.0);
            let text = RichText::new(text).text_style(tokens::caption());
            let response = response | ui.label(text.color(t.text));
            response.on_hover_text(format!("{hint} {STRENGTH}"));
        }
    }

    /// F and dL/dF at a pixel of the image, in words; none beyond it or while there is no lens.
    #[must_use]
    pub fn at(&self, image: &Image, [x, y]: [f64; 2]) -> Option<String> {
        let reading = self.reading.as_ref()?;
        let [u, v] = [
            x / f64::from(image.size.width),
            y / f64::from(image.size.height),
        ];
        if !(0.0..1.0).contains(&u) || !(0.0..1.0).contains(&v) {
            return None;
        }
        let grid = care_figures::Grid::Smooth;
        let f = care_figures::map_style::sample(&reading.f, grid, u as f32, v as f32);
        let (_, masks) = self.masks.as_ref()?;
        let gradient = reading.lens.boxed?.gradient(masks.as_ref()?, u, v);
        Some(format!("F {f:.2}, dL/dF {}", format::scientific(gradient)))
    }
}

/// What lies over the image in hand.
pub enum Over<'a> {
    Nothing,
    Map(Shown<'a>),
    /// The image under it is nearly grey.
    Tint(&'a Tint),
}

impl Over<'_> {
    #[must_use]
    pub fn is_muted(&self) -> bool {
        matches!(self, Self::Tint(_))
    }

    /// Over the image at `rect`.
    pub fn ui(&self, painter: &Painter, cx: &mut Context<'_>, rect: Rect) {
        match self {
            Self::Nothing => {}
            Self::Map(shown) => overlay::map_ui(painter, cx, rect, *shown, 1.0),
            Self::Tint(tint) => tint.ui(painter, rect),
        }
    }
}

fn hash_of(boxes: &[BoundingBox]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for value in boxes.iter().flat_map(|rect| rect.xyxy()) {
        value.to_bits().hash(&mut hasher);
    }
    hasher.finish()
}

/// The lens of `image` with `boxes`, top to bottom: sliders, terms, settings. Where no model is shown, a button for it.
pub fn lens_ui(
    view: &mut LensView,
    ui: &mut Ui,
    cx: &mut Context<'_>,
    image: &Image,
    boxes: &[BoundingBox],
    has_sliders: bool,
) {
    if cx.lens.role().is_none() {
        view.reading = None;
        off_ui(ui, cx);
        return;
    }
    if has_sliders {
        view.sliders_ui(ui, cx);
        ui.add_space(8.0);
    }
    view.terms_ui(ui, cx, image, boxes);
    ui.add_space(8.0);
    LensView::settings_ui(ui, cx);
    view.let_go(ui, cx);
}

/// While nothing is shown: what it would be, and the button for it.
fn off_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    sentence(
        ui,
        "What the attention loss rewards and penalises in this image, as boxes and sliders move.",
    );
    ui.add_space(8.0);
    let key = Action::Lens.shortcut(ui.ctx());
    let key = key.map_or_else(String::new, |key| ui.ctx().format_shortcut(&key));
    let button = WordButton::new("Show the lens").key(key).height(28.0);
    let response = button.ui(ui);
    let response = response.on_hover_text(Action::Lens.spec().tooltip);
    if response.clicked() {
        cx.commands.send(Command::SetLens(toggled(cx)));
    }
}

/// The lens where there is none; the map where there is.
#[must_use]
pub fn toggled(cx: &Context<'_>) -> View {
    match cx.lens.role() {
        None => View {
            role: Some(cx.lens.newest()),
            shows: Shows::Lens,
        },
        role => View {
            role,
            shows: match cx.lens.view.shows {
                Shows::Map => Shows::Lens,
                Shows::Lens => Shows::Map,
            },
        },
    }
}

/// Whose attention is shown, and while one's is, whether as a map or as the lens.
pub fn view_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    let before = View {
        role: cx.lens.role(),
        ..cx.lens.view
    };
    let mut view = before;
    role_ui(ui, cx, &mut view.role);
    if before.role.is_some() {
        let shows = [(Shows::Map, "Map"), (Shows::Lens, "Lens")];
        let shows = shows.map(|(shows, text)| (shows, text.to_owned()));
        segmented(ui, "Map or lens", &shows, &mut view.shows);
    }
    if view != before {
        cx.commands.send(Command::SetLens(view));
    }
}

fn role_ui(ui: &mut Ui, cx: &Context<'_>, role: &mut Option<ModelRole>) {
    // Where no run has left a model, the network that one would begin with stands in for stage 1.
    let before = if cx.lens.is_untrained() {
        "Untrained"
    } else {
        "Before"
    };
    let choices = [
        (None, "Off"),
        (Some(ModelRole::Before), before),
        (Some(ModelRole::Control), "Control"),
        (Some(ModelRole::Care), "CARE"),
    ];
    let choices = choices.map(|(role, text)| (role, text.to_owned()));
    let why_not = |role: Option<ModelRole>| {
        let is_there = role.is_none_or(|role| cx.lens.is_there(role));
        (!is_there).then(|| {
            if cx.lens.is_untrained() {
                "Appears once a run has saved it".to_owned()
            } else {
                "This run has no such model".to_owned()
            }
        })
    };
    segmented_where(ui, "Model attention", &choices, role, &why_not);
}

/// The lens of an image that is not in hand elsewhere, over a small picture of it; `live` are the sliders as they are
/// under the hand.
pub fn lens_card_ui(
    view: &mut LensView,
    ui: &mut Ui,
    cx: &mut Context<'_>,
    image: &Image,
    live: Option<LiveParams>,
) {
    view.followed = live;
    let boxes: Vec<BoundingBox> = cx.boxes(image.id).iter().map(|it| it.rect).collect();
    if cx.lens.role().is_some() {
        // One row is wider than the card.
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(8.0, 8.0);
            view_ui(ui, cx);
        });
        ui.add_space(8.0);
        let whole = vec2(image.size.width as f32, image.size.height as f32);
        let most = vec2(ui.available_width(), CARD_PICTURE);
        let cell = Rect::from_min_size(ui.cursor().min, most);
        let (rect, response) = ui.allocate_exact_size(fitted(cell, whole).size(), Sense::hover());
        let picture = cx.thumbnail(image);
        let rect = picture_ui(ui, rect, &picture);
        view.read(cx, image, &boxes);
        let painter = ui.painter_at(rect);
        let ctx = ui.ctx().clone();
        view.over(&ctx, cx, image, &boxes).ui(&painter, cx, rect);
        for rect_of in &boxes {
            box_outline(&painter, box_on_screen(*rect_of, image.size, rect), false);
        }
        let pixel = response.hover_pos().map(|pos| {
            let [width, height] = [image.size.width, image.size.height].map(f64::from);
            let scale = f64::from(rect.width()) / width;
            super::view::View::centred([width / 2.0, height / 2.0], scale, rect).to_image(pos)
        });
        if let Some(text) = pixel.and_then(|pixel| view.at(image, pixel)) {
            response.on_hover_text_at_pointer(text);
        }
        ui.add_space(4.0);
        match cx.lens.view.shows {
            Shows::Map => sentence(ui, "On a scale of its own: 1 is this map's largest value."),
            Shows::Lens => {
                ui.horizontal(|ui| {
                    ui.spacing_mut().item_spacing.x = 8.0;
                    view.legend_ui(ui);
                });
            }
        }
        ui.add_space(4.0);
    }
    lens_ui(view, ui, cx, image, &boxes, false);
}

/// The next of those that there are, and after the last none.
#[must_use]
pub fn next_model(cx: &Context<'_>) -> View {
    let there = |role: &ModelRole| cx.lens.is_there(*role);
    let after = match cx.lens.role() {
        None => 0,
        Some(role) => role as usize + 1,
    };
    View {
        role: ModelRole::ALL.into_iter().skip(after).find(there),
        ..cx.lens.view
    }
}

/// Which model it is, and for which class.
fn source(cx: &Context<'_>, image: &Image) -> String {
    let class = cx.project.class(image.class);
    let class = class.map_or("its class", |class| class.name.as_str());
    let Some(Ok(model)) = cx.lens.model() else {
        return String::new();
    };
    // What is shown may still be of the checkpoint before.
    let shown = cx.lens.seen(image).and_then(|seen| seen.as_ref().ok());
    let of = shown.map_or(model.of, |seen| seen.of);
    let mut words = match of {
        Of::Untrained { pretrained: false } => format!(
            "Attention of an untrained network, for the class {class}: nothing has been learned yet."
        ),
        Of::Untrained { pretrained: true } => format!(
            "Attention of the pretrained network, for the class {class}: nothing of this project has been learned yet."
        ),
        Of::Run { id, role, training } => {
            let which = match role {
                ModelRole::Before => "\u{201c}before\u{201d}, the stage-1 model of",
                ModelRole::Control => "the control of",
                ModelRole::Care => "CARE of",
            };
            let saved = match training.and_then(|at| at.elapsed().ok()) {
                Some(ago) => format!(
                    " in training, as saved {} ago",
                    format::duration(ago.as_secs_f32())
                ),
                None => String::new(),
            };
            format!("Attention of {which} run {id}{saved}, for the class {class}.")
        }
    };
    let last = || cx.project.runs().last().map(|run| run.id);
    if matches!(of, Of::Untrained { .. })
        && !cx.is_training
        && let Some(id) = cx.run.map(|run| run.id).or_else(last)
    {
        words += &format!(" Run {id} has no model that can be shown.");
    }
    if image.part != Part::Train {
        words += " A held-out image: nothing is learned from it.";
    }
    words
}

/// A sentence that belongs to the control over it.
fn under(ui: &mut Ui, text: &str) {
    ui.add_space(-4.0);
    sentence(ui, text);
    ui.add_space(4.0);
}

fn sentence(ui: &mut Ui, text: &str) {
    let text = RichText::new(text).text_style(tokens::caption());
    ui.add(egui::Label::new(text.color(Tokens::of(ui).text_weak)).wrap());
}
