//! What can still be read from a damaged file, as a new journal.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, ToSql};

use super::Table;
use super::pages::{Pages, Value};
use super::record::{Row, restore};
use super::schema::{self, JournalError, Lock};
use super::store::Totals;

/// What [`recover`] found of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    pub table: Table,
    /// Records exported: readable, and their digests match.
    pub whole: u64,
    /// Records that are there, but not what was stored. They are left out.
    pub changed: u64,
    /// Records that were there by the file's own count and were not found whole; `None` where the count is lost, too.
    pub missing: Option<u64>,
}

/// Rows of the new file that share a transaction.
const STEP: usize = 256;

/// Exports every record of `damaged` that is whole, wherever in the file it lies, to a new journal. It never overwrites, and
/// `damaged` stays as it is; nobody may be writing to it. What had been removed may come back where the file no longer
/// tells which of its pages are free.
pub fn recover(damaged: &Path, new: &Path) -> Result<Vec<Recovered>, JournalError> {
    if !damaged.exists() {
        return Err(JournalError::Missing {
            path: damaged.to_path_buf(),
        });
    }
    let _lock = Lock::take(damaged)?;
    let io = |error| JournalError::Io {
        path: damaged.to_path_buf(),
        error,
    };
    let pages = Pages::open(damaged).map_err(io)?;
    let connection = schema::open_new(new)?;
    let wrap = |error| JournalError::sqlite(new, error);

    let mut found = Found::default();
    let mut records = pages.records();
    loop {
        let mut any = false;
        let mut totals = Totals::read(&connection).map_err(wrap)?;
        let before = totals;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(wrap)?;
        for (row, values) in records.by_ref().take(STEP) {
            any = true;
            found.take(&connection, &mut totals, row, &values).map_err(wrap)?;
        }
        totals.write(&before, &connection).map_err(wrap)?;
        connection.execute_batch("COMMIT").map_err(wrap)?;
        if !any {
            break;
        }
    }
    found.place_the_rest(&connection).map_err(wrap)?;
    schema::close_synced(connection, new)?;
    Ok(found.report())
}

#[derive(Default)]
struct Found {
    /// By table and sequence, each with its digest.
    whole: HashMap<(&'static str, i64), String>,
    /// Whole, but under a sequence that another one has: the number was damaged, and not by itself covered.
    displaced: Vec<(Table, Vec<Value>)>,
    changed: BTreeMap<&'static str, HashSet<i64>>,
    /// The damaged file's own count of rows.
    counted: BTreeMap<&'static str, u64>,
}

impl Found {
    fn take(
        &mut self,
        connection: &Connection,
        totals: &mut Totals,
        sequence: i64,
        values: &[Value],
    ) -> rusqlite::Result<()> {
        if let [Value::Text(name), Value::Integer(rows), Value::Integer(_)] = values {
            let table = Table::ALL.iter().find(|table| table.name().as_bytes() == &name[..]);
            if let Some(table) = table {
                self.counted.insert(table.name(), rows.unsigned_abs());
            }
            return Ok(());
        }
        // The tables of events differ in the number of their columns. The first is the row id, and stored as nothing.
        let table = match values.len() {
            12 => Table::Events,
            18 => Table::Spool,
            16 => Table::Quarantine,
            _ => return Ok(()),
        };
        let Some(record) = Rescued::of(table, values) else {
            self.changed.entry(table.name()).or_default().insert(sequence);
            return Ok(());
        };
        match self.whole.entry((table.name(), sequence)) {
            Entry::Vacant(entry) => {
                record.store(connection, Some(sequence))?;
                totals.of(table).add(1, record.row.size());
                entry.insert(record.row.sha256);
            }
            // The same page twice.
            Entry::Occupied(entry) if *entry.get() == record.row.sha256 => {}
            Entry::Occupied(_) => self.displaced.push((table, values.to_vec())),
        }
        Ok(())
    }

    /// Behind all others, where every number is free.
    fn place_the_rest(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut totals = Totals::read(connection)?;
        let before = totals;
        for (table, values) in std::mem::take(&mut self.displaced) {
            if let Some(record) = Rescued::of(table, &values) {
                record.store(connection, None)?;
                totals.of(table).add(1, record.row.size());
                let at = (table.name(), connection.last_insert_rowid());
                self.whole.insert(at, record.row.sha256);
            }
        }
        totals.write(&before, connection)
    }

    fn report(self) -> Vec<Recovered> {
        let report = |table: Table| {
            let name = table.name();
            let whole = self.whole.keys().filter(|(of, _)| *of == name).count() as u64;
            let changed = self.changed.get(name).into_iter().flatten();
            Recovered {
                table,
                whole,
                changed: changed
                    .filter(|sequence| !self.whole.contains_key(&(name, **sequence)))
                    .count() as u64,
                missing: self.counted.get(name).map(|rows| rows.saturating_sub(whole)),
            }
        };
        Table::ALL.map(report).to_vec()
    }
}

/// A record whose digest matches. What the digest does not cover is made anew from the event where it can be.
struct Rescued<'v> {
    row: Row,
    stored: i64,
    own: Own<'v>,
}

enum Own<'v> {
    Event,
    Spool {
        destination: &'v str,
        route: &'v str,
        lane: &'v str,
        keyed: bool,
    },
    Quarantine {
        destination: Option<&'v str>,
        reason: &'v str,
        detail: Option<&'v str>,
        violations: Option<&'v str>,
    },
}

impl<'v> Rescued<'v> {
    fn of(table: Table, values: &'v [Value]) -> Option<Self> {
        let [.., sha256, attributes, data] = values else {
            return None;
        };
        let Value::Blob(data) = data else { return None };
        let event = restore(text(attributes)?, Bytes::copy_from_slice(data), text(sha256)?).ok()?;
        let Value::Integer(stored) = values[1] else { return None };
        let own = match table {
            Table::Events => Own::Event,
            Table::Spool => Own::Spool {
                destination: text(&values[3])?,
                route: text(&values[4])?,
                lane: text(&values[5])?,
                keyed: event.key().is_some(),
            },
            Table::Quarantine => Own::Quarantine {
                destination: text(&values[3]),
                reason: text(&values[4])?,
                detail: text(&values[5]),
                violations: text(&values[6]),
            },
        };
        Some(Self {
            row: Row::of(&event),
            stored,
            own,
        })
    }

    fn store(&self, connection: &Connection, sequence: Option<i64>) -> rusqlite::Result<()> {
        const SHARED: &str = "id, type, source, time, received, text, sha256, attributes, data";
        let row = &self.row;
        let (table, own, values): (&str, &str, Vec<&dyn ToSql>) = match &self.own {
            Own::Event => ("events", "", vec![]),
            Own::Spool {
                destination,
                route,
                lane,
                keyed,
            } => (
                "spool",
                "destination, route, lane, keyed, state, ",
                vec![destination, route, lane, keyed, &"sendable"],
            ),
            Own::Quarantine {
                destination,
                reason,
                detail,
                violations,
            } => (
                "quarantine",
                "destination, reason, detail, violations, ",
                vec![destination, reason, detail, violations],
            ),
        };
        let size = row.size() as i64;
        let data = &row.data[..];
        let mut all: Vec<&dyn ToSql> = vec![&sequence, &self.stored, &size];
        all.extend(values);
        let shared: [&dyn ToSql; 9] = [
            &row.id,
            &row.kind,
            &row.source,
            &row.time,
            &row.received,
            &row.text,
            &row.sha256,
            &row.attributes,
            &data,
        ];
        all.extend(shared);
        let marks = vec!["?"; all.len()].join(", ");
        connection
            .prepare_cached(&format!(
                "INSERT INTO {table} (seq, stored, size, {own}{SHARED}) VALUES ({marks})"
            ))?
            .execute(&all[..])
            .map(|_| ())
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}
