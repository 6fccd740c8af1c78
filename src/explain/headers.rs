//! What proxies and frameworks do to headers: taken away, renamed, folded, doubled, their values changed.

use super::expected;
use super::trial::{self, Bench};
use super::{Case, Cause, Mistake};
use crate::delivery::{HeaderName, RawDelivery};
use crate::verify::VerifyError;

/// So many white spaces of one value are taken out, each alone.
const MOST_SPACES: usize = 32;

/// A delivery with its headers mended, as far as it could be; the cause; and whether the signature holds now.
pub(super) async fn mend(case: &Case<'_>, bench: &Bench, error: &VerifyError) -> Option<(RawDelivery, Cause, bool)> {
    let mut wanted = wanted(case);
    // Those that are there in a wrong form are tried after those that are not there.
    wanted.sort_by_key(|name| case.raw.headers.all(name).count() > 0);
    let mut best = None;
    for name in &wanted {
        for (cause, raw) in mended(case, name) {
            match bench.judge(&raw, case.at).await {
                Ok(_) => return Some((raw, cause, true)),
                Err(now) if trial::is_genuine(&now) => return Some((raw, cause, true)),
                // It is found now, and the search goes on with it.
                Err(now) if is_shape(error) && !is_shape(&now) && best.is_none() => {
                    best = Some((raw, Cause { proved: false, ..cause }, false));
                }
                Err(_) => {}
            }
        }
    }
    best
}

fn is_shape(error: &VerifyError) -> bool {
    matches!(
        error,
        VerifyError::Missing(_) | VerifyError::Malformed(_) | VerifyError::Timestamp
    )
}

/// Every header that a signature of this provider needs, or that this delivery says is signed.
pub(super) fn wanted(case: &Case<'_>) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for name in case.covers().into_iter().flat_map(|covers| covers.headers) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The delivery with this header as it may have been.
fn mended(case: &Case<'_>, wanted: &HeaderName) -> Vec<(Cause, RawDelivery)> {
    let raw = &case.raw;
    let values: Vec<&[u8]> = raw.headers.all(wanted).collect();
    match values[..] {
        [] => renamed(raw, wanted),
        [value] => changed(case, wanted, value),
        _ => values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| {
                let says = format!(
                    "header `{wanted}` is there {} times; the one at position {} is the platform's",
                    values.len(),
                    index + 1
                );
                let remedy =
                    "find what adds it a second time on the way (a proxy that mirrors headers), and take that out";
                let cause = Cause::proved(Mistake::HeaderDoubled, says, remedy);
                Some((cause, trial::with_header(raw, wanted.as_str(), value)?))
            })
            .collect(),
    }
}

fn renamed(raw: &RawDelivery, wanted: &HeaderName) -> Vec<(Cause, RawDelivery)> {
    let mut alike: Vec<(usize, &HeaderName, &[u8])> = raw
        .headers
        .iter()
        .filter_map(|(name, value)| Some((distance(name.as_str(), wanted.as_str())?, name, value.as_bytes())))
        .collect();
    alike.sort_by_key(|(distance, ..)| *distance);
    alike
        .into_iter()
        .filter_map(|(_, name, value)| {
            let says = format!("header `{wanted}` arrives as `{name}`: it was renamed on the way");
            let remedy = format!(
                "have the proxy or framework pass `{wanted}` on under its own name (nginx drops names with `_` unless told: `underscores_in_headers on`)"
            );
            let cause = Cause::proved(Mistake::HeaderRenamed, says, remedy);
            Some((cause, trial::with_header(raw, wanted.as_str(), value)?))
        })
        .collect()
}

/// How far a name is from the wanted one, where it may be the same header.
fn distance(name: &str, wanted: &str) -> Option<usize> {
    let bare = |name: &str| -> String {
        let name = name.to_ascii_lowercase().replace('_', "-");
        let mut rest = name.as_str();
        for prefix in [
            "http-",
            "x-amzn-remapped-",
            "x-original-",
            "x-forwarded-",
            "x-http-",
            "x-",
        ] {
            rest = rest.strip_prefix(prefix).unwrap_or(rest);
        }
        rest.replace('-', "")
    };
    let (name, wanted) = (bare(name), bare(wanted));
    let distance = strsim::damerau_levenshtein(&name, &wanted);
    // Of short names, most are near to one another.
    (distance == 0 || (distance <= 2 && wanted.len() > 6)).then_some(distance)
}

/// Changes of a value, undone.
fn changed(case: &Case<'_>, wanted: &HeaderName, value: &[u8]) -> Vec<(Cause, RawDelivery)> {
    let mut all = Vec::new();
    let mut add = |mistake, says: String, remedy: &str, other: Vec<u8>| {
        if other != value
            && let Some(raw) = trial::with_header(&case.raw, wanted.as_str(), &other)
        {
            all.push((Cause::proved(mistake, says, remedy), raw));
        }
    };
    const AS_IS: &str = "pass the header's value on as it came";
    const ONE_LINE: &str = "keep the header on one line: something on the way breaks long lines (a mail gateway, a logger, obs-fold of RFC 9112 section 5.2)";
    let words: Vec<&[u8]> = value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let folded = |says: &str| format!("header `{wanted}` was folded on the way: {says}");
    add(
        Mistake::HeaderFolded,
        folded("the signature holds without the white space inside it"),
        ONE_LINE,
        words.concat(),
    );
    add(
        Mistake::HeaderFolded,
        folded("the signature holds with single spaces inside it"),
        ONE_LINE,
        words.join(&b' '),
    );
    // Where some of it belongs there, as in a list of names.
    let spaces = value.iter().enumerate().filter(|(_, byte)| byte.is_ascii_whitespace());
    for (at, _) in spaces.take(MOST_SPACES) {
        let rest = value[at..].trim_ascii_start();
        add(
            Mistake::HeaderFolded,
            folded("the signature holds without one of the white spaces inside it"),
            ONE_LINE,
            [&value[..at], rest].concat(),
        );
    }
    for separator in [&b", "[..], b","] {
        let Some(at) = value.windows(separator.len()).position(|window| window == separator) else {
            continue;
        };
        let says = format!("header `{wanted}` holds its value twice, joined by a comma");
        let remedy = "find what adds it a second time on the way, and take that out";
        add(Mistake::HeaderDoubled, says, remedy, value[..at].to_vec());
    }
    let says = |what: &str| format!("the value of header `{wanted}` was changed on the way: {what}");
    if let [b'"' | b'\'', inside @ .., b'"' | b'\''] = value {
        add(
            Mistake::HeaderChanged,
            says("it stands in quotes"),
            AS_IS,
            inside.to_vec(),
        );
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode(value).collect();
    add(
        Mistake::HeaderChanged,
        says("its characters are `%` escapes"),
        AS_IS,
        decoded,
    );
    add(
        Mistake::HeaderChanged,
        says("`+` became a space"),
        AS_IS,
        value
            .iter()
            .map(|byte| if *byte == b' ' { b'+' } else { *byte })
            .collect(),
    );
    let rules = &case.definition.signature;
    let own = rules.iter().map(|rule| &rule.from).filter(|find| {
        find.header
            .as_deref()
            .is_some_and(|name| name.eq_ignore_ascii_case(wanted.as_str()))
    });
    for find in own {
        let place = expected::place(find);
        let prefix = find.prefix.as_deref().unwrap_or_default();
        if let Some(rest) = value.strip_prefix(prefix.as_bytes()).filter(|_| !prefix.is_empty()) {
            let bare: Vec<u8> = rest
                .iter()
                .copied()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect();
            add(
                Mistake::HeaderFolded,
                folded("the signature holds without the white space inside it"),
                ONE_LINE,
                [prefix.as_bytes(), &bare[..]].concat(),
            );
        }
        if !prefix.is_empty() && !value.starts_with(prefix.as_bytes()) {
            add(
                Mistake::HeaderChanged,
                format!("the value is not in {place}: what stands in front of it was taken away"),
                AS_IS,
                [prefix.as_bytes(), value].concat(),
            );
        }
        if let Some(at) = value
            .iter()
            .position(|byte| b"= ".contains(byte))
            .filter(|_| prefix.is_empty())
        {
            let rest = &value[at + 1..];
            if rest.len() > 16 {
                add(
                    Mistake::HeaderChanged,
                    says("something was put in front of it"),
                    AS_IS,
                    rest.to_vec(),
                );
            }
        }
    }
    all
}
