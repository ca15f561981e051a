//! [`Runtime`] on smol's parts: async-executor, async-io, blocking and async-signal.

use async_executor::Executor;
use async_io::Async;
use async_signal::{Signal as Number, Signals};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_util::stream::{Stream, StreamExt};
use restante_server::runtime::{HalfClose, Runtime, Signal, Timer};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// The executor that the process runs on; async-io's reactor is global.
#[derive(Clone)]
pub(crate) struct Smol(Arc<Executor<'static>>);

impl Runtime for Smol {
    type Stream = HalfClose<Async<TcpStream>>;
    type Listener = Async<TcpListener>;
    type LocalStream = HalfClose<Async<UnixStream>>;
    type LocalListener = Async<UnixListener>;
    type Timer = SmolTimer;

    fn run<F: Future>(threads: usize, main: impl FnOnce(Self) -> F) -> io::Result<F::Output> {
        let executor = Arc::new(Executor::new());
        for number in 0..threads.max(1) {
            let executor = Arc::clone(&executor);
            thread::Builder::new()
                .name(format!("smol-{number}"))
                .spawn(move || async_io::block_on(executor.run(core::future::pending::<()>())))?;
        }
        Ok(async_io::block_on(main(Self(executor))))
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(future).detach();
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        blocking::unblock(work)
    }

    fn timer(&self) -> SmolTimer {
        SmolTimer(None)
    }

    fn listen(&self, socket: TcpListener) -> io::Result<Self::Listener> {
        Async::new(socket)
    }

    async fn accept(&self, listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        Ok((HalfClose::new(stream), peer))
    }

    fn listen_local(&self, socket: UnixListener) -> io::Result<Self::LocalListener> {
        Async::new(socket)
    }

    async fn accept_local(&self, listener: &Self::LocalListener) -> io::Result<Self::LocalStream> {
        Ok(HalfClose::new(listener.accept().await?.0))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        let stream = Async::<TcpStream>::connect(address).await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(HalfClose::new(stream))
    }

    fn socket(stream: &Self::Stream) -> BorrowedFd<'_> {
        stream.as_fd()
    }

    fn signals(&self) -> io::Result<impl Stream<Item = Signal> + Send + Unpin + 'static> {
        let signals = Signals::new([Number::Term, Number::Int, Number::Hup])?;
        Ok(signals.filter_map(|number| {
            core::future::ready(match number {
                Ok(Number::Hup) => Some(Signal::Reload),
                Ok(_) => Some(Signal::Stop),
                Err(_) => None,
            })
        }))
    }
}

/// async-io's timer, made when it is first set: most timers of a task are never needed, and tasks
/// are what a server has many of.
pub(crate) struct SmolTimer(Option<Box<async_io::Timer>>);

impl Timer for SmolTimer {
    fn set(&mut self, deadline: Instant) {
        match &mut self.0 {
            Some(timer) => timer.set_at(deadline),
            none => *none = Some(Box::new(async_io::Timer::at(deadline))),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(timer) => Pin::new(&mut **timer).poll(cx).map(drop),
            None => Poll::Pending,
        }
    }
}
