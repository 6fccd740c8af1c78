//! Definitions as listings name them.

use super::Definition;
use super::definition::{Scheme, Signature};

/// Whether any of the provider's ways to sign is keyed by a secret of the user's.
pub fn needs_secret(definition: &Definition) -> bool {
    definition.signature.iter().any(|signature| {
        let form = signature.secret.as_ref().unwrap_or(&definition.secret);
        let keys = &signature.keys;
        let fetched = !keys.pinned.is_empty() || keys.jwks.is_some() || keys.certificate.is_some();
        !form.none && !fetched && signature.scheme != Scheme::None
    })
}

/// What a signature alternative is called: `hmac-sha256`, `ed25519`, `token`.
pub fn signature_name(signature: &Signature) -> String {
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let scheme = match signature.scheme {
        Scheme::RsaPss => "rsa-pss".to_owned(),
        Scheme::HttpSignature => "http-signature".to_owned(),
        Scheme::HttpMessageSignature => "http-message-signature".to_owned(),
        scheme => text(&scheme),
    };
    match signature.algorithm {
        Some(algorithm) => format!("{scheme}-{}", text(&algorithm)),
        None => scheme,
    }
}

/// Every way to sign, each once, with its name where a source may pin it.
pub fn schemes(definition: &Definition) -> Vec<String> {
    let mut schemes = Vec::new();
    for signature in &definition.signature {
        let scheme = match &signature.name {
            Some(name) => format!("{} ({name})", signature_name(signature)),
            None => signature_name(signature),
        };
        if !schemes.contains(&scheme) {
            schemes.push(scheme);
        }
    }
    schemes
}

/// `oracle`, `documented` or `reported`.
pub fn confidence(definition: &Definition) -> String {
    format!("{:?}", definition.confidence).to_lowercase()
}
