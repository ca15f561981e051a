//! [`Runtime`] on tokio.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_util::stream::{self, Stream};
use restante_server::runtime::{Runtime, Signal, Timer};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Sleep;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// Polls of tasks before sockets and timers are looked at. tokio's own 61 assume polls of some
/// microseconds; a search polls for half a millisecond, and who else asks for something would
/// wait for 61 of those.
const EVENT_INTERVAL: u32 = 4;

/// The tokio runtime that the process runs on.
#[derive(Clone)]
pub(crate) struct Tokio(Handle);

impl Runtime for Tokio {
    type Stream = Compat<tokio::net::TcpStream>;
    type Listener = tokio::net::TcpListener;
    type LocalStream = Compat<tokio::net::UnixStream>;
    type LocalListener = tokio::net::UnixListener;
    type Timer = TokioTimer;

    fn run<F: Future>(threads: usize, main: impl FnOnce(Self) -> F) -> io::Result<F::Output> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .event_interval(EVENT_INTERVAL)
            .enable_all()
            .build()?;
        let output = runtime.block_on(main(Self(runtime.handle().clone())));
        runtime.shutdown_background();
        Ok(output)
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(future);
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let task = self.0.spawn_blocking(work);
        async move {
            match task.await {
                Ok(output) => output,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Only when the runtime stops: nobody is left to wait.
                    Err(_) => core::future::pending().await,
                },
            }
        }
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer(None)
    }

    fn listen(&self, socket: TcpListener) -> io::Result<Self::Listener> {
        socket.set_nonblocking(true)?;
        let _context = self.0.enter();
        tokio::net::TcpListener::from_std(socket)
    }

    async fn accept(&self, listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream.compat(), peer))
    }

    fn listen_local(&self, socket: UnixListener) -> io::Result<Self::LocalListener> {
        socket.set_nonblocking(true)?;
        let _context = self.0.enter();
        tokio::net::UnixListener::from_std(socket)
    }

    async fn accept_local(&self, listener: &Self::LocalListener) -> io::Result<Self::LocalStream> {
        Ok(listener.accept().await?.0.compat())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream.compat())
    }

    fn socket(stream: &Self::Stream) -> BorrowedFd<'_> {
        stream.get_ref().as_fd()
    }

    fn signals(&self) -> io::Result<impl Stream<Item = Signal> + Send + Unpin + 'static> {
        let _context = self.0.enter();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        Ok(stream::poll_fn(move |cx| {
            if terminate.poll_recv(cx).is_ready() || interrupt.poll_recv(cx).is_ready() {
                return Poll::Ready(Some(Signal::Stop));
            }
            hangup
                .poll_recv(cx)
                .map(|received| received.map(|()| Signal::Reload))
        }))
    }
}

/// tokio's timer, made when it is first set.
pub(crate) struct TokioTimer(Option<Pin<Box<Sleep>>>);

impl Timer for TokioTimer {
    fn set(&mut self, deadline: Instant) {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().reset(deadline.into()),
            none => *none = Some(Box::pin(tokio::time::sleep_until(deadline.into()))),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
