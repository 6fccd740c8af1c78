//! A source, compiled: what one endpoint needs to carry a delivery from bytes to receipt.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Histogram;

use crate::contract::Contracts;
use crate::destination::spool::Outlet;
use crate::duplicates::Duplicates;
use crate::event::{self, Event, Origin};
use crate::handshake::Handshakes;
use crate::keys::Keyring;
use crate::rate::Limiter;
use crate::read::Reader;
use crate::telemetry::SourceMetrics;
use crate::verify::Verifier;

/// One endpoint. Built once at load, never changed; a reload builds a new one.
#[derive(Debug)]
pub struct Source {
    pub origin: Origin,
    pub verifier: Verifier,
    pub handshakes: Handshakes,
    pub reader: Reader,
    pub contracts: Contracts,
    /// First match wins; what matches none goes to `destination`.
    pub routes: Vec<Route>,
    pub destination: Target,
    pub duplicates: Arc<Duplicates>,
    /// A retry may differ in bytes: a signed id alone suppresses.
    pub retry_bytes_differ: bool,
    pub keyring: Arc<Keyring>,
    /// How many verified deliveries are taken; `None`: any number.
    pub rate: Option<Limiter>,
    /// From the complete body to the answer: the setting, or 80 % of the platform's own deadline.
    pub ack_budget: Duration,
    pub metrics: Arc<SourceMetrics>,
}

/// Where events of some types go.
#[derive(Debug)]
pub struct Route {
    /// Full event types; a trailing `.*` matches everything below.
    pub types: Vec<String>,
    /// `None`: acknowledged and counted, not published.
    pub target: Option<Target>,
}

/// A destination and its quarantine.
#[derive(Clone, Debug)]
pub struct Target {
    pub main: Way,
    pub quarantine: Way,
}

/// An outlet, and how long publishing through it takes.
#[derive(Clone, Debug)]
pub struct Way {
    pub outlet: Outlet,
    pub duration: Histogram,
}

impl Source {
    /// The way of an event; `None` where a route ignores its type.
    pub fn way(&self, event: &Event) -> Option<&Way> {
        let route = self
            .routes
            .iter()
            .find(|route| route.types.iter().any(|pattern| event::is_type(pattern, event.kind())));
        let target = match route {
            Some(route) => route.target.as_ref()?,
            None => &self.destination,
        };
        Some(if event.is_quarantined() {
            &target.quarantine
        } else {
            &target.main
        })
    }
}
