//! The command line: one file for each command.

mod check_config;
mod export;
mod import;
mod proxy_config;
mod schema;
mod serve;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, Config};

/// The command succeeded.
const OK: u8 = 0;
/// The configuration is invalid or the command failed. clap exits with 2 for a wrong command line.
const FAILED: u8 = 1;

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  the configuration is invalid, or a part could not start or died
  2  the command line is wrong";

/// One enforcement point for JWTs at the edge, with revocation that holds.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    CheckConfig(check_config::CheckConfig),
    Export(export::Export),
    Import(import::Import),
    ProxyConfig(proxy_config::ProxyConfig),
    Schema(schema::Schema),
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        let code = match self.command {
            Command::Serve(command) => command.run(),
            Command::CheckConfig(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::ProxyConfig(command) => command.run(),
            Command::Schema(command) => command.run(),
        };
        ExitCode::from(code)
    }
}

/// Where the configuration is.
#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration file
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "PORTCULLIS_CONFIG",
        hide_env_values = true,
        default_value = "portcullis.yaml"
    )]
    path: PathBuf,
}

impl ConfigFile {
    /// Loads the configuration. Prints its mistakes and returns the exit code if there are any.
    fn load(&self) -> Result<Config, u8> {
        config::load(&self.path).map_err(|report| complain(&report.to_string()))
    }
}

/// The format of a result.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Writes a result to the standard output. A closed pipe, as in `portcullis schema | head`, is no
/// failure.
fn print(text: &str) -> u8 {
    written(writeln!(io::stdout().lock(), "{}", text.trim_end()))
}

/// Writes a message to the standard error.
fn tell(text: &str) -> u8 {
    written(writeln!(io::stderr().lock(), "{text}"))
}

/// Writes an error message and returns the exit code.
fn complain(text: &str) -> u8 {
    tell(text);
    FAILED
}

fn written(result: io::Result<()>) -> u8 {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => FAILED,
        _ => OK,
    }
}

/// Runs a future to its end.
fn blocking<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Runtime::new();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(work)
}
