//! Confused deputies: a delivery that one platform made, sent to a source of another that has the same secret.
//!
//! Whoever uses one secret twice, or mistakes one URL for another, must not have one platform's events taken for
//! another's. Where two platforms sign alike in every byte, nothing can tell their deliveries apart: those are listed in
//! `aliases.toml`, each group with its reason, and nothing else may be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hooksluice::lint::recorded::{self, Source};
use hooksluice::provider::definition::{Claim, Part, Scheme};
use hooksluice::provider::sample::{Sample, Signed};
use hooksluice::provider::{Catalogue, Provider};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Aliases {
    group: Vec<Group>,
    #[serde(default)]
    pair: Vec<Pair>,
}

/// Each of these takes the deliveries of each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    reason: String,
    providers: Vec<String>,
}

/// Deliveries of these are taken by `by`, and not the other way round.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    reason: String,
    made_for: Vec<String>,
    by: String,
}

type Accepted = BTreeSet<(String, String)>;

impl Aliases {
    fn read() -> Self {
        toml::from_str(include_str!("aliases.toml")).expect("aliases.toml")
    }

    fn listed(&self) -> Accepted {
        let mut listed = Accepted::new();
        for group in &self.group {
            assert!(!group.reason.trim().is_empty());
            for one in &group.providers {
                listed.extend(group.providers.iter().map(|other| (one.clone(), other.clone())));
            }
        }
        for pair in &self.pair {
            assert!(!pair.reason.trim().is_empty());
            listed.extend(pair.made_for.iter().map(|one| (one.clone(), pair.by.clone())));
        }
        listed
    }
}

/// One recorded delivery for each way in which a provider signs.
struct Genuine {
    provider: String,
    sample: Sample,
    signed: Signed,
}

/// A provider, with the settings and keys that its own sample brings.
struct Deputy {
    name: String,
    provider: Provider,
    signed: Signed,
}

fn recorded_of(catalogue: &Catalogue) -> (Vec<Genuine>, Vec<Deputy>) {
    let (mut genuine, mut deputies) = (Vec::new(), Vec::new());
    for name in catalogue.names() {
        let mut ways = BTreeSet::new();
        for sample in catalogue.sample_names(&name) {
            let sample = catalogue
                .sample(&name, &sample)
                .unwrap_or_else(|error| panic!("{error}"));
            let Some(signed) = sample.signed.clone() else { continue };
            let source =
                Source::compile(catalogue, &name, &signed).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
            let raw = recorded::delivery(&sample, &signed).expect("a request");
            let verified = source
                .verify(&raw, signed.at)
                .expect("keys")
                .unwrap_or_else(|error| panic!("{}: {error}", sample.place));
            if !ways.insert(verified.proof().alternative) {
                continue;
            }
            if ways.len() == 1 {
                deputies.push(Deputy {
                    name: name.clone(),
                    provider: source.provider.clone(),
                    signed: signed.clone(),
                });
            }
            genuine.push(Genuine {
                provider: name.clone(),
                sample,
                signed,
            });
        }
    }
    (genuine, deputies)
}

/// Who takes whose deliveries, given the same secret.
fn accepted(genuine: &[Genuine], deputies: &[Deputy]) -> Accepted {
    let accepted = Mutex::new(Accepted::new());
    let next = AtomicUsize::new(0);
    let ask = |deputy: &Deputy| {
        // Nothing proves anything to a source that asks for nothing, and says so in its name.
        if deputy
            .provider
            .definition
            .signature
            .iter()
            .any(|rule| rule.scheme == Scheme::None)
        {
            return;
        }
        let mut sources: BTreeMap<Option<&str>, Option<Source>> = BTreeMap::new();
        for one in genuine.iter().filter(|one| one.provider != deputy.name) {
            let source = sources.entry(one.signed.secret.as_deref()).or_insert_with(|| {
                let with_secret = Signed {
                    secret: one.signed.secret.clone(),
                    ..deputy.signed.clone()
                };
                // A provider with keys of its own takes no secret; one that cannot decode this one refuses to start.
                let without = || {
                    Source::of(
                        deputy.provider.clone(),
                        &Signed {
                            secret: None,
                            ..deputy.signed.clone()
                        },
                    )
                };
                Source::of(deputy.provider.clone(), &with_secret)
                    .or_else(|_| without())
                    .ok()
            });
            let Some(source) = source else { continue };
            let raw = recorded::delivery(&one.sample, &one.signed).expect("a request");
            if matches!(source.verify(&raw, one.signed.at), Some(Ok(_))) {
                accepted
                    .lock()
                    .expect("sound")
                    .insert((one.provider.clone(), deputy.name.clone()));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(deputy) = deputies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    ask(deputy);
                }
            });
        }
    });
    accepted.into_inner().expect("sound")
}

#[test]
fn a_delivery_made_for_one_platform_is_refused_by_every_other() {
    let catalogue = Catalogue::built_in();
    let (genuine, deputies) = recorded_of(&catalogue);
    assert_eq!(deputies.len(), catalogue.names().len(), "each has a recorded delivery");
    let aliases = Aliases::read();
    let (listed, accepted) = (aliases.listed(), accepted(&genuine, &deputies));
    let wrong: Vec<_> = accepted
        .difference(&listed)
        .map(|(one, by)| format!("{one} is taken by {by}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} pairs; mend a definition, or list true aliases in tests/gateway/aliases.toml:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // What is listed must be so, or the list would hide a mistake to come.
    for group in &aliases.group {
        for one in &group.providers {
            let is_alias = group
                .providers
                .iter()
                .any(|other| accepted.contains(&(one.clone(), other.clone())));
            assert!(
                is_alias,
                "{one} is listed as an alias ({}), and none of the others takes its deliveries",
                group.reason
            );
        }
    }
    for pair in &aliases.pair {
        for one in &pair.made_for {
            assert!(
                accepted.contains(&(one.clone(), pair.by.clone())),
                "{} does not take deliveries of {one}: take it off the list",
                pair.by
            );
        }
    }
}

/// Settings that make a genuine delivery ours.
fn binding(provider: &Provider) -> BTreeSet<String> {
    let definition = &provider.definition;
    let mut settings: BTreeSet<_> = definition.bind.iter().map(|bind| bind.setting.clone()).collect();
    for rule in &definition.signature {
        settings.extend(rule.claims.values().filter_map(|claim| match claim {
            Claim::Setting { setting } => Some(setting.clone()),
            _ => None,
        }));
        settings.extend(rule.content.iter().filter_map(|part| match part {
            Part::Found(find) => find.setting.clone(),
            _ => None,
        }));
    }
    settings
}

#[test]
fn a_genuine_delivery_for_somebody_else_is_refused_wherever_one_can_be() {
    let catalogue = Catalogue::built_in();
    let (genuine, _) = recorded_of(&catalogue);
    let mut asked = BTreeSet::new();
    for one in &genuine {
        let source = Source::compile(&catalogue, &one.provider, &one.signed).expect("as before");
        for setting in binding(&source.provider)
            .into_iter()
            .filter(|setting| one.signed.settings.contains_key(setting))
        {
            let mut theirs = one.signed.clone();
            let other = serde_json::from_value(serde_json::json!("somebody-else")).expect("a setting");
            theirs.settings.insert(setting.clone(), other);
            let source = Source::compile(&catalogue, &one.provider, &theirs);
            let source = source.unwrap_or_else(|problems| panic!("{} {setting}: {problems:?}", one.provider));
            let raw = recorded::delivery(&one.sample, &one.signed).expect("a request");
            assert!(
                matches!(source.verify(&raw, one.signed.at), Some(Err(_))),
                "{} {setting}",
                one.sample.place
            );
            asked.insert(one.provider.clone());
        }
    }
    assert!(
        asked.contains("aws-sns") && asked.contains("google-pubsub-push"),
        "{asked:?}"
    );
}
