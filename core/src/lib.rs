//! The pure machine of Restante: an encrypted IMAP server without its network,
//! its disk and its clock.
//!
//! Bytes and storage answers go in, actions come out. The same inputs give the
//! same outputs, byte for byte. See [`boundary`] for the contract.
#![forbid(unsafe_code)]

pub mod account;
pub mod boundary;
pub mod config;
pub mod imap;
pub mod mailbox;
pub mod mime;
pub mod random;
pub mod seal;
pub mod storage;
pub mod summary;
pub mod time;
mod workflow;
