//! What a client may do to the directory: which names mailboxes may have, and which
//! operations CREATE, DELETE and RENAME become.
//!
//! There are no names without a mailbox (`\Noselect`): CREATE makes missing parents, and
//! a mailbox that has children cannot be deleted. Two servers can bring one about all the same,
//! if one makes what is below a mailbox while the other deletes that: such a name can be made a
//! mailbox and can be renamed with what is below it.

use super::directory::{Directory, DirectoryOperation, InboxMove};
use super::{MailboxId, MailboxName, Reservation, SpecialUse, UidValidity};
use crate::account::AccountFailure;
use crate::config::Config;
use crate::random::Random;
use crate::time::Now;
use core::num::NonZeroU32;
use std::collections::VecDeque;

/// The highest UIDVALIDITY: some clients keep it as a signed number of 32 bits.
const UID_VALIDITY_MAX: u32 = i32::MAX.unsigned_abs();

/// 2020-01-01T00:00:00Z in seconds since 1970: what UIDVALIDITY counts from.
const UID_VALIDITY_EPOCH_S: u64 = 1_577_836_800;

/// Where UIDVALIDITY ceases to follow the clock (in 2054, or with a clock that is wrong)
/// and goes on in small steps: half of the numbers are left then.
const UID_VALIDITY_CLOCK_MAX: u32 = UID_VALIDITY_MAX / 2;

/// Two servers that know the same and take a number in the same second take the same one
/// once in so many times (a power of two).
const UID_VALIDITY_SPREAD: u16 = 1 << 10;

/// So often the spread doubles for who finds that others were faster.
const SPREAD_DOUBLINGS_MAX: u32 = 5;

/// What new mailboxes are made with.
pub(crate) struct Making<'a> {
    pub(crate) config: &'a Config,
    pub(crate) random: &'a mut Random,
    pub(crate) now: Now,
    /// Numbers that nobody else can take any more, for the mailboxes that are made first.
    pub(crate) reserved: VecDeque<Reservation>,
    /// How often numbers were reserved for this in vain.
    pub(crate) lost: u32,
}

type Operations = Result<Vec<DirectoryOperation>, AccountFailure>;

impl Making<'_> {
    /// CREATE (RFC 3501 §6.3.3).
    pub(crate) fn create(
        &mut self,
        directory: &Directory,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Operations {
        let name = without_trailing_separator(name);
        check(&name, self.config)?;
        if directory.find(&name).is_some() {
            return Err(AccountFailure::AlreadyExists);
        }
        self.with_parents(directory, &name, special_use)
    }

    /// The mailbox that DELETE is about (RFC 3501 §6.3.4).
    pub(crate) fn delete(
        &mut self,
        directory: &Directory,
        name: &MailboxName,
    ) -> Result<MailboxId, AccountFailure> {
        if name.is_inbox() {
            return Err(AccountFailure::Cannot("INBOX cannot be deleted"));
        }
        if directory.has_children(name) {
            return Err(AccountFailure::Cannot("It has children"));
        }
        let entry = directory.find(name).ok_or(AccountFailure::NonExistent)?;
        Ok(entry.id)
    }

    /// RENAME of anything but INBOX (RFC 3501 §6.3.5).
    pub(crate) fn rename(
        &mut self,
        directory: &Directory,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Operations {
        let entry = directory.find(from);
        if entry.is_none() && !directory.has_children(from) {
            return Err(AccountFailure::NonExistent);
        }
        check(to, self.config)?;
        if directory.find(to).is_some() {
            return Err(AccountFailure::AlreadyExists);
        }
        if is_below(to, from) {
            return Err(AccountFailure::Cannot("It cannot be moved below itself"));
        }
        let mut operations = Vec::new();
        if let Some((parent, _)) = to.as_str().rsplit_once(MailboxName::SEPARATOR) {
            let parent = MailboxName::new(parent);
            if directory.find(&parent).is_none() {
                operations = self.with_parents(directory, &parent, None)?;
            }
        }
        operations.extend(entry.map(|entry| DirectoryOperation::Rename {
            mailbox: entry.id,
            name: to.clone(),
        }));
        for child in directory.children(from) {
            let rest = &child.name.as_str()[from.as_str().len()..];
            let name = MailboxName::new(&format!("{}{rest}", to.as_str()));
            check(&name, self.config)?;
            if directory.find(&name).is_some() {
                return Err(AccountFailure::AlreadyExists);
            }
            operations.push(DirectoryOperation::Rename {
                mailbox: child.id,
                name,
            });
        }
        Ok(operations)
    }

    /// RENAME of INBOX (RFC 3501 §6.3.5): makes the mailbox that its messages go to, or
    /// finds the one of an earlier attempt that was not finished.
    pub(crate) fn rename_inbox(
        &mut self,
        directory: &Directory,
        to: &MailboxName,
    ) -> Result<(Vec<DirectoryOperation>, MailboxId), AccountFailure> {
        let to = without_trailing_separator(to);
        if let Some(entry) = directory.find(&to)
            && directory.inbox_move(entry.id) == InboxMove::Begun
        {
            return Ok((Vec::new(), entry.id));
        }
        let mut operations = self.create(directory, &to, None)?;
        let Some(DirectoryOperation::Create { mailbox, .. }) = operations.last() else {
            unreachable!("the mailbox itself is made after those above it");
        };
        let (mailbox, to) = (*mailbox, InboxMove::Begun);
        operations.push(DirectoryOperation::MoveInbox { mailbox, to });
        Ok((operations, mailbox))
    }

    /// SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.6).
    pub(crate) fn subscribe(
        &mut self,
        directory: &Directory,
        name: &MailboxName,
        subscribed: bool,
    ) -> Operations {
        if directory.is_subscribed(name) == subscribed {
            return Ok(Vec::new());
        }
        if subscribed {
            check(name, self.config)?;
            if directory.subscribed().count() >= self.config.mailboxes_max {
                return Err(AccountFailure::Limit("Too many subscriptions"));
            }
            let max = self.config.subscriptions_known_max;
            let known = directory.subscriptions_known(self.now.unix_ms);
            if known >= max && !directory.was_subscribed(name) {
                return Err(AccountFailure::Limit(
                    "Too many names were subscribed to in the last months",
                ));
            }
        }
        Ok(vec![DirectoryOperation::Subscribe {
            name: name.clone(),
            subscribed,
        }])
    }

    /// Makes a mailbox and those above it that are missing.
    fn with_parents(
        &mut self,
        directory: &Directory,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Operations {
        let text = name.as_str();
        let levels = text
            .match_indices(MailboxName::SEPARATOR)
            .map(|(at, _)| &text[..at])
            .chain([text]);
        let mut operations = Vec::new();
        let mut highest = directory.uid_validity_max();
        for level in levels {
            let level = MailboxName::new(level);
            if directory.find(&level).is_some() {
                continue;
            }
            let Reservation {
                mailbox,
                uid_validity,
            } = match self.reserved.pop_front() {
                Some(reservation) => reservation,
                None => self.wish(highest)?,
            };
            highest = highest.max(uid_validity.0.get());
            operations.push(DirectoryOperation::Create {
                mailbox,
                special_use: special_use.filter(|_| level == *name),
                name: level,
                uid_validity,
            });
        }
        if directory.len() + operations.len() > self.config.mailboxes_max {
            return Err(AccountFailure::Limit("Too many mailboxes"));
        }
        if directory.deleted_count() >= self.config.deleted_mailboxes_max {
            return Err(AccountFailure::Limit("Too many mailboxes were deleted"));
        }
        Ok(operations)
    }

    /// What a new mailbox is to be, if nobody else wants the same number.
    fn wish(&mut self, highest: u32) -> Result<Reservation, AccountFailure> {
        let uid_validity = self.uid_validity(highest)?;
        Ok(Reservation {
            mailbox: MailboxId::at(self.now.unix_ms, self.random),
            uid_validity,
        })
    }

    /// A UIDVALIDITY above every one before. It follows the clock, so that it is higher
    /// even if the directory should have lost what was before. Random bits make it rare
    /// that two servers that do not know of each other want the same one: then neither gets
    /// it. Whoever lost takes a step that is likely to be the longer one.
    fn uid_validity(&mut self, highest: u32) -> Result<UidValidity, AccountFailure> {
        let since = (self.now.unix_ms / 1000).saturating_sub(UID_VALIDITY_EPOCH_S);
        let clock = u32::try_from(since).unwrap_or(u32::MAX);
        let clock = clock.min(UID_VALIDITY_CLOCK_MAX);
        let spread = UID_VALIDITY_SPREAD << self.lost.min(SPREAD_DOUBLINGS_MAX);
        let step = u16::from_be_bytes(self.random.bytes()) & (spread - 1);
        let number = highest.max(clock).checked_add(1 + u32::from(step));
        number
            .filter(|number| *number <= UID_VALIDITY_MAX)
            .and_then(NonZeroU32::new)
            .map(UidValidity)
            .ok_or(AccountFailure::Limit("Too many mailboxes were created"))
    }
}

/// A trailing separator only says that children will follow (RFC 3501 §6.3.3).
fn without_trailing_separator(name: &MailboxName) -> MailboxName {
    match name.as_str().strip_suffix(MailboxName::SEPARATOR) {
        Some(name) => MailboxName::new(name),
        None => name.clone(),
    }
}

/// Whether `name` is below `above` in the hierarchy.
fn is_below(name: &MailboxName, above: &MailboxName) -> bool {
    name.as_str()
        .strip_prefix(above.as_str())
        .is_some_and(|rest| rest.starts_with(MailboxName::SEPARATOR))
}

/// Whether a mailbox may have this name.
fn check(name: &MailboxName, config: &Config) -> Result<(), AccountFailure> {
    let text = name.as_str();
    if text.len() > config.mailbox_name_bytes_max {
        return Err(AccountFailure::Cannot("The name is too long"));
    }
    if text.split(MailboxName::SEPARATOR).any(str::is_empty) {
        return Err(AccountFailure::Cannot("The name has an empty level"));
    }
    if text.split(MailboxName::SEPARATOR).count() > config.mailbox_depth_max {
        return Err(AccountFailure::Cannot("The name has too many levels"));
    }
    if text.chars().any(char::is_control) {
        return Err(AccountFailure::Cannot("The name has a control character"));
    }
    if text.contains(['%', '*']) {
        return Err(AccountFailure::Cannot("The name has a wildcard"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::AccountId;
    use crate::random::Seed;
    use crate::seal::AccountKeys;
    use crate::time::Instant;

    fn uid_validity(unix_ms: u64, highest: u32) -> Option<u32> {
        let mut random = Random::new(Seed::new([3; 32]));
        let now = Now {
            instant: Instant(0),
            unix_ms,
        };
        let mut making = Making {
            config: &Config::default(),
            random: &mut random,
            now,
            reserved: VecDeque::new(),
            lost: 0,
        };
        making.uid_validity(highest).ok().map(|it| it.0.get())
    }

    #[test]
    fn a_uidvalidity_is_above_those_before_and_below_2_to_the_31() {
        let mut random = Random::new(Seed::new([5; 32]));
        let keys = AccountKeys::generate(AccountId([0xff; 16]), &mut random);
        let directory = Directory::of_a_new_account(&keys);
        let mut initial: Vec<u32> = directory
            .mailboxes()
            .map(|it| it.uid_validity.0.get())
            .collect();
        initial.sort_unstable();
        assert_eq!(initial, [1, 2, 3, 4, 5, 6]);
        for unix_ms in [0, 1_577_836_800_000, 1_800_000_000_000, u64::MAX] {
            let mut highest = directory.uid_validity_max();
            for _ in 0..100_000 {
                let next = uid_validity(unix_ms, highest).unwrap();
                assert!(next > highest);
                highest = next;
            }
            assert!(highest <= UID_VALIDITY_MAX);
        }
        assert!((uid_validity(1_800_000_000_000, 1).unwrap() - 222_163_201) < 1_024);
        assert_eq!(uid_validity(0, UID_VALIDITY_MAX), None);
    }
}
