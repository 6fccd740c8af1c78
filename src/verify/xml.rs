//! An XML body as the JSON that it stands for, so that the same pointers find things in it.
//!
//! Without a document type there are no entities to expand; nodes and depth are bounded.

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Value};

/// Elements, texts and attributes of one body, at most.
const MOST_NODES: u32 = 100_000;
/// Elements inside one another, at most.
const DEEPEST: usize = 64;

/// An element is an object of its children by their local names, an array where a name repeats, a text where it has no
/// children; `@name` is an attribute, `#text` the text beside attributes.
pub(crate) fn document(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "invalid UTF-8".to_owned())?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    let mut object = Map::new();
    object.insert(root.tag_name().name().to_owned(), value(root, 0)?);
    Ok(Value::Object(object))
}

fn value(node: Node<'_, '_>, depth: usize) -> Result<Value, String> {
    if depth > DEEPEST {
        return Err(format!("elements are more than {DEEPEST} deep"));
    }
    let mut object = Map::new();
    for attribute in node.attributes() {
        object.insert(format!("@{}", attribute.name()), attribute.value().into());
    }
    let has_attributes = !object.is_empty();
    for child in node.children().filter(Node::is_element) {
        let (name, value) = (child.tag_name().name(), value(child, depth + 1)?);
        match object.get_mut(name) {
            None => _ = object.insert(name.to_owned(), value),
            Some(Value::Array(items)) => items.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    if object.keys().any(|name| !name.starts_with('@')) {
        return Ok(Value::Object(object));
    }
    let text: String = node.children().filter_map(|child| child.text()).collect();
    if !has_attributes {
        return Ok(text.into());
    }
    object.insert("#text".to_owned(), text.into());
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn elements_are_members_and_repeated_ones_are_arrays() {
        let text = r#"<?xml version="1.0"?><a:r xmlns:a="u"><b>1</b><a:c x:t="k" xmlns:x="v">y</a:c><d>1</d><d><![CDATA[<2>&]]></d><e/><!-- no --></a:r>"#;
        assert_eq!(
            document(text.as_bytes()).unwrap(),
            json!({"r": {"b": "1", "c": {"@t": "k", "#text": "y"}, "d": ["1", "<2>&"], "e": ""}})
        );
    }

    #[test]
    fn nothing_is_expanded_and_everything_is_bounded() {
        let bomb = r#"<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><r>&b;</r>"#;
        assert!(document(bomb.as_bytes()).is_err());
        let deep = format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000));
        assert!(document(deep.as_bytes()).is_err());
        let wide = format!("<r>{}</r>", "<a/>".repeat(100_001));
        assert!(document(wide.as_bytes()).is_err());
        for bad in ["", "{}", "<a>", "<a></b>", "<a/><b/>", "\u{0}"] {
            assert!(document(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
