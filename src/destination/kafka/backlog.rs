//! A quarantine topic as a backlog: read from offset to offset, outside any consumer group. What is in it stays there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::{Client, LOOK, Topic, probe};
use crate::destination::backlog::{Backlog, Cursor, Mark, Message, OpenError, Part, Selection, Span, stays};
use crate::destination::{Feed, PublishError};
use crate::event;

/// How long one poll waits, and after how long without a message the cluster counts as down.
const POLL: Duration = Duration::from_millis(200);
const SILENCE: Duration = Duration::from_secs(30);
/// Messages that are taken from librdkafka at once.
const TAKE: usize = 64;

type Place = (String, i32);

pub(super) struct KafkaBacklog {
    client: Arc<Client>,
    consumer: Option<BaseConsumer>,
    /// What is not done with yet, and what is not read yet.
    left: BTreeMap<Place, (i64, i64)>,
    unread: BTreeMap<Place, (i64, i64)>,
    /// One topic is read at a time: librdkafka tells the end of a partition by its number alone.
    topic: Option<String>,
    taken: VecDeque<(Place, i64, Result<event::Event, String>)>,
    passed_over: u64,
    total: u64,
}

/// Opens the topics, up to where each ends now.
pub(super) async fn open(
    client: Arc<Client>,
    topic: Arc<Topic>,
    part: Part,
    cursor: Cursor,
    feeds: Vec<Feed>,
) -> Result<KafkaBacklog, OpenError> {
    let topics = topics(&topic, &part, &feeds)?;
    let opening = client.clone();
    let opened = client.blocking(move || -> Result<_, OpenError> {
        let mut config = probe::shared(&opening.config);
        config
            // No group is joined and nothing is committed: the name is what librdkafka wants for reading at all.
            .set("group.id", "hooksluice-replay")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            .set("queued.max.messages.kbytes", "16384");
        let consumer: BaseConsumer = config
            .create()
            .map_err(|error| OpenError::Down(super::refused(&error)))?;
        let spans = if cursor.kafka.is_empty() {
            spans(&consumer, &topics, &part.offsets)?
        } else {
            cursor
                .kafka
                .iter()
                .flat_map(|(topic, spans)| spans.iter().map(|s| ((topic.clone(), s.partition), (s.from, s.to))))
                .collect()
        };
        Ok((consumer, spans))
    });
    let (consumer, spans) = opened.await.map_err(|error| OpenError::Down(error.to_string()))??;
    Ok(KafkaBacklog {
        client,
        consumer: Some(consumer),
        total: spans.values().map(|(from, to)| (to - from).unsigned_abs()).sum(),
        left: spans.clone(),
        unread: spans,
        topic: None,
        taken: VecDeque::new(),
        passed_over: 0,
    })
}

fn topics(topic: &Topic, part: &Part, feeds: &[Feed]) -> Result<Vec<String>, OpenError> {
    let mut topics = part.places.clone();
    if topics.is_empty() {
        match topic.template.constant() {
            Some(constant) => topics.push(constant.to_owned()),
            None => topics.extend(
                feeds
                    .iter()
                    .filter_map(|feed| topic.template.render_for(&feed.source, &feed.provider)),
            ),
        }
    }
    topics.sort();
    topics.dedup();
    match topics.len() {
        0 => Err(OpenError::Usage(format!(
            "the topic of `{}` depends on each event; name the topics",
            topic.name
        ))),
        1 => Ok(topics),
        _ if !part.offsets.is_empty() => Err(OpenError::Usage("offsets are those of one topic; name it".into())),
        _ => Ok(topics),
    }
}

/// What each partition holds now, or the part of it that was asked for. Blocks.
fn spans(
    consumer: &BaseConsumer,
    topics: &[String],
    offsets: &[Span],
) -> Result<BTreeMap<Place, (i64, i64)>, OpenError> {
    let down = |topic: &str, error: &KafkaError| OpenError::Down(format!("topic `{topic}`: {error}"));
    let mut spans = BTreeMap::new();
    for topic in topics {
        let metadata = consumer
            .fetch_metadata(Some(topic.as_str()), LOOK * 5)
            .map_err(|error| down(topic, &error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic.as_str());
        let partitions: Vec<i32> = match found {
            Some(found) if found.error().is_none() => found.partitions().iter().map(|p| p.id()).collect(),
            _ => {
                return Err(OpenError::Down(format!(
                    "topic `{topic}` is not there, or may not be seen"
                )));
            }
        };
        for wanted in offsets {
            if !partitions.contains(&wanted.partition) {
                let message = format!("topic `{topic}` has no partition {}", wanted.partition);
                return Err(OpenError::Usage(message));
            }
        }
        for partition in partitions {
            let (low, high) = consumer
                .fetch_watermarks(topic, partition, LOOK * 5)
                .map_err(|error| down(topic, &error))?;
            let mut add = |from: i64, to: i64| {
                if from < to {
                    spans.insert((topic.clone(), partition), (from, to));
                }
            };
            match offsets.iter().find(|wanted| wanted.partition == partition) {
                Some(wanted) => add(low.max(wanted.from), high.min(wanted.to)),
                None if offsets.is_empty() => add(low, high),
                None => {}
            }
        }
    }
    Ok(spans)
}

impl KafkaBacklog {
    /// The topic to turn to, when the current one is read to its end.
    fn next_topic(&self) -> Option<String> {
        let (first, _) = self.unread.keys().next()?;
        (self.topic.as_ref() != Some(first)).then(|| first.clone())
    }

    fn assign(&self, consumer: &BaseConsumer, topic: &str) -> Result<(), KafkaError> {
        let mut wanted = TopicPartitionList::new();
        for ((of, partition), (from, _)) in &self.unread {
            if of == topic {
                wanted.add_partition_offset(of, *partition, Offset::Offset(*from))?;
            }
        }
        consumer.assign(&wanted)
    }

    async fn take_some(&mut self) -> Result<(), PublishError> {
        let since = Instant::now();
        while self.taken.is_empty() && !self.unread.is_empty() {
            if since.elapsed() > SILENCE {
                return Err(PublishError::Down("the cluster sends nothing".into()));
            }
            let Some(consumer) = self.consumer.take() else {
                return Err(PublishError::Down("the reading was cut off".into()));
            };
            if let Some(topic) = self.next_topic() {
                let assigned = self.assign(&consumer, &topic);
                assigned.map_err(|error| PublishError::Down(error.to_string()))?;
                self.topic = Some(topic);
            }
            let (consumer, polled) = self
                .client
                .blocking(move || {
                    let polled = poll(&consumer);
                    (consumer, polled)
                })
                .await?;
            self.consumer = Some(consumer);
            for polled in polled {
                match polled {
                    Polled::Message(place, offset, event) => {
                        let Some((from, to)) = self.unread.get_mut(&place) else {
                            continue;
                        };
                        if offset >= *to {
                            self.unread.remove(&place);
                            continue;
                        }
                        // Offsets may be missing: compacted away, or marks of transactions.
                        *from = offset + 1;
                        if *from >= *to {
                            self.unread.remove(&place);
                        }
                        self.taken.push_back((place, offset, event));
                    }
                    Polled::End(partition) => {
                        let topic = self.topic.as_deref();
                        self.unread
                            .retain(|(of, found), _| *found != partition || Some(of.as_str()) != topic);
                    }
                    Polled::Failed(reason) => return Err(PublishError::Down(reason)),
                }
            }
        }
        Ok(())
    }
}

enum Polled {
    Message(Place, i64, Result<event::Event, String>),
    End(i32),
    Failed(String),
}

/// Blocks.
fn poll(consumer: &BaseConsumer) -> Vec<Polled> {
    let mut polled = Vec::new();
    let mut wait = POLL;
    while polled.len() < TAKE {
        match consumer.poll(wait) {
            None => break,
            Some(Ok(message)) => polled.push(Polled::Message(
                (message.topic().to_owned(), message.partition()),
                message.offset(),
                read(&message),
            )),
            Some(Err(KafkaError::PartitionEOF(partition))) => polled.push(Polled::End(partition)),
            // librdkafka goes on trying by itself.
            Some(Err(KafkaError::MessageConsumption(Code::BrokerTransportFailure | Code::AllBrokersDown))) => {}
            Some(Err(error)) => {
                polled.push(Polled::Failed(error.to_string()));
                break;
            }
        }
        wait = Duration::ZERO;
    }
    polled
}

fn read(message: &BorrowedMessage<'_>) -> Result<event::Event, String> {
    let headers = message.headers();
    let headers = headers
        .iter()
        .flat_map(|headers| headers.iter())
        .filter_map(|header| Some((header.key, header.value?)));
    let value = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    event::from_kafka(headers, value).map_err(|error| error.to_string())
}

#[async_trait::async_trait]
impl Backlog for KafkaBacklog {
    fn total(&self) -> u64 {
        self.total
    }

    async fn next(&mut self, selection: &Selection) -> Result<(u64, Option<Message>), PublishError> {
        loop {
            self.take_some().await?;
            let Some(((topic, partition), offset, event)) = self.taken.pop_front() else {
                return Ok((std::mem::take(&mut self.passed_over), None));
            };
            if event.as_ref().is_ok_and(|event| !selection.takes_event(event)) {
                self.passed_over += 1;
                continue;
            }
            let message = Message {
                place: format!("{topic}/{partition}@{offset}"),
                event,
                mark: Mark::Offset {
                    topic,
                    partition,
                    offset,
                },
                done: stays(),
            };
            return Ok((std::mem::take(&mut self.passed_over), Some(message)));
        }
    }

    fn passed(&mut self, mark: &Mark) {
        if let Mark::Offset {
            topic,
            partition,
            offset,
        } = mark
        {
            let place = (topic.clone(), *partition);
            if let Some((from, to)) = self.left.get_mut(&place) {
                *from = offset + 1;
                if *from >= *to {
                    self.left.remove(&place);
                }
            }
        }
    }

    fn cursor(&self) -> Cursor {
        let mut cursor = Cursor::default();
        for ((topic, partition), (from, to)) in &self.left {
            cursor.kafka.entry(topic.clone()).or_default().push(Span {
                partition: *partition,
                from: *from,
                to: *to,
            });
        }
        cursor
    }

    async fn close(mut self: Box<Self>) {
        let consumer = self.consumer.take();
        // Dropping a consumer blocks.
        let _ = self.client.blocking(move || drop(consumer)).await;
    }
}

impl Drop for KafkaBacklog {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            self.client.runtime.spawn_blocking(move || drop(consumer));
        }
    }
}
