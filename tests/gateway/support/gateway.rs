//! The gateway as a user runs it: the binary, a configuration file, two ports.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::http::{self, Reply};

/// Far more than anything here takes; only a hang meets it.
const HANG: Duration = Duration::from_secs(60);

pub const BINARY: &str = env!("CARGO_BIN_EXE_hooksluice");

pub struct Gateway {
    child: Option<Child>,
    /// `http://127.0.0.1:port`
    pub ingress: String,
    pub admin: String,
    pub directory: Arc<tempfile::TempDir>,
    log: Arc<Mutex<String>>,
}

/// A configuration on its way to a running gateway.
pub struct Setup {
    yaml: String,
    env: Vec<(String, String)>,
    directory: Arc<tempfile::TempDir>,
}

impl Setup {
    /// `{dir}` in the text is a directory of this gateway's own.
    pub fn new(yaml: &str) -> Self {
        Self {
            yaml: yaml.into(),
            env: Vec::new(),
            directory: Arc::new(tempfile::tempdir().expect("a directory")),
        }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts again on what an earlier gateway left.
    pub fn directory(mut self, directory: Arc<tempfile::TempDir>) -> Self {
        self.directory = directory;
        self
    }

    /// The directory of this gateway's own.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn write(&self) -> PathBuf {
        let path = self.directory.path().join("hooksluice.yaml");
        let listeners = "ingress: { listen: 127.0.0.1:0, drain_delay: 0s }\nadmin: { listen: 127.0.0.1:0 }\n";
        let mut yaml = self.yaml.replace("{dir}", &self.directory.path().display().to_string());
        for line in listeners.lines() {
            let key = line.split(':').next().expect("a key");
            if !yaml.lines().any(|l| l.starts_with(&format!("{key}:"))) {
                yaml = format!("{line}\n{yaml}");
            }
        }
        if !yaml.lines().any(|line| line.starts_with("journal:")) {
            yaml = format!(
                "journal: {{ path: {}/hooksluice.db }}\n{yaml}",
                self.directory.path().display()
            );
        }
        std::fs::write(&path, yaml).expect("the configuration is written");
        path
    }

    /// Starts `serve` and waits until it listens.
    pub fn start(self) -> Gateway {
        let path = self.write();
        let mut command = Command::new(BINARY);
        command
            .args(["serve", "--config"])
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.envs(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Gateway::spawn(command, self.directory)
    }

    /// Expects `serve` to refuse: its exit code and what it said.
    pub fn refuse(self) -> (i32, String) {
        let path = self.write();
        let output = Command::new(BINARY)
            .args(["serve", "--config"])
            .arg(&path)
            .envs(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .output()
            .expect("the binary runs");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

impl Gateway {
    pub fn start(yaml: &str) -> Self {
        Setup::new(yaml).start()
    }

    fn spawn(mut command: Command, directory: Arc<tempfile::TempDir>) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let sink = log.clone();
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                sink.lock().expect("not poisoned").push_str(&line);
                line.clear();
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (mut ingress, mut admin) = (String::new(), String::new());
        let mut line = String::new();
        while ingress.is_empty() || admin.is_empty() {
            line.clear();
            if stdout.read_line(&mut line).unwrap_or(0) == 0 {
                let _ = child.wait();
                std::thread::sleep(Duration::from_millis(100));
                panic!("the gateway did not start:\n{}", log.lock().expect("not poisoned"));
            }
            for word in line.split_whitespace() {
                if let Some(url) = word.strip_prefix("ingress=") {
                    ingress = url.to_owned();
                }
                if let Some(url) = word.strip_prefix("admin=") {
                    admin = url.to_owned();
                }
            }
        }
        // Whatever it prints later must not fill the pipe.
        std::thread::spawn(move || drop(stdout.read_to_end(&mut Vec::new())));
        Self {
            child: Some(child),
            ingress,
            admin,
            directory,
            log,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.ingress)
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        http::post(&self.url(path), headers, body)
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    pub fn config(&self) -> PathBuf {
        self.directory.path().join("hooksluice.yaml")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    pub fn metrics(&self) -> String {
        http::get(&format!("{}/metrics", self.admin)).text().to_owned()
    }

    /// Sum of all samples of `name` whose labels contain every one of `labels` (`source="a"`).
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.metrics()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| series.split('{').next() == Some(name))
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }

    /// Asks again until it holds; a hang fails with what was last seen.
    pub fn wait_for(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(
                started.elapsed() < HANG,
                "never came true: {what}\n{}\n{}",
                self.metrics(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Events of the journal, oldest first.
    pub fn journal(&self) -> Vec<JournalRow> {
        journal_rows(&self.path("hooksluice.db"), "events")
    }

    pub fn quarantine(&self) -> Vec<JournalRow> {
        journal_rows(&self.path("hooksluice.db"), "quarantine")
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill {signal}");
    }

    /// SIGTERM, and its exit.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal("-TERM");
        let mut child = self.child.take().expect("running");
        let status = child.wait().expect("it ends");
        std::thread::sleep(Duration::from_millis(50));
        (status, self.log())
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Arc<tempfile::TempDir> {
        let mut child = self.child.take().expect("running");
        child.kill().expect("killed");
        child.wait().expect("it ends");
        self.directory.clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A row as `sqlite3` shows it to an operator.
#[derive(Debug)]
pub struct JournalRow {
    pub id: String,
    pub kind: String,
    pub attributes: serde_json::Value,
    pub data: Vec<u8>,
}

pub fn journal_rows(path: &Path, table: &str) -> Vec<JournalRow> {
    let connection = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("the journal opens");
    let mut statement = connection
        .prepare(&format!("SELECT id, type, attributes, data FROM {table} ORDER BY seq"))
        .expect("the table is there");
    statement
        .query_map([], |row| {
            let attributes: String = row.get(2)?;
            Ok(JournalRow {
                id: row.get(0)?,
                kind: row.get(1)?,
                attributes: serde_json::from_str(&attributes).expect("attributes are JSON"),
                data: row.get(3)?,
            })
        })
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("rows")
}
