//! Contracts: which schema judges, what a breach does, what it tells.

use hooksluice::contract::{CheckedDelivery, Contracts, Enforced, Mode, Policy, SchemaFile, Verdict};
use hooksluice::delivery::RawDelivery;
use proptest::prelude::*;

use crate::read::{definition, json, read};

const LINES: &str = "[event]\ntype = [{ json = '/t' }]\nversion = [{ json = '/v' }]";

pub fn schema(event: &str, version: &str, text: &str) -> SchemaFile {
    SchemaFile {
        event: event.into(),
        version: version.into(),
        text: text.to_owned().into(),
        place: format!("schemas/test/{event}/{version}.json"),
    }
}

fn compile(schemas: Vec<SchemaFile>, policy: &Policy) -> Result<Contracts, Vec<String>> {
    Contracts::compile("test", &definition(LINES), schemas, policy)
}

fn check<'d>(contracts: &Contracts, raw: &'d RawDelivery) -> Result<CheckedDelivery<'d>, Enforced> {
    contracts.check(read(&definition(LINES), raw))
}

fn verdict(contracts: &Contracts, body: &str) -> Verdict {
    let raw = json(body.to_owned());
    let checked = check(contracts, &raw).unwrap();
    checked.parts()[0].verdict().clone()
}

/// The version of the contract that judged, `-` where there was none.
fn judged_by(contracts: &Contracts, body: &str) -> String {
    match verdict(contracts, body) {
        Verdict::Passed { schema } => format!("{}@{}", schema.event, schema.version),
        Verdict::None => "-".into(),
        other => panic!("{other:?}"),
    }
}

fn policy(text: &str) -> Policy {
    toml::from_str(text).unwrap()
}

fn problem(text: &str) -> String {
    compile(vec![schema("a", "1", text)], &Policy::default())
        .unwrap_err()
        .join("\n")
}

#[test]
fn an_event_is_judged_by_its_own_folder_else_by_the_nearest_above_else_by_default() {
    let some = ["a", "a.b", "other"].map(|event| schema(event, "1", "{}"));
    let contracts = compile(some.to_vec(), &Policy::default()).unwrap();
    assert_eq!(judged_by(&contracts, r#"{"t":"a.b.c.d"}"#), "a.b@1");
    assert_eq!(judged_by(&contracts, r#"{"t":"a.b"}"#), "a.b@1");
    assert_eq!(judged_by(&contracts, r#"{"t":"a.bc"}"#), "a@1");
    assert_eq!(judged_by(&contracts, r#"{"t":"ab"}"#), "-");
    assert_eq!(judged_by(&contracts, "{}"), "-");
    let with_default = compile(vec![schema("default", "2", "{}")], &Policy::default()).unwrap();
    assert_eq!(judged_by(&with_default, r#"{"t":"ab"}"#), "default@2");
}

#[test]
fn a_delivered_version_is_judged_by_itself_or_the_newest_before_it() {
    let versions =
        ["9", "10", "2024-06-20", "2024-10-01", "2024-10-01.acacia"].map(|version| schema("a", version, "{}"));
    let contracts = compile(versions.to_vec(), &Policy::default()).unwrap();
    let by = |version: &str| judged_by(&contracts, &format!(r#"{{"t":"a","v":"{version}"}}"#));
    assert_eq!(by("9"), "a@9");
    assert_eq!(by("10"), "a@10");
    assert_eq!(by("11"), "a@10");
    assert_eq!(by("2024-06-20"), "a@2024-06-20");
    assert_eq!(by("2024-09-30"), "a@2024-06-20");
    assert_eq!(by("2024-10-01"), "a@2024-10-01");
    assert_eq!(by("2024-10-01.acacia"), "a@2024-10-01.acacia");
    assert_eq!(by("2025-01-27.acacia"), "a@2024-10-01.acacia");
    assert_eq!(by("8"), "-", "older than all");
    assert_eq!(
        judged_by(&contracts, r#"{"t":"a"}"#),
        "a@2024-10-01.acacia",
        "the newest"
    );
}

#[test]
fn a_pin_is_for_deliveries_that_name_no_version() {
    let versions = ["1", "2", "3"].map(|version| schema("a", version, "{}"));
    let contracts = compile(versions.to_vec(), &policy("version = '2'")).unwrap();
    assert_eq!(judged_by(&contracts, r#"{"t":"a"}"#), "a@2");
    assert_eq!(judged_by(&contracts, r#"{"t":"a","v":3}"#), "a@3");
    let problems = compile(versions.to_vec(), &policy("version = '0'")).unwrap_err();
    assert!(problems[0].starts_with("contract.version:"), "{problems:?}");
}

#[test]
fn a_passed_contract_is_named() {
    let contracts = compile(vec![schema("a.b", "2024-01", "{}")], &Policy::default()).unwrap();
    let Verdict::Passed { schema } = verdict(&contracts, r#"{"t":"a.b.c"}"#) else {
        panic!()
    };
    assert_eq!(&*schema.urn, "urn:hooksluice:contract:test:a.b:2024-01");
}

const STRICT: &str = r#"{
  "type": "object",
  "required": ["id", "name"],
  "properties": {
    "id": { "type": "integer", "minimum": 1 },
    "name": { "type": "string", "pattern": "^[a-z]+$" },
    "state": { "enum": ["open", "closed"] },
    "tags": { "type": "array", "items": { "type": "string" } }
  }
}"#;

#[test]
fn a_breach_tells_every_broken_rule_and_no_value() {
    let contracts = compile(vec![schema("a", "7", STRICT)], &Policy::default()).unwrap();
    let body = r#"{"t":"a","v":7,"id":-4711,"name":"S3CRET","state":"S3CRET","tags":["x",4711]}"#;
    let Verdict::Broken {
        reason,
        schema,
        violations,
    } = verdict(&contracts, body)
    else {
        panic!()
    };
    assert_eq!((reason, schema.unwrap().version.as_str()), ("contract", "7"));
    let mut told: Vec<_> = violations
        .iter()
        .map(|v| (v.pointer.as_str(), v.keyword.as_str()))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            ("/id", "minimum"),
            ("/name", "pattern"),
            ("/state", "enum"),
            ("/tags/1", "type")
        ]
    );
    for violation in &violations {
        assert_eq!(violation.schema, "urn:hooksluice:contract:test:a:7");
        assert!(
            !violation.message.contains("S3CRET") && !violation.message.contains("4711"),
            "{violation:?}"
        );
    }
}

#[test]
fn what_a_breach_tells_is_bounded() {
    let contracts = compile(
        vec![schema("a", "1", r#"{"additionalProperties":{"type":"object"}}"#)],
        &Policy::default(),
    )
    .unwrap();
    let members: Vec<_> = (0..500).map(|n| format!(r#""{}{n}":1"#, "long".repeat(300))).collect();
    let body = format!(r#"{{"t":"a",{}}}"#, members.join(","));
    let Verdict::Broken { violations, .. } = verdict(&contracts, &body) else {
        panic!()
    };
    assert_eq!(violations.len(), 50);
    assert!(
        violations
            .iter()
            .all(|v| v.pointer.len() <= 500 && v.message.len() <= 500)
    );
}

#[test]
fn no_keyword_tells_what_the_sender_said() {
    let keywords = [
        r#"{"type":"null"}"#,
        r#"{"type":["null","integer"]}"#,
        r#"{"const":1}"#,
        r#"{"enum":[1,2]}"#,
        r#"{"items":{"type":"null"}}"#,
        r#"{"items":{"maxLength":1}}"#,
        r#"{"prefixItems":[true],"items":false}"#,
        r#"{"prefixItems":[true],"unevaluatedItems":false}"#,
        r#"{"contains":{"type":"null"}}"#,
        r#"{"uniqueItems":true}"#,
        r#"{"maxItems":1}"#,
        r#"{"not":{"type":"array"}}"#,
        r#"{"anyOf":[{"type":"null"},{"items":{"type":"null"}}]}"#,
        r#"{"oneOf":[{"type":"array"},{"minItems":1}]}"#,
        r#"{"if":true,"then":false}"#,
        "false",
    ];
    for text in keywords {
        let contracts = compile(vec![schema("default", "1", text)], &Policy::default()).unwrap();
        let Verdict::Broken { violations, .. } = verdict(&contracts, r#"["S3CRET","S3CRET",{"a":"S3CRET"}]"#) else {
            panic!("{text} was met")
        };
        assert!(!violations.is_empty(), "{text}");
        for violation in &violations {
            assert!(!violation.message.contains("S3CRET"), "{text}: {violation:?}");
        }
    }
}

#[test]
fn a_huge_breach_is_not_listed() {
    let contracts = compile(
        vec![schema("default", "1", r#"{"items":{"type":"null"}}"#)],
        &Policy::default(),
    )
    .unwrap();
    let body = |count: usize| format!("[1{}]", ",1".repeat(count - 1));
    let Verdict::Broken { violations, .. } = verdict(&contracts, &body(49_999)) else {
        panic!()
    };
    assert_eq!((violations.len(), violations[0].keyword.as_str()), (50, "type"));
    let Verdict::Broken { violations, .. } = verdict(&contracts, &body(50_000)) else {
        panic!()
    };
    assert_eq!((violations.len(), violations[0].keyword.as_str()), (1, "unlisted"));
}

#[test]
fn a_contract_that_refers_to_itself_walks_the_deepest_document() {
    let text = r##"{"items":{"$ref":"#"},"additionalProperties":{"$ref":"#"},"type":["array","object"]}"##;
    let contracts = compile(vec![schema("default", "1", text)], &Policy::default()).unwrap();
    let body = |leaf: &str| format!("{}{leaf}{}", r#"[{"a":"#.repeat(63), "}]".repeat(63));
    assert_eq!(verdict(&contracts, &body("[]")).result(), "passed");
    let Verdict::Broken { violations, .. } = verdict(&contracts, &body("1")) else {
        panic!()
    };
    assert_eq!(violations[0].pointer, "/0/a".repeat(63));
}

#[test]
fn each_mode_does_its_own_with_a_breach() {
    let with = |mode: &str| compile(vec![schema("a", "1", STRICT)], &policy(&format!("mode = '{mode}'"))).unwrap();
    let broken = json(r#"{"t":"a"}"#);
    let not_json = json("<xml/>");

    let quarantine = with("quarantine");
    assert!(matches!(
        check(&quarantine, &broken).unwrap().parts()[0].verdict(),
        Verdict::Broken { reason: "contract", .. }
    ));
    assert!(matches!(
        check(&quarantine, &not_json).unwrap().parts()[0].verdict(),
        Verdict::Broken { reason: "not-json", .. }
    ));

    let enforce = with("enforce");
    let refused = check(&enforce, &broken).unwrap_err();
    assert_eq!((refused.reason, refused.violations.len()), ("contract", 2));
    assert_eq!(check(&enforce, &not_json).unwrap_err().reason, "not-json");

    let shadow = with("shadow");
    let Verdict::Shadow {
        schema: Some(_),
        violations,
    } = verdict(&shadow, r#"{"t":"a"}"#)
    else {
        panic!()
    };
    assert_eq!(violations.len(), 2);
    assert!(matches!(
        check(&shadow, &not_json).unwrap().parts()[0].verdict(),
        Verdict::Shadow { schema: None, .. }
    ));

    let off = with("off");
    for raw in [&broken, &not_json] {
        assert!(matches!(check(&off, raw).unwrap().parts()[0].verdict(), Verdict::Off));
    }
}

#[test]
fn what_is_not_json_is_quarantined_also_without_a_contract() {
    let contracts = compile(vec![], &Policy::default()).unwrap();
    let Verdict::Broken {
        reason,
        schema: None,
        violations,
    } = verdict(&contracts, "")
    else {
        panic!()
    };
    assert_eq!((reason, violations.len()), ("empty", 1));
}

#[test]
fn an_opaque_body_has_no_contract() {
    let definition = definition("[body]\nformat = 'opaque'");
    let contracts = Contracts::compile(
        "test",
        &definition,
        vec![schema("default", "1", "false")],
        &Policy::default(),
    )
    .unwrap();
    let raw = json("\u{1}");
    let checked = contracts.check(read(&definition, &raw)).unwrap();
    assert!(matches!(checked.parts()[0].verdict(), Verdict::None));
}

#[test]
fn modes_go_by_type_the_exact_one_first_then_the_longest_pattern() {
    let types = "mode = 'quarantine'\n[types]\n'com.example.a' = 'off'\n'com.example.*' = 'shadow'\n'com.example.a.*' = 'enforce'\n'com.example.a.b' = 'quarantine'";
    let contracts = compile(vec![schema("default", "1", "false")], &policy(types)).unwrap();
    let result = |event: &str| {
        let raw = json(format!(r#"{{"t":"{event}"}}"#));
        check(&contracts, &raw).map_or("enforced", |checked| checked.parts()[0].verdict().result())
    };
    assert_eq!(result("a"), "off");
    assert_eq!(result("a.x"), "enforced");
    assert_eq!(result("a.b"), "broken");
    assert_eq!(result("a.b.c"), "enforced");
    assert_eq!(result("z"), "shadow");
}

#[test]
fn patterns_that_can_match_nothing_are_problems() {
    let problems = compile(
        vec![],
        &policy("[types]\n'push' = 'off'\n'com.example.a*' = 'off'\n'com.example.' = 'off'"),
    )
    .unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(toml::from_str::<Policy>("mod = 'off'").is_err());
    assert!(toml::from_str::<Policy>("mode = 'maybe'").is_err());
    assert_eq!(Policy::default().mode, Mode::Quarantine);
}

#[test]
fn a_schema_that_does_not_compile_says_where_and_why() {
    for (text, at, why) in [
        (r#"{"type":"objekt"}"#, "at /type", "objekt"),
        (
            r#"{"properties":{"a":{"pattern":"(?=x)y"}}}"#,
            "at /properties/a/pattern",
            "regex",
        ),
        (
            r#"{"properties":{"a":{"pattern":"("}}}"#,
            "at /properties/a/pattern",
            "regex",
        ),
        (
            r#"{"properties":{"a":{"$ref":"https://example.com/x.json"}}}"#,
            "at ",
            "https://example.com/x.json",
        ),
        (r#"{"$ref":"file:///etc/passwd"}"#, "at ", "file:///etc/passwd"),
        (r#"{"$ref":"other.json"}"#, "at ", "other.json"),
        (r##"{"$ref":"#/$defs/none"}"##, "at ", "/$defs/none"),
        (r#"{"$schema":"https://example.com/mine"}"#, "at /$schema", "dialect"),
        (r#"{"required":["a"],"required":["b"]}"#, "at the root", "duplicate-key"),
        (r#"{"required":"#, "at the root", "not-json"),
        (r#"[]"#, "at the root", ""),
    ] {
        let problem = problem(text);
        assert!(problem.starts_with("schemas/test/a/1.json: "), "{problem}");
        assert!(problem.contains(at) && problem.contains(why), "{text}: {problem}");
    }
}

#[test]
fn every_bad_schema_is_told_at_once() {
    let problems = compile(
        vec![
            schema("a", "1", "{"),
            schema("b", "1", r#"{"type":1}"#),
            schema("c", "1", "{}"),
        ],
        &Policy::default(),
    );
    assert_eq!(problems.unwrap_err().len(), 2);
    let twice = compile(
        vec![schema("a", "1", "{}"), schema("a", "01", "{}")],
        &Policy::default(),
    )
    .unwrap_err();
    assert!(twice[0].contains("twice"), "{twice:?}");
}

#[test]
fn each_draft_is_read_by_its_own_rules() {
    let judges = |text: &str, body: &str| {
        let contracts = compile(vec![schema("default", "1", text)], &Policy::default()).unwrap();
        verdict(&contracts, body).result()
    };
    // Draft 4: exclusiveMinimum is a flag. From draft 6 on it is the limit itself.
    let four = r#"{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"n":{"minimum":1,"exclusiveMinimum":true}}}"#;
    assert_eq!(
        (judges(four, r#"{"n":1}"#), judges(four, r#"{"n":2}"#)),
        ("broken", "passed")
    );
    for draft in [
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-07/schema#",
    ] {
        let text =
            format!(r#"{{"$schema":"{draft}","properties":{{"n":{{"exclusiveMinimum":1}}}},"prefixItems":false}}"#);
        assert_eq!(
            (judges(&text, r#"{"n":1}"#), judges(&text, r#"{"n":2}"#)),
            ("broken", "passed"),
            "{draft}"
        );
    }
    // 2019-09 knows `items` as a list; 2020-12, also where nothing is said, calls that `prefixItems`.
    let nineteen = r#"{"$schema":"https://json-schema.org/draft/2019-09/schema","items":[{"type":"string"}]}"#;
    assert_eq!(
        (judges(nineteen, "[1]"), judges(nineteen, r#"["a",1]"#)),
        ("broken", "passed")
    );
    for head in [r#""$schema":"https://json-schema.org/draft/2020-12/schema","#, ""] {
        let text = format!(r#"{{{head}"prefixItems":[{{"type":"string"}}]}}"#);
        assert_eq!(
            (judges(&text, "[1]"), judges(&text, r#"["a",1]"#)),
            ("broken", "passed"),
            "{head}"
        );
    }
}

#[test]
fn formats_are_annotations_in_every_draft() {
    for draft in [
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let text = format!(r#"{{"$schema":"{draft}","format":"date-time"}}"#);
        let contracts = compile(vec![schema("default", "1", &text)], &Policy::default()).unwrap();
        assert_eq!(verdict(&contracts, r#""yesterday""#).result(), "passed");
    }
}

#[test]
fn a_pattern_that_would_backtrack_is_linear() {
    let contracts = compile(
        vec![schema("default", "1", r#"{"pattern":"^(a+)+$"}"#)],
        &Policy::default(),
    )
    .unwrap();
    let body = format!("\"{}!\"", "a".repeat(50_000));
    // With a backtracking engine this does not come back within the age of the universe.
    assert_eq!(verdict(&contracts, &body).result(), "broken");
}

#[test]
fn of_a_batch_only_the_broken_elements_are_quarantined_and_enforce_refuses_all() {
    let definition = definition("[event]\ntype = [{ item = '/t' }]\n[batch]\nitems = '/*'");
    let text = r#"{"required":["id"]}"#;
    let raw = json(r#"[{"t":"a","id":1},{"t":"a"},{"t":"b"}]"#);
    let quarantine = Contracts::compile("test", &definition, vec![schema("a", "1", text)], &Policy::default()).unwrap();
    let checked = quarantine.check(read(&definition, &raw)).unwrap();
    let results: Vec<_> = checked.parts().iter().map(|part| part.verdict().result()).collect();
    assert_eq!(results, ["passed", "broken", "none"]);

    let enforce = Contracts::compile(
        "test",
        &definition,
        vec![schema("a", "1", text)],
        &policy("mode = 'enforce'"),
    )
    .unwrap();
    let refused = enforce.check(read(&definition, &raw)).unwrap_err();
    assert_eq!(refused.violations.len(), 1);
    assert_eq!(refused.violations[0].pointer, "/1");
}

#[test]
fn labels_come_from_schemas_only() {
    let contracts = compile(
        vec![
            schema("a", "1", "false"),
            schema("a", "2", "{}"),
            schema("b", "1", "{}"),
        ],
        &Policy::default(),
    )
    .unwrap();
    let names = contracts.names();
    let labels: Vec<_> = names.iter().map(|name| (&*name.event, &*name.version)).collect();
    assert_eq!(labels, [("a", "1"), ("a", "2"), ("b", "1")]);
    assert!(names.iter().enumerate().all(|(at, name)| name.number == at));
    assert_eq!(
        verdict(&contracts, r#"{"t":"a.very.special","v":1}"#).labels(),
        ("a", "1")
    );
    assert_eq!(verdict(&contracts, r#"{"t":"made-up"}"#).labels(), ("other", ""));
    assert_eq!(verdict(&contracts, "nonsense").labels(), ("other", ""));
}

proptest! {
    /// Whatever is delivered is judged by the greatest version that is not newer, and order does not depend on the files'.
    #[test]
    fn the_version_that_judges_is_the_greatest_not_newer(
        mut versions in prop::collection::btree_set(0_u32..2000, 1..8), delivered in 0_u32..2000, reversed in any::<bool>(),
    ) {
        let mut files: Vec<_> = versions.iter().map(|version| schema("a", &version.to_string(), "{}")).collect();
        if reversed {
            files.reverse();
        }
        let contracts = compile(files, &Policy::default()).unwrap();
        versions.retain(|version| *version <= delivered);
        let expected = versions.last().map_or("-".to_owned(), |version| format!("a@{version}"));
        prop_assert_eq!(judged_by(&contracts, &format!(r#"{{"t":"a","v":{delivered}}}"#)), expected);
    }
}
