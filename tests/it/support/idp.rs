//! An identity provider: discovery, a key set, tokens, and every way to fail.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::keys::{Kind, SigningKey};
use super::mint::Mint;
use super::serve::Served;

/// How the key set is served.
#[derive(Clone, Debug, Default)]
pub(crate) enum Behaviour {
    #[default]
    Healthy,
    /// This status and no keys.
    Status(u16),
    /// 200 with this body.
    Body(String),
    /// Healthy after this long.
    Slow(Duration),
    /// 302 to another place.
    Redirect(String),
}

#[derive(Default)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    /// The JWKs that are served: those of `keys`, and whatever a test put beside them.
    jwks: Mutex<Vec<Value>>,
    cache_control: Mutex<Option<String>>,
    key_fetches: AtomicUsize,
    discoveries: AtomicUsize,
    /// What the token endpoint answers, and the forms that it got.
    tokens: Mutex<Value>,
    forms: Mutex<Vec<String>>,
}

pub(crate) struct Idp {
    address: SocketAddr,
    shared: Arc<Shared>,
    served: Option<Served>,
    signing: Arc<SigningKey>,
}

impl Idp {
    /// Up, with one ES256 key `key-1`.
    pub(crate) fn start() -> Self {
        Self::start_with(SigningKey::new(Kind::Es256, "key-1"))
    }

    pub(crate) fn start_with(key: SigningKey) -> Self {
        let shared = Arc::new(Shared::default());
        shared.jwks.lock().unwrap().push(key.jwk());
        let served = Served::start(router(Arc::clone(&shared)));
        let address = served.address;
        let signing = Arc::new(key);
        Self {
            address,
            shared,
            served: Some(served),
            signing,
        }
    }

    /// Refuses connections from now on, and breaks those that are open.
    pub(crate) fn down(&mut self) {
        self.served = None;
    }

    /// Listens again, on the same port.
    pub(crate) fn up(&mut self) {
        let router = router(Arc::clone(&self.shared));
        self.served
            .get_or_insert_with(|| Served::start_on(self.address, router));
    }

    /// The `iss` of its tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn jwks_uri(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// What `cache-control` says about the key set; none by default.
    pub(crate) fn cache_control(&self, value: &str) {
        *self.shared.cache_control.lock().unwrap() = Some(value.to_owned());
    }

    /// How often the key set was asked for.
    pub(crate) fn key_fetches(&self) -> usize {
        self.shared.key_fetches.load(Ordering::SeqCst)
    }

    pub(crate) fn discoveries(&self) -> usize {
        self.shared.discoveries.load(Ordering::SeqCst)
    }

    /// The key that new tokens are signed with.
    pub(crate) fn key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.signing)
    }

    /// Signs with a new key from now on; the old one stays in the set.
    pub(crate) fn rotate(&mut self, kind: Kind, id: &str) {
        self.signing = Arc::new(SigningKey::new(kind, id));
        self.publish(self.signing.jwk());
    }

    /// Puts a JWK into the set, whatever it is.
    pub(crate) fn publish(&self, jwk: Value) {
        self.shared.jwks.lock().unwrap().push(jwk);
    }

    /// Answers with this at the token endpoint from now on.
    pub(crate) fn issue(&self, tokens: Value) {
        *self.shared.tokens.lock().unwrap() = tokens;
    }

    /// The forms that the token endpoint got.
    pub(crate) fn forms(&self) -> Vec<String> {
        self.shared.forms.lock().unwrap().clone()
    }

    /// Takes the keys with this `kid` out of the set.
    pub(crate) fn withdraw(&self, kid: &str) {
        self.shared
            .jwks
            .lock()
            .unwrap()
            .retain(|jwk| jwk["kid"] != kid);
    }

    /// A good token for `shop-api`, to be signed or to be spoilt.
    pub(crate) fn token(&self, subject: &str) -> Mint {
        Mint::new(self.key(), &self.issuer(), "shop-api", subject)
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/.well-known/oauth-authorization-server", get(discovery))
        .route("/jwks.json", get(key_set))
        .route("/token", post(token))
        .with_state(shared)
}

/// The document of OIDC Discovery §3 and RFC 8414 §2, as far as anybody here reads it.
async fn discovery(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> String {
    shared.discoveries.fetch_add(1, Ordering::SeqCst);
    let host = headers[header::HOST].to_str().unwrap();
    let issuer = format!("http://{host}");
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks.json"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
    })
    .to_string()
}

/// The token endpoint of RFC 6749 §3.2.
async fn token(State(shared): State<Arc<Shared>>, form: String) -> Response {
    shared.forms.lock().unwrap().push(form);
    let tokens = shared.tokens.lock().unwrap();
    (
        [(header::CONTENT_TYPE, "application/json")],
        tokens.to_string(),
    )
        .into_response()
}

async fn key_set(State(shared): State<Arc<Shared>>) -> Response {
    shared.key_fetches.fetch_add(1, Ordering::SeqCst);
    let behaviour = shared.behaviour.lock().unwrap().clone();
    match behaviour {
        Behaviour::Healthy => keys(&shared),
        Behaviour::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Behaviour::Body(body) => body.into_response(),
        Behaviour::Slow(pause) => {
            tokio::time::sleep(pause).await;
            keys(&shared)
        }
        Behaviour::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
    }
}

fn keys(shared: &Shared) -> Response {
    let body = json!({ "keys": *shared.jwks.lock().unwrap() }).to_string();
    let mut response = ([(header::CONTENT_TYPE, "application/jwk-set+json")], body).into_response();
    if let Some(value) = &*shared.cache_control.lock().unwrap() {
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, value.parse().unwrap());
    }
    response
}
