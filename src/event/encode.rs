//! An event on the wire: CloudEvents' Kafka and AMQP bindings, and its JSON format.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Event;

/// CloudEvents version of every event.
pub const SPEC_VERSION: &str = "1.0";
/// Content type of [`structured`].
pub const STRUCTURED: &str = "application/cloudevents+json";

/// Headers of a Kafka record in binary mode; its value is [`Event::data`], its key [`Event::key`].
pub fn kafka_headers(event: &Event) -> impl Iterator<Item = (&'static str, &str)> {
    let first = [("ce_specversion", SPEC_VERSION)].into_iter();
    let last = [("content-type", event.content_type())].into_iter();
    first
        .chain(event.all().map(|(attribute, value)| (attribute.kafka(), value)))
        .chain(last)
}

/// Application headers of an AMQP message in binary mode; the content type is a property of its own.
pub fn amqp_headers(event: &Event) -> impl Iterator<Item = (&'static str, &str)> {
    let first = [("cloudEvents:specversion", SPEC_VERSION)].into_iter();
    first.chain(event.all().map(|(attribute, value)| (attribute.amqp(), value)))
}

/// The JSON format. Data that are JSON, and are called so by their content type, stand in it as the
/// sender wrote them, byte for byte; others as `data_base64`.
pub fn structured(event: &Event) -> Vec<u8> {
    let data = event.data();
    let mut text = String::with_capacity(1024 + data.len());
    attributes_into(&mut text, event);
    // Without the closing brace.
    text.pop();
    let mut bytes = text.into_bytes();
    if says_json(event.content_type()) && event.is_json() {
        bytes.extend_from_slice(b",\"data\":");
        bytes.extend_from_slice(data);
    } else if !data.is_empty() {
        bytes.extend_from_slice(b",\"data_base64\":\"");
        bytes.extend_from_slice(STANDARD.encode(data).as_bytes());
        bytes.push(b'"');
    }
    bytes.push(b'}');
    bytes
}

/// All attributes as one JSON object, `specversion` first, `datacontenttype` last.
pub(super) fn attributes_into(text: &mut String, event: &Event) {
    let first = [("specversion", SPEC_VERSION)].into_iter();
    let last = [("datacontenttype", event.content_type())].into_iter();
    for (name, value) in first.chain(event.attributes()).chain(last) {
        text.push(if text.is_empty() { '{' } else { ',' });
        // Names are plain words; strings always serialise.
        let value = serde_json::to_string(value).unwrap_or_else(|_| "\"\"".to_owned());
        text.extend(["\"", name, "\":", &value]);
    }
    text.push('}');
}

fn says_json(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}
