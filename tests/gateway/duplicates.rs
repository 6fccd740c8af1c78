//! Twins in flight and duplicates: suppressed only after the receipt, within a window, in bounded memory.

use std::sync::Arc;
use std::time::Duration;

use hooksluice::clock::Timestamp;
use hooksluice::destination::journal::Journal;
use hooksluice::duplicates::{Claim, Duplicates, Identity, Settings, Ticket};
use hooksluice::units::HumanDuration;
use proptest::prelude::*;

use crate::journal::settings as journal_settings;

fn identity(id: &str) -> Identity<'_> {
    Identity {
        source: "shop",
        id,
        sha256: Some("00"),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn first(claim: Claim) -> Ticket {
    match claim {
        Claim::First(ticket) => ticket,
        other => panic!("not the first: {other:?}"),
    }
}

fn is_known(duplicates: &Duplicates, id: &str, now: Timestamp) -> bool {
    matches!(duplicates.claim(identity(id), now), Claim::Known)
}

#[test]
fn is_known_only_after_it_was_made_durable() {
    let duplicates = Duplicates::in_memory(&Settings::default());
    first(duplicates.claim(identity("a"), at(0))).failed();
    drop(first(duplicates.claim(identity("a"), at(1))));
    first(duplicates.claim(identity("a"), at(2))).durable(at(2));
    assert!(is_known(&duplicates, "a", at(3)));
}

#[test]
fn every_part_of_an_identity_counts() {
    let duplicates = Duplicates::in_memory(&Settings::default());
    let part = |source: &'static str, id: &'static str, sha256| Identity { source, id, sha256 };
    first(duplicates.claim(part("a", "bc", Some("d")), at(0))).durable(at(0));
    for other in [
        part("ab", "c", Some("d")),
        part("a", "b", Some("cd")),
        part("a", "bcd", None),
        part("a", "bc", Some("")),
        part("a", "bc", None),
        part("a", "bc", Some("e")),
    ] {
        first(duplicates.claim(other, at(0)));
    }
    assert!(matches!(
        duplicates.claim(part("a", "bc", Some("d")), at(0)),
        Claim::Known
    ));
}

#[tokio::test]
async fn a_twin_waits_for_the_outcome_of_the_first() {
    let duplicates = Duplicates::in_memory(&Settings::default());
    let ticket = first(duplicates.claim(identity("a"), at(0)));
    let Claim::InFlight(waiter) = duplicates.claim(identity("a"), at(0)) else {
        panic!("nobody is at it")
    };
    let Claim::InFlight(late) = duplicates.claim(identity("a"), at(0)) else {
        panic!("nobody is at it")
    };
    let waiting = tokio::spawn(waiter.durable());
    ticket.durable(at(1));
    assert!(waiting.await.unwrap());
    assert!(late.durable().await, "one that begins to wait afterwards hears it too");
}

#[tokio::test]
async fn when_the_first_fails_one_twin_tries_itself_and_the_other_waits_for_it() {
    let duplicates = Duplicates::in_memory(&Settings::default());
    let ticket = first(duplicates.claim(identity("a"), at(0)));
    let Claim::InFlight(one) = duplicates.claim(identity("a"), at(0)) else {
        panic!("nobody is at it")
    };
    let Claim::InFlight(two) = duplicates.claim(identity("a"), at(0)) else {
        panic!("nobody is at it")
    };
    // As when the request's task panics.
    drop(ticket);
    assert!(!one.durable().await && !two.durable().await);
    let second = first(duplicates.claim(identity("a"), at(1)));
    let Claim::InFlight(waiter) = duplicates.claim(identity("a"), at(1)) else {
        panic!("both tried")
    };
    second.durable(at(1));
    assert!(waiter.durable().await);
}

#[test]
fn remembers_for_the_window_and_forgets_a_ninth_of_it_later() {
    let duplicates = Duplicates::in_memory(&Settings {
        window: HumanDuration::from_secs(800),
        ..Settings::default()
    });
    for second in 0..300 {
        first(duplicates.claim(identity(&second.to_string()), at(second))).durable(at(second));
    }
    for second in [0, 50, 150, 299] {
        assert!(is_known(&duplicates, &second.to_string(), at(second + 799)), "{second}");
    }
    drop(first(duplicates.claim(identity("299"), at(299 + 901))));
    assert!(!is_known(&duplicates, "0", at(299 + 901)));
}

#[test]
fn a_clock_that_steps_back_forgets_nothing_early() {
    let duplicates = Duplicates::in_memory(&Settings::default());
    first(duplicates.claim(identity("a"), at(0))).durable(at(0));
    first(duplicates.claim(identity("b"), at(-3600))).durable(at(-3600));
    assert!(is_known(&duplicates, "a", at(-3600)) && is_known(&duplicates, "b", at(-3600)));
    assert!(is_known(&duplicates, "a", at(3600)) && is_known(&duplicates, "b", at(3600)));
}

#[test]
fn memory_is_bounded_and_the_oldest_go_first() {
    let duplicates = Duplicates::in_memory(&Settings {
        max_entries: 12_800,
        ..Settings::default()
    });
    for n in 0..50_000 {
        first(duplicates.claim(identity(&n.to_string()), at(n / 100))).durable(at(n / 100));
        assert!(duplicates.len() <= 12_800);
    }
    assert!(duplicates.len() > 12_800 * 3 / 4, "{} are left", duplicates.len());
    assert!(is_known(&duplicates, "49999", at(500)));
    assert!(!is_known(&duplicates, "0", at(500)));
    let recent = (42_000..50_000)
        .filter(|n| is_known(&duplicates, &n.to_string(), at(500)))
        .count();
    assert_eq!(recent, 8_000);
}

#[tokio::test]
async fn the_journal_remembers_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = journal_settings(folder.path());
    let settings = Settings {
        window: HumanDuration::from_secs(1000),
        ..Settings::default()
    };
    let journal = Journal::open(&file).unwrap();
    let duplicates = Duplicates::in_journal(&settings, &journal, at(0)).unwrap();
    first(duplicates.claim(identity("old"), at(0))).durable(at(0));
    first(duplicates.claim(identity("new"), at(500))).durable(at(500));
    drop(first(duplicates.claim(identity("failed"), at(500))));
    drop(duplicates);
    // What it remembers is queued before this.
    journal.close().await;
    drop(journal);

    let journal = Journal::open(&file).unwrap();
    let duplicates = Duplicates::in_journal(&settings, &journal, at(1200)).unwrap();
    assert!(is_known(&duplicates, "new", at(1200)));
    assert!(!is_known(&duplicates, "old", at(1200)));
    assert!(!is_known(&duplicates, "failed", at(1200)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_twins_at_once_exactly_one_works_at_a_time_and_one_succeeds() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let duplicates = Duplicates::in_memory(&Settings::default());
    let working = Arc::new(AtomicUsize::new(0));
    let tried = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (duplicates, working, tried) = (duplicates.clone(), working.clone(), tried.clone());
            tokio::spawn(async move {
                loop {
                    match duplicates.claim(identity("a"), at(0)) {
                        Claim::First(ticket) => {
                            assert_eq!(working.fetch_add(1, Ordering::SeqCst), 0, "two work on one event");
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            working.fetch_sub(1, Ordering::SeqCst);
                            // The first three fail.
                            if tried.fetch_add(1, Ordering::SeqCst) < 3 {
                                ticket.failed();
                                continue;
                            }
                            ticket.durable(at(0));
                            return;
                        }
                        Claim::Known => return,
                        Claim::InFlight(waiter) => {
                            if waiter.durable().await {
                                return;
                            }
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(tried.load(Ordering::SeqCst), 4);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Never known without having been made durable before, within the window always known.
    #[test]
    fn knows_what_was_made_durable_and_nothing_else(
        steps in prop::collection::vec((0..20u8, any::<bool>(), 0..40i64), 1..200)
    ) {
        let window = 400;
        let duplicates = Duplicates::in_memory(&Settings { window: HumanDuration::from_secs(400), ..Settings::default() });
        let mut durable: std::collections::HashMap<u8, i64> = std::collections::HashMap::new();
        let mut now = 0;
        for (id, succeeds, pause) in steps {
            now += pause;
            match duplicates.claim(identity(&id.to_string()), at(now)) {
                Claim::First(ticket) => {
                    let remembered = durable.get(&id).is_some_and(|then| now < then + window);
                    prop_assert!(!remembered, "{id} is forgotten after {} s", now - durable[&id]);
                    if succeeds {
                        ticket.durable(at(now));
                        durable.insert(id, now);
                    }
                }
                Claim::Known => {
                    let then = durable.get(&id);
                    prop_assert!(then.is_some_and(|then| now <= then + window + window / 8), "{id} {then:?} {now}");
                }
                Claim::InFlight(_) => prop_assert!(false, "nobody is at it"),
            }
        }
    }
}
