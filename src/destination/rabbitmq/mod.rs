//! Makes events durable in RabbitMQ: a receipt is the confirm of a persistent message that came back from nowhere.
//!
//! One connection a configured destination, shared by its main exchange and its quarantine exchange, each with channels
//! of its own: a fault of one closes only its channels. A key always takes the same channel, so its order holds. While
//! the connection is lost, or blocked by the broker (memory or disk alarm), nothing is taken. An unroutable message is a
//! failure, matched to its own publish (`ledger`). No confirm is waited for longer than 30 seconds.

mod backlog;
mod connection;
mod ledger;
mod message;
mod probe;
mod publisher;
mod settings;

use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::future::BoxFuture;
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::publisher::Job;
use self::settings::Target;
pub use self::settings::{Quarantine, Settings, Tls};
use super::backlog::{Backlog, OpenError, Part};
use super::{Destination, Feed, Finding, Position, PublishError, Receipt};
use crate::event::Event;

/// A connection to one broker, for the main exchange and the quarantine exchange of a destination.
pub struct RabbitMq {
    main: Arc<Exchange>,
    quarantine: Arc<Exchange>,
    closing: Arc<watch::Sender<Option<Duration>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// One of the two destinations.
struct Exchange {
    outlet: Arc<Outlet>,
    shared: Arc<Shared>,
    runtime: Handle,
    /// The task ends when the last destination is dropped.
    _closing: Arc<watch::Sender<Option<Duration>>>,
}

/// What the task and the destinations share.
struct Shared {
    name: Arc<str>,
    uri: AMQPUri,
    tls: Tls,
    state: ArcSwap<State>,
    outlets: [Arc<Outlet>; 2],
}

enum State {
    Down(String),
    /// Connected, but the broker reads nothing: memory or disk alarm.
    Blocked(String),
    Up {
        frame_max: usize,
    },
}

/// An exchange and the channels to it.
struct Outlet {
    name: Arc<str>,
    target: Target,
    channels: u16,
    /// One queue a channel, while connected.
    queues: ArcSwapOption<Vec<mpsc::Sender<Job>>>,
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
        let outlet = |name: String, target: Target, channels: u16| {
            Arc::new(Outlet {
                name: name.into(),
                target,
                channels,
                queues: ArcSwapOption::empty(),
                down: ArcSwapOption::empty(),
                limit: AtomicUsize::new(usize::MAX),
            })
        };
        let outlets = [
            outlet(name.into(), plan.main, plan.channels),
            // What is broken is rare.
            outlet(format!("{name}.quarantine"), plan.quarantine, 1),
        ];
        let shared = Arc::new(Shared {
            name: name.into(),
            uri: plan.uri,
            tls: plan.tls,
            state: ArcSwap::from_pointee(State::Down("not connected yet".into())),
            outlets,
        });
        let (closing, is_closing) = watch::channel(None);
        let closing = Arc::new(closing);
        let task = runtime.spawn(connection::run(shared.clone(), is_closing));
        let exchange = |outlet: &Arc<Outlet>| {
            Arc::new(Exchange {
                outlet: outlet.clone(),
                shared: shared.clone(),
                runtime: runtime.clone(),
                _closing: closing.clone(),
            })
        };
        Ok(Self {
            main: exchange(&shared.outlets[0]),
            quarantine: exchange(&shared.outlets[1]),
            closing,
            task: Mutex::new(Some(task)),
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
        let (shared, outlet) = (self.quarantine.shared.clone(), self.quarantine.outlet.clone());
        Ok(Box::new(backlog::open(shared, outlet, part, feeds).await?))
    }

    /// Takes nothing more, waits for the confirms of what is under way, and gives up the rest when the deadline passes:
    /// its futures then say `Unknown`.
    pub async fn close(&self, deadline: Duration) {
        let _ = self.closing.send(Some(deadline));
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
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
        self.shared.down()
    }

    fn probe(&self, feeds: Vec<Feed>) -> BoxFuture<'static, Vec<Finding>> {
        let probing = self
            .runtime
            .spawn(probe::probe(self.shared.clone(), self.outlet.clone(), feeds));
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
        let State::Up { frame_max } = **self.shared.state.load() else {
            return Err(PublishError::Down(self.shared.down().unwrap_or_default()));
        };
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
        let properties = message::properties(&event, frame_max).map_err(PublishError::Message)?;
        let queues = self.outlet.queues.load();
        let Some(queues) = &*queues else {
            return Err(PublishError::Down("not connected".into()));
        };
        let (reply, outcome) = oneshot::channel();
        let queue = channel_of(&event, queues.len());
        let job = Job {
            message_id: message::message_id(&event).to_string(),
            routing_key: short,
            properties,
            event,
            reply,
        };
        queues[queue].try_send(job).map_err(|error| {
            PublishError::Down(match error {
                TrySendError::Full(_) => "the queue to the broker is full".into(),
                TrySendError::Closed(_) => "the connection is lost".into(),
            })
        })?;
        Ok((routing_key, outcome))
    }
}

/// A key always takes the same channel; what has none is spread by its id.
fn channel_of(event: &Event, channels: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    event.key().unwrap_or(event.id()).hash(&mut hasher);
    (hasher.finish() % channels.max(1) as u64) as usize
}

impl Shared {
    fn set(&self, state: State) {
        self.state.store(Arc::new(state));
    }

    fn down(&self) -> Option<String> {
        match &**self.state.load() {
            State::Down(reason) => Some(reason.clone()),
            State::Blocked(reason) => Some(format!("blocked by the broker: {reason}")),
            State::Up { .. } => None,
        }
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
            .field("name", &self.main.shared.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("name", &self.outlet.name)
            .field("target", &self.outlet.target)
            .finish_non_exhaustive()
    }
}
