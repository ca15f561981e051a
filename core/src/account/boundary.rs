//! What a connection asks of its account, and what it is told.
//!
//! A connection has at most one request open, and each request gets exactly one
//! reply. Beside replies only [`AccountReply::Changed`] comes, to connections that
//! have a mailbox selected; a newer one makes an older one pointless, so a
//! connection keeps just the last.

use super::upkeep::{CheckReport, Recovered, SweepReport};
use crate::boundary::Event;
use crate::mailbox::{
    ContentId, Directory, Flag, FlagChange, MailboxId, MailboxName, MailboxState, ModSeq,
    SpecialUse, Uid, UidValidity,
};
use crate::seal::ContentKind;
use crate::storage::{InsertItem, RequestId, StorageRequest, StorageResponse};
use crate::time::Instant;
use std::sync::Arc;

/// Names one connection among those of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// When a message arrived, with the zone it is to be shown in (RFC 3501 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalDate {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_s: i64,
    /// Minutes east of Greenwich, -1439 to 1439.
    pub zone_min: i16,
}

/// A message whose content is stored already and which now is to be named by a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// The sealed object and the summary item.
    pub content: ContentId,
    /// How the object is sealed: by the account itself, or by who delivered it.
    pub kind: ContentKind,
    /// RFC822.SIZE in octets.
    pub size: u64,
    /// Where in the stored object the sealed summary begins, in octets.
    pub summary_offset: u64,
    /// Length of the sealed summary in octets. Up to
    /// [`summary_item_bytes_max`](crate::config::Config::summary_item_bytes_max) it is
    /// also an item.
    pub summary_len: u32,
    /// INTERNALDATE.
    pub internal_date: InternalDate,
    /// The flags it starts with.
    pub flags: Vec<Flag>,
}

/// The state of a mailbox as one connection may see it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state, never changed again.
    pub state: Arc<MailboxState>,
    /// Messages from this UID on, up to the last one in `state`, are `\Recent` for this
    /// connection, and for no other from now on. `None`: nothing new is.
    pub recent_from: Option<Uid>,
}

/// The condition of a STORE (RFC 7162 §3.1.3).
#[derive(Clone, Debug)]
pub struct UnchangedSince {
    /// UNCHANGEDSINCE.
    pub modseq: ModSeq,
    /// What the client was shown: where a message changed later it tells whether its flags
    /// that are to be stored did (§3.1.12).
    pub shown: Arc<MailboxState>,
}

/// A request of a connection to its account.
#[derive(Clone, Debug)]
pub enum AccountRequest {
    /// The mailboxes. Reply: `Directory`.
    List,
    /// CREATE. Missing parents are created as well. Reply: `Done`.
    Create {
        /// Its name.
        name: MailboxName,
        /// `USE (…)` of RFC 6154 §3.
        special_use: Option<SpecialUse>,
    },
    /// DELETE. Reply: `Done`.
    Delete(MailboxName),
    /// RENAME, children included; of INBOX: its messages move to a new mailbox
    /// (RFC 3501 §6.3.5). One of INBOX that failed half way is completed by the same
    /// request made again, by whomever. Reply: `Done`.
    Rename {
        /// Old name.
        from: MailboxName,
        /// New name.
        to: MailboxName,
    },
    /// SUBSCRIBE and UNSUBSCRIBE; the mailbox need not exist. Reply: `Done`.
    Subscribe {
        /// Its name.
        name: MailboxName,
        /// Whether to be subscribed from now on.
        subscribed: bool,
    },
    /// SELECT or EXAMINE: from now on `Changed` comes for this mailbox. Ends the
    /// selection before, also when it fails. Reply: `Selected`.
    Select {
        /// Its name.
        name: MailboxName,
        /// EXAMINE: takes no `\Recent`.
        read_only: bool,
    },
    /// CLOSE and UNSELECT: nothing is selected from now on. Reply: `Done`.
    Unselect,
    /// The selected mailbox need not be kept at hand for this connection: instead of
    /// `Changed` it gets `Stirred`, and what it was shown it keeps itself. The one request
    /// without reply; the next one may follow at once.
    Sleep,
    /// Ends [`Sleep`](Self::Sleep), also for who slept beside a machine of this account that
    /// is no more. A newer state cannot come in time after
    /// [`refresh_patience`](crate::config::Config::refresh_patience): then the request fails
    /// and the connection sleeps on; `Stirred` comes again once the mailbox was read. Reply: `Snapshot`.
    Resume {
        /// The selected mailbox.
        mailbox: MailboxId,
        /// EXAMINE: takes no `\Recent`.
        read_only: bool,
    },
    /// NOOP and CHECK: the newest state of the selected mailbox, read from storage
    /// where other servers may have written. After
    /// [`refresh_patience`](crate::config::Config::refresh_patience), or when storage
    /// fails, it is what is known; what is read later comes as `Changed`.
    /// Reply: `Snapshot`.
    Refresh,
    /// STATUS: the state of a mailbox without selecting it. Reply: `Status`.
    Status(MailboxName),
    /// Whether APPEND or COPY to this mailbox can work. Reply: `Done` or `Failed`.
    Probe(MailboxName),
    /// APPEND: all of them or none, whatever fails. After `Unavailable` it is not known
    /// which: all of them may still appear. Reply: `Appended`.
    Append {
        /// The mailbox.
        name: MailboxName,
        /// What to add, in this order.
        messages: Vec<NewMessage>,
        /// Sealed summaries of them, to be stored together with the operations. One that
        /// is in no item is read from its object.
        summaries: Vec<InsertItem>,
    },
    /// STORE on the selected mailbox; UIDs that are gone are passed over.
    /// Reply: `Stored`.
    Store {
        /// Ascending.
        uids: Vec<Uid>,
        /// What to change.
        change: FlagChange,
        /// Leave alone what changed since.
        unchanged_since: Option<UnchangedSince>,
    },
    /// EXPUNGE on the selected mailbox: of `uids` (all if `None`), those that have
    /// `\Deleted`. Reply: `Snapshot`.
    Expunge {
        /// Ascending.
        uids: Option<Vec<Uid>>,
    },
    /// COPY and MOVE from the selected mailbox. Of the copies all appear or none, of the
    /// originals of MOVE all go or none, and they go only when the copies are durable. A
    /// MOVE that fails in between leaves both, for the client to see (RFC 6851 §3.3: no
    /// message is lost). Reply: `Copied`.
    Copy {
        /// Ascending; those that are gone are passed over.
        uids: Vec<Uid>,
        /// Where to.
        to: MailboxName,
        /// MOVE: expunge them here once they are there.
        expunge: bool,
    },
    /// Collects what nobody names any more, now, whether it is due or not.
    /// Reply: `Swept`, or `Failed(Corrupt)` if the index is not whole: then nothing was.
    Sweep,
    /// Checks everything. Reply: `Checked`.
    Check(CheckOptions),
    /// Finds what was expunged and can be brought back by appending it.
    /// Reply: `Recoverable`.
    Undelete {
        /// Only what was expunged from this mailbox; `None`: from any, or went with one.
        mailbox: Option<MailboxName>,
        /// Only what was expunged since then, milliseconds since 1970.
        since_ms: Option<u64>,
    },
    /// A mailbox has lost a part of its log: leads its UIDs and MODSEQs so far that none
    /// that may have been shown is given again. Reply: `Done`.
    SkipUids {
        /// Which mailbox.
        mailbox: MailboxId,
        /// None below this one.
        above: Uid,
    },
}

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// How much of the bodies is read.
    pub bodies: Bodies,
    /// Puts right what can be without adding messages: summaries are made again, items that
    /// cannot be read are kept elsewhere, checkpoints that nobody needs are deleted. Before
    /// that, the UIDs of mailboxes with damage must have been skipped.
    pub repair: bool,
    /// The index is lost, or parts of it: messages that are not named are orphans however
    /// young they are, and checkpoints that cannot be read are given up.
    pub rebuild: bool,
    /// Storage is as it was some time before then (milliseconds since 1970), because it was put back from
    /// a backup: UIDs that are not known may have been shown in every mailbox, and messages that were
    /// stored before then and are not named are orphans however young they are.
    pub restored_ms: Option<u64>,
}

/// How much of the messages' bodies a check reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// Nothing, nor the summaries.
    Skip,
    /// Their beginning and end, and the summary.
    Quick,
    /// All of them.
    Full,
}

/// UIDs of copies beside those of their originals (RFC 4315 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Of the mailbox copied to.
    pub uid_validity: UidValidity,
    /// Original and copy, ascending.
    pub uids: Vec<(Uid, Uid)>,
}

/// What an account tells a connection.
#[derive(Clone, Debug)]
pub enum AccountReply {
    /// Done, and there is nothing more to say.
    Done,
    /// To `Delete`.
    Deleted {
        /// It was the one that this connection has selected: nothing is from now on.
        selected: bool,
    },
    /// To `List`.
    Directory(Arc<Directory>),
    /// To `Select`.
    Selected {
        /// Which mailbox it is.
        mailbox: MailboxId,
        /// What is in it.
        snapshot: Snapshot,
    },
    /// To `Refresh`, `Resume` and `Expunge`.
    Snapshot(Snapshot),
    /// To `Status`.
    Status(Arc<MailboxState>),
    /// To `Append`.
    Appended {
        /// Of the mailbox.
        uid_validity: UidValidity,
        /// In the order of the messages.
        uids: Vec<Uid>,
        /// The new state, if this mailbox is the one the connection has selected.
        snapshot: Option<Snapshot>,
    },
    /// To `Store`.
    Stored {
        /// The new state.
        snapshot: Snapshot,
        /// Left alone because of `unchanged_since`, ascending.
        modified: Vec<Uid>,
    },
    /// To `Copy`.
    Copied {
        /// Where the copies are.
        copied: Copied,
        /// The new state of the selected mailbox.
        snapshot: Snapshot,
    },
    /// To `Sweep`.
    Swept(SweepReport),
    /// To `Check`.
    Checked(Box<CheckReport>),
    /// To `Undelete`.
    Recoverable(Recovered),
    /// Instead of any other reply.
    Failed(AccountFailure),
    /// At any time: the selected mailbox changed, by whomever.
    Changed(Snapshot),
    /// At any time to who sleeps, once: the selected mailbox may have changed, or be gone.
    Stirred,
    /// At any time: the selected mailbox is no more. Nothing is selected from now on.
    Vanished,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountFailure {
    /// No such mailbox.
    NonExistent,
    /// There is one of that name already.
    AlreadyExists,
    /// Not with this name: the reason for the client.
    Cannot(&'static str),
    /// Over a limit of the configuration: the reason for the client.
    Limit(&'static str),
    /// Storage is full.
    OverQuota,
    /// Storage does not answer: the client may try again.
    Unavailable,
    /// What is stored is damaged; the log says more.
    Corrupt,
}

/// What goes into an account.
#[derive(Debug)]
pub enum AccountInput {
    /// From a connection.
    Request(ConnectionId, AccountRequest),
    /// The connection is gone. Its commits go on.
    Detach(ConnectionId),
    /// From storage.
    Storage(RequestId, StorageResponse),
    /// Another server, or a delivery, may have written to this mailbox (`None`: to the
    /// directory). If clients watch it, it is read again and they get `Changed`.
    Rung(Option<MailboxId>),
    /// It is not known what others wrote: everything that is watched is read again.
    RungAll,
    /// The deadline of the last `Wait` has passed.
    Timeout,
    /// Finish what is being committed, take no more requests. See
    /// [`Account`](super::Account#the-end) for storage that does not answer.
    Shutdown,
}

/// What comes out of an account.
#[derive(Debug)]
pub enum AccountOutput {
    /// A request to storage.
    Storage(RequestId, StorageRequest),
    /// The answer to this request is of no interest any more.
    Abandon(RequestId),
    /// To a connection.
    Reply(ConnectionId, AccountReply),
    /// This mailbox (`None`: the directory) changed, durably unless storage lost the
    /// answer: other servers should be told, and nobody waits for that.
    Ring(Option<MailboxId>),
    /// For the log and the metrics.
    Event(Event),
    /// Nothing more for now; `Timeout` is wanted at the deadline.
    Wait {
        /// When.
        deadline: Option<Instant>,
    },
    /// After `Shutdown`: everything is committed, the account may be dropped.
    Done,
}
