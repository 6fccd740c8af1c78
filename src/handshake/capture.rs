//! Secrets that a platform makes up and tells once, in its first and unsigned request, kept for the operator to look at.
//!
//! Anybody who knows the address can tell one. So nothing told is ever used: it is written to a file that only the
//! operator reads, who gives the true one to the source (Notion and Gusto want it typed into their own forms besides, and
//! Asana says it in its API's answer too). A source takes part in this only while it has no secret at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::secret::Secret;

/// Told secrets that are kept. A platform tells one; who sends more is somebody else.
pub const MOST_CAPTURED: usize = 16;

/// Of these, told from one address: a stranger leaves room for the platform.
pub const MOST_OF_ONE: usize = 4;

/// Where the secrets told to one source are kept.
#[derive(Debug)]
pub struct Capture {
    file: PathBuf,
    /// Two requests must not both find the last place free.
    writing: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("`{0}` cannot be written: {1}")]
    File(String, io::Error),
    #[error("`{0}` holds {MOST_CAPTURED} secrets already; look at them, and delete the file to take in others")]
    Full(String),
    #[error(
        "`{0}` holds {MOST_OF_ONE} secrets told from {1} already; look at them, and delete the file to take in others"
    )]
    FullOf(String, String),
}

impl Capture {
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            writing: Mutex::new(()),
        }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Appends when, from where, and the secret: a line of printable text. One that is there already is not written twice.
    pub fn keep(&self, secret: &Secret, sender: Option<IpAddr>, at: Timestamp) -> Result<(), CaptureError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let place = || self.file.display().to_string();
        let failed = |error| CaptureError::File(place(), error);
        let mut file = open(&self.file).map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let told = secret.expose_str().unwrap_or_default();
        if text.lines().any(|line| line.ends_with(&format!(" {told}"))) {
            return Ok(());
        }
        if text.lines().count() >= MOST_CAPTURED {
            return Err(CaptureError::Full(place()));
        }
        let sender = sender.map_or("unknown".to_owned(), |sender| sender.to_string());
        let told_by = |line: &&str| line.split(' ').nth(1) == Some(&sender);
        if text.lines().filter(told_by).count() >= MOST_OF_ONE {
            return Err(CaptureError::FullOf(place(), sender));
        }
        writeln!(file, "{at} {sender} {told}").map_err(failed)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("is no file")),
    }
}
