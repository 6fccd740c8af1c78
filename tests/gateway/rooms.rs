//! The house: a room imports only from rooms above it in `lib.rs`, and nobody branches on a provider's name.

use std::fs;
use std::path::{Path, PathBuf};

fn source_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("src is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    source_files(Path::new("src"), &mut files);
    assert!(files.len() > 20, "src holds the rooms");
    files
}

/// In the order of `lib.rs`.
fn rooms() -> Vec<String> {
    let lib = fs::read_to_string("src/lib.rs").expect("lib.rs");
    let rooms: Vec<String> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert!(rooms.len() > 10, "lib.rs is the map");
    rooms
}

/// `src/http/body.rs` and `src/http.rs` are both in the room `http`.
fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix("src").expect("below src");
    let first = inside
        .components()
        .next()
        .expect("a component")
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Every room that the text names as `crate::room`, also inside `use crate::{a, b}`.
fn named_rooms(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or_default();
            named.extend(
                group
                    .split(',')
                    .map(|item| item.trim().split("::").next().unwrap_or_default().to_owned()),
            );
        } else {
            named.push(
                rest.chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    named
}

#[test]
fn a_room_imports_only_from_rooms_above_it() {
    let rooms = rooms();
    let floor = |room: &str| rooms.iter().position(|r| r == room);
    let mut wrong = Vec::new();
    for path in files() {
        let Some(own) = floor(&room_of(&path)) else { continue };
        let text = fs::read_to_string(&path).expect("text");
        for named in named_rooms(&text) {
            if floor(&named).is_some_and(|other| other > own) {
                wrong.push(format!(
                    "{}: `crate::{named}` is below `{}`",
                    path.display(),
                    rooms[own]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn finds_the_rooms_that_a_file_names() {
    assert_eq!(
        named_rooms("use crate::http::Gateway;\nuse crate::{clock, verify::Proof};"),
        ["http", "clock", "verify"]
    );
}

#[test]
fn every_room_is_on_the_map() {
    let rooms = rooms();
    for path in files() {
        let room = room_of(&path);
        assert!(
            room == "lib" || room == "main" || rooms.contains(&room),
            "{} is in no room of lib.rs",
            path.display()
        );
    }
}

/// A provider is data: what one platform needs is a named scheme, never an `if name == …`.
#[test]
fn no_code_on_a_deliverys_way_names_a_provider() {
    let providers: Vec<String> = fs::read_dir("schemas")
        .expect("schemas")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !["hmac", "token"].contains(&name.as_str()))
        .collect();
    assert!(providers.len() >= 14);
    for path in files() {
        let room = room_of(&path);
        // `quickstart` and `send` offer samples by name; they carry no delivery.
        if room == "cli" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for provider in &providers {
                assert!(!line.contains(&format!("\"{provider}\"")), "{}: {line}", path.display());
            }
        }
    }
}
