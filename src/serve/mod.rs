//! A gateway's life: builds what is served from a loaded configuration, swaps it at a reload, ends in order.

mod alone;
mod destinations;
mod sources;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

pub use self::alone::Alone;
use self::destinations::{DestinationState, Destinations};
use self::sources::Shared;
use crate::clock;
use crate::config::watch::{Reload, Watch};
use crate::config::{self, Loaded, Problem};
use crate::destination::{Feed, Finding};
use crate::duplicates::{Duplicates, Store};
use crate::http::{Endpoint, Gateway, Health, Limits, Senders, Server};
use crate::keys::Keyring;
use crate::replay::Replays;
use crate::telemetry::Metrics;

/// How long brokers may confirm what is under way when the process ends.
const FLUSH: Duration = Duration::from_secs(10);
/// What the ingress's workers still wait for then is in the spool already: only confirms that would save a second copy.
const FLUSH_WORKERS: Duration = Duration::from_secs(2);

/// Why a gateway does not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<Problem>),
    #[error("{0}")]
    Start(String),
}

impl From<Vec<Problem>> for ServeError {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Config(problems)
    }
}

/// Compiles everything that can be without asking anybody: what `check` does beside loading. Every problem at once.
pub fn check(loaded: &Loaded) -> Result<(), Vec<Problem>> {
    let keyring = keyring(loaded)?;
    let problems: Vec<Problem> = loaded
        .sources
        .iter()
        .filter_map(|source| sources::compile(source, &keyring).err())
        .flatten()
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Asks every broker that the configuration names, and looks how full the journal is, for `check --live`.
pub async fn probe(loaded: &Loaded) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(journal) = &loaded.config.journal {
        findings.extend(destinations::probe_journal(journal));
    }
    for (name, settings) in &loaded.config.destinations {
        findings.extend(destinations::probe(name, settings, feeds(loaded, name), Handle::current()).await);
    }
    findings
}

/// Whether some source's events go to the journal.
fn to_journal(loaded: &Loaded) -> bool {
    !feeds(loaded, config::JOURNAL).is_empty()
}

/// The sources whose events may go to a destination.
fn feeds(loaded: &Loaded, destination: &str) -> Vec<Feed> {
    let feeding = loaded.sources.iter().filter(|source| {
        &*source.destination == destination
            || source
                .routes
                .iter()
                .any(|route| route.destination.as_deref() == Some(destination))
    });
    feeding
        .map(|source| Feed {
            source: source.name.to_string(),
            provider: source.provider.to_string(),
        })
        .collect()
}

/// Serves until SIGTERM or SIGINT. `path` is read again at SIGHUP and when something that it names changes. `started`
/// hears the URLs of both listeners.
pub async fn serve(path: Option<PathBuf>, loaded: Loaded, started: impl FnOnce(&str, &str)) -> Result<(), ServeError> {
    // First of all: a file that changes while the rest starts is a change.
    let mut watch = Watch::start(&loaded.watched).map_err(|error| ServeError::Start(error.to_string()))?;
    let metrics = Metrics::new();
    metrics
        .build_info
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
    let keyring = keyring(&loaded)?;
    let mut destinations = Destinations::open(&loaded.config, &metrics, Handle::current())
        .map_err(|error| ServeError::Start(error.to_string()))?;
    let duplicates = Arc::new(duplicates(&loaded, &destinations)?);
    let mut running = Running {
        loaded,
        keyring,
        duplicates,
        metrics: metrics.clone(),
        senders: Senders::default(),
        replaying: Arc::new(Semaphore::new(1)),
    };
    let (gateway, replays) = running.gateway(&mut destinations, None).await?;
    running.senders = gateway.senders.clone();
    let gateway = Arc::new(ArcSwap::from_pointee(gateway));
    let replays = Arc::new(ArcSwap::from_pointee(replays));
    let state = Arc::new(ArcSwap::from_pointee(destinations.state(to_journal(&running.loaded))));
    taken(&metrics);

    let server = Server::bind(
        &running.loaded,
        gateway.clone(),
        metrics.clone(),
        Arc::new(Asked(state.clone())),
        replays.clone(),
    )
    .map_err(|error| ServeError::Start(error.to_string()))?;
    // Before anybody hears that it runs: from then on a signal is to end it in order.
    let (mut terminate, mut interrupt) = (
        stop_signal(SignalKind::terminate())?,
        stop_signal(SignalKind::interrupt())?,
    );
    let scheme = if running.loaded.config.ingress.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let (ingress, admin) = (
        format!("{scheme}://{}", server.ingress_address()),
        format!("http://{}", server.admin_address()),
    );
    tracing::info!(%ingress, %admin, sources = running.loaded.sources.len(), "listening");
    started(&ingress, &admin);

    let certificate = server.certificate();
    let destinations = Arc::new(tokio::sync::Mutex::new(destinations));
    let reloads = {
        let destinations = destinations.clone();
        async move {
            let Some(path) = path else {
                return std::future::pending().await;
            };
            loop {
                let why = watch.next().await;
                let result = running.reload(&path, &mut *destinations.lock().await, why).await;
                match result {
                    Ok((next, replayed, certified)) => {
                        gateway.store(Arc::new(next));
                        replays.store(Arc::new(replayed));
                        let to_journal = to_journal(&running.loaded);
                        state.store(Arc::new(destinations.lock().await.state(to_journal)));
                        if let (Some(certificate), Some(certified)) = (&certificate, certified) {
                            certificate.replace(certified);
                        }
                        taken(&metrics);
                        tracing::info!(?why, "configuration taken");
                    }
                    Err(problems) => {
                        for problem in problems {
                            tracing::error!(%problem, "reload refused; the former configuration stays");
                        }
                        metrics.reload_successful.set(0);
                    }
                }
                if let Err(error) = watch.follow(&running.loaded.watched) {
                    tracing::error!(%error, "cannot watch the configuration's files; SIGHUP still works");
                }
            }
        }
    };
    let reloading = tokio::spawn(reloads);
    let stop = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let end_workers = async || {
        reloading.abort();
        destinations.lock().await.end_workers(FLUSH_WORKERS).await;
    };
    let close = async || {
        destinations.lock().await.close(FLUSH).await;
    };
    server
        .run(stop, end_workers, close)
        .await
        .map_err(|error| ServeError::Start(error.to_string()))
}

fn stop_signal(kind: SignalKind) -> Result<tokio::signal::unix::Signal, ServeError> {
    signal(kind).map_err(|error| ServeError::Start(format!("cannot listen for signals: {error}")))
}

fn taken(metrics: &Metrics) {
    metrics.reload_successful.set(1);
    metrics
        .reload_timestamp
        .set(clock::now().as_millisecond() as f64 / 1000.0);
}

/// Health is asked of whatever is served now.
struct Asked(Arc<ArcSwap<DestinationState>>);

impl Health for Asked {
    fn ready(&self) -> Result<(), String> {
        self.0.load().ready()
    }

    fn refresh(&self, metrics: &Metrics) {
        self.0.load().refresh(metrics);
    }
}

/// What a reload builds upon.
struct Running {
    loaded: Loaded,
    keyring: Arc<Keyring>,
    duplicates: Arc<Duplicates>,
    metrics: Metrics,
    /// What is served with now.
    senders: Senders,
    /// One replay at a time, also across reloads.
    replaying: Arc<Semaphore>,
}

impl Running {
    /// Compiles the sources first; only then are destinations opened or changed.
    async fn gateway(
        &self,
        destinations: &mut Destinations,
        next: Option<&Loaded>,
    ) -> Result<(Gateway, Replays), Vec<Problem>> {
        let loaded = next.unwrap_or(&self.loaded);
        let mut compiled = Vec::with_capacity(loaded.sources.len());
        let mut problems = Vec::new();
        for source in &loaded.sources {
            match sources::compile(source, &self.keyring) {
                Ok(good) => compiled.push((source, good)),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        destinations.follow(&loaded.config.destinations).await?;
        let shared = Shared {
            keyring: &self.keyring,
            duplicates: &self.duplicates,
            metrics: &self.metrics,
        };
        let mut targets = BTreeMap::new();
        let mut endpoints = HashMap::with_capacity(compiled.len());
        for (source, good) in compiled {
            for name in source.destinations() {
                let target = destinations.target(name).ok_or_else(|| {
                    vec![Problem::new(
                        format!("sources.{}", source.name),
                        format!("unknown destination `{name}`"),
                        "",
                    )]
                })?;
                targets.insert(name.to_owned(), target);
            }
            let endpoint = good.endpoint(source, &shared, |name| targets[name].clone());
            endpoints.insert(source.path.clone(), Arc::new(endpoint));
        }
        let names = loaded.config.destinations.keys();
        let replays = Replays {
            sources: endpoints
                .values()
                .map(|endpoint: &Arc<Endpoint>| (endpoint.source.origin.source().clone(), endpoint.source.clone()))
                .collect(),
            targets: destinations.targets(),
            quarantines: destinations.quarantines(),
            feeds: names.map(|name| (name.clone(), feeds(loaded, name))).collect(),
            journal: destinations.journal().cloned(),
            metrics: self.metrics.clone(),
            runtime: Handle::current(),
            running: self.replaying.clone(),
        };
        let ingress = &loaded.config.ingress;
        let gateway = Gateway {
            endpoints,
            limits: Limits {
                trusted_proxies: ingress.trusted_proxies.clone(),
                body_timeout: ingress.body_timeout.get(),
                min_rate: ingress.min_rate.as_u64(),
                max_in_flight: ingress.max_in_flight,
                max_body_memory: ingress.max_body_memory.as_usize(),
            },
            senders: self.senders.follow(ingress.rate_by_address, ingress.rate_of_strangers),
            unknown: Arc::new(self.metrics.source("unknown", &[], [])),
        };
        Ok((gateway, replays))
    }

    /// The whole new configuration is loaded, checked and built before any of it is taken.
    async fn reload(
        &mut self,
        path: &Path,
        destinations: &mut Destinations,
        why: Reload,
    ) -> Result<(Gateway, Replays, Option<Arc<CertifiedKey>>), Vec<Problem>> {
        tracing::debug!(?why, "reload");
        let next = config::load(path)?;
        let fixed = self.fixed(&next);
        if !fixed.is_empty() {
            return Err(fixed);
        }
        let certified = next.certified.clone();
        let (gateway, replays) = self.gateway(destinations, Some(&next)).await?;
        self.loaded = next;
        self.senders = gateway.senders.clone();
        Ok((gateway, replays, certified))
    }

    /// Settings that only a new process can take.
    fn fixed(&self, next: &Loaded) -> Vec<Problem> {
        let (old, new) = (&self.loaded.config, &next.config);
        let same = [
            ("ingress.listen", old.ingress.listen == new.ingress.listen),
            ("ingress.tls", old.ingress.tls.is_some() == new.ingress.tls.is_some()),
            (
                "ingress.drain_delay",
                old.ingress.drain_delay == new.ingress.drain_delay,
            ),
            ("admin.listen", old.admin.listen == new.admin.listen),
            ("admin.token", self.loaded.admin_token == next.admin_token),
            ("journal", format!("{:?}", old.journal) == format!("{:?}", new.journal)),
            (
                "duplicates",
                format!("{:?}", old.duplicates) == format!("{:?}", new.duplicates),
            ),
            ("outbound", old.outbound == new.outbound),
        ];
        same.into_iter()
            .filter(|(_, same)| !same)
            .map(|(place, _)| {
                Problem::new(
                    place,
                    "has changed, and cannot be changed while running",
                    "restart to take it",
                )
            })
            .collect()
    }
}

fn keyring(loaded: &Loaded) -> Result<Arc<Keyring>, Vec<Problem>> {
    Keyring::new(loaded.config.outbound.clone())
        .map(Arc::new)
        .map_err(|message| vec![Problem::new("outbound", message, "")])
}

fn duplicates(loaded: &Loaded, destinations: &Destinations) -> Result<Duplicates, ServeError> {
    let settings = &loaded.config.duplicates;
    match (settings.store, destinations.journal()) {
        (Store::Memory, _) => Ok(Duplicates::in_memory(settings)),
        (Store::Journal, Some(journal)) => Duplicates::in_journal(settings, journal, clock::now())
            .map_err(|error| ServeError::Start(format!("duplicates: {error}"))),
        (Store::Journal, None) => Err(ServeError::Config(vec![Problem::new(
            "duplicates.store",
            "`journal` remembers in the journal, which is off",
            "switch the journal on, or choose `memory`",
        )])),
    }
}
