//! From a socket to a [`RawDelivery`], and from what became of it to an answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::time::Instant;

use super::body::{self, BodyLimits};
use super::capacity::{Cap, Counter, Taken};
use super::gateway::{Endpoint, Gateway};
use super::head;
use super::proxies::{self, Origin};
use super::response::{self, TurnedAway};
use crate::clock;
use crate::delivery::RawDelivery;
use crate::pipeline::{self, Accepted, Refusal};
use crate::telemetry::recent::{Entry, Recent};
use crate::telemetry::{Account, Limit, Outcome};

/// Characters of a path without a source that the log and the inspector show.
const LONGEST_PATH: usize = 64;
/// Characters of a method that the inspector shows; the longest in common use has 7.
const LONGEST_METHOD: usize = 16;

/// What all workers of the ingress share.
#[derive(Debug)]
pub struct Ingress {
    pub gateway: Arc<ArcSwap<Gateway>>,
    /// Deliveries whose head arrived and whose answer is not made.
    pub in_flight: Arc<AtomicUsize>,
    /// Deliveries in work: the body is complete, the outcome is not.
    pub places: Counter,
    /// Bytes of the bodies in hand.
    pub bytes: Counter,
    pub draining: Arc<AtomicBool>,
    pub recent: Recent,
}

/// One delivery in hand. The drain waits for all of them.
struct InHand(Arc<AtomicUsize>);

impl InHand {
    fn new(in_flight: &Arc<AtomicUsize>) -> Self {
        in_flight.fetch_add(1, Ordering::AcqRel);
        Self(in_flight.clone())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a delivery holds until its outcome is there.
struct Holds {
    _in_hand: InHand,
    place: Taken,
    bytes: Taken,
}

/// What the log and the inspector say of a delivery, whatever became of it.
struct Line {
    source: Arc<str>,
    started: std::time::Instant,
    received: clock::Timestamp,
    sender: Option<std::net::IpAddr>,
    method: String,
    bytes: usize,
    /// What makes this platform deliver again, if it is something special.
    retry_status: Option<StatusCode>,
}

pub async fn deliver(request: HttpRequest, mut payload: Payload, ingress: Data<Ingress>) -> HttpResponse {
    let gateway = ingress.gateway.load_full();
    let origin = proxies::origin(&request, &gateway.limits.trusted_proxies);
    let mut line = Line {
        source: "unknown".into(),
        started: std::time::Instant::now(),
        received: clock::now(),
        sender: origin.sender,
        // Anything up to the size of a head may stand there.
        method: shortened(request.method().as_str()).to_owned(),
        bytes: 0,
        retry_status: None,
    };
    let Some(endpoint) = gateway.endpoints.get(request.path()).cloned() else {
        let account = Account::open(gateway.unknown.clone());
        let why = match gateway.senders.admit(origin.sender) {
            Ok(()) => TurnedAway::UnknownSource(request.path().chars().take(LONGEST_PATH).collect()),
            Err(too_fast) => too_fast.into(),
        };
        return unread(turn_away(&ingress, account, &line, &why), payload);
    };
    line.source = endpoint.source.origin.source().clone();
    line.retry_status = endpoint.answer.retry_status;
    let retry_status = line.retry_status;
    let account = Account::open(endpoint.source.metrics.clone());
    let mut holds = Holds {
        _in_hand: InHand::new(&ingress.in_flight),
        place: Taken::of(&ingress.places, &endpoint.held.places),
        bytes: Taken::of(&ingress.bytes, &endpoint.held.bytes),
    };
    let raw = match receive(&request, &mut payload, origin, &endpoint, &gateway, &mut holds).await {
        Ok(raw) => raw,
        Err(turned_away) => return unread(turn_away(&ingress, account, &line, &turned_away), payload),
    };
    line.bytes = raw.body.len();

    // A task of its own: a client that hangs up changes nothing about what is published or counted.
    let task = actix_web::rt::spawn(carry(ingress.clone(), gateway, endpoint, raw, account, line, holds));
    let (response, proved) = task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a delivery's task died");
        (
            TurnedAway::Refused(Refusal::Internal("task died".into())).response(retry_status),
            false,
        )
    });
    if proved && !ingress.draining.load(Ordering::Acquire) {
        response
    } else {
        closing(response)
    }
}

/// A method is a token, of ASCII alone.
fn shortened(method: &str) -> &str {
    method.get(..LONGEST_METHOD).unwrap_or(method)
}

/// Ends the connection with this answer. Only who proved itself keeps one: actix bounds the time of a connection's first
/// head and of no later one, so a stranger could hold it for ever with half a second head.
fn closing(mut response: HttpResponse) -> HttpResponse {
    response
        .head_mut()
        .set_connection_type(actix_http::ConnectionType::Close);
    response
}

/// Checks what can be checked without the body, then reads it within the limits and takes a place in the work.
async fn receive(
    request: &HttpRequest,
    payload: &mut Payload,
    origin: Origin,
    endpoint: &Endpoint,
    gateway: &Gateway,
    holds: &mut Holds,
) -> Result<RawDelivery, TurnedAway> {
    gateway.senders.admit(origin.sender)?;
    head::check(request)?;
    if !endpoint.methods.contains(request.method()) {
        return Err(TurnedAway::Method(endpoint.methods.clone()));
    }
    if let Err(reason) = endpoint.door.admits(origin.sender, request.conn_data()) {
        endpoint.source.metrics.verify_failure(reason.reason());
        return Err(reason.into());
    }
    let headers = request.headers();
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        return Err(TurnedAway::Encoding);
    }
    let shared = gateway.endpoints.len() > 1;
    let places = Cap {
        most: gateway.limits.max_in_flight,
        shared,
    };
    // Turned away before its body costs anything. The place is taken when the body is there: a slow one holds none.
    if !holds.place.could_take(1, places) {
        return Err(TurnedAway::Overloaded(Limit::InFlight));
    }
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let limits = BodyLimits {
        bytes: endpoint.body_limit,
        timeout: gateway.limits.body_timeout,
        min_rate: gateway.limits.min_rate,
        memory: Cap {
            most: gateway.limits.max_body_memory,
            shared,
        },
    };
    let body = body::read(payload, declared, &limits, &mut holds.bytes).await?;
    if !holds.place.take(1, places) {
        return Err(TurnedAway::Overloaded(Limit::InFlight));
    }

    let mut url = match &endpoint.public_url {
        Some(url) => url.clone(),
        None => format!("{}{}", origin.base_url, request.path()),
    };
    if let Some(query) = request.uri().query() {
        url.push('?');
        url.push_str(query);
    }
    Ok(RawDelivery {
        method: request.method().clone(),
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        url,
        headers: headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        body,
        received: clock::now(),
        sender: origin.sender,
    })
}

async fn carry(
    ingress: Data<Ingress>,
    gateway: Arc<Gateway>,
    endpoint: Arc<Endpoint>,
    raw: RawDelivery,
    mut account: Account,
    line: Line,
    _holds: Holds,
) -> (HttpResponse, bool) {
    let deadline = Instant::now() + endpoint.source.ack_budget;
    let processed = pipeline::process(&endpoint.source, &raw, &mut account, deadline).await;
    let proved = account.is_proved();
    if proved {
        gateway.senders.proved(raw.sender);
    }
    let response = match processed {
        Ok(accepted) => {
            let response = response::accepted(&accepted, &endpoint.answer, &raw.headers);
            let outcome = accepted.outcome();
            account.settle(outcome);
            let events = match &accepted {
                Accepted::Durable(acknowledgement) => acknowledgement.event_ids().take(5).map(str::to_owned).collect(),
                Accepted::Handshake(_) => Vec::new(),
            };
            tracing::debug!(source = %line.source, outcome = outcome.as_str(), bytes = line.bytes, "delivery taken in");
            remember(&ingress, &line, outcome, response.status().as_u16(), None, events);
            response
        }
        Err(refusal) => turn_away(&ingress, account, &line, &refusal.into()),
    };
    (response, proved)
}

/// An answer before the body was read to its end. As long as the payload lives, actix closes the connection after a
/// bounded time; once it is dropped, actix reads on for as long as a chunked sender goes on sending.
fn unread(response: HttpResponse, payload: Payload) -> HttpResponse {
    closing(response)
        .map_body(|_, body| Unread {
            body,
            _payload: payload,
        })
        .map_into_boxed_body()
}

struct Unread {
    body: BoxBody,
    _payload: Payload,
}

impl MessageBody for Unread {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

/// Says the failure once, in the log, the books and the inspector.
fn turn_away(ingress: &Ingress, account: Account, line: &Line, turned_away: &TurnedAway) -> HttpResponse {
    let outcome = turned_away.outcome();
    let limit = turned_away.limit();
    if let Some(limit) = limit {
        account.shed(limit);
    }
    account.settle(outcome);
    let reason = turned_away.to_string();
    let status = turned_away.status(line.retry_status).as_u16();
    match outcome {
        // Who sends too much must not fill the log with it: these are counted, and the inspector shows them.
        _ if limit.is_some() => {
            tracing::debug!(source = %line.source, sender = line.sender.map(tracing::field::display), status, reason, "delivery shed");
        }
        Outcome::Refused => {
            tracing::warn!(source = %line.source, sender = line.sender.map(tracing::field::display), status, reason, "delivery refused");
        }
        _ => {
            tracing::info!(source = %line.source, sender = line.sender.map(tracing::field::display), status, reason, "delivery rejected")
        }
    }
    remember(ingress, line, outcome, status, Some(reason), Vec::new());
    turned_away.response(line.retry_status)
}

fn remember(
    ingress: &Ingress,
    line: &Line,
    outcome: Outcome,
    status: u16,
    reason: Option<String>,
    events: Vec<String>,
) {
    ingress.recent.push(Entry {
        received: line.received,
        source: line.source.clone(),
        sender: line.sender,
        method: line.method.clone(),
        bytes: line.bytes,
        outcome: outcome.as_str(),
        status,
        reason,
        events,
        milliseconds: line.started.elapsed().as_secs_f64() * 1000.0,
    });
}
