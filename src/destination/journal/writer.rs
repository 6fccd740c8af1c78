//! The one thread that writes: group commit, then answers, then housekeeping.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;

use crate::destination::PublishError;

use super::schema::{self, JournalError, Lock};
use super::store::{self, Totals};
use super::{Settings, State, Status, Table, Usage, retention};

mod trust;

pub(crate) use super::store::Write;

/// Commands of one transaction, at most.
const BATCH: usize = 512;
/// Bytes after which a transaction is closed although more is queued: who came first should not wait for all.
const BATCH_BYTES: u64 = 16 << 20;
/// Bytes in the log after which it is brought into the database, even under load.
const CHECKPOINT_BYTES: u64 = 16 << 20;
/// How long the writer may be idle before it looks around.
const TICK: Duration = Duration::from_secs(1);
/// First and longest pause between attempts to open a file that failed.
const REOPEN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Free pages above which they are given back to the file system: 64 MiB of 4 KiB pages.
const SPARE_PAGES: i64 = 16_384;

type Done = Box<dyn FnOnce(Result<i64, PublishError>) + Send>;

/// A write and who waits for it. `done` runs on the writer's thread: it must be short.
pub(super) struct Command {
    pub(super) write: Write,
    pub(super) done: Done,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.write.fmt(f)
    }
}

pub(super) struct Writer {
    settings: Settings,
    status: Arc<Mutex<Status>>,
    /// `None` between a failed commit and the moment when the file is trusted again.
    connection: Option<Connection>,
    totals: Totals,
    /// Last sequence receipted of each table: what a file that was opened again must still have.
    receipted: [(Table, i64); 3],
    /// Bytes written to the log since its last checkpoint.
    logged: u64,
    /// Spool and quarantine: why the quota refused the last one, and how many bytes the table held then.
    refusing: [Option<(String, u64)>; 2],
    more_to_expire: bool,
    expired_at: Instant,
    reopen: Option<(Instant, Duration)>,
    _lock: Lock,
}

/// Why a transaction did not commit.
enum Failure {
    /// Disk or page limit. The transaction is rolled back and the connection is good.
    Full(String),
    /// Somebody else holds the file for too long. Rolled back, connection good.
    Busy(String),
    /// Anything else. Nothing that this connection says is trusted any more.
    Broken { at_commit: bool, error: String },
}

impl Writer {
    pub(super) fn open(settings: Settings, status: Arc<Mutex<Status>>) -> Result<Self, JournalError> {
        schema::create(&settings.path)?;
        let lock = Lock::take(&settings.path)?;
        let connection = schema::open_writer(&settings.path)?;
        let wrap = |error| JournalError::sqlite(&settings.path, error);
        let totals = Totals::read(&connection).map_err(wrap)?;
        // Whoever could still have confirmed these is gone with the last process.
        connection
            .execute("UPDATE spool SET state = 'sendable' WHERE state = 'unknown'", [])
            .map_err(wrap)?;
        let mut receipted = Table::ALL.map(|table| (table, 0));
        for (table, last) in &mut receipted {
            *last = store::last_sequence(&connection, *table).map_err(wrap)?;
        }
        let writer = Self {
            settings,
            status,
            connection: Some(connection),
            totals,
            receipted,
            logged: 0,
            refusing: [None, None],
            more_to_expire: true,
            expired_at: Instant::now(),
            reopen: None,
            _lock: lock,
        };
        writer.report(|_| ());
        Ok(writer)
    }

    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        // Only for the timeout while waiting for commands.
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "the journal's writer cannot start");
                return;
            }
        };
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let wait = self.patience();
            let received =
                runtime.block_on(async { tokio::time::timeout(wait, commands.recv_many(&mut batch, BATCH)).await });
            let idle = match received {
                Ok(0) => break,
                Ok(_) => false,
                Err(_) => true,
            };
            let closing = self.commit_all(&mut batch);
            self.housekeeping(idle);
            if closing {
                break;
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err((_, error)) = connection.close()
        {
            tracing::warn!(%error, "closing the journal");
        }
    }

    /// How long to wait for commands before looking around.
    fn patience(&self) -> Duration {
        match &self.reopen {
            Some((at, _)) => at.saturating_duration_since(Instant::now()),
            None if self.more_to_expire => Duration::from_millis(5),
            None => TICK,
        }
    }

    /// Commits in transactions of bounded size. True when told to close.
    fn commit_all(&mut self, batch: &mut Vec<Command>) -> bool {
        let mut closing = false;
        let mut closers: Vec<Done> = Vec::new();
        let mut group = Vec::with_capacity(batch.len());
        let mut bytes = 0;
        for command in batch.drain(..) {
            if matches!(command.write, Write::Close) {
                closing = true;
                closers.push(command.done);
                continue;
            }
            bytes += command.write.size();
            group.push(command);
            if bytes > BATCH_BYTES {
                self.commit(std::mem::take(&mut group));
                bytes = 0;
            }
        }
        self.commit(group);
        if closing {
            self.checkpoint("TRUNCATE");
            closers.into_iter().for_each(|done| done(Ok(0)));
        }
        closing
    }

    fn commit(&mut self, group: Vec<Command>) {
        if group.is_empty() {
            return;
        }
        let group = self.refuse_without_room(group);
        match self.transact(&group) {
            Ok(outcomes) => {
                let mut stored = false;
                for (command, outcome) in group.iter().zip(&outcomes) {
                    stored |= command.write.stores() && outcome.is_ok();
                    let (refusing, held) = match &command.write {
                        Write::Spool { .. } => (&mut self.refusing[0], self.totals.spool.bytes),
                        Write::Quarantine { .. } => (&mut self.refusing[1], self.totals.quarantine.bytes),
                        _ => continue,
                    };
                    *refusing = match outcome {
                        Err(PublishError::Full(reason)) => Some((reason.clone(), held)),
                        _ => None,
                    };
                }
                self.report(|status| {
                    status.commits += 1;
                    status.stored += outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
                    if stored {
                        status.state = State::Ready;
                    }
                });
                // The only place where a row's sequence leaves the writer: behind the commit.
                for (command, outcome) in group.into_iter().zip(outcomes) {
                    if let Ok(sequence) = outcome {
                        self.receipt(&command.write, sequence);
                    }
                    (command.done)(outcome);
                }
            }
            Err(Failure::Full(reason)) => {
                self.report(|status| status.state = State::Full(reason.clone()));
                let (stores, others): (Vec<_>, Vec<_>) = group.into_iter().partition(|command| command.write.stores());
                // What makes room must not wait for what takes it.
                let retry = !stores.is_empty();
                stores
                    .into_iter()
                    .for_each(|command| (command.done)(Err(PublishError::Full(reason.clone()))));
                if retry {
                    self.commit(others);
                } else {
                    others
                        .into_iter()
                        .for_each(|command| (command.done)(Err(PublishError::Full(reason.clone()))));
                }
            }
            Err(Failure::Busy(reason)) => {
                group
                    .into_iter()
                    .for_each(|command| (command.done)(Err(PublishError::Down(reason.clone()))));
            }
            Err(Failure::Broken { at_commit, error }) => {
                self.distrust(&error);
                let answer = if at_commit {
                    PublishError::Unknown(format!("the journal's commit failed: {error}"))
                } else {
                    PublishError::Down(format!("the journal failed: {error}"))
                };
                group
                    .into_iter()
                    .for_each(|command| (command.done)(Err(answer.clone())));
            }
        }
    }

    /// Takes out what would eat into the reserve of the disk; what drains goes on.
    fn refuse_without_room(&mut self, group: Vec<Command>) -> Vec<Command> {
        let wanted: u64 = group
            .iter()
            .filter(|command| command.write.stores())
            .map(|command| command.write.size())
            .sum();
        if wanted == 0 {
            return group;
        }
        let Some(reason) = self.no_room(wanted) else {
            return group;
        };
        self.report(|status| status.state = State::Full(reason.clone()));
        let (stores, others) = group.into_iter().partition(|command: &Command| command.write.stores());
        let stores: Vec<Command> = stores;
        stores
            .into_iter()
            .for_each(|command| (command.done)(Err(PublishError::Full(reason.clone()))));
        others
    }

    /// Why `wanted` bytes more would leave too little on the disk.
    fn no_room(&self, wanted: u64) -> Option<String> {
        let floor = self.settings.min_free.as_u64();
        if floor == 0 {
            return None;
        }
        // Not knowing is no reason to refuse: a full disk still says so at the write.
        let free = self.settings.free()?;
        if free >= floor.saturating_add(wanted) {
            return None;
        }
        // Pages that are free inside the file are room too.
        let spare = self.connection.as_ref().map_or(0, spare_bytes);
        if free.saturating_add(spare) >= floor.saturating_add(wanted) {
            return None;
        }
        Some(format!(
            "{free} bytes are free on the disk of `{}`, and {} must stay free (`journal.min_free`)",
            self.settings.path.display(),
            self.settings.min_free
        ))
    }

    /// One transaction. On any error it is gone, and the totals are as before.
    fn transact(&mut self, group: &[Command]) -> Result<Vec<Result<i64, PublishError>>, Failure> {
        let settings = &self.settings;
        let now = crate::clock::now().as_millisecond();
        let mut outcomes = Vec::with_capacity(group.len());
        in_transaction(&self.connection, &mut self.totals, |connection, totals| {
            for command in group {
                outcomes.push(store::apply(connection, totals, settings, now, &command.write)?);
            }
            Ok(())
        })?;
        self.logged += group.iter().map(|command| command.write.size()).sum::<u64>();
        Ok(outcomes)
    }

    fn receipt(&mut self, write: &Write, sequence: i64) {
        let table = match write {
            Write::Event(_) => Table::Events,
            Write::Spool { .. } => Table::Spool,
            Write::Quarantine { .. } | Write::Refused { .. } => Table::Quarantine,
            _ => return,
        };
        for (name, last) in &mut self.receipted {
            if *name == table {
                *last = sequence.max(*last);
            }
        }
    }

    fn housekeeping(&mut self, idle: bool) {
        if self.connection.is_none() {
            self.try_reopen();
            return;
        }
        if self.logged > CHECKPOINT_BYTES || (idle && self.logged > 0) {
            self.checkpoint("PASSIVE");
        }
        // By age also under a load that leaves no idle moment.
        if idle || self.expired_at.elapsed() >= TICK || retention::is_due(&self.totals, &self.settings) {
            self.expire();
        }
        if idle {
            self.give_back_pages();
            self.look_for_room();
        }
    }

    /// Brings the log into the database. Its failure is a failure of the file, not a detail.
    fn checkpoint(&mut self, mode: &str) {
        let Some(connection) = &self.connection else {
            return;
        };
        let result = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            row.get::<_, i64>(0)
        });
        self.logged = 0;
        match result {
            // Readers may hold a part back; the next one takes it along.
            Ok(_) => (),
            Err(error) => match classify(&error, false) {
                Failure::Full(reason) => self.report(|status| status.state = State::Full(reason)),
                Failure::Busy(_) => (),
                Failure::Broken { error, .. } => self.distrust(&error),
            },
        }
    }

    fn expire(&mut self) {
        let settings = &self.settings;
        let now = crate::clock::now().as_millisecond();
        self.expired_at = Instant::now();
        let mut done = (Usage::default(), false);
        let result = in_transaction(&self.connection, &mut self.totals, |connection, totals| {
            done = retention::step(connection, totals, settings, now)?;
            Ok(())
        });
        match result {
            Ok(()) => {
                let (gone, more) = done;
                self.more_to_expire = more;
                self.logged += gone.rows * 256;
                self.report(|status| status.expired.add(gone.rows, gone.bytes));
            }
            Err(Failure::Broken { error, .. }) => self.distrust(&error),
            Err(_) => self.more_to_expire = false,
        }
    }

    fn give_back_pages(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        if self.more_to_expire || free_pages(connection) <= SPARE_PAGES {
            return;
        }
        let result = connection.execute_batch("PRAGMA incremental_vacuum(1024)");
        self.logged += 1;
        if let Err(error) = result
            && let Failure::Broken { error, .. } = classify(&error, false)
        {
            self.distrust(&error);
        }
    }

    /// A store that was full may have room again although nobody asks: a gateway that is not ready gets no requests.
    fn look_for_room(&mut self) {
        if !matches!(self.status().state, State::Full(_)) {
            return;
        }
        if self.no_room(64 << 10).is_some() {
            return;
        }
        match in_transaction(&self.connection, &mut self.totals, |connection, _| probe(connection)) {
            Ok(()) => self.report(|status| status.state = State::Ready),
            Err(Failure::Broken { error, .. }) => self.distrust(&error),
            Err(_) => (),
        }
    }

    fn status(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status();
        status.events = self.totals.events;
        status.spool = self.totals.spool;
        status.quarantine = self.totals.quarantine;
        // Something has left since: there may be room.
        let [spool, quarantine] = &self.refusing;
        let full = |refusal: &Option<(String, u64)>, held: u64| {
            let still = refusal.as_ref().filter(|(_, at)| held >= *at);
            still.map(|(reason, _)| reason.clone())
        };
        status.spool_full = full(spool, self.totals.spool.bytes);
        status.quarantine_full = full(quarantine, self.totals.quarantine.bytes);
        change(&mut status);
    }
}

/// Also when the thread ends in a panic: a journal without a writer takes nothing.
impl Drop for Writer {
    fn drop(&mut self) {
        self.report(|status| status.state = State::Closed);
    }
}

fn in_transaction(
    connection: &Option<Connection>,
    totals: &mut Totals,
    work: impl FnOnce(&Connection, &mut Totals) -> rusqlite::Result<()>,
) -> Result<(), Failure> {
    let Some(connection) = connection else {
        return Err(Failure::Busy("the journal failed and is not trusted again yet".into()));
    };
    let before = *totals;
    let result = connection
        .execute_batch("BEGIN IMMEDIATE")
        .and_then(|()| work(connection, totals))
        .and_then(|()| totals.write(&before, connection))
        .map_err(|error| classify(&error, false))
        .and_then(|()| {
            connection
                .execute_batch("COMMIT")
                .map_err(|error| classify(&error, true))
        });
    let Err(failure) = result else {
        return Ok(());
    };
    *totals = before;
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        return Err(Failure::Broken {
            at_commit: false,
            error: error.to_string(),
        });
    }
    Err(failure)
}

fn classify(error: &rusqlite::Error, at_commit: bool) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failure::Full("the disk is full".into()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Failure::Busy("another program holds the journal's file".into())
        }
        _ => Failure::Broken {
            at_commit,
            error: error.to_string(),
        },
    }
}

fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE meta SET probes = probes + 1", [])
        .map(|_| ())
}

fn free_pages(connection: &Connection) -> i64 {
    connection
        .pragma_query_value(None, "freelist_count", |row| row.get(0))
        .unwrap_or_default()
}

fn spare_bytes(connection: &Connection) -> u64 {
    let page: i64 = connection
        .pragma_query_value(None, "page_size", |row| row.get(0))
        .unwrap_or_default();
    free_pages(connection).unsigned_abs() * page.unsigned_abs()
}

#[cfg(test)]
mod tests;
