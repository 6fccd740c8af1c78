//! Another algorithm, another of the provider's ways to sign, or another platform altogether.

use std::collections::BTreeSet;

use super::trial::{self, Bench};
use super::{Case, Cause, Mistake};
use crate::delivery::RawDelivery;
use crate::provider::definition::{Alternative, Encoding, Find, HashName, Part, Scheme};
use crate::provider::listing::signature_name;
use crate::provider::{Definition, Settings};
use crate::verify::VerifyError;
use crate::verify::covers::{Covers, algorithm_names};

/// Of platforms that fit, so many are named.
const MOST_NAMED: usize = 4;

const COMMON: [&str; 5] = ["content-type", "user-agent", "content-length", "host", "accept"];

const HASHES: [HashName; 5] = [
    HashName::Sha256,
    HashName::Sha1,
    HashName::Sha512,
    HashName::Sha384,
    HashName::Md5,
];

/// The provider's other ways to sign, each alone.
pub(super) async fn alternatives(case: &Case<'_>, raw: &RawDelivery) -> Option<(Cause, Bench)> {
    if case.definition.signature.len() < 2 {
        return None;
    }
    for rule in &case.definition.signature {
        let alone = Definition {
            signature: vec![rule.clone()],
            ..case.definition.clone()
        };
        if rule.scheme == Scheme::None {
            continue;
        }
        let Ok(bench) = Bench::compile(&alone, &case.secrets, &case.settings, &case.keyring, None) else {
            continue;
        };
        if bench.holds(raw, case.at).await {
            let name = rule.name.clone().unwrap_or_else(|| signature_name(rule));
            let (says, remedy) = match &case.signature {
                Some(pinned) => (
                    format!("the source accepts only the signature `{pinned}`, and this delivery is signed as `{name}`"),
                    format!("have the platform sign as `{pinned}`, or set `signature: {name}` (or take it out: then the strongest counts)"),
                ),
                None => (
                    format!("the stronger signature that it also carries does not hold; `{name}` alone does"),
                    "what is there must hold, the strongest first: look for what changed the other signature on the way".to_owned(),
                ),
            };
            return Some((Cause::proved(Mistake::AnotherAlternative, says, remedy), bench));
        }
    }
    None
}

/// What must be signed, and is not among what the signature lists.
pub(super) async fn uncovered(case: &Case<'_>) -> Option<Cause> {
    for Covers { index, lacking, .. } in case.covers() {
        if lacking.is_empty() {
            continue;
        }
        let mut other = case.definition.clone();
        let is_lacking = |name: &String| lacking.iter().any(|lacking| lacking.eq_ignore_ascii_case(name));
        let rule = &mut other.signature[index];
        rule.components.retain(|name| !is_lacking(name));
        for part in &mut rule.content {
            if let Part::Listed(listed) = part {
                listed.require.retain(|name| !is_lacking(name));
            }
        }
        let pinned = case.signature.as_deref();
        // Without a digest nothing is verified at all, so that one is never more than likely.
        let bench = Bench::compile(&other, &case.secrets, &case.settings, &case.keyring, pinned);
        let proved = match bench {
            Ok(bench) => bench.holds(&case.raw, case.at).await,
            Err(_) => false,
        };
        let names: Vec<_> = lacking.iter().map(|name| format!("`{name}`")).collect();
        let says = format!(
            "the signature does not cover {}, which this source asks for{}",
            names.join(", "),
            if proved { "; else it holds" } else { "" }
        );
        let remedy = "have the sender sign that too; only where it is of no matter to you, take it out of what the source asks for";
        return Some(Cause {
            proved,
            ..Cause::likely(Mistake::NotCovered, says, remedy)
        });
    }
    None
}

/// Another of the algorithms that the scheme's signatures may name, by a key of the same kind.
async fn named_algorithm(case: &Case<'_>, raw: &RawDelivery, index: usize) -> Option<(Cause, Bench)> {
    let rule = &case.definition.signature[index];
    let is_public = rule.algorithms.iter().any(|name| trial::is_public(name));
    for name in algorithm_names(rule.scheme) {
        // A public key is never taken for a shared secret, not even for a trial.
        if trial::is_public(name) != is_public || rule.algorithms.iter().any(|known| known == name) {
            continue;
        }
        let mut other = case.definition.clone();
        other.signature[index].algorithms = vec![name.to_owned()];
        let pinned = case.signature.as_deref();
        let Ok(bench) = Bench::compile(&other, &case.secrets, &case.settings, &case.keyring, pinned) else {
            continue;
        };
        if bench.holds(raw, case.at).await {
            let says = format!(
                "it is signed with {name}, where {} is expected",
                rule.algorithms.join(" or ")
            );
            let remedy =
                "choose the algorithm at the platform, or in the source's `settings:` where the provider has one";
            return Some((Cause::proved(Mistake::Algorithm, says, remedy), bench));
        }
    }
    None
}

/// Another hash, another encoding of the signature.
pub(super) async fn algorithms(case: &Case<'_>, raw: &RawDelivery) -> Option<(Cause, Bench)> {
    let definition = &case.definition;
    for (index, rule) in definition.signature.iter().enumerate() {
        if rule.scheme.names_algorithm() {
            match named_algorithm(case, raw, index).await {
                None => continue,
                found => return found,
            }
        }
        let keyed = matches!(rule.scheme, Scheme::Hmac | Scheme::Hash);
        if !keyed {
            continue;
        }
        let was = rule.encoding.unwrap_or_default();
        for hash in HASHES {
            for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64url] {
                if (Some(hash), encoding) == (rule.algorithm, was) {
                    continue;
                }
                let mut other = definition.clone();
                other.signature[index].algorithm = Some(hash);
                other.signature[index].encoding = Some(encoding);
                let pinned = case.signature.as_deref();
                let Ok(bench) = Bench::compile(&other, &case.secrets, &case.settings, &case.keyring, pinned) else {
                    continue;
                };
                if bench.holds(raw, case.at).await {
                    let name = |of: &Definition, encoding: Encoding| {
                        format!(
                            "{} in {}",
                            signature_name(&of.signature[index]),
                            format!("{encoding:?}").to_lowercase()
                        )
                    };
                    let says = format!(
                        "it is signed with {}, where {} is expected",
                        name(&other, encoding),
                        name(definition, was)
                    );
                    let remedy = "choose the algorithm at the platform, or in the source's `settings:` where the provider has one; a platform that signs both sends two headers, and one of them did not arrive";
                    return Some((Cause::proved(Mistake::Algorithm, says, remedy), bench));
                }
            }
        }
    }
    None
}

/// Is it a delivery of another platform? By a signature that holds, else by the headers.
pub(super) async fn providers(case: &Case<'_>, raw: &RawDelivery, error: &VerifyError) -> Option<Cause> {
    let absent = matches!(
        error,
        VerifyError::Missing(_) | VerifyError::Malformed(_) | VerifyError::Timestamp
    );
    let here: BTreeSet<String> = raw.headers.iter().map(|(name, _)| name.as_str().to_owned()).collect();
    let own = shape(&case.definition, &here, raw).map_or(0, |(headers, _)| headers);
    let (mut proved, mut alike) = (Vec::new(), Vec::new());
    for name in case.catalogue.names() {
        if !may_be(case, &name, &here) {
            continue;
        }
        let Ok(definition) = case.catalogue.definition(&name) else {
            continue;
        };
        if name == case.provider || definition.category == "generic" {
            continue;
        }
        let Some((headers, all)) = shape(&definition, &here, raw) else {
            continue;
        };
        if holds(case, &definition, raw).await {
            proved.push((std::cmp::Reverse(headers), name));
        } else if absent && headers > own {
            alike.push((std::cmp::Reverse(headers), all - headers, name));
        }
    }
    proved.sort();
    alike.sort();
    let remedy = "give that platform a source of its own provider, and its URL; or register this source's URL at the right platform only";
    if !proved.is_empty() {
        let says = format!(
            "it is a delivery of another platform: with this source's secret its signature holds as {}",
            listed(proved.iter().map(|(_, name)| name))
        );
        return Some(Cause::proved(Mistake::AnotherProvider, says, remedy));
    }
    let (first, ..) = alike.first()?.clone();
    let best = alike
        .iter()
        .filter(|(headers, ..)| *headers == first)
        .map(|(_, _, name)| name);
    let says = format!(
        "its headers are those of another platform: it looks like a delivery of {}",
        listed(best)
    );
    Some(Cause::likely(Mistake::AnotherProvider, says, remedy))
}

fn listed<'n>(names: impl Iterator<Item = &'n String> + Clone) -> String {
    let count = names.clone().count();
    let named: Vec<_> = names.take(MOST_NAMED).map(|name| format!("`{name}`")).collect();
    let more = match count.saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" (or {more} more that sign alike)"),
    };
    format!("{}{more}", named.join(" or "))
}

/// Whether a definition names one of these headers at all: reading all of them takes a while.
fn may_be(case: &Case<'_>, name: &str, here: &BTreeSet<String>) -> bool {
    let Ok(text) = case.catalogue.definition_text(name) else {
        return false;
    };
    let text = text.to_ascii_lowercase();
    // What every delivery has tells no platform from another.
    let mut telling = here.iter().filter(|header| !COMMON.contains(&header.as_str()));
    text.contains("extends = ") || telling.any(|header| text.contains(&format!("\"{header}\"")))
}

/// How many headers of a provider's own are here, and how many it has; `None` without its signature.
fn shape(definition: &Definition, here: &BTreeSet<String>, raw: &RawDelivery) -> Option<(usize, usize)> {
    let shows = |find: &Find| {
        let value = find.header.as_deref().and_then(|name| {
            let found = raw
                .headers
                .iter()
                .find(|(known, _)| known.as_str().eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_bytes())
        });
        let prefix = find.prefix.as_deref().unwrap_or_default().as_bytes();
        value.is_some_and(|value| value.starts_with(prefix))
    };
    if !definition.signature.iter().any(|rule| shows(&rule.from)) {
        return None;
    }
    let events = [&definition.event.kind, &definition.event.id].into_iter().flatten();
    let events = events.flat_map(|alternative| match alternative {
        Alternative::One(find) => std::slice::from_ref(&**find),
        Alternative::Joined(finds) => finds.as_slice(),
    });
    let names: BTreeSet<String> = definition
        .signature
        .iter()
        .map(|rule| &rule.from)
        .chain(definition.timestamp.iter().map(|time| &time.from))
        .chain(events)
        .filter_map(|find| find.header.as_deref())
        .map(str::to_ascii_lowercase)
        .filter(|name| !["authorization", "content-type", "user-agent"].contains(&name.as_str()))
        .collect();
    let present = names.iter().filter(|name| here.contains(*name)).count();
    (present > 0).then_some((present, names.len()))
}

async fn holds(case: &Case<'_>, definition: &Definition, raw: &RawDelivery) -> bool {
    // A token that is only shown would hold for every platform that shows one.
    let Some(mut bare) = trial::for_keys(definition, None) else {
        return false;
    };
    bare.signature
        .retain(|rule| matches!(rule.scheme, Scheme::Hmac | Scheme::Hash));
    let mut keys = Vec::new();
    for named in &case.secrets {
        for rule in &definition.signature {
            let form = rule.secret.as_ref().unwrap_or(&definition.secret);
            if let Some(key) = crate::verify::secrets::decode(form, &named.secret) {
                keys.push(trial::key(named.name.clone(), key.expose()));
            }
        }
    }
    let bench = Bench::compile(&bare, &keys, &Settings::default(), &case.keyring, None);
    match bench {
        Ok(bench) => bench.holds(raw, case.at).await,
        Err(_) => false,
    }
}
