//! `portcullis schema`.

use clap::{Args, ValueEnum};

use super::print;
use crate::config;

const AFTER: &str = "\
Examples:
  portcullis schema > portcullis.schema.json
  portcullis schema --format markdown > configuration.md

An editor with the YAML language server then completes and checks a file that begins with
  # yaml-language-server: $schema=portcullis.schema.json";

/// Print the JSON Schema of the configuration, or its reference
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Schema {
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// JSON Schema, draft 2020-12
    Json,
    /// The reference, for people
    Markdown,
}

impl Schema {
    pub(super) fn run(self) -> u8 {
        print(&match self.format {
            Format::Json => format!("{:#}", config::schema()),
            Format::Markdown => config::markdown(),
        })
    }
}
