//! Any configuration loads, or says what is wrong with it: without a panic, and without a secret.
//!
//! The first line is `yaml` or `toml`, the rest the file. A line `#env NAME=value` in it is a variable of the environment.
//! `@@` stands for a secret of letters, `%%` for one of digits. Wherever in the file a secret belongs (and wherever it ends up
//! because the file is broken), it must not be told.

use std::path::PathBuf;
use std::sync::LazyLock;

use ::config::{Config, File, FileFormat};
use hooksluice::config;
use serde_json::Value;

use super::support::{self, CATALOGUE};

const LETTERS: &str = "Zq7WvKx2Rt9LmNp";
const DIGITS: &str = "918273645564738";

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

pub fn check(bytes: &[u8]) {
    let Some((format, text)) = support::head(bytes) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    // A file that never ends is the operator's to avoid.
    if ["/dev", "/proc", "/sys"].iter().any(|folder| text.contains(folder)) {
        return;
    }
    let (name, format) = match format {
        "toml" => ("hooksluice.toml", FileFormat::Toml),
        _ => ("hooksluice.yaml", FileFormat::Yaml),
    };
    let text = text.replace("@@", LETTERS).replace("%%", DIGITS);
    let environment: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#env ")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let path: PathBuf = FOLDER.path().join(name);
    std::fs::write(&path, &text).expect("a file");

    let (loaded, problems) = config::inspect(Some(&path), environment.clone());
    if !tells(&text) || !only_where_secrets_belong(&text, format, &environment) {
        return;
    }
    for problem in &problems {
        let said = problem.to_string();
        assert!(!tells(&said), "told by a problem: {said}");
    }
    let printed = format!("{loaded:?}");
    if let Some(at) = printed.find(LETTERS).or(printed.find(DIGITS)) {
        let start = (0..=at.saturating_sub(60))
            .rev()
            .find(|start| printed.is_char_boundary(*start));
        panic!("printed: …{}", &printed[start.unwrap_or(0)..at + LETTERS.len()]);
    }
}

fn tells(text: &str) -> bool {
    text.contains(LETTERS) || text.contains(DIGITS)
}

/// Every secret of the file and the environment stands where one is asked for: elsewhere (a provider's name, say) it is no
/// secret, and may be told. What cannot be parsed is all taken for secret.
fn only_where_secrets_belong(text: &str, format: FileFormat, environment: &[(String, String)]) -> bool {
    let file = parse(text, format).is_none_or(|tree| belongs(&mut Vec::new(), &tree));
    file && environment.iter().all(|(name, value)| {
        if !tells(value) {
            return !tells(name);
        }
        let lower = name.to_lowercase();
        let Some(path) = lower.strip_prefix("hooksluice__") else {
            return true;
        };
        let mut path: Vec<String> = path.split("__").map(str::to_owned).collect();
        let tree = parse(&format!("value: {value}"), FileFormat::Yaml);
        // To YAML a text may end before the secret: then the text is what counts.
        let tree = tree.and_then(|tree| tree.get("value").cloned());
        let tree = tree.filter(|tree| tells(&tree.to_string()));
        !tells(name) && belongs(&mut path, &tree.unwrap_or_else(|| Value::String(value.clone())))
    })
}

fn parse(text: &str, format: FileFormat) -> Option<Value> {
    let built = Config::builder()
        .add_source(File::from_str(text, format))
        .build()
        .ok()?;
    built.try_deserialize().ok()
}

fn belongs(path: &mut Vec<String>, value: &Value) -> bool {
    let mut inside = |key: String, value: &Value| {
        let fits = !tells(&key);
        path.push(key);
        let fits = fits && belongs(path, value);
        path.pop();
        fits
    };
    match value {
        Value::Object(members) => members.iter().all(|(key, value)| inside(key.clone(), value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .all(|(at, value)| inside(at.to_string(), value)),
        value => !tells(&value.to_string()) || asks_for_a_secret(path),
    }
}

fn asks_for_a_secret(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    // The name of a variable, of a file or of the secret is not the secret.
    if matches!(path.last(), Some(&("env" | "file" | "name"))) {
        return false;
    }
    match path[..] {
        ["sources", _, "secrets", ..] | ["admin", "token", ..] | ["destinations", _, "rabbitmq", "url", ..] => true,
        ["destinations", _, "kafka", "properties", property, ..] => property.contains("password"),
        _ => false,
    }
}

/// For each provider a source as its samples are signed for.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for name in CATALOGUE.names() {
        let definition = CATALOGUE.definition(&name).expect("a definition");
        let mut text =
            format!("journal: {{}}\nsources:\n  it:\n    provider: {name}\n    secrets: [{{ value: \"@@\" }}]\n");
        if !definition.settings.is_empty() {
            text.push_str("    settings:\n");
        }
        for (setting, rule) in &definition.settings {
            let value = rule.one_of.first().map_or("x", String::as_str);
            text.push_str(&format!("      {setting}: \"{value}\"\n"));
        }
        seeds.push(support::seed("yaml", text));
    }
    seeds
}
