//! How attention maps are drawn: chosen in one place, for every room.

use care_figures::{Grid, MapStyle, Palette, Scale};
use care_studio::app::App;
use care_studio::command::{Command, Room};
use egui::Key;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use crate::common::{key, send, settle};
use crate::compare::finished;

fn style(window: &Harness<'_, App>) -> MapStyle {
    window.state().state.settings.map_style
}

pub fn open(window: &mut Harness<'_, App>) {
    window.get_by_label_contains("Overlay: ").click();
    settle(window);
}

#[test]
fn what_is_chosen_holds_and_is_said() {
    let (_dir, mut window) = finished(12);
    window.get_by_label("Overlay: turbo, own scale, smooth");
    key(&mut window, Key::G);
    window.get_by_label("Overlay: turbo, own scale, raw grid");
    open(&mut window);
    for label in ["viridis", "One scale", "Contour"] {
        window.get_by_label(label).click();
        settle(&mut window);
    }
    let expected = MapStyle {
        palette: Palette::Viridis,
        contour: Some(0.5),
        grid: Grid::Raw,
        scale: Scale::Common,
        ..MapStyle::default()
    };
    assert_eq!(style(&window), expected);
    window.get_by_label("Overlay: viridis, one scale, raw grid");
    // The same in the other rooms that show maps.
    send(&mut window, Command::Go(Room::Train));
    window.get_by_label("Overlay: viridis, one scale, raw grid");
    key(&mut window, Key::G);
    assert_eq!(style(&window).grid, Grid::Smooth);
}
