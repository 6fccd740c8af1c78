//! A destination with the journal in front of it: what the ack budget leaves undone, the spool takes.
//!
//! The pipeline calls [`Outlet::make_durable`] and nothing else. Promises:
//! - It answers with a [`Durable`] only for what a broker confirmed or the journal committed.
//! - A spooled event leaves the spool when its broker confirmed it, or for quarantine when the broker will never take
//!   it, and in no other way.
//! - While a key has spooled events, newer ones of that key go behind them; a lane is sent in order, one at a time.
//!   Events without a key are sent side by side.
//! - A publish that ran out of time is unknown: its spooled copy is not sent again while the client that sent the
//!   first can still confirm it, and not longer.
//! - What is down is tried again with growing pauses; only the part that is down waits.
//!
//! `index` holds what waits and in which order, without input or output; `outlet` is the way in, `forwarder` the way
//! out, `breaker` decides when to try again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Notify;

use crate::clock::Timestamp;

use super::journal::{Journal, JournalError, open_reader};

mod breaker;
mod forwarder;
mod index;
mod outlet;

pub use breaker::Backoff;
use index::{Index, Lane};
pub use outlet::{Durable, How, Outlet};

/// Times and bounds of an outlet. Not settings: nobody has needed other ones, tests do.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// What waiting for the broker leaves of the ack budget, for one commit. 300 ms: a slow disk's sync, with the wait
    /// for the commit before it.
    pub commit_room: Duration,
    /// How long a publish that ran out of time may still be confirmed. As long as the brokers' clients keep a message.
    pub unknown: Duration,
    /// So many publishes in a row without an answer open the breaker: a frozen broker does not say that it is down.
    pub strikes: u32,
    pub backoff: Backoff,
    /// Spooled events that are sent at once, and their bytes.
    pub window: usize,
    pub window_bytes: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            commit_room: Duration::from_millis(300),
            unknown: Duration::from_secs(30),
            strikes: 3,
            backoff: Backoff::default(),
            window: 256,
            window_bytes: 32 << 20,
        }
    }
}

/// What waits in the journal for all destinations.
#[derive(Debug)]
pub struct Spool {
    journal: Arc<Journal>,
    reader: Arc<Mutex<Connection>>,
    queues: Mutex<HashMap<Arc<str>, Arc<Queue>>>,
}

/// How one destination and what waits for it are, for metrics, `/readyz` and `check`.
#[derive(Clone, Debug)]
pub struct Stats {
    pub destination: Arc<str>,
    /// Somebody forwards: false for rows of a destination that is no longer configured.
    pub attached: bool,
    pub up: bool,
    /// Topics, exchanges or routing keys that are down by themselves.
    pub routes_down: usize,
    pub events: u64,
    pub bytes: u64,
    /// When the oldest that waits was stored.
    pub oldest: Option<Timestamp>,
    /// Since the start: taken into the spool.
    pub spooled: u64,
    /// Confirmed out of the spool, late confirms included.
    pub delivered: u64,
    /// Confirmed after the ack budget, by the first publish.
    pub late_confirms: u64,
    /// Sent to quarantine because the broker will never take them.
    pub refused: u64,
}

impl Spool {
    /// Reads back what waits. Call before the listener opens, for new events must find the keys that wait. Blocks.
    pub fn open(journal: &Arc<Journal>) -> Result<Arc<Self>, JournalError> {
        let reader = open_reader(journal.path())?;
        let spool = Self {
            journal: journal.clone(),
            reader: Arc::new(Mutex::new(reader)),
            queues: Mutex::default(),
        };
        spool.load().map_err(|error| JournalError::Sqlite {
            path: journal.path().to_path_buf(),
            error,
        })?;
        Ok(Arc::new(spool))
    }

    /// Of every destination that has an outlet or has something waiting.
    pub fn stats(&self) -> Vec<Stats> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stats: Vec<Stats> = queues.values().map(|queue| queue.stats()).collect();
        stats.sort_by(|one, other| one.destination.cmp(&other.destination));
        stats
    }

    fn load(&self) -> rusqlite::Result<()> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement =
            reader.prepare("SELECT seq, destination, route, lane, keyed, size, stored FROM spool ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let destination = row.get_ref(1)?.as_str()?;
            let queue = self.queue(destination);
            let lane = queue.lane(row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?, row.get(4)?);
            let (sequence, size, stored) = (row.get(0)?, row.get::<_, i64>(5)?.unsigned_abs(), row.get(6)?);
            queue.with(|index| index.load(lane, sequence, size, stored));
        }
        Ok(())
    }

    fn queue(&self, destination: &str) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(destination) {
            return queue.clone();
        }
        let name: Arc<str> = destination.into();
        let queue = Arc::new(Queue::new(name.clone(), Backoff::default()));
        queues.insert(name, queue.clone());
        queue
    }
}

/// What one destination's outlet and forwarder share.
#[derive(Debug)]
struct Queue {
    name: Arc<str>,
    index: Mutex<Index>,
    /// [`Index::is_calm`], readable without the lock: the way of nearly every event.
    calm: AtomicBool,
    attached: AtomicBool,
    /// Publishes in a row that ran out of time.
    strikes: AtomicU32,
    /// There may be something to send.
    work: Notify,
    hasher: RandomState,
    spooled: AtomicU64,
    delivered: AtomicU64,
    late_confirms: AtomicU64,
    refused: AtomicU64,
}

impl Queue {
    fn new(name: Arc<str>, backoff: Backoff) -> Self {
        Self {
            name,
            index: Mutex::new(Index::new(backoff)),
            calm: AtomicBool::new(true),
            attached: AtomicBool::new(false),
            strikes: AtomicU32::new(0),
            work: Notify::new(),
            hasher: RandomState::new(),
            spooled: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            late_confirms: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Every look at the index goes through here, so that `calm` and the log say what it says.
    fn with<R>(&self, look: impl FnOnce(&mut Index) -> R) -> R {
        let (result, calm) = self.look(look);
        if !calm {
            self.work.notify_one();
        }
        result
    }

    /// For the forwarder, which need not wake itself.
    fn with_quietly<R>(&self, look: impl FnOnce(&mut Index) -> R) -> R {
        self.look(look).0
    }

    fn look<R>(&self, look: impl FnOnce(&mut Index) -> R) -> (R, bool) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let was_up = index.is_up();
        let result = look(&mut index);
        let (up, calm, waiting) = (index.is_up(), index.is_calm(), index.rows());
        // Inside the lock: else an older answer could be written over a newer one.
        self.calm.store(calm, Ordering::Release);
        drop(index);
        if !was_up && up {
            tracing::info!(destination = %self.name, waiting, "destination is up again");
        }
        (result, calm)
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Acquire)
    }

    fn lane(&self, route: &str, lane: &str, keyed: bool) -> Lane {
        Lane {
            lane: self.hasher.hash_one(lane),
            route: self.hasher.hash_one(route),
            keyed,
        }
    }

    fn stats(&self) -> Stats {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        Stats {
            destination: self.name.clone(),
            attached: self.attached.load(Ordering::Relaxed),
            up: index.is_up(),
            routes_down: index.routes_down(),
            events: index.rows() as u64,
            bytes: index.bytes(),
            oldest: index
                .oldest()
                .and_then(|millis| Timestamp::from_millisecond(millis).ok()),
            spooled: self.spooled.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            late_confirms: self.late_confirms.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}
