//! Requests in JSON: a HAR, and what loggers, request bins and serverless platforms write of one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{CaptureError, Captured, Note};
use crate::clock::Timestamp;

pub(super) fn read(text: &[u8]) -> Result<Vec<Captured>, CaptureError> {
    let value: Value = serde_json::from_slice(text)
        .map_err(|error| CaptureError::Malformed(format!("it looks like JSON, and is none: {error}")))?;
    if let Some(entries) = value.pointer("/log/entries").and_then(Value::as_array) {
        return Ok(entries.iter().filter_map(har).collect());
    }
    let all = match &value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    Ok(all.iter().filter_map(logged).collect())
}

/// HTTP Archive 1.2.
fn har(entry: &Value) -> Option<Captured> {
    let request = entry.get("request")?;
    let data = request.get("postData");
    let body = data.and_then(|data| data.get("text")?.as_str()).unwrap_or_default();
    let is_base64 = data.is_some_and(|data| data.get("encoding").is_some_and(|encoding| encoding == "base64"));
    Some(Captured {
        method: text(request, &["method"])?,
        url: text(request, &["url"])?,
        headers: headers(request.get("headers")?),
        body: Some(decoded(body, is_base64)),
        at: entry.get("startedDateTime").and_then(time),
        notes: Vec::new(),
    })
}

/// `method`, `url` or `path`, `headers`, `body`, under the names that are in use.
fn logged(value: &Value) -> Option<Captured> {
    let value = value
        .get("request")
        .filter(|inner| inner.get("headers").is_some())
        .unwrap_or(value);
    let headers = headers(value.get("multiValueHeaders").or_else(|| value.get("headers"))?);
    let mut notes = Vec::new();
    let is_base64 = value.get("isBase64Encoded").is_some_and(|flag| flag == true);
    let body = match value.get("bodyBase64").or_else(|| value.get("body_base64")) {
        Some(body) => decoded(body.as_str()?, true),
        None => match ["body", "rawBody", "raw_body", "content", "data"]
            .iter()
            .find_map(|name| value.get(*name))
        {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(body)) => decoded(body, is_base64),
            Some(parsed) => {
                notes.push(Note::BodyParsed);
                parsed.to_string().into_bytes()
            }
        },
    };
    let mut url = text(value, &["url", "uri", "rawPath", "path"]).unwrap_or_else(|| "/".into());
    if let Some(query) =
        text(value, &["rawQueryString", "query_string"]).filter(|query| !query.is_empty() && !url.contains('?'))
    {
        url = format!("{url}?{query}");
    }
    let method = text(value, &["method", "httpMethod"]).or_else(|| {
        let inner = value.pointer("/requestContext/http/method")?;
        Some(inner.as_str()?.to_owned())
    });
    let at = ["received", "receivedAt", "received_at", "at", "created_at", "timestamp"]
        .iter()
        .find_map(|name| value.get(*name))
        .or_else(|| value.pointer("/requestContext/timeEpoch"))
        .and_then(time);
    Some(Captured {
        method: method.unwrap_or_else(|| "POST".into()),
        url,
        headers,
        body: Some(body),
        at,
        notes,
    })
}

fn text(value: &Value, names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| Some(value.get(*name)?.as_str()?.to_owned()))
}

fn decoded(body: &str, is_base64: bool) -> Vec<u8> {
    match is_base64.then(|| STANDARD.decode(body)) {
        Some(Ok(bytes)) => bytes,
        _ => body.as_bytes().to_vec(),
    }
}

/// `{ name: value }`, `{ name: [value] }`, `[{ name, value }]` or `[[name, value]]`.
fn headers(value: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |name: &str, value: &Value| match value {
        Value::Array(values) => all.extend(
            values
                .iter()
                .filter_map(|value| Some((name.to_owned(), value.as_str()?.to_owned()))),
        ),
        Value::String(value) => all.push((name.to_owned(), value.clone())),
        Value::Null => {}
        other => all.push((name.to_owned(), other.to_string())),
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| add(name, value)),
        Value::Array(items) => {
            for item in items {
                match (
                    item.get("name").and_then(Value::as_str),
                    item.get("value"),
                    item.as_array(),
                ) {
                    (Some(name), Some(value), _) => add(name, value),
                    (.., Some(pair)) => {
                        if let [Value::String(name), value] = pair.as_slice() {
                            add(name, value);
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
    all
}

/// RFC 3339, or seconds or milliseconds since 1970.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => {
            let number = number.as_f64()?;
            let milliseconds = if number > 1e11 { number } else { number * 1000.0 };
            Timestamp::from_millisecond(milliseconds as i64).ok()
        }
        _ => None,
    }
}
