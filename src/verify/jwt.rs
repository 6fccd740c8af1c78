//! Tokens: a compact JWS (RFC 7515) whose claims (RFC 7519) are checked, and detached ones, whose payload is elsewhere.
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
    /// By what name an algorithm goes.
    names: Names,
    pub algorithms: Vec<Alg>,
    pub claims: Vec<(Box<str>, Expected)>,
}

/// An `alg` that can be checked (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alg {
    Hmac(HashName),
    Public(Algorithm),
}

/// The names that a specification has for algorithms.
pub(crate) type Names = &'static [(&'static str, Alg)];

/// RFC 7518 and RFC 8037.
pub(crate) const JOSE: Names = &[
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
    ("ES512", Alg::Public(Algorithm::EcdsaP521Raw)),
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

impl Rules {
    pub fn compile(names: Names, rule: &Signature, settings: &Settings, problems: &mut Problems<'_>) -> Option<Self> {
        let mut algorithms = Vec::new();
        for name in &rule.algorithms {
            match names.iter().find(|(known, _)| known == name) {
                Some((_, alg)) => algorithms.push(*alg),
                None => {
                    let near = nearest(name, names.iter().map(|(known, _)| *known)).unwrap_or(names[0].0);
                    problems.say(format!("unknown algorithm `{name}`; did you mean `{near}`?"));
                }
            }
        }
        let shared = algorithms.iter().filter(|alg| matches!(alg, Alg::Hmac(_))).count();
        if algorithms.is_empty() {
            let known = names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return problems.none(format!("it needs `algorithms`, of {known}"));
        }
        if shared != 0 && shared != algorithms.len() {
            return problems.none("shared-key and public-key algorithms in one list; make them two alternatives");
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
        Some(Self {
            names,
            algorithms,
            claims,
        })
    }

    pub fn name_of(&self, alg: Alg) -> &'static str {
        let known = self.names.iter().find(|(_, known)| *known == alg);
        known.map_or("", |(name, _)| name)
    }

    /// One of the platform's algorithms, by its name.
    pub fn named(&self, name: &str) -> Option<Alg> {
        let known = self.names.iter().find(|(known, _)| *known == name);
        known.map(|(_, alg)| *alg).filter(|alg| self.algorithms.contains(alg))
    }

    /// Empty: tokens are signed with a shared secret.
    pub fn public_algorithms(&self) -> Vec<Algorithm> {
        let public = |alg: &Alg| match alg {
            Alg::Public(algorithm) => Some(*algorithm),
            Alg::Hmac(_) => None,
        };
        self.algorithms.iter().filter_map(public).collect()
    }

    /// Adds the claims that a token must have, and the times of one that is issued at `at` and lives `lifetime` seconds;
    /// those that are there stay.
    pub fn fill(&self, claims: &mut Map<String, Value>, at: Timestamp, lifetime: i64) {
        self.fill_expected(claims);
        let at = at.as_second();
        for (name, time) in [("iat", at), ("exp", at + lifetime)] {
            claims.entry(name).or_insert(time.into());
        }
    }

    /// Adds what must be said; what is there stays.
    pub fn fill_expected(&self, claims: &mut Map<String, Value>) {
        for (name, expected) in &self.claims {
            let value = match expected {
                Expected::Bool(value) => Value::from(*value),
                Expected::AnyOf { values, .. } => values.first().map(String::as_str).into(),
            };
            claims.entry(&**name).or_insert(value);
        }
    }

    /// Takes a token apart and holds its header to the rules.
    pub fn open<'t>(&self, token: &'t [u8]) -> Result<Token<'t>, VerifyError> {
        let malformed = || VerifyError::Malformed("token is no compact JWS".into());
        let [header, payload, signature] = parts(token).ok_or_else(malformed)?;
        let (alg, header) = self.header(header)?;
        if header.contains_key("crit") {
            return Err(unsupported_extension());
        }
        Ok(Token {
            alg,
            kid: header.get("kid").and_then(Value::as_str).map(str::to_owned),
            signed: &token[..token.len() - signature.len() - 1],
            signature: decode(signature).ok_or_else(malformed)?,
            payload: decode(payload).ok_or_else(malformed)?,
        })
    }

    /// Takes a detached token apart: `header..signature`. `unencoded`: the platform's are so (RFC 7797), and say it.
    pub fn open_detached<'t>(&self, token: &'t [u8], unencoded: bool) -> Result<Detached<'t>, VerifyError> {
        let malformed = || VerifyError::Malformed("it is no detached JWS (`header..signature`)".into());
        let [protected, payload, signature] = parts(token).ok_or_else(malformed)?;
        if !payload.is_empty() {
            return Err(malformed());
        }
        let (alg, header) = self.header(protected)?;
        let crit = header.get("crit").map(|crit| *crit == serde_json::json!(["b64"]));
        if crit == Some(false) {
            return Err(unsupported_extension());
        }
        // RFC 7797 section 6: who does not know `b64` must see by `crit` that it cannot read this.
        let says = match header.get("b64") {
            None if crit.is_none() => false,
            Some(Value::Bool(encoded)) if crit.is_some() => !encoded,
            _ => return Err(VerifyError::Token("its `b64` and `crit` do not fit together".into())),
        };
        if says != unencoded {
            return Err(VerifyError::Token(
                "its payload is not encoded as the platform does it".into(),
            ));
        }
        Ok(Detached {
            alg,
            protected,
            header,
            signature: decode(signature).ok_or_else(malformed)?,
        })
    }

    /// The header of a token, and the algorithm that it names, which must be one of the platform's.
    fn header(&self, text: &[u8]) -> Result<(Alg, Map<String, Value>), VerifyError> {
        let header = decode(text).and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
        let header = header.ok_or_else(|| VerifyError::Malformed("header of the token is no JSON object".into()))?;
        let alg = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(|name| self.named(name));
        let alg = alg.ok_or_else(|| VerifyError::Token("its algorithm is not one of the platform's".into()))?;
        Ok((alg, header))
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

/// The part of a token that is signed: header and claims.
pub(crate) fn signed_part(alg: &str, claims: &Map<String, Value>) -> String {
    let header = serde_json::json!({ "alg": alg, "typ": "JWT" }).to_string();
    let [header, claims] =
        [header, serde_json::Value::from(claims.clone()).to_string()].map(|part| base64url(part.as_bytes()));
    format!("{header}.{claims}")
}

/// What a detached token signs (RFC 7515 section 5.1, RFC 7797 section 3).
pub(crate) fn detached_part(protected: &[u8], payload: &[u8], unencoded: bool) -> Vec<u8> {
    let mut signed = [protected, b"."].concat();
    match unencoded {
        true => signed.extend_from_slice(payload),
        false => signed.extend_from_slice(base64url(payload).as_bytes()),
    }
    signed
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    encode::encode(Encoding::Base64url, bytes).unwrap_or_default()
}

/// A detached token taken apart; nothing of it is believed yet.
#[derive(Debug)]
pub(crate) struct Detached<'t> {
    pub alg: Alg,
    /// Its header, as it stands there.
    pub protected: &'t [u8],
    pub header: Map<String, Value>,
    pub signature: Vec<u8>,
}

fn unsupported_extension() -> VerifyError {
    VerifyError::Token("asks for an extension (`crit`) that is not supported".into())
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    encode::decode(Encoding::Base64url, text)
}

/// The three parts of a compact JWS.
fn parts(token: &[u8]) -> Option<[&[u8]; 3]> {
    let mut parts = token.split(|byte| *byte == b'.');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
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
