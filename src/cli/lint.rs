//! `providers lint`: is the catalogue true?

use std::path::PathBuf;

use serde_json::json;

use super::output::{Failure, Output};
use crate::clock;
use crate::lint::lint;
use crate::provider::Catalogue;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these [default: all of the folder, or all that are built in]
    names: Vec<String>,

    /// A folder of providers, laid over the built-in ones.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

pub fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let catalogue =
        Catalogue::with_overlays(args.path.as_slice()).map_err(|errors| Failure::usage(errors[0].to_string()))?;
    let names = match (&args.path, args.names.is_empty()) {
        (_, false) => args.names.clone(),
        (Some(path), true) => Catalogue::names_in(path),
        (None, true) => catalogue.names(),
    };
    if names.is_empty() {
        return Err(Failure::usage(
            "no provider to look at: `--path` names a folder of folders, each with a `provider.toml`",
        ));
    }
    let today = clock::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
    let findings = lint(&catalogue, &names, today);
    if out.json {
        out.value(&json!({ "ok": findings.is_empty(), "providers": names.len(), "findings": findings }))?;
    } else {
        for finding in &findings {
            out.line(format!("{}: {}", out.bold(&finding.place), finding.problem))?;
        }
        let counted = match findings.len() {
            0 => out.good("ok"),
            1 => "1 finding".to_owned(),
            count => format!("{count} findings"),
        };
        out.line(format!("{counted} in {} providers", names.len()))?;
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::Said(1))
    }
}
