//! The real binary as a child process, and one HTTP exchange with it.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::cluster::{Cluster, PASSWORD};

pub(crate) struct Shop {
    child: Child,
    pub(crate) address: SocketAddr,
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn command(version: u8, address: SocketAddr, database_port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command
        .args(["--version", &version.to_string()])
        .env("HOST", address.ip().to_string())
        .env("PORT", address.port().to_string())
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", database_port.to_string())
        .env("DB_NAME", "postgres")
        .env("DB_USERNAME", "postgres")
        .env("DB_PASSWORD", PASSWORD)
        .stdout(Stdio::piped());
    command
}

impl Shop {
    pub(crate) async fn start(cluster: &Cluster, version: u8) -> Self {
        Self::start_with(cluster, version, &[]).await
    }

    pub(crate) async fn start_with(cluster: &Cluster, version: u8, environment: &[(&str, &str)]) -> Self {
        let address = free_address();
        let mut command = command(version, address, cluster.port);
        let child = command.envs(environment.iter().copied()).spawn().unwrap();
        let shop = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < deadline, "version {version} does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shop
    }

    /// Sends a request on a connection of its own; status and JSON body.
    pub(crate) async fn call(&self, request: &str, body: Option<Value>) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&message(request, body, "close")).await.unwrap();
        read_answer(&mut stream).await
    }

    pub(crate) fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for the end; its status and what it logged.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the shop does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let mut log = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut log).unwrap();
        (status, log)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn message(request: &str, body: Option<Value>, connection: &str) -> Vec<u8> {
    let body = body.map_or_else(String::new, |body| body.to_string());
    format!(
        "{request} HTTP/1.1\r\nhost: shop\r\nconnection: {connection}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads until the server closes.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> (u16, Value) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}
