//! The loop of one connection, for each of the core's three machines that have a socket (IMAP's,
//! LMTP's and that of authentication): what it says is done, and what happens is told to it.
//!
//! One future polls everything that the connection waits for, so a connection that
//! idles is one small task with no buffer: reading borrows the thread's buffer for as
//! long as a poll lasts.

use super::Server;
use super::clock::Deadline;
use super::phase::{Phase, Watch};
use super::post::Post;
use super::registry::Attachment;
use super::socket::Socket;
use crate::runtime::{self, Runtime};
use crate::storage::{BoxFuture, Desk};
use core::any::Any;
use core::task::{Context, Poll};
use core::time::Duration;
use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::TlsAcceptor;
use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use restante_core::account::ConnectionId;
use restante_core::auth;
use restante_core::boundary::{Credentials, Event, Input, Login, LoginError, Output, Wait};
use restante_core::imap::Connection;
use restante_core::lmtp;
use restante_core::storage::{RequestId, StorageResponse};
use restante_core::time::{Instant, Now};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// Rounds that a connection may make before the other tasks of its thread have a turn.
const ROUNDS_MAX: usize = 32;
/// How long it may go on before that. A round may be a search through what storage had ready,
/// for which others should not wait; one chunk of a message is a fraction of this.
const TURN_MAX: Duration = Duration::from_micros(500);
/// How long a client may take to receive the last octets after `Close`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to close its side after that. Closing earlier, with
/// something of it unread, would make TCP take back what was sent last.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection's machine: the core's, or a scripted one in tests.
pub(crate) trait Machine: Send + 'static {
    /// Whether a login opens the account; otherwise all that matters is that there was one.
    const OPENS_ACCOUNTS: bool;

    fn handle_input(&mut self, now: Now, input: Input<'_>);
    fn poll_output(&mut self) -> Output;
    fn transmit(&self) -> &[u8];
}

macro_rules! machine {
    ($($machine:ty, opens accounts: $opens:literal;)*) => {$(
        impl Machine for $machine {
            const OPENS_ACCOUNTS: bool = $opens;

            fn handle_input(&mut self, now: Now, input: Input<'_>) {
                Self::handle_input(self, now, input);
            }

            fn poll_output(&mut self) -> Output {
                Self::poll_output(self)
            }

            fn transmit(&self) -> &[u8] {
                Self::transmit(self)
            }
        }
    )*};
}
machine! {
    Connection, opens accounts: true;
    // Nobody logs in there.
    lmtp::Connection, opens accounts: false;
    auth::Connection, opens accounts: false;
}

/// Drives one connection to its end. (An `async fn` would have room for the driver twice.)
pub(crate) fn drive<R: Runtime, M: Machine, S>(
    mut driver: Driver<R, M, S>,
) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    core::future::poll_fn(move |cx| driver.poll(cx)).map(|end| match end {
        Ok(()) => tracing::debug!("closed"),
        // The other side of a socket owes us nothing.
        Err(error) => tracing::debug!(%error, "lost"),
    })
}

/// Everything that belongs to one connection.
pub(crate) struct Driver<R: Runtime, M, S> {
    server: Arc<Server<R>>,
    id: ConnectionId,
    /// Whose wrong passwords count together.
    source: IpAddr,
    acceptor: Option<TlsAcceptor>,
    machine: M,
    socket: Socket<S>,
    stage: Stage,
    /// The client will send no more.
    ended: bool,
    /// The account's task is gone, and with it the answers that the machine waits for.
    orphaned: bool,
    /// What was written is not all with the operating system yet.
    unflushed: bool,
    /// Octets came, and it was not looked yet whether they are answered.
    received: bool,
    desk: Desk,
    answers: Answers,
    /// One at most for IMAP; none, and then no memory, for most of the time.
    logins: Vec<(RequestId, BoxFuture<'static, Result<Login, LoginError>>)>,
    account: Option<Attachment>,
    /// Where mail is delivered.
    post: Option<Box<Post<R>>>,
    wait: Wait,
    deadline: Deadline<R>,
    watch: Watch,
}

/// Requests to storage that are under way.
pub(crate) type Answers =
    FuturesUnordered<BoxFuture<'static, Option<(RequestId, StorageResponse)>>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// As usual.
    Open,
    /// What is to be sent goes out before TLS begins.
    BeforeTls,
    /// What is to be sent goes out before the socket is closed.
    Closing { until: Instant },
    /// Our side is closed; the client's is awaited.
    Lingering { until: Instant },
}

impl<R: Runtime, M: Machine, S: AsyncRead + AsyncWrite + Unpin + 'static> Driver<R, M, S> {
    pub(crate) fn new(
        server: Arc<Server<R>>,
        id: ConnectionId,
        source: IpAddr,
        acceptor: Option<TlsAcceptor>,
        socket: Socket<S>,
        machine: M,
    ) -> Self {
        Self {
            id,
            source,
            acceptor,
            machine,
            socket,
            stage: Stage::Open,
            ended: false,
            orphaned: false,
            unflushed: false,
            received: false,
            desk: Desk::new(Arc::clone(&server.storage)),
            answers: Answers::new(),
            logins: Vec::new(),
            account: None,
            post: None,
            wait: Wait {
                receive: 0,
                deadline: None,
            },
            deadline: Deadline::new(&server.runtime, server.clock),
            watch: Watch::new(Arc::clone(&server.phases)),
            server,
        }
    }

    /// The same, for a machine that delivers mail.
    pub(crate) fn with_post(mut self, post: Post<R>) -> Self {
        self.post = Some(Box::new(post));
        self
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let turn = self.server.clock.instant().after(TURN_MAX);
        let mut silent = false;
        for _ in 0..ROUNDS_MAX {
            self.drain();
            self.acknowledge_part();
            let mut progress = self.poll_transmit(cx)?;
            match self.stage {
                Stage::Lingering { until } => return self.poll_linger(cx, until),
                Stage::Closing { until } => {
                    if self.deadline.poll(cx, Some(until)).is_ready() {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                }
                Stage::Open | Stage::BeforeTls => {
                    if self.socket.is_shaking_hands() && self.server.phases.now() >= Phase::Draining
                    {
                        // Nobody there has a command that could be finished, or could be told BYE.
                        return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                    }
                    if self.poll_handshake(cx)? {
                        (progress, silent) = (true, false);
                    }
                    progress |= self.poll_receive(cx, &mut silent)?;
                    progress |= self.poll_inside(cx, turn);
                }
            }
            if !progress {
                if self.orphaned && self.stage == Stage::Open {
                    return Poll::Ready(Err(io::Error::other("the account's task has ended")));
                }
                return Poll::Pending;
            }
            if self.server.clock.instant() >= turn {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Acknowledges what was received where no answer does that. Many programs send a command
    /// and its literal in two pieces, and their system holds the second one back until the first is
    /// acknowledged, for which ours takes 40 ms otherwise, in the hope of something to say.
    fn acknowledge_part(&mut self) {
        if core::mem::take(&mut self.received)
            && self.wait.receive > 0
            && self.machine.transmit().is_empty()
            && let Some(stream) = self.socket.stream()
            // Of any other kind there is none over TCP. (A field that says so would be memory of
            // every connection that waits.)
            && let Some(stream) = (stream as &dyn Any).downcast_ref::<R::Stream>()
        {
            runtime::acknowledge::<R>(stream);
        }
    }

    /// Does what the machine says, up to where it waits.
    fn drain(&mut self) {
        if !matches!(self.stage, Stage::Open | Stage::BeforeTls) {
            return;
        }
        loop {
            match self.machine.poll_output() {
                Output::Storage(id, request) => self.answers.push(self.desk.start(id, request)),
                Output::Derive(id, credentials) => self.derive(id, credentials),
                Output::Account(request) => match &self.account {
                    Some(account) => account.request(request),
                    None => tracing::error!("a request to an account before any login"),
                },
                Output::Post(id, request) => match &mut self.post {
                    Some(post) => post.ask(id, request),
                    None => tracing::error!("a request to deliver mail from who may not"),
                },
                Output::StartTls => self.stage = Stage::BeforeTls,
                Output::Abandon(id) => self.abandon(id),
                Output::Event(event) => self.log(&event),
                Output::Wait(wait) => return self.wait = wait,
                Output::Close => {
                    let until = self.server.clock.instant().after(CLOSE_TIMEOUT);
                    self.stage = Stage::Closing { until };
                    self.answers.clear();
                    self.logins.clear();
                    (self.account, self.post) = (None, None);
                    return;
                }
            }
        }
    }

    fn derive(&mut self, id: RequestId, credentials: Credentials) {
        let server = Arc::clone(&self.server);
        let source = credentials.source.unwrap_or(self.source);
        let login = async move {
            let opened = server.accounts.login(credentials, source).await?;
            match M::OPENS_ACCOUNTS {
                true => server.settle_restored(opened).await,
                false => Ok(opened.login),
            }
        };
        self.logins.push((id, Box::pin(login)));
    }

    fn abandon(&mut self, id: RequestId) {
        if let Some(place) = self.logins.iter().position(|(login, _)| *login == id) {
            drop(self.logins.swap_remove(place));
        } else if !self.post.as_mut().is_some_and(|post| post.abandon(id)) {
            self.desk.abandon(id);
        }
    }

    /// Sends; and once everything is sent, goes on to what waited for that.
    fn poll_transmit(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.socket.is_shaking_hands() || matches!(self.stage, Stage::Lingering { .. }) {
            return Ok(false);
        }
        let bytes = self.machine.transmit();
        if !bytes.is_empty() {
            self.unflushed = true;
            let Poll::Ready(len) = self.socket.poll_send(cx, bytes)? else {
                return Ok(false);
            };
            self.input(Input::Transmitted(len));
            return Ok(true);
        }
        if self.unflushed {
            if self.socket.poll_flush(cx)?.is_pending() {
                return Ok(false);
            }
            self.unflushed = false;
        }
        match self.stage {
            Stage::BeforeTls => {
                let acceptor = self.acceptor.as_ref().ok_or_else(|| {
                    io::Error::other("STARTTLS where the listener has no certificate")
                })?;
                self.socket.start_tls(acceptor);
                Ok(true)
            }
            Stage::Closing { .. } => {
                if self.socket.poll_close(cx)?.is_pending() {
                    return Ok(false);
                }
                let until = self.server.clock.instant().after(LINGER_TIMEOUT);
                self.stage = Stage::Lingering { until };
                Ok(true)
            }
            Stage::Open | Stage::Lingering { .. } => Ok(false),
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if !self.socket.is_shaking_hands() || self.socket.poll_handshake(cx)?.is_pending() {
            return Ok(false);
        }
        self.stage = Stage::Open;
        self.input(Input::TlsEstablished);
        Ok(true)
    }

    /// Receives, unless the client was `silent` a moment ago: then its socket wakes this task, and to
    /// ask it again in each round is a system call for nothing (tokio would know, smol asks).
    fn poll_receive(&mut self, cx: &mut Context<'_>, silent: &mut bool) -> io::Result<bool> {
        let max = self.wait.receive;
        if max == 0 || self.ended || self.stage != Stage::Open || *silent {
            return Ok(false);
        }
        let (machine, ended) = (&mut self.machine, &mut self.ended);
        let now = self.server.clock.now();
        let received = self.socket.poll_receive(cx, max, |bytes| {
            if bytes.is_empty() {
                machine.handle_input(now, Input::Eof);
                // The machine may still have answers to send, but the socket would say
                // again and again that it is at its end.
                *ended = true;
            } else {
                machine.handle_input(now, Input::Received(bytes));
            }
        })?;
        *silent = received.is_pending();
        self.received = received.is_ready();
        Ok(self.received)
    }

    /// What comes from inside the server: answers, replies, time, the end. Answers of storage
    /// are what takes long to look at, so they stop with the `turn`.
    fn poll_inside(&mut self, cx: &mut Context<'_>, turn: Instant) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some(answer)) = self.answers.poll_next_unpin(cx) {
            if let Some((id, response)) = answer {
                self.input(Input::Storage(id, response));
                progress = true;
                if self.server.clock.instant() >= turn {
                    break;
                }
            }
        }
        progress |= self.poll_logins(cx);
        while let Some(post) = &mut self.post
            && let Poll::Ready((id, reply)) = post.poll(cx)
        {
            progress = true;
            self.input(Input::Post(id, reply));
        }
        while let Some(account) = &self.account
            && let Poll::Ready(reply) = account.poll_reply(cx)
        {
            progress = true;
            match reply {
                Some(reply) => self.input(Input::Account(reply)),
                None => {
                    // The machine may wait for an answer that will not come.
                    self.account = None;
                    self.orphaned = true;
                    self.input(Input::Shutdown);
                }
            }
        }
        let deadline = self.wait.deadline.map(|(at, _)| at);
        if self.deadline.poll(cx, deadline).is_ready() {
            // Until the machine has said what comes next.
            self.wait.deadline = None;
            self.input(Input::Timeout);
            progress = true;
        }
        if let Poll::Ready(phase) = self.watch.poll(cx)
            && phase >= Phase::Draining
        {
            self.input(Input::Shutdown);
            progress = true;
        }
        progress
    }

    fn poll_logins(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        let mut place = 0;
        while let Some((id, login)) = self.logins.get_mut(place) {
            let (id, Poll::Ready(result)) = (*id, login.as_mut().poll(cx)) else {
                place += 1;
                continue;
            };
            drop(self.logins.swap_remove(place));
            if self.logins.is_empty() {
                self.logins = Vec::new();
            }
            let result = result.and_then(|login| self.attach(login));
            self.input(Input::Derived(id, result));
            progress = true;
        }
        progress
    }

    fn attach(&mut self, login: Login) -> Result<Login, LoginError> {
        if !M::OPENS_ACCOUNTS {
            tracing::info!(account = %login.keys.account(), "authenticated");
            return Ok(login);
        }
        let attachment = Server::attach(&self.server, self.id, &login)?;
        tracing::info!(account = %login.keys.account(), "logged in");
        self.account = Some(attachment);
        Ok(login)
    }

    /// Reads what the client still sends, until it has closed its side.
    fn poll_linger(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<io::Result<()>> {
        for _ in 0..ROUNDS_MAX {
            if self.deadline.poll(cx, Some(until)).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut end = false;
            let read = self
                .socket
                .poll_receive(cx, usize::MAX, |bytes| end = bytes.is_empty());
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !end => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn input(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.server.clock.now(), input);
    }

    fn log(&self, event: &Event) {
        match event {
            // `attach` has said so already, with the account.
            Event::Authenticated => {}
            // Not the name that was given: it may be a password in the wrong field.
            Event::Rejected => tracing::info!("wrong name or password"),
            other => super::log(other),
        }
    }
}
