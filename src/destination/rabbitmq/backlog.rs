//! A quarantine queue as a backlog, on a connection of its own: as many messages as lay in it at the start. Each is
//! acknowledged when its replay was confirmed; the others go back to their places when the connection ends.

use std::sync::Arc;
use std::time::Duration;

use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection};

use super::{Outlet, Shared, connection};
use crate::destination::backlog::{Backlog, Cursor, Mark, Message, OpenError, Part, Selection};
use crate::destination::{Feed, PublishError};
use crate::event;

/// How long one answer of the broker may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Times that a message came back, from which on it is said. Quorum queues drop it (or dead-letter it) after 20, unless
/// they are told otherwise; AMQP tells nobody a queue's arguments, but each message its count.
const MANY_RETURNS: i64 = 10;

pub(super) struct RabbitBacklog {
    connection: Connection,
    channel: Channel,
    queue: ShortString,
    total: u64,
    got: u64,
    passed_over: u64,
    warned: bool,
}

pub(super) async fn open(
    shared: Arc<Shared>,
    outlet: Arc<Outlet>,
    part: Part,
    feeds: Vec<Feed>,
) -> Result<RabbitBacklog, OpenError> {
    if !part.offsets.is_empty() {
        return Err(OpenError::Usage("a queue has no offsets: it is replayed whole".into()));
    }
    let name = queue(&outlet, &part, &feeds)?;
    let queue = ShortString::try_new(name.as_str()).map_err(|error| OpenError::Usage(error.to_string()))?;
    let down = |error: &dyn std::fmt::Display| OpenError::Down(format!("queue `{name}`: {error}"));
    let connection = connection::connect(&outlet.name, &shared.uri, &shared.tls)
        .await
        .map_err(|error| down(&error))?;
    let asked = async {
        let channel = connection.create_channel().await?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let found = channel
            .queue_declare(queue.clone(), passive, FieldTable::default())
            .await?;
        Ok::<_, lapin::Error>((channel, found.message_count()))
    };
    let (channel, depth) = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| down(&error))?,
        Err(_) => return Err(down(&"no answer in time")),
    };
    Ok(RabbitBacklog {
        connection,
        channel,
        queue,
        total: depth.into(),
        got: 0,
        passed_over: 0,
        warned: false,
    })
}

fn queue(outlet: &Outlet, part: &Part, feeds: &[Feed]) -> Result<String, OpenError> {
    let mut names = part.places.clone();
    if names.is_empty() && !outlet.target.exchange.is_empty() {
        // As `declare: true` calls it.
        names.push(outlet.target.exchange.to_string());
    }
    if names.is_empty() {
        let routing_key = &outlet.target.routing_key;
        match routing_key.constant() {
            Some(constant) => names.push(constant.to_owned()),
            None => names.extend(
                feeds
                    .iter()
                    .filter_map(|feed| routing_key.render_for(&feed.source, &feed.provider)),
            ),
        }
    }
    names.sort();
    names.dedup();
    match names.len() {
        1 => Ok(names.remove(0)),
        _ => Err(OpenError::Usage(format!(
            "`{}` does not say which queue is meant; name one",
            outlet.name
        ))),
    }
}

#[async_trait::async_trait]
impl Backlog for RabbitBacklog {
    fn total(&self) -> u64 {
        self.total
    }

    async fn next(&mut self, selection: &Selection) -> Result<(u64, Option<Message>), PublishError> {
        let down = |error: &dyn std::fmt::Display| PublishError::Down(format!("queue: {error}"));
        while self.got < self.total {
            let get = self.channel.basic_get(self.queue.clone(), BasicGetOptions::default());
            let got = match tokio::time::timeout(PATIENCE, get).await {
                Ok(got) => got.map_err(|error| down(&error))?,
                Err(_) => return Err(down(&"no answer in time")),
            };
            // Somebody else has taken the rest.
            let Some(got) = got else { break };
            self.got += 1;
            if let Some(count) = returns(&got).filter(|count| *count >= MANY_RETURNS && !self.warned) {
                self.warned = true;
                tracing::warn!(
                    queue = %self.queue,
                    count,
                    "messages came back to this queue many times, and its delivery limit (20, unless `x-delivery-limit` or a policy says otherwise) takes them away: every dry run or narrow replay counts; lift the limit"
                );
            }
            let event = read(&got);
            if event.as_ref().is_ok_and(|event| !selection.takes_event(event)) {
                self.passed_over += 1;
                continue;
            }
            let acker = got.delivery.acker;
            let message = Message {
                place: format!("{} {}", self.queue, self.got),
                event,
                mark: Mark::Leaves,
                done: Box::new(move || {
                    Box::pin(async move {
                        let unknown = |error: String| PublishError::Unknown(format!("not acknowledged: {error}"));
                        match acker.ack(BasicAckOptions::default()).await {
                            Ok(true) => Ok(()),
                            Ok(false) => Err(unknown("the channel is closed".into())),
                            Err(error) => Err(unknown(error.to_string())),
                        }
                    })
                }),
            };
            return Ok((std::mem::take(&mut self.passed_over), Some(message)));
        }
        self.got = self.total;
        Ok((std::mem::take(&mut self.passed_over), None))
    }

    fn passed(&mut self, _mark: &Mark) {}

    fn cursor(&self) -> Cursor {
        Cursor::default()
    }

    /// The broker handles the acknowledgements before the end, for they came first.
    async fn close(self: Box<Self>) {
        let goodbye = async {
            let _ = self.channel.close(200, "replayed".into()).await;
            let _ = self.connection.close(200, "replayed".into()).await;
        };
        let _ = tokio::time::timeout(PATIENCE, goodbye).await;
    }
}

/// How often a quorum queue got this message back.
fn returns(got: &BasicGetMessage) -> Option<i64> {
    let headers = got.delivery.properties.headers().as_ref()?.inner();
    headers.iter().find_map(|(name, value)| match value {
        AMQPValue::LongLongInt(count) if name.as_str() == "x-delivery-count" => Some(*count),
        AMQPValue::LongInt(count) if name.as_str() == "x-delivery-count" => Some((*count).into()),
        AMQPValue::ShortInt(count) if name.as_str() == "x-delivery-count" => Some((*count).into()),
        AMQPValue::ShortShortInt(count) if name.as_str() == "x-delivery-count" => Some((*count).into()),
        _ => None,
    })
}

fn read(got: &BasicGetMessage) -> Result<event::Event, String> {
    let properties = &got.delivery.properties;
    let headers = properties.headers().as_ref().map(FieldTable::inner);
    let headers = headers.into_iter().flatten().filter_map(|(name, value)| match value {
        AMQPValue::LongString(text) => Some((name.as_str(), text.as_bytes())),
        AMQPValue::ShortString(text) => Some((name.as_str(), text.as_str().as_bytes())),
        _ => None,
    });
    let content_type = properties.content_type().as_ref().map(ShortString::as_str);
    let body = got.delivery.data.clone().into();
    event::from_amqp(headers, content_type, body).map_err(|error| error.to_string())
}
