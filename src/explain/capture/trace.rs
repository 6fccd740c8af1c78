//! What curl shows of a request: `-v` (headers alone), `--trace-ascii` and `--trace` (the body too).

use super::{CaptureError, Captured, Note, message};

pub(super) fn read(text: &[u8]) -> Result<Vec<Captured>, CaptureError> {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().map(without_time).collect();
    if lines.iter().any(|line| line.starts_with("=> Send header")) {
        return Ok(traced(&lines));
    }
    Ok(verbose(&lines))
}

/// `--trace-time` puts a time of day in front.
fn without_time(line: &str) -> &str {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    match line.split_once(' ') {
        Some((time, rest)) if time.len() >= 8 && time.contains(':') && !time.ends_with(':') && digits(time) => rest,
        _ => line,
    }
}

/// `> POST /in/github HTTP/1.1`, and the headers behind it. The body is not shown.
fn verbose(lines: &[&str]) -> Vec<Captured> {
    let mut requests = Vec::new();
    let mut head: Vec<&str> = Vec::new();
    for line in lines {
        match line
            .strip_prefix('>')
            .map(|rest| rest.strip_prefix(' ').unwrap_or(rest))
        {
            Some("") => {
                requests.extend((!head.is_empty()).then(|| message::head(std::mem::take(&mut head).into_iter())))
            }
            Some(rest) => head.push(rest),
            None => {}
        }
    }
    if !head.is_empty() {
        requests.push(message::head(head.into_iter()));
    }
    requests
}

/// What was sent, put together again. Each line says how far from the start of its block it is.
fn traced(lines: &[&str]) -> Vec<Captured> {
    let mut requests: Vec<Captured> = Vec::new();
    let mut block: Option<Block> = None;
    for line in lines.iter().copied().chain(["== end"]) {
        let starts = ["=> ", "<= ", "== "].iter().any(|mark| line.starts_with(mark));
        if !starts {
            if let Some(block) = &mut block {
                block.line(line);
            }
            continue;
        }
        if let Some(done) = block.take() {
            done.end(&mut requests);
        }
        if let Some(rest) = line.strip_prefix("=> Send ") {
            let size = rest
                .split(", ")
                .nth(1)
                .and_then(|text| text.split(' ').next()?.parse().ok());
            block = Some(Block {
                is_body: rest.starts_with("data"),
                size: size.unwrap_or(0),
                bytes: Vec::new(),
                lossy: false,
            });
        }
    }
    requests
}

struct Block {
    is_body: bool,
    size: usize,
    bytes: Vec<u8>,
    lossy: bool,
}

impl Block {
    /// `0010: 7b 22 61 22 …  {"a"` or `0010: {"a"`.
    fn line(&mut self, line: &str) {
        let Some((offset, rest)) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, ""))) else {
            return;
        };
        let Ok(offset) = usize::from_str_radix(offset, 16) else {
            return;
        };
        // `--trace-ascii` ends a line at a CRLF, and shows it by the next offset alone.
        if offset == self.bytes.len() + 2 {
            self.bytes.extend(b"\r\n");
        }
        match hex_line(rest, self.size.saturating_sub(offset).min(16)) {
            Some(bytes) => self.bytes.extend(bytes),
            None => {
                self.lossy |= rest.contains('.');
                self.bytes.extend(rest.as_bytes());
            }
        }
    }

    fn end(mut self, requests: &mut Vec<Captured>) {
        if self.bytes.len() + 2 == self.size {
            self.bytes.extend(b"\r\n");
        }
        if !self.is_body {
            let text = String::from_utf8_lossy(&self.bytes).into_owned();
            let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            let mut request = message::head(lines.into_iter());
            request.body = Some(Vec::new());
            requests.push(request);
            return;
        }
        let Some(request) = requests.last_mut() else { return };
        if self.bytes.len() < self.size {
            request.notes.push(Note::BodyCut);
        }
        if self.lossy {
            request.notes.push(Note::BodyShownLossily);
        }
        request.body.get_or_insert_default().extend(self.bytes);
    }
}

/// `--trace`: exactly this many bytes in hex, then the same as text.
fn hex_line(rest: &str, length: usize) -> Option<Vec<u8>> {
    let bytes: Option<Vec<u8>> = (0..length)
        .map(|index| {
            let at = index * 3;
            let digits = rest.get(at..at + 2)?;
            let ends = rest.get(at + 2..at + 3)? == " ";
            u8::from_str_radix(digits, 16).ok().filter(|_| ends)
        })
        .collect();
    bytes.filter(|bytes| !bytes.is_empty())
}
