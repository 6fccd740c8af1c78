//! The catalogue is true, and the linter would notice if it were not.

use std::path::Path;

use hooksluice::lint::{Finding, lint};
use hooksluice::provider::Catalogue;
use jiff::civil::{Date, date};

const TODAY: Date = date(2027, 1, 1);

#[test]
fn the_built_in_catalogue_is_true() {
    let catalogue = Catalogue::built_in();
    let findings = lint(&catalogue, &catalogue.names(), TODAY);
    let said: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", said.len(), said.join("\n"));
}

const PROVIDER: &str = r#"title = "Acme"
category = "devops"
docs = "https://docs.acme.example/webhooks#signatures"
read = "2026-11-24"
confidence = "documented"
evidence = "Section Signatures of the page."
domain = "com.acme"

[secret]
hint = "Signing secret on the page of the webhook"

[timestamp]
from = { header = "Acme-Time" }
format = "unix"
tolerance = "5m"

[[signature]]
scheme = "hmac"
algorithm = "sha256"
from = { header = "Acme-Signature" }
content = ["timestamp", ".", "body"]

[event]
type = [{ json = "/type" }]
id = [{ json = "/id" }]

[answer]
deadline = "10s"
success = "2xx"
retries = "not stated"
on_4xx = "not stated"
"#;

const BODY: &str = r#"{"id":"evt_1","type":"order.paid","total":12}"#;

const SCHEMA: &str =
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["id","type"]}"#;

const SECRET: &str = "a-secret-of-the-samples";

fn signature(content: &[u8]) -> String {
    hex::encode(crate::support::sign::hmac_sha256(SECRET.as_bytes(), &[content]))
}

/// The sample, signed here over what it says.
fn sample() -> String {
    let signature = signature(format!("1796115600.{BODY}").as_bytes());
    format!(
        "event = \"order.paid\"\nbody = \"order.paid.json\"\n[request.headers]\nContent-Type = \"application/json\"\n\
         [signed]\nat = \"2026-12-01T09:00:00Z\"\nsecret = \"{SECRET}\"\n[signed.headers]\nAcme-Time = \"1796115600\"\nAcme-Signature = \"{signature}\"\n"
    )
}

struct Folder(tempfile::TempDir);

impl Folder {
    /// A provider in which nothing is wrong.
    fn good() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.write("acme/provider.toml", PROVIDER);
        folder.write("acme/default/1.json", SCHEMA);
        folder.write("acme/samples/order.paid.json", BODY);
        folder.write("acme/samples/order.paid.toml", &sample());
        folder
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("folders");
        std::fs::write(path, text).expect("written");
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(file)).expect("there");
        assert!(text.contains(from), "`{from}` is not in {file}");
        self.write(file, &text.replace(from, to));
    }

    fn lint(&self) -> Vec<Finding> {
        let catalogue = Catalogue::with_overlays(&[self.0.path().to_path_buf()]).expect("readable");
        lint(&catalogue, &Catalogue::names_in(self.0.path()), TODAY)
    }

    fn said(&self) -> String {
        self.lint()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

#[test]
fn a_true_provider_has_no_finding() {
    assert_eq!(Folder::good().said(), "");
}

/// Each mistake alone, in an otherwise true provider; where it must be named, and the words.
#[test]
fn each_planted_mistake_is_found_where_it_is() {
    const TOML: &str = "acme/provider.toml";
    const SAMPLE: &str = "acme/samples/order.paid.toml";
    type Mistake = (&'static str, &'static str, &'static str, &'static str, &'static str);
    let mistakes: [Mistake; 27] = [
        (TOML, "[timestamp]", "[timestmp]", TOML, "unknown field `timestmp`"),
        (TOML, "\"hmac\"", "\"hmca\"", TOML, "signature[0].scheme"),
        (
            TOML,
            "\"timestamp\", \".\", \"body\"",
            "\"timestamp\", \".\", \"bdoy\"",
            TOML,
            "unknown part `bdoy`; did you mean `body`?",
        ),
        (
            TOML,
            "docs = \"https://docs.acme.example/webhooks#signatures\"",
            "docs = \"their page\"",
            TOML,
            "docs: not the address of a page",
        ),
        (
            TOML,
            "read = \"2026-11-24\"",
            "read = \"24.11.2026\"",
            TOML,
            "read: not a day",
        ),
        (
            TOML,
            "read = \"2026-11-24\"",
            "read = \"2027-11-24\"",
            TOML,
            "read: 2027-11-24 is yet to come",
        ),
        (
            TOML,
            "confidence = \"documented\"\n",
            "",
            TOML,
            "missing field `confidence`",
        ),
        (TOML, "Section Signatures of the page.", " ", TOML, "evidence: empty"),
        (
            TOML,
            "com.acme",
            "Acme Inc",
            TOML,
            "domain: `Acme Inc` is no reverse domain",
        ),
        (
            TOML,
            "hint = \"Signing secret on the page of the webhook\"",
            "",
            TOML,
            "signature[0]: no hint for its secret",
        ),
        (
            TOML,
            "deadline = \"10s\"",
            "deadline = \"10\"",
            TOML,
            "answer.deadline: `10` is not a duration",
        ),
        (TOML, "on_4xx = \"not stated\"", "", TOML, "answer.on_4xx: empty"),
        (
            TOML,
            "[secret]\n",
            "[secret]\nencoding = \"hex\"\n",
            SAMPLE,
            "cannot be decoded; expected hex",
        ),
        (
            TOML,
            "\"timestamp\", \".\", \"body\"",
            "\"body\"",
            SAMPLE,
            "does not verify at 2026-12-01T09:00:00Z",
        ),
        (
            TOML,
            "json = \"/id\"",
            "json = \"/event_id\"",
            TOML,
            "event.id: finds nothing in any sample",
        ),
        (
            TOML,
            "json = \"/type\"",
            "json = \"/kind\"",
            SAMPLE,
            "its type is found nowhere",
        ),
        (
            SAMPLE,
            "event = \"order.paid\"",
            "event = \"order.made\"",
            SAMPLE,
            "is said to be `order.made`, and the definition finds `order.paid`",
        ),
        (
            SAMPLE,
            "secret = \"a-secret",
            "secret = \"b-secret",
            SAMPLE,
            "does not verify",
        ),
        (
            SAMPLE,
            "body = \"order.paid.json\"",
            "body = \"order.json\"",
            SAMPLE,
            "there is no file `order.json` beside it",
        ),
        (SAMPLE, "[signed.headers]", "[signed.header]", SAMPLE, "header"),
        (
            SAMPLE,
            "[signed.headers]\n",
            "[signed.headers]\nAcme-Id = \"17\"\n",
            SAMPLE,
            "`Acme-Id` can be changed and nothing notices",
        ),
        (
            SAMPLE,
            "2026-12-01T09:00:00Z",
            "2026-12-01T09:10:00Z",
            SAMPLE,
            "genuine but stale",
        ),
        ("acme/samples/order.paid.json", "12", "13", SAMPLE, "does not verify"),
        (
            "acme/default/1.json",
            "\"object\"",
            "\"objekt\"",
            "acme/default/1.json",
            "at /type",
        ),
        (
            "acme/default/1.json",
            "\"id\",",
            "\"id\",\"customer\",",
            SAMPLE,
            "breaks urn:hooksluice:contract:acme:default:1 at /",
        ),
        (
            "acme/default/1.json",
            "{\"$schema\"",
            "{\"$ref\":\"https://other.example/1.json\",\"$schema\"",
            "acme/default/1.json",
            "at",
        ),
        (
            TOML,
            "scheme = \"hmac\"\nalgorithm = \"sha256\"\nfrom = { header = \"Acme-Signature\" }\ncontent = [\"timestamp\", \".\", \"body\"]",
            "scheme = \"none\"",
            SAMPLE,
            "secret",
        ),
    ];
    for (file, from, to, place, words) in mistakes {
        let folder = Folder::good();
        folder.replace(file, from, to);
        let findings = folder.lint();
        let found = findings.iter().any(|finding| {
            finding.place == folder.path(place).display().to_string() && finding.problem.contains(words)
        });
        assert!(
            found,
            "`{to}` in {file}: `{words}` is not said of {place}:\n{}",
            folder.said()
        );
    }
}

#[test]
fn a_body_that_is_not_signed_is_found() {
    let folder = Folder::good();
    folder.replace(
        "acme/provider.toml",
        "content = [\"timestamp\", \".\", \"body\"]",
        "content = [\"timestamp\", \".\", { json = \"/id\" }]",
    );
    let by_id = signature(b"1796115600.evt_1");
    let old = signature(format!("1796115600.{BODY}").as_bytes());
    folder.replace("acme/samples/order.paid.toml", &old, &by_id);
    // A member is signed: that much is said by the definition, and holds.
    assert_eq!(folder.said(), "");
    folder.replace(
        "acme/provider.toml",
        "{ json = \"/id\" }",
        "{ header = \"Content-Type\" }",
    );
    let other = signature(b"1796115600.application/json");
    folder.replace("acme/samples/order.paid.toml", &by_id, &other);
    let said = folder.said();
    assert!(said.contains("its signature covers nothing of the body"), "{said}");
}

#[test]
fn a_tolerance_for_a_time_that_is_not_signed_is_found() {
    let folder = Folder::good();
    folder.replace("acme/provider.toml", "\"timestamp\", \".\", \"body\"", "\"body\"");
    let of = |text: String| signature(text.as_bytes());
    folder.replace(
        "acme/samples/order.paid.toml",
        &of(format!("1796115600.{BODY}")),
        &of(BODY.into()),
    );
    let said = folder.said();
    assert!(said.contains("timestamp"), "{said}");
}

#[test]
fn what_is_missing_is_named() {
    let without = |file: &str| {
        let folder = Folder::good();
        let path = folder.path(file);
        if Path::new(&path).is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        }
        .expect("removed");
        folder.said()
    };
    let said = without("acme/default");
    assert!(said.contains("no schema; add one at least"), "{said}");
    let said = without("acme/samples");
    assert!(said.contains("no signed sample; record one"), "{said}");
    let folder = Folder::good();
    folder.write("acme/order.paid.json", "{}");
    folder.write("acme/sample/order.toml", "");
    let said = folder.said();
    for file in ["acme/order.paid.json", "acme/sample/order.toml"] {
        assert!(said.contains(&format!("{file}: nothing reads this file")), "{said}");
    }
}

/// Without a sample a definition is compiled all the same.
#[test]
fn a_definition_without_a_sample_is_looked_at_too() {
    let folder = Folder::good();
    std::fs::remove_dir_all(folder.path("acme/samples")).expect("removed");
    folder.replace("acme/provider.toml", "\"body\"]", "\"bdoy\"]");
    folder.replace("acme/provider.toml", "json = \"/id\"", "json = \"id\"");
    let said = folder.said();
    assert!(
        said.contains("unknown part `bdoy`") && said.contains("event.id"),
        "{said}"
    );
}

#[test]
fn a_body_without_a_signature_is_held_against_its_contract() {
    let folder = Folder::good();
    folder.write(
        "acme/samples/order.made.json",
        "{\"id\":\"evt_2\",\"type\":\"order.made\"}",
    );
    assert_eq!(folder.said(), "");
    folder.write("acme/samples/order.made.json", "{\"type\":\"order.made\"}");
    let said = folder.said();
    assert!(
        said.contains("order.made.json: breaks urn:hooksluice:contract:acme:default:1"),
        "{said}"
    );
}

#[test]
fn two_that_differ_only_in_name_share_a_base() {
    let folder = Folder::good();
    let copy = |to: &str, text: &str| {
        folder.write(&format!("{to}/provider.toml"), text);
        folder.write(&format!("{to}/default/1.json"), SCHEMA);
        folder.write(&format!("{to}/samples/order.paid.json"), BODY);
        folder.write(&format!("{to}/samples/order.paid.toml"), &sample());
    };
    let renamed = PROVIDER
        .replace("Acme\"", "Bolt\"")
        .replace("com.acme", "io.bolt")
        .replace("Section", "Passage");
    copy("bolt", &renamed);
    let said = folder.said();
    for words in [
        "acme/provider.toml: differs from `bolt` only in name and prose; share one definition: `extends = \"bolt\"`",
        "bolt/provider.toml: differs from `acme` only in name and prose; share one definition: `extends = \"acme\"`",
    ] {
        assert!(said.contains(words), "{said}");
    }
    copy("bolt", "extends = \"acme\"\ntitle = \"Bolt\"\ndomain = \"io.bolt\"\n");
    assert_eq!(folder.said(), "");
    copy("bolt", &renamed.replace("Acme-Signature", "Bolt-Signature"));
    folder.replace("bolt/samples/order.paid.toml", "Acme-Signature", "Bolt-Signature");
    assert_eq!(folder.said(), "", "another header is another provider");
}

#[test]
fn nothing_is_fetched_for_keys_that_a_sample_does_not_bring() {
    let folder = tempfile::tempdir().expect("a folder");
    let samples = folder.path().join("google-pubsub-push/samples");
    std::fs::create_dir_all(&samples).expect("folders");
    let toml = std::fs::read_to_string("schemas/google-pubsub-push/samples/message.toml").expect("there");
    let (before, keys) = toml.split_once("[signed.keys]").expect("keys");
    let rest = keys
        .split_once("\n[signed.")
        .map(|(_, rest)| format!("[signed.{rest}"))
        .unwrap_or_default();
    std::fs::write(samples.join("message.toml"), format!("{before}{rest}")).expect("written");
    let catalogue = Catalogue::with_overlays(&[folder.path().to_path_buf()]).expect("readable");
    let findings = lint(&catalogue, &["google-pubsub-push".into()], TODAY);
    assert!(
        findings.iter().any(|finding| finding
            .problem
            .contains("give what their URL served under `[signed.keys]`")),
        "{findings:?}"
    );
}
