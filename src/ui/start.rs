//! The start page: a place to drop a folder, the demo, the projects of late.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use egui::epaint::tessellator::path::rounded_rectangle;
use egui::epaint::{RectShape, RoundedRect};
use egui::{
    Align2, Color32, FontId, Layout, Rect, RichText, Role, ScrollArea, Sense, Shape, Stroke,
    StrokeKind, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};

use care_data::synthetic::Demo;
use care_data::{ImageId, Look};
use jiff::Zoned;

use super::paths::{drop_text, path_field};
use super::tokens::{self, Tokens, radius, size};
use super::widgets::{
    WordButton, elided, filling_uv, focus_ring, picture_ui, problem_ui, segmented_across,
};
use super::{icons, top_bar};
use crate::command::{Action, Command, Commands, Room};
use crate::format;
use crate::settings::RecentProject;
use crate::state::State;
use crate::textures::Textures;

const COLUMN: f32 = 1040.0;
const CARDS: f32 = 296.0;
const DEMO: f32 = 332.0;
const GAP: f32 = 24.0;
const ROW: f32 = 72.0;
/// Height of what stands in the drop zone.
const ZONE_CONTENTS: f32 = 206.0;

/// What each room shows of a demo.
fn rooms_of(demo: Demo) -> [(Room, &'static str); 4] {
    let classes = match demo {
        Demo::Skin => "four classes, one of them rare",
        Demo::Chest => "three classes, one of them rare",
    };
    [
        (Room::Images, classes),
        (Room::Annotate, "draw the boxes still missing"),
        (Room::Train, "CARE beside its control"),
        (Room::Compare, "before, control and CARE"),
    ]
}

#[derive(Default)]
pub struct StartRoom {
    /// The typed path.
    path: String,
    demo: Demo,
    /// Of everything on the page, as it was laid out last.
    height: f32,
}

impl StartRoom {
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        state: &State,
        textures: &mut Textures,
        commands: &mut Commands,
    ) {
        let page = ui.available_size();
        let width = (page.x - 2.0 * GAP).min(COLUMN);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            let offset = vec2(
                ((page.x - width) / 2.0).round(),
                ((page.y - self.height) / 2.0).max(GAP).round(),
            );
            let column = Rect::from_min_size(ui.max_rect().min + offset, vec2(width, page.y));
            let response = ui
                .scope_builder(UiBuilder::new().max_rect(column), |ui| {
                    ui.spacing_mut().item_spacing.y = 0.0;
                    self.column_ui(ui, state, textures, commands);
                })
                .response;
            ui.add_space(GAP);
            if self.height != response.rect.height() {
                self.height = response.rect.height();
                ui.ctx()
                    .request_discard("the page is centred by its height");
            }
        });
    }

    fn column_ui(
        &mut self,
        ui: &mut Ui,
        state: &State,
        textures: &mut Textures,
        commands: &mut Commands,
    ) {
        let t = Tokens::of(ui);
        title_ui(ui);
        ui.add_space(GAP);
        if let Some(problem) = &state.problem {
            ui.scope(|ui| {
                ui.spacing_mut().item_spacing.y = 4.0;
                problem_ui(ui, problem, commands);
            });
            ui.add_space(GAP);
        }

        let recent = &state.settings.recent;
        let width = ui.available_width();
        let (cards, _) = ui.allocate_exact_size(vec2(width, CARDS), Sense::hover());
        let (zone, demo) = cards.split_left_right_at_x(cards.right() - DEMO);
        let zone = zone.with_max_x(zone.right() - GAP);
        self.zone_ui(ui, zone, !recent.is_empty(), commands);
        demo_ui(ui, demo, recent.is_empty(), &mut self.demo, commands);

        if !recent.is_empty() {
            ui.add_space(GAP);
            let (title, response) = ui.allocate_exact_size(vec2(width, 32.0), Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, "Recent projects"));
            ui.painter().text(
                title.left_center(),
                Align2::LEFT_CENTER,
                "Recent projects",
                tokens::semibold(15.0),
                t.text_strong,
            );
            let now = Zoned::now();
            for (place, project) in recent.iter().enumerate() {
                recent_ui(ui, place, project, &now, textures, commands);
            }
        }
        ui.add_space(GAP);
        ui.horizontal(|ui| {
            ui.label(
                RichText::new(icons::HARD_DRIVES)
                    .font(tokens::icon(size::ICON))
                    .color(t.text_weak),
            );
            ui.label(
                RichText::new("Works offline. Images, names and numbers stay on this computer.")
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
        });
    }

    fn zone_ui(&mut self, ui: &mut Ui, zone: Rect, primary: bool, commands: &mut Commands) {
        let t = Tokens::of(ui);
        let dropping = drop_text(ui.ctx());
        let painter = ui.painter().clone();
        let corner = f32::from(radius::START);
        if dropping.is_some() {
            painter.rect(
                zone,
                corner,
                t.accent_soft,
                Stroke::new(2.0, t.accent),
                StrokeKind::Inside,
            );
        } else {
            painter.rect_filled(zone, corner, t.panel);
            let mut edge = Vec::new();
            rounded_rectangle(&mut edge, RoundedRect::new(zone.shrink(0.5), corner));
            edge.extend(edge.first().copied());
            let stroke = Stroke::new(1.0, t.stroke_strong);
            painter.extend(Shape::dashed_line(&edge, stroke, 4.0, 3.0));
        }

        let inner = zone.shrink(24.0);
        let layout = Layout::top_down(egui::Align::Center);
        let ui = &mut ui.new_child(UiBuilder::new().max_rect(inner).layout(layout));
        ui.add_space((inner.height() - ZONE_CONTENTS) / 2.0);
        ui.label(
            RichText::new(icons::FOLDER_OPEN)
                .font(tokens::icon(40.0))
                .color(t.accent),
        );
        ui.add_space(8.0);
        ui.label(
            RichText::new(
                dropping
                    .as_deref()
                    .unwrap_or("Drop a folder of images here"),
            )
            .text_style(tokens::section())
            .color(t.text_strong),
        );
        ui.add_space(8.0);
        ui.label(
            RichText::new("One folder for each class, images with a table,\nor a data set with boxes: COCO, VOC, YOLO, RSNA \u{2026}")
                .line_height(Some(20.0))
                .color(t.text_weak),
        );
        ui.add_space(20.0);
        const CHOOSE: f32 = 148.0;
        const OPEN: f32 = 120.0;
        centred_row(ui, CHOOSE + 8.0 + OPEN, size::BUTTON, |ui| {
            let mut choose = WordButton::new(Action::ChooseFolder.spec().text)
                .icon(icons::FOLDER_OPEN)
                .width(CHOOSE);
            if primary {
                choose = choose.primary();
            }
            let open = WordButton::new(Action::OpenProject.spec().text).width(OPEN);
            for (button, action) in [(choose, Action::ChooseFolder), (open, Action::OpenProject)] {
                let tooltip = action.tooltip(ui.ctx());
                if button.ui(ui).on_hover_text(tooltip).clicked() {
                    commands.act(action);
                }
            }
        });
        ui.add_space(12.0);
        const FIELD: f32 = 400.0;
        centred_row(ui, FIELD, size::BUTTON_TOOLBAR, |ui| {
            if let Some(path) = path_field(ui, FIELD, &mut self.path) {
                commands.send(Command::OpenPath(path));
            }
        });
    }
}

fn title_ui(ui: &mut Ui) {
    let t = Tokens::of(ui);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        let (rect, _) = ui.allocate_exact_size(vec2(48.0, 56.0), Sense::hover());
        top_bar::mark(ui, rect.shrink2(vec2(0.0, 4.0)));
        ui.vertical(|ui| {
            ui.label(
                RichText::new("CARE Studio")
                    .text_style(tokens::title())
                    .color(t.text_strong),
            );
            ui.label("Show a classifier where to look.");
        });
    });
}

fn centred_row(ui: &mut Ui, width: f32, height: f32, contents: impl FnOnce(&mut Ui)) {
    let (rect, _) = ui.allocate_exact_size(vec2(width, height), Sense::hover());
    let layout = Layout::left_to_right(egui::Align::Center);
    contents(&mut ui.new_child(UiBuilder::new().max_rect(rect).layout(layout)));
}

fn demo_ui(ui: &mut Ui, card: Rect, primary: bool, demo: &mut Demo, commands: &mut Commands) {
    let t = Tokens::of(ui);
    ui.painter().rect(
        card,
        f32::from(radius::START),
        t.panel,
        Stroke::new(1.0, t.stroke),
        StrokeKind::Inside,
    );
    let ui = &mut ui.new_child(UiBuilder::new().max_rect(card.shrink(24.0)));
    ui.spacing_mut().item_spacing.y = 0.0;
    ui.label(
        RichText::new("Try a demo")
            .text_style(tokens::section())
            .color(t.text_strong),
    );
    ui.add_space(8.0);
    let kinds = [(Demo::Skin, "Skin"), (Demo::Chest, "Chest X-ray")];
    let kinds = kinds.map(|(demo, name)| (demo, name.to_owned()));
    segmented_across(ui, "Demo", &kinds, demo);
    ui.add_space(8.0);
    ui.label(
        RichText::new(format!(
            "{} synthetic images, a rare class, and a {} that misleads the model.",
            demo.num_images(),
            demo.shortcut()
        ))
        .line_height(Some(20.0)),
    );
    ui.add_space(6.0);
    for (place, (room, what)) in rooms_of(*demo).into_iter().enumerate() {
        ui.horizontal(|ui| {
            ui.set_height(22.0);
            let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
            top_bar::number(ui, rect.center(), place + 1, false);
            ui.label(
                RichText::new(room.name())
                    .font(tokens::medium(12.0))
                    .color(t.text_strong),
            );
            ui.label(
                RichText::new(what)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
        });
    }
    ui.with_layout(Layout::bottom_up(egui::Align::LEFT), |ui| {
        let width = (ui.available_width() - 8.0) / 2.0;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            let mut start = WordButton::new(Action::StartDemo.spec().text)
                .icon_fill(icons::PLAY)
                .width(width);
            if primary {
                start = start.primary();
            }
            if start.ui(ui).clicked() {
                commands.send(Command::OpenDemo(*demo));
            }
            let story = WordButton::new("Run it by itself").width(width).ui(ui);
            let tooltip = Action::PlayStory.tooltip(ui.ctx());
            if story.on_hover_text(tooltip).clicked() {
                commands.send(Command::PlayStory(*demo));
            }
        });
    });
}

/// A row of the list of recent projects; a click opens it.
fn recent_ui(
    ui: &mut Ui,
    place: usize,
    project: &RecentProject,
    now: &Zoned,
    textures: &mut Textures,
    commands: &mut Commands,
) {
    const PICTURE: f32 = 40.0;
    const COUNTS: f32 = 240.0;
    const DAY: f32 = 92.0;
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    let row = rect.expand2(vec2(12.0, 0.0));
    let response = ui.interact(row, ui.scope_id().with(("recent", place)), Sense::click());
    let name = project
        .dir
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    response
        .widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Open project {name}")));
    let painter = ui.painter().clone();
    if place > 0 {
        let y = rect.top().round() + 0.5;
        painter.hline(rect.x_range(), y, Stroke::new(1.0, t.stroke));
    }
    if response.hovered() || response.has_focus() {
        painter.rect_filled(row, f32::from(radius::CARD), t.raised);
    }
    focus_ring(ui, &response, radius::CARD);

    let mut x = rect.left();
    for path in project.pictures.iter().take(3) {
        let cell = Rect::from_min_size(
            pos2(x, rect.center().y - PICTURE / 2.0),
            vec2(PICTURE, PICTURE),
        );
        // No project is open, so no image has this id.
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let id = ImageId(-1 - (hasher.finish() >> 1) as i64);
        let picture = textures.thumbnail(id, Look::default(), || path.clone());
        match picture.texture() {
            Some(texture) => {
                let uv = filling_uv(cell.size(), texture.size_vec2());
                let corner = f32::from(radius::IMAGE);
                let shape = RectShape::filled(cell, corner, Color32::WHITE);
                painter.add(shape.with_texture(texture.id(), uv));
            }
            None => {
                picture_ui(ui, cell, &picture);
            }
        }
        x = cell.right() + 4.0;
    }
    x = rect.left() + 3.0 * (PICTURE + 4.0) + 12.0;

    let right = rect.right() - DAY - COUNTS;
    let caption = FontId::proportional(12.0);
    for (text, font, ink, y) in [
        (name.as_ref(), tokens::medium(13.0), t.text_strong, -18.0),
        (&place_of(&project.dir), caption.clone(), t.text_weak, 2.0),
    ] {
        let galley = elided(&painter, text, font, ink, right - x - 16.0);
        painter.galley(pos2(x, rect.center().y + y), galley, ink);
    }
    let images = format::plural(project.num_images, "image", "images");
    let counts = match project.num_rare {
        0 => images,
        rare => format!(
            "{images}, {} of {} boxed",
            format::count(project.num_boxed),
            format::count(rare)
        ),
    };
    for (text, at, align, ink) in [
        (
            counts,
            pos2(right, rect.center().y),
            Align2::LEFT_CENTER,
            t.text,
        ),
        (
            format::day(project.opened_at, now),
            rect.right_center(),
            Align2::RIGHT_CENTER,
            t.text_weak,
        ),
    ] {
        painter.text(at, align, text, caption.clone(), ink);
    }
    if response.clicked() {
        commands.send(Command::OpenProject(project.dir.clone()));
    }
    response.context_menu(|ui| {
        if ui.button("Remove from this list").clicked() {
            commands.send(Command::Forget(project.dir.clone()));
            ui.close();
        }
    });
}

/// Where a project lies, from the user's own folder on: "Documents / skin / derm-2018.care".
fn place_of(dir: &std::path::Path) -> String {
    let home = dirs::home_dir();
    let below = home.and_then(|home| dir.strip_prefix(home).ok().map(ToOwned::to_owned));
    match below {
        Some(below) => below
            .iter()
            .map(|part| part.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" / "),
        None => dir.display().to_string(),
    }
}
