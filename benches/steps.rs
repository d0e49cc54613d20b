//! Every step of a check on its own: `cargo bench --bench steps`.

#[allow(
    dead_code,
    reason = "shared with the bench's tool, which needs the frame too"
)]
#[path = "kit/body.rs"]
mod body;
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../tests/it/support/keys.rs"]
mod keys;
mod whole;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use keys::{Kind, SigningKey};
use portcullis::core::clock::Clock;
use portcullis::core::horizon::Horizon;
use portcullis::core::token::Token;
use portcullis::doors::check_request;
use portcullis::revocation::{Index, Terms};
use whole::{Whole, draft, token};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Live revocations for the look-up.
const LIVE: usize = 1_000_000;

fn check(c: &mut Criterion) {
    let ec = SigningKey::new(Kind::Es256, "ec-1");
    let rsa = SigningKey::new(Kind::Rs256, "rsa-1");
    let whole = Whole::new(&[&ec, &rsa], 4000);
    let gate = &whole.generation.gate;
    let text = token(&ec, 0);
    let message = body::message(&text);
    let request = check_request::read(&message).expect("a good message");
    let _entered = whole.runtime.enter();
    let verify = |text: &str| {
        let verified = gate.verifier.verify(Token::new(text)).now_or_never();
        verified
            .expect("nothing to wait for")
            .expect("a good token")
    };
    let decide = || gate.check(&request).now_or_never().expect("at once");

    c.bench_function("read a CheckRequest", |b| {
        b.iter(|| check_request::read(black_box(&message)).is_ok());
    });
    c.bench_function("find the token", |b| {
        b.iter(|| gate.sources.find(black_box(&request)).is_ok());
    });
    c.bench_function("verify: seen before", |b| {
        b.iter(|| verify(black_box(&text)));
    });
    let mut number = 1;
    for (name, key) in [("ES256", &ec), ("RS256", &rsa)] {
        c.bench_function(&format!("verify: first seen, {name}"), |b| {
            let fresh = || {
                number += 1;
                token(key, number)
            };
            b.iter_batched(fresh, |text| verify(&text), BatchSize::SmallInput);
        });
    }
    c.bench_function("the gate's decision", |b| b.iter(decide));
    let call = Whole::call(body::framed(&text));
    c.bench_function("all of a check, in tonic", |b| {
        b.iter_batched(
            || call.clone(),
            |call| whole.check(call).now_or_never(),
            BatchSize::SmallInput,
        );
    });
}

fn look_up(c: &mut Criterion) {
    let clock = Clock::system();
    let terms = Terms {
        longest_life: Duration::from_hours(24),
        leeway: Duration::from_mins(1),
        not_before: portcullis::core::clock::UnixMillis(0),
    };
    let index = Index::new(Horizon::default());
    for number in 0..LIVE {
        let record = draft(number, &clock).receive(clock.now(), &terms);
        index
            .apply(&record, record.forget_after)
            .expect("four shapes are not too many");
    }
    let key = SigningKey::new(Kind::Es256, "ec-1");
    let whole = Whole::new(&[&key], 0);
    let _entered = whole.runtime.enter();
    let claims: Vec<_> = (0..1024)
        .map(|number| {
            let text = token(&key, number);
            let verified = whole
                .generation
                .gate
                .verifier
                .verify(Token::new(&text))
                .now_or_never();
            let verified = verified.expect("at once").expect("a good token");
            verified.claims.clone()
        })
        .collect();
    let mut turn = 0;
    c.bench_function("look up among a million revocations", |b| {
        b.iter(|| {
            turn = (turn + 1) % claims.len();
            index.is_revoked(black_box(&claims[turn]))
        });
    });
}

criterion_group! {
    name = steps;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = check, look_up
}
criterion_main!(steps);
