//! Defaults, file and environment as one tree, read section by section so that every problem is found at once.
//!
//! The `config` crate joins the layers; serde reads the sections. A value from the environment is text first; only where
//! text does not fit is it read as YAML (`8`, `true`, `[a, b]`), so that a password of digits stays what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use config::{Environment, FileFormat, Source as _};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::problem::Problem;
use crate::provider::nearest::did_you_mean;
use crate::provider::template::unknown_field;

/// In front of every environment variable that is a setting.
pub const PREFIX: &str = "HOOKSLUICE";

/// The joined layers. Holds secrets: does not print, and wipes its texts when dropped.
#[derive(Default)]
pub struct Tree {
    root: Map<String, Value>,
    /// Dotted paths that the environment gave, and whose text was not yet read as YAML.
    from_environment: BTreeSet<String>,
}

/// YAML or TOML, by the file's extension.
pub fn format_of(path: &Path) -> Result<FileFormat, Problem> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => Ok(FileFormat::Yaml),
        Some("toml") => Ok(FileFormat::Toml),
        _ => Err(Problem::new(
            path.display().to_string(),
            "the extension tells the format of a configuration file",
            "name it `.yaml`, `.yml` or `.toml`",
        )),
    }
}

impl Tree {
    /// Joins a file's text (if there is one) and the environment, of which only variables with [`PREFIX`] count.
    pub fn join(
        file: Option<(&str, &str, FileFormat)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Problem> {
        let environment: config::Map<String, String> = environment.into_iter().collect();
        let marked = |(name, value): &(&String, &String)| {
            name.starts_with(PREFIX) && value.contains(char::REPLACEMENT_CHARACTER)
        };
        if let Some((name, _)) = environment.iter().find(marked) {
            return Err(Problem::new(
                format!("environment variable `{name}`"),
                "is not UTF-8",
                "set it as UTF-8 text",
            ));
        }
        // An empty variable counts as not set: compose files and charts pass those for what is left out.
        let environment = Environment::with_prefix(PREFIX)
            .prefix_separator("__")
            .separator("__")
            .ignore_empty(true)
            .source(Some(environment));
        let given = environment
            .collect()
            .map_err(|error| Problem::new("environment", error.to_string(), "set it as UTF-8 text"))?;
        let mut builder = config::Config::builder();
        if let Some((_, text, format)) = file {
            builder = builder.add_source(config::File::from_str(text, format));
        }
        let place = file.map_or("environment", |(name, ..)| name);
        let joined = builder
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize::<Value>);
        match joined {
            Ok(Value::Object(mut root)) => {
                root.values_mut().for_each(drop_nulls);
                root.retain(|_, value| !value.is_null());
                Ok(Self {
                    root,
                    from_environment: given.keys().cloned().collect(),
                })
            }
            Ok(_) => Err(Problem::new(
                place,
                "not a table of settings",
                "see docs/configuration.md",
            )),
            Err(error) => {
                let text = file.map_or("", |(_, text, _)| text);
                Err(Problem::new(place, syntax(&error, text), "mend the syntax"))
            }
        }
    }

    /// Top-level keys that are none of `known`.
    pub fn unknown_keys(&self, known: &[&str]) -> Vec<Problem> {
        let unknown = self.root.keys().filter(|key| !known.contains(&key.as_str()));
        unknown.map(|key| unknown_key(self, "", key, known)).collect()
    }

    /// A top-level value, taken out.
    pub fn take(&mut self, section: &str) -> Option<Value> {
        self.root.remove(section)
    }

    /// Reads a section, with every unknown key reported; `None` when it cannot be read at all.
    pub fn read<T: DeserializeOwned>(&mut self, place: &str, value: Value, problems: &mut Vec<Problem>) -> Option<T> {
        let mut value = Wiped(value);
        let before = problems.len();
        // Each turn takes away an unknown key or an untried value of the environment, so there is an end to it.
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(&value.0) {
                Ok(read) if problems.len() == before => return Some(read),
                Ok(_) => return None,
                Err(error) => error,
            };
            let segments: Vec<String> = error.path().iter().map(segment).collect();
            let message = error.inner().to_string();
            if let Some((field, known)) = unknown_field(&message) {
                let parent = match segments.last() {
                    Some(last) if last == field => &segments[..segments.len() - 1],
                    _ => &segments[..],
                };
                problems.push(unknown_key(self, &join(place, parent), field, &known));
                let table = locate(&mut value.0, parent).and_then(Value::as_object_mut);
                match table.and_then(|table| table.remove(field)) {
                    Some(_) => continue,
                    None => return None,
                }
            }
            let path = join(place, &segments);
            if self.try_as_yaml(place, &path, &mut value.0) {
                continue;
            }
            let (message, remedy) = explain(&message);
            problems.push(Problem::new(path, message, remedy));
            return None;
        }
    }

    /// Reads the environment's text at, above or below `path` as YAML; true when that changed something.
    fn try_as_yaml(&mut self, place: &str, path: &str, value: &mut Value) -> bool {
        let related = |given: &str| {
            given == path
                || given
                    .strip_prefix(path)
                    .or(path.strip_prefix(given))
                    .is_some_and(|rest| rest.starts_with('.'))
        };
        let candidates: Vec<String> = self
            .from_environment
            .iter()
            .filter(|given| related(given))
            .cloned()
            .collect();
        let mut changed = false;
        for given in candidates {
            self.from_environment.remove(&given);
            let segments: Vec<String> = match given.strip_prefix(place) {
                Some("") => Vec::new(),
                Some(rest) => rest.trim_start_matches('.').split('.').map(str::to_owned).collect(),
                None => continue,
            };
            let Some(target) = locate(value, &segments) else {
                continue;
            };
            let parsed = target.as_str().and_then(parse_yaml);
            if let Some(parsed) = parsed.filter(|parsed| !parsed.is_string()) {
                *target = parsed;
                changed = true;
            }
        }
        changed
    }

    /// The variable behind a path, when the environment gave it.
    fn variable(&self, path: &str) -> Option<String> {
        self.from_environment
            .iter()
            .find(|given| *given == path || given.starts_with(&format!("{path}.")))
            .map(|given| format!("{PREFIX}__{}", given.to_uppercase().replace('.', "__")))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.root.values_mut().for_each(wipe);
    }
}

/// A section while it is read.
struct Wiped(Value);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(table) => table.values_mut().for_each(wipe),
        _ => {}
    }
}

fn unknown_key(tree: &Tree, parent: &str, key: &str, known: &[&str]) -> Problem {
    let place = if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    };
    let from = tree
        .variable(&place)
        .map(|variable| format!(" (from the environment variable `{variable}`)"));
    let remedy = match known {
        [] => "take it out; nothing is configured here".to_owned(),
        known => format!("known here: {}", known.join(", ")),
    };
    let hint = did_you_mean(key, known.iter().copied());
    Problem::new(place, format!("unknown key{}{hint}", from.unwrap_or_default()), remedy)
}

/// What is wrong with a file that cannot be parsed, and where: without the line or the key, which may hold a secret.
fn syntax(error: &config::ConfigError, text: &str) -> String {
    let config::ConfigError::FileParse { cause, .. } = error else {
        return "not a table of settings".into();
    };
    if let Some(error) = cause.downcast_ref::<toml::de::Error>() {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        return format!("{} at line {line} column {column}", error.message());
    }
    let said = cause.to_string();
    // The YAML parser's words end in the place, and begin with the key where one is doubled.
    if let Some((what, place)) = said.rsplit_once(" at byte ")
        && let Some((_, place)) = place.split_once(" line ")
        && place.split(' ').count() == 3
        && place.ends_with(|last: char| last.is_ascii_digit())
    {
        let doubled = "duplicated key in mapping";
        let what = if what.ends_with(doubled) { doubled } else { what };
        return format!("{what} at line {place}");
    }
    "a table, a key or a number is of a form that cannot be read".into()
}

/// A message without the value that it is about: it may be a secret in the wrong place.
fn explain(message: &str) -> (String, String) {
    let mut masked = message.to_owned();
    for start in ["invalid type: ", "invalid value: "] {
        // The value may hold these words too; what is expected is ours, and comes last.
        if let Some((value, expected)) = message
            .strip_prefix(start)
            .and_then(|rest| rest.rsplit_once(", expected "))
        {
            let kind = value.split(['"', '`']).next().unwrap_or_default().trim();
            let kind = if kind == "string" { "text" } else { kind };
            masked = format!("{start}{kind}, expected {expected}");
        }
    }
    if masked.contains("untagged enum Credential") || masked.contains("untagged enum Given") {
        return (
            "not a value that can be read".into(),
            "give text, `{ env: VARIABLE }` or `{ file: PATH }`".into(),
        );
    }
    if let Some(rest) = masked.strip_prefix("unknown variant `")
        && let Some((variant, rest)) = rest.split_once('`')
    {
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let hint = did_you_mean(variant, known.iter().copied());
        return (
            format!("`{variant}` is not known here{hint}"),
            format!("give one of: {}", known.join(", ")),
        );
    }
    (masked, String::new())
}

fn segment(segment: &serde_path_to_error::Segment) -> String {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => key.clone(),
        Segment::Enum { variant } => variant.clone(),
        Segment::Unknown => "?".into(),
    }
}

/// `sources.github` and `secrets`, `0` as `sources.github.secrets[0]`.
fn join(place: &str, segments: &[String]) -> String {
    segments
        .iter()
        .fold(place.to_owned(), |path, segment| match segment.parse::<usize>() {
            Ok(index) => format!("{path}[{index}]"),
            Err(_) if path.is_empty() => segment.clone(),
            Err(_) => format!("{path}.{segment}"),
        })
}

fn locate<'v>(value: &'v mut Value, segments: &[String]) -> Option<&'v mut Value> {
    segments.iter().try_fold(value, |value, segment| match value {
        Value::Object(table) => table.get_mut(segment),
        Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
        _ => None,
    })
}

/// `null` in a file is the same as leaving the key out.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(table) => {
            table.retain(|_, value| !value.is_null());
            table.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn parse_yaml(text: &str) -> Option<Value> {
    let source = config::File::from_str(&format!("value: {text}"), FileFormat::Yaml);
    let parsed = config::Config::builder().add_source(source).build().ok()?;
    let mut table: BTreeMap<String, Value> = parsed.try_deserialize().ok()?;
    table.remove("value")
}
