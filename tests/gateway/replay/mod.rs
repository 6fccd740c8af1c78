//! Replays as an operator starts them: from the journal, with and without a gateway, and across interruptions.

mod brokers;
mod socket;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::support::events::fresh;
use crate::support::gateway::{BINARY, Setup, journal_rows};
use crate::support::{Gateway, dump, needed, sign};

const SECRET: &str = "s3cret";

/// A push that breaks its contract, and one that no mended contract takes either.
const BROKEN: &[u8] = b"{}";
const HOPELESS: &[u8] = b"[]";

fn push(gateway: &Gateway, id: &str, body: &[u8]) {
    let signature = sign::github(SECRET, body);
    let headers = [
        ("x-github-event", "push"),
        ("x-github-delivery", id),
        ("content-type", "application/json"),
        ("x-hub-signature-256", &*signature),
    ];
    assert_eq!(gateway.post("/in/github", &headers, body).status, 200, "{id}");
}

/// An event without a contract.
fn other(gateway: &Gateway, id: &str) {
    let signature = sign::github(SECRET, BROKEN);
    let headers = [
        ("x-github-event", "unheard_of"),
        ("x-github-delivery", id),
        ("content-type", "application/json"),
        ("x-hub-signature-256", &*signature),
    ];
    assert_eq!(gateway.post("/in/github", &headers, BROKEN).status, 200, "{id}");
}

/// A source `github`, with a folder of schemas of its own.
fn setup(rest: &str) -> Setup {
    let setup = Setup::new(&format!("schemas: {{ paths: [\"{{dir}}/schemas\"] }}\n{rest}"));
    fs::create_dir_all(setup.path().join("schemas/github/push")).expect("folders");
    setup
}

fn to_kafka(topic: &str, quarantine: &str) -> String {
    format!(
        "destinations: {{ stream: {{ kafka: {{ bootstrap_servers: \"{}\", topic: {topic}, declare: true }}, quarantine: {{ {quarantine} }} }} }}\n",
        needed("HOOKSLUICE_TEST_KAFKA")
    )
}

fn source(destination: &str) -> String {
    format!("sources: {{ github: {{ provider: github, secrets: [{{ value: {SECRET} }}]{destination} }} }}\n")
}

/// The contract of a push takes any object from now on.
fn mend(gateway: &Gateway) {
    let taken = |g: &Gateway| g.metric("hooksluice_config_last_reload_success_timestamp_seconds", &[]);
    let before = taken(gateway);
    let path = gateway.path("schemas/github/push/1.json");
    fs::write(path, "{ \"type\": \"object\" }").expect("written");
    // Also where the folder's watch is slow.
    gateway.signal("-HUP");
    gateway.wait_for("the mended contract is taken", |g| taken(g) > before);
}

fn command(config: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(args)
        .arg("--config")
        .arg(config)
        .env_remove("HOOKSLUICE_CONFIG");
    command
}

fn run(gateway: &Gateway, args: &[&str]) -> Output {
    command(&gateway.config(), args).output().expect("the binary runs")
}

/// Exit code and report of a run with `--json`.
fn report(output: &Output) -> (i32, Value) {
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    });
    (output.status.code().expect("it exits"), report)
}

fn replay(gateway: &Gateway, args: &[&str]) -> (i32, Value) {
    report(&run(gateway, &[args, &["--json"]].concat()))
}

fn begin(gateway: &Gateway, args: &[&str]) -> Child {
    command(&gateway.config(), args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

fn counts(report: &Value) -> [u64; 4] {
    ["replayed", "broken", "left", "passedOver"].map(|name| report[name].as_u64().expect("a number"))
}

fn replayed(gateway: &Gateway) -> f64 {
    gateway.metric("hooksluice_replayed_events_total", &["outcome=\"replayed\""])
}

/// A note of how far a run came lies beside the journal.
fn noted(folder: &Path) -> bool {
    fs::read_dir(folder)
        .expect("the folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .any(|name| name.contains(".replay-") && !name.ends_with('~'))
}

fn header<'m>(message: &'m Value, name: &str) -> &'m str {
    message["headers"][name].as_str().unwrap_or_default()
}

/// Ids of the replays among the messages of a topic.
fn marked(messages: &[Value]) -> BTreeSet<String> {
    let replays = messages.iter().filter(|message| header(message, "ce_replay") == "true");
    replays.map(|message| header(message, "ce_id").to_owned()).collect()
}

fn ids(count: usize) -> BTreeSet<String> {
    (0..count).map(|n| format!("d-{n}")).collect()
}

#[test]
fn quarantined_events_enter_again_at_their_contract_and_those_still_broken_stay() {
    let gateway = setup(&source("")).start();
    push(&gateway, "one", BROKEN);
    push(&gateway, "two", HOPELESS);
    push(&gateway, "three", BROKEN);
    assert_eq!(gateway.quarantine().len(), 3);

    let (code, said) = replay(&gateway, &["quarantine", "replay"]);
    assert_eq!((code, counts(&said)), (1, [0, 3, 0, 0]), "{said}");
    assert_eq!(said["stays"][0]["reason"], "contract");
    assert!(said["stays"][0]["violations"][0]["message"].is_string(), "{said}");
    assert_eq!(gateway.quarantine().len(), 3);

    mend(&gateway);
    let (code, said) = replay(&gateway, &["quarantine", "replay", "--dry-run"]);
    assert_eq!((code, counts(&said)), (1, [2, 1, 0, 0]), "{said}");
    assert_eq!(
        (gateway.quarantine().len(), gateway.journal().len()),
        (3, 0),
        "nothing was sent"
    );

    let (code, said) = replay(&gateway, &["quarantine", "replay"]);
    assert_eq!((code, counts(&said)), (1, [2, 1, 0, 0]), "{said}");
    assert_eq!(said["stays"][0]["id"], "two");
    let left = gateway.quarantine();
    assert_eq!((left.len(), &*left[0].id), (1, "two"));
    let events = gateway.journal();
    let ids: Vec<&str> = events.iter().map(|row| &*row.id).collect();
    assert_eq!(ids, ["one", "three"]);
    for event in &events {
        assert_eq!(event.data, BROKEN);
        assert_eq!(event.attributes["replay"], "true");
        assert_eq!(event.attributes["contract"], "passed");
        assert_eq!(event.attributes["dataschema"], "urn:hooksluice:contract:github:push:1");
        assert!(event.attributes.get("quarantinereason").is_none());
        assert!(event.attributes.get("violations").is_none());
    }

    let text = run(&gateway, &["quarantine", "replay"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("stays quarantine 2") && text.contains("0 replayed, 1 still break their contract"),
        "{text}"
    );
}

#[test]
fn quarantine_is_pruned_by_age_and_only_when_told_twice() {
    let gateway = setup(&source("")).start();
    push(&gateway, "one", BROKEN);
    push(&gateway, "two", BROKEN);
    let none = replay(&gateway, &["quarantine", "prune", "--before", "1h", "--yes"]);
    assert_eq!((none.0, &none.1["events"]), (0, &0.into()));
    let counted = replay(&gateway, &["quarantine", "prune", "--before", "0s"]);
    assert_eq!(
        (counted.0, &counted.1["events"], &counted.1["removed"]),
        (0, &2.into(), &false.into())
    );
    assert_eq!(gateway.quarantine().len(), 2);
    let removed = replay(&gateway, &["quarantine", "prune", "--before", "0s", "--yes"]);
    assert_eq!((removed.0, &removed.1["events"]), (0, &2.into()));
    assert_eq!(gateway.quarantine().len(), 0);
    let (code, said) = replay(&gateway, &["quarantine", "replay"]);
    assert_eq!((code, counts(&said)), (0, [0; 4]));
}

#[test]
fn events_are_selected_by_id_type_source_and_time() {
    let topic = fresh("replay-select");
    let gateway = setup(&(to_kafka(&topic, "") + &source(""))).start();
    for id in ["a", "b", "c"] {
        other(&gateway, id);
    }
    let all = ["events", "replay", "--to", "stream", "--dry-run"];
    for (which, taken) in [
        (vec![], 3),
        (vec!["--id", "a", "--id", "c"], 2),
        (vec!["--id", "b"], 1),
        (vec!["--type", "com.github.unheard_of"], 3),
        (vec!["--type", "com.github.*"], 3),
        (vec!["--type", "com.github.push", "--type", "com.other.*"], 0),
        (vec!["--source", "github"], 3),
        (vec!["--source", "gitlab"], 0),
        (vec!["--since", "1h"], 3),
        (vec!["--until", "1h"], 0),
        (
            vec!["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"],
            0,
        ),
    ] {
        let (code, said) = replay(&gateway, &[&all[..], &which].concat());
        assert_eq!((code, &said["replayed"]), (0, &taken.into()), "{which:?}: {said}");
    }
    // Where they lie is no place to send them to, unless it is named.
    let (code, said) = replay(&gateway, &["events", "replay"]);
    assert_eq!((code, counts(&said)), (1, [0, 0, 3, 0]), "{said}");
    let (code, said) = replay(&gateway, &["events", "replay", "--to", "journal", "--id", "a"]);
    assert_eq!((code, counts(&said)[0]), (0, 1), "{said}");
    let unknown = run(&gateway, &["events", "replay", "--to", "nowhere"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(2), "{said}");
    assert!(
        said.contains("no destination is called `nowhere`") && said.contains("stream"),
        "{said}"
    );
    let nonsense = run(&gateway, &["events", "replay", "--since", "yesterday"]);
    assert_eq!(nonsense.status.code(), Some(2));
}

#[test]
fn a_replay_has_the_same_id_and_is_marked_and_passes_by_the_duplicate_memory() {
    let topic = fresh("replay-twice");
    let gateway = setup(&(to_kafka(&topic, "") + &source(""))).start();
    other(&gateway, "a");
    other(&gateway, "b");
    for _ in 0..2 {
        let (code, said) = replay(&gateway, &["events", "replay", "--to", "stream"]);
        assert_eq!((code, counts(&said)), (0, [2, 0, 0, 0]), "{said}");
    }
    let messages = dump(&topic, 4);
    assert_eq!(messages.len(), 4, "both, twice");
    assert_eq!(marked(&messages), BTreeSet::from(["a".into(), "b".into()]));
    assert!(messages.iter().all(|message| message["sha256"] == sign::sha256(BROKEN)));
    other(&gateway, "a");
    assert_eq!(
        gateway.metric("hooksluice_deliveries_total", &["outcome=\"duplicate\""]),
        1.0,
        "the sender's own is still one"
    );
}

#[test]
fn a_killed_command_is_gone_on_with_and_nothing_is_lost() {
    let topic = fresh("replay-killed");
    let gateway = setup(&(to_kafka(&topic, "") + &source(""))).start();
    for id in ids(120) {
        other(&gateway, &id);
    }
    let slowly = ["events", "replay", "--to", "stream", "--rate", "40"];
    let mut child = begin(&gateway, &slowly);
    gateway.wait_for("some are replayed", |g| {
        replayed(g) >= 20.0 && noted(g.directory.path())
    });
    child.kill().expect("killed");
    child.wait().expect("it ends");
    gateway.wait_for("the run stops, for nobody listens", |g| g.log().contains("replay ends"));
    let first = replayed(&gateway);
    assert!(first < 120.0, "{first} of 120");

    // The rate is no part of which replay it is.
    let (code, said) = replay(&gateway, &["events", "replay", "--to", "stream"]);
    assert_eq!((code, &said["stopped"]), (0, &Value::Null), "{said}");
    let second = counts(&said)[0];
    assert!(second < 120, "it did not begin anew: {said}");
    assert!(!noted(gateway.directory.path()), "the note goes with the end");
    let messages = dump(&topic, 120);
    assert_eq!(marked(&messages), ids(120), "nothing lost, and all marked");

    let (code, said) = replay(&gateway, &["events", "replay", "--to", "stream", "--dry-run"]);
    assert_eq!((code, counts(&said)[0]), (0, 120), "a new run begins at the start");
}

#[test]
fn a_gateway_killed_in_the_middle_loses_nothing_and_leaves_nothing_unmarked() {
    let topic = fresh("replay-crash");
    let yaml = to_kafka(&topic, "journal: true") + &source(", destination: stream");
    let gateway = setup(&yaml).start();
    for id in ids(100) {
        push(&gateway, &id, BROKEN);
    }
    mend(&gateway);
    let child = begin(&gateway, &["quarantine", "replay", "--json", "--rate", "40"]);
    gateway.wait_for("some are replayed", |g| replayed(g) >= 20.0);
    let directory = gateway.kill();
    let output = child.wait_with_output().expect("it ends");
    let (code, said) = report(&output);
    assert_eq!(
        (code, &said["stopped"]),
        (1, &"the gateway ended in the middle of it".into()),
        "{said}"
    );
    let before = journal_rows(&directory.path().join("hooksluice.db"), "quarantine").len();
    assert!((1..100).contains(&before), "{before} left");

    let gateway = restart(&yaml, directory);
    let (code, said) = replay(&gateway, &["quarantine", "replay"]);
    assert_eq!((code, counts(&said)), (0, [before as u64, 0, 0, 0]), "{said}");
    assert_eq!(gateway.quarantine().len(), 0);
    let messages = dump(&topic, 100);
    assert_eq!(marked(&messages), ids(100));
    assert_eq!(
        marked(&messages).len(),
        messages
            .iter()
            .map(|m| header(m, "ce_id"))
            .collect::<BTreeSet<_>>()
            .len()
    );
}

fn restart(yaml: &str, directory: Arc<tempfile::TempDir>) -> Gateway {
    let yaml = format!("schemas: {{ paths: [\"{{dir}}/schemas\"] }}\n{yaml}");
    Setup::new(&yaml).directory(directory).start()
}

#[test]
fn what_cannot_be_confirmed_stays_and_the_run_says_where_it_stopped() {
    let topic = fresh("replay-down");
    let yaml = "destinations: { stream: { kafka: { bootstrap_servers: \"127.0.0.1:1\", topic: TOPIC }, quarantine: { journal: true } } }\n";
    let yaml = yaml.replace("TOPIC", &topic) + &source(", destination: stream");
    let gateway = setup(&yaml).start();
    push(&gateway, "one", BROKEN);
    mend(&gateway);
    let (code, said) = replay(&gateway, &["quarantine", "replay"]);
    assert_eq!((code, counts(&said)), (1, [0, 0, 1, 0]), "{said}");
    assert!(
        said["stopped"].as_str().is_some_and(|why| why.contains("quarantine 1")),
        "{said}"
    );
    assert_eq!(gateway.quarantine().len(), 1);
    assert_eq!(
        gateway.metric("hooksluice_spool_events", &[]),
        0.0,
        "the spool takes no replays"
    );
}

#[test]
fn without_a_gateway_the_command_does_it_alone() {
    let topic = fresh("replay-alone");
    let yaml = to_kafka(&topic, "journal: true") + &source(", destination: stream");
    let gateway = setup(&yaml).start();
    for id in ids(5) {
        push(&gateway, &id, BROKEN);
    }
    mend(&gateway);
    let config = gateway.config();
    let (status, _) = {
        let directory = gateway.directory.clone();
        let ended = gateway.stop();
        assert!(!directory.path().join("hooksluice.db.sock").exists());
        let output = command(&config, &["quarantine", "replay", "--json"])
            .output()
            .expect("it runs");
        let (code, said) = report(&output);
        assert_eq!((code, counts(&said)), (0, [5, 0, 0, 0]), "{said}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("no gateway runs here"));
        assert_eq!(
            journal_rows(&directory.path().join("hooksluice.db"), "quarantine").len(),
            0
        );
        ended
    };
    assert!(status.success());
    assert_eq!(marked(&dump(&topic, 5)), ids(5));

    let elsewhere = tempfile::tempdir().expect("a folder");
    let config = elsewhere.path().join("hooksluice.yaml");
    let yaml = format!(
        "journal: {{ path: \"{}/none.db\" }}\n{}",
        elsewhere.path().display(),
        source("")
    );
    fs::write(&config, yaml).expect("written");
    let output = command(&config, &["events", "replay", "--to", "journal"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        !elsewhere.path().join("none.db").exists(),
        "a wrong path makes no journal"
    );
}

#[test]
fn elements_of_a_batch_and_forms_are_judged_by_what_they_are() {
    use base64::Engine as _;
    let setup = setup(&format!(
        "sources:
  raw: {{ provider: github, secrets: [{{ value: {SECRET} }}] }}
  mapped: {{ provider: github, payload: json, secrets: [{{ value: {SECRET} }}] }}
  xero: {{ provider: xero, secrets: [{{ value: {SECRET} }}] }}
"
    ));
    fs::create_dir_all(setup.path().join("schemas/xero/default")).expect("folders");
    let gateway = setup.start();
    let form = b"payload=%7B%20%7D";
    for (source, id) in [("raw", "form"), ("mapped", "mapped")] {
        let signature = sign::github(SECRET, form);
        let headers = [
            ("x-github-event", "push"),
            ("x-github-delivery", id),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-hub-signature-256", &*signature),
        ];
        assert_eq!(gateway.post(&format!("/in/{source}"), &headers, form).status, 200);
    }
    let element = "{ \"resourceId\": \"r\",  \"eventType\": \"UPDATE\", \"eventCategory\": \"INVOICE\" }";
    let batch = format!("{{\"entropy\": \"e\", \"events\": [{element}]}}");
    let digest = sign::hmac_sha256(SECRET.as_bytes(), &[batch.as_bytes()]);
    let signature = base64::engine::general_purpose::STANDARD.encode(digest);
    let headers = [("content-type", "application/json"), ("x-xero-signature", &*signature)];
    assert_eq!(gateway.post("/in/xero", &headers, batch.as_bytes()).status, 200);
    assert_eq!(gateway.quarantine().len(), 3);
    let (code, said) = replay(&gateway, &["quarantine", "replay"]);
    assert_eq!(
        (code, counts(&said)),
        (1, [0, 3, 0, 0]),
        "the contract is as it was: {said}"
    );

    let any = "{ \"type\": \"object\" }";
    fs::write(gateway.path("schemas/xero/default/1.json"), any).expect("written");
    mend(&gateway);
    let (code, said) = replay(&gateway, &["quarantine", "replay"]);
    assert_eq!((code, counts(&said)), (0, [3, 0, 0, 0]), "{said}");
    let bodies: Vec<_> = gateway.journal().into_iter().map(|row| row.data).collect();
    assert_eq!(bodies, [&form[..], b"{ }", element.as_bytes()], "byte for byte");
}
