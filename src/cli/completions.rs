//! `portcullis completions`.

use clap::{Args, Command};
use clap_complete::Shell;

use super::print;

const AFTER: &str = "\
Examples:
  portcullis completions bash > /etc/bash_completion.d/portcullis
  portcullis completions zsh > ~/.zfunc/_portcullis
  portcullis completions fish > ~/.config/fish/completions/portcullis.fish";

/// Print a script with which a shell completes these commands
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, mut cli: Command) -> u8 {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli, "portcullis", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
