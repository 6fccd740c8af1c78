//! `health`: for container health checks and scripts.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;

use super::files::ConfigFile;
use super::output::{Failure, Output, printable, runtime};
use crate::config::Admin;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The admin listener [default: what the configuration says, else http://127.0.0.1:9090]
    url: Option<String>,

    #[command(flatten)]
    config: ConfigFile,
}

const TIMEOUT: Duration = Duration::from_secs(3);

pub fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let base = match &args.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let listen = args
                .config
                .settings_here()?
                .map_or_else(|| Admin::default().listen, |config| config.admin.listen);
            format!("http://{}:{}", reachable(listen.ip()), listen.port())
        }
    };
    let url = format!("{base}/readyz");
    let answer = runtime()?.block_on(async {
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        let response = client.get(&url).send().await?;
        let status = response.status().as_u16();
        Ok::<_, reqwest::Error>((status, response.text().await?))
    });
    let (ready, detail) = match answer {
        Ok((200, _)) => (true, "ready".to_owned()),
        Ok((status, text)) => (false, format!("not ready ({status}): {}", printable(text.trim()))),
        Err(error) => (false, format!("no answer from {url}: {}", root_cause(&error))),
    };
    if out.json {
        out.value(&json!({ "ready": ready, "detail": detail }))?;
        return if ready { Ok(()) } else { Err(Failure::Said(1)) };
    }
    if ready {
        out.line(detail)
    } else {
        Err(Failure::Finding(detail))
    }
}

/// An address to call for one that is listened on: every address includes the loopback.
pub fn reachable(listen: IpAddr) -> String {
    match listen {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".into(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".into(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The innermost reason; reqwest's outer ones repeat the URL.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
