//! Keeps one connection: a single task that connects, serves, and rebuilds with growing pauses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::line::{Line, State};
use super::settings::Tls;
use super::{Backoff, FIRST_PAUSE, LONGEST_PAUSE, Shared, publisher};

/// How long connecting may take, TLS and login included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a frame on the base line: RabbitMQ's own default. Said at the start, for lapin makes its buffers (32 frames each
/// way) from it: when it first hears of it from the broker, it grows them, and touches every page.
const FRAME_MAX: u32 = 128 * 1024;
/// Bytes of a frame on a worker's line, which is then 2 MiB of buffers and not 8.
const WORKER_FRAME_MAX: u32 = 32 * 1024;
/// A line that was up for so long has not merely been let in to be thrown out again.
const STEADY: Duration = Duration::from_secs(5);

/// The line of this task ends with it, also when the runtime of a worker drops it.
struct Kept {
    shared: Arc<Shared>,
    line: Arc<Line>,
    /// The outage has been said.
    said: AtomicBool,
}

impl Kept {
    fn is_base(&self) -> bool {
        self.shared.is_base(&self.line)
    }

    fn set(&self, state: State) {
        if matches!(state, State::Up { .. }) && self.said.swap(false, Ordering::Relaxed) && self.is_base() {
            tracing::info!(destination = &*self.shared.name, "rabbitmq: connected again");
        }
        self.shared.set(&self.line, state);
    }

    /// Says an outage once. What happens to all lines, the base line says alone.
    fn say(&self, reason: &str, was_up: bool) {
        let is_news = self.is_base() || (self.shared.base_is_up() && !was_up);
        if !is_news || self.said.swap(true, Ordering::Relaxed) {
            return;
        }
        let destination = &*self.shared.name;
        if self.is_base() {
            tracing::warn!(destination, reason, "rabbitmq: not connected");
        } else {
            tracing::warn!(
                destination,
                reason,
                "rabbitmq: a worker has no connection of its own, and publishes through the common one"
            );
        }
    }

    /// Takes nothing more. Whether an exchange takes something is for the lines that are left to find out.
    fn end(&self, reason: String) {
        self.set(State::Down(reason));
        for outlet in &self.shared.outlets {
            outlet.set_up();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.end("closed".into());
    }
}

/// Runs until `closing` says when to end, or nobody holds the destination any more.
pub(super) async fn run(shared: Arc<Shared>, line: Arc<Line>, mut closing: watch::Receiver<Option<Duration>>) {
    let kept = Kept {
        shared,
        line,
        said: AtomicBool::new(false),
    };
    let shared = &kept.shared;
    let mut uri = shared.uri.clone();
    let frame_max = uri.query.frame_max.get_or_insert(FRAME_MAX);
    if !kept.is_base() {
        *frame_max = WORKER_FRAME_MAX.min(*frame_max);
    }
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        // Only the base line looks for a broker that is away.
        let connecting = async {
            while !kept.is_base() && !shared.base_is_up() {
                tokio::time::sleep(FIRST_PAUSE).await;
            }
            connect(&shared.name, &uri, &shared.tls).await
        };
        let connected = tokio::select! {
            connected = connecting => connected,
            _ = closing.changed() => break,
        };
        let mut up_since = None;
        let reason = match connected {
            Ok(connection) => match serve(&kept, connection, &mut closing, &mut up_since).await {
                Some(reason) => reason,
                None => break,
            },
            Err(reason) => reason,
        };
        kept.say(&reason, up_since.is_some());
        kept.set(State::Down(reason));
        if up_since.is_some_and(|since: Instant| since.elapsed() > STEADY) {
            backoff.reset();
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            _ = closing.changed() => break,
        }
    }
}

/// Serves a connection until it ends: the reason, or nothing when it was to be closed. It is up when each of its channels
/// is open, or is known to have no exchange: brokers also limit how many channels there are.
async fn serve(
    kept: &Kept,
    connection: Connection,
    closing: &mut watch::Receiver<Option<Duration>>,
    up_since: &mut Option<Instant>,
) -> Option<String> {
    let shared = &kept.shared;
    let mut events = Box::pin(connection.events_listener());
    let connection = Arc::new(connection);
    let (gone, is_gone) = watch::channel(false);
    let mut publishers = JoinSet::new();
    let (ready, mut is_ready) = mpsc::channel(shared.outlets.len());
    let jobs = shared.outlets.each_ref().map(|outlet| {
        let (jobs, queue) = mpsc::channel(publisher::MAX_OPEN);
        publishers.spawn(publisher::run(
            connection.clone(),
            outlet.clone(),
            queue,
            ready.clone(),
            is_gone.clone(),
        ));
        jobs
    });
    let frame_max = connection.configuration().frame_max() as usize;
    let (mut unopened, mut blocked) = (jobs.len(), None);
    let state = |unopened: usize, blocked: &Option<String>| match blocked {
        Some(reason) => State::Blocked(reason.clone()),
        None if unopened > 0 => State::Down("its channels are not open yet".into()),
        None => State::Up {
            frame_max,
            jobs: jobs.clone(),
        },
    };
    // Events tell at once; the tick is for an end that no event tells.
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let ended = loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    blocked = Some(reason);
                    kept.set(state(unopened, &blocked));
                }
                Some(Event::ConnectionUnblocked) => {
                    blocked = None;
                    kept.set(state(unopened, &blocked));
                }
                Some(Event::Error(error)) if !connection.status().connected() => break Some(error.to_string()),
                Some(_) => {}
                None => break Some("the connection ended".into()),
            },
            Some(()) = is_ready.recv(), if unopened > 0 => {
                unopened -= 1;
                if unopened == 0 {
                    *up_since = Some(Instant::now());
                }
                kept.set(state(unopened, &blocked));
            },
            _ = tick.tick() => if !connection.status().connected() {
                break Some("the connection ended".into());
            },
            _ = closing.changed() => break None,
        }
    };
    // Without their senders, the publishers finish what is queued and end.
    kept.end(ended.clone().unwrap_or_else(|| "closed".into()));
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
        // Read again each time: certificates rotate. Files may be slow, and this may be a worker's thread.
        AMQPScheme::AMQPS => {
            let tls = tls.clone();
            let connector = tokio::task::spawn_blocking(move || tls.connector()).await;
            let connector = connector.map_err(|error| error.to_string())?;
            Some(connector.map_err(|problem| format!("tls{problem}"))?)
        }
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
