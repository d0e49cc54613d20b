//! Which tokens a command is about.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::read_text;

/// Which tokens are meant: one token, or all tokens of an issuer that match.
#[derive(Args, Debug)]
pub(super) struct Target {
    /// A file with the token; `-` is the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["issuer", "matches", "issued_at_or_before"])]
    token_file: Option<PathBuf>,

    /// The issuer of the tokens, as in `issuers`
    #[arg(long, value_name = "ISSUER", required_unless_present = "token_file")]
    issuer: Option<String>,

    /// A claim and its value; tokens that match all of them are refused
    #[arg(long = "match", value_name = "CLAIM=VALUE", value_parser = pair)]
    matches: Vec<(String, String)>,

    /// Refuse tokens issued until then (RFC 3339 in UTC), or `any` for all
    #[arg(long, value_name = "TIME")]
    issued_at_or_before: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (claim, value) = text
        .split_once('=')
        .ok_or("write CLAIM=VALUE, such as sub=alice")?;
    Ok((claim.to_owned(), value.to_owned()))
}

impl Target {
    /// Returns the request to revoke these tokens.
    pub(super) fn body(&self, reason: &str) -> Result<Value, String> {
        if let Some(file) = &self.token_file {
            return Ok(json!({ "token": read_text(file)?, "reason": reason }));
        }
        let mut matches = Map::new();
        for (claim, value) in &self.matches {
            if matches
                .insert(claim.clone(), value.as_str().into())
                .is_some()
            {
                return Err(format!(
                    "--match names {claim} twice; one command matches one value"
                ));
            }
        }
        let mut body = json!({ "issuer": self.issuer, "matches": matches, "reason": reason });
        if let Some(at) = &self.issued_at_or_before {
            let at = Some(at).filter(|at| *at != "any");
            body["issued_at_or_before"] = json!(at);
        }
        Ok(body)
    }
}
