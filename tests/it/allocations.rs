//! A repeat token is checked with almost no memory from the heap.

use allocation_counter::AllocationInfo;
use bytes::Bytes;
use futures_util::FutureExt;
use portcullis::policy::Policy;
use serde_json::json;

use crate::support::{Kind, SigningKey};
use crate::whole::{Call, Whole, token};

/// Allocations for one repeat token, from the frame with the message to the frame with the answer.
/// All of them are tonic's.
const MOST: u64 = 11;

fn check(whole: &Whole, call: Call) -> Bytes {
    let checked = whole.check(call).now_or_never();
    checked.expect("a check of a good token waits for nothing")
}

fn measure(whole: &Whole, call: Call) -> AllocationInfo {
    let mut passes = false;
    // Behind the frame stands the status, which is empty when the request passes.
    let counted = allocation_counter::measure(|| {
        passes = check(whole, call).get(5..7) == Some(&[0x0a, 0]);
    });
    assert!(passes);
    counted
}

#[test]
fn a_repeat_token_costs_hardly_an_allocation() {
    let key = SigningKey::new(Kind::Es256, "ec-1");
    hardly_allocates(&key, &Whole::new(&[&key], 4000));
}

/// It is signed once and then kept beside the token.
#[test]
fn an_assertion_adds_no_allocation_to_a_repeat_token() {
    let key = SigningKey::new(Kind::Es256, "ec-1");
    let assertion = json!({ "issuer": "https://gate.example.com", "audience": "internal" });
    let answer = json!({ "assertion": assertion });
    let policy = Policy::default();
    let whole = Whole::answering(&[&key], 4000, &json!({}), policy, &answer);
    hardly_allocates(&key, &whole);
}

fn hardly_allocates(key: &SigningKey, whole: &Whole) {
    let call = Whole::call(crate::body::framed(&token(key, 0)));
    let _entered = whole.runtime.enter();
    // The first check verifies, the next few settle the cache's own bookkeeping.
    for _ in 0..1000 {
        check(whole, call.clone());
    }
    // moka writes down which tokens were used and sums it up now and then, so one check may cost
    // more than the next. What counts is the usual one.
    let measured = (0..999).map(|_| measure(whole, call.clone()).count_total);
    let mut counts: Vec<u64> = measured.collect();
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
const MOST_AT_FIRST: u64 = 64;

/// Bytes of such a token that stay: its claims, and what the cache needs to find it again.
const MOST_KEPT: i64 = 900;

#[test]
fn a_new_token_costs_few_allocations() {
    let key = SigningKey::new(Kind::Es256, "ec-1");
    let whole = Whole::new(&[&key], 4000);
    let calls = (0..999).map(|number| Whole::call(crate::body::framed(&token(&key, number))));
    let calls: Vec<_> = calls.collect();
    let _entered = whole.runtime.enter();
    let measured = calls.into_iter().map(|call| measure(&whole, call));
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
