//! `portcullis schema`.

use clap::Args;

use super::print;
use crate::config;

const AFTER: &str = "\
The schema is JSON Schema, draft 2020-12.

Examples:
  portcullis schema > portcullis.schema.json

An editor with the YAML language server then completes and checks a file that begins with
  # yaml-language-server: $schema=portcullis.schema.json";

/// Print the JSON Schema of the configuration
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Schema {}

impl Schema {
    #[expect(clippy::unused_self, reason = "like the other commands")]
    pub(super) fn run(self) -> u8 {
        print(&format!("{:#}", config::schema()))
    }
}
