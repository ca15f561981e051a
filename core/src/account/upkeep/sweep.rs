//! Collection of what nobody names any more: bodies of messages that were expunged long
//! ago or were stored by somebody who died over it, checkpoints without a pointer, and all
//! of mailboxes that were deleted.
//!
//! Servers write while this goes on, and nothing is locked. So an object goes only if all
//! of this holds:
//!
//! - It is older than `orphan_age_min` by the time in its name: whoever stored it has named
//!   it by now, or never will.
//! - An earlier sweep, as long ago, found it unnamed too. That holds even if the clock of
//!   who stored it was wrong.
//! - No log names it: no message, no message without UID, no tombstone within the retention
//!   (and as much again as `orphan_age_min`), and no mailbox that was deleted within it. All
//!   logs are read for this, and a second time just before anything is deleted.
//! - The index is whole: nothing in it is damaged or known to be [missing](super::missing),
//!   and it still has every mailbox and every UID that the last sweep saw. Otherwise nothing
//!   at all is deleted.
//!
//! Who copies a message names an old object anew. That it is not forgotten meanwhile follows
//! from the retention: a copy is made of what was known `copy_age_max` ago at most, and what
//! was a message then has a tombstone that is far too young.
//!
//! A tombstone itself is forgotten long after its message can be brought back
//! (`forget_delay`), when the object is not there any more, or another message names it: then
//! nothing can come back that it stands against. Where INBOX was renamed to, messages may come twice under one id, and
//! nothing is forgotten (decision 014).
//!
//! The log of a deleted mailbox stays until all that it named is gone: as long as something of it is there, a
//! check must know that nobody lost it.
//!
//! Memory: 16 octets for each name of an object, one mailbox at a time, one page of names.

use super::survey::{Survey, Whole, contents_of, millis, out_of_step};
use crate::account::SweepReport;
use crate::mailbox::{
    ContentId, Deleted, InboxMove, Ledger, MailboxId, MailboxState, MessageId, Tombstone,
};
use crate::random::Random;
use crate::seal::ItemKind;
use crate::storage::{
    CausalityToken, InsertItem, Item, ItemKey, ObjectKey, SortKey, StorageError, StorageRequest,
    StorageResponse,
};
use std::collections::BTreeMap;

/// Why nothing was collected.
#[derive(Debug)]
pub(super) enum Hindrance {
    Storage(StorageError),
    /// Something in the index cannot be opened.
    Damaged,
    /// The index has less than it had.
    Lost,
}

impl From<StorageError> for Hindrance {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// What the index names, sorted.
#[derive(Default)]
pub(super) struct Named {
    pub(super) contents: Vec<ContentId>,
    pub(super) checkpoints: Vec<ContentId>,
    /// Tombstones that are old enough to be forgotten, twice as many as one sweep forgets at
    /// most: the objects of some may still be there.
    old: Vec<Old>,
}

/// What one look at the objects found.
#[derive(Default)]
struct Found {
    /// Unnamed long enough.
    doomed: Vec<ContentId>,
    /// Unnamed, and since when.
    marks: BTreeMap<ContentId, u64>,
    /// There are more that are unnamed.
    left_out: bool,
    kept: u64,
}

pub(super) struct Sweep {
    pub(super) survey: Survey,
    pub(super) random: Random,
    /// Also if it is not due.
    pub(super) wanted: bool,
}

/// A mailbox that was deleted so long ago that nothing of it can be brought back.
struct Past {
    mailbox: MailboxId,
    /// What it named, sorted, as far as its log can be read.
    contents: Vec<ContentId>,
}

/// What came of a sweep.
#[derive(Debug, Default)]
pub(super) struct Swept {
    pub(super) report: SweepReport,
    /// Messages of which it need not be known any more that they were expunged.
    pub(super) forget: Forget,
}

/// Expunged messages, by mailbox.
pub(super) type Forget = Vec<(MailboxId, Vec<MessageId>)>;

/// Tombstones that are old enough to be forgotten.
struct Old {
    mailbox: MailboxId,
    messages: Vec<(MessageId, ContentId)>,
}

impl Sweep {
    /// The whole sequence. `None`: it was not due.
    pub(super) async fn run(mut self) -> Result<Option<Swept>, Hindrance> {
        self.survey.io.step("look whether a sweep is due");
        let (before, token) = self.survey.ledger().await?;
        let before = before.unwrap_or_default();
        if !self.wanted && !self.is_due(&before) {
            return Ok(None);
        }
        self.survey.io.step("find what is named");
        let mut ledger = Ledger {
            swept_at: self.survey.now_ms,
            ..Ledger::default()
        };
        let (named, past) = self.names(&before, &mut ledger).await?;
        self.survey.io.step("find what is not named");
        let contents = self.survey.places.contents();
        let mut bodies = self
            .unnamed(&contents, &named.contents, &before.contents)
            .await?;
        let checkpoints = self.survey.places.checkpoints();
        let mut states = self
            .unnamed(&checkpoints, &named.checkpoints, &before.checkpoints)
            .await?;
        if !bodies.doomed.is_empty() || !states.doomed.is_empty() || !past.is_empty() {
            self.survey.io.step("look again at what is named");
            let (named, _) = self.names(&before, &mut Ledger::default()).await?;
            bodies.spare(&named.contents);
            states.spare(&named.checkpoints);
        }
        self.survey.io.step("delete what is not named");
        self.delete_bodies(&bodies.doomed).await?;
        self.delete_states(&states.doomed).await?;
        let mut mailboxes = 0;
        for past in past.iter().filter(|past| !bodies.have_some_of(past)) {
            self.delete_log(past.mailbox).await?;
            ledger.deleted.insert(past.mailbox, Deleted::Collected);
            mailboxes += 1;
        }
        let forget = self.forget(named.old, &bodies);
        let report = SweepReport {
            bodies: bodies.doomed.len() as u64,
            checkpoints: states.doomed.len() as u64,
            mailboxes,
            marked: (bodies.marks.len() + states.marks.len()) as u64,
            kept: bodies.kept + states.kept,
            forgotten: forget.iter().map(|(_, ids)| ids.len() as u64).sum(),
        };
        ledger.contents = bodies.marks;
        ledger.checkpoints = states.marks;
        self.write(&ledger, token).await?;
        Ok(Some(Swept { report, forget }))
    }

    /// Which of the old tombstones name what is not there any more, or what others name.
    fn forget(&self, old: Vec<Old>, bodies: &Found) -> Forget {
        let (mut doomed, marks) = (bodies.doomed.clone(), &bodies.marks);
        if bodies.left_out {
            return Vec::new();
        }
        doomed.sort_unstable();
        let is_there = |id: &ContentId| doomed.binary_search(id).is_ok() || marks.contains_key(id);
        let limits = &self.survey.config.forget_messages;
        let mut left = *limits.end();
        let mut forget = Vec::new();
        for Old { mailbox, messages } in old {
            let messages = messages
                .into_iter()
                .filter(|(_, content)| !is_there(content));
            let messages: Vec<MessageId> = messages.map(|(id, _)| id).take(left).collect();
            if messages.len() >= *limits.start() {
                left -= messages.len();
                forget.push((mailbox, messages));
            }
        }
        forget
    }

    fn is_due(&self, before: &Ledger) -> bool {
        let interval = millis(self.survey.config.sweep_interval);
        // A sweep in the future is one of a clock that was wrong.
        let since = self.survey.now_ms.abs_diff(before.swept_at);
        since >= interval
    }

    /// All names, and the deleted mailboxes whose time has come.
    async fn names(
        &self,
        before: &Ledger,
        ledger: &mut Ledger,
    ) -> Result<(Named, Vec<Past>), Hindrance> {
        let mut named = Named::default();
        let mut past = Vec::new();
        let whole = self.survey.directory().await?;
        let directory = sound(&whole)?;
        if !self.survey.missing(&whole, ()).await?.is_empty() {
            return Err(Hindrance::Lost);
        }
        named.checkpoints.extend(whole.checkpoint_objects());
        let gone = |id: &MailboxId| !directory.knows(*id);
        if before.mailboxes.keys().any(gone) {
            return Err(Hindrance::Lost);
        }
        for mailbox in directory.ids() {
            let whole = self.survey.mailbox(directory, mailbox).await?;
            let state = sound(&whole)?;
            let origin = directory.uid_validity(mailbox);
            if before.mailboxes.get(&mailbox) > Some(&state.uid_next())
                || !self.survey.missing(&whole, origin).await?.is_empty()
            {
                return Err(Hindrance::Lost);
            }
            ledger.mailboxes.insert(mailbox, state.uid_next());
            self.note(&whole, &mut named);
            if directory.inbox_move(mailbox) == InboxMove::None {
                self.note_old(mailbox, state, &mut named.old);
            }
        }
        for mailbox in directory.deleted() {
            let known = before.deleted.get(&mailbox).copied();
            let known = known.unwrap_or(Deleted::Since(self.survey.now_ms));
            ledger.deleted.insert(mailbox, known);
            match known {
                Deleted::Collected => continue,
                Deleted::Since(since) if self.survey.is_past(since) => {
                    let whole = self.survey.mailbox(directory, mailbox).await?;
                    // They go with the log, or the log could not be read again.
                    named.checkpoints.extend(whole.checkpoint_objects());
                    let mut contents: Vec<_> = contents_of(&whole.state).collect();
                    contents.sort_unstable();
                    past.push(Past { mailbox, contents });
                }
                Deleted::Since(_) => {
                    let whole = self.survey.mailbox(directory, mailbox).await?;
                    sound(&whole)?;
                    let origin = directory.uid_validity(mailbox);
                    if !self.survey.missing(&whole, origin).await?.is_empty() {
                        return Err(Hindrance::Lost);
                    }
                    self.note(&whole, &mut named);
                }
            }
        }
        for names in [&mut named.contents, &mut named.checkpoints] {
            names.sort_unstable();
            names.dedup();
        }
        Ok((named, past))
    }

    fn note(&self, whole: &Whole<MailboxState>, named: &mut Named) {
        named.checkpoints.extend(whole.checkpoint_objects());
        named.contents.extend(whole.state.contents());
        let kept = whole.state.tombstones();
        let kept = kept.filter(|tombstone| !self.survey.is_past(tombstone.at.unix_ms()));
        named
            .contents
            .extend(kept.map(|tombstone| tombstone.content));
    }

    /// Notes the tombstones of a mailbox that are old enough to be forgotten.
    fn note_old(&self, mailbox: MailboxId, state: &MailboxState, old: &mut Vec<Old>) {
        let survey = &self.survey;
        let is_old = |it: &&Tombstone| {
            it.was_seen()
                && survey.is_forgettable(it.at.unix_ms())
                // What seems younger than that is not looked at.
                && survey.is_old(it.content.unix_ms())
        };
        let limits = &survey.config.forget_messages;
        let noted: usize = old.iter().map(|it| it.messages.len()).sum();
        let messages = state.tombstones().filter(is_old);
        let messages = messages.map(|it| (it.id, it.content));
        let messages: Vec<_> = messages.take(2 * limits.end() - noted).collect();
        if messages.len() >= *limits.start() {
            old.push(Old { mailbox, messages });
        }
    }

    /// Looks at all objects of a kind.
    async fn unnamed(
        &self,
        prefix: &str,
        named: &[ContentId],
        before: &BTreeMap<ContentId, u64>,
    ) -> Result<Found, StorageError> {
        let survey = &self.survey;
        let max = survey.config.sweep_marks_max;
        let mut found = Found::default();
        let mut after: Option<ObjectKey> = None;
        loop {
            let (keys, more) = survey.list(prefix, after.take()).await?;
            for content in keys
                .iter()
                .filter_map(|key| survey.places.parse_object(prefix, key))
            {
                if named.binary_search(&content).is_ok() || !survey.is_old(content.unix_ms()) {
                    found.kept += 1;
                    continue;
                }
                let since = before.get(&content).copied();
                let since = since.unwrap_or(survey.now_ms).min(survey.now_ms);
                if survey.is_old(since) && found.doomed.len() < max {
                    found.doomed.push(content);
                } else if found.marks.len() < max {
                    found.marks.insert(content, since);
                } else {
                    found.left_out = true;
                }
            }
            match keys.into_iter().next_back().filter(|_| more) {
                Some(last) => after = Some(last),
                None => return Ok(found),
            }
        }
    }

    /// The summary goes before the body: should this end in between, the body is found
    /// again.
    async fn delete_bodies(&self, doomed: &[ContentId]) -> Result<(), StorageError> {
        let (io, places) = (&self.survey.io, &self.survey.places);
        for contents in doomed.chunks(self.survey.config.sweep_batch_objects.max(1)) {
            let keys = contents.iter().map(|content| places.summary(*content));
            let request = StorageRequest::ReadItems(keys.collect());
            let StorageResponse::Items(items) = io.request(request).await? else {
                return Err(out_of_step());
            };
            self.delete_items(items).await?;
            let keys = contents.iter().map(|content| places.content(*content));
            let request = StorageRequest::DeleteObjects(keys.collect());
            done(io.request(request).await?)?;
        }
        Ok(())
    }

    async fn delete_states(&self, doomed: &[ContentId]) -> Result<(), StorageError> {
        let (io, places) = (&self.survey.io, &self.survey.places);
        for contents in doomed.chunks(self.survey.config.sweep_batch_objects.max(1)) {
            let keys = contents.iter().map(|content| places.checkpoint(*content));
            let request = StorageRequest::DeleteObjects(keys.collect());
            done(io.request(request).await?)?;
        }
        Ok(())
    }

    /// Deletes the log of a mailbox. Its checkpoints are unnamed from now on, and go with later
    /// sweeps.
    async fn delete_log(&self, mailbox: MailboxId) -> Result<(), StorageError> {
        let reader = self.survey.reader(self.survey.places.log(mailbox));
        let mut start = Some(SortKey(String::new()));
        while let Some(from) = start.take() {
            let (items, next) = reader.page(from, None).await?;
            self.delete_items(items).await?;
            start = next;
        }
        Ok(())
    }

    async fn delete_items(&self, items: Vec<Item>) -> Result<(), StorageError> {
        let items = items.into_iter().filter(|item| !item.values.is_empty());
        let items: Vec<(ItemKey, CausalityToken)> =
            items.map(|item| (item.key, item.token)).collect();
        if items.is_empty() {
            return Ok(());
        }
        let request = StorageRequest::DeleteItems(items);
        done(self.survey.io.request(request).await?)
    }

    async fn write(
        &mut self,
        ledger: &Ledger,
        token: Option<CausalityToken>,
    ) -> Result<(), StorageError> {
        let key = self.survey.places.ledger();
        let (keys, plain) = (&self.survey.keys, ledger.encode());
        let value = keys.seal_item(&key, ItemKind::Settings, &plain, &mut self.random);
        let insert = StorageRequest::InsertItems(vec![InsertItem { key, token, value }]);
        done(self.survey.io.request(insert).await?)
    }
}

impl Found {
    /// Whether something that a mailbox named may still be there after this sweep.
    fn have_some_of(&self, past: &Past) -> bool {
        let marks = self.marks.keys();
        let mut marks = marks.filter(|it| past.contents.binary_search(it).is_ok());
        self.left_out || marks.next().is_some()
    }

    /// Takes out what is named after all.
    fn spare(&mut self, named: &[ContentId]) {
        let unnamed = |content: &ContentId| named.binary_search(content).is_err();
        self.doomed.retain(unnamed);
        self.marks.retain(|content, _| unnamed(content));
    }
}

/// The state, if it can be relied on.
fn sound<S>(whole: &Whole<S>) -> Result<&S, Hindrance> {
    match whole.is_sound() {
        true => Ok(&whole.state),
        false => Err(Hindrance::Damaged),
    }
}

pub(super) fn done(response: StorageResponse) -> Result<(), StorageError> {
    match response {
        StorageResponse::Done => Ok(()),
        _ => Err(out_of_step()),
    }
}
