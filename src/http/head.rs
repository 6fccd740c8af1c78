//! Refuses a head that the parser takes and another reader of the same bytes could take differently.
//!
//! actix-http refuses what RFC 9112 tells it to: doubled or signed `Content-Length`, `Transfer-Encoding` beside it, on
//! HTTP/1.0 or other than `chunked`, a doubled or missing `Host`, folded lines, control characters, space before a
//! colon. `tests/gateway/smuggling.rs` holds it to that. What it lets through is refused here.

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, UPGRADE};

/// Why the bytes of a request are not unambiguously one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The parser then takes everything up to the end of the connection for the body, whatever `Content-Length` says.
    #[error("asks for a websocket, so the body has no end of its own")]
    Websocket,
    /// RFC 9112, 3.2: a `Host` that is no host must be refused.
    #[error("`Host` is not a host")]
    Host,
}

pub fn check(request: &HttpRequest) -> Result<(), HeadError> {
    let headers = request.headers();
    let mut upgrades = headers.get_all(UPGRADE);
    let is_websocket = |item: &[u8]| item.trim_ascii().eq_ignore_ascii_case(b"websocket");
    if upgrades.any(|value| value.as_bytes().split(|byte| *byte == b',').any(is_websocket)) {
        return Err(HeadError::Websocket);
    }
    match headers.get(HOST) {
        Some(host) if !host.as_bytes().iter().all(|byte| is_of_host(*byte)) => Err(HeadError::Host),
        _ => Ok(()),
    }
}

/// What names, addresses and ports are written with (RFC 3986, 3.2.2).
pub fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-:[]_~%!$&'()*+,;=".contains(&byte)
}
