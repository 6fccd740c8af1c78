//! What platforms ask before they send, answered over HTTP as each page says; and never more than that.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hooksluice::provider::Catalogue;
use hooksluice::provider::definition::Scheme;

use crate::support::gateway::Setup;
use crate::support::sign::hmac_sha256;
use crate::support::{Gateway, get, http, request};

fn gateway(sources: &str) -> Gateway {
    Gateway::start(&format!("sources:\n{sources}"))
}

#[test]
fn x_gets_its_token_keyed_with_the_consumer_secret() {
    let gateway = gateway("  x: { provider: twitter-x, secrets: [{ value: consumer-secret }] }\n");
    let reply = get(&gateway.url("/in/x?crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553&nonce=abc"));
    let keyed = STANDARD.encode(hmac_sha256(
        b"consumer-secret",
        &[b"9b4507b3-9040-4669-9ca3-6b94edb50553"],
    ));
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json(),
        serde_json::json!({"response_token": format!("sha256={keyed}")})
    );
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    // Nothing that could be an event's body is keyed for a stranger.
    for token in ["%7B%22a%22%3A1%7D", "a%20b", &"a".repeat(129), ""] {
        assert_eq!(
            get(&gateway.url(&format!("/in/x?crc_token={token}"))).status,
            400,
            "{token}"
        );
    }
}

#[test]
fn linkedin_gets_its_code_and_its_code_keyed() {
    let gateway = gateway("  li: { provider: linkedin, secrets: [{ value: client-secret }] }\n");
    let code = "890e4665-4dfe-4ab1-b689-ed553bceeed0";
    let reply = get(&gateway.url(&format!("/in/li?challengeCode={code}")));
    let keyed = hex::encode(hmac_sha256(b"client-secret", &[code.as_bytes()]));
    assert_eq!(
        reply.json(),
        serde_json::json!({"challengeCode": code, "challengeResponse": keyed})
    );
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

/// The expected answer is what eBay's own kit computes for the same three texts.
#[test]
fn ebay_gets_the_hash_of_code_token_and_endpoint() {
    let gateway = Setup::new(
        "sources:\n  ebay: { provider: ebay, settings: { client_id: a, client_secret: { env: EBAY_TOKEN }, endpoint: \"https://hooks.example.com/in/ebay\", verification_token: { env: EBAY_TOKEN } } }\n",
    )
    .env("EBAY_TOKEN", "a-verification-token-of-forty-characters")
    .start();
    let reply = get(&gateway.url("/in/ebay?challenge_code=a8628072-3d33-45ee-9004-bee86830a22d"));
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json(),
        serde_json::json!({"challengeResponse": "0aaf14b163ee02b9b40ee1478878cb2ebeba8068656fbfa4c988af728905ee8d"})
    );
}

#[test]
fn dropbox_and_sharepoint_get_plain_text_back() {
    let gateway = gateway(
        "  dropbox: { provider: dropbox, secrets: [{ value: s }] }\n  sharepoint: { provider: microsoft-sharepoint, secrets: [{ value: s }] }\n",
    );
    let asked = get(&gateway.url("/in/dropbox?challenge=%3Cscript%3E"));
    assert_eq!((asked.status, asked.text()), (200, "<script>"));
    let posted = http::post(&gateway.url("/in/sharepoint?validationtoken=45e5bd3f"), &[], b"");
    assert_eq!((posted.status, posted.text()), (200, "45e5bd3f"));
    for reply in [asked, posted] {
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    let long = get(&gateway.url(&format!("/in/dropbox?challenge={}", "a".repeat(1025))));
    assert_eq!(long.status, 400);
    assert_eq!(
        http::post(&gateway.url("/in/dropbox?challenge=a"), &[], b"{}").status,
        401
    );
}

#[test]
fn adobe_gets_its_client_id_back_with_every_answer() {
    let gateway = gateway(
        "  adobe: { provider: adobe-sign, secrets: [{ value: CLIENT }], settings: { client_ids: [CLIENT] } }\n",
    );
    let ask = |method: &str, id: &str, body: &[u8]| {
        request(
            method,
            &gateway.url("/in/adobe"),
            &[("x-adobesign-clientid", id), ("content-type", "application/json")],
            body,
        )
    };
    let sample = Catalogue::built_in()
        .sample("adobe-sign", "AGREEMENT_CREATED")
        .expect("a sample");
    for reply in [ask("GET", "CLIENT", b""), ask("POST", "CLIENT", &sample.body)] {
        assert_eq!(
            (reply.status, reply.header("x-adobesign-clientid")),
            (200, Some("CLIENT"))
        );
    }
    for reply in [ask("GET", "OTHER", b""), ask("POST", "OTHER", &sample.body)] {
        assert_eq!((reply.status, reply.header("x-adobesign-clientid")), (401, None));
    }
}

#[test]
fn vercel_finds_the_header_that_its_form_names() {
    let gateway = gateway(
        "  drain: { provider: vercel-log-drains, secrets: [{ value: s }], settings: { verify_token: 0a1b2c } }\n  bare: { provider: vercel-log-drains, secrets: [{ value: s }] }\n",
    );
    for method in ["GET", "HEAD"] {
        let reply = request(method, &gateway.url("/in/drain"), &[], b"");
        assert_eq!(
            (reply.status, reply.header("x-vercel-verify")),
            (200, Some("0a1b2c")),
            "{method}"
        );
    }
    assert_eq!(get(&gateway.url("/in/bare")).header("x-vercel-verify"), None);
}

#[test]
fn youtubes_hub_gets_its_challenge_for_a_topic_of_ours() {
    let topic = "https://www.youtube.com/feeds/videos.xml?channel_id=UC1";
    let gateway = gateway(&format!(
        "  yt: {{ provider: youtube-websub, secrets: [{{ value: s }}], settings: {{ topics: [\"{topic}\"] }} }}\n"
    ));
    let ask = |topic: &str, mode: &str| {
        let topic = topic.replace('?', "%3F").replace('=', "%3D");
        get(&gateway.url(&format!(
            "/in/yt?hub.mode={mode}&hub.topic={topic}&hub.challenge=173121839&hub.lease_seconds=432000"
        )))
    };
    for mode in ["subscribe", "unsubscribe"] {
        let reply = ask(topic, mode);
        assert_eq!((reply.status, reply.text()), (200, "173121839"), "{mode}");
        assert_eq!(
            ask("https://www.youtube.com/feeds/videos.xml?channel_id=UC2", mode).status,
            401
        );
    }
    assert_eq!(ask(topic, "denied").status, 401);
}

/// The recorded challenges: what is answered is what the platform's kits answer.
#[test]
fn wechat_and_wecom_get_echostr_back_for_a_good_signature() {
    for (provider, answer) in [
        ("wechat-official", "7045362811384893234"),
        ("wecom", "1616140317555161061"),
    ] {
        let sample = Catalogue::built_in().sample(provider, "challenge").expect("a sample");
        let signed = sample.signed.expect("recorded");
        let query = signed.query.expect("a query");
        let key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
        let gateway = Setup::new(&format!(
            "sources:\n  wx: {{ provider: {provider}, secrets: [{{ value: {} }}], settings: {{ encoding_aes_key: {{ env: AES_KEY }} }} }}\n",
            signed.secret.expect("a token")
        ))
        .env("AES_KEY", key)
        .start();
        let reply = get(&gateway.url(&format!("/in/wx?{query}")));
        assert_eq!((reply.status, reply.text()), (200, answer), "{provider}");
        assert_eq!(
            get(&gateway.url(&format!("/in/wx?{}", query.replace("timestamp=1", "timestamp=2")))).status,
            401
        );
        // What was signed for a question is no signature of a message, not even of one too long to be a challenge.
        let long = format!("<xml><Encrypt>{}</Encrypt></xml>", "x".repeat(20 * 1024));
        let asked = request(
            "GET",
            &gateway.url(&format!("/in/wx?{query}")),
            &[("content-type", "text/xml")],
            long.as_bytes(),
        );
        assert_eq!(asked.status, 400, "{provider}");
        let posted = http::post(
            &gateway.url(&format!("/in/wx?{query}")),
            &[("content-type", "text/xml")],
            b"<xml><Encrypt>x</Encrypt></xml>",
        );
        assert_eq!(posted.status, 401, "{provider}");
        assert!(gateway.journal().is_empty());
    }
}

#[test]
fn lark_gets_its_encrypted_challenge_back_when_the_token_in_it_is_ours() {
    let sample = Catalogue::built_in()
        .sample("lark-feishu", "encrypted-url-verification")
        .expect("a sample");
    let start = |token: &str| {
        Setup::new("sources:\n  lark: { provider: lark-feishu, settings: { encrypt_key: { env: KEY }, verification_token: { env: TOKEN } } }\n")
            .env("KEY", "EXAMPLE-encrypt-key")
            .env("TOKEN", token)
            .start()
    };
    let headers = [("content-type", "application/json")];
    let reply = start("a-secret-of-the-samples").post("/in/lark", &headers, &sample.body);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), serde_json::json!({"challenge": "ajls384kdjx98XX"}));
    let gateway = start("another-token");
    assert_eq!(gateway.post("/in/lark", &headers, &sample.body).status, 401);
    // Every way in which a text is not ours looks the same from outside: no oracle.
    let text = String::from_utf8(sample.body.clone()).expect("text");
    let bend = |at: usize| {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        bytes
    };
    for body in [
        bend(20),
        bend(text.len() - 8),
        bend(60),
        br#"{"encrypt":"AAAA"}"#.to_vec(),
        br#"{"encrypt":""}"#.to_vec(),
    ] {
        let reply = gateway.post("/in/lark", &headers, &body);
        assert_eq!(
            (reply.status, reply.text().len()),
            (401, gateway.post("/in/lark", &headers, b"{}").text().len())
        );
    }
    // Without a secret, a body with the token alone is not taken: the key's signature is asked for.
    let plain = br#"{"schema":"2.0","header":{"event_id":"1","event_type":"a","create_time":"1","token":"another-token"},"event":{}}"#;
    assert_eq!(gateway.post("/in/lark", &headers, plain).status, 401);
}

/// Wrike's way: the secret of the challenge, keyed, in the header that it came in.
#[test]
fn a_header_is_answered_keyed_where_the_data_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("acme")).expect("a folder");
    let definition = "title = 'Acme'\ncategory = 'test'\ndocs = 'https://acme.example'\nread = '2026-11-28'\nconfidence = 'reported'\nevidence = 'none'\n\
        domain = 'com.acme'\n[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'X-Hook-Signature' }\ncontent = ['body']\n\
        [[handshake]]\nname = 'secure'\nwhen = [{ find = { header = 'X-Hook-Secret' } }]\nprove = 'nothing'\n\
        reply = { headers = { X-Hook-Secret = { header = 'X-Hook-Secret', transform = 'hmac_sha256_hex' } } }\n";
    std::fs::write(folder.path().join("acme/provider.toml"), definition).expect("written");
    let gateway = Gateway::start(&format!(
        "schemas: {{ paths: [{}] }}\nsources:\n  acme: {{ provider: acme, secrets: [{{ value: hook-secret }}] }}\n",
        folder.path().display()
    ));
    let reply = http::post(&gateway.url("/in/acme"), &[("x-hook-secret", "0f1e2d3c")], b"");
    let keyed = hex::encode(hmac_sha256(b"hook-secret", &[b"0f1e2d3c"]));
    assert_eq!(
        (reply.status, reply.header("x-hook-secret")),
        (200, Some(keyed.as_str()))
    );
    assert_eq!(
        http::post(&gateway.url("/in/acme"), &[("x-hook-secret", "{\"a\":1}")], b"").status,
        400
    );
}

/// The rest of the ways to ask, one platform each: what is sent, and the whole answer.
#[test]
fn every_other_way_to_ask_is_answered_as_its_page_says() {
    let gateway = gateway(
        "  smartsheet: { provider: smartsheet, secrets: [{ value: s }] }
  keap: { provider: keap }
  okta: { provider: okta-event-hooks, secrets: [{ value: s }] }
  oura: { provider: oura, secrets: [{ value: s }], settings: { verification_token: t0ken } }
  fitbit: { provider: fitbit, secrets: [{ value: s }], settings: { verification_codes: [right] } }
  nylas: { provider: nylas, secrets: [{ value: s }] }
  strava: { provider: strava, settings: { verify_token: t0ken } }
  miro: { provider: miro, secrets: [{ value: s }] }
  monday: { provider: monday, secrets: [{ value: s }], settings: { url: \"https://hooks.example.com/in/monday\" } }
  graph: { provider: microsoft-graph, secrets: [{ value: s }] }
  grid: { provider: azure-event-grid, secrets: [{ value: c0de }] }
  events: { provider: cloudevents-webhook, secrets: [{ value: s }], settings: { allowed_origins: [eventgrid.azure.net] } }
  vk: { provider: vk-callback, secrets: [{ value: s }], settings: { group_ids: [\"7\"], confirmation_code: 8c1d4f } }
  xero: { provider: xero, secrets: [{ value: key }] }
  trello: { provider: trello, secrets: [{ value: s }] }
  intercom: { provider: intercom, secrets: [{ value: s }] }
",
    );
    let intent = STANDARD.encode(hmac_sha256(b"key", &[br#"{"events":[],"entropy":"S0m3r4Nd0mt3xt"}"#]));
    let json = ("content-type", "application/json");
    let validation = br#"[{"id":"1","topic":"t","subject":"","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2026-11-20T10:00:00Z","data":{"validationCode":"512d38b6","validationUrl":"https://x.example"},"metadataVersion":"1","dataVersion":"2"}]"#;
    // Method, path, header, body; status, a header of the answer, its body.
    type Asked<'a> = (
        &'a str,
        &'a str,
        (&'a str, &'a str),
        &'a [u8],
        u16,
        (&'a str, &'a str),
        &'a str,
    );
    let table: &[Asked<'_>] = &[
        (
            "POST",
            "/in/smartsheet",
            ("smartsheet-hook-challenge", "abc"),
            b"{}",
            200,
            ("smartsheet-hook-response", "abc"),
            "",
        ),
        (
            "POST",
            "/in/keap",
            ("x-hook-secret", "abc"),
            b"",
            200,
            ("x-hook-secret", "abc"),
            "",
        ),
        (
            "GET",
            "/in/okta",
            ("x-okta-verification-challenge", "abc"),
            b"",
            200,
            json,
            r#"{"verification":"abc"}"#,
        ),
        (
            "GET",
            "/in/oura?verification_token=t0ken&challenge=abc",
            json,
            b"",
            200,
            json,
            r#"{"challenge":"abc"}"#,
        ),
        (
            "GET",
            "/in/oura?verification_token=t1ken&challenge=abc",
            json,
            b"",
            401,
            ("content-type", "application/problem+json"),
            "-",
        ),
        (
            "GET",
            "/in/fitbit?verify=right",
            json,
            b"",
            204,
            ("x-content-type-options", "nosniff"),
            "",
        ),
        (
            "GET",
            "/in/fitbit?verify=wrong",
            json,
            b"",
            404,
            ("x-content-type-options", "nosniff"),
            "-",
        ),
        (
            "GET",
            "/in/nylas?challenge=bc609b38-c81f-47fb-a275-1d9bd61be968",
            json,
            b"",
            200,
            ("content-length", "36"),
            "bc609b38-c81f-47fb-a275-1d9bd61be968",
        ),
        (
            "GET",
            "/in/strava?hub.mode=subscribe&hub.challenge=15f7d1a9&hub.verify_token=t0ken",
            json,
            b"",
            200,
            json,
            r#"{"hub.challenge":"15f7d1a9"}"#,
        ),
        (
            "GET",
            "/in/strava?hub.mode=subscribe&hub.challenge=15f7d1a9&hub.verify_token=x",
            json,
            b"",
            401,
            ("x-content-type-options", "nosniff"),
            "-",
        ),
        (
            "POST",
            "/in/miro",
            json,
            br#"{"challenge":"abc"}"#,
            200,
            json,
            r#"{"challenge":"abc"}"#,
        ),
        (
            "POST",
            "/in/monday",
            json,
            br#"{"challenge":"abc"}"#,
            200,
            json,
            r#"{"challenge":"abc"}"#,
        ),
        (
            "POST",
            "/in/graph?validationToken=Validation%3A%20Testing%20client%20%3Cb%3E",
            json,
            b"",
            200,
            ("content-type", "text/plain; charset=utf-8"),
            "Validation: Testing client <b>",
        ),
        (
            "POST",
            "/in/grid?code=c0de",
            json,
            validation,
            200,
            json,
            r#"{"validationResponse":"512d38b6"}"#,
        ),
        (
            "POST",
            "/in/grid?code=other",
            json,
            validation,
            401,
            ("x-content-type-options", "nosniff"),
            "-",
        ),
        (
            "OPTIONS",
            "/in/events",
            ("webhook-request-origin", "eventgrid.azure.net"),
            b"",
            200,
            ("webhook-allowed-origin", "eventgrid.azure.net"),
            "",
        ),
        (
            "POST",
            "/in/vk",
            json,
            br#"{"type":"confirmation","group_id":7}"#,
            200,
            ("content-type", "text/plain; charset=utf-8"),
            "8c1d4f",
        ),
        (
            "POST",
            "/in/vk",
            json,
            br#"{"type":"confirmation","group_id":8}"#,
            401,
            ("x-content-type-options", "nosniff"),
            "-",
        ),
        (
            "POST",
            "/in/xero",
            ("x-xero-signature", &intent),
            br#"{"events":[],"entropy":"S0m3r4Nd0mt3xt"}"#,
            200,
            ("x-content-type-options", "nosniff"),
            "",
        ),
        (
            "POST",
            "/in/xero",
            ("x-xero-signature", "AAAA"),
            br#"{"events":[],"entropy":"S0m3r4Nd0mt3xt"}"#,
            401,
            ("x-content-type-options", "nosniff"),
            "-",
        ),
        (
            "HEAD",
            "/in/trello",
            json,
            b"",
            200,
            ("x-content-type-options", "nosniff"),
            "",
        ),
        (
            "HEAD",
            "/in/intercom",
            json,
            b"",
            200,
            ("x-content-type-options", "nosniff"),
            "",
        ),
    ];
    for (method, path, header, body, status, (name, value), text) in table {
        let reply = request(method, &gateway.url(path), &[*header], body);
        assert_eq!(
            (reply.status, reply.header(name)),
            (*status, Some(*value)),
            "{method} {path}"
        );
        if *text != "-" {
            assert_eq!(reply.text(), *text, "{method} {path}");
        }
    }
}

#[test]
fn circle_finds_somebody_at_home() {
    let gateway = Setup::new(
        "sources:\n  circle: { provider: circle, settings: { api_key: { env: KEY }, subscription_ids: [a] } }\n",
    )
    .env("KEY", "k")
    .start();
    assert_eq!(request("HEAD", &gateway.url("/in/circle"), &[], b"").status, 200);
}

/// Platforms that must be asked before an event is believed: whoever lists them sees it, and so does every event.
#[test]
fn what_proves_nothing_says_so_in_data() {
    let catalogue = Catalogue::built_in();
    let unproved: BTreeSet<String> = catalogue
        .names()
        .into_iter()
        .filter(|name| {
            let definition = catalogue.definition(name).expect("a definition");
            definition.signature.iter().any(|rule| rule.scheme == Scheme::None)
        })
        .collect();
    for name in ["bitpay", "snipcart", "shipstation-v1", "strava", "keap", "affinity"] {
        assert!(unproved.contains(name), "{name}");
    }
    for name in &unproved {
        let definition = catalogue.definition(name).expect("a definition");
        assert_eq!(
            definition.signature.len(),
            1,
            "{name}: beside a signature it could be taken away"
        );
        let notes = definition.notes.to_lowercase();
        assert!(notes.contains("anybody who knows the address"), "{name}: {notes}");
    }
}
