//! `sources:` by name, as they are written, and as they are loaded: provider looked up, secrets read, settings checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::destination::JOURNAL;
use super::problem::Problem;
use super::{Config, check};
use crate::contract::{Policy, SchemaFile};
use crate::provider::settings::Given;
use crate::provider::{Catalogue, CatalogueError, Definition, Settings};
use crate::rate::Rate;
use crate::secret::{NamedSecret, SecretEntry};
use crate::units::{ByteSize, HumanDuration};

/// One source, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name of a provider in the catalogue. Required.
    pub provider: String,
    /// Path of the endpoint. Default `/in/<name>`.
    #[serde(default)]
    pub path: Option<String>,
    /// Active secrets, `{ name, env | file | value }` each; any of them may have signed.
    #[serde(default)]
    pub secrets: Vec<SecretEntry>,
    /// What the provider needs besides secrets (`hooksluice providers NAME` lists it).
    #[serde(default)]
    pub settings: BTreeMap<String, Given>,
    /// Accept only this of the provider's ways to sign, by its name (`hooksluice providers NAME` lists them).
    /// Default: the strongest that a delivery carries.
    #[serde(default)]
    pub signature: Option<String>,
    /// Name of a destination. Default: the journal.
    #[serde(default)]
    pub destination: Option<String>,
    /// What happens to events that break their contract.
    #[serde(default)]
    pub contract: Policy,
    /// Other ways for some event types; the first that matches counts.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Publish the sender's bytes (`raw`), or a form or XML as JSON (`json`). Default `raw`.
    #[serde(default)]
    pub payload: Payload,
    /// Publish each element of a batch (`split`), or the signed body unsplit (`whole`). Default `split`.
    #[serde(default)]
    pub batch: BatchMode,
    /// The URL that the platform calls, whole, in place of `ingress.public_url` and the path.
    #[serde(default)]
    pub public_url: Option<String>,
    /// Largest body. Default: the provider's, else `ingress.body_limit`.
    #[serde(default)]
    pub body_limit: Option<ByteSize>,
    /// Verified deliveries, such as `100/s`, `600/m` or `10000/h`; more are 429 with `Retry-After`. Default: any number.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// What the sender hears when its delivery is durable.
    #[serde(default)]
    pub answer: AnswerStatus,
    /// Networks (CIDR) or addresses that deliveries may come from; `published` stands for those that the platform's page
    /// named when it was read. Others are refused before their body is read. Default: from everywhere.
    #[serde(default)]
    pub senders: Vec<String>,
    /// Names (DNS) of which the sender's client certificate must have one; `ingress.tls.client_ca` says who may have issued
    /// it. Default: none is asked for.
    #[serde(default)]
    pub client_certificates: Vec<String>,
    /// File to which the secret is written that the platform tells in its first request (Asana, Gusto, Notion), for you to
    /// look at: it is never used by itself. Only while the source has no secret; everything else is 503 meanwhile.
    #[serde(default)]
    pub capture: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    #[default]
    Raw,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchMode {
    #[default]
    Split,
    Whole,
}

/// `answer:` of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerStatus {
    /// 200, 202 or 204. Default: the provider's, else 200.
    pub status: Option<u16>,
}

/// `routes:` of a source: one way for some event types.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Event types with their domain; a trailing `.*` stands for everything below.
    pub types: Vec<String>,
    /// Where they go.
    #[serde(default)]
    pub destination: Option<String>,
    /// Acknowledge and count them, publish nothing.
    #[serde(default)]
    pub ignore: bool,
}

impl Route {
    /// Whether an event of this type (with its domain) goes this way.
    pub fn matches(&self, kind: &str) -> bool {
        self.types.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => kind.len() > prefix.len() && kind.starts_with(prefix),
            None => kind == pattern,
        })
    }
}

/// One source, loaded: everything that the rooms compile from.
#[derive(Clone, Debug)]
pub struct LoadedSource {
    pub name: Arc<str>,
    pub path: String,
    pub provider: Arc<str>,
    /// With the source's settings worked in.
    pub definition: Definition,
    pub settings: Settings,
    /// The name of the one signature to accept, where one is pinned.
    pub signature: Option<String>,
    pub secrets: Vec<NamedSecret>,
    pub schemas: Vec<SchemaFile>,
    pub contract: Policy,
    pub destination: Arc<str>,
    pub routes: Vec<Route>,
    pub payload: Payload,
    pub batch: BatchMode,
    /// The URL that the platform calls, where that is configured.
    pub public_url: Option<String>,
    pub body_limit: ByteSize,
    /// How many verified deliveries are taken.
    pub rate: Option<Rate>,
    /// From the complete body to the answer.
    pub ack_budget: Duration,
    /// What the sender hears when its delivery is durable.
    pub answer_status: u16,
    /// `None`: from everywhere.
    pub senders: Option<Vec<IpNet>>,
    /// Empty: no client certificate is asked for.
    pub client_certificates: Vec<String>,
    pub capture: Option<PathBuf>,
}

impl LoadedSource {
    /// Names of all destinations that its events may go to.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        let routed = self.routes.iter().filter_map(|route| route.destination.as_deref());
        std::iter::once(&*self.destination).chain(routed)
    }
}

impl Source {
    pub fn path(&self, name: &str) -> String {
        self.path.clone().unwrap_or_else(|| format!("/in/{name}"))
    }

    /// Files that this source is read from.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let secrets = self.secrets.iter().filter_map(SecretEntry::from_file);
        secrets
            .chain(self.settings.values().flat_map(Given::files))
            .map(PathBuf::from)
    }

    /// Looks up and reads what the source names. Every problem at once.
    pub(super) fn load(
        &self,
        name: &str,
        config: &Config,
        catalogue: &Catalogue,
    ) -> Result<LoadedSource, Vec<Problem>> {
        let place = format!("sources.{name}");
        let at = |key: &str| format!("{place}.{key}");
        let mut problems = Vec::new();

        check::path(&at("path"), &self.path(name), &mut problems);
        if let Some(url) = &self.public_url {
            check::public_url(&at("public_url"), url, &mut problems);
        }
        let destination = self.destination.as_deref().unwrap_or(JOURNAL);
        check::destination(&at("destination"), destination, config, &mut problems);
        let secrets = self.load_secrets(&at("secrets"), &mut problems);

        let provider = match catalogue.provider(&self.provider, &self.settings) {
            Ok(provider) => Some(provider),
            Err(errors) => {
                problems.extend(errors.into_iter().map(|error| match error {
                    CatalogueError::Settings(message) => Problem::new(at("settings"), message, ""),
                    other => Problem::new(at("provider"), other.to_string(), ""),
                }));
                None
            }
        };
        let schemas = catalogue.schemas(&self.provider).unwrap_or_else(|errors| {
            problems.extend(
                errors
                    .into_iter()
                    .map(|error| Problem::new(at("provider"), error.to_string(), "")),
            );
            Vec::new()
        });
        let domain = provider
            .as_ref()
            .map_or("", |provider| provider.definition.domain.as_str());
        for (index, route) in self.routes.iter().enumerate() {
            check::route(
                &format!("{place}.routes[{index}]"),
                route,
                domain,
                config,
                &mut problems,
            );
        }
        for pattern in self.contract.types.keys() {
            check::type_pattern(&at("contract.types"), pattern, domain, &mut problems);
        }
        if !matches!(self.answer.status, None | Some(200 | 202 | 204)) {
            problems.push(Problem::new(
                at("answer.status"),
                "is not a status of success",
                "give 200, 202 or 204",
            ));
        }
        if !self.client_certificates.is_empty() && config.ingress.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none())
        {
            problems.push(Problem::new(
                at("client_certificates"),
                "nobody is asked for a certificate",
                "give `ingress.tls.client_ca`, the authorities that issue them",
            ));
        }
        let published = provider
            .as_ref()
            .map_or(&[][..], |provider| &provider.definition.senders);
        let senders = check::senders(&at("senders"), &self.senders, published, &mut problems);
        if let (Some(_), Some(provider)) = (&self.capture, &provider) {
            check::capture(&at("capture"), self, &provider.definition, &mut problems);
        }
        let Some(provider) = provider else { return Err(problems) };
        let definition = provider.definition;
        let body_limit = match (self.body_limit, definition.body.limit.as_deref().map(str::parse)) {
            (Some(limit), _) => limit,
            (None, Some(Ok(limit))) => limit,
            (None, Some(Err(error))) => {
                problems.push(definition_problem(&at("provider"), "body.limit", &error));
                config.ingress.body_limit
            }
            (None, None) => config.ingress.body_limit,
        };
        let deadline = definition
            .answer
            .deadline
            .as_deref()
            .map(str::parse::<HumanDuration>)
            .transpose();
        let deadline = deadline.unwrap_or_else(|error| {
            problems.push(definition_problem(&at("provider"), "answer.deadline", &error));
            None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(LoadedSource {
            name: name.into(),
            path: self.path(name),
            provider: self.provider.as_str().into(),
            settings: provider.settings,
            signature: self.signature.clone(),
            secrets,
            schemas: schemas
                .into_iter()
                .map(|s| SchemaFile {
                    event: s.event,
                    version: s.version,
                    text: s.text,
                    place: s.place,
                })
                .collect(),
            contract: self.contract.clone(),
            destination: destination.into(),
            routes: self.routes.clone(),
            payload: self.payload,
            batch: self.batch,
            public_url: self.public_url.clone().or_else(|| {
                let base = config.ingress.public_url.as_deref()?.trim_end_matches('/');
                Some(format!("{base}{}", self.path(name)))
            }),
            body_limit,
            rate: self.rate,
            ack_budget: ack_budget(config.ingress.ack_budget.get(), deadline.map(HumanDuration::get)),
            answer_status: self.answer.status.or(definition.answer.status).unwrap_or(200),
            senders,
            client_certificates: self.client_certificates.clone(),
            capture: self.capture.clone(),
            definition,
        })
    }

    fn load_secrets(&self, place: &str, problems: &mut Vec<Problem>) -> Vec<NamedSecret> {
        let mut names = BTreeSet::new();
        let mut secrets = Vec::with_capacity(self.secrets.len());
        for (index, entry) in self.secrets.iter().enumerate() {
            let place = format!("{place}[{index}]");
            match entry.load(index + 1) {
                Ok(secret) => {
                    if !names.insert(secret.name.clone()) {
                        let message = format!("a second secret is named `{}`", secret.name);
                        problems.push(Problem::new(
                            place,
                            message,
                            "give each a name of its own: metrics and events tell them apart by it",
                        ));
                    }
                    secrets.push(secret);
                }
                Err(error) => problems.push(Problem::new(place, error.to_string(), "")),
            }
        }
        secrets
    }
}

/// The smaller of the setting and 80 % of what the platform waits.
fn ack_budget(setting: Duration, deadline: Option<Duration>) -> Duration {
    deadline.map_or(setting, |deadline| setting.min(deadline * 4 / 5))
}

fn definition_problem(place: &str, key: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::new(
        place,
        format!("provider.toml: `{key}`: {error}"),
        "mend the provider's file",
    )
}
