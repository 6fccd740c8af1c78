//! `rabbitmq:` of a destination.

use std::path::PathBuf;
use std::sync::Arc;

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use crate::destination::template::Template;
use crate::secret::Credential;

/// `rabbitmq:` of a destination. `HOOKSLUICE__DESTINATIONS__<NAME>__RABBITMQ__…`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `amqp://user:password@host:5672/%2f` or `amqps://…`; the virtual host is percent-encoded. May be `{ env }` or
    /// `{ file }`. `…__URL`
    pub url: Credential,
    /// Exchange; empty is the default exchange, where the routing key names a queue. `…__EXCHANGE`
    pub exchange: String,
    /// Routing key; may use `{source}`, `{provider}`, `{type}`. Default `{type}`. `…__ROUTING_KEY`
    #[serde(default = "default_routing_key")]
    pub routing_key: String,
    /// Declares the exchange as a durable topic exchange, and for quarantine a durable fanout exchange with a durable
    /// queue of the same name bound to it, of the virtual host's default type. Consumers declare and bind queues of their own. Default `false`. `…__DECLARE`
    #[serde(default)]
    pub declare: bool,
    /// Certificates for `amqps`. Default: the system's authorities, no client certificate.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// Certificates for `amqps`, read again for every connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file of the authorities to trust, instead of the system's. `…__TLS__CA`
    pub ca: Option<PathBuf>,
    /// PEM file of the client certificate and its chain. `…__TLS__CERTIFICATE`
    pub certificate: Option<PathBuf>,
    /// The client certificate's key: a path, or `{ file }` or `{ env }` with PEM in it. `…__TLS__KEY`
    pub key: Option<Credential>,
}

/// `quarantine:` of a RabbitMQ destination.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    /// Exchange for events that broke their contract. Default `dlq.` and the destination's exchange; behind the default
    /// exchange, the default exchange too. `…__QUARANTINE__EXCHANGE`
    pub exchange: Option<String>,
    /// Routing key. Default: the destination's; behind the default exchange, `dlq.` and the destination's.
    /// `…__QUARANTINE__ROUTING_KEY`
    pub routing_key: Option<String>,
}

fn default_routing_key() -> String {
    "{type}".into()
}

/// Seconds without a frame after which a connection is taken for dead (half of it, to be exact, on either side).
const HEARTBEAT: u16 = 10;

/// Settings, checked and with their credentials read.
pub(super) struct Plan {
    pub(super) uri: AMQPUri,
    pub(super) tls: Tls,
    pub(super) main: Target,
    pub(super) quarantine: Target,
}

/// Where one of the two destinations publishes to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) exchange: Arc<str>,
    pub(super) routing_key: Template,
    pub(super) declare: Declare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declare {
    /// It must be there.
    No,
    /// A durable topic exchange.
    Topic,
    /// A durable fanout exchange with a queue of its name: what goes there always has somewhere to stay.
    FanoutWithQueue,
}

impl Settings {
    /// Every problem at once, each with the setting's place and a remedy.
    pub fn check(&self, quarantine: &Quarantine) -> Vec<String> {
        self.plan(quarantine).err().unwrap_or_default()
    }

    pub(super) fn plan(&self, quarantine: &Quarantine) -> Result<Plan, Vec<String>> {
        let mut problems = Vec::new();
        let uri = self
            .uri()
            .map_err(|problem| problems.push(format!("rabbitmq.url: {problem}")))
            .ok();
        let tls = self.tls.clone().unwrap_or_default();
        if uri.as_ref().is_some_and(|uri| uri.scheme == AMQPScheme::AMQPS) {
            if let Err(problem) = tls.connector() {
                problems.push(format!("rabbitmq.tls{problem}"));
            }
        } else if self.tls.is_some() && uri.is_some() {
            problems.push("rabbitmq.tls: is set, but the URL is `amqp://`; make it `amqps://`".into());
        }
        let default_exchange = self.exchange.is_empty();
        let main = target(
            "rabbitmq",
            &self.exchange,
            &self.routing_key,
            self.declare,
            Declare::Topic,
            &mut problems,
        );
        let exchange = match &quarantine.exchange {
            Some(exchange) => exchange.clone(),
            None if default_exchange => String::new(),
            None => format!("dlq.{}", self.exchange),
        };
        let routing_key = match &quarantine.routing_key {
            Some(key) => key.clone(),
            None if exchange.is_empty() => format!("dlq.{}", self.routing_key),
            None => self.routing_key.clone(),
        };
        let quarantine = target(
            "quarantine",
            &exchange,
            &routing_key,
            self.declare,
            Declare::FanoutWithQueue,
            &mut problems,
        );
        match (uri, main, quarantine) {
            (Some(uri), Some(main), Some(quarantine)) if problems.is_empty() => Ok(Plan {
                uri,
                tls,
                main,
                quarantine,
            }),
            _ => Err(problems),
        }
    }

    /// What the parser says may quote the URL, password and all: it is not passed on.
    fn uri(&self) -> Result<AMQPUri, String> {
        let secret = self.url.load().map_err(|error| error.to_string())?;
        // Of `amqp:/host` the parser makes a virtual host on localhost.
        let has_host = |text: &&str| text.split_once(':').is_some_and(|(_, rest)| rest.starts_with("//"));
        let text = secret.expose_str().filter(has_host);
        let parsed = text.and_then(|text| text.parse::<AMQPUri>().ok());
        let mut uri = parsed.ok_or(
            "is not an AMQP URL; write `amqp://user:password@host:5672/%2f`, with special characters percent-encoded",
        )?;
        if uri.vhost.is_empty() {
            return Err("names the virtual host with the empty name; end it with `/%2f` for `/`".into());
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(uri)
    }
}

fn target(
    place: &str,
    exchange: &str,
    routing_key: &str,
    declare: bool,
    how: Declare,
    problems: &mut Vec<String>,
) -> Option<Target> {
    if exchange.len() > 255 {
        problems.push(format!("{place}.exchange: is longer than 255 bytes"));
    }
    if exchange.contains(['{', '}']) {
        problems.push(format!(
            "{place}.exchange: takes no placeholders; put them into routing_key"
        ));
    }
    let routing_key =
        Template::routing_key(routing_key).map_err(|error| problems.push(format!("{place}.routing_key: {error}")));
    Some(Target {
        exchange: exchange.into(),
        routing_key: routing_key.ok()?,
        // The default exchange is always there.
        declare: if declare && !exchange.is_empty() {
            how
        } else {
            Declare::No
        },
    })
}

impl Tls {
    /// A connector from the files as they are now. The error starts with the setting's place.
    pub(super) fn connector(&self) -> Result<RustlsConnector, String> {
        let identity = self.identity()?;
        let Some(ca) = &self.ca else {
            let system = RustlsConnectorConfig::new_with_native_certs()
                .map_err(|error| format!(".ca: the system has no authorities to trust ({error}); give a PEM file"))?;
            let connector = match identity {
                Some((chain, key)) => system.connector_with_single_cert(chain, key),
                None => system.connector_with_no_client_auth(),
            };
            return connector.map_err(|error| format!(".certificate: {error}"));
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca).map_err(|error| format!(".ca: {error}"))? {
            roots
                .add(certificate)
                .map_err(|error| format!(".ca: `{}`: {error}", ca.display()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!(": {error}"))?
            .with_root_certificates(roots);
        let config = match identity {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!(".certificate: {error}"))?,
            None => builder.with_no_client_auth(),
        };
        Ok(RustlsConnector::from(config))
    }

    #[allow(clippy::type_complexity)]
    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, String> {
        match (&self.certificate, &self.key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate).map_err(|error| format!(".certificate: {error}"))?;
                let key = private_key(key).map_err(|error| format!(".key: {error}"))?;
                Ok(Some((chain, key)))
            }
            (Some(_), None) => Err(".key: is missing; a client certificate needs its key".into()),
            (None, Some(_)) => Err(".certificate: is missing; a key needs its client certificate".into()),
        }
    }
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let place = path.display();
    let pem = std::fs::read(path).map_err(|error| format!("cannot read `{place}`: {error}"))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(format!("`{place}` holds no PEM certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("`{place}` is not PEM: {error}")),
    }
}

fn private_key(key: &Credential) -> Result<PrivateKeyDer<'static>, String> {
    let secret = key.load().map_err(|error| error.to_string())?;
    let bytes = secret.expose();
    let parsed = if bytes.windows(10).any(|window| window == b"-----BEGIN") {
        PrivateKeyDer::from_pem_slice(bytes)
    } else {
        // Plain text in the configuration is a path, like the certificate's.
        PrivateKeyDer::from_pem_file(secret.expose_str().unwrap_or_default())
    };
    parsed.map_err(|error| format!("is not a PEM private key, nor the path of one: {error}"))
}
