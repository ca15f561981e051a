//! `\Seen` is set of what was emitted, by one request for many messages
//! ([decision 026](../../../../../docs/decisions/026-when-a-message-is-seen.md)). The last of them
//! tells of it in its response, the others in one of their own at the end. All that one command tells
//! has to be the mailbox at one moment, so where flags or MODSEQ are among the items it is set before,
//! for no more messages than are about to be sent.

use super::{Fetch, Prepared};
use crate::account::{AccountReply, AccountRequest};
use crate::imap::connection::summaries::Summaries;
use crate::mailbox::{Flag, FlagAction, FlagChange};
use std::collections::VecDeque;

/// Messages whose `\Seen` is stored by one request.
const SEEN_BATCH_MESSAGES: usize = 64;

/// Octets of messages that are sent before `\Seen` of them is stored: if the connection is lost, they
/// are new to the client once more.
const SEEN_BATCH_OCTETS: u64 = 16 * 1024 * 1024;

/// Octets of messages, the first of them not counted, whose `\Seen` is stored before they are sent: if
/// the connection is lost, nobody got them. About what a connection has under way anyway.
const SEEN_AHEAD_OCTETS: u64 = 256 * 1024;

impl Fetch<'_> {
    /// Sets `\Seen` on the first message and on those that are sent soon after it, as far as they can
    /// be read.
    pub(super) async fn see_ahead(
        &mut self,
        prepared: &mut VecDeque<Prepared>,
        summaries: &mut Option<Summaries<'_>>,
    ) {
        let mut octets = 0;
        for (count, next) in prepared.iter_mut().enumerate() {
            if count > 0 {
                octets += next.size;
            }
            if count >= SEEN_BATCH_MESSAGES || octets > SEEN_AHEAD_OCTETS {
                break;
            }
            if next.verified.is_none() {
                self.verify(next, summaries).await;
            }
            if let Some(Ok(())) = next.verified {
                self.will_see(next);
            }
        }
        self.see().await;
    }

    /// A message is to be marked as seen, unless it is.
    pub(super) fn will_see(&mut self, of: &Prepared) {
        let message = self.view.message(of.position);
        if message.is_some_and(|message| !message.flags.seen()) {
            self.unseen.push(of.uid);
            self.unseen_octets += of.size;
        }
    }

    /// Sets `\Seen` on what is to be marked, unless that failed once in this command.
    pub(super) async fn see(&mut self) {
        self.unseen_octets = 0;
        let uids = core::mem::take(&mut self.unseen);
        // Storage that could not take it had several attempts. Where it is set before a message is sent,
        // each message would have them again.
        if uids.is_empty() || self.unseen_failed {
            return;
        }
        let change = FlagChange {
            action: FlagAction::Add,
            flags: vec![Flag::Seen],
        };
        let request = AccountRequest::Store {
            uids: uids.clone(),
            change,
            unchanged_since: None,
        };
        match self.io.account(request).await {
            AccountReply::Stored { snapshot, .. } => {
                // Messages before these were told as they were until now.
                self.view.tell_ahead();
                self.view.learn(snapshot);
                self.seen.extend(uids);
            }
            _ => self.unseen_failed = true,
        }
    }

    /// Whether so much was sent that it is to be marked now.
    pub(super) fn many_unseen(&self) -> bool {
        self.unseen.len() >= SEEN_BATCH_MESSAGES || self.unseen_octets >= SEEN_BATCH_OCTETS
    }
}
