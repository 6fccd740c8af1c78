//! Composes the settings that each room owns: loads them, checks them, and notices when they change.
//!
//! Defaults, then the file (YAML or TOML), then the environment (`HOOKSLUICE__INGRESS__LISTEN`). [`load`] is a pure function of
//! those and of the files that they name; it finds every problem at once and changes nothing. Relative paths are relative
//! to the working directory. What is done with a [`Loaded`] configuration is the business of `http` and `cli`.

mod check;
pub mod destination;
pub mod listeners;
mod problem;
pub mod source;
pub mod tls;
mod tree;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

pub use self::destination::{Destination, JOURNAL};
pub use self::listeners::{Admin, Ingress};
pub use self::problem::Problem;
pub use self::source::{LoadedSource, Source};
use self::tree::Tree;
use crate::destination::journal;
use crate::provider::Catalogue;
use crate::secret::Secret;
use crate::telemetry::logs;
use crate::{duplicates, keys};

/// All settings, as they are written.
#[derive(Clone, Debug)]
pub struct Config {
    pub ingress: Ingress,
    pub admin: Admin,
    /// `None` when there is no `journal:`, or `journal: off`: nothing is kept on a disk that nobody said would last.
    pub journal: Option<journal::Settings>,
    pub outbound: keys::Settings,
    pub duplicates: duplicates::Settings,
    pub log: logs::Settings,
    pub schemas: Schemas,
    pub destinations: BTreeMap<String, Destination>,
    pub sources: BTreeMap<String, Source>,
}

/// `schemas:`, folders of the user's own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schemas {
    /// Laid over the built-in catalogue in this order, same layout (`<provider>/provider.toml`,
    /// `<provider>/<event>/<version>.json`). Default: none. `HOOKSLUICE__SCHEMAS__PATHS`
    pub paths: Vec<PathBuf>,
}

/// A configuration in which everything that it names was found and read.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub catalogue: Catalogue,
    /// In the order of their names.
    pub sources: Vec<LoadedSource>,
    /// The ingress's certificate and key, when it serves TLS.
    pub certified: Option<Arc<CertifiedKey>>,
    /// Who may have issued clients' certificates, where those are asked for.
    pub client_authorities: Option<Arc<RootCertStore>>,
    /// Opens the admin listener.
    pub admin_token: Option<Secret>,
    /// Files and folders whose change asks for a reload.
    pub watched: Vec<PathBuf>,
}

const SECTIONS: [&str; 9] = [
    "ingress",
    "admin",
    "journal",
    "duplicates",
    "outbound",
    "log",
    "schemas",
    "destinations",
    "sources",
];

/// Loads a configuration file and the environment. Every problem at once.
pub fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    load_with(Some(path), environment())
}

/// The process's variables that are settings. What is not UTF-8 is refused when it is read.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| name.starts_with(tree::PREFIX))
}

/// As [`load`], with the environment given, and perhaps without a file. (Secrets under `env:` come from the process's environment.)
pub fn load_with(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, Vec<Problem>> {
    let (loaded, problems) = inspect(path, environment);
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// What could be loaded, and every problem with the rest, so that `check` can look further into what is good.
/// To be served only if there is no problem.
pub fn inspect(path: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> (Loaded, Vec<Problem>) {
    let mut problems = Vec::new();
    let config = read(path, environment, &mut problems);
    // Go on with what could be read: a mistyped key should not hide a missing secret.
    let mut loaded = resolve(config, &mut problems);
    loaded.watched.extend(path.map(Path::to_path_buf));
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    (loaded, problems)
}

/// The settings alone, without looking up or reading what they name: for commands that need neither sources nor secrets.
pub fn settings(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let config = read(path, environment, &mut problems);
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// Finds and reads what one source names: an operator's shell may lack the secrets of the others.
pub fn load_only(mut config: Config, source: &str) -> Result<Loaded, Vec<Problem>> {
    config.sources.retain(|name, _| name == source);
    let mut problems = Vec::new();
    let loaded = resolve(config, &mut problems);
    problems.retain(|problem| problem.place.starts_with("sources.") || problem.place.starts_with("schemas."));
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// Reads the layers; what cannot be read is a problem, and stands at its default.
fn read(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    problems: &mut Vec<Problem>,
) -> Config {
    let text = path.and_then(|path| match read_file(path) {
        Ok(file) => Some(file),
        Err(problem) => {
            problems.push(problem);
            None
        }
    });
    let file = text
        .as_ref()
        .map(|(name, text, format)| (name.as_str(), text.as_str(), *format));
    let mut tree = match Tree::join(file, environment) {
        Ok(tree) => tree,
        Err(problem) => {
            problems.push(problem);
            Tree::default()
        }
    };
    problems.extend(tree.unknown_keys(&SECTIONS));
    let journal = match tree.take("journal") {
        None | Some(Value::Bool(false)) => None,
        Some(Value::String(off)) if off == "off" => None,
        value => Some(section(&mut tree, "journal", value, problems)),
    };
    Config {
        journal,
        ingress: taken(&mut tree, "ingress", problems),
        admin: taken(&mut tree, "admin", problems),
        outbound: taken(&mut tree, "outbound", problems),
        duplicates: taken(&mut tree, "duplicates", problems),
        log: taken(&mut tree, "log", problems),
        schemas: taken(&mut tree, "schemas", problems),
        destinations: named(&mut tree, "destinations", problems),
        sources: named(&mut tree, "sources", problems),
    }
}

fn read_file(path: &Path) -> Result<(String, Zeroizing<String>, config::FileFormat), Problem> {
    let name = path.display().to_string();
    let format = tree::format_of(path)?;
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((name, Zeroizing::new(text), format)),
        Err(error) => Err(Problem::new(
            name,
            format!("cannot read the configuration file: {error}"),
            "give a readable file with `--config`",
        )),
    }
}

fn taken<T: Default + serde::de::DeserializeOwned>(tree: &mut Tree, name: &str, problems: &mut Vec<Problem>) -> T {
    let value = tree.take(name);
    section(tree, name, value, problems)
}

fn section<T: Default + serde::de::DeserializeOwned>(
    tree: &mut Tree,
    name: &str,
    value: Option<Value>,
    problems: &mut Vec<Problem>,
) -> T {
    value
        .and_then(|value| tree.read(name, value, problems))
        .unwrap_or_default()
}

/// A section of named entries, each read by itself, so that one bad entry does not hide the others.
fn named<T: serde::de::DeserializeOwned>(
    tree: &mut Tree,
    section: &str,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, T> {
    let entries = match tree.take(section) {
        None => return BTreeMap::new(),
        Some(Value::Object(entries)) => entries,
        Some(_) => {
            problems.push(Problem::new(
                section,
                "is not a table of names",
                "write `NAME: { … }` below it",
            ));
            return BTreeMap::new();
        }
    };
    let mut read = BTreeMap::new();
    for (name, value) in entries {
        let place = format!("{section}.{name}");
        check::name(&place, &name, problems);
        if let Some(entry) = tree.read(&place, value, problems) {
            read.insert(name, entry);
        }
    }
    read
}

/// Finds and reads what the configuration names.
fn resolve(config: Config, problems: &mut Vec<Problem>) -> Loaded {
    let catalogue = Catalogue::with_overlays(&config.schemas.paths).unwrap_or_else(|errors| {
        let remedy = "give readable folders, or take the path out";
        problems.extend(
            errors
                .into_iter()
                .map(|error| Problem::new("schemas.paths", error.to_string(), remedy)),
        );
        Catalogue::built_in()
    });
    if let Some(url) = &config.ingress.public_url {
        check::public_url("ingress.public_url", url, problems);
    }
    let certified = config.ingress.tls.as_ref().and_then(|tls| {
        tls::load(tls, "ingress.tls")
            .map_err(|found| problems.extend(found))
            .ok()
    });
    let client_authorities = config.ingress.tls.as_ref().and_then(|tls| {
        tls::client_authorities(tls, "ingress.tls")
            .map_err(|problem| problems.push(problem))
            .ok()?
    });
    if config.ingress.listen == config.admin.listen && config.ingress.listen.port() != 0 {
        problems.push(Problem::new(
            "admin.listen",
            "is the same as `ingress.listen`",
            "give it a port of its own",
        ));
    }
    let admin_token = match config.admin.token.as_ref().map(|token| token.load()) {
        None => None,
        Some(Ok(token)) if token.expose().is_empty() => {
            problems.push(Problem::new("admin.token", "is empty", "give a token, or take it out"));
            None
        }
        Some(Ok(token)) => Some(token),
        Some(Err(error)) => {
            problems.push(Problem::new("admin.token", error.to_string(), ""));
            None
        }
    };
    for (name, destination) in &config.destinations {
        let place = format!("destinations.{name}");
        if name == JOURNAL {
            problems.push(Problem::new(
                &place,
                "this name is taken by the journal itself",
                "give it another name",
            ));
        }
        problems.extend(destination.problems(&place, config.journal.is_some()));
    }
    let mut sources = Vec::with_capacity(config.sources.len());
    let mut paths: BTreeMap<String, &str> = BTreeMap::new();
    for (name, source) in &config.sources {
        if let Some(first) = paths.insert(source.path(name), name) {
            problems.push(Problem::new(
                format!("sources.{name}.path"),
                format!("`{}` is the path of `sources.{first}` too", source.path(name)),
                "give each source a path of its own",
            ));
        }
        if name == "unknown" {
            problems.push(Problem::new(
                "sources.unknown",
                "this name is taken in metrics",
                "give it another name",
            ));
        }
        match source.load(name, &config, &catalogue) {
            Ok(source) => sources.push(source),
            Err(found) => problems.extend(found),
        }
    }
    if let Some(largest) = sources.iter().max_by_key(|source| source.body_limit)
        && largest.body_limit.as_u64().saturating_mul(2) > config.ingress.max_body_memory.as_u64()
    {
        problems.push(Problem::new(
            "ingress.max_body_memory",
            format!(
                "is less than two bodies of `sources.{}` may have ({} each): a source never holds more than is free",
                largest.name, largest.body_limit
            ),
            "make it many times the largest body, or lower that source's `body_limit`",
        ));
    }
    for (place, is_nothing) in [
        ("ingress.workers", config.ingress.workers == Some(0)),
        ("ingress.max_in_flight", config.ingress.max_in_flight == 0),
        ("ingress.body_timeout", config.ingress.body_timeout.get().is_zero()),
        ("ingress.ack_budget", config.ingress.ack_budget.get().is_zero()),
    ] {
        if is_nothing {
            problems.push(Problem::new(
                place,
                "is 0: no delivery would be taken",
                "give it a number, or take it out for the default",
            ));
        }
    }
    if let Err(problem) = config.log.check() {
        problems.push(Problem::new(
            "log.level",
            problem,
            "write a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or one for a part of the program: `info,hooksluice=debug`",
        ));
    }
    let watched = watched(&config);
    Loaded {
        config,
        catalogue,
        sources,
        certified,
        client_authorities,
        admin_token,
        watched,
    }
}

fn watched(config: &Config) -> Vec<PathBuf> {
    let mut paths = config.schemas.paths.clone();
    paths.extend(
        config
            .ingress
            .tls
            .iter()
            .flat_map(|tls| tls.files().map(Path::to_path_buf)),
    );
    paths.extend(
        config
            .admin
            .token
            .iter()
            .filter_map(|token| token.from_file().map(Path::to_path_buf)),
    );
    paths.extend(config.sources.values().flat_map(Source::files));
    paths
}
