//! Secrets that a platform makes up and tells once: shown to the operator, used by nobody.

use std::os::unix::fs::PermissionsExt;

use hooksluice::handshake::{MOST_CAPTURED, MOST_OF_ONE};

use crate::support::gateway::Setup;
use crate::support::sign::hmac_sha256;
use crate::support::{Gateway, http};

#[test]
fn a_told_secret_is_shown_to_the_operator_and_used_by_nobody() {
    let setup = Setup::new(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, trusted_proxies: [127.0.0.0/8] }\nsources:\n  notion: { provider: notion, capture: \"{dir}/told\" }\n  asana: { provider: asana, capture: \"{dir}/asana\" }\n",
    );
    let gateway = setup.start();
    let json = [("content-type", "application/json")];
    let tell = |secret: &str| {
        let body = serde_json::json!({"verification_token": secret}).to_string();
        gateway.post("/in/notion", &json, body.as_bytes()).status
    };
    assert_eq!(tell("secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"), 200);
    assert_eq!(
        tell("secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"),
        200,
        "told again"
    );
    let file = gateway.path("told");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.trim_end()
            .ends_with(" 127.0.0.1 secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"),
        "{text}"
    );
    assert_eq!(
        std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    assert!(!gateway.log().contains("secret_tMrlL1qK"), "no log says it");

    // It is not used: what it signs is 503, for the platform to try again, as is everything else.
    let body = br#"{"id":"1","type":"page.created"}"#;
    let signature = format!(
        "sha256={}",
        hex::encode(hmac_sha256(
            b"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl",
            &[body]
        ))
    );
    for headers in [&[json[0], ("x-notion-signature", signature.as_str())][..], &json[..]] {
        let reply = gateway.post("/in/notion", headers, body);
        assert_eq!(reply.status, 503);
        assert!(reply.header("retry-after").is_some());
    }
    // Nobody fills a disk with it, nor one stranger the file.
    let tell_from = |address: &str, secret: &str| {
        let body = serde_json::json!({"verification_token": secret}).to_string();
        let headers = [json[0], ("x-forwarded-for", address)];
        gateway.post("/in/notion", &headers, body.as_bytes()).status
    };
    let told: Vec<u16> = (0..20)
        .map(|n| tell_from("203.0.113.1", &format!("made-up-{n}")))
        .collect();
    assert_eq!(
        told.iter().filter(|status| **status == 200).count(),
        MOST_OF_ONE,
        "{told:?}"
    );
    assert_eq!(tell_from("198.51.100.7", "another"), 200, "there is room for another");
    for n in 0..40 {
        tell_from(&format!("192.0.2.{n}"), &format!("made-up-too-{n}"));
    }
    let text = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(text.lines().count(), MOST_CAPTURED);
    assert_eq!(tell("one-more"), 503);
    for bad in ["", "two words", "line\nbreak", &"a".repeat(1025)] {
        assert_eq!(tell(bad), 400, "{bad}");
    }
    // Asana wants its secret echoed, too.
    let reply = http::post(
        &gateway.url("/in/asana"),
        &[("x-hook-secret", "b537207f20cbfa02357cf448134da559")],
        b"",
    );
    assert_eq!(
        (reply.status, reply.header("x-hook-secret")),
        (200, Some("b537207f20cbfa02357cf448134da559"))
    );
    assert!(
        std::fs::read_to_string(gateway.path("asana"))
            .expect("a file")
            .contains("b537207f")
    );
    assert!(gateway.journal().is_empty());
}

#[test]
fn a_source_with_a_secret_is_told_none() {
    let gateway = Gateway::start("sources:\n  notion: { provider: notion, secrets: [{ value: s }] }\n");
    let told = gateway.post(
        "/in/notion",
        &[("content-type", "application/json")],
        br#"{"verification_token":"x"}"#,
    );
    assert_eq!(told.status, 401);
    for (source, said) in [
        (
            "{ provider: notion, secrets: [{ value: s }], capture: \"{dir}/told\" }",
            "the source has a secret",
        ),
        ("{ provider: github, capture: \"{dir}/told\" }", "tells no secret"),
        (
            "{ provider: notion, capture: \"{dir}/no/such/folder\" }",
            "its folder does not exist",
        ),
    ] {
        let (code, output) = Setup::new(&format!("sources:\n  a: {source}\n")).refuse();
        assert_eq!(code, 2, "{output}");
        assert!(output.contains(said), "{output}");
    }
}
