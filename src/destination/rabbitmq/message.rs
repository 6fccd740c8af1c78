//! An event as an AMQP 0-9-1 message: CloudEvents attributes as application headers, the sender's bytes as the body.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md>

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::event::{Attribute, Event, encode};

/// The frame's own bytes and the properties beside the headers, generously.
const FRAME_OVERHEAD: usize = 1024;
/// Bytes that a header takes beside its name and value.
const HEADER_OVERHEAD: usize = 6;
const PERSISTENT: u8 = 2;

/// Properties for the event, and the bytes of a frame that they need, at most: AMQP cannot split them, and an oversized
/// frame would cost the whole connection.
pub(super) fn properties(event: &Event) -> (BasicProperties, usize) {
    let mut headers = FieldTable::default();
    let mut size = FRAME_OVERHEAD;
    let content_type = ShortString::try_new(event.content_type()).ok();
    // A content type that AMQP has no room for is an attribute like the others.
    let long = content_type
        .is_none()
        .then(|| ("cloudEvents:datacontenttype", event.content_type()));
    for (name, value) in encode::amqp_headers(event).chain(long) {
        size += name.len() + value.len() + HEADER_OVERHEAD;
        if let Ok(name) = ShortString::try_new(name) {
            headers.insert(name, AMQPValue::LongString(LongString::from(value)));
        }
    }
    let mut properties = BasicProperties::default()
        .with_headers(headers)
        .with_delivery_mode(PERSISTENT)
        .with_message_id(message_id(event));
    if let Some(content_type) = content_type {
        properties = properties.with_content_type(content_type);
    }
    if let Some(received) = timestamp(event) {
        properties = properties.with_timestamp(received);
    }
    (properties, size)
}

/// The event's id, or where AMQP has no room for it, its digest. The header always holds the id.
pub(super) fn message_id(event: &Event) -> ShortString {
    ShortString::try_new(event.id()).unwrap_or_else(|_| {
        let digest = hex::encode(Sha256::digest(event.id()));
        ShortString::from(format!("sha256:{digest}"))
    })
}

/// The event's time, in whole seconds.
fn timestamp(event: &Event) -> Option<u64> {
    let time: Timestamp = event.get(Attribute::Time)?.parse().ok()?;
    u64::try_from(time.as_second()).ok()
}
