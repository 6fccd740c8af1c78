//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;

use serde::Serialize;

/// One thing to mend. Holds names and places, never a secret's content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Key path (`sources.github.secrets[0]`), or a file.
    pub place: String,
    pub message: String,
    /// What to do; empty where the message says it.
    pub remedy: String,
}

impl Problem {
    pub fn new(place: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}
