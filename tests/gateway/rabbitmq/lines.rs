//! Workers publish through lines of their own.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use hooksluice::destination::{PublishError, Receipt};
use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;

use super::{exchange_with_queue, open, plain, until_base_is_up, until_up};
use crate::support::events::{Sample, fresh};
use crate::support::{brokers, eventually};

type Publish = BoxFuture<'static, Result<Receipt, PublishError>>;

/// Does the work as a worker of the ingress does, on a thread with a runtime of its own, which then ends.
async fn on_a_worker<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(work())
    });
    let ended = tokio::task::spawn_blocking(move || worker.join());
    ended.await.expect("no panic").expect("no panic")
}

/// By now, without waiting.
fn all_have_receipts(publishes: Vec<Publish>) {
    for publish in publishes {
        let settled = tokio::task::unconstrained(publish).now_or_never();
        settled.expect("settled by now").expect("a receipt");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_leaves_nobody_waiting_and_takes_no_receipt_with_it() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    let its = main.clone();
    let publishes = on_a_worker(async move || {
        until_up(&its).await;
        let publishes: Vec<_> = (0..300)
            .map(|n| its.publish(Sample::new(&format!("w-{n}"), "{}").key("k").event()))
            .collect();
        // Some are on their way, some still queued.
        tokio::task::yield_now().await;
        publishes
    })
    .await;
    let mut receipted = BTreeSet::new();
    for (n, outcome) in join_all(publishes).await.into_iter().enumerate() {
        match outcome {
            Ok(_) => _ = receipted.insert(format!("w-{n}")),
            Err(PublishError::Unknown(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(main.down(), None);
    main.publish(Sample::new("after", "{}").event())
        .await
        .expect("a receipt from the base line");
    receipted.insert("after".into());
    let stored: BTreeSet<String> = broker
        .read(&queue, 400)
        .await
        .iter()
        .map(|stored| stored.id().to_owned())
        .collect();
    assert!(stored.is_superset(&receipted), "lost");
    rabbitmq.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn closing_waits_for_what_a_worker_has_under_way() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    until_up(&main).await;
    let publishes: Vec<_> = (0..300)
        .map(|n| main.publish(Sample::new(&format!("c-{n}"), "{}").event()))
        .collect();
    rabbitmq.close(Duration::from_secs(10)).await;
    all_have_receipts(publishes);
    assert_eq!(broker.read(&queue, 400).await.len(), 300);
    let late = main.publish(Sample::new("late", "{}").event()).await;
    assert!(matches!(late, Err(PublishError::Down(_))), "{late:?}");
}

/// A user may open two channels, which are the base line's. (One more would not do: the broker counts late, and may let both of
/// the worker's pass.)
#[tokio::test]
async fn a_worker_whose_line_is_refused_publishes_through_the_base_line() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let user = fresh("user");
    brokers::rabbitmqctl(&["add_user", &user, "pw"]);
    brokers::rabbitmqctl(&["set_permissions", &user, ".*", ".*", ".*"]);
    brokers::rabbitmqctl(&["set_user_limits", &user, "{\"max-channels\": 2}"]);
    let url = brokers::rabbitmq();
    let (_, address) = url.rsplit_once('@').expect("credentials");
    let mut settings = plain(&exchange);
    settings["url"] = format!("amqp://{user}:pw@{address}").into();
    let rabbitmq = open(settings);
    let main = rabbitmq.main();
    until_base_is_up(&main).await;
    // Long enough for the worker's line to be tried, and refused, more than once.
    for n in 0..30 {
        let published = main.publish(Sample::new(&format!("r-{n}"), "{}").event()).await;
        published.expect("a receipt");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(format!("{main:?}").contains("workers_up: 0"));
    assert_eq!(broker.read(&queue, 40).await.len(), 30);
    rabbitmq.close(Duration::from_secs(5)).await;
    brokers::rabbitmqctl(&["delete_user", &user]);
}

#[tokio::test]
async fn when_workers_are_to_end_what_they_published_is_confirmed_and_the_rest_takes_the_base_line() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    until_up(&main).await;
    let publishes: Vec<_> = (0..300)
        .map(|n| main.publish(Sample::new(&format!("e-{n}"), "{}").event()))
        .collect();
    rabbitmq.end_workers(Duration::from_secs(10)).await;
    all_have_receipts(publishes);
    assert!(format!("{main:?}").contains("workers_up: 0"));
    let after = main.publish(Sample::new("e-after", "{}").event()).await;
    after.expect("a receipt");
    assert_eq!(broker.read(&queue, 400).await.len(), 301);
    rabbitmq.close(Duration::from_secs(5)).await;
}

/// What a worker found out of an exchange is not left standing when the worker ends.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_a_worker_found_missing_is_looked_for_when_the_worker_has_ended() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let mut settings = plain(&exchange);
    settings["declare"] = false.into();
    let rabbitmq = open(settings);
    let (main, its) = (rabbitmq.main(), rabbitmq.main());
    let (name, channel) = (exchange.clone(), broker.channel.clone());
    on_a_worker(async move || {
        until_up(&its).await;
        let deleted = channel.exchange_delete(name.as_str().into(), Default::default());
        deleted.await.expect("deleted");
        let outcome = its.publish(Sample::new(&fresh("gone"), "{}").event()).await;
        assert!(matches!(outcome, Err(PublishError::LaneDown(_))), "{outcome:?}");
    })
    .await;
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let kind = lapin::ExchangeKind::Topic;
    broker
        .channel
        .exchange_declare(exchange.as_str().into(), kind, durable, FieldTable::default())
        .await
        .expect("declared");
    broker.queue(&queue, &exchange, "#", FieldTable::default()).await;
    eventually("the base line takes it", || async {
        main.publish(Sample::new(&fresh("back"), "{}").event()).await.is_ok()
    })
    .await;
}
