//! Keeps one connection: a single task that connects, serves, and rebuilds with growing pauses.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::settings::Tls;
use super::{Backoff, FIRST_PAUSE, LONGEST_PAUSE, Shared, State, publisher};

/// How long connecting may take, TLS and login included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs until `closing` says when to end, or nobody holds the destination any more.
pub(super) async fn run(shared: Arc<Shared>, mut closing: watch::Receiver<Option<Duration>>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut said = false;
    loop {
        let connected = tokio::select! {
            connected = connect(&shared.name, &shared.uri, &shared.tls) => connected,
            _ = closing.changed() => break,
        };
        let reason = match connected {
            Ok(connection) => {
                if said {
                    tracing::info!(destination = &*shared.name, "rabbitmq: connected again");
                }
                backoff.reset();
                match serve(&shared, connection, &mut closing).await {
                    Some(reason) => reason,
                    None => break,
                }
            }
            Err(reason) => reason,
        };
        // Once an outage.
        if !said {
            tracing::warn!(destination = &*shared.name, %reason, "rabbitmq: not connected");
            said = true;
        }
        shared.set(State::Down(reason));
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            _ = closing.changed() => break,
        }
    }
    shared.set(State::Down("closed".into()));
}

/// Serves a connection until it ends: the reason, or nothing when it was to be closed.
async fn serve(
    shared: &Arc<Shared>,
    connection: Connection,
    closing: &mut watch::Receiver<Option<Duration>>,
) -> Option<String> {
    let mut events = Box::pin(connection.events_listener());
    let connection = Arc::new(connection);
    let (gone, is_gone) = watch::channel(false);
    let mut publishers = JoinSet::new();
    for outlet in &shared.outlets {
        let mut queues = Vec::new();
        for _ in 0..outlet.channels {
            let (jobs, queue) = mpsc::channel(publisher::MAX_OPEN);
            publishers.spawn(publisher::run(
                connection.clone(),
                outlet.clone(),
                queue,
                is_gone.clone(),
            ));
            queues.push(jobs);
        }
        outlet.queues.store(Some(Arc::new(queues)));
    }
    let frame_max = connection.configuration().frame_max() as usize;
    shared.set(State::Up { frame_max });
    // Events tell at once; the tick is for an end that no event tells.
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let ended = loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(destination = &*shared.name, reason, "rabbitmq: the broker takes nothing for now");
                    shared.set(State::Blocked(reason));
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!(destination = &*shared.name, "rabbitmq: the broker takes messages again");
                    shared.set(State::Up { frame_max });
                }
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
    shared.set(State::Down(ended.clone().unwrap_or_else(|| "closed".into())));
    for outlet in &shared.outlets {
        // Without their senders, the publishers finish what is queued and end.
        outlet.queues.store(None);
        outlet.set_up();
    }
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
