//! Reading beside a running gateway: a connection of its own that cannot write.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, ToSql};

use crate::clock::Timestamp;
use crate::event::{Event, StoredError};

use super::Usage;
use super::schema::{self, JournalError};
use super::store::Totals;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    Events,
    Spool,
    Quarantine,
}

impl Table {
    pub const ALL: [Self; 3] = [Self::Events, Self::Spool, Self::Quarantine];

    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Spool => "spool",
            Self::Quarantine => "quarantine",
        }
    }
}

/// Which rows. Everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// CloudEvents `id`, exactly.
    pub id: Option<String>,
    /// Name of the source, exactly.
    pub source: Option<String>,
    /// CloudEvents `type`, exactly, or what is below it with a trailing `.*`.
    pub kind: Option<String>,
    /// Stored at or after.
    pub since: Option<Timestamp>,
    /// Stored before.
    pub until: Option<Timestamp>,
    /// Sequence greater than this: where a tail or an interrupted replay goes on.
    pub after: Option<i64>,
    /// Sequence not greater than this: what was there when something began.
    pub up_to: Option<i64>,
    /// At most so many; `None` is no limit.
    pub limit: Option<usize>,
    /// The newest ones, newest first. Else the oldest first.
    pub newest: bool,
}

/// A stored event. `data` is empty in a list.
#[derive(Clone, Debug)]
pub struct Record {
    pub table: Table,
    pub sequence: i64,
    /// When the journal stored it.
    pub stored: Timestamp,
    pub id: String,
    pub kind: String,
    pub source: String,
    /// The event's own time, as written.
    pub time: Option<String>,
    pub sha256: String,
    /// CloudEvents attributes, a JSON object.
    pub attributes: String,
    pub data: Bytes,
    /// Bytes of the data, also in a list.
    pub data_bytes: u64,
    /// Where a spooled event goes, or a refused one should have gone.
    pub destination: Option<String>,
    /// Why it is in quarantine.
    pub reason: Option<String>,
    pub detail: Option<String>,
    /// JSON array of what the contract found.
    pub violations: Option<String>,
    /// `sendable` or `unknown`, in the spool.
    pub state: Option<String>,
}

impl Record {
    /// The event itself, if the digest still matches. Only of a record read whole ([`Reader::show`], [`Reader::read`]).
    pub fn event(&self) -> Result<Event, StoredError> {
        super::record::restore(&self.attributes, self.data.clone(), &self.sha256)
    }
}

/// Reads a journal that may be in use. Each call sees one consistent state; none keeps the writer waiting.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Ok(Self {
            connection: schema::open_reader(path)?,
            path: path.to_path_buf(),
        })
    }

    /// Rows without their data.
    pub fn list(&self, table: Table, filter: &Filter) -> Result<Vec<Record>, JournalError> {
        self.select(table, filter, false)
    }

    /// Rows with their data. Give a `limit`, and go on with `after`.
    pub fn read(&self, table: Table, filter: &Filter) -> Result<Vec<Record>, JournalError> {
        self.select(table, filter, true)
    }

    /// One row, whole.
    pub fn show(&self, table: Table, sequence: i64) -> Result<Option<Record>, JournalError> {
        let sql = format!("SELECT {} FROM {} WHERE seq = ?", columns(table, true), table.name());
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([sequence], |row| record(table, row)).optional())
            .map_err(|error| self.wrap(error))
    }

    /// The sequence of the newest row, `0` when there was never one: where a tail starts.
    pub fn last(&self, table: Table) -> Result<i64, JournalError> {
        super::store::last_sequence(&self.connection, table).map_err(|error| self.wrap(error))
    }

    /// Rows and bytes of a table.
    pub fn usage(&self, table: Table) -> Result<Usage, JournalError> {
        let mut totals = Totals::read(&self.connection).map_err(|error| self.wrap(error))?;
        Ok(*totals.of(table))
    }

    /// How many rows there are, without a limit.
    pub fn count(&self, table: Table, filter: &Filter) -> Result<u64, JournalError> {
        let (conditions, values) = conditions(filter);
        let parameters: Vec<&dyn ToSql> = values.iter().map(|value| &**value).collect();
        let sql = format!("SELECT count(*) FROM {} WHERE 1{conditions}", table.name());
        let count: i64 = self
            .connection
            .query_row(&sql, &parameters[..], |row| row.get(0))
            .map_err(|error| self.wrap(error))?;
        Ok(count.unsigned_abs())
    }

    fn select(&self, table: Table, filter: &Filter, data: bool) -> Result<Vec<Record>, JournalError> {
        let (conditions, values) = conditions(filter);
        let mut sql = format!(
            "SELECT {} FROM {} WHERE 1{conditions}",
            columns(table, data),
            table.name()
        );
        sql.push_str(if filter.newest {
            " ORDER BY seq DESC"
        } else {
            " ORDER BY seq"
        });
        if let Some(limit) = filter.limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        let parameters: Vec<&dyn ToSql> = values.iter().map(|value| &**value).collect();
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                statement
                    .query_map(&parameters[..], |row| record(table, row))?
                    .collect()
            })
            .map_err(|error| self.wrap(error))
    }

    fn wrap(&self, error: rusqlite::Error) -> JournalError {
        JournalError::sqlite(&self.path, error)
    }
}

/// What follows `WHERE 1`, and its values.
fn conditions(filter: &Filter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut sql = String::new();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut and = |condition: &str, value: Box<dyn ToSql>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(id) = &filter.id {
        and("id = ?", Box::new(id.clone()));
    }
    if let Some(source) = &filter.source {
        and("source = ?", Box::new(source.clone()));
    }
    match filter.kind.as_deref().map(|kind| (kind, kind.strip_suffix('*'))) {
        // Not LIKE: `_` is a letter of event types.
        Some((_, Some(prefix))) => {
            let (prefix, length) = (prefix.to_owned(), prefix.chars().count() as i64);
            and("type >= ?", Box::new(prefix.clone()));
            and(&format!("substr(type, 1, {length}) = ?"), Box::new(prefix));
        }
        Some((kind, None)) => and("type = ?", Box::new(kind.to_owned())),
        None => (),
    }
    if let Some(since) = filter.since {
        and("stored >= ?", Box::new(since.as_millisecond()));
    }
    if let Some(until) = filter.until {
        and("stored < ?", Box::new(until.as_millisecond()));
    }
    if let Some(after) = filter.after {
        and("seq > ?", Box::new(after));
    }
    if let Some(up_to) = filter.up_to {
        and("seq <= ?", Box::new(up_to));
    }
    (sql, values)
}

pub(super) fn columns(table: Table, data: bool) -> String {
    let own = match table {
        Table::Events => "NULL, NULL, NULL, NULL, NULL",
        Table::Spool => "destination, NULL, NULL, NULL, state",
        Table::Quarantine => "destination, reason, detail, violations, NULL",
    };
    let data = if data { "data" } else { "x''" };
    format!("seq, stored, id, type, source, time, sha256, attributes, {data}, length(data), {own}")
}

pub(super) fn record(table: Table, row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        table,
        sequence: row.get(0)?,
        stored: Timestamp::from_millisecond(row.get(1)?).unwrap_or_default(),
        id: row.get(2)?,
        kind: row.get(3)?,
        source: row.get(4)?,
        time: row.get(5)?,
        sha256: row.get(6)?,
        attributes: row.get(7)?,
        data: row.get::<_, Vec<u8>>(8)?.into(),
        data_bytes: row.get::<_, i64>(9)?.unsigned_abs(),
        destination: row.get(10)?,
        reason: row.get(11)?,
        detail: row.get(12)?,
        violations: row.get(13)?,
        state: row.get(14)?,
    })
}
