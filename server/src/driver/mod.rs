//! The loops around the core, written once for both runtimes.
//!
//! A [`Server`] listens; each connection is one task that drives the core's `Connection`
//! ([`connection`]), each account that somebody is logged in to is one task that drives
//! the core's `Account` ([`account`]). Between them is the [`registry`].
//!
//! It stops in two steps: connections first finish their command and say BYE, while
//! their accounts still answer; an account without connections commits what it has and
//! ends. Whoever is not done in time is left behind: what was answered is durable.

mod account;
mod auth;
mod clock;
mod connection;
mod doorbell;
pub(crate) mod flood;
pub mod http;
mod inboxes;
mod kept;
mod lmtp;
mod phase;
mod places;
mod post;
mod registry;
mod restored;
mod room;
pub mod service;
mod socket;
pub(crate) mod steward;
#[cfg(test)]
mod tests;

use self::http::Web;
use crate::accounts::Accounts;
use crate::config::{Limits, Listener, TlsMode};
use crate::runtime::{self, Runtime};
use crate::seed::seed;
use crate::storage::Storage;
use crate::tls::Certificate;
use clock::Clock;
use connection::Driver;
use core::fmt::Display;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use doorbell::Ringer;
use flood::Flood;
use futures_util::future::{self, Abortable, Either, FutureExt};
use futures_util::io::{AsyncWrite, AsyncWriteExt};
use inboxes::Writers;
use kept::KeptWriters;
use phase::{Phase, Phases, Watch};
use places::{Place, Places, Taken};
use registry::{Attachment, Registry};
use restante_core::account::{Account, ConnectionId};
use restante_core::boundary::{Event, Login, LoginError};
use restante_core::config::Config as CoreConfig;
use restante_core::doorbell::Change;
use restante_core::imap::{Connection, Peer};
use restored::Restored;
use room::Room;
use socket::Socket;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use tracing::Instrument;

/// How long to wait when no connection can be accepted (no more file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a stopping server looks whether everybody is done.
const STOP_POLL: Duration = Duration::from_millis(10);
/// The reply to a client that comes when there are too many.
const TOO_MANY: &[u8] = b"* BYE [UNAVAILABLE] Too many connections\r\n";

/// What the tasks of one server share.
pub struct Server<R: Runtime> {
    runtime: R,
    clock: Clock,
    storage: Arc<dyn Storage>,
    accounts: Accounts<R>,
    /// The limits of the core for accounts.
    core: Arc<CoreConfig>,
    certificate: Option<Certificate>,
    shutdown_timeout: Duration,
    registry: Arc<Registry>,
    /// As whom the machines of closed accounts have written.
    machine_writers: KeptWriters,
    restored: Restored,
    /// Where other processes may use the same storage.
    ringer: Option<Arc<Ringer>>,
    /// As whom LMTP and deliverers write.
    writers: Writers,
    /// For copies of messages that come in.
    room: Arc<Room>,
    phases: Arc<Phases>,
    /// For clients. Anybody can come.
    clients: Arc<Places>,
    /// For those who deliver.
    lmtp: Arc<Places>,
    /// For those who have passwords checked.
    auth: Arc<Places>,
    /// For those who ask for settings, as soon as somebody listens for them.
    web: OnceLock<Arc<Web>>,
    next_connection: AtomicU64,
    /// Clients that came and could not be accepted.
    unaccepted: Flood,
}

impl<R: Runtime> Server<R> {
    /// A server that does not listen yet.
    pub fn new(
        runtime: R,
        storage: Arc<dyn Storage>,
        accounts: Accounts<R>,
        certificate: Option<Certificate>,
        core: CoreConfig,
        limits: &Limits,
    ) -> Arc<Self> {
        let ringer = storage.is_shared().then(Arc::default);
        let server = Arc::new(Self {
            runtime,
            clock: Clock::new(),
            storage,
            accounts,
            core: Arc::new(core),
            certificate,
            shutdown_timeout: Duration::from_secs(limits.shutdown_timeout_s),
            machine_writers: KeptWriters::default(),
            restored: Restored::default(),
            registry: Arc::new(Registry::new(limits.connections_per_account_max)),
            ringer,
            writers: Writers::default(),
            room: Room::new(limits.lmtp_copies_max),
            phases: Arc::default(),
            clients: Places::for_logins(limits.connections_max),
            lmtp: Places::new(limits.service_connections_max),
            auth: Places::new(limits.service_connections_max),
            web: OnceLock::new(),
            next_connection: AtomicU64::new(1),
            unaccepted: Flood::default(),
        });
        server.watch();
        server
    }

    /// Begins to listen to the doorbells of other processes.
    fn watch(&self) {
        let Some(ringer) = &self.ringer else { return };
        let task = doorbell::drive(
            self.runtime.clone(),
            self.clock,
            Arc::clone(&self.storage),
            Arc::clone(&self.core),
            Arc::clone(&self.registry),
            Arc::clone(ringer),
        );
        let task = AssertUnwindSafe(task).catch_unwind().map(drop);
        let span = tracing::info_span!(parent: None, "doorbell");
        self.runtime.spawn(task.instrument(span));
    }

    /// Tells other processes that this one wrote to a log. Nobody waits for it.
    fn announce(&self, change: Change) {
        if let Some(ringer) = &self.ringer {
            ringer.ring(change);
        }
    }

    /// Serves IMAP on a bound socket, until the server stops.
    ///
    /// # Errors
    /// When the runtime cannot take the socket over.
    pub fn listen(
        self: &Arc<Self>,
        socket: TcpListener,
        listener: &Listener,
        core: CoreConfig,
    ) -> std::io::Result<()> {
        let address = socket.local_addr()?;
        let socket = self.runtime.listen(socket)?;
        tracing::info!(%address, tls = ?listener.tls, "listening for IMAP");
        let (server, tls, core) = (Arc::clone(self), listener.tls, Arc::new(core));
        self.runtime.spawn(async move {
            let welcome = |(stream, peer): (R::Stream, SocketAddr)| {
                // IPv4 clients of an IPv6 socket under the name that they know.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let refusal = (tls != TlsMode::Implicit).then_some(TOO_MANY);
                let (serve, core) = (Arc::clone(&server), Arc::clone(&core));
                server.welcome(
                    &server.clients,
                    stream,
                    &peer,
                    refusal,
                    move |stream, id| serve.serve(stream, peer, id, tls, core),
                );
            };
            let next = || server.runtime.accept(&socket);
            server.accept(next, welcome).await;
        });
        Ok(())
    }

    /// Uses the certificate that is in the files now, for connections to come.
    pub fn reload(&self) {
        match self.certificate.as_ref().map(Certificate::reload) {
            Some(Ok(())) => tracing::info!("the certificate was read again"),
            Some(Err(error)) => tracing::error!(%error, "the old certificate stays in use"),
            None => {}
        }
    }

    /// Stops: accepts nobody, says BYE, lets commits finish. Returns when everybody is
    /// done or the time for that is over.
    pub async fn stop(&self) {
        let end = self.clock.instant().after(self.shutdown_timeout);
        let drain_end = self.clock.instant().after(self.shutdown_timeout * 2 / 3);
        self.phases.enter(Phase::Draining);
        let mut places = vec![&self.clients, &self.lmtp, &self.auth];
        places.extend(self.web.get().map(|web| &web.places));
        let busy = || places.iter().any(|places| places.taken() > 0) || self.registry.len() > 0;
        while busy() && self.clock.instant() < drain_end {
            runtime::sleep(&self.runtime, STOP_POLL).await;
        }
        self.phases.enter(Phase::Ending);
        while self.registry.len() > 0 && self.clock.instant() < end {
            runtime::sleep(&self.runtime, STOP_POLL).await;
        }
        if let Some(ringer) = &self.ringer {
            ringer.end();
            while !ringer.is_done() && self.clock.instant() < end {
                runtime::sleep(&self.runtime, STOP_POLL).await;
            }
        }
        for count in places.iter().filter_map(|places| places.refused.rest()) {
            tracing::warn!(count, "connections were refused: there were too many");
        }
        if let Some(count) = self.clients.gone.rest() {
            tracing::warn!(count, "connections without a login gave way to others");
        }
        if self.registry.len() > 0 {
            tracing::warn!(
                accounts = self.registry.len(),
                "some commits did not finish in time"
            );
        }
    }

    /// Welcomes whoever comes, until the server stops.
    async fn accept<T, F>(&self, next: impl Fn() -> F + Send, welcome: impl Fn(T) + Send)
    where
        T: Send,
        F: Future<Output = std::io::Result<T>> + Send,
    {
        let mut watch = Watch::new(Arc::clone(&self.phases));
        loop {
            let accepted = {
                match future::select(pin!(next()), pin!(watch.next())).await {
                    Either::Left((accepted, _)) => accepted,
                    Either::Right(_) => return,
                }
            };
            match accepted {
                Ok(accepted) => welcome(accepted),
                Err(error) => {
                    if let Some(count) = self.unaccepted.happened(self.clock.instant()) {
                        tracing::warn!(%error, count, "connections could not be accepted");
                    }
                    runtime::sleep(&self.runtime, ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection in a task of its own, or says `refusal` if all `places` are taken.
    fn welcome<S, F>(
        self: &Arc<Self>,
        places: &Arc<Places>,
        stream: S,
        peer: &dyn Display,
        refusal: Option<&[u8]>,
        serve: impl FnOnce(S, ConnectionId) -> F,
    ) where
        S: AsyncWrite + Unpin,
        F: Future<Output = ()> + Send + 'static,
    {
        let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let Some(taken) = Place::take(places, id) else {
            return self.refuse(stream, peer, refusal, &places.refused);
        };
        let Taken {
            place,
            end,
            instead,
        } = taken;
        let now = self.clock.instant();
        if instead && let Some(count) = places.gone.happened(now) {
            tracing::warn!(%peer, count, "connections without a login give way: there are too many");
        }
        if let Some(count) = places.refused.due(now) {
            tracing::warn!(count, "connections were refused: there were too many");
        }
        let span = tracing::info_span!("connection", id = id.0, %peer);
        let serve = serve(stream, id);
        // The panic hook has logged it; the other connections go on. Not a block that awaits:
        // it would have room for the connection twice.
        let serve = AssertUnwindSafe(serve).catch_unwind();
        let task = Abortable::new(serve, end).map(move |_| drop(place));
        self.runtime.spawn(task.instrument(span));
    }

    /// Says `refusal` to a client that comes when there are too many. Anybody can come a
    /// thousand times a second, so not each is told to the log.
    fn refuse<S: AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        peer: &dyn Display,
        refusal: Option<&[u8]>,
        refused: &Flood,
    ) {
        if let Some(count) = refused.happened(self.clock.instant()) {
            tracing::warn!(%peer, count, "connections are refused: there are too many");
        }
        if let Some(refusal) = refusal {
            // As far as the empty send buffer takes it; nobody waits for more.
            drop(stream.write(refusal).now_or_never());
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: R::Stream,
        peer: SocketAddr,
        id: ConnectionId,
        tls: TlsMode,
        core: Arc<CoreConfig>,
    ) {
        tracing::debug!("connected");
        let acceptor = match tls {
            TlsMode::None => None,
            _ => self.certificate.as_ref().map(Certificate::acceptor),
        };
        let mut socket = Socket::Plain(stream);
        if tls == TlsMode::Implicit {
            let Some(acceptor) = &acceptor else { return };
            socket.start_tls(acceptor);
            if !self.handshake(&mut socket, core.login_timeout).await {
                return;
            }
        }
        let seen = Peer {
            loopback: peer.ip().is_loopback(),
            tls: tls == TlsMode::Implicit,
        };
        let machine = Connection::new(core, seed(), self.clock.now(), seen);
        let driver = Driver::new(self, id, peer.ip(), acceptor, socket, machine);
        connection::drive(driver).await;
    }

    /// Whether TLS begins within so much time, and before the server stops: nobody in the
    /// handshake has a command that could be finished, or could be told BYE.
    async fn handshake(&self, socket: &mut Socket<R::Stream>, limit: Duration) -> bool {
        let mut watch = Watch::new(Arc::clone(&self.phases));
        let handshake = core::future::poll_fn(|cx| socket.poll_handshake(cx));
        let handshake = runtime::timeout(&self.runtime, limit, handshake);
        match future::select(pin!(handshake), pin!(watch.next())).await {
            Either::Left((Some(Ok(())), _)) => return true,
            Either::Left((Some(Err(error)), _)) => tracing::debug!(%error, "no TLS"),
            Either::Left((None, _)) => tracing::debug!("the TLS handshake took too long"),
            Either::Right(_) => tracing::debug!("the server stops before TLS began"),
        }
        false
    }

    /// Attaches a connection to the account that it logged in to.
    fn attach(
        server: &Arc<Self>,
        id: ConnectionId,
        login: &Login,
    ) -> Result<Attachment, LoginError> {
        let account = login.keys.account();
        let attached = server.registry.attach(account, id, |way| {
            let (config, keys) = (Arc::clone(&server.core), Arc::clone(&login.keys));
            let owner = Arc::clone(server);
            let new_machine = move |now, sleepers| {
                let machine = Account::new(Arc::clone(&config), Arc::clone(&keys), seed(), now);
                let writers = owner.machine_writers.take(account);
                machine.with_writers(writers).with_sleepers(sleepers)
            };
            let task = account::drive(Arc::clone(server), account, way, new_machine);
            let task = AssertUnwindSafe(task).catch_unwind().map(drop);
            let span = tracing::info_span!(parent: None, "account", id = %account);
            server.runtime.spawn(task.instrument(span));
        });
        if attached.is_ok() {
            server.clients.logged_in(id);
        }
        attached
    }
}

/// What clients do wrong is of interest only when one looks for it.
fn log(event: &Event) {
    match event {
        Event::Authenticated => tracing::info!("authenticated"),
        Event::Rejected => tracing::info!("wrong password"),
        Event::Aborted(reason) => tracing::debug!(reason, "aborted"),
        Event::BadCommand(reason) => tracing::debug!(reason, "bad command"),
        Event::Damaged { place, reason } => {
            tracing::error!(place, reason, "a stored value cannot be opened");
        }
        Event::StorageFailed { step, reason } => tracing::warn!(step, reason, "storage failed"),
        Event::Swept(report) => tracing::info!(
            bodies = report.bodies,
            checkpoints = report.checkpoints,
            mailboxes = report.mailboxes,
            forgotten = report.forgotten,
            "collected what nobody names any more"
        ),
        Event::Completed { command } => tracing::debug!(command, "completed"),
    }
}
