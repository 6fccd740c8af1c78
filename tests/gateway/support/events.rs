//! Events to publish, made as the journal reads them back.

use std::sync::Arc;

use bytes::Bytes;
use hooksluice::event::Event;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A webhook's event, adjustable.
pub struct Sample {
    pub attributes: Map<String, Value>,
    pub data: Bytes,
}

impl Sample {
    pub fn new(id: &str, data: impl Into<Bytes>) -> Self {
        let attributes = json!({
            "specversion": "1.0",
            "id": id,
            "source": "/sources/github",
            "type": "com.github.push",
            "time": "2026-11-05T12:00:00Z",
            "datacontenttype": "application/json",
            "provider": "github",
            "verification": "hmac-sha256",
            "verificationkey": "2026-11",
            "contract": "passed",
        });
        let Value::Object(attributes) = attributes else {
            unreachable!()
        };
        Self {
            attributes,
            data: data.into(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.attributes.remove(name);
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.with("partitionkey", key)
    }

    pub fn event(mut self) -> Arc<Event> {
        let sha256 = hex::encode(Sha256::digest(&self.data));
        self.attributes.insert("bodysha256".into(), sha256.into());
        let attributes = Value::Object(self.attributes).to_string();
        let digest = Sha256::digest(&attributes);
        Arc::new(Event::from_stored(&attributes, self.data, &digest).expect("a stored event"))
    }
}

/// A name that no other test and no earlier run uses.
pub fn fresh(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::now_v7().simple())
}
