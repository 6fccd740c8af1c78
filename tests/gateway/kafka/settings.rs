//! What the configuration may say, and what it is told when it may not.

use hooksluice::destination::kafka::{Kafka, Quarantine};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::parsed;

fn problems(value: Value) -> Vec<String> {
    parsed(value).check(&Quarantine::default())
}

fn with(name: &str, value: Value) -> Value {
    json!({ "bootstrap_servers": "127.0.0.1:9", "topic": "t", "properties": { name: value } })
}

#[test]
fn properties_that_would_break_the_promise_are_refused_with_a_remedy() {
    for (name, value) in [
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("enable.idempotence", "false"),
        ("enable.gapless.guarantee", "true"),
        ("transactional.id", "t"),
        ("delivery.report.only.error", "true"),
        ("queuing.strategy", "lifo"),
        ("partitioner", "random"),
        ("bootstrap.servers", "other:9092"),
        ("metadata.broker.list", "other:9092"),
        ("allow.auto.create.topics", "true"),
        ("test.mock.num.brokers", "1"),
        ("message.timeout.ms", "0"),
        ("message.timeout.ms", "86400000"),
        ("delivery.timeout.ms", "soon"),
    ] {
        let found = problems(with(name, value.into()));
        assert_eq!(found.len(), 1, "{name}={value}: {found:?}");
        assert!(found[0].starts_with(&format!("kafka.properties.{name}: ")), "{found:?}");
    }
}

#[test]
fn other_properties_pass_whatever_scalar_they_are() {
    let settings = json!({
        "bootstrap_servers": "127.0.0.1:9",
        "topic": "webhooks.{source}",
        "properties": {
            "compression.type": "lz4", "linger.ms": 5, "socket.keepalive.enable": true, "message.timeout.ms": 10000,
            "partitioner": "consistent_random",
        },
    });
    assert_eq!(problems(settings), Vec::<String>::new());
}

#[test]
fn every_problem_is_told_at_once() {
    let found = problems(json!({
        "bootstrap_servers": " ",
        "topic": "webhooks {soure}",
        "properties": { "acks": "0", "sasl.password": { "env": "HOOKSLUICE_TEST_NOT_SET" } },
    }));
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(
        found.iter().any(|problem| problem.contains("did you mean `{source}`?")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|problem| problem.contains("HOOKSLUICE_TEST_NOT_SET")),
        "{found:?}"
    );
}

#[test]
fn an_unknown_setting_is_refused() {
    let error = serde_json::from_value::<hooksluice::destination::kafka::Settings>(
        json!({ "bootstrap_servers": "a:1", "topic": "t", "topics": "u" }),
    )
    .expect_err("refused");
    assert!(error.to_string().contains("topics"), "{error}");
}

/// librdkafka knows the properties; what it says is passed on without the value, which may be a credential.
#[tokio::test]
async fn a_property_that_librdkafka_refuses_is_named_without_its_value() {
    for (name, value) in [
        ("compresion.type", "canary-1"),
        ("compression.type", "canary-2"),
        ("linger.ms", "canary-3"),
    ] {
        let settings = parsed(with(name, value.into()));
        let opened = Kafka::open("stream", &settings, &Quarantine::default(), Handle::current());
        let problems = opened.expect_err("refused");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains(name), "{problems:?}");
        assert!(!problems[0].contains("canary"), "{problems:?}");
    }
}
