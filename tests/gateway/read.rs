//! Reading: one parse, what is found, how a batch splits.

use std::sync::Arc;

use bytes::Bytes;
use hooksluice::clock::Timestamp;
use hooksluice::delivery::{HeaderName, HeaderValue, Method, RawDelivery};
use hooksluice::keys::Keyring;
use hooksluice::provider::{Definition, Settings};
use hooksluice::read::{Document, Found, Parts, ReadOptions, Reader};
use hooksluice::verify::{Coverage, VerifiedDelivery, Verifier};

mod documents;
mod multipart;

/// A definition whose deliveries prove nothing, with these lines for the rest.
pub fn definition(lines: &str) -> Definition {
    let text = format!(
        "title = 'Test'\ncategory = 'test'\ndocs = 'https://example.com'\nread = '2025-11-24'\nconfidence = 'documented'\n\
         evidence = 'none'\ndomain = 'com.example'\nsignature = [{{ scheme = 'none' }}]\n{lines}"
    );
    toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A POST with these headers and this body.
pub fn raw(headers: &[(&str, &str)], body: impl Into<Bytes>) -> RawDelivery {
    let header = |(name, value): &(&str, &str)| {
        (
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    RawDelivery {
        method: Method::POST,
        path: "/in/test".into(),
        query: String::new(),
        url: "https://hooks.example.com/in/test?token=t0p".into(),
        headers: headers.iter().map(header).collect(),
        body: body.into(),
        received: "2025-11-24T10:00:00Z".parse().unwrap(),
        sender: None,
    }
}

pub fn json(body: impl Into<Bytes>) -> RawDelivery {
    raw(&[("content-type", "application/json")], body)
}

/// Walks the delivery through the verifier, as the only door there is.
pub fn verified<'d>(definition: &Definition, raw: &'d RawDelivery) -> VerifiedDelivery<'d> {
    let verifier = Verifier::compile(
        definition,
        &[],
        &Settings::default(),
        &Arc::new(Keyring::default()),
        None,
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(verifier.verify(raw, raw.received)).unwrap()
}

/// A signature over the body, as most have.
pub fn over_body() -> Coverage {
    Coverage {
        body: true,
        ..Coverage::default()
    }
}

pub fn read<'d>(definition: &Definition, raw: &'d RawDelivery) -> Parts<'d> {
    read_as(definition, raw, ReadOptions::default())
}

pub fn read_as<'d>(definition: &Definition, raw: &'d RawDelivery, options: ReadOptions) -> Parts<'d> {
    let reader = Reader::compile(definition, &Settings::default(), options).unwrap();
    reader.read(verified(definition, raw), &over_body())
}

fn found(lines: &str, raw: &RawDelivery) -> Found {
    let parts = read(&definition(lines), raw);
    assert_eq!(parts.parts().len(), 1);
    parts.parts()[0].found.clone()
}

fn reason(lines: &str, raw: &RawDelivery) -> &'static str {
    match &read(&definition(lines), raw).parts()[0].document {
        Document::Unreadable(unreadable) => unreadable.reason,
        other => panic!("was read as {other:?}"),
    }
}

fn problems(lines: &str) -> Vec<String> {
    Reader::compile(&definition(lines), &Settings::default(), ReadOptions::default()).unwrap_err()
}

#[test]
fn a_type_joins_what_is_there_and_leaves_out_what_is_optional() {
    let lines = "[event]\ntype = [[{ header = 'x-event' }, { json = '/action', optional = true }]]";
    let with = raw(&[("x-event", "pull_request")], r#"{"action":"opened"}"#);
    assert_eq!(found(lines, &with).event, "pull_request.opened");
    let without = raw(&[("x-event", "push")], r#"{"action":null}"#);
    assert_eq!(found(lines, &without).event, "push");
    assert_eq!(found(lines, &json(r#"{"action":"opened"}"#)).event, "unknown");
}

#[test]
fn the_first_alternative_that_is_wholly_there_wins() {
    let lines = "[event]\nid = [[{ json = '/a' }, { json = '/b' }], { json = '/c' }, { literal = 'last' }]";
    assert_eq!(
        found(lines, &json(r#"{"a":1,"b":"x","c":"c"}"#)).id.as_deref(),
        Some("1:x")
    );
    assert_eq!(found(lines, &json(r#"{"a":1,"c":"c"}"#)).id.as_deref(), Some("c"));
    assert_eq!(found(lines, &json(r#"{"a":1}"#)).id.as_deref(), Some("last"));
}

#[test]
fn event_names_are_cleaned_and_bounded() {
    let lines = "[event]\ntype = [{ json = '/t' }]";
    let name = |text: &str| found(lines, &json(serde_json::json!({ "t": text }).to_string())).event;
    assert_eq!(name("customer/created"), "customer.created");
    assert_eq!(name("a:b c"), "a.b.c");
    assert_eq!(name("Ürgent\n!"), "_rgent__");
    assert_eq!(name("..a...b//"), "a.b");
    assert_eq!(name("/"), "unknown");
    assert_eq!(name(&"x".repeat(5000)).len(), 200);
    assert!(name(&"é/".repeat(5000)).len() <= 200);
}

#[test]
fn values_come_out_as_text_without_controls_and_bounded() {
    let lines =
        "[event]\nsubject = [{ json = '/s' }]\nkey = [[{ json = '/k' }, { json = '/s' }]]\nid = [{ json = '/i' }]";
    let body = serde_json::json!({ "s": "a\r\nb\u{85}", "k": true, "i": 12_345_678_901_234_567_890_u64 });
    let result = found(lines, &json(body.to_string()));
    assert_eq!(result.subject.as_deref(), Some("a__b_"));
    assert_eq!(result.key.as_deref(), Some("true:a__b_"));
    assert_eq!(result.id.as_deref(), Some("12345678901234567890"));
    let long = found(
        lines,
        &json(serde_json::json!({ "s": "é".repeat(1000), "i": "y".repeat(513) }).to_string()),
    );
    assert_eq!(long.subject.unwrap().len(), 512);
    // A long id is not cut, for another may begin like it.
    let hash = "sha256:".len() + 64;
    assert_eq!(long.id.unwrap().len(), hash);
}

#[test]
fn what_is_no_scalar_is_not_found() {
    let lines = "[event]\nid = [{ json = '/i' }]";
    for body in [
        r#"{"i":{}}"#,
        r#"{"i":[1]}"#,
        r#"{"i":null}"#,
        r#"{"i":""}"#,
        r#"{}"#,
        "[]",
        "3",
    ] {
        assert_eq!(found(lines, &json(body)).id, None, "{body}");
    }
    // As a double it would be another number.
    assert_eq!(found(lines, &json(r#"{"i":123456789012345678901234567890}"#)).id, None);
}

#[test]
fn pointers_are_unescaped_and_index_arrays() {
    let lines = r#"[event]
id = [{ json = '/a~1b/0/~0c' }]"#;
    assert_eq!(
        found(lines, &json(r#"{"a/b":[{"~c":"yes"}]}"#)).id.as_deref(),
        Some("yes")
    );
}

#[test]
fn prefixes_and_transforms_apply() {
    let lines = "[event]\nid = [{ header = 'x-id', prefix = 'id-', transform = 'uppercase' }]\n\
                 subject = [{ json = '/s', transform = 'base64_decode' }]";
    let result = found(lines, &raw(&[("x-id", "id-abc")], r#"{"s":"aGVsbG8"}"#));
    assert_eq!(
        (result.id.as_deref(), result.subject.as_deref()),
        (Some("ABC"), Some("hello"))
    );
    assert_eq!(found(lines, &raw(&[("x-id", "abc")], "{}")).id, None);
    // A doubled header is no single value.
    assert_eq!(found(lines, &raw(&[("x-id", "id-a"), ("x-id", "id-b")], "{}")).id, None);
}

#[test]
fn query_parameters_are_decoded() {
    let mut raw = json("{}");
    raw.query = "a=1&id=x%20y+z&id=second".into();
    assert_eq!(
        found("[event]\nid = [{ query = 'id' }]", &raw).id.as_deref(),
        Some("x y z")
    );
    raw.query = "id=%ff".into();
    assert_eq!(found("[event]\nid = [{ query = 'id' }]", &raw).id, None);
}

#[test]
fn an_id_is_signed_where_the_signature_covers_its_place() {
    let definition = definition("[event]\nid = [{ header = 'x-id' }, { query = 'id' }, { json = '/id' }]");
    let reader = Reader::compile(&definition, &Settings::default(), ReadOptions::default()).unwrap();
    let signed = |raw: &RawDelivery, coverage: Coverage| {
        reader.read(verified(&definition, raw), &coverage).parts()[0]
            .found
            .id_signed
    };
    let in_header = raw(&[("x-id", "1")], "{}");
    let in_body = json(r#"{"id":1}"#);
    let mut in_query = json("{}");
    in_query.query = "id=1".into();
    let headers = Coverage {
        headers: vec![HeaderName::from_static("x-id")],
        ..Coverage::default()
    };
    assert!(!signed(&in_header, over_body()));
    assert!(signed(&in_header, headers));
    assert!(signed(&in_body, over_body()));
    assert!(!signed(&in_body, Coverage::default()));
    assert!(!signed(&in_query, over_body()));
    assert!(signed(
        &in_query,
        Coverage {
            url: true,
            ..Coverage::default()
        }
    ));
}

#[test]
fn claims_of_the_verified_token_are_found_and_always_signed() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    let random = ring::rand::SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    // SubjectPublicKeyInfo of a P-256 key is this, then the point.
    let mut spki = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    spki.extend_from_slice(pair.public_key().as_ref());

    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = r#"{"exp":1763982000,"sub":"s1","deep":{"id":42}}"#;
    let signed = format!("{}.{}", part(r#"{"alg":"ES256"}"#), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(&random, signed.as_bytes()).unwrap());

    let lines = "[event]\nid = [{ claim = '/deep/id' }]\nsubject = [{ claim = 'sub' }]\nkey = [{ claim = 'none' }]";
    let mut definition = definition(lines);
    let table = format!(
        "scheme = 'jwt'\nfrom = {{ header = 'authorization', prefix = 'Bearer ' }}\nalgorithms = ['ES256']\n\
         keys = {{ pinned = ['{}'] }}",
        STANDARD.encode(spki)
    );
    definition.signature = vec![toml::from_str(&table).unwrap()];
    let delivery = raw(&[("authorization", &format!("Bearer {signed}.{signature}"))], "{}");
    let reader = Reader::compile(&definition, &Settings::default(), ReadOptions::default()).unwrap();
    let parts = reader.read(verified(&definition, &delivery), &Coverage::default());
    let found = &parts.parts()[0].found;
    assert_eq!((found.id.as_deref(), found.id_signed), (Some("42"), true));
    assert_eq!((found.subject.as_deref(), found.key.as_deref()), (Some("s1"), None));
}

#[test]
fn times_are_read_in_each_format() {
    let time = |format: &str, value: &str| {
        let lines = format!("[event]\ntime = {{ from = [{{ json = '/t' }}], format = '{format}' }}");
        found(&lines, &json(format!(r#"{{"t":{value}}}"#))).time
    };
    let expected: Timestamp = "2023-11-14T22:13:20Z".parse().unwrap();
    assert_eq!(time("unix", "1700000000"), Some(expected));
    assert_eq!(
        time("unix", r#""1700000000.5""#),
        Some("2023-11-14T22:13:20.5Z".parse().unwrap())
    );
    assert_eq!(time("unix_ms", "1700000000000"), Some(expected));
    assert_eq!(time("rfc3339", r#""2023-11-15T00:13:20+02:00""#), Some(expected));
    assert_eq!(time("http_date", r#""Tue, 14 Nov 2023 22:13:20 GMT""#), Some(expected));
    for (format, value) in [
        ("unix", "99999999999999999999"),
        ("unix", r#""x""#),
        ("unix", r#""-""#),
        ("unix", r#""1.2.3""#),
        ("unix", r#""999999999999999999""#),
        ("rfc3339", r#""yesterday""#),
        ("rfc3339", "1700000000"),
    ] {
        assert_eq!(time(format, value), None, "{format} {value}");
    }
}

const BATCH: &str =
    "[event]\ntype = [{ item = '/t' }]\nid = [{ item = '/i' }, { json = '/e' }]\n[batch]\nitems = '/all/*'";

#[test]
fn a_batch_splits_into_exact_slices_of_the_body() {
    let body =
        Bytes::from_static(b"{\"e\":9, \"all\" : [ {\"t\" :\"a\",\"i\":1} ,\n{\"t\":\"b\"},\t\"x\\u0041\" , 1.50 ]}");
    let raw = json(body.clone());
    let parts = read(&definition(BATCH), &raw);
    assert!(parts.is_batch());
    let data: Vec<_> = parts.parts().iter().map(|part| part.data.clone()).collect();
    assert_eq!(
        data,
        ["{\"t\" :\"a\",\"i\":1}", "{\"t\":\"b\"}", "\"x\\u0041\"", "1.50"]
    );
    let inside = body.as_ptr_range();
    assert!(
        data.iter().all(|slice| inside.contains(&slice.as_ptr())),
        "a slice is a copy"
    );
    let ids: Vec<_> = parts
        .parts()
        .iter()
        .map(|part| part.found.id.as_deref().unwrap())
        .collect();
    // The envelope's one id is told apart by the index.
    assert_eq!(ids, ["1", "9:1", "9:2", "9:3"]);
    assert_eq!(parts.parts()[1].found.event, "b");
    assert_eq!(parts.parts()[2].found.event, "unknown");
}

#[test]
fn a_nested_batch_splits_in_order() {
    let lines = "[event]\nid = [{ item = '/n' }]\n[batch]\nitems = '/entry/*/changes/*'";
    let raw = json(r#"{"entry":[{"changes":[{"n":1},{"n":2}]},{"changes":[]},{"changes":[{"n":3}]}]}"#);
    let parts = read(&definition(lines), &raw);
    let ids: Vec<_> = parts
        .parts()
        .iter()
        .map(|part| part.found.id.clone().unwrap())
        .collect();
    assert_eq!(ids, ["1", "2", "3"]);
}

#[test]
fn an_element_is_found_by_its_key_however_that_is_written_and_however_deep_it_is() {
    let deep = format!("{}{}", "[".repeat(124), "]".repeat(124));
    let body = format!(r#"{{"x":"\"all\":[9]","y":{{"all":[9]}},"\u0061ll":[ {deep} , "]\\" ]}}"#);
    let raw = json(body);
    let parts = read(&definition(BATCH), &raw);
    let slices: Vec<&[u8]> = parts.parts().iter().map(|part| &part.data[..]).collect();
    assert_eq!(slices, [deep.as_bytes(), br#""]\\""#]);
}

#[test]
fn an_empty_batch_has_no_parts() {
    let raw = json(r#"{"all":[]}"#);
    let parts = read(&definition(BATCH), &raw);
    assert!(parts.is_batch() && parts.parts().is_empty());
}

#[test]
fn a_batch_of_another_shape_is_one_unreadable_part() {
    for body in [r#"{"all":{}}"#, "{}", "[]", "1"] {
        let raw = json(body);
        let parts = read(&definition(BATCH), &raw);
        assert!(!parts.is_batch());
        assert_eq!(parts.parts()[0].data, body);
        assert_eq!(reason(BATCH, &raw), "not-a-batch", "{body}");
    }
    assert_eq!(reason(BATCH, &json("{")), "not-json");
    let huge = format!(r#"{{"all":[1{}]}}"#, ",1".repeat(10_000));
    assert_eq!(reason(BATCH, &json(huge)), "too-many-elements");
}

#[test]
fn whole_leaves_a_batch_unsplit() {
    let raw = json(r#"{"all":[1,2],"e":5}"#);
    let parts = read_as(
        &definition(BATCH),
        &raw,
        ReadOptions {
            whole: true,
            json_payload: false,
        },
    );
    assert!(!parts.is_batch());
    assert_eq!(parts.parts()[0].data, raw.body);
    assert_eq!(parts.parts()[0].found.id.as_deref(), Some("5"));
}

#[test]
fn a_batch_by_content_type_leaves_other_bodies_alone() {
    let lines = "[batch]\nitems = '/*'\ncontent_type = 'application/cloudevents-batch+json'";
    let batch = raw(
        &[("content-type", "Application/CloudEvents-Batch+JSON; charset=utf-8")],
        "[1,2]",
    );
    assert_eq!(read(&definition(lines), &batch).parts().len(), 2);
    let raw = json("[1,2]");
    let single = read(&definition(lines), &raw);
    assert!(!single.is_batch());
}

#[test]
fn an_inner_document_is_unwrapped_for_its_values() {
    let lines = "[body]\ninner = { json = '/message/data', base64 = true }\n[event]\nid = [{ inner = '/id' }]";
    // {"id":"deep"}
    assert_eq!(
        found(lines, &json(r#"{"message":{"data":"eyJpZCI6ImRlZXAifQ=="}}"#))
            .id
            .as_deref(),
        Some("deep")
    );
    for body in [
        r#"{"message":{"data":"%%"}}"#,
        r#"{"message":{"data":"aGk="}}"#,
        r#"{"message":{"data":5}}"#,
        "{}",
    ] {
        assert_eq!(found(lines, &json(body)).id, None, "{body}");
    }
    let text = "[body]\ninner = { json = '/Message' }\n[event]\nid = [{ inner = '/id' }]";
    assert_eq!(
        found(text, &json(r#"{"Message":"{\"id\":7}"}"#)).id.as_deref(),
        Some("7")
    );
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[test]
fn a_form_maps_to_json_in_its_order() {
    let raw = raw(&[FORM], "b=2&a=1+%2B&b=3&empty&c=%E2%82%AC&bad=%zz&b=4&&=x");
    let definition = definition("[event]\nid = [{ form = 'a' }]\nsubject = [{ json = '/b/1' }]");
    let parts = read_as(
        &definition,
        &raw,
        ReadOptions {
            whole: false,
            json_payload: true,
        },
    );
    let part = &parts.parts()[0];
    assert!(matches!(part.document, Document::Form(_)));
    assert_eq!(part.data, raw.body);
    let expected = r#"{"b":["2","3","4"],"a":"1 +","empty":"","c":"€","bad":"%zz","":"x"}"#;
    assert_eq!(part.mapped.as_deref(), Some(expected.as_bytes()));
    assert_eq!(part.found.id.as_deref(), Some("1 +"));
    assert_eq!(part.found.subject.as_deref(), Some("3"));
}

#[test]
fn a_form_s_json_field_is_unwrapped_and_other_forms_stay_forms() {
    let lines =
        "[body]\nform_json_field = 'payload'\n[event]\ntype = [{ json = '/type' }]\nid = [{ json = '/payload' }]";
    let interactive = raw(&[FORM], "payload=%7B%22type%22%3A%22block_actions%22%7D");
    assert_eq!(found(lines, &interactive).event, "block_actions");
    assert_eq!(found(lines, &raw(&[FORM], "type=command")).event, "command");
    assert_eq!(reason(lines, &raw(&[FORM], "payload=no")), "not-json");
}

#[test]
fn forms_that_cannot_be_read_say_why() {
    assert_eq!(reason("", &raw(&[FORM], "")), "empty");
    assert_eq!(reason("", &raw(&[FORM], "a=%ff")), "not-utf8");
    assert_eq!(reason("", &raw(&[FORM], "a&".repeat(10_001))), "too-many-fields");
}

#[test]
fn an_opaque_body_is_not_looked_into() {
    let raw = raw(&[("x-id", "1")], "\u{0}binary");
    let parts = read(
        &definition("[body]\nformat = 'opaque'\n[event]\nid = [{ header = 'x-id' }]"),
        &raw,
    );
    assert_eq!(parts.parts()[0].document, Document::Opaque);
    assert_eq!(parts.parts()[0].content_type, "application/octet-stream");
    assert_eq!(parts.parts()[0].found.id.as_deref(), Some("1"));
}

#[test]
fn headers_are_still_read_when_the_body_is_not() {
    let result = found(
        "[event]\nid = [{ header = 'x-id' }]",
        &raw(&[("x-id", "1")], "nonsense"),
    );
    assert_eq!(result.id.as_deref(), Some("1"));
}

#[test]
fn rules_that_cannot_work_are_all_named() {
    let lines = "[body]\ninner = { json = 'x' }\n[event]\ntype = [{ }]\nid = [{ json = 'a' }, { header = 'a b' }]\n\
                 subject = [{ field = 't' }]\nkey = [{ json = '/a~2' }, { literal = 'a', query = 'b' }]\n\
                 [batch]\nitems = '/all'";
    let problems = problems(lines).join("\n");
    for expected in [
        "event.type[0]: must name exactly one place",
        "event.id[0]: \"a\" is not a JSON pointer",
        "event.id[1]: \"a b\" is not a header name",
        "event.subject[0]: `field` and `part`",
        "event.key[0]: \"/a~2\"",
        "event.key[1]: must name exactly one place",
        "body.inner.json: \"x\"",
        "batch.items: \"/all\" has no `*`",
    ] {
        assert!(problems.contains(expected), "{expected} is not in\n{problems}");
    }
}
