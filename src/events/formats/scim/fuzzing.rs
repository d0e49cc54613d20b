//! The parsers of this format for `fuzz/`, without what stands around them.

use super::attribute::Attribute;
use super::edit::Edit;
use super::node::Node;
use super::path::{Path, comparison};
use super::user::User;
use crate::events::payload;

/// Reads a body as a PATCH request, and a text as a path and a filter. Returns whether one of them is sound.
#[must_use]
pub fn reads(body: &[u8], text: &str) -> bool {
    let kept = ["userName", "emails", "name.givenName"];
    let kept: Vec<Attribute> = kept
        .into_iter()
        .filter_map(|name| Attribute::parse(name).ok())
        .collect();
    let mut edit = Edit::of(User::default(), &kept);
    let node: Result<Node, _> = payload::read_with(body, std::marker::PhantomData);
    let is_patch = node.is_ok_and(|node| edit.patch(&node).is_ok());
    let _ = edit.user.resource("key", &kept, "/");
    is_patch | Path::parse(text).is_some() | comparison(text).is_some()
}
