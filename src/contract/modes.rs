//! What happens to an event that breaks its contract: by source, and by event type.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// What happens to an event that breaks its contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The sender is told (422), and nothing of the delivery is published.
    Enforce,
    /// It is made durable in the quarantine destination, and acknowledged.
    #[default]
    Quarantine,
    /// It is published as any other; the breach is counted and logged.
    Shadow,
    /// Nothing is checked.
    Off,
}

/// `contract:` of a source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// What happens to an event that breaks its contract: `enforce`, `quarantine`, `shadow` or `off`.
    /// Default `quarantine`. Environment: `HOOKSLUICE__SOURCES__<name>__CONTRACT__MODE`.
    pub mode: Mode,
    /// Version to use where the delivery names none: that version, else the newest before it.
    /// Default: the newest. Environment: `HOOKSLUICE__SOURCES__<name>__CONTRACT__VERSION`.
    pub version: Option<String>,
    /// By event type, with its domain (`com.github.push`; `com.github.issues.*` for all below),
    /// overriding `mode`; the exact type wins, then the longest pattern. Default: none.
    pub types: BTreeMap<String, Mode>,
}

/// A policy's modes, compiled. Types are without the domain.
#[derive(Debug)]
pub(super) struct Modes {
    general: Mode,
    exact: HashMap<Box<str>, Mode>,
    /// Longest first; `pull_request.`, with the dot; empty for all types of the domain.
    below: Vec<(Box<str>, Mode)>,
}

impl Modes {
    pub(super) fn compile(domain: &str, policy: &Policy, problems: &mut Vec<String>) -> Self {
        let mut modes = Self {
            general: policy.mode,
            exact: HashMap::new(),
            below: Vec::new(),
        };
        for (pattern, mode) in &policy.types {
            let event = match domain {
                "" => Some(pattern.as_str()),
                domain => pattern.strip_prefix(domain).and_then(|rest| rest.strip_prefix('.')),
            };
            let Some(event) = event else {
                problems.push(format!(
                    "contract.types: {pattern:?} is no type of this source: they begin with `{domain}.`"
                ));
                continue;
            };
            match event.strip_suffix('*') {
                Some(prefix) if prefix.is_empty() || prefix.ends_with('.') => modes.below.push((prefix.into(), *mode)),
                None if !event.is_empty() => {
                    modes.exact.insert(event.into(), *mode);
                }
                _ => problems.push(format!(
                    "contract.types: {pattern:?}: `*` stands only at the end, after a dot"
                )),
            }
        }
        modes.below.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        modes
    }

    pub(super) fn of(&self, event: &str) -> Mode {
        if let Some(mode) = self.exact.get(event) {
            return *mode;
        }
        let below = self.below.iter().find(|(prefix, _)| event.starts_with(&**prefix));
        below.map_or(self.general, |(_, mode)| *mode)
    }
}
