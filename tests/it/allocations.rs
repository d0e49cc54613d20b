//! A repeat token is checked with almost no memory from the heap.

use futures_util::FutureExt;
use portcullis::gate::Decision;

use crate::support::{Kind, SigningKey};
use crate::whole::{Whole, token};

/// Allocations of our own code for one repeat token: from the message's bytes to the answer's. Two
/// are the answer itself and the count of its owners.
const MOST: u64 = 2;

#[test]
fn a_repeat_token_costs_hardly_an_allocation() {
    let key = SigningKey::new(Kind::Es256, "ec-1");
    let whole = Whole::new(&[&key], 4000);
    let message = crate::body::message(&token(&key, 0));
    let _entered = whole.runtime.enter();
    let check = || {
        let checked = whole.check(&message).now_or_never();
        let (decision, _answer) = checked.expect("a check of a good token waits for nothing");
        assert!(matches!(decision, Decision::Permit(_)), "{decision:?}");
    };
    // The first check verifies, the next few settle the cache's own bookkeeping.
    for _ in 0..1000 {
        check();
    }
    // moka writes down which tokens were used and sums it up now and then, so one check may cost
    // more than the next. What counts is the usual one.
    let mut counts: Vec<u64> = (0..999)
        .map(|_| allocation_counter::measure(check).count_total)
        .collect();
    counts.sort_unstable();
    let (median, total) = (counts[counts.len() / 2], counts.iter().sum::<u64>());
    assert!(median <= MOST, "{median} allocations");
    assert!(
        total <= MOST * 1000 * 11 / 10,
        "{total} allocations for 999 checks"
    );
}

/// The same for a token that is seen for the first time, but for its signature, which is checked
/// in C.
const MOST_AT_FIRST: u64 = 24;

/// Bytes of such a token that stay: its claims, and what the cache needs to find it again.
const MOST_KEPT: i64 = 900;

#[test]
fn a_new_token_costs_few_allocations() {
    let key = SigningKey::new(Kind::Es256, "ec-1");
    let whole = Whole::new(&[&key], 4000);
    let messages = (0..999).map(|number| crate::body::message(&token(&key, number)));
    let messages: Vec<_> = messages.collect();
    let _entered = whole.runtime.enter();
    let check = |message: &[u8]| {
        let checked = whole.check(message).now_or_never();
        let (decision, _answer) = checked.expect("a check of a good token waits for nothing");
        assert!(matches!(decision, Decision::Permit(_)), "{decision:?}");
    };
    let measured = messages
        .iter()
        .map(|message| allocation_counter::measure(|| check(message)));
    // As above, what counts is the usual check.
    let (mut counts, mut kept): (Vec<_>, Vec<_>) = measured
        .map(|one| (one.count_total, one.bytes_current))
        .unzip();
    counts.sort_unstable();
    kept.sort_unstable();
    let (count, kept) = (counts[counts.len() / 2], kept[kept.len() / 2]);
    assert!(count <= MOST_AT_FIRST, "{count} allocations");
    assert!(kept <= MOST_KEPT, "{kept} bytes");
}
