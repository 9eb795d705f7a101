//! What the sections of the side panel are made of.

use egui::{
    Align, Color32, ComboBox, DragValue, Frame, Label, Layout, Margin, Rect, RichText, Sense, Ui,
    UiBuilder, vec2,
};

use crate::ui::tokens::{self, Tokens};
use crate::ui::widgets::{combo_caret, divider};

/// The label's column.
pub(super) const LABEL: f32 = 104.0;

/// A part of the side panel, with a line under it.
pub(super) fn section(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    Frame::new()
        .inner_margin(Margin::symmetric(16, 12))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            content(ui);
        });
    divider(ui);
}

/// A section's title, 24 high with 8 under it, and what stands at its right end.
pub(super) fn title(ui: &mut Ui, text: &str, right: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.set_height(24.0);
        ui.label(
            RichText::new(text)
                .text_style(tokens::section())
                .color(Tokens::of(ui).text_strong),
        );
        ui.with_layout(Layout::right_to_left(Align::Center), right);
    });
    ui.add_space(8.0);
}

pub(super) fn remark(ui: &mut Ui, text: &str, icon: Option<&str>, ink: Color32) {
    ui.spacing_mut().item_spacing.x = 6.0;
    ui.label(RichText::new(text).text_style(tokens::caption()).color(ink));
    if let Some(icon) = icon {
        ui.label(RichText::new(icon).font(tokens::icon(14.0)).color(ink));
    }
}

pub(super) fn caption(ui: &mut Ui, text: impl Into<String>) {
    ui.label(
        RichText::new(text)
            .text_style(tokens::caption())
            .color(Tokens::of(ui).text_weak),
    );
}

/// Two texts at the ends of one line.
pub(super) fn ends(ui: &mut Ui, left: impl FnOnce(&mut Ui), right: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        left(ui);
        ui.with_layout(Layout::right_to_left(Align::Center), right);
    });
}

pub(super) fn strong(ui: &mut Ui, text: impl Into<String>) {
    ui.label(
        RichText::new(text)
            .font(tokens::medium(13.0))
            .color(Tokens::of(ui).text_strong),
    );
}

pub(super) fn weak(ui: &mut Ui, text: impl Into<String>) {
    ui.label(RichText::new(text).color(Tokens::of(ui).text_weak));
}

pub(super) fn right_aligned(ui: &mut Ui, width: f32, text: RichText) {
    let (rect, _) = ui.allocate_exact_size(vec2(width, ui.available_height()), Sense::hover());
    ui.scope_builder(
        UiBuilder::new()
            .max_rect(rect)
            .layout(Layout::right_to_left(Align::Center)),
        |ui| ui.label(text),
    );
}

/// A row of `height`: the label in its column, and the rest, whose width `content` is told.
pub(super) fn row(ui: &mut Ui, height: f32, label: &str, content: impl FnOnce(&mut Ui, f32)) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let (left, right) = rect.split_left_right_at_x(rect.left() + LABEL);
    let mut column = |rect: Rect, salt: &str, add: &mut dyn FnMut(&mut Ui)| {
        ui.scope_builder(
            UiBuilder::new()
                .max_rect(rect)
                .id_salt((label, salt))
                .layout(Layout::left_to_right(Align::Center)),
            |ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                add(ui);
            },
        );
    };
    column(left, "label", &mut |ui| weak(ui, label));
    let mut content = Some(content);
    column(right, "content", &mut |ui| {
        if let Some(content) = content.take() {
            content(ui, right.width());
        }
    });
    // The columns' contents are not as high as the row.
    ui.advance_cursor_after_rect(rect);
}

/// Two numbers in a row of `width`, each with its name, and what stands between them.
pub(super) fn pair(
    ui: &mut Ui,
    width: f32,
    between: &str,
    names: [&str; 2],
    [first, second]: [DragValue<'_>; 2],
) {
    const GAP: f32 = 22.0;
    let each = vec2((width - GAP) / 2.0, ui.spacing().interact_size.y);
    let number = |ui: &mut Ui, name: &str, drag: DragValue<'_>| {
        ui.name_inputs(name, |ui| ui.add_sized(each, drag));
    };
    number(ui, names[0], first);
    let (rect, _) = ui.allocate_exact_size(vec2(GAP, each.y), Sense::hover());
    let ink = Tokens::of(ui).text_weak;
    ui.place(rect, Label::new(RichText::new(between).color(ink)));
    number(ui, names[1], second);
}

pub(super) fn field_style(ui: &mut Ui) {
    let field = Tokens::of(ui).field;
    ui.visuals_mut().widgets.inactive.weak_bg_fill = field;
    ui.visuals_mut().widgets.inactive.fg_stroke.color = Tokens::of(ui).text_strong;
    ui.spacing_mut().button_padding.x = 8.0;
}

pub(super) fn combo<T: Clone + PartialEq>(
    ui: &mut Ui,
    width: f32,
    value: &mut T,
    choices: &[T],
    text: impl Fn(&T) -> String,
) {
    ComboBox::from_id_salt("choices")
        .width(width)
        // Room for every backbone without scrolling.
        .height(400.0)
        .icon(combo_caret)
        .truncate()
        .selected_text(text(value))
        .show_ui(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            for choice in choices {
                ui.selectable_value(value, choice.clone(), text(choice));
            }
        });
}
