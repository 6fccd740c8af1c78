//! `journal:` in the configuration.

use std::path::PathBuf;

use serde::Deserialize;

use super::Table;
use crate::units::{ByteSize, HumanDuration};

/// `journal:`: the embedded store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The database file; `-wal`, `-shm`, `.lock` and, while the gateway runs, `.sock` lie beside it. Created with mode 0600, its folder with 0700.
    /// Default `data/hooksluice.db`. `HOOKSLUICE__JOURNAL__PATH`.
    #[serde(default = "default_path")]
    pub path: PathBuf,
    /// How long events are kept. Spool and quarantine have limits of their own.
    #[serde(default)]
    pub retention: Retention,
    /// Events that wait for their broker. Never removed before the broker confirmed them.
    #[serde(default)]
    pub spool: SpoolSettings,
    /// Events that broke their contract and have no other quarantine.
    #[serde(default)]
    pub quarantine: QuarantineSettings,
    /// Bytes that stay free on the file system: with less, nothing new is stored (503), and what is stored can
    /// still be drained, for that needs a little room too.
    /// Default `128MiB`. `HOOKSLUICE__JOURNAL__MIN_FREE`.
    #[serde(default = "default_min_free")]
    pub min_free: ByteSize,
}

/// `journal.retention:`: the oldest events go first, as in a topic.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Events older than this are removed. Default `7d`. `HOOKSLUICE__JOURNAL__RETENTION__AGE`.
    pub age: HumanDuration,
    /// Above this many bytes of events the oldest are removed. Default `10GiB`. `HOOKSLUICE__JOURNAL__RETENTION__SIZE`.
    pub size: ByteSize,
}

/// `journal.spool:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSettings {
    /// Above this many bytes the spool takes nothing more: the sender gets a 503.
    /// Memory: about 100 bytes for each event that waits. Default `10GiB`. `HOOKSLUICE__JOURNAL__SPOOL__MAX_BYTES`.
    pub max_bytes: ByteSize,
}

/// `journal.quarantine:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuarantineSettings {
    /// Above this many bytes quarantine takes nothing more: the sender gets a 503.
    /// Default `1GiB`. `HOOKSLUICE__JOURNAL__QUARANTINE__MAX_BYTES`.
    pub max_bytes: ByteSize,
    /// Remove quarantined events older than this. Default: never. `HOOKSLUICE__JOURNAL__QUARANTINE__AGE`.
    pub age: Option<HumanDuration>,
}

fn default_path() -> PathBuf {
    "data/hooksluice.db".into()
}

const fn default_min_free() -> ByteSize {
    ByteSize::mib(128)
}

impl Settings {
    /// Defaults, at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            retention: Retention::default(),
            spool: SpoolSettings::default(),
            quarantine: QuarantineSettings::default(),
            min_free: default_min_free(),
        }
    }
}

impl Settings {
    /// How much the table may hold: events above it leave, the others are refused.
    pub fn quota(&self, table: Table) -> ByteSize {
        match table {
            Table::Events => self.retention.size,
            Table::Spool => self.spool.max_bytes,
            Table::Quarantine => self.quarantine.max_bytes,
        }
    }

    /// Bytes that are free on the file system of the journal; `None` when it does not say.
    pub fn free(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(super::schema::folder(&self.path)).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Where a running gateway takes commands: a Unix socket beside the file.
    pub fn socket(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".sock");
        name.into()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::at(default_path())
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: HumanDuration::from_days(7),
            size: ByteSize::gib(10),
        }
    }
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            max_bytes: ByteSize::gib(10),
        }
    }
}

impl Default for QuarantineSettings {
    fn default() -> Self {
        Self {
            max_bytes: ByteSize::gib(1),
            age: None,
        }
    }
}
