//! A client's socket, in the clear or in TLS.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::server::TlsStream;
use futures_rustls::{Accept, TlsAcceptor};
use std::cell::RefCell;
use std::io;

/// Octets that one read takes, at most. One such buffer serves all the connections that
/// a thread polls: a connection that waits holds none.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// A client's socket.
pub(crate) enum Socket<S> {
    /// In the clear.
    Plain(S),
    /// While TLS begins.
    Handshake(Box<Accept<S>>),
    /// In TLS.
    Tls(Box<TlsStream<S>>),
    /// After an error.
    Broken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// The connection below, if it is whole and not in between.
    pub(crate) fn stream(&self) -> Option<&S> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Handshake(_) | Self::Broken => None,
        }
    }

    /// Begins TLS on a socket that is in the clear.
    pub(crate) fn start_tls(&mut self, acceptor: &TlsAcceptor) {
        *self = match core::mem::replace(self, Self::Broken) {
            Self::Plain(stream) => Self::Handshake(Box::new(acceptor.accept(stream))),
            other => other,
        };
    }

    /// Whether TLS is beginning: nothing can be read or written meanwhile.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        matches!(self, Self::Handshake(_))
    }

    /// Ready when TLS has begun.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Handshake(accept) = self {
            *self = match ready!(Pin::new(accept).poll(cx)) {
                Ok(stream) => Self::Tls(Box::new(stream)),
                Err(error) => {
                    *self = Self::Broken;
                    return Poll::Ready(Err(error));
                }
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Reads at most `max` octets and shows them to `take`; none at the end.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<()>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let max = max.min(buffer.len());
            let read = match self {
                Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer[..max]),
                Self::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buffer[..max]),
                Self::Handshake(_) => return Poll::Pending,
                Self::Broken => return Poll::Ready(Err(broken())),
            };
            // A client that ends TCP without ending TLS is no attack worth a word: the
            // commands that came are whole, as each ends with its own CRLF.
            let len = match ready!(read) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                read => read?,
            };
            take(&buffer[..len]);
            Poll::Ready(Ok(()))
        })
    }

    /// Writes some of `bytes`; how many.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Handshake(_) => return Poll::Pending,
            Self::Broken => return Poll::Ready(Err(broken())),
        };
        match ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            len => Poll::Ready(Ok(len)),
        }
    }

    /// Ready when what was written is with the operating system.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Handshake(_) => Poll::Pending,
            Self::Broken => Poll::Ready(Err(broken())),
        }
    }

    /// Ends the sending side, TLS first.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_close(cx),
            Self::Tls(stream) => Pin::new(stream).poll_close(cx),
            Self::Handshake(_) | Self::Broken => Poll::Ready(Ok(())),
        }
    }
}

fn broken() -> io::Error {
    io::ErrorKind::NotConnected.into()
}
