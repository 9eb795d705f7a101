//! Which of the formats that are known a folder or a file is.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::AtomicBool;

use super::lines::Table;
use super::{ImportError, Walked, coco, go_on, labelme, masks, spreadsheet, table, walk, yolo};
use crate::names::{NoSuchFormat, by_name};

/// How images come with their classes and boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One subfolder for each class.
    Folder,
    /// A table as of ISIC and HAM10000: `image_id`, `dx`, `lesion_id`.
    Table,
    /// COCO JSON with instances.
    Coco,
    /// Pascal VOC: an XML file for each image.
    Voc,
    /// YOLO: a text file for each image, in shares of its size.
    Yolo,
    /// A table with an image, a class and a box on each line.
    Csv,
    /// labelme: a JSON file for each image.
    Labelme,
    /// RSNA pneumonia: `stage_2_train_labels.csv`.
    Rsna,
    /// NIH ChestX-ray14: `BBox_List_2017.csv`.
    Nih,
    /// Class folders or a table, and for each image a PNG whose spots are its boxes.
    Masks,
}

impl Format {
    pub const ALL: [Self; 10] = [
        Self::Folder,
        Self::Table,
        Self::Coco,
        Self::Voc,
        Self::Yolo,
        Self::Csv,
        Self::Labelme,
        Self::Rsna,
        Self::Nih,
        Self::Masks,
    ];

    /// As it is typed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Table => "table",
            Self::Coco => "coco",
            Self::Voc => "voc",
            Self::Yolo => "yolo",
            Self::Csv => "csv",
            Self::Labelme => "labelme",
            Self::Rsna => "rsna",
            Self::Nih => "nih",
            Self::Masks => "masks",
        }
    }

    /// As it stands in a sentence.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::Folder => "class folders",
            Self::Table => "a table as of ISIC (image_id, dx)",
            Self::Coco => "COCO JSON",
            Self::Voc => "Pascal VOC XML",
            Self::Yolo => "YOLO labels",
            Self::Csv => "a CSV table of images, classes and boxes",
            Self::Labelme => "labelme JSON",
            Self::Rsna => "RSNA's table (patientId, Target)",
            Self::Nih => "NIH's table (Image Index, Finding Label)",
            Self::Masks => "images with masks",
        }
    }

    /// Whether boxes are part of it.
    pub(super) fn has_boxes(self) -> bool {
        !matches!(self, Self::Folder | Self::Table)
    }
}

impl FromStr for Format {
    type Err = NoSuchFormat;

    fn from_str(name: &str) -> Result<Self, NoSuchFormat> {
        by_name(name, &Self::ALL, Self::name)
    }
}

/// Which format a folder or a file is, by names and by how files begin. A folder that is nothing else is
/// [`Format::Folder`].
///
/// # Errors
/// Where it cannot be read, or is a file of none of the formats.
pub fn recognise(path: &Path, stop: &AtomicBool) -> Result<Format, ImportError> {
    let path = path.canonicalize().map_err(|e| ImportError::io(path, e))?;
    Source::find(&path, None, stop).map(|source| source.format)
}

/// What was recognised, and what lies round it.
pub(super) struct Source {
    pub format: Format,
    /// The folder that the images lie below.
    pub root: PathBuf,
    /// The file that was recognised, or the folder.
    pub at: PathBuf,
    pub walked: Walked,
}

/// How many files of an ending are looked into before it is decided that none is what it could be.
const LOOKED_INTO: usize = 32;

/// How many bytes of a JSON file are looked through for what it is.
const LOOKED_THROUGH: u64 = 64 << 20;

impl Source {
    /// Looks at `path`, which is absolute.
    pub fn find(
        path: &Path,
        wanted: Option<Format>,
        stop: &AtomicBool,
    ) -> Result<Self, ImportError> {
        let unusable = |why: String, advice: &str| ImportError::Unusable {
            path: path.to_owned(),
            why,
            advice: advice.to_owned(),
        };
        if path.is_dir() {
            let walked = walk(path, stop)?;
            let (format, at) = in_folder(path, &walked, wanted, stop)?;
            return Ok(Self {
                format,
                root: path.to_owned(),
                at,
                walked,
            });
        }
        let recognised = of_file(path)?;
        let format = match (wanted, recognised) {
            (Some(wanted), Some(found))
                if wanted != found && !(wanted == Format::Csv && found == Format::Table) =>
            {
                return Err(unusable(
                    format!("It is {}, not {}.", found.described(), wanted.described()),
                    "Name the format that it is, or leave that to be recognised.",
                ));
            }
            (Some(wanted), _) => wanted,
            (None, Some(found)) => found,
            // The table's reader says which columns it misses.
            (None, None) if has_ending(path, "csv") => Format::Table,
            (None, None) => {
                return Err(unusable(
                    "It is none of the formats that are known.".to_owned(),
                    "Choose a folder of images, a CSV table, COCO or labelme JSON, VOC XML or YOLO's data.yaml.",
                ));
            }
        };
        let mut root = path.parent().unwrap_or(path);
        // The usual layouts keep the images beside that folder.
        let is_apart = |name: &OsStr| {
            ["annotations", "labels"]
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n))
        };
        if !matches!(format, Format::Table | Format::Csv)
            && root.file_name().is_some_and(is_apart)
            && let Some(parent) = root.parent()
        {
            root = parent;
        }
        let mut walked = walk(root, stop)?;
        if matches!(format, Format::Voc | Format::Labelme) {
            // Of the annotations, this one only.
            walked.files.retain(|file| {
                file == path || !(has_ending(file, "xml") || has_ending(file, "json"))
            });
        }
        Ok(Self {
            format,
            root: root.to_owned(),
            at: path.to_owned(),
            walked,
        })
    }
}

pub(super) fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// The first thousand bytes without what may stand before the text.
fn beginning(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(1024).read_to_end(&mut bytes)?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Ok(text.trim_ascii_start().to_vec())
}

fn of_file(path: &Path) -> Result<Option<Format>, ImportError> {
    let io = |error| ImportError::io(path, error);
    let start = beginning(path).map_err(io)?;
    Ok(match start.first() {
        Some(b'{') => of_json(path),
        Some(b'<') => is_voc(path).then_some(Format::Voc),
        _ if yolo::is_settings(path) => Some(Format::Yolo),
        _ => of_table(path),
    })
}

fn is_voc(path: &Path) -> bool {
    let is_annotation = |text: Vec<u8>| text.windows(11).any(|w| w == b"<annotation");
    beginning(path).is_ok_and(is_annotation)
}

pub(super) fn of_json(path: &Path) -> Option<Format> {
    let mut file = BufReader::new(File::open(path).ok()?.take(LOOKED_THROUGH));
    skip_mark(&mut file);
    match first_known_key(file, &[coco::KEYS, labelme::KEYS].concat())? {
        key if coco::KEYS.contains(&key) => Some(Format::Coco),
        _ => Some(Format::Labelme),
    }
}

/// JSON allows no byte order mark, but some programs write it.
pub(super) fn skip_mark(text: &mut impl BufRead) {
    let start = text.fill_buf();
    if start.is_ok_and(|start| start.starts_with(b"\xef\xbb\xbf")) {
        text.consume(3);
    }
}

/// What kind of table a file is, by the names in its first line; `None` where it is no table of images.
pub(super) fn of_table(path: &Path) -> Option<Format> {
    let table = Table::open(path).ok()?;
    let has = |names: &[&str]| table.column(names).is_some();
    if has(&["patientId"]) && has(&["Target"]) {
        Some(Format::Rsna)
    } else if has(&["Image Index"]) && has(&["Finding Label"]) {
        Some(Format::Nih)
    } else if has(table::IMAGE) && has(table::CLASS) && !spreadsheet::has_boxes(&table) {
        Some(Format::Table)
    } else if has(spreadsheet::IMAGE) && has(spreadsheet::CLASS) {
        Some(Format::Csv)
    } else {
        None
    }
}

/// Whether a table that lies in a folder speaks for it: a list of names and classes may be anything, with boxes it is a data set.
fn speaks_for_its_folder(path: &Path, kind: Format) -> bool {
    kind != Format::Csv || Table::open(path).is_ok_and(|table| spreadsheet::has_boxes(&table))
}

/// The first of an object's own keys that is one of `keys`; reads no further.
fn first_known_key<'a>(text: impl std::io::Read, keys: &[&'a str]) -> Option<&'a str> {
    struct Search<'a, 'b>(&'b [&'a str], &'b mut Option<&'a str>);
    impl<'de> serde::de::Visitor<'de> for Search<'_, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                *self.1 = self.0.iter().find(|known| **known == key).copied();
                if self.1.is_some() {
                    break;
                }
                map.next_value::<serde::de::IgnoredAny>()?;
            }
            Ok(())
        }
    }
    let mut found = None;
    let mut json = serde_json::Deserializer::from_reader(text);
    // That the rest was left unread is reported as an error, and none.
    let _ = serde::Deserializer::deserialize_map(&mut json, Search(keys, &mut found));
    found
}

fn in_folder(
    folder: &Path,
    walked: &Walked,
    wanted: Option<Format>,
    stop: &AtomicBool,
) -> Result<(Format, PathBuf), ImportError> {
    let allowed = |format: Format| wanted.is_none_or(|wanted| wanted == format);
    // What lies higher speaks for more.
    let depth = |path: &&PathBuf| path.components().count();
    let with_ending = |ending: &'static str| {
        let mut files: Vec<_> = walked
            .files
            .iter()
            .filter(|f| has_ending(f, ending))
            .collect();
        files.sort_by_key(depth);
        files.truncate(LOOKED_INTO);
        files
    };
    let directly_in = |path: &Path| path.parent() == Some(folder);

    let mut tables = Vec::new();
    for path in with_ending("csv") {
        go_on(stop)?;
        // A table of boxes alone, beside whatever names the classes.
        if directly_in(path)
            && path.file_name().is_none_or(|name| name != "boxes.csv")
            && let Some(kind) = of_table(path)
            && (wanted == Some(kind) || wanted.is_none() && speaks_for_its_folder(path, kind))
        {
            tables.push((kind, path.clone()));
        }
    }
    for kind in [Format::Rsna, Format::Nih, Format::Table, Format::Csv] {
        let mut of_kind = tables.iter().filter(|(k, _)| *k == kind);
        if let Some((_, path)) = of_kind.next() {
            // With masks it is the masks' importer that asks the table.
            if wanted.is_none() && kind == Format::Table && masks::are_there(folder, &walked.files)
            {
                return Ok((Format::Masks, folder.to_owned()));
            }
            return match of_kind.count() {
                0 => Ok((kind, path.clone())),
                more => Err(ImportError::Unusable {
                    path: folder.to_owned(),
                    why: format!("It holds {} tables of images.", more + 1),
                    advice: "Choose one of the tables instead of the folder.".to_owned(),
                }),
            };
        }
    }
    for path in with_ending("json") {
        go_on(stop)?;
        match of_json(path) {
            Some(format) if allowed(format) => return Ok((format, folder.to_owned())),
            _ => {}
        }
    }
    for path in with_ending("xml") {
        go_on(stop)?;
        if allowed(Format::Voc) && is_voc(path) {
            return Ok((Format::Voc, folder.to_owned()));
        }
    }
    for (format, is_there) in [
        (
            Format::Yolo,
            yolo::is_there as fn(&Path, &[PathBuf]) -> bool,
        ),
        (Format::Masks, masks::are_there),
    ] {
        if allowed(format) && is_there(folder, &walked.files) {
            return Ok((format, folder.to_owned()));
        }
    }
    match wanted {
        None | Some(Format::Folder) => Ok((Format::Folder, folder.to_owned())),
        Some(wanted) => Err(ImportError::Unusable {
            path: folder.to_owned(),
            why: format!("It holds no file that is {}.", wanted.described()),
            advice: "Choose the folder that does, or the file itself.".to_owned(),
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_without_reading_on() {
        let keys = ["images", "shapes"];
        for (text, expected) in [
            (
                r#"{"a": {"images": 1}, "shapes": [ this is never read"#,
                Some("shapes"),
            ),
            (r#"{"info": [[[]]], "images": []}"#, Some("images")),
            (r#"{"a": 1}"#, None),
            (r#"[{"images": 1}]"#, None),
            (r#"{"a": "#, None),
        ] {
            assert_eq!(first_known_key(text.as_bytes(), &keys), expected, "{text}");
        }
    }

    #[test]
    fn names_are_read_as_written() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert!(
            "dicom"
                .parse::<Format>()
                .unwrap_err()
                .to_string()
                .contains("coco, voc")
        );
    }
}
