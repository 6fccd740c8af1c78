//! What the configuration promises: it loads what it should, and says everything that is wrong with the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hooksluice::config::{self, Loaded, Problem};

/// A configuration file in a folder of its own.
struct Case {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

impl Case {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            environment: BTreeMap::new(),
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("folders");
        std::fs::write(&path, text).expect("a written file");
        path
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// With a journal, where the text has none.
    fn load(&self, yaml: &str) -> Result<Loaded, Vec<Problem>> {
        let journal = if yaml.contains("journal:") || !yaml.contains("sources:") {
            ""
        } else {
            "journal: {}\n"
        };
        self.load_without_journal(&format!("{journal}{yaml}"))
    }

    fn load_without_journal(&self, yaml: &str) -> Result<Loaded, Vec<Problem>> {
        let path = self.file("hooksluice.yaml", yaml);
        self.load_file(&path)
    }

    fn load_file(&self, path: &Path) -> Result<Loaded, Vec<Problem>> {
        config::load_with(Some(path), self.environment.clone())
    }
}

fn loads(yaml: &str) -> Loaded {
    Case::new()
        .load(yaml)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn problems(yaml: &str) -> Vec<Problem> {
    match Case::new().load(yaml) {
        Ok(_) => panic!("loaded, and should not: {yaml}"),
        Err(problems) => problems,
    }
}

/// The only problem, as an operator reads it.
fn problem(yaml: &str) -> String {
    let problems = problems(yaml);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].to_string()
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

const LOCAL: &str = "{ provider: github, secrets: [{ value: s3cret }] }";

#[test]
fn an_empty_file_has_good_defaults() {
    let loaded = loads("");
    assert_eq!(loaded.config.ingress.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(loaded.config.admin.listen.to_string(), "127.0.0.1:9090");
    assert!(
        loaded.config.journal.is_none(),
        "nothing is kept on a disk that nobody named"
    );
    assert!(loaded.sources.is_empty());
}

#[test]
fn a_source_gets_what_its_provider_says() {
    let loaded = loads(&format!("sources: {{ gh: {LOCAL} }}"));
    let source = &loaded.sources[0];
    assert_eq!(
        (&*source.name, source.path.as_str(), &*source.provider),
        ("gh", "/in/gh", "github")
    );
    assert_eq!(source.body_limit.as_u64(), 25 << 20);
    assert_eq!(source.ack_budget.as_millis(), 1500);
    assert_eq!(&*source.destination, "journal");
    assert_eq!(source.answer_status, 200);
    assert!(source.schemas.iter().any(|schema| schema.event == "push"));
    assert_eq!(&*source.secrets[0].name, "1");
}

#[test]
fn toml_says_the_same_as_yaml() {
    let case = Case::new();
    let path = case.file(
        "hooksluice.toml",
        "[journal]\n[sources.gh]\nprovider = \"github\"\nsecrets = [{ value = \"x\", name = \"old\" }]\n",
    );
    let loaded = case.load_file(&path).expect("it loads");
    assert_eq!(&*loaded.sources[0].secrets[0].name, "old");
}

#[test]
fn keys_with_dots_stay_one_key() {
    let loaded = loads(
        "destinations: { s: { kafka: { bootstrap_servers: b:1, topic: t, properties: { compression.type: lz4, linger.ms: 5 } } } }",
    );
    let kafka = loaded.config.destinations["s"].kafka.as_ref().expect("kafka");
    let keys: Vec<_> = kafka.properties.keys().map(String::as_str).collect();
    assert_eq!(keys, ["compression.type", "linger.ms"]);
}

#[test]
fn the_environment_overrides_the_file() {
    let case = Case::new()
        .env("HOOKSLUICE__INGRESS__LISTEN", "127.0.0.1:7000")
        .env("HOOKSLUICE__INGRESS__MAX_IN_FLIGHT", "7")
        .env("HOOKSLUICE__INGRESS__TRUSTED_PROXIES", "[10.0.0.0/8, 192.0.2.1]")
        .env("HOOKSLUICE__SOURCES__GH__PATH", "/github")
        .env("HOOKSLUICE_CONFIG", "not a setting")
        .env("HOOKSLUICE__ADMIN__LISTEN", "");
    let loaded = case
        .load(&format!("ingress: {{ listen: 0.0.0.0:1 }}\nsources: {{ gh: {LOCAL} }}"))
        .expect("it loads");
    assert_eq!(loaded.config.ingress.listen.to_string(), "127.0.0.1:7000");
    assert_eq!(loaded.config.ingress.max_in_flight, 7);
    assert_eq!(loaded.config.ingress.trusted_proxies.len(), 2);
    assert_eq!(
        loaded.config.admin.listen.to_string(),
        "127.0.0.1:9090",
        "an empty variable counts as not set"
    );
    assert_eq!(loaded.sources[0].path, "/github");
}

#[test]
fn a_source_can_come_from_the_environment_alone() {
    let case = Case::new()
        .env("HOOKSLUICE__SOURCES__GH__PROVIDER", "github")
        .env("HOOKSLUICE__JOURNAL__PATH", "x.db")
        .env("HOOKSLUICE__SOURCES__GH__SECRETS", "[{ value: abc, name: one }]");
    let loaded = config::load_with(None, case.environment.clone()).expect("it loads");
    assert_eq!(loaded.sources[0].secrets[0].secret.expose(), b"abc");
}

#[test]
fn a_password_of_digits_from_the_environment_stays_as_it_is() {
    let case = Case::new().env("HOOKSLUICE__ADMIN__TOKEN", "0012300");
    let loaded = case.load("").expect("it loads");
    assert_eq!(loaded.admin_token.expect("a token").expose(), b"0012300");
}

#[test]
fn an_unknown_variable_is_named() {
    let case = Case::new().env("HOOKSLUICE__INGRESS__LISTN", "x");
    let problems = case.load("").expect_err("a typing error");
    assert_says(
        &problems[0].to_string(),
        &["ingress.listn", "HOOKSLUICE__INGRESS__LISTN", "`listen`"],
    );
}

#[test]
fn every_unknown_key_is_named_with_its_place_and_the_nearest() {
    let problems = problems(
        "ingres: {}\ningress: { listn: x, max_in_flihgt: 3 }\nsources: { gh: { provider: github, secrts: [], secrets: [{ value: x, nam: y }] } }",
    );
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let all = said.join("\n");
    assert_says(&all, &["ingres: unknown key; did you mean `ingress`?"]);
    assert_says(
        &all,
        &[
            "ingress.listn: unknown key; did you mean `listen`?",
            "ingress.max_in_flihgt: unknown key; did you mean `max_in_flight`?",
        ],
    );
    assert_says(
        &all,
        &[
            "sources.gh.secrts: unknown key; did you mean `secrets`?",
            "sources.gh.secrets[0].nam: unknown key; did you mean `name`?",
        ],
    );
}

#[test]
fn what_would_take_no_delivery_or_say_nothing_is_refused() {
    let problems = problems(
        "ingress: { workers: 0, max_in_flight: 0, body_timeout: 0s, ack_budget: 0s }
log: { level: verbose }
",
    );
    let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for place in ["workers", "max_in_flight", "body_timeout", "ack_budget"] {
        assert_says(&all, &[&format!("ingress.{place}: is 0")]);
    }
    assert_says(&all, &["log.level: `verbose` is no level"]);
    assert_eq!(problems.len(), 5, "{all}");
    loads("log: { level: 'warn,hooksluice=debug' }");
}

/// `0123` is 123 to YAML: a secret that nobody wrote.
#[test]
fn a_secret_that_yaml_takes_for_a_number_is_refused_and_not_shown() {
    for value in ["0123", "1e3", "true", "987654321"] {
        let said = problem(&format!(
            "sources: {{ a: {{ provider: github, secrets: [{{ value: {value} }}] }} }}"
        ));
        assert_says(&said, &["sources.a.secrets", "put it in quotes"]);
        assert!(!said.contains(value), "{said}");
    }
    loads("sources: { a: { provider: github, secrets: [{ value: '0123' }] } }");
}

#[test]
fn problems_of_every_kind_are_found_at_once() {
    let problems = problems(
        "ingress: { public_url: 'ftp://x', tls: { certificate: /no/such.crt, key: /no/such.key } }
schemas: { paths: [/no/such/folder] }
destinations: { s: { kafka: { bootstrap_servers: b, topic: '{sauce}' } } }
sources:
  a: { provider: githb, secrets: [{ env: HOOKSLUICE_TEST_NOT_SET }], destination: steam, path: /x }
  b: { provider: github, secrets: [{ file: /no/such/secret }], path: /x, routes: [{ types: [com.gitlab.push], ignore: true }, { types: [com.github.push] }] }
",
    );
    let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_says(
        &all,
        &[
            "ingress.public_url: `ftp://x`",
            "ingress.tls.certificate: cannot read `/no/such.crt`",
            "ingress.tls.key: cannot read secret file `/no/such.key`",
            "schemas.paths: cannot read `/no/such/folder`",
            "destinations.s.kafka.topic: `{sauce}`: no placeholder is called `{sauce}`; did you mean `{source}`?",
            "sources.a.provider: unknown provider `githb`; did you mean `github`?",
            "sources.a.secrets[0]: environment variable `HOOKSLUICE_TEST_NOT_SET` is not set",
            "sources.a.destination: unknown destination `steam`",
            "sources.b.path: `/x` is the path of `sources.a` too",
            "sources.b.secrets[0]: cannot read secret file `/no/such/secret`",
            "sources.b.routes[0].types: `com.gitlab.push` matches no event of this source",
            "sources.b.routes[1]: leads nowhere",
        ],
    );
    assert_eq!(problems.len(), 12, "{all}");
}

#[test]
fn an_unknown_destination_names_the_nearest() {
    let said = problem(
        "destinations: { stream: { kafka: { bootstrap_servers: b, topic: t } } }\nsources: { gh: { provider: github, secrets: [{ value: x }], destination: steam } }",
    );
    assert_says(&said, &["sources.gh.destination", "did you mean `stream`?", "journal"]);
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let said = problem("sources: { gh: { provider: github, secrets: hunter2 } }");
    assert!(!said.contains("hunter2"), "{said}");
    assert_says(&said, &["sources.gh.secrets", "expected a sequence"]);
    let said = problem("sources: { gh: { provider: github, secrets: [4711] } }");
    assert!(!said.contains("4711"), "{said}");
    assert_says(&said, &["sources.gh.secrets[0]", "invalid type: integer, expected"]);
}

#[test]
fn a_file_that_cannot_be_parsed_is_not_quoted() {
    let yaml = |text: &str| Case::new().load(text).expect_err("no YAML")[0].to_string();
    let toml = |text: &str| {
        let case = Case::new();
        let path = case.file("hooksluice.toml", text);
        case.load_file(&path).expect_err("no TOML")[0].to_string()
    };
    let cases = [
        (yaml("admin:\n  token: hunter2: x"), "line 2 column"),
        (yaml("{ hunter2: 1, hunter2: 2 }"), "duplicated key"),
        (yaml("a: { { value: hunter2 }: x }"), "cannot be read"),
        (yaml("hunter2"), "cannot be read"),
        (toml("[admin]\ntoken = \"hunter2"), "line 2 column"),
        (toml("[admin]\ntoken = hunter2"), "line 2 column 9"),
        (
            toml("token = \"hunter2\"\ntoken = \"hunter2\""),
            "duplicate key at line 2",
        ),
    ];
    for (said, place) in cases {
        assert!(!said.contains("hunter2"), "{said}");
        assert_says(&said, &["hooksluice.", place, "mend the syntax"]);
    }
}

#[test]
fn two_secrets_of_one_name_are_refused() {
    let said =
        problem("sources: { gh: { provider: github, secrets: [{ name: a, value: x }, { name: a, value: y }] } }");
    assert_says(&said, &["sources.gh.secrets[1]", "`a`"]);
}

#[test]
fn without_a_journal_a_source_needs_a_destination() {
    for journal in ["", "journal: off", "journal: false"] {
        let case = Case::new();
        let problems = case
            .load_without_journal(&format!("{journal}\nsources: {{ gh: {LOCAL} }}"))
            .expect_err(journal);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_says(
            &problems[0].to_string(),
            &["sources.gh.destination", "there is none", "journal: {"],
        );
    }
    assert_eq!(
        loads("journal: {}").config.journal.expect("on").path,
        Path::new("data/hooksluice.db")
    );
}

#[test]
fn names_and_paths_are_checked() {
    for (yaml, word) in [
        (format!("sources: {{ GitHub: {LOCAL} }}"), "`GitHub` is not a name"),
        (format!("sources: {{ unknown: {LOCAL} }}"), "taken in metrics"),
        (
            "destinations: { journal: { kafka: { bootstrap_servers: b, topic: t } } }".into(),
            "taken by the journal",
        ),
        (
            "sources: { gh: { provider: github, path: in/x, secrets: [{ value: x }] } }".into(),
            "`in/x` is not a path",
        ),
        (
            "sources: { gh: { provider: github, answer: { status: 302 }, secrets: [{ value: x }] } }".into(),
            "not a status of success",
        ),
        (
            "sources: { gh: { provider: github, batch: splt, secrets: [{ value: x }] } }".into(),
            "did you mean `split`?",
        ),
        ("ingress: { ack_budget: 5 }".into(), "ingress.ack_budget"),
        ("ingress: { listen: here }".into(), "ingress.listen"),
        ("sources: [a]".into(), "not a table"),
    ] {
        assert_says(&problem(&yaml), &[word]);
    }
}

#[test]
fn an_unreadable_or_broken_file_is_named() {
    let case = Case::new();
    let said = case
        .load_file(&case.folder.path().join("none.yaml"))
        .expect_err("no file")[0]
        .to_string();
    assert_says(&said, &["none.yaml", "cannot read the configuration file"]);
    let said = case.load("a: [").expect_err("no YAML")[0].to_string();
    assert_says(&said, &["hooksluice.yaml"]);
    let said = case.load_file(&case.file("x.ini", "")).expect_err("no format")[0].to_string();
    assert_says(&said, &["x.ini", ".yaml"]);
}

#[test]
fn a_route_takes_whole_types_or_what_is_below() {
    let route = |pattern: &str| hooksluice::config::source::Route {
        types: vec![pattern.into()],
        destination: None,
        ignore: true,
    };
    assert!(route("com.github.push").matches("com.github.push"));
    assert!(!route("com.github.push").matches("com.github.pushed"));
    assert!(route("com.github.star.*").matches("com.github.star.created"));
    assert!(!route("com.github.star.*").matches("com.github.star"));
    assert!(!route("com.github.star.*").matches("com.github.stars.created"));
}

#[test]
fn a_certificate_must_belong_to_its_key() {
    // Without one there is nothing to compare; that the two are compared is shown by rustls itself.
    let case = Case::new();
    let certificate = case.file("tls.crt", "no PEM");
    let key = case.file("tls.key", "no PEM either");
    let yaml = format!(
        "ingress: {{ tls: {{ certificate: '{}', key: '{}' }} }}",
        certificate.display(),
        key.display()
    );
    let problems = case.load(&yaml).expect_err("bad TLS files");
    let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_says(
        &all,
        &[
            "ingress.tls.certificate: no certificate in",
            "ingress.tls.key: no private key",
        ],
    );
}

/// The example of docs/configuration.md, as it stands there.
fn documented_example() -> String {
    let document = std::fs::read_to_string("docs/configuration.md").expect("the document");
    let start = document.find("```yaml\n").expect("an example") + "```yaml\n".len();
    document[start..].split("```").next().expect("its end").to_owned()
}

const EXAMPLE_SECRETS: [(&str, &str); 5] = [
    ("GITHUB_SECRET", "g"),
    ("WHATSAPP_APP_SECRET", "w"),
    ("WHATSAPP_VERIFY_TOKEN", "v"),
    ("LOCAL_SECRET", "whsec_bG9jYWwtZGV2ZWxvcG1lbnQtc2VjcmV0"),
    ("KAFKA_PASSWORD", "k"),
];

#[test]
fn the_documented_example_loads_as_it_stands() {
    let case = Case::new();
    std::fs::create_dir(case.folder.path().join("schemas")).expect("a folder");
    let made = std::process::Command::new("openssl")
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
        ])
        .args(["-keyout", "tls.key", "-out", "tls.crt", "-subj", "/CN=example"])
        .current_dir(case.folder.path())
        .stderr(std::process::Stdio::null())
        .status();
    assert!(made.expect("openssl runs").success());
    let check = |yaml: &str| {
        let output = std::process::Command::new(crate::support::gateway::BINARY)
            .args(["check", "--json", "--config"])
            .arg(case.file("hooksluice.yaml", yaml))
            .envs(EXAMPLE_SECRETS)
            .current_dir(case.folder.path())
            .output()
            .expect("the binary runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), report)
    };
    let example = documented_example();
    let previous = "/run/secrets/github-previous";
    if !Path::new(previous).exists() {
        let (code, report) = check(&example);
        let problems = report["problems"].as_array().expect("problems");
        assert_eq!(
            (code, problems.len()),
            (Some(2), 1),
            "nothing is wrong but a file that is not on this machine: {report}"
        );
        assert_eq!(problems[0]["place"], "sources.github.secrets[1]");
    }
    let here = case.file("previous", "p");
    let (code, report) = check(&example.replace(previous, &here.display().to_string()));
    assert_eq!(
        (code, &report["ok"]),
        (Some(0), &serde_json::Value::Bool(true)),
        "{report}"
    );
}

/// The keys that a table of settings knows, asked of the table itself by a key that nothing has.
fn known_keys(yaml: &str) -> Vec<String> {
    let problems = problems(yaml);
    let unknown = problems
        .iter()
        .find(|problem| problem.place.ends_with("zzz"))
        .unwrap_or_else(|| panic!("{yaml}: {problems:#?}"));
    let known = unknown.remedy.strip_prefix("known here: ").expect("known keys");
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_setting_is_documented_and_every_documented_setting_exists() {
    let document = std::fs::read_to_string("docs/configuration.md").expect("the document");
    let documented: std::collections::BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let mut known = std::collections::BTreeSet::new();
    let source = |rest: &str| format!("sources: {{ s: {{ provider: github, {rest} }} }}");
    let kafka = "bootstrap_servers: b, topic: t";
    let rabbitmq = "url: 'amqp://h/%2f', exchange: e";
    for (place, yaml) in [
        ("ingress", "ingress: { zzz: 1 }".to_owned()),
        (
            "ingress.tls",
            "ingress: { tls: { certificate: c, key: k, zzz: 1 } }".into(),
        ),
        ("admin", "admin: { zzz: 1 }".into()),
        ("log", "log: { zzz: 1 }".into()),
        ("journal", "journal: { zzz: 1 }".into()),
        ("journal.retention", "journal: { retention: { zzz: 1 } }".into()),
        ("journal.spool", "journal: { spool: { zzz: 1 } }".into()),
        ("journal.quarantine", "journal: { quarantine: { zzz: 1 } }".into()),
        ("duplicates", "duplicates: { zzz: 1 }".into()),
        ("outbound", "outbound: { zzz: 1 }".into()),
        ("schemas", "schemas: { zzz: 1 }".into()),
        ("destinations.NAME", "destinations: { d: { zzz: 1 } }".into()),
        (
            "destinations.NAME.kafka",
            format!("destinations: {{ d: {{ kafka: {{ {kafka}, zzz: 1 }} }} }}"),
        ),
        (
            "destinations.NAME.rabbitmq",
            format!("destinations: {{ d: {{ rabbitmq: {{ {rabbitmq}, zzz: 1 }} }} }}"),
        ),
        (
            "destinations.NAME.rabbitmq.tls",
            format!("destinations: {{ d: {{ rabbitmq: {{ {rabbitmq}, tls: {{ zzz: 1 }} }} }} }}"),
        ),
        (
            "destinations.NAME.quarantine",
            "destinations: { d: { quarantine: { zzz: 1 } } }".into(),
        ),
        ("sources.NAME", source("zzz: 1")),
        ("sources.NAME.secrets[]", source("secrets: [{ zzz: 1 }]")),
        ("sources.NAME.contract", source("contract: { zzz: 1 }")),
        ("sources.NAME.routes[]", source("routes: [{ types: [], zzz: 1 }]")),
        ("sources.NAME.answer", source("answer: { zzz: 1 }")),
    ] {
        known.extend(known_keys(&yaml).into_iter().map(|key| format!("{place}.{key}")));
    }
    // Tables are documented by what is in them.
    let tables: Vec<String> = known
        .iter()
        .filter(|key| known.iter().any(|other| other.starts_with(&format!("{key}."))))
        .cloned()
        .collect();
    known.retain(|key| !tables.contains(key));
    let known: std::collections::BTreeSet<_> = known.into_iter().collect();
    assert_eq!(documented, known);
}

/// Waits for the next request to reload; only a hang meets the limit.
async fn next(watch: &mut config::watch::Watch) -> config::watch::Reload {
    tokio::time::timeout(std::time::Duration::from_secs(30), watch.next())
        .await
        .expect("a request to reload")
}

#[tokio::test]
async fn a_changed_file_asks_for_a_reload_and_its_neighbours_do_not() {
    use config::watch::{Reload, Watch};
    let case = Case::new();
    let (file, other) = (
        case.file("hooksluice.yaml", "a"),
        case.file("schemas/github/push/9.json", "{}"),
    );
    let mut watch = Watch::start(&[file.clone(), case.folder.path().join("schemas")]).expect("watching");
    std::fs::write(&file, "b").expect("written");
    assert_eq!(next(&mut watch).await, Reload::Files);
    std::fs::write(&other, "{ }").expect("written");
    assert_eq!(next(&mut watch).await, Reload::Files);
    case.file("hooksluice.db-wal", "the journal lies beside it");
    std::fs::write(&file, "b").expect("written again, and the same");
    let quiet = tokio::time::timeout(std::time::Duration::from_secs(2), watch.next()).await;
    assert!(quiet.is_err(), "nothing that counts has changed");
}

#[tokio::test]
async fn a_swapped_config_map_asks_for_a_reload() {
    use config::watch::{Reload, Watch};
    use std::os::unix::fs::symlink;
    // As kubelet lays it out: the file is a link into `..data`, itself a link that is turned by a rename.
    let case = Case::new();
    let root = case.folder.path();
    case.file("..1/hooksluice.yaml", "old");
    symlink("..1", root.join("..data")).expect("a link");
    symlink("..data/hooksluice.yaml", root.join("hooksluice.yaml")).expect("a link");
    let mut watch = Watch::start(&[root.join("hooksluice.yaml")]).expect("watching");
    case.file("..2/hooksluice.yaml", "new");
    symlink("..2", root.join("..data_tmp")).expect("a link");
    std::fs::rename(root.join("..data_tmp"), root.join("..data")).expect("turned");
    assert_eq!(next(&mut watch).await, Reload::Files);
}

#[test]
fn sighup_reloads_a_running_gateway() {
    let gateway = crate::support::Gateway::start("sources: { gh: { provider: github, secrets: [{ value: x }] } }");
    let taken = |gateway: &crate::support::Gateway| {
        gateway.metric("hooksluice_config_last_reload_success_timestamp_seconds", &[])
    };
    let before = taken(&gateway);
    gateway.signal("-HUP");
    gateway.wait_for("the configuration is taken again", |gateway| taken(gateway) > before);
}
