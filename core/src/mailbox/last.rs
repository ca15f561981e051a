//! How messages were when they were expunged: what a tombstone does not say, and whoever
//! brings one back would have to guess. It is kept of the last ones only, since tombstones
//! stay for ever.
//!
//! What other servers did to a message at the same time may be in it or not: nothing that
//! clients are told depends on it.

use super::blocks::{Keyed, SortedBlocks};
use super::clock::Stamp;
use super::encoding::{DecodeError, Decoder, Encoder};
use super::message::FlagSet;
use super::operation::{decode_date, encode_date, flag_code, flag_of};
use super::state::Tombstone;
use super::{ContentId, Flag, Keyword, MailboxState, MessageId};
use crate::account::{InternalDate, NewMessage};

/// Expunged messages of one mailbox of which it is stored; up to twice as many are held.
const LAST_MAX: usize = 4_096;

/// Octets of memory that what is stored may take when it is read; up to twice as many are
/// held. Some 90 a message are usual: this is for clients that put many long keywords on
/// what they expunge.
const LAST_OCTETS_MAX: usize = 1024 * 1024;

/// How one message was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(super) id: MessageId,
    pub(crate) internal_date: InternalDate,
    /// Without `\Deleted`: it did its work.
    pub(crate) flags: Box<[Flag]>,
}

impl Keyed for Last {
    type Key = MessageId;
    fn key(&self) -> MessageId {
        self.id
    }
}

impl Last {
    /// Octets of memory that it takes.
    fn octets(&self) -> usize {
        let names = self.flags.iter().map(|flag| match flag {
            Flag::Keyword(keyword) => keyword.as_str().len(),
            _ => 0,
        });
        size_of::<Self>() + size_of_val(&*self.flags) + names.sum::<usize>()
    }
}

/// How the last ones were.
#[derive(Clone, Debug, Default)]
pub(super) struct LastOnes {
    messages: SortedBlocks<Last>,
    /// Of all of them.
    octets: usize,
}

impl LastOnes {
    /// `None` if they are not in the order of their ids.
    fn from_sorted(messages: Vec<Last>) -> Option<Self> {
        let octets = messages.iter().map(Last::octets).sum();
        let messages = SortedBlocks::from_sorted(messages)?;
        Some(Self { messages, octets })
    }

    fn insert(&mut self, last: Last) {
        if let Some(before) = self.messages.find(last.id) {
            self.octets -= before.octets();
        }
        self.octets += last.octets();
        self.messages.insert(last);
    }

    /// Forgets how a message was.
    pub(super) fn remove(&mut self, id: MessageId) {
        if let Some(before) = self.messages.remove(id) {
            self.octets -= before.octets();
        }
    }

    /// Whether they are at most `times` what is stored.
    fn are_within(&self, times: usize) -> bool {
        self.messages.len() <= times * LAST_MAX && self.octets <= times * LAST_OCTETS_MAX
    }

    /// Octets of memory of all of them.
    #[cfg(test)]
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Of how many it is known.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}

impl MailboxState {
    /// How a message was that is expunged, if that is still known.
    pub(crate) fn last(&self, id: MessageId) -> Option<&Last> {
        self.last.messages.find(id)
    }

    /// How all messages are, also those that wait for a UID.
    pub(crate) fn as_last(&self) -> impl Iterator<Item = (ContentId, Last)> {
        let here = self.messages.iter();
        let here = here.map(|it| (it.content, it.id, it.internal_date, it.flags));
        let waiting = self.pending.iter().filter_map(|(id, pending)| {
            let arrival = pending.arrival?;
            Some((arrival.content, *id, arrival.internal_date, arrival.flags))
        });
        let all = here.chain(waiting);
        all.map(|(content, id, date, flags)| (content, self.last_of(id, date, flags)))
    }

    pub(super) fn last_of(&self, id: MessageId, date: InternalDate, flags: FlagSet) -> Last {
        let flags = flags.bits().filter_map(|bit| self.flag(bit));
        Last {
            id,
            internal_date: date,
            flags: flags.filter(|flag| *flag != Flag::Deleted).collect(),
        }
    }

    /// How a message came that was expunged before it came here.
    pub(super) fn last_of_arrival(id: MessageId, arrival: &NewMessage) -> Last {
        let flags = arrival.flags.iter();
        Last {
            id,
            internal_date: arrival.internal_date,
            flags: flags.filter(|it| **it != Flag::Deleted).cloned().collect(),
        }
    }

    /// Notes how a message was, whose tombstone is there.
    pub(super) fn keep_last(&mut self, last: Last) {
        self.last.insert(last);
        if !self.last.are_within(2) {
            self.last = self.newest_last();
        }
    }

    /// Those of the messages that were expunged last.
    fn newest_last(&self) -> LastOnes {
        if self.last.are_within(1) {
            return self.last.clone();
        }
        let at = |last: &Last| self.tombstones.find(last.id).map(|it| it.at);
        let all = self.last.messages.iter();
        let mut times: Vec<(Option<Stamp>, &Last)> = all.map(|last| (at(last), last)).collect();
        // Of what was expunged together, those whose ids are lower.
        times.sort_by_key(|(at, last)| (core::cmp::Reverse(*at), last.id));
        let mut octets = 0;
        let newest = times.into_iter().take(LAST_MAX).map(|(_, last)| last);
        let newest = newest.take_while(|last| {
            octets += last.octets();
            octets <= LAST_OCTETS_MAX
        });
        let mut newest: Vec<Last> = newest.cloned().collect();
        newest.sort_by_key(|last| last.id);
        LastOnes::from_sorted(newest).expect("ids are unique and sorted")
    }

    /// Appends the encoded form, which refers to tombstones by their order.
    pub(super) fn encode_last(&self, encoder: &mut Encoder) {
        let kept = self.newest_last();
        let mut keywords: Vec<&Keyword> = Vec::new();
        for flag in kept.messages.iter().flat_map(|last| &last.flags) {
            if let Flag::Keyword(keyword) = flag
                && let Err(place) = keywords.binary_search(&keyword)
            {
                keywords.insert(place, keyword);
            }
        }
        let keywords: Vec<Keyword> = keywords.into_iter().cloned().collect();
        encoder.count(keywords.len());
        for keyword in &keywords {
            encoder.text(keyword.as_str());
        }
        let tombstones = self.tombstones.iter().enumerate();
        let known = tombstones.filter_map(|(at, it)| Some((at, kept.messages.find(it.id)?)));
        let known: Vec<(usize, &Last)> = known.collect();
        encoder.count(known.len());
        let mut next = 0;
        for (at, last) in known {
            encoder.number((at - next) as u64);
            next = at + 1;
            encode_date(encoder, last.internal_date);
            encoder.count(last.flags.len());
            for flag in &last.flags {
                encoder.number(flag_code(flag, &keywords));
            }
        }
    }

    /// Reads the encoded form.
    pub(super) fn decode_last(
        &mut self,
        decoder: &mut Decoder<'_>,
        tombstones: &[Tombstone],
    ) -> Result<(), DecodeError> {
        let mut keywords = Vec::new();
        for _ in 0..decoder.count(1)? {
            keywords.push(Keyword::new(decoder.text()?));
        }
        let mut next = 0_usize;
        let mut all = Vec::new();
        for _ in 0..decoder.count(4)? {
            let step = usize::try_from(decoder.number()?).ok();
            let at = step.and_then(|step| next.checked_add(step));
            let tombstone = at.and_then(|at| Some((at, tombstones.get(at)?)));
            let (at, tombstone) = tombstone.ok_or(DecodeError::Invalid("tombstone"))?;
            next = at + 1;
            let internal_date = decode_date(decoder)?;
            let count = decoder.count(1)?;
            let flags = (0..count).map(|_| flag_of(decoder.number()?, &keywords));
            all.push(Last {
                id: tombstone.id,
                internal_date,
                flags: flags.collect::<Result<_, _>>()?,
            });
        }
        self.last = LastOnes::from_sorted(all).ok_or(DecodeError::Invalid("order"))?;
        Ok(())
    }
}
