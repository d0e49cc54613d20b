//! `portcullis audit`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::common::{complain, print};
use crate::audit::{Expected, Link, Report, verify};

const AFTER: &str = "\
Names the first line that was changed, removed, added or moved, and exits with 1. Give the files of a
rotation together, in any order. Beside each file, FILE.head names the last line, so that lines which
were cut off at the end are missed too; whoever can write FILE can write FILE.head, so keep what
`portcullis status` shows as `audit` elsewhere, and name it with --anchor.

Example:
  portcullis audit verify /var/log/portcullis/audit.log";

/// Work with the audit trail
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(Verify),
}

/// Check that no line of an audit trail was changed or removed
#[derive(Args, Debug)]
struct Verify {
    /// The files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The number of the first line, if older files were removed on purpose
    #[arg(long, value_name = "NUMBER")]
    first: Option<u64>,

    /// Let the chain begin anew, as it does at each start with `audit.file: stdout`
    #[arg(long)]
    restarts: bool,

    /// A line that was noted elsewhere and must be there
    #[arg(long, value_name = "NUMBER:HASH")]
    anchor: Option<Link>,
}

impl Audit {
    pub(super) fn run(self) -> u8 {
        let Command::Verify(command) = self.command;
        let expected = Expected {
            first: command.first,
            restarts: command.restarts,
            anchor: command.anchor,
        };
        match verify(&command.files, &expected) {
            Ok(report) => print(&text(&report)),
            Err(bad) => complain(&format!("portcullis: {bad}")),
        }
    }
}

fn text(report: &Report) -> String {
    let Report {
        lines, first, last, ..
    } = report;
    let mut text = format!("{lines} lines hold together, from {first} to {last}\n");
    for file in &report.torn {
        let file = file.display();
        let _ = writeln!(
            text,
            "{file}: the last line was not written to its end, as when the process is killed"
        );
    }
    text
}
