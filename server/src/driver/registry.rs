//! Which accounts are open in this process, and the way between their connections and
//! their tasks.
//!
//! Nothing here waits, so that nothing can deadlock. Towards an account goes a [`Way`]
//! that has room for all that its connections can have under way, because a connection
//! has one request open and is counted until the account has seen it leave. Towards a
//! connection goes an [`Inbox`], in which a newer state replaces an older one. Both hold
//! no memory while nothing is under way.

use core::task::{Context, Poll};
use futures_util::task::AtomicWaker;
use restante_core::account::{AccountReply, AccountRequest, ConnectionId, Snapshot};
use restante_core::boundary::LoginError;
use restante_core::doorbell::{self, Change};
use restante_core::mailbox::{AccountId, MailboxId};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Messages of one connection that may be on their way to its account at once: that it
/// comes, that it sleeps, one request, that it goes.
const MESSAGES_PER_CONNECTION: usize = 4;
/// Logs that wait to be rung; if there are more, everything is rung.
const RINGS_MAX: usize = 64;

/// From a connection to the task of its account.
pub(crate) enum Message {
    /// A connection has logged in.
    Attach(ConnectionId, Arc<Inbox>),
    /// It wants something.
    Request(ConnectionId, AccountRequest),
    /// It is gone.
    Detach(ConnectionId),
}

/// The open accounts.
pub(crate) struct Registry {
    connections_per_account_max: usize,
    accounts: Mutex<HashMap<AccountId, Open>>,
}

struct Open {
    way: Arc<Way>,
    connections: usize,
    bell: Arc<Bell>,
}

impl Registry {
    pub(crate) fn new(connections_per_account_max: usize) -> Self {
        Self {
            connections_per_account_max,
            accounts: Mutex::default(),
        }
    }

    /// Attaches a connection to an account, whose task `start` begins if it is not open.
    pub(crate) fn attach(
        self: &Arc<Self>,
        account: AccountId,
        connection: ConnectionId,
        start: impl FnOnce(Arc<Way>),
    ) -> Result<Attachment, LoginError> {
        let mut accounts = self.lock();
        let open = accounts.entry(account).or_insert_with(|| {
            let room = self.connections_per_account_max * MESSAGES_PER_CONNECTION;
            let way = Arc::new(Way::new(room));
            start(Arc::clone(&way));
            Open {
                way,
                connections: 0,
                bell: Arc::default(),
            }
        });
        if open.connections >= self.connections_per_account_max {
            return Err(LoginError::TooManyConnections);
        }
        open.connections += 1;
        let inbox = Arc::new(Inbox::default());
        let attachment = Attachment {
            connection,
            way: Arc::clone(&open.way),
            inbox: Arc::clone(&inbox),
        };
        attachment.send(Message::Attach(connection, inbox));
        Ok(attachment)
    }

    /// The task of `account` has seen a connection leave.
    pub(crate) fn detached(&self, account: AccountId) {
        if let Some(open) = self.lock().get_mut(&account) {
            open.connections = open.connections.saturating_sub(1);
        }
    }

    /// The task of `account` wants to end: whether no connection needs it. From then on
    /// a login opens the account anew.
    pub(crate) fn close_unused(&self, account: AccountId) -> bool {
        let mut accounts = self.lock();
        let unused = accounts
            .get(&account)
            .is_none_or(|open| open.connections == 0);
        if unused {
            accounts.remove(&account);
        }
        unused
    }

    /// The task of `account` is gone, whoever may need it.
    pub(crate) fn close(&self, account: AccountId) {
        self.lock().remove(&account);
    }

    /// The bell of an open account, for its task.
    pub(crate) fn bell(&self, account: AccountId) -> Arc<Bell> {
        let accounts = self.lock();
        let open = accounts.get(&account);
        open.map(|open| Arc::clone(&open.bell)).unwrap_or_default()
    }

    /// Somebody else wrote to this log: its account is told if it is open.
    pub(crate) fn ring(&self, change: Change) {
        if let Some(open) = self.lock().get(&change.account) {
            open.bell.ring(change.log);
        }
    }

    /// Somebody else may have written to any log of any account of this shard.
    pub(crate) fn ring_all(&self, shard: u32) {
        for (account, open) in &*self.lock() {
            if doorbell::shard_of(*account) == shard {
                open.bell.ring_all();
            }
        }
    }

    /// How many accounts are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Open>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's hold on its account; dropping it tells the account.
pub(crate) struct Attachment {
    connection: ConnectionId,
    way: Arc<Way>,
    inbox: Arc<Inbox>,
}

impl Attachment {
    /// Asks for something. The core has one request open at most.
    pub(crate) fn request(&self, request: AccountRequest) {
        self.send(Message::Request(self.connection, request));
    }

    /// The next reply; `None` if the account's task is gone.
    pub(crate) fn poll_reply(&self, cx: &mut Context<'_>) -> Poll<Option<AccountReply>> {
        self.inbox.poll(cx)
    }

    fn send(&self, message: Message) {
        // If the task panicked, nobody takes it, and the inbox says so. Full it is not by
        // what the core promises; the request then stays without reply until the client
        // gives up.
        if !self.way.send(message) {
            tracing::error!("the way to an account is full");
        }
    }
}

/// From the connections of an account to its task.
pub(crate) struct Way {
    /// Messages that may be under way.
    room: usize,
    messages: Mutex<VecDeque<Message>>,
    waker: AtomicWaker,
}

impl Way {
    fn new(room: usize) -> Self {
        Self {
            room,
            messages: Mutex::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// `false` if there is no room.
    fn send(&self, message: Message) -> bool {
        {
            let mut messages = self.lock();
            if messages.len() >= self.room {
                return false;
            }
            messages.push_back(message);
        }
        self.waker.wake();
        true
    }

    /// Ready when there is a message, which stays.
    pub(crate) fn poll_comes(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        match self.lock().is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// The next message, for the one task that takes them.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Message> {
        self.waker.register(cx.waker());
        let mut messages = self.lock();
        let Some(message) = messages.pop_front() else {
            return Poll::Pending;
        };
        if messages.is_empty() {
            *messages = VecDeque::new();
        }
        Poll::Ready(message)
    }

    /// All messages that nobody has taken.
    pub(crate) fn take_all(&self) -> VecDeque<Message> {
        core::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.send(Message::Detach(self.connection));
    }
}

/// What rings wait for an account's task. They come from outside, so they take no room in
/// its channel.
#[derive(Default)]
pub(crate) struct Bell {
    rings: Mutex<Rings>,
    waker: AtomicWaker,
}

/// Rings that were not heard yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rings {
    /// For everything.
    pub(crate) all: bool,
    /// Each log once.
    pub(crate) logs: BTreeSet<Option<MailboxId>>,
}

impl Rings {
    fn are_any(&self) -> bool {
        self.all || !self.logs.is_empty()
    }
}

impl Bell {
    fn ring(&self, log: Option<MailboxId>) {
        {
            let mut rings = self.lock();
            rings.logs.insert(log);
            if rings.logs.len() > RINGS_MAX {
                rings.logs.clear();
                rings.all = true;
            }
        }
        self.waker.wake();
    }

    fn ring_all(&self) {
        self.lock().all = true;
        self.waker.wake();
    }

    /// Ready when there are rings, which stay.
    pub(crate) fn poll_rings(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        match self.lock().are_any() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// The rings since the last time, if there are any.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Rings> {
        self.waker.register(cx.waker());
        let rings = core::mem::take(&mut *self.lock());
        match rings.are_any() {
            true => Poll::Ready(rings),
            false => Poll::Pending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replies on their way to a connection.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    /// At most: a state, the reply to the one open request, a state, `Stirred`, `Vanished`.
    replies: VecDeque<AccountReply>,
    closed: bool,
}

impl Inbox {
    /// Puts in a reply. Of states that follow each other only the last one stays.
    pub(crate) fn push(&self, reply: AccountReply) {
        {
            let mut queue = self.lock();
            match (queue.replies.back_mut(), reply) {
                (Some(AccountReply::Changed(older)), AccountReply::Changed(newer)) => {
                    *older = merge(older, newer);
                }
                (_, reply) => queue.replies.push_back(reply),
            }
        }
        self.waker.wake();
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.waker.wake();
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<AccountReply>> {
        self.waker.register(cx.waker());
        let mut queue = self.lock();
        match queue.replies.pop_front() {
            Some(reply) => {
                if queue.replies.is_empty() {
                    queue.replies = VecDeque::new();
                }
                Poll::Ready(Some(reply))
            }
            None if queue.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newer state; what the older one made `\Recent` for this connection stays so,
/// because no other connection will be told of it.
fn merge(older: &Snapshot, newer: Snapshot) -> Snapshot {
    let recent = [older.recent_from, newer.recent_from];
    Snapshot {
        recent_from: recent.into_iter().flatten().min(),
        ..newer
    }
}
