//! Fetched keys: cached, refreshed behind the requests' back, from allowed hosts and public addresses only. The platform
//! is a TLS server of the tests' own on loopback.

use std::path::PathBuf;
use std::sync::Arc;

use hooksluice::clock::Timestamp;
use hooksluice::keys::{FetchError, Hosts, KeySet, Keyring, Settings, Target, TargetError};
use hooksluice::provider::Settings as Given;
use hooksluice::verify::{Verifier, VerifyError, sign};
use tokio::sync::Semaphore;

use crate::support::eventually;
use crate::verify::key_pairs::{Pair, RSA, base64url, ed25519};
use crate::verify::{at, definition, raw, secrets, unsigned};

mod documents;
mod platform;
mod wycheproof;

use platform::{AUTHORITY, Platform};

const START: i64 = 1_750_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

/// Trusts the tests' authority and may connect to loopback.
fn settings() -> Settings {
    Settings {
        allow_addresses: vec!["127.0.0.0/8".parse().expect("a net"), "::1/128".parse().expect("a net")],
        proxy: None,
        ca: Some(AUTHORITY.file("ca.pem")),
    }
}

fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::new(settings()).expect("settings that work"))
}

fn set_of(keys: &[(&str, &Pair)]) -> String {
    let key = |(kid, pair): &(&str, &Pair)| {
        let x = base64url(pair.bare.as_ref().expect("Ed25519"));
        serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
    };
    serde_json::json!({"keys": keys.iter().map(key).collect::<Vec<_>>()}).to_string()
}

async fn has(keyring: &Keyring, target: &Target, kid: &str, now: i64) -> Result<bool, FetchError> {
    keyring
        .key_set(target, Some(kid), at(now))
        .await
        .map(|set: Arc<KeySet>| set.has(Some(kid)))
}

#[actix_web::test]
async fn a_key_set_is_fetched_once_and_kept() {
    let platform = Platform::start();
    let page = platform.page("/set", set_of(&[("a", &ed25519())]));
    let (keyring, target) = (keyring(), platform.target("/set"));
    for now in [START, START + 1, START + 299] {
        assert_eq!(has(&keyring, &target, "a", now).await, Ok(true));
    }
    assert_eq!(page.asked(), 1);
    // A certificate's place is its own.
    let page = platform.page("/cert.pem", RSA.certificate.clone());
    let now = Timestamp::now();
    let hosts = Hosts::default();
    let certificate = keyring
        .certificate(&platform.target("/cert.pem"), &hosts, now)
        .await
        .expect("a certificate");
    assert!(certificate.valid_at(now) && !certificate.valid_at(at(0)));
    let again = keyring.certificate(&platform.target("/cert.pem"), &hosts, now).await;
    assert!(again.is_ok());
    assert_eq!(page.asked(), 1);
    assert!(
        keyring.certificate(&target, &hosts, at(START)).await.is_err(),
        "a key set is no certificate"
    );
    platform.stop().await;
}

#[actix_web::test]
async fn many_at_once_fetch_once_even_when_the_first_hangs_up() {
    let platform = Platform::start();
    let gate = Arc::new(Semaphore::new(0));
    let page = platform.set("/set", 200, vec![], set_of(&[("a", &ed25519())]), Some(gate.clone()));
    let (keyring, target) = (keyring(), platform.target("/set"));
    let ask = || {
        let (keyring, target) = (keyring.clone(), target.clone());
        tokio::spawn(async move { has(&keyring, &target, "a", START).await })
    };
    let first = ask();
    page.arrived.notified().await;
    let others: Vec<_> = (0..20).map(|_| ask()).collect();
    first.abort();
    assert!(first.await.is_err());
    gate.add_permits(1);
    for other in others {
        assert_eq!(other.await.expect("runs"), Ok(true));
    }
    assert_eq!(page.asked(), 1);
    platform.stop().await;
}

#[actix_web::test]
async fn keys_are_refreshed_in_the_background_and_no_request_waits() {
    let platform = Platform::start();
    let (old, new) = (ed25519(), ed25519());
    let page = platform.page("/set", set_of(&[("old", &old)]));
    let (keyring, target) = (keyring(), platform.target("/set"));
    assert_eq!(has(&keyring, &target, "old", START).await, Ok(true));
    page.arrived.notified().await;
    // The platform does not answer; the cached set does.
    let gate = Arc::new(Semaphore::new(0));
    platform.set("/set", 200, vec![], set_of(&[("new", &new)]), Some(gate.clone()));
    for _ in 0..5 {
        assert_eq!(has(&keyring, &target, "old", START + HOUR).await, Ok(true));
    }
    page.arrived.notified().await;
    assert_eq!(page.asked(), 2);
    gate.add_permits(1);
    eventually("the new key is there", || async {
        has(&keyring, &target, "new", START + HOUR).await == Ok(true)
    })
    .await;
    assert_eq!(has(&keyring, &target, "old", START + HOUR + 1).await, Ok(false));
    assert_eq!(page.asked(), 2);
    platform.stop().await;
}

#[actix_web::test]
async fn max_age_is_heard_within_bounds() {
    for (said, kept, refreshed) in [
        ("max-age=600", 599, 600),
        ("max-age=1", 299, 300),
        ("public, max-age=999999", 3599, 3600),
    ] {
        let platform = Platform::start();
        let headers = vec![("cache-control", said.to_owned())];
        let page = platform.set("/set", 200, headers, set_of(&[("a", &ed25519())]), None);
        let (keyring, target) = (keyring(), platform.target("/set"));
        assert_eq!(has(&keyring, &target, "a", START).await, Ok(true));
        page.arrived.notified().await;
        assert_eq!(has(&keyring, &target, "a", START + kept).await, Ok(true));
        assert_eq!(page.asked(), 1, "{said}");
        assert_eq!(has(&keyring, &target, "a", START + refreshed).await, Ok(true));
        page.arrived.notified().await;
        assert_eq!(page.asked(), 2, "{said}");
        platform.stop().await;
    }
}

#[actix_web::test]
async fn an_outage_of_the_platform_is_not_ours_for_a_day() {
    let platform = Platform::start();
    let page = platform.page("/set", set_of(&[("a", &ed25519())]));
    let (keyring, target) = (keyring(), platform.target("/set"));
    assert_eq!(has(&keyring, &target, "a", START).await, Ok(true));
    page.arrived.notified().await;
    platform.set("/set", 500, vec![], "", None);
    assert_eq!(has(&keyring, &target, "a", START + 2 * HOUR).await, Ok(true));
    page.arrived.notified().await;
    assert_eq!(has(&keyring, &target, "a", START + 24 * HOUR - 1).await, Ok(true));
    let error = has(&keyring, &target, "a", START + 24 * HOUR + MINUTE)
        .await
        .expect_err("too old");
    assert!(matches!(error, FetchError::Status { status: 500, .. }), "{error}");
    platform.stop().await;
}

#[actix_web::test]
async fn an_unknown_key_id_asks_again_once_a_minute() {
    let platform = Platform::start();
    let page = platform.page("/set", set_of(&[("a", &ed25519())]));
    let (keyring, target) = (keyring(), platform.target("/set"));
    assert_eq!(has(&keyring, &target, "a", START).await, Ok(true));
    for n in 0..10 {
        assert_eq!(
            has(&keyring, &target, &format!("made up {n}"), START + 1).await,
            Ok(false)
        );
    }
    assert_eq!(page.asked(), 1, "the set is of this minute");
    for n in 0..10 {
        assert_eq!(
            has(&keyring, &target, &format!("made up {n}"), START + MINUTE).await,
            Ok(false)
        );
    }
    assert_eq!(page.asked(), 2);
    platform.set("/set", 200, vec![], set_of(&[("b", &ed25519())]), None);
    assert_eq!(has(&keyring, &target, "b", START + 2 * MINUTE).await, Ok(true));
    platform.stop().await;
}

/// The platform may have changed its keys: where its newest set cannot be had, nobody is called a forger.
#[actix_web::test]
async fn a_key_set_that_cannot_be_had_is_our_fault_and_not_the_senders() {
    let platform = Platform::start();
    let (old, new) = (ed25519(), ed25519());
    platform.page("/set", set_of(&[("old", &old)]));
    let lines = format!(
        "[[signature]]\nscheme = 'jwt'\nalgorithms = ['EdDSA']\nfrom = {{ header = 'Authorization', prefix = 'Bearer ' }}\n\
         keys = {{ jwks = '{}', hosts = ['localhost:{}'] }}",
        platform.url("/set"),
        platform.port
    );
    let definition = definition(&lines);
    let keyring = keyring();
    let verifier = Verifier::compile(&definition, &[], &Given::default(), &keyring, None).expect("compiles");
    let token = |pair: &Pair, kid: &str| {
        let signed = sign(
            &definition,
            &secrets(&[&pair.private]),
            &Given::default(),
            None,
            unsigned(at(START), "{}"),
        );
        let mut raw = raw(signed.expect("signed"));
        // As the platform would: with the key's id in the header.
        let header = base64url(format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#).as_bytes());
        let claims = base64url(format!(r#"{{"exp":{}}}"#, START + HOUR).as_bytes());
        let key = hooksluice::keys::PrivateKey::from_pem(pair.private.as_bytes()).expect("a key");
        let content = format!("{header}.{claims}");
        let signature = key
            .sign(hooksluice::keys::Algorithm::Ed25519, content.as_bytes())
            .expect("signs");
        raw.headers =
            crate::verify::headers(&[("authorization", &format!("Bearer {content}.{}", base64url(&signature)))]);
        raw
    };
    let reason = async |raw: hooksluice::delivery::RawDelivery, now| {
        verifier.verify(&raw, at(now)).await.err().map(|e| e.reason())
    };
    assert_eq!(reason(token(&old, "old"), START).await, None);
    assert_eq!(
        reason(token(&new, "new"), START + 1).await,
        Some("unknown_key"),
        "the set is of this minute, and lacks it"
    );
    assert_eq!(reason(token(&new, "old"), START + 1).await, Some("mismatch"));

    platform.set("/set", 503, vec![], "", None);
    assert_eq!(
        reason(token(&new, "new"), START + MINUTE).await,
        Some("keys_unavailable")
    );
    assert_eq!(
        reason(token(&new, "new"), START + MINUTE + 1).await,
        Some("keys_unavailable")
    );
    assert_eq!(
        reason(token(&old, "old"), START + MINUTE + 1).await,
        None,
        "known keys go on"
    );
    platform.set("/set", 200, vec![], set_of(&[("new", &new)]), None);
    assert_eq!(reason(token(&new, "new"), START + 2 * MINUTE).await, None);
    platform.stop().await;

    let down = Verifier::compile(&definition, &[], &Given::default(), &crate::keys::keyring(), None).expect("compiles");
    let error = down.verify(&token(&old, "old"), at(START)).await.expect_err("refused");
    assert!(matches!(error, VerifyError::KeysUnavailable(_)), "{error}");
}

#[actix_web::test]
async fn a_failed_url_rests_for_a_minute() {
    let platform = Platform::start();
    let page = platform.set("/set", 404, vec![], "", None);
    let (keyring, target) = (keyring(), platform.target("/set"));
    for _ in 0..5 {
        assert!(matches!(
            has(&keyring, &target, "a", START).await,
            Err(FetchError::Status { status: 404, .. })
        ));
    }
    assert_eq!(page.asked(), 1);
    platform.page("/set", set_of(&[("a", &ed25519())]));
    assert!(has(&keyring, &target, "a", START + MINUTE - 1).await.is_err());
    assert_eq!(has(&keyring, &target, "a", START + MINUTE).await, Ok(true));
    platform.stop().await;
}

/// What a stranger can do before anything of it is believed: name URLs that are not there.
#[actix_web::test]
async fn urls_that_deliveries_choose_are_bounded_for_each_source_and_starve_no_other() {
    let platform = Platform::start();
    let page = platform.page("/set", set_of(&[("a", &ed25519())]));
    platform.page("/other", set_of(&[("b", &ed25519())]));
    let good = platform.page("/cert.pem", RSA.certificate.clone());
    let (keyring, target) = (keyring(), platform.target("/set"));
    let (loud, quiet) = (Hosts::default(), Hosts::default());
    assert_eq!(has(&keyring, &target, "a", START).await, Ok(true));
    assert!(
        keyring
            .certificate(&platform.target("/cert.pem"), &loud, at(START))
            .await
            .is_ok()
    );
    let mut outcomes = Vec::new();
    for n in 0..300 {
        let made_up = platform.target(&format!("/made-up-{n}"));
        outcomes.push(
            keyring
                .certificate(&made_up, &loud, at(START))
                .await
                .expect_err("nothing there"),
        );
    }
    let asked = outcomes
        .iter()
        .filter(|error| matches!(error, FetchError::Status { .. }))
        .count();
    assert_eq!(asked, 59);
    assert!(outcomes[59..].iter().all(|error| *error == FetchError::TooMany));
    // What is known stays, and is not asked for again.
    assert_eq!(has(&keyring, &target, "a", START + 1).await, Ok(true));
    assert!(
        keyring
            .certificate(&platform.target("/cert.pem"), &loud, at(START))
            .await
            .is_ok()
    );
    assert_eq!((page.asked(), good.asked()), (1, 1));
    // Another source's keys come, fixed and chosen.
    assert_eq!(has(&keyring, &platform.target("/other"), "b", START).await, Ok(true));
    let missing = keyring
        .certificate(&platform.target("/missing.pem"), &quiet, at(START))
        .await;
    assert!(matches!(missing, Err(FetchError::Status { .. })), "{missing:?}");
    platform.stop().await;
}

/// A URL of the definition's own that fails rests its minute, however many URLs deliveries name meanwhile.
#[actix_web::test]
async fn a_fixed_url_is_not_forgotten_for_those_that_deliveries_choose() {
    let platform = Platform::start();
    let page = platform.set("/set", 500, vec![], "", None);
    let (keyring, target, hosts) = (keyring(), platform.target("/set"), Hosts::default());
    assert!(has(&keyring, &target, "a", START).await.is_err());
    for n in 0..300 {
        let made_up = platform.target(&format!("/made-up-{n}"));
        assert!(keyring.certificate(&made_up, &hosts, at(START)).await.is_err());
    }
    assert!(has(&keyring, &target, "a", START + 1).await.is_err());
    assert_eq!(page.asked(), 1);
    platform.stop().await;
}

#[actix_web::test]
async fn redirects_are_not_followed() {
    let platform = Platform::start();
    let good = platform.page("/good", set_of(&[("a", &ed25519())]));
    let redirect = vec![("location", platform.url("/good"))];
    for status in [301, 302, 303, 307, 308] {
        let path = format!("/{status}");
        platform.set(&path, status, redirect.clone(), "", None);
        let error = has(&keyring(), &platform.target(&path), "a", START)
            .await
            .expect_err("not followed");
        assert!(
            matches!(error, FetchError::Status { status: said, .. } if said == status),
            "{error}"
        );
    }
    assert!(keyring().confirm(&platform.target("/302"), at(START)).await.is_err());
    assert!(keyring().confirm(&platform.target("/good"), at(START)).await.is_ok());
    assert_eq!(good.asked(), 1);
    platform.stop().await;
}

#[actix_web::test]
async fn what_is_too_large_too_slow_or_no_key_is_refused() {
    let platform = Platform::start();
    let set = set_of(&[("a", &ed25519())]);
    let padded = |length: usize| format!("{}{}", " ".repeat(length - set.len()), set);
    platform.page("/full", padded(256 * 1024));
    platform.page("/large", padded(256 * 1024 + 1));
    platform.page("/page", "<html>");
    platform.page("/empty", r#"{"keys":[]}"#);
    platform.page(
        "/others",
        r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}]}"#,
    );
    platform.set("/slow", 200, vec![], set.clone(), Some(Arc::new(Semaphore::new(0))));
    let ask = async |path: &str| has(&keyring(), &platform.target(path), "a", START).await;
    assert_eq!(ask("/full").await, Ok(true));
    assert!(matches!(ask("/large").await, Err(FetchError::TooLarge { .. })));
    for path in ["/page", "/empty", "/others"] {
        assert!(matches!(ask(path).await, Err(FetchError::Unusable { .. })), "{path}");
    }
    // Nothing inflates: what calls itself compressed is taken as it is.
    let gzip = vec![("content-encoding", "gzip".to_owned())];
    platform.set("/gzip", 200, gzip.clone(), set.clone(), None);
    platform.set("/gzip-large", 200, gzip, padded(256 * 1024 + 1), None);
    assert_eq!(ask("/gzip").await, Ok(true));
    assert!(matches!(ask("/gzip-large").await, Err(FetchError::TooLarge { .. })));
    // Takes the deadline of five seconds: a body that begins and never ends.
    let error = ask("/trickle").await.expect_err("too slow");
    assert!(
        matches!(&error, FetchError::Unreachable { reason, .. } if reason.contains("no answer")),
        "{error}"
    );
    // And so does this one, in which the server never answers.
    let error = ask("/slow").await.expect_err("too slow");
    assert!(
        matches!(&error, FetchError::Unreachable { reason, .. } if reason.contains("no answer")),
        "{error}"
    );
    platform.stop().await;
}

#[actix_web::test]
async fn private_addresses_and_strangers_are_not_connected_to() {
    let platform = Platform::start();
    let page = platform.page("/set", set_of(&[("a", &ed25519())]));
    let only_public = Keyring::new(Settings {
        allow_addresses: vec![],
        ..settings()
    })
    .expect("settings");
    let by_name = platform.target("/set");
    let literal = format!("127.0.0.1:{}", platform.port);
    let by_address = Hosts::new(std::slice::from_ref(&literal), None)
        .check(&format!("https://{literal}/set"))
        .expect("allowed");
    for target in [&by_name, &by_address] {
        let error = has(&only_public, target, "a", START).await.expect_err("refused");
        assert!(
            matches!(&error, FetchError::Unreachable { reason, .. } if reason.contains("public")),
            "{error}"
        );
        assert!(only_public.confirm(target, at(START)).await.is_err());
    }
    // However the address is written: what is checked is what it means.
    let nobody = Keyring::default();
    for literal in [
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ] {
        let url = format!("https://{literal}:{}/set", platform.port);
        let meant = reqwest::Url::parse(&url).expect("a URL");
        let allowed = format!("{}:{}", meant.host_str().expect("a host"), platform.port);
        let target = Hosts::new(&[allowed], None).check(&url).expect("allowed by name");
        let error = has(&nobody, &target, "a", START).await.expect_err("refused");
        assert!(
            matches!(&error, FetchError::Unreachable { reason, .. } if reason.contains("public")),
            "{literal}: {error}"
        );
    }
    // Nor to somebody whom no trusted authority knows.
    let untrusting = Keyring::new(Settings { ca: None, ..settings() }).expect("settings");
    assert!(matches!(
        has(&untrusting, &by_name, "a", START).await,
        Err(FetchError::Unreachable { .. })
    ));
    assert_eq!(page.asked(), 0);
    assert_eq!(
        has(&keyring(), &by_address, "a", START).await,
        Ok(true),
        "what the settings allow is reached"
    );
    platform.stop().await;
}

#[test]
fn only_urls_of_the_platforms_hosts_are_targets() {
    let hosts = Hosts::new(
        &["sns.*.amazonaws.com".into(), "keys.example.com:8443".into()],
        Some(".pem"),
    );
    for url in [
        "https://sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com:443/a/b.pem",
        "https://keys.example.com:8443/x.pem",
    ] {
        assert!(hosts.check(url).is_ok(), "{url}");
    }
    for url in [
        "http://sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/a.pem",
        "https://evil.example/sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/a.pem",
        "https://evil.example#@sns.eu-central-1.amazonaws.com/a.pem",
        "https://evil.example\\@sns.eu-central-1.amazonaws.com/a.pem",
        "https://user:pw@sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.s3.amazonaws.com/a.pem",
        "https://sns.s3-eu-west-1.amazonaws.com/a.pem",
        "https://sns.s3-website-us-east-1.amazonaws.com/a.pem",
        "https://sns.-eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com./a.pem",
        "https://sns.eu-central-1.amaz\u{43e}naws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com%2f.evil.example/a.pem",
        "https://sns.eu-central-1.amazonaws.com%00.evil.example/a.pem",
        "https://evil.example%2f@sns.eu-central-1.amazonaws.com/a.pem",
        "https://@evil.example/a.pem",
        "https://:@evil.example:443/a.pem",
        "https://sns.eu-central-1.amazonaws.com:0/a.pem",
        "https://sns.eu-central-1.amazonaws.com:80/a.pem",
        "https://sns.eu-central-1.amazonaws.com:65536/a.pem",
        "https://keys.example.com:08443:443/x.pem",
        "https://2130706433/a.pem",
        "https://0177.0.0.1/a.pem",
        "https://0x7f.1/a.pem",
        "https://127.1/a.pem",
        "https://0/a.pem",
        "https://[::ffff:127.0.0.1]/a.pem",
        "https://[::]/a.pem",
        "https:///a.pem",
        "ftp://sns.eu-central-1.amazonaws.com/a.pem",
        "gopher://sns.eu-central-1.amazonaws.com/a.pem",
        "data:text/plain,.pem",
        "javascript:alert(1)//.pem",
        "https://sns.a.b.amazonaws.com/a.pem",
        "https://sns..amazonaws.com/a.pem",
        "https://xsns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu_central.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/a.pem",
        "https://keys.example.com/x.pem",
        "https://sns.eu-central-1.amazonaws.com/a.txt",
        "https://sns.eu-central-1.amazonaws.com/a.txt?x=.pem",
        "https://sns.eu-central-1.amazonaws.com/a.pem?x=1",
        "https://sns.eu-central-1.amazonaws.com/a.txt#.pem",
        "file:///etc/passwd.pem",
        "//sns.eu-central-1.amazonaws.com/a.pem",
        "a.pem",
        "",
    ] {
        assert!(hosts.check(url).is_err(), "{url}");
    }
    assert_eq!(
        Hosts::default().check("https://example.com/"),
        Err(TargetError::Host("example.com".into()))
    );
}

/// Whoever replays a genuine wish to be confirmed does not make us call out without end, nor keeps keys from being fetched.
#[actix_web::test]
async fn confirmations_are_bounded_in_a_minute_and_have_a_budget_of_their_own() {
    let platform = Platform::start();
    let page = platform.page("/confirm", "");
    platform.page("/set", set_of(&[("a", &ed25519())]));
    let (keyring, target) = (keyring(), platform.target("/confirm"));
    let mut refused = 0;
    for _ in 0..100 {
        refused += usize::from(keyring.confirm(&target, at(START)).await == Err(FetchError::TooMany));
    }
    assert_eq!((refused, page.asked()), (40, 60));
    assert_eq!(has(&keyring, &platform.target("/set"), "a", START).await, Ok(true));
    assert!(keyring.confirm(&target, at(START + MINUTE)).await.is_ok());
    platform.stop().await;
}

#[test]
fn settings_that_cannot_work_are_refused_when_they_are_read() {
    let refused = |settings: Settings| Keyring::new(settings).expect_err("refused");
    let ca = |path: PathBuf| {
        refused(Settings {
            ca: Some(path),
            ..Settings::default()
        })
    };
    assert!(ca(AUTHORITY.file("nothing.pem")).contains("nothing.pem"));
    assert!(ca(AUTHORITY.file("names")).contains("holds no certificate"));
    assert!(
        refused(Settings {
            proxy: Some("no proxy".into()),
            ..Settings::default()
        })
        .contains("outbound.proxy")
    );
}
