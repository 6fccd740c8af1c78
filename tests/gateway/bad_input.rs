//! Bad input gets a clear answer and loses nothing: every case goes through HTTP.

use std::io::Write;
use std::net::Shutdown;

use crate::support::gateway::Setup;
use crate::support::{Gateway, get, http, request, sign};

pub const SECRET: &str = "s3cret-of-the-tests";

pub fn gateway() -> Gateway {
    Setup::new(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, body_limit: 64KiB, body_timeout: 4s, min_rate: 1KiB }
sources:
  github: { provider: github, secrets: [{ name: now, value: s3cret-of-the-tests }] }
  strict: { provider: github, secrets: [{ value: s3cret-of-the-tests }], contract: { mode: enforce } }
  stripe: { provider: stripe, secrets: [{ value: whsec_tests }] }
  custom: { provider: hmac, secrets: [{ value: s3cret-of-the-tests }] }
",
    )
    .start()
}

pub fn signed(gateway: &Gateway, path: &str, body: &[u8]) -> http::Reply {
    let signature = sign::github(SECRET, body);
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", "ping"),
        ("x-github-delivery", "7c4f0d5e-0000-4000-8000-000000000001"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    gateway.post(path, &headers, body)
}

/// received = Σ outcomes, nothing in flight.
pub fn assert_books_balance(gateway: &Gateway) {
    gateway.wait_for("nothing is in flight", |g| {
        g.metric("hooksluice_deliveries_in_flight", &[]) == 0.0
    });
    let received = gateway.metric("hooksluice_deliveries_received_total", &[]);
    let ended = gateway.metric("hooksluice_deliveries_total", &[]);
    assert!(received > 0.0);
    assert_eq!(received, ended, "{}", gateway.metrics());
}

/// A source has one path, as it is written: nothing is decoded, folded or cut before the look-up.
#[test]
fn an_unknown_path_is_404_and_counts_as_unknown() {
    let gateway = gateway();
    let long = format!("/in/{}", "a".repeat(60_000));
    let paths = [
        "/",
        "/in",
        "/in/nobody",
        "/in/github/",
        "/in/github/extra",
        "/metrics",
        "//in/github",
        "/in//github",
        "/in/%67ithub",
        "/in/../metrics",
        "/in/./github",
        "/in/stripe/../github",
        "/in/%2e/github",
        "/in/%2e%2e/in/github",
        "/in%2fgithub",
        "/in%2Fgithub",
        "/in/github%2f",
        "/in/github%00",
        "/in/github%20",
        "/in/github%0d%0a",
        "/in/github;x=1",
        "/in/github/.",
        "/in/github.json",
        "/in/github,",
        "/IN/github",
        "/in/GitHub",
        "/in/github%3fx=1",
        &long,
    ];
    for path in paths {
        assert_eq!(gateway.post(path, &[], b"{}").status, 404, "{path}");
    }
    assert_eq!(
        gateway.metric(
            "hooksluice_deliveries_total",
            &["source=\"unknown\"", "outcome=\"rejected\""]
        ),
        paths.len() as f64
    );
    // What is no path at all is not looked up.
    let (address, _) = http::target(&gateway.ingress);
    for path in [
        &b"/in/github\\"[..],
        b"/in\\github",
        b"/in/github\xff",
        b"/in/github\xc3\xa9",
        b"/in/\x7fgithub",
        b"in/github",
    ] {
        let bytes = [b"POST ", path, b" HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"].concat();
        let status = http::raw(address, &bytes).status;
        assert!(
            [400, 404].contains(&status),
            "{}: {status}",
            String::from_utf8_lossy(path)
        );
    }
    assert_eq!(
        gateway.metric("hooksluice_deliveries_received_total", &["source=\"github\""]),
        0.0
    );
    assert_books_balance(&gateway);
}

#[test]
fn a_query_changes_nothing_for_who_does_not_sign_it() {
    let gateway = gateway();
    for (n, query) in [
        "?",
        "?a=1&a=2",
        "?%00",
        "?%zz",
        "?=&&=",
        "?x=/../..",
        "?;",
        "?a[]=1&a[0]=2",
    ]
    .iter()
    .enumerate()
    {
        let body = format!("{{\"n\":{n}}}");
        let signature = sign::github(SECRET, body.as_bytes());
        let headers = [("x-github-event", "unheard_of"), ("x-hub-signature-256", &*signature)];
        let reply = gateway.post(&format!("/in/github{query}"), &headers, body.as_bytes());
        assert_eq!(reply.status, 200, "{query}");
        let reply = gateway.post(&format!("/in/github{query}"), &[], body.as_bytes());
        assert_eq!(reply.status, 401, "{query}");
    }
    assert_books_balance(&gateway);
}

#[test]
fn a_challenge_in_the_query_is_answered_once_and_for_the_right_token_only() {
    let gateway = Setup::new(
        "sources:
  whatsapp: { provider: whatsapp-cloud, secrets: [{ value: s3cret }], settings: { verify_token: right } }
",
    )
    .start();
    let ask = |query: &str| get(&gateway.url(&format!("/in/whatsapp?{query}")));
    let good = ask("hub.mode=subscribe&hub.challenge=115&hub.verify_token=right");
    assert_eq!((good.status, good.text()), (200, "115"));
    let long = format!(
        "hub.mode=subscribe&hub.challenge={}&hub.verify_token=right",
        "1".repeat(1025)
    );
    for query in [
        "hub.mode=subscribe&hub.challenge=115&hub.verify_token=wrong",
        "hub.mode=subscribe&hub.challenge=115&hub.verify_token=wrong&hub.verify_token=right",
        "hub.mode=subscribe&hub.challenge=115&hub.verify_token=right&hub.verify_token=wrong",
        "hub.mode=subscribe&hub.challenge=115&hub.verify_token=",
        "hub.mode=subscribe&hub.challenge=115&hub.verify_token",
        "hub.mode=subscribe&hub.challenge=115",
        "hub.mode=subscribe&hub.challenge=115&HUB.VERIFY_TOKEN=right",
        "hub.mode=subscribe&hub.challenge=%00&hub.verify_token=right",
        "hub.mode=subscribe&hub.challenge=a%0d%0ab&hub.verify_token=right",
        "hub.mode=subscribe&hub.challenge=%ff&hub.verify_token=right",
        "hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=right",
        &long,
        "hub.verify_token=right",
        "",
    ] {
        let reply = ask(query);
        assert!((400..=401).contains(&reply.status), "{query}: {reply:?}");
    }
    let echoed = ask("hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=right");
    assert_eq!(echoed.header("x-content-type-options"), Some("nosniff"));
    assert!(
        !echoed.header("content-type").unwrap_or_default().contains("html"),
        "{echoed:?}"
    );
    assert_books_balance(&gateway);
}

#[test]
fn a_wrong_method_is_405_and_names_the_right_one() {
    let gateway = gateway();
    for method in ["GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"] {
        let reply = request(method, &gateway.url("/in/github"), &[], b"");
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.header("allow"), Some("POST"));
    }
    assert_books_balance(&gateway);
}

#[test]
fn a_bad_signature_is_401_and_the_sender_learns_nothing_more() {
    let gateway = gateway();
    let body = b"{}";
    let good = sign::github(SECRET, body);
    let upper = good.to_uppercase();
    let long = format!("sha256={}", "a".repeat(9000));
    let cases: Vec<Vec<(&str, &str)>> = vec![
        vec![],
        vec![("x-hub-signature-256", "")],
        vec![("x-hub-signature-256", "sha256=")],
        vec![("x-hub-signature-256", "sha256=zz")],
        vec![("x-hub-signature-256", &good[7..])],
        vec![("x-hub-signature-256", &upper)],
        vec![("x-hub-signature-256", &long)],
        vec![("x-hub-signature-256", &good), ("x-hub-signature-256", &good)],
        vec![("x-hub-signature", "sha1=0000")],
        vec![(
            "x-hub-signature-256",
            "sha256=0000000000000000000000000000000000000000000000000000000000000000",
        )],
    ];
    let mut answers = Vec::new();
    for headers in &cases {
        let mut headers = headers.clone();
        headers.push(("x-github-event", "ping"));
        let reply = gateway.post("/in/github", &headers, body);
        assert_eq!(reply.status, 401, "{headers:?}");
        answers.push(reply.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "every refusal reads the same");
    assert!(gateway.journal().is_empty());
    assert_eq!(
        gateway.metric("hooksluice_verify_failures_total", &["source=\"github\""]),
        cases.len() as f64
    );
    assert_books_balance(&gateway);
    assert!(
        !gateway.log().contains(SECRET) && !gateway.log().contains(&good[7..]),
        "{}",
        gateway.log()
    );
}

#[test]
fn a_stale_or_future_timestamp_is_401_with_a_reason_of_its_own() {
    let gateway = gateway();
    let body = br#"{"id":"evt_1","object":"event","type":"ping"}"#;
    for (offset, reason) in [(-3600, "stale"), (3600, "future")] {
        let signature = sign::stripe("whsec_tests", sign::now() + offset, body);
        assert_eq!(
            gateway
                .post("/in/stripe", &[("stripe-signature", &signature)], body)
                .status,
            401
        );
        let label = format!("reason=\"{reason}\"");
        assert_eq!(
            gateway.metric("hooksluice_verify_failures_total", &["source=\"stripe\"", &label]),
            1.0
        );
    }
    for timestamp in ["t=", "t=abc,", "t=1e9,", "t=-5,", "t=99999999999999999999,", ""] {
        let header = format!("{timestamp}v1={}", "0".repeat(64));
        assert_eq!(
            gateway
                .post("/in/stripe", &[("stripe-signature", &header)], body)
                .status,
            401,
            "{header}"
        );
    }
    assert_books_balance(&gateway);
}

#[test]
fn a_body_that_is_no_json_is_quarantined_byte_for_byte_and_acknowledged() {
    let gateway = gateway();
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let long_number = format!("{{\"n\":{}}}", "9".repeat(5000));
    let cases: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"{".to_vec(),
        b"{}{}".to_vec(),
        b"not json".to_vec(),
        b"{\"a\":1,\"a\":2}".to_vec(),
        b"{\"a\":{\"b\":1,\"b\":1}}".to_vec(),
        b"{\"a\":\"\xff\xfe\"}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\"a\":\"\\ud800\"}".to_vec(),
        b"{\"a\":\"\\udc00\\ud800\"}".to_vec(),
        b"{\"a\":\"\x00\"}".to_vec(),
        b"{\"a\":NaN}".to_vec(),
        b"{\"a\":01}".to_vec(),
        deep.into_bytes(),
        long_number.into_bytes(),
    ];
    for body in &cases {
        let reply = signed(&gateway, "/in/github", body);
        assert_eq!(
            reply.status,
            200,
            "{:?}",
            String::from_utf8_lossy(&body[..body.len().min(40)])
        );
    }
    let kept: Vec<Vec<u8>> = gateway.quarantine().into_iter().map(|row| row.data).collect();
    assert_eq!(kept, cases);
    assert!(gateway.journal().is_empty());
    assert_eq!(
        gateway.metric("hooksluice_deliveries_total", &["outcome=\"quarantined\""]),
        cases.len() as f64
    );
    assert_books_balance(&gateway);
}

#[test]
fn enforce_tells_the_sender_what_was_broken_and_publishes_nothing() {
    let gateway = gateway();
    let body = br#"{"zen":7}"#;
    let reply = signed(&gateway, "/in/strict", body);
    assert_eq!(reply.status, 422);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!(problem["status"], 422);
    let violations = problem["violations"].as_array().expect("violations");
    assert!(!violations.is_empty());
    for violation in violations {
        for field in ["pointer", "keyword", "schema", "message"] {
            assert!(violation[field].is_string(), "{violation}");
        }
    }
    assert_eq!(signed(&gateway, "/in/strict", b"{").status, 422);
    assert!(gateway.journal().is_empty() && gateway.quarantine().is_empty());
    assert_books_balance(&gateway);
}

#[test]
fn a_compressed_body_is_415() {
    let gateway = gateway();
    for encoding in ["gzip", "br", "deflate", "identity, gzip", "x-unknown"] {
        let reply = gateway.post("/in/github", &[("content-encoding", encoding)], b"{}");
        assert_eq!(reply.status, 415, "{encoding}");
    }
    assert_books_balance(&gateway);
}

#[test]
fn a_body_over_the_limit_is_413_whether_declared_or_chunked() {
    let gateway = gateway();
    let (address, _) = http::target(&gateway.ingress);
    let declared = b"POST /in/custom HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 65537\r\n\r\n";
    assert_eq!(http::raw(address, declared).status, 413);
    let mut chunked =
        b"POST /in/custom HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..9 {
        chunked.extend_from_slice(b"2000\r\n");
        chunked.extend_from_slice(&[b'a'; 0x2000]);
        chunked.extend_from_slice(b"\r\n");
    }
    assert_eq!(http::raw(address, &chunked).status, 413);
    assert_books_balance(&gateway);
}

#[test]
fn a_chunked_body_is_taken_like_any_other() {
    let gateway = gateway();
    let (address, _) = http::target(&gateway.ingress);
    let body = br#"{"zen":"Keep it logically awesome."}"#;
    let mut bytes = format!(
        "POST /in/github HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\nx-github-event: unheard_of\r\nx-hub-signature-256: {}\r\n\r\n",
        sign::github(SECRET, body)
    )
    .into_bytes();
    for piece in body.chunks(7) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(http::raw(address, &bytes).status, 200);
    assert_eq!(gateway.journal()[0].data, body);
}

#[test]
fn a_body_that_is_cut_off_counts_as_aborted() {
    let gateway = gateway();
    let (address, _) = http::target(&gateway.ingress);
    let mut stream = http::connect(address);
    stream
        .write_all(b"POST /in/github HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{")
        .expect("sent");
    stream.shutdown(Shutdown::Both).expect("gone");
    drop(stream);
    gateway.wait_for("the delivery is counted", |g| {
        g.metric("hooksluice_deliveries_total", &["outcome=\"aborted\""]) == 1.0
    });
    assert_books_balance(&gateway);
}

#[test]
fn nothing_of_this_stops_a_good_delivery() {
    let gateway = gateway();
    assert_eq!(signed(&gateway, "/in/github", b"{").status, 200);
    assert_eq!(gateway.post("/in/github", &[], b"{}").status, 401);
    let body = br#"{"n":1}"#;
    let signature = sign::github(SECRET, body);
    let headers = [
        ("x-github-event", "unheard_of"),
        ("x-github-delivery", "d-1"),
        ("x-hub-signature-256", &*signature),
    ];
    let reply = gateway.post("/in/github", &headers, body);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("hooksluice-event-id"), Some("d-1"));
    assert_eq!(gateway.journal()[0].data, body);
    assert_eq!(get(&format!("{}/readyz", gateway.admin)).status, 200);
    assert_books_balance(&gateway);
}
