//! The state of a mailbox: what the operations of its log add up to.
//!
//! A state that was shown is never changed: connections hold it in an `Arc`, and a
//! change makes a new one that shares all blocks it does not touch. How operations
//! change it is in [`merge`](super::merge).

use super::blocks::{Keyed, SortedBlocks};
use super::clock::Stamp;
use super::gone::{EXACT_CHANGES, GoneUids};
use super::history::History;
use super::last::LastOnes;
use super::message::{FlagBit, FlagSet, Message, Registers};
use super::told_again::ToldAgain;
use super::{ContentId, Flag, Keyword, MessageId, ModSeq, Uid, UidValidity, WriterId};
use crate::account::InternalDate;
use crate::seal::ContentKind;
use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A mailbox at one moment.
#[derive(Clone)]
pub struct MailboxState {
    pub(super) uid_validity: UidValidity,
    /// The next UID to be claimed; 0 when there are none left.
    pub(super) uid_next: u32,
    pub(super) recent_from: Uid,
    pub(super) highest_modseq: ModSeq,
    /// By how much that is ahead of the number of changes.
    pub(super) lead: u64,
    /// The batches that made the changes.
    pub(super) history: Arc<History>,
    /// What changed with one MODSEQ and has another; nothing, in a state that is shown.
    pub(super) told_again: ToldAgain,
    /// Messages that have a UID.
    pub(super) messages: SortedBlocks<Message>,
    /// The UID of each of them.
    pub(super) ids: SortedBlocks<Numbered>,
    /// Messages that have no UID, and claims or flags that came before their message.
    pub(super) pending: Arc<BTreeMap<MessageId, Pending>>,
    /// Claims among `pending` that hold if the message comes.
    pub(super) reserved: Arc<BTreeMap<Uid, MessageId>>,
    /// UIDs that were claimed and name nothing any more.
    pub(super) gone: GoneUids,
    /// Messages that were expunged.
    pub(super) tombstones: SortedBlocks<Tombstone>,
    /// How the last ones of them were.
    pub(super) last: LastOnes,
    pub(super) keywords: Arc<Vec<Keyword>>,
    /// Those who changed flags, for [`Register::writer`](super::message::Register).
    pub(super) writers: Arc<Vec<WriterId>>,
    pub(super) unseen: usize,
    pub(super) deleted: usize,
    pub(super) size_total: u64,
}

/// Where a message is in the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) id: MessageId,
    pub(super) uid: Uid,
}

/// A message that was expunged; whoever sweeps finds here what nobody names any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) id: MessageId,
    /// Zero as long as the message itself was not seen.
    pub(crate) content: ContentId,
    /// When it was expunged.
    pub(crate) at: Stamp,
    /// Its last UID.
    pub(crate) uid: Option<Uid>,
}

/// What is known of a message without UID.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Pending {
    /// The highest UID claimed for it.
    pub(super) claimed: Option<Uid>,
    pub(super) arrival: Option<Arrival>,
    pub(super) modseq: ModSeq,
    pub(super) registers: Registers,
}

/// What a message brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) content: ContentId,
    pub(super) kind: ContentKind,
    pub(super) size: u64,
    pub(super) summary_offset: u64,
    pub(super) summary_len: u32,
    pub(super) internal_date: InternalDate,
    /// With the registers applied.
    pub(super) flags: FlagSet,
}

impl Tombstone {
    /// Whether the message itself was seen, not only that it was expunged.
    pub(crate) fn was_seen(&self) -> bool {
        self.content != ContentId([0; 16])
    }
}

impl Keyed for Numbered {
    type Key = MessageId;
    fn key(&self) -> MessageId {
        self.id
    }
}

impl Keyed for Tombstone {
    type Key = MessageId;
    fn key(&self) -> MessageId {
        self.id
    }
}

impl MailboxState {
    /// A mailbox that was just created.
    pub(crate) fn new(uid_validity: UidValidity) -> Self {
        Self {
            uid_validity,
            uid_next: Uid::FIRST.get(),
            recent_from: Uid::FIRST,
            // RFC 7162 §3.1.2.1 wants a positive number even of an empty mailbox.
            highest_modseq: ModSeq(1),
            lead: 0,
            history: Arc::default(),
            told_again: ToldAgain::default(),
            messages: SortedBlocks::default(),
            ids: SortedBlocks::default(),
            pending: Arc::default(),
            reserved: Arc::default(),
            gone: GoneUids::default(),
            tombstones: SortedBlocks::default(),
            last: LastOnes::default(),
            keywords: Arc::default(),
            writers: Arc::default(),
            unseen: 0,
            deleted: 0,
            size_total: 0,
        }
    }

    /// UIDVALIDITY: the same as long as the mailbox exists.
    #[must_use]
    pub fn uid_validity(&self) -> UidValidity {
        self.uid_validity
    }

    /// UIDNEXT: the next message gets this UID or a higher one.
    #[must_use]
    pub fn uid_next(&self) -> Uid {
        Uid::new(self.uid_next).unwrap_or(Uid(core::num::NonZeroU32::MAX))
    }

    /// HIGHESTMODSEQ (RFC 7162 §3.1.2.1).
    #[must_use]
    pub fn highest_modseq(&self) -> ModSeq {
        self.highest_modseq
    }

    /// Messages from this UID on are `\Recent`: no session was told of them yet.
    #[must_use]
    pub fn recent_from(&self) -> Uid {
        self.recent_from
    }

    /// Number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message at `index`, from 0, in the order of UIDs.
    #[must_use]
    pub fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    /// The message with this UID.
    #[must_use]
    pub fn find(&self, uid: Uid) -> Option<&Message> {
        self.messages.find(uid)
    }

    /// The index of the message with this UID.
    ///
    /// # Errors
    /// Where it would be, if there is none: the index of the next higher one.
    pub fn position(&self, uid: Uid) -> Result<usize, usize> {
        self.messages.position(uid)
    }

    /// Messages from `index` on, in the order of UIDs.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = &Message> {
        self.messages.iter_from(index)
    }

    /// Messages, with their indices, of parts that `other` does not share: those that are another
    /// one there or none, and a few more.
    pub(crate) fn unshared<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (usize, &'a Message)> + 'a {
        self.messages.unshared(&other.messages)
    }

    /// All keywords that occur or did occur.
    #[must_use]
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// The same, to be kept.
    pub(crate) fn keyword_list(&self) -> &Arc<Vec<Keyword>> {
        &self.keywords
    }

    /// Whether a message of this state has the flags of one of another state, where keywords may stand in
    /// another order.
    pub(super) fn flags_alike(&self, one: &Message, other: &Self, two: &Message) -> bool {
        if self.flags(one).eq(other.flags(two)) {
            return true;
        }
        let [mut ours, mut theirs]: [Vec<Flag>; 2] =
            [self.flags(one).collect(), other.flags(two).collect()];
        ours.sort_unstable();
        theirs.sort_unstable();
        ours == theirs
    }

    /// Whether so many new ones fit where a mailbox may have `max`.
    pub(crate) fn has_room_for_keywords(&self, new: usize, max: usize) -> bool {
        let max = max.min(FlagBit::COUNT - FlagBit::FIRST_KEYWORD);
        self.keywords.len() + new <= max || self.used_keywords() + new <= max
    }

    /// The flags of one of the messages.
    pub fn flags(&self, message: &Message) -> impl Iterator<Item = Flag> {
        message.flags.flags(&self.keywords)
    }

    /// The flag of a bit.
    #[must_use]
    pub fn flag(&self, bit: FlagBit) -> Option<Flag> {
        bit.flag(&self.keywords)
    }

    /// The bit of a flag; `None` for a keyword that no message ever had.
    #[must_use]
    pub fn bit(&self, flag: &Flag) -> Option<FlagBit> {
        FlagBit::of(flag, &self.keywords)
    }

    /// Number of messages without `\Seen`.
    #[must_use]
    pub fn unseen_count(&self) -> usize {
        self.unseen
    }

    /// Index of the first message without `\Seen`.
    #[must_use]
    pub fn first_unseen(&self) -> Option<usize> {
        if self.unseen == 0 {
            return None;
        }
        self.messages
            .iter()
            .position(|message| !message.flags.seen())
    }

    /// Number of messages with `\Deleted`.
    #[must_use]
    pub fn deleted_count(&self) -> usize {
        self.deleted
    }

    /// Octets of all messages together (RFC 8438).
    #[must_use]
    pub fn size_total(&self) -> u64 {
        self.size_total
    }

    /// UIDs that ceased to name a message after `modseq`, ascending (RFC 7162 §3.2.10); if
    /// that is long ago, some that did so before as well.
    pub fn expunged_since(&self, modseq: ModSeq) -> impl Iterator<Item = Uid> {
        self.gone.since(modseq)
    }

    /// This state for a client that was shown these messages, `uids`, ascending, and all
    /// changes up to `known`: no others are in it, and of those that were expunged since, the
    /// second value, only the UIDs. `None` if this state is older than what it was shown.
    pub(crate) fn as_shown(
        self: &Arc<Self>,
        uids: impl Iterator<Item = Uid>,
        known: ModSeq,
    ) -> Option<(Arc<Self>, Vec<Uid>)> {
        if self.highest_modseq < known {
            return None;
        }
        let (mut shown, mut lost) = (Vec::new(), Vec::new());
        let mut here = self.messages.iter().peekable();
        for uid in uids {
            while here.next_if(|message| message.uid < uid).is_some() {}
            if let Some(message) = here.next_if(|message| message.uid == uid) {
                shown.push(message.clone());
            } else {
                self.gone.find(uid)?;
                shown.push(Message::lost(uid));
                lost.push(uid);
            }
        }
        if lost.is_empty() && shown.len() == self.len() && self.highest_modseq == known {
            return Some((Arc::clone(self), lost));
        }
        let shown = Self {
            messages: SortedBlocks::from_sorted(shown)?,
            highest_modseq: known,
            ..Self::clone(self)
        };
        Some((Arc::new(shown), lost))
    }

    /// The next UID that may be claimed; `None` when there are none left.
    pub(crate) fn next_claim(&self) -> Option<Uid> {
        Uid::new(self.uid_next)
    }

    /// Messages that wait for a UID.
    pub(crate) fn unnumbered(&self) -> impl Iterator<Item = MessageId> {
        self.pending
            .iter()
            .filter(|(id, pending)| {
                pending.arrival.is_some()
                    && pending
                        .claimed
                        .is_none_or(|uid| self.reserved.get(&uid) != Some(*id))
            })
            .map(|(id, _)| *id)
    }

    /// The UID of a message; its last one, if it was expunged.
    pub(crate) fn last_uid(&self, id: MessageId) -> Option<Uid> {
        match self.ids.find(id) {
            Some(numbered) => Some(numbered.uid),
            None => self.tombstones.find(id)?.uid,
        }
    }

    /// Whether it is known that this message was expunged.
    pub(crate) fn was_expunged(&self, id: MessageId) -> bool {
        self.tombstones.find(id).is_some()
    }

    /// Whether this message has come, be it here, without UID, or expunged.
    pub(crate) fn knows(&self, id: MessageId) -> bool {
        let pending = self.pending.get(&id);
        self.ids.find(id).is_some()
            || self.was_expunged(id)
            || pending.is_some_and(|pending| pending.arrival.is_some())
    }

    /// The content of a message that is here, also of one that waits for a UID.
    pub(crate) fn content_of(&self, id: MessageId) -> Option<ContentId> {
        match self.ids.find(id) {
            Some(numbered) => Some(self.find(numbered.uid)?.content),
            None => Some(self.pending.get(&id)?.arrival?.content),
        }
    }

    /// The contents of all messages, also of those that wait for a UID.
    pub(crate) fn contents(&self) -> impl Iterator<Item = ContentId> {
        let waiting = self.pending.values();
        let waiting = waiting.filter_map(|pending| Some(pending.arrival?.content));
        let here = self.messages.iter().map(|message| message.content);
        here.chain(waiting)
    }

    /// Messages that were expunged.
    pub(crate) fn tombstones(&self) -> impl Iterator<Item = &Tombstone> {
        self.tombstones.iter()
    }

    /// Those of these messages of which it is still known that they were here and were
    /// expunged.
    pub(crate) fn forgettable(&self, messages: &[MessageId]) -> impl Iterator<Item = MessageId> {
        let known = |id: &MessageId| self.tombstones.find(*id).is_some_and(Tombstone::was_seen);
        messages.iter().copied().filter(known)
    }

    /// Which UIDs went with each change after this one is stored exactly.
    pub(super) fn exact_after(&self) -> ModSeq {
        ModSeq(self.highest_modseq.0.saturating_sub(EXACT_CHANGES))
    }

    /// Notes that sessions were told of messages below `uid`.
    pub(crate) fn take_recent(&mut self, uid: Uid) {
        self.recent_from = self.recent_from.max(uid);
    }
}

impl fmt::Debug for MailboxState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxState")
            .field("uid_validity", &self.uid_validity.0)
            .field("uid_next", &self.uid_next)
            .field("highest_modseq", &self.highest_modseq.0)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
