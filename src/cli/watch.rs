//! `portcullis watch`.

use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};
use reqwest::Response;
use serde_json::Value;
use tokio::time::sleep;

use super::client::{Call, Client, causes};
use super::common::{OK, blocking, complain, tell, written};
use super::filter::Filter;
use super::table::{BAD, BOLD, GOOD, matches, painted, printable};

const AFTER: &str = "\
Shows revocations and lifts as they take effect on one replica, until it is stopped or --count were shown. If the
connection ends, it goes on where it was; if the replica does not remember that place any more, it fails, and
`portcullis list` shows what was missed.

Examples:
  portcullis watch
  portcullis watch --claim sub --value alice --count 1
  portcullis watch --output jsonl | jq .record.cause";

/// Between two attempts to go on.
const PAUSE: Duration = Duration::from_secs(1);

/// Show revocations and lifts as they take effect
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Watch {
    #[command(flatten)]
    client: Client,

    #[command(flatten)]
    filter: Filter,

    /// Begin after this position, which an event had, and not now
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,

    /// End after so many
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
}

/// Why a connection ended, and whether another one may go on.
struct Broken {
    why: String,
    is_final: bool,
}

impl Watch {
    pub(super) fn run(mut self) -> u8 {
        blocking(self.follow()).unwrap_or_else(|error| complain(&format!("portcullis: {error}")))
    }

    async fn follow(&mut self) -> Result<u8, String> {
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut heads = true;
        loop {
            let broken = match self.connect().await {
                Ok(mut response) => match self.show(&mut response, &mut left, &mut heads).await {
                    Ok(code) => return Ok(code),
                    Err(why) => Broken {
                        why,
                        is_final: false,
                    },
                },
                Err(broken) => broken,
            };
            // Before the first event there is no place to go on.
            if broken.is_final || self.after.is_none() {
                return Err(broken.why);
            }
            tell(&format!("portcullis: {}; going on", broken.why));
            sleep(PAUSE).await;
        }
    }

    async fn connect(&self) -> Result<Response, Broken> {
        let mut call = Call::new(Method::GET, &["watch"]);
        call.query = self.filter.query();
        call.query
            .extend(self.after.clone().map(|after| ("after", after)));
        let answered = self.client.open(call).await;
        answered.map_err(|(status, why)| Broken {
            why,
            is_final: status.is_some_and(|status| status != StatusCode::SERVICE_UNAVAILABLE),
        })
    }

    /// Shows events until `left` were shown. Fails when the connection ends.
    async fn show(
        &mut self,
        response: &mut Response,
        left: &mut u64,
        heads: &mut bool,
    ) -> Result<u8, String> {
        let mut text = Vec::new();
        while *left > 0 {
            let Some(end) = text.iter().position(|byte| *byte == b'\n') else {
                let more = response.chunk().await.map_err(|error| causes(&error))?;
                text.extend_from_slice(&more.ok_or("the connection ended")?);
                continue;
            };
            let line: Vec<u8> = text.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line)
                .map_err(|_| "the answer is no watch; set --admin to listen.admin")?;
            self.after = event["position"].as_str().map(str::to_owned);
            match event["event"].as_str() {
                Some("revoked" | "lifted") => *left -= 1,
                Some("end") => {
                    let why = event["why"].as_str().unwrap_or("the watch ended");
                    return Err(printable(why));
                }
                Some("live") => {
                    tell("portcullis: live");
                }
                _ => continue,
            }
            let printed = self
                .client
                .print_each(&event, |event| row(event, std::mem::take(heads)));
            if printed.is_err() {
                return Ok(written(printed));
            }
        }
        Ok(OK)
    }
}

/// Returns the line of an event. Nobody knows how long the next values are, so each column has a width.
fn row(event: &Value, heads: bool) -> String {
    let heads = if heads {
        let heads = columns(["EFFECTIVE", "EVENT", "SOURCE", "CAUSE", "ID", "ISSUER"]);
        painted(BOLD, &format!("{heads}  MATCHES")) + "\n"
    } else {
        String::new()
    };
    let record = &event["record"];
    if record.is_null() {
        return heads;
    }
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let style = if event["event"] == "lifted" {
        GOOD
    } else {
        BAD
    };
    let line = columns([
        &text(&event["effective_at"]),
        &text(&event["event"]),
        &text(&record["source"]),
        &text(&record["cause"]),
        &text(&record["id"]),
        &text(&record["issuer"]),
    ]);
    let matched = matches(record);
    heads + &painted(style, &format!("{line}  {matched}"))
}

fn columns([at, event, source, cause, id, issuer]: [&str; 6]) -> String {
    format!("{at:24}  {event:7}  {source:12}  {cause:28}  {id:32}  {issuer}")
}
