//! What a newer server wrote: an older one leaves it alone, and shows nothing without it.

use super::world::{Server, Store, config, failure, inbox_id, keys, message, name, view};
use crate::account::{AccountFailure, AccountReply, AccountRequest, Bodies, CheckOptions};
use crate::boundary::Event;
use crate::mailbox::{CheckpointPointer, Part, WriterId};
use crate::random::{Random, Seed};
use crate::seal::{
    AccountKeys, ContentKind, ContentReader, ContentWriter, ItemKind, Places, Progress,
    seal_arrival,
};
use crate::storage::{ItemKey, ObjectKey};
use core::time::Duration;

/// A version that nobody has written yet.
const NEWER: u8 = 100;

fn fill(server: &mut Server, storage: &mut Store, from: u32, to: u32) {
    for number in from..=to {
        server.append(storage, "INBOX", vec![message(number, &[])]);
    }
    server.drain(storage);
}

fn random() -> Random {
    Random::new(Seed::new([4; 32]))
}

fn place(writer: u8) -> ItemKey {
    let places = Places::new(keys().account());
    ItemKey {
        partition: places.log(inbox_id()),
        sort: places.operation(WriterId([writer; 16]), 0),
    }
}

fn newer_batch() -> Vec<u8> {
    Part::whole(&[NEWER, 1, 2, 3])
}

fn select() -> AccountRequest {
    AccountRequest::Select {
        name: name("INBOX"),
        read_only: false,
    }
}

/// INBOX cannot be opened, the log of events says why, and nothing is changed.
fn is_left_alone(server: &mut Server, storage: &mut Store) {
    let before = (storage.items.clone(), storage.objects.clone());
    for request in [select(), AccountRequest::Status(name("INBOX"))] {
        let connection = server.connect();
        let reply = server.ask(storage, connection, request);
        assert_eq!(failure(reply), AccountFailure::Unavailable);
    }
    let options = CheckOptions {
        bodies: Bodies::Skip,
        repair: true,
        rebuild: false,
        restored_ms: None,
    };
    for request in [AccountRequest::Check(options), AccountRequest::Sweep] {
        let connection = server.connect();
        let reply = server.ask(storage, connection, request);
        assert_eq!(failure(reply), AccountFailure::Unavailable);
    }
    assert_eq!((&storage.items, &storage.objects), (&before.0, &before.1));
    let told = server.events.iter().any(|event| match event {
        Event::StorageFailed { reason, .. } => {
            reason.contains("version 100: this server is too old")
        }
        _ => false,
    });
    assert!(told, "{:?}", server.events);
    let damaged = |event: &Event| matches!(event, Event::Damaged { .. });
    assert!(!server.events.iter().any(damaged), "{:?}", server.events);
}

#[test]
fn a_log_with_an_item_of_a_newer_server_is_not_shown_without_it() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, 1, 30);
    let before = view(&server.status(&mut storage, "INBOX"));
    let key = place(9);
    let value = keys().seal_item(&key, ItemKind::Operation, &newer_batch(), &mut random());
    storage.items.insert(key.clone(), (value, 1_000));
    let mut older = Server::new(2, config());
    is_left_alone(&mut older, &mut storage);
    // Also who had read the log before tells nothing that is not so.
    let connection = server.connect();
    let reply = server.ask(&mut storage, connection, select());
    assert_eq!(failure(reply), AccountFailure::Unavailable);
    // As new as the other one it understands it; here as if it had not been written.
    storage.items.remove(&key);
    for server in [&mut server, &mut older] {
        assert_eq!(view(&server.status(&mut storage, "INBOX")), before);
    }
}

#[test]
fn an_arrival_of_any_version_stops_nobody() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, 1, 3);
    let key = place(9);
    let account = keys();
    let part = Part::whole(&[NEWER, 1, 2, 3]);
    let value = seal_arrival(
        account.account(),
        &account.public_key(),
        &key,
        &part,
        &mut random(),
    );
    storage.items.insert(key, (value.unwrap(), 1_000));
    let mut other = Server::new(2, config());
    assert_eq!(other.status(&mut storage, "INBOX").len(), 3);
}

/// The checkpoints of INBOX, the oldest first.
fn checkpoints(storage: &Store) -> Vec<ObjectKey> {
    let places = Places::new(keys().account());
    let partition = places.log(inbox_id());
    let pointers = storage.items.iter();
    let pointers = pointers.filter(|(key, (value, _))| {
        key.partition == partition && key.sort.0.starts_with('#') && !value.is_empty()
    });
    let contents = pointers.map(|(key, (value, _))| {
        let bytes = keys().open_item(key, ItemKind::CheckpointPointer, value);
        CheckpointPointer::decode(&bytes.unwrap()).unwrap().content
    });
    contents.map(|content| places.checkpoint(content)).collect()
}

/// Writes a checkpoint as a newer server would: the same, of another version.
fn make_newer(storage: &mut Store, key: &ObjectKey) {
    let keys: &AccountKeys = &keys();
    let places = Places::new(keys.account());
    let content = places.parse_object(&places.checkpoints(), key).unwrap();
    let mut reader = ContentReader::from_start(keys, ContentKind::Checkpoint, content, None);
    reader.feed(&storage.objects[key]);
    let mut plain = Vec::new();
    while matches!(reader.next(&mut plain), Ok(Progress::Chunk(_))) {}
    plain[0] = NEWER;
    let kind = ContentKind::Checkpoint;
    let bytes = config().chunk_bytes;
    let mut writer = ContentWriter::new(keys, kind, content, bytes, &mut random());
    let mut sealed = Vec::new();
    for chunk in plain.chunks(bytes) {
        writer.write(chunk, &mut sealed);
    }
    writer.end_body(&mut sealed);
    writer.finish(&[], &mut sealed);
    storage.objects.insert(key.clone(), sealed.into());
}

#[test]
fn a_newer_checkpoint_is_passed_over_only_where_the_log_still_has_all() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    for round in 0..4 {
        fill(&mut server, &mut storage, round * 15 + 1, round * 15 + 15);
        server.wait(Duration::from_secs(61));
        server.drain(&mut storage);
    }
    let before = view(&server.status(&mut storage, "INBOX"));
    let all = checkpoints(&storage);
    let [older, newest] = all.as_slice() else {
        panic!("{all:?}");
    };
    make_newer(&mut storage, newest);
    let mut other = Server::new(2, config());
    assert_eq!(view(&other.status(&mut storage, "INBOX")), before);
    make_newer(&mut storage, older);
    is_left_alone(&mut Server::new(3, config()), &mut storage);
    assert!(matches!(
        server.ask(&mut storage, crate::account::ConnectionId(99), select()),
        AccountReply::Selected { .. }
    ));
}
