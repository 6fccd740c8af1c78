//! Verification: vectors that others published, laws, tokens, and every built-in provider both ways round.

use std::sync::Arc;

use hooksluice::clock::Timestamp;
use hooksluice::delivery::{HeaderName, HeaderValue, Headers, Method, RawDelivery};
use hooksluice::keys::Keyring;
use hooksluice::provider::{Definition, Settings};
use hooksluice::secret::{NamedSecret, Secret};
use hooksluice::verify::{Proof, Signed, Unsigned, Verifier, VerifyError, sign};

pub mod catalogue;
mod definitions;
mod families;
pub mod key_pairs;
mod laws;
mod order;
mod tokens;
mod vectors;

pub const URL: &str = "https://hooks.example.com/in/shop";

/// A definition with these lines for what differs.
pub fn definition(lines: &str) -> Definition {
    let text = format!(
        "title = 'Test'\ncategory = 'test'\ndocs = 'https://example.com'\nread = '2026-11-24'\nconfidence = 'documented'\n\
         evidence = 'none'\ndomain = 'com.example'\n{lines}"
    );
    toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub fn secrets(texts: &[&str]) -> Vec<NamedSecret> {
    let named = |(index, text): (usize, &&str)| NamedSecret {
        name: format!("s{index}").into(),
        secret: Secret::new(*text),
    };
    texts.iter().enumerate().map(named).collect()
}

pub fn compile(definition: &Definition, given: &[&str]) -> Result<Verifier, Vec<String>> {
    Verifier::compile(definition, &secrets(given), &Settings::default(), &Arc::default(), None)
}

pub fn verifier(definition: &Definition, given: &[&str]) -> Verifier {
    compile(definition, given).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

pub fn headers(pairs: &[(&str, &str)]) -> Headers {
    let header = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        (name, HeaderValue::from_str(value).expect("a header value"))
    };
    pairs.iter().map(header).collect()
}

/// A `POST` to a URL.
pub fn delivery(url: &str, pairs: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> RawDelivery {
    raw(Signed {
        method: Method::POST,
        url: url.to_owned(),
        added_query: String::new(),
        headers: headers(pairs),
        body: body.into(),
    })
}

/// What arrives when a signed request is sent.
pub fn raw(signed: Signed) -> RawDelivery {
    let rest = signed.url.split_once("://").map_or("", |(_, rest)| rest);
    let target = rest.find('/').map_or("/", |at| &rest[at..]);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    RawDelivery {
        method: signed.method,
        path: path.to_owned(),
        query: query.to_owned(),
        url: signed.url.clone(),
        headers: signed.headers,
        body: signed.body,
        received: Timestamp::UNIX_EPOCH,
        sender: None,
    }
}

pub fn unsigned(at: Timestamp, body: impl Into<bytes::Bytes>) -> Unsigned {
    Unsigned {
        method: Method::POST,
        url: URL.to_owned(),
        headers: headers(&[("content-type", "application/json")]),
        body: body.into(),
        at,
    }
}

/// A request that `secret`'s owner signs.
pub fn signed(definition: &Definition, secret: &str, request: Unsigned) -> Signed {
    let signed = sign(definition, &secrets(&[secret]), &Settings::default(), None, request);
    signed.unwrap_or_else(|problems| panic!("{problems:#?}"))
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

pub fn verify(verifier: &Verifier, raw: &RawDelivery, now: Timestamp) -> Result<Proof, VerifyError> {
    block_on(verifier.verify(raw, now)).map(|verified| verified.proof().clone())
}

/// With keys that a platform's URLs are known to serve.
pub fn keyring(known: &[(&str, &str)], now: Timestamp) -> Arc<Keyring> {
    let keyring = Keyring::default();
    for (url, body) in known {
        let host = url.split('/').nth(2).expect("a host").to_owned();
        let target = hooksluice::keys::Hosts::new(&[host], None)
            .check(url)
            .expect("an https URL");
        keyring.remember(&target, body.as_bytes(), now).expect("usable keys");
    }
    Arc::new(keyring)
}
