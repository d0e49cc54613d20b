//! `portcullis check-config`.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use http::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::connection::Connection;
use super::table::printable;
use super::{ConfigFile, FAILED, Output, blocking, complain, print};
use crate::config::{self, Change, Config, Report};
use crate::verify::{self, Profile};

const AFTER: &str = "\
Starts nothing, and makes no connection without --discover or a URL. If an issuer has no `profile` and its
address or its discovery document shows which provider it is, a hint names the profile. Hints do not
change the exit code. Set the environment variables in the file as you do for serve. Values of
variables and secrets are never printed.

With --against, shows what would change in effect: against another file, or against a running replica
by the address of its admin listener, with a credential of the role read. Other spellings of the same
value, and defaults that are written out, change nothing. Secrets, and what comes from the environment,
are compared by digests.

Examples:
  portcullis check-config --config portcullis.yaml
  portcullis check-config --config portcullis.yaml --discover
  portcullis check-config --config portcullis.yaml --output json | jq '.problems[]'
  portcullis check-config --config next.yaml --against portcullis.yaml
  portcullis check-config --config next.yaml --against http://127.0.0.1:9194 --credentials-file ops.secret

Exit codes: 0 the configuration is valid, 1 it is not, or what it is compared with cannot be read, 2 the
command line is wrong, 3 it is valid, but what changes needs a restart.";

/// A running process cannot apply what changes.
const RESTART: u8 = 3;

/// Report every mistake in a configuration, each with its line
#[derive(Args, Debug)]
#[command(after_help = AFTER, mut_arg("admin", |admin| admin.hide(true)))]
pub(super) struct CheckConfig {
    #[command(flatten)]
    config: ConfigFile,

    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    /// Ask the discovery documents of issuers without a profile which provider they are
    #[arg(long)]
    discover: bool,

    /// Show what changes against another file, or against the replica with this admin listener
    #[arg(long, value_name = "URL|FILE")]
    against: Option<String>,

    #[command(flatten)]
    connection: Connection,
}

/// Advice about one issuer.
#[derive(Serialize)]
struct Hint {
    field: String,
    issuer: String,
    profile: Option<Profile>,
    message: String,
}

/// What changes in effect.
#[derive(Serialize)]
struct Compared {
    against: String,
    changes: Vec<Change>,
    /// The settings that need a restart.
    restart: Vec<&'static str>,
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
        let compared = match (&result, self.against) {
            (Ok(config), Some(against)) => compare(config, against, self.connection).map(Some),
            _ => Ok(None),
        };
        let compared = match compared {
            Ok(compared) => compared,
            Err(why) => return complain(&format!("portcullis: {why}")),
        };
        let json = as_json(&file, &result, &hints, compared.as_ref());
        let text = |_: &Value| as_text(&file, &result, &hints, compared.as_ref());
        let written = print(&self.output.write(&json, "problems", text));
        match (result, compared) {
            (Err(_), _) => FAILED,
            (Ok(_), Some(compared)) if !compared.restart.is_empty() => RESTART.max(written),
            _ => written,
        }
    }
}

/// Compares with what a file says, or with what a replica runs.
fn compare(next: &Config, against: String, connection: Connection) -> Result<Compared, String> {
    let is_url = ["http://", "https://"]
        .iter()
        .any(|scheme| against.starts_with(scheme));
    let [now, next] = if is_url {
        let client = Client::new(connection.to(against.clone()));
        let mut answer = client.fetch(Call::new(Method::GET, &["configuration"]))?;
        let salt = answer["salt"].as_str().unwrap_or_default();
        let next = next.outline.salted(salt);
        let next = next.ok_or_else(|| format!("{against} answers with a salt that is too long"))?;
        [answer["settings"].take(), next]
    } else {
        let now = config::load(Path::new(&against)).map_err(|report| report.to_string())?;
        now.outline.side_by_side(&next.outline)
    };
    let changes = config::changes(&now, &next);
    Ok(Compared {
        restart: config::at_start(&changes),
        against,
        changes,
    })
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

fn as_text(
    file: &str,
    result: &Result<Config, Report>,
    hints: &[Hint],
    compared: Option<&Compared>,
) -> String {
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
            if let Some(compared) = compared {
                describe(&mut text, file, compared);
            }
            text
        }
        Err(report) => report.to_string(),
    }
}

fn describe(text: &mut String, file: &str, compared: &Compared) {
    let against = printable(&compared.against);
    if compared.changes.is_empty() {
        let _ = write!(
            text,
            "\n{file}: changes nothing in effect against {against}"
        );
        return;
    }
    let _ = write!(text, "\n{file}: changes against {against}:");
    for change in &compared.changes {
        let (sign, values) = match (&change.from, &change.to) {
            (None, Some(to)) => ('+', format!(" {}", short(to))),
            (Some(from), None) => ('-', format!(" {}", short(from))),
            (from, to) => {
                let [from, to] =
                    [from, to].map(|value| value.as_ref().map_or(String::new(), short));
                ('~', format!(" {from} → {to}"))
            }
        };
        // The name of an item says enough about an item that has a consequence.
        let values = match change.effect {
            Some(_) if sign != '~' => String::new(),
            _ => values,
        };
        let effect = change.effect.map(|effect| format!(" ({effect})"));
        let path = printable(&change.path);
        let _ = write!(
            text,
            "\n  {sign} {path}:{values}{}",
            effect.unwrap_or_default()
        );
    }
    if !compared.restart.is_empty() {
        let settings = compared.restart.join(", ");
        let _ = write!(text, "\n{file}: these changes need a restart: {settings}");
    }
}

/// Returns a value for a line of text.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

fn as_json(
    file: &str,
    result: &Result<Config, Report>,
    hints: &[Hint],
    compared: Option<&Compared>,
) -> Value {
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
        "compared": compared,
    })
}
