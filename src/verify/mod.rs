//! Proves who sent a delivery, over its raw bytes, and how fresh it is.
//!
//! A small set of schemes that a provider's data selects; everything that can be decoded or looked
//! up by name is so once, at load.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::delivery::{HeaderName, RawDelivery};
use crate::keys::Keyring;
use crate::provider::{Definition, Settings};
use crate::secret::NamedSecret;

/// A definition, a source's secrets and settings, compiled.
#[derive(Debug)]
pub struct Verifier {}

/// A delivery whose sender is proved (or visibly not asked for: scheme `none`).
/// Made by [`Verifier::verify`] and nowhere else.
#[derive(Debug)]
pub struct VerifiedDelivery<'d> {
    raw: &'d RawDelivery,
    proof: Proof,
}

/// How a delivery was verified.
#[derive(Clone, Debug)]
pub struct Proof {
    /// `hmac-sha256`, `ed25519`, `token`, …, or `none`.
    pub scheme: Arc<str>,
    /// Name of the secret or key that matched.
    pub key: Option<Arc<str>>,
    /// Index of the `[[signature]]` alternative that held.
    pub alternative: usize,
    /// Claims of a verified token (JSON text).
    pub claims: Option<Arc<str>>,
}

impl<'d> VerifiedDelivery<'d> {
    pub fn raw(&self) -> &'d RawDelivery {
        self.raw
    }
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

/// Why a delivery is not believed. The label goes to metrics, the text to the log; the sender learns neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("signature is missing: {0}")]
    Missing(String),
    #[error("signature is malformed: {0}")]
    Malformed(String),
    #[error("signature does not match any of the active secrets")]
    Mismatch,
    #[error("timestamp is missing or malformed")]
    Timestamp,
    #[error("genuine but stale: signed {0} s ago; look at the clocks")]
    Stale(i64),
    #[error("genuine but from the future by {0} s; look at the clocks")]
    Future(i64),
    #[error("genuine but not for this source: {0}")]
    Foreign(String),
    #[error("token: {0}")]
    Token(String),
    /// Our own fault: answered 503, for a 4xx would make the loss permanent.
    #[error("verification keys cannot be had: {0}")]
    KeysUnavailable(String),
}

impl VerifyError {
    /// Bounded label for `hooksluice_verify_failures_total{reason}`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Malformed(_) => "malformed",
            Self::Mismatch => "mismatch",
            Self::Timestamp => "timestamp",
            Self::Stale(_) => "stale",
            Self::Future(_) => "future",
            Self::Foreign(_) => "foreign",
            Self::Token(_) => "token",
            Self::KeysUnavailable(_) => "keys_unavailable",
        }
    }
}

/// What a signature covers, for consumers and for identity. Fixed by the definition.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    pub body: bool,
    pub url: bool,
    pub query: bool,
    /// Headers that the signature covers.
    pub headers: Vec<HeaderName>,
    /// Headers a consumer needs to verify again: the covered ones and the signature's own; never credentials.
    pub publish: Vec<HeaderName>,
}

impl Verifier {
    /// Compiles; every problem at once, each naming the definition's field or the secret, and a remedy.
    pub fn compile(
        _definition: &Definition,
        _secrets: &[NamedSecret],
        _settings: &Settings,
        _keys: &Arc<Keyring>,
    ) -> Result<Self, Vec<String>> {
        todo!()
    }

    /// What the alternative that held covers.
    pub fn coverage(&self, _proof: &Proof) -> &Coverage {
        todo!()
    }

    /// `now` is the time of arrival.
    pub async fn verify<'d>(
        &self,
        _raw: &'d RawDelivery,
        _now: Timestamp,
    ) -> Result<VerifiedDelivery<'d>, VerifyError> {
        todo!()
    }
}
