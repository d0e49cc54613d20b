//! Builds the parts in order; owns tasks, readiness and shutdown. To come.

use crate::config::Config;

/// Why the process ended in another way than it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("not built yet")]
pub struct AppError;

/// Runs until the process is told to stop.
///
/// # Errors
/// A part that could not be started, or that died.
pub fn run(_config: Config) -> Result<(), AppError> {
    Err(AppError)
}
