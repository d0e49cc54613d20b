//! Admits the users of the admin API.

use std::sync::Arc;

use arc_swap::access::DynAccess;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::audited::stranger;
use super::caller::Caller;
use super::config::{Config, Console, check_secret};
use super::console::origin;
use super::console::session::{self, Sessions};
use super::refused::Refused;
use crate::audit::Audit;
use crate::core::clock::Clock;
use crate::core::secret::{Encoding, Live, Sources};
use crate::net::last;

/// A part of the configuration in use, loaded once for each request.
pub type Current<T> = Arc<dyn DynAccess<Arc<T>> + Send + Sync>;

/// The configured credentials with their secrets at hand.
#[derive(Debug)]
pub struct Credentials {
    all: Vec<Credential>,
    has_console: bool,
}

#[derive(Debug)]
struct Credential {
    caller: Caller,
    secret: Live,
}

impl Credentials {
    /// Reads the secrets of a checked configuration.
    ///
    /// # Errors
    /// A sentence that names the credential and the file.
    pub fn build(config: &Config) -> Result<Self, String> {
        let credentials = config.credentials.iter().map(|credential| {
            let name = &credential.name;
            let secret = Sources::of("secret", Some(&credential.secret), None)
                .and_then(|all| Live::read(all, Encoding::Plain, Box::new(check_secret)))
                .map_err(|error| format!("admin credential {name}: {error}"))?;
            let (name, role) = (name.as_str().into(), credential.role);
            let caller = Caller { name, role };
            Ok(Credential { caller, secret })
        });
        let all = credentials.collect::<Result<Vec<_>, String>>()?;
        let has_console = config.console == Console::On && !all.is_empty();
        Ok(Self { all, has_console })
    }

    /// Compares with every credential, in a time that does not depend on which one matches.
    pub(super) fn admit(&self, presented: &[u8]) -> Option<&Caller> {
        self.all.iter().fold(None, |found, credential| {
            let matches = credential.secret.matches(presented);
            found.or(matches.then_some(&credential.caller))
        })
    }
}

/// Returns the secret of the only `Authorization` header (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, secret) = value.as_bytes().split_at_checked(7)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| secret.trim_ascii())
}

/// Who is let in: the users of the configured credentials, and the sessions of the console.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) credentials: Current<Credentials>,
    pub(super) sessions: Arc<Sessions>,
    audit: Audit,
}

impl Door {
    pub(super) fn new(credentials: &Current<Credentials>, clock: &Clock, audit: &Audit) -> Self {
        Self {
            credentials: Arc::clone(credentials),
            sessions: Arc::new(Sessions::new(clock.clone())),
            audit: audit.clone(),
        }
    }

    pub(super) fn has_console(&self) -> bool {
        self.credentials.load().has_console
    }

    /// Returns who holds a session, by the credentials of this moment. A session whose secret is no longer
    /// one ends.
    fn in_session(&self, credentials: &Credentials, id: &str, is_use: bool) -> Option<Caller> {
        let secret = self.sessions.secret(id, is_use)?;
        let caller = credentials.admit(secret.expose());
        if caller.is_none() {
            self.sessions.end(id);
        }
        caller.cloned()
    }
}

/// Lets requests with a good credential pass, before their body is read. Strangers lose their
/// connection.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let credentials = Arc::clone(&door.credentials.load());
    if credentials.all.is_empty() {
        let why =
            "no credentials are configured for the admin API; add one under admin.credentials";
        return last(Refused::new(StatusCode::FORBIDDEN, why).into_response());
    }
    let headers = request.headers();
    let cookie = session::id(&request);
    let session =
        cookie.filter(|_| credentials.has_console && !headers.contains_key(header::AUTHORIZATION));
    let caller = match session {
        None => credentials
            .admit(bearer(headers).unwrap_or_default())
            .cloned(),
        Some(id) => {
            if let Err(refused) = origin::check(&request) {
                return last(refused.into_response());
            }
            door.in_session(&credentials, id, !origin::is_poll(headers))
        }
    };
    let Some(caller) = caller else {
        stranger(&door.audit, &request);
        let why = match session {
            None => {
                "the credential is absent or wrong; send `Authorization: Bearer SECRET` with a \
                     secret of admin.credentials"
            }
            Some(_) => "the session of the console is over; log in again",
        };
        let mut response = Refused::new(StatusCode::UNAUTHORIZED, why).into_response();
        let challenge = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        return last(response);
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}
