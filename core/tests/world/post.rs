//! What a process does for its LMTP connections: a directory, room for messages, writers.
//!
//! There are `alice`, who is the world's account, `bob` and `carol`, who only get mail, and
//! `later`, who never logged in; `sales@example.org` is another name of alice.

use restante_core::account::ConnectionId;
use restante_core::delivery::{InboxWriter, Recipient};
use restante_core::lmtp::{Address, NoRecipient, PostReply, PostRequest};
use restante_core::mailbox::{AccountId, Directory, MailboxId};
use restante_core::random::{Random, Seed};
use restante_core::seal::AccountKeys;
use restante_core::storage::RequestId;
use restante_core::time::Now;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) struct Post {
    /// Whether the accounts can be read.
    pub(crate) directory: bool,
    /// Copies that may be stored at once.
    pub(crate) room: usize,
    /// Whether questions stay unanswered.
    pub(crate) silent: bool,
    waiting: VecDeque<(ConnectionId, RequestId, PostRequest)>,
    rooms: BTreeMap<ConnectionId, usize>,
    writers: BTreeMap<AccountId, InboxWriter>,
    lent: BTreeSet<(AccountId, ConnectionId)>,
    rings: VecDeque<(ConnectionId, MailboxId)>,
}

pub(super) enum Answer {
    Reply(RequestId, PostReply),
    Ring(MailboxId),
}

impl Default for Post {
    fn default() -> Self {
        Self {
            directory: true,
            room: 1_000,
            silent: false,
            waiting: VecDeque::new(),
            rooms: BTreeMap::new(),
            writers: BTreeMap::new(),
            lent: BTreeSet::new(),
            rings: VecDeque::new(),
        }
    }
}

pub(super) fn recipient(keys: &AccountKeys) -> Recipient {
    Recipient {
        account: keys.account(),
        public_key: keys.public_key(),
        inbox: Directory::inbox(keys),
    }
}

/// The keys of somebody who only gets mail.
pub(crate) fn keys_of(name: &str) -> AccountKeys {
    let seed = name
        .as_bytes()
        .iter()
        .fold(100_u8, |sum, it| sum.wrapping_add(*it));
    let mut random = Random::new(Seed::new([seed; 32]));
    AccountKeys::generate(AccountId([seed; 16]), &mut random)
}

impl Post {
    pub(super) fn ask(&mut self, id: ConnectionId, request: RequestId, wanted: PostRequest) {
        self.waiting.push_back((id, request, wanted));
    }

    pub(super) fn abandon(&mut self, id: ConnectionId, request: RequestId) {
        self.waiting.retain(|it| (it.0, it.1) != (id, request));
    }

    pub(super) fn gone(&mut self, id: ConnectionId) {
        self.waiting.retain(|it| it.0 != id);
        self.rooms.remove(&id);
        self.lent.retain(|it| it.1 != id);
    }

    pub(super) fn forget(&mut self) {
        let (directory, room) = (self.directory, self.room);
        *self = Self {
            directory,
            room,
            ..Self::default()
        };
    }

    /// Copies that have room now.
    pub(crate) fn taken(&self) -> usize {
        self.rooms.values().sum()
    }

    fn find(&self, address: &Address, alice: Recipient) -> Result<Recipient, NoRecipient> {
        if !self.directory {
            return Err(NoRecipient::Unavailable);
        }
        let local = address.local.to_ascii_lowercase();
        match local.split('+').next().unwrap_or_default() {
            "alice" | "sales" | "älice" => Ok(alice),
            name @ ("bob" | "carol") => Ok(recipient(&keys_of(name))),
            "nokey" => Ok(Recipient {
                public_key: [0; 32],
                ..recipient(&keys_of("nokey"))
            }),
            "later" => Err(NoRecipient::NotYet),
            _ => Err(NoRecipient::Unknown),
        }
    }

    /// The next answer that can be given.
    pub(super) fn next(
        &mut self,
        alice: Recipient,
        now: Now,
        random: &mut Random,
    ) -> Option<(ConnectionId, Answer)> {
        if let Some((id, log)) = self.rings.pop_front() {
            return Some((id, Answer::Ring(log)));
        }
        let mut at = 0;
        while at < self.waiting.len() {
            let (id, request, _) = self.waiting[at];
            let reply = match &self.waiting[at].2 {
                PostRequest::Leave => {
                    self.rooms.remove(&id);
                    None
                }
                PostRequest::Done(recipient, _) => {
                    let recipient = *recipient;
                    assert!(
                        self.lent.remove(&(recipient.account, id)),
                        "a writer comes back that was not lent"
                    );
                    if recipient == alice {
                        self.rings.push_back((id, recipient.inbox));
                    }
                    if let Some((.., PostRequest::Done(_, Some(writer)))) = self.waiting.remove(at)
                    {
                        self.writers.insert(recipient.account, writer);
                    }
                    continue;
                }
                _ if self.silent => {
                    at += 1;
                    continue;
                }
                PostRequest::Find(address) => Some(PostReply::Found(self.find(address, alice))),
                PostRequest::Room(copies) => {
                    assert!(*copies > 0, "room for nothing");
                    if self.taken() + copies > self.room {
                        at += 1;
                        continue;
                    }
                    assert!(self.rooms.insert(id, *copies).is_none(), "twice in a room");
                    Some(PostReply::Room)
                }
                PostRequest::Turn(recipient) => {
                    let account = recipient.account;
                    if self.lent.iter().any(|it| it.0 == account) {
                        at += 1;
                        continue;
                    }
                    self.lent.insert((account, id));
                    let writer = self.writers.remove(&account);
                    let new = || InboxWriter::new(now, random.seed());
                    Some(PostReply::Turn(writer.unwrap_or_else(new)))
                }
            };
            self.waiting.remove(at);
            if let Some(reply) = reply {
                return Some((id, Answer::Reply(request, reply)));
            }
        }
        None
    }
}
