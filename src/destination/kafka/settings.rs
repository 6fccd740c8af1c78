//! `kafka:` of a destination, and what librdkafka is told.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use serde::Deserialize;

use crate::destination::template::Template;
use crate::secret::Credential;

/// `kafka:` of a destination. `HOOKSLUICE__DESTINATIONS__<NAME>__KAFKA__…`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Brokers to start from, `host:port`, separated by commas. `…__BOOTSTRAP_SERVERS`
    pub bootstrap_servers: String,
    /// Topic; may use `{source}`, `{provider}`, `{type}`. `…__TOPIC`
    pub topic: String,
    /// How an event is written: `binary` or `structured`. Default `binary`. `…__MODE`
    #[serde(default)]
    pub mode: Mode,
    /// Creates a missing topic with the broker's default partitions and replicas. Default `false`. `…__DECLARE`
    #[serde(default)]
    pub declare: bool,
    /// Properties for librdkafka, such as `compression.type` or `sasl.password`; a value may be `{ env }` or `{ file }`.
    #[serde(default)]
    pub properties: BTreeMap<String, Credential>,
}

/// `quarantine:` of a Kafka destination.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    /// Topic for events that broke their contract. Default `dlq.` and the destination's topic. `…__QUARANTINE__TOPIC`
    pub topic: Option<String>,
}

/// The CloudEvents Kafka binding's content modes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Attributes as `ce_` headers, the sender's bytes as the value.
    #[default]
    Binary,
    /// One JSON envelope as the value.
    Structured,
}

/// What librdkafka is told unless `properties` says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    // Keys land where Java producers put them; without a key, partitions are chosen at random.
    ("partitioner", "murmur2_random"),
    // Lets requests of one millisecond share a batch.
    ("linger.ms", "1"),
    // How long an outcome can stay open, and how much waits meanwhile: librdkafka's own five minutes and a gigabyte
    // would publish an outage twice.
    ("message.timeout.ms", "30000"),
    ("queue.buffering.max.messages", "50000"),
    ("queue.buffering.max.kbytes", "65536"),
    // A broker that is back is found within seconds, a frozen connection is given up in ten.
    ("socket.timeout.ms", "10000"),
    ("reconnect.backoff.max.ms", "2000"),
    // A missing topic is known as missing after five seconds, and a created one as there after ten.
    ("topic.metadata.propagation.max.ms", "5000"),
    ("topic.metadata.refresh.interval.ms", "10000"),
];

/// Properties that would break a promise, and what to do instead.
const FORBIDDEN: &[(&str, &str)] = &[
    (
        "acks",
        "always `all`: an acknowledged event must be on every in-sync replica",
    ),
    (
        "request.required.acks",
        "always `all`: an acknowledged event must be on every in-sync replica",
    ),
    (
        "enable.idempotence",
        "always on: without it a retry may store an event twice or out of order",
    ),
    (
        "enable.gapless.guarantee",
        "it would stop the producer whenever one event times out",
    ),
    (
        "transactional.id",
        "events are published singly; a transaction would hide them until it commits",
    ),
    ("delivery.report.only.error", "the delivery report is the receipt"),
    ("queuing.strategy", "`lifo` would turn the order of a key around"),
    ("bootstrap.servers", "use `bootstrap_servers`"),
    ("metadata.broker.list", "use `bootstrap_servers`"),
    (
        "allow.auto.create.topics",
        "use `declare: true` to create missing topics",
    ),
    ("test.mock.num.brokers", "a mock keeps nothing"),
    ("test.mock.broker.rtt", "a mock keeps nothing"),
];

/// `message.timeout.ms` and its other name: an outcome must not stay open for ever.
const TIMEOUTS: [&str; 2] = ["message.timeout.ms", "delivery.timeout.ms"];
const TIMEOUT_RANGE: std::ops::RangeInclusive<u64> = 1_000..=300_000;

/// Settings, checked and with their credentials read.
pub(super) struct Plan {
    pub(super) config: ClientConfig,
    pub(super) topic: Template,
    pub(super) quarantine: Template,
    pub(super) mode: Mode,
    pub(super) declare: bool,
}

impl Settings {
    /// Every problem at once, each with the setting's place and a remedy.
    pub fn check(&self, quarantine: &Quarantine) -> Vec<String> {
        self.plan(quarantine).err().unwrap_or_default()
    }

    pub(super) fn plan(&self, quarantine: &Quarantine) -> Result<Plan, Vec<String>> {
        let mut problems = Vec::new();
        if self.bootstrap_servers.trim().is_empty() {
            problems.push("kafka.bootstrap_servers: is empty; give `host:port` of at least one broker".into());
        }
        let topic = Template::topic(&self.topic).map_err(|error| problems.push(format!("kafka.topic: {error}")));
        let quarantine = match &quarantine.topic {
            Some(text) => Template::topic(text),
            None => Template::topic(&format!("dlq.{}", self.topic)),
        }
        // A bad topic makes a bad default: said once.
        .map_err(|error| {
            if quarantine.topic.is_some() || topic.is_ok() {
                problems.push(format!("quarantine.topic: {error}"));
            }
        });
        let config = self.config(&mut problems);
        match (topic, quarantine) {
            (Ok(topic), Ok(quarantine)) if problems.is_empty() => Ok(Plan {
                config,
                topic,
                quarantine,
                mode: self.mode,
                declare: self.declare,
            }),
            _ => Err(problems),
        }
    }

    fn config(&self, problems: &mut Vec<String>) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in DEFAULTS {
            config.set(*name, *value);
        }
        for (name, credential) in &self.properties {
            let place = format!("kafka.properties.{name}");
            if let Some((_, why)) = FORBIDDEN.iter().find(|(forbidden, _)| forbidden == name) {
                problems.push(format!("{place}: cannot be set: {why}; remove it"));
                continue;
            }
            let secret = match credential.load() {
                Ok(secret) => secret,
                Err(error) => {
                    problems.push(format!("{place}: {error}"));
                    continue;
                }
            };
            let Some(value) = secret.expose_str().filter(|value| !value.contains('\0')) else {
                problems.push(format!("{place}: is not text; give it as UTF-8 without NUL"));
                continue;
            };
            if TIMEOUTS.contains(&name.as_str()) && !value.parse().is_ok_and(|ms| TIMEOUT_RANGE.contains(&ms)) {
                problems.push(format!("{place}: must be from 1000 to 300000 (milliseconds)"));
                continue;
            }
            if name == "partitioner" && value == "random" {
                problems.push(format!(
                    "{place}: `random` would lose the order of a key; use `murmur2_random`"
                ));
                continue;
            }
            if name == "delivery.timeout.ms" {
                config.set("message.timeout.ms", value);
            } else {
                config.set(name, value);
            }
        }
        config
            .set("bootstrap.servers", self.bootstrap_servers.trim())
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("allow.auto.create.topics", "false");
        config
    }
}
