//! Notices that a reload is asked for: by SIGHUP, or because a file that the configuration was read from has changed.
//!
//! Folders are watched rather than files: editors replace files, and a mounted ConfigMap or Secret is swapped by turning a
//! symbolic link. A journal may lie in the same folder, so what counts is not the event but whether the content differs.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How long after a notice the files are looked at, and must look the same again to count as completely written.
const SETTLE: Duration = Duration::from_millis(300);

/// `<schemas>/<provider>/<event>/<version>.json`; a bound, for links may go in circles.
const FOLDER_DEPTH: usize = 3;

/// Why a reload is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Signal,
    Files,
}

/// A stream of reload requests.
#[derive(Debug)]
pub struct Watch {
    hangup: Signal,
    changes: mpsc::Receiver<()>,
    watcher: RecommendedWatcher,
    folders: BTreeMap<PathBuf, RecursiveMode>,
    paths: Vec<PathBuf>,
    /// Of what was last asked to be loaded.
    fingerprint: u64,
    /// When to look at the files: something happened in their folders.
    look_at: Option<Instant>,
    /// What the last look found, where it was a change: the next one must find it, too.
    seen: Option<u64>,
}

/// Watching is not possible: no signal handler, or no file watches left on this machine.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("cannot listen for SIGHUP: {0}")]
    Signal(std::io::Error),
    #[error("cannot watch files for changes: {0}")]
    Files(#[from] notify::Error),
}

impl Watch {
    /// Starts watching what a loaded configuration was read from ([`super::Loaded::watched`]). Needs a tokio runtime.
    pub fn start(paths: &[PathBuf]) -> Result<Self, WatchError> {
        // One waiting notice is enough: what changed is asked of the files themselves.
        let (notice, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and would make every reload ask for the next.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                // Full: a notice is waiting already.
                let _ = notice.try_send(());
            }
        })?;
        let hangup = signal(SignalKind::hangup()).map_err(WatchError::Signal)?;
        let mut watch = Self {
            hangup,
            changes,
            watcher,
            folders: BTreeMap::new(),
            paths: Vec::new(),
            fingerprint: 0,
            look_at: None,
            seen: None,
        };
        watch.follow(paths)?;
        Ok(watch)
    }

    /// Watches the paths of a newly loaded configuration in place of the former ones.
    pub fn follow(&mut self, paths: &[PathBuf]) -> Result<(), WatchError> {
        let folders = folders(paths);
        for folder in self.folders.keys().filter(|folder| !folders.contains_key(*folder)) {
            // A folder that is gone is not watched any more either.
            let _ = self.watcher.unwatch(folder);
        }
        for (folder, mode) in &folders {
            if self.folders.get(folder) != Some(mode) {
                self.watcher.watch(folder, *mode)?;
            }
        }
        self.folders = folders;
        // Otherwise what was read at the last notice stays the measure: a change during the load is not lost.
        if self.paths != paths {
            self.paths = paths.to_vec();
            self.fingerprint = fingerprint(paths);
        }
        Ok(())
    }

    /// Waits for the next request. Cancel safe: a request that is not yielded now is yielded by the next call.
    pub async fn next(&mut self) -> Reload {
        loop {
            tokio::select! {
                Some(()) = self.hangup.recv() => return Reload::Signal,
                // Later notices put nothing off: a journal beside the configuration is never at rest.
                Some(()) = self.changes.recv() => {
                    self.look_at.get_or_insert_with(|| Instant::now() + SETTLE);
                }
                () = sleep_until(self.look_at.unwrap_or_else(Instant::now)), if self.look_at.is_some() => {
                    let now = fingerprint(&self.paths);
                    if now == self.fingerprint {
                        (self.look_at, self.seen) = (None, None);
                    } else if self.seen == Some(now) {
                        (self.look_at, self.seen) = (None, None);
                        self.fingerprint = now;
                        return Reload::Files;
                    } else {
                        (self.look_at, self.seen) = (Some(Instant::now() + SETTLE), Some(now));
                    }
                }
            }
        }
    }
}

/// What to watch for these paths: the folder around a file, and around what it links to; everything below a folder.
fn folders(paths: &[PathBuf]) -> BTreeMap<PathBuf, RecursiveMode> {
    let mut folders = BTreeMap::new();
    for path in paths {
        if path.is_dir() {
            folders.insert(path.clone(), RecursiveMode::Recursive);
        }
        let linked = path.canonicalize().ok();
        for path in [Some(path), linked.as_ref()].into_iter().flatten() {
            let around = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
                _ => PathBuf::from("."),
            };
            if around.is_dir() {
                folders.entry(around).or_insert(RecursiveMode::NonRecursive);
            }
        }
    }
    folders
}

/// A digest of the contents; what cannot be read counts as such.
fn fingerprint(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        digest(path, FOLDER_DEPTH, &mut hasher);
    }
    hasher.finish()
}

fn digest(path: &Path, depth: usize, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    if !path.is_dir() {
        return std::fs::read(path).ok().hash(hasher);
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    inside.sort();
    if depth > 0 {
        inside.iter().for_each(|path| digest(path, depth - 1, hasher));
    }
}
