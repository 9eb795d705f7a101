//! The bar along the top: the mark, the project, the four rooms with what is left in each, undo, device, theme.

use care_data::RunState;
use egui::{
    Align2, FontId, Id, Panel, Popup, Pos2, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2,
};

use super::widgets::{IconButton, focus_ring};
use super::{bar_frame, icons, tokens};
use crate::command::{Action, Command, Commands, Room};
use crate::format;
use crate::state::{BoxCounts, State};
use crate::training::Phase;
use tokens::Tokens;

/// Across a room's number.
const CIRCLE: f32 = 18.0;

pub fn top_bar(ui: &mut Ui, state: &State, counts: BoxCounts, commands: &mut Commands) {
    let t = Tokens::of(ui);
    Panel::top("top bar")
        .exact_size(tokens::size::TOP_BAR)
        .resizable(false)
        .frame(bar_frame(ui))
        .show(ui, |ui| {
            let bar = ui.max_rect();
            ui.horizontal_centered(|ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(22.0, 22.0), Sense::hover());
                mark(ui, rect);
                ui.label(
                    egui::RichText::new("CARE Studio")
                        .font(tokens::semibold(14.0))
                        .color(t.text_strong),
                );
                if let Some(project) = &state.project {
                    ui.add_space(8.0);
                    project_menu(ui, project.name(), commands);
                }
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.spacing_mut().item_spacing.x = 4.0;
                    right_side(ui, state, commands);
                });
            });
            if state.project.is_some() {
                rooms(ui, bar, state, counts, commands);
            }
        });
}

/// The mark: four corner brackets round a dot.
pub fn mark(ui: &Ui, rect: Rect) {
    let t = Tokens::of(ui);
    let unit = rect.width() / 22.0;
    let stroke = Stroke::new(2.0 * unit, t.accent);
    let (arm, inner) = (5.0 * unit, rect.shrink(1.5 * unit));
    let radius = 2.0 * unit;
    for (corner, sx, sy) in [
        (inner.left_top(), 1.0, 1.0),
        (inner.right_top(), -1.0, 1.0),
        (inner.left_bottom(), 1.0, -1.0),
        (inner.right_bottom(), -1.0, -1.0),
    ] {
        let mut points: Vec<Pos2> = vec![corner + vec2(0.0, sy * (arm + radius))];
        points.extend((0..=6).map(|i| {
            let angle = i as f32 / 6.0 * std::f32::consts::FRAC_PI_2;
            corner
                + vec2(
                    sx * radius * (1.0 - angle.cos()),
                    sy * radius * (1.0 - angle.sin()),
                )
        }));
        points.push(corner + vec2(sx * (arm + radius), 0.0));
        ui.painter().line(points, stroke);
    }
    ui.painter()
        .circle_filled(rect.center(), 4.0 * unit, t.text_strong);
}

fn project_menu(ui: &mut Ui, name: &str, commands: &mut Commands) {
    let t = Tokens::of(ui);
    let galley = ui
        .painter()
        .layout_no_wrap(name.to_owned(), FontId::proportional(13.0), t.text);
    let width = galley.size().x.min(220.0) + 40.0;
    let (rect, response) = ui.allocate_exact_size(vec2(width, 28.0), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Project {name}")));
    if response.hovered() {
        ui.painter().rect_filled(rect, 6.0, t.hover);
    }
    let text = Rect::from_min_max(rect.min + vec2(10.0, 0.0), rect.max - vec2(26.0, 0.0));
    ui.painter().with_clip_rect(text).galley(
        pos2(text.left(), rect.center().y - galley.size().y / 2.0),
        galley,
        t.text,
    );
    ui.painter().text(
        pos2(rect.right() - 14.0, rect.center().y),
        Align2::CENTER_CENTER,
        icons::CARET_DOWN,
        tokens::icon(12.0),
        t.text_weak,
    );
    focus_ring(ui, &response, tokens::radius::CONTROL);
    Popup::menu(&response).width(300.0).show(|ui| {
        for action in [
            Action::ChooseFolder,
            Action::Export,
            Action::OpenProject,
            Action::CloseProject,
        ] {
            let spec = action.spec();
            let text = if action == Action::ChooseFolder {
                "Add images"
            } else {
                spec.text
            };
            let key = action
                .shortcut(ui.ctx())
                .map(|shortcut| ui.ctx().format_shortcut(&shortcut))
                .unwrap_or_default();
            if ui
                .add(
                    egui::Button::new(text)
                        .shortcut_text(key)
                        .frame_when_inactive(false),
                )
                .clicked()
            {
                commands.act(action);
            }
        }
    });
}

fn right_side(ui: &mut Ui, state: &State, commands: &mut Commands) {
    let t = Tokens::of(ui);
    let ctx = ui.ctx().clone();
    if IconButton::new(icons::QUESTION, "Keys")
        .tooltip(&Action::ShowKeys.tooltip(&ctx))
        .ui(ui)
        .clicked()
    {
        commands.act(Action::ShowKeys);
    }
    let theme = if state.settings.light {
        icons::SUN
    } else {
        icons::MOON
    };
    if IconButton::new(theme, "Light or dark")
        .tooltip(&Action::SwitchTheme.tooltip(&ctx))
        .ui(ui)
        .clicked()
    {
        commands.act(Action::SwitchTheme);
    }
    ui.add_space(8.0);
    ui.label(
        egui::RichText::new(&state.device)
            .text_style(tokens::caption())
            .color(t.text),
    )
    .on_hover_text("What a run trains on");
    let glyph = if state.device == "CPU" {
        icons::CPU
    } else {
        icons::GRAPHICS_CARD
    };
    ui.label(
        egui::RichText::new(glyph)
            .font(tokens::icon(tokens::size::ICON))
            .color(t.text_weak),
    );
    if let Some(project) = &state.project {
        ui.add_space(12.0);
        for (action, glyph, edit) in [
            (Action::Redo, icons::ARROW_U_UP_RIGHT, project.redoable()),
            (Action::Undo, icons::ARROW_U_UP_LEFT, project.undoable()),
        ] {
            let tooltip = match edit {
                Some(edit) => format!(
                    "{}: {}",
                    action.tooltip(&ctx),
                    edit.describe().to_lowercase()
                ),
                None => action.tooltip(&ctx),
            };
            let button = IconButton::new(glyph, action.spec().text)
                .tooltip(&tooltip)
                .enabled(edit.is_some());
            if button.ui(ui).clicked() {
                commands.act(action);
            }
        }
    }
}

/// The number of a room in its circle, 18 across.
pub fn number(ui: &Ui, center: Pos2, number: usize, active: bool) {
    let t = Tokens::of(ui);
    let (ring, ink) = if active {
        (t.accent, t.accent)
    } else {
        (t.stroke_strong, t.text_weak)
    };
    ui.painter()
        .circle_stroke(center, CIRCLE / 2.0 - 0.5, Stroke::new(1.0, ring));
    ui.painter().text(
        center,
        Align2::CENTER_CENTER,
        number,
        FontId::proportional(11.0),
        ink,
    );
}

/// What stands in a room's chip.
struct Chip {
    text: String,
    /// A run is in progress.
    dot: bool,
}

fn chip(room: Room, state: &State, counts: BoxCounts) -> Option<Chip> {
    let plain = |text| Some(Chip { text, dot: false });
    let project = state.project.as_ref()?;
    match room {
        Room::Images => plain(format::count(project.images().len())),
        Room::Annotate if counts.rare == 0 => None,
        Room::Annotate => plain(format!(
            "{} / {}",
            format::count(counts.boxed),
            format::count(counts.rare)
        )),
        Room::Train => {
            let run = state.run.as_ref()?;
            match &run.phase {
                Phase::Loading(..) => Some(Chip {
                    text: "reading".into(),
                    dot: true,
                }),
                Phase::Training | Phase::Held | Phase::Stopping => {
                    let epoch = run
                        .step
                        .as_ref()
                        .map_or(1, |step| step.epoch.ceil() as u32)
                        .max(1);
                    Some(Chip {
                        text: format!("epoch {epoch}"),
                        dot: true,
                    })
                }
                Phase::Paused => plain("paused".into()),
                Phase::Evaluating { .. } => Some(Chip {
                    text: "testing".into(),
                    dot: true,
                }),
                Phase::Ended(_) | Phase::Failed(_) => None,
            }
        }
        Room::Compare => {
            let runs = project.runs().iter();
            match runs.filter(|run| run.state != RunState::Running).count() {
                0 => None,
                n => plain(format::plural(n, "run", "runs")),
            }
        }
    }
}

fn rooms(ui: &mut Ui, bar: Rect, state: &State, counts: BoxCounts, commands: &mut Commands) {
    const PADDING: f32 = 14.0;
    const GAP: f32 = 4.0;
    let t = Tokens::of(ui);
    let painter = ui.painter().clone();
    let narrow = bar.width() < 1200.0;
    let tabs: Vec<_> = Room::ALL
        .into_iter()
        .map(|room| {
            let active = room == state.room;
            let ink = if active { t.text_strong } else { t.text_weak };
            let name = painter.layout_no_wrap(room.name().into(), tokens::medium(13.0), ink);
            let chip = chip(room, state, counts).filter(|_| !narrow).map(|chip| {
                let galley = painter.layout_no_wrap(chip.text, FontId::proportional(12.0), t.text);
                (galley, chip.dot)
            });
            let chip_width = chip.as_ref().map_or(0.0, |(g, dot)| {
                8.0 + 12.0 + g.size().x + if *dot { 12.0 } else { 0.0 }
            });
            let width = CIRCLE + 8.0 + name.size().x + chip_width + 2.0 * PADDING;
            (room, active, name, chip, width)
        })
        .collect();
    let gaps = GAP * (tabs.len() - 1) as f32;
    let total = tabs.iter().map(|tab| tab.4).sum::<f32>() + gaps;
    let mut x = (bar.center().x - total / 2.0).round();
    for (place, (room, active, name, chip, width)) in tabs.into_iter().enumerate() {
        let rect = Rect::from_min_size(pos2(x, bar.top()), vec2(width, bar.height()));
        x += width + GAP;
        let response = ui.interact(
            rect.shrink2(vec2(0.0, 6.0)),
            Id::unique(("room", room.name())),
            Sense::click(),
        );
        response.widget_info(|| WidgetInfo::selected(Role::Tab, true, active, room.name()));
        let hovered = response.hovered();
        if hovered && !active {
            painter.rect_filled(rect.shrink2(vec2(2.0, 8.0)), 6.0, t.hover);
        }
        focus_ring(ui, &response, tokens::radius::CONTROL);
        let y = rect.center().y;
        let circle = pos2(rect.left() + PADDING + CIRCLE / 2.0, y);
        number(ui, circle, place + 1, active);
        let name_at = pos2(circle.x + CIRCLE / 2.0 + 8.0, y - name.size().y / 2.0);
        let after = name_at.x + name.size().x + 8.0;
        painter.galley(name_at, name, t.text);
        if let Some((galley, dot)) = chip {
            let dot_width = if dot { 12.0 } else { 0.0 };
            let chip_rect = Rect::from_min_size(
                pos2(after, y - 9.0),
                vec2(galley.size().x + 12.0 + dot_width, 18.0),
            );
            painter.rect_filled(chip_rect, f32::from(tokens::radius::IMAGE), t.raised);
            if dot {
                painter.circle_filled(pos2(chip_rect.left() + 11.0, y), 3.0, t.accent);
            }
            let at = pos2(
                chip_rect.left() + 6.0 + dot_width,
                y - galley.size().y / 2.0,
            );
            painter.galley(at, galley, t.text);
        }
        if active {
            let line = rect.with_min_y(bar.bottom() - 2.0);
            painter.rect_filled(line.shrink2(vec2(8.0, 0.0)), 0.0, t.accent);
        }
        if response
            .on_hover_text(action_of(room).tooltip(ui.ctx()))
            .clicked()
        {
            commands.send(Command::Go(room));
        }
    }
}

fn action_of(room: Room) -> Action {
    match room {
        Room::Images => Action::GoImages,
        Room::Annotate => Action::GoAnnotate,
        Room::Train => Action::GoTrain,
        Room::Compare => Action::GoCompare,
    }
}
