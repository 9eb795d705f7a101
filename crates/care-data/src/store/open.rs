//! The project's file before anything is read from it: that it is one, that nobody else writes, and that it is of this format.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::LOCK;
use crate::project::ProjectError;

/// "CARE": what SQLite's header says about whose file it is.
pub const APPLICATION_ID: u32 = 0x4341_5245;
/// The n-th brings format n to format n + 1.
pub const MIGRATIONS: &[&str] = &[
    include_str!("../schema/1.sql"),
    include_str!("../schema/2.sql"),
    include_str!("../schema/3.sql"),
    include_str!("../schema/4.sql"),
];

/// Refuses, by a plain read, what is no project of a format that is known.
pub fn check_header(dir: &Path, path: &Path) -> Result<(), ProjectError> {
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
pub fn check_content(connection: &Connection, path: &Path) -> Result<(), ProjectError> {
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
pub fn lock(dir: &Path) -> Result<File, ProjectError> {
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
pub fn open_to_read(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
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
pub fn prepare_to_write(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Another connection of this process may be writing an import.
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.pragma_update(None, "foreign_keys", "ON")
}

/// Brings the file to the format of the last migration, wholly or not at all.
pub fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
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

/// An older file that is only read is brought to this format in memory.
pub fn in_this_format(file: Connection) -> rusqlite::Result<Connection> {
    let version: u32 = file.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version as usize == MIGRATIONS.len() {
        return Ok(file);
    }
    let mut copy = Connection::open_in_memory()?;
    Backup::new(&file, &mut copy)?.run_to_completion(i32::MAX, Duration::ZERO, None)?;
    migrate(&mut copy, MIGRATIONS)?;
    Ok(copy)
}
