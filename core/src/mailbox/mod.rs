//! A mailbox: a log of operations, the state they add up to, and the checkpoints
//! that keep the log short.

mod identity;
mod flag;

pub use flag::{Flag, FlagChange, FlagAction, Keyword};
pub use identity::{AccountId, ContentId, MailboxId, MailboxName, MessageId, ModSeq, SeqNumber, SpecialUse, Uid, UidValidity, WriterId};
