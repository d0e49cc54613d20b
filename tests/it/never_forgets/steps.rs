//! What can happen, and random sequences of it.

use proptest::prelude::*;
use proptest::sample::select;

/// One thing that happens. All times are in seconds.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The issuer hands out a token that lives so long.
    Issue {
        who: Who,
        has_iat: bool,
        lives: u64,
    },
    /// An event comes, so long after it happened.
    Event {
        what: What,
        late: u64,
    },
    /// An earlier event comes again.
    Again(usize),
    /// Time goes on.
    Pass(u64),
    /// The clock of whoever sends events is ahead by so much, on tokens too if it issues them.
    Sender {
        ahead: i64,
        issues: bool,
    },
    /// The replica's clock is set wrong by so much.
    Skew(i64),
    Sweep,
    Compact,
    /// The index hears the whole log once more.
    Replay,
    /// The index is built from the log in an order that the number decides.
    Reorder(u64),
    /// The process starts again, with this `max_token_lifetime` in hours.
    Restart(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) subject: &'static str,
    pub(super) audiences: Vec<&'static str>,
    pub(super) session: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct What {
    pub(super) matches: Vec<(&'static str, &'static str)>,
    pub(super) lift: bool,
    pub(super) source: &'static str,
    pub(super) cause: &'static str,
    pub(super) cut_off: bool,
    pub(super) grace: u64,
    /// A cut-off for tokens without `iat`, so long after the event.
    pub(super) expiry: Option<u64>,
}

pub(super) fn steps(
    skews: &'static [i64],
    senders: &'static [i64],
) -> impl Strategy<Value = Vec<Step>> {
    let who = (
        select(vec!["ann", "bob"]),
        prop::collection::vec(select(vec!["shop", "bank"]), 0..3),
        select(vec!["s1", "s2"]),
    );
    let who = who.prop_map(|(subject, audiences, session)| Who {
        subject,
        audiences,
        session,
    });
    let lives = prop_oneof![Just(3600), 3598_u64..3664, 1_u64..11_000];
    let issue = (who, prop::bool::weighted(0.7), lives);
    let issue = issue.prop_map(|(who, has_iat, lives)| Step::Issue {
        who,
        has_iat,
        lives,
    });
    let late = prop_oneof![3 => Just(0_u64), 1 => 0_u64..7200];
    let event = (what(), late).prop_map(|(what, late)| Step::Event { what, late });
    let one_of = |seconds: &[i64]| select([&[0], seconds].concat());
    let sender = (one_of(senders), any::<bool>());
    let sender = sender.prop_map(|(ahead, issues)| Step::Sender { ahead, issues });
    let step = prop_oneof![
        8 => issue,
        6 => event,
        2 => (0_usize..64).prop_map(Step::Again),
        4 => prop_oneof![0_u64..5, 0_u64..5000, Just(400_000)].prop_map(Step::Pass),
        2 => one_of(skews).prop_map(Step::Skew),
        2 => sender,
        3 => Just(Step::Sweep),
        2 => Just(Step::Compact),
        1 => Just(Step::Replay),
        1 => any::<u64>().prop_map(Step::Reorder),
        2 => (1_u64..4).prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

fn what() -> impl Strategy<Value = What> {
    let matches = select(vec![
        vec![],
        vec![("sub", "ann")],
        vec![("sub", "bob")],
        vec![("sub", "ann"), ("client|aud", "shop")],
        vec![("aud", "bank")],
        vec![("sid", "s1")],
    ]);
    let expiry = prop::option::weighted(0.3, 0_u64..7200);
    let origin = (select(vec!["idp", "hr"]), select(vec!["lock", "password"]));
    let rest = (prop::bool::weighted(0.3), origin, any::<bool>());
    let grace = prop_oneof![2 => Just(0_u64), 1 => 0_u64..10];
    (matches, rest, grace, expiry).prop_map(|(matches, rest, grace, expiry)| {
        let (lift, (source, cause), cut_off) = rest;
        What {
            matches,
            lift,
            source,
            cause,
            cut_off,
            grace,
            expiry,
        }
    })
}
