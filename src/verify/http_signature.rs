//! HTTP signatures: the draft `cavage-http-signatures` (its twelfth edition) and RFC 9421.
//!
//! Both list what they cover. The data says what must be among it; the algorithms are the data's, and a signature that
//! names another is refused. Parsing is strict and bounded; what is not understood is refused, never passed over.

use std::borrow::Cow;

use serde_json::{Map, Value};
use sfv::{BareItem, Dictionary, InnerList, Item, ListEntry, Parser};

use crate::clock::Timestamp;
use crate::delivery::HeaderName;
use crate::keys::Algorithm;
use crate::provider::definition::{Encoding, HashName};

use super::VerifyError;
use super::candidates::{LONGEST, MOST};
use super::encode;
use super::find::View;
use super::jwt::{Alg, Names};
use super::url::{authority, path_and_query};

/// Most components of one signature.
const MOST_COMPONENTS: usize = 32;
/// Clocks may differ by this much (seconds) where a signature says its own times.
const LEEWAY: i64 = 60;

/// RFC 9421 section 6.2.2, as far as others use it.
pub(crate) const REGISTERED: Names = &[
    ("hmac-sha256", Alg::Hmac(HashName::Sha256)),
    ("ed25519", Alg::Public(Algorithm::Ed25519)),
    ("ecdsa-p256-sha256", Alg::Public(Algorithm::EcdsaRaw)),
    ("rsa-pss-sha512", Alg::Public(Algorithm::RsaPssSha512)),
    ("rsa-v1_5-sha256", Alg::Public(Algorithm::RsaSha256)),
];

/// The draft's appendix E, and what was used of earlier ones.
pub(crate) const DRAFTED: Names = &[
    ("hmac-sha256", Alg::Hmac(HashName::Sha256)),
    ("hmac-sha512", Alg::Hmac(HashName::Sha512)),
    ("rsa-sha256", Alg::Public(Algorithm::RsaSha256)),
    ("rsa-sha512", Alg::Public(Algorithm::RsaSha512)),
    ("ecdsa-sha256", Alg::Public(Algorithm::EcdsaDer)),
    ("ed25519", Alg::Public(Algorithm::Ed25519)),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Draft,
    Rfc9421,
}

/// Something that a signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    Header(HeaderName),
    Method,
    TargetUri,
    Authority,
    Scheme,
    /// Path and query (`@request-target`); in the draft with the method in front.
    RequestTarget,
    Path,
    Query,
    QueryParam(String),
    /// The draft's, of its parameters.
    Created,
    Expires,
}

/// What a delivery says of one signature of its own; nothing of it is believed yet.
#[derive(Debug)]
pub(crate) struct Said {
    form: Form,
    pub components: Vec<Component>,
    /// The parameters as they are signed (RFC 9421).
    params: String,
    /// The same by name; of the draft too.
    pub parameters: Map<String, Value>,
    pub signature: Vec<u8>,
}

impl Component {
    /// As a definition writes it: `content-digest`, `@query-param;name="id"`, `(request-target)`.
    pub fn compile(form: Form, text: &str) -> Result<Self, String> {
        let parsed = match form {
            Form::Draft => Self::drafted(text),
            Form::Rfc9421 => {
                let (name, parameters) = text.split_at(text.find(';').unwrap_or(text.len()));
                let item = Parser::new(&format!("\"{name}\"{parameters}")).parse::<Item>();
                item.ok().and_then(|item| Self::registered(&item))
            }
        };
        parsed.ok_or_else(|| format!("`{text}` is no component that can be checked"))
    }

    fn registered(item: &Item) -> Option<Self> {
        let name = item.bare_item.as_string()?.as_str();
        let mut parameters = item.params.iter();
        if name == "@query-param" {
            let (key, value) = parameters.next()?;
            let value = value.as_string().filter(|_| key.as_str() == "name")?;
            return parameters
                .next()
                .is_none()
                .then(|| Self::QueryParam(value.as_str().to_owned()));
        }
        // `sf`, `key`, `bs`, `req`, `tr`: nobody whom we know signs so.
        if parameters.next().is_some() {
            return None;
        }
        Some(match name {
            "@method" => Self::Method,
            "@target-uri" => Self::TargetUri,
            "@authority" => Self::Authority,
            "@scheme" => Self::Scheme,
            "@request-target" => Self::RequestTarget,
            "@path" => Self::Path,
            "@query" => Self::Query,
            name => Self::header(name)?,
        })
    }

    fn drafted(name: &str) -> Option<Self> {
        Some(match name {
            "(request-target)" => Self::RequestTarget,
            "(created)" => Self::Created,
            "(expires)" => Self::Expires,
            name => Self::header(name)?,
        })
    }

    /// Names are written in lower case.
    fn header(name: &str) -> Option<Self> {
        let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
        let name = HeaderName::try_from(name).ok()?;
        is_lower.then_some(Self::Header(name))
    }

    pub(super) fn name(&self, form: Form) -> Cow<'_, str> {
        let bracketed = |name: &'static str, drafted: &'static str| match form {
            Form::Draft => drafted.into(),
            Form::Rfc9421 => name.into(),
        };
        match self {
            Self::Header(name) => name.as_str().into(),
            Self::Method => "@method".into(),
            Self::TargetUri => "@target-uri".into(),
            Self::Authority => "@authority".into(),
            Self::Scheme => "@scheme".into(),
            Self::RequestTarget => bracketed("@request-target", "(request-target)"),
            Self::Path => "@path".into(),
            Self::Query => "@query".into(),
            Self::QueryParam(name) => format!("@query-param;name={}", quoted(name)).into(),
            Self::Created => "(created)".into(),
            Self::Expires => "(expires)".into(),
        }
    }

    /// The component as a signature's own list has it.
    fn identifier(&self) -> String {
        match self {
            Self::QueryParam(name) => format!("\"@query-param\";name={}", quoted(name)),
            other => quoted(&other.name(Form::Rfc9421)),
        }
    }

    fn value(&self, form: Form, view: &View<'_>, parameters: &Map<String, Value>) -> Result<Vec<u8>, VerifyError> {
        let raw = view.raw;
        let method = raw.method.as_str();
        let (path, query) = path_and_query(&raw.url);
        let path = if path.is_empty() { "/" } else { path };
        let target = match query {
            None => path.to_owned(),
            Some(query) => format!("{path}?{query}"),
        };
        let query = query.unwrap_or_default();
        let missing = || VerifyError::Missing(format!("`{}`, which the signature covers", self.name(form)));
        let parameter = |name: &str| parameters.get(name).map(|value| value.to_string().into_bytes());
        Ok(match self {
            Self::Header(name) => combined(view, name).ok_or_else(missing)?,
            Self::Method => method.as_bytes().to_vec(),
            Self::TargetUri => raw.url.clone().into_bytes(),
            Self::Authority => normal_authority(&raw.url).into_bytes(),
            Self::Scheme => raw
                .url
                .split("://")
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
                .into_bytes(),
            Self::RequestTarget if form == Form::Draft => {
                format!("{} {target}", method.to_ascii_lowercase()).into_bytes()
            }
            Self::RequestTarget => target.into_bytes(),
            Self::Path => path.as_bytes().to_vec(),
            Self::Query => format!("?{query}").into_bytes(),
            Self::QueryParam(name) => query_parameter(query, name).ok_or_else(missing)?,
            Self::Created => parameter("created").ok_or_else(missing)?,
            Self::Expires => parameter("expires").ok_or_else(missing)?,
        })
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// All values of a header, in order, without the space around them (RFC 9421 section 2.1).
pub(super) fn combined(view: &View<'_>, name: &HeaderName) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = view.raw.headers.all(name).map(<[u8]>::trim_ascii).collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}

/// Lower case, without the port that the scheme has anyway (RFC 9421 section 2.2.3).
fn normal_authority(url: &str) -> String {
    let host = authority(url).to_ascii_lowercase();
    let port = if url.starts_with("http://") { ":80" } else { ":443" };
    host.strip_suffix(port).unwrap_or(&host).to_owned()
}

/// The only parameter of that name, its value escaped anew (RFC 9421 section 2.2.8).
fn query_parameter(query: &str, name: &str) -> Option<Vec<u8>> {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
    let escape = |text: &[u8]| percent_encode(text, PLAIN).to_string();
    let mut values = encode::pairs(query.as_bytes()).filter(|(other, _)| escape(other) == name);
    let (_, value) = values.next()?;
    values.next().is_none().then(|| escape(&value).into_bytes())
}

pub(super) fn malformed(what: impl std::fmt::Display) -> VerifyError {
    VerifyError::Malformed(what.to_string())
}

impl Said {
    /// The signatures that a delivery shows. `value`: of the `Signature` header; `input`: of `Signature-Input`.
    pub fn all(form: Form, value: &[u8], input: Option<&[u8]>) -> Result<Vec<Self>, VerifyError> {
        match form {
            Form::Draft => Ok(vec![Self::drafted(value)?]),
            Form::Rfc9421 => {
                let input = input.ok_or_else(|| VerifyError::Missing("header `signature-input`".into()))?;
                Self::registered(value, input)
            }
        }
    }

    fn registered(value: &[u8], input: &[u8]) -> Result<Vec<Self>, VerifyError> {
        let signatures = dictionary("signature", value)?;
        let inputs = dictionary("signature-input", input)?;
        if signatures.is_empty() || signatures.len() > MOST {
            return Err(malformed(format!("signature holds none, or more than {MOST}")));
        }
        let (mut all, mut refused) = (Vec::new(), None);
        for (label, entry) in &signatures {
            match Self::labelled(entry, inputs.get(label)) {
                Ok(said) => all.push(said),
                // Another party's, perhaps: it takes nothing from the one beside it.
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(all),
        }
    }

    fn labelled(entry: &ListEntry, input: Option<&ListEntry>) -> Result<Self, VerifyError> {
        let ListEntry::Item(item) = entry else {
            return Err(malformed("signature holds a list"));
        };
        let signature = item
            .bare_item
            .as_byte_sequence()
            .ok_or_else(|| malformed("signature holds no bytes"))?;
        let Some(ListEntry::InnerList(list)) = input else {
            return Err(malformed("signature-input has no list of that signature's label"));
        };
        if list.items.len() > MOST_COMPONENTS {
            return Err(malformed(format!(
                "a signature covers more than {MOST_COMPONENTS} components"
            )));
        }
        let mut components: Vec<Component> = Vec::with_capacity(list.items.len());
        for item in &list.items {
            let component = Component::registered(item)
                .ok_or_else(|| malformed("a signature covers what cannot be checked here"))?;
            if components.contains(&component) {
                return Err(malformed("a signature covers something twice"));
            }
            components.push(component);
        }
        let parameters = list
            .params
            .iter()
            .map(|(key, value)| (key.as_str().to_owned(), plain(value)));
        Ok(Self {
            form: Form::Rfc9421,
            components,
            params: serialized(list)?,
            parameters: parameters.collect(),
            signature: signature.to_vec(),
        })
    }

    /// `keyId="a",algorithm="b",created=1,headers="c d",signature="e"`.
    fn drafted(value: &[u8]) -> Result<Self, VerifyError> {
        let bad = || malformed("signature is no list of `name=\"value\"`");
        let text = std::str::from_utf8(value).map_err(|_| bad())?;
        if text.len() > LONGEST {
            return Err(malformed(format!("signature is longer than {LONGEST} bytes")));
        }
        let mut parameters = Map::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').ok_or_else(bad)?;
            let (value, after) = match after.strip_prefix('"') {
                Some(after) => {
                    let (value, after) = after.split_once('"').ok_or_else(bad)?;
                    (Value::from(value), after.trim_start())
                }
                None => {
                    let (number, after) = after.split_at(after.find(',').unwrap_or(after.len()));
                    let number: i64 = number.trim().parse().map_err(|_| bad())?;
                    (Value::from(number), after)
                }
            };
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(is_name) || value.as_str().is_some_and(|text| text.contains('\\')) {
                return Err(bad());
            }
            if parameters.insert(name.to_owned(), value).is_some() || parameters.len() > MOST_COMPONENTS {
                return Err(malformed(format!(
                    "`{name}` is doubled in the signature, or it has too many parts"
                )));
            }
            rest = match after.strip_prefix(',') {
                Some(after) if !after.trim().is_empty() => after.trim_start(),
                None if after.is_empty() => after,
                _ => return Err(bad()),
            };
        }
        let text = |name: &str| parameters.get(name).and_then(Value::as_str);
        let signature = text("signature").and_then(|text| encode::decode(Encoding::Base64, text.as_bytes()));
        let listed = text("headers").unwrap_or("date");
        let mut components: Vec<Component> = Vec::new();
        for name in listed.split(' ') {
            // The draft has names in lower case; some write them as they send them.
            let component = Component::drafted(&name.to_ascii_lowercase())
                .ok_or_else(|| malformed("the signature covers what cannot be checked here"))?;
            if components.contains(&component) || components.len() == MOST_COMPONENTS {
                return Err(malformed("the signature covers something twice, or too much"));
            }
            components.push(component);
        }
        Ok(Self {
            form: Form::Draft,
            components,
            params: String::new(),
            signature: signature.ok_or_else(bad)?,
            parameters,
        })
    }

    /// For who signs: a signature to come, over these.
    pub fn unsigned(form: Form, components: &[Component], parameters: Map<String, Value>) -> Self {
        let params = match form {
            Form::Draft => String::new(),
            Form::Rfc9421 => {
                let list: Vec<String> = components.iter().map(Component::identifier).collect();
                let parameters = parameters.iter().map(|(name, value)| match value {
                    Value::String(text) => format!(";{name}={}", quoted(text)),
                    other => format!(";{name}={other}"),
                });
                format!("({}){}", list.join(" "), parameters.collect::<String>())
            }
        };
        Self {
            form,
            components: components.to_vec(),
            params,
            parameters,
            signature: Vec::new(),
        }
    }

    /// The headers that carry it: `Signature`, and what is beside it.
    pub fn written(&self, signature: &[u8]) -> (String, Option<String>) {
        let signature = encode::encode(Encoding::Base64, signature).unwrap_or_default();
        match self.form {
            Form::Rfc9421 => (format!("sig1=:{signature}:"), Some(format!("sig1={}", self.params))),
            Form::Draft => {
                let names: Vec<_> = self
                    .components
                    .iter()
                    .map(|component| component.name(self.form))
                    .collect();
                let said = self.parameters.iter().map(|(name, value)| format!("{name}={value},"));
                let said: String = said.collect();
                (
                    format!("{said}headers=\"{}\",signature=\"{signature}\"", names.join(" ")),
                    None,
                )
            }
        }
    }

    /// Those of these that it does not cover.
    pub fn lacking<'c>(&self, required: &'c [Component]) -> impl Iterator<Item = &'c Component> {
        required.iter().filter(|component| !self.components.contains(component))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).and_then(Value::as_str)
    }

    /// The algorithm that it names; the draft's `hs2019` names none.
    pub fn algorithm(&self) -> Option<&str> {
        match self.form {
            Form::Draft => self.text("algorithm").filter(|name| *name != "hs2019"),
            Form::Rfc9421 => self.text("alg"),
        }
    }

    pub fn key_id(&self) -> Option<&str> {
        self.text(key_id_name(self.form))
    }

    /// What is signed (RFC 9421 section 2.5; the draft, section 2.3).
    pub fn base(&self, view: &View<'_>) -> Result<Vec<u8>, VerifyError> {
        let mut lines: Vec<Vec<u8>> = Vec::with_capacity(self.components.len() + 1);
        for component in &self.components {
            let name = match self.form {
                Form::Draft => component.name(self.form).into_owned(),
                Form::Rfc9421 => component.identifier(),
            };
            let value = component.value(self.form, view, &self.parameters)?;
            if value.contains(&b'\n') {
                return Err(malformed("a component has more than one line"));
            }
            lines.push([name.as_bytes(), b": ", &value].concat());
        }
        if self.form == Form::Rfc9421 {
            lines.push(format!("\"@signature-params\": {}", self.params).into_bytes());
        }
        Ok(lines.join(&b'\n'))
    }

    /// `created` and `expires`, once it holds.
    pub fn check_times(&self, now: Timestamp) -> Result<(), VerifyError> {
        let time = |name: &str| match self.parameters.get(name) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or(VerifyError::Timestamp),
        };
        let now = now.as_second();
        let (created, expires) = (time("created")?, time("expires")?);
        match (created, expires) {
            (_, Some(expires)) if now >= expires.saturating_add(LEEWAY) => {
                Err(VerifyError::Stale(now.saturating_sub(created.unwrap_or(expires))))
            }
            (Some(created), _) if created > now.saturating_add(LEEWAY) => {
                Err(VerifyError::Future(created.saturating_sub(now)))
            }
            _ => Ok(()),
        }
    }
}

/// The parameter that names the key.
pub(crate) fn key_id_name(form: Form) -> &'static str {
    match form {
        Form::Draft => "keyId",
        Form::Rfc9421 => "keyid",
    }
}

/// The parameter that names the algorithm.
pub(crate) fn algorithm_name(form: Form) -> &'static str {
    match form {
        Form::Draft => "algorithm",
        Form::Rfc9421 => "alg",
    }
}

pub(super) fn dictionary(name: &str, value: &[u8]) -> Result<Dictionary, VerifyError> {
    if value.len() > LONGEST {
        return Err(malformed(format!("header `{name}` is longer than {LONGEST} bytes")));
    }
    Parser::new(value)
        .parse()
        .map_err(|error| malformed(format!("header `{name}`: {error}")))
}

/// RFC 9421 section 2.3: the parameters are written anew, strictly, in their order.
fn serialized(list: &InnerList) -> Result<String, VerifyError> {
    let mut one = Dictionary::new();
    let label = sfv::KeyRef::constant("s");
    one.insert(label.to_owned(), ListEntry::InnerList(list.clone()));
    let text = sfv::FieldType::serialize(&one).ok_or_else(|| malformed("signature-input is empty"))?;
    Ok(text.trim_start_matches("s=").to_owned())
}

fn plain(value: &BareItem) -> Value {
    match value {
        BareItem::Integer(number) => i64::from(*number).into(),
        BareItem::String(text) => text.as_str().into(),
        BareItem::Token(text) => text.as_str().into(),
        BareItem::Boolean(value) => (*value).into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
