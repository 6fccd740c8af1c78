//! No delivery that was made without the key is ever let in, whatever it says, and by whichever provider's rules.
//!
//! The first line is `provider index`, the second `METHOD target`; then headers, an empty line, and the body. The keys are
//! made anew in each process: an input cannot hold one.

use hooksluice::delivery::{Headers, Method, RawDelivery};
use hooksluice::handshake::LONGEST_ECHO;

use super::platforms::{PLATFORMS, Platform, today};
use super::support;

pub fn check(bytes: &[u8]) {
    let Some((line, rest)) = support::head(bytes) else {
        return;
    };
    let Some(raw) = parse(rest) else { return };
    let Some(keyed) = Platform::of(line).keyed() else {
        return;
    };
    if let Some(Ok(verified)) = support::verify(&keyed.verifier, &raw, today()) {
        panic!("let in without the key: {:?}", verified.proof());
    }
    // A challenge may be answered; with an echo, never with a page, and never at length.
    if let Some(Ok(reply)) = keyed.handshakes.before_verification(&raw) {
        assert!(reply.confirm.is_none(), "an unsigned challenge had us call out");
        assert!((200..300).contains(&reply.status), "{}", reply.status);
        assert!(!reply.content_type.is_some_and(|kind| kind.contains("html")));
        // An echo inside of JSON may take six bytes for one.
        assert!(
            reply.body.len() <= 6 * LONGEST_ECHO + 1024,
            "{} bytes",
            reply.body.len()
        );
    }
}

fn parse(text: &[u8]) -> Option<RawDelivery> {
    let (line, mut rest) = support::split_line(text);
    let line = std::str::from_utf8(line).ok()?;
    let (method, target) = line.split_once(' ').unwrap_or(("POST", line));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Headers::default();
    loop {
        let (line, after) = support::split_line(rest);
        rest = after;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        if let Some((name, value)) = support::header(&line[..colon], value) {
            headers.push(name, value);
        }
    }
    Some(RawDelivery {
        method: Method::from_bytes(method.as_bytes()).ok()?,
        path: path.to_owned(),
        query: query.to_owned(),
        url: format!("https://hooks.example.com{target}"),
        ..support::delivery(headers, rest.to_vec())
    })
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for platform in PLATFORMS.iter() {
        let Some(keyed) = platform.keyed() else { continue };
        let request = keyed.request(&keyed.sample.body);
        let mut text = format!("{} {}\n{} ", platform.name, platform.index, request.method);
        let target = request.url.splitn(4, '/').nth(3).unwrap_or_default();
        text.push_str(&format!("/{target}\n"));
        let recorded = keyed.sample.signed.iter().flat_map(|signed| &signed.headers);
        for (name, value) in keyed.sample.request.headers.iter().chain(recorded) {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text.push('\n');
        seeds.push([text.as_bytes(), &keyed.sample.body].concat());
    }
    seeds
}
