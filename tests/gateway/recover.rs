//! Damaged journals: what `recover` brings back, and how a gateway says that it is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hooksluice::destination::journal::{Journal, JournalError, Recovered, Table, recover};
use hooksluice::destination::spool::{Outlet, Spool, Tuning};
use proptest::prelude::*;
use tokio::time::Instant;

use crate::journal::{event, settings};
use crate::spool::fake::{Answer, Fake};
use crate::support::Gateway;
use crate::support::gateway::{BINARY, Setup, journal_rows};

const PAGE: usize = 4096;

/// Table, attributes and data of each record, by its id.
type Records = BTreeMap<String, (&'static str, String, Vec<u8>)>;

fn records(path: &Path) -> Records {
    let connection =
        rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it opens");
    let mut all = Records::new();
    for table in Table::ALL {
        let mut statement = connection
            .prepare(&format!("SELECT id, attributes, data FROM {}", table.name()))
            .expect("the table");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        for row in rows.expect("rows") {
            let (id, attributes, data): (String, String, Vec<u8>) = row.expect("a row");
            assert!(all.insert(id, (table.name(), attributes, data)).is_none(), "each once");
        }
    }
    all
}

/// A marker that every page of the record holds.
fn body(id: &str, length: usize) -> Vec<u8> {
    id.bytes().cycle().take(length).collect()
}

/// Fills all three tables, and removes a part again so that there are free pages with old records in them.
async fn filled(folder: &Path) -> Arc<Journal> {
    let settings = settings(folder);
    let journal = Journal::open(&settings).unwrap();
    let mut old = Vec::new();
    for n in 0..40 {
        let id = format!("<old{n:04}>");
        let receipt = journal
            .events()
            .publish(event(&id, "com.example.order", None, &body(&id, 3000)))
            .await;
        receipt.unwrap();
        old.push(n + 1);
    }
    let fake = Fake::new().await;
    fake.answers(Answer::Down);
    let spool = Spool::open(&journal).unwrap();
    let outlet = Outlet::broker(fake, Some(&spool), Tuning::default());
    for n in 0..60 {
        let length = [10, 400, 2500, 4200, 9000, 40_000][n % 6];
        for (prefix, table) in [("e", Table::Events), ("q", Table::Quarantine), ("s", Table::Spool)] {
            let id = format!("<{prefix}{n:04}>");
            let key = (n % 2 == 0).then_some("k");
            let event = event(&id, "com.example.order", key, &body(&id, length));
            match table {
                Table::Events => drop(journal.events().publish(event).await.unwrap()),
                Table::Quarantine => drop(journal.quarantine().publish(event).await.unwrap()),
                Table::Spool => {
                    let deadline = Instant::now() + Duration::from_secs(20);
                    drop(outlet.make_durable(event, deadline).await.unwrap());
                }
            }
        }
    }
    journal.remove(Table::Events, old).await.unwrap();
    journal
}

/// A file at rest, with what is in it.
static SAMPLE: LazyLock<(Vec<u8>, Records)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let journal = filled(folder.path()).await;
        journal.close().await;
    });
    drop(runtime);
    let path = settings(folder.path()).path;
    let records = records(&path);
    assert_eq!(records.len(), 180);
    (fs::read(&path).unwrap(), records)
});

/// Recovers from these bytes: the report, and what the new journal holds. It must open as any other.
fn recovered(bytes: &[u8]) -> (BTreeMap<&'static str, Recovered>, Records) {
    let folder = tempfile::tempdir().unwrap();
    let (damaged, new) = (folder.path().join("damaged.db"), folder.path().join("new.db"));
    fs::write(&damaged, bytes).unwrap();
    let report = recover(&damaged, &new).unwrap();
    assert_eq!(fs::read(&damaged).unwrap(), bytes, "the damaged file stays as it is");
    let records = records(&new);
    let journal = Journal::open(&hooksluice::destination::journal::Settings {
        path: new,
        ..settings(folder.path())
    })
    .unwrap();
    let status = journal.status();
    let rows = status.events.rows + status.spool.rows + status.quarantine.rows;
    assert_eq!(rows, records.len() as u64);
    let report = report.into_iter().map(|found| (found.table.name(), found)).collect();
    (report, records)
}

/// For each page of the sample, the records that it holds a part of.
static ON_PAGE: LazyLock<Vec<BTreeSet<String>>> = LazyLock::new(|| {
    let (bytes, records) = &*SAMPLE;
    let on_page = |page: &[u8]| {
        let marks = page.windows(7).filter(|window| window[0] == b'<' && window[6] == b'>');
        let ids = marks.filter_map(|mark| String::from_utf8(mark.to_vec()).ok());
        ids.filter(|id| records.contains_key(id)).collect()
    };
    bytes.chunks(PAGE).map(on_page).collect()
});

/// Every record that no damaged page holds a part of is there, and none is altered.
fn hold(damaged: &[u8], pages: &BTreeSet<usize>) -> Result<(), TestCaseError> {
    let records = &SAMPLE.1;
    let (report, found) = recovered(damaged);
    let hit: BTreeSet<&String> = pages.iter().flat_map(|page| &ON_PAGE[*page]).collect();
    for (id, record) in &found {
        prop_assert_eq!(Some(record), records.get(id), "{} is not what was stored", id);
    }
    for id in records.keys() {
        prop_assert!(
            found.contains_key(id) || hit.contains(id),
            "{} was intact, and is not recovered",
            id
        );
    }
    for table in Table::ALL {
        let report = &report[table.name()];
        let whole = found.values().filter(|(of, ..)| *of == table.name()).count() as u64;
        prop_assert_eq!(report.whole, whole);
        // The count itself may lie on a damaged page, and be any number then.
        if hit.is_empty() && pages.iter().all(|page| *page == 0) {
            prop_assert_eq!((report.changed, report.missing), (0, Some(0)));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_byte_is_flipped_every_intact_record_is_recovered(at in 0.0..1.0f64, bits in 1..=255u8) {
        let original = &SAMPLE.0;
        let at = (at * original.len() as f64) as usize;
        let mut damaged = original.clone();
        damaged[at] ^= bits;
        hold(&damaged, &BTreeSet::from([at / PAGE]))?;
    }

    #[test]
    fn whatever_page_is_overwritten_every_intact_record_is_recovered(
        first in 0.0..1.0f64, count in 1..4usize, byte in any::<u8>(),
    ) {
        let original = &SAMPLE.0;
        let pages = original.len() / PAGE;
        let first = (first * pages as f64) as usize;
        let last = (first + count).min(pages);
        let mut damaged = original.clone();
        damaged[first * PAGE..last * PAGE].fill(byte);
        hold(&damaged, &(first..last).collect())?;
    }

    #[test]
    fn wherever_the_file_is_cut_off_every_intact_record_is_recovered(at in 0.0..1.0f64) {
        let original = &SAMPLE.0;
        let at = (at * original.len() as f64) as usize;
        hold(&original[..at], &(at / PAGE..original.len() / PAGE).collect())?;
    }
}

#[test]
fn an_intact_file_and_one_without_its_header_are_recovered_whole_and_removed_events_stay_removed() {
    let original = &SAMPLE.0;
    let mut headless = original.clone();
    headless[..100].fill(0);
    for bytes in [original, &headless] {
        let (report, found) = recovered(bytes);
        assert_eq!(found, SAMPLE.1);
        for found in report.values() {
            assert_eq!(
                (found.whole, found.changed, found.missing),
                (60, 0, Some(0)),
                "{found:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_log_of_a_killed_gateway_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    let copy = tempfile::tempdir().unwrap();
    let damaged = copy.path().join("damaged.db");
    let mut main = fs::read(journal.path()).unwrap();
    let log = fs::read(folder.path().join("journal.db-wal")).unwrap();
    assert!(log.len() > PAGE, "something is only in the log");
    let header = main.len().min(100);
    main[..header].fill(0);
    fs::write(&damaged, &main).unwrap();
    fs::write(copy.path().join("damaged.db-wal"), &log).unwrap();
    recover(&damaged, &copy.path().join("new.db")).unwrap();
    assert_eq!(records(&copy.path().join("new.db")), records(journal.path()));
}

#[tokio::test]
async fn a_record_that_was_changed_is_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await.close().await;
    let path = settings(folder.path()).path;
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("UPDATE events SET data = zeroblob(10) WHERE id = '<e0003>'", [])
        .unwrap();
    raw.close().unwrap();
    let (report, found) = recovered(&fs::read(&path).unwrap());
    let events = &report["events"];
    assert_eq!((events.whole, events.changed, events.missing), (59, 1, Some(1)));
    assert!(!found.contains_key("<e0003>") && found.contains_key("<e0004>"));
}

fn recover_command(from: &Path, to: &Path) -> (i32, serde_json::Value, String) {
    let output = Command::new(BINARY)
        .args(["journal", "recover", "--json", "--to"])
        .args([to, from])
        .output()
        .expect("the binary runs");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("it exits"), report, said)
}

#[test]
fn a_damaged_journal_refuses_to_start_with_the_remedy_and_starts_after_it() {
    let yaml = "sources: { github: { provider: github, secrets: [{ value: s3cret }] } }\n";
    let gateway = Gateway::start(yaml);
    for id in ["a", "b", "c"] {
        let signature = crate::support::sign::github("s3cret", b"{}");
        let headers = [
            ("x-github-event", "unheard_of"),
            ("x-github-delivery", id),
            ("x-hub-signature-256", &*signature),
        ];
        assert_eq!(gateway.post("/in/github", &headers, b"{}").status, 200);
    }
    let path = gateway.path("hooksluice.db");
    let rescued = gateway.path("hooksluice.db.rescued");
    let (code, _, said) = recover_command(&path, &rescued);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("in use by another process"), "{said}");

    let directory = gateway.directory.clone();
    assert!(gateway.stop().0.success());
    let mut bytes = fs::read(&path).expect("the journal");
    bytes[..100].fill(0);
    fs::write(&path, bytes).expect("written");
    let (code, said) = Setup::new(yaml).directory(directory.clone()).refuse();
    assert_eq!(code, 1);
    let remedy = format!(
        "hooksluice journal recover {} --to {}",
        path.display(),
        rescued.display()
    );
    assert!(said.contains("is damaged") && said.contains(&remedy), "{said}");

    let (code, report, said) = recover_command(&path, &rescued);
    assert_eq!((code, &report["complete"]), (0, &true.into()), "{said}");
    assert_eq!(recover_command(&path, &rescued).0, 2, "nothing is overwritten");
    fs::rename(&path, path.with_extension("damaged")).expect("moved away");
    fs::rename(&rescued, &path).expect("put in its place");
    let gateway = Setup::new(yaml).directory(directory).start();
    let rows = journal_rows(&path, "events");
    let ids: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    drop(gateway);
}

#[test]
fn what_is_no_file_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.db");
    assert!(matches!(
        recover(&none, &folder.path().join("new.db")),
        Err(JournalError::Missing { .. })
    ));
    assert_eq!(recover_command(&none, &folder.path().join("new.db")).0, 2);
}
