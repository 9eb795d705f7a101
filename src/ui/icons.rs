//! The icons, by the names that [Phosphor](https://phosphoricons.com) gives them.
//!
//! Each constant is one character of two font families: `"phosphor"` (Regular, for every icon) and `"phosphor-fill"`
//! (Fill, for play, stop, star and their like). Text families draw something else for them, or nothing. A new icon is a
//! line here and a run of `assets/build.py`, which subsets both fonts to this list.

#![allow(dead_code, reason = "a vocabulary, of which each room uses a part")]

pub const ARROW_LEFT: &str = "\u{e058}";
pub const ARROW_RIGHT: &str = "\u{e06c}";
pub const ARROW_U_UP_LEFT: &str = "\u{e08a}";
pub const ARROW_U_UP_RIGHT: &str = "\u{e08c}";
pub const ARROWS_CLOCKWISE: &str = "\u{e094}";
pub const BOUNDING_BOX: &str = "\u{e6ce}";
pub const CARET_DOWN: &str = "\u{e136}";
pub const CARET_LEFT: &str = "\u{e138}";
pub const CARET_RIGHT: &str = "\u{e13a}";
pub const CARET_UP: &str = "\u{e13c}";
pub const CHECK: &str = "\u{e182}";
pub const CHECK_CIRCLE: &str = "\u{e184}";
pub const CIRCLE: &str = "\u{e18a}";
pub const CLOCK: &str = "\u{e19a}";
pub const COLUMNS: &str = "\u{e546}";
pub const COPY: &str = "\u{e1ca}";
pub const CORNERS_OUT: &str = "\u{e1d0}";
pub const CPU: &str = "\u{e610}";
pub const CROSSHAIR: &str = "\u{e1d6}";
pub const CURSOR: &str = "\u{e1dc}";
pub const DIAMOND: &str = "\u{e1ec}";
pub const DOTS_THREE: &str = "\u{e1fe}";
pub const DOWNLOAD_SIMPLE: &str = "\u{e20c}";
pub const EXPORT: &str = "\u{eaf0}";
pub const EYE: &str = "\u{e220}";
pub const EYE_SLASH: &str = "\u{e224}";
pub const FLOPPY_DISK: &str = "\u{e248}";
pub const FOLDER: &str = "\u{e24a}";
pub const FOLDER_OPEN: &str = "\u{e256}";
pub const FUNNEL: &str = "\u{e266}";
pub const GEAR_SIX: &str = "\u{e272}";
pub const GRAPHICS_CARD: &str = "\u{e612}";
pub const GRID_FOUR: &str = "\u{e296}";
pub const HAND: &str = "\u{e298}";
pub const HARD_DRIVES: &str = "\u{e2a0}";
pub const IMAGE: &str = "\u{e2ca}";
pub const IMAGES: &str = "\u{e836}";
pub const INFO: &str = "\u{e2ce}";
pub const KEYBOARD: &str = "\u{e2d8}";
pub const LIGHTNING: &str = "\u{e2de}";
pub const LOCK_SIMPLE: &str = "\u{e308}";
pub const MAGNIFYING_GLASS: &str = "\u{e30c}";
pub const MINUS: &str = "\u{e32a}";
pub const MOON: &str = "\u{e330}";
pub const PAUSE: &str = "\u{e39e}";
pub const PENCIL_SIMPLE: &str = "\u{e3b4}";
pub const PLAY: &str = "\u{e3d0}";
pub const PLUS: &str = "\u{e3d4}";
pub const QUESTION: &str = "\u{e3e8}";
pub const SKIP_BACK: &str = "\u{e5a4}";
pub const SKIP_FORWARD: &str = "\u{e5a6}";
pub const SLIDERS_HORIZONTAL: &str = "\u{e434}";
pub const SORT_ASCENDING: &str = "\u{e444}";
pub const SORT_DESCENDING: &str = "\u{e446}";
pub const SPARKLE: &str = "\u{e6a2}";
pub const SPLIT_HORIZONTAL: &str = "\u{e872}";
pub const STAR: &str = "\u{e46a}";
pub const STOP: &str = "\u{e46c}";
pub const SUN: &str = "\u{e472}";
pub const TABLE: &str = "\u{e476}";
pub const TRASH: &str = "\u{e4a6}";
pub const USERS: &str = "\u{e4d6}";
pub const WARNING: &str = "\u{e4e0}";
pub const WARNING_CIRCLE: &str = "\u{e4e2}";
pub const X: &str = "\u{e4f6}";
pub const X_CIRCLE: &str = "\u{e4f8}";
