//! Batches, over every provider that sends them: each element an event of its own, and a retry after a partial failure
//! publishes only what is not durable yet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hooksluice::clock::Timestamp;
use hooksluice::contract::{Contracts, Policy, SchemaFile};
use hooksluice::delivery::RawDelivery;
use hooksluice::destination::spool::{Outlet, Tuning};
use hooksluice::duplicates::Duplicates;
use hooksluice::event::Origin;
use hooksluice::handshake::Handshakes;
use hooksluice::lint::recorded::{Source as Recorded, delivery};
use hooksluice::pipeline::{Refusal, Source, Target, Way, process};
use hooksluice::provider::Catalogue;
use hooksluice::provider::definition::{Alternative, Definition};
use hooksluice::provider::sample::{Sample, Signed};
use hooksluice::read::{ReadOptions, Reader};
use hooksluice::telemetry::{Account, Metrics, Outcome};
use hooksluice::verify::{Unsigned, sign};
use serde_json::Value;
use tokio::time::Instant;

use crate::spool::fake::{Answer, Fake};

/// Every signed sample of a provider with a batch.
fn samples() -> Vec<(String, Sample, Signed)> {
    let catalogue = Catalogue::built_in();
    let mut all = Vec::new();
    for provider in catalogue.names() {
        if catalogue.definition(&provider).expect("a definition").batch.is_none() {
            continue;
        }
        for name in catalogue.sample_names(&provider) {
            let sample = catalogue.sample(&provider, &name).expect("a sample");
            if let Some(signed) = sample.signed.clone() {
                all.push((provider.clone(), sample, signed));
            }
        }
    }
    all
}

fn source(name: &str, recorded: Recorded, outlet: Outlet) -> Source {
    let definition = &recorded.provider.definition;
    let schemas = Catalogue::built_in().schemas(name).expect("schemas");
    let files = schemas.into_iter().map(|schema| SchemaFile {
        event: schema.event,
        version: schema.version,
        text: schema.text,
        place: schema.place,
    });
    let settings = &recorded.provider.settings;
    let way = Way {
        outlet,
        duration: prometheus::Histogram::with_opts(prometheus::HistogramOpts::new("x", "x")).expect("a histogram"),
    };
    Source {
        origin: Origin::new("batches", name, definition).expect("an origin"),
        handshakes: Handshakes::compile(definition, &recorded.secrets, settings).expect("handshakes"),
        reader: Reader::compile(definition, settings, ReadOptions::default()).expect("a reader"),
        contracts: Contracts::compile(name, definition, files.collect(), &Policy::default()).expect("contracts"),
        routes: Vec::new(),
        destination: Target {
            main: way.clone(),
            quarantine: way,
        },
        duplicates: Arc::new(Duplicates::in_memory(&Default::default())),
        retry_bytes_differ: definition.event.retry_bytes_differ,
        keyring: Arc::default(),
        ack_budget: Duration::from_secs(5),
        capture: None,
        rate: None,
        metrics: Arc::new(Metrics::new().source("batches", &[], [])),
        verifier: recorded.verifier,
    }
}

async fn carry(source: &Source, raw: &RawDelivery) -> Result<(Outcome, Vec<String>), Refusal> {
    let mut account = Account::open(source.metrics.clone());
    let result = process(source, raw, &mut account, Instant::now() + Duration::from_secs(5)).await;
    match result {
        Ok(accepted) => {
            account.settle(accepted.outcome());
            let ids = match &accepted {
                hooksluice::pipeline::Accepted::Durable(done) => done.event_ids().map(str::to_owned).collect(),
                hooksluice::pipeline::Accepted::Handshake(_) => Vec::new(),
            };
            Ok((accepted.outcome(), ids))
        }
        Err(refusal) => {
            account.settle(refusal.outcome());
            Err(refusal)
        }
    }
}

/// The array whose elements are the events, in a body that is JSON.
fn elements<'v>(body: &'v mut Value, items: &str) -> Option<&'v mut Vec<Value>> {
    let mut at = body;
    let mut segments: Vec<&str> = items.split('/').skip(1).collect();
    // Of nested arrays, the innermost of the first element.
    while segments.pop() != Some("*") {}
    for segment in segments {
        at = match segment {
            "*" => at.as_array_mut()?.first_mut()?,
            name => at.get_mut(name)?,
        };
    }
    at.as_array_mut()
}

/// A second event: the first with another id, wherever the rules look for it.
fn another(definition: &Definition, element: &Value) -> Value {
    let mut other = element.clone();
    for alternative in &definition.event.id {
        let finds = match alternative {
            Alternative::One(find) => std::slice::from_ref(&**find),
            Alternative::Joined(finds) => finds.as_slice(),
        };
        for find in finds {
            match find.item.as_deref().and_then(|pointer| other.pointer_mut(pointer)) {
                Some(Value::String(text)) => {
                    if let Some(at) = text.rfind(|c: char| c.is_ascii_digit()) {
                        let digit = if text.as_bytes()[at] == b'7' { "8" } else { "7" };
                        text.replace_range(at..=at, digit);
                        return other;
                    }
                }
                Some(Value::Number(number)) => {
                    let next = number.as_i64().expect("whole") + 1;
                    *number = next.into();
                    return other;
                }
                _ => {}
            }
        }
    }
    other
}

/// The sample, with two elements at least where it can be signed again.
fn grown(recorded: &Recorded, sample: &Sample, raw: RawDelivery, at: Timestamp) -> RawDelivery {
    let definition = &recorded.provider.definition;
    let items = definition.batch.as_ref().map_or("", |batch| batch.items.as_str());
    let Ok(mut body) = serde_json::from_slice::<Value>(&sample.body) else {
        return raw;
    };
    match elements(&mut body, items) {
        Some(all) if all.len() == 1 => {
            let second = another(definition, &all[0]);
            all.push(second);
        }
        _ => return raw,
    }
    let unsigned = Unsigned {
        method: raw.method.clone(),
        url: raw.url.clone(),
        headers: raw.headers.clone(),
        body: serde_json::to_vec(&body).expect("JSON").into(),
        at,
    };
    match sign(
        definition,
        &recorded.secrets,
        &recorded.provider.settings,
        None,
        unsigned,
    ) {
        Ok(signed) => RawDelivery {
            headers: signed.headers,
            body: signed.body,
            ..raw
        },
        // The platform's own key.
        Err(_) => raw,
    }
}

#[tokio::test]
async fn of_a_batch_every_element_is_an_event_and_a_retry_publishes_only_what_is_missing() {
    let catalogue = Catalogue::built_in();
    let mut several = BTreeSet::new();
    let mut all = BTreeSet::new();
    for (provider, sample, signed) in samples() {
        let recorded = Recorded::compile(&catalogue, &provider, &signed).expect("compiles");
        let raw = delivery(&sample, &signed).expect("a delivery");
        let raw = grown(&recorded, &sample, raw, signed.at);
        let fake = Fake::new().await;
        let attempts = AtomicUsize::new(0);
        // The second publish is lost: what it may be.
        fake.decides(move |_| match attempts.fetch_add(1, Ordering::SeqCst) {
            1 => Answer::LostUnknown,
            _ => Answer::Confirm,
        });
        let outlet = Outlet::broker(fake.clone(), None, Tuning::default());
        let rules = recorded.provider.definition.event.clone();
        let source = source(&provider, recorded, outlet);
        let place = &sample.place;

        let first = carry(&source, &raw).await;
        let attempted = fake.attempts();
        let ids: BTreeSet<_> = attempted.iter().cloned().collect();
        assert_eq!(
            ids.len(),
            attempted.len(),
            "{place}: each element has an id of its own: {attempted:?}"
        );
        all.insert(provider.clone());
        if attempted.len() < 2 {
            continue;
        }
        assert!(
            matches!(first, Err(Refusal::Publish(_))),
            "{place}: one is missing: {first:?}"
        );
        assert_eq!(fake.stored().len(), attempted.len() - 1, "{place}");
        // Nothing tells the elements of one delivery from those of the next (SharePoint): none may be suppressed.
        if rules.id.is_empty() && !rules.unique_bodies {
            continue;
        }

        let (_, acknowledged) = carry(&source, &raw)
            .await
            .unwrap_or_else(|refusal| panic!("{place}: {refusal}"));
        let retried = &fake.attempts()[attempted.len()..];
        assert_eq!(
            retried,
            [attempted[1].clone()],
            "{place}: only the missing one is published again"
        );
        assert_eq!(acknowledged, attempted, "{place}: all are acknowledged, in order");
        let stored: BTreeSet<_> = fake.stored().into_iter().collect();
        assert_eq!(stored, ids, "{place}: and all are durable");

        let (outcome, _) = carry(&source, &raw).await.expect("taken");
        assert_eq!(
            (outcome, fake.attempts().len()),
            (Outcome::Duplicate, attempted.len() + 1),
            "{place}"
        );
        several.insert(provider);
    }
    let missing: Vec<_> = all.difference(&several).collect();
    assert!(
        several.len() >= 25,
        "{} of {}: without {missing:?}",
        several.len(),
        all.len()
    );
}

/// Platforms that send several events in one delivery, but whose definition does not split them, say why.
#[test]
fn what_is_not_split_says_why() {
    let catalogue = Catalogue::built_in();
    for provider in [
        "adyen",
        "fillout",
        "grafana-alerting",
        "keap",
        "prometheus-alertmanager",
        "terra",
    ] {
        let definition = catalogue.definition(provider).expect("a definition");
        assert!(
            definition.batch.is_none(),
            "{provider} is split now: take it off this list"
        );
        assert!(
            definition.notes.contains("Not split"),
            "{provider}: {}",
            definition.notes
        );
    }
}
