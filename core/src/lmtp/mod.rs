//! LMTP (RFC 2033): how a mail server hands over messages.
//!
//! [`Connection`] is one socket of a client. Each message goes into an object for each of
//! its recipients while it comes in, sealed to their public keys
//! ([`Delivery`](crate::delivery::Delivery)); afterwards the client is told of each recipient
//! whether the message is durably there. Who is a recipient, and as whom INBOXes are written
//! to, is asked of the process around it ([`PostRequest`]).
//!
//! Read `grammar.rs` for what a command may be, `framing.rs` and `data.rs` for how octets
//! become commands and messages, `connection.rs` for what happens then, `copies.rs` for the
//! message on its way into storage.

mod connection;
mod copies;
mod data;
mod framing;
mod grammar;
mod post;
mod reply;
mod transaction;

pub use connection::Connection;
pub use grammar::Address;
pub use post::{NoRecipient, PostReply, PostRequest};
