//! A wire that can be cut, or swallow everything, where a test says.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What happens to a message of the client that commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    Passes,
    /// The connection ends, and the server never heard of it.
    IsLost,
    /// The server gets it; its answer is lost with the connection.
    IsNotAnswered,
    /// Nothing arrives and nothing ends.
    Vanishes,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    commit: Arc<Mutex<Commit>>,
}

impl Proxy {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let commit = Arc::new(Mutex::new(Commit::Passes));
        let rule = Arc::clone(&commit);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&rule)));
            }
        });
        Self { port, commit }
    }

    pub(crate) fn set(&self, commit: Commit) {
        *self.commit.lock().unwrap() = commit;
    }
}

/// Ends when either side does; dropping the halves closes both.
async fn carry(client: TcpStream, server: TcpStream, rule: Arc<Mutex<Commit>>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = there(from_client, to_server, rule) => {}
        () = back(from_server, to_client) => {}
    }
}

async fn there(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, rule: Arc<Mutex<Commit>>) {
    let mut buffer = vec![0; 64 * 1_024];
    while let Ok(read @ 1..) = client.read(&mut buffer).await {
        let message = &buffer[..read];
        // The whole statement: every transaction begins with its isolation level's name, READ COMMITTED.
        let commits = message.windows(7).any(|window| window == b"COMMIT\0");
        let rule = if commits { *rule.lock().unwrap() } else { Commit::Passes };
        match rule {
            Commit::Passes => server.write_all(message).await.unwrap_or_default(),
            Commit::IsLost => return,
            Commit::IsNotAnswered => {
                // The way back is closed before the way there is used, so that no answer can slip through.
                server.write_all(message).await.unwrap_or_default();
                return;
            }
            Commit::Vanishes => std::future::pending().await,
        }
    }
}

async fn back(mut server: OwnedReadHalf, mut client: OwnedWriteHalf) {
    drop(tokio::io::copy(&mut server, &mut client).await);
}
