//! Is the catalogue true? Every definition is held against its own samples, by the rooms that a delivery walks through.
//!
//! Promises: every finding at once, each with its file and a remedy; nothing is fetched; no secret is printed. What
//! passes here has been verified, bent, aged, read and checked for real, not looked at by its form.
//!
//! | file | what it asks |
//! | --- | --- |
//! | `facts` | is said where it was read, when, and how sure that is |
//! | `samples` | do the samples verify, does a forged one not, are they the events that they say |
//! | `forged` | the changes that must not go through |
//! | `recorded` | a sample as the source of its platform would receive it |
//! | `twins` | is it a provider of its own |

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::civil::Date;
use serde::Serialize;

use crate::contract::{Contracts, Policy, SchemaFile};
use crate::provider::definition::BodyFormat;
use crate::provider::{Catalogue, Definition};

mod facts;
mod forged;
pub mod recorded;
mod samples;
mod twins;

/// Something that is not right, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub provider: String,
    /// The file.
    pub place: String,
    /// Key or sample, what is wrong, and the remedy.
    pub problem: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// One provider under examination.
struct Subject<'c> {
    catalogue: &'c Catalogue,
    name: &'c str,
    definition: Definition,
    /// Of `provider.toml`.
    place: String,
    findings: Vec<Finding>,
}

impl Subject<'_> {
    /// For any sender: which envelope it has is the source's to know.
    fn is_generic(&self) -> bool {
        self.definition.category == "generic"
    }

    /// What is not looked into can meet no schema.
    fn has_no_contract(&self) -> bool {
        self.is_generic() || self.definition.body.format == BodyFormat::Opaque
    }

    fn say(&mut self, problem: impl std::fmt::Display) {
        let place = self.place.clone();
        self.say_at(place, problem);
    }

    fn say_at(&mut self, place: impl Into<String>, problem: impl std::fmt::Display) {
        self.findings.push(Finding {
            provider: self.name.to_owned(),
            place: place.into(),
            problem: problem.to_string(),
        });
    }
}

/// Examines the named providers; each is compared with the whole catalogue. `today`: nothing was read after it.
pub fn lint(catalogue: &Catalogue, names: &[String], today: Date) -> Vec<Finding> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(names.len()) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let findings = examine(catalogue, name, today);
                    found
                        .lock()
                        .unwrap_or_else(|poisoned| poisoned.into_inner())
                        .extend(findings);
                }
            });
        }
    });
    let mut findings = found.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    findings.extend(twins::find(catalogue, names));
    findings.sort();
    findings.dedup();
    findings
}

fn examine(catalogue: &Catalogue, name: &str, today: Date) -> Vec<Finding> {
    let place = catalogue.place(name).unwrap_or_else(|| name.to_owned());
    let mut subject = match catalogue.definition(name) {
        Ok(definition) => Subject {
            catalogue,
            name,
            definition,
            place,
            findings: Vec::new(),
        },
        Err(error) => {
            let said = error.to_string();
            let problem = said.strip_prefix(&format!("{place}: ")).unwrap_or(&said).to_owned();
            return vec![Finding {
                provider: name.to_owned(),
                place,
                problem,
            }];
        }
    };
    facts::check(&mut subject, today);
    stray_files(&mut subject);
    if let Some(contracts) = contracts(&mut subject) {
        samples::check(&mut subject, &contracts);
    }
    subject.findings
}

/// Files that nothing reads: a misplaced schema would be missed only when a broken delivery goes through.
fn stray_files(subject: &mut Subject<'_>) {
    for (path, place) in subject.catalogue.paths(subject.name) {
        let known = match path.split_once('/') {
            None => path == "provider.toml" || path.ends_with(".md"),
            Some(("samples", _)) => true,
            Some(("sample", _)) => false,
            Some((_, file)) => file.ends_with(".json"),
        };
        if !known {
            subject.say_at(place, "nothing reads this file; a schema is `<event>/<version>.json`, a sample `samples/<name>.toml` and its body beside it");
        }
    }
}

/// The provider's schemas, compiled once for all its samples.
fn contracts(subject: &mut Subject<'_>) -> Option<Contracts> {
    let schemas = match subject.catalogue.schemas(subject.name) {
        Ok(schemas) => schemas,
        Err(errors) => {
            for error in errors {
                subject.say(error);
            }
            return None;
        }
    };
    if schemas.is_empty() && !subject.has_no_contract() {
        subject.say("no schema; add one at least for the platform's envelope: `default/1.json`");
    }
    let files: Vec<SchemaFile> = schemas
        .into_iter()
        .map(|schema| SchemaFile {
            event: schema.event,
            version: schema.version,
            text: schema.text,
            place: schema.place,
        })
        .collect();
    let places: BTreeMap<_, _> = files
        .iter()
        .map(|file| (format!("{}: ", file.place), file.place.clone()))
        .collect();
    match Contracts::compile(subject.name, &subject.definition, files, &Policy::default()) {
        Ok(contracts) => Some(contracts),
        Err(problems) => {
            for problem in problems {
                let own = places.iter().find(|(prefix, _)| problem.starts_with(prefix.as_str()));
                match own {
                    Some((prefix, place)) => subject.say_at(place.clone(), &problem[prefix.len()..]),
                    None => subject.say(problem),
                }
            }
            None
        }
    }
}
