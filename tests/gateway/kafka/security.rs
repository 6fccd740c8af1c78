//! TLS, client certificates, SASL, and permissions that come and go.

use hooksluice::destination::PublishError;
use serde_json::{Value, json};

use super::{Reader, open};
use crate::support::events::{Sample, fresh};
use crate::support::{brokers, eventually, needed};

fn sasl(topic: &str, password: Value) -> Value {
    json!({
        "bootstrap_servers": needed("HOOKSLUICE_TEST_KAFKA_SASL"),
        "topic": topic,
        "properties": {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": "gw",
            "sasl.password": password,
        },
    })
}

fn acl(arguments: &[&str], topic: &str) {
    let mut all = arguments.to_vec();
    all.extend(["--topic", topic]);
    brokers::kafka_tool("org.apache.kafka.tools.AclCommand", &all);
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_over_tls_with_and_without_a_client_certificate_and_with_a_password_from_a_file() {
    let topic = fresh("secure");
    brokers::create_topic(&topic, 1, &[]).await;
    let password = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(password.path(), "secret\n").expect("written");
    let ssl = |address: &str, client: bool| {
        let mut properties = json!({ "security.protocol": "SSL", "ssl.ca.location": brokers::tls("ca.pem") });
        if client {
            properties["ssl.certificate.location"] = json!(brokers::tls("client.pem"));
            properties["ssl.key.location"] = json!(brokers::tls("client.key"));
        }
        json!({ "bootstrap_servers": needed(address), "topic": topic, "properties": properties })
    };
    let all = [
        ssl("HOOKSLUICE_TEST_KAFKA_SSL", false),
        ssl("HOOKSLUICE_TEST_KAFKA_MTLS", true),
        sasl(&topic, json!({ "file": password.path() })),
    ];
    for (n, settings) in all.into_iter().enumerate() {
        let receipt = open(settings)
            .main()
            .publish(Sample::new(&format!("s-{n}"), "{}").event())
            .await;
        receipt.unwrap_or_else(|error| panic!("{n}: {error}"));
    }
    assert_eq!(Reader::new(&topic).read(3).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_a_missing_certificate_is_an_outage_that_says_why() {
    let topic = fresh("refused");
    let wrong = open(sasl(&topic, "canary-password".into())).main();
    let bare = open(json!({
        "bootstrap_servers": needed("HOOKSLUICE_TEST_KAFKA_MTLS"),
        "topic": topic,
        "properties": { "security.protocol": "SSL", "ssl.ca.location": brokers::tls("ca.pem") },
    }))
    .main();
    for (destination, word) in [(wrong, "uthenticat"), (bare, "SSL")] {
        eventually("known to be down", || async { destination.down().is_some() }).await;
        let reason = destination.down().expect("a reason");
        assert!(reason.contains(word), "{reason}");
        assert!(!reason.contains("canary"), "{reason}");
        let outcome = destination.publish(Sample::new("x", "{}").event()).await;
        assert!(matches!(outcome, Err(PublishError::Down(_))), "{outcome:?}");
        let findings = destination.probe(vec![]).await;
        assert!(
            findings.iter().any(|finding| !finding.ok && !finding.remedy.is_empty()),
            "{findings:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_permission_downs_its_topic_until_it_is_granted_again() {
    let (topic, other) = (fresh("revoked"), fresh("allowed"));
    for topic in [&topic, &other] {
        brokers::create_topic(topic, 1, &[]).await;
    }
    let kafka = open(sasl("{source}", "secret".into()));
    let to = |topic: &str| {
        let event = Sample::new(&fresh("e"), "{}")
            .with("source", &format!("/sources/{topic}"))
            .event();
        kafka.main().publish(event)
    };
    to(&topic).await.expect("still allowed");
    to(&other).await.expect("allowed");
    // From now on, only somebody else may.
    acl(
        &["--add", "--allow-principal", "User:somebody", "--operation", "Write"],
        &topic,
    );
    eventually("refused", || async {
        matches!(to(&topic).await, Err(PublishError::LaneDown(_)))
    })
    .await;
    to(&other).await.expect("another topic is not concerned");
    acl(
        &[
            "--add",
            "--allow-principal",
            "User:gw",
            "--operation",
            "Write",
            "--operation",
            "Describe",
        ],
        &topic,
    );
    eventually("allowed again", || async { to(&topic).await.is_ok() }).await;
}
