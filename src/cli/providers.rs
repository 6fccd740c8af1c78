//! `providers`: what is known, and how to configure it.

use serde_json::{Value, json};

use super::files::ConfigFile;
use super::output::{Failure, Output};
use super::{lint, record, scaffold};
use crate::provider::definition::{Confidence, Prove, Setting};
use crate::provider::listing::{confidence, needs_secret, schemes};
use crate::provider::markdown;
use crate::provider::{Catalogue, Definition};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Show this one.
    name: Option<String>,

    #[command(flatten)]
    config: ConfigFile,

    /// Print docs/providers.md, of the built-in ones.
    #[arg(long, hide = true)]
    markdown: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Hold definitions against their samples: each verifies, and nothing forged does.
    Lint(lint::Args),
    /// Make a folder for one more platform, to be filled in; the linter leads from there.
    New(scaffold::Args),
    /// Make a signed sample out of a captured delivery.
    Record(record::Args),
}

const CHECK_IT: &str =
    "from secondary sources or from memory; try one delivery of the platform's before you rely on it";

pub fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    match &args.command {
        Some(Command::Lint(args)) => lint::run(args, out),
        Some(Command::New(args)) => scaffold::run(args, out),
        Some(Command::Record(args)) => record::run(args, out),
        None if args.markdown => {
            let page = markdown::page(&Catalogue::built_in()).map_err(Failure::usage)?;
            out.bytes(page.as_bytes())
        }
        None => show_or_list(args, out),
    }
}

fn show_or_list(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let paths = args
        .config
        .settings_here()?
        .map(|config| config.schemas.paths)
        .unwrap_or_default();
    let catalogue = Catalogue::with_overlays(&paths).map_err(|errors| Failure::usage(errors[0].to_string()))?;
    match &args.name {
        Some(name) => {
            let definition = catalogue.definition(name).map_err(Failure::usage)?;
            if out.json {
                return out.value(&whole(&catalogue, name, &definition)?);
            }
            show(&catalogue, name, &definition, out)
        }
        None => list(&catalogue, out),
    }
}

fn list(catalogue: &Catalogue, out: &mut Output) -> Result<(), Failure> {
    let mut all = Vec::new();
    for name in catalogue.names() {
        let definition = catalogue.definition(&name).map_err(Failure::usage)?;
        all.push((name, definition));
    }
    if out.json {
        return out.value(
            &all.iter()
                .map(|(name, definition)| summary(name, definition))
                .collect::<Vec<_>>(),
        );
    }
    let rows: Vec<_> = all
        .iter()
        .map(|(name, definition)| {
            vec![
                name.clone(),
                definition.title.clone(),
                definition.category.clone(),
                schemes(definition).join(", "),
                marked(definition),
                names(definition.handshake.iter().map(|handshake| handshake.name.as_str())),
                names(required(definition)),
            ]
        })
        .collect();
    let reported = all
        .iter()
        .filter(|(_, definition)| definition.confidence == Confidence::Reported)
        .count();
    out.table(
        &[
            "NAME",
            "PLATFORM",
            "CATEGORY",
            "SIGNATURE",
            "PROVED BY",
            "HANDSHAKES",
            "NEEDS SETTINGS",
        ],
        &rows,
    )?;
    match reported {
        0 => Ok(()),
        count => out.line(format!("* {count} only reported, {CHECK_IT}")),
    }
}

fn show(catalogue: &Catalogue, name: &str, definition: &Definition, out: &mut Output) -> Result<(), Failure> {
    out.line(format!("{} ({})", out.bold(&definition.title), definition.category))?;
    let mut fact = |label: &str, text: &str| match text.trim() {
        "" => Ok(()),
        text => out.line(format!(
            "{} {}",
            out.dim(&format!("{label:>12}")),
            text.replace('\n', "\n             ")
        )),
    };
    fact("signature", &schemes(definition).join(", "))?;
    fact(
        "proved by",
        &format!("{}: {}", marked(definition), definition.evidence.trim()),
    )?;
    if definition.confidence == Confidence::Reported {
        fact("* reported", CHECK_IT)?;
    }
    fact("docs", &format!("{} (read {})", definition.docs, definition.read))?;
    fact("secret", &definition.secret.hint)?;
    for handshake in &definition.handshake {
        let prove = match handshake.prove {
            Prove::Signature => "its signature",
            Prove::Token => "a token",
            Prove::Nothing => "nothing",
        };
        fact("handshake", &format!("{} (must prove {prove})", handshake.name))?;
    }
    for (setting, declared) in &definition.settings {
        fact("setting", &format!("{setting}: {}", explain(declared)))?;
    }
    fact("event types", &types(catalogue, name, definition)?.join(", "))?;
    fact("deadline", definition.answer.deadline.as_deref().unwrap_or_default())?;
    fact("retries", &definition.answer.retries)?;
    fact("notes", &definition.notes)?;
    out.line("")?;
    out.line(out.dim("# in hooksluice.yaml"))?;
    out.line(snippet(name, definition))?;
    if let Some(sample) = catalogue.sample_names(name).first() {
        out.line("")?;
        out.line(format!("{} hooksluice send {name} {sample}", out.dim("# try it:")))?;
    }
    Ok(())
}

fn explain(setting: &Setting) -> String {
    let mut text = setting.description.trim_end_matches('.').to_owned();
    if !setting.one_of.is_empty() {
        text.push_str(&format!("; one of {}", setting.one_of.join(", ")));
    }
    if setting.list {
        text.push_str("; one or several");
    }
    if setting.credential {
        text.push_str("; a credential");
    }
    match &setting.default {
        Some(default) => text.push_str(&format!("; default {default}")),
        None if setting.required => text.push_str("; required"),
        None => {}
    }
    text
}

/// The least that configures a source of this provider.
fn snippet(name: &str, definition: &Definition) -> String {
    let variable = name.to_uppercase().replace('-', "_");
    let mut lines = vec![
        "sources:".to_owned(),
        format!("  {name}:"),
        format!("    provider: {name}"),
    ];
    if needs_secret(definition) {
        lines.push(format!("    secrets: [{{ env: {variable}_SECRET }}]"));
    }
    let settings: Vec<_> = definition
        .settings
        .iter()
        .filter(|(_, setting)| setting.required)
        .collect();
    if !settings.is_empty() {
        lines.push("    settings:".to_owned());
    }
    for (setting, declared) in settings {
        let named = format!("${{{setting}}}");
        let is_key_set = definition
            .signature
            .iter()
            .any(|signature| signature.keys.jwks.as_deref() == Some(named.as_str()));
        let value = match (declared.credential, declared.list) {
            (true, _) => format!("{{ env: {variable}_{} }}", setting.to_uppercase()),
            (false, true) => "[\"…\"]".to_owned(),
            // An address that is none would not load.
            (false, false) if is_key_set => "\"https://example.com/.well-known/jwks.json\"".to_owned(),
            (false, false) => "\"…\"".to_owned(),
        };
        lines.push(format!(
            "      {setting}: {value} # {}",
            declared.description.trim_end_matches('.')
        ));
    }
    lines.join("\n")
}

fn summary(name: &str, definition: &Definition) -> Value {
    json!({
        "name": name,
        "title": definition.title,
        "category": definition.category,
        "signatures": schemes(definition),
        "confidence": definition.confidence,
        "handshakes": definition.handshake.iter().map(|handshake| &handshake.name).collect::<Vec<_>>(),
        "requiredSettings": required(definition).collect::<Vec<_>>(),
    })
}

fn whole(catalogue: &Catalogue, name: &str, definition: &Definition) -> Result<Value, Failure> {
    let settings = definition.settings.iter().map(|(name, setting)| {
        json!({
            "name": name,
            "description": setting.description,
            "required": setting.required,
            "credential": setting.credential,
            "list": setting.list,
            "default": setting.default,
            "oneOf": setting.one_of,
        })
    });
    let mut whole = summary(name, definition);
    let more = json!({
        "docs": definition.docs,
        "read": definition.read,
        "evidence": definition.evidence,
        "notes": definition.notes,
        "secret": definition.secret.hint,
        "settings": settings.collect::<Vec<_>>(),
        "types": types(catalogue, name, definition)?,
        "samples": catalogue.sample_names(name),
        "deadline": definition.answer.deadline,
        "retries": definition.answer.retries,
        "snippet": snippet(name, definition),
    });
    if let (Some(whole), Value::Object(more)) = (whole.as_object_mut(), more) {
        whole.extend(more);
    }
    Ok(whole)
}

/// Event types that have a contract.
fn types(catalogue: &Catalogue, name: &str, definition: &Definition) -> Result<Vec<String>, Failure> {
    let schemas = catalogue
        .schemas(name)
        .map_err(|errors| Failure::usage(errors[0].to_string()))?;
    let mut types: Vec<String> = schemas
        .into_iter()
        .map(|schema| match definition.domain.as_str() {
            "" => schema.event,
            domain => format!("{domain}.{}", schema.event),
        })
        .collect();
    types.dedup();
    Ok(types)
}

/// Confidence, with a mark where it is none.
fn marked(definition: &Definition) -> String {
    let mark = if definition.confidence == Confidence::Reported {
        " *"
    } else {
        ""
    };
    format!("{}{mark}", confidence(definition))
}

fn required(definition: &Definition) -> impl Iterator<Item = &str> {
    definition
        .settings
        .iter()
        .filter(|(_, setting)| setting.required)
        .map(|(name, _)| name.as_str())
}

fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let joined = names.collect::<Vec<_>>().join(", ");
    if joined.is_empty() { "-".into() } else { joined }
}
