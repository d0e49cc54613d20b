//! `portcullis check-config`.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::{ConfigFile, FAILED, Output, blocking, print};
use crate::config::{self, Config, Report};
use crate::verify::{self, Profile};

const AFTER: &str = "\
Starts nothing, and makes no connection without --discover. If an issuer has no `profile` and its
address or its discovery document shows which provider it is, a hint names the profile. Hints do not
change the exit code. Set the environment variables in the file as you do for serve. Values of
variables and secrets are never printed.

Examples:
  portcullis check-config --config portcullis.yaml
  portcullis check-config --config portcullis.yaml --discover
  portcullis check-config --config portcullis.yaml --output json | jq '.problems[]'

Exit codes: 0 the configuration is valid, 1 it is not, 2 the command line is wrong.";

/// Report every mistake in a configuration, each with its line
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    config: ConfigFile,

    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    /// Ask the discovery documents of issuers without a profile which provider they are
    #[arg(long)]
    discover: bool,
}

/// Advice about one issuer.
#[derive(Serialize)]
struct Hint {
    field: String,
    issuer: String,
    profile: Option<Profile>,
    message: String,
}

impl CheckConfig {
    pub(super) fn run(self) -> u8 {
        let path = &self.config.path;
        let result = config::load(path);
        let file = path.display().to_string();
        let hints = match &result {
            Ok(config) => hints(config, self.discover),
            Err(_) => Vec::new(),
        };
        let json = as_json(&file, &result, &hints);
        let text = |_: &Value| as_text(&file, &result, &hints);
        let written = print(&self.output.write(&json, "problems", text));
        if result.is_ok() { written } else { FAILED }
    }
}

/// Returns hints for the issuers without a profile.
fn hints(config: &Config, discover: bool) -> Vec<Hint> {
    let issuers = config.issuers.iter().enumerate();
    let without = issuers.filter(|(_, issuer)| issuer.profile.is_none());
    without
        .filter_map(|(i, issuer)| {
            let by_address = Profile::of_issuer(&issuer.issuer);
            let asked = (discover && by_address.is_none())
                .then(|| blocking(verify::discover(issuer, &config.keys)));
            let (profile, message) = match (by_address, asked) {
                (Some(profile), _) | (None, Some(Ok(Some(profile)))) => {
                    (Some(profile), advice(profile))
                }
                (None, Some(Err(why))) => {
                    (None, format!("cannot tell which provider it is: {why}"))
                }
                (None, None | Some(Ok(None))) => return None,
            };
            Some(Hint {
                field: format!("issuers[{i}].profile"),
                issuer: issuer.issuer.clone(),
                profile,
                message,
            })
        })
        .collect()
}

fn advice(profile: Profile) -> String {
    let audiences = profile.audiences();
    format!(
        "looks like {profile}; with `profile: {profile}`, ID tokens and others that are not access \
         tokens are refused. Its audiences: {audiences}. See docs/profiles.md"
    )
}

fn as_text(file: &str, result: &Result<Config, Report>, hints: &[Hint]) -> String {
    match result {
        Ok(config) => {
            let mut text = format!("{file}: good: {}", config.summary());
            for hint in hints {
                let _ = write!(
                    text,
                    "\n{file}: hint: {}: {} {}",
                    hint.field, hint.issuer, hint.message
                );
            }
            text
        }
        Err(report) => report.to_string(),
    }
}

fn as_json(file: &str, result: &Result<Config, Report>, hints: &[Hint]) -> Value {
    let (summary, errors) = match result {
        Ok(config) => (Some(config.summary()), &[][..]),
        Err(report) => (None, &report.errors[..]),
    };
    json!({
        "file": file,
        "valid": result.is_ok(),
        "summary": summary,
        "problems": errors,
        "hints": hints,
    })
}
