//! The boundary of a connection: one way in, one way out.

use crate::account::{AccountReply, AccountRequest};
use crate::lmtp::{PostReply, PostRequest};
use crate::seal::AccountKeys;
use crate::storage::{RequestId, StorageRequest, StorageResponse};
use crate::time::Instant;
use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A user name and a password, as the client gave them.
pub struct Credentials {
    /// The authentication identity, UTF-8.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
    /// Where the user is, if somebody else asks for the user: not where the socket leads.
    pub source: Option<IpAddr>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// The account that a password opened.
#[derive(Clone)]
pub struct Login {
    /// Its keys.
    pub keys: Arc<AccountKeys>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// No such user, or not this password: the same to the client.
    Invalid,
    /// The accounts cannot be read just now, or too many passwords are being checked.
    Unavailable,
    /// It is the password, but what is kept beside the account's keys is not what they say:
    /// its public key was replaced, and whoever did it reads new mail.
    Altered,
    /// The account has as many connections as it may have.
    TooManyConnections,
}

/// What goes into a connection.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes from the client, at most as many as the last `Wait` said.
    Received(&'a [u8]),
    /// The client will send no more.
    Eof,
    /// This many bytes of `transmit()` have gone into the socket.
    Transmitted(usize),
    /// An answer of storage.
    Storage(RequestId, StorageResponse),
    /// The answer to `Derive`.
    Derived(RequestId, Result<Login, LoginError>),
    /// From the account.
    Account(AccountReply),
    /// The answer to `Post`.
    Post(RequestId, PostReply),
    /// The handshake that `StartTls` asked for is done.
    TlsEstablished,
    /// The deadline of the last `Wait` has passed.
    Timeout,
    /// Say good-bye as soon as the command that runs is answered.
    Shutdown,
}

/// What comes out of a connection.
#[derive(Debug)]
pub enum Output {
    /// A request to storage.
    Storage(RequestId, StorageRequest),
    /// Find the account and derive its keys, off the executor (Argon2).
    Derive(RequestId, Credentials),
    /// A request to the account that `Derived` brought.
    Account(AccountRequest),
    /// A request to the process around an LMTP connection.
    Post(RequestId, PostRequest),
    /// Everything in `transmit()` goes out in the clear first, then the TLS handshake
    /// begins; bytes received before it must have been discarded.
    StartTls,
    /// The answer to this request is of no interest any more, streams included.
    Abandon(RequestId),
    /// For the log and the metrics.
    Event(Event),
    /// Nothing more for now.
    Wait(Wait),
    /// Send what is in `transmit()`, then close the socket.
    Close,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How many bytes it can take, at most. 0: stop reading the socket.
    pub receive: usize,
    /// When it wants `Timeout`, and why.
    pub deadline: Option<(Instant, Reason)>,
}

/// Why a connection has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client must log in.
    Login,
    /// The client must send a command.
    Inactivity,
    /// The client must send the rest of a command that it has begun.
    Command,
    /// IDLE: time for `* OK Still here`.
    KeepAlive,
    /// IDLE: there were no news for so long that the mailbox need not be kept at hand.
    Sleep,
    /// The client must read what was sent.
    Stall,
    /// A wrong password is answered late.
    Penalty,
    /// A command has computed for long, and goes on at once when others had a turn.
    Turn,
    /// What failed is to be tried again.
    Retry,
    /// What a command waits for should be there by now.
    Patience,
}

/// Something for the log or the metrics. Holds no secret and no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client logged in.
    Authenticated,
    /// A client gave a wrong password.
    Rejected,
    /// The connection ended before its time: why.
    Aborted(&'static str),
    /// The client broke the protocol: what it was told.
    BadCommand(&'static str),
    /// A stored value could not be opened: where, and what was wrong.
    Damaged {
        /// Partition and sort key, or object key.
        place: String,
        /// What was wrong.
        reason: String,
    },
    /// Storage failed.
    StorageFailed {
        /// What was being done.
        step: &'static str,
        /// What storage said.
        reason: String,
    },
    /// What nobody names any more was collected.
    Swept(crate::account::SweepReport),
    /// A command was answered: for counting.
    Completed {
        /// Its name in capitals.
        command: &'static str,
    },
}
