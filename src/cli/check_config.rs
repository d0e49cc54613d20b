//! `portcullis check-config`.

use clap::Args;
use serde_json::json;

use super::{ConfigFile, FAILED, Output, print};
use crate::config::{self, Config, Report};

const AFTER: &str = "\
Starts nothing and connects to nobody. Environment variables that the file names have to be set as
they will be for serve. Values of variables and secrets are never printed.

Examples:
  portcullis check-config --config portcullis.yaml
  portcullis check-config --config portcullis.yaml --output json | jq '.problems[]'

Exit codes: 0 the configuration is good, 1 it is not, 2 the command line is wrong.";

/// Report everything that is wrong with a configuration, each mistake with its line
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    config: ConfigFile,

    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

impl CheckConfig {
    pub(super) fn run(self) -> u8 {
        let path = &self.config.path;
        let result = config::load(path);
        let file = path.display().to_string();
        let text = match self.output {
            Output::Text => as_text(&file, &result),
            Output::Json => as_json(&file, &result),
        };
        let written = print(&text);
        if result.is_ok() { written } else { FAILED }
    }
}

fn as_text(file: &str, result: &Result<Config, Report>) -> String {
    match result {
        Ok(config) => format!("{file}: good: {}", config.summary()),
        Err(report) => report.to_string(),
    }
}

fn as_json(file: &str, result: &Result<Config, Report>) -> String {
    let (summary, problems) = match result {
        Ok(config) => (Some(config.summary()), &[][..]),
        Err(report) => (None, &report.problems[..]),
    };
    let answer = json!({
        "file": file,
        "valid": result.is_ok(),
        "summary": summary,
        "problems": problems,
    });
    format!("{answer:#}")
}
