//! From a socket to a [`RawDelivery`], and from what became of it to an answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::time::Instant;

use super::body::{self, BodyLimits};
use super::gateway::{Endpoint, Gateway};
use super::proxies;
use super::response::{self, TurnedAway};
use crate::clock;
use crate::delivery::RawDelivery;
use crate::pipeline::{self, Accepted, Refusal};
use crate::telemetry::recent::{Entry, Recent};
use crate::telemetry::{Account, Outcome};

/// What all workers of the ingress share.
#[derive(Debug)]
pub struct Ingress {
    pub gateway: Arc<ArcSwap<Gateway>>,
    pub in_flight: Arc<AtomicUsize>,
    pub draining: Arc<AtomicBool>,
    pub recent: Recent,
}

/// One delivery in hand. The drain waits for all of them.
struct InHand(Arc<AtomicUsize>);

impl InHand {
    fn take(in_flight: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let taken = Self(in_flight.clone());
        (in_flight.fetch_add(1, Ordering::AcqRel) < most).then_some(taken)
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What the log and the inspector say of a delivery, whatever became of it.
struct Line {
    source: Arc<str>,
    started: std::time::Instant,
    received: clock::Timestamp,
    sender: Option<std::net::IpAddr>,
    method: String,
    bytes: usize,
}

pub async fn deliver(request: HttpRequest, mut payload: Payload, ingress: Data<Ingress>) -> HttpResponse {
    let gateway = ingress.gateway.load_full();
    let mut line = Line {
        source: "unknown".into(),
        started: std::time::Instant::now(),
        received: clock::now(),
        sender: None,
        method: request.method().to_string(),
        bytes: 0,
    };
    let Some(endpoint) = gateway.endpoints.get(request.path()).cloned() else {
        let account = Account::open(gateway.unknown.clone());
        return unread(turn_away(&ingress, account, &line, &TurnedAway::UnknownSource), payload);
    };
    line.source = endpoint.source.origin.source().clone();
    let account = Account::open(endpoint.source.metrics.clone());
    let Some(in_hand) = InHand::take(&ingress.in_flight, gateway.limits.max_in_flight) else {
        return unread(turn_away(&ingress, account, &line, &TurnedAway::Overloaded), payload);
    };
    let raw = match receive(&request, &mut payload, &endpoint, &gateway).await {
        Ok(raw) => raw,
        Err(turned_away) => return unread(turn_away(&ingress, account, &line, &turned_away), payload),
    };
    line.sender = raw.sender;
    line.bytes = raw.body.len();

    // A task of its own: a client that hangs up changes nothing about what is published or counted.
    let task = actix_web::rt::spawn(carry(ingress.clone(), endpoint, raw, account, line, in_hand));
    let mut response = task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a delivery's task died");
        TurnedAway::Refused(Refusal::Internal("task died".into())).response()
    });
    if ingress.draining.load(Ordering::Acquire) {
        response
            .head_mut()
            .set_connection_type(actix_http::ConnectionType::Close);
    }
    response
}

/// Checks what can be checked without the body, then reads it within the limits.
async fn receive(
    request: &HttpRequest,
    payload: &mut Payload,
    endpoint: &Endpoint,
    gateway: &Gateway,
) -> Result<RawDelivery, TurnedAway> {
    if !endpoint.methods.contains(request.method()) {
        return Err(TurnedAway::Method(endpoint.methods.clone()));
    }
    let origin = proxies::origin(request, &gateway.limits.trusted_proxies);
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
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let limits = BodyLimits {
        bytes: endpoint.body_limit,
        timeout: gateway.limits.body_timeout,
        min_rate: gateway.limits.min_rate,
    };
    let body = body::read(payload, declared, &limits).await?;

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
    endpoint: Arc<Endpoint>,
    raw: RawDelivery,
    mut account: Account,
    line: Line,
    _in_hand: InHand,
) -> HttpResponse {
    let deadline = Instant::now() + endpoint.source.ack_budget;
    match pipeline::process(&endpoint.source, &raw, &mut account, deadline).await {
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
    }
}

/// An answer before the body was read to its end. As long as the payload lives, actix closes the connection after a
/// bounded time; once it is dropped, actix reads on for as long as a chunked sender goes on sending.
fn unread(response: HttpResponse, payload: Payload) -> HttpResponse {
    response
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
    account.settle(outcome);
    let reason = turned_away.to_string();
    let status = turned_away.status().as_u16();
    match outcome {
        Outcome::Refused => {
            tracing::warn!(source = %line.source, sender = ?line.sender, status, reason, "delivery refused");
        }
        _ => tracing::info!(source = %line.source, sender = ?line.sender, status, reason, "delivery rejected"),
    }
    remember(ingress, line, outcome, status, Some(reason), Vec::new());
    turned_away.response()
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
        source: line.source.to_string(),
        sender: line.sender.map(|sender| sender.to_string()),
        method: line.method.clone(),
        bytes: line.bytes,
        outcome: outcome.as_str(),
        status,
        reason,
        events,
        milliseconds: line.started.elapsed().as_secs_f64() * 1000.0,
    });
}
