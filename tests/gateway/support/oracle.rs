//! Programs of others, asked line by line: vendors' kits that sign, and hosts that serve keys.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::needed;

/// A program of `tests/oracles`, talked to in lines.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    name: String,
}

impl Program {
    pub fn node(script: &str, arguments: &[&str]) -> Self {
        let mut node = Command::new(std::env::var("HOOKSLUICE_TEST_NODE").unwrap_or_else(|_| "node".into()));
        node.env("HOOKSLUICE_TEST_NODE_MODULES", needed("HOOKSLUICE_TEST_NODE_MODULES"));
        Self::start(node, script, arguments)
    }

    fn python(script: &str) -> Self {
        Self::start(Command::new(needed("HOOKSLUICE_TEST_PYTHON")), script, &[])
    }

    fn start(mut command: Command, script: &str, arguments: &[&str]) -> Self {
        let mut child = command
            .arg(format!("{}/tests/oracles/{script}", env!("CARGO_MANIFEST_DIR")))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{script} does not start: {error}"));
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

/// A delivery, signed.
#[derive(Clone)]
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

/// The vendors' kits: one Node process (`tests/oracles/suite.mjs`) and one Python process (`tests/oracles/pypi.py`) for
/// the whole run, each started when it is first asked. They end with this one, for their input does.
pub struct Kits {
    npm: LazyLock<Mutex<Program>>,
    pypi: LazyLock<Mutex<Program>>,
}

pub static KITS: Kits = Kits {
    npm: LazyLock::new(|| Mutex::new(Program::node("suite.mjs", &[]))),
    pypi: LazyLock::new(|| Mutex::new(Program::python("pypi.py"))),
};

impl Kits {
    /// `more`: further members of the request, such as `url` and `id`.
    pub fn sign(&self, kit: &str, secret: &str, headers: &[(&str, &str)], body: &[u8], more: Value) -> Delivery {
        let mut request = json!({
            "sign": kit,
            "secret": secret,
            "headers": headers.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
            "body": STANDARD.encode(body),
            "timestamp": super::sign::now(),
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        let answer = ask(&self.npm, &request);
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

    /// What a kit's check says to a delivery: nothing where it accepts it, else why not.
    pub fn verdict(&self, is_npm: bool, mut asked: Value, body: &[u8]) -> Result<(), String> {
        asked["body"] = STANDARD.encode(body).into();
        let answer = ask(if is_npm { &self.npm } else { &self.pypi }, &asked);
        let why = answer["why"].as_str().unwrap_or_default();
        answer["accepted"]
            .as_bool()
            .expect("a verdict")
            .then_some(())
            .ok_or_else(|| why.to_owned())
    }
}

fn ask(program: &Mutex<Program>, request: &Value) -> Value {
    // A test that failed while it asked leaves no half line behind.
    let mut program = program.lock().unwrap_or_else(PoisonError::into_inner);
    program.tell(&request.to_string());
    serde_json::from_str(&program.hear()).expect("JSON")
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
        let mut program = Program::node("host.mjs", &[&[place.as_str()], hosts].concat());
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
