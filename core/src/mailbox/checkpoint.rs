//! Checkpoints: the state of a log and which of its items are contained in it, in one
//! object, so that the log behind it may be forgotten.
//!
//! A **pointer** is an item in the log's own partition whose sort key begins with `#`
//! and so comes before the log's items: one read brings both. The pointer repeats the
//! version vector, so that whoever has the state already need not read the object to
//! know that it contains nothing new.

use super::blocks::{Keyed, SortedBlocks};
use super::clock::Stamp;
use super::encoding::{DecodeError, Decoder, Encoder};
use super::history::{BatchId, History};
use super::log::LogState;
use super::merge::Floor;
use super::message::{FlagBit, FlagSet, Message, Register, Registers};
use super::operation::{decode_date, decode_kind, decode_uid, encode_date};
use super::state::{Arrival, Gone, Numbered, Pending, Tombstone};
use super::version_vector::VersionVector;
use super::{ContentId, Keyword, MailboxState, MessageId, ModSeq, Uid, UidValidity, WriterId};
use core::num::NonZeroU32;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Version of pointers.
const POINTER_VERSION: u8 = 1;

/// The first version of mailboxes' checkpoints that say which batches knew of which.
pub(super) const VERSION_WITH_HISTORY: u8 = 3;
/// The first version that says which batches are missing; written only where some are, so
/// that a server of before reads all others.
pub(super) const VERSION_WITH_MISSING: u8 = 4;
/// The first version that says how messages were that are expunged; written only where some
/// are.
pub(super) const VERSION_WITH_LAST: u8 = 5;

/// What the pointer item says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointPointer {
    /// The object.
    pub(crate) content: ContentId,
    /// Octets of its plaintext.
    pub(crate) bytes: u64,
    /// What clients were shown, should the object be lost.
    pub(crate) floor: Floor,
    /// What it contains.
    pub(crate) covered: VersionVector,
}

impl CheckpointPointer {
    /// The encoded form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(POINTER_VERSION);
        encoder.array(&self.content.0);
        encoder.number(self.bytes);
        encoder.number(self.floor.modseq.0);
        encoder.number(u64::from(self.floor.uid_next));
        self.covered.encode(&mut encoder);
        encoder.finish()
    }

    /// Reads the encoded form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes, POINTER_VERSION)?;
        let pointer = Self {
            content: ContentId(decoder.array()?),
            bytes: decoder.number()?,
            floor: Floor {
                modseq: decoder.modseq()?,
                uid_next: decoder.number32()?,
            },
            covered: VersionVector::decode(&mut decoder)?,
        };
        decoder.finish()?;
        Ok(pointer)
    }
}

/// Which bits and writers are in use, and what they become: keywords that no message has
/// any more are left behind, and so are writers whose changes are all overwritten. Each
/// run of a server is a writer, so they would become more and more.
struct BitMap {
    used: Vec<FlagBit>,
    /// Ascending.
    writers: Vec<u32>,
}

impl BitMap {
    fn new(state: &MailboxState) -> Self {
        let mut used = [false; FlagBit::COUNT];
        let mut writers = BTreeSet::new();
        let mut note = |flags: FlagSet, registers: &Registers| {
            for bit in flags.bits() {
                used[usize::from(bit.0)] = true;
            }
            for register in registers.as_deref().unwrap_or_default() {
                used[usize::from(register.flag.0)] = true;
                writers.insert(register.writer);
            }
        };
        for message in state.messages.iter() {
            note(message.flags, &message.registers);
        }
        for pending in state.pending.values() {
            let flags = pending.arrival.map(|arrival| arrival.flags);
            note(flags.unwrap_or_default(), &pending.registers);
        }
        used[..FlagBit::FIRST_KEYWORD].fill(true);
        let used = (0u8..).zip(used).filter(|(_, used)| *used);
        Self {
            used: used.map(|(bit, _)| FlagBit(bit)).collect(),
            writers: writers.into_iter().collect(),
        }
    }

    fn writers<'a>(&'a self, state: &'a MailboxState) -> impl Iterator<Item = &'a WriterId> {
        let writers = self.writers.iter();
        writers.filter_map(|writer| state.writers.get(*writer as usize))
    }

    fn stored_writer(&self, writer: u32) -> u64 {
        let place = self.writers.binary_search(&writer);
        place.expect("every writer of a register was noted") as u64
    }

    fn keywords<'a>(&'a self, state: &'a MailboxState) -> impl Iterator<Item = &'a Keyword> {
        self.used[FlagBit::FIRST_KEYWORD..]
            .iter()
            .filter_map(|bit| {
                state
                    .keywords
                    .get(usize::from(bit.0) - FlagBit::FIRST_KEYWORD)
            })
    }

    fn stored(&self, bit: FlagBit) -> u8 {
        let place = self.used.binary_search(&bit);
        place.expect("every bit of a message was noted") as u8
    }

    fn flags(&self, flags: FlagSet, encoder: &mut Encoder) {
        encoder.count(flags.bits().count());
        for bit in flags.bits() {
            encoder.byte(self.stored(bit));
        }
    }
}

/// Registers are mostly those of the message before.
const NO_REGISTERS: u64 = 0;
const SAME_REGISTERS: u64 = 1;

fn encode_registers(
    registers: &Registers,
    last: &mut Registers,
    bits: &BitMap,
    encoder: &mut Encoder,
) {
    let Some(some) = registers else {
        return encoder.number(NO_REGISTERS);
    };
    if registers == last {
        return encoder.number(SAME_REGISTERS);
    }
    encoder.number(some.len() as u64 + SAME_REGISTERS);
    for register in some.iter() {
        encoder.byte(bits.stored(register.flag) << 1 | u8::from(register.set));
        encoder.number(bits.stored_writer(register.writer));
        encoder.number(register.stamp.0);
    }
    last.clone_from(registers);
}

fn decode_registers(
    decoder: &mut Decoder<'_>,
    last: &mut Registers,
    writers: usize,
) -> Result<Registers, DecodeError> {
    let count = match decoder.number()? {
        NO_REGISTERS => return Ok(None),
        SAME_REGISTERS if last.is_none() => return Err(DecodeError::Invalid("registers")),
        SAME_REGISTERS => return Ok(last.clone()),
        more => more - SAME_REGISTERS,
    };
    if count > FlagBit::COUNT as u64 {
        return Err(DecodeError::Invalid("registers"));
    }
    let mut registers = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let code = decoder.byte()?;
        let writer = decoder.number32()?;
        if writer as usize >= writers {
            return Err(DecodeError::Invalid("writer"));
        }
        registers.push(Register {
            flag: FlagBit(code >> 1),
            set: code & 1 == 1,
            writer,
            stamp: Stamp(decoder.number()?),
        });
    }
    if !registers.is_sorted_by(|one, two| one.flag < two.flag) {
        return Err(DecodeError::Invalid("registers"));
    }
    *last = Some(registers.into());
    Ok(last.clone())
}

/// What an arrival and a message have in common.
fn encode_arrival(arrival: &Arrival, bits: &BitMap, encoder: &mut Encoder) {
    encoder.array(&arrival.content.0);
    encoder.byte(arrival.kind as u8);
    encoder.number(arrival.size);
    encoder.number(arrival.summary_offset);
    encoder.number(u64::from(arrival.summary_len));
    encode_date(encoder, arrival.internal_date);
    bits.flags(arrival.flags, encoder);
}

fn decode_arrival(decoder: &mut Decoder<'_>, version: u8) -> Result<Arrival, DecodeError> {
    Ok(Arrival {
        content: ContentId(decoder.array()?),
        kind: decode_kind(decoder, version)?,
        size: decoder.number()?,
        summary_offset: decoder.number()?,
        summary_len: decoder.number32()?,
        internal_date: decode_date(decoder)?,
        flags: {
            let mut flags = FlagSet::default();
            for _ in 0..decoder.count(1)? {
                let bit = decoder.byte()?;
                if usize::from(bit) >= FlagBit::COUNT {
                    return Err(DecodeError::Invalid("flag"));
                }
                flags.assign(FlagBit(bit), true);
            }
            flags
        },
    })
}

impl MailboxState {
    /// Appends the encoded form.
    pub(super) fn encode(&self, encoder: &mut Encoder) {
        let bits = BitMap::new(self);
        let mut last = None;
        encoder.number(u64::from(self.uid_validity.0.get()));
        encoder.number(u64::from(self.uid_next));
        encoder.number(u64::from(self.recent_from.get()));
        encoder.number(self.highest_modseq.0);
        encoder.number(self.lead);
        self.history.encode(encoder);
        let version = self.checkpoint_version();
        if version >= VERSION_WITH_MISSING {
            self.history.encode_missing(encoder);
        }
        encoder.count(bits.writers(self).count());
        for writer in bits.writers(self) {
            encoder.array(&writer.0);
        }
        encoder.count(bits.keywords(self).count());
        for keyword in bits.keywords(self) {
            encoder.text(keyword.as_str());
        }
        encoder.count(self.messages.len());
        let mut before = 0;
        for message in self.messages.iter() {
            encoder.number(u64::from(message.uid.get() - before));
            before = message.uid.get();
            encoder.array(&message.id.0);
            encode_arrival(&Arrival::of(message), &bits, encoder);
            encoder.number(message.modseq.0);
            encode_registers(&message.registers, &mut last, &bits, encoder);
        }
        encoder.count(self.pending.len());
        for (id, pending) in self.pending.iter() {
            encoder.array(&id.0);
            let claimed = pending.claimed;
            encoder.number(u64::from(claimed.map_or(0, Uid::get)));
            let holds = claimed.is_some_and(|uid| self.reserved.get(&uid) == Some(id));
            encoder.byte(u8::from(holds) | u8::from(pending.arrival.is_some()) << 1);
            if let Some(arrival) = &pending.arrival {
                encode_arrival(arrival, &bits, encoder);
            }
            encoder.number(pending.modseq.0);
            encode_registers(&pending.registers, &mut last, &bits, encoder);
        }
        encoder.count(self.gone.len());
        before = 0;
        for gone in self.gone.iter() {
            encoder.number(u64::from(gone.uid.get() - before));
            before = gone.uid.get();
            encoder.number(gone.modseq.0);
        }
        encoder.count(self.tombstones.len());
        for tombstone in self.tombstones.iter() {
            encoder.array(&tombstone.id.0);
            encoder.array(&tombstone.content.0);
            encoder.number(tombstone.at.0);
            encoder.number(u64::from(tombstone.uid.map_or(0, Uid::get)));
        }
        if version >= VERSION_WITH_LAST {
            self.encode_last(encoder);
        }
    }

    /// Reads the encoded form.
    pub(super) fn decode(
        decoder: &mut Decoder<'_>,
        version: u8,
        covered: &VersionVector,
    ) -> Result<Self, DecodeError> {
        let uid_validity = NonZeroU32::new(decoder.number32()?);
        let uid_validity = uid_validity.ok_or(DecodeError::Invalid("UIDVALIDITY"))?;
        let mut state = Self::new(UidValidity(uid_validity));
        state.uid_next = decoder.number32()?;
        state.recent_from = decode_uid(decoder)?;
        state.highest_modseq = decoder.modseq()?;
        if state.highest_modseq == ModSeq::default() {
            // No state ever had it, and no batch of a history may.
            return Err(DecodeError::Invalid("HIGHESTMODSEQ"));
        }
        state.history = Arc::new(if version < VERSION_WITH_HISTORY {
            let mut older = Encoder::default();
            covered.encode(&mut older);
            let older = BatchId::of_checkpoint(&older.finish());
            History::after(older, state.highest_modseq)
        } else {
            state.lead = decoder.number()?;
            if state.lead > state.highest_modseq.0 {
                return Err(DecodeError::Invalid("HIGHESTMODSEQ"));
            }
            let mut history = History::decode(decoder)?;
            if version >= VERSION_WITH_MISSING {
                history.decode_missing(decoder)?;
            }
            history
        });
        let mut writers = Vec::new();
        for _ in 0..decoder.count(16)? {
            writers.push(WriterId(decoder.array()?));
        }
        let mut keywords = Vec::new();
        for _ in 0..decoder.count(1)? {
            keywords.push(Keyword::new(decoder.text()?));
        }
        if keywords.len() > FlagBit::COUNT - FlagBit::FIRST_KEYWORD {
            return Err(DecodeError::Invalid("keywords"));
        }
        let mut last = None;
        state.decode_messages(decoder, &mut last, writers.len(), version)?;
        state.decode_pending(decoder, &mut last, writers.len(), version)?;
        state.decode_past(decoder, version)?;
        state.writers = Arc::new(writers);
        state.keywords = Arc::new(keywords);
        Ok(state)
    }

    fn decode_messages(
        &mut self,
        decoder: &mut Decoder<'_>,
        last: &mut Registers,
        writers: usize,
        version: u8,
    ) -> Result<(), DecodeError> {
        let count = decoder.count(40)?;
        let mut before = 0;
        let (mut messages, mut ids) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let uid = next_uid(decoder, &mut before)?;
            let id = MessageId(decoder.array()?);
            let arrival = decode_arrival(decoder, version)?;
            let message = Message {
                uid,
                id,
                content: arrival.content,
                kind: arrival.kind,
                size: arrival.size,
                summary_offset: arrival.summary_offset,
                summary_len: arrival.summary_len,
                internal_date: arrival.internal_date,
                flags: arrival.flags,
                modseq: decoder.modseq()?,
                registers: decode_registers(decoder, last, writers)?,
            };
            self.count(&message, 1);
            messages.push(message);
            ids.push(Numbered { id, uid });
        }
        ids.sort_unstable_by_key(|numbered| numbered.id);
        self.messages = sorted(messages)?;
        self.ids = sorted(ids)?;
        Ok(())
    }

    fn decode_pending(
        &mut self,
        decoder: &mut Decoder<'_>,
        last: &mut Registers,
        writers: usize,
        version: u8,
    ) -> Result<(), DecodeError> {
        let mut all = BTreeMap::new();
        let mut reserved = BTreeMap::new();
        for _ in 0..decoder.count(20)? {
            let id = MessageId(decoder.array()?);
            let claimed = Uid::new(decoder.number32()?);
            let parts = decoder.byte()?;
            if let Some(uid) = claimed.filter(|_| parts & 1 != 0) {
                reserved.insert(uid, id);
            }
            let arrival = (parts & 2 != 0).then(|| decode_arrival(decoder, version));
            let pending = Pending {
                claimed,
                arrival: arrival.transpose()?,
                modseq: decoder.modseq()?,
                registers: decode_registers(decoder, last, writers)?,
            };
            all.insert(id, pending);
        }
        self.pending = Arc::new(all);
        self.reserved = Arc::new(reserved);
        Ok(())
    }

    fn decode_past(&mut self, decoder: &mut Decoder<'_>, version: u8) -> Result<(), DecodeError> {
        let mut before = 0;
        let mut gone = Vec::new();
        for _ in 0..decoder.count(2)? {
            let uid = next_uid(decoder, &mut before)?;
            let modseq = decoder.modseq()?;
            gone.push(Gone { uid, modseq });
        }
        let mut tombstones = Vec::new();
        for _ in 0..decoder.count(34)? {
            tombstones.push(Tombstone {
                id: MessageId(decoder.array()?),
                content: ContentId(decoder.array()?),
                at: Stamp(decoder.number()?),
                uid: Uid::new(decoder.number32()?),
            });
        }
        if version >= VERSION_WITH_LAST {
            self.decode_last(decoder, &tombstones)?;
        }
        self.gone = sorted(gone)?;
        self.tombstones = sorted(tombstones)?;
        Ok(())
    }
}

/// What was written in order.
fn sorted<T: Keyed>(items: Vec<T>) -> Result<SortedBlocks<T>, DecodeError> {
    SortedBlocks::from_sorted(items).ok_or(DecodeError::Invalid("order"))
}

/// UIDs are stored as their distances.
fn next_uid(decoder: &mut Decoder<'_>, before: &mut u32) -> Result<Uid, DecodeError> {
    let step = decoder.number32()?;
    let uid = before.checked_add(step).filter(|_| step > 0);
    let uid = uid.and_then(Uid::new).ok_or(DecodeError::Invalid("UID"))?;
    *before = uid.get();
    Ok(uid)
}

impl Arrival {
    /// What the message brought along, with its flags as they are now.
    pub(super) fn of(message: &Message) -> Self {
        Self {
            content: message.content,
            kind: message.kind,
            size: message.size,
            summary_offset: message.summary_offset,
            summary_len: message.summary_len,
            internal_date: message.internal_date,
            flags: message.flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::tests::arrival;
    use super::super::{Batch, Flag, LogPosition, LogState, Operation};
    use super::*;
    use crate::seal::ContentKind;

    fn state() -> MailboxState {
        let message = |number| MessageId([number; 16]);
        let keyword = |word| Flag::Keyword(Keyword::new(word));
        let arrive = |number: u8, flags: Vec<Flag>| Operation::Arrive {
            message: message(number),
            arrival: crate::account::NewMessage {
                flags,
                ..arrival(number)
            },
        };
        let claim = |number, uid| Operation::Claim {
            message: message(number),
            uid: Uid::new(uid).unwrap(),
        };
        let set = |number: u8, flag, set| Operation::SetFlags {
            messages: vec![message(number)],
            changes: vec![(flag, set)],
        };
        let operations = vec![
            arrive(1, vec![Flag::Seen, keyword("unused")]),
            claim(1, 1),
            arrive(2, vec![keyword("kept")]),
            claim(2, 2),
            arrive(3, vec![]),
            claim(3, 300),
            // Numbered, flagged alike.
            set(2, Flag::Answered, true),
            set(3, Flag::Answered, true),
            set(3, keyword("kept"), true),
            // Expunged; claimed twice; not yet come; without UID.
            Operation::Expunge {
                messages: vec![message(1)],
            },
            arrive(4, vec![Flag::Draft]),
            claim(4, 301),
            claim(5, 301),
            claim(6, 302),
            set(6, Flag::Flagged, true),
            arrive(7, vec![]),
            Operation::RecentFrom {
                uid: Uid::new(300).unwrap(),
            },
        ];
        let mut state = MailboxState::new(UidValidity(NonZeroU32::new(1_800_000_000).unwrap()));
        let batch = Batch {
            stamp: Stamp(0x0123_4567_89ab_0002),
            modseq: ModSeq(9),
            past: None,
            operations,
        };
        state.apply_own(WriterId([8; 16]), &batch);
        state
    }

    fn covered() -> VersionVector {
        let mut covered = VersionVector::default();
        for seq in [0, 1, 5] {
            let writer = WriterId([8; 16]);
            covered.insert(LogPosition { writer, seq });
        }
        covered
    }

    #[test]
    fn version_1_of_checkpoints_is_read_for_ever() {
        let golden = include_bytes!("golden/checkpoint-1.bin");
        let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
        assert_eq!(contained, covered());
        assert_eq!(decoded.message(1).unwrap().kind, ContentKind::Message);
        let expected = state();
        assert_eq!(decoded.len(), 2);
        assert_eq!(decoded.unseen_count(), expected.unseen_count());
        assert_eq!(decoded.size_total(), expected.size_total());
        assert!(decoded.unnumbered().eq(expected.unnumbered()));
        assert_eq!(decoded.pending.len(), expected.pending.len());
        assert_eq!(decoded.reserved, expected.reserved);
        // The keyword that only an expunged message had is left behind.
        assert_eq!(decoded.keywords(), [Keyword::new("kept")]);
        let flags = |state: &MailboxState, index| {
            let message = state.message(index).unwrap();
            state.flags(message).collect::<Vec<_>>()
        };
        assert_eq!(flags(&decoded, 1), flags(&expected, 1));
    }

    /// With messages that were delivered, one of them still without UID.
    fn with_deliveries() -> MailboxState {
        let mut state = state();
        let delivered = |id, number| Operation::Arrive {
            message: MessageId([id; 16]),
            arrival: crate::account::NewMessage {
                kind: ContentKind::Delivery,
                ..arrival(number)
            },
        };
        let claim = Operation::Claim {
            message: MessageId([20; 16]),
            uid: Uid::new(400).unwrap(),
        };
        let batch = Batch {
            stamp: Stamp(0x0123_4567_89ab_0003),
            modseq: ModSeq(10),
            past: None,
            operations: vec![delivered(20, 20), claim, delivered(21, 21)],
        };
        state.apply_own(WriterId([8; 16]), &batch);
        state
    }

    #[test]
    fn version_2_of_checkpoints_says_how_messages_are_sealed() {
        let golden = include_bytes!("golden/checkpoint-2.bin");
        let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
        assert_eq!(contained, covered());
        assert_eq!(decoded.highest_modseq(), with_deliveries().highest_modseq());
        let kinds: Vec<_> = decoded.iter_from(0).map(|message| message.kind).collect();
        let own = ContentKind::Message;
        assert_eq!(kinds, [own, own, ContentKind::Delivery]);
        let waiting = decoded.pending[&MessageId([21; 16])].arrival.unwrap();
        assert_eq!(waiting.kind, ContentKind::Delivery);
    }

    #[test]
    fn version_3_of_checkpoints_says_which_batches_knew_of_which() {
        let mut state = with_deliveries();
        state.stay_above(Floor {
            modseq: ModSeq(50),
            uid_next: 0,
        });
        let modseq = ModSeq(51);
        let past = state.past(modseq);
        let flag = |past| Batch {
            stamp: Stamp(0x0123_4567_89ab_0004),
            modseq,
            past,
            operations: vec![Operation::SetFlags {
                messages: vec![MessageId([2; 16])],
                changes: vec![(Flag::Seen, true)],
            }],
        };
        state.apply_own(WriterId([9; 16]), &flag(Some(past)));
        // As it was written before it was kept how messages were.
        state.last = SortedBlocks::default();
        let golden = include_bytes!("golden/checkpoint-3.bin");
        assert_eq!(state.encode_checkpoint(&covered()), golden);
        let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
        assert_eq!(decoded.encode_checkpoint(&contained), golden);
        assert_eq!(decoded.highest_modseq(), state.highest_modseq());
        assert_eq!(decoded.past(ModSeq(52)), state.past(ModSeq(52)));
    }

    #[test]
    fn version_4_of_checkpoints_says_which_batches_are_missing() {
        let (mut state, contained) =
            MailboxState::decode_checkpoint(include_bytes!("golden/checkpoint-3.bin")).unwrap();
        let modseq = ModSeq(52);
        let mut past = state.past(modseq);
        let withheld = BatchId::of(WriterId([10; 16]), Stamp(0x0123_4567_89ab_0005));
        past.heads.push(withheld);
        let batch = Batch {
            stamp: Stamp(0x0123_4567_89ab_0006),
            modseq,
            past: Some(past),
            operations: vec![Operation::Expunge {
                messages: vec![MessageId([2; 16])],
            }],
        };
        state.apply_own(WriterId([11; 16]), &batch);
        assert_eq!(state.missing(), [withheld]);
        // As it was written before it was kept how messages were.
        state.last = SortedBlocks::default();
        let golden = include_bytes!("golden/checkpoint-4.bin");
        assert_eq!(state.encode_checkpoint(&contained), golden);
        let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
        assert_eq!(decoded.missing(), [withheld]);
        assert_eq!(decoded.encode_checkpoint(&contained), golden);
    }

    #[test]
    fn version_5_of_checkpoints_says_how_messages_were_that_are_expunged() {
        let (mut state, contained) =
            MailboxState::decode_checkpoint(include_bytes!("golden/checkpoint-3.bin")).unwrap();
        assert_eq!(state.last.len(), 0);
        let expunge = |state: &MailboxState, number: u8| {
            let modseq = ModSeq(52 + u64::from(number));
            Batch {
                stamp: Stamp(0x0123_4567_89ab_0010 + u64::from(number)),
                modseq,
                past: Some(state.past(modseq)),
                operations: vec![Operation::Expunge {
                    messages: vec![MessageId([number; 16])],
                }],
            }
        };
        // With its keyword, which no message has any more; one without UID; one that has not
        // come yet.
        for number in [2, 3, 4, 9] {
            let batch = expunge(&state, number);
            state.apply_own(WriterId([9; 16]), &batch);
        }
        let golden = include_bytes!("golden/checkpoint-5.bin");
        assert_eq!(state.encode_checkpoint(&contained), golden);
        let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
        assert_eq!(decoded.encode_checkpoint(&contained), golden);
        let last = |number| decoded.last(MessageId([number; 16]));
        let flags = |number| last(number).unwrap().flags.to_vec();
        let kept = Flag::Keyword(Keyword::new("kept"));
        assert_eq!(flags(2), [Flag::Answered, Flag::Seen, kept.clone()]);
        assert_eq!(flags(3), [Flag::Answered, kept]);
        assert_eq!(flags(4), [Flag::Draft]);
        assert_eq!(last(2).unwrap().internal_date, arrival(2).internal_date);
        assert_eq!((last(1), last(9)), (None, None), "nobody knows");
        assert!(decoded.keywords().is_empty());
    }

    #[test]
    fn how_many_messages_were_is_kept_of_the_last_ones_only() {
        let mut state = MailboxState::new(UidValidity(NonZeroU32::new(1).unwrap()));
        let id = |number: u32| {
            let mut id = [0; 16];
            // Not in the order in which they go.
            id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
            id[4..8].copy_from_slice(&number.to_be_bytes());
            MessageId(id)
        };
        for number in 1..=10_000 {
            let arrive = Operation::Arrive {
                message: id(number),
                arrival: arrival(1),
            };
            let messages = vec![id(number)];
            let batch = Batch {
                stamp: Stamp(u64::from(number)),
                modseq: ModSeq(u64::from(number) + 1),
                past: None,
                operations: vec![arrive, Operation::Expunge { messages }],
            };
            state.apply_own(WriterId([1; 16]), &batch);
        }
        let bytes = state.encode_checkpoint(&VersionVector::default());
        let (decoded, _) = MailboxState::decode_checkpoint(&bytes).unwrap();
        assert_eq!(decoded.tombstones.len(), 10_000);
        for number in 1..=10_000 {
            let kept = decoded.last(id(number)).is_some();
            assert_eq!(kept, number > 10_000 - 4_096, "{number}");
        }
    }

    #[test]
    fn writers_whose_changes_are_overwritten_are_left_behind() {
        let mut state = state();
        let flag = |number: u8, set| Batch {
            stamp: Stamp(0x0123_4567_89ac_0000 + u64::from(number)),
            modseq: ModSeq(20 + u64::from(number)),
            past: None,
            operations: vec![Operation::SetFlags {
                messages: vec![MessageId([2; 16])],
                changes: vec![(Flag::Flagged, set)],
            }],
        };
        for number in 100..200 {
            let writer = WriterId([number; 16]);
            state.apply_own(writer, &flag(number, number % 2 == 0));
        }
        assert_eq!(state.writers.len(), 101);
        let encoded = state.encode_checkpoint(&covered());
        let (mut decoded, _) = MailboxState::decode_checkpoint(&encoded).unwrap();
        let left = [8, 199].map(|number| WriterId([number; 16]));
        assert_eq!(*decoded.writers, left);
        let flagged = |state: &MailboxState| {
            let flags = state.flags(state.message(0).unwrap());
            flags.collect::<Vec<_>>().contains(&Flag::Flagged)
        };
        assert_eq!(flagged(&decoded), flagged(&state));
        // Of two changes at the same time the same writer wins as before.
        for (writer, wins) in [(198, false), (201, true)] {
            let batch = flag(199, true);
            decoded.apply_own(WriterId([writer; 16]), &batch);
            assert_eq!(flagged(&decoded), wins, "{writer}");
        }
    }

    #[test]
    fn version_1_of_pointers_is_read_for_ever() {
        let pointer = CheckpointPointer {
            content: ContentId([3; 16]),
            bytes: 70_000,
            floor: Floor {
                modseq: ModSeq(500),
                uid_next: 400,
            },
            covered: covered(),
        };
        let golden = include_bytes!("golden/pointer-1.bin");
        assert_eq!(pointer.encode(), golden);
        assert_eq!(CheckpointPointer::decode(golden), Ok(pointer));
    }

    /// What followed such a one could be written and never read.
    #[test]
    fn a_checkpoint_without_highestmodseq_is_refused() {
        let mut state = state();
        state.highest_modseq = ModSeq(0);
        let bytes = state.encode_checkpoint(&covered());
        let refused = DecodeError::Invalid("HIGHESTMODSEQ");
        assert_eq!(MailboxState::decode_checkpoint(&bytes).err(), Some(refused));
    }

    #[test]
    fn a_checkpoint_cut_short_anywhere_is_refused() {
        let bytes = state().encode_checkpoint(&covered());
        for len in 0..bytes.len() {
            assert!(
                MailboxState::decode_checkpoint(&bytes[..len]).is_err(),
                "{len}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0usize..1_000, value: u8) {
            let mut bytes = state().encode_checkpoint(&covered());
            let len = bytes.len();
            bytes[at % len] = value;
            if let Ok((state, covered)) = MailboxState::decode_checkpoint(&bytes) {
                let _ = state.encode_checkpoint(&covered);
            }
        }
    }
}
