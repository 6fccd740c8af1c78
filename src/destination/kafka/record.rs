//! An event as a Kafka record, by the CloudEvents Kafka binding.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rdkafka::message::{Header, OwnedHeaders};

use super::settings::Mode;
use crate::event::Event;

const SPEC_VERSION: &str = "1.0";

/// What goes to librdkafka, which copies it once.
pub(super) struct Record<'e> {
    pub(super) headers: OwnedHeaders,
    pub(super) value: Cow<'e, [u8]>,
}

pub(super) fn encode(event: &Event, mode: Mode) -> Record<'_> {
    match mode {
        Mode::Binary => Record {
            headers: binary_headers(event),
            value: Cow::Borrowed(event.data()),
        },
        Mode::Structured => Record {
            headers: OwnedHeaders::new_with_capacity(1)
                .insert(header("content-type", "application/cloudevents+json; charset=utf-8")),
            value: Cow::Owned(envelope(event)),
        },
    }
}

fn binary_headers(event: &Event) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(32)
        .insert(header("content-type", event.content_type()))
        .insert(header("ce_specversion", SPEC_VERSION));
    let mut name = String::from("ce_");
    for (attribute, value) in event.attributes() {
        // The binding maps this one to `content-type`.
        if attribute == "datacontenttype" {
            continue;
        }
        name.truncate(3);
        name.push_str(attribute);
        headers = headers.insert(header(&name, value));
    }
    headers
}

fn header<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header {
        key,
        value: Some(value),
    }
}

/// The envelope is built around the sender's bytes, which are not read: JSON stays as it was written.
fn envelope(event: &Event) -> Vec<u8> {
    let data = event.data();
    let mut text = String::with_capacity(data.len() + 2048);
    let _ = write!(text, r#"{{"specversion":"{SPEC_VERSION}""#);
    for (name, value) in event.attributes() {
        // A `&str` always becomes a JSON string.
        let value = serde_json::to_string(value).unwrap_or_default();
        let _ = write!(text, r#","{name}":{value}"#);
    }
    if is_json_type(event.content_type())
        && let Some(json) = json(data)
    {
        text.push_str(r#","data":"#);
        text.push_str(json);
    } else {
        text.push_str(r#","data_base64":""#);
        STANDARD.encode_string(data, &mut text);
        text.push('"');
    }
    text.push('}');
    text.into_bytes()
}

/// The data as text, if it is one JSON value: what only calls itself JSON would break the envelope.
fn json(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    Some(text)
}

fn is_json_type(content_type: &str) -> bool {
    let media = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media == "application/json" || media.ends_with("+json")
}
