//! One user: the machine that owns a user's mailboxes, shared by all of that user's
//! connections and owned by one task.

mod boundary;

pub use boundary::{AccountInput, AccountOutput, AccountReply, AccountRequest, AccountFailure, ConnectionId, InternalDate, NewMessage, Snapshot, Copied};
