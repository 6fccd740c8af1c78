//! The listeners, from the outside: what is public, what wants a token, TLS, proxies, and the end of a life.

use std::io::{Read, Write};
use std::process::Command;

use crate::support::gateway::Setup;
use crate::support::{Gateway, get, http, request, sign};

const SOURCES: &str = "sources:
  github: { provider: github, secrets: [{ value: s3cret }] }
";

fn github(body: &[u8], id: &str) -> Vec<(String, String)> {
    vec![
        ("content-type".into(), "application/json".into()),
        ("x-github-event".into(), "unheard_of".into()),
        ("x-github-delivery".into(), id.into()),
        ("x-hub-signature-256".into(), sign::github("s3cret", body)),
    ]
}

fn deliver(gateway: &Gateway, id: &str, body: &[u8]) -> http::Reply {
    let headers = github(body, id);
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    gateway.post("/in/github", &headers, body)
}

#[test]
fn a_signed_delivery_is_answered_with_its_event_id_and_is_in_the_journal() {
    let gateway = Gateway::start(SOURCES);
    let body = b"{ \"spaces\" :  [1, 2.50, \"\\u00e9\"] }\n";
    let reply = deliver(&gateway, "d-1", body);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("hooksluice-event-id"), Some("d-1"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let rows = gateway.journal();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].data, body, "byte for byte");
    assert_eq!(rows[0].kind, "com.github.unheard_of");
    assert_eq!(rows[0].attributes["verificationkey"], "1");
    assert_eq!(rows[0].attributes["contract"], "none");
    assert_eq!(rows[0].attributes["bodysha256"], sign::sha256(body));
}

#[test]
fn the_admin_listener_shows_health_and_metrics_and_nothing_more_without_a_token() {
    let gateway = Gateway::start(SOURCES);
    let admin = |path: &str| get(&format!("{}{path}", gateway.admin));
    assert_eq!(admin("/livez").status, 200);
    assert_eq!(admin("/readyz").status, 200);
    assert!(admin("/metrics").text().contains("hooksluice_build_info"));
    assert_eq!(admin("/deliveries").status, 403);
    assert_eq!(
        gateway.post("/deliveries", &[], b"").status,
        404,
        "and the ingress knows nothing of it"
    );
}

#[test]
fn the_inspector_says_why_each_delivery_was_turned_away_to_who_has_the_token() {
    let gateway = Setup::new(&format!(
        "admin: {{ listen: 127.0.0.1:0, token: {{ env: ADMIN_TOKEN }} }}\n{SOURCES}"
    ))
    .env("ADMIN_TOKEN", "open-sesame")
    .start();
    assert_eq!(deliver(&gateway, "d-1", b"{}").status, 200);
    gateway.post("/in/github", &[("x-github-event", "ping")], b"{}");
    let url = format!("{}/deliveries", gateway.admin);
    for wrong in ["Bearer ", "Bearer open", "open-sesame", "Basic open-sesame"] {
        assert_eq!(
            request("GET", &url, &[("authorization", wrong)], b"").status,
            401,
            "{wrong}"
        );
    }
    let reply = request("GET", &url, &[("authorization", "Bearer open-sesame")], b"");
    assert_eq!(reply.status, 200);
    let entries = reply.json();
    assert_eq!(entries[0]["outcome"], "rejected");
    assert!(
        entries[0]["reason"].as_str().expect("a reason").contains("missing"),
        "{entries}"
    );
    assert_eq!(entries[1]["events"][0], "d-1");
    assert!(!gateway.log().contains("open-sesame"));
}

#[test]
fn a_client_that_hangs_up_changes_nothing_about_what_is_published() {
    let gateway = Gateway::start(SOURCES);
    let (address, _) = http::target(&gateway.ingress);
    for id in 0..20 {
        let mut bytes = b"POST /in/github HTTP/1.1\r\nhost: a\r\n".to_vec();
        for (name, value) in github(b"{}", &format!("d-{id}")) {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"content-length: 2\r\n\r\n{}");
        let mut stream = http::connect(address);
        stream.write_all(&bytes).expect("sent");
        drop(stream);
    }
    gateway.wait_for("every one is counted", |g| {
        g.metric("hooksluice_deliveries_received_total", &["source=\"github\""]) == 20.0
            && g.metric("hooksluice_deliveries_in_flight", &[]) == 0.0
    });
    let taken = gateway.metric("hooksluice_deliveries_total", &["outcome=\"journaled\""]);
    let aborted = gateway.metric("hooksluice_deliveries_total", &["outcome=\"aborted\""]);
    assert_eq!(taken + aborted, 20.0);
    assert_eq!(gateway.journal().len() as f64, taken);
}

/// A sender that signs the URL it called; a wrong idea of that URL is a wrong signature.
const SIGNS_THE_URL: &str = "{ provider: hmac, secrets: [{ value: s3cret }], settings: { content: [url, body] }";

fn signed_for(url: &str) -> String {
    hex::encode(sign::hmac_sha256(b"s3cret", &[url.as_bytes(), b"{}"]))
}

#[test]
fn only_a_listed_proxy_says_which_url_was_called() {
    let yaml = |proxies: &str| {
        format!(
            "ingress: {{ listen: 127.0.0.1:0, drain_delay: 0s, trusted_proxies: [{proxies}] }}
sources:
  custom: {SIGNS_THE_URL} }}
"
        )
    };
    let forwarded = [(
        "forwarded",
        "for=192.0.2.9;proto=https;host=hooks.example.com, for=127.0.0.2",
    )];
    let legacy = [
        ("x-forwarded-for", "198.51.100.7, 192.0.2.9, 127.0.0.3"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "hooks.example.com"),
    ];
    let behind_proxy = signed_for("https://hooks.example.com/in/custom?a=1");
    for headers in [&forwarded[..], &legacy[..]] {
        for (proxies, listed) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
            let gateway = Gateway::start(&yaml(proxies));
            let direct = signed_for(&gateway.url("/in/custom?a=1"));
            let send = |signature: &str| {
                let mut all = headers.to_vec();
                all.push(("x-signature", signature));
                gateway.post("/in/custom?a=1", &all, b"{}").status
            };
            assert_eq!(send(&behind_proxy), if listed { 200 } else { 401 });
            assert_eq!(send(&direct), if listed { 401 } else { 200 });
            let url = gateway.journal()[0].attributes["httpurl"].clone();
            assert_eq!(
                url.as_str().is_some_and(|url| url.starts_with("https://hooks")),
                listed,
                "{url}"
            );
        }
    }
}

#[test]
fn the_public_url_of_a_source_wins_over_that_of_the_ingress() {
    let gateway = Gateway::start(&format!(
        "ingress: {{ listen: 127.0.0.1:0, drain_delay: 0s, public_url: \"https://hooks.example.com\" }}
sources:
  custom: {SIGNS_THE_URL} }}
  moved: {SIGNS_THE_URL}, public_url: \"https://other.example.com/base/moved\" }}
"
    ));
    for (path, url) in [
        ("/in/custom", "https://hooks.example.com/in/custom"),
        ("/in/moved?x=%20y", "https://other.example.com/base/moved?x=%20y"),
    ] {
        assert_eq!(
            gateway.post(path, &[("x-signature", &signed_for(url))], b"{}").status,
            200,
            "{url}"
        );
    }
}

#[test]
fn sigterm_finishes_what_is_in_hand_and_exits_well() {
    let gateway = Gateway::start(&format!(
        "ingress: {{ listen: 127.0.0.1:0, drain_delay: 1h, body_timeout: 1h, min_rate: 0 }}\n{SOURCES}"
    ));
    let (address, _) = http::target(&gateway.ingress);
    let mut stream = http::connect(address);
    let mut head = b"POST /in/github HTTP/1.1\r\nhost: a\r\n".to_vec();
    for (name, value) in github(b"{}", "d-late") {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"content-length: 2\r\n\r\n{");
    stream.write_all(&head).expect("sent");
    gateway.signal("-TERM");
    gateway.wait_for("it is not ready", |g| get(&format!("{}/readyz", g.admin)).status == 503);
    assert_eq!(
        deliver(&gateway, "d-drain", b"{}").status,
        200,
        "still accepting while balancers notice"
    );
    stream.write_all(b"}").expect("sent");
    let reply = http::read_reply(&mut stream);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("connection"), Some("close"));
    let directory = gateway.directory.clone();
    // The second signal ends the hour.
    let (status, log) = gateway.stop();
    assert!(status.success(), "{log}");
    let rows = crate::support::gateway::journal_rows(&directory.path().join("hooksluice.db"), "events");
    assert_eq!(rows.len(), 2);
}

pub fn certificate(directory: &std::path::Path, name: &str) {
    let path = |suffix: &str| directory.join(suffix).display().to_string();
    let status = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-keyout",
        ])
        .args([
            &path("tls.key"),
            "-out",
            &path("tls.crt"),
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .stderr(std::process::Stdio::null())
        .status()
        .expect("openssl runs");
    assert!(status.success());
}

/// The common name that the listener presents.
pub fn presented(address: &str) -> String {
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -subject"),
        ])
        .output()
        .expect("openssl runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_changed_certificate_is_served_without_a_restart() {
    let setup = Setup::new(&format!(
        "ingress: {{ listen: 127.0.0.1:0, drain_delay: 0s, tls: {{ certificate: {{dir}}/tls.crt, key: {{dir}}/tls.key }} }}\n{SOURCES}"
    ));
    certificate(setup.path(), "first");
    let gateway = setup.start();
    let address = gateway.ingress.trim_start_matches("https://").to_owned();
    assert!(gateway.ingress.starts_with("https://"));
    assert!(presented(&address).contains("first"));
    certificate(&gateway.path(""), "second");
    gateway.wait_for("the new certificate is served", |_| {
        presented(&address).contains("second")
    });
    std::fs::write(gateway.path("tls.crt"), "broken").expect("written");
    gateway.wait_for("the broken one is reported", |g| {
        g.metric("hooksluice_config_last_reload_successful", &[]) == 0.0
    });
    assert!(presented(&address).contains("second"), "and the good one stays");
}

#[test]
fn http_is_not_spoken_on_the_tls_port() {
    let setup = Setup::new(&format!(
        "ingress: {{ listen: 127.0.0.1:0, drain_delay: 0s, tls: {{ certificate: {{dir}}/tls.crt, key: {{dir}}/tls.key }} }}\n{SOURCES}"
    ));
    certificate(setup.path(), "only");
    let gateway = setup.start();
    let address = gateway
        .ingress
        .trim_start_matches("https://")
        .parse()
        .expect("an address");
    let mut stream = http::connect(address);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
}

/// A stranger could keep a connection over HTTP/2, where actix does not end it with the answer.
#[test]
fn the_tls_port_speaks_http_1_1_and_no_http_2() {
    let setup = Setup::new(&format!(
        "ingress: {{ listen: 127.0.0.1:0, drain_delay: 0s, tls: {{ certificate: {{dir}}/tls.crt, key: {{dir}}/tls.key }} }}\n{SOURCES}"
    ));
    certificate(setup.path(), "only");
    let gateway = setup.start();
    let address = gateway.ingress.trim_start_matches("https://");
    let negotiated = |offered: &str| {
        let output = Command::new("sh")
            .args([
                "-c",
                &format!("openssl s_client -connect {address} -alpn {offered} </dev/null 2>/dev/null"),
            ])
            .output()
            .expect("openssl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let both = negotiated("h2,http/1.1");
    assert!(both.contains("ALPN protocol: http/1.1"), "{both}");
    let alone = negotiated("h2");
    assert!(!alone.contains("ALPN protocol: h2"), "{alone}");
}
