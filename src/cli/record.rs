//! `providers record`: a captured delivery becomes a signed sample, when it verifies.

use std::sync::Arc;

use serde_json::json;

use super::capture::From;
use super::explain;
use super::given::Given;
use super::output::{Failure, Output, runtime};
use super::scaffold::{key, quoted, write};
use crate::clock::{self, Timestamp};
use crate::delivery::{HeaderName, HeaderValue, RawDelivery};
use crate::explain::Case;
use crate::keys::Keyring;
use crate::provider::Provider;
use crate::provider::definition::{Alternative, EventRule, Find};
use crate::secret::NamedSecret;
use crate::verify::{self, Unsigned, Verifier, VerifyError};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The provider.
    name: String,
    /// The event that it is: the sample's name.
    event: String,
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    given: Given,
    /// Sign it ourselves, where no delivery of the platform's or of its kit can be had. Such a sample proves only that we
    /// agree with ourselves: say so under `evidence`.
    #[arg(long)]
    sign: bool,
}

pub fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let folder = args
        .given
        .folder()
        .ok_or_else(|| Failure::usage("say where to with `--path DIR`: a folder of providers"))?
        .join(&args.name);
    if args.event.is_empty() || args.event.starts_with('.') || args.event.contains(['/', '\\', '\0']) {
        return Err(Failure::usage(format!(
            "`{}` cannot be the name of a sample: it is a file name, such as `order.created`",
            args.event
        )));
    }
    let catalogue = args.given.catalogue()?;
    let provider = args.given.provider(&catalogue, &args.name)?;
    let secrets = args.given.secrets()?;
    if secrets.len() > 1 {
        return Err(Failure::usage("a sample has one secret"));
    }
    let (captured, recorded) = args.from.read()?;
    let now = clock::now();
    let at = recorded.unwrap_or(now);
    let mut raw = captured
        .delivery(args.from.url.as_deref(), at)
        .map_err(Failure::usage)?;
    if args.sign {
        raw = signed(&provider, &secrets, raw, at)?;
    }
    let keyring = Arc::new(Keyring::default());
    let compiled = Verifier::compile(&provider.definition, &secrets, &provider.settings, &keyring, None);
    let runtime = runtime()?;
    let verdict = compiled
        .as_ref()
        .map(|verifier| runtime.block_on(verifier.verify(&raw, at)).map(drop));
    let at = match verdict {
        Ok(Ok(())) => at,
        // Nobody said when it arrived: the moment of signing is as good.
        Ok(Err(VerifyError::Stale(age))) if recorded.is_none() => now
            .checked_sub(jiff::SignedDuration::from_secs(age))
            .map_err(Failure::finding)?,
        _ => {
            let case = Case {
                catalogue: &catalogue,
                provider: &args.name,
                definition: provider.definition,
                settings: provider.settings,
                secrets,
                signature: None,
                others: Vec::new(),
                keyring,
                raw,
                at,
                at_is_known: recorded.is_some(),
                notes: captured.notes,
            };
            explain::show(&runtime.block_on(crate::explain::explain(&case)), out)?;
            return Err(Failure::Said(1));
        }
    };
    let Ok(verifier) = compiled else { return Ok(()) };
    let counts = |name: &HeaderName, value: &HeaderValue| {
        let changed = with_other(&raw, name, value);
        runtime.block_on(verifier.verify(&changed, at)).is_err()
    };
    let (mut own, mut request) = (Vec::new(), Vec::new());
    for (name, value) in raw.headers.iter() {
        let line = format!(
            "{} = {}",
            key(name.as_str()),
            quoted(&String::from_utf8_lossy(value.as_bytes()))
        );
        if name == "content-type" {
            request.push(line);
        } else if counts(name, value) {
            own.push(line);
        } else if reads(&provider.definition.event, name.as_str()) {
            // Nothing else: a sample is published, and proxies add credentials of their own.
            request.push(line);
        }
    }
    let content_type = raw.headers.text(&actix_web::http::header::CONTENT_TYPE);
    let kind = body_kind(content_type.unwrap_or_default());
    let sheet = sheet(args, &raw, at, kind, &secrets, (&request, &own))?;
    let (body, toml) = (
        folder.join(format!("samples/{}.{kind}", args.event)),
        folder.join(format!("samples/{}.toml", args.event)),
    );
    // What `providers new` wrote waits to be replaced; a delivery that somebody recorded does not.
    let is_recorded = |text: String| text.lines().any(|line| line.trim() == "[signed]");
    if std::fs::read_to_string(&toml).is_ok_and(is_recorded) {
        return Err(Failure::usage(format!(
            "`{}` holds a recorded delivery already; remove it, or give the sample another name",
            toml.display()
        )));
    }
    write(&body, &raw.body)?;
    write(&toml, sheet.as_bytes())?;
    if out.json {
        return out.value(&json!({ "provider": args.name, "files": [body, toml] }));
    }
    out.line(format!("{} {}", out.good("recorded"), toml.display()))?;
    if !secrets.is_empty() {
        out.line(out.dim("the secret stands in it: it must be a test key, of no use anywhere else"))?;
    }
    Ok(())
}

/// Whether the definition looks into this header for what the event is, or publishes it.
fn reads(event: &EventRule, name: &str) -> bool {
    let is_it = |find: &Find| {
        find.header
            .as_deref()
            .is_some_and(|header| header.eq_ignore_ascii_case(name))
    };
    let rules = [
        &event.kind,
        &event.contract,
        &event.id,
        &event.version,
        &event.subject,
        &event.key,
    ];
    let times = event.time.iter().map(|time| &time.from);
    let found = rules
        .into_iter()
        .chain(times)
        .flatten()
        .any(|alternative| match alternative {
            Alternative::One(find) => is_it(find),
            Alternative::Joined(finds) => finds.iter().any(is_it),
        });
    found || event.headers.iter().any(|header| header.eq_ignore_ascii_case(name))
}

fn signed(
    provider: &Provider,
    secrets: &[NamedSecret],
    raw: RawDelivery,
    at: Timestamp,
) -> Result<RawDelivery, Failure> {
    let unsigned = Unsigned {
        method: raw.method.clone(),
        url: raw.url.clone(),
        headers: raw.headers.clone(),
        body: raw.body.clone(),
        at,
    };
    let signed = verify::sign(&provider.definition, secrets, &provider.settings, None, unsigned)
        .map_err(|problems| Failure::usage(problems.join("; ")))?;
    let query = signed.url.split_once('?').map_or("", |(_, query)| query).to_owned();
    Ok(RawDelivery {
        url: signed.url,
        query,
        headers: signed.headers,
        body: signed.body,
        ..raw
    })
}

/// The same with one character of a header's value changed.
fn with_other(raw: &RawDelivery, name: &HeaderName, value: &HeaderValue) -> RawDelivery {
    let mut bytes = value.as_bytes().to_vec();
    if let Some(last) = bytes.iter_mut().rev().find(|byte| byte.is_ascii_alphanumeric()) {
        *last = if *last == b'1' { b'2' } else { b'1' };
    }
    let changed = raw.headers.iter().map(|(known, value)| {
        let value = match known == name {
            true => HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| value.clone()),
            false => value.clone(),
        };
        (known.clone(), value)
    });
    RawDelivery {
        headers: changed.collect(),
        ..raw.clone()
    }
}

fn sheet(
    args: &Args,
    raw: &RawDelivery,
    at: Timestamp,
    kind: &str,
    secrets: &[NamedSecret],
    (request, own): (&[String], &[String]),
) -> Result<String, Failure> {
    let event = &args.event;
    let mut text = format!(
        "event = {}\nbody = {}\n",
        quoted(event),
        quoted(&format!("{event}.{kind}"))
    );
    let mut table = Vec::new();
    if raw.method.as_str() != "POST" {
        table.push(format!("method = {}", quoted(raw.method.as_str())));
    }
    if !raw.query.is_empty() {
        table.push(format!("query = {}", quoted(&raw.query)));
    }
    if let Some(url) = &args.from.url {
        table.push(format!("url = {}", quoted(url)));
    }
    if !table.is_empty() {
        text.push_str(&format!("\n[request]\n{}\n", table.join("\n")));
    }
    text.push_str(&format!("\n[request.headers]\n{}\n", request.join("\n")));
    let made = if args.sign {
        "Signed by ourselves: it proves only that we agree with ourselves."
    } else {
        "As it was captured."
    };
    text.push_str(&format!(
        "\n# {made} Test key, of no use anywhere else.\n[signed]\nat = \"{at:.0}\"\n"
    ));
    if let Some(secret) = secrets.first() {
        let secret = secret
            .secret
            .expose_str()
            .ok_or_else(|| Failure::usage("the secret is no text, and cannot stand in a sample"))?;
        text.push_str(&format!("secret = {}\n", quoted(secret)));
    }
    let settings = args.given.settings_toml()?;
    if !settings.is_empty() {
        text.push_str(&format!("\n[signed.settings]\n{settings}\n"));
    }
    if !own.is_empty() {
        text.push_str(&format!("\n[signed.headers]\n{}\n", own.join("\n")));
    }
    Ok(text)
}

/// What the file of a sample's body ends with.
pub(super) fn body_kind(content_type: &str) -> &'static str {
    match content_type {
        form if form.starts_with("application/x-www-form-urlencoded") => "form",
        form if form.starts_with("multipart/form-data") => "multipart",
        _ => "json",
    }
}
