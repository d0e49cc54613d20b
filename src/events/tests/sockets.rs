//! Through real sockets: what a peer can do below HTTP. Time-outs are short, so that waiting for
//! the end of a connection is waiting for what is tested.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::listen::{self, Address};
use crate::units::Span;

struct Served {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn serve_door(door: &Door) -> Served {
    let listener = listen::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let Address::Tcp(address) = listener.address().unwrap() else {
        unreachable!("a TCP address was bound");
    };
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, door.current.clone(), shutdown.clone()));
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
async fn more_connections_wait_for_a_place() {
    let limits = ListenerConfig {
        max_connections: 1,
        ..quick()
    };
    let door = door(&basic_source(), limits, FakeRecord::default());
    let served = serve_door(&door).await;
    // Silent, so it keeps the only place until it is cut off; then the next one is served.
    let _silent = TcpStream::connect(served.address).await.unwrap();
    let answer = talk(served.address, &wire(DEACTIVATE.len(), DEACTIVATE)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
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
