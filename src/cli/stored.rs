//! `events` and `quarantine`: what the journal holds, read beside a running gateway. What sends or removes is in `replay`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::files::ConfigFile;
use super::output::{Failure, Output, printable};
use super::replay;
use crate::clock::Timestamp;
use crate::destination::journal::{Filter, Reader, Record, Table};
use crate::units::HumanDuration;

#[derive(Debug, clap::Subcommand)]
pub enum Events {
    /// The newest events, the newest last.
    List(List),
    /// One event: attributes and body.
    Show(Show),
    /// Events as they arrive, until interrupted.
    Tail(Tail),
    /// Send events once more, marked as a replay, to where the routes say or to another destination.
    Replay(replay::EventsReplay),
}

#[derive(Debug, clap::Subcommand)]
pub enum Quarantine {
    /// The newest quarantined events, the newest last.
    List(List),
    /// One quarantined event: why, attributes and body.
    Show(Show),
    /// Let quarantined events in again at their contract; those that still break it stay.
    Replay(replay::QuarantineReplay),
    /// Remove old events from the journal's quarantine.
    Prune(replay::PruneArgs),
}

#[derive(Debug, clap::Args)]
pub struct Where {
    #[command(flatten)]
    config: ConfigFile,

    /// The journal's file [default: what the configuration says]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: usize,
    /// Only what was stored within this time, such as `15m` or `2d`.
    #[arg(long, value_name = "DURATION")]
    since: Option<HumanDuration>,
}

#[derive(Debug, clap::Args)]
pub struct Which {
    /// Only of this source.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only of this type; a trailing `.*` stands for everything below.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Show {
    /// Sequence number, or the event's id.
    event: String,
    /// Print the body alone, byte for byte.
    #[arg(long)]
    body: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, clap::Args)]
pub struct Tail {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// Begin with so many that are there already.
    #[arg(short = 'n', long, default_value_t = 0)]
    lines: usize,
}

/// How often a tail looks.
const POLL: Duration = Duration::from_millis(250);

/// How many rows a tail reads at once.
const PAGE: usize = 500;

pub fn events(command: &Events, out: &mut Output) -> Result<(), Failure> {
    match command {
        Events::List(args) => list(Table::Events, args, out),
        Events::Show(args) => show(Table::Events, args, out),
        Events::Tail(args) => tail(args, out),
        Events::Replay(args) => replay::events(args, out),
    }
}

pub fn quarantine(command: &Quarantine, out: &mut Output) -> Result<(), Failure> {
    match command {
        Quarantine::List(args) => list(Table::Quarantine, args, out),
        Quarantine::Show(args) => show(Table::Quarantine, args, out),
        Quarantine::Replay(args) => replay::quarantine(args, out),
        Quarantine::Prune(args) => replay::prune(args, out),
    }
}

impl Where {
    fn open(&self) -> Result<Reader, Failure> {
        let path = match &self.journal {
            Some(path) => path.clone(),
            None => {
                let config = self.config.settings_here()?.ok_or_else(|| {
                    Failure::usage(
                        "no configuration: name one with `--config FILE`, or the journal itself with `--journal FILE`",
                    )
                })?;
                let journal = config
                    .journal
                    .ok_or_else(|| Failure::usage("the configuration has no journal"))?;
                journal.path
            }
        };
        Reader::open(&path).map_err(Failure::finding)
    }
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            source: self.source.clone(),
            kind: self.kind.clone(),
            ..Filter::default()
        }
    }
}

fn list(table: Table, args: &List, out: &mut Output) -> Result<(), Failure> {
    let since = match args.since {
        Some(ago) => Some(crate::clock::now().checked_sub(ago.get()).map_err(Failure::usage)?),
        None => None,
    };
    let filter = Filter {
        limit: Some(args.limit),
        newest: true,
        since,
        ..args.which.filter()
    };
    let mut records = args.place.open()?.list(table, &filter).map_err(Failure::finding)?;
    records.reverse();
    if out.json {
        return out.value(&records.iter().map(summary).collect::<Vec<_>>());
    }
    if records.is_empty() {
        return out.line("nothing yet");
    }
    let mut heading = vec!["SEQ", "STORED", "SOURCE", "TYPE", "ID", "BYTES"];
    if table == Table::Quarantine {
        heading.push("REASON");
    }
    let rows: Vec<_> = records.iter().map(|record| row(record, table)).collect();
    out.table(&heading, &rows)
}

fn show(table: Table, args: &Show, out: &mut Output) -> Result<(), Failure> {
    let reader = args.place.open()?;
    let by_sequence = match args.event.parse() {
        Ok(sequence) => reader.show(table, sequence).map_err(Failure::finding)?,
        Err(_) => None,
    };
    let record = match by_sequence {
        Some(record) => record,
        None => {
            let filter = Filter {
                id: Some(args.event.clone()),
                limit: Some(1),
                newest: true,
                ..Filter::default()
            };
            let found = reader.read(table, &filter).map_err(Failure::finding)?;
            found
                .into_iter()
                .next()
                .ok_or_else(|| Failure::finding(format!("no event `{}` in {}", args.event, table.name())))?
        }
    };
    if args.body {
        return out.bytes(&record.data);
    }
    if out.json {
        return out.value(&whole(&record));
    }
    for (name, value) in whole(&record).as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "body" | "bodyBase64" | "attributes" | "violations") {
            out.line(format!("{} {}", out.dim(&format!("{name:>14}")), plain(value)))?;
        }
    }
    out.line("")?;
    for (name, value) in attributes(&record).into_iter().filter(|(name, _)| name != "violations") {
        out.line(format!("{} {}", out.dim(&format!("{name:>14}")), plain(&value)))?;
    }
    let violations = record
        .violations
        .as_deref()
        .and_then(|text| serde_json::from_str::<Vec<Map<String, Value>>>(text).ok());
    for violation in violations.into_iter().flatten() {
        let text = |name: &str| violation.get(name).map(plain).unwrap_or_default();
        out.line(format!(
            "{} at `{}`: {} ({})",
            out.bad("violation"),
            text("pointer"),
            text("message"),
            text("keyword")
        ))?;
    }
    out.line("")?;
    match std::str::from_utf8(&record.data) {
        Ok(text) => out.line(printable(text)),
        Err(_) => out.line(format!("({} bytes, not text: use --body)", record.data.len())),
    }
}

fn tail(args: &Tail, out: &mut Output) -> Result<(), Failure> {
    let reader = args.place.open()?;
    let mut after = reader.last(Table::Events).map_err(Failure::finding)?;
    if args.lines > 0 {
        let filter = Filter {
            limit: Some(args.lines),
            newest: true,
            ..args.which.filter()
        };
        let mut records = reader.list(Table::Events, &filter).map_err(Failure::finding)?;
        records.reverse();
        records.iter().try_for_each(|record| tailed(record, out))?;
        after = records.last().map_or(after, |record| record.sequence.max(after));
    }
    loop {
        let filter = Filter {
            after: Some(after),
            limit: Some(PAGE),
            ..args.which.filter()
        };
        let records = reader.list(Table::Events, &filter).map_err(Failure::finding)?;
        for record in &records {
            tailed(record, out)?;
            after = record.sequence;
        }
        if records.len() < PAGE {
            std::thread::sleep(POLL);
        }
    }
}

fn tailed(record: &Record, out: &mut Output) -> Result<(), Failure> {
    if out.json {
        let line = serde_json::to_string(&summary(record)).map_err(Failure::finding)?;
        return out.line(line);
    }
    out.line(row(record, Table::Events).join("  "))
}

fn row(record: &Record, table: Table) -> Vec<String> {
    let mut row = vec![
        record.sequence.to_string(),
        clock(record.stored),
        record.source.clone(),
        printable(&record.kind),
        printable(&record.id),
        record.data_bytes.to_string(),
    ];
    if table == Table::Quarantine {
        row.push(record.reason.clone().unwrap_or_default());
    }
    row
}

/// To the second; with `--json` it is exact.
fn clock(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn summary(record: &Record) -> Value {
    let mut summary = json!({
        "sequence": record.sequence,
        "stored": record.stored.to_string(),
        "source": record.source,
        "type": record.kind,
        "id": record.id,
        "time": record.time,
        "bytes": record.data_bytes,
        "sha256": record.sha256,
    });
    for (name, value) in [
        ("destination", &record.destination),
        ("reason", &record.reason),
        ("detail", &record.detail),
    ] {
        if let Some(value) = value {
            summary[name] = json!(value);
        }
    }
    summary
}

fn whole(record: &Record) -> Value {
    let mut whole = summary(record);
    whole["attributes"] = Value::Object(attributes(record));
    if let Some(violations) = &record.violations {
        whole["violations"] = serde_json::from_str(violations).unwrap_or(Value::Null);
    }
    match std::str::from_utf8(&record.data) {
        Ok(text) => whole["body"] = json!(text),
        Err(_) => {
            use base64::Engine as _;
            whole["bodyBase64"] = json!(base64::engine::general_purpose::STANDARD.encode(&record.data));
        }
    }
    whole
}

fn attributes(record: &Record) -> Map<String, Value> {
    serde_json::from_str(&record.attributes).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Null => "-".into(),
        other => other.to_string(),
    }
}
