//! The real server on a real socket: its limits, and its end.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::{sample::published, surface};

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    over: JoinHandle<()>,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let (sender, shared) = surface(published([]));
    let over = tokio::spawn(async move {
        crate::serve(listener, shared, async { drop(stopped.await) }).await;
        drop(sender);
    });
    Server { address, stop, over }
}

/// Sends the text and reads until the server closes.
async fn talk(address: SocketAddr, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(text).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn it_answers_and_ends_when_it_is_told() {
    let server = server().await;
    let answer = talk(server.address, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("ok\n"), "{answer}");
    // An idle connection that is kept alive does not keep the server.
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(4), server.over).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let server = server().await;
    let header = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(40_000));
    let answer = talk(server.address, header.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = server().await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n";
    let answer = talk(server.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_header_that_never_ends_is_cut_off() {
    let server = server().await;
    let begun = std::time::Instant::now();
    talk(server.address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await;
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}
