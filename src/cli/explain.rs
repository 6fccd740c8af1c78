//! `explain`: why a captured delivery is not believed.

use std::sync::Arc;

use super::capture::From;
use super::files::ConfigFile;
use super::given::Given;
use super::output::{Failure, Output, printable, runtime};
use crate::clock;
use crate::config;
use crate::explain::{Case, Report, explain};
use crate::keys::Keyring;
use crate::provider::nearest::did_you_mean;
use crate::provider::{Catalogue, Definition, Settings};
use crate::secret::NamedSecret;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A source of the configuration; or a provider, with `--secret-env`, `--secret-file` or `--setting`.
    against: String,
    #[command(flatten)]
    from: From,

    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    given: Given,
}

/// What a delivery is held against.
struct Against {
    provider: String,
    definition: Definition,
    settings: Settings,
    secrets: Vec<NamedSecret>,
    signature: Option<String>,
    others: Vec<NamedSecret>,
    catalogue: Catalogue,
    url: Option<String>,
    keyring: Keyring,
}

pub fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let against = against(args)?;
    let (captured, recorded) = args.from.read()?;
    let at = recorded.unwrap_or_else(clock::now);
    let called = args.from.url.as_deref().or(against.url.as_deref());
    let raw = captured.delivery(called, at).map_err(Failure::usage)?;
    let case = Case {
        catalogue: &against.catalogue,
        provider: &against.provider,
        definition: against.definition,
        settings: against.settings,
        secrets: against.secrets,
        signature: against.signature,
        others: against.others,
        keyring: Arc::new(against.keyring),
        raw,
        at,
        at_is_known: recorded.is_some(),
        notes: captured.notes,
    };
    let report = runtime()?.block_on(explain(&case));
    if out.json {
        out.value(&report)?;
    } else {
        show(&report, out)?;
    }
    if report.verifies { Ok(()) } else { Err(Failure::Said(1)) }
}

pub(super) fn show(report: &Report, out: &mut Output) -> Result<(), Failure> {
    if report.verifies {
        let proof = report.proof.as_deref().unwrap_or_default();
        return out.line(format!("{} verifies: {proof}", out.good("ok")));
    }
    let step = report.step.map(|step| format!("{step:?}").to_lowercase());
    out.line(format!(
        "{} {}",
        out.bad("refused:"),
        out.bold(&step.unwrap_or_default())
    ))?;
    for found in &report.found {
        out.line(format!("   {}", printable(found)))?;
    }
    out.line(format!("   {} {}", out.dim("expected"), report.expected))?;
    for cause in &report.causes {
        let mark = if cause.proved { "cause" } else { "likely" };
        out.line(format!("{} {}", out.bold(mark), printable(&cause.says)))?;
        out.line(format!("   {}", out.dim(&cause.remedy)))?;
    }
    Ok(())
}

fn against(args: &Args) -> Result<Against, Failure> {
    if args.given.is_given() {
        return provider(args);
    }
    let Some(path) = args.config.find_here() else {
        return provider(args);
    };
    let config = config::settings(Some(&path), config::environment())?;
    let name = match config.sources.contains_key(&args.against) {
        true => args.against.clone(),
        false => {
            let of_provider: Vec<_> = config
                .sources
                .iter()
                .filter(|(_, source)| source.provider == args.against)
                .map(|(name, _)| name.clone())
                .collect();
            match &of_provider[..] {
                [name] => name.clone(),
                [] if Catalogue::built_in().place(&args.against).is_some() => return provider(args),
                [] => {
                    return Err(Failure::usage(format!(
                        "no source `{}` in {}{}",
                        args.against,
                        path.display(),
                        did_you_mean(&args.against, config.sources.keys().map(String::as_str))
                    )));
                }
                several => {
                    return Err(Failure::usage(format!(
                        "{} sources of provider `{}`: name one ({})",
                        several.len(),
                        args.against,
                        several.join(", ")
                    )));
                }
            }
        }
    };
    // Those whose secrets this shell has; the others can neither be told apart nor tried.
    let mut others = Vec::new();
    for other in config.sources.keys().filter(|other| **other != name) {
        if let Ok(loaded) = config::load_only(config.clone(), other) {
            for secret in loaded.sources.into_iter().flat_map(|source| source.secrets) {
                others.push(NamedSecret {
                    name: other.as_str().into(),
                    ..secret
                });
            }
        }
    }
    let mut loaded = config::load_only(config, &name)?;
    let source = loaded
        .sources
        .pop()
        .ok_or_else(|| Failure::usage(format!("no source `{name}` in {}", path.display())))?;
    Ok(Against {
        provider: source.provider.to_string(),
        definition: source.definition,
        settings: source.settings,
        secrets: source.secrets,
        signature: source.signature,
        others,
        url: source.public_url,
        keyring: Keyring::new(loaded.config.outbound.clone()).map_err(Failure::usage)?,
        catalogue: loaded.catalogue,
    })
}

fn provider(args: &Args) -> Result<Against, Failure> {
    let catalogue = args.given.catalogue()?;
    let provider = args.given.provider(&catalogue, &args.against)?;
    Ok(Against {
        provider: args.against.clone(),
        definition: provider.definition,
        settings: provider.settings,
        secrets: args.given.secrets()?,
        signature: None,
        others: Vec::new(),
        catalogue,
        url: None,
        keyring: Keyring::default(),
    })
}
