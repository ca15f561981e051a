//! Checkpoints: the state of a log and which of its items are contained in it, in one
//! object, so that the log behind it may be forgotten.
//!
//! A [pointer](super::pointer) in the log says which object that is.

use super::blocks::{Keyed, SortedBlocks};
use super::clock::Stamp;
use super::encoding::{DecodeError, Decoder, Encoder};
use super::gone::{GoneUids, next_uid};
use super::history::{BatchId, History};
use super::log::LogState;
use super::message::{FlagBit, FlagSet, Message, Register, Registers};
use super::operation::{decode_date, decode_kind, decode_uid, encode_date};
use super::state::{Arrival, Numbered, Pending, Tombstone};
use super::version_vector::VersionVector;
use super::{ContentId, Keyword, MailboxState, MessageId, ModSeq, Uid, UidValidity, WriterId};
use core::num::NonZeroU32;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The first version of mailboxes' checkpoints that say which batches knew of which.
pub(super) const VERSION_WITH_HISTORY: u8 = 3;
/// The first version that says which batches are missing; written only where some are, so
/// that a server of before reads all others.
pub(super) const VERSION_WITH_MISSING: u8 = 4;
/// The first version that says how messages were that are expunged; written only where some
/// are.
pub(super) const VERSION_WITH_LAST: u8 = 5;
/// The first version that has runs of UIDs that are gone; written only where there are some.
pub(super) const VERSION_WITH_RUNS: u8 = 6;

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
        let of_messages = state.messages.iter().map(|message| &message.registers);
        let of_pending = state.pending.values().map(|pending| &pending.registers);
        let registers = of_messages.chain(of_pending).flatten();
        let writers = registers.flat_map(|some| some.iter().map(|register| register.writer));
        let writers: BTreeSet<u32> = writers.collect();
        let used = (0u8..).zip(state.used_bits()).filter(|(_, used)| *used);
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
        debug_assert!(self.told_again.is_empty(), "a reading is at its end");
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
        let with_lengths = version >= VERSION_WITH_RUNS;
        self.gone.encode(self.exact_after(), with_lengths, encoder);
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
        self.gone = GoneUids::decode(decoder, version >= VERSION_WITH_RUNS)?;
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
        self.tombstones = sorted(tombstones)?;
        Ok(())
    }
}

/// What was written in order.
fn sorted<T: Keyed>(items: Vec<T>) -> Result<SortedBlocks<T>, DecodeError> {
    SortedBlocks::from_sorted(items).ok_or(DecodeError::Invalid("order"))
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
