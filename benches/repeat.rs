//! One token, checked again and again in this process: what the instruction count is taken of.
//! `repeat N` makes N checks; the difference between two runs is the cost of a check.

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

use keys::{Kind, SigningKey};
use portcullis::gate::Decision;
use whole::{Whole, token};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let checks: usize = std::env::args().nth(1).ok_or("how many checks?")?.parse()?;
    let key = SigningKey::new(Kind::Es256, "ec-1");
    let whole = Whole::new(&[&key], 1000);
    let message = body::message(&token(&key, 1));
    whole.runtime.block_on(async {
        for _ in 0..checks {
            let (decision, answer) = whole.check(&message).await;
            assert!(matches!(decision, Decision::Permit(_)));
            std::hint::black_box(answer);
        }
    });
    Ok(())
}
