//! Messages inside a cipher: published as they came, opened only to be read, and only behind a signature.

use hooksluice::lint::recorded::{self, Source, with_body};
use hooksluice::provider::Catalogue;
use hooksluice::provider::settings::Given;
use hooksluice::read::{Part, ReadOptions, Reader, UNKNOWN};

/// What is found in a recorded delivery, with these settings in place of the sample's; its body as published.
fn found<T>(
    provider: &str,
    sample: &str,
    settings: &[(&str, &str)],
    look: impl FnOnce(&Part<'_>) -> T,
) -> (T, Vec<u8>) {
    let catalogue = Catalogue::built_in();
    let sample = catalogue.sample(provider, sample).expect("a sample");
    let signed = sample.signed.clone().expect("recorded");
    let source = Source::compile(&catalogue, provider, &signed).expect("compiles");
    let raw = recorded::delivery(&sample, &signed).expect("a request");
    let verified = source.verify(&raw, signed.at).expect("keys").expect("genuine");
    let coverage = source.verifier.coverage(verified.proof()).clone();
    let mut given = signed.settings.clone();
    for (name, text) in settings {
        match *text {
            "" => _ = given.remove(*name),
            text => {
                _ = given.insert(
                    (*name).to_owned(),
                    serde_json::from_value::<Given>(text.into()).expect("a setting"),
                )
            }
        }
    }
    let provider = catalogue.provider(provider, &given).expect("a provider");
    let reader = Reader::compile(&provider.definition, &provider.settings, ReadOptions::default()).expect("compiles");
    let parts = reader.read(verified, &coverage);
    let part = &parts.parts()[0];
    (look(part), part.data.to_vec())
}

#[test]
fn type_and_id_are_read_inside_and_the_bytes_stay_the_senders() {
    for (provider, sample, event, id, signed) in [
        ("wecom", "text", "text", "1234567890123456", true),
        (
            "wechat-official",
            "event.subscribe",
            "event.subscribe",
            "oia2TjuEGTNoeX76QEjQNrcURxG8:1795168798:subscribe",
            true,
        ),
        (
            "lark-feishu",
            "encrypted",
            "im.message.receive_v1",
            "5e3702a84e847582be8db7fb73283c02",
            true,
        ),
        (
            "wechat-pay-v3",
            "opened",
            "TRANSACTION.SUCCESS",
            "EV-2026112017595780001",
            true,
        ),
    ] {
        let (found, data) = found(provider, sample, &[], |part| part.found.clone());
        assert_eq!(
            (found.event.as_str(), found.id.as_deref()),
            (event, Some(id)),
            "{provider}"
        );
        assert_eq!(found.id_signed, signed, "{provider}");
        assert_eq!(
            data,
            Catalogue::built_in().sample(provider, sample).expect("a sample").body,
            "{provider}"
        );
    }
    let (key, _) = found("wechat-pay-v3", "opened", &[], |part| part.found.key.clone());
    assert_eq!(key.as_deref(), Some("1217752501201407033233368018"));
}

#[test]
fn without_the_key_nothing_is_opened_and_nothing_is_refused() {
    for (provider, sample, setting) in [
        ("wechat-official", "text", "encoding_aes_key"),
        ("wechat-pay-v3", "opened", "api_v3_key"),
    ] {
        let (found, _) = found(provider, sample, &[(setting, "")], |part| part.found.clone());
        assert_eq!(found.key, None, "{provider}");
    }
    // Another key opens nothing either, and the delivery is as good as before.
    let other = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba";
    let (found, data) = found("wechat-official", "text", &[("encoding_aes_key", other)], |part| {
        part.found.clone()
    });
    assert_eq!((found.event.as_str(), found.id), (UNKNOWN, None));
    assert!(!data.is_empty());
}

#[test]
fn a_key_that_is_none_is_said_at_load() {
    let given = [(
        "encoding_aes_key".to_owned(),
        serde_json::from_value::<Given>("too-short".into()).expect("a setting"),
    )];
    let provider = Catalogue::built_in()
        .provider("wecom", &given.into())
        .expect("a provider");
    let problems =
        Reader::compile(&provider.definition, &provider.settings, ReadOptions::default()).expect_err("refused");
    assert!(
        problems[0].contains("setting `encoding_aes_key` is no key of 32 bytes"),
        "{problems:?}"
    );
    assert!(!problems[0].contains("too-short"));
}

/// What the signature covers is the ciphertext; whoever changes it is refused before anything is opened.
#[test]
fn a_bent_ciphertext_is_refused_before_it_is_opened() {
    let catalogue = Catalogue::built_in();
    for (provider, sample) in [
        ("wecom", "text"),
        ("lark-feishu", "encrypted"),
        ("wechat-pay-v3", "opened"),
    ] {
        let sample = catalogue.sample(provider, sample).expect("a sample");
        let signed = sample.signed.clone().expect("recorded");
        let source = Source::compile(&catalogue, provider, &signed).expect("compiles");
        let raw = recorded::delivery(&sample, &signed).expect("a request");
        let text = String::from_utf8(raw.body.to_vec()).expect("text");
        let start = text.find("CDATA[").filter(|_| provider == "wecom").map_or_else(
            || {
                text.find("encrypt\":\"")
                    .or(text.find("ciphertext\":\""))
                    .expect("a ciphertext")
                    + 16
            },
            |_| text.find("<Encrypt><![CDATA[").expect("a ciphertext") + 20,
        );
        let mut body = raw.body.to_vec();
        body[start] = if body[start] == b'A' { b'B' } else { b'A' };
        let bent = with_body(&raw, body);
        let refused = source.verify(&bent, signed.at).expect("keys");
        assert!(refused.is_err(), "{provider}");
    }
}
