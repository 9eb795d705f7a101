//! What is known of the image in hand: its boxes, how it is seen, what is said about it, and what comes next.

use care_data::{Annotation, BoundingBox, Edit, Image};
use egui::{
    Align, CornerRadius, FontId, Frame, Layout, Margin, Panel, Rect, RichText, Role, ScrollArea,
    Sense, Ui, UiBuilder, Vec2, WidgetInfo, pos2, vec2,
};
use jiff::tz::TimeZone;

use super::{AnnotateRoom, boxes, delete, group_of, key_of, title_row};
use crate::command::{Action, Command, DIGITS, Room};
use crate::format;
use crate::queue::{Classes, Counts};
use crate::ui::canvas::Tool;
use crate::ui::lens::lens_ui;
use crate::ui::tokens::{self, Tokens, radius, size};
use crate::ui::widgets::{IconButton, WordButton, class_dot, combo_caret, divider, focus_ring};
use crate::ui::{Context, icons};

/// Points of the window's height.
const SLIDERS_STAY_BELOW: f32 = 780.0;

impl AnnotateRoom {
    /// `boxes` are the image's, with the one under the hand.
    pub(super) fn inspector_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        image: &Image,
        boxes: &[BoundingBox],
    ) {
        let narrow = ui.ctx().content_rect().width() < 1280.0;
        let fill = Tokens::of(ui).panel;
        Panel::right("inspector")
            .exact_size(if narrow { 280.0 } else { 304.0 })
            .resizable(false)
            .frame(Frame::new().fill(fill))
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                if !self.queue.is_empty() {
                    Panel::bottom("inspector foot")
                        .exact_size(88.0)
                        .resizable(false)
                        .frame(Frame::new().inner_margin(Margin::symmetric(16, 12)))
                        .show(ui, |ui| self.foot_ui(ui, cx, image));
                }
                let section = Frame::new().inner_margin(Margin::symmetric(16, 12));
                // In a low window the rest scrolls under the sliders.
                let sliders_stay = cx.lens.role().is_some()
                    && ui.ctx().content_rect().height() < SLIDERS_STAY_BELOW;
                if sliders_stay {
                    section.show(ui, |ui| {
                        lens_title(ui);
                        self.lens.sliders_ui(ui, cx);
                    });
                    divider(ui);
                }
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                    section.show(ui, |ui| self.boxes_ui(ui, cx, image));
                    divider(ui);
                    section.show(ui, |ui| {
                        if !sliders_stay {
                            lens_title(ui);
                        }
                        lens_ui(&mut self.lens, ui, cx, image, boxes, !sliders_stay);
                    });
                    if let Some(grey) = cx.textures.grey(image.id).cloned() {
                        divider(ui);
                        section.show(ui, |ui| self.viewing.ui(ui, cx, &grey));
                    }
                    divider(ui);
                    section.show(ui, |ui| self.review.ui(ui, cx, image));
                    divider(ui);
                    section.show(ui, |ui| image_ui(ui, cx, image));
                });
            });
    }

    fn boxes_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
        let t = Tokens::of(ui);
        let pixels = format!("{} × {} px", image.size.width, image.size.height);
        title_row(ui, "Boxes", &pixels);
        ui.add_space(8.0);
        for (n, annotation) in (1..).zip(cx.boxes(image.id)) {
            self.box_row(ui, cx, image, n, annotation);
        }
        let scale = cx.draft.box_scale;
        if scale != 1.0 && !cx.boxes(image.id).is_empty() {
            let text = format!("Dashed: as training scales them, \u{d7} {scale:.2}");
            let text = RichText::new(text).text_style(tokens::caption());
            ui.label(text.color(t.text_weak));
        }
        boxes::suggestion_ui(ui, cx, image, &mut self.canvas);
        ui.add_space(4.0);
        ui.allocate_ui_with_layout(
            vec2(ui.available_width(), 28.0),
            Layout::left_to_right(Align::Center),
            |ui| {
                ui.label(
                    RichText::new(icons::PLUS)
                        .font(tokens::icon(14.0))
                        .color(t.text_weak),
                );
                let hint = match self.canvas.tool {
                    Tool::Box => "Drag on the image to add a box".to_owned(),
                    Tool::Select | Tool::Pan => {
                        format!("Press {} to draw a box", key_of(ui, Action::ToolBox))
                    }
                };
                ui.label(
                    RichText::new(hint)
                        .text_style(tokens::caption())
                        .color(t.text_weak),
                );
            },
        );
    }

    fn box_row(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        image: &Image,
        n: usize,
        annotation: &Annotation,
    ) {
        let t = Tokens::of(ui);
        let (inner, _) =
            ui.allocate_exact_size(vec2(ui.available_width(), size::ROW), Sense::hover());
        let row = inner.expand2(vec2(8.0, 0.0));
        let selected = self.canvas.selected(cx.project) == Some(annotation.id);
        let [x, y, _, _] = annotation.rect.xyxy();
        let place = format!("{x:.0}, {y:.0}");
        let extent = format!(
            "{:.0} × {:.0}",
            annotation.rect.width(),
            annotation.rect.height()
        );
        let share = format!(
            "{:.1} %",
            100.0 * annotation.rect.area() / image.size.area() as f64
        );
        let response = ui.interact(
            row,
            ui.scope_id().with(("box row", annotation.id)),
            Sense::click(),
        );
        let project = cx.project;
        let made = || {
            let reader = annotation.reader.and_then(|id| project.reader(id));
            format::made(annotation, reader, TimeZone::system())
        };
        response.widget_info(|| {
            WidgetInfo::selected(
                Role::Button,
                true,
                selected,
                format!(
                    "Box {n}: {place}, {extent}, {share} of the image. {}",
                    made()
                ),
            )
        });
        let fill = match (selected, response.hovered()) {
            (true, _) => t.accent_soft,
            (false, true) => t.hover,
            (false, false) => t.panel,
        };
        let painter = ui.painter();
        painter.rect_filled(row, CornerRadius::same(radius::CONTROL), fill);
        let mut x = inner.left();
        let mut put = |text: String, font: FontId, ink, gap: f32| {
            let galley = painter.layout_no_wrap(text, font, ink);
            let width = galley.size().x;
            painter.galley(
                pos2(x, inner.center().y - galley.size().y / 2.0),
                galley,
                ink,
            );
            x += width + gap;
        };
        let glyph_ink = if selected { t.accent } else { t.text_weak };
        let body = FontId::proportional(13.0);
        put(
            icons::BOUNDING_BOX.to_owned(),
            tokens::icon(size::ICON),
            glyph_ink,
            8.0,
        );
        put(place, body.clone(), t.text_strong, 8.0);
        put(extent, body, t.text, 8.0);
        let share = painter.layout_no_wrap(share, FontId::proportional(12.0), t.text_weak);
        painter.galley(
            pos2(
                inner.right() - 24.0 - share.size().x,
                inner.center().y - share.size().y / 2.0,
            ),
            share,
            t.text_weak,
        );
        focus_ring(ui, &response, radius::CONTROL);
        let bin =
            Rect::from_center_size(pos2(row.right() - 16.0, row.center().y), Vec2::splat(28.0));
        // A child of its own: the row reaches into the panel's padding, and must not widen it.
        let mut ui = ui.new_child(UiBuilder::new().max_rect(bin));
        let tooltip = if selected {
            Action::DeleteBox.tooltip(ui.ctx())
        } else {
            "Delete this box".to_owned()
        };
        let button = IconButton::new(icons::TRASH, &format!("Delete box {n}"))
            .tooltip(&tooltip)
            .ui(&mut ui);
        if button.clicked() {
            delete(cx, image, annotation.id);
        }
        let response = response.on_hover_ui(|ui| {
            ui.label(made());
        });
        if response.clicked() {
            self.canvas.select(Some(annotation.id));
        }
    }

    /// The next action with its reason.
    fn foot_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
        let t = Tokens::of(ui);
        ui.spacing_mut().item_spacing.y = 8.0;
        let Counts {
            to_do,
            second_look,
            open,
        } = self.queue.counts();
        let what = match cx.queue.classes {
            Classes::Rare => "rare image",
            Classes::All | Classes::One(_) => "image",
        };
        let reason = match to_do {
            0 if second_look > 0 => format!(
                "Nothing to do; {} for a second look.",
                format::plural(second_look, what, &format!("{what}s"))
            ),
            0 if open > 0 => format!(
                "{} to be confirmed.",
                format::plural(open, "boxed image", "boxed images")
            ),
            0 => format!("Every {what} here is done."),
            1 => format!("1 {what} still needs a box."),
            n => format!("{} {what}s still need a box.", format::count(n)),
        };
        ui.add(
            egui::Label::new(
                RichText::new(reason)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            )
            .wrap(),
        );
        let width = ui.available_width();
        if to_do == 0 {
            let button = WordButton::new("Go to Train")
                .icon_after(icons::ARROW_RIGHT)
                .primary()
                .width(width)
                .height(size::BUTTON_MAIN);
            if button.ui(ui).clicked() {
                cx.commands.send(Command::Go(Room::Train));
            }
        } else {
            let button = WordButton::new(Action::DoneAndNext.spec().text)
                .key(key_of(ui, Action::DoneAndNext))
                .primary()
                .width(width)
                .height(size::BUTTON_MAIN);
            if button
                .ui(ui)
                .on_hover_text(Action::DoneAndNext.tooltip(ui.ctx()))
                .clicked()
            {
                self.done_and_next(cx, image);
            }
        }
    }
}

fn lens_title(ui: &mut Ui) {
    title_row(ui, "Loss lens", "this image, no training");
    ui.add_space(4.0);
}

fn image_ui(ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
    let t = Tokens::of(ui);
    title_row(ui, "Image", "");
    ui.add_space(4.0);
    row_ui(ui, "Class", |ui| class_ui(ui, cx, image));
    let value = |ui: &mut Ui, text: String, tooltip: &str| {
        let label = egui::Label::new(RichText::new(text).color(t.text_strong)).truncate();
        let response = ui.add(label);
        if !tooltip.is_empty() {
            response.on_hover_text(tooltip);
        }
    };
    row_ui(ui, "Part", |ui| {
        value(ui, image.part.name().to_owned(), "");
    });
    row_ui(ui, "Group", |ui| {
        let text = group_of(image).unwrap_or("not known").to_owned();
        let tooltip = "The patient or lesion. All images of a group stand in the same part.";
        value(ui, text, tooltip);
    });
    row_ui(ui, "File", |ui| {
        let path = cx.project.path_of(image);
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        value(ui, name, &path.to_string_lossy());
    });
}

/// A row of 32: what it is called, and what it is.
pub(super) fn row_ui(ui: &mut Ui, label: &str, value: impl FnOnce(&mut Ui)) {
    const LABEL: f32 = 64.0;
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), size::ROW),
        Layout::left_to_right(Align::Center),
        |ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(LABEL, size::ROW), Sense::hover());
            ui.painter().text(
                rect.left_center(),
                egui::Align2::LEFT_CENTER,
                label,
                FontId::proportional(13.0),
                Tokens::of(ui).text_weak,
            );
            value(ui);
        },
    );
}

/// The image's class, with its dot; the digit that sets it stands before each.
fn class_ui(ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
    let t = Tokens::of(ui);
    let classes = cx.project.classes();
    let Some(current) = cx.project.class(image.class) else {
        return;
    };
    let (dot, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
    class_dot(ui.painter(), t, dot.center(), current.color);
    if cx.reader.is_some() {
        ui.label(RichText::new(&current.name).color(t.text_strong));
        return;
    }
    ui.name_inputs("Class", |ui| {
        egui::ComboBox::from_id_salt("class")
            .selected_text(&current.name)
            .width(ui.available_width())
            .truncate()
            .icon(combo_caret)
            .show_ui(ui, |ui| {
                for (n, class) in (1..).zip(classes) {
                    let key = if n <= DIGITS.len() {
                        n.to_string()
                    } else {
                        String::new()
                    };
                    let button = egui::Button::selectable(class.id == current.id, &class.name)
                        .shortcut_text(key);
                    if ui.add(button).clicked() && class.id != current.id {
                        cx.commands.edit(Edit::SetClass {
                            image: image.id,
                            class: class.id,
                        });
                    }
                }
            });
    });
}
