//! A mailbox: a log of operations, the state they add up to, and the checkpoints
//! that keep the log short.

mod blocks;
mod claims;
mod clock;
mod encoding;
mod flag;
mod identity;
mod merge;
#[cfg(test)]
mod merge_tests;
mod message;
mod operation;
mod state;
mod version_vector;

pub use encoding::DecodeError;
pub use flag::{Flag, FlagAction, FlagChange, Keyword};
pub use identity::{
    AccountId, ContentId, MailboxId, MailboxName, MessageId, ModSeq, SeqNumber, SpecialUse, Uid,
    UidValidity, WriterId,
};
pub use message::{FlagBit, FlagSet, Message};
pub use state::MailboxState;

/// The mailboxes of an account.
#[derive(Debug)]
pub struct Directory;
