//! Keeps one connection: a single task that connects, serves, and rebuilds with growing pauses.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::line::{Line, State};
use super::settings::Tls;
use super::{Backoff, FIRST_PAUSE, LONGEST_PAUSE, Shared, publisher};

/// How long connecting may take, TLS and login included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a frame on a worker's line. lapin buffers 32 frames each way: of the size that brokers offer (128 KiB), that
/// is 8 MiB a worker.
const WORKER_FRAME_MAX: u32 = 32 * 1024;

/// The line of this task ends with it, also when the runtime of a worker drops it.
struct Kept {
    shared: Arc<Shared>,
    line: Arc<Line>,
}

impl Kept {
    fn set(&self, state: State) {
        self.shared.set(&self.line, state);
    }

    /// Takes nothing more. Whether an exchange takes something is for the lines that are left to find out.
    fn down(&self, reason: String) {
        self.set(State::Down(reason));
        for outlet in &self.shared.outlets {
            outlet.set_up();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.down("closed".into());
    }
}

/// Runs until `closing` says when to end, or nobody holds the destination any more.
pub(super) async fn run(shared: Arc<Shared>, line: Arc<Line>, mut closing: watch::Receiver<Option<Duration>>) {
    // What happens to all lines is said once, by the base line.
    let base = shared.is_base(&line);
    let kept = Kept { shared, line };
    let shared = &kept.shared;
    let mut uri = shared.uri.clone();
    if !base {
        let frame_max = uri.query.frame_max.unwrap_or(WORKER_FRAME_MAX);
        uri.query.frame_max = Some(frame_max.min(WORKER_FRAME_MAX));
    }
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut said = false;
    loop {
        // Only the base line looks for a broker that is away.
        let connecting = async {
            while !base && !shared.base_is_up() {
                tokio::time::sleep(FIRST_PAUSE).await;
            }
            connect(&shared.name, &uri, &shared.tls).await
        };
        let connected = tokio::select! {
            connected = connecting => connected,
            _ = closing.changed() => break,
        };
        let reason = match connected {
            Ok(connection) => {
                if said && base {
                    tracing::info!(destination = &*shared.name, "rabbitmq: connected again");
                }
                said = false;
                backoff.reset();
                match serve(&kept, connection, &mut closing).await {
                    Some(reason) => reason,
                    None => break,
                }
            }
            Err(reason) => reason,
        };
        // Once an outage.
        if !said && base {
            tracing::warn!(destination = &*shared.name, %reason, "rabbitmq: not connected");
        }
        said = true;
        kept.down(reason);
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            _ = closing.changed() => break,
        }
    }
}

/// Serves a connection until it ends: the reason, or nothing when it was to be closed.
async fn serve(kept: &Kept, connection: Connection, closing: &mut watch::Receiver<Option<Duration>>) -> Option<String> {
    let shared = &kept.shared;
    let mut events = Box::pin(connection.events_listener());
    let connection = Arc::new(connection);
    let (gone, is_gone) = watch::channel(false);
    let mut publishers = JoinSet::new();
    let jobs = shared.outlets.each_ref().map(|outlet| {
        let (jobs, queue) = mpsc::channel(publisher::MAX_OPEN);
        publishers.spawn(publisher::run(
            connection.clone(),
            outlet.clone(),
            queue,
            is_gone.clone(),
        ));
        jobs
    });
    let frame_max = connection.configuration().frame_max() as usize;
    let up = || State::Up {
        frame_max,
        jobs: jobs.clone(),
    };
    kept.set(up());
    // Events tell at once; the tick is for an end that no event tells.
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let ended = loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => kept.set(State::Blocked(reason)),
                Some(Event::ConnectionUnblocked) => kept.set(up()),
                Some(Event::Error(error)) if !connection.status().connected() => break Some(error.to_string()),
                Some(_) => {}
                None => break Some("the connection ended".into()),
            },
            _ = tick.tick() => if !connection.status().connected() {
                break Some("the connection ended".into());
            },
            _ = closing.changed() => break None,
        }
    };
    // Without their senders, the publishers finish what is queued and end.
    kept.down(ended.clone().unwrap_or_else(|| "closed".into()));
    drop(jobs);
    if ended.is_none() {
        let deadline = closing.borrow().unwrap_or_default();
        let finished = async { while publishers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(deadline, finished).await;
    }
    let _ = gone.send(true);
    while publishers.join_next().await.is_some() {}
    if ended.is_none() {
        let goodbye = connection.close(200, "closed".into());
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
    ended
}

pub(super) async fn connect(name: &str, uri: &AMQPUri, tls: &Tls) -> Result<Connection, String> {
    let properties = ConnectionProperties::default().with_connection_name(format!("hooksluice {name}").into());
    // Bound to the runtime of this task, which outlives every request.
    let runtime = lapin::runtime::default_runtime().map_err(|error| error.to_string())?;
    let connector = match uri.scheme {
        AMQPScheme::AMQP => None,
        // Read again each time: certificates rotate.
        AMQPScheme::AMQPS => Some(tls.connector().map_err(|problem| format!("tls{problem}"))?),
    };
    let transport = async move |uri: AMQPUri, runtime| {
        let host = (uri.authority.host.as_str(), uri.authority.port);
        let addresses: Vec<_> = tokio::net::lookup_host(host).await?.collect();
        let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
        match &connector {
            None => Ok(stream),
            Some(connector) => Ok(stream.into_rustls(connector, &uri.authority.host).await?),
        }
    };
    let connecting = Connection::connector(uri.clone(), runtime, transport, properties);
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err("connecting takes too long".into()),
    }
}
