//! A command that computes for long lets others have a turn, and is answered all the same.

mod world;

use restante_core::account::ConnectionId;
use world::{World, append};

/// A mailbox with `count` copies of one message that has a long header.
fn mailbox(count: usize) -> (World, ConnectionId) {
    let mut world = World::new(31);
    let alice = world.log_in();
    let header = "X-Filler: some words that are in nobody's way\r\n".repeat(200);
    append(
        &mut world,
        alice,
        &format!("{header}Subject: hello\r\n\r\nBody\r\n"),
    );
    world.say(alice, b"s SELECT INBOX\r\n");
    for _ in 1..count {
        world.say(alice, b"c COPY 1 INBOX\r\n");
    }
    (world, alice)
}

/// How many turns `command` takes, besides those in which storage answers, and what it is answered.
fn turns(world: &mut World, client: ConnectionId, command: &str) -> (u64, String) {
    let before = world.turns;
    let answer = world.say(client, format!("f {command}\r\n").as_bytes());
    assert!(answer.contains("f OK"), "{answer:.200}");
    (world.turns - before, answer)
}

#[test]
fn a_search_of_the_index_by_many_keys_pauses() {
    let (mut world, alice) = mailbox(100);
    let (few, answer) = turns(&mut world, alice, "SEARCH LARGER 10");
    assert!(
        few == 1 && answer.contains(" 99 100\r\n"),
        "{few}, {answer}"
    );
    let keys = "SMALLER 1000000 ".repeat(900);
    let (many, answer) = turns(&mut world, alice, &format!("SEARCH {keys}LARGER 10"));
    assert!(
        many >= 3 && answer.contains(" 99 100\r\n"),
        "{many}, {answer}"
    );
}

#[test]
fn a_search_of_many_headers_pauses() {
    let (mut world, alice) = mailbox(100);
    let (many, answer) = turns(&mut world, alice, "SEARCH HEADER X-None x");
    assert!(
        many >= 3 && answer.contains("* SEARCH\r\n"),
        "{many}, {answer}"
    );
}

#[test]
fn a_fetch_of_many_fields_of_long_headers_pauses() {
    let (mut world, alice) = mailbox(4);
    let (few, _) = turns(
        &mut world,
        alice,
        "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)",
    );
    assert!(few <= 2, "{few}");
    // The same one is told of once.
    let item = |n| format!("BODY.PEEK[HEADER.FIELDS (SUBJECT X-{n})]");
    let items: Vec<String> = (0..100).map(item).collect();
    let (many, answer) = turns(
        &mut world,
        alice,
        &format!("FETCH 1:* ({})", items.join(" ")),
    );
    assert!(many >= 10, "{many}");
    let fields = " {18}\r\nSubject: hello\r\n\r\n";
    assert_eq!(answer.matches(fields).count(), 400, "{answer:.300}");
}

#[test]
fn a_search_of_one_header_by_many_keys_pauses() {
    let (mut world, alice) = mailbox(1);
    let (few, _) = turns(&mut world, alice, "SEARCH HEADER X-Filler way");
    assert!(few <= 2, "{few}");
    let keys = "NOT HEADER X-Filler z ".repeat(450);
    let (many, answer) = turns(&mut world, alice, &format!("SEARCH {keys}ALL"));
    assert!(
        many >= 10 && answer.contains("* SEARCH 1\r\n"),
        "{many}, {answer}"
    );
}

/// A key that asks for `count` words not to be there all.
fn words(count: usize) -> String {
    let keys: Vec<String> = (0..count).map(|n| format!("TEXT zz{n}")).collect();
    format!("NOT ({})", keys.join(" "))
}

#[test]
fn a_search_of_text_for_many_words_pauses_as_often_as_there_are_words() {
    let (mut world, alice) = mailbox(1);
    let body = "No word of it is looked for.\r\n".repeat(64 * 1024 / 30);
    append(&mut world, alice, &format!("Subject: long\r\n\r\n{body}"));
    // The header of the first, the body of the second.
    for (message, least) in [(1, 10), (2, 80)] {
        let of = |count| format!("SEARCH {message} {}", words(count));
        let (few, _) = turns(&mut world, alice, &of(1));
        assert!(few <= 3, "{message}: {few}");
        let (many, answer) = turns(&mut world, alice, &of(500));
        assert!(
            many >= least && answer.contains(&format!("* SEARCH {message}\r\n")),
            "{message}: {many}, {answer}"
        );
    }
}

#[test]
fn a_list_by_long_patterns_pauses() {
    let mut world = World::new(32);
    let alice = world.log_in();
    let level = "some-long-name-".repeat(6);
    for number in 0..50 {
        let name = format!("{level}/{level}/{number}");
        world.say(alice, format!("c CREATE {name}\r\n").as_bytes());
    }
    let (few, answer) = turns(&mut world, alice, "LIST \"\" *");
    assert!(few <= 2, "{few}");
    let lines = answer.lines().count();
    let pattern = format!("*{}", "-%".repeat(230));
    let patterns = vec![pattern.as_str(); 31].join(" ");
    let (many, answer) = turns(&mut world, alice, &format!("LIST \"\" ({patterns} *)"));
    assert!(many >= 40, "{many}");
    assert_eq!(answer.lines().count(), lines, "{answer}");
}
