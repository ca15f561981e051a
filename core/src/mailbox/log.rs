//! What the two kinds of log have in common: a state, batches that change it, and
//! checkpoints of it.

use super::checkpoint::{
    VERSION_WITH_HISTORY, VERSION_WITH_LAST, VERSION_WITH_MISSING, VERSION_WITH_RUNS,
};
use super::claims::Owed;
use super::clock::Stamp;
use super::directory::{Directory, DirectoryBatch};
use super::encoding::{DecodeError, Decoder, Encoder};
use super::history::BatchId;
use super::merge::Floor;
use super::operation::Batch;
use super::version_vector::VersionVector;
use super::{MailboxState, Message, UidValidity, WriterId};
use crate::seal::{AccountKeys, ItemKind};

/// A state that is kept as a log.
pub(crate) trait LogState: Clone + Send + Sync + 'static {
    /// Changes that happen together.
    type Batch: Send;
    /// What an empty log means is made of it.
    type Origin: Copy + core::fmt::Debug + Send + Sync + 'static;
    /// The kind of the log's items.
    const OPERATION: ItemKind;
    /// The kind of the items that name its checkpoints.
    const POINTER: ItemKind;
    /// Tells checkpoints of the two kinds apart.
    const CHECKPOINT: u8;
    /// The newest version of its checkpoints. Earlier ones are read as well.
    const CHECKPOINT_VERSION: u8;

    /// What an empty log means, of the account with these keys.
    fn initial(origin: Self::Origin, keys: &AccountKeys) -> Self;
    /// Reads a batch.
    fn decode_batch(bytes: &[u8]) -> Result<Self::Batch, DecodeError>;
    /// Reads a batch that was left by somebody without the account's keys. Whatever it
    /// claims of times and numbers is not believed.
    fn decode_arrival(bytes: &[u8]) -> Result<Self::Batch, DecodeError>;
    /// The encoded batch.
    fn encode_batch(batch: &Self::Batch) -> Vec<u8>;
    /// When the batch was written: after those that its writer had read.
    fn stamp(batch: &Self::Batch) -> Stamp;
    /// How many operations it counts for.
    fn weight(batch: &Self::Batch) -> usize;
    /// What a client may have seen of this state.
    fn floor(&self) -> Floor;
    /// Gives nothing to clients that is not above `floor`.
    fn stay_above(&mut self, floor: Floor);
    /// Makes a state that was read afresh fit to follow one that was shown.
    fn follow(&mut self, shown: &Self, owed: &mut Owed);
    /// Takes a batch in; [`LogState::finish`] is due afterwards.
    fn apply_batch(&mut self, writer: WriterId, batch: &Self::Batch, floor: Floor, owed: &mut Owed);
    /// Makes the state fit to be shown.
    fn finish(&mut self);
    /// How many things a checkpoint of it holds.
    fn size(&self) -> usize;
    /// Whether clients see the same in both.
    fn agrees_with(&self, other: &Self) -> bool;
    /// Batches of the log that others name and that are not in it.
    fn missing(&self) -> &[BatchId] {
        &[]
    }
    /// Whether it names batches or messages that are not in it, and that `before` does not.
    fn misses_more_than(&self, _before: &Self) -> bool {
        false
    }
    /// The version of a checkpoint of it.
    fn checkpoint_version(&self) -> u8 {
        Self::CHECKPOINT_VERSION
    }
    /// Appends the encoded form.
    fn encode_state(&self, encoder: &mut Encoder);
    /// Reads the encoded form of a version, which contains these items.
    fn decode_state(
        decoder: &mut Decoder<'_>,
        version: u8,
        covered: &VersionVector,
    ) -> Result<Self, DecodeError>;

    /// The plaintext of a checkpoint.
    fn encode_checkpoint(&self, covered: &VersionVector) -> Vec<u8> {
        let mut encoder = Encoder::new(self.checkpoint_version());
        encoder.byte(Self::CHECKPOINT);
        covered.encode(&mut encoder);
        self.encode_state(&mut encoder);
        encoder.finish()
    }

    /// Reads the plaintext of a checkpoint.
    fn decode_checkpoint(bytes: &[u8]) -> Result<(Self, VersionVector), DecodeError> {
        let (mut decoder, version) = Decoder::up_to(bytes, Self::CHECKPOINT_VERSION)?;
        if decoder.byte()? != Self::CHECKPOINT {
            return Err(DecodeError::Invalid("kind"));
        }
        let covered = VersionVector::decode(&mut decoder)?;
        let state = Self::decode_state(&mut decoder, version, &covered)?;
        decoder.finish()?;
        Ok((state, covered))
    }
}

impl LogState for MailboxState {
    type Batch = Batch;
    type Origin = UidValidity;
    const OPERATION: ItemKind = ItemKind::Operation;
    const POINTER: ItemKind = ItemKind::CheckpointPointer;
    const CHECKPOINT: u8 = 1;
    const CHECKPOINT_VERSION: u8 = VERSION_WITH_RUNS;

    fn initial(uid_validity: UidValidity, _: &AccountKeys) -> Self {
        Self::new(uid_validity)
    }
    fn decode_batch(bytes: &[u8]) -> Result<Batch, DecodeError> {
        Batch::decode(bytes)
    }
    fn encode_batch(batch: &Batch) -> Vec<u8> {
        batch.encode()
    }
    fn stamp(batch: &Batch) -> Stamp {
        batch.stamp
    }
    fn weight(batch: &Batch) -> usize {
        batch.weight()
    }
    fn floor(&self) -> Floor {
        self.floor()
    }
    fn stay_above(&mut self, floor: Floor) {
        self.stay_above(floor);
    }
    fn follow(&mut self, shown: &Self, owed: &mut Owed) {
        self.follow(shown, owed);
    }
    fn apply_batch(&mut self, writer: WriterId, batch: &Batch, floor: Floor, owed: &mut Owed) {
        self.apply(writer, batch, floor, owed);
    }
    fn finish(&mut self) {
        self.renumber();
    }
    fn size(&self) -> usize {
        self.len() + self.tombstones.len()
    }
    fn agrees_with(&self, other: &Self) -> bool {
        let seen = |state: &Self| (state.uid_validity(), state.uid_next(), state.len());
        let same = |(one, two): (&Message, &Message)| {
            (one.uid, one.id, one.content) == (two.uid, two.id, two.content)
                && self.flags_alike(one, other, two)
        };
        let both = self.iter_from(0).zip(other.iter_from(0));
        seen(self) == seen(other) && both.into_iter().all(same)
    }
    fn missing(&self) -> &[BatchId] {
        self.history.missing()
    }

    fn misses_more_than(&self, before: &Self) -> bool {
        let mut batches = self.missing().iter();
        let mut messages = self.reserved.iter();
        batches.any(|id| !before.missing().contains(id))
            || messages.any(|(uid, id)| before.reserved.get(uid) != Some(id))
    }
    fn checkpoint_version(&self) -> u8 {
        if self.gone.has_runs(self.exact_after()) {
            return VERSION_WITH_RUNS;
        }
        match (self.last.len() == 0, self.missing().is_empty()) {
            (true, true) => VERSION_WITH_HISTORY,
            (true, false) => VERSION_WITH_MISSING,
            (false, _) => VERSION_WITH_LAST,
        }
    }
    fn encode_state(&self, encoder: &mut Encoder) {
        self.encode(encoder);
    }
    fn decode_state(
        decoder: &mut Decoder<'_>,
        version: u8,
        covered: &VersionVector,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder, version, covered)
    }
    fn decode_arrival(bytes: &[u8]) -> Result<Batch, DecodeError> {
        Batch::decode_arrival(bytes)
    }
}

impl LogState for Directory {
    type Batch = DirectoryBatch;
    type Origin = ();
    const OPERATION: ItemKind = ItemKind::DirectoryOperation;
    const POINTER: ItemKind = ItemKind::DirectoryCheckpointPointer;
    const CHECKPOINT: u8 = 2;
    const CHECKPOINT_VERSION: u8 = 1;

    fn initial((): (), keys: &AccountKeys) -> Self {
        Self::of_a_new_account(keys)
    }
    fn decode_batch(bytes: &[u8]) -> Result<DirectoryBatch, DecodeError> {
        DirectoryBatch::decode(bytes)
    }
    fn encode_batch(batch: &DirectoryBatch) -> Vec<u8> {
        batch.encode()
    }
    fn stamp(batch: &DirectoryBatch) -> Stamp {
        batch.stamp
    }
    fn weight(batch: &DirectoryBatch) -> usize {
        batch.operations.len()
    }
    fn floor(&self) -> Floor {
        Floor::default()
    }
    fn stay_above(&mut self, _: Floor) {}
    fn follow(&mut self, _: &Self, _: &mut Owed) {}
    fn apply_batch(&mut self, writer: WriterId, batch: &DirectoryBatch, _: Floor, _: &mut Owed) {
        self.apply(writer, batch);
    }
    fn finish(&mut self) {
        self.arrange();
    }
    fn size(&self) -> usize {
        self.len()
    }
    fn agrees_with(&self, other: &Self) -> bool {
        self.mailboxes().eq(other.mailboxes()) && self.subscribed().eq(other.subscribed())
    }
    fn encode_state(&self, encoder: &mut Encoder) {
        self.encode(encoder);
    }
    fn decode_arrival(_: &[u8]) -> Result<DirectoryBatch, DecodeError> {
        Err(DecodeError::Invalid("arrival in a directory"))
    }
    fn decode_state(
        decoder: &mut Decoder<'_>,
        _: u8,
        _: &VersionVector,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}
