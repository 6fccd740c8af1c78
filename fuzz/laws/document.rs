//! The borrowed document accepts what `serde_json` accepts, minus what has a name here, and says the same.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use hooksluice::read::Node;
use hooksluice::read::document::{MAX_NUMBER, MAX_VALUES, Number};
use hooksluice::read::pointer::Pointer;
use hooksluice::read::walk::to_value;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::support;

/// What we refuse and `serde_json` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stricter {
    /// An object says a key twice: two honest parsers may read two things.
    DuplicateKey,
    /// A number is longer than [`MAX_NUMBER`] bytes: consumers with arbitrary precision pay for more.
    LongNumber,
    /// More than [`MAX_VALUES`] values: each takes far more memory than bytes.
    ManyValues,
}

impl Stricter {
    /// As the refusal calls it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::DuplicateKey => "duplicate-key",
            Self::LongNumber => "bad-number",
            Self::ManyValues => "too-many-values",
        }
    }
}

pub fn check(bytes: &[u8]) {
    let ours = Node::parse(bytes);
    let theirs = serde_json::from_slice::<Value>(bytes);
    match (&ours, &theirs) {
        (Ok(node), Ok(value)) => {
            let stricter = stricter(bytes);
            assert!(stricter.is_empty(), "accepted in spite of {stricter:?}");
            assert!(
                same(&to_value(node), value),
                "read as {:?}, and by serde_json as {value:?}",
                to_value(node)
            );
            numbers_are_exact(bytes, node);
            written_again_it_is_the_same(node);
            its_size_is_known(node);
            every_value_is_found_by_its_pointer(node, &to_value(node));
        }
        (Err(refused), Ok(_)) => {
            let stricter = stricter(bytes);
            assert!(
                stricter.iter().any(|exception| exception.reason() == refused.reason),
                "refused ({refused}), though serde_json reads it and only {stricter:?} applies"
            );
        }
        (Ok(_), Err(error)) => panic!("accepted, though serde_json says: {error}"),
        (Err(refused), Err(_)) => {
            let known = [
                "not-json",
                "empty",
                "duplicate-key",
                "too-deep",
                "not-utf8",
                "bad-number",
                "too-many-values",
            ];
            assert!(known.contains(&refused.reason), "{refused}");
        }
    }
}

/// The exceptions that apply to a text that `serde_json` reads, found without our parser.
pub fn stricter(bytes: &[u8]) -> Vec<Stricter> {
    let mut found = Vec::new();
    let doubled = Cell::new(false);
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let read = Doubled(&doubled).deserialize(&mut parser);
    if read.is_ok() && doubled.get() {
        found.push(Stricter::DuplicateKey);
    }
    if numbers(bytes).iter().any(|number| number.len() > MAX_NUMBER) {
        found.push(Stricter::LongNumber);
    }
    // A value takes a byte at least, and all but the last one a comma.
    let values = || serde_json::from_slice(bytes).map_or(0, |value| count(&value));
    if bytes.len() > MAX_VALUES as usize && values() > MAX_VALUES as usize {
        found.push(Stricter::ManyValues);
    }
    found
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// Equal, with two named exceptions. *Neighbours*: `serde_json` does not round every number to the nearest double; that ours is
/// the nearest is shown by [`numbers_are_exact`]. *Sign of zero*: ours takes `-0` for `0`.
pub fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) if theirs.is_f64() => {
            let bits = |number: &serde_json::Number| number.as_f64().unwrap_or_default().to_bits();
            let is_zero = |number: &serde_json::Number| number.as_f64() == Some(0.0);
            if is_zero(ours) && is_zero(theirs) {
                return true;
            }
            ours.is_f64() && bits(ours).abs_diff(bits(theirs)) <= 1
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .all(|(key, ours)| theirs.get(key).is_some_and(|theirs| same(ours, theirs)))
        }
        _ => ours == theirs,
    }
}

/// The numbers of a JSON text as they are written, in order.
fn numbers(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let start = at;
                while at < bytes.len() && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    at += 1;
                }
                found.push(&bytes[start..at]);
            }
            _ => at += 1,
        }
    }
    found
}

/// Every number is the one that was written: exactly where 64 bits hold it, else the nearest double.
fn numbers_are_exact(bytes: &[u8], node: &Node<'_>) {
    fn collect(node: &Node<'_>, found: &mut Vec<Number>) {
        match node {
            Node::Number(number) => found.push(*number),
            Node::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Node::Object(members) => members.iter().for_each(|(_, value)| collect(value, found)),
            _ => {}
        }
    }
    let mut read = Vec::new();
    collect(node, &mut read);
    let written = numbers(bytes);
    assert_eq!(read.len(), written.len(), "as many numbers as are written");
    for (number, text) in read.iter().zip(written) {
        let text = std::str::from_utf8(text).expect("digits");
        match number {
            Number::Unsigned(0) => assert_eq!(text.parse(), Ok(0.0), "{text}"),
            Number::Unsigned(value) => assert_eq!(Ok(*value), text.parse(), "{text}"),
            Number::Signed(value) => {
                assert!(*value < 0, "{text}");
                assert_eq!(Ok(*value), text.parse(), "{text}");
            }
            Number::Float(value) => {
                let fits = text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok_and(|value| value != 0);
                assert!(!fits, "{text} would fit 64 bits");
                let nearest: f64 = text.parse().expect("a number");
                let same = value.to_bits() == nearest.to_bits() || (*value == 0.0 && nearest == 0.0);
                assert!(same, "{text} was read as {value:e}");
            }
        }
    }
}

fn written_again_it_is_the_same(node: &Node<'_>) {
    let text = serde_json::to_vec(node).expect("a document can be written");
    let again = Node::parse(&text).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&text)));
    assert_eq!(&again, node);
    assert_eq!(&again.into_owned(), node);
}

fn its_size_is_known(node: &Node<'_>) {
    fn count(node: &Node<'_>) -> usize {
        1 + match node {
            Node::Array(items) => items.iter().map(count).sum(),
            Node::Object(members) => members.iter().map(|(_, value)| count(value)).sum(),
            _ => 0,
        }
    }
    let size = count(node);
    assert!(!node.has_more_than(size) && node.has_more_than(size - 1), "{size}");
}

/// Pointers that are tried in one document: each walks from the root.
const MOST_POINTERS: usize = 200;

fn every_value_is_found_by_its_pointer(node: &Node<'_>, value: &Value) {
    fn pointers(node: &Node<'_>, path: &str, found: &mut Vec<String>) {
        if found.len() >= MOST_POINTERS {
            return;
        }
        found.push(path.to_owned());
        match node {
            Node::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    pointers(item, &format!("{path}/{index}"), found);
                }
            }
            Node::Object(members) => {
                for (key, value) in members.iter() {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    pointers(value, &format!("{path}/{key}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    pointers(node, "", &mut found);
    for text in found {
        let pointer = Pointer::compile(&text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            pointer.find(node).map(to_value).as_ref(),
            value.pointer(&text),
            "{text:?}"
        );
    }
}

/// Reads a value, and remembers whether an object in it says a key twice.
#[derive(Clone, Copy)]
struct Doubled<'c>(&'c Cell<bool>);

impl<'d> DeserializeSeed<'d> for Doubled<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'d> Visitor<'d> for Doubled<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'d>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'d>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = members.next_key::<String>()? {
            if !seen.insert(key) {
                self.0.set(true);
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            members.next_value_seed(self)?;
        }
        Ok(())
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    support::samples().into_iter().map(|(_, sample)| sample.body).collect()
}
