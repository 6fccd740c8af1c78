//! The document: what is accepted is what `serde_json` accepts, minus what parsers may read differently.

use hooksluice::read::Node;
use hooksluice::read::walk::{Borrowed, to_value};
use proptest::prelude::*;
use serde_json::Value;

fn reason(bytes: &[u8]) -> &'static str {
    Node::parse(bytes).expect_err("was accepted").reason
}

/// Ours accepts exactly what `serde_json` accepts, and reads the same.
fn same(bytes: &[u8]) {
    match (Node::parse(bytes), serde_json::from_slice::<Value>(bytes)) {
        (Ok(ours), Ok(theirs)) => assert_eq!(to_value(&ours), theirs, "{:?}", String::from_utf8_lossy(bytes)),
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{:?}: ours {ours:?}, theirs {theirs:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn what_json_is_and_is_not() {
    let cases: &[&[u8]] = &[
        b"",
        b" ",
        b"null",
        b"true",
        b"false",
        b"nul",
        b"nullx",
        b"tru",
        b"True",
        b"0",
        b"-0",
        b"-0.0",
        b"00",
        b"01",
        b"-",
        b"-01",
        b"1.",
        b".1",
        b"1.0",
        b"1e",
        b"1e5",
        b"1E+5",
        b"1e-5",
        b"1e400",
        b"-1e400",
        b"1e-400",
        b"+1",
        b"0x1",
        b"1_0",
        b"NaN",
        b"Infinity",
        b"18446744073709551615",
        b"18446744073709551616",
        b"-9223372036854775808",
        b"-9223372036854775809",
        b"123456789012345678901234567890",
        b"0.1",
        b"1.7976931348623157e308",
        b"5e-324",
        b"2.2250738585072011e-308",
        b"9007199254740993",
        b"1e22",
        b"1e23",
        b"\"\"",
        b"\"a\"",
        b"\"",
        b"\"a",
        b"'a'",
        b"\"\\u0041\"",
        b"\"\\u00\"",
        b"\"\\uD83D\\uDE00\"",
        b"\"\\uD83D\"",
        b"\"\\uDE00\"",
        b"\"\\uD83Dx\"",
        b"\"\\uD83D\\u0041\"",
        b"\"\\x\"",
        b"\"\\\"",
        b"\"\\\\\"",
        b"\"\\u0000\"",
        b"\"\x00\"",
        b"\"\x1f\"",
        b"\"\x7f\"",
        b"\"\t\"",
        b"\"\n\"",
        b"\"\xff\"",
        b"\"\xc3\xa9\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xc0\x80\"",
        b"\xef\xbb\xbf{}",
        b"[]",
        b"[1]",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[1,,2]",
        b"[",
        b"]",
        b"[1",
        b"[1,",
        b"[]]",
        b"{}",
        b"{\"a\":1}",
        b"{\"a\":1,}",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{a:1}",
        b"{1:1}",
        b"{\"a\":1 \"b\":2}",
        b"{,}",
        b"{",
        b"}",
        b"{\"a\"",
        b"{\"a\":",
        b"{\"a\":1",
        b"{\"a\":1,",
        b"[{]}",
        b"{} {}",
        b"{}x",
        b"1 1",
        b" \t\r\n{} \t\r\n",
        b"\x0b{}",
        b"\xc2\xa0{}",
        b"{}\x00",
        b"\x00{}",
        b"//c\n{}",
        b"{}/*c*/",
        b"{\"$serde_json::private::Number\":\"1\"}",
        b"{\"\\u0061\":1}",
        b"{\"\":0}",
        b"[[[[]]]]",
        b"\"\\/\\b\\f\\n\\r\\t\"",
    ];
    for case in cases {
        same(case);
    }
}

#[test]
fn keys_said_twice_are_refused_in_small_objects_and_large() {
    for count in [1, 2, 7, 8, 9, 100, 3000] {
        let object = |last: &str| {
            let members: Vec<_> = (0..count)
                .map(|n| format!("\"k{n}\":{n}"))
                .chain([format!("\"{last}\":0")])
                .collect();
            format!("[{{{}}}]", members.join(","))
        };
        assert_eq!(reason(object("k0").as_bytes()), "duplicate-key", "{count}");
        // The same key, spelt otherwise.
        assert_eq!(reason(object("\\u006b0").as_bytes()), "duplicate-key", "{count}");
        let fine = object("other");
        let node = Node::parse(fine.as_bytes()).unwrap();
        let members = node.as_array().unwrap()[0].as_object().unwrap();
        assert_eq!(members.len(), count + 1);
        for n in 0..count {
            assert!(members.get(&format!("k{n}")).is_some());
        }
        assert!(members.get("k").is_none());
    }
}

#[test]
fn each_refusal_has_its_reason() {
    assert_eq!(reason(b""), "empty");
    assert_eq!(reason(b" \n"), "empty");
    assert_eq!(reason(b"<xml/>"), "not-json");
    assert_eq!(reason(b"{\"a\":\"\xff\"}"), "not-utf8");
    assert_eq!(reason(br#"{"a":"\ud800"}"#), "not-json");
    assert_eq!(reason(b"{\"a\":\"\0\"}"), "not-json");
    assert_eq!(reason(br#"{"a":1,"a":1}"#), "duplicate-key");
}

#[test]
fn a_refusal_quotes_nothing_of_the_body() {
    for body in [
        "{\"password\":hunter2}",
        "{\"hunter2\":1,\"hunter2\":2}",
        "[\"hunter2\" \"x\"]",
    ] {
        let error = Node::parse(body.as_bytes()).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn depth_is_bounded_as_serde_json_bounds_it() {
    for depth in [126, 127, 128, 300, 100_000] {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        same(arrays.as_bytes());
        same(objects.as_bytes());
        if depth > 127 {
            assert_eq!(reason(arrays.as_bytes()), "too-deep");
            assert_eq!(reason("[".repeat(depth).as_bytes()), "too-deep");
        }
    }
}

#[test]
fn numbers_are_bounded_in_length_and_texts_are_not() {
    for before in [0, 1, 100, 255, 256, 257, 1000] {
        let pad = " ".repeat(before);
        let number = |length| format!("{pad}[{}]", "1".repeat(length));
        assert_eq!(
            Node::parse(number(257).as_bytes()).unwrap_err().reason,
            "bad-number",
            "{before}"
        );
        assert!(Node::parse(number(256).as_bytes()).is_ok(), "{before}");
        let fraction = format!("{pad}{{\"a\":0.{}}}", "3".repeat(255));
        assert_eq!(
            Node::parse(fraction.as_bytes()).unwrap_err().reason,
            "bad-number",
            "{before}"
        );
        let text = format!("{pad}{{\"{}\":\"\\\"{}\"}}", "1".repeat(600), "2".repeat(600));
        assert!(Node::parse(text.as_bytes()).is_ok(), "{before}");
    }
}

#[test]
fn text_without_escapes_is_borrowed() {
    let body = br#"{"key":"plain","k\u0065y2":"esc\n"}"#;
    let node = Node::parse(body).unwrap();
    let borrowed = |text: &str| body.as_ptr_range().contains(&text.as_ptr());
    let members = node.as_object().unwrap();
    let (key, value) = members.iter().next().unwrap();
    assert!(borrowed(key) && borrowed(value.as_text().unwrap()));
    assert_eq!(members.get("key2").unwrap().as_text(), Some("esc\n"));
}

/// Any JSON value, objects with keys that may need escapes.
pub fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |number| serde_json::Number::from_f64(number)
            .map(Value::Number)),
        (-3_i64..4).prop_map(Value::from),
        (-3_i64..4).prop_map(|number| Value::from(number as f64)),
        ".{0,6}".prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[abc]{0,2}|.{0,3}", inner, 0..12)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A schema over the same small alphabet, in the keywords that contracts use.
fn schema() -> impl Strategy<Value = Value> {
    use serde_json::json;
    let kind = prop::sample::select(vec![
        "null", "boolean", "integer", "number", "string", "array", "object",
    ]);
    let leaf = prop_oneof![
        kind.prop_map(|kind| json!({ "type": kind })),
        prop::collection::vec(value(), 1..4).prop_map(|options| json!({ "enum": options })),
        value().prop_map(|constant| json!({ "const": constant })),
        (-3_i64..4).prop_map(|limit| json!({ "minimum": limit, "exclusiveMaximum": limit + 2 })),
        (1_i64..4).prop_map(|of| json!({ "multipleOf": of })),
        (0_u64..4).prop_map(|limit| json!({ "minLength": limit, "maxLength": limit + 1 })),
        (0_u64..4).prop_map(|limit| json!({ "minItems": limit, "maxProperties": limit })),
        Just(json!({ "uniqueItems": true })),
        Just(json!({ "pattern": "^[ab]*$" })),
        Just(json!({ "propertyNames": { "maxLength": 1 } })),
        prop::collection::vec("[abc]{0,2}", 0..4)
            .prop_map(|names| json!({ "required": names.into_iter().collect::<std::collections::BTreeSet<_>>() })),
        any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let named = prop::collection::hash_map("[abc]{0,2}", inner.clone(), 0..6);
        prop_oneof![
            named.clone().prop_map(|properties| json!({ "properties": properties })),
            (named, inner.clone())
                .prop_map(|(properties, rest)| json!({ "properties": properties, "additionalProperties": rest })),
            inner.clone().prop_map(|items| json!({ "items": items })),
            inner.clone().prop_map(|contains| json!({ "contains": contains })),
            inner.clone().prop_map(|not| json!({ "not": not })),
            inner
                .clone()
                .prop_map(|rest| json!({ "patternProperties": { "^a": rest }, "unevaluatedProperties": false })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({ "anyOf": all })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({ "oneOf": all })),
            (inner.clone(), inner).prop_map(|(a, b)| json!({ "allOf": [a, b] })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_document_is_read_as_serde_json_reads_it(value in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let node = Node::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(to_value(&node), value.clone());
        prop_assert_eq!(serde_json::from_str::<Value>(&serde_json::to_string(&node).unwrap()).unwrap(), value);
        prop_assert_eq!(node.clone().into_owned(), node);
    }

    #[test]
    fn a_damaged_document_is_accepted_or_refused_as_by_serde_json(
        value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3,
    ) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.truncate(at),
            _ => bytes.insert(at, byte),
        }
        // A damaged key may now be there twice, which is ours to refuse.
        if !matches!(Node::parse(&bytes), Err(error) if error.reason == "duplicate-key") {
            same(&bytes);
        }
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        same(&bytes);
    }

    #[test]
    fn numbers_are_read_as_serde_json_reads_them(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?") {
        same(text.as_bytes());
    }

    #[test]
    fn a_schema_judges_our_document_as_it_judges_serde_json_s(schema in schema(), value in value()) {
        let text = serde_json::to_string(&value).unwrap();
        let node = Node::parse(text.as_bytes()).unwrap();
        let ours = jsonschema::options_for::<Borrowed>().build(&schema).unwrap();
        let theirs = jsonschema::options().build(&schema).unwrap();
        prop_assert_eq!(ours.is_valid(&node), theirs.is_valid(&value));
        let paths = |errors: jsonschema::ErrorIterator<'_>| {
            let mut paths: Vec<_> = errors.map(|e| (e.instance_path().to_string(), e.kind().keyword().to_owned())).collect();
            paths.sort();
            paths
        };
        prop_assert_eq!(paths(ours.iter_errors(&node)), paths(theirs.iter_errors(&value)));
    }
}
