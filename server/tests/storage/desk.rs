//! The desk of a machine, and faults on purpose.

use std::sync::Arc;

use bytes::Bytes;
use futures_lite::future::{block_on, poll_once};
use restante_core::storage::{RequestId, StorageError, StorageRequest, StorageResponse};
use restante_server::storage::{Desk, Fault, Faulty, Memory};

use crate::fixture::{body, embedded, get, insert, key, object, sleeper, values};

fn ask(desk: &mut Desk, id: u64, request: StorageRequest) -> StorageResponse {
    let answer = block_on(desk.start(RequestId(id), request));
    let (answered, response) = answer.expect("it was not abandoned");
    assert_eq!(answered, RequestId(id));
    response
}

fn open(key: &str, max: u32) -> StorageRequest {
    StorageRequest::OpenObject {
        key: object(key),
        start: 0,
        end: None,
        max,
    }
}

#[test]
fn a_stream_is_written_and_read_under_its_id() {
    let folder = crate::fixture::TestFolder::new();
    let mut desk = Desk::new(Arc::new(embedded(&folder.0)));
    let whole = body(1, 200_000);
    let create = StorageRequest::CreateObject { key: object("o") };
    assert_eq!(ask(&mut desk, 1, create), StorageResponse::Done);
    for chunk in whole.chunks(65_552) {
        let write = StorageRequest::WriteChunk(whole.slice_ref(chunk));
        assert_eq!(ask(&mut desk, 1, write), StorageResponse::Done);
    }
    assert_eq!(desk.len(), 1);
    assert_eq!(
        ask(&mut desk, 1, StorageRequest::FinishObject),
        StorageResponse::Done
    );
    assert!(desk.is_empty());

    let StorageResponse::Opened { len, chunk } = ask(&mut desk, 2, open("o", 100_000)) else {
        panic!("not opened");
    };
    assert_eq!((len, &chunk[..]), (200_000, &whole[..100_000]));
    let rest = ask(&mut desk, 2, StorageRequest::ReadChunk { max: 100_000 });
    assert_eq!(rest, StorageResponse::Chunk(whole.slice(100_000..)));
    // That was the last chunk: the stream is closed.
    assert!(desk.is_empty());
    let after = ask(&mut desk, 2, StorageRequest::ReadChunk { max: 1 });
    assert!(matches!(
        after,
        StorageResponse::Failed(StorageError::Refused(_))
    ));
}

#[test]
fn an_abandoned_object_is_gone_and_an_abandoned_request_says_nothing() {
    let memory = Memory::new(sleeper());
    let slow = Faulty::new(memory.clone());
    let mut desk = Desk::new(Arc::new(slow.clone()));
    let create = StorageRequest::CreateObject { key: object("o") };
    assert_eq!(ask(&mut desk, 1, create), StorageResponse::Done);
    desk.abandon(RequestId(1));
    let finish = ask(&mut desk, 1, StorageRequest::FinishObject);
    assert!(matches!(finish, StorageResponse::Failed(_)));
    assert_eq!(get(&memory, "o"), Err(StorageError::NotFound));

    slow.hold();
    block_on(async {
        let mut held = desk.start(RequestId(2), open("o", 1));
        assert_eq!(poll_once(&mut held).await, None);
        let second = desk.start(RequestId(2), open("o", 1)).await;
        assert!(matches!(
            second,
            Some((_, StorageResponse::Failed(StorageError::Refused(_))))
        ));
        desk.abandon(RequestId(2));
        assert_eq!(held.await, None);
        assert!(desk.is_empty());

        let mut held = desk.start(RequestId(3), open("o", 1));
        assert_eq!(poll_once(&mut held).await, None);
        slow.release();
        let answer = held.await;
        let missing = StorageResponse::Failed(StorageError::NotFound);
        assert_eq!(answer, Some((RequestId(3), missing)));
    });
}

#[test]
fn chosen_steps_fail_before_or_after_they_are_done() {
    let memory = Memory::new(sleeper());
    let faulty = Faulty::new(memory.clone());
    let gone = StorageError::Unavailable("gone".to_owned());
    faulty.fail(1, Fault::Lost(StorageError::Full));
    faulty.fail(2, Fault::Landed(gone.clone()));
    let (a, b, c) = (key("p", "a"), key("p", "b"), key("p", "c"));
    assert_eq!(insert(&faulty, &a, None, "1"), StorageResponse::Done);
    assert_eq!(
        insert(&faulty, &b, None, "2"),
        StorageResponse::Failed(StorageError::Full)
    );
    assert_eq!(
        insert(&faulty, &c, None, "3"),
        StorageResponse::Failed(gone)
    );
    assert_eq!(values(&memory, &b), Vec::<Bytes>::new());
    assert_eq!(values(&memory, &c), [Bytes::from("3")]);
    assert_eq!(faulty.steps(), 3);
}

#[test]
fn memory_is_full_when_told_and_takes_more_when_there_is_room() {
    let memory = Memory::new(sleeper());
    memory.set_capacity(10);
    let at = key("p", "s");
    assert_eq!(
        insert(&memory, &at, None, "eleven bytes"),
        StorageResponse::Failed(StorageError::Full)
    );
    memory.set_capacity(100);
    assert_eq!(
        insert(&memory, &at, None, "eleven bytes"),
        StorageResponse::Done
    );
}
