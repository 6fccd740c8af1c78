//! The command: sources and providers, standard input, exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::gateway::BINARY;

const SECRET: &str = "a-secret-of-the-samples";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        let config = format!(
            "journal: {{ path: journal.db }}\nsources:\n  chat: {{ provider: slack, secrets: [{{ value: {SECRET} }}] }}\n  other: {{ provider: slack, secrets: [{{ value: another-secret }}] }}\n"
        );
        folder.write("hooksluice.yaml", config.as_bytes());
        folder.write("capture.json", capture().to_string().as_bytes());
        folder
    }

    fn write(&self, name: &str, text: &[u8]) {
        std::fs::write(self.0.path().join(name), text).expect("written");
    }

    fn run(&self, args: &[&str], stdin: &[u8]) -> (i32, String, String) {
        let mut child = Command::new(BINARY)
            .args(args)
            .current_dir(self.0.path())
            .env_remove("HOOKSLUICE_CONFIG")
            .env("TEST_SECRET", SECRET)
            .env("TEST_OTHER", "another-secret")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        // A command that does not read it may be gone already.
        let _ = child.stdin.take().expect("piped").write_all(stdin);
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (status.code().expect("it exits"), text(stdout), text(stderr))
    }
}

/// Slack's recorded delivery, as a logger would write it.
fn capture() -> Value {
    let body = std::fs::read_to_string("schemas/slack/samples/app_mention.json").expect("the sample");
    json!({ "method": "POST", "url": "/in/chat", "received": "2026-12-01T09:00:00Z", "body": body, "headers": {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": "1796115600",
        "X-Slack-Signature": "v0=6d6ee55c1c6191d837610320fa25a4d49d04821a822d6c3f329ed687234d525a",
    } })
}

#[test]
fn exit_codes_tell_whether_it_verifies() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["explain", "chat", "capture.json"], b"");
    assert_eq!(
        (code, out.starts_with("ok verifies: hmac-sha256")),
        (0, true),
        "{out}{err}"
    );

    let mut bent = capture();
    bent["body"] = format!("{}\n", bent["body"].as_str().expect("text")).into();
    let (code, out, _) = folder.run(&["explain", "chat", "--json"], bent.to_string().as_bytes());
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, &report["verifies"], &report["step"]),
        (1, &false.into(), &"signature".into()),
        "{out}"
    );
    assert_eq!(report["causes"][0]["mistake"], "body-newline", "{out}");
    assert_eq!(report["causes"][0]["proved"], true, "{out}");
    let (code, out, _) = folder.run(&["explain", "chat"], bent.to_string().as_bytes());
    assert_eq!((code, out.contains("cause a line break was added")), (1, true), "{out}");
    assert!(!out.contains(SECRET) && !out.contains("6d6ee55c"), "{out}");

    for (args, words) in [
        (vec!["explain", "chat", "none.json"], "none.json"),
        (vec!["explain", "chta", "capture.json"], "did you mean `chat`?"),
        (vec!["explain", "slack", "capture.json"], "name one (chat, other)"),
        (
            vec!["explain", "slack", "capture.json", "--secret-env", "NOT_SET_HERE"],
            "`NOT_SET_HERE` is not set",
        ),
        (vec!["explain", "chat", "capture.json", "--at", "noon"], "--at noon"),
        (vec!["explain", "chat", "hooksluice.yaml"], "no request that is known"),
    ] {
        let (code, out, err) = folder.run(&args, b"");
        assert_eq!((code, err.contains(words)), (2, true), "{args:?}: {out}{err}");
    }
}

#[test]
fn a_provider_needs_no_configuration() {
    let folder = Folder::new();
    let provider = ["explain", "slack", "capture.json", "--secret-env"];
    let (code, out, err) = folder.run(&[&provider[..], &["TEST_SECRET"]].concat(), b"");
    assert_eq!(code, 0, "{out}{err}");
    folder.write("key", format!("{SECRET}\n").as_bytes());
    let (code, out, err) = folder.run(&["explain", "slack", "capture.json", "--secret-file", "key"], b"");
    assert_eq!(code, 0, "{out}{err}");
    let later = [&provider[..], &["TEST_SECRET", "--at", "1796202000"]].concat();
    let (code, out, _) = folder.run(&later, b"");
    assert_eq!((code, out.contains("was 24 h old")), (1, true), "{out}");
    let (code, out, _) = folder.run(&[&provider[..], &["TEST_OTHER"]].concat(), b"");
    assert_eq!((code, out.contains("likely ")), (1, true), "{out}");
}

#[test]
fn the_secret_of_another_source_of_the_configuration_is_tried() {
    let folder = Folder::new();
    let (code, out, _) = folder.run(&["explain", "other", "capture.json"], b"");
    assert_eq!((code, out.contains("the secret of source `chat`")), (1, true), "{out}");
}

/// What `sign` prints as a curl line is a delivery that verifies.
#[test]
fn the_curl_line_of_sign_verifies() {
    let folder = Folder::new();
    let to = ["--secret-env", "TEST_SECRET", "--to", "http://127.0.0.1:1/in/x"];
    let (code, out, err) = folder.run(&[&["sign", "slack", "app_mention"][..], &to].concat(), b"");
    assert_eq!(code, 0, "{err}");
    let curl = out.split_once("\n\n").expect("a curl line").1;
    let (code, out, err) = folder.run(&["explain", "slack", "--secret-env", "TEST_SECRET"], curl.as_bytes());
    assert_eq!(code, 0, "{out}{err}");
}
