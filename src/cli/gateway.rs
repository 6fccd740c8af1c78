//! How a command reaches what it changes: through the gateway that runs, over the socket beside its journal, or, where none
//! runs, by doing the work itself as the one process on the journal.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::files::ConfigFile;
use super::health::root_cause;
use super::output::{Failure, Output, printable};
use crate::config::Config;
use crate::destination::journal::JournalError;
use crate::http::{Prune, Pruned};
use crate::replay::{Line, Refused, Request};
use crate::serve::Alone;

pub enum Gateway {
    Running(reqwest::Client),
    Alone(Box<Alone>),
}

/// The name in the URLs of a socket, which nobody looks up.
const HOST: &str = "http://hooksluice";

impl Gateway {
    pub async fn reach(place: &ConfigFile, config: &Config) -> Result<Self, Failure> {
        if let Some(journal) = &config.journal {
            let socket = journal.socket();
            match UnixStream::connect(&socket) {
                Ok(_) => return Self::running(socket),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
                Err(error) => {
                    return Err(Failure::finding(format!(
                        "cannot reach the gateway at `{}`: {error}; run this as the gateway's user",
                        socket.display()
                    )));
                }
            }
            // Serving would create it; here that would only hide a wrong path.
            if !journal.path.exists() {
                let path = journal.path.clone();
                return Err(Failure::finding(JournalError::Missing { path }));
            }
        }
        let loaded = place.load_here()?;
        Output::remark("no gateway runs here; this command opens journal and destinations itself");
        Ok(Self::Alone(Box::new(Alone::open(loaded).await?)))
    }

    fn running(socket: PathBuf) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().no_proxy().unix_socket(socket).build();
        client.map(Self::Running).map_err(Failure::finding)
    }

    /// Begins a replay. Its lines end with [`Line::End`], unless it is cut off.
    pub async fn replay(&self, request: Request) -> Result<Lines, Failure> {
        match self {
            Self::Running(client) => {
                let response = post(client, "/replay", &request).await?;
                Ok(Lines::Running {
                    response,
                    buffer: Vec::new(),
                })
            }
            Self::Alone(alone) => match alone.replays().start(request).await {
                Ok(lines) => Ok(Lines::Alone(lines)),
                Err(error) => Err(refused(error)),
            },
        }
    }

    pub async fn prune(&self, prune: Prune) -> Result<Pruned, Failure> {
        match self {
            Self::Running(client) => {
                let response = post(client, "/prune", &prune).await?;
                let text = response.bytes().await.map_err(Failure::finding)?;
                serde_json::from_slice(&text).map_err(Failure::finding)
            }
            Self::Alone(alone) => {
                let pruned = alone.replays().prune(prune.selection, prune.really).await;
                let (events, bytes) = pruned.map_err(refused)?;
                Ok(Pruned { events, bytes })
            }
        }
    }

    /// Lets go of what was opened; what was sent is settled before.
    pub fn close(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Self::Alone(alone) = self {
                alone.close().await;
            }
        })
    }
}

fn refused(error: Refused) -> Failure {
    match error {
        Refused::Usage(_) => Failure::usage(error),
        Refused::Down(_) | Refused::Busy => Failure::finding(error),
    }
}

async fn post(
    client: &reqwest::Client,
    path: &str,
    body: &impl serde::Serialize,
) -> Result<reqwest::Response, Failure> {
    let body = serde_json::to_vec(body).map_err(Failure::finding)?;
    let request = client
        .post(format!("{HOST}{path}"))
        .header("content-type", "application/json")
        .body(body);
    let response = request
        .send()
        .await
        .map_err(|error| Failure::finding(format!("the gateway does not answer: {}", root_cause(&error))))?;
    let status = response.status().as_u16();
    if status == 200 {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let text = printable(text.trim());
    match status {
        400 => Err(Failure::usage(text)),
        404 => Err(Failure::finding(
            "the gateway that runs is an older one, which cannot do this",
        )),
        _ => Err(Failure::finding(text)),
    }
}

/// What a replay tells.
pub enum Lines {
    Running {
        response: reqwest::Response,
        buffer: Vec<u8>,
    },
    Alone(mpsc::Receiver<Line>),
}

impl Lines {
    /// The next line; `None` when there is no more, also where it was cut off.
    pub async fn next(&mut self) -> Result<Option<Line>, Failure> {
        let (response, buffer) = match self {
            Self::Alone(lines) => return Ok(lines.recv().await),
            Self::Running { response, buffer } => (response, buffer),
        };
        loop {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(Failure::finding);
            }
            match response.chunk().await {
                Ok(Some(chunk)) => buffer.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
}
