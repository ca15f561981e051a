//! The pure machine of Restante: an encrypted IMAP server without its network, its disk
//! and its clock.
//!
//! Bytes and storage answers go in, actions come out. The same inputs give the same
//! outputs, byte for byte. There are four machines:
//!
//! - [`imap::Connection`] is one socket. Its inputs and outputs are in [`boundary`].
//! - [`lmtp::Connection`] is one socket by which mail comes, with the same boundary.
//! - [`auth::Connection`] is one socket by which other services have passwords checked, with
//!   the same boundary.
//! - [`account::Account`] is one user, shared by that user's connections. Its inputs and
//!   outputs are in [`account`].
//!
//! They ask for storage with [`storage::StorageRequest`]. Whoever owns a machine writes
//! this loop: give it an input, then drain its outputs until it waits.
//!
//! ```
//! use restante_core::boundary::{Input, Output};
//! use restante_core::config::Config;
//! use restante_core::imap::{Connection, Peer};
//! use restante_core::random::Seed;
//! use restante_core::time::{Instant, Now};
//! use std::sync::Arc;
//!
//! let now = Now { instant: Instant(0), unix_ms: 1_700_000_000_000 };
//! let peer = Peer { loopback: true, tls: false };
//! // The seed is random in a server; a fixed one gives a fixed run.
//! let seed = Seed::new([7; 32]);
//! let mut connection = Connection::new(Arc::new(Config::default()), seed, now, peer);
//!
//! let mut socket = Vec::new(); // what the client reads
//! let mut client = [&b"a1 NOOP\r\na2 LOG"[..], &b"OUT\r\n"[..]].into_iter();
//! loop {
//!     // 1. Drain: do what each output says, until Wait or Close.
//!     let wait = loop {
//!         match connection.poll_output() {
//!             Output::Wait(wait) => break Some(wait),
//!             Output::Close => break None,
//!             // Storage, Derive, Account and StartTls are carried out here; their answers
//!             // come back as inputs. This client needs none of them.
//!             _event => {}
//!         }
//!     };
//!     // 2. Send what is to be sent, and say how much was.
//!     let sent = connection.transmit().len();
//!     socket.extend_from_slice(connection.transmit());
//!     if sent > 0 {
//!         connection.handle_input(now, Input::Transmitted(sent));
//!         continue;
//!     }
//!     let Some(wait) = wait else { break };
//!     // 3. Wait for octets (at most `wait.receive`), answers, or the deadline.
//!     match client.next() {
//!         Some(octets) => {
//!             assert!(octets.len() <= wait.receive);
//!             connection.handle_input(now, Input::Received(octets));
//!         }
//!         None => connection.handle_input(now, Input::Eof),
//!     }
//! }
//! let said = String::from_utf8(socket).unwrap();
//! assert!(said.starts_with("* OK [CAPABILITY IMAP4rev1 "));
//! assert!(said.ends_with("a1 OK Nothing was done\r\n* BYE Until next time\r\na2 OK Logged out\r\n"));
//! ```
//!
//! # Where to read
//!
//! Of a FETCH, what happens in here is in these files of [`imap`], in this order:
//! `connection/mod.rs` (octets come in), `connection/framing.rs` (a command is found),
//! `connection/dispatch.rs` (`grammar/` understands it, and who answers it),
//! `connection/fetch.rs` (what is answered), `connection/body.rs` (octets of a message are
//! asked for, and opened by [`seal`]). `workflow.rs` is how the last two wait without a runtime.
//! The README follows it out of the core, to Garage and back.
#![forbid(unsafe_code)]

// The oracle of the grammar is shared with the fuzz targets, for which this is another crate.
#[cfg(test)]
extern crate self as restante_core;

pub mod account;
pub mod auth;
pub mod boundary;
pub mod config;
pub mod delivery;
pub mod doorbell;
pub mod imap;
pub mod lmtp;
pub mod mailbox;
pub mod mime;
pub mod random;
pub mod sasl;
pub mod seal;
pub mod storage;
mod storing;
pub mod summary;
pub mod time;
mod transmit;
mod workflow;
