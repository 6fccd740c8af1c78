//! Keys of duplicates, read back at start.

use std::path::Path;

use crate::clock::Timestamp;

use super::schema::{self, JournalError};

/// The newest keys that are not forgotten yet, oldest first, each with the Unix milliseconds when it will be.
pub(crate) fn remembered(path: &Path, now: Timestamp, limit: u32) -> Result<Vec<([u8; 16], i64)>, JournalError> {
    let connection = schema::open_reader(path)?;
    let mut keys: Vec<([u8; 16], i64)> = connection
        .prepare("SELECT key, expires FROM duplicates WHERE expires > ? ORDER BY seq DESC LIMIT ?")
        .and_then(|mut statement| {
            statement
                .query_map((now.as_millisecond(), limit), |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .map_err(|error| JournalError::sqlite(path, error))?;
    keys.reverse();
    Ok(keys)
}
