//! From the table of a `provider.toml` to a [`Definition`]: `extends`, and a source's settings in place of `"${name}"`.

use std::collections::BTreeMap;

use super::catalogue::CatalogueError;
use super::definition::{Definition, Setting};
use super::nearest::did_you_mean;
use super::settings::Settings;

/// Lays `over` on `base`: tables join, anything else (arrays too) replaces.
pub(super) fn lay_over(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The settings that a definition declares.
pub(super) fn declared(table: &toml::Table, place: &str) -> Result<BTreeMap<String, Setting>, CatalogueError> {
    let Some(settings) = table.get("settings") else {
        return Ok(BTreeMap::new());
    };
    serde_path_to_error::deserialize(settings.clone()).map_err(|error| invalid(place, "settings", &error))
}

/// Puts settings in their places and reads the definition.
pub(super) fn definition(
    mut table: toml::Table,
    place: &str,
    declared: &BTreeMap<String, Setting>,
    settings: &Settings,
) -> Result<Definition, Vec<CatalogueError>> {
    let mut errors = Vec::new();
    let mut filler = Filler {
        declared,
        settings,
        place,
        errors: &mut errors,
    };
    table.retain(|key, value| key == "settings" || filler.fill(key, value));
    if !errors.is_empty() {
        return Err(errors);
    }
    serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| vec![invalid(place, "", &error)])
}

/// The problem of a value that does not fit: file, key path, reason, and where the rules are.
fn invalid(place: &str, above: &str, error: &serde_path_to_error::Error<toml::de::Error>) -> CatalogueError {
    let path = match (above, error.path().to_string().as_str()) {
        ("", ".") => "(top level)".to_owned(),
        ("", path) => path.to_owned(),
        (above, ".") => above.to_owned(),
        (above, path) => format!("{above}.{path}"),
    };
    let message = error.inner().message();
    let hint = unknown_field(message)
        .map(|(field, known)| did_you_mean(field, known))
        .unwrap_or_default();
    CatalogueError::Invalid {
        place: place.to_owned(),
        problem: format!("`{path}`: {message}{hint} (docs/providers.md explains each key)"),
    }
}

/// The field and the known ones, out of serde's "unknown field `x`, expected one of `a`, `b`".
pub fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (field, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((field, known))
}

struct Filler<'a> {
    declared: &'a BTreeMap<String, Setting>,
    settings: &'a Settings,
    place: &'a str,
    errors: &'a mut Vec<CatalogueError>,
}

impl Filler<'_> {
    /// Fills in a value and everything below it; false when it is to be left out, as is what loses all that it held,
    /// and a rule that loses its place (`from`): an optional timestamp that nobody named is no timestamp.
    fn fill(&mut self, path: &str, value: &mut toml::Value) -> bool {
        match value {
            toml::Value::String(text) => {
                let Some(name) = placeholder(text) else { return true };
                match self.value(path, name) {
                    Ok(Filled::With(filled)) => *value = filled,
                    Ok(Filled::LeftOut) => return false,
                    Ok(Filled::Unknown) => {}
                    Err(problem) => {
                        self.errors.push(CatalogueError::Invalid {
                            place: self.place.to_owned(),
                            problem,
                        });
                    }
                }
            }
            toml::Value::Array(items) => {
                let (mut index, before) = (0.., items.len());
                items.retain_mut(|item| self.fill(&format!("{path}[{}]", index.next().unwrap_or(0)), item));
                return before == 0 || !items.is_empty();
            }
            toml::Value::Table(table) => {
                let before = table.len();
                let had_place = table.contains_key("from");
                table.retain(|key, value| self.fill(&format!("{path}.{key}"), value));
                return (before == 0 || !table.is_empty()) && had_place == table.contains_key("from");
            }
            _ => {}
        }
        true
    }

    fn value(&self, path: &str, name: &str) -> Result<Filled, String> {
        let Some(setting) = self.declared.get(name) else {
            let hint = did_you_mean(name, self.declared.keys().map(String::as_str));
            return Err(format!(
                "`{path}`: `${{{name}}}` is no declared setting{hint}; declare it under `[settings.{name}]`"
            ));
        };
        if setting.credential {
            return Err(format!(
                "`{path}`: the credential `{name}` may not stand in a definition; name it with `setting = \"{name}\"`"
            ));
        }
        let texts = self.settings.texts(name);
        if texts.is_empty() {
            return Ok(if setting.required {
                Filled::Unknown
            } else {
                Filled::LeftOut
            });
        }
        if setting.list {
            return Ok(Filled::With(toml::Value::Array(
                texts.iter().map(|text| typed(setting, text)).collect(),
            )));
        }
        Ok(match texts.first() {
            Some(text) if !text.is_empty() => Filled::With(typed(setting, text)),
            _ => Filled::LeftOut,
        })
    }
}

/// What stands in place of a placeholder.
enum Filled {
    With(toml::Value),
    /// An optional setting without a value, or with an empty one, leaves its key out.
    LeftOut,
    /// A required setting without a value: only listings get so far, and show the placeholder.
    Unknown,
}

/// Numbers and booleans are such where the declared default is.
fn typed(setting: &Setting, text: &str) -> toml::Value {
    let typed = match &setting.default {
        Some(toml::Value::Integer(_)) => text.parse().ok().map(toml::Value::Integer),
        Some(toml::Value::Boolean(_)) => text.parse().ok().map(toml::Value::Boolean),
        _ => None,
    };
    typed.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn placeholder(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}')
}
