//! What laws share: definitions that prove nothing, deliveries, and the samples of the catalogue.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::FutureExt;
use hooksluice::clock::Timestamp;
use hooksluice::delivery::{HeaderName, HeaderValue, Headers, Method, RawDelivery};
use hooksluice::keys::Keyring;
use hooksluice::provider::sample::Sample;
use hooksluice::provider::{Catalogue, Definition, Settings};
use hooksluice::secret::{NamedSecret, Secret};
use hooksluice::verify::{Coverage, VerifiedDelivery, Verifier, VerifyError};

pub const URL: &str = "https://hooks.example.com/in/law";

pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::built_in);

/// The moment at which everything happens that needs no certificate.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_764_000_000).expect("a time")
}

/// A definition with these lines for what differs.
pub fn definition(lines: &str) -> Definition {
    let text = format!(
        "title = 'Law'\ncategory = 'test'\ndocs = 'https://example.com'\nread = '2026-11-24'\nconfidence = 'documented'\n\
         evidence = 'none'\ndomain = 'com.example'\n{lines}"
    );
    toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A definition whose deliveries prove nothing.
pub fn open(lines: &str) -> Definition {
    definition(&format!("signature = [{{ scheme = 'none' }}]\n{lines}"))
}

pub fn secrets(texts: &[&[u8]]) -> Vec<NamedSecret> {
    let named = |(index, text): (usize, &&[u8])| NamedSecret {
        name: format!("s{index}").into(),
        secret: Secret::new(*text),
    };
    texts.iter().enumerate().map(named).collect()
}

pub fn verifier(definition: &Definition, texts: &[&[u8]]) -> Verifier {
    let made = Verifier::compile(
        definition,
        &secrets(texts),
        &Settings::default(),
        &Arc::<Keyring>::default(),
        None,
    );
    made.unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// `None`: not such a header.
pub fn header(name: &[u8], value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
}

/// A POST with these headers and this body.
pub fn delivery(headers: Headers, body: impl Into<Bytes>) -> RawDelivery {
    RawDelivery {
        method: Method::POST,
        path: "/in/law".into(),
        query: String::new(),
        url: URL.into(),
        headers,
        body: body.into(),
        received: now(),
        sender: None,
    }
}

/// Who looks up keys may start a fetch: in a runtime that never runs it stays where it is.
static IDLE: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
});

/// Judged at once: what would have to be fetched is not waited for, and `None`.
pub fn verify<'d>(
    verifier: &Verifier,
    raw: &'d RawDelivery,
    now: Timestamp,
) -> Option<Result<VerifiedDelivery<'d>, VerifyError>> {
    let _inside = IDLE.enter();
    verifier.verify(raw, now).now_or_never()
}

/// Through the one door there is, without a key.
pub fn let_in(raw: &RawDelivery) -> VerifiedDelivery<'_> {
    static OPEN: LazyLock<Verifier> = LazyLock::new(|| verifier(&open(""), &[]));
    verify(&OPEN, raw, raw.received).expect("at once").expect("open")
}

/// A signature over the body, as most have.
pub fn over_body() -> Coverage {
    Coverage {
        body: true,
        ..Coverage::default()
    }
}

/// The first line, and what is behind it.
pub fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, b""),
    }
}

/// The first line where it is text, and what is behind it.
pub fn head(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (line, rest) = split_line(bytes);
    Some((std::str::from_utf8(line).ok()?, rest))
}

/// The entry that a name names; any other name stands for one of them, so that few inputs are for nothing.
pub fn pick<'t, T>(entries: &'t [T], name: &str, name_of: impl Fn(&T) -> &str) -> &'t T {
    let named = entries.iter().find(|entry| name_of(entry) == name);
    named.unwrap_or_else(|| {
        let sum = name
            .bytes()
            .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        &entries[sum % entries.len()]
    })
}

/// Every sample of the catalogue with the provider it is of.
pub fn samples() -> Vec<(String, Sample)> {
    let mut all = Vec::new();
    for provider in CATALOGUE.names() {
        for name in CATALOGUE.sample_names(&provider) {
            let sample = CATALOGUE.sample(&provider, &name);
            all.push((provider.clone(), sample.unwrap_or_else(|error| panic!("{error}"))));
        }
    }
    all
}

/// `first`, a line break, `rest`.
pub fn seed(first: &str, rest: impl AsRef<[u8]>) -> Vec<u8> {
    [first.as_bytes(), b"\n", rest.as_ref()].concat()
}
