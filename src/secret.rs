//! Secrets that do not print and are wiped when dropped, and where a setting may take one from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes that authenticate somebody. Never printed, wiped on drop.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.into())))
    }

    /// The bytes themselves: call where they are used, keep no copy.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text, when it is UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// Takes the same time wherever they differ.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.expose().ct_eq(other.expose()))
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One of a source's active secrets. The name is what metrics and events say.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    pub name: Arc<str>,
    pub secret: Secret,
}

/// Where a secret of a source comes from: `{ name?, env | file | value }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretEntry {
    /// Label in metrics and events. Default: the entry's position, from `1`.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    env: Option<String>,
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    value: Option<Quoted>,
}

/// Text that YAML took for text. What it took for a number is another one by now: `0123` is 123.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Quoted(Plain);

impl<'de> Deserialize<'de> for Quoted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => Ok(Self(Plain(Secret::new(text)))),
            Scalar::Bool(_) | Scalar::Int(_) | Scalar::Float(_) => Err(serde::de::Error::custom(
                "YAML reads this secret as a number or a truth value; put it in quotes",
            )),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Bool(bool),
    Int(i64),
    Float(f64),
}

/// Any setting that can hold a credential: plain text, `{ env }` or `{ file }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Credential {
    Plain(Plain),
    From(CredentialFrom),
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum CredentialFrom {
    Env(String),
    File(PathBuf),
}

/// Text from the configuration file that must not print. Numbers and booleans are taken as written.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain(Secret);

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => text,
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
        };
        Ok(Self(Secret::new(text)))
    }
}

/// Why a secret could not be loaded. Names the place, never the content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("environment variable `{0}` is not set; export it or take the entry out")]
    EnvMissing(String),
    #[error("cannot read secret file `{path}`: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("the secret from {0} is empty")]
    Empty(String),
    #[error("give exactly one of `env`, `file` or `value`")]
    NotOne,
}

impl SecretEntry {
    pub fn from_file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Loads the secret. One trailing line break of a file is not part of it.
    pub fn load(&self, position: usize) -> Result<NamedSecret, SecretError> {
        let secret = match (&self.env, &self.file, &self.value) {
            (Some(env), None, None) => load_env(env)?,
            (None, Some(file), None) => load_file(file)?,
            (None, None, Some(Quoted(plain))) if plain.0.expose().is_empty() => {
                return Err(SecretError::Empty("`value`".into()));
            }
            (None, None, Some(Quoted(plain))) => plain.0.clone(),
            _ => return Err(SecretError::NotOne),
        };
        let name = self.name.clone().unwrap_or_else(|| position.to_string());
        Ok(NamedSecret {
            name: name.into(),
            secret,
        })
    }
}

impl From<&str> for Credential {
    fn from(text: &str) -> Self {
        Self::Plain(Plain(Secret::new(text)))
    }
}

impl Credential {
    pub fn from_file(&self) -> Option<&Path> {
        match self {
            Self::From(CredentialFrom::File(path)) => Some(path),
            _ => None,
        }
    }

    pub fn load(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Plain(plain) => Ok(plain.0.clone()),
            Self::From(CredentialFrom::Env(env)) => load_env(env),
            Self::From(CredentialFrom::File(file)) => load_file(file),
        }
    }
}

fn load_env(name: &str) -> Result<Secret, SecretError> {
    match std::env::var(name) {
        Ok(value) if value.is_empty() => Err(SecretError::Empty(format!("environment variable `{name}`"))),
        Ok(value) => Ok(Secret::new(value)),
        Err(_) => Err(SecretError::EnvMissing(name.into())),
    }
}

fn load_file(path: &Path) -> Result<Secret, SecretError> {
    let mut bytes = std::fs::read(path).map_err(|error| SecretError::File {
        path: path.into(),
        error,
    })?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(SecretError::Empty(format!("file `{}`", path.display())));
    }
    Ok(Secret::new(bytes))
}
