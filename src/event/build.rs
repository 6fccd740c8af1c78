//! From a checked delivery to its events.

use std::sync::{Arc, OnceLock};

use serde::Serializer as _;
use sha2::{Digest, Sha256};
use uuid::{NoContext, Uuid};

use super::attribute::{Attribute, Text};
use super::{Event, Origin, trace};
use crate::clock::Timestamp;
use crate::contract::{CheckedDelivery, CheckedPart, Verdict, Violation};
use crate::delivery::{Method, RawDelivery};
use crate::read::{Document, clean};
use crate::verify::Coverage;

/// Bytes of the attribute `violations`, at most: AMQP wants all headers in one frame (128 KiB).
const MAX_VIOLATIONS_TEXT: usize = 32 * 1024;

/// One event for each part, in their order.
///
/// Nothing but a checked delivery becomes events:
///
/// ```compile_fail
/// use hooksluice::{contract::CheckedDelivery, event, event::{Event, Origin}, read::Parts, verify::Coverage};
/// fn publishable(origin: &Origin, parts: &Parts<'_>, checked: &CheckedDelivery<'_>, covered: &Coverage) -> Vec<Event> {
///     event::events(origin, parts, covered)
/// }
/// ```
///
/// ```
/// use hooksluice::{contract::CheckedDelivery, event, event::{Event, Origin}, read::Parts, verify::Coverage};
/// fn publishable(origin: &Origin, parts: &Parts<'_>, checked: &CheckedDelivery<'_>, covered: &Coverage) -> Vec<Event> {
///     event::events(origin, checked, covered)
/// }
/// ```
pub fn events(origin: &Origin, checked: &CheckedDelivery<'_>, coverage: &Coverage) -> Vec<Event> {
    let raw = checked.delivery().raw();
    let proof = checked.delivery().proof();
    let shared = Shared {
        verification: proof.scheme.clone(),
        key: proof.key.clone(),
        received: raw.received.to_string().into(),
        sha256: checked.sha256().into(),
        method: match &raw.method {
            &Method::POST => Text::Static("POST"),
            other => Text::Own(other.as_str().into()),
        },
        // A URL may hold a token; only what the signature covers is needed, and meant, to be seen.
        url: (coverage.url || coverage.query).then(|| clean::without_controls(&raw.url).into()),
        headers: headers(origin, raw, coverage),
        trace: trace::context(raw),
    };
    let parts = checked.parts().iter().enumerate();
    parts
        .map(|(index, part)| event(origin, &shared, checked, part, index, coverage))
        .collect()
}

/// Does the part's id say which event it is? Not where it was minted here: a retry gets another,
/// and nothing may be suppressed by it.
pub fn identifies(origin: &Origin, part: &CheckedPart<'_>) -> bool {
    part.part().found.id.is_some() || origin.unique_bodies
}

/// What the events of one delivery share.
struct Shared {
    verification: Arc<str>,
    key: Option<Arc<str>>,
    received: Arc<str>,
    sha256: Arc<str>,
    method: Text,
    url: Option<Arc<str>>,
    headers: Option<Arc<str>>,
    trace: Option<(Arc<str>, Option<Arc<str>>)>,
}

fn event(
    origin: &Origin,
    shared: &Shared,
    checked: &CheckedDelivery<'_>,
    part: &CheckedPart<'_>,
    index: usize,
    coverage: &Coverage,
) -> Event {
    let (part, verdict) = (part.part(), part.verdict());
    let found = &part.found;
    let (data, content_type) = match &part.mapped {
        Some(mapped) => (mapped.clone(), "application/json"),
        None => (part.data.clone(), part.content_type.as_str()),
    };
    let whole = part.mapped.is_none() && !checked.is_batch();
    let body_sha256 = if whole {
        Text::Shared(shared.sha256.clone())
    } else {
        hex::encode(Sha256::digest(&data)).into()
    };
    let (id, signed) = match &found.id {
        Some(id) => (id.as_str().into(), found.id_signed),
        // Two elements of one batch may well be the same bytes: the index tells them apart.
        None if origin.unique_bodies && checked.is_batch() => {
            (format!("{}:{index}", shared.sha256).into(), coverage.body)
        }
        None if origin.unique_bodies => ((&*shared.sha256).into(), coverage.body),
        None => (minted(checked.delivery().raw().received).into(), false),
    };

    use Attribute as A;
    let mut others = Vec::with_capacity(A::ALL.len());
    let mut put = |attribute, value: Text| others.push((attribute, value));
    match found.time {
        Some(time) => put(A::Time, time.to_string().into()),
        None => put(A::Time, Text::Shared(shared.received.clone())),
    }
    if let Some(subject) = &found.subject {
        put(A::Subject, subject.clone().into());
    }
    if let Verdict::Passed { schema } = verdict {
        put(A::DataSchema, Text::Shared(schema.urn.clone()));
    }
    put(A::Provider, Text::Shared(origin.provider.clone()));
    put(A::Verification, Text::Shared(shared.verification.clone()));
    if let Some(key) = &shared.key {
        put(A::VerificationKey, Text::Shared(key.clone()));
    }
    put(A::IdSigned, Text::Static(if signed { "true" } else { "false" }));
    put(A::BodySha256, body_sha256);
    put(A::DeliverySha256, Text::Shared(shared.sha256.clone()));
    if checked.is_batch() {
        put(A::BatchIndex, index.to_string().into());
    }
    if let Some(key) = &found.key {
        put(A::PartitionKey, key.clone().into());
    }
    if let Some((parent, state)) = &shared.trace {
        put(A::TraceParent, Text::Shared(parent.clone()));
        if let Some(state) = state {
            put(A::TraceState, Text::Shared(state.clone()));
        }
    }
    put(A::ReceivedTime, Text::Shared(shared.received.clone()));
    put(A::HttpMethod, shared.method.clone());
    if let Some(url) = &shared.url {
        put(A::HttpUrl, Text::Shared(url.clone()));
    }
    if let Some(headers) = &shared.headers {
        put(A::HttpHeaders, Text::Shared(headers.clone()));
    }
    put(A::Contract, Text::Static(contract(verdict)));
    if let Verdict::Broken { reason, violations, .. } = verdict {
        put(A::QuarantineReason, Text::Static(reason));
        put(A::Violations, violations_text(violations).into());
        if let Some(version) = &found.version {
            put(A::DeliveredVersion, version.clone().into());
        }
    }

    let json = OnceLock::new();
    match &part.document {
        Document::Json(_) => _ = json.set(true),
        Document::Form(_) if part.mapped.is_some() => _ = json.set(true),
        Document::Form(_) | Document::Opaque | Document::Unreadable(_) => {}
    }
    Event {
        id,
        kind: match &*origin.domain {
            "" => found.event.as_str().into(),
            domain => format!("{domain}.{}", found.event).into(),
        },
        source: origin.source.clone(),
        uri: origin.uri.clone(),
        provider: origin.provider.clone(),
        others,
        content_type: content_type.into(),
        data,
        json,
    }
}

pub(super) fn contract(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed { .. } => "passed",
        Verdict::None => "none",
        Verdict::Off => "off",
        Verdict::Shadow { .. } | Verdict::Broken { .. } => "violated",
    }
}

/// A UUIDv7 of the time of arrival.
fn minted(received: Timestamp) -> String {
    let seconds = u64::try_from(received.as_second()).unwrap_or(0);
    let nanoseconds = u32::try_from(received.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanoseconds)).to_string()
}

/// As many as there is room for, from the first.
fn violations_text(violations: &[Violation]) -> String {
    let mut text = String::from("[");
    for violation in violations {
        // Structs of strings always serialise.
        let Ok(one) = serde_json::to_string(violation).map(clean::json) else {
            continue;
        };
        if text.len() + one.len() + 2 > MAX_VIOLATIONS_TEXT {
            break;
        }
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&one);
    }
    text.push(']');
    text
}

/// `{name: value}` of the headers to publish that are there; a repeated one joined by `, `.
fn headers(origin: &Origin, raw: &RawDelivery, coverage: &Coverage) -> Option<Arc<str>> {
    let extra = origin.headers.iter().filter(|name| !coverage.publish.contains(name));
    let mut found = Vec::new();
    for name in coverage.publish.iter().chain(extra) {
        let mut values = raw.headers.all(name).map(String::from_utf8_lossy);
        let Some(mut value) = values.next() else { continue };
        for another in values {
            let value = value.to_mut();
            value.push_str(", ");
            value.push_str(&another);
        }
        found.push((name.as_str(), value));
    }
    if found.is_empty() {
        return None;
    }
    let mut text = Vec::with_capacity(256);
    // A map of strings always serialises; JSON escapes what a header could not hold.
    serde_json::Serializer::new(&mut text).collect_map(found).ok()?;
    String::from_utf8(text).ok().map(|text| clean::json(text).into())
}
