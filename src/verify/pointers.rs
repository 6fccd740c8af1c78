//! Values inside a JSON body, found in one pass over the raw bytes before anything is believed.
//!
//! Only what the provider's data points at is kept. An object on the way to such a value may name a member once: with
//! two, we could verify one and a consumer could read the other. Depth is bounded by serde_json (128).
//!
//! A body of XML is looked into as the JSON that it is mapped to: there a doubled member is an array, and so no value.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::provider::Definition;
use crate::provider::definition::BodyFormat;

use super::xml;

/// JSON pointers (RFC 6901) that are looked up together.
#[derive(Debug, Default)]
pub(crate) struct Pointers {
    root: Node,
    count: usize,
    xml: bool,
}

#[derive(Debug, Default)]
struct Node {
    /// Where the value found here is put.
    slot: Option<usize>,
    children: Vec<(Box<str>, Node)>,
}

/// What each pointer found: the text of a string, number or boolean. Null, objects and arrays are no values.
pub(crate) type Values<'d> = Vec<Option<Cow<'d, str>>>;

impl Pointers {
    /// For bodies as the definition says they are.
    pub fn of(definition: &Definition) -> Self {
        Self {
            xml: definition.body.format == BodyFormat::Xml,
            ..Self::default()
        }
    }

    /// The slot of `pointer` in what [`Pointers::scan`] returns.
    pub fn want(&mut self, pointer: &str) -> Result<usize, String> {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(format!("`{pointer}` is no JSON pointer; it starts with `/`"));
        }
        let mut node = &mut self.root;
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let at = match node.children.iter().position(|(name, _)| **name == segment) {
                Some(at) => at,
                None => {
                    node.children.push((segment.into(), Node::default()));
                    node.children.len() - 1
                }
            };
            node = &mut node.children[at].1;
        }
        Ok(*node.slot.get_or_insert_with(|| {
            self.count += 1;
            self.count - 1
        }))
    }

    pub fn scan<'d>(&self, body: &'d [u8]) -> Result<Values<'d>, String> {
        let mut values = vec![None; self.count];
        if self.xml {
            self.root.pick(&xml::document(body)?, &mut values);
            return Ok(values);
        }
        let mut parser = serde_json::Deserializer::from_slice(body);
        let seek = Seek {
            node: &self.root,
            values: &mut values,
        };
        seek.deserialize(&mut parser)
            .and_then(|()| parser.end())
            .map_err(|error| error.to_string())?;
        Ok(values)
    }
}

impl Node {
    /// What [`Seek`] does, of a document that is parsed.
    fn pick(&self, value: &Value, values: &mut Values<'_>) {
        if let (Some(slot), Value::String(text)) = (self.slot, value) {
            values[slot] = Some(Cow::Owned(text.clone()));
        }
        for (name, node) in &self.children {
            let child = match value {
                Value::Object(members) => members.get(&**name),
                Value::Array(items) => name.parse::<usize>().ok().and_then(|at| items.get(at)),
                _ => None,
            };
            if let Some(child) = child {
                node.pick(child, values);
            }
        }
    }
}

struct Seek<'n, 'v, 'd> {
    node: &'n Node,
    values: &'v mut Values<'d>,
}

impl<'d> Seek<'_, '_, 'd> {
    fn found<E>(self, value: Cow<'d, str>) -> Result<(), E> {
        if let Some(slot) = self.node.slot {
            self.values[slot] = Some(value);
        }
        Ok(())
    }
}

impl<'d> DeserializeSeed<'d> for Seek<'_, '_, 'd> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'d> Visitor<'d> for Seek<'_, '_, 'd> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = vec![false; self.node.children.len()];
        while let Some(key) = map.next_key::<Cow<'d, str>>()? {
            let Some(at) = self.node.children.iter().position(|(name, _)| **name == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut seen[at], true) {
                return Err(A::Error::custom(format_args!(
                    "member `{}` is doubled",
                    self.node.children[at].0
                )));
            }
            map.next_value_seed(Seek {
                node: &self.node.children[at].1,
                values: &mut *self.values,
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let child = self.node.children.iter().find(|(name, _)| name.parse() == Ok(index));
            let more = match child {
                Some((_, node)) => {
                    let values = &mut *self.values;
                    seq.next_element_seed(Seek { node, values })?.is_some()
                }
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'d str) -> Result<(), E> {
        self.found(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found(Cow::Owned(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.found(Cow::Borrowed(if value { "true" } else { "false" }))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.found(Cow::Owned(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.found(Cow::Owned(value.to_string()))
    }

    /// The shortest text that means this number, without an exponent.
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.found(Cow::Owned(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(pointers: &[&str], body: &str) -> Result<Vec<Option<String>>, String> {
        let mut wanted = Pointers::default();
        let slots: Vec<usize> = pointers.iter().map(|pointer| wanted.want(pointer).unwrap()).collect();
        let values = wanted.scan(body.as_bytes())?;
        Ok(slots
            .into_iter()
            .map(|slot| values[slot].clone().map(Cow::into_owned))
            .collect())
    }

    #[test]
    fn finds_values_in_one_pass() {
        let body = r#"{"a":{"b":["x",{"c~/d":"y\n"}]},"n":12,"t":true,"z":null,"o":{}}"#;
        let found = look(
            &["/a/b/0", "/a/b/1/c~0~1d", "/n", "/t", "/z", "/o", "/none", "/n"],
            body,
        )
        .unwrap();
        let expected = [
            Some("x"),
            Some("y\n"),
            Some("12"),
            Some("true"),
            None,
            None,
            None,
            Some("12"),
        ];
        assert_eq!(found, expected.map(|value| value.map(str::to_owned)));
        assert_eq!(look(&["/0/id"], r#"[{"id":"1"}]"#).unwrap(), [Some("1".to_owned())]);
    }

    #[test]
    fn refuses_a_doubled_member_on_the_way_and_only_there() {
        assert!(
            look(&["/a"], r#"{"a":1,"a":2}"#)
                .unwrap_err()
                .contains("`a` is doubled")
        );
        assert!(
            look(&["/a/b"], r#"{"a":{"b":1},"\u0061":{}}"#)
                .unwrap_err()
                .contains("doubled")
        );
        assert!(look(&["/a"], r#"{"a":1,"b":2,"b":3}"#).is_ok());
    }

    #[test]
    fn refuses_what_is_not_one_document() {
        for body in ["", "{", "{} {}", "{\"a\":1}x", "nul"] {
            assert!(look(&["/a"], body).is_err(), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(look(&["/0/0"], &deep).is_err());
    }
}
