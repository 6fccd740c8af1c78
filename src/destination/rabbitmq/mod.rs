//! Makes events durable in RabbitMQ: a receipt is the confirm of a persistent message that came back from nowhere.
//!
//! Each worker of the ingress publishes through a line of its own: a connection that is served by the worker's thread, so
//! that no publish waits for another thread but lapin's. Everybody else (the spool, replays), and a worker whose line is
//! not up, takes the base line. A line has a channel for the main exchange and one for the quarantine exchange: a fault of
//! one closes only its channel. What one thread publishes of a key stays in order, unless the attributes of only some of
//! it are too large for a worker's frames; between overlapping requests none is promised. While the base line is lost, or the broker blocks one (memory or disk alarm), nothing is taken. An unroutable
//! message is a failure, matched to its own publish (`ledger`). No confirm is waited for longer than 30 seconds.

mod backlog;
mod connection;
mod ledger;
mod line;
mod message;
mod probe;
mod publisher;
mod settings;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use self::line::{Line, Lines, State};
use self::publisher::Job;
use self::settings::Target;
pub use self::settings::{Quarantine, Settings, Tls};
use super::backlog::{Backlog, OpenError, Part};
use super::{Destination, Feed, Finding, Position, PublishError, Receipt};
use crate::event::Event;

/// Connections to one broker, for the main exchange and the quarantine exchange of a destination.
pub struct RabbitMq {
    main: Arc<Exchange>,
    quarantine: Arc<Exchange>,
}

/// One of the two destinations.
struct Exchange {
    outlet: Arc<Outlet>,
    lines: Arc<Lines>,
    runtime: Handle,
}

/// What all tasks and the destinations share.
struct Shared {
    name: Arc<str>,
    uri: AMQPUri,
    tls: Tls,
    outlets: [Arc<Outlet>; 2],
    base: Arc<Line>,
    /// Lines that the broker reads nothing from, for now.
    blocked: AtomicUsize,
}

/// An exchange.
struct Outlet {
    name: Arc<str>,
    /// Which of the two, in every line.
    place: usize,
    target: Target,
    down: ArcSwapOption<String>,
    /// Largest body that the broker takes, once it said so.
    limit: AtomicUsize,
}

impl RabbitMq {
    /// Starts to connect, in the background. `runtime` outlives every request: the connection lives there. Errors are of
    /// configuration, all at once.
    pub fn open(
        name: &str,
        settings: &Settings,
        quarantine: &Quarantine,
        runtime: Handle,
    ) -> Result<Self, Vec<String>> {
        let plan = settings.plan(quarantine)?;
        let outlet = |place: usize, name: String, target: Target| {
            Arc::new(Outlet {
                name: name.into(),
                place,
                target,
                down: ArcSwapOption::empty(),
                limit: AtomicUsize::new(usize::MAX),
            })
        };
        let outlets = [
            outlet(0, name.into(), plan.main),
            outlet(1, format!("{name}.quarantine"), plan.quarantine),
        ];
        let lines = Arc::new(Lines::open(
            Shared {
                name: name.into(),
                uri: plan.uri,
                tls: plan.tls,
                outlets,
                base: Arc::new(Line::new(&runtime)),
                blocked: AtomicUsize::new(0),
            },
            &runtime,
        ));
        let exchange = |outlet: &Arc<Outlet>| {
            Arc::new(Exchange {
                outlet: outlet.clone(),
                lines: lines.clone(),
                runtime: runtime.clone(),
            })
        };
        let [main, quarantine] = &lines.shared().outlets;
        Ok(Self {
            main: exchange(main),
            quarantine: exchange(quarantine),
        })
    }

    /// Where events go.
    pub fn main(&self) -> Arc<dyn Destination> {
        self.main.clone()
    }

    /// Where events that broke their contract go.
    pub fn quarantine(&self) -> Arc<dyn Destination> {
        self.quarantine.clone()
    }

    /// What lies in the quarantine queue now. Call inside the runtime that the connection is to live in.
    pub async fn backlog(&self, part: Part, feeds: Vec<Feed>) -> Result<Box<dyn Backlog>, OpenError> {
        let (shared, outlet) = (self.quarantine.lines.shared().clone(), self.quarantine.outlet.clone());
        Ok(Box::new(backlog::open(shared, outlet, part, feeds).await?))
    }

    /// Ends what belongs to the ingress's workers, before they end themselves. What still comes takes the base line.
    pub async fn end_workers(&self, deadline: Duration) {
        self.main.lines.end_workers(deadline).await;
    }

    /// Takes nothing more, waits for the confirms of what is under way, and gives up the rest when the deadline passes:
    /// its futures then say `Unknown`.
    pub async fn close(&self, deadline: Duration) {
        self.main.lines.close(deadline).await;
    }
}

impl Destination for Exchange {
    fn name(&self) -> &Arc<str> {
        &self.outlet.name
    }

    fn publish(&self, event: Arc<Event>) -> BoxFuture<'static, Result<Receipt, PublishError>> {
        let outlet = self.outlet.clone();
        // Queued before the future is polled: the order of calls is the order of a key.
        let queued = self.queue(event);
        Box::pin(async move {
            let (routing_key, outcome) = queued?;
            let lost = || PublishError::Unknown("the channel ended without a word".into());
            outcome.await.map_err(|_| lost())??;
            let position = Position::RabbitMq {
                exchange: outlet.target.exchange.clone(),
                routing_key,
            };
            Ok(Receipt::new(outlet.name.clone(), position))
        })
    }

    fn lane(&self, event: &Event) -> String {
        let routing_key = self.outlet.target.routing_key.render(event);
        format!(
            "{}/{routing_key}/{}",
            self.outlet.target.exchange,
            event.key().unwrap_or_default()
        )
    }

    fn down(&self) -> Option<String> {
        self.lines.shared().down()
    }

    fn probe(&self, feeds: Vec<Feed>) -> BoxFuture<'static, Vec<Finding>> {
        let probing = self
            .runtime
            .spawn(probe::probe(self.lines.shared().clone(), self.outlet.clone(), feeds));
        let place = self.outlet.name.clone();
        Box::pin(async move {
            probing
                .await
                .unwrap_or_else(|_| vec![Finding::problem(&*place, "the look was cut off", "try again")])
        })
    }
}

type Queued = (Box<str>, oneshot::Receiver<Result<(), PublishError>>);

impl Exchange {
    fn queue(&self, event: Arc<Event>) -> Result<Queued, PublishError> {
        let shared = self.lines.shared();
        if let Some(reason) = shared.down() {
            return Err(PublishError::Down(reason));
        }
        if let Some(reason) = self.outlet.down() {
            return Err(PublishError::LaneDown(reason));
        }
        let limit = self.outlet.limit.load(Ordering::Relaxed);
        if event.data().len() > limit {
            let length = event.data().len();
            return Err(PublishError::Message(format!(
                "its {length} bytes are more than the broker's {limit}"
            )));
        }
        let routing_key: Box<str> = self.outlet.target.routing_key.render(&event).into();
        let short = ShortString::try_new(&*routing_key).map_err(|error| PublishError::Message(error.to_string()))?;
        let (properties, size) = message::properties(&event);
        let state = self.lines.here(size);
        let State::Up { frame_max, jobs } = &**state else {
            return Err(PublishError::Down(shared.down().unwrap_or_default()));
        };
        if size > *frame_max {
            return Err(PublishError::Message(format!(
                "its attributes take {size} bytes, more than the {frame_max} of an AMQP frame"
            )));
        }
        let (reply, outcome) = oneshot::channel();
        let job = Job {
            message_id: message::message_id(&event).to_string(),
            routing_key: short,
            properties,
            event,
            reply,
        };
        jobs[self.outlet.place].try_send(job).map_err(|error| {
            PublishError::Down(match error {
                TrySendError::Full(_) => "the queue to the broker is full".into(),
                TrySendError::Closed(_) => "the connection is lost".into(),
            })
        })?;
        Ok((routing_key, outcome))
    }
}

impl Outlet {
    fn down(&self) -> Option<String> {
        self.down.load().as_ref().map(|reason| reason.to_string())
    }

    fn set_down(&self, reason: String) {
        if self.down.swap(Some(Arc::new(reason.clone()))).is_none() {
            tracing::warn!(
                destination = &*self.name,
                reason,
                "rabbitmq: the exchange takes nothing"
            );
        }
    }

    fn set_up(&self) {
        if self.down.load().is_some() {
            self.down.store(None);
        }
    }

    fn learn_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }
}

/// Between attempts to connect, or to open a channel. With half as much again by chance, and the spool's own longest pause
/// of 5 s behind it, an event still arrives within 10 s of the broker answering again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Pauses that double, with up to half as much again by chance, so that many gateways do not return in step.
struct Backoff {
    first: Duration,
    most: Duration,
    current: Duration,
}

impl Backoff {
    fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            current: first,
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.current;
        self.current = (pause * 2).min(self.most);
        let chance = RandomState::new().hash_one(()) % 512;
        pause + pause.mul_f64(chance as f64 / 1024.0)
    }

    fn reset(&mut self) {
        self.current = self.first;
    }
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL holds a password.
        f.debug_struct("RabbitMq")
            .field("name", &self.main.lines.shared().name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("name", &self.outlet.name)
            .field("target", &self.outlet.target)
            .field("workers_up", &self.lines.workers_up())
            .finish_non_exhaustive()
    }
}
