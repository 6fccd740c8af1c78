//! A delivery out of what people have of one: a curl command, a trace of curl's, a HAR, raw HTTP, JSON. The format is
//! found out.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::delivery::{HeaderName, HeaderValue, Headers, Method, RawDelivery};

mod curl;
mod document;
mod message;
mod trace;

/// A request as it was captured, nothing believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    pub method: String,
    /// Whole, or its path and query alone.
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// `None`: the format does not show it (`curl -v`).
    pub body: Option<Vec<u8>>,
    /// When it arrived, where the capture says so.
    pub at: Option<Timestamp>,
    pub notes: Vec<Note>,
}

/// Something about a capture that may matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// `--trace-ascii`: other bytes are shown as `.`.
    BodyShownLossily,
    /// A JSON value in place of the bytes.
    BodyParsed,
    /// Shorter than it says.
    BodyCut,
    /// A header that came in several lines.
    Folded(String),
}

/// Why a capture cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    #[error(
        "no request that is known: give a curl command, the output of `curl -v` or `--trace`, a HAR, a raw HTTP request or JSON with `headers` and `body`"
    )]
    Unknown,
    #[error("{0}")]
    Malformed(String),
}

/// Every request of a capture. `file` reads what a curl command names with `@`.
pub fn read(bytes: &[u8], file: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<Vec<Captured>, CaptureError> {
    // What looks like text for people may have a byte order mark and empty lines in front.
    let shown = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let found = if shown.starts_with(b"{") || shown.starts_with(b"[") {
        document::read(shown)?
    } else if starts_a_command(shown) {
        vec![curl::read(&String::from_utf8_lossy(shown), file)?]
    } else if message::starts(shown) {
        vec![message::read(shown)]
    } else {
        trace::read(shown)?
    };
    match found.is_empty() {
        true => Err(CaptureError::Unknown),
        false => Ok(found),
    }
}

fn starts_a_command(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"$ ").unwrap_or(text);
    text.strip_prefix(b"curl")
        .and_then(|rest| rest.first())
        .is_some_and(u8::is_ascii_whitespace)
}

impl Captured {
    /// As the gateway would have taken it in. `called`: the URL that the platform calls, where that is known, without
    /// a query.
    pub fn delivery(&self, called: Option<&str>, at: Timestamp) -> Result<RawDelivery, CaptureError> {
        let malformed = |what: String| CaptureError::Malformed(what);
        let mut headers = Headers::default();
        for (name, value) in &self.headers {
            // HTTP/2's own, and what a log could not name.
            let Ok(name) = HeaderName::try_from(name.trim()) else {
                continue;
            };
            let value = HeaderValue::from_bytes(value.trim().as_bytes())
                .map_err(|_| malformed(format!("header `{name}` holds what no header can hold")))?;
            headers.push(name, value);
        }
        let method = if self.method.is_empty() { "POST" } else { &self.method };
        let (host, rest) = match self.url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (format!("{scheme}://{authority}"), rest)
            }
            None => {
                let host = headers.text(&actix_web::http::header::HOST).unwrap_or("localhost");
                (format!("http://{host}"), self.url.as_str())
            }
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if path.is_empty() { "/" } else { path };
        let mut url = called.map_or_else(|| format!("{host}{path}"), str::to_owned);
        if !query.is_empty() {
            url = format!("{url}?{query}");
        }
        Ok(RawDelivery {
            method: method
                .parse::<Method>()
                .map_err(|_| malformed(format!("`{method}` is no HTTP method")))?,
            path: path.to_owned(),
            query: query.to_owned(),
            url,
            headers,
            body: Bytes::from(self.body.clone().unwrap_or_default()),
            received: at,
            sender: None,
        })
    }

    /// For messages: `POST /in/github, 1234 bytes`.
    pub fn summary(&self) -> String {
        let path = self.url.split('?').next().unwrap_or_default();
        let size = self.body.as_ref().map_or(0, Vec::len);
        format!("{} {path}, {size} bytes", self.method)
    }
}
