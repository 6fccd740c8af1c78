//! Two providers that differ only in what they are called are one: they share a base with `extends`.

use std::collections::BTreeMap;

use super::Finding;
use crate::provider::{Catalogue, Definition};

/// The twins among `names`, in the whole catalogue.
pub(super) fn find(catalogue: &Catalogue, names: &[String]) -> Vec<Finding> {
    let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in catalogue
        .names()
        .into_iter()
        .filter(|name| catalogue.base(name).is_none())
    {
        if let Ok(definition) = catalogue.definition(&name) {
            alike.entry(without_names(definition)).or_default().push(name);
        }
    }
    let mut findings = Vec::new();
    for twins in alike.into_values().filter(|twins| twins.len() > 1) {
        for name in twins.iter().filter(|name| names.contains(name)) {
            let others: Vec<_> = twins
                .iter()
                .filter(|other| *other != name)
                .map(|other| format!("`{other}`"))
                .collect();
            let base = twins
                .first()
                .filter(|base| *base != name)
                .or(twins.get(1))
                .cloned()
                .unwrap_or_default();
            findings.push(Finding {
                provider: name.clone(),
                place: catalogue.place(name).unwrap_or_else(|| name.clone()),
                problem: format!(
                    "differs from {} only in name and prose; share one definition: `extends = \"{base}\"` in one of them, and only what differs below it",
                    others.join(", ")
                ),
            });
        }
    }
    findings
}

/// What is left of a definition without its names and its prose.
fn without_names(mut definition: Definition) -> String {
    for text in [
        &mut definition.title,
        &mut definition.category,
        &mut definition.docs,
        &mut definition.read,
        &mut definition.evidence,
        &mut definition.notes,
        &mut definition.domain,
        &mut definition.secret.hint,
        &mut definition.answer.success,
        &mut definition.answer.retries,
        &mut definition.answer.on_4xx,
    ] {
        text.clear();
    }
    definition.confidence = crate::provider::definition::Confidence::Reported;
    for setting in definition.settings.values_mut() {
        setting.description.clear();
    }
    for signature in &mut definition.signature {
        signature.name = None;
        if let Some(secret) = &mut signature.secret {
            secret.hint.clear();
        }
    }
    for handshake in &mut definition.handshake {
        handshake.name.clear();
    }
    format!("{definition:?}")
}
