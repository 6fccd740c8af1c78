//! An event as a Kafka record, by the CloudEvents Kafka binding.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>

use std::borrow::Cow;

use rdkafka::message::{Header, OwnedHeaders};

use super::settings::Mode;
use crate::event::{Event, encode};

/// What goes to librdkafka, which copies it once.
pub(super) struct Record<'e> {
    pub(super) headers: OwnedHeaders,
    pub(super) value: Cow<'e, [u8]>,
}

pub(super) fn record(event: &Event, mode: Mode) -> Record<'_> {
    match mode {
        Mode::Binary => Record {
            headers: encode::kafka_headers(event).fold(OwnedHeaders::new_with_capacity(32), with),
            value: Cow::Borrowed(event.data()),
        },
        Mode::Structured => Record {
            headers: with(OwnedHeaders::new_with_capacity(1), ("content-type", encode::STRUCTURED)),
            value: Cow::Owned(encode::structured(event)),
        },
    }
}

fn with(headers: OwnedHeaders, (key, value): (&str, &str)) -> OwnedHeaders {
    headers.insert(Header {
        key,
        value: Some(value),
    })
}
