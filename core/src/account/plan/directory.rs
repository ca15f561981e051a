//! What requests become in the log of the directory.

use super::{Planned, Planner};
use crate::account::shared::Shared;
use crate::account::{AccountFailure, ConnectionId};
use crate::mailbox::{
    Directory, DirectoryBatch, DirectoryOperation, InboxMove, MailboxId, MailboxName, Making, Owed,
    Reservation, SpecialUse, Stamp,
};

/// Work on the directory.
#[derive(Debug)]
pub(in crate::account) struct DirectoryWork {
    pub(in crate::account) connection: ConnectionId,
    pub(in crate::account) wanted: DirectoryChange,
    /// UIDVALIDITYs that were reserved for the mailboxes that it makes.
    reserved: Vec<Reservation>,
    /// How often that was done.
    reservings: u32,
}

/// So often numbers are reserved for one request at most. Each time the chance that another
/// server wants the same, or makes a mailbox with a higher one meanwhile, is small.
const RESERVINGS_MAX: u32 = 16;

/// What a request wants of the directory.
#[derive(Clone, Debug)]
pub(in crate::account) enum DirectoryChange {
    Create(MailboxName, Option<SpecialUse>),
    Delete(MailboxName),
    Rename(MailboxName, MailboxName),
    /// RENAME of INBOX: a new mailbox, to which its messages move.
    RenameInbox(MailboxName),
    /// They have moved.
    InboxMoved(MailboxId),
    Subscribe(MailboxName, bool),
}

/// What was done.
#[derive(Debug)]
pub(in crate::account) enum DirectoryAnswer {
    Done(ConnectionId),
    /// The mailbox is no more.
    Deleted(ConnectionId, MailboxId),
    /// Nothing yet: now the mailboxes can be made.
    Reserved(DirectoryWork),
    /// Now the messages of INBOX go there.
    MoveInbox(ConnectionId, MailboxName, MailboxId),
}

impl DirectoryWork {
    /// Work that nothing was done for yet.
    pub(in crate::account) fn new(connection: ConnectionId, wanted: DirectoryChange) -> Self {
        Self {
            connection,
            wanted,
            reserved: Vec::new(),
            reservings: 0,
        }
    }
}

impl Planner for Directory {
    type Work = DirectoryWork;
    type Answer = DirectoryAnswer;
    type Operation = DirectoryOperation;

    fn plan(
        &self,
        work: &DirectoryWork,
        _: &Owed,
        shared: &mut Shared,
    ) -> Result<Planned<Self>, AccountFailure> {
        let held = work.reserved.iter().filter(|it| self.holds(**it));
        let mut making = Making {
            config: &shared.config,
            random: &mut shared.random,
            now: shared.now,
            reserved: held.copied().collect(),
            lost: work.reservings.saturating_sub(1),
        };
        let mut answer = DirectoryAnswer::Done(work.connection);
        let operations = match &work.wanted {
            DirectoryChange::Create(name, special_use) => making.create(self, name, *special_use),
            DirectoryChange::Delete(name) => {
                let mailbox = making.delete(self, name)?;
                answer = DirectoryAnswer::Deleted(work.connection, mailbox);
                Ok(vec![DirectoryOperation::Delete { mailbox }])
            }
            DirectoryChange::Rename(from, to) => making.rename(self, from, to),
            DirectoryChange::RenameInbox(to) => {
                let (operations, mailbox) = making.rename_inbox(self, to)?;
                answer = DirectoryAnswer::MoveInbox(work.connection, to.clone(), mailbox);
                Ok(operations)
            }
            DirectoryChange::InboxMoved(mailbox) => {
                let (mailbox, to) = (*mailbox, InboxMove::Done);
                Ok(vec![DirectoryOperation::MoveInbox { mailbox, to }])
            }
            DirectoryChange::Subscribe(name, subscribed) => {
                making.subscribe(self, name, *subscribed)
            }
        }?;
        if shared.config.shared_storage
            && let Some(first) = plan_reserving(self, work, &operations)?
        {
            return Ok(first);
        }
        Ok(Planned { operations, answer })
    }

    fn batch(&self, stamp: Stamp, operations: Vec<DirectoryOperation>) -> DirectoryBatch {
        DirectoryBatch { stamp, operations }
    }

    fn settle(&self, _: &Owed) -> Option<DirectoryWork> {
        None
    }

    fn settles(_: &DirectoryWork) -> bool {
        false
    }

    fn stamps(_: &DirectoryWork) -> bool {
        false
    }

    fn claims(operation: &DirectoryOperation) -> bool {
        matches!(operation, DirectoryOperation::Reserve(_))
    }

    fn is_news(_: &DirectoryWork, answer: &DirectoryAnswer) -> bool {
        !matches!(answer, DirectoryAnswer::Reserved(_))
    }
}

/// What comes before these operations: the UIDVALIDITYs of the mailboxes that they make are
/// reserved, where that is not done, because others may want the same.
fn plan_reserving(
    directory: &Directory,
    work: &DirectoryWork,
    operations: &[DirectoryOperation],
) -> Result<Option<Planned<Directory>>, AccountFailure> {
    let made = operations.iter().filter_map(|operation| match operation {
        DirectoryOperation::Create {
            mailbox,
            uid_validity,
            ..
        } => Some(Reservation {
            mailbox: *mailbox,
            uid_validity: *uid_validity,
        }),
        _ => None,
    });
    let made: Vec<Reservation> = made.collect();
    let missing = made.iter().filter(|it| !directory.holds(**it));
    let missing = missing.copied().map(DirectoryOperation::Reserve);
    let operations: Vec<DirectoryOperation> = missing.collect();
    if operations.is_empty() {
        return Ok(None);
    }
    if work.reservings >= RESERVINGS_MAX {
        return Err(AccountFailure::Unavailable);
    }
    let answer = DirectoryAnswer::Reserved(DirectoryWork {
        connection: work.connection,
        wanted: work.wanted.clone(),
        reserved: made,
        reservings: work.reservings + 1,
    });
    Ok(Some(Planned { operations, answer }))
}
