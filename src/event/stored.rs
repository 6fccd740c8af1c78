//! The journal's form of an event: its attributes as JSON text, its data as a blob, and a digest.
//!
//! The digest is over the attributes, and these hold the data's own (`bodysha256`): together they
//! vouch for every byte, and the body is not hashed a second time.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::Event;
use super::attribute::Attribute;
use super::encode::{SPEC_VERSION, attributes_into};

/// What the journal keeps of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// JSON object of all CloudEvents attributes, `specversion` and `datacontenttype` included.
    pub attributes: String,
    pub data: Bytes,
    /// SHA-256 of `attributes`.
    pub sha256: [u8; 32],
}

/// Why a stored record is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    #[error("the stored attributes are not the ones that were written: their digest differs")]
    AttributesDigest,
    #[error("the stored data are not the ones that were written: their digest differs")]
    DataDigest,
    #[error("the stored attributes are malformed: {0}")]
    Malformed(String),
    #[error("the stored event has no attribute {0}")]
    Missing(&'static str),
    #[error("the stored event has an attribute that this version does not know: {0:?}")]
    Unknown(String),
}

impl Event {
    pub fn to_stored(&self) -> Stored {
        let mut attributes = String::with_capacity(1024);
        attributes_into(&mut attributes, self);
        let sha256 = Sha256::digest(&attributes).into();
        Stored {
            attributes,
            data: self.data.clone(),
            sha256,
        }
    }

    /// The event that [`Event::to_stored`] was called on, if the record is whole.
    pub fn from_stored(attributes: &str, data: Bytes, sha256: &[u8]) -> Result<Self, StoredError> {
        if Sha256::digest(attributes)[..] != *sha256 {
            return Err(StoredError::AttributesDigest);
        }
        let texts = serde_json::from_str(attributes).map_err(|error| StoredError::Malformed(error.to_string()))?;
        Self::from_attributes(texts, data)
    }

    /// An event from its attributes, `specversion` and `datacontenttype` among them, and its data, whose digest they hold.
    pub(super) fn from_attributes(mut texts: BTreeMap<String, String>, data: Bytes) -> Result<Self, StoredError> {
        let mut take = |name: &'static str| texts.remove(name).ok_or(StoredError::Missing(name));
        let version = take("specversion")?;
        if version != SPEC_VERSION {
            return Err(StoredError::Malformed(format!("specversion is {version:?}")));
        }
        let content_type = take("datacontenttype")?;
        let (id, kind, uri) = (take("id")?, take("type")?, take("source")?);
        let source = name(&uri).ok_or_else(|| StoredError::Malformed("source is no source of ours".into()))?;
        let mut others = Vec::with_capacity(texts.len());
        for (name, value) in texts {
            match Attribute::of(&name) {
                Some(attribute) => others.push((attribute, value.into())),
                None => return Err(StoredError::Unknown(name)),
            }
        }
        others.sort_by_key(|(attribute, _)| *attribute);
        let event = Self {
            id: id.into(),
            kind: kind.into(),
            source: source.into(),
            uri: uri.into(),
            provider: "".into(),
            others,
            content_type: content_type.into(),
            data,
            json: OnceLock::new(),
        };
        let provider = event
            .get(Attribute::Provider)
            .ok_or(StoredError::Missing("provider"))?
            .into();
        let digest = event
            .get(Attribute::BodySha256)
            .ok_or(StoredError::Missing("bodysha256"))?;
        if hex::encode(Sha256::digest(&event.data)) != digest {
            return Err(StoredError::DataDigest);
        }
        Ok(Self { provider, ..event })
    }
}

const BASE: &str = "/sources/";
/// What RFC 3986 calls unreserved stays as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The attribute `source` of a source.
pub(super) fn uri(name: &str) -> String {
    format!("{BASE}{}", utf8_percent_encode(name, ESCAPED))
}

fn name(uri: &str) -> Option<String> {
    let escaped = uri.strip_prefix(BASE)?;
    percent_decode_str(escaped)
        .decode_utf8()
        .ok()
        .map(|name| name.into_owned())
}
