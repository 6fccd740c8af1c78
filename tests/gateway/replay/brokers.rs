//! Replays out of the brokers' own quarantines.

use std::collections::BTreeSet;

use lapin::options::{BasicAckOptions, BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};

use super::*;
use crate::support::brokers;

#[test]
fn a_quarantine_topic_is_replayed_and_stays_as_it_is() {
    for mode in ["binary", "structured"] {
        let topic = fresh("replay-topic");
        let yaml = to_kafka(&topic, "").replace("declare: true", &format!("declare: true, mode: {mode}"));
        let gateway = setup(&(yaml + &source(", destination: stream"))).start();
        for id in ids(4) {
            push(&gateway, &id, BROKEN);
        }
        push(&gateway, "hopeless", HOPELESS);
        let lying = || dump(&format!("dlq.{topic}"), 5);
        gateway.wait_for("the broker has them", |g| {
            g.metric("hooksluice_spool_events", &[]) == 0.0
        });
        let before = lying();
        assert_eq!(before.len(), 5);
        let (code, said) = replay(&gateway, &["quarantine", "replay", "--from", "stream"]);
        assert_eq!((code, counts(&said)), (1, [0, 5, 0, 0]), "{said}");

        mend(&gateway);
        let (code, said) = replay(&gateway, &["quarantine", "replay", "--from", "stream", "--id", "d-0"]);
        assert_eq!((code, counts(&said)), (0, [1, 0, 0, 4]), "{said}");
        let (code, said) = replay(&gateway, &["quarantine", "replay", "--from", "stream"]);
        assert_eq!((code, counts(&said)), (1, [4, 1, 0, 0]), "{said}");
        let place = said["stays"][0]["place"].as_str().expect("a place");
        assert!(place.starts_with(&format!("dlq.{topic}/")), "{place}");
        assert_eq!(lying(), before, "the originals are where they were");
        let messages = dump(&topic, 5);
        assert_eq!(messages.len(), 5);
        if mode == "binary" {
            assert_eq!(marked(&messages), ids(4));
            assert!(messages.iter().all(|m| m["sha256"] == sign::sha256(BROKEN)));
        }
    }
}

#[test]
fn a_topic_is_replayed_by_range_of_offsets() {
    let topic = fresh("replay-offsets");
    let gateway = setup(&(to_kafka(&topic, "") + &source(", destination: stream"))).start();
    for id in ids(8) {
        push(&gateway, &id, BROKEN);
    }
    gateway.wait_for("the broker has them", |g| {
        g.metric("hooksluice_spool_events", &[]) == 0.0
    });
    mend(&gateway);
    let lying = dump(&format!("dlq.{topic}"), 8);
    let partition = lying[0]["partition"].as_i64().expect("a number");
    let of_it = lying.iter().filter(|m| m["partition"] == partition).count() as u64;
    let first = format!("{partition}:0..1");
    let (code, said) = replay(
        &gateway,
        &["quarantine", "replay", "--from", "stream", "--offsets", &first],
    );
    assert_eq!((code, counts(&said)), (0, [1, 0, 0, 0]), "{said}");
    let rest = format!("{partition}:1..1000000");
    let (code, said) = replay(
        &gateway,
        &["quarantine", "replay", "--from", "stream", "--offsets", &rest],
    );
    assert_eq!((code, counts(&said)), (0, [of_it - 1, 0, 0, 0]), "{said}");
    let none = run(
        &gateway,
        &["quarantine", "replay", "--from", "stream", "--offsets", "999:0..1"],
    );
    assert_eq!(none.status.code(), Some(2), "{}", String::from_utf8_lossy(&none.stderr));
}

#[test]
fn an_interrupted_replay_of_a_topic_goes_on_where_it_was() {
    let topic = fresh("replay-topic-killed");
    let yaml = to_kafka(&topic, "") + &source(", destination: stream");
    let gateway = setup(&yaml).start();
    for id in ids(100) {
        push(&gateway, &id, BROKEN);
    }
    gateway.wait_for("the broker has them", |g| {
        g.metric("hooksluice_spool_events", &[]) == 0.0
    });
    mend(&gateway);
    let slowly = ["quarantine", "replay", "--from", "stream", "--json", "--rate", "40"];
    let child = begin(&gateway, &slowly);
    gateway.wait_for("some are replayed", |g| {
        replayed(g) >= 20.0 && noted(g.directory.path())
    });
    let directory = gateway.kill();
    let (code, _) = report(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, 1);
    let gateway = restart(&yaml, directory);
    let (code, said) = replay(&gateway, &["quarantine", "replay", "--from", "stream"]);
    assert_eq!(code, 0, "{said}");
    assert!((1..100).contains(&counts(&said)[0]), "it did not begin anew: {said}");
    assert_eq!(marked(&dump(&topic, 100)), ids(100));
}

/// A client of the test's own.
struct Queues {
    _connection: Connection,
    channel: Channel,
}

impl Queues {
    async fn open() -> Self {
        let url = brokers::rabbitmq();
        let connection = Connection::connect(&url, ConnectionProperties::default());
        let connection = connection.await.expect("connected");
        let channel = connection.create_channel().await.expect("a channel");
        Self {
            _connection: connection,
            channel,
        }
    }

    async fn bind(&self, queue: &str) {
        let durable = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let none = FieldTable::default;
        let declared = self.channel.queue_declare(queue.into(), durable, none());
        declared.await.expect("declared");
        let bound = self.channel.queue_bind(
            queue.into(),
            queue.into(),
            "#".into(),
            QueueBindOptions::default(),
            none(),
        );
        bound.await.expect("bound");
    }

    async fn depth(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let found = self.channel.queue_declare(queue.into(), passive, FieldTable::default());
        found.await.expect("it is there").message_count()
    }

    /// Takes everything: how many there were, and the ids of those that are marked as replays.
    async fn take(&self, queue: &str) -> (usize, BTreeSet<String>) {
        let (mut count, mut marked) = (0, BTreeSet::new());
        while let Some(message) = self
            .channel
            .basic_get(queue.into(), BasicGetOptions::default())
            .await
            .expect("an answer")
        {
            count += 1;
            let properties = &message.delivery.properties;
            let headers = properties.headers().as_ref().expect("headers").inner();
            let is_replay = headers.iter().any(|(name, _)| name.as_str() == "cloudEvents:replay");
            if is_replay {
                marked.insert(properties.message_id().as_ref().expect("an id").to_string());
            }
            message.delivery.ack(BasicAckOptions::default()).await.expect("acked");
        }
        (count, marked)
    }
}

fn to_rabbitmq(exchange: &str) -> String {
    format!(
        "destinations: {{ queue: {{ rabbitmq: {{ url: \"{}\", exchange: {exchange}, declare: true }} }} }}\n",
        brokers::rabbitmq()
    ) + &source(", destination: queue")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantine_queue_is_replayed_whole_and_keeps_only_what_is_still_broken() {
    let _calm = brokers::calm().await;
    let exchange = fresh("replay-queue");
    let quarantine = format!("dlq.{exchange}");
    let gateway = setup(&to_rabbitmq(&exchange)).start();
    gateway.wait_for("it is up", |g| {
        g.metric("hooksluice_destination_up", &["destination=\"queue\""]) == 1.0
    });
    let queues = Queues::open().await;
    for id in ids(3) {
        push(&gateway, &id, BROKEN);
    }
    push(&gateway, "hopeless", HOPELESS);
    gateway.wait_for("the broker has them", |g| {
        g.metric("hooksluice_spool_events", &[]) == 0.0
    });
    queues.bind(&exchange).await;
    mend(&gateway);

    let (code, said) = replay(&gateway, &["quarantine", "replay", "--from", "queue", "--dry-run"]);
    assert_eq!((code, counts(&said)), (1, [3, 1, 0, 0]), "{said}");
    assert_eq!(queues.depth(&quarantine).await, 4, "all are back");
    let (code, said) = replay(&gateway, &["quarantine", "replay", "--from", "queue"]);
    assert_eq!((code, counts(&said)), (1, [3, 1, 0, 0]), "{said}");
    assert_eq!(said["stays"][0]["id"], "hopeless");
    assert_eq!(queues.depth(&quarantine).await, 1);
    assert_eq!(queues.take(&exchange).await, (3, ids(3)));
    let missing = run(
        &gateway,
        &["quarantine", "replay", "--from", "queue", "--queue", "no-such-queue"],
    );
    assert_eq!(missing.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_while_it_replays_a_queue_loses_nothing() {
    let _calm = brokers::calm().await;
    let exchange = fresh("replay-queue-killed");
    let quarantine = format!("dlq.{exchange}");
    let yaml = to_rabbitmq(&exchange);
    let gateway = setup(&yaml).start();
    gateway.wait_for("it is up", |g| {
        g.metric("hooksluice_destination_up", &["destination=\"queue\""]) == 1.0
    });
    for id in ids(80) {
        push(&gateway, &id, BROKEN);
    }
    gateway.wait_for("the broker has them", |g| {
        g.metric("hooksluice_spool_events", &[]) == 0.0
    });
    let queues = Queues::open().await;
    queues.bind(&exchange).await;
    mend(&gateway);
    let slowly = ["quarantine", "replay", "--from", "queue", "--json", "--rate", "40"];
    let child = begin(&gateway, &slowly);
    gateway.wait_for("some are replayed", |g| replayed(g) >= 20.0);
    let directory = gateway.kill();
    let (code, _) = report(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, 1);

    let gateway = restart(&yaml, directory);
    gateway.wait_for("the broker has given back what was taken", |_| {
        let depth =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(queues.depth(&quarantine)));
        (1..80).contains(&depth)
    });
    let (code, said) = replay(&gateway, &["quarantine", "replay", "--from", "queue"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(queues.depth(&quarantine).await, 0);
    let (count, marked) = queues.take(&exchange).await;
    assert_eq!(marked, ids(80), "nothing lost, and all marked");
    assert!(count >= 80, "{count}");
}

/// A dry run gives back what it was lent, and a quorum queue counts that up to its limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_counts_returns_is_warned_of_before_it_loses_events() {
    let _calm = brokers::calm().await;
    let exchange = fresh("replay-quorum");
    let gateway = setup(&to_rabbitmq(&exchange)).start();
    gateway.wait_for("it is up", |g| {
        g.metric("hooksluice_destination_up", &["destination=\"queue\""]) == 1.0
    });
    let queues = Queues::open().await;
    let quorum = format!("quorum.{exchange}");
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        lapin::types::AMQPValue::LongString("quorum".into()),
    );
    let durable = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let declared = queues.channel.queue_declare(quorum.as_str().into(), durable, arguments);
    declared.await.expect("declared");
    let bound = queues.channel.queue_bind(
        quorum.as_str().into(),
        format!("dlq.{exchange}").as_str().into(),
        "".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.expect("bound");
    push(&gateway, "counted", BROKEN);
    gateway.wait_for("the broker has it", |g| g.metric("hooksluice_spool_events", &[]) == 0.0);
    let dry = [
        "quarantine",
        "replay",
        "--from",
        "queue",
        "--queue",
        &quorum,
        "--dry-run",
    ];
    for _ in 0..10 {
        let (_, said) = replay(&gateway, &dry);
        assert_eq!(counts(&said).iter().sum::<u64>(), 1, "{said}");
        assert!(!gateway.log().contains("delivery limit"));
    }
    replay(&gateway, &dry);
    assert!(gateway.log().contains("delivery limit"), "{}", gateway.log());
}
