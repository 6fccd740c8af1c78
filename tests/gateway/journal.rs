//! The embedded store: what it promises about a file on a disk.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hooksluice::destination::journal::{Filter, Journal, JournalError, Reader, Settings, State, Table};
use hooksluice::destination::{Position, PublishError, Receipt};
use hooksluice::event::Event;
use hooksluice::units::{ByteSize, HumanDuration};

use crate::support::destination_contract::{self, Stored};
use crate::support::events::Sample;

pub fn event(id: &str, kind: &str, key: Option<&str>, data: &[u8]) -> Arc<Event> {
    let sample = Sample::new(id, Bytes::copy_from_slice(data))
        .with("source", "/sources/shop")
        .with("type", kind);
    match key {
        Some(key) => sample.key(key).event(),
        None => sample.event(),
    }
}

pub fn settings(folder: &Path) -> Settings {
    Settings {
        min_free: ByteSize::bytes(0),
        ..Settings::at(folder.join("journal.db"))
    }
}

fn sequence(receipt: &Receipt) -> i64 {
    match receipt.position() {
        Position::Journal { sequence, .. } => *sequence,
        other => panic!("not in the journal: {other:?}"),
    }
}

async fn store(journal: &Arc<Journal>, id: &str, data: &[u8]) -> Result<Receipt, PublishError> {
    journal
        .events()
        .publish(event(id, "com.example.order", None, data))
        .await
}

#[tokio::test]
async fn gives_back_what_it_receipted_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let journal = Journal::open(&settings).unwrap();
    let body = b"{\"n\": 1.50, \"s\": \"\\u00e9\" }";
    let receipt = store(&journal, "a", body).await.unwrap();
    assert_eq!(&**receipt.destination(), "journal");

    let reader = Reader::open(&settings.path).unwrap();
    let record = reader.show(Table::Events, sequence(&receipt)).unwrap().expect("stored");
    let back = record.event().unwrap();
    assert_eq!(back.id(), "a");
    assert_eq!(&back.data()[..], body);
    assert_eq!(back.source(), "shop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_come_together_share_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(folder.path())).unwrap();
    let destination = journal.events();
    // While somebody else holds the write lock, the writer waits in its first commit and everything else queues.
    let other = rusqlite::Connection::open(&settings(folder.path()).path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let publishes: Vec<_> = (0..500)
        .map(|n| destination.publish(event(&n.to_string(), "com.example.order", None, b"{}")))
        .collect();
    other.execute_batch("ROLLBACK").unwrap();
    let receipts = futures_util::future::join_all(publishes).await;
    let mut sequences: Vec<i64> = receipts
        .iter()
        .map(|receipt| sequence(receipt.as_ref().unwrap()))
        .collect();
    let in_order = sequences.clone();
    sequences.sort();
    sequences.dedup();
    assert_eq!(sequences.len(), 500, "each has a place of its own");
    assert_eq!(sequences, in_order, "places are given in the order of publishing");
    let status = journal.status();
    assert_eq!(status.stored, 500);
    assert!(status.commits <= 10, "{} commits for 500 events", status.commits);
}

#[tokio::test]
async fn file_and_lock_belong_to_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        min_free: ByteSize::bytes(0),
        ..Settings::at(folder.path().join("new folder/journal.db"))
    };
    let journal = Journal::open(&settings).unwrap();
    store(&journal, "a", b"{}").await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("new folder")), 0o700);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mut path = settings.path.clone().into_os_string();
        path.push(suffix);
        assert_eq!(mode(Path::new(&path)), 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn a_second_gateway_on_the_same_file_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let first = Journal::open(&settings).unwrap();
    let error = Journal::open(&settings).unwrap_err();
    assert!(matches!(error, JournalError::InUse { .. }));
    let message = error.to_string();
    assert!(
        message.contains("journal.db") && message.contains("journal.path"),
        "{message}"
    );
    drop(first);
    Journal::open(&settings).unwrap();
}

#[tokio::test]
async fn sqlite3_reads_structured_events_while_the_gateway_writes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let journal = Journal::open(&settings).unwrap();
    let json = br#"{"amount": 1.50}"#;
    store(&journal, "json", json).await.unwrap();
    store(&journal, "text", "a=1&b=\u{e9}\"".as_bytes()).await.unwrap();
    let binary: Vec<u8> = (0..=255).collect();
    for length in [254, 255, 256] {
        store(&journal, &format!("binary {length}"), &binary[..length])
            .await
            .unwrap();
    }
    let output = std::process::Command::new("sqlite3")
        .arg("-readonly")
        .arg(&settings.path)
        .arg("select event from cloudevents order by seq")
        .output()
        .expect("the program `sqlite3` is missing: install the package `sqlite3`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(
        lines[0].ends_with(r#","data":{"amount": 1.50}}"#),
        "the sender's own bytes: {}",
        lines[0]
    );
    let events: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["specversion"], "1.0");
    assert_eq!(events[0]["type"], "com.example.order");
    assert_eq!(events[1]["data"], "a=1&b=\u{e9}\"");
    for (event, length) in events[2..].iter().zip([254, 255, 256]) {
        use base64::Engine;
        let data = base64::engine::general_purpose::STANDARD
            .decode(event["data_base64"].as_str().unwrap())
            .unwrap();
        assert_eq!(data, binary[..length]);
    }
}

#[tokio::test]
async fn an_older_file_is_upgraded_and_keeps_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let journal = Journal::open(&settings).unwrap();
    store(&journal, "old", b"{}").await.unwrap();
    drop(journal);
    // What version 2 added.
    let raw = rusqlite::Connection::open(&settings.path).unwrap();
    raw.execute_batch(
        "DROP TABLE duplicates; DROP VIEW cloudevents; DELETE FROM totals WHERE name = 'duplicates'; PRAGMA user_version = 1",
    )
    .unwrap();
    raw.close().unwrap();

    let journal = Journal::open(&settings).unwrap();
    store(&journal, "new", b"{}").await.unwrap();
    let raw = rusqlite::Connection::open(&settings.path).unwrap();
    let events: i64 = raw
        .query_row("SELECT count(*) FROM cloudevents", [], |row| row.get(0))
        .unwrap();
    assert_eq!(events, 2);
    raw.query_row("SELECT count(*) FROM duplicates", [], |row| row.get::<_, i64>(0))
        .unwrap();
}

#[test]
fn a_newer_a_foreign_and_a_damaged_file_are_refused_each_with_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    drop(Journal::open(&settings).unwrap());
    let raw = rusqlite::Connection::open(&settings.path).unwrap();
    raw.execute_batch("PRAGMA user_version = 99").unwrap();
    raw.close().unwrap();
    let error = Journal::open(&settings).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 99, .. }), "{error}");
    assert!(matches!(Reader::open(&settings.path), Err(JournalError::Newer { .. })));

    let other = Settings::at(folder.path().join("other.db"));
    let raw = rusqlite::Connection::open(&other.path).unwrap();
    raw.execute_batch("CREATE TABLE mine (x)").unwrap();
    raw.close().unwrap();
    let before = std::fs::read(&other.path).unwrap();
    let error = Journal::open(&other).unwrap_err();
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
    assert_eq!(std::fs::read(&other.path).unwrap(), before, "untouched");

    let damaged = Settings::at(folder.path().join("damaged.db"));
    std::fs::write(&damaged.path, [0x42; 8192]).unwrap();
    let error = Journal::open(&damaged).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    let remedy = format!("hooksluice journal recover {} --to", damaged.path.display());
    assert!(error.to_string().contains(&remedy), "{error}");
    assert!(matches!(
        Reader::open(&folder.path().join("none.db")),
        Err(JournalError::Missing { .. })
    ));
}

#[tokio::test]
async fn damage_in_the_middle_of_a_file_is_found_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let journal = Journal::open(&settings).unwrap();
    for n in 0..200 {
        store(&journal, &n.to_string(), &[b'x'; 3000]).await.unwrap();
    }
    journal.close().await;
    drop(journal);
    let mut bytes = std::fs::read(&settings.path).unwrap();
    let root: i64 = {
        let raw = rusqlite::Connection::open(&settings.path).unwrap();
        raw.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'events'", [], |row| {
            row.get(0)
        })
        .unwrap()
    };
    let at = (root as usize - 1) * 4096;
    bytes[at..at + 64].fill(0xff);
    std::fs::write(&settings.path, bytes).unwrap();
    let error = Journal::open(&settings).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_torn_tail_of_the_log_simply_starts_with_every_commit_before_the_tear() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let journal = Journal::open(&settings).unwrap();
    let wal = folder.path().join("journal.db-wal");
    // Length of the log after each receipt: what was synced by then.
    let mut synced = Vec::new();
    for n in 0..30 {
        store(&journal, &n.to_string(), &vec![b'x'; 500 * n]).await.unwrap();
        synced.push(std::fs::metadata(&wal).unwrap().len());
    }
    let (main, log) = (std::fs::read(&settings.path).unwrap(), std::fs::read(&wal).unwrap());
    let start = synced[0];
    for cut in (start..=log.len() as u64).step_by(3001) {
        let copy = tempfile::tempdir().unwrap();
        let torn = Settings {
            path: copy.path().join("journal.db"),
            ..settings.clone()
        };
        std::fs::write(&torn.path, &main).unwrap();
        std::fs::write(copy.path().join("journal.db-wal"), &log[..cut as usize]).unwrap();
        let journal = Journal::open(&torn).unwrap();
        let expected = synced.iter().filter(|length| **length <= cut).count();
        let reader = Reader::open(&torn.path).unwrap();
        let found = reader.read(Table::Events, &Filter::default()).unwrap();
        assert!(found.len() >= expected, "cut at {cut}: {} of {expected}", found.len());
        for (n, record) in found.iter().enumerate() {
            assert_eq!(record.event().unwrap().id(), n.to_string());
        }
        assert_eq!(journal.status().events.rows, found.len() as u64);
        store(&journal, "after", b"{}").await.unwrap();
    }
}

#[tokio::test]
async fn a_copy_of_the_files_at_any_receipt_holds_it() {
    // What a killed process leaves behind: the files as they are, without a clean end.
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let journal = Journal::open(&settings).unwrap();
    for n in 0..10 {
        store(&journal, &n.to_string(), b"{}").await.unwrap();
        let copy = tempfile::tempdir().unwrap();
        for name in ["journal.db", "journal.db-wal"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        let journal = Journal::open(&Settings {
            path: copy.path().join("journal.db"),
            ..settings.clone()
        })
        .unwrap();
        assert_eq!(journal.status().events.rows, n + 1);
    }
}

#[tokio::test]
async fn events_leave_by_size_oldest_first_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.retention.size = ByteSize::kib(100);
    let journal = Journal::open(&settings).unwrap();
    for n in 0..100 {
        store(&journal, &n.to_string(), &[b'x'; 4000]).await.unwrap();
    }
    while journal.status().events.bytes > 100 << 10 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let reader = Reader::open(&settings.path).unwrap();
    let left = reader.list(Table::Events, &Filter::default()).unwrap();
    assert!(!left.is_empty());
    assert_eq!(left.last().unwrap().id, "99");
    let status = journal.status();
    assert_eq!(status.expired.rows, 100 - left.len() as u64);
    assert_eq!(status.events, reader.usage(Table::Events).unwrap());
    let first: usize = left[0].id.parse().unwrap();
    assert_eq!(left.len(), 100 - first, "the oldest went, without gaps");
}

#[tokio::test]
async fn events_leave_by_age_and_quarantine_does_not_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.retention.age = HumanDuration::from_millis(1);
    let journal = Journal::open(&settings).unwrap();
    store(&journal, "a", b"{}").await.unwrap();
    journal
        .quarantine()
        .publish(event("q", "com.example.order", None, b"{}"))
        .await
        .unwrap();
    while journal.status().expired.rows < 1 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(journal.status().quarantine.rows, 1);
    drop(journal);

    settings.quarantine.age = Some(HumanDuration::from_millis(1));
    let journal = Journal::open(&settings).unwrap();
    while journal.status().quarantine.rows > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn quarantine_that_is_full_refuses_and_events_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.quarantine.max_bytes = ByteSize::bytes(10);
    let journal = Journal::open(&settings).unwrap();
    let error = journal
        .quarantine()
        .publish(event("q", "com.example.order", None, b"{}"))
        .await
        .unwrap_err();
    assert!(matches!(error, PublishError::Full(_)), "{error}");
    let status = journal.status();
    assert!(
        status
            .quarantine_full
            .is_some_and(|reason| reason.contains("quarantine"))
    );
    assert_eq!((status.state, status.spool_full), (State::Ready, None));
    store(&journal, "a", b"{}").await.unwrap();
    assert!(
        journal.status().quarantine_full.is_some(),
        "an event says nothing about quarantine"
    );
}

#[tokio::test]
async fn nothing_is_stored_below_the_reserve_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.min_free = ByteSize::bytes(u64::MAX / 2);
    let journal = Journal::open(&settings).unwrap();
    let error = store(&journal, "a", b"{}").await.unwrap_err();
    assert!(
        matches!(&error, PublishError::Full(reason) if reason.contains("min_free")),
        "{error}"
    );
    assert_eq!(journal.status().events.rows, 0);
}

#[tokio::test]
async fn lists_by_source_type_time_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let journal = Journal::open(&settings).unwrap();
    let destination = journal.events();
    for (id, kind) in [
        ("1", "com.example.order.paid"),
        ("2", "com.example.order_x"),
        ("3", "com.other"),
        ("4", "com.example.order"),
    ] {
        destination.publish(event(id, kind, None, b"{}")).await.unwrap();
    }
    let reader = Reader::open(&settings.path).unwrap();
    let ids = |filter: Filter| -> Vec<String> {
        reader
            .list(Table::Events, &filter)
            .unwrap()
            .into_iter()
            .map(|record| record.id)
            .collect()
    };
    assert_eq!(ids(Filter::default()), ["1", "2", "3", "4"]);
    assert_eq!(
        ids(Filter {
            newest: true,
            limit: Some(2),
            ..Filter::default()
        }),
        ["4", "3"]
    );
    assert_eq!(
        ids(Filter {
            kind: Some("com.example.order.*".into()),
            ..Filter::default()
        }),
        ["1"]
    );
    assert_eq!(
        ids(Filter {
            kind: Some("com.example.order".into()),
            ..Filter::default()
        }),
        ["4"]
    );
    assert_eq!(
        ids(Filter {
            id: Some("3".into()),
            ..Filter::default()
        }),
        ["3"]
    );
    assert_eq!(
        ids(Filter {
            source: Some("shop".into()),
            after: Some(2),
            ..Filter::default()
        }),
        ["3", "4"]
    );
    assert!(
        ids(Filter {
            source: Some("sho".into()),
            ..Filter::default()
        })
        .is_empty()
    );
    let stored = reader.show(Table::Events, 1).unwrap().unwrap().stored;
    assert_eq!(
        ids(Filter {
            since: Some(stored),
            ..Filter::default()
        })
        .len(),
        4
    );
    assert!(
        ids(Filter {
            until: Some(stored),
            ..Filter::default()
        })
        .is_empty()
    );
    assert_eq!(reader.last(Table::Events).unwrap(), 4);
    assert!(reader.show(Table::Events, 9).unwrap().is_none());

    // A tail goes on where it was, while the gateway writes.
    destination
        .publish(event("5", "com.example.order", None, b"{}"))
        .await
        .unwrap();
    assert_eq!(
        ids(Filter {
            after: Some(4),
            ..Filter::default()
        }),
        ["5"]
    );
    assert_eq!(journal.remove(Table::Events, vec![1, 2, 77]).await, Ok(2));
    assert_eq!(reader.usage(Table::Events).unwrap().rows, 3);
}

#[tokio::test]
async fn after_close_nothing_is_receipted() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(folder.path())).unwrap();
    journal.close().await;
    assert!(matches!(store(&journal, "a", b"{}").await, Err(PublishError::Down(_))));
    assert_eq!(journal.status().state, State::Closed);
}

/// Reads the file by itself, going on where it was.
fn reader_of(path: &Path) -> impl FnMut(usize) -> Vec<Stored> + use<> {
    let file = rusqlite::Connection::open(path).unwrap();
    let mut after = 0;
    move |count| {
        let mut statement = file
            .prepare("SELECT seq, attributes, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?")
            .unwrap();
        let rows = statement.query_map((after, count as i64 + 1), |row| {
            let attributes: String = row.get(1)?;
            Ok((row.get::<_, i64>(0)?, attributes, row.get::<_, Vec<u8>>(2)?))
        });
        let rows: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
        after = rows.last().map_or(after, |row| row.0);
        let stored = rows.into_iter().map(|(_, attributes, data)| {
            let attributes: std::collections::BTreeMap<String, String> = serde_json::from_str(&attributes).unwrap();
            let key = attributes.get("partitionkey").cloned();
            Stored { attributes, key, data }
        });
        stored.collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_what_every_destination_owes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let journal = Journal::open(&settings).unwrap();
    let mut read = reader_of(&settings.path);
    destination_contract::keeps_bytes_attributes_and_key(&journal.events(), &mut read).await;
    destination_contract::keeps_the_order_of_each_key(&journal.events(), &mut read).await;
    destination_contract::receipts_each_of_a_thousand_once(&journal.events(), &mut read).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_leave_by_age_also_under_a_load_that_never_pauses() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.retention.age = HumanDuration::from_millis(1);
    let journal = Journal::open(&settings).unwrap();
    let mut n = 0;
    while journal.status().expired.rows == 0 {
        n += 1;
        store(&journal, &n.to_string(), b"{}").await.unwrap();
    }
}
