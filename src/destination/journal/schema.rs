//! The file: its lock, its versions, and what every connection is told.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

/// Marks the file as ours (`PRAGMA application_id`): "hslc".
const APPLICATION_ID: i32 = 0x6873_6c63;

/// Step `n` brings a file of version `n` to version `n + 1`. Never change a released step; add one.
const STEPS: [&str; 2] = [include_str!("v1.sql"), include_str!("v2.sql")];

/// Up to this size a start reads the whole file through (`PRAGMA quick_check`); a larger one would take too long.
const QUICK_CHECK_LIMIT: i64 = 64 << 20;

/// Why the journal cannot be opened or read. Names the file, and a remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(
        "journal `{path}` is in use by another process (it holds `{lock}`); stop that one, or give this one a `journal.path` of its own"
    )]
    InUse { path: PathBuf, lock: PathBuf },
    #[error(
        "journal `{path}` was written by a newer version (schema {found}, this one knows {known}); run that version, or give this one a `journal.path` of its own"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("`{path}` is a SQLite database, but no journal of hooksluice; give `journal.path` a file of its own")]
    Foreign { path: PathBuf },
    #[error(
        "journal `{path}` is damaged ({detail}); rescue what it still holds with `hooksluice journal recover {path} --to {path}.rescued`, keep `{path}` and its `-wal` elsewhere, give the rescued file its name, and start again"
    )]
    Damaged { path: PathBuf, detail: String },
    #[error("`{path}` is there already, and nothing is overwritten; name a file that does not exist yet")]
    Exists { path: PathBuf },
    #[error("journal `{path}` does not exist yet; `serve` creates it")]
    Missing { path: PathBuf },
    #[error("journal `{path}`: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("journal `{path}`: {error}")]
    Sqlite { path: PathBuf, error: rusqlite::Error },
}

impl JournalError {
    pub(super) fn sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                path,
                detail: error.to_string(),
            },
            _ => Self::Sqlite { path, error },
        }
    }

    fn io(path: &Path, error: io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            error,
        }
    }
}

/// Held as long as this process may write. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, JournalError> {
        let lock = beside(path, ".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .map_err(|error| JournalError::io(&lock, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::InUse {
                path: path.to_path_buf(),
                lock,
            }),
            Err(TryLockError::Error(error)) => Err(JournalError::io(&lock, error)),
        }
    }
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}

/// The folder of `path`; a bare file name lies in the current one.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the folder and an empty file, so that SQLite never chooses their modes, and syncs their names.
pub(super) fn create(path: &Path) -> Result<(), JournalError> {
    let folder = folder(path);
    if !folder.exists() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| JournalError::io(folder, error))?;
        if let Ok(parent) = folder.join("..").canonicalize() {
            sync_folder(&parent)?;
        }
    }
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all().map_err(|error| JournalError::io(path, error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(JournalError::io(path, error)),
    }
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| JournalError::io(folder, error))
}

/// Opens for writing; upgrades an older file, refuses a newer or a foreign one. Call under the [`Lock`].
pub(super) fn open_writer(path: &Path) -> Result<Connection, JournalError> {
    let wrap = |error| JournalError::sqlite(path, error);
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(wrap)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(wrap)?;
    let version = check_version(&connection, path)?;
    if version == 0 {
        // Must come before the first table: free pages go back to the file system in small steps.
        connection
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(wrap)?;
    }
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(wrap)?;
    if mode != "wal" {
        return Err(JournalError::Io {
            path: path.to_path_buf(),
            error: io::Error::other("this file system cannot hold a write-ahead log (shared memory is missing)"),
        });
    }
    // FULL: every commit waits for fsync of the log. NORMAL would acknowledge what a power cut takes back.
    connection.pragma_update(None, "synchronous", "FULL").map_err(wrap)?;
    // The writer checkpoints itself, after it answered, and looks at the result; SQLite's own would hide a failure.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(wrap)?;
    connection
        .pragma_update(None, "journal_size_limit", 64 << 20)
        .map_err(wrap)?;
    connection.set_prepared_statement_cache_capacity(64);
    upgrade(&mut connection, version).map_err(wrap)?;
    quick_check(&connection, path)?;
    Ok(connection)
}

/// A new journal, in a file that was not there.
pub(super) fn open_new(path: &Path) -> Result<Connection, JournalError> {
    let exists = [path.to_path_buf(), beside(path, "-wal"), beside(path, "-shm")];
    if let Some(path) = exists.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(JournalError::Exists { path });
    }
    create(path)?;
    open_writer(path)
}

/// Everything is in the one file, and on the disk.
pub(super) fn close_synced(connection: Connection, path: &Path) -> Result<(), JournalError> {
    let wrap = |error| JournalError::sqlite(path, error);
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        .map_err(wrap)?;
    connection.close().map_err(|(_, error)| wrap(error))?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| JournalError::io(path, error))
}

/// Opens for reading only, while another process may be writing.
pub(in crate::destination) fn open_reader(path: &Path) -> Result<Connection, JournalError> {
    if !path.exists() {
        return Err(JournalError::Missing {
            path: path.to_path_buf(),
        });
    }
    let wrap = |error| JournalError::sqlite(path, error);
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(wrap)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(wrap)?;
    if check_version(&connection, path)? == 0 {
        return Err(JournalError::Missing {
            path: path.to_path_buf(),
        });
    }
    Ok(connection)
}

fn check_version(connection: &Connection, path: &Path) -> Result<usize, JournalError> {
    let wrap = |error| JournalError::sqlite(path, error);
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(wrap)?;
    let application: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(wrap)?;
    let any_table: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |row| row.get(0))
        .optional()
        .map_err(wrap)?;
    let empty = version == 0 && any_table.is_none();
    if application != APPLICATION_ID && !empty {
        return Err(JournalError::Foreign {
            path: path.to_path_buf(),
        });
    }
    match usize::try_from(version) {
        Ok(version) if version <= STEPS.len() => Ok(version),
        _ => Err(JournalError::Newer {
            path: path.to_path_buf(),
            found: version,
            known: STEPS.len() as i64,
        }),
    }
}

/// All steps in one transaction: a crash leaves the old version, whole.
fn upgrade(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    if version == STEPS.len() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in &STEPS[version..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", STEPS.len() as i64)?;
    transaction.commit()
}

fn quick_check(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let wrap = |error| JournalError::sqlite(path, error);
    let pages: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .map_err(wrap)?;
    let page_size: i64 = connection
        .pragma_query_value(None, "page_size", |row| row.get(0))
        .map_err(wrap)?;
    if pages * page_size > QUICK_CHECK_LIMIT {
        return Ok(());
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(wrap)?;
    if verdict != "ok" {
        return Err(JournalError::Damaged {
            path: path.to_path_buf(),
            detail: verdict.lines().next().unwrap_or_default().to_owned(),
        });
    }
    Ok(())
}
