//! Makes every event of a delivery durable, once, and counts what became of each.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{Refusal, Source, Way};
use crate::clock;
use crate::contract::{CheckedDelivery, CheckedPart};
use crate::destination::spool::{Durable, How};
use crate::destination::{PublishError, Receipt};
use crate::duplicates::{Claim, Identity};
use crate::event::{self, Event};
use crate::telemetry::Outcome;

/// Every event of a delivery is settled: made only here, from the receipts of all of them.
///
/// ```compile_fail
/// let forged = hooksluice::pipeline::Acknowledgement { settled: vec![] };
/// ```
#[derive(Debug)]
pub struct Acknowledgement {
    settled: Vec<(Arc<Event>, Settled)>,
}

#[derive(Debug)]
enum Settled {
    Durable(Durable),
    /// An identical event has its receipt already.
    Duplicate,
    Ignored,
}

impl Settled {
    fn outcome(&self, event: &Event) -> Outcome {
        match self {
            Self::Ignored => Outcome::Ignored,
            Self::Duplicate => Outcome::Duplicate,
            Self::Durable(_) if event.is_quarantined() => Outcome::Quarantined,
            Self::Durable(durable) => match durable.how() {
                How::Published => Outcome::Published,
                How::Journaled => Outcome::Journaled,
                How::Spooled => Outcome::Spooled,
                How::Quarantined => Outcome::Quarantined,
            },
        }
    }
}

impl Acknowledgement {
    /// The worst outcome of its events; a batch without elements holds nothing to publish.
    pub fn outcome(&self) -> Outcome {
        self.settled
            .iter()
            .map(|(event, settled)| settled.outcome(event))
            .max()
            .unwrap_or(Outcome::Ignored)
    }

    /// Ids of the events, in the order of the delivery.
    pub fn event_ids(&self) -> impl Iterator<Item = &str> {
        self.settled.iter().map(|(event, _)| event.id())
    }

    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.settled.iter().filter_map(|(_, settled)| match settled {
            Settled::Durable(durable) => Some(durable.receipt()),
            Settled::Duplicate | Settled::Ignored => None,
        })
    }
}

/// Publishes all events side by side, started in their order. One that fails fails the delivery:
/// the sender's retry then suppresses those that are durable.
pub(super) async fn all(
    source: &Source,
    checked: &CheckedDelivery<'_>,
    events: Vec<Event>,
    deadline: Instant,
) -> Result<Acknowledgement, Refusal> {
    let settling = checked
        .parts()
        .iter()
        .zip(events)
        .map(|(part, event)| one(source, part, Arc::new(event), deadline));
    let mut settled = Vec::with_capacity(checked.parts().len());
    let mut failure = None;
    for result in join_all(settling).await {
        match result {
            Ok((event, outcome)) => {
                source.metrics.event(outcome.outcome(&event));
                settled.push((event, outcome));
            }
            Err(refusal) => {
                source.metrics.event(refusal.outcome());
                failure.get_or_insert(refusal);
            }
        }
    }
    match failure {
        Some(refusal) => Err(refusal),
        None => Ok(Acknowledgement { settled }),
    }
}

async fn one(
    source: &Source,
    part: &CheckedPart<'_>,
    event: Arc<Event>,
    deadline: Instant,
) -> Result<(Arc<Event>, Settled), Refusal> {
    let Some(way) = source.way(&event) else {
        return Ok((event, Settled::Ignored));
    };
    let Some(identity) = identity(source, part, &event) else {
        let durable = durable(way, &event, deadline).await?;
        return Ok((event, Settled::Durable(durable)));
    };
    loop {
        match source.duplicates.claim(identity, clock::now()) {
            Claim::Known => return Ok((event, Settled::Duplicate)),
            Claim::First(ticket) => {
                let durable = durable(way, &event, deadline).await?;
                ticket.durable(clock::now());
                return Ok((event, Settled::Durable(durable)));
            }
            Claim::InFlight(twin) => match timeout_at(deadline, twin.durable()).await {
                Ok(true) => return Ok((event, Settled::Duplicate)),
                // The first one failed: this one tries itself.
                Ok(false) => {}
                Err(_) => return Err(Refusal::TwinInFlight),
            },
        }
    }
}

async fn durable(way: &Way, event: &Arc<Event>, deadline: Instant) -> Result<Durable, PublishError> {
    let started = Instant::now();
    let durable = way.outlet.make_durable(event.clone(), deadline).await?;
    way.duration.observe(started.elapsed().as_secs_f64());
    Ok(durable)
}

/// What may suppress a copy of this event. None for a quarantined event: a redelivery after a mended
/// schema must go through.
fn identity<'e>(source: &'e Source, part: &CheckedPart<'_>, event: &'e Event) -> Option<Identity<'e>> {
    if event.is_quarantined() || !event::identifies(&source.origin, part) {
        return None;
    }
    let id_alone = source.retry_bytes_differ && event.is_id_signed();
    Some(Identity {
        source: source.origin.source(),
        id: event.id(),
        sha256: (!id_alone).then(|| event.body_sha256()),
    })
}
