//! Storage that does not answer in the middle of a FETCH or SEARCH: how often it is asked again, and when that ends.

mod world;

use restante_core::account::ConnectionId;
use restante_core::boundary::Event;
use restante_core::config::Config;
use restante_core::storage::{StorageError, StorageRequest, StorageResponse};
use world::{MAIL, World, append, noise};

/// INBOX with so many copies of a message, selected.
fn copies(seed: u8, mail: &str, count: usize) -> (World, ConnectionId) {
    copies_in(World::new(seed), mail, count)
}

fn copies_in(mut world: World, mail: &str, count: usize) -> (World, ConnectionId) {
    let alice = world.log_in();
    append(&mut world, alice, mail);
    world.say(alice, b"s SELECT INBOX\r\n");
    for _ in 1..count {
        world.say(alice, b"c COPY 1 INBOX\r\n");
    }
    (world, alice)
}

/// Says a command and waits until it is answered: that, and the seconds.
fn wait_for(world: &mut World, client: ConnectionId, command: &str) -> (String, u64) {
    let mut answer = world.say(client, format!("f {command}\r\n").as_bytes());
    let mut seconds = 0;
    while !answer.starts_with("f ") && !answer.contains("\r\nf ") && seconds < 600 {
        world.wait_s(1);
        seconds += 1;
        answer += &world.read(client);
    }
    (answer, seconds)
}

fn unavailable() -> StorageError {
    StorageError::Unavailable("down".to_owned())
}

fn failures(world: &World) -> usize {
    let failed = |event: &&Event| matches!(event, Event::StorageFailed { .. });
    world.events.iter().filter(failed).count()
}

#[test]
fn storage_that_is_away_is_asked_again_after_a_rest_but_not_for_each_message() {
    for command in ["FETCH 1:* BODY.PEEK[]", "SEARCH TEXT nowhere"] {
        let (mut world, alice) = copies(31, MAIL, 200);
        world.store.failing.insert("OpenObject", unavailable());
        let (opens, logged) = (world.store.count("OpenObject"), failures(&world));
        let (answer, seconds) = wait_for(&mut world, alice, command);
        assert!(
            answer.contains("f NO [UNAVAILABLE]"),
            "{command}: {answer:.300}"
        );
        assert!(
            (1..=3).contains(&seconds),
            "{command}: {seconds}, longer than the breaker's pause"
        );
        let opens = world.store.count("OpenObject") - opens;
        assert!(
            (204..=205).contains(&opens),
            "{command}: {opens} attempts for 200 messages"
        );
        // The first one, and how many they were.
        assert_eq!(failures(&world) - logged, 2, "{command}");
        let last = format!("{:?}", world.events.iter().rev().nth(1));
        assert!(last.contains("200 times"), "{last}");
    }
}

/// A message that is sent piece by piece to a client that has read only the beginning.
fn half_read(seed: u8) -> (World, ConnectionId, String, String) {
    let mail = format!("Subject: large\r\n\r\n{}", noise(60_000));
    let (mut world, alice) = copies(seed, &mail, 1);
    world.set_window(alice, 200_000);
    let begun = world.say(alice, b"f FETCH 1 BODY.PEEK[]\r\n");
    (world, alice, mail, begun)
}

#[test]
fn a_message_that_is_being_sent_goes_on_when_storage_is_back_after_a_second() {
    let (mut world, alice, mail, mut told) = half_read(32);
    for kind in ["ReadChunk", "OpenObject"] {
        world.store.failing.insert(kind, unavailable());
    }
    world.set_window(alice, usize::MAX);
    for _ in 0..10 {
        // The rest is none the shorter for what comes meanwhile.
        told += &world.read(alice);
        told += &world.say(alice, b"n NOOP\r\n");
    }
    world.wait_s(1);
    assert!(!world.is_closed(alice));
    world.store.failing.clear();
    world.wait_s(2);
    told += &world.read(alice);
    assert!(told.contains(&mail), "{} octets", told.len());
    let (_, end) = told.split_once("\r\nf OK").expect("it is answered");
    assert_eq!(end.matches("n OK").count(), 10);
}

#[test]
fn a_message_may_be_interrupted_as_often_as_it_goes_on() {
    let mail = format!("Subject: large\r\n\r\n{}", noise(60_000));
    let (mut world, alice) = copies(33, &mail, 1);
    world.store.failing.insert("ReadChunk", unavailable());
    let (answer, seconds) = wait_for(&mut world, alice, "FETCH 1 BODY.PEEK[]");
    assert!(answer.contains(&mail), "{} octets", answer.len());
    assert!(answer.ends_with("f OK Fetched\r\n"));
    assert!((1..=5).contains(&seconds), "{seconds}");
}

#[test]
fn a_command_does_not_rest_for_ever() {
    let (mut world, alice) = copies(34, MAIL, 200);
    // Each message comes when it is asked for the fourth time.
    let mut asked = 0;
    world.store.liar = Some(Box::new(move |request, honest| {
        if matches!(request, StorageRequest::OpenObject { .. }) {
            asked += 1;
            if asked % 4 > 0 {
                return StorageResponse::Failed(unavailable());
            }
        }
        honest
    }));
    let (answer, seconds) = wait_for(&mut world, alice, "FETCH 1:* BODY.PEEK[]");
    assert!(answer.contains("f NO [UNAVAILABLE]"), "{answer:.300}");
    assert!((30..=70).contains(&seconds), "{seconds}");
}

#[test]
fn to_store_that_mail_was_read_is_given_up_for_the_rest_of_a_command() {
    let mail = format!(
        "Subject: large\r\n\r\n{}",
        "0123456789abcde\r\n".repeat(20_000)
    );
    let (mut world, alice) = copies(35, &mail, 20);
    world.store.failing.insert("InsertItems", unavailable());
    let before = world.store.count("InsertItems");
    let (answer, seconds) = wait_for(&mut world, alice, "FETCH 1:* (FLAGS BODY[])");
    assert_eq!(answer.matches(" FETCH (").count(), 20);
    assert!(answer.ends_with("f OK Fetched, but \\Seen could not be stored\r\n"));
    let inserts = world.store.count("InsertItems") - before;
    assert!(inserts <= 8 && seconds <= 3, "{inserts} in {seconds} s");
}

#[test]
fn summaries_that_do_not_come_are_asked_for_again_and_else_read_from_the_messages() {
    const MESSAGES: u64 = 300;
    let mut world = World::new(36);
    let alice = world.log_in();
    for number in 0..MESSAGES {
        append(
            &mut world,
            alice,
            &format!("Subject: {number}\r\n\r\n{MAIL}"),
        );
    }
    world.say(alice, b"s SELECT INBOX\r\n");
    // Of the first batch, the first request, and that and the second one.
    for (fail, opens_max) in [(1, 0), (2, 2 * 128)] {
        let mut left = fail;
        world.store.liar = Some(Box::new(move |request, honest| {
            if left > 0 && matches!(request, StorageRequest::ReadItems(keys) if keys.len() == 128) {
                left -= 1;
                return StorageResponse::Failed(unavailable());
            }
            honest
        }));
        let before = world.store.count("OpenObject");
        let (answer, _) = wait_for(&mut world, alice, "FETCH 1:* ENVELOPE");
        for number in 0..MESSAGES {
            let envelope = format!("(ENVELOPE (NIL \"{number}\" ");
            assert!(answer.contains(&envelope), "{fail}: {number}");
        }
        assert!(answer.ends_with("f OK Fetched\r\n"), "{fail}");
        let opens = world.store.count("OpenObject") - before;
        assert!(opens <= opens_max, "{fail}: {opens}");
    }
}

/// Each of them is read by itself where the header is longer than the first chunk of the message.
#[test]
fn summaries_that_are_read_one_by_one_rest_no_longer_together() {
    const MESSAGES: usize = 700;
    let config = Config {
        chunk_bytes: 64,
        ..Config::default()
    };
    let mail = format!("Subject: {}\r\n\r\ntext\r\n", "long ".repeat(20));
    let (mut world, alice) = copies_in(World::with_config(38, config), &mail, MESSAGES);
    world.store.liar = Some(Box::new(|request, honest| match request {
        StorageRequest::ReadItems(_) => StorageResponse::Failed(unavailable()),
        _ => honest,
    }));
    let (answer, seconds) = wait_for(&mut world, alice, "FETCH 1:* (ENVELOPE BODY.PEEK[])");
    assert!(answer.ends_with("f OK Fetched\r\n"), "{answer:.300}");
    assert_eq!(answer.matches("(ENVELOPE (NIL \"long").count(), MESSAGES);
    assert!(seconds <= 61, "{seconds}");
    let of_summaries = |event: &&Event| {
        matches!(
            event,
            Event::StorageFailed {
                step: "read summaries",
                ..
            }
        )
    };
    assert_eq!(world.events.iter().filter(of_summaries).count(), 1);
}
