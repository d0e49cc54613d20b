//! What the endpoints need of the other parts.

use std::sync::Arc;

use arc_swap::access::DynAccess;

use super::assertion::Used;
use super::clients::Clients;
use crate::audit::Audit;
use crate::core::clock::Clock;
use crate::gate::Gate;
use crate::revocation::Writer;

/// A part of the configuration in use.
pub type Current<T> = Arc<dyn DynAccess<Arc<T>> + Send + Sync>;

/// What the endpoints need of the other parts.
pub struct Api {
    pub clients: Current<Clients>,
    pub gate: Current<Gate>,
    pub writer: Writer,
    pub clock: Clock,
    pub audit: Audit,
    pub used: Used,
}
