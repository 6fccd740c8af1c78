//! Where the real brokers are. `scripts/test` starts them and says so in the environment.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::needed;

pub fn kafka() -> String {
    needed("HOOKSLUICE_TEST_KAFKA")
}

pub fn rabbitmq() -> String {
    needed("HOOKSLUICE_TEST_RABBITMQ")
}

/// A file of the test authority: `ca.pem`, `client.pem`, `client.key`.
pub fn tls(file: &str) -> PathBuf {
    PathBuf::from(needed("HOOKSLUICE_TEST_TLS_DIR")).join(file)
}

/// Runs one of Kafka's own command-line tools against the test broker.
pub fn kafka_tool(class: &str, arguments: &[&str]) -> String {
    kafka_tool_with_input(class, arguments, "")
}

pub fn kafka_tool_with_input(class: &str, arguments: &[&str], input: &str) -> String {
    let libs = needed("HOOKSLUICE_TEST_KAFKA_LIBS");
    let mut tool = Command::new("java")
        .args([
            "-Xmx128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &format!("{libs}/*"),
            class,
        ])
        .args(["--bootstrap-server", &kafka()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java runs");
    tool.stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes())
        .expect("written");
    let output = tool.wait_with_output().expect("java ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{class} {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", kafka())
        .create()
        .expect("a client")
}

/// Creates a topic and waits until it is known everywhere.
pub async fn create_topic(topic: &str, partitions: i32, config: &[(&str, &str)]) {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in config {
        new = new.set(name, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    for created in admin().create_topics([&new], &options).await.expect("an answer") {
        created.expect("created");
    }
}

pub async fn delete_topic(topic: &str) {
    for deleted in admin()
        .delete_topics(&[topic], &AdminOptions::new())
        .await
        .expect("an answer")
    {
        deleted.expect("deleted");
    }
}

pub fn topics() -> Vec<String> {
    let admin = admin();
    let metadata = admin
        .inner()
        .fetch_metadata(None, Duration::from_secs(10))
        .expect("an answer");
    metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
}

/// Runs RabbitMQ's own command-line tool against the test broker.
pub fn rabbitmqctl(arguments: &[&str]) -> String {
    let program = needed("HOOKSLUICE_TEST_RABBITMQCTL");
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("rabbitmqctl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "rabbitmqctl {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

static RABBITMQ: RwLock<()> = RwLock::const_new(());

/// Hold this while a test needs RabbitMQ as it is: none of those that change the whole node runs meanwhile.
pub async fn calm() -> RwLockReadGuard<'static, ()> {
    RABBITMQ.read().await
}

/// Hold this while a test changes the whole RabbitMQ node: a memory alarm, a limit.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    RABBITMQ.write().await
}
