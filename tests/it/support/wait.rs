//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Long enough for a busy machine; reaching it means that the condition will not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks. Short, because tests wait for it often.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until `look` finds something, and panics with `what` if it never does.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    try_until(PATIENCE, look)
        .await
        .unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain until {what}"))
}

/// The same, with a bound of its own, for a caller that has more to say when it fails.
pub(crate) async fn try_until<T>(
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if started.elapsed() > patience {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
