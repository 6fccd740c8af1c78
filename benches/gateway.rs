//! What a delivery costs: µs of the server's CPU, over HTTP, with 64 connections, in one run.
//!
//! `cargo bench` prints a table; `cargo bench -- kafka` one row beside the bare one. The server is a process of its own; its CPU time is
//! read from `/proc` before and after. Kafka and RabbitMQ take part where `HOOKSLUICE_TEST_KAFKA` and
//! `HOOKSLUICE_TEST_RABBITMQ` name them (`scripts/bench` starts them).

mod load;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use hmac::{Hmac, KeyInit, Mac};
use load::Load;
use sha2::Sha256;

const CONNECTIONS: usize = 64;
const WARM_UP: usize = 20_000;
const SECRET: &str = "benchmark";

fn main() {
    if std::env::args().any(|argument| argument == "--bare-server") {
        return bare::serve();
    }
    let deliveries = number("HOOKSLUICE_BENCH_DELIVERIES", 200_000).next_multiple_of(10);
    let body = push(7 * 1024);
    println!(
        "GitHub push of {} bytes, {CONNECTIONS} connections, {deliveries} deliveries a row",
        body.len()
    );
    println!(
        "| server | µs CPU a delivery | above bare actix | deliveries/s | resident MiB at a tenth, at half, at the end |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");

    let only: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |row: &str| only.is_empty() || only.iter().any(|word| word == row);
    let mut bare = None;
    let mut row = |name: &str, mut server: Server, outcome: &str| {
        let load = Load::new(&server.address, "/in/github", &body, &signature(&body));
        // A broker that is not reached at first would make this a row about the spool.
        let ready = (0..500).find_map(|_| match server.counted(outcome) {
            Some(0) => {
                load.run(1, 1);
                std::thread::sleep(std::time::Duration::from_millis(20));
                None
            }
            counted => Some(counted.unwrap_or_default()),
        });
        let ready = ready.unwrap_or_else(|| panic!("{name}: nothing is {outcome}"));
        load.run(CONNECTIONS, WARM_UP.min(deliveries));
        let before = server.cpu_micros();
        let mut seconds = 0.0;
        let resident = [deliveries / 10, deliveries * 4 / 10, deliveries / 2].map(|some| {
            seconds += load.run(CONNECTIONS, some);
            server.resident_mib()
        });
        let micros = (server.cpu_micros() - before) as f64 / deliveries as f64;
        let base = *bare.get_or_insert(micros);
        if let Some(counted) = server.counted(outcome) {
            let sent = WARM_UP.min(deliveries) + deliveries;
            assert_eq!(counted - ready, sent, "{name}: not all were {outcome}");
        }
        println!(
            "| {name} | {micros:.1} | {:+.1} | {:.0} | {} |",
            micros - base,
            deliveries as f64 / seconds,
            resident.map(|mib| mib.to_string()).join(", ")
        );
        server.stop();
    };

    row("bare actix (reads the body, answers 200)", Server::bare(), "");
    if wanted("ignored") {
        row(
            "verified and checked, ignored by a route",
            Server::gateway("", "journal, routes: [{ types: [\"com.github.*\"], ignore: true }]"),
            "ignored",
        );
    }
    if wanted("journal") {
        row("journal", Server::gateway("", "journal"), "journaled");
    }
    if let (true, Ok(address)) = (wanted("kafka"), std::env::var("HOOKSLUICE_TEST_KAFKA")) {
        let topic = format!("bench-{}", std::process::id());
        let destination = format!(
            "destinations: {{ bench: {{ kafka: {{ bootstrap_servers: \"{address}\", topic: \"{topic}\", declare: true }} }} }}"
        );
        row(
            "Kafka (acks=all, linger 1 ms, not compressed)",
            Server::gateway(&destination, "bench"),
            "published",
        );
    }
    if let (true, Ok(url)) = (wanted("rabbitmq"), std::env::var("HOOKSLUICE_TEST_RABBITMQ")) {
        let exchange = format!("bench-{}", std::process::id());
        let destination = format!(
            "destinations: {{ bench: {{ rabbitmq: {{ url: \"{url}\", exchange: \"{exchange}\", routing_key: bench, declare: true }}, quarantine: {{ exchange: \"dlq.{exchange}\" }} }} }}"
        );
        let server = Server::gateway(&destination, "bench");
        load::bind_queue(&url, &exchange);
        row("RabbitMQ (confirms, persistent)", server, "published");
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// The sample push, with whitespace and members of its repository left out until it is not larger than that.
fn push(bytes: usize) -> Vec<u8> {
    let sample = include_str!("../schemas/github/samples/push.json");
    let mut push: serde_json::Value = serde_json::from_str(sample).expect("the sample is JSON");
    let mut body = serde_json::to_vec(&push).expect("it serialises");
    while body.len() > bytes {
        let repository = push["repository"].as_object_mut().expect("a push has a repository");
        let address = repository
            .keys()
            .rev()
            .find(|name| name.ends_with("_url") && *name != "html_url");
        repository.remove(&address.expect("it has addresses to spare").clone());
        body = serde_json::to_vec(&push).expect("it serialises");
    }
    body
}

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

struct Server {
    child: Child,
    address: String,
    /// None: a server that counts nothing.
    admin: Option<String>,
    _directory: Option<tempfile::TempDir>,
}

impl Server {
    fn bare() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("--bare-server");
        Self::spawn(command, None)
    }

    fn gateway(destinations: &str, destination: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = format!(
            "ingress: {{ listen: 127.0.0.1:0, drain_delay: 0s }}\nadmin: {{ listen: 127.0.0.1:0 }}\n\
             journal: {{ path: {}/data/journal.db }}\n{destinations}\n\
             sources: {{ github: {{ provider: github, secrets: [{{ value: {SECRET} }}], destination: {destination} }} }}\n",
            directory.path().display()
        );
        let path = directory.path().join("hooksluice.yaml");
        std::fs::write(&path, config).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hooksluice"));
        command.args(["serve", "--config"]).arg(path);
        Self::spawn(command, Some(directory))
    }

    /// The first line that the server prints names its addresses: `ingress=http://… admin=http://…`.
    fn spawn(mut command: Command, directory: Option<tempfile::TempDir>) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let named = |line: &str, name: &str| Some(line.split_once(name)?.1.split_whitespace().next()?.to_owned());
        let (address, admin) = loop {
            let line = lines.next().expect("the server names its address").expect("text");
            if let Some(address) = named(&line, "ingress=http://") {
                break (address, named(&line, "admin=http://"));
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address,
            admin,
            _directory: directory,
        }
    }

    /// Deliveries that ended so.
    fn counted(&self, outcome: &str) -> Option<usize> {
        let metrics = load::get(self.admin.as_ref()?, "/metrics");
        let line = metrics
            .lines()
            .find(|line| line.starts_with("hooksluice_deliveries_total") && line.contains(&format!("\"{outcome}\"")));
        Some(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0))
    }

    /// User and system time; a clock tick is 10 ms.
    fn cpu_micros(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the server runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
        (ticks(11) + ticks(12)) * 10_000
    }

    fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse::<u64>().ok())
            .expect("a number")
            / 1024
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What actix itself costs: reads the body, answers 200.
mod bare {
    use actix_web::{App, HttpResponse, HttpServer, web};

    #[actix_web::main]
    pub async fn serve() {
        let app = || {
            let limit = web::PayloadConfig::new(1 << 20);
            App::new()
                .app_data(limit)
                .default_service(web::to(|_body: web::Bytes| async { HttpResponse::Ok().finish() }))
        };
        let server = HttpServer::new(app).workers(2).bind(("127.0.0.1", 0)).expect("bound");
        println!("ingress=http://{}", server.addrs()[0]);
        server.run().await.expect("served");
    }
}
