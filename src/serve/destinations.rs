//! Opens destinations and keeps those that a reload did not change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::config::{Config, Destination as Settings, JOURNAL, Problem};
use crate::destination::backlog::{Backlog, Cursor, OpenError, Part};
use crate::destination::journal::{Journal, JournalError, Reader, State, Status, Table};
#[cfg(feature = "kafka")]
use crate::destination::kafka::Kafka;
#[cfg(feature = "rabbitmq")]
use crate::destination::rabbitmq::RabbitMq;
use crate::destination::spool::{Outlet, Spool, Tuning};
use crate::destination::{Destination, Feed, Finding, journal};
use crate::pipeline::{Target, Way};
use crate::replay::Quarantine;
use crate::telemetry::Metrics;
use crate::units::ByteSize;

/// How long a destination that a reload takes away may finish what it has under way.
const CLOSE: Duration = Duration::from_secs(10);

/// The journal, and every destination that the configuration names.
#[derive(Debug)]
pub struct Destinations {
    journal: Option<JournalSide>,
    brokers: BTreeMap<String, Broker>,
    metrics: Metrics,
    runtime: Handle,
}

#[derive(Debug)]
struct JournalSide {
    journal: Arc<Journal>,
    spool: Arc<Spool>,
    target: Target,
}

#[derive(Debug)]
struct Broker {
    /// Of the settings and the credentials as they were read.
    fingerprint: [u8; 32],
    client: Arc<dyn Client>,
    target: Target,
}

/// One connection to a broker, with its two destinations.
trait Client: Quarantine + std::fmt::Debug {
    fn main(&self) -> Arc<dyn Destination>;
    fn quarantine(&self) -> Arc<dyn Destination>;
    /// Ends what belongs to the ingress's workers, while these live.
    fn end_workers(&self, _deadline: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn close(&self, deadline: Duration) -> BoxFuture<'_, ()>;
}

macro_rules! client {
    ($kind:ty $(, $end_workers:ident)?) => {
        impl Client for $kind {
            fn main(&self) -> Arc<dyn Destination> {
                Self::main(self)
            }
            fn quarantine(&self) -> Arc<dyn Destination> {
                Self::quarantine(self)
            }
            $(fn $end_workers(&self, deadline: Duration) -> BoxFuture<'_, ()> {
                Box::pin(Self::$end_workers(self, deadline))
            })?
            fn close(&self, deadline: Duration) -> BoxFuture<'_, ()> {
                Box::pin(Self::close(self, deadline))
            }
        }
    };
}

#[cfg(feature = "kafka")]
client!(Kafka);
#[cfg(feature = "rabbitmq")]
client!(RabbitMq, end_workers);

type Opened = BoxFuture<'static, Result<Box<dyn Backlog>, OpenError>>;

#[cfg(feature = "kafka")]
impl Quarantine for Kafka {
    fn backlog(self: Arc<Self>, part: Part, cursor: Cursor, feeds: Vec<Feed>) -> Opened {
        Box::pin(async move { Self::backlog(&self, part, cursor, feeds).await })
    }
}

#[cfg(feature = "rabbitmq")]
impl Quarantine for RabbitMq {
    /// What is replayed leaves the queue: there is no cursor.
    fn backlog(self: Arc<Self>, part: Part, _cursor: Cursor, feeds: Vec<Feed>) -> Opened {
        Box::pin(async move { Self::backlog(&self, part, feeds).await })
    }
}

#[cfg_attr(
    not(any(feature = "kafka", feature = "rabbitmq")),
    expect(unused_variables, reason = "no kind is built in")
)]
fn open(name: &str, settings: &Settings, runtime: &Handle) -> Result<Arc<dyn Client>, Vec<Problem>> {
    let placed = |found: Vec<String>| -> Vec<Problem> {
        found
            .into_iter()
            .map(|message| Problem::new(format!("destinations.{name}"), message, ""))
            .collect()
    };
    #[cfg(feature = "kafka")]
    if let Some(kafka) = &settings.kafka {
        let opened = Kafka::open(name, kafka, &settings.quarantine.kafka(), runtime.clone());
        return opened.map(|kafka| Arc::new(kafka) as Arc<dyn Client>).map_err(placed);
    }
    #[cfg(feature = "rabbitmq")]
    if let Some(rabbitmq) = &settings.rabbitmq {
        let opened = RabbitMq::open(name, rabbitmq, &settings.quarantine.rabbitmq(), runtime.clone());
        return opened
            .map(|rabbitmq| Arc::new(rabbitmq) as Arc<dyn Client>)
            .map_err(placed);
    }
    Err(placed(vec!["has no kind that this build knows".into()]))
}

impl Destinations {
    /// Opens the journal and reads back what waits in its spool. Blocks. Brokers come with [`Self::follow`].
    pub fn open(config: &Config, metrics: &Metrics, runtime: Handle) -> Result<Self, JournalError> {
        let journal = match &config.journal {
            None => None,
            Some(settings) => {
                let journal = Journal::open(settings)?;
                let spool = Spool::open(&journal)?;
                let target = Target {
                    main: way(Outlet::journal(journal.events()), metrics),
                    quarantine: way(Outlet::journal(journal.quarantine()), metrics),
                };
                Some(JournalSide { journal, spool, target })
            }
        };
        Ok(Self {
            journal,
            brokers: BTreeMap::new(),
            metrics: metrics.clone(),
            runtime,
        })
    }

    /// Opens what is new or changed, closes what is gone or changed. While one is being changed, its events go to the
    /// spool. On an error nothing has changed.
    pub async fn follow(&mut self, wanted: &BTreeMap<String, Settings>) -> Result<(), Vec<Problem>> {
        let mut opened = Vec::new();
        let mut problems = Vec::new();
        for (name, settings) in wanted {
            let fingerprint = fingerprint(settings);
            if self
                .brokers
                .get(name)
                .is_some_and(|broker| broker.fingerprint == fingerprint)
            {
                continue;
            }
            match open(name, settings, &self.runtime) {
                Ok(client) => opened.push((name, settings, fingerprint, client)),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let changed: Vec<String> = opened.iter().map(|(name, ..)| (*name).clone()).collect();
        let gone: Vec<String> = self
            .brokers
            .keys()
            .filter(|name| !wanted.contains_key(*name))
            .cloned()
            .collect();
        for name in changed.iter().chain(&gone) {
            if let Some(broker) = self.brokers.remove(name) {
                broker.close(CLOSE).await;
            }
        }
        for (name, settings, fingerprint, client) in opened {
            let spool = self.journal.as_ref().map(|side| &side.spool);
            let outlet = |destination| way(Outlet::broker(destination, spool, Tuning::default()), &self.metrics);
            let quarantine = match &self.journal {
                Some(side) if settings.quarantine.journal => side.target.quarantine.clone(),
                _ => outlet(client.quarantine()),
            };
            let target = Target {
                main: outlet(client.main()),
                quarantine,
            };
            self.brokers.insert(
                name.clone(),
                Broker {
                    fingerprint,
                    client,
                    target,
                },
            );
        }
        Ok(())
    }

    /// A destination that the configuration was checked to have.
    pub fn target(&self, name: &str) -> Option<Target> {
        if name == JOURNAL {
            return self.journal.as_ref().map(|side| side.target.clone());
        }
        self.brokers.get(name).map(|broker| broker.target.clone())
    }

    /// All of them, by name.
    pub fn targets(&self) -> BTreeMap<String, Target> {
        let journal = self
            .journal
            .iter()
            .map(|side| (JOURNAL.to_owned(), side.target.clone()));
        let brokers = self
            .brokers
            .iter()
            .map(|(name, broker)| (name.clone(), broker.target.clone()));
        journal.chain(brokers).collect()
    }

    /// What lies in the brokers' quarantines, for replays.
    pub fn quarantines(&self) -> BTreeMap<String, Arc<dyn Quarantine>> {
        let brokers = self.brokers.iter();
        brokers
            .map(|(name, broker)| (name.clone(), broker.client.clone() as Arc<dyn Quarantine>))
            .collect()
    }

    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.as_ref().map(|side| &side.journal)
    }

    /// What can be asked from other threads while destinations come and go.
    /// `to_journal`: some source has it as its destination.
    pub fn state(&self, to_journal: bool) -> DestinationState {
        DestinationState {
            to_journal,
            journal: self
                .journal
                .as_ref()
                .map(|side| (side.journal.clone(), side.spool.clone())),
            outlets: self
                .brokers
                .values()
                .map(|broker| {
                    (
                        broker.target.main.outlet.clone(),
                        broker.target.quarantine.outlet.clone(),
                    )
                })
                .collect(),
        }
    }

    /// The ingress's workers are about to end.
    pub async fn end_workers(&self, deadline: Duration) {
        let brokers = self.brokers.values();
        futures_util::future::join_all(brokers.map(|broker| broker.client.end_workers(deadline))).await;
    }

    /// Flushes every broker and leaves in the spool what was not confirmed; the journal last.
    pub async fn close(&mut self, deadline: Duration) {
        let brokers = std::mem::take(&mut self.brokers);
        futures_util::future::join_all(brokers.values().map(|broker| broker.close(deadline))).await;
        if let Some(side) = &self.journal {
            side.journal.close().await;
        }
    }
}

impl Broker {
    async fn close(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        tokio::join!(
            self.target.main.outlet.close(until),
            self.target.quarantine.outlet.close(until)
        );
        self.client.close(until.saturating_duration_since(Instant::now())).await;
    }
}

/// Asks the brokers of a configuration, for `check --live`. `feeds` are the sources behind each destination.
pub async fn probe(name: &str, settings: &Settings, feeds: Vec<Feed>, runtime: Handle) -> Vec<Finding> {
    match open(name, settings, &runtime) {
        Ok(client) => {
            let mut findings = client.main().probe(feeds.clone()).await;
            if !settings.quarantine.journal {
                findings.extend(client.quarantine().probe(feeds).await);
            }
            client.close(Duration::from_secs(1)).await;
            findings
        }
        Err(problems) => problems
            .into_iter()
            .map(|p| Finding::problem(p.place, p.message, p.remedy))
            .collect(),
    }
}

/// How full the journal is, for `check --live`. Read beside a running gateway.
pub fn probe_journal(settings: &journal::Settings) -> Vec<Finding> {
    let place = format!("journal {}", settings.path.display());
    let mut findings = Vec::new();
    match Reader::open(&settings.path) {
        Ok(reader) => {
            for table in Table::ALL {
                let quota = settings.quota(table);
                let place = format!("{place}: {}", table.name());
                findings.push(match reader.usage(table) {
                    Ok(usage) => {
                        let bytes = ByteSize::bytes(usage.bytes);
                        let text = format!("{} events, {bytes} of {quota}", usage.rows);
                        let nearly = usage.bytes >= quota.as_u64() / 10 * 9;
                        match table {
                            Table::Spool if nearly => Finding::problem(
                                place,
                                text,
                                "bring the brokers back, or raise journal.spool.max_bytes",
                            ),
                            Table::Quarantine if nearly => Finding::problem(
                                place,
                                text,
                                "replay or prune quarantine, or raise journal.quarantine.max_bytes",
                            ),
                            _ => Finding::ok(place, text),
                        }
                    }
                    Err(error) => Finding::problem(place, error.to_string(), ""),
                });
            }
        }
        Err(JournalError::Missing { .. }) => findings.push(Finding::ok(&place, "is not there yet; `serve` creates it")),
        Err(error) => findings.push(Finding::problem(&place, error.to_string(), "")),
    }
    if let Some(free) = settings.free() {
        let text = format!(
            "{} bytes are free on its disk, {} must stay so",
            free, settings.min_free
        );
        findings.push(if free < settings.min_free.as_u64() {
            Finding::problem(&place, text, "make room: nothing is stored before (503)")
        } else {
            Finding::ok(&place, text)
        });
    }
    findings
}

fn way(outlet: Outlet, metrics: &Metrics) -> Way {
    let name = outlet.name().clone();
    metrics.destination_up.with_label_values(&[&*name]).set(1);
    Way {
        duration: metrics.publish_duration.with_label_values(&[&*name]),
        outlet,
    }
}

/// Settings print without their secrets; what the secrets are now is added.
fn fingerprint(settings: &Settings) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(format!("{settings:?}"));
    #[cfg(any(feature = "kafka", feature = "rabbitmq"))]
    let mut add = |credential: &crate::secret::Credential| {
        if let Ok(secret) = credential.load() {
            hash.update(secret.expose());
        }
        hash.update([0]);
    };
    #[cfg(feature = "kafka")]
    if let Some(kafka) = &settings.kafka {
        kafka.properties.values().for_each(&mut add);
    }
    #[cfg(feature = "rabbitmq")]
    if let Some(rabbitmq) = &settings.rabbitmq {
        add(&rabbitmq.url);
    }
    hash.finalize().into()
}

/// Why the journal takes nothing.
fn said(state: State) -> String {
    match state {
        State::Ready => "the journal takes events".to_owned(),
        State::Full(reason) => format!("the journal is full: {reason}"),
        State::Failing(reason) => format!("the journal fails: {reason}"),
        State::Closed => "the journal is closed".to_owned(),
    }
}

/// How destinations are, for metrics and readiness.
#[derive(Clone, Debug, Default)]
pub struct DestinationState {
    journal: Option<(Arc<Journal>, Arc<Spool>)>,
    /// The journal's events are the destination of some source, which no quota makes refuse.
    to_journal: bool,
    /// Main and quarantine of each broker.
    outlets: Vec<(Outlet, Outlet)>,
}

impl DestinationState {
    /// `Err` when nothing could be made durable now: the journal cannot take anything (or is off) and no broker is up.
    pub fn ready(&self) -> Result<(), String> {
        let journal = match &self.journal {
            Some((journal, _)) => match journal.status() {
                Status {
                    state: State::Ready,
                    spool_full: Some(reason),
                    ..
                } if !self.to_journal => format!("the spool is full: {reason}"),
                Status {
                    state: State::Ready, ..
                } => return Ok(()),
                status => said(status.state),
            },
            None => "the journal is off".to_owned(),
        };
        let up = |main: &Outlet| main.stats().is_some_and(|stats| stats.up);
        if self.outlets.iter().any(|(main, _)| up(main)) {
            return Ok(());
        }
        Err(format!("nothing can be made durable: {journal}, and no broker is up"))
    }

    pub fn refresh(&self, metrics: &Metrics) {
        let outlets = self.outlets.iter().flat_map(|(main, quarantine)| [main, quarantine]);
        for stats in outlets.filter_map(Outlet::stats) {
            metrics
                .destination_up
                .with_label_values(&[&*stats.destination])
                .set(stats.up.into());
        }
        let Some((journal, spool)) = &self.journal else { return };
        let status = journal.status();
        let up = status.state == State::Ready;
        for (name, full) in [
            ("journal", None),
            ("journal.quarantine", status.quarantine_full.as_ref()),
        ] {
            let up = up && full.is_none();
            metrics.destination_up.with_label_values(&[name]).set(up.into());
        }
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (table, usage, full) in [
            (Table::Events, status.events, None),
            (Table::Spool, status.spool, status.spool_full.as_ref()),
            (Table::Quarantine, status.quarantine, status.quarantine_full.as_ref()),
        ] {
            let labels = [table.name()];
            metrics.journal_events.with_label_values(&labels).set(count(usage.rows));
            metrics.journal_bytes.with_label_values(&labels).set(count(usage.bytes));
            let quota = count(journal.quota(table));
            metrics.journal_limit_bytes.with_label_values(&labels).set(quota);
            let full = !up || full.is_some();
            metrics.journal_full.with_label_values(&labels).set(full.into());
        }
        metrics.journal_expired.set(count(status.expired.rows));
        // The spool knows all that waits, also for destinations that are no longer configured.
        let (mut events, mut bytes, mut oldest) = (0, 0, None);
        for stats in spool.stats() {
            events += stats.events;
            bytes += stats.bytes;
            oldest = [oldest, stats.oldest].into_iter().flatten().min();
        }
        metrics.spool_events.set(events.try_into().unwrap_or(i64::MAX));
        metrics.spool_bytes.set(bytes.try_into().unwrap_or(i64::MAX));
        let age = oldest.map_or(0.0, |oldest| crate::clock::now().duration_since(oldest).as_secs_f64());
        metrics.spool_oldest.set(age.max(0.0));
    }
}
