//! The look: every colour, size and text style of the window. Literal colours are banned elsewhere.

use egui::style::{HandleShape, Selection, WidgetVisuals, Widgets};
use egui::{
    Color32, CornerRadius, FontFamily, FontId, Shadow, Stroke, TextStyle, Theme, Visuals, vec2,
};

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// The colours of one theme.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tokens {
    /// Round the image in Annotate.
    pub canvas: Color32,
    pub bg: Color32,
    pub panel: Color32,
    /// Buttons, cards, menus.
    pub raised: Color32,
    /// Values, combos, text inputs.
    pub field: Color32,
    pub hover: Color32,
    pub active: Color32,
    pub stroke: Color32,
    /// Checkbox, drop zone, axis.
    pub stroke_strong: Color32,
    pub text_strong: Color32,
    pub text: Color32,
    pub text_weak: Color32,
    /// Never for information.
    pub text_disabled: Color32,
    /// Text and lines: selection, focus, CARE itself.
    pub accent: Color32,
    pub accent_fill: Color32,
    pub accent_fill_hover: Color32,
    pub accent_text: Color32,
    /// The selected row.
    pub accent_soft: Color32,
    pub success: Color32,
    pub warning: Color32,
    pub danger: Color32,
    pub focus: Color32,
    pub before: Color32,
    pub control: Color32,
    pub care: Color32,
    /// Attention that the loss rewards, and that it penalises.
    pub reward: Color32,
    pub penalty: Color32,
    classes: [Color32; 8],
}

pub const DARK: Tokens = Tokens {
    canvas: rgb(0x0B0C0F),
    bg: rgb(0x111318),
    panel: rgb(0x16191F),
    raised: rgb(0x1E222A),
    field: rgb(0x111318),
    hover: rgb(0x282D37),
    active: rgb(0x323845),
    stroke: rgb(0x2A2F39),
    stroke_strong: rgb(0x657081),
    text_strong: rgb(0xF3F5F8),
    text: rgb(0xC8CED8),
    text_weak: rgb(0x949DAB),
    text_disabled: rgb(0x626B79),
    accent: rgb(0xA3AEFF),
    accent_fill: rgb(0x5560E0),
    accent_fill_hover: rgb(0x5E69E6),
    accent_text: rgb(0xFFFFFF),
    accent_soft: rgb(0x262B4D),
    success: rgb(0x5CCBA3),
    warning: rgb(0xF2B84B),
    danger: rgb(0xFF8F85),
    focus: rgb(0xC9D0FF),
    before: rgb(0x8D97A6),
    control: rgb(0xE3E7ED),
    care: rgb(0xA3AEFF),
    reward: rgb(0x2FC39C),
    penalty: rgb(0xFF8A45),
    classes: [
        rgb(0x56B4E9),
        rgb(0xE69F00),
        rgb(0x12B886),
        rgb(0xCC79A7),
        rgb(0xF0E442),
        rgb(0xD55E00),
        rgb(0x5B9BD5),
        rgb(0x999999),
    ],
};

pub const LIGHT: Tokens = Tokens {
    canvas: rgb(0xDCDFE4),
    bg: rgb(0xECEEF1),
    panel: rgb(0xF7F8FA),
    raised: rgb(0xFFFFFF),
    field: rgb(0xFFFFFF),
    hover: rgb(0xE9ECF1),
    active: rgb(0xDDE2EA),
    stroke: rgb(0xD5D9E0),
    stroke_strong: rgb(0x7F8896),
    text_strong: rgb(0x12151A),
    text: rgb(0x343B46),
    text_weak: rgb(0x5C6573),
    text_disabled: rgb(0x98A0AC),
    accent: rgb(0x3F4BD3),
    accent_fill: rgb(0x4652DC),
    accent_fill_hover: rgb(0x3A45C4),
    accent_text: rgb(0xFFFFFF),
    accent_soft: rgb(0xE3E6FF),
    success: rgb(0x0B7A57),
    warning: rgb(0x8A5A00),
    danger: rgb(0xB3261E),
    focus: rgb(0x4652DC),
    before: rgb(0x5F6978),
    control: rgb(0x222832),
    care: rgb(0x3F4BD3),
    reward: rgb(0x00805F),
    penalty: rgb(0xC24E00),
    classes: [
        rgb(0x2B87BF),
        rgb(0xB57600),
        rgb(0x008A65),
        rgb(0xB0528C),
        rgb(0x8C7F00),
        rgb(0xC24E00),
        rgb(0x0072B2),
        rgb(0x707070),
    ],
};

/// Drawn on images, the same in both themes: white over black, because every hue belongs to a class or to the map.
pub const OVERLAY_LINE: Color32 = Color32::WHITE;
pub const OVERLAY_EDGE: Color32 = Color32::from_black_alpha(153);
/// Behind a label on an image.
pub const OVERLAY_LABEL: Color32 = Color32::from_black_alpha(199);
pub const OVERLAY_TEXT: Color32 = rgb(0xF3F5F8);
/// The loss lens over an image, in both themes: inside a box, and outside.
pub const LENS_INSIDE: Color32 = rgb(0x22C79E);
pub const LENS_OUTSIDE: Color32 = rgb(0xFF731F);

impl Tokens {
    /// The tokens of the theme that `ui` is drawn in.
    #[must_use]
    pub fn of(ui: &egui::Ui) -> &'static Self {
        if ui.visuals().dark_mode {
            &DARK
        } else {
            &LIGHT
        }
    }

    /// A class's colour, from its place in the project. From the ninth class on the dots are rings
    /// ([`is_ring`]).
    #[must_use]
    pub fn class(&self, color: u32) -> Color32 {
        self.classes[color as usize % self.classes.len()]
    }

    #[must_use]
    pub fn role(&self, role: care_learn::ModelRole) -> Color32 {
        match role {
            care_learn::ModelRole::Before => self.before,
            care_learn::ModelRole::Control => self.control,
            care_learn::ModelRole::Care => self.care,
        }
    }
}

/// Whether a class's dot is drawn as a ring, its colour being used a second time.
#[must_use]
pub const fn is_ring(color: u32) -> bool {
    color >= 8
}

/// Corner radii in points.
pub mod radius {
    pub const BAR: u8 = 2;
    pub const IMAGE: u8 = 4;
    pub const CONTROL: u8 = 6;
    pub const CARD: u8 = 8;
    pub const START: u8 = 12;
}

/// Heights and widths in points.
pub mod size {
    pub const TOP_BAR: f32 = 48.0;
    pub const TOOLBAR: f32 = 44.0;
    pub const STATUS_BAR: f32 = 24.0;
    pub const BUTTON: f32 = 32.0;
    pub const BUTTON_MAIN: f32 = 40.0;
    pub const BUTTON_TOOLBAR: f32 = 28.0;
    pub const ROW: f32 = 32.0;
    pub const ICON: f32 = 16.0;
    pub const ICON_TOOLBAR: f32 = 18.0;
    /// Smallest window.
    pub const WINDOW_MIN: [f32; 2] = [1100.0, 700.0];
    pub const WINDOW: [f32; 2] = [1440.0, 900.0];
    /// A line of running text is never longer.
    pub const TEXT_MAX: f32 = 640.0;
}

const MEDIUM: &str = "medium";
const SEMIBOLD: &str = "semibold";
const ICONS: &str = "icons";
const ICONS_FILL: &str = "icons-fill";

/// Text styles beyond egui's own Small 11, Body 13, Button 13 medium, Heading 20.
#[must_use]
pub fn caption() -> TextStyle {
    TextStyle::Name("caption".into())
}

#[must_use]
pub fn section() -> TextStyle {
    TextStyle::Name("section".into())
}

/// The start page's title, nowhere else.
#[must_use]
pub fn title() -> TextStyle {
    TextStyle::Name("title".into())
}

#[must_use]
pub fn medium(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(MEDIUM.into()))
}

#[must_use]
pub fn semibold(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(SEMIBOLD.into()))
}

/// A glyph of [`crate::ui::icons`], Phosphor Regular.
#[must_use]
pub fn icon(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(ICONS.into()))
}

/// A glyph of [`crate::ui::icons`], Phosphor Fill: play, stop, star.
#[must_use]
pub fn icon_fill(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(ICONS_FILL.into()))
}

/// Registers the fonts and both themes. Once, before the first frame.
pub fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    for (theme, tokens) in [(Theme::Dark, &DARK), (Theme::Light, &LIGHT)] {
        ctx.style_mut_of(theme, |style| {
            style.visuals = visuals(theme, tokens);
            style.text_styles = [
                (TextStyle::Small, FontId::proportional(11.0)),
                (caption(), FontId::proportional(12.0)),
                (TextStyle::Body, FontId::proportional(13.0)),
                (TextStyle::Monospace, FontId::proportional(13.0)),
                (TextStyle::Button, medium(13.0)),
                (section(), semibold(15.0)),
                (TextStyle::Heading, semibold(20.0)),
                (title(), semibold(28.0)),
            ]
            .into();
            style.drag_value_text_style = TextStyle::Body;
            style.animation_time = 0.12;
            style.interaction.selectable_labels = false;
            style.interaction.tooltip_delay = 0.4;
            let spacing = &mut style.spacing;
            spacing.item_spacing = vec2(8.0, 8.0);
            spacing.button_padding = vec2(12.0, 6.0);
            spacing.interact_size.y = 28.0;
            spacing.slider_rail_height = 4.0;
            spacing.icon_width = 16.0;
            spacing.icon_width_inner = 10.0;
            spacing.icon_spacing = 8.0;
            spacing.menu_margin = egui::Margin::same(8);
            spacing.scroll = egui::style::ScrollStyle::floating();
            // No gradient but the attention map's.
            spacing.scroll.fade.strength = 0.0;
        });
    }
}

fn fonts() -> egui::FontDefinitions {
    let mut fonts = egui::FontDefinitions::default();
    let mut add = |name: &str, bytes: &'static [u8]| {
        fonts
            .font_data
            .insert(name.to_owned(), egui::FontData::from_static(bytes).into());
    };
    add(
        "regular",
        include_bytes!("../../assets/fonts/CareSans-Regular.ttf"),
    );
    add(
        MEDIUM,
        include_bytes!("../../assets/fonts/CareSans-Medium.ttf"),
    );
    add(
        SEMIBOLD,
        include_bytes!("../../assets/fonts/CareSans-SemiBold.ttf"),
    );
    add(ICONS, include_bytes!("../../assets/fonts/phosphor.ttf"));
    add(
        ICONS_FILL,
        include_bytes!("../../assets/fonts/phosphor-fill.ttf"),
    );
    // egui's own fonts stay behind ours: file names may be in any script.
    let fallback = fonts
        .families
        .get(&FontFamily::Proportional)
        .cloned()
        .unwrap_or_default();
    for (family, first) in [
        (FontFamily::Proportional, "regular"),
        (FontFamily::Monospace, "regular"),
        (FontFamily::Name(MEDIUM.into()), MEDIUM),
        (FontFamily::Name(SEMIBOLD.into()), SEMIBOLD),
        (FontFamily::Name(ICONS.into()), ICONS),
        (FontFamily::Name(ICONS_FILL.into()), ICONS_FILL),
    ] {
        let mut names = vec![first.to_owned()];
        names.extend(fallback.iter().cloned());
        fonts.families.insert(family, names);
    }
    fonts
}

fn visuals(theme: Theme, t: &Tokens) -> Visuals {
    let widget = |fill: Color32, edge: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, edge),
        corner_radius: CornerRadius::same(radius::CONTROL),
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    let shadow = Shadow {
        offset: [0, 8],
        blur: 24,
        spread: 0,
        color: Color32::from_black_alpha(if theme == Theme::Dark { 153 } else { 51 }),
    };
    Visuals {
        widgets: Widgets {
            noninteractive: widget(t.panel, t.stroke, t.text),
            inactive: widget(t.raised, t.stroke, t.text_strong),
            hovered: widget(t.hover, t.stroke_strong, t.text_strong),
            active: widget(t.active, t.stroke_strong, t.text_strong),
            open: widget(t.raised, t.stroke_strong, t.text_strong),
        },
        selection: Selection {
            bg_fill: t.accent_soft,
            stroke: Stroke::new(1.0, t.accent),
        },
        hyperlink_color: t.accent,
        weak_text_color: Some(t.text_weak),
        faint_bg_color: t.raised,
        extreme_bg_color: t.bg,
        text_edit_bg_color: Some(t.field),
        code_bg_color: t.field,
        warn_fg_color: t.warning,
        error_fg_color: t.danger,
        window_fill: t.raised,
        window_stroke: Stroke::new(1.0, t.stroke),
        window_corner_radius: CornerRadius::same(radius::CARD),
        menu_corner_radius: CornerRadius::same(radius::CARD),
        window_shadow: shadow,
        popup_shadow: shadow,
        panel_fill: t.panel,
        slider_trailing_fill: true,
        handle_shape: HandleShape::Circle,
        ..if theme == Theme::Dark {
            Visuals::dark()
        } else {
            Visuals::light()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2 contrast ratio of two opaque colours, 1 to 21.
    fn contrast(a: Color32, b: Color32) -> f32 {
        let luminance = |c: Color32| {
            let [r, g, b] = [c.r(), c.g(), c.b()].map(|v| {
                let v = f32::from(v) / 255.0;
                if v <= 0.040_45 {
                    v / 12.92
                } else {
                    ((v + 0.055) / 1.055).powf(2.4)
                }
            });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (x, y) = (luminance(a) + 0.05, luminance(b) + 0.05);
        x.max(y) / x.min(y)
    }

    fn every_pair_has(ratio: f32, what: &str, inks: &[Color32], surfaces: &[Color32]) {
        for &surface in surfaces {
            for &ink in inks {
                let found = contrast(ink, surface);
                assert!(found >= ratio, "{what}: {ink:?} on {surface:?} {found:.2}");
            }
        }
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        let cases = [
            (0x00_0000, 0xFF_FFFF, 21.0),
            (0x77_7777, 0xFF_FFFF, 4.48),
            (0xFF_0000, 0xFF_FFFF, 4.0),
        ];
        for (a, b, expected) in cases {
            assert!((contrast(rgb(a), rgb(b)) - expected).abs() < 0.01);
        }
    }

    /// 1.4.3, without its exception for large text. Disabled text is excepted, and carries no information.
    #[test]
    fn text_can_be_read_on_every_surface() {
        for t in [DARK, LIGHT] {
            let text = |what, inks: &[_], surfaces: &[_]| every_pair_has(4.5, what, inks, surfaces);
            let rooms = [t.bg, t.panel, t.raised, t.field, t.hover, t.accent_soft];
            let inks = [t.text_strong, t.text, t.text_weak, t.accent];
            text("text", &inks, &rooms);
            let places = [t.canvas, t.active];
            text("text", &[t.text_strong, t.text, t.danger], &places);
            text("remark", &[t.success, t.warning, t.danger], &rooms[..4]);
            text("model", &[t.before, t.control, t.care], &rooms[..3]);
            let fills = [t.accent_fill, t.accent_fill_hover];
            text("primary button", &[t.accent_text], &fills);
            // The darkest grey of the confusion's cells, under the pointer.
            let cells = rooms[..3]
                .iter()
                .map(|room| room.blend(t.text.gamma_multiply(0.43)));
            text("count", &[t.text_strong], &cells.collect::<Vec<_>>());
        }
        let label = Color32::WHITE.blend(OVERLAY_LABEL);
        every_pair_has(4.5, "label on an image", &[OVERLAY_TEXT], &[label]);
    }

    /// 1.4.11. The edge of a button or a field is excepted: its word says what it is, and so are the lines between panels.
    #[test]
    fn dots_and_edges_can_be_seen() {
        for t in [DARK, LIGHT] {
            let seen = |what, inks: &[_], surfaces: &[_]| every_pair_has(3.0, what, inks, surfaces);
            let rooms = [t.bg, t.panel, t.raised, t.field];
            seen("edge of a checkbox", &[t.stroke_strong], &rooms);
            seen("class", &t.classes, &rooms);
            seen("loss lens", &[t.reward, t.penalty], &rooms);
            seen("class", &t.classes, &[t.accent_soft]);
            seen("primary button", &[t.accent_fill], &rooms[..2]);
            seen("slider, progress", &[t.accent], &[t.active, t.panel]);
            seen("warning sign", &[t.warning], &[t.canvas]);
            let more = [t.canvas, t.hover, t.accent_soft];
            seen("focus", &[t.focus], &[&rooms[..], &more].concat());
        }
        let edge = Color32::WHITE.blend(OVERLAY_EDGE);
        every_pair_has(3.0, "box on an image", &[OVERLAY_LINE], &[edge]);
    }
}
