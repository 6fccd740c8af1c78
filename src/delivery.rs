//! What arrived. Nothing here is believed yet.

use std::net::IpAddr;

pub use actix_web::http::Method;
pub use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;

use crate::clock::Timestamp;

/// One HTTP request as it arrived at a source, body complete, nothing interpreted.
#[derive(Clone, Debug)]
pub struct RawDelivery {
    pub method: Method,
    /// Path as sent, still percent-encoded.
    pub path: String,
    /// Query string as sent, without the `?`; empty when there is none.
    pub query: String,
    /// The URL that the platform believes it called: the source's public URL when one is
    /// configured, else what the request (or a trusted proxy) says.
    pub url: String,
    pub headers: Headers,
    pub body: Bytes,
    pub received: Timestamp,
    /// The sender's address, behind trusted proxies.
    pub sender: Option<IpAddr>,
}

/// Request headers in the order of arrival. A name may repeat; who needs one value says so.
#[derive(Clone, Debug, Default)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

/// A header that must be single was sent more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a header that must be single is doubled")]
pub struct Doubled;

impl Headers {
    /// The only value of `name`, `None` when absent.
    pub fn single<'a>(&'a self, name: &'a HeaderName) -> Result<Option<&'a [u8]>, Doubled> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Doubled);
        }
        Ok(first)
    }

    /// The only value of `name` as text; `None` when absent, doubled or not visible ASCII.
    pub fn text<'a>(&'a self, name: &'a HeaderName) -> Option<&'a str> {
        let value = self.single(name).ok().flatten()?;
        std::str::from_utf8(value).ok()
    }

    pub fn all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_bytes())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    pub fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// The only value of `name` from now on.
    pub fn replace(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.retain(|(known, _)| *known != name);
        self.push(name, value);
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Headers {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}
