//! What goes wrong, and what the publish then says about the event.

use std::time::Duration;

use futures_util::future::join_all;
use hooksluice::destination::{Feed, PublishError};
use serde_json::json;

use super::{Reader, open, plain};
use crate::support::events::{Sample, fresh};
use crate::support::{brokers, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_an_outage_at_once_that_names_the_address() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let main = open(json!({ "bootstrap_servers": free.to_string(), "topic": "t" })).main();
    eventually("known to be down", || async { main.down().is_some() }).await;
    let Err(PublishError::Down(reason)) = main.publish(Sample::new("x", "{}").event()).await else {
        panic!("it was taken")
    };
    assert!(reason.contains(&free.to_string()), "{reason}");
    let findings = main.probe(vec![]).await;
    assert!(
        findings
            .iter()
            .all(|finding| !finding.ok && finding.remedy.contains("bootstrap_servers")),
        "{findings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_downs_its_lane_until_somebody_creates_it() {
    let topic = fresh("missing");
    let main = open(plain(&topic)).main();
    let outcome = main.publish(Sample::new("a", "{}").event()).await;
    assert!(matches!(outcome, Err(PublishError::LaneDown(_))), "{outcome:?}");
    assert!(
        !brokers::topics().contains(&topic),
        "nothing is created without `declare`"
    );
    assert!(
        main.probe(vec![])
            .await
            .iter()
            .any(|finding| finding.remedy.contains("declare"))
    );
    brokers::create_topic(&topic, 1, &[]).await;
    eventually("found", || async {
        main.publish(Sample::new("b", "{}").event()).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_created_when_declared() {
    let topic = fresh("declared");
    let mut settings = plain(&topic);
    settings["declare"] = true.into();
    let kafka = open(settings);
    let publishes = (0..5).map(|n| kafka.main().publish(Sample::new(&format!("d-{n}"), "{}").event()));
    for receipt in join_all(publishes).await {
        receipt.expect("a receipt");
    }
    assert_eq!(Reader::new(&topic).read(5).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_downs_its_lane() {
    let topic = fresh("deleted");
    brokers::create_topic(&topic, 1, &[]).await;
    let main = open(plain(&topic)).main();
    main.publish(Sample::new("a", "{}").event()).await.expect("a receipt");
    brokers::delete_topic(&topic).await;
    eventually("lane down", || async {
        matches!(
            main.publish(Sample::new("b", "{}").event()).await,
            Err(PublishError::LaneDown(_))
        )
    })
    .await;
    assert_eq!(main.down(), None, "the cluster is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_producer_does_not_take_is_the_message_s_own_fault() {
    let topic = fresh("large");
    brokers::create_topic(&topic, 1, &[]).await;
    let mut settings = plain(&topic);
    settings["properties"] = json!({ "message.max.bytes": 20_000 });
    let main = open(settings).main();
    let outcome = main.publish(Sample::new("large", vec![b'x'; 20_001]).event()).await;
    assert!(matches!(outcome, Err(PublishError::Message(_))), "{outcome:?}");
    main.publish(Sample::new("small", "{}").event())
        .await
        .expect("a receipt");
}

/// The broker refuses a whole batch: the small ones in it are innocent.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_topic_does_not_take_fails_alone() {
    let topic = fresh("narrow");
    brokers::create_topic(&topic, 1, &[("max.message.bytes", "20000")]).await;
    let mut settings = plain(&topic);
    // Long enough for one batch of them all.
    settings["properties"] = json!({ "linger.ms": 200 });
    let main = open(settings).main();
    let findings = main.probe(vec![]).await;
    assert!(
        findings
            .iter()
            .any(|finding| !finding.ok && finding.remedy.contains("20000")),
        "{findings:?}"
    );
    let sizes = [9_000, 9_000, 30_000, 9_000, 9_000];
    let publishes = sizes.iter().enumerate().map(|(n, size)| {
        let event = Sample::new(&format!("n-{n}"), vec![b'x'; *size]).event();
        main.publish(event)
    });
    for (size, outcome) in sizes.iter().zip(join_all(publishes).await) {
        match outcome {
            Ok(_) => assert!(*size < 20_000),
            Err(PublishError::Message(_)) => assert!(*size > 20_000, "{size} bytes fit"),
            Err(other) => panic!("{size}: {other}"),
        }
    }
    assert_eq!(Reader::new(&topic).read(4).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    let topic = fresh("full");
    brokers::create_topic(&topic, 1, &[]).await;
    let mut settings = plain(&topic);
    settings["properties"] = json!({ "queue.buffering.max.messages": 10, "linger.ms": 500 });
    let main = open(settings).main();
    let outcomes = join_all((0..50).map(|n| main.publish(Sample::new(&format!("f-{n}"), "{}").event()))).await;
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((10..50).contains(&taken), "{taken}");
    assert!(outcomes.iter().all(|outcome| match outcome {
        Ok(_) => true,
        Err(error) => matches!(error, PublishError::Down(reason) if reason.contains("full")),
    }));
    assert_eq!(Reader::new(&topic).read(taken).len(), taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_at_close_says_unknown_and_never_nothing() {
    let topic = fresh("given-up");
    brokers::create_topic(&topic, 1, &[]).await;
    let mut settings = plain(&topic);
    // Nothing leaves before the close.
    settings["properties"] = json!({ "linger.ms": 60_000, "message.timeout.ms": 120_000 });
    let kafka = open(settings);
    let main = kafka.main();
    let publishes: Vec<_> = (0..20)
        .map(|n| main.publish(Sample::new(&format!("g-{n}"), "{}").event()))
        .collect();
    kafka.close(Duration::ZERO).await;
    for outcome in join_all(publishes).await {
        assert!(matches!(outcome, Ok(_) | Err(PublishError::Unknown(_))), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_finds_the_topics_of_the_feeds() {
    let prefix = fresh("feeds");
    brokers::create_topic(&format!("{prefix}.github"), 1, &[]).await;
    let main = open(plain(&format!("{prefix}.{{source}}"))).main();
    let feeds = ["github", "stripe"].map(|source| Feed {
        source: source.into(),
        provider: source.into(),
    });
    let findings = main.probe(feeds.to_vec()).await;
    let problems: Vec<_> = findings.iter().filter(|finding| !finding.ok).collect();
    assert_eq!(problems.len(), 1, "{findings:?}");
    assert!(problems[0].place.contains(&format!("{prefix}.stripe")), "{problems:?}");
    assert!(
        findings
            .iter()
            .any(|finding| finding.ok && finding.text.contains("1 partition")),
        "{findings:?}"
    );
}
