//! The rows of the engine: their keys and, except for items, their values.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `items` | u16 length of the partition (big endian), partition, sort key | see `causality` |
//! | `objects` | the object key | an [`ObjectRow`] |
//! | `state` | `clock` | u8 version, u64 time of the last write |
//! | `state` | `file/` and u64 number (big endian) | the object key that the file belongs to |
//! | `state` | `doomed/` and u64 number (big endian) | nothing: the file is to be deleted |
//!
//! Numbers in values are little endian. The length before the partition keeps
//! partitions apart and the sort keys of each in their order.

use bytes::{Buf, BufMut, Bytes};
use restante_core::storage::{ItemKey, PartitionKey, SortKey};

/// Version of every value in this module.
pub(super) const ROW_FORMAT: u8 = 1;

const INLINE: u8 = 0;
const FILE: u8 = 1;

/// Where the time of the last write is kept.
pub(super) const CLOCK: &[u8] = b"clock";

/// What the store knows of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ObjectRow {
    /// A short one: its bytes.
    Inline(Bytes),
    /// A long one: which file, and how many bytes the object has.
    File {
        /// Number of the file.
        number: u64,
        /// Length of the object in bytes.
        len: u64,
    },
}

impl ObjectRow {
    /// The stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Inline(body) => {
                let mut out = Vec::with_capacity(6 + body.len());
                out.extend([ROW_FORMAT, INLINE]);
                out.put_u32_le(crc32fast::hash(body));
                out.extend_from_slice(body);
                out
            }
            Self::File { number, len } => {
                let mut out = vec![ROW_FORMAT, FILE];
                out.put_u64_le(*number);
                out.put_u64_le(*len);
                out
            }
        }
    }

    /// Reads the stored form; `None` where it is damaged or of a later version.
    pub(super) fn decode(mut stored: Bytes) -> Option<Self> {
        if stored.try_get_u8().ok()? != ROW_FORMAT {
            return None;
        }
        match stored.try_get_u8().ok()? {
            INLINE => {
                let sum = stored.try_get_u32_le().ok()?;
                (crc32fast::hash(&stored) == sum).then_some(Self::Inline(stored))
            }
            FILE => {
                let number = stored.try_get_u64_le().ok()?;
                let len = stored.try_get_u64_le().ok()?;
                stored.is_empty().then_some(Self::File { number, len })
            }
            _ => None,
        }
    }
}

/// The key of an item.
pub(super) fn item_key(partition: &PartitionKey, sort: &str) -> Vec<u8> {
    let len = u16::try_from(partition.0.len()).expect("partition keys were checked");
    let mut key = Vec::with_capacity(2 + partition.0.len() + sort.len());
    key.put_u16(len);
    key.extend_from_slice(partition.0.as_bytes());
    key.extend_from_slice(sort.as_bytes());
    key
}

/// The sort key in the key of an item of a known partition.
pub(super) fn sort_key(partition: &PartitionKey, key: &[u8]) -> Option<SortKey> {
    let sort = key.get(2 + partition.0.len()..)?;
    Some(SortKey(String::from_utf8(sort.to_vec()).ok()?))
}

/// For the log and for errors: the item by its name.
pub(super) fn item_name(key: &ItemKey) -> String {
    format!("the item {} {}", key.partition, key.sort)
}

/// The value of [`CLOCK`].
pub(super) fn encode_clock(now: u64) -> Vec<u8> {
    let mut out = vec![ROW_FORMAT];
    out.put_u64_le(now);
    out
}

/// Reads the value of [`CLOCK`].
pub(super) fn decode_clock(mut stored: &[u8]) -> Option<u64> {
    let known = stored.try_get_u8().ok()? == ROW_FORMAT;
    let now = stored.try_get_u64_le().ok()?;
    (known && stored.is_empty()).then_some(now)
}

/// What the rows of files begin with.
pub(super) const FILES: &[u8] = b"file/";
/// What the rows of files that are to be deleted begin with.
pub(super) const DOOMED: &[u8] = b"doomed/";

/// The key of a row about a file.
pub(super) fn file_key(prefix: &[u8], number: u64) -> Vec<u8> {
    [prefix, &number.to_be_bytes()].concat()
}

/// The number in the key of a row about a file.
pub(super) fn file_number(prefix: &[u8], key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(prefix)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_version_1_are_read_for_ever() {
        let inline = b"\x01\x00\x86\xa6\x10\x36hello";
        let row = ObjectRow::Inline(Bytes::from_static(b"hello"));
        assert_eq!(row.encode(), inline);
        assert_eq!(ObjectRow::decode(Bytes::from_static(inline)), Some(row));

        let file = b"\x01\x01\x09\0\0\0\0\0\0\0\x00\x00\x90\x01\0\0\0\0";
        let row = ObjectRow::File {
            number: 9,
            len: 25 << 20,
        };
        assert_eq!(row.encode(), file);
        assert_eq!(ObjectRow::decode(Bytes::from_static(file)), Some(row));

        let clock = b"\x01\x02\x01\0\0\0\0\0\0";
        assert_eq!(encode_clock(258), clock);
        assert_eq!(decode_clock(clock), Some(258));

        let partition = PartitionKey("log".to_owned());
        assert_eq!(item_key(&partition, "w/1"), b"\0\x03logw/1");
        assert_eq!(file_key(FILES, 258), b"file/\0\0\0\0\0\0\x01\x02");
    }

    #[test]
    fn damaged_rows_and_later_versions_are_not_read() {
        let mut inline = ObjectRow::Inline(Bytes::from_static(b"hello")).encode();
        inline[8] ^= 1;
        assert_eq!(ObjectRow::decode(Bytes::from(inline)), None);
        for row in [
            &b""[..],
            b"\x01",
            b"\x01\x01\0",
            b"\x01\x07",
            b"\x02\x00\0\0\0\0",
        ] {
            assert_eq!(ObjectRow::decode(Bytes::from_static(row)), None);
        }
        assert_eq!(decode_clock(b"\x02\x02\x01\0\0\0\0\0\0"), None);
    }

    #[test]
    fn partitions_do_not_run_into_each_other() {
        let key = |partition: &str, sort| item_key(&PartitionKey(partition.to_owned()), sort);
        assert!(key("ab", "z") < key("ac", "a"));
        assert_ne!(key("a", "bc"), key("ab", "c"));
        assert!(!key("ab", "").starts_with(&key("a", "")));
    }
}
