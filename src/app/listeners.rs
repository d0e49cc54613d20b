//! The listeners of the process, bound before anything else is built.

use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::config::{Addresses, Config};
use crate::net::{self, Listener, Places, Tls};

/// Bound sockets, each with the places of its listener. They are bound first, so that a port in use
/// shows at once.
pub(super) struct Listeners {
    pub(super) ext_authz: Vec<Bound>,
    pub(super) forward_auth: Vec<Bound>,
    pub(super) events: Vec<Bound>,
    pub(super) admin: Vec<Bound>,
}

type Bound = (Listener, Arc<Places>);

/// The names of protocols in ALPN (RFC 7301 §6).
const H2: &[&[u8]] = &[b"h2"];
const HTTP1: &[&[u8]] = &[b"http/1.1"];
const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

impl Listeners {
    pub(super) async fn bind(config: &Config, registry: &mut Registry) -> Result<Self, String> {
        let listen = &config.listen;
        let metrics = net::Metrics::register(registry);
        let shares = config.connections.shares(net::open_files())?;
        let first_request = config.connections.first_request.0;
        let places = shares.map(|(name, most)| Places::new(name, most, first_request, &metrics));
        let [ext_authz, forward_auth, events, admin] = &places;
        Ok(Self {
            ext_authz: bind(ext_authz, H2, listen.ext_authz.as_ref()).await?,
            forward_auth: bind(forward_auth, HTTP1, listen.forward_auth.as_ref()).await?,
            events: bind(events, HTTP1, listen.events.as_ref()).await?,
            admin: bind(admin, HTTP, listen.admin.as_ref()).await?,
        })
    }
}

/// Binds the addresses of a listener that speaks `protocols`, by their names in ALPN.
async fn bind(
    places: &Arc<Places>,
    protocols: &'static [&'static [u8]],
    addresses: Option<&Addresses>,
) -> Result<Vec<Bound>, String> {
    let door = places.name();
    let mut listeners = Vec::new();
    for listen in addresses.into_iter().flat_map(|addresses| &addresses.0) {
        let tls = listen
            .tls()
            .map(|tls| Tls::load(tls, protocols))
            .transpose();
        let tls = tls.map_err(|error| format!("listen.{door}: tls: {error}"))?;
        let listener = net::bind(listen.address()).await?.with_tls(tls);
        let bound = listener.address().map_err(|error| error.to_string())?;
        tracing::info!(door, address = %bound, "listening");
        listeners.push((listener, Arc::clone(places)));
    }
    Ok(listeners)
}
