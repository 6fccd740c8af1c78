//! What tests share.

pub mod brokers;
pub mod destination_contract;
pub mod events;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hooksluice::destination::Destination;

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
