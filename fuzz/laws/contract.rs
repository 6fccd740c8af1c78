//! A contract's verdict over the borrowed document is the validator's own over `serde_json::Value`, and quotes nothing.
//!
//! The first line is `provider/event/version` of the catalogue, or a schema itself.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, OnceLock};

use hooksluice::contract::{Contracts, MAX_VIOLATIONS, Policy, SchemaFile, Verdict};
use hooksluice::provider::{Definition, Settings};
use hooksluice::read::walk::to_value;
use hooksluice::read::{Document, ReadOptions, Reader};
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::document;
use super::support::{self, CATALOGUE};

/// One schema, compiled by us and by the validator's own front.
struct Compiled {
    contracts: Contracts,
    validator: Validator,
    text: String,
}

/// A schema of the catalogue, compiled when it is first asked for.
struct Entry {
    name: String,
    text: String,
    compiled: OnceLock<Option<Arc<Compiled>>>,
}

static DEFINITION: LazyLock<Definition> = LazyLock::new(|| support::open(""));
static READER: LazyLock<Reader> =
    LazyLock::new(|| Reader::compile(&DEFINITION, &Settings::default(), ReadOptions::default()).expect("it compiles"));

static SCHEMAS: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut entries = Vec::new();
    for provider in CATALOGUE.names() {
        for schema in CATALOGUE.schemas(&provider).expect("schemas") {
            entries.push(Entry {
                name: format!("{provider}/{}/{}", schema.event, schema.version),
                text: schema.text.into_owned(),
                compiled: OnceLock::new(),
            });
        }
    }
    entries
});

impl Compiled {
    /// `None`: no schema, and we say so.
    fn new(text: &str) -> Option<Self> {
        let file = SchemaFile {
            event: "default".into(),
            version: "1".into(),
            text: text.to_owned().into(),
            place: "law".into(),
        };
        let contracts = Contracts::compile("law", &DEFINITION, vec![file], &Policy::default()).ok()?;
        let value: Value = serde_json::from_str(text).expect("what was compiled is JSON");
        let validator = jsonschema::options()
            .with_draft(Draft::default().detect(&value))
            .offline()
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(false)
            .build(&value)
            .unwrap_or_else(|error| panic!("ours compiled, and the validator says: {error}"));
        Some(Self {
            contracts,
            validator,
            text: text.to_owned(),
        })
    }
}

fn compiled(name: &str) -> Option<Arc<Compiled>> {
    if name.starts_with(['{', 't', 'f']) && serde_json::from_str::<Value>(name).is_ok() {
        return Compiled::new(name).map(Arc::new);
    }
    let entry = support::pick(&SCHEMAS, name, |entry| &entry.name);
    entry
        .compiled
        .get_or_init(|| Compiled::new(&entry.text).map(Arc::new))
        .clone()
}

pub fn check(bytes: &[u8]) {
    let Some((name, body)) = support::head(bytes) else {
        return;
    };
    let Some(schema) = compiled(name) else { return };
    let raw = support::delivery(Default::default(), body.to_vec());
    let parts = READER.read(support::let_in(&raw), &support::over_body());
    let checked = schema.contracts.check(parts).expect("nothing is enforced");
    assert_eq!(checked.parts().len(), 1);
    let part = &checked.parts()[0];
    let node = match &part.part().document {
        Document::Json(node) => node,
        Document::Unreadable(unreadable) => {
            let Verdict::Broken { reason, violations, .. } = part.verdict() else {
                panic!("unreadable ({unreadable}), and {:?}", part.verdict());
            };
            assert_eq!((*reason, violations.len()), (unreadable.reason, 1));
            return;
        }
        other => panic!("read as {other:?}"),
    };
    // Where the two parsers round a number differently, it is not for the contract to tell which is right.
    let theirs = serde_json::from_slice::<Value>(body).expect("what we read is JSON");
    let ours = to_value(node);
    assert!(document::same(&ours, &theirs));
    let expected = schema.validator.is_valid(&ours);
    match part.verdict() {
        Verdict::Passed { schema } => {
            assert!(expected, "passed {}, and the validator says no", schema.urn);
        }
        Verdict::Broken { reason, violations, .. } => {
            assert!(!expected, "{reason}, and the validator says yes: {violations:?}");
            assert_eq!(*reason, "contract");
            assert!((1..=MAX_VIOLATIONS).contains(&violations.len()), "{}", violations.len());
            for violation in violations {
                quotes_nothing(&violation.message, &ours, &schema.text);
            }
        }
        other => panic!("{other:?}"),
    }
}

/// Shorter texts stand in messages by chance.
const TELLING: usize = 6;

/// A message may name members and what the schema says, and never what a member holds.
fn quotes_nothing(message: &str, value: &Value, schema: &str) {
    fn collect<'v>(value: &'v Value, names: &mut BTreeSet<&'v str>, texts: &mut BTreeSet<&'v str>) {
        match value {
            Value::String(text) => _ = texts.insert(text),
            Value::Array(items) => items.iter().for_each(|item| collect(item, names, texts)),
            Value::Object(members) => {
                for (name, value) in members {
                    names.insert(name);
                    collect(value, names, texts);
                }
            }
            _ => {}
        }
    }
    let (mut names, mut texts) = (BTreeSet::new(), BTreeSet::new());
    collect(value, &mut names, &mut texts);
    // What the validator says without having seen any value.
    let its_own = ["is not", "required property", "additional properties", "value"];
    for text in texts.into_iter().filter(|text| text.len() >= TELLING) {
        let known = schema.contains(text)
            || names.iter().any(|name| name.contains(text))
            || its_own.iter().any(|own| own.contains(text) || text.contains(own));
        assert!(known || !message.contains(text), "{message:?} quotes {text:?}");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (provider, sample) in support::samples() {
        let of_provider = |entry: &&Entry| entry.name.split('/').next() == Some(&provider);
        let of_event = |entry: &&Entry| {
            let event = entry.name.split('/').nth(1).unwrap_or_default();
            sample.event == event || sample.event.starts_with(&format!("{event}."))
        };
        let mut schemas = SCHEMAS.iter().filter(of_provider);
        let schema = schemas.clone().find(of_event).or_else(|| schemas.next());
        seeds.extend(schema.map(|schema| support::seed(&schema.name, &sample.body)));
    }
    seeds
}
