//! What the sender is told. The one place where a refusal becomes a status.

use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use super::body::BodyError;
use super::door::NotAdmitted;
use super::gateway::{AnswerForm, AnswerHeader};
use super::head::HeadError;
use crate::contract::Violation;
use crate::delivery::Headers;
use crate::handshake::{HandshakeError, LONGEST_ECHO, Reply};
use crate::pipeline::{Accepted, Acknowledgement, Refusal};
use crate::rate::Wait;
use crate::telemetry::{Limit, Outcome};
use crate::verify::VerifyError;

/// Tells the consumer's side of a delivery: the id under which its event is published.
pub const EVENT_ID: &str = "hooksluice-event-id";

/// Seconds after which a sender may try again.
const RETRY_SECONDS: u64 = 5;

/// Why a delivery was turned away, by this listener or further in.
#[derive(Debug, thiserror::Error)]
pub enum TurnedAway {
    /// With the path, as far as it is worth showing.
    #[error("no source at `{0}`")]
    UnknownSource(String),
    #[error("method not allowed here")]
    Method(Vec<Method>),
    #[error("{0}")]
    NotAdmitted(#[from] NotAdmitted),
    #[error("content encoding is not supported; the signature is over other bytes")]
    Encoding,
    #[error("{0}")]
    Body(#[from] BodyError),
    #[error("{0}")]
    Head(#[from] HeadError),
    /// Counted before anything was believed.
    #[error("this sender too fast: {}", .0.why())]
    TooFast(Limit, Wait),
    #[error("overloaded: {}", .0.why())]
    Overloaded(Limit),
    #[error("{0}")]
    Refused(#[from] Refusal),
}

impl From<(Limit, Wait)> for TurnedAway {
    fn from((limit, wait): (Limit, Wait)) -> Self {
        Self::TooFast(limit, wait)
    }
}

impl TurnedAway {
    /// The limit that was met, if it is that.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::TooFast(limit, _) | Self::Overloaded(limit) => Some(*limit),
            Self::Body(BodyError::NoRoom) => Some(Limit::BodyMemory),
            Self::Refused(Refusal::TooFast(_)) => Some(Limit::SourceRate),
            _ => None,
        }
    }

    pub fn outcome(&self) -> Outcome {
        match self {
            Self::UnknownSource(_)
            | Self::Method(_)
            | Self::NotAdmitted(_)
            | Self::Encoding
            | Self::Head(_)
            | Self::TooFast(..) => Outcome::Rejected,
            Self::Body(BodyError::CutOff(_)) => Outcome::Aborted,
            Self::Body(BodyError::TooLarge(_) | BodyError::TooSlow) => Outcome::Rejected,
            Self::Body(BodyError::NoRoom) | Self::Overloaded(_) => Outcome::Refused,
            Self::Refused(refusal) => refusal.outcome(),
        }
    }

    /// `retry`: what makes the platform deliver again, where that is neither of the usual ones.
    pub fn status(&self, retry: Option<StatusCode>) -> StatusCode {
        match (self.usual_status(), retry) {
            (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, Some(retry)) => retry,
            (usual, _) => usual,
        }
    }

    fn usual_status(&self) -> StatusCode {
        match self {
            Self::UnknownSource(_) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAdmitted(_) => StatusCode::UNAUTHORIZED,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::CutOff(_)) | Self::Head(_) => StatusCode::BAD_REQUEST,
            Self::TooFast(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Body(BodyError::NoRoom) | Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(refusal) => match refusal {
                // Our own fault: a 4xx would make the loss permanent.
                Refusal::Unverified(VerifyError::KeysUnavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
                Refusal::Unverified(
                    VerifyError::Missing(_)
                    | VerifyError::Malformed(_)
                    | VerifyError::Mismatch
                    | VerifyError::Digest(_)
                    | VerifyError::Timestamp
                    | VerifyError::Stale(_)
                    | VerifyError::Future(_)
                    | VerifyError::Foreign(_)
                    | VerifyError::Token(_)
                    | VerifyError::UnknownKey(_),
                ) => StatusCode::UNAUTHORIZED,
                Refusal::Handshake(HandshakeError::Token | HandshakeError::Url(_)) => StatusCode::UNAUTHORIZED,
                Refusal::Handshake(HandshakeError::Refused(status)) => {
                    StatusCode::from_u16(*status).unwrap_or(StatusCode::UNAUTHORIZED)
                }
                Refusal::Handshake(HandshakeError::Malformed(_)) => StatusCode::BAD_REQUEST,
                Refusal::TooFast(_) => StatusCode::TOO_MANY_REQUESTS,
                Refusal::Contract(_) => StatusCode::UNPROCESSABLE_ENTITY,
                Refusal::Publish(_) | Refusal::TwinInFlight | Refusal::Internal(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }

    /// The sender learns the status and, for a broken contract, what was broken; never why it was not believed.
    pub fn response(&self, retry: Option<StatusCode>) -> HttpResponse {
        let status = self.status(retry);
        let mut response = builder(status);
        let retry_after = match self {
            Self::TooFast(_, wait) | Self::Refused(Refusal::TooFast(wait)) => Some(wait.seconds()),
            _ => (self.usual_status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_SECONDS),
        };
        if let Some(seconds) = retry_after {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if let Self::Method(allowed) = self {
            let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            if let Ok(value) = HeaderValue::from_str(&list) {
                response.insert_header((ALLOW, value));
            }
        }
        let violations = match self {
            Self::Refused(Refusal::Contract(enforced)) => &enforced.violations[..],
            _ => &[],
        };
        let problem = Problem {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: match self {
                Self::Refused(Refusal::Contract(enforced)) => Some(enforced.reason),
                _ => None,
            },
            violations,
        };
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        response.body(serde_json::to_vec(&problem).unwrap_or_default())
    }
}

/// RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    violations: &'a [Violation],
}

pub fn accepted(accepted: &Accepted, form: &AnswerForm, request: &Headers) -> HttpResponse {
    match accepted {
        Accepted::Handshake(reply) => handshake(reply),
        Accepted::Durable(acknowledgement) => durable(acknowledgement, form, request),
    }
}

/// The only 2xx for an event: it takes the acknowledgement that only receipts can make.
fn durable(acknowledgement: &Acknowledgement, form: &AnswerForm, request: &Headers) -> HttpResponse {
    let mut response = builder(StatusCode::from_u16(form.status).unwrap_or(StatusCode::OK));
    let mut ids = acknowledgement.event_ids();
    if let (Some(id), None) = (ids.next(), ids.next())
        && let Ok(value) = HeaderValue::from_str(id)
    {
        response.insert_header((EVENT_ID, value));
    }
    for (name, value) in &form.headers {
        let value = match value {
            AnswerHeader::Fixed(value) => Some(value.clone()),
            AnswerHeader::Echo(name) => request
                .text(name)
                .filter(|text| text.len() <= LONGEST_ECHO)
                .and_then(|text| HeaderValue::from_str(text).ok()),
        };
        if let Some(value) = value {
            response.insert_header((name.clone(), value));
        }
    }
    match &form.body {
        Some(body) => {
            response.insert_header((
                CONTENT_TYPE,
                form.content_type.as_deref().unwrap_or("text/plain; charset=utf-8"),
            ));
            response.body(body.clone())
        }
        None => response.finish(),
    }
}

fn handshake(reply: &Reply) -> HttpResponse {
    let mut response = builder(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK));
    if let Some(content_type) = reply.content_type {
        response.insert_header((CONTENT_TYPE, content_type));
    }
    for (name, value) in &reply.headers {
        response.insert_header((name.clone(), value.clone()));
    }
    response.body(reply.body.clone())
}

fn builder(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}
