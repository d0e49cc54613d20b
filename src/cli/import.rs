//! `portcullis import`.

use std::io::{BufReader, stdin};

use clap::Args;

use super::{ConfigFile, OK, blocking, complain, tell};
use crate::revocation;

const AFTER: &str = "\
Reads the output of `portcullis export` from the standard input. A record that the store already has
changes nothing, so an import can be repeated. The embedded store must not be in use. An engine may be:
its replicas enforce each record as it arrives.

Example:
  portcullis import --config with-nats.yaml < revocations.jsonl";

/// Append exported revocations to the store
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Import {
    #[command(flatten)]
    config: ConfigFile,
}

impl Import {
    pub(super) fn run(self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        let issuers = config.lifetimes();
        let mut input = BufReader::new(stdin());
        let imported = revocation::transfer::import(&config.revocations, &issuers, &mut input);
        match blocking(imported) {
            Ok(count) => {
                tell(&format!("portcullis: {count} records imported"));
                OK
            }
            Err(error) => complain(&format!("portcullis: the import is not complete: {error}")),
        }
    }
}
