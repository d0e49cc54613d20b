//! One event at a time: how long until it is acknowledged, and until its token is refused.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use super::http::Connection;
use super::percentile;

/// Locks the users of `event.txt` one after the other, and tries each one's token right after.
#[derive(Parser)]
pub(crate) struct Args {
    directory: PathBuf,
    #[arg(long)]
    events: SocketAddr,
    #[arg(long)]
    forward_auth: SocketAddr,
    #[arg(long, default_value = "hooks:correct-horse-battery-staple")]
    credentials: String,
    #[arg(long, default_value_t = 500)]
    count: usize,
    /// The first user.
    #[arg(long, default_value_t = 0)]
    from: usize,
}

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(args.directory.join("event.txt"))?;
    let mut events = Connection::open(args.events)?;
    let mut door = Connection::open(args.forward_auth)?;
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    let users = text.lines().enumerate().skip(args.from).take(args.count);
    for (number, token) in users {
        expect(200, door.ask(token)?)?;
        // Idle: nothing of the last event is going on any more.
        std::thread::sleep(Duration::from_millis(3));
        let started = Instant::now();
        let status = events.lock(&format!("locked-{number}"), &args.credentials)?;
        acknowledged.push(started.elapsed().as_secs_f64() * 1000.0);
        expect(200, status / 100 * 100)?;
        expect(401, door.ask(token)?)?;
        refused.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    acknowledged.sort_by(f64::total_cmp);
    refused.sort_by(f64::total_cmp);
    println!(
        "{}",
        json!({
            "events": refused.len(),
            "ack_p50_ms": percentile(&acknowledged, 0.5),
            "ack_p99_ms": percentile(&acknowledged, 0.99),
            "refused_p50_ms": percentile(&refused, 0.5),
            "refused_p99_ms": percentile(&refused, 0.99),
        })
    );
    Ok(())
}

fn expect(status: u16, got: u16) -> Result<(), String> {
    (status == got)
        .then_some(())
        .ok_or_else(|| format!("{got} instead of {status}"))
}
