//! What others published: bytes and signatures that no code of ours had a part in.

use std::sync::Arc;

use hooksluice::delivery::RawDelivery;
use hooksluice::provider::{Catalogue, Settings};
use hooksluice::verify::{Proof, Verifier, VerifyError};

use super::{at, definition, delivery, keyring, secrets, verify};

fn provider(name: &str, secret: &str, raw: &RawDelivery, second: i64) -> Result<Proof, VerifyError> {
    let provider = Catalogue::built_in()
        .provider(name, &Default::default())
        .expect("a provider");
    let verifier = Verifier::compile(
        &provider.definition,
        &secrets(&[secret]),
        &provider.settings,
        &Arc::default(),
        None,
    );
    verify(&verifier.expect("compiles"), raw, at(second))
}

/// docs.github.com, "Validating webhook deliveries".
#[test]
fn githubs_example_holds() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let raw = |body: &'static str| delivery(super::URL, &[("X-Hub-Signature-256", signature)], body);
    let secret = "It's a Secret to Everybody";
    assert!(provider("github", secret, &raw("Hello, World!"), 0).is_ok());
    assert_eq!(
        provider("github", secret, &raw("Hello, World?"), 0).unwrap_err(),
        VerifyError::Mismatch
    );
    assert_eq!(
        provider("github", "another", &raw("Hello, World!"), 0).unwrap_err(),
        VerifyError::Mismatch
    );
}

/// support.atlassian.com, "Manage webhooks", and developer.atlassian.com, "Webhooks".
#[test]
fn atlassians_example_holds() {
    let signature = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
    let raw = |body: &'static str| delivery(super::URL, &[("X-Hub-Signature", signature)], body);
    let secret = "It's a Secret to Everybody";
    for name in ["bitbucket-cloud", "jira-cloud"] {
        assert!(provider(name, secret, &raw("Hello World!"), 0).is_ok(), "{name}");
        let error = provider(name, secret, &raw("Hello World?"), 0).unwrap_err();
        assert_eq!(error, VerifyError::Mismatch, "{name}");
    }
}

/// github.com/checkr/webhook-verification-examples.
#[test]
fn checkrs_example_holds() {
    let signature = "b7412f05e981a473b5ecbdb5393afaea02a679db6d7c8e56803512ec4ba98151";
    let raw = |body: &'static str| delivery(super::URL, &[("X-Checkr-Signature", signature)], body);
    let secret = "test-secret";
    assert!(provider("checkr", secret, &raw(r#"{"monday":"75F","tuesday":"80F"}"#), 0).is_ok());
    assert_eq!(
        provider("checkr", secret, &raw(r#"{"monday": "75F", "tuesday": "80F"}"#), 0).unwrap_err(),
        VerifyError::Mismatch
    );
}

/// docs.slack.dev, "Verifying requests from Slack".
#[test]
fn slacks_example_holds() {
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
                &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
                &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let headers = [
        ("X-Slack-Request-Timestamp", "1531420618"),
        (
            "X-Slack-Signature",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        ),
    ];
    let raw = delivery(super::URL, &headers, body);
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    assert!(provider("slack", secret, &raw, 1_531_420_618).is_ok());
    assert_eq!(
        provider("slack", secret, &raw, 1_531_420_618 + 301).unwrap_err(),
        VerifyError::Stale(301)
    );
    assert_eq!(
        provider("slack", secret, &raw, 1_531_420_618 - 301).unwrap_err(),
        VerifyError::Future(301)
    );
    assert!(provider("slack", secret, &raw, 1_531_420_618 + 300).is_ok());
}

/// The kits' own tests, after the page "Webhooks security": a form, a form with doubled names, a JSON body.
#[test]
fn twilios_examples_hold() {
    let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
    let form = |signature, body| {
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Twilio-Signature", signature),
        ];
        provider("twilio", "12345", &delivery(url, &headers, body), 0)
    };
    let call = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
    assert!(form("RSOYDt4T1cUTdK1PDd93/VVr8B8=", call).is_ok());
    assert_eq!(
        form("RSOYDt4T1cUTdK1PDd93/VVr8B9=", call).unwrap_err().reason(),
        "malformed"
    );
    assert_eq!(
        form("SSOYDt4T1cUTdK1PDd93/VVr8B8=", call).unwrap_err(),
        VerifyError::Mismatch
    );
    let doubled = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
    assert!(form("IK+Dwps556ElfBT0I3Rgjkr1wJU=", doubled).is_ok());

    let digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let url = format!("{url}&bodySHA256={digest}");
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Twilio-Signature", "a9nBmqA0ju/hNViExpshrM61xv4="),
    ];
    let json = |body: &'static str| provider("twilio", "12345", &delivery(&url, &headers, body), 0);
    assert!(json("{\"property\": \"value\", \"boolean\": true}").is_ok());
    assert_eq!(
        json("{\"property\": \"value\", \"boolean\": 1234}").unwrap_err(),
        VerifyError::Digest("query parameter `bodySHA256`".into())
    );
}

/// The specification's example, which its kits test themselves with.
#[test]
fn the_standard_webhooks_example_holds() {
    let second = 1_614_265_330;
    let headers = |signature| {
        [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signature),
        ]
    };
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let check = |signature: &'static str| {
        let raw = delivery(super::URL, &headers(signature), "{\"test\": 2432232314}");
        provider("standard-webhooks", secret, &raw, second)
    };
    let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert!(check(good).is_ok());
    let among_others =
        "v1,AAAAAAsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v2,xyz v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert!(check(among_others).is_ok());
    let of_another_version = "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(check(of_another_version).unwrap_err().reason(), "malformed");
}

/// Stripe publishes a formula and no example: this one is from a signer of the tests' own that knows nothing of the engine.
#[test]
fn stripes_formula_holds() {
    let body = "{\"id\":\"evt_1\",\"object\":\"event\"}";
    let good = crate::support::sign::stripe("whsec_test", 1_700_000_000, body.as_bytes());
    let old = good.replace("v1=", "v0=");
    let rolled = good.replace("v1=", &format!("v1={},v1=", "0".repeat(64)));
    let check = |header: &str, now| {
        provider(
            "stripe",
            "whsec_test",
            &delivery(super::URL, &[("Stripe-Signature", header)], body),
            now,
        )
    };
    assert!(check(&good, 1_700_000_000).is_ok());
    assert!(check(&rolled, 1_700_000_300).is_ok());
    assert_eq!(check(&old, 1_700_000_000).unwrap_err().reason(), "malformed");
    assert_eq!(check(&good, 1_700_000_301).unwrap_err(), VerifyError::Stale(301));
    // The time in the header is what was signed, and there is one.
    assert_eq!(
        check(&format!("t=1700000100,{good}"), 1_700_000_000)
            .unwrap_err()
            .reason(),
        "malformed"
    );
}

const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// Until a minute after its `exp`.
const JOES_TIME: i64 = 1_300_819_380;

fn token(lines: &str, secret: &[&str], known: &[(&str, &str)], token: &str, second: i64) -> Result<Proof, VerifyError> {
    let definition = definition(&format!(
        "[secret]\nencoding = 'base64url'\n[[signature]]\nscheme = 'jwt'\nfrom = {{ header = 'Authorization', prefix = 'Bearer ' }}\n\
         claims = {{ iss = 'joe', 'http://example.com/is_root' = true }}\n{lines}"
    ));
    let keyring = keyring(known, at(second));
    let verifier = Verifier::compile(&definition, &secrets(secret), &Settings::default(), &keyring, None);
    let raw = delivery(super::URL, &[("authorization", &format!("Bearer {token}"))], "");
    verify(
        &verifier.unwrap_or_else(|problems| panic!("{problems:?}")),
        &raw,
        at(second),
    )
}

const KEYS: &str = "https://keys.example.com/set";
const FROM_SET: &str = "keys = { jwks = 'https://keys.example.com/set', hosts = ['keys.example.com'] }";

/// RFC 7515 appendix A.1: HS256.
#[test]
fn a_token_with_a_shared_secret_from_the_rfc_holds_while_it_is_fresh() {
    let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let text = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let check = |text: &str, second| token("algorithms = ['HS256']", &[key], &[], text, second);
    let proof = check(&text, JOES_TIME).expect("holds");
    assert_eq!((&*proof.scheme, proof.key.as_deref()), ("jwt", Some("s0")));
    assert!(proof.claims.expect("claims").contains("\"joe\""));
    assert!(check(&text, JOES_TIME + 59).is_ok());
    assert_eq!(check(&text, JOES_TIME + 60).unwrap_err().reason(), "stale");
    assert_eq!(
        check(&text.replace(".dBj", ".eBj"), JOES_TIME).unwrap_err(),
        VerifyError::Mismatch
    );
}

/// RFC 7515 appendix A.2: RS256.
#[test]
fn a_token_signed_with_rsa_from_the_rfc_holds() {
    let set = r#"{"keys":[{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#;
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let text = format!("eyJhbGciOiJSUzI1NiJ9.{JOE}.{signature}");
    let lines = format!("algorithms = ['RS256']\n{FROM_SET}");
    assert!(token(&lines, &[], &[(KEYS, set)], &text, JOES_TIME).is_ok());
    let other = text.replace(".cC4", ".dC4");
    assert_eq!(
        token(&lines, &[], &[(KEYS, set)], &other, JOES_TIME).unwrap_err(),
        VerifyError::Mismatch
    );
}

/// RFC 7515 appendix A.3: ES256.
#[test]
fn a_token_signed_with_ecdsa_from_the_rfc_holds() {
    let set = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let text = format!(
        "eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    let lines = format!("algorithms = ['ES256']\n{FROM_SET}");
    assert!(token(&lines, &[], &[(KEYS, set)], &text, JOES_TIME).is_ok());
}

/// RFC 8037 appendix A.4: EdDSA. What it signs is a sentence, so the signature holds and there are no claims.
#[test]
fn a_signature_with_ed25519_from_the_rfc_holds() {
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let lines = format!("algorithms = ['EdDSA']\n{FROM_SET}");
    let error = token(&lines, &[], &[(KEYS, set)], text, 0).unwrap_err();
    assert!(
        matches!(&error, VerifyError::Token(why) if why.contains("no JSON object")),
        "{error}"
    );
    let other = text.replace("RXhh", "RXhi");
    assert_eq!(
        token(&lines, &[], &[(KEYS, set)], &other, 0).unwrap_err(),
        VerifyError::Mismatch
    );
}
