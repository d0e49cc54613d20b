//! Promise: any sequence of events, duplicates, reorderings, lifts, clock steps, restarts, replays
//! and compactions gives the decisions of a naive model that keeps every record for ever.

#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod engine;
mod model;
mod replica;
mod replicas;
mod steps;
mod world;

use proptest::prelude::*;

use steps::{Step, What, Who, steps};
use world::World;

/// Seconds by which the replica's clock is wrong.
const SKEWS: &[i64] = &[0, 0, 30, -30, 4000, -4000, 400_000, -400_000];

/// Seconds by which a sender's clock is wrong.
const SENDERS: &[i64] = &[0, 30, -30, 90, 600, -600, 3000, 86_400, -86_400];

fn run(steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut world = World::new().await;
        for step in steps {
            world.step(step).await;
            world.check();
        }
    });
}

fn cases(number: u32) -> ProptestConfig {
    ProptestConfig {
        cases: number,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    }
}

fn event(lift: bool, cut_off: bool) -> Step {
    let what = What {
        matches: vec![("sub", "ann")],
        lift,
        source: "idp",
        cause: "lock",
        cut_off,
        grace: 0,
        expiry: None,
    };
    Step::Event { what, late: 0 }
}

fn issue(lives: u64) -> Step {
    let who = Who {
        subject: "ann",
        audiences: vec![],
        session: "s1",
    };
    Step::Issue {
        who,
        has_iat: false,
        lives,
    }
}

#[test]
fn lowering_max_token_lifetime_revives_no_token_without_iat() {
    run(vec![
        Step::Restart(3),
        issue(3 * 3600),
        Step::Pass(10),
        event(false, true),
        Step::Restart(1),
        // Now it counts as young by the lower bound.
        Step::Pass(7300),
        Step::Sweep,
        Step::Compact,
        Step::Restart(1),
        Step::Restart(2),
    ]);
    run(vec![
        Step::Restart(3),
        issue(3 * 3600),
        Step::Restart(1),
        Step::Pass(10),
        // Forgotten by the lower bound before the token ends.
        event(false, true),
        Step::Pass(3 * 3600 - 60),
        Step::Sweep,
        Step::Compact,
        Step::Restart(1),
    ]);
}

#[test]
fn tokens_without_iat_are_not_dated_before_a_raise_of_max_token_lifetime() {
    run(vec![
        event(false, false),
        Step::Pass(3722),
        // Forgotten: by the bound of its time no token before it can be good any more.
        Step::Compact,
        Step::Restart(3),
        issue(3600),
        Step::Restart(1),
    ]);
}

#[test]
fn a_revocation_that_comes_again_after_its_lift_was_forgotten_may_only_deny() {
    run(vec![
        event(false, false),
        event(true, false),
        Step::Pass(400_000),
        issue(3600),
        Step::Sweep,
        Step::Again(0),
    ]);
}

#[test]
fn with_a_right_clock_every_decision_is_the_models() {
    proptest!(cases(64), |(steps in steps(&[], &[]))| run(steps));
}

#[test]
fn with_senders_whose_clocks_are_up_to_a_day_off_every_decision_is_the_models() {
    proptest!(cases(96), |(steps in steps(&[], SENDERS))| run(steps));
}

#[test]
fn with_a_clock_that_is_set_back_and_forth_nothing_is_permitted_that_the_model_denies() {
    proptest!(cases(96), |(steps in steps(SKEWS, SENDERS))| run(steps));
}

/// The issuer's clock is ahead, on its tokens as on its events. The stolen token becomes valid when
/// its time comes, and must not.
#[test]
fn a_token_from_the_future_stays_revoked_when_its_time_comes() {
    for ahead in [30, 61, 600, 3500] {
        for has_iat in [true, false] {
            let mut issue = issue(3000);
            if let Step::Issue { has_iat: with, .. } = &mut issue {
                *with = has_iat;
            }
            run(vec![
                Step::Sender {
                    ahead,
                    issues: true,
                },
                issue,
                event(false, true),
                Step::Pass(ahead.unsigned_abs()),
                Step::Sweep,
                Step::Compact,
                Step::Pass(2000),
            ]);
        }
    }
}

/// The clock of a replica is set back by hours, the process starts again with a higher bound, and
/// the clock is put right: a token between the two moments, too long-lived for the old bound, whose
/// revocation was forgotten under it, must not come back.
#[test]
fn raising_max_token_lifetime_with_a_slow_clock_revives_no_token() {
    let who = Who {
        subject: "ann",
        audiences: vec![],
        session: "s1",
    };
    let what = What {
        matches: vec![("sub", "ann")],
        lift: false,
        source: "idp",
        cause: "lock",
        cut_off: true,
        grace: 0,
        expiry: None,
    };
    run(vec![
        Step::Issue {
            who,
            has_iat: true,
            lives: 7200,
        },
        Step::Event { what, late: 0 },
        Step::Pass(3700),
        Step::Sweep,
        Step::Compact,
        Step::Skew(-10_000),
        Step::Restart(2),
        Step::Skew(0),
    ]);
}
