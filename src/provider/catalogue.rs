//! The built-in folders of `schemas/`, embedded in the binary, and the user's own laid over them.
//!
//! Costs nothing at start: a folder is looked at when a source names it. A user's folder of the same name is laid
//! over the built-in one file by file: a `provider.toml` replaces the built-in one, a schema adds a version or replaces it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::definition::Definition;
use super::nearest::did_you_mean;
use super::sample::{self, Sample};
use super::settings::{Given, Settings};
use super::template;

static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/schemas");

/// No provider file needs more; a larger one is somebody's mistake.
const MAX_FILE: u64 = 32 << 20;

/// Providers by name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// The user's folders, later ones on top.
    overlays: Vec<PathBuf>,
}

/// Why a provider cannot be had. Names the file, the key and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    #[error("unknown provider `{name}`{hint} (`hooksluice providers` lists them all)")]
    Unknown { name: String, hint: String },
    #[error("cannot read `{path}`: {error}")]
    Unreadable { path: String, error: String },
    #[error("{place}: {problem}")]
    Invalid { place: String, problem: String },
    #[error("{0}")]
    Settings(String),
}

/// One schema file of a provider: event folder, version, text, and where it came from (for messages).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    pub event: String,
    pub version: String,
    pub text: Cow<'static, str>,
    pub place: String,
}

/// A definition with a source's settings worked in.
#[derive(Debug, Clone)]
pub struct Provider {
    pub definition: Definition,
    pub settings: Settings,
}

/// A file of a provider's folder: where it is for people, and how to read it.
#[derive(Clone, Debug)]
pub(super) enum File {
    Embedded(&'static include_dir::File<'static>),
    Own(PathBuf),
}

impl File {
    /// For messages: a path, or `built-in:github/provider.toml`.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Embedded(file) => format!("built-in:{}", file.path().display()),
            Self::Own(path) => path.display().to_string(),
        }
    }

    pub(super) fn bytes(&self) -> Result<Cow<'static, [u8]>, CatalogueError> {
        match self {
            Self::Embedded(file) => Ok(Cow::Borrowed(file.contents())),
            Self::Own(path) => {
                let unreadable = |error: String| CatalogueError::Unreadable {
                    path: path.display().to_string(),
                    error,
                };
                let length = std::fs::metadata(path)
                    .map_err(|error| unreadable(error.to_string()))?
                    .len();
                if length > MAX_FILE {
                    return Err(unreadable(format!(
                        "{length} bytes are more than a provider's file may have"
                    )));
                }
                std::fs::read(path)
                    .map(Cow::Owned)
                    .map_err(|error| unreadable(error.to_string()))
            }
        }
    }

    pub(super) fn text(&self) -> Result<Cow<'static, str>, CatalogueError> {
        let not_utf8 = |at: usize| CatalogueError::Invalid {
            place: self.place(),
            problem: format!("not UTF-8 at byte {at}; save the file as UTF-8"),
        };
        match self.bytes()? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes)
                .map(Cow::Borrowed)
                .map_err(|error| not_utf8(error.valid_up_to())),
            Cow::Owned(bytes) => String::from_utf8(bytes)
                .map(Cow::Owned)
                .map_err(|error| not_utf8(error.utf8_error().valid_up_to())),
        }
    }
}

impl Catalogue {
    /// Only what is embedded in the binary.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// The embedded folders with the user's laid over them, later paths on top.
    pub fn with_overlays(paths: &[PathBuf]) -> Result<Self, Vec<CatalogueError>> {
        let errors: Vec<_> = paths.iter().filter_map(|path| readable_folder(path).err()).collect();
        if errors.is_empty() {
            Ok(Self {
                overlays: paths.to_vec(),
            })
        } else {
            Err(errors)
        }
    }

    /// All providers, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        for folder in BUILT_IN.dirs() {
            if folder.get_file(folder.path().join("provider.toml")).is_some() {
                names.insert(folder.path().display().to_string());
            }
        }
        for overlay in &self.overlays {
            for (name, path) in entries(overlay) {
                if path.join("provider.toml").is_file() {
                    names.insert(name);
                }
            }
        }
        names.into_iter().collect()
    }

    /// A provider's definition with a source's settings checked and worked in. Every problem at once.
    pub fn provider(&self, name: &str, given: &BTreeMap<String, Given>) -> Result<Provider, Vec<CatalogueError>> {
        let (table, place) = self.table(name).map_err(|error| vec![error])?;
        let declared = template::declared(&table, &place).map_err(|error| vec![error])?;
        let (settings, problems) = Settings::gather(&declared, given);
        let mut errors: Vec<_> = problems.into_iter().map(CatalogueError::Settings).collect();
        if errors.is_empty() {
            match template::definition(table, &place, &declared, &settings) {
                Ok(definition) => return Ok(Provider { definition, settings }),
                Err(found) => errors.extend(found),
            }
        }
        Err(errors)
    }

    /// A provider's definition as it stands, for listings: required settings that have no value yet stand as `${name}`.
    pub fn definition(&self, name: &str) -> Result<Definition, CatalogueError> {
        let (table, place) = self.table(name)?;
        let declared = template::declared(&table, &place)?;
        let (settings, _) = Settings::gather(&declared, &BTreeMap::new());
        template::definition(table, &place, &declared, &settings).map_err(|mut errors| errors.swap_remove(0))
    }

    /// All contract schemas of a provider, in the order of event and version; nothing is parsed.
    pub fn schemas(&self, name: &str) -> Result<Vec<SchemaText>, Vec<CatalogueError>> {
        let mut schemas = Vec::new();
        let mut errors = Vec::new();
        for (path, file) in self.files(name) {
            let Some((event, version)) = schema_name(&path) else {
                continue;
            };
            match file.text() {
                Ok(text) => schemas.push(SchemaText {
                    event: event.to_owned(),
                    version: version.to_owned(),
                    text,
                    place: file.place(),
                }),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(schemas) } else { Err(errors) }
    }

    /// Names of a provider's samples, sorted.
    pub fn sample_names(&self, name: &str) -> Vec<String> {
        sample::names(&self.files(name))
    }

    /// One of a provider's samples.
    pub fn sample(&self, provider: &str, name: &str) -> Result<Sample, CatalogueError> {
        sample::read(provider, name, &self.files(provider))
    }

    /// Where a provider's definition is, for messages.
    pub fn place(&self, name: &str) -> Option<String> {
        self.file(name, "provider.toml").map(|file| file.place())
    }

    /// `provider.toml` as it is written.
    pub fn definition_text(&self, name: &str) -> Result<Cow<'static, str>, CatalogueError> {
        match self.file(name, "provider.toml") {
            Some(file) => file.text(),
            None => self.table(name).map(|_| Cow::Borrowed("")),
        }
    }

    /// The provider that this one is laid over, where it says `extends`.
    pub fn base(&self, name: &str) -> Option<String> {
        let (table, _) = self.own_table(name).ok()?;
        table.get("extends")?.as_str().map(str::to_owned)
    }

    /// Every file of a provider's folder, by its path inside it, and its place.
    pub fn paths(&self, name: &str) -> Vec<(String, String)> {
        self.files(name)
            .into_iter()
            .map(|(path, file)| (path, file.place()))
            .collect()
    }

    /// Providers that this folder holds, sorted.
    pub fn names_in(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = entries(folder)
            .into_iter()
            .filter(|(_, path)| path.join("provider.toml").is_file())
            .map(|(name, _)| name)
            .collect();
        names.sort();
        names
    }

    /// The merged table of `provider.toml`, and its place.
    fn table(&self, name: &str) -> Result<(toml::Table, String), CatalogueError> {
        let (mut table, place) = self.own_table(name)?;
        let Some(base) = table.remove("extends") else {
            return Ok((table, place));
        };
        let wrong = |problem: String| CatalogueError::Invalid {
            place: place.clone(),
            problem,
        };
        let base = base
            .as_str()
            .ok_or_else(|| wrong("`extends` must be the name of a provider".into()))?;
        let (mut merged, _) = self
            .own_table(base)
            .map_err(|error| wrong(format!("`extends = \"{base}\"`: {error}")))?;
        if merged.contains_key("extends") {
            return Err(wrong(format!(
                "`extends = \"{base}\"`: that provider extends another itself; extend its base, one level is all there is"
            )));
        }
        template::lay_over(&mut merged, table);
        Ok((merged, place))
    }

    fn own_table(&self, name: &str) -> Result<(toml::Table, String), CatalogueError> {
        let file = self.file(name, "provider.toml").ok_or_else(|| {
            let names = self.names();
            CatalogueError::Unknown {
                name: name.to_owned(),
                hint: did_you_mean(name, names.iter().map(String::as_str)),
            }
        })?;
        let place = file.place();
        let table = file
            .text()?
            .parse::<toml::Table>()
            .map_err(|error| CatalogueError::Invalid {
                place: place.clone(),
                problem: error.to_string().trim_end().to_owned(),
            })?;
        Ok((table, place))
    }

    fn file(&self, provider: &str, file: &str) -> Option<File> {
        if !is_name(provider) {
            return None;
        }
        let own = self
            .overlays
            .iter()
            .rev()
            .map(|overlay| overlay.join(provider).join(file))
            .find(|path| path.is_file());
        own.map(File::Own)
            .or_else(|| BUILT_IN.get_file(Path::new(provider).join(file)).map(File::Embedded))
    }

    /// Every file of a provider by its path inside the folder (two levels), the user's on top.
    fn files(&self, provider: &str) -> BTreeMap<String, File> {
        let mut files = BTreeMap::new();
        if !is_name(provider) {
            return files;
        }
        if let Some(folder) = BUILT_IN.get_dir(provider) {
            for file in folder.files().chain(folder.dirs().flat_map(Dir::files)) {
                if let Ok(inside) = file.path().strip_prefix(provider) {
                    files.insert(inside.display().to_string(), File::Embedded(file));
                }
            }
        }
        for overlay in &self.overlays {
            for (name, path) in entries(&overlay.join(provider)) {
                if path.is_dir() {
                    let inner = entries(&path).into_iter().filter(|(_, path)| path.is_file());
                    files.extend(inner.map(|(file, path)| (format!("{name}/{file}"), File::Own(path))));
                } else {
                    files.insert(name, File::Own(path));
                }
            }
        }
        files
    }
}

/// `<event>/<version>.json`, but not a sample.
fn schema_name(path: &str) -> Option<(&str, &str)> {
    let (event, file) = path.split_once('/')?;
    let version = file.strip_suffix(".json")?;
    (event != "samples" && !version.is_empty()).then_some((event, version))
}

/// Letters, digits, `-` and `_`: no name leads out of its folder.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn readable_folder(path: &Path) -> Result<(), CatalogueError> {
    std::fs::read_dir(path)
        .map(drop)
        .map_err(|error| CatalogueError::Unreadable {
            path: path.display().to_string(),
            error: error.to_string(),
        })
}

/// Names and paths in a folder, without hidden ones (a mounted ConfigMap has `..data`); none when it cannot be read.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(found) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    found
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect()
}
