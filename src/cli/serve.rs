//! `portcullis serve`.

use clap::Args;

use super::{ConfigFile, OK, complain};
use crate::app;

const AFTER: &str = "\
Exits with 0 after SIGTERM or SIGINT, once all requests under way are answered; with 1 and a message if
the configuration is invalid, or a part cannot start or dies.

Examples:
  portcullis serve --config /etc/portcullis/portcullis.yaml
  HOOKS_PASSWORD=… portcullis serve      # ./portcullis.yaml, which may name ${HOOKS_PASSWORD}";

/// Serve the proxies until SIGTERM
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
}

impl Serve {
    pub(super) fn run(self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        match app::run(&self.config.path, &config) {
            Ok(()) => OK,
            Err(error) => complain(&format!("portcullis: {error}")),
        }
    }
}
