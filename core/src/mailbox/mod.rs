//! A mailbox: a log of operations, the state they add up to, and the checkpoints
//! that keep the log short.

mod flag;
mod identity;

pub use flag::{Flag, FlagAction, FlagChange, Keyword};
pub use identity::{
    AccountId, ContentId, MailboxId, MailboxName, MessageId, ModSeq, SeqNumber, SpecialUse, Uid,
    UidValidity, WriterId,
};

/// The mailboxes of an account.
#[derive(Debug)]
pub struct Directory;
/// The state of a mailbox.
#[derive(Debug)]
pub struct MailboxState;
