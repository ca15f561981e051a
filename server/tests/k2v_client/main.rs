//! Our K2V requests beside those of `k2v-client`, which is Garage's own and knows nothing
//! of ours: what one writes to a real Garage the other reads, and the other way round.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in #[test] only, not beside it"
)]

mod runtime;

use std::future::Future;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::future::block_on;
use k2v_client::{
    BatchInsertOp, BatchReadOp, CausalValue, Filter, K2vClient, K2vClientConfig, K2vValue,
};
use restante_core::storage::{
    CausalityToken, InsertItem, Item, ItemKey, ItemRange, PartitionKey, SortKey, StorageRequest,
    StorageResponse,
};
use restante_garage_node::{Node, REGION};
use restante_server::secret::Secret;
use restante_server::storage::Storage as _;
use restante_server::storage::garage::{Garage, GarageConfig, GarageLimits};

use runtime::threads::Threads;

/// Longer than any poll waits here that is woken up.
const POLL: Duration = Duration::from_secs(60);
/// Between two writes of which a poll is to hear one.
const WRITE_AGAIN: Duration = Duration::from_millis(300);

/// One bucket, and both ways to it.
struct Both {
    ours: Garage,
    theirs: K2vClient,
    tokio: tokio::runtime::Runtime,
}

impl Both {
    fn new() -> Self {
        let bucket = Node::shared().bucket();
        let config = GarageConfig {
            s3: bucket.s3_url(),
            k2v: bucket.k2v_url(),
            region: REGION.to_owned(),
            bucket: bucket.name.clone(),
            key_id: bucket.key_id.clone(),
            secret: Secret::from(bucket.secret.clone()),
            ca: None,
            limits: GarageLimits::default(),
        };
        let theirs = K2vClientConfig {
            endpoint: bucket.k2v_url(),
            region: REGION.to_owned(),
            aws_access_key_id: bucket.key_id,
            aws_secret_access_key: bucket.secret,
            bucket: bucket.name,
            user_agent: None,
        };
        Self {
            ours: block_on(Garage::open(Threads, config, None)).unwrap(),
            theirs: K2vClient::new(theirs).unwrap(),
            tokio: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    /// Runs a call of the reference.
    fn run<T>(&self, call: impl Future<Output = Result<T, k2v_client::Error>>) -> T {
        self.tokio.block_on(call).unwrap()
    }

    fn their_insert(&self, partition: &str, sort: &str, value: &[u8], token: Option<String>) {
        let token = token.map(k2v_client::CausalityToken::from);
        self.run(
            self.theirs
                .insert_item(partition, sort, value.to_vec(), token),
        );
    }

    /// The values that the reference sees, with tombstones as `None`, in any order.
    fn their_values(&self, partition: &str, sort: &str) -> (Vec<Option<Vec<u8>>>, String) {
        let CausalValue { causality, value } = self.run(self.theirs.read_item(partition, sort));
        let mut values: Vec<_> = value.into_iter().map(bytes_of).collect();
        values.sort();
        (values, causality.into())
    }

    fn ask(&self, request: StorageRequest) -> StorageResponse {
        block_on(self.ours.execute(request))
    }

    fn our_insert(&self, partition: &str, sort: &str, value: &[u8], token: Option<String>) {
        let insert = InsertItem {
            key: key(partition, sort),
            token: token.map(CausalityToken),
            value: Bytes::copy_from_slice(value),
        };
        let answer = self.ask(StorageRequest::InsertItems(vec![insert]));
        assert_eq!(answer, StorageResponse::Done);
    }

    fn our_items(&self, keys: &[(&str, &str)]) -> Vec<Item> {
        let keys = keys.iter().map(|(partition, sort)| key(partition, sort));
        match self.ask(StorageRequest::ReadItems(keys.collect())) {
            StorageResponse::Items(items) => items,
            other => panic!("{other:?}"),
        }
    }

    /// The values that we see, in any order, and their token.
    fn our_values(&self, partition: &str, sort: &str) -> (Vec<Vec<u8>>, String) {
        let items = self.our_items(&[(partition, sort)]);
        assert_eq!(items.len(), 1, "{partition:?} {sort:?} is not there");
        assert_eq!(items[0].key, key(partition, sort));
        let mut values: Vec<_> = items[0].values.iter().map(|value| value.to_vec()).collect();
        values.sort();
        (values, items[0].token.0.clone())
    }
}

fn key(partition: &str, sort: &str) -> ItemKey {
    ItemKey {
        partition: PartitionKey(partition.to_owned()),
        sort: SortKey(sort.to_owned()),
    }
}

fn bytes_of(value: K2vValue) -> Option<Vec<u8>> {
    match value {
        K2vValue::Value(bytes) => Some(bytes),
        K2vValue::Tombstone => None,
    }
}

/// Keys that need care: in a URL, in its signature, in JSON.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain",
        "writer/0000000000000001",
        "a/../b",
        "//",
        "%",
        "%2F",
        "100%25",
        "a b+c",
        "?sort_key=x&y=z#w",
        "\"quoted\" \\back\\",
        "Grüße/Ωμέγα/日本",
        "🗑️",
        "e\u{301} is not é",
        "tab\tand\nline",
        "*'()!~-._$&,;=:@",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.push("k".repeat(479));
    keys.push(format!("{}é", "k".repeat(477)));
    keys
}

#[test]
fn values_under_odd_keys_are_the_same_for_both() {
    let both = Both::new();
    for (number, odd) in odd_keys().iter().enumerate() {
        let places = [("p", odd.as_str()), (odd.as_str(), "s")];
        // A partition is part of the path, which the reference normalises before it signs.
        let normalised = odd.contains("/../") || odd.contains("//");
        for (partition, sort) in places.into_iter().take(if normalised { 1 } else { 2 }) {
            let (ours, theirs) = (format!("ours {number}"), format!("theirs {number}"));
            both.our_insert(partition, sort, ours.as_bytes(), None);
            let (values, token) = both.their_values(partition, sort);
            assert_eq!(values, [Some(ours.into_bytes())], "{partition:?} {sort:?}");
            both.their_insert(partition, sort, theirs.as_bytes(), Some(token));
            let (values, _) = both.our_values(partition, sort);
            assert_eq!(values, [theirs.into_bytes()], "{partition:?} {sort:?}");
        }
    }
}

#[test]
fn values_of_every_kind_are_the_same_for_both() {
    let both = Both::new();
    let all: Vec<u8> = (0..=255).collect();
    for (number, value) in [&b""[..], b"\0", b"{}", &all, &all.repeat(1_000)]
        .into_iter()
        .enumerate()
    {
        let (ours, theirs) = (format!("o{number}"), format!("t{number}"));
        both.our_insert("p", &ours, value, None);
        assert_eq!(both.their_values("p", &ours).0, [Some(value.to_vec())]);
        both.their_insert("p", &theirs, value, None);
        assert_eq!(both.our_values("p", &theirs).0, [value.to_vec()]);
    }
}

#[test]
fn siblings_and_tokens_are_the_same_for_both() {
    let both = Both::new();
    both.our_insert("p", "s", b"ours", None);
    both.their_insert("p", "s", b"theirs", None);
    let (ours, our_token) = both.our_values("p", "s");
    let (theirs, their_token) = both.their_values("p", "s");
    assert_eq!(ours, [b"ours".to_vec(), b"theirs".to_vec()]);
    assert_eq!(theirs, [Some(b"ours".to_vec()), Some(b"theirs".to_vec())]);
    assert_eq!(our_token, their_token);
    // What came after the token stays beside what replaces the rest, whoever writes.
    both.their_insert("p", "s", b"later", None);
    both.our_insert("p", "s", b"replaced", Some(their_token));
    let (values, token) = both.their_values("p", "s");
    assert_eq!(
        values,
        [Some(b"later".to_vec()), Some(b"replaced".to_vec())]
    );
    both.their_insert("p", "s", b"last", Some(token));
    assert_eq!(both.our_values("p", "s").0, [b"last".to_vec()]);
}

#[test]
fn what_one_deletes_is_deleted_for_the_other() {
    let both = Both::new();
    both.our_insert("p", "s", b"one", None);
    let (_, token) = both.their_values("p", "s");
    both.run(both.theirs.delete_item("p", "s", token.clone().into()));
    let gone = both.our_items(&[("p", "s")]);
    assert!(gone.iter().all(|item| item.values.is_empty()), "{gone:?}");
    // The tombstone and a value that did not know of it stand side by side.
    both.our_insert("p", "s", b"two", Some(token));
    assert_eq!(both.their_values("p", "s").0, [None, Some(b"two".to_vec())]);
    let (values, token) = both.our_values("p", "s");
    assert_eq!(values, [b"two".to_vec()]);
    let deletes = vec![(key("p", "s"), CausalityToken(token))];
    let answer = both.ask(StorageRequest::DeleteItems(deletes));
    assert_eq!(answer, StorageResponse::Done);
    assert_eq!(both.their_values("p", "s").0, [None]);
}

#[test]
fn batches_and_ranges_with_pages_are_the_same_for_both() {
    const COUNT: usize = 2_500;
    let both = Both::new();
    let keys: Vec<String> = (0..COUNT)
        .map(|number| format!("k{number:05}/é%"))
        .collect();
    let (first, second) = keys.split_at(COUNT / 2);
    let inserts = first.iter().map(|sort| InsertItem {
        key: key("p", sort),
        token: None,
        value: Bytes::copy_from_slice(sort.as_bytes()),
    });
    let answer = both.ask(StorageRequest::InsertItems(inserts.collect()));
    assert_eq!(answer, StorageResponse::Done);
    let inserts: Vec<_> = second
        .iter()
        .map(|sort| BatchInsertOp {
            partition_key: "p",
            sort_key: sort,
            causality: None,
            value: K2vValue::Value(sort.clone().into_bytes()),
        })
        .collect();
    both.run(both.theirs.insert_batch(&inserts));
    // Neighbours that belong to no range.
    both.their_insert("o", "k00000", b"other", None);
    both.their_insert("pp", "k00000", b"other", None);

    // In the middle of a page, at the beginning of one, and at the end of one.
    let (deleted, besieged) = ([10, 300, 599, 2_000], [11, 301, 600, 2_001]);
    for at in deleted {
        let (_, token) = both.their_values("p", &keys[at]);
        both.run(both.theirs.delete_item("p", &keys[at], token.into()));
    }
    for at in besieged {
        both.their_insert("p", &keys[at], b"sibling", None);
    }
    // What was deleted has its place in a range, and no value.
    let all: Range = keys
        .iter()
        .enumerate()
        .map(|(at, key)| {
            let own = (!deleted.contains(&at)).then(|| key.clone().into_bytes());
            let sibling = besieged.contains(&at).then(|| b"sibling".to_vec());
            (key.clone(), own.into_iter().chain(sibling).collect())
        })
        .collect();
    for (start, end) in [(0, COUNT), (7, COUNT - 9), (11, 600), (COUNT, COUNT)] {
        let start = keys.get(start).map_or("l", String::as_str);
        let end = keys.get(end).map(String::as_str);
        let is_inside = |key: &str| key >= start && end.is_none_or(|end| key < end);
        let mut expected = all.clone();
        expected.retain(|(key, _)| is_inside(key));
        assert!(our_range(&both, start, end) == expected, "ours: {start}");
        assert!(
            their_range(&both, start, end) == expected,
            "theirs: {start}"
        );
    }
}

/// The items of a range by their sort keys, with their values in order.
type Range = Vec<(String, Vec<Vec<u8>>)>;

fn our_range(both: &Both, start: &str, end: Option<&str>) -> Range {
    let mut found = Vec::new();
    let mut start = SortKey(start.to_owned());
    loop {
        let answer = both.ask(StorageRequest::ReadRange(ItemRange {
            end: end.map(|end| SortKey(end.to_owned())),
            ..ItemRange::page(PartitionKey("p".to_owned()), start, 300)
        }));
        let StorageResponse::Range { items, next } = answer else {
            panic!("{answer:?}")
        };
        assert!(items.len() <= 300);
        for item in items {
            let mut values: Vec<_> = item.values.iter().map(|value| value.to_vec()).collect();
            values.sort();
            found.push((item.key.sort.0, values));
        }
        match next {
            Some(next) => start = next,
            None => return found,
        }
    }
}

fn their_range(both: &Both, start: &str, end: Option<&str>) -> Range {
    let mut found = Vec::new();
    let mut start = Some(start.to_owned());
    while let Some(from) = start {
        let read = BatchReadOp {
            partition_key: "p",
            filter: Filter {
                start: Some(&from),
                end,
                limit: Some(300),
                ..Filter::default()
            },
            tombstones: true,
            ..BatchReadOp::default()
        };
        let mut pages = both.run(both.theirs.read_batch(&[read]));
        let page = pages.pop().unwrap();
        for (key, item) in page.items {
            let mut values: Vec<_> = item.value.into_iter().filter_map(bytes_of).collect();
            values.sort();
            found.push((key, values));
        }
        start = page.next_start;
    }
    found
}

/// Polls while somebody writes again and again. Garage tells those who poll of a write before
/// they can read it, so a poll that is being armed just then misses it, and wakes up with the
/// next one.
fn poll_while_writing<T>(poll: impl FnOnce() -> T, write: impl Fn(u32) + Send) -> T {
    std::thread::scope(|scope| {
        let (end, ended) = mpsc::channel::<()>();
        scope.spawn(move || {
            for number in 0.. {
                if ended.recv_timeout(WRITE_AGAIN) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                write(number);
            }
        });
        let polled = poll();
        drop(end);
        polled
    })
}

#[test]
fn a_poll_of_ours_wakes_up_when_they_write() {
    let both = Both::new();
    both.their_insert("bell", "s", b"0", None);
    let poll = |seen: &Option<String>, timeout: Duration| {
        let answer = both.ask(StorageRequest::PollRange {
            partition: PartitionKey("bell".to_owned()),
            seen: seen.clone(),
            timeout_ms: u32::try_from(timeout.as_millis()).unwrap(),
        });
        let StorageResponse::Polled { seen } = answer else {
            panic!("{answer:?}")
        };
        seen
    };
    let mut seen = poll(&None, POLL);
    assert_ne!(seen, None);
    for round in 1..3 {
        let begin = Instant::now();
        let write = |number| {
            let value = format!("{round}.{number}");
            both.their_insert("bell", "s", value.as_bytes(), None);
        };
        let marker = poll_while_writing(|| poll(&seen, POLL), write);
        assert_ne!(marker, seen);
        assert!(begin.elapsed() < POLL / 2, "not by its time limit");
        // What was written after the poll was woken up.
        seen = poll(&marker, WRITE_AGAIN);
    }
    assert!(both.our_values("bell", "s").0.contains(&b"2.0".to_vec()));
}

#[test]
fn a_poll_of_theirs_wakes_up_when_we_write() {
    let both = Both::new();
    both.our_insert("bell", "s", b"one", None);
    let poll = |seen: Option<&str>| {
        let polled = both.run(both.theirs.poll_range("bell", None, seen, Some(POLL)));
        polled.expect("the poll is woken up before its time limit")
    };
    let (items, seen) = poll(None);
    assert_eq!(items.len(), 1);
    let write = |number| {
        let value = format!("two {number}");
        both.our_insert("bell", "another", value.as_bytes(), None);
    };
    let (changed, _) = poll_while_writing(|| poll(Some(&seen)), write);
    let changed: Vec<_> = changed.into_iter().collect();
    let [(sort, item)] = &changed[..] else {
        panic!("{} items changed", changed.len())
    };
    assert_eq!(sort, "another");
    assert!(!item.value.is_empty());
    for value in &item.value {
        let K2vValue::Value(bytes) = value else {
            panic!("nobody deleted it")
        };
        assert!(bytes.starts_with(b"two "));
    }
}
