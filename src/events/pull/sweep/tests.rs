use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const OVERLAP: u64 = 1000;
const START: u64 = 1_800_000_000_000;

/// Two logs, whose events appear some time after they happened.
#[derive(Debug)]
struct Provider {
    /// Log, time, and when it appears.
    events: Vec<(usize, u64, u64)>,
    now: Mutex<u64>,
    /// What every look at a page takes.
    pace: u64,
}

impl Provider {
    fn now(&self) -> UnixMillis {
        UnixMillis(*self.now.lock().unwrap())
    }

    fn wait(&self, millis: u64) {
        *self.now.lock().unwrap() += millis;
    }
}

impl Logs for Provider {
    const COUNT: usize = 2;

    fn page(
        &self,
        log: usize,
        from: UnixMillis,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, Trouble>> {
        let now = self.now().0;
        self.wait(self.pace);
        let events = self.events.iter().enumerate();
        let shown =
            events.filter(|(_, (of, at, appears))| *of == log && *at >= from.0 && *appears <= now);
        let mut entries: Vec<_> = shown.map(|(id, (_, at, _))| entry(id, *at)).collect();
        // Events of one time have no order.
        entries.sort_by_key(|entry| (entry.at, entry.id.len(), now % 7));
        entries.truncate(most);
        Box::pin(async { Ok(entries) })
    }
}

fn entry(id: usize, at: u64) -> Entry {
    Entry {
        at: UnixMillis(at),
        id: id.to_string(),
        body: id.to_string().into(),
    }
}

fn since<'a>(provider: &Provider, cursor: Option<&'a str>) -> Since<'a> {
    Since {
        cursor,
        earliest: UnixMillis(START),
        now: provider.now(),
    }
}

/// What happens after a page was read.
#[derive(Clone, Copy, Debug)]
enum After {
    Recorded,
    /// One event cannot be recorded now.
    Failed,
    /// The process dies before its events are durable.
    Died,
}

fn after() -> impl Strategy<Value = After> {
    prop_oneof![8 => Just(After::Recorded), 1 => Just(After::Failed), 1 => Just(After::Died)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_event_is_missed_and_none_comes_twice_without_a_failure(
        bursts in vec((0..2_usize, 0..20_000_u64, 0..=OVERLAP, 1..300_usize), 1..12),
        steps in vec((1..3000_u64, after()), 1..40),
        pace in 0..50_u64,
    ) {
        let events = bursts.iter().flat_map(|(log, at, delay, count)| {
            let at = START + at;
            (0..*count as u64).map(move |index| {
                let at = at + index / 50;
                (*log, at, at + delay)
            })
        });
        let provider = Provider { events: events.collect(), now: Mutex::new(START), pace };
        let mut found = vec![0; provider.events.len()];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut sweep, mut cursor) = (Sweep::new(Duration::from_millis(OVERLAP)), None);
        let disturbed = steps.iter().any(|(_, after)| !matches!(after, After::Recorded));
        // At last everything has appeared.
        let last = (0..200).map(|_| (1000, After::Recorded));
        for (wait, after) in steps.into_iter().chain(last) {
            provider.wait(wait);
            let page = sweep.ask(&provider, since(&provider, cursor.as_deref()));
            let page = runtime.block_on(page).unwrap();
            if let After::Died = after {
                sweep = Sweep::new(Duration::from_millis(OVERLAP));
                continue;
            }
            let fails = |index| index == 0 && matches!(after, After::Failed);
            let ended: Vec<_> = (0..page.events.len()).map(|index| {
                if fails(index) { Err(Failure::Busy) } else { Ok(Ended::Accepted) }
            }).collect();
            for (body, result) in page.events.iter().zip(&ended) {
                let id: usize = std::str::from_utf8(body).unwrap().parse().unwrap();
                found[id] += usize::from(result.is_ok());
            }
            sweep.settled(&ended);
            if ended.iter().all(Result::is_ok) {
                cursor = page.cursor;
            }
        }
        prop_assert!(found.iter().all(|count| *count >= 1), "{found:?}");
        prop_assert!(disturbed || found.iter().all(|count| *count == 1), "{found:?}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_sort_is_refused() {
    #[derive(Debug)]
    struct Unsorted;
    impl Logs for Unsorted {
        const COUNT: usize = 1;
        fn page(
            &self,
            _log: usize,
            _from: UnixMillis,
            _most: usize,
        ) -> BoxFuture<'_, Result<Vec<Entry>, Trouble>> {
            Box::pin(async { Ok(vec![entry(1, START + 1), entry(2, START)]) })
        }
    }
    let sweep = Sweep::new(Duration::from_millis(OVERLAP));
    let since = Since {
        cursor: None,
        earliest: UnixMillis(START),
        now: UnixMillis(START),
    };
    let trouble = sweep.ask(&Unsorted, since).await.unwrap_err();
    assert!(trouble.why.contains("oldest first"), "{}", trouble.why);
}

#[tokio::test]
async fn another_history_of_the_log_begins_anew_and_so_does_a_clock_that_was_ahead() {
    let provider = Provider {
        events: vec![(0, START + 5, 0), (1, START + 7, 0)],
        now: Mutex::new(START + 10),
        pace: 0,
    };
    let sweep = Sweep::new(Duration::from_millis(OVERLAP));
    let ask = async |cursor| {
        let page = sweep
            .ask(&provider, since(&provider, cursor))
            .await
            .unwrap();
        let ended = page.events.iter().map(|_| Ok(Ended::Accepted));
        sweep.settled(&ended.collect::<Vec<_>>());
        (page.events.len(), page.cursor)
    };
    let cursor = format!("{} {}", START + 5, START + 7);
    assert_eq!(ask(None).await, (2, Some(cursor.clone())));
    assert_eq!(ask(Some(&cursor)).await, (0, Some(cursor.clone())));
    assert_eq!(
        ask(None).await,
        (2, Some(cursor.clone())),
        "the cursor was forgotten"
    );
    let ahead = format!("{} -", START + 3_600_000);
    let (found, _) = ask(Some(&ahead)).await;
    assert_eq!(found, 2, "what happened before the wrong time");
}
