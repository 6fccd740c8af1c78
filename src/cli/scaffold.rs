//! `providers new`: a folder for one more platform, to be filled in until `providers lint` has nothing to say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::output::{Failure, Output};
use crate::provider::definition::Alternative;
use crate::provider::sample::Sample;
use crate::provider::{Catalogue, Definition};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the platform is to be called: small letters, digits and `-`.
    name: String,
    /// The provider whose signature is most like it (`hooksluice providers` lists them all).
    #[arg(long, value_name = "PROVIDER")]
    from: String,
    /// The folder of providers that it is put into.
    #[arg(long, value_name = "DIR", default_value = "schemas")]
    path: PathBuf,
}

pub fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let name = args.name.as_str();
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(good) {
        return Err(Failure::usage(format!(
            "`{name}` is no name for a provider: small letters, digits and `-`"
        )));
    }
    let overlays: Vec<PathBuf> = args.path.is_dir().then(|| args.path.clone()).into_iter().collect();
    let catalogue = Catalogue::with_overlays(&overlays).map_err(|errors| Failure::usage(errors[0].to_string()))?;
    if let Some(place) = catalogue.place(name) {
        return Err(Failure::usage(format!("there is a provider `{name}` already: {place}")));
    }
    let base = catalogue.definition(&args.from).map_err(Failure::usage)?;
    if base.category == "generic" {
        return Err(Failure::usage(format!(
            "`{}` is for senders without a definition, and is configured in the source; start from a platform that signs alike",
            args.from
        )));
    }
    let sample = catalogue
        .sample_names(&args.from)
        .first()
        .and_then(|first| catalogue.sample(&args.from, first).ok());
    let folder = args.path.join(name);
    let (event, body) = match &sample {
        Some(sample) => (sample.event.clone(), String::from_utf8_lossy(&sample.body).into_owned()),
        None => ("example".to_owned(), "{}\n".to_owned()),
    };
    let kind = sample.as_ref().map_or("json", kind);
    let files = [
        ("provider.toml".to_owned(), definition(&catalogue, args, &base)?),
        ("default/1.json".to_owned(), schema(name, &base)?),
        (format!("samples/{event}.{kind}"), body),
        (
            format!("samples/{event}.toml"),
            sheet(args, &event, kind, sample.as_ref()),
        ),
    ];
    for (file, text) in &files {
        write(&folder.join(file), text.as_bytes())?;
    }
    let written: Vec<_> = files
        .iter()
        .map(|(file, _)| folder.join(file).display().to_string())
        .collect();
    if out.json {
        return out.value(&json!({ "provider": name, "from": args.from, "files": written }));
    }
    for file in &written {
        out.line(file)?;
    }
    out.line("")?;
    out.line(format!(
        "Fill in what `hooksluice providers lint --path {} {name}` names, until it is green.",
        args.path.display()
    ))
}

pub(super) fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("cannot write `{}`: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

/// How a sample's body is called.
fn kind(sample: &Sample) -> &'static str {
    let mut headers = sample.request.headers.iter();
    let content_type = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    super::record::body_kind(content_type.map_or("", |(_, value)| value))
}

/// What is to be said anew of every platform; the linter asks for each.
fn head(args: &Args, base: &Definition) -> String {
    let title: String = args
        .name
        .split('-')
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect::<Vec<_>>()
        .join(" ");
    format!(
        r#"# The platform's name as it writes it itself.
title = "{title}"
category = "{category}"
# The page on signatures, and the day on which you read it (YYYY-MM-DD).
docs = ""
read = ""
# `oracle`: the platform's own kit accepted the sample. `documented`: you read the passage. `reported`: anything less.
confidence = "reported"
# Which kit and its version, or which passage.
evidence = ""
# Reverse domain of the platform, in front of its event types.
domain = "com.{name}"
"#,
        category = base.category,
        name = args.name,
    )
}

fn definition(catalogue: &Catalogue, args: &Args, base: &Definition) -> Result<String, Failure> {
    let head = head(args, base);
    let from = &args.from;
    // A standard that platforms share is extended: then it is mended in one place. One that extends is not extended.
    if base.category == "standard" && catalogue.base(from).is_none() {
        return Ok(format!(
            r#"# Signed as `{from}` says. What differs goes below; tables are joined, lists replaced.
extends = "{from}"
{head}
[secret]
# Where a user finds it on the platform.
hint = ""

[answer]
# As the platform's page says, or "not stated".
success = ""
retries = ""
on_4xx = ""
"#
        ));
    }
    let source = catalogue.base(from).unwrap_or_else(|| from.clone());
    let text = catalogue.definition_text(&source).map_err(Failure::usage)?;
    let rules = blank(rules(&text));
    Ok(format!(
        "{head}\n# From here on as `{source}` has it: change what differs. `src/provider/definition.rs` explains every key.\n{rules}"
    ))
}

/// Everything behind the first table's heading.
fn rules(text: &str) -> &str {
    let mut at = 0;
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        if !inside && line.starts_with('[') {
            return &text[at..];
        }
        if line.matches("\"\"\"").count() % 2 == 1 {
            inside = !inside;
        }
        at += line.len();
    }
    ""
}

/// Without the other platform's prose and comments.
fn blank(rules: &str) -> String {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in rules.lines() {
        let was_inside = inside;
        if line.matches("\"\"\"").count() % 2 == 1 {
            inside = !inside;
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        if was_inside || line.starts_with('#') {
            continue;
        }
        match ["hint", "success", "retries", "on_4xx", "deadline"].contains(&key) {
            // A deadline may be left out; the others are asked for.
            true if key == "deadline" => lines.push("# deadline = \"10s\"".to_owned()),
            true => lines.push(format!("{key} = \"\"")),
            false => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

/// The envelope: what the rules look for in every event.
fn schema(name: &str, base: &Definition) -> Result<String, Failure> {
    // Of alternatives, none is in every event.
    let only = |alternatives: &[Alternative]| match alternatives {
        [Alternative::One(find)] => find.item.clone().or(find.json.clone()),
        _ => None,
    };
    let members: BTreeSet<String> = [only(&base.event.kind), only(&base.event.id)]
        .into_iter()
        .flatten()
        .filter_map(|pointer| Some(pointer.split('/').nth(1)?.to_owned()))
        .collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{name}: event"),
        "description": "What every event has; the rest is the event's own.",
        "type": "object",
        "required": members,
    });
    Ok(serde_json::to_string_pretty(&schema).map_err(Failure::finding)? + "\n")
}

fn sheet(args: &Args, event: &str, kind: &str, sample: Option<&Sample>) -> String {
    let mut text = format!(
        "# A body as the platform sends it, byte for byte, is in `{event}.{kind}`: put its own in place of this one.\n\
         event = \"{event}\"\nbody = \"{event}.{kind}\"\n\n[request.headers]\n"
    );
    for (name, value) in sample.iter().flat_map(|sample| &sample.request.headers) {
        text.push_str(&format!("{} = {}\n", key(name), quoted(value)));
    }
    text.push_str(&format!(
        "\n# Its signature is recorded by a command, from a delivery that the platform or its kit made with a test key:\n\
         #   hooksluice providers record {} {event} CAPTURE --path {} --secret-env TEST_KEY\n",
        args.name,
        args.path.display()
    ));
    text
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A TOML key.
pub(super) fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match name.bytes().all(bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}
