//! What a look at a destination found: for `check --live`, and before a breaker closes.

/// One thing looked at. A problem has a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub ok: bool,
    /// What was looked at: `stream: topic webhooks.github`.
    pub place: String,
    pub text: String,
    /// What to do about it; empty when nothing is wrong.
    pub remedy: String,
}

impl Finding {
    pub fn ok(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            ok: true,
            place: place.into(),
            text: text.into(),
            remedy: String::new(),
        }
    }

    pub fn problem(place: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            ok: false,
            place: place.into(),
            text: text.into(),
            remedy: remedy.into(),
        }
    }
}

/// A source that feeds the destination: what `{source}` and `{provider}` stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    pub source: String,
    pub provider: String,
}
