//! `portcullis export`.

use std::io::{BufWriter, stdout};

use clap::Args;

use super::{ConfigFile, OK, blocking, complain, tell};
use crate::revocation;

const AFTER: &str = "\
Writes one line of JSON per record to the standard output. Times are milliseconds since the Unix
epoch. A running Portcullis on the same store is not disturbed. The lines name subjects: protect them
like the store itself.

Example:
  portcullis export --config portcullis.yaml > revocations.jsonl";

/// Write every revocation of the store, for import into another
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Export {
    #[command(flatten)]
    config: ConfigFile,
}

impl Export {
    pub(super) fn run(self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        let mut out = BufWriter::new(stdout());
        match blocking(revocation::transfer::export(&config.revocations, &mut out)) {
            Ok(count) => {
                tell(&format!("portcullis: {count} records exported"));
                OK
            }
            Err(error) => complain(&format!("portcullis: the export is not complete: {error}")),
        }
    }
}
