//! Makes events durable in Kafka: a receipt is a delivery report of `acks=all` from an idempotent producer.
//!
//! One producer a configured destination, shared by its main topic and its quarantine topic. librdkafka runs threads of
//! its own and publishing never blocks: what its bounded queue does not take is refused at once. A cluster that is known
//! to be down takes nothing, so that an outage is not published twice; a task looks until it is back. A fatal error
//! replaces the producer. Once librdkafka has taken a message, only a broker's refusal proves that it was not stored.

mod backlog;
mod classify;
mod probe;
mod producer;
mod record;
mod settings;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::classify::Verdict;
use self::producer::{Health, Producer, Report};
pub use self::settings::{Mode, Quarantine, Settings};
use super::backlog::{Backlog, Cursor, OpenError, Part};
use super::{Destination, Feed, Finding, Position, PublishError, Receipt};
use crate::destination::template::Template;
use crate::event::Event;

/// How long one look at the cluster may take.
const LOOK: Duration = Duration::from_secs(2);
/// Between looks, and between producers that fail one after the other.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// A connection to one cluster, for the main topic and the quarantine topic of a destination.
#[derive(Clone)]
pub struct Kafka {
    client: Arc<Client>,
    main: Arc<Topic>,
    quarantine: Arc<Topic>,
}

struct Client {
    name: Arc<str>,
    config: ClientConfig,
    declare: bool,
    mode: Mode,
    /// `None` once closed.
    producer: ArcSwapOption<Producer>,
    /// Sends one message a batch: shows whether a refused batch was a message's own fault. Started when needed.
    alone: ArcSwapOption<Producer>,
    health: Arc<Health>,
    closed: AtomicBool,
    /// A topic to ask for when looking whether the cluster is back: cheaper than asking for all of them.
    some_topic: ArcSwapOption<String>,
    runtime: Handle,
}

/// One of the two destinations.
struct Topic {
    name: Arc<str>,
    template: Template,
    constant: Option<Arc<str>>,
    client: Arc<Client>,
}

impl Kafka {
    /// Starts the producer; it connects in the background. `runtime` outlives every request: the task that watches the
    /// cluster runs there. Errors are of configuration, all at once.
    pub fn open(
        name: &str,
        settings: &Settings,
        quarantine: &Quarantine,
        runtime: Handle,
    ) -> Result<Self, Vec<String>> {
        let plan = settings.plan(quarantine)?;
        let name: Arc<str> = name.into();
        let health = Arc::new(Health::default());
        let producer = Producer::start(&name, &plan.config, &health).map_err(|error| vec![refused(&error)])?;
        let client = Arc::new(Client {
            name: name.clone(),
            config: plan.config,
            declare: plan.declare,
            mode: plan.mode,
            producer: ArcSwapOption::from_pointee(producer),
            alone: ArcSwapOption::empty(),
            health: health.clone(),
            closed: AtomicBool::new(false),
            some_topic: ArcSwapOption::empty(),
            runtime: runtime.clone(),
        });
        let topic = |name: Arc<str>, template: Template| {
            let constant = template.constant().map(Arc::from);
            Arc::new(Topic {
                name,
                template,
                constant,
                client: client.clone(),
            })
        };
        let main = topic(name.clone(), plan.topic);
        let quarantine = topic(format!("{name}.quarantine").into(), plan.quarantine);
        runtime.spawn(watch(Arc::downgrade(&client), health));
        if client.declare {
            for topic in [&main, &quarantine]
                .into_iter()
                .filter_map(|topic| topic.constant.clone())
            {
                runtime.spawn(declare(client.clone(), topic));
            }
        }
        Ok(Self {
            client,
            main,
            quarantine,
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

    /// What lies in the quarantine topics, as far as they reach now; or what was left of that.
    pub async fn backlog(&self, part: Part, cursor: Cursor, feeds: Vec<Feed>) -> Result<Box<dyn Backlog>, OpenError> {
        let opened = backlog::open(self.client.clone(), self.quarantine.clone(), part, cursor, feeds).await?;
        Ok(Box::new(opened))
    }

    /// Takes nothing more, waits for the reports of what is under way, and gives up the rest when the deadline passes:
    /// its futures then say `Unknown`.
    pub async fn close(&self, deadline: Duration) {
        self.client.closed.store(true, Ordering::Release);
        self.client.health.set_down("closed".into());
        let producers = [self.client.producer.swap(None), self.client.alone.swap(None)];
        // Flushing and dropping a producer block.
        let _ = tokio::task::spawn_blocking(move || {
            for producer in producers.into_iter().flatten() {
                producer.finish(deadline);
            }
        })
        .await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Ends the task that watches.
        self.health.set_down("closed".into());
        let producers = [self.producer.swap(None), self.alone.swap(None)];
        // Dropping a producer joins its thread: not on an async worker.
        self.runtime.spawn_blocking(move || drop(producers));
    }
}

impl Destination for Topic {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn publish(&self, event: Arc<Event>) -> BoxFuture<'static, Result<Receipt, PublishError>> {
        let topic = self.topic(&event);
        let client = self.client.clone();
        let destination = self.name.clone();
        // Taken by librdkafka before the future is polled: the order of calls is the order of a key.
        let taken = client.send(&topic, &event);
        Box::pin(async move {
            let (partition, offset) = client.settle(taken, &topic, &event).await?;
            let position = Position::Kafka {
                topic,
                partition,
                offset,
            };
            Ok(Receipt::new(destination, position))
        })
    }

    fn lane(&self, event: &Event) -> String {
        let topic = self.topic(event);
        match event.key() {
            // A topic holds no slash.
            Some(key) => format!("{topic}/{key}"),
            None => topic.to_string(),
        }
    }

    fn down(&self) -> Option<String> {
        self.client.health.down().map(|reason| reason.to_string())
    }

    fn probe(&self, feeds: Vec<Feed>) -> BoxFuture<'static, Vec<Finding>> {
        Box::pin(probe::probe(
            self.client.clone(),
            self.name.clone(),
            self.template.clone(),
            feeds,
        ))
    }
}

impl Topic {
    fn topic(&self, event: &Event) -> Arc<str> {
        match &self.constant {
            Some(constant) => constant.clone(),
            None => match self.template.render(event) {
                Cow::Borrowed(topic) => topic.into(),
                Cow::Owned(topic) => topic.into(),
            },
        }
    }
}

type Taken = Result<oneshot::Receiver<Report>, PublishError>;

impl Client {
    fn send(&self, topic: &Arc<str>, event: &Event) -> Taken {
        if let Some(reason) = self.health.down() {
            return Err(PublishError::Down(reason.to_string()));
        }
        let producer = self.producer.load();
        let Some(producer) = &*producer else {
            return Err(PublishError::Down("closed".into()));
        };
        if self.some_topic.load().is_none() {
            self.some_topic.store(Some(Arc::new(topic.to_string())));
        }
        self.hand_over(producer, topic, event)
    }

    fn hand_over(&self, producer: &Producer, topic: &str, event: &Event) -> Taken {
        producer
            .send(topic, event.key(), record::record(event, self.mode))
            .map_err(|error| {
                // librdkafka repeats a fatal error to every caller; its own event may come later.
                if error.rdkafka_error_code() == Some(Code::Fatal) {
                    self.health.set_fatal(fatal_reason(producer));
                }
                classify::not_taken(&error, topic)
            })
    }

    async fn settle(
        self: &Arc<Self>,
        taken: Taken,
        topic: &Arc<str>,
        event: &Event,
    ) -> Result<(i32, i64), PublishError> {
        let outcome = self.report(taken, topic, event).await;
        match outcome {
            Err(PublishError::LaneDown(_)) if self.declare => {
                // Another event may have made it since this one was refused.
                if !self.is_there(topic).await {
                    probe::create(self, topic).await?;
                }
                let taken = self.send(topic, event);
                self.report(taken, topic, event).await
            }
            outcome => outcome,
        }
    }

    async fn report(
        self: &Arc<Self>,
        taken: Taken,
        topic: &Arc<str>,
        event: &Event,
    ) -> Result<(i32, i64), PublishError> {
        let code = match taken?.await {
            Ok(Ok(position)) => return Ok(position),
            Ok(Err(code)) => code,
            Err(_) => return Err(lost()),
        };
        match classify::reported(code, topic) {
            Verdict::Failed(error) => Err(error),
            Verdict::AskAlone(code) => {
                tracing::warn!(
                    destination = &*self.name,
                    topic = &**topic,
                    %code,
                    "a batch was refused; its messages are sent singly (set property batch.size below the topic's max.message.bytes)"
                );
                self.publish_alone(topic, event).await
            }
        }
    }

    /// Once more, in a batch of its own: now the broker's answer is about this message.
    async fn publish_alone(self: &Arc<Self>, topic: &Arc<str>, event: &Event) -> Result<(i32, i64), PublishError> {
        let producer = self.alone().await?;
        match self.hand_over(&producer, topic, event)?.await {
            Ok(Ok(position)) => Ok(position),
            Ok(Err(code)) => Err(classify::reported_alone(code, topic)),
            Err(_) => Err(lost()),
        }
    }

    async fn alone(self: &Arc<Self>) -> Result<Arc<Producer>, PublishError> {
        if let Some(producer) = self.alone.load_full() {
            return Ok(producer);
        }
        let client = self.clone();
        let started = self.blocking(move || {
            let mut config = client.config.clone();
            config.set("batch.num.messages", "1").set("linger.ms", "0");
            Producer::start_aside(&client.name, &config).map(Arc::new)
        });
        let producer = started
            .await?
            .map_err(|error| PublishError::Down(format!("the producer does not start: {}", refused(&error))))?;
        if !self.closed.load(Ordering::Acquire) {
            self.alone.store(Some(producer.clone()));
        }
        Ok(producer)
    }

    /// Runs what blocks where it may; the client's end is an answer like any other.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PublishError> {
        let done = self.runtime.spawn_blocking(work).await;
        done.map_err(|_| PublishError::Down("the runtime is shutting down".into()))
    }

    /// Asks the cluster for the topic's partitions. Also refreshes what librdkafka believes about it.
    async fn is_there(self: &Arc<Self>, topic: &Arc<str>) -> bool {
        let (client, topic) = (self.clone(), topic.clone());
        let found = self.blocking(move || client.look(Some(&topic)).is_ok_and(|partitions| partitions > 0));
        found.await.unwrap_or(false)
    }

    /// Looks with the producer in use and, where that finds nobody, with a client of the moment. Blocks.
    ///
    /// Seen in `scripts/faults kafka-fenced`: after its only broker was frozen for about as long as a request may take, and
    /// missing from the cluster's list for a moment, a producer said that all brokers are down and never found it again,
    /// while new clients did. Such a producer is replaced.
    fn find(&self, topic: Option<&str>) -> Result<usize, KafkaError> {
        let looked = self.look(topic);
        if answers(&looked) || self.closed.load(Ordering::Acquire) {
            return looked;
        }
        let moment = Producer::start_aside(&self.name, &self.config)?;
        let looked = look(&moment, topic);
        // Asked again, for the cluster may have come back in between.
        if answers(&looked) && !answers(&self.look(topic)) {
            tracing::warn!(
                destination = &*self.name,
                "kafka: the producer has lost its brokers; it is replaced"
            );
            self.rebuild()?;
        }
        looked
    }

    /// How many partitions the topic has. Blocks.
    fn look(&self, topic: Option<&str>) -> Result<usize, KafkaError> {
        match self.producer.load_full() {
            Some(producer) => look(&producer, topic),
            None => Err(KafkaError::Canceled),
        }
    }

    /// A new producer for one that failed for good. Blocks.
    fn rebuild(&self) -> Result<(), KafkaError> {
        let producer = Producer::start(&self.name, &self.config, &self.health)?;
        let old = [self.producer.swap(Some(Arc::new(producer))), self.alone.swap(None)];
        if self.closed.load(Ordering::Acquire) {
            self.producer.store(None);
        }
        for old in old.into_iter().flatten() {
            // Nothing more is delivered by it; the purge tells those who wait.
            old.finish(Duration::ZERO);
        }
        Ok(())
    }
}

/// Makes a topic whose name is known before the first event needs it, which would otherwise wait for it in the spool.
/// What goes wrong is said, and done again, when an event is refused for it.
async fn declare(client: Arc<Client>, topic: Arc<str>) {
    if let Err(error) = probe::create(&client, &topic).await {
        tracing::debug!(destination = &*client.name, %error, "kafka: a topic is declared later");
    }
}

/// While the cluster is down, looks whether it is back; replaces a producer that failed for good.
async fn watch(client: Weak<Client>, health: Arc<Health>) {
    let open = || client.upgrade().filter(|client| !client.closed.load(Ordering::Acquire));
    let (mut pause, mut replace_pause) = (BACKOFF.0, BACKOFF.0);
    let mut replaced = Instant::now();
    loop {
        health.changed.notified().await;
        let mut said = false;
        while let Some(reason) = health.down() {
            let Some(client) = open() else { return };
            let fatal = health.take_fatal();
            if !said {
                tracing::warn!(destination = &*client.name, %reason, "kafka: takes nothing for now");
                said = true;
            }
            if fatal {
                // One that fails right after it started is not replaced in a hurry.
                let long_ago = replaced.elapsed() > BACKOFF.1 * 2;
                replace_pause = if long_ago {
                    BACKOFF.0
                } else {
                    (replace_pause * 2).min(BACKOFF.1)
                };
                tokio::time::sleep_until(replaced + replace_pause).await;
                replaced = Instant::now();
            }
            let looking = client.clone();
            let looked = client.runtime.spawn_blocking(move || {
                if fatal {
                    looking.rebuild()?;
                }
                looking.find(looking.some_topic.load_full().as_deref().map(String::as_str))
            });
            let answers = match looked.await {
                Ok(looked) => answers(&looked),
                Err(_) => return,
            };
            if fatal {
                // What made the last one fail would show by now.
                tokio::time::sleep(BACKOFF.0).await;
            }
            if answers && !health.is_fatal() && open().is_some() {
                health.set_up();
                pause = BACKOFF.0;
                tracing::info!(destination = &*client.name, "kafka: takes events again");
            } else {
                drop(client);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }
}

fn look(producer: &Producer, topic: Option<&str>) -> Result<usize, KafkaError> {
    let metadata = producer.client().fetch_metadata(topic, LOOK)?;
    let Some(topic) = topic else { return Ok(0) };
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found.and_then(|found| found.error()) {
        Some(error) => Err(KafkaError::MetadataFetch(error.into())),
        None => Ok(found.map_or(0, |found| found.partitions().len())),
    }
}

/// Whether the cluster answered. A fault of the topic is that topic's.
fn answers(looked: &Result<usize, KafkaError>) -> bool {
    match looked {
        Ok(_) => true,
        Err(KafkaError::MetadataFetch(code)) => {
            matches!(code, Code::UnknownTopicOrPartition | Code::TopicAuthorizationFailed)
        }
        Err(_) => false,
    }
}

fn lost() -> PublishError {
    PublishError::Unknown("the producer ended before its report".into())
}

fn fatal_reason(producer: &Producer) -> String {
    match producer.client().fatal_error() {
        Some((code, reason)) => format!("the producer failed: {code}: {reason}"),
        None => "the producer failed".into(),
    }
}

/// An error of configuration, without the value: it may be a credential.
fn refused(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, name, value) if !value.is_empty() => {
            format!("kafka.properties.{name}: {}", reason.replace(value.as_str(), "…"))
        }
        KafkaError::ClientConfig(_, reason, name, _) => format!("kafka.properties.{name}: {reason}"),
        error => format!("kafka: {error}"),
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration holds credentials.
        f.debug_struct("Kafka")
            .field("name", &self.client.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}
