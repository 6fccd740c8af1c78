//! Makes an event durable and says so.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::event::Event;

pub mod backlog;
pub mod journal;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod probe;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
pub mod spool;
pub mod template;

pub use probe::{Feed, Finding};

/// Where events go. The same contract tests run over every implementation.
pub trait Destination: Send + Sync + std::fmt::Debug {
    /// Name in config and metrics (`stream`, `stream.quarantine`, `journal`).
    fn name(&self) -> &Arc<str>;

    /// Starts the publish at once and returns its outcome. The future is the publish: whoever stops
    /// waiting for it (the ack budget) keeps it, for its late confirm settles an unknown.
    fn publish(&self, event: Arc<Event>) -> BoxFuture<'static, Result<Receipt, PublishError>>;

    /// Which order the event belongs to: topic or exchange and routing key, and partition key.
    fn lane(&self, event: &Event) -> String;

    /// What can be missing or forbidden by itself: topic, or exchange and routing key. It is the lane
    /// without the partition key, which a lane therefore ends with.
    fn route(&self, event: &Event) -> String {
        let mut lane = self.lane(event);
        if let Some(route) = event.key().and_then(|key| lane.strip_suffix(key)) {
            lane.truncate(route.len());
        }
        // The separator before a key, or before the place of an absent one.
        lane.truncate(lane.trim_end_matches('/').len());
        lane
    }

    /// Why the whole destination is known to be down, if it is. Asks nobody: the client says what it saw last.
    fn down(&self) -> Option<String> {
        None
    }

    /// Asks the broker: is it there, are the topics or exchanges of these feeds there, which sizes does it take.
    fn probe(&self, _feeds: Vec<Feed>) -> BoxFuture<'static, Vec<Finding>> {
        Box::pin(async { Vec::new() })
    }
}

/// The proof that an event is durable, and where. Only a destination makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    destination: Arc<str>,
    position: Position,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    Kafka {
        topic: Arc<str>,
        partition: i32,
        offset: i64,
    },
    RabbitMq {
        exchange: Arc<str>,
        routing_key: Box<str>,
    },
    /// Sequence number in the journal's table of events, spool or quarantine.
    Journal {
        table: JournalTable,
        sequence: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalTable {
    Events,
    Spool,
    Quarantine,
}

impl Receipt {
    fn new(destination: Arc<str>, position: Position) -> Self {
        Self { destination, position }
    }
    pub fn destination(&self) -> &Arc<str> {
        &self.destination
    }
    pub fn position(&self) -> &Position {
        &self.position
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The whole destination cannot be reached; nothing was stored.
    #[error("destination is down: {0}")]
    Down(String),
    /// Only this topic, exchange or routing key: missing, not permitted, unroutable. Nothing was stored.
    #[error("lane is down: {0}")]
    LaneDown(String),
    /// It may or may not have been stored, and nobody will say any more (channel closed, producer rebuilt, message timeout).
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// A fault of the message itself: too large, not encodable.
    #[error("message refused: {0}")]
    Message(String),
    /// The journal is full (its quota, or the disk).
    #[error("no room: {0}")]
    Full(String),
}
