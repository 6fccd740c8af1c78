//! `application/x-www-form-urlencoded` and `multipart/form-data`, and their mapping to JSON.
//!
//! The mapping: an object with a member for each name, in order of first appearance; its value is
//! the text, or an array of texts where the name is repeated. Types are not guessed: `count=1` is `"1"`.
//!
//! Of the former kind, `+` is a space; `%` that two hex digits do not follow stands for itself, as in
//! the URL standard; a field without `=` is empty. Of the latter, files are left out: no member stands
//! for a part with a `filename`, whose bytes are in the body all the same.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::NotReadable;
use super::document::Node;
use crate::verify::multipart;

/// Fields of one form, at most; files count.
pub const MAX_FIELDS: usize = multipart::MAX_PARTS;

/// The fields of a form body or a query string, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form<'d>(Vec<(Cow<'d, str>, Cow<'d, str>)>);

impl<'d> Form<'d> {
    pub fn parse(bytes: &'d [u8]) -> Result<Self, NotReadable> {
        let mut fields = Vec::new();
        for field in bytes.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
            if fields.len() == MAX_FIELDS {
                return Err(NotReadable::new(
                    "too-many-fields",
                    format!("a form of more than {MAX_FIELDS} fields"),
                ));
            }
            let equals = field.iter().position(|byte| *byte == b'=');
            let (name, value) = equals.map_or((field, &[][..]), |at| (&field[..at], &field[at + 1..]));
            fields.push((decode(name)?, decode(value)?));
        }
        Ok(Self(fields))
    }

    /// The fields of a multipart body, read as signatures read them. `content_type` names the boundary. A body that does
    /// not end with it is `not-a-form`, as is all that RFC 7578 does not have.
    pub fn multipart(content_type: &str, body: &'d [u8]) -> Result<Self, NotReadable> {
        let fields = multipart::fields(content_type, body);
        let fields = fields.map_err(|refused| NotReadable::new(refused.reason, refused.why))?;
        let pair = |field: multipart::Field<'d>| (field.name, Cow::Borrowed(field.value));
        Ok(Self(fields.into_iter().map(pair).collect()))
    }

    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| &**value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub fn into_json(self) -> Result<Node<'d>, NotReadable> {
        let mut order: Vec<(Cow<'d, str>, Node<'d>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (name, value) in self.0 {
            let at = *places.entry(name.clone()).or_insert(order.len());
            match order.get_mut(at) {
                None => order.push((name, Node::Text(value))),
                Some((_, Node::Array(values))) => values.push(Node::Text(value)),
                Some((_, single)) => {
                    let first = std::mem::replace(single, Node::Null);
                    *single = Node::Array(vec![first, Node::Text(value)]);
                }
            }
        }
        Node::object(order)
    }
}

fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, NotReadable> {
    let not_utf8 = || NotReadable::new("not-utf8", "a field of the form is not UTF-8");
    if bytes.contains(&b'+') {
        let spaced: Vec<u8> = bytes
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        return percent_decode(&spaced)
            .decode_utf8()
            .map(|text| Cow::Owned(text.into_owned()))
            .map_err(|_| not_utf8());
    }
    percent_decode(bytes).decode_utf8().map_err(|_| not_utf8())
}
