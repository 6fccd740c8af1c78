//! `check`: everything that is wrong, at once.

use serde::Serialize;

use super::files::ConfigFile;
use super::output::{Failure, Output, runtime};
use crate::config::{Loaded, Problem};
use crate::serve;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,

    /// Also ask the brokers: reachable, topic or exchange there, size limits, permission to write.
    #[arg(long)]
    live: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    problems: &'a [Problem],
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Vec<Live>>,
}

/// One thing that a broker was asked.
#[derive(Serialize)]
struct Live {
    ok: bool,
    place: String,
    message: String,
    remedy: String,
}

pub fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let (path, loaded) = match args.config.load() {
        Ok(loaded) => loaded,
        Err(Failure::Config(problems)) => {
            if out.json {
                out.value(&Report {
                    ok: false,
                    problems: &problems,
                    live: None,
                })?;
            } else {
                show_problems(&problems, out)?;
            }
            return Err(Failure::Said(2));
        }
        Err(other) => return Err(other),
    };
    let live = match args.live {
        true => Some(ask(&loaded)?),
        false => None,
    };
    let ok = live.iter().flatten().all(|finding| finding.ok);
    if out.json {
        out.value(&Report {
            ok,
            problems: &[],
            live,
        })?;
    } else {
        let name = path.map_or_else(|| "the environment".to_owned(), |path| path.display().to_string());
        let (sources, destinations) = (loaded.sources.len(), loaded.config.destinations.len());
        out.line(format!(
            "{} {name}: {sources} sources, {destinations} destinations",
            out.good("ok")
        ))?;
        for finding in live.iter().flatten() {
            let mark = if finding.ok { out.good("ok") } else { out.bad("no") };
            out.line(format!("{mark} {}: {}", finding.place, finding.message))?;
            if !finding.remedy.is_empty() {
                out.line(format!("   {}", finding.remedy))?;
            }
        }
    }
    if ok { Ok(()) } else { Err(Failure::Said(1)) }
}

fn show_problems(problems: &[Problem], out: &mut Output) -> Result<(), Failure> {
    for problem in problems {
        out.line(format!("{} {}", out.bad("error"), out.bold(&problem.place)))?;
        out.line(format!("   {}", problem.message))?;
        if !problem.remedy.is_empty() {
            out.line(format!("   {}", out.dim(&problem.remedy)))?;
        }
    }
    out.line(match problems.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    })
}

fn ask(loaded: &Loaded) -> Result<Vec<Live>, Failure> {
    let findings = runtime()?.block_on(serve::probe(loaded));
    Ok(findings
        .into_iter()
        .map(|finding| Live {
            ok: finding.ok,
            place: finding.place,
            message: finding.text,
            remedy: finding.remedy,
        })
        .collect())
}
