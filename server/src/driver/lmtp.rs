//! LMTP.

use super::Server;
use super::connection::{self, Driver};
use super::post::Post;
use super::service::{Caller, Service, ServiceSocket};
use super::socket::Socket;
use crate::accounts::address::Addresses;
use crate::runtime::Runtime;
use crate::seed::seed;
use futures_io::{AsyncRead, AsyncWrite};
use restante_core::account::ConnectionId;
use restante_core::config::Config as CoreConfig;
use restante_core::lmtp::Connection;
use std::sync::Arc;

/// The reply to a client that comes when there are too many.
const TOO_MANY: &[u8] = b"421 4.3.2 Too many connections\r\n";

struct Lmtp {
    core: Arc<CoreConfig>,
    addresses: Arc<Addresses>,
}

impl<R: Runtime> Server<R> {
    /// Serves LMTP on a bound socket, until the server stops.
    ///
    /// # Errors
    /// When the runtime cannot take the socket over.
    pub fn listen_lmtp(
        self: &Arc<Self>,
        socket: ServiceSocket,
        core: CoreConfig,
        addresses: Arc<Addresses>,
    ) -> std::io::Result<()> {
        let core = Arc::new(core);
        self.listen_service(socket, Lmtp { core, addresses })
    }
}

impl<R: Runtime> Service<R> for Lmtp {
    const NAME: &'static str = "LMTP";

    fn welcome<S>(&self, server: &Arc<Server<R>>, stream: S, caller: Caller<'_>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (this, core) = (Arc::clone(server), Arc::clone(&self.core));
        let source = caller.source();
        let post = Post::new(Arc::clone(server), Arc::clone(&self.addresses));
        let serve = move |stream, id: ConnectionId| {
            let machine = Connection::new(core, seed(), this.clock.now());
            let socket = Socket::Plain(stream);
            let driver = Driver::new(this, id, source, None, socket, machine);
            connection::drive(driver.with_post(post))
        };
        server.welcome(&server.lmtp, stream, &caller, Some(TOO_MANY), serve);
    }
}
