//! Where the real brokers are. `scripts/test` starts them and says so in the environment.

use std::path::PathBuf;
use std::process::Command;

/// An address that the tests cannot do without.
pub fn required(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with `scripts/test`, which starts the brokers"))
}

pub fn kafka() -> String {
    required("HOOKSLUICE_TEST_KAFKA")
}

pub fn rabbitmq() -> String {
    required("HOOKSLUICE_TEST_RABBITMQ")
}

/// A file of the test authority: `ca.pem`, `client.pem`, `client.key`.
pub fn tls(file: &str) -> PathBuf {
    PathBuf::from(required("HOOKSLUICE_TEST_TLS_DIR")).join(file)
}

/// Runs one of Kafka's own command-line tools against the test broker.
pub fn kafka_tool(class: &str, arguments: &[&str]) -> String {
    let libs = required("HOOKSLUICE_TEST_KAFKA_LIBS");
    let output = Command::new("java")
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
        .output()
        .expect("java runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{class} {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

pub fn create_topic(topic: &str, arguments: &[&str]) {
    let mut all = vec!["--create", "--topic", topic];
    all.extend(arguments);
    kafka_tool("org.apache.kafka.tools.TopicCommand", &all);
}

/// Runs RabbitMQ's own command-line tool against the test broker.
pub fn rabbitmqctl(arguments: &[&str]) -> String {
    let program = required("HOOKSLUICE_TEST_RABBITMQCTL");
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
