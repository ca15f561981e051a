//! What an LMTP connection asks of the process around it.

use super::Address;
use crate::delivery::{InboxWriter, Recipient};

/// A request to the process.
#[derive(Debug, PartialEq, Eq)]
pub enum PostRequest {
    /// To whom mail for this address goes. Answer: `Found`.
    Find(Address),
    /// Room for so many copies of a message to be stored at once. Answer: `Room`, once there
    /// is. The connection has it until it says `Leave`, or ends.
    Room(usize),
    /// The room is not needed any more. No answer.
    Leave,
    /// As whom to write to this INBOX: see [`InboxWriter`]. Answer: `Turn`.
    Turn(Recipient),
    /// A copy whose turn it was has come to its end. The writer, if it may be lent again.
    /// No answer.
    Done(Recipient, Option<InboxWriter>),
}

/// An answer of the process.
#[derive(Debug, PartialEq, Eq)]
pub enum PostReply {
    /// To `Find`.
    Found(Result<Recipient, NoRecipient>),
    /// To `Room`.
    Room,
    /// To `Turn`.
    Turn(InboxWriter),
}

/// Why mail for an address cannot be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRecipient {
    /// There is no such account, for certain.
    Unknown,
    /// The account has not logged in since its INBOX must be known: later.
    NotYet,
    /// The accounts cannot be read just now.
    Unavailable,
}
