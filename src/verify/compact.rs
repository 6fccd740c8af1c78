//! A member of a JSON body as the sender wrote it, without the white space between its tokens.
//!
//! What a platform signs as "compact JSON" is what its own serialiser makes of the member; that keeps order, numbers and
//! escapes as they are in what it sends, and leaves the white space out.

use sonic_rs::PointerNode;

pub(super) fn nodes(pointer: &str) -> Vec<PointerNode> {
    let node = |segment: &str| {
        let name = segment.replace("~1", "/").replace("~0", "~");
        name.parse()
            .map_or_else(|_| PointerNode::Key(name.clone().into()), PointerNode::Index)
    };
    pointer.split('/').skip(1).map(node).collect()
}

/// The member's exact bytes. The body was parsed before: it is one document, and says no member on the way twice.
pub(super) fn member<'b>(body: &'b [u8], nodes: &[PointerNode]) -> Option<&'b [u8]> {
    let text = std::str::from_utf8(body).ok()?;
    match sonic_rs::get(text, nodes).ok()?.as_raw_cow() {
        std::borrow::Cow::Borrowed(text) => Some(text.as_bytes()),
        std::borrow::Cow::Owned(_) => None,
    }
}

/// Hands `json` on without the white space that is in no text.
pub(super) fn feed(json: &[u8], sink: &mut dyn FnMut(&[u8])) {
    let (mut start, mut in_text, mut escaped) = (0, false, false);
    for (at, byte) in json.iter().enumerate() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' if !in_text => {
                sink(&json[start..at]);
                start = at + 1;
            }
            b'"' if !escaped => in_text = !in_text,
            _ => {}
        }
        escaped = in_text && *byte == b'\\' && !escaped;
    }
    sink(&json[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compacted(json: &str) -> String {
        let mut out = Vec::new();
        feed(json.as_bytes(), &mut |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn white_space_goes_where_it_means_nothing() {
        assert_eq!(
            compacted("{ \"a b\" :\t[ 1.50 ,\r\n\"x \\\" y\\\\\" , {} ] }"),
            r#"{"a b":[1.50,"x \" y\\",{}]}"#
        );
        assert_eq!(compacted(r#"{"a":1}"#), r#"{"a":1}"#);
    }

    #[test]
    fn the_member_is_found_where_it_stands() {
        let body = br#"{"event":"x","payload" : { "a": [1, {"b": 2}] } }"#;
        assert_eq!(
            member(body, &nodes("/payload")),
            Some(&br#"{ "a": [1, {"b": 2}] }"#[..])
        );
        assert_eq!(member(body, &nodes("/payload/a/1")), Some(&br#"{"b": 2}"#[..]));
        assert_eq!(member(body, &nodes("/none")), None);
    }
}
