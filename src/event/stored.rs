//! An event as a stored record, and back.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::Event;

/// A stored record is not what was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    #[error("stored attributes are not readable: {0}")]
    Attributes(String),
    #[error("stored data does not match its digest")]
    Digest,
}

const NAMES: [&str; 26] = [
    "id",
    "source",
    "type",
    "time",
    "subject",
    "dataschema",
    "datacontenttype",
    "provider",
    "verification",
    "verificationkey",
    "idsigned",
    "bodysha256",
    "deliverysha256",
    "batchindex",
    "partitionkey",
    "traceparent",
    "tracestate",
    "receivedtime",
    "httpmethod",
    "httpurl",
    "httpheaders",
    "contract",
    "quarantinereason",
    "violations",
    "replay",
    "specversion",
];

impl Event {
    pub fn stored_attributes(&self) -> String {
        let object: serde_json::Map<String, serde_json::Value> = self
            .attributes()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        serde_json::Value::Object(object).to_string()
    }

    pub fn from_stored(attributes: &str, data: Bytes, sha256: &str) -> Result<Event, StoredError> {
        if hex::encode(Sha256::digest(&data)) != sha256 {
            return Err(StoredError::Digest);
        }
        let wrong = |detail: &str| StoredError::Attributes(detail.to_owned());
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(attributes).map_err(|error| wrong(&error.to_string()))?;
        let mut list = Vec::new();
        for name in NAMES {
            if let Some(value) = object.get(name) {
                list.push((name, value.as_str().ok_or_else(|| wrong(name))?.into()));
            }
        }
        let find = |name: &str| object.get(name).and_then(|value| value.as_str());
        let need = |name: &str| find(name).ok_or_else(|| wrong(name));
        let source: Arc<str> = need("source")?.trim_start_matches("/sources/").into();
        Ok(Event {
            id: need("id")?.into(),
            kind: need("type")?.into(),
            source,
            provider: find("provider").unwrap_or_default().into(),
            key: find("partitionkey").map(Into::into),
            content_type: find("datacontenttype").unwrap_or("application/json").into(),
            quarantined: find("quarantinereason").is_some(),
            attributes: list,
            data,
        })
    }
}
