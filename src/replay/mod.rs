//! Sends events once more: out of the journal, or out of quarantine.
//!
//! Promises:
//! - A quarantined event enters again at its contract, the one of today; what still breaks it stays where it is.
//! - An event of the journal met its contract when it came, and goes out as it is.
//! - A replay has the original's id and is marked (`replay`). The memory of duplicates is not asked and learns nothing.
//! - It counts when the destination confirmed it; the spool does not take replays. Only then does the original leave
//!   quarantine. Killed in between, it is there twice, under one id.
//! - What is down ends the run: the rest stays, and a later run goes on there.
//! - When nobody listens any more, no further event is sent.

mod run;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use crate::contract::Violation;
use crate::destination::Feed;
use crate::destination::backlog::{Backlog, Cursor, OpenError, Part, Selection};
use crate::destination::journal::{Filter, Journal, JournalBacklog, Reader, Table};
use crate::pipeline::{Source, Target};
use crate::telemetry::Metrics;

/// What to replay, and where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub from: From,
    #[serde(default)]
    pub selection: Selection,
    /// A configured destination, instead of the one that the source's routes say.
    #[serde(default)]
    pub to: Option<String>,
    /// Judge, and send nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Events a second, at most.
    #[serde(default)]
    pub rate: Option<u32>,
    /// Go on where an earlier run of the same request stopped.
    #[serde(default)]
    pub cursor: Cursor,
}

/// Where the events lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The journal's events.
    Events,
    /// The journal's quarantine.
    Quarantine,
    /// The quarantine of a destination, on its broker.
    Broker { destination: String, part: Part },
}

/// What a run tells, in this order: the start, then as it goes, then the end. Without an end it was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "say")]
pub enum Line {
    Start {
        /// Events to look at.
        total: u64,
    },
    /// An event that was not replayed.
    Left(Left),
    Progress(Progress),
    End {
        #[serde(flatten)]
        progress: Progress,
        /// Why it ended before the end.
        stopped: Option<String>,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    #[serde(flatten)]
    pub tally: Tally,
    pub cursor: Cursor,
}

/// What became of the events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Looked at.
    pub seen: u64,
    /// Not selected.
    pub passed_over: u64,
    /// Confirmed by the destination; in a dry run, what would be sent.
    pub replayed: u64,
    /// Still break their contract.
    pub broken: u64,
    /// Left for another reason.
    pub left: u64,
}

/// Why an event stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pub place: String,
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub source: String,
    /// It still breaks its contract: this is the reason, and these are the rules.
    pub broken: bool,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
}

/// Why a run does not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It asks for what is not there.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Down(String),
    #[error("another replay is running; it must end first")]
    Busy,
}

impl std::convert::From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Usage(reason) => Self::Usage(reason),
            OpenError::Down(reason) => Self::Down(reason),
        }
    }
}

/// Opens the quarantine of one broker.
pub trait Quarantine: Send + Sync {
    fn backlog(
        self: Arc<Self>,
        part: Part,
        cursor: Cursor,
        feeds: Vec<Feed>,
    ) -> BoxFuture<'static, Result<Box<dyn Backlog>, OpenError>>;
}

/// What a replay works with, as it is configured now.
#[derive(Clone)]
pub struct Replays {
    pub sources: HashMap<Arc<str>, Arc<Source>>,
    pub targets: BTreeMap<String, Target>,
    pub quarantines: BTreeMap<String, Arc<dyn Quarantine>>,
    /// The sources behind each destination.
    pub feeds: BTreeMap<String, Vec<Feed>>,
    pub journal: Option<Arc<Journal>>,
    pub metrics: Metrics,
    /// Outlives every request.
    pub runtime: Handle,
    /// One run at a time: two would send the same events.
    pub running: Arc<Semaphore>,
}

impl std::fmt::Debug for Replays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replays")
            .field("targets", &self.targets.keys())
            .finish_non_exhaustive()
    }
}

/// How long a run waits for another to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Rows that pruning looks at, and removes, at once: deliveries wait for the writer meanwhile.
const STEP: usize = 256;

/// Lines that may wait for whoever listens.
const LINES: usize = 64;

impl Replays {
    /// Opens what is to be replayed, and begins. The run ends when nobody holds the receiver any more.
    pub async fn start(self: Arc<Self>, request: Request) -> Result<mpsc::Receiver<Line>, Refused> {
        // One that was just interrupted ends in a moment.
        let running = tokio::time::timeout(PATIENCE, self.running.clone().acquire_owned()).await;
        let running = running.ok().and_then(Result::ok).ok_or(Refused::Busy)?;
        let to = match &request.to {
            Some(name) => Some(self.targets.get(name).cloned().ok_or_else(|| {
                let known: Vec<&str> = self.targets.keys().map(String::as_str).collect();
                Refused::Usage(format!(
                    "no destination is called `{name}`; there are: {}",
                    known.join(", ")
                ))
            })?),
            None => None,
        };
        let (lines, told) = mpsc::channel(LINES);
        let (opened, is_open) = tokio::sync::oneshot::channel();
        let replays = self.clone();
        // On the runtime that outlives the request, for connections live where they are opened.
        self.runtime.spawn(async move {
            match replays.open(&request).await {
                Ok(backlog) => {
                    let _ = opened.send(Ok(()));
                    run::run(&replays, request, to, backlog, lines).await;
                }
                Err(refused) => _ = opened.send(Err(refused)),
            }
            drop(running);
        });
        is_open
            .await
            .unwrap_or_else(|_| Err(Refused::Down("the gateway is shutting down".into())))?;
        Ok(told)
    }

    async fn open(&self, request: &Request) -> Result<Box<dyn Backlog>, Refused> {
        let table = match &request.from {
            From::Events => Table::Events,
            From::Quarantine => Table::Quarantine,
            From::Broker { destination, part } => {
                let quarantine = self.quarantines.get(destination).ok_or_else(|| {
                    let known: Vec<&str> = self.quarantines.keys().map(String::as_str).collect();
                    Refused::Usage(format!(
                        "`{destination}` is no destination with a broker; there are: {}",
                        known.join(", ")
                    ))
                })?;
                let feeds = self.feeds.get(destination).cloned().unwrap_or_default();
                let opened = quarantine.clone().backlog(part.clone(), request.cursor.clone(), feeds);
                return Ok(opened.await?);
            }
        };
        let journal = self.journal.clone().ok_or_else(no_journal)?;
        let (selection, cursor) = (request.selection.clone(), request.cursor.clone());
        let opened = blocking(move || JournalBacklog::open(&journal, table, &selection, &cursor)).await?;
        Ok(Box::new(opened))
    }

    /// Removes quarantined events that were stored before a moment, or tells how many there are: rows and bytes.
    pub async fn prune(&self, selection: Selection, really: bool) -> Result<(u64, u64), Refused> {
        let journal = self.journal.clone().ok_or_else(no_journal)?;
        let (mut events, mut bytes) = (0, 0);
        let mut filter = Filter {
            since: selection.since,
            until: selection.until,
            limit: Some(STEP),
            ..Filter::default()
        };
        loop {
            let (path, page) = (journal.path().to_path_buf(), filter.clone());
            let rows = blocking(move || Reader::open(&path)?.list(Table::Quarantine, &page)).await?;
            let chosen: Vec<_> = rows
                .iter()
                .filter(|row| selection.takes(&row.id, &row.kind, &row.source, Some(row.stored)))
                .collect();
            bytes += chosen.iter().map(|row| row.data_bytes).sum::<u64>();
            if really && !chosen.is_empty() {
                let sequences: Vec<i64> = chosen.iter().map(|row| row.sequence).collect();
                let removed = journal.remove(Table::Quarantine, sequences).await;
                events += removed.map_err(|error| Refused::Down(error.to_string()))?;
            } else {
                events += chosen.len() as u64;
            }
            filter.after = rows.last().map(|row| row.sequence);
            if rows.len() < STEP {
                break;
            }
        }
        if really {
            tracing::info!(events, "quarantine pruned");
        }
        Ok((events, bytes))
    }
}

fn no_journal() -> Refused {
    Refused::Usage("there is no journal".into())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::destination::journal::JournalError> + Send + 'static,
) -> Result<T, Refused> {
    let down = |error: &dyn std::fmt::Display| Refused::Down(error.to_string());
    let result = tokio::task::spawn_blocking(work).await.map_err(|error| down(&error))?;
    result.map_err(|error| down(&error))
}
