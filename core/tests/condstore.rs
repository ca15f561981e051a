//! ESEARCH (RFC 4731), CONDSTORE and QRESYNC (RFC 7162) with the pure machines.

mod world;

use restante_core::account::ConnectionId;
use restante_core::config::Config;
use world::World;

const MAIL: &str = "Subject: hello\r\n\r\nThe lighthouse keeps its light.\r\n";

fn append(world: &mut World, id: ConnectionId, count: usize) {
    for _ in 0..count {
        let command = format!("p APPEND INBOX {{{}+}}\r\n{MAIL}\r\n", MAIL.len());
        assert!(world.say(id, command.as_bytes()).contains("p OK"));
    }
}

/// A connection with `count` messages in its INBOX, which is selected.
fn selected(world: &mut World, count: usize) -> ConnectionId {
    let alice = world.log_in();
    append(world, alice, count);
    world.say(alice, b"s SELECT INBOX\r\n");
    alice
}

/// Says a command (without CRLF) and returns what is answered.
fn say(world: &mut World, id: ConnectionId, command: &str) -> String {
    world.say(id, format!("{command}\r\n").as_bytes())
}

/// The numbers behind each `word`, in order.
fn numbers(answer: &str, word: &str) -> Vec<u64> {
    let after = answer.split(word).skip(1);
    let digits = after.map(|rest| rest.trim_start_matches([' ', '(']));
    let digits = digits.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    digits.filter_map(|digits| digits?.parse().ok()).collect()
}

#[test]
fn esearch_returns_what_is_asked_for() {
    let mut world = World::new(1);
    let alice = selected(&mut world, 6);
    say(&mut world, alice, "x STORE 1 +FLAGS.SILENT (\\Deleted)");
    say(&mut world, alice, "x EXPUNGE");
    say(&mut world, alice, "x STORE 1,3:5 +FLAGS.SILENT (\\Flagged)");
    for (command, expected) in [
        ("RETURN (MIN COUNT) FLAGGED", " MIN 1 COUNT 4"),
        ("RETURN () FLAGGED", " ALL 1,3:5"),
        ("RETURN (ALL) ALL", " ALL 1:5"),
        (
            "RETURN (COUNT MAX ALL MIN) FLAGGED",
            " MIN 1 MAX 5 COUNT 4 ALL 1,3:5",
        ),
        ("RETURN (MAX) UNFLAGGED", " MAX 2"),
        ("RETURN (MIN MAX ALL) DRAFT", ""),
        ("RETURN (COUNT) DRAFT", " COUNT 0"),
    ] {
        let answer = say(&mut world, alice, &format!("q7 SEARCH {command}"));
        let expected = format!("* ESEARCH (TAG \"q7\"){expected}\r\nq7 OK Searched\r\n");
        assert_eq!(answer, expected, "{command}");
    }
    // RFC 4731 §3.1: with UID everything is a UID.
    let answer = say(
        &mut world,
        alice,
        "a UID SEARCH RETURN (MIN MAX ALL COUNT) FLAGGED",
    );
    assert_eq!(
        answer,
        "* ESEARCH (TAG \"a\") UID MIN 2 MAX 6 COUNT 4 ALL 2,4:6\r\na OK Searched\r\n"
    );
}

#[test]
fn esearch_with_modseq_says_the_highest_of_what_it_returns() {
    let mut world = World::new(2);
    let alice = selected(&mut world, 4);
    for number in [3, 1, 2] {
        say(
            &mut world,
            alice,
            &format!("x STORE {number} +FLAGS.SILENT (\\Flagged)"),
        );
    }
    let answer = say(&mut world, alice, "f FETCH 1:4 MODSEQ");
    let modseq = numbers(&answer, "MODSEQ (");
    assert!(modseq[1] > modseq[0] && modseq[0] > modseq[2] && modseq[2] > modseq[3]);
    // RFC 4731 §3.2
    for (options, expected) in [
        ("(MIN)", format!("MIN 1 MODSEQ {}", modseq[0])),
        ("(MAX)", format!("MAX 3 MODSEQ {}", modseq[2])),
        ("(MIN MAX)", format!("MIN 1 MAX 3 MODSEQ {}", modseq[0])),
        ("(MIN COUNT)", format!("MIN 1 COUNT 3 MODSEQ {}", modseq[1])),
        ("()", format!("ALL 1:3 MODSEQ {}", modseq[1])),
    ] {
        let command = format!("a SEARCH RETURN {options} MODSEQ {}", modseq[2]);
        let answer = say(&mut world, alice, &command);
        let expected = format!("* ESEARCH (TAG \"a\") {expected}\r\na OK Searched\r\n");
        assert_eq!(answer, expected);
    }
    let command = format!("a SEARCH RETURN (COUNT) MODSEQ {}", modseq[1] + 1);
    let answer = say(&mut world, alice, &command);
    assert_eq!(answer, "* ESEARCH (TAG \"a\") COUNT 0\r\na OK Searched\r\n");
    // RFC 7162 §3.1.5 and §3.1.6
    let command = format!("a SEARCH MODSEQ \"/flags/\\\\flagged\" all {}", modseq[0]);
    let answer = say(&mut world, alice, &command);
    let expected = format!("* SEARCH 1 2 (MODSEQ {})\r\na OK Searched\r\n", modseq[1]);
    assert_eq!(answer, expected);
    let answer = say(&mut world, alice, "a SEARCH MODSEQ 9223372036854775807");
    assert_eq!(answer, "* SEARCH\r\na OK Searched\r\n");
    let answer = say(&mut world, alice, "a SEARCH MODSEQ 9223372036854775808");
    assert!(answer.starts_with("a BAD "), "{answer}");
}

#[test]
fn a_long_esearch_waits_for_its_reader() {
    let config = Config {
        transmit_bytes_max: 200,
        ..Config::default()
    };
    let mut world = World::with_config(3, config);
    let alice = selected(&mut world, 200);
    let evens: Vec<String> = (1..=100).map(|n| (2 * n).to_string()).collect();
    let set = evens.join(",");
    say(
        &mut world,
        alice,
        &format!("x STORE {set} +FLAGS.SILENT (\\Flagged)"),
    );
    world.set_window(alice, 0);
    say(&mut world, alice, "a SEARCH RETURN (ALL) FLAGGED");
    assert!(world.held_for(alice) <= 200, "{}", world.held_for(alice));
    world.set_window(alice, usize::MAX);
    let answer = world.read(alice);
    let expected = format!("* ESEARCH (TAG \"a\") ALL {set}\r\na OK Searched\r\n");
    assert_eq!(answer, expected);
}

/// INBOX of a connection with all of it enabled.
fn with_qresync(world: &mut World) -> ConnectionId {
    let id = world.log_in();
    let answer = say(world, id, "e ENABLE QRESYNC CONDSTORE X-UNKNOWN");
    assert_eq!(answer, "* ENABLED CONDSTORE QRESYNC\r\ne OK Enabled\r\n");
    say(world, id, "s SELECT INBOX");
    id
}

#[test]
fn enable_lists_what_it_enabled() {
    let mut world = World::new(10);
    let alice = world.log_in();
    for (named, listed) in [
        ("X-UNKNOWN IDLE", ""),
        ("condstore", " CONDSTORE"),
        ("QRESYNC", " QRESYNC"),
        ("QRESYNC CONDSTORE", " CONDSTORE QRESYNC"),
    ] {
        let answer = say(&mut world, alice, &format!("e ENABLE {named}"));
        assert_eq!(answer, format!("* ENABLED{listed}\r\ne OK Enabled\r\n"));
    }
    let answer = say(&mut world, alice, "c CAPABILITY");
    for word in [" ENABLE", " ESEARCH", " CONDSTORE", " QRESYNC"] {
        assert!(answer.contains(word), "{answer}");
    }
}

#[test]
fn the_first_enabling_command_says_highestmodseq_and_the_next_does_not() {
    // RFC 7162 §3.1
    for command in [
        "a ENABLE CONDSTORE",
        "a FETCH 1 MODSEQ",
        "a FETCH 1 FLAGS (CHANGEDSINCE 1)",
        "a STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)",
        "a SEARCH MODSEQ 1",
        "a STATUS INBOX (HIGHESTMODSEQ)",
    ] {
        let mut world = World::new(11);
        let alice = selected(&mut world, 1);
        let status = say(&mut world, alice, "a STATUS INBOX (MESSAGES)");
        assert!(!status.contains("[HIGHESTMODSEQ"), "{status}");
        let phone = world.log_in();
        let status = say(&mut world, phone, "a STATUS INBOX (HIGHESTMODSEQ)");
        let expected = format!(
            "* OK [HIGHESTMODSEQ {}]",
            numbers(&status, "HIGHESTMODSEQ")[0]
        );
        let answer = say(&mut world, alice, command);
        assert!(answer.contains(&expected), "{command}: {answer}");
        let answer = say(&mut world, alice, command);
        assert!(
            !answer.contains("* OK [HIGHESTMODSEQ"),
            "{command}: {answer}"
        );
    }
}

#[test]
fn select_says_highestmodseq_and_what_it_closes() {
    let mut world = World::new(12);
    let alice = world.log_in();
    append(&mut world, alice, 2);
    let answer = say(&mut world, alice, "s SELECT INBOX (CONDSTORE)");
    assert!(!answer.contains("[CLOSED]"), "{answer}");
    let selected = numbers(&answer, "[HIGHESTMODSEQ");
    let status = say(&mut world, alice, "a STATUS INBOX (HIGHESTMODSEQ)");
    assert_eq!(numbers(&status, "HIGHESTMODSEQ"), selected);
    // RFC 7162 §3.2.11: also when the new one cannot be selected.
    for command in ["s EXAMINE INBOX", "s SELECT Nowhere"] {
        let answer = say(&mut world, alice, command);
        assert!(answer.starts_with("* OK [CLOSED] "), "{answer}");
    }
    let answer = say(&mut world, alice, "s SELECT INBOX");
    assert!(!answer.contains("[CLOSED]"), "{answer}");
}

#[test]
fn a_look_at_new_messages_does_not_raise_highestmodseq() {
    let mut world = World::new(25);
    let alice = world.log_in();
    append(&mut world, alice, 2);
    let answer = say(&mut world, alice, "s SELECT INBOX");
    assert!(answer.contains("* 2 RECENT"), "{answer}");
    let before = world.store.count("InsertItems");
    world.wait_s(5);
    let written = world.store.count("InsertItems");
    assert!(
        written > before,
        "it is written that they are not recent any more"
    );
    say(&mut world, alice, "u UNSELECT");
    let again = say(&mut world, alice, "s SELECT INBOX");
    assert!(again.contains("* 0 RECENT"), "{again}");
    let highest = |answer: &str| numbers(answer, "[HIGHESTMODSEQ")[0];
    assert_eq!(highest(&again), highest(&answer));
    world.restart();
    let alice = world.log_in();
    let again = say(&mut world, alice, "s SELECT INBOX");
    assert!(again.contains("* 0 RECENT"), "{again}");
    assert_eq!(highest(&again), highest(&answer));
}

#[test]
fn changes_come_with_uid_and_modseq_to_who_knows_condstore() {
    let mut world = World::new(13);
    let alice = selected(&mut world, 2);
    let phone = world.log_in();
    say(&mut world, phone, "s SELECT INBOX (CONDSTORE)");
    say(&mut world, alice, "x STORE 2 +FLAGS.SILENT (\\Flagged)");
    let answer = say(&mut world, phone, "n NOOP");
    let modseq = numbers(&answer, "MODSEQ")[0];
    assert_eq!(
        answer,
        format!(
            "* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ ({modseq}))\r\nn OK Nothing else was done\r\n"
        )
    );
    // A FETCH that sets \Seen (RFC 7162 §3.2.4).
    let answer = say(&mut world, phone, "f FETCH 1 (BODY[TEXT]<0.3>)");
    assert!(
        answer.contains(&format!(
            "\r\nThe FLAGS (\\Seen) UID 1 MODSEQ ({}))\r\n",
            modseq + 1
        )),
        "{answer}"
    );
    // A silent STORE says the MODSEQ all the same, unless nothing changed (RFC 7162 §3.1.11).
    let answer = say(&mut world, phone, "x STORE 1:2 +FLAGS.SILENT (\\Seen)");
    assert_eq!(
        answer,
        format!(
            "* 2 FETCH (UID 2 MODSEQ ({}))\r\nx OK Stored\r\n",
            modseq + 2
        )
    );
    let answer = say(&mut world, phone, "x STORE 1 +FLAGS (\\Draft)");
    assert!(
        answer.contains(&format!("MODSEQ ({})", modseq + 3)),
        "{answer}"
    );
    let answer = say(&mut world, alice, "n NOOP");
    assert!(!answer.contains("MODSEQ"), "{answer}");
}

#[test]
fn fetch_flags_of_a_change_that_was_not_told_yet_is_told_with_modseq() {
    let mut world = World::new(14);
    let alice = selected(&mut world, 1);
    let phone = world.log_in();
    say(&mut world, phone, "s SELECT INBOX (CONDSTORE)");
    say(&mut world, alice, "x STORE 1 +FLAGS (\\Flagged)");
    let answer = say(&mut world, phone, "f FETCH 1 FLAGS");
    assert!(
        answer.contains("* 1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ ("),
        "{answer}"
    );
}

#[test]
fn changedsince_returns_what_changed_with_modseq() {
    let mut world = World::new(15);
    let alice = selected(&mut world, 4);
    let since = numbers(&say(&mut world, alice, "s SELECT INBOX"), "[HIGHESTMODSEQ")[0];
    say(&mut world, alice, "x STORE 4 +FLAGS.SILENT (\\Seen)");
    say(&mut world, alice, "x STORE 2 +FLAGS.SILENT (\\Seen)");
    let command = format!("f UID FETCH 1:* FLAGS (CHANGEDSINCE {since})");
    let answer = say(&mut world, alice, &command);
    let (second, first) = (since + 2, since + 1);
    let flags = "FLAGS (\\Seen)";
    assert!(
        answer.ends_with(&format!(
            "* 2 FETCH (UID 2 {flags} MODSEQ ({second}))\r\n* 4 FETCH (UID 4 {flags} MODSEQ ({first}))\r\nf OK Fetched\r\n"
        )),
        "{answer}"
    );
    let command = format!("f FETCH 1:4 ENVELOPE (CHANGEDSINCE {first})");
    let answer = say(&mut world, alice, &command);
    assert_eq!(numbers(&answer, "MODSEQ"), [second]);
    assert!(answer.contains("* 2 FETCH (ENVELOPE ("), "{answer}");
    let command = format!("f FETCH 1:4 MODSEQ (CHANGEDSINCE {second})");
    assert_eq!(say(&mut world, alice, &command), "f OK Fetched\r\n");
    for command in [
        "f FETCH 1:4 FLAGS (CHANGEDSINCE 9223372036854775808)",
        "f STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS ()",
        "f UID FETCH 1:4 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "f SELECT INBOX (QRESYNC (1 1))",
    ] {
        let answer = say(&mut world, alice, command);
        assert!(answer.starts_with("f BAD "), "{command}: {answer}");
    }
    assert!(say(&mut world, alice, "f FETCH 1 UID").contains("f OK"));
}

#[test]
fn a_conditional_store_passes_what_the_client_has_seen() {
    let mut world = World::new(16);
    let alice = selected(&mut world, 3);
    let phone = world.log_in();
    let known = numbers(
        &say(&mut world, phone, "s SELECT INBOX (CONDSTORE)"),
        "[HIGHESTMODSEQ",
    )[0];
    say(
        &mut world,
        alice,
        "x STORE 2 +FLAGS.SILENT (\\Answered \\Flagged)",
    );
    let command = format!("x UID STORE 1:3 (UNCHANGEDSINCE {known}) +FLAGS.SILENT (\\Flagged)");
    let answer = say(&mut world, phone, &command);
    let (theirs, ours) = (known + 1, known + 2);
    // RFC 7162 §3.1.3, example 10: the client hears what changed.
    let expected = format!(
        "* 1 FETCH (UID 1 MODSEQ ({ours}))\r\n\
         * 2 FETCH (UID 2 FLAGS (\\Answered \\Flagged) MODSEQ ({theirs}))\r\n\
         * 3 FETCH (UID 3 MODSEQ ({ours}))\r\n\
         x OK [MODIFIED 2] Some messages had changed\r\n"
    );
    assert_eq!(answer, expected);
    // The same message twice is no conflict with itself.
    let command = format!("x STORE 1,1:3 (UNCHANGEDSINCE {ours}) +FLAGS (\\Draft)");
    let answer = say(&mut world, phone, &command);
    assert!(answer.ends_with("x OK Stored\r\n"), "{answer}");
    assert_eq!(numbers(&answer, "MODSEQ"), [ours + 1; 3]);
}

#[test]
fn unchangedsince_0_passes_only_keywords_that_were_never_there() {
    // RFC 7162 §3.1.3, examples 7 and 8
    let mut world = World::new(17);
    let alice = selected(&mut world, 2);
    let answer = say(
        &mut world,
        alice,
        "x STORE 1 (UNCHANGEDSINCE 0) -FLAGS.SILENT (\\Seen)",
    );
    assert!(answer.contains("x OK [MODIFIED 1]"), "{answer}");
    let answer = say(
        &mut world,
        alice,
        "x STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($Sent)",
    );
    assert!(answer.ends_with("x OK Stored\r\n"), "{answer}");
    for command in [
        "x STORE 1:2 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($Sent)",
        "x STORE 1:2 (UNCHANGEDSINCE 0) -FLAGS.SILENT ($Sent)",
    ] {
        let answer = say(&mut world, alice, command);
        assert!(answer.contains("x OK [MODIFIED 1"), "{answer}");
    }
    let answer = say(
        &mut world,
        alice,
        "x STORE 1 (UNCHANGEDSINCE 0) FLAGS.SILENT ($Other)",
    );
    assert!(answer.contains("x OK [MODIFIED 1]"), "{answer}");
}

#[test]
fn another_clients_change_does_not_fail_a_keyword_that_nobody_touched() {
    // RFC 7162 §3.1.12
    let mut world = World::new(18);
    let alice = selected(&mut world, 1);
    let phone = world.log_in();
    let known = numbers(
        &say(&mut world, phone, "s SELECT INBOX (CONDSTORE)"),
        "[HIGHESTMODSEQ",
    )[0];
    say(&mut world, alice, "x STORE 1 +FLAGS.SILENT (\\Deleted)");
    let command = format!("x STORE 1 (UNCHANGEDSINCE {known}) +FLAGS.SILENT ($Processed)");
    let answer = say(&mut world, phone, &command);
    assert!(
        answer.contains("FLAGS (\\Deleted $Processed) MODSEQ"),
        "{answer}"
    );
    assert!(answer.ends_with("x OK Stored\r\n"), "{answer}");
    let answer = say(&mut world, alice, &command);
    assert!(answer.contains("x OK [MODIFIED 1]"), "{answer}");
}

/// RFC 7162 §3.1.3 and §3.1.12.
#[test]
fn another_clients_change_fails_no_store_of_other_flags() {
    let change = |theirs: &[&str], store: &str| {
        let mut world = World::new(19);
        let alice = selected(&mut world, 1);
        say(&mut world, alice, "x STORE 1 +FLAGS.SILENT ($Work)");
        let phone = world.log_in();
        let known = say(&mut world, phone, "s SELECT INBOX (CONDSTORE)");
        let known = numbers(&known, "[HIGHESTMODSEQ")[0];
        for theirs in theirs {
            say(&mut world, alice, &format!("x STORE 1 {theirs}"));
        }
        let since = format!("x STORE 1 (UNCHANGEDSINCE {known}) {store}");
        let answer = say(&mut world, phone, &since);
        assert!(answer.contains(") MODSEQ ("), "{answer}");
        answer
    };
    for (theirs, store, flags) in [
        (
            "+FLAGS (\\Answered)",
            "+FLAGS.SILENT (\\Flagged)",
            "\\Answered \\Flagged $Work",
        ),
        ("+FLAGS (\\Answered)", "-FLAGS.SILENT ($Work)", "\\Answered"),
        (
            "-FLAGS ($Work)",
            "+FLAGS (\\Flagged \\Draft)",
            "\\Flagged \\Draft",
        ),
    ] {
        let answer = change(&[theirs], store);
        assert!(answer.contains(&format!("FLAGS ({flags})")), "{answer}");
        assert!(answer.ends_with("x OK Stored\r\n"), "{answer}");
    }
    for (theirs, store) in [
        (&["+FLAGS (\\Flagged)"][..], "+FLAGS.SILENT (\\Flagged)"),
        (&["+FLAGS (\\Flagged)"], "-FLAGS.SILENT (\\Draft \\Flagged)"),
        // It is what it was, but was not all the time.
        (
            &["+FLAGS (\\Flagged)", "-FLAGS (\\Flagged)"],
            "+FLAGS (\\Flagged)",
        ),
        (&["-FLAGS ($Work)", "+FLAGS ($Work)"], "-FLAGS ($Work)"),
        (&["+FLAGS (\\Answered)"], "FLAGS (\\Flagged)"),
    ] {
        let answer = change(theirs, store);
        assert!(answer.contains("x OK [MODIFIED 1]"), "{theirs:?}: {answer}");
    }
}

#[test]
fn simultaneous_stores_get_modseqs_of_their_own() {
    // RFC 7162 §3.1
    let mut world = World::new(24);
    let alice = selected(&mut world, 4);
    let others = [world.log_in(), world.log_in(), world.log_in()];
    for id in others {
        say(&mut world, id, "s SELECT INBOX (CONDSTORE)");
    }
    world.hold_account();
    for (id, number) in others.into_iter().zip(1..) {
        let answer = say(
            &mut world,
            id,
            &format!("x STORE {number} +FLAGS.SILENT (\\Seen)"),
        );
        assert_eq!(answer, "", "storage has not answered yet");
    }
    world.release_account();
    for id in others {
        assert!(world.read(id).ends_with("x OK Stored\r\n"));
    }
    let answer = say(&mut world, alice, "f FETCH 1:3 MODSEQ");
    let modseq = numbers(&answer, "MODSEQ (");
    assert!(modseq[0] < modseq[1] && modseq[1] < modseq[2], "{answer}");
}

#[test]
fn an_expunge_that_waits_holds_highestmodseq_back() {
    // RFC 7162 §3.2 and §6
    let mut world = World::new(19);
    let alice = selected(&mut world, 3);
    let phone = with_qresync(&mut world);
    let status = say(&mut world, phone, "a STATUS INBOX (HIGHESTMODSEQ)");
    let known = numbers(&status, "HIGHESTMODSEQ")[0];
    world.say(
        alice,
        b"x STORE 1 +FLAGS.SILENT (\\Deleted)\r\nx EXPUNGE\r\n",
    );
    let answer = say(&mut world, phone, "x STORE 2 +FLAGS.SILENT (\\Seen)");
    assert!(!answer.contains("VANISHED"), "{answer}");
    assert!(numbers(&answer, "MODSEQ (")[0] > known, "{answer}");
    assert!(
        answer.ends_with(&format!("x OK [HIGHESTMODSEQ {known}] Stored\r\n")),
        "{answer}"
    );
    let answer = say(&mut world, phone, "n NOOP");
    let now = known + 3;
    assert_eq!(
        answer,
        format!("* VANISHED 1\r\nn OK [HIGHESTMODSEQ {now}] Nothing else was done\r\n")
    );
}

#[test]
fn vanished_comes_instead_of_expunge() {
    let mut world = World::new(20);
    let alice = selected(&mut world, 8);
    let phone = with_qresync(&mut world);
    say(&mut world, phone, "i IDLE");
    world.say(
        alice,
        b"x STORE 1,3:5 +FLAGS.SILENT (\\Deleted)\r\nx UID EXPUNGE 2:5\r\n",
    );
    let answer = world.read(phone);
    assert!(answer.contains("* VANISHED 3:5\r\n"), "{answer}");
    assert!(answer.contains("* OK [HIGHESTMODSEQ "), "{answer}");
    assert!(!answer.contains("EXPUNGE"), "{answer}");
    world.say(phone, b"DONE\r\n");
    // RFC 7162 §3.2.7
    let answer = say(&mut world, phone, "x EXPUNGE");
    assert!(
        answer.starts_with("* VANISHED 1\r\nx OK [HIGHESTMODSEQ "),
        "{answer}"
    );
    let answer = say(&mut world, phone, "x MOVE 1:2 INBOX");
    assert!(answer.contains("* VANISHED 2,6\r\n"), "{answer}");
    assert!(answer.contains("x OK [HIGHESTMODSEQ "), "{answer}");
    // RFC 7162 §3.2.8
    say(&mut world, phone, "x STORE 1 +FLAGS.SILENT (\\Deleted)");
    let answer = say(&mut world, phone, "x CLOSE");
    assert!(
        answer.starts_with("x OK ") && !answer.contains("HIGHESTMODSEQ"),
        "{answer}"
    );
}

#[test]
fn select_with_qresync_tells_what_was_missed() {
    let mut world = World::new(21);
    let alice = selected(&mut world, 8);
    let phone = with_qresync(&mut world);
    let answer = say(&mut world, phone, "s SELECT INBOX");
    let validity = numbers(&answer, "[UIDVALIDITY")[0];
    let known = numbers(&answer, "[HIGHESTMODSEQ")[0];
    world.say(
        alice,
        b"x STORE 2:3,6,8 +FLAGS.SILENT (\\Deleted)\r\nx EXPUNGE\r\nx UID STORE 4,7 FLAGS.SILENT (\\Seen)\r\n",
    );
    append(&mut world, alice, 1);
    let mut select = |parameters: &str| {
        let answer = say(
            &mut world,
            phone,
            &format!("s SELECT INBOX (QRESYNC ({parameters}))"),
        );
        let (_, after) = answer
            .split_once("Changes are known up to here\r\n")
            .expect("it is there");
        after.replace("s OK [READ-WRITE] Selected\r\n", "")
    };
    let fetch = |number: u32, uid: u32, modseq: u64| {
        format!("* {number} FETCH (UID {uid} FLAGS (\\Seen) MODSEQ ({modseq}))\r\n")
    };
    let seen = known + 3;
    let new = format!("* 5 FETCH (UID 9 FLAGS () MODSEQ ({}))\r\n", known + 4);
    let (four, seven) = (fetch(2, 4, seen), fetch(4, 7, seen));
    let all = format!("* VANISHED (EARLIER) 2:3,6,8\r\n{four}{seven}{new}");
    assert_eq!(select(&format!("{validity} {known}")), all);
    assert_eq!(
        select(&format!("{validity} {known} 3:7")),
        format!("* VANISHED (EARLIER) 3,6\r\n{four}{seven}")
    );
    assert_eq!(
        select(&format!("{validity} {}", known + 2)),
        format!("{four}{seven}{new}")
    );
    assert_eq!(select(&format!("{validity} {}", known + 4)), "");
    // RFC 7162 §3.2.5: another UIDVALIDITY
    assert_eq!(select(&format!("{} {known}", validity + 1)), "");
    // RFC 7162 §3.2.5.2: 1 and 3 still have their numbers, 8 has not.
    assert_eq!(
        select(&format!("{validity} {known} 1:8 (1,3,8 1,5,8)")),
        format!("* VANISHED (EARLIER) 6,8\r\n{four}{seven}")
    );
    assert_eq!(select(&format!("{validity} {known} (1:8 1:8)")), all);
    for wrong in ["(1:2 1:3)", "(2,1 1,2)", "(1,2 2,1)", "1:* (1 1)"] {
        let command = format!("s SELECT INBOX (QRESYNC ({validity} {known} {wrong}))");
        let answer = say(&mut world, phone, &command);
        assert!(answer.starts_with("s BAD "), "{wrong}: {answer}");
    }
    let answer = say(&mut world, phone, "f FETCH 1 UID");
    assert!(answer.contains("f OK"), "it is still selected: {answer}");
}

#[test]
fn uid_fetch_vanished_does_not_name_what_the_client_still_counts() {
    let mut world = World::new(22);
    let alice = selected(&mut world, 4);
    let phone = with_qresync(&mut world);
    let status = say(&mut world, phone, "a STATUS INBOX (HIGHESTMODSEQ)");
    let known = numbers(&status, "HIGHESTMODSEQ")[0];
    world.say(
        phone,
        b"x STORE 4 +FLAGS.SILENT (\\Deleted)\r\nx EXPUNGE\r\n",
    );
    world.say(
        alice,
        b"n NOOP\r\nx STORE 1 +FLAGS.SILENT (\\Deleted)\r\nx EXPUNGE\r\n",
    );
    let command = format!("f UID FETCH 1:* FLAGS (CHANGEDSINCE {known} VANISHED)");
    let answer = say(&mut world, phone, &command);
    // RFC 7162 §3.2.10: EARLIER first, then what changes message numbers.
    let earlier = answer
        .find("* VANISHED (EARLIER) 4\r\n")
        .expect("it is there");
    let now = answer.find("* VANISHED 1\r\n").expect("it is there");
    assert!(earlier < now, "{answer}");
    let answer = say(&mut world, phone, &command);
    assert_eq!(answer, "* VANISHED (EARLIER) 1,4\r\nf OK Fetched\r\n");
}

#[test]
fn a_long_vanished_waits_for_its_reader_and_comes_in_lines() {
    let config = Config {
        transmit_bytes_max: 500,
        ..Config::default()
    };
    let mut world = World::with_config(23, config);
    let alice = selected(&mut world, 1);
    // Every second message goes: nothing can be joined to ranges.
    for _ in 0..12 {
        world.say(alice, b"c COPY 1:* INBOX\r\n");
    }
    let count = 4_096;
    let phone = with_qresync(&mut world);
    let answer = say(&mut world, phone, "s SELECT INBOX");
    let known = numbers(&answer, "[HIGHESTMODSEQ")[0];
    let validity = numbers(&answer, "[UIDVALIDITY")[0];
    for part in 0..4 {
        let odd: Vec<String> = (0..count / 8)
            .map(|n| (part * count / 4 + 2 * n + 1).to_string())
            .collect();
        let command = format!("x STORE {} +FLAGS.SILENT (\\Deleted)", odd.join(","));
        assert!(say(&mut world, alice, &command).contains("x OK"));
    }
    say(&mut world, alice, "x EXPUNGE");
    let odds: Vec<u64> = (0..count / 2).map(|n| 2 * n + 1).collect();
    let listed = |answer: &str, start: &str| -> Vec<u64> {
        let lines = answer.lines().filter_map(|line| line.strip_prefix(start));
        let lines: Vec<&str> = lines.collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() < 8_192));
        lines
            .iter()
            .flat_map(|line| line.split(','))
            .map(|uid| uid.parse().unwrap())
            .collect()
    };
    world.set_window(phone, 0);
    say(&mut world, phone, "n NOOP");
    assert!(world.held_for(phone) <= 600, "{}", world.held_for(phone));
    world.set_window(phone, usize::MAX);
    let answer = world.read(phone);
    assert_eq!(listed(&answer, "* VANISHED "), odds);
    let command = format!("s SELECT INBOX (QRESYNC ({validity} {known}))");
    let answer = say(&mut world, phone, &command);
    assert_eq!(listed(&answer, "* VANISHED (EARLIER) "), odds);
}
