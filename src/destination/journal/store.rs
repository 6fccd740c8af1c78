//! The statements: what one write does to the file, inside the transaction that the writer holds open.

use rusqlite::{Connection, OptionalExtension, params};

use crate::destination::PublishError;

use super::record::Row;
use super::{Settings, Table, Usage};

/// One thing to do. Everything that changes the file comes this way.
#[derive(Debug)]
pub(crate) enum Write {
    Event(Row),
    Quarantine {
        row: Row,
        /// Where the event was to go, when its broker would not take it.
        destination: Option<Box<str>>,
        reason: Box<str>,
        detail: Option<Box<str>>,
        violations: Option<Box<str>>,
    },
    Spool {
        row: Row,
        destination: Box<str>,
        route: Box<str>,
        lane: Box<str>,
        keyed: bool,
        /// Sent, and the broker may yet confirm it.
        unknown: bool,
    },
    /// The broker confirmed these.
    Delivered(Vec<i64>),
    /// These were sent, and will not be confirmed.
    Sendable(Vec<i64>),
    /// The broker will never take this one: from the spool to quarantine.
    Refused {
        sequence: i64,
        reason: Box<str>,
        detail: Box<str>,
    },
    /// Keys of what was made durable, and when (Unix milliseconds) each is forgotten.
    Remember(Vec<([u8; 16], i64)>),
    Remove {
        table: Table,
        sequences: Vec<i64>,
    },
    Close,
}

impl Write {
    /// Bytes that it will put into the log, roughly.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Event(row) | Self::Quarantine { row, .. } | Self::Spool { row, .. } => row.size(),
            _ => 256,
        }
    }

    /// Takes room for good; the others make room or take next to none, and pass when the store is full.
    pub(super) fn stores(&self) -> bool {
        matches!(self, Self::Event(_) | Self::Quarantine { .. } | Self::Spool { .. })
    }
}

/// What the quotas count, kept in the file in the same transactions as the rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) events: Usage,
    pub(super) spool: Usage,
    pub(super) quarantine: Usage,
    pub(super) duplicates: Usage,
}

impl Usage {
    pub(super) fn add(&mut self, rows: u64, bytes: u64) {
        self.rows += rows;
        self.bytes += bytes;
    }
    pub(super) fn take(&mut self, rows: u64, bytes: u64) {
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Totals {
    pub(super) fn of(&mut self, table: Table) -> &mut Usage {
        match table {
            Table::Events => &mut self.events,
            Table::Spool => &mut self.spool,
            Table::Quarantine => &mut self.quarantine,
        }
    }

    fn named(&self) -> [(&'static str, Usage); 4] {
        [
            ("events", self.events),
            ("spool", self.spool),
            ("quarantine", self.quarantine),
            ("duplicates", self.duplicates),
        ]
    }

    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let read = |name: &str| {
            connection.query_row("SELECT rows, bytes FROM totals WHERE name = ?", [name], |row| {
                Ok(Usage {
                    rows: row.get::<_, i64>(0)?.unsigned_abs(),
                    bytes: row.get::<_, i64>(1)?.unsigned_abs(),
                })
            })
        };
        Ok(Self {
            events: read("events")?,
            spool: read("spool")?,
            quarantine: read("quarantine")?,
            duplicates: read("duplicates")?,
        })
    }

    /// Writes the lines that changed.
    pub(super) fn write(&self, before: &Self, connection: &Connection) -> rusqlite::Result<()> {
        for ((name, now), (_, then)) in self.named().into_iter().zip(before.named()) {
            if now != then {
                connection
                    .prepare_cached("UPDATE totals SET rows = ?, bytes = ? WHERE name = ?")?
                    .execute(params![now.rows as i64, now.bytes as i64, name])?;
            }
        }
        Ok(())
    }
}

/// Does one write. `Ok(Err(_))`: this one is refused, and the transaction goes on without it.
pub(super) fn apply(
    connection: &Connection,
    totals: &mut Totals,
    settings: &Settings,
    now: i64,
    write: &Write,
) -> rusqlite::Result<Result<i64, PublishError>> {
    let full = |what: &str, limit: crate::units::ByteSize| {
        Ok(Err(PublishError::Full(format!("the {what} holds its {limit}"))))
    };
    match write {
        Write::Event(row) => {
            connection
                .prepare_cached(concat!(
                    "INSERT INTO events (stored, size, id, type, source, time, received, text, sha256, attributes, data)",
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                ))?
                .execute(params![
                    now,
                    row.size() as i64,
                    row.id,
                    row.kind,
                    row.source,
                    row.time,
                    row.received,
                    row.text,
                    row.sha256,
                    row.attributes,
                    &row.data[..],
                ])?;
            totals.events.add(1, row.size());
        }
        Write::Quarantine {
            row,
            destination,
            reason,
            detail,
            violations,
        } => {
            if totals.quarantine.bytes + row.size() > settings.quarantine.max_bytes.as_u64() {
                return full("quarantine", settings.quarantine.max_bytes);
            }
            connection
                .prepare_cached(concat!(
                    "INSERT INTO quarantine (stored, size, destination, reason, detail, violations,",
                    " id, type, source, time, received, text, sha256, attributes, data)",
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                ))?
                .execute(params![
                    now,
                    row.size() as i64,
                    destination,
                    reason,
                    detail,
                    violations,
                    row.id,
                    row.kind,
                    row.source,
                    row.time,
                    row.received,
                    row.text,
                    row.sha256,
                    row.attributes,
                    &row.data[..],
                ])?;
            totals.quarantine.add(1, row.size());
        }
        Write::Spool {
            row,
            destination,
            route,
            lane,
            keyed,
            unknown,
        } => {
            if totals.spool.bytes + row.size() > settings.spool.max_bytes.as_u64() {
                return full("spool", settings.spool.max_bytes);
            }
            connection
                .prepare_cached(concat!(
                    "INSERT INTO spool (stored, size, destination, route, lane, keyed, state,",
                    " id, type, source, time, received, text, sha256, attributes, data)",
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                ))?
                .execute(params![
                    now,
                    row.size() as i64,
                    destination,
                    route,
                    lane,
                    keyed,
                    if *unknown { "unknown" } else { "sendable" },
                    row.id,
                    row.kind,
                    row.source,
                    row.time,
                    row.received,
                    row.text,
                    row.sha256,
                    row.attributes,
                    &row.data[..],
                ])?;
            totals.spool.add(1, row.size());
        }
        Write::Delivered(sequences) => return remove(connection, totals, Table::Spool, sequences).map(Ok),
        Write::Sendable(sequences) => {
            let mut update = connection
                .prepare_cached("UPDATE spool SET state = 'sendable', attempts = attempts + 1 WHERE seq = ?")?;
            for sequence in sequences {
                update.execute([sequence])?;
            }
            return Ok(Ok(sequences.len() as i64));
        }
        Write::Refused {
            sequence,
            reason,
            detail,
        } => {
            // It is stored already: the quota of quarantine does not stop it, for then it would hold up its lane.
            connection
                .prepare_cached(concat!(
                    "INSERT INTO quarantine (stored, size, destination, reason, detail, violations,",
                    " id, type, source, time, received, text, sha256, attributes, data)",
                    " SELECT ?, size, destination, ?, ?, NULL, id, type, source, time, received, text, sha256,",
                    " attributes, data FROM spool WHERE seq = ?"
                ))?
                .execute(params![now, reason, detail, sequence])?;
            let moved = connection.last_insert_rowid();
            let size = size_of(connection, Table::Spool, *sequence)?;
            if remove(connection, totals, Table::Spool, &[*sequence])? == 1 {
                totals.quarantine.add(1, size.unwrap_or_default());
            }
            return Ok(Ok(moved));
        }
        Write::Remember(keys) => {
            let mut insert = connection.prepare_cached("INSERT INTO duplicates (expires, key) VALUES (?, ?)")?;
            for (key, expires) in keys {
                insert.execute(params![expires, &key[..]])?;
            }
            totals.duplicates.add(keys.len() as u64, 0);
            return Ok(Ok(keys.len() as i64));
        }
        Write::Remove { table, sequences } => return remove(connection, totals, *table, sequences).map(Ok),
        Write::Close => return Ok(Ok(0)),
    }
    Ok(Ok(connection.last_insert_rowid()))
}

fn size_of(connection: &Connection, table: Table, sequence: i64) -> rusqlite::Result<Option<u64>> {
    let size: Option<i64> = connection
        .prepare_cached(&format!("SELECT size FROM {} WHERE seq = ?", table.name()))?
        .query_row([sequence], |row| row.get(0))
        .optional()?;
    Ok(size.map(i64::unsigned_abs))
}

/// Removes rows and their share of the totals; how many there were.
pub(super) fn remove(
    connection: &Connection,
    totals: &mut Totals,
    table: Table,
    sequences: &[i64],
) -> rusqlite::Result<i64> {
    let mut delete =
        connection.prepare_cached(&format!("DELETE FROM {} WHERE seq = ? RETURNING size", table.name()))?;
    let mut removed = 0;
    for sequence in sequences {
        let size: Option<i64> = delete.query_row([sequence], |row| row.get(0)).optional()?;
        if let Some(size) = size {
            totals.of(table).take(1, size.unsigned_abs());
            removed += 1;
        }
    }
    Ok(removed)
}

/// The highest sequence that each table ever gave out.
pub(super) fn last_sequence(connection: &Connection, table: Table) -> rusqlite::Result<i64> {
    let last: Option<i64> = connection
        .query_row(
            "SELECT seq FROM sqlite_sequence WHERE name = ?",
            [table.name()],
            |row| row.get(0),
        )
        .optional()?;
    Ok(last.unwrap_or_default())
}
