//! The straight line through the rooms, and every way in which it turns a delivery away.
//!
//! [`process`] runs from the complete body to the answer's substance. Status codes are `http`'s.

mod again;
mod publish;
mod source;

use tokio::time::Instant;

pub use publish::Acknowledgement;
pub use source::{Route, Source, Target, Way};

use crate::contract::{Enforced, OTHER};
use crate::delivery::{Method, RawDelivery};
use crate::destination::PublishError;
use crate::event;
use crate::handshake::{HandshakeError, Reply};
use crate::rate::Wait;
use crate::telemetry::{Account, Outcome};
use crate::verify::VerifyError;

/// A delivery that was taken in.
#[derive(Debug)]
pub enum Accepted {
    /// A challenge, answered.
    Handshake(Reply),
    /// Everything in it is durable (or was already, or is ignored by the source's routes).
    Durable(Acknowledgement),
}

impl Accepted {
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Handshake(_) => Outcome::Handshake,
            Self::Durable(acknowledgement) => acknowledgement.outcome(),
        }
    }
}

/// Why a delivery was turned away.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Unverified(#[from] VerifyError),
    /// Verified, and more than the source's `rate`.
    #[error("this sender too fast: more deliveries than the source's `rate`")]
    TooFast(Wait),
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    #[error("contract broken ({})", .0.reason)]
    Contract(Enforced),
    #[error("{0}")]
    Publish(#[from] PublishError),
    /// The first of twins had no outcome in time.
    #[error("a twin of this delivery is still in flight")]
    TwinInFlight,
    /// The task that carried the delivery died.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Refusal {
    /// Whose fault it is, for the books.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unverified(VerifyError::KeysUnavailable(_)) => Outcome::Refused,
            Self::Unverified(_) | Self::TooFast(_) | Self::Handshake(_) | Self::Contract(_) => Outcome::Rejected,
            Self::Publish(_) | Self::TwinInFlight | Self::Internal(_) => Outcome::Refused,
        }
    }
}

/// Carries one delivery through the rooms. `deadline` is when the answer must be on its way.
pub async fn process(
    source: &Source,
    raw: &RawDelivery,
    account: &mut Account,
    deadline: Instant,
) -> Result<Accepted, Refusal> {
    if let Some(reply) = source.handshakes.before_verification(raw) {
        return confirm(source, reply?, raw).await;
    }
    let verified = match source.verifier.verify(raw, raw.received).await {
        Ok(verified) => verified,
        Err(error) => {
            source.metrics.verify_failure(error.reason());
            return Err(error.into());
        }
    };
    account.verified();
    // Scheme `none` proves nothing.
    if verified.proof().key.is_some() {
        account.proved();
    }
    if let Some(rate) = &source.rate {
        rate.take().map_err(Refusal::TooFast)?;
    }
    source.metrics.secret_use(verified.proof().key.as_ref());
    if let Some(reply) = source.handshakes.after_verification(&verified) {
        return confirm(source, reply?, raw).await;
    }

    // Other methods are there for challenges: what such a signature covers need not be the body.
    if raw.method != Method::POST {
        let why = format!("a {} that is none of the platform's challenges", raw.method);
        return Err(HandshakeError::Malformed(why).into());
    }

    let coverage = source.verifier.coverage(verified.proof());
    let parts = source.reader.read(verified, &coverage);
    let checked = source.contracts.check(parts).map_err(|enforced| {
        let labels = enforced
            .schema
            .as_ref()
            .map_or((OTHER, ""), |schema| (&*schema.event, &*schema.version));
        source.metrics.contract_check(labels, "broken");
        Refusal::Contract(enforced)
    })?;
    for verdict in checked.parts().iter().map(|part| part.verdict()) {
        match verdict.passed() {
            Some(schema) => source.metrics.contract_passed(schema.number),
            None => source.metrics.contract_check(verdict.labels(), verdict.result()),
        }
    }

    let events = event::events(&source.origin, &checked, &coverage);
    let acknowledgement = publish::all(source, &checked, events, deadline).await?;
    Ok(Accepted::Durable(acknowledgement))
}

/// A handshake that must be confirmed to the platform is answered only after the confirmation.
async fn confirm(source: &Source, reply: Reply, raw: &RawDelivery) -> Result<Accepted, Refusal> {
    if let Some(target) = &reply.confirm {
        source
            .keyring
            .confirm(target, raw.received)
            .await
            .map_err(|error| VerifyError::KeysUnavailable(error.to_string()))?;
    }
    if let (Some(told), Some(capture)) = (reply.captured.clone(), source.capture.clone()) {
        let (sender, at) = (raw.sender, raw.received);
        let file = capture.file().display().to_string();
        let kept = tokio::task::spawn_blocking(move || capture.keep(&told, sender, at)).await;
        kept.map_err(|error| Refusal::Internal(error.to_string()))?
            .map_err(|error| Refusal::Internal(format!("told secret: {error}")))?;
        tracing::warn!(source = %source.origin.source(), ?sender, file, "somebody told this source a secret: if it was the platform, give it to the source and take `capture` out");
    }
    Ok(Accepted::Handshake(reply))
}
