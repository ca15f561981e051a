//! Which batches of a log knew of which.
//!
//! Each batch names the *heads* of what its writer had read: those batches that no other
//! one that it had read knew of. Mostly that is one, the batch before; after two servers
//! wrote at the same time it is two. From the heads of all of them everybody finds the
//! whole past of each. What was not in it may have been shown to somebody to whom this
//! batch is new, and the other way round, see [`modseq`](super::modseq).
//!
//! Only so many batches are remembered, and all heads: what is forgotten was known to one of
//! those that are remembered, so who names all heads knows everything. Of others it is
//! remembered up to which MODSEQ they knew all that is forgotten. Where something is not known (a batch that is damaged,
//! or so late that those it names are forgotten) less is taken for known than was: then
//! clients are told what they know already, and miss nothing.

use super::clock::Stamp;
use super::encoding::{DecodeError, Decoder, Encoder};
use super::{ModSeq, WriterId};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Batches that are remembered; up to twice as many before they are made so many again.
const BATCHES_KEPT: usize = 128;
/// Batches that one batch names as heads. More were never read by the same server
/// without one that joins them.
const HEADS_MAX: usize = 64;
/// Batches that are remembered as missing.
const MISSING_MAX: usize = 256;

/// Everything is known.
const ALL: ModSeq = ModSeq(u64::MAX);

/// Names one batch of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchId([u8; 8]);

/// What a batch says of those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// By how much MODSEQ is ahead of the number of changes.
    pub(crate) lead: u64,
    /// What its writer had read, and all that that knew.
    pub(crate) heads: Vec<BatchId>,
}

/// The batches that a state contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    /// In the order in which they were taken in.
    batches: Vec<Known>,
    /// Who names whom as a head, in the same order.
    edges: Vec<(BatchId, BatchId)>,
    /// Those that are named by nobody.
    heads: Vec<BatchId>,
    /// Whether there were others before.
    has_older: bool,
    /// Those that some batch named as heads, which must so have been there, and that were
    /// never taken in; ascending. None where that cannot be told from what is forgotten.
    missing: Vec<BatchId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    id: BatchId,
    /// HIGHESTMODSEQ with it.
    modseq: ModSeq,
    /// Of the batches that are not remembered, it knew all with this MODSEQ or less.
    knew: ModSeq,
}

/// What is found out when a batch is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its writer knew everything with this MODSEQ or less.
    pub(super) knew: ModSeq,
    /// A batch that was taken in before knew of it.
    pub(super) late: bool,
}

impl BatchId {
    /// A writer uses no stamp twice.
    pub(super) fn of(writer: WriterId, stamp: Stamp) -> Self {
        Self::digest(&[&writer.0, &stamp.0.to_be_bytes()])
    }

    /// Stands for everything that a checkpoint contains.
    pub(super) fn of_checkpoint(covered: &[u8]) -> Self {
        Self::digest(&[covered])
    }

    /// Its octets in hexadecimal.
    pub(crate) fn to_hex(self) -> String {
        self.0.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    fn digest(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part);
        }
        let digest: [u8; 32] = digest.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self([a, b, c, d, e, f, g, h])
    }
}

impl Past {
    /// Appends the encoded form.
    pub(super) fn encode(&self, encoder: &mut Encoder) {
        encoder.number(self.lead);
        encoder.count(self.heads.len());
        for head in &self.heads {
            encoder.array(&head.0);
        }
    }

    /// Reads the encoded form.
    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let lead = decoder.modseq()?.0;
        let count = decoder.count(8)?;
        let heads = (0..count).map(|_| Ok(BatchId(decoder.array()?)));
        let heads = heads.collect::<Result<_, _>>()?;
        Ok(Self { lead, heads })
    }
}

impl History {
    /// What follows something of which nothing is remembered but its name.
    pub(super) fn after(older: BatchId, modseq: ModSeq) -> Self {
        let mut history = Self {
            has_older: true,
            ..Self::default()
        };
        history.push(older, modseq, ALL, &[]);
        history
    }

    /// What a batch that is written now says of those before it.
    pub(super) fn heads(&self) -> Vec<BatchId> {
        // Of too many the last ones: to name less is to be taken to know less.
        let first = self.heads.len().saturating_sub(HEADS_MAX);
        self.heads[first..].to_vec()
    }

    /// The last of those with this MODSEQ or less: what a batch knew that does not say so.
    pub(super) fn last_below(&self, modseq: ModSeq) -> Option<BatchId> {
        let mut batches = self.batches.iter().rev();
        Some(batches.find(|batch| batch.modseq <= modseq)?.id)
    }

    /// The last one that was taken in.
    pub(super) fn last(&self) -> Option<BatchId> {
        Some(self.batches.last()?.id)
    }

    /// Batches that are not there though others were written by who had read them. They may
    /// come yet: items are read in pages, and written meanwhile.
    pub(super) fn missing(&self) -> &[BatchId] {
        &self.missing
    }

    /// Notes which of the heads that a batch names are not there; its writer had seen this
    /// MODSEQ. Call it before the batch is taken in.
    pub(super) fn miss(&mut self, heads: &[BatchId], seen: ModSeq) {
        if self.has_older {
            // Whose writer had seen the first one of the last so many had read none that was
            // joined to others before, and so is forgotten.
            let first = self.batches.len().checked_sub(BATCHES_KEPT);
            let first = first.and_then(|first| self.batches.get(first));
            if first.is_none_or(|first| seen < first.modseq) {
                return;
            }
        }
        for head in heads {
            let known = self.batches.iter().rev().any(|batch| batch.id == *head);
            if !known
                && self.missing.len() < MISSING_MAX
                && let Err(place) = self.missing.binary_search(head)
            {
                self.missing.insert(place, *head);
            }
        }
    }

    /// Whether these are the batches of `before` and `more` others, all of which knew those.
    pub(super) fn follows(&self, before: &Self, more: u64) -> bool {
        let mut batches = self.batches.iter();
        let Some(place) = batches.rposition(|batch| before.last() == Some(batch.id)) else {
            return false;
        };
        let others = &self.batches[place + 1..];
        let all_knew = |head: &BatchId| {
            let future = self.future_of(*head);
            others.iter().all(|batch| future.contains(&batch.id))
        };
        self.missing.is_empty()
            && u64::try_from(others.len()) == Ok(more)
            && before.heads.iter().all(all_knew)
    }

    /// Takes in a batch whose writer had read `heads`.
    pub(super) fn take_in(&mut self, id: BatchId, modseq: ModSeq, heads: &[BatchId]) -> Found {
        let late = self.edges.iter().any(|(_, named)| *named == id);
        let knows_all = self.heads.iter().all(|head| heads.contains(head));
        let known = match knows_all {
            true => BTreeSet::new(),
            false => self.past_of(heads),
        };
        let is_known = |batch: &&Known| known.contains(&batch.id);
        let (mut knew_older, mut unknown) = (ALL, None);
        if !knows_all {
            unknown = self.batches.iter().find(|batch| !is_known(batch));
            if self.has_older {
                let known = self.batches.iter().filter(is_known);
                knew_older = known.map(|batch| batch.knew).max().unwrap_or_default();
            }
        }
        let knew = unknown.map_or(ALL, |batch| ModSeq(batch.modseq.0 - 1));
        self.push(id, modseq, knew_older, heads);
        if self.batches.len() > 2 * BATCHES_KEPT {
            self.forget(BATCHES_KEPT);
        }
        Found {
            knew: knew.min(knew_older),
            late,
        }
    }

    fn push(&mut self, id: BatchId, modseq: ModSeq, knew: ModSeq, heads: &[BatchId]) {
        if let Ok(place) = self.missing.binary_search(&id) {
            self.missing.remove(place);
        }
        self.heads.retain(|head| !heads.contains(head));
        self.heads.push(id);
        self.edges.extend(heads.iter().map(|head| (id, *head)));
        self.batches.push(Known { id, modseq, knew });
    }

    /// These and all that are known to have been known to them.
    fn past_of(&self, heads: &[BatchId]) -> BTreeSet<BatchId> {
        let mut past: BTreeSet<BatchId> = heads.iter().copied().collect();
        for (by, named) in self.edges.iter().rev() {
            if past.contains(by) {
                past.insert(*named);
            }
        }
        past
    }

    /// These and all that are known to have known one of them.
    fn future_of(&self, batch: BatchId) -> BTreeSet<BatchId> {
        let mut future = BTreeSet::from([batch]);
        for (by, named) in &self.edges {
            if future.contains(named) {
                future.insert(*by);
            }
        }
        future
    }

    /// Remembers only the last `kept` batches, and heads.
    pub(super) fn forget(&mut self, kept: usize) {
        let kept = self
            .batches
            .split_off(self.batches.len().saturating_sub(kept));
        let (mut heads, forgotten): (Vec<_>, Vec<_>) = self
            .batches
            .iter()
            .partition(|batch| self.heads.contains(&batch.id));
        heads.extend(kept);
        self.batches = heads;
        let Some(last) = forgotten.last() else { return };
        self.has_older = true;
        // Mostly the last one knew all others, and all that are kept knew it.
        let past = self.past_of(&[last.id]);
        let is_joint = forgotten.iter().all(|batch| past.contains(&batch.id));
        let knew_it = match is_joint {
            true => self.future_of(last.id),
            false => BTreeSet::new(),
        };
        let mut knew = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            let known = match knew_it.contains(&batch.id) {
                true => None,
                false => Some(self.past_of(&[batch.id])),
            };
            let unknown = known.and_then(|known| {
                let mut forgotten = forgotten.iter();
                forgotten.find(|batch| !known.contains(&batch.id))
            });
            knew.push(unknown.map_or(ALL, |unknown| ModSeq(unknown.modseq.0 - 1)));
        }
        for (batch, knew) in self.batches.iter_mut().zip(knew) {
            batch.knew = batch.knew.min(knew);
        }
        self.arrange();
    }

    /// Leaves out what is said by none of the batches, and finds the heads.
    fn arrange(&mut self) {
        let ids: BTreeSet<BatchId> = self.batches.iter().map(|batch| batch.id).collect();
        self.edges.retain(|(by, _)| ids.contains(by));
        let named: BTreeSet<BatchId> = self.edges.iter().map(|(_, named)| *named).collect();
        let heads = self.batches.iter().map(|batch| batch.id);
        self.heads = heads.filter(|id| !named.contains(id)).collect();
    }

    /// Appends the encoded form, of the last [`BATCHES_KEPT`].
    pub(super) fn encode(&self, encoder: &mut Encoder) {
        let mut history = self.clone();
        if history.batches.len() > BATCHES_KEPT {
            history.forget(BATCHES_KEPT);
        }
        encoder.byte(u8::from(history.has_older));
        encoder.count(history.batches.len());
        let mut before = 0;
        let mut edges = history.edges.iter().peekable();
        for batch in &history.batches {
            encoder.array(&batch.id.0);
            encoder.number(batch.modseq.0 - before);
            before = batch.modseq.0;
            // Mostly all: 0.
            encoder.number(batch.knew.0.wrapping_add(1));
            let mut heads = Vec::new();
            while let Some((_, head)) = edges.next_if(|(by, _)| *by == batch.id) {
                heads.push(*head);
            }
            encoder.count(heads.len());
            for head in heads {
                encoder.array(&head.0);
            }
        }
    }

    /// Appends those that are missing, which the encoded form lacks.
    pub(super) fn encode_missing(&self, encoder: &mut Encoder) {
        encoder.count(self.missing.len());
        for missing in &self.missing {
            encoder.array(&missing.0);
        }
    }

    /// Reads those that are missing.
    pub(super) fn decode_missing(&mut self, decoder: &mut Decoder<'_>) -> Result<(), DecodeError> {
        for _ in 0..decoder.count(8)? {
            self.missing.push(BatchId(decoder.array()?));
        }
        match self.missing.is_sorted_by(|one, two| one < two) {
            true => Ok(()),
            false => Err(DecodeError::Invalid("missing batches")),
        }
    }

    /// Reads the encoded form.
    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut history = Self {
            has_older: decoder.byte()? != 0,
            ..Self::default()
        };
        let mut before = 0_u64;
        for _ in 0..decoder.count(11)? {
            let id = BatchId(decoder.array()?);
            let step = decoder.modseq()?.0;
            let modseq = before.checked_add(step).filter(|_| step > 0);
            before = modseq.ok_or(DecodeError::Invalid("MODSEQ of a batch"))?;
            let modseq = ModSeq(before);
            let knew = ModSeq(decoder.number()?.wrapping_sub(1));
            history.batches.push(Known { id, modseq, knew });
            for _ in 0..decoder.count(8)? {
                history.edges.push((id, BatchId(decoder.array()?)));
            }
        }
        history.arrange();
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> BatchId {
        BatchId(number.to_be_bytes())
    }

    fn ids(numbers: &[u64]) -> Vec<BatchId> {
        numbers.iter().map(|number| id(*number)).collect()
    }

    /// Batch `number` becomes MODSEQ `number`; up to where it knew everything.
    fn take(history: &mut History, number: u64, heads: &[u64]) -> Found {
        history.take_in(id(number), ModSeq(number), &ids(heads))
    }

    fn knew(history: &mut History, number: u64, heads: &[u64]) -> u64 {
        let found = take(history, number, heads);
        assert!(!found.late);
        found.knew.0
    }

    #[test]
    fn one_after_the_other_they_know_everything() {
        let mut history = History::default();
        assert_eq!(knew(&mut history, 2, &[]), u64::MAX);
        for number in 3..2_000 {
            assert_eq!(history.heads(), [id(number - 1)]);
            assert_eq!(knew(&mut history, number, &[number - 1]), u64::MAX);
            assert!(history.batches.len() <= 2 * BATCHES_KEPT);
        }
    }

    #[test]
    fn what_follows_knew_all_before() {
        let mut history = History::default();
        take(&mut history, 2, &[]);
        take(&mut history, 3, &[2]);
        let before = history.clone();
        assert!(history.follows(&before, 0));
        take(&mut history, 4, &[3]);
        let joined = history.clone();
        assert!(joined.follows(&before, 1) && !joined.follows(&before, 2));
        // 5 did not know 3 and 4: whoever was shown it may know neither.
        take(&mut history, 5, &[2]);
        assert!(!history.follows(&before, 2) && !history.follows(&joined, 1));
        let apart = history.clone();
        take(&mut history, 6, &[4, 5]);
        assert!(!history.follows(&before, 3) && history.follows(&apart, 1));
        // 7 knew one of two heads.
        let mut apart = apart;
        let heads = apart.clone();
        take(&mut apart, 7, &[4]);
        assert!(!apart.follows(&heads, 1));
        // What is forgotten cannot be told.
        for number in 7..1_000 {
            take(&mut history, number, &[number - 1]);
        }
        assert!(!history.follows(&before, 997));
        assert!(!history.follows(&History::default(), 999));
    }

    #[test]
    fn of_two_at_the_same_time_the_later_one_does_not_know_the_earlier() {
        let mut history = History::default();
        take(&mut history, 2, &[]);
        take(&mut history, 3, &[2]);
        assert_eq!(knew(&mut history, 4, &[2]), 2);
        assert_eq!(history.heads(), [id(3), id(4)]);
        // Both go on without each other: 5 and 6 know what each of them wrote itself.
        assert_eq!(knew(&mut history, 5, &[3]), 3);
        assert_eq!(knew(&mut history, 6, &[4]), 2);
        assert_eq!(knew(&mut history, 7, &[5, 6]), u64::MAX);
        assert_eq!(history.heads(), [id(7)]);
        assert_eq!(knew(&mut history, 8, &[7]), u64::MAX);
    }

    #[test]
    fn a_batch_that_was_known_before_it_came_is_late() {
        let mut history = History::default();
        take(&mut history, 2, &[]);
        take(&mut history, 4, &[3]);
        let late = history.take_in(id(3), ModSeq(5), &ids(&[2]));
        assert!(late.late);
        assert_eq!(late.knew, ModSeq(3));
    }

    #[test]
    fn who_knew_what_is_forgotten_stays_known() {
        let mut history = History::default();
        take(&mut history, 2, &[]);
        // 3 and 4 do not know of each other, and one server never reads of 4.
        take(&mut history, 3, &[2]);
        take(&mut history, 4, &[2]);
        let last = 4 + 3 * BATCHES_KEPT as u64;
        let mut before = 3;
        for number in 5..last {
            assert_eq!(knew(&mut history, number, &[before]), 3);
            before = number;
        }
        assert!(history.batches.iter().all(|batch| batch.id != id(3)));
        // Who names only what is forgotten is not known to know anything.
        assert_eq!(knew(&mut history, last, &[3]), 0);
        // Who names 4 alone does not know of 3, which is forgotten.
        assert_eq!(knew(&mut history, last + 1, &[4]), 2);
        assert_eq!(history.heads(), ids(&[last - 1, last, last + 1]));
        // Who names all heads knows everything, and so do those who know of that one.
        let heads = [last - 1, last, last + 1];
        assert_eq!(knew(&mut history, last + 2, &heads), u64::MAX);
        assert_eq!(knew(&mut history, last + 3, &[last + 2]), u64::MAX);
    }

    #[test]
    fn a_batch_that_cannot_be_read_is_made_up_for() {
        let mut history = History::default();
        take(&mut history, 2, &[]);
        // 3 is damaged; 4 knew it.
        assert_eq!(knew(&mut history, 4, &[3]), 1);
        assert_eq!(history.heads(), [id(2), id(4)]);
        assert_eq!(knew(&mut history, 5, &[2, 4]), u64::MAX);
        assert_eq!(knew(&mut history, 6, &[5]), u64::MAX);
    }

    #[test]
    fn what_was_named_and_never_came_is_missing() {
        let mut history = History::default();
        let take = |history: &mut History, number: u64, heads: &[u64]| {
            history.miss(&ids(heads), ModSeq(number - 1));
            history.take_in(id(number), ModSeq(number), &ids(heads));
        };
        take(&mut history, 2, &[]);
        take(&mut history, 4, &[3]);
        take(&mut history, 5, &[3, 4]);
        assert_eq!(history.missing(), [id(3)]);
        // It was only late.
        take(&mut history, 3, &[2]);
        assert_eq!(history.missing(), []);
        let last = 6 + 3 * BATCHES_KEPT as u64;
        take(&mut history, 6, &[3, 5]);
        for number in 7..last {
            take(&mut history, number, &[number - 1]);
        }
        // Who was away for so long names what is forgotten: that says nothing.
        history.miss(&ids(&[3, 1_000]), ModSeq(7));
        assert_eq!(history.missing(), []);
        take(&mut history, last + 1, &[last]);
        assert_eq!(history.missing(), [id(last)]);
        let mut encoder = Encoder::new(1);
        history.encode_missing(&mut encoder);
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes, 1).unwrap();
        let mut stored = History::default();
        stored.decode_missing(&mut decoder).unwrap();
        assert_eq!(stored.missing(), history.missing());
    }

    #[test]
    fn it_is_stored_with_the_last_batches() {
        let mut history = History::default();
        take(&mut history, 2, &[]);
        take(&mut history, 3, &[2]);
        take(&mut history, 4, &[2]);
        let encode = |history: &History| {
            let mut encoder = Encoder::default();
            history.encode(&mut encoder);
            encoder.finish()
        };
        let decode = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.insert(0, 1);
            let mut decoder = Decoder::new(&bytes, 1).unwrap();
            let history = History::decode(&mut decoder).unwrap();
            decoder.finish().unwrap();
            history
        };
        assert_eq!(decode(&encode(&history)), history);
        take(&mut history, 5, &[3, 4]);
        for number in 6..600 {
            take(&mut history, number, &[number - 1]);
        }
        let mut stored = decode(&encode(&history));
        assert_eq!(stored.batches.len(), BATCHES_KEPT);
        assert_eq!(stored.heads(), history.heads());
        assert_eq!(
            take(&mut stored, 600, &[599]),
            take(&mut history, 600, &[599])
        );
    }
}
