//! A request under way to being signed: what the data names is read as verification reads it, and can be put there too.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::delivery::{HeaderName, HeaderValue, Headers, RawDelivery};
use crate::provider::definition::Encoding;

use super::VerifyError;
use super::encode;
use super::find::{Condition, Finder, Place, Scope, View};
use super::pointers::Pointers;
use super::sign::{Signed, Unsigned};
use super::word::Word;

#[derive(Clone)]
pub(crate) struct Draft<'p> {
    request: Unsigned,
    added_query: String,
    fields: Vec<(String, String)>,
    claims: Map<String, Value>,
    pointers: &'p Pointers,
}

impl<'p> Draft<'p> {
    pub fn new(request: Unsigned, pointers: &'p Pointers) -> Self {
        Self {
            request,
            added_query: String::new(),
            fields: Vec::new(),
            claims: Map::new(),
            pointers,
        }
    }

    pub fn at(&self) -> Timestamp {
        self.request.at
    }

    pub fn body(&self) -> &[u8] {
        &self.request.body
    }

    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Items of the signature, where it is one that says them itself.
    pub fn said(&self) -> Map<String, Value> {
        let items = self.fields.iter();
        items.map(|(name, text)| (name.clone(), claim(text.clone()))).collect()
    }

    /// The claims that a body which becomes a token holds: as JSON, or in a token that was there before.
    pub fn body_claims(&self) -> Result<Map<String, Value>, String> {
        let body = self.body();
        let payload = body.split(|byte| *byte == b'.').nth(1);
        let payload = payload.and_then(|text| encode::decode(Encoding::Base64url, text));
        let claims = payload.and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
        match claims {
            // It is issued anew, and so are its times.
            Some(mut claims) => {
                claims.retain(|name, _| !["iat", "nbf", "exp"].contains(&name.as_str()));
                Ok(claims)
            }
            None => serde_json::from_slice(body).map_err(|error| format!("the body is no JSON object: {error}")),
        }
    }

    pub fn put_header_if_absent(&mut self, name: &HeaderName, text: &str) -> Result<(), String> {
        let is_there = self.request.headers.all(name).next().is_some();
        if is_there { Ok(()) } else { self.put_header(name, text) }
    }

    pub fn put_header(&mut self, name: &HeaderName, text: &str) -> Result<(), String> {
        let value = HeaderValue::from_str(text).map_err(|_| format!("header `{name}`: no value of a header"))?;
        let others = self.request.headers.iter().filter(|(other, _)| *other != name);
        let mut headers: Headers = others.map(|(name, value)| (name.clone(), value.clone())).collect();
        headers.push(name.clone(), value);
        self.request.headers = headers;
        Ok(())
    }

    pub fn into_signed(self) -> Signed {
        Signed {
            method: self.request.method,
            url: self.request.url,
            added_query: self.added_query,
            headers: self.request.headers,
            body: self.request.body,
        }
    }

    /// Looks at the request as verification would look at the delivery. `time`: where the part `timestamp` is.
    pub fn look<T>(
        &self,
        time: Option<&Finder>,
        look: impl FnOnce(&View<'_>, &Scope<'_>) -> Result<T, VerifyError>,
    ) -> Result<T, String> {
        let (path, query) = path_and_query(&self.request.url);
        let raw = RawDelivery {
            method: self.request.method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            url: self.request.url.clone(),
            headers: self.request.headers.clone(),
            body: self.request.body.clone(),
            received: self.request.at,
            sender: None,
        };
        let view = View::new(&raw, self.pointers);
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|(key, value)| (key.as_bytes(), value.as_bytes()))
            .collect();
        let bare = Scope {
            fields: &fields,
            claims: Some(&self.claims),
            ..Scope::default()
        };
        let said = |error: VerifyError| error.to_string();
        let timestamp = time
            .map(|time| time.get(&view, &bare))
            .transpose()
            .map_err(|error| said(error.into()))?;
        let scope = Scope {
            timestamp: timestamp.as_ref().and_then(|text| text.as_deref()),
            ..bare
        };
        look(&view, &scope).map_err(said)
    }

    pub fn get(&self, finder: &Finder) -> Result<Option<Vec<u8>>, String> {
        self.look(None, |view, scope| {
            Ok(finder.get(view, scope)?.map(|value| value.into_owned()))
        })
    }

    pub fn holds(&self, condition: &Condition) -> Result<bool, String> {
        self.look(None, |view, _| Ok(condition.holds(view)?))
    }

    /// Puts a value where `finder` will find it.
    pub fn put(&mut self, finder: &Finder, value: &[u8]) -> Result<(), String> {
        if self.get(finder)?.as_deref() == Some(value) {
            return Ok(());
        }
        let no_text = || format!("{finder}: the value is no text");
        let text = match (finder.place(), finder.inside()) {
            (Place::Form(_), Some(pointer)) => {
                let document = self.look(None, |view, scope| Ok(finder.raw(view, scope)?.map(Cow::into_owned)))?;
                let member = String::from_utf8(value.to_vec()).map_err(|_| no_text())?;
                let document = with_member(&document.unwrap_or_default(), pointer, member)?;
                String::from_utf8(document.into()).map_err(|_| no_text())?
            }
            _ => finder.written(value).ok_or_else(no_text)?,
        };
        match finder.place() {
            Place::Header(name) => self.put_header(name, &text)?,
            Place::Query(name) => {
                let pair = pair(name, &text);
                let url = self.request.url.clone();
                let (before, fragment) = url.split_once('#').map_or((url.as_str(), None), |(a, b)| (a, Some(b)));
                let join = match before.split_once('?') {
                    None => "?",
                    Some((_, "")) => "",
                    Some(_) => "&",
                };
                let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
                self.request.url = format!("{before}{join}{pair}{fragment}");
                let and = if self.added_query.is_empty() { "" } else { "&" };
                self.added_query = format!("{}{and}{pair}", self.added_query);
            }
            Place::Form(name) => self.put_field(name, &text)?,
            Place::Json(_, pointer) => self.request.body = with_member(self.body(), pointer, text)?,
            Place::Field(name) => self.fields.push((name.to_string(), text)),
            Place::Claim(name) => _ = self.claims.insert(name.to_string(), claim(text)),
            Place::Part(Word::Body) => self.request.body = text.into(),
            Place::Part(_) | Place::Fixed(_) => {}
        }
        // A transform that cannot be gone back over, a parameter that is there already with another value.
        if self.get(finder)?.as_deref() == Some(value) {
            Ok(())
        } else {
            Err(format!("{finder} cannot be made to hold what belongs there"))
        }
    }

    /// In a multipart form the field must be there: it takes the place of the former value. Any other body gets a pair.
    fn put_field(&mut self, name: &str, text: &str) -> Result<(), String> {
        let place = self.look(None, |view, _| {
            if !view.is_multipart() {
                return Ok(None);
            }
            let part = view.parts()?.iter().find(|part| part.name == name);
            let part = part.ok_or_else(|| VerifyError::Missing(format!("form field `{name}`")))?;
            // Values are slices of the body.
            let start = part.value.as_ptr() as usize - view.raw.body.as_ptr() as usize;
            Ok(Some((start, start + part.value.len())))
        })?;
        let body = self.body();
        self.request.body = match place {
            Some((start, end)) => [&body[..start], text.as_bytes(), &body[end..]].concat().into(),
            None => {
                let others = body.split(|byte| *byte == b'&');
                let is_other = |raw: &&[u8]| encode::pairs(raw).all(|(other, _)| *other != *name.as_bytes());
                let mut pairs: Vec<&[u8]> = others.filter(|raw| !raw.is_empty()).filter(is_other).collect();
                let pair = pair(name, text);
                pairs.push(pair.as_bytes());
                pairs.join(&b'&').into()
            }
        };
        Ok(())
    }
}

fn path_and_query(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = &rest[rest.find(['/', '?']).unwrap_or(rest.len())..];
    path.split_once('?').unwrap_or((path, ""))
}

fn pair(name: &str, value: &str) -> String {
    let escape = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
    format!("{}={}", escape(name), escape(value))
}

/// What is all digits is a number: a time.
fn claim(text: String) -> Value {
    text.parse::<i64>().map_or(Value::String(text), Value::from)
}

/// The JSON body with a text at `pointer`, or a number where there was one, written anew: the order of its members may
/// change.
fn with_member(body: &[u8], pointer: &str, text: String) -> Result<Bytes, String> {
    let mut document: Value = serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let (parent, name) = pointer.rsplit_once('/').ok_or("the whole body cannot be put")?;
    let name = name.replace("~1", "/").replace("~0", "~");
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            let was_number = members.get(&name).is_some_and(Value::is_number);
            let value = if was_number { claim(text) } else { text.into() };
            members.insert(name, value);
        }
        _ => return Err(format!("the body has no object at `{parent}`")),
    }
    serde_json::to_vec(&document)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}
