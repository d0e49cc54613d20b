use super::*;
use crate::core::kv::InMemory;

const ISSUER: &str = "https://id.example.com";
const HOUR: Duration = Duration::from_hours(1);
const LEEWAY: Duration = Duration::from_secs(30);

fn histories(hours: u32, keep: &InMemory) -> Histories {
    let issuer = Issuer {
        issuer: ISSUER.to_owned(),
        max_token_lifetime: HOUR * hours,
        leeway: LEEWAY,
    };
    let retention = Retention::default();
    Histories::new(&[issuer], keep, retention, Duration::ZERO, Duration::ZERO).unwrap()
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis::from_seconds(seconds)
}

fn learn_all(histories: &mut Histories, log: &[Arc<Revocation>]) {
    for record in log {
        histories.learn(record);
    }
}

/// What it writes to the log at a start.
fn started(histories: &mut Histories, seconds: u64) -> Vec<Arc<Revocation>> {
    let written = histories.unwritten(at(seconds));
    learn_all(histories, &written);
    assert!(histories.is_written());
    assert!(histories.unwritten(at(seconds)).is_empty());
    written
}

fn of(histories: &Histories) -> Lifetimes {
    let current = histories.current().remove(ISSUER).unwrap();
    Lifetimes::clone(&current.load())
}

#[test]
fn readers_and_writers_of_the_log_decide_alike() {
    let keep = InMemory::default();
    let mut first = histories(1, &keep);
    let mut log = started(&mut first, 10_000);
    let mut raised = histories(3, &keep);
    learn_all(&mut raised, &log);
    log.extend(started(&mut raised, 20_000));
    assert_eq!(log.len(), 2);

    let mut fresh = histories(3, &InMemory::default());
    learn_all(&mut fresh, &log);
    assert!(started(&mut fresh, 30_000).is_empty());
    assert_eq!(of(&fresh), of(&raised));
    assert_eq!(of(&fresh).of_token(20_000), HOUR + LEEWAY);
    assert_eq!(of(&fresh).of_token(20_001), HOUR * 3 + LEEWAY);

    // One that still has the lower bound keeps revocations for the higher one.
    let mut behind = histories(1, &InMemory::default());
    learn_all(&mut behind, &log);
    assert_eq!(
        behind.retention.terms(ISSUER).unwrap().longest_life,
        HOUR * 3 + LEEWAY
    );
}

/// The append of an attempt may take long: a raise that is written late must not begin early.
#[test]
fn each_attempt_to_write_a_raise_dates_it_again() {
    let mut first = histories(1, &InMemory::default());
    let log = started(&mut first, 10_000);
    let mut raised = histories(3, &InMemory::default());
    raised.spread = Duration::from_mins(1);
    learn_all(&mut raised, &log);
    let lost = raised.unwritten(at(20_000));
    assert_eq!(lost[0].occurred_at, at(20_060));
    raised.assume_ours(at(20_000));
    assert_eq!(
        of(&raised).of_token(30_000),
        HOUR + LEEWAY,
        "not before the others know"
    );
    // Within the minute of the first attempt.
    let late = raised.unwritten(at(20_059));
    assert_eq!(late.len(), 1);
    assert_eq!(late[0].occurred_at, at(20_119));
    assert!(!raised.is_written());
    learn_all(&mut raised, &late);
    assert!(raised.is_written());
    assert_eq!(of(&raised).of_token(20_119), HOUR + LEEWAY);
    assert_eq!(of(&raised).of_token(20_120), HOUR * 3 + LEEWAY);
    assert!(raised.unwritten(at(50_000)).is_empty());
}

/// An append that was reported lost may have been stored all the same.
#[test]
fn a_raise_that_is_in_the_log_is_not_written_again() {
    let mut first = histories(1, &InMemory::default());
    let log = started(&mut first, 10_000);
    let mut raised = histories(3, &InMemory::default());
    learn_all(&mut raised, &log);
    let lost = raised.unwritten(at(20_000));
    assert_eq!(raised.unwritten(at(20_030))[0].occurred_at, at(20_030));
    learn_all(&mut raised, &lost);
    assert!(raised.is_written());
    assert!(raised.unwritten(at(20_060)).is_empty());
}

/// Otherwise two configurations would be written in turns for ever.
#[test]
fn the_change_of_another_replica_is_not_undone() {
    let mut one = histories(1, &InMemory::default());
    let mut log = started(&mut one, 10_000);
    let mut other = histories(3, &InMemory::default());
    learn_all(&mut other, &log);
    log = started(&mut other, 20_000);
    learn_all(&mut one, &log);
    assert!(one.unwritten(at(30_000)).is_empty());
}

#[test]
fn a_lowering_that_is_in_effect_is_still_written() {
    let mut first = histories(3, &InMemory::default());
    let log = started(&mut first, 10_000);
    for log in [log, Vec::new()] {
        let mut lowered = histories(1, &InMemory::default());
        learn_all(&mut lowered, &log);
        lowered.assume_ours(at(20_000));
        let unwritten = lowered.unwritten(at(40_000));
        assert_eq!(unwritten.len(), 1);
        assert_eq!(unwritten[0].occurred_at, at(20_000));
    }
}

#[test]
fn a_new_log_receives_the_bounds_that_it_lacks() {
    let mut unheard = histories(2, &InMemory::default());
    assert_eq!(unheard.unwritten(at(10_000)).len(), 1);
    unheard.write_again();
    assert_eq!(unheard.unwritten(at(10_000)).len(), 1);

    let mut known = histories(1, &InMemory::default());
    let log = started(&mut known, 10_000);
    known.write_again();
    assert_eq!(known.unwritten(at(20_000)), log);
    known.learn(&log[0]);
    assert!(known.unwritten(at(20_000)).is_empty());
}

#[test]
fn what_an_earlier_version_kept_is_written_and_an_unreadable_history_is_an_error() {
    let keep = InMemory::default();
    let kept = br#"{"bounds":[{"since":0,"lifetime":3600},{"since":50000,"lifetime":7200}],
        "cuts":[],"leeway":30000,"dead_before":0}"#;
    keep.save(Kind::Lifetimes, ISSUER, kept).unwrap();
    let mut later = histories(2, &keep);
    // The leeway did not count for a life then, so that it does now is one more raise.
    assert_eq!(started(&mut later, 90_000).len(), 3);
    assert_eq!(of(&later).of_token(90_001), HOUR * 2 + LEEWAY);
    assert_eq!(of(&later).of_token(50_000), HOUR);
    assert_eq!(of(&later).of_token(50_001), HOUR * 2);

    keep.save(Kind::Lifetimes, ISSUER, b"{").unwrap();
    let retention = Retention::default();
    let issuer = later.issuers[ISSUER].configured.clone();
    let unreadable = Histories::new(&[issuer], &keep, retention, Duration::ZERO, Duration::ZERO);
    assert!(unreadable.is_err());
}

#[test]
fn a_gap_of_one_issuer_raises_the_horizon_of_no_other() {
    // Records of two issuers have one id if their bounds and times are the same.
    let other = "https://other.example.com";
    let issuer = |name: &str| Issuer {
        issuer: name.to_owned(),
        max_token_lifetime: HOUR * 3,
        leeway: LEEWAY,
    };
    let issuers = [issuer(ISSUER), issuer(other)];
    let (keep, retention) = (InMemory::default(), Retention::default());
    let mut both =
        Histories::new(&issuers, &keep, retention, Duration::ZERO, Duration::ZERO).unwrap();
    let short = Bounds::new(HOUR + LEEWAY, LEEWAY);
    let at_first = Change {
        at: at(10_000),
        bounds: short,
    };
    both.learn(&record(ISSUER, at_first));
    let [first, second] = &both.unwritten(at(20_000))[..] else {
        panic!("each has a change of its own");
    };
    assert_eq!(first.id, second.id);
    let own = Change {
        at: first.occurred_at,
        bounds: first.bounds.unwrap(),
    };
    both.lacking.insert((other.to_owned(), own));
    both.assume_ours(at(20_000));
    assert_eq!(of(&both).of_token(30_000), HOUR + LEEWAY);
}

/// A tenant by itself, and all tenants of its provider, in turns: a raise never reaches back.
#[test]
fn a_tenant_and_the_pattern_of_its_provider_share_their_histories() {
    const PATTERN: &str = "https://login.example.com/{tenant}/v2.0";
    let named = |name: &str, hours: u32| {
        let issuer = Issuer {
            issuer: name.to_owned(),
            max_token_lifetime: HOUR * hours,
            leeway: LEEWAY,
        };
        let (keep, retention) = (InMemory::default(), Retention::default());
        Histories::new(&[issuer], &keep, retention, Duration::ZERO, Duration::ZERO).unwrap()
    };
    let of_token = |histories: &Histories, name: &str, seconds: u64| {
        histories.current()[name].load().of_token(seconds)
    };
    let [acme, globex] = ["acme", "globex"].map(|tenant| PATTERN.replace("{tenant}", tenant));
    let mut alone = named(&acme, 1);
    let mut log = started(&mut alone, 10_000);
    let mut all = named(PATTERN, 2);
    learn_all(&mut all, &log);
    log.extend(started(&mut all, 20_000));
    assert_eq!(of_token(&all, PATTERN, 20_000), HOUR + LEEWAY);
    assert_eq!(of_token(&all, PATTERN, 20_001), HOUR * 2 + LEEWAY);
    let mut alone = named(&globex, 3);
    learn_all(&mut alone, &log);
    log.extend(started(&mut alone, 30_000));
    assert_eq!(of_token(&alone, &globex, 30_000), HOUR * 2 + LEEWAY);
    assert_eq!(of_token(&alone, &globex, 30_001), HOUR * 3 + LEEWAY);
    let mut other = named("https://login.example.com/acme/v1.0", 4);
    learn_all(&mut other, &log);
    assert_eq!(started(&mut other, 40_000).len(), 1);
    assert_eq!(
        of_token(&other, "https://login.example.com/acme/v1.0", 1),
        HOUR * 4 + LEEWAY
    );

    // What one tenant's record says already is said again for the others.
    let mut alone = named(&acme, 2);
    let mut log = started(&mut alone, 10_000);
    let mut all = named(PATTERN, 2);
    learn_all(&mut all, &log);
    let again = started(&mut all, 20_000);
    assert_eq!(again.len(), 1);
    log.extend(again);
    let mut all = named(PATTERN, 2);
    learn_all(&mut all, &log);
    assert!(started(&mut all, 25_000).is_empty());
    let mut alone = named(&globex, 3);
    learn_all(&mut alone, &log);
    started(&mut alone, 30_000);
    assert_eq!(of_token(&alone, &globex, 30_000), HOUR * 2 + LEEWAY);
}
