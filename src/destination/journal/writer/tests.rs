//! Failures that a test cannot order from outside: a full disk at will, a commit that fails.

use std::sync::mpsc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::destination::journal::Row;
use crate::event::Event;
use crate::units::ByteSize;

use super::*;

fn writer(folder: &tempfile::TempDir) -> Writer {
    let settings = Settings {
        min_free: ByteSize::bytes(0),
        ..Settings::at(folder.path().join("journal.db"))
    };
    Writer::open(settings, Arc::default()).unwrap()
}

fn row(data: &[u8]) -> Row {
    let attributes = serde_json::json!({
        "specversion": "1.0", "id": "a", "source": "/sources/shop", "type": "com.example.order",
        "datacontenttype": "application/json", "provider": "hmac", "bodysha256": hex::encode(Sha256::digest(data)),
    });
    let attributes = attributes.to_string();
    let sha256 = Sha256::digest(&attributes);
    Row::of(&Event::from_stored(&attributes, Bytes::copy_from_slice(data), &sha256).unwrap())
}

fn store(writer: &mut Writer, write: Write) -> Result<i64, PublishError> {
    let (answer, answered) = mpsc::channel();
    let done: Done = Box::new(move |result| answer.send(result).unwrap());
    writer.commit(vec![Command { write, done }]);
    answered.try_recv().expect("every command is answered")
}

fn state(writer: &Writer) -> State {
    writer.status().state.clone()
}

fn pages(writer: &Writer, change: i64) {
    let connection = writer.connection.as_ref().unwrap();
    let count: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    connection
        .query_row(&format!("PRAGMA max_page_count = {}", count + change), [], |_| Ok(()))
        .unwrap();
}

#[test]
fn a_full_disk_gives_no_receipt_lets_removals_pass_and_recovers_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&folder);
    let kept = store(&mut writer, Write::Event(row(&[b'x'; 50_000]))).unwrap();
    pages(&writer, 2);
    let refused = store(&mut writer, Write::Event(row(&[b'y'; 200_000])));
    assert!(matches!(refused, Err(PublishError::Full(_))), "{refused:?}");
    assert!(matches!(state(&writer), State::Full(_)));
    assert_eq!(writer.totals.events.rows, 1, "the totals went back too");

    let remove = Write::Remove {
        table: Table::Events,
        sequences: vec![kept],
    };
    assert_eq!(store(&mut writer, remove), Ok(1));
    pages(&writer, 1000);
    writer.look_for_room();
    assert_eq!(state(&writer), State::Ready, "nobody had to ask");
    assert_eq!(store(&mut writer, Write::Event(row(&[b'y'; 200_000]))), Ok(kept + 1));
}

#[test]
fn in_a_batch_that_does_not_fit_the_removals_are_still_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&folder);
    let old = store(&mut writer, Write::Event(row(&[b'x'; 50_000]))).unwrap();
    pages(&writer, 2);
    let (answer, answered) = mpsc::channel();
    let done = |name: &'static str| -> Done {
        let answer = answer.clone();
        Box::new(move |result| answer.send((name, result.is_ok())).unwrap())
    };
    let remove = Write::Remove {
        table: Table::Events,
        sequences: vec![old],
    };
    writer.commit(vec![
        Command {
            write: Write::Event(row(&[b'y'; 200_000])),
            done: done("store"),
        },
        Command {
            write: remove,
            done: done("remove"),
        },
    ]);
    let mut answers: Vec<_> = answered.try_iter().collect();
    answers.sort();
    assert_eq!(answers, [("remove", true), ("store", false)]);
}

#[test]
fn after_a_failed_commit_nothing_is_stored_until_the_file_is_proved() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&folder);
    let receipted = store(&mut writer, Write::Event(row(b"{}"))).unwrap();
    // In the file, but nobody was told: what a commit that reported a failure may leave behind.
    let connection = writer.connection.take().unwrap();
    connection.execute_batch("INSERT INTO events SELECT seq + 1, stored, size, 'b', type, source, time, received, text, sha256, attributes, data FROM events").unwrap();
    writer.connection = Some(connection);

    writer.distrust("told so");
    assert!(matches!(state(&writer), State::Failing(_)));
    let refused = store(&mut writer, Write::Event(row(b"{}")));
    assert!(matches!(refused, Err(PublishError::Down(_))), "{refused:?}");

    writer.reopen = Some((Instant::now(), REOPEN.0));
    writer.try_reopen();
    assert_eq!(state(&writer), State::Ready);
    let connection = writer.connection.as_ref().unwrap();
    let ids: i64 = connection
        .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
        .unwrap();
    assert_eq!(ids, 1, "only what was receipted is left");
    assert!(store(&mut writer, Write::Event(row(b"{}"))).unwrap() > receipted);
}

#[test]
fn a_file_that_lost_a_receipted_event_is_not_trusted_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&folder);
    store(&mut writer, Write::Event(row(b"{}"))).unwrap();
    writer.distrust("told so");
    writer.receipted[0].1 += 1;
    writer.reopen = Some((Instant::now(), REOPEN.0));
    writer.try_reopen();
    assert!(matches!(state(&writer), State::Failing(reason) if reason.contains("receipted")));
    assert!(store(&mut writer, Write::Event(row(b"{}"))).is_err());
}

#[test]
fn an_event_whose_bytes_changed_is_not_trusted_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&folder);
    store(&mut writer, Write::Event(row(b"{}"))).unwrap();
    writer
        .connection
        .as_ref()
        .unwrap()
        .execute("UPDATE events SET data = x'5b5d'", [])
        .unwrap();
    writer.distrust("told so");
    writer.reopen = Some((Instant::now(), REOPEN.0));
    writer.try_reopen();
    assert!(matches!(state(&writer), State::Failing(_)));
}

#[test]
fn every_commit_waits_for_the_sync_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&folder);
    let full = |writer: &Writer| -> i64 {
        let connection = writer.connection.as_ref().unwrap();
        connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap()
    };
    assert_eq!(full(&writer), 2, "2 is FULL");
    writer.distrust("told so");
    writer.reopen = Some((Instant::now(), REOPEN.0));
    writer.try_reopen();
    assert_eq!(full(&writer), 2);
}
