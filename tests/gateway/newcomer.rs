//! One more platform, without Rust: from `providers new` along the linter to green, as a newcomer types it.

use std::path::Path;
use std::process::Command;

use crate::support::gateway::BINARY;

struct Newcomer(tempfile::TempDir);

impl Newcomer {
    fn run(&self, line: &str) -> (i32, String) {
        let output = Command::new(BINARY)
            .args(line.split(' '))
            .current_dir(self.0.path())
            .env_remove("HOOKSLUICE_CONFIG")
            .env("TEST_KEY", "a-key-of-the-tests")
            .env("TEST_STANDARD", "whsec_YS1rZXktb2YtdGhlLXRlc3Rz")
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().expect("it exits"), said)
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join(file)
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(file)).expect("there");
        assert!(text.contains(from), "`{from}` is not in {file}:\n{text}");
        std::fs::write(self.path(file), text.replace(from, to)).expect("written");
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).expect("written");
    }

    /// What a definition asks for, filled in.
    fn fill(&self, file: &str) {
        self.replace(file, "docs = \"\"", "docs = \"https://docs.acme.example/webhooks\"");
        self.replace(file, "read = \"\"", "read = \"2026-11-24\"");
        self.replace(
            file,
            "evidence = \"\"",
            "evidence = \"Section Signatures of the page; signed by ourselves.\"",
        );
        self.replace(
            file,
            "hint = \"\"",
            "hint = \"Signing secret on the page of the webhook\"",
        );
        self.replace(file, "success = \"\"", "success = \"2xx\"");
        self.replace(file, "retries = \"\"", "retries = \"not stated\"");
        self.replace(file, "on_4xx = \"\"", "on_4xx = \"not stated\"");
    }
}

fn newcomer() -> Newcomer {
    Newcomer(tempfile::tempdir().expect("a folder"))
}

#[test]
fn a_copied_definition_is_led_to_green() {
    let newcomer = newcomer();
    let (code, said) = newcomer.run("providers new acme --from typeform --path schemas");
    assert_eq!(code, 0, "{said}");
    let definition = std::fs::read_to_string(newcomer.path("schemas/acme/provider.toml")).expect("written");
    assert!(
        !definition.to_lowercase().contains("typeform.com") && !definition.contains("extends"),
        "{definition}"
    );
    let (code, said) = newcomer.run("providers lint --path schemas acme");
    assert_eq!(code, 1, "{said}");
    for words in [
        "docs: ",
        "read: ",
        "evidence: ",
        "hint",
        "answer.retries",
        "no signed sample; record one",
    ] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    newcomer.fill("schemas/acme/provider.toml");
    newcomer.replace(
        "schemas/acme/provider.toml",
        "\"Typeform-Signature\"",
        "\"Acme-Signature\"",
    );
    let sample = std::fs::read_dir(newcomer.path("schemas/acme/samples")).expect("samples");
    let body = sample
        .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.extension().is_some_and(|kind| kind == "json")))
        .next()
        .expect("a body");
    let event = body.file_stem().expect("a name").to_string_lossy().into_owned();
    let toml = std::fs::read_to_string(body.with_extension("toml")).expect("the sheet");
    let headers: Vec<String> = toml
        .lines()
        .skip_while(|line| *line != "[request.headers]")
        .skip(1)
        .take_while(|line| line.contains(" = "))
        .map(|line| line.replace(" = ", ": ").replace('"', ""))
        .collect();
    let text = std::fs::read_to_string(&body).expect("the body");
    newcomer.write(
        "capture.http",
        &format!(
            "POST /hook HTTP/1.1\nHost: hooks.example.com\nAuthorization: Bearer private\nCookie: session=private\n\
             X-Amzn-Oidc-Data: private\nX-Forwarded-Client-Cert: private\nUser-Agent: Acme/1\n{}\n\n{text}",
            headers.join("\n")
        ),
    );

    let record = format!("providers record acme {event} capture.http --path schemas --secret-env TEST_KEY");
    let (code, said) = newcomer.run(&record);
    assert_eq!(
        (code, said.contains("acme-signature")),
        (1, true),
        "what does not verify is explained: {said}"
    );
    let (code, said) = newcomer.run(&format!("{record} --sign"));
    assert_eq!(code, 0, "{said}");
    let (code, again) = newcomer.run(&format!("{record} --sign"));
    assert_eq!(
        (code, again.contains("holds a recorded delivery")),
        (2, true),
        "{again}"
    );
    let (code, said) = newcomer.run("providers lint --path schemas acme");
    assert_eq!(code, 0, "{said}");
    let recorded = std::fs::read_to_string(body.with_extension("toml")).expect("the sheet");
    assert!(
        recorded.contains("Signed by ourselves") && !recorded.contains("host") && !recorded.contains("private"),
        "{recorded}"
    );
    assert_eq!(std::fs::read_to_string(&body).expect("the body"), text, "byte for byte");

    let (code, said) = newcomer.run(&format!(
        "sign acme {event} --path schemas --secret-env TEST_KEY --to http://127.0.0.1:1/in/acme"
    ));
    assert_eq!((code, said.contains("curl -X POST")), (0, true), "{said}");
}

#[test]
fn a_standard_is_extended() {
    let newcomer = newcomer();
    let (code, said) = newcomer.run("providers new acme-hooks --from standard-webhooks --path schemas");
    assert_eq!(code, 0, "{said}");
    let file = "schemas/acme-hooks/provider.toml";
    let definition = std::fs::read_to_string(newcomer.path(file)).expect("written");
    assert!(
        definition.contains("extends = \"standard-webhooks\"") && definition.contains("title = \"Acme Hooks\""),
        "{definition}"
    );
    newcomer.fill(file);
    let (code, said) = newcomer.run("providers lint --path schemas acme-hooks");
    assert_eq!((code, said.lines().count()), (1, 2), "only the sample is left: {said}");
    assert!(said.contains("no signed sample"), "{said}");
    let samples = newcomer.path("schemas/acme-hooks/samples");
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let event = std::fs::read_dir(&samples)
        .expect("samples")
        .map(|entry| name(&entry.expect("an entry").path()))
        .next()
        .expect("one");
    let body = std::fs::read_to_string(samples.join(format!("{event}.json"))).expect("a body");
    newcomer.write(
        "capture.http",
        &format!("POST /hook HTTP/1.1\nContent-Type: application/json\nWebhook-Id: msg_2\n\n{body}"),
    );
    let (code, said) = newcomer.run(&format!(
        "providers record acme-hooks {event} capture.http --path schemas --secret-env TEST_STANDARD --sign"
    ));
    assert_eq!(code, 0, "{said}");
    let (code, said) = newcomer.run("providers lint --path schemas acme-hooks");
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_cannot_be_made_is_said() {
    let newcomer = newcomer();
    for (line, words) in [
        ("providers new Acme --from stripe", "small letters"),
        ("providers new ../x --from stripe", "small letters"),
        ("providers new github --from stripe", "already"),
        ("providers new acme --from strpe", "did you mean `stripe`?"),
        ("providers new acme --from hmac", "without a definition"),
        ("providers record stripe x --secret-env TEST_KEY", "--path DIR"),
        (
            "providers record stripe ../x --path . --secret-env TEST_KEY",
            "cannot be the name of a sample",
        ),
    ] {
        let (code, said) = newcomer.run(line);
        assert_eq!((code, said.contains(words)), (2, true), "{line}: {said}");
    }
    assert!(!newcomer.path("schemas").exists(), "nothing was made");
}
