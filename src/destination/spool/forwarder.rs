//! The way out: sends what waits, settles what was unknown, removes what was confirmed. One task a destination.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::destination::journal::{Journal, Write, restore};
use crate::destination::{Destination, PublishError};
use crate::event::Event;

use super::index::{Fault, Pick};
use super::outlet::{Durable, Publish, REFUSED};
use super::{Queue, Spool, Tuning};

/// Rows read from the file at once.
const FETCH: usize = 64;
const FETCH_BYTES: u64 = 8 << 20;
/// Pause before a removal that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// A publish that ran out of time, and the commit of its copy.
pub(super) struct Keep {
    pub(super) publish: Publish,
    pub(super) committed: oneshot::Receiver<Result<i64, PublishError>>,
    pub(super) answer: oneshot::Sender<Result<Durable, PublishError>>,
    pub(super) deadline: Instant,
    pub(super) route: u64,
}

type Outcome = Result<(), PublishError>;

/// What a piece of work came to.
enum Done {
    Fetched(Vec<(Pick, Fetched)>),
    /// A row that was sent from here.
    Sent(Pick, Outcome),
    /// A request's publish, whose copy is this row.
    Settled(i64, Outcome),
    /// A request's publish was confirmed, and there is no copy.
    Confirmed(u64),
    Refused(i64, Result<i64, PublishError>),
    Removed(Vec<i64>, Result<i64, PublishError>),
    Nothing,
}

enum Fetched {
    Event(Arc<Event>),
    /// Removed by hand.
    Gone,
    /// Not what was stored. It can never be sent.
    Damaged(String),
    /// Not readable now.
    Failed(String),
}

pub(super) struct Forwarder {
    queue: Arc<Queue>,
    journal: Arc<Journal>,
    reader: Arc<Mutex<Connection>>,
    destination: Arc<dyn Destination>,
    tuning: Tuning,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    in_flight: usize,
    in_flight_bytes: u64,
    fetching: bool,
    /// Confirmed and still in the file. One removal is under way at a time; what is confirmed meanwhile shares the next.
    confirmed: Vec<i64>,
    removing: bool,
    remove_at: Option<Instant>,
}

impl Forwarder {
    pub(super) fn new(spool: &Spool, queue: Arc<Queue>, destination: Arc<dyn Destination>, tuning: Tuning) -> Self {
        Self {
            queue,
            journal: spool.journal.clone(),
            reader: spool.reader.clone(),
            destination,
            tuning,
            running: FuturesUnordered::new(),
            in_flight: 0,
            in_flight_bytes: 0,
            fetching: false,
            confirmed: Vec::new(),
            removing: false,
            remove_at: None,
        }
    }

    pub(super) async fn run(
        mut self,
        mut keeps: mpsc::UnboundedReceiver<Keep>,
        mut stop: watch::Receiver<Option<Instant>>,
    ) {
        let queue = self.queue.clone();
        let deadline = loop {
            self.launch();
            self.remove();
            let wake = self.next_wake();
            tokio::select! {
                Some(done) = self.running.next(), if !self.running.is_empty() => self.finish(done),
                Some(keep) = keeps.recv() => self.running.push(Box::pin(settle(keep, self.queue.name.clone(), self.tuning.unknown))),
                () = queue.work.notified() => (),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => (),
                stopped = stop.wait_for(Option::is_some) => match stopped {
                    Ok(deadline) => break deadline.unwrap_or_else(Instant::now),
                    Err(_) => return,
                },
            }
        };
        while let Ok(keep) = keeps.try_recv() {
            self.running
                .push(Box::pin(settle(keep, self.queue.name.clone(), self.tuning.unknown)));
        }
        self.wind_down(deadline).await;
    }

    /// Hears out what was sent, until the deadline, and removes what was confirmed.
    async fn wind_down(&mut self, deadline: Instant) {
        while !self.running.is_empty() {
            match timeout_at(deadline, self.running.next()).await {
                Ok(Some(Done::Fetched(rows))) => {
                    rows.iter()
                        .for_each(|(pick, _)| self.queue.with(|index| index.release(pick.sequence)));
                }
                Ok(Some(done)) => self.finish(done),
                _ => break,
            }
            self.remove();
        }
        if !self.confirmed.is_empty() {
            let _ = self
                .journal
                .write(Write::Delivered(std::mem::take(&mut self.confirmed)))
                .await;
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let pick = match self.has_room() {
            true => self
                .queue
                .with_quietly(|index| index.next_wake())
                .map(Instant::from_std),
            false => None,
        };
        [pick, self.remove_at].into_iter().flatten().min()
    }

    /// A try of what is down passes also when the window is full of what may never come back.
    fn has_room(&self) -> bool {
        let window = self.in_flight < self.tuning.window && self.in_flight_bytes < self.tuning.window_bytes;
        !self.fetching && (window || !self.queue.with_quietly(|index| index.is_up()))
    }

    /// Picks what may be sent and reads it from the file.
    fn launch(&mut self) {
        if !self.has_room() {
            return;
        }
        let now = Instant::now().into_std();
        let rows = FETCH.min(self.tuning.window.saturating_sub(self.in_flight)).max(1);
        let picks = self.queue.with_quietly(|index| {
            let mut picks: Vec<Pick> = Vec::new();
            let mut bytes = 0;
            while picks.len() < rows && bytes < FETCH_BYTES {
                let Some(pick) = index.pick(now) else { break };
                bytes += pick.bytes;
                picks.push(pick);
            }
            picks
        });
        if picks.is_empty() {
            return;
        }
        self.in_flight += picks.len();
        self.in_flight_bytes += picks.iter().map(|pick| pick.bytes).sum::<u64>();
        self.fetching = true;
        let reader = self.reader.clone();
        self.running.push(Box::pin(async move {
            let asked = picks.clone();
            let fetched = tokio::task::spawn_blocking(move || fetch(&reader, picks)).await;
            Done::Fetched(fetched.unwrap_or_else(|error| {
                asked
                    .into_iter()
                    .map(|pick| (pick, Fetched::Failed(error.to_string())))
                    .collect()
            }))
        }));
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Fetched(rows) => {
                self.fetching = false;
                rows.into_iter().for_each(|(pick, fetched)| self.send(pick, fetched));
            }
            Done::Sent(pick, outcome) => {
                self.landed(pick);
                self.settle_row(pick.sequence, outcome);
            }
            Done::Settled(sequence, outcome) => {
                match outcome {
                    Ok(()) => _ = self.queue.late_confirms.fetch_add(1, Ordering::Relaxed),
                    // Only said in the file for those who look; a restart makes all sendable anyway.
                    Err(_) => drop(self.journal.write(Write::Sendable(vec![sequence]))),
                }
                self.settle_row(sequence, outcome);
            }
            Done::Confirmed(route) => self.queue.with(|index| index.succeeded(route)),
            Done::Refused(sequence, Ok(_)) => {
                self.queue.refused.fetch_add(1, Ordering::Relaxed);
                self.queue.with(|index| index.forget(sequence));
            }
            Done::Refused(sequence, Err(_)) => _ = self.returned(sequence, Fault::Row),
            Done::Removed(_, Ok(_)) => self.removing = false,
            Done::Removed(sequences, Err(_)) => {
                self.removing = false;
                self.confirmed.extend(sequences);
                self.remove_at = Some(Instant::now() + RETRY);
            }
            Done::Nothing => (),
        }
    }

    fn send(&mut self, pick: Pick, fetched: Fetched) {
        match fetched {
            Fetched::Event(event) => {
                let publish = self.destination.publish(event);
                let patience = self.tuning.unknown;
                self.running.push(Box::pin(async move {
                    let outcome = match timeout(patience, publish).await {
                        Ok(outcome) => outcome.map(|_| ()),
                        Err(_) => Err(never_confirmed()),
                    };
                    Done::Sent(pick, outcome)
                }));
            }
            Fetched::Gone => {
                self.landed(pick);
                self.queue.with(|index| index.forget(pick.sequence));
            }
            Fetched::Damaged(detail) => {
                self.landed(pick);
                tracing::error!(destination = %self.queue.name, sequence = pick.sequence, %detail, "a spooled event is damaged; it goes to quarantine");
                self.refuse(pick.sequence, "damaged", detail);
            }
            Fetched::Failed(error) => {
                self.landed(pick);
                tracing::warn!(destination = %self.queue.name, %error, "the spool cannot be read");
                self.returned(pick.sequence, Fault::Row);
            }
        }
    }

    fn landed(&mut self, pick: Pick) {
        self.in_flight -= 1;
        self.in_flight_bytes -= pick.bytes;
    }

    /// A row that was out has its answer.
    fn settle_row(&mut self, sequence: i64, outcome: Outcome) {
        match outcome {
            Ok(()) => {
                self.queue.strikes.store(0, Ordering::Relaxed);
                self.queue.delivered.fetch_add(1, Ordering::Relaxed);
                self.confirmed.push(sequence);
                // From here on newer events of its key may pass: the broker has it.
                self.queue.with(|index| index.delivered(sequence));
            }
            Err(PublishError::Message(detail)) => {
                tracing::warn!(destination = %self.queue.name, sequence, %detail, "the broker refuses a spooled event; it goes to quarantine");
                self.refuse(sequence, REFUSED, detail);
            }
            Err(error) => {
                let fault = match &error {
                    PublishError::Down(_) => Fault::Destination,
                    PublishError::LaneDown(_) => Fault::Route,
                    _ => Fault::Row,
                };
                if self.returned(sequence, fault) {
                    tracing::warn!(destination = %self.queue.name, %error, "cannot publish");
                }
            }
        }
    }

    fn returned(&self, sequence: i64, fault: Fault) -> bool {
        let now = Instant::now().into_std();
        self.queue.with(|index| index.returned(sequence, fault, now))
    }

    fn refuse(&mut self, sequence: i64, reason: &str, detail: String) {
        let commit = self.journal.write(Write::Refused {
            sequence,
            reason: reason.into(),
            detail: detail.into(),
        });
        self.running
            .push(Box::pin(async move { Done::Refused(sequence, commit.await) }));
    }

    fn remove(&mut self) {
        if self.removing || self.confirmed.is_empty() || self.remove_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.removing = true;
        self.remove_at = None;
        let sequences = std::mem::take(&mut self.confirmed);
        let commit = self.journal.write(Write::Delivered(sequences.clone()));
        self.running
            .push(Box::pin(async move { Done::Removed(sequences, commit.await) }));
    }
}

/// Waits for the commit of the copy and for the confirm, whichever comes first answers the request, and the other
/// settles the row.
async fn settle(keep: Keep, destination: Arc<str>, patience: Duration) -> Done {
    let Keep {
        mut publish,
        mut committed,
        answer,
        deadline,
        route,
    } = keep;
    let (commit, early) = tokio::select! {
        biased;
        outcome = &mut publish => {
            if let Ok(receipt) = &outcome {
                let _ = answer.send(Ok(Durable::published(receipt.clone())));
                return match committed.await {
                    Ok(Ok(sequence)) => Done::Settled(sequence, Ok(())),
                    _ => Done::Confirmed(route),
                };
            }
            (committed.await, Some(outcome))
        }
        commit = &mut committed => (commit, None),
    };
    match commit {
        Ok(Ok(sequence)) => {
            let _ = answer.send(Ok(Durable::spooled(&destination, sequence)));
            let outcome = match early {
                Some(outcome) => outcome,
                None => timeout(patience, publish)
                    .await
                    .unwrap_or_else(|_| Err(never_confirmed())),
            };
            Done::Settled(sequence, outcome.map(|_| ()))
        }
        // No copy: what is left of the budget belongs to the broker.
        failed => {
            let error = match failed {
                Ok(Err(error)) => error,
                _ => PublishError::Down("the journal is closed".into()),
            };
            let confirmed = match early {
                Some(_) => None,
                None => timeout_at(deadline, publish).await.ok().and_then(Result::ok),
            };
            match confirmed {
                Some(receipt) => {
                    let _ = answer.send(Ok(Durable::published(receipt)));
                    Done::Confirmed(route)
                }
                None => {
                    let _ = answer.send(Err(error));
                    Done::Nothing
                }
            }
        }
    }
}

fn never_confirmed() -> PublishError {
    PublishError::Unknown("the broker did not confirm".into())
}

fn fetch(reader: &Mutex<Connection>, picks: Vec<Pick>) -> Vec<(Pick, Fetched)> {
    let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
    picks
        .into_iter()
        .map(|pick| (pick, fetch_one(&reader, pick.sequence)))
        .collect()
}

fn fetch_one(reader: &Connection, sequence: i64) -> Fetched {
    let row = reader
        .prepare_cached("SELECT attributes, sha256, data FROM spool WHERE seq = ?")
        .and_then(|mut statement| {
            statement
                .query_row([sequence], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, Vec<u8>>(2)?,
                    ))
                })
                .optional()
        });
    match row {
        Ok(None) => Fetched::Gone,
        Ok(Some((attributes, sha256, data))) => match restore(&attributes, data.into(), &sha256) {
            Ok(event) => Fetched::Event(Arc::new(event)),
            Err(error) => Fetched::Damaged(error.to_string()),
        },
        Err(error) => Fetched::Failed(error.to_string()),
    }
}
