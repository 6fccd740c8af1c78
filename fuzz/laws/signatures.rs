//! Every signature of every provider: what the key's owner signed holds, and does not once it was changed.
//!
//! The first line is `provider index change position`, the rest the body that is signed (empty: the provider's sample).
//! Changes: `body`, `signature`, `splice` (another body under the same headers), `none`.

use std::ops::Range;

use hooksluice::delivery::{HeaderValue, RawDelivery};
use hooksluice::provider::definition::{Part, Scheme, Signature};
use hooksluice::verify::Signed;

use super::platforms::{Keyed, PLATFORMS, Platform, today};
use super::support;

pub fn check(bytes: &[u8]) {
    let Some((line, body)) = support::head(bytes) else {
        return;
    };
    let platform = Platform::of(line);
    let Some(keyed) = platform.keyed() else { return };
    let mut words = line.split(' ').skip(2);
    let change = words.next().unwrap_or("none");
    let position: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let rule = &keyed.definition.signature[platform.index];
    // A body of which the certificate's URL is a member is the platform's own.
    let own_only = rule.keys.certificate.as_ref().is_some_and(|find| find.json.is_some());
    let body = if own_only { b"" } else { body };
    let Some(signed) = keyed.sign(Some(body).filter(|body| !body.is_empty())) else {
        return;
    };
    let place = format!("{} by signature {}", platform.name, platform.index);

    let delivery = arrived(signed.clone());
    let proof = match support::verify(&keyed.verifier, &delivery, today()) {
        Some(Ok(verified)) => verified.proof().clone(),
        Some(Err(error)) => panic!("{place}: what its owner signed is refused: {error}"),
        None => panic!("{place}: a key would have to be fetched"),
    };
    assert_eq!(proof.alternative, platform.index, "{place}");
    let covers_body = keyed.verifier.coverage(&proof).body;
    let changed = match change {
        "body" if covers_body && !signed.body.is_empty() => bent_body(&signed, rule, position),
        "splice" if covers_body && !body.is_empty() => spliced(keyed, &signed, rule),
        "signature" => bent_signature(&signed, rule, position),
        _ => return,
    };
    let Some(changed) = changed else { return };
    if let Some(Ok(_)) = support::verify(&keyed.verifier, &arrived(changed), today()) {
        panic!("{place}: holds in spite of a changed {change} (at {position})");
    }
}

/// What arrives when a signed request is sent.
fn arrived(signed: Signed) -> RawDelivery {
    let rest = signed.url.split_once("://").map_or("", |(_, rest)| rest);
    let target = rest.find('/').map_or("/", |at| &rest[at..]);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    RawDelivery {
        method: signed.method,
        path: path.to_owned(),
        query: query.to_owned(),
        url: signed.url.clone(),
        headers: signed.headers,
        body: signed.body,
        received: today(),
        sender: None,
    }
}

/// The signature covers what a form says, and not how it is written: `%41` is `A`.
fn signs_a_form(rule: &Signature) -> bool {
    let is_form = |word: &str| word == "sorted_form";
    rule.content.iter().any(|part| match part {
        Part::Word(word) => is_form(word),
        Part::Found(find) => find.part.as_deref().is_some_and(is_form),
        Part::Fields(_) => true,
        Part::Lines(_) | Part::Sorted(_) | Part::Compact(_) | Part::Listed(_) | Part::Raw(_) | Part::WithSecret(_) => {
            false
        }
    })
}

/// What a form says, as a set of fields.
fn said(body: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<_> = form_urlencoded::parse(body).into_owned().collect();
    fields.sort();
    fields.dedup();
    fields
}

fn with_body(signed: &Signed, rule: &Signature, body: Vec<u8>) -> Option<Signed> {
    if body == signed.body || (signs_a_form(rule) && joined(&said(&body)) == joined(&said(&signed.body))) {
        return None;
    }
    Some(Signed {
        body: body.into(),
        ..signed.clone()
    })
}

/// Nothing stands between the names and values that are signed as a form.
fn joined(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}{value}")).collect()
}

fn bent_body(signed: &Signed, rule: &Signature, position: usize) -> Option<Signed> {
    let mut body = signed.body.to_vec();
    let at = position % body.len();
    let before = body[at];
    body[at] ^= 1 << (position / body.len() % 8);
    // Of a signature that stands in the body itself, in hex, the case means nothing.
    let is_case = before.is_ascii_alphabetic() && before.eq_ignore_ascii_case(&body[at]);
    if is_case && in_the_body(signed, rule).is_some_and(|own| own.contains(&at)) {
        return None;
    }
    with_body(signed, rule, body)
}

/// Where the body says its own signature.
fn in_the_body(signed: &Signed, rule: &Signature) -> Option<Range<usize>> {
    let body: serde_json::Value = serde_json::from_slice(&signed.body).ok()?;
    let said = body.pointer(rule.from.json.as_deref()?)?.as_str()?;
    let end = behind(&signed.body, said.as_bytes())?;
    Some(end - said.len()..end)
}

fn spliced(keyed: &Keyed, signed: &Signed, rule: &Signature) -> Option<Signed> {
    with_body(signed, rule, keyed.sample.body.clone())
}

/// One character of the signature's own header is another one. Not the other case: that of hex means nothing.
fn bent_signature(signed: &Signed, rule: &Signature, position: usize) -> Option<Signed> {
    let name = match rule.scheme {
        Scheme::Basic if rule.from.header.is_none() => "authorization",
        _ => rule.from.header.as_deref()?,
    };
    let mut bent = signed.clone();
    let header = |(found, value): (&_, &HeaderValue)| {
        let found: &hooksluice::delivery::HeaderName = found;
        if !found.as_str().eq_ignore_ascii_case(name) {
            return Some((found.clone(), value.clone()));
        }
        let mut bytes = value.as_bytes().to_vec();
        // The draft of HTTP signatures says more in this header (a key's name, an algorithm), which nothing signs.
        let value = match behind(&bytes, b"signature=\"") {
            Some(at) => at..at + bytes[at..].iter().position(|byte| *byte == b'"')?,
            None => 0..bytes.len(),
        };
        let at = value.start + position % value.len().max(1);
        let byte = bytes.get_mut(at)?;
        *byte = match byte.to_ascii_lowercase() {
            b'1' => b'2',
            b'a' => b'b',
            _ if byte.is_ascii_digit() => b'1',
            _ => b'a',
        };
        Some((found.clone(), HeaderValue::from_bytes(&bytes).ok()?))
    };
    bent.headers = signed.headers.iter().map(header).collect::<Option<_>>()?;
    Some(bent)
}

/// Where the text behind `mark` begins.
fn behind(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some(at + mark.len())
}

pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |platform: &Platform, change: &str, position: usize| {
        let line = format!("{} {} {change} {position}", platform.name, platform.index);
        support::seed(&line, b"")
    };
    let mut seeds = Vec::new();
    for (at, platform) in PLATFORMS.iter().enumerate() {
        seeds.push(seed(platform, "body", at * 7));
        seeds.push(seed(platform, "signature", at * 13 + 5));
    }
    seeds
}
