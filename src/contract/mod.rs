//! Proves the shape of each part against a schema version.
//!
//! Promises: schemas are compiled at load, offline, with linear-time patterns; a bad one refuses
//! with file, pointer and reason. A part that meets its contract costs one walk and no allocation.
//! A broken one says every broken rule (bounded), and never quotes the value that broke it.
//!
//! What is no document at all (not JSON, keys said twice …) breaks every contract, also the absent
//! one: it is quarantined, or refused in `enforce`. In `shadow` and `off` it is published as it
//! came: the operator asked that nothing be held back. An opaque body has no contract.

use std::sync::Arc;

use crate::provider::Definition;
use crate::read::{Document, Part, Parts};
use crate::verify::VerifiedDelivery;

mod modes;
mod schemas;
mod versions;

pub use modes::{Mode, Policy};
pub use schemas::{MAX_VIOLATIONS, SchemaFile, SchemaName, Violation};

use modes::Modes;
use schemas::Schemas;

/// The contracts of one source, compiled at load.
#[derive(Debug)]
pub struct Contracts {
    schemas: Schemas,
    modes: Modes,
    /// Version to use where the delivery names none.
    pin: Option<String>,
}

/// Each part with the schema and version it met, or why it is quarantined.
/// Made by [`Contracts::check`] and nowhere else: from outside it cannot be built.
///
/// ```compile_fail
/// use hooksluice::contract::CheckedDelivery;
/// fn forge(checked: CheckedDelivery<'_>) -> CheckedDelivery<'_> {
///     CheckedDelivery { ..checked }
/// }
/// ```
///
/// The same with the value passed through compiles:
///
/// ```
/// use hooksluice::contract::CheckedDelivery;
/// fn forge(checked: CheckedDelivery<'_>) -> CheckedDelivery<'_> {
///     checked
/// }
/// ```
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
    /// No contract for this type (or none as old as the version delivered).
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
        /// `contract`, or the reason of [`crate::read::NotReadable`].
        reason: &'static str,
        schema: Option<Arc<SchemaName>>,
        violations: Vec<Violation>,
    },
}

impl Verdict {
    fn schema(&self) -> Option<&SchemaName> {
        match self {
            Self::Passed { schema } => Some(schema),
            Self::Shadow { schema, .. } | Self::Broken { schema, .. } => schema.as_deref(),
            Self::None | Self::Off => None,
        }
    }

    /// Bounded label: `passed`, `none`, `off`, `shadow` or `broken`.
    pub fn result(&self) -> &'static str {
        match self {
            Self::Passed { .. } => "passed",
            Self::None => "none",
            Self::Off => "off",
            Self::Shadow { .. } => "shadow",
            Self::Broken { .. } => "broken",
        }
    }

    /// The contract that passed.
    pub fn passed(&self) -> Option<&SchemaName> {
        match self {
            Self::Passed { schema } => Some(schema),
            _ => None,
        }
    }

    /// Labels `type` and `version` of `hooksluice_contract_checks_total`: of the schema that judged,
    /// else [`OTHER`]. Never a sender's text.
    pub fn labels(&self) -> (&str, &str) {
        self.schema()
            .map_or((OTHER, ""), |schema| (&schema.event, &schema.version))
    }
}

/// Metric label of a type without a schema.
pub const OTHER: &str = "other";

/// A part broke its contract in mode `enforce`: nothing of the delivery is published.
#[derive(Debug)]
pub struct Enforced {
    /// The contract of the first part that broke; `None` when it could not be read at all.
    pub schema: Option<Arc<SchemaName>>,
    /// `contract`, or the reason of [`crate::read::NotReadable`], of the first part that broke.
    pub reason: &'static str,
    /// Of all parts that broke, at most [`MAX_VIOLATIONS`]; pointers of a batch begin with the element's index.
    pub violations: Vec<Violation>,
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

impl Contracts {
    /// Compiles; every problem at once, a bad schema with file, pointer and reason.
    pub fn compile(
        provider: &str,
        definition: &Definition,
        schemas: Vec<SchemaFile>,
        policy: &Policy,
    ) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let schemas = Schemas::compile(provider, schemas, &mut problems);
        let modes = Modes::compile(&definition.domain, policy, &mut problems);
        if let Some(pin) = &policy.version
            && !schemas.has_version_up_to(pin)
        {
            problems.push(format!(
                "contract.version: no contract of {provider} is as old as {pin:?}"
            ));
        }
        if problems.is_empty() {
            Ok(Self {
                schemas,
                modes,
                pin: policy.version.clone(),
            })
        } else {
            Err(problems)
        }
    }

    /// Every contract, in the order of their numbers.
    pub fn names(&self) -> Vec<&SchemaName> {
        let mut names: Vec<_> = self.schemas.names().map(|name| &**name).collect();
        names.sort_by_key(|name| name.number);
        names
    }

    /// Judges every part. Only in mode `enforce` is the whole delivery refused.
    pub fn check<'d>(&self, parts: Parts<'d>) -> Result<CheckedDelivery<'d>, Enforced> {
        let (delivery, parts, sha256, batch) = parts.into_pieces();
        let mut enforced: Option<Enforced> = None;
        let mut checked = Vec::with_capacity(parts.len());
        for (index, part) in parts.into_iter().enumerate() {
            let mode = self.modes.of(&part.found.event);
            let verdict = self.verdict(&part, mode);
            if mode == Mode::Enforce
                && let Verdict::Broken {
                    reason,
                    schema,
                    violations,
                } = verdict
            {
                let enforced = enforced.get_or_insert(Enforced {
                    schema,
                    reason,
                    violations: Vec::new(),
                });
                let room = MAX_VIOLATIONS - enforced.violations.len();
                enforced
                    .violations
                    .extend(violations.into_iter().take(room).map(|mut violation| {
                        if batch {
                            violation.pointer.insert_str(0, &format!("/{index}"));
                        }
                        violation
                    }));
                continue;
            }
            checked.push(CheckedPart { part, verdict });
        }
        match enforced {
            Some(enforced) => Err(enforced),
            None => Ok(CheckedDelivery {
                delivery,
                parts: checked,
                sha256,
                batch,
            }),
        }
    }

    /// Judges one part by itself, for a replay; in mode `enforce`, too, a broken one stays in quarantine.
    pub fn judge(&self, part: &Part<'_>) -> Verdict {
        self.verdict(part, self.modes.of(&part.found.event))
    }

    fn verdict(&self, part: &Part<'_>, mode: Mode) -> Verdict {
        if mode == Mode::Off {
            return Verdict::Off;
        }
        let node = match &part.document {
            Document::Opaque => return Verdict::None,
            Document::Json(node) | Document::Form(node) => node,
            Document::Unreadable(unreadable) => {
                return broken(mode, unreadable.reason, None, vec![Violation::unreadable(unreadable)]);
            }
        };
        let found = &part.found;
        let version = found.version.as_deref().or(self.pin.as_deref());
        let contract = found.contract.as_ref().unwrap_or(&found.event);
        let Some(schema) = self.schemas.applicable(contract, version) else {
            return Verdict::None;
        };
        if schema.is_met_by(node) {
            return Verdict::Passed {
                schema: schema.name().clone(),
            };
        }
        broken(mode, "contract", Some(schema.name().clone()), schema.violations(node))
    }
}

fn broken(mode: Mode, reason: &'static str, schema: Option<Arc<SchemaName>>, violations: Vec<Violation>) -> Verdict {
    match mode {
        Mode::Shadow => Verdict::Shadow { schema, violations },
        Mode::Off | Mode::Quarantine | Mode::Enforce => Verdict::Broken {
            reason,
            schema,
            violations,
        },
    }
}
