//! What servers wrote without knowing of each other.
//!
//! Each batch has a MODSEQ above all that its writer knew. Two batches of one MODSEQ by
//! different writers were therefore written at the same time, and clients of one server
//! may have been told a HIGHESTMODSEQ that hides what the other one wrote. A server that
//! shows the mailbox knows what it has shown, and stamps what comes late anew. One that
//! reads the log from its beginning does not: so it finds such batches, and stamps anew
//! what they and all later ones changed.

use super::operation::{Batch, Operation};
use super::{MailboxState, MessageId, ModSeq, Owed, Uid, WriterId};
use std::collections::BTreeSet;

/// The batches that no checkpoint contains.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    batches: Vec<Written>,
}

/// One batch.
#[derive(Debug)]
struct Written {
    modseq: ModSeq,
    writer: WriterId,
    messages: Vec<MessageId>,
    claims: Vec<Uid>,
}

impl Tail {
    /// Takes note of a batch.
    pub(crate) fn note(&mut self, writer: WriterId, batch: &Batch) {
        let mut written = Written {
            modseq: batch.modseq,
            writer,
            messages: Vec::new(),
            claims: Vec::new(),
        };
        for operation in &batch.operations {
            match operation {
                Operation::Claim { message, uid } => {
                    written.messages.push(*message);
                    written.claims.push(*uid);
                }
                Operation::SetFlags { messages, .. } | Operation::Expunge { messages } => {
                    written.messages.extend(messages);
                }
                // Clients see a message when it is claimed; and what is not recent any
                // more has no MODSEQ.
                Operation::Arrive { .. } | Operation::RecentFrom { .. } => {}
            }
        }
        if !written.messages.is_empty() {
            self.batches.push(written);
        }
    }

    /// The lowest MODSEQ that two writers gave.
    fn fork(&mut self) -> Option<ModSeq> {
        self.batches.sort_by_key(|it| (it.modseq, it.writer));
        let mut pairs = self.batches.windows(2);
        let fork = pairs.find(|it| it[0].modseq == it[1].modseq && it[0].writer != it[1].writer)?;
        Some(fork[0].modseq)
    }
}

impl MailboxState {
    /// Stamps anew what may be hidden from clients, see the module.
    pub(crate) fn uncover(&mut self, mut tail: Tail, owed: &mut Owed) {
        let Some(fork) = tail.fork() else { return };
        let hidden = || tail.batches.iter().filter(|it| it.modseq >= fork);
        let messages: BTreeSet<MessageId> = hidden().flat_map(|it| &it.messages).copied().collect();
        let claims: BTreeSet<Uid> = hidden().flat_map(|it| &it.claims).copied().collect();
        self.stamp_anew(&messages, &claims, owed);
    }
}
