//! Doorbells: how servers that share a storage learn at once of what another one wrote.
//!
//! There is a fixed number of *shards*, partitions that hold nothing else, and an account
//! belongs to one of them. In each shard a server process has one item, in which it
//! announces its latest changes. Everybody watches all shards with one long poll each, so
//! that the number of polls does not depend on the number of users.
//!
//! A ring is a hint, never the news itself: who is rung reads the log. So nothing is lost
//! when an announcement is late, and nothing is told when one is forged: ids of accounts
//! and mailboxes are visible in the names of their partitions anyway.

mod announcement;
mod backoff;
mod boundary;
mod machine;
mod outgoing;
mod pace;
#[cfg(test)]
mod tests;
mod watch;

pub use announcement::Change;
pub use boundary::{DoorbellInput, DoorbellOutput};
pub use machine::Doorbell;

use crate::mailbox::AccountId;
use crate::storage::PartitionKey;

/// How many shards there are: a part of the stored format, the same on all servers.
pub const SHARDS: u32 = 8;

/// The shard of an account.
#[must_use]
pub fn shard_of(account: AccountId) -> u32 {
    // FNV-1a, whose upper bits depend on all of its input. Nobody chooses the id of an
    // account, so nothing stronger is needed.
    let hash = account.0.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash >> 16) % SHARDS
}

/// The partition of a shard. No account's keys begin like this.
#[must_use]
pub fn partition_of(shard: u32) -> PartitionKey {
    PartitionKey(format!("!bell/{shard}"))
}
