//! Replicas, for every protocol: the state of this replica and of the others, and where they disagree.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;

use super::api::Api;
use super::state::Status;

/// The states of all replicas that this one knows of.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Replicas")]
pub(super) struct Listed {
    pub(super) replicas: Vec<Replica>,
}

/// A replica as this one sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Replica {
    /// Its address in `admin.replicas.urls`; `null` for this replica if its own is not there.
    pub(super) url: Option<String>,
    /// Whether it is the replica that answers.
    pub(super) is_self: bool,
    /// Its state; `null` if it does not answer.
    pub(super) status: Option<Status>,
    /// Why its state is not known.
    pub(super) error: Option<String>,
    /// The members of its state in which it is not like most replicas: `version`, `ready`, `configuration`,
    /// `live_revocations`, `issuers`.
    pub(super) differs: Vec<&'static str>,
}

/// Asks all replicas at once.
pub(super) async fn replicas(api: &Api) -> Listed {
    let own = api.status();
    let credentials = Arc::clone(&api.credentials.load());
    let asked = credentials.peers.all.iter().map(|peer| async move {
        let url = Some(peer.shown.clone());
        Replica {
            url,
            ..Replica::of(peer.status().await)
        }
    });
    let mut replicas = join_all(asked).await;
    for replica in &mut replicas {
        let status = replica.status.as_ref();
        replica.is_self = status.is_some_and(|status| status.instance == own.instance);
    }
    if !replicas.iter().any(|replica| replica.is_self) {
        let this = Replica {
            is_self: true,
            ..Replica::of(Ok(own))
        };
        replicas.insert(0, this);
    }
    mark(&mut replicas);
    Listed { replicas }
}

impl Replica {
    fn of(answer: Result<Status, String>) -> Self {
        let (status, error) = match answer {
            Ok(status) => (Some(status), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            url: None,
            is_self: false,
            status,
            error,
            differs: Vec::new(),
        }
    }
}

/// What replicas should have in common.
type Compared = fn(&Status) -> String;

const COMPARED: [(&str, Compared); 5] = [
    ("version", |status| status.version.clone()),
    ("ready", |status| status.readiness.ready.to_string()),
    ("configuration", |status| status.configuration.hash.clone()),
    ("live_revocations", |status| {
        status.live_revocations.to_string()
    }),
    ("issuers", |status| {
        let issuers = status.issuers.iter();
        let issuers = issuers.map(|keys| format!("{} {}", keys.issuer, keys.usable));
        issuers.collect::<Vec<_>>().join("\n")
    }),
];

/// Marks the replicas that are not like most others. Without a majority each of them is marked.
fn mark(replicas: &mut [Replica]) {
    for (name, value) in COMPARED {
        let mut counts: HashMap<String, usize> = HashMap::new();
        let known = replicas
            .iter()
            .filter_map(|replica| replica.status.as_ref());
        for status in known {
            *counts.entry(value(status)).or_default() += 1;
        }
        let all: usize = counts.values().sum();
        let usual = counts.into_iter().find(|(_, count)| count * 2 > all);
        for replica in replicas.iter_mut() {
            let own = replica.status.as_ref().map(value);
            let is_usual = own.is_none() || own.as_ref() == usual.as_ref().map(|(value, _)| value);
            if !is_usual {
                replica.differs.push(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The members in which replicas with these versions differ; `None` does not answer.
    fn marked(versions: &[Option<&str>]) -> Vec<bool> {
        let replicas = versions.iter().map(|version| {
            let status = version.map(|version| Status {
                version: version.to_owned(),
                ..Status::default()
            });
            Replica::of(status.ok_or_else(|| "it does not answer".to_owned()))
        });
        let mut replicas: Vec<_> = replicas.collect();
        mark(&mut replicas);
        let is_marked = |replica: &Replica| match &*replica.differs {
            [] => false,
            ["version"] => true,
            other => panic!("{other:?}"),
        };
        replicas.iter().map(is_marked).collect()
    }

    #[test]
    fn replicas_that_are_not_like_most_are_marked_and_all_of_them_without_a_majority() {
        let (old, new) = (Some("1"), Some("2"));
        assert_eq!(marked(&[new]), [false]);
        assert_eq!(marked(&[new, new, None]), [false, false, false]);
        assert_eq!(marked(&[new, old, new]), [false, true, false]);
        assert_eq!(marked(&[new, old, None]), [true, true, false]);
        assert_eq!(marked(&[None]), [false]);
    }
}
