//! Checks of single settings, shared by sources and listeners.

use std::path::Path;

use ipnet::IpNet;

use super::Config;
use super::destination::JOURNAL;
use super::listeners::network;
use super::problem::Problem;
use super::source::{Route, Source};
use crate::provider::Definition;
use crate::provider::nearest::did_you_mean;

/// Names are metric labels, parts of paths and of environment variables (which come in lower case).
pub(super) fn name(place: &str, name: &str, problems: &mut Vec<Problem>) {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let starts = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !starts || name.len() > 63 || !name.bytes().all(good) {
        problems.push(Problem::new(
            place,
            format!("`{name}` is not a name"),
            "use up to 63 lower-case letters, digits, `-` and `_`, a letter or digit first",
        ));
    }
}

pub(super) fn path(place: &str, path: &str, problems: &mut Vec<Problem>) {
    let segments_good = path
        .split('/')
        .skip(1)
        .all(|segment| !matches!(segment, "" | "." | ".."));
    let visible = path.bytes().all(|b| b.is_ascii_graphic() && !b"?#%{}\\".contains(&b));
    if !path.starts_with('/') || path == "/" || !segments_good || !visible || path.len() > 1024 {
        problems.push(Problem::new(
            place,
            format!("`{path}` is not a path"),
            "begin with `/`, no empty, `.` or `..` segments, no `?`, `#`, `%` or braces",
        ));
    }
}

pub(super) fn public_url(place: &str, url: &str, problems: &mut Vec<Problem>) {
    let good = url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    if !good || url.contains('#') {
        problems.push(Problem::new(
            place,
            format!("`{url}` is not a URL that a platform can call"),
            "write it as `https://hooks.example.com`, without query or fragment",
        ));
    }
}

pub(super) fn destination(place: &str, name: &str, config: &Config, problems: &mut Vec<Problem>) {
    if name == JOURNAL {
        if config.journal.is_none() {
            problems.push(Problem::new(
                place,
                "events would go to the journal, and there is none",
                "name a destination, or add `journal: { path: data/hooksluice.db }`",
            ));
        }
    } else if !config.destinations.contains_key(name) {
        let journal = config.journal.iter().map(|_| JOURNAL);
        let known = || config.destinations.keys().map(String::as_str).chain(journal.clone());
        problems.push(Problem::new(
            place,
            format!("unknown destination `{name}`{}", did_you_mean(name, known())),
            format!("configured are: {}", known().collect::<Vec<_>>().join(", ")),
        ));
    }
}

pub(super) fn route(place: &str, route: &Route, domain: &str, config: &Config, problems: &mut Vec<Problem>) {
    if route.types.is_empty() {
        problems.push(Problem::new(
            format!("{place}.types"),
            "is empty",
            "name at least one event type",
        ));
    }
    for pattern in &route.types {
        type_pattern(&format!("{place}.types"), pattern, domain, problems);
    }
    match (&route.destination, route.ignore) {
        (Some(name), false) => destination(&format!("{place}.destination"), name, config, problems),
        (None, true) => {}
        (Some(_), true) => problems.push(Problem::new(
            place,
            "both `destination` and `ignore`",
            "give one of them",
        )),
        (None, false) => problems.push(Problem::new(
            place,
            "leads nowhere",
            "give `destination: NAME` or `ignore: true`",
        )),
    }
}

/// An event type with its domain, or everything below one.
pub(super) fn type_pattern(place: &str, pattern: &str, domain: &str, problems: &mut Vec<Problem>) {
    let stem = pattern.strip_suffix(".*").unwrap_or(pattern);
    if pattern.is_empty() || stem.contains('*') {
        problems.push(Problem::new(
            place,
            format!("`{pattern}` is not a pattern of types"),
            "write a whole type, or end it in `.*`",
        ));
    } else if !domain.is_empty() && stem != domain && !stem.starts_with(&format!("{domain}.")) {
        problems.push(Problem::new(
            place,
            format!("`{pattern}` matches no event of this source"),
            format!("its types begin with `{domain}.`"),
        ));
    }
}

/// The word in `senders` that stands for the networks of the platform's own page.
const PUBLISHED: &str = "published";

/// Networks that deliveries may come from; `None` where none are listed.
pub(super) fn senders(
    place: &str,
    given: &[String],
    published: &[String],
    problems: &mut Vec<Problem>,
) -> Option<Vec<IpNet>> {
    let mut networks = Vec::new();
    for text in given {
        let texts = match text.as_str() {
            PUBLISHED if published.is_empty() => {
                problems.push(Problem::new(
                    place,
                    "no networks of this platform's are known",
                    "list those that its page names",
                ));
                continue;
            }
            PUBLISHED => published,
            _ => std::slice::from_ref(text),
        };
        for text in texts {
            match network(text) {
                Ok(network) => networks.push(network),
                Err(problem) => problems.push(Problem::new(place, problem, "")),
            }
        }
    }
    (!given.is_empty()).then_some(networks)
}

/// A secret is waited for only where the platform tells one, and while there is none.
pub(super) fn capture(place: &str, source: &Source, definition: &Definition, problems: &mut Vec<Problem>) {
    if !definition.handshake.iter().any(|handshake| handshake.capture.is_some()) {
        problems.push(Problem::new(
            place,
            "this platform tells no secret in its requests",
            "take it out, and give the secret",
        ));
    }
    if !source.secrets.is_empty() {
        problems.push(Problem::new(
            place,
            "the source has a secret, so none is waited for",
            "take `capture` out",
        ));
    }
    let folder = source.capture.as_deref().and_then(Path::parent);
    if folder.is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        problems.push(Problem::new(
            place,
            "its folder does not exist",
            "make it, or give another path",
        ));
    }
}
