//! What every backend does. The same functions run on each of them.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::future::{block_on, poll_once};
use restante_core::storage::{
    CausalityToken, InsertItem, ItemKey, ItemRange, PartitionKey, SortKey, StorageError,
    StorageRequest, StorageResponse,
};
use restante_server::storage::{Memory, SORT_KEY_BYTES_MAX, Storage};

use crate::garage;

use crate::fixture::{
    TestFolder, ask, body, embedded, get, get_range, insert, items, key, list, object, page, put,
    range, sleeper, values,
};

/// After what time an item is changed again for a poll that has not been woken up.
const RING_AGAIN: Duration = Duration::from_millis(300);

macro_rules! on_every_backend {
    ($($name:ident),* $(,)?) => {
        mod in_memory {
            use super::*;
            $(#[test] fn $name() { super::$name(&Memory::new(sleeper())); })*
        }
        mod in_a_folder {
            use super::*;
            $(#[test] fn $name() {
                let folder = TestFolder::new();
                super::$name(&embedded(&folder.0));
            })*
        }
        mod in_garage {
            use super::*;
            $(#[test] fn $name() { super::$name(&garage::fresh()); })*
        }
    };
}

on_every_backend!(
    an_insert_without_a_token_becomes_a_sibling,
    a_token_replaces_exactly_what_it_saw,
    byte_identical_siblings_collapse,
    a_deleted_item_has_no_values_and_an_old_token_deletes_nothing_newer,
    one_batch_may_name_an_item_twice,
    items_are_answered_in_the_order_of_the_keys,
    ranges_page_and_stay_in_their_partition,
    ranges_leave_stretches_out,
    a_range_is_cut_by_its_bytes,
    keys_that_are_too_long_are_refused,
    foreign_tokens_are_refused_and_nothing_is_stored,
    objects_of_every_size_come_back_by_range,
    an_object_that_is_not_finished_is_not_there,
    an_object_is_replaced_as_a_whole,
    an_object_can_be_read_while_it_is_deleted,
    lists_page_by_key,
    a_poll_wakes_up_and_times_out,
    steps_of_streams_are_no_single_requests,
);

fn an_insert_without_a_token_becomes_a_sibling(storage: &dyn Storage) {
    let at = key("p", "s");
    assert_eq!(items(storage, &[&at]), []);
    assert_eq!(insert(storage, &at, None, "one"), StorageResponse::Done);
    assert_eq!(insert(storage, &at, None, "two"), StorageResponse::Done);
    let found = items(storage, &[&at]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, at);
    assert_eq!(found[0].values, ["one", "two"].map(Bytes::from));
}

fn a_token_replaces_exactly_what_it_saw(storage: &dyn Storage) {
    let at = key("p", "s");
    insert(storage, &at, None, "one");
    let seen = items(storage, &[&at])[0].token.clone();
    insert(storage, &at, None, "two");
    let token = Some(seen);
    assert_eq!(insert(storage, &at, token, "three"), StorageResponse::Done);
    assert_eq!(values(storage, &at), ["two", "three"].map(Bytes::from));
    let token = Some(items(storage, &[&at])[0].token.clone());
    insert(storage, &at, token, "four");
    assert_eq!(values(storage, &at), [Bytes::from("four")]);
}

fn byte_identical_siblings_collapse(storage: &dyn Storage) {
    let at = key("p", "s");
    insert(storage, &at, None, "same");
    insert(storage, &at, None, "same");
    assert_eq!(values(storage, &at), [Bytes::from("same")]);
    // The token stands for both.
    let token = Some(items(storage, &[&at])[0].token.clone());
    insert(storage, &at, token, "new");
    assert_eq!(values(storage, &at), [Bytes::from("new")]);
}

fn a_deleted_item_has_no_values_and_an_old_token_deletes_nothing_newer(storage: &dyn Storage) {
    let at = key("p", "s");
    insert(storage, &at, None, "one");
    let first = items(storage, &[&at])[0].token.clone();
    let delete = |token: &CausalityToken| {
        let deletes = vec![(at.clone(), token.clone())];
        assert_eq!(
            ask(storage, StorageRequest::DeleteItems(deletes)),
            StorageResponse::Done
        );
    };
    delete(&first);
    assert_eq!(values(storage, &at), Vec::<Bytes>::new());
    let shown = range(storage, "p", "", None, 10).0;
    assert!(shown.iter().all(|item| item.values.is_empty()));
    insert(storage, &at, None, "two");
    assert_eq!(values(storage, &at), [Bytes::from("two")]);
    // What came after the token survives it, whether in a delete or in an insert.
    delete(&first);
    assert_eq!(values(storage, &at), [Bytes::from("two")]);
    insert(storage, &at, Some(first), "three");
    assert_eq!(values(storage, &at), ["two", "three"].map(Bytes::from));
}

fn one_batch_may_name_an_item_twice(storage: &dyn Storage) {
    let insert = |value: &str| InsertItem {
        key: key("p", "s"),
        token: None,
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    let batch = vec![insert("a"), insert("b")];
    assert_eq!(
        ask(storage, StorageRequest::InsertItems(batch)),
        StorageResponse::Done
    );
    assert_eq!(values(storage, &key("p", "s")), ["a", "b"].map(Bytes::from));
}

fn items_are_answered_in_the_order_of_the_keys(storage: &dyn Storage) {
    for sort in ["a", "b", "c"] {
        insert(storage, &key("p", sort), None, sort.to_owned());
    }
    let (a, b, c, none) = (key("p", "a"), key("p", "b"), key("p", "c"), key("q", "a"));
    let found = items(storage, &[&c, &none, &a, &b]);
    let keys: Vec<_> = found.into_iter().map(|item| item.key).collect();
    assert_eq!(keys, [c, a, b]);
}

fn ranges_page_and_stay_in_their_partition(storage: &dyn Storage) {
    for partition in ["o", "p", "pp", "q"] {
        for number in 0..25 {
            let at = key(partition, &format!("k{number:02}"));
            insert(storage, &at, None, format!("{partition}{number}"));
        }
    }
    let mut start = String::new();
    let mut found = Vec::new();
    loop {
        let (items, next) = range(storage, "p", &start, None, 10);
        assert!(items.len() <= 10);
        found.extend(items.into_iter().map(|item| item.values[0].clone()));
        match next {
            Some(next) => start = next.0,
            None => break,
        }
    }
    let expected: Vec<Bytes> = (0..25).map(|n| Bytes::from(format!("p{n}"))).collect();
    assert_eq!(found, expected);

    let sorts = |start, end, limit| -> Vec<String> {
        let items = range(storage, "p", start, end, limit).0;
        items.into_iter().map(|item| item.key.sort.0).collect()
    };
    assert_eq!(sorts("k03", Some("k05"), 10), ["k03", "k04"]);
    assert_eq!(sorts("k235", None, 10), ["k24"]);
    assert_eq!(range(storage, "p", "k03", Some("k05"), 2).1, None);
    assert_eq!(sorts("k09", Some("k03"), 10), Vec::<String>::new());
    assert_eq!(range(storage, "none", "", None, 10), (vec![], None));
}

fn ranges_leave_stretches_out(storage: &dyn Storage) {
    for number in 0..30 {
        let at = key("p", &format!("k{number:02}"));
        insert(storage, &at, None, format!("p{number}"));
        insert(storage, &key("q", &format!("k{number:02}")), None, "q");
    }
    let sort = |text: &str| SortKey(text.to_owned());
    let holes = [("k03", "k07"), ("k08", "k20"), ("k27", "z")];
    let wanted = [0, 1, 2, 7, 20, 21, 22, 23, 24, 25, 26];
    for (start, end) in [
        ("", None),
        ("k05", None),
        ("k02", Some("k23")),
        ("k09", Some("k15")),
    ] {
        for limit in [1, 2, 3, 4, 5, 100] {
            let mut from = sort(start);
            let mut found = Vec::new();
            loop {
                let without = holes.map(|(from, to)| (sort(from), sort(to))).to_vec();
                let (items, next) = page(
                    storage,
                    ItemRange {
                        end: end.map(sort),
                        without,
                        ..ItemRange::page(PartitionKey("p".to_owned()), from.clone(), limit)
                    },
                );
                assert!(items.len() <= limit as usize);
                found.extend(items.into_iter().map(|item| item.key.sort.0));
                match next {
                    Some(next) => {
                        assert!(next > from);
                        from = next;
                    }
                    None => break,
                }
            }
            let inside =
                |key: &String| key.as_str() >= start && end.is_none_or(|end| key.as_str() < end);
            let expected = wanted.iter().map(|number| format!("k{number:02}"));
            let expected: Vec<String> = expected.filter(inside).collect();
            assert_eq!(found, expected, "{start} {end:?} {limit}");
        }
    }
}

fn a_range_is_cut_by_its_bytes(storage: &dyn Storage) {
    let large = body(1, 1 << 20);
    for number in 0..6 {
        insert(storage, &key("p", &number.to_string()), None, large.clone());
    }
    let (first, next) = range(storage, "p", "", None, 100);
    assert!((1..6).contains(&first.len()));
    let (second, end) = range(storage, "p", &next.unwrap().0, None, 100);
    assert_eq!((first.len() + second.len(), end), (6, None));
    assert_eq!(second[0].values, [large]);
}

fn keys_that_are_too_long_are_refused(storage: &dyn Storage) {
    let longest = "s".repeat(SORT_KEY_BYTES_MAX);
    assert_eq!(
        insert(storage, &key("p", &longest), None, "v"),
        StorageResponse::Done
    );
    assert_eq!(values(storage, &key("p", &longest)), [Bytes::from("v")]);
    for (partition, sort) in [
        ("p".to_owned(), format!("{longest}s")),
        ("p".repeat(70_000), "s".to_owned()),
        (String::new(), "s".to_owned()),
    ] {
        let answer = insert(storage, &key(&partition, &sort), None, "v");
        assert!(matches!(
            answer,
            StorageResponse::Failed(StorageError::Refused(_))
        ));
    }
    let result = put(storage, &"o".repeat(2_000), &Bytes::new());
    assert!(matches!(result, Err(StorageError::Refused(_))));
    // And they are no reason to fail when they are read or deleted.
    let long = "o".repeat(70_000);
    assert_eq!(get(storage, &long), Err(StorageError::NotFound));
    let deletes = StorageRequest::DeleteObjects(vec![object(&long), object("")]);
    assert_eq!(ask(storage, deletes), StorageResponse::Done);
    assert_eq!(list(storage, &long, None, 10), (vec![], false));
    let long = "p".repeat(70_000);
    assert_eq!(range(storage, &long, "", None, 10), (vec![], None));
    assert_eq!(range(storage, "p", &long, None, 10).0.len(), 1);
    assert_eq!(list(storage, "", Some(&long), 10), (vec![], false));
}

fn foreign_tokens_are_refused_and_nothing_is_stored(storage: &dyn Storage) {
    let insert = |sort, token: Option<&str>| InsertItem {
        key: key("p", sort),
        token: token.map(|token| CausalityToken(token.to_owned())),
        value: Bytes::from("v"),
    };
    let batch = vec![insert("a", None), insert("b", Some("not ours"))];
    let answer = ask(storage, StorageRequest::InsertItems(batch));
    assert!(matches!(
        answer,
        StorageResponse::Failed(StorageError::Refused(_))
    ));
    assert_eq!(values(storage, &key("p", "a")), Vec::<Bytes>::new());
}

fn objects_of_every_size_come_back_by_range(storage: &dyn Storage) {
    let block = 64 * 1024;
    let inline = 96 * 1024;
    for bytes in [
        0,
        1,
        2_000,
        block,
        inline - 1,
        inline,
        inline + 1,
        2 * block,
        2 * block + 1,
        1_000_000,
    ] {
        let stored = body(bytes as u64, bytes);
        assert_eq!(put(storage, "o", &stored), Ok(()));
        let len = bytes as u64;
        for (start, end) in [
            (0, None),
            (0, Some(1)),
            (1, Some(len)),
            (len / 2, None),
            (len / 3, Some(len / 2)),
            (len.saturating_sub(1), Some(len + 100)),
            (len, None),
            (len + 1, None),
            (5, Some(3)),
        ] {
            let begin = start.min(len);
            let till = end.unwrap_or(len).min(len).max(begin);
            let expected = stored.slice(begin as usize..till as usize);
            for max in [100_000, 65_552, 4_001] {
                let found = get_range(storage, "o", (start, end), max);
                assert!(
                    found == Ok((len, expected.clone())),
                    "{start}..{end:?} of {len} by {max}"
                );
            }
        }
    }
    assert_eq!(get(storage, "none"), Err(StorageError::NotFound));
}

fn an_object_that_is_not_finished_is_not_there(storage: &dyn Storage) {
    for bytes in [10, 300_000] {
        block_on(async {
            let mut sink = storage.create(object("o")).await.unwrap();
            sink.write(body(1, bytes)).await.unwrap();
            assert!(storage.open(object("o"), 0, None, 10).await.is_err());
            assert_eq!(list(storage, "", None, 10), (vec![], false));
            drop(sink);
        });
        assert_eq!(get(storage, "o"), Err(StorageError::NotFound));
    }
}

fn an_object_is_replaced_as_a_whole(storage: &dyn Storage) {
    let versions = [(1, 5_000), (2, 400_000), (3, 300_000), (4, 100), (5, 0)];
    let mut before = None;
    for (seed, bytes) in versions {
        let next = body(seed, bytes);
        block_on(async {
            let mut sink = storage.create(object("o")).await.unwrap();
            sink.write(next.clone()).await.unwrap();
            assert_eq!(get(storage, "o").ok(), before);
            sink.finish().await.unwrap();
        });
        assert_eq!(get(storage, "o"), Ok(next.clone()));
        before = Some(next);
    }
    assert_eq!(list(storage, "", None, 10), (vec!["o".to_owned()], false));
}

fn an_object_can_be_read_while_it_is_deleted(storage: &dyn Storage) {
    let whole = body(7, 700_000);
    put(storage, "o", &whole).unwrap();
    block_on(async {
        let mut opened = storage.open(object("o"), 0, None, 65_552).await.unwrap();
        let mut out = opened.chunk.to_vec();
        put(storage, "o", &body(8, 700_000)).unwrap();
        let keys = vec![object("o"), object("never there")];
        assert_eq!(
            ask(storage, StorageRequest::DeleteObjects(keys)),
            StorageResponse::Done
        );
        assert_eq!(get(storage, "o"), Err(StorageError::NotFound));
        while out.len() < whole.len() {
            match opened.source.read(65_552).await {
                Ok(chunk) => out.extend_from_slice(&chunk),
                Err(StorageError::NotFound | StorageError::Unavailable(_)) => return,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(out == whole, "bytes of another object");
    });
}

fn lists_page_by_key(storage: &dyn Storage) {
    for number in 0..12 {
        put(storage, &format!("a/{number:02}"), &body(number, 10)).unwrap();
    }
    put(storage, "b/1", &body(1, 200_000)).unwrap();
    put(storage, "a", &Bytes::new()).unwrap();
    let (first, more) = list(storage, "a/", None, 10);
    assert_eq!((first.len(), more), (10, true));
    let (second, more) = list(storage, "a/", first.last().map(String::as_str), 10);
    assert_eq!((second, more), (vec!["a/10".into(), "a/11".into()], false));
    assert_eq!(list(storage, "b", None, 1), (vec!["b/1".to_owned()], false));
    assert_eq!(list(storage, "a", None, 1), (vec!["a".to_owned()], true));
    assert_eq!(list(storage, "b", Some("a/01"), 9).0, ["b/1"]);
    assert_eq!(list(storage, "a", Some("z"), 9), (vec![], false));
}

fn a_poll_wakes_up_and_times_out(storage: &dyn Storage) {
    let poll = |seen: &Option<String>, timeout_ms| {
        storage.execute(StorageRequest::PollRange {
            partition: PartitionKey("bell".to_owned()),
            seen: seen.clone(),
            timeout_ms,
        })
    };
    let marker = |response| match response {
        StorageResponse::Polled { seen } => seen,
        other => panic!("{other:?}"),
    };
    let seen = marker(block_on(poll(&None, 60_000)));
    let begin = Instant::now();
    assert_eq!(marker(block_on(poll(&seen, 50))), seen);
    assert!(begin.elapsed() >= Duration::from_millis(50));

    // A change while the poll waits, and one between two polls.
    let at = key("bell", "s");
    let mut waiting = poll(&seen, 60_000);
    assert_eq!(block_on(poll_once(&mut waiting)), None);
    insert(storage, &key("another", "s"), None, "ding");
    let woken = std::thread::scope(|scope| {
        let (end, ended) = mpsc::channel();
        let at = &at;
        scope.spawn(move || ring(storage, at, &ended));
        let woken = marker(block_on(waiting));
        drop(end);
        woken
    });
    assert_ne!(woken, seen);
    // What was rung after the poll was woken up.
    let woken = marker(block_on(poll(&woken, 50)));
    let token = items(storage, &[&at])[0].token.clone();
    let deletes = vec![(at.clone(), token)];
    ask(storage, StorageRequest::DeleteItems(deletes));
    assert_ne!(marker(block_on(poll(&woken, 60_000))), woken);
    let answer = block_on(poll(&Some("junk".to_owned()), 60_000));
    assert!(matches!(
        answer,
        StorageResponse::Failed(StorageError::Refused(_))
    ));
}

/// Changes an item; where storage is shared once more and again, until the channel is closed.
/// Garage tells those who poll of a write before they can read it, so a poll that is being armed
/// just then misses it, and wakes up with the next one.
fn ring(storage: &dyn Storage, at: &ItemKey, ended: &Receiver<()>) {
    for number in 0.. {
        insert(storage, at, None, format!("ding {number}"));
        if !storage.is_shared() || ended.recv_timeout(RING_AGAIN) != Err(RecvTimeoutError::Timeout)
        {
            return;
        }
    }
}

fn steps_of_streams_are_no_single_requests(storage: &dyn Storage) {
    for request in [
        StorageRequest::ReadChunk { max: 1 },
        StorageRequest::FinishObject,
        StorageRequest::WriteChunk(Bytes::new()),
        StorageRequest::CreateObject { key: object("o") },
    ] {
        assert!(matches!(
            ask(storage, request),
            StorageResponse::Failed(StorageError::Refused(_))
        ));
    }
}
