//! A storage in memory and servers that use it, driven step by step.

use crate::account::{
    Account, AccountFailure, AccountInput, AccountOutput, AccountReply, AccountRequest,
    ConnectionId, InternalDate, NewMessage, Snapshot,
};
use crate::boundary::Event;
use crate::config::Config;
use crate::mailbox::{
    AccountId, Batch, ContentId, Directory, Flag, MailboxId, MailboxName, MailboxState, MessageId,
    ModSeq, Operation, Part, Stamp, Uid, WriterId,
};
use crate::random::{Random, Seed};
use crate::seal::{AccountKeys, ContentKind, Places, seal_arrival};
use crate::storage::{
    CausalityToken, InsertItem, Item, ItemKey, ItemRange, ObjectKey, RequestId, StorageError,
    StorageRequest, StorageResponse,
};
use crate::time::{Instant, Now};
use bytes::Bytes;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What is durable.
pub(super) struct Store {
    /// Octets of a value that it takes.
    value_bytes_max: usize,
    pub(super) items: BTreeMap<ItemKey, (Bytes, u64)>,
    pub(super) objects: BTreeMap<ObjectKey, Bytes>,
    /// What somebody has put beside the values of items.
    pub(super) beside: BTreeMap<ItemKey, Vec<Bytes>>,
    /// Items in answers to `ReadRange`.
    pub(super) given: usize,
    /// Objects that were finished.
    pub(super) created: usize,
    /// Items that were deleted, if pages are to have them without values, as Garage's have for a day.
    pub(super) deleted: Option<BTreeSet<ItemKey>>,
    writes: u64,
    late: Vec<StorageRequest>,
}

/// What one server has open.
pub(super) enum Stream {
    Reading(Bytes),
    Writing(ObjectKey, Vec<u8>),
}

/// How a request is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Works,
    Full,
    Refused,
    /// Not done, and the answer says that it is unknown.
    Lost,
    /// Done, but the answer says that it is unknown.
    AnswerLost,
    /// The answer says that it is unknown, and it is done some time later.
    Late,
    /// The answer says that it is unknown, and of the items to be inserted only those are
    /// done whose number has its bit set (modulo 8).
    Torn(u8),
    /// The same, and the rest is done some time later.
    TornLate(u8),
}

/// One server process.
pub(super) struct Server {
    pub(super) account: Account,
    config: Arc<Config>,
    pub(super) now: Now,
    pub(super) open: VecDeque<(RequestId, StorageRequest)>,
    streams: BTreeMap<RequestId, Stream>,
    replies: BTreeMap<ConnectionId, VecDeque<AccountReply>>,
    pub(super) events: Vec<Event>,
    /// What the other servers are to be told of.
    pub(super) rings: Vec<Option<MailboxId>>,
    deadline: Option<Instant>,
    pub(super) done: bool,
    next_connection: u64,
}

pub(super) fn keys() -> Arc<AccountKeys> {
    let mut random = Random::new(Seed::new([7; 32]));
    let mut account = [9; 16];
    account[..6].copy_from_slice(&1_800_000_000_000u64.to_be_bytes()[2..]);
    Arc::new(AccountKeys::generate(AccountId(account), &mut random))
}

/// Small enough that limits are met.
pub(super) fn config() -> Config {
    Config {
        checkpoint_operations_min: 12,
        log_page_items: 5,
        log_news_items: 2,
        chunk_bytes: 256,
        log_grace: Duration::from_secs(60),
        storage_retries_max: 2,
        sweep_delay: Duration::MAX,
        ..Config::default()
    }
}

impl Server {
    pub(super) fn new(seed: u8, config: Config) -> Self {
        Self::at(seed, config, 1_800_000_000_000)
    }

    pub(super) fn at(seed: u8, config: Config, unix_ms: u64) -> Self {
        let now = Now {
            instant: Instant(1_000_000),
            unix_ms,
        };
        let config = Arc::new(config);
        Self {
            account: Account::new(Arc::clone(&config), keys(), Seed::new([seed; 32]), now),
            config,
            now,
            open: VecDeque::new(),
            streams: BTreeMap::new(),
            replies: BTreeMap::new(),
            events: Vec::new(),
            rings: Vec::new(),
            deadline: None,
            done: false,
            next_connection: 1,
        }
    }

    /// The process dies and another one starts.
    pub(super) fn restart(&mut self, seed: u8) {
        *self = Self::at(seed, (*self.config).clone(), self.now.unix_ms + 1);
    }

    /// The machine has ended, or is dropped, and the process makes another one.
    pub(super) fn next_machine(self, seed: u8) -> Self {
        let mut next = Self::at(seed, (*self.config).clone(), self.now.unix_ms + 1);
        let mut ended = self.account;
        next.account = next.account.with_writers(ended.take_writers());
        next.account = next.account.with_sleepers(ended.take_sleepers());
        next.next_connection = self.next_connection;
        next
    }

    pub(super) fn connect(&mut self) -> ConnectionId {
        self.next_connection += 1;
        ConnectionId(self.next_connection)
    }

    pub(super) fn input(&mut self, input: AccountInput) {
        self.account.handle_input(self.now, input);
        loop {
            match self.account.poll_output() {
                AccountOutput::Storage(id, request) => self.open.push_back((id, request)),
                AccountOutput::Abandon(id) => {
                    self.open.retain(|(open, _)| *open != id);
                    self.streams.remove(&id);
                }
                AccountOutput::Reply(connection, reply) => {
                    self.replies.entry(connection).or_default().push_back(reply);
                }
                AccountOutput::Ring(log) => self.rings.push(log),
                AccountOutput::Event(event) => self.events.push(event),
                AccountOutput::Wait { deadline } => {
                    self.deadline = deadline;
                    return;
                }
                AccountOutput::Done => {
                    self.done = true;
                    return;
                }
            }
        }
    }

    pub(super) fn send(&mut self, connection: ConnectionId, request: AccountRequest) {
        self.input(AccountInput::Request(connection, request));
    }

    /// Answers the oldest open request; `false` if there is none.
    pub(super) fn step(&mut self, store: &mut Store, fate: Fate) -> bool {
        let Some((id, request)) = self.open.pop_front() else {
            return false;
        };
        let failed = match fate {
            Fate::Works | Fate::AnswerLost => None,
            Fate::Late => {
                if matches!(request, StorageRequest::InsertItems(_)) {
                    store.late.push(request.clone());
                }
                Some(StorageError::Unavailable("late".to_owned()))
            }
            Fate::Torn(bits) | Fate::TornLate(bits) => {
                if let StorageRequest::InsertItems(items) = &request {
                    let late = matches!(fate, Fate::TornLate(_));
                    store.tear(items, bits, late);
                }
                Some(StorageError::Unavailable("torn".to_owned()))
            }
            Fate::Full if !writes(&request) => None,
            Fate::Full => Some(StorageError::Full),
            Fate::Refused => Some(StorageError::Refused("no".to_owned())),
            Fate::Lost => Some(StorageError::Unavailable("lost".to_owned())),
        };
        let mut response = match failed {
            Some(error) => StorageResponse::Failed(error),
            None => store.carry_out(&mut self.streams, id, request),
        };
        if fate == Fate::AnswerLost {
            response = StorageResponse::Failed(StorageError::Unavailable("late".to_owned()));
        }
        if matches!(response, StorageResponse::Failed(_)) {
            self.streams.remove(&id);
        }
        self.input(AccountInput::Storage(id, response));
        true
    }

    /// The keys that the oldest open request inserts.
    pub(super) fn inserted(&self) -> Vec<ItemKey> {
        match self.open.front() {
            Some((_, StorageRequest::InsertItems(items))) => {
                items.iter().map(|item| item.key.clone()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whether the oldest open request deletes objects.
    pub(super) fn deletes(&self) -> bool {
        let first = self.open.front().map(|(_, request)| request);
        matches!(first, Some(StorageRequest::DeleteObjects(_)))
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        self.now.instant = self.now.instant.after(duration);
        self.now.unix_ms += u64::try_from(duration.as_millis()).unwrap();
        if self
            .deadline
            .is_some_and(|deadline| deadline <= self.now.instant)
        {
            self.input(AccountInput::Timeout);
        }
    }

    /// Until the connection has a reply that is not `Changed`.
    pub(super) fn await_reply(
        &mut self,
        store: &mut Store,
        connection: ConnectionId,
        fate: impl Fn(usize) -> Fate,
    ) -> AccountReply {
        for number in 0..10_000 {
            let queue = self.replies.entry(connection).or_default();
            let reply = queue.iter().position(|reply| {
                !matches!(reply, AccountReply::Changed(_) | AccountReply::Vanished)
            });
            if let Some(at) = reply {
                return queue.remove(at).unwrap();
            }
            if !self.step(store, fate(number)) {
                self.wait(Duration::from_millis(100));
            }
        }
        panic!("no reply");
    }

    pub(super) fn ask(
        &mut self,
        store: &mut Store,
        connection: ConnectionId,
        request: AccountRequest,
    ) -> AccountReply {
        self.send(connection, request);
        self.await_reply(store, connection, |_| Fate::Works)
    }

    /// What came unasked.
    pub(super) fn unasked(&mut self, connection: ConnectionId) -> Vec<AccountReply> {
        let replies = self.replies.remove(&connection).unwrap_or_default();
        replies.into_iter().collect()
    }

    /// Until nothing is open any more.
    pub(super) fn drain(&mut self, store: &mut Store) {
        while self.step(store, Fate::Works) {}
    }

    /// Asks for INBOX and has the first page of its log, but no more.
    pub(super) fn begin_select(&mut self, store: &mut Store, connection: ConnectionId) {
        let select = AccountRequest::Select {
            name: name("INBOX"),
            read_only: false,
        };
        self.send(connection, select);
        while !self.reads_inbox() {
            assert!(self.step(store, Fate::Works));
        }
        self.step(store, Fate::Works);
    }

    /// Whether the oldest open request reads the log of INBOX.
    pub(super) fn reads_inbox(&self) -> bool {
        let log = Places::new(keys().account()).log(inbox_id());
        matches!(self.open.front(), Some((_, StorageRequest::ReadRange(range))) if range.partition == log)
    }

    pub(super) fn select(
        &mut self,
        store: &mut Store,
        connection: ConnectionId,
        mailbox: &str,
    ) -> Snapshot {
        let request = AccountRequest::Select {
            name: name(mailbox),
            read_only: false,
        };
        self.send(connection, request);
        self.await_selected(store, connection)
    }

    /// The end of a SELECT that was begun.
    pub(super) fn await_selected(
        &mut self,
        store: &mut Store,
        connection: ConnectionId,
    ) -> Snapshot {
        match self.await_reply(store, connection, |_| Fate::Works) {
            AccountReply::Selected { snapshot, .. } => snapshot,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn append(
        &mut self,
        store: &mut Store,
        mailbox: &str,
        messages: Vec<NewMessage>,
    ) -> Vec<Uid> {
        let connection = self.connect();
        let request = AccountRequest::Append {
            name: name(mailbox),
            messages,
            summaries: Vec::new(),
        };
        let reply = self.ask(store, connection, request);
        self.input(AccountInput::Detach(connection));
        match reply {
            AccountReply::Appended { uids, .. } => uids,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn status(&mut self, store: &mut Store, mailbox: &str) -> Arc<MailboxState> {
        let connection = self.connect();
        match self.ask(store, connection, AccountRequest::Status(name(mailbox))) {
            AccountReply::Status(state) => state,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn names(&mut self, store: &mut Store) -> Vec<String> {
        let connection = self.connect();
        match self.ask(store, connection, AccountRequest::List) {
            AccountReply::Directory(directory) => directory
                .mailboxes()
                .map(|entry| entry.name.as_str().to_owned())
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn writes(request: &StorageRequest) -> bool {
    matches!(
        request,
        StorageRequest::InsertItems(_)
            | StorageRequest::CreateObject { .. }
            | StorageRequest::WriteChunk(_)
            | StorageRequest::FinishObject
    )
}

impl Default for Store {
    fn default() -> Self {
        Self::taking(1024 * 1024)
    }
}

impl Store {
    /// A storage that takes values of so many octets.
    pub(super) fn taking(value_bytes_max: usize) -> Self {
        Self {
            value_bytes_max,
            items: BTreeMap::new(),
            objects: BTreeMap::new(),
            beside: BTreeMap::new(),
            given: 0,
            created: 0,
            deleted: None,
            writes: 0,
            late: Vec::new(),
        }
    }

    fn values(&self, key: &ItemKey, value: &Bytes) -> Vec<Bytes> {
        let beside = self.beside.get(key).into_iter().flatten();
        beside.chain([value]).cloned().collect()
    }

    /// The items of a range that were deleted, if pages have them.
    fn deleted(&self, range: &ItemRange) -> impl Iterator<Item = Item> {
        let deleted = self.deleted.iter().flatten().filter(|key| {
            key.partition == range.partition
                && range.contains(&key.sort)
                && !self.items.contains_key(key)
        });
        deleted.map(|key| Item {
            key: key.clone(),
            token: CausalityToken("0".to_owned()),
            values: Vec::new(),
        })
    }

    /// What is late comes now.
    pub(super) fn land(&mut self) {
        for request in core::mem::take(&mut self.late) {
            self.carry_out(&mut BTreeMap::new(), RequestId(0), request);
        }
    }

    /// Does a part of an insert, and the rest late if at all.
    fn tear(&mut self, items: &[InsertItem], bits: u8, late: bool) {
        let (now, rest): (Vec<_>, Vec<_>) = items
            .iter()
            .cloned()
            .enumerate()
            .partition(|(number, _)| bits >> (number % 8) & 1 == 1);
        let items = |part: Vec<(usize, InsertItem)>| {
            StorageRequest::InsertItems(part.into_iter().map(|(_, item)| item).collect())
        };
        self.carry_out(&mut BTreeMap::new(), RequestId(0), items(now));
        if late {
            self.late.push(items(rest));
        }
    }

    pub(super) fn carry_out(
        &mut self,
        streams: &mut BTreeMap<RequestId, Stream>,
        id: RequestId,
        request: StorageRequest,
    ) -> StorageResponse {
        match request {
            StorageRequest::ReadRange(range) => {
                let found = self.items.iter().filter(|(key, _)| {
                    key.partition == range.partition && range.contains(&key.sort)
                });
                let limit = range.limit;
                let found = found.map(|(key, (value, version))| Item {
                    key: key.clone(),
                    token: CausalityToken(version.to_string()),
                    values: self.values(key, value),
                });
                let mut items: Vec<_> = found.chain(self.deleted(&range)).collect();
                items.sort_by(|one, other| one.key.sort.cmp(&other.key.sort));
                let next = items.get(limit as usize).map(|it| it.key.sort.clone());
                items.truncate(limit as usize);
                self.given += items.len();
                StorageResponse::Range { items, next }
            }
            StorageRequest::InsertItems(items)
                if items
                    .iter()
                    .any(|item| item.value.len() > self.value_bytes_max) =>
            {
                StorageResponse::Failed(StorageError::Refused("too long".to_owned()))
            }
            StorageRequest::InsertItems(items) => {
                for item in items {
                    self.writes += 1;
                    if let Some((there, version)) = self.items.get(&item.key)
                        && item.token != Some(CausalityToken(version.to_string()))
                    {
                        assert_eq!(*there, item.value, "two values under one key");
                    }
                    if item.token.is_some() {
                        self.beside.remove(&item.key);
                    }
                    self.items.insert(item.key, (item.value, self.writes));
                }
                StorageResponse::Done
            }
            StorageRequest::DeleteItems(items) => {
                for (key, token) in items {
                    if self
                        .items
                        .get(&key)
                        .is_some_and(|it| it.1.to_string() == token.0)
                    {
                        self.items.remove(&key);
                        self.beside.remove(&key);
                        if let Some(deleted) = &mut self.deleted {
                            deleted.insert(key);
                        }
                    }
                }
                StorageResponse::Done
            }
            StorageRequest::ReadItems(keys) => {
                let found = keys.into_iter().filter_map(|key| {
                    let (value, version) = self.items.get(&key)?;
                    let token = CausalityToken(version.to_string());
                    let values = self.values(&key, value);
                    Some(Item { key, token, values })
                });
                StorageResponse::Items(found.collect())
            }
            StorageRequest::ListObjects {
                prefix,
                after,
                limit,
            } => {
                let found = self.objects.keys().filter(|key| {
                    key.0.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after)
                });
                let mut keys: Vec<_> = found.cloned().collect();
                let more = keys.len() > limit as usize;
                keys.truncate(limit as usize);
                StorageResponse::Objects { keys, more }
            }
            StorageRequest::DeleteObjects(keys) => {
                for key in keys {
                    self.objects.remove(&key);
                }
                StorageResponse::Done
            }
            request => self.stream(streams, id, request),
        }
    }

    fn stream(
        &mut self,
        streams: &mut BTreeMap<RequestId, Stream>,
        id: RequestId,
        request: StorageRequest,
    ) -> StorageResponse {
        match (request, streams.get_mut(&id)) {
            (
                StorageRequest::OpenObject {
                    key,
                    start,
                    end,
                    max,
                },
                None,
            ) => {
                let Some(object) = self.objects.get(&key) else {
                    return StorageResponse::Failed(StorageError::NotFound);
                };
                let len = object.len() as u64;
                let end = end.unwrap_or(len).min(len);
                let mut rest = object.slice(start.min(end) as usize..end as usize);
                let chunk = rest.split_to(rest.len().min(max as usize));
                streams.insert(id, Stream::Reading(rest));
                StorageResponse::Opened { len, chunk }
            }
            (StorageRequest::ReadChunk { max }, Some(Stream::Reading(rest))) => {
                StorageResponse::Chunk(rest.split_to(rest.len().min(max as usize)))
            }
            (StorageRequest::CreateObject { key }, None) => {
                streams.insert(id, Stream::Writing(key, Vec::new()));
                StorageResponse::Done
            }
            (StorageRequest::WriteChunk(octets), Some(Stream::Writing(_, object))) => {
                object.extend_from_slice(&octets);
                StorageResponse::Done
            }
            (StorageRequest::FinishObject, Some(Stream::Writing(key, object))) => {
                self.created += 1;
                self.objects
                    .insert(key.clone(), core::mem::take(object).into());
                streams.remove(&id);
                StorageResponse::Done
            }
            (request, _) => panic!("{request:?} on a stream in another state"),
        }
    }
}

/// Puts an arrival somewhere as anybody could who knows the public key.
pub(super) fn leave(storage: &mut Store, key: ItemKey, batch: &Batch) {
    let (account, public_key) = (keys().account(), keys().public_key());
    let mut random = Random::new(Seed::new([5; 32]));
    let part = Part::whole(&batch.encode());
    let value = seal_arrival(account, &public_key, &key, &part, &mut random).unwrap();
    insert(storage, key, value);
}

pub(super) fn insert(storage: &mut Store, key: ItemKey, value: Bytes) {
    let token = None;
    let insert = StorageRequest::InsertItems(vec![InsertItem { key, token, value }]);
    storage.carry_out(&mut BTreeMap::new(), RequestId(0), insert);
}

/// The first item of a writer in the log of a mailbox.
pub(super) fn first_item(mailbox: MailboxId, writer: u8) -> ItemKey {
    let places = Places::new(keys().account());
    ItemKey {
        partition: places.log(mailbox),
        sort: places.operation(WriterId([writer; 16]), 0),
    }
}

/// What who delivers a message writes.
pub(super) fn arriving(message: MessageId, arrival: NewMessage) -> Batch {
    Batch {
        stamp: Stamp::default(),
        modseq: ModSeq(1),
        past: None,
        operations: vec![Operation::Arrive { message, arrival }],
    }
}

pub(super) fn delivered(number: u32, flags: &[Flag]) -> NewMessage {
    NewMessage {
        kind: ContentKind::Delivery,
        ..message(number, flags)
    }
}

pub(super) fn name(name: &str) -> MailboxName {
    MailboxName::new(name)
}

pub(super) fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

pub(super) fn message(number: u32, flags: &[Flag]) -> NewMessage {
    let mut content = [0; 16];
    content[12..].copy_from_slice(&number.to_be_bytes());
    NewMessage {
        content: ContentId(content),
        kind: ContentKind::Message,
        size: u64::from(number) * 10,
        summary_offset: 5,
        summary_len: 6,
        internal_date: InternalDate {
            unix_s: 1_800_000_000,
            zone_min: 60,
        },
        flags: flags.to_vec(),
    }
}

/// UID, content number, flags: what a client sees.
pub(super) fn view(state: &MailboxState) -> Vec<(u32, u32, Vec<Flag>)> {
    let number = |content: ContentId| u32::from_be_bytes(content.0[12..].try_into().unwrap());
    let all = state.iter_from(0).map(|message| {
        let mut flags: Vec<_> = state.flags(message).collect();
        flags.sort();
        (message.uid.get(), number(message.content), flags)
    });
    all.collect()
}

pub(super) fn failure(reply: AccountReply) -> AccountFailure {
    match reply {
        AccountReply::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// The mailbox that every account has.
pub(super) fn inbox_id() -> MailboxId {
    Directory::inbox(&keys())
}
