//! The simulation: several server processes made of the real core, a model of Garage,
//! scripted clients, and a world in which everything goes wrong that may.
//!
//! All of it is one thread, one clock that is a number, and one generator of chance, so a
//! seed stands for a run: the same seed gives the same run to the last octet. `world.rs` is
//! the loop, `garage/` the storage, `process.rs` a server with its tasks in `account.rs`, `line.rs`, `doorbell.rs` and `post.rs`, `client.rs` and `script.rs` a
//! client, `onlooker.rs` one that only looks, `device.rs` and `ledger.rs` what must hold, `settle.rs` the end.
//! `docs/simulation.md` says how to run it and what it has found.

mod account;
mod answers;
mod appending;
mod audit;
mod cache;
mod chance;
mod client;
mod conditional;
mod copying;
mod device;
mod doorbell;
mod fetching;
mod garage;
mod judging;
mod ledger;
mod line;
mod onlooker;
mod post;
mod process;
mod script;
mod searching;
mod settle;
mod standstill;
mod storing;
mod subscribing;
mod trace;
mod upkeep;
mod world;

use std::collections::BTreeMap;
pub use world::Options;
use world::World;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What must never be, and was.
    pub violation: Option<String>,
    /// Of all that happened.
    pub hash: u64,
    /// Events that happened.
    pub steps: u64,
    /// Objects and logs that were collected.
    pub collected: u64,
    /// Messages of which it was forgotten that they were expunged.
    pub forgotten: u64,
    /// Machines of accounts that began for connections that slept.
    pub resumed: u64,
    /// Times that a client that keeps mailboxes (QRESYNC) selected one.
    pub resynchronised: u64,
    /// UIDs that stood for two messages, told to two clients (or the run fails).
    pub told_twice: u64,
    /// Commands that were answered OK, by kind.
    pub acknowledged: BTreeMap<&'static str, u64>,
    /// Commands that were answered NO, by kind.
    pub refused: BTreeMap<&'static str, u64>,
}

/// Runs one world to its end.
#[must_use]
pub fn run(options: &Options) -> Outcome {
    let mut world = World::new(options);
    while world.violation.is_none() && world.steps < options.steps && world.step() {}
    if world.violation.is_none() {
        world.settle();
    }
    Outcome {
        violation: world.violation,
        hash: world.trace.hash(),
        steps: world.steps,
        collected: world.collected,
        forgotten: world.forgotten,
        resumed: world.resumed,
        told_twice: world.ledger.told_twice(),
        resynchronised: world.resynchronised,
        acknowledged: world.ledger.acknowledged,
        refused: world.ledger.refused,
    }
}
