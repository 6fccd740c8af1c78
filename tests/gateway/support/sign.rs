//! Signs as the platforms' pages say, apart from the gateway's own code.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// `X-Hub-Signature-256`.
pub fn github(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac_sha256(secret.as_bytes(), &[body])))
}

/// `Stripe-Signature`, signed at a Unix time.
pub fn stripe(secret: &str, at: i64, body: &[u8]) -> String {
    let time = at.to_string();
    format!(
        "t={at},v1={}",
        hex::encode(hmac_sha256(secret.as_bytes(), &[time.as_bytes(), b".", body]))
    )
}

pub fn sha256(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
