//! Schema files, compiled, and found by event and version.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::versions;
use crate::read::walk::Borrowed;
use crate::read::{Node, NotReadable, clean};

/// Violations of one part that are told, at most.
pub const MAX_VIOLATIONS: usize = 50;
/// Values of a part, up to which its broken rules are listed. The validator collects all of them
/// before the first is seen, so a large body could cost a hundred times its size.
const MAX_LISTED: usize = 50_000;
/// Bytes of a violation's pointer or message, at most.
const MAX_TEXT: usize = 500;
/// The folder whose schemas judge the events that have none of their own.
const DEFAULT: &str = "default";

/// One schema file of a provider: event folder, version, text, and where it came from (for messages).
#[derive(Debug, Clone)]
pub struct SchemaFile {
    pub event: String,
    pub version: String,
    pub text: Cow<'static, str>,
    pub place: String,
}

/// Which contract: `urn:hooksluice:contract:<provider>:<type>:<version>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaName {
    pub provider: String,
    pub event: String,
    pub version: String,
    pub urn: Arc<str>,
    /// Its place among the source's contracts, from 0.
    pub number: usize,
}

/// One broken rule. The offending value is never in it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// JSON pointer into the part.
    pub pointer: String,
    pub keyword: String,
    /// Contract's URN.
    pub schema: String,
    /// Masked message.
    pub message: String,
}

impl Violation {
    pub(super) fn unreadable(unreadable: &NotReadable) -> Self {
        Self {
            pointer: String::new(),
            keyword: unreadable.reason.to_owned(),
            schema: String::new(),
            message: unreadable.detail.clone(),
        }
    }
}

/// By event, each with its versions in their order, newest last.
#[derive(Debug, Default)]
pub(super) struct Schemas(HashMap<Box<str>, Vec<Schema>>);

#[derive(Debug)]
pub(super) struct Schema {
    name: Arc<SchemaName>,
    validator: Validator<Borrowed>,
}

impl Schemas {
    pub(super) fn compile(provider: &str, files: Vec<SchemaFile>, problems: &mut Vec<String>) -> Self {
        let mut schemas = Self::default();
        for (number, file) in files.into_iter().enumerate() {
            match compile(provider, number, &file) {
                Ok(schema) => schemas.0.entry(file.event.into()).or_default().push(schema),
                Err(problem) => problems.push(format!("{}: {problem}", file.place)),
            }
        }
        for versions in schemas.0.values_mut() {
            versions.sort_by(|a, b| versions::compare(&a.name.version, &b.name.version));
            for pair in versions.windows(2) {
                if versions::compare(&pair[0].name.version, &pair[1].name.version).is_eq() {
                    let name = &pair[1].name;
                    problems.push(format!(
                        "{provider}/{}: version {} is there twice",
                        name.event, name.version
                    ));
                }
            }
        }
        schemas
    }

    /// The contract of an event: of its own folder, else of the nearest one above it (`a.b` for
    /// `a.b.c`), else of `default`; there, the version delivered, else the newest before it, else none.
    pub(super) fn applicable(&self, event: &str, version: Option<&str>) -> Option<&Schema> {
        let mut name = event;
        let versions = loop {
            if let Some(versions) = self.0.get(name) {
                break versions;
            }
            match name.rfind('.') {
                Some(dot) => name = &name[..dot],
                None => break self.0.get(DEFAULT)?,
            }
        };
        let Some(version) = version else { return versions.last() };
        let newer = versions.partition_point(|schema| versions::compare(&schema.name.version, version).is_le());
        versions[..newer].last()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<SchemaName>> {
        self.0.values().flatten().map(|schema| &schema.name)
    }

    pub(super) fn has_version_up_to(&self, version: &str) -> bool {
        self.0.is_empty()
            || self
                .names()
                .any(|name| versions::compare(&name.version, version).is_le())
    }
}

/// `format` stays an annotation in every draft: platforms' own dates, addresses and URLs stray from
/// the RFCs, and a contract that must hold one says it by `pattern`.
fn compile(provider: &str, number: usize, file: &SchemaFile) -> Result<Schema, String> {
    // The strict parse finds what `serde_json` would let pass: a key said twice.
    Node::parse(file.text.as_bytes()).map_err(|error| format!("at the root: {error}"))?;
    let value: Value = serde_json::from_str(&file.text).map_err(|error| format!("at the root: {error}"))?;
    let draft = Draft::default().detect(&value);
    if draft == Draft::Unknown {
        return Err("at /$schema: unknown dialect; one of 2020-12, 2019-09, draft-07, draft-06, draft-04".into());
    }
    let validator = jsonschema::options_for::<Borrowed>()
        .with_draft(draft)
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(false)
        .build(&value)
        .map_err(|error| {
            let at = error.instance_path().as_str();
            let at = if at.is_empty() { "the root" } else { at };
            format!("at {at}: {error}")
        })?;
    let name = SchemaName {
        provider: provider.to_owned(),
        event: file.event.clone(),
        version: file.version.clone(),
        urn: format!("urn:hooksluice:contract:{provider}:{}:{}", file.event, file.version).into(),
        number,
    };
    Ok(Schema {
        name: Arc::new(name),
        validator,
    })
}

impl Schema {
    pub(super) fn name(&self) -> &Arc<SchemaName> {
        &self.name
    }

    pub(super) fn is_met_by(&self, node: &Node<'_>) -> bool {
        self.validator.is_valid(node)
    }

    /// Why not, for the one that is not met.
    pub(super) fn violations(&self, node: &Node<'_>) -> Vec<Violation> {
        if node.has_more_than(MAX_LISTED) {
            return vec![Violation {
                pointer: String::new(),
                keyword: "unlisted".to_owned(),
                schema: self.name.urn.to_string(),
                message: format!("broken; the rules are not listed for more than {MAX_LISTED} values"),
            }];
        }
        let errors = self.validator.iter_errors(node).take(MAX_VIOLATIONS);
        errors
            .map(|error| Violation {
                pointer: bounded(error.instance_path().as_str()),
                keyword: error.kind().keyword().to_owned(),
                schema: self.name.urn.to_string(),
                message: bounded(&error.masked().to_string()),
            })
            .collect()
    }
}

fn bounded(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    clean::without_controls(&text[..end]).into_owned()
}
