//! Asks the cluster what a configuration needs to know: is it there, are the topics, how large may a message be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::Client;
use crate::destination::template::Template;
use crate::destination::{Feed, Finding, PublishError};

const ADMIN: Duration = Duration::from_secs(5);
/// librdkafka's own default of `message.max.bytes`.
const MESSAGE_MAX: u64 = 1_000_000;

pub(super) async fn probe(client: Arc<Client>, name: Arc<str>, template: Template, feeds: Vec<Feed>) -> Vec<Finding> {
    let mut topics = BTreeSet::new();
    let mut findings = Vec::new();
    match template.constant() {
        Some(topic) => {
            topics.insert(topic.to_owned());
        }
        None => {
            for feed in &feeds {
                topics.extend(template.render_for(&feed.source, &feed.provider));
            }
            if topics.is_empty() {
                findings.push(Finding::ok(&*name, "the topic depends on each event: not looked at"));
            }
        }
    }
    for topic in topics {
        let place = format!("{name}: topic {topic}");
        let looking = client.clone();
        let asked = topic.clone();
        match client.blocking(move || looking.look(Some(&asked))).await {
            Ok(Ok(partitions)) => {
                findings.push(Finding::ok(&place, format!("is there, with {partitions} partition(s)")));
                findings.push(size(&client, &place, &topic).await);
            }
            Ok(Err(error)) => findings.push(missing(&client, &place, &error)),
            Err(error) => findings.push(Finding::problem(&place, error.to_string(), "try again")),
        }
    }
    if let Some((_, reason)) = client
        .producer
        .load_full()
        .and_then(|producer| producer.client().fatal_error())
    {
        findings.push(Finding::problem(
            &*name,
            format!("the producer may not write: {reason}"),
            "grant the user Write on the topic (or IdempotentWrite on the cluster)",
        ));
    }
    findings
}

fn missing(client: &Client, place: &str, error: &KafkaError) -> Finding {
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) if client.declare => {
            Finding::ok(place, "is not there yet; the first event creates it (`declare: true`)")
        }
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            Finding::problem(place, "is not there", "create the topic, or set `declare: true`")
        }
        Some(Code::TopicAuthorizationFailed) => Finding::problem(
            place,
            "the user may not see it",
            "grant the user Describe and Write on the topic",
        ),
        _ => {
            let reason = client
                .health
                .down()
                .map_or_else(|| error.to_string(), |down| down.to_string());
            Finding::problem(
                place,
                format!("no answer from the cluster: {reason}"),
                "check bootstrap_servers, the network, and the security properties",
            )
        }
    }
}

/// Compares what the topic takes with what the producer sends.
async fn size(client: &Arc<Client>, place: &str, topic: &str) -> Finding {
    let ours = client
        .config
        .get("message.max.bytes")
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(MESSAGE_MAX);
    let theirs = match topic_max(client, topic).await {
        Ok(Some(theirs)) => theirs,
        Ok(None) | Err(_) => {
            return Finding::ok(
                place,
                format!("its max.message.bytes may not be read; the producer sends up to {ours} bytes"),
            );
        }
    };
    if theirs < ours {
        return Finding::problem(
            place,
            format!("takes {theirs} bytes a batch, the producer sends up to {ours}"),
            format!("raise the topic's max.message.bytes, or set property message.max.bytes to {theirs}"),
        );
    }
    Finding::ok(
        place,
        format!("takes {theirs} bytes a message, the producer sends up to {ours}"),
    )
}

async fn topic_max(client: &Arc<Client>, topic: &str) -> Result<Option<u64>, PublishError> {
    let admin = admin(client).await?;
    let described = admin
        .describe_configs([&ResourceSpecifier::Topic(topic)], &options())
        .await;
    let resources = described.map_err(|error| PublishError::Down(error.to_string()))?;
    let value = resources.into_iter().flatten().find_map(|resource| {
        let entry = resource
            .entries
            .into_iter()
            .find(|entry| entry.name == "max.message.bytes");
        entry.and_then(|entry| entry.value)
    });
    Ok(value.and_then(|value| value.parse().ok()))
}

/// Creates the topic with the broker's defaults and waits until it can be written to.
pub(super) async fn create(client: &Arc<Client>, topic: &Arc<str>) -> Result<(), PublishError> {
    let admin = admin(client).await?;
    // -1: what the broker is set to.
    let new = NewTopic::new(topic, -1, TopicReplication::Fixed(-1));
    let created = admin.create_topics([&new], &options()).await;
    let created = created.map_err(|error| PublishError::LaneDown(format!("topic `{topic}`: {error}")))?;
    match created.into_iter().next() {
        Some(Ok(_)) => tracing::info!(destination = &*client.name, topic = &**topic, "kafka: topic created"),
        Some(Err((_, Code::TopicAlreadyExists))) => {}
        Some(Err((_, code))) => {
            return Err(PublishError::LaneDown(format!(
                "topic `{topic}` cannot be created: {code}"
            )));
        }
        None => return Err(PublishError::LaneDown(format!("topic `{topic}` was not created"))),
    }
    for _ in 0..50 {
        if client.is_there(topic).await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(PublishError::LaneDown(format!(
        "topic `{topic}` was created, but has no leader yet"
    )))
}

async fn admin(client: &Arc<Client>) -> Result<AdminClient<DefaultClientContext>, PublishError> {
    let config = shared(&client.config);
    let created = client
        .blocking(move || config.create::<AdminClient<DefaultClientContext>>())
        .await?;
    created.map_err(|error| PublishError::Down(super::refused(&error)))
}

/// What a client of another kind needs of a producer's configuration: where the cluster is, and who asks.
pub(super) fn shared(producer: &ClientConfig) -> ClientConfig {
    let mut config = ClientConfig::new();
    // What only a producer knows would be warned about.
    const SHARED: [&str; 8] = [
        "bootstrap.servers",
        "security.",
        "sasl.",
        "ssl.",
        "enable.ssl.",
        "socket.",
        "client.",
        "broker.",
    ];
    for (name, value) in producer.config_map() {
        if SHARED.iter().any(|shared| name.starts_with(shared)) {
            config.set(name, value);
        }
    }
    config
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ADMIN))
        .operation_timeout(Some(ADMIN))
}
