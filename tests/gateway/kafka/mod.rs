//! The Kafka destination, on a real broker.

mod faults;
mod security;
mod settings;
mod templates;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hooksluice::destination::kafka::{Kafka, Quarantine, Settings};
use hooksluice::destination::{Position, PublishError};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::brokers;
use crate::support::destination_contract::{self, Stored};
use crate::support::events::{Sample, fresh};

fn parsed(value: Value) -> Settings {
    serde_json::from_value(value).expect("settings")
}

fn open(value: Value) -> Kafka {
    open_named("stream", value)
}

fn open_named(name: &str, value: Value) -> Kafka {
    Kafka::open(name, &parsed(value), &Quarantine::default(), Handle::current()).expect("it opens")
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
        self.messages(count, binary)
    }

    fn messages<T>(&self, count: usize, take: impl Fn(&BorrowedMessage<'_>) -> T) -> Vec<T> {
        let mut taken = Vec::new();
        let patience = Instant::now() + Duration::from_secs(30);
        // `poll` also returns nothing when only the group's assignment changed.
        while taken.len() < count && Instant::now() < patience {
            if let Some(message) = self.0.poll(Duration::from_secs(1)) {
                taken.push(take(&message.expect("a message")));
            }
        }
        taken
    }
}

fn headers(message: &BorrowedMessage<'_>) -> BTreeMap<String, String> {
    let headers = message.headers().expect("headers");
    headers
        .iter()
        .map(|header| {
            let value = String::from_utf8(header.value.expect("a value").to_vec()).expect("UTF-8");
            (header.key.to_owned(), value)
        })
        .collect()
}

fn binary(message: &BorrowedMessage<'_>) -> Stored {
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
async fn keeps_bytes_attributes_key_and_order() {
    let topic = fresh("contract");
    brokers::create_topic(&topic, 3, &[]).await;
    let kafka = open(plain(&topic));
    let reader = Reader::new(&topic);
    let mut read = |count| reader.read(count);
    destination_contract::keeps_bytes_attributes_and_key(&kafka.main(), &mut read).await;
    destination_contract::keeps_the_order_of_each_key(&kafka.main(), &mut read).await;
    destination_contract::receipts_each_of_a_thousand_once(&kafka.main(), &mut read).await;
    kafka.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_says_where_the_record_is() {
    let topic = fresh("position");
    brokers::create_topic(&topic, 1, &[]).await;
    let kafka = open(plain(&topic));
    for wanted in 0..3 {
        let receipt = kafka
            .main()
            .publish(Sample::new(&fresh("p"), "{}").event())
            .await
            .expect("a receipt");
        let Position::Kafka {
            topic: at,
            partition,
            offset,
        } = receipt.position()
        else {
            panic!("{receipt:?}")
        };
        assert_eq!((&**at, *partition, *offset), (&*topic, 0, wanted));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn structured_mode_puts_the_sender_s_json_into_the_envelope_unchanged() {
    let topic = fresh("structured");
    brokers::create_topic(&topic, 1, &[]).await;
    let mut settings = plain(&topic);
    settings["mode"] = "structured".into();
    let kafka = open(settings);
    let json = r#"{"n": 1.10,  "n2":1e2}"#;
    for (id, data) in [("json", json.as_bytes()), ("not-json", b"\xff{")] {
        kafka
            .main()
            .publish(Sample::new(id, data.to_vec()).event())
            .await
            .expect("a receipt");
    }
    let reader = Reader::new(&topic);
    let envelopes = reader.messages(2, |message| {
        assert_eq!(headers(message)["content-type"], "application/cloudevents+json");
        String::from_utf8(message.payload().expect("a value").to_vec()).expect("UTF-8")
    });
    assert!(envelopes[0].contains(&format!(r#""data":{json}"#)), "{}", envelopes[0]);
    let parsed: Vec<Value> = envelopes
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(parsed[0]["specversion"], "1.0");
    assert_eq!(parsed[0]["type"], "com.github.push");
    assert_eq!(parsed[1]["data_base64"], "/3s=");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_contract_s_topic_is_the_destination_s_with_dlq_before_it() {
    let topic = fresh("main");
    brokers::create_topic(&format!("dlq.{topic}"), 1, &[]).await;
    let kafka = open(plain(&topic));
    assert_eq!(&**kafka.quarantine().name(), "stream.quarantine");
    let event = Sample::new(&fresh("q"), "{}")
        .with("contract", "violated")
        .with("quarantinereason", "contract")
        .event();
    let receipt = kafka.quarantine().publish(event.clone()).await.expect("a receipt");
    let Position::Kafka { topic: at, .. } = receipt.position() else {
        panic!("{receipt:?}")
    };
    assert_eq!(**at, format!("dlq.{topic}"));
    assert_eq!(Reader::new(at).read(1)[0].id(), event.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_land_in_the_partitions_where_java_producers_put_them() {
    let (ours, java) = (fresh("ours"), fresh("java"));
    for topic in [&ours, &java] {
        brokers::create_topic(topic, 16, &[]).await;
    }
    let keys: Vec<String> = (0..40).map(|n| format!("repository-{n}-é")).collect();
    let lines: String = keys.iter().map(|key| format!("{key}|x\n")).collect();
    brokers::kafka_tool_with_input(
        "org.apache.kafka.tools.ConsoleProducer",
        &[
            "--topic",
            &java,
            "--reader-property",
            "parse.key=true",
            "--reader-property",
            "key.separator=|",
        ],
        &lines,
    );
    let kafka = open(plain(&ours));
    for key in &keys {
        kafka
            .main()
            .publish(Sample::new(&fresh("k"), "{}").key(key).event())
            .await
            .expect("a receipt");
    }
    let partitions = |topic: &str| -> BTreeMap<String, i32> {
        let found = Reader::new(topic).messages(keys.len(), |message| {
            (
                String::from_utf8_lossy(message.key().expect("a key")).into_owned(),
                message.partition(),
            )
        });
        found.into_iter().collect()
    };
    assert_eq!(partitions(&ours), partitions(&java));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_settles_everything_that_was_taken() {
    let topic = fresh("closing");
    brokers::create_topic(&topic, 1, &[]).await;
    let kafka = open(plain(&topic));
    let main = kafka.main();
    let publishes: Vec<_> = (0..500)
        .map(|n| main.publish(Sample::new(&format!("c-{n}"), "{}").event()))
        .collect();
    kafka.close(Duration::from_secs(10)).await;
    let receipts = join_all(publishes).await;
    assert!(
        receipts.iter().all(Result::is_ok),
        "{:?}",
        receipts.iter().find(|receipt| receipt.is_err())
    );
    assert_eq!(Reader::new(&topic).read(500).len(), 500);
    let after = main.publish(Sample::new("late", "{}").event()).await;
    assert!(matches!(after, Err(PublishError::Down(_))), "{after:?}");
}
