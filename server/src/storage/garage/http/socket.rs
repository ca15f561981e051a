//! The octets of one connection to Garage, in the clear or in TLS, as hyper wants them.
//!
//! Garage writes the header of an answer and the body with two calls. Where our kernel
//! delays the acknowledgement of the first segment, the second one waits for it: a GET
//! of 3 to 65 kB takes 44 ms instead of one. So quick acknowledgement is switched on
//! again after every read; the kernel switches it off by itself.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::client::TlsStream;
use hyper::rt::ReadBufCursor;
use std::cell::RefCell;
use std::io::{self, IoSlice};

use crate::runtime::{self, Runtime};

/// Octets that one read takes, at most. One such buffer serves all the connections that
/// a thread polls: a connection that waits holds none.
const READ_BYTES: usize = 64 * 1024;
/// Octets that are gathered into one write, so that a short request is one segment.
const GATHER_BYTES: usize = 16 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
    static GATHER_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A TCP connection that acknowledges at once.
pub(super) struct Quick<R: Runtime>(R::Stream);

impl<R: Runtime> Quick<R> {
    pub(super) fn new(stream: R::Stream) -> Self {
        runtime::acknowledge::<R>(&stream);
        Self(stream)
    }
}

impl<R: Runtime> AsyncRead for Quick<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.0).poll_read(cx, buffer));
        runtime::acknowledge::<R>(&self.0);
        Poll::Ready(read)
    }
}

impl<R: Runtime> AsyncWrite for Quick<R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// What hyper reads from and writes to.
pub(super) enum Socket<R: Runtime> {
    Plain(Quick<R>),
    Tls(Box<TlsStream<Quick<R>>>),
}

impl<R: Runtime> hyper::rt::Read for Socket<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        READ_BUFFER.with_borrow_mut(|octets| {
            let max = buffer.remaining().min(octets.len());
            let octets = &mut octets[..max];
            let len = ready!(match self.get_mut() {
                Self::Plain(stream) => Pin::new(stream).poll_read(cx, octets),
                Self::Tls(stream) => Pin::new(stream).poll_read(cx, octets),
            })?;
            buffer.put_slice(&octets[..len]);
            Poll::Ready(Ok(()))
        })
    }
}

impl<R: Runtime> hyper::rt::Write for Socket<R> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_close(cx),
            Self::Tls(stream) => Pin::new(stream).poll_close(cx),
        }
    }

    /// hyper copies bodies into its own buffer otherwise.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        let Some(first) = first else {
            return self.poll_write(cx, &[]);
        };
        if first.len() >= GATHER_BYTES || slices.len() == 1 {
            return self.poll_write(cx, first);
        }
        GATHER_BUFFER.with_borrow_mut(|gathered| {
            gathered.clear();
            for slice in slices {
                let room = GATHER_BYTES - gathered.len();
                gathered.extend_from_slice(&slice[..slice.len().min(room)]);
            }
            self.as_mut().poll_write(cx, gathered)
        })
    }
}
