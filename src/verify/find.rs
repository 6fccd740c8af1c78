//! Where a value is in a raw delivery: the data's [`Find`], compiled, and the delivery as it is looked at.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::delivery::{HeaderName, RawDelivery};
use crate::provider::Settings;
use crate::provider::definition::{Condition as ConditionRule, Encoding, Find, HashName, Literal, Transform};
use crate::secret::Secret;

use super::canonical;
use super::cipher::Cipher;
use super::encode;
use super::hashes;
use super::multipart;
use super::pointers::{Pointers, Values};
use super::problems::Problems;
use super::word::Word;

/// A [`Find`], compiled.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    place: Place,
    prefix: Option<Box<str>>,
    transform: Option<Transform>,
    inside: Option<Box<str>>,
    pub(crate) optional: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header(HeaderName),
    Query(Box<str>),
    Form(Box<str>),
    /// A slot of the view's JSON values, and the pointer for messages.
    Json(usize, Box<str>),
    /// An item of the signature header.
    Field(Box<str>),
    /// A claim of the verified token.
    Claim(Box<str>),
    Part(Word),
    /// A literal, or what a setting says, which may be a credential.
    Fixed(Secret),
}

/// The delivery cannot be looked at as the data says: doubled headers, a body that is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub String);

/// A raw delivery, with what was parsed of it so far.
pub(crate) struct View<'d> {
    pub raw: &'d RawDelivery,
    pointers: &'d Pointers,
    json: OnceLock<Result<Values<'d>, Malformed>>,
    multipart: OnceLock<Result<Vec<multipart::Field<'d>>, Malformed>>,
    /// Opens what is encrypted: challenges only.
    cipher: Option<&'d Cipher>,
}

/// What is known while one alternative is checked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scope<'s> {
    /// Items of the signature header, by key.
    pub fields: &'s [(&'s [u8], &'s [u8])],
    pub timestamp: Option<&'s [u8]>,
    pub claims: Option<&'s serde_json::Map<String, serde_json::Value>>,
    /// The URL's other spelling that is tried.
    pub url: Option<&'s str>,
    pub secret: &'s [u8],
}

/// What a room lets a [`Find`] name, besides header, query, form, JSON pointer, setting and literal.
#[derive(Clone, Copy, Default)]
pub(crate) struct Allowed {
    pub field: bool,
    pub claim: bool,
    pub part: bool,
}

impl Finder {
    /// `None` when there are problems, which are said.
    pub fn compile(
        find: &Find,
        allowed: Allowed,
        settings: &Settings,
        pointers: &mut Pointers,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let places = find.places();
        let [(place, name)] = places[..] else {
            let said = places.iter().map(|(place, _)| *place).collect::<Vec<_>>().join(", ");
            problems.say(if said.is_empty() {
                "names no place; give one of header, query, form, json, setting or literal".into()
            } else {
                format!("names several places ({said}); give one")
            });
            return None;
        };
        let place = match place {
            "header" => match HeaderName::try_from(name) {
                Ok(header) => Place::Header(header),
                Err(_) => return problems.none(format!("`{name}` is no header name")),
            },
            "query" => Place::Query(name.into()),
            "form" => Place::Form(name.into()),
            "json" => match pointers.want(name) {
                Ok(slot) => Place::Json(slot, name.into()),
                Err(problem) => return problems.none(problem),
            },
            "field" if allowed.field => Place::Field(name.into()),
            "claim" if allowed.claim => Place::Claim(name.into()),
            "part" if allowed.part => Place::Part(Word::compile(name, problems)?),
            "literal" => Place::Fixed(Secret::new(name)),
            "setting" => {
                let text = settings.text(name).map(str::as_bytes);
                match text.or_else(|| settings.credential(name).map(|secret| secret.expose())) {
                    Some(value) => Place::Fixed(Secret::new(value)),
                    None => return problems.none(format!("needs the setting `{name}`; give it under `settings:`")),
                }
            }
            other => return problems.none(format!("`{other}` is not known at this point")),
        };
        if !find.map.is_empty() {
            return problems.none("`map` is for what is found in events; here the value itself counts");
        }
        if find
            .inside
            .as_ref()
            .is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/'))
        {
            return problems.none("`inside` is no JSON pointer; it starts with `/`");
        }
        // Handshakes, where it belongs, take it out before they compile what is found.
        if matches!(
            find.transform,
            Some(Transform::HmacSha256Hex | Transform::HmacSha256Base64 | Transform::Sha256EqualsHmacBase64)
        ) {
            return problems.none("a keyed transform belongs in an answer to a challenge");
        }
        Some(Self {
            place,
            prefix: find
                .prefix
                .as_deref()
                .filter(|prefix| !prefix.is_empty())
                .map(Into::into),
            transform: find.transform,
            inside: find.inside.as_deref().map(Into::into),
            optional: find.optional,
        })
    }

    /// What `other` finds is what this finds, or a part of it.
    pub fn holds(&self, other: &Self) -> bool {
        self.place == other.place && (self.inside.is_none() || self.inside == other.inside)
    }

    /// Where the value is in the JSON document that is found.
    pub fn inside(&self) -> Option<&str> {
        self.inside.as_deref()
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            Place::Header(name) => Some(name),
            _ => None,
        }
    }

    /// `value` as it is written where this finds it: the transform gone back over, where that is possible, and behind
    /// the prefix. `None`: it is no text.
    pub fn written(&self, value: &[u8]) -> Option<String> {
        if self.inside.is_some() {
            return None;
        }
        let encoding = match self.transform {
            Some(Transform::Base64Decode) => Encoding::Base64,
            _ => Encoding::Text,
        };
        let text = encode::encode(encoding, value)?;
        Some(format!("{}{text}", self.prefix().unwrap_or_default()))
    }

    /// A checksum stands for what is found: other values have the same.
    pub fn is_checksum(&self) -> bool {
        self.transform == Some(Transform::Crc32Decimal)
    }

    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// The value, without its prefix and transformed. `None`: not there, or without the prefix.
    pub fn get<'a>(&'a self, view: &'a View<'_>, scope: &Scope<'a>) -> Result<Option<Cow<'a, [u8]>>, Malformed> {
        let Some(value) = self.raw(view, scope)? else {
            return Ok(None);
        };
        let Some(value) = self.without_prefix(value) else {
            return Ok(None);
        };
        let malformed = |why: &str| Malformed(format!("{self}: {why}"));
        let value = match self.transform {
            None => value,
            Some(Transform::Decrypt) => {
                let opened = view.cipher.and_then(|cipher| cipher.open(&value, None, &[]));
                Cow::Owned(opened.ok_or_else(|| malformed("is nothing that the source's key opens"))?)
            }
            Some(transform) => apply(transform, value).map_err(malformed)?,
        };
        match &self.inside {
            None => Ok(Some(value)),
            Some(pointer) => look_inside(&value, pointer).map_err(malformed),
        }
    }

    /// The value as it stands there.
    pub fn raw<'a>(&'a self, view: &'a View<'_>, scope: &Scope<'a>) -> Result<Option<Cow<'a, [u8]>>, Malformed> {
        Ok(match &self.place {
            Place::Header(name) => view
                .raw
                .headers
                .single(name)
                .map_err(|_| Malformed(format!("header `{name}` is doubled")))?
                .map(Cow::Borrowed),
            Place::Query(name) => single(encode::pairs(view.raw.query.as_bytes()), name, "query parameter")?,
            Place::Form(name) => view.field(name)?,
            Place::Json(slot, _) => view.json()?[*slot]
                .as_deref()
                .map(|text| Cow::Borrowed(text.as_bytes())),
            Place::Field(name) => {
                let mut values = scope.fields.iter().filter(|(key, _)| *key == name.as_bytes());
                let first = values.next();
                if values.next().is_some() {
                    return Err(Malformed(format!("`{name}` is doubled in the signature header")));
                }
                first.map(|(_, value)| Cow::Borrowed(*value))
            }
            Place::Claim(name) => scope
                .claims
                .and_then(|claims| claim_text(claims.get(&**name)?))
                .map(Cow::Owned),
            Place::Part(word) => Some(Cow::Owned(word.bytes(view, scope)?)),
            Place::Fixed(value) => Some(Cow::Borrowed(value.expose())),
        })
    }

    fn without_prefix<'a>(&self, value: Cow<'a, [u8]>) -> Option<Cow<'a, [u8]>> {
        let Some(prefix) = self.prefix() else {
            return Some(value);
        };
        let head = value.get(..prefix.len())?;
        // In `Authorization` the prefix is a scheme, and case means nothing (RFC 9110 section 11.1).
        let is_scheme = matches!(&self.place, Place::Header(name) if name == "authorization");
        let same = head == prefix.as_bytes() || (is_scheme && head.eq_ignore_ascii_case(prefix.as_bytes()));
        same.then(|| match value {
            Cow::Borrowed(value) => Cow::Borrowed(&value[prefix.len()..]),
            Cow::Owned(value) => Cow::Owned(value[prefix.len()..].to_vec()),
        })
    }
}

impl std::fmt::Display for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Header(name) => write!(f, "header `{name}`"),
            Place::Query(name) => write!(f, "query parameter `{name}`"),
            Place::Form(name) => write!(f, "form field `{name}`"),
            Place::Json(_, pointer) => write!(f, "body member `{pointer}`"),
            Place::Field(name) => write!(f, "`{name}` in the signature header"),
            Place::Claim(name) => write!(f, "claim `{name}`"),
            Place::Part(word) => write!(f, "{word:?}"),
            Place::Fixed(_) => f.write_str("fixed text"),
        }
    }
}

impl<'d> View<'d> {
    pub fn new(raw: &'d RawDelivery, pointers: &'d Pointers) -> Self {
        Self {
            raw,
            pointers,
            json: OnceLock::new(),
            multipart: OnceLock::new(),
            cipher: None,
        }
    }

    /// For challenges, which may be encrypted.
    pub fn opened_with(raw: &'d RawDelivery, pointers: &'d Pointers, cipher: Option<&'d Cipher>) -> Self {
        Self {
            cipher,
            ..Self::new(raw, pointers)
        }
    }

    /// What the pointers found, in a body in which none of them could mean two values.
    pub fn json(&self) -> Result<&Values<'d>, Malformed> {
        let scan = || {
            let body: &'d [u8] = &self.raw.body;
            self.pointers
                .scan(body)
                .map_err(|error| Malformed(format!("body: {error}")))
        };
        self.json.get_or_init(scan).as_ref().map_err(Clone::clone)
    }

    /// A body is a form only where the sender says so: bytes must not be one thing to us and another to the reader.
    pub fn is_urlencoded(&self) -> bool {
        self.is("application/x-www-form-urlencoded")
    }

    pub fn is_multipart(&self) -> bool {
        self.is("multipart/form-data")
    }

    fn is(&self, kind: &str) -> bool {
        let essence = self.content_type().split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(kind)
    }

    fn content_type(&self) -> &'d str {
        let raw: &'d RawDelivery = self.raw;
        let value = raw.headers.text(&actix_web::http::header::CONTENT_TYPE);
        value.unwrap_or_default()
    }

    /// The one field of this name, of a form of either kind.
    fn field(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Malformed> {
        if self.is_urlencoded() {
            return single(encode::pairs(&self.raw.body), name, "form field");
        }
        if !self.is_multipart() {
            return Ok(None);
        }
        let parts = self.parts()?.iter();
        let pairs = parts.map(|part| (part.name.as_bytes().into(), part.value.as_bytes().into()));
        single(pairs, name, "form field")
    }

    /// The fields of a multipart form, read once for all that looks into them.
    pub fn parts(&self) -> Result<&[multipart::Field<'d>], Malformed> {
        let read = || {
            let fields = multipart::fields(self.content_type(), &self.raw.body);
            fields.map_err(|refused| Malformed(format!("body: {}", refused.why)))
        };
        self.multipart.get_or_init(read).as_deref().map_err(Clone::clone)
    }
}

/// A text or a number of a JSON document that stands in a value: in a header, or in a form's field, which may be all of a
/// body of the usual limit.
fn look_inside<'a>(value: &[u8], pointer: &str) -> Result<Option<Cow<'a, [u8]>>, &'static str> {
    const LARGEST: usize = 1024 * 1024;
    if value.len() > LARGEST {
        return Err("is too long to be looked into");
    }
    let mut wanted = Pointers::default();
    let slot = wanted.want(pointer).map_err(|_| "is looked into by no pointer")?;
    let values = wanted
        .scan(value)
        .map_err(|_| "is no JSON document, or says a member twice")?;
    Ok(values[slot].as_deref().map(|text| Cow::Owned(text.as_bytes().to_vec())))
}

fn single<'a>(
    pairs: impl Iterator<Item = (Cow<'a, [u8]>, Cow<'a, [u8]>)>,
    name: &str,
    what: &str,
) -> Result<Option<Cow<'a, [u8]>>, Malformed> {
    let mut values = pairs.filter(|(key, _)| **key == *name.as_bytes());
    let first = values.next();
    if values.next().is_some() {
        return Err(Malformed(format!("{what} `{name}` is doubled")));
    }
    Ok(first.map(|(_, value)| value))
}

pub(crate) fn claim_text(value: &serde_json::Value) -> Option<Vec<u8>> {
    match value {
        serde_json::Value::String(text) => Some(text.clone().into_bytes()),
        serde_json::Value::Number(number) => Some(number.to_string().into_bytes()),
        serde_json::Value::Bool(value) => Some(value.to_string().into_bytes()),
        _ => None,
    }
}

fn apply(transform: Transform, value: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, &'static str> {
    use percent_encoding::{NON_ALPHANUMERIC, percent_decode, percent_encode};
    /// RFC 3986 section 2.3: what needs no escape.
    const RESERVED: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let hex = |name| Cow::Owned(hex::encode(hashes::hash(name, &value)).into_bytes());
    let base64 = |name| {
        let tag = hashes::hash(name, &value);
        Cow::Owned(encode::encode(Encoding::Base64, &tag).unwrap_or_default().into_bytes())
    };
    let written = |encoding| Cow::Owned(encode::encode(encoding, &value).unwrap_or_default().into_bytes());
    Ok(match transform {
        Transform::Lowercase => Cow::Owned(value.to_ascii_lowercase()),
        Transform::Uppercase => Cow::Owned(value.to_ascii_uppercase()),
        Transform::Trim => Cow::Owned(value.trim_ascii().to_vec()),
        Transform::Sha256Hex => hex(HashName::Sha256),
        Transform::Sha256Base64 => base64(HashName::Sha256),
        Transform::Sha1Hex => hex(HashName::Sha1),
        Transform::Md5Hex => hex(HashName::Md5),
        Transform::Md5Base64 => base64(HashName::Md5),
        Transform::Crc32Decimal => Cow::Owned(crc32(&value).to_string().into_bytes()),
        Transform::Base64Encode => written(Encoding::Base64),
        Transform::Base64urlEncode => written(Encoding::Base64url),
        Transform::JsonString => {
            let text = std::str::from_utf8(&value).map_err(|_| "is not UTF-8")?;
            Cow::Owned(canonical::quoted(text).map_err(|_| "is no text")?)
        }
        Transform::Base64Decode => Cow::Owned(encode::decode(Encoding::Base64, &value).ok_or("is not base64")?),
        Transform::UrlDecode => Cow::Owned(percent_decode(&value).collect()),
        Transform::UrlEncode => Cow::Owned(percent_encode(&value, RESERVED).to_string().into_bytes()),
        Transform::HmacSha256Hex
        | Transform::HmacSha256Base64
        | Transform::Sha256EqualsHmacBase64
        | Transform::Decrypt => {
            return Err("is keyed, and belongs in an answer to a challenge");
        }
    })
}

/// CRC-32 as in IEEE 802.3 and zip; ten lines against a dependency.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    });
    !crc
}

/// A value that must be there, and what it must be.
#[derive(Debug)]
pub(crate) struct Condition {
    find: Finder,
    /// Empty: anything.
    any_of: Vec<String>,
}

impl Condition {
    pub fn compile(
        rule: &ConditionRule,
        settings: &Settings,
        pointers: &mut Pointers,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        // `method`: a GET is another thing than a POST.
        let allowed = Allowed {
            part: true,
            ..Allowed::default()
        };
        let find = Finder::compile(&rule.find, allowed, settings, pointers, problems)?;
        let any_of = match &rule.equals {
            None => Vec::new(),
            Some(Literal::Bool(value)) => vec![value.to_string()],
            Some(Literal::Int(value)) => vec![value.to_string()],
            Some(Literal::Text(text)) => vec![text.clone()],
            Some(Literal::AnyOf(texts)) => texts.clone(),
        };
        Some(Self { find, any_of })
    }

    pub fn holds(&self, view: &View<'_>) -> Result<bool, Malformed> {
        let value = self.find.get(view, &Scope::default())?;
        Ok(value.is_some_and(|value| {
            self.any_of.is_empty() || self.any_of.iter().any(|wanted| wanted.as_bytes() == &*value)
        }))
    }

    /// What must hold, for who makes a delivery: the place, and a value that will do.
    pub fn wanted(&self) -> (&Finder, Option<&str>) {
        (&self.find, self.any_of.first().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_agrees_with_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
