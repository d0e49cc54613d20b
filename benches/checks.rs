//! `checks KIND COUNT` makes that many checks of one kind in this process: what the instruction
//! counts are taken of. Only [`measured`] is to be counted; everything else is set-up.

#[allow(
    dead_code,
    reason = "shared with the bench's tool, which needs the frame too"
)]
#[path = "kit/body.rs"]
mod body;
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../tests/it/support/keys.rs"]
mod keys;
#[allow(dead_code, reason = "shared with the other benches")]
mod whole;

use std::error::Error;

use futures_util::FutureExt;
use keys::{Kind, SigningKey};
use portcullis::gate::Decision;
use whole::{Whole, token};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().ok_or("which kind of check?")?;
    let count: usize = arguments.next().ok_or("how many checks?")?.parse()?;
    let keys = [
        SigningKey::new(Kind::Es256, "ec-1"),
        SigningKey::new(Kind::Rs256, "rsa-1"),
    ];
    let whole = Whole::new(&keys.each_ref(), 1000);
    let [es256, rs256] = &keys;
    let known = token(es256, 0);
    let messages: Vec<_> = (0..count)
        .map(|number| match kind.as_str() {
            "repeat" => Ok(known.clone()),
            "first-es256" => Ok(token(es256, number)),
            "first-rs256" => Ok(token(rs256, number)),
            "garbage" => Ok(format!("garbage-{number:0700}")),
            _ => Err("the kinds are repeat, first-es256, first-rs256 and garbage"),
        })
        .map(|token| token.map(|token| body::message(&token)))
        .collect::<Result<_, _>>()?;
    let _entered = whole.runtime.enter();
    // What the first check costs once is no part of a check.
    if let Some(message) = messages.first() {
        whole.check(message).now_or_never();
    }
    for message in &messages {
        assert_eq!(measured(&whole, message), kind != "garbage");
    }
    Ok(())
}

/// Named to callgrind, so it must stay a function of its own.
#[inline(never)]
fn measured(whole: &Whole, message: &[u8]) -> bool {
    let checked = whole.check(message).now_or_never();
    let (decision, answer) = checked.expect("a check with known keys waits for nothing");
    std::hint::black_box(answer);
    matches!(decision, Decision::Permit(_))
}
