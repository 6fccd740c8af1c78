//! Tokens: what a header may not choose, and what claims must say.

use std::sync::Arc;

use hooksluice::provider::Settings;
use hooksluice::provider::settings::Value as Given;
use hooksluice::verify::{Proof, Unsigned, Verifier, VerifyError, sign};
use serde_json::{Value, json};

use super::key_pairs::{RSA, base64url};
use super::{at, compile, definition, delivery, keyring, raw, secrets, unsigned, verify};
use crate::support::sign::hmac_sha256;

const NOW: i64 = 1_750_000_000;
const KEYS: &str = "https://keys.example.com/set";

const SHARED: &str =
    "[[signature]]\nscheme = 'jwt'\nalgorithms = ['HS256']\nfrom = { header = 'Authorization', prefix = 'Bearer ' }\n";
const PUBLIC: &str = "[[signature]]\nscheme = 'jwt'\nalgorithms = ['RS256']\n\
     from = { header = 'Authorization', prefix = 'Bearer ' }\n\
     keys = { jwks = 'https://keys.example.com/set', hosts = ['keys.example.com'] }\n";

/// A token with this header and these claims, keyed with `secret`.
fn keyed(header: Value, claims: Value, secret: &[u8]) -> String {
    let signed = format!(
        "{}.{}",
        base64url(header.to_string().as_bytes()),
        base64url(claims.to_string().as_bytes())
    );
    let tag = hmac_sha256(secret, &[signed.as_bytes()]);
    format!("{signed}.{}", base64url(&tag))
}

fn check(lines: &str, given: &[&str], settings: &Settings, token: &str) -> Result<Proof, VerifyError> {
    let keyring = keyring(&[(KEYS, &RSA.key_set)], at(NOW));
    let verifier = Verifier::compile(&definition(lines), &secrets(given), settings, &keyring, None);
    let raw = delivery(super::URL, &[("Authorization", &format!("Bearer {token}"))], "{}");
    verify(
        &verifier.unwrap_or_else(|problems| panic!("{problems:#?}")),
        &raw,
        at(NOW),
    )
}

fn shared(header: Value, claims: Value) -> Result<Proof, VerifyError> {
    check(
        SHARED,
        &["secret"],
        &Settings::default(),
        &keyed(header, claims, b"secret"),
    )
}

fn hs256(claims: Value) -> Result<Proof, VerifyError> {
    shared(json!({"alg": "HS256"}), claims)
}

#[test]
fn the_header_does_not_choose_how_it_is_checked() {
    let claims = || json!({"exp": NOW + 60});
    assert!(shared(json!({"alg": "HS256"}), claims()).is_ok());
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": ""}),
        json!({}),
        json!({"alg": "hs256"}),
        json!({"alg": "HS384"}),
        json!({"alg": "RS256"}),
        json!({"alg": ["HS256"]}),
        json!({"alg": "HS256", "crit": ["exp"], "exp": 0}),
        json!({"alg": "HS256", "crit": []}),
    ] {
        let error = shared(header.clone(), claims()).expect_err("refused");
        assert!(matches!(error, VerifyError::Token(_)), "{header}: {error}");
    }
    // What is not signed at all, with and without the last dot.
    let header = base64url(br#"{"alg":"none"}"#);
    let body = base64url(claims().to_string().as_bytes());
    for token in [
        format!("{header}.{body}."),
        format!("{header}.{body}"),
        format!("{header}.{body}.."),
        ".".into(),
    ] {
        assert!(
            check(SHARED, &["secret"], &Settings::default(), &token).is_err(),
            "{token}"
        );
    }
}

/// The old trick: the platform's public key, which everybody has, as the secret of an HMAC.
#[test]
fn a_public_key_is_no_secret() {
    let set: Value = serde_json::from_str(&RSA.key_set).expect("JSON");
    let modulus = set["keys"][0]["n"].as_str().expect("n");
    let secrets: [&[u8]; 5] = [
        RSA.public.as_bytes(),
        RSA.key_set.as_bytes(),
        modulus.as_bytes(),
        b"test",
        b"",
    ];
    for secret in secrets {
        let token = keyed(json!({"alg": "HS256", "kid": "test"}), json!({"exp": NOW + 60}), secret);
        let error = check(PUBLIC, &[], &Settings::default(), &token).expect_err("refused");
        assert!(matches!(error, VerifyError::Token(_)), "{error}");
    }
    // With the key given as the source's "secret".
    let own = "[secret]\nencoding = 'pem'\n[[signature]]\nscheme = 'jwt'\nalgorithms = ['RS256']\nfrom = { header = 'Authorization', prefix = 'Bearer ' }";
    let token = keyed(json!({"alg": "HS256"}), json!({"exp": NOW + 60}), RSA.public.as_bytes());
    assert!(check(own, &[&RSA.public], &Settings::default(), &token).is_err());
    // Nor can a definition mix them up.
    for (lines, given) in [
        (PUBLIC.replace("['RS256']", "['RS256', 'HS256']"), vec![]),
        (PUBLIC.replace("RS256", "HS256"), vec![]),
        (SHARED.replace("HS256", "none"), vec!["secret"]),
    ] {
        assert!(compile(&definition(&lines), &given).is_err(), "{lines}");
    }
}

#[test]
fn the_key_id_chooses_among_the_platforms_keys_only() {
    let token = |kid: Value| {
        let mut claims = serde_json::Map::new();
        claims.insert("exp".into(), (NOW + 60).into());
        let mut header = json!({"alg": "RS256"});
        if !kid.is_null() {
            header["kid"] = kid;
        }
        let signed = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(Value::from(claims).to_string().as_bytes())
        );
        let key = hooksluice::keys::PrivateKey::from_pem(RSA.private.as_bytes()).expect("a key");
        let signature = key
            .sign(hooksluice::keys::Algorithm::RsaSha256, signed.as_bytes())
            .expect("signs");
        format!("{signed}.{}", base64url(&signature))
    };
    let check = |kid| check(PUBLIC, &[], &Settings::default(), &token(kid));
    assert_eq!(check(json!("test")).expect("holds").key.as_deref(), Some("test"));
    assert!(check(Value::Null).is_ok(), "all keys are tried where none is named");
}

#[test]
fn times_of_a_token_have_a_minute_of_leeway() {
    let reason = |claims: Value| hs256(claims).err().map(|error| error.reason());
    assert_eq!(reason(json!({"exp": NOW})), None);
    assert_eq!(reason(json!({"exp": NOW - 59})), None);
    assert_eq!(reason(json!({"exp": NOW - 60})), Some("stale"));
    assert_eq!(reason(json!({"exp": NOW - 3600, "iat": NOW - 7200})), Some("stale"));
    assert_eq!(reason(json!({"exp": NOW + 600, "nbf": NOW + 60})), None);
    assert_eq!(reason(json!({"exp": NOW + 600, "nbf": NOW + 61})), Some("future"));
    assert_eq!(reason(json!({"exp": NOW + 600, "iat": NOW + 61})), Some("future"));
    assert_eq!(reason(json!({"exp": NOW as f64 + 0.5})), None);
    for odd in [
        json!({"exp": "soon"}),
        json!({"exp": null}),
        json!({"exp": 1e300}),
        json!({"exp": NOW + 60, "nbf": "0"}),
    ] {
        assert_eq!(reason(odd.clone()), Some("timestamp"), "{odd}");
    }
    assert_eq!(
        reason(json!({})),
        Some("token"),
        "what says nothing of the body must expire"
    );
}

#[test]
fn claims_must_say_what_the_data_says() {
    let lines = format!(
        "{SHARED}claims = {{ iss = ['a', 'b'], verified = true, aud = {{ setting = 'audience' }} }}\n\
         [settings.audience]\ndescription = 'ours'\nrequired = true\nlist = true\n"
    );
    let mut settings = Settings::default();
    settings.insert("audience", Given::Texts(vec!["us".into(), "also us".into()]));
    let check = |claims: Value| {
        let mut all = json!({"exp": NOW + 60, "iss": "b", "verified": true, "aud": "us"});
        for (name, value) in claims.as_object().expect("an object") {
            all[name] = value.clone();
        }
        let token = keyed(json!({"alg": "HS256"}), all, b"secret");
        check(&lines, &["secret"], &settings, &token)
            .err()
            .map(|error| error.reason())
    };
    assert_eq!(check(json!({})), None);
    assert_eq!(
        check(json!({"aud": ["others", "also us"]})),
        None,
        "an audience may be a list"
    );
    assert_eq!(check(json!({"aud": ["others"]})), Some("foreign"));
    assert_eq!(check(json!({"aud": []})), Some("foreign"));
    assert_eq!(check(json!({"aud": null})), Some("foreign"));
    assert_eq!(check(json!({"aud": {"us": "us"}})), Some("foreign"));
    assert_eq!(check(json!({"iss": "c"})), Some("token"));
    assert_eq!(check(json!({"iss": "A"})), Some("token"));
    assert_eq!(check(json!({"verified": false})), Some("token"));
    assert_eq!(check(json!({"verified": 1})), Some("token"));

    let problems = compile(&definition(&lines), &["secret"]).expect_err("no audience");
    assert!(
        problems.iter().any(|problem| problem.contains("`audience`")),
        "{problems:?}"
    );
}

/// Freshness and audience are said of genuine tokens only.
#[test]
fn a_forged_token_is_a_mismatch_whatever_it_claims() {
    let forged = keyed(json!({"alg": "HS256"}), json!({"exp": 0, "iss": "c"}), b"another");
    let error = check(SHARED, &["secret"], &Settings::default(), &forged).expect_err("refused");
    assert_eq!(error, VerifyError::Mismatch);
}

#[test]
fn a_token_that_carries_the_bodys_digest_binds_it() {
    let lines = format!("{SHARED}digest = [{{ find = {{ claim = 'sha256' }}, hash = 'sha256' }}]");
    let definition = definition(&lines);
    let request: Unsigned = unsigned(at(NOW), "{\"a\":1}");
    let signed = sign(&definition, &secrets(&["secret"]), &Settings::default(), None, request).expect("signed");
    let verifier = Verifier::compile(
        &definition,
        &secrets(&["secret"]),
        &Settings::default(),
        &Arc::default(),
        None,
    );
    let verifier = verifier.expect("compiles");
    let mut delivery = raw(signed);
    let proof = verify(&verifier, &delivery, at(NOW)).expect("accepted");
    assert!(verifier.coverage(&proof).body);
    delivery.body = "{\"a\":2}".into();
    assert_eq!(
        verify(&verifier, &delivery, at(NOW)).unwrap_err(),
        VerifyError::Digest("claim `sha256`".into())
    );
}
