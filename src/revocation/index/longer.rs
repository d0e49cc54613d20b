//! A raise of an issuer's terms reaches what the index holds already.

use std::time::Duration;

use super::{Index, write};

impl Index {
    /// Remembers the entries of issuers for longer, by what `longer` says of each issuer.
    pub fn remember_longer(&self, longer: impl Fn(&str) -> Option<Duration>) {
        let writing = self.writing();
        let by_shape = writing.register.each(|shape| {
            let longer = longer(&shape.issuer)?.as_millis().div_ceil(1000);
            Some(u32::try_from(longer).unwrap_or(u32::MAX))
        });
        if by_shape.iter().all(Option::is_none) {
            return;
        }
        for shard in &self.shards {
            for slot in write(shard).iter_mut() {
                if let Some(Some(seconds)) = by_shape.get(usize::from(slot.shape)) {
                    slot.remember_longer(*seconds);
                }
            }
        }
    }
}
