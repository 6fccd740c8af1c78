//! W3C trace context of the request, passed on where it is valid.

use std::sync::Arc;

use crate::delivery::{HeaderName, RawDelivery};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `traceparent`, and `tracestate` where there is one.
pub(super) fn context(raw: &RawDelivery) -> Option<(Arc<str>, Option<Arc<str>>)> {
    let parent = raw
        .headers
        .text(&TRACEPARENT)
        .map(str::trim)
        .filter(|text| is_parent(text))?;
    let states: Vec<_> = raw
        .headers
        .all(&TRACESTATE)
        .map(std::str::from_utf8)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    let state = states.join(",");
    let state = (is_state(&state)).then(|| Arc::from(state.trim()));
    Some((parent.into(), state))
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, lower case, ids not all zero; a later version may go on after a dash.
fn is_parent(text: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let mut pieces = text.split('-');
    let (Some(version), Some(trace), Some(span), Some(flags)) =
        (pieces.next(), pieces.next(), pieces.next(), pieces.next())
    else {
        return false;
    };
    let more = pieces.next().is_some();
    let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
    lengths
        && text.len() <= 256
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && [version, trace, span, flags].into_iter().all(hex)
        && version != "ff"
        && !(version == "00" && more)
        && !zero(trace)
        && !zero(span)
}

/// At most 512 bytes and 32 `key=value` members of printable ASCII.
fn is_state(text: &str) -> bool {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    let count = members.clone().count();
    text.len() <= 512
        && (1..=32).contains(&count)
        && text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && !text.contains('\t')
        && members.clone().all(|member| {
            member
                .split_once('=')
                .is_some_and(|(key, value)| !key.is_empty() && !value.is_empty())
        })
}
