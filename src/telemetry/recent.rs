//! The last deliveries and what became of each, for the inspector. Never bodies, secrets or signatures.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::clock::Timestamp;

/// How many deliveries are remembered.
const KEPT: usize = 500;

/// One line of the inspector.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    pub received: Timestamp,
    pub source: Arc<str>,
    pub sender: Option<IpAddr>,
    pub method: String,
    /// Bytes of the body.
    pub bytes: usize,
    pub outcome: &'static str,
    pub status: u16,
    /// Why it was turned away, in the operator's words.
    pub reason: Option<String>,
    /// Ids of its events, the first few.
    pub events: Vec<String>,
    pub milliseconds: f64,
}

/// Newest first when read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<VecDeque<Entry>>>);

impl Recent {
    pub fn push(&self, entry: Entry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if entries.len() == KEPT {
            entries.pop_front()
        } else {
            None
        };
        entries.push_back(entry);
        drop(entries);
        // Freed when the lock is.
        drop(oldest);
    }

    pub fn newest_first(&self) -> Vec<Entry> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .rev()
            .cloned()
            .collect()
    }
}
