//! Senders that want to cost more than they spend: slow heads and bodies, floods, bombs.

use std::io::{Read, Write};

use crate::bad_input::{SECRET, assert_books_balance, gateway, signed};
use crate::support::{http, sign};

#[test]
fn headers_beyond_the_limit_are_431() {
    let gateway = gateway();
    let (address, _) = http::target(&gateway.ingress);
    let with = |count: usize, value: &str| {
        let mut head = b"POST /in/github HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n".to_vec();
        for index in 0..count {
            head.extend_from_slice(format!("x-{index}: {value}\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        http::raw(address, &head).status
    };
    assert_eq!(with(94, "1"), 401, "96 in all");
    for count in [95, 200, 10_000] {
        assert_eq!(with(count, "1"), 431, "{count}");
    }
    assert_eq!(with(1, &"a".repeat(100_000)), 401, "below 128 KiB in all");
    assert_eq!(with(1, &"a".repeat(256 * 1024)), 431);
    assert_eq!(with(90, &"a".repeat(2048)), 431);
    // One name that never ends, and a line that never ends.
    for start in [&b"POST /in/github HTTP/1.1\r\nhost: a\r\n"[..], b"POST /", b"P"] {
        let mut endless = start.to_vec();
        endless.resize(start.len() + 256 * 1024, b'a');
        assert_eq!(http::raw(address, &endless).status, 431);
    }
    assert_books_balance(&gateway);
}

#[test]
fn a_head_that_arrives_slowly_is_408_however_it_drips() {
    let gateway = gateway();
    let (address, _) = http::target(&gateway.ingress);
    let mut idle = http::connect(address);
    idle.write_all(b"POST /in/github HTTP/1.1\r\nhost: a\r\n")
        .expect("sent");
    assert_eq!(http::read_reply(&mut idle).status, 408);
    let mut stream = http::connect(address);
    let mut reader = stream.try_clone().expect("a second handle");
    let dripping = std::thread::spawn(move || {
        let _ = stream.write_all(b"POST /in/github HTTP/1.1\r\nhost: a\r\nx-drip: ");
        // Ends when the gateway no longer takes it; a gateway that never tires shows as a hang of the reader.
        while stream.write_all(b"a").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    assert_eq!(http::read_reply(&mut reader).status, 408);
    drop(reader);
    dripping.join().expect("ended");
    assert_eq!(signed(&gateway, "/in/github", b"{").status, 200);
}

/// Half a second head would hold a connection for ever: strangers get no second one.
#[test]
fn only_who_proved_itself_keeps_its_connection() {
    let gateway = gateway();
    let (address, _) = http::target(&gateway.ingress);
    let stranger: [&[u8]; 4] = [
        b"POST /in/github HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /in/nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        b"GET /in/github HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST /in/github HTTP/1.1\r\nhost: a\r\ncontent-encoding: br\r\ncontent-length: 0\r\n\r\n",
    ];
    for bytes in stranger {
        // Reads until the gateway closes.
        let reply = http::raw(address, bytes);
        assert_eq!(reply.header("connection"), Some("close"), "{reply:?}");
    }
    let mut stream = http::connect(address);
    for n in 0..3 {
        let body = format!("{{\"n\":{n}}}");
        let head = format!(
            "POST /in/github HTTP/1.1\r\nhost: a\r\nx-github-event: unheard_of\r\nx-hub-signature-256: {}\r\ncontent-length: {}\r\n\r\n{body}",
            sign::github(SECRET, body.as_bytes()),
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the connection is kept");
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert_eq!(gateway.journal().len(), 3);
}

/// Small on the wire and large when it is taken for what it is not: nothing here inflates, recurses or squares.
#[test]
fn a_bomb_is_a_body_like_any_other() {
    let gateway = gateway();
    // gzip of a megabyte of zeros, by the look of it; sent as it is, and as the coding of the transfer.
    let gzip = [&b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"[..], &[0xed; 1000]].concat();
    assert_eq!(signed(&gateway, "/in/github", &gzip).status, 200);
    let (address, _) = http::target(&gateway.ingress);
    for coding in ["gzip", "gzip, chunked", "deflate", "br"] {
        let head = format!("POST /in/github HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {coding}\r\n\r\n");
        assert_eq!(http::raw(address, head.as_bytes()).status, 400, "{coding}");
    }
    let fits = |text: String| {
        assert!(text.len() <= 64 * 1024);
        text
    };
    let bombs = [
        fits(format!("[{}0]", "0,".repeat(32_000))),
        fits(format!("[{}{{}}]", "{},".repeat(21_000))),
        fits(format!(
            "{{{}\"z\":0}}",
            (0..4_000).map(|n| format!("\"key{n:05}\":0,")).collect::<String>()
        )),
        fits(format!("{{\"{}\":\"{}\"}}", "k".repeat(30_000), "v".repeat(30_000))),
        fits(format!("\"{}\"", "\\u0000".repeat(10_000))),
        fits(format!("[{}1]", "1e308,".repeat(10_000))),
        fits(format!("[1e999{}]", ",1".repeat(1000))),
        fits(format!("[{}]", "9".repeat(256))),
        fits("[".repeat(60_000)),
        fits("{\"a\":".repeat(10_000)),
    ];
    for bomb in &bombs {
        assert_eq!(
            signed(&gateway, "/in/github", bomb.as_bytes()).status,
            200,
            "{}",
            &bomb[..40]
        );
        assert_eq!(
            signed(&gateway, "/in/strict", bomb.as_bytes()).status,
            422,
            "{}",
            &bomb[..40]
        );
    }
    let kept: Vec<Vec<u8>> = gateway.quarantine().into_iter().map(|row| row.data).collect();
    assert_eq!(kept.len(), 1 + bombs.len(), "byte for byte, nothing lost");
    assert_eq!(kept[0], gzip);
    assert_books_balance(&gateway);
}

/// A body that no parser takes is refused for its signature all the same: nobody looked into it. (That `read` comes after
/// `verify` is the order of the rooms, and its door takes a verified delivery only.)
#[test]
fn unverified_bytes_cost_no_more_than_their_hash() {
    let gateway = gateway();
    let deep = "[".repeat(60_000);
    let bodies: [&[u8]; 6] = [
        b"{",
        b"\xff\xfe",
        b"{\"a\":1,\"a\":2}",
        b"",
        b"\x1f\x8b",
        deep.as_bytes(),
    ];
    let wrong = format!("sha256={}", "0".repeat(64));
    for path in ["/in/github", "/in/strict"] {
        for body in bodies {
            assert_eq!(gateway.post(path, &[], body).status, 401);
            let headers = [("x-github-event", "ping"), ("x-hub-signature-256", &*wrong)];
            assert_eq!(gateway.post(path, &headers, body).status, 401);
        }
    }
    let failed = |reason: &str| {
        let label = format!("reason=\"{reason}\"");
        gateway.metric("hooksluice_verify_failures_total", &[&label])
    };
    assert_eq!((failed("missing"), failed("mismatch")), (12.0, 12.0));
    assert_eq!(
        gateway.metric("hooksluice_verify_failures_total", &[]),
        24.0,
        "and nothing was called malformed"
    );
    assert_eq!(gateway.metric("hooksluice_contract_checks_total", &[]), 0.0);
    assert_books_balance(&gateway);
}

#[test]
fn a_slow_body_is_408() {
    let gateway = gateway();
    let (address, _) = http::target(&gateway.ingress);
    let mut stream = http::connect(address);
    stream
        .write_all(b"POST /in/github HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{")
        .expect("sent");
    assert_eq!(http::read_reply(&mut stream).status, 408);
    assert_books_balance(&gateway);
}
