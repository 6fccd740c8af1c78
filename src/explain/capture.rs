//! A request as people have it at hand: raw HTTP, a curl command or trace, a HAR file, or JSON.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::curl;
use crate::clock::Timestamp;
use crate::delivery::{HeaderName, HeaderValue, Headers, Method, RawDelivery};

/// The request, and what is to be known about how it was captured.
#[derive(Debug)]
pub struct Capture {
    pub method: Method,
    /// As the capture says it; a path alone where it says no more.
    pub target: String,
    pub headers: Headers,
    pub body: Bytes,
    /// When it arrived, where that was recorded.
    pub at: Option<Timestamp>,
    /// What the capture itself gives away or lost.
    pub notes: Vec<String>,
}

/// Why a capture cannot be read. Names the format and what to give instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CaptureError(pub String);

pub(super) type Fields = Vec<(String, String)>;

/// `file`: reads what a curl command names as `@file`.
pub fn read(bytes: &[u8], file: &dyn Fn(&str) -> std::io::Result<Vec<u8>>) -> Result<Capture, CaptureError> {
    let start = bytes.trim_ascii_start();
    if start.is_empty() {
        return Err(CaptureError("the capture is empty".into()));
    }
    if start.starts_with(b"{") {
        return json(start);
    }
    let text = String::from_utf8_lossy(start);
    if text.starts_with("curl ") || text.starts_with("$ curl ") {
        return curl::command(&text, file);
    }
    if text.lines().any(|line| line.starts_with("=> Send header")) {
        return curl::trace(&text);
    }
    if text.lines().any(|line| line.starts_with("> ") && line.contains(" HTTP/")) {
        return curl::verbose(&text);
    }
    raw_http(start)
}

impl Capture {
    pub(super) fn new(method: &str, target: &str, headers: Fields, body: Vec<u8>) -> Result<Self, CaptureError> {
        let method = method.to_ascii_uppercase();
        let mut kept = Headers::default();
        for (name, value) in headers {
            // Pseudo-headers of HTTP/2, as browsers record them.
            if let Some(pseudo) = name.strip_prefix(':') {
                if pseudo == "authority" {
                    push(&mut kept, "host", &value)?;
                }
                continue;
            }
            push(&mut kept, &name, &value)?;
        }
        Ok(Self {
            method: method.parse().map_err(|_| CaptureError(format!("`{method}` is no HTTP method")))?,
            target: target.to_owned(),
            headers: kept,
            body: body.into(),
            at: None,
            notes: Vec::new(),
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(name))?;
        found.1.to_str().ok()
    }

    /// Path and query of the target.
    pub fn path_and_query(&self) -> (&str, &str) {
        let rest = self.target.split_once("://").map_or(self.target.as_str(), |(_, rest)| &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]);
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        (if path.is_empty() { "/" } else { path }, query)
    }

    /// The whole URL: of the target, or of what it stands at by its `Host`.
    pub fn url(&self) -> String {
        if self.target.contains("://") {
            return self.target.clone();
        }
        let host = self.header("host").unwrap_or("localhost");
        format!("https://{host}{}", self.target)
    }

    /// As the gateway would see it.
    pub fn delivery(&self, url: String, received: Timestamp) -> RawDelivery {
        let (path, query) = self.path_and_query();
        RawDelivery {
            method: self.method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            url,
            headers: self.headers.clone(),
            body: self.body.clone(),
            received,
            sender: None,
        }
    }
}

fn push(headers: &mut Headers, name: &str, value: &str) -> Result<(), CaptureError> {
    let bad = |what: &str| CaptureError(format!("header `{name}` has a bad {what}"));
    headers.push(
        HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad("name"))?,
        HeaderValue::from_str(value.trim()).map_err(|_| bad("value"))?,
    );
    Ok(())
}

/// `POST /path HTTP/1.1`, headers, an empty line, the body to the last byte.
fn raw_http(bytes: &[u8]) -> Result<Capture, CaptureError> {
    let no_request = || {
        CaptureError(
            "not a request in any known form; give raw HTTP (`POST /path HTTP/1.1`, headers, an empty line, the body), a curl command or trace, a HAR file, or JSON with `method`, `url`, `headers` and `body` or `body_base64`"
                .into(),
        )
    };
    let (head, body) = [b"\r\n\r\n".as_slice(), b"\n\n"]
        .iter()
        .filter_map(|gap| {
            let at = bytes.windows(gap.len()).position(|window| window == *gap)?;
            Some((at, &bytes[..at], &bytes[at + gap.len()..]))
        })
        .min_by_key(|(at, _, _)| *at)
        .map_or((bytes.trim_ascii_end(), &b""[..]), |(_, head, body)| (head, body));
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let request: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let [method, target, version] = request[..] else { return Err(no_request()) };
    if !version.starts_with("HTTP/") {
        return Err(no_request());
    }
    let mut headers = Fields::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| CaptureError(format!("`{line}` is no header: there is no colon")))?;
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut capture = Capture::new(method, target, headers, body.to_vec())?;
    if capture.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        && let Some(joined) = unchunked(&capture.body)
    {
        capture.body = joined.into();
    }
    judge_length(&mut capture);
    Ok(capture)
}

/// `Content-Length` was written by the sender's side: it knows how long the body was.
fn judge_length(capture: &mut Capture) {
    let Some(said) = capture.header("content-length").and_then(|text| text.trim().parse::<usize>().ok()) else { return };
    let found = capture.body.len();
    if said < found && capture.body[said..].iter().all(|byte| matches!(byte, b'\n' | b'\r')) {
        capture.body.truncate(said);
        capture.notes.push("line breaks behind the body were left out: Content-Length does not count them".into());
    } else if said != found {
        capture.notes.push(format!(
            "Content-Length says {said} bytes, and the body has {found}: it is not as it was sent, or the capture changed it"
        ));
    }
}

fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            return Some(joined);
        }
        joined.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

fn json(bytes: &[u8]) -> Result<Capture, CaptureError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| CaptureError(format!("not JSON: {error}")))?;
    match value.pointer("/log/entries") {
        Some(entries) => har(entries),
        None => object(&value),
    }
}

/// The first request of a HAR file that has a body, else the first.
fn har(entries: &Value) -> Result<Capture, CaptureError> {
    let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
    let entry = entries.iter().find(|entry| entry.pointer("/request/postData").is_some()).or(entries.first());
    let entry = entry.ok_or_else(|| CaptureError("the HAR file holds no request".into()))?;
    let request = &entry["request"];
    let text = request.pointer("/postData/text").and_then(Value::as_str).unwrap_or_default();
    let is_base64 = request.pointer("/postData/encoding").and_then(Value::as_str) == Some("base64");
    let body = if is_base64 { decoded(text)? } else { text.as_bytes().to_vec() };
    let method = request["method"].as_str().unwrap_or("POST");
    let mut capture = Capture::new(method, url_of(request)?, fields(&request["headers"]), body)?;
    capture.at = entry["startedDateTime"].as_str().and_then(|text| text.parse().ok());
    if entries.len() > 1 {
        capture.notes.push(format!("of {} requests in the HAR file this is the first with a body", entries.len()));
    }
    judge_length(&mut capture);
    Ok(capture)
}

fn object(value: &Value) -> Result<Capture, CaptureError> {
    let mut notes = Vec::new();
    let body = match (&value["body"], value["body_base64"].as_str()) {
        (_, Some(text)) => decoded(text)?,
        (Value::String(text), None) => text.as_bytes().to_vec(),
        (Value::Null, None) => Vec::new(),
        (other, None) => {
            notes.push("the capture holds the body parsed, not its bytes: what was signed can only be guessed; capture `body_base64`".to_owned());
            serde_json::to_vec(other).unwrap_or_default()
        }
    };
    let method = value["method"].as_str().unwrap_or("POST");
    let mut capture = Capture::new(method, url_of(value)?, fields(&value["headers"]), body)?;
    capture.at = ["at", "received"].iter().find_map(|key| value[*key].as_str()?.parse().ok());
    capture.notes.extend(notes);
    judge_length(&mut capture);
    Ok(capture)
}

fn url_of(request: &Value) -> Result<&str, CaptureError> {
    let url = ["url", "path"].iter().find_map(|key| request[*key].as_str());
    url.ok_or_else(|| CaptureError("the capture names no `url`".into()))
}

fn decoded(text: &str) -> Result<Vec<u8>, CaptureError> {
    BASE64_STANDARD.decode(text.trim()).map_err(|error| CaptureError(format!("the body is not base64: {error}")))
}

/// `{ name: value | [values] }`, `[{ name, value }]` or `[[name, value]]`.
fn fields(headers: &Value) -> Fields {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match headers {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::Array(values) => values.iter().map(|value| (name.clone(), text(value))).collect(),
                value => vec![(name.clone(), text(value))],
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .filter_map(|item| match item {
                Value::Array(pair) => Some((pair.first()?.as_str()?.to_owned(), text(pair.get(1)?))),
                item => Some((item["name"].as_str()?.to_owned(), text(&item["value"]))),
            })
            .collect(),
        _ => Fields::new(),
    }
}
