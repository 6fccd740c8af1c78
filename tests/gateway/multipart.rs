//! Multipart forms whose fields are signed: over HTTP, and what such a signature covers.

use hooksluice::clock::Timestamp;
use hooksluice::delivery::RawDelivery;
use hooksluice::provider::{Catalogue, Settings};
use hooksluice::verify::{Signed, Unsigned, VerifyError, sign};

use crate::support::Gateway;
use crate::verify::{at, compile, definition, headers, raw, secrets, signed, unsigned, verifier, verify};

const KIND: &str = "multipart/form-data; boundary=x";

/// A request of these parts; a name may bring more parameters with it.
fn form(parts: &[(&str, &str)]) -> Unsigned {
    let part = |(name, value): &(&str, &str)| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body: String = parts.iter().map(part).collect();
    Unsigned {
        headers: headers(&[("content-type", KIND)]),
        ..unsigned(at(1_700_000_000), format!("{body}--x--\r\n"))
    }
}

fn as_sent(request: Unsigned) -> RawDelivery {
    raw(Signed {
        method: request.method,
        url: request.url,
        added_query: String::new(),
        headers: request.headers,
        body: request.body,
    })
}

fn replaced(raw: &RawDelivery, from: &str, to: &str) -> RawDelivery {
    let text = std::str::from_utf8(&raw.body).expect("UTF-8");
    assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
    RawDelivery {
        body: text.replace(from, to).into(),
        ..raw.clone()
    }
}

#[test]
fn dropbox_sign_hears_what_it_asks_for_and_a_forger_does_not() {
    const KEY: &str = "an-api-key-of-the-tests";
    let catalogue = Catalogue::built_in();
    let provider = catalogue
        .provider("dropbox-sign", &Default::default())
        .expect("a provider");
    let sample = catalogue
        .sample("dropbox-sign", "signature_request_signed")
        .expect("a sample");
    let kind = &sample.request.headers["Content-Type"];
    let request = Unsigned {
        headers: headers(&[("content-type", kind)]),
        ..unsigned(Timestamp::now(), sample.body)
    };
    let signed = sign(
        &provider.definition,
        &secrets(&[KEY]),
        &Settings::default(),
        None,
        request,
    )
    .expect("it is signed");
    let text = std::str::from_utf8(&signed.body).expect("UTF-8");
    let flipped = |before: &str| {
        let at = text.find(before).expect("it is there") + before.len();
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let gateway = Gateway::start(&format!(
        "sources:\n  sign: {{ provider: dropbox-sign, payload: json, secrets: [{{ value: {KEY} }}] }}\n"
    ));
    let post = |body: &[u8]| gateway.post("/in/sign", &[("content-type", kind)], body);
    for before in ["\"event_time\":\"", "\"event_type\":\"", "\"event_hash\":\""] {
        assert_eq!(post(&flipped(before)).status, 401, "{before}");
    }
    // Its field is missing, or it is no form at all.
    for body in [flipped("name=\""), flipped("--"), Vec::new(), b"{}".to_vec()] {
        assert_eq!(post(&body).status, 401, "{}", String::from_utf8_lossy(&body));
    }
    let reply = post(&signed.body);
    assert_eq!((reply.status, reply.text()), (200, "Hello API Event Received"));
    assert!(
        reply
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );

    let rows = gateway.journal();
    assert_eq!(rows.len(), 1, "{}", gateway.log());
    assert_eq!(rows[0].kind, "com.dropbox.sign.signature_request_signed");
    let event: serde_json::Value = serde_json::from_slice(&rows[0].data).expect("JSON");
    assert_eq!(event["event"]["event_type"], "signature_request_signed");
    assert!(gateway.quarantine().is_empty());
}

#[test]
fn a_signature_over_fields_covers_neither_the_body_nor_its_files() {
    let definition = definition(
        "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'x-signature' }\ncontent = [{ form = 'a' }]",
    );
    let genuine = raw(signed(
        &definition,
        "s",
        form(&[("a", "1"), ("f\"; filename=\"a", "file")]),
    ));
    let verifier = verifier(&definition, &["s"]);
    let proof = verify(&verifier, &genuine, at(1_700_000_000)).expect("genuine");
    assert!(!verifier.coverage(&proof).body);
    let judge = |raw: &RawDelivery| verify(&verifier, raw, at(1_700_000_000)).map(|_| ());
    assert_eq!(judge(&replaced(&genuine, "file\r\n", "another\r\n")), Ok(()));
    assert_eq!(
        judge(&replaced(&genuine, "\r\n1\r\n", "\r\n2\r\n")),
        Err(VerifyError::Mismatch)
    );
    // A file of that name is no field, and a field that is there twice could be either.
    let file = replaced(&genuine, "data; name=\"a\"", "data; name=\"a\"; filename=\"a\"");
    assert!(matches!(judge(&file), Err(VerifyError::Missing(_))));
    let twice = replaced(&genuine, "name=\"f\"; filename=\"a\"", "name=\"a\"");
    assert!(matches!(judge(&twice), Err(VerifyError::Malformed(_))));
    let cut = replaced(&genuine, "--x--", "--x-");
    assert!(matches!(judge(&cut), Err(VerifyError::Malformed(_))));
}

/// What stands for the whole body would leave out its files.
#[test]
fn sorted_fields_are_those_of_a_urlencoded_form_alone() {
    for part in ["'sorted_form'", "{ fields = 'sorted_pairs', without = [] }"] {
        let definition = definition(&format!(
            "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = {{ header = 'x-signature' }}\ncontent = [{part}]"
        ));
        let mut raw = as_sent(form(&[("a", "1")]));
        raw.headers = headers(&[("content-type", KIND), ("x-signature", &"0".repeat(64))]);
        let judged = verify(&verifier(&definition, &["s"]), &raw, at(1_700_000_000));
        assert!(matches!(judged, Err(VerifyError::Malformed(_))), "{part}: {judged:?}");
    }
}

#[test]
fn a_signature_and_what_it_covers_may_stand_in_a_field_s_json() {
    let lines = "[timestamp]\nfrom = { form = 'json', inside = '/at' }\ntolerance = '5m'\n\
                 [[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { form = 'json', inside = '/tag' }\n\
                 content = ['timestamp', { form = 'json', inside = '/kind' }]";
    let definition = definition(lines);
    let verifier = verifier(&definition, &["s"]);
    let document = r#"{"kind":"sent","at":"0","tag":"","of":"me"}"#;
    let urlencoded = Unsigned {
        headers: headers(&[("content-type", "application/x-www-form-urlencoded")]),
        ..unsigned(at(1_700_000_000), "other=1&json=%7B%22kind%22:%22sent%22%7D")
    };
    for request in [form(&[("other", "1"), ("json", document)]), urlencoded] {
        let genuine = raw(signed(&definition, "s", request));
        assert!(verify(&verifier, &genuine, at(1_700_000_000)).is_ok());
        let late = verify(&verifier, &genuine, at(1_700_000_301)).map(|_| ());
        assert_eq!(late, Err(VerifyError::Stale(301)));
        let other = verify(&verifier, &replaced(&genuine, "sent", "lost"), at(1_700_000_000)).map(|_| ());
        assert_eq!(other, Err(VerifyError::Mismatch));
    }
    // A member beside those that are signed is not signed because it stands in the same field.
    let bound = crate::verify::definition(&format!(
        "{lines}\n[settings.ours]\ndescription = 'whose'\nlist = true\n[[bind]]\nfind = {{ form = 'json', inside = '/of' }}\nsetting = 'ours'"
    ));
    let problems = compile(&bound, &["s"]).expect_err("it binds nothing");
    assert!(
        problems.iter().any(|problem| problem.contains("is not covered by")),
        "{problems:?}"
    );
}
