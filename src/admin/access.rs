//! Admits the users of the admin API.

use std::sync::Arc;

use arc_swap::access::DynAccess;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::audited::stranger;
use super::caller::Caller;
use super::console::logins::Logins;
use super::console::origin;
use super::console::session::{self, Sessions};
use super::credentials::Credentials;
use super::refused::Refused;
use crate::audit::Audit;
use crate::core::clock::Clock;
use crate::core::secret::Secret;
use crate::net::{Seat, last};

/// A part of the configuration in use, loaded once for each request.
pub type Current<T> = Arc<dyn DynAccess<Arc<T>> + Send + Sync>;

/// Returns the credential of the only `Authorization` header (RFC 6750 §2.1).
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
    pub(super) logins: Arc<Logins>,
    pub(super) audit: Audit,
}

impl Door {
    pub(super) fn new(credentials: &Current<Credentials>, clock: &Clock, audit: &Audit) -> Self {
        Self {
            credentials: Arc::clone(credentials),
            sessions: Arc::new(Sessions::new(clock.clone())),
            logins: Arc::new(Logins::new(clock.clone())),
            audit: audit.clone(),
        }
    }

    pub(super) fn has_console(&self) -> bool {
        self.credentials.load().has_console
    }

    /// Finds what a request presents: its header, else its session, else the certificate of its connection.
    fn presented<'r>(
        &self,
        credentials: &Credentials,
        request: &'r Request,
    ) -> Result<Presented<'r>, Refused> {
        if credentials.is_empty() {
            let why =
                "no credentials are configured for the admin API; add one under admin.credentials";
            return Err(Refused::new(StatusCode::FORBIDDEN, why));
        }
        let headers = request.headers();
        if headers.contains_key(header::AUTHORIZATION) {
            return Ok(Presented::Bearer(bearer(headers).unwrap_or_default()));
        }
        if let Some(id) = session::id(request).filter(|_| credentials.has_console) {
            origin::check(request)?;
            let secret = self.sessions.secret(id, !origin::is_poll(headers));
            let secret = secret.ok_or_else(session_is_over)?;
            return Ok(Presented::Session { id, secret });
        }
        let seat = request.extensions().get::<Arc<Seat>>();
        let names = seat.map(|seat| seat.names()).unwrap_or_default();
        if names.is_empty() {
            return Ok(Presented::Bearer(&[]));
        }
        // A browser shows its certificate whichever page makes it send a request.
        origin::check_browser(request)?;
        Ok(Presented::Certificate(names))
    }

    /// Returns whom that admits, by the credentials of this moment. A session whose secret or token is no longer
    /// one ends.
    async fn caller(
        &self,
        credentials: &Credentials,
        presented: Presented<'_>,
    ) -> Result<Caller, Refused> {
        let (id, secret) = match presented {
            Presented::Bearer(presented) => return credentials.by_bearer(presented).await,
            Presented::Certificate(names) => return credentials.by_certificate(names),
            Presented::Session { id, secret } => (id, secret),
        };
        let admitted = credentials.by_bearer(secret.expose()).await;
        admitted.map_err(|refused| {
            if refused.status == StatusCode::SERVICE_UNAVAILABLE {
                return refused;
            }
            self.sessions.end(id);
            session_is_over()
        })
    }
}

/// What a request presents.
enum Presented<'r> {
    /// A secret or a token; empty if there is nothing.
    Bearer(&'r [u8]),
    /// The id of a session, and what it stands in for.
    Session { id: &'r str, secret: Secret },
    /// The names in a certificate.
    Certificate(&'r [String]),
}

fn session_is_over() -> Refused {
    let why = "the session of the console is over; log in again";
    Refused::new(StatusCode::UNAUTHORIZED, why)
}

/// Lets requests with a good credential pass, before their body is read. Strangers lose their
/// connection.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let credentials = Arc::clone(&door.credentials.load());
    let admitted = match door.presented(&credentials, &request) {
        Ok(presented) => door.caller(&credentials, presented).await,
        Err(refused) => Err(refused),
    };
    let refused = match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            return next.run(request).await;
        }
        Err(refused) => refused,
    };
    let status = refused.status;
    if status != StatusCode::SERVICE_UNAVAILABLE && !credentials.is_empty() {
        stranger(&door.audit, &request, status);
    }
    let mut response = refused.into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    last(response)
}
