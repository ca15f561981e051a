//! Listening for other services, over TCP and on Unix sockets.

use super::Server;
use crate::runtime::Runtime;
use futures_io::{AsyncRead, AsyncWrite};
use rustix::net::sockopt::set_socket_keepalive;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

/// Who has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caller<'a> {
    /// From this address.
    Tcp(SocketAddr),
    /// By this socket, on the same machine. That is all that is known.
    Unix(&'a Path),
}

impl Caller<'_> {
    /// Whose wrong passwords count together.
    pub(super) fn source(self) -> IpAddr {
        match self {
            Self::Tcp(address) => address.ip(),
            Self::Unix(_) => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// As the configuration has it.
impl fmt::Display for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound socket. None of the services asks who comes.
#[derive(Debug)]
pub enum ServiceSocket {
    /// Whoever reaches it is served.
    Tcp(TcpListener),
    /// Whoever may open its file is served.
    Unix(UnixListener),
}

/// What is spoken on such a socket.
pub(super) trait Service<R: Runtime>: Send + Sync + 'static {
    /// For the log.
    const NAME: &'static str;

    /// Serves a connection in a task of its own.
    fn welcome<S>(&self, server: &Arc<Server<R>>, stream: S, caller: Caller<'_>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;
}

impl<R: Runtime> Server<R> {
    /// Serves a service on a bound socket, until the server stops.
    pub(super) fn listen_service<V: Service<R>>(
        self: &Arc<Self>,
        socket: ServiceSocket,
        service: V,
    ) -> io::Result<()> {
        let server = Arc::clone(self);
        match socket {
            ServiceSocket::Tcp(socket) => {
                let address = socket.local_addr()?;
                let socket = self.runtime.listen(socket)?;
                tracing::info!(%address, "listening for {}", V::NAME);
                self.runtime.spawn(async move {
                    let next = || server.runtime.accept(&socket);
                    let welcome = |(stream, peer): (R::Stream, SocketAddr)| {
                        // Some may be silent for as long as they like. Those whose machine
                        // is gone must end some time.
                        if let Err(error) = set_socket_keepalive(R::socket(&stream), true) {
                            tracing::debug!(%error, "no keep-alive");
                        }
                        service.welcome(&server, stream, Caller::Tcp(peer));
                    };
                    server.accept(next, welcome).await;
                });
            }
            ServiceSocket::Unix(socket) => {
                let address = socket.local_addr()?;
                let socket = self.runtime.listen_local(socket)?;
                tracing::info!(?address, "listening for {}", V::NAME);
                self.runtime.spawn(async move {
                    let next = || server.runtime.accept_local(&socket);
                    let path = address.as_pathname().unwrap_or(Path::new(""));
                    let caller = Caller::Unix(path);
                    let welcome = |stream| service.welcome(&server, stream, caller);
                    server.accept(next, welcome).await;
                });
            }
        }
        Ok(())
    }
}
