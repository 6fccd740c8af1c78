//! Twins in flight, and what was already made durable.
//!
//! Only verified identities enter; one is kept only after its receipt, so a crash between can lose nothing.
//! Whoever claims an identity first works on it; twins wait for its outcome, and one of them tries itself if it fails.
//!
//! A key is the first 128 bits of a SHA-256 over the identity's parts with their lengths. Two of a million remembered
//! identities share one by chance with a probability of about 10⁻²⁷, and making one on purpose takes 2⁶⁴ tries of a
//! sender who must sign them all, to suppress an event of his own source.
//!
//! Memory: about 20 bytes an entry when full, at most [`Settings::max_entries`]; the oldest go first, in ninths.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::RandomState;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::destination::journal::{Journal, JournalError, Write, remembered};
use crate::units::HumanDuration;

/// What makes two deliveries certainly the same event: source, id, and the bytes' digest (absent
/// where the provider's data says that a retry's bytes may differ and the id is signed).
#[derive(Debug, Clone, Copy)]
pub struct Identity<'e> {
    pub source: &'e str,
    pub id: &'e str,
    pub sha256: Option<&'e str>,
}

/// `duplicates:` in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long an event is remembered at least, if there is room; a ninth longer at most. Longer than the
    /// platforms' retries, of which most end within a day. Default `24h`. `HOOKSLUICE__DUPLICATES__WINDOW`.
    pub window: HumanDuration,
    /// Events that are remembered at most, 20 bytes of memory each; at most 1000000.
    /// Default `1000000`. `HOOKSLUICE__DUPLICATES__MAX_ENTRIES`.
    pub max_entries: u32,
    /// `memory`: forgotten at a restart. `journal`: kept in the journal's file.
    /// Default `memory`. `HOOKSLUICE__DUPLICATES__STORE`.
    pub store: Store,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    #[default]
    Memory,
    Journal,
}

/// As many as the journal's file keeps.
pub const MAX_ENTRIES: u32 = crate::destination::journal::MAX_DUPLICATES as u32;

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: HumanDuration::from_hours(24),
            max_entries: MAX_ENTRIES,
            store: Store::default(),
        }
    }
}

/// Shards, so that claims seldom meet. A power of two.
const SHARDS: usize = 16;
/// A shard forgets in steps of one generation. Nine, so that a full one is a table of 8,192 places, nearly full, where
/// [`MAX_ENTRIES`] are remembered; with eight it would be one of 16,384, half empty.
const GENERATIONS: u32 = 9;

type Key = [u8; 16];

/// The memory. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct Duplicates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    window: i64,
    journal: Option<Arc<Journal>>,
}

#[derive(Debug)]
struct Shard {
    /// With the way to tell the twins, once there is one: most deliveries have none.
    in_flight: HashMap<Key, Option<watch::Sender<Outcome>>, RandomState>,
    generations: VecDeque<Generation>,
    /// Entries and milliseconds after which a new generation begins.
    entries: usize,
    span: i64,
}

/// What was remembered within a span of time. All of it is forgotten together.
#[derive(Debug)]
struct Generation {
    begun: i64,
    /// When the newest was remembered.
    newest: i64,
    /// Hashed with a key of the process: who signs many ids must not choose which of them collide.
    keys: HashSet<Key, RandomState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Pending,
    Durable,
    Failed,
}

/// What a claim comes to.
#[derive(Debug)]
pub enum Claim {
    /// Nobody was here before: make it durable, then say so.
    First(Ticket),
    /// Made durable before.
    Known,
    /// A twin is at it.
    InFlight(Waiter),
}

/// The right and the duty to make one identity durable. Dropped without a word, it has failed.
#[derive(Debug)]
pub struct Ticket {
    key: Key,
    duplicates: Duplicates,
    open: bool,
}

/// Waits for a twin's outcome.
#[derive(Debug)]
pub struct Waiter(watch::Receiver<Outcome>);

impl Identity<'_> {
    fn key(&self) -> Key {
        let mut hash = Sha256::new();
        for part in [Some(self.source), Some(self.id), self.sha256] {
            // A length no part can have marks the absent one.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_le_bytes());
            hash.update(part.unwrap_or_default());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut key = Key::default();
        key.copy_from_slice(&digest[..16]);
        key
    }
}

impl Duplicates {
    /// In process only.
    pub fn in_memory(settings: &Settings) -> Self {
        Self::new(settings, None)
    }

    /// Reads back what the journal remembers. Blocks.
    pub fn in_journal(settings: &Settings, journal: &Arc<Journal>, now: Timestamp) -> Result<Self, JournalError> {
        let duplicates = Self::new(settings, Some(journal.clone()));
        // Oldest first, as they were remembered.
        for (key, expires) in remembered(journal.path(), now, settings.max_entries)? {
            let then = expires - duplicates.0.window;
            duplicates.shard(&key).remember(key, then);
        }
        Ok(duplicates)
    }

    fn new(settings: &Settings, journal: Option<Arc<Journal>>) -> Self {
        let window = i64::try_from(settings.window.get().as_millis()).unwrap_or(i64::MAX / 4);
        let entries = (settings.max_entries.min(MAX_ENTRIES) as usize / SHARDS / GENERATIONS as usize).max(1);
        let span = (window / i64::from(GENERATIONS)).max(1);
        Self(Arc::new(Inner {
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    in_flight: HashMap::default(),
                    generations: VecDeque::new(),
                    entries,
                    span,
                })
            }),
            window,
            journal,
        }))
    }

    pub fn claim(&self, identity: Identity<'_>, now: Timestamp) -> Claim {
        let key = identity.key();
        let now = now.as_millisecond();
        let mut shard = self.shard(&key);
        if let Some(twins) = shard.in_flight.get_mut(&key) {
            let twins = twins.get_or_insert_with(|| watch::Sender::new(Outcome::Pending));
            return Claim::InFlight(Waiter(twins.subscribe()));
        }
        shard.forget(now, self.0.window);
        if shard.knows(&key) {
            return Claim::Known;
        }
        shard.in_flight.insert(key, None);
        Claim::First(Ticket {
            key,
            duplicates: self.clone(),
            open: true,
        })
    }

    /// Entries remembered, for metrics.
    pub fn len(&self) -> usize {
        let shards = self
            .0
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards
            .map(|shard| {
                shard
                    .generations
                    .iter()
                    .map(|generation| generation.keys.len())
                    .sum::<usize>()
            })
            .sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let shard = usize::from(key[0]) % SHARDS;
        self.0.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// It has its receipt: remember it, and tell the twins.
    pub fn durable(mut self, now: Timestamp) {
        let now = now.as_millisecond();
        let mut shard = self.duplicates.shard(&self.key);
        shard.remember(self.key, now);
        let twins = shard.in_flight.remove(&self.key).flatten();
        drop(shard);
        self.open = false;
        if let Some(twins) = twins {
            twins.send_replace(Outcome::Durable);
        }
        if let Some(journal) = &self.duplicates.0.journal {
            // Nobody waits for this commit: lost with a crash, it costs a duplicate, which is allowed.
            drop(journal.write(Write::Remember(vec![(self.key, now + self.duplicates.0.window)])));
        }
    }

    /// It is not durable, or shall not be remembered (quarantined: a redelivery is checked again).
    pub fn failed(self) {}
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            let twins = self.duplicates.shard(&self.key).in_flight.remove(&self.key).flatten();
            if let Some(twins) = twins {
                twins.send_replace(Outcome::Failed);
            }
        }
    }
}

impl Waiter {
    /// True when the twin's event is durable; false when it failed, and the caller should claim again. The caller
    /// bounds the wait.
    pub async fn durable(mut self) -> bool {
        match self.0.wait_for(|outcome| *outcome != Outcome::Pending).await {
            Ok(outcome) => *outcome == Outcome::Durable,
            Err(_) => false,
        }
    }
}

impl Shard {
    fn knows(&self, key: &Key) -> bool {
        // Retries come soon: the newest first.
        self.generations
            .iter()
            .rev()
            .any(|generation| generation.keys.contains(key))
    }

    fn remember(&mut self, key: Key, now: i64) {
        let full = match self.generations.back() {
            None => true,
            Some(last) => last.keys.len() >= self.entries || now - last.begun >= self.span,
        };
        if full {
            // Room first: a generation more than allowed would be a ninth too much memory.
            while self.generations.len() >= GENERATIONS as usize && self.is_crowded() {
                self.generations.pop_front();
            }
            self.generations.push_back(Generation {
                begun: now,
                newest: now,
                keys: HashSet::default(),
            });
        }
        if let Some(last) = self.generations.back_mut() {
            last.newest = last.newest.max(now);
            last.keys.insert(key);
        }
    }

    fn is_crowded(&self) -> bool {
        let held: usize = self.generations.iter().map(|generation| generation.keys.len()).sum();
        held + self.entries > self.entries * GENERATIONS as usize
    }

    fn forget(&mut self, now: i64, window: i64) {
        while let Some(first) = self.generations.front() {
            if now < first.newest + window {
                break;
            }
            self.generations.pop_front();
        }
    }
}
