//! A JSON document that borrows from the body: one parse, no copy of text that holds no escape.
//!
//! Accepts what `serde_json` accepts, minus what two honest parsers may read differently: an object
//! that says a key twice, and a number longer than [`MAX_NUMBER`] bytes; and minus documents of more
//! than [`MAX_VALUES`] values. Depth is bounded as there ([`MAX_DEPTH`]); lone surrogates, raw control characters, a byte order mark, trailing bytes and
//! invalid UTF-8 are refused as there.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::LazyLock;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::NotReadable;

/// Arrays and objects inside one another, at most (what `serde_json` allows by default).
pub const MAX_DEPTH: u16 = crate::verify::json::DEEPEST;
/// Bytes of one number as written, at most: consumers with arbitrary precision pay for more.
pub const MAX_NUMBER: usize = 256;

/// Values of one document, at most: each takes tens of bytes here, however short it is written. The
/// largest bodies that platforms send (25 MiB) have fewer.
pub const MAX_VALUES: u32 = 2_000_000;

/// One value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'d> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'d, str>),
    Array(Vec<Node<'d>>),
    Object(Members<'d>),
}

/// A number as `serde_json` holds it: an integer where 64 bits hold it, else the nearest double. The sign of zero is lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Unsigned(u64),
    /// Negative only.
    Signed(i64),
    Float(f64),
}

/// The members of an object, in the sender's order; every key once.
#[derive(Clone)]
pub struct Members<'d> {
    entries: Vec<(Cow<'d, str>, Node<'d>)>,
    /// Open addressing over `entries` (position + 1, 0 is free) where there are many. It finds
    /// duplicates at parsing and members in validation.
    index: Option<Box<[u32]>>,
}

/// Objects up to this size are searched from end to end.
const SMALL: usize = 8;

/// Keyed per process, so a sender cannot choose keys that collide.
static HASHER: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);

/// A key, hashed once at load for many look-ups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    hash: u64,
    text: Box<str>,
}

impl Key {
    pub fn new(text: &str) -> Self {
        Self {
            hash: HASHER.hash_one(text),
            text: text.into(),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<'d> Members<'d> {
    /// `Err` is the position of a key that was there before.
    fn new(entries: Vec<(Cow<'d, str>, Node<'d>)>) -> Result<Self, usize> {
        if entries.len() <= SMALL {
            for (at, (key, _)) in entries.iter().enumerate().skip(1) {
                if entries[..at].iter().any(|(earlier, _)| earlier == key) {
                    return Err(at);
                }
            }
            return Ok(Self { entries, index: None });
        }
        // At most half full; a body is far below 2³¹ members (sonic-rs refuses 4 GiB).
        let mut index = vec![0_u32; (entries.len() * 2).next_power_of_two()].into_boxed_slice();
        for (at, (key, _)) in entries.iter().enumerate() {
            let mut slot = slot(HASHER.hash_one(&**key), index.len());
            loop {
                match index[slot] {
                    0 => break,
                    taken if entries[taken as usize - 1].0 == *key => return Err(at),
                    _ => slot = (slot + 1) & (index.len() - 1),
                }
            }
            index[slot] = at as u32 + 1;
        }
        Ok(Self {
            entries,
            index: Some(index),
        })
    }

    pub fn get(&self, name: &str) -> Option<&Node<'d>> {
        match &self.index {
            None => self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            Some(index) => self.probe(index, HASHER.hash_one(name), name),
        }
    }

    pub fn get_key(&self, key: &Key) -> Option<&Node<'d>> {
        match &self.index {
            None => self
                .entries
                .iter()
                .find(|(name, _)| **name == *key.text)
                .map(|(_, value)| value),
            Some(index) => self.probe(index, key.hash, &key.text),
        }
    }

    fn probe(&self, index: &[u32], hash: u64, name: &str) -> Option<&Node<'d>> {
        let mut slot = slot(hash, index.len());
        loop {
            match index[slot] {
                0 => return None,
                at => {
                    let (key, value) = &self.entries[at as usize - 1];
                    if key == name {
                        return Some(value);
                    }
                }
            }
            slot = (slot + 1) & (index.len() - 1);
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, (Cow<'d, str>, Node<'d>)> {
        self.entries.iter()
    }

    /// Takes one member out, leaving `null` in its place.
    pub(super) fn take(&mut self, key: &Key) -> Option<Node<'d>> {
        let at = self.entries.iter().position(|(name, _)| **name == *key.text)?;
        Some(std::mem::replace(&mut self.entries[at].1, Node::Null))
    }
}

fn slot(hash: u64, size: usize) -> usize {
    hash as usize & (size - 1)
}

impl fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.entries.iter().map(|(key, value)| (key, value)))
            .finish()
    }
}

impl PartialEq for Members<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<'d> Node<'d> {
    /// Parses a whole body.
    pub fn parse(bytes: &'d [u8]) -> Result<Self, NotReadable> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            NotReadable::new("not-utf8", format!("invalid UTF-8 after byte {}", error.valid_up_to()))
        })?;
        Self::parse_text(text)
    }

    pub fn parse_text(text: &'d str) -> Result<Self, NotReadable> {
        if text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            return Err(NotReadable::new("empty", "nothing but white space"));
        }
        if let Some(at) = long_number(text.as_bytes()) {
            return Err(NotReadable::new(
                "bad-number",
                format!("a number of more than {MAX_NUMBER} bytes at byte {at}"),
            ));
        }
        let shared = Shared::default();
        let mut parser = sonic_rs::Deserializer::from_str(text);
        let parsed = Seed {
            remaining: MAX_DEPTH,
            shared: &shared,
        }
        .deserialize(&mut parser)
        .and_then(|node| parser.end().map(|()| node));
        parsed.map_err(|error| {
            shared.refusal.take().unwrap_or_else(|| {
                // The parser's own text quotes the body; only the place is ours to tell.
                NotReadable::new("not-json", format!("not JSON at byte {}", error.offset()))
            })
        })
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&Members<'d>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Node<'d>]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Has more than `limit` values, itself and those inside? Stops counting there.
    pub fn has_more_than(&self, limit: usize) -> bool {
        fn rest(node: &Node<'_>, left: usize) -> Option<usize> {
            let left = left.checked_sub(1)?;
            match node {
                Node::Array(items) => items.iter().try_fold(left, |left, item| rest(item, left)),
                Node::Object(members) => members.iter().try_fold(left, |left, (_, value)| rest(value, left)),
                _ => Some(left),
            }
        }
        rest(self, limit).is_none()
    }

    /// The same document, borrowing nothing.
    pub fn into_owned(self) -> Node<'static> {
        match self {
            Self::Null => Node::Null,
            Self::Bool(value) => Node::Bool(value),
            Self::Number(number) => Node::Number(number),
            Self::Text(text) => Node::Text(Cow::Owned(text.into_owned())),
            Self::Array(items) => Node::Array(items.into_iter().map(Node::into_owned).collect()),
            Self::Object(Members { entries, index }) => Node::Object(Members {
                entries: entries
                    .into_iter()
                    .map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned()))
                    .collect(),
                index,
            }),
        }
    }

    /// An object made of members whose keys are known to differ.
    pub(super) fn object(entries: Vec<(Cow<'d, str>, Node<'d>)>) -> Result<Self, NotReadable> {
        Members::new(entries)
            .map(Node::Object)
            .map_err(|_| NotReadable::new("duplicate-key", "a key is there twice"))
    }
}

/// What all levels of a parse share.
struct Shared<'d> {
    /// Values that may still come.
    left: Cell<u32>,
    /// Why we refused, where the parser would not have.
    refusal: Cell<Option<NotReadable>>,
    /// Elements and members of the arrays and objects that are not yet complete, innermost last: each is then made in
    /// one piece of its exact size.
    items: Open<Node<'d>>,
    entries: Open<(Cow<'d, str>, Node<'d>)>,
}

impl Default for Shared<'_> {
    fn default() -> Self {
        Self {
            left: Cell::new(MAX_VALUES),
            refusal: Cell::new(None),
            items: Open::default(),
            entries: Open::default(),
        }
    }
}

struct Open<T>(RefCell<Vec<T>>);

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Open<T> {
    /// Room that is made at first: enough for most bodies. Not before it is needed, for most arrays are empty.
    const ROOM: usize = 64;
    /// What is longer is not copied where it stands alone.
    const LONG: usize = 1024;

    fn len(&self) -> usize {
        self.0.borrow().len()
    }

    fn push(&self, value: T) {
        let mut open = self.0.borrow_mut();
        if open.capacity() == 0 {
            open.reserve_exact(Self::ROOM);
        }
        open.push(value);
    }

    /// What came from position `start` on.
    fn complete(&self, start: usize) -> Vec<T> {
        let mut open = self.0.borrow_mut();
        if start == 0 && open.len() > Self::LONG {
            return std::mem::take(&mut *open);
        }
        open.drain(start..).collect()
    }
}

/// One level of the parse.
#[derive(Clone, Copy)]
struct Seed<'s, 'd> {
    remaining: u16,
    shared: &'s Shared<'d>,
}

impl Seed<'_, '_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.remaining.checked_sub(1) {
            Some(remaining) => Ok(Self { remaining, ..self }),
            None => Err(self.refuse("too-deep", format_args!("nested deeper than {MAX_DEPTH} levels"))),
        }
    }

    /// Out of the way: what is built here must not make every level's frame larger, for the levels share one stack.
    #[cold]
    #[inline(never)]
    fn refuse<E: de::Error>(self, reason: &'static str, detail: fmt::Arguments<'_>) -> E {
        self.shared
            .refusal
            .set(Some(NotReadable::new(reason, detail.to_string())));
        E::custom(reason)
    }
}

impl<'d> DeserializeSeed<'d> for Seed<'_, 'd> {
    type Value = Node<'d>;

    #[inline]
    fn deserialize<D: de::Deserializer<'d>>(self, parser: D) -> Result<Node<'d>, D::Error> {
        match self.shared.left.get() {
            0 => Err(self.refuse("too-many-values", format_args!("more than {MAX_VALUES} values"))),
            left => {
                self.shared.left.set(left - 1);
                parser.deserialize_any(self)
            }
        }
    }
}

impl<'d> Visitor<'d> for Seed<'_, 'd> {
    type Value = Node<'d>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'d>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'d>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'d>, E> {
        Ok(Node::Number(Number::Unsigned(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'d>, E> {
        Ok(Node::Number(
            u64::try_from(value).map_or(Number::Signed(value), Number::Unsigned),
        ))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node<'d>, E> {
        if value.is_finite() {
            Ok(Node::Number(Number::Float(value)))
        } else {
            Err(E::custom("number out of range"))
        }
    }

    #[inline]
    fn visit_borrowed_str<E>(self, text: &'d str) -> Result<Node<'d>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'d>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut access: A) -> Result<Node<'d>, A::Error> {
        let seed = self.deeper()?;
        let items = &self.shared.items;
        let start = items.len();
        while let Some(item) = access.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Node::Array(items.complete(start)))
    }

    fn visit_map<A: MapAccess<'d>>(self, mut access: A) -> Result<Node<'d>, A::Error> {
        let seed = self.deeper()?;
        let entries = &self.shared.entries;
        let start = entries.len();
        while let Some(key) = access.next_key_seed(KeySeed)? {
            let value = access.next_value_seed(seed)?;
            entries.push((key, value));
        }
        match Members::new(entries.complete(start)) {
            Ok(members) => Ok(Node::Object(members)),
            Err(at) => Err(self.refuse(
                "duplicate-key",
                format_args!("member {} of an object has a key that was there before", at + 1),
            )),
        }
    }
}

struct KeySeed;

impl<'d> DeserializeSeed<'d> for KeySeed {
    type Value = Cow<'d, str>;

    #[inline]
    fn deserialize<D: de::Deserializer<'d>>(self, parser: D) -> Result<Cow<'d, str>, D::Error> {
        parser.deserialize_str(self)
    }
}

impl<'d> Visitor<'d> for KeySeed {
    type Value = Cow<'d, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    #[inline]
    fn visit_borrowed_str<E>(self, text: &'d str) -> Result<Cow<'d, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'d, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Where a number of more than [`MAX_NUMBER`] bytes begins. The parser does not tell a number's
/// length, but so long a run of its characters must cover a multiple of that length: looking there
/// is enough to know that there is none, and only a suspicion costs a walk.
fn long_number(text: &[u8]) -> Option<usize> {
    let suspected = text.iter().step_by(MAX_NUMBER).enumerate().any(|(step, byte)| {
        is_numeric(*byte) && {
            let at = step * MAX_NUMBER;
            let before = text[..at]
                .iter()
                .rev()
                .take_while(|byte| is_numeric(**byte))
                .take(MAX_NUMBER)
                .count();
            let after = text[at..]
                .iter()
                .take_while(|byte| is_numeric(**byte))
                .take(MAX_NUMBER + 1)
                .count();
            before + after > MAX_NUMBER
        }
    });
    if !suspected {
        return None;
    }
    let (mut in_string, mut escaped, mut run) = (false, false, 0);
    for (at, byte) in text.iter().enumerate() {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else if is_numeric(*byte) {
            run += 1;
            if run > MAX_NUMBER {
                return Some(at + 1 - run);
            }
            continue;
        } else {
            in_string = *byte == b'"';
        }
        run = 0;
    }
    None
}

fn is_numeric(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(Number::Unsigned(value)) => serializer.serialize_u64(*value),
            Self::Number(Number::Signed(value)) => serializer.serialize_i64(*value),
            Self::Number(Number::Float(value)) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members.iter() {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests;
