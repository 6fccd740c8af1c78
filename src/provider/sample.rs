//! Sample deliveries of a provider: what `send` sends, what the linter and the verification tests check.
//!
//! `samples/<name>.toml` tells the event, the file with the exact body, and the request around it; where a delivery
//! with its true signature is on record, also when and with which secret it was signed. A body without a `.toml`
//! (`samples/<event>.json`) is a sample of that event without headers of its own.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::catalogue::{CatalogueError, File};
use super::nearest::did_you_mean;
use super::settings::Given;
use crate::clock::Timestamp;

/// One sample delivery.
#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    /// Event name without the domain.
    pub event: String,
    /// The exact bytes.
    pub body: Vec<u8>,
    pub request: Request,
    pub signed: Option<Signed>,
    /// For messages.
    pub place: String,
}

/// What a platform sends besides the body and the signature's own headers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Default `POST`.
    pub method: Option<String>,
    pub headers: BTreeMap<String, String>,
    /// Query string without the `?`.
    pub query: String,
    /// The URL that the platform called, where that matters; otherwise the caller's.
    pub url: Option<String>,
}

/// A delivery with its signature, as it was recorded or computed by the platform's kit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// When it arrived.
    pub at: Timestamp,
    /// The secret as a user would configure it; none where keys are fetched or pinned.
    #[serde(default)]
    pub secret: Option<String>,
    #[serde(default)]
    pub settings: BTreeMap<String, Given>,
    /// Headers besides those of `[request]`, the signature among them.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// In place of the request's.
    #[serde(default)]
    pub query: Option<String>,
    #[serde(default)]
    pub url: Option<String>,
    /// What the URLs of fetched keys served: a certificate (PEM) or a key set, by URL. Keys of test deliveries.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    event: String,
    body: String,
    #[serde(default)]
    request: Request,
    #[serde(default)]
    signed: Option<Signed>,
}

/// Bodies that need no `.toml` beside them, and what they are.
const BARE: [(&str, &str); 2] = [
    ("json", "application/json"),
    ("form", "application/x-www-form-urlencoded"),
];

pub(super) fn names(files: &BTreeMap<String, File>) -> Vec<String> {
    let in_samples = || files.keys().filter_map(|path| path.strip_prefix("samples/"));
    let sheets = in_samples().filter(|file| file.ends_with(".toml"));
    let bodies: Vec<String> = sheets
        .filter_map(|file| Some(sheet(files.get(&format!("samples/{file}"))?).ok()?.body))
        .collect();
    let mut names: Vec<String> = in_samples()
        .filter(|file| !bodies.iter().any(|body| body == file))
        .filter_map(|file| file.rsplit_once('.'))
        .filter(|(_, kind)| *kind == "toml" || BARE.iter().any(|(bare, _)| bare == kind))
        .map(|(name, _)| name.to_owned())
        .collect();
    names.dedup();
    names
}

pub(super) fn read(provider: &str, name: &str, files: &BTreeMap<String, File>) -> Result<Sample, CatalogueError> {
    if let Some(file) = files.get(&format!("samples/{name}.toml")) {
        let sheet = sheet(file)?;
        let body = files
            .get(&format!("samples/{}", sheet.body))
            .ok_or_else(|| CatalogueError::Invalid {
                place: file.place(),
                problem: format!("`body`: there is no file `{}` beside it", sheet.body),
            })?;
        return Ok(Sample {
            name: name.to_owned(),
            event: sheet.event,
            body: body.bytes()?.into_owned(),
            request: sheet.request,
            signed: sheet.signed,
            place: file.place(),
        });
    }
    for (kind, content_type) in BARE {
        if let Some(file) = files.get(&format!("samples/{name}.{kind}")) {
            return Ok(Sample {
                name: name.to_owned(),
                event: name.to_owned(),
                body: file.bytes()?.into_owned(),
                request: Request {
                    headers: BTreeMap::from([("Content-Type".to_owned(), content_type.to_owned())]),
                    ..Request::default()
                },
                signed: None,
                place: file.place(),
            });
        }
    }
    let known = names(files);
    Err(CatalogueError::Invalid {
        place: provider.to_owned(),
        problem: match known.len() {
            0 => format!("no sample `{name}`: this provider has none; give a body with `--body FILE`"),
            _ => format!(
                "no sample `{name}`{} (there are {})",
                did_you_mean(name, known.iter().map(String::as_str)),
                known.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            ),
        },
    })
}

fn sheet(file: &File) -> Result<Sheet, CatalogueError> {
    let text = file.text()?;
    let invalid = |problem: String| CatalogueError::Invalid {
        place: file.place(),
        problem,
    };
    let document =
        toml::Deserializer::parse(&text).map_err(|error| invalid(error.to_string().trim_end().to_owned()))?;
    serde_path_to_error::deserialize(document)
        .map_err(|error| invalid(format!("`{}`: {}", error.path(), error.inner().message())))
}
