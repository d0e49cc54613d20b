//! Runs the long-running parts by name. A part that ends on its own ends the process: without its
//! follower or a listener, Portcullis would only look alive.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// How a part ended.
pub(super) type Outcome = Result<(), String>;

#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<Outcome>,
    names: HashMap<Id, String>,
    shutdown: CancellationToken,
}

impl Tasks {
    /// Returns the token that is cancelled when the parts must stop.
    pub(super) fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    pub(super) fn spawn(
        &mut self,
        name: impl Into<String>,
        part: impl Future<Output = Outcome> + Send + 'static,
    ) {
        self.spawn_on(name, part, &Handle::current());
    }

    /// Runs a part on the threads of another runtime.
    pub(super) fn spawn_on(
        &mut self,
        name: impl Into<String>,
        part: impl Future<Output = Outcome> + Send + 'static,
        runtime: &Handle,
    ) {
        let id = self.running.spawn_on(part, runtime).id();
        self.names.insert(id, name.into());
    }

    /// Waits for a part to end on its own. Returns its name and the cause.
    pub(super) async fn first_failure(&mut self) -> String {
        match self.running.join_next_with_id().await {
            Some(ended) => self.describe(ended),
            None => "nothing is running".to_owned(),
        }
    }

    /// Stops every part and waits for them, for `limit` at most.
    ///
    /// # Errors
    /// Names the parts that failed or are still running.
    pub(super) async fn stop(mut self, limit: Duration) -> Result<(), String> {
        self.shutdown.cancel();
        let finished = tokio::time::timeout(limit, self.finish()).await;
        finished.unwrap_or_else(|_elapsed| {
            Err(format!(
                "still running after {}: {}",
                humantime::format_duration(limit),
                self.left().join(", ")
            ))
        })
    }

    async fn finish(&mut self) -> Result<(), String> {
        let mut result = Ok(());
        while let Some(ended) = self.running.join_next_with_id().await {
            let failed = !matches!(ended, Ok((_, Ok(()))));
            let said = self.describe(ended);
            if failed {
                result = Err(said);
            }
        }
        result
    }

    fn describe(&mut self, ended: Result<(Id, Outcome), JoinError>) -> String {
        let (id, why) = match ended {
            Ok((id, Ok(()))) => (id, "it ended".to_owned()),
            Ok((id, Err(why))) => (id, why),
            Err(error) => (error.id(), error.to_string()),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        format!("{name}: {why}")
    }

    fn left(&self) -> Vec<String> {
        let mut names: Vec<_> = self.names.values().cloned().collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_dies_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", std::future::pending());
        tasks.spawn("follower", async { panic!("torn apart") });
        let said = tasks.first_failure().await;
        assert!(said.starts_with("follower: "), "{said}");
        assert!(said.contains("torn apart"), "{said}");
    }

    #[tokio::test]
    async fn a_task_that_ends_early_is_a_failure() {
        let mut tasks = Tasks::default();
        tasks.spawn("listener", async { Ok(()) });
        assert_eq!(tasks.first_failure().await, "listener: it ended");
    }

    #[tokio::test]
    async fn stopping_waits_for_all_and_passes_errors_on() {
        let mut tasks = Tasks::default();
        let told = tasks.shutdown();
        tasks.spawn("good", async move {
            told.cancelled().await;
            Ok(())
        });
        let told = tasks.shutdown();
        tasks.spawn("bad", async move {
            told.cancelled().await;
            Err("could not flush".to_owned())
        });
        let said = tasks.stop(Duration::from_mins(1)).await;
        assert_eq!(said, Err("bad: could not flush".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("deaf", std::future::pending());
        let said = tasks.stop(Duration::from_secs(5)).await;
        assert_eq!(said, Err("still running after 5s: deaf".to_owned()));
    }
}
