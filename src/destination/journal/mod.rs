//! The embedded store: one SQLite file for events, the spool, quarantine and the memory of duplicates.
//!
//! Promises:
//! - A receipt is given only after the commit that holds the row returned, and a commit returns only after the
//!   write-ahead log was synced (`synchronous=FULL`).
//! - One writer thread; what has queued while it synced shares the next sync.
//! - One process writes: a second one on the same file is refused. Others may read while it runs.
//! - Disk full, or less left of it than must stay free: no receipt, [`State::Full`]. The quota of spool or quarantine
//!   used up: no receipt from that table alone. It goes on by itself when there is room again.
//! - After a failed commit nothing that was pending is receipted. The file is closed, opened again, checkpointed
//!   whole, compared with the last receipt and written to once, before anything new is trusted to it.
//! - Events are kept by age and size, the oldest going first; spool and quarantine have quotas of their own.
//!   Freed pages are used again, and given back to the file system in small steps when the writer is idle.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::event::Event;

use super::{Destination, JournalTable, Position, PublishError, Receipt};

mod backlog;
mod pages;
mod reader;
mod record;
mod recover;
mod remembered;
mod retention;
mod schema;
mod settings;
mod store;
mod writer;

pub use backlog::JournalBacklog;
pub use reader::{Filter, Reader, Record, Table};
pub use recover::{Recovered, recover};
pub use schema::JournalError;
pub use settings::{QuarantineSettings, Retention, Settings, SpoolSettings};

pub(crate) use record::{Row, restore};
pub(crate) use remembered::remembered;
pub(crate) use retention::MAX_DUPLICATES;
pub(in crate::destination) use schema::open_reader;
pub(crate) use writer::Write;
use writer::{Command, Writer};

/// Commands that may wait for the writer; who comes later waits for a place.
const QUEUE: usize = 4096;

/// The open journal: hands commands to its writer. The file is let go when the last handle is dropped.
#[derive(Debug)]
pub struct Journal {
    settings: Settings,
    queue: Option<mpsc::Sender<Command>>,
    status: Arc<Mutex<Status>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

/// How the journal is, for `/readyz`, metrics and `check`.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub state: State,
    pub events: Usage,
    pub spool: Usage,
    pub quarantine: Usage,
    /// Why the spool takes nothing more while the disk does: its quota. Until something has left it.
    pub spool_full: Option<String>,
    /// The same of quarantine.
    pub quarantine_full: Option<String>,
    /// Commits, and rows stored by them, since the start.
    pub commits: u64,
    pub stored: u64,
    /// Events removed by age or size since the start, and their bytes.
    pub expired: Usage,
    /// Times the file had to be opened again.
    pub reopened: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Ready,
    /// The disk: nothing at all is stored. What is there stays readable and drains.
    Full(String),
    /// A commit failed; nothing is stored until the file is trusted again.
    Failing(String),
    Closed,
}

/// Rows of a table, and the bytes that its quota counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub rows: u64,
    pub bytes: u64,
}

impl Journal {
    /// Opens or creates the file and starts the writer. Blocks for the time of the checks.
    pub fn open(settings: &Settings) -> Result<Arc<Self>, JournalError> {
        let status = Arc::new(Mutex::new(Status::default()));
        let (queue, commands) = mpsc::channel(QUEUE);
        let writer = Writer::open(settings.clone(), status.clone())?;
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(commands))
            .map_err(|error| JournalError::Io {
                path: settings.path.clone(),
                error,
            })?;
        Ok(Arc::new(Self {
            settings: settings.clone(),
            queue: Some(queue),
            status,
            writer: Some(thread),
        }))
    }

    pub fn path(&self) -> &Path {
        &self.settings.path
    }

    /// Bytes that the table may hold.
    pub fn quota(&self, table: Table) -> u64 {
        self.settings.quota(table).as_u64()
    }

    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The destination `journal`.
    pub fn events(self: &Arc<Self>) -> Arc<dyn Destination> {
        Arc::new(Events {
            name: "journal".into(),
            journal: self.clone(),
        })
    }

    /// The destination `journal.quarantine`.
    pub fn quarantine(self: &Arc<Self>) -> Arc<dyn Destination> {
        Arc::new(Quarantine {
            name: "journal.quarantine".into(),
            journal: self.clone(),
        })
    }

    /// Removes rows, for replay and prune. Returns how many there were.
    pub async fn remove(&self, table: Table, sequences: Vec<i64>) -> Result<u64, PublishError> {
        self.write(Write::Remove { table, sequences })
            .await
            .map(i64::unsigned_abs)
    }

    /// Finishes what is queued, checkpoints and lets go of the file. Later writes are refused.
    pub async fn close(&self) {
        let _ = self.write(Write::Close).await;
    }

    /// Queues at once (unless the queue is full); the future is the commit's outcome.
    pub(crate) fn write(&self, write: Write) -> BoxFuture<'static, Result<i64, PublishError>> {
        let (done, outcome) = oneshot::channel();
        let queued = self.submit(write, move |result| {
            let _ = done.send(result);
        });
        Box::pin(async move {
            queued.await?;
            outcome.await.unwrap_or_else(|_| Err(closed()))
        })
    }

    /// Queues at once (unless the queue is full); `done` runs on the writer's thread, in the order of the rows.
    pub(crate) fn submit(
        &self,
        write: Write,
        done: impl FnOnce(Result<i64, PublishError>) + Send + 'static,
    ) -> BoxFuture<'static, Result<(), PublishError>> {
        let command = Command {
            write,
            done: Box::new(done),
        };
        let Some(queue) = &self.queue else {
            return Box::pin(async { Err(closed()) });
        };
        match queue.try_send(command) {
            Ok(()) => Box::pin(std::future::ready(Ok(()))),
            Err(mpsc::error::TrySendError::Full(command)) => {
                let queue = queue.clone();
                Box::pin(async move { queue.send(command).await.map_err(|_| closed()) })
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Box::pin(async { Err(closed()) }),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != std::thread::current().id()
        {
            let _ = writer.join();
        }
    }
}

fn closed() -> PublishError {
    PublishError::Down("the journal is closed".into())
}

#[derive(Debug)]
struct Events {
    name: Arc<str>,
    journal: Arc<Journal>,
}

impl Destination for Events {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn publish(&self, event: Arc<Event>) -> BoxFuture<'static, Result<Receipt, PublishError>> {
        let commit = self.journal.write(Write::Event(Row::of(&event)));
        receipt(self.name.clone(), JournalTable::Events, commit)
    }

    /// One file, one order.
    fn lane(&self, _event: &Event) -> String {
        "journal".into()
    }
}

#[derive(Debug)]
struct Quarantine {
    name: Arc<str>,
    journal: Arc<Journal>,
}

impl Destination for Quarantine {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn publish(&self, event: Arc<Event>) -> BoxFuture<'static, Result<Receipt, PublishError>> {
        let commit = self.journal.write(Write::Quarantine {
            reason: record::attribute(&event, "quarantinereason")
                .unwrap_or("contract")
                .into(),
            violations: record::attribute(&event, "violations").map(Into::into),
            detail: None,
            destination: None,
            row: Row::of(&event),
        });
        receipt(self.name.clone(), JournalTable::Quarantine, commit)
    }

    fn lane(&self, _event: &Event) -> String {
        "journal".into()
    }
}

fn receipt(
    destination: Arc<str>,
    table: JournalTable,
    commit: BoxFuture<'static, Result<i64, PublishError>>,
) -> BoxFuture<'static, Result<Receipt, PublishError>> {
    Box::pin(async move {
        let sequence = commit.await?;
        Ok(Receipt::new(destination, Position::Journal { table, sequence }))
    })
}
