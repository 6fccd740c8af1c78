//! An event read back from the wire, for a replay: the other direction of [`super::encode`].
//!
//! The attributes hold the digest of the data, so that these are the ones that were published, or there is no event.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::encode::STRUCTURED;
use super::{Event, StoredError};

/// The event of a Kafka record, binary or structured. Headers that are none of ours are passed over.
pub fn from_kafka<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>, value: Bytes) -> Result<Event, StoredError> {
    let mut texts = BTreeMap::new();
    for (name, value) in headers {
        let name = match name {
            "content-type" => "datacontenttype",
            name => match name.strip_prefix("ce_") {
                Some(name) => name,
                None => continue,
            },
        };
        texts.insert(name.to_owned(), text(name, value)?);
    }
    if texts.get("datacontenttype").is_some_and(|found| found == STRUCTURED) && !texts.contains_key("specversion") {
        return structured(value);
    }
    Event::from_attributes(texts, value)
}

/// The event of an AMQP message.
pub fn from_amqp<'h>(
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    content_type: Option<&str>,
    body: Bytes,
) -> Result<Event, StoredError> {
    let mut texts = BTreeMap::new();
    for (name, value) in headers {
        if let Some(name) = name.strip_prefix("cloudEvents:") {
            texts.insert(name.to_owned(), text(name, value)?);
        }
    }
    if let Some(content_type) = content_type {
        texts
            .entry("datacontenttype".to_owned())
            .or_insert_with(|| content_type.to_owned());
    }
    Event::from_attributes(texts, body)
}

/// The data stand in the envelope as the sender wrote them: a slice of it, not a value that is written anew.
fn structured(envelope: Bytes) -> Result<Event, StoredError> {
    let malformed = |error: &dyn std::fmt::Display| StoredError::Malformed(error.to_string());
    let whole = std::str::from_utf8(&envelope).map_err(|error| malformed(&error))?;
    let mut texts = BTreeMap::new();
    let mut data = Bytes::new();
    for member in sonic_rs::to_object_iter(whole) {
        let (name, value) = member.map_err(|error| malformed(&error))?;
        let raw = value.as_raw_cow();
        if name == "data" {
            data = Bytes::copy_from_slice(raw.as_bytes());
            continue;
        }
        let value: String = serde_json::from_str(&raw).map_err(|error| malformed(&error))?;
        if name == "data_base64" {
            data = STANDARD.decode(value).map_err(|error| malformed(&error))?.into();
        } else {
            texts.insert(name.to_string(), value);
        }
    }
    Event::from_attributes(texts, data)
}

fn text(name: &str, value: &[u8]) -> Result<String, StoredError> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(StoredError::Malformed(format!("attribute {name} is not text"))),
    }
}
