//! What a source tells its provider besides secrets, checked against what the provider declares.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::definition::Setting;
use super::nearest::did_you_mean;
use crate::secret::{Credential, Secret};

/// Settings of one source, checked and loaded. Built by [`Settings::check`]; defaults are filled in.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<String, Value>);

#[derive(Clone, Debug)]
pub enum Value {
    /// One or several texts; a single value is a list of one.
    Texts(Vec<String>),
    Credential(Secret),
}

/// A value under a source's `settings:`, as it is written: text, number or boolean, a list of those, `{ env }` or `{ file }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Given {
    List(Vec<Credential>),
    One(Credential),
}

impl Given {
    /// Files that the value is read from, to be watched.
    pub fn files(&self) -> impl Iterator<Item = &std::path::Path> {
        let all = match self {
            Self::List(list) => list.as_slice(),
            Self::One(one) => std::slice::from_ref(one),
        };
        all.iter().filter_map(Credential::from_file)
    }
}

impl Settings {
    /// Checks what a source gives against what its provider declares, and loads it. All problems at once;
    /// each names the setting and the remedy, never a value.
    pub fn check(declared: &BTreeMap<String, Setting>, given: &BTreeMap<String, Given>) -> Result<Self, Vec<String>> {
        let (settings, problems) = Self::gather(declared, given);
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }

    /// As [`Settings::check`], but keeps what is good beside the problems, so that a caller can look further.
    pub(super) fn gather(declared: &BTreeMap<String, Setting>, given: &BTreeMap<String, Given>) -> (Self, Vec<String>) {
        let mut settings = Self::default();
        let mut problems = Vec::new();
        for name in given.keys().filter(|name| !declared.contains_key(*name)) {
            let hint = did_you_mean(name, declared.keys().map(String::as_str));
            let known = match declared.len() {
                0 => "this provider has no settings".to_owned(),
                _ => format!(
                    "known are {}",
                    declared.keys().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
                ),
            };
            problems.push(format!("unknown setting `{name}`{hint} ({known})"));
        }
        for (name, setting) in declared {
            match given.get(name) {
                Some(value) => match load(name, setting, value) {
                    Ok(value) => settings.insert(name, value),
                    Err(problem) => problems.push(problem),
                },
                None => match &setting.default {
                    Some(default) => settings.insert(name, Value::Texts(texts_of(default))),
                    None if setting.required => problems.push(format!(
                        "setting `{name}` is missing: {}; give it under `settings:`",
                        setting.description.trim_end_matches('.')
                    )),
                    None => {}
                },
            }
        }
        (settings, problems)
    }

    pub fn texts(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).first().map(String::as_str)
    }

    pub fn credential(&self, name: &str) -> Option<&Secret> {
        match self.0.get(name) {
            Some(Value::Credential(secret)) => Some(secret),
            _ => None,
        }
    }

    pub fn insert(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

fn load(name: &str, setting: &Setting, given: &Given) -> Result<Value, String> {
    let values: &[Credential] = match given {
        Given::List(_) if !setting.list => {
            return Err(format!("setting `{name}` takes one value, not a list"));
        }
        Given::List(list) if list.is_empty() && setting.required => {
            return Err(format!("setting `{name}` is an empty list: {}", setting.description));
        }
        Given::List(list) => list,
        Given::One(one) => std::slice::from_ref(one),
    };
    let mut secrets = Vec::with_capacity(values.len());
    for value in values {
        secrets.push(value.load().map_err(|error| format!("setting `{name}`: {error}"))?);
    }
    if setting.credential {
        return match <[Secret; 1]>::try_from(secrets) {
            Ok([secret]) if !secret.expose().is_empty() => Ok(Value::Credential(secret)),
            Ok(_) => Err(format!("setting `{name}` is empty: {}", setting.description)),
            Err(_) => Err(format!("setting `{name}` is a credential and takes one value")),
        };
    }
    let mut texts = Vec::with_capacity(secrets.len());
    for secret in &secrets {
        let text = secret
            .expose_str()
            .ok_or_else(|| format!("setting `{name}` is not UTF-8 text"))?;
        if text.is_empty() && setting.required {
            return Err(format!("setting `{name}` is empty: {}", setting.description));
        }
        if !setting.one_of.is_empty() && !setting.one_of.iter().any(|allowed| allowed == text) {
            let hint = did_you_mean(text, setting.one_of.iter().map(String::as_str));
            return Err(format!(
                "setting `{name}` must be one of {}{hint}",
                setting
                    .one_of
                    .iter()
                    .map(|v| format!("`{v}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        texts.push(text.to_owned());
    }
    Ok(Value::Texts(texts))
}

/// A declared default as texts: an array is a list, anything else a list of one.
fn texts_of(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::Array(items) => items.iter().flat_map(texts_of).collect(),
        toml::Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}
