//! Lets the schema validator walk a [`Node`] as it is, without a `serde_json::Value` in between.
//! `Value`s are built only for the numbers that `const` and `enum` compare, and for `uniqueItems`.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{self, Json, JsonNumber, NodeIdentity};
use serde_json::Value;

use super::document::{Key, Members, Node, Number};

/// The representation, as the validator's type parameter.
#[derive(Debug, Clone, Copy)]
pub struct Borrowed;

impl Json for Borrowed {
    type Node<'a> = &'a Node<'a>;
    type PreparedKey = Key;
    /// A tree owns its children: no node is its own descendant.
    const ACYCLIC: bool = true;
    type StringBuffer = ();

    fn prepare_key(key: &str) -> Key {
        Key::new(key)
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl for<'n> FnOnce(&'n Node<'n>) -> T) -> T {
        f(&Node::Text(Cow::Borrowed(string)))
    }
}

impl JsonNumber for Number {
    fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => u64::try_from(value).ok(),
            Self::Float(_) => None,
        }
    }

    fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Unsigned(value) => i64::try_from(value).ok(),
            Self::Signed(value) => Some(value),
            Self::Float(_) => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        Some(match *self {
            Self::Unsigned(value) => value as f64,
            Self::Signed(value) => value as f64,
            Self::Float(value) => value,
        })
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Owned(number(*self).to_string())
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(number(*self))
    }

    fn is_integer(&self) -> bool {
        match *self {
            Self::Unsigned(_) | Self::Signed(_) => true,
            Self::Float(value) => value.fract() == 0.0,
        }
    }

    /// As for `serde_json::Number`: a double from 2⁶³ on is taken for an integer that was too long.
    fn is_written_as_integer(&self) -> bool {
        match *self {
            Self::Unsigned(_) | Self::Signed(_) => true,
            Self::Float(value) => value.abs() >= 9_223_372_036_854_775_808.0,
        }
    }
}

fn number(number: Number) -> serde_json::Number {
    match number {
        Number::Unsigned(value) => value.into(),
        Number::Signed(value) => value.into(),
        // The parser lets only finite ones in.
        Number::Float(value) => serde_json::Number::from_f64(value).unwrap_or_else(|| 0.into()),
    }
}

/// For cold paths and tests.
pub fn to_value(node: &Node<'_>) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::Bool(*value),
        Node::Number(value) => Value::Number(number(*value)),
        Node::Text(text) => Value::String(text.clone().into_owned()),
        Node::Array(items) => Value::Array(items.iter().map(to_value).collect()),
        Node::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, value)| (key.clone().into_owned(), to_value(value)))
                .collect(),
        ),
    }
}

impl<'a> json::Node<'a, Borrowed> for &'a Node<'a> {
    type Object = &'a Members<'a>;
    type Array = &'a [Node<'a>];
    type Number = Number;

    fn as_object(&self) -> Option<&'a Members<'a>> {
        match self {
            Node::Object(members) => Some(members),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&'a [Node<'a>]> {
        match self {
            Node::Array(items) => Some(items),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            Node::Text(text) => Some(Cow::Borrowed(text)),
            _ => None,
        }
    }

    fn as_number(&self) -> Option<Number> {
        match self {
            Node::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self {
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Node::Null)
    }

    fn is_number(&self) -> bool {
        matches!(self, Node::Number(_))
    }

    fn is_string(&self) -> bool {
        matches!(self, Node::Text(_))
    }

    fn json_type(&self) -> JsonType {
        match self {
            Node::Null => JsonType::Null,
            Node::Bool(_) => JsonType::Boolean,
            Node::Number(_) => JsonType::Number,
            Node::Text(_) => JsonType::String,
            Node::Array(_) => JsonType::Array,
            Node::Object(_) => JsonType::Object,
        }
    }

    /// A code point takes one to four bytes: the byte length decides most bounds without counting.
    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let Node::Text(text) = self else { return None };
        let bytes = text.len() as u64;
        let fewest = bytes.div_ceil(4);
        if bytes < min || fewest > max {
            return Some(false);
        }
        if min <= fewest && bytes <= max {
            return Some(true);
        }
        Some((min..=max).contains(&(text.chars().count() as u64)))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (self, expected) {
            (Node::Null, Value::Null) => true,
            (Node::Bool(ours), Value::Bool(theirs)) => ours == theirs,
            (Node::Text(ours), Value::String(theirs)) => ours == theirs,
            (Node::Number(_), Value::Number(_)) => json::cmp::equal(&to_value(self), expected),
            (Node::Array(ours), Value::Array(theirs)) => {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| ours.equals_value(theirs))
            }
            (Node::Object(ours), Value::Object(theirs)) => {
                ours.len() == theirs.len()
                    && theirs
                        .iter()
                        .all(|(key, theirs)| ours.get(key).is_some_and(|ours| ours.equals_value(theirs)))
            }
            _ => false,
        }
    }

    /// Not the value: the validator asks for it only to put it into errors, which must not quote
    /// what the sender said, and a broken body must not be copied once a level.
    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref::<Node<'_>>(self) as usize))
    }
}

impl<'a> json::Object<'a, Borrowed> for &'a Members<'a> {
    type Node = &'a Node<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        Members::len(self)
    }

    fn get(&self, key: &Key) -> Option<&'a Node<'a>> {
        Members::get_key(self, key)
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter(Members::iter(self))
    }
}

pub struct MembersIter<'a>(std::slice::Iter<'a, (Cow<'a, str>, Node<'a>)>);

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, &'a Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (&**key, value))
    }
}

impl<'a> json::Array<'a, Borrowed> for &'a [Node<'a>] {
    type Node = &'a Node<'a>;
    type ElementsIter = std::slice::Iter<'a, Node<'a>>;

    fn len(&self) -> usize {
        <[Node<'a>]>::len(self)
    }

    fn elements(&self) -> std::slice::Iter<'a, Node<'a>> {
        self.iter()
    }

    fn is_unique(&self) -> bool {
        let values: Vec<_> = self.iter().map(to_value).collect();
        json::unique::is_unique(&values)
    }
}
