//! `ingress:` and `admin:` in the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

use crate::secret::Credential;
use crate::units::{ByteSize, HumanDuration};

/// The listener that platforms call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingress {
    /// Address and port. Default `0.0.0.0:8080`. `HOOKSLUICE__INGRESS__LISTEN`
    pub listen: SocketAddr,
    /// What platforms call, for those that sign the URL: scheme, host and, where a proxy strips one, a path prefix.
    /// Default: what the request or a trusted proxy says. `HOOKSLUICE__INGRESS__PUBLIC_URL`
    pub public_url: Option<String>,
    /// Serve HTTPS. Default: plain HTTP.
    pub tls: Option<Tls>,
    /// Networks of proxies whose `Forwarded` and `X-Forwarded-*` headers count. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// Largest body of a source whose provider states none. Default `1MiB`. `HOOKSLUICE__INGRESS__BODY_LIMIT`
    pub body_limit: ByteSize,
    /// How long a head may take. Default `5s`. `HOOKSLUICE__INGRESS__HEADER_TIMEOUT`
    pub header_timeout: HumanDuration,
    /// How long a whole body may take. Default `30s`. `HOOKSLUICE__INGRESS__BODY_TIMEOUT`
    pub body_timeout: HumanDuration,
    /// Least bytes a second that a body must arrive at, after two seconds of grace. Default `1KiB`. `HOOKSLUICE__INGRESS__MIN_RATE`
    pub min_rate: ByteSize,
    /// How long an idle connection is kept. Default `75s`. `HOOKSLUICE__INGRESS__KEEP_ALIVE`
    pub keep_alive: HumanDuration,
    /// Deliveries in hand at once; more are answered 503. Default 1024. `HOOKSLUICE__INGRESS__MAX_IN_FLIGHT`
    pub max_in_flight: usize,
    /// Open connections at once; more wait in the kernel's queue. Default 20000. `HOOKSLUICE__INGRESS__MAX_CONNECTIONS`
    pub max_connections: usize,
    /// From the complete body to the answer, at most; 80 % of the platform's own deadline where that is less.
    /// Default `1.5s`. `HOOKSLUICE__INGRESS__ACK_BUDGET`
    pub ack_budget: HumanDuration,
    /// After SIGTERM: how long to go on accepting while load balancers notice. Default `5s`. `HOOKSLUICE__INGRESS__DRAIN_DELAY`
    pub drain_delay: HumanDuration,
    /// After that: how long deliveries in hand may take to finish. Default `20s`. `HOOKSLUICE__INGRESS__SHUTDOWN_TIMEOUT`
    pub shutdown_timeout: HumanDuration,
    /// Threads that serve. Default: one a core. `HOOKSLUICE__INGRESS__WORKERS`
    pub workers: Option<usize>,
}

/// PEM files, read again when they change.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// The listener that operators and Prometheus call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port. Default `127.0.0.1:9090`. `HOOKSLUICE__ADMIN__LISTEN`
    pub listen: SocketAddr,
    /// Bearer token that opens what shows deliveries. Default: none, metrics and health only. `HOOKSLUICE__ADMIN__TOKEN`
    pub token: Option<Credential>,
}

impl Default for Ingress {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            public_url: None,
            tls: None,
            trusted_proxies: Vec::new(),
            body_limit: ByteSize::mib(1),
            header_timeout: HumanDuration::from_secs(5),
            body_timeout: HumanDuration::from_secs(30),
            min_rate: ByteSize::kib(1),
            keep_alive: HumanDuration::from_secs(75),
            max_in_flight: 1024,
            max_connections: 20_000,
            ack_budget: HumanDuration::from_millis(1500),
            drain_delay: HumanDuration::from_secs(5),
            shutdown_timeout: HumanDuration::from_secs(20),
            workers: None,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), token: None }
    }
}
