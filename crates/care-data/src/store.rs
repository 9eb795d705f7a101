//! The project's SQLite file: opening it without harm, and every statement that reads or writes it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, ffi, params,
};

use crate::edit::Edit;
use crate::geometry::{BoundingBox, ImageSize, Orientation};
use crate::grey::Look;
use crate::intake::Arrivals;
use crate::model::{
    Annotation, BoxId, Class, ClassId, ContentHash, Image, ImageId, Metric, NotRead, Part, Run,
    RunId, RunState,
};
use crate::project::ProjectError;
use crate::state::State;

/// The file's name in the project's folder.
pub(crate) const FILE: &str = "project.sqlite";
/// What SQLite puts beside it.
const WAL: &str = "project.sqlite-wal";
const SHM: &str = "project.sqlite-shm";
const JOURNAL: &str = "project.sqlite-journal";
/// Locked by the process that writes; holds its number.
pub(crate) const LOCK: &str = "lock";

/// "CARE": what SQLite's header says about whose file it is.
const APPLICATION_ID: u32 = 0x4341_5245;
/// The n-th brings format n to format n + 1.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql"), include_str!("schema/2.sql")];

/// A connection, and the writer's lock where it may write.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
    /// Let go of when the file is closed.
    _lock: Option<File>,
}

/// A row of the journal that can be undone or redone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    row: i64,
    pub edit: Edit,
    pub inverse: Edit,
}

/// Everything that is read when a project is opened.
pub(crate) struct Loaded {
    pub state: State,
    pub next_box: BoxId,
    pub undoable: Option<Entry>,
    pub redoable: Option<Entry>,
    pub salt: [u8; 32],
    pub not_read: Vec<NotRead>,
    pub runs: Vec<Run>,
    pub metrics: BTreeMap<RunId, Vec<Metric>>,
}

impl Store {
    /// Makes the file in a folder that is there and has none.
    pub fn create(dir: &Path) -> Result<Self, ProjectError> {
        let (path, lock) = (dir.join(FILE), lock(dir)?);
        // Another process may have made one while this one came here.
        File::create_new(&path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => ProjectError::Exists {
                path: dir.to_owned(),
            },
            _ => ProjectError::io(&path, error),
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let prepared = Connection::open_with_flags(&path, flags).and_then(|mut connection| {
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            migrate(&mut connection, MIGRATIONS)?;
            // Only now, so that the header of a project that is killed here already says what it is.
            prepare_to_write(&connection)?;
            Ok(connection)
        });
        match prepared {
            Ok(connection) => Ok(Self {
                connection,
                path,
                _lock: Some(lock),
            }),
            Err(error) => {
                // The lock last, while it is held.
                for made in [FILE, WAL, SHM, JOURNAL, LOCK] {
                    // Not all of them were made. The error that matters is the first one.
                    let _ = std::fs::remove_file(dir.join(made));
                }
                Err(ProjectError::sqlite(&path, error))
            }
        }
    }

    /// Opens the file to write, after a check that touches nothing.
    pub fn open(dir: &Path) -> Result<Self, ProjectError> {
        let path = dir.join(FILE);
        check_header(dir, &path)?;
        let lock = lock(dir)?;
        let failed = |error| ProjectError::sqlite(&path, error);
        // Nobody writes while the lock is held, so without a log the file may be read as if it could never change.
        let is_clean = std::fs::metadata(dir.join(WAL)).map_or(true, |log| log.len() == 0);
        check_content(&open_to_read(&path, is_clean).map_err(failed)?, &path)?;

        let mut connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(failed)?;
        if connection.is_readonly("main").map_err(failed)? {
            return Err(ProjectError::ReadOnly { path });
        }
        prepare_to_write(&connection).map_err(failed)?;
        migrate(&mut connection, MIGRATIONS).map_err(failed)?;
        Ok(Self {
            connection,
            path,
            _lock: Some(lock),
        })
    }

    /// Opens the file to read, even while another process writes or in a folder where nothing may be written.
    pub fn open_read_only(dir: &Path) -> Result<Self, ProjectError> {
        let path = dir.join(FILE);
        check_header(dir, &path)?;
        let connection = open_to_read(&path, false)
            .and_then(|connection| {
                // Reading is what needs the log's index, which cannot be made in a read-only folder.
                connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
                Ok(connection)
            })
            .or_else(|_| open_to_read(&path, true))
            .map_err(|error| ProjectError::sqlite(&path, error))?;
        check_content(&connection, &path)?;
        Ok(Self {
            connection,
            path,
            _lock: None,
        })
    }

    fn failed(&self, error: rusqlite::Error) -> ProjectError {
        ProjectError::sqlite(&self.path, error)
    }

    pub fn load(&self) -> Result<Loaded, ProjectError> {
        self.try_load().map_err(|error| self.failed(error))
    }

    fn try_load(&self) -> rusqlite::Result<Loaded> {
        let c = &self.connection;
        let classes = all(
            c,
            "SELECT id, name, color, rare FROM class ORDER BY id",
            class,
        )?;
        let images = r#"SELECT id, path, hash, width, height, orientation, class, "group", part, done
            FROM image ORDER BY id"#;
        let boxes = "SELECT id, image, x0, y0, x1, y1 FROM box ORDER BY id";
        let version: u32 = c.pragma_query_value(None, "user_version", |row| row.get(0))?;
        // An older file that is only read was not brought to this format.
        let (look, salt) = if version >= 2 {
            let project = "SELECT windowing, invert, salt FROM project";
            c.query_row(project, [], |row| Ok((look(row)?, row.get(2)?)))?
        } else {
            Default::default()
        };
        let mut state = State::default();
        state.look = look;
        state
            .take_in(
                classes,
                all(c, images, image)?,
                all(c, boxes, annotation)?,
                HashMap::new(),
            )
            .map_err(unreadable)?;
        let last_box = "SELECT seq FROM sqlite_sequence WHERE name = 'box'";
        let last_box: i64 = c
            .query_row(last_box, [], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let mut metrics: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (run, metric) in all(
            c,
            "SELECT run, model, name, value, n, low, high FROM metric ORDER BY rowid",
            metric,
        )? {
            metrics.entry(run).or_default().push(metric);
        }
        Ok(Loaded {
            state,
            salt,
            next_box: BoxId(last_box + 1),
            undoable: undoable(c)?,
            redoable: redoable(c)?,
            not_read: all(
                c,
                "SELECT path, why, advice FROM not_read ORDER BY id",
                not_read,
            )?,
            runs: all(
                c,
                "SELECT id, state, started_at, note FROM run ORDER BY id",
                run,
            )?,
            metrics,
        })
    }

    /// Writes an edit and its row in the journal; what had been undone is abandoned.
    pub fn record(&mut self, edit: Edit, inverse: Edit) -> Result<Entry, ProjectError> {
        let row = self.transact(|transaction| {
            write(transaction, &edit)?;
            transaction.execute(
                "UPDATE journal SET state = 'abandoned' WHERE state = 'undone'",
                [],
            )?;
            transaction.execute(
                "INSERT INTO journal (at, who, edit, inverse, state) VALUES (?, ?, ?, ?, 'done')",
                params![now(), who(), to_json(&edit)?, to_json(&inverse)?],
            )?;
            Ok(transaction.last_insert_rowid())
        })?;
        Ok(Entry { row, edit, inverse })
    }

    /// Takes back the edit of a row of the journal and returns the one before it.
    pub fn undo(&mut self, entry: &Entry) -> Result<Option<Entry>, ProjectError> {
        self.transact(|transaction| {
            write(transaction, &entry.inverse)?;
            transaction.execute(
                "UPDATE journal SET state = 'undone' WHERE id = ?",
                [entry.row],
            )?;
            undoable(transaction)
        })
    }

    /// Makes the edit of a row of the journal again and returns the one after it.
    pub fn redo(&mut self, entry: &Entry) -> Result<Option<Entry>, ProjectError> {
        self.transact(|transaction| {
            write(transaction, &entry.edit)?;
            transaction.execute(
                "UPDATE journal SET state = 'done' WHERE id = ?",
                [entry.row],
            )?;
            redoable(transaction)
        })
    }

    /// The images that somebody ever drew a box on, took one from, marked, or gave another class, also where that was undone.
    pub fn worked_on(&self) -> Result<HashSet<ImageId>, ProjectError> {
        // Whichever of an edit and its inverse adds the box names the image; moving one comes after that.
        let images = "SELECT json_extract(edit, '$.annotation.image') FROM journal
            UNION SELECT json_extract(inverse, '$.annotation.image') FROM journal
            UNION SELECT json_extract(edit, '$.image') FROM journal";
        let id = |row: &Row| Ok(row.get::<_, Option<i64>>(0)?.map(ImageId));
        let images = all(&self.connection, images, id).map_err(|error| self.failed(error))?;
        let images: Vec<Option<ImageId>> = images;
        Ok(images.into_iter().flatten().collect())
    }

    /// Writes an import; everything has its id already.
    pub fn take_in(&mut self, import: &Arrivals) -> Result<(), ProjectError> {
        self.transact(|transaction| {
            for class in &import.classes {
                transaction
                    .prepare_cached("INSERT INTO class (id, name, color, rare) VALUES (?, ?, ?, ?)")?
                    .execute(params![class.id.0, class.name, class.color, class.rare])?;
            }
            // Images may change places, and no two share a path even for a moment. None holds a NUL.
            for id in import.moved.keys() {
                transaction.execute(
                    "UPDATE image SET path = ? WHERE id = ?",
                    params![format!("\0{id}"), id.0],
                )?;
            }
            for (id, path) in &import.moved {
                transaction.execute("UPDATE image SET path = ? WHERE id = ?", params![path, id.0])?;
            }
            for image in &import.images {
                transaction
                    .prepare_cached(
                        r#"INSERT INTO image (id, path, hash, width, height, orientation, class, "group", part, done)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"#,
                    )?
                    .execute(params![
                        image.id.0,
                        image.path,
                        image.hash.0,
                        image.size.width,
                        image.size.height,
                        image.orientation.exif(),
                        image.class.0,
                        image.group,
                        image.part.name(),
                        image.done,
                    ])?;
            }
            for annotation in &import.boxes {
                write(transaction, &Edit::AddBox { annotation: annotation.clone() })?;
            }
            transaction.execute("DELETE FROM not_read", [])?;
            for file in &import.not_read {
                transaction.execute(
                    "INSERT INTO not_read (path, why, advice) VALUES (?, ?, ?)",
                    params![file.path.to_string_lossy(), file.why, file.advice],
                )?;
            }
            let (split, taken_in) = (import.split, import.taken_in);
            transaction.execute(
                "INSERT INTO import (at, who, seed, test, validation, added, already_there) VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![
                    now(),
                    who(),
                    split.seed.cast_signed(),
                    split.test,
                    split.validation,
                    taken_in.added as i64,
                    taken_in.already_there as i64,
                ],
            )?;
            Ok(())
        })
    }

    pub fn begin_run(&mut self, run: &Run) -> Result<(), ProjectError> {
        self.transact(|transaction| {
            transaction.execute(
                "INSERT INTO run (id, state, started_at, note) VALUES (?, ?, ?, ?)",
                params![run.id.0, run.state.name(), run.started_at, run.note],
            )?;
            Ok(())
        })
    }

    /// Writes how a run stands, its numbers in place of those that it had.
    pub fn end_run(&mut self, run: &Run, metrics: &[Metric]) -> Result<(), ProjectError> {
        self.transact(|transaction| {
            let values = params![run.state.name(), run.note, run.id.0];
            one(transaction.execute("UPDATE run SET state = ?, note = ? WHERE id = ?", values)?)?;
            transaction.execute("DELETE FROM metric WHERE run = ?", [run.id.0])?;
            for metric in metrics {
                transaction.execute(
                    "INSERT INTO metric (run, model, name, value, n, low, high) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    params![
                        run.id.0,
                        metric.model,
                        metric.name,
                        metric.value,
                        metric.n.cast_signed(),
                        metric.low,
                        metric.high
                    ],
                )?;
            }
            Ok(())
        })
    }

    /// All of it, or nothing.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T, ProjectError> {
        let result = self.connection.transaction().and_then(|transaction| {
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        result.map_err(|error| ProjectError::sqlite(&self.path, error))
    }
}

/// Refuses, by a plain read, what is no project of a format that is known.
fn check_header(dir: &Path, path: &Path) -> Result<(), ProjectError> {
    let mut header = [0; 100];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(ProjectError::NotAProject {
                path: dir.to_owned(),
            });
        }
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(ProjectError::damaged(path, "it is cut off"));
        }
        Err(error) => return Err(ProjectError::io(path, error)),
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(ProjectError::damaged(path, "it is not a SQLite file"));
    }
    let number = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    check_versions(path, number(68), i64::from(number(60)))
}

fn check_versions(path: &Path, application_id: u32, version: i64) -> Result<(), ProjectError> {
    let known = MIGRATIONS.len() as i64;
    if application_id != APPLICATION_ID {
        return Err(ProjectError::damaged(
            path,
            "it was made by another program",
        ));
    }
    if version > known {
        return Err(ProjectError::Newer {
            path: path.to_owned(),
            found: version,
            known,
        });
    }
    Ok(())
}

/// Asks SQLite whether the file is whole.
fn check_content(connection: &Connection, path: &Path) -> Result<(), ProjectError> {
    let failed = |error| ProjectError::sqlite(path, error);
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(failed)
    };
    // Again, as the log may hold a newer header than the file.
    check_versions(
        path,
        pragma("application_id")? as u32,
        pragma("user_version")?,
    )?;
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(ProjectError::damaged(path, &verdict.replace('\n', " ")))
    }
}

/// The lock that one process holds as long as it writes.
fn lock(dir: &Path) -> Result<File, ProjectError> {
    let path = dir.join(LOCK);
    let failed = |error| ProjectError::io(&path, error);
    let options = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .clone();
    let mut file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            // Who holds it is a courtesy to others: a full disk is no reason not to open a project.
            let _ = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let by = std::fs::read_to_string(&path)
                .ok()
                .and_then(|number| number.trim().parse().ok());
            Err(ProjectError::AlreadyOpen {
                path: dir.to_owned(),
                by,
            })
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// `immutable`: without looking at the log or touching anything beside the file.
fn open_to_read(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    if !immutable {
        return Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    }
    let mut uri = "file:".to_owned();
    // Byte by byte, as a path need not be Unicode.
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii() && !b"%?#".contains(&byte) {
            uri.push(byte.into());
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
    }
    Connection::open_with_flags(uri + "?immutable=1", flags)
}

/// A commit is on the disk when it returns, also when the power fails.
fn prepare_to_write(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")
}

/// Brings the file to the format of the last migration, wholly or not at all.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let pending = migrations.get(version as usize..).unwrap_or_default();
    if pending.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for migration in pending {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as u32)?;
    transaction.commit()
}

/// The change itself, for [`State::apply`] to be found again when the project is next opened.
fn write(connection: &Connection, edit: &Edit) -> rusqlite::Result<()> {
    let changed = match *edit {
        Edit::AddBox {
            annotation: Annotation { id, image, rect },
        } => {
            let [x0, y0, x1, y1] = rect.xyxy();
            connection
                .prepare_cached(
                    "INSERT INTO box (id, image, x0, y0, x1, y1) VALUES (?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![id.0, image.0, x0, y0, x1, y1])?
        }
        Edit::RemoveBox { id } => connection.execute("DELETE FROM box WHERE id = ?", [id.0])?,
        Edit::SetBox { id, rect } => {
            let [x0, y0, x1, y1] = rect.xyxy();
            let sql = "UPDATE box SET x0 = ?, y0 = ?, x1 = ?, y1 = ? WHERE id = ?";
            connection.execute(sql, params![x0, y0, x1, y1, id.0])?
        }
        Edit::SetDone { image, done } => connection.execute(
            "UPDATE image SET done = ? WHERE id = ?",
            params![done, image.0],
        )?,
        Edit::SetClass { image, class } => connection.execute(
            "UPDATE image SET class = ? WHERE id = ?",
            params![class.0, image.0],
        )?,
        Edit::SetRare { class, rare } => connection.execute(
            "UPDATE class SET rare = ? WHERE id = ?",
            params![rare, class.0],
        )?,
        Edit::SetLook { look } => connection.execute(
            "UPDATE project SET windowing = ?, invert = ?",
            params![look.windowing.to_string(), look.invert],
        )?,
    };
    one(changed)
}

fn one(changed: usize) -> rusqlite::Result<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(rusqlite::Error::StatementChangedRows(changed))
    }
}

fn undoable(connection: &Connection) -> rusqlite::Result<Option<Entry>> {
    let sql = "SELECT id, edit, inverse FROM journal WHERE state = 'done' ORDER BY id DESC LIMIT 1";
    connection.query_row(sql, [], entry).optional()
}

fn redoable(connection: &Connection) -> rusqlite::Result<Option<Entry>> {
    let sql = "SELECT id, edit, inverse FROM journal WHERE state = 'undone' ORDER BY id LIMIT 1";
    connection.query_row(sql, [], entry).optional()
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    read: fn(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(sql)?.query_map([], read)?.collect()
}

fn look(row: &Row) -> rusqlite::Result<Look> {
    let windowing: String = row.get(0)?;
    Ok(Look {
        windowing: windowing.parse().map_err(unreadable)?,
        invert: row.get(1)?,
    })
}

fn class(row: &Row) -> rusqlite::Result<Class> {
    Ok(Class {
        id: ClassId(row.get(0)?),
        name: row.get(1)?,
        color: row.get(2)?,
        rare: row.get(3)?,
    })
}

fn image(row: &Row) -> rusqlite::Result<Image> {
    Ok(Image {
        id: ImageId(row.get(0)?),
        path: row.get(1)?,
        hash: ContentHash(row.get(2)?),
        size: ImageSize::new(row.get(3)?, row.get(4)?),
        orientation: Orientation::from_exif(row.get(5)?),
        class: ClassId(row.get(6)?),
        group: row.get(7)?,
        part: named(row, 8, Part::from_name)?,
        done: row.get(9)?,
    })
}

fn annotation(row: &Row) -> rusqlite::Result<Annotation> {
    let rect = BoundingBox::new(row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
    Ok(Annotation {
        id: BoxId(row.get(0)?),
        image: ImageId(row.get(1)?),
        rect: rect.map_err(unreadable)?,
    })
}

fn entry(row: &Row) -> rusqlite::Result<Entry> {
    Ok(Entry {
        row: row.get(0)?,
        edit: from_json(row, 1)?,
        inverse: from_json(row, 2)?,
    })
}

fn not_read(row: &Row) -> rusqlite::Result<NotRead> {
    Ok(NotRead {
        path: PathBuf::from(row.get::<_, String>(0)?),
        why: row.get(1)?,
        advice: row.get(2)?,
    })
}

fn run(row: &Row) -> rusqlite::Result<Run> {
    Ok(Run {
        id: RunId(row.get(0)?),
        state: named(row, 1, RunState::from_name)?,
        started_at: row.get(2)?,
        note: row.get(3)?,
    })
}

fn metric(row: &Row) -> rusqlite::Result<(RunId, Metric)> {
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

fn named<T>(row: &Row, column: usize, parse: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name = row.get_ref(column)?.as_str()?;
    parse(name).ok_or_else(|| unreadable(FromSqlError::InvalidType))
}

fn to_json(edit: &Edit) -> rusqlite::Result<String> {
    serde_json::to_string(edit)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn from_json(row: &Row, column: usize) -> rusqlite::Result<Edit> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(unreadable)
}

/// A value that this program never wrote.
fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}

/// Unix time in milliseconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("USERNAME"));
    user.ok()
        .filter(|user| !user.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

impl ProjectError {
    fn damaged(path: &Path, why: &str) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            why: why.to_owned(),
        }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io { path, source },
        }
    }

    fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let path = path.to_owned();
        if matches!(
            source,
            E::FromSqlConversionFailure(..)
                | E::InvalidColumnType(..)
                | E::IntegralValueOutOfRange(..)
        ) {
            return Self::Damaged {
                path,
                why: source.to_string(),
            };
        }
        let code = source
            .sqlite_error()
            .map(|error| (error.code, error.extended_code));
        match code {
            // The log's index is the first thing that a full disk has no room for.
            Some((ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE)) => {
                Self::DiskFull { path }
            }
            Some((
                ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied,
                _,
            )) => Self::ReadOnly { path },
            Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)) => Self::Damaged {
                path,
                why: source.to_string(),
            },
            Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)) => {
                Self::AlreadyOpen { path, by: None }
            }
            _ => Self::Sqlite { path, source },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Project, import};

    fn project(root: &Path) -> Project {
        let image = import::NewImage {
            path: root.join("a.png"),
            hash: ContentHash::of(b"a"),
            size: ImageSize::new(100, 100),
            orientation: Orientation::default(),
            class: "nevus".to_owned(),
            group: None,
            patient: None,
            part: None,
            boxes: Vec::new(),
        };
        let import = import::Import {
            images: vec![image],
            not_read: Vec::new(),
            split: Default::default(),
        };
        let mut project = Project::create(&root.join("p.care")).unwrap();
        project.take_in(import).unwrap();
        project
    }

    #[test]
    fn a_migration_happens_wholly_once_or_not_at_all() {
        let mut connection = Connection::open_in_memory().unwrap();
        let version = |c: &Connection| {
            c.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
                .unwrap()
        };
        let [first, ..] = MIGRATIONS else {
            panic!("no format")
        };
        let add = "ALTER TABLE image ADD COLUMN note TEXT";
        migrate(&mut connection, &[first]).unwrap();
        assert!(migrate(&mut connection, &[first, add, "nonsense"]).is_err());
        assert_eq!(version(&connection), 1);
        assert!(connection.prepare("SELECT note FROM image").is_err());
        for _ in 0..2 {
            migrate(&mut connection, &[first, add]).unwrap();
            assert_eq!(version(&connection), 2);
            connection.prepare("SELECT note FROM image").unwrap();
        }
    }

    #[test]
    fn a_project_of_format_1_is_read_as_it_is_and_brought_up_to_write() {
        let root = tempfile::tempdir().unwrap();
        let project = project(root.path());
        let (dir, images) = (project.dir().to_owned(), project.images().to_vec());
        let back = "DROP TABLE project; PRAGMA user_version = 1";
        project.store().connection.execute_batch(back).unwrap();
        drop(project);

        let read = Project::open_read_only(&dir).unwrap();
        assert_eq!((read.images(), read.look()), (&images[..], Look::default()));
        drop(read);
        let mut project = Project::open(&dir).unwrap();
        assert_eq!(project.images(), images);
        let look = Look {
            windowing: "40,400".parse().unwrap(),
            invert: true,
        };
        project.apply(Edit::SetLook { look }).unwrap();
        let salt = project.salt();
        drop(project);
        let mut project = Project::open(&dir).unwrap();
        assert_eq!((project.look(), project.salt()), (look, salt));
        assert_ne!(salt, [0; 32]);
        project.undo().unwrap();
        assert_eq!(project.look(), Look::default());
    }

    #[test]
    fn a_full_disk_loses_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut project = project(root.path());
        let (dir, image) = (project.dir().to_owned(), project.images()[0].id);
        let connection = &project.store().connection;
        let pages: i64 = connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        connection
            .query_row(
                &format!("PRAGMA max_page_count = {}", pages + 1),
                [],
                |_| Ok(()),
            )
            .unwrap();
        let rect = BoundingBox::new(1.0, 2.0, 3.0, 4.0).unwrap();
        let mut edits = 0;
        let error = loop {
            let annotation = Annotation {
                id: project.next_box_id(),
                image,
                rect,
            };
            match project.apply(Edit::AddBox { annotation }) {
                Ok(()) => edits += 1,
                Err(error) => break error,
            }
            assert!(edits < 10_000);
        };
        assert!(matches!(error, ProjectError::DiskFull { .. }), "{error}");
        assert!(edits > 0);
        let (boxes, revision) = (project.boxes(image).to_vec(), project.revision());
        assert_eq!(boxes.len(), edits);
        assert!(project.begin_run().is_err() || project.revision() > revision);
        drop(project);
        let project = Project::open(&dir).unwrap();
        assert_eq!(project.boxes(image), boxes);
    }
}
