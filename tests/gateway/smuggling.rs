//! Where one request ends and the next begins: bytes that two readers could take differently are refused, or are one
//! delivery and nothing else (RFC 9112).
//!
//! Each case is a delivery with a trick in it, and behind it a request to `hidden`. Where the case is refused, nothing
//! of the connection is believed any more; where it is taken, `hidden` is the next request, exactly where RFC 9112 says
//! that it begins.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Gateway, http, sign};

struct Case {
    name: &'static str,
    line: &'static str,
    host: &'static str,
    fields: &'static [u8],
    framing: &'static [u8],
    body: &'static [u8],
    expect: Expect,
}

#[derive(Clone, Copy, PartialEq)]
enum Expect {
    /// Refused with this status, and the connection ends there.
    Refused(u16),
    /// One delivery with this answer; then `hidden`, a request of its own.
    One(u16),
    /// One delivery with this answer, which takes what follows with it.
    Swallows(u16),
}
use Expect::{One, Refused, Swallows};

const LINE: &str = "POST /in/github HTTP/1.1\r\n";
const HOST: &str = "host: a\r\n";
const LENGTH: &[u8] = b"content-length: 2\r\n";
const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";
const CHUNKS: &[u8] = b"2\r\n{}\r\n0\r\n\r\n";

/// How the body is framed.
#[rustfmt::skip]
const FRAMING: &[(&str, &[u8], &[u8], Expect)] = &[
    ("a length", LENGTH, b"{}", One(200)),
    ("chunks", CHUNKED, CHUNKS, One(200)),
    ("neither", b"", b"", One(401)),
    ("CL.TE", b"content-length: 7\r\ntransfer-encoding: chunked\r\n", CHUNKS, Refused(400)),
    ("TE.CL", b"transfer-encoding: chunked\r\ncontent-length: 2\r\n", CHUNKS, Refused(400)),
    ("CL 0 and TE", b"content-length: 0\r\ntransfer-encoding: chunked\r\n", CHUNKS, Refused(400)),
    ("TE twice", b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", CHUNKS, Refused(400)),
    ("TE chunked and another", b"transfer-encoding: chunked\r\ntransfer-encoding: x\r\n", CHUNKS, Refused(400)),
    ("TE xchunked", b"transfer-encoding: xchunked\r\n", CHUNKS, Refused(400)),
    ("TE chunked, identity", b"transfer-encoding: chunked, identity\r\n", CHUNKS, Refused(400)),
    ("TE identity, chunked", b"transfer-encoding: identity, chunked\r\n", CHUNKS, Refused(400)),
    ("TE identity", b"transfer-encoding: identity\r\n", b"{}", Refused(400)),
    ("TE identity and CL", b"transfer-encoding: identity\r\ncontent-length: 2\r\n", b"{}", Refused(400)),
    ("TE gzip", b"transfer-encoding: gzip\r\n", b"{}", Refused(400)),
    ("TE gzip, chunked", b"transfer-encoding: gzip, chunked\r\n", CHUNKS, Refused(400)),
    ("TE in quotes", b"transfer-encoding: \"chunked\"\r\n", CHUNKS, Refused(400)),
    ("TE with a parameter", b"transfer-encoding: chunked;q=1\r\n", CHUNKS, Refused(400)),
    ("TE empty", b"transfer-encoding:\r\n", b"{}", Refused(400)),
    ("TE after a vertical tab", b"transfer-encoding:\x0bchunked\r\n", CHUNKS, Refused(400)),
    ("TE after NUL", b"transfer-encoding: \0chunked\r\n", CHUNKS, Refused(400)),
    ("TE space before colon", b"transfer-encoding : chunked\r\n", CHUNKS, Refused(400)),
    ("TE folded", b"transfer-encoding:\r\n chunked\r\n", CHUNKS, Refused(400)),
    ("TE after a tab", b"transfer-encoding:\tchunked\r\n", CHUNKS, One(200)),
    ("TE in other case", b"Transfer-Encoding: cHuNkEd\r\n", CHUNKS, One(200)),
    ("TE with underscore is no TE", b"transfer_encoding: chunked\r\ncontent-length: 2\r\n", b"{}", One(200)),
    ("CL twice, same", b"content-length: 2\r\ncontent-length: 2\r\n", b"{}", Refused(400)),
    ("CL twice, other", b"content-length: 2\r\ncontent-length: 60\r\n", b"{}", Refused(400)),
    ("CL list", b"content-length: 2, 2\r\n", b"{}", Refused(400)),
    ("CL negative", b"content-length: -2\r\n", b"{}", Refused(400)),
    ("CL plus", b"content-length: +2\r\n", b"{}", Refused(400)),
    ("CL hex", b"content-length: 0x2\r\n", b"{}", Refused(400)),
    ("CL fraction", b"content-length: 2.0\r\n", b"{}", Refused(400)),
    ("CL exponent", b"content-length: 2e0\r\n", b"{}", Refused(400)),
    ("CL two numbers", b"content-length: 1 1\r\n", b"{}", Refused(400)),
    ("CL empty", b"content-length:\r\n", b"{}", Refused(400)),
    ("CL in other digits", b"content-length: \xd9\xa2\r\n", b"{}", Refused(400)),
    ("CL 2^64 + 2", b"content-length: 18446744073709551618\r\n", b"{}", Refused(400)),
    ("CL 2^63", b"content-length: 9223372036854775808\r\n", b"{}", Refused(413)),
    ("CL 2^64 - 1", b"content-length: 18446744073709551615\r\n", b"{}", Refused(413)),
    ("CL folded", b"content-length: 2\r\n 0\r\n", b"{}", Refused(400)),
    ("CL space before colon", b"content-length : 2\r\n", b"{}", Refused(400)),
    ("CL with zeros", b"content-length: 002\r\n", b"{}", One(200)),
    ("CL with space behind", b"content-length: 2 \r\n", b"{}", One(200)),
    ("chunk with extension", CHUNKED, b"2;a=b;c=\"d\"\r\n{}\r\n0;e\r\n\r\n", One(200)),
    ("chunk extension with LF", CHUNKED, b"2;a\n\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk extension with CR", CHUNKED, b"2;a\rb\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk extension with NUL", CHUNKED, b"2;\0\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk size overflows", CHUNKED, b"10000000000000002\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk size of 2^64 - 1", CHUNKED, b"ffffffffffffffff\r\n{}\r\n0\r\n\r\n", Refused(408)),
    ("chunk size with zeros", CHUNKED, b"00000000000000000000002\r\n{}\r\n000\r\n\r\n", One(200)),
    ("chunk size with 0x", CHUNKED, b"0x2\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk size negative", CHUNKED, b"-2\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk size plus", CHUNKED, b"+2\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk size after space", CHUNKED, b" 2\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk size empty", CHUNKED, b"\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk size no hex", CHUNKED, b"2g\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk size then LF", CHUNKED, b"2\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk size then CR CR LF", CHUNKED, b"2\r\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk data then LF", CHUNKED, b"2\r\n{}\n0\r\n\r\n", Refused(400)),
    ("chunk data without end", CHUNKED, b"2\r\n{}0\r\n\r\n", Refused(400)),
    ("chunk data too long", CHUNKED, b"1\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("chunk data too short", CHUNKED, b"3\r\n{}\r\n0\r\n\r\n", Refused(400)),
    ("last chunk then LF", CHUNKED, b"2\r\n{}\r\n0\n\n", Refused(400)),
    // A trailer section is read to its end and ignored, whatever stands in it.
    ("trailer that names a length", CHUNKED, b"2\r\n{}\r\n0\r\ncontent-length: 50\r\n\r\n", One(200)),
    ("trailer that names an encoding", CHUNKED, b"2\r\n{}\r\n0\r\ntransfer-encoding: gzip\r\n\r\n", One(200)),
    ("trailer with a signature", CHUNKED, b"2\r\n{}\r\n0\r\nx-hub-signature-256: sha256=00\r\n\r\n", One(200)),
    ("no end of trailers", CHUNKED, b"2\r\n{}\r\n0\r\n", Swallows(200)),
    ("LF for the end of trailers", CHUNKED, b"2\r\n{}\r\n0\r\n\n", Swallows(200)),
];

/// Header fields that are no header fields, beside a plain length.
#[rustfmt::skip]
const FIELDS: &[(&str, &[u8], Expect)] = &[
    ("folded", b"x-a: b\r\n c\r\n", Refused(400)),
    ("NUL in a value", b"x-a: b\0c\r\n", Refused(400)),
    ("control in a value", b"x-a: b\x01c\r\n", Refused(400)),
    ("DEL in a value", b"x-a: b\x7fc\r\n", Refused(400)),
    ("CR in a value", b"x-a: b\rcontent-length: 50\r\n", Refused(400)),
    ("NUL in a name", b"x\0a: b\r\n", Refused(400)),
    ("control in a name", b"x\x08a: b\r\n", Refused(400)),
    ("space in a name", b"x a: b\r\n", Refused(400)),
    ("space before the colon", b"x-a : b\r\n", Refused(400)),
    ("tab before the colon", b"x-a\t: b\r\n", Refused(400)),
    ("non-ASCII in a name", b"x-\xc3\xa9: b\r\n", Refused(400)),
    ("no name", b": b\r\n", Refused(400)),
    ("no colon", b"content-length\r\n", Refused(400)),
    ("websocket", b"connection: upgrade\r\nupgrade: websocket\r\n", Refused(400)),
    ("websocket, not asked for by the connection", b"upgrade: WebSocket\r\n", Refused(400)),
    ("websocket among others", b"upgrade: h2c, websocket\r\n", One(400)),
    // Some clients offer HTTP/2 so on every plain request; it is not taken up.
    ("h2c", b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n", One(200)),
    ("non-ASCII in a value", b"x-a: \xc3\xa9\xff\r\n", One(200)),
    // RFC 9112, 2.2: a single LF may end a line; here it does.
    ("LF alone", b"x-a: b\nx-c: d\r\n", One(200)),
    ("expects something else", b"expect: 200-ok\r\n", One(200)),
];

/// Request lines and hosts, with a plain length.
#[rustfmt::skip]
const LINES: &[(&str, &str, &str, Expect)] = &[
    ("absolute form", "POST http://b.example/in/github HTTP/1.1\r\n", HOST, One(200)),
    ("authority form", "POST a:80 HTTP/1.1\r\n", HOST, One(404)),
    ("asterisk form", "OPTIONS * HTTP/1.1\r\n", HOST, One(404)),
    ("CONNECT", "CONNECT a:80 HTTP/1.1\r\n", HOST, One(404)),
    ("HTTP/0.9", "POST /in/github\r\n", HOST, Refused(400)),
    ("HTTP/1.2", "POST /in/github HTTP/1.2\r\n", HOST, Refused(400)),
    ("HTTP/1.10", "POST /in/github HTTP/1.10\r\n", HOST, Refused(400)),
    ("HTTP/2.0", "POST /in/github HTTP/2.0\r\n", HOST, Refused(400)),
    ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HOST, Refused(400)),
    ("http in lower case", "POST /in/github http/1.1\r\n", HOST, Refused(400)),
    ("two spaces", "POST  /in/github HTTP/1.1\r\n", HOST, Refused(400)),
    ("tabs", "POST\t/in/github\tHTTP/1.1\r\n", HOST, Refused(400)),
    ("space in the path", "POST /in/github x HTTP/1.1\r\n", HOST, Refused(400)),
    ("NUL in the path", "POST /in/github\0 HTTP/1.1\r\n", HOST, Refused(400)),
    ("CR in the method", "P\rOST /in/github HTTP/1.1\r\n", HOST, Refused(400)),
    ("space before the first field", "POST /in/github HTTP/1.1\r\n x: y\r\n", HOST, Refused(400)),
    ("empty lines in front", "\r\n\r\nPOST /in/github HTTP/1.1\r\n", HOST, One(200)),
    ("HTTP/1.0", "POST /in/github HTTP/1.0\r\nconnection: keep-alive\r\n", HOST, One(200)),
    ("no Host", LINE, "", Refused(400)),
    ("Host twice", LINE, "host: a\r\nhost: b\r\n", Refused(400)),
    ("Host twice, same", LINE, "host: a\r\nHost: a\r\n", Refused(400)),
    ("Host with a space", LINE, "host: a b\r\n", One(400)),
    ("Host with a path", LINE, "host: a/b\r\n", One(400)),
    ("Host with a user", LINE, "host: u@a\r\n", One(400)),
    ("Host empty", LINE, "host:\r\n", One(200)),
];

fn cases() -> Vec<Case> {
    let framing = FRAMING.iter().map(|(name, framing, body, expect)| Case {
        name,
        line: LINE,
        host: HOST,
        fields: b"",
        framing,
        body,
        expect: *expect,
    });
    let fields = FIELDS.iter().map(|(name, fields, expect)| Case {
        name,
        line: LINE,
        host: HOST,
        fields,
        framing: LENGTH,
        body: b"{}",
        expect: *expect,
    });
    let lines = LINES.iter().map(|(name, line, host, expect)| Case {
        name,
        line,
        host,
        fields: b"",
        framing: LENGTH,
        body: b"{}",
        expect: *expect,
    });
    framing.chain(fields).chain(lines).collect()
}

const SECRET: &str = "s3cret";

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.line, self.host].concat().into_bytes();
        bytes.extend_from_slice(b"x-github-event: unheard_of\r\n");
        bytes.extend_from_slice(format!("x-hub-signature-256: {}\r\n", sign::github(SECRET, b"{}")).as_bytes());
        for part in [self.fields, self.framing, b"\r\n", self.body] {
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(b"POST /in/hidden HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        bytes
    }
}

/// Every status on the connection, until the gateway closes it.
fn statuses(gateway: &Gateway, bytes: &[u8]) -> Vec<u16> {
    let (address, _) = http::target(&gateway.ingress);
    let mut stream = http::connect(address);
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let lines = answer.split("HTTP/1.1 ").skip(1);
    lines.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

fn genuine(gateway: &Gateway) -> u16 {
    let signature = sign::github(SECRET, b"{}");
    let headers = [("x-github-event", "unheard_of"), ("x-hub-signature-256", &*signature)];
    gateway.post("/in/github", &headers, b"{}").status
}

#[test]
fn bytes_that_could_be_read_in_two_ways_are_refused_or_are_one_delivery() {
    let gateway = Gateway::start(
        "sources:
  github: { provider: github, secrets: [{ value: s3cret }] }
  hidden: { provider: github, secrets: [{ value: s3cret }] }
",
    );
    let cases = cases();
    assert!(cases.len() >= 100, "{}", cases.len());
    let next = AtomicUsize::new(0);
    // Some connections are closed only after a while: side by side.
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut wrong = Vec::new();
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let expected = match case.expect {
                            Refused(status) | Swallows(status) => vec![status],
                            One(status) => vec![status, 401],
                        };
                        let said = statuses(&gateway, &case.bytes());
                        if said != expected {
                            wrong.push(format!("{}: {said:?}, expected {expected:?}", case.name));
                        }
                        if genuine(&gateway) != 200 {
                            wrong.push(format!("{}: a genuine delivery after it", case.name));
                        }
                    }
                    wrong
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("ran"))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let openly = cases.iter().filter(|case| matches!(case.expect, One(_))).count();
    assert_eq!(
        gateway.metric("hooksluice_deliveries_received_total", &["source=\"hidden\""]),
        openly as f64,
        "nobody was reached in another way than by a request of its own"
    );
    gateway.wait_for("nothing is in flight", |g| {
        g.metric("hooksluice_deliveries_in_flight", &[]) == 0.0
    });
    assert_eq!(
        gateway.metric("hooksluice_deliveries_received_total", &[]),
        gateway.metric("hooksluice_deliveries_total", &[])
    );
    assert!(gateway.journal().iter().all(|row| row.data == b"{}"));
}

/// What is behind the boundary is not part of the signed body, and what is before it is.
#[test]
fn a_length_that_is_shorter_or_longer_than_the_signed_body_is_401() {
    let gateway = Gateway::start("sources:\n  github: { provider: github, secrets: [{ value: s3cret }] }\n");
    for body in [&b"{"[..], b"{} "] {
        let signature = sign::github(SECRET, b"{}");
        let reply = gateway.post("/in/github", &[("x-hub-signature-256", &signature)], body);
        assert_eq!(reply.status, 401);
    }
    assert!(gateway.journal().is_empty());
}
