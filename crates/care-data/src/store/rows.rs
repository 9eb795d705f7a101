//! A row of the project's file as what it stands for, and the other way.

use std::path::PathBuf;

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, Row};

use super::Entry;
use crate::edit::Edit;
use crate::geometry::{BoundingBox, ImageSize, Orientation};
use crate::grey::Look;
use crate::model::{
    Annotation, BoxId, Class, ClassId, ContentHash, Image, ImageId, Metric, NotRead, Origin, Part,
    Reader, ReaderId, Review, ReviewState, Run, RunId, RunState,
};

pub fn all<T>(
    connection: &Connection,
    sql: &str,
    read: fn(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(sql)?.query_map([], read)?.collect()
}

pub fn look(row: &Row) -> rusqlite::Result<Look> {
    let windowing: String = row.get(0)?;
    Ok(Look {
        windowing: windowing.parse().map_err(unreadable)?,
        invert: row.get(1)?,
    })
}

pub fn class(row: &Row) -> rusqlite::Result<Class> {
    Ok(Class {
        id: ClassId(row.get(0)?),
        name: row.get(1)?,
        color: row.get(2)?,
        rare: row.get(3)?,
    })
}

pub fn image(row: &Row) -> rusqlite::Result<Image> {
    Ok(Image {
        id: ImageId(row.get(0)?),
        path: row.get(1)?,
        hash: ContentHash(row.get(2)?),
        size: ImageSize::new(row.get(3)?, row.get(4)?),
        orientation: Orientation::from_exif(row.get(5)?),
        class: ClassId(row.get(6)?),
        group: row.get(7)?,
        part: named(row, 8, Part::from_name)?,
    })
}

pub fn annotation(row: &Row) -> rusqlite::Result<Annotation> {
    let rect = BoundingBox::new(row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?);
    Ok(Annotation {
        id: BoxId(row.get(0)?),
        image: ImageId(row.get(1)?),
        reader: row.get::<_, Option<i64>>(2)?.map(ReaderId),
        rect: rect.map_err(unreadable)?,
        origin: named(row, 7, Origin::from_name)?,
        by: row.get(8)?,
        at: row.get(9)?,
    })
}

pub fn reader(row: &Row) -> rusqlite::Result<Reader> {
    Ok(Reader {
        id: ReaderId(row.get(0)?),
        name: row.get(1)?,
    })
}

pub fn review(row: &Row) -> rusqlite::Result<(ImageId, Option<ReaderId>, Review)> {
    let reader = row.get::<_, Option<i64>>(1)?.map(ReaderId);
    let review = Review {
        state: named(row, 2, ReviewState::from_name)?,
        note: row.get(3)?,
    };
    Ok((ImageId(row.get(0)?), reader, review))
}

pub fn entry(row: &Row) -> rusqlite::Result<Entry> {
    Ok(Entry {
        row: row.get(0)?,
        edit: from_json(row, 1)?,
        inverse: from_json(row, 2)?,
    })
}

pub fn not_read(row: &Row) -> rusqlite::Result<NotRead> {
    Ok(NotRead {
        path: PathBuf::from(row.get::<_, String>(0)?),
        why: row.get(1)?,
        advice: row.get(2)?,
    })
}

/// And whether it is in the trash.
pub fn run(row: &Row) -> rusqlite::Result<(Run, bool)> {
    let run = Run {
        id: RunId(row.get(0)?),
        state: named(row, 1, RunState::from_name)?,
        started_at: row.get(2)?,
        note: row.get(3)?,
        name: row.get(4)?,
        remark: row.get(5)?,
        starred: row.get(6)?,
    };
    Ok((run, row.get(7)?))
}

pub fn metric(row: &Row) -> rusqlite::Result<(RunId, Metric)> {
    let metric = Metric {
        model: row.get(1)?,
        name: row.get(2)?,
        // SQLite keeps NaN as NULL.
        value: row.get::<_, Option<f64>>(3)?.unwrap_or(f64::NAN),
        n: row.get::<_, i64>(4)?.cast_unsigned(),
        low: row.get(5)?,
        high: row.get(6)?,
    };
    Ok((RunId(row.get(0)?), metric))
}

pub fn named<T>(row: &Row, column: usize, parse: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name = row.get_ref(column)?.as_str()?;
    parse(name).ok_or_else(|| unreadable(FromSqlError::InvalidType))
}

pub fn to_json(edit: &Edit) -> rusqlite::Result<String> {
    serde_json::to_string(edit)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

pub fn from_json(row: &Row, column: usize) -> rusqlite::Result<Edit> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(unreadable)
}

/// A value that this program never wrote.
pub fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}
