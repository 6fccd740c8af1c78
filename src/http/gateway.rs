//! What the listeners serve at one moment. A reload makes a new one and swaps it in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use ipnet::IpNet;

use super::capacity::Counter;
use super::door::Door;
use super::senders::Senders;
use crate::delivery::{HeaderName, HeaderValue};
use crate::pipeline::Source;
use crate::telemetry::SourceMetrics;

/// All endpoints and the limits that hold for them.
#[derive(Debug)]
pub struct Gateway {
    /// By path, as it is sent.
    pub endpoints: HashMap<String, Arc<Endpoint>>,
    pub limits: Limits,
    pub senders: Senders,
    /// Counts what called no source: `source="unknown"`.
    pub unknown: Arc<SourceMetrics>,
}

/// Limits that a reload may change.
#[derive(Clone, Debug)]
pub struct Limits {
    pub trusted_proxies: Vec<IpNet>,
    pub body_timeout: Duration,
    /// Bytes a second.
    pub min_rate: u64,
    pub max_in_flight: usize,
    /// Bytes of bodies.
    pub max_body_memory: usize,
}

/// A source at its path.
#[derive(Debug)]
pub struct Endpoint {
    pub source: Arc<Source>,
    pub door: Door,
    /// `POST`, and whatever the provider's handshakes use.
    pub methods: Vec<Method>,
    /// Bytes.
    pub body_limit: usize,
    /// The URL that the platform calls, without its query, where that is configured.
    pub public_url: Option<String>,
    pub answer: AnswerForm,
    pub held: Held,
}

/// What the deliveries of one source hold of what all share.
#[derive(Debug, Default)]
pub struct Held {
    /// Deliveries in work.
    pub places: Counter,
    /// Bytes of bodies.
    pub bytes: Counter,
}

/// What the platform wants to hear when its delivery is durable.
#[derive(Clone, Debug)]
pub struct AnswerForm {
    pub status: u16,
    /// In the place of 503 and of 429.
    pub retry_status: Option<StatusCode>,
    pub body: Option<String>,
    pub content_type: Option<String>,
    pub headers: Vec<(HeaderName, AnswerHeader)>,
}

/// What stands in a header of the answer.
#[derive(Clone, Debug)]
pub enum AnswerHeader {
    Fixed(HeaderValue),
    /// What the delivery, which is verified, has in this header.
    Echo(HeaderName),
}
