//! The look-up of a token: what the request path asks.

use std::net::IpAddr;
use std::sync::Arc;

use super::matched::{Match, UnknownAddress};
use super::shapes::Shape;
use super::{Index, Matching, hash, read};
use crate::core::network;
use crate::verify::claims::Claims;

impl Index {
    /// Returns a revocation that is not lifted and matches the token, wherever it comes from.
    #[must_use]
    pub fn matching(&self, token: &Claims) -> Option<Match> {
        self.look_up(token).enforced
    }

    /// Returns the revocations that are not lifted and match the token, wherever it comes from. Costs a few hash
    /// look-ups for each live shape of the issuer, however many revocations there are.
    #[must_use]
    pub fn look_up(&self, token: &Claims) -> Matching {
        let shapes = self.shapes.load();
        let of_issuer = shapes.get(&*token.issuer);
        let shapes = of_issuer.into_iter().flatten();
        self.first_of(shapes.filter(|shape| !shape.has_network), token, &[])
    }

    /// The same for a request, whose address `from` knows. It is asked only if a network is revoked.
    ///
    /// # Errors
    /// When that depends on the address, and it is not known.
    pub fn look_up_from(
        &self,
        token: &Claims,
        from: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Matching, UnknownAddress> {
        let shapes = self.shapes.load();
        let of_issuer = || shapes.get(&*token.issuer).into_iter().flatten();
        let of_networks = || of_issuer().filter(|shape| shape.has_network);
        let elsewhere = of_issuer().filter(|shape| !shape.has_network);
        let found = self.first_of(elsewhere, token, &[]);
        if found.enforced.is_some() || of_networks().next().is_none() {
            return Ok(found);
        }
        let Some(address) = from() else {
            let depends = of_networks().any(|shape| shape.refuses());
            return (!depends).then_some(found).ok_or(UnknownAddress);
        };
        let more = self.first_of(of_networks(), token, &network::around(address));
        Ok(Matching {
            enforced: more.enforced,
            in_shadow: found.in_shadow.or(more.in_shadow),
        })
    }

    fn first_of<'s>(
        &self,
        mut shapes: impl Iterator<Item = &'s Arc<Shape>>,
        token: &Claims,
        networks: &[String],
    ) -> Matching {
        let mut in_shadow = None;
        let enforced =
            shapes.find_map(|shape| self.matching_of(shape, token, networks, &mut in_shadow));
        Matching {
            enforced,
            in_shadow,
        }
    }

    fn matching_of(
        &self,
        shape: &Arc<Shape>,
        token: &Claims,
        networks: &[String],
        in_shadow: &mut Option<Match>,
    ) -> Option<Match> {
        let mut slot = None;
        let revoked = shape.any_key(token, networks, |key| {
            let shard = read(self.shard(key));
            let same_hash = shard.iter_hash(hash(key));
            let mut found = same_hash.filter(|slot| slot.key == key && slot.covers(token));
            slot = found
                .find(|slot| {
                    if slot.is_in_shadow() {
                        in_shadow.get_or_insert_with(|| Match::new(Some(**slot), shape));
                    }
                    !slot.is_in_shadow()
                })
                .copied();
            slot.is_some()
        });
        let is_revoked = revoked.unwrap_or_else(|_| {
            if !shape.refuses() {
                in_shadow.get_or_insert_with(|| Match::new(None, shape));
                return false;
            }
            self.warned_of_combinations.call_once(|| {
                tracing::warn!(
                    issuer = &*token.issuer,
                    claims = shape.label(),
                    "a token has too many combinations of array values to look up; such tokens are \
                     refused as revoked (logged once)"
                );
            });
            true
        });
        is_revoked.then(|| Match::new(slot, shape))
    }
}
