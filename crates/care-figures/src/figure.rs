//! Figure 2 of any images, and a frame of the film: pictures in rows and columns, with maps, boxes and words, as one SVG.
//!
//! Text stays text, the picture and the map over it stay layers. Lengths are in points (1/72 inch). The same figure gives the same
//! bytes.

use care_data::HeatMap;
use maud::{Markup, PreEscaped, Render, html};

use crate::map_style::{Blending, Grid, MapStyle, Scale, contour, overlay};
use crate::render::{self, RenderError};

/// The look of everything but the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Theme {
    #[default]
    Light,
    Dark,
}

impl Theme {
    pub(crate) const fn ink(self) -> Ink {
        match self {
            Self::Light => Ink {
                ground: "#ffffff",
                strong: "#12151a",
                weak: "#5c6573",
                warning: "#8a5a00",
            },
            Self::Dark => Ink {
                ground: "#111318",
                strong: "#f3f5f8",
                weak: "#949dab",
                warning: "#f2b84b",
            },
        }
    }
}

/// Colours of paper and words.
pub(crate) struct Ink {
    pub ground: &'static str,
    pub strong: &'static str,
    pub weak: &'static str,
    pub warning: &'static str,
}

/// An image's pixels, RGB row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

/// A map over a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    pub map: HeatMap,
    /// [`MapStyle::gain`].
    pub gain: f32,
}

/// What stands under a picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Caption {
    /// On the left: the prediction.
    pub words: String,
    /// On the right: the share of attention in the box.
    pub number: String,
    /// The right answer for the wrong reason.
    pub is_warning: bool,
}

/// One picture, as one model saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Index into [`Figure::pictures`].
    pub picture: usize,
    pub map: Option<Map>,
    pub caption: Caption,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// Left of the pictures; no room is kept where no row has one.
    pub label: String,
    /// One for each column; none where there is no such model.
    pub cells: Vec<Option<Cell>>,
}

/// A picture with the boxes on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxed {
    pub picture: Picture,
    /// xyxy in 0..=1 across and down the picture.
    pub boxes: Vec<[f64; 4]>,
}

/// Pictures in rows and columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Over everything; none where empty.
    pub title: String,
    pub columns: Vec<String>,
    pub pictures: Vec<Boxed>,
    pub rows: Vec<Row>,
    /// Said at the foot, beside how the maps are drawn.
    pub note: String,
    pub style: MapStyle,
    pub blending: Blending,
    pub theme: Theme,
    pub has_captions: bool,
    /// In millimetres.
    pub width: f32,
}

pub(crate) const FAMILY: &str = "CARE Sans, Inter, Helvetica, Arial, sans-serif";
const MARGIN: f32 = 8.0;
const GAP: f32 = 5.0;
const HEADER: f32 = 13.0;
const CAPTION: f32 = 11.0;
const LABEL: f32 = 46.0;
const POINTS_PER_MM: f32 = 72.0 / 25.4;
/// A row of pictures is at most so much higher than wide.
const TALLEST: f32 = 1.5;

/// Where things stand, in points.
struct Layout {
    width: f32,
    height: f32,
    /// Left of the first column.
    left: f32,
    cell: f32,
    /// Top and height of each row's pictures.
    rows: Vec<(f32, f32)>,
    header: f32,
    foot: f32,
}

impl Figure {
    fn layout(&self) -> Layout {
        let width = self.width * POINTS_PER_MM;
        let has_labels = self.rows.iter().any(|row| !row.label.is_empty());
        let left = MARGIN + if has_labels { LABEL } else { 0.0 };
        let n = self.columns.len().max(1) as f32;
        let cell = ((width - MARGIN - left - (n - 1.0) * GAP) / n).max(1.0);
        let mut y = MARGIN;
        if !self.title.is_empty() {
            y += HEADER + 3.0;
        }
        let header = y;
        y += HEADER;
        let mut rows = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let height = self.aspect(row) * cell;
            rows.push((y, height));
            y += height + GAP;
            if self.has_captions {
                y += CAPTION - 2.0;
            }
        }
        let foot = y + 3.0;
        let lines = self.foot(width).len() as f32;
        Layout {
            width,
            height: foot + 10.0 * lines.max(1.0) + MARGIN,
            left,
            cell,
            rows,
            header,
            foot,
        }
    }

    /// Height by width of a row's pictures. A row without any has room for every picture, so that the frames of a film, whose
    /// rows fill up as it goes on, are all of one size.
    fn aspect(&self, row: &Row) -> f32 {
        let aspect = |boxed: &Boxed| {
            let Picture { width, height, .. } = boxed.picture;
            height as f32 / width.max(1) as f32
        };
        let cells = row.cells.iter().flatten();
        let shown = cells.filter_map(|cell| self.pictures.get(cell.picture));
        let tallest = shown
            .map(aspect)
            .reduce(f32::max)
            .or_else(|| self.pictures.iter().map(aspect).reduce(f32::max));
        tallest.unwrap_or(1.0).min(TALLEST)
    }

    /// What a pixel's colour means, in words.
    #[must_use]
    pub fn scale_in_words(&self) -> String {
        let MapStyle {
            palette,
            contour,
            grid,
            scale,
            opacity,
        } = self.style;
        let scale = match scale {
            Scale::Own => "1 is each map\u{2019}s own largest value",
            Scale::Common => "1 is the largest value of all models on the image",
        };
        let grid = match grid {
            Grid::Smooth => "enlarged bilinearly",
            Grid::Raw => "the network\u{2019}s own grid",
        };
        let blending = match self.blending {
            Blending::ByAttention => "low attention is left clear",
            Blending::Even => "blended evenly",
        };
        let line = contour.map_or(String::new(), |at| format!(", line at {at:.2}"));
        format!(
            "{}, {scale}; {grid}; {blending}, opacity {opacity:.2}{line}.",
            palette.name()
        )
    }

    /// Lines at the foot, right of the colour bar.
    fn foot(&self, width: f32) -> Vec<String> {
        let mut lines = wrapped(&self.scale_in_words(), width - 2.0 * MARGIN - BAR_ROOM, 7.0);
        if !self.note.is_empty() {
            lines.extend(wrapped(&self.note, width - 2.0 * MARGIN - BAR_ROOM, 7.0));
        }
        lines
    }

    /// The figure as an SVG document.
    ///
    /// # Errors
    /// Where a picture has not as many pixels as it says.
    pub fn svg(&self) -> Result<String, RenderError> {
        let at = self.layout();
        let ink = self.theme.ink();
        let pictures = self.pictures.iter().enumerate().map(|(i, boxed)| {
            let Picture { width, height, rgb } = &boxed.picture;
            let png = render::png(*width, *height, png::ColorType::Rgb, rgb, None)?;
            Ok(html! {
                image id={"p" (i)} width=(width) height=(height) href=(data_uri(&png)) {}
            })
        });
        let pictures: Vec<Markup> = pictures.collect::<Result<_, RenderError>>()?;
        let mut cells = Vec::new();
        for (row, &(top, height)) in self.rows.iter().zip(&at.rows) {
            for (column, cell) in row.cells.iter().enumerate() {
                let x = at.left + column as f32 * (at.cell + GAP);
                if let Some(cell) = cell {
                    cells.push(self.cell(cell, [x, top, at.cell, height])?);
                }
            }
        }
        let document = html! {
            svg xmlns="http://www.w3.org/2000/svg" width={(Number(self.width)) "mm"} height={(Number(at.height / POINTS_PER_MM)) "mm"}
                viewBox={"0 0 " (Number(at.width)) " " (Number(at.height))} font-family=(FAMILY) {
                defs { (bar_gradient(&self.style)) @for picture in &pictures { (picture) } }
                rect width=(Number(at.width)) height=(Number(at.height)) fill=(ink.ground) {}
                @if !self.title.is_empty() {
                    (text([MARGIN, MARGIN + 9.0], 9.5, ink.strong, &self.title, Text::Strong))
                }
                @for (column, name) in self.columns.iter().enumerate() {
                    (text([at.left + column as f32 * (at.cell + GAP), at.header + 8.5], 8.0, ink.strong,
                        &fitted(name, at.cell, 8.0), Text::Strong))
                }
                @for (row, (top, height)) in self.rows.iter().zip(&at.rows) {
                    @if !row.label.is_empty() {
                        (text([MARGIN, top + height / 2.0 + 2.5], 8.0, ink.strong, &fitted(&row.label, LABEL - 4.0, 8.0), Text::Strong))
                    }
                }
                @for cell in &cells { (cell) }
                (self.bar([MARGIN, at.foot], &ink))
                @for (i, line) in self.foot(at.width).iter().enumerate() {
                    (text([MARGIN + BAR_ROOM, at.foot + 7.0 + 10.0 * i as f32], 7.0, ink.weak, line, Text::Plain))
                }
            }
        };
        Ok(document.into_string())
    }

    fn cell(&self, cell: &Cell, [x, y, width, height]: [f32; 4]) -> Result<Markup, RenderError> {
        let Some(boxed) = self.pictures.get(cell.picture) else {
            return Ok(Markup::default());
        };
        let ink = self.theme.ink();
        let of = &boxed.picture;
        let (w, h) = (of.width.max(1) as f32, of.height.max(1) as f32);
        let zoom = (width / w).min(height / h);
        let [left, top] = [x + (width - w * zoom) / 2.0, y + (height - h * zoom) / 2.0];
        let map = cell.map.as_ref().map(|map| self.map(map)).transpose()?;
        let lines = match (&cell.map, self.style.contour) {
            (Some(map), Some(at)) => contour(&map.map, self.style.grid, map.gain, at),
            _ => Vec::new(),
        };
        let point = |[u, v]: [f32; 2]| [left + u * w * zoom, top + v * h * zoom];
        let caption = &cell.caption;
        let under = y + height + CAPTION - 3.5;
        let words = if caption.is_warning {
            ink.warning
        } else {
            ink.weak
        };
        let room = width - 4.5 * caption.number.chars().count() as f32;
        Ok(html! {
            use href={"#p" (cell.picture)} transform={"translate(" (Number(left)) " " (Number(top)) ") scale(" (Number(zoom)) ")"} {}
            @if let Some(map) = map {
                image x=(Number(left)) y=(Number(top)) width=(Number(w * zoom)) height=(Number(h * zoom))
                    preserveAspectRatio="none" opacity=(Number(self.style.opacity)) href=(map) {}
            }
            @for line in &lines {
                @let points: String = line.iter().map(|p| { let [x, y] = point(*p); format!("{},{} ", Number(x).text(), Number(y).text()) }).collect();
                polyline points=(points.trim_end()) fill="none" stroke="#000000" stroke-opacity="0.6" stroke-width="1.6" {}
                polyline points=(points.trim_end()) fill="none" stroke="#ffffff" stroke-width="0.7" {}
            }
            @for xyxy in &boxed.boxes {
                @let [x0, y0] = point([xyxy[0] as f32, xyxy[1] as f32]);
                @let [x1, y1] = point([xyxy[2] as f32, xyxy[3] as f32]);
                @for (stroke, opacity, line) in [("#000000", "0.6", "2"), ("#ffffff", "1", "1")] {
                    rect x=(Number(x0)) y=(Number(y0)) width=(Number((x1 - x0).max(0.1))) height=(Number((y1 - y0).max(0.1)))
                        fill="none" stroke=(stroke) stroke-opacity=(opacity) stroke-width=(line) {}
                }
            }
            @if self.has_captions {
                (text([x, under], 7.0, words, &fitted(&caption.words, room, 7.0), Text::Plain))
                @if !caption.number.is_empty() {
                    (text([x + width, under], 7.0, ink.strong, &caption.number, Text::Right))
                }
            }
        })
    }

    /// The map by itself, as a picture in an address.
    fn map(&self, map: &Map) -> Result<String, RenderError> {
        /// The least side; whole pixels to a cell of the grid.
        const SIDE: usize = 224;
        let side = |cells: usize| cells.max(1) * SIDE.div_ceil(cells.max(1));
        let size = [side(map.map.width), side(map.map.height)];
        let pixels = overlay(&map.map, &self.style, self.blending, map.gain, size);
        let [width, height] = size.map(|side| side as u32);
        let rgba = pixels.concat();
        let png = render::png(width, height, png::ColorType::Rgba, &rgba, None)?;
        Ok(data_uri(&png))
    }

    fn bar(&self, [x, y]: [f32; 2], ink: &Ink) -> Markup {
        html! {
            (text([x, y + 7.0], 7.0, ink.strong, "model attention", Text::Strong))
            (text([x, y + 16.5], 7.0, ink.strong, "0", Text::Plain))
            rect x=(Number(x + 7.0)) y=(Number(y + 11.5)) width="60" height="5" fill="url(#bar)" {}
            (text([x + 70.0, y + 16.5], 7.0, ink.strong, "1", Text::Plain))
        }
    }
}

/// Left of the words at the foot.
const BAR_ROOM: f32 = 84.0;

fn bar_gradient(style: &MapStyle) -> Markup {
    const STEPS: u8 = 24;
    html! {
        linearGradient id="bar" {
            @for step in 0..=STEPS {
                @let at = f32::from(step) / f32::from(STEPS);
                @let [r, g, b] = style.palette.color(at);
                stop offset=(Number(at)) stop-color={ "#" (format!("{r:02x}{g:02x}{b:02x}")) } {}
            }
        }
    }
}

/// How a text stands.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Text {
    Plain,
    Strong,
    /// It ends there.
    Right,
    /// Its middle is there.
    Middle,
}

pub(crate) fn text([x, y]: [f32; 2], size: f32, fill: &str, words: &str, how: Text) -> Markup {
    let weight = if how == Text::Strong { "600" } else { "400" };
    let anchor = match how {
        Text::Right => "end",
        Text::Middle => "middle",
        Text::Plain | Text::Strong => "start",
    };
    html! {
        text x=(Number(x)) y=(Number(y)) font-size=(Number(size)) font-weight=(weight) text-anchor=(anchor) fill=(fill) { (clean(words)) }
    }
}

/// Without what no XML document may hold.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A length in an SVG: two decimals, none where they are 0.
#[derive(Clone, Copy)]
pub(crate) struct Number(pub f32);

impl Number {
    pub(crate) fn text(self) -> String {
        let text = format!("{:.3}", self.0);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Render for Number {
    fn render(&self) -> Markup {
        PreEscaped(self.text())
    }
}

pub(crate) fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(png))
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            if i <= three.len() {
                out.push(char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// Widths of CARE Sans by and large: enough to leave room.
fn width_of(text: &str, size: f32) -> f32 {
    let ems: f32 = text
        .chars()
        .map(|c| match c {
            'i' | 'l' | 'j' | 't' | 'f' | 'I' | '.' | ',' | ';' | ':' | ' ' | '\'' | '|' => 0.32,
            'm' | 'w' | 'M' | 'W' => 0.9,
            c if c.is_uppercase() => 0.72,
            c if c.is_ascii() => 0.6,
            _ => 0.8,
        })
        .sum();
    ems * size
}

/// Cut where there is no room for it.
pub(crate) fn fitted(text: &str, width: f32, size: f32) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if width_of(&kept, size) + width_of("\u{2026}", size) + size * 0.6 > width {
            break;
        }
        kept.push(c);
    }
    kept.trim_end().to_owned() + "\u{2026}"
}

fn wrapped(text: &str, width: f32, size: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width_of(line, size) + width_of(word, size) + 0.3 * size <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
