//! Ports for the servers of a test process.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// A loopback address that nothing listens on. The ports lie below those that the
/// kernel gives to clients, so that no connection of another test can take one.
///
/// # Panics
/// When all ports are taken.
pub fn unused_port() -> SocketAddr {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different places, far from each other also where
    // their numbers are neighbours.
    let offset = u16::try_from(std::process::id().wrapping_mul(7_919) % u32::from(COUNT))
        .expect("below the count");
    for _ in 0..COUNT {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (offset + next) % COUNT;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return SocketAddr::from(([127, 0, 0, 1], port));
        }
    }
    panic!("no unused port between {FIRST} and {}", FIRST + COUNT)
}
