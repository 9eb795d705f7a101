//! The proof of geometry: beside the image with its boxes, exactly the tensor that the network saw, under the same boxes
//! as the attention loss has them.

use care_data::{Image, ImageId, Part, Project};
use care_learn::config::Augmentation;
use care_learn::network_input::NetworkInput;
use egui::{
    Align2, ColorImage, FontId, Rect, RichText, Role, Sense, Stroke, TextStyle, TextureHandle,
    TextureOptions, Ui, WidgetInfo, pos2, vec2,
};

use super::tokens::{self, Tokens, size};
use super::widgets::{
    IconButton, WordButton, box_on_screen, box_outline, picture_ui, segmented, sheet, texture_ui,
};
use super::{icons, tokens::radius};
use crate::command::{Command, Commands};
use crate::format;
use crate::proof::Proof;
use crate::textures::Textures;

/// What lies over the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Over {
    /// Nothing.
    Pixels,
    /// What is outside the boxes is dimmed.
    #[default]
    Boxes,
    /// Each cell of the activation map by its share inside the boxes.
    Grid,
}

/// A picture of the tensor, and what it shows.
struct Drawn {
    of: (ImageId, Option<u64>, Over),
    texture: TextureHandle,
}

#[derive(Default)]
pub struct ProofSheet {
    over: Over,
    drawn: Option<Drawn>,
}

impl ProofSheet {
    pub fn ui(
        &mut self,
        ctx: &egui::Context,
        proof: &mut Proof,
        project: &Project,
        textures: &mut Textures,
        commands: &mut Commands,
    ) {
        let Some(image) = project.image(proof.image) else {
            commands.send(Command::EndProof);
            return;
        };
        let window = ctx.content_rect().size();
        let side = ((window.x - 160.0) / 2.0).min(window.y - 300.0);
        let side = side.clamp(160.0, 420.0).round();
        let ends = sheet(ctx, "what the network saw").show(ctx, |ui| {
            ui.set_width(2.0 * side + 24.0);
            ui.spacing_mut().item_spacing.y = 8.0;
            let ends = head_ui(ui, image, proof);
            let (view, of) = (proof.view, proof.image);
            let input = proof.input.get();
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 24.0;
                ui.vertical(|ui| original_ui(ui, side, image, project, textures));
                ui.vertical(|ui| self.tensor_ui(ui, side, input, (of, view)));
            });
            let failed = proof.input.has_failed();
            match proof.input.get() {
                Some(Ok(input)) => facts_ui(ui, image, input),
                Some(Err(why)) => {
                    ui.add(
                        egui::Label::new(RichText::new(why).color(Tokens::of(ui).danger)).wrap(),
                    );
                }
                None if failed => {
                    ui.label("It could not be worked out. Try again.");
                }
                None => {
                    ui.label("The image is being read as for training.");
                }
            }
            views_ui(ui, proof, commands);
            ends
        });
        if ends.inner || ends.should_close() {
            commands.send(Command::EndProof);
        }
    }

    fn tensor_ui(
        &mut self,
        ui: &mut Ui,
        side: f32,
        input: Option<&Result<NetworkInput, String>>,
        (image, view): (ImageId, Option<u64>),
    ) {
        ui.horizontal(|ui| {
            ui.set_height(28.0);
            heading(ui, "as the network sees it");
        });
        let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::hover());
        response.widget_info(|| {
            WidgetInfo::labeled(Role::Image, true, "The tensor that the network saw")
        });
        let t = Tokens::of(ui);
        ui.painter()
            .rect_filled(rect, f32::from(radius::IMAGE), t.raised);
        if let Some(Ok(input)) = input {
            let of = (image, view, self.over);
            if self.drawn.as_ref().is_none_or(|drawn| drawn.of != of) {
                let pixels = pixels(input, self.over);
                let texture = ui
                    .ctx()
                    .load_texture("tensor", pixels, TextureOptions::NEAREST);
                self.drawn = Some(Drawn { of, texture });
            }
            if let Some(drawn) = &self.drawn {
                texture_ui(ui.painter(), rect, &drawn.texture, egui::Color32::WHITE);
            }
            if self.over == Over::Grid {
                grid_ui(ui, rect, input.grid);
            }
        } else {
            self.drawn = None;
        }
        let choices = [
            (Over::Pixels, "Pixels"),
            (Over::Boxes, "Inside the boxes"),
            (Over::Grid, "On the map\u{2019}s grid"),
        ]
        .map(|(over, text)| (over, text.to_owned()));
        segmented(ui, "Over the tensor", &choices, &mut self.over);
    }
}

fn heading(ui: &mut Ui, text: &str) {
    let ink = Tokens::of(ui).text_strong;
    ui.label(RichText::new(text).font(tokens::medium(13.0)).color(ink));
}

/// True where it is to be put away.
fn head_ui(ui: &mut Ui, image: &Image, proof: &Proof) -> bool {
    let t = Tokens::of(ui);
    ui.horizontal(|ui| {
        ui.label(
            RichText::new("What the network sees")
                .text_style(TextStyle::Heading)
                .color(t.text_strong),
        );
        let whose = format!("{}, {}", image.name(), proof.whose.to_lowercase());
        ui.label(RichText::new(whose).color(t.text_weak));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            IconButton::new(icons::X, "Close").ui(ui).clicked()
        })
        .inner
    })
    .inner
}

fn original_ui(ui: &mut Ui, side: f32, image: &Image, project: &Project, textures: &mut Textures) {
    ui.horizontal(|ui| {
        ui.set_height(28.0);
        heading(ui, "the image with its boxes");
    });
    let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, image.name()));
    let picture = textures.full(image.id, project.look(), || project.path_of(image));
    let rect = picture_ui(ui, rect, &picture);
    let painter = ui.painter().with_clip_rect(rect);
    for annotation in project.boxes(image.id) {
        let on_screen = box_on_screen(annotation.rect, image.size, rect);
        box_outline(&painter, on_screen, false);
    }
}

/// Lines between the cells of the map.
fn grid_ui(ui: &Ui, rect: Rect, [height, width]: [usize; 2]) {
    let stroke = Stroke::new(1.0, tokens::OVERLAY_EDGE);
    let painter = ui.painter().with_clip_rect(rect);
    for column in 1..width {
        let x = egui::lerp(rect.x_range(), column as f32 / width as f32);
        painter.vline(x, rect.y_range(), stroke);
    }
    for row in 1..height {
        let y = egui::lerp(rect.y_range(), row as f32 / height as f32);
        painter.hline(rect.x_range(), y, stroke);
    }
    painter.text(
        pos2(rect.left() + 8.0, rect.bottom() - 8.0),
        Align2::LEFT_BOTTOM,
        format!("{height} \u{d7} {width}"),
        FontId::proportional(12.0),
        tokens::OVERLAY_TEXT,
    );
}

fn pixels(input: &NetworkInput, over: Over) -> ColorImage {
    /// What is left of the light of a pixel outside.
    const DIMMED: f32 = 0.35;
    let [width, height] = [input.size.width, input.size.height].map(|side| side as usize);
    let [rows, columns] = input.grid;
    let share = |at: usize| match over {
        Over::Pixels => 1.0,
        Over::Boxes => f32::from(u8::from(input.inside.get(at) == Some(&true))),
        Over::Grid => {
            let cell = (at / width * rows / height) * columns + at % width * columns / width;
            input.inside_grid.get(cell).copied().unwrap_or(0.0)
        }
    };
    let pixels = input.rgb.chunks_exact(3).enumerate().map(|(at, rgb)| {
        let light = DIMMED + (1.0 - DIMMED) * share(at);
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(|v| (f32::from(v) * light).round() as u8);
        egui::Color32::from_rgb(r, g, b)
    });
    ColorImage::new([width, height], pixels.collect())
}

fn facts_ui(ui: &mut Ui, image: &Image, input: &NetworkInput) {
    let t = Tokens::of(ui);
    let [low, high] = input.range.map(f64::from);
    let inside = input.inside.iter().filter(|inside| **inside).count();
    let share = inside as f64 / input.inside.len().max(1) as f64;
    let first = format!(
        "{} \u{d7} {} pixels become a tensor of 3 \u{d7} {} \u{d7} {}, its values from {} to {}. Shown is that tensor, its normalisation undone.",
        image.size.width,
        image.size.height,
        input.size.height,
        input.size.width,
        format::plain(low),
        format::plain(high),
    );
    let is_learned_from = image.part == Part::Train;
    let second = match (inside, is_learned_from) {
        (0, true) => {
            "As its boxes are today there is none to learn from: the attention loss leaves it out."
                .to_owned()
        }
        (0, false) => "It has no box today that its attention could be scored with.".to_owned(),
        _ => format!(
            "{} of {} pixels ({:.0} %) lie in the boxes as they are today. {} {} \u{d7} {} cells.",
            format::count(inside),
            format::count(input.inside.len()),
            100.0 * share,
            if is_learned_from {
                "The loss weighs them on the map\u{2019}s own grid of"
            } else {
                "These boxes only score its attention; the map has"
            },
            input.grid[0],
            input.grid[1],
        ),
    };
    for text in [first, second] {
        ui.add(egui::Label::new(RichText::new(text).color(t.text)).wrap());
    }
}

/// The ways to a view as training shows it, where training changes its images.
fn views_ui(ui: &mut Ui, proof: &Proof, commands: &mut Commands) {
    let t = Tokens::of(ui);
    let weak = |text: &str| {
        RichText::new(text)
            .text_style(tokens::caption())
            .color(t.text_weak)
    };
    if proof.config.augmentation == Augmentation::default() {
        ui.label(weak(
            "These settings change nothing at random, so training sees the same.",
        ));
        return;
    }
    ui.horizontal(|ui| {
        let next = proof.view.map_or(0, |view| view + 1);
        let button = WordButton::new(if proof.view.is_none() {
            "As one training step may show it"
        } else {
            "Another one"
        });
        if button.height(size::BUTTON).ui(ui).clicked() {
            commands.send(Command::Prove(proof.image, Some(next)));
        }
        if proof.view.is_some() {
            if WordButton::new("As it is tested").ui(ui).clicked() {
                commands.send(Command::EndProof);
                commands.send(Command::Prove(proof.image, None));
            }
            ui.label(weak("Drawn by the run\u{2019}s settings, pixels and boxes together; not a step that was made."));
        }
    });
}
