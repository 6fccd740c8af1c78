//! `quickstart`: an embedded gateway with four ready sources and fresh secrets, kept in one folder.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};

use super::files::{FILE, QUICKSTART};
use super::health::reachable;
use super::output::{Failure, Output, runtime};
use crate::config::{self, Loaded};
use crate::provider::Catalogue;
use crate::provider::definition::{Scheme, SecretEncoding};
use crate::serve;
use crate::telemetry::logs;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for configuration, secrets and journal; a second start goes on with what is there.
    #[arg(long, value_name = "FOLDER", default_value = QUICKSTART)]
    dir: PathBuf,
    /// Address and port for deliveries, at the first start [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address and port for metrics, health and the inspector, at the first start [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
}

/// Sources by name, their providers, and the sample to try.
const SOURCES: [(&str, &str, &str); 4] = [
    ("github", "github", "push"),
    ("stripe", "stripe", "invoice.paid"),
    ("local", "standard-webhooks", "default"),
    ("custom", "hmac", "order.shipped"),
];

pub fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let path = args.dir.join(FILE);
    let fresh = !path.exists();
    if fresh {
        // Before anything is written: the next start would find it, and its addresses.
        free(args.listen(), "--listen")?;
        free(args.admin_listen(), "--admin-listen")?;
        write(args, &path)?;
    } else if args.listen.is_some() || args.admin_listen.is_some() {
        return Err(Failure::usage(format!(
            "`{}` is there already: change the addresses in it, or choose another `--dir`",
            path.display()
        )));
    }
    let loaded = config::load(&path)?;
    logs::start(&loaded.config.log).map_err(Failure::usage)?;
    let shown = loaded.clone();
    let served = serve::serve(Some(path.clone()), loaded, |ingress, admin| {
        // If nobody reads, nobody asked.
        let _ = welcome(&shown, &path, fresh, ingress, admin, out);
    });
    Ok(runtime()?.block_on(served)?)
}

impl Args {
    fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or(([127, 0, 0, 1], 8080).into())
    }

    fn admin_listen(&self) -> SocketAddr {
        self.admin_listen.unwrap_or(([127, 0, 0, 1], 9090).into())
    }
}

fn free(address: SocketAddr, option: &str) -> Result<(), Failure> {
    let bound = TcpListener::bind(address);
    bound.map(drop).map_err(|error| {
        Failure::finding(format!(
            "cannot listen on {address}: {error}; choose another address with `{option}`"
        ))
    })
}

fn write(args: &Args, path: &Path) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::finding(format!("cannot write `{}`: {error}", path.display()));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&args.dir)
        .map_err(cannot)?;
    let text = configuration(args)?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::finding(format!("`{}` has just appeared: start again", path.display())),
        _ => cannot(error),
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(cannot)
}

/// A configuration to look at and to go on from.
fn configuration(args: &Args) -> Result<String, Failure> {
    let (listen, admin) = (args.listen(), args.admin_listen());
    let token = fresh_secret("", SecretEncoding::Text)?;
    let journal = yaml(&args.dir.join("hooksluice.db").display().to_string());
    let mut text = format!(
        "# Made by `hooksluice quickstart`, with secrets of its own: mode 0600, keep it to yourself.
# Every setting: docs/configuration.md. Changed sources and destinations are taken without a restart.
ingress: {{ listen: \"{listen}\", drain_delay: 0s }}
admin: {{ listen: \"{admin}\", token: {token} }}
journal: {{ path: {journal} }}
sources:
"
    );
    let catalogue = Catalogue::built_in();
    for (name, provider, _) in SOURCES {
        let definition = catalogue.definition(provider).map_err(Failure::finding)?;
        // The form of a shared secret, where the provider also takes public keys.
        let shared = definition
            .signature
            .iter()
            .find(|signature| signature.scheme == Scheme::Hmac);
        let form = shared
            .and_then(|signature| signature.secret.as_ref())
            .unwrap_or(&definition.secret);
        let secret = fresh_secret(form.prefix.as_deref().unwrap_or_default(), form.encoding)?;
        text.push_str(&format!(
            "  {name}: {{ provider: {provider}, secrets: [{{ name: quickstart, value: {secret} }}] }}\n"
        ));
    }
    Ok(text)
}

/// 32 random bytes in the form that the provider's secrets have.
fn fresh_secret(prefix: &str, encoding: SecretEncoding) -> Result<String, Failure> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::finding("the system gives no random bytes"))?;
    let text = match encoding {
        SecretEncoding::Base64 => STANDARD.encode(bytes),
        _ => hex::encode(bytes),
    };
    Ok(yaml(&format!("{prefix}{text}")))
}

/// A YAML string; JSON's are.
fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn welcome(
    loaded: &Loaded,
    path: &Path,
    fresh: bool,
    ingress: &str,
    admin: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    let program = std::env::args().next().unwrap_or_else(|| "hooksluice".into());
    let (ingress, admin) = (callable(ingress), callable(admin));
    // The usual folder is found without being named.
    let config = if path == Path::new(QUICKSTART).join(FILE) {
        String::new()
    } else {
        format!(" --config {}", path.display())
    };
    if out.json {
        let sources = loaded.sources.iter().map(|source| {
            serde_json::json!({ "name": &*source.name, "provider": &*source.provider, "url": format!("{ingress}{}", source.path) })
        });
        let sources: Vec<_> = sources.collect();
        return out.value(&serde_json::json!({
            "config": path, "fresh": fresh, "ingress": ingress, "admin": admin, "sources": sources,
        }));
    }
    out.line("")?;
    out.line(format!(
        "{}  verifies webhooks and keeps them in an embedded journal",
        out.bold("hooksluice")
    ))?;
    let how = if fresh {
        "with fresh secrets"
    } else {
        "with the secrets of the last start"
    };
    out.line(out.dim(&format!(
        "{}: configuration, {how}; the journal lies beside it",
        path.display()
    )))?;
    out.line("")?;
    let mut sources: Vec<_> = loaded.sources.iter().collect();
    // Ours as we list them; what the user has added, behind.
    sources.sort_by_key(|source| {
        SOURCES
            .iter()
            .position(|(name, ..)| *name == &*source.name)
            .unwrap_or(SOURCES.len())
    });
    for source in sources {
        let ours = SOURCES
            .iter()
            .find(|(_, provider, _)| *provider == &*source.provider)
            .map(|(.., sample)| *sample);
        let names = loaded.catalogue.sample_names(&source.provider);
        let sample = ours.or(names.first().map(String::as_str)).unwrap_or_default();
        out.line(format!(
            "  {}  {ingress}{}",
            out.bold(&format!("{:<9}", source.name)),
            source.path
        ))?;
        let line = format!("{program} send {} {sample}{config}", source.provider);
        out.line(format!("             {}", out.good(line.trim_end())))?;
    }
    out.line("")?;
    let events = out.good(&format!("{program} events list{config}"));
    for (label, text) in [
        ("journal", events),
        (
            "inspector",
            match loaded.config.admin.token {
                Some(_) => format!("{admin}/  (asks for `admin.token` of {})", path.display()),
                None => format!("{admin}/  (once `admin.token` is set)"),
            },
        ),
        ("metrics", format!("{admin}/metrics")),
    ] {
        out.line(format!("  {}  {text}", out.bold(&format!("{label:<9}"))))?;
    }
    out.line("")?;
    out.line(out.dim("Ctrl-C stops it; nothing that was acknowledged is lost."))
}

/// What a client on this machine calls.
fn callable(url: &str) -> String {
    let address = url
        .rsplit_once("//")
        .and_then(|(scheme, address)| Some((scheme, address.parse::<SocketAddr>().ok()?)));
    match address {
        Some((scheme, address)) => format!("{scheme}//{}:{}", reachable(address.ip()), address.port()),
        None => url.to_owned(),
    }
}
