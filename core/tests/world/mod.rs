//! A server without network or disk: the real machines of the core, a storage in a map, and
//! a clock that a test turns by hand.

#![allow(dead_code, reason = "each test file uses another part of the world")]

mod chance;
mod line;
mod post;
mod store;

use line::Line;
use post::Post;
use restante_core::account::{
    Account, AccountInput, AccountOutput, AccountReply, AccountRequest, ConnectionId, Sleepers,
    Writers,
};
use restante_core::boundary::{Event, Input, Login, LoginError, Output};
use restante_core::config::Config;
use restante_core::imap::{Connection, Peer};
use restante_core::lmtp;
use restante_core::mailbox::AccountId;
use restante_core::random::{Random, Seed};
use restante_core::seal::AccountKeys;
use restante_core::storage::{RequestId, StorageRequest};
use restante_core::time::{Instant, Now};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
#[allow(
    unused_imports,
    reason = "each test file uses another part of the world"
)]
pub(crate) use {
    post::keys_of,
    store::{Liar, Store},
};

/// One server process with one account, `alice` / `hunter2`.
pub(crate) struct World {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    pub(crate) now: Now,
    /// How often a connection was told that octets were sent, or that its time has come.
    pub(crate) turns: u64,
    /// What the machines told the log.
    pub(crate) events: Vec<Event>,
    pub(crate) keys: AccountKeys,
    /// Turns after which the machines should have come to rest.
    pub(crate) turns_max: u64,
    /// Octets that a client sends at a time.
    piece_max: usize,
    account: Option<Account>,
    /// What an account's machine left that was not needed.
    rested: Option<(Writers, Sleepers)>,
    account_deadline: Option<Instant>,
    account_streams: store::Streams,
    /// Requests of the account that wait for [`World::release`], while it is held.
    held: Option<VecDeque<(RequestId, StorageRequest)>>,
    /// Replies on their way to connections, while they are held.
    held_replies: Option<Vec<(ConnectionId, AccountReply)>>,
    /// What LMTP connections ask of a process.
    pub(crate) post: Post,
    clients: BTreeMap<ConnectionId, Client>,
    random: Random,
}

struct Client {
    connection: Line,
    streams: store::Streams,
    /// What the client has read.
    read: Vec<u8>,
    /// Octets that the connection may still be told were sent.
    window: usize,
    /// Octets that it may ask for at once.
    receive_max: usize,
    to_send: VecDeque<u8>,
    deadline: Option<Instant>,
    attached: bool,
    pub(crate) closed: bool,
    tls_asked: bool,
    eof: bool,
}

impl World {
    pub(crate) fn new(seed: u8) -> Self {
        Self::with_config(seed, Config::default())
    }

    pub(crate) fn with_config(seed: u8, config: Config) -> Self {
        let mut random = Random::new(Seed::new([seed; 32]));
        let keys = AccountKeys::generate(AccountId([seed; 16]), &mut random);
        Self {
            config: Arc::new(config),
            store: Store::default(),
            now: Now {
                instant: Instant(1),
                unix_ms: 1_700_000_000_000,
            },
            turns: 0,
            events: Vec::new(),
            keys,
            turns_max: 10_000_000,
            piece_max: usize::MAX,
            account: None,
            rested: None,
            account_deadline: None,
            account_streams: store::Streams::default(),
            held: None,
            held_replies: None,
            post: Post::default(),
            clients: BTreeMap::new(),
            random,
        }
    }

    /// From now on storage answers the account only when told to.
    pub(crate) fn hold_account(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Answers the oldest held request of the account; `false`: there is none.
    pub(crate) fn release(&mut self) -> bool {
        let Some((request, wanted)) = self.held.as_mut().and_then(VecDeque::pop_front) else {
            return false;
        };
        self.answer_account(request, wanted);
        self.run();
        true
    }

    /// Storage answers the account at once again.
    pub(crate) fn release_account(&mut self) {
        while self.release() {}
        self.held = None;
    }

    /// From now on replies of the account stay on their way.
    pub(crate) fn hold_replies(&mut self) {
        self.held_replies.get_or_insert_default();
    }

    /// Replies arrive again, those on their way first.
    pub(crate) fn release_replies(&mut self) {
        for (id, reply) in self.held_replies.take().unwrap_or_default() {
            self.reply(id, reply);
        }
        self.run();
    }

    fn answer_account(&mut self, request: RequestId, wanted: StorageRequest) {
        let answer = self
            .store
            .answer(&mut self.account_streams, request, wanted);
        self.feed_account(AccountInput::Storage(request, answer));
    }

    /// The server dies and starts again on the same storage.
    pub(crate) fn restart(&mut self) {
        self.clients.clear();
        self.account = None;
        self.rested = None;
        self.account_deadline = None;
        self.account_streams = store::Streams::default();
        self.store.forget_unfinished();
        self.post.forget();
    }

    /// If no connection needs the account's machine, it ends; another one, which knows who
    /// sleeps, begins when it is needed.
    pub(crate) fn rest_account(&mut self) -> bool {
        if !self.account.as_ref().is_some_and(Account::is_unneeded) {
            return false;
        }
        self.feed_account(AccountInput::Shutdown);
        self.run();
        let mut old = self
            .account
            .take()
            .expect("it is not needed, but it is there");
        self.rested = Some((old.take_writers(), old.take_sleepers()));
        self.account_deadline = None;
        true
    }

    /// A client connects; its greeting is read.
    pub(crate) fn connect(&mut self) -> ConnectionId {
        self.connect_from(Peer {
            loopback: true,
            tls: false,
        })
    }

    /// A client connects from there.
    pub(crate) fn connect_from(&mut self, peer: Peer) -> ConnectionId {
        let id = ConnectionId(u64::from_be_bytes(self.random.bytes()));
        let connection =
            Connection::new(Arc::clone(&self.config), self.random.seed(), self.now, peer);
        self.add(id, Line::Imap(Box::new(connection)))
    }

    /// A mail server connects; its greeting is read.
    pub(crate) fn connect_lmtp(&mut self) -> ConnectionId {
        let id = ConnectionId(u64::from_be_bytes(self.random.bytes()));
        let (config, seed) = (Arc::clone(&self.config), self.random.seed());
        let connection = lmtp::Connection::new(config, seed, self.now);
        self.add(id, Line::Lmtp(Box::new(connection)))
    }

    fn add(&mut self, id: ConnectionId, connection: Line) -> ConnectionId {
        let client = Client {
            connection,
            streams: store::Streams::default(),
            read: Vec::new(),
            window: usize::MAX,
            receive_max: self.config.receive_bytes_max,
            to_send: VecDeque::new(),
            deadline: None,
            attached: false,
            closed: false,
            tls_asked: false,
            eof: false,
        };
        self.clients.insert(id, client);
        self.run();
        id
    }

    /// A client that has logged in, greeting and answer read away.
    pub(crate) fn log_in(&mut self) -> ConnectionId {
        let id = self.connect();
        let answer = self.say(id, b"l LOGIN alice hunter2\r\n");
        assert!(answer.contains("l OK"), "{answer}");
        id
    }

    /// Sends octets and returns what comes back until nothing moves any more.
    pub(crate) fn say(&mut self, id: ConnectionId, octets: &[u8]) -> String {
        String::from_utf8_lossy(&self.say_octets(id, octets)).into_owned()
    }

    pub(crate) fn say_octets(&mut self, id: ConnectionId, octets: &[u8]) -> Vec<u8> {
        self.client(id).read.clear();
        self.client(id).to_send.extend(octets);
        self.run();
        core::mem::take(&mut self.client(id).read)
    }

    /// What has come since the last look.
    pub(crate) fn read(&mut self, id: ConnectionId) -> String {
        String::from_utf8_lossy(&self.read_octets(id)).into_owned()
    }

    pub(crate) fn read_octets(&mut self, id: ConnectionId) -> Vec<u8> {
        core::mem::take(&mut self.client(id).read)
    }

    pub(crate) fn end_input(&mut self, id: ConnectionId) {
        self.client(id).eof = true;
        self.run();
    }

    /// The client goes away without a word.
    pub(crate) fn drop_client(&mut self, id: ConnectionId) {
        self.clients.remove(&id);
        self.post.gone(id);
        self.feed_account(AccountInput::Detach(id));
        self.run();
    }

    /// The client will read only so many octets from now on.
    pub(crate) fn set_window(&mut self, id: ConnectionId, octets: usize) {
        self.client(id).window = octets;
        self.run();
    }

    pub(crate) fn is_closed(&mut self, id: ConnectionId) -> bool {
        self.client(id).closed
    }

    pub(crate) fn asked_for_tls(&mut self, id: ConnectionId) -> bool {
        self.client(id).tls_asked
    }

    pub(crate) fn finish_tls(&mut self, id: ConnectionId) {
        let now = self.now;
        self.client(id)
            .connection
            .handle_input(now, Input::TlsEstablished);
        self.run();
    }

    /// Octets that the connection holds for a client that does not read.
    pub(crate) fn held_for(&mut self, id: ConnectionId) -> usize {
        self.client(id).connection.transmit().len()
    }

    /// Octets sent that the connection did not take.
    pub(crate) fn not_taken_from(&mut self, id: ConnectionId) -> usize {
        self.client(id).to_send.len()
    }

    /// Turns the clock, deadline by deadline.
    pub(crate) fn wait_s(&mut self, seconds: u64) {
        let end = Instant(self.now.instant.0 + seconds * 1_000_000);
        loop {
            let clients = self.clients.values().filter_map(|client| client.deadline);
            let next = clients
                .chain(self.account_deadline)
                .min()
                .filter(|at| *at <= end);
            let at = next.unwrap_or(end).max(self.now.instant);
            self.now.unix_ms += (at.0 - self.now.instant.0) / 1_000;
            self.now.instant = at;
            if next.is_none() {
                return;
            }
            let due: Vec<ConnectionId> = self
                .clients
                .iter()
                .filter(|(_, client)| client.deadline.is_some_and(|deadline| deadline <= at))
                .map(|(id, _)| *id)
                .collect();
            for id in due {
                let now = self.now;
                self.client(id).connection.handle_input(now, Input::Timeout);
            }
            if self.account_deadline.is_some_and(|deadline| deadline <= at) {
                self.feed_account(AccountInput::Timeout);
            }
            self.run();
        }
    }

    fn client(&mut self, id: ConnectionId) -> &mut Client {
        self.clients.get_mut(&id).expect("the client is connected")
    }

    /// Until nothing moves any more.
    fn run(&mut self) {
        let mut turns = 0_u64;
        loop {
            let ids: Vec<ConnectionId> = self.clients.keys().copied().collect();
            let mut moved = false;
            for id in ids {
                moved |= self.turn_client(id);
            }
            moved |= self.turn_post();
            moved |= self.turn_account();
            if !moved {
                return;
            }
            turns += 1;
            assert!(turns < self.turns_max, "the machines never come to rest");
        }
    }

    fn turn_client(&mut self, id: ConnectionId) -> bool {
        let (now, piece_max) = (self.now, self.piece_max);
        let mut moved = false;
        let mut outputs = 0_u64;
        let receive = loop {
            outputs += 1;
            assert!(outputs < self.turns_max, "a connection never comes to rest");
            let output = self.client(id).connection.poll_output();
            match output {
                Output::Wait(wait) => {
                    self.client(id).deadline = wait.deadline.map(|(at, _)| at);
                    break wait.receive;
                }
                Output::Close => {
                    let client = self.client(id);
                    client.deadline = None;
                    let rest = client.connection.transmit().to_vec();
                    let count = rest.len().min(client.window);
                    client.read.extend_from_slice(&rest[..count]);
                    client
                        .connection
                        .handle_input(now, Input::Transmitted(count));
                    if !client.closed {
                        client.closed = true;
                        moved = true;
                        self.post.gone(id);
                        if core::mem::take(&mut self.client(id).attached) {
                            self.feed_account(AccountInput::Detach(id));
                        }
                    }
                    return moved;
                }
                output => {
                    moved = true;
                    self.carry_out(id, output);
                }
            }
        };
        let client = self.client(id);
        let count = client.connection.transmit().len().min(client.window);
        if count > 0 {
            let octets = client.connection.transmit()[..count].to_vec();
            client.read.extend_from_slice(&octets);
            if client.window != usize::MAX {
                client.window -= count;
            }
            client
                .connection
                .handle_input(now, Input::Transmitted(count));
            self.turns += 1;
            return true;
        }
        assert!(
            receive <= client.receive_max,
            "more is taken than the limit"
        );
        let count = client.to_send.len().min(receive).min(piece_max);
        if count > 0 {
            let octets: Vec<u8> = client.to_send.drain(..count).collect();
            client
                .connection
                .handle_input(now, Input::Received(&octets));
            return true;
        }
        if client.eof && client.to_send.is_empty() {
            client.eof = false;
            client.connection.handle_input(now, Input::Eof);
            return true;
        }
        if client.deadline.is_some_and(|at| at <= now.instant) {
            client.connection.handle_input(now, Input::Timeout);
            self.turns += 1;
            return true;
        }
        moved
    }

    fn carry_out(&mut self, id: ConnectionId, output: Output) {
        let now = self.now;
        match output {
            Output::Storage(request, wanted) => {
                let client = self.clients.get_mut(&id).expect("the client is connected");
                let answer = self.store.answer(&mut client.streams, request, wanted);
                client
                    .connection
                    .handle_input(now, Input::Storage(request, answer));
            }
            Output::Derive(request, credentials) => {
                let keys = Arc::new(self.keys.clone());
                let result = match (credentials.user.as_str(), credentials.password.as_str()) {
                    ("alice", "hunter2") => Ok(Login { keys }),
                    ("altered", "hunter2") => Err(LoginError::Altered),
                    _ => Err(LoginError::Invalid),
                };
                self.derived(id, request, result);
            }
            Output::Account(request) => self.ask_account(id, request),
            Output::StartTls => self.client(id).tls_asked = true,
            Output::Post(request, wanted) => self.post.ask(id, request, wanted),
            Output::Abandon(request) => {
                self.post.abandon(id, request);
                self.client(id).streams.forget(request);
            }
            Output::Event(event) => self.events.push(event),
            Output::Wait(_) | Output::Close => unreachable!("handled by the caller"),
        }
    }

    /// Answers what LMTP connections asked, as far as it can be.
    fn turn_post(&mut self) -> bool {
        let alice = post::recipient(&self.keys);
        let Some((id, answer)) = self.post.next(alice, self.now, &mut self.random) else {
            return false;
        };
        match answer {
            post::Answer::Reply(request, reply) => {
                let now = self.now;
                if let Some(client) = self.clients.get_mut(&id) {
                    (client.connection).handle_input(now, Input::Post(request, reply));
                }
            }
            post::Answer::Ring(log) => {
                if self.account.is_some() || self.rested.is_some() {
                    self.feed_account(AccountInput::Rung(Some(log)));
                }
            }
        }
        true
    }

    fn derived(&mut self, id: ConnectionId, request: RequestId, result: Result<Login, LoginError>) {
        let now = self.now;
        let client = self.client(id);
        client.attached |= result.is_ok();
        client
            .connection
            .handle_input(now, Input::Derived(request, result));
    }

    fn ask_account(&mut self, id: ConnectionId, request: AccountRequest) {
        self.feed_account(AccountInput::Request(id, request));
    }

    fn feed_account(&mut self, input: AccountInput) {
        let (config, keys, now) = (
            Arc::clone(&self.config),
            Arc::new(self.keys.clone()),
            self.now,
        );
        let seed = self.random.seed();
        let rested = &mut self.rested;
        let account = self.account.get_or_insert_with(|| {
            let (writers, sleepers) = rested.take().unwrap_or_default();
            let account = Account::new(config, keys, seed, now);
            account.with_writers(writers).with_sleepers(sleepers)
        });
        account.handle_input(now, input);
    }

    fn turn_account(&mut self) -> bool {
        let mut moved = false;
        loop {
            let Some(account) = &mut self.account else {
                return moved;
            };
            match account.poll_output() {
                AccountOutput::Wait { deadline } => {
                    self.account_deadline = deadline;
                    return moved;
                }
                AccountOutput::Done => return moved,
                AccountOutput::Storage(request, wanted) => match &mut self.held {
                    Some(held) => held.push_back((request, wanted)),
                    None => self.answer_account(request, wanted),
                },
                AccountOutput::Abandon(request) => self.account_streams.forget(request),
                AccountOutput::Reply(id, reply) => self.reply(id, reply),
                AccountOutput::Ring(_) => {}
                AccountOutput::Event(event) => self.events.push(event),
            }
            moved = true;
        }
    }

    fn reply(&mut self, id: ConnectionId, reply: AccountReply) {
        match &mut self.held_replies {
            Some(held) => held.push((id, reply)),
            None => self.deliver(id, reply),
        }
    }

    fn deliver(&mut self, id: ConnectionId, reply: AccountReply) {
        let now = self.now;
        if let Some(client) = self.clients.get_mut(&id) {
            client.connection.handle_input(now, Input::Account(reply));
        }
    }
}

/// A message.
pub(crate) const MAIL: &str = "From: Ada <ada@example.org>\r\nTo: alice@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe lighthouse keeps its light.\r\n";

/// APPENDs a message to INBOX; the answer.
pub(crate) fn append(world: &mut World, id: ConnectionId, mail: &str) -> String {
    let command = format!("p APPEND INBOX {{{}+}}\r\n{mail}\r\n", mail.len());
    world.say(id, command.as_bytes())
}

/// Text that does not compress.
pub(crate) fn noise(lines: u64) -> String {
    let number = |line: u64| line.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    (0..lines)
        .map(|line| format!("{:016x}\r\n", number(line ^ number(line))))
        .collect()
}
