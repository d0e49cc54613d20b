//! Builds the parts in order, runs them, and shuts them down.

mod bounds;
mod generation;
mod keys;
mod listeners;
mod parts;
mod refusals;
mod reload;
mod tasks;
mod vitals;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::core::thread_priority;
use crate::core::version::{COMMIT, VERSION};
use crate::telemetry::{self, Losses};
use parts::Parts;
use tasks::Tasks;

/// Runs until SIGTERM or SIGINT. The configuration was read from the file at `path` and checked.
///
/// # Errors
/// What could not be started, or which part died and why.
pub fn run(path: &Path, config: &Config) -> Result<(), String> {
    let log = telemetry::init(&config.log)?;
    let cannot = |error| format!("cannot start the runtime: {error}");
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name("portcullis")
        .build()
        .map_err(cannot)?;
    // For work that gives way to checks. One thread handles tens of thousands of events a second, with
    // fewer wake-ups than several.
    let yielding = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .thread_name("events")
        .on_thread_start(thread_priority::lower_priority)
        .build()
        .map_err(cannot)?;
    let result = runtime.block_on(serve(path, config, log.losses(), yielding.handle()));
    if let Err(error) = &result {
        tracing::error!(error, "stopped");
    }
    // Lets blocking work finish that nobody waits for, such as saving a key set.
    runtime.shutdown_timeout(Duration::from_secs(5));
    yielding.shutdown_background();
    drop(log);
    result
}

async fn serve(
    path: &Path,
    config: &Config,
    losses: Arc<Losses>,
    yielding: &Handle,
) -> Result<(), String> {
    let told_to_stop = stop_signal()?;
    let parts = Parts::build(path, config, &losses).await?;
    let readiness = parts.readiness.clone();
    // The doors need the core, so it stops last.
    let (mut core, mut doors) = (Tasks::default(), Tasks::default());
    core.spawn("the log", tell(losses, core.shutdown()));
    parts.start(&mut core, &mut doors, yielding);
    tracing::info!(version = VERSION, commit = COMMIT, "started");
    let failed = tokio::select! {
        name = told_to_stop => {
            tracing::info!(signal = name, "stopping");
            None
        }
        failed = core.first_failure() => Some(failed),
        failed = doors.first_failure() => Some(failed),
    };
    readiness.drain();
    if failed.is_none() {
        tokio::time::sleep(config.shutdown.delay.0).await;
    }
    let limit = config.shutdown.drain_timeout.0;
    let doors_stopped = doors.stop(limit).await;
    let core_stopped = core.stop(limit).await;
    match failed {
        Some(died) => Err(format!("a part of the process failed: {died}")),
        None => doors_stopped.and(core_stopped),
    }
}

/// Logs what the log left out, until the process ends.
async fn tell(losses: Arc<Losses>, shutdown: CancellationToken) -> Result<(), String> {
    shutdown
        .run_until_cancelled(losses.tell_every_second())
        .await;
    Ok(())
}

/// Resolves to the name of the signal that asks the process to end.
fn stop_signal() -> Result<impl Future<Output = &'static str>, String> {
    let listen =
        |kind| signal(kind).map_err(|error| format!("cannot install signal handlers: {error}"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
