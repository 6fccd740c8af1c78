//! How much one sender, one source and all together may take: rates, places in the work, memory of bodies.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use crate::support::gateway::Setup;
use crate::support::{Gateway, http, request, sign};

const SECRET: &str = "s3cret";

fn signed(gateway: &Gateway, path: &str, from: &str, body: &[u8]) -> http::Reply {
    let signature = sign::github(SECRET, body);
    let headers = [
        ("x-forwarded-for", from),
        ("x-github-event", "unheard_of"),
        ("x-hub-signature-256", &*signature),
    ];
    gateway.post(path, &headers, body)
}

fn forged(gateway: &Gateway, path: &str, from: &str) -> http::Reply {
    let headers = [("x-forwarded-for", from), ("x-hub-signature-256", "sha256=00")];
    gateway.post(path, &headers, b"{}")
}

/// Seconds that the sender is told to wait.
fn retry_after(reply: &http::Reply) -> u64 {
    let seconds = reply.header("retry-after").expect("Retry-After");
    seconds.parse().expect("seconds")
}

fn shed(gateway: &Gateway, source: &str, limit: &str) -> f64 {
    let labels = [format!("source=\"{source}\""), format!("limit=\"{limit}\"")];
    gateway.metric("hooksluice_deliveries_shed_total", &[&labels[0], &labels[1]])
}

fn in_flight(gateway: &Gateway, source: &str) -> f64 {
    gateway.metric("hooksluice_deliveries_in_flight", &[&format!("source=\"{source}\"")])
}

/// HighLevel delivers again after 429 alone, Segment after any 5xx but no 4xx: the data say which.
#[test]
fn a_platform_hears_the_status_that_makes_it_deliver_again() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, status) in [("acme", 429), ("ajax", 503), ("apex", 200)] {
        let definition = format!("extends = \"github\"\ntitle = \"{name}\"\n[answer]\nretry_status = {status}\n");
        std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
        std::fs::write(folder.path().join(name).join("provider.toml"), definition).expect("written");
    }
    let config = |last: &str| {
        format!(
            "schemas: {{ paths: [{}] }}
journal: off
destinations: {{ stream: {{ kafka: {{ bootstrap_servers: \"127.0.0.1:1\", topic: t }} }} }}
sources:
  github: {{ provider: github, secrets: [{{ value: s3cret }}], destination: stream, rate: 1/h }}
  {last}: {{ provider: {last}, secrets: [{{ value: s3cret }}], destination: stream, rate: 1/h }}
",
            folder.path().display()
        )
    };
    for (platform, no_broker, too_fast) in [("acme", 429, 429), ("ajax", 503, 503)] {
        let gateway = Gateway::start(&config(platform));
        for (source, statuses) in [("github", [503, 429]), (platform, [no_broker, too_fast])] {
            for status in statuses {
                let reply = signed(&gateway, &format!("/in/{source}"), "", b"{}");
                assert_eq!(reply.status, status, "{source}");
                assert!(retry_after(&reply) > 0);
            }
        }
        assert_eq!(shed(&gateway, platform, "source_rate"), 1.0);
    }
    let (_, refused) = Setup::new(&config("apex")).refuse();
    assert!(
        refused.contains("answer.retry_status: 200 is neither a 4xx nor a 5xx"),
        "{refused}"
    );
}

#[test]
fn a_source_counts_its_rate_after_verification_so_forgeries_use_up_nothing() {
    let gateway = Setup::new(
        "admin: { listen: 127.0.0.1:0, token: open-sesame }
sources:
  slow: { provider: github, secrets: [{ value: s3cret }], rate: 3/h }
  other: { provider: github, secrets: [{ value: s3cret }] }
",
    )
    .start();
    let from = "";
    for _ in 0..20 {
        assert_eq!(forged(&gateway, "/in/slow", from).status, 401);
    }
    for n in 0..3 {
        let reply = signed(&gateway, "/in/slow", from, format!("{{\"n\":{n}}}").as_bytes());
        assert_eq!(reply.status, 200);
    }
    let reply = signed(&gateway, "/in/slow", from, b"{\"n\":4}");
    assert_eq!(reply.status, 429);
    assert!((1..=1200).contains(&retry_after(&reply)), "{reply:?}");
    assert_eq!(
        forged(&gateway, "/in/slow", from).status,
        401,
        "and a forgery is still one"
    );
    assert_eq!(signed(&gateway, "/in/other", from, b"{}").status, 200);

    assert_eq!(shed(&gateway, "slow", "source_rate"), 1.0);
    assert_eq!(gateway.metric("hooksluice_deliveries_shed_total", &[]), 1.0);
    assert_eq!(
        gateway.metric(
            "hooksluice_deliveries_total",
            &["source=\"slow\"", "outcome=\"rejected\""]
        ),
        22.0
    );
    assert_eq!(gateway.journal().len(), 4);
    let url = format!("{}/deliveries", gateway.admin);
    let entries = request("GET", &url, &[("authorization", "Bearer open-sesame")], b"").json();
    assert_eq!(entries[2]["status"], 429);
    assert_eq!(entries[2]["outcome"], "rejected");
    let reason = entries[2]["reason"].as_str().expect("a reason");
    assert!(reason.contains("this sender too fast"), "{reason}");
}

#[test]
fn a_loud_address_is_slowed_down_and_the_others_are_not() {
    let gateway = Gateway::start(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, trusted_proxies: [127.0.0.0/8], rate_by_address: 5/h }
sources:
  one: { provider: github, secrets: [{ value: s3cret }] }
",
    );
    let (loud, genuine) = ("203.0.113.9", "198.51.100.7");
    let statuses: Vec<u16> = (0..20).map(|_| forged(&gateway, "/in/one", loud).status).collect();
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses[5..].iter().all(|status| *status == 429), "{statuses:?}");
    let reply = forged(&gateway, "/in/nowhere", loud);
    assert_eq!(reply.status, 429, "wherever it knocks");
    assert!(retry_after(&reply) >= 1);
    // The rightmost hop that is not listed is the sender: what it puts in front changes nothing.
    assert_eq!(forged(&gateway, "/in/one", "192.0.2.200, 203.0.113.9").status, 429);
    assert_eq!(signed(&gateway, "/in/one", loud, b"{}").status, 429);
    assert_eq!(signed(&gateway, "/in/one", genuine, b"{}").status, 200);
    assert_eq!(shed(&gateway, "one", "address_rate"), 17.0);
    assert_eq!(shed(&gateway, "unknown", "address_rate"), 1.0);
}

#[test]
fn without_a_listed_proxy_nobody_gets_a_fresh_budget_by_naming_another_address() {
    let gateway = Gateway::start(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, rate_by_address: 5/h }
sources:
  one: { provider: github, secrets: [{ value: s3cret }] }
",
    );
    let statuses: Vec<u16> = (0..20)
        .map(|n| forged(&gateway, "/in/one", &format!("203.0.113.{n}")).status)
        .collect();
    assert!(statuses[5..].iter().all(|status| *status == 429), "{statuses:?}");
}

#[test]
fn strangers_together_cannot_starve_an_address_that_proved_itself() {
    let gateway = Gateway::start(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, trusted_proxies: [127.0.0.0/8], rate_of_strangers: 5/h }
sources:
  one: { provider: github, secrets: [{ value: s3cret }] }
",
    );
    let genuine = "198.51.100.7";
    assert_eq!(signed(&gateway, "/in/one", genuine, b"{}").status, 200);
    let statuses: Vec<u16> = (0..50)
        .map(|n| forged(&gateway, "/in/one", &format!("203.0.113.{n}")).status)
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 4);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 46);
    for n in 0..20 {
        let body = format!("{{\"n\":{n}}}");
        assert_eq!(signed(&gateway, "/in/one", genuine, body.as_bytes()).status, 200);
    }
    // Whoever proved nothing yet is told when to come again.
    assert!(retry_after(&signed(&gateway, "/in/one", "192.0.2.1", b"{}")) >= 1);
    assert_eq!(shed(&gateway, "one", "strangers_rate"), 47.0);

    // Nor does a reload make strangers of those who proved themselves, with the same rate or another; and the strangers'
    // budget is still spent.
    for (from, to) in [("sources:", "# same\nsources:"), ("5/h", "1/h")] {
        let before = gateway.metric("hooksluice_config_last_reload_success_timestamp_seconds", &[]);
        let text = std::fs::read_to_string(gateway.config()).expect("the configuration");
        std::fs::write(gateway.config(), text.replace(from, to)).expect("written");
        gateway.wait_for("the change is taken", |g| {
            g.metric("hooksluice_config_last_reload_success_timestamp_seconds", &[]) > before
        });
        if to != "1/h" {
            assert_eq!(forged(&gateway, "/in/one", "192.0.2.2").status, 429);
        }
        for n in 0..5 {
            let body = format!("{{\"again\":{n}}}");
            assert_eq!(signed(&gateway, "/in/one", genuine, body.as_bytes()).status, 200);
        }
    }
}

/// Takes connections and never says a word: what is published there stays in work.
fn silent_broker() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

fn slow_and_quiet(port: u16, max_in_flight: usize) -> Gateway {
    Gateway::start(&format!(
        "ingress: {{ listen: 127.0.0.1:0, drain_delay: 0s, max_in_flight: {max_in_flight}, ack_budget: 60s }}
destinations: {{ silent: {{ kafka: {{ bootstrap_servers: \"127.0.0.1:{port}\", topic: t }} }} }}
sources:
  loud: {{ provider: hmac, secrets: [{{ value: s3cret }}], destination: silent }}
  quiet: {{ provider: github, secrets: [{{ value: s3cret }}] }}
"
    ))
}

/// A signed delivery to `loud`, sent and not waited for.
fn send_slow(gateway: &Gateway, n: usize) -> TcpStream {
    let body = format!("{{\"n\":{n}}}");
    let signature = hex::encode(sign::hmac_sha256(SECRET.as_bytes(), &[body.as_bytes()]));
    let (address, _) = http::target(&gateway.ingress);
    let mut stream = http::connect(address);
    let head = format!(
        "POST /in/loud HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

#[test]
fn a_loud_source_with_slow_deliveries_leaves_places_for_a_quiet_one() {
    let (_broker, port) = silent_broker();
    let gateway = slow_and_quiet(port, 8);
    let streams: Vec<TcpStream> = (0..20).map(|n| send_slow(&gateway, n)).collect();
    gateway.wait_for("the loud source has its share", |g| {
        in_flight(g, "loud") + shed(g, "loud", "in_flight") == 20.0
    });
    let held = in_flight(&gateway, "loud");
    assert!((1.0..=4.0).contains(&held), "no more than is free: {held}");
    for n in 0..20 {
        let body = format!("{{\"n\":{n}}}");
        let reply = signed(&gateway, "/in/quiet", "", body.as_bytes());
        assert_eq!(reply.status, 200, "{n}");
    }
    assert_eq!(in_flight(&gateway, "loud"), held, "and it was loud all the while");
    drop(streams);
}

#[test]
fn more_in_work_than_allowed_is_503_with_retry_after() {
    let (_broker, port) = silent_broker();
    let gateway = slow_and_quiet(port, 1);
    let _held = send_slow(&gateway, 0);
    gateway.wait_for("one is in work", |g| in_flight(g, "loud") == 1.0);
    gateway.wait_for("there is no place", |g| signed(g, "/in/quiet", "", b"{}").status == 503);
    let reply = signed(&gateway, "/in/quiet", "", b"{}");
    assert_eq!(reply.status, 503);
    assert!(retry_after(&reply) >= 1);
    assert!(shed(&gateway, "quiet", "in_flight") >= 1.0);
    assert!(
        gateway.metric(
            "hooksluice_deliveries_total",
            &["source=\"quiet\"", "outcome=\"refused\""]
        ) >= 1.0,
        "our fault, not the sender's"
    );
    // By the head alone: the body never comes.
    let (address, _) = http::target(&gateway.ingress);
    let head = b"POST /in/quiet HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n";
    assert_eq!(http::raw(address, head).status, 503);
}

#[test]
fn a_body_that_arrives_slowly_holds_no_place_in_the_work() {
    let gateway = Gateway::start(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, max_in_flight: 1, body_timeout: 1h, min_rate: 0 }
sources:
  one: { provider: github, secrets: [{ value: s3cret }] }
",
    );
    let (address, _) = http::target(&gateway.ingress);
    let mut slow = Vec::new();
    for _ in 0..10 {
        let mut stream = http::connect(address);
        stream
            .write_all(b"POST /in/one HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{")
            .expect("sent");
        slow.push(stream);
    }
    gateway.wait_for("they are in flight", |g| in_flight(g, "one") == 10.0);
    assert_eq!(signed(&gateway, "/in/one", "", b"{}").status, 200);
    assert_eq!(in_flight(&gateway, "one"), 10.0);
}

/// Announces `declared` bytes and sends only `sent` of them.
fn send_part(gateway: &Gateway, declared: usize, sent: usize) -> TcpStream {
    let (address, _) = http::target(&gateway.ingress);
    let mut stream = http::connect(address);
    let head = format!("POST /in/loud HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {declared}\r\n\r\n");
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + sent, b' ');
    // A refusal may close before all of it is taken.
    let _ = stream.write_all(&bytes);
    stream
}

#[test]
fn bodies_in_hand_are_bounded_together_and_one_source_cannot_fill_the_memory() {
    const KIB: usize = 1024;
    let gateway = Gateway::start(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, max_body_memory: 2MiB, body_timeout: 1h, min_rate: 0 }
sources:
  loud: { provider: github, secrets: [{ value: s3cret }], body_limit: 1MiB }
  quiet: { provider: github, secrets: [{ value: s3cret }], body_limit: 1MiB }
",
    );
    let held = |g: &Gateway| g.metric("hooksluice_body_bytes", &[]) as usize;
    let mut streams = Vec::new();
    for n in 1..=4 {
        streams.push(send_part(&gateway, 300 * KIB, 200 * KIB));
        // In steps of 16 KiB, one ahead of what came.
        gateway.wait_for("it is held as far as it came", |g| held(g) == n * 208 * KIB);
    }
    // Half of the memory at most: the next could begin and not end, and is turned away before any of it came.
    let mut next = send_part(&gateway, 300 * KIB, 0);
    assert_eq!(http::read_reply(&mut next).status, 503);
    assert_eq!(
        (in_flight(&gateway, "loud"), shed(&gateway, "loud", "body_memory")),
        (4.0, 1.0)
    );
    // More than is left for it is refused by the head alone.
    let mut large = send_part(&gateway, 900 * KIB, 0);
    let reply = http::read_reply(&mut large);
    assert_eq!(reply.status, 503);
    assert!(retry_after(&reply) >= 1);
    let body = vec![b' '; 300 * KIB];
    for _ in 0..5 {
        assert_eq!(
            signed(&gateway, "/in/quiet", "", &body).status,
            200,
            "quarantined, and taken"
        );
    }
    drop(streams);
    gateway.wait_for("all is given back", |g| in_flight(g, "loud") == 0.0 && held(g) == 0);
    let body = vec![b' '; 1024 * KIB];
    assert_eq!(signed(&gateway, "/in/loud", "", &body).status, 200);
    assert_eq!(
        gateway.metric("hooksluice_deliveries_received_total", &[]),
        gateway.metric("hooksluice_deliveries_total", &[])
    );
}

#[test]
fn who_announces_much_and_sends_nothing_takes_little() {
    let gateway = Gateway::start(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, max_body_memory: 2MiB, body_timeout: 1h, min_rate: 0 }
sources:
  loud: { provider: github, secrets: [{ value: s3cret }], body_limit: 1MiB }
",
    );
    let _idle: Vec<TcpStream> = (0..20).map(|_| send_part(&gateway, 1024 * 1024, 0)).collect();
    gateway.wait_for("they are in flight", |g| in_flight(g, "loud") == 20.0);
    let body = vec![b' '; 1024 * 1024];
    assert_eq!(signed(&gateway, "/in/loud", "", &body).status, 200);
}

#[test]
fn memory_for_less_than_one_body_is_refused_when_the_configuration_is_read() {
    let (code, said) = Setup::new(
        "ingress: { listen: 127.0.0.1:0, max_body_memory: 40MiB }
sources:
  one: { provider: github, secrets: [{ value: s3cret }] }
",
    )
    .refuse();
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("ingress.max_body_memory") && said.contains("25MiB"),
        "{said}"
    );
}

#[test]
fn a_rate_is_read_from_file_and_environment_and_a_wrong_one_says_how_to_write_it() {
    let sources = "sources:\n  one: { provider: github, secrets: [{ value: s3cret }] }\n";
    let gateway = Setup::new(sources)
        .env("HOOKSLUICE__INGRESS__RATE_BY_ADDRESS", "1/h")
        .start();
    assert_eq!(forged(&gateway, "/in/one", "").status, 401);
    assert_eq!(forged(&gateway, "/in/one", "").status, 429);
    let (code, said) = Setup::new(&sources.replace("}] }", "}], rate: fast }")).refuse();
    assert_eq!(code, 2);
    assert!(said.contains("sources.one.rate") && said.contains("100/s"), "{said}");
}
