//! What hyper wants of a runtime: octets and timers.

use super::Socket;
use crate::runtime::{Runtime, Timer};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{ReadBufCursor, Sleep};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A client's socket as hyper reads and writes it.
pub(super) struct Io<S>(pub(super) Socket<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> hyper::rt::Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        self.0
            .poll_receive(cx, room, |octets| buffer.put_slice(octets))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> hyper::rt::Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(cx)
    }
}

/// The runtime's timers.
pub(super) struct Timers<R>(pub(super) R);

/// One of them. Only its owner ever polls it; the lock is there because hyper wants it to
/// be shareable.
struct Nap<T>(Mutex<T>);

impl<R: Runtime> hyper::rt::Timer for Timers<R> {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let mut timer = self.0.timer();
        timer.set(deadline);
        Box::pin(Nap(Mutex::new(timer)))
    }
}

impl<T: Timer> Future for Nap<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        ready!(timer.poll(cx));
        Poll::Ready(())
    }
}

impl<T: Timer> Sleep for Nap<T> {}
