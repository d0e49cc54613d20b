//! Sessions of the console. A session stands in for a secret of the admin API: each request with it is
//! admitted, or not, as if it had come with the secret.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use http::header::COOKIE;

use crate::core::clock::{Clock, Moment};
use crate::core::secret::Secret;

/// Sessions at once. One more ends the one that was not used for the longest time.
const MOST: usize = 64;

/// A session ends when nobody used it for this long.
const IDLE: Duration = Duration::from_mins(30);

/// A session ends after this time in any case.
const LIFE: Duration = Duration::from_hours(12);

/// Failed logins that all clients together have in each [`WINDOW`].
const MOST_FAILURES: usize = 10;
const WINDOW: Duration = Duration::from_mins(1);

/// The cookie. Browsers accept the prefix `__Host-` only from HTTPS (RFC 6265bis §4.1.3.2).
const NAME: &str = "portcullis-session";
const SECURE_NAME: &str = "__Host-portcullis-session";

/// The open sessions. A restart ends them all.
pub(in crate::admin) struct Sessions {
    clock: Clock,
    open: Mutex<HashMap<String, Session>>,
    /// The failed logins of the last [`WINDOW`], and the logins under way.
    attempts: Mutex<Vec<Moment>>,
}

struct Session {
    secret: Secret,
    began: Moment,
    used: Moment,
}

impl Sessions {
    pub(in crate::admin) fn new(clock: Clock) -> Self {
        Self {
            clock,
            open: Mutex::default(),
            attempts: Mutex::default(),
        }
    }

    /// Opens a session for a secret that was admitted, and returns its id of 256 random bits.
    pub(in crate::admin) fn open(&self, secret: Secret) -> String {
        let id: String = rand::random::<[u128; 2]>()
            .map(|half| format!("{half:032x}"))
            .concat();
        let (began, used) = (self.clock.moment(), self.clock.moment());
        let mut open = self.live();
        while open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, session)| session.used);
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.and_then(|id| open.remove(&id));
        }
        let session = Session {
            secret,
            began,
            used,
        };
        open.insert(id.clone(), session);
        id
    }

    /// Returns the secret that an open session stands in for. `is_use`: somebody did something, so the
    /// session is not idle.
    pub(in crate::admin) fn secret(&self, id: &str, is_use: bool) -> Option<Secret> {
        let mut open = self.live();
        let session = open.get_mut(id)?;
        if is_use {
            session.used = self.clock.moment();
        }
        Some(session.secret.clone())
    }

    pub(in crate::admin) fn end(&self, id: &str) {
        self.live().remove(id);
    }

    /// Counts an attempt to log in as failed, until [`Sessions::succeeded`].
    ///
    /// # Errors
    /// How long to wait after too many failures.
    pub(in crate::admin) fn attempt(&self) -> Result<(), Duration> {
        let mut attempts = self.attempts();
        attempts.retain(|then| self.clock.since(*then) < WINDOW);
        if attempts.len() >= MOST_FAILURES
            && let Some(first) = attempts.first()
        {
            return Err(WINDOW.saturating_sub(self.clock.since(*first)));
        }
        attempts.push(self.clock.moment());
        Ok(())
    }

    /// Takes the latest attempt back.
    pub(in crate::admin) fn succeeded(&self) {
        self.attempts().pop();
    }

    /// Returns the sessions after dropping those whose time is over.
    fn live(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| {
            self.clock.since(session.used) < IDLE && self.clock.since(session.began) < LIFE
        });
        open
    }

    fn attempts(&self) -> MutexGuard<'_, Vec<Moment>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// Returns the id in the only session cookie of a request.
pub(in crate::admin) fn id(request: &Request) -> Option<&str> {
    only_cookie(request, &[NAME, SECURE_NAME])
}

/// Returns the value of the only cookie that has one of these names.
pub(in crate::admin) fn only_cookie<'r>(request: &'r Request, names: &[&str]) -> Option<&'r str> {
    let headers = request.headers().get_all(COOKIE).iter();
    let cookies = headers.filter_map(|cookies| cookies.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';'));
    let mut ids = pairs.filter_map(|pair| match pair.trim().split_once('=') {
        Some((name, id)) if names.contains(&name) => Some(id),
        _ => None,
    });
    match (ids.next(), ids.next()) {
        (id, None) => id,
        _ => None,
    }
}

/// Returns the `Set-Cookie` of a session; without an id, one that removes it.
pub(in crate::admin) fn cookie(id: Option<&str>, secure: bool) -> String {
    let (name, secure) = if secure {
        (SECURE_NAME, "; Secure")
    } else {
        (NAME, "")
    };
    let end = if id.is_some() { "" } else { "; Max-Age=0" };
    let id = id.unwrap_or_default();
    format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict{secure}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::clock::UnixMillis;

    fn sessions() -> (Sessions, Clock) {
        let clock = Clock::manual(UnixMillis(1_795_766_400_000));
        (Sessions::new(clock.clone()), clock)
    }

    fn open(sessions: &Sessions) -> String {
        sessions.open(Secret::new("secret"))
    }

    #[test]
    fn an_unused_session_ends_after_half_an_hour_and_a_used_one_after_twelve_hours() {
        let (sessions, clock) = sessions();
        let (used, watched) = (open(&sessions), open(&sessions));
        let step = Duration::from_mins(20);
        for round in 1..36 {
            clock.advance(step);
            assert!(sessions.secret(&used, true).is_some(), "{round}");
            assert_eq!(sessions.secret(&watched, false).is_some(), round == 1);
        }
        clock.advance(step);
        assert!(sessions.secret(&used, true).is_none());
    }

    #[test]
    fn one_session_too_many_ends_the_one_that_was_not_used_for_the_longest_time() {
        let (sessions, clock) = sessions();
        let (first, second) = (open(&sessions), open(&sessions));
        clock.advance(Duration::from_secs(1));
        assert!(sessions.secret(&first, true).is_some());
        let others: Vec<_> = (2..=MOST).map(|_| open(&sessions)).collect();
        assert!(sessions.secret(&second, true).is_none());
        for id in others.iter().chain([&first]) {
            assert!(sessions.secret(id, true).is_some());
        }
        sessions.end(&first);
        assert!(sessions.secret(&first, true).is_none());
    }

    #[test]
    fn ten_failed_logins_in_a_minute_are_the_most() {
        let (sessions, clock) = sessions();
        for _ in 0..100 {
            sessions.attempt().unwrap();
            sessions.succeeded();
        }
        for _ in 0..MOST_FAILURES {
            sessions.attempt().unwrap();
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(sessions.attempt(), Err(Duration::from_secs(50)));
        clock.advance(Duration::from_secs(50));
        sessions.attempt().unwrap();
        assert!(sessions.attempt().is_err());
    }

    #[test]
    fn only_one_cookie_names_a_session() {
        let with = |cookies: &[&str]| {
            let mut request = Request::builder();
            for cookie in cookies {
                request = request.header(COOKIE, *cookie);
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            id(&request).map(str::to_owned)
        };
        assert_eq!(
            with(&["a=b; portcullis-session=1; c"]).as_deref(),
            Some("1")
        );
        assert_eq!(
            with(&["a=b", "__Host-portcullis-session=1"]).as_deref(),
            Some("1")
        );
        for none in [
            &[][..],
            &["xportcullis-session=1"],
            &["portcullis-session"],
            &["portcullis-session=1; portcullis-session=2"],
            &["portcullis-session=1", "__Host-portcullis-session=1"],
        ] {
            assert_eq!(with(none), None, "{none:?}");
        }
    }
}
