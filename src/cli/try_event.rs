//! `portcullis try-event`.

use std::fmt::Write as _;
use std::io::{Read, stdin};
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigFile, Output, complain, print};
use crate::config::Config;
use crate::core::clock::{Clock, UnixMillis};
use crate::events::{self, Effect, Outcome};
use crate::revocation::{Action, Draft};

const AFTER: &str = "\
Reads the body of an event from the standard input and prints what the source would record. Nothing is
recorded, and no signature, password or token is checked. In JSON, times are milliseconds since the Unix
epoch. The output names subjects.

Examples:
  portcullis try-event --config portcullis.yaml --source clerk < user.deleted.json
  portcullis try-event --config portcullis.yaml --source clerk --output json < event.json | jq '.records[]'

Exit codes: 0 the event was understood, 1 it would be refused or the configuration is invalid, 2 the
command line is wrong.";

/// Print what an event would revoke
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct TryEvent {
    #[command(flatten)]
    config: ConfigFile,

    /// The name of the event source
    #[arg(long, value_name = "NAME")]
    source: String,

    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

impl TryEvent {
    pub(super) fn run(self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        match self.outcome(&config) {
            Ok(outcome) => {
                let json = as_json(&outcome);
                print(&self.output.write(&json, "records", |_| as_text(&outcome)))
            }
            Err(message) => complain(&format!("portcullis: {message}")),
        }
    }

    fn outcome(&self, config: &Config) -> Result<Outcome, String> {
        let source = config
            .events
            .iter()
            .find(|source| source.name == self.source);
        let source = source.ok_or_else(|| {
            let names = config.events.iter().map(|source| source.name.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            format!(
                "there is no event source {:?}; there are: {names}",
                self.source
            )
        })?;
        let limit = config.event_listener.body_limit.0;
        let mut body = Vec::new();
        let read = stdin().lock().take(limit + 1).read_to_end(&mut body);
        read.map_err(|error| format!("the event cannot be read from the standard input: {error}"))?;
        if body.len() as u64 > limit {
            return Err(format!(
                "the event is larger than {limit} bytes, event_listener.body_limit"
            ));
        }
        let outcome = events::try_event(source, body.into(), Clock::system().now());
        let outcome =
            outcome.map_err(|why| format!("the event would be refused with 400: {why}"))?;
        match outcome.effect {
            Effect::Unresolved(why) => Err(format!("the event would reach nobody's tokens: {why}")),
            _ => Ok(outcome),
        }
    }
}

/// Returns what has to be done in one word, the records, and how long they would wait.
fn parts(effect: &Effect) -> (&'static str, &[Draft], Duration) {
    match effect {
        Effect::Record(drafts) => ("record", drafts, Duration::ZERO),
        Effect::RecordLater(drafts, delay) => ("record_later", drafts, *delay),
        Effect::RefetchKeys => ("refetch_keys", &[], Duration::ZERO),
        Effect::Unresolved(_) | Effect::Nothing => ("ignore", &[], Duration::ZERO),
    }
}

fn as_json(outcome: &Outcome) -> Value {
    let (effect, records, delay) = parts(&outcome.effect);
    json!({
        "event": outcome.event,
        "id": outcome.id,
        "effect": effect,
        "delay_seconds": delay.as_secs(),
        "records": records,
        "notice": outcome.notice,
    })
}

fn as_text(outcome: &Outcome) -> String {
    let (effect, records, delay) = parts(&outcome.effect);
    let effect = match effect {
        "record" => format!("would be recorded, {} in all", records.len()),
        "record_later" => format!(
            "would be recorded after {}",
            humantime::format_duration(delay)
        ),
        "refetch_keys" => "would have the issuer's keys fetched again".to_owned(),
        _ => "would be acknowledged and ignored".to_owned(),
    };
    let mut text = format!("event {}: {effect}", outcome.event);
    for record in records {
        let _ = write!(text, "\n  {}", describe(record));
    }
    if let Some(notice) = outcome.notice {
        let _ = write!(text, "\nnotice: {notice}");
    }
    text
}

/// Describes a record in one line.
fn describe(record: &Draft) -> String {
    let matches = record.target.matches.iter();
    let matches = matches.map(|(claim, value)| format!("{claim}={value:?}"));
    let matches = matches.collect::<Vec<_>>().join(" and ");
    let matches = if matches.is_empty() { "all" } else { &matches };
    let (verb, until) = match (record.action, record.issued_at_or_before) {
        (Action::Lift, _) => (
            "lift",
            format!("what occurred until {}", time(record.occurred_at)),
        ),
        (Action::Revoke, Some(at)) => ("revoke", format!("issued until {}", time(at))),
        (Action::Revoke, None) => ("revoke", "whenever issued".to_owned()),
    };
    format!(
        "{verb} tokens of {}: {matches}, {until}; cause {}, id {}",
        record.target.issuer, record.cause, record.id
    )
}

fn time(at: UnixMillis) -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.0))
}
