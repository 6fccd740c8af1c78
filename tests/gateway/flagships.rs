//! What definitions leave to the source: generic providers' parameters, and which of several signatures counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{KeyInit, Mac};
use hooksluice::delivery::{HeaderName, HeaderValue, Method, RawDelivery};
use hooksluice::keys::Keyring;
use hooksluice::provider::Catalogue;
use hooksluice::read::{Found, ReadOptions, Reader};
use hooksluice::secret::{NamedSecret, Secret};
use hooksluice::verify::{Verifier, VerifyError};
use serde_json::{Value, json};

use crate::support::sign::{hmac_sha256, now};
use crate::support::{Gateway, request};

const AT: i64 = 1_795_510_800;
const BODY: &[u8] = br#"{"id":"e1","type":"order.shipped","order":{"id":7}}"#;
const WHSEC: &str = "whsec_Zmxhc2hpcHMgb2YgaG9va3NsdWljZSwgbm8gbW9yZQ==";

fn raw(query: &str, headers: &[(&str, &str)]) -> RawDelivery {
    let header = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        (name, HeaderValue::from_str(value).expect("a header value"))
    };
    RawDelivery {
        method: Method::POST,
        path: "/in/test".into(),
        query: query.into(),
        url: format!("https://hooks.example.com/in/test?{query}"),
        headers: headers.iter().map(header).collect(),
        body: BODY.into(),
        received: jiff::Timestamp::from_second(AT).expect("a time"),
        sender: None,
    }
}

/// What a source of this provider makes of a delivery: the alternative that held, and what was found.
fn judge(
    provider: &str,
    settings: Value,
    secrets: &[&str],
    pin: Option<&str>,
    raw: &RawDelivery,
) -> Result<(String, Found), VerifyError> {
    let given = serde_json::from_value::<BTreeMap<_, _>>(settings).expect("settings");
    let provider = Catalogue::built_in()
        .provider(provider, &given)
        .unwrap_or_else(|errors| panic!("{errors:?}"));
    let secrets: Vec<_> = secrets
        .iter()
        .map(|text| NamedSecret {
            name: "now".into(),
            secret: Secret::new(*text),
        })
        .collect();
    let (definition, settings) = (&provider.definition, &provider.settings);
    let verifier = Verifier::compile(definition, &secrets, settings, &Arc::new(Keyring::default()), pin);
    let verifier = verifier.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let verified = runtime.block_on(verifier.verify(raw, raw.received))?;
    let scheme = verified.proof().scheme.to_string();
    let coverage = verifier.coverage(verified.proof()).clone();
    let reader = Reader::compile(definition, settings, ReadOptions::default()).expect("reading rules");
    let found = reader.read(verified, &coverage).parts()[0].found.clone();
    Ok((scheme, found))
}

#[test]
fn an_hmac_source_needs_nothing_but_its_secret() {
    let signature = hex::encode(hmac_sha256(b"k", &[BODY]));
    let (scheme, found) = judge(
        "hmac",
        json!({}),
        &["k"],
        None,
        &raw("", &[("x-signature", &signature)]),
    )
    .expect("accepted");
    assert_eq!(scheme, "hmac-sha256");
    assert_eq!(
        (found.event.as_str(), found.id.as_deref()),
        ("order.shipped", Some("e1"))
    );
    assert!(found.id_signed && found.key.is_none());
}

#[test]
fn an_hmac_source_may_say_everything_that_senders_do_differently() {
    let settings = json!({
        "header": "X-Acme-Signature", "prefix": "v1=", "encoding": "base64",
        "content": ["timestamp", ".", "body"], "timestamp_header": "X-Acme-Time", "timestamp_format": "unix_ms",
        "tolerance": "1m", "secret_encoding": "hex", "secret_prefix": "acme_",
        "type_header": "X-Acme-Event", "id_header": "X-Acme-Id", "key_pointer": "/order/id", "domain": "com.acme",
    });
    let time = (AT * 1000).to_string();
    let signature = format!(
        "v1={}",
        STANDARD.encode(hmac_sha256(b"key", &[time.as_bytes(), b".", BODY]))
    );
    let headers = [
        ("x-acme-signature", signature.as_str()),
        ("x-acme-time", &time),
        ("x-acme-event", "order/sent"),
        ("x-acme-id", "d9"),
    ];
    let secret = ["acme_6b6579"];
    let (_, found) = judge("hmac", settings.clone(), &secret, None, &raw("", &headers)).expect("accepted");
    assert_eq!(
        (found.event.as_str(), found.id.as_deref(), found.key.as_deref()),
        ("order.sent", Some("d9"), Some("7"))
    );
    assert!(!found.id_signed, "a header that is not signed");

    let late = ((AT - 61) * 1000).to_string();
    let signature = format!(
        "v1={}",
        STANDARD.encode(hmac_sha256(b"key", &[late.as_bytes(), b".", BODY]))
    );
    let headers = [("x-acme-signature", signature.as_str()), ("x-acme-time", &late)];
    let stale = judge("hmac", settings, &secret, None, &raw("", &headers));
    assert!(matches!(stale, Err(VerifyError::Stale(61))), "{stale:?}");
}

#[test]
fn a_token_comes_in_a_header_with_basic_or_in_the_query() {
    let judge = |settings: Value, secret: &str, pin, query: &str, headers: &[(&str, &str)]| {
        judge("token", settings, &[secret], pin, &raw(query, headers)).map(|(scheme, _)| scheme)
    };
    let basic = format!("Basic {}", STANDARD.encode("user:t0ken"));
    assert_eq!(
        judge(json!({}), "t0ken", None, "", &[("authorization", "Bearer t0ken")]).as_deref(),
        Ok("token")
    );
    assert_eq!(
        judge(json!({}), "user:t0ken", None, "", &[("authorization", &basic)]).as_deref(),
        Ok("basic")
    );
    assert_eq!(
        judge(json!({}), "t0ken", None, "a=1&access_token=t0ken", &[]).as_deref(),
        Ok("token")
    );
    let bare = json!({ "header": "X-Token", "prefix": "" });
    assert_eq!(
        judge(bare.clone(), "t0ken", None, "", &[("x-token", "t0ken")]).as_deref(),
        Ok("token")
    );

    for refused in [
        judge(json!({}), "t0ken", None, "", &[("authorization", "Bearer t0keN")]),
        judge(json!({}), "t0ken", None, "", &[("authorization", "t0ken")]),
        judge(json!({}), "t0ken", None, "access_token=", &[]),
        judge(json!({}), "t0ken", Some("header"), "access_token=t0ken", &[]),
        judge(bare, "t0ken", None, "", &[("x-token", "t0ke")]),
        judge(json!({}), "t0ken", None, "", &[]),
    ] {
        assert!(refused.is_err(), "{refused:?}");
    }
}

fn standard(id: &str) -> String {
    let key = STANDARD.decode(&WHSEC[6..]).expect("base64");
    let time = AT.to_string();
    format!(
        "v1,{}",
        STANDARD.encode(hmac_sha256(&key, &[id.as_bytes(), b".", time.as_bytes(), b".", BODY]))
    )
}

#[test]
fn gitlabs_signature_counts_before_its_token_and_neither_stands_for_the_other() {
    let (signature, time) = (standard("m1"), AT.to_string());
    let signed = [
        ("webhook-id", "m1"),
        ("webhook-timestamp", time.as_str()),
        ("webhook-signature", &signature),
    ];
    let both = [&signed[..], &[("x-gitlab-token", "t0ken")]].concat();
    let bent = [&[("webhook-id", "m2")], &signed[1..], &[("x-gitlab-token", "t0ken")]].concat();
    let judge = |secrets: &[&str], headers: &[(&str, &str)]| {
        judge("gitlab", json!({}), secrets, None, &raw("", headers)).map(|(scheme, _)| scheme)
    };
    assert_eq!(judge(&[WHSEC, "t0ken"], &both).as_deref(), Ok("hmac-sha256"));
    assert_eq!(judge(&["t0ken"], &both).as_deref(), Ok("token"));
    assert_eq!(judge(&[WHSEC], &signed).as_deref(), Ok("hmac-sha256"));
    assert!(
        judge(&[WHSEC, "t0ken"], &bent).is_err(),
        "a true token does not save a wrong signature"
    );
    assert!(
        judge(&[WHSEC], &[("x-gitlab-token", WHSEC)]).is_err(),
        "a signing token is not a password"
    );
    assert!(judge(&["t0ken"], &signed).is_err(), "a secret token is not a key");
}

#[test]
fn standard_webhooks_takes_any_of_several_signatures_of_the_kind_that_the_secret_is_for() {
    let (one, time) = (standard("m1"), AT.to_string());
    let rolled = format!("v1,{} v1a,{} {one}", STANDARD.encode([7; 32]), STANDARD.encode([7; 64]));
    let deliver = |signature: &str, secret: &str| {
        let headers = [
            ("webhook-id", "m1"),
            ("webhook-timestamp", time.as_str()),
            ("webhook-signature", signature),
        ];
        judge("standard-webhooks", json!({}), &[secret], None, &raw("", &headers)).map(|(_, found)| found.id_signed)
    };
    assert_eq!(deliver(&rolled, WHSEC), Ok(true));
    assert_eq!(deliver(&one, &WHSEC[6..]), Ok(true), "the prefix may be missing");
    let public = format!("whpk_{}", STANDARD.encode([9; 32]));
    assert!(deliver(&one, &public).is_err(), "a public key is never an HMAC key");
}

#[test]
fn twilio_signs_nothing_of_a_body_that_is_neither_form_nor_digested() {
    // A true signature of the URL, as anybody who saw one delivery has it.
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(b"t0ken").expect("any key length");
    mac.update(raw("", &[]).url.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("x-twilio-signature", signature.as_str()),
    ];
    let refused = judge("twilio", json!({}), &["t0ken"], None, &raw("", &headers));
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn a_cloudevent_keeps_its_type_in_every_content_mode() {
    let headers = [
        ("authorization", "Bearer t0ken"),
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/plant"),
        ("ce-type", "example.acme.stopped"),
    ];
    let (_, found) = judge("cloudevents-webhook", json!({}), &["t0ken"], None, &raw("", &headers)).expect("accepted");
    assert_eq!(found.event, "example.acme.stopped");
    assert_eq!(found.contract.as_deref(), Some("binary.example.acme.stopped"));
    assert_eq!(found.id.as_deref(), Some("/plant:1"));
}

/// What each platform's page asks for, and 401 for whoever cannot show what it must.
#[test]
fn challenges_are_answered_as_their_pages_say_and_to_nobody_else() {
    let gateway = Gateway::start(
        "sources:
  slack: { provider: slack, secrets: [{ value: k }] }
  zoom: { provider: zoom, secrets: [{ value: k }] }
  whatsapp: { provider: whatsapp-cloud, secrets: [{ value: k }], settings: { verify_token: t0ken } }
  cloudevents: { provider: cloudevents-webhook, secrets: [{ value: k }], settings: { allowed_origins: [emitter.example.com] } }
",
    );
    let time = now().to_string();
    let v0 = |body: &[u8]| {
        format!(
            "v0={}",
            hex::encode(hmac_sha256(b"k", &[b"v0:", time.as_bytes(), b":", body]))
        )
    };

    let body = br#"{"type":"url_verification","challenge":"belt-3 <b>"}"#;
    let signature = v0(body);
    let headers = [
        ("content-type", "application/json"),
        ("x-slack-request-timestamp", &time),
        ("x-slack-signature", &signature),
    ];
    let reply = gateway.post("/in/slack", &headers, body);
    assert_eq!((reply.status, reply.text()), (200, "belt-3 <b>"));
    assert!(
        reply
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(gateway.post("/in/slack", &headers[..2], body).status, 401, "unsigned");

    let body = br#"{"event":"endpoint.url_validation","payload":{"plainToken":"abc"},"event_ts":1}"#;
    let signature = v0(body);
    let headers = [
        ("content-type", "application/json"),
        ("x-zm-request-timestamp", &time),
        ("x-zm-signature", &signature),
    ];
    let reply = gateway.post("/in/zoom", &headers, body);
    let encrypted = hex::encode(hmac_sha256(b"k", &[b"abc"]));
    assert_eq!(
        (reply.status, reply.json()),
        (200, json!({ "plainToken": "abc", "encryptedToken": encrypted }))
    );
    let unsigned = gateway.post("/in/zoom", &headers[..2], body);
    assert_eq!(
        (unsigned.status, unsigned.text().contains(&encrypted)),
        (401, false),
        "no oracle for strangers"
    );

    let ask = |token: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        request("GET", &gateway.url(&format!("/in/whatsapp?{query}")), &[], b"")
    };
    assert_eq!((ask("t0ken").status, ask("t0ken").text()), (200, "1158201444"));
    assert_eq!(
        (ask("other").status, ask("other").text().contains("1158201444")),
        (401, false)
    );

    let ask = |origin: &str| {
        request(
            "OPTIONS",
            &gateway.url("/in/cloudevents"),
            &[("webhook-request-origin", origin)],
            b"",
        )
    };
    let granted = ask("emitter.example.com");
    assert_eq!(granted.status, 200);
    assert_eq!(granted.header("webhook-allowed-origin"), Some("emitter.example.com"));
    assert_eq!(
        (granted.header("webhook-allowed-rate"), granted.header("allow")),
        (Some("*"), Some("POST"))
    );
    let refused = ask("somebody.example.com");
    assert_eq!((refused.status, refused.header("webhook-allowed-origin")), (401, None));

    assert!(gateway.journal().is_empty(), "handshakes are no events");
    assert_eq!(
        gateway.metric("hooksluice_deliveries_total", &["outcome=\"handshake\""]),
        5.0
    );
}
