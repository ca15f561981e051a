//! The loops with scripted machines: what the core would never show on purpose.

mod accounts;
mod connections;
mod doorbells;
mod http;
mod tls;

use super::{Clock, Server};
use crate::accounts::file::AccountsFile;
use crate::accounts::stretch::Stretcher;
use crate::accounts::{Accounts, edit};
use crate::config::{Limits, Listener, TlsMode};
use crate::runtime::threads::Threads;
use crate::storage::{Memory, Storage};
use argon2::Params;
use restante_core::config::Config as CoreConfig;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A server with the accounts alice and bob; the folder lives as long as the test.
fn server(limits: &Limits) -> (Arc<Server<Threads>>, TempDir) {
    server_on(memory(), limits)
}

/// Has a server listen for IMAP; where.
fn listen(server: &Arc<Server<Threads>>, tls: TlsMode) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let core = CoreConfig {
        starttls: tls == TlsMode::StartTls,
        ..CoreConfig::default()
    };
    let listener = Listener { address, tls };
    server.listen(socket, &listener, core).unwrap();
    address
}

/// A storage in memory.
fn memory() -> Arc<Memory> {
    let sleeper = Arc::new(|duration| {
        let sleep = async move {
            async_io::Timer::after(duration).await;
        };
        Box::pin(sleep) as crate::storage::BoxFuture<'static, ()>
    });
    Arc::new(Memory::new(sleeper))
}

/// The same on this storage.
fn server_on(storage: Arc<dyn Storage>, limits: &Limits) -> (Arc<Server<Threads>>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let params = Params::new(64, 1, 1, Some(32)).unwrap();
    let path = folder.path().join("accounts.toml");
    for name in ["alice", "bob"] {
        edit::add(
            &AccountsFile::new(path.clone()),
            name,
            "secret",
            &params,
            None,
        )
        .unwrap();
    }
    let stretcher = Stretcher::new(Threads, 1024 * 1024, 2, 100);
    let accounts = Accounts::new(Threads, AccountsFile::new(path), params, stretcher);
    // Tests that count requests have nobody tidy up meanwhile.
    let core = CoreConfig {
        sweep_delay: Duration::from_secs(24 * 3_600),
        ..CoreConfig::default()
    };
    let server = Server::new(Threads, storage, accounts, None, core, limits);
    (server, folder)
}

#[test]
fn deadline_goes_off_in_time_however_it_moves() {
    use super::clock::Deadline;
    use core::task::Poll;
    use core::time::Duration;

    let clock = Clock::new();
    let mut deadline = Deadline::new(&Threads, clock);
    let start = clock.instant();
    let ms = |ms| Some(start.after(Duration::from_millis(ms)));
    async_io::block_on(core::future::poll_fn(|cx| {
        // Far away, then nearer, then a little later than that.
        assert!(deadline.poll(cx, ms(60_000)).is_pending());
        assert!(deadline.poll(cx, ms(20)).is_pending());
        Poll::Ready(())
    }));
    async_io::block_on(core::future::poll_fn(|cx| deadline.poll(cx, ms(60))));
    let elapsed = clock.instant().since(start);
    assert!(elapsed >= Duration::from_millis(60), "{elapsed:?}");
    assert!(elapsed < Duration::from_millis(5_000), "{elapsed:?}");
    async_io::block_on(core::future::poll_fn(|cx| {
        assert!(deadline.poll(cx, None).is_pending());
        Poll::Ready(())
    }));
}
