//! The HTTPS client that fetches: bounded in time and size, without redirects, to public addresses only.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use super::target::{Target, may_connect};
use crate::secret::Credential;

/// How keys are fetched (`outbound:`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Networks (CIDR) that may be connected to although they are not public. Default: none.
    /// `HOOKSLUICE__OUTBOUND__ALLOW_ADDRESSES`.
    pub allow_addresses: Vec<IpNet>,
    /// HTTP proxy that fetches go through (`http://proxy.internal:3128`, or with `user:password@`), a credential. It
    /// resolves names itself, so it must do the checking of addresses; proxies named by the environment are not used.
    /// Default: none.
    /// `HOOKSLUICE__OUTBOUND__PROXY`.
    pub proxy: Option<Credential>,
    /// PEM file of certificate authorities to trust besides the system's. Default: none. `HOOKSLUICE__OUTBOUND__CA`.
    pub ca: Option<PathBuf>,
}

/// Why something could not be fetched. Ours or the platform's fault, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("{host} answers {status}")]
    Status { host: String, status: u16 },
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{host} sends more than {LARGEST} bytes")]
    TooLarge { host: String },
    #[error("what {host} sends {reason}")]
    Unusable { host: String, reason: String },
    #[error("too many new addresses to fetch keys from within a minute")]
    TooMany,
    #[error("the client for fetching keys cannot be built: {0}")]
    Client(String),
}

/// From connecting to the last byte.
const DEADLINE: Duration = Duration::from_secs(5);
/// No platform's key set or certificate is near this.
const LARGEST: usize = 256 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Client,
    allowed: Arc<[IpNet]>,
}

/// What was fetched, and how long its sender says that it holds.
pub(super) struct Fetched {
    pub body: Vec<u8>,
    pub max_age: Option<i64>,
}

impl Fetcher {
    /// Fails on a CA file or a proxy that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let allowed: Arc<[IpNet]> = settings.allow_addresses.clone().into();
        let proxy = settings.proxy.as_ref().map(parse_proxy).transpose()?;
        let resolver = Guard {
            allowed: allowed.clone(),
            proxy: proxy.as_ref().and_then(|(_, host)| host.clone()),
        };
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls(settings)?)
            .https_only(true)
            .redirect(Policy::none())
            .timeout(DEADLINE)
            .connect_timeout(DEADLINE)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("hooksluice/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(resolver))
            .no_proxy();
        if let Some((proxy, _)) = proxy {
            client = client.proxy(proxy);
        }
        let client = client.build().map_err(|error| describe(&error))?;
        Ok(Self { client, allowed })
    }

    pub async fn get(&self, target: &Target) -> Result<Fetched, FetchError> {
        let host = target.url().host_str().unwrap_or_default().to_owned();
        // A literal address is never resolved, so the resolver's guard does not see it.
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>()
            && !may_connect(address, &self.allowed)
        {
            let reason = format!("address {address} is not public");
            return Err(FetchError::Unreachable { host, reason });
        }
        let unreachable = |error: reqwest::Error| FetchError::Unreachable {
            host: host.clone(),
            reason: describe(&error),
        };
        let mut response = self
            .client
            .get(target.url().clone())
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(FetchError::Status {
                host,
                status: status.as_u16(),
            });
        }
        let max_age = response
            .headers()
            .get("cache-control")
            .and_then(|value| max_age(value.to_str().ok()?));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > LARGEST {
                return Err(FetchError::TooLarge { host });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched { body, max_age })
    }
}

fn max_age(cache_control: &str) -> Option<i64> {
    cache_control
        .split(',')
        .find_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok())
}

/// Trusts the system's authorities; where there are none (a container without a store), Mozilla's, built in; and
/// `outbound.ca` besides.
fn tls(settings: &Settings) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    if let Some(path) = &settings.ca {
        let unusable = |reason: String| format!("outbound.ca `{}`: {reason}", path.display());
        let mut added = 0;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            added += 1;
        }
        if added == 0 {
            return Err(unusable("holds no certificate; give a PEM file".into()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The proxy, and its name, which may resolve to a private address.
fn parse_proxy(url: &Credential) -> Result<(Proxy, Option<String>), String> {
    let unusable = |reason: &str| format!("outbound.proxy: {reason}; expected such as `http://proxy.internal:3128`");
    let secret = url.load().map_err(|error| format!("outbound.proxy: {error}"))?;
    let url = secret.expose_str().ok_or_else(|| unusable("not text"))?;
    let parsed = Url::parse(url).map_err(|_| unusable("not a URL"))?;
    let proxy = Proxy::all(url).map_err(|_| unusable("not a proxy's URL"))?;
    Ok((proxy, parsed.host_str().map(str::to_owned)))
}

/// Resolves names to addresses that may be connected to: what is checked is what is connected to, so a name that is
/// rebound between two look-ups gains nothing.
struct Guard {
    allowed: Arc<[IpNet]>,
    proxy: Option<String>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.allowed.clone();
        let is_proxy = self.proxy.as_deref() == Some(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable: Vec<SocketAddr> = found
                .filter(|address| is_proxy || may_connect(address.ip(), &allowed))
                .collect();
            if usable.is_empty() {
                return Err(format!("{} has no public address", name.as_str()).into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

/// The innermost causes: reqwest's own message only repeats the URL.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", DEADLINE.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
