//! What lies somewhere and may be replayed: the journal's tables, a broker's quarantine.
//!
//! A backlog ends where it ended when it was opened: what comes later, replays among it, is not in it. The original
//! stays where it is until its replay was confirmed.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::PublishError;
use crate::clock::Timestamp;
use crate::event::{self, Attribute, Event};

/// Which events. Everything that is given must hold; of a list, one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// CloudEvents `id`, exactly.
    pub ids: Vec<String>,
    /// Event types, exactly; a trailing `.*` stands for everything below.
    pub types: Vec<String>,
    /// Names of sources.
    pub sources: Vec<String>,
    /// Stored in the journal, or received, at or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl Selection {
    pub fn takes(&self, id: &str, kind: &str, source: &str, at: Option<Timestamp>) -> bool {
        (self.ids.is_empty() || self.ids.iter().any(|wanted| wanted == id))
            && (self.types.is_empty() || self.types.iter().any(|pattern| event::is_type(pattern, kind)))
            && (self.sources.is_empty() || self.sources.iter().any(|wanted| wanted == source))
            && self.since.is_none_or(|since| at.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| at.is_some_and(|at| at < until))
    }

    /// An event that a broker keeps: its time is that of its arrival.
    pub fn takes_event(&self, event: &Event) -> bool {
        let received = event.get(Attribute::ReceivedTime).and_then(|text| text.parse().ok());
        self.takes(event.id(), event.kind(), event.source(), received)
    }
}

/// Offsets of one partition: from this one up to, and without, that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

/// Where a backlog was left, for going on behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cursor {
    /// The journal: the last sequence that is done with, and the last of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<(i64, i64)>,
    /// Kafka: what is left of each topic.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kafka: BTreeMap<String, Vec<Span>>,
}

/// Which part of a broker's quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Part {
    /// Topics, or one queue, where the destination's settings do not say.
    pub places: Vec<String>,
    /// Offsets of the topic, which must then be one. Default: all.
    pub offsets: Vec<Span>,
}

/// One message of a backlog.
pub struct Message {
    /// Where it lies, for people.
    pub place: String,
    /// What it says, or why it says nothing.
    pub event: Result<Event, String>,
    pub(crate) mark: Mark,
    /// Marks the original as replayed. Only after the replay's confirm.
    pub(crate) done: Done,
}

pub(crate) type Done = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), PublishError>> + Send>;

/// A message's place, for the cursor.
#[derive(Clone, Debug)]
pub enum Mark {
    /// It leaves by itself when it is done.
    Leaves,
    Sequence(i64),
    Offset {
        topic: String,
        partition: i32,
        offset: i64,
    },
}

/// Nothing to do with the original.
pub(crate) fn stays() -> Done {
    Box::new(|| Box::pin(std::future::ready(Ok(()))))
}

/// Messages, from the oldest.
#[async_trait::async_trait]
pub trait Backlog: Send {
    /// So many are looked at, at most.
    fn total(&self) -> u64;

    /// The next one that is selected; nothing at the end. Says how many were passed over before it.
    async fn next(&mut self, selection: &Selection) -> Result<(u64, Option<Message>), PublishError>;

    /// This one, and all before it, need not be looked at again.
    fn passed(&mut self, mark: &Mark);

    /// Where to go on after an interruption; empty where the originals say so themselves.
    fn cursor(&self) -> Cursor;

    /// Gives back what was taken and not done with.
    async fn close(self: Box<Self>);
}

/// Why a backlog cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Asked for something that cannot be.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Down(String),
}
