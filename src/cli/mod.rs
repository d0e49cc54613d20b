//! The command line: one file for each command.

mod check_config;
mod common;
mod export;
mod import;
mod proxy_config;
mod schema;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use common::{ConfigFile, FAILED, OK, Output, blocking, complain, print, tell};

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
