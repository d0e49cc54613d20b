//! Sessions of users: refuses those that lasted too long, or were not seen for too long.
//!
//! What was seen is this replica's own, in memory, and bounded: after a restart, on another replica, or when
//! more than [`MOST`] sessions were seen since, a session counts as seen now. So an idle session may pass once
//! too often, and never is one refused that this replica has seen in time.

use std::hash::Hasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::core::clock::{Clock, UnixMillis};
use crate::core::reason::{Reason, Rejection};
use crate::verify::claims::{ClaimPath, Claims};
use crate::verify::{SessionConfig, Verified};

/// The most sessions that are remembered, those seen last. Each takes about 150 bytes.
pub const MOST: u64 = 250_000;

static SID: LazyLock<ClaimPath> = LazyLock::new(|| ClaimPath::of_record("sid"));

/// The keyed hash of a session's name.
type Key = [u64; 2];

/// A session, and when it was seen.
type Session = (Key, Option<Arc<AtomicU64>>);

/// When each session was seen, in milliseconds since the boot.
pub struct Sessions {
    seen: Cache<Key, Arc<AtomicU64>>,
    secret: [u64; 2],
}

impl Default for Sessions {
    fn default() -> Self {
        Self::with_room_for(MOST)
    }
}

impl Sessions {
    fn with_room_for(most: u64) -> Self {
        let seen = Cache::builder().max_capacity(most);
        Self {
            seen: seen.eviction_policy(EvictionPolicy::lru()).build(),
            secret: rand::random(),
        }
    }

    /// Refuses a token whose session has ended. `uses` says whether the session counts as seen.
    ///
    /// # Errors
    /// [`Reason::InsufficientUserAuthentication`], with the age of a login that would do;
    /// [`Reason::ClockDisagreement`] if its age is not known.
    pub fn judge(&self, verified: &Verified, clock: &Clock, uses: bool) -> Result<(), Rejection> {
        let Some(limits) = verified.session else {
            return Ok(());
        };
        let boot = clock.moment().since_boot();
        let session = clock.judge(|now| self.check(&verified.claims, &limits, (now, boot)))?;
        let Some((key, seen)) = session.filter(|_| uses && limits.idle_timeout.is_some()) else {
            return Ok(());
        };
        match seen {
            Some(seen) => {
                seen.fetch_max(boot, Ordering::Relaxed);
            }
            None => self.seen.insert(key, Arc::new(AtomicU64::new(boot))),
        }
        Ok(())
    }

    /// Returns the session of a token, `None` if it has none. How long it was idle is told by the boot clock, which
    /// never jumps.
    fn check(
        &self,
        claims: &Claims,
        limits: &SessionConfig,
        (now, boot): (UnixMillis, u64),
    ) -> Result<Option<Session>, Rejection> {
        let login = claims.auth_time(now)?;
        let Some(key) = self.key(claims, login.is_some()) else {
            return Ok(None);
        };
        check_age(limits, login, now)?;
        let Some(most) = limits.idle_timeout else {
            return Ok(Some((key, None)));
        };
        let seen = self.seen.get(&key);
        if let Some(seen) = &seen {
            let last = seen.load(Ordering::Relaxed);
            let idle = Duration::from_millis(boot.saturating_sub(last));
            let is_new = login.is_some_and(|login| login > now.minus(idle));
            if idle > most.0 && !is_new {
                let expected = format!("a session seen in the last {most} (session.idle_timeout)");
                let found = format!("seen {} s ago", idle.as_secs());
                return Err(refused(most.0.as_secs(), expected, found));
            }
        }
        Ok(Some((key, seen)))
    }

    /// Returns the key of the token's session; `None` if it has none.
    fn key(&self, claims: &Claims, has_login: bool) -> Option<Key> {
        let sid = claims.values(&SID);
        let subject = claims.subject.as_deref().filter(|_| has_login);
        let client = claims.client.as_deref().unwrap_or_default();
        let name = match (sid.first(), subject) {
            (Some(sid), _) => ["sid", sid, ""],
            (None, Some(subject)) => ["sub", subject, client],
            (None, None) => return None,
        };
        let mut hasher = SipHasher13::new_with_keys(self.secret[0], self.secret[1]);
        for text in [&[&*claims.issuer][..], &name].concat() {
            hasher.write(&(text.len() as u64).to_le_bytes());
            hasher.write(text.as_bytes());
        }
        let hash = hasher.finish128();
        Some([hash.h1, hash.h2])
    }
}

fn check_age(
    limits: &SessionConfig,
    login: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<(), Rejection> {
    let Some(most) = limits.max_age else {
        return Ok(());
    };
    if login.is_some_and(|login| now <= login.plus(most.0)) {
        return Ok(());
    }
    let found = login.map_or("auth_time: absent".to_owned(), |login| {
        format!("auth_time: {} s ago", now.since(login).as_secs())
    });
    let expected = format!("auth_time: in the last {most} (session.max_age)");
    Err(refused(most.0.as_secs(), expected, found))
}

fn refused(most: u64, expected: String, found: String) -> Rejection {
    Rejection {
        wanted: Some(format!(", max_age=\"{most}\"").into()),
        ..Rejection::found(Reason::InsufficientUserAuthentication, expected, found)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::gate::testing;

    const START: u64 = 1_700_000_000;

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis::from_seconds(START + seconds)
    }

    /// A clock of which both hands moved so many seconds since the start.
    fn after(seconds: u64) -> Clock {
        let clock = Clock::manual(at(0));
        clock.advance(Duration::from_secs(seconds));
        clock
    }

    /// A token of an issuer with these limits.
    fn token(limits: &str, more: &Value) -> Verified {
        let mut claims =
            json!({ "iss": "https://id.example.com", "sub": "alice", "client_id": "shop" });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut verified = Arc::into_inner(testing::verified(&claims)).unwrap();
        verified.session = Some(serde_saphyr::from_str(limits).unwrap());
        verified
    }

    const IDLE: &str = "{ idle_timeout: 10m }";

    #[test]
    fn a_session_that_was_not_seen_for_too_long_needs_a_newer_login() {
        let sessions = Sessions::default();
        let judge = |token: &Verified, seconds| sessions.judge(token, &after(seconds), true);
        let old = token(IDLE, &json!({ "sid": "s-1", "auth_time": START }));
        for seconds in [0, 600, 1200] {
            assert!(judge(&old, seconds).is_ok(), "{seconds}");
        }
        for _ in 0..2 {
            let refused = judge(&old, 1801).unwrap_err();
            assert_eq!(refused.reason, Reason::InsufficientUserAuthentication);
            assert_eq!(refused.wanted.as_deref(), Some(", max_age=\"600\""));
        }
        // Of the same session, refreshed without a login; of another one; of the same one after a login.
        let refreshed = token(
            IDLE,
            &json!({ "sid": "s-1", "auth_time": START, "jti": "2" }),
        );
        assert!(judge(&refreshed, 1802).is_err());
        let other = token(IDLE, &json!({ "sid": "s-2", "auth_time": START }));
        assert!(judge(&other, 1802).is_ok());
        let again = token(IDLE, &json!({ "sid": "s-1", "auth_time": START + 1803 }));
        assert!(judge(&again, 1804).is_ok());
        // A login wakes the session, for its older tokens too.
        assert!(judge(&old, 1805).is_ok());
        assert!(judge(&old, 2406).is_err());
    }

    #[test]
    fn a_look_that_is_no_use_keeps_no_session_awake() {
        let sessions = Sessions::default();
        let token = token(IDLE, &json!({ "sid": "s-1" }));
        assert!(sessions.judge(&token, &after(0), true).is_ok());
        assert!(sessions.judge(&token, &after(500), false).is_ok());
        assert!(sessions.judge(&token, &after(601), false).is_err());
        assert!(sessions.judge(&token, &after(601), true).is_err());
    }

    #[test]
    fn tokens_of_no_user_have_no_session() {
        let sessions = Sessions::default();
        let limits = "{ idle_timeout: 10m, max_age: 1h }";
        let service = token(limits, &json!({}));
        for seconds in [0, 100_000] {
            assert!(sessions.judge(&service, &after(seconds), true).is_ok());
        }
        // By user and client, which are not told apart by where one text ends.
        let login = json!({ "auth_time": START });
        let alice = token(IDLE, &login);
        let other = token(IDLE, &json!({ "auth_time": START, "client_id": "shop2" }));
        assert!(sessions.judge(&alice, &after(0), true).is_ok());
        assert!(sessions.judge(&other, &after(900), true).is_ok());
        assert!(sessions.judge(&alice, &after(900), true).is_err());
    }

    #[test]
    fn a_session_ends_with_its_longest_age_however_often_it_is_seen() {
        let sessions = Sessions::default();
        let judge = |claims: Value, seconds| {
            let token = token("{ max_age: 1h }", &claims);
            sessions.judge(&token, &after(seconds), true)
        };
        let claims = json!({ "sid": "s-1", "auth_time": START });
        assert!(judge(claims.clone(), 3600).is_ok());
        let refused = judge(claims, 3601).unwrap_err();
        assert_eq!(refused.wanted.as_deref(), Some(", max_age=\"3600\""));
        for nothing in [json!("soon"), json!(null), json!(-1), json!([])] {
            let claims = json!({ "sid": "s-1", "auth_time": nothing });
            assert!(judge(claims, 1).is_err(), "{nothing}");
        }
    }

    #[test]
    fn a_login_in_the_future_makes_no_session_young() {
        let sessions = Sessions::default();
        for limits in ["{ max_age: 1h }", IDLE] {
            for login in [START + 86_400, START * 1000, u64::MAX] {
                let token = token(limits, &json!({ "sid": "s-1", "auth_time": login }));
                let refused = sessions.judge(&token, &after(10), true).unwrap_err();
                assert_eq!(
                    refused.reason,
                    Reason::ClockDisagreement,
                    "{limits} {login}"
                );
            }
        }
    }

    #[test]
    fn a_jump_of_the_clock_is_no_sessions_fault_and_keeps_none_awake() {
        let (sessions, clock) = (Sessions::default(), after(0));
        let judge = |token: &Verified| sessions.judge(token, &clock, true);
        let aged = token(
            "{ max_age: 1h }",
            &json!({ "sid": "s-1", "auth_time": START }),
        );
        let idle = token(IDLE, &json!({ "sid": "s-2", "auth_time": START }));
        assert!(judge(&aged).is_ok() && judge(&idle).is_ok());
        clock.set(at(86_400));
        let doubted = judge(&aged).unwrap_err();
        assert_eq!(doubted.reason, Reason::ClockDisagreement);
        assert!(judge(&idle).is_ok(), "it was not idle");
        clock.set(at(0));
        assert!(judge(&aged).is_ok());
        clock.advance(Duration::from_secs(601));
        let refused = judge(&idle).unwrap_err();
        assert_eq!(refused.reason, Reason::InsufficientUserAuthentication);
    }

    #[test]
    fn a_flood_of_sessions_takes_bounded_memory_and_refuses_nobody() {
        let sessions = Sessions::with_room_for(100);
        for number in 0..10_000 {
            let token = token(IDLE, &json!({ "sid": number.to_string() }));
            assert!(sessions.judge(&token, &after(number), true).is_ok());
        }
        sessions.seen.run_pending_tasks();
        assert!(sessions.seen.entry_count() <= 100);
    }

    proptest! {
        /// Against a list of what was seen.
        #[test]
        fn decisions_are_those_of_a_naive_model(
            steps in prop::collection::vec((0..400_u64, 0..3_u8, any::<bool>(), any::<bool>()), 1..80),
        ) {
            let sessions = Sessions::default();
            let (mut now, mut model) = (0, BTreeMap::new());
            let mut logins = [0; 3];
            for (passed, who, logs_in, uses) in steps {
                now += passed;
                let login = &mut logins[usize::from(who)];
                if logs_in {
                    *login = now;
                }
                let claims = json!({ "sid": who.to_string(), "auth_time": START + *login });
                let seen = model.get(&who).copied();
                let expected = seen.is_none_or(|seen| now <= seen + 600 || *login > seen);
                let judged = sessions.judge(&token(IDLE, &claims), &after(now), uses);
                prop_assert_eq!(judged.is_ok(), expected, "{} at {}", who, now);
                if expected && uses {
                    model.insert(who, now);
                }
            }
        }
    }
}
