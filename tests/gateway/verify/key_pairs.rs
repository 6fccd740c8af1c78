//! Key pairs of the tests' own.

use std::process::Command;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};

/// A private key in PKCS#8 PEM, and its public half in the forms that platforms use.
pub struct Pair {
    pub private: String,
    /// As SPKI DER; of Ed25519 also the bare 32 bytes.
    pub spki: Vec<u8>,
    pub bare: Option<Vec<u8>>,
}

impl Pair {
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("ASCII"))
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn ed25519() -> Pair {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).expect("a key");
    let public = pair.public_key().as_ref().to_vec();
    // RFC 8410: the algorithm's identifier, and the key as a bit string.
    let spki = [&hex::decode("302a300506032b6570032100").expect("hex")[..], &public].concat();
    Pair {
        private: pem("PRIVATE KEY", der.as_ref()),
        spki,
        bare: Some(public),
    }
}

pub fn p256() -> Pair {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.as_ref(), &random).expect("a key");
    let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").expect("hex");
    Pair {
        private: pem("PRIVATE KEY", der.as_ref()),
        spki: [&head[..], pair.public_key().as_ref()].concat(),
        bare: None,
    }
}

/// Beside one RSA key always the same one: its randomness is not what is tested, but somebody else has another.
pub fn p521(beside: &Rsa) -> Pair {
    use p521::pkcs8::{EncodePrivateKey, EncodePublicKey};
    let mut scalar = [0; 66];
    scalar[2..].copy_from_slice(ring::digest::digest(&ring::digest::SHA512, beside.public.as_bytes()).as_ref());
    let key = p521::SecretKey::from_slice(&scalar).expect("a key");
    Pair {
        private: pem("PRIVATE KEY", key.to_pkcs8_der().expect("a key").as_bytes()),
        spki: key.public_key().to_public_key_der().expect("a key").as_bytes().to_vec(),
        bare: None,
    }
}

/// A key set with this one key, which has no id.
pub fn key_set(pair: &Pair) -> String {
    let jwk = match (&pair.bare, pair.spki.len()) {
        (Some(x), _) => serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(x)}),
        (None, length) => {
            let (crv, size) = if length > 100 { ("P-521", 66) } else { ("P-256", 32) };
            let point = &pair.spki[length - 2 * size..];
            serde_json::json!({"kty": "EC", "crv": crv, "x": base64url(&point[..size]), "y": base64url(&point[size..])})
        }
    };
    serde_json::json!({ "keys": [jwk] }).to_string()
}

/// An RSA key with a certificate. Making one takes a moment.
pub struct Rsa {
    pub private: String,
    pub certificate: String,
    /// A key set with this one key, its id `test`.
    pub key_set: String,
    /// `RSA PUBLIC KEY`.
    pub public: String,
}

/// One for the whole run.
pub static RSA: LazyLock<Rsa> = LazyLock::new(rsa);

pub fn rsa() -> Rsa {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3",
            "-subj",
            "/CN=tests of hooksluice",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let private = std::fs::read_to_string(key).expect("a key");
    let body: String = private.lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(body).expect("base64")).expect("an RSA key");
    let parts: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
    let key_set = serde_json::json!({"keys": [{
        "kty": "RSA", "kid": "test", "use": "sig",
        "n": base64url(&parts.n), "e": base64url(&parts.e),
    }]});
    Rsa {
        private,
        certificate: std::fs::read_to_string(certificate).expect("a certificate"),
        key_set: key_set.to_string(),
        public: pem("RSA PUBLIC KEY", pair.public().as_ref()),
    }
}
