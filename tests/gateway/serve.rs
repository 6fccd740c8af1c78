//! A gateway's life, from the outside: what a reload takes and refuses, and what it does when nothing can be made durable.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::gateway::Setup;
use crate::support::{Gateway, dump, get, http, needed, sign};

fn deliver(gateway: &Gateway, path: &str, secret: &str, id: &str) -> http::Reply {
    let signature = sign::github(secret, b"{}");
    let headers = [
        ("x-github-event", "unheard_of"),
        ("x-github-delivery", id),
        ("x-hub-signature-256", &*signature),
    ];
    gateway.post(path, &headers, b"{}")
}

fn reloads(gateway: &Gateway) -> f64 {
    gateway.metric("hooksluice_config_last_reload_success_timestamp_seconds", &[])
}

/// Writes and waits until what was written is what is served.
fn rewrite(gateway: &Gateway, change: impl FnOnce(String) -> String) {
    let before = reloads(gateway);
    let text = fs::read_to_string(gateway.config()).expect("the configuration");
    fs::write(gateway.config(), change(text)).expect("written");
    gateway.wait_for("the change is taken", |g| reloads(g) > before);
}

#[test]
fn a_rotated_secret_is_taken_without_a_restart_and_a_deleted_one_stops_working() {
    let setup = Setup::new(
        "sources:
  github: { provider: github, secrets: [{ name: new, file: \"{dir}/new\" }, { name: old, file: \"{dir}/old\" }] }
",
    );
    fs::write(setup.path().join("new"), "first\n").expect("written");
    fs::write(setup.path().join("old"), "zeroth\n").expect("written");
    let gateway = setup.start();
    assert_eq!(deliver(&gateway, "/in/github", "first", "d-1").status, 200);
    assert_eq!(deliver(&gateway, "/in/github", "zeroth", "d-2").status, 200);
    assert_eq!(deliver(&gateway, "/in/github", "second", "d-3").status, 401);

    let before = reloads(&gateway);
    fs::write(gateway.path("old"), "first\n").expect("written");
    fs::write(gateway.path("new"), "second\n").expect("written");
    gateway.wait_for("the new secret is taken", |g| {
        reloads(g) > before && deliver(g, "/in/github", "second", "d-4").status == 200
    });
    assert_eq!(deliver(&gateway, "/in/github", "first", "d-5").status, 200);
    assert_eq!(
        deliver(&gateway, "/in/github", "zeroth", "d-6").status,
        401,
        "the deleted one"
    );
    let keys: Vec<String> = gateway
        .journal()
        .iter()
        .map(|row| row.attributes["verificationkey"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(keys[..2], ["new", "old"]);
}

#[test]
fn a_broken_configuration_is_refused_whole_and_the_former_one_stays() {
    let gateway = Gateway::start("sources:\n  one: { provider: github, secrets: [{ value: s3cret }] }\n");
    let good = fs::read_to_string(gateway.config()).expect("the configuration");
    fs::write(
        gateway.config(),
        good.replace("one:", "two:").replace("github", "githob"),
    )
    .expect("written");
    gateway.wait_for("it is refused", |g| {
        g.metric("hooksluice_config_last_reload_successful", &[]) == 0.0
    });
    gateway.wait_for("the log says why", |g| g.log().contains("did you mean `github`"));
    assert_eq!(deliver(&gateway, "/in/one", "s3cret", "d-1").status, 200);
    assert_eq!(deliver(&gateway, "/in/two", "s3cret", "d-1").status, 404);

    fs::write(gateway.config(), good.replace("one:", "two:")).expect("written");
    gateway.wait_for("the mended one is taken", |g| {
        g.metric("hooksluice_config_last_reload_successful", &[]) == 1.0
    });
    assert_eq!(deliver(&gateway, "/in/one", "s3cret", "d-2").status, 404);
    assert_eq!(deliver(&gateway, "/in/two", "s3cret", "d-2").status, 200);
}

/// As a journal in the configuration's folder does.
#[test]
fn a_change_is_noticed_beside_a_file_that_is_never_at_rest() {
    let gateway = Gateway::start("sources:\n  one: { provider: github, secrets: [{ value: s3cret }] }\n");
    let restless = gateway.path("restless");
    let rest = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                if rest.load(Ordering::Relaxed) {
                    break;
                }
                fs::write(&restless, format!("{turn}")).expect("written");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            rewrite(&gateway, |text| text.replace("one:", "two:"));
        }));
        rest.store(true, Ordering::Relaxed);
        noticed.expect("it is noticed");
    });
    assert_eq!(deliver(&gateway, "/in/two", "s3cret", "d-1").status, 200);
}

#[test]
fn sighup_asks_for_a_reload() {
    let gateway = Gateway::start("sources:\n  one: { provider: github, secrets: [{ value: s3cret }] }\n");
    let before = reloads(&gateway);
    gateway.signal("-HUP");
    gateway.wait_for("it reloads", |g| reloads(g) > before);
    assert_eq!(deliver(&gateway, "/in/one", "s3cret", "d-1").status, 200);
}

#[test]
fn what_only_a_new_process_can_take_is_refused_with_that_remedy() {
    let gateway = Gateway::start("sources:\n  one: { provider: github, secrets: [{ value: s3cret }] }\n");
    let text = fs::read_to_string(gateway.config()).expect("the configuration");
    fs::write(gateway.config(), format!("{text}duplicates: {{ window: 1h }}\n")).expect("written");
    gateway.wait_for("it is refused", |g| {
        g.metric("hooksluice_config_last_reload_successful", &[]) == 0.0
    });
    gateway.wait_for("the log says so", |g| {
        g.log().contains("duplicates") && g.log().contains("restart")
    });
}

#[test]
fn with_the_broker_away_and_no_journal_the_answer_is_503_and_not_ready() {
    let gateway = Gateway::start(
        "journal: off
destinations: { there: { kafka: { bootstrap_servers: \"127.0.0.1:1\", topic: t } } }
sources:
  one: { provider: github, destination: there, secrets: [{ value: s3cret }] }
",
    );
    let reply = deliver(&gateway, "/in/one", "s3cret", "d-1");
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some());
    gateway.wait_for("it is not ready", |g| get(&format!("{}/readyz", g.admin)).status == 503);
    assert_eq!(
        gateway.metric("hooksluice_deliveries_total", &["outcome=\"refused\""]),
        1.0
    );
    assert_eq!(
        deliver(&gateway, "/in/one", "wrong", "d-1").status,
        401,
        "a forgery is still one"
    );
}

#[test]
fn with_the_broker_away_the_journal_takes_events_and_a_changed_destination_drains_them() {
    let servers = needed("HOOKSLUICE_TEST_KAFKA");
    let topic = format!("serve-{}", std::process::id());
    let gateway = Gateway::start(&format!(
        "destinations: {{ there: {{ kafka: {{ bootstrap_servers: \"127.0.0.1:1\", topic: {topic}, declare: true }} }} }}
sources:
  one: {{ provider: github, destination: there, secrets: [{{ value: s3cret }}] }}
"
    ));
    for id in 0..20 {
        let reply = deliver(&gateway, "/in/one", "s3cret", &format!("d-{id}"));
        assert_eq!(
            (reply.status, reply.header("hooksluice-event-id")),
            (200, Some(&*format!("d-{id}")))
        );
    }
    assert_eq!(gateway.metric("hooksluice_spool_events", &[]), 20.0);
    assert_eq!(
        gateway.metric("hooksluice_deliveries_total", &["outcome=\"spooled\""]),
        20.0
    );
    gateway.wait_for("the outage shows", |g| {
        g.metric("hooksluice_destination_up", &["destination=\"there\""]) == 0.0
    });
    assert_eq!(
        get(&format!("{}/readyz", gateway.admin)).status,
        200,
        "the journal can take more"
    );

    rewrite(&gateway, |text| text.replace("127.0.0.1:1\"", &format!("{servers}\"")));
    gateway.wait_for("the spool has drained", |g| {
        g.metric("hooksluice_spool_events", &[]) == 0.0
    });
    assert_eq!(deliver(&gateway, "/in/one", "s3cret", "d-last").status, 200);
    gateway.wait_for("it is up", |g| {
        g.metric("hooksluice_destination_up", &["destination=\"there\""]) == 1.0
    });
    assert_eq!(
        gateway.metric("hooksluice_deliveries_total", &["outcome=\"published\""]),
        1.0
    );
}

#[test]
fn what_waited_in_the_spool_survives_kill_9() {
    let servers = needed("HOOKSLUICE_TEST_KAFKA");
    let topic = format!("survives-{}", std::process::id());
    let yaml = |servers: &str| {
        format!(
            "destinations: {{ there: {{ kafka: {{ bootstrap_servers: \"{servers}\", topic: {topic}, declare: true }} }} }}
sources:
  one: {{ provider: github, destination: there, secrets: [{{ value: s3cret }}] }}
"
        )
    };
    let gateway = Gateway::start(&yaml("127.0.0.1:1"));
    for id in 0..10 {
        assert_eq!(deliver(&gateway, "/in/one", "s3cret", &format!("d-{id}")).status, 200);
    }
    let directory = gateway.kill();
    let gateway = Setup::new(&yaml(&servers)).directory(directory).start();
    gateway.wait_for("the spool has drained", |g| {
        g.metric("hooksluice_spool_events", &[]) == 0.0
    });
    let messages = dump(&topic, 10);
    assert_eq!(messages.len(), 10);
}

#[test]
fn a_second_gateway_on_the_same_journal_refuses_to_start() {
    let gateway = Gateway::start("sources:\n  one: { provider: github, secrets: [{ value: s3cret }] }\n");
    let (code, said) = Setup::new("sources:\n  one: { provider: github, secrets: [{ value: s3cret }] }\n")
        .directory(gateway.directory.clone())
        .refuse();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("hooksluice.db"), "{said}");
}
