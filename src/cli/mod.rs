//! The command line: one file for each command.

mod approve;
mod audit;
mod check_config;
mod client;
mod common;
mod completions;
mod connection;
mod decisions;
mod explain;
mod export;
mod filter;
mod import;
mod lift;
mod list;
mod man;
mod preview;
mod promote;
mod proxy_config;
mod replicas;
mod revoke;
mod schema;
mod serve;
mod ssf;
mod status;
mod table;
mod target;
mod test;
mod try_event;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::core::version::LONG;
use common::{ConfigFile, FAILED, OK, Output, blocking, complain, print, tell};

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  the configuration is invalid, a part could not start or died, or a request was refused
  2  the command line is wrong";

/// One enforcement point for JWTs at the edge, with revocation that holds.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version = LONG.as_str(), after_help = EXIT_CODES, arg_required_else_help = true)]
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
    Preview(preview::Preview),
    Revoke(revoke::Revoke),
    Approve(approve::Approve),
    Lift(lift::Lift),
    Promote(promote::Promote),
    List(list::List),
    Watch(watch::Watch),
    Status(status::Status),
    Replicas(replicas::Replicas),
    Explain(explain::Explain),
    Decisions(decisions::Decisions),
    Test(test::Test),
    TryEvent(try_event::TryEvent),
    Audit(audit::Audit),
    Ssf(ssf::Ssf),
    Completions(completions::Completions),
    Man(man::Man),
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
            Command::Revoke(command) => command.run(),
            Command::Approve(command) => command.run(),
            Command::Preview(command) => command.run(),
            Command::Lift(command) => command.run(),
            Command::Promote(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Watch(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Replicas(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Decisions(command) => command.run(),
            Command::Test(command) => command.run(),
            Command::TryEvent(command) => command.run(),
            Command::Audit(command) => command.run(),
            Command::Ssf(command) => command.run(),
            Command::Completions(command) => command.run(Self::command()),
            Command::Man(command) => command.run(Self::command()),
        };
        ExitCode::from(code)
    }
}
