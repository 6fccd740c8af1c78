//! Which alternative judges, in what order, and what no sender can choose.

use hooksluice::delivery::HeaderValue;
use hooksluice::provider::Settings;
use hooksluice::provider::settings::Value as Given;
use hooksluice::verify::{Signed, Unsigned, Verifier, VerifyError};

use super::{at, block_on, compile, definition, delivery, headers, raw, secrets, signed, unsigned, verifier, verify};
use crate::support::sign::hmac_sha256;

const NOW: i64 = 1_750_000_000;

const BODY_SIGNED: &str = "[[signature]]\nname = 'signed'\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'X-Sig' }\ncontent = ['body']\n";

fn both() -> hooksluice::provider::Definition {
    definition(&format!(
        "{BODY_SIGNED}secret = {{ prefix = 'sig_', prefix_required = true }}\n\
         [[signature]]\nname = 'token'\nscheme = 'token'\nfrom = {{ header = 'X-Token' }}\n"
    ))
}

fn hmac(secret: &str, body: &str) -> String {
    hex::encode(hmac_sha256(secret.as_bytes(), &[body.as_bytes()]))
}

#[test]
fn the_strongest_that_is_shown_must_hold() {
    let verifier = verifier(&both(), &["sig_key", "password"]);
    let good = hmac("key", "{}");
    let check = |pairs: &[(&str, &str)]| verify(&verifier, &delivery(super::URL, pairs, "{}"), at(NOW));
    assert_eq!(&*check(&[("X-Sig", &good)]).expect("holds").scheme, "hmac-sha256");
    assert_eq!(&*check(&[("X-Token", "password")]).expect("holds").scheme, "token");
    assert_eq!(
        check(&[("X-Sig", &good), ("X-Token", "password")])
            .expect("holds")
            .alternative,
        0
    );
    // The token is right and does not help.
    let bad = hmac("another", "{}");
    assert_eq!(
        check(&[("X-Sig", &bad), ("X-Token", "password")]).unwrap_err(),
        VerifyError::Mismatch
    );
    assert_eq!(
        check(&[("X-Sig", ""), ("X-Token", "password")]).unwrap_err(),
        VerifyError::Mismatch
    );
    assert_eq!(
        check(&[("X-Sig", "zz"), ("X-Token", "password")]).unwrap_err().reason(),
        "malformed"
    );
    // Nor does another's secret in another's place.
    assert!(check(&[("X-Token", "sig_key")]).is_err());
    assert!(check(&[("X-Sig", &hmac("password", "{}"))]).is_err());
    assert_eq!(check(&[]).unwrap_err().reason(), "missing");
}

#[test]
fn an_alternative_without_a_key_does_not_count() {
    let verifier = verifier(&both(), &["password"]);
    let raw = delivery(super::URL, &[("X-Sig", "00"), ("X-Token", "password")], "{}");
    assert!(verify(&verifier, &raw, at(NOW)).is_ok());
}

#[test]
fn a_pinned_alternative_is_the_only_one() {
    let compile = |pinned| {
        Verifier::compile(
            &both(),
            &secrets(&["sig_key"]),
            &Settings::default(),
            &Default::default(),
            Some(pinned),
        )
    };
    let verifier = compile("signed").expect("compiles");
    let token = delivery(super::URL, &[("X-Token", "sig_key")], "{}");
    assert_eq!(verify(&verifier, &token, at(NOW)).unwrap_err().reason(), "missing");
    let problems = compile("sinned").expect_err("unknown");
    assert!(problems[0].contains("`signed`"), "{problems:?}");
}

/// Taking the signature away must not leave "nothing to prove".
#[test]
fn nothing_proved_must_be_asked_for_by_name() {
    let open = "[[signature]]\nname = 'open'\nscheme = 'none'\n";
    let definition = definition(&format!("{BODY_SIGNED}{open}"));
    let verifier = verifier(&definition, &["secret"]);
    assert_eq!(
        verify(&verifier, &delivery(super::URL, &[], "{}"), at(NOW))
            .unwrap_err()
            .reason(),
        "missing"
    );

    let pinned = Verifier::compile(
        &definition,
        &[],
        &Settings::default(),
        &Default::default(),
        Some("open"),
    );
    let proof = verify(&pinned.expect("compiles"), &delivery(super::URL, &[], "{}"), at(NOW)).expect("open");
    assert_eq!((&*proof.scheme, proof.key), ("none", None));
    // A provider that proves nothing was named as such; secrets would only pretend.
    let only = super::definition(open);
    assert!(compile(&only, &[]).is_ok());
    assert!(compile(&only, &["secret"]).expect_err("pretends")[0].contains("takes none"));
}

#[test]
fn a_doubled_header_is_no_choice() {
    let definition = definition(
        "[timestamp]\nfrom = { header = 'X-Time' }\ntolerance = '5m'\n[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\n\
         from = { header = 'X-Sig' }\ncontent = [{ header = 'X-Id' }, 'timestamp', 'body']",
    );
    let verifier = verifier(&definition, &["secret"]);
    let signed = signed(&definition, "secret", unsigned(at(NOW), "{}"));
    assert!(verify(&verifier, &raw(signed.clone()), at(NOW)).is_ok());
    for name in ["x-sig", "x-time", "x-id"] {
        let (header, value) = signed
            .headers
            .iter()
            .find(|(header, _)| *header == name)
            .expect("there");
        for second in [value.clone(), HeaderValue::from_static("1")] {
            let mut doubled = signed.clone();
            doubled.headers.push(header.clone(), second);
            assert_eq!(
                verify(&verifier, &raw(doubled), at(NOW)).unwrap_err().reason(),
                "malformed",
                "{name}"
            );
        }
        let mut without = signed.clone();
        without.headers = signed
            .headers
            .iter()
            .filter(|(h, _)| *h != name)
            .map(|(h, v)| (h.clone(), v.clone()))
            .collect();
        let reason = verify(&verifier, &raw(without), at(NOW)).unwrap_err().reason();
        assert_eq!(reason, if name == "x-time" { "timestamp" } else { "missing" }, "{name}");
    }
}

#[test]
fn age_and_owner_are_said_of_genuine_deliveries_only() {
    let definition = definition(
        "[timestamp]\nfrom = { header = 'X-Time' }\ntolerance = '5m'\n[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\n\
         from = { header = 'X-Sig' }\ncontent = ['timestamp', 'body']\n\
         [[bind]]\nfind = { json = '/account' }\nsetting = 'account'",
    );
    let mut settings = Settings::default();
    settings.insert("account", Given::Texts(vec!["a1".into(), "a2".into()]));
    let given = secrets(&["secret"]);
    let verifier = Verifier::compile(&definition, &given, &settings, &Default::default(), None).expect("compiles");
    let check = |secret: &str, body: &str, time: i64| {
        let tag = hex::encode(hmac_sha256(
            secret.as_bytes(),
            &[time.to_string().as_bytes(), body.as_bytes()],
        ));
        let raw = delivery(
            super::URL,
            &[("X-Time", &time.to_string()), ("X-Sig", &tag)],
            body.to_owned(),
        );
        verify(&verifier, &raw, at(NOW)).err().map(|error| error.reason())
    };
    let (ours, theirs) = (r#"{"account":"a2"}"#, r#"{"account":"b1"}"#);
    assert_eq!(check("secret", ours, NOW), None);
    assert_eq!(check("secret", theirs, NOW), Some("foreign"));
    assert_eq!(check("secret", "{}", NOW), Some("foreign"));
    assert_eq!(check("secret", r#"{"account":["a1"]}"#, NOW), Some("foreign"));
    assert_eq!(
        check("secret", r#"{"account":"a1","account":"b1"}"#, NOW),
        Some("malformed")
    );
    assert_eq!(check("secret", "no JSON", NOW), Some("malformed"));
    assert_eq!(check("secret", ours, NOW - 301), Some("stale"));
    assert_eq!(check("secret", ours, NOW + 301), Some("future"));
    assert_eq!(check("another", ours, NOW - 301), Some("mismatch"));
    assert_eq!(check("another", theirs, NOW + 301), Some("mismatch"));
}

/// Signed inside the body: one member of each name on the way, or what is verified is not what is read.
#[test]
fn a_signature_inside_the_body_allows_no_second_member() {
    let definition = definition(
        "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { json = '/meta/signature' }\n\
         content = [{ json = '/amount' }, ':', { json = '/to/0/name' }]",
    );
    let verifier = verifier(&definition, &["secret"]);
    let signed = signed(
        &definition,
        "secret",
        unsigned(at(NOW), r#"{"amount":5,"to":[{"name":"a"}],"meta":{}}"#),
    );
    let good = String::from_utf8(signed.body.to_vec()).expect("text");
    let check = |body: String| verify(&verifier, &delivery(super::URL, &[], body), at(NOW)).map_err(|e| e.reason());
    let proof = check(good.clone()).expect("holds");
    let coverage = verifier.coverage(&proof);
    assert_eq!(
        (coverage.body, coverage.members.as_slice()),
        (false, &["/amount".to_owned(), "/to/0/name".to_owned()][..])
    );
    for (from, to, reason) in [
        ("\"amount\":5", "\"amount\":6", "mismatch"),
        ("\"amount\":5", "\"amount\":5,\"amount\":6", "malformed"),
        ("\"amount\":5", "\"amount\":6,\"\\u0061mount\":5", "malformed"),
        ("\"meta\":", "\"meta\":{},\"meta\":", "malformed"),
        ("\"amount\":5,", "", "missing"),
        ("\"amount\":5", "\"amount\":[5]", "missing"),
    ] {
        assert!(good.contains(from), "{good}");
        assert_eq!(check(good.replacen(from, to, 1)).unwrap_err(), reason, "{to}");
    }
    assert_eq!(check(format!("{good}{{}}")).unwrap_err(), "malformed");
    assert!(
        check(good.replacen('{', "{\"more\":1,\"more\":2,", 1)).is_ok(),
        "what nobody signs is not looked at"
    );
}

#[test]
fn what_is_looked_at_is_bounded() {
    let definition = definition(
        "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'X-Sig' }\n\
         list = { separator = ',' }\ncontent = ['body']",
    );
    let verifier = verifier(&definition, &["secret"]);
    let good = hmac("secret", "{}");
    let check = |value: String| verify(&verifier, &delivery(super::URL, &[("X-Sig", &value)], "{}"), at(NOW));
    let others = |count: usize| format!("{},", "00".repeat(32)).repeat(count);
    assert!(check(format!("{}{good}", others(15))).is_ok());
    assert_eq!(
        check(format!("{}{good}", others(16))).unwrap_err().reason(),
        "malformed"
    );
    assert_eq!(check("0".repeat(8193)).unwrap_err().reason(), "malformed");
    // What is not of the form at all is left out, and does not hide what is.
    assert!(check(format!("zz,{good}")).is_ok());
}

/// An unsigned time can be set by anybody, so it is neither asked for nor believed.
#[test]
fn a_time_that_is_not_signed_does_not_exist() {
    let definition = definition(&format!(
        "[timestamp]\nfrom = {{ header = 'X-Time' }}\ntolerance = '5m'\n{BODY_SIGNED}"
    ));
    let verifier = verifier(&definition, &["secret"]);
    let good = hmac("secret", "{}");
    for pairs in [
        vec![("X-Sig", good.as_str())],
        vec![("X-Sig", good.as_str()), ("X-Time", "1")],
    ] {
        let proof = verify(&verifier, &delivery(super::URL, &pairs, "{}"), at(NOW)).expect("accepted");
        assert!(verifier.coverage(&proof).headers.is_empty());
    }
}

/// PayPal signs the body's CRC-32, which whoever has one delivery can give to another body.
#[test]
fn a_signed_checksum_does_not_cover_the_body() {
    let lines = |transform: &str| {
        format!(
            "[timestamp]\nfrom = {{ json = '/time' }}\n[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\n\
             from = {{ header = 'X-Sig' }}\ncontent = [{{ part = 'body', transform = '{transform}' }}]"
        )
    };
    for (transform, covers) in [("crc32_decimal", false), ("sha256_hex", true)] {
        let definition = definition(&lines(transform));
        let verifier = verifier(&definition, &["secret"]);
        let raw = raw(signed(&definition, "secret", unsigned(at(NOW), r#"{"time":"0"}"#)));
        let proof = verify(&verifier, &raw, at(NOW)).expect("accepted");
        assert_eq!(verifier.coverage(&proof).body, covers, "{transform}");
    }
}

/// Alipay signs neither empty fields nor two that it names: a captured delivery goes through with more of them.
#[test]
fn fields_that_are_not_signed_leave_the_body_uncovered() {
    let definition = definition(
        "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'X-Sig' }\n\
         content = [{ fields = 'sorted_pairs', without = ['sign_type'] }]",
    );
    let verifier = verifier(&definition, &["secret"]);
    let good = hmac("secret", "id=1");
    let pairs = [
        ("X-Sig", good.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    for body in ["id=1", "id=1&sign_type=x", "id=1&more="] {
        let proof = verify(&verifier, &delivery(super::URL, &pairs, body), at(NOW)).expect("accepted");
        let coverage = verifier.coverage(&proof);
        assert!(!coverage.body, "{body}");
        assert_eq!(coverage.fields_without.as_deref(), Some(&["sign_type".to_owned()][..]));
    }
}

#[test]
fn a_token_of_any_other_length_or_case_is_refused() {
    let definition =
        definition("[[signature]]\nscheme = 'token'\nfrom = { header = 'Authorization', prefix = 'Bearer ' }");
    let verifier = verifier(&definition, &["correct horse", "Battery"]);
    let check = |value: &str| {
        verify(
            &verifier,
            &delivery(super::URL, &[("Authorization", value)], ""),
            at(NOW),
        )
    };
    assert_eq!(check("Bearer Battery").expect("holds").key.as_deref(), Some("s1"));
    assert!(check("bearer correct horse").is_ok(), "a scheme's name has no case");
    for bad in [
        "Bearer battery",
        "Bearer Batter",
        "Bearer Batteryy",
        "Bearer ",
        "Bearer",
        "Battery",
        "Basic Battery",
        "",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
    // It opens the gate for whoever has it: no consumer gets it.
    let proof = check("Bearer Battery").expect("holds");
    assert!(verifier.coverage(&proof).publish.is_empty());
}

#[test]
fn the_proof_says_what_held_and_the_coverage_what_it_is_worth() {
    let definition = definition(
        "[timestamp]\nfrom = { header = 'X-Time' }\n[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\n\
         from = { header = 'X-Sig' }\ncontent = ['url', 'timestamp', { header = 'X-Id' }, { header = 'Authorization', optional = true }, 'body']",
    );
    let verifier = verifier(&definition, &["one", "two"]);
    let raw = raw(signed(&definition, "two", unsigned(at(NOW), "{}")));
    let verified = block_on(verifier.verify(&raw, at(NOW))).expect("accepted");
    let proof = verified.proof();
    assert_eq!(
        (&*proof.scheme, proof.key.as_deref(), proof.alternative),
        ("hmac-sha256", Some("s1"), 0)
    );
    let coverage = verifier.coverage(proof);
    assert!(coverage.body && coverage.url && coverage.query);
    let names =
        |headers: &[hooksluice::delivery::HeaderName]| headers.iter().map(|h| h.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&coverage.headers), ["x-id", "authorization", "x-time"]);
    assert_eq!(
        names(&coverage.publish),
        ["x-id", "x-time", "x-sig"],
        "a credential is never published"
    );
}

/// Names and values run together in what is signed: bytes that are no form must not be read as an empty or another one.
#[test]
fn a_form_is_signed_as_a_form_or_not_at_all() {
    let definition = definition(
        "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha1'\nencoding = 'base64'\nfrom = { header = 'X-Signature' }\n\
         content = ['url', 'sorted_form']",
    );
    let sent = |kind: &str, body: &'static str| Unsigned {
        headers: headers(&[("content-type", kind)]),
        ..unsigned(at(NOW), body)
    };
    let form = "application/x-www-form-urlencoded; charset=UTF-8";
    let verifier = verifier(&definition, &["s"]);
    let judge =
        |signed: &Signed| verify(&verifier, &raw(signed.clone()), at(NOW)).map(|proof| proof.scheme.to_string());

    let empty = signed(&definition, "s", sent(form, ""));
    assert_eq!(judge(&empty).unwrap(), "hmac-sha1");
    for kind in ["application/json", "text/plain"] {
        let mut smuggled = empty.clone();
        smuggled.body = "{\"paid\":true}".into();
        smuggled.headers = smuggled
            .headers
            .iter()
            .filter(|(name, _)| *name != "content-type")
            .chain(headers(&[("content-type", kind)]).iter())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        assert!(matches!(judge(&smuggled), Err(VerifyError::Malformed(_))), "{kind}");
    }

    let mut full = signed(&definition, "s", sent(form, "b=2&a=1&b=1&b=2"));
    full.body = "a=%31&b=1&b=2".into();
    assert!(
        judge(&full).is_ok(),
        "any order, each pair once, as the platform's kits sign it"
    );
    full.body = "a=1&b=1&b=3".into();
    assert_eq!(judge(&full), Err(VerifyError::Mismatch));
}
