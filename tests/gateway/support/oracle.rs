//! Programs of others, asked line by line: vendors' kits that sign, and hosts that serve keys.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::needed;

/// A Node program of `tests/oracles`, talked to in lines.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    name: String,
}

impl Program {
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let node = std::env::var("HOOKSLUICE_TEST_NODE").unwrap_or_else(|_| "node".into());
        let mut child = Command::new(node)
            .arg(format!("{}/tests/oracles/{script}", env!("CARGO_MANIFEST_DIR")))
            .args(arguments)
            .env("HOOKSLUICE_TEST_NODE_MODULES", needed("HOOKSLUICE_TEST_NODE_MODULES"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().expect("piped")),
            child,
            name: script.into(),
        }
    }

    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("open until dropped");
        writeln!(input, "{line}").unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).expect("lines");
        assert!(read > 0, "{} ended; what it said is above", self.name);
        line.trim_end().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both end with their input.
        self.input.take();
        let _ = self.child.wait();
    }
}

/// A delivery, signed by a vendor's kit.
pub struct Delivery {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub url: Option<String>,
    /// What a source is configured with: for a key pair, the public key.
    pub secret: String,
    /// In place of the platform's (SNS).
    pub certificate: Option<String>,
}

impl Delivery {
    pub fn headers(&self) -> Vec<(&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}

/// `tests/oracles/sign.mjs`.
pub struct Kits(Program);

impl Kits {
    pub fn start() -> Self {
        Self(Program::start("sign.mjs", &[]))
    }

    /// `more`: further members of the request, such as `url` and `id`.
    pub fn sign(&mut self, kit: &str, secret: &str, headers: &[(&str, &str)], body: &[u8], more: Value) -> Delivery {
        let mut request = json!({
            "provider": kit,
            "secret": secret,
            "headers": headers.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
            "body": STANDARD.encode(body),
            "timestamp": super::sign::now(),
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        self.0.tell(&request.to_string());
        let answer: Value = serde_json::from_str(&self.0.hear()).expect("JSON");
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let headers = answer["headers"].as_object().expect("headers");
        Delivery {
            headers: headers
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().expect("a text").into()))
                .collect(),
            body: STANDARD.decode(text("body").expect("a body")).expect("base64"),
            url: text("url"),
            secret: text("secret").unwrap_or_default(),
            certificate: text("certificate"),
        }
    }
}

/// `tests/oracles/host.mjs`: the hosts that keys come from, behind a proxy of the gateway's.
pub struct KeyHosts {
    program: Program,
    pub proxy: String,
    pub folder: tempfile::TempDir,
}

impl KeyHosts {
    pub fn start(hosts: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().display().to_string();
        let mut program = Program::start("host.mjs", &[&[place.as_str()], hosts].concat());
        let proxy = program.hear().strip_prefix("proxy=").expect("its address").to_owned();
        Self { program, proxy, folder }
    }

    /// The gateway's `outbound:` line.
    pub fn outbound(&self) -> String {
        format!(
            "outbound: {{ proxy: \"{}\", ca: {}/ca.pem }}\n",
            self.proxy,
            self.folder.path().display()
        )
    }

    pub fn serve(&mut self, url: &str, body: &str) {
        self.program.tell(&json!({ "url": url, "body": body }).to_string());
        while self.program.hear() != "ok" {}
    }

    /// Waits for the next request, and says for which URL.
    pub fn next_request(&mut self) -> String {
        self.program.hear().strip_prefix("got ").expect("a request").to_owned()
    }
}
