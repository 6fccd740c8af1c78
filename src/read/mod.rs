//! One borrowed parse of the body into parts, and what the provider's data says to find in them.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::provider::{Definition, Settings};
use crate::verify::{Coverage, VerifiedDelivery};

pub mod document;

pub use document::Node;

/// A definition's reading rules, compiled.
#[derive(Debug)]
pub struct Reader {}

/// A verified delivery, split. Made by [`Reader::read`].
#[derive(Debug)]
pub struct Parts<'d> {
    delivery: VerifiedDelivery<'d>,
    parts: Vec<Part<'d>>,
    /// Hex SHA-256 of the whole body.
    sha256: String,
    batch: bool,
}

/// The body, or one element of a batch.
#[derive(Debug)]
pub struct Part<'d> {
    /// What was parsed; an error says why the bytes are no document (`not JSON: …`).
    pub document: Result<Node<'d>, NotReadable>,
    /// The sender's exact bytes: the body, or the element's slice of it.
    pub data: Bytes,
    /// A form mapped to JSON, when the source asks to publish that (`payload: json`).
    pub mapped: Option<Bytes>,
    /// Content type of `data`, as sent.
    pub content_type: String,
    pub found: Found,
}

/// Why a body could not be read as a document. Quarantined, never dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct NotReadable {
    /// `not-json`, `duplicate-key`, `too-deep`, `not-utf8`, `bad-number`, `not-a-form`, …: bounded.
    pub reason: &'static str,
    pub detail: String,
}

/// What the provider's data found in a part.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Event name without the domain (`pull_request.opened`), cleaned and bounded; `unknown` when the data finds none.
    pub event: String,
    pub id: Option<String>,
    /// The signature covers the id.
    pub id_signed: bool,
    pub version: Option<String>,
    pub time: Option<Timestamp>,
    pub subject: Option<String>,
    pub key: Option<String>,
}

impl<'d> Parts<'d> {
    pub fn delivery(&self) -> &VerifiedDelivery<'d> {
        &self.delivery
    }
    pub fn parts(&self) -> &[Part<'d>] {
        &self.parts
    }
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
    pub fn is_batch(&self) -> bool {
        self.batch
    }
    pub fn into_pieces(self) -> (VerifiedDelivery<'d>, Vec<Part<'d>>, String, bool) {
        (self.delivery, self.parts, self.sha256, self.batch)
    }
}

/// What a source may ask of reading.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// Publish a batch's delivery unsplit.
    pub whole: bool,
    /// Publish forms as JSON.
    pub json_payload: bool,
}

impl Reader {
    pub fn compile(_definition: &Definition, _settings: &Settings, _options: ReadOptions) -> Result<Self, Vec<String>> {
        todo!()
    }

    pub fn read<'d>(&self, _delivery: VerifiedDelivery<'d>, _coverage: &Coverage) -> Parts<'d> {
        todo!()
    }
}
