//! Signatures that list themselves what they cover: detached tokens, HTTP signatures, listed headers.

use hooksluice::delivery::{HeaderName, RawDelivery};
use hooksluice::explain::{Case, Mistake, Report, Step};
use hooksluice::lint::recorded::with_body;
use hooksluice::provider::definition::{Part, Scheme};
use jiff::SignedDuration;

use super::{RECORDED, Recorded, ask, of, proves, with_header};

fn of_schemes(schemes: &[Scheme]) -> Vec<&'static Recorded> {
    let is_one = |recorded: &&Recorded| {
        recorded
            .definition
            .signature
            .iter()
            .any(|rule| schemes.contains(&rule.scheme))
    };
    RECORDED.iter().filter(is_one).collect()
}

fn http() -> Vec<&'static Recorded> {
    of_schemes(&[Scheme::HttpSignature, Scheme::HttpMessageSignature])
}

fn without(raw: &RawDelivery, name: &HeaderName) -> RawDelivery {
    let others = raw.headers.iter().filter(|(known, _)| *known != name);
    let headers = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    RawDelivery { headers, ..raw.clone() }
}

fn says(report: &Report, mistake: Mistake, words: &str) -> bool {
    let is_it = |cause: &hooksluice::explain::Cause| cause.mistake == mistake && cause.says.contains(words);
    report.causes.iter().any(is_it)
}

#[test]
fn what_must_be_covered_is_expected_in_words() {
    let mut kinds = std::collections::BTreeSet::new();
    for recorded in http() {
        let report = ask(&recorded.case());
        for component in &recorded.definition.signature[0].components {
            assert!(
                report.expected.contains(&format!("`{component}`")),
                "{}: {}",
                recorded.provider,
                report.expected
            );
        }
        let of_its_own = recorded.definition.signature[0].from.header.is_none();
        assert!(
            !of_its_own || report.expected.contains("in header `signature`"),
            "{}",
            report.expected
        );
        kinds.insert(format!("{:?}", recorded.definition.signature[0].scheme));
    }
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    let expected = ask(&of("truelayer").case()).expected;
    for words in [
        "jws by ES512",
        "header `Tl-Signature`",
        "`tl_headers` in the signature header lists",
        "`tl_version`",
    ] {
        assert!(expected.contains(words), "{words}: {expected}");
    }
}

#[test]
fn a_digest_header_that_was_taken_away_or_renamed_is_named() {
    let mut found = 0;
    for recorded in http() {
        let whole = recorded.case();
        for name in ["digest", "content-digest"].map(HeaderName::from_static) {
            let Some(value) = whole.raw.headers.text(&name).map(str::to_owned) else {
                continue;
            };
            let mut case = recorded.case();
            case.raw = without(&whole.raw, &name);
            let report = ask(&case);
            assert_eq!(report.step, Some(Step::Shape), "{}: {report:#?}", case.provider);
            assert!(
                says(&report, Mistake::HeaderMissing, name.as_str()),
                "{}: {report:#?}",
                case.provider
            );
            case.raw = with_header(&whole.raw, &name, &format!("x-forwarded-{name}"), value.as_bytes());
            let report = ask(&case);
            assert!(
                proves(&report, Mistake::HeaderRenamed),
                "{}: {report:#?}",
                case.provider
            );
            found += 1;
        }
    }
    assert!(found >= 5, "only {found}");
}

/// A header that only the delivery itself says to be signed.
#[test]
fn a_content_type_that_is_listed_and_did_not_arrive_is_named() {
    let mut case = of("coinbase-cdp").case();
    case.raw = without(&case.raw, &HeaderName::from_static("content-type"));
    let report = ask(&case);
    assert!(proves(&report, Mistake::ContentType), "{report:#?}");
}

#[test]
fn another_body_under_a_signature_that_holds_is_no_wrong_secret() {
    for recorded in http() {
        let mut case = recorded.case();
        case.raw = with_body(&case.raw, b"{\"of\":\"somebody else\"}".to_vec());
        let report = ask(&case);
        assert_eq!(report.step, Some(Step::Digest), "{}: {report:#?}", case.provider);
        let is_secret = |cause: &hooksluice::explain::Cause| cause.mistake == Mistake::SecretWrong;
        assert!(!report.causes.iter().any(is_secret), "{}: {report:#?}", case.provider);
    }
}

#[test]
fn what_the_signature_leaves_out_is_named() {
    let sender = of("http-message-signatures");
    let mut case = sender.case();
    case.definition.signature[0].components.push("@authority".into());
    let report = ask(&case);
    assert_eq!(report.step, Some(Step::Shape), "{report:#?}");
    assert!(
        proves(&report, Mistake::NotCovered) && says(&report, Mistake::NotCovered, "`@authority`"),
        "{report:#?}"
    );

    // Without the digest nothing is verified, so it is not proved either.
    let mut case = sender.case();
    let input = HeaderName::from_static("signature-input");
    let text = case
        .raw
        .headers
        .text(&input)
        .expect("there")
        .replace(" \"content-digest\"", "");
    case.raw = with_header(&case.raw, &input, "signature-input", text.as_bytes());
    let report = ask(&case);
    assert!(
        !proves(&report, Mistake::NotCovered) && says(&report, Mistake::NotCovered, "`content-digest`"),
        "{report:#?}"
    );

    let mut case = of("coinbase-cdp").case();
    for part in &mut case.definition.signature[0].content {
        if let Part::Listed(listed) = part {
            listed.require.push("X-Other".into());
        }
    }
    let report = ask(&case);
    assert!(
        proves(&report, Mistake::NotCovered) && says(&report, Mistake::NotCovered, "`x-other`"),
        "{report:#?}"
    );
}

#[test]
fn what_was_created_too_long_ago_is_genuine_and_old() {
    let mut found = 0;
    for recorded in http() {
        let mut case = recorded.case();
        case.at = case.at.checked_add(SignedDuration::from_mins(10)).expect("in range");
        let report = ask(&case);
        if report.verifies {
            continue;
        }
        assert_eq!(report.step, Some(Step::Timestamp), "{}: {report:#?}", case.provider);
        assert!(proves(&report, Mistake::Clock), "{}: {report:#?}", case.provider);
        found += 1;
    }
    assert!(found >= 4, "only {found}");
}

#[test]
fn a_key_id_that_is_not_expected_is_named() {
    let sender = of("http-message-signatures");
    let mut values = sender.signed.settings.clone();
    let other = serde_json::from_value(serde_json::json!(["another-key"])).expect("a setting");
    values.insert("keyid".into(), other);
    let provider = super::CATALOGUE.provider(&sender.provider, &values).expect("settings");
    let case = Case {
        definition: provider.definition,
        settings: provider.settings,
        ..sender.case()
    };
    let report = ask(&case);
    assert_eq!(report.step, Some(Step::Token), "{report:#?}");
    assert!(
        proves(&report, Mistake::Claims) && says(&report, Mistake::Claims, "`keyid`"),
        "{report:#?}"
    );
}

#[test]
fn another_algorithm_of_the_same_key_is_named() {
    for (provider, algorithm) in [("constant-contact", "RS512"), ("smartthings", "rsa-sha512")] {
        let mut case = of(provider).case();
        case.definition.signature[0].algorithms = vec![algorithm.into()];
        let report = ask(&case);
        assert!(proves(&report, Mistake::Algorithm), "{provider}: {report:#?}");
    }
}
