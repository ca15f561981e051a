//! Where everything of an account is stored. Identities are random, so names made of
//! them say nothing about the mail; what an operator can see is how many mailboxes and
//! messages there are.

use crate::mailbox::{AccountId, ContentId, MailboxId, WriterId};
use crate::storage::{ItemKey, ObjectKey, PartitionKey, SortKey};

/// The storage names of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    account: AccountId,
}

impl Places {
    /// The names of `account`.
    #[must_use]
    pub fn new(account: AccountId) -> Self {
        Self { account }
    }

    /// What every key of the account begins with: its id and a slash.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}/", self.account)
    }

    /// The partition of a mailbox's log.
    #[must_use]
    pub fn log(&self, mailbox: MailboxId) -> PartitionKey {
        PartitionKey(format!("{}/m/{mailbox}", self.account))
    }

    /// The partition of the log that lists the account's mailboxes.
    #[must_use]
    pub fn directory(&self) -> PartitionKey {
        PartitionKey(format!("{}/d", self.account))
    }

    /// The partition of all summaries.
    #[must_use]
    pub fn summaries(&self) -> PartitionKey {
        PartitionKey(format!("{}/s", self.account))
    }

    /// The item of one summary.
    #[must_use]
    pub fn summary(&self, content: ContentId) -> ItemKey {
        ItemKey {
            partition: self.summaries(),
            sort: SortKey(content.to_string()),
        }
    }

    /// What [`Places::summary`] made a sort key of; `None` for other keys.
    #[must_use]
    pub fn summary_content(&self, sort: &SortKey) -> Option<ContentId> {
        let id = lower_hex(&sort.0).filter(|_| sort.0.len() == 32)?;
        Some(ContentId(id.to_be_bytes()))
    }

    /// The object of a message body and its summary.
    #[must_use]
    pub fn content(&self, content: ContentId) -> ObjectKey {
        ObjectKey(format!("{}{content}", self.contents()))
    }

    /// What the keys of all message objects begin with.
    #[must_use]
    pub fn contents(&self) -> String {
        format!("{}/c/", self.account)
    }

    /// The object of a checkpoint.
    #[must_use]
    pub fn checkpoint(&self, content: ContentId) -> ObjectKey {
        ObjectKey(format!("{}{content}", self.checkpoints()))
    }

    /// What the keys of all checkpoint objects begin with.
    #[must_use]
    pub fn checkpoints(&self) -> String {
        format!("{}/k/", self.account)
    }

    /// The item that says what the last sweep found.
    #[must_use]
    pub fn ledger(&self) -> ItemKey {
        ItemKey {
            partition: PartitionKey(format!("{}/u", self.account)),
            sort: SortKey("sweep".to_owned()),
        }
    }

    /// Where what could not be opened at `key` is kept. One of several values: `number`.
    #[must_use]
    pub fn aside(&self, key: &ItemKey, number: usize) -> ItemKey {
        let partition = key.partition.0.strip_prefix(&self.prefix());
        let partition = partition.unwrap_or(&key.partition.0);
        ItemKey {
            partition: PartitionKey(format!("{}/x", self.account)),
            sort: SortKey(format!("{partition}/{}/{number}", key.sort)),
        }
    }

    /// Where it is noted that what was at `key` is known to be missing.
    #[must_use]
    pub fn noted(&self, key: &ItemKey) -> ItemKey {
        let ItemKey { partition, sort } = self.aside(key, 0);
        let sort = sort.0.strip_suffix('0').unwrap_or(&sort.0);
        ItemKey {
            partition,
            sort: SortKey(format!("{sort}missing")),
        }
    }

    /// What [`Places::content`] or [`Places::checkpoint`] made an object's key of; `None`
    /// for other keys. `prefix` is [`Places::contents`] or [`Places::checkpoints`].
    #[must_use]
    pub fn parse_object(&self, prefix: &str, key: &ObjectKey) -> Option<ContentId> {
        let digits = key.0.strip_prefix(prefix)?;
        let id = lower_hex(digits).filter(|_| digits.len() == 32)?;
        Some(ContentId(id.to_be_bytes()))
    }

    /// The sort key of an operation in any log: operations of one writer are in their
    /// order.
    #[must_use]
    pub fn operation(&self, writer: WriterId, seq: u64) -> SortKey {
        SortKey(format!("{writer}/{seq:016x}"))
    }

    /// What [`Places::operation`] made a sort key of; `None` for other keys.
    #[must_use]
    pub fn parse_operation(&self, sort: &SortKey) -> Option<(WriterId, u64)> {
        let (writer, seq) = sort.0.split_once('/')?;
        if writer.len() != 32 || seq.len() != 16 {
            return None;
        }
        let id = lower_hex(writer)?;
        let seq = u64::try_from(lower_hex(seq)?).ok()?;
        Some((WriterId(id.to_be_bytes()), seq))
    }

    /// The sort key of the item that names a log's checkpoint. It stands before all
    /// operations.
    #[must_use]
    pub fn checkpoint_pointer(&self) -> SortKey {
        SortKey("#checkpoint".to_owned())
    }

    /// Not after any operation of a log, and after what is no operation: where to start
    /// reading when the checkpoint's pointer is not wanted.
    #[must_use]
    pub fn first_operation(&self) -> SortKey {
        SortKey("0".to_owned())
    }
}

/// Unlike `from_str_radix` this takes no sign and no capitals, so that there is only
/// one way to write a key.
fn lower_hex(digits: &str) -> Option<u128> {
    digits.bytes().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_change() {
        let places = Places::new(AccountId([0xa1; 16]));
        let account = "a1".repeat(16);
        let (mailbox, content) = (MailboxId([0xb2; 16]), ContentId([0xc3; 16]));
        assert_eq!(places.prefix(), format!("{account}/"));
        assert_eq!(
            places.log(mailbox).0,
            format!("{account}/m/{}", "b2".repeat(16))
        );
        assert_eq!(places.directory().0, format!("{account}/d"));
        assert_eq!(places.summary(content).partition.0, format!("{account}/s"));
        assert_eq!(places.summary(content).sort.0, "c3".repeat(16));
        assert_eq!(
            places.content(content).0,
            format!("{account}/c/{}", "c3".repeat(16))
        );
        assert_eq!(
            places.checkpoint(content).0,
            format!("{account}/k/{}", "c3".repeat(16))
        );
        let operation = places.operation(WriterId([0xd4; 16]), 0x1_0002);
        assert_eq!(operation.0, format!("{}/0000000000010002", "d4".repeat(16)));
        assert_eq!(places.checkpoint_pointer().0, "#checkpoint");
        assert_eq!(places.ledger().partition.0, format!("{account}/u"));
        assert_eq!(places.ledger().sort.0, "sweep");
        let aside = places.aside(&places.ledger(), 1);
        assert_eq!(aside.partition.0, format!("{account}/x"));
        assert_eq!(aside.sort.0, "u/sweep/1");
        let noted = places.noted(&places.ledger());
        assert_eq!(noted.partition, aside.partition);
        assert_eq!(noted.sort.0, "u/sweep/missing");
        let (prefix, key) = (places.contents(), places.content(content));
        assert_eq!(places.parse_object(&prefix, &key), Some(content));
        let foreign = ObjectKey(format!("{}x", key.0));
        assert_eq!(places.parse_object(&prefix, &foreign), None);
    }

    #[test]
    fn operations_sort_by_number_after_the_pointer() {
        let places = Places::new(AccountId([0; 16]));
        let writer = WriterId([0; 16]);
        let mut last = places.checkpoint_pointer();
        assert!(last < places.first_operation());
        assert!(places.first_operation() <= places.operation(writer, 0));
        for seq in [0, 1, 9, 10, 255, 256, u64::MAX] {
            let key = places.operation(writer, seq);
            assert!(last < key);
            assert_eq!(places.parse_operation(&key), Some((writer, seq)));
            last = key;
        }
    }

    #[test]
    fn other_sort_keys_are_no_operations() {
        let places = Places::new(AccountId([0; 16]));
        let writer = "d4".repeat(16);
        for key in [
            "#checkpoint".to_owned(),
            writer.clone(),
            format!("{writer}/1"),
            format!("{writer}/000000000001000G"),
            format!("{writer}/000000000001000A"),
            format!("{writer}/+00000000001000a"),
            format!("+{}/0000000000010002", &writer[1..]),
        ] {
            assert_eq!(places.parse_operation(&SortKey(key.clone())), None, "{key}");
        }
    }
}
