//! The index alone: bytes, time to take a record in, time to look a token up.

use std::error::Error;
use std::time::Instant;

use clap::Parser;
use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::horizon::Horizon;
use portcullis::revocation::Index;
use portcullis::verify::Claims;
use serde_json::json;

use super::fill::{TERMS, revocation};
use super::{ISSUER, percentile, resident};

/// Fills an index with live revocations in four shapes and measures it.
#[derive(Parser)]
pub(crate) struct Args {
    #[arg(long)]
    live: usize,
}

/// Look-ups that are timed.
const LOOK_UPS: usize = 200_000;

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and times far below 2^52"
)]
pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let now = Clock::system().now();
    let before = resident::bytes()?;
    let index = Index::new(Horizon::default());
    let started = Instant::now();
    for number in 0..args.live {
        let record = revocation(number, now);
        index.apply(&record, TERMS.forget_after(&record))?;
    }
    let filling = started.elapsed();
    let apply_us = applying(&index, args.live, now)?;
    let resident = resident::bytes()?.saturating_sub(before);
    let tokens: Vec<Claims> = (0..1024).map(token).collect();
    let started = Instant::now();
    let hits = (0..LOOK_UPS)
        .filter(|i| index.is_revoked(&tokens[i % tokens.len()]))
        .count();
    let looking = started.elapsed();
    let live = args.live.max(1) as f64;
    println!(
        "{}",
        json!({
            "live": args.live,
            "resident_bytes_each": resident as f64 / live,
            "index_bytes_each": index.memory() as f64 / live,
            "apply_us": apply_us,
            "fill_us_each": filling.as_secs_f64() * 1e6 / live,
            "look_up_ns": looking.as_secs_f64() * 1e9 / LOOK_UPS as f64,
            "hits": hits,
        })
    );
    Ok(())
}

/// What one more costs, in microseconds, at the 99th percentile.
fn applying(index: &Index, live: usize, now: UnixMillis) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    for number in live..live + 1000 {
        let record = revocation(number, now);
        let started = Instant::now();
        index.apply(&record, TERMS.forget_after(&record))?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(percentile(&times, 0.99))
}

/// A token that nothing matches.
fn token(number: usize) -> Claims {
    let claims = json!({
        "sub": format!("alice-{number}"),
        "client_id": "storefront",
        "sid": format!("session-{number:012}"),
        "jti": format!("f{number:031x}"),
    });
    Claims {
        issuer: ISSUER.into(),
        subject: None,
        client: None,
        token_id: None,
        issued_at: Some(1),
        counts_as_issued_at: 1,
        expires_at: u64::MAX,
        all: claims.as_object().expect("it is written above").into(),
    }
}
