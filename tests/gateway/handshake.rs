//! Challenges of the built-in providers: what each must prove, what it is answered, and what is never echoed.

use std::collections::BTreeMap;
use std::sync::Arc;

use hooksluice::clock::Timestamp;
use hooksluice::delivery::{Method, RawDelivery};
use hooksluice::handshake::{HandshakeError, Handshakes, LONGEST_ECHO, Reply};
use hooksluice::provider::settings::Given;
use hooksluice::provider::{Catalogue, Definition, Provider, Settings};
use hooksluice::verify::{Unsigned, Verifier, sign};

use crate::support::sign::hmac_sha256;
use crate::verify::key_pairs::ed25519;
use crate::verify::{at, block_on, definition, headers, raw, secrets};

const NOW: i64 = 1_750_000_000;

struct Source {
    provider: Provider,
    secrets: Vec<&'static str>,
    handshakes: Handshakes,
}

fn source(name: &str, given: &[(&str, serde_json::Value)], secret: &'static str) -> Source {
    let given: BTreeMap<String, Given> = given
        .iter()
        .map(|(name, value)| {
            (
                (*name).to_owned(),
                serde_json::from_value(value.clone()).expect("a setting"),
            )
        })
        .collect();
    let provider = Catalogue::built_in().provider(name, &given).expect("a provider");
    let handshakes = Handshakes::compile(&provider.definition, &secrets(&[secret]), &provider.settings);
    Source {
        handshakes: handshakes.expect("compiles"),
        provider,
        secrets: vec![secret],
    }
}

impl Source {
    /// What a delivery that its platform signed is answered; `None`: it is no challenge.
    fn signed(&self, body: &str) -> Option<Result<Reply, HandshakeError>> {
        let request = Unsigned {
            method: Method::POST,
            url: crate::verify::URL.into(),
            headers: headers(&[("content-type", "application/json")]),
            body: body.to_owned().into(),
            at: at(NOW),
        };
        let given = secrets(&self.secrets);
        let signed = sign(
            &self.provider.definition,
            &given,
            &self.provider.settings,
            None,
            request,
        )
        .expect("signed");
        let raw = raw(signed);
        assert!(
            self.handshakes.before_verification(&raw).is_none(),
            "nothing is answered before it is proved"
        );
        let settings = &self.provider.settings;
        let verifier = Verifier::compile(&self.provider.definition, &given, settings, &Arc::default(), None);
        let verifier = verifier.expect("compiles");
        let verified = block_on(verifier.verify(&raw, at(NOW))).expect("genuine");
        self.handshakes.after_verification(&verified)
    }
}

fn asked(method: Method, query: &str, pairs: &[(&str, &str)], body: &str) -> RawDelivery {
    RawDelivery {
        method,
        path: "/in/x".into(),
        query: query.into(),
        url: format!("https://hooks.example.com/in/x?{query}"),
        headers: headers(pairs),
        body: body.to_owned().into(),
        received: Timestamp::UNIX_EPOCH,
        sender: None,
    }
}

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).expect("text")
}

#[test]
fn meta_gets_its_challenge_back_for_the_verify_token() {
    let source = source(
        "whatsapp-cloud",
        &[("verify_token", "open sesame".into())],
        "app-secret",
    );
    assert!(source.handshakes.methods().contains(&Method::GET));
    let ask = |query: &str| {
        source
            .handshakes
            .before_verification(&asked(Method::GET, query, &[], ""))
    };
    let reply = ask("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=open+sesame");
    let reply = reply.expect("a challenge").expect("answered");
    assert_eq!((reply.status, text(&reply)), (200, "1158201444"));
    assert_eq!(reply.content_type, Some("text/plain; charset=utf-8"));
    assert!(reply.headers.is_empty() && reply.confirm.is_none());

    for token in ["open+sesam", "open+sesamee", "Open+sesame", ""] {
        let query = format!("hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}");
        assert_eq!(ask(&query).expect("a challenge"), Err(HandshakeError::Token), "{token}");
    }
    assert_eq!(
        ask("hub.mode=subscribe&hub.challenge=1").expect("a challenge"),
        Err(HandshakeError::Token)
    );
    let doubled = ask("hub.mode=subscribe&hub.challenge=1&hub.verify_token=x&hub.verify_token=open+sesame");
    assert!(matches!(
        doubled.expect("a challenge"),
        Err(HandshakeError::Malformed(_))
    ));
    assert!(ask("hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=open+sesame").is_none());
    assert!(ask("").is_none());
    // A challenge by another method is none.
    let post = asked(
        Method::POST,
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=open+sesame",
        &[],
        "",
    );
    assert!(source.handshakes.before_verification(&post).is_none());
}

#[test]
fn an_echo_is_bounded_and_plain() {
    let source = source("whatsapp-cloud", &[("verify_token", "t".into())], "app-secret");
    let ask = |challenge: &str| {
        let query = format!("hub.mode=subscribe&hub.verify_token=t&hub.challenge={challenge}");
        source
            .handshakes
            .before_verification(&asked(Method::GET, &query, &[], ""))
            .expect("a challenge")
    };
    assert_eq!(
        text(&ask(&"a".repeat(LONGEST_ECHO)).expect("answered")).len(),
        LONGEST_ECHO
    );
    for bad in [
        &"a".repeat(LONGEST_ECHO + 1),
        "a%00",
        "a%0d%0aSet-Cookie:x",
        "%ff",
        "%c3%a4",
        "a%09b",
        "%7f",
    ] {
        assert!(matches!(ask(bad), Err(HandshakeError::Malformed(_))), "{bad}");
    }
    assert!(matches!(
        source
            .handshakes
            .before_verification(&asked(Method::GET, "hub.mode=subscribe&hub.verify_token=t", &[], "")),
        Some(Err(HandshakeError::Malformed(_)))
    ));
    // Sent as plain text with `nosniff`, so this is only text.
    assert_eq!(
        text(&ask("<script>alert(1)</script>").expect("answered")),
        "<script>alert(1)</script>"
    );
}

#[test]
fn slack_gets_its_challenge_back_once_it_is_signed() {
    let source = source("slack", &[], "signing-secret");
    let reply = source.signed(r#"{"type":"url_verification","token":"x","challenge":"3eZbrw1a"}"#);
    let reply = reply.expect("a challenge").expect("answered");
    assert_eq!(
        (reply.status, text(&reply), &*reply.name),
        (200, "3eZbrw1a", "url-verification")
    );
    assert!(source.signed(r#"{"type":"event_callback","challenge":"x"}"#).is_none());
    for body in [
        r#"{"type":"url_verification"}"#,
        r#"{"type":"url_verification","challenge":["x"]}"#,
        r#"{"type":"url_verification","challenge":"a\nb"}"#,
    ] {
        assert!(
            matches!(
                source.signed(body).expect("a challenge"),
                Err(HandshakeError::Malformed(_))
            ),
            "{body}"
        );
    }
    assert!(
        source
            .signed(r#"{"type":"url_verification","type":"x","challenge":"x"}"#)
            .is_none(),
        "two types are none"
    );
    // Nor is a body of an event's size looked through for one.
    let padded = |length: usize| format!(r#"{{"type":"url_verification","challenge":"x"{:length$}}}"#, "");
    assert!(source.signed(&padded(1024)).is_some());
    assert!(source.signed(&padded(16 * 1024)).is_none());
}

#[test]
fn zoom_gets_its_token_keyed_once_it_is_signed() {
    let source = source("zoom", &[], "secret-token");
    let reply =
        source.signed(r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#);
    let reply = reply.expect("a challenge").expect("answered");
    let keyed = hex::encode(hmac_sha256(b"secret-token", &[b"qgg8vlvZRS6UYooatFL8Aw"]));
    let expected = serde_json::json!({"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": keyed});
    let said: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(
        (reply.status, reply.content_type, said),
        (200, Some("application/json"), expected)
    );
    // What is keyed is short, so that nobody has a whole delivery signed.
    let long = format!(
        r#"{{"event":"endpoint.url_validation","payload":{{"plainToken":"{}"}}}}"#,
        "a".repeat(LONGEST_ECHO + 1)
    );
    assert!(matches!(
        source.signed(&long).expect("a challenge"),
        Err(HandshakeError::Malformed(_))
    ));
}

/// The challenge is keyed with the secret that its signature was made with.
#[test]
fn of_several_secrets_the_one_that_signed_answers() {
    let mut source = source("zoom", &[], "first");
    let both = secrets(&["first", "second"]);
    let provider = &source.provider;
    source.handshakes = Handshakes::compile(&provider.definition, &both, &provider.settings).expect("compiles");
    let request = Unsigned {
        method: Method::POST,
        url: crate::verify::URL.into(),
        headers: headers(&[]),
        body: r#"{"event":"endpoint.url_validation","payload":{"plainToken":"x"}}"#.into(),
        at: at(NOW),
    };
    let raw = raw(sign(&provider.definition, &both[1..], &provider.settings, None, request).expect("signed"));
    let verifier =
        Verifier::compile(&provider.definition, &both, &provider.settings, &Arc::default(), None).expect("compiles");
    let verified = block_on(verifier.verify(&raw, at(NOW))).expect("genuine");
    let reply = source
        .handshakes
        .after_verification(&verified)
        .expect("a challenge")
        .expect("answered");
    assert!(text(&reply).contains(&hex::encode(hmac_sha256(b"second", &[b"x"]))));
}

#[test]
fn discords_two_pings_get_two_answers() {
    let pair = ed25519();
    let public: &'static str = String::leak(hex::encode(pair.bare.as_ref().expect("32 bytes")));
    let source = source("discord", &[], public);
    let answer = |body: &str| {
        let request = Unsigned {
            method: Method::POST,
            url: crate::verify::URL.into(),
            headers: headers(&[]),
            body: body.to_owned().into(),
            at: at(NOW),
        };
        let provider = &source.provider;
        let private = secrets(&[&pair.private]);
        let raw = raw(sign(&provider.definition, &private, &provider.settings, None, request).expect("signed"));
        let verifier = Verifier::compile(
            &provider.definition,
            &secrets(&[public]),
            &provider.settings,
            &Arc::default(),
            None,
        );
        let verifier = verifier.expect("compiles");
        let verified = block_on(verifier.verify(&raw, at(NOW))).expect("genuine");
        source.handshakes.after_verification(&verified)
    };
    let webhook = answer(r#"{"version":1,"application_id":"1","type":0}"#)
        .expect("a ping")
        .expect("answered");
    assert_eq!((webhook.status, text(&webhook)), (204, ""));
    assert_eq!(webhook.headers[0].0.as_str(), "content-type");
    let interaction = answer(r#"{"application_id":"1","id":"2","token":"t","type":1,"version":1}"#);
    let interaction = interaction.expect("a ping").expect("answered");
    assert_eq!((interaction.status, text(&interaction)), (200, r#"{"type":1}"#));
    assert!(answer(r#"{"version":1,"application_id":"1","type":1,"event":{"type":"ENTITLEMENT_CREATE"}}"#).is_none());
}

#[test]
fn cloudevents_origins_are_those_that_the_source_lists() {
    let origins = serde_json::json!(["emitter.example.com", "other.example.com"]);
    let source = source("cloudevents-webhook", &[("allowed_origins", origins)], "token");
    let ask = |source: &Source, pairs: &[(&str, &str)]| {
        source
            .handshakes
            .before_verification(&asked(Method::OPTIONS, "", pairs, ""))
    };
    let reply = ask(&source, &[("WebHook-Request-Origin", "other.example.com")])
        .expect("a challenge")
        .expect("answered");
    let said: BTreeMap<_, _> = reply
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(reply.status, 200);
    assert_eq!(said["webhook-allowed-origin"], "other.example.com");
    assert_eq!((said["webhook-allowed-rate"], said["allow"]), ("*", "POST"));
    for origin in [
        "evil.example",
        "emitter.example.com.evil.example",
        "*",
        "",
        "Emitter.example.com",
    ] {
        let outcome = ask(&source, &[("WebHook-Request-Origin", origin)]).expect("a challenge");
        assert_eq!(outcome, Err(HandshakeError::Token), "{origin}");
    }
    assert!(
        ask(&source, &[("Origin", "other.example.com")]).is_none(),
        "a browser's preflight is none"
    );
    let closed = crate::handshake::source("cloudevents-webhook", &[], "token");
    assert_eq!(
        ask(&closed, &[("WebHook-Request-Origin", "x")]).expect("a challenge"),
        Err(HandshakeError::Token)
    );
    assert_eq!(
        ask(&closed, &[("WebHook-Request-Origin", "")]).expect("a challenge"),
        Err(HandshakeError::Token)
    );
}

/// The recorded confirmation, whose certificate the sample brings along.
#[test]
fn a_subscription_is_confirmed_at_the_platforms_host_only() {
    let sample = Catalogue::built_in()
        .sample("aws-sns", "SubscriptionConfirmation")
        .expect("a sample");
    let signed = sample.signed.clone().expect("recorded");
    let provider = Catalogue::built_in()
        .provider("aws-sns", &signed.settings)
        .expect("a provider");
    let known: Vec<_> = signed
        .keys
        .iter()
        .map(|(url, body)| (url.as_str(), body.as_str()))
        .collect();
    let keyring = crate::verify::keyring(&known, signed.at);
    let (definition, settings) = (&provider.definition, &provider.settings);
    let verifier = Verifier::compile(definition, &[], settings, &keyring, None).expect("compiles");
    let raw = crate::verify::delivery(
        crate::verify::URL,
        &[("content-type", "text/plain")],
        sample.body.clone(),
    );
    let verified = block_on(verifier.verify(&raw, signed.at)).expect("genuine");
    let ask = |definition: &Definition| {
        let handshakes = Handshakes::compile(definition, &[], settings).expect("compiles");
        assert!(handshakes.before_verification(&raw).is_none());
        handshakes.after_verification(&verified).expect("a challenge")
    };
    let target = ask(definition).expect("answered").confirm.expect("to be fetched");
    assert!(
        target
            .as_str()
            .starts_with("https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription"),
        "{target:?}"
    );
    let mut elsewhere = definition.clone();
    elsewhere.handshake[0].confirm.as_mut().expect("confirms").hosts = vec!["sns.example.com".into()];
    assert!(matches!(ask(&elsewhere), Err(HandshakeError::Url(_))));
}

#[test]
fn mistakes_of_a_handshake_are_said_with_its_name() {
    let refused = |lines: &str, says: &str| {
        let definition = definition(&format!("signature = []\n[[handshake]]\nname = 'hello'\n{lines}"));
        let problems = Handshakes::compile(&definition, &[], &Settings::default()).expect_err(lines);
        assert!(problems.iter().all(|p| p.contains("handshake `hello`")), "{problems:?}");
        assert!(problems.iter().any(|p| p.contains(says)), "{problems:?}");
    };
    refused("prove = 'nothing'", "would take every delivery");
    refused("method = 'GET'\nprove = 'token'", "`token` goes with");
    refused("method = 'G T'\nprove = 'nothing'", "no HTTP method");
    refused(
        "method = 'GET'\nprove = 'nothing'\nconfirm = { url = { query = 'u' }, hosts = ['a.example.com'] }",
        "only a signed challenge",
    );
    refused(
        "method = 'GET'\nprove = 'nothing'\nreply = { status = 99 }",
        "`99` is no status",
    );
    refused(
        "method = 'GET'\nprove = 'nothing'\nreply = { text = [{ query = 'a' }], json = { b = 1 } }",
        "not both",
    );
    refused(
        "method = 'GET'\nprove = 'nothing'\nreply = { text = [{ header = 'a', query = 'a' }] }",
        "several places",
    );
    refused(
        "method = 'GET'\nprove = 'nothing'\nreply = { headers = { 'a b' = { query = 'a' } } }",
        "no header name",
    );
}
