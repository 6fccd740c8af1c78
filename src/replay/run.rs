//! One run: a window of events under way, settled in the order of the backlog.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{From, Left, Line, Progress, Replays, Request, Tally};
use crate::contract::{Verdict, Violation};
use crate::destination::PublishError;
use crate::destination::backlog::{Backlog, Mark, Message};
use crate::destination::spool::Outlet;
use crate::event::Event;
use crate::pipeline::Target;

/// Events under way at once.
const WINDOW: usize = 64;
/// Bytes of these, beside one that is larger.
const WINDOW_BYTES: usize = 32 << 20;
/// How often progress is told, at least, while there is any.
const TELL: Duration = Duration::from_millis(200);
/// Events after which it is told in any case: so many are sent again, at most, with those under way, after a crash.
const TELL_EVENTS: u64 = 64;

/// What became of one event.
enum Fate {
    Replayed,
    Left(Box<Left>),
    /// The run cannot go on.
    Stopped(String),
}

struct Settled {
    mark: Mark,
    passed_over: u64,
    bytes: usize,
    fate: Fate,
}

pub(super) async fn run(
    replays: &Arc<Replays>,
    request: Request,
    to: Option<Target>,
    mut backlog: Box<dyn Backlog>,
    lines: mpsc::Sender<Line>,
) {
    tracing::info!(from = ?request.from, to = ?request.to, dry_run = request.dry_run, "replay begins");
    let mut run = Run {
        replays,
        to,
        lines,
        deaf: false,
        tally: Tally::default(),
        open_bytes: 0,
        told: (Instant::now(), 0),
        pace: request.rate.map(|rate| Pace::new(rate.max(1))),
        request,
    };
    let start = Line::Start { total: backlog.total() };
    let stopped = match run.lines.send(start).await {
        Ok(()) => run.go(&mut *backlog).await,
        Err(_) => Some(NOBODY.to_owned()),
    };
    tracing::info!(tally = ?run.tally, stopped, "replay ends");
    let progress = run.progress(&*backlog);
    // First what was taken goes back: whoever hears the end may look at once.
    backlog.close().await;
    run.tell(Line::End { progress, stopped }).await;
}

const NOBODY: &str = "nobody listens any more";
/// How long a listener may leave its lines unread: it holds up all other replays, and what was taken of a queue.
const PATIENCE: Duration = Duration::from_secs(30);

struct Run<'r> {
    replays: &'r Arc<Replays>,
    request: Request,
    to: Option<Target>,
    lines: mpsc::Sender<Line>,
    /// The listener stopped reading.
    deaf: bool,
    tally: Tally,
    open_bytes: usize,
    /// When progress was told, and after how many events.
    told: (Instant, u64),
    pace: Option<Pace>,
}

impl Run<'_> {
    async fn tell(&mut self, line: Line) {
        if !self.deaf {
            self.deaf = self.lines.send_timeout(line, PATIENCE).await.is_err();
        }
    }

    /// Until the backlog's end, or why it stopped before.
    async fn go(&mut self, backlog: &mut dyn Backlog) -> Option<String> {
        let mut open: FuturesOrdered<BoxFuture<'static, Settled>> = FuturesOrdered::new();
        let mut ended = false;
        let mut stopped: Option<String> = None;
        loop {
            if self.lines.is_closed() || self.deaf {
                stopped.get_or_insert_with(|| NOBODY.to_owned());
            }
            // What is under way is waited for, also when nothing new is begun.
            let room = open.len() < WINDOW && self.open_bytes < WINDOW_BYTES;
            let more = !ended && stopped.is_none() && room;
            let due = self.pace.as_ref().map_or_else(Instant::now, Pace::due);
            if more && due <= Instant::now() {
                match backlog.next(&self.request.selection).await {
                    Ok((passed_over, Some(message))) => open.push_back(self.begin(message, passed_over)),
                    Ok((passed_over, None)) => {
                        self.tally.passed_over += passed_over;
                        self.tally.seen += passed_over;
                        ended = true;
                    }
                    Err(error) => stopped = Some(error.to_string()),
                }
                continue;
            }
            if open.is_empty() && !more {
                return stopped;
            }
            let settled = tokio::select! {
                Some(settled) = open.next(), if !open.is_empty() => Some(settled),
                () = sleep_until(due), if more => None,
                // A listener that leaves is noticed also where one event takes long.
                () = self.lines.closed(), if stopped.is_none() => None,
            };
            if let Some(settled) = settled
                && let Some(reason) = self.settle(backlog, settled, stopped.is_some()).await
            {
                stopped.get_or_insert(reason);
            }
        }
    }

    fn begin(&mut self, message: Message, passed_over: u64) -> BoxFuture<'static, Settled> {
        let Message {
            place,
            event,
            mark,
            done,
        } = message;
        let fate = match event {
            Err(reason) => Err(Box::new(Left {
                place,
                id: String::new(),
                kind: String::new(),
                source: String::new(),
                broken: false,
                reason,
                violations: Vec::new(),
            })),
            Ok(event) => self.judge(&place, event).map(|(event, outlet)| (place, event, outlet)),
        };
        let (place, event, outlet) = match fate {
            Ok(good) => good,
            Err(left) => {
                return ready(Settled {
                    mark,
                    passed_over,
                    bytes: 0,
                    fate: Fate::Left(left),
                })
                .boxed();
            }
        };
        if self.request.dry_run {
            return ready(Settled {
                mark,
                passed_over,
                bytes: 0,
                fate: Fate::Replayed,
            })
            .boxed();
        }
        if let Some(pace) = &mut self.pace {
            pace.sent();
        }
        let bytes = event.data().len();
        self.open_bytes += bytes;
        let event = Arc::new(event);
        let mut confirm = {
            let event = event.clone();
            async move { outlet.confirm(event).await }.boxed()
        };
        // The first poll hands the event over: so the order of the backlog is the order of a key, as long as the
        // destination takes events. One that had to be tried again may come behind those that were under way with it.
        let at_once = (&mut confirm).now_or_never();
        // A task of its own: what was sent is marked, whatever becomes of this run.
        let task = tokio::spawn(async move {
            let confirmed = match at_once {
                Some(confirmed) => confirmed,
                None => confirm.await,
            };
            match confirmed {
                Ok(_durable) => match done().await {
                    Ok(()) => Fate::Replayed,
                    Err(error) => Fate::Stopped(format!(
                        "{place} was replayed, but cannot be marked so ({error}): a later run sends it again, under the same id"
                    )),
                },
                Err(PublishError::Message(reason)) => Fate::Left(left(&place, &event, reason)),
                Err(error) => Fate::Stopped(format!("{place}, event `{}`: {error}", event.id())),
            }
        });
        async move {
            let fate = task.await;
            Settled {
                mark,
                passed_over,
                bytes,
                fate: fate.unwrap_or_else(|error| Fate::Stopped(format!("a task of the replay ended: {error}"))),
            }
        }
        .boxed()
    }

    /// What is to be sent, and by which way; or why it stays.
    fn judge(&self, place: &str, event: Event) -> Result<(Event, Outlet), Box<Left>> {
        let source = self.replays.sources.get(event.source());
        let event = match &self.request.from {
            From::Events => event,
            From::Quarantine | From::Broker { .. } => {
                let Some(source) = source else {
                    let reason = format!(
                        "its source `{}` is not configured, and so has no contract",
                        event.source()
                    );
                    return Err(left(place, &event, reason));
                };
                if **source.origin.provider() != *event.provider() {
                    let reason = format!("its source is one of `{}` by now", source.origin.provider());
                    return Err(left(place, &event, reason));
                }
                let verdict = source.judge_again(&event);
                match event.clone().out_of_quarantine(&verdict) {
                    Some(event) => event,
                    None => return Err(broken(place, &event, verdict)),
                }
            }
        };
        let way = match (&self.to, source) {
            (Some(target), _) => &target.main,
            (None, Some(source)) => match source.way(&event) {
                Some(way) => way,
                None => {
                    let reason = "a route of its source ignores its type; `to` names a destination all the same";
                    return Err(left(place, &event, reason.into()));
                }
            },
            (None, None) => {
                let reason = format!(
                    "its source `{}` is not configured; `to` names a destination",
                    event.source()
                );
                return Err(left(place, &event, reason));
            }
        };
        if self.to.is_none() && self.request.from == From::Events && way.outlet.is_journal() {
            let reason = "its destination is the journal, where it lies; `to` names another";
            return Err(left(place, &event, reason.into()));
        }
        Ok((event.into_replay(), way.outlet.clone()))
    }

    /// Counts and tells. `late`: the run has stopped before this event, which is then not behind the cursor.
    async fn settle(&mut self, backlog: &mut dyn Backlog, settled: Settled, late: bool) -> Option<String> {
        self.open_bytes -= settled.bytes;
        self.tally.seen += settled.passed_over + 1;
        self.tally.passed_over += settled.passed_over;
        let outcome = match settled.fate {
            Fate::Stopped(reason) => {
                self.tally.left += 1;
                self.count("stopped");
                return Some(reason);
            }
            Fate::Replayed => {
                self.tally.replayed += 1;
                "replayed"
            }
            Fate::Left(left) => {
                let outcome = if left.broken { "broken" } else { "left" };
                *(if left.broken {
                    &mut self.tally.broken
                } else {
                    &mut self.tally.left
                }) += 1;
                self.tell(Line::Left(*left)).await;
                outcome
            }
        };
        self.count(outcome);
        if !late {
            backlog.passed(&settled.mark);
        }
        let (at, seen) = self.told;
        if at.elapsed() >= TELL || self.tally.seen - seen >= TELL_EVENTS {
            self.told = (Instant::now(), self.tally.seen);
            let progress = self.progress(backlog);
            self.tell(Line::Progress(progress)).await;
        }
        None
    }

    fn count(&self, outcome: &str) {
        if !self.request.dry_run {
            self.replays.metrics.replayed.with_label_values(&[outcome]).inc();
        }
    }

    fn progress(&self, backlog: &dyn Backlog) -> Progress {
        Progress {
            tally: self.tally,
            cursor: backlog.cursor(),
        }
    }
}

fn left(place: &str, event: &Event, reason: String) -> Box<Left> {
    Box::new(Left {
        place: place.to_owned(),
        id: event.id().to_owned(),
        kind: event.kind().to_owned(),
        source: event.source().to_owned(),
        broken: false,
        reason,
        violations: Vec::new(),
    })
}

fn broken(place: &str, event: &Event, verdict: Verdict) -> Box<Left> {
    let (reason, violations): (&str, Vec<Violation>) = match verdict {
        Verdict::Broken { reason, violations, .. } => (reason, violations),
        _ => ("contract", Vec::new()),
    };
    Box::new(Left {
        broken: true,
        violations,
        ..*left(place, event, reason.to_owned())
    })
}

/// So many a second, evenly.
struct Pace {
    every: Duration,
    next: Instant,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self {
            every: Duration::from_secs(1) / rate,
            next: Instant::now(),
        }
    }

    fn due(&self) -> Instant {
        self.next
    }

    fn sent(&mut self) {
        // Time that was lost is not made up for: a rate is a limit.
        self.next = self.next.max(Instant::now()) + self.every;
    }
}
