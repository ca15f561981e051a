//! The account machine against a storage in memory.

mod requests;
mod world;
