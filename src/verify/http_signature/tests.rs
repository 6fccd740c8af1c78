//! Published signatures, and what is refused before any key is asked.

use super::*;
use crate::delivery::{HeaderValue, Headers, Method, RawDelivery};
use crate::keys::PublicKey;
use crate::verify::hashes;
use crate::verify::pointers::Pointers;

/// The request of RFC 9421 appendix B.2.
fn request() -> RawDelivery {
    let headers = [
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ];
    let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    RawDelivery {
        method: Method::POST,
        path: "/foo".into(),
        query: "param=Value&Pet=dog".into(),
        url: "https://example.com/foo?param=Value&Pet=dog".into(),
        headers: headers.into_iter().collect::<Headers>(),
        body: "{\"hello\": \"world\"}".into(),
        received: Timestamp::UNIX_EPOCH,
        sender: None,
    }
}

fn said(input: &str, signature: &str) -> Said {
    let mut all = Said::all(Form::Rfc9421, signature.as_bytes(), Some(input.as_bytes())).expect("well-formed");
    all.pop().expect("one")
}

/// B.2.5 and B.2.6 cover no digest, so no definition would take them; their bases and signatures hold all the same.
#[test]
fn published_signatures_without_a_digest_hold() {
    let (raw, pointers) = (request(), Pointers::default());
    let view = View::new(&raw, &pointers);
    let one = said(
        r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
        "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    );
    let key = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let key = encode::decode(Encoding::Base64, key.as_bytes()).expect("base64");
    let tag = hashes::hmac(HashName::Sha256, &key, &one.base(&view).expect("a base"));
    assert_eq!(tag.as_slice(), one.signature);

    let other = said(
        r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    );
    let key = PublicKey::parse(b"MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=").expect("a key");
    let base = other.base(&view).expect("a base");
    assert!(key.verify(Algorithm::Ed25519, &base, &other.signature));
    assert!(!key.verify(Algorithm::Ed25519, &base[1..], &other.signature));
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let bytes = ":AAAA:";
    for input in [
        r#"s=("content-digest";sf)"#,
        r#"s=("@status")"#,
        r#"s=("content-digest";req)"#,
        r#"s=("@query-param")"#,
        r#"s=("date" "date")"#,
        r#"s=("Date")"#,
        r#"s=(date)"#,
        r#"s=("date""#,
        r#"s="date""#,
        r#"other=("date")"#,
        "",
    ] {
        let all = Said::all(Form::Rfc9421, format!("s={bytes}").as_bytes(), Some(input.as_bytes()));
        assert!(all.is_err(), "{input}");
    }
    for signature in ["s=\"text\"", "s=(:AAAA:)", "s", "", "s=:AA"] {
        let all = Said::all(Form::Rfc9421, signature.as_bytes(), Some(br#"s=("date")"#));
        assert!(all.is_err(), "{signature}");
    }
    let many = vec!["\"a\""; MOST_COMPONENTS + 1].join(" ");
    assert!(Said::all(Form::Rfc9421, b"s=:AAAA:", Some(format!("s=({many})").as_bytes())).is_err());
    for drafted in [
        r#"keyId="a""#,
        r#"signature="AAAA",signature="AAAA""#,
        r#"signature="AAAA",headers="date date""#,
        r#"signature="AAAA" headers="date""#,
        r#"signature="AAAA","#,
        r#"signature="AA\"A""#,
        r#"signature=AAAA"#,
        r#"signature="AAAA",headers="(other)""#,
    ] {
        assert!(Said::all(Form::Draft, drafted.as_bytes(), None).is_err(), "{drafted}");
    }
    assert!(Said::all(Form::Draft, br#"signature="AAAA",headers="date", created=1"#, None).is_ok());
}

#[test]
fn components_are_read_as_the_rfc_has_them() {
    let (raw, pointers) = (request(), Pointers::default());
    let view = View::new(&raw, &pointers);
    let value = |text: &str| {
        let component = Component::compile(Form::Rfc9421, text).expect("a component");
        let value = component.value(Form::Rfc9421, &view, &Map::new());
        value
            .map(|value| String::from_utf8(value).expect("UTF-8"))
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        value("@target-uri").unwrap(),
        "https://example.com/foo?param=Value&Pet=dog"
    );
    assert_eq!(value("@request-target").unwrap(), "/foo?param=Value&Pet=dog");
    assert_eq!(value("@query").unwrap(), "?param=Value&Pet=dog");
    assert_eq!(value("@query-param;name=\"Pet\"").unwrap(), "dog");
    assert_eq!(value("@scheme").unwrap(), "https");
    assert!(value("@query-param;name=\"pet\"").unwrap_err().contains("@query-param"));
    assert!(value("x-none").unwrap_err().contains("x-none"));
    assert_eq!(normal_authority("https://Example.COM:443/x"), "example.com");
    assert_eq!(normal_authority("http://example.com:443/x"), "example.com:443");
}
