//! One channel: a task that owns it, publishes in the order of its queue, and settles every publish once.
//!
//! Only this task touches the channel: lapin numbers a publish before it queues its frames, and two publishers could
//! number one way and send the other.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, poll_fn, ready};
use futures_util::stream::{FuturesUnordered, Stream};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ErrorKind, ExchangeKind};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::ledger::{Confirm, Ledger, Returned, Sequence, Settled};
use super::settings::{Declare, Target};
use super::{Backoff, FIRST_PAUSE, LONGEST_PAUSE, Outlet};
use crate::destination::PublishError;
use crate::event::Event;

/// How long a confirm may take before nobody waits for it any more.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// How long opening a channel may take, declarations included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Publishes on a channel without a confirm; more wait in its queue, of the same length.
pub(super) const MAX_OPEN: usize = 2048;

/// A publish on its way to the channel.
pub(super) struct Job {
    pub(super) event: Arc<Event>,
    pub(super) message_id: String,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) reply: oneshot::Sender<Result<(), PublishError>>,
}

impl Job {
    fn fail(self, error: PublishError) {
        // Whoever stopped waiting needs no answer.
        let _ = self.reply.send(Err(error));
    }
}

/// Why a channel is served no longer.
enum End {
    /// No more jobs, and every publish is settled.
    Finished,
    /// The connection is gone, or given up.
    Gone,
    /// Only the channel.
    Broken(String),
    /// The exchange: missing or not permitted.
    LaneDown(String),
}

/// Serves one channel after another, until the connection ends or the queue is closed. Says by `ready` once that it can
/// answer for what is queued: a channel is open, or the exchange is known to be missing.
pub(super) async fn run(
    connection: Arc<Connection>,
    outlet: Arc<Outlet>,
    mut jobs: mpsc::Receiver<Job>,
    ready: mpsc::Sender<()>,
    mut gone: watch::Receiver<bool>,
) {
    let mut ready = Some(ready);
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let opened = tokio::select! {
            opened = tokio::time::timeout(OPEN_TIMEOUT, open(&connection, &outlet.target)) => opened,
            _ = gone.changed() => break,
        };
        let end = match opened {
            Ok(Ok(channel)) => {
                outlet.set_up();
                if let Some(ready) = ready.take() {
                    let _ = ready.send(()).await;
                }
                let mut serving = Serving::new(channel, outlet.clone(), connection.clone());
                let end = serving.serve(&mut jobs, &mut gone).await;
                if serving.confirmed_any {
                    backoff.reset();
                }
                end
            }
            Ok(Err(error)) if is_lane(&error) => End::LaneDown(text(&error)),
            failed => {
                let reason = match failed {
                    Ok(Err(error)) => text(&error),
                    _ => "opening a channel takes too long".into(),
                };
                // Opening it again may take as long: nobody is to wait for that.
                while let Ok(job) = jobs.try_recv() {
                    job.fail(PublishError::Down(reason.clone()));
                }
                End::Broken(reason)
            }
        };
        match end {
            End::Finished | End::Gone => break,
            End::Broken(reason) if !connection.status().connected() => {
                tracing::debug!(
                    destination = &*outlet.name,
                    reason,
                    "rabbitmq: channel ended with its connection"
                );
                break;
            }
            End::Broken(reason) => {
                tracing::warn!(destination = &*outlet.name, reason, "rabbitmq: channel is opened anew");
            }
            End::LaneDown(reason) => {
                outlet.set_down(reason);
                if let Some(ready) = ready.take() {
                    let _ = ready.send(()).await;
                }
            }
        }
        // What was queued meanwhile was not sent; what comes next is refused, as long as the lane is down.
        let wait = tokio::time::sleep(backoff.next());
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => break,
                _ = gone.changed() => { refuse(&outlet, &mut jobs); return }
                job = jobs.recv(), if outlet.down().is_some() => match job {
                    Some(job) => {
                        // Another line may have found the exchange since.
                        let reason = outlet.down().unwrap_or_else(|| "its channel is not open again yet".into());
                        job.fail(PublishError::LaneDown(reason));
                    }
                    None => return,
                },
            }
        }
    }
    refuse(&outlet, &mut jobs);
}

/// Answers what was never sent.
fn refuse(outlet: &Outlet, jobs: &mut mpsc::Receiver<Job>) {
    jobs.close();
    while let Ok(job) = jobs.try_recv() {
        job.fail(match outlet.down() {
            Some(reason) => PublishError::LaneDown(reason),
            None => PublishError::Down("the connection is lost".into()),
        });
    }
}

/// A channel with confirms on, after its exchange was declared or found.
pub(super) async fn open(connection: &Connection, target: &Target) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    // Without this, everything would look confirmed.
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let exchange = short(&target.exchange);
    // The default exchange is always there and cannot be asked for.
    if !target.exchange.is_empty() {
        let kind = match target.declare {
            Declare::FanoutWithQueue => ExchangeKind::Fanout,
            Declare::Topic | Declare::No => ExchangeKind::Topic,
        };
        let options = ExchangeDeclareOptions {
            durable: true,
            passive: target.declare == Declare::No,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(exchange.clone(), kind, options, FieldTable::default())
            .await?;
    }
    if target.declare == Declare::FanoutWithQueue {
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(exchange.clone(), durable, FieldTable::default())
            .await?;
        channel
            .queue_bind(
                exchange.clone(),
                exchange,
                ShortString::default(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(channel)
}

type Publish = BoxFuture<'static, (Sequence, lapin::Result<Confirmation>)>;

/// A publish that waits for its outcome.
struct Open {
    reply: oneshot::Sender<Result<(), PublishError>>,
    deadline: Instant,
    length: usize,
}

struct Serving {
    channel: Arc<Channel>,
    connection: Arc<Connection>,
    outlet: Arc<Outlet>,
    exchange: ShortString,
    ledger: Ledger,
    open: BTreeMap<Sequence, Open>,
    publishes: FuturesUnordered<Publish>,
    woken: Arc<Woken>,
    confirmed_any: bool,
}

impl Serving {
    fn new(channel: Channel, outlet: Arc<Outlet>, connection: Arc<Connection>) -> Self {
        Self {
            channel: Arc::new(channel),
            connection,
            exchange: short(&outlet.target.exchange),
            outlet,
            ledger: Ledger::default(),
            open: BTreeMap::new(),
            publishes: FuturesUnordered::new(),
            woken: Arc::default(),
            confirmed_any: false,
        }
    }

    async fn serve(&mut self, jobs: &mut mpsc::Receiver<Job>, gone: &mut watch::Receiver<bool>) -> End {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut closing = false;
        loop {
            if closing && self.open.is_empty() {
                return End::Finished;
            }
            tokio::select! {
                biased;
                batch = completed(&mut self.publishes, &self.woken), if !self.publishes.is_empty() => {
                    if let Some(error) = self.settle(batch) {
                        return self.broken(&error);
                    }
                }
                _ = gone.changed() => {
                    self.give_up_all("the connection is lost");
                    return End::Gone;
                }
                job = jobs.recv(), if !closing && self.open.len() < MAX_OPEN => match job {
                    Some(job) => if let Some(end) = self.start(job) {
                        return end;
                    },
                    None => closing = true,
                },
                _ = tick.tick() => if let Some(end) = self.expire() {
                    return end;
                },
            }
        }
    }

    /// Queues the frames at once, so that the order of the queue is the order on the wire.
    fn start(&mut self, job: Job) -> Option<End> {
        if !self.channel.status().connected() {
            job.fail(PublishError::Down("the channel is closed".into()));
            // Else those that are open know why.
            return self
                .open
                .is_empty()
                .then(|| End::Broken("the channel is closed".into()));
        }
        let sequence = self.ledger.sent(job.message_id);
        let (channel, exchange, event) = (self.channel.clone(), self.exchange.clone(), job.event);
        let length = event.data().len();
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let mut publish: Publish = Box::pin(async move {
            let sent = channel
                .basic_publish(exchange, job.routing_key, options, event.data(), job.properties)
                .await;
            let confirmation = match sent {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            (sequence, confirmation)
        });
        let deadline = Instant::now() + CONFIRM_TIMEOUT;
        let reply = job.reply;
        self.open.insert(
            sequence,
            Open {
                reply,
                deadline,
                length,
            },
        );
        // The first poll queues the frames. On a busy machine it may see the confirm, too.
        self.publishes.push(match (&mut publish).now_or_never() {
            Some(completed) => Box::pin(ready(completed)),
            None => publish,
        });
        None
    }

    /// Settles what the confirms decide. An error is the channel's end.
    fn settle(&mut self, batch: Vec<(Sequence, lapin::Result<Confirmation>)>) -> Option<lapin::Error> {
        let mut failed = None;
        let mut confirms = Vec::with_capacity(batch.len());
        for (sequence, confirmation) in batch {
            let (acknowledged, returned) = match confirmation {
                Ok(Confirmation::Ack(returned)) => (true, returned),
                Ok(Confirmation::Nack(returned)) => (false, returned),
                Ok(Confirmation::NotRequested) => (false, None),
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            let returned = returned.map(|returned| Returned {
                message_id: returned
                    .properties
                    .message_id()
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                reason: format!("{} {}", returned.reply_code, returned.reply_text),
            });
            confirms.push((sequence, Confirm { acknowledged, returned }));
        }
        for (sequence, settled) in self.ledger.confirmed(confirms) {
            let Some(open) = self.open.remove(&sequence) else {
                continue;
            };
            let exchange = &self.outlet.target.exchange;
            let _ = open.reply.send(match settled {
                Settled::Stored => {
                    self.confirmed_any = true;
                    Ok(())
                }
                Settled::Unroutable(reason) => Err(PublishError::LaneDown(format!(
                    "exchange `{exchange}` has no queue for it: {reason}"
                ))),
                Settled::Refused => Err(PublishError::LaneDown(format!(
                    "a queue of exchange `{exchange}` refused it"
                ))),
            });
        }
        failed
    }

    /// The channel ended: says of each open publish what that proves.
    ///
    /// The broker handles a channel's publishes in order and discards what follows a fault. So the newest was surely not
    /// stored, while of an older one the confirm may only be lost.
    fn broken(&mut self, error: &lapin::Error) -> End {
        let reason = text(error);
        let too_large = too_large(error);
        if let Some(limit) = too_large {
            self.outlet.learn_limit(limit);
        }
        let lane = is_lane(error);
        let newest = self.open.last_key_value().map(|(newest, _)| *newest);
        for (sequence, open) in std::mem::take(&mut self.open) {
            let _ = open.reply.send(Err(match too_large {
                Some(limit) if open.length > limit => {
                    PublishError::Message(format!("its {} bytes are more than the broker's {limit}", open.length))
                }
                _ if lane && Some(sequence) == newest => PublishError::LaneDown(reason.clone()),
                _ => PublishError::Unknown(reason.clone()),
            }));
        }
        if lane {
            End::LaneDown(reason)
        } else {
            End::Broken(reason)
        }
    }

    /// Gives up what took too long. Its channel can then not be trusted to say anything, unless the broker said that it
    /// reads nothing for now.
    fn expire(&mut self) -> Option<End> {
        let now = Instant::now();
        let expired: Vec<Sequence> = self
            .open
            .iter()
            .take_while(|(_, open)| open.deadline <= now)
            .map(|(sequence, _)| *sequence)
            .collect();
        if expired.is_empty() {
            return None;
        }
        let reason = "no confirm in time";
        if !self.connection.status().blocked() {
            self.give_up_all(reason);
            return Some(End::Broken(reason.into()));
        }
        for sequence in expired {
            self.ledger.give_up(sequence);
            if let Some(open) = self.open.remove(&sequence) {
                let _ = open.reply.send(Err(PublishError::Unknown(reason.into())));
            }
        }
        None
    }

    fn give_up_all(&mut self, reason: &str) {
        for (_, open) in std::mem::take(&mut self.open) {
            let _ = open.reply.send(Err(PublishError::Unknown(reason.into())));
        }
    }
}

/// Every publish that is completed by now, at least one: none is left out that was completed before another that is in.
///
/// `FuturesUnordered` may pause with completed futures still queued; it then wakes its task, which `Woken` notices.
async fn completed(
    publishes: &mut FuturesUnordered<Publish>,
    woken: &Arc<Woken>,
) -> Vec<(Sequence, lapin::Result<Confirmation>)> {
    let waker = Waker::from(woken.clone());
    poll_fn(|task| {
        woken.task.register(task.waker());
        let mut batch = Vec::new();
        loop {
            woken.flag.store(false, Ordering::Release);
            match Pin::new(&mut *publishes).poll_next(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(completed)) => batch.push(completed),
                Poll::Ready(None) => break,
                Poll::Pending if woken.flag.load(Ordering::Acquire) => {}
                Poll::Pending => break,
            }
        }
        if batch.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(batch)
        }
    })
    .await
}

/// Passes a wake on to the task, and remembers it.
#[derive(Default)]
struct Woken {
    flag: AtomicBool,
    task: futures_util::task::AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Exchange missing (404), not permitted (403), or declared otherwise (406 while opening).
fn is_lane(error: &lapin::Error) -> bool {
    error.is_amqp_soft_error() && too_large(error).is_none()
}

/// The broker's limit, when that is what it complains about: `message size 200 is larger than configured max size 100`.
fn too_large(error: &lapin::Error) -> Option<usize> {
    let ErrorKind::ProtocolError(error) = error.kind() else {
        return None;
    };
    let text = error.get_message().as_str();
    if !text.contains("message size") {
        return None;
    }
    text.rsplit(|c: char| !c.is_ascii_digit())
        .find(|word| !word.is_empty())?
        .parse()
        .ok()
}

fn text(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        _ => error.to_string(),
    }
}

/// Checked when the settings were: at most 255 bytes.
fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}
