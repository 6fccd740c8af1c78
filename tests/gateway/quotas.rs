//! When the journal has no more room: what is refused, what goes on, how it shows, and that it ends by itself.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::gateway::BINARY;
use crate::support::{Gateway, dump, events::fresh, get, needed, sign};

fn deliver(gateway: &Gateway, event: &str, id: &str) -> u16 {
    let signature = sign::github("s3cret", b"{}");
    let headers = [
        ("x-github-event", event),
        ("x-github-delivery", id),
        ("content-type", "application/json"),
        ("x-hub-signature-256", &*signature),
    ];
    gateway.post("/in/github", &headers, b"{}").status
}

fn source(destination: &str) -> String {
    format!("sources: {{ github: {{ provider: github, secrets: [{{ value: s3cret }}]{destination} }} }}\n")
}

fn full(gateway: &Gateway, table: &str) -> f64 {
    gateway.metric("hooksluice_journal_full", &[&format!("table=\"{table}\"")])
}

fn ready(gateway: &Gateway) -> (u16, String) {
    let reply = get(&format!("{}/readyz", gateway.admin));
    (reply.status, reply.text().to_owned())
}

/// What `check --live` says of the journal, and whether all is well.
fn check(gateway: &Gateway) -> (bool, String) {
    let output = Command::new(BINARY)
        .args(["check", "--live", "--json", "--config"])
        .arg(gateway.config())
        .output()
        .expect("the binary runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of_journal = report["live"].as_array().expect("findings").iter().filter(|finding| {
        finding["place"]
            .as_str()
            .is_some_and(|place| place.starts_with("journal "))
    });
    let of_journal: Vec<_> = of_journal.collect();
    let ok = of_journal.iter().all(|finding| finding["ok"] == true);
    (ok, format!("{of_journal:?}"))
}

#[test]
fn a_full_spool_is_503_and_not_ready_until_it_drains_and_keeps_all_that_it_acknowledged() {
    let topic = fresh("quota-spool");
    let gateway = Gateway::start(&format!(
        "journal: {{ path: \"{{dir}}/hooksluice.db\", min_free: 0, spool: {{ max_bytes: 16KiB }} }}
destinations: {{ there: {{ kafka: {{ bootstrap_servers: \"127.0.0.1:1\", topic: {topic}, declare: true }} }} }}\n{}",
        source(", destination: there")
    ));
    let mut acknowledged = Vec::new();
    for n in 0..100 {
        let id = format!("d-{n}");
        match deliver(&gateway, "unheard_of", &id) {
            200 => acknowledged.push(id),
            503 => break,
            status => panic!("{status}"),
        }
    }
    assert!((2..50).contains(&acknowledged.len()), "{}", acknowledged.len());
    assert_eq!((full(&gateway, "spool"), full(&gateway, "events")), (1.0, 0.0));
    let limit = gateway.metric("hooksluice_journal_limit_bytes", &["table=\"spool\""]);
    assert_eq!(limit, f64::from(16 << 10));
    assert_eq!(
        gateway.metric("hooksluice_journal_events", &["table=\"spool\""]),
        acknowledged.len() as f64
    );
    let (status, said) = ready(&gateway);
    assert!(status == 503 && said.contains("the spool is full"), "{status} {said}");
    let (ok, said) = check(&gateway);
    assert!(!ok && said.contains("journal.spool.max_bytes"), "{said}");

    let text = fs::read_to_string(gateway.config()).expect("the configuration");
    let servers = needed("HOOKSLUICE_TEST_KAFKA");
    fs::write(gateway.config(), text.replace("127.0.0.1:1\"", &format!("{servers}\""))).expect("written");
    gateway.wait_for("it drains and takes events again, without a restart", |g| {
        ready(g).0 == 200 && full(g, "spool") == 0.0 && deliver(g, "unheard_of", "after") == 200
    });
    let messages = dump(&topic, acknowledged.len() + 1);
    let consumed: Vec<&str> = messages
        .iter()
        .map(|message| message["headers"]["ce_id"].as_str().expect("an id"))
        .collect();
    for id in &acknowledged {
        assert!(consumed.contains(&&**id), "{id} was acknowledged");
    }
}

#[test]
fn a_full_quarantine_refuses_what_is_broken_alone_until_somebody_prunes() {
    let gateway = Gateway::start(&format!(
        "journal: {{ path: \"{{dir}}/hooksluice.db\", min_free: 0, quarantine: {{ max_bytes: 12KiB }} }}\n{}",
        source("")
    ));
    let taken = (0..50)
        .take_while(|n| deliver(&gateway, "push", &format!("d-{n}")) == 200)
        .count();
    assert!((1..20).contains(&taken), "{taken}");
    assert_eq!(deliver(&gateway, "unheard_of", "good"), 200, "events go on");
    assert_eq!((full(&gateway, "quarantine"), full(&gateway, "events")), (1.0, 0.0));
    assert_eq!(ready(&gateway).0, 200, "it can make events durable");
    assert_eq!(
        gateway.metric("hooksluice_destination_up", &["destination=\"journal.quarantine\""]),
        0.0
    );
    assert_eq!(gateway.quarantine().len(), taken, "nothing makes room by itself");

    let pruned = Command::new(BINARY)
        .args(["quarantine", "prune", "--before", "0s", "--yes", "--config"])
        .arg(gateway.config())
        .output()
        .expect("the binary runs");
    assert!(pruned.status.success());
    gateway.wait_for("it has room", |g| full(g, "quarantine") == 0.0);
    assert_eq!(deliver(&gateway, "push", "again"), 200);
}

#[test]
fn too_little_left_of_the_disk_is_503_and_not_ready() {
    let gateway = Gateway::start(&format!(
        "journal: {{ path: \"{{dir}}/hooksluice.db\", min_free: 1000000TiB }}\n{}",
        source("")
    ));
    assert_eq!(deliver(&gateway, "unheard_of", "a"), 503);
    assert_eq!(full(&gateway, "events"), 1.0);
    let (status, said) = ready(&gateway);
    assert!(status == 503 && said.contains("min_free"), "{status} {said}");
    let (ok, said) = check(&gateway);
    assert!(!ok && said.contains("make room"), "{said}");
}

#[test]
fn events_that_left_by_size_are_counted() {
    let gateway = Gateway::start(&format!(
        "journal: {{ path: \"{{dir}}/hooksluice.db\", min_free: 0, retention: {{ size: 20KiB }} }}\n{}",
        source("")
    ));
    for n in 0..60 {
        assert_eq!(deliver(&gateway, "unheard_of", &format!("d-{n}")), 200);
    }
    gateway.wait_for("the oldest have left", |g| {
        g.metric("hooksluice_journal_expired_events", &[])
            + g.metric("hooksluice_journal_events", &["table=\"events\""])
            == 60.0
            && g.metric("hooksluice_journal_bytes", &["table=\"events\""]) <= 20.0 * 1024.0
    });
    let left = gateway.journal();
    assert_eq!(left.last().map(|row| &*row.id), Some("d-59"), "the newest stay");
}
