//! The check of an account: is every message readable, every object named or explained, and
//! does the index agree with itself? And what of that can be put right without adding
//! messages: whoever asked appends what was found ([`CheckReport::orphans`]).

use super::content::Inside;
use super::report::{CheckReport, Finding, Trouble};
use super::survey::{Survey, Whole, contents_of, out_of_step};
use super::sweep::done;
use crate::account::checkpoint::KEPT;
use crate::account::load::counting;
use crate::account::{Bodies, CheckOptions};
use crate::mailbox::{
    ContentId, Deleted, Directory, Ledger, LogState, MailboxId, MailboxName, MailboxState, Message,
    Uid,
};
use crate::random::Random;
use crate::seal::{ContentKind, ItemKind};
use crate::storage::{
    CausalityToken, InsertItem, Item, ItemKey, ObjectKey, PartitionKey, StorageError,
    StorageRequest, StorageResponse,
};
use crate::summary::Summary;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) struct Check {
    pub(super) survey: Survey,
    pub(super) random: Random,
    pub(super) options: CheckOptions,
    report: CheckReport,
    /// Contents of messages.
    live: BTreeSet<ContentId>,
    /// Contents of what was expunged, or was in mailboxes that are deleted.
    gone: BTreeSet<ContentId>,
    /// Checkpoints that pointers name.
    states: BTreeSet<ContentId>,
}

/// Where a message is.
pub(super) struct Where<'a> {
    pub(super) mailbox: Option<&'a MailboxName>,
    pub(super) uid: Option<Uid>,
}

const NOWHERE: Where<'_> = Where {
    mailbox: None,
    uid: None,
};

impl Check {
    pub(super) fn new(survey: Survey, random: Random, options: CheckOptions) -> Self {
        Self {
            survey,
            random,
            options,
            report: CheckReport::default(),
            live: BTreeSet::new(),
            gone: BTreeSet::new(),
            states: BTreeSet::new(),
        }
    }

    /// The whole sequence.
    pub(super) async fn run(mut self) -> Result<CheckReport, StorageError> {
        self.survey.io.step("check the directory");
        let (ledger, _) = self.survey.ledger().await?;
        let ledger = ledger.unwrap_or_default();
        let partition = self.survey.places.directory();
        let (whole, _) = self.log(None, partition, ()).await?;
        self.compare(None, &whole, ()).await?;
        let directory: &Directory = &whole.state;
        for mailbox in ledger.mailboxes.keys().filter(|id| !directory.knows(**id)) {
            let place = self.survey.places.log(*mailbox).0;
            self.find(NOWHERE, place, Trouble::MailboxLost);
        }
        self.survey.io.step("check the mailboxes");
        for mailbox in directory.ids() {
            self.mailbox(directory, mailbox, &ledger).await?;
        }
        for mailbox in directory.deleted() {
            let since = ledger.deleted.get(&mailbox).copied();
            self.deleted(directory, mailbox, since).await?;
        }
        self.survey.io.step("look at all objects");
        self.bodies().await?;
        self.checkpoints().await?;
        Ok(self.report)
    }

    fn find(&mut self, at: Where<'_>, place: String, trouble: Trouble) -> Option<&mut Finding> {
        if self.report.findings.len() >= self.survey.config.check_findings_max {
            self.report.findings_left_out += 1;
            return None;
        }
        self.report.findings.push(Finding {
            mailbox: at.mailbox.cloned(),
            uid: at.uid,
            place,
            trouble,
            repaired: false,
        });
        self.report.findings.last_mut()
    }

    /// Notes what was found, and that it was put right.
    pub(super) fn found_repaired(
        &mut self,
        at: Where<'_>,
        place: String,
        trouble: Trouble,
        repaired: bool,
    ) {
        if let Some(finding) = self.find(at, place, trouble) {
            finding.repaired = repaired;
        }
    }

    async fn mailbox(
        &mut self,
        directory: &Directory,
        mailbox: MailboxId,
        ledger: &Ledger,
    ) -> Result<(), StorageError> {
        let entry = directory.mailboxes().find(|entry| entry.id == mailbox);
        let name = entry.map(|entry| &entry.name);
        let partition = self.survey.places.log(mailbox);
        let origin = directory.uid_validity(mailbox);
        let (whole, lacks) = self.log(name, partition.clone(), origin).await?;
        self.compare(name, &whole, origin).await?;
        let state: &MailboxState = &whole.state;
        let known = ledger.mailboxes.get(&mailbox).copied();
        let floor = known.unwrap_or(Uid::FIRST).max(state.uid_next());
        if known > Some(state.uid_next()) {
            let at = Where {
                mailbox: name,
                uid: None,
            };
            self.find(at, partition.0, Trouble::MessagesLost);
            self.report.lost.push((mailbox, floor));
        } else if whole.damaged.count > 0
            || whole.partial
            || !whole.is_complete()
            || lacks
            || self.options.rebuild
            || self.options.restored_ms.is_some()
        {
            // What is rebuilt or put back may be an earlier state: clients were told of UIDs that it does
            // not know.
            self.report.lost.push((mailbox, floor));
        }
        self.report.mailboxes += 1;
        self.report.messages += state.len() as u64;
        let gone = state.tombstones().map(|tombstone| tombstone.content);
        self.gone.extend(gone);
        let mut batch: Vec<&Message> = Vec::new();
        for message in state.iter_from(0) {
            if self.live.insert(message.content) && self.options.bodies != Bodies::Skip {
                batch.push(message);
            }
            if batch.len() >= self.survey.config.sweep_batch_objects.max(1) {
                self.messages(name, &batch).await?;
                batch.clear();
            }
        }
        self.live.extend(state.contents());
        self.messages(name, &batch).await
    }

    /// A deleted mailbox. As long as what it had can be brought back, nothing is collected while its log is
    /// damaged, so that is found and put right as in any other.
    async fn deleted(
        &mut self,
        directory: &Directory,
        mailbox: MailboxId,
        since: Option<Deleted>,
    ) -> Result<(), StorageError> {
        let whole = match since {
            Some(Deleted::Collected) => return Ok(()),
            Some(Deleted::Since(since)) if self.survey.is_past(since) => {
                let whole = self.survey.mailbox(directory, mailbox).await?;
                self.states.extend(whole.checkpoint_objects());
                whole
            }
            _ => {
                let partition = self.survey.places.log(mailbox);
                let origin = directory.uid_validity(mailbox);
                self.log(None, partition, origin).await?.0
            }
        };
        self.report.mailboxes += u64::from(!whole.empty);
        self.gone.extend(contents_of(&whole.state));
        Ok(())
    }

    /// Reads a log in every way that it can be read in; whether it lacks what nobody knew to be
    /// missing.
    async fn log<S: LogState>(
        &mut self,
        name: Option<&MailboxName>,
        partition: PartitionKey,
        origin: S::Origin,
    ) -> Result<(Whole<S>, bool), StorageError> {
        let whole = self.survey.read(partition.clone(), origin).await?;
        self.states.extend(whole.checkpoint_objects());
        let lacks = self.tell_missing(name, &whole, origin).await?;
        let at = || Where {
            mailbox: name,
            uid: None,
        };
        for key in &whole.damaged.items {
            let mut repaired = false;
            if self.options.repair {
                // It will be missing in the log.
                self.note(vec![key.clone()]).await?;
                repaired = self.move_aside(key).await?;
            }
            let place = format!("{}/{}", key.partition, key.sort);
            self.found_repaired(at(), place, Trouble::LogItem, repaired);
        }
        for key in &whole.damaged.beside {
            let mut repaired = false;
            if self.options.repair {
                let keys = Arc::clone(&self.survey.keys);
                let counting = |item: &Item| counting::<S>(&keys, item);
                repaired = self.move_aside_but(key, counting).await?;
            }
            let place = format!("{}/{}", key.partition, key.sort);
            self.found_repaired(at(), place, Trouble::ValueBeside, repaired);
        }
        for content in &whole.damaged.checkpoints {
            let place = self.survey.places.checkpoint(*content).0;
            let mut all = whole.checkpoints.iter().flatten();
            let pointer = all.find(|pointer| pointer.content == *content);
            let known = pointer.is_some_and(|pointer| whole.covered.covers(&pointer.covered));
            let mut repaired = false;
            if self.options.rebuild || (self.options.repair && known && !whole.partial) {
                repaired = self.drop_pointer(&whole, *content).await?;
            }
            self.found_repaired(at(), place, Trouble::Checkpoint, repaired);
        }
        if !whole.is_complete() {
            self.find(at(), partition.0, Trouble::Disagreement);
        }
        Ok((whole, lacks))
    }

    /// Whether a log says the same from the older one of the two checkpoints that are kept. One before that may be
    /// a pointer only that came back with a write that storage did twice, and that is forgotten again.
    /// Where the older one came late and lacks what the others have, that is told until the next checkpoint is made.
    async fn compare<S: LogState>(
        &mut self,
        name: Option<&MailboxName>,
        whole: &Whole<S>,
        origin: S::Origin,
    ) -> Result<(), StorageError> {
        let others = whole.checkpoints.len().min(KEPT).saturating_sub(1);
        if !whole.is_sound() || others == 0 {
            return Ok(());
        }
        let reader = self.survey.reader(whole.partition.clone());
        let older = reader.load_from::<S>(origin, others).await?.known;
        let newest = whole.checkpoints.last().and_then(Option::as_ref);
        let lacks = newest.is_some_and(|newest| !older.covered.covers(&newest.covered));
        // Others may have written between the two readings, or forgotten the oldest checkpoint just now.
        let same = older.covered == whole.covered;
        if self.survey.pointers(&reader).await? != whole.pointers {
            return Ok(());
        }
        if lacks || (same && !older.state.agrees_with(&whole.state)) {
            let at = Where {
                mailbox: name,
                uid: None,
            };
            self.find(at, whole.partition.0.clone(), Trouble::Disagreement);
        }
        Ok(())
    }

    /// Keeps elsewhere what cannot be opened.
    async fn move_aside(&mut self, key: &ItemKey) -> Result<bool, StorageError> {
        self.move_aside_but(key, |_| None).await
    }

    /// Keeps elsewhere what an item holds, but for the value of this number, if any: it stays where it
    /// is.
    async fn move_aside_but(
        &mut self,
        key: &ItemKey,
        stays: impl Fn(&Item) -> Option<usize>,
    ) -> Result<bool, StorageError> {
        let Some(item) = self.items(vec![key.clone()]).await?.pop() else {
            return Ok(false);
        };
        let staying = stays(&item);
        let values = item.values.iter().enumerate();
        let going = values.filter(|(number, _)| Some(*number) != staying);
        let going = going.map(|(number, value)| InsertItem {
            key: self.survey.places.aside(key, number),
            token: None,
            value: value.clone(),
        });
        let insert = StorageRequest::InsertItems(going.collect());
        done(self.survey.io.request(insert).await?)?;
        // Written with the token it takes the place of all.
        let rest = match staying.and_then(|number| item.values.get(number).cloned()) {
            Some(value) => StorageRequest::InsertItems(vec![InsertItem {
                key: item.key,
                token: Some(item.token),
                value,
            }]),
            None => StorageRequest::DeleteItems(vec![(item.key, item.token)]),
        };
        done(self.survey.io.request(rest).await?)?;
        Ok(true)
    }

    /// Moves the pointer of a checkpoint aside that cannot be read.
    async fn drop_pointer<S>(
        &mut self,
        whole: &Whole<S>,
        content: ContentId,
    ) -> Result<bool, StorageError> {
        let named = |it: &Option<crate::mailbox::CheckpointPointer>| {
            it.as_ref().is_some_and(|it| it.content == content)
        };
        match whole.checkpoints.iter().position(named) {
            Some(at) => {
                let key = ItemKey {
                    partition: whole.partition.clone(),
                    sort: whole.pointers[at].clone(),
                };
                self.move_aside(&key).await
            }
            None => Ok(false),
        }
    }

    async fn items(&self, keys: Vec<ItemKey>) -> Result<Vec<Item>, StorageError> {
        match self
            .survey
            .io
            .request(StorageRequest::ReadItems(keys))
            .await?
        {
            StorageResponse::Items(items) => Ok(items),
            _ => Err(out_of_step()),
        }
    }

    /// Checks the bodies and summaries of some messages.
    async fn messages(
        &mut self,
        name: Option<&MailboxName>,
        messages: &[&Message],
    ) -> Result<(), StorageError> {
        if messages.is_empty() {
            return Ok(());
        }
        let places = self.survey.places;
        let keys = messages.iter().map(|it| places.summary(it.content));
        let items = self.items(keys.collect()).await?;
        let mut items: BTreeMap<ItemKey, Item> =
            items.into_iter().map(|it| (it.key.clone(), it)).collect();
        for message in messages {
            let at = || Where {
                mailbox: name,
                uid: Some(message.uid),
            };
            let content = message.content;
            let place = places.content(content).0;
            let inside = match self.survey.look_into(content).await? {
                Ok(inside) => inside,
                Err(trouble) => {
                    self.find(at(), place, trouble);
                    continue;
                }
            };
            if inside.kind != message.kind {
                // What the account wrote itself is nobody else's to replace.
                self.find(at(), place, Trouble::SealedOtherwise);
                continue;
            }
            let end = inside.end;
            let summary = (message.summary_offset, message.summary_len);
            if end.body_bytes != message.size || (end.summary.offset, end.summary.len) != summary {
                self.find(at(), place.clone(), Trouble::SizeDiffers);
            }
            if inside.summary.is_none() {
                self.find(at(), place.clone(), Trouble::SummaryDamaged);
            }
            let item = items.remove(&places.summary(content));
            self.summary_item(at(), content, &inside, item).await?;
            if self.options.bodies == Bodies::Full
                && let Some(trouble) = self.survey.read_through(content, &inside).await?
            {
                self.find(at(), place, trouble);
            }
        }
        Ok(())
    }

    /// Checks the summary that is kept as an item, and makes it again.
    async fn summary_item(
        &mut self,
        at: Where<'_>,
        content: ContentId,
        inside: &Inside,
        item: Option<Item>,
    ) -> Result<(), StorageError> {
        let len = inside.end.summary.len as usize;
        let wanted =
            inside.kind == ContentKind::Message && len <= self.survey.config.summary_item_bytes_max;
        let key = self.survey.places.summary(content);
        let good = item.iter().flat_map(|item| &item.values).any(|value| {
            let keys = &self.survey.keys;
            let plain = keys.open_summary_item(&key, inside.kind, value);
            let summary = plain.ok().and_then(|plain| Summary::decode(&plain).ok());
            summary.is_some_and(|summary| summary.size == inside.end.body_bytes)
        });
        let there = item.as_ref().is_some_and(|item| !item.values.is_empty());
        if good || (!wanted && !there) {
            return Ok(());
        }
        let mut repaired = false;
        if let Some(plain) = &inside.summary
            && self.options.repair
        {
            let token = item.map(|item| item.token);
            self.write_summary(&key, plain, token).await?;
            repaired = true;
        }
        let place = format!("{}/{}", key.partition, key.sort);
        self.found_repaired(at, place, Trouble::SummaryItem, repaired);
        Ok(())
    }

    async fn write_summary(
        &mut self,
        key: &ItemKey,
        plain: &[u8],
        token: Option<CausalityToken>,
    ) -> Result<(), StorageError> {
        let keys = &self.survey.keys;
        let value = keys.seal_item(key, ItemKind::Summary, plain, &mut self.random);
        let key = key.clone();
        let insert = StorageRequest::InsertItems(vec![InsertItem { key, token, value }]);
        done(self.survey.io.request(insert).await?)
    }

    /// Looks at all bodies.
    async fn bodies(&mut self) -> Result<(), StorageError> {
        let prefix = self.survey.places.contents();
        let mut after: Option<ObjectKey> = None;
        loop {
            let (keys, more) = self.survey.list(&prefix, after.take()).await?;
            for key in &keys {
                let Some(content) = self.survey.places.parse_object(&prefix, key) else {
                    self.find(NOWHERE, key.0.clone(), Trouble::Foreign);
                    continue;
                };
                self.report.bodies += 1;
                if !self.live.contains(&content) {
                    self.unnamed_body(content, key).await?;
                }
            }
            match keys.into_iter().next_back().filter(|_| more) {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    async fn unnamed_body(
        &mut self,
        content: ContentId,
        key: &ObjectKey,
    ) -> Result<(), StorageError> {
        let unix_ms = content.unix_ms();
        // One that was stored since may be on its way into a mailbox.
        let lost = self.options.rebuild || self.options.restored_ms.is_some_and(|at| unix_ms < at);
        let young = !self.survey.is_old(unix_ms) && !lost;
        if young || self.gone.contains(&content) {
            self.report.waiting += 1;
            return Ok(());
        }
        match self.survey.look_into(content).await? {
            // It went while we looked.
            Err(Trouble::BodyMissing) => {}
            Err(trouble) => {
                self.find(NOWHERE, key.0.clone(), trouble);
            }
            Ok(inside) => {
                if self.report.orphans.len() < self.survey.config.recover_messages_max {
                    self.report.orphans.push(inside.message(content));
                    self.find(NOWHERE, key.0.clone(), Trouble::Orphan);
                } else {
                    self.report.more_orphans = true;
                }
            }
        }
        Ok(())
    }

    /// Looks at all checkpoints.
    async fn checkpoints(&mut self) -> Result<(), StorageError> {
        let prefix = self.survey.places.checkpoints();
        let mut after: Option<ObjectKey> = None;
        loop {
            let (keys, more) = self.survey.list(&prefix, after.take()).await?;
            for key in &keys {
                let Some(content) = self.survey.places.parse_object(&prefix, key) else {
                    self.find(NOWHERE, key.0.clone(), Trouble::Foreign);
                    continue;
                };
                self.report.checkpoints += 1;
                if self.states.contains(&content) {
                    continue;
                }
                if !self.survey.is_old(content.unix_ms()) {
                    self.report.waiting += 1;
                    continue;
                }
                if self.options.repair {
                    let request = StorageRequest::DeleteObjects(vec![key.clone()]);
                    done(self.survey.io.request(request).await?)?;
                }
                let repaired = self.options.repair;
                self.found_repaired(NOWHERE, key.0.clone(), Trouble::OrphanCheckpoint, repaired);
            }
            match keys.into_iter().next_back().filter(|_| more) {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }
}
