//! IMAP: the grammar of commands and responses, and the connection that answers them.

mod connection;
pub mod grammar;

pub use connection::{Connection, Peer};
