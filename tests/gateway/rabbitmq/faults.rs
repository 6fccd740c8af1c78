//! What goes wrong, and what the publish then says about the event.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use hooksluice::destination::PublishError;
use lapin::options::ExchangeDeleteOptions;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;

use super::{Broker, exchange_with_queue, open, plain, through_each_line, until_up};
use crate::support::events::{Sample, fresh};
use crate::support::proxy::{Link, Proxy};
use crate::support::{brokers, eventually};

through_each_line!(
    a_missing_exchange_downs_its_lane_until_somebody_declares_it,
    a_deleted_exchange_downs_its_lane_and_leaves_the_other_alone,
    a_binding_that_comes_back_is_used_at_once,
    a_full_queue_that_rejects_downs_its_lane,
    a_cut_connection_loses_no_receipt_and_comes_back_by_itself,
    a_silent_connection_is_given_up_and_says_unknown,
    a_memory_alarm_is_an_outage_until_it_ends,
    what_the_broker_does_not_take_is_the_message_s_own_fault,
    attributes_that_fit_no_frame_are_the_message_s_own_fault,
);

/// The test broker's URL, by way of a proxy.
pub async fn through_a_proxy() -> (Proxy, String) {
    let url = brokers::rabbitmq();
    let (front, path) = url.rsplit_once('/').expect("a virtual host");
    let (credentials, address) = front.rsplit_once('@').expect("credentials");
    let proxy = Proxy::to(address).await;
    let url = format!("{credentials}@{}/{path}", proxy.address);
    (proxy, url)
}

async fn a_missing_exchange_downs_its_lane_until_somebody_declares_it() {
    let _calm = brokers::calm().await;
    let exchange = fresh("missing");
    let mut settings = plain(&exchange);
    settings["declare"] = false.into();
    let rabbitmq = open(settings);
    let main = rabbitmq.main();
    until_up(&main).await;
    let publish = || main.publish(Sample::new(&fresh("m"), "{}").event());
    let outcome = publish().await;
    assert!(
        matches!(&outcome, Err(PublishError::LaneDown(reason)) if reason.contains(&exchange)),
        "{outcome:?}"
    );
    assert_eq!(main.down(), None, "the broker is there");
    assert!(
        main.probe(vec![])
            .await
            .iter()
            .any(|finding| finding.remedy.contains("declare"))
    );
    let broker = Broker::new().await;
    broker.exchange(&exchange).await;
    broker
        .queue(&fresh("queue"), &exchange, "#", FieldTable::default())
        .await;
    eventually("found", || async { publish().await.is_ok() }).await;
}

async fn a_deleted_exchange_downs_its_lane_and_leaves_the_other_alone() {
    let _calm = brokers::calm().await;
    let (broker, exchange, _) = exchange_with_queue().await;
    broker.exchange(&format!("dlq.{exchange}")).await;
    broker
        .queue(&fresh("queue"), &format!("dlq.{exchange}"), "#", FieldTable::default())
        .await;
    let mut settings = plain(&exchange);
    settings["declare"] = false.into();
    let rabbitmq = open(settings);
    let (main, quarantine) = (rabbitmq.main(), rabbitmq.quarantine());
    until_up(&main).await;
    main.publish(Sample::new("a", "{}").event()).await.expect("a receipt");
    let delete = ExchangeDeleteOptions::default();
    broker
        .channel
        .exchange_delete(exchange.as_str().into(), delete)
        .await
        .expect("deleted");
    let outcome = main.publish(Sample::new("b", "{}").event()).await;
    assert!(matches!(outcome, Err(PublishError::LaneDown(_))), "{outcome:?}");
    quarantine
        .publish(Sample::new("c", "{}").event())
        .await
        .expect("a receipt");
    assert_eq!(main.down(), None);
}

async fn a_binding_that_comes_back_is_used_at_once() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    until_up(&main).await;
    let (queue, key) = (queue.as_str(), "#");
    broker
        .channel
        .queue_unbind(
            queue.into(),
            exchange.as_str().into(),
            key.into(),
            FieldTable::default(),
        )
        .await
        .expect("unbound");
    let outcome = main.publish(Sample::new("a", "{}").event()).await;
    assert!(matches!(outcome, Err(PublishError::LaneDown(_))), "{outcome:?}");
    broker.queue(queue, &exchange, key, FieldTable::default()).await;
    main.publish(Sample::new("b", "{}").event()).await.expect("a receipt");
    let stored = broker.read(queue, 2).await;
    assert_eq!(stored.iter().map(|stored| stored.id()).collect::<Vec<_>>(), ["b"]);
}

async fn a_full_queue_that_rejects_downs_its_lane() {
    let _calm = brokers::calm().await;
    let broker = Broker::new().await;
    let (exchange, queue) = (fresh("exchange"), fresh("queue"));
    broker.exchange(&exchange).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(3));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    broker.queue(&queue, &exchange, "#", arguments).await;
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    until_up(&main).await;
    let mut receipted = BTreeSet::new();
    let mut refused = 0;
    for n in 0..20 {
        match main.publish(Sample::new(&format!("r-{n}"), "{}").event()).await {
            Ok(_) => _ = receipted.insert(format!("r-{n}")),
            Err(PublishError::LaneDown(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0);
    let stored: BTreeSet<String> = broker
        .read(&queue, 20)
        .await
        .iter()
        .map(|stored| stored.id().to_owned())
        .collect();
    assert_eq!(stored, receipted);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_an_outage_at_once() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let url = format!("amqp://u:canary-password@{free}/%2f");
    let main = open(json!({ "url": url, "exchange": "e" })).main();
    eventually("tried", || async {
        main.down().is_some_and(|reason| reason.contains("refused"))
    })
    .await;
    let outcome = main.publish(Sample::new("x", "{}").event()).await;
    assert!(matches!(outcome, Err(PublishError::Down(_))), "{outcome:?}");
    let findings = main.probe(vec![]).await;
    assert!(findings.iter().all(|finding| !finding.ok), "{findings:?}");
    assert!(!format!("{findings:?}{main:?}{:?}", main.down()).contains("canary"));
}

async fn a_cut_connection_loses_no_receipt_and_comes_back_by_itself() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let (proxy, url) = through_a_proxy().await;
    let mut settings = plain(&exchange);
    settings["url"] = url.into();
    let rabbitmq = open(settings);
    let main = rabbitmq.main();
    until_up(&main).await;
    let mut receipted = BTreeSet::new();
    let mut failed = 0;
    for round in 0..5 {
        let ids: Vec<String> = (0..200).map(|n| format!("{round}-{n}")).collect();
        let publishes: Vec<_> = ids
            .iter()
            .map(|id| main.publish(Sample::new(id, "{}").key(id).event()))
            .collect();
        // In mid-flight: some are confirmed, some on their way, some queued.
        proxy.set(Link::Cut);
        for (id, outcome) in ids.into_iter().zip(join_all(publishes).await) {
            match outcome {
                Ok(_) => _ = receipted.insert(id),
                Err(PublishError::Down(_) | PublishError::Unknown(_)) => failed += 1,
                Err(other) => panic!("{other}"),
            }
        }
        eventually("known to be down", || async { main.down().is_some() }).await;
        proxy.set(Link::Open);
        until_up(&main).await;
        main.publish(Sample::new(&format!("{round}-after"), "{}").event())
            .await
            .expect("a receipt");
        receipted.insert(format!("{round}-after"));
    }
    assert!(failed > 0, "void: nothing was in flight");
    let stored: BTreeSet<String> = broker
        .read(&queue, 2000)
        .await
        .iter()
        .map(|stored| stored.id().to_owned())
        .collect();
    assert!(
        stored.is_superset(&receipted),
        "lost: {:?}",
        receipted.difference(&stored).collect::<Vec<_>>()
    );
}

/// Confirms no longer come back, though the broker stores: heartbeats find the half-dead connection.
async fn a_silent_connection_is_given_up_and_says_unknown() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let (proxy, url) = through_a_proxy().await;
    let mut settings = plain(&exchange);
    settings["url"] = format!("{url}?heartbeat=2").into();
    let rabbitmq = open(settings);
    let main = rabbitmq.main();
    until_up(&main).await;
    main.publish(Sample::new("before", "{}").event())
        .await
        .expect("a receipt");
    proxy.set(Link::Mute);
    let outcome = main.publish(Sample::new("silent", "{}").event()).await;
    assert!(matches!(outcome, Err(PublishError::Unknown(_))), "{outcome:?}");
    // It was stored all the same: to call it down would have been a lie.
    assert_eq!(broker.read(&queue, 2).await[1].id(), "silent");
    proxy.set(Link::Open);
    until_up(&main).await;
    main.publish(Sample::new("after", "{}").event())
        .await
        .expect("a receipt");
}

async fn a_memory_alarm_is_an_outage_until_it_ends() {
    let _alone = brokers::alone().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    until_up(&main).await;
    main.publish(Sample::new("before", "{}").event())
        .await
        .expect("a receipt");
    brokers::rabbitmqctl(&["set_vm_memory_high_watermark", "0.00001"]);
    // The broker says so when it is next published to; that publish waits.
    let waiting = tokio::spawn(main.publish(Sample::new("during", "{}").event()));
    eventually("known to be blocked", || async {
        main.down().is_some_and(|reason| reason.contains("blocked"))
    })
    .await;
    let outcome = main.publish(Sample::new("refused", "{}").event()).await;
    assert!(matches!(outcome, Err(PublishError::Down(_))), "{outcome:?}");
    brokers::rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]);
    waiting.await.expect("no panic").expect("a late receipt");
    until_up(&main).await;
    main.publish(Sample::new("after", "{}").event())
        .await
        .expect("a receipt");
    let stored: Vec<String> = broker
        .read(&queue, 9)
        .await
        .iter()
        .map(|stored| stored.id().to_owned())
        .collect();
    assert_eq!(stored, ["before", "during", "after"]);
}

async fn what_the_broker_does_not_take_is_the_message_s_own_fault() {
    let _alone = brokers::alone().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let before = brokers::rabbitmqctl(&["eval", "application:get_env(rabbit, max_message_size, 16777216)."]);
    let before: String = before.chars().filter(char::is_ascii_digit).collect();
    // For channels that open from now on; RabbitMQ 4 reads the second.
    let limit = |bytes: &str| {
        let set = format!(
            "application:set_env(rabbit, max_message_size, {bytes}), persistent_term:put(max_message_size, {bytes})."
        );
        brokers::rabbitmqctl(&["eval", &set])
    };
    limit("20000");
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    until_up(&main).await;
    let large = || main.publish(Sample::new("large", vec![b'x'; 20_001]).event());
    let first = large().await;
    limit(&before);
    assert!(matches!(first, Err(PublishError::Message(_))), "{first:?}");
    let known = large().await;
    assert!(matches!(known, Err(PublishError::Message(_))), "{known:?}");
    eventually("the channel is open again", || async {
        main.publish(Sample::new("small", "{}").event()).await.is_ok()
    })
    .await;
    assert_eq!(broker.read(&queue, 9).await.len(), 1);
}

async fn attributes_that_fit_no_frame_are_the_message_s_own_fault() {
    let _calm = brokers::calm().await;
    let (_broker, exchange, _queue) = exchange_with_queue().await;
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    until_up(&main).await;
    let event = Sample::new("huge", "{}").with("subject", &"x".repeat(200_000)).event();
    let outcome = main.publish(event).await;
    assert!(matches!(outcome, Err(PublishError::Message(_))), "{outcome:?}");
    // Just below the frame's size: lapin and the broker take it.
    let event = Sample::new("big", "{}").with("subject", &"x".repeat(128_000)).event();
    main.publish(event).await.expect("a receipt");
}
