//! Clients in IDLE whose mailbox is not kept at hand: they are told everything all the same.

mod world;

use restante_core::account::ConnectionId;
use restante_core::config::Config;
use restante_core::random::{Random, Seed};
use restante_core::storage::StorageError;
use std::time::Duration;
use world::World;

const MAIL: &str = "Subject: hello\r\n\r\nThe lighthouse keeps its light.\r\n";

fn say(world: &mut World, id: ConnectionId, command: &str) -> String {
    world.say(id, format!("{command}\r\n").as_bytes())
}

/// Waits in IDLE until it sleeps; where it is to be `dormant`, so does the account.
fn fall_asleep(world: &mut World, id: ConnectionId, mailbox: &str, dormant: bool) {
    say(world, id, &format!("s SELECT {mailbox}"));
    say(world, id, "i IDLE");
    world.wait_s(6);
    if dormant {
        assert!(world.rest_account());
    }
}

fn append(world: &mut World, id: ConnectionId, count: usize) {
    for _ in 0..count {
        let command = format!("p APPEND INBOX {{{}+}}\r\n{MAIL}", MAIL.len());
        let answer = say(world, id, &command);
        assert!(answer.contains("p OK"), "{answer}");
    }
}

/// A world with two clients of alice: one that works, and a phone that has been in IDLE on
/// INBOX, with `count` messages, for so long that the account's machine was ended.
fn asleep(seed: u8, count: usize) -> (World, ConnectionId, ConnectionId) {
    let mut world = World::new(seed);
    let (alice, phone) = (world.log_in(), world.log_in());
    append(&mut world, alice, count);
    say(&mut world, phone, "s SELECT INBOX");
    assert_eq!(say(&mut world, phone, "i IDLE"), "+ idling\r\n");
    assert!(!world.rest_account(), "the phone is awake");
    world.wait_s(6);
    assert!(world.rest_account(), "the phone sleeps");
    assert_eq!(world.read(phone), "");
    (world, alice, phone)
}

/// Has another client change INBOX, and lets go of it again.
fn change(world: &mut World, alice: ConnectionId, commands: &[&str]) {
    say(world, alice, "s SELECT INBOX");
    for command in commands {
        let answer = say(world, alice, command);
        assert!(answer.contains(" OK "), "{command}: {answer}");
    }
    say(world, alice, "u UNSELECT");
}

#[test]
fn who_sleeps_is_told_of_what_comes() {
    let (mut world, alice, phone) = asleep(1, 3);
    append(&mut world, alice, 1);
    assert_eq!(world.read(phone), "* 4 EXISTS\r\n* 4 RECENT\r\n");
    world.wait_s(6);
    assert!(world.rest_account(), "the phone sleeps again");
    change(
        &mut world,
        alice,
        &[
            "a STORE 2 +FLAGS (\\Deleted)",
            "a STORE 3 +FLAGS (new)",
            "a EXPUNGE",
        ],
    );
    let told = world.read(phone);
    assert!(
        told.contains("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft new)\r\n"),
        "{told}"
    );
    assert!(told.contains("* 2 EXPUNGE\r\n"), "{told}");
    assert!(told.contains("(UID 3 FLAGS (new \\Recent))\r\n"), "{told}");
    assert_eq!(say(&mut world, phone, "DONE"), "i OK IDLE is over\r\n");
    let answer = say(&mut world, phone, "f FETCH 1:* (UID)");
    assert!(
        answer.starts_with("* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 3)\r\n* 3 FETCH (UID 4)\r\n"),
        "{answer}"
    );
}

#[test]
fn to_leave_idle_and_to_enter_it_wakes_nobody() {
    let (mut world, _, phone) = asleep(2, 3);
    let before = world.store.count_all();
    for _ in 0..10 {
        assert_eq!(say(&mut world, phone, "DONE"), "i OK IDLE is over\r\n");
        say(&mut world, phone, "c CAPABILITY");
        assert_eq!(say(&mut world, phone, "i IDLE"), "+ idling\r\n");
        world.wait_s(2);
    }
    assert_eq!(world.store.count_all(), before);
}

#[test]
fn commands_find_what_they_are_about() {
    for (seed, command, expected) in [
        (10, "x NOOP", "x OK "),
        (11, "x FETCH 2 (UID)", "* 2 FETCH (UID 2)\r\nx OK "),
        (12, "x UID FETCH 3 (FLAGS)", "* 3 FETCH (UID 3 FLAGS ("),
        (13, "x SEARCH ALL", "* SEARCH 1 2 3\r\nx OK "),
        (
            14,
            "x STORE 1 +FLAGS (\\Flagged)",
            "* 1 FETCH (UID 1 FLAGS (\\Flagged",
        ),
        (15, "x COPY 1:2 Archive", "x OK [COPYUID "),
        (
            16,
            "x STATUS INBOX (MESSAGES)",
            "* STATUS \"INBOX\" (MESSAGES 3)\r\nx OK ",
        ),
        (17, "x SELECT Archive", "* OK [CLOSED]"),
        (18, "x CLOSE", "x OK "),
        (19, "x UNSELECT", "x OK "),
        (20, "x EXPUNGE", "x OK "),
        (
            21,
            "x ENABLE CONDSTORE",
            "* ENABLED CONDSTORE\r\n* OK [HIGHESTMODSEQ ",
        ),
        (22, "x LIST \"\" INBOX", "* LIST ("),
    ] {
        let (mut world, _, phone) = asleep(seed, 3);
        say(&mut world, phone, "DONE");
        let answer = say(&mut world, phone, command);
        assert!(answer.starts_with(expected), "{command}: {answer}");
        assert!(answer.contains("x OK "), "{command}: {answer}");
    }
}

#[test]
fn messages_that_are_gone_keep_their_numbers_until_the_client_is_told() {
    let (mut world, alice, phone) = asleep(3, 5);
    say(&mut world, phone, "DONE");
    // It is not in IDLE: it cannot be told.
    change(
        &mut world,
        alice,
        &["a STORE 2,4 +FLAGS (\\Deleted)", "a EXPUNGE"],
    );
    assert_eq!(world.read(phone), "");
    world.wait_s(60);
    assert!(
        world.rest_account(),
        "nobody needs the machine to remember that"
    );
    let answer = say(&mut world, phone, "f FETCH 1:* (UID)");
    assert_eq!(
        answer,
        "* 1 FETCH (UID 1)\r\n* 3 FETCH (UID 3)\r\n* 5 FETCH (UID 5)\r\nf OK [EXPUNGEISSUED] Fetched\r\n"
    );
    assert!(say(&mut world, phone, "q SEARCH ALL").starts_with("* SEARCH 1 3 5\r\n"));
    let answer = say(&mut world, phone, "s STORE 1:3 +FLAGS (\\Flagged)");
    assert!(
        answer.contains("* 3 FETCH (UID 3 ") && !answer.contains("* 2 FETCH"),
        "{answer}"
    );
    let answer = say(&mut world, phone, "n NOOP");
    assert!(
        answer.starts_with("* 4 EXPUNGE\r\n* 2 EXPUNGE\r\n"),
        "{answer}"
    );
    assert!(say(&mut world, phone, "f FETCH 2 (UID)").starts_with("* 2 FETCH (UID 3)"));
}

#[test]
fn a_machine_is_needed_until_all_is_committed() {
    let (mut world, alice, _) = asleep(8, 1);
    world.hold_account();
    let command = format!("p APPEND INBOX {{{}+}}\r\n{MAIL}", MAIL.len());
    let mut answer = say(&mut world, alice, &command);
    let mut steps = 0;
    while answer.is_empty() {
        assert!(!world.rest_account(), "step {steps}");
        assert!(world.release());
        answer = world.read(alice);
        steps += 1;
    }
    assert!(answer.starts_with("p OK"), "{answer}");
    assert!(steps > 2, "{steps}");
}

#[test]
fn a_mailbox_that_cannot_be_read_is_told_later() {
    let (mut world, alice, phone) = asleep(4, 2);
    append(&mut world, alice, 1);
    world.read(phone);
    world.wait_s(30);
    assert!(world.rest_account());
    let down = StorageError::Unavailable("down".to_owned());
    world.store.failing.insert("ReadRange", down);
    say(&mut world, phone, "DONE");
    let answer = say(&mut world, phone, "n NOOP");
    world.wait_s(10);
    let answer = answer + &world.read(phone);
    assert_eq!(answer, "n OK Nothing was done\r\n", "NOOP cannot fail");
    let answer = say(&mut world, phone, "f FETCH 1 (UID)");
    world.wait_s(10);
    let answer = answer + &world.read(phone);
    assert!(answer.starts_with("f NO [UNAVAILABLE]"), "{answer}");
    say(&mut world, phone, "i IDLE");
    world.store.failing.clear();
    append(&mut world, alice, 1);
    world.wait_s(10);
    assert!(world.read(phone).contains("* 4 EXISTS\r\n"));
}

#[test]
fn a_mailbox_that_is_deleted_ends_the_connection() {
    for dormant in [false, true] {
        let mut world = World::new(5);
        let (alice, phone) = (world.log_in(), world.log_in());
        say(&mut world, alice, "c CREATE Lists");
        fall_asleep(&mut world, phone, "Lists", dormant);
        say(&mut world, alice, "d DELETE Lists");
        assert_eq!(
            world.read(phone),
            "* BYE The selected mailbox was deleted\r\n"
        );
        assert!(world.is_closed(phone));
    }
}

#[test]
fn who_sleeps_may_delete_its_own_mailbox() {
    for dormant in [false, true] {
        let mut world = World::new(9);
        let phone = world.log_in();
        say(&mut world, phone, "c CREATE Lists");
        fall_asleep(&mut world, phone, "Lists", dormant);
        let answer = say(&mut world, phone, "DONE\r\nd DELETE Lists");
        assert_eq!(answer, "i OK IDLE is over\r\nd OK Deleted\r\n");
        assert_eq!(
            say(&mut world, phone, "n NOOP"),
            "n OK Nothing was done\r\n"
        );
        let answer = say(&mut world, phone, "f FETCH 1 FLAGS");
        assert_eq!(answer, "f BAD Select a mailbox first\r\n");
    }
}

#[test]
fn what_was_on_its_way_when_the_client_fell_asleep_is_not_lost() {
    let mut world = World::new(6);
    let (alice, phone) = (world.log_in(), world.log_in());
    say(&mut world, phone, "s SELECT INBOX");
    say(&mut world, phone, "i IDLE");
    world.wait_s(4);
    world.hold_replies();
    let command = format!("p APPEND INBOX {{{}+}}\r\n{MAIL}", MAIL.len());
    say(&mut world, alice, &command);
    world.wait_s(2);
    world.release_replies();
    assert_eq!(world.read(phone), "* 1 EXISTS\r\n* 1 RECENT\r\n");
}

/// RFC 3501 §6.3.11: EXISTS comes with APPEND to the mailbox that is selected.
#[test]
fn who_sleeps_is_told_of_what_it_appends_itself() {
    for dormant in [false, true] {
        let mut world = World::new(21);
        let phone = world.log_in();
        append(&mut world, phone, 1);
        fall_asleep(&mut world, phone, "INBOX", dormant);
        say(&mut world, phone, "DONE");
        let command = format!("{{{}+}}\r\n{MAIL}", MAIL.len());
        let elsewhere = say(&mut world, phone, &format!("p APPEND Drafts {command}"));
        assert!(elsewhere.starts_with("p OK [APPENDUID "), "{elsewhere}");
        let answer = say(&mut world, phone, &format!("p APPEND INBOX {command}"));
        assert!(
            answer.starts_with("* 2 EXISTS\r\n* 2 RECENT\r\np OK [APPENDUID "),
            "{answer}"
        );
        assert_eq!(
            say(&mut world, phone, "f FETCH 2 FLAGS"),
            "* 2 FETCH (FLAGS (\\Recent))\r\nf OK Fetched\r\n"
        );
        // It sleeps again, and is told of what comes.
        say(&mut world, phone, "i IDLE");
        world.wait_s(6);
        assert!(world.rest_account());
        let alice = world.log_in();
        append(&mut world, alice, 1);
        assert_eq!(world.read(phone), "* 3 EXISTS\r\n* 3 RECENT\r\n");
    }
}

#[test]
fn an_append_elsewhere_delays_no_news() {
    let (mut world, alice, phone) = asleep(22, 1);
    say(&mut world, phone, "DONE");
    append(&mut world, alice, 1);
    let command = format!("p APPEND Drafts {{{}+}}\r\n{MAIL}", MAIL.len());
    let answer = say(&mut world, phone, &command);
    assert!(answer.starts_with("p OK [APPENDUID "), "{answer}");
    assert_eq!(
        say(&mut world, phone, "i IDLE"),
        "+ idling\r\n* 2 EXISTS\r\n* 2 RECENT\r\n"
    );
}

/// INBOX with `1 << doublings` messages, and a phone that sleeps in IDLE on it: when it wakes, so
/// many are compared with what it was shown that this takes several turns.
fn asleep_on_many(seed: u8, doublings: u32) -> (World, ConnectionId, ConnectionId) {
    let mut world = World::new(seed);
    let (alice, phone) = (world.log_in(), world.log_in());
    append(&mut world, alice, 1);
    let copies = vec!["c COPY 1:* INBOX"; doublings as usize];
    change(&mut world, alice, &copies);
    fall_asleep(&mut world, phone, "INBOX", false);
    world.read(phone);
    (world, alice, phone)
}

#[test]
fn who_sleeps_on_many_messages_is_told_of_one_more_at_once() {
    let (mut world, alice, phone) = asleep_on_many(23, 16);
    append(&mut world, alice, 1);
    assert_eq!(world.read(phone), "* 65537 EXISTS\r\n* 1 RECENT\r\n");
    assert_eq!(say(&mut world, phone, "DONE"), "i OK IDLE is over\r\n");
}

#[test]
fn who_sleeps_on_many_messages_is_told_of_a_flag_at_once() {
    let (mut world, alice, phone) = asleep_on_many(24, 15);
    let commands = ["x STORE 32768 +FLAGS.SILENT (\\Flagged)"];
    change(&mut world, alice, &commands);
    assert_eq!(
        world.read(phone),
        "* 32768 FETCH (UID 32768 FLAGS (\\Flagged))\r\n"
    );
}

#[test]
fn who_sleeps_on_many_messages_is_answered_what_it_appends() {
    let (mut world, _, phone) = asleep_on_many(25, 16);
    say(&mut world, phone, "DONE");
    let command = format!("p APPEND INBOX {{{}+}}\r\n{MAIL}", MAIL.len());
    let answer = say(&mut world, phone, &command);
    assert!(
        answer.starts_with("* 65537 EXISTS\r\n") && answer.contains("\r\np OK [APPENDUID "),
        "{answer}"
    );
}

/// The same client in two worlds, in one of which it never sleeps, hears the same.
#[test]
fn nobody_can_tell_who_sleeps() {
    for seed in 0..18_u8 {
        let mut worlds =
            [Duration::from_secs(365 * 86_400), Duration::from_secs(1)].map(|sleep_delay| {
                let config = Config {
                    sleep_delay,
                    ..Config::default()
                };
                World::with_config(7, config)
            });
        let told: Vec<_> = worlds
            .iter_mut()
            .map(|world| session(world, seed))
            .collect();
        for (step, (awake, asleep)) in told[0].0.iter().zip(&told[1].0).enumerate() {
            assert_eq!(awake, asleep, "seed {seed}, step {step}");
        }
        assert_eq!(told[0].1, 0);
        assert!(
            told[1].1 > 5,
            "seed {seed}: the machine ended {} times",
            told[1].1
        );
    }
}

/// Which keywords that no message has any more are still listed depends on when the mailbox
/// was read. Which of two sessions a message is `\\Recent` for is not determined (RFC 3501 §2.3.2).
fn determined(heard: String, others_select: bool) -> String {
    if !others_select {
        return heard;
    }
    let lines = heard.split_inclusive('\n');
    let kept = lines.filter(|line| !line.ends_with(" RECENT\r\n"));
    let kept = kept.map(|line| {
        if line.starts_with("* FLAGS (") {
            "* FLAGS\r\n"
        } else {
            line
        }
    });
    let kept: String = kept.collect();
    kept.replace(" \\Recent", "").replace("\\Recent", "")
}

/// What a phone is told, and how often the machine was ended meanwhile.
fn session(world: &mut World, seed: u8) -> (Vec<String>, usize) {
    let mut random = Random::new(Seed::new([seed; 32]));
    let mut below = |limit: u64| u64::from_be_bytes(random.bytes()) % limit;
    let (alice, phone) = (world.log_in(), world.log_in());
    let others_select = !seed.is_multiple_of(3);
    append(world, alice, 4);
    if seed.is_multiple_of(2) {
        let enable = if seed.is_multiple_of(4) {
            "CONDSTORE"
        } else {
            "QRESYNC"
        };
        say(world, phone, &format!("e ENABLE {enable}"));
    }
    say(world, phone, "s SELECT INBOX");
    let (mut told, mut rests, mut idles) = (Vec::new(), 0, false);
    for step in 0..60 {
        for _ in 0..below(3) {
            match below(4) {
                _ if !others_select => append(world, alice, 1),
                0 => append(world, alice, 1),
                kind => {
                    say(world, alice, "s SELECT INBOX");
                    let number = below(6) + 1;
                    let command = match kind {
                        1 => format!("a STORE {number} +FLAGS (\\Deleted k{number})"),
                        2 => format!("a STORE {number} -FLAGS (k{number} \\Seen)"),
                        _ => "a EXPUNGE".to_owned(),
                    };
                    say(world, alice, &command);
                    say(world, alice, "u UNSELECT");
                }
            }
        }
        world.wait_s(below(4));
        rests += usize::from(world.rest_account());
        let mut heard = world.read(phone);
        if idles {
            heard += &say(world, phone, "DONE");
            if below(4) == 0 {
                let command = format!("p APPEND INBOX {{{}+}}\r\n{MAIL}", MAIL.len());
                heard += &say(world, phone, &command);
            }
        } else {
            // Afterwards it has all news, and numbers mean the same again.
            heard += &say(world, phone, "n NOOP");
            let number = below(5) + 1;
            heard += &say(
                world,
                phone,
                &match below(6) {
                    0 => format!("f FETCH 1:{number} (UID FLAGS)"),
                    1 => format!("s STORE {number} +FLAGS (\\Answered)"),
                    2 => "q SEARCH UNDELETED".to_owned(),
                    3 => "x EXPUNGE".to_owned(),
                    4 => "t STATUS INBOX (MESSAGES UNSEEN)".to_owned(),
                    _ => "i IDLE".to_owned(),
                },
            );
        }
        idles = !idles && heard.ends_with("+ idling\r\n");
        told.push(format!("{step}: {}", determined(heard, others_select)));
        if !idles && below(2) == 0 {
            told.push(say(world, phone, "i IDLE"));
            idles = true;
        }
    }
    (told, rests)
}
