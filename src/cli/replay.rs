//! `events replay`, `quarantine replay` and `quarantine prune`.
//!
//! A run can be interrupted at any moment. What leaves its place when it was replayed (the journal's quarantine, a queue)
//! needs no note of it; for the journal's events and for topics, where the originals stay, the place is noted in a file
//! beside the journal, and the same command goes on there.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::files::ConfigFile;
use super::gateway::{Gateway, Lines};
use super::output::{Failure, Output, printable, runtime};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::destination::backlog::{Cursor, Part, Selection, Span};
use crate::http::Prune;
use crate::replay::{From, Left, Line, Progress, Request};
use crate::units::{ByteSize, HumanDuration};

#[derive(Debug, clap::Args)]
pub struct EventsReplay {
    #[command(flatten)]
    common: Replay,
}

#[derive(Debug, clap::Args)]
pub struct QuarantineReplay {
    #[command(flatten)]
    common: Replay,
    /// The quarantine of this destination, on its broker [default: the journal's]
    #[arg(long, value_name = "DESTINATION")]
    from: Option<String>,
    /// This topic of it; may be given more than once [default: what the configuration says]
    #[arg(long, value_name = "NAME", requires = "from")]
    topic: Vec<String>,
    /// Only these offsets of the topic, the last one not among them: `PARTITION:FROM..TO`. May be given more than once.
    #[arg(long, value_name = "RANGE", requires = "from", value_parser = span)]
    offsets: Vec<Span>,
    /// This queue [default: named like the quarantine's exchange]
    #[arg(long, value_name = "NAME", requires = "from", conflicts_with_all = ["topic", "offsets"])]
    queue: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Replay {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    which: Which,
    /// Send to this destination, not where the routes say.
    #[arg(long, value_name = "DESTINATION")]
    to: Option<String>,
    /// Say what would be sent and what would stay, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// At most so many events a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Begin anew where an interrupted run of the same command would be gone on with.
    #[arg(long)]
    restart: bool,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The event of this id; may be given more than once.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Events of this type; a trailing `.*` stands for everything below. May be given more than once.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Vec<String>,
    /// Events of this source; may be given more than once.
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// Stored, or on a broker received, at or after: `2h` ago, or `2026-11-05T12:00:00Z`.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Stored or received before.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// What was stored before: `30d` ago, or `2026-11-05T12:00:00Z`.
    #[arg(long, value_name = "TIME")]
    before: Moment,
    /// Only of this type; a trailing `.*` stands for everything below. May be given more than once.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Vec<String>,
    /// Only of this source; may be given more than once.
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// Really remove them. Without it they are only counted.
    #[arg(long)]
    yes: bool,
}

/// A moment, and how it was written.
#[derive(Clone, Debug)]
struct Moment {
    at: Timestamp,
    text: String,
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = match text.parse::<HumanDuration>() {
            Ok(ago) => crate::clock::now()
                .checked_sub(ago.get())
                .map_err(|error| error.to_string())?,
            Err(_) => text
                .parse()
                .map_err(|_| "write how long ago (`2h`, `7d`), or a time (`2026-11-05T12:00:00Z`)".to_owned())?,
        };
        let text = text.to_owned();
        Ok(Self { at, text })
    }
}

fn span(text: &str) -> Result<Span, String> {
    let parts = || {
        let (partition, range) = text.split_once(':')?;
        let (from, to) = range.split_once("..")?;
        Some(Span {
            partition: partition.parse().ok()?,
            from: from.parse().ok()?,
            to: to.parse().ok()?,
        })
    };
    parts().ok_or_else(|| "write `PARTITION:FROM..TO`, such as `0:120..250`".to_owned())
}

/// What is kept of events that stay, for the report; more are counted.
const SHOWN: usize = 20;
const REPORTED: usize = 1000;
/// Broken rules that the text shows of each; `--json` has them all.
const RULES: usize = 3;

pub fn events(args: &EventsReplay, out: &mut Output) -> Result<(), Failure> {
    replay(&args.common, From::Events, out)
}

pub fn quarantine(args: &QuarantineReplay, out: &mut Output) -> Result<(), Failure> {
    let from = match &args.from {
        None => From::Quarantine,
        Some(destination) => From::Broker {
            destination: destination.clone(),
            part: Part {
                places: args.topic.iter().chain(&args.queue).cloned().collect(),
                offsets: args.offsets.clone(),
            },
        },
    };
    replay(&args.common, from, out)
}

pub fn prune(args: &PruneArgs, out: &mut Output) -> Result<(), Failure> {
    let config = settings(&args.config)?;
    let prune = Prune {
        selection: Selection {
            types: args.kind.clone(),
            sources: args.source.clone(),
            until: Some(args.before.at),
            ..Selection::default()
        },
        really: args.yes,
    };
    let pruned = runtime()?.block_on(async {
        let gateway = Gateway::reach(&args.config, &config).await?;
        let pruned = gateway.prune(prune).await;
        gateway.close().await;
        pruned
    })?;
    if out.json {
        return out.value(&json!({ "events": pruned.events, "bytes": pruned.bytes, "removed": args.yes }));
    }
    let size = ByteSize::bytes(pruned.bytes);
    let events = match pruned.events {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    };
    if args.yes {
        out.line(format!("{events} removed, with {size} of bodies"))
    } else {
        out.line(format!(
            "{events}, with {size} of bodies, would be removed; `--yes` removes them"
        ))
    }
}

fn settings(place: &ConfigFile) -> Result<Config, Failure> {
    place
        .settings_here()?
        .ok_or_else(|| Failure::usage("no configuration: name one with `--config FILE`"))
}

fn replay(args: &Replay, from: From, out: &mut Output) -> Result<(), Failure> {
    let config = settings(&args.config)?;
    let which = &args.which;
    let mut request = Request {
        from,
        selection: Selection {
            ids: which.id.clone(),
            types: which.kind.clone(),
            sources: which.source.clone(),
            since: which.since.as_ref().map(|moment| moment.at),
            until: which.until.as_ref().map(|moment| moment.at),
        },
        to: args.to.clone(),
        dry_run: args.dry_run,
        rate: args.rate,
        cursor: Cursor::default(),
    };
    let note = Note::of(&request, which, &config);
    if !args.dry_run {
        if args.restart {
            note.forget()?;
        } else if let Some(noted) = note.read()? {
            Output::remark("goes on where an earlier run of this command stopped; `--restart` begins anew");
            request = Request {
                rate: args.rate,
                ..noted
            };
        }
    }
    let report = runtime()?.block_on(async {
        let gateway = Gateway::reach(&args.config, &config).await?;
        let report = follow(&gateway, &request, &note, out).await;
        gateway.close().await;
        report
    })?;
    report.tell(&request, out)
}

async fn follow(gateway: &Gateway, request: &Request, note: &Note, out: &Output) -> Result<Report, Failure> {
    let mut lines: Lines = gateway.replay(request.clone()).await?;
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    let mut report = Report::default();
    while let Some(line) = lines.next().await? {
        match line {
            Line::Start { total } => {
                bar.set_length(total);
                if !out.json {
                    // Hidden by itself where standard error is no terminal.
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}");
                    bar.set_style(style.map_err(Failure::finding)?);
                }
            }
            Line::Left(left) => {
                if report.left.len() < REPORTED {
                    report.left.push(left);
                }
            }
            Line::Progress(progress) => {
                bar.set_position(progress.tally.seen);
                bar.set_message(format!("{} replayed", progress.tally.replayed));
                note.write(request, &progress.cursor)?;
                report.progress = progress;
            }
            Line::End { progress, stopped } => {
                match &stopped {
                    None => note.forget()?,
                    Some(_) => note.write(request, &progress.cursor)?,
                }
                report.progress = progress;
                report.stopped = stopped;
                report.ended = true;
            }
        }
    }
    bar.finish_and_clear();
    Ok(report)
}

#[derive(Debug, Default)]
struct Report {
    progress: Progress,
    left: Vec<Left>,
    stopped: Option<String>,
    ended: bool,
}

impl Report {
    fn tell(&self, request: &Request, out: &mut Output) -> Result<(), Failure> {
        let tally = &self.progress.tally;
        let stopped = match &self.stopped {
            Some(reason) => Some(reason.as_str()),
            None if !self.ended => Some("the gateway ended in the middle of it"),
            None => None,
        };
        let all = stopped.is_none() && tally.broken == 0 && tally.left == 0;
        if out.json {
            out.value(&json!({
                "dryRun": request.dry_run,
                "seen": tally.seen,
                "replayed": tally.replayed,
                "broken": tally.broken,
                "left": tally.left,
                "passedOver": tally.passed_over,
                "stopped": stopped,
                "stays": self.left,
            }))?;
            return if all { Ok(()) } else { Err(Failure::Said(1)) };
        }
        for left in self.left.iter().take(SHOWN) {
            let mut line = format!("{} {}", out.bad("stays"), printable(&left.place));
            for word in [&left.kind, &left.id] {
                if !word.is_empty() {
                    line.push_str("  ");
                    line.push_str(&printable(word));
                }
            }
            out.line(format!("{line}: {}", printable(&left.reason)))?;
            for violation in left.violations.iter().take(RULES) {
                let text = format!("at `{}`: {}", violation.pointer, violation.message);
                out.line(format!("      {}", out.dim(&printable(&text))))?;
            }
            if left.violations.len() > RULES {
                let more = format!("and {} rules more", left.violations.len() - RULES);
                out.line(format!("      {}", out.dim(&more)))?;
            }
        }
        if tally.broken + tally.left > SHOWN as u64 {
            out.line(format!("… and more: {} in all", tally.broken + tally.left))?;
        }
        let verb = if request.dry_run {
            "would be replayed"
        } else {
            "replayed"
        };
        let mut said = format!("{} {verb}", tally.replayed);
        for (count, what) in [
            (tally.broken, "still break their contract"),
            (tally.left, "stay for another reason"),
            (tally.passed_over, "not selected"),
        ] {
            if count > 0 {
                said.push_str(&format!(", {count} {what}"));
            }
        }
        out.line(said)?;
        match stopped {
            Some(reason) => Err(Failure::finding(format!(
                "stopped: {}; the same command goes on there",
                printable(reason)
            ))),
            None if all => Ok(()),
            None => Err(Failure::Said(1)),
        }
    }
}

/// The note of how far a run came.
#[derive(Debug)]
struct Note(PathBuf);

impl Note {
    /// One for each command: two replays of different events do not disturb each other.
    fn of(request: &Request, which: &Which, config: &Config) -> Self {
        let text = |moment: &Option<Moment>| moment.as_ref().map(|moment| moment.text.clone());
        let same = json!({
            "from": request.from,
            "ids": which.id, "types": which.kind, "sources": which.source,
            "since": text(&which.since), "until": text(&which.until),
            "to": request.to,
        });
        let digest = hex::encode(Sha256::digest(same.to_string()));
        let name = format!(".replay-{}", &digest[..8]);
        let mut path = match &config.journal {
            Some(journal) => journal.path.clone().into_os_string(),
            None => "hooksluice".into(),
        };
        path.push(name);
        Self(path.into())
    }

    fn read(&self) -> Result<Option<Request>, Failure> {
        let text = match std::fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&self.0, &error)),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| failed(&self.0, &format!("{error}; `--restart` begins anew")))
    }

    /// Whole or not at all: what a crash leaves must be readable.
    fn write(&self, request: &Request, cursor: &Cursor) -> Result<(), Failure> {
        if request.dry_run || *cursor == Cursor::default() {
            return Ok(());
        }
        let request = Request {
            cursor: cursor.clone(),
            ..request.clone()
        };
        let text = serde_json::to_vec(&request).map_err(Failure::finding)?;
        let mut fresh = self.0.clone().into_os_string();
        fresh.push("~");
        let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &self.0));
        written.map_err(|error| failed(&self.0, &error))
    }

    fn forget(&self) -> Result<(), Failure> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&self.0, &error)),
            _ => Ok(()),
        }
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::finding(format!("the replay's note `{}`: {error}", path.display()))
}
