//! Headers that hold the body's digest: `Content-Digest` (RFC 9530), and `Digest` (RFC 3230) of the draft.

use sfv::{Item, ListEntry};
use subtle::ConstantTimeEq;

use crate::delivery::HeaderName;
use crate::provider::definition::{Encoding, HashName};

use super::candidates::MOST;
use super::find::View;
use super::http_signature::{Component, combined, dictionary, malformed};
use super::{VerifyError, encode, hashes};

/// Headers that hold the body's digest.
pub(crate) fn is_digest(component: &Component) -> bool {
    matches!(component, Component::Header(name) if name == "content-digest" || name == "digest")
}

/// Holds the body to the digest headers that are covered: each that is known must be right, and one must be.
pub(crate) fn check_digests(view: &View<'_>, components: &[Component]) -> Result<(), VerifyError> {
    for component in components.iter().filter(|component| is_digest(component)) {
        let Component::Header(name) = component else { continue };
        let value = combined(view, name).ok_or_else(|| VerifyError::Missing(format!("header `{name}`")))?;
        let digests = if name == "digest" {
            drafted_digests(&value)
        } else {
            registered_digests(&value)?
        };
        if digests.is_empty() {
            return Err(malformed(format!(
                "header `{name}` has no digest by SHA-256 or SHA-512"
            )));
        }
        for (hash, said) in digests {
            let actual = hashes::hash(hash, &view.raw.body);
            if !bool::from(said.as_slice().ct_eq(actual.as_slice())) {
                return Err(VerifyError::Digest(format!("header `{name}`")));
            }
        }
    }
    Ok(())
}

const DIGESTS: [(&str, HashName); 2] = [("sha-256", HashName::Sha256), ("sha-512", HashName::Sha512)];

/// RFC 9530; other algorithms are none that prove anything.
fn registered_digests(value: &[u8]) -> Result<Vec<(HashName, Vec<u8>)>, VerifyError> {
    let entries = dictionary("content-digest", value)?;
    let mut digests = Vec::new();
    for (known, hash) in DIGESTS {
        match entries.get(known) {
            None => {}
            Some(ListEntry::Item(Item { bare_item, .. })) => {
                let bytes = bare_item
                    .as_byte_sequence()
                    .ok_or_else(|| malformed("content-digest holds no bytes"))?;
                digests.push((hash, bytes.to_vec()));
            }
            Some(_) => return Err(malformed("content-digest holds a list")),
        }
    }
    Ok(digests)
}

/// RFC 3230: `SHA-256=…,SHA-512=…`.
fn drafted_digests(value: &[u8]) -> Vec<(HashName, Vec<u8>)> {
    let text = String::from_utf8_lossy(value);
    let digests = text.split(',').take(MOST).filter_map(|part| {
        let (name, digest) = part.trim().split_once('=')?;
        let (_, hash) = DIGESTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        // One that cannot be read is a wrong one.
        Some((
            *hash,
            encode::decode(Encoding::Base64, digest.as_bytes()).unwrap_or_default(),
        ))
    });
    digests.collect()
}

/// The digest header's value for a body, for who signs.
pub(crate) fn digest_of(name: &HeaderName, body: &[u8]) -> String {
    let digest = encode::encode(Encoding::Base64, &hashes::hash(HashName::Sha256, body)).unwrap_or_default();
    if name == "digest" {
        format!("SHA-256={digest}")
    } else {
        format!("sha-256=:{digest}:")
    }
}
