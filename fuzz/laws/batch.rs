//! A batch's parts are its elements: exact slices of the body, in bounds and in order, each saying what its element says.
//!
//! The first line is the pointer to the elements (`/events/*`), the rest the body.

use hooksluice::provider::Settings;
use hooksluice::provider::definition::Batch;
use hooksluice::read::batch::MAX_ELEMENTS;
use hooksluice::read::walk::to_value;
use hooksluice::read::{Document, Node, ReadOptions, Reader};
use serde_json::Value;

use super::document;
use super::support::{self, CATALOGUE};

pub fn check(bytes: &[u8]) {
    let Some((pointer, body)) = support::head(bytes) else {
        return;
    };
    let mut definition = support::open("");
    definition.batch = Some(Batch {
        items: pointer.to_owned(),
        content_type: None,
    });
    let Ok(reader) = Reader::compile(&definition, &Settings::default(), ReadOptions::default()) else {
        return;
    };
    let raw = support::delivery(Default::default(), body.to_vec());
    let parts = reader.read(support::let_in(&raw), &support::over_body());
    let whole = match Node::parse(&raw.body) {
        Ok(node) => to_value(&node),
        Err(refused) => {
            assert!(!parts.is_batch());
            assert_eq!(
                parts.parts()[0].document,
                Document::Unreadable(refused),
                "what cannot be read is one part"
            );
            return;
        }
    };
    let mut expected = Vec::new();
    let steps: Vec<&str> = pointer.split('/').skip(1).collect();
    let is_batch = elements(&steps, &whole, &mut expected) && expected.len() <= MAX_ELEMENTS;
    if !is_batch {
        let [part] = parts.parts() else {
            panic!("no batch, and {} parts", parts.parts().len())
        };
        let Document::Unreadable(reason) = &part.document else {
            panic!("no batch, and read as {:?}", part.document)
        };
        assert!(
            ["not-a-batch", "too-many-elements"].contains(&reason.reason),
            "{reason}"
        );
        assert_eq!(part.data, raw.body, "what is no batch is kept whole");
        return;
    }
    assert!(parts.is_batch());
    assert_eq!(parts.parts().len(), expected.len());
    let begin = raw.body.as_ptr() as usize;
    let mut last = 0;
    for (part, element) in parts.parts().iter().zip(expected) {
        let Document::Json(node) = &part.document else {
            panic!("an element read as {:?}", part.document)
        };
        assert_eq!(&to_value(node), element);
        let start = part.data.as_ptr() as usize - begin;
        let end = start + part.data.len();
        assert!(last <= start && end <= raw.body.len(), "{start}..{end} after {last}");
        assert_eq!(&raw.body[start..end], &part.data[..]);
        let alone = Node::parse(&part.data).unwrap_or_else(|error| panic!("{start}..{end}: {error}"));
        assert_eq!(&alone, node, "{start}..{end} says something else than its element");
        let theirs: Value = serde_json::from_slice(&part.data).expect("JSON");
        assert!(document::same(element, &theirs));
        assert_eq!(part.data.trim_ascii(), &part.data[..], "no white space around it");
        // Nothing of a value is cut off at either end.
        let before = raw.body[..start].trim_ascii_end().last();
        let after = raw.body[end..].trim_ascii_start().first();
        assert!(matches!(before, None | Some(b'[' | b',' | b':')), "{before:?}");
        assert!(matches!(after, None | Some(b']' | b',' | b'}')), "{after:?}");
        last = end;
    }
}

/// The elements that a pointer names; false where the body is of another shape.
fn elements<'v>(steps: &[&str], value: &'v Value, found: &mut Vec<&'v Value>) -> bool {
    match steps {
        [] => {
            found.push(value);
            true
        }
        ["*", rest @ ..] => match value {
            Value::Array(items) => items.iter().all(|item| elements(rest, item, found)),
            _ => false,
        },
        [step, rest @ ..] => match value.pointer(&format!("/{step}")) {
            Some(value) => elements(rest, value, found),
            None => false,
        },
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (provider, sample) in support::samples() {
        let definition = CATALOGUE.definition(&provider).expect("a definition");
        if let Some(batch) = definition.batch {
            seeds.push(support::seed(&batch.items, &sample.body));
        }
    }
    seeds
}
