//! Standard output that may be closed early (`| head`), and failures with their exit codes.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::config::Problem;

/// Where a command's findings go.
#[derive(Debug)]
pub struct Output {
    pub json: bool,
    color: bool,
}

/// Why a command did not end well.
#[derive(Debug)]
pub enum Failure {
    /// It did what it should, and found something that is not right. Exit code 1.
    Finding(String),
    /// It was called or configured so that it cannot do what it should. Exit code 2.
    Usage(String),
    /// The configuration's problems. Exit code 2.
    Config(Vec<Problem>),
    /// What was to be said is said already; only the exit code is left.
    Said(u8),
    /// Nobody reads any more: not an error.
    Closed,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Finding(format!("cannot write the output: {error}")),
        }
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Config(problems)
    }
}

impl Failure {
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }

    pub fn finding(message: impl std::fmt::Display) -> Self {
        Self::Finding(message.to_string())
    }

    /// Says it on standard error, and gives the exit code.
    pub fn end(self) -> ExitCode {
        let mut err = io::stderr().lock();
        // Standard error may be closed too; the exit code still tells.
        let (code, _said) = match self {
            Self::Finding(message) => (1, writeln!(err, "hooksluice: {message}")),
            Self::Usage(message) => (2, writeln!(err, "hooksluice: {message}")),
            Self::Config(problems) => (
                2,
                problems
                    .iter()
                    .try_for_each(|problem| writeln!(err, "hooksluice: {problem}")),
            ),
            Self::Said(code) => (code, Ok(())),
            Self::Closed => (0, Ok(())),
        };
        ExitCode::from(code)
    }
}

impl Output {
    pub fn new(json: bool) -> Self {
        let color = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, color }
    }

    /// A line of text.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// A remark beside the findings, on standard error.
    pub fn remark(text: &str) {
        // If nobody reads, nobody asked.
        let _ = writeln!(io::stderr().lock(), "hooksluice: {text}");
    }

    /// A value as JSON: indented in a terminal, one line otherwise.
    pub fn value(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = if io::stdout().is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        self.line(text.map_err(Failure::finding)?)
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Rows in columns, under a heading.
    pub fn table(&mut self, heading: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let width = |column: usize| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count());
            cells.chain([heading[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heading.len()).map(width).collect();
        let lay = |cells: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<String> = cells
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        let heading = lay(&mut heading.iter().copied());
        self.line(self.dim(&heading))?;
        rows.iter()
            .try_for_each(|row| self.line(lay(&mut row.iter().map(String::as_str))))
    }

    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }
    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }
    pub fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }
    pub fn bad(&self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Text from a delivery, safe for a terminal: control characters would move its cursor or recolour it.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// What runs a command's asynchronous part.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Runtime::new().map_err(|error| Failure::finding(format!("cannot start the runtime: {error}")))
}
