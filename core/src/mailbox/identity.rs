//! Newtypes for the numbers and names that must not be mixed.

use core::fmt;
use core::num::NonZeroU32;
use sha2::{Digest, Sha256};

/// Unique identifier of a message in its mailbox (RFC 3501 §2.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub NonZeroU32);

impl Uid {
    /// The first UID of every mailbox.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The UID `number`; `None` for zero.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of a message in a client's view of the mailbox, from 1 (RFC 3501 §2.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqNumber(pub NonZeroU32);

/// Says that UIDs of another value name other messages (RFC 3501 §2.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidValidity(pub NonZeroU32);

/// Modification sequence (RFC 7162): 63 bits, never zero once assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ModSeq(pub u64);

macro_rules! random_identity {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl $name {
            /// An identity that sorts by time: 48 bits of `unix_ms`, then 80 random bits.
            #[must_use]
            pub fn at(unix_ms: u64, random: &mut crate::random::Random) -> Self {
                let mut bytes: [u8; 16] = random.bytes();
                bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
                Self(bytes)
            }

            /// The time that [`at`](Self::at) was given: milliseconds since 1970.
            #[must_use]
            pub fn unix_ms(&self) -> u64 {
                let [a, b, c, d, e, f, ..] = self.0;
                u64::from_be_bytes([0, 0, a, b, c, d, e, f])
            }
        }
    )*};
}

random_identity! {
    /// Names an account for ever, whatever its login becomes.
    AccountId;
    /// Names a mailbox for ever, whatever its name becomes.
    MailboxId;
    /// Names one message of one mailbox. A copy of it has another one, which after MOVE follows from
    /// the original's ([`MessageId::moved`]); only what moves by a RENAME of INBOX keeps its own.
    MessageId;
    /// Names a sealed body with its summary; copies of a message share it.
    ContentId;
    /// Names one writer of logs: one run of one server process for one account.
    WriterId;
}

impl MessageId {
    /// The identity of this message once it has moved to a mailbox, the same for all who move it there, so
    /// that it arrives once. `again` numbers those that are needed where a message of the ones before
    /// was there and was expunged.
    pub(crate) fn moved(self, to: MailboxId, again: u8) -> Self {
        let mut digest = Sha256::new();
        digest.update(self.0);
        digest.update(to.0);
        digest.update([again]);
        let digest: [u8; 32] = digest.finalize().into();
        let mut id = self.0;
        // Its time stays (`MessageId::at`).
        id[6..].copy_from_slice(&digest[..10]);
        Self(id)
    }
}

/// The name of a mailbox, in UTF-8, hierarchy separator `/`. `INBOX` is always
/// written in capitals, also as the first level of a longer name (RFC 3501 §5.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(String);

impl MailboxName {
    /// The separator of hierarchy levels.
    pub const SEPARATOR: char = '/';

    /// Takes a name as a client gave it, decoded to UTF-8. Only case is normalised;
    /// whether such a mailbox may be *created* is the directory's to say.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let first = name.split(Self::SEPARATOR).next().unwrap_or_default();
        if first.eq_ignore_ascii_case("INBOX") {
            Self(format!("INBOX{}", &name[first.len()..]))
        } else {
            Self(name.to_owned())
        }
    }

    /// The one mailbox that every account has.
    #[must_use]
    pub fn inbox() -> Self {
        Self("INBOX".to_owned())
    }

    /// Whether this is INBOX itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }

    /// The name in UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MailboxName {
    /// Names of mailboxes are the user's secret: logs see only that there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxName(…)")
    }
}

/// What a mailbox is for (RFC 6154 §2). Only those that one may set on creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All servers, of whichever version, must come to the same.
    #[test]
    fn a_message_that_moves_gets_the_identity_that_it_has_always_got() {
        let (message, to) = (MessageId([1; 16]), MailboxId([2; 16]));
        let moved = message.moved(to, 0);
        assert_eq!(moved.to_string(), "0101010101011f96906995e84cd63108");
        assert_eq!(
            message.moved(to, 1).to_string(),
            "010101010101d49c6b6f238cae135ea3"
        );
        assert_eq!(moved.unix_ms(), message.unix_ms());
    }
}
