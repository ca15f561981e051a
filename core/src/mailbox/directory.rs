//! The mailboxes of an account and what it subscribes to: the sum of a log of its own,
//! in which the last writer wins.
//!
//! Every account begins with the same six mailboxes, whose identities follow from the
//! account's keys: no server has to create them, so no two can create them twice. Their
//! UIDVALIDITY is 1 to 6, and that of every mailbox made later is higher: no two mailboxes
//! have the same, or a RENAME to the name of another one would make its UIDs lie.
//! Should two servers give the same name to two mailboxes, the lower id keeps it and the
//! other shows a part of its id behind its name, the same on all servers.

use super::clock::Stamp;
use super::encoding::{DecodeError, Decoder, Encoder};
use super::reserved::{Reservation, Reserved};
use super::{MailboxId, MailboxName, SpecialUse, UidValidity, WriterId};
use crate::seal::AccountKeys;
use core::fmt;
use core::num::NonZeroU32;
use std::collections::{BTreeMap, BTreeSet};

/// Version of the encoding of batches, and of those in which no number is reserved.
const VERSION: u8 = 2;
const VERSION_WITHOUT_RESERVATIONS: u8 = 1;

/// For so many milliseconds after it, as far as the newest one tells, it is remembered that somebody
/// unsubscribed. Until then an older SUBSCRIBE may still come from a server or node that was
/// away (RFC 3501 §6.3.6 and §6.3.7 name no end), as with expunged messages.
const UNSUBSCRIBED_KEPT_MS: u64 = 105 * 24 * 3_600 * 1_000;

/// A mailbox as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxEntry {
    /// Which mailbox it is.
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
}

/// The mailboxes and subscriptions of an account.
#[derive(Clone)]
pub struct Directory {
    mailboxes: BTreeMap<MailboxId, Known>,
    deleted: BTreeSet<MailboxId>,
    subscriptions: BTreeMap<MailboxName, Subscription>,
    /// No mailbox ever had a higher one, or was to have.
    uid_validity_max: u32,
    reserved: Reserved,
    /// What is shown: made of the above, sorted by name.
    entries: Vec<MailboxEntry>,
}

/// What is known of a mailbox that is not deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    created: Option<(UidValidity, Option<SpecialUse>)>,
    name: Option<(Stamp, WriterId, MailboxName)>,
    inbox: InboxMove,
}

/// How far a RENAME of INBOX (RFC 3501 §6.3.5) to a mailbox is: it goes through several
/// logs, and whoever is asked again must know that it was begun. It only advances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InboxMove {
    /// There was none.
    #[default]
    None,
    /// The mailbox was made for the messages of INBOX; they need not all be there.
    Begun,
    /// They are.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subscription {
    stamp: Stamp,
    writer: WriterId,
    subscribed: bool,
}

impl Subscription {
    /// Whether it must be known at this time.
    fn is_kept(&self, unix_ms: u64) -> bool {
        self.subscribed || self.stamp.unix_ms().saturating_add(UNSUBSCRIBED_KEPT_MS) > unix_ms
    }
}

/// A change of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DirectoryOperation {
    /// A mailbox is there.
    Create {
        mailbox: MailboxId,
        name: MailboxName,
        uid_validity: UidValidity,
        special_use: Option<SpecialUse>,
    },
    /// A mailbox has another name.
    Rename {
        mailbox: MailboxId,
        name: MailboxName,
    },
    /// A mailbox is gone for ever.
    Delete { mailbox: MailboxId },
    /// A name is subscribed to, or is not.
    Subscribe { name: MailboxName, subscribed: bool },
    /// A RENAME of INBOX to this mailbox has come this far.
    MoveInbox { mailbox: MailboxId, to: InboxMove },
    /// A server is about to make a mailbox with this UIDVALIDITY.
    Reserve(Reservation),
}

/// Changes of the directory that happen together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryBatch {
    pub(crate) stamp: Stamp,
    pub(crate) operations: Vec<DirectoryOperation>,
}

/// Accounts made from this time on (milliseconds since 1970, 2026-11-25) begin with
/// mailboxes of different UIDVALIDITYs.
const DISTINCT_SINCE_MS: u64 = 1_795_564_800_000;

/// What every account begins with. The order is part of the identities.
const INITIAL: [(&str, Option<SpecialUse>); 6] = [
    ("INBOX", None),
    ("Drafts", Some(SpecialUse::Drafts)),
    ("Sent", Some(SpecialUse::Sent)),
    ("Archive", Some(SpecialUse::Archive)),
    ("Junk", Some(SpecialUse::Junk)),
    ("Trash", Some(SpecialUse::Trash)),
];

impl Directory {
    /// The INBOX of an account: known without reading anything, and the same for ever.
    #[must_use]
    pub fn inbox(keys: &AccountKeys) -> MailboxId {
        let directory = Self::of_a_new_account(keys);
        let inbox = directory.find(&MailboxName::inbox());
        inbox.expect("every account begins with an INBOX").id
    }

    /// The directory of a new account. Its mailboxes have UIDVALIDITYs of their own, so that
    /// one that takes another's name does not pass for it. They all have 1 in an account
    /// that is older than this rule, for as long as nothing else is stored: clients know
    /// them by it.
    pub(crate) fn of_a_new_account(keys: &AccountKeys) -> Self {
        let mut directory = Self {
            mailboxes: BTreeMap::new(),
            deleted: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            uid_validity_max: 0,
            reserved: Reserved::default(),
            entries: Vec::new(),
        };
        let (stamp, writer) = (Stamp::default(), WriterId([0; 16]));
        for (number, (name, special_use)) in (0u8..).zip(INITIAL) {
            let mut mailbox = [0; 16];
            let identifier = keys.identifier("initial mailbox", &[number]);
            mailbox.copy_from_slice(&identifier[..16]);
            let name = MailboxName::new(name);
            let own = match keys.account().unix_ms() {
                ..DISTINCT_SINCE_MS => 0,
                _ => number,
            };
            let uid_validity = UidValidity(NonZeroU32::MIN.saturating_add(own.into()));
            directory.uid_validity_max = uid_validity.0.get();
            directory.reserved.made(uid_validity);
            let known = Known {
                created: Some((uid_validity, special_use)),
                name: Some((stamp, writer, name.clone())),
                inbox: InboxMove::None,
            };
            directory.mailboxes.insert(MailboxId(mailbox), known);
            let subscribed = Subscription {
                stamp,
                writer,
                subscribed: true,
            };
            directory.subscriptions.insert(name, subscribed);
        }
        directory.arrange();
        directory
    }

    /// All mailboxes by name.
    pub fn mailboxes(&self) -> impl Iterator<Item = &MailboxEntry> {
        self.entries.iter()
    }

    /// Number of mailboxes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Never so: INBOX is always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The mailbox of this name.
    #[must_use]
    pub fn find(&self, name: &MailboxName) -> Option<&MailboxEntry> {
        let index = self.entries.binary_search_by(|entry| entry.name.cmp(name));
        Some(&self.entries[index.ok()?])
    }

    /// Names of which it must be known at this time whether they are subscribed to.
    pub(crate) fn subscriptions_known(&self, unix_ms: u64) -> usize {
        let known = self.subscriptions.values();
        known.filter(|it| it.is_kept(unix_ms)).count()
    }

    /// Whether it is known of a name that it is subscribed to or was.
    pub(crate) fn was_subscribed(&self, name: &MailboxName) -> bool {
        self.subscriptions.contains_key(name)
    }

    /// How many mailboxes were deleted.
    pub(crate) fn deleted_count(&self) -> usize {
        self.deleted.len()
    }

    /// Names that are subscribed to, in order; there need not be such mailboxes
    /// (RFC 3501 §6.3.6).
    pub fn subscribed(&self) -> impl Iterator<Item = &MailboxName> {
        self.subscriptions
            .iter()
            .filter(|(_, subscription)| subscription.subscribed)
            .map(|(name, _)| name)
    }

    /// Whether this name is subscribed to.
    #[must_use]
    pub fn is_subscribed(&self, name: &MailboxName) -> bool {
        self.subscriptions
            .get(name)
            .is_some_and(|subscription| subscription.subscribed)
    }

    /// Whether there are mailboxes below this name.
    #[must_use]
    pub fn has_children(&self, name: &MailboxName) -> bool {
        self.children(name).next().is_some()
    }

    /// The mailboxes below this name, at any depth.
    pub(crate) fn children(&self, name: &MailboxName) -> impl Iterator<Item = &MailboxEntry> {
        let prefix = format!("{}{}", name.as_str(), MailboxName::SEPARATOR);
        let start = self
            .entries
            .partition_point(|entry| entry.name.as_str() < prefix.as_str());
        self.entries[start..]
            .iter()
            .take_while(move |entry| entry.name.as_str().starts_with(&prefix))
    }

    /// Whether the mailbox exists.
    pub(crate) fn contains(&self, mailbox: MailboxId) -> bool {
        self.mailboxes
            .get(&mailbox)
            .is_some_and(|known| known.created.is_some())
    }

    /// Whether the mailbox exists or did exist.
    pub(crate) fn knows(&self, mailbox: MailboxId) -> bool {
        self.mailboxes.contains_key(&mailbox) || self.deleted.contains(&mailbox)
    }

    /// All mailboxes that are not deleted, also those that are not shown yet.
    pub(crate) fn ids(&self) -> impl Iterator<Item = MailboxId> {
        self.mailboxes.keys().copied()
    }

    /// All mailboxes that were deleted.
    pub(crate) fn deleted(&self) -> impl Iterator<Item = MailboxId> {
        self.deleted.iter().copied()
    }

    /// The UIDVALIDITY of a mailbox; an arbitrary one for a mailbox that does not exist.
    pub(crate) fn uid_validity(&self, mailbox: MailboxId) -> UidValidity {
        let known = self.mailboxes.get(&mailbox).and_then(|it| it.created);
        known.map_or(UidValidity(NonZeroU32::MIN), |created| created.0)
    }

    /// How far a RENAME of INBOX to this mailbox is.
    pub(crate) fn inbox_move(&self, mailbox: MailboxId) -> InboxMove {
        let known = self.mailboxes.get(&mailbox);
        known.map_or(InboxMove::None, |known| known.inbox)
    }

    /// The highest UIDVALIDITY that any mailbox ever had or was to have.
    pub(crate) fn uid_validity_max(&self) -> u32 {
        self.uid_validity_max
    }

    /// Whether a mailbox can be made with this UIDVALIDITY, because nobody else wants it.
    /// True only of what was reserved; of that also where the log was not read since.
    pub(crate) fn holds(&self, reservation: Reservation) -> bool {
        self.reserved.holds(reservation)
    }

    /// Applies a batch; [`Directory::arrange`] is due afterwards.
    pub(crate) fn apply(&mut self, writer: WriterId, batch: &DirectoryBatch) {
        let stamp = batch.stamp;
        for operation in &batch.operations {
            match operation {
                DirectoryOperation::Create {
                    mailbox,
                    name,
                    uid_validity,
                    special_use,
                } => {
                    self.uid_validity_max = self.uid_validity_max.max(uid_validity.0.get());
                    self.reserved.made(*uid_validity);
                    if let Some(known) = self.known(*mailbox) {
                        known.created = Some((*uid_validity, *special_use));
                        known.rename(stamp, writer, name);
                    }
                }
                DirectoryOperation::Rename { mailbox, name } => {
                    if let Some(known) = self.known(*mailbox) {
                        known.rename(stamp, writer, name);
                    }
                }
                DirectoryOperation::Delete { mailbox } => {
                    self.mailboxes.remove(mailbox);
                    self.deleted.insert(*mailbox);
                }
                DirectoryOperation::Subscribe { name, subscribed } => {
                    let new = Subscription {
                        stamp,
                        writer,
                        subscribed: *subscribed,
                    };
                    let old = self.subscriptions.entry(name.clone()).or_insert(new);
                    if (old.stamp, old.writer) <= (stamp, writer) {
                        *old = new;
                    }
                }
                DirectoryOperation::MoveInbox { mailbox, to } => {
                    if let Some(known) = self.known(*mailbox) {
                        known.inbox = known.inbox.max(*to);
                    }
                }
                DirectoryOperation::Reserve(reservation) => {
                    let number = reservation.uid_validity.0.get();
                    self.uid_validity_max = self.uid_validity_max.max(number);
                    self.reserved.insert(*reservation);
                }
            }
        }
    }

    /// What is known of a mailbox; `None` if it was deleted.
    fn known(&mut self, mailbox: MailboxId) -> Option<&mut Known> {
        let here = !self.deleted.contains(&mailbox);
        here.then(|| self.mailboxes.entry(mailbox).or_default())
    }

    /// Makes what is shown.
    pub(crate) fn arrange(&mut self) {
        let mut by_name = BTreeMap::new();
        for (id, known) in &self.mailboxes {
            let (Some((uid_validity, special_use)), Some((_, _, name))) =
                (known.created, &known.name)
            else {
                continue;
            };
            let mut name = name.clone();
            for digits in [8, 32] {
                if by_name.contains_key(&name) {
                    name = MailboxName::new(&format!(
                        "{}-{}",
                        name.as_str(),
                        &id.to_string()[..digits]
                    ));
                }
            }
            by_name.entry(name.clone()).or_insert(MailboxEntry {
                id: *id,
                name,
                uid_validity,
                special_use,
            });
        }
        self.entries = by_name.into_values().collect();
    }

    /// Appends the encoded form.
    pub(super) fn encode(&self, encoder: &mut Encoder) {
        encoder.number(u64::from(self.uid_validity_max));
        encoder.count(self.mailboxes.len());
        for (id, known) in &self.mailboxes {
            encoder.array(&id.0);
            encoder.byte(u8::from(known.created.is_some()) | u8::from(known.name.is_some()) << 1);
            encoder.byte(encode_inbox_move(known.inbox));
            if let Some((uid_validity, special_use)) = known.created {
                encoder.number(u64::from(uid_validity.0.get()));
                encoder.byte(encode_special_use(special_use));
            }
            if let Some((stamp, writer, name)) = &known.name {
                encoder.number(stamp.0);
                encoder.array(&writer.0);
                encoder.text(name.as_str());
            }
        }
        encoder.count(self.deleted.len());
        for id in &self.deleted {
            encoder.array(&id.0);
        }
        let newest = self.subscriptions.values().map(|it| it.stamp).max();
        let newest_ms = newest.unwrap_or_default().unix_ms();
        let kept = self.subscriptions.iter();
        let kept = kept.filter(|(_, it)| it.is_kept(newest_ms));
        encoder.count(kept.clone().count());
        for (name, subscription) in kept {
            encoder.text(name.as_str());
            encoder.number(subscription.stamp.0);
            encoder.array(&subscription.writer.0);
            encoder.byte(u8::from(subscription.subscribed));
        }
    }

    /// Reads the encoded form.
    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let uid_validity_max = decoder.number32()?;
        let mut mailboxes = BTreeMap::new();
        for _ in 0..decoder.count(18)? {
            let id = MailboxId(decoder.array()?);
            let parts = decoder.byte()?;
            let mut known = Known {
                inbox: decode_inbox_move(decoder.byte()?)?,
                ..Known::default()
            };
            if parts & 1 != 0 {
                let uid_validity = decode_uid_validity(decoder)?;
                known.created = Some((uid_validity, decode_special_use(decoder.byte()?)?));
            }
            if parts & 2 != 0 {
                let stamp = Stamp(decoder.number()?);
                let writer = WriterId(decoder.array()?);
                known.name = Some((stamp, writer, MailboxName::new(decoder.text()?)));
            }
            mailboxes.insert(id, known);
        }
        let mut deleted = BTreeSet::new();
        for _ in 0..decoder.count(16)? {
            deleted.insert(MailboxId(decoder.array()?));
        }
        let mut subscriptions = BTreeMap::new();
        for _ in 0..decoder.count(19)? {
            let name = MailboxName::new(decoder.text()?);
            let subscription = Subscription {
                stamp: Stamp(decoder.number()?),
                writer: WriterId(decoder.array()?),
                subscribed: decoder.byte()? != 0,
            };
            subscriptions.insert(name, subscription);
        }
        let mut directory = Self {
            mailboxes,
            deleted,
            subscriptions,
            uid_validity_max,
            reserved: Reserved::above(uid_validity_max),
            entries: Vec::new(),
        };
        directory.arrange();
        Ok(directory)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({} mailboxes)", self.entries.len())
    }
}

impl Known {
    fn rename(&mut self, stamp: Stamp, writer: WriterId, name: &MailboxName) {
        let newer = self
            .name
            .as_ref()
            .is_none_or(|(at, by, _)| (*at, *by) <= (stamp, writer));
        if newer {
            self.name = Some((stamp, writer, name.clone()));
        }
    }
}

const CREATE: u8 = 1;
const RENAME: u8 = 2;
const DELETE: u8 = 3;
const SUBSCRIBE: u8 = 4;
const MOVE_INBOX: u8 = 5;
const RESERVE: u8 = 6;

impl DirectoryBatch {
    /// The encoded form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut operations = self.operations.iter();
        let reserves = operations.any(|it| matches!(it, DirectoryOperation::Reserve(_)));
        let mut encoder = Encoder::new(match reserves {
            true => VERSION,
            false => VERSION_WITHOUT_RESERVATIONS,
        });
        encoder.number(self.stamp.0);
        encoder.count(self.operations.len());
        for operation in &self.operations {
            match operation {
                DirectoryOperation::Create {
                    mailbox,
                    name,
                    uid_validity,
                    special_use,
                } => {
                    encoder.byte(CREATE);
                    encoder.array(&mailbox.0);
                    encoder.text(name.as_str());
                    encoder.number(u64::from(uid_validity.0.get()));
                    encoder.byte(encode_special_use(*special_use));
                }
                DirectoryOperation::Rename { mailbox, name } => {
                    encoder.byte(RENAME);
                    encoder.array(&mailbox.0);
                    encoder.text(name.as_str());
                }
                DirectoryOperation::Delete { mailbox } => {
                    encoder.byte(DELETE);
                    encoder.array(&mailbox.0);
                }
                DirectoryOperation::Subscribe { name, subscribed } => {
                    encoder.byte(SUBSCRIBE);
                    encoder.text(name.as_str());
                    encoder.byte(u8::from(*subscribed));
                }
                DirectoryOperation::MoveInbox { mailbox, to } => {
                    encoder.byte(MOVE_INBOX);
                    encoder.array(&mailbox.0);
                    encoder.byte(encode_inbox_move(*to));
                }
                DirectoryOperation::Reserve(reservation) => {
                    encoder.byte(RESERVE);
                    encoder.array(&reservation.mailbox.0);
                    encoder.number(u64::from(reservation.uid_validity.0.get()));
                }
            }
        }
        encoder.finish()
    }

    /// Reads the encoded form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut decoder, version) = Decoder::up_to(bytes, VERSION)?;
        let stamp = Stamp(decoder.number()?);
        let mut operations = Vec::new();
        for _ in 0..decoder.count(3)? {
            operations.push(match decoder.byte()? {
                CREATE => DirectoryOperation::Create {
                    mailbox: MailboxId(decoder.array()?),
                    name: MailboxName::new(decoder.text()?),
                    uid_validity: decode_uid_validity(&mut decoder)?,
                    special_use: decode_special_use(decoder.byte()?)?,
                },
                RENAME => DirectoryOperation::Rename {
                    mailbox: MailboxId(decoder.array()?),
                    name: MailboxName::new(decoder.text()?),
                },
                DELETE => DirectoryOperation::Delete {
                    mailbox: MailboxId(decoder.array()?),
                },
                SUBSCRIBE => DirectoryOperation::Subscribe {
                    name: MailboxName::new(decoder.text()?),
                    subscribed: decoder.byte()? != 0,
                },
                MOVE_INBOX => DirectoryOperation::MoveInbox {
                    mailbox: MailboxId(decoder.array()?),
                    to: decode_inbox_move(decoder.byte()?)?,
                },
                RESERVE if version > VERSION_WITHOUT_RESERVATIONS => {
                    DirectoryOperation::Reserve(Reservation {
                        mailbox: MailboxId(decoder.array()?),
                        uid_validity: decode_uid_validity(&mut decoder)?,
                    })
                }
                _ => return Err(DecodeError::Invalid("operation")),
            });
        }
        decoder.finish()?;
        Ok(Self { stamp, operations })
    }
}

fn encode_inbox_move(inbox: InboxMove) -> u8 {
    match inbox {
        InboxMove::None => 0,
        InboxMove::Begun => 1,
        InboxMove::Done => 2,
    }
}

fn decode_inbox_move(code: u8) -> Result<InboxMove, DecodeError> {
    Ok(match code {
        0 => InboxMove::None,
        1 => InboxMove::Begun,
        2 => InboxMove::Done,
        _ => return Err(DecodeError::Invalid("move of INBOX")),
    })
}

fn encode_special_use(special_use: Option<SpecialUse>) -> u8 {
    match special_use {
        None => 0,
        Some(SpecialUse::Archive) => 1,
        Some(SpecialUse::Drafts) => 2,
        Some(SpecialUse::Junk) => 3,
        Some(SpecialUse::Sent) => 4,
        Some(SpecialUse::Trash) => 5,
    }
}

fn decode_special_use(code: u8) -> Result<Option<SpecialUse>, DecodeError> {
    Ok(Some(match code {
        0 => return Ok(None),
        1 => SpecialUse::Archive,
        2 => SpecialUse::Drafts,
        3 => SpecialUse::Junk,
        4 => SpecialUse::Sent,
        5 => SpecialUse::Trash,
        _ => return Err(DecodeError::Invalid("special use")),
    }))
}

fn decode_uid_validity(decoder: &mut Decoder<'_>) -> Result<UidValidity, DecodeError> {
    NonZeroU32::new(decoder.number32()?)
        .map(UidValidity)
        .ok_or(DecodeError::Invalid("UIDVALIDITY"))
}
