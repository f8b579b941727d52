//! Free ports for processes that bind them by themselves a moment later.

use std::{io, net::TcpListener};

use rand::RngExt as _;

/// Below the range from which systems take the local ports of outgoing connections (Linux: 32768 and up). A port that is
/// handed to a process must not be such a one: under traffic somebody's connection may sit on it before the process binds
/// it, and a connection attempt to a closed port of that range can meet itself and seem to succeed.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
const TRIES: usize = 100;

/// A port of 127.0.0.1 that was free a moment ago.
///
/// # Errors
/// If no port of the range can be bound.
pub(crate) fn free() -> io::Result<u16> {
    let mut random = rand::rng();
    for _ in 0..TRIES {
        let port = random.random_range(RANGE);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port in 20000-31999"))
}
