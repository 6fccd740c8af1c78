//! Who may come in at all: by address, by client certificate. Neither proves a delivery.

use std::path::Path;
use std::process::Command;

use crate::support::gateway::Setup;
use crate::support::{Gateway, sign};

const BODY: &[u8] = b"{}";

fn deliver(gateway: &Gateway, path: &str, more: &[(&str, &str)]) -> u16 {
    let signature = sign::github("s3cret", BODY);
    let mut headers = vec![
        ("content-type", "application/json"),
        ("x-github-event", "unheard_of"),
        ("x-github-delivery", "d-1"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    headers.extend_from_slice(more);
    gateway.post(path, &headers, BODY).status
}

#[test]
fn a_source_with_senders_takes_deliveries_from_them_alone() {
    let gateway = Gateway::start(
        "sources:
  here: { provider: github, secrets: [{ value: s3cret }], senders: [127.0.0.0/8] }
  elsewhere: { provider: github, secrets: [{ value: s3cret }], senders: [192.0.2.0/24, \"2001:db8::1\"] }
  anywhere: { provider: github, secrets: [{ value: s3cret }] }
",
    );
    assert_eq!(deliver(&gateway, "/in/here", &[]), 200);
    assert_eq!(deliver(&gateway, "/in/anywhere", &[]), 200);
    assert_eq!(deliver(&gateway, "/in/elsewhere", &[]), 401);
    // What the sender itself says of its address counts for nothing.
    for header in ["x-forwarded-for", "forwarded"] {
        let value = if header == "forwarded" {
            "for=192.0.2.9"
        } else {
            "192.0.2.9"
        };
        assert_eq!(deliver(&gateway, "/in/elsewhere", &[(header, value)]), 401, "{header}");
    }
    assert_eq!(
        gateway.metric(
            "hooksluice_verify_failures_total",
            &["source=\"elsewhere\"", "reason=\"sender\""]
        ),
        3.0
    );
    assert_eq!(gateway.journal().len(), 2);
    // Being a listed sender proves nothing.
    assert_eq!(
        gateway.post("/in/here", &[("x-github-event", "ping")], BODY).status,
        401
    );
}

#[test]
fn behind_a_trusted_proxy_the_senders_address_is_what_the_proxy_saw() {
    let gateway = Gateway::start(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, trusted_proxies: [127.0.0.0/8] }
sources:
  elsewhere: { provider: github, secrets: [{ value: s3cret }], senders: [192.0.2.0/24] }
",
    );
    let from = |hops: &str| deliver(&gateway, "/in/elsewhere", &[("x-forwarded-for", hops)]);
    assert_eq!(from("192.0.2.9"), 200);
    assert_eq!(from("198.51.100.7, 192.0.2.9, 127.0.0.3"), 200);
    assert_eq!(
        from("192.0.2.9, 198.51.100.7"),
        401,
        "the rightmost hop that is not ours is the sender"
    );
    assert_eq!(deliver(&gateway, "/in/elsewhere", &[]), 401);
}

#[test]
fn published_networks_are_those_of_the_platforms_page() {
    let (code, said) = Setup::new(
        "sources:
  github: { provider: github, secrets: [{ value: s3cret }], senders: [published] }
  circle: { provider: circle, settings: { api_key: { env: HOME }, subscription_ids: [a] }, senders: [published, 10.0.0.0/8] }
  bad: { provider: github, secrets: [{ value: s3cret }], senders: [nowhere] }
",
    )
    .refuse();
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("sources.github.senders") && said.contains("no networks of this platform's are known"),
        "{said}"
    );
    assert!(said.contains("`nowhere` is no network"), "{said}");
    assert!(!said.contains("sources.circle"), "{said}");
}

fn certificates(folder: &Path) {
    let script = "set -e
        key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        openssl req -x509 $key -days 2 -subj /CN=server -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.crt
        for ca in ours theirs; do openssl req -x509 $key -days 2 -subj /CN=$ca -keyout $ca.key -out $ca.pem; done
        issue() { openssl req $key -subj /CN=$2 -keyout $1.key -out $1.csr; printf \"subjectAltName=DNS:$3\" > names
            openssl x509 -req -in $1.csr -CA $4.pem -CAkey $4.key -CAcreateserial -days 2 -extfile names -out $1.pem; }
        issue good x hooks.platform.example ours
        issue other hooks.platform.example other.platform.example ours
        issue foreign x hooks.platform.example theirs";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .output()
        .expect("sh runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn a_source_with_client_certificates_wants_one_of_their_names() {
    let setup = Setup::new(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, tls: { certificate: {dir}/tls.crt, key: {dir}/tls.key, client_ca: {dir}/ours.pem } }
sources:
  strict: { provider: github, secrets: [{ value: s3cret }], client_certificates: [Hooks.Platform.example] }
  anybody: { provider: github, secrets: [{ value: s3cret }] }
",
    );
    certificates(setup.path());
    let gateway = setup.start();
    // The status, or `000` where there is no connection.
    let deliver = |path: &str, certificate: Option<&str>| {
        let file = |name: String| gateway.path(&name).display().to_string();
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--cacert",
            &file("tls.crt".into()),
        ]);
        curl.args([
            "-H",
            "content-type: application/json",
            "-H",
            "x-github-event: ping",
            "-H",
            "x-github-delivery: d-1",
        ]);
        curl.args([
            "-H",
            &format!("x-hub-signature-256: {}", sign::github("s3cret", BODY)),
            "--data-binary",
            "{}",
        ]);
        if let Some(name) = certificate {
            curl.args([
                "--cert",
                &file(format!("{name}.pem")),
                "--key",
                &file(format!("{name}.key")),
            ]);
        }
        let output = curl.arg(gateway.url(path)).output().expect("curl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(deliver("/in/strict", Some("good")), "200");
    assert_eq!(deliver("/in/strict", Some("other")), "401", "a common name is no name");
    assert_eq!(deliver("/in/strict", None), "401");
    assert_eq!(deliver("/in/anybody", None), "200");
    assert_eq!(
        deliver("/in/anybody", Some("foreign")),
        "000",
        "another authority's is not let in"
    );
    assert_eq!(
        gateway.metric(
            "hooksluice_verify_failures_total",
            &["source=\"strict\"", "reason=\"certificate\""]
        ),
        2.0
    );
}

#[test]
fn client_certificates_want_an_authority() {
    let (code, said) = Setup::new(
        "sources:
  strict: { provider: github, secrets: [{ value: s3cret }], client_certificates: [a.example] }
",
    )
    .refuse();
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("ingress.tls.client_ca"), "{said}");
}
