//! The command line as an operator types it: output, exit codes, and the way from `quickstart` to an event.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::gateway::{BINARY, Setup};
use crate::support::http;

fn run(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("the binary runs")
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).current_dir(folder).env_remove("HOOKSLUICE_CONFIG");
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it exits")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", stdout(output), stderr(output)))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A running quickstart in a folder.
struct Quickstart {
    child: Child,
    report: Value,
}

impl Quickstart {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = command(folder, &["quickstart", "--json"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let report = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, report }
    }

    fn first(folder: &Path) -> Self {
        Self::start(folder, &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
    }

    fn url(&self, source: &str) -> String {
        let sources = self.report["sources"].as_array().expect("sources");
        let source = sources
            .iter()
            .find(|entry| entry["name"] == source)
            .expect("the source");
        source["url"].as_str().expect("a URL").to_owned()
    }

    fn admin(&self) -> &str {
        self.report["admin"].as_str().expect("a URL")
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn from_quickstart_to_an_event_for_each_of_four_sources() {
    let folder = folder();
    let quickstart = Quickstart::first(folder.path());
    let config = folder.path().join("hooksluice-quickstart/hooksluice.yaml");
    assert_eq!(config.metadata().expect("written").permissions().mode() & 0o777, 0o600);
    let mut ids = Vec::new();
    for (source, provider, event) in [
        ("github", "github", "push"),
        ("stripe", "stripe", "invoice.paid"),
        ("local", "standard-webhooks", "default"),
        ("custom", "hmac", "order.shipped"),
    ] {
        let sent = run(
            folder.path(),
            &["send", provider, event, "--json", "--to", &quickstart.url(source)],
        );
        assert_eq!(code(&sent), 0, "{}{}", stdout(&sent), stderr(&sent));
        assert_eq!(json(&sent)["status"], 200);
        ids.push(json(&sent)["eventId"].as_str().expect("an id").to_owned());
    }
    let listed = json(&run(folder.path(), &["events", "list", "--json"]));
    let listed: Vec<_> = listed
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(listed, ids);
    let shown = json(&run(folder.path(), &["events", "show", "1", "--json"]));
    assert_eq!(
        (&shown["type"], &shown["attributes"]["contract"]),
        (&"com.github.push".into(), &"passed".into())
    );
    let by_id = run(folder.path(), &["events", "show", &ids[0], "--body"]);
    assert_eq!(
        by_id.stdout,
        std::fs::read("schemas/github/samples/push.json").expect("the sample"),
        "byte for byte"
    );
    let one = json(&run(
        folder.path(),
        &["events", "list", "--json", "--type", "com.stripe.*", "--since", "1h"],
    ));
    assert_eq!(one.as_array().expect("events").len(), 1);
}

#[test]
fn a_header_that_is_asked_for_stands_in_place_of_the_signature() {
    let folder = tempfile::tempdir().expect("a folder");
    let quickstart = Quickstart::first(folder.path());
    let to = quickstart.url("github");
    let forged = "X-Hub-Signature-256: sha256=00";
    let sent = run(folder.path(), &["send", "github", "push", "-H", forged, "--to", &to]);
    assert!(stdout(&sent).starts_with("401 "), "{sent:?}");
    let signed = run(folder.path(), &["sign", "github", "push", "--json", "-H", forged]);
    assert_eq!(json(&signed)["headers"]["x-hub-signature-256"], "sha256=00");
    // One that is signed is signed as it was asked for.
    let sent = run(
        folder.path(),
        &[
            "send",
            "stripe",
            "-H",
            "X-Any: thing",
            "--to",
            &quickstart.url("stripe"),
        ],
    );
    assert!(stdout(&sent).starts_with("200 "), "{sent:?}");
}

#[test]
fn a_first_quickstart_whose_port_is_taken_says_which_option_helps_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for option in ["--listen", "--admin-listen"] {
        let other = if option == "--listen" {
            "--admin-listen"
        } else {
            "--listen"
        };
        let refused = run(folder.path(), &["quickstart", option, &address, other, "127.0.0.1:0"]);
        assert_eq!(code(&refused), 1);
        assert!(
            stderr(&refused).contains(&format!("another address with `{option}`")),
            "{refused:?}"
        );
        assert!(!folder.path().join("hooksluice-quickstart").exists());
    }
}

#[test]
fn a_second_quickstart_goes_on_with_secrets_and_events() {
    let folder = folder();
    let first = Quickstart::first(folder.path());
    assert_eq!(first.report["fresh"], true);
    let sent = run(folder.path(), &["send", "github", "ping", "--to", &first.url("github")]);
    assert_eq!(code(&sent), 0, "{}", stderr(&sent));
    let config = std::fs::read(folder.path().join("hooksluice-quickstart/hooksluice.yaml")).expect("written");
    drop(first);
    let refused = run(folder.path(), &["quickstart", "--listen", "127.0.0.1:0"]);
    assert_eq!(
        code(&refused),
        2,
        "an address that would not be taken is refused: {}",
        stderr(&refused)
    );
    let second = Quickstart::start(folder.path(), &[]);
    assert_eq!(second.report["fresh"], false);
    assert_eq!(
        std::fs::read(folder.path().join("hooksluice-quickstart/hooksluice.yaml")).expect("still there"),
        config
    );
    assert_eq!(
        json(&run(folder.path(), &["events", "list", "--json"]))
            .as_array()
            .expect("events")
            .len(),
        1
    );
}

#[test]
fn what_sign_prints_is_accepted() {
    let folder = folder();
    let quickstart = Quickstart::first(folder.path());
    let url = quickstart.url("local");
    let signed = json(&run(
        folder.path(),
        &["sign", "standard-webhooks", "default", "--json", "--to", &url],
    ));
    let headers: Vec<(&str, &str)> = signed["headers"]
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
        .collect();
    let body = signed["body"].as_str().expect("a body");
    assert_eq!(http::post(&url, &headers, body.as_bytes()).status, 200);
    assert_eq!(http::post(&url, &headers, b"{}").status, 401);
    let text = stdout(&run(
        folder.path(),
        &["sign", "standard-webhooks", "default", "--to", &url],
    ));
    assert!(text.lines().any(|line| line.starts_with("curl -X POST -H ")), "{text}");
}

#[test]
fn send_takes_other_bytes_headers_and_secrets() {
    let folder = folder();
    let quickstart = Quickstart::first(folder.path());
    let url = quickstart.url("github");
    std::fs::write(folder.path().join("body.json"), b"{\"zen\": \"x\"}").expect("written");
    let own = [
        "send",
        "github",
        "mine",
        "--json",
        "--body",
        "body.json",
        "-H",
        "X-GitHub-Delivery: one",
        "--to",
        &url,
    ];
    let sent = run(folder.path(), &own);
    assert_eq!(
        (code(&sent), &json(&sent)["eventId"]),
        (0, &"one".into()),
        "{}",
        stderr(&sent)
    );
    let body = run(folder.path(), &["events", "show", "one", "--body"]);
    assert_eq!(stdout(&body), "{\"zen\": \"x\"}");
    let wrong = command(
        folder.path(),
        &["send", "github", "push", "--secret-env", "WRONG", "--to", &url],
    )
    .env("WRONG", "wrong")
    .output();
    let wrong = wrong.expect("the binary runs");
    assert_eq!(code(&wrong), 1);
    assert!(stdout(&wrong).starts_with("401 "), "{}", stdout(&wrong));
}

#[test]
fn send_says_clearly_why_it_cannot() {
    let folder = folder();
    for (args, words) in [
        (vec!["send", "github"], "no configuration"),
        (
            vec![
                "send",
                "github",
                "--secret-env",
                "NOT_SET_HERE",
                "--to",
                "http://127.0.0.1:1/x",
            ],
            "`NOT_SET_HERE` is not set",
        ),
        (
            vec!["send", "gihub", "--secret-env", "PATH", "--to", "http://127.0.0.1:1/x"],
            "did you mean `github`?",
        ),
        (
            vec![
                "send",
                "github",
                "psh",
                "--secret-env",
                "PATH",
                "--to",
                "http://127.0.0.1:1/x",
            ],
            "did you mean `push`?",
        ),
        (
            vec!["send", "github", "--secret-env", "PATH", "--to", "nowhere"],
            "is not a URL",
        ),
        (
            vec![
                "send",
                "github",
                "--secret-env",
                "PATH",
                "--to",
                "http://127.0.0.1:1/x",
                "-H",
                "nocolon",
            ],
            "Name: value",
        ),
        (
            vec![
                "send",
                "discord",
                "--secret-env",
                "PATH",
                "--to",
                "http://127.0.0.1:1/x",
            ],
            "private key",
        ),
    ] {
        let output = run(folder.path(), &args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(words),
            "`{words}` is not in: {}",
            stderr(&output)
        );
    }
    let nobody = run(
        folder.path(),
        &["send", "github", "--secret-env", "PATH", "--to", "http://127.0.0.1:1/x"],
    );
    assert_eq!(code(&nobody), 1);
    assert!(
        stderr(&nobody).contains("is the gateway running?"),
        "{}",
        stderr(&nobody)
    );
}

#[test]
fn a_tail_shows_events_as_they_arrive() {
    let folder = folder();
    let quickstart = Quickstart::first(folder.path());
    let mut tail = command(folder.path(), &["events", "tail", "--json", "-n", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        let sent = run(
            folder.path(),
            &["send", "github", "ping", "--json", "--to", &quickstart.url("github")],
        );
        let line: Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
        assert_eq!(line["id"], json(&sent)["eventId"]);
    }
    tail.kill().expect("killed");
    tail.wait().expect("it ends");
}

#[test]
fn quarantine_says_why() {
    let folder = folder();
    let quickstart = Quickstart::first(folder.path());
    std::fs::write(folder.path().join("body.json"), b"{}").expect("written");
    let sent = run(
        folder.path(),
        &[
            "send",
            "github",
            "push",
            "--body",
            "body.json",
            "--to",
            &quickstart.url("github"),
        ],
    );
    assert_eq!(code(&sent), 0, "quarantined is acknowledged: {}", stderr(&sent));
    let listed = json(&run(folder.path(), &["quarantine", "list", "--json"]));
    assert_eq!(listed[0]["reason"], "contract");
    let shown = stdout(&run(folder.path(), &["quarantine", "show", "1"]));
    assert!(shown.contains("\"ref\" is a required property"), "{shown}");
    let none = run(folder.path(), &["quarantine", "show", "2"]);
    assert_eq!((code(&none), stderr(&none).contains("no event `2`")), (1, true));
}

#[test]
fn health_tells_by_its_exit_code() {
    let folder = folder();
    let quickstart = Quickstart::first(folder.path());
    let healthy = run(folder.path(), &["health", quickstart.admin()]);
    assert_eq!((code(&healthy), stdout(&healthy).trim()), (0, "ready"));
    let nobody = run(folder.path(), &["health", "http://127.0.0.1:1", "--json"]);
    assert_eq!((code(&nobody), &json(&nobody)["ready"]), (1, &Value::Bool(false)));
}

#[test]
fn usage_and_configuration_end_with_2() {
    let folder = folder();
    for args in [
        vec!["sreve"],
        vec![],
        vec!["serve", "--nonsense"],
        vec!["serve"],
        vec!["check"],
        vec!["events", "list"],
        vec!["providers", "gihub"],
    ] {
        let output = run(folder.path(), &args);
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(!stderr(&output).is_empty(), "{args:?} says why");
        assert!(output.stdout.is_empty(), "{args:?}: errors go to standard error");
    }
    for args in [
        vec!["--help"],
        vec!["send", "--help"],
        vec!["--version"],
        vec!["completions", "bash"],
    ] {
        assert_eq!(code(&run(folder.path(), &args)), 0, "{args:?}");
    }
}

#[test]
fn check_and_serve_say_every_problem_at_once() {
    let yaml = "schemas: { paths: [{dir}/schemas] }
sources:
  a: { provider: github, secrts: [] }
  b: { provider: github }
  c: { provider: gitlab, secrets: [{ value: x }], signature: tokn }
  d: { provider: mine, secrets: [{ value: x }] }
";
    let setup = Setup::new(yaml);
    let mine = setup.path().join("schemas/mine");
    std::fs::create_dir_all(mine.join("order")).expect("folders");
    let definition = "extends = \"github\"\n";
    std::fs::write(mine.join("provider.toml"), definition).expect("written");
    std::fs::write(mine.join("order/1.json"), "{ \"type\": 5 }").expect("written");
    let path = setup.write();
    let report = run(
        setup.path(),
        &["check", "--json", "--config", &path.display().to_string()],
    );
    assert_eq!(code(&report), 2);
    let problems = json(&report)["problems"].clone();
    let said = |source: &str, words: &str| {
        let all = problems.as_array().expect("problems");
        all.iter().any(|problem| {
            problem["place"].as_str().is_some_and(|place| place.starts_with(source))
                && problem["message"].as_str().is_some_and(|m| m.contains(words))
        })
    };
    assert!(said("sources.a.secrts", "did you mean `secrets`?"), "{problems}");
    assert!(said("sources.b", "secrets"), "{problems}");
    assert!(said("sources.c", "`tokn`"), "{problems}");
    assert!(said("sources.d", "order/1.json"), "{problems}");
    let (code, refused) = setup.refuse();
    assert_eq!(code, 2);
    assert_eq!(
        refused.lines().count(),
        problems.as_array().expect("problems").len(),
        "{refused}"
    );
}

#[test]
fn providers_are_listed_and_shown_with_lines_that_load() {
    let folder = folder();
    let listed = json(&run(folder.path(), &["providers", "--json"]));
    let names: Vec<&str> = listed
        .as_array()
        .expect("providers")
        .iter()
        .map(|entry| entry["name"].as_str().expect("a name"))
        .collect();
    assert!(names.len() >= 16 && names.contains(&"github"), "{names:?}");
    assert!(stdout(&run(folder.path(), &["providers"])).lines().count() > names.len());
    for name in names {
        let shown = json(&run(folder.path(), &["providers", name, "--json"]));
        let snippet = shown["snippet"].as_str().expect("lines for the configuration");
        let path = folder.path().join("snippet.yaml");
        std::fs::write(&path, format!("journal: {{}}\n{snippet}\n")).expect("written");
        let checked = run(folder.path(), &["check", "--json", "--config", "snippet.yaml"]);
        let problems = json(&checked)["problems"].clone();
        // All that may be wrong is what only the user can give: variables that are not set.
        for problem in problems.as_array().expect("problems") {
            assert!(
                problem["message"]
                    .as_str()
                    .is_some_and(|message| message.contains("is not set")),
                "{name}: {problem}"
            );
        }
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = command(Path::new("."), &["providers", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let mut said = String::new();
    child
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut said)
        .expect("text");
    assert!(child.wait().expect("it ends").success(), "{said}");
    assert_eq!(said, "");
}
