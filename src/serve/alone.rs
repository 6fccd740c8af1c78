//! What a command does by itself when no gateway runs: as the one process on the journal, with the same destinations.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::destinations::Destinations;
use super::{FLUSH, Running, ServeError, duplicates, keyring};
use crate::config::Loaded;
use crate::http::Senders;
use crate::replay::Replays;
use crate::telemetry::Metrics;

/// Open destinations, and no listener.
#[derive(Debug)]
pub struct Alone {
    destinations: Destinations,
    replays: Arc<Replays>,
}

impl Alone {
    /// Refused while another process holds the journal. What waits in the spool drains meanwhile.
    pub async fn open(loaded: Loaded) -> Result<Self, ServeError> {
        let metrics = Metrics::new();
        let keyring = keyring(&loaded)?;
        let mut destinations = Destinations::open(&loaded.config, &metrics, Handle::current())
            .map_err(|error| ServeError::Start(error.to_string()))?;
        let duplicates = Arc::new(duplicates(&loaded, &destinations)?);
        let running = Running {
            loaded,
            keyring,
            duplicates,
            metrics,
            senders: Senders::default(),
            replaying: Arc::new(Semaphore::new(1)),
        };
        let (_, replays) = running.gateway(&mut destinations, None).await?;
        Ok(Self {
            destinations,
            replays: Arc::new(replays),
        })
    }

    pub fn replays(&self) -> Arc<Replays> {
        self.replays.clone()
    }

    pub async fn close(mut self) {
        self.destinations.close(FLUSH).await;
    }
}
