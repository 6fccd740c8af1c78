//! Settings of the two listeners. They live here and not in `http`, which stands below this room and reads them from it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::rate::Rate;
use crate::secret::{Credential, CredentialFrom, Secret, SecretError};
use crate::units::{ByteSize, HumanDuration};

/// `ingress:`, where deliveries arrive.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingress {
    /// Address and port to listen on. Default `0.0.0.0:8080`. `HOOKSLUICE__INGRESS__LISTEN`
    pub listen: SocketAddr,
    /// The URL that platforms call, up to the path, for those that sign it. Default: what the request says.
    /// `HOOKSLUICE__INGRESS__PUBLIC_URL`
    pub public_url: Option<String>,
    /// Certificate and key to serve TLS with; reloaded when the files change. Default: plain HTTP.
    pub tls: Option<Tls>,
    /// Networks whose `Forwarded` and `X-Forwarded-*` headers count; the rightmost hop that is not listed is the sender.
    /// Default: none. `HOOKSLUICE__INGRESS__TRUSTED_PROXIES`
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Largest body, in bytes or with a unit, where neither source nor provider says otherwise; more is 413. Default `1MiB`.
    /// `HOOKSLUICE__INGRESS__BODY_LIMIT`
    pub body_limit: ByteSize,
    /// How long a whole body may take to arrive; more is 408. Default `10s`. `HOOKSLUICE__INGRESS__BODY_TIMEOUT`
    pub body_timeout: HumanDuration,
    /// Bytes a second that a body must keep up after its first two seconds; slower is 408; 0: any. Default `1KiB`.
    /// `HOOKSLUICE__INGRESS__MIN_RATE`
    pub min_rate: ByteSize,
    /// Deliveries that may be in work at once, from the complete body to the answer; more are 503 with `Retry-After`. Where
    /// there are several sources, none holds more than is free. Default 1024. `HOOKSLUICE__INGRESS__MAX_IN_FLIGHT`
    pub max_in_flight: usize,
    /// Bytes of bodies that may be in hand at once, shared out in the same way; what finds no room is 503 with
    /// `Retry-After`, before it is read where its length is declared. Room for two of the largest at least. Working copies
    /// come on top. Default `256MiB`.
    /// `HOOKSLUICE__INGRESS__MAX_BODY_MEMORY`
    pub max_body_memory: ByteSize,
    /// Deliveries from one address (of IPv6: one /64 network), verified or not, such as `100/s`, `600/m` or `10000/h`; more
    /// are 429 with `Retry-After`. A proxy that is not in `trusted_proxies` is one address. Default: any number.
    /// `HOOKSLUICE__INGRESS__RATE_BY_ADDRESS`
    pub rate_by_address: Option<Rate>,
    /// Deliveries from all those addresses together from which nothing verified came within the last hour; more are 429.
    /// Addresses that proved themselves are not counted. Default: any number. `HOOKSLUICE__INGRESS__RATE_OF_STRANGERS`
    pub rate_of_strangers: Option<Rate>,
    /// Threads that serve connections. Default: one for each processor. `HOOKSLUICE__INGRESS__WORKERS`
    pub workers: Option<usize>,
    /// How long to go on accepting after SIGTERM while being not ready, so that load balancers notice. Default `5s`.
    /// `HOOKSLUICE__INGRESS__DRAIN_DELAY`
    pub drain_delay: HumanDuration,
    /// After `drain_delay`: how long deliveries in hand may take to finish. Default `20s`, which with the delay fits the
    /// 30 s that Kubernetes gives. `HOOKSLUICE__INGRESS__SHUTDOWN_TIMEOUT`
    pub shutdown_timeout: HumanDuration,
    /// From the complete body to the answer: what the broker has not confirmed by then goes to the journal.
    /// The smaller of this and 80 % of the platform's own deadline. Default `1500ms`. `HOOKSLUICE__INGRESS__ACK_BUDGET`
    pub ack_budget: HumanDuration,
}

impl Default for Ingress {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            public_url: None,
            tls: None,
            trusted_proxies: Vec::new(),
            body_limit: ByteSize::mib(1),
            body_timeout: HumanDuration::from_secs(10),
            min_rate: ByteSize::kib(1),
            max_in_flight: 1024,
            max_body_memory: ByteSize::mib(256),
            rate_by_address: None,
            rate_of_strangers: None,
            workers: None,
            drain_delay: HumanDuration::from_secs(5),
            shutdown_timeout: HumanDuration::from_secs(20),
            ack_budget: HumanDuration::from_millis(1500),
        }
    }
}

/// `admin:`, metrics and health; with a token also what shows bodies or changes state.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port to listen on. Default `127.0.0.1:9090`, loopback only. `HOOKSLUICE__ADMIN__LISTEN`
    pub listen: SocketAddr,
    /// Bearer token that opens more than metrics and health: text, `{ env }` or `{ file }`. Default: none, and nothing more
    /// is served. `HOOKSLUICE__ADMIN__TOKEN`
    pub token: Option<Credential>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            token: None,
        }
    }
}

/// `tls:` of the ingress.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate and its chain. `HOOKSLUICE__INGRESS__TLS__CERTIFICATE`
    pub certificate: PathBuf,
    /// PEM file with the private key, or `{ env }` with the PEM text itself. `HOOKSLUICE__INGRESS__TLS__KEY`
    pub key: TlsKey,
}

/// Where a private key is: a path, `{ file }` or `{ env }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum TlsKey {
    Path(PathBuf),
    From(CredentialFrom),
}

impl Tls {
    /// Files to watch.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let key = match &self.key {
            TlsKey::Path(path) | TlsKey::From(CredentialFrom::File(path)) => Some(path.as_path()),
            TlsKey::From(CredentialFrom::Env(_)) => None,
        };
        std::iter::once(self.certificate.as_path()).chain(key)
    }
}

impl TlsKey {
    /// The PEM text.
    pub fn load(&self) -> Result<Secret, SecretError> {
        let from = match self {
            Self::Path(path) => CredentialFrom::File(path.clone()),
            Self::From(from) => from.clone(),
        };
        Credential::From(from).load()
    }
}

/// Networks, or single addresses.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| network(text).map_err(serde::de::Error::custom))
        .collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("`{text}` is no network; write it as `10.0.0.0/8` or as one address"))
}
