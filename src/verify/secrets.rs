//! Which of a source's secrets serves which alternative, and its decoding.
//!
//! The rule: a secret that carries the prefix of some alternative's form belongs to the alternatives with that prefix,
//! and to no others. Any other secret belongs to every alternative that does not require a prefix and under whose form
//! it decodes. A secret that serves no alternative is a problem; an alternative that no secret serves is not active.

use std::sync::Arc;

use zeroize::Zeroize;

use crate::provider::definition::{Encoding, SecretEncoding, SecretForm};
use crate::secret::{NamedSecret, Secret};

use super::encode;
use super::hashes;

/// A secret as an alternative uses it.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub name: Arc<str>,
    pub bytes: Secret,
}

/// For each form the keys that serve it; and a problem for each secret that serves none.
pub(crate) fn assign(forms: &[Option<&SecretForm>], secrets: &[NamedSecret]) -> (Vec<Vec<Key>>, Vec<String>) {
    let mut keys = vec![Vec::new(); forms.len()];
    let mut problems = Vec::new();
    for NamedSecret { name, secret } in secrets {
        let carries = |form: &SecretForm| {
            let prefix = form.prefix.as_deref().filter(|prefix| !prefix.is_empty());
            prefix.is_some_and(|prefix| secret.expose().starts_with(prefix.as_bytes()))
        };
        let is_marked = forms.iter().flatten().any(|form| carries(form));
        let mut serves = false;
        for (form, keys) in forms.iter().zip(&mut keys) {
            let Some(form) = form else { continue };
            let belongs = if is_marked {
                carries(form)
            } else {
                !form.prefix_required
            };
            if let Some(bytes) = belongs.then(|| decode(form, secret)).flatten() {
                serves = true;
                keys.push(Key {
                    name: name.clone(),
                    bytes,
                });
            }
        }
        if !serves {
            problems.push(refusal(name, forms.iter().flatten().copied()));
        }
    }
    (keys, problems)
}

/// `None`: the secret is not of this form.
pub(crate) fn decode(form: &SecretForm, secret: &Secret) -> Option<Secret> {
    let text = secret.expose();
    let prefix = form.prefix.as_deref().unwrap_or_default();
    let bare = text.strip_prefix(prefix.as_bytes()).unwrap_or(text);
    let encoding = match form.encoding {
        SecretEncoding::Text | SecretEncoding::Pem => Encoding::Text,
        SecretEncoding::Hex => Encoding::Hex,
        SecretEncoding::Base64 => Encoding::Base64,
        SecretEncoding::Base64url => Encoding::Base64url,
    };
    let bytes = Secret::new(encode::decode(encoding, bare)?);
    let key = match form.derive {
        Some(hash) => {
            let mut derived = hashes::hash(hash, bytes.expose());
            let key = Secret::new(derived.as_slice());
            derived.as_mut_slice().zeroize();
            key
        }
        None => bytes,
    };
    (!key.expose().is_empty()).then_some(key)
}

pub(crate) fn refusal<'f>(name: &str, forms: impl Iterator<Item = &'f SecretForm>) -> String {
    let mut expected: Vec<String> = forms.map(describe).collect();
    expected.dedup();
    format!("secret `{name}` cannot be decoded; expected {}", expected.join(", or "))
}

fn describe(form: &SecretForm) -> String {
    let body = match form.encoding {
        SecretEncoding::Text => "text",
        SecretEncoding::Hex => "hex",
        SecretEncoding::Base64 => "base64",
        SecretEncoding::Base64url => "base64url",
        SecretEncoding::Pem => "a PEM public key, or its base64 without the PEM lines",
    };
    match &form.prefix {
        Some(prefix) if form.prefix_required => format!("`{prefix}` followed by {body}"),
        Some(prefix) => format!("{body} (with or without `{prefix}` in front)"),
        None => body.to_owned(),
    }
}
