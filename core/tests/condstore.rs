//! ESEARCH (RFC 4731), CONDSTORE and QRESYNC (RFC 7162) with the pure machines.

mod world;

use restante_core::account::ConnectionId;
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
    let modseq = numbers(&answer, "MODSEQ");
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
    let mut config = restante_core::config::Config::default();
    config.transmit_bytes_max = 200;
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
