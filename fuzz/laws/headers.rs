//! The header parsers, each by its name in the first line: what is let in is exactly what a plain reading of the header allows.
//!
//! `@` in a header stands for what only the owner of the key can make, so that the fuzzer gets past the proof.

use std::net::IpAddr;
use std::sync::LazyLock;

use actix_web::test::TestRequest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use hooksluice::clock::Timestamp;
use hooksluice::delivery::{HeaderName, HeaderValue};
use hooksluice::http::proxies::{Origin, origin};
use hooksluice::provider::definition::TimeFormat;
use hooksluice::read::time;
use hooksluice::verify::Verifier;
use ipnet::IpNet;
use serde_json::{Map, Value};
use sha2::Sha256;

use super::support;

const SECRET: &[u8] = b"a secret of the laws";
const BODY: &[u8] = b"{}";

pub fn check(bytes: &[u8]) {
    let Some((name, rest)) = support::head(bytes) else {
        return;
    };
    match name {
        "list-assigned" => list(&LISTS[0], rest),
        "list-spaced" => list(&LISTS[1], rest),
        "list-bare" => list(&LISTS[2], rest),
        "time" => signed_time(rest),
        "event-time" => event_time(rest),
        "forwarded" => forwarded(rest),
        "basic" => basic(rest),
        "jwt" => jwt(rest),
        "token" => token(rest),
        _ => {}
    }
}

fn mac(parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// With `what` in place of every `@`.
fn filled(text: &[u8], what: &str) -> Vec<u8> {
    let mut filled = Vec::new();
    for byte in text {
        match byte {
            b'@' => filled.extend_from_slice(what.as_bytes()),
            byte => filled.push(*byte),
        }
    }
    filled
}

/// Is a delivery with this one header let in?
fn holds(verifier: &Verifier, name: &str, value: &[u8], now: Timestamp) -> Option<bool> {
    let header = support::header(name.as_bytes(), value)?;
    let raw = support::delivery([header].into_iter().collect(), BODY);
    Some(support::verify(verifier, &raw, now).expect("at once").is_ok())
}

/// A header that holds several signatures.
struct List {
    separator: &'static str,
    assign: Option<(&'static str, &'static str)>,
    verifier: Verifier,
}

static LISTS: LazyLock<[List; 3]> = LazyLock::new(|| {
    let list = |separator: &'static str, assign: Option<(&'static str, &'static str)>| {
        let assigned = assign.map_or(String::new(), |(assign, key)| {
            format!(", assign = '{assign}', key = '{key}'")
        });
        let definition = support::definition(&format!(
            "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = {{ header = 'x-sig' }}\ncontent = ['body']\n\
             list = {{ separator = '{separator}'{assigned} }}"
        ));
        List {
            separator,
            assign,
            verifier: support::verifier(&definition, &[SECRET]),
        }
    };
    [
        list(",", Some(("=", "v1"))),
        list(" ", Some((",", "v1"))),
        list(",", None),
    ]
});

fn list(list: &List, text: &[u8]) {
    let good = hex::encode(mac(&[BODY]));
    let value = filled(text, &good);
    let Some(held) = holds(&list.verifier, "x-sig", &value, support::now()) else {
        return;
    };
    let expected = one_is_good(list, &value, &good);
    assert_eq!(held, expected, "{:?}", String::from_utf8_lossy(&value));
}

/// One of the header's signatures is the right one, and there are not more than are looked at.
fn one_is_good(list: &List, value: &[u8], good: &str) -> bool {
    if value.len() > 8 * 1024 {
        return false;
    }
    // Bytes as characters: what is not ASCII is no hex either.
    let text: String = value.iter().map(|byte| char::from(*byte)).collect();
    let blank = |character: char| character.is_ascii_whitespace();
    let items = text.split(list.separator).map(|item| item.trim_matches(blank));
    let items: Vec<&str> = items.filter(|item| !item.is_empty()).collect();
    let signatures: Vec<&str> = match list.assign {
        None => items.clone(),
        Some((assign, key)) => items
            .iter()
            .filter_map(|item| item.split_once(assign))
            .filter(|(name, _)| name.trim_matches(blank) == key)
            .map(|(_, value)| value.trim_matches(blank))
            .collect(),
    };
    let counted = match list.assign {
        None => items.len(),
        Some((assign, _)) => items.iter().filter(|item| item.contains(assign)).count(),
    };
    let good = |signature: &&str| signature.eq_ignore_ascii_case(good);
    counted <= 32 && signatures.len() <= 16 && signatures.iter().any(good)
}

const FORMATS: [(&str, TimeFormat); 5] = [
    ("unix", TimeFormat::Unix),
    ("unix_ms", TimeFormat::UnixMs),
    ("rfc3339", TimeFormat::Rfc3339),
    ("iso_utc", TimeFormat::IsoUtc),
    ("http_date", TimeFormat::HttpDate),
];

static TIMES: LazyLock<Vec<Verifier>> = LazyLock::new(|| {
    let verifier = |(name, _): &(&str, TimeFormat)| {
        let definition = support::definition(&format!(
            "[timestamp]\nfrom = {{ header = 'x-time' }}\nformat = '{name}'\ntolerance = '5m'\n[[signature]]\nscheme = 'hmac'\n\
             algorithm = 'sha256'\nfrom = {{ header = 'x-sig' }}\ncontent = ['timestamp', '.', 'body']"
        ));
        support::verifier(&definition, &[SECRET])
    };
    FORMATS.iter().map(verifier).collect()
});

/// Second line: the format; then the time as it is signed. Genuine, so only the time decides.
fn signed_time(rest: &[u8]) {
    let Some((name, text)) = support::head(rest) else {
        return;
    };
    let Some(which) = FORMATS.iter().position(|(known, _)| *known == name) else {
        return;
    };
    let holds = |now: Timestamp| {
        let signature = hex::encode(mac(&[text, b".", BODY]));
        let headers = [
            support::header(b"x-time", text)?,
            support::header(b"x-sig", signature.as_bytes())?,
        ];
        let raw = support::delivery(headers.into_iter().collect(), BODY);
        Some(support::verify(&TIMES[which], &raw, now).expect("at once").is_ok())
    };
    let now = support::now();
    let Some(held) = holds(now) else { return };
    let digits = |most: usize| {
        let text = std::str::from_utf8(text).ok()?;
        let plain = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<i128>().ok())?
    };
    let (seconds, milliseconds) = (i128::from(now.as_second()), i128::from(now.as_millisecond()));
    match FORMATS[which].1 {
        TimeFormat::Unix => {
            let near = digits(12).is_some_and(|time| (time - seconds).abs() <= 300);
            assert_eq!(held, near);
        }
        TimeFormat::UnixMs => {
            let near = digits(15).is_some_and(|time| (time - milliseconds).abs() <= 300_000);
            assert_eq!(held, near);
        }
        // One text is one moment: what is fresh now is old ten minutes on, and was not yet ten minutes ago.
        _ if held => {
            let apart = jiff::SignedDuration::from_secs(601);
            assert_eq!(holds(now + apart), Some(false));
            assert_eq!(holds(now - apart), Some(false));
            assert!(text.len() <= 40);
        }
        _ => {}
    }
}

/// Second line: the format; then a time as a body says it.
fn event_time(rest: &[u8]) {
    let Some((name, text)) = support::head(rest) else {
        return;
    };
    let Some((_, format)) = FORMATS.iter().find(|(known, _)| *known == name) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Some(time) = time::parse(text, *format) else { return };
    let again: Timestamp = time.to_string().parse().expect("what an event says is a time");
    assert_eq!(again, time);
    let unit = match format {
        TimeFormat::Unix => 1e9,
        TimeFormat::UnixMs => 1e6,
        _ => return,
    };
    // Doubles have some fifteen digits: enough to see a digit or a sign that went wrong.
    let said: f64 = text.trim().trim_end_matches('.').parse().expect("a decimal");
    let read = time.as_nanosecond() as f64;
    assert!(
        (said * unit - read).abs() <= 1.0 + read.abs() * 1e-12,
        "{text:?} was read as {time}"
    );
}

static TRUSTED: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    ["10.0.0.0/8", "fd00::/8"]
        .map(|net| net.parse().expect("a network"))
        .to_vec()
});

/// Lines of headers, behind a trusted proxy and not.
fn forwarded(rest: &[u8]) {
    let mut headers = Vec::new();
    for line in rest.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = line[..colon].to_ascii_lowercase();
        let known: [&[u8]; 4] = [
            b"forwarded",
            b"x-forwarded-for",
            b"x-forwarded-host",
            b"x-forwarded-proto",
        ];
        if known.contains(&&name[..]) {
            headers.extend(support::header(&name, line[colon + 1..].trim_ascii()));
        }
    }
    let ask = |peer: &str, headers: &[(HeaderName, HeaderValue)]| {
        let peer: IpAddr = peer.parse().expect("an address");
        let mut request = TestRequest::default()
            .peer_addr((peer, 4711).into())
            .insert_header(("host", "hooks.example.com"));
        for (name, value) in headers {
            request = request.append_header((name.clone(), value.clone()));
        }
        origin(&request.to_http_request(), &TRUSTED)
    };
    let stranger = ask("192.0.2.9", &headers);
    let as_seen = Origin {
        sender: "192.0.2.9".parse().ok(),
        base_url: "http://hooks.example.com".into(),
    };
    assert_eq!(stranger, as_seen, "who is no trusted proxy says nothing of others");

    let seen = ask("10.0.0.1", &headers);
    let (scheme, host) = seen.base_url.split_once("://").expect("a URL");
    assert!(["http", "https"].contains(&scheme), "{}", seen.base_url);
    // RFC 3986, 3.2.2 and 3.2.3: nothing that ends a host, and nobody's name in front of it.
    let stays = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\\"<>^`{|}".contains(&byte);
    assert!(!host.is_empty() && host.bytes().all(stays), "{}", seen.base_url);
    let sender = seen.sender.expect("there is always a peer");
    if TRUSTED.iter().any(|net| net.contains(&sender)) {
        return;
    }
    // Whatever the sender itself had put there, to the left of what our proxies saw, changes nothing.
    for (name, lie) in [
        ("forwarded", "for=203.0.113.7;host=evil.example;proto=https"),
        ("x-forwarded-for", "203.0.113.7"),
    ] {
        let mut told = headers.clone();
        if let Some((_, value)) = told.iter_mut().find(|(other, _)| other == name) {
            let longer = [lie.as_bytes(), b", ", value.as_bytes()].concat();
            *value = HeaderValue::from_bytes(&longer).expect("a value");
            assert_eq!(ask("10.0.0.1", &told), seen, "told {told:?}");
        }
    }
}

fn basic(text: &[u8]) {
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
        let definition = support::definition("[[signature]]\nscheme = 'basic'");
        support::verifier(&definition, &[b"user:password"])
    });
    let value = filled(text, &STANDARD.encode("user:password"));
    let Some(held) = holds(&VERIFIER, "authorization", &value, support::now()) else {
        return;
    };
    let given = value
        .get(..6)
        .filter(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
        .map(|_| &value[6..]);
    let expected = given.is_some_and(|given| {
        // Padding carries nothing.
        let bare: Vec<u8> = given.iter().copied().filter(|byte| *byte != b'=').collect();
        bare == STANDARD.encode("user:password").trim_end_matches('=').as_bytes()
    });
    assert!(expected || !held, "{:?} was let in", String::from_utf8_lossy(&value));
    if text.eq_ignore_ascii_case(b"basic @") {
        assert!(held);
    }
}

static TOKENS: LazyLock<Verifier> = LazyLock::new(|| {
    let definition = support::definition(
        "[[signature]]\nscheme = 'jwt'\nalgorithms = ['HS256']\nfrom = { header = 'authorization', prefix = 'Bearer ' }\n\
         claims = { iss = 'us' }",
    );
    support::verifier(&definition, &[SECRET])
});

/// A token's head and claims, a line each, signed by the key's owner whatever they say.
fn jwt(rest: &[u8]) {
    let (head, claims) = support::split_line(rest);
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(mac(&[signed.as_bytes()]));
    let value = format!("Bearer {signed}.{signature}");
    let now = support::now();
    let Some(held) = holds(&TOKENS, "authorization", value.as_bytes(), now) else {
        return;
    };
    let bounded = value.len() <= 8 * 1024;
    assert_eq!(held, bounded && is_acceptable(head, claims, now.as_second()));
}

fn is_acceptable(head: &[u8], claims: &[u8], now: i64) -> bool {
    let (Ok(head), Ok(claims)) = (
        serde_json::from_slice::<Map<String, Value>>(head),
        serde_json::from_slice::<Map<String, Value>>(claims),
    ) else {
        return false;
    };
    let seconds = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(value) => value
            .as_f64()
            .filter(|time| time.abs() < 1e12)
            .map(|time| Some(time as i64)),
    };
    let (Some(expires), Some(not_before), Some(issued)) = (seconds("exp"), seconds("nbf"), seconds("iat")) else {
        return false;
    };
    let issuer = match claims.get("iss") {
        Some(Value::Array(all)) => all.iter().any(|one| one == "us"),
        Some(one) => one == "us",
        None => false,
    };
    let fresh = expires.is_some_and(|expires| now < expires + 60);
    let begun = [not_before, issued]
        .into_iter()
        .flatten()
        .all(|start| start <= now + 60);
    head.get("alg").is_some_and(|alg| alg == "HS256") && !head.contains_key("crit") && issuer && fresh && begun
}

/// Any token, without the key.
fn token(text: &[u8]) {
    let value = [b"Bearer ", text].concat();
    let held = holds(&TOKENS, "authorization", &value, support::now());
    assert_ne!(held, Some(true), "{:?} was let in", String::from_utf8_lossy(&value));
}

pub fn seeds() -> Vec<Vec<u8>> {
    Vec::new()
}
