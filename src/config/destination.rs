//! `destinations:` by name, each of one kind.

use serde::Deserialize;

use super::pending::{kafka, rabbitmq};
use super::problem::Problem;
use crate::provider::nearest::did_you_mean;

/// The destination that needs no configuration, and whose name is taken.
pub const JOURNAL: &str = "journal";

/// What topics and routing keys may be made from.
pub const PLACEHOLDERS: [&str; 3] = ["source", "provider", "type"];

/// One destination and where its quarantine goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// A Kafka topic. Exactly one of `kafka` and `rabbitmq`.
    #[serde(default)]
    pub kafka: Option<kafka::Settings>,
    /// A RabbitMQ exchange and routing key.
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

impl Destination {
    /// What is wrong with it, as far as that shows without asking the broker.
    pub fn problems(&self, place: &str, journal: bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut template = |key: &str, text: &str| {
            if let Err(message) = check_template(text) {
                problems.push(Problem::new(format!("{place}.{key}"), message, template_remedy()));
            }
        };
        if let Some(kafka) = &self.kafka {
            template("kafka.topic", &kafka.topic);
        }
        if let Some(rabbitmq) = &self.rabbitmq {
            template("rabbitmq.routing_key", &rabbitmq.routing_key);
        }
        for (key, text) in [
            ("topic", &self.quarantine.topic),
            ("routing_key", &self.quarantine.routing_key),
        ] {
            if let Some(text) = text {
                template(&format!("quarantine.{key}"), text);
            }
        }
        if self.kafka.is_some() == self.rabbitmq.is_some() {
            let message = if self.kafka.is_some() {
                "has two kinds"
            } else {
                "has no kind"
            };
            problems.push(Problem::new(
                place,
                message,
                "give exactly one of `kafka` and `rabbitmq`",
            ));
        }
        let foreign = match (&self.kafka, &self.quarantine) {
            (
                Some(_),
                Quarantine {
                    exchange, routing_key, ..
                },
            ) if exchange.is_some() || routing_key.is_some() => Some("Kafka has topics; give `topic`"),
            (None, Quarantine { topic: Some(_), .. }) => {
                Some("RabbitMQ has exchanges; give `exchange` and `routing_key`")
            }
            _ => None,
        };
        if let Some(remedy) = foreign {
            problems.push(Problem::new(
                format!("{place}.quarantine"),
                "is of the other kind of broker",
                remedy,
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

fn template_remedy() -> String {
    format!(
        "placeholders are {}",
        PLACEHOLDERS.map(|name| format!("`{{{name}}}`")).join(", ")
    )
}

/// Whether a template holds only known placeholders, properly closed, and is not empty.
fn check_template(template: &str) -> Result<(), String> {
    if template.is_empty() {
        return Err("is empty".into());
    }
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let open = &rest[at..];
        let Some(inner) = open.strip_prefix('{') else {
            return Err(format!("`{template}` has a `}}` without a `{{`"));
        };
        let Some((name, after)) = inner.split_once('}') else {
            return Err(format!("`{template}` has a `{{` without a `}}`"));
        };
        if !PLACEHOLDERS.contains(&name) {
            return Err(format!(
                "`{{{name}}}` is no placeholder{}",
                did_you_mean(name, PLACEHOLDERS)
            ));
        }
        rest = after;
    }
    Ok(())
}
