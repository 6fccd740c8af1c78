//! The metrics that others may rely on: their names, their bounds, and that the books balance.

use crate::support::{Gateway, request, sign};

const NAMES: [&str; 19] = [
    "hooksluice_deliveries_received_total",
    "hooksluice_deliveries_total",
    "hooksluice_deliveries_in_flight",
    "hooksluice_body_bytes",
    "hooksluice_events_total",
    "hooksluice_delivery_duration_seconds_bucket",
    "hooksluice_verify_failures_total",
    "hooksluice_deliveries_shed_total",
    "hooksluice_secret_uses_total",
    "hooksluice_contract_checks_total",
    "hooksluice_publish_duration_seconds_bucket",
    "hooksluice_destination_up",
    "hooksluice_spool_events",
    "hooksluice_spool_bytes",
    "hooksluice_spool_oldest_seconds",
    "hooksluice_config_last_reload_successful",
    "hooksluice_config_last_reload_success_timestamp_seconds",
    "hooksluice_build_info",
    "hooksluice_delivery_duration_seconds_count",
];

const CONFIG: &str = "sources:
  github: { provider: github, secrets: [{ name: current, value: s3cret }, { name: previous, value: 0ld }], routes: [{ types: [\"com.github.star.*\"], ignore: true }] }
";

fn deliver(gateway: &Gateway, secret: &str, event: &str, id: &str, body: &[u8]) -> u16 {
    let signature = sign::github(secret, body);
    let headers = [
        ("x-github-event", event),
        ("x-github-delivery", id),
        ("x-hub-signature-256", signature.as_str()),
    ];
    gateway.post("/in/github", &headers, body).status
}

#[test]
fn every_delivery_is_counted_once_under_its_outcome_and_the_books_balance() {
    let gateway = Gateway::start(CONFIG);
    let star = include_bytes!("../../schemas/github/samples/star.json");
    assert_eq!(deliver(&gateway, "s3cret", "unheard_of", "d-1", b"{}"), 200);
    assert_eq!(deliver(&gateway, "0ld", "unheard_of", "d-2", b"{}"), 200);
    assert_eq!(
        deliver(&gateway, "s3cret", "unheard_of", "d-1", b"{}"),
        200,
        "a duplicate"
    );
    assert_eq!(
        deliver(&gateway, "s3cret", "ping", "d-3", b"{}"),
        200,
        "breaks its contract"
    );
    assert_eq!(deliver(&gateway, "s3cret", "star", "d-4", star), 200, "ignored");
    assert_eq!(deliver(&gateway, "wrong", "ping", "d-5", b"{}"), 401);
    for (outcome, expected) in [
        ("journaled", 2.0),
        ("duplicate", 1.0),
        ("quarantined", 1.0),
        ("ignored", 1.0),
        ("rejected", 1.0),
    ] {
        let label = format!("outcome=\"{outcome}\"");
        assert_eq!(
            gateway.metric("hooksluice_deliveries_total", &[&label]),
            expected,
            "{outcome}"
        );
    }
    assert_eq!(gateway.metric("hooksluice_events_total", &[]), 5.0);
    assert_eq!(
        gateway.metric("hooksluice_secret_uses_total", &["key=\"current\""]),
        4.0
    );
    assert_eq!(
        gateway.metric("hooksluice_secret_uses_total", &["key=\"previous\""]),
        1.0
    );
    assert_eq!(
        gateway.metric("hooksluice_verify_failures_total", &["reason=\"mismatch\""]),
        1.0
    );
    assert_eq!(
        gateway.metric(
            "hooksluice_contract_checks_total",
            &["type=\"ping\"", "result=\"broken\""]
        ),
        1.0
    );
    assert_eq!(
        gateway.metric(
            "hooksluice_contract_checks_total",
            &["type=\"other\"", "result=\"none\""]
        ),
        3.0
    );
    assert_eq!(gateway.metric("hooksluice_deliveries_received_total", &[]), 6.0);
    assert_eq!(gateway.metric("hooksluice_deliveries_total", &[]), 6.0);
    assert_eq!(gateway.metric("hooksluice_deliveries_in_flight", &[]), 0.0);
}

#[test]
fn every_metric_of_the_list_is_there_with_its_help() {
    let gateway = Gateway::start(CONFIG);
    deliver(&gateway, "s3cret", "unheard_of", "d-1", b"{}");
    deliver(&gateway, "wrong", "unheard_of", "d-1", b"{}");
    let limited = CONFIG.replace("routes:", "rate: 1/h, routes:");
    std::fs::write(
        gateway.config(),
        std::fs::read_to_string(gateway.config())
            .expect("read")
            .replace(CONFIG, &limited),
    )
    .expect("written");
    gateway.wait_for("a limit is met", |g| {
        deliver(g, "s3cret", "unheard_of", "d-2", b"{}") == 429
    });
    let text = gateway.metrics();
    for name in NAMES {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}\n{text}");
        let family = name.trim_end_matches("_bucket").trim_end_matches("_count");
        assert!(text.contains(&format!("# HELP {family} ")), "{family}");
    }
}

/// Ten thousand paths, hosts, methods and event types.
#[test]
fn what_a_sender_makes_up_never_becomes_a_label() {
    let gateway = Gateway::start(CONFIG);
    let series = |g: &Gateway| g.metrics().lines().filter(|line| !line.starts_with('#')).count();
    let made_up = |n: usize| {
        let kind = format!("made_up_{n}");
        let signature = sign::github("s3cret", b"{}");
        let url = gateway.url("/in/github");
        if n.is_multiple_of(8) {
            assert_eq!(deliver(&gateway, "s3cret", &kind, &format!("d-{n}"), b"{}"), 200);
        }
        if n % 8 == 1 {
            assert_eq!(request(&format!("MADE{n}"), &url, &[], b"").status, 405);
        }
        gateway.post(&format!("/made/up/{n}"), &[("x-forwarded-host", &kind)], b"");
        let forged = [
            ("x-github-event", &*kind),
            ("x-hub-signature-256", &*signature),
            ("x-hub-signature", &*kind),
        ];
        gateway.post(&format!("/in/github?host={n}"), &forged, b"{ }");
    };
    (0..2).for_each(made_up);
    let before = series(&gateway);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let made_up = &made_up;
            scope.spawn(move || (2..4_500).filter(|n| n % 4 == worker).for_each(made_up));
        }
    });
    assert!(gateway.metric("hooksluice_deliveries_received_total", &[]) >= 10_000.0);
    assert_eq!(series(&gateway), before);
}
