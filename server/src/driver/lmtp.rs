//! Listening for LMTP, over TCP and on Unix sockets.

use super::Server;
use super::connection::{self, Driver};
use super::post::Post;
use super::socket::Socket;
use crate::accounts::address::Addresses;
use crate::runtime::Runtime;
use crate::seed::seed;
use futures_io::{AsyncRead, AsyncWrite};
use restante_core::account::ConnectionId;
use restante_core::config::Config as CoreConfig;
use restante_core::lmtp::Connection;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

/// The reply to a client that comes when there are too many.
const TOO_MANY: &[u8] = b"421 4.3.2 Too many connections\r\n";
/// Who comes by a Unix socket has no address but this machine's.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A bound socket.
#[derive(Debug)]
pub enum LmtpSocket {
    /// Whoever reaches it may deliver.
    Tcp(TcpListener),
    /// Whoever may open its file may deliver.
    Unix(UnixListener),
}

impl<R: Runtime> Server<R> {
    /// Serves LMTP on a bound socket, until the server stops.
    ///
    /// # Errors
    /// When the runtime cannot take the socket over.
    pub fn listen_lmtp(
        self: &Arc<Self>,
        socket: LmtpSocket,
        core: CoreConfig,
        addresses: Arc<Addresses>,
    ) -> std::io::Result<()> {
        let (server, core) = (Arc::clone(self), Arc::new(core));
        match socket {
            LmtpSocket::Tcp(socket) => {
                let address = socket.local_addr()?;
                let socket = self.runtime.listen(socket)?;
                tracing::info!(%address, "listening for LMTP");
                self.runtime.spawn(async move {
                    let next = || server.runtime.accept(&socket);
                    let welcome =
                        |(stream, peer)| server.receive_mail(stream, peer, &core, &addresses);
                    server.accept(next, welcome).await;
                });
            }
            LmtpSocket::Unix(socket) => {
                let address = socket.local_addr()?;
                let socket = self.runtime.listen_local(socket)?;
                tracing::info!(?address, "listening for LMTP");
                self.runtime.spawn(async move {
                    let next = || server.runtime.accept_local(&socket);
                    let welcome = |stream| server.receive_mail(stream, LOCAL, &core, &addresses);
                    server.accept(next, welcome).await;
                });
            }
        }
        Ok(())
    }

    fn receive_mail<S>(
        self: &Arc<Self>,
        stream: S,
        peer: SocketAddr,
        core: &Arc<CoreConfig>,
        addresses: &Arc<Addresses>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (server, core) = (Arc::clone(self), Arc::clone(core));
        let post = Post::new(Arc::clone(self), Arc::clone(addresses));
        let serve = move |stream, id: ConnectionId| {
            let machine = Connection::new(core, seed(), server.clock.now());
            let socket = Socket::Plain(stream);
            let driver = Driver::new(server, id, peer, None, socket, machine);
            connection::drive(driver.with_post(post))
        };
        self.welcome(stream, &peer, Some(TOO_MANY), serve);
    }
}
