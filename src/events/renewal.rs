//! Keeps users and the like from being forgotten: what sources keep in the log ends after a time unless it is
//! written again.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::access::DynAccess as _;
use tokio_util::sync::CancellationToken;

use super::notes::Notes;
use super::serve::Current;
use crate::core::readiness::Readiness;

/// How often it is looked which notes are due. They have been for weeks before they are forgotten.
const EVERY: Duration = Duration::from_mins(10);

/// Renews the notes of every source that keeps some until `shutdown`. Begins once this replica is ready, because
/// it then knows them. Replicas look at different times, so that what one of them renewed is not due for
/// the others.
pub async fn renew(
    current: Current,
    notes: Arc<dyn Notes>,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let work = async {
        // The sender lives in `readiness`, so this cannot fail.
        let _ = readiness.watch().wait_for(|state| state.started).await;
        loop {
            tokio::time::sleep(EVERY.mul_f64(rand::random_range(0.5..1.5))).await;
            let receiver = Arc::clone(&current.load());
            for source in receiver.sources() {
                if source.format.dialect().resources().is_none() {
                    continue;
                }
                let name = &*source.name;
                match notes.renew((name, &source.issuer)).await {
                    Ok(0) => {}
                    Ok(renewed) => tracing::info!(
                        source = name,
                        renewed,
                        "users were written to the log again"
                    ),
                    Err(error) => {
                        tracing::warn!(source = name, %error, "users cannot be written to the log again");
                    }
                }
            }
        }
    };
    shutdown.run_until_cancelled(work).await;
}
