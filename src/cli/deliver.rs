//! `sign` and `send`: a delivery as a platform would make it, with a true signature.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::files::ConfigFile;
use super::fresh;
use super::given::Given;
use super::health::{reachable, root_cause};
use super::output::{Failure, Output, printable, runtime};
use crate::clock;
use crate::config::{self, Config, LoadedSource};
use crate::delivery::{HeaderName, HeaderValue, Headers, Method};
use crate::provider::definition::{Alternative, Find};
use crate::provider::listing::needs_secret;
use crate::provider::nearest::did_you_mean;
use crate::provider::sample::{Request, Sample};
use crate::provider::{Catalogue, Definition, Settings};
use crate::secret::NamedSecret;
use crate::verify::{self, Signed, Unsigned};

#[derive(Debug, clap::Args)]
pub struct SignArgs {
    #[command(flatten)]
    what: What,
}

#[derive(Debug, clap::Args)]
pub struct SendArgs {
    #[command(flatten)]
    what: What,
}

#[derive(Debug, clap::Args)]
struct What {
    /// A provider (see `hooksluice providers`).
    provider: String,
    /// An event of which there is a sample [default: the first sample]
    event: Option<String>,

    #[command(flatten)]
    config: ConfigFile,
    /// The source whose secret, settings and URL are used [default: the only one of this provider]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    given: Given,
    /// Where to send it [default: the source's own URL on this machine]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// The body, byte for byte, in place of the sample's.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Another header, or another value for one.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

/// A signed delivery and where it goes.
struct Delivery {
    event: String,
    to: String,
    signed: Signed,
    /// Something to know about sending it twice.
    note: Option<&'static str>,
}

/// What signs a delivery, and for which URL.
struct Signer {
    definition: Definition,
    settings: Settings,
    secrets: Vec<NamedSecret>,
    /// The source's pin.
    signature: Option<String>,
    catalogue: Catalogue,
    /// Where it is sent.
    to: String,
    /// The URL that the platform believes it calls.
    believed: String,
}

const TIMEOUT: Duration = Duration::from_secs(30);

pub fn sign(args: &SignArgs, out: &mut Output) -> Result<(), Failure> {
    let delivery = prepare(&args.what)?;
    let headers: Vec<(String, String)> = delivery.headers().collect();
    let body = std::str::from_utf8(&delivery.signed.body);
    if out.json {
        let headers: BTreeMap<_, _> = headers.into_iter().collect();
        return out.value(&json!({
            "method": delivery.signed.method.as_str(), "url": delivery.to, "event": delivery.event,
            "headers": headers, "body": body.ok(),
        }));
    }
    for (name, value) in &headers {
        out.line(format!("{name}: {value}"))?;
    }
    let data = match (&args.what.body, body) {
        (Some(path), _) => format!("@{}", path.display()),
        (None, Ok(text)) => text.to_owned(),
        (None, Err(_)) => {
            return Err(Failure::finding(
                "the sample's body is not text: give it with `--body FILE`",
            ));
        }
    };
    let mut curl = format!("curl -X {}", delivery.signed.method);
    for (name, value) in &headers {
        curl.push_str(&format!(" -H {}", quoted(&format!("{name}: {value}"))));
    }
    out.line("")?;
    out.line(format!(
        "{curl} --data-binary {} {}",
        quoted(&data),
        quoted(&delivery.to)
    ))
}

pub fn send(args: &SendArgs, out: &mut Output) -> Result<(), Failure> {
    let delivery = prepare(&args.what)?;
    let answer = runtime()?.block_on(post(&delivery));
    let (status, id, body) = answer.map_err(|error| {
        Failure::finding(format!(
            "no answer from {}: {}; is the gateway running?",
            delivery.to,
            root_cause(&error)
        ))
    })?;
    let good = (200..300).contains(&status);
    if out.json {
        out.value(&json!({
            "url": delivery.to, "event": delivery.event, "status": status, "eventId": id,
            "body": String::from_utf8_lossy(&body),
        }))?;
    } else {
        let status = status.to_string();
        let status = if good { out.good(&status) } else { out.bad(&status) };
        out.line(format!(
            "{status} {} {} to {}",
            args.what.provider, delivery.event, delivery.to
        ))?;
        if let Some(id) = id {
            out.line(format!("{} {}", out.dim("hooksluice-event-id"), printable(&id)))?;
        }
        let text = String::from_utf8_lossy(&body);
        if !text.trim().is_empty() {
            out.line(printable(text.trim()))?;
        }
        if let Some(note) = delivery.note.filter(|_| good) {
            out.line(out.dim(note))?;
        }
    }
    if good { Ok(()) } else { Err(Failure::Said(1)) }
}

async fn post(delivery: &Delivery) -> Result<(u16, Option<String>, Bytes), reqwest::Error> {
    // A local gateway is not to be looked for behind a proxy; a redirect is an answer like any other.
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    let client = if delivery.is_local() { client.no_proxy() } else { client }.build()?;
    let method =
        reqwest::Method::from_bytes(delivery.signed.method.as_str().as_bytes()).unwrap_or(reqwest::Method::POST);
    let mut request = client.request(method, &delivery.to).body(delivery.signed.body.clone());
    for (name, value) in delivery.signed.headers.iter() {
        request = request.header(name.as_str(), value.as_bytes());
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    let id = response
        .headers()
        .get("hooksluice-event-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    Ok((status, id, response.bytes().await?))
}

impl Delivery {
    fn headers(&self) -> impl Iterator<Item = (String, String)> {
        self.signed.headers.iter().map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
    }

    fn is_local(&self) -> bool {
        let uri: Option<http::Uri> = self.to.parse().ok();
        let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default();
        host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }
}

fn prepare(what: &What) -> Result<Delivery, Failure> {
    let signer = match what.given.is_given() {
        true => without_config(what)?,
        false => from_config(what)?,
    };
    let sample = sample(what, &signer)?;
    let body = match &what.body {
        Some(path) => std::fs::read(path)
            .map_err(|error| Failure::usage(format!("cannot read the body `{}`: {error}", path.display())))?,
        None => sample.body,
    };
    let mut headers = sample.request.headers;
    let mut has_fresh_id = fresh_ids(&signer.definition, &mut headers);
    let mut body = body;
    if !has_fresh_id
        && what.body.is_none()
        && let Some(other) = fresh::body(&signer.definition, &body)
    {
        body = other;
        has_fresh_id = true;
    }
    let mut asked = Vec::new();
    for line in &what.headers {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| Failure::usage(format!("`--header {line}`: write it as `Name: value`")))?;
        headers.retain(|known, _| !known.eq_ignore_ascii_case(name.trim()));
        asked.push(header(name.trim(), value.trim())?);
    }
    let headers = headers.iter().map(|(name, value)| header(name, value));
    let mut given: Headers = headers.collect::<Result<_, _>>()?;
    for (name, value) in &asked {
        given.push(name.clone(), value.clone());
    }
    let method = sample.request.method.as_deref().unwrap_or("POST");
    let uri = signer.to.parse::<http::Uri>();
    if !uri
        .as_ref()
        .is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some())
    {
        return Err(Failure::usage(format!(
            "`{}` is not a URL; write it as `http://127.0.0.1:8080/in/github`",
            signer.to
        )));
    }
    let unsigned = Unsigned {
        method: method
            .parse::<Method>()
            .map_err(|_| Failure::usage(format!("`{method}` is not a method")))?,
        url: with_query(&signer.believed, &sample.request.query),
        headers: given,
        body: Bytes::from(body),
        at: clock::now(),
    };
    let Signer {
        definition,
        settings,
        secrets,
        signature,
        ..
    } = &signer;
    let mut signed = verify::sign(definition, secrets, settings, signature.as_deref(), unsigned).map_err(|problems| {
        let honest = match needs_secret(definition) {
            true => "",
            false => {
                "; the platform signs with a key of its own, so that only it can make a delivery that a gateway takes"
            }
        };
        Failure::usage(format!(
            "cannot sign for `{}`: {}{honest}",
            what.provider,
            problems.join("; ")
        ))
    })?;
    // Also in place of what the signature wrote: that is how a refusal is tried.
    for (name, value) in asked {
        signed.headers.replace(name, value);
    }
    let to = with_query(&with_query(&signer.to, &sample.request.query), &signed.added_query);
    let note = (!has_fresh_id && !signer.definition.event.id.is_empty())
        .then_some("the event's id is in the body: sent again as it is, it counts as a duplicate");
    Ok(Delivery {
        event: sample.event,
        to,
        signed,
        note,
    })
}

/// Secret, settings and URL of a source that is configured.
fn from_config(what: &What) -> Result<Signer, Failure> {
    let path = what.config.find_here().ok_or_else(|| {
        Failure::usage("no configuration: name one with `--config FILE`, start `hooksluice quickstart`, or give `--secret-env` and `--to`")
    })?;
    let config = config::settings(Some(&path), config::environment())?;
    let name = choose(what, &config, &path.display().to_string())?;
    // Only this source: an operator's shell may lack the secrets of the others.
    let loaded = config::load_only(config, &name)?;
    let source: &LoadedSource = loaded
        .sources
        .first()
        .ok_or_else(|| Failure::usage(format!("no source `{name}` in the configuration")))?;
    let to = what
        .to
        .clone()
        .unwrap_or_else(|| local_url(&loaded.config, &source.path));
    Ok(Signer {
        definition: source.definition.clone(),
        settings: source.settings.clone(),
        secrets: source.secrets.clone(),
        signature: source.signature.clone(),
        believed: source.public_url.clone().unwrap_or_else(|| to.clone()),
        to,
        catalogue: loaded.catalogue,
    })
}

fn without_config(what: &What) -> Result<Signer, Failure> {
    if what.source.is_some() {
        return Err(Failure::usage(
            "`--source` is of a configuration; `--secret-env` and its like do without one",
        ));
    }
    let to = what
        .to
        .clone()
        .ok_or_else(|| Failure::usage("without a configuration, say where to with `--to URL`"))?;
    let catalogue = what.given.catalogue()?;
    let provider = what.given.provider(&catalogue, &what.provider)?;
    Ok(Signer {
        definition: provider.definition,
        settings: provider.settings,
        secrets: what.given.secrets()?,
        signature: None,
        believed: to.clone(),
        to,
        catalogue,
    })
}

/// The named source, or the only one of the provider.
fn choose(what: &What, config: &Config, file: &str) -> Result<String, Failure> {
    let known = || {
        config
            .sources
            .iter()
            .filter(|(_, source)| source.provider == what.provider)
            .map(|(name, _)| name.as_str())
    };
    if let Some(name) = &what.source {
        return match config.sources.get(name) {
            Some(source) if source.provider == what.provider => Ok(name.clone()),
            Some(source) => Err(Failure::usage(format!(
                "source `{name}` is of provider `{}`",
                source.provider
            ))),
            None => Err(Failure::usage(format!(
                "no source `{name}` in {file}{}",
                did_you_mean(name, config.sources.keys().map(String::as_str))
            ))),
        };
    }
    match known().collect::<Vec<_>>()[..] {
        [name] => Ok(name.to_owned()),
        [] => {
            let providers = config.sources.values().map(|source| source.provider.as_str());
            Err(Failure::usage(format!(
                "no source of provider `{}` in {file}{}; add one, or give `--secret-env` and `--to`",
                what.provider,
                did_you_mean(&what.provider, providers)
            )))
        }
        ref several => Err(Failure::usage(format!(
            "{} sources of provider `{}` in {file}: choose one with `--source` ({})",
            several.len(),
            what.provider,
            several.join(", ")
        ))),
    }
}

fn local_url(config: &Config, path: &str) -> String {
    let scheme = if config.ingress.tls.is_some() { "https" } else { "http" };
    let listen = config.ingress.listen;
    format!("{scheme}://{}:{}{path}", reachable(listen.ip()), listen.port())
}

/// The sample by its name, else by its event; with a body of the user's own there need not be one.
fn sample(what: &What, signer: &Signer) -> Result<Sample, Failure> {
    let (catalogue, provider) = (&signer.catalogue, what.provider.as_str());
    let names = catalogue.sample_names(provider);
    let Some(wanted) = what.event.as_ref().or(names.first()) else {
        return own(what, signer, "event");
    };
    if names.contains(wanted) {
        return catalogue.sample(provider, wanted).map_err(Failure::usage);
    }
    let samples = names.iter().filter_map(|name| catalogue.sample(provider, name).ok());
    if let Some(sample) = samples.into_iter().find(|sample| &sample.event == wanted) {
        return Ok(sample);
    }
    match what.body {
        Some(_) => own(what, signer, wanted),
        None => catalogue.sample(provider, wanted).map_err(Failure::usage),
    }
}

/// A request around a body of the user's own: the event's name goes where the provider's data looks for it first.
fn own(what: &What, signer: &Signer, event: &str) -> Result<Sample, Failure> {
    if what.body.is_none() {
        return Err(Failure::usage(format!(
            "provider `{}` has no samples: give a body with `--body FILE`",
            what.provider
        )));
    }
    let mut headers = BTreeMap::from([("Content-Type".to_owned(), "application/json".to_owned())]);
    if let Some(header) = finds(&signer.definition.event.kind).find_map(|find| find.header.as_ref()) {
        headers.insert(header.clone(), event.to_owned());
    }
    Ok(Sample {
        name: event.to_owned(),
        event: event.to_owned(),
        body: Vec::new(),
        request: Request {
            headers,
            ..Request::default()
        },
        signed: None,
        place: String::new(),
    })
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = |what: &str| Failure::usage(format!("`{name}` is not a header that can be sent: bad {what}"));
    let parsed = HeaderName::try_from(name).map_err(|_| wrong("name"))?;
    Ok((parsed, HeaderValue::from_str(value).map_err(|_| wrong("value"))?))
}

/// Puts a new id wherever the event's id is a header; false when there is no such header.
fn fresh_ids(definition: &Definition, headers: &mut BTreeMap<String, String>) -> bool {
    let mut any = false;
    for find in finds(&definition.event.id) {
        let Some(header) = &find.header else { continue };
        headers.retain(|known, _| !known.eq_ignore_ascii_case(header));
        let prefix = find.prefix.as_deref().unwrap_or_default();
        headers.insert(header.clone(), format!("{prefix}{}", uuid::Uuid::now_v7()));
        any = true;
    }
    any
}

fn finds(alternatives: &[Alternative]) -> impl Iterator<Item = &Find> {
    alternatives.iter().flat_map(|alternative| match alternative {
        Alternative::One(find) => std::slice::from_ref(&**find),
        Alternative::Joined(finds) => finds.as_slice(),
    })
}

fn with_query(url: &str, query: &str) -> String {
    match (query, url.contains('?')) {
        ("", _) => url.to_owned(),
        (query, true) => format!("{url}&{query}"),
        (query, false) => format!("{url}?{query}"),
    }
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
