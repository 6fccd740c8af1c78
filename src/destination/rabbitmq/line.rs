//! Lines to the broker, and which of them a publish takes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use futures_util::future::join_all;
use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::publisher::Job;
use super::{Shared, connection};

/// How long a line may take to say goodbye, once it has nothing under way.
const GOODBYE: Duration = Duration::from_secs(2);

/// One connection, kept and rebuilt by one task.
pub(super) struct Line {
    /// Where its tasks run.
    runtime: Id,
    state: ArcSwap<State>,
}

pub(super) enum State {
    Down(String),
    /// Connected, but the broker reads nothing: memory or disk alarm.
    Blocked(String),
    Up {
        frame_max: usize,
        /// To the channel of each outlet, in their order.
        jobs: [mpsc::Sender<Job>; 2],
    },
}

impl Line {
    pub(super) fn new(runtime: &Handle) -> Self {
        Self {
            runtime: runtime.id(),
            state: ArcSwap::from_pointee(State::Down("not connected yet".into())),
        }
    }

    fn is_up(&self) -> bool {
        matches!(**self.state.load(), State::Up { .. })
    }
}

impl Shared {
    pub(super) fn is_base(&self, line: &Arc<Line>) -> bool {
        Arc::ptr_eq(line, &self.base)
    }

    /// Every change of a line's state, so that what is blocked is counted, and said once.
    pub(super) fn set(&self, line: &Line, state: State) {
        let reason = match &state {
            State::Blocked(reason) => Some(reason.clone()),
            State::Down(_) | State::Up { .. } => None,
        };
        let before = line.state.swap(Arc::new(state));
        match (matches!(*before, State::Blocked(_)), reason) {
            (false, Some(reason)) => {
                if self.blocked.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        destination = &*self.name,
                        reason,
                        "rabbitmq: the broker takes nothing for now"
                    );
                }
            }
            (true, None) => {
                if self.blocked.fetch_sub(1, Ordering::Relaxed) == 1 {
                    tracing::info!(destination = &*self.name, "rabbitmq: the broker takes messages again");
                }
            }
            (false, None) | (true, Some(_)) => {}
        }
    }

    /// Why nothing is taken, if so. An alarm is the whole broker's: it blocks each line that publishes, one by one.
    pub(super) fn down(&self) -> Option<String> {
        match &**self.base.state.load() {
            State::Down(reason) => Some(reason.clone()),
            State::Blocked(reason) => Some(format!("blocked by the broker: {reason}")),
            State::Up { .. } => self.is_blocked().then(|| "blocked by the broker".into()),
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) > 0
    }

    pub(super) fn base_is_up(&self) -> bool {
        self.base.is_up()
    }
}

/// All lines of a destination.
pub(super) struct Lines {
    shared: Arc<Shared>,
    workers: ArcSwap<Vec<Arc<Line>>>,
    tasks: Mutex<Tasks>,
}

/// What keeps the lines. They also end when this is dropped.
#[derive(Default)]
struct Tasks {
    base: Option<Task>,
    workers: Vec<Task>,
    /// No line is started any more.
    ending: bool,
}

struct Task {
    handle: JoinHandle<()>,
    /// Says how long it may still finish what is under way.
    closing: watch::Sender<Option<Duration>>,
}

impl Task {
    fn start(shared: &Arc<Shared>, line: &Arc<Line>, runtime: &Handle) -> Self {
        let (closing, is_closing) = watch::channel(None);
        let handle = runtime.spawn(connection::run(shared.clone(), line.clone(), is_closing));
        Self { handle, closing }
    }

    async fn close(mut self, deadline: Duration) {
        self.closing.send_replace(Some(deadline));
        // A worker that hangs, or has ended, does not run it: then nobody waits for it longer than this.
        if tokio::time::timeout(deadline + GOODBYE, &mut self.handle)
            .await
            .is_err()
        {
            self.handle.abort();
        }
    }
}

impl Lines {
    /// Starts the base line on a runtime that outlives every request.
    pub(super) fn open(shared: Shared, runtime: &Handle) -> Self {
        let shared = Arc::new(shared);
        let tasks = Tasks {
            base: Some(Task::start(&shared, &shared.base, runtime)),
            ..Tasks::default()
        };
        Self {
            shared,
            workers: ArcSwap::default(),
            tasks: Mutex::new(tasks),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The line that the calling thread is to publish attributes of this size through. A worker is known by its runtime,
    /// which runs on one thread; at its first publish, its line is started.
    pub(super) fn here(&self, size: usize) -> Guard<Arc<State>> {
        let base = self.shared.base.state.load();
        let worker = match Handle::try_current() {
            Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread => runtime,
            _ => return base,
        };
        if worker.id() == self.shared.base.runtime {
            return base;
        }
        let workers = self.workers.load();
        let Some(line) = workers.iter().find(|line| line.runtime == worker.id()) else {
            self.start(&worker);
            return base;
        };
        let own = line.state.load();
        match **own {
            State::Up { frame_max, .. } if size <= frame_max => own,
            _ => base,
        }
    }

    /// Workers whose line is up.
    pub(super) fn workers_up(&self) -> usize {
        self.workers.load().iter().filter(|line| line.is_up()).count()
    }

    fn start(&self, worker: &Handle) {
        let mut tasks = self.tasks();
        if tasks.ending {
            return;
        }
        let line = Arc::new(Line::new(worker));
        tasks.workers.push(Task::start(&self.shared, &line, worker));
        self.workers
            .rcu(|workers| workers.iter().chain([&line]).cloned().collect::<Vec<_>>());
    }

    /// Ends the lines of the workers, which can do so only as long as these live. The base line takes what still comes.
    pub(super) async fn end_workers(&self, deadline: Duration) {
        let workers = {
            let mut tasks = self.tasks();
            tasks.ending = true;
            std::mem::take(&mut tasks.workers)
        };
        join_all(workers.into_iter().map(|task| task.close(deadline))).await;
    }

    /// Ends all lines. What one cannot finish in this time is unknown.
    pub(super) async fn close(&self, deadline: Duration) {
        let base = self.tasks().base.take();
        let base = async {
            if let Some(base) = base {
                base.close(deadline).await;
            }
        };
        tokio::join!(self.end_workers(deadline), base);
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
