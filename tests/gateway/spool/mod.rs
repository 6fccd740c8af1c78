//! The spool in front of a broker: what is acknowledged is delivered, in order where that is promised.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hooksluice::destination::journal::{Filter, Journal, JournalError, Reader, Settings, Table};
use hooksluice::destination::spool::{Backoff, Durable, How, Outlet, Spool, Stats, Tuning};
use hooksluice::destination::{JournalTable, Position, PublishError};
use hooksluice::units::ByteSize;
use tokio::time::Instant;

use crate::journal::{event, settings};

pub mod fake;
mod model;

use fake::{Answer, Fake};

/// Waits a tenth of a second for the broker, and long for the journal: the machine may be busy.
const BUDGET: Duration = Duration::from_secs(20);

fn tuning() -> Tuning {
    Tuning {
        commit_room: BUDGET - Duration::from_millis(100),
        backoff: Backoff {
            first: Duration::from_millis(5),
            longest: Duration::from_millis(40),
        },
        ..Tuning::default()
    }
}

struct Gate {
    settings: Settings,
    journal: Arc<Journal>,
    spool: Arc<Spool>,
    outlet: Outlet,
}

impl Gate {
    fn open(folder: &Path, fake: &Arc<Fake>) -> Self {
        Self::with(settings(folder), fake, tuning())
    }

    fn with(settings: Settings, fake: &Arc<Fake>, tuning: Tuning) -> Self {
        let journal = Journal::open(&settings).unwrap();
        let spool = Spool::open(&journal).unwrap();
        let outlet = Outlet::broker(fake.clone(), Some(&spool), tuning);
        Self {
            settings,
            journal,
            spool,
            outlet,
        }
    }

    async fn send(&self, id: &str, key: Option<&str>) -> Result<Durable, PublishError> {
        self.send_to(id, "orders", key).await
    }

    async fn send_to(&self, id: &str, topic: &str, key: Option<&str>) -> Result<Durable, PublishError> {
        self.outlet
            .make_durable(event(id, topic, key, b"{\"a\":1}"), Instant::now() + BUDGET)
            .await
    }

    fn stats(&self) -> Stats {
        self.outlet.stats().expect("a broker's")
    }

    async fn drained(&self) {
        until("the spool is empty", || self.stats().events == 0).await;
        until("confirmed rows leave the file", || {
            self.journal.status().spool.rows == 0
        })
        .await;
    }

    /// Forgets everything in memory, as a crash does, and comes up again on the same file.
    async fn crash(self, fake: &Arc<Fake>) -> Self {
        let settings = self.die().await;
        Self::with(settings, fake, tuning())
    }

    /// Forgets everything in memory; the file is free again when this returns.
    async fn die(self) -> Settings {
        let Self {
            settings,
            journal,
            spool,
            outlet,
        } = self;
        drop((outlet, spool, journal));
        loop {
            match Journal::open(&settings) {
                Ok(journal) => {
                    drop(journal);
                    return settings;
                }
                // The aborted forwarder has not let go yet.
                Err(JournalError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(30), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(patience.await.is_ok(), "never happened: {what}");
}

fn how(result: Result<Durable, PublishError>) -> How {
    result.expect("durable").how()
}

#[tokio::test]
async fn a_confirmed_event_is_published_and_leaves_no_trace_in_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    assert_eq!(how(gate.send("a", Some("k")).await), How::Published);
    assert_eq!(gate.journal.status().commits, 0);
    assert_eq!(fake.stored(), ["a"]);
}

#[tokio::test]
async fn a_late_confirm_settles_the_spooled_copy_which_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Hold);
    let durable = gate.send("a", Some("k")).await.unwrap();
    assert_eq!(durable.how(), How::Spooled);
    assert!(matches!(
        durable.receipt().position(),
        Position::Journal {
            table: JournalTable::Spool,
            ..
        }
    ));
    let rows = Reader::open(&gate.settings.path)
        .unwrap()
        .list(Table::Spool, &Filter::default())
        .unwrap();
    assert_eq!(rows[0].state.as_deref(), Some("unknown"));

    fake.answers(Answer::Confirm);
    fake.release(Ok(()));
    gate.drained().await;
    assert_eq!(fake.stored(), ["a"]);
    assert_eq!(gate.stats().late_confirms, 1);
    // The destination is trusted again, and the key free.
    assert_eq!(how(gate.send("b", Some("k")).await), How::Published);
}

#[tokio::test]
async fn a_late_failure_makes_the_copy_sendable_under_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Hold);
    assert_eq!(how(gate.send("a", Some("k")).await), How::Spooled);
    fake.answers(Answer::Confirm);
    fake.release(Err(PublishError::Down("lost".into())));
    gate.drained().await;
    assert_eq!(fake.attempts(), ["a", "a"]);
    assert_eq!(fake.stored(), ["a"]);
}

#[tokio::test]
async fn a_publish_that_is_never_confirmed_is_sent_again_after_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let bounded = Tuning {
        unknown: Duration::from_millis(50),
        ..tuning()
    };
    let gate = Gate::with(settings(folder.path()), &fake, bounded);
    fake.answers(Answer::Hold);
    assert_eq!(how(gate.send("a", Some("k")).await), How::Spooled);
    fake.answers(Answer::Confirm);
    gate.drained().await;
    assert_eq!(fake.stored(), ["a"]);
}

#[tokio::test]
async fn a_broker_that_is_down_is_not_asked_for_each_event_and_gets_all_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let patient = Tuning {
        backoff: Backoff {
            first: Duration::from_secs(600),
            longest: Duration::from_secs(600),
        },
        ..tuning()
    };
    let gate = Gate::with(settings(folder.path()), &fake, patient);
    fake.answers(Answer::Down);
    for n in 0..50 {
        assert_eq!(how(gate.send(&n.to_string(), Some("k")).await), How::Spooled);
    }
    assert_eq!(fake.attempts().len(), 1, "the breaker is open");
    assert!(!gate.stats().up);
    assert_eq!(gate.stats().events, 50);
    assert!(gate.stats().oldest.is_some() && gate.stats().bytes > 50 * 7);

    fake.answers(Answer::Confirm);
    let gate = gate.crash(&fake).await;
    gate.drained().await;
    let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(fake.stored(), expected);
}

#[tokio::test]
async fn a_frozen_broker_opens_the_breaker_and_its_first_answer_closes_it() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let patient = Tuning {
        backoff: Backoff {
            first: Duration::from_secs(600),
            longest: Duration::from_secs(600),
        },
        ..tuning()
    };
    let gate = Gate::with(settings(folder.path()), &fake, patient);
    fake.answers(Answer::Hold);
    for n in 0..3 {
        assert_eq!(how(gate.send(&n.to_string(), None).await), How::Spooled);
    }
    assert!(!gate.stats().up);
    assert_eq!(how(gate.send("straight", None).await), How::Spooled);
    assert_eq!(fake.attempts().len(), 3);
    fake.answers(Answer::Confirm);
    fake.release(Ok(()));
    gate.drained().await;
    assert!(gate.stats().up);
    let mut stored = fake.stored();
    stored.sort();
    assert_eq!(stored, ["0", "1", "2", "straight"]);
}

#[tokio::test]
async fn only_the_topic_that_is_down_is_spooled() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.decides(|event| {
        if event.kind() == "bad" {
            Answer::LaneDown
        } else {
            Answer::Confirm
        }
    });
    assert_eq!(how(gate.send_to("a", "bad", Some("k")).await), How::Spooled);
    assert_eq!(how(gate.send_to("b", "good", Some("k")).await), How::Published);
    assert_eq!(how(gate.send_to("c", "bad", Some("other key")).await), How::Spooled);
    assert!(gate.stats().up);
    assert_eq!(gate.stats().routes_down, 1);
    fake.answers(Answer::Confirm);
    gate.drained().await;
    assert_eq!(gate.stats().routes_down, 0);
    assert_eq!(how(gate.send_to("d", "bad", Some("k")).await), How::Published);
}

#[tokio::test]
async fn newer_events_of_a_key_go_behind_the_spooled_ones_and_other_keys_pass() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Hold);
    assert_eq!(how(gate.send("1", Some("k")).await), How::Spooled);
    fake.answers(Answer::Confirm);
    assert_eq!(how(gate.send("2", Some("k")).await), How::Spooled);
    assert_eq!(how(gate.send("other", Some("l")).await), How::Published);
    assert_eq!(how(gate.send("3", Some("k")).await), How::Spooled);
    assert_eq!(how(gate.send("keyless", None).await), How::Published);
    assert_eq!(fake.stored(), ["other", "keyless"], "nothing overtook the unknown one");
    fake.release(Ok(()));
    gate.drained().await;
    assert_eq!(fake.stored(), ["other", "keyless", "1", "2", "3"]);
}

#[tokio::test]
async fn keys_that_wait_are_known_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Down);
    assert_eq!(how(gate.send("1", Some("k")).await), How::Spooled);
    assert_eq!(how(gate.send("2", Some("k")).await), How::Spooled);
    fake.decides(|event| {
        if event.id() == "1" {
            Answer::LostUnknown
        } else {
            Answer::Confirm
        }
    });
    let gate = gate.crash(&fake).await;
    assert_eq!(how(gate.send("3", Some("k")).await), How::Spooled);
    assert_eq!(how(gate.send("4", Some("l")).await), How::Published);
    fake.answers(Answer::Confirm);
    gate.drained().await;
    assert_eq!(fake.stored(), ["4", "1", "2", "3"]);
}

#[tokio::test]
async fn an_unknown_publish_is_sendable_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Hold);
    assert_eq!(how(gate.send("a", Some("k")).await), How::Spooled);
    fake.answers(Answer::Confirm);
    let gate = gate.crash(&fake).await;
    gate.drained().await;
    assert_eq!(fake.stored(), ["a"]);
}

#[tokio::test]
async fn a_message_that_the_broker_will_never_take_goes_to_quarantine_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Message);
    let durable = gate.send("a", Some("k")).await.unwrap();
    assert_eq!(durable.how(), How::Quarantined);
    let reader = Reader::open(&gate.settings.path).unwrap();
    let rows = reader.list(Table::Quarantine, &Filter::default()).unwrap();
    assert_eq!(rows[0].id, "a");
    assert_eq!(rows[0].destination.as_deref(), Some("stream"));
    assert_eq!(rows[0].detail.as_deref(), Some("told so"));
    assert!(gate.stats().up);
}

#[tokio::test]
async fn a_spooled_message_that_the_broker_will_never_take_does_not_hold_up_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Down);
    for id in ["1", "2", "3"] {
        assert_eq!(how(gate.send(id, Some("k")).await), How::Spooled);
    }
    fake.decides(|event| {
        if event.id() == "1" {
            Answer::Message
        } else {
            Answer::Confirm
        }
    });
    gate.drained().await;
    assert_eq!(fake.stored(), ["2", "3"]);
    let reader = Reader::open(&gate.settings.path).unwrap();
    let rows = reader.read(Table::Quarantine, &Filter::default()).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].event().unwrap().id(), "1");
    assert_eq!(gate.stats().refused, 1);
    let status = gate.journal.status();
    assert_eq!((status.spool.bytes, status.quarantine.rows), (0, 1));
}

#[tokio::test]
async fn a_full_spool_refuses_and_takes_again_when_it_drained() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let mut small = settings(folder.path());
    small.spool.max_bytes = ByteSize::bytes(3000);
    let gate = Gate::with(small, &fake, tuning());
    fake.answers(Answer::Down);
    let mut taken = Vec::new();
    let refused = loop {
        let id = taken.len().to_string();
        match gate.send(&id, None).await {
            Ok(durable) => {
                assert_eq!(durable.how(), How::Spooled);
                taken.push(id);
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PublishError::Full(_)), "{refused}");
    assert!(!taken.is_empty());
    fake.answers(Answer::Confirm);
    gate.drained().await;
    let mut stored = fake.stored();
    stored.sort();
    assert_eq!(stored, taken);
    fake.answers(Answer::Down);
    assert_eq!(how(gate.send("again", None).await), How::Spooled);
}

#[tokio::test]
async fn a_confirm_within_the_budget_counts_although_the_spool_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let mut full = settings(folder.path());
    full.spool.max_bytes = ByteSize::bytes(1);
    let gate = Gate::with(full, &fake, tuning());
    fake.answers(Answer::Hold);
    let (result, ()) = tokio::join!(gate.send("a", Some("k")), async {
        until("the journal refused the copy", || {
            gate.journal.status().spool_full.is_some()
        })
        .await;
        fake.release(Ok(()));
    });
    assert_eq!(how(result), How::Published);
    fake.answers(Answer::Confirm);
    assert_eq!(
        how(gate.send("b", Some("k")).await),
        How::Published,
        "the key is not held for a copy that is not there"
    );
}

#[tokio::test]
async fn without_a_journal_errors_are_passed_on() {
    let fake = Fake::new().await;
    let outlet = Outlet::broker(fake.clone(), None, tuning());
    let send = |id: &'static str| {
        let outlet = outlet.clone();
        async move {
            outlet
                .make_durable(
                    event(id, "orders", None, b"{}"),
                    Instant::now() + Duration::from_millis(200),
                )
                .await
        }
    };
    assert_eq!(how(send("a").await), How::Published);
    fake.answers(Answer::Hold);
    assert!(matches!(send("b").await, Err(PublishError::Unknown(_))));
    fake.answers(Answer::Message);
    assert!(matches!(send("c").await, Err(PublishError::Message(_))));
    fake.answers(Answer::Down);
    assert!(matches!(send("d").await, Err(PublishError::Down(_))));
    fake.answers(Answer::Confirm);
    until("the broker is tried again", || true).await;
    let mut result = send("e").await;
    while result.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        result = send("e").await;
    }
    assert_eq!(how(result), How::Published);
}

#[tokio::test]
async fn closing_spools_what_is_not_confirmed_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Hold);
    let (result, ()) = tokio::join!(gate.send("under way", Some("k")), async {
        until("the publish began", || fake.held() == 1).await;
        gate.outlet.close(Instant::now() + Duration::from_millis(300)).await;
    });
    assert_eq!(how(result), How::Spooled);
    assert_eq!(how(gate.send("late", Some("l")).await), How::Spooled);
    assert_eq!(fake.attempts(), ["under way"]);
    gate.journal.close().await;

    fake.answers(Answer::Confirm);
    let gate = gate.crash(&fake).await;
    gate.drained().await;
    let mut stored = fake.stored();
    stored.sort();
    assert_eq!(stored, ["late", "under way"]);
}

#[tokio::test]
async fn rows_of_a_destination_that_is_gone_from_the_configuration_stay_and_show() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Down);
    assert_eq!(how(gate.send("a", None).await), How::Spooled);
    gate.outlet.close(Instant::now()).await;
    gate.journal.close().await;
    let Gate { settings, .. } = gate;
    let journal = loop {
        match Journal::open(&settings) {
            Ok(journal) => break journal,
            Err(JournalError::InUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let stats = Spool::open(&journal).unwrap().stats();
    assert_eq!(stats.len(), 1);
    assert!(!stats[0].attached);
    assert_eq!((&*stats[0].destination, stats[0].events), ("stream", 1));
}

#[tokio::test]
async fn a_spooled_event_that_was_damaged_goes_to_quarantine_and_the_rest_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Gate::open(folder.path(), &fake);
    fake.answers(Answer::Down);
    for id in ["1", "2"] {
        assert_eq!(how(gate.send(id, Some("k")).await), How::Spooled);
    }
    // Damaged between two lives: the forwarder of the first may have read it already.
    let settings = gate.die().await;
    let raw = rusqlite::Connection::open(&settings.path).unwrap();
    raw.execute("UPDATE spool SET data = x'00' WHERE id = '1'", []).unwrap();
    fake.answers(Answer::Confirm);
    let gate = Gate::open(folder.path(), &fake);
    gate.drained().await;
    assert_eq!(fake.stored(), ["2"]);
    let reader = Reader::open(&gate.settings.path).unwrap();
    let rows = reader.read(Table::Quarantine, &Filter::default()).unwrap();
    assert_eq!((rows[0].id.as_str(), rows[0].reason.as_deref()), ("1", Some("damaged")));
    assert!(rows[0].event().is_err());
}

/// Many keys and topics at once, a broker that comes and goes: what is acknowledged arrives, each key in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_through_an_outage_keep_the_order_of_each_key() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let gate = Arc::new(Gate::open(folder.path(), &fake));
    let weather = {
        let fake = fake.clone();
        tokio::spawn(async move {
            for answer in [
                Answer::Down,
                Answer::Confirm,
                Answer::Hold,
                Answer::Confirm,
                Answer::LaneDown,
            ]
            .iter()
            .cycle()
            {
                fake.answers(*answer);
                tokio::time::sleep(Duration::from_millis(20)).await;
                fake.release(Ok(()));
            }
        })
    };
    // Each sender has a key of its own and waits for its acknowledgement: nothing of a key overlaps.
    let senders: Vec<_> = (0..24)
        .map(|sender| {
            let gate = gate.clone();
            tokio::spawn(async move {
                for n in 0..40 {
                    let (id, key) = (format!("{sender:02}-{n:03}"), format!("key {sender}"));
                    gate.send(&id, Some(&key)).await.expect("durable");
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    weather.abort();
    let _ = weather.await;
    fake.answers(Answer::Confirm);
    fake.release(Ok(()));
    gate.drained().await;
    let stored = fake.stored();
    assert_eq!(stored.len(), 24 * 40, "each once: the gateway was not killed");
    for sender in 0..24 {
        let prefix = format!("{sender:02}-");
        let ids: Vec<&String> = stored.iter().filter(|id| id.starts_with(&prefix)).collect();
        assert_eq!(ids.len(), 40);
        assert!(ids.is_sorted(), "{ids:?}");
    }
    assert!(gate.stats().spooled > 0);
}
