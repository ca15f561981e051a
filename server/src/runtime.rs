//! What an async runtime has to offer: sockets, timers, tasks, threads for work that
//! blocks, and signals.
//!
//! The server is written once over [`Runtime`]; `restante-tokio` and `restante-smol`
//! bring one implementation each, of about a hundred lines. What is longer than that
//! belongs here.

mod half_close;
#[cfg(test)]
pub(crate) mod threads;

pub use half_close::HalfClose;

use core::future::Future;
use core::task::{Context, Poll};
use core::time::Duration;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::{self, Either};
use futures_util::stream::Stream;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;
use std::pin::pin;
use std::time::Instant;

/// A handle to an async runtime; clones stand for the same one.
pub trait Runtime: Clone + Send + Sync + Unpin + 'static {
    /// A TCP connection, with `TCP_NODELAY` set. Closing it ends the stream for the other side
    /// ([`HalfClose`] where the runtime's own does not).
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// A listening TCP socket.
    type Listener: Send + Sync + 'static;
    /// A connection on this machine, over a Unix socket, which is closed in the same way.
    type LocalStream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// A listening Unix socket.
    type LocalListener: Send + Sync + 'static;
    /// A timer.
    type Timer: Timer;

    /// Starts the runtime with so many threads for tasks, runs the future that `main` makes
    /// to its end on the calling thread, and stops the runtime without waiting for other
    /// tasks.
    ///
    /// # Errors
    /// When the runtime cannot get its threads or its poller from the system.
    fn run<F: Future>(threads: usize, main: impl FnOnce(Self) -> F) -> io::Result<F::Output>;

    /// Runs a future to its end on any thread.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static);

    /// Runs work that blocks (disk, Argon2) where it holds up no task. A panic of the
    /// work becomes a panic of whoever awaits the result.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static;

    /// A timer that is not set.
    fn timer(&self) -> Self::Timer;

    /// Takes over a bound socket.
    ///
    /// # Errors
    /// Those of the operating system.
    fn listen(&self, socket: TcpListener) -> io::Result<Self::Listener>;

    /// The next connection.
    ///
    /// # Errors
    /// Those of the operating system; most of them (no more file descriptors, a client
    /// that is gone already) pass.
    fn accept(
        &self,
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Takes over a bound Unix socket.
    ///
    /// # Errors
    /// Those of the operating system.
    fn listen_local(&self, socket: UnixListener) -> io::Result<Self::LocalListener>;

    /// The next connection on this machine.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    fn accept_local(
        &self,
        listener: &Self::LocalListener,
    ) -> impl Future<Output = io::Result<Self::LocalStream>> + Send;

    /// Connects to a TCP server.
    ///
    /// # Errors
    /// Those of the operating system.
    fn connect(&self, address: SocketAddr)
    -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The socket under a connection, for options that only the operating system knows.
    fn socket(stream: &Self::Stream) -> BorrowedFd<'_>;

    /// The signals that concern a server, from now on.
    ///
    /// # Errors
    /// Those of the operating system.
    fn signals(&self) -> io::Result<impl Stream<Item = Signal> + Send + Unpin + 'static>;
}

/// A timer that can be set again and again.
pub trait Timer: Send + Unpin + 'static {
    /// Sets it to go off at `deadline`, whether or not it was set or went off before.
    fn set(&mut self, deadline: Instant);

    /// Ready when it has gone off; never, as long as it is not set.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// What a signal asks of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: finish what is being done and stop.
    Stop,
    /// SIGHUP: read the certificate again. (Accounts are whenever their file changed.)
    Reload,
}

/// Has the operating system acknowledge at once what came, and what comes next, until it
/// delays acknowledgements again by itself. Not every system can, and nothing but time depends on it.
pub(crate) fn acknowledge<R: Runtime>(stream: &R::Stream) {
    #[cfg(target_os = "linux")]
    let _unsupported = rustix::net::sockopt::set_tcp_quickack(R::socket(stream), true);
}

/// Waits for `duration`.
pub async fn sleep<R: Runtime>(runtime: &R, duration: Duration) {
    let mut timer = runtime.timer();
    timer.set(Instant::now() + duration);
    core::future::poll_fn(|cx| timer.poll(cx)).await;
}

/// The future's result, or `None` if it took longer than `duration`.
pub async fn timeout<R: Runtime, F: Future>(
    runtime: &R,
    duration: Duration,
    future: F,
) -> Option<F::Output> {
    match future::select(pin!(future), pin!(sleep(runtime, duration))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}
