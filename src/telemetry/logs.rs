//! Structured logs on standard error.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// `log:` in the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `text` or `json`. Default `text`. `HOOKSLUICE__LOG__FORMAT`
    pub format: Format,
    /// Filter directives, such as `info` or `hooksluice=debug`. Default `warn,hooksluice=info,lapin=off`. `HOOKSLUICE__LOG__LEVEL`
    pub level: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

impl Settings {
    /// A lone word that is no level would be taken for a part of the program, and everything else fall silent.
    pub fn check(&self) -> Result<(), String> {
        let Some(level) = &self.level else { return Ok(()) };
        for directive in level.split(',').map(str::trim) {
            let is_level = LEVELS.iter().any(|known| directive.eq_ignore_ascii_case(known));
            if !is_level && !directive.contains('=') {
                return Err(format!("`{directive}` is no level"));
            }
        }
        EnvFilter::try_new(level)
            .map(drop)
            .map_err(|error| format!("`{level}`: {error}"))
    }
}

/// Starts logging for the process. A second call changes nothing.
pub fn start(settings: &Settings) -> Result<(), String> {
    // What others say at `info` is their every retry and start; a failure is said once, by the room that owns it.
    let directives = settings.level.as_deref().unwrap_or("warn,hooksluice=info,lapin=off");
    // lapin prints returned messages, body and all: that is never wanted, whatever else is.
    let filter = EnvFilter::try_new(format!("{directives},lapin::returned_messages=off"))
        .map_err(|error| format!("log.level `{directives}`: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match settings.format {
        Format::Text => builder.with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    drop(started);
    Ok(())
}
