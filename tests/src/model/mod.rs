//! A model of IMAP: clients that do anything, and a reference that says what they may be
//! told. `docs/modelling.md` explains it.
//!
//! [`generate`] makes cases, [`command`] is what a client can say. [`run`] has clients
//! talk to a server ([`wire`]), all of them at once, and then [`explain`] looks for an order
//! of events in which all answers are right: [`act`] is what commands do to the reference
//! ([`mailbox`]), [`hear`] what clients may be told of it.

pub mod act;
pub mod command;
pub mod effort;
pub mod explain;
mod fetched;
pub mod flags;
mod found;
pub mod generate;
pub mod hear;
pub mod key;
pub mod mailbox;
pub mod run;
pub mod search;
mod select;
pub mod set;
pub mod socket;
mod status;
pub mod text;
mod vanished;
pub mod wire;
pub mod world;
