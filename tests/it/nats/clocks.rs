//! Leaders whose clocks are off, and replicas that may not write.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use portcullis::core::clock::Clock;
use portcullis::core::secret::Secret;
use portcullis::revocation::log::nats::Config;
use portcullis::revocation::log::{Feed, Log};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Reader, append, config, lasting, open, operator, revocation};
use crate::support::nats::{Server, Settings};

/// A way to a server on which the server's time is so many days off.
struct Skewed {
    url: String,
    days: Arc<AtomicI64>,
}

impl Skewed {
    async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let target = server.url().replace("nats://", "");
        let days = Arc::new(AtomicI64::new(0));
        let shift = Arc::clone(&days);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&shift)));
            }
        });
        Self { url, days }
    }
}

async fn carry(client: TcpStream, server: TcpStream, days: Arc<AtomicI64>) {
    let (mut asked, mut to_client) = client.into_split();
    let (mut answered, mut to_server) = server.into_split();
    let asking = tokio::io::copy(&mut asked, &mut to_server);
    let answering = async {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(count @ 1..) = answered.read(&mut buffer).await {
            let told = shifted(&buffer[..count], days.load(Ordering::Relaxed));
            if to_client.write_all(&told).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { _ = asking => {}, () = answering => {} }
}

/// Moves the date in each answer's `"ts"` by whole days. The length stays.
fn shifted(bytes: &[u8], days: i64) -> Vec<u8> {
    const NAME: &[u8] = b"\"ts\":\"";
    let mut bytes = bytes.to_vec();
    let place = bytes.windows(NAME.len()).position(|part| part == NAME);
    if let (Some(place), true) = (place, days != 0) {
        let date = place + NAME.len();
        let day = time_of_day(days);
        if let Some(told) = bytes.get_mut(date..date + day.len()) {
            told.copy_from_slice(day.as_bytes());
        }
    }
    bytes
}

/// The date so many days from today.
fn time_of_day(days: i64) -> String {
    let now = Clock::system().now().seconds().cast_signed() + days * 86_400;
    let date = async_nats::datetime::DateTime::from_unix_timestamp(now).unwrap();
    format!(
        "{:04}-{:02}-{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

fn quick(url: String) -> Config {
    let mut config = config(&[url]);
    config.heartbeat = portcullis::core::units::Span(Duration::from_millis(100));
    config
}

#[tokio::test]
async fn a_leader_whose_clock_is_off_raises_no_horizon_for_good() {
    let server = Server::start(&Settings::default());
    let skewed = Skewed::to(&server).await;
    let log = open(&quick(skewed.url.clone()));
    append(&log, vec![lasting("a")]).await;
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    for days in [1, -1, 365] {
        skewed.days.store(days, Ordering::Relaxed);
        reader
            .until(|_, _| {
                let apart = log.clock_apart().unwrap_or_default() / 3_600_000;
                apart.signum() == days.signum() && (apart.abs() - 24 * days.abs()).abs() <= 1
            })
            .await;
        // It has everything, so it goes on.
        append(&log, vec![lasting(&format!("day{days}"))]).await;
        reader.sees(&format!("day{days}")).await;
        reader.in_sync().await;
        assert!(log.horizon().get() <= Clock::system().now());
    }
    skewed.days.store(0, Ordering::Relaxed);
    reader.until(|_, _| log.clock_apart().is_none()).await;
    reader.in_sync().await;
    assert!(log.horizon().get() <= Clock::system().now());
}

/// A server ahead drops what is alive. Who did not read it before cannot know that it was there.
#[tokio::test]
async fn a_replica_that_may_lack_records_is_not_in_sync_while_the_leaders_clock_is_ahead() {
    let server = Server::start(&Settings::default());
    let skewed = Skewed::to(&server).await;
    let log = open(&quick(skewed.url.clone()));
    append(&log, vec![revocation("gone", Duration::from_millis(1))]).await;
    append(&log, vec![lasting("there")]).await;
    let mut early = Reader::new(&log, None);
    early.in_sync().await;
    let jetstream = operator(&server).await;
    crate::support::until("the first message expires", async || {
        let stream = jetstream.get_stream(super::STREAM).await.unwrap();
        (stream.cached_info().state.messages == 1).then_some(())
    })
    .await;
    skewed.days.store(1, Ordering::Relaxed);
    early.until(|_, _| log.clock_apart().is_some()).await;
    let fresh = open(&quick(skewed.url.clone()));
    let mut reader = Reader::new(&fresh, None);
    let seen = |reader: &Reader, feed: &Feed| {
        assert!(!matches!(feed, Feed::InSync(..)), "{reader:?}");
        matches!(feed, Feed::Lost(why) if why.contains("clock of the stream's leader"))
    };
    reader.until(|reader, feed| seen(reader, feed)).await;
    assert_eq!(reader.seen, ["there"], "what comes is enforced");
    skewed.days.store(0, Ordering::Relaxed);
    reader.in_sync().await;
}

#[tokio::test]
async fn a_replica_that_may_not_publish_knows_before_the_first_event() {
    let users = "authorization { users: [
        { user: all, password: a }
        { user: some, password: b, permissions: { publish: { deny: \"portcullis.>\" } } }
    ] }";
    let server = Server::start(&Settings {
        more: users.to_owned(),
        ..Settings::default()
    });
    let of = |user: &str, password: &str| {
        let mut config = quick(server.url());
        config.auth.user = Some(user.to_owned());
        config.auth.password = Some(Secret::new(password).into());
        open(&config)
    };
    let may = of("all", "a");
    append(&may, vec![lasting("a")]).await;
    let mut reader = Reader::new(&may, None);
    reader.in_sync().await;
    let may_not = of("some", "b");
    let mut other = Reader::new(&may_not, None);
    other.in_sync().await;
    other.until(|_, _| may_not.unwritable().is_some()).await;
    let why = may_not.unwritable().unwrap();
    assert!(
        why.to_lowercase().contains("permissions violation"),
        "{why}"
    );
    assert_eq!(other.seen, ["a"], "a probe is no record");
    assert_eq!(may.unwritable(), None);
    reader.in_sync().await;
    assert_eq!(reader.losses, Vec::<String>::new());
}
