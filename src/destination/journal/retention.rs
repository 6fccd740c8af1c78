//! What leaves by itself: events by age and size, quarantined ones by age if told, forgotten duplicates.

use rusqlite::Connection;

use super::store::{self, Totals};
use super::{Settings, Table, Usage};

/// Rows that one step removes at most: the senders wait meanwhile.
const STEP: usize = 256;

/// Keys of duplicates that the file holds at most, as many as memory does.
pub(crate) const MAX_DUPLICATES: u64 = 1_000_000;

/// Is there something for [`step`] to do, as far as one can tell without reading?
pub(super) fn is_due(totals: &Totals, settings: &Settings) -> bool {
    totals.events.bytes > settings.retention.size.as_u64() || totals.duplicates.rows > MAX_DUPLICATES
}

/// Removes the oldest, up to [`STEP`] rows of each table, inside the caller's transaction. Returns the events that
/// went, and whether there is more.
pub(super) fn step(
    connection: &Connection,
    totals: &mut Totals,
    settings: &Settings,
    now: i64,
) -> rusqlite::Result<(Usage, bool)> {
    let before = totals.events;
    let events = expired_events(connection, totals, settings, now)?;
    store::remove(connection, totals, Table::Events, &events)?;
    let mut more = events.len() == STEP;

    if let Some(age) = settings.quarantine.age {
        let old = older_than(connection, Table::Quarantine, now - millis(age))?;
        store::remove(connection, totals, Table::Quarantine, &old)?;
        more |= old.len() == STEP;
    }

    // Keys come in the order in which they are forgotten, but for steps of the clock.
    let excess = totals.duplicates.rows.saturating_sub(MAX_DUPLICATES).min(STEP as u64);
    let forgotten = connection
        .prepare_cached(concat!(
            "DELETE FROM duplicates WHERE seq IN (SELECT seq FROM (SELECT seq, expires, row_number() OVER (ORDER BY seq) AS n",
            " FROM (SELECT seq, expires FROM duplicates ORDER BY seq LIMIT ?1)) WHERE expires <= ?2 OR n <= ?3)"
        ))?
        .execute((STEP as i64, now, excess as i64))?;
    totals.duplicates.take(forgotten as u64, 0);
    more |= forgotten == STEP;

    let gone = Usage {
        rows: before.rows - totals.events.rows,
        bytes: before.bytes - totals.events.bytes,
    };
    Ok((gone, more))
}

fn expired_events(
    connection: &Connection,
    totals: &Totals,
    settings: &Settings,
    now: i64,
) -> rusqlite::Result<Vec<i64>> {
    let too_old = now - millis(settings.retention.age);
    let mut too_much = totals.events.bytes.saturating_sub(settings.retention.size.as_u64()) as i64;
    let mut statement = connection.prepare_cached("SELECT seq, stored, size FROM events ORDER BY seq LIMIT ?")?;
    let mut rows = statement.query([STEP as i64])?;
    let mut expired = Vec::new();
    while let Some(row) = rows.next()? {
        let (sequence, stored, size): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if stored >= too_old && too_much <= 0 {
            break;
        }
        too_much -= size;
        expired.push(sequence);
    }
    Ok(expired)
}

fn older_than(connection: &Connection, table: Table, limit: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT seq, stored FROM {} ORDER BY seq LIMIT ?",
        table.name()
    ))?;
    let mut rows = statement.query([STEP as i64])?;
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= limit {
            break;
        }
        old.push(row.get(0)?);
    }
    Ok(old)
}

fn millis(age: crate::units::HumanDuration) -> i64 {
    i64::try_from(age.get().as_millis()).unwrap_or(i64::MAX / 2)
}
