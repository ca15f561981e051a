//! Delivery without the user's keys.
//!
//! Who delivers knows of an account its id, its public key and which mailbox is its INBOX.
//! The message goes into an object that is sealed to the public key, and then an *arrival*,
//! sealed to it as well, is appended to INBOX's log, under a writer of the deliverer's own.
//! The next server that opens the log with the user's keys claims a UID for it.

mod machine;

pub use machine::{
    Delivery, DeliveryFailure, DeliveryInput, DeliveryOutput, InboxWriter, Recipient,
};
