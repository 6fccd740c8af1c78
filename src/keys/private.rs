//! Private keys, for those who sign deliveries themselves: `sign`, `send`, tests.

use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::{Algorithm, KeyKind};

/// A private key, as PKCS#8.
pub struct PrivateKey {
    kind: KeyKind,
    /// ECDSA's forms of signature take the key in separately.
    der: PrivatePkcs8KeyDer<'static>,
}

/// Why a private key cannot be used, or cannot sign so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    #[error("is no private key in PKCS#8 PEM (`-----BEGIN PRIVATE KEY-----`)")]
    Form,
    #[error(
        "is a private key of a kind that is not supported: expected RSA (2048 bits or more), P-256, P-521 or Ed25519"
    )]
    Kind,
    #[error("cannot sign {0}; a kit of the platform's can")]
    Algorithm(&'static str),
}

/// Holds a key: does not print.
impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({:?}, …)", self.kind)
    }
}

impl PrivateKey {
    /// Whether this is meant to be a private key, usable or not.
    pub fn is_pem(bytes: &[u8]) -> bool {
        const MARK: &[u8] = b"PRIVATE KEY-----";
        bytes.trim_ascii_start().starts_with(b"-----BEGIN") && bytes.windows(MARK.len()).any(|window| window == MARK)
    }

    pub fn from_pem(bytes: &[u8]) -> Result<Self, PrivateKeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(bytes).map_err(|_| PrivateKeyError::Form)?;
        let kinds = [KeyKind::Rsa, KeyKind::P256, KeyKind::P521, KeyKind::Ed25519];
        let reads = |kind: &KeyKind| match kind {
            KeyKind::Rsa => rsa(&der).is_ok(),
            KeyKind::P256 => ecdsa(&der, &signature::ECDSA_P256_SHA256_ASN1_SIGNING).is_ok(),
            KeyKind::P521 => p521(&der).is_ok(),
            KeyKind::Ed25519 => ed25519(&der).is_ok(),
        };
        let kind = kinds.into_iter().find(reads).ok_or(PrivateKeyError::Kind)?;
        Ok(Self { kind, der })
    }

    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The counterpart of [`super::PublicKey::verify`].
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        match algorithm {
            Algorithm::RsaSha256 => self.rsa(&signature::RSA_PKCS1_SHA256, message),
            Algorithm::RsaSha384 => self.rsa(&signature::RSA_PKCS1_SHA384, message),
            Algorithm::RsaSha512 => self.rsa(&signature::RSA_PKCS1_SHA512, message),
            Algorithm::RsaPssSha256 => self.rsa(&signature::RSA_PSS_SHA256, message),
            Algorithm::RsaPssSha384 => self.rsa(&signature::RSA_PSS_SHA384, message),
            Algorithm::RsaPssSha512 => self.rsa(&signature::RSA_PSS_SHA512, message),
            // `ring` verifies it for the sake of old platforms, and signs it for nobody's.
            Algorithm::RsaSha1 => Err(PrivateKeyError::Algorithm(algorithm.label())),
            Algorithm::EcdsaDer => self.ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, message),
            Algorithm::EcdsaRaw => self.ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, message),
            Algorithm::EcdsaP521Raw => {
                use p521::ecdsa::signature::Signer;
                let signature: p521::ecdsa::Signature =
                    p521(&self.der)?.try_sign(message).map_err(|_| PrivateKeyError::Kind)?;
                Ok(signature.to_bytes().to_vec())
            }
            Algorithm::Ed25519 => Ok(ed25519(&self.der)?.sign(message).as_ref().to_vec()),
        }
    }

    fn rsa(&self, padding: &'static dyn RsaEncoding, message: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        let pair = rsa(&self.der)?;
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(padding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| PrivateKeyError::Kind)?;
        Ok(signature)
    }

    fn ecdsa(
        &self,
        algorithm: &'static signature::EcdsaSigningAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, PrivateKeyError> {
        let pair = ecdsa(&self.der, algorithm)?;
        let signature = pair
            .sign(&SystemRandom::new(), message)
            .map_err(|_| PrivateKeyError::Kind)?;
        Ok(signature.as_ref().to_vec())
    }
}

fn rsa(der: &PrivatePkcs8KeyDer<'_>) -> Result<RsaKeyPair, PrivateKeyError> {
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| PrivateKeyError::Kind)
}

fn ecdsa(
    der: &PrivatePkcs8KeyDer<'_>,
    algorithm: &'static signature::EcdsaSigningAlgorithm,
) -> Result<EcdsaKeyPair, PrivateKeyError> {
    EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der(), &SystemRandom::new()).map_err(|_| PrivateKeyError::Kind)
}

fn p521(der: &PrivatePkcs8KeyDer<'_>) -> Result<p521::ecdsa::SigningKey, PrivateKeyError> {
    use p521::pkcs8::DecodePrivateKey;
    p521::ecdsa::SigningKey::from_pkcs8_der(der.secret_pkcs8_der()).map_err(|_| PrivateKeyError::Kind)
}

/// Openssl writes the key without its public half, which `ring` by itself would refuse.
fn ed25519(der: &PrivatePkcs8KeyDer<'_>) -> Result<Ed25519KeyPair, PrivateKeyError> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| PrivateKeyError::Kind)
}
