//! One librdkafka producer: its delivery reports, its log, and what it says about its own health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use rdkafka::util::Timeout;
use tokio::sync::{Notify, oneshot};

use super::record::Record;

/// Where a message was stored, or librdkafka's reason why not.
pub(super) type Report = Result<(i32, i64), Code>;

/// What is known about the cluster, from the error events of the producer in use.
#[derive(Debug, Default)]
pub(super) struct Health {
    down: ArcSwapOption<String>,
    /// The last thing that went wrong, for the moment when all brokers are down.
    last: ArcSwapOption<String>,
    fatal: AtomicBool,
    /// Events of a producer that was replaced count no more.
    generation: AtomicU64,
    pub(super) changed: Notify,
}

impl Health {
    pub(super) fn down(&self) -> Option<Arc<String>> {
        self.down.load_full()
    }

    pub(super) fn set_down(&self, reason: String) {
        self.down.store(Some(Arc::new(reason)));
        self.changed.notify_one();
    }

    pub(super) fn set_up(&self) {
        if self.down.load().is_some() {
            self.down.store(None);
        }
    }

    /// Whether the producer in use is beyond repair. Asked once.
    pub(super) fn take_fatal(&self) -> bool {
        self.fatal.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.fatal.load(Ordering::Acquire)
    }

    pub(super) fn set_fatal(&self, reason: String) {
        self.fatal.store(true, Ordering::Release);
        self.set_down(reason);
    }
}

pub(super) struct Context {
    name: Arc<str>,
    health: Arc<Health>,
    generation: u64,
}

impl Context {
    fn current(&self) -> bool {
        self.generation == self.health.generation.load(Ordering::Acquire)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let destination = &*self.name;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", destination, facility, "{message}");
            }
            // It repeats every attempt; this room says an outage once, with the reason.
            _ => tracing::debug!(target: "librdkafka", destination, facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        tracing::debug!(target: "librdkafka", destination = &*self.name, ?code, "{reason}");
        if !self.current() {
            return;
        }
        match code {
            Some(Code::Fatal) => self.health.set_fatal(format!("the producer failed: {reason}")),
            Some(Code::AllBrokersDown) => {
                let last = self.health.last.load_full();
                let reason = last.map_or_else(|| reason.to_owned(), |last| last.to_string());
                self.health.set_down(reason);
            }
            _ => self.health.last.store(Some(Arc::new(reason.to_owned()))),
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<oneshot::Sender<Report>>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => {
                if self.current() {
                    self.health.set_up();
                }
                Ok((message.partition(), message.offset()))
            }
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        };
        // Whoever stopped waiting needs no report.
        let _ = report.send(outcome);
    }
}

pub(super) struct Producer(ThreadedProducer<Context>);

impl Producer {
    /// Connects in the background; an error is one of configuration.
    pub(super) fn start(name: &Arc<str>, config: &ClientConfig, health: &Arc<Health>) -> KafkaResult<Self> {
        let context = Context {
            name: name.clone(),
            health: health.clone(),
            generation: health.generation.fetch_add(1, Ordering::AcqRel) + 1,
        };
        ThreadedProducer::from_config_and_context(config, context).map(Self)
    }

    /// A producer beside the one in use: what it says about brokers is nobody's news.
    pub(super) fn start_aside(name: &Arc<str>, config: &ClientConfig) -> KafkaResult<Self> {
        let health = Arc::new(Health::default());
        Self::start(name, config, &health)
    }

    /// Hands the record to librdkafka, which copies it. Never blocks: a full queue is an error.
    pub(super) fn send(
        &self,
        topic: &str,
        key: Option<&str>,
        record: Record<'_>,
    ) -> Result<oneshot::Receiver<Report>, KafkaError> {
        let (report, outcome) = oneshot::channel();
        let mut message = BaseRecord::<str, [u8], _>::with_opaque_to(topic, Box::new(report))
            .payload(&record.value)
            .headers(record.headers);
        message.key = key;
        self.0.send(message).map_err(|(error, _)| error)?;
        Ok(outcome)
    }

    /// Waits for what is under way, then gives the rest up: its reports say so. Blocks.
    pub(super) fn finish(&self, deadline: impl Into<Timeout>) {
        if self.0.flush(deadline).is_err() {
            self.0.purge(PurgeConfig::default().queue().inflight());
            // The reports of what was purged.
            let _ = self.0.flush(Timeout::After(std::time::Duration::from_millis(500)));
        }
    }

    pub(super) fn client(&self) -> &rdkafka::client::Client<Context> {
        ThreadedProducer::<Context, NoCustomPartitioner>::client(&self.0)
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producer")
    }
}
