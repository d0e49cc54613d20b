//! `portcullis man`.

use std::path::PathBuf;

use clap::{Args, Command};

use super::{OK, complain};

const AFTER: &str = "\
Examples:
  portcullis man /usr/local/share/man/man1";

/// Write a man page for each command
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Man {
    /// The folder to write them to
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(self, cli: Command) -> u8 {
        let written = clap_mangen::generate_to(cli, &self.folder);
        match written {
            Ok(()) => OK,
            Err(error) => {
                let folder = self.folder.display();
                complain(&format!(
                    "portcullis: cannot write man pages to {folder}: {error}"
                ))
            }
        }
    }
}
