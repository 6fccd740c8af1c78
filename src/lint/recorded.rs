//! A sample as the source of its platform would receive it: compiled for its secret and settings, and the request around it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::runtime::Runtime;

use crate::clock::Timestamp;
use crate::delivery::{HeaderName, HeaderValue, Headers, Method, RawDelivery};
use crate::keys::{Hosts, Keyring};
use crate::provider::sample::{Sample, Signed};
use crate::provider::{Catalogue, Provider};
use crate::secret::{NamedSecret, Secret};
use crate::verify::{VerifiedDelivery, Verifier, VerifyError};

/// Where samples that name no URL of their own are received.
const URL: &str = "https://hooks.example.com/in/test";

/// The one source for which a sample was signed.
#[derive(Debug)]
pub struct Source {
    pub provider: Provider,
    pub secrets: Vec<NamedSecret>,
    pub verifier: Verifier,
    keyring: Arc<Keyring>,
    served: BTreeMap<String, String>,
}

impl Source {
    /// Problems name keys of the definition.
    pub fn compile(catalogue: &Catalogue, name: &str, signed: &Signed) -> Result<Self, Vec<String>> {
        let provider = catalogue
            .provider(name, &signed.settings)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        Self::of(provider, signed)
    }

    /// For the secret, and with the fetched keys, of a recorded delivery.
    pub fn of(provider: Provider, signed: &Signed) -> Result<Self, Vec<String>> {
        let secrets: Vec<_> = signed.secret.iter().map(|text| secret(text)).collect();
        let keyring = Arc::new(Keyring::default());
        let verifier = Verifier::compile(&provider.definition, &secrets, &provider.settings, &keyring, None)?;
        let source = Self {
            provider,
            secrets,
            verifier,
            keyring,
            served: signed.keys.clone(),
        };
        source.serve_keys(signed.at)?;
        Ok(source)
    }

    /// Judges a delivery at a moment. `None`: keys would have to be fetched that the sample does not bring.
    pub fn verify<'d>(
        &self,
        raw: &'d RawDelivery,
        now: Timestamp,
    ) -> Option<Result<VerifiedDelivery<'d>, VerifyError>> {
        // Served again as of now: keys that grew old would be refreshed from the net. Errors were said at the first time.
        let _ = self.serve_keys(now);
        // Asked once, and never driven: what is not there at once is not waited for, so nothing is fetched.
        let _inside = idle().as_ref()?.enter();
        self.verifier.verify(raw, now).now_or_never()
    }

    fn serve_keys(&self, now: Timestamp) -> Result<(), Vec<String>> {
        for (url, body) in &self.served {
            let host = url.split('/').nth(2).unwrap_or_default().to_owned();
            let target = Hosts::new(&[host], None).check(url);
            let target = target.map_err(|error| vec![format!("signed.keys: `{url}`: {error}")])?;
            self.keyring
                .remember(&target, body.as_bytes(), now)
                .map_err(|error| vec![format!("signed.keys: {error}")])?;
        }
        Ok(())
    }
}

/// A runtime that never runs: who looks up keys may start a fetch, and this one stays where it is.
fn idle() -> &'static Option<Runtime> {
    static IDLE: OnceLock<Option<Runtime>> = OnceLock::new();
    IDLE.get_or_init(|| tokio::runtime::Builder::new_current_thread().build().ok())
}

fn secret(text: &str) -> NamedSecret {
    NamedSecret {
        name: "recorded".into(),
        secret: Secret::new(text),
    }
}

/// The recorded request. Problems name the header.
pub fn delivery(sample: &Sample, signed: &Signed) -> Result<RawDelivery, String> {
    let mut headers = Headers::default();
    for (name, value) in sample.request.headers.iter().chain(&signed.headers) {
        let bad = |what: &str| format!("`{name}` is no header that can be sent: bad {what}");
        headers.push(
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("name"))?,
            HeaderValue::from_str(value).map_err(|_| bad("value"))?,
        );
    }
    let query = signed.query.clone().unwrap_or_else(|| sample.request.query.clone());
    let method = sample.request.method.as_deref().unwrap_or("POST");
    let url = signed.url.as_ref().or(sample.request.url.as_ref());
    let path = url
        .and_then(|url| url.parse::<http::Uri>().ok())
        .map(|url| url.path().to_owned());
    Ok(RawDelivery {
        method: method
            .parse::<Method>()
            .map_err(|_| format!("`{method}` is no HTTP method"))?,
        path: path.unwrap_or_else(|| "/in/test".into()),
        query,
        url: url.cloned().unwrap_or_else(|| URL.into()),
        headers,
        body: Bytes::from(sample.body.clone()),
        received: signed.at,
        sender: None,
    })
}

/// The same delivery with another body.
pub fn with_body(raw: &RawDelivery, body: Vec<u8>) -> RawDelivery {
    RawDelivery {
        body: body.into(),
        ..raw.clone()
    }
}
