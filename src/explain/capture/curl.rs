//! A curl command, as it is typed, or copied out of a browser's or a platform's page.

use super::{CaptureError, Captured};

pub(super) fn read(command: &str, file: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<Captured, CaptureError> {
    let malformed = |what: &str| CaptureError::Malformed(format!("curl command: {what}"));
    let words = words(command).ok_or_else(|| malformed("a quote is not closed"))?;
    let mut captured = Captured::default();
    let mut body: Option<Vec<u8>> = None;
    let (mut get, mut json) = (false, false);
    let mut words = words.into_iter().skip_while(|word| word != "curl").skip(1);
    while let Some(word) = words.next() {
        let (option, attached) = split(&word);
        let mut value = || {
            let value = attached.clone().or_else(|| words.next());
            value.ok_or_else(|| malformed(&format!("`{option}` has no value")))
        };
        let mut append = |data: Vec<u8>| {
            let whole = body.get_or_insert_default();
            if !whole.is_empty() {
                whole.push(b'&');
            }
            whole.extend(data);
        };
        let from_file = |name: &str| file(name).map_err(|error| malformed(&error));
        match option.as_str() {
            "-X" | "--request" => captured.method = value()?,
            "-H" | "--header" => {
                let line = value()?;
                if let Some((name, value)) = line.split_once(':') {
                    captured.headers.push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
            "-A" | "--user-agent" => captured.headers.push(("User-Agent".into(), value()?)),
            "-u" | "--user" => {
                use base64::Engine;
                let basic = base64::engine::general_purpose::STANDARD.encode(value()?);
                captured
                    .headers
                    .push(("Authorization".into(), format!("Basic {basic}")));
            }
            "--url" => captured.url = value()?,
            "-G" | "--get" => get = true,
            "--data-binary" => {
                let data = value()?;
                append(match data.strip_prefix('@') {
                    Some(name) => from_file(name)?,
                    None => data.into_bytes(),
                });
            }
            "-d" | "--data" | "--data-ascii" => {
                let data = value()?;
                append(match data.strip_prefix('@') {
                    // Line breaks of a file are taken out, as curl does.
                    Some(name) => from_file(name)?
                        .into_iter()
                        .filter(|byte| !b"\r\n".contains(byte))
                        .collect(),
                    None => data.into_bytes(),
                });
            }
            "--data-raw" => append(value()?.into_bytes()),
            "--json" => {
                json = true;
                let data = value()?;
                let data = match data.strip_prefix('@') {
                    Some(name) => from_file(name)?,
                    None => data.into_bytes(),
                };
                body.get_or_insert_default().extend(data);
            }
            "-F" | "--form" | "--data-urlencode" | "-T" | "--upload-file" => {
                return Err(malformed(&format!(
                    "`{option}` makes a body that the command does not show; give the body with `--body FILE`"
                )));
            }
            // Those of the others that take a value.
            "-o" | "--output" | "-x" | "--proxy" | "-m" | "--max-time" | "--connect-timeout" | "-b" | "--cookie"
            | "-e" | "--referer" | "-w" | "--write-out" | "--cacert" | "--cert" | "-E" | "--key" | "--resolve"
            | "--retry" | "-K" | "--config" | "-D" | "--dump-header" | "--trace" | "--trace-ascii" | "--stderr"
            | "--interface" | "--unix-socket" | "--limit-rate" => {
                value()?;
            }
            other if other.starts_with('-') => {}
            _ => captured.url = word,
        }
    }
    let has = |captured: &Captured, name: &str| {
        captured
            .headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    if body.is_some() && !has(&captured, "content-type") {
        let kind = if json {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        captured.headers.push(("Content-Type".into(), kind.into()));
    }
    if let (true, Some(data)) = (get, body.take_if(|_| get)) {
        let separator = if captured.url.contains('?') { '&' } else { '?' };
        captured.url = format!("{}{separator}{}", captured.url, String::from_utf8_lossy(&data));
    }
    if captured.method.is_empty() {
        captured.method = if body.is_some() { "POST" } else { "GET" }.into();
    }
    captured.body = Some(body.unwrap_or_default());
    Ok(captured)
}

/// `--name=value` and `-Xvalue` apart.
fn split(word: &str) -> (String, Option<String>) {
    if word.starts_with("--") {
        return match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word.to_owned(), None),
        };
    }
    let takes_value = ["-X", "-H", "-d", "-u", "-A"];
    match takes_value
        .iter()
        .find(|option| word.starts_with(**option) && word.len() > 2)
    {
        Some(option) => ((*option).to_owned(), Some(word[2..].to_owned())),
        None => (word.to_owned(), None),
    }
}

/// Words as a POSIX shell splits them, and bash's `$'…'`, which browsers write. `None`: a quote is not closed.
///
/// Only what a copied command holds: nothing is expanded, and what comes after the command (`|`, `;`) is not looked for.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('\n') | None => {}
                Some('\r') => _ = rest.next_if_eq(&'\n'),
                Some(c) => word.get_or_insert_default().push(c),
            },
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => match rest.next()? {
                            '\n' => {}
                            c if "\"\\$`".contains(c) => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '$' if rest.peek() == Some(&'\'') => {
                rest.next();
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        '\\' => word.push(escape(&mut rest)?),
                        c => word.push(c),
                    }
                }
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// What stands behind a backslash in `$'…'`.
fn escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    let most = match rest.next()? {
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'u' => 4,
        'x' => 2,
        c => return Some(c),
    };
    let mut value = 0;
    for _ in 0..most {
        let Some(digit) = rest.peek().and_then(|c| c.to_digit(16)) else {
            break;
        };
        value = value * 16 + digit;
        rest.next();
    }
    char::from_u32(value)
}
