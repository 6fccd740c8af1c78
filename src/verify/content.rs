//! What is signed: a definition's list of parts, compiled, and fed piece by piece to a hash or a MAC.

use std::borrow::Cow;

use sonic_rs::PointerNode;

use crate::delivery::HeaderName;
use crate::provider::Settings;
use crate::provider::definition::{Find, Part};

use super::VerifyError;
use super::compact;
use super::encode;
use super::find::{Allowed, Finder, Malformed, Place, Scope, View};
use super::hashes::{Hash, Keyed, Tag};
use super::pointers::Pointers;
use super::problems::{Problems, nearest};

/// The signed content of one alternative.
#[derive(Debug, Default)]
pub(crate) struct Content(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Literal(Box<[u8]>),
    Word(Word),
    Found(Finder),
    /// `name\nvalue\n` of each that is there.
    Lines(Vec<(Box<str>, Finder)>),
    /// In the order of their bytes.
    Sorted(Vec<Finder>),
    /// The member's pointer, and the pointer taken apart.
    Compact(Box<str>, Vec<PointerNode>),
}

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
    Secret,
}

const WORDS: [(&str, Word); 9] = [
    ("body", Word::Body),
    ("timestamp", Word::Timestamp),
    ("method", Word::Method),
    ("url", Word::Url),
    ("path", Word::Path),
    ("query", Word::Query),
    ("host", Word::Host),
    ("sorted_form", Word::SortedForm),
    ("secret", Word::Secret),
];

impl Word {
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

    fn feed(self, view: &View<'_>, scope: &Scope<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Malformed> {
        let raw = view.raw;
        match self {
            Self::Body => sink(&raw.body),
            Self::Timestamp => sink(scope.timestamp.unwrap_or_default()),
            Self::Method => sink(raw.method.as_str().as_bytes()),
            Self::Url => sink(scope.url.unwrap_or(&raw.url).as_bytes()),
            Self::Path => sink(raw.path.as_bytes()),
            Self::Query => sink(raw.query.as_bytes()),
            Self::Host => sink(authority(&raw.url).as_bytes()),
            Self::SortedForm => sorted_form(view, sink)?,
            Self::Secret => sink(scope.secret),
        }
        Ok(())
    }
}

/// Names and values of the form, sorted by name and then by value, each pair once, nothing between them (Twilio).
fn sorted_form(view: &View<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Malformed> {
    let body = &view.raw.body;
    if !body.is_empty() && !view.is_form() {
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

/// Host, and port if there is one, of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// The URL as it is, without its port, and with the standard port of its scheme: platforms that sign any of them.
pub(crate) fn either_port(url: &str) -> Vec<Cow<'_, str>> {
    let mut urls = vec![Cow::Borrowed(url)];
    let host = authority(url);
    let Some((scheme, _)) = url.split_once("://") else {
        return urls;
    };
    let start = host.as_ptr() as usize - url.as_ptr() as usize;
    let (before, after) = (&url[..start], &url[start + host.len()..]);
    let colon = host
        .rfind(':')
        .filter(|at| host[at + 1..].bytes().all(|byte| byte.is_ascii_digit()));
    let bare = colon.map_or(host, |at| &host[..at]);
    let port = if scheme == "http" { 80 } else { 443 };
    for other in [
        format!("{before}{bare}{after}"),
        format!("{before}{bare}:{port}{after}"),
    ] {
        if urls.iter().all(|known| *known != other) {
            urls.push(Cow::Owned(other));
        }
    }
    urls
}

impl Content {
    pub fn compile(parts: &[Part], settings: &Settings, pointers: &mut Pointers, problems: &mut Problems<'_>) -> Self {
        const ALLOWED: Allowed = Allowed {
            field: true,
            claim: false,
            part: true,
        };
        let mut pieces = Vec::new();
        for part in parts {
            match part {
                Part::Word(text) if !looks_like_a_word(text) => pieces.push(Piece::Literal(text.as_bytes().into())),
                Part::Word(text) => pieces.extend(Word::compile(text, problems).map(Piece::Word)),
                Part::Found(find) => {
                    pieces.extend(Finder::compile(find, ALLOWED, settings, pointers, problems).map(Piece::Found));
                }
                Part::Sorted(sorted) => {
                    let find = |find: &Find, pointers: &mut Pointers, problems: &mut Problems<'_>| {
                        Finder::compile(find, ALLOWED, settings, pointers, problems)
                    };
                    let finders = sorted.sorted.iter().filter_map(|part| find(part, pointers, problems));
                    pieces.push(Piece::Sorted(finders.collect()));
                }
                Part::Compact(part) => match pointers.want(&part.compact) {
                    // The look-up itself is what refuses a member that is there twice.
                    Ok(_) => pieces.push(Piece::Compact(
                        part.compact.as_str().into(),
                        compact::nodes(&part.compact),
                    )),
                    Err(problem) => problems.say(problem),
                },
                Part::Lines(lines) => {
                    let line = |name: &String, pointers: &mut Pointers, problems: &mut Problems<'_>| {
                        let escaped = name.replace('~', "~0").replace('/', "~1");
                        let find = crate::provider::definition::Find {
                            json: Some(format!("/{escaped}")),
                            ..Default::default()
                        };
                        let finder = Finder::compile(&find, Allowed::default(), settings, pointers, problems)?;
                        Some((name.as_str().into(), finder))
                    };
                    let lines = lines
                        .named_lines
                        .iter()
                        .filter_map(|name| line(name, pointers, problems));
                    pieces.push(Piece::Lines(lines.collect()));
                }
            }
        }
        Self(pieces)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn uses(&self, word: Word) -> bool {
        let is_it = |finder: &Finder| matches!(finder.place(), Place::Part(used) if *used == word);
        self.0.iter().any(|piece| match piece {
            Piece::Word(used) => *used == word,
            Piece::Found(finder) => is_it(finder),
            Piece::Sorted(finders) => finders.iter().any(is_it),
            _ => false,
        })
    }

    /// The whole body goes in, in a way that no other body could. A checksum is none: whoever has one delivery can make
    /// another body of the same CRC.
    pub fn proves_body(&self) -> bool {
        self.0.iter().any(|piece| match piece {
            Piece::Word(word) => matches!(word, Word::Body | Word::SortedForm),
            Piece::Found(finder) => {
                matches!(finder.place(), Place::Part(Word::Body | Word::SortedForm)) && !finder.is_checksum()
            }
            _ => false,
        })
    }

    /// The value at `finder`'s place goes in.
    pub fn finds(&self, finder: &Finder) -> bool {
        let within = |pointer: &str| match finder.place() {
            Place::Json(_, below) => below.strip_prefix(pointer).is_some_and(|rest| rest.starts_with('/')),
            _ => false,
        };
        self.finders().any(|found| found.place() == finder.place())
            || self
                .0
                .iter()
                .any(|piece| matches!(piece, Piece::Compact(pointer, _) if within(pointer)))
    }

    /// Headers of which the value goes in.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.finders().filter_map(Finder::header)
    }

    /// Members of the body of which the value goes in.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        let compact = self.0.iter().filter_map(|piece| match piece {
            Piece::Compact(pointer, _) => Some(&**pointer),
            _ => None,
        });
        let found = self.finders().filter_map(|finder| match finder.place() {
            Place::Json(_, pointer) => Some(&**pointer),
            _ => None,
        });
        found.chain(compact)
    }

    pub fn finders(&self) -> impl Iterator<Item = &Finder> {
        self.0.iter().flat_map(|piece| -> Box<dyn Iterator<Item = &Finder>> {
            match piece {
                Piece::Found(finder) => Box::new(std::iter::once(finder)),
                Piece::Lines(lines) => Box::new(lines.iter().map(|(_, finder)| finder)),
                Piece::Sorted(finders) => Box::new(finders.iter()),
                _ => Box::new(std::iter::empty()),
            }
        })
    }

    /// Hands the content to `sink`, in order and without a copy of the body.
    pub fn feed(&self, view: &View<'_>, scope: &Scope<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), VerifyError> {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => sink(text),
                Piece::Word(word) => word.feed(view, scope, sink)?,
                Piece::Found(finder) => match finder.get(view, scope)? {
                    Some(value) => sink(&value),
                    None if finder.optional => {}
                    None => return Err(VerifyError::Missing(finder.to_string())),
                },
                Piece::Sorted(finders) => {
                    let mut values = Vec::with_capacity(finders.len());
                    for finder in finders {
                        match finder.get(view, scope)? {
                            Some(value) => values.push(value),
                            None if finder.optional => {}
                            None => return Err(VerifyError::Missing(finder.to_string())),
                        }
                    }
                    values.sort_unstable();
                    values.iter().for_each(|value| sink(value));
                }
                Piece::Compact(pointer, nodes) => {
                    view.json()?;
                    let member = compact::member(&view.raw.body, nodes);
                    let member = member.ok_or_else(|| VerifyError::Missing(format!("body member `{pointer}`")))?;
                    compact::feed(member, sink);
                }
                Piece::Lines(lines) => {
                    for (name, finder) in lines {
                        if let Some(value) = finder.get(view, scope)? {
                            sink(name.as_bytes());
                            sink(b"\n");
                            sink(&value);
                            sink(b"\n");
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The content's MAC. `keyed` is a fresh clone of the one that the key was taken in once.
    pub fn mac(&self, mut keyed: Keyed, view: &View<'_>, scope: &Scope<'_>) -> Result<Tag, VerifyError> {
        self.feed(view, scope, &mut |piece| keyed.update(piece))?;
        Ok(keyed.finish())
    }

    /// The content's plain hash, with `secret` for the part of that name.
    pub fn hash(&self, mut hash: Hash, secret: &[u8], view: &View<'_>, scope: &Scope<'_>) -> Result<Tag, VerifyError> {
        let scope = Scope { secret, ..*scope };
        self.feed(view, &scope, &mut |piece| hash.update(piece))?;
        Ok(hash.finish())
    }

    /// The content in one piece, for schemes that need it so; the body itself where it is all of it.
    pub fn whole<'d>(&self, view: &View<'d>, scope: &Scope<'_>) -> Result<Cow<'d, [u8]>, VerifyError> {
        if let [Piece::Word(Word::Body)] = self.0[..] {
            return Ok(Cow::Borrowed(&view.raw.body));
        }
        let mut whole = Vec::with_capacity(view.raw.body.len() + 256);
        self.feed(view, scope, &mut |piece| whole.extend_from_slice(piece))?;
        Ok(Cow::Owned(whole))
    }
}

fn looks_like_a_word(text: &str) -> bool {
    text.len() >= 3 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_tried_with_and_without_its_port() {
        let urls = |url| either_port(url).into_iter().map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(
            urls("https://a.example/x?y=1:2"),
            ["https://a.example/x?y=1:2", "https://a.example:443/x?y=1:2"]
        );
        assert_eq!(
            urls("http://u:p@a.example:8080?q"),
            [
                "http://u:p@a.example:8080?q",
                "http://u:p@a.example?q",
                "http://u:p@a.example:80?q"
            ]
        );
        assert_eq!(urls("https://[::1]/x"), ["https://[::1]/x", "https://[::1]:443/x"]);
        assert_eq!(urls("nonsense"), ["nonsense"]);
    }
}
