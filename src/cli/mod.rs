//! The command line: commands, their output, exit codes (0; 1 for a finding; 2 for usage or configuration).
//!
//! What a command found goes to standard output, as text or with `--json`; what went wrong goes to standard error, once.

mod capture;
mod check;
mod deliver;
mod explain;
mod files;
mod fresh;
mod gateway;
mod given;
mod health;
mod journal;
mod lint;
mod output;
mod providers;
mod quickstart;
mod record;
mod replay;
mod scaffold;
mod serve;
mod stored;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use self::output::Failure;
use self::output::Output;

/// The gate between webhooks and your streams.
#[derive(Debug, Parser)]
#[command(
    name = "hooksluice",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(files::ConfigFile),
    /// Run an embedded gateway with four ready sources and fresh secrets, and say what to try.
    Quickstart(quickstart::Args),
    /// Say everything that is wrong with a configuration, each with its place and what to do.
    Check(check::Args),
    /// List the platforms that are known, or show one and how to configure it.
    Providers(providers::Args),
    /// Sign a delivery as a platform would, and print its headers and a curl line.
    Sign(deliver::SignArgs),
    /// Send a truly signed delivery of a platform.
    Send(deliver::SendArgs),
    /// Say why a captured delivery is not believed: which step fails, what was expected, and the likely cause.
    Explain(explain::Args),
    /// Look at the events in the journal, also while the gateway runs, or send them once more.
    #[command(subcommand)]
    Events(stored::Events),
    /// Look at what broke its contract, where the journal keeps that, and let it in again, from there or from a broker.
    #[command(subcommand)]
    Quarantine(stored::Quarantine),
    /// Rescue what a damaged journal still holds.
    #[command(subcommand)]
    Journal(journal::Journal),
    /// Ask a running gateway whether it can make deliveries durable.
    Health(health::Args),
    /// Print a completion script for a shell.
    Completions {
        /// bash, elvish, fish, powershell or zsh.
        shell: clap_complete::Shell,
    },
}

/// Runs one command. The only place that decides about exit codes.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and end well; a broken pipe is nobody's fault.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    // TLS of our own calls (`send`, `health`); a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut out = Output::new(cli.json);
    let result = match cli.command {
        Command::Serve(config) => serve::run(&config, &mut out),
        Command::Quickstart(args) => quickstart::run(&args, &mut out),
        Command::Check(args) => check::run(&args, &mut out),
        Command::Providers(args) => providers::run(&args, &mut out),
        Command::Sign(args) => deliver::sign(&args, &mut out),
        Command::Send(args) => deliver::send(&args, &mut out),
        Command::Explain(args) => explain::run(&args, &mut out),
        Command::Events(command) => stored::events(&command, &mut out),
        Command::Quarantine(command) => stored::quarantine(&command, &mut out),
        Command::Journal(command) => journal::run(&command, &mut out),
        Command::Health(args) => health::run(&args, &mut out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "hooksluice", &mut script);
            out.bytes(&script)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_parsed() {
        Cli::command().debug_assert();
    }
}
