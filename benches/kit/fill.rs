//! Live revocations in four shapes: made up, and written to a log as the server writes them.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::readiness::Readiness;
use portcullis::revocation::log::Log;
use portcullis::revocation::log::embedded::{Config, Embedded};
use portcullis::revocation::{Action, Draft, Retention, Revocation, Target, Terms};
use serde_json::json;

use super::ISSUER;

/// Fills the directory of an embedded log.
#[derive(Parser)]
pub(crate) struct Args {
    directory: PathBuf,
    #[arg(long)]
    live: usize,
}

/// Records per transaction.
const BATCH: usize = 20_000;

/// What the bench's configuration says of its issuer.
pub(crate) const TERMS: Terms = Terms {
    longest_life: Duration::from_hours(24),
    leeway: Duration::from_mins(1),
    not_before: portcullis::core::clock::UnixMillis(0),
};

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let clock = Clock::system();
    let config = Config {
        path: args.directory.clone(),
    };
    let log = Embedded::open(
        &config,
        &clock,
        &Readiness::default(),
        &Retention::default(),
    )?;
    let now = clock.now();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for start in (0..args.live).step_by(BATCH) {
        let numbers = start..args.live.min(start + BATCH);
        let batch = numbers.map(|number| Arc::new(revocation(number, now)));
        runtime.block_on(log.append(batch.collect()))?;
    }
    drop(log);
    let seconds = started.elapsed().as_secs_f64();
    println!("{}", json!({ "live": args.live, "seconds": seconds }));
    Ok(())
}

/// The shapes take turns: a user, a user at a client, a session, a token.
pub(crate) fn revocation(number: usize, now: UnixMillis) -> Revocation {
    let user = ("sub", format!("gone-{number}"));
    let matches: BTreeMap<_, _> = match number % 4 {
        0 => [user].into(),
        1 => [user, ("client_id", "storefront".to_owned())].into(),
        2 => [("sid", format!("ended-{number:012}"))].into(),
        _ => [("jti", format!("{number:032x}"))].into(),
    };
    let named = matches
        .into_iter()
        .map(|(claim, value)| (claim.to_owned(), value));
    let draft = Draft {
        id: format!("00000000-0000-0000-0000-{number:012}"),
        target: Target {
            issuer: ISSUER.to_owned(),
            matches: named.collect(),
        },
        action: Action::Revoke,
        issued_at_or_before: (number % 4 < 2).then_some(now),
        expires_at_or_before: None,
        occurred_at: now,
        source: "fusionauth".to_owned(),
        cause: "user.deactivate".to_owned(),
    };
    draft.receive(now, &TERMS)
}
