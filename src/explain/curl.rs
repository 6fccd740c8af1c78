//! What curl was told, and what it says that it did.

use super::capture::{Capture, CaptureError, Fields};

/// Options that take a value and say nothing about the request.
const WITH_VALUE: [&str; 14] = [
    "-o", "--output", "-m", "--max-time", "--connect-timeout", "--retry", "--cacert", "--cert", "--key", "--resolve", "-w", "--write-out", "-x", "--proxy",
];

/// A command line, as a shell would read it.
pub(super) fn command(text: &str, file: &dyn Fn(&str) -> std::io::Result<Vec<u8>>) -> Result<Capture, CaptureError> {
    let words = words(text.trim_start_matches("$ "))?;
    let (mut method, mut url, mut headers) = (None, None, Fields::new());
    let (mut body, mut is_form) = (None::<Vec<u8>>, false);
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        let (option, attached) = split(&word);
        let mut value = || attached.clone().or_else(|| words.next()).ok_or_else(|| CaptureError(format!("curl's `{option}` lacks its value")));
        match option.as_str() {
            "-X" | "--request" => method = Some(value()?),
            "-H" | "--header" => {
                let line = value()?;
                let (name, value) = line.split_once(':').ok_or_else(|| CaptureError(format!("curl's header `{line}` has no colon")))?;
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            "-A" | "--user-agent" => headers.push(("User-Agent".into(), value()?)),
            "--url" => url = Some(value()?),
            "-d" | "--data" | "--data-ascii" | "--data-raw" | "--data-binary" | "--json" => {
                let text = value()?;
                let data = match text.strip_prefix('@').filter(|_| option != "--data-raw") {
                    Some(path) => {
                        let bytes = file(path).map_err(|error| CaptureError(format!("cannot read `{path}`, which curl was to send: {error}")))?;
                        // Without `--data-binary` curl leaves line breaks of a file out.
                        let keeps = matches!(option.as_str(), "--data-binary" | "--json");
                        if keeps { bytes } else { bytes.into_iter().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect() }
                    }
                    None => text.into_bytes(),
                };
                is_form |= option != "--json";
                match &mut body {
                    Some(body) => {
                        body.push(b'&');
                        body.extend(data);
                    }
                    None => body = Some(data),
                }
                if option == "--json" {
                    headers.push(("Content-Type".into(), "application/json".into()));
                }
            }
            option if WITH_VALUE.contains(&option) => drop(value()?),
            option if option.starts_with('-') && option.len() > 1 => {}
            _ => url = Some(word),
        }
    }
    let url = url.ok_or_else(|| CaptureError("the curl command names no URL".into()))?;
    if is_form && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("Content-Type".into(), "application/x-www-form-urlencoded".into()));
    }
    let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.into());
    Capture::new(&method, &url, headers, body.unwrap_or_default())
}

/// `--data=x` and `-Hname: value` hold their value themselves.
fn split(word: &str) -> (String, Option<String>) {
    if let Some((option, value)) = word.split_once('=').filter(|(option, _)| option.starts_with("--") && !option.contains(' ')) {
        return (option.to_owned(), Some(value.to_owned()));
    }
    match (word.get(..2), word.get(2..)) {
        (Some(option @ ("-H" | "-X" | "-d")), Some(value)) if !value.is_empty() => (option.to_owned(), Some(value.to_owned())),
        _ => (word.to_owned(), None),
    }
}

/// Words of a POSIX shell: quotes, escapes, `$'…'`, and lines joined by a backslash.
fn words(text: &str) -> Result<Vec<String>, CaptureError> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut characters = text.chars().peekable();
    let unclosed = || CaptureError("a quote of the curl command is not closed".into());
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or_else(unclosed)? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                }
            }
            '$' if characters.peek() == Some(&'\'') => {
                characters.next();
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or_else(unclosed)? {
                        '\'' => break,
                        '\\' => word.push(match characters.next().ok_or_else(unclosed)? {
                            'n' => '\n',
                            'r' => '\r',
                            't' => '\t',
                            'u' => {
                                let digits: String = characters.by_ref().take(4).collect();
                                u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
                            }
                            other => other,
                        }),
                        inside => word.push(inside),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or_else(unclosed)? {
                        '"' => break,
                        '\\' => match characters.next().ok_or_else(unclosed)? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            '\n' => {}
                            other => word.extend(['\\', other]),
                        },
                        inside => word.push(inside),
                    }
                }
            }
            '\\' => match characters.next() {
                Some('\n') | None => {}
                Some('\r') => drop(characters.next_if_eq(&'\n')),
                Some(other) => word.get_or_insert_default().push(other),
            },
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// `curl -v`: what goes out stands behind `> `; the body is not shown.
pub(super) fn verbose(text: &str) -> Result<Capture, CaptureError> {
    let head: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix('>')).map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let mut capture = from_head(&head.join("\n"), Vec::new())?;
    capture.notes.push("`curl -v` does not show the body: capture with `--trace FILE`, which has every byte".into());
    Ok(capture)
}

/// `curl --trace` (every byte in hex) or `--trace-ascii` (text, with dots for what does not print).
pub(super) fn trace(text: &str) -> Result<Capture, CaptureError> {
    let (mut head, mut body, mut ascii) = (Vec::new(), Vec::new(), false);
    let mut into: Option<&mut Vec<u8>> = None;
    let is_new = |line: &str| ["== ", "=> ", "<= "].iter().any(|mark| line.contains(mark)) && !is_dump(line);
    for line in text.lines() {
        if is_new(line) {
            into = if line.contains("=> Send header") {
                Some(&mut head)
            } else if line.contains("=> Send data") {
                Some(&mut body)
            } else {
                None
            };
        } else if let (Some(into), Some((_, dump))) = (into.as_deref_mut(), line.split_once(": ")) {
            match hex_line(dump) {
                Some(bytes) => into.extend(bytes),
                None => {
                    ascii = true;
                    into.extend_from_slice(dump.as_bytes());
                    if std::ptr::eq(into, &head) {
                        into.push(b'\n');
                    }
                }
            }
        } else if let Some(into) = into.as_deref_mut().filter(|_| is_dump(line)) {
            // An empty line of `--trace-ascii`.
            into.push(b'\n');
        }
    }
    let mut capture = from_head(&String::from_utf8_lossy(&head), body)?;
    if ascii {
        capture.notes.push("`--trace-ascii` shows dots for what does not print, and loses line breaks: `--trace` has every byte".into());
    }
    Ok(capture)
}

/// `0000: …`.
fn is_dump(line: &str) -> bool {
    line.split_once(':').is_some_and(|(offset, _)| offset.len() >= 4 && offset.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `50 4f 53 54 …  POST`: up to sixteen bytes, then the same as text.
fn hex_line(dump: &str) -> Option<Vec<u8>> {
    let columns = dump.get(..dump.len().min(48))?;
    let mut bytes = Vec::new();
    for pair in columns.split(' ').take_while(|pair| !pair.is_empty()) {
        bytes.push(u8::from_str_radix(Some(pair).filter(|pair| pair.len() == 2)?, 16).ok()?);
    }
    (!bytes.is_empty()).then_some(bytes)
}

fn from_head(head: &str, body: Vec<u8>) -> Result<Capture, CaptureError> {
    let mut lines = head.lines().filter(|line| !line.trim().is_empty());
    let request: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let [method, target, ..] = request[..] else {
        return Err(CaptureError("the curl trace shows no request line".into()));
    };
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    Capture::new(method, target, headers.collect(), body)
}
