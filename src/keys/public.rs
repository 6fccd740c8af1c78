//! Public keys in the forms that platforms publish, and the check of a signature with one.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use x509_parser::prelude::{FromDer, Pem, X509Certificate};
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::clock::Timestamp;

/// A public key, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point on P-256.
    P256(Vec<u8>),
    /// An uncompressed point on P-521.
    P521(Vec<u8>),
    Ed25519([u8; 32]),
}

/// How a signature over a message is checked. Closed, and never chosen by the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    RsaSha1,
    RsaSha256,
    RsaSha384,
    RsaSha512,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
    /// P-256 and SHA-256, signature in DER.
    EcdsaDer,
    /// P-256 and SHA-256, signature `r‖s` (RFC 7518 section 3.4).
    EcdsaRaw,
    /// P-521 and SHA-512, signature `r‖s` (RFC 7518 section 3.4: ES512).
    EcdsaP521Raw,
    Ed25519,
}

/// What a key must be of to be used with an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Rsa,
    P256,
    P521,
    Ed25519,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("is no public key: expected PEM, base64 of SPKI DER, or 32 bytes of Ed25519")]
    Form,
    #[error("is a key of a kind that is not supported: expected RSA, P-256, P-521 or Ed25519")]
    Kind,
}

/// A certificate's public key, and when it is valid.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub key: PublicKey,
    not_before: i64,
    not_after: i64,
}

impl Algorithm {
    /// What events and metrics say.
    pub fn label(self) -> &'static str {
        match self {
            Self::RsaSha1 => "rsa-sha1",
            Self::RsaSha256 => "rsa-sha256",
            Self::RsaSha384 => "rsa-sha384",
            Self::RsaSha512 => "rsa-sha512",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha384 => "rsa-pss-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::EcdsaDer | Self::EcdsaRaw => "ecdsa-p256-sha256",
            Self::EcdsaP521Raw => "ecdsa-p521-sha512",
            Self::Ed25519 => "ed25519",
        }
    }

    pub fn key_kind(self) -> KeyKind {
        match self {
            Self::EcdsaDer | Self::EcdsaRaw => KeyKind::P256,
            Self::EcdsaP521Raw => KeyKind::P521,
            Self::Ed25519 => KeyKind::Ed25519,
            _ => KeyKind::Rsa,
        }
    }
}

impl PublicKey {
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::Rsa { .. } => KeyKind::Rsa,
            Self::P256(_) => KeyKind::P256,
            Self::P521(_) => KeyKind::P521,
            Self::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// PEM (`PUBLIC KEY`, `RSA PUBLIC KEY`, `CERTIFICATE`), SPKI DER, that in base64, or the 32 bytes of an Ed25519 key.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
            return Ok(Self::Ed25519(raw));
        }
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Self::from_pem(bytes);
        }
        if let Ok(key) = Self::from_spki(bytes) {
            return Ok(key);
        }
        let text: Vec<u8> = bytes
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let der = STANDARD.decode(text).map_err(|_| KeyError::Form)?;
        Self::from_spki(&der)
    }

    fn from_pem(bytes: &[u8]) -> Result<Self, KeyError> {
        let pem = Pem::iter_from_buffer(bytes)
            .next()
            .and_then(Result::ok)
            .ok_or(KeyError::Form)?;
        match pem.label.as_str() {
            "CERTIFICATE" => Certificate::from_der(&pem.contents).map(|certificate| certificate.key),
            "RSA PUBLIC KEY" => {
                let (_, key) =
                    x509_parser::public_key::RSAPublicKey::from_der(&pem.contents).map_err(|_| KeyError::Form)?;
                Ok(Self::rsa(key.modulus, key.exponent))
            }
            _ => Self::from_spki(&pem.contents),
        }
    }

    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let (rest, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Form)?;
        if !rest.is_empty() {
            return Err(KeyError::Form);
        }
        Self::from_info(&spki)
    }

    fn from_info(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyError> {
        // RFC 8410: Ed25519's bit string is the key itself.
        if spki.algorithm.algorithm.to_id_string() == "1.3.101.112" {
            let raw = spki.subject_public_key.data.as_ref();
            return raw.try_into().map(Self::Ed25519).map_err(|_| KeyError::Form);
        }
        // RFC 4055: a key that is for RSASSA-PSS only is an RSA key all the same.
        if spki.algorithm.algorithm.to_id_string() == "1.2.840.113549.1.1.10" {
            let raw = spki.subject_public_key.data.as_ref();
            let (_, key) = x509_parser::public_key::RSAPublicKey::from_der(raw).map_err(|_| KeyError::Form)?;
            return Ok(Self::rsa(key.modulus, key.exponent));
        }
        match spki.parsed() {
            Ok(Parsed::RSA(key)) => Ok(Self::rsa(key.modulus, key.exponent)),
            Ok(Parsed::EC(point)) => {
                let curve = spki.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
                let curve = curve.map(|oid| oid.to_id_string()).unwrap_or_default();
                let key = match curve.as_str() {
                    "1.2.840.10045.3.1.7" => Self::p256(point.data()),
                    "1.3.132.0.35" => Self::p521(point.data()),
                    _ => None,
                };
                key.ok_or(KeyError::Kind)
            }
            _ => Err(KeyError::Kind),
        }
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let bare = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
        Self::Rsa {
            n: bare(modulus),
            e: bare(exponent),
        }
    }

    fn p256(point: &[u8]) -> Option<Self> {
        (point.len() == 65 && point[0] == 4).then(|| Self::P256(point.to_vec()))
    }

    fn p521(point: &[u8]) -> Option<Self> {
        (point.len() == 133 && point[0] == 4).then(|| Self::P521(point.to_vec()))
    }

    /// Whether `signature` over `message` was made by this key's owner.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => {
                let parameters = match algorithm {
                    // Some platforms still sign so (SNS version 1); their data says it, no delivery can ask for it.
                    Algorithm::RsaSha1 => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
                    Algorithm::RsaSha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RsaSha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RsaSha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }
                    .verify(parameters, message, signature)
                    .is_ok()
            }
            Self::P256(point) => {
                let algorithm: &dyn signature::VerificationAlgorithm = match algorithm {
                    Algorithm::EcdsaDer => &signature::ECDSA_P256_SHA256_ASN1,
                    Algorithm::EcdsaRaw => &signature::ECDSA_P256_SHA256_FIXED,
                    _ => return false,
                };
                UnparsedPublicKey::new(algorithm, point)
                    .verify(message, signature)
                    .is_ok()
            }
            // `ring` has no P-521.
            Self::P521(point) => {
                use p521::ecdsa::signature::Verifier;
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point);
                let signature = p521::ecdsa::Signature::from_slice(signature);
                algorithm == Algorithm::EcdsaP521Raw
                    && matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(message, &signature).is_ok())
            }
            Self::Ed25519(key) => {
                algorithm == Algorithm::Ed25519
                    && UnparsedPublicKey::new(&signature::ED25519, key)
                        .verify(message, signature)
                        .is_ok()
            }
        }
    }
}

impl Certificate {
    /// The first certificate of a PEM file.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, KeyError> {
        let pem = Pem::iter_from_buffer(bytes)
            .next()
            .and_then(Result::ok)
            .ok_or(KeyError::Form)?;
        Self::from_der(&pem.contents)
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| KeyError::Form)?;
        Ok(Self {
            key: PublicKey::from_info(certificate.public_key())?,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }

    pub fn valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now.as_second())
    }
}

/// A JSON Web Key Set (RFC 7517), of which the keys that can be used are kept.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<(Option<String>, PublicKey)>,
}

/// More keys than any platform publishes.
const MOST_KEYS: usize = 64;

impl KeySet {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(bytes).map_err(|error| format!("is no key set: {error}"))?;
        let keys: Vec<_> = set.keys.iter().take(MOST_KEYS).filter_map(Self::key).collect();
        if keys.is_empty() {
            return Err("has no key of a supported kind".into());
        }
        Ok(Self { keys })
    }

    /// `None` for a key of another kind or use: a set may hold some.
    fn key(jwk: &serde_json::Value) -> Option<(Option<String>, PublicKey)> {
        let text = |name: &str| jwk.get(name)?.as_str();
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let key = match (text("kty")?, text("crv")) {
            ("RSA", _) => PublicKey::rsa(&bytes("n")?, &bytes("e")?),
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                (x.len() == 32 && y.len() == 32).then(|| PublicKey::P256([&[4], &x[..], &y[..]].concat()))?
            }
            ("EC", Some("P-521")) => PublicKey::p521(&[&[4][..], &bytes("x")?, &bytes("y")?].concat())?,
            ("OKP", Some("Ed25519")) => PublicKey::Ed25519(bytes("x")?.try_into().ok()?),
            _ => return None,
        };
        Some((text("kid").map(str::to_owned), key))
    }

    /// Keys to try for a token: those of its key id, or all when it names none.
    pub fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = (Option<&str>, &PublicKey)> {
        let wanted = kid.map(str::to_owned);
        self.keys
            .iter()
            .filter(move |(id, _)| wanted.is_none() || *id == wanted)
            .map(|(id, key)| (id.as_deref(), key))
    }

    pub fn has(&self, kid: Option<&str>) -> bool {
        self.candidates(kid).next().is_some()
    }
}
