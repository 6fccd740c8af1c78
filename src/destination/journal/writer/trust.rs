//! After a failed commit: the file is closed, and trusted again only when it was proved.

use std::time::Instant;

use rusqlite::{Connection, OptionalExtension};

use super::super::record::restore;
use super::super::schema;
use super::super::store::{self, Totals};
use super::super::{State, Table};
use super::{REOPEN, Writer, probe};

impl Writer {
    pub(super) fn distrust(&mut self, error: &str) {
        tracing::error!(%error, path = %self.settings.path.display(), "the journal failed; it is opened again before anything is stored");
        if let Some(connection) = self.connection.take() {
            let _ = connection.close();
        }
        self.reopen = Some((Instant::now() + REOPEN.0, REOPEN.0));
        self.report(|status| status.state = State::Failing(error.to_owned()));
    }

    pub(super) fn try_reopen(&mut self) {
        let Some((at, pause)) = self.reopen else {
            return;
        };
        if Instant::now() < at {
            return;
        }
        match self.trusted_again() {
            Ok((connection, totals)) => {
                tracing::info!(path = %self.settings.path.display(), "the journal takes events again");
                self.connection = Some(connection);
                self.totals = totals;
                self.logged = 0;
                self.reopen = None;
                self.report(|status| {
                    status.state = State::Ready;
                    status.reopened += 1;
                });
            }
            Err(error) => {
                let pause = (pause * 2).min(REOPEN.1);
                self.reopen = Some((Instant::now() + pause, pause));
                self.report(|status| status.state = State::Failing(error));
            }
        }
    }

    /// Opens the file again and proves it: the log goes into the database whole (frames of the failed commit may be
    /// in the page cache and not on disk; nothing may be appended behind them), every sequence that was receipted is
    /// known, the last event's bytes match their digest, rows that nobody was told of are taken out, one write works.
    fn trusted_again(&self) -> Result<(Connection, Totals), String> {
        let text = |error: rusqlite::Error| error.to_string();
        let mut connection = schema::open_writer(&self.settings.path).map_err(|error| error.to_string())?;
        let held: i64 = connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(text)?;
        if held != 0 {
            return Err("a reader keeps the log from being brought in".into());
        }
        let transaction = connection.transaction().map_err(text)?;
        let mut totals = Totals::read(&transaction).map_err(text)?;
        let before = totals;
        for (table, receipted) in self.receipted {
            let found = store::last_sequence(&transaction, table).map_err(text)?;
            if found < receipted {
                return Err(format!(
                    "{} {receipted} was receipted, and the file ends at {found}; restore the disk, then restart",
                    table.name()
                ));
            }
            verify_row(&transaction, table, receipted)?;
            let unreceipted: Vec<i64> = transaction
                .prepare(&format!("SELECT seq FROM {} WHERE seq > ?", table.name()))
                .and_then(|mut statement| statement.query_map([receipted], |row| row.get(0))?.collect())
                .map_err(text)?;
            store::remove(&transaction, &mut totals, table, &unreceipted).map_err(text)?;
        }
        totals.write(&before, &transaction).map_err(text)?;
        probe(&transaction).map_err(text)?;
        transaction.commit().map_err(text)?;
        Ok((connection, totals))
    }
}

/// The row, if it is still there, is what was stored.
fn verify_row(connection: &Connection, table: Table, sequence: i64) -> Result<(), String> {
    let row: Option<(String, String, Vec<u8>)> = connection
        .query_row(
            &format!("SELECT attributes, sha256, data FROM {} WHERE seq = ?", table.name()),
            [sequence],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()
        .map_err(|error| error.to_string())?;
    if let Some((attributes, sha256, data)) = row {
        restore(&attributes, data.into(), &sha256)
            .map_err(|error| format!("{} {sequence}: {error}; restore the disk, then restart", table.name()))?;
    }
    Ok(())
}
