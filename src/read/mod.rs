//! One borrowed parse of the body into parts, and what the provider's data says to find in them.
//!
//! Promises: each byte is parsed once (a batch is skipped over once more, for the elements' slices);
//! the body is never copied; all that comes from outside is bounded; nothing is dropped: what cannot
//! be read says why, in its part.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::verify::VerifiedDelivery;

pub mod batch;
pub mod clean;
pub mod document;
pub mod find;
pub mod form;
pub mod pointer;
mod reader;
pub mod time;
pub mod walk;

pub use document::Node;
pub use reader::{Again, Reader, UNKNOWN};

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
    pub document: Document<'d>,
    /// The sender's exact bytes: the body, or the element's slice of it.
    pub data: Bytes,
    /// A form or XML mapped to JSON, when the source asks to publish that (`payload: json`).
    pub mapped: Option<Bytes>,
    /// Content type of `data`, as sent.
    pub content_type: String,
    pub found: Found,
}

/// What the bytes of a part are.
#[derive(Debug, Clone, PartialEq)]
pub enum Document<'d> {
    /// The bytes are JSON, and this is what they say.
    Json(Node<'d>),
    /// The bytes are a form (see [`form`]) or XML, and this is what they are mapped to; or a token, and these are its claims.
    Form(Node<'d>),
    /// The definition says not to look: no contract applies.
    Opaque,
    Unreadable(NotReadable),
}

impl<'d> Document<'d> {
    pub fn node(&self) -> Option<&Node<'d>> {
        match self {
            Self::Json(node) | Self::Form(node) => Some(node),
            Self::Opaque | Self::Unreadable(_) => None,
        }
    }

    /// The bytes themselves are one JSON document.
    pub fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }
}

/// Why a body could not be read as a document. Quarantined, never dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct NotReadable {
    /// `not-json`, `empty`, `duplicate-key`, `too-deep`, `not-utf8`, `bad-number`, `not-a-form`, `not-xml`,
    /// `too-many-values`, `too-many-fields`, `not-a-batch`, `too-many-elements`: nothing else.
    pub reason: &'static str,
    /// For the operator. Quotes nothing of the body.
    pub detail: String,
}

impl NotReadable {
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

/// What the provider's data found in a part.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Event name without the domain (`pull_request.opened`), cleaned and bounded; `unknown` when the data finds none.
    pub event: String,
    /// Folder of the contract, where the data names another than the event's.
    pub contract: Option<String>,
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
    /// Publish forms and XML as JSON.
    pub json_payload: bool,
}
