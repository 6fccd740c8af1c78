//! `serve`.

use super::files::ConfigFile;
use super::output::{Failure, Output, runtime};
use crate::serve::{self, ServeError};
use crate::telemetry::logs;

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Config(problems) => Self::Config(problems),
            other => Self::finding(other),
        }
    }
}

pub fn run(config: &ConfigFile, out: &mut Output) -> Result<(), Failure> {
    let (path, loaded) = config.load()?;
    logs::start(&loaded.config.log).map_err(Failure::usage)?;
    let served = serve::serve(path, loaded, |ingress, admin| {
        // For whoever started us on port 0; if nobody reads, nobody asked.
        let _ = out.line(format!("ingress={ingress} admin={admin}"));
    });
    Ok(runtime()?.block_on(served)?)
}
