//! One user: the machine that owns a user's mailboxes, shared by all of that user's
//! connections and owned by one task.

mod apart;
mod boundary;
mod checkpoint;
mod commit;
mod known;
mod load;
mod log;
mod machine;
mod plan;
mod requests;
mod ringing;
mod selection;
mod shared;
mod sleep;
#[cfg(test)]
mod tests;
mod upkeep;
mod verify;
mod writers;

pub use boundary::{
    AccountFailure, AccountInput, AccountOutput, AccountReply, AccountRequest, Bodies,
    CheckOptions, ConnectionId, Copied, InternalDate, NewMessage, Snapshot, UnchangedSince,
};
pub use machine::Account;
pub use sleep::Sleepers;
pub use upkeep::{CheckReport, Finding, Recoverable, Recovered, SweepReport, Trouble};
pub use writers::Writers;
