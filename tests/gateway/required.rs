//! What the built-in contracts ask for: each required member of each is taken out of a recorded event, and missed.

use std::collections::{BTreeMap, BTreeSet};

use hooksluice::contract::{Contracts, Policy, SchemaFile, Verdict};
use hooksluice::provider::Catalogue;
use hooksluice::read::{Document, ReadOptions, Reader};
use serde_json::Value;

use crate::read::{definition, json, read};
use crate::samples::{Source, block_on, delivery, samples};

/// The platforms whose contracts are strict about what consumers rely on; of the others it is the envelope.
const FLAGSHIPS: [&str; 16] = [
    "github",
    "gitlab",
    "stripe",
    "standard-webhooks",
    "slack",
    "shopify",
    "twilio",
    "sendgrid",
    "discord",
    "aws-sns",
    "google-pubsub-push",
    "whatsapp-cloud",
    "zoom",
    "cloudevents-webhook",
    "hmac",
    "token",
];

/// A recorded event and the contract that it met.
struct Met {
    place: String,
    contract: String,
    schema: Value,
    event: Value,
}

/// Every recorded event that met a contract.
fn met() -> Vec<Met> {
    let mut all = Vec::new();
    for (provider, sample, signed) in samples() {
        let source = Source::of(&provider, &signed);
        let raw = delivery(&sample, &signed, sample.body.clone());
        let verified = block_on(source.verifier.verify(&raw, signed.at)).expect("accepted as recorded");
        let options = ReadOptions {
            json_payload: true,
            ..ReadOptions::default()
        };
        let reader = Reader::compile(&source.provider.definition, &source.provider.settings, options).expect("rules");
        let coverage = source.verifier.coverage(verified.proof()).clone();
        let checked = source
            .contracts()
            .check(reader.read(verified, &coverage))
            .expect("no mode");
        let schemas = Catalogue::built_in().schemas(&provider).expect("schemas");
        for checked in checked.parts() {
            let Verdict::Passed { schema } = checked.verdict() else {
                continue;
            };
            let part = checked.part();
            let event = match (&part.document, &part.mapped) {
                (Document::Form(_), Some(mapped)) => mapped,
                _ => &part.data,
            };
            let file = schemas
                .iter()
                .find(|file| file.event == schema.event && file.version == schema.version);
            all.push(Met {
                place: sample.place.clone(),
                contract: schema.urn.to_string(),
                schema: serde_json::from_str(&file.expect("it judged").text).expect("JSON"),
                event: serde_json::from_slice(event).expect("JSON"),
            });
        }
    }
    all
}

/// Pointers of the members that the schema requires of this value, and that are there; where alternatives or conditions
/// decide, nothing is said.
fn required(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut BTreeSet<String>) {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str)
        && let Some(target) = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
    {
        required(root, target, value, at, found);
    }
    for all in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        required(root, all, value, at, found);
    }
    let pointer = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    if let Some(object) = value.as_object() {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            found.extend(name.as_str().filter(|name| object.contains_key(*name)).map(pointer));
        }
        for (name, below) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if let Some(member) = object.get(name) {
                required(root, below, member, &pointer(name), found);
            }
        }
    }
    if let (Some(items), Some(array)) = (schema.get("items"), value.as_array()) {
        for (index, item) in array.iter().enumerate() {
            required(root, items, item, &format!("{at}/{index}"), found);
        }
    }
}

fn without(event: &Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer of a member");
    let mut event = event.clone();
    let name = name.replace("~1", "/").replace("~0", "~");
    let taken = event
        .pointer_mut(parent)
        .and_then(|parent| parent.as_object_mut()?.remove(&name));
    assert!(taken.is_some(), "{pointer} was there");
    event
}

#[test]
fn every_required_member_of_every_contract_is_missed() {
    let lines = "[event]\ntype = [{ literal = 'any' }]";
    let (mut contracts, mut taken) = (BTreeMap::<String, usize>::new(), 0);
    for Met {
        place,
        contract,
        schema,
        event,
    } in met()
    {
        let file = SchemaFile {
            event: "default".into(),
            version: "1".into(),
            text: schema.to_string().into(),
            place: contract.clone(),
        };
        // The contract alone, whatever type and version the rest of the event would name.
        let alone = Contracts::compile("test", &definition(lines), vec![file], &Policy::default()).expect("compiles");
        let verdict = |event: &Value| {
            let raw = json(event.to_string());
            let checked = alone.check(read(&definition(lines), &raw)).expect("no mode");
            checked.parts()[0].verdict().clone()
        };
        assert!(
            matches!(verdict(&event), Verdict::Passed { .. }),
            "{place}: {:?}",
            verdict(&event)
        );
        let mut pointers = BTreeSet::new();
        required(&schema, &schema, &event, "", &mut pointers);
        for pointer in &pointers {
            let (parent, name) = pointer.rsplit_once('/').expect("a pointer of a member");
            let Verdict::Broken { violations, .. } = verdict(&without(&event, pointer)) else {
                panic!("{place}: {contract} does not miss {pointer}");
            };
            let said = violations
                .iter()
                .any(|violation| violation.keyword == "required" && violation.pointer == parent);
            assert!(said, "{place}: {name} of {parent} is not named: {violations:?}");
        }
        taken += pointers.len();
        *contracts.entry(contract).or_default() += pointers.len();
    }
    let flagship = |contract: &&String| {
        let provider = contract.split(':').nth(3);
        provider.is_some_and(|provider| FLAGSHIPS.contains(&provider))
    };
    let of = |provider: &str| {
        contracts
            .keys()
            .filter(|name| name.contains(&format!(":{provider}:")))
            .count()
    };
    assert!(contracts.keys().filter(flagship).count() >= 40, "{contracts:?}");
    assert!(of("github") >= 15);
    // A CloudEvent's data is whatever its sender says; of the other platforms some envelopes promise nothing either.
    let anything = "urn:hooksluice:contract:cloudevents-webhook:binary:1";
    let mut lax = contracts
        .iter()
        .filter(|(name, taken)| flagship(name) && **taken == 0 && *name != anything);
    assert_eq!(lax.next(), None, "contracts that require nothing of their samples");
    assert!(taken > 1000, "{taken}");
}
