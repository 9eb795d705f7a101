//! Under the canvas: whose attention lies over the image, as a map or as the loss lens, and what its colours say.

use care_data::Image;
use care_figures::Scale;
use egui::{Align, Frame, Layout, Margin, Panel, RichText, Ui};

use super::AnnotateRoom;
use crate::lens::Shows;
use crate::ui::Context;
use crate::ui::lens::view_ui;
use crate::ui::overlay::overlay_ui;
use crate::ui::tokens::{self, Tokens};

const HEIGHT: f32 = 48.0;
/// From this width on there is room for what the choice is about.
const WITH_NAME: f32 = 700.0;
/// Below this every point counts.
const NARROW: f32 = 640.0;
/// Of what is said of the place under the pointer.
const READING: f32 = 132.0;
/// Of the remark that a map here is on its own scale.
const OWN_SCALE: f32 = 80.0;

impl AnnotateRoom {
    pub(super) fn strip_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, image: &Image) {
        let t = Tokens::of(ui);
        let is_narrow = ui.available_width() < NARROW;
        let (margin, gap) = if is_narrow { (8, 4.0) } else { (12, 8.0) };
        Panel::bottom("annotate strip")
            .exact_size(HEIGHT)
            .resizable(false)
            .frame(
                Frame::new()
                    .fill(t.panel)
                    .inner_margin(Margin::symmetric(margin, 0)),
            )
            .show(ui, |ui| {
                let width = ui.available_width();
                ui.horizontal_centered(|ui| {
                    ui.spacing_mut().item_spacing.x = gap;
                    if width >= WITH_NAME {
                        ui.label(weak(ui, "model attention"));
                    }
                    view_ui(ui, cx);
                    let is_on = cx.lens.role().is_some();
                    match cx.lens.view.shows {
                        _ if !is_on => {}
                        Shows::Map => {
                            overlay_ui(ui, cx);
                            if cx.map_style.scale == Scale::Common
                                && ui.available_width() >= OWN_SCALE
                            {
                                // Of the other models nothing is known here.
                                ui.label(weak(ui, "here its own"));
                            }
                        }
                        Shows::Lens => legend_ui(ui, self),
                    }
                    let at = self.canvas.pointed().filter(|_| is_on);
                    if let Some(reading) = at.and_then(|at| self.lens.at(image, at))
                        && ui.available_width() >= READING
                    {
                        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                            ui.label(weak(ui, &reading));
                        });
                    }
                });
            });
    }
}

fn weak(ui: &Ui, text: &str) -> RichText {
    let text = RichText::new(text).text_style(tokens::caption());
    text.color(Tokens::of(ui).text_weak)
}

/// What the lens's colours say just now.
fn legend_ui(ui: &mut Ui, room: &AnnotateRoom) {
    let reading = room.lens.reading();
    if reading.is_some_and(|reading| reading.lens.boxed.is_none()) {
        ui.label(weak(ui, "Draw a box to see its loss."));
    }
    room.lens.legend_ui(ui);
}
