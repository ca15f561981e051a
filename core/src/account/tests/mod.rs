//! The account machine against a storage in memory.

mod checkpoints;
mod faults;
mod requests;
mod world;
