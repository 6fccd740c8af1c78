//! The Kafka destination, on a real broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hooksluice::destination::kafka::{Kafka, Quarantine, Settings};
use hooksluice::destination::{Destination, Feed, Position, PublishError};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::brokers;
use crate::support::destination_contract::{self, Stored};
use crate::support::events::{Sample, fresh};

fn settings(value: Value) -> Settings {
    serde_json::from_value(value).expect("settings")
}

fn open(value: Value) -> Kafka {
    open_named("stream", value)
}

fn open_named(name: &str, value: Value) -> Kafka {
    Kafka::open(name, &settings(value), &Quarantine::default(), Handle::current()).expect("it opens")
}

fn plain(topic: &str) -> Value {
    json!({ "bootstrap_servers": brokers::kafka(), "topic": topic })
}

/// Reads a topic from its start with a consumer of its own.
struct Reader(BaseConsumer);

impl Reader {
    fn new(topic: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers::kafka())
            .set("group.id", fresh("reader"))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("fetch.message.max.bytes", "50000000")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[topic]).expect("subscribed");
        Self(consumer)
    }

    fn read(&self, count: usize) -> Vec<Stored> {
        let mut stored = Vec::new();
        let patience = Instant::now() + Duration::from_secs(30);
        // `poll` also returns nothing when only the group's assignment changed.
        while stored.len() < count && Instant::now() < patience {
            if let Some(message) = self.0.poll(Duration::from_secs(1)) {
                stored.push(binary(&message.expect("a message")));
            }
        }
        stored
    }
}

fn headers(message: &impl Message) -> BTreeMap<String, String> {
    let headers = message.headers().expect("headers");
    headers
        .iter()
        .map(|header| {
            let value = String::from_utf8(header.value.expect("a value").to_vec()).expect("UTF-8");
            (header.key.to_owned(), value)
        })
        .collect()
}

fn binary(message: &impl Message) -> Stored {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers(message) {
        match name.strip_prefix("ce_") {
            Some(name) => attributes.insert(name.to_owned(), value),
            None if name == "content-type" => attributes.insert("datacontenttype".into(), value),
            None => panic!("header {name}"),
        };
    }
    Stored {
        attributes,
        key: message.key().map(|key| String::from_utf8(key.to_vec()).expect("UTF-8")),
        data: message.payload().unwrap_or_default().to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_bytes_attributes_and_key() {
    let topic = fresh("contract");
    brokers::create_topic(&topic, &["--partitions", "3"]);
    let kafka = open(plain(&topic));
    let reader = Reader::new(&topic);
    let mut read = |count| reader.read(count);
    destination_contract::keeps_bytes_attributes_and_key(&kafka.main(), &mut read).await;
    destination_contract::keeps_the_order_of_each_key(&kafka.main(), &mut read).await;
    destination_contract::receipts_each_of_a_thousand_once(&kafka.main(), &mut read).await;
    kafka.close(Duration::from_secs(5)).await;
}
