//! Two servers on one storage: what one commits, clients of the other see at once.

use super::{memory, server_on};
use crate::config::Limits;
use crate::driver::Server;
use crate::driver::registry::Attachment;
use crate::runtime::threads::Threads;
use crate::storage::{BoxFuture, Memory, ObjectSink, Opened, Storage};
use core::task::Poll;
use core::time::Duration;
use restante_core::account::{
    AccountReply, AccountRequest, ConnectionId, InternalDate, NewMessage, Snapshot,
};
use restante_core::boundary::Login;
use restante_core::mailbox::{AccountId, ContentId, MailboxName};
use restante_core::random::{Random, Seed};
use restante_core::seal::{AccountKeys, ContentKind};
use restante_core::storage::{ObjectKey, StorageError, StorageRequest, StorageResponse};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// A storage as Garage is: shared by processes. Counts requests, and can be away.
#[derive(Clone)]
struct Shared {
    memory: Arc<Memory>,
    requests: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

impl Shared {
    fn new() -> Self {
        Self {
            memory: memory(),
            requests: Arc::default(),
            away: Arc::default(),
        }
    }
}

impl Storage for Shared {
    fn is_shared(&self) -> bool {
        true
    }

    fn execute(&self, request: StorageRequest) -> BoxFuture<'static, StorageResponse> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            let error = StorageError::Unavailable("away".to_owned());
            return Box::pin(async { StorageResponse::Failed(error) });
        }
        self.memory.execute(request)
    }

    fn open(
        &self,
        key: ObjectKey,
        start: u64,
        end: Option<u64>,
        max: u32,
    ) -> BoxFuture<'static, Result<Opened, StorageError>> {
        self.memory.open(key, start, end, max)
    }

    fn create(
        &self,
        key: ObjectKey,
    ) -> BoxFuture<'static, Result<Box<dyn ObjectSink>, StorageError>> {
        self.memory.create(key)
    }
}

fn login() -> Login {
    let mut random = Random::new(Seed::new([5; 32]));
    let keys = AccountKeys::generate(AccountId([6; 16]), &mut random);
    Login {
        keys: Arc::new(keys),
    }
}

struct Client(Attachment);

impl Client {
    fn new(server: &Arc<Server<Threads>>, number: u64) -> Self {
        Self(Server::attach(server, ConnectionId(number), &login()).unwrap())
    }

    fn told(&self) -> AccountReply {
        let reply = async_io::block_on(core::future::poll_fn(|cx| self.0.poll_reply(cx)));
        reply.expect("the account is there")
    }

    fn ask(&self, request: AccountRequest) -> AccountReply {
        self.0.request(request);
        loop {
            match self.told() {
                AccountReply::Changed(_) => {}
                reply => return reply,
            }
        }
    }

    fn select(&self) {
        let reply = self.ask(AccountRequest::Select {
            name: MailboxName::inbox(),
            read_only: false,
        });
        assert!(matches!(reply, AccountReply::Selected { .. }), "{reply:?}");
    }

    fn append(&self, number: u8) -> AccountReply {
        let message = NewMessage {
            content: ContentId([number; 16]),
            kind: ContentKind::Message,
            size: 10,
            summary_offset: 5,
            summary_len: 6,
            internal_date: InternalDate {
                unix_s: 1_800_000_000,
                zone_min: 0,
            },
            flags: vec![],
        };
        self.ask(AccountRequest::Append {
            name: MailboxName::inbox(),
            messages: vec![message],
            summaries: Vec::new(),
        })
    }

    /// Until so many messages are seen, and how long that took.
    fn await_messages(&self, count: usize) -> Duration {
        let start = Instant::now();
        loop {
            match self.told() {
                AccountReply::Changed(Snapshot { state, .. }) if state.len() == count => {
                    return start.elapsed();
                }
                AccountReply::Changed(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn has_news(&self) -> bool {
        let waker = futures_util::task::noop_waker();
        let mut cx = core::task::Context::from_waker(&waker);
        matches!(self.0.poll_reply(&mut cx), Poll::Ready(_))
    }
}

#[test]
fn an_idle_client_of_another_server_is_woken_within_a_second() {
    let storage = Shared::new();
    let (one, _folder) = server_on(Arc::new(storage.clone()), &Limits::default());
    let (two, _folder) = server_on(Arc::new(storage), &Limits::default());
    let (writing, watching) = (Client::new(&one, 1), Client::new(&two, 1));
    watching.select();
    let mut took = Vec::new();
    for number in 1..=21 {
        assert!(matches!(
            writing.append(number),
            AccountReply::Appended { .. }
        ));
        took.push(watching.await_messages(number.into()));
        // Sometimes the doorbell is just being armed, sometimes all is quiet.
        std::thread::sleep(Duration::from_millis(u64::from(number % 7) * 13));
    }
    took.sort();
    // On a machine that is busy with other tests.
    assert!(took[10] < Duration::from_secs(1), "{took:?}");
    assert!(took[20] < Duration::from_secs(10), "{took:?}");
}

#[test]
fn after_storage_was_away_clients_of_both_servers_see_everything() {
    let storage = Shared::new();
    let (one, _folder) = server_on(Arc::new(storage.clone()), &Limits::default());
    let (two, _folder) = server_on(Arc::new(storage.clone()), &Limits::default());
    let (writing, watching) = (Client::new(&one, 1), Client::new(&two, 1));
    watching.select();
    writing.append(1);
    watching.await_messages(1);
    storage.away.store(true, Ordering::SeqCst);
    assert!(matches!(writing.append(2), AccountReply::Failed(_)));
    storage.away.store(false, Ordering::SeqCst);
    assert!(matches!(writing.append(2), AccountReply::Appended { .. }));
    let took = watching.await_messages(2);
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[test]
fn nothing_is_asked_for_while_nothing_happens() {
    let storage = Shared::new();
    let (one, _folder) = server_on(Arc::new(storage.clone()), &Limits::default());
    let watching = Client::new(&one, 1);
    watching.select();
    let asked = || storage.requests.load(Ordering::SeqCst);
    let is_still = || {
        let before = asked();
        std::thread::sleep(Duration::from_millis(500));
        asked() == before
    };
    // What the SELECT began comes to its end first.
    assert!((0..60).any(|_| is_still()), "it never rests");
    assert!(is_still(), "it asks again");
    assert!(!watching.has_news());
}

#[test]
fn a_stopping_server_announces_its_last_commits() {
    let storage = Shared::new();
    let (one, _folder) = server_on(Arc::new(storage.clone()), &Limits::default());
    let (two, _folder) = server_on(Arc::new(storage.clone()), &Limits::default());
    let (writing, watching) = (Client::new(&one, 1), Client::new(&two, 1));
    watching.select();
    writing.append(1);
    drop(writing);
    async_io::block_on(one.stop());
    watching.await_messages(1);
    let before = storage.requests.load(Ordering::SeqCst);
    drop(watching);
    async_io::block_on(two.stop());
    std::thread::sleep(Duration::from_millis(400));
    // The polls of both are gone: nothing goes on behind their backs.
    let after = storage.requests.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(400));
    assert!(after >= before);
    assert_eq!(storage.requests.load(Ordering::SeqCst), after);
}
