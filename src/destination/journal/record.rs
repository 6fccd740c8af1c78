//! An event as a row.

use bytes::Bytes;

use crate::event::{Event, StoredError};

/// What a row costs beside its attributes and its data: numbers, short columns, its place in the tree.
const OVERHEAD: usize = 256;

/// The columns that every table of events shares. Made where the event is, so that the writer only writes.
#[derive(Debug)]
pub(crate) struct Row {
    pub(super) id: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) source: Box<str>,
    pub(super) time: Option<Box<str>>,
    pub(super) received: Option<Box<str>>,
    /// Readable as text, for the view of structured events.
    pub(super) text: bool,
    /// Of the attributes, which hold the data's own.
    pub(super) sha256: String,
    pub(super) attributes: String,
    pub(super) data: Bytes,
}

impl Row {
    pub(crate) fn of(event: &Event) -> Self {
        let stored = event.to_stored();
        let data = stored.data;
        Self {
            id: event.id().into(),
            kind: event.kind().into(),
            source: event.source().into(),
            time: attribute(event, "time").map(Into::into),
            received: attribute(event, "receivedtime").map(Into::into),
            text: !data.contains(&0) && std::str::from_utf8(&data).is_ok(),
            sha256: hex::encode(stored.sha256),
            attributes: stored.attributes,
            data,
        }
    }

    /// Bytes that quotas count.
    pub(crate) fn size(&self) -> u64 {
        (OVERHEAD + self.attributes.len() + self.data.len()) as u64
    }
}

pub(super) fn attribute<'e>(event: &'e Event, name: &str) -> Option<&'e str> {
    event
        .attributes()
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// The event of a row, if it is what was stored.
pub(crate) fn restore(attributes: &str, data: Bytes, sha256: &str) -> Result<Event, StoredError> {
    // What is no hexadecimal digest matches nothing.
    Event::from_stored(attributes, data, &hex::decode(sha256).unwrap_or_default())
}
