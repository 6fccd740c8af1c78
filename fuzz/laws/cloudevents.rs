//! An event on the wire is the event: every encoding, parsed back, says the same attributes and the same bytes.
//!
//! The first line is the content type, the second the trace state, the rest the body.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hooksluice::contract::{Contracts, Policy, SchemaFile};
use hooksluice::event::{Attribute, Event, Origin, encode, events};
use hooksluice::provider::{Definition, Settings};
use hooksluice::read::{Node, ReadOptions, Reader};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::support;

/// A source whose events may have everything that an event can have.
struct Source {
    reader: Reader,
    contracts: Contracts,
    origin: Origin,
}

const RULES: &str = "[event]\ntype = [{ json = '/t' }]\nid = [{ json = '/id' }]\nversion = [{ json = '/v' }]\n\
    time = { from = [{ json = '/at' }] }\nsubject = [{ json = '/s' }]\nkey = [{ json = '/k' }]\nheaders = ['x-extra', 'tracestate']";

static SOURCES: LazyLock<[Source; 3]> = LazyLock::new(|| {
    let source = |definition: &Definition, options| {
        let strict = SchemaFile {
            event: "strict".into(),
            version: "3".into(),
            text: r#"{"required":["must"],"properties":{"s":{"type":"string","maxLength":9}}}"#.into(),
            place: "law".into(),
        };
        Source {
            reader: Reader::compile(definition, &Settings::default(), options).expect("it compiles"),
            contracts: Contracts::compile("law", definition, vec![strict], &Policy::default()).expect("it compiles"),
            origin: Origin::new("a source/é", "law", definition).expect("an origin"),
        }
    };
    let json = ReadOptions {
        json_payload: true,
        ..ReadOptions::default()
    };
    [
        source(&support::open(RULES), ReadOptions::default()),
        source(&support::open(RULES), json),
        source(
            &support::open(&format!("{RULES}\nunique_bodies = true\n[batch]\nitems = '/*'")),
            ReadOptions::default(),
        ),
    ]
});

pub fn check(bytes: &[u8]) {
    let (content_type, rest) = support::split_line(bytes);
    let (state, body) = support::split_line(rest);
    let headers = [
        support::header(b"content-type", content_type),
        support::header(b"tracestate", state),
        support::header(
            b"traceparent",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    let raw = support::delivery(headers.into_iter().flatten().collect(), body.to_vec());
    for source in SOURCES.iter() {
        let coverage = support::over_body();
        let parts = source.reader.read(support::let_in(&raw), &coverage);
        let checked = source.contracts.check(parts).expect("nothing is enforced");
        let events = events(&source.origin, &checked, &coverage);
        assert_eq!(events.len(), checked.parts().len());
        for (event, part) in events.iter().zip(checked.parts()) {
            let part = part.part();
            assert_eq!(
                event.data(),
                part.mapped.as_ref().unwrap_or(&part.data),
                "the sender's bytes"
            );
            said_again(event);
        }
        if let Some(first) = events.into_iter().next() {
            said_again(&first.into_replay().into_quarantine("too-large"));
        }
    }
}

fn said_again(event: &Event) {
    binary(event);
    structured(event);
    stored(event);
}

fn attributes(event: &Event) -> BTreeMap<String, String> {
    let attributes: Vec<_> = event.attributes().collect();
    let by_name: BTreeMap<_, _> = attributes
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    assert_eq!(
        by_name.len(),
        attributes.len(),
        "an attribute is there twice: {attributes:?}"
    );
    for name in ["id", "source", "type"] {
        assert!(by_name.get(name).is_some_and(|value| !value.is_empty()), "no {name}");
    }
    assert_eq!(
        by_name.get("bodysha256"),
        Some(&hex::encode(Sha256::digest(event.data())))
    );
    by_name
}

/// Kafka's headers and AMQP's: a name each, text that may stand in a header, and nothing lost.
fn binary(event: &Event) {
    let said = attributes(event);
    for (prefix, headers) in [
        ("ce_", encode::kafka_headers(event).collect::<Vec<_>>()),
        ("cloudEvents:", encode::amqp_headers(event).collect()),
    ] {
        let mut back = BTreeMap::new();
        let mut content_type = None;
        for (name, value) in headers {
            let plain = |character: char| !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}');
            // A content type is as it was sent, and a header may hold a tab.
            let plain = |character: char| plain(character) || (character == '\t' && name == "content-type");
            assert!(value.chars().all(plain), "{name}: {value:?}");
            match name.strip_prefix(prefix) {
                Some(name) => assert!(back.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice"),
                None => {
                    assert_eq!(name, "content-type");
                    content_type = Some(value);
                }
            }
        }
        assert_eq!(back.remove("specversion").as_deref(), Some("1.0"));
        assert_eq!(back, said);
        assert_eq!(content_type, (prefix == "ce_").then(|| event.content_type()));
    }
}

/// What the data are nested in, in an envelope.
const DEEPEST: &str = "recursion limit";

fn structured(event: &Event) {
    let text = encode::structured(event);
    let envelope = match serde_json::from_slice::<serde_json::Map<String, Value>>(&text) {
        Ok(envelope) => envelope,
        // Named exception: data as deep as we take them are one level deeper in the envelope, where `serde_json` gives up.
        Err(error) if error.to_string().contains(DEEPEST) => {
            assert!(event.is_json() && depth(event.data()) >= 127, "{error}");
            return;
        }
        Err(error) => panic!("no JSON: {error}"),
    };
    let mut said = attributes(event);
    said.insert("specversion".into(), "1.0".into());
    said.insert("datacontenttype".into(), event.content_type().into());
    let back: BTreeMap<String, String> = envelope
        .iter()
        .filter(|(name, _)| !["data", "data_base64"].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
        .collect();
    assert_eq!(back, said);
    match (envelope.get("data"), envelope.get("data_base64")) {
        (Some(data), None) => {
            assert!(event.is_json());
            let tail = [b",\"data\":", &event.data()[..], b"}"].concat();
            assert!(text.ends_with(&tail), "the data are not the sender's, byte for byte");
            assert_eq!(data, &serde_json::from_slice::<Value>(event.data()).expect("JSON"));
        }
        (None, Some(data)) => {
            let data = STANDARD.decode(data.as_str().expect("a text")).expect("base64");
            assert_eq!(&data[..], &event.data()[..]);
        }
        (None, None) => assert!(event.data().is_empty()),
        (Some(_), Some(_)) => panic!("data twice"),
    }
}

/// Brackets that are open at once, at most; of a text that is JSON.
fn depth(text: &[u8]) -> usize {
    let (mut open, mut most, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => open += 1,
            b']' | b'}' => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// The journal gives back what it was given, or nothing.
fn stored(event: &Event) {
    let stored = event.to_stored();
    let back = Event::from_stored(&stored.attributes, stored.data.clone(), &stored.sha256);
    let back = back.unwrap_or_else(|error| panic!("{error}: {}", stored.attributes));
    assert_eq!(&back, event);
    assert_eq!((back.source(), back.provider()), (event.source(), event.provider()));
    assert_eq!(back.key(), event.get(Attribute::PartitionKey));
    assert_eq!(back.is_json(), Node::parse(event.data()).is_ok());
    assert_eq!(
        encode::structured(&back),
        encode::structured(event),
        "said again it is the same"
    );

    let mut data = stored.data.to_vec();
    match data.last_mut() {
        Some(byte) => *byte ^= 1,
        None => data.push(0),
    }
    assert!(Event::from_stored(&stored.attributes, Bytes::from(data), &stored.sha256).is_err());
    let attributes = stored.attributes.replacen("law", "lav", 1);
    assert!(Event::from_stored(&attributes, stored.data, &stored.sha256).is_err());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (_, sample) in support::samples() {
        let mut headers = sample.request.headers.iter();
        let content_type = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let content_type = content_type.map_or("application/json", |(_, value)| value);
        seeds.push(support::seed(content_type, support::seed("", &sample.body)));
    }
    seeds
}
