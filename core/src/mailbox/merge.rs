//! How operations change a mailbox.
//!
//! Operations of several servers come in any order, and all servers must end with the
//! same state. So each kind is made to commute: a message arrives once, with all flags that
//! it came with where several servers moved it, an expunged one never comes back, of two changes of a flag the later stamp wins, and UIDs are
//! *claimed*: the set of claims only grows, and who owns a UID follows from the set.
//!
//! - A UID that two messages claim is **burned**: it names neither, for ever.
//! - Of several UIDs that one message claims, the highest is its own; the others are gone.
//! - A message whose own UID is burned has none and must claim again
//!   ([`MailboxState::unnumbered`](super::MailboxState)).
//!
//! A server that has already shown a state merges above its [`Floor`]: what comes late
//! may not appear below UIDNEXT.
//! What MODSEQ each change gets is in [`modseq`](super::modseq).

use super::claims::Owed;
use super::clock::Stamp;
use super::message::{FlagBit, FlagSet, Message, Register, Registers, merge_register};
use super::operation::{Batch, Operation};
use super::state::{Arrival, Numbered, Pending, Tombstone};
use super::{ContentId, Flag, MailboxState, MessageId, ModSeq, Uid, WriterId};
use crate::account::NewMessage;
use std::sync::Arc;

/// What clients of this server have been shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    /// HIGHESTMODSEQ may not go below.
    pub(crate) modseq: ModSeq,
    /// New messages must have this UID or a higher one; 0: nothing was shown.
    pub(crate) uid_next: u32,
}

/// One batch on its way into a state.
struct Merge<'a> {
    state: &'a mut MailboxState,
    floor: Floor,
    modseq: ModSeq,
    /// Whether it counts among the changes.
    counts: bool,
    /// Whether others are known already that knew of it.
    late: bool,
    stamp: Stamp,
    writer: u32,
    /// Where messages go whose change must be written once more.
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
        let counts = Batch::is_change(&batch.operations);
        let late = counts && self.count_in(writer, batch);
        let mut merge = Merge {
            writer: self.writer_index(writer, &batch.operations),
            modseq: self.highest_modseq,
            state: self,
            floor,
            counts,
            late,
            stamp: batch.stamp,
            owed,
        };
        for operation in &batch.operations {
            merge.operation(operation);
        }
    }

    /// Leaves out everything that may have been shown to clients before.
    pub(super) fn stay_above(&mut self, floor: Floor) {
        self.raise(floor.modseq);
        if self.uid_next != 0 {
            self.uid_next = self.uid_next.max(floor.uid_next);
        }
    }

    /// Makes this state, read afresh from storage, fit to follow `shown`. It needs nothing
    /// if it contains what was shown. If that was in part taken back, which storage does
    /// with what it has not acknowledged, the difference is stamped anew.
    pub(super) fn follow(&mut self, shown: &Self, owed: &mut Owed) {
        let floor = shown.floor();
        self.stay_above(floor);
        let changed: Vec<(MessageId, Uid, bool)> = self
            .messages
            .iter()
            .filter_map(|message| {
                let is_new = message.modseq > floor.modseq;
                match shown.messages.find(message.uid) {
                    None => {
                        let below = message.uid.get() < floor.uid_next;
                        (below || !is_new).then_some((message.id, message.uid, below))
                    }
                    Some(old) => {
                        let same = is_new || shown.flags_alike(old, self, message);
                        (!same).then_some((message.id, message.uid, false))
                    }
                }
            })
            .collect();
        let vanished = |message: &&Message| {
            let gone = self.gone.find(message.uid);
            let is_new = gone.is_some_and(|modseq| modseq > floor.modseq);
            !is_new && self.messages.find(message.uid).is_none()
        };
        let vanished: Vec<(MessageId, Uid)> = shown
            .messages
            .iter()
            .filter(vanished)
            .map(|message| (message.id, message.uid))
            .collect();
        if !changed.is_empty() || !vanished.is_empty() {
            self.stamp_anew(floor, &changed, &vanished, owed);
        }
        self.renumber();
    }

    fn stamp_anew(
        &mut self,
        floor: Floor,
        changed: &[(MessageId, Uid, bool)],
        vanished: &[(MessageId, Uid)],
        owed: &mut Owed,
    ) {
        self.raise(ModSeq(self.highest_modseq.0 + 1));
        let modseq = self.highest_modseq;
        let mut merge = Merge {
            state: self,
            floor,
            modseq,
            counts: true,
            late: false,
            stamp: Stamp::default(),
            writer: 0,
            owed,
        };
        for (id, uid, below) in changed {
            if *below {
                merge.disown(*id, *uid);
            }
            merge.owed.late(*id);
            merge.touch(*uid);
        }
        for (id, uid) in vanished {
            if merge.state.tombstones.find(*id).is_some() {
                merge.owed.late(*id);
            }
            merge.spend(*uid);
        }
    }

    /// Makes positions and MODSEQs right after a number of batches.
    pub(crate) fn renumber(&mut self) {
        self.tell_again();
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

    /// Forgets that a message was expunged. One that was expunged before it came is still
    /// waited for.
    fn forget(&mut self, id: MessageId) {
        if self.tombstones.find(id).is_some_and(Tombstone::was_seen) {
            self.tombstones.remove(id);
            self.last.remove(id);
        }
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
        if self.late {
            self.note_late(operation);
        }
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
            Operation::Forget { messages } => {
                for message in messages {
                    self.state.forget(*message);
                }
            }
        }
    }

    /// Somebody has been told a state that should have contained this and did not.
    fn note_late(&mut self, operation: &Operation) {
        match operation {
            Operation::Arrive { message, .. } => self.owed.late(*message),
            Operation::Claim { message, uid } => self.owed.late_claim(*message, *uid),
            Operation::SetFlags { messages, .. } | Operation::Expunge { messages } => {
                messages.iter().for_each(|message| self.owed.late(*message));
            }
            Operation::RecentFrom { .. } | Operation::Forget { .. } => {}
        }
    }

    fn arrive(&mut self, id: MessageId, new: &NewMessage) {
        if let Some(tombstone) = self.state.tombstones.find(id) {
            if !tombstone.was_seen()
                && let Some(tombstone) = self.state.tombstones.find_mut(id)
            {
                tombstone.content = new.content;
                let last = MailboxState::last_of_arrival(id, new);
                self.state.keep_last(last);
            }
            return;
        }
        let known = self.state.pending.get(&id);
        if self.state.ids.find(id).is_some() || known.is_some_and(|it| it.arrival.is_some()) {
            // Who has no keys moves nothing, and changes no message that is there.
            if self.stamp != Stamp::default() {
                self.arrive_again(id, &new.flags);
            }
            return;
        }
        let mut arrival = Arrival {
            content: new.content,
            kind: new.kind,
            size: new.size,
            summary_offset: new.summary_offset,
            summary_len: new.summary_len,
            internal_date: new.internal_date,
            flags: FlagSet::default(),
        };
        self.state.make_room(new.flags.iter());
        for flag in &new.flags {
            if let Some(bit) = self.state.intern(flag) {
                arrival.flags.assign(bit, true);
            }
        }
        let modseq = self.modseq;
        let pending = self.pending(id);
        for register in pending.registers.as_deref().unwrap_or_default() {
            arrival.flags.assign(register.flag, register.set);
        }
        pending.arrival = Some(arrival);
        pending.modseq = modseq;
        if let Some(uid) = pending.claimed
            && self.state.reserved.get(&uid) == Some(&id)
        {
            self.own(id, uid);
        }
    }

    /// Two servers have moved one message here at the same time, each with the flags that it saw: it has
    /// both, but for those that were changed since.
    fn arrive_again(&mut self, id: MessageId, flags: &[Flag]) {
        self.state.make_room(flags.iter());
        let flags = flags.iter().filter_map(|flag| self.state.intern(flag));
        let flags: Vec<FlagBit> = flags.collect();
        let add = |to: &mut FlagSet, registers: &Registers| {
            let registers = registers.as_deref().unwrap_or_default();
            let before = *to;
            for flag in &flags {
                if registers.iter().all(|register| register.flag != *flag) {
                    to.assign(*flag, true);
                }
            }
            *to != before
        };
        let Some(uid) = self.state.ids.find(id).map(|numbered| numbered.uid) else {
            let pending = self.pending(id);
            if let Some(arrival) = &mut pending.arrival {
                add(&mut arrival.flags, &pending.registers);
            }
            return;
        };
        let Some(message) = self.state.messages.find_mut(uid) else {
            return;
        };
        let before = message.flags;
        if !add(&mut message.flags, &message.registers) {
            return;
        }
        let after = message.flags;
        recount(&mut self.state.unseen, !before.seen(), !after.seen());
        recount(&mut self.state.deleted, before.deleted(), after.deleted());
        self.count_beside(id);
        self.touch(uid);
    }

    /// Something changes that no change stands for which counts: it gets a MODSEQ of its own.
    fn count_beside(&mut self, id: MessageId) {
        if !self.counts {
            self.state.raise(ModSeq(self.modseq.0 + 1));
            self.modseq = self.state.highest_modseq;
            self.owed.late(id);
        }
    }

    fn claim(&mut self, id: MessageId, uid: Uid) {
        let after = uid.get().checked_add(1).unwrap_or(0);
        if self.state.uid_next != 0 && (after == 0 || after > self.state.uid_next) {
            self.state.uid_next = after;
        }
        let owner = self.state.owner(uid);
        if owner == Some(id) {
            return self.touch(uid);
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
            return self.spend(uid);
        }
        if current >= Some(uid) {
            return self.spend(uid);
        }
        if let Some(current) = current {
            self.disown(id, current);
        }
        let modseq = self.modseq;
        let pending = self.pending(id);
        pending.claimed = Some(uid);
        pending.modseq = modseq;
        if !free {
            return self.spend(uid);
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
            return self.spend(uid);
        }
        let Some(pending) = Arc::make_mut(&mut self.state.pending).remove(&id) else {
            return;
        };
        let Some(arrival) = pending.arrival else {
            return;
        };
        // It was claimed before it came, and nobody who has read the claim was told of the message.
        self.count_beside(id);
        self.state.put(Message {
            uid,
            id,
            content: arrival.content,
            kind: arrival.kind,
            size: arrival.size,
            summary_offset: arrival.summary_offset,
            summary_len: arrival.summary_len,
            internal_date: arrival.internal_date,
            modseq: self.modseq,
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
            return self.spend(uid);
        };
        self.spend(uid);
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
            modseq: self.modseq,
            registers: message.registers,
        };
        Arc::make_mut(&mut self.state.pending).insert(id, pending);
    }

    /// The message at a UID has changed, or may have.
    fn touch(&mut self, uid: Uid) {
        let modseq = self.modseq;
        if let Some(message) = self.state.messages.find_mut(uid) {
            message.modseq = modseq;
        }
    }

    /// A UID names nothing any more.
    fn spend(&mut self, uid: Uid) {
        self.state.gone.insert(uid, self.modseq);
    }

    fn set_flags(&mut self, ids: &[MessageId], changes: &[(Flag, bool)]) {
        self.state.make_room(changes.iter().map(|(flag, _)| flag));
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
            message.modseq = self.modseq;
            let after = message.flags;
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
        let modseq = self.modseq;
        let pending = self.pending(id);
        pending.modseq = modseq;
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
                self.spend(uid);
            }
            return;
        }
        let (content, uid, last) = if let Some(message) = self.state.take(id) {
            let last = (message.internal_date, message.flags);
            (message.content, Some(message.uid), Some(last))
        } else {
            let pending = Arc::make_mut(&mut self.state.pending).remove(&id);
            let pending = pending.unwrap_or_default();
            if let Some(uid) = pending.claimed
                && self.state.reserved.get(&uid) == Some(&id)
            {
                Arc::make_mut(&mut self.state.reserved).remove(&uid);
            }
            let content = pending.arrival.map(|arrival| arrival.content);
            let last = pending.arrival.map(|it| (it.internal_date, it.flags));
            let content = content.unwrap_or(ContentId([0; 16]));
            (content, pending.claimed, last)
        };
        if let Some(uid) = uid {
            self.spend(uid);
        }
        self.state.tombstones.insert(Tombstone {
            id,
            content,
            at: self.stamp,
            uid,
        });
        if let Some((date, flags)) = last {
            let last = self.state.last_of(id, date, flags);
            self.state.keep_last(last);
        }
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
