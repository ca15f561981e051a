//! The reference: a mailbox is the list of all states it ever had, each a plain list of
//! messages. Nothing of it is taken from the server.

use super::flags::Flags;
use super::text::Text;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A message in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Its UID.
    pub uid: u32,
    /// What it says.
    pub text: Text,
    /// Which of the given INTERNALDATEs it has; else the time when it came.
    pub date: Option<u8>,
    /// Its flags.
    pub flags: Flags,
    /// The state of the mailbox in which it became as it is.
    pub changed: usize,
}

/// A mailbox at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// UIDNEXT.
    pub next: u32,
    /// By ascending UID.
    pub messages: Vec<Message>,
    /// A STORE made it.
    pub stored: bool,
    /// Keywords that any message ever had.
    pub keywords: Flags,
}

impl State {
    /// The message of a UID.
    #[must_use]
    pub fn find(&self, uid: u32) -> Option<&Message> {
        let place = self.messages.binary_search_by_key(&uid, |it| it.uid);
        place.ok().map(|place| &self.messages[place])
    }

    /// All UIDs.
    pub fn uids(&self) -> impl Iterator<Item = u32> {
        self.messages.iter().map(|it| it.uid)
    }
}

/// A message that is to be added.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// What it says.
    pub text: Text,
    /// Which INTERNALDATE it is given.
    pub date: Option<u8>,
    /// The flags it comes with.
    pub flags: Flags,
}

/// A mailbox with its past.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    states: Vec<Rc<State>>,
    /// MODSEQs that clients were told, by the state that they belong to.
    modseqs: BTreeMap<usize, u64>,
    /// The lowest and the highest HIGHESTMODSEQ that clients were told of a state. It may be
    /// above the MODSEQ of what changed last: a server may count what changes nothing.
    highest: BTreeMap<usize, (u64, u64)>,
    /// UIDVALIDITY, once it was told.
    pub uid_validity: Option<u32>,
    /// Who was told that a message is `\Recent`, by UID: a client, and which of its
    /// selections.
    pub recent: BTreeMap<u32, (usize, u32)>,
}

impl Default for Mailbox {
    fn default() -> Self {
        let first = State {
            next: 1,
            ..State::default()
        };
        Self {
            states: vec![Rc::new(first)],
            modseqs: BTreeMap::new(),
            highest: BTreeMap::new(),
            uid_validity: None,
            recent: BTreeMap::new(),
        }
    }
}

impl Mailbox {
    /// The newest state.
    #[must_use]
    pub fn now(&self) -> usize {
        self.states.len() - 1
    }

    /// A state, counted from the first one.
    #[must_use]
    pub fn state(&self, at: usize) -> &State {
        &self.states[at]
    }

    /// The newest state.
    #[must_use]
    pub fn newest(&self) -> &State {
        self.state(self.now())
    }

    /// Changes messages; what changes nothing makes no new state.
    fn change(&mut self, change: impl FnOnce(&mut State, usize)) {
        let before = self.newest();
        let mut after = before.clone();
        after.stored = false;
        change(&mut after, self.states.len());
        if after.messages != before.messages || after.next != before.next {
            for message in &after.messages {
                after.keywords.0 |= message.flags.0 & Flags::KEYWORDS.0;
            }
            self.states.push(Rc::new(after));
        }
    }

    /// Messages come, and get the next UIDs; but those of which it is said where they are
    /// already get only the flags that they come with.
    pub fn bring(&mut self, arrivals: &[(Option<u32>, Arrival)]) -> Vec<u32> {
        let mut uids = Vec::new();
        self.change(|state, at| {
            for (known, arrival) in arrivals {
                uids.push(known.unwrap_or(state.next));
                if let Some(known) = known {
                    let message = state.messages.iter_mut().find(|it| it.uid == *known);
                    let message = message.filter(|it| !it.flags.has(arrival.flags));
                    if let Some(message) = message {
                        message.flags.0 |= arrival.flags.0;
                        message.changed = at;
                    }
                    continue;
                }
                state.messages.push(Message {
                    uid: state.next,
                    text: arrival.text,
                    date: arrival.date,
                    flags: arrival.flags,
                    changed: at,
                });
                state.next += 1;
            }
        });
        uids
    }

    /// The flags of some messages become others.
    pub fn store(&mut self, uids: &[u32], flags: impl Fn(Flags) -> Flags) {
        self.change(|state, at| {
            for message in &mut state.messages {
                let new = flags(message.flags);
                if uids.contains(&message.uid) && new != message.flags {
                    (message.flags, message.changed) = (new, at);
                    state.stored = true;
                }
            }
        });
    }

    /// Some messages go.
    pub fn expunge(&mut self, goes: impl Fn(&Message) -> bool) {
        self.change(|state, _| state.messages.retain(|message| !goes(message)));
    }

    /// Notes the MODSEQ of a state: those of later states are not lower, and those of what
    /// STORE did are higher (RFC 7162 §3.1).
    ///
    /// # Errors
    /// What contradicts it.
    pub fn bind(&mut self, at: usize, modseq: u64) -> Result<(), String> {
        if modseq == 0 || modseq >= 1 << 63 {
            return Err(format!("MODSEQ {modseq}"));
        }
        let stored = |from: usize, to: usize| (from + 1..=to).any(|it| self.states[it].stored);
        if let Some((&other, &it)) = self.modseqs.range(..at).next_back()
            && (it > modseq || it == modseq && stored(other, at))
        {
            return Err(format!(
                "MODSEQ {modseq} of change {at}, and {it} of change {other} before it"
            ));
        }
        if let Some((&other, &it)) = self.modseqs.range(at + 1..).next()
            && (it < modseq || it == modseq && stored(at, other))
        {
            return Err(format!(
                "MODSEQ {modseq} of change {at}, and {it} of change {other} after it"
            ));
        }
        let (above, below) = self.around(at);
        if modseq <= above || modseq > below {
            return Err(format!(
                "MODSEQ {modseq} of change {at}, HIGHESTMODSEQ was {above} before and {below} after it"
            ));
        }
        match self.modseqs.insert(at, modseq) {
            Some(before) if before != modseq => Err(format!(
                "MODSEQ {modseq} and {before} of the same change {at}"
            )),
            _ => Ok(()),
        }
    }

    /// HIGHESTMODSEQ before a change, and after it: it lies between.
    fn around(&self, at: usize) -> (u64, u64) {
        let above = self.highest.range(..at).next_back().map_or(0, |it| it.1.1);
        let below = self
            .highest
            .range(at..)
            .next()
            .map_or(u64::MAX, |it| it.1.0);
        (above, below)
    }

    /// Notes HIGHESTMODSEQ of a state: no change up to it has a higher MODSEQ, and each later
    /// one has.
    ///
    /// # Errors
    /// What contradicts it.
    pub fn bind_highest(&mut self, at: usize, modseq: u64) -> Result<(), String> {
        let before = self.modseqs.range(..=at).next_back().map_or(0, |it| *it.1);
        let after = self
            .modseqs
            .range(at + 1..)
            .next()
            .map_or(u64::MAX, |it| *it.1);
        let told_before = self.highest.range(..at).next_back().map_or(0, |it| it.1.1);
        let told_after = self
            .highest
            .range(at + 1..)
            .next()
            .map_or(u64::MAX, |it| it.1.0);
        if modseq < before || modseq >= after || modseq < told_before || modseq > told_after {
            return Err(format!(
                "HIGHESTMODSEQ {modseq} after change {at}, with MODSEQ {before} before and {after} \
                 after, HIGHESTMODSEQ {told_before} before and {told_after} after"
            ));
        }
        let told = self.highest.entry(at).or_insert((modseq, modseq));
        *told = (told.0.min(modseq), told.1.max(modseq));
        Ok(())
    }

    /// The lowest and the highest MODSEQ that a state can have, by what is known of others.
    #[must_use]
    pub fn bounds(&self, at: usize) -> (u64, u64) {
        let lower = self.modseqs.range(..=at).next_back().map_or(0, |it| *it.1);
        let upper = self.modseqs.range(at..).next().map_or(u64::MAX, |it| *it.1);
        let (above, below) = self.around(at);
        let above = if above == 0 { 0 } else { above + 1 };
        (lower.max(above), upper.min(below))
    }

    /// Whether something changed after a MODSEQ; `None`: nobody was told enough to know.
    #[must_use]
    pub fn is_after(&self, at: usize, modseq: u64) -> Option<bool> {
        let (lower, upper) = self.bounds(at);
        if lower > modseq {
            Some(true)
        } else if upper <= modseq {
            Some(false)
        } else {
            None
        }
    }
}
