//! Storage and directory that fail.

use crate::world::World;
use crate::{begin, codes, count, data, greeted, messages, with_head};
use restante_core::config::Config;
use restante_core::storage::{StorageError, StorageRequest, StorageResponse};

const MAIL: &[u8] = b"a: b\r\n\r\nsome text\r\n.\r\n";

fn small() -> World {
    let config = Config {
        chunk_bytes: 8,
        ..Config::default()
    };
    World::with_config(1, config)
}

#[test]
fn storage_that_fails_is_never_250() {
    for kind in ["CreateObject", "WriteChunk", "FinishObject", "InsertItems"] {
        for (error, expected) in [
            (StorageError::Unavailable("gone".to_owned()), "451 4.3.0"),
            (StorageError::Refused("no".to_owned()), "451 4.3.0"),
            (StorageError::Full, "452 4.3.1"),
        ] {
            let mut world = small();
            let id = greeted(&mut world);
            begin(&mut world, id, &["alice", "bob"]);
            world.store.failing.insert(kind, error);
            let mut answer = data(&mut world, id, MAIL);
            world.wait_s(60);
            answer += &world.read(id);
            assert_eq!(codes(&answer), [expected; 2], "{kind}");
            assert_eq!(world.post.taken(), 0, "{kind}");
            world.store.failing.clear();
            assert_eq!(count(&mut world), 0, "{kind}");
            // The connection goes on, and the next message comes.
            begin(&mut world, id, &["alice"]);
            assert_eq!(codes(&data(&mut world, id, MAIL)), ["250 2.0.0"], "{kind}");
            assert_eq!(count(&mut world), 1, "{kind}");
        }
    }
}

#[test]
fn one_recipient_that_fails_does_not_keep_it_from_the_others() {
    for kind in ["create", "insert"] {
        let mut world = small();
        let bob = crate::world::keys_of("bob").account().to_string();
        world.store.liar = Some(Box::new(move |request, honest| {
            let failed = match request {
                StorageRequest::CreateObject { key } => kind == "create" && key.0.contains(&bob),
                StorageRequest::InsertItems(items) => {
                    kind == "insert" && items.iter().any(|it| it.key.partition.0.contains(&bob))
                }
                _ => false,
            };
            match failed {
                true => StorageResponse::Failed(StorageError::Full),
                false => honest,
            }
        }));
        let id = greeted(&mut world);
        begin(&mut world, id, &["bob", "alice", "nokey", "carol", "bob"]);
        let answer = data(&mut world, id, MAIL);
        let expected = [
            "452 4.3.1",
            "250 2.0.0",
            "451 4.3.5",
            "250 2.0.0",
            "452 4.3.1",
        ];
        assert_eq!(codes(&answer), expected, "{kind}");
        world.store.liar = None;
        let expected = with_head("alice", b"a: b\r\n\r\nsome text\r\n");
        assert_eq!(messages(&mut world), [expected]);
    }
}

#[test]
fn an_insert_whose_answer_is_lost_is_made_again_and_the_message_is_there_once() {
    let mut world = small();
    let id = greeted(&mut world);
    let mut lost = 0;
    world.store.liar = Some(Box::new(move |request, honest| {
        if matches!(request, StorageRequest::InsertItems(_)) && lost < 2 {
            lost += 1;
            return StorageResponse::Failed(StorageError::Unavailable("lost".to_owned()));
        }
        honest
    }));
    begin(&mut world, id, &["alice"]);
    assert_eq!(data(&mut world, id, MAIL), "");
    world.wait_s(1);
    assert_eq!(codes(&world.read(id)), ["250 2.0.0"]);
    world.store.liar = None;
    assert_eq!(count(&mut world), 1);
}

#[test]
fn whoever_leaves_half_way_leaves_nothing() {
    for octets in [
        &b"DATA\r\nabc"[..],
        b"DATA\r\nabc\r\n.\r",
        b"BDAT 5\r\nabc",
        b"BDAT 3\r\nabc",
    ] {
        let mut world = small();
        let id = greeted(&mut world);
        begin(&mut world, id, &["alice", "bob"]);
        world.say(id, octets);
        world.end_input(id);
        assert!(world.is_closed(id));
        assert_eq!(world.post.taken(), 0);
        assert_eq!(world.store.objects.len(), 0);
        assert_eq!(count(&mut world), 0);
    }
    // But whose message had come is answered, if only for whoever still listens.
    let mut world = small();
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice"]);
    let failing = StorageError::Unavailable("for now".to_owned());
    world.store.failing.insert("InsertItems", failing);
    assert_eq!(data(&mut world, id, MAIL), "");
    world.end_input(id);
    world.store.failing.clear();
    world.wait_s(1);
    assert_eq!(codes(&world.read(id)), ["250 2.0.0"]);
    assert!(world.is_closed(id));
    assert_eq!(count(&mut world), 1);
}

#[test]
fn a_directory_that_does_not_answer() {
    let mut world = small();
    let id = greeted(&mut world);
    begin(&mut world, id, &[]);
    world.post.silent = true;
    assert_eq!(world.say(id, b"RCPT TO:<alice>\r\n"), "");
    world.wait_s(31);
    assert_eq!(codes(&world.read(id)), ["451 4.3.0"]);
    world.post.silent = false;
    let answer = world.say(id, b"RCPT TO:<alice>\r\n");
    assert_eq!(codes(&answer), ["250 2.1.5"]);
}

#[test]
fn a_message_waits_for_its_turn_but_not_for_ever() {
    let mut world = small();
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice", "bob"]);
    assert_eq!(codes(&world.say(id, b"DATA\r\n")), ["354 End t"]);
    // Those before it cannot be stored, and do not end.
    world.post.silent = true;
    assert_eq!(world.say(id, MAIL), "");
    world.wait_s(119);
    assert_eq!(world.read(id), "");
    world.wait_s(2);
    assert_eq!(codes(&world.read(id)), ["451 4.3.0"; 2]);
    world.post.silent = false;
    assert_eq!(
        count(&mut world),
        0,
        "it does not come when the client has gone"
    );
    begin(&mut world, id, &["alice"]);
    assert_eq!(codes(&data(&mut world, id, MAIL)), ["250 2.0.0"]);
    assert_eq!(count(&mut world), 1);
}

#[test]
fn messages_wait_for_room_but_not_for_ever() {
    let mut world = small();
    world.post.room = 2;
    let (first, second) = (greeted(&mut world), greeted(&mut world));
    begin(&mut world, first, &["alice", "bob"]);
    begin(&mut world, second, &["alice"]);
    assert_eq!(codes(&world.say(first, b"DATA\r\n")), ["354 End t"]);
    assert_eq!(world.say(second, b"DATA\r\n"), "");
    assert_eq!(codes(&world.say(first, MAIL)), ["250 2.0.0"; 2]);
    assert_eq!(codes(&world.read(second)), ["354 End t"]);
    assert_eq!(codes(&world.say(second, MAIL)), ["250 2.0.0"]);

    begin(&mut world, first, &["alice", "bob"]);
    begin(&mut world, second, &["alice"]);
    assert_eq!(codes(&world.say(first, b"BDAT 1\r\nx")), ["250 2.0.0"]);
    world.say(second, b"DATA\r\n");
    world.wait_s(31);
    assert_eq!(codes(&world.read(second)), ["451 4.3.2"]);
    let answer = world.say(second, b"BDAT 3\r\nabcBDAT 0 LAST\r\nNOOP\r\n");
    assert_eq!(answer, "");
    world.wait_s(31);
    let expected = ["451 4.3.2", "451 4.3.2", "250 2.0.0"];
    assert_eq!(codes(&world.read(second)), expected);
    let answer = world.say(first, b"BDAT 0 LAST\r\n");
    assert_eq!(codes(&answer), ["250 2.0.0"; 2]);
    assert_eq!(world.post.taken(), 0);
    assert_eq!(count(&mut world), 3);
}
