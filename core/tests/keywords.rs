//! Keywords of a mailbox are counted anew when a checkpoint of its log is read: messages keep
//! theirs.

mod world;

use core::time::Duration;
use restante_core::account::ConnectionId;
use restante_core::config::Config;
use world::{MAIL, World};

/// A client on one server with INBOX selected, which holds two messages with `$kept`. On another
/// server the first of them was expunged since, and the log written anew: a server that reads
/// it again counts keywords in another way.
fn behind_a_log_that_was_shortened() -> (World, ConnectionId) {
    let config = Config {
        shared_storage: true,
        checkpoint_operations_min: 8,
        log_grace: Duration::from_secs(60),
        ..Config::default()
    };
    let mut first = World::with_config(22, config.clone());
    let mut second = World::with_config(22, config);
    // Two servers draw other numbers.
    second.log_in();
    let phone = first.log_in();
    let flagged = |world: &mut World, id, flag: &str| {
        let append = format!("p APPEND INBOX ({flag}) {{{}+}}\r\n{MAIL}\r\n", MAIL.len());
        assert!(world.say(id, append.as_bytes()).contains("p OK"));
    };
    flagged(&mut first, phone, "$old \\Deleted");
    flagged(&mut first, phone, "$kept");
    flagged(&mut first, phone, "$kept");
    first.say(phone, b"s SELECT INBOX\r\nx EXPUNGE\r\nu UNSELECT\r\n");
    let select = first.say(phone, b"s SELECT INBOX (CONDSTORE)\r\n");
    assert!(select.contains("* 2 EXISTS"), "{select}");
    second.store = core::mem::take(&mut first.store);
    second.restart();
    let alice = second.log_in();
    second.say(
        alice,
        b"s SELECT INBOX\r\ns STORE 1 +FLAGS (\\Deleted)\r\nx EXPUNGE\r\n",
    );
    for _ in 0..6 {
        for _ in 0..8 {
            flagged(&mut second, alice, "$new");
        }
        second.wait_s(61);
        first.wait_s(61);
    }
    first.store = core::mem::take(&mut second.store);
    (first, phone)
}

#[test]
fn a_message_that_is_gone_keeps_its_keywords_until_that_is_told() {
    let (mut world, phone) = behind_a_log_that_was_shortened();
    let alice = world.log_in();
    let select = world.say(alice, b"s SELECT INBOX\r\n");
    assert!(
        select.contains("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $kept $new)"),
        "{select}"
    );
    let answer = world.say(phone, b"f FETCH 1:2 FLAGS\r\n");
    let told = "* 1 FETCH (FLAGS ($kept))\r\n* 2 FETCH (FLAGS ($kept))\r\n";
    assert!(answer.starts_with(told), "{answer}");
    let answer = world.say(
        phone,
        b"q SEARCH KEYWORD $kept\r\nq SEARCH 1:2 KEYWORD $new\r\n",
    );
    assert!(answer.starts_with("* SEARCH 1 2\r\nq OK"), "{answer}");
    assert!(answer.contains("* SEARCH\r\nq OK"), "{answer}");
}

#[test]
fn a_silent_store_is_silent_though_keywords_are_counted_anew() {
    let (mut world, phone) = behind_a_log_that_was_shortened();
    for store in ["+FLAGS.SILENT (\\Seen)", "-FLAGS.SILENT (\\Seen $gone)"] {
        let command = format!("t UID STORE 3 (UNCHANGEDSINCE 999999999) {store}\r\n");
        let answer = world.say(phone, command.as_bytes());
        assert!(answer.contains("(UID 3 MODSEQ ("), "{answer}");
        assert!(!answer.contains("(UID 3 FLAGS ("), "{answer}");
    }
}
