//! What requests become in the log of a mailbox.

use super::{Planned, Planner};
use crate::account::shared::Shared;
use crate::account::{AccountFailure, ConnectionId, Copied, NewMessage, UnchangedSince};
use crate::config::Config;
use crate::mailbox::{
    Batch, Flag, FlagAction, FlagBit, FlagChange, FlagSet, MailboxId, MailboxState, Message,
    MessageId, ModSeq, Operation, Owed, Since, Stamp, Uid,
};
use crate::storage::InsertItem;
use std::collections::BTreeMap;

/// Work on a mailbox.
#[derive(Debug)]
pub(in crate::account) enum MailboxWork {
    /// APPEND.
    Append {
        connection: ConnectionId,
        messages: Vec<NewMessage>,
        /// Stored by the same request.
        summaries: Vec<InsertItem>,
    },
    /// The target's part of COPY and MOVE.
    Copy {
        connection: ConnectionId,
        messages: Vec<NewMessage>,
        origin: Origin,
    },
    /// STORE.
    Store {
        connection: ConnectionId,
        uids: Vec<Uid>,
        change: FlagChange,
        unchanged_since: Option<UnchangedSince>,
    },
    /// EXPUNGE.
    Expunge {
        connection: ConnectionId,
        uids: Option<Vec<Uid>>,
    },
    /// The source's part of MOVE.
    Remove {
        connection: ConnectionId,
        messages: Vec<MessageId>,
        copied: Copied,
        /// RENAME of INBOX: to which mailbox. Only `Done` is said.
        rename: Option<MailboxId>,
    },
    /// UIDs and MODSEQs that may have been shown are not given again.
    SkipUids {
        connection: ConnectionId,
        above: Uid,
    },
    /// What the merge left.
    Settle,
    /// Which messages are `\Recent` for nobody any more.
    Recent(Uid),
    /// Of which messages it need not be known any more that they were expunged.
    Forget(Vec<MessageId>),
}

/// Where copied messages come from.
#[derive(Clone, Debug)]
pub(in crate::account) struct Origin {
    pub(in crate::account) mailbox: MailboxId,
    /// Where they go.
    pub(in crate::account) target: MailboxId,
    /// In the order of the copies.
    pub(in crate::account) originals: Vec<(Uid, MessageId)>,
    /// MOVE.
    pub(in crate::account) expunge: bool,
    /// RENAME of INBOX: to which mailbox.
    pub(in crate::account) rename: Option<MailboxId>,
}

/// What was done.
#[derive(Debug)]
pub(in crate::account) enum MailboxAnswer {
    Appended(ConnectionId, Vec<(MessageId, Uid)>),
    Copied(ConnectionId, Origin, Vec<(MessageId, Uid)>),
    Stored(ConnectionId, Vec<Uid>),
    Expunged(ConnectionId),
    Removed(ConnectionId, Copied, Option<MailboxId>),
    Skipped(ConnectionId),
    Settled,
    Nothing,
}

impl MailboxWork {
    /// Who waits for it.
    pub(in crate::account) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Append { connection, .. }
            | Self::Copy { connection, .. }
            | Self::Store { connection, .. }
            | Self::Expunge { connection, .. }
            | Self::Remove { connection, .. }
            | Self::SkipUids { connection, .. } => Some(*connection),
            Self::Settle | Self::Recent(_) | Self::Forget(_) => None,
        }
    }
}

impl Planner for MailboxState {
    type Work = MailboxWork;
    type Answer = MailboxAnswer;
    type Operation = Operation;

    fn plan(
        &self,
        work: &MailboxWork,
        owed: &Owed,
        shared: &mut Shared,
    ) -> Result<Planned<Self>, AccountFailure> {
        let (operations, answer) = match work {
            MailboxWork::Append {
                connection,
                messages,
                ..
            } => {
                let (operations, uids) = plan_arrivals(self, messages, None, shared)?;
                (operations, MailboxAnswer::Appended(*connection, uids))
            }
            MailboxWork::Copy {
                connection,
                messages,
                origin,
            } => {
                let (operations, uids) = match (origin.rename, origin.expunge) {
                    (Some(_), _) => plan_rename(self, messages, origin, shared)?,
                    (None, true) => plan_move(self, messages, origin, shared)?,
                    (None, false) => plan_arrivals(self, messages, None, shared)?,
                };
                let mut origin = origin.clone();
                if origin.rename.is_some() {
                    // What was expunged there since it came is not brought again, and stays where it is.
                    origin.originals.retain(|(_, id)| !self.was_expunged(*id));
                }
                (operations, MailboxAnswer::Copied(*connection, origin, uids))
            }
            MailboxWork::Store {
                connection,
                uids,
                change,
                unchanged_since,
            } => {
                let (operations, modified) =
                    plan_store(self, uids, change, unchanged_since.as_ref(), &shared.config)?;
                (operations, MailboxAnswer::Stored(*connection, modified))
            }
            MailboxWork::Expunge { connection, uids } => {
                let operations = plan_expunge(self, uids.as_deref());
                (operations, MailboxAnswer::Expunged(*connection))
            }
            MailboxWork::Remove {
                connection,
                messages,
                copied,
                rename,
            } => {
                let answer = MailboxAnswer::Removed(*connection, copied.clone(), *rename);
                (expunge(messages.clone()), answer)
            }
            MailboxWork::SkipUids { connection, above } => {
                let operations = plan_skip(self, *above, shared);
                (operations, MailboxAnswer::Skipped(*connection))
            }
            MailboxWork::Settle => {
                let operations = owed.operations(self, shared.config.messages_max);
                (operations, MailboxAnswer::Settled)
            }
            MailboxWork::Recent(uid) => {
                let known = self.recent_from() >= *uid;
                let operation = (!known).then_some(Operation::RecentFrom { uid: *uid });
                (operation.into_iter().collect(), MailboxAnswer::Nothing)
            }
            MailboxWork::Forget(messages) => {
                let messages: Vec<MessageId> = self.forgettable(messages).collect();
                let operation = (!messages.is_empty()).then_some(Operation::Forget { messages });
                (operation.into_iter().collect(), MailboxAnswer::Nothing)
            }
        };
        Ok(Planned { operations, answer })
    }

    fn batch(&self, stamp: Stamp, operations: Vec<Operation>) -> Batch {
        // That messages are not `\Recent` any more is no change that a client that was away
        // has to look for: HIGHESTMODSEQ stays.
        let is_change = Batch::is_change(&operations);
        let mut modseq = self.highest_modseq().0 + u64::from(is_change);
        if skips(self, &operations) {
            // Milliseconds: nobody makes more than one change in each.
            modseq = modseq.max(stamp.unix_ms());
        }
        let modseq = ModSeq(modseq);
        Batch {
            stamp,
            modseq,
            past: is_change.then(|| self.past(modseq)),
            operations,
        }
    }

    fn settle(&self, owed: &Owed) -> Option<MailboxWork> {
        owed.is_due(self).then_some(MailboxWork::Settle)
    }

    fn settles(work: &MailboxWork) -> bool {
        matches!(work, MailboxWork::Settle)
    }

    fn beside(work: &MailboxWork) -> &[InsertItem] {
        match work {
            MailboxWork::Append { summaries, .. } => summaries,
            _ => &[],
        }
    }

    fn claims(operation: &Operation) -> bool {
        matches!(operation, Operation::Claim { .. })
    }

    fn is_change(operations: &[Operation]) -> bool {
        Batch::is_change(operations)
    }

    fn confirm(&self, answer: &mut MailboxAnswer) -> bool {
        let (MailboxAnswer::Appended(_, uids) | MailboxAnswer::Copied(_, _, uids)) = answer else {
            return true;
        };
        uids.iter_mut().all(|(message, uid)| {
            let now = self.last_uid(*message);
            *uid = now.unwrap_or(*uid);
            now.is_some()
        })
    }

    /// RFC 7162 §3.1: each STORE gets a different MODSEQ, simultaneous ones as well.
    fn stamps(work: &MailboxWork) -> bool {
        matches!(work, MailboxWork::Store { .. })
    }

    fn is_news(work: &MailboxWork, _: &MailboxAnswer) -> bool {
        !matches!(work, MailboxWork::Recent(_) | MailboxWork::Forget(_))
    }
}

/// So many UIDs are left out at least where it is not known how many were given.
const SKIPPED_UIDS_MIN: u32 = 1 << 16;

/// 2020-01-01T00:00:00Z in seconds since 1970.
const SKIPPED_UIDS_EPOCH_S: u64 = 1_577_836_800;

/// A UID is claimed for a message that never was, far above all that were given: seconds
/// since 2020, for no mailbox gets a message in each. So it is even if nothing is known of
/// the mailbox any more, and whenever it is done again.
fn plan_skip(state: &MailboxState, above: Uid, shared: &mut Shared) -> Vec<Operation> {
    let seconds = (shared.now.unix_ms / 1_000).saturating_sub(SKIPPED_UIDS_EPOCH_S);
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX / 2);
    let above = above.max(state.uid_next()).get();
    let uid = above.saturating_add(SKIPPED_UIDS_MIN).max(seconds);
    let (Some(uid), true) = (Uid::new(uid), state.next_claim().is_some()) else {
        return Vec::new();
    };
    let message = MessageId::at(shared.now.unix_ms, &mut shared.random);
    let mut operations = vec![Operation::Claim { message, uid }];
    operations.extend(expunge(vec![message]));
    operations
}

/// Whether these leave UIDs out.
fn skips(state: &MailboxState, operations: &[Operation]) -> bool {
    let first = state.uid_next().get().saturating_add(SKIPPED_UIDS_MIN);
    let skips = |operation: &Operation| match operation {
        Operation::Claim { uid, .. } => uid.get() >= first,
        _ => false,
    };
    operations.iter().any(skips)
}

/// Messages of INBOX move to a mailbox that was made for them. They keep their ids, so
/// those that came with an earlier attempt are known, and one that may still come late
/// brings nothing twice.
fn plan_rename(
    state: &MailboxState,
    messages: &[NewMessage],
    origin: &Origin,
    shared: &mut Shared,
) -> Result<Arrivals, AccountFailure> {
    let ids = origin.originals.iter().map(|(_, id)| *id);
    let (known, missing): (Vec<_>, Vec<_>) =
        ids.zip(messages).partition(|(id, _)| state.knows(*id));
    let missing = missing.into_iter();
    let (ids, messages): (Vec<_>, Vec<_>) =
        missing.map(|(id, message)| (id, message.clone())).unzip();
    let (mut operations, uids) = plan_arrivals(state, &messages, Some(&ids), shared)?;
    // They were in INBOX all the time: flags that were set there since come as well.
    operations.extend(known.into_iter().filter_map(|(id, message)| {
        let uid = state.last_uid(id)?;
        add_flags(state, uid, &message.flags)
    }));
    Ok((operations, uids))
}

/// How often a message may come back to a mailbox that it was expunged from, by MOVE of one original,
/// before it gets an identity that follows from nothing. Each time takes a MOVE that failed half way.
const MOVED_AGAIN_MAX: u8 = 8;

/// Messages of another mailbox move here. Their identities follow from those of the originals, so what
/// another server moves here at the same time is the same message, and what came with a MOVE that
/// failed before it took the originals away does not come once more.
fn plan_move(
    state: &MailboxState,
    messages: &[NewMessage],
    origin: &Origin,
    shared: &mut Shared,
) -> Result<Arrivals, AccountFailure> {
    let flags = messages.iter().flat_map(|message| &message.flags);
    check_keywords(state, flags, &shared.config)?;
    let ids: Vec<MessageId> = origin
        .originals
        .iter()
        .zip(messages)
        .map(|((_, id), message)| moved_id(state, (*id, message), origin, shared))
        .collect();
    let missing = ids.iter().zip(messages);
    let missing = missing.filter(|(id, _)| state.last_uid(**id).is_none());
    let (new_ids, new): (Vec<_>, Vec<_>) = missing.map(|(id, it)| (*id, it.clone())).unzip();
    let (mut operations, new_uids) = plan_arrivals(state, &new, Some(&new_ids), shared)?;
    let mut new_uids = new_uids.into_iter();
    let mut uids = Vec::with_capacity(ids.len());
    for (id, message) in ids.into_iter().zip(messages) {
        let Some(uid) = state.last_uid(id) else {
            uids.extend(new_uids.next());
            continue;
        };
        uids.push((id, uid));
        operations.extend(add_flags(state, uid, &message.flags));
    }
    Ok((operations, uids))
}

/// The identity of a message that moves here; of one that was here and was expunged another one. Half a RENAME
/// of INBOX has brought it under its own. What is here with another content is another message, whoever has given
/// it this identity: the original must not go for it.
fn moved_id(
    state: &MailboxState,
    (original, message): (MessageId, &NewMessage),
    origin: &Origin,
    shared: &mut Shared,
) -> MessageId {
    let target = origin.target;
    let is_another = |id| {
        let content = state.content_of(id);
        content.is_some_and(|content| content != message.content)
    };
    // Where it moves to the mailbox that it is in, that is the original itself.
    let renamed =
        (origin.mailbox != target && state.content_of(original).is_some()).then_some(original);
    let moved = (0..MOVED_AGAIN_MAX).map(|again| original.moved(target, again));
    let mut ids = renamed.into_iter().chain(moved);
    ids.find(|id| !state.was_expunged(*id) && !is_another(*id))
        .unwrap_or_else(|| MessageId::at(shared.now.unix_ms, &mut shared.random))
}

/// Sets flags of a message that it does not have.
fn add_flags(state: &MailboxState, uid: Uid, flags: &[Flag]) -> Option<Operation> {
    let message = state.find(uid)?;
    let has = |flag: &&Flag| {
        let bit = state.bit(flag);
        bit.is_some_and(|bit| message.flags.contains(bit))
    };
    let missing = flags.iter().filter(|flag| !has(flag));
    let changes: Vec<_> = missing.map(|flag| (flag.clone(), true)).collect();
    (!changes.is_empty()).then(|| Operation::SetFlags {
        messages: vec![message.id],
        changes,
    })
}

/// The operations, and which message is to have which UID.
type Arrivals = (Vec<Operation>, Vec<(MessageId, Uid)>);

/// Messages arrive and get their UIDs at once; and their ids, if they have none.
fn plan_arrivals(
    state: &MailboxState,
    messages: &[NewMessage],
    ids: Option<&[MessageId]>,
    shared: &mut Shared,
) -> Result<Arrivals, AccountFailure> {
    let waiting = state.unnumbered().count();
    if state.len() + waiting + messages.len() > shared.config.messages_max {
        return Err(AccountFailure::Limit("The mailbox has too many messages"));
    }
    let flags = messages.iter().flat_map(|message| &message.flags);
    check_keywords(state, flags, &shared.config)?;
    let mut operations = Vec::with_capacity(messages.len() * 2);
    let mut uids = Vec::with_capacity(messages.len());
    let mut next = state.next_claim();
    for (index, arrival) in messages.iter().enumerate() {
        let uid = next.ok_or(AccountFailure::Limit("The mailbox has no UIDs left"))?;
        let message = match ids.and_then(|ids| ids.get(index)) {
            Some(id) => *id,
            None => MessageId::at(shared.now.unix_ms, &mut shared.random),
        };
        let arrival = arrival.clone();
        operations.push(Operation::Arrive { message, arrival });
        operations.push(Operation::Claim { message, uid });
        uids.push((message, uid));
        next = uid.get().checked_add(1).and_then(Uid::new);
    }
    Ok((operations, uids))
}

/// Which flags of STORE's list change, one bit each, and which other flags go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Difference {
    listed: u128,
    cleared: FlagSet,
}

fn plan_store(
    state: &MailboxState,
    uids: &[Uid],
    change: &FlagChange,
    unchanged_since: Option<&UnchangedSince>,
    config: &Config,
) -> Result<(Vec<Operation>, Vec<Uid>), AccountFailure> {
    let adds = change.action != FlagAction::Remove;
    if adds {
        check_keywords(state, change.flags.iter(), config)?;
    }
    if change.flags.len() > 128 {
        return Err(AccountFailure::Limit("Too many flags"));
    }
    let bits: Vec<_> = change.flags.iter().map(|flag| state.bit(flag)).collect();
    let single = change.action != FlagAction::Replace;
    let since = unchanged_since.filter(|_| single);
    let since = since.and_then(|it| Some((Since::new(&it.shown, state)?, it.modseq)));
    // Whether others changed other flags only.
    let left_alone = |message: &Message| {
        let by_others = |(since, modseq): &(Since<'_>, ModSeq)| {
            since.left_alone(message.uid, &change.flags, *modseq)
        };
        single && (never_touched(message, &bits) || since.as_ref().is_some_and(by_others))
    };
    let mut modified = Vec::new();
    // Messages that need the same change share one operation.
    let mut groups: BTreeMap<Difference, Vec<MessageId>> = BTreeMap::new();
    for message in uids.iter().filter_map(|uid| state.find(*uid)) {
        let changed = unchanged_since.is_some_and(|it| message.modseq > it.modseq);
        if changed && !left_alone(message) {
            modified.push(message.uid);
            continue;
        }
        let difference = difference(message, &bits, change.action);
        if difference.listed != 0 || difference.cleared != FlagSet::default() {
            groups.entry(difference).or_default().push(message.id);
        }
    }
    let operations = groups.into_iter().map(|(difference, messages)| {
        let listed = change.flags.iter().enumerate();
        let listed = listed
            .filter(|(index, _)| difference.listed >> index & 1 == 1)
            .map(|(_, flag)| (flag.clone(), adds));
        let cleared = difference.cleared.bits();
        let cleared = cleared.filter_map(|bit| Some((state.flag(bit)?, false)));
        let changes = listed.chain(cleared).collect();
        Operation::SetFlags { messages, changes }
    });
    Ok((operations.collect(), modified))
}

/// Whether all of these flags are keywords that the message never had. To such a flag
/// nothing happened since any MODSEQ, 0 included, whatever happened to others; system flags
/// exist always (RFC 7162 §3.1.3, examples 7 and 8, and §3.1.12).
fn never_touched(message: &Message, bits: &[Option<FlagBit>]) -> bool {
    let registers = message.registers.as_deref().unwrap_or_default();
    !bits.is_empty()
        && bits.iter().flatten().all(|bit| {
            usize::from(bit.0) >= FlagBit::FIRST_KEYWORD
                && !message.flags.contains(*bit)
                && registers.iter().all(|register| register.flag != *bit)
        })
}

fn difference(message: &Message, bits: &[Option<FlagBit>], action: FlagAction) -> Difference {
    let adds = action != FlagAction::Remove;
    let mut difference = Difference {
        listed: 0,
        cleared: FlagSet::default(),
    };
    if action == FlagAction::Replace {
        difference.cleared = message.flags;
    }
    for (index, bit) in bits.iter().enumerate() {
        let set = bit.is_some_and(|bit| message.flags.contains(bit));
        if set != adds {
            difference.listed |= 1 << index;
        }
        if let Some(bit) = bit {
            difference.cleared.assign(*bit, false);
        }
    }
    difference
}

fn plan_expunge(state: &MailboxState, uids: Option<&[Uid]>) -> Vec<Operation> {
    let deleted = |message: &&Message| message.flags.deleted();
    let id = |message: &Message| message.id;
    expunge(match uids {
        None if state.deleted_count() == 0 => Vec::new(),
        None => state.iter_from(0).filter(deleted).map(id).collect(),
        Some(uids) => {
            let messages = uids.iter().filter_map(|uid| state.find(*uid));
            messages.filter(deleted).map(id).collect()
        }
    })
}

fn expunge(messages: Vec<MessageId>) -> Vec<Operation> {
    if messages.is_empty() {
        return Vec::new();
    }
    vec![Operation::Expunge { messages }]
}

/// Whether the mailbox has room for the keywords among these flags.
fn check_keywords<'a>(
    state: &MailboxState,
    flags: impl Iterator<Item = &'a Flag>,
    config: &Config,
) -> Result<(), AccountFailure> {
    let mut new: Vec<&Flag> = flags.filter(|flag| state.bit(flag).is_none()).collect();
    new.sort();
    new.dedup();
    if !new.is_empty() && !state.has_room_for_keywords(new.len(), config.keywords_max) {
        return Err(AccountFailure::Limit("The mailbox has too many keywords"));
    }
    Ok(())
}
