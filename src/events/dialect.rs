//! What a format has to say. The receiver asks for it as data and does the work itself.

use std::time::Duration;

use axum::body::Body;
use http::Request;

use super::answer::{Answers, Failure, Handshake};
use super::auth::Proof;
use super::delivery::{Delivery, Verified};
use super::outcome::{Outcome, Rejection};
use super::pull::ask::Ask;
use super::resources::{Asked, Plan, Shelf};
use crate::core::config_error::ConfigErrors;

/// Where an event comes from, for the records that it leaves.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The name of the source in records.
    pub source: &'a str,
    /// The `iss` of the tokens that it may revoke.
    pub issuer: &'a str,
}

/// The options of one format, and what senders of that format do.
pub(super) trait Dialect: Send + Sync {
    /// Reports what is wrong with the options, with the format as the current place.
    fn check(&self, errors: &mut ConfigErrors);

    /// Returns the paths that senders append to `/events/<name>/`. They mean nothing more: the body says
    /// what kind of event it is.
    fn paths(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns how long an answer may take by default: less than a sender of this format waits. Most
    /// senders never try again, so a late answer is a lost event.
    fn patience(&self) -> Duration;

    /// Returns the media types that bodies may have, in lower case and without parameters.
    fn media_types(&self) -> &'static [&'static str] {
        &["application/json"]
    }

    /// Returns how a body proves itself.
    fn proof(&self) -> Proof;

    /// Returns another issuer than that of the tokens whose keys sign the proof, after the path of the
    /// option that names it, below `format`.
    fn signer(&self) -> Option<(&'static str, &str)> {
        None
    }

    /// Returns the claims that the options name and that the address of a request may stand for.
    fn claims(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Returns how senders want to be answered.
    fn answers(&self) -> Answers {
        Answers::default()
    }

    /// Answers a request that is no event, by its head alone and before any proof. The method may be
    /// `GET` or `POST`.
    fn handshake(&self, _request: &Request<Body>) -> Option<Handshake> {
        None
    }

    /// Returns the resources by which senders say what they have to say, if they send no events.
    fn resources(&self) -> Option<&dyn Resources> {
        None
    }

    /// Returns whether the provider is asked for events.
    fn is_asked(&self) -> bool {
        false
    }

    /// Returns what asks the provider for events; `None` if they are only pushed. Reads secrets.
    ///
    /// # Errors
    /// A sentence that names the option.
    fn asker(&self) -> Result<Option<Box<dyn Ask>>, String> {
        Ok(None)
    }

    /// Maps an event to what has to be done about it.
    ///
    /// # Errors
    /// When nobody can ever understand this body.
    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection>;
}

/// Resources that senders create, read and change by requests of any method.
pub(super) trait Resources: Send + Sync {
    /// Returns the path that they lie below, which itself lies below that of the source.
    fn root(&self) -> &'static str;

    /// Decides what a request does. Changes nothing.
    ///
    /// # Errors
    /// When it cannot succeed as it is.
    fn plan(&self, asked: &Asked, known: Shelf<'_>, origin: Origin<'_>) -> Result<Plan, Failure>;
}
