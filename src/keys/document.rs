//! Keys in documents of the platforms' own: JSON with keys in it, or a PEM file, at a fixed URL or one for each key.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::public::MOST_KEYS;
use super::{Hosts, KeyError, KeySet, PublicKey, Target, TargetError};
use crate::secret::Secret;

/// How a document is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON Web Key Set.
    Jwks,
    /// A PEM file with one key.
    Pem,
    /// JSON: pointers to the array of keys (none: one key), and into each to its id and the key itself.
    Json {
        items: Option<String>,
        id: Option<String>,
        key: String,
    },
}

impl Form {
    pub(super) fn read(&self, bytes: &[u8]) -> Result<KeySet, String> {
        let (items, id, key) = match self {
            Self::Jwks => return KeySet::parse(bytes),
            Self::Pem => {
                return Ok(KeySet::new(vec![(
                    None,
                    parse(bytes).map_err(|error| error.to_string())?,
                )]));
            }
            Self::Json { items, id, key } => (items, id, key),
        };
        let document: Value = serde_json::from_slice(bytes).map_err(|error| format!("is no JSON: {error}"))?;
        let items: Vec<&Value> = match items {
            None => vec![&document],
            Some(pointer) => match document.pointer(pointer) {
                Some(Value::Array(items)) => items.iter().take(MOST_KEYS).collect(),
                _ => return Err(format!("has no array at `{pointer}`")),
            },
        };
        // A key of a kind that is not supported is none: others may stand beside it.
        let read = |item: &Value| {
            let key = parse(item.pointer(key)?.as_str()?.as_bytes()).ok()?;
            let id = id.as_deref().and_then(|id| item.pointer(id)).and_then(Value::as_str);
            Some((id.map(str::to_owned), key))
        };
        let keys: Vec<_> = items.into_iter().filter_map(read).collect();
        if keys.is_empty() {
            return Err(format!("has no key of a supported kind at `{key}`"));
        }
        Ok(KeySet::new(keys))
    }
}

/// As [`PublicKey::parse`], and PEM that is all on one line.
fn parse(bytes: &[u8]) -> Result<PublicKey, KeyError> {
    PublicKey::parse(bytes).or_else(|error| {
        let text = std::str::from_utf8(bytes).map_err(|_| KeyError::Form)?.trim();
        let inner = text
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
            .ok_or(error)?;
        let inner: String = inner.split_whitespace().collect();
        PublicKey::parse(&STANDARD.decode(inner).map_err(|_| KeyError::Form)?)
    })
}

/// Where a definition's keys are, and what is shown to be told them.
#[derive(Clone, Debug)]
pub struct KeyDocument {
    url: String,
    hosts: Hosts,
    form: Arc<Form>,
    shown: Option<Shown>,
}

/// What the platform wants to see of the customer before it tells a key.
#[derive(Clone, Debug)]
pub enum Shown {
    Bearer(Secret),
    /// A bearer token that is asked for with the client's credentials.
    Grant(Grant),
}

/// The client credentials grant (RFC 6749 section 4.4).
#[derive(Clone, Debug)]
pub struct Grant {
    pub token_url: Target,
    pub scope: String,
    pub id: String,
    pub secret: Secret,
}

impl Shown {
    /// Tells two credentials apart and says neither.
    fn digest(&self) -> String {
        let (id, secret) = match self {
            Self::Bearer(secret) => ("", secret),
            Self::Grant(grant) => (grant.id.as_str(), &grant.secret),
        };
        let digest = Sha256::new()
            .chain_update(id)
            .chain_update([0])
            .chain_update(secret.expose());
        hex::encode(&digest.finalize()[..8])
    }
}

/// Stands for the key's id in a URL.
const ID: &str = "{id}";
/// Longest id that is put into a URL: a UUID is 36 characters.
const LONGEST_ID: usize = 64;

impl KeyDocument {
    /// The URL's host must be allowed, and an id may only stand in its path.
    pub fn new(url: &str, hosts: Hosts, form: Form, shown: Option<Shown>) -> Result<Self, TargetError> {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let place = path.splitn(4, '/').nth(3).unwrap_or_default();
        if url.matches(ID).count() > place.matches(ID).count() {
            return Err(TargetError::Id);
        }
        hosts.check(&url.replace(ID, "0"))?;
        Ok(Self {
            url: url.to_owned(),
            hosts,
            form: form.into(),
            shown,
        })
    }

    /// One URL a key: what it serves is the key that was asked for.
    pub fn is_by_id(&self) -> bool {
        self.url.contains(ID)
    }

    pub fn target(&self, id: Option<&str>) -> Result<Target, TargetError> {
        if !self.is_by_id() {
            return self.hosts.check(&self.url);
        }
        let id = id.ok_or(TargetError::Id)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(plain) {
            return Err(TargetError::Id);
        }
        self.hosts.check(&self.url.replace(ID, id))
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    pub(super) fn form(&self) -> &Arc<Form> {
        &self.form
    }

    pub(super) fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// What is remembered under one name: the same URL read another way, or shown another credential, is another thing.
    pub(super) fn slot(&self, target: &Target) -> String {
        let shown = self.shown.as_ref().map(Shown::digest).unwrap_or_default();
        format!("{} {:?} {shown}", target.as_str(), self.form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(url: &str) -> Result<KeyDocument, TargetError> {
        KeyDocument::new(url, Hosts::new(&["keys.example.com".into()], None), Form::Pem, None)
    }

    #[test]
    fn an_id_changes_one_segment_of_the_path_and_nothing_else() {
        let by_id = document("https://keys.example.com/v2/keys/{id}").unwrap();
        let target = |id| by_id.target(Some(id)).map(|target| target.as_str().to_owned());
        assert_eq!(target("a-1_B").unwrap(), "https://keys.example.com/v2/keys/a-1_B");
        for id in ["", "..", "a/b", "a?b", "a%2fb", "a.b", "ä", &"a".repeat(65)] {
            assert_eq!(target(id), Err(TargetError::Id), "{id}");
        }
        assert_eq!(by_id.target(None), Err(TargetError::Id));
        for url in [
            "https://{id}.example.com/",
            "https://keys.example.com{id}/x",
            "https://keys.example.com/x?k={id}",
        ] {
            assert!(document(url).is_err(), "{url}");
        }
        assert!(matches!(
            document("https://other.example.com/{id}"),
            Err(TargetError::Host(_))
        ));
    }

    #[test]
    fn documents_are_read_as_the_data_says() {
        let key = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let form = |items: Option<&str>, id: Option<&str>, key: &str| Form::Json {
            items: items.map(Into::into),
            id: id.map(Into::into),
            key: key.into(),
        };
        let listed = format!(r#"{{"keys":[{{"id":"1","k":"nonsense"}},{{"id":"2","k":"{key}"}}]}}"#);
        let set = form(Some("/keys"), Some("/id"), "/k").read(listed.as_bytes()).unwrap();
        assert!(set.has(Some("2")) && !set.has(Some("1")));
        let one_line = format!(r#"{{"key":"-----BEGIN PUBLIC KEY-----{key}-----END PUBLIC KEY-----"}}"#);
        assert!(form(None, None, "/key").read(one_line.as_bytes()).unwrap().has(None));
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
        assert!(Form::Pem.read(pem.as_bytes()).unwrap().has(None));
        for bad in ["", "[]", "{}", r#"{"key":1}"#, r#"{"key":"x"}"#] {
            assert!(form(None, None, "/key").read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
