//! Named parts of what is signed: `body`, `url`, `timestamp` and so on.

use super::canonical;
use super::encode;
use super::find::{Malformed, Scope, View};
use super::problems::{Problems, nearest};
use super::url::{authority, path_and_query};

/// A named part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Body,
    Timestamp,
    Method,
    Url,
    Path,
    Query,
    Host,
    SortedForm,
    SortedJson,
    Secret,
}

const WORDS: [(&str, Word); 10] = [
    ("body", Word::Body),
    ("timestamp", Word::Timestamp),
    ("method", Word::Method),
    ("url", Word::Url),
    ("path", Word::Path),
    ("query", Word::Query),
    ("host", Word::Host),
    ("sorted_form", Word::SortedForm),
    ("sorted_json", Word::SortedJson),
    ("secret", Word::Secret),
];

impl Word {
    /// The whole body, in a way that no other could stand for it.
    pub fn is_body(self) -> bool {
        matches!(self, Self::Body | Self::SortedForm | Self::SortedJson)
    }

    pub fn compile(name: &str, problems: &mut Problems<'_>) -> Option<Self> {
        if let Some((_, word)) = WORDS.iter().find(|(known, _)| *known == name) {
            return Some(*word);
        }
        let names = WORDS.iter().map(|(known, _)| *known);
        let remedy = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("parts are {}", names.collect::<Vec<_>>().join(", ")),
        };
        problems.none(format!(
            "unknown part `{name}`; {remedy} A literal word is written {{ literal = \"{name}\" }}"
        ))
    }

    /// The part as one piece, for a transform.
    pub fn bytes(self, view: &View<'_>, scope: &Scope<'_>) -> Result<Vec<u8>, Malformed> {
        let mut bytes = Vec::new();
        self.feed(view, scope, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    pub fn feed(self, view: &View<'_>, scope: &Scope<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Malformed> {
        let raw = view.raw;
        match self {
            Self::Body => sink(&raw.body),
            Self::Timestamp => sink(scope.timestamp.unwrap_or_default()),
            Self::Method => sink(raw.method.as_str().as_bytes()),
            Self::Url => sink(scope.url.unwrap_or(&raw.url).as_bytes()),
            Self::Path => sink(path_and_query(&raw.url).0.as_bytes()),
            Self::Query => sink(path_and_query(&raw.url).1.unwrap_or_default().as_bytes()),
            Self::Host => sink(authority(&raw.url).as_bytes()),
            Self::SortedForm => sorted_form(view, sink)?,
            Self::SortedJson => {
                let json = canonical::sorted_json(&raw.body);
                sink(&json.map_err(|why| Malformed(format!("the body, which is signed as sorted JSON, {why}")))?);
            }
            Self::Secret => sink(scope.secret),
        }
        Ok(())
    }
}

/// Names and values of the form, sorted by name and then by value, each pair once, nothing between them (Twilio). Not of a
/// multipart one: its fields are not the whole of such a body.
fn sorted_form(view: &View<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Malformed> {
    let body = &view.raw.body;
    if !body.is_empty() && !view.is_urlencoded() {
        return Err(Malformed(
            "the body is signed as a form, but its content type is another".into(),
        ));
    }
    let mut pairs: Vec<_> = encode::pairs(body).collect();
    pairs.sort_unstable();
    pairs.dedup();
    for (name, value) in pairs {
        sink(&name);
        sink(&value);
    }
    Ok(())
}
