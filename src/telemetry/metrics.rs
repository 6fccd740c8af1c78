//! Every metric, once. The doc comment of a field is its help text.
//!
//! For each source `received` is the sum of its outcomes and what is in flight: an [`Account`] is
//! opened for every delivery and closes itself under exactly one [`Outcome`], also when the
//! delivery's future is dropped.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// What became of a delivery. A batch counts once, under its worst outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Outcome {
    Handshake,
    Ignored,
    Duplicate,
    Published,
    Journaled,
    Spooled,
    Quarantined,
    /// The sender's fault.
    Rejected,
    /// Ours.
    Refused,
    /// The client left before it was verified.
    Aborted,
}

impl Outcome {
    pub const ALL: [Self; 10] = [
        Self::Handshake,
        Self::Ignored,
        Self::Duplicate,
        Self::Published,
        Self::Journaled,
        Self::Spooled,
        Self::Quarantined,
        Self::Rejected,
        Self::Refused,
        Self::Aborted,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::Published => "published",
            Self::Journaled => "journaled",
            Self::Spooled => "spooled",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
        }
    }
}

/// Which limit turned a delivery away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `ingress.rate_by_address`
    AddressRate,
    /// `ingress.rate_of_strangers`
    StrangersRate,
    /// `sources.NAME.rate`
    SourceRate,
    /// `ingress.max_in_flight`
    InFlight,
    /// `ingress.max_body_memory`
    BodyMemory,
}

impl Limit {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressRate => "address_rate",
            Self::StrangersRate => "strangers_rate",
            Self::SourceRate => "source_rate",
            Self::InFlight => "in_flight",
            Self::BodyMemory => "body_memory",
        }
    }

    /// For the log and the inspector.
    pub fn why(self) -> &'static str {
        match self {
            Self::AddressRate => "more deliveries from its address than `ingress.rate_by_address`",
            Self::StrangersRate => "more deliveries from unproved addresses than `ingress.rate_of_strangers`",
            Self::SourceRate => "more deliveries than the source's `rate`",
            Self::InFlight => "more deliveries in work than `ingress.max_in_flight`, or this source's share of it",
            Self::BodyMemory => "bodies in hand fill `ingress.max_body_memory`, or this source's share of it",
        }
    }
}

/// From 100 µs to 10 s: a journal commit takes milliseconds, a broker in trouble the ack budget.
const DURATION_BUCKETS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident($name:literal $(, $label:literal)*);)+) => {
        /// All metrics of the process, and the registry that prints them.
        #[derive(Clone)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Metrics {
            pub fn new() -> Self {
                let registry = Registry::new();
                $(let $field = register(&registry, metrics!(@new $kind, $name, concat!($($help),+), [$($label),*]));)+
                Self { registry, $($field,)+ }
            }
        }
    };
    (@new IntCounterVec, $name:literal, $help:expr, $labels:expr) => { IntCounterVec::new(Opts::new($name, $help.trim()), &$labels) };
    (@new IntGaugeVec, $name:literal, $help:expr, $labels:expr) => { IntGaugeVec::new(Opts::new($name, $help.trim()), &$labels) };
    (@new HistogramVec, $name:literal, $help:expr, $labels:expr) => {
        HistogramVec::new(HistogramOpts::new($name, $help.trim()).buckets(DURATION_BUCKETS.to_vec()), &$labels)
    };
    (@new IntGauge, $name:literal, $help:expr, $labels:expr) => { { let _: [&str; 0] = $labels; IntGauge::new($name, $help.trim()) } };
    (@new Gauge, $name:literal, $help:expr, $labels:expr) => { { let _: [&str; 0] = $labels; Gauge::new($name, $help.trim()) } };
}

metrics! {
    /// Deliveries that arrived.
    received: IntCounterVec("hooksluice_deliveries_received_total", "source");
    /// Deliveries that ended, by outcome. Their sum and those in flight are the received.
    deliveries: IntCounterVec("hooksluice_deliveries_total", "source", "outcome");
    /// Deliveries that arrived and have not ended.
    in_flight: IntGaugeVec("hooksluice_deliveries_in_flight", "source");
    /// Bytes of the bodies of deliveries that have not ended, as far as they arrived.
    body_bytes: IntGauge("hooksluice_body_bytes");
    /// Events, by outcome: one a delivery, or one an element of a batch.
    events: IntCounterVec("hooksluice_events_total", "source", "outcome");
    /// Seconds from the head of a delivery to its answer.
    duration: HistogramVec("hooksluice_delivery_duration_seconds", "source");
    /// Deliveries whose sender was not proved, by reason.
    verify_failures: IntCounterVec("hooksluice_verify_failures_total", "source", "reason");
    /// Deliveries turned away because a limit was met, by limit.
    shed: IntCounterVec("hooksluice_deliveries_shed_total", "source", "limit");
    /// Deliveries verified, by the name of the secret or key that matched.
    secret_uses: IntCounterVec("hooksluice_secret_uses_total", "source", "key");
    /// Contract checks, by event type, version and result. A type without a schema is `other`.
    contract_checks: IntCounterVec("hooksluice_contract_checks_total", "source", "type", "version", "result");
    /// Seconds from handing an event to a destination to its receipt.
    publish_duration: HistogramVec("hooksluice_publish_duration_seconds", "destination");
    /// 1 while the destination takes events, 0 while its breaker is open.
    destination_up: IntGaugeVec("hooksluice_destination_up", "destination");
    /// Acknowledged events in the spool, waiting for their broker.
    spool_events: IntGauge("hooksluice_spool_events");
    /// Bytes of the events in the spool.
    spool_bytes: IntGauge("hooksluice_spool_bytes");
    /// Age of the oldest event in the spool, in seconds; 0 when it is empty.
    spool_oldest: Gauge("hooksluice_spool_oldest_seconds");
    /// Events of the journal: kept, spooled and quarantined.
    journal_events: IntGaugeVec("hooksluice_journal_events", "table");
    /// Bytes of these, as the quotas count them.
    journal_bytes: IntGaugeVec("hooksluice_journal_bytes", "table");
    /// The quota of each, in bytes.
    journal_limit_bytes: IntGaugeVec("hooksluice_journal_limit_bytes", "table");
    /// 1 while the table refuses what comes, because of its quota or of the disk.
    journal_full: IntGaugeVec("hooksluice_journal_full", "table");
    /// Kept events that were removed by age or size since the start.
    journal_expired: IntGauge("hooksluice_journal_expired_events");
    /// Events replayed, by what became of each.
    replayed: IntCounterVec("hooksluice_replayed_events_total", "outcome");
    /// 1 if the last reload of the configuration was taken, 0 if it was refused.
    reload_successful: IntGauge("hooksluice_config_last_reload_successful");
    /// Unix time of the last configuration that was taken.
    reload_timestamp: Gauge("hooksluice_config_last_reload_success_timestamp_seconds");
    /// Always 1; the labels tell the version.
    build_info: IntGaugeVec("hooksluice_build_info", "version");
}

/// Names and labels are literals above: a failure here is a defect that the first start shows.
fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.unwrap_or_else(|error| panic!("metric definition: {error}"));
    registry
        .register(Box::new(metric.clone()))
        .unwrap_or_else(|error| panic!("metric definition: {error}"));
    metric
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The Prometheus text format.
    pub fn encode(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }

    /// A source's metrics with their labels looked up once. `keys` are the names of its secrets, `contracts` the types and
    /// versions of its contracts in the order of their numbers.
    pub fn source<'c>(
        &self,
        name: &str,
        keys: &[Arc<str>],
        contracts: impl IntoIterator<Item = (&'c str, &'c str)>,
    ) -> SourceMetrics {
        let by_outcome = |vec: &IntCounterVec| Outcome::ALL.map(|o| vec.with_label_values(&[name, o.as_str()]));
        SourceMetrics {
            name: name.into(),
            received: self.received.with_label_values(&[name]),
            deliveries: by_outcome(&self.deliveries),
            events: by_outcome(&self.events),
            in_flight: self.in_flight.with_label_values(&[name]),
            duration: self.duration.with_label_values(&[name]),
            secret_uses: keys
                .iter()
                .map(|key| (key.clone(), self.secret_uses.with_label_values(&[name, key.as_ref()])))
                .collect(),
            contracts_passed: contracts
                .into_iter()
                .map(|(event, version)| ContractPassed {
                    labels: [name, event, version, "passed"].map(Box::from),
                    counter: OnceLock::new(),
                })
                .collect(),
            all: self.clone(),
        }
    }
}

/// Looked up when it is first counted: most contracts of a source see no delivery, and need no series.
#[derive(Debug)]
struct ContractPassed {
    labels: [Box<str>; 4],
    counter: OnceLock<IntCounter>,
}

/// The metrics of one source.
#[derive(Debug)]
pub struct SourceMetrics {
    name: Arc<str>,
    received: IntCounter,
    deliveries: [IntCounter; 10],
    events: [IntCounter; 10],
    in_flight: IntGauge,
    duration: Histogram,
    secret_uses: HashMap<Arc<str>, IntCounter>,
    contracts_passed: Vec<ContractPassed>,
    all: Metrics,
}

impl SourceMetrics {
    pub fn event(&self, outcome: Outcome) {
        self.events[outcome as usize].inc();
    }

    pub fn verify_failure(&self, reason: &str) {
        self.all.verify_failures.with_label_values(&[&self.name, reason]).inc();
    }

    pub fn shed(&self, limit: Limit) {
        self.all.shed.with_label_values(&[&*self.name, limit.as_str()]).inc();
    }

    /// Keys that were fetched have no name of the user's: they count as `fetched`.
    pub fn secret_use(&self, key: Option<&Arc<str>>) {
        match key.and_then(|key| self.secret_uses.get(key)) {
            Some(counter) => counter.inc(),
            None if key.is_some() => self.all.secret_uses.with_label_values(&[&*self.name, "fetched"]).inc(),
            None => {}
        }
    }

    /// The source's contract of that number was met.
    pub fn contract_passed(&self, number: usize) {
        if let Some(passed) = self.contracts_passed.get(number) {
            let look_up = || self.all.contract_checks.with_label_values(&passed.labels);
            passed.counter.get_or_init(look_up).inc();
        }
    }

    /// Any other verdict.
    pub fn contract_check(&self, (event, version): (&str, &str), result: &str) {
        self.all
            .contract_checks
            .with_label_values(&[&self.name, event, version, result])
            .inc();
    }
}

/// One delivery's entry in the books. Dropped unsettled, it counts as [`Outcome::Aborted`] before
/// [`Account::verified`] and as [`Outcome::Refused`] after.
#[derive(Debug)]
pub struct Account {
    metrics: Arc<SourceMetrics>,
    started: std::time::Instant,
    otherwise: Outcome,
    proved: bool,
    settled: bool,
}

impl Account {
    pub fn open(metrics: Arc<SourceMetrics>) -> Self {
        metrics.received.inc();
        metrics.in_flight.inc();
        Self {
            metrics,
            started: std::time::Instant::now(),
            otherwise: Outcome::Aborted,
            proved: false,
            settled: false,
        }
    }

    /// From here on nothing that the client does changes what is counted.
    pub fn verified(&mut self) {
        self.otherwise = Outcome::Refused;
    }

    /// Its sender holds a key.
    pub fn proved(&mut self) {
        self.proved = true;
    }

    pub fn is_proved(&self) -> bool {
        self.proved
    }

    /// A limit turned it away.
    pub fn shed(&self, limit: Limit) {
        self.metrics.shed(limit);
    }

    pub fn settle(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        self.settled = true;
        self.metrics.deliveries[outcome as usize].inc();
        self.metrics.in_flight.dec();
        self.metrics.duration.observe(self.started.elapsed().as_secs_f64());
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.settled {
            self.close(self.otherwise);
        }
    }
}
