//! What answers mean that a real Garage gives seldom or never.

mod breaker;
mod items;

use super::fake::{Fake, Reply, at_start, error};
use super::items::{READ_BYTES_MAX, SIBLINGS_MAX, TOKEN_BYTES_MAX};
use super::{BreakerState, Garage, GarageLimits, Storage};
use crate::accounts::file::AccountsFile;
use crate::storage::Opened;
use crate::storage::limits::{RANGE_BYTES_MAX, SORT_KEY_BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_lite::future::{block_on, zip};
use restante_core::storage::{
    CausalityToken, InsertItem, ItemKey, ItemRange, ObjectKey, PartitionKey, SortKey, StorageError,
    StorageRequest, StorageResponse,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Tries again at once.
fn limits() -> GarageLimits {
    GarageLimits {
        retry_pause_ms: 1,
        ..GarageLimits::default()
    }
}

/// What `work` gives, which must not take long.
fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    // It ends with the process, should it hang.
    std::thread::spawn(move || sender.send(work()));
    let result = receiver.recv_timeout(Duration::from_secs(20));
    result.expect("it has no end")
}

fn ask(garage: &Arc<Garage>, request: StorageRequest) -> StorageResponse {
    let garage = Arc::clone(garage);
    soon(move || block_on(garage.execute(request)))
}

fn range(start: &str, without: &[(&str, &str)], limit: u32) -> ItemRange {
    let key = |text: &str| SortKey(text.to_owned());
    let without = without.iter().map(|(from, end)| (key(from), key(end)));
    ItemRange {
        without: without.collect(),
        ..ItemRange::page(PartitionKey("p".to_owned()), key(start), limit)
    }
}

fn is_unavailable(answer: &StorageResponse) -> bool {
    matches!(
        answer,
        StorageResponse::Failed(StorageError::Unavailable(_))
    )
}

fn object() -> ObjectKey {
    ObjectKey("o".to_owned())
}

#[test]
fn only_garage_itself_says_that_an_object_is_not_there() {
    let proxy = || Reply::Whole(404, "<html>No such host</html>".to_owned());
    for (text, missing) in [(error("NoSuchKey"), true), (error("NoSuchUpload"), false)] {
        let text = move || Reply::Whole(404, text.clone());
        let fake = Fake::new(move |request| at_start(request).unwrap_or_else(&text));
        let garage = fake.open(limits()).unwrap();
        for end in [None, Some(0)] {
            let opened = block_on(garage.open(object(), 0, end, 10));
            assert_eq!(opened.err() == Some(StorageError::NotFound), missing);
        }
        assert_eq!(fake.asked("GET /b/o"), 2, "it is not asked again");
    }
    for proxy in [proxy, || Reply::Whole(404, String::new())] {
        let fake = Fake::new(move |request| at_start(request).unwrap_or_else(proxy));
        let garage = fake.open(limits()).unwrap();
        for end in [None, Some(0)] {
            let opened = block_on(garage.open(object(), 0, end, 10));
            assert!(matches!(opened.err(), Some(StorageError::Unavailable(_))));
        }
        assert_eq!(fake.asked("GET /b/o"), 2 * limits().attempts_max as usize);
        // Neither are items refused for good, which are never missing.
        let answer = StorageRequest::ReadRange(range("", &[], 1));
        assert!(is_unavailable(&block_on(garage.execute(answer))));
    }
}

/// Stores this as an object, in one request.
fn put(garage: &Arc<Garage>, text: &'static str) -> Result<(), StorageError> {
    let garage = Arc::clone(garage);
    soon(move || {
        block_on(async {
            let mut sink = garage.create(object()).await?;
            sink.write(Bytes::from_static(text.as_bytes())).await?;
            sink.finish().await
        })
    })
}

fn insert(keys: &[&str]) -> StorageRequest {
    let inserts = keys.iter().map(|key| InsertItem {
        key: item_key(key),
        token: None,
        value: Bytes::from_static(b"value"),
    });
    StorageRequest::InsertItems(inserts.collect())
}

fn delete(keys: &[&str]) -> StorageRequest {
    let token = || CausalityToken("t".to_owned());
    let deletes = keys.iter().map(|key| (item_key(key), token()));
    StorageRequest::DeleteItems(deletes.collect())
}

fn item_key(key: &str) -> ItemKey {
    ItemKey {
        partition: PartitionKey("p".to_owned()),
        sort: SortKey(key.to_owned()),
    }
}

#[test]
fn only_garage_itself_says_that_something_is_stored_or_gone() {
    let fake = Fake::new(|request| match request.contains("prefix=p") {
        true => Reply::Page,
        false => at_start(request).unwrap_or(Reply::Page),
    });
    let garage = Arc::new(fake.open(limits()).unwrap());
    let stored = put(&garage, "text");
    assert!(
        matches!(stored, Err(StorageError::Unavailable(_))),
        "{stored:?}"
    );
    let gone = |count| StorageRequest::DeleteObjects(vec![object(); count]);
    let objects = StorageRequest::ListObjects {
        prefix: "p".to_owned(),
        after: None,
        limit: 1,
    };
    for request in [
        insert(&["a"]),
        insert(&["a", "b"]),
        delete(&["a"]),
        delete(&["a", "b"]),
        gone(1),
        gone(2),
        objects,
        StorageRequest::ReadRange(range("", &[], 1)),
    ] {
        let answer = ask(&garage, request.clone());
        assert!(is_unavailable(&answer), "{request:?}: {answer:?}");
    }
    // In parts: the page instead of a part, and instead of all of them.
    for part in [Reply::Page, Reply::Whole(200, String::new())] {
        let fake = Fake::new(move |request| match request {
            "POST /b/o?uploads" => Reply::Whole(
                200,
                "<InitiateMultipartUploadResult><UploadId>u</UploadId>\
                 </InitiateMultipartUploadResult>"
                    .to_owned(),
            ),
            it if it.starts_with("PUT /b/o") => part.clone(),
            it if it.starts_with("GET /b/o") => Reply::Whole(404, error("NoSuchKey")),
            it => at_start(it).unwrap_or(Reply::Page),
        });
        let limits = GarageLimits {
            part_bytes: 2,
            ..limits()
        };
        let stored = put(&Arc::new(fake.open(limits).unwrap()), "text");
        assert!(
            matches!(stored, Err(StorageError::Unavailable(_))),
            "{stored:?}"
        );
        assert!(fake.asked("PUT /b/o?") > 0);
    }
    let fake = Fake::new(|request| {
        at_start(request).unwrap_or_else(|| match request.starts_with("PUT /b/o") {
            true => Reply::Whole(200, String::new()),
            false => Reply::Whole(204, String::new()),
        })
    });
    let garage = Arc::new(fake.open(limits()).unwrap());
    assert_eq!(put(&garage, "text"), Ok(()));
    assert_eq!(ask(&garage, insert(&["a"])), StorageResponse::Done);
}

#[test]
fn what_fails_after_a_part_was_carried_out_may_have_been_carried_out() {
    let many: Vec<String> = (0..=1_000).map(|at| format!("{at:04}")).collect();
    let keys: Vec<&str> = many.iter().map(String::as_str).collect();
    let objects = keys.iter().map(|key| ObjectKey((*key).to_owned()));
    let requests = [
        insert(&keys),
        delete(&keys),
        StorageRequest::DeleteObjects(objects.collect()),
    ];
    for request in requests {
        // The first request is carried out, and a quota refuses the second.
        let count = AtomicUsize::new(0);
        let fake = Fake::new(move |asked| {
            at_start(asked).unwrap_or_else(|| match (count.fetch_add(1, Ordering::SeqCst), asked) {
                (0, "POST /b") => Reply::Whole(204, String::new()),
                (0, _) => Reply::Whole(200, "<DeleteResult></DeleteResult>".to_owned()),
                _ => Reply::Whole(507, String::new()),
            })
        });
        let garage = Arc::new(fake.open(limits()).unwrap());
        let answer = ask(&garage, request);
        assert!(is_unavailable(&answer), "{answer:?}");
        assert_eq!(
            fake.asked("POST /b") + fake.asked("DELETE /b/1"),
            2,
            "it was carried out in part"
        );
    }
}

#[test]
fn what_is_long_may_take_the_time_that_it_is_sent_in() {
    let fake = Fake::new(|request| {
        at_start(request).unwrap_or_else(|| {
            // As if it had come over a slow line.
            std::thread::sleep(Duration::from_millis(600));
            Reply::Whole(200, String::new())
        })
    });
    let garage = fake.open(GarageLimits {
        request_timeout_ms: 200,
        attempts_max: 1,
        ..limits()
    });
    let garage = Arc::new(garage.unwrap());
    // A second's worth at the slowest.
    let long = "a".repeat(64 * 1024).leak();
    assert_eq!(put(&garage, long), Ok(()));
    assert!(put(&garage, "short").is_err());
}

#[test]
fn octets_count_only_where_they_were_asked_for() {
    let open = |reply: Reply, start| {
        let fake = Fake::new(move |request| at_start(request).unwrap_or_else(|| reply.clone()));
        let garage = Arc::new(fake.open(limits()).unwrap());
        soon(move || block_on(garage.open(object(), start, Some(start + 2), 2)).map(|it| it.chunk))
    };
    let part = |start| Reply::Part(start, 4, "cd".to_owned());
    assert_eq!(open(part(2), 2), Ok(Bytes::from_static(b"cd")));
    // The whole object, and another part of it.
    for reply in [Reply::Whole(200, "abcd".to_owned()), part(0), part(20)] {
        let opened = open(reply, 2);
        assert!(
            matches!(opened, Err(StorageError::Unavailable(_))),
            "{opened:?}"
        );
    }
}

#[test]
fn an_address_where_there_is_no_garage_is_told_at_start() {
    let fake = Fake::new(|_| Reply::Whole(404, "<html>Not found</html>".to_owned()));
    let error = fake.open(limits()).err().expect("it must not open");
    assert!(error.to_string().contains("storage.s3"), "{error}");
    let fake = Fake::new(|request| match request {
        "GET /b?limit=1" => Reply::Whole(404, String::new()),
        _ => at_start(request).unwrap_or(Reply::Silence),
    });
    let error = fake.open(limits()).err().expect("it must not open");
    assert!(error.to_string().contains("storage.k2v"), "{error}");
}

#[test]
fn a_clock_that_is_behind_is_told_and_ends_nothing() {
    let why = "Bad request: Date is too old";
    let fake = Fake::new(move |request| {
        let s3 = format!("<Error><Code>InvalidRequest</Code><Message>{why}</Message></Error>");
        let k2v = format!(r#"{{"code":"InvalidRequest","message":"{why}"}}"#);
        match request {
            "GET /b?limit=1" | "POST /b?search" => Reply::Whole(400, k2v),
            _ => Reply::Whole(400, s3),
        }
    });
    let garage = fake.open(limits()).expect("it gets better by itself");
    let StorageResponse::Failed(StorageError::Unavailable(why)) = ask(
        &Arc::new(garage),
        StorageRequest::ReadRange(range("", &[], 1)),
    ) else {
        panic!("it is no reason to refuse anything");
    };
    assert!(why.contains("is the clock right?"), "{why}");
}

#[test]
fn how_old_an_upload_is_tells_the_clock_that_its_beginning_is_of() {
    // Our own clock is years ahead of it.
    let uploads = |date: Option<&'static str>| {
        let key = |name: &str| format!("{}1/c/{name}", "0".repeat(31));
        let upload = |name: &str, begun: &str| {
            let key = key(name);
            format!(
                "<Upload><Key>{key}</Key><UploadId>{name}</UploadId>\
                 <Initiated>{begun}</Initiated></Upload>"
            )
        };
        let young = upload("young", "2020-01-02T23:00:00.000Z");
        let old = upload("old", "2020-01-01T23:00:00.000Z");
        let list = format!("<ListMultipartUploadsResult>{young}{old}</ListMultipartUploadsResult>");
        let fake = Fake::new(move |request| match request {
            it if it.starts_with("GET /b/?uploads") => match date {
                Some(date) => Reply::Dated(date, list.clone()),
                None => Reply::Whole(200, list.clone()),
            },
            it if it.starts_with("DELETE /b/0") => Reply::Whole(204, String::new()),
            it => at_start(it).unwrap_or(Reply::Silence),
        });
        let garage = fake.open(limits()).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let of = |name: &str| fake.asked(&format!("DELETE /b/{}", key(name)));
        // Where nothing is to be aborted there is nothing to wait for but that it was looked.
        while fake.asked("GET /b/?uploads") == 0 || (date.is_some() && of("old") == 0) {
            assert!(Instant::now() < until, "the old upload stays");
            std::thread::sleep(Duration::from_millis(1));
        }
        if date.is_none() {
            std::thread::sleep(Duration::from_millis(200));
        }
        drop(garage);
        (of("young"), of("old"))
    };
    assert_eq!(uploads(Some("Fri, 03 Jan 2020 00:00:00 GMT")), (0, 1));
    assert_eq!(uploads(None), (0, 0), "nobody says what time it is");
}

#[test]
fn an_account_that_is_in_no_list_has_no_bucket() {
    let fake =
        Fake::new(|request| at_start(request).unwrap_or_else(|| Reply::Whole(204, String::new())));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.toml");
    let account = |id: &str| {
        format!(
            "[[account]]\nid = \"{id}\"\nnames = [\"{id}\"]\n\
             public_key = \"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"\n"
        )
    };
    let ids = ["0".repeat(31) + "1", "0".repeat(31) + "2"];
    let delete = |id: &str| StorageRequest::DeleteObjects(vec![ObjectKey(format!("{id}/c/1"))]);
    let (first, second) = (account(&ids[0]), account(&ids[1]));
    std::fs::write(&path, format!("version = 1\n{first}{second}")).unwrap();
    let file = Arc::new(AccountsFile::new(path.clone()));
    let garage = fake.open_for(limits(), Some(Arc::clone(&file))).unwrap();
    for id in &ids {
        assert_eq!(block_on(garage.execute(delete(id))), StorageResponse::Done);
    }
    // It may have been in a bucket of its own, and nobody knows in which.
    std::fs::write(path, format!("version = 1\n{first}")).unwrap();
    file.read().unwrap();
    assert!(is_unavailable(&block_on(garage.execute(delete(&ids[1])))));
    assert_eq!(
        block_on(garage.execute(delete(&ids[0]))),
        StorageResponse::Done
    );
    // What belongs to nobody has no need of an account.
    let bell = StorageRequest::ReadRange(ItemRange {
        partition: PartitionKey("!bell/0".to_owned()),
        ..range("", &[], 0)
    });
    assert!(!is_unavailable(&block_on(garage.execute(bell))));
}

#[test]
fn an_answer_to_the_sdk_that_stops_or_is_too_long_has_an_end() {
    let limits = GarageLimits {
        request_timeout_ms: 200,
        attempts_max: 1,
        ..limits()
    };
    let list = || StorageRequest::ListObjects {
        prefix: "p".to_owned(),
        after: None,
        limit: 1,
    };
    let stalled = |status, text: &str| Reply::Stalled(status, text.to_owned());
    for (reply, why) in [
        (stalled(200, "<ListBucketResult>"), "slowly"),
        (stalled(503, "<Error>"), "slowly"),
        (Reply::Long(200, 16 << 20), "too long"),
        (Reply::Long(500, 16 << 20), "too long"),
    ] {
        let fake = Fake::new(move |request| match request.contains("prefix=p") {
            true => reply.clone(),
            false => at_start(request).unwrap_or(Reply::Silence),
        });
        let garage = Arc::new(fake.open(limits.clone()).unwrap());
        let answer = ask(&garage, list());
        let StorageResponse::Failed(StorageError::Unavailable(text)) = answer else {
            panic!("{answer:?}");
        };
        assert!(text.contains(why), "{text}");
    }
}

/// The first octet of the object with this key, and how long that took.
fn open(garage: &Arc<Garage>, key: &str) -> (Result<Bytes, StorageError>, Duration) {
    let (garage, key) = (Arc::clone(garage), ObjectKey(key.to_owned()));
    let began = Instant::now();
    let opened = soon(move || block_on(garage.open(key, 0, Some(1), 10)).map(|it| it.chunk));
    (opened, began.elapsed())
}

#[test]
fn bodies_that_do_not_come_hold_up_nobody_for_longer_than_a_request_may_take() {
    let fake = Fake::new(|request| {
        at_start(request).unwrap_or_else(|| match request.starts_with("GET /b/a/") {
            true => Reply::Stalled(206, String::new()),
            false => Reply::Part(0, 1, "b".to_owned()),
        })
    });
    let timeout = Duration::from_secs(2);
    let garage = fake.open(GarageLimits {
        request_timeout_ms: 2_000,
        ..limits()
    });
    let garage = Arc::new(garage.unwrap());
    // As many as are asked for at once in the beginning.
    let others = ["a/1", "a/2"].map(|key| {
        let garage = Arc::clone(&garage);
        std::thread::spawn(move || open(&garage, key))
    });
    while fake.asked("GET /b/a/") < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(timeout / 2);
    let (opened, time) = open(&garage, "b/1");
    assert_eq!(opened, Ok(Bytes::from_static(b"b")));
    assert!(time < timeout, "{time:?}");
    for other in others {
        let (opened, time) = other.join().unwrap();
        assert!(matches!(opened, Err(StorageError::Unavailable(_))));
        assert!(time < 2 * timeout, "{time:?}");
    }
}

#[test]
fn a_body_that_was_opened_for_one_reading_is_not_read_on() {
    // The one place is taken until the second range is asked for.
    let other = Arc::<Mutex<Option<Opened>>>::default();
    let (held, count) = (Arc::clone(&other), AtomicUsize::new(0));
    let fake = Fake::new(move |request| {
        at_start(request).unwrap_or_else(|| {
            let parts = ["abcdef", "cd", "ef"];
            match request.starts_with("GET /b/other") {
                true => Reply::Part(0, 6, "abcdef".to_owned()),
                false => {
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    if number == 1 {
                        drop(held.lock().unwrap().take());
                    }
                    Reply::Part(2 * number as u64, 6, parts[number].to_owned())
                }
            }
        })
    });
    let garage = fake.open(GarageLimits {
        attempts_max: 1,
        streams_max: 1,
        ..limits()
    });
    let garage = garage.unwrap();
    let open = |key: &str| block_on(garage.open(ObjectKey(key.to_owned()), 0, Some(6), 2));
    *other.lock().unwrap() = Some(open("other").unwrap());
    let mut opened = open("o").unwrap();
    let mut found = vec![Ok(opened.chunk)];
    found.extend([(); 2].map(|()| block_on(opened.source.read(2))));
    assert_eq!(found, ["ab", "cd", "ef"].map(|it| Ok(Bytes::from(it))));
    assert!(other.lock().unwrap().is_none());
}

#[test]
fn what_was_sent_on_a_connection_that_broke_may_have_been_carried_out() {
    for broken in [true, false] {
        // The key is taken away meanwhile.
        let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let fake = Fake::new(move |request| {
            at_start(request).unwrap_or_else(|| {
                let count = &counts[usize::from(request.starts_with("DELETE"))];
                match count.fetch_add(1, Ordering::SeqCst) {
                    0 if broken => Reply::Closed,
                    _ => Reply::Whole(403, error("AccessDenied")),
                }
            })
        });
        let limits = GarageLimits {
            attempts_max: 1,
            ..limits()
        };
        let garage = Arc::new(fake.open(limits).unwrap());
        let requests = [
            insert(&["a"]),
            StorageRequest::DeleteObjects(vec![object()]),
        ];
        for request in requests {
            let answer = ask(&garage, request);
            match broken {
                true => assert!(is_unavailable(&answer), "{answer:?}"),
                false => assert!(
                    matches!(answer, StorageResponse::Failed(StorageError::Refused(_))),
                    "{answer:?}"
                ),
            }
        }
        // On a connection that waited, and then on another one.
        assert_eq!(fake.asked("PUT /b/p"), 1 + usize::from(broken));
    }
}
