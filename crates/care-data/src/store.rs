//! The project's SQLite file: opening it without harm, and every statement that reads or writes it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior,
    ffi, params,
};

use crate::edit::Edit;
use crate::intake::Arrivals;
use crate::model::{BoxId, ImageId, Metric, NotRead, Run, RunId};
use crate::project::ProjectError;
use crate::state::State;

mod open;
mod rows;

use open::{
    APPLICATION_ID, MIGRATIONS, check_content, check_header, in_this_format, lock, migrate,
    open_to_read, prepare_to_write,
};
use rows::{all, to_json, unreadable};

/// The file's name in the project's folder.
pub(crate) const FILE: &str = "project.sqlite";
/// What SQLite puts beside it.
const WAL: &str = "project.sqlite-wal";
const SHM: &str = "project.sqlite-shm";
const JOURNAL: &str = "project.sqlite-journal";
/// Locked by the process that writes; holds its number.
pub(crate) const LOCK: &str = "lock";

/// A connection, and the writer's lock where it may write.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
    /// Let go of when the file is closed.
    lock: Option<Arc<File>>,
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
                lock: Some(Arc::new(lock)),
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
            lock: Some(Arc::new(lock)),
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
        let connection =
            in_this_format(connection).map_err(|error| ProjectError::sqlite(&path, error))?;
        Ok(Self {
            connection,
            path,
            lock: None,
        })
    }

    /// Another connection of the same writer, for another thread. Each waits for the other's transactions.
    pub fn second(&self) -> Result<Self, ProjectError> {
        let Some(lock) = &self.lock else {
            return Err(ProjectError::ReadOnly {
                path: self.path.clone(),
            });
        };
        let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .and_then(|connection| prepare_to_write(&connection).map(|()| connection))
            .map_err(|error| self.failed(error))?;
        Ok(Self {
            connection,
            path: self.path.clone(),
            lock: Some(Arc::clone(lock)),
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
            rows::class,
        )?;
        let images = r#"SELECT id, path, hash, width, height, orientation, class, "group", part
            FROM image ORDER BY id"#;
        let boxes = "SELECT id, image, reader, x0, y0, x1, y1, origin, by, at FROM box ORDER BY id";
        let project = "SELECT windowing, invert, salt FROM project";
        let (look, salt) = c.query_row(project, [], |row| Ok((rows::look(row)?, row.get(2)?)))?;
        let mut state = State::default();
        state.look = look;
        for reader in all(c, "SELECT id, name FROM reader ORDER BY id", rows::reader)? {
            state.add_reader(reader).map_err(unreadable)?;
        }
        state
            .take_in(
                classes,
                all(c, images, rows::image)?,
                all(c, boxes, rows::annotation)?,
                HashMap::new(),
            )
            .map_err(unreadable)?;
        let reviews = "SELECT image, reader, state, note FROM review";
        for (image, reader, said) in all(c, reviews, rows::review)? {
            state
                .change_review(image, reader, |review| *review = said)
                .map_err(unreadable)?;
        }
        let runs = "SELECT id, state, started_at, note, name, remark, starred, deleted FROM run ORDER BY id";
        for (run, deleted) in all(c, runs, rows::run)? {
            let runs = if deleted {
                &mut state.trash
            } else {
                &mut state.runs
            };
            runs.push(run);
        }
        let last_box = "SELECT seq FROM sqlite_sequence WHERE name = 'box'";
        let last_box: i64 = c
            .query_row(last_box, [], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let mut metrics: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (run, metric) in all(
            c,
            "SELECT run, model, name, value, n, low, high FROM metric ORDER BY rowid",
            rows::metric,
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
                rows::not_read,
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
        worked_on(&self.connection).map_err(|error| self.failed(error))
    }

    /// Writes an import; everything has its id already. Boxes for images that somebody has worked on meanwhile are left out.
    pub fn take_in(&mut self, import: &mut Arrivals) -> Result<(), ProjectError> {
        self.transact(|transaction| {
            let first_new = import.images.first().map(|image| image.id);
            let worked_on = worked_on(transaction)?;
            import.boxes.retain(|it| {
                first_new.is_some_and(|first| it.image >= first) || !worked_on.contains(&it.image)
            });
            import.taken_in.boxes = import.boxes.len();
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
                        r#"INSERT INTO image (id, path, hash, width, height, orientation, class, "group", part)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"#,
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
        // At once the only writer: another connection may write between a look and a change.
        let behavior = TransactionBehavior::Immediate;
        let begun = self.connection.transaction_with_behavior(behavior);
        let result = begun.and_then(|transaction| {
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        result.map_err(|error| ProjectError::sqlite(&self.path, error))
    }
}

/// The change itself, for [`State::apply`] to be found again when the project is next opened.
fn write(connection: &Connection, edit: &Edit) -> rusqlite::Result<()> {
    let changed = match *edit {
        Edit::AddBox { annotation: ref it } => {
            let [x0, y0, x1, y1] = it.rect.xyxy();
            connection
                .prepare_cached(
                    "INSERT INTO box (id, image, reader, x0, y0, x1, y1, origin, by, at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    it.id.0,
                    it.image.0,
                    it.reader.map(|reader| reader.0),
                    x0,
                    y0,
                    x1,
                    y1,
                    it.origin.name(),
                    it.by,
                    it.at
                ])?
        }
        Edit::RemoveBox { id } => connection.execute("DELETE FROM box WHERE id = ?", [id.0])?,
        Edit::SetBox { id, rect } => {
            let [x0, y0, x1, y1] = rect.xyxy();
            let sql = "UPDATE box SET x0 = ?, y0 = ?, x1 = ?, y1 = ? WHERE id = ?";
            connection.execute(sql, params![x0, y0, x1, y1, id.0])?
        }
        Edit::SetReview {
            image,
            reader,
            state,
        } => connection.execute(
            "INSERT INTO review (image, reader, state, note) VALUES (?, ?, ?, '')
            ON CONFLICT (image, coalesce(reader, 0)) DO UPDATE SET state = excluded.state",
            params![image.0, reader.map(|reader| reader.0), state.name()],
        )?,
        Edit::SetNote {
            image,
            reader,
            ref note,
        } => connection.execute(
            "INSERT INTO review (image, reader, state, note) VALUES (?, ?, 'to do', ?)
            ON CONFLICT (image, coalesce(reader, 0)) DO UPDATE SET note = excluded.note",
            params![image.0, reader.map(|reader| reader.0), note],
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
        Edit::AddReader { ref reader } => connection.execute(
            "INSERT INTO reader (id, name) VALUES (?, ?)",
            params![reader.id.0, reader.name],
        )?,
        Edit::RemoveReader { id } => {
            // Those that say nothing any more.
            connection.execute("DELETE FROM review WHERE reader = ?", [id.0])?;
            connection.execute("DELETE FROM reader WHERE id = ?", [id.0])?
        }
        Edit::SetRunName { run, ref name } => {
            connection.execute("UPDATE run SET name = ? WHERE id = ?", params![name, run.0])?
        }
        Edit::SetRunRemark { run, ref remark } => connection.execute(
            "UPDATE run SET remark = ? WHERE id = ?",
            params![remark, run.0],
        )?,
        Edit::SetRunStar { run, starred } => connection.execute(
            "UPDATE run SET starred = ? WHERE id = ?",
            params![starred, run.0],
        )?,
        Edit::SetRunDeleted { run, deleted } => connection.execute(
            "UPDATE run SET deleted = ? WHERE id = ?",
            params![deleted, run.0],
        )?,
        Edit::Several { ref edits } => {
            return edits.iter().try_for_each(|edit| write(connection, edit));
        }
    };
    one(changed)
}

fn worked_on(connection: &Connection) -> rusqlite::Result<HashSet<ImageId>> {
    // Whichever of an edit and its inverse adds the box names the image; moving one comes after that.
    let images =
        "SELECT value FROM journal, json_tree(journal.edit) AS part WHERE part.key = 'image'
        UNION SELECT value FROM journal, json_tree(journal.inverse) AS part WHERE part.key = 'image'";
    let id = |row: &Row| Ok(ImageId(row.get(0)?));
    Ok(all(connection, images, id)?.into_iter().collect())
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
    connection.query_row(sql, [], rows::entry).optional()
}

fn redoable(connection: &Connection) -> rusqlite::Result<Option<Entry>> {
    let sql = "SELECT id, edit, inverse FROM journal WHERE state = 'undone' ORDER BY id LIMIT 1";
    connection.query_row(sql, [], rows::entry).optional()
}

/// Unix time in milliseconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The person at the keyboard, as the system knows them.
pub(crate) fn who() -> String {
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
mod tests;
