//! Structured logs on standard error.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// `log:` in the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `text` or `json`. Default `text`. `HOOKSLUICE__LOG__FORMAT`
    pub format: Format,
    /// Filter directives, such as `info` or `hooksluice=debug`. Default `info`. `HOOKSLUICE__LOG__LEVEL`
    pub level: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Starts logging for the process. A second call changes nothing.
pub fn start(settings: &Settings) -> Result<(), String> {
    let directives = settings.level.as_deref().unwrap_or("info");
    // librdkafka and lapin describe every retry at `info`; a failure is said once, by the room that owns it.
    let filter = EnvFilter::try_new(format!("warn,hooksluice=info,{directives}"))
        .map_err(|error| format!("log.level `{directives}`: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match settings.format {
        Format::Text => builder.with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    drop(started);
    Ok(())
}
