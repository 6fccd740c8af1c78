//! What a sender says becomes safe for names, headers and logs, and bounded.

use std::borrow::Cow;
use std::fmt::Write;

/// Bytes of an event name, at most.
pub const MAX_EVENT: usize = 200;
/// Bytes of an id, subject, version or key, at most.
pub const MAX_VALUE: usize = 512;

/// An event name: `/`, `:` and space separate like `.`; of the rest, what is neither letter, digit,
/// `_` nor `-` becomes `_`. Empty pieces fall away. `None` when nothing is left.
pub fn event(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len().min(MAX_EVENT));
    for character in text.chars() {
        if name.len() >= MAX_EVENT {
            break;
        }
        match character {
            '.' | '/' | ':' | ' ' => {
                if !name.is_empty() && !name.ends_with('.') {
                    name.push('.');
                }
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => name.push(character),
            _ => name.push('_'),
        }
    }
    name.truncate(name.trim_end_matches('.').len());
    (!name.is_empty()).then_some(name)
}

/// A value that may stand in a header: control characters become `_`; cut at [`MAX_VALUE`] bytes.
pub fn value(text: &str) -> String {
    let mut end = text.len().min(MAX_VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    without_controls(&text[..end]).into_owned()
}

/// An id is never cut, for two long ones could become one: from [`MAX_VALUE`] bytes on its SHA-256 stands for it.
pub fn id(text: &str) -> String {
    use sha2::{Digest, Sha256};
    if text.len() > MAX_VALUE {
        return format!("sha256:{}", hex::encode(Sha256::digest(text)));
    }
    without_controls(text).into_owned()
}

/// What no attribute may hold (CloudEvents 1.0, type system), and the two line separators of Unicode.
fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// The same JSON, its control characters escaped: serialisers leave those behind ASCII as they are, and they can only
/// stand in its strings.
pub fn json(text: String) -> String {
    if !text.chars().any(is_control) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_control(character) {
            // All are of the first plane.
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Control characters (also the two line separators of Unicode) become `_`.
pub fn without_controls(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_control) {
        Cow::Owned(
            text.chars()
                .map(|character| if is_control(character) { '_' } else { character })
                .collect(),
        )
    } else {
        Cow::Borrowed(text)
    }
}
