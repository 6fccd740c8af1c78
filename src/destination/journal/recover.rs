//! What can still be read from a damaged file.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::reader::{self, Record, Table};
use super::schema::JournalError;
use super::store;

/// Give up on a table after so many places in a row that cannot be read, when its end is not known either.
const BLIND: u64 = 100_000;

/// What [`recover`] found in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    pub table: Table,
    /// Records handed out: readable, and their digests match.
    pub whole: u64,
    /// Records that are there but not what was stored.
    pub changed: u64,
    /// Places that cannot be read. A removed record's place counts too where its page is gone.
    pub unreadable: u64,
}

/// Hands every record of a journal to `keep` that can be read and whose digests match, spool and quarantine first:
/// they hold what was acknowledged and lies nowhere else. Reads only; the damaged file stays as it is.
pub fn recover(path: &Path, mut keep: impl FnMut(Record)) -> Result<Vec<Recovered>, JournalError> {
    if !path.exists() {
        return Err(JournalError::Missing {
            path: path.to_path_buf(),
        });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| JournalError::sqlite(path, error))?;
    // Without the schema nothing is found: then only SQLite's own tools help.
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(|error| JournalError::sqlite(path, error))?;
    let tables = [Table::Spool, Table::Quarantine, Table::Events];
    Ok(tables
        .map(|table| recover_table(&connection, table, &mut keep))
        .to_vec())
}

fn recover_table(connection: &Connection, table: Table, keep: &mut impl FnMut(Record)) -> Recovered {
    let mut found = Recovered {
        table,
        whole: 0,
        changed: 0,
        unreadable: 0,
    };
    let columns = reader::columns(table, true);
    let next = format!(
        "SELECT {columns} FROM {} WHERE seq > ? ORDER BY seq LIMIT 1",
        table.name()
    );
    let exact = format!("SELECT {columns} FROM {} WHERE seq = ?", table.name());
    let read = |sql: &str, sequence: i64| -> rusqlite::Result<Option<Record>> {
        connection
            .prepare_cached(sql)?
            .query_row([sequence], |row| reader::record(table, row))
            .optional()
    };
    let end = store::last_sequence(connection, table).ok();
    let (mut at, mut blind) = (0, 0);
    loop {
        // In one go while the pages are good; place by place where they are not.
        let record = match read(&next, at) {
            Ok(None) => break,
            Ok(Some(record)) => Some(record),
            Err(_) if end.is_some_and(|end| at >= end) || (end.is_none() && blind > BLIND) => break,
            Err(_) => {
                at += 1;
                match read(&exact, at) {
                    Ok(record) => record,
                    Err(_) => {
                        found.unreadable += 1;
                        blind += 1;
                        None
                    }
                }
            }
        };
        if let Some(record) = record {
            at = record.sequence;
            blind = 0;
            if record.event().is_ok() {
                found.whole += 1;
                keep(record);
            } else {
                found.changed += 1;
            }
        }
    }
    found
}
