//! What tests share: a gateway as a user runs it, a plain HTTP client, real brokers, and what every destination owes.

pub mod brokers;
pub mod destination_contract;
pub mod events;
pub mod gateway;
pub mod http;
pub mod oracle;
pub mod proxy;
pub mod sign;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use gateway::Gateway;
use hooksluice::destination::Destination;
pub use http::{get, request};

/// What `scripts/test` provides. Missing, it is a failure with its remedy, never a skip.
pub fn needed(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set; run `scripts/test`, or `scripts/brokers start` and `eval \"$(scripts/brokers env)\"`")
    })
}

/// Asks again until the answer is yes; a minute without one is a failure.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !ask().await {
        assert!(Instant::now() < patience, "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn until_up(destination: &Arc<dyn Destination>) {
    eventually("the destination is up", || async { destination.down().is_none() }).await;
}

/// Messages of a topic, from its beginning, read by a consumer that is not ours.
pub fn dump(topic: &str, expected: usize) -> Vec<serde_json::Value> {
    let output = std::process::Command::new(needed("HOOKSLUICE_TEST_PYTHON"))
        .arg(format!("{}/tests/oracles/kafka_dump.py", env!("CARGO_MANIFEST_DIR")))
        .args([&needed("HOOKSLUICE_TEST_KAFKA"), topic, &expected.to_string()])
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
