//! The way in: publish, and spool what was not confirmed in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::destination::journal::{Journal, Row, Write};
use crate::destination::{Destination, JournalTable, Position, PublishError, Receipt};
use crate::event::Event;

use super::forwarder::{Forwarder, Keep};
use super::index::{Index, Lane};
use super::{Queue, Spool, Stats, Tuning};

/// How long a replay waits for a destination that is down, and how often it looks meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

pub(super) type Publish = BoxFuture<'static, Result<Receipt, PublishError>>;

/// An event is durable, and this is how it came to be. Made in this room only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    receipt: Receipt,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The broker confirmed it.
    Published,
    /// The journal is its destination.
    Journaled,
    /// The journal took it in the broker's stead, and forwards it.
    Spooled,
    /// The broker will never take it: it lies in the journal's quarantine.
    Quarantined,
}

impl Durable {
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }
    pub fn how(&self) -> How {
        self.how
    }

    pub(super) fn published(receipt: Receipt) -> Self {
        Self {
            receipt,
            how: How::Published,
        }
    }
    pub(super) fn spooled(destination: &Arc<str>, sequence: i64) -> Self {
        Self::in_journal(destination, JournalTable::Spool, sequence, How::Spooled)
    }
    fn in_journal(destination: &Arc<str>, table: JournalTable, sequence: i64, how: How) -> Self {
        Self {
            receipt: Receipt::new(destination.clone(), Position::Journal { table, sequence }),
            how,
        }
    }
}

/// A destination as the pipeline sees it. Clones are the same outlet; when the last is dropped without
/// [`Outlet::close`], forwarding stops where it is, as in a crash.
#[derive(Clone, Debug)]
pub struct Outlet(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// The journal itself: there is nothing in front of it.
    Journal(Arc<dyn Destination>),
    Broker(Arc<Broker>),
}

#[derive(Debug)]
struct Broker {
    destination: Arc<dyn Destination>,
    tuning: Tuning,
    queue: Arc<Queue>,
    spool: Option<Front>,
    closing: AtomicBool,
    active: AtomicUsize,
    quiet: Notify,
}

/// The spool in front of a broker.
#[derive(Debug)]
struct Front {
    journal: Arc<Journal>,
    keeps: mpsc::UnboundedSender<Keep>,
    stop: watch::Sender<Option<Instant>>,
    forwarder: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    abort: tokio::task::AbortHandle,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

impl Outlet {
    /// A journal's table. Needs no spool, and is not tried twice.
    pub fn journal(destination: Arc<dyn Destination>) -> Self {
        Self(Kind::Journal(destination))
    }

    /// A broker, with the journal in front of it if there is one. Starts forwarding what waits: call inside a runtime.
    /// One outlet a name at a time; close one before the next is made.
    pub fn broker(destination: Arc<dyn Destination>, spool: Option<&Arc<Spool>>, tuning: Tuning) -> Self {
        let name = destination.name().clone();
        let queue = match spool {
            Some(spool) => spool.queue(&name),
            None => Arc::new(Queue::new(name, tuning.backoff)),
        };
        queue.with(|index| index.restart(tuning.backoff));
        queue.attached.store(true, Ordering::Relaxed);
        let front = spool.map(|spool| {
            let (keeps, kept) = mpsc::unbounded_channel();
            let (stop, stopped) = watch::channel(None);
            let forwarder = Forwarder::new(spool, queue.clone(), destination.clone(), tuning);
            let task = tokio::spawn(forwarder.run(kept, stopped));
            Front {
                journal: spool.journal.clone(),
                keeps,
                stop,
                abort: task.abort_handle(),
                forwarder: tokio::sync::Mutex::new(Some(task)),
            }
        });
        Self(Kind::Broker(Arc::new(Broker {
            destination,
            tuning,
            queue,
            spool: front,
            closing: AtomicBool::new(false),
            active: AtomicUsize::new(0),
            quiet: Notify::new(),
        })))
    }

    pub fn name(&self) -> &Arc<str> {
        match &self.0 {
            Kind::Journal(destination) => destination.name(),
            Kind::Broker(broker) => broker.destination.name(),
        }
    }

    pub fn is_journal(&self) -> bool {
        matches!(self.0, Kind::Journal(_))
    }

    /// How the broker and what waits for it are; `None` for the journal, which says so itself.
    pub fn stats(&self) -> Option<Stats> {
        match &self.0 {
            Kind::Journal(_) => None,
            Kind::Broker(broker) => {
                let mut stats = broker.queue.stats();
                // The client may know before anything was published.
                stats.up &= broker.destination.down().is_none();
                Some(stats)
            }
        }
    }

    /// Makes the event durable before `deadline`, or says why it is not (the sender is told 503 then: that the event
    /// may have been stored all the same is what "at least once" means).
    pub async fn make_durable(&self, event: Arc<Event>, deadline: Instant) -> Result<Durable, PublishError> {
        match &self.0 {
            Kind::Journal(destination) => match timeout_at(deadline, destination.publish(event)).await {
                Ok(receipt) => Ok(Durable {
                    receipt: receipt?,
                    how: How::Journaled,
                }),
                Err(_) => Err(too_slow()),
            },
            Kind::Broker(broker) => {
                let _active = Active::enter(broker);
                broker.make_durable(event, deadline).await
            }
        }
    }

    /// For a replay, which is in no hurry: the destination's own confirm, or an error. The spool never takes it, for it has
    /// room for what was just acknowledged, and the original lies safe. A destination that is down is waited for a moment.
    pub async fn confirm(&self, event: Arc<Event>) -> Result<Durable, PublishError> {
        match &self.0 {
            Kind::Journal(destination) => Ok(Durable {
                receipt: destination.publish(event).await?,
                how: How::Journaled,
            }),
            Kind::Broker(broker) => {
                let _active = Active::enter(broker);
                let until = Instant::now() + PATIENCE;
                loop {
                    if broker.closing.load(Ordering::Acquire) {
                        return Err(gone());
                    }
                    match broker.destination.publish(event.clone()).await {
                        Ok(receipt) => return Ok(Durable::published(receipt)),
                        // Nothing was stored, so that trying again makes no second copy.
                        Err(PublishError::Down(_)) if Instant::now() < until => sleep(LOOK).await,
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Shutting down: no new event goes to the broker (the spool takes it), requests under way end, the forwarder
    /// finishes what it sent. What is not confirmed by `deadline` stays in the spool.
    pub async fn close(&self, deadline: Instant) {
        if let Kind::Broker(broker) = &self.0 {
            broker.close(deadline).await;
        }
    }
}

impl Broker {
    async fn make_durable(&self, event: Arc<Event>, deadline: Instant) -> Result<Durable, PublishError> {
        let closing = self.closing.load(Ordering::Acquire);
        if closing || !self.queue.is_calm() {
            let lane = self.lane(&event);
            let now = Instant::now().into_std();
            if closing || !self.queue.with(|index| index.allows(lane, now)) {
                return self.spool(&event, lane, None, deadline, known_down()).await;
            }
        }
        let mut publish = self.destination.publish(event.clone());
        let patience = match self.spool {
            Some(_) => deadline.checked_sub(self.tuning.commit_room).unwrap_or(deadline),
            None => deadline,
        };
        match timeout_at(patience, &mut publish).await {
            Ok(Ok(receipt)) => {
                self.answered(&event);
                Ok(Durable::published(receipt))
            }
            Ok(Err(PublishError::Message(detail))) => {
                self.answered(&event);
                self.quarantine(&event, detail, deadline).await
            }
            Ok(Err(error)) => {
                let lane = self.lane(&event);
                let now = Instant::now().into_std();
                let news = match &error {
                    PublishError::Down(_) => self.queue.with(|index| index.failed(now)),
                    PublishError::LaneDown(_) => self.queue.with(|index| index.route_failed(lane.route, now)),
                    _ => false,
                };
                if news {
                    tracing::warn!(destination = %self.queue.name, route = %self.destination.route(&event), %error, "cannot publish");
                }
                self.spool(&event, lane, None, deadline, error).await
            }
            Err(_) => {
                let unknown = PublishError::Unknown("the broker did not confirm in time".into());
                if self.queue.strikes.fetch_add(1, Ordering::Relaxed) + 1 >= self.tuning.strikes
                    && self.queue.with(|index| index.failed(Instant::now().into_std()))
                {
                    tracing::warn!(destination = %self.queue.name, error = %unknown, "cannot publish");
                }
                self.spool(&event, self.lane(&event), Some(publish), deadline, unknown)
                    .await
            }
        }
    }

    fn lane(&self, event: &Event) -> Lane {
        self.queue.lane(
            &self.destination.route(event),
            &self.destination.lane(event),
            event.key().is_some(),
        )
    }

    /// The broker answered, be it with a refusal of this message.
    fn answered(&self, event: &Event) {
        if self.queue.strikes.load(Ordering::Relaxed) != 0 {
            self.queue.strikes.store(0, Ordering::Relaxed);
        }
        if !self.queue.is_calm() {
            let route = self.lane(event).route;
            self.queue.with(|index| index.succeeded(route));
        }
    }

    /// Commits the event to the spool. A `publish` that goes on is kept, for its late confirm settles the row.
    async fn spool(
        &self,
        event: &Event,
        lane: Lane,
        publish: Option<Publish>,
        deadline: Instant,
        why: PublishError,
    ) -> Result<Durable, PublishError> {
        let Some(front) = &self.spool else {
            return Err(why);
        };
        // Nobody is left to hear a late confirm: then the copy may be sent at once.
        let publish = publish.filter(|_| !front.keeps.is_closed());
        let row = Row::of(event);
        let bytes = row.size();
        let unknown = publish.is_some();
        let write = Write::Spool {
            row,
            destination: self.destination.name().as_ref().into(),
            route: self.destination.route(event).into(),
            lane: self.destination.lane(event).into(),
            keyed: lane.keyed,
            unknown,
        };
        let mut reservation = Reservation::make(&self.queue, lane);
        let (done, committed) = oneshot::channel();
        // Runs on the writer's thread, in the order of the rows, whether or not somebody still waits.
        let queued = front.journal.submit(write, move |result| {
            if let Ok(sequence) = result {
                reservation.fulfil(sequence, bytes, unknown);
            }
            drop(reservation);
            let _ = done.send(result);
        });
        let answer = match publish {
            None => committed,
            Some(publish) => {
                let (answer, answered) = oneshot::channel();
                let keep = Keep {
                    publish,
                    committed,
                    answer,
                    deadline,
                    route: lane.route,
                };
                let _ = front.keeps.send(keep);
                return match timeout_at(deadline, async {
                    queued.await?;
                    answered.await.unwrap_or_else(|_| Err(gone()))
                })
                .await
                {
                    Ok(result) => result,
                    Err(_) => Err(too_slow()),
                };
            }
        };
        let commit = async {
            queued.await?;
            answer.await.unwrap_or_else(|_| Err(gone()))
        };
        match timeout_at(deadline, commit).await {
            Ok(sequence) => Ok(Durable::spooled(self.destination.name(), sequence?)),
            Err(_) => Err(too_slow()),
        }
    }

    async fn quarantine(&self, event: &Event, detail: String, deadline: Instant) -> Result<Durable, PublishError> {
        let Some(front) = &self.spool else {
            return Err(PublishError::Message(detail));
        };
        tracing::warn!(destination = %self.queue.name, id = event.id(), %detail, "the broker refuses a message; it goes to the journal's quarantine");
        let commit = front.journal.write(Write::Quarantine {
            row: Row::of(event),
            destination: Some(self.destination.name().as_ref().into()),
            reason: REFUSED.into(),
            detail: Some(detail.into()),
            violations: None,
        });
        match timeout_at(deadline, commit).await {
            Ok(sequence) => {
                let sequence = sequence?;
                self.queue.refused.fetch_add(1, Ordering::Relaxed);
                let name: Arc<str> = "journal.quarantine".into();
                Ok(Durable::in_journal(
                    &name,
                    JournalTable::Quarantine,
                    sequence,
                    How::Quarantined,
                ))
            }
            Err(_) => Err(too_slow()),
        }
    }

    async fn close(&self, deadline: Instant) {
        self.closing.store(true, Ordering::Release);
        let _ = timeout_at(deadline, async {
            loop {
                let quiet = self.quiet.notified();
                if self.active.load(Ordering::Acquire) == 0 {
                    return;
                }
                quiet.await;
            }
        })
        .await;
        if let Some(front) = &self.spool {
            let _ = front.stop.send(Some(deadline));
            if let Some(task) = front.forwarder.lock().await.take() {
                let _ = task.await;
            }
        }
        self.queue.attached.store(false, Ordering::Relaxed);
    }
}

/// Why the journal holds an event in quarantine that its broker would not take.
pub(super) const REFUSED: &str = "refused-by-destination";

fn known_down() -> PublishError {
    PublishError::Down("known to be down; it is tried again shortly".into())
}

fn too_slow() -> PublishError {
    PublishError::Unknown("the journal did not commit in time".into())
}

fn gone() -> PublishError {
    PublishError::Down("the gateway is shutting down".into())
}

/// Keeps a key's place while its event is being committed; gives it up when that does not happen, for whatever reason.
struct Reservation {
    queue: Arc<Queue>,
    lane: Lane,
    open: bool,
}

impl Reservation {
    fn make(queue: &Arc<Queue>, lane: Lane) -> Self {
        queue.with(|index| index.reserve(lane));
        Self {
            queue: queue.clone(),
            lane,
            open: true,
        }
    }

    fn fulfil(&mut self, sequence: i64, bytes: u64, out: bool) {
        self.open = false;
        let (lane, now) = (self.lane, crate::clock::now().as_millisecond());
        self.queue
            .with(|index: &mut Index| index.commit(lane, sequence, bytes, now, out));
        self.queue.spooled.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.open {
            self.queue.with(|index| index.abandon(self.lane));
        }
    }
}

/// Counts requests under way, also those that are cancelled.
struct Active<'b>(&'b Broker);

impl<'b> Active<'b> {
    fn enter(broker: &'b Broker) -> Self {
        broker.active.fetch_add(1, Ordering::AcqRel);
        Self(broker)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}
