//! What a challenge is answered with: a template of the provider's, filled from the challenge.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value as Json};

use super::HandshakeError;
use crate::keys::Target;
use crate::provider::definition::{self, Find, HashName, ReplyValue, Transform};
use crate::provider::{Definition, Settings};
use crate::secret::{NamedSecret, Secret};
use crate::verify::find::{Allowed, Finder, Malformed, Scope, View};
use crate::verify::pointers::Pointers;
use crate::verify::problems::Problems;
use crate::verify::{encode, hashes, secrets};

/// Bytes of one value of the challenge's that an answer may repeat. The longest that a platform sends is a few hundred.
pub const LONGEST_ECHO: usize = 1024;

/// Bytes of a value that is signed for somebody who proved nothing. X and LinkedIn send UUIDs and shorter.
const LONGEST_KEYED: usize = 128;

/// What to answer: bounded, sent with `nosniff`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Which handshake it was, for the log.
    pub name: String,
    pub status: u16,
    pub content_type: Option<&'static str>,
    pub body: Vec<u8>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// To be fetched before answering, as SNS asks for.
    pub confirm: Option<Target>,
    /// The secret that the platform told, to be shown to the operator.
    pub captured: Option<Secret>,
}

/// The source's secrets as keys of an answer, by name.
#[derive(Debug)]
pub(super) struct Keys(Vec<(Box<str>, Secret)>);

impl Keys {
    pub(super) fn new(definition: &Definition, secrets: &[NamedSecret]) -> Self {
        let decoded = secrets.iter().filter_map(|named| {
            Some((
                Box::from(&*named.name),
                secrets::decode(&definition.secret, &named.secret)?,
            ))
        });
        Self(decoded.collect())
    }

    /// The one that verified the challenge, else the first.
    fn get(&self, name: Option<&str>) -> Option<&Secret> {
        let named = self.0.iter().find(|(key, _)| Some(&**key) == name);
        named.or(self.0.first()).map(|(_, secret)| secret)
    }
}

/// A provider's `reply`, compiled.
#[derive(Debug)]
pub(super) struct Template {
    status: u16,
    text: Vec<Value>,
    json: Vec<(String, Member)>,
    headers: Vec<(HeaderName, Value)>,
}

#[derive(Debug)]
enum Member {
    Fixed(Json),
    Found(Value),
    /// The SHA-256, in hex, of these behind one another.
    Hashed(Vec<Value>),
}

/// A value of the challenge's, perhaps keyed with the source's secret.
#[derive(Debug)]
struct Value {
    find: Finder,
    keyed: Option<Keyed>,
}

#[derive(Debug, Clone, Copy)]
enum Keyed {
    Hex,
    Base64,
    /// `sha256=` and base64 (X).
    EqualsBase64,
}

impl Template {
    pub(super) fn compile(
        rule: &definition::Reply,
        settings: &Settings,
        pointers: &mut Pointers,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let status = rule.status.unwrap_or(200);
        if StatusCode::from_u16(status).is_err() {
            return problems.none(format!("`{status}` is no status"));
        }
        if !rule.text.is_empty() && !rule.json.is_empty() {
            return problems.none("a reply is `text` or `json`, not both");
        }
        let text = rule
            .text
            .iter()
            .map(|find| Value::compile(find, settings, pointers, problems))
            .collect::<Option<_>>()?;
        let mut json = Vec::new();
        for (name, value) in &rule.json {
            let member = match value {
                ReplyValue::Int(value) => Member::Fixed((*value).into()),
                ReplyValue::Bool(value) => Member::Fixed((*value).into()),
                ReplyValue::Hashed(hashed) => {
                    let values = hashed.sha256_hex.iter();
                    let values = values.map(|find| Value::compile(find, settings, pointers, problems));
                    Member::Hashed(values.collect::<Option<_>>()?)
                }
                ReplyValue::Found(find) => Member::Found(Value::compile(find, settings, pointers, problems)?),
            };
            json.push((name.clone(), member));
        }
        let mut headers = Vec::new();
        for (name, find) in &rule.headers {
            let Ok(header) = HeaderName::try_from(name.as_str()) else {
                return problems.none(format!("`{name}` is no header name"));
            };
            headers.push((header, Value::compile(find, settings, pointers, problems)?));
        }
        Some(Self {
            status,
            text,
            json,
            headers,
        })
    }

    pub(super) fn fill(
        &self,
        name: &str,
        view: &View<'_>,
        keys: &Keys,
        key: Option<&str>,
    ) -> Result<Reply, HandshakeError> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (header, value) in &self.headers {
            let text = value.printable(view, keys, key)?;
            let value = HeaderValue::from_str(&text)
                .map_err(|_| HandshakeError::Malformed(format!("no value of header `{header}`")))?;
            headers.push((header.clone(), value));
        }
        let (content_type, body) = if !self.text.is_empty() {
            let mut body = String::new();
            for value in &self.text {
                body.push_str(&value.printable(view, keys, key)?);
            }
            (Some("text/plain; charset=utf-8"), body.into_bytes())
        } else if !self.json.is_empty() {
            let mut object = Map::new();
            for (name, member) in &self.json {
                let value = match member {
                    Member::Fixed(value) => value.clone(),
                    Member::Found(value) => Json::String(value.text(view, keys, key)?),
                    Member::Hashed(values) => {
                        let mut hash = hashes::Hash::new(HashName::Sha256);
                        for value in values {
                            hash.update(value.text(view, keys, key)?.as_bytes());
                        }
                        Json::String(hex::encode(hash.finish()))
                    }
                };
                object.insert(name.clone(), value);
            }
            (Some("application/json"), Json::Object(object).to_string().into_bytes())
        } else {
            (None, Vec::new())
        };
        Ok(Reply {
            name: name.to_owned(),
            status: self.status,
            content_type,
            body,
            headers,
            confirm: None,
            captured: None,
        })
    }
}

impl Value {
    /// What is keyed is found first, and keyed here.
    fn compile(find: &Find, settings: &Settings, pointers: &mut Pointers, problems: &mut Problems<'_>) -> Option<Self> {
        let keyed = match find.transform {
            Some(Transform::HmacSha256Hex) => Some(Keyed::Hex),
            Some(Transform::HmacSha256Base64) => Some(Keyed::Base64),
            Some(Transform::Sha256EqualsHmacBase64) => Some(Keyed::EqualsBase64),
            _ => None,
        };
        let bare = Find {
            transform: find.transform.filter(|_| keyed.is_none()),
            ..find.clone()
        };
        let find = Finder::compile(&bare, Allowed::default(), settings, pointers, problems)?;
        Some(Self { find, keyed })
    }

    fn text(&self, view: &View<'_>, keys: &Keys, key: Option<&str>) -> Result<String, HandshakeError> {
        let malformed = |why: &str| HandshakeError::Malformed(format!("{} {why}", self.find));
        let value = self
            .find
            .get(view, &Scope::default())
            .map_err(|Malformed(why)| HandshakeError::Malformed(why))?;
        let value: Cow<'_, [u8]> = value.ok_or_else(|| malformed("is missing"))?;
        if value.len() > LONGEST_ECHO {
            return Err(malformed("is too long"));
        }
        let Some(keyed) = self.keyed else {
            return String::from_utf8(value.into_owned()).map_err(|_| malformed("is not UTF-8"));
        };
        // Whoever may ask without proof would have us sign whatever they like, under the key that signs events: what
        // is keyed is then a bare token, which no event's body is.
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if key.is_none() && (value.is_empty() || value.len() > LONGEST_KEYED || !value.iter().all(is_token)) {
            return Err(malformed("is no token of letters, digits, `-`, `_` and `.`"));
        }
        let secret = keys
            .get(key)
            .ok_or_else(|| malformed("cannot be keyed: the source has no secret"))?;
        let tag = hashes::hmac(HashName::Sha256, secret.expose(), &value);
        let base64 = || encode::encode(definition::Encoding::Base64, &tag).unwrap_or_default();
        Ok(match keyed {
            Keyed::Hex => hex::encode(&tag),
            Keyed::Base64 => base64(),
            Keyed::EqualsBase64 => format!("sha256={}", base64()),
        })
    }

    /// For bodies of plain text and for headers: nothing that a browser or a proxy could take for more.
    fn printable(&self, view: &View<'_>, keys: &Keys, key: Option<&str>) -> Result<String, HandshakeError> {
        let text = self.text(view, keys, key)?;
        if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            Ok(text)
        } else {
            Err(HandshakeError::Malformed(format!(
                "{} is not printable ASCII",
                self.find
            )))
        }
    }
}
