//! What happens to a body on its way, undone: line breaks, charset, encoding, and JSON or a form that was written anew.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json::{self, ESCAPES, Escapes, LAYOUTS, Layout, Node, Order, Positions};
use super::trial::Bench;
use super::{Case, Cause, Mistake};
use crate::clock::Timestamp;
use crate::delivery::RawDelivery;
use crate::lint::recorded::with_body;

/// A larger one is not written anew in every style.
const MOST_REWRITTEN: usize = 1 << 20;

/// So many orders of keys are tried.
const MOST_SAMPLES: usize = 6;

const THEIRS: &str = "the keys in the platform's order";

const KEEP: &str =
    "pass the bytes on as they came: read the raw body before any middleware, and do not decode, trim or re-encode it";
const PARSED: &str =
    "verify the raw bytes, and parse afterwards: something on the way parses the body and serialises it again";

/// One change that is made without looking into the body.
struct Change {
    mistake: Mistake,
    /// What happened to it on the way.
    says: &'static str,
    body: Vec<u8>,
}

/// Line breaks, charset, encoding.
pub(super) async fn simple(bench: &Bench, raw: &RawDelivery, at: Timestamp) -> Option<(Cause, RawDelivery)> {
    for change in changes(raw) {
        let changed = with_body(raw, change.body);
        if bench.holds(&changed, at).await {
            return Some((Cause::proved(change.mistake, change.says, KEEP), changed));
        }
    }
    None
}

fn changes(raw: &RawDelivery) -> Vec<Change> {
    use Mistake::{BodyCharset, BodyEncoded, BodyLength, BodyLineBreaks, BodyNewline};
    let body: &[u8] = &raw.body;
    let mut changes = Vec::new();
    let mut add = |mistake, says, body: Vec<u8>| {
        if body != *raw.body {
            changes.push(Change { mistake, says, body });
        }
    };
    let joined = |end: &[u8]| [body, end].concat();
    add(
        BodyNewline,
        "a line break at the body's end was lost on the way",
        joined(b"\n"),
    );
    add(
        BodyNewline,
        "a line break (CRLF) at the body's end was lost on the way",
        joined(b"\r\n"),
    );
    let without = body.strip_suffix(b"\n").unwrap_or(body);
    let without = without.strip_suffix(b"\r").unwrap_or(without);
    add(
        BodyNewline,
        "a line break was added at the body's end",
        without.to_vec(),
    );
    add(
        BodyNewline,
        "white space was added around the body",
        body.trim_ascii().to_vec(),
    );
    let unix = replace(body, b"\r\n", b"\n");
    add(BodyLineBreaks, "line breaks were changed from LF to CRLF", unix.clone());
    add(
        BodyLineBreaks,
        "line breaks were changed from CRLF to LF",
        replace(&unix, b"\n", b"\r\n"),
    );
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let bare = body.strip_prefix(BOM);
    if let Some(bare) = bare {
        add(
            BodyCharset,
            "a byte order mark was put in front of the body",
            bare.to_vec(),
        );
    }
    add(
        BodyCharset,
        "the byte order mark in front of the body was taken away",
        [BOM, body].concat(),
    );
    if let Ok(text) = std::str::from_utf8(body) {
        if let Some(bytes) = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect() {
            add(
                BodyCharset,
                "the body was read as Latin-1, and written as UTF-8 (its bytes are encoded twice)",
                bytes,
            );
        }
    } else {
        let text: String = body.iter().map(|byte| char::from(*byte)).collect();
        add(
            BodyCharset,
            "the body was written as Latin-1, and the platform signed it as UTF-8",
            text.into_bytes(),
        );
    }
    if let Ok(text) = STANDARD.decode(body.trim_ascii()) {
        add(
            BodyEncoded,
            "the body is base64: something on the way encoded it (API gateways do so with what they take for binary)",
            text,
        );
    }
    if let Ok(text) = serde_json::from_slice::<String>(body) {
        add(
            BodyEncoded,
            "the body is a JSON string that holds the document: it was serialised twice",
            text.into_bytes(),
        );
    }
    let declared = raw.headers.text(&actix_web::http::header::CONTENT_LENGTH);
    let declared = declared.and_then(|text| text.parse::<usize>().ok());
    if let Some(head) = declared.and_then(|length| body.get(..length)) {
        add(
            BodyLength,
            "the body is longer than its Content-Length: something was added at its end",
            head.to_vec(),
        );
    }
    changes
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// JSON and forms, written as other serialisers write them.
pub(super) async fn reserialised(case: &Case<'_>, bench: &Bench, raw: &RawDelivery) -> Option<(Cause, RawDelivery)> {
    for (mistake, says, body) in Rewriter::new(case, &raw.body).bodies() {
        let changed = with_body(raw, body.into_bytes());
        if bench.holds(&changed, case.at).await {
            return Some((Cause::proved(mistake, says, PARSED), changed));
        }
    }
    None
}

/// A body in every other style, the likeliest first, each written when it is asked for.
pub(super) struct Rewriter<'b> {
    body: &'b [u8],
    document: Option<Node<'b>>,
    /// How the body itself is laid out, where that is known.
    layout: Option<(Layout, &'static str)>,
    positions: Vec<Positions>,
    forms: Vec<(&'static str, String)>,
}

/// One way to write a document, and the words for what differs.
struct Style<'p> {
    words: Vec<&'static str>,
    layout: Layout,
    escapes: Escapes,
    order: Order<'p>,
    end: &'static str,
}

impl<'b> Rewriter<'b> {
    pub fn new(case: &Case<'_>, body: &'b [u8]) -> Self {
        let small = body.len() <= MOST_REWRITTEN;
        let document = small.then(|| json::parse(body)).flatten();
        let layout = document.as_ref().and_then(|document| {
            let is = |layout: Layout| {
                let text = document.write(layout, Escapes::Kept, Order::Kept);
                text.as_bytes() == body.trim_ascii()
            };
            LAYOUTS.iter().find(|(layout, _)| is(*layout)).copied()
        });
        let pairs = form(body).filter(|_| small && document.is_none());
        Self {
            body,
            layout,
            positions: positions(case),
            forms: pairs.map(forms).unwrap_or_default(),
            document,
        }
    }

    /// Each once.
    pub fn bodies(&self) -> impl Iterator<Item = (Mistake, String, String)> {
        let documents = self.document.iter().flat_map(move |document| {
            self.styles().into_iter().map(move |style| {
                let text = document.write(style.layout, style.escapes, style.order) + style.end;
                (Mistake::BodyReserialised, self.says(&style.words), text)
            })
        });
        let forms = self.forms.iter().map(|(says, text)| {
            let says =
                format!("the form was encoded again on the way: the signature holds over the same fields {says}");
            (Mistake::FormReserialised, says, text.clone())
        });
        // A text of the same hash would be passed over: that costs a trial.
        let mut seen = BTreeSet::from([hash(self.body)]);
        documents
            .chain(forms)
            .filter(move |(_, _, text)| seen.insert(hash(text.as_bytes())))
    }

    fn says(&self, words: &[&str]) -> String {
        let here = match self.layout {
            Some((Layout::Compact, _)) | None => String::new(),
            Some((_, says)) => format!(" (here it is {says})"),
        };
        format!(
            "the JSON was serialised again on the way: the signature holds over the same document {}{here}",
            words.join(", ")
        )
    }

    /// Those with the fewest differences first.
    fn styles(&self) -> Vec<Style<'_>> {
        let samples = self.positions.iter().map(|positions| (Order::As(positions), THEIRS));
        let orders: Vec<_> = std::iter::once((Order::Kept, ""))
            .chain(samples)
            .chain([(Order::Sorted, "the keys sorted")])
            .collect();
        let mut styles = Vec::new();
        for (layout, layout_says) in LAYOUTS {
            let is_here = self.layout.is_some_and(|(here, _)| here == layout);
            for (escapes, escapes_say) in ESCAPES {
                for (order, order_says) in &orders {
                    for (end, end_says) in [("", ""), ("\n", "a line break at its end")] {
                        let words = [
                            if is_here { "" } else { layout_says },
                            escapes_say,
                            *order_says,
                            end_says,
                        ];
                        styles.push(Style {
                            words: words.into_iter().filter(|word| !word.is_empty()).collect(),
                            layout,
                            escapes,
                            order: *order,
                            end,
                        });
                    }
                }
            }
        }
        styles.sort_by_key(|style| style.words.len());
        styles
    }
}

fn hash(text: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Where the platform has its keys, as each of its samples shows it.
fn positions(case: &Case<'_>) -> Vec<Positions> {
    let names = case.catalogue.sample_names(case.provider);
    let samples = names
        .iter()
        .filter_map(|name| case.catalogue.sample(case.provider, name).ok());
    let positions = samples.filter_map(|sample| {
        let mut positions = Positions::new();
        json::parse(&sample.body)?.positions(&mut positions);
        Some(positions)
    });
    positions.take(MOST_SAMPLES).collect()
}

/// Names and values, still escaped; `None` where it does not look like a form.
fn form(body: &[u8]) -> Option<Vec<(&str, &str)>> {
    let text = std::str::from_utf8(body).ok()?;
    if !text.contains('=') || text.contains(|c: char| c.is_ascii_whitespace() || "{<\"".contains(c)) {
        return None;
    }
    Some(
        text.split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect(),
    )
}

fn forms(pairs: Vec<(&str, &str)>) -> Vec<(&'static str, String)> {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
    const WHATWG: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
    const RFC3986: &AsciiSet = &NON_ALPHANUMERIC.remove(b'~').remove(b'-').remove(b'.').remove(b'_');
    const COMPONENT: &AsciiSet = &RFC3986
        .remove(b'!')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')')
        .remove(b'*');
    let decoded = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let written = |pairs: &[(&str, &str)], set: &'static AsciiSet, plus: bool, small: bool| {
        let escape = |text: &str| {
            let text = utf8_percent_encode(&decoded(text), set).to_string();
            let text = if plus { text.replace("%20", "+") } else { text };
            if small { small_escapes(&text) } else { text }
        };
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
            .collect();
        pairs.join("&")
    };
    let mut sorted = pairs.clone();
    sorted.sort_by_key(|(name, _)| *name);
    let mut all = Vec::new();
    for (pairs, is_sorted) in [(&pairs, false), (&sorted, true)] {
        for (set, says, sorted_says) in [
            (
                WHATWG,
                "escaped as a browser does",
                "escaped as a browser does, sorted by name",
            ),
            (
                RFC3986,
                "escaped as RFC 3986 says",
                "escaped as RFC 3986 says, sorted by name",
            ),
            (
                COMPONENT,
                "escaped as encodeURIComponent does",
                "escaped as encodeURIComponent does, sorted by name",
            ),
        ] {
            for (plus, small) in [(true, false), (false, false), (true, true), (false, true)] {
                let says = if is_sorted { sorted_says } else { says };
                all.push((says, written(pairs, set, plus, small)));
            }
        }
    }
    all
}

/// `%2F` as `%2f`.
fn small_escapes(text: &str) -> String {
    let mut digits = 0;
    let small = |c: char| {
        if c == '%' {
            digits = 2;
            return c;
        }
        let is_digit = digits > 0;
        digits -= u8::from(is_digit);
        if is_digit { c.to_ascii_lowercase() } else { c }
    };
    text.chars().map(small).collect()
}
