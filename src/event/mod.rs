//! Says a checked part as a CloudEvent; encodings for Kafka, AMQP and the journal.
//!
//! Promises: the data are the sender's bytes (or, where the source asked for it, its form as JSON);
//! every attribute is text that may stand in a header; an event read back from a store is the one
//! that was written, or none.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::contract::Verdict;
use crate::delivery::HeaderName;
use crate::provider::Definition;
use crate::read::Node;

mod attribute;
mod build;
mod decode;
pub mod encode;
mod stored;
mod trace;

pub use attribute::Attribute;
pub use build::{events, identifies};
pub use decode::{from_amqp, from_kafka};
pub use stored::{Stored, StoredError};

use attribute::Text;

/// A CloudEvent 1.0 with the sender's bytes. Made by [`events`] from a checked delivery, or by
/// [`Event::from_stored`] from a record whose digests match: from outside it cannot be built.
///
/// ```compile_fail
/// use hooksluice::event::Event;
/// fn forge(event: Event) -> Event {
///     Event { ..event }
/// }
/// ```
///
/// The same with the value passed through compiles:
///
/// ```
/// use hooksluice::event::Event;
/// fn forge(event: Event) -> Event {
///     event
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Event {
    id: Box<str>,
    kind: Box<str>,
    /// Name of the source; the attribute `source` is made from it.
    source: Arc<str>,
    uri: Arc<str>,
    provider: Arc<str>,
    /// All others, in the order of [`Attribute`].
    others: Vec<(Attribute, Text)>,
    content_type: Box<str>,
    data: Bytes,
    /// Are the data one JSON document? Known from reading, else found out when asked.
    json: OnceLock<bool>,
}

impl Event {
    pub fn id(&self) -> &str {
        &self.id
    }
    /// CloudEvents `type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }
    /// Name of the source.
    pub fn source(&self) -> &str {
        &self.source
    }
    pub fn provider(&self) -> &str {
        &self.provider
    }
    /// Partition key.
    pub fn key(&self) -> Option<&str> {
        self.get(Attribute::PartitionKey)
    }
    /// All attributes but `specversion` and `datacontenttype`, extensions included, in a fixed order.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.all().map(|(attribute, value)| (attribute.name(), value))
    }
    pub fn get(&self, attribute: Attribute) -> Option<&str> {
        self.all().find(|(name, _)| *name == attribute).map(|(_, value)| value)
    }
    /// CloudEvents `datacontenttype`.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }
    pub fn data(&self) -> &Bytes {
        &self.data
    }
    /// Hex SHA-256 of the data.
    pub fn body_sha256(&self) -> &str {
        self.get(Attribute::BodySha256).unwrap_or_default()
    }
    /// The signature covers the id.
    pub fn is_id_signed(&self) -> bool {
        self.get(Attribute::IdSigned) == Some("true")
    }
    /// Belongs in the quarantine destination.
    pub fn is_quarantined(&self) -> bool {
        self.get(Attribute::QuarantineReason).is_some()
    }
    pub fn is_replay(&self) -> bool {
        self.get(Attribute::Replay).is_some()
    }

    /// The data are one JSON document, as [`Node::parse`] accepts it.
    pub fn is_json(&self) -> bool {
        *self.json.get_or_init(|| Node::parse(&self.data).is_ok())
    }

    /// The same event, marked as a replay.
    #[must_use]
    pub fn into_replay(self) -> Self {
        self.with(Attribute::Replay, Text::Static("true"))
    }

    /// The same event, bound for quarantine: a destination refused the message itself.
    #[must_use]
    pub fn into_quarantine(self, reason: &'static str) -> Self {
        self.with(Attribute::QuarantineReason, Text::Static(reason))
    }

    /// The same event out of quarantine, when it meets its contract by now. `None` when it still breaks it.
    pub fn out_of_quarantine(mut self, verdict: &Verdict) -> Option<Self> {
        if matches!(verdict, Verdict::Broken { .. }) {
            return None;
        }
        use Attribute as A;
        const SAID: [A; 4] = [A::QuarantineReason, A::Violations, A::DeliveredVersion, A::DataSchema];
        self.others.retain(|(attribute, _)| !SAID.contains(attribute));
        if let Verdict::Passed { schema } = verdict {
            self = self.with(A::DataSchema, Text::Shared(schema.urn.clone()));
        }
        Some(self.with(A::Contract, Text::Static(build::contract(verdict))))
    }

    fn with(mut self, attribute: Attribute, value: Text) -> Self {
        match self.others.binary_search_by_key(&attribute, |(name, _)| *name) {
            Ok(at) => self.others[at].1 = value,
            Err(at) => self.others.insert(at, (attribute, value)),
        }
        self
    }

    fn all(&self) -> impl Iterator<Item = (Attribute, &str)> {
        let first = [
            (Attribute::Id, &*self.id),
            (Attribute::Source, &*self.uri),
            (Attribute::Type, &*self.kind),
        ];
        first
            .into_iter()
            .chain(self.others.iter().map(|(name, value)| (*name, &**value)))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.all().eq(other.all()) && self.content_type == other.content_type && self.data == other.data
    }
}

impl Eq for Event {}

/// Is the event type the pattern's? A trailing `.*` stands for everything below, as in routes.
pub fn is_type(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.len() > prefix.len() && kind.starts_with(prefix),
        None => pattern == kind,
    }
}

/// What is the same for all events of a source.
#[derive(Debug, Clone)]
pub struct Origin {
    source: Arc<str>,
    /// The attribute `source`.
    uri: Arc<str>,
    provider: Arc<str>,
    /// Reverse domain of event types.
    domain: Arc<str>,
    unique_bodies: bool,
    /// Headers to publish besides those needed to verify again.
    headers: Vec<HeaderName>,
}

impl Origin {
    /// `source` and `provider` are names. A header that carries a credential is refused.
    pub fn new(source: &str, provider: &str, definition: &Definition) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut headers = Vec::new();
        for name in &definition.event.headers {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(header) if CREDENTIALS.contains(&header.as_str()) => {
                    problems.push(format!(
                        "event.headers: {name} carries a credential and is never published"
                    ));
                }
                Ok(header) => headers.push(header),
                Err(_) => problems.push(format!("event.headers: {name:?} is not a header name")),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            source: source.into(),
            uri: stored::uri(source).into(),
            provider: provider.into(),
            domain: definition.domain.as_str().into(),
            unique_bodies: definition.event.unique_bodies,
            headers,
        })
    }

    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    pub fn provider(&self) -> &Arc<str> {
        &self.provider
    }

    /// The event's name in the provider's words: its type without the domain.
    pub fn name_of<'k>(&self, kind: &'k str) -> &'k str {
        match &*self.domain {
            "" => kind,
            domain => kind
                .strip_prefix(domain)
                .and_then(|rest| rest.strip_prefix('.'))
                .unwrap_or(kind),
        }
    }
}

/// Headers that are credentials by their meaning. What else is one (a platform's token header) is
/// known to `verify`, which leaves it out of `Coverage::publish`.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
