//! What a fuzzer tries with operations and checkpoints: batches of any bytes, and batches
//! made of what the fuzzer says, are taken in by several readers. In whatever order they
//! come, however often, and whatever was between two of them kept in a checkpoint, all
//! readers must see the same.
//!
//! It stands here and not with the other targets (`fuzz/`) because nothing of this is public.
//!
//! Input: an octet of choices, one for the order, then records. Four things are taken for
//! granted, since writers keep to them (`operation.rs`) and nobody without the account's keys
//! can write: a writer uses no stamp twice, an identity names one message or mailbox for
//! ever, a mailbox has no more keywords than it has room for, and nobody forgets that a
//! message was expunged while something about it may still come.

use super::clock::Stamp;
use super::directory::{Directory, DirectoryBatch, DirectoryOperation, InboxMove};
use super::merge::Floor;
use super::operation::{Batch, Operation};
use super::version_vector::{LogPosition, VersionVector};
use super::{
    ContentId, Flag, Keyword, LogState, MailboxId, MailboxName, MailboxState, MessageId, ModSeq,
    Owed, Reservation, SpecialUse, Uid, UidValidity, WriterId,
};
use crate::account::{InternalDate, NewMessage};
use crate::mailbox::AccountId;
use crate::random::{Random, Seed};
use crate::seal::{AccountKeys, ContentKind};
use core::num::NonZeroU32;
use source::Source;
use std::collections::{BTreeMap, BTreeSet};

#[path = "../../../fuzz/src/source.rs"]
#[allow(dead_code, reason = "other targets read more kinds of choices")]
mod source;

const OF_DIRECTORY: u8 = 1;
const CHECKPOINT_OF_ANY_BYTES: u8 = 2;

const BATCHES_MAX: usize = 16;
const OPERATIONS_MAX: usize = 8;
/// Keywords of one input: fewer than a mailbox has room for.
const KEYWORDS_MAX: usize = 100;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choices = source.byte();
    let order = source.byte();
    if choices & OF_DIRECTORY != 0 {
        let mut random = Random::new(Seed::new([5; 32]));
        let keys = AccountKeys::generate(AccountId([1; 16]), &mut random);
        converge(
            choices,
            order,
            &mut source,
            &Directory::of_a_new_account(&keys),
        );
    } else {
        let state = MailboxState::new(UidValidity(NonZeroU32::MIN));
        converge(choices, order, &mut source, &state);
    }
}

/// A kind of log as the fuzzer sees it.
trait Fuzzed: LogState {
    /// All that must be the same for all readers.
    type Visible: PartialEq + core::fmt::Debug;

    fn visible(&self) -> Self::Visible;
    /// Batches of what the source says.
    fn batch(stamp: Stamp, source: &mut Source<'_>) -> Self::Batch;
    /// Makes the batches such that an identity names one thing; `false` if they are too many
    /// things.
    fn one_thing_each(batches: &mut [Self::Batch]) -> bool;
    /// What is true of each state that batches add up to.
    fn check(&self);
}

type Log<S> = Vec<(LogPosition, <S as LogState>::Batch)>;

fn converge<S: Fuzzed>(choices: u8, order: u8, source: &mut Source<'_>, initial: &S) {
    let mut start = None;
    if choices & CHECKPOINT_OF_ANY_BYTES != 0 {
        start = S::decode_checkpoint(source.octets()).ok();
    }
    let Some(log) = read_log::<S>(source) else {
        return;
    };
    if let Some((state, covered)) = start {
        // It may contradict itself, so the order matters. It does no harm.
        let bytes = state.encode_checkpoint(&covered);
        let (again, _) = S::decode_checkpoint(&bytes).expect("a checkpoint is read again");
        assert_eq!(again.encode_checkpoint(&covered), bytes);
        let mut reader = Reader { state, covered };
        reader.read(log.iter());
        reader.restart();
        return;
    }

    let mut reader = Reader::new(initial);
    reader.read(log.iter());
    let expected = reader.state.visible();
    reader.state.check();
    reader.restart();
    assert_eq!(reader.state.visible(), expected, "a checkpoint says less");
    reader.read(log.iter());
    assert_eq!(
        reader.state.visible(),
        expected,
        "what is known counts again"
    );

    let mut reader = Reader::new(initial);
    reader.read(log.iter().rev());
    reader.state.check();
    assert_eq!(reader.state.visible(), expected, "the order matters");

    // One after the other, some of them twice, with checkpoints in between.
    let mut reader = Reader::new(initial);
    let turn = usize::from(order) % (log.len() + 1);
    let step = usize::from(order) / 16 + 1;
    let (front, back) = log.split_at(turn);
    let turned: Vec<_> = back.iter().chain(front).collect();
    for (number, some) in turned.chunks(step).rev().enumerate() {
        reader.read(some.iter().copied());
        reader.read(log.iter().take(1));
        reader.state.check();
        if number % 2 == usize::from(order & 1) {
            reader.restart();
        }
    }
    assert_eq!(reader.state.visible(), expected, "the order matters");
}

/// The batches that an input holds, each as it is read from storage.
fn read_log<S: Fuzzed>(source: &mut Source<'_>) -> Option<Log<S>> {
    let mut positions = Vec::new();
    let mut batches = Vec::new();
    let mut next: BTreeMap<WriterId, u64> = BTreeMap::new();
    let mut stamps = BTreeSet::new();
    while !source.is_empty() && batches.len() < BATCHES_MAX {
        let head = source.byte();
        let writer = WriterId([head % 4; 16]);
        let batch = if head & 0x80 != 0 {
            match S::decode_batch(source.octets()) {
                Ok(batch) => batch,
                Err(_) => continue,
            }
        } else {
            let stamp = Stamp(u64::from(source.byte()));
            let bytes = S::encode_batch(&S::batch(stamp, source));
            S::decode_batch(&bytes).expect("what is written is read")
        };
        if stamps.insert((writer, S::stamp(&batch))) {
            let seq = next.entry(writer).or_default();
            positions.push(LogPosition { writer, seq: *seq });
            batches.push(batch);
            *seq += 1;
        }
    }
    S::one_thing_each(&mut batches).then(|| positions.into_iter().zip(batches).collect())
}

struct Reader<S> {
    state: S,
    covered: VersionVector,
}

impl<S: Fuzzed> Reader<S> {
    fn new(initial: &S) -> Self {
        Self {
            state: initial.clone(),
            covered: VersionVector::default(),
        }
    }

    fn read<'a>(&mut self, batches: impl Iterator<Item = &'a (LogPosition, S::Batch)>)
    where
        S::Batch: 'a,
    {
        let mut owed = Owed::default();
        for (position, batch) in batches {
            if self.covered.insert(*position) {
                let floor = Floor::default();
                self.state
                    .apply_batch(position.writer, batch, floor, &mut owed);
            }
        }
        self.state.finish();
    }

    /// Goes on from a checkpoint.
    fn restart(&mut self) {
        let bytes = self.state.encode_checkpoint(&self.covered);
        let (state, covered) = S::decode_checkpoint(&bytes).expect("a checkpoint is read again");
        assert_eq!(covered, self.covered);
        assert!(state.agrees_with(&self.state), "a checkpoint says less");
        self.state = state;
        self.state.finish();
    }
}

/// What must be the same of a mailbox. MODSEQ is not: each server gives its own.
#[derive(PartialEq, Debug)]
pub(super) struct Visible {
    messages: Vec<(Uid, MessageId, Vec<Flag>)>,
    gone: Vec<Uid>,
    expunged: Vec<(MessageId, Option<Uid>)>,
    unnumbered: Vec<MessageId>,
    uid_next: u32,
    counts: (usize, usize, u64),
}

impl Fuzzed for MailboxState {
    type Visible = Visible;

    fn visible(&self) -> Visible {
        visible(self)
    }

    fn check(&self) {
        check_counts(self);
    }

    fn batch(stamp: Stamp, source: &mut Source<'_>) -> Batch {
        let modseq = ModSeq(u64::from(source.byte()) + 1);
        let count = usize::from(source.byte()) % OPERATIONS_MAX;
        Batch {
            stamp,
            modseq,
            past: None,
            operations: (0..count).map(|_| operation(source)).collect(),
        }
    }

    fn one_thing_each(batches: &mut [Batch]) -> bool {
        for batch in batches.iter_mut() {
            let forgets = |it: &Operation| matches!(it, Operation::Forget { .. });
            batch.operations.retain(|it| !forgets(it));
        }
        let keyless = |batch: &&mut Batch| batch.stamp == Stamp::default();
        let moved: BTreeSet<MessageId> = batches
            .iter()
            .filter(|batch| batch.stamp != Stamp::default())
            .flat_map(|batch| &batch.operations)
            .filter_map(|operation| match operation {
                Operation::Arrive { message, .. } => Some(*message),
                _ => None,
            })
            .collect();
        // What comes without keys adds no flags to what is there already: which of several counts depends on
        // the order, and so they say the same.
        let mut delivered: BTreeMap<MessageId, Vec<Flag>> = BTreeMap::new();
        for operation in batches
            .iter_mut()
            .filter(keyless)
            .flat_map(|it| &mut it.operations)
        {
            if let Operation::Arrive { message, arrival } = operation {
                if moved.contains(message) {
                    arrival.flags.clear();
                }
                let flags = delivered.entry(*message);
                arrival
                    .flags
                    .clone_from(flags.or_insert_with(|| arrival.flags.clone()));
            }
        }
        let mut arrivals: BTreeMap<MessageId, NewMessage> = BTreeMap::new();
        let mut keywords = BTreeSet::new();
        for operation in batches.iter_mut().flat_map(|batch| &mut batch.operations) {
            let mut note = |flag: &Flag| {
                if let Flag::Keyword(keyword) = flag {
                    keywords.insert(keyword.clone());
                }
            };
            match operation {
                Operation::Arrive { message, arrival } => {
                    arrival.flags.iter().for_each(&mut note);
                    let first = arrivals.entry(*message).or_insert_with(|| arrival.clone());
                    // Who move one message at the same time may see different flags of it.
                    let flags = std::mem::take(&mut arrival.flags);
                    *arrival = first.clone();
                    arrival.flags = flags;
                }
                Operation::SetFlags { changes, .. } => {
                    changes.iter().for_each(|(flag, _)| note(flag));
                }
                _ => {}
            }
        }
        keywords.len() <= KEYWORDS_MAX
    }
}

fn operation(source: &mut Source<'_>) -> Operation {
    let kind = source.byte();
    let id = |source: &mut Source<'_>| MessageId([source.byte() % 8; 16]);
    let ids = |source: &mut Source<'_>| (0..kind >> 4 & 3).map(|_| id(source)).collect();
    let uid = |source: &mut Source<'_>| match source.byte() {
        0xff => Uid::new(u32::MAX).unwrap_or(Uid::FIRST),
        number => Uid::new(u32::from(number) % 16 + 1).unwrap_or(Uid::FIRST),
    };
    match kind % 8 {
        0 | 1 => {
            let message = id(source);
            let flags = match kind & 0x80 {
                0 => vec![],
                _ => vec![flag(message.0[0].wrapping_add(kind >> 4))],
            };
            Operation::Arrive {
                message,
                arrival: arrival(message.0[0], flags),
            }
        }
        2 | 3 => Operation::Claim {
            message: id(source),
            uid: uid(source),
        },
        4 | 5 => {
            let messages = ids(source);
            let changes = (0..kind >> 6).map(|_| {
                let change = source.byte();
                (flag(change >> 1), change & 1 == 1)
            });
            let changes = changes.collect();
            Operation::SetFlags { messages, changes }
        }
        6 => Operation::Expunge {
            messages: ids(source),
        },
        _ => Operation::RecentFrom { uid: uid(source) },
    }
}

fn flag(number: u8) -> Flag {
    match number % 8 {
        0 => Flag::Seen,
        1 => Flag::Deleted,
        2 => Flag::Answered,
        number => Flag::Keyword(Keyword::new(&format!("word{number}"))),
    }
}

pub(super) fn arrival(number: u8, flags: Vec<Flag>) -> NewMessage {
    NewMessage {
        content: ContentId([number ^ 0xff; 16]),
        kind: ContentKind::Message,
        size: 1_000 + u64::from(number),
        summary_offset: 900,
        summary_len: 300,
        internal_date: InternalDate {
            unix_s: 1_700_000_000,
            zone_min: 60,
        },
        flags,
    }
}

/// What must be the same in all servers.
pub(super) fn visible(state: &MailboxState) -> Visible {
    let flags = |message| {
        let mut flags: Vec<_> = state.flags(message).collect();
        flags.sort();
        flags
    };
    let unnumbered: BTreeSet<_> = state.unnumbered().collect();
    Visible {
        messages: state
            .iter_from(0)
            .map(|message| (message.uid, message.id, flags(message)))
            .collect(),
        gone: state.expunged_since(ModSeq(0)).collect(),
        expunged: state.tombstones().map(|it| (it.id, it.uid)).collect(),
        unnumbered: unnumbered.into_iter().collect(),
        uid_next: state.uid_next,
        counts: (
            state.unseen_count(),
            state.deleted_count(),
            state.size_total(),
        ),
    }
}

/// What is counted is what can be counted.
pub(super) fn check_counts(state: &MailboxState) {
    let messages: Vec<_> = state.iter_from(0).collect();
    let unseen = messages.iter().filter(|it| !it.flags.seen()).count();
    let deleted = messages.iter().filter(|it| it.flags.deleted()).count();
    assert_eq!(state.unseen_count(), unseen);
    assert_eq!(state.deleted_count(), deleted);
    let size = messages
        .iter()
        .fold(0, |sum: u64, it| sum.saturating_add(it.size));
    assert_eq!(state.size_total(), size);
    assert_eq!(
        state.first_unseen(),
        messages.iter().position(|it| !it.flags.seen())
    );
    assert!(messages.is_sorted_by(|one, two| one.uid < two.uid));
}

impl Fuzzed for Directory {
    type Visible = (
        Vec<super::MailboxEntry>,
        Vec<MailboxName>,
        BTreeSet<MailboxId>,
        Vec<(MailboxId, InboxMove)>,
        u32,
    );

    fn visible(&self) -> Self::Visible {
        (
            self.mailboxes().cloned().collect(),
            self.subscribed().cloned().collect(),
            self.deleted().collect(),
            self.ids().map(|id| (id, self.inbox_move(id))).collect(),
            self.uid_validity_max(),
        )
    }

    fn check(&self) {
        let names: Vec<_> = self.mailboxes().map(|entry| &entry.name).collect();
        assert!(names.is_sorted_by(|one, two| one < two), "{names:?}");
        for entry in self.mailboxes() {
            assert_eq!(self.find(&entry.name), Some(entry));
            assert!(self.contains(entry.id) && self.knows(entry.id));
        }
        let shown = self.mailboxes().count();
        assert!(shown == self.ids().filter(|id| self.contains(*id)).count());
    }

    fn batch(stamp: Stamp, source: &mut Source<'_>) -> DirectoryBatch {
        let count = usize::from(source.byte()) % OPERATIONS_MAX;
        DirectoryBatch {
            stamp,
            operations: (0..count).map(|_| directory_operation(source)).collect(),
        }
    }

    fn one_thing_each(batches: &mut [DirectoryBatch]) -> bool {
        let mut made = BTreeMap::new();
        for operation in batches.iter_mut().flat_map(|batch| &mut batch.operations) {
            if let DirectoryOperation::Create {
                mailbox,
                uid_validity,
                special_use,
                ..
            } = operation
            {
                let first = made
                    .entry(*mailbox)
                    .or_insert((*uid_validity, *special_use));
                (*uid_validity, *special_use) = *first;
            }
        }
        true
    }
}

fn directory_operation(source: &mut Source<'_>) -> DirectoryOperation {
    let kind = source.byte();
    let number = source.byte() % 8;
    let mailbox = MailboxId([number; 16]);
    let name = |source: &mut Source<'_>| match source.byte() % 6 {
        0 => MailboxName::new(&String::from_utf8_lossy(source.octets())),
        1 => MailboxName::inbox(),
        // What a mailbox is called that must give way to another one.
        2 => MailboxName::new(&format!("a-{}", &mailbox.to_string()[..8])),
        3 => MailboxName::new("a/b"),
        _ => MailboxName::new("a"),
    };
    match kind % 6 {
        0 => DirectoryOperation::Create {
            mailbox,
            name: name(source),
            uid_validity: UidValidity(NonZeroU32::MIN.saturating_add(u32::from(number))),
            special_use: (kind & 0x80 != 0).then_some(SpecialUse::Archive),
        },
        1 => DirectoryOperation::Rename {
            mailbox,
            name: name(source),
        },
        2 => DirectoryOperation::Delete { mailbox },
        3 => DirectoryOperation::Subscribe {
            name: name(source),
            subscribed: kind & 0x80 != 0,
        },
        4 => DirectoryOperation::Reserve(Reservation {
            mailbox,
            uid_validity: UidValidity(NonZeroU32::MIN.saturating_add(u32::from(source.byte()))),
        }),
        _ => DirectoryOperation::MoveInbox {
            mailbox,
            to: match kind >> 6 {
                0 => InboxMove::None,
                1 => InboxMove::Begun,
                _ => InboxMove::Done,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    /// As `core/tests/fuzz_corpus.rs` does with the other targets.
    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "a test reads the files of its corpus"
    )]
    fn fuzz_corpus_of_logs_converges() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = folder.join("../fuzz/corpus/merge");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() >= 3, "the corpus is nearly empty");
        for file in files {
            eprintln!("{}", file.display());
            super::run(&std::fs::read(&file).unwrap());
        }
    }
}
