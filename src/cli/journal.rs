//! `journal`: what a damaged journal still holds.

use std::path::PathBuf;

use serde_json::json;

use super::output::{Failure, Output};
use crate::destination::journal::{JournalError, recover};

#[derive(Debug, clap::Subcommand)]
pub enum Journal {
    /// Write every record of a damaged journal that is whole to a new one. The damaged file stays as it is.
    Recover(Recover),
}

#[derive(Debug, clap::Args)]
pub struct Recover {
    /// The damaged file; its `-wal` is read, too, where it lies beside it.
    file: PathBuf,
    /// The new journal. Nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

pub fn run(command: &Journal, out: &mut Output) -> Result<(), Failure> {
    let Journal::Recover(args) = command;
    let recovered = recover(&args.file, &args.to).map_err(|error| match error {
        JournalError::Exists { .. } | JournalError::Missing { .. } => Failure::usage(error),
        error => Failure::finding(error),
    })?;
    let complete = recovered
        .iter()
        .all(|table| table.changed == 0 && table.missing == Some(0));
    if out.json {
        let tables = recovered.iter().map(|found| {
            json!({
                "table": found.table.name(),
                "recovered": found.whole,
                "changed": found.changed,
                "missing": found.missing,
            })
        });
        out.value(&json!({ "complete": complete, "tables": tables.collect::<Vec<_>>() }))?;
    } else {
        for found in &recovered {
            let missing = match found.missing {
                Some(0) => "none missing".to_owned(),
                Some(missing) => out.bad(&format!("{missing} missing")),
                None => out.bad("how many are missing is not known: the file's count is lost"),
            };
            let mut line = format!("{:<11} {} recovered, {missing}", found.table.name(), found.whole);
            if found.changed > 0 {
                let changed = format!(", {} found that are not what was stored (left out)", found.changed);
                line.push_str(&out.bad(&changed));
            }
            out.line(line)?;
        }
        out.line(format!("written to {}", args.to.display()))?;
    }
    if complete { Ok(()) } else { Err(Failure::Said(1)) }
}
