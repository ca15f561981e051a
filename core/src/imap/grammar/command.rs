//! The commands, parsed: what a session works with. Names are decoded, numbers are
//! numbers, macros are expanded; which command is legal in which state is not said here.

use super::{FetchItem, ListPattern, SearchKey, SequenceSet};
use crate::mailbox::{FlagChange, MailboxName, SpecialUse, UidValidity};
use core::fmt;
use zeroize::Zeroizing;

/// A command of a client. Each variant names the rule it was parsed by.
#[derive(PartialEq)]
pub enum Command {
    /// RFC 3501 §6.1.1
    Capability,
    /// RFC 3501 §6.1.2
    Noop,
    /// RFC 3501 §6.1.3
    Logout,
    /// RFC 3501 §6.2.1
    StartTls,
    /// RFC 3501 §6.2.2, with the initial response of RFC 4959.
    Authenticate {
        /// The mechanism, in capitals.
        mechanism: String,
        /// What the client sends with the command.
        initial: Option<InitialResponse>,
    },
    /// RFC 3501 §6.2.3
    Login {
        /// The user's name, UTF-8.
        user: String,
        /// The password, UTF-8.
        password: Zeroizing<String>,
    },
    /// RFC 2971 §3.1; `None` is NIL.
    Id(Option<Vec<(String, Option<String>)>>),
    /// RFC 5161; the capabilities in capitals, known or not.
    Enable(Vec<String>),
    /// RFC 3501 §6.3.1, with parameters (RFC 4466 §2.1).
    Select {
        /// The mailbox.
        mailbox: MailboxName,
        /// Its parameters.
        parameters: SelectParameters,
    },
    /// RFC 3501 §6.3.2, with parameters (RFC 4466 §2.1).
    Examine {
        /// The mailbox.
        mailbox: MailboxName,
        /// Its parameters.
        parameters: SelectParameters,
    },
    /// RFC 3501 §6.3.3, with `(USE (…))` (RFC 6154 §3).
    Create {
        /// The mailbox; a separator at the end, which only announces that there will be
        /// names below, is not in it.
        mailbox: MailboxName,
        /// What the mailbox is for.
        special_use: Vec<SpecialUse>,
        /// Whether a use was asked for that cannot be set: NO `[USEATTR]` (RFC 6154 §3).
        unsupported_use: bool,
    },
    /// RFC 3501 §6.3.4
    Delete {
        /// The mailbox.
        mailbox: MailboxName,
    },
    /// RFC 3501 §6.3.5
    Rename {
        /// The name it has.
        from: MailboxName,
        /// The name it shall have.
        to: MailboxName,
    },
    /// RFC 3501 §6.3.6
    Subscribe {
        /// The mailbox, which need not exist.
        mailbox: MailboxName,
    },
    /// RFC 3501 §6.3.7
    Unsubscribe {
        /// The mailbox, which need not exist.
        mailbox: MailboxName,
    },
    /// RFC 3501 §6.3.8 and §6.3.9, RFC 5258, XLIST.
    List(ListCommand),
    /// RFC 2342 §5
    Namespace,
    /// RFC 3501 §6.3.10
    Status {
        /// The mailbox.
        mailbox: MailboxName,
        /// What to say about it; at least one, none twice.
        items: Vec<StatusItem>,
    },
    /// RFC 2177
    Idle,
    /// RFC 3501 §6.4.1
    Check,
    /// RFC 3501 §6.4.2
    Close,
    /// RFC 3691
    Unselect,
    /// RFC 3501 §6.4.3
    Expunge,
    /// RFC 4315 §2.1
    UidExpunge(SequenceSet),
    /// RFC 3501 §6.4.4, with the return options of RFC 4731 and RFC 5182.
    Search {
        /// Whether the answer is in UIDs.
        uid: bool,
        /// US-ASCII or UTF-8 in capitals, if the client named one.
        charset: Option<String>,
        /// What to find.
        key: SearchKey,
        /// What to return as ESEARCH; `None` asks for an untagged SEARCH. `RETURN ()`
        /// is `ALL` (RFC 4731 §3.1).
        return_options: Option<Vec<ReturnOption>>,
    },
    /// RFC 3501 §6.4.5, with the modifiers of RFC 7162 §3.1.4.1 and §3.2.6.
    Fetch {
        /// Whether the set is of UIDs; UID is then returned even if not among the items.
        uid: bool,
        /// The messages.
        set: SequenceSet,
        /// What to return of each; at least one, none twice.
        items: Vec<FetchItem>,
        /// Only messages that changed after this modification sequence.
        changed_since: Option<u64>,
        /// Also name the UIDs that vanished since.
        vanished: bool,
    },
    /// RFC 3501 §6.4.6, with the modifier of RFC 7162 §3.1.3.
    Store {
        /// Whether the set is of UIDs.
        uid: bool,
        /// The messages.
        set: SequenceSet,
        /// What to do with their flags.
        change: FlagChange,
        /// Whether the client does not ask for the new flags.
        silent: bool,
        /// Only messages that did not change after this modification sequence.
        unchanged_since: Option<u64>,
    },
    /// RFC 3501 §6.4.7
    Copy {
        /// Whether the set is of UIDs.
        uid: bool,
        /// The messages.
        set: SequenceSet,
        /// Where to.
        mailbox: MailboxName,
    },
    /// RFC 6851
    Move {
        /// Whether the set is of UIDs.
        uid: bool,
        /// The messages.
        set: SequenceSet,
        /// Where to.
        mailbox: MailboxName,
    },
}

impl Command {
    /// The name of the command, with UID where that is part of it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::StartTls => "STARTTLS",
            Self::Authenticate { .. } => "AUTHENTICATE",
            Self::Login { .. } => "LOGIN",
            Self::Id(_) => "ID",
            Self::Enable(_) => "ENABLE",
            Self::Select { .. } => "SELECT",
            Self::Examine { .. } => "EXAMINE",
            Self::Create { .. } => "CREATE",
            Self::Delete { .. } => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::Unsubscribe { .. } => "UNSUBSCRIBE",
            Self::List(list) => list.kind.name(),
            Self::Namespace => "NAMESPACE",
            Self::Status { .. } => "STATUS",
            Self::Idle => "IDLE",
            Self::Check => "CHECK",
            Self::Close => "CLOSE",
            Self::Unselect => "UNSELECT",
            Self::Expunge => "EXPUNGE",
            Self::UidExpunge(_) => "UID EXPUNGE",
            Self::Search { uid: false, .. } => "SEARCH",
            Self::Search { uid: true, .. } => "UID SEARCH",
            Self::Fetch { uid: false, .. } => "FETCH",
            Self::Fetch { uid: true, .. } => "UID FETCH",
            Self::Store { uid: false, .. } => "STORE",
            Self::Store { uid: true, .. } => "UID STORE",
            Self::Copy { uid: false, .. } => "COPY",
            Self::Copy { uid: true, .. } => "UID COPY",
            Self::Move { uid: false, .. } => "MOVE",
            Self::Move { uid: true, .. } => "UID MOVE",
        }
    }
}

impl fmt::Debug for Command {
    /// Only the name: the arguments are passwords, names of mailboxes and words to find.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} …)", self.name())
    }
}

/// The initial response of AUTHENTICATE, decoded (RFC 4959 §3); `=` is an empty one.
#[derive(Clone, PartialEq, Eq)]
pub struct InitialResponse(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for InitialResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InitialResponse(…)")
    }
}

/// The parameters of SELECT and EXAMINE (RFC 7162 §3.1.8 and §3.2.5).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SelectParameters {
    /// `CONDSTORE`
    pub condstore: bool,
    /// `QRESYNC (…)`
    pub qresync: Option<QResync>,
}

/// What a client says that it knows of a mailbox (RFC 7162 §3.2.5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QResync {
    /// The UIDVALIDITY it knows.
    pub uid_validity: UidValidity,
    /// The highest modification sequence it knows, 63 bits.
    pub mod_seq: u64,
    /// The UIDs it knows, without `*`.
    pub known_uids: Option<SequenceSet>,
    /// Message numbers and the UIDs they had, without `*`.
    pub seq_match: Option<(SequenceSet, SequenceSet)>,
}

/// LIST and its kin.
#[derive(Clone, Debug, PartialEq)]
pub struct ListCommand {
    /// Which of them.
    pub kind: ListKind,
    /// Which mailboxes (RFC 5258 §3.1).
    pub selection: ListSelection,
    /// What to say about each (RFC 5258 §3.2).
    pub return_options: ListReturn,
    /// Whether selection, return options or several patterns were given.
    pub extended: bool,
    /// Whether this is `LIST "" ""`, which asks for the separator and has no patterns
    /// (RFC 3501 §6.3.8).
    pub asks_separator: bool,
    /// The reference, decoded; it is already part of the patterns.
    pub reference: String,
    /// The patterns; a mailbox is listed once if any of them matches.
    pub patterns: Vec<ListPattern>,
}

/// Which command of the LIST family, and so which response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// RFC 3501 §6.3.8
    List,
    /// RFC 3501 §6.3.9
    Lsub,
    /// LIST with special uses, older than RFC 6154; some clients still send it.
    Xlist,
}

impl ListKind {
    /// The name of command and response.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "LIST",
            Self::Lsub => "LSUB",
            Self::Xlist => "XLIST",
        }
    }
}

/// Selection options of LIST (RFC 5258 §3.1, RFC 6154 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ListSelection {
    /// `SUBSCRIBED`: what is subscribed, existing or not.
    pub subscribed: bool,
    /// `REMOTE`: also remote mailboxes, of which there are none.
    pub remote: bool,
    /// `RECURSIVEMATCH`: also what has a selected mailbox below it.
    pub recursive_match: bool,
    /// `SPECIAL-USE`: what has a special use.
    pub special_use: bool,
}

/// Return options of LIST (RFC 5258 §3.2, RFC 6154 §2, RFC 5819).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListReturn {
    /// `SUBSCRIBED`
    pub subscribed: bool,
    /// `CHILDREN`
    pub children: bool,
    /// `SPECIAL-USE`
    pub special_use: bool,
    /// `STATUS (…)`
    pub status: Option<Vec<StatusItem>>,
}

/// What STATUS tells of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusItem {
    /// RFC 3501 §6.3.10
    Messages,
    /// RFC 3501 §6.3.10
    Recent,
    /// RFC 3501 §6.3.10
    UidNext,
    /// RFC 3501 §6.3.10
    UidValidity,
    /// RFC 3501 §6.3.10
    Unseen,
    /// RFC 8438: octets of all messages.
    Size,
    /// RFC 7889: octets of the largest message that APPEND takes.
    AppendLimit,
    /// RFC 9051 §6.3.11: messages with `\Deleted`.
    Deleted,
    /// RFC 7162 §3.1.7
    HighestModSeq,
}

impl StatusItem {
    /// All items with their names.
    pub(super) const NAMES: [(Self, &'static str); 9] = [
        (Self::Messages, "MESSAGES"),
        (Self::Recent, "RECENT"),
        (Self::UidNext, "UIDNEXT"),
        (Self::UidValidity, "UIDVALIDITY"),
        (Self::Unseen, "UNSEEN"),
        (Self::Size, "SIZE"),
        (Self::AppendLimit, "APPENDLIMIT"),
        (Self::Deleted, "DELETED"),
        (Self::HighestModSeq, "HIGHESTMODSEQ"),
    ];

    /// The name in command and response.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(item, _)| *item == self);
        found.expect("every item has a name").1
    }
}

/// What SEARCH returns (RFC 4731 §3.1, RFC 5182 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnOption {
    /// The lowest number.
    Min,
    /// The highest number.
    Max,
    /// All of them, as a set.
    All,
    /// How many.
    Count,
    /// Keep the result as `$`.
    Save,
}
