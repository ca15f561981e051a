//! A mailbox: a log of operations, the state they add up to, and the checkpoints
//! that keep the log short.

mod blocks;
mod checkpoint;
#[cfg(test)]
mod checkpoint_tests;
mod claims;
mod clock;
#[cfg(any(test, fuzzing))]
pub mod convergence;
mod directory;
#[cfg(test)]
mod directory_tests;
mod encoding;
mod flag;
mod gone;
mod history;
mod identity;
mod keywords;
mod last;
mod ledger;
mod log;
mod merge;
#[cfg(test)]
mod merge_tests;
mod message;
mod modseq;
#[cfg(test)]
mod modseq_tests;
mod naming;
mod operation;
mod part;
mod pointer;
mod reserved;
#[cfg(test)]
mod roaming_tests;
mod state;
mod told_again;
mod touched;
mod version_vector;

pub use directory::{Directory, MailboxEntry};
pub use encoding::DecodeError;
pub use flag::{Flag, FlagAction, FlagChange, Keyword};
pub use identity::{
    AccountId, ContentId, MailboxId, MailboxName, MessageId, ModSeq, SeqNumber, SpecialUse, Uid,
    UidValidity, WriterId,
};
pub use message::{FlagBit, FlagSet, Message};
pub use state::MailboxState;

pub(crate) use claims::Owed;
pub(crate) use clock::{Clock, Stamp};
pub(crate) use directory::{DirectoryBatch, DirectoryOperation, InboxMove};
pub(crate) use encoding::{Decoder, Encoder};
pub(crate) use history::BatchId;
pub(crate) use last::Last;
pub(crate) use ledger::{Deleted, Ledger};
pub(crate) use log::LogState;
pub(crate) use merge::Floor;
pub(crate) use naming::Making;
pub(crate) use operation::{Batch, Operation};
pub(crate) use part::Part;
pub(crate) use pointer::CheckpointPointer;
pub(crate) use reserved::Reservation;
pub(crate) use state::Tombstone;
pub(crate) use touched::Since;
pub(crate) use version_vector::{LogPosition, VersionVector};
