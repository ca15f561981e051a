//! What was expunged or went with its mailbox, and can be brought back: those whose object
//! is still there and whom nobody names any more.
//!
//! It is brought back by appending it, as another message with another UID: an expunged
//! UID never returns. Then somebody names it, so that asking again does nothing. It gets the
//! date and the flags that it had where they are known; else the date when it was stored.

use super::report::{Recoverable, Recovered};
use super::survey::Survey;
use crate::account::NewMessage;
use crate::mailbox::{ContentId, Deleted, Directory, Last, MailboxId, MailboxName, MailboxState};
use crate::storage::StorageError;
use std::collections::BTreeMap;

pub(super) struct Undelete {
    pub(super) survey: Survey,
    /// Only what was in this one.
    pub(super) mailbox: Option<MailboxName>,
    /// Only what was expunged since then.
    pub(super) since_ms: Option<u64>,
}

/// Where a message was last, and when it went from there.
struct Gone {
    mailbox: MailboxId,
    expunged_ms: Option<u64>,
    /// How it was then, if that is known.
    last: Option<Last>,
}

impl Undelete {
    /// The whole sequence. `None`: there is no such mailbox.
    pub(super) async fn run(self) -> Result<Option<Recovered>, StorageError> {
        self.survey.io.step("find what was expunged");
        let whole = self.survey.directory().await?;
        let directory = &*whole.state;
        let only = match &self.mailbox {
            None => None,
            Some(name) => match directory.find(name) {
                Some(entry) => Some(entry.id),
                None => return Ok(None),
            },
        };
        let mut gone = self.gone(directory, only).await?.into_iter().peekable();
        let max = self.survey.config.recover_messages_max;
        let mut recovered = Recovered::default();
        while recovered.messages.len() < max
            && let Some((content, last)) = gone.next()
        {
            let Ok(inside) = self.survey.look_into(content).await? else {
                recovered.unreadable += 1;
                continue;
            };
            let entry = directory.mailboxes().find(|it| it.id == last.mailbox);
            let mut message: NewMessage = inside.message(content);
            if let Some(last) = last.last {
                message.internal_date = last.internal_date;
                message.flags = last.flags.into_vec();
            }
            recovered.messages.push(Recoverable {
                mailbox: entry.map(|entry| entry.name.clone()),
                mailbox_id: last.mailbox,
                expunged_ms: last.expunged_ms,
                message,
            });
        }
        recovered.more = gone.peek().is_some();
        Ok(Some(recovered))
    }

    /// Contents that are named by tombstones and deleted mailboxes only. What moves from one mailbox to another is in the
    /// other one before it goes from the first: so who names what is looked at once more when it is known what went.
    async fn gone(
        &self,
        directory: &Directory,
        only: Option<MailboxId>,
    ) -> Result<BTreeMap<ContentId, Gone>, StorageError> {
        let mut named: Vec<ContentId> = Vec::new();
        let mut gone: BTreeMap<ContentId, Gone> = BTreeMap::new();
        let wanted = |mailbox| only.is_none_or(|only| only == mailbox);
        for mailbox in directory.ids() {
            let state = self.survey.mailbox(directory, mailbox).await?.state;
            named.extend(state.contents());
            if wanted(mailbox) {
                self.note_expunged(mailbox, &state, &mut gone);
            }
        }
        let (ledger, _) = self.survey.ledger().await?;
        let ledger = ledger.unwrap_or_default();
        for mailbox in directory.deleted().filter(|_| only.is_none()) {
            let known = ledger.deleted.get(&mailbox).copied();
            let since = match known.unwrap_or(Deleted::Since(self.survey.now_ms)) {
                Deleted::Since(since) => since,
                Deleted::Collected => continue,
            };
            if self.is_kept(since) {
                let state = self.survey.mailbox(directory, mailbox).await?.state;
                self.note_expunged(mailbox, &state, &mut gone);
                if self.since_ms.is_some_and(|wanted| since < wanted) {
                    continue;
                }
                for (content, last) in state.as_last() {
                    let new = Gone {
                        mailbox,
                        expunged_ms: None,
                        last: Some(last),
                    };
                    note(&mut gone, content, new);
                }
            }
        }
        if !gone.is_empty() {
            let directory = self.survey.directory().await?.state;
            for mailbox in directory.ids() {
                named.extend(
                    self.survey
                        .mailbox(&directory, mailbox)
                        .await?
                        .state
                        .contents(),
                );
            }
        }
        named.sort_unstable();
        gone.retain(|content, _| named.binary_search(content).is_err());
        Ok(gone)
    }

    /// Notes what was expunged from a mailbox.
    fn note_expunged(
        &self,
        mailbox: MailboxId,
        state: &MailboxState,
        gone: &mut BTreeMap<ContentId, Gone>,
    ) {
        for tombstone in state.tombstones() {
            let at = tombstone.at.unix_ms();
            let since = self.since_ms.is_none_or(|since| at >= since);
            if since && self.is_kept(at) && tombstone.was_seen() {
                let new = Gone {
                    mailbox,
                    expunged_ms: Some(at),
                    last: state.last(tombstone.id).cloned(),
                };
                note(gone, tombstone.content, new);
            }
        }
    }

    fn is_kept(&self, unix_ms: u64) -> bool {
        let kept = super::survey::millis(self.survey.config.undelete_retention);
        unix_ms.saturating_add(kept) >= self.survey.now_ms
    }
}

/// Of several places where a message was, the last counts.
fn note(gone: &mut BTreeMap<ContentId, Gone>, content: ContentId, new: Gone) {
    match gone.entry(content) {
        std::collections::btree_map::Entry::Vacant(place) => {
            place.insert(new);
        }
        std::collections::btree_map::Entry::Occupied(mut place) => {
            // It was a message of a mailbox until that was deleted: nothing is later.
            let later = |gone: &Gone| gone.expunged_ms.unwrap_or(u64::MAX);
            if later(place.get()) < later(&new) {
                place.insert(new);
            }
        }
    }
}
