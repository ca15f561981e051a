//! A runtime for tests: a thread for each task.

use super::{HalfClose, Runtime, Signal, Timer};
use async_io::Async;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_util::stream::{self, Stream};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

#[derive(Clone)]
pub(crate) struct Threads;

pub(crate) struct ThreadTimer(async_io::Timer);

impl Runtime for Threads {
    type Stream = HalfClose<Async<TcpStream>>;
    type Listener = Async<TcpListener>;
    type LocalStream = HalfClose<Async<UnixStream>>;
    type LocalListener = Async<UnixListener>;
    type Timer = ThreadTimer;

    fn run<F: Future>(_: usize, main: impl FnOnce(Self) -> F) -> io::Result<F::Output> {
        Ok(async_io::block_on(main(Self)))
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        std::thread::spawn(|| async_io::block_on(future));
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let (sender, receiver) = futures_channel::oneshot::channel();
        std::thread::spawn(move || drop(sender.send(work())));
        async move { receiver.await.expect("the work does not panic") }
    }

    fn timer(&self) -> ThreadTimer {
        ThreadTimer(async_io::Timer::never())
    }

    fn listen(&self, socket: TcpListener) -> io::Result<Self::Listener> {
        Async::new(socket)
    }

    async fn accept(&self, listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
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
        Ok(stream::pending())
    }
}

impl Timer for ThreadTimer {
    fn set(&mut self, deadline: Instant) {
        self.0.set_at(deadline);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}
