//! A raw HTTP request, as a socket, a proxy's log or an editor has it: with CRLF or LF, with folded headers, in chunks.

use super::{Captured, Note};

/// Whether the first line is a request line (RFC 9112 section 3).
pub(super) fn starts(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], [method, _, version] if version.starts_with("HTTP/") && method.bytes().all(|b| b.is_ascii_uppercase()))
}

pub(super) fn read(text: &[u8]) -> Captured {
    let mut rest = text;
    let mut lines = Vec::new();
    while let Some(line) = next_line(&mut rest) {
        if line.is_empty() {
            break;
        }
        lines.push(String::from_utf8_lossy(line).into_owned());
    }
    let mut captured = head(lines.iter().map(String::as_str));
    let chunked = captured
        .headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value.contains("chunked"));
    let body = match chunked.then(|| whole(rest)).flatten() {
        Some(body) => body,
        None => rest.to_vec(),
    };
    let declared = captured
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let declared = declared.and_then(|(_, value)| value.trim().parse::<usize>().ok());
    if declared.is_some_and(|length| body.len() < length) {
        captured.notes.push(Note::BodyCut);
    }
    captured.body = Some(body);
    captured
}

/// Request line and headers; a line that begins with white space goes on with the one before (RFC 9112 section 5.2).
pub(super) fn head<'l>(lines: impl Iterator<Item = &'l str>) -> Captured {
    let mut captured = Captured::default();
    for (index, line) in lines.enumerate() {
        let mut words = line.split_whitespace();
        if index == 0 {
            captured.method = words.next().unwrap_or_default().to_owned();
            captured.url = words.next().unwrap_or_default().to_owned();
        } else if line.starts_with([' ', '\t']) {
            if let Some((name, value)) = captured.headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
                captured.notes.push(Note::Folded(name.clone()));
            }
        } else if let Some((name, value)) = line.split_once(':') {
            captured.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    captured
}

/// Without its line break, LF or CRLF.
fn next_line<'t>(rest: &mut &'t [u8]) -> Option<&'t [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 1..).unwrap_or_default();
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The body out of its chunks; `None` where there are none: whoever captured it joined them.
fn whole(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = String::from_utf8(next_line(&mut rest)?.to_vec()).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?;
        next_line(&mut rest)?;
    }
}
