//! Events: their attributes, identity, and encodings.

use std::collections::BTreeMap;

use hooksluice::contract::{Contracts, Policy};
use hooksluice::delivery::{HeaderName, RawDelivery};
use hooksluice::event::{Attribute, Event, Origin, StoredError, encode, events};
use hooksluice::provider::{Definition, Settings};
use hooksluice::read::{ReadOptions, Reader};
use hooksluice::verify::Coverage;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::contract::schema;
use crate::read::{definition, over_body, raw, verified};

const LINES: &str = "[event]\ntype = [{ json = '/t' }]\nid = [{ json = '/id' }]\nversion = [{ json = '/v' }]\n\
    time = { from = [{ json = '/at' }] }\nsubject = [{ json = '/s' }]\nkey = [{ json = '/k' }]\nheaders = ['x-extra']";

/// Walks the whole line, with a contract for type `strict` that wants a member `must`.
fn walk(definition: &Definition, raw: &RawDelivery, coverage: &Coverage, options: ReadOptions) -> Vec<Event> {
    let reader = Reader::compile(definition, &Settings::default(), options).unwrap();
    let strict = schema("strict", "3", r#"{"required":["must"]}"#);
    let contracts = Contracts::compile("test", definition, vec![strict], &Policy::default()).unwrap();
    let checked = contracts
        .check(reader.read(verified(definition, raw), coverage))
        .unwrap();
    events(&Origin::new("orders", "test", definition).unwrap(), &checked, coverage)
}

fn one(lines: &str, raw: &RawDelivery) -> Event {
    let mut events = walk(&definition(lines), raw, &over_body(), ReadOptions::default());
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn post(body: &str) -> RawDelivery {
    raw(&[("content-type", "application/json; charset=utf-8")], body.to_owned())
}

fn attributes(event: &Event) -> BTreeMap<&'static str, String> {
    event
        .attributes()
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

#[test]
fn an_event_says_what_happened_and_how_it_is_known() {
    let body = r#"{"t":"order/paid","id":"evt_1","at":1700000000,"s":"order 7","k":"c9"}"#;
    let event = one(LINES, &post(body));
    let expected: BTreeMap<_, _> = [
        ("id", "evt_1"),
        ("source", "/sources/orders"),
        ("type", "com.example.order.paid"),
        ("time", "2023-11-14T22:13:20Z"),
        ("subject", "order 7"),
        ("provider", "test"),
        ("verification", "none"),
        ("idsigned", "true"),
        ("bodysha256", &sha256(body)),
        ("deliverysha256", &sha256(body)),
        ("partitionkey", "c9"),
        ("receivedtime", "2025-11-24T10:00:00Z"),
        ("httpmethod", "POST"),
        ("contract", "none"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    assert_eq!(attributes(&event), expected);
    assert_eq!(event.data(), body);
    assert_eq!(event.content_type(), "application/json; charset=utf-8");
    assert_eq!(
        (event.source(), event.kind(), event.key()),
        ("orders", "com.example.order.paid", Some("c9"))
    );
    assert!(event.is_json() && !event.is_quarantined() && event.is_id_signed());
}

#[test]
fn without_a_time_the_event_took_place_when_it_was_received() {
    assert_eq!(
        one(LINES, &post("{}")).get(Attribute::Time),
        Some("2025-11-24T10:00:00Z")
    );
}

#[test]
fn a_contract_that_passed_is_the_data_schema_and_one_that_broke_is_told() {
    let passed = one(LINES, &post(r#"{"t":"strict","must":1}"#));
    assert_eq!(passed.get(Attribute::Contract), Some("passed"));
    assert_eq!(
        passed.get(Attribute::DataSchema),
        Some("urn:hooksluice:contract:test:strict:3")
    );

    let broken = one(LINES, &post(r#"{"t":"strict"}"#));
    assert!(broken.is_quarantined());
    assert_eq!(broken.get(Attribute::Contract), Some("violated"));
    assert_eq!(broken.get(Attribute::DataSchema), None);
    assert_eq!(broken.get(Attribute::QuarantineReason), Some("contract"));
    let violations: Value = serde_json::from_str(broken.get(Attribute::Violations).unwrap()).unwrap();
    assert_eq!(violations[0]["keyword"], "required");
    assert_eq!(violations[0]["schema"], "urn:hooksluice:contract:test:strict:3");

    let not_json = one(LINES, &post("oops"));
    assert_eq!(not_json.get(Attribute::QuarantineReason), Some("not-json"));
    assert_eq!((not_json.data().as_ref(), not_json.is_json()), (&b"oops"[..], false));
}

#[test]
fn the_id_is_the_platform_s_else_the_body_s_hash_where_bodies_are_unique_else_minted() {
    let unique = format!("{LINES}\nunique_bodies = true");
    assert_eq!(one(&unique, &post(r#"{"id":7}"#)).id(), "7");
    let hashed = one(&unique, &post("{}"));
    assert_eq!((hashed.id(), hashed.is_id_signed()), (sha256("{}").as_str(), true));

    let (first, second) = (one(LINES, &post("{}")), one(LINES, &post("{}")));
    assert_ne!(first.id(), second.id());
    let minted = uuid::Uuid::parse_str(first.id()).unwrap();
    assert_eq!(minted.get_version_num(), 7);
    assert_eq!(minted.get_timestamp().unwrap().to_unix().0, 1_763_978_400);
    assert!(!first.is_id_signed());
}

#[test]
fn elements_of_a_batch_are_events_of_their_own() {
    let lines = "[event]\ntype = [{ item = '/t' }]\nunique_bodies = true\n[batch]\nitems = '/*'";
    let body = r#"[{"t":"a"}, {"t":"a"},"x"]"#;
    let events = walk(&definition(lines), &post(body), &over_body(), ReadOptions::default());
    let whole = sha256(body);
    let data: Vec<_> = events.iter().map(|event| event.data().clone()).collect();
    assert_eq!(data, [r#"{"t":"a"}"#, r#"{"t":"a"}"#, "\"x\""]);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.id(), format!("{whole}:{index}"));
        assert_eq!(event.get(Attribute::BatchIndex), Some(index.to_string().as_str()));
        assert_eq!(event.get(Attribute::DeliverySha256), Some(whole.as_str()));
        assert_eq!(event.body_sha256(), sha256(event.data()));
        assert_eq!(event.content_type(), "application/json");
    }
}

#[test]
fn a_form_published_as_json_is_json_with_its_own_digest() {
    let form = raw(&[("content-type", "application/x-www-form-urlencoded")], "t=paid&id=5");
    let as_json = ReadOptions {
        json_payload: true,
        ..ReadOptions::default()
    };
    let mapped = walk(&definition(LINES), &form, &over_body(), as_json).remove(0);
    assert_eq!(mapped.data(), r#"{"t":"paid","id":"5"}"#);
    assert_eq!((mapped.content_type(), mapped.is_json()), ("application/json", true));
    assert_eq!(mapped.body_sha256(), sha256(mapped.data()));
    assert_eq!(mapped.get(Attribute::DeliverySha256), Some(sha256(&form.body).as_str()));
    let as_sent = one(LINES, &form);
    assert_eq!((as_sent.data(), as_sent.id()), (&form.body, "5"));
    assert_eq!(as_sent.content_type(), "application/x-www-form-urlencoded");
}

#[test]
fn headers_and_url_are_published_by_allow_list_only() {
    let headers = [
        ("x-sig", "abc"),
        ("authorization", "Bearer t0p"),
        ("x-extra", "a\tü\"b"),
        ("x-other", "1"),
        ("x-sig", "def"),
    ];
    let delivery = raw(&headers, "{}");
    let coverage = Coverage {
        publish: vec![HeaderName::from_static("x-sig")],
        ..over_body()
    };
    let event = walk(&definition(LINES), &delivery, &coverage, ReadOptions::default()).remove(0);
    let published: Value = serde_json::from_str(event.get(Attribute::HttpHeaders).unwrap()).unwrap();
    assert_eq!(published, json!({ "x-sig": "abc, def", "x-extra": "a\tü\"b" }));
    assert_eq!(event.get(Attribute::HttpUrl), None);
    assert!(event.attributes().all(|(_, value)| !value.contains("t0p")));

    let signed_url = Coverage {
        url: true,
        ..over_body()
    };
    let event = walk(&definition(LINES), &delivery, &signed_url, ReadOptions::default()).remove(0);
    assert_eq!(event.get(Attribute::HttpUrl), Some(delivery.url.as_str()));
}

#[test]
fn a_definition_cannot_publish_a_credential() {
    for name in ["Authorization", "cookie", "not a header"] {
        let definition = definition(&format!("[event]\nheaders = ['{name}']"));
        assert_eq!(Origin::new("a", "test", &definition).unwrap_err().len(), 1, "{name}");
    }
}

#[test]
fn a_valid_trace_context_is_passed_on_and_another_is_not() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let context = |headers: &[(&str, &str)]| {
        let event = one(LINES, &raw(headers, "{}"));
        let text = |attribute| event.get(attribute).map(str::to_owned);
        (text(Attribute::TraceParent), text(Attribute::TraceState))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(context(&[("traceparent", parent)]), (some(parent), None));
    let states = [("traceparent", parent), ("tracestate", "a=1"), ("tracestate", "b=2")];
    assert_eq!(context(&states), (some(parent), some("a=1,b=2")));
    assert_eq!(
        context(&[("traceparent", parent), ("tracestate", "junk")]),
        (some(parent), None)
    );
    assert_eq!(context(&[("tracestate", "a=1")]), (None, None));
    let later = format!("01{}-more", &parent[2..]);
    assert_eq!(context(&[("traceparent", &later)]), (some(&later), None));
    for bad in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
    ] {
        assert_eq!(context(&[("traceparent", bad)]), (None, None), "{bad}");
    }
    assert_eq!(
        context(&[("traceparent", parent), ("traceparent", parent)]),
        (None, None),
        "doubled"
    );
}

#[test]
fn kafka_headers_and_amqp_headers_carry_every_attribute() {
    let event = one(LINES, &post(r#"{"t":"a","id":"1"}"#));
    let kafka: BTreeMap<_, _> = encode::kafka_headers(&event).collect();
    let amqp: BTreeMap<_, _> = encode::amqp_headers(&event).collect();
    assert_eq!(
        (kafka["ce_specversion"], amqp["cloudEvents:specversion"]),
        ("1.0", "1.0")
    );
    assert_eq!(kafka["content-type"], "application/json; charset=utf-8");
    assert!(!kafka.contains_key("ce_datacontenttype"));
    for (name, value) in event.attributes() {
        assert_eq!(kafka[format!("ce_{name}").as_str()], value);
        assert_eq!(amqp[format!("cloudEvents:{name}").as_str()], value);
    }
    assert_eq!(kafka.len(), event.attributes().count() + 2);
    assert_eq!(amqp.len(), event.attributes().count() + 1);
}

#[test]
fn attribute_names_are_what_cloudevents_allows() {
    for attribute in Attribute::ALL {
        let name = attribute.name();
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
            "{name}"
        );
        assert!(!["data", "specversion", "datacontenttype"].contains(&name));
        assert_eq!(attribute.kafka(), format!("ce_{name}"));
        assert_eq!(attribute.amqp(), format!("cloudEvents:{name}"));
    }
    assert!(Attribute::ALL.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn structured_json_holds_json_as_the_sender_wrote_it_and_the_rest_as_base64() {
    let structured = |event: &Event| {
        let bytes = encode::structured(event);
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["specversion"], "1.0");
        assert_eq!(value["datacontenttype"], event.content_type());
        for (name, text) in event.attributes() {
            assert_eq!(value[name], text);
        }
        (String::from_utf8(bytes).unwrap(), value)
    };
    let body = "{ \"t\" : \"a\",\"big\":123456789012345678901234567890 ,\"x\":1.50}\n";
    let (text, value) = structured(&one(LINES, &post(body)));
    assert!(text.ends_with(&format!(",\"data\":{body}}}")), "{text}");
    assert_eq!(value.get("data_base64"), None);

    let (_, value) = structured(&one(LINES, &post("not json")));
    assert_eq!(
        (value.get("data"), &value["data_base64"]),
        (None, &json!("bm90IGpzb24="))
    );
    // JSON that its content type does not call so is text to a consumer.
    let plain = raw(&[("content-type", "text/plain")], r#"{"t":"a"}"#);
    let (_, value) = structured(&one(LINES, &plain));
    assert_eq!(
        (value.get("data"), &value["data_base64"]),
        (None, &json!("eyJ0IjoiYSJ9"))
    );
    let (_, value) = structured(&one(LINES, &raw(&[("content-type", "application/json")], "")));
    assert_eq!((value.get("data"), value.get("data_base64")), (None, None));
}

#[test]
fn a_stored_event_is_read_back_or_refused() {
    let event = one(LINES, &post(r#"{"t":"a","id":"1"}"#));
    let stored = event.to_stored();
    let back =
        |attributes: &str, data: &[u8], sha256: &[u8]| Event::from_stored(attributes, data.to_vec().into(), sha256);
    assert_eq!(
        back(&stored.attributes, &stored.data, &stored.sha256),
        Ok(event.clone())
    );
    assert_eq!(serde_json::from_str::<Value>(&stored.attributes).unwrap()["id"], "1");

    let digest = |text: &str| hex::decode(sha256(text)).unwrap();
    let other_id = stored.attributes.replace("\"id\":\"1\"", "\"id\":\"2\"");
    assert_eq!(
        back(&other_id, &stored.data, &stored.sha256),
        Err(StoredError::AttributesDigest)
    );
    assert_eq!(
        back(&stored.attributes, b"{}", &stored.sha256),
        Err(StoredError::DataDigest)
    );
    assert_eq!(
        back(&stored.attributes, &stored.data, &stored.sha256[..31]),
        Err(StoredError::AttributesDigest)
    );
    let renamed = |from: &str, to: &str| {
        let text = stored
            .attributes
            .replace(&format!("\"{from}\":"), &format!("\"{to}\":"));
        back(&text, &stored.data, &digest(&text)).unwrap_err()
    };
    assert_eq!(
        renamed("httpmethod", "fromthefuture"),
        StoredError::Unknown("fromthefuture".into())
    );
    for required in [
        "id",
        "type",
        "source",
        "specversion",
        "datacontenttype",
        "provider",
        "bodysha256",
    ] {
        assert_eq!(renamed(required, "subject"), StoredError::Missing(required));
    }
    for malformed in [
        "",
        "[]",
        "{\"id\":1}",
        &stored.attributes.replace("/sources/", "/elsewhere/"),
    ] {
        let error = back(malformed, &stored.data, &digest(malformed)).unwrap_err();
        assert!(matches!(error, StoredError::Malformed(_)), "{error}");
    }
}

#[test]
fn replays_and_events_a_destination_refused_are_marked() {
    let event = one(LINES, &post(r#"{"t":"a"}"#));
    let replay = event.clone().into_replay();
    assert!(replay.is_replay() && !event.is_replay());
    assert_eq!((replay.id(), replay.get(Attribute::Replay)), (event.id(), Some("true")));
    let refused = event.into_quarantine("too-large");
    assert!(refused.is_quarantined());
    assert_eq!(refused.get(Attribute::QuarantineReason), Some("too-large"));
    for event in [replay, refused] {
        let stored = event.to_stored();
        assert_eq!(
            Event::from_stored(&stored.attributes, stored.data, &stored.sha256),
            Ok(event)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a sender says, attributes are safe as headers, and stores give back what they were given.
    #[test]
    fn events_are_safe_and_survive_the_store(
        texts in prop::collection::vec(any::<String>(), 6),
        content_type in "[ -~]{0,40}",
        header in "[ -~\t]{0,40}",
        junk in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
    ) {
        let body = junk.unwrap_or_else(|| {
            let [t, id, v, s, k, x] = &texts[..] else { unreachable!() };
            json!({ "t": t, "id": id, "v": v, "s": s, "k": k, "x": x }).to_string().into_bytes()
        });
        let delivery = raw(&[("content-type", &content_type), ("x-extra", &header)], body.clone());
        let event = one(LINES, &delivery);
        prop_assert_eq!(event.data(), &body);
        prop_assert!(!event.id().is_empty());
        for (name, value) in event.attributes() {
            prop_assert!(!value.chars().any(char::is_control), "{} = {:?}", name, value);
        }
        prop_assert!(!event.content_type().chars().any(char::is_control));
        let value: Value = serde_json::from_slice(&encode::structured(&event)).unwrap();
        prop_assert_eq!(&value["id"], event.id());
        let stored = event.to_stored();
        prop_assert_eq!(Event::from_stored(&stored.attributes, stored.data.clone(), &stored.sha256), Ok(event));
    }
}
