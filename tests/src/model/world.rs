//! What is: the reference mailboxes, and what each client was told of them.

use super::command::Names;
use super::flags::Flags;
use super::mailbox::{Arrival, Mailbox, State};
use super::set::Set;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// What the mailboxes are called.
    pub names: Rc<Names>,
    /// The mailboxes.
    pub mailboxes: [Mailbox; 2],
    /// The clients.
    pub sessions: Vec<Session>,
    /// Which UID a message got that was moved, by the mailbox it was in, its UID there, and the mailbox it
    /// went to. Who moves it as well, at the same time, moves it to the same place.
    pub moved: BTreeMap<(usize, u32, usize), u32>,
    /// INTERNALDATEs of messages that were given none, by the number of their text.
    pub dates: BTreeMap<u32, String>,
}

/// One client's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    /// It knows CONDSTORE.
    pub condstore: bool,
    /// It has enabled QRESYNC.
    pub qresync: bool,
    /// The selected mailbox.
    pub selected: Option<Selected>,
    /// UIDs and messages that a COPY under way has read.
    pub copying: Vec<(u32, Arrival)>,
    /// What it remembers of mailboxes that it has left.
    pub remembered: [Option<Remembered>; 2],
    /// MODSEQs that it was told.
    pub modseqs: Vec<u64>,
    /// How often it has selected a mailbox.
    pub selections: u32,
}

/// A mailbox that a client has left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remembered {
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// HIGHESTMODSEQ as it was told last.
    pub highest: u64,
    /// The messages.
    pub entries: Vec<Entry>,
}

/// A selected mailbox as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selected {
    /// Which.
    pub mailbox: usize,
    /// EXAMINE.
    pub read_only: bool,
    /// The messages by sequence number.
    pub entries: Vec<Entry>,
    /// The earliest state that the server can be at, for this client.
    pub at: usize,
    /// The earliest state whose messages these can be.
    pub shown: usize,
    /// HIGHESTMODSEQ as it was told last.
    pub highest: u64,
    /// Keywords that it was told of.
    pub keywords: Flags,
}

/// A message as a client knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The UID. A client that was not told it has the model know it.
    pub uid: u32,
    /// The flags, if it was told them.
    pub flags: Option<Flags>,
    /// The highest MODSEQ that it was told.
    pub modseq: u64,
    /// Whether it is `\Recent`, if it was told.
    pub recent: Option<bool>,
}

impl Entry {
    /// A message of which nothing but its existence was told.
    #[must_use]
    pub fn new(uid: u32) -> Self {
        Self {
            uid,
            flags: None,
            modseq: 0,
            recent: None,
        }
    }
}

impl Selected {
    /// UIDs that a set names among the messages that the client knows of; `None`: it names
    /// sequence numbers that are not there.
    #[must_use]
    pub fn named(&self, uid: bool, set: &Set) -> Option<Vec<u32>> {
        let count = self.count();
        if !uid && !set.is_valid(count) {
            return None;
        }
        let last = self.last_uid();
        let entries = self.entries.iter().zip(1..);
        let named = entries.filter(|(entry, number)| match uid {
            true => set.holds(entry.uid, last),
            false => set.holds(*number, count),
        });
        Some(named.map(|(entry, _)| entry.uid).collect())
    }

    /// How many messages it knows of.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The highest UID.
    #[must_use]
    pub fn last_uid(&self) -> u32 {
        self.entries.last().map_or(0, |entry| entry.uid)
    }

    /// Whether these are the messages of a state.
    #[must_use]
    pub fn lists(&self, state: &State) -> bool {
        self.entries.iter().map(|entry| entry.uid).eq(state.uids())
    }

    /// Where what the client knows differs from a state, messages that are gone left out.
    #[must_use]
    pub fn difference(&self, state: &State) -> Option<String> {
        let differs = |entry: &&Entry| match (entry.flags, state.find(entry.uid)) {
            (Some(known), Some(message)) => known != message.flags,
            _ => false,
        };
        let entry = self.entries.iter().find(differs)?;
        let (known, is) = (entry.flags?, state.find(entry.uid)?.flags);
        let (uid, known, is) = (entry.uid, known.list(), is.list());
        Some(format!("UID {uid} has {is}, the client was told {known}"))
    }
}

impl Session {
    /// Leaves the selected mailbox.
    pub fn leave(&mut self, mailboxes: &[Mailbox; 2]) {
        let Some(left) = self.selected.take() else {
            return;
        };
        let Some(uid_validity) = mailboxes[left.mailbox].uid_validity else {
            return;
        };
        self.remembered[left.mailbox] = Some(Remembered {
            uid_validity,
            highest: left.highest,
            entries: left.entries,
        });
    }

    /// Notes a MODSEQ.
    pub fn told(&mut self, modseq: u64) {
        if let Err(place) = self.modseqs.binary_search(&modseq) {
            self.modseqs.insert(place, modseq);
        }
    }
}
