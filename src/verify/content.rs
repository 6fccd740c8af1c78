//! What is signed: a definition's list of parts, compiled, and fed piece by piece to a hash or a MAC.

use std::borrow::Cow;

use sonic_rs::PointerNode;

use crate::delivery::HeaderName;
use crate::provider::Settings;
use crate::provider::definition::{FieldsForm, Find, Part};

use super::VerifyError;
use super::canonical;
use super::compact;
use super::find::{Allowed, Finder, Place, Scope, View};
use super::hashes::{Hash, Keyed, Tag};
use super::pointers::Pointers;
use super::problems::Problems;
use super::word::Word;

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
    Listed(Listed),
    Fields(FieldsForm, Vec<String>),
    /// The bytes of a JSON value.
    Raw(Vec<Box<str>>),
    /// The body, with the secret in place of what this finds in it.
    WithSecret(Finder),
}

/// Headers that the delivery lists as signed.
#[derive(Debug)]
pub(crate) struct Listed {
    pub list: Finder,
    pub split: Box<str>,
    pub require: Vec<HeaderName>,
    assign: Option<Box<str>>,
    join: Box<str>,
}

/// Most headers that one delivery lists.
const MOST_LISTED: usize = 32;

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
                        let find = Find {
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
                Part::Listed(rule) => {
                    let list = Finder::compile(&rule.listed, ALLOWED, settings, pointers, problems);
                    let mut require = Vec::new();
                    for name in &rule.require {
                        match HeaderName::try_from(name.as_str()) {
                            Ok(name) => require.push(name),
                            Err(_) => problems.say(format!("`{name}` is no header name")),
                        }
                    }
                    pieces.extend(list.map(|list| {
                        Piece::Listed(Listed {
                            list,
                            split: rule.split.as_str().into(),
                            require,
                            assign: rule.assign.as_deref().map(Into::into),
                            join: rule.join.as_str().into(),
                        })
                    }));
                }
                Part::Fields(rule) => pieces.push(Piece::Fields(rule.fields, rule.without.clone())),
                Part::Raw(rule) => {
                    // Wanted too, so that a member that is doubled on the way is refused.
                    let wanted = pointers.want(&rule.raw);
                    let steps = rule.raw.split('/').skip(1);
                    let steps = steps.map(|step| step.replace("~1", "/").replace("~0", "~").into());
                    match wanted {
                        Ok(_) => pieces.push(Piece::Raw(steps.collect())),
                        Err(problem) => problems.say(problem),
                    }
                }
                Part::WithSecret(rule) => {
                    let find = Find {
                        json: Some(rule.body_with_secret_at.clone()),
                        ..Find::default()
                    };
                    let finder = Finder::compile(&find, Allowed::default(), settings, pointers, problems);
                    pieces.extend(finder.map(Piece::WithSecret));
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
            Piece::WithSecret(_) => word == Word::Secret,
            _ => false,
        })
    }

    /// The whole body goes in, in a way that no other body could. A checksum is none: whoever has one delivery can make
    /// another body of the same CRC.
    pub fn proves_body(&self) -> bool {
        self.0.iter().any(|piece| match piece {
            Piece::Word(word) => word.is_body(),
            Piece::Found(finder) => {
                matches!(finder.place(), Place::Part(word) if word.is_body()) && !finder.is_checksum()
            }
            // Fields without a value are not signed.
            Piece::Fields(FieldsForm::SortedPairs, _) => false,
            Piece::Fields(..) | Piece::WithSecret(_) => true,
            _ => false,
        })
    }

    /// Of a form of which not all goes in: the fields that do not. All others that have a value do.
    pub fn fields_without(&self) -> Option<&[String]> {
        self.0.iter().find_map(|piece| match piece {
            Piece::Fields(FieldsForm::SortedPairs, without) => Some(&without[..]),
            _ => None,
        })
    }

    /// Members of the body that go in byte for byte, and all that is in them.
    pub fn holds_member(&self, pointer: &str) -> bool {
        self.raw_pointers().any(|raw| {
            let below = pointer.strip_prefix(&raw);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })
    }

    fn raw_pointers(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Raw(steps) => {
                let steps = steps
                    .iter()
                    .map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
                Some(steps.collect())
            }
            _ => None,
        })
    }

    /// Bytes of a JSON body are signed, and not what they mean: how it is written counts.
    pub fn depends_on_writing(&self) -> bool {
        let of_bytes = |piece: &Piece| matches!(piece, Piece::WithSecret(_) | Piece::Raw(_));
        self.0.iter().any(of_bytes)
    }

    pub fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Listed(listed) => Some(listed),
            _ => None,
        })
    }

    /// The value at `finder`'s place goes in.
    pub fn finds(&self, finder: &Finder) -> bool {
        let within = |pointer: &str| match finder.place() {
            Place::Json(_, below) => below.strip_prefix(pointer).is_some_and(|rest| rest.starts_with('/')),
            _ => false,
        };
        self.finders().any(|found| found.holds(finder))
            || self
                .0
                .iter()
                .any(|piece| matches!(piece, Piece::Compact(pointer, _) if within(pointer)))
    }

    /// Headers of which the value goes in.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let listed = self.listed().flat_map(|listed| &listed.require);
        self.finders().filter_map(Finder::header).chain(listed)
    }

    /// Members of the body of which the value goes in.
    pub fn pointers(&self) -> impl Iterator<Item = String> {
        let compact = self.0.iter().filter_map(|piece| match piece {
            Piece::Compact(pointer, _) => Some(pointer.to_string()),
            _ => None,
        });
        let found = self.finders().filter_map(|finder| match finder.place() {
            Place::Json(_, pointer) => Some(pointer.to_string()),
            _ => None,
        });
        found.chain(compact).chain(self.raw_pointers())
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
                Piece::Listed(listed) => listed.feed(view, scope, sink)?,
                Piece::Fields(form, without) => {
                    if !view.is_urlencoded() {
                        return Err(VerifyError::Malformed(
                            "the body is signed as a form, and is none".into(),
                        ));
                    }
                    let fields = canonical::fields(*form, &view.raw.body, without);
                    sink(&fields.map_err(|why| VerifyError::Malformed(format!("the form {why}")))?);
                }
                Piece::Raw(steps) => {
                    view.json()?;
                    sink(raw_value(&view.raw.body, steps)?);
                }
                Piece::WithSecret(finder) => {
                    let body = &view.raw.body;
                    let value = finder.get(view, scope)?;
                    let range = value.as_deref().and_then(|value| range_in(body, value));
                    let range = range.ok_or_else(|| VerifyError::Missing(finder.to_string()))?;
                    sink(&body[..range.start]);
                    sink(scope.secret);
                    sink(&body[range.end..]);
                }
            }
        }
        Ok(())
    }

    /// The content's MAC, with `secret` for the part of that name. `keyed` is a fresh clone of the one that the key was
    /// taken in once.
    pub fn mac(&self, mut keyed: Keyed, secret: &[u8], view: &View<'_>, scope: &Scope<'_>) -> Result<Tag, VerifyError> {
        let scope = Scope { secret, ..*scope };
        self.feed(view, &scope, &mut |piece| keyed.update(piece))?;
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

impl Listed {
    fn feed(&self, view: &View<'_>, scope: &Scope<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), VerifyError> {
        let list = self.list.get(view, scope)?;
        let list = list.ok_or_else(|| VerifyError::Missing(self.list.to_string()))?;
        let bad = || VerifyError::Malformed(format!("{} is no list of headers", self.list));
        let list = std::str::from_utf8(&list).map_err(|_| bad())?;
        let mut listed: Vec<HeaderName> = Vec::new();
        for name in list.split(&*self.split).filter(|name| !name.is_empty()) {
            let header = HeaderName::try_from(name.trim()).map_err(|_| bad())?;
            if listed.contains(&header) || listed.len() == MOST_LISTED {
                return Err(bad());
            }
            if !listed.is_empty() {
                sink(self.join.as_bytes());
            }
            if let Some(assign) = &self.assign {
                sink(name.as_bytes());
                sink(assign.as_bytes());
            }
            let value = view.raw.headers.single(&header).map_err(|_| bad())?;
            sink(value.ok_or_else(|| VerifyError::Missing(format!("header `{header}`, which is listed as signed")))?);
            listed.push(header);
        }
        match self.require.iter().find(|wanted| !listed.contains(wanted)) {
            Some(lacking) => Err(VerifyError::Malformed(format!(
                "{} does not list `{lacking}`",
                self.list
            ))),
            None => Ok(()),
        }
    }
}

/// Where `value` is in `body`, when it is a slice of it. A text with escapes is none.
fn range_in(body: &[u8], value: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = (value.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let range = start..start.checked_add(value.len())?;
    (body.get(range.clone())? == value && !value.is_empty()).then_some(range)
}

/// The bytes of the value at these steps, which the scan of the body has found to be there once.
fn raw_value<'b>(body: &'b [u8], steps: &[Box<str>]) -> Result<&'b [u8], VerifyError> {
    let text = std::str::from_utf8(body).map_err(|_| VerifyError::Malformed("body is not UTF-8".into()))?;
    let path: Vec<&str> = steps.iter().map(|step| &**step).collect();
    let found = sonic_rs::get(text, path.iter()).ok();
    match found.as_ref().map(|value| value.as_raw_cow()) {
        Some(Cow::Borrowed(raw)) => {
            let range = range_in(body, raw.as_bytes());
            Ok(range.map_or(&b""[..], |range| &body[range]))
        }
        _ => Err(VerifyError::Missing(format!("body member `/{}`", path.join("/")))),
    }
}

fn looks_like_a_word(text: &str) -> bool {
    text.len() >= 3 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
