//! The keys in use: those of files, or generated ones that replace each other.
//!
//! Upstreams cache the key set. So a new key is in it before it signs, and an old one stays in it after the
//! last time that it signed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use zeroize::{Zeroize as _, Zeroizing};

use super::config::Config;
use super::key::Key;
use crate::core::clock::Clock;
use crate::core::kv::{KeyValueStore, Kind};
use crate::core::secret::Secret;
use crate::core::stamp::Stamp;

/// How often files are looked at, and whether a generated key is due.
const LOOK: Duration = Duration::from_secs(1);

/// How long a new key is in the key set before it signs, and an old one afterwards. Seconds.
const OVERLAP: u64 = 24 * 3600;

/// The keys that sign assertions. All configurations of a process share them.
pub struct Keys {
    source: Source,
    clock: Clock,
    set: ArcSwap<Set>,
}

enum Source {
    Files(Vec<PathBuf>, Mutex<Vec<Stamp>>),
    Generated {
        store: Arc<dyn KeyValueStore>,
        rotation: u64,
        made: Mutex<InUse>,
    },
}

/// Generated keys, the oldest first, never empty; and the place of the one that signs.
type InUse = (Vec<Made>, usize);

struct Set {
    signing: Key,
    jwks: Bytes,
}

/// A generated key as it is stored.
#[derive(Clone, Serialize, Deserialize)]
struct Made {
    /// Unix time in seconds.
    at: u64,
    /// PKCS#8 in base64.
    pkcs8: String,
}

impl Drop for Made {
    fn drop(&mut self) {
        self.pkcs8.zeroize();
    }
}

impl Keys {
    /// Reads the keys, or generates the first one. Blocks on the disk.
    ///
    /// # Errors
    /// What cannot be read or stored, for people.
    pub fn open(
        config: &Config,
        store: Arc<dyn KeyValueStore>,
        clock: Clock,
    ) -> Result<Arc<Self>, String> {
        let (source, set) = if config.key_files.is_empty() {
            let stored = load(&*store)?;
            let (rotation, now) = (config.rotation(), clock.now().seconds());
            let made = rotated(&stored, rotation, now)?;
            if let Some(made) = &made {
                save(&*store, made)?;
            }
            let made = made.unwrap_or(stored);
            let signing = signing(&made, now);
            let set = Set::of_made(&made, signing)?;
            let made = Mutex::new((made, signing));
            let source = Source::Generated {
                store,
                rotation,
                made,
            };
            (source, set)
        } else {
            let files = config.key_files.clone();
            let stamps = Mutex::new(stamps(&files));
            let set = Set::of_files(&files)?;
            (Source::Files(files, stamps), set)
        };
        Ok(Arc::new(Self {
            source,
            clock,
            set: ArcSwap::from_pointee(set),
        }))
    }

    /// Returns the key set (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> Bytes {
        self.set.load().jwks.clone()
    }

    pub(super) fn sign(&self, claims: &Map<String, Value>) -> Option<String> {
        self.set.load().signing.sign(claims)
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Keeps the keys fresh until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failure = None;
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            let keys = Arc::clone(&self);
            let refreshed = tokio::task::spawn_blocking(move || keys.refresh()).await;
            let result = refreshed.unwrap_or_else(|panic| Err(panic.to_string()));
            if let Err(why) = &result
                && failure.as_ref() != Some(why)
            {
                tracing::error!(
                    why,
                    "cannot renew the keys of assertions: the old ones stay"
                );
            }
            failure = result.err();
        }
    }

    /// Reads changed files again, or replaces a generated key that is due.
    fn refresh(&self) -> Result<(), String> {
        match &self.source {
            Source::Files(files, seen) => {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let now = stamps(files);
                if *seen != now {
                    self.set.store(Arc::new(Set::of_files(files)?));
                    *seen = now;
                    tracing::info!("read the keys of assertions again");
                }
            }
            Source::Generated {
                store,
                rotation,
                made,
            } => {
                let mut held = made.lock().unwrap_or_else(PoisonError::into_inner);
                let now = self.clock.now().seconds();
                let next = rotated(&held.0, *rotation, now)?;
                if let Some(next) = &next {
                    save(&**store, next)?;
                }
                let is_changed = next.is_some();
                let made = next.unwrap_or_else(|| held.0.clone());
                let signing = signing(&made, now);
                if is_changed || signing != held.1 {
                    self.set.store(Arc::new(Set::of_made(&made, signing)?));
                    *held = (made, signing);
                    tracing::info!("the keys of assertions changed");
                }
            }
        }
        Ok(())
    }
}

impl Set {
    /// The first one signs.
    fn of_files(files: &[PathBuf]) -> Result<Self, String> {
        let keys = files.iter().map(|path| Key::from_file(path));
        Self::of(keys.collect::<Result<_, _>>()?, 0)
    }

    fn of_made(made: &[Made], signing: usize) -> Result<Self, String> {
        let keys = made.iter().map(|made| {
            let pkcs8 = STANDARD.decode(&made.pkcs8).map(Zeroizing::new).ok();
            let key = pkcs8.and_then(|pkcs8| Key::of(&pkcs8));
            key.ok_or_else(|| "a stored key of assertions is damaged".to_owned())
        });
        Self::of(keys.collect::<Result<_, _>>()?, signing)
    }

    fn of(mut keys: Vec<Key>, signing: usize) -> Result<Self, String> {
        let public: Vec<_> = keys.iter().map(|key| &key.public).collect();
        let jwks = json!({ "keys": public }).to_string().into();
        if signing >= keys.len() {
            return Err("there is no key for assertions".to_owned());
        }
        let signing = keys.swap_remove(signing);
        Ok(Self { signing, jwks })
    }
}

/// Returns the place of the newest key that has been in the key set for long enough; otherwise that of the
/// oldest one.
fn signing(made: &[Made], now: u64) -> usize {
    let is_known = |made: &Made| made.at.saturating_add(OVERLAP) <= now;
    made.iter().rposition(is_known).unwrap_or_default()
}

/// Returns the keys with those that are missing and without those that are out of use, if any are. A key that
/// was made by a clock that was ahead does not count as new.
fn rotated(made: &[Made], rotation: u64, now: u64) -> Result<Option<Vec<Made>>, String> {
    let is_fresh = |newest: &Made| {
        newest.at.saturating_add(rotation) > now && newest.at <= now.saturating_add(OVERLAP)
    };
    let mut next = made.to_vec();
    if !made.last().is_some_and(is_fresh) {
        let pkcs8 = Key::generate()?;
        next.push(Made {
            at: now,
            pkcs8: STANDARD.encode(pkcs8.expose()),
        });
    }
    let successor = |made: &[Made]| made.get(1).map(|made| made.at);
    while successor(&next).is_some_and(|at| at.saturating_add(2 * OVERLAP) <= now) {
        next.remove(0);
    }
    let same = next
        .iter()
        .map(|made| made.at)
        .eq(made.iter().map(|made| made.at));
    Ok((!same).then_some(next))
}

fn load(store: &dyn KeyValueStore) -> Result<Vec<Made>, String> {
    let fail = |error: &dyn std::fmt::Display| {
        format!("the stored keys of assertions cannot be read: {error}")
    };
    let stored = store
        .load(Kind::AssertionKeys, "")
        .map_err(|error| fail(&error))?;
    let stored = stored.map(Secret::new);
    stored.map_or(Ok(Vec::new()), |stored| {
        serde_json::from_slice(stored.expose())
            .map_err(|error| fail(&format!("{:?}", error.classify())))
    })
}

fn save(store: &dyn KeyValueStore, made: &[Made]) -> Result<(), String> {
    let fail =
        |error: &dyn std::fmt::Display| format!("the keys of assertions cannot be stored: {error}");
    let bytes = serde_json::to_vec(made).map_err(|error| fail(&error))?;
    let saved = store.save(Kind::AssertionKeys, "", &Zeroizing::new(bytes));
    saved.map_err(|error| fail(&error))
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|path| Stamp::of(path)).collect()
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
