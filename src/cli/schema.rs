//! `portcullis schema`.

use clap::{Args, ValueEnum};

use super::print;
use crate::{admin, config};

const AFTER: &str = "\
The schema is JSON Schema, draft 2020-12. The admin API serves its document too, at /openapi.json.

Examples:
  portcullis schema > portcullis.schema.json
  portcullis schema openapi > portcullis.openapi.json

An editor with the YAML language server then completes and checks a file that begins with
  # yaml-language-server: $schema=portcullis.schema.json";

/// Print the JSON Schema of the configuration, or the OpenAPI document of the admin API
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Schema {
    /// What to describe
    #[arg(value_name = "WHAT", default_value = "config")]
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// The configuration, as JSON Schema
    Config,
    /// The admin API, as OpenAPI 3.1
    Openapi,
}

impl Schema {
    pub(super) fn run(self) -> u8 {
        let document = match self.what {
            What::Config => config::schema(),
            What::Openapi => admin::openapi(),
        };
        print(&format!("{document:#}"))
    }
}
