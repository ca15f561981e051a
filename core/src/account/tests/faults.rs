//! Storage fails in every way at any step, answers get lost, writes land late, the
//! process dies between any two answers, two servers write at once. Whatever was
//! acknowledged is there afterwards, exactly once; whatever a UID named it names still.

use super::world::{Fate, Server, Store, config, message, name, view};
use crate::account::{AccountInput, AccountReply, AccountRequest, ConnectionId, Snapshot};
use crate::config::Config;
use crate::mailbox::{ContentId, Flag, FlagAction, FlagChange, ModSeq, Uid};
use crate::random::{Random, Seed};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Even a batch of one message takes several items.
fn torn() -> Config {
    Config {
        log_item_bytes_max: 60,
        ..config()
    }
}

/// What is certain about a message.
#[derive(Debug, Default)]
struct Expected {
    /// It must be there; if not, it may be.
    certain: bool,
    /// It may be gone: an expunge was tried.
    may_be_gone: bool,
    /// It must be gone.
    gone: bool,
    /// Whether `\Flagged` must be as it is; `None`: it may be either.
    flagged: Option<bool>,
}

/// One client of one server, which remembers all it saw.
struct Client {
    connection: ConnectionId,
    modseq: ModSeq,
    uid_next: u32,
    seen: BTreeSet<Uid>,
}

struct Chaos {
    random: Random,
    storage: Store,
    servers: Vec<Server>,
    clients: Vec<Option<Client>>,
    expected: BTreeMap<u32, Expected>,
    /// What each UID named, ever, by server (a conflict may burn it elsewhere).
    named: Vec<BTreeMap<Uid, ContentId>>,
    next_message: u32,
    /// Of 256 storage requests, how many go wrong.
    trouble: u8,
    restarts: u8,
    /// Whether anything that was acknowledged may have lost its UID to a conflict.
    conflicts: bool,
}

impl Chaos {
    fn new(seed: u64, servers: u8) -> Self {
        let mut bytes = [servers; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut random = Random::new(Seed::new(bytes));
        let [trouble] = random.bytes();
        Self {
            storage: Store::default(),
            servers: (0..servers)
                .map(|number| Server::new(number, torn()))
                .collect(),
            clients: (0..servers).map(|_| None).collect(),
            expected: BTreeMap::new(),
            named: (0..servers).map(|_| BTreeMap::new()).collect(),
            next_message: 1,
            trouble: trouble / 3,
            restarts: servers,
            conflicts: servers > 1,
            random,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        let bytes: [u8; 4] = self.random.bytes();
        u32::from_be_bytes(bytes) as usize % end
    }

    fn fate(&mut self) -> Fate {
        let [trouble, kind, bits] = self.random.bytes();
        if trouble >= self.trouble {
            return Fate::Works;
        }
        match kind % 10 {
            0 => Fate::Full,
            1 => Fate::Refused,
            2 => Fate::AnswerLost,
            3 if self.conflicts => Fate::Late,
            4 | 5 => Fate::Torn(bits),
            6 if self.conflicts => Fate::TornLate(bits),
            _ => Fate::Lost,
        }
    }

    /// Asks, with trouble; `None` when the process died over it.
    fn ask(&mut self, at: usize, request: AccountRequest) -> Option<AccountReply> {
        let connection = self.clients[at].as_ref().unwrap().connection;
        self.servers[at].send(connection, request);
        for _ in 0..10_000 {
            for reply in self.servers[at].unasked(connection) {
                match reply {
                    AccountReply::Changed(snapshot) => self.see(at, &snapshot),
                    reply => return Some(reply),
                }
            }
            let [die] = self.random.bytes();
            if die < 3 {
                self.restart(at);
                return None;
            }
            if die > 250 {
                self.storage.land();
            }
            let fate = self.fate();
            if !self.servers[at].step(&mut self.storage, fate) {
                self.servers[at].wait(Duration::from_millis(100));
            }
        }
        panic!("a request is never answered");
    }

    fn restart(&mut self, at: usize) {
        self.restarts += 1;
        self.servers[at].restart(self.restarts);
        self.clients[at] = None;
    }

    /// A client looks at what it was given.
    fn see(&mut self, at: usize, snapshot: &Snapshot) {
        let client = self.clients[at].as_mut().unwrap();
        let state = &snapshot.state;
        assert!(
            state.highest_modseq() >= client.modseq,
            "HIGHESTMODSEQ went back"
        );
        assert!(
            state.uid_next().get() >= client.uid_next,
            "UIDNEXT went back"
        );
        let vanished: BTreeSet<_> = state.expunged_since(client.modseq).collect();
        for uid in &client.seen {
            assert!(state.find(*uid).is_some() || vanished.contains(uid));
        }
        for message in state.iter_from(0) {
            let new = !client.seen.contains(&message.uid);
            assert!(
                !new || message.uid.get() >= client.uid_next,
                "new below UIDNEXT"
            );
            let before = self.named[at].insert(message.uid, message.content);
            assert!(
                before.is_none_or(|content| content == message.content),
                "a UID lied"
            );
        }
        client.seen = state.iter_from(0).map(|message| message.uid).collect();
        client.modseq = state.highest_modseq();
        client.uid_next = state.uid_next().get();
    }

    /// A client with INBOX selected, if that can be had.
    fn client(&mut self, at: usize) -> bool {
        if self.clients[at].is_some() {
            return true;
        }
        self.clients[at] = Some(Client {
            connection: self.servers[at].connect(),
            modseq: ModSeq(0),
            uid_next: 0,
            seen: BTreeSet::new(),
        });
        let read_only = false;
        let request = AccountRequest::Select {
            name: name("INBOX"),
            read_only,
        };
        match self.ask(at, request) {
            Some(AccountReply::Selected { snapshot, .. }) => {
                self.see(at, &snapshot);
                true
            }
            _ => {
                self.clients[at] = None;
                false
            }
        }
    }

    fn act(&mut self) {
        let at = self.below(self.servers.len());
        if !self.client(at) {
            return;
        }
        match self.below(12) {
            0..=4 => self.append(at),
            5..=7 => self.store(at),
            8 => self.expunge(at),
            9 | 10 => self.refresh(at),
            _ => {
                let wait = [1, 11, 70][self.below(3)];
                self.servers[at].wait(Duration::from_secs(wait));
            }
        }
    }

    fn append(&mut self, at: usize) {
        let numbers: Vec<u32> = (0..=self.below(3) as u32)
            .map(|it| self.next_message + it)
            .collect();
        self.next_message += 3;
        let messages = numbers.iter().map(|number| message(*number, &[])).collect();
        let request = AccountRequest::Append {
            name: name("INBOX"),
            messages,
            summaries: Vec::new(),
        };
        let reply = self.ask(at, request);
        let acknowledged = match reply {
            Some(AccountReply::Appended { uids, snapshot, .. }) => {
                let snapshot = snapshot.unwrap();
                self.see(at, &snapshot);
                for (uid, number) in uids.iter().zip(&numbers) {
                    let content = message(*number, &[]).content;
                    assert_eq!(snapshot.state.find(*uid).unwrap().content, content);
                }
                true
            }
            _ => false,
        };
        for number in numbers {
            let new = Expected {
                certain: acknowledged,
                flagged: Some(false),
                ..Expected::default()
            };
            self.expected.insert(number, new);
        }
    }

    /// One of the messages that the client sees, with its number.
    fn pick(&mut self, at: usize) -> Option<(Uid, u32)> {
        let seen: Vec<_> = self.clients[at].as_ref()?.seen.iter().copied().collect();
        let uid = *seen.get(self.below(seen.len().max(1)))?;
        let content = self.named[at][&uid];
        Some((uid, u32::from_be_bytes(content.0[12..].try_into().unwrap())))
    }

    fn store(&mut self, at: usize) {
        let Some((uid, number)) = self.pick(at) else {
            return;
        };
        let add = self.below(2) == 0;
        let action = if add {
            FlagAction::Add
        } else {
            FlagAction::Remove
        };
        let flags = vec![Flag::Flagged];
        let request = AccountRequest::Store {
            uids: vec![uid],
            change: FlagChange { action, flags },
            unchanged_since: None,
        };
        let reply = self.ask(at, request);
        let expected = self.expected.get_mut(&number).unwrap();
        expected.flagged = None;
        if let Some(AccountReply::Stored { snapshot, .. }) = reply {
            if let Some(message) = snapshot.state.find(uid) {
                assert_eq!(message.flags.flagged(), add);
                // Another server may have changed it without this one knowing.
                expected.flagged = (!self.conflicts).then_some(add);
            }
            self.see(at, &snapshot);
        }
    }

    fn expunge(&mut self, at: usize) {
        let Some((uid, number)) = self.pick(at) else {
            return;
        };
        let change = FlagChange {
            action: FlagAction::Add,
            flags: vec![Flag::Deleted],
        };
        let uids = vec![uid];
        let unchanged_since = None;
        let store = AccountRequest::Store {
            uids,
            change,
            unchanged_since,
        };
        match self.ask(at, store) {
            Some(AccountReply::Stored { snapshot, .. }) => self.see(at, &snapshot),
            _ => return,
        }
        let here = self.clients[at].as_ref().unwrap().seen.contains(&uid);
        let reply = self.ask(
            at,
            AccountRequest::Expunge {
                uids: Some(vec![uid]),
            },
        );
        let expected = self.expected.get_mut(&number).unwrap();
        expected.may_be_gone = true;
        if let Some(AccountReply::Snapshot(snapshot)) = reply {
            // A conflict may have given it another UID meanwhile.
            expected.gone |= here && !self.conflicts;
            assert!(snapshot.state.find(uid).is_none());
            self.see(at, &snapshot);
        }
    }

    fn refresh(&mut self, at: usize) {
        if let Some(AccountReply::Snapshot(snapshot)) = self.ask(at, AccountRequest::Refresh) {
            self.see(at, &snapshot);
        }
    }

    /// All is well again: what do the servers show, and one that starts now?
    fn check(&mut self) {
        self.trouble = 0;
        self.storage.land();
        for server in &mut self.servers {
            server.drain(&mut self.storage);
        }
        for _ in 0..4 {
            for server in &mut self.servers {
                server.status(&mut self.storage, "INBOX");
                server.drain(&mut self.storage);
            }
        }
        let mut fresh = Server::new(200, torn());
        let state = fresh.status(&mut self.storage, "INBOX");
        let shown = view(&state);
        for server in &mut self.servers {
            assert_eq!(view(&server.status(&mut self.storage, "INBOX")), shown);
        }
        let mut count: BTreeMap<u32, usize> = BTreeMap::new();
        for (uid, number, flags) in &shown {
            *count.entry(*number).or_default() += 1;
            let expected = &self.expected[number];
            assert!(!expected.gone, "{number} came back");
            let flagged = flags.contains(&Flag::Flagged);
            assert!(
                expected.flagged.is_none_or(|it| it == flagged),
                "flags of {number}"
            );
            if !self.conflicts {
                let named = self.named[0].get(&Uid::new(*uid).unwrap());
                let content = message(*number, &[]).content;
                assert!(named.is_none_or(|it| *it == content), "a UID lied");
            }
        }
        for (number, expected) in &self.expected {
            let count = count.get(number).copied().unwrap_or(0);
            let least = usize::from(expected.certain && !expected.may_be_gone);
            assert!(
                (least..=1).contains(&count),
                "{number} is there {count} times"
            );
        }
    }
}

fn run(seed: u64, servers: u8) {
    let mut chaos = Chaos::new(seed, servers);
    for _ in 0..60 {
        chaos.act();
    }
    chaos.check();
}

#[test]
fn what_was_acknowledged_survives_whatever_happens() {
    for seed in 0..40 {
        println!("seed {seed}");
        run(seed, 1);
    }
}

#[test]
fn two_servers_in_trouble_end_with_the_same_mailbox() {
    for seed in 0..40 {
        println!("seed {seed}");
        run(seed, 2);
    }
}

#[test]
fn a_connection_that_leaves_does_not_cancel_its_commit() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let connection = server.connect();
    let messages = vec![message(2, &[])];
    server.send(
        connection,
        AccountRequest::Append {
            name: name("INBOX"),
            messages,
            summaries: Vec::new(),
        },
    );
    server.input(AccountInput::Detach(connection));
    server.drain(&mut storage);
    assert!(server.unasked(connection).is_empty());
    assert_eq!(server.status(&mut storage, "INBOX").len(), 2);
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut chaos = Chaos::new(42, 2);
        for _ in 0..40 {
            chaos.act();
        }
        let items = chaos.storage.items.iter();
        let items: Vec<_> = items
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect();
        Arc::new(items)
    };
    assert_eq!(run(), run());
}
