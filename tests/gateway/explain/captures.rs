//! Captures: what curl itself prints, what browsers copy, what loggers write.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hooksluice::explain::capture::{CaptureError, Captured, Note, read};

const BODY: &[u8] = b"{\"text\":\"it's \\\"n\xc3\xa4mlich\\\"\",\r\n \"n\":1}\n";

fn no_file(name: &str) -> Result<Vec<u8>, String> {
    Err(format!("no file {name}"))
}

fn one(text: &[u8]) -> Captured {
    let mut all = read(text, &|name| {
        if name == "body.json" {
            Ok(BODY.to_vec())
        } else {
            no_file(name)
        }
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn header<'c>(captured: &'c Captured, name: &str) -> &'c str {
    let found = captured
        .headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value)
}

#[test]
fn a_curl_command_is_read_as_a_shell_reads_it() {
    let typed = "curl -sS -X POST 'https://a.example/in/x?y=1' \\\n  -H 'X-Signature: sha256=ab' -H \"Content-Type: application/json\" --data-binary @body.json";
    let captured = one(typed.as_bytes());
    assert_eq!(
        (captured.method.as_str(), captured.url.as_str()),
        ("POST", "https://a.example/in/x?y=1")
    );
    assert_eq!(header(&captured, "x-signature"), "sha256=ab");
    assert_eq!(captured.body.as_deref(), Some(BODY));

    let copied = r#"curl https://a.example/ --data-raw $'{"a":"it\'s \u00e4\n"}' --compressed"#;
    let captured = one(copied.as_bytes());
    assert_eq!(captured.method, "POST");
    assert_eq!(captured.body.as_deref(), Some("{\"a\":\"it's ä\n\"}".as_bytes()));
    assert_eq!(header(&captured, "content-type"), "application/x-www-form-urlencoded");

    let quoted = r#"curl -d "a=\"1\"" -d b=2 https://a.example/"#;
    assert_eq!(one(quoted.as_bytes()).body.as_deref(), Some(&b"a=\"1\"&b=2"[..]));
    for (bad, words) in [
        ("curl 'x", "not closed"),
        ("curl -F a=b http://x/", "--body FILE"),
        ("curl -d @none http://x/", "no file none"),
    ] {
        let error = read(bad.as_bytes(), &no_file).expect_err(bad).to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// What `sign` prints is read back as it was.
#[test]
fn raw_http_is_read_with_crlf_and_lf_folded_and_in_chunks() {
    for end in ["\r\n", "\n"] {
        let head = [
            "POST /in/x?y=1 HTTP/1.1",
            "Host: a.example",
            "X-Long: one",
            "  two",
            "",
            "",
        ]
        .join(end);
        let captured = one(&[head.as_bytes(), BODY].concat());
        assert_eq!(
            (captured.url.as_str(), header(&captured, "x-long")),
            ("/in/x?y=1", "one two")
        );
        assert_eq!(captured.notes, [Note::Folded("X-Long".into())]);
        assert_eq!(captured.body.as_deref(), Some(BODY));
        let delivery = captured
            .delivery(None, "2026-12-01T09:00:00Z".parse().expect("a time"))
            .expect("a delivery");
        assert_eq!(
            (delivery.url.as_str(), delivery.path.as_str(), delivery.query.as_str()),
            ("http://a.example/in/x?y=1", "/in/x", "y=1")
        );
        let called = captured
            .delivery(Some("https://b.example/hook"), delivery.received)
            .expect("a delivery");
        assert_eq!(
            (called.url.as_str(), called.path.as_str()),
            ("https://b.example/hook?y=1", "/in/x")
        );
    }
    let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
    assert_eq!(one(chunked).body.as_deref(), Some(&b"abcde"[..]));
    let cut = one(b"POST / HTTP/1.1\nContent-Length: 10\n\nabc");
    assert_eq!(cut.notes, [Note::BodyCut]);
}

#[test]
fn documents_are_read_under_the_names_that_are_in_use() {
    let text = std::str::from_utf8(BODY).expect("text");
    let har = serde_json::json!({ "log": { "version": "1.2", "entries": [{
        "startedDateTime": "2026-12-01T09:00:00.000Z",
        "request": { "method": "POST", "url": "https://a.example/in/x", "headers": [{ "name": "X-Signature", "value": "ab" }],
            "postData": { "mimeType": "application/json", "text": text } },
    }] } });
    let lambda = serde_json::json!({ "version": "2.0", "rawPath": "/in/x", "rawQueryString": "y=1",
        "headers": { "x-signature": "ab" }, "requestContext": { "http": { "method": "POST" }, "timeEpoch": 1796115600000_i64 },
        "body": STANDARD.encode(BODY), "isBase64Encoded": true });
    let logged = serde_json::json!({ "method": "POST", "url": "/in/x", "headers": { "X-Signature": ["ab"] }, "body": text,
        "received": "2026-12-01T09:00:00Z" });
    for document in [har, lambda, logged] {
        let captured = one(document.to_string().as_bytes());
        assert_eq!(
            (captured.method.as_str(), header(&captured, "x-signature")),
            ("POST", "ab"),
            "{document}"
        );
        assert_eq!(captured.body.as_deref(), Some(BODY), "{document}");
        assert_eq!(captured.at.map(|at| at.as_second()), Some(1_796_115_600), "{document}");
    }
    let parsed = one(br#"{"headers":{"a":"b"},"body":{"x":1}}"#);
    assert_eq!(
        (parsed.notes, parsed.body.as_deref()),
        (vec![Note::BodyParsed], Some(&br#"{"x":1}"#[..]))
    );
}

#[test]
fn what_is_no_request_is_refused() {
    for bad in ["", "hello", "{}", "[]", "> ", "<xml/>"] {
        assert_eq!(read(bad.as_bytes(), &no_file), Err(CaptureError::Unknown), "{bad:?}");
    }
    assert!(matches!(
        read(b"{\"headers\":", &no_file),
        Err(CaptureError::Malformed(_))
    ));
}

/// What curl prints of one request that it really sends.
fn curl(options: &[&str], body: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/in/x?y=1", listener.local_addr().expect("an address"));
    let length = body.len();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("curl");
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let count = stream.read(&mut buffer).expect("readable");
            seen.extend_from_slice(&buffer[..count]);
            let head = seen.windows(4).position(|window| window == b"\r\n\r\n");
            if count == 0 || head.is_some_and(|at| seen.len() >= at + 4 + length) {
                break;
            }
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        stream.write_all(answer).expect("written");
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("body");
    std::fs::write(&file, body).expect("written");
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-X", "POST", "-H", "X-Signature: ab"])
        .args(["-H", "Content-Type: application/json", "-H", "Expect:"])
        .args(options)
        .arg("--data-binary")
        .arg(format!("@{}", file.display()))
        .arg(&url)
        .output()
        .expect("curl runs");
    server.join().expect("served");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn what_curl_traces_of_itself_is_read_back() {
    for options in [&["--trace", "-"][..], &["--trace-time", "--trace", "-"]] {
        let captured = one(curl(options, BODY).as_bytes());
        assert_eq!((captured.method.as_str(), captured.url.as_str()), ("POST", "/in/x?y=1"));
        assert_eq!(header(&captured, "x-signature"), "ab");
        assert_eq!(captured.body.as_deref(), Some(BODY), "every byte, under {options:?}");
        assert!(captured.notes.is_empty(), "{captured:?}");
    }
    let plain = br#"{"text":"one line of more than sixty-four characters, so that it goes on","n":1}"#;
    let captured = one(curl(&["--trace-ascii", "-"], plain).as_bytes());
    assert_eq!(captured.body.as_deref(), Some(&plain[..]));
    let captured = one(curl(&["--trace-ascii", "-"], b"a\r\nb.c\r\n").as_bytes());
    assert_eq!(captured.body.as_deref(), Some(&b"a\r\nb.c\r\n"[..]));
    assert_eq!(
        captured.notes,
        [Note::BodyShownLossily],
        "a dot may stand for another byte"
    );

    let captured = one(curl(&["-v"], plain).as_bytes());
    assert_eq!(header(&captured, "x-signature"), "ab");
    assert_eq!(captured.body, None, "curl -v does not show it");
}
