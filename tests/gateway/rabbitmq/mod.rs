//! The RabbitMQ destination, on a real broker.

mod faults;
mod lines;
mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::join_all;
use hooksluice::destination::rabbitmq::{Quarantine, RabbitMq, Settings};
use hooksluice::destination::{Destination, PublishError};
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::{Value, json};
use tokio::runtime::{Handle, Runtime, RuntimeFlavor};

use crate::support::destination_contract::{self, Stored};
use crate::support::events::{Sample, fresh};
use crate::support::proxy::Link;
use crate::support::{brokers, eventually, until_up as until_base_is_up};

/// Runs each test twice: through the base line, and as a worker of the ingress does, on a runtime of one thread, through a
/// line of its own.
macro_rules! through_each_line {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn base() {
                super::$name().await;
            }

            #[tokio::test]
            async fn worker() {
                super::$name().await;
            }
        }
    )*};
}
use through_each_line;

/// Outlives the tests, as the gateway's runtime outlives its requests. What a test asks the broker goes through it, too.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

fn parsed(value: Value) -> Settings {
    serde_json::from_value(value).expect("settings")
}

fn open(value: Value) -> RabbitMq {
    let runtime = RUNTIME.handle().clone();
    RabbitMq::open("queue", &parsed(value), &Quarantine::default(), runtime).expect("it opens")
}

/// Until the line that this test publishes through is up.
async fn until_up(destination: &Arc<dyn Destination>) {
    until_base_is_up(destination).await;
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        // Starts the line, and is refused before it goes anywhere.
        let no_frame_holds_it = Sample::new("huge", "{}").with("subject", &"x".repeat(200_000)).event();
        // Not where the exchange is missing: then nothing gets that far.
        if let Err(PublishError::Message(_)) = destination.publish(no_frame_holds_it).await {
            eventually("the worker's line is up", || async {
                format!("{destination:?}").contains("workers_up: 1")
            })
            .await;
        }
    }
}

fn plain(exchange: &str) -> Value {
    json!({ "url": brokers::rabbitmq(), "exchange": exchange, "routing_key": "{type}", "declare": true })
}

/// A client of the test's own.
struct Broker {
    _connection: Connection,
    channel: Channel,
}

impl Broker {
    async fn new() -> Self {
        let connect = async {
            let connection = Connection::connect(&brokers::rabbitmq(), ConnectionProperties::default())
                .await
                .expect("connected");
            let channel = connection.create_channel().await.expect("a channel");
            Self {
                _connection: connection,
                channel,
            }
        };
        RUNTIME.spawn(connect).await.expect("no panic")
    }

    async fn exchange(&self, name: &str) {
        let options = lapin::options::ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        self.channel
            .exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default())
            .await
            .expect("declared");
    }

    async fn plain_queue(&self, name: &str) {
        let durable = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        self.channel
            .queue_declare(name.into(), durable, FieldTable::default())
            .await
            .expect("declared");
    }

    async fn queue(&self, name: &str, exchange: &str, routing_key: &str, arguments: FieldTable) {
        let durable = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        self.channel
            .queue_declare(name.into(), durable, arguments)
            .await
            .expect("declared");
        self.channel
            .queue_bind(
                name.into(),
                exchange.into(),
                routing_key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .expect("bound");
    }

    async fn read(&self, queue: &str, count: usize) -> Vec<Stored> {
        let mut stored = Vec::new();
        while let Some(message) = self
            .channel
            .basic_get(queue.into(), BasicGetOptions::default())
            .await
            .expect("an answer")
        {
            let properties = &message.delivery.properties;
            assert_eq!(*properties.delivery_mode(), Some(2), "persistent");
            let mut attributes = BTreeMap::new();
            for (name, value) in properties.headers().as_ref().expect("headers").inner() {
                let name = name
                    .as_str()
                    .strip_prefix("cloudEvents:")
                    .expect("a CloudEvents attribute");
                let value = value.as_long_string().expect("text").to_string();
                attributes.insert(name.to_owned(), value);
            }
            let content_type = properties.content_type().as_ref().expect("a content type");
            attributes.insert("datacontenttype".into(), content_type.to_string());
            let id = properties.message_id().as_ref().expect("a message id").to_string();
            assert_eq!(Some(&id), attributes.get("id"));
            stored.push(Stored {
                key: attributes.get("partitionkey").cloned(),
                attributes,
                data: message.delivery.data.clone(),
            });
            message
                .delivery
                .ack(BasicAckOptions::default())
                .await
                .expect("acknowledged");
            if stored.len() == count {
                break;
            }
        }
        stored
    }
}

/// An exchange with a queue that takes everything.
async fn exchange_with_queue() -> (Broker, String, String) {
    let broker = Broker::new().await;
    let exchange = fresh("exchange");
    let queue = fresh("queue");
    broker.exchange(&exchange).await;
    broker.queue(&queue, &exchange, "#", FieldTable::default()).await;
    (broker, exchange, queue)
}

fn read_of<'a>(broker: &'a Broker, queue: &'a str) -> impl FnMut(usize) -> Vec<Stored> + 'a {
    move |count| {
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| RUNTIME.block_on(broker.read(queue, count)));
            reading.join().expect("no panic")
        })
    }
}

through_each_line!(
    keeps_bytes_attributes_key_and_order,
    a_return_fails_its_own_publish_and_no_other
);

async fn keeps_bytes_attributes_key_and_order() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    until_up(&main).await;
    let mut read = read_of(&broker, &queue);
    destination_contract::keeps_bytes_attributes_and_key(&main, &mut read).await;
    destination_contract::keeps_the_order_of_each_key(&main, &mut read).await;
    destination_contract::receipts_each_of_a_thousand_once(&main, &mut read).await;
    rabbitmq.close(Duration::from_secs(5)).await;
}

async fn a_return_fails_its_own_publish_and_no_other() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    // Only this type has a queue.
    broker
        .channel
        .queue_unbind(
            queue.as_str().into(),
            exchange.as_str().into(),
            "#".into(),
            FieldTable::default(),
        )
        .await
        .expect("unbound");
    broker
        .queue(&queue, &exchange, "com.github.push", FieldTable::default())
        .await;
    let (proxy, url) = faults::through_a_proxy().await;
    let mut settings = plain(&exchange);
    settings["url"] = url.into();
    let rabbitmq = open(settings);
    let main = rabbitmq.main();
    until_up(&main).await;
    main.publish(Sample::new("warm", "{}").event())
        .await
        .expect("a receipt");
    assert_eq!(broker.read(&queue, 1).await.len(), 1);
    // All arrive at the broker in one go: it then returns first and confirms many at once.
    proxy.set(Link::Frozen);
    let prefix = fresh("mixed");
    // Runs of either kind, of several lengths.
    let is_routable = |n: usize| (n / 3 + n % 5).is_multiple_of(2);
    let publishes = (0..600).map(|n| {
        let kind = if is_routable(n) {
            "com.github.push"
        } else {
            "com.github.nobody"
        };
        let event = Sample::new(&format!("{prefix}-{n}"), "{}")
            .key(&format!("{}", n % 9))
            .with("type", kind)
            .event();
        main.publish(event)
    });
    let publishes: Vec<_> = publishes.collect();
    proxy.set(Link::Open);
    let outcomes = join_all(publishes).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(_) => assert!(is_routable(n), "{n} has no queue and got a receipt"),
            Err(PublishError::LaneDown(reason)) => {
                assert!(!is_routable(n), "{n} has a queue and was said to be returned");
                assert!(reason.contains("NO_ROUTE"), "{reason}");
            }
            Err(other) => panic!("{n}: {other}"),
        }
    }
    let mut stored: Vec<String> = broker
        .read(&queue, 600)
        .await
        .iter()
        .map(|stored| stored.id().to_owned())
        .collect();
    let mut wanted: Vec<String> = (0..600)
        .filter(|n| is_routable(*n))
        .map(|n| format!("{prefix}-{n}"))
        .collect();
    stored.sort();
    wanted.sort();
    assert_eq!(stored, wanted);
    rabbitmq.close(Duration::from_secs(5)).await;
}
