//! Tokens: a compact JWS (RFC 7515) whose claims (RFC 7519) are checked.
//!
//! The algorithms come from the data, never from the token; `none` does not exist; a shared secret and a public key are
//! never mixed, so that nobody signs with a public key as if it were a secret.

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::keys::Algorithm;
use crate::provider::Settings;
use crate::provider::definition::{Claim, Encoding, HashName, Signature};

use super::VerifyError;
use super::encode;
use super::find::claim_text;
use super::problems::{Problems, nearest};

/// Clocks may differ by this much (seconds) where a token says its own times.
const LEEWAY: i64 = 60;

/// What a definition asks of a token.
#[derive(Debug)]
pub(crate) struct Rules {
    pub algorithms: Vec<Alg>,
    pub claims: Vec<(Box<str>, Expected)>,
}

/// An `alg` that can be checked (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alg {
    Hmac(HashName),
    Public(Algorithm),
}

const ALGS: [(&str, Alg); 11] = [
    ("HS256", Alg::Hmac(HashName::Sha256)),
    ("HS384", Alg::Hmac(HashName::Sha384)),
    ("HS512", Alg::Hmac(HashName::Sha512)),
    ("RS256", Alg::Public(Algorithm::RsaSha256)),
    ("RS384", Alg::Public(Algorithm::RsaSha384)),
    ("RS512", Alg::Public(Algorithm::RsaSha512)),
    ("PS256", Alg::Public(Algorithm::RsaPssSha256)),
    ("PS384", Alg::Public(Algorithm::RsaPssSha384)),
    ("PS512", Alg::Public(Algorithm::RsaPssSha512)),
    ("ES256", Alg::Public(Algorithm::EcdsaRaw)),
    ("EdDSA", Alg::Public(Algorithm::Ed25519)),
];

#[derive(Debug)]
pub(crate) enum Expected {
    Bool(bool),
    /// `ours`: the values are this customer's, so a genuine token with another is somebody else's.
    AnyOf {
        values: Vec<String>,
        ours: bool,
    },
}

/// A token taken apart; nothing of it is believed yet.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    pub alg: Alg,
    pub kid: Option<String>,
    /// What is signed: `header.payload`.
    pub signed: &'t [u8],
    pub signature: Vec<u8>,
    payload: Vec<u8>,
}

impl Alg {
    pub fn name(self) -> &'static str {
        ALGS.iter().find(|(_, alg)| *alg == self).map_or("", |(name, _)| name)
    }
}

impl Rules {
    pub fn compile(rule: &Signature, settings: &Settings, problems: &mut Problems<'_>) -> Option<Self> {
        let mut algorithms = Vec::new();
        for name in &rule.algorithms {
            match ALGS.iter().find(|(known, _)| known == name) {
                Some((_, alg)) => algorithms.push(*alg),
                None => {
                    let near = nearest(name, ALGS.iter().map(|(known, _)| *known)).unwrap_or("RS256");
                    problems.say(format!("unknown token algorithm `{name}`; did you mean `{near}`?"));
                }
            }
        }
        let shared = algorithms.iter().filter(|alg| matches!(alg, Alg::Hmac(_))).count();
        if algorithms.is_empty() {
            return problems.none("a token needs `algorithms`, such as [\"RS256\"]");
        }
        if shared != 0 && shared != algorithms.len() {
            return problems.none("HS* and public-key algorithms in one list; make them two alternatives");
        }
        let mut claims = Vec::new();
        for (name, claim) in &rule.claims {
            let ours = matches!(claim, Claim::Setting { .. });
            let expected = match claim {
                Claim::Bool(value) => Expected::Bool(*value),
                Claim::Text(value) => Expected::AnyOf {
                    values: vec![value.clone()],
                    ours,
                },
                Claim::AnyOf(values) => Expected::AnyOf {
                    values: values.clone(),
                    ours,
                },
                Claim::Setting { setting } => {
                    let values = settings.texts(setting).to_vec();
                    if values.is_empty() {
                        problems.say(format!(
                            "claim `{name}` needs the setting `{setting}`: without it anybody's genuine token would do"
                        ));
                    }
                    Expected::AnyOf { values, ours }
                }
            };
            claims.push((name.as_str().into(), expected));
        }
        Some(Self { algorithms, claims })
    }

    /// Empty: tokens are signed with a shared secret.
    pub fn public_algorithms(&self) -> Vec<Algorithm> {
        let public = |alg: &Alg| match alg {
            Alg::Public(algorithm) => Some(*algorithm),
            Alg::Hmac(_) => None,
        };
        self.algorithms.iter().filter_map(public).collect()
    }

    /// Takes a token apart and holds its header to the rules.
    pub fn open<'t>(&self, token: &'t [u8]) -> Result<Token<'t>, VerifyError> {
        let malformed = || VerifyError::Malformed("token is no compact JWS".into());
        let mut dots = token
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'.')
            .map(|(at, _)| at);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(malformed());
        };
        let decode = |text| encode::decode(Encoding::Base64url, text).ok_or_else(malformed);
        let header: Map<String, Value> = serde_json::from_slice(&decode(&token[..first])?).map_err(|_| malformed())?;
        if header.contains_key("crit") {
            return Err(VerifyError::Token(
                "asks for an extension (`crit`) that is not supported".into(),
            ));
        }
        let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let alg = ALGS.iter().find(|(known, _)| *known == name).map(|(_, alg)| *alg);
        let alg = alg.filter(|alg| self.algorithms.contains(alg));
        Ok(Token {
            alg: alg.ok_or_else(|| VerifyError::Token("its algorithm is not one of the platform's".into()))?,
            kid: header.get("kid").and_then(Value::as_str).map(str::to_owned),
            signed: &token[..second],
            signature: decode(&token[second + 1..])?,
            payload: decode(&token[first + 1..second])?,
        })
    }

    /// The claims of a token whose signature holds, which must say what the data says.
    pub fn check(&self, claims: &Map<String, Value>) -> Result<(), VerifyError> {
        for (name, expected) in &self.claims {
            let value = claims.get(&**name);
            let holds = match (expected, value) {
                (Expected::Bool(wanted), Some(value)) => {
                    value.as_bool() == Some(*wanted) || value.as_str() == Some(if *wanted { "true" } else { "false" })
                }
                // An audience may be a list (RFC 7519 section 4.1.3).
                (Expected::AnyOf { values, .. }, Some(Value::Array(given))) => given
                    .iter()
                    .any(|value| values.iter().any(|wanted| value.as_str() == Some(wanted))),
                (Expected::AnyOf { values, .. }, Some(value)) => {
                    let text = claim_text(value);
                    values.iter().any(|wanted| text.as_deref() == Some(wanted.as_bytes()))
                }
                (_, None) => false,
            };
            match expected {
                _ if holds => {}
                Expected::AnyOf { ours: true, .. } => return Err(VerifyError::Foreign(format!("claim `{name}`"))),
                _ => {
                    return Err(VerifyError::Token(format!(
                        "claim `{name}` is missing or not as expected"
                    )));
                }
            }
        }
        Ok(())
    }
}

impl Token<'_> {
    /// The claims; called once the signature holds.
    pub fn claims(&self) -> Result<Map<String, Value>, VerifyError> {
        serde_json::from_slice(&self.payload).map_err(|_| VerifyError::Token("its claims are no JSON object".into()))
    }
}

/// `exp`, `nbf` and `iat`, where the token has them. One that proves nothing about the body must expire: else it
/// would be a password.
pub(crate) fn check_times(claims: &Map<String, Value>, must_expire: bool, now: Timestamp) -> Result<(), VerifyError> {
    let now = now.as_second();
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        // NumericDate may have a fraction (RFC 7519 section 2).
        Some(value) => match value.as_f64() {
            Some(seconds) if seconds.abs() < 1e12 => Ok(Some(seconds as i64)),
            _ => Err(VerifyError::Timestamp),
        },
    };
    let (expires, not_before, issued) = (time("exp")?, time("nbf")?, time("iat")?);
    match expires {
        None if must_expire => return Err(VerifyError::Token("has no `exp`".into())),
        Some(expires) if now >= expires + LEEWAY => return Err(VerifyError::Stale(now - issued.unwrap_or(expires))),
        _ => {}
    }
    match not_before.max(issued) {
        Some(start) if start > now + LEEWAY => Err(VerifyError::Future(start - now)),
        _ => Ok(()),
    }
}
