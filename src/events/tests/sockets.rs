//! Through real sockets: what a peer can do below HTTP. Time-outs are short, so that waiting for
//! the end of a connection is waiting for what is tested.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::core::units::Span;
use crate::net::{self, Address, Places};

struct Served {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn serve_door(door: &Door) -> Served {
    serve_with(door, 64).await
}

async fn serve_with(door: &Door, most: usize) -> Served {
    let (listener, address) = bind().await;
    serve_on(listener, address, door, most)
}

async fn bind() -> (net::Listener, std::net::SocketAddr) {
    let listener = net::bind(&net::Address::Tcp(([127, 0, 0, 1], 0).into()))
        .await
        .unwrap();
    let Address::Tcp(address) = listener.address().unwrap() else {
        unreachable!("a TCP address was bound");
    };
    (listener, address)
}

fn serve_on(
    listener: net::Listener,
    address: std::net::SocketAddr,
    door: &Door,
    most: usize,
) -> Served {
    let shutdown = CancellationToken::new();
    let metrics = net::Metrics::register(&mut Registry::default());
    let places = Places::new("events", most, Duration::from_mins(1), &metrics);
    let current = door.current.clone();
    let task = tokio::spawn(serve(
        listener,
        places,
        current,
        axum::Router::new(),
        shutdown.clone(),
    ));
    Served {
        address,
        shutdown,
        task,
    }
}

fn quick() -> ListenerConfig {
    ListenerConfig {
        header_timeout: Span(std::time::Duration::from_millis(100)),
        body_timeout: Span(std::time::Duration::from_millis(100)),
        ..ListenerConfig::default()
    }
}

fn wire(length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /events/fusionauth HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
        authorization(PASSWORD)
    );
    [head.as_bytes(), body].concat()
}

/// Sends bytes and reads until the server hangs up.
async fn talk(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn slow_heads_are_cut_off() {
    let door = door(&basic_source(), quick(), FakeRecord::default());
    let served = serve_door(&door).await;
    for start in [
        "",
        "POST /events/fusionauth HT",
        "POST /events/fusionauth HTTP/1.1\r\nhost: x\r\n",
    ] {
        let answer = talk(served.address, start.as_bytes()).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
}

#[tokio::test]
async fn slow_bodies_are_cut_off() {
    let door = door(&basic_source(), quick(), FakeRecord::default());
    let served = serve_door(&door).await;
    let answer = talk(served.address, &wire(DEACTIVATE.len(), &DEACTIVATE[..20])).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(door.recorded(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_answer() {
    let door = door(&basic_source(), quick(), FakeRecord::default());
    let served = serve_door(&door).await;
    let answer = talk(served.address, &wire(DEACTIVATE.len(), DEACTIVATE)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(door.recorded(), 1);
}

#[tokio::test]
async fn huge_heads_and_bodies_are_refused() {
    let door = door(&basic_source(), quick(), FakeRecord::default());
    let served = serve_door(&door).await;
    let huge = format!("POST / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(200_000));
    let answer = talk(served.address, huge.as_bytes()).await;
    assert!(
        !answer.contains(" 200 ") && !answer.contains(" 404 "),
        "{answer}"
    );
    let answer = talk(served.address, &wire(1 << 30, b"{")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let limits = ListenerConfig {
        header_timeout: Span::secs(300),
        ..ListenerConfig::default()
    };
    let door = door(&basic_source(), limits, FakeRecord::default());
    let served = serve_with(&door, 4).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let closing = wire(DEACTIVATE.len(), DEACTIVATE);
    let closing = String::from_utf8(closing).unwrap();
    let closing = closing.replace("host: x", "host: x\r\nconnection: close");
    let talk = talk(served.address, closing.as_bytes());
    let answer = tokio::time::timeout(Duration::from_secs(30), talk).await;
    let answer = answer.expect("it waits for silent ones");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Sends a request without its `connection: close` and reads one answer; the rest of the stream
/// tells whether the server closed.
#[tokio::test]
async fn unauthenticated_senders_lose_their_connection() {
    let door = open_door();
    let served = serve_door(&door).await;
    let good = String::from_utf8(wire(DEACTIVATE.len(), DEACTIVATE)).unwrap();
    let wrong = good.replace(&authorization(PASSWORD), &authorization("guess"));
    let elsewhere = good.replace("/events/fusionauth", "/events/other");
    for refused in [wrong, elsewhere] {
        // Ends only when the server closes, which is long before the head's time-out.
        let answer = talk(served.address, refused.as_bytes()).await;
        assert!(answer.contains("connection: close"), "{answer}");
    }
    let typeless = good.replace("application/json", "text/plain");
    let malformed = good.replace("createInstant", "createInstand");
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    for (request, status) in [(&typeless, 415), (&malformed, 400), (&good, 200)] {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = one_answer(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

/// Reads a head and as much body as it announces.
async fn one_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return text;
        }
    }
}

/// The sender writes all of its body before it reads, as most do.
#[tokio::test]
async fn an_answer_from_before_the_body_can_be_read() {
    let limits = ListenerConfig {
        body_limit: crate::core::units::Bytes::kib(4),
        ..ListenerConfig::default()
    };
    let door = door(&basic_source(), limits, FakeRecord::default());
    let served = serve_door(&door).await;
    // More than the buffers between us hold.
    let body = vec![b' '; 16 << 20];
    let large = wire(body.len(), b"");
    let large = String::from_utf8(large).unwrap();
    for (head, status) in [
        (large.clone(), 413),
        (large.replace(&authorization(PASSWORD), "Basic eDp5"), 401),
        (large.replace("/events/fusionauth", "/events/other"), 404),
        (large.replace("POST", "PUT"), 405),
    ] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn shutdown_finishes_what_is_under_way() {
    let door = open_door();
    let served = serve_door(&door).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = String::from_utf8(wire(DEACTIVATE.len(), b"")).unwrap();
    let head = head.replace("host: x", "host: x\r\nexpect: 100-continue");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body, so the request is under way.
    let mut asked = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut asked).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 "));
    served.shutdown.cancel();
    stream.write_all(DEACTIVATE).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(door.recorded(), 1);
    served.task.await.unwrap();
    let again = TcpStream::connect(served.address).await;
    assert!(again.is_err(), "nobody listens any more");
}

/// The end of the stream is there with the request when the server first reads.
#[tokio::test]
async fn an_event_whose_sender_left_before_it_was_read_is_recorded() {
    let (door, release) = held_door();
    let (listener, address) = bind().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = wire(DEACTIVATE.len(), DEACTIVATE);
    stream.write_all(&request).await.unwrap();
    drop(stream);
    let _served = serve_on(listener, address, &door, 64);
    senders_gone(&door, 1).await;
    release.notify_one();
    while door.recorded() == 0 {
        tokio::task::yield_now().await;
    }
}

/// A door whose store answers once for each notification.
fn held_door() -> (Door, Arc<Notify>) {
    let release = Arc::new(Notify::new());
    let record = FakeRecord {
        waits: Some(Arc::clone(&release)),
        ..FakeRecord::default()
    };
    let limits = ListenerConfig {
        record_timeout: Some(Span::secs(300)),
        ..ListenerConfig::default()
    };
    (door(&basic_source(), limits, record), release)
}

async fn senders_gone(door: &Door, number: usize) {
    let gone = format!("events_total{{source=\"fusionauth\",result=\"sender_gone\"}} {number}");
    while !door.metrics().lines().any(|line| line == gone) {
        tokio::task::yield_now().await;
    }
}

/// The store answers nothing until the senders are gone, so the counts are exact.
#[tokio::test]
async fn senders_that_hang_up_are_counted_and_their_events_are_recorded() {
    let (door, release) = held_door();
    let served = serve_door(&door).await;
    for number in 1..=10 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let request = wire(DEACTIVATE.len(), DEACTIVATE);
        stream.write_all(&request).await.unwrap();
        while *door.record.asked.lock().unwrap() < number {
            tokio::task::yield_now().await;
        }
        drop(stream);
        senders_gone(&door, number).await;
    }
    assert_eq!(door.recorded(), 0);
    for number in 1..=10 {
        release.notify_one();
        while door.recorded() < number {
            tokio::task::yield_now().await;
        }
    }
    door.counts("events_total{source=\"fusionauth\",result=\"sender_gone\"} 10");
    door.counts("events_total{source=\"fusionauth\",result=\"accepted\"} 0");
    door.counts("event_revocations_total{source=\"fusionauth\"} 10");
}
