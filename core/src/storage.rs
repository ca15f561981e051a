//! What the core asks of storage: two kinds of thing, with Garage's semantics.
//!
//! - **Items** (K2V): (partition key, sort key) → sibling values and a causality
//!   token. No transactions, no compare-and-swap: siblings are the only sign of
//!   a conflict. A failed insert may still land.
//! - **Objects** (S3): immutable, written as a stream, read by range.
//!
//! Every request has one [`RequestId`] and gets exactly one [`StorageResponse`],
//! except streams: `OpenObject` and `CreateObject` keep their id open, and each
//! further `ReadChunk`, `WriteChunk` or `FinishObject` on that id gets one
//! response, with at most one in flight. A stream ends with its last chunk, with the
//! `Done` to `FinishObject`, with any `Failed`, or with the machine's `Abandon`.

use bytes::Bytes;
use core::fmt;

/// Names one request of one machine (a connection or an account). Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A K2V partition key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey(pub String);

/// A K2V sort key: at most 479 bytes in Garage.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortKey(pub String);

/// The key of an S3 object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(pub String);

macro_rules! show_key {
    ($($key:ident),*) => {$(
        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Display for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )*};
}
show_key!(PartitionKey, SortKey, ObjectKey);

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    /// The partition.
    pub partition: PartitionKey,
    /// The place inside the partition.
    pub sort: SortKey,
}

/// Opaque proof of which values of an item were read. An insert that carries it
/// replaces exactly those; an insert without it becomes a sibling of whatever is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CausalityToken(pub String);

/// The values of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is.
    pub key: ItemKey,
    /// What to send along with a write that replaces these values.
    pub token: CausalityToken,
    /// The concurrent values, tombstones left out (empty: the item was deleted).
    pub values: Vec<Bytes>,
}

/// One value to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsertItem {
    /// Where.
    pub key: ItemKey,
    /// Replaces the values that this token stands for; `None` for a new item.
    pub token: Option<CausalityToken>,
    /// The sealed value.
    pub value: Bytes,
}

/// Items of one partition with `start <= sort key`, and `sort key < end` where given, but
/// not those of `without`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRange {
    /// The partition.
    pub partition: PartitionKey,
    /// First sort key, inclusive; the empty string is the beginning.
    pub start: SortKey,
    /// First sort key that is not wanted.
    pub end: Option<SortKey>,
    /// What is left out: from a sort key, to the first behind it that is wanted again. In
    /// order, and none touches another.
    pub without: Vec<(SortKey, SortKey)>,
    /// How many items at most.
    pub limit: u32,
}

impl ItemRange {
    /// A page of a partition from `start` on.
    #[must_use]
    pub fn page(partition: PartitionKey, start: SortKey, limit: u32) -> Self {
        Self {
            partition,
            start,
            end: None,
            without: Vec::new(),
            limit,
        }
    }

    /// The stretches that it consists of, in order: the first sort key of each, and the
    /// first that is not in it any more.
    pub fn stretches(&self) -> impl Iterator<Item = (&SortKey, Option<&SortKey>)> {
        let starts = self.without.iter().map(|(_, wanted)| wanted);
        let starts = core::iter::once(&self.start).chain(starts);
        let ends = self.without.iter().map(|(unwanted, _)| Some(unwanted));
        let ends = ends.chain(core::iter::once(None));
        starts.zip(ends).filter_map(|(start, end)| {
            let start = start.max(&self.start);
            let end = [end, self.end.as_ref()].into_iter().flatten().min();
            end.is_none_or(|end| start < end).then_some((start, end))
        })
    }

    /// Whether it contains this sort key.
    #[must_use]
    pub fn contains(&self, key: &SortKey) -> bool {
        let inside = |(start, end): (&SortKey, Option<&SortKey>)| {
            key >= start && end.is_none_or(|end| key < end)
        };
        self.stretches().any(inside)
    }
}

/// A request to storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageRequest {
    /// Several items, one request. Answer: `Items`, in the order of the keys,
    /// items that do not exist left out.
    ReadItems(Vec<ItemKey>),
    /// Items of one partition. Answer: `Range`.
    ReadRange(ItemRange),
    /// Stores values, durably once answered. Answer: `Done`. Not a transaction:
    /// after `Failed(Unavailable)` any part may have landed or land later; after
    /// `Failed(Full)` nothing has.
    InsertItems(Vec<InsertItem>),
    /// Deletes items as their tokens knew them. Answer: `Done`.
    DeleteItems(Vec<(ItemKey, CausalityToken)>),
    /// Waits until something in the partition changes or `timeout_ms` has passed.
    /// Only a doorbell: read the range after every answer. Answer: `Polled`.
    PollRange {
        /// The partition.
        partition: PartitionKey,
        /// The marker of the last answer.
        seen: Option<String>,
        /// Milliseconds.
        timeout_ms: u32,
    },
    /// Keys of objects that begin with `prefix`, in order. Answer: `Objects`.
    ListObjects {
        /// What the keys begin with.
        prefix: String,
        /// Continue after this key.
        after: Option<ObjectKey>,
        /// How many keys at most.
        limit: u32,
    },
    /// Opens bytes `start..end` of an object (`end` is cut to its length).
    /// Answer: `Opened`, which already brings the first chunk of at most `max` bytes.
    OpenObject {
        /// Which object.
        key: ObjectKey,
        /// First byte.
        start: u64,
        /// First byte that is not wanted; `None` for all.
        end: Option<u64>,
        /// Bytes in the first chunk, at most.
        max: u32,
    },
    /// The next bytes of the object opened under this id. Answer: `Chunk`.
    ReadChunk {
        /// Bytes at most; fewer come only at the end of the range.
        max: u32,
    },
    /// Begins an object that nobody can read before it is finished. Answer: `Done`.
    CreateObject {
        /// Its key. An object that is there already is replaced when finished.
        key: ObjectKey,
    },
    /// Appends to the object under this id. Answer: `Done`.
    WriteChunk(Bytes),
    /// Makes the object under this id durable and visible. Answer: `Done`.
    FinishObject,
    /// Deletes objects; those that do not exist are no error. Answer: `Done`.
    DeleteObjects(Vec<ObjectKey>),
}

/// An answer of storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageResponse {
    /// To `ReadItems`.
    Items(Vec<Item>),
    /// To `ReadRange`. Deleted items may be among them, with no values.
    Range {
        /// In the order of their sort keys.
        items: Vec<Item>,
        /// Where to continue; `None` at the end of the range.
        next: Option<SortKey>,
    },
    /// To everything that only succeeds or fails.
    Done,
    /// To `PollRange`.
    Polled {
        /// To be given with the next poll.
        seen: Option<String>,
    },
    /// To `ListObjects`.
    Objects {
        /// In order.
        keys: Vec<ObjectKey>,
        /// Whether `keys` was cut by `limit`.
        more: bool,
    },
    /// To `OpenObject`.
    Opened {
        /// Length of the whole object in bytes.
        len: u64,
        /// The first bytes of the range.
        chunk: Bytes,
    },
    /// To `ReadChunk`; shorter than asked for only at the end of the range.
    Chunk(Bytes),
    /// Instead of any other answer.
    Failed(StorageError),
}

/// Why storage could not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// There is no such object.
    NotFound,
    /// No room, or over a quota. Nothing was stored.
    Full,
    /// Storage refused and will refuse again (wrong credentials, a key that is too
    /// long). Nothing was stored. The text is for the log.
    Refused(String),
    /// Not reachable, timed out, or failed in between: what was to be written may or
    /// may not be there. The text is for the log.
    Unavailable(String),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such object"),
            Self::Full => f.write_str("storage is full"),
            Self::Refused(why) => write!(f, "storage refused: {why}"),
            Self::Unavailable(why) => write!(f, "storage is unavailable: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_may_begin_before_the_range_and_end_behind_it() {
        let sort = |text: &str| SortKey(text.to_owned());
        let mut range = ItemRange {
            end: Some(sort("p")),
            without: vec![
                (sort("a"), sort("c")),
                (sort("e"), sort("g")),
                (sort("n"), sort("z")),
            ],
            ..ItemRange::page(PartitionKey("p".to_owned()), sort("b"), 1)
        };
        let stretches = |range: &ItemRange| -> Vec<(String, Option<String>)> {
            let stretches = range.stretches();
            stretches
                .map(|(start, end)| (start.0.clone(), end.map(|end| end.0.clone())))
                .collect()
        };
        let pair = |start: &str, end: &str| (start.to_owned(), Some(end.to_owned()));
        assert_eq!(stretches(&range), [pair("c", "e"), pair("g", "n")]);
        for (key, inside) in [
            ("b", false),
            ("c", true),
            ("d", true),
            ("e", false),
            ("g", true),
            ("o", false),
        ] {
            assert_eq!(range.contains(&sort(key)), inside, "{key}");
        }
        range.end = None;
        range.start = sort("");
        let all = [
            pair("", "a"),
            pair("c", "e"),
            pair("g", "n"),
            ("z".to_owned(), None),
        ];
        assert_eq!(stretches(&range), all);
        (range.start, range.end) = (sort("x"), Some(sort("y")));
        assert_eq!(stretches(&range), []);
    }
}
