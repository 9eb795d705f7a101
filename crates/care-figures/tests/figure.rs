//! A figure and a film as they come out.

use std::io::Read;
use std::sync::atomic::AtomicBool;

use care_data::HeatMap;
use care_figures::figure::{Boxed, Caption, Cell, Figure, Map, Picture, Row, Theme};
use care_figures::film::{gif, png_frames};
use care_figures::render::{PRINT_DPI, svg_to_pdf, svg_to_png};
use care_figures::{Blending, Grid, MapStyle, Scale};

/// Two images, one grey and one brown, with a box in the middle; before is flat on the second.
fn figure() -> Figure {
    let picture = |color: [u8; 3]| Boxed {
        picture: Picture {
            width: 60,
            height: 40,
            rgb: color.repeat(60 * 40),
        },
        boxes: vec![[0.25, 0.25, 0.75, 0.75]],
    };
    let map = |values: &[f32]| Map {
        map: HeatMap {
            height: 2,
            width: 2,
            values: values.to_vec(),
        },
        gain: 1.0,
    };
    let cell = |picture, map, words: &str, number: &str| {
        Some(Cell {
            picture,
            map,
            caption: Caption {
                words: words.to_owned(),
                number: number.to_owned(),
                is_warning: false,
            },
        })
    };
    Figure {
        title: String::new(),
        columns: ["original", "before", "CARE"].map(str::to_owned).to_vec(),
        pictures: vec![picture([120; 3]), picture([150, 100, 60])],
        rows: vec![
            Row {
                label: String::new(),
                cells: vec![
                    cell(0, None, "nevus & <more>", ""),
                    cell(0, Some(map(&[0.0, 0.0, 0.0, 1.0])), "melanoma", "0.12"),
                    cell(0, Some(map(&[1.0, 0.0, 0.0, 0.0])), "correct", "0.83"),
                ],
            },
            Row {
                label: String::new(),
                cells: vec![
                    cell(1, None, "image 2", ""),
                    cell(1, Some(map(&[0.0; 4])), "nevus", "\u{2013}"),
                    None,
                ],
            },
        ],
        note: "Number: share of attention in the box.".to_owned(),
        style: MapStyle::default(),
        blending: Blending::ByAttention,
        theme: Theme::Light,
        has_captions: true,
        width: 120.0,
    }
}

fn pixels(figure: &Figure) -> image::RgbImage {
    let png = svg_to_png(&figure.svg().expect("drawn"), PRINT_DPI).expect("pixels");
    image::load_from_memory(&png).expect("a PNG").into_rgb8()
}

#[test]
fn words_are_text_and_the_scale_is_said() {
    let mut figure = figure();
    figure.style.scale = Scale::Common;
    figure.style.grid = Grid::Raw;
    figure.style.contour = Some(0.5);
    figure.blending = Blending::Even;
    let svg = figure.svg().expect("drawn");
    for text in [
        ">nevus &amp; &lt;more&gt;</text>",
        ">CARE</text>",
        ">0.83</text>",
        ">model attention</text>",
        "1 is the largest value of all models",
        "own grid",
        "blended evenly",
        "width=\"120mm\"",
        "<polyline",
        "CARE Sans, Inter",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    assert_eq!(svg, figure.svg().expect("drawn"), "the same again");
    // Each picture once, each map once.
    assert_eq!(svg.matches("data:image/png").count(), 2 + 3);
    figure.has_captions = false;
    assert!(!figure.svg().expect("drawn").contains(">0.83<"));
}

#[test]
fn the_png_is_as_wide_as_was_chosen_and_says_so() {
    for (width, expected) in [(85.0, 1004), (170.0, 2008)] {
        let figure = Figure { width, ..figure() };
        let png = svg_to_png(&figure.svg().expect("drawn"), PRINT_DPI).expect("pixels");
        let decoder = png::Decoder::new(std::io::Cursor::new(&png));
        let reader = decoder.read_info().expect("a PNG");
        let info = reader.info();
        assert!(info.width.abs_diff(expected) <= 1, "{}", info.width);
        let dims = info.pixel_dims.expect("a resolution");
        assert_eq!((dims.xppu, dims.yppu), (11811, 11811));
        assert!(matches!(dims.unit, png::Unit::Meter));
    }
}

/// Margin 8, gap 5, header 13 points; three columns.
#[test]
fn boxes_and_maps_are_where_they_belong() {
    let image = pixels(&figure());
    let points = 120.0 / 25.4 * 72.0;
    let cell = (points - 2.0 * 8.0 - 2.0 * 5.0) / 3.0;
    let height = cell * 40.0 / 60.0;
    let zoom = 300.0 / 72.0;
    let at = |column: f32, u: f32, v: f32| {
        let x = 8.0 + column * (cell + 5.0) + u * cell;
        let y = 8.0 + 13.0 + v * height;
        image.get_pixel((x * zoom) as u32, (y * zoom) as u32).0
    };
    let near = |a: [u8; 3], b: [u8; 3]| (0..3).all(|i| a[i].abs_diff(b[i]) <= 6);
    for column in [0.0, 1.0, 2.0] {
        for (u, v) in [(0.25, 0.5), (0.75, 0.5), (0.5, 0.25), (0.5, 0.75)] {
            assert!(near(at(column, u, v), [255; 3]), "{column} {u} {v}");
        }
        assert!(near(at(column, 0.5, 0.5), at(column, 0.5, 0.5)));
    }
    assert!(near(at(0.0, 0.9, 0.9), [120; 3]), "no map on the original");
    // The attended corner is red, the others are the picture's own.
    let red = |[r, g, b]: [u8; 3]| r > 120 && g < 80 && b < 80;
    assert!(red(at(1.0, 0.95, 0.95)), "{:?}", at(1.0, 0.95, 0.95));
    assert!(near(at(1.0, 0.05, 0.05), [120; 3]));
    assert!(red(at(2.0, 0.05, 0.05)), "{:?}", at(2.0, 0.05, 0.05));
    let even = pixels(&Figure {
        blending: Blending::Even,
        ..figure()
    });
    assert_ne!(even, image);
    let dark = pixels(&Figure {
        theme: Theme::Dark,
        ..figure()
    });
    assert_eq!(dark.get_pixel(2, 2).0, [0x11, 0x13, 0x18]);
    assert_eq!(image.get_pixel(2, 2).0, [255; 3]);
}

/// What the streams of a PDF hold.
fn streams(pdf: &[u8]) -> String {
    let find = |from: usize, what: &[u8]| {
        let place = pdf[from..].windows(what.len()).position(|w| w == what);
        place.map(|place| from + place)
    };
    let (mut out, mut from) = (String::new(), 0);
    while let Some(start) = find(from, b"stream\n") {
        let end = find(start, b"endstream").expect("an end");
        let mut bytes = Vec::new();
        let data = &pdf[start + 7..end];
        if flate2::read::ZlibDecoder::new(data)
            .read_to_end(&mut bytes)
            .is_ok()
        {
            out.push_str(&String::from_utf8_lossy(&bytes));
        }
        from = end + 9;
    }
    out
}

#[test]
fn the_pdfs_text_is_text() {
    let pdf = svg_to_pdf(&figure().svg().expect("drawn"), "Figure 2").expect("a PDF");
    assert!(pdf.starts_with(b"%PDF"));
    let text = streams(&pdf);
    assert!(text.contains("Tj") || text.contains("TJ"), "text is shown");
    assert!(text.contains("beginbfchar"), "glyphs have characters");
    // Every letter of a caption can be found again.
    for letter in "melanoma".chars() {
        let code = format!("<{:04X}>", letter as u32);
        assert!(text.to_uppercase().contains(&code), "{letter}");
    }
}

#[test]
fn a_row_that_is_still_empty_is_as_high_as_when_it_is_filled() {
    let mut full = figure();
    for boxed in &mut full.pictures {
        boxed.picture = Picture {
            width: 64,
            height: 48,
            rgb: vec![90; 3 * 64 * 48],
        };
    }
    let mut empty = full.clone();
    empty.rows[0].cells = vec![None; 3];
    let [full, empty] = [full, empty].map(|figure| pixels(&figure).dimensions());
    assert_eq!(full, empty);
}

#[test]
fn the_film_is_as_long_as_its_frames() {
    let frames = || {
        (0..3).map(|i| Figure {
            title: format!("Epoch {i}.0 of 2"),
            ..figure()
        })
    };
    let stop = AtomicBool::new(false);
    let bytes = gif(&mut frames(), 3, 320, &|_, _| {}, &stop).expect("a GIF");
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(&bytes[..]).expect("a GIF");
    assert!(decoder.width().abs_diff(320) <= 1);
    let mut delays = Vec::new();
    while let Some(frame) = decoder.read_next_frame().expect("a frame") {
        delays.push(frame.delay);
    }
    assert_eq!(delays, [25, 25, 200]);

    let dir = tempfile::tempdir().expect("a folder");
    let to = dir.path().join("film");
    // Somebody's own.
    let kept = dir.path().join("film.part/kept.txt");
    std::fs::create_dir(dir.path().join("film.part")).expect("a folder");
    std::fs::write(&kept, "kept").expect("a file");
    png_frames(&mut frames(), 3, 320, &to, &|_, _| {}, &stop).expect("frames");
    for i in 1..=3 {
        assert!(to.join(format!("frame-{i:04}.png")).is_file());
    }
    assert_eq!(std::fs::read_dir(&to).expect("a folder").count(), 3);
    let again = png_frames(&mut frames(), 3, 320, &to, &|_, _| {}, &stop);
    assert!(again.is_err(), "what is there stays");
    // Cancelled: nothing is left.
    let to = dir.path().join("other");
    let stop = AtomicBool::new(true);
    assert!(png_frames(&mut frames(), 3, 320, &to, &|_, _| {}, &stop).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 2);
    assert!(kept.is_file());
}
