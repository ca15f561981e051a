//! Dovecot's authentication protocol.

use super::Server;
use super::connection::{self, Driver};
use super::service::{Caller, Service, ServiceSocket};
use super::socket::Socket;
use crate::runtime::Runtime;
use crate::seed::seed;
use futures_io::{AsyncRead, AsyncWrite};
use restante_core::account::ConnectionId;
use restante_core::auth::{Connection, Numbers};
use restante_core::config::Config as CoreConfig;
use std::sync::Arc;

struct Auth(Arc<CoreConfig>);

impl<R: Runtime> Server<R> {
    /// Checks passwords for other services on a bound socket, until the server stops.
    ///
    /// # Errors
    /// When the runtime cannot take the socket over.
    pub fn listen_auth(
        self: &Arc<Self>,
        socket: ServiceSocket,
        core: CoreConfig,
    ) -> std::io::Result<()> {
        self.listen_service(socket, Auth(Arc::new(core)))
    }
}

impl<R: Runtime> Service<R> for Auth {
    const NAME: &'static str = "Dovecot's authentication protocol";

    fn welcome<S>(&self, server: &Arc<Server<R>>, stream: S, caller: Caller<'_>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (this, core) = (Arc::clone(server), Arc::clone(&self.0));
        let source = caller.source();
        let serve = move |stream, id: ConnectionId| {
            let numbers = Numbers {
                process: std::process::id(),
                // Dovecot's are of 32 bits as well, and begin again after that.
                connection: id.0 as u32,
            };
            let machine = Connection::new(core, seed(), this.clock.now(), numbers);
            let socket = Socket::Plain(stream);
            connection::drive(Driver::new(this, id, source, None, socket, machine))
        };
        // There is no word for "too many" in the protocol.
        server.welcome(&server.auth, stream, &caller, None, serve);
    }
}
