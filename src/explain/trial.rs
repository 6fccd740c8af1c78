//! A changed delivery, judged by the real verifier.

use std::fmt;
use std::sync::Arc;

use super::Case;
use crate::clock::Timestamp;
use crate::delivery::{HeaderName, HeaderValue, Headers, RawDelivery};
use crate::keys::Keyring;
use crate::provider::definition::{Scheme, SecretEncoding, SecretForm, Signature};
use crate::provider::{Definition, Settings};
use crate::secret::{NamedSecret, Secret};
use crate::verify::{Proof, Verifier, VerifyError};

/// A verifier with which changed deliveries are tried.
#[derive(Clone, Debug)]
pub(super) struct Bench(Arc<Verifier>);

/// How a delivery was verified.
pub(super) struct Held(Proof);

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.key {
            Some(key) => write!(f, "{}, by the key `{key}`", self.0.scheme),
            None => f.write_str(&self.0.scheme),
        }
    }
}

impl Bench {
    /// As the source is configured.
    pub fn of(case: &Case<'_>) -> Result<Self, Vec<String>> {
        Self::compile(
            &case.definition,
            &case.secrets,
            &case.settings,
            &case.keyring,
            case.signature.as_deref(),
        )
    }

    pub fn compile(
        definition: &Definition,
        secrets: &[NamedSecret],
        settings: &Settings,
        keyring: &Arc<Keyring>,
        pinned: Option<&str>,
    ) -> Result<Self, Vec<String>> {
        let verifier = Verifier::compile(definition, secrets, settings, keyring, pinned)?;
        Ok(Self(Arc::new(verifier)))
    }

    pub async fn judge(&self, raw: &RawDelivery, at: Timestamp) -> Result<Held, VerifyError> {
        let verified = self.0.verify(raw, at).await?;
        Ok(Held(verified.proof().clone()))
    }

    /// Whether the signature holds, whatever is judged after it.
    pub async fn holds(&self, raw: &RawDelivery, at: Timestamp) -> bool {
        match self.judge(raw, at).await {
            Ok(held) => &*held.0.scheme != "none",
            Err(error) => is_genuine(&error),
        }
    }

    /// The name of the key with which the signature holds.
    pub async fn key(&self, raw: &RawDelivery, at: Timestamp) -> Option<Arc<str>> {
        self.judge(raw, at).await.ok()?.0.key
    }
}

/// Refused after the signature held.
pub(super) fn is_genuine(error: &VerifyError) -> bool {
    matches!(
        error,
        VerifyError::Stale(_) | VerifyError::Future(_) | VerifyError::Foreign(_)
    )
}

/// A key that the source's owner shares with the platform, and no public key.
pub(super) fn is_shared(definition: &Definition, rule: &Signature) -> bool {
    let form = rule.secret.as_ref().unwrap_or(&definition.secret);
    let fetched = !rule.keys.pinned.is_empty() || rule.keys.jwks.is_some() || rule.keys.certificate.is_some();
    let public = match rule.scheme {
        Scheme::Rsa | Scheme::RsaPss | Scheme::Ecdsa | Scheme::Ed25519 | Scheme::None => true,
        _ if rule.scheme.names_algorithm() => rule.algorithms.iter().any(|name| is_public(name)),
        _ => false,
    };
    !fetched && !public && form.encoding != SecretEncoding::Pem
}

/// Of a signature that names its algorithm: by a key pair.
pub(super) fn is_public(algorithm: &str) -> bool {
    !algorithm.starts_with("HS") && !algorithm.starts_with("hmac")
}

/// The same definition, for keys that are given as they are, in hex, whatever form it has for secrets. Times and
/// bindings are left out: what is asked is only with which key the signature holds.
pub(super) fn for_keys(definition: &Definition, pinned: Option<&str>) -> Option<Definition> {
    let mut bare = definition.clone();
    let is_meant = |rule: &Signature| pinned.is_none() || rule.name.as_deref() == pinned;
    bare.signature
        .retain(|rule| is_meant(rule) && is_shared(definition, rule));
    bare.bind.clear();
    let form = |form: &SecretForm| SecretForm {
        encoding: SecretEncoding::Hex,
        prefix: None,
        prefix_required: false,
        ..form.clone()
    };
    for rule in &mut bare.signature {
        rule.secret = Some(form(rule.secret.as_ref().unwrap_or(&definition.secret)));
        if let Some(time) = &mut rule.timestamp {
            time.tolerance = None;
        }
    }
    if let Some(time) = &mut bare.timestamp {
        time.tolerance = None;
    }
    (!bare.signature.is_empty()).then_some(bare)
}

/// A key as a secret of a definition that [`for_keys`] made.
pub(super) fn key(name: impl Into<Arc<str>>, bytes: &[u8]) -> NamedSecret {
    NamedSecret {
        name: name.into(),
        secret: Secret::new(hex::encode(bytes)),
    }
}

/// The same delivery with this value for a header, in place of all that it has of that name.
pub(super) fn with_header(raw: &RawDelivery, name: &str, value: &[u8]) -> Option<RawDelivery> {
    let (name, value) = (HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    let others = raw.headers.iter().filter(|(known, _)| **known != name);
    let mut headers: Headers = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    headers.push(name, value);
    Some(RawDelivery { headers, ..raw.clone() })
}
