//! Secrets stay where they are used: in no log, metric, page, error, file or printed value; and they end when they are
//! deleted.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;

use hooksluice::config;
use hooksluice::handshake::Handshakes;
use hooksluice::keys::Keyring;
use hooksluice::secret::Secret;
use hooksluice::verify::Verifier;

use crate::http::{certificate, presented};
use crate::support::gateway::{BINARY, Setup};
use crate::support::{Gateway, get, http, request, sign};

/// One for each place in which a credential can stand.
const CANARIES: [&str; 11] = [
    "canary-value-0f9a1c",
    "canary-env-7be2d4",
    "canary-file-55c0e8",
    "canary-token-9d13aa",
    "canary-setting-2c77fe",
    "canary-amqp-password-b40d61",
    "canary-kafka-password-e8815c",
    "canary-kafka-file-a1b2c3",
    "canary-admin-3f6e90",
    "canary-proxy-password-cc81d7",
    "canary-tls-key-60a9be",
];

/// As it is, and as a printed `Vec<u8>`, hex or base64 would show it.
fn forms(secret: &str) -> Vec<String> {
    use base64::Engine;
    let bytes = secret.as_bytes();
    let list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
    vec![secret.into(), list, hex::encode(bytes), base64]
}

fn assert_no_canary(place: &str, text: &str) {
    for canary in CANARIES {
        for form in forms(canary) {
            let at = text.find(&form);
            assert!(
                at.is_none(),
                "{place} shows {canary}: …{}…",
                at.map_or("", |at| {
                    let from = text.floor_char_boundary(at.saturating_sub(200));
                    &text[from..text.ceil_char_boundary((at + 100).min(text.len()))]
                })
            );
        }
    }
}

fn setup() -> Setup {
    let setup = Setup::new(
        "ingress: { listen: 127.0.0.1:0, drain_delay: 0s }
admin: { listen: 127.0.0.1:0, token: { env: CANARY_ADMIN } }
outbound: { proxy: \"http://user:canary-proxy-password-cc81d7@127.0.0.1:9\" }
log: { level: trace }
destinations:
  queue: { rabbitmq: { url: \"amqp://user:canary-amqp-password-b40d61@127.0.0.1:9/%2f\", exchange: e } }
  stream:
    kafka:
      bootstrap_servers: 127.0.0.1:9
      topic: t
      properties:
        security.protocol: SASL_PLAINTEXT
        sasl.mechanism: PLAIN
        sasl.username: user
        sasl.password: canary-kafka-password-e8815c
        ssl.key.password: { file: \"{dir}/kafka\" }
sources:
  by-value: { provider: github, secrets: [{ value: canary-value-0f9a1c }], destination: stream }
  by-env: { provider: github, secrets: [{ env: CANARY_ENV }], destination: queue }
  by-file: { provider: github, secrets: [{ file: \"{dir}/file\" }] }
  by-token: { provider: token, secrets: [{ value: canary-token-9d13aa }] }
  whatsapp: { provider: whatsapp-cloud, secrets: [{ value: canary-value-0f9a1c }], settings: { verify_token: canary-setting-2c77fe } }
",
    )
    .env("CANARY_ENV", "canary-env-7be2d4")
    .env("CANARY_ADMIN", "canary-admin-3f6e90");
    fs::write(setup.path().join("file"), "canary-file-55c0e8\n").expect("written");
    fs::write(setup.path().join("kafka"), "canary-kafka-file-a1b2c3").expect("written");
    setup
}

fn signed(gateway: &Gateway, path: &str, secret: &str, body: &[u8]) -> http::Reply {
    let signature = sign::github(secret, body);
    let headers = [("x-github-event", "unheard_of"), ("x-hub-signature-256", &*signature)];
    gateway.post(path, &headers, body)
}

/// The answer's head and body as text.
fn shown(reply: &http::Reply) -> String {
    format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body))
}

/// Everything that the gateway keeps in files of its own.
fn kept(directory: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(directory).expect("the directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("hooksluice.db") && path.is_file() {
            all.push_str(&String::from_utf8_lossy(&fs::read(&path).expect("readable")));
        }
    }
    assert!(!all.is_empty());
    all
}

#[test]
fn no_secret_is_ever_shown_whatever_happens_to_the_gateway() {
    let gateway = setup().start();
    let mut answers = String::new();
    let mut say = |reply: http::Reply, expected: u16| {
        assert_eq!(reply.status, expected, "{reply:?}");
        answers.push_str(&shown(&reply));
    };
    // Good ones, and each kind of bad one.
    say(signed(&gateway, "/in/by-value", "canary-value-0f9a1c", b"{}"), 200);
    say(signed(&gateway, "/in/by-env", "canary-env-7be2d4", b"{}"), 200);
    say(signed(&gateway, "/in/by-file", "canary-file-55c0e8", b"{}"), 200);
    say(signed(&gateway, "/in/by-file", "canary-file-55c0e8", b"no json"), 200);
    say(signed(&gateway, "/in/by-file", "guessed", b"{}"), 401);
    let bearer = "Bearer canary-token-9d13aa";
    say(
        gateway.post("/in/by-token", &[("authorization", bearer)], b"{\"type\":\"a\"}"),
        200,
    );
    say(
        gateway.post("/in/by-token", &[("authorization", bearer)], b"no json"),
        200,
    );
    let query = "/in/by-token?access_token=canary-token-9d13aa";
    say(gateway.post(query, &[], b"{\"type\":\"b\"}"), 200);
    say(gateway.post("/in/by-token?access_token=guessed", &[], b"{}"), 401);
    say(
        gateway.post(
            "/in/nowhere?access_token=canary-token-9d13aa",
            &[("authorization", bearer)],
            b"",
        ),
        404,
    );
    let challenge = |token: &str| {
        let path = format!("/in/whatsapp?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        get(&gateway.url(&path))
    };
    say(challenge("canary-setting-2c77fe"), 200);
    say(challenge("guessed"), 401);
    assert_no_canary("an answer", &answers);

    let admin = |token: &str| {
        let url = format!("{}/deliveries", gateway.admin);
        request("GET", &url, &[("authorization", &format!("Bearer {token}"))], b"")
    };
    assert_eq!(admin("guessed").status, 401);
    let inspector = admin("canary-admin-3f6e90");
    assert_eq!(inspector.status, 200);
    assert_no_canary("the inspector", &shown(&inspector));
    assert_no_canary("the metrics", &gateway.metrics());

    // Reloads: one that is taken, and some that are refused, each with a secret in the wrong place.
    let good = fs::read_to_string(gateway.config()).expect("the configuration");
    let refused = |from: &str, to: &str| {
        let before = gateway.log().matches("reload refused").count();
        assert!(good.contains(from), "{from}");
        fs::write(gateway.config(), good.replace(from, to)).expect("written");
        gateway.wait_for(&format!("refused: {to}"), |g| {
            g.log().matches("reload refused").count() > before
        });
    };
    refused(
        "secrets: [{ value: canary-token-9d13aa }]",
        "secrets: canary-token-9d13aa",
    );
    refused(
        "secrets: [{ value: canary-token-9d13aa }]",
        "secrets: [canary-token-9d13aa]",
    );
    refused(
        "secrets: [{ value: canary-token-9d13aa }]",
        "secrets: [{ value: [canary-token-9d13aa] }]",
    );
    refused(
        "secrets: [{ value: canary-token-9d13aa }]",
        "secrets: [{ value: \"canary-token-9d13aa }]",
    );
    refused(
        "verify_token: canary-setting-2c77fe",
        "verify_token: { a: canary-setting-2c77fe }",
    );
    refused("\"amqp://user:canary-amqp", "\"http://user:canary-amqp");
    refused("sasl.mechanism: PLAIN", "sasl.mechanism: PLAYN");
    refused("\"http://user:canary-proxy", "\"//user:canary-proxy");
    let taken = gateway.log().matches("configuration taken").count();
    fs::write(gateway.config(), good.replace("exchange: e", "exchange: f")).expect("written");
    gateway.wait_for("the good one is taken", |g| {
        g.log().matches("configuration taken").count() > taken
    });
    assert_eq!(
        signed(&gateway, "/in/by-env", "canary-env-7be2d4", b"{\"n\":2}").status,
        200
    );

    let directory = gateway.directory.clone();
    let path = gateway.config();
    let mut printed = String::new();
    for arguments in [
        &["events", "list", "--json"][..],
        &["quarantine", "list", "--json"],
        &["check"],
        &["check", "--json"],
    ] {
        let output = Command::new(BINARY)
            .args(arguments)
            .arg("--config")
            .arg(&path)
            .env("CANARY_ENV", "canary-env-7be2d4")
            .env("CANARY_ADMIN", "canary-admin-3f6e90")
            .output()
            .expect("runs");
        printed.push_str(&String::from_utf8_lossy(&output.stdout));
        printed.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    assert!(printed.contains("unheard_of"), "{printed}");
    assert_no_canary("a command", &printed);
    let (status, log) = gateway.stop();
    assert!(status.success(), "{log}");
    assert!(log.contains("TRACE"), "it said all that it can say");
    assert_no_canary("the log", &log);
    assert_no_canary("the journal", &kept(directory.path()));
}

/// Whatever is wrong with the configuration, what is said of it quotes no secret.
#[test]
fn a_refused_start_quotes_no_secret_in_yaml_or_toml() {
    let toml = |text: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("hooksluice.toml");
        fs::write(&path, text).expect("written");
        let output = Command::new(BINARY)
            .args(["check", "--config"])
            .arg(&path)
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(2));
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let source = "[sources.one]\nprovider = \"github\"\n";
    for (broken, names) in [
        ("secrets = [{ value = canary-value-0f9a1c }]\n", "line 3"),
        ("secrets = [{ value = \"canary-value-0f9a1c }]\n", "line 3"),
        ("secrets = [{ value = \"canary-value-0f9a1c\" \"x\" }]\n", "line 3"),
        ("secrets = \"canary-value-0f9a1c\"\n", "sources.one.secrets"),
        ("secrets = [\"canary-value-0f9a1c\"]\n", "sources.one.secrets[0]"),
        (
            "secrets = [{ env = \"A\", value = \"canary-value-0f9a1c\" }]\n",
            "sources.one.secrets[0]",
        ),
    ] {
        let said = toml(&format!("{source}{broken}"));
        assert!(said.contains(names), "{said}");
        assert_no_canary("a refusal", &said);
    }
    let yaml = "outbound: { proxy: \"http://user:canary-proxy-password-cc81d7@\" }\nsources:\n  one: { provider: github, secrets: [{ value: x }] }\n";
    let (_, said) = Setup::new(yaml).refuse();
    assert!(said.contains("outbound.proxy"), "{said}");
    assert_no_canary("a refusal", &said);
    let key = "-----BEGIN PRIVATE KEY-----\ncanary-tls-key-60a9be\n-----END PRIVATE KEY-----\n";
    let setup = Setup::new(
        "ingress: { listen: 127.0.0.1:0, tls: { certificate: \"{dir}/key\", key: \"{dir}/key\" } }\nsources: {}\n",
    );
    fs::write(setup.path().join("key"), key).expect("written");
    let (_, said) = setup.refuse();
    assert!(said.contains("ingress.tls"), "{said}");
    assert_no_canary("a refusal", &said);
}

#[test]
fn nothing_that_holds_a_secret_prints_it() {
    let setup = setup();
    // What comes from the environment stands in the file here: the process's own environment is shared by all tests.
    let path = setup.write();
    let text = fs::read_to_string(&path).expect("the configuration");
    let text = text
        .replace("{ env: CANARY_ENV }", "{ value: canary-env-7be2d4 }")
        .replace("{ env: CANARY_ADMIN }", "canary-admin-3f6e90");
    fs::write(&path, text).expect("written");
    let loaded = config::load_with(Some(&path), []).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut printed = format!("{loaded:?} {loaded:#?}");
    let keyring = std::sync::Arc::new(Keyring::new(loaded.config.outbound.clone()).expect("settings that work"));
    for source in &loaded.sources {
        let verifier = Verifier::compile(&source.definition, &source.secrets, &source.settings, &keyring, None);
        let handshakes = Handshakes::compile(&source.definition, &source.secrets, &source.settings);
        printed.push_str(&format!(
            "{:?} {:?} {source:?} {keyring:?}",
            verifier.expect("compiles"),
            handshakes.expect("compiles")
        ));
    }
    assert!(printed.contains("Secret(…)"));
    assert_no_canary("Debug", &printed);
}

/// A private key has no canary in it: its own lines are looked for.
#[test]
fn a_tls_key_is_neither_logged_nor_printed() {
    use base64::Engine;
    let tls = "ingress: { listen: 127.0.0.1:0, drain_delay: 0s, tls: { certificate: \"{dir}/tls.crt\", key: \"{dir}/tls.key\" } }";
    let setup = Setup::new(&format!(
        "{tls}\nlog: {{ level: trace }}\nsources:\n  one: {{ provider: github, secrets: [{{ value: x }}] }}\n"
    ));
    certificate(setup.path(), "secret");
    let pem = fs::read_to_string(setup.path().join("tls.key")).expect("the key");
    let line = pem.lines().nth(2).expect("a line of base64").trim_end_matches('=');
    let whole = &line[..line.len() / 4 * 4];
    let bytes = base64::engine::general_purpose::STANDARD.decode(whole).expect("base64");
    let list = bytes.iter().take(8).map(u8::to_string).collect::<Vec<_>>().join(", ");
    let shows = |text: &str| text.contains(whole) || text.contains(&list) || text.contains(&hex::encode(&bytes[..8]));

    let loaded = config::load_with(Some(&setup.write()), []).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(loaded.certified.is_some() && !shows(&format!("{loaded:?}")));
    let gateway = setup.start();
    let address = gateway.ingress.trim_start_matches("https://").to_owned();
    assert!(presented(&address).contains("secret"));
    fs::write(gateway.path("tls.key"), pem.replace("PRIVATE", "PUBLIC")).expect("written");
    gateway.wait_for("the broken one is refused", |g| g.log().contains("reload refused"));
    let (status, log) = gateway.stop();
    assert!(status.success() && log.contains("TRACE"));
    assert!(!shows(&log));
}

/// What stands at an address of a process: also of this one, and also what was given back.
fn memory_at(address: usize, length: usize) -> Vec<u8> {
    let mut memory = fs::File::open("/proc/self/mem").expect("Linux");
    memory.seek(SeekFrom::Start(address as u64)).expect("an address");
    let mut bytes = vec![0; length];
    memory.read_exact(&mut bytes).expect("mapped");
    bytes
}

#[test]
fn a_dropped_secret_is_wiped_and_not_only_given_back() {
    let length = 64 * 1024;
    let secret = Secret::new(vec![0xA7; length]);
    let copy = secret.clone();
    let address = secret.expose().as_ptr() as usize;
    drop(secret);
    assert!(
        memory_at(address, length).iter().all(|byte| *byte == 0xA7),
        "still in use"
    );
    drop(copy);
    let left = memory_at(address, length);
    // The allocator may have put a few words of its own there.
    let same = left.iter().filter(|byte| **byte == 0xA7).count();
    assert!(same < 64, "{same} bytes are left");
}

/// Whether a process has these bytes anywhere in memory that it can write to.
fn holds(pid: u32, needle: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its maps");
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).expect("its memory: it is our child");
    maps.lines().any(|line| {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            return false;
        };
        // The variables that it was started with are the kernel's to keep.
        if !rights.starts_with("rw") || line.ends_with("[stack]") {
            return false;
        }
        let Some((from, to)) = range.split_once('-') else {
            return false;
        };
        let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap_or_default();
        let (from, to) = (number(from), number(to));
        let mut bytes = vec![0; (to - from) as usize];
        memory.seek(SeekFrom::Start(from)).is_ok()
            && memory.read_exact(&mut bytes).is_ok()
            && bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn a_secret_deleted_from_its_file_is_gone_from_memory_after_the_reload() {
    let setup = Setup::new(
        "sources:
  one: { provider: github, secrets: [{ name: old, file: \"{dir}/old\" }, { name: new, file: \"{dir}/new\" }] }
",
    );
    let (old, new) = ("canary-file-of-the-old-4be1", "canary-file-of-the-new-77ac");
    fs::write(setup.path().join("old"), old).expect("written");
    fs::write(setup.path().join("new"), new).expect("written");
    let gateway = setup.start();
    assert_eq!(signed(&gateway, "/in/one", old, b"{}").status, 200);
    assert!(holds(gateway.pid(), new.as_bytes()), "the search finds what is in use");
    let before = gateway.log().matches("configuration taken").count();
    let text = fs::read_to_string(gateway.config()).expect("the configuration");
    let entry = format!("{{ name: old, file: \"{}\" }}, ", gateway.path("old").display());
    assert!(text.contains(&entry));
    fs::write(gateway.config(), text.replace(&entry, "")).expect("written");
    gateway.wait_for("the change is taken", |g| {
        g.log().matches("configuration taken").count() > before
    });
    assert_eq!(signed(&gateway, "/in/one", old, b"{}").status, 401);
    assert_eq!(signed(&gateway, "/in/one", new, b"{}").status, 200);
    gateway.wait_for("nothing of it is left", |g| !holds(g.pid(), old.as_bytes()));
}
