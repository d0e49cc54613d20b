//! What the bench needs besides load generators: tokens, a filled log, and probes that measure
//! one thing each. `benches/run.py` drives it; every probe prints one JSON object.

#![expect(clippy::print_stdout, reason = "a command-line tool answers on stdout")]

mod answer;
mod body;
mod deliver;
mod fill;
mod http;
mod index;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests, which use more of it than the bench does"
)]
#[path = "../../tests/it/support/keys.rs"]
mod keys;
mod mint;
mod propagate;
mod refusal;
#[path = "../resident.rs"]
mod resident;
mod sync;
mod verify;

use std::error::Error;

use clap::Parser;

/// What all tokens and revocations of the bench are about.
const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "shop-api";

#[derive(Parser)]
#[command(about = "Tokens, filled logs and probes for the bench")]
enum Command {
    Answer(answer::Args),
    Mint(mint::Args),
    Body(body::Args),
    Fill(fill::Args),
    Index(index::Args),
    Verify(verify::Args),
    Sync(sync::Args),
    Refusal(refusal::Args),
    Propagate(propagate::Args),
    Deliver(deliver::Args),
    FillStream(deliver::FillArgs),
}

fn main() -> Result<(), Box<dyn Error>> {
    match Command::parse() {
        Command::Answer(args) => answer::run(&args),
        Command::Mint(args) => mint::run(&args),
        Command::Body(args) => body::run(&args),
        Command::Fill(args) => fill::run(&args),
        Command::Index(args) => index::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Sync(args) => sync::run(&args),
        Command::Refusal(args) => refusal::run(&args),
        Command::Propagate(args) => propagate::run(&args),
        Command::Deliver(args) => deliver::run(&args),
        Command::FillStream(args) => deliver::fill(&args),
    }
}

/// The value below which this part of the sorted `values` lies.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    let place = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds of processor time that the calling thread used.
fn thread_cpu() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next().ok_or("an empty schedstat")?;
    Ok(first.parse()?)
}
