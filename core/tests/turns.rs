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

#[test]
fn messages_that_vanished_and_are_not_asked_for_pause() {
    let (mut world, alice, other, selected) = many();
    let modseq = code(&selected, "[HIGHESTMODSEQ ");
    append(&mut world, other, "Subject: stays\r\n\r\nBody\r\n");
    world.say(
        other,
        b"d STORE 1:32768 +FLAGS.SILENT (\\Deleted)\r\nx EXPUNGE\r\n",
    );
    world.say(alice, b"n NOOP\r\n");
    let command = format!("UID FETCH 40000 (FLAGS) (CHANGEDSINCE {modseq} VANISHED)");
    let (turns_taken, answer) = turns(&mut world, alice, &command);
    assert!(turns_taken >= 3, "{turns_taken}");
    assert_eq!(answer, "f OK Fetched\r\n");
}

/// INBOX with 32,768 messages, selected by the first of two clients, and what it was told of them.
fn many() -> (World, ConnectionId, ConnectionId, String) {
    let mut world = World::new(33);
    let (alice, other) = (world.log_in(), world.log_in());
    append(&mut world, other, "Subject: hello\r\n\r\nBody\r\n");
    world.say(other, b"s SELECT INBOX\r\n");
    for _ in 0..15 {
        world.say(other, b"c COPY 1:* INBOX\r\n");
    }
    world.say(alice, b"e ENABLE QRESYNC\r\n");
    let selected = world.say(alice, b"s SELECT INBOX\r\n");
    assert!(selected.contains("* 32768 EXISTS\r\n"), "{selected:.300}");
    (world, alice, other, selected)
}

/// The number behind `word` in a response code.
fn code<'a>(said: &'a str, word: &str) -> &'a str {
    let (_, behind) = said.split_once(word).expect("the code is there");
    behind.split(']').next().expect("it has an end").trim()
}

#[test]
fn a_client_that_comes_back_to_many_messages_and_asks_for_changes_pauses() {
    let (mut world, alice, _, selected) = many();
    let modseq = code(&selected, "[HIGHESTMODSEQ ");
    let changed = format!("FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})");
    let (turns_taken, answer) = turns(&mut world, alice, &changed);
    assert!(turns_taken >= 3, "{turns_taken}");
    assert_eq!(answer, "f OK Fetched\r\n");
    let known = format!("(QRESYNC ({} {modseq}))", code(&selected, "[UIDVALIDITY "));
    world.say(alice, b"u UNSELECT\r\n");
    let (turns_taken, answer) = turns(&mut world, alice, &format!("SELECT INBOX {known}"));
    assert!(turns_taken >= 3, "{turns_taken}");
    assert!(!answer.contains(" FETCH ("), "{answer:.300}");
}

/// Each activity of a connection that runs a body gives it its next turn: a command, IDLE, APPEND.
/// After a sleep, flags of all messages are compared.
#[test]
fn news_of_many_messages_pause_whatever_the_client_does() {
    let (mut world, alice, other, _) = many();
    for (word, done) in [
        ("n NOOP\r\n".to_owned(), "n OK"),
        ("i IDLE\r\n".to_owned(), " EXISTS\r\n"),
        ("p APPEND INBOX {1+}\r\nx\r\n".to_owned(), "p OK"),
    ] {
        assert_eq!(world.say(alice, b"i IDLE\r\n"), "+ idling\r\n");
        world.wait_s(6);
        assert!(
            world
                .say(alice, b"DONE\r\n")
                .ends_with("i OK IDLE is over\r\n")
        );
        append(&mut world, other, "Subject: new\r\n\r\nBody\r\n");
        let before = world.turns;
        let answer = world.say(alice, word.as_bytes());
        assert!(answer.contains(done), "{word}: {answer:.300}");
        let turns_taken = world.turns - before;
        assert!(turns_taken >= 2, "{word}: {turns_taken}");
        if word.starts_with('i') {
            let answer = world.say(alice, b"DONE\r\n");
            assert_eq!(answer, "i OK IDLE is over\r\n");
        }
    }
}
