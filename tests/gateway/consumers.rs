//! The example consumers, run as a user runs them: events of a real gateway, through the real brokers, verified again.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::gateway::Setup;
use crate::support::{Gateway, needed, sign};

const PUSH: &[u8] = include_bytes!("../../schemas/github/samples/push.json");
const INVOICE: &[u8] = include_bytes!("../../schemas/stripe/samples/invoice.paid.json");

/// Two genuine deliveries, each sent twice.
fn deliver(gateway: &Gateway) {
    let github = sign::github("github-secret", PUSH);
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("x-github-delivery", "d-1"),
        ("x-hub-signature-256", &*github),
    ];
    assert_eq!(gateway.post("/in/github", &headers, PUSH).status, 200);
    let stripe = sign::stripe("whsec_stripe", sign::now(), INVOICE);
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("stripe-signature", &*stripe),
    ];
    assert_eq!(gateway.post("/in/stripe", &headers, INVOICE).status, 200);
}

/// One JSON line an event.
fn consume(mut command: Command) -> Vec<serde_json::Value> {
    let output = command
        .env("HOOKSLUICE_SECRET_GITHUB", "github-secret")
        .env("HOOKSLUICE_SECRET_STRIPE", "whsec_stripe")
        .stdin(Stdio::null())
        .output()
        .expect("the consumer runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}

fn assert_verified_again(lines: &[serde_json::Value]) {
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert_eq!(line["verified"], true, "{line}");
        assert_eq!(line["duplicate"], false, "{line}");
    }
    let digests: Vec<&str> = lines.iter().filter_map(|line| line["sha256"].as_str()).collect();
    for body in [PUSH, INVOICE] {
        assert!(digests.contains(&sign::sha256(body).as_str()), "{lines:?}");
    }
}

fn gateway(destinations: &str) -> Gateway {
    Setup::new(&format!(
        "{destinations}
sources:
  github: {{ provider: github, secrets: [{{ value: github-secret }}], destination: there }}
  stripe: {{ provider: stripe, secrets: [{{ value: whsec_stripe }}], destination: there }}
"
    ))
    .start()
}

/// Node resolves packages from beside the program.
fn node_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir("examples/consumers/node").expect("examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            std::fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
        }
    }
    std::os::unix::fs::symlink(
        Path::new(&needed("HOOKSLUICE_TEST_NODE_MODULES")),
        folder.path().join("node_modules"),
    )
    .expect("linked");
    folder
}

#[test]
fn the_kafka_consumers_verify_what_the_gateway_published() {
    let brokers = needed("HOOKSLUICE_TEST_KAFKA");
    for mode in ["binary", "structured"] {
        let topic = format!("consumers-{mode}-{}", std::process::id());
        let gateway = gateway(&format!(
            "destinations: {{ there: {{ kafka: {{ bootstrap_servers: \"{brokers}\", topic: {topic}, mode: {mode}, declare: true }} }} }}"
        ));
        deliver(&gateway);
        // The topic is made by the first event; a consumer that asks before finds none, and looks again only minutes later.
        gateway.wait_for("nothing waits in the spool", |g| {
            g.metric("hooksluice_spool_events", &[]) == 0.0
        });
        let options = [
            "--bootstrap-servers",
            &brokers,
            "--group",
            &topic,
            "--max",
            "2",
            "--idle",
            "60",
        ];
        let mut python = Command::new(needed("HOOKSLUICE_TEST_PYTHON"));
        python
            .arg("examples/consumers/python/kafka_consumer.py")
            .arg(&topic)
            .args(options);
        assert_verified_again(&consume(python));
        let folder = node_folder();
        let mut node = Command::new("node");
        let group = format!("{topic}-node");
        node.arg(folder.path().join("kafka-consumer.mjs")).arg(&topic);
        node.args([
            "--bootstrap-servers",
            &brokers,
            "--group",
            &group,
            "--max",
            "2",
            "--idle",
            "60",
        ]);
        assert_verified_again(&consume(node));
    }
}

#[test]
fn the_rabbitmq_consumer_verifies_what_the_gateway_published() {
    let url = needed("HOOKSLUICE_TEST_RABBITMQ");
    let name = format!("consumers-{}", std::process::id());
    let folder = node_folder();
    let node = |max: &str| {
        let mut node = Command::new("node");
        node.arg(folder.path().join("rabbitmq-consumer.mjs"));
        node.args([
            "--url",
            &url,
            "--queue",
            &name,
            "--exchange",
            &name,
            "--routing-key",
            "#",
            "--max",
            max,
            "--idle",
            "60",
        ]);
        node
    };
    let gateway = gateway(&format!(
        "destinations: {{ there: {{ rabbitmq: {{ url: \"{url}\", exchange: {name}, routing_key: \"{{type}}\", declare: true }} }} }}"
    ));
    gateway.wait_for("RabbitMQ is up", |g| {
        g.metric("hooksluice_destination_up", &["destination=\"there\""]) == 1.0
    });
    // The consumer declares and binds its queue; deliveries wait in the spool until it has.
    deliver(&gateway);
    assert_verified_again(&consume(node("2")));
}
