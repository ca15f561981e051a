//! What a server adds to a log after it merged what others wrote: UIDs for messages
//! that have none, and once more what came after something that had known of it.

use super::operation::Operation;
use super::{MailboxState, MessageId, Uid};
use std::collections::BTreeSet;

/// What a merge left to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owed {
    /// Messages whose change came too late to be told with its MODSEQ.
    late: BTreeSet<MessageId>,
    /// Claims that were made in a batch that came too late.
    claims: BTreeSet<(Uid, MessageId)>,
}

impl Owed {
    /// Notes a message whose change came too late.
    pub(super) fn late(&mut self, message: MessageId) {
        self.late.insert(message);
    }

    /// Notes a claim that came too late.
    pub(super) fn late_claim(&mut self, message: MessageId, uid: Uid) {
        self.claims.insert((uid, message));
    }

    /// Adds what another merge left.
    pub(crate) fn extend(&mut self, other: Self) {
        self.late.extend(other.late);
        self.claims.extend(other.claims);
    }

    /// Whether anything is to be written.
    pub(crate) fn is_due(&self, state: &MailboxState) -> bool {
        let late = !self.late.is_empty() || !self.claims.is_empty();
        late || state.unnumbered().next().is_some()
    }

    /// The operations that settle it; `messages_max` messages get their UID at once.
    ///
    /// Claims go in the order of the messages' ids, so that two servers that know the
    /// same messages claim the same UIDs.
    pub(crate) fn operations(&self, state: &MailboxState, messages_max: usize) -> Vec<Operation> {
        let mut operations = Vec::new();
        let mut next = Uid::new(state.uid_next);
        for message in state.unnumbered().take(messages_max) {
            // After 2^32 messages there is no UID left: the message stays hidden.
            let Some(uid) = next else { break };
            operations.push(Operation::Claim { message, uid });
            next = uid.get().checked_add(1).and_then(Uid::new);
        }
        // A claim that is made again changes nothing but when it was made.
        let again = self.claims.iter();
        operations.extend(again.map(|(uid, message)| Operation::Claim {
            message: *message,
            uid: *uid,
        }));
        let (gone, here): (Vec<_>, Vec<_>) = self
            .late
            .iter()
            .partition(|id| state.tombstones.find(**id).is_some());
        if !here.is_empty() {
            operations.push(Operation::SetFlags {
                messages: here,
                changes: Vec::new(),
            });
        }
        if !gone.is_empty() {
            operations.push(Operation::Expunge { messages: gone });
        }
        operations
    }
}
