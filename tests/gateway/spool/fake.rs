//! A broker that does what the test says, for the states that a real one cannot be told to be in.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use hooksluice::destination::journal::Journal;
use hooksluice::destination::{Destination, PublishError, Receipt};
use hooksluice::event::Event;
use tokio::sync::oneshot;

use crate::journal::{event, settings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Confirm,
    Down,
    LaneDown,
    Message,
    /// Stored, but the channel closed before the confirm.
    StoredUnknown,
    LostUnknown,
    /// No answer until the test gives one.
    Hold,
}

type Held = (String, oneshot::Sender<Result<Receipt, PublishError>>);
type Decide = Box<dyn Fn(&Event) -> Answer + Send>;

pub struct Fake {
    name: Arc<str>,
    /// Only a destination can make one: this is a journal's, shown again for each confirm.
    receipt: Receipt,
    state: Mutex<State>,
}

struct State {
    decide: Decide,
    attempts: Vec<String>,
    stored: Vec<String>,
    held: Vec<Held>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    pub async fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&settings(folder.path())).unwrap();
        let receipt = journal
            .events()
            .publish(event("receipt", "a", None, b"{}"))
            .await
            .unwrap();
        journal.close().await;
        Arc::new(Self {
            name: "stream".into(),
            receipt,
            state: Mutex::new(State {
                decide: Box::new(|_| Answer::Confirm),
                attempts: Vec::new(),
                stored: Vec::new(),
                held: Vec::new(),
            }),
        })
    }

    pub fn answers(&self, answer: Answer) {
        self.decides(move |_| answer);
    }

    pub fn decides(&self, decide: impl Fn(&Event) -> Answer + Send + 'static) {
        self.state.lock().unwrap().decide = Box::new(decide);
    }

    /// Ids in the order in which publishes began.
    pub fn attempts(&self) -> Vec<String> {
        self.state.lock().unwrap().attempts.clone()
    }

    /// Ids in the order in which the broker stored them.
    pub fn stored(&self) -> Vec<String> {
        self.state.lock().unwrap().stored.clone()
    }

    pub fn held(&self) -> usize {
        self.state.lock().unwrap().held.len()
    }

    /// Answers everything that is held, oldest first. A publish that nobody hears any more is stored all the same.
    pub fn release(&self, answer: Result<(), PublishError>) {
        let mut state = self.state.lock().unwrap();
        for (id, reply) in std::mem::take(&mut state.held) {
            if answer.is_ok() {
                state.stored.push(id);
            }
            let _ = reply.send(answer.clone().map(|()| self.receipt.clone()));
        }
    }
}

impl Destination for Fake {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn publish(&self, event: Arc<Event>) -> BoxFuture<'static, Result<Receipt, PublishError>> {
        let mut state = self.state.lock().unwrap();
        let id = event.id().to_owned();
        state.attempts.push(id.clone());
        let result = match (state.decide)(&event) {
            Answer::Confirm => {
                state.stored.push(id);
                Ok(self.receipt.clone())
            }
            Answer::Down => Err(PublishError::Down("told so".into())),
            Answer::LaneDown => Err(PublishError::LaneDown("told so".into())),
            Answer::Message => Err(PublishError::Message("told so".into())),
            Answer::StoredUnknown => {
                state.stored.push(id);
                Err(PublishError::Unknown("told so".into()))
            }
            Answer::LostUnknown => Err(PublishError::Unknown("told so".into())),
            Answer::Hold => {
                let (reply, answer) = oneshot::channel();
                state.held.push((id, reply));
                return Box::pin(async move {
                    answer
                        .await
                        .unwrap_or_else(|_| Err(PublishError::Unknown("the client is gone".into())))
                });
            }
        };
        Box::pin(std::future::ready(result))
    }

    fn lane(&self, event: &Event) -> String {
        format!("{}/{}", event.kind(), event.key().unwrap_or_default())
    }
}
