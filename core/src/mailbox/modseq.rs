//! HIGHESTMODSEQ, and what has which MODSEQ.
//!
//! MODSEQ must say to a client of any server what it has not seen (RFC 7162). So
//! HIGHESTMODSEQ is the number of batches that changed anything: the same for all who have
//! read the same, and higher for whoever has read more. A batch has that number as its
//! MODSEQ, and when one is taken in whose writer did not know of others, those get the new
//! number as well. For whoever has read this batch and not those has been told one number
//! more than what they had until now:
//!
//! > Let T be anything that a server may have shown of a state S: with a batch it contains
//! > all that its writer had read. Then each change of S that is not in T has a MODSEQ above
//! > the HIGHESTMODSEQ of T. A new batch b keeps it so. If T has not b, what it lacks of S
//! > it lacked before, and b has the highest number. If T has b, it has all that b's writer
//! > knew; so what it lacks was unknown to b and is stamped with the highest number, which
//! > is that of all batches, and T has fewer.
//!
//! [`History`](super::history::History) knows which batches these are. The stamps are given at the
//! end of a reading, see [`told_again`](super::told_again).

use super::history::{BatchId, Past};
use super::operation::Batch;
use super::{MailboxState, Message, ModSeq, WriterId};
use std::sync::Arc;

impl MailboxState {
    /// What a batch of this MODSEQ says of those before it, if it follows this state.
    pub(crate) fn past(&self, modseq: ModSeq) -> Past {
        let count = self.highest_modseq.0 - self.lead + 1;
        Past {
            lead: modseq.0.saturating_sub(count).max(self.lead),
            heads: self.history.heads(),
        }
    }

    /// A batch raises HIGHESTMODSEQ. Whether one is known already that knew of it.
    pub(super) fn count_in(&mut self, writer: WriterId, batch: &Batch) -> bool {
        let id = BatchId::of(writer, batch.stamp);
        // Who writes a batch takes it in piece by piece.
        let begins = self.history.last() != Some(id);
        let before = self.highest_modseq;
        let count = before.0 - self.lead + u64::from(begins);
        let lead = match &batch.past {
            Some(past) => past.lead,
            None => batch.modseq.0.saturating_sub(count),
        };
        self.lead = self.lead.max(lead);
        self.highest_modseq = ModSeq(count.saturating_add(self.lead));
        if !begins {
            return false;
        }
        let history = Arc::make_mut(&mut self.history);
        let guessed: Vec<BatchId>;
        let heads = match &batch.past {
            Some(past) => &past.heads,
            None => {
                let below = ModSeq(batch.modseq.0.saturating_sub(1));
                guessed = history.last_below(below).into_iter().collect();
                &guessed
            }
        };
        if batch.past.is_some() {
            history.miss(heads, ModSeq(batch.modseq.0.saturating_sub(1)));
        }
        let found = history.take_in(id, self.highest_modseq, heads);
        if found.knew < before {
            self.told_again.tell(found.knew, self.highest_modseq);
        }
        found.late
    }

    /// Gives what is told again its MODSEQ.
    pub(super) fn tell_again(&mut self) {
        if self.told_again.is_empty() {
            return;
        }
        let told = core::mem::take(&mut self.told_again);
        self.messages.change(|message| {
            let modseq = told.instead_of(message.modseq)?;
            Some(Message {
                modseq,
                ..message.clone()
            })
        });
        self.gone.tell_again(&told);
    }

    /// HIGHESTMODSEQ rises without a batch.
    pub(super) fn raise(&mut self, modseq: ModSeq) {
        let step = modseq.0.saturating_sub(self.highest_modseq.0);
        self.lead += step;
        self.highest_modseq.0 += step;
    }
}
