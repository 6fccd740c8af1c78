//! One JSON document as other serialisers write it: layout, escapes, the order of keys.
//!
//! Numbers and names stay as they stand: what a serialiser lost of them cannot be guessed.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::verify::json;

/// A document, its scalars as they were written.
#[derive(Debug)]
pub(super) enum Node<'t> {
    Object(Vec<(&'t str, Node<'t>)>),
    Array(Vec<Node<'t>>),
    /// With its quotes, where it has some.
    Scalar(&'t str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `{"a":1}`
    Compact,
    /// `{"a": 1, "b": 2}`
    Spaced,
    /// Members on lines of their own, indented by this.
    Indented(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    Kept,
    /// Only what must be.
    Least,
    /// `\/` too.
    Slashes,
    /// All but ASCII, with small digits (`\u00e9`).
    Ascii,
    /// All but ASCII, with capital digits.
    AsciiCapital,
    /// All but ASCII, and slashes.
    AsciiSlashes,
    /// `<`, `>`, `&` too.
    Html,
    /// All but ASCII, `<>&'+`, with capital digits.
    AsciiHtmlCapital,
}

/// Positions of keys in a document of the platform's, by the pointer of the object (`*` for an array's element).
pub(super) type Positions = BTreeMap<String, BTreeMap<String, usize>>;

#[derive(Clone, Copy, Debug)]
pub(super) enum Order<'p> {
    Kept,
    Sorted,
    As(&'p Positions),
}

pub(super) const LAYOUTS: [(Layout, &str); 5] = [
    (Layout::Compact, "without white space"),
    (Layout::Spaced, "with a space behind `:` and `,`"),
    (Layout::Indented("  "), "indented by two spaces"),
    (Layout::Indented("    "), "indented by four spaces"),
    (Layout::Indented("\t"), "indented by tabs"),
];

pub(super) const ESCAPES: [(Escapes, &str); 8] = [
    (Escapes::Kept, ""),
    (Escapes::Least, "nothing escaped that need not be"),
    (Escapes::Ascii, "everything but ASCII escaped as `\\u…`"),
    (Escapes::Slashes, "slashes escaped as `\\/`"),
    (
        Escapes::AsciiSlashes,
        "slashes and everything but ASCII escaped (PHP's default)",
    ),
    (Escapes::Html, "`<`, `>` and `&` escaped (Go's default)"),
    (
        Escapes::AsciiCapital,
        "everything but ASCII escaped as `\\u…` in capital digits",
    ),
    (
        Escapes::AsciiHtmlCapital,
        "HTML's characters and everything but ASCII escaped (.NET's default)",
    ),
];

/// `None`: it is no JSON, or deeper than anything is read.
pub(super) fn parse(text: &[u8]) -> Option<Node<'_>> {
    // Well-formed and of bounded depth from here on.
    json::check(text).ok()?;
    let text = std::str::from_utf8(text).ok()?;
    let mut rest = text.trim_start();
    node(&mut rest)
}

fn node<'t>(rest: &mut &'t str) -> Option<Node<'t>> {
    *rest = rest.trim_start();
    match rest.chars().next()? {
        '{' => {
            let mut members = Vec::new();
            step(rest, 1);
            while !eat(rest, '}') {
                let name = string(rest)?;
                eat(rest, ':');
                members.push((name, node(rest)?));
                eat(rest, ',');
            }
            Some(Node::Object(members))
        }
        '[' => {
            let mut items = Vec::new();
            step(rest, 1);
            while !eat(rest, ']') {
                items.push(node(rest)?);
                eat(rest, ',');
            }
            Some(Node::Array(items))
        }
        '"' => string(rest).map(Node::Scalar),
        _ => {
            let end = rest
                .find(|c: char| c.is_ascii_whitespace() || ",]}".contains(c))
                .unwrap_or(rest.len());
            Some(Node::Scalar(step(rest, end)))
        }
    }
}

fn step<'t>(rest: &mut &'t str, length: usize) -> &'t str {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}

fn eat(rest: &mut &str, what: char) -> bool {
    *rest = rest.trim_start();
    match rest.strip_prefix(what) {
        Some(left) => {
            *rest = left;
            true
        }
        None => false,
    }
}

fn string<'t>(rest: &mut &'t str) -> Option<&'t str> {
    *rest = rest.trim_start();
    let mut escaped = false;
    let end = rest.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some(step(rest, end + 2))
}

impl Node<'_> {
    pub fn write(&self, layout: Layout, escapes: Escapes, order: Order<'_>) -> String {
        let mut writer = Writer {
            out: String::new(),
            layout,
            escapes,
            order,
        };
        writer.node(self, 0, &mut String::new());
        writer.out
    }

    /// Where each object has its keys.
    pub fn positions(&self, into: &mut Positions) {
        self.collect(&mut String::new(), into);
    }

    fn collect(&self, at: &mut String, into: &mut Positions) {
        match self {
            Self::Object(members) => {
                for (index, (name, value)) in members.iter().enumerate() {
                    let here = into.entry(at.clone()).or_default();
                    here.entry((*name).to_owned()).or_insert(index);
                    inside(at, name, |at| value.collect(at, into));
                }
            }
            Self::Array(items) => items
                .iter()
                .for_each(|item| inside(at, "*", |at| item.collect(at, into))),
            Self::Scalar(_) => {}
        }
    }
}

fn inside(at: &mut String, name: &str, then: impl FnOnce(&mut String)) {
    let length = at.len();
    at.push('/');
    at.push_str(name);
    then(at);
    at.truncate(length);
}

struct Writer<'o> {
    out: String,
    layout: Layout,
    escapes: Escapes,
    order: Order<'o>,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node<'_>, depth: usize, at: &mut String) {
        match node {
            Node::Object(members) => {
                let mut ordered: Vec<_> = members.iter().collect();
                match self.order {
                    Order::Kept => {}
                    Order::Sorted => ordered.sort_by_key(|(name, _)| *name),
                    Order::As(positions) => {
                        let here = positions.get(at.as_str());
                        let position = |name: &str| here.and_then(|here| here.get(name)).copied();
                        ordered.sort_by_key(|(name, _)| position(name).unwrap_or(usize::MAX));
                    }
                }
                self.out.push('{');
                for (index, (name, value)) in ordered.iter().enumerate() {
                    self.between(index, depth);
                    self.scalar(name);
                    self.out
                        .push_str(if self.layout == Layout::Compact { ":" } else { ": " });
                    inside(at, name, |at| self.node(value, depth + 1, at));
                }
                self.close('}', ordered.is_empty(), depth);
            }
            Node::Array(items) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.between(index, depth);
                    inside(at, "*", |at| self.node(item, depth + 1, at));
                }
                self.close(']', items.is_empty(), depth);
            }
            Node::Scalar(text) => self.scalar(text),
        }
    }

    fn between(&mut self, index: usize, depth: usize) {
        match self.layout {
            Layout::Indented(unit) => {
                self.out.push_str(if index > 0 { ",\n" } else { "\n" });
                self.out.extend(std::iter::repeat_n(unit, depth + 1));
            }
            Layout::Spaced if index > 0 => self.out.push_str(", "),
            Layout::Compact if index > 0 => self.out.push(','),
            _ => {}
        }
    }

    fn close(&mut self, bracket: char, is_empty: bool, depth: usize) {
        if let (Layout::Indented(unit), false) = (self.layout, is_empty) {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(unit, depth));
        }
        self.out.push(bracket);
    }

    fn scalar(&mut self, text: &str) {
        // Without anything that any style escapes there is nothing to write in another way.
        let plain = |byte: u8| byte.is_ascii() && !b"\\/<>&'+".contains(&byte) && byte >= b' ';
        if self.escapes == Escapes::Kept || !text.starts_with('"') || text.bytes().all(plain) {
            self.out.push_str(text);
            return;
        }
        match serde_json::from_str::<String>(text) {
            Ok(value) => self.string(&value),
            // A lone surrogate: it is kept.
            Err(_) => self.out.push_str(text),
        }
    }

    fn string(&mut self, value: &str) {
        use Escapes as E;
        let (slashes, ascii, html, capital) = match self.escapes {
            E::Kept | E::Least => (false, false, false, false),
            E::Slashes => (true, false, false, false),
            E::Ascii => (false, true, false, false),
            E::AsciiCapital => (false, true, false, true),
            E::AsciiSlashes => (true, true, false, false),
            E::Html => (false, false, true, false),
            E::AsciiHtmlCapital => (false, true, true, true),
        };
        self.out.push('"');
        for c in value.chars() {
            let coded = match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => html || (ascii && !c.is_ascii()),
                '\'' | '+' => html && capital,
                c => ascii && !c.is_ascii(),
            };
            match c {
                '"' if html && capital => self.out.push_str("\\u0022"),
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '/' if slashes => self.out.push_str("\\/"),
                c if coded || c < ' ' => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a text does not fail.
                        let _ = match capital {
                            true => write!(self.out, "\\u{unit:04X}"),
                            false => write!(self.out, "\\u{unit:04x}"),
                        };
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_is_written_as_its_serialiser_writes_it() {
        let text = "{ \"b\" : [1.50, {}, []], \"a\": \"é/<\\u00e9\\\"\" }";
        let document = parse(text.as_bytes()).unwrap();
        let write = |layout, escapes, order| document.write(layout, escapes, order);
        assert_eq!(
            write(Layout::Compact, Escapes::Kept, Order::Kept),
            "{\"b\":[1.50,{},[]],\"a\":\"é/<\\u00e9\\\"\"}"
        );
        assert_eq!(
            write(Layout::Spaced, Escapes::Ascii, Order::Sorted),
            "{\"a\": \"\\u00e9/<\\u00e9\\\"\", \"b\": [1.50, {}, []]}"
        );
        assert_eq!(
            write(Layout::Indented("  "), Escapes::AsciiSlashes, Order::Kept),
            "{\n  \"b\": [\n    1.50,\n    {},\n    []\n  ],\n  \"a\": \"\\u00e9\\/<\\u00e9\\\"\"\n}"
        );
        assert_eq!(
            write(Layout::Compact, Escapes::AsciiHtmlCapital, Order::Sorted),
            "{\"a\":\"\\u00E9/\\u003C\\u00E9\\u0022\",\"b\":[1.50,{},[]]}"
        );
    }

    #[test]
    fn a_document_that_is_too_deep_is_none() {
        let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        for depth in [128, 500_000] {
            assert!(parse(arrays(depth).as_bytes()).is_none());
            assert!(parse(objects(depth).as_bytes()).is_none());
        }
        assert!(parse(arrays(127).as_bytes()).is_some());
    }

    #[test]
    fn keys_go_back_where_the_platform_has_them() {
        let mut positions = Positions::new();
        let sample = br#"{"z":{"y":1,"x":2},"a":[{"d":1,"c":2}]}"#;
        parse(sample).unwrap().positions(&mut positions);
        let sorted = parse(br#"{"a":[{"c":3,"d":4,"n":5}],"z":{"x":6,"y":7}}"#).unwrap();
        assert_eq!(
            sorted.write(Layout::Compact, Escapes::Kept, Order::As(&positions)),
            r#"{"z":{"y":7,"x":6},"a":[{"d":4,"c":3,"n":5}]}"#
        );
    }
}
