//! Forms: the fields are what the URL standard's parser finds, and the mapping to JSON says the same fields. What a body is
//! taken for is what its content type says. The fields of a form, written as multipart, are read back; what is read of any
//! multipart body is what a plain splitting of it at the boundary finds.
//!
//! The first line is the content type, the rest the body.

use std::sync::LazyLock;

use hooksluice::provider::Settings;
use hooksluice::read::form::{Form, MAX_FIELDS};
use hooksluice::read::walk::to_value;
use hooksluice::read::{Document, Node, ReadOptions, Reader};
use serde_json::Value;

use super::support;

static READER: LazyLock<Reader> = LazyLock::new(|| {
    let options = ReadOptions {
        json_payload: true,
        ..ReadOptions::default()
    };
    Reader::compile(&support::open(""), &Settings::default(), options).expect("it compiles")
});

pub fn check(bytes: &[u8]) {
    let (content_type, body) = support::split_line(bytes);
    fields(body);
    written_as_multipart(body);
    let Some(header) = support::header(b"content-type", content_type) else {
        return;
    };
    let raw = support::delivery([header].into_iter().collect(), body.to_vec());
    let parts = READER.read(support::let_in(&raw), &support::over_body());
    let [part] = parts.parts() else {
        panic!("{} parts", parts.parts().len())
    };
    assert_eq!(part.data, raw.body, "the sender's bytes");
    let content_type = std::str::from_utf8(content_type).unwrap_or_default();
    match essence(content_type).as_str() {
        "application/x-www-form-urlencoded" => match (&part.document, mapped(body)) {
            (Document::Form(node), Ok(expected)) => {
                assert_eq!(to_value(node), expected);
                let text = part.mapped.as_ref().expect("the form as JSON");
                assert_eq!(serde_json::from_slice::<Value>(text).expect("JSON"), expected);
                order_is_kept(body, text);
            }
            (Document::Unreadable(refused), Err(reason)) => assert_eq!(refused.reason, reason),
            (document, expected) => panic!("read as {document:?}, expected {expected:?}"),
        },
        "multipart/form-data" => match (&part.document, split(content_type, body)) {
            (Document::Form(node), Some(fields)) => {
                let expected = members(&fields);
                assert_eq!(to_value(node), expected);
                let text = part.mapped.as_ref().expect("the form as JSON");
                assert_eq!(serde_json::from_slice::<Value>(text).expect("JSON"), expected);
            }
            // A second boundary, or what looks like one, is for our reading alone.
            (Document::Form(_), None) if content_type.to_ascii_lowercase().matches("boundary").count() != 1 => {}
            (Document::Form(node), None) => panic!("read as {node:?}"),
            (Document::Unreadable(refused), _) => {
                let known = ["empty", "not-a-form", "not-utf8", "too-many-fields"];
                assert!(known.contains(&refused.reason), "{refused}");
            }
            (document, _) => panic!("read as {document:?}"),
        },
        _ => match Node::parse(body) {
            Ok(node) => assert_eq!(part.document, Document::Json(node)),
            Err(refused) => assert_eq!(part.document, Document::Unreadable(refused)),
        },
    }
}

/// A content type without its parameters.
fn essence(content_type: &str) -> String {
    let end = content_type.find(';').unwrap_or(content_type.len());
    content_type[..end].trim().to_ascii_lowercase()
}

/// Every field's bytes, by the URL standard: `+` is a space, `%` and two hex digits are a byte.
fn decoded(body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let unescape = |text: &[u8]| {
        let mut plain = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let hex = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
            match (text[at], hex(at + 1), hex(at + 2)) {
                (b'+', ..) => plain.push(b' '),
                (b'%', Some(high), Some(low)) => {
                    plain.push((high * 16 + low) as u8);
                    at += 2;
                }
                (byte, ..) => plain.push(byte),
            }
            at += 1;
        }
        plain
    };
    let fields = body.split(|byte| *byte == b'&').filter(|field| !field.is_empty());
    let fields = fields.map(|field| {
        let mut halves = field.splitn(2, |byte| *byte == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        (unescape(name), unescape(value))
    });
    fields.collect()
}

fn fields(body: &[u8]) {
    let decoded = decoded(body);
    let is_text = |bytes: &Vec<u8>| std::str::from_utf8(bytes).is_ok();
    match Form::parse(body) {
        Ok(form) => {
            assert!(decoded.iter().all(|(name, value)| is_text(name) && is_text(value)));
            let theirs: Vec<_> = form_urlencoded::parse(body).collect();
            let ours: Vec<_> = form.iter().collect();
            assert_eq!(ours.len(), theirs.len());
            for ((ours, other), bytes) in ours.iter().zip(&theirs).zip(&decoded) {
                assert_eq!((ours.0, ours.1), (&*other.0, &*other.1));
                assert_eq!((ours.0.as_bytes(), ours.1.as_bytes()), (&bytes.0[..], &bytes.1[..]));
                let first = theirs.iter().find(|(name, _)| name == ours.0);
                assert_eq!(form.get(ours.0), first.map(|(_, value)| &**value));
            }
        }
        Err(refused) if refused.reason == "not-utf8" => {
            assert!(!decoded.iter().all(|(name, value)| is_text(name) && is_text(value)));
        }
        Err(refused) => {
            assert_eq!(refused.reason, "too-many-fields");
            assert!(decoded.len() > MAX_FIELDS);
        }
    }
}

/// What the mapping must say: a member a name, a list where the name is repeated.
fn mapped(body: &[u8]) -> Result<Value, &'static str> {
    if body.is_empty() {
        return Err("empty");
    }
    let decoded = decoded(body);
    let mut members = serde_json::Map::new();
    for (name, value) in decoded.iter().take(MAX_FIELDS) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "not-utf8");
        let (name, value) = (text(name)?, Value::String(text(value)?));
        add(&mut members, name, value);
    }
    if decoded.len() > MAX_FIELDS {
        return Err("too-many-fields");
    }
    Ok(Value::Object(members))
}

/// The same fields, written the other way as browsers do: where they can be, they are read back.
fn written_as_multipart(body: &[u8]) {
    const BOUNDARY: &str = "----of the law";
    let Ok(form) = Form::parse(body) else { return };
    let is_plain = |name: &str| {
        !name
            .chars()
            .any(|c| c.is_ascii_control() && !matches!(c, '\r' | '\n') || matches!(c, '\\' | '%'))
    };
    let holds_it = |value: &str| format!("\n{value}").contains(&format!("\n--{BOUNDARY}"));
    if form
        .iter()
        .any(|(name, value)| !is_plain(name) || holds_it(value) || name.len() > 1024)
        || form.iter().next().is_none()
    {
        return;
    }
    let mut written = String::new();
    for (name, value) in form.iter() {
        let name = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        written.extend([&head, value, "\r\n"]);
    }
    written.push_str(&format!("--{BOUNDARY}--\r\n"));
    let content_type = format!("multipart/form-data; boundary=\"{BOUNDARY}\"");
    let read = Form::multipart(&content_type, written.as_bytes()).expect("it is read");
    assert_eq!(read, form);
}

/// The fields of a multipart body, found by cutting it at every line that begins with the boundary, whatever is in it.
fn split(content_type: &str, body: &[u8]) -> Option<Vec<(String, String)>> {
    if content_type.to_ascii_lowercase().matches("boundary").count() != 1 {
        return None;
    }
    let boundary = content_type.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim_matches(['"', ' ', '\t']))
    })?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let whole = [b"\r\n", body].concat();
    let mut pieces = Vec::new();
    let mut start = 0;
    for at in 0..whole.len() {
        if at >= start && whole[at..].starts_with(&delimiter) {
            pieces.push(&whole[start..at]);
            start = at + delimiter.len();
        }
    }
    pieces.push(&whole[start..]);
    let closing = pieces.iter().skip(1).position(|piece| piece.starts_with(b"--"))?;
    let mut fields = Vec::new();
    for piece in &pieces[1..=closing] {
        let blank = piece.windows(4).position(|four| four == b"\r\n\r\n")?;
        // A part whose first line is blank has no headers, and so no name.
        let (head, value) = (std::str::from_utf8(&piece[..blank]).ok()?, &piece[blank + 4..]);
        let disposition = head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
        let after = |key: &str| {
            let mut found = None;
            let mut quoted = false;
            let text = disposition.as_bytes();
            for at in 0..text.len() {
                quoted ^= text[at] == b'"';
                let is_start = at > 0 && matches!(text[at - 1], b';' | b' ' | b'\t' | b'"');
                let rest = &text[at..];
                if !quoted
                    && is_start
                    && rest.len() >= key.len()
                    && rest[..key.len()].eq_ignore_ascii_case(key.as_bytes())
                {
                    found = found.or(Some(&disposition[at + key.len()..]));
                }
            }
            found
        };
        if after("filename=").or(after("filename*=")).is_some() {
            continue;
        }
        let name = after("name=")?;
        let name = match name.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?,
            None => name.split([';', ' ', '\t']).next()?,
        };
        let name = name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n");
        fields.push((name, String::from_utf8(value.to_vec()).ok()?));
    }
    Some(fields)
}

/// A member a name, a list where the name is repeated.
fn members(fields: &[(String, String)]) -> Value {
    let mut members = serde_json::Map::new();
    for (name, value) in fields {
        add(&mut members, name.clone(), Value::String(value.clone()));
    }
    Value::Object(members)
}

fn add(members: &mut serde_json::Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => _ = members.insert(name, value),
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// Names stand in the order in which they first came.
fn order_is_kept(body: &[u8], text: &[u8]) {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for (name, _) in decoded(body) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let node = Node::parse(text).expect("JSON");
    let members = node.as_object().expect("an object");
    let written: Vec<_> = members.iter().map(|(name, _)| name.as_bytes().to_vec()).collect();
    assert_eq!(written, names);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (_, sample) in support::samples() {
        let mut headers = sample.request.headers.iter();
        let content_type = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let Some((_, content_type)) = content_type.filter(|(_, value)| !essence(value).ends_with("json")) {
            seeds.push(support::seed(content_type, &sample.body));
        }
    }
    seeds
}
