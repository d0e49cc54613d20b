//! What all commands share: where the configuration is, how results are printed, exit codes.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::config::{self, Config};

/// The command succeeded.
pub(super) const OK: u8 = 0;
/// The configuration is invalid or the command failed. clap exits with 2 for a wrong command line.
pub(super) const FAILED: u8 = 1;

/// Where the configuration is.
#[derive(Args, Debug)]
pub(super) struct ConfigFile {
    /// The configuration file
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "PORTCULLIS_CONFIG",
        hide_env_values = true,
        default_value = "portcullis.yaml"
    )]
    pub path: PathBuf,
}

impl ConfigFile {
    /// Loads the configuration. Prints its mistakes and returns the exit code if there are any.
    pub(super) fn load(&self) -> Result<Config, u8> {
        config::load(&self.path).map_err(|report| complain(&report.to_string()))
    }
}

/// The format of a result.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
    /// The same as YAML
    Yaml,
    /// One line of JSON for each item of a list
    Jsonl,
}

impl Output {
    /// Returns a result in this format: as `text` writes it for people. `items` names the member that is
    /// a list, if there is one.
    pub(super) fn write(
        self,
        result: &Value,
        items: &str,
        text: impl FnOnce(&Value) -> String,
    ) -> String {
        match (self, result[items].as_array()) {
            (Self::Text, _) => text(result),
            (Self::Json, _) => format!("{result:#}"),
            (Self::Yaml, _) => {
                serde_saphyr::to_string(result).unwrap_or_else(|_| result.to_string())
            }
            (Self::Jsonl, Some(items)) => {
                let lines = items.iter().map(Value::to_string);
                lines.collect::<Vec<_>>().join("\n")
            }
            (Self::Jsonl, None) => result.to_string(),
        }
    }
}

/// Writes a result to the standard output. A closed pipe, as in `portcullis schema | head`, is no
/// failure. Colours are left out if this is no terminal, or `NO_COLOR` is set.
pub(super) fn print(text: &str) -> u8 {
    written(try_print(text))
}

/// Does the same, for who goes on only while somebody reads it.
pub(super) fn try_print(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    writeln!(anstream::stdout().lock(), "{}", text.trim_end())
}

/// Writes a message to the standard error.
pub(super) fn tell(text: &str) -> u8 {
    written(writeln!(io::stderr().lock(), "{text}"))
}

/// Writes an error message and returns the exit code.
pub(super) fn complain(text: &str) -> u8 {
    tell(text);
    FAILED
}

/// Returns the exit code. A closed pipe is no failure.
pub(super) fn written(result: io::Result<()>) -> u8 {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => FAILED,
        _ => OK,
    }
}

/// Runs a future to its end.
pub(super) fn blocking<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Runtime::new();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(work)
}
