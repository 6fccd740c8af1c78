//! The socket beside the journal: who may use it, and its life.

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{setup, source};
use crate::support::gateway::Setup;
use crate::support::{Gateway, http};

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the gateway listens");
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn get(socket: &Path, path: &str) -> String {
    ask(
        socket,
        &format!("GET {path} HTTP/1.1\r\nhost: hooksluice\r\nconnection: close\r\n\r\n"),
    )
}

const REQUEST: &[u8] = br#"{"from":"quarantine","dry_run":true}"#;

fn post(gateway: &Gateway, path: &str, token: Option<&str>) -> u16 {
    let token = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(token.as_deref().map(|token| ("authorization", token)));
    http::post(&format!("{}{path}", gateway.admin), &headers, REQUEST).status
}

#[test]
fn it_opens_every_admin_route_to_the_files_owner_alone_and_goes_at_exit() {
    let gateway = setup(&source("")).start();
    let socket = gateway.path("hooksluice.db.sock");
    let metadata = socket.symlink_metadata().expect("it is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    for path in ["/metrics", "/readyz", "/deliveries"] {
        assert!(get(&socket, path).starts_with("HTTP/1.1 200 "), "{path}");
    }
    let body = String::from_utf8_lossy(REQUEST).into_owned();
    let answer = ask(
        &socket,
        &format!(
            "POST /replay HTTP/1.1\r\nhost: hooksluice\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"say\":\"end\""),
        "{answer}"
    );
    assert_eq!(http::get(&format!("{}/deliveries", gateway.admin)).status, 403);
    assert_eq!(post(&gateway, "/replay", None), 403);
    assert_eq!(post(&gateway, "/prune", None), 403);
    let directory = gateway.directory.clone();
    let (status, _) = gateway.stop();
    assert!(status.success());
    assert!(!socket.exists());
    drop(directory);
}

#[test]
fn the_admin_listener_takes_the_same_commands_with_the_token() {
    let gateway = setup(&(format!("admin: {{ listen: 127.0.0.1:0, token: {} }}\n", "t0ken") + &source(""))).start();
    assert_eq!(post(&gateway, "/replay", None), 401);
    assert_eq!(post(&gateway, "/replay", Some("wrong")), 401);
    assert_eq!(post(&gateway, "/replay", Some("t0ken")), 200);
}

#[test]
fn a_dead_process_s_socket_is_replaced() {
    let yaml = source("");
    let directory = setup(&yaml).start().kill();
    let socket = directory.path().join("hooksluice.db.sock");
    assert!(socket.symlink_metadata().is_ok(), "nobody took it away");
    assert!(UnixStream::connect(&socket).is_err());
    let gateway = Setup::new(&yaml).directory(directory).start();
    assert!(get(&socket, "/readyz").starts_with("HTTP/1.1 200 "));
    drop(gateway);
}
