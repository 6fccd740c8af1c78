//! Signatures that say themselves what they cover, and bodies that are written anew before they are signed: published
//! vectors, both ways round, and what must not go through.

use hooksluice::delivery::{HeaderName, RawDelivery};
use hooksluice::provider::{Definition, Settings};
use hooksluice::verify::{Proof, Signed, Unsigned, Verifier, VerifyError, sign};

use super::key_pairs::{RSA, base64url, ed25519, key_set, p256, p521};
use super::{
    URL, at, compile, definition, delivery, headers, keyring, raw, secrets, signed, unsigned, verifier, verify,
};

const NOW: i64 = 1_750_000_000;
const SECRET: &str = "a secret of the families";

/// RFC 9421 appendix B.2: created at this second.
const RFC: i64 = 1_618_884_473;
const RSA_PSS: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI2wIDAQAB";
const B22: (&str, &str) = (
    r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
    "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
);
const B23: (&str, &str) = (
    r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
    "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
);

/// The request of the appendix, with one of its signatures.
fn published((input, signature): (&str, &str), body: &str) -> RawDelivery {
    let pairs = [
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        (
            "content-digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        ),
        ("content-length", "18"),
        ("signature-input", input),
        ("signature", signature),
    ];
    delivery("https://example.com/foo?param=Value&Pet=dog", &pairs, body.to_owned())
}

fn messages(lines: &str) -> Definition {
    definition(&format!(
        "[secret]\nencoding = 'pem'\n[[signature]]\nscheme = 'http-message-signature'\n{lines}"
    ))
}

#[test]
fn the_rfcs_signatures_with_a_digest_hold_and_bind_the_body() {
    let pss = "algorithms = ['rsa-pss-sha512']\n";
    let few = messages(&format!(
        "{pss}components = ['content-digest', '@query-param;name=\"Pet\"']"
    ));
    let few = verifier(&few, &[RSA_PSS]);
    let body = "{\"hello\": \"world\"}";
    for vector in [B22, B23] {
        let full = vector.0.starts_with("sig-b23");
        let outcome = verify(&few, &published(vector, body), at(RFC));
        // B.2.3 covers the whole query, and not the parameter by itself, which the data asks for.
        assert_eq!(outcome.is_ok(), !full, "{outcome:?}");
    }
    let all = messages(&format!(
        "{pss}components = ['date', '@method', '@path', '@query', '@authority', 'content-type', 'content-digest', 'content-length']"
    ));
    let all = verifier(&all, &[RSA_PSS]);
    let proof = verify(&all, &published(B23, body), at(RFC)).expect("accepted");
    assert_eq!(&*proof.scheme, "http-message-signature");
    let coverage = all.coverage(&proof);
    assert!(coverage.body && coverage.query);
    assert!(coverage.headers.iter().any(|name| name == "date"));
    assert!(
        ["signature", "signature-input", "content-digest"]
            .iter()
            .all(|wanted| coverage.publish.iter().any(|name| name == wanted))
    );

    // What the data lists and the signature leaves out.
    let error = verify(&all, &published(B22, body), at(RFC)).unwrap_err();
    assert!(
        matches!(&error, VerifyError::Malformed(why) if why.contains("does not cover")),
        "{error}"
    );
    // The digest is signed, and it is not of this body.
    let error = verify(&all, &published(B23, "{\"hello\": \"World\"}"), at(RFC)).unwrap_err();
    assert_eq!(error, VerifyError::Digest("header `content-digest`".into()));
    // Another algorithm than the platform's, by a key of the same kind.
    let other = messages("algorithms = ['rsa-v1_5-sha256']\ncomponents = ['content-digest']");
    let error = verify(&verifier(&other, &[RSA_PSS]), &published(B22, body), at(RFC)).unwrap_err();
    assert_eq!(error, VerifyError::Mismatch);
}

/// RFC 7515 appendix A.1, its payload detached (appendix F); RFC 7797 section 4.2, with the same key.
#[test]
fn the_rfcs_detached_tokens_hold() {
    let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let lines = |unencoded: bool| {
        definition(&format!(
            "[secret]\nencoding = 'base64url'\n[[signature]]\nscheme = 'jws'\nfrom = {{ header = 'X-Jws' }}\n\
             algorithms = ['HS256']\nunencoded = {unencoded}\ncontent = ['body']"
        ))
    };
    let encoded = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9..dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let claims = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
    let plain = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY";
    let cases = [(false, encoded, claims), (true, plain, "$.02")];
    for (unencoded, token, body) in cases {
        let ours = verifier(&lines(unencoded), &[key]);
        let proof = verify(&ours, &delivery(URL, &[("X-Jws", token)], body), at(NOW)).expect("accepted");
        assert_eq!((&*proof.scheme, ours.coverage(&proof).body), ("jws", true));
        let error = verify(&ours, &delivery(URL, &[("X-Jws", token)], format!("{body} ")), at(NOW)).unwrap_err();
        assert_eq!(error, VerifyError::Mismatch);
        // The one form is not taken for the other.
        let error = verify(
            &verifier(&lines(!unencoded), &[key]),
            &delivery(URL, &[("X-Jws", token)], body),
            at(NOW),
        );
        assert_eq!(error.unwrap_err().reason(), "token");
    }
}

/// RFC 7515 appendix A.4: the only published ES512 there is.
#[test]
fn the_rfcs_token_on_p521_holds() {
    const KEYS: &str = "https://keys.example.com/set";
    let definition = definition(&format!(
        "[secret]\nnone = true\n[[signature]]\nscheme = 'jws'\nfrom = {{ header = 'X-Jws' }}\nalgorithms = ['ES512']\n\
         content = ['body']\nkeys = {{ jwks = '{KEYS}' }}"
    ));
    let set = r#"{"keys":[{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}]}"#;
    let token = "eyJhbGciOiJFUzUxMiJ9..AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    let keys = keyring(&[(KEYS, set)], at(NOW));
    let ours = Verifier::compile(&definition, &[], &Settings::default(), &keys, None).expect("compiles");
    let ask = |body: &'static str| verify(&ours, &delivery(URL, &[("X-Jws", token)], body), at(NOW));
    assert!(ask("Payload").is_ok());
    assert_eq!(ask("payload").unwrap_err(), VerifyError::Mismatch);
}

/// hook0/hook0, clients/conformance/signature.json: a header-scheme signature verifies, and none over names that swapped places.
#[test]
fn hook0s_vectors_hold() {
    let definition = definition(
        "[timestamp]\nfrom = { field = 't' }\ntolerance = '5m'\n[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\n\
         from = { header = 'X-Hook0-Signature' }\nlist = { separator = ',', assign = '=', key = 'v1' }\n\
         content = ['timestamp', '.', { field = 'h' }, '.', { listed = { field = 'h' }, split = ' ', require = ['x-event-id'], join = '.' }, '.', 'body']",
    );
    let ours = verifier(&definition, &["a-subscription-secret"]);
    let good =
        "t=1800000000,h=x-event-id x-delivery-id,v1=19a6fb8f6581715b241a93af02a58611c3b0ac7b747a8d2a5b120ee418d0c347";
    let ask = |signature: &str, more: &[(&str, &str)]| {
        let mut pairs = vec![("X-Hook0-Signature", signature), ("content-type", "application/json")];
        pairs.extend(more);
        verify(
            &ours,
            &delivery(URL, &pairs, "{\"event\":\"user.created\"}"),
            at(1_800_000_000),
        )
        .map(|_| ())
    };
    let sent = [("x-event-id", "evt-1"), ("x-delivery-id", "dlv-1")];
    assert_eq!(ask(good, &sent), Ok(()));
    let swapped = good.replace("x-event-id x-delivery-id", "x-delivery-id x-event-id");
    assert_eq!(ask(&swapped, &sent), Err(VerifyError::Mismatch));
    assert_eq!(ask(good, &sent[..1]).unwrap_err().reason(), "missing");
    assert_eq!(
        ask(good, &[sent[0], ("x-delivery-id", "dlv-2")]),
        Err(VerifyError::Mismatch)
    );
    // A list that leaves out what must be signed is refused, whatever it signs.
    let other = "t=1800000000,h=x-delivery-id,v1=19a6fb8f6581715b241a93af02a58611c3b0ac7b747a8d2a5b120ee418d0c347";
    assert!(matches!(ask(other, &sent), Err(VerifyError::Malformed(why)) if why.contains("x-event-id")));
}

/// One way to sign: a definition, what it is signed and verified with, and a body of which every byte counts.
struct Family {
    definition: Definition,
    signs: String,
    verifies: String,
    content_type: &'static str,
    body: &'static str,
}

const BODY: &str = r#"{"Content":{"b":1,"a":"x"},"t":"y"}"#;

fn families() -> Vec<Family> {
    let hmac = "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'X-Sig' }\n";
    let shared = |lines: &str, content_type, body| Family {
        definition: definition(lines),
        signs: SECRET.into(),
        verifies: SECRET.into(),
        content_type,
        body,
    };
    let json = |lines: &str| shared(lines, "application/json", BODY);
    let form = |lines: &str| shared(lines, "application/x-www-form-urlencoded", "b=2&a=1%201&c=x");
    let public = |lines: &str, signs: String, verifies: String| Family {
        definition: definition(&format!("[secret]\nencoding = 'pem'\n{lines}")),
        signs,
        verifies,
        content_type: "application/json",
        body: BODY,
    };
    let (ed, p256, p521) = (ed25519(), p256(), p521(&RSA));
    let message = |algorithm: &str| {
        format!(
            "[timestamp]\nfrom = {{ field = 'created' }}\ntolerance = '5m'\n[[signature]]\nscheme = 'http-message-signature'\n\
             algorithms = ['{algorithm}']\ncomponents = ['@method', '@target-uri', '@authority', 'content-digest', 'content-type']"
        )
    };
    let jws = |algorithm: &str, unencoded: bool| {
        format!(
            "[timestamp]\nfrom = {{ field = 'ts' }}\ntolerance = '5m'\n[[signature]]\nscheme = 'jws'\nfrom = {{ header = 'X-Jws' }}\n\
             algorithms = ['{algorithm}']\nunencoded = {unencoded}\ncontent = ['method', ' ', 'path', '\\n', \
             {{ listed = {{ field = 'names' }}, split = ',', require = ['X-Id'], assign = ': ', join = ';' }}, '\\n', 'body']"
        )
        .replace("\\n", "\\u000a")
        .replace("'\\u000a'", "\"\\n\"")
    };
    vec![
        json(&message("hmac-sha256")),
        public(&message("ed25519"), ed.private.clone(), ed.public_pem()),
        public(&message("ecdsa-p256-sha256"), p256.private.clone(), p256.public_pem()),
        public(&message("rsa-pss-sha512"), RSA.private.clone(), RSA.public.clone()),
        public(&message("rsa-v1_5-sha256"), RSA.private.clone(), RSA.public.clone()),
        json(
            "[timestamp]\nfrom = { header = 'Date' }\nformat = 'http_date'\ntolerance = '5m'\n[[signature]]\nscheme = 'http-signature'\n\
             algorithms = ['hmac-sha256']\ncomponents = ['(request-target)', 'date', 'digest']",
        ),
        public(
            "[[signature]]\nscheme = 'http-signature'\nfrom = { header = 'Authorization', prefix = 'Signature ' }\n\
             algorithms = ['rsa-sha256']\ncomponents = ['digest']",
            RSA.private.clone(),
            RSA.public.clone(),
        ),
        json(&jws("HS256", false)),
        json(&jws("HS512", true)),
        public(&jws("ES512", false), p521.private.clone(), p521.public_pem()),
        public(&jws("EdDSA", true), ed.private.clone(), ed.public_pem()),
        json(&format!("{hmac}content = ['sorted_json']")),
        json(&format!("{hmac}content = [{{ raw = '/Content' }}, {{ json = '/t' }}]")),
        json(&format!(
            "{hmac}content = ['{{\"Body\":', {{ part = 'body', transform = 'json_string' }}, '}}']"
        )),
        json(
            "[timestamp]\nfrom = { field = 't' }\nformat = 'unix_ms'\ntolerance = '5m'\n[[signature]]\nscheme = 'hmac'\n\
             algorithm = 'sha256'\nfrom = { header = 'X-Sig', prefix = 'hmac;1;' }\nlist = { separator = ';', leading = ['t'] }\n\
             encoding = 'base64'\ncontent = ['timestamp', '.', 'body']",
        ),
        form(&format!(
            "{hmac}content = [{{ fields = 'sorted_pairs', without = ['sign'] }}]"
        )),
        form(&format!("{hmac}content = [{{ fields = 'php', without = ['sign'] }}]")),
        form(&format!(
            "{hmac}content = [{{ fields = 'python_json', without = ['sign'] }}]"
        )),
        public(
            "[[signature]]\nscheme = 'rsa'\nalgorithm = 'sha256'\nprehash = 'sha256'\nfrom = { header = 'X-Sig' }\n\
             encoding = 'base64'\ncontent = ['body']",
            RSA.private.clone(),
            RSA.public.clone(),
        ),
        json(
            "[[signature]]\nscheme = 'hash'\nalgorithm = 'md5'\nfrom = { json = '/auth' }\n\
             content = [{ body_with_secret_at = '/auth' }]",
        ),
        json("[[signature]]\nscheme = 'jwt'\nfrom = { part = 'body' }\nalgorithms = ['HS256']"),
        public(
            "[[signature]]\nscheme = 'jwt'\nfrom = { part = 'body' }\nalgorithms = ['RS256']",
            RSA.private.clone(),
            RSA.public.clone(),
        ),
    ]
}

fn request(family: &Family) -> Unsigned {
    Unsigned {
        headers: headers(&[("content-type", family.content_type)]),
        ..unsigned(at(NOW), family.body)
    }
}

fn without(signed: &Signed, header: &HeaderName) -> Signed {
    let others = signed.headers.iter().filter(|(name, _)| *name != header);
    Signed {
        headers: others.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ..signed.clone()
    }
}

#[test]
fn what_each_family_signs_verifies_and_no_byte_of_it_may_change() {
    for (index, family) in families().iter().enumerate() {
        let signed = signed(&family.definition, &family.signs, request(family));
        let ours = verifier(&family.definition, &[&family.verifies]);
        let ask = |signed: Signed| verify(&ours, &raw(signed), at(NOW));
        let proof: Proof = ask(signed.clone()).unwrap_or_else(|error| panic!("family {index}: {error} {signed:?}"));
        assert_eq!(proof.key.as_deref(), Some("s0"));

        for position in 0..signed.body.len() {
            let mut body = signed.body.to_vec();
            body[position] ^= 1;
            let bent = Signed {
                body: body.into(),
                ..signed.clone()
            };
            let whole = ours.coverage(&proof).body;
            // Two members only: what is between them is nobody's.
            let is_between = !whole && !(11..26).contains(&position);
            assert!(
                is_between || ask(bent).is_err(),
                "family {index}: byte {position} of the body"
            );
        }
        for (name, _) in signed.headers.iter().filter(|(name, _)| *name != "content-type") {
            assert!(ask(without(&signed, name)).is_err(), "family {index}: without {name}");
        }
        let other = compile(&family.definition, &["another secret, of nobody"]);
        if let Ok(other) = other {
            let error = verify(&other, &raw(signed.clone()), at(NOW)).unwrap_err();
            assert_eq!(error, VerifyError::Mismatch, "family {index}");
        }
    }
}

#[test]
fn the_age_that_a_signature_states_itself_counts() {
    for (index, family) in families()
        .iter()
        .enumerate()
        .filter(|(_, family)| family.definition.timestamp.is_some())
    {
        let signed = raw(signed(&family.definition, &family.signs, request(family)));
        let ours = verifier(&family.definition, &[&family.verifies]);
        for (age, reason) in [(-301, "future"), (-61, ""), (299, ""), (301, "stale")] {
            let outcome = verify(&ours, &signed, at(NOW + age));
            let said = outcome.as_ref().err().map_or("", VerifyError::reason);
            // RFC 9421's own `created` may be a minute ahead, as may a token's times.
            let is_early = age == -61 && said == "future";
            assert!(said == reason || is_early, "family {index} at {age}: {outcome:?}");
        }
    }
}

fn message_by(parameters: &str, components: &str) -> RawDelivery {
    let digest = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    let names: Vec<&str> = components.split(' ').filter(|name| !name.is_empty()).collect();
    let list: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let params = format!("({}){parameters}", list.join(" "));
    let mut base = String::new();
    for name in &names {
        let value = match *name {
            "content-digest" => digest,
            "@method" => "POST",
            "@query" => "?",
            "x-id" => "1",
            "x-token" => "t",
            "authorization" => "a",
            "cookie" => "c",
            other => panic!("{other}"),
        };
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {params}"));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        ring::hmac::sign(&key, base.as_bytes()),
    );
    let (input, signature) = (format!("sig1={params}"), format!("sig1=:{tag}:"));
    let pairs = [
        ("content-digest", digest),
        ("signature-input", &input),
        ("signature", &signature),
    ];
    delivery(URL, &pairs, "{\"hello\": \"world\"}")
}

/// Signed with the right key, all of them; and yet.
#[test]
fn a_genuine_message_signature_must_still_say_what_it_must() {
    let definition = definition(
        "[timestamp]\nfrom = { field = 'created' }\ntolerance = '5m'\n[[signature]]\nscheme = 'http-message-signature'\n\
         algorithms = ['hmac-sha256']\ncomponents = ['@method', 'content-digest']\n[signature.claims]\nkeyid = ['one', 'two']",
    );
    let ours = verifier(&definition, &[SECRET]);
    let ask = |parameters: &str, components: &str| {
        let outcome = verify(&ours, &message_by(parameters, components), at(NOW));
        outcome.err().map(|error| error.reason())
    };
    let both = "@method content-digest";
    assert_eq!(ask(&format!(";created={NOW};keyid=\"two\""), both), None);
    assert_eq!(
        ask(
            &format!(";alg=\"hmac-sha256\";keyid=\"one\";created={NOW};nonce=\"n\""),
            both
        ),
        None
    );
    assert_eq!(
        ask(&format!(";created={NOW};keyid=\"two\""), "content-digest"),
        Some("malformed")
    );
    assert_eq!(
        ask(&format!(";created={NOW};keyid=\"two\""), "@method"),
        Some("malformed")
    );
    assert_eq!(ask(&format!(";created={NOW};keyid=\"two\""), ""), Some("malformed"));
    assert_eq!(ask(&format!(";created={NOW};keyid=\"three\""), both), Some("token"));
    assert_eq!(ask(&format!(";created={NOW}"), both), Some("token"));
    assert_eq!(ask(";keyid=\"two\"", both), Some("timestamp"));
    assert_eq!(ask(";created=\"now\";keyid=\"two\"", both), Some("timestamp"));
    assert_eq!(
        ask(&format!(";created={NOW};keyid=\"two\";alg=\"ed25519\""), both),
        Some("malformed")
    );
    assert_eq!(
        ask(&format!(";created={NOW};keyid=\"two\";expires={}", NOW - 61), both),
        Some("stale")
    );
    assert_eq!(
        ask(&format!(";created={NOW};keyid=\"two\";expires={}", NOW + 9), both),
        None
    );
}

/// Behind a proxy that takes a part of the path away, `public_url` says what the sender called.
#[test]
fn the_path_that_is_signed_is_the_one_that_the_sender_called() {
    let hmac = "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'X-Sig' }\n";
    let message = "[[signature]]\nscheme = 'http-message-signature'\nalgorithms = ['hmac-sha256']\n";
    let draft = "[[signature]]\nscheme = 'http-signature'\nalgorithms = ['hmac-sha256']\n";
    for lines in [
        format!("{hmac}content = ['path', 'query', 'body']"),
        format!("{message}components = ['@path', '@query', 'content-digest']"),
        format!("{message}components = ['@request-target', 'content-digest']"),
        format!("{message}components = ['@query-param;name=\"a\"', '@path', 'content-digest']"),
        format!("{draft}components = ['(request-target)', 'digest']"),
    ] {
        let definition = definition(&lines);
        let ours = verifier(&definition, &[SECRET]);
        let request = Unsigned {
            url: "https://shop.example.com/hooks/in/shop?a=1".into(),
            ..unsigned(at(NOW), "{}")
        };
        let arrived = RawDelivery {
            path: "/in/shop".into(),
            ..raw(signed(&definition, SECRET, request))
        };
        assert!(verify(&ours, &arrived, at(NOW)).is_ok(), "{lines}");
        let elsewhere = RawDelivery {
            url: "https://shop.example.com/in/shop?a=1".into(),
            ..arrived
        };
        assert!(verify(&ours, &elsewhere, at(NOW)).is_err(), "{lines}");
    }
}

/// Else a consumer could not verify again: what is signed is in its hands only where it is published.
#[test]
fn what_a_message_signature_covers_beyond_what_it_must_is_published() {
    let definition = definition(
        "[[signature]]\nscheme = 'http-message-signature'\nalgorithms = ['hmac-sha256']\ncomponents = ['@method', 'content-digest']\n\
         [[signature]]\nname = 'token'\nscheme = 'token'\nfrom = { header = 'X-Token' }",
    );
    let ours = verifier(&definition, &[SECRET]);
    let names = |components: &str| {
        let mut raw = message_by("", components);
        let sent = [("x-id", "1"), ("x-token", "t"), ("authorization", "a"), ("cookie", "c")];
        sent.iter().for_each(|(name, value)| {
            raw.headers.push(
                HeaderName::from_static(name),
                hooksluice::delivery::HeaderValue::from_static(value),
            );
        });
        let proof = verify(&ours, &raw, at(NOW)).expect("holds");
        let coverage = ours.coverage(&proof);
        let names = |all: &[HeaderName]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        (names(&coverage.headers), names(&coverage.publish), coverage.query)
    };
    let must = "@method content-digest";
    let own = ["content-digest", "signature", "signature-input"];
    assert_eq!(
        names(must),
        (vec!["content-digest".into()], own.map(Into::into).to_vec(), false)
    );
    let (headers, publish, query) = names(&format!("{must} x-id x-token authorization cookie @query"));
    assert_eq!(
        headers,
        ["content-digest", "x-id", "x-token", "authorization", "cookie"]
    );
    assert_eq!(publish, [&own[..], &["x-id"]].concat());
    assert!(query);
}

/// A second signature beside one that does not count takes nothing from the first, and gives nothing to it.
#[test]
fn of_several_message_signatures_one_must_hold_and_cover_what_it_must() {
    let definition = definition(
        "[[signature]]\nscheme = 'http-message-signature'\nalgorithms = ['hmac-sha256']\ncomponents = ['@method', 'content-digest']",
    );
    let ours = verifier(&definition, &[SECRET]);
    let joined = |one: &RawDelivery, other: &RawDelivery| {
        let value = |raw: &RawDelivery, name: &'static str, label: &str| {
            let name = HeaderName::from_static(name);
            raw.headers.text(&name).expect("there").replacen("sig1", label, 1)
        };
        let both = |name| format!("{}, {}", value(one, name, "a"), value(other, name, "b"));
        let (input, signature) = (both("signature-input"), both("signature"));
        let digest = value(one, "content-digest", "");
        let pairs = [
            ("content-digest", &*digest),
            ("signature-input", &*input),
            ("signature", &*signature),
        ];
        verify(&ours, &delivery(URL, &pairs, "{\"hello\": \"world\"}"), at(NOW)).is_ok()
    };
    let (good, little) = (message_by("", "@method content-digest"), message_by("", "@method"));
    assert!(joined(&good, &little));
    assert!(joined(&little, &good));
    assert!(!joined(&little, &message_by(";nonce=\"n\"", "content-digest")));
    // A proxy's own, over what is not checked here.
    let mut foreign = message_by("", "@method");
    let input = HeaderName::from_static("signature-input");
    let value = hooksluice::delivery::HeaderValue::from_static("sig1=(\"x-proxy\";bs \"@method\";req)");
    foreign.headers = foreign
        .headers
        .iter()
        .map(|(name, old)| (name.clone(), if *name == input { value.clone() } else { old.clone() }))
        .collect();
    assert!(joined(&good, &foreign));
    assert!(joined(&foreign, &good));
    assert!(!joined(&foreign, &little));
}

#[test]
fn another_body_under_a_signature_that_holds_is_said_as_such() {
    let definition = definition(
        "[[signature]]\nscheme = 'http-message-signature'\nalgorithms = ['hmac-sha256']\ncomponents = ['content-digest']",
    );
    let mut raw = message_by("", "content-digest");
    raw.body = "{}".into();
    let error = verify(&verifier(&definition, &[SECRET]), &raw, at(NOW)).unwrap_err();
    assert_eq!(error, VerifyError::Digest("header `content-digest`".into()));
}

/// Told 4xx, the platform would not send again what only could not be checked.
#[test]
fn where_keys_cannot_be_had_no_other_signature_makes_a_delivery_wrong() {
    let definition = definition(
        "[secret]\nnone = true\n[[signature]]\nscheme = 'http-message-signature'\nalgorithms = ['ed25519']\n\
         components = ['content-digest']\nkeys = { jwks = 'https://shop.example.com/.well-known/jwks.json' }",
    );
    let keys = keyring(&[], at(NOW));
    let ours = Verifier::compile(&definition, &[], &Settings::default(), &keys, None).expect("compiles");
    let ask = |input: &str| {
        let pairs = [
            (
                "content-digest",
                "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
            ),
            ("signature-input", input),
            ("signature", "a=:AAAA:, b=:AAAA:"),
        ];
        let outcome = verify(&ours, &delivery(URL, &pairs, "{\"hello\": \"world\"}"), at(NOW));
        outcome.unwrap_err().reason()
    };
    let (one, lacking) = ("(\"content-digest\")", "(\"content-digest\" \"x-none\")");
    assert_eq!(ask(&format!("a={one}, b={lacking}")), "keys_unavailable");
    assert_eq!(ask(&format!("a={lacking}, b={one}")), "keys_unavailable");
    assert_eq!(ask(&format!("a={lacking}, b={lacking}")), "missing");
}

#[test]
fn a_detached_token_must_be_of_the_platforms_form() {
    let definition = definition(
        "[[signature]]\nscheme = 'jws'\nfrom = { header = 'X-Jws' }\nalgorithms = ['HS256']\nunencoded = true\ncontent = ['body']\n\
         [signature.claims]\nversion = '2'",
    );
    let ours = verifier(&definition, &[SECRET]);
    let ask = |header: serde_json::Value, payload: &str| {
        let protected = base64url(header.to_string().as_bytes());
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        let tag = base64url(ring::hmac::sign(&key, format!("{protected}.{{}}").as_bytes()).as_ref());
        let token = format!("{protected}.{payload}.{tag}");
        let outcome = verify(&ours, &delivery(URL, &[("X-Jws", &token)], "{}"), at(NOW));
        outcome.err().map(|error| error.reason())
    };
    let good = serde_json::json!({"alg": "HS256", "b64": false, "crit": ["b64"], "version": "2"});
    let with = |name: &str, value: serde_json::Value| {
        let mut header = good.clone();
        header[name] = value;
        header
    };
    assert_eq!(ask(good.clone(), ""), None);
    assert_eq!(ask(good.clone(), "e30"), Some("malformed"));
    assert_eq!(ask(with("alg", "none".into()), ""), Some("token"));
    assert_eq!(ask(with("alg", "HS512".into()), ""), Some("token"));
    assert_eq!(ask(with("crit", serde_json::json!(["b64", "exp"])), ""), Some("token"));
    assert_eq!(ask(with("crit", serde_json::json!([])), ""), Some("token"));
    assert_eq!(ask(with("b64", true.into()), ""), Some("token"));
    assert_eq!(ask(with("version", "1".into()), ""), Some("token"));
    assert_eq!(
        ask(serde_json::json!({"alg": "HS256", "b64": false, "version": "2"}), ""),
        Some("token")
    );
}

#[test]
fn a_body_that_means_two_things_is_refused_before_it_is_signed_anew() {
    let hmac = "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'X-Sig' }\n";
    // Closed: it is well-formed, and whoever walks over it takes a frame of the stack for each level.
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let deep_objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let cases = [
        ("content = ['sorted_json']", "application/json", &*deep),
        ("content = ['sorted_json']", "application/json", &*deep_objects),
        ("content = ['sorted_json']", "application/json", r#"{"a":1,"a":2}"#),
        (
            "content = ['sorted_json']",
            "application/json",
            r#"{"a":9007199254740993}"#,
        ),
        (
            "content = [{ raw = '/Content' }]",
            "application/json",
            r#"{"Content":{},"Content":1}"#,
        ),
        (
            "content = [{ raw = '/Content' }]",
            "application/json",
            r#"{"content":{}}"#,
        ),
        (
            "content = [{ fields = 'sorted_pairs', without = [] }]",
            "application/x-www-form-urlencoded",
            "a=1&a=2",
        ),
        (
            "content = [{ fields = 'sorted_pairs', without = [] }]",
            "application/json",
            "a=1",
        ),
    ];
    for (content, kind, body) in cases {
        let definition = definition(&format!("{hmac}{content}"));
        let pairs = [("content-type", kind), ("X-Sig", "00")];
        let error = verify(
            &verifier(&definition, &[SECRET]),
            &delivery(URL, &pairs, body.to_owned()),
            at(NOW),
        )
        .unwrap_err();
        let start = &body[..body.len().min(40)];
        assert!(matches!(error.reason(), "malformed" | "missing"), "{start}: {error}");
        let request = Unsigned {
            headers: headers(&[("content-type", kind)]),
            ..unsigned(at(NOW), body.to_owned())
        };
        let made = sign(&definition, &secrets(&[SECRET]), &Settings::default(), None, request);
        assert!(made.is_err(), "{start} is signed");
    }
}

#[test]
fn a_definition_that_proves_nothing_of_the_body_does_not_compile() {
    let problems = |lines: &str| {
        let problems = compile(&definition(lines), &[SECRET]).expect_err(lines);
        problems.join("\n")
    };
    let message = "[[signature]]\nscheme = 'http-message-signature'\nalgorithms = ['hmac-sha256']\n";
    assert!(problems(&format!("{message}components = ['@method']")).contains("`content-digest`"));
    assert!(problems(message).contains("`content-digest`"));
    assert!(problems(&format!("{message}components = ['content-digest;sf']")).contains("no component"));
    assert!(
        problems(&format!("{message}components = ['content-digest']\ncontent = ['body']"))
            .contains("take `content` out")
    );
    let draft = "[[signature]]\nscheme = 'http-signature'\nalgorithms = ['hmac-sha256']\ncomponents = ['date']";
    assert!(problems(draft).contains("`digest`"));
    let mixed = "[[signature]]\nscheme = 'http-message-signature'\nalgorithms = ['hmac-sha256', 'ed25519']\ncomponents = ['content-digest']";
    assert!(problems(mixed).contains("two alternatives"));
    let jws = "[[signature]]\nscheme = 'jws'\nfrom = { header = 'X-Jws' }\nalgorithms = ['HS256']";
    assert!(problems(jws).contains("content is empty"));
    let unknown = "[[signature]]\nscheme = 'http-message-signature'\nalgorithms = ['hmac-sha-256']\ncomponents = ['content-digest']";
    assert!(problems(unknown).contains("did you mean `hmac-sha256`?"));
}

/// A key set is fetched from the host that the definition names, and a key id that it lacks is not guessed at.
#[test]
fn a_signature_by_a_key_set_names_its_key() {
    const KEYS: &str = "https://shop.example.com/.well-known/jwks.json";
    let definition = definition(&format!(
        "[secret]\nnone = true\n[[signature]]\nscheme = 'jws'\nfrom = {{ header = 'X-Jws' }}\nalgorithms = ['EdDSA']\n\
         content = ['body']\nkeys = {{ jwks = '{KEYS}' }}"
    ));
    let pair = ed25519();
    let set = key_set(&pair).replace("\"kty\"", "\"kid\":\"k1\",\"kty\"");
    let keys = keyring(&[(KEYS, &set)], at(NOW));
    let ours = Verifier::compile(&definition, &[], &Settings::default(), &keys, None).expect("compiles");
    let signed = raw(signed(&definition, &pair.private, unsigned(at(NOW), "{}")));
    let proof = verify(&ours, &signed, at(NOW)).expect("accepted");
    assert_eq!(proof.key.as_deref(), Some("k1"));
    let stranger = keyring(&[(KEYS, &key_set(&ed25519()))], at(NOW));
    let theirs = Verifier::compile(&definition, &[], &Settings::default(), &stranger, None).expect("compiles");
    assert_eq!(verify(&theirs, &signed, at(NOW)).unwrap_err(), VerifyError::Mismatch);
}
