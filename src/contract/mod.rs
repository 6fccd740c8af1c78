//! Proves the shape of each part against a schema version.

use std::sync::Arc;

use crate::provider::Definition;
use crate::read::{Part, Parts};
use crate::verify::VerifiedDelivery;

/// The contracts of one source, compiled at load.
#[derive(Debug)]
pub struct Contracts {}

/// Made by [`Contracts::check`] and nowhere else.
#[derive(Debug)]
pub struct CheckedDelivery<'d> {
    delivery: VerifiedDelivery<'d>,
    parts: Vec<CheckedPart<'d>>,
    sha256: String,
    batch: bool,
}

#[derive(Debug)]
pub struct CheckedPart<'d> {
    part: Part<'d>,
    verdict: Verdict,
}

#[derive(Debug, Clone)]
pub enum Verdict {
    Passed {
        schema: Arc<SchemaName>,
    },
    /// No contract for this type.
    None,
    /// The source switched contracts off.
    Off,
    /// Broken, but only noted.
    Shadow {
        schema: Option<Arc<SchemaName>>,
        violations: Vec<Violation>,
    },
    /// Broken: goes to quarantine.
    Broken {
        reason: &'static str,
        schema: Option<Arc<SchemaName>>,
        violations: Vec<Violation>,
    },
}

/// Which contract: `urn:hooksluice:contract:<provider>:<type>:<version>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaName {
    pub provider: String,
    pub event: String,
    pub version: String,
    pub urn: String,
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Enforce,
    #[default]
    Quarantine,
    Shadow,
    Off,
}

/// `contract:` of a source.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// What happens to an event that breaks its contract. Default `quarantine`.
    pub mode: Mode,
    /// Version to use where the delivery names none. Default: the newest.
    pub version: Option<String>,
    /// By event type (with the domain; a trailing `.*` matches what is below), overriding `mode`.
    pub types: std::collections::BTreeMap<String, Mode>,
}

/// A part broke its contract in mode `enforce`: nothing of the delivery is published.
#[derive(Debug)]
pub struct Enforced {
    pub violations: Vec<Violation>,
    pub reason: &'static str,
}

impl<'d> CheckedDelivery<'d> {
    pub fn delivery(&self) -> &VerifiedDelivery<'d> {
        &self.delivery
    }
    pub fn parts(&self) -> &[CheckedPart<'d>] {
        &self.parts
    }
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
    pub fn is_batch(&self) -> bool {
        self.batch
    }
}

impl<'d> CheckedPart<'d> {
    pub fn part(&self) -> &Part<'d> {
        &self.part
    }
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

/// One schema file of a provider: event folder, version, text, and where it came from (for messages).
#[derive(Debug, Clone)]
pub struct SchemaFile {
    pub event: String,
    pub version: String,
    pub text: std::borrow::Cow<'static, str>,
    pub place: String,
}

impl Contracts {
    /// Compiles; a bad schema is a problem with file, pointer and reason.
    pub fn compile(
        _provider: &str,
        _definition: &Definition,
        _schemas: Vec<SchemaFile>,
        _policy: &Policy,
    ) -> Result<Self, Vec<String>> {
        todo!()
    }

    pub fn check<'d>(&self, _parts: Parts<'d>) -> Result<CheckedDelivery<'d>, Enforced> {
        todo!()
    }
}
