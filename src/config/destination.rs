//! `destinations:` by name, each of one kind.

use serde::Deserialize;

use super::problem::Problem;
#[cfg(feature = "kafka")]
use crate::destination::kafka;
#[cfg(feature = "rabbitmq")]
use crate::destination::rabbitmq;

/// The destination that needs no configuration, and whose name is taken.
pub const JOURNAL: &str = "journal";

/// One destination and where its quarantine goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// A Kafka topic. Exactly one of `kafka` and `rabbitmq`.
    #[cfg(feature = "kafka")]
    #[serde(default)]
    pub kafka: Option<kafka::Settings>,
    /// A RabbitMQ exchange and routing key.
    #[cfg(feature = "rabbitmq")]
    #[serde(default)]
    pub rabbitmq: Option<rabbitmq::Settings>,
    /// Where verified deliveries go that broke their contract.
    #[serde(default)]
    pub quarantine: Quarantine,
}

/// `quarantine:` of a destination; on the same broker unless it says `journal: true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    /// Kafka: the topic; takes the same placeholders. Default: `dlq.` and the destination's topic.
    pub topic: Option<String>,
    /// RabbitMQ: the exchange. Default: `dlq.` and the destination's exchange.
    pub exchange: Option<String>,
    /// RabbitMQ: the routing key; takes placeholders. Default: the destination's.
    pub routing_key: Option<String>,
    /// Keep quarantined events in the journal instead. Default `false`.
    pub journal: bool,
}

impl Quarantine {
    #[cfg(feature = "kafka")]
    pub fn kafka(&self) -> kafka::Quarantine {
        kafka::Quarantine {
            topic: self.topic.clone(),
        }
    }

    #[cfg(feature = "rabbitmq")]
    pub fn rabbitmq(&self) -> rabbitmq::Quarantine {
        rabbitmq::Quarantine {
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
        }
    }
}

impl Destination {
    /// What is wrong with it, as far as that shows without asking the broker.
    pub fn problems(&self, place: &str, journal: bool) -> Vec<Problem> {
        let mut found: Vec<String> = Vec::new();
        let mut kinds = 0;
        #[cfg(feature = "kafka")]
        if let Some(kafka) = &self.kafka {
            kinds += 1;
            found.extend(kafka.check(&self.quarantine.kafka()));
            if self.quarantine.exchange.is_some() || self.quarantine.routing_key.is_some() {
                found.push("quarantine: Kafka has topics, not exchanges; give `topic`".into());
            }
        }
        #[cfg(feature = "rabbitmq")]
        if let Some(rabbitmq) = &self.rabbitmq {
            kinds += 1;
            found.extend(rabbitmq.check(&self.quarantine.rabbitmq()));
            if self.quarantine.topic.is_some() {
                found.push("quarantine: RabbitMQ has exchanges, not topics; give `exchange` and `routing_key`".into());
            }
        }
        // The rooms name the setting inside the destination first: `kafka.topic: …`.
        let mut problems: Vec<Problem> = found
            .into_iter()
            .map(|message| match message.split_once(": ") {
                Some((key, rest)) => Problem::new(format!("{place}.{key}"), rest, ""),
                None => Problem::new(place, message, ""),
            })
            .collect();
        if kinds != 1 {
            let message = if kinds == 0 { "has no kind" } else { "has two kinds" };
            problems.push(Problem::new(
                place,
                message,
                "give exactly one of `kafka` and `rabbitmq`",
            ));
        }
        if self.quarantine.journal && !journal {
            problems.push(Problem::new(
                format!("{place}.quarantine.journal"),
                "there is no journal",
                "add `journal: { path: data/hooksluice.db }`, or name a topic or exchange",
            ));
        }
        problems
    }
}
