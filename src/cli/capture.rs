//! A captured request on the command line: a file or standard input, and what the capture does not say.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::output::{Failure, printable};
use crate::clock::Timestamp;
use crate::explain::capture::{self, Captured};

#[derive(Debug, clap::Args)]
pub struct From {
    /// The captured request: a curl command, the output of `curl -v` or `--trace`, a HAR, raw HTTP, or JSON
    /// [default: standard input]
    file: Option<PathBuf>,
    /// The URL that is registered at the platform [default: the source's, else the captured one]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// When it arrived, RFC 3339 or seconds since 1970 [default: what the capture says, else now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The body, byte for byte, where the capture does not show it.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Which request, from 1, where the capture holds several.
    #[arg(long, value_name = "N")]
    entry: Option<usize>,
}

impl From {
    /// The request, and when it arrived, where that is known.
    pub fn read(&self) -> Result<(Captured, Option<Timestamp>), Failure> {
        let given = self.at.as_deref().map(moment).transpose()?;
        let captured = self.captured()?;
        let at = given.or(captured.at);
        Ok((captured, at))
    }

    fn captured(&self) -> Result<Captured, Failure> {
        let mut bytes = Vec::new();
        let folder = match self.file.as_deref().filter(|path| *path != Path::new("-")) {
            Some(path) => {
                bytes = read(path)?;
                path.parent().unwrap_or(Path::new("")).to_path_buf()
            }
            None => {
                let read = std::io::stdin().read_to_end(&mut bytes);
                read.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
                PathBuf::new()
            }
        };
        let named =
            |name: &str| std::fs::read(folder.join(name)).map_err(|error| format!("cannot read `{name}`: {error}"));
        let mut found = capture::read(&bytes, &named).map_err(Failure::usage)?;
        // Of a browser's HAR, only what may be a delivery.
        if self.entry.is_none() && found.iter().any(|request| request.method == "POST") {
            found.retain(|request| request.method == "POST");
        }
        let count = found.len();
        let chosen = match (self.entry, count) {
            (None, 1) => found.pop(),
            (None, _) => {
                let all: Vec<_> = found
                    .iter()
                    .enumerate()
                    .map(|(index, request)| format!("{}: {}", index + 1, printable(&request.summary())))
                    .collect();
                return Err(Failure::usage(format!(
                    "the capture holds {count} requests; choose one with `--entry`: {}",
                    all.join("; ")
                )));
            }
            (Some(entry), _) => entry.checked_sub(1).and_then(|at| found.into_iter().nth(at)),
        };
        let mut captured = chosen
            .ok_or_else(|| Failure::usage(format!("there is no such entry; the capture holds {count} requests")))?;
        if let Some(path) = &self.body {
            captured.body = Some(read(path)?);
        }
        if captured.body.is_none() {
            return Err(Failure::usage(
                "`curl -v` does not show the body that was sent: give it with `--body FILE`, or capture with `--trace FILE`",
            ));
        }
        Ok(captured)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", path.display())))
}

fn moment(text: &str) -> Result<Timestamp, Failure> {
    let seconds = text
        .parse()
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.or_else(|| text.parse().ok()).ok_or_else(|| {
        Failure::usage(format!(
            "`--at {text}`: write it as `2026-11-28T09:00:00Z`, or as seconds since 1970"
        ))
    })
}
