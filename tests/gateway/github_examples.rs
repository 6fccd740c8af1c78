//! All of GitHub's own example payloads, signed by its kit's formula, through a running gateway to Kafka and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::support::gateway::Setup;
use crate::support::{dump, needed, sign};

const SECRET: &str = "a-secret-of-the-examples";
/// What `@octokit/webhooks-examples` 7.6.1 holds.
const EXAMPLES: usize = 329;

/// Event and body of each.
fn examples() -> Vec<(String, Vec<u8>)> {
    let folder = needed("HOOKSLUICE_TEST_NODE_MODULES");
    let path = Path::new(&folder).join("@octokit/webhooks-examples/api.github.com/index.json");
    let text =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `scripts/kits install`", path.display()));
    let events: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
    let mut examples = Vec::new();
    for event in &events {
        let name = event["name"].as_str().expect("a name");
        for example in event["examples"].as_array().expect("examples") {
            examples.push((name.to_owned(), serde_json::to_vec(example).expect("JSON")));
        }
    }
    examples
}

#[test]
fn all_of_githubs_example_payloads_come_back_from_kafka_with_the_same_bytes() {
    let examples = examples();
    assert_eq!(examples.len(), EXAMPLES);
    let topic = format!("github-examples-{}", std::process::id());
    let servers = needed("HOOKSLUICE_TEST_KAFKA");
    let yaml = format!(
        "destinations: {{ stream: {{ kafka: {{ bootstrap_servers: \"{servers}\", topic: {topic}, declare: true }} }} }}
sources:
  github: {{ provider: github, secrets: [{{ value: {SECRET} }}], destination: stream }}
"
    );
    let gateway = Setup::new(&yaml).start();

    let mut sent = BTreeMap::new();
    for (number, (event, body)) in examples.iter().enumerate() {
        let id = format!("0198b7c0-5a00-4000-8000-{number:012}");
        let signature = sign::github(SECRET, body);
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", event.as_str()),
            ("x-github-delivery", id.as_str()),
            ("x-hub-signature-256", signature.as_str()),
        ];
        let reply = gateway.post("/in/github", &headers, body);
        assert_eq!(
            reply.status,
            200,
            "{event} {number}: {}\n{}",
            reply.text(),
            gateway.log()
        );
        sent.insert(id, (event, body));
    }
    // While the topic is created the first of them may go by the spool.
    gateway.wait_for("nothing waits in the spool", |gateway| {
        gateway.metric("hooksluice_spool_events", &[]) == 0.0
    });

    let messages = dump(&topic, EXAMPLES);
    let mut read = BTreeSet::new();
    for message in &messages {
        let id = message["headers"]["ce_id"].as_str().expect("an id");
        let (event, body) = sent.get(id).unwrap_or_else(|| panic!("{id} was never sent"));
        assert_eq!(
            message["sha256"],
            sign::sha256(body),
            "{event} {id}: the bytes are the sender's"
        );
        assert_eq!(message["length"], body.len());
        let kind = message["headers"]["ce_type"].as_str().expect("a type");
        let prefix = format!("com.github.{event}");
        assert!(
            kind == prefix || kind.starts_with(&format!("{prefix}.")),
            "{kind} is no {prefix}"
        );
        assert!(read.insert(id.to_owned()), "{id} came twice");
    }
    assert_eq!(read.len(), EXAMPLES, "none is lost");
    assert_eq!(dump(&format!("dlq.{topic}"), 0).len(), 0, "none is quarantined");
    assert_eq!(gateway.quarantine().len(), 0, "not in the journal either");
}
