//! Dovecot's authentication protocol, version 1.2: how other services of the same machine or
//! network, Postfix first of all, have user names and passwords checked.
//!
//! Each line is a command and ends with LF; its parts stand between TABs. A service has one
//! connection and makes requests for many users in it, each under a number of its own, and
//! gets the answers in whatever order they are ready.
//!
//! Read `grammar.rs` for what a line may be, `framing.rs` for how octets become lines,
//! `requests.rs` for what is under way, `connection.rs` for what happens when, `reply.rs` for
//! what is answered.

mod connection;
mod framing;
mod grammar;
mod reply;
mod requests;
#[cfg(test)]
mod tests;

pub use connection::{Connection, Numbers};
