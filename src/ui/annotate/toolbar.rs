//! Over the canvas: the tools, the image's name, and the keys that lead through the queue.

use super::boxes;
use super::readers::reader_ui;
use super::{AnnotateRoom, go, group_of, key_of};
use crate::command::Action;
use crate::ui::canvas::Tool;
use crate::ui::tokens::{self, Tokens, size};
use crate::ui::widgets::{IconButton, elided, focus_ring};
use crate::ui::{Context, icons};
use care_data::Image;
use egui::{
    Align, Color32, FontId, Frame, Layout, Margin, Panel, Rect, Response, RichText, Role, Sense,
    Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};

impl AnnotateRoom {
    pub(super) fn toolbar_ui(&mut self, ui: &mut Ui, image: &Image, cx: &mut Context<'_>) {
        let t = Tokens::of(ui);
        Panel::top("annotate toolbar")
            .exact_size(size::TOOLBAR)
            .resizable(false)
            .frame(
                Frame::new()
                    .fill(t.panel)
                    .inner_margin(Margin::symmetric(12, 0)),
            )
            .show(ui, |ui| {
                let bar = ui.max_rect();
                ui.horizontal_centered(|ui| {
                    ui.spacing_mut().item_spacing.x = 4.0;
                    let ctx = ui.ctx().clone();
                    for (action, tool, glyph) in [
                        (Action::ToolBox, Tool::Box, icons::BOUNDING_BOX),
                        (Action::ToolSelect, Tool::Select, icons::CURSOR),
                        (Action::ToolPan, Tool::Pan, icons::HAND),
                    ] {
                        let button = IconButton::new(glyph, action.spec().text)
                            .tooltip(&action.tooltip(&ctx))
                            .selected(self.canvas.tool == tool)
                            .ui(ui);
                        if button.clicked() {
                            self.canvas.tool = tool;
                        }
                    }
                    let suggest = IconButton::new(icons::SPARKLE, Action::Suggest.spec().text)
                        .tooltip(&Action::Suggest.tooltip(&ctx))
                        .selected(cx.suggestion.is_some())
                        .ui(ui);
                    if suggest.clicked() {
                        boxes::suggest(cx, image);
                    }
                    ui.add_space(4.0);
                    let (line, _) = ui.allocate_exact_size(vec2(1.0, 20.0), Sense::hover());
                    ui.painter().rect_filled(line, 0.0, t.stroke);
                    ui.add_space(4.0);
                    let tooltip = Action::Fit.tooltip(&ctx);
                    let fit = IconButton::new(icons::CORNERS_OUT, Action::Fit.spec().text)
                        .tooltip(&tooltip);
                    if fit.ui(ui).clicked() {
                        self.canvas.fit();
                    }
                    let keep = IconButton::new(icons::LOCK_SIMPLE, Action::KeepZoom.spec().text)
                        .tooltip(&Action::KeepZoom.tooltip(&ctx))
                        .selected(self.canvas.keep_zoom)
                        .ui(ui);
                    if keep.clicked() {
                        self.canvas.keep_zoom = !self.canvas.keep_zoom;
                    }
                    ui.label(
                        RichText::new(format!("{:.0} %", self.canvas.scale() * 100.0))
                            .text_style(tokens::caption())
                            .color(t.text_weak),
                    )
                    .on_hover_text(Action::ActualSize.tooltip(&ctx));
                    ui.add_space(4.0);
                    reader_ui(ui, cx, &mut self.readers);
                    let left = ui.cursor().left();
                    let right = ui
                        .with_layout(Layout::right_to_left(Align::Center), |ui| {
                            if bar.width() >= 560.0 {
                                self.hints_ui(ui, cx, image);
                            }
                            ui.cursor().right()
                        })
                        .inner;
                    title_ui(ui, image, bar, left + 16.0..=right - 16.0);
                });
            });
    }

    /// The keys that lead through the queue.
    fn hints_ui(&self, ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
        let t = Tokens::of(ui);
        let weak = |text| {
            RichText::new(text)
                .text_style(tokens::caption())
                .color(t.text_weak)
        };
        ui.spacing_mut().item_spacing.x = 6.0;
        ui.label(weak("done, next"));
        let small = FontId::proportional(11.0);
        let enter = key_of(ui, Action::DoneAndNext);
        key_cap(ui, &enter, small, t.text_weak, Sense::hover());
        ui.add_space(6.0);
        ui.label(weak("image"));
        for (action, glyph, to) in [
            (
                Action::NextImage,
                icons::ARROW_RIGHT,
                self.next(cx.project, image),
            ),
            (
                Action::PreviousImage,
                icons::ARROW_LEFT,
                self.previous(cx.project, image),
            ),
        ] {
            let (ink, sense) = match to {
                Some(_) => (t.text_weak, Sense::click()),
                None => (t.text_disabled, Sense::hover()),
            };
            let response = key_cap(ui, glyph, tokens::icon(12.0), ink, sense);
            let name = action.spec().text;
            response.widget_info(|| WidgetInfo::labeled(Role::Button, to.is_some(), name));
            let tooltip = action.tooltip(ui.ctx());
            if response.on_hover_text(tooltip).clicked() {
                go(to, cx);
            }
        }
    }
}

/// Name, group and part of the image: in the middle of the bar where there is room, within `between` in any case.
fn title_ui(ui: &Ui, image: &Image, bar: Rect, between: std::ops::RangeInclusive<f32>) {
    let t = Tokens::of(ui);
    let painter = ui.painter();
    let room = (between.end() - between.start()).max(0.0);
    let name = elided(
        painter,
        image.name(),
        tokens::medium(13.0),
        t.text_strong,
        room,
    );
    let rest = painter.layout_no_wrap(
        match group_of(image) {
            Some(group) => format!("group {group}, {}", image.part.name()),
            None => image.part.name().to_owned(),
        },
        FontId::proportional(13.0),
        t.text_weak,
    );
    let both = name.size().x + 8.0 + rest.size().x;
    let with_rest = both <= room;
    let width = if with_rest { both } else { name.size().x };
    let x = (bar.center().x - width / 2.0)
        .min(between.end() - width)
        .max(*between.start());
    let y = |galley: &egui::Galley| bar.center().y - galley.size().y / 2.0;
    let after = x + name.size().x + 8.0;
    painter.galley(pos2(x, y(&name)), name, t.text_strong);
    if with_rest {
        painter.galley(pos2(after, y(&rest)), rest, t.text_weak);
    }
}

/// A key as it looks on a keyboard.
fn key_cap(ui: &mut Ui, text: &str, font: FontId, ink: Color32, sense: Sense) -> Response {
    let t = Tokens::of(ui);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, ink);
    let width = (galley.size().x + 12.0).max(22.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 20.0), sense);
    let (fill, edge) = if sense.senses_click() && response.hovered() {
        (t.hover, t.stroke_strong)
    } else {
        (t.panel, t.stroke)
    };
    let painter = ui.painter();
    painter.rect(rect, 4.0, fill, Stroke::new(1.0, edge), StrokeKind::Inside);
    painter.galley(rect.center() - galley.size() / 2.0, galley, ink);
    focus_ring(ui, &response, 4);
    response
}
