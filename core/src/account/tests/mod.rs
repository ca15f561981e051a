//! The account machine against a storage in memory.

mod faults;
mod requests;
mod world;
