//! The nouns of a project. Plain data, no behaviour beyond what each can say about itself.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::geometry::{BoundingBox, ImageSize, Orientation};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $kind {
            $($(#[$variant_doc])* #[serde(rename = $name)] $variant,)+
        }

        impl $kind {
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// As files have it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The one of a [`name`](Self::name).
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.name() == name)
            }
        }
    };
}

id!(
    /// An image of a project. Given once, never reused.
    ImageId
);
id!(
    /// A class of a project. Ascending ids are the project's class order and the order of the logits.
    ClassId
);
id!(
    /// A box. Given once, never reused, so that undo and redo bring back the same box.
    BoxId
);
id!(
    /// Somebody who reads the images apart from the others.
    ReaderId
);
id!(
    /// One press of Train. Numbered from 1 in each project.
    RunId
);

/// BLAKE3 of the file's bytes: how a moved image is found again, and how a changed one is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

named!(
    /// The part of the split that an image stands in.
    Part {
        Train = "train",
        Validation = "validation",
        Test = "test",
    }
);

/// An image of a project: a file that stays where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub id: ImageId,
    /// Path as stored, with `/` between its parts: relative to the project's folder where the two share a
    /// disk, absolute otherwise. [`Project::path_of`](crate::Project::path_of) resolves it.
    pub path: String,
    pub hash: ContentHash,
    /// Width and height **as shown**, that is after `orientation` was applied. Boxes live in these pixels.
    pub size: ImageSize,
    pub orientation: Orientation,
    pub class: ClassId,
    /// The patient or lesion; images of one group always stand in the same part. Unique where nothing is known.
    pub group: String,
    pub part: Part,
}

impl Image {
    /// The file's name without its folder and ending, as shown under a thumbnail.
    #[must_use]
    pub fn name(&self) -> &str {
        stem(&self.path)
    }
}

/// Anything else after a dot is part of a name, as in the UIDs that DICOM files are often called.
const ENDINGS: [&str; 10] = [
    "png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "dcm", "dicom", "dic",
];

/// A file's name without its folder and an image's ending.
#[must_use]
pub fn stem(path: &str) -> &str {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    match file.rsplit_once('.') {
        Some((stem, ending)) if ENDINGS.iter().any(|e| ending.eq_ignore_ascii_case(e)) => stem,
        _ => file,
    }
}

/// A class, in the project's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    pub id: ClassId,
    pub name: String,
    /// Index into the window's list of class colours.
    pub color: u32,
    /// Marked by a person: its training images are asked for boxes, its recall is the one that counts.
    pub rare: bool,
}

/// A box that somebody drew or imported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    pub id: BoxId,
    pub image: ImageId,
    /// Whose it is where readers read apart; `None` for the project's own boxes, which train and are exported.
    pub reader: Option<ReaderId>,
    /// In pixels of the image as shown.
    pub rect: BoundingBox,
    pub origin: Origin,
    /// The person at the keyboard; empty where nobody knows.
    pub by: String,
    /// Unix time in milliseconds; 0 where nobody knows.
    pub at: i64,
}

named!(
    /// Where a box comes from. One that a person moved afterwards keeps its origin.
    Origin {
        Drawn = "drawn",
        Imported = "imported",
        /// Suggested by a model's attention and accepted by a person.
        Attention = "attention",
        /// Suggested by the picture's saliency and accepted by a person.
        Saliency = "saliency",
        /// Taken over from one reader, or the mean of two that agree.
        Readers = "readers",
    }
);

named!(
    /// How far the work on an image has come.
    ReviewState {
        ToDo = "to do",
        /// A person said that this image needs nothing more.
        Done = "done",
        /// A person was not sure.
        SecondLook = "second look",
    }
);

/// What a person, or a reader, says about an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    pub state: ReviewState,
    pub note: String,
}

impl Review {
    /// Of an image that nobody has said anything about.
    pub const NONE: Self = Self {
        state: ReviewState::ToDo,
        note: String::new(),
    };
}

/// Somebody who reads the images apart from the others: does not see their boxes, and is compared with them afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    pub id: ReaderId,
    pub name: String,
}

/// A file that could not be taken in, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRead {
    pub path: PathBuf,
    /// What is wrong: one sentence.
    pub why: String,
    /// What the user can do: one sentence.
    pub advice: String,
}

named!(
    /// How a run stands, as recorded in the project.
    RunState {
        /// Being trained, or cut off with the process that trained it.
        Running = "running",
        Finished = "finished",
        Stopped = "stopped",
        Failed = "failed",
    }
);

/// One measured number of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Which model was measured, such as "care".
    pub model: String,
    pub name: String,
    pub value: f64,
    /// How many images it was measured on.
    pub n: u64,
    /// The interval's ends, where there is one.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// A run's row in the project; everything else about it lies in its own folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: RunId,
    pub state: RunState,
    /// Unix time in milliseconds.
    pub started_at: i64,
    /// One line: how it ended, or the reason of a failure.
    pub note: String,
    /// Given by a person; empty where nobody gave one.
    pub name: String,
    /// What a person wrote about it.
    pub remark: String,
    pub starred: bool,
}

impl Run {
    /// What it is called: "Run 3", with the name that somebody gave it.
    #[must_use]
    pub fn title(&self) -> String {
        if self.name.is_empty() {
            format!("Run {}", self.id)
        } else {
            format!("Run {}: {}", self.id, self.name)
        }
    }
}
