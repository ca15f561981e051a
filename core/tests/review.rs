//! Sessions that went wrong once, each named by what must hold.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in #[test] only, not beside it"
)]

mod world;

use restante_core::account::ConnectionId;
use restante_core::storage::StorageError;
use world::World;

const MAIL: &str = "From: Ada <ada@example.org>\r\nSubject: light\r\n\r\nThe lighthouse.\r\n";

fn append(world: &mut World, id: ConnectionId, mailbox: &str, mail: &str) -> String {
    let command = format!("p APPEND {mailbox} {{{}+}}\r\n{mail}\r\n", mail.len());
    world.say(id, command.as_bytes())
}

/// Two connections with INBOX selected, which holds `count` messages that nobody is told
/// of as `\Recent` any more.
fn two_with(world: &mut World, count: usize) -> (ConnectionId, ConnectionId) {
    let (alice, phone) = (world.log_in(), world.log_in());
    for _ in 0..count {
        append(world, alice, "INBOX", MAIL);
    }
    world.say(alice, b"s SELECT INBOX\r\nu UNSELECT\r\ns SELECT INBOX\r\n");
    world.say(phone, b"s SELECT INBOX\r\n");
    (alice, phone)
}

#[test]
fn a_change_that_came_before_a_reply_does_not_undo_it() {
    let mut world = World::new(1);
    let (alice, phone) = two_with(&mut world, 2);
    world.say(phone, b"u UNSELECT\r\n");
    world.hold_account();
    append(&mut world, phone, "INBOX", MAIL);
    append(&mut world, alice, "INBOX", MAIL);
    world.release_account();
    let answer = world.read(alice);
    assert!(answer.contains("* 4 EXISTS"), "{answer}");
    assert!(answer.contains("p OK [APPENDUID"), "{answer}");
    assert_eq!(world.say(alice, b"i IDLE\r\n"), "+ idling\r\n");
    let answer = world.say(alice, b"DONE\r\nf FETCH 3:4 FLAGS\r\n");
    assert_eq!(
        answer,
        "i OK IDLE is over\r\n* 3 FETCH (FLAGS (\\Recent))\r\n* 4 FETCH (FLAGS (\\Recent))\r\nf OK Fetched\r\n"
    );
}

#[test]
fn a_mailbox_deleted_by_another_never_breaks_into_a_literal() {
    let mut world = World::new(2);
    let (alice, phone) = (world.log_in(), world.log_in());
    world.say(alice, b"c CREATE Big\r\n");
    let mail = format!("Subject: big\r\n\r\n{}", "x".repeat(1_000_000));
    append(&mut world, alice, "Big", &mail);
    world.say(alice, b"s EXAMINE Big\r\n");
    world.set_window(alice, 10_000);
    let mut read = world.say(alice, b"f FETCH 1 BODY.PEEK[]\r\n");
    assert_eq!(world.say(phone, b"d DELETE Big\r\n"), "d OK Deleted\r\n");
    world.set_window(alice, usize::MAX);
    read += &world.read(alice);
    let expected = format!(
        "* 1 FETCH (BODY[] {{{}}}\r\n{mail})\r\nf OK Fetched\r\n* BYE The selected mailbox was deleted\r\n",
        mail.len()
    );
    assert!(
        read == expected,
        "{} octets instead of {}",
        read.len(),
        expected.len()
    );
    assert!(world.is_closed(alice));
}

#[test]
fn the_selected_mailbox_can_be_deleted_by_its_own_session() {
    let mut world = World::new(3);
    let alice = world.log_in();
    world.say(alice, b"c CREATE Work\r\ns SELECT Work\r\n");
    assert_eq!(world.say(alice, b"d DELETE Work\r\n"), "d OK Deleted\r\n");
    assert!(!world.is_closed(alice));
    assert_eq!(
        world.say(alice, b"f FETCH 1 FLAGS\r\n"),
        "f BAD Select a mailbox first\r\n"
    );
}

#[test]
fn who_deletes_another_mailbox_hears_that_its_own_is_gone() {
    let mut world = World::new(14);
    let (alice, phone) = (world.log_in(), world.log_in());
    world.say(
        alice,
        b"c CREATE Work\r\nc CREATE Other\r\ns SELECT Work\r\n",
    );
    world.hold_replies();
    world.say(phone, b"d DELETE Work\r\n");
    world.say(alice, b"d DELETE Other\r\n");
    world.release_replies();
    assert_eq!(
        world.read(alice),
        "d OK Deleted\r\n* BYE The selected mailbox was deleted\r\n"
    );
    assert!(world.is_closed(alice));
}

#[test]
fn whose_append_is_refused_hears_that_its_mailbox_is_gone() {
    for literal in ["{5}", "{5+}"] {
        let mut world = World::new(14);
        let (alice, phone) = (world.log_in(), world.log_in());
        world.say(alice, b"c CREATE Work\r\ns SELECT Work\r\n");
        world.hold_replies();
        world.say(phone, b"d DELETE Work\r\n");
        let append = format!("a APPEND Nowhere {literal}\r\nhello\r\n");
        world.say(alice, append.as_bytes());
        world.release_replies();
        let said = world.read(alice);
        assert!(said.contains("a NO [TRYCREATE] "), "{said}");
        assert!(
            said.ends_with("* BYE The selected mailbox was deleted\r\n"),
            "{said}"
        );
        assert!(world.is_closed(alice));
    }
}

#[test]
fn whoever_leaves_a_mailbox_while_it_is_deleted_stays() {
    for (command, answer) in [
        ("UNSELECT", "c OK"),
        ("SELECT Nowhere", "c NO [NONEXISTENT]"),
        ("SELECT INBOX", "c OK [READ-WRITE]"),
    ] {
        let mut world = World::new(12);
        let (alice, phone) = (world.log_in(), world.log_in());
        world.say(alice, b"c CREATE Work\r\ns SELECT Work\r\n");
        world.hold_replies();
        world.say(phone, b"d DELETE Work\r\n");
        world.say(alice, format!("c {command}\r\n").as_bytes());
        world.release_replies();
        let read = world.read(alice);
        assert!(read.contains(answer) && !read.contains("BYE"), "{read}");
        assert_eq!(
            world.say(alice, b"n NAMESPACE\r\n").matches("n OK").count(),
            1
        );
    }
}

#[test]
fn idle_begins_with_the_whole_time_of_silence() {
    let mut world = World::new(4);
    let alice = world.log_in();
    world.say(alice, b"s SELECT INBOX\r\n");
    world.wait_s(29 * 60);
    world.say(alice, b"i IDLE\r\n");
    world.wait_s(29 * 60);
    assert!(!world.is_closed(alice), "IDLE is a command like others");
    world.say(alice, b"DONE\r\n");
    world.wait_s(29 * 60);
    world.say(alice, b"a FROBNICATE\r\n");
    world.wait_s(29 * 60);
    assert!(
        !world.is_closed(alice),
        "a command that fails was sent all the same"
    );
}

#[test]
fn commands_that_keep_coming_in_pieces_are_no_slow_command() {
    let mut world = World::new(5);
    let alice = world.log_in();
    for _ in 0..20 {
        world.say(alice, b"PABILITY\r\na CA");
        world.wait_s(30);
    }
    assert!(!world.is_closed(alice), "{}", world.read(alice));
}

#[test]
fn noop_never_fails_when_storage_does() {
    let mut world = World::new(8);
    let alice = world.log_in();
    append(&mut world, alice, "INBOX", MAIL);
    world.say(alice, b"s SELECT INBOX\r\n");
    let error = StorageError::Unavailable("away".to_owned());
    world.store.failing.insert("ReadRange", error.clone());
    world.store.failing.insert("ReadItems", error);
    let answer = world.say(alice, b"n NOOP\r\n");
    world.wait_s(60);
    let answer = answer + &world.read(alice);
    assert!(answer.starts_with("n OK"), "{answer}");
}

#[test]
fn a_set_with_a_star_is_never_out_of_range() {
    let mut world = World::new(9);
    let (alice, _) = two_with(&mut world, 3);
    for (set, found) in [("4:*", "3"), ("*:9", "3"), ("*", "3"), ("2:*", "2 3")] {
        let answer = world.say(alice, format!("q SEARCH {set}\r\n").as_bytes());
        assert_eq!(
            answer,
            format!("* SEARCH {found}\r\nq OK Searched\r\n"),
            "{set}"
        );
    }
    assert!(
        world
            .say(alice, b"f FETCH 4:* UID\r\n")
            .contains("* 3 FETCH (UID 3)")
    );
    assert!(world.say(alice, b"f FETCH 4 UID\r\n").starts_with("f BAD"));
    assert!(
        world
            .say(alice, b"f FETCH 2:4 UID\r\n")
            .starts_with("f BAD")
    );
    assert!(
        world
            .say(alice, b"f UID FETCH 9:* UID\r\n")
            .contains("* 3 FETCH (UID 3)")
    );
    assert_eq!(
        world.say(alice, b"f UID FETCH 9:10 UID\r\n"),
        "f OK Fetched\r\n"
    );
    world.say(alice, b"c CREATE Empty\r\ns SELECT Empty\r\n");
    for command in [
        "FETCH 1:* FLAGS",
        "UID FETCH 1:* FLAGS",
        "UID FETCH * FLAGS",
    ] {
        assert_eq!(
            world.say(alice, format!("f {command}\r\n").as_bytes()),
            "f OK Fetched\r\n"
        );
    }
    assert_eq!(
        world.say(alice, b"q UID SEARCH 1:* NOT DELETED\r\n"),
        "* SEARCH\r\nq OK Searched\r\n"
    );
    assert_eq!(
        world.say(alice, b"x UID STORE 1:* +FLAGS (\\Seen)\r\n"),
        "x OK Stored\r\n"
    );
    assert_eq!(
        world.say(alice, b"x UID EXPUNGE 1:*\r\n"),
        "x OK Expunged\r\n"
    );
}

#[test]
fn a_silent_store_is_silent_about_its_own_changes_only() {
    let mut world = World::new(6);
    let (alice, phone) = two_with(&mut world, 2);
    world.hold_account();
    world.say(phone, b"x STORE 1 +FLAGS.SILENT (\\Flagged)\r\n");
    world.say(alice, b"x STORE 1:2 +FLAGS.SILENT (\\Seen)\r\n");
    world.release_account();
    let answer = world.read(alice);
    assert_eq!(
        answer,
        "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen))\r\nx OK Stored\r\n"
    );
    // Each is told of the other's change to the same message, once.
    let answer = world.say(phone, b"n NOOP\r\n");
    assert!(
        answer.contains("* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen"),
        "{answer}"
    );
    let answer = world.say(alice, b"n NOOP\r\n");
    assert_eq!(answer, "n OK Nothing else was done\r\n");
}

/// `flag-extension`, RFC 3501 §9; PERMANENTFLAGS, §7.1.
#[test]
fn system_flags_that_cannot_be_kept_are_passed_over() {
    let mut world = World::new(4);
    let alice = world.log_in();
    for flags in ["(\\Seen \\Forwarded)", "(\\Forwarded)"] {
        let append = format!("p APPEND INBOX {flags} {{{}+}}\r\n{MAIL}\r\n", MAIL.len());
        let answer = world.say(alice, append.as_bytes());
        assert!(answer.starts_with("p OK [APPENDUID "), "{answer}");
    }
    world.say(alice, b"s SELECT INBOX\r\nu UNSELECT\r\ns SELECT INBOX\r\n");
    let answer = world.say(alice, b"f FETCH 1:2 FLAGS\r\n");
    let told = "* 1 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (FLAGS ())\r\n";
    assert_eq!(answer, format!("{told}f OK Fetched\r\n"));
    for (change, flags) in [
        ("+FLAGS (\\Forwarded)", "\\Seen"),
        ("-FLAGS \\Forwarded", "\\Seen"),
        ("+FLAGS \\x \\Draft \\y", "\\Seen \\Draft"),
        ("FLAGS (\\Flagged \\Forwarded)", "\\Flagged"),
        ("FLAGS (\\Forwarded)", ""),
    ] {
        let answer = world.say(alice, format!("s STORE 1 {change}\r\n").as_bytes());
        let told = format!("* 1 FETCH (UID 1 FLAGS ({flags}))\r\ns OK Stored\r\n");
        assert_eq!(answer, told, "{change}");
    }
    for change in [
        "+FLAGS (\\Recent)",
        "-FLAGS \\Recent",
        "+FLAGS (\\*)",
        "+FLAGS (\\)",
    ] {
        let answer = world.say(alice, format!("s STORE 1 {change}\r\n").as_bytes());
        assert!(answer.starts_with("s BAD "), "{answer}");
    }
}

#[test]
fn flags_changed_while_a_message_was_fetched_are_told() {
    let mut world = World::new(7);
    let (alice, phone) = (world.log_in(), world.log_in());
    let mail = format!("Subject: big\r\n\r\n{}", "x".repeat(300_000));
    for _ in 0..65 {
        append(&mut world, alice, "INBOX", &mail);
    }
    world.say(alice, b"s SELECT INBOX\r\n");
    world.say(phone, b"s SELECT INBOX\r\n");
    world.set_window(alice, 400_000);
    world.say(alice, b"f FETCH 1:65 BODY[TEXT]\r\n");
    // The first was shown as seen; the second batch is yet to be marked.
    world.say(phone, b"x STORE 1 +FLAGS (\\Flagged)\r\n");
    world.set_window(alice, usize::MAX);
    let answer = world.read(alice);
    let answer = [answer, world.say(alice, b"n NOOP\r\n")].concat();
    assert!(
        answer.contains("* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen"),
        "{}",
        &answer[answer.len() - 300..]
    );
}

#[test]
fn a_storage_that_is_away_is_no_corruption_and_a_full_one_can_be_read() {
    let mut world = World::new(13);
    let alice = world.log_in();
    append(&mut world, alice, "INBOX", MAIL);
    world.say(alice, b"s SELECT INBOX\r\n");
    let away = StorageError::Unavailable("away".to_owned());
    world.store.failing.insert("OpenObject", away);
    for command in ["FETCH 1 BODY.PEEK[]", "SEARCH BODY light"] {
        let answer = world.say(alice, format!("f {command}\r\n").as_bytes());
        world.wait_s(2);
        let answer = answer + &world.read(alice);
        assert!(answer.contains("f NO [UNAVAILABLE]"), "{answer}");
    }
    world.store.failing.clear();
    world
        .store
        .failing
        .insert("InsertItems", StorageError::Full);
    let answer = world.say(alice, b"f FETCH 1 BODY[TEXT]\r\n");
    assert!(answer.starts_with("* 1 FETCH (BODY[TEXT] {"), "{answer}");
    assert!(
        answer.contains("f OK ") && !answer.contains("Seen)"),
        "{answer}"
    );
}

#[test]
fn a_conditional_store_says_what_it_left_alone() {
    let mut world = World::new(14);
    let (alice, _) = two_with(&mut world, 3);
    world.say(
        alice,
        b"x STORE 2:3 +FLAGS (\\Seen)\r\nx UID STORE 1 +FLAGS (\\Deleted)\r\n",
    );
    world.say(alice, b"x EXPUNGE\r\n");
    let answer = world.say(
        alice,
        b"x STORE 1:2 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Flagged)\r\n",
    );
    assert!(
        answer.ends_with("x OK [MODIFIED 1:2] Some messages had changed\r\n"),
        "{answer}"
    );
    let answer = world.say(
        alice,
        b"x UID STORE 3 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Flagged)\r\n",
    );
    assert!(
        answer.ends_with("x OK [MODIFIED 3] Some messages had changed\r\n"),
        "{answer}"
    );
    assert_eq!(
        world.say(alice, b"q SEARCH FLAGGED\r\n"),
        "* SEARCH\r\nq OK Searched\r\n"
    );
}

/// What a client believes about its mailbox, from nothing but what it was told.
#[derive(Default)]
struct Belief {
    /// UID, if it knows that, and flags, if it knows those, of each message.
    messages: Vec<(Option<u32>, Option<Vec<String>>)>,
    /// A command has not been answered yet.
    busy: bool,
    idling: bool,
    /// A response that has not come to its end.
    begun: String,
}

fn flags_in(line: &str) -> Option<Vec<String>> {
    let (_, rest) = line.split_once("FLAGS (")?;
    let (list, _) = rest.split_once(')')?;
    let mut flags: Vec<String> = list
        .split_whitespace()
        .filter(|flag| *flag != "\\Recent")
        .map(str::to_owned)
        .collect();
    flags.sort();
    Some(flags)
}

impl Belief {
    fn hear(&mut self, answer: &str) {
        self.begun += answer;
        // The only literals are of three octets: each belongs to its line.
        if !self.begun.ends_with("\r\n") || self.begun.ends_with("{3}\r\n") {
            return;
        }
        let answer = core::mem::take(&mut self.begun);
        for line in answer.replace("{3}\r\n", "").lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("t"), Some(condition), code) => {
                    let all_gone = condition == "NO" && code == Some("[EXPUNGEISSUED]");
                    assert!(condition == "OK" || all_gone, "{line}");
                    self.busy = false;
                }
                (Some("*"), Some(number), Some(word)) if number.parse::<usize>().is_ok() => {
                    self.learn(number.parse().unwrap(), word, line);
                }
                _ => {}
            }
        }
    }

    fn learn(&mut self, number: usize, word: &str, line: &str) {
        match word {
            "EXISTS" => {
                assert!(number >= self.messages.len(), "{line}");
                self.messages.resize(number, (None, None));
            }
            "EXPUNGE" => {
                assert!(number <= self.messages.len(), "{line}");
                self.messages.remove(number - 1);
            }
            "FETCH" => {
                let message = &mut self.messages[number - 1];
                if let Some((_, rest)) = line.split_once("UID ") {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    let uid = digits.parse().unwrap();
                    assert!(message.0.is_none_or(|known| known == uid), "{line}");
                    message.0 = Some(uid);
                }
                if let Some(flags) = flags_in(line) {
                    message.1 = Some(flags);
                }
            }
            _ => {}
        }
    }

    /// What the client concludes from its own silent STORE.
    fn conclude(&mut self, number: usize, add: bool, flag: &str) {
        if let Some(flags) = &mut self.messages[number - 1].1 {
            flags.retain(|known| known != flag);
            if add {
                flags.push(flag.to_owned());
                flags.sort();
            }
        }
    }
}

/// A small generator of numbers below `below`.
fn draw(state: &mut u64, below: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    (*state >> 33) as usize % below
}

#[test]
fn several_sessions_believe_what_is_true() {
    for seed in 0..60 {
        believe(seed);
    }
}

fn believe(seed: u8) {
    const SESSIONS: usize = 3;
    let mut world = World::new(seed);
    let mut state = u64::from(seed) * 7919 + 1;
    let ids: Vec<ConnectionId> = (0..SESSIONS).map(|_| world.log_in()).collect();
    world.say(ids[0], b"c CREATE Other\r\n");
    for _ in 0..4 {
        append(&mut world, ids[0], "INBOX", MAIL);
    }
    let mut beliefs: Vec<Belief> = Vec::new();
    for id in &ids {
        let mut belief = Belief::default();
        belief.hear(&world.say(*id, b"t SELECT INBOX\r\nt FETCH 1:* (UID FLAGS)\r\n"));
        beliefs.push(belief);
    }
    for _ in 0..150 {
        match draw(&mut state, 8) {
            0 => world.hold_account(),
            1 => world.hold_replies(),
            2 => world.release_account(),
            3 => world.release_replies(),
            4 | 5 => {
                world.release();
            }
            _ => {}
        }
        let who = draw(&mut state, SESSIONS);
        let (id, belief) = (ids[who], &mut beliefs[who]);
        belief.hear(&world.read(id));
        if !belief.busy {
            act(&mut world, id, belief, &mut state);
        }
    }
    world.release_replies();
    world.release_account();
    for (id, belief) in ids.iter().zip(&mut beliefs) {
        belief.hear(&world.read(*id));
        if belief.idling {
            belief.hear(&world.say(*id, b"DONE\r\n"));
        }
        assert!(!belief.busy, "seed {seed}: a command was never answered");
    }
    // Nothing moves any more: what is told now is all there is.
    for (id, belief) in ids.iter().zip(&mut beliefs) {
        belief.hear(&world.say(*id, b"t NOOP\r\n"));
        let mut truth = Belief::default();
        truth.messages.resize(belief.messages.len(), (None, None));
        truth.hear(&world.say(*id, b"t UID FETCH 1:* FLAGS\r\n"));
        for (number, (believed, true_one)) in
            belief.messages.iter().zip(&truth.messages).enumerate()
        {
            let same = (believed.0.is_none() || believed.0 == true_one.0)
                && (believed.1.is_none() || believed.1 == true_one.1)
                && true_one.0.is_some();
            assert!(same, "seed {seed}, {number}: {believed:?} is {true_one:?}");
        }
    }
}

/// Says something that may be said now.
fn act(world: &mut World, id: ConnectionId, belief: &mut Belief, state: &mut u64) {
    if core::mem::take(&mut belief.idling) {
        belief.busy = true;
        belief.hear(&world.say(id, b"DONE\r\n"));
        return;
    }
    let count = belief.messages.len();
    let number = 1 + draw(state, count.max(1));
    let flag = ["\\Seen", "\\Flagged", "\\Deleted", "$Work"][draw(state, 4)];
    let add = draw(state, 2) == 0;
    let sign = if add { '+' } else { '-' };
    belief.busy = true;
    let command = match draw(state, 14) {
        0 | 1 => format!("APPEND INBOX (\\Flagged) {{{}+}}\r\n{MAIL}", MAIL.len()),
        2 => "EXPUNGE".to_owned(),
        3 => "UID EXPUNGE 1:*".to_owned(),
        4 => "NOOP".to_owned(),
        5 => {
            belief.busy = false;
            belief.idling = true;
            "IDLE".to_owned()
        }
        6 => "SEARCH DELETED".to_owned(),
        _ if count == 0 => "CHECK".to_owned(),
        7 | 8 => format!("STORE {number} {sign}FLAGS ({flag})"),
        9 | 10 => {
            belief.conclude(number, add, flag);
            format!("STORE {number} {sign}FLAGS.SILENT ({flag})")
        }
        11 => format!("FETCH {number} (BODY[TEXT]<0.3>)"),
        12 => format!("COPY {number} INBOX"),
        _ => format!("MOVE {number} {}", ["INBOX", "Other"][draw(state, 2)]),
    };
    belief.hear(&world.say(id, format!("t {command}\r\n").as_bytes()));
}
