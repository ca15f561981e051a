//! What upkeep has to say.

use crate::account::NewMessage;
use crate::mailbox::{MailboxId, MailboxName, Uid};
use core::fmt;

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Bodies that it deleted, each with its summary.
    pub bodies: u64,
    /// Checkpoints that it deleted.
    pub checkpoints: u64,
    /// Deleted mailboxes whose logs it deleted.
    pub mailboxes: u64,
    /// Objects that nobody names and that will go with a later sweep.
    pub marked: u64,
    /// Objects that are named, or too young to be judged.
    pub kept: u64,
    /// Messages of which it is not known any more that they were expunged.
    pub forgotten: u64,
}

impl SweepReport {
    /// How much it deleted.
    #[must_use]
    pub fn deleted(&self) -> u64 {
        self.bodies + self.checkpoints + self.mailboxes
    }
}

/// What a check found. Holds nothing of the mail itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Mailboxes, deleted ones that are kept included.
    pub mailboxes: u64,
    /// Messages in them.
    pub messages: u64,
    /// Objects of messages in storage.
    pub bodies: u64,
    /// Objects of checkpoints in storage.
    pub checkpoints: u64,
    /// Objects that nobody names any more and that are kept because they may be brought
    /// back, or because they are too young to be judged.
    pub waiting: u64,
    /// What is wrong, [`check_findings_max`](crate::config::Config::check_findings_max)
    /// at most.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub findings_left_out: u64,
    /// Readable messages that no mailbox names: to be appended somewhere,
    /// [`recover_messages_max`](crate::config::Config::recover_messages_max) at most.
    pub orphans: Vec<NewMessage>,
    /// Whether there are more of them.
    pub more_orphans: bool,
    /// Mailboxes whose log has lost something: before anything is added to them their
    /// numbers must be led beyond what may have been shown, which is below this UID as far
    /// as is known ([`AccountRequest::SkipUids`](crate::account::AccountRequest)).
    pub lost: Vec<(MailboxId, Uid)>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which mailbox. Names of mailboxes are the user's secret: not for a log.
    pub mailbox: Option<MailboxName>,
    /// Which message.
    pub uid: Option<Uid>,
    /// Which item or object.
    pub place: String,
    /// What.
    pub trouble: Trouble,
    /// Whether that was put right; of what is missing, that it was noted and will not be told
    /// again.
    pub repaired: bool,
}

/// What may be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The object of a message is not there.
    BodyMissing,
    /// The object of a message cannot be read: why.
    BodyDamaged(String),
    /// The object is not sealed as the mailbox says: by the account, or by delivery.
    SealedOtherwise,
    /// The object says another size than the mailbox.
    SizeDiffers,
    /// The summary in the object cannot be read.
    SummaryDamaged,
    /// The summary is no item of its own, or none that can be read; it is in the object.
    SummaryItem,
    /// An item of a log cannot be read, or contradicts others.
    LogItem,
    /// Beside what an item of a log holds there is something that cannot be read.
    ValueBeside,
    /// An item of a log is not there, though later ones of its writer are.
    ItemMissing,
    /// Changes are not in a log, though others were written by who had read them.
    BatchMissing,
    /// A checkpoint cannot be read.
    Checkpoint,
    /// The log does not lead to what its newest checkpoint says.
    Disagreement,
    /// A mailbox that was there is in no log any more.
    MailboxLost,
    /// A mailbox had messages that its log does not know.
    MessagesLost,
    /// An old message that nobody names and nobody expunged.
    Orphan,
    /// An old checkpoint that nobody names.
    OrphanCheckpoint,
    /// An object with a name that Restante gives to none.
    Foreign,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BodyMissing => "the message is not there",
            Self::BodyDamaged(why) => return write!(f, "the message cannot be read: {why}"),
            Self::SealedOtherwise => "somebody else has put another message in its place",
            Self::SizeDiffers => "the message has another size than the mailbox says",
            Self::SummaryDamaged => "the summary at the end of the message cannot be read",
            Self::SummaryItem => "the summary is missing or cannot be read",
            Self::LogItem => "an item of the log cannot be read",
            Self::ValueBeside => "beside an item of the log there is something that cannot be read",
            Self::ItemMissing => "an item of the log is missing",
            Self::BatchMissing => "changes that the log builds on are missing",
            Self::Checkpoint => "a checkpoint cannot be read",
            Self::Disagreement => "the log does not lead to what the checkpoint says",
            Self::MailboxLost => "a mailbox that was there is lost",
            Self::MessagesLost => "messages that were there are lost",
            Self::Orphan => "a message that no mailbox names",
            Self::OrphanCheckpoint => "a checkpoint that nobody needs",
            Self::Foreign => "an object that is not Restante's",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mailbox) = &self.mailbox {
            write!(f, "{}", mailbox.as_str().escape_debug())?;
            if let Some(uid) = self.uid {
                write!(f, ", UID {uid}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{} ({})", self.trouble, self.place)?;
        match (self.repaired, &self.trouble) {
            (true, Trouble::ItemMissing | Trouble::BatchMissing) => f.write_str(" — noted as lost"),
            (true, _) => f.write_str(" — repaired"),
            (false, _) => Ok(()),
        }
    }
}

/// Messages that can be brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The oldest first.
    pub messages: Vec<Recoverable>,
    /// Whether there are more; they come when these are messages again.
    pub more: bool,
    /// How many cannot be read.
    pub unreadable: u64,
}

/// A message that can be brought back by appending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recoverable {
    /// Where it was; `None` where that mailbox was deleted.
    pub mailbox: Option<MailboxName>,
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// When it was expunged, milliseconds since 1970; `None`: it went with its mailbox.
    pub expunged_ms: Option<u64>,
    /// Its content, with the date and the flags that it had, without `\Deleted`; where they are
    /// not known, with the date when it was stored and no flags.
    pub message: NewMessage,
}
