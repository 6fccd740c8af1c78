//! What the configuration may say, and where events then go.

use std::time::Duration;

use hooksluice::destination::rabbitmq::{Quarantine, RabbitMq, Settings};
use hooksluice::destination::{Position, PublishError};
use lapin::types::FieldTable;
use serde_json::{Value, json};

use super::{Broker, exchange_with_queue, open, parsed, plain};
use crate::support::events::{Sample, fresh};
use crate::support::{brokers, eventually, needed, until_up};

fn problems(value: Value) -> Vec<String> {
    parsed(value).check(&Quarantine::default())
}

#[test]
fn a_bad_url_is_refused_without_showing_it() {
    for url in [
        "http://u:canary@host/",
        "amqp://u:canary@host:port/%2f",
        "canary",
        "amqp://u:canary@host/",
        "amqp:/canary",
        "amqps:/canary/",
    ] {
        let found = problems(json!({ "url": url, "exchange": "e" }));
        assert_eq!(found.len(), 1, "{url}: {found:?}");
        assert!(found[0].starts_with("rabbitmq.url: "), "{found:?}");
        assert!(!found[0].contains("canary"), "{found:?}");
    }
    let settings = parsed(json!({ "url": "amqp://u:canary@host/%2f", "exchange": "e" }));
    assert!(!format!("{settings:?}").contains("canary"));
}

#[test]
fn every_problem_is_told_at_once() {
    let found = problems(json!({
        "url": { "env": "HOOKSLUICE_TEST_NOT_SET" },
        "exchange": "webhooks.{source}",
        "routing_key": "{typ}",
    }));
    for word in ["HOOKSLUICE_TEST_NOT_SET", "rabbitmq.exchange", "did you mean `{type}`?"] {
        assert!(found.iter().any(|problem| problem.contains(word)), "{word}: {found:?}");
    }
}

#[test]
fn certificates_are_checked_when_loaded() {
    let url = "amqps://u:p@host/%2f";
    for (tls, word) in [
        (
            json!({ "ca": "/nowhere/ca.pem" }),
            "tls.ca: cannot read `/nowhere/ca.pem`",
        ),
        (json!({ "certificate": "/nowhere/c.pem" }), "tls.key: is missing"),
        (json!({ "key": "/nowhere/c.key" }), "tls.certificate: is missing"),
    ] {
        let found = problems(json!({ "url": url, "exchange": "e", "tls": tls }));
        assert!(found.len() == 1 && found[0].contains(word), "{word}: {found:?}");
    }
    let found = problems(json!({ "url": "amqp://u:p@host/%2f", "exchange": "e", "tls": {} }));
    assert!(found.len() == 1 && found[0].contains("amqps"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_quarantine_always_has_a_queue() {
    let _calm = brokers::calm().await;
    let exchange = fresh("declared");
    let rabbitmq = open(plain(&exchange));
    let quarantine = rabbitmq.quarantine();
    until_up(&quarantine).await;
    let event = Sample::new("broken", "{}").with("quarantinereason", "contract").event();
    let receipt = quarantine.publish(event).await.expect("a receipt");
    let Position::RabbitMq {
        exchange: at,
        routing_key,
    } = receipt.position()
    else {
        panic!("{receipt:?}")
    };
    assert_eq!(
        (&**at, &**routing_key),
        (&*format!("dlq.{exchange}"), "com.github.push")
    );
    assert_eq!(
        Broker::new().await.read(&format!("dlq.{exchange}"), 1).await[0].id(),
        "broken"
    );
    // The main exchange was declared too; its queues are the consumers'.
    let unbound = rabbitmq.main().publish(Sample::new("x", "{}").event()).await;
    assert!(
        matches!(&unbound, Err(PublishError::LaneDown(reason)) if reason.contains("NO_ROUTE")),
        "{unbound:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_default_exchange_routing_keys_name_queues() {
    let _calm = brokers::calm().await;
    let broker = Broker::new().await;
    let queue = fresh("direct");
    let settings = json!({ "url": brokers::rabbitmq(), "exchange": "", "routing_key": queue });
    for name in [queue.clone(), format!("dlq.{queue}")] {
        broker.plain_queue(&name).await;
    }
    let rabbitmq = open(settings);
    until_up(&rabbitmq.main()).await;
    rabbitmq
        .main()
        .publish(Sample::new("a", "{}").event())
        .await
        .expect("a receipt");
    rabbitmq
        .quarantine()
        .publish(Sample::new("b", "{}").event())
        .await
        .expect("a receipt");
    assert_eq!(broker.read(&queue, 9).await[0].id(), "a");
    assert_eq!(broker.read(&format!("dlq.{queue}"), 9).await[0].id(), "b");
    let findings = rabbitmq.main().probe(vec![]).await;
    assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
    assert!(
        findings.iter().any(|finding| finding.place.contains(&queue)),
        "{findings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_may_hold_any_characters() {
    let _calm = brokers::calm().await;
    let vhost = format!("{} a/b%é", fresh("vhost"));
    brokers::rabbitmqctl(&["add_vhost", &vhost]);
    brokers::rabbitmqctl(&["set_permissions", "-p", &vhost, "guest", ".*", ".*", ".*"]);
    let encoded = percent_encoding::utf8_percent_encode(&vhost, percent_encoding::NON_ALPHANUMERIC);
    let url = brokers::rabbitmq();
    let (front, _) = url.rsplit_once('/').expect("a virtual host");
    let rabbitmq = open(json!({ "url": format!("{front}/{encoded}"), "exchange": "e", "declare": true }));
    until_up(&rabbitmq.quarantine()).await;
    rabbitmq
        .quarantine()
        .publish(Sample::new("v", "{}").event())
        .await
        .expect("a receipt");
    let listed = brokers::rabbitmqctl(&["-q", "list_queues", "-p", &vhost, "name", "messages"]);
    assert!(listed.contains("dlq.e\t1"), "{listed}");
    brokers::rabbitmqctl(&["delete_vhost", &vhost]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_needs_the_right_authority_and_shows_the_client_s_certificate() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let settings = |tls: Value| json!({ "url": needed("HOOKSLUICE_TEST_RABBITMQ_TLS"), "exchange": exchange, "declare": true, "tls": tls });
    let (ca, certificate) = (brokers::tls("ca.pem"), brokers::tls("client.pem"));
    let key = json!({ "file": brokers::tls("client.key") });
    let rabbitmq = open(settings(json!({ "ca": ca, "certificate": certificate, "key": key })));
    until_up(&rabbitmq.main()).await;
    rabbitmq
        .main()
        .publish(Sample::new("tls", "{}").event())
        .await
        .expect("a receipt");
    assert_eq!(broker.read(&queue, 1).await[0].id(), "tls");
    rabbitmq.close(Duration::from_secs(5)).await;
    // The key as a path, like the certificate's.
    let by_path = settings(json!({ "ca": ca, "certificate": certificate, "key": brokers::tls("client.key") }));
    until_up(&open(by_path).main()).await;
    // Without its certificate, and without trusting the broker's.
    for tls in [
        json!({ "ca": ca }),
        json!({ "ca": certificate, "certificate": certificate, "key": key }),
    ] {
        let main = open(settings(tls.clone())).main();
        let tried = || async { main.down().is_some_and(|reason| reason != "not connected yet") };
        eventually("tried", tried).await;
        let findings = main.probe(vec![]).await;
        assert!(
            findings
                .iter()
                .any(|finding| !finding.ok && finding.remedy.contains("tls")),
            "{tls}: {findings:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_an_outage_that_says_why() {
    let _calm = brokers::calm().await;
    let url = brokers::rabbitmq().replace("guest:guest", "guest:canary");
    let main = open(json!({ "url": url, "exchange": "e" })).main();
    eventually("refused", || async {
        main.down().is_some_and(|reason| reason.contains("ACCESS"))
    })
    .await;
    assert!(!main.down().expect("a reason").contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_missing_downs_the_lane_and_a_granted_one_brings_it_back() {
    let _calm = brokers::calm().await;
    let (_broker, exchange, _queue) = exchange_with_queue().await;
    let user = fresh("user");
    brokers::rabbitmqctl(&["add_user", &user, "pw"]);
    brokers::rabbitmqctl(&["set_permissions", &user, "", "", ""]);
    let url = brokers::rabbitmq().replace("guest:guest", &format!("{user}:pw"));
    let rabbitmq = open(json!({ "url": url, "exchange": exchange }));
    let main = rabbitmq.main();
    until_up(&main).await;
    let publish = || main.publish(Sample::new(&fresh("p"), "{}").event());
    let outcome = publish().await;
    assert!(
        matches!(&outcome, Err(PublishError::LaneDown(reason)) if reason.contains("ACCESS")),
        "{outcome:?}"
    );
    assert_eq!(main.down(), None);
    brokers::rabbitmqctl(&["set_permissions", &user, "", ".*", ""]);
    eventually("granted", || async { publish().await.is_ok() }).await;
    brokers::rabbitmqctl(&["delete_user", &user]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_too_long_for_a_property_is_whole_in_its_header() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let rabbitmq = open(plain(&exchange));
    until_up(&rabbitmq.main()).await;
    let id = "i".repeat(300);
    rabbitmq
        .main()
        .publish(Sample::new(&id, "{}").event())
        .await
        .expect("a receipt");
    let message = broker
        .channel
        .basic_get(queue.as_str().into(), lapin::options::BasicGetOptions::default())
        .await
        .expect("an answer")
        .expect("a message");
    let properties = &message.delivery.properties;
    assert!(
        properties
            .message_id()
            .as_ref()
            .expect("an id")
            .as_str()
            .starts_with("sha256:")
    );
    let headers: &FieldTable = properties.headers().as_ref().expect("headers");
    let whole = headers
        .inner()
        .get("cloudEvents:id")
        .and_then(|value| value.as_long_string())
        .expect("an id");
    assert_eq!(whole.to_string(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_settles_everything_that_was_taken() {
    let _calm = brokers::calm().await;
    let (broker, exchange, queue) = exchange_with_queue().await;
    let rabbitmq = open(plain(&exchange));
    let main = rabbitmq.main();
    until_up(&main).await;
    let publishes: Vec<_> = (0..500)
        .map(|n| main.publish(Sample::new(&format!("c-{n}"), "{}").event()))
        .collect();
    rabbitmq.close(Duration::from_secs(10)).await;
    for receipt in futures_util::future::join_all(publishes).await {
        receipt.expect("a receipt");
    }
    assert_eq!(broker.read(&queue, 501).await.len(), 500);
    let after = main.publish(Sample::new("late", "{}").event()).await;
    assert!(matches!(after, Err(PublishError::Down(_))), "{after:?}");
}

/// A connection that was opened within a request's short-lived runtime must not die with it.
#[test]
fn the_connection_lives_on_the_runtime_that_was_given() {
    let long = tokio::runtime::Runtime::new().expect("a runtime");
    let (broker, exchange, queue) = long.block_on(exchange_with_queue());
    let _calm = long.block_on(brokers::calm());
    let settings: Settings = parsed(plain(&exchange));
    let handle = long.handle().clone();
    let short = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let rabbitmq: RabbitMq = short()
        .block_on(async { RabbitMq::open("queue", &settings, &Quarantine::default(), handle) })
        .expect("it opens");
    let main = rabbitmq.main();
    for n in 0..2 {
        short().block_on(async {
            until_up(&main).await;
            main.publish(Sample::new(&format!("l-{n}"), "{}").event())
                .await
                .expect("a receipt");
        });
    }
    assert_eq!(long.block_on(broker.read(&queue, 9)).len(), 2);
}
