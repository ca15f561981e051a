//! How operations change a mailbox.
//!
//! Operations of several servers come in any order, and all servers must end with the
//! same state. So each kind is made to commute: a message arrives once, an expunged one
//! never comes back, of two changes of a flag the later stamp wins, and UIDs are
//! *claimed*: the set of claims only grows, and who owns a UID follows from the set.
//!
//! - A UID that two messages claim is **burned**: it names neither, for ever.
//! - Of several UIDs that one message claims, the highest is its own; the others are gone.
//! - A message whose own UID is burned has none and must claim again
//!   ([`MailboxState::unnumbered`](super::MailboxState)).
//!
//! A server that has already shown a state merges above its [`Floor`]: what comes late
//! may not appear below UIDNEXT nor at a MODSEQ that clients have passed.

use super::claims::Owed;
use super::clock::Stamp;
use super::message::{FlagBit, Message, Register, merge_register};
use super::operation::{Batch, Operation};
use super::state::{Arrival, Gone, Numbered, Pending, Tombstone};
use super::{ContentId, Flag, MailboxState, MessageId, ModSeq, Uid, WriterId};
use crate::account::NewMessage;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What clients of this server have been shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    /// Changes must be above.
    pub(crate) modseq: ModSeq,
    /// New messages must have this UID or a higher one; 0: nothing was shown.
    pub(crate) uid_next: u32,
}

/// One batch on its way into a state.
struct Merge<'a> {
    state: &'a mut MailboxState,
    floor: Floor,
    /// What the batch says.
    written: ModSeq,
    /// For what clients can see: the same, or above the floor.
    modseq: ModSeq,
    stamp: Stamp,
    writer: u32,
    /// Where messages go that had to be stamped anew.
    owed: &'a mut Owed,
}

impl MailboxState {
    /// What must stay true for clients that were shown this state.
    pub(crate) fn floor(&self) -> Floor {
        Floor {
            modseq: self.highest_modseq,
            uid_next: self.uid_next().get(),
        }
    }

    /// Applies one batch; [`MailboxState::renumber`] is due afterwards. What must be
    /// told to the log in turn is noted in `owed`.
    pub(crate) fn apply(&mut self, writer: WriterId, batch: &Batch, floor: Floor, owed: &mut Owed) {
        self.highest_modseq = self.highest_modseq.max(batch.modseq);
        let mut merge = Merge {
            writer: self.writer_index(writer, &batch.operations),
            state: self,
            floor,
            written: batch.modseq,
            modseq: batch.modseq.max(ModSeq(floor.modseq.0 + 1)),
            stamp: batch.stamp,
            owed,
        };
        for operation in &batch.operations {
            merge.operation(operation);
        }
    }

    /// Leaves out everything that may have been shown to clients before.
    pub(super) fn stay_above(&mut self, floor: Floor) {
        self.highest_modseq = self.highest_modseq.max(floor.modseq);
        if self.uid_next != 0 {
            self.uid_next = self.uid_next.max(floor.uid_next);
        }
    }

    /// Makes this state, read afresh from storage, fit to follow `shown`: as if what is
    /// new in it had been merged above its floor.
    pub(super) fn follow(&mut self, shown: &Self, owed: &mut Owed) {
        let floor = shown.floor();
        self.stay_above(floor);
        let changed: Vec<(MessageId, Uid, bool)> = self
            .messages
            .iter()
            .filter_map(|message| match shown.messages.find(message.uid) {
                None => Some((message.id, message.uid, message.uid.get() < floor.uid_next)),
                Some(old) => {
                    let same = shown.flags(old).eq(self.flags(message));
                    (!same).then_some((message.id, message.uid, false))
                }
            })
            .collect();
        let vanished: Vec<Uid> = shown
            .messages
            .iter()
            .filter(|message| self.messages.find(message.uid).is_none())
            .map(|message| message.uid)
            .collect();
        let written = self.highest_modseq;
        let mut merge = Merge {
            state: self,
            floor,
            written,
            modseq: ModSeq(floor.modseq.0 + 1).max(written),
            stamp: Stamp::default(),
            writer: 0,
            owed,
        };
        for (id, uid, below) in changed {
            if below {
                merge.disown(id, uid);
            }
            let modseq = merge.modseq;
            merge.owed.late(id);
            if let Some(message) = merge.state.messages.find_mut(uid) {
                message.modseq = message.modseq.max(modseq);
            }
            merge.state.highest_modseq = merge.state.highest_modseq.max(modseq);
        }
        for uid in vanished {
            let modseq = merge.modseq;
            let id = shown.messages.find(uid).map(|message| message.id);
            if let Some(id) = id.filter(|id| merge.state.tombstones.find(*id).is_some()) {
                merge.owed.late(id);
            }
            merge.spend(uid, modseq);
            merge.state.highest_modseq = merge.state.highest_modseq.max(modseq);
        }
        self.renumber();
    }

    /// Gives these messages, and these UIDs if they name nothing any more, a MODSEQ above
    /// all others.
    pub(super) fn stamp_anew(
        &mut self,
        messages: &BTreeSet<MessageId>,
        claims: &BTreeSet<Uid>,
        owed: &mut Owed,
    ) {
        let modseq = ModSeq(self.highest_modseq.0 + 1);
        let mut gone: Vec<Uid> = claims.iter().copied().collect();
        let mut any = false;
        for id in messages {
            if let Some(tombstone) = self.tombstones.find(*id) {
                gone.extend(tombstone.uid);
                owed.late(*id);
                any = true;
            } else if let Some(uid) = self.ids.find(*id).map(|numbered| numbered.uid) {
                if let Some(message) = self.messages.find_mut(uid) {
                    message.modseq = modseq;
                }
                owed.late(*id);
                any = true;
            }
        }
        if !any {
            return;
        }
        for uid in gone {
            if let Some(gone) = self.gone.find_mut(uid) {
                gone.modseq = modseq;
            }
        }
        self.highest_modseq = modseq;
    }

    /// Makes positions right after a number of batches.
    pub(crate) fn renumber(&mut self) {
        self.messages.renumber();
        self.ids.renumber();
        self.gone.renumber();
        self.tombstones.renumber();
    }

    /// Applies one batch to a state that was shown to nobody.
    #[cfg(test)]
    pub(crate) fn apply_own(&mut self, writer: WriterId, batch: &Batch) {
        self.apply(writer, batch, Floor::default(), &mut Owed::default());
        self.renumber();
    }

    /// The bit of a flag, a new one for a new keyword; `None` when all are taken.
    pub(super) fn intern(&mut self, flag: &Flag) -> Option<FlagBit> {
        if let Some(bit) = self.bit(flag) {
            return Some(bit);
        }
        let Flag::Keyword(keyword) = flag else {
            return None;
        };
        let bit = FlagBit::keyword(self.keywords.len())?;
        Arc::make_mut(&mut self.keywords).push(keyword.clone());
        Some(bit)
    }

    /// The number of a writer. Only those that change flags get one.
    fn writer_index(&mut self, writer: WriterId, operations: &[Operation]) -> u32 {
        let sets_flags = operations
            .iter()
            .any(|operation| matches!(operation, Operation::SetFlags { .. }));
        if !sets_flags {
            return 0;
        }
        let known = self.writers.iter().position(|known| *known == writer);
        let index = known.unwrap_or_else(|| {
            Arc::make_mut(&mut self.writers).push(writer);
            self.writers.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Which message has the UID, or will have it when it comes.
    fn owner(&self, uid: Uid) -> Option<MessageId> {
        match self.messages.find(uid) {
            Some(message) => Some(message.id),
            None => self.reserved.get(&uid).copied(),
        }
    }

    /// Counts a message in (`+1`) or out (`-1`).
    pub(super) fn count(&mut self, message: &Message, sign: i8) {
        let add = |count: &mut usize, yes: bool| {
            if yes && sign > 0 {
                *count += 1;
            } else if yes {
                *count -= 1;
            }
        };
        add(&mut self.unseen, !message.flags.seen());
        add(&mut self.deleted, message.flags.deleted());
        self.size_total = if sign > 0 {
            self.size_total.saturating_add(message.size)
        } else {
            self.size_total.saturating_sub(message.size)
        };
    }

    /// Puts a message into its place.
    fn put(&mut self, message: Message) {
        self.count(&message, 1);
        self.ids.insert(Numbered {
            id: message.id,
            uid: message.uid,
        });
        self.messages.insert(message);
    }

    /// Takes a message out.
    fn take(&mut self, id: MessageId) -> Option<Message> {
        let numbered = self.ids.remove(id)?;
        let message = self.messages.remove(numbered.uid)?;
        self.count(&message, -1);
        Some(message)
    }
}

impl Merge<'_> {
    fn operation(&mut self, operation: &Operation) {
        match operation {
            Operation::Arrive { message, arrival } => self.arrive(*message, arrival),
            Operation::Claim { message, uid } => self.claim(*message, *uid),
            Operation::SetFlags { messages, changes } => self.set_flags(messages, changes),
            Operation::Expunge { messages } => {
                for message in messages {
                    self.expunge(*message);
                }
            }
            Operation::RecentFrom { uid } => self.state.take_recent(*uid),
        }
    }

    fn arrive(&mut self, id: MessageId, new: &NewMessage) {
        if let Some(tombstone) = self.state.tombstones.find(id) {
            if tombstone.content == ContentId([0; 16])
                && let Some(tombstone) = self.state.tombstones.find_mut(id)
            {
                tombstone.content = new.content;
            }
            return;
        }
        let known = self.state.pending.get(&id);
        if self.state.ids.find(id).is_some() || known.is_some_and(|it| it.arrival.is_some()) {
            return;
        }
        let mut arrival = Arrival {
            content: new.content,
            kind: new.kind,
            size: new.size,
            summary_offset: new.summary_offset,
            summary_len: new.summary_len,
            internal_date: new.internal_date,
            flags: super::FlagSet::default(),
        };
        for flag in &new.flags {
            if let Some(bit) = self.state.intern(flag) {
                arrival.flags.assign(bit, true);
            }
        }
        let modseq = self.written;
        let pending = self.pending(id);
        for register in pending.registers.as_deref().unwrap_or_default() {
            arrival.flags.assign(register.flag, register.set);
        }
        pending.arrival = Some(arrival);
        pending.modseq = pending.modseq.max(modseq);
        if let Some(uid) = pending.claimed
            && self.state.reserved.get(&uid) == Some(&id)
        {
            self.own(id, uid);
        }
    }

    fn claim(&mut self, id: MessageId, uid: Uid) {
        let after = uid.get().checked_add(1).unwrap_or(0);
        if self.state.uid_next != 0 && (after == 0 || after > self.state.uid_next) {
            self.state.uid_next = after;
        }
        let owner = self.state.owner(uid);
        if owner == Some(id) {
            return;
        }
        if let Some(other) = owner {
            self.disown(other, uid);
        }
        let free = owner.is_none() && self.state.gone.find(uid).is_none();
        let current = match self.state.ids.find(id) {
            Some(numbered) => Some(numbered.uid),
            None => self.state.pending.get(&id).and_then(|it| it.claimed),
        };
        if let Some(tombstone) = self.state.tombstones.find_mut(id) {
            tombstone.uid = tombstone.uid.max(Some(uid));
            let modseq = self.visible(id);
            return self.spend(uid, modseq);
        }
        if current >= Some(uid) {
            return self.spend(uid, self.written);
        }
        if let Some(current) = current {
            self.disown(id, current);
        }
        // Whether the message or its claim is merged first, it has the MODSEQ of the later
        // one: with that it was shown.
        let written = self.written;
        let pending = self.pending(id);
        pending.claimed = Some(uid);
        pending.modseq = pending.modseq.max(written);
        if !free {
            return self.spend(uid, self.written);
        }
        Arc::make_mut(&mut self.state.reserved).insert(uid, id);
        if self
            .state
            .pending
            .get(&id)
            .is_some_and(|it| it.arrival.is_some())
        {
            self.own(id, uid);
        }
    }

    /// The message has come and its claim holds: it takes its place, unless clients
    /// have been told that nothing new comes there.
    fn own(&mut self, id: MessageId, uid: Uid) {
        Arc::make_mut(&mut self.state.reserved).remove(&uid);
        if uid.get() < self.floor.uid_next {
            return self.spend(uid, self.written);
        }
        let Some(pending) = Arc::make_mut(&mut self.state.pending).remove(&id) else {
            return;
        };
        let Some(arrival) = pending.arrival else {
            return;
        };
        let modseq = self.visible(id);
        self.state.put(Message {
            uid,
            id,
            content: arrival.content,
            kind: arrival.kind,
            size: arrival.size,
            summary_offset: arrival.summary_offset,
            summary_len: arrival.summary_len,
            internal_date: arrival.internal_date,
            modseq: pending.modseq.max(modseq),
            flags: arrival.flags,
            registers: pending.registers,
        });
    }

    /// A message loses its UID.
    fn disown(&mut self, id: MessageId, uid: Uid) {
        if self.state.reserved.get(&uid) == Some(&id) {
            Arc::make_mut(&mut self.state.reserved).remove(&uid);
        }
        let Some(message) = self.state.take(id) else {
            return self.spend(uid, self.written);
        };
        let modseq = self.visible(id);
        self.spend(uid, modseq);
        let pending = Pending {
            claimed: Some(uid),
            arrival: Some(Arrival {
                content: message.content,
                kind: message.kind,
                size: message.size,
                summary_offset: message.summary_offset,
                summary_len: message.summary_len,
                internal_date: message.internal_date,
                flags: message.flags,
            }),
            modseq: message.modseq.max(modseq),
            registers: message.registers,
        };
        Arc::make_mut(&mut self.state.pending).insert(id, pending);
    }

    /// Clients will see a change of this message: the MODSEQ to show it with. What only
    /// repeats what is known keeps its MODSEQ, or servers would stamp each other's
    /// stamping for ever.
    fn visible(&mut self, id: MessageId) -> ModSeq {
        if self.modseq != self.written {
            self.owed.late(id);
            self.state.highest_modseq = self.state.highest_modseq.max(self.modseq);
        }
        self.modseq
    }

    /// A UID names nothing any more.
    fn spend(&mut self, uid: Uid, modseq: ModSeq) {
        match self.state.gone.find(uid) {
            Some(gone) if gone.modseq >= modseq => {}
            _ => self.state.gone.insert(Gone { uid, modseq }),
        }
    }

    fn set_flags(&mut self, ids: &[MessageId], changes: &[(Flag, bool)]) {
        let registers: Vec<Register> = changes
            .iter()
            .filter_map(|(flag, set)| {
                Some(Register {
                    stamp: self.stamp,
                    writer: self.writer,
                    flag: self.state.intern(flag)?,
                    set: *set,
                })
            })
            .collect();
        let writers = Arc::clone(&self.state.writers);
        let newer = |one: u32, two: u32| writers.get(one as usize) > writers.get(two as usize);
        for id in ids {
            let Some(uid) = self.state.ids.find(*id).map(|numbered| numbered.uid) else {
                self.set_pending_flags(*id, &registers, newer);
                continue;
            };
            let Some(message) = self.state.messages.find_mut(uid) else {
                continue;
            };
            let before = message.flags;
            for register in &registers {
                message.set_flag(*register, newer);
            }
            message.modseq = message.modseq.max(self.written);
            let after = message.flags;
            if before != after {
                message.modseq = message.modseq.max(self.modseq);
                self.visible(*id);
            }
            recount(&mut self.state.unseen, !before.seen(), !after.seen());
            recount(&mut self.state.deleted, before.deleted(), after.deleted());
        }
    }

    fn set_pending_flags(
        &mut self,
        id: MessageId,
        registers: &[Register],
        newer: impl Fn(u32, u32) -> bool + Copy,
    ) {
        if self.state.tombstones.find(id).is_some() {
            return;
        }
        let modseq = self.written;
        let pending = self.pending(id);
        pending.modseq = pending.modseq.max(modseq);
        for register in registers {
            if merge_register(&mut pending.registers, *register, newer)
                && let Some(arrival) = &mut pending.arrival
            {
                arrival.flags.assign(register.flag, register.set);
            }
        }
    }

    fn expunge(&mut self, id: MessageId) {
        if let Some(tombstone) = self.state.tombstones.find_mut(id) {
            tombstone.at = tombstone.at.max(self.stamp);
            if let Some(uid) = tombstone.uid {
                self.spend(uid, self.written);
            }
            return;
        }
        let mut modseq = self.written;
        let (content, uid) = if let Some(message) = self.state.take(id) {
            modseq = self.visible(id);
            (message.content, Some(message.uid))
        } else {
            let pending = Arc::make_mut(&mut self.state.pending).remove(&id);
            let pending = pending.unwrap_or_default();
            if let Some(uid) = pending.claimed
                && self.state.reserved.get(&uid) == Some(&id)
            {
                Arc::make_mut(&mut self.state.reserved).remove(&uid);
            }
            let content = pending.arrival.map(|arrival| arrival.content);
            (content.unwrap_or(ContentId([0; 16])), pending.claimed)
        };
        if let Some(uid) = uid {
            self.spend(uid, modseq);
        }
        self.state.tombstones.insert(Tombstone {
            id,
            content,
            at: self.stamp,
            uid,
        });
    }

    /// What is known of a message without UID.
    fn pending(&mut self, id: MessageId) -> &mut Pending {
        Arc::make_mut(&mut self.state.pending)
            .entry(id)
            .or_default()
    }
}

fn recount(count: &mut usize, before: bool, after: bool) {
    match (before, after) {
        (false, true) => *count += 1,
        (true, false) => *count -= 1,
        _ => {}
    }
}
