//! What the disk allows: one small append and one sync, again and again, or now and then.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use super::percentile;

/// Appends 256 bytes and syncs them, in a file of its own below the directory.
#[derive(Parser)]
pub(crate) struct Args {
    directory: PathBuf,
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Milliseconds of quiet before each: a disk that was left alone takes longer.
    #[arg(long, default_value_t = 0)]
    pause: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let path = args.directory.join("sync-probe");
    let mut file = File::create(&path)?;
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < Duration::from_secs_f64(args.seconds) {
        std::thread::sleep(Duration::from_millis(args.pause));
        let before = Instant::now();
        file.write_all(&[7; 256])?;
        file.sync_data()?;
        times.push(before.elapsed().as_secs_f64() * 1000.0);
    }
    std::fs::remove_file(&path)?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    println!(
        "{}",
        json!({
            "per_second": rate,
            "p50_ms": percentile(&times, 0.5),
            "p99_ms": percentile(&times, 0.99),
        })
    );
    Ok(())
}
