//! Sessions with the pure machines: what a client says and what it is told.

mod world;

use restante_core::config::Config;
use restante_core::imap::Peer;
use restante_core::storage::StorageError;
use world::{MAIL, World, append};

fn lines_with<'a>(answer: &'a str, word: &str) -> Vec<&'a str> {
    answer.lines().filter(|line| line.contains(word)).collect()
}

#[test]
fn a_client_that_does_not_read_is_given_no_more_than_the_limit() {
    let mut world = World::new(4);
    let alice = world.log_in();
    let mail = format!("Subject: big\r\n\r\n{}", "x".repeat(3_000_000));
    append(&mut world, alice, &mail);
    world.say(alice, b"s SELECT INBOX\r\n");
    world.set_window(alice, 1_000);
    world.say(alice, b"f FETCH 1 BODY.PEEK[]\r\n");
    let limit = world.config.transmit_bytes_max;
    assert!(world.held_for(alice) > 0);
    assert!(
        world.held_for(alice) <= limit,
        "{} octets are held",
        world.held_for(alice)
    );
    world.set_window(alice, usize::MAX);
    let answer = world.read(alice);
    assert!(answer.ends_with(")\r\nf OK Fetched\r\n"));
    // It reads again, so nothing is cut off; one that never does is.
    world.set_window(alice, 0);
    world.say(alice, b"f FETCH 1 BODY.PEEK[]\r\n");
    world.wait_s(world.config.stall_timeout.as_secs() + 1);
    assert!(world.is_closed(alice));
}

#[test]
fn five_hundred_pipelined_commands_are_answered_in_order() {
    let mut world = World::new(5);
    let alice = world.log_in();
    append(&mut world, alice, MAIL);
    world.say(alice, b"s SELECT INBOX\r\n");
    let commands: String = (0..500)
        .map(|n| format!("t{n} FETCH 1 (UID FLAGS)\r\n"))
        .collect();
    let answer = world.say(alice, commands.as_bytes());
    let tagged: Vec<&str> = lines_with(&answer, " OK ");
    assert_eq!(tagged.len(), 500);
    for (n, line) in tagged.iter().enumerate() {
        assert!(line.starts_with(&format!("t{n} OK")), "{line}");
    }
}

#[test]
fn a_full_pipeline_stops_reading() {
    let mut world = World::new(6);
    let alice = world.log_in();
    let mail = format!("Subject: big\r\n\r\n{}", "x".repeat(1_000_000));
    append(&mut world, alice, &mail);
    world.say(alice, b"s SELECT INBOX\r\n");
    world.set_window(alice, 0);
    world.say(alice, b"f FETCH 1 BODY.PEEK[]\r\n");
    let noops: Vec<u8> = b"n NOOP\r\n".repeat(100_000);
    world.say_octets(alice, &noops);
    let waiting = noops.len() - world.not_taken_from(alice);
    assert!(
        waiting <= world.config.receive_bytes_max,
        "{waiting} octets were taken"
    );
    world.set_window(alice, usize::MAX);
    let answer = world.read(alice);
    assert_eq!(lines_with(&answer, "n OK").len(), 100_000);
}

#[test]
fn malformed_commands_are_answered_and_the_connection_goes_on() {
    let mut world = World::new(7);
    let alice = world.log_in();
    for bad in [
        &b"a FROBNICATE\r\n"[..],
        b"a FETCH 1 FLAGS\r\n",
        b"a LOGIN\r\n",
        b"a LIST \"\r\n",
        b"a SELECT\r\n",
        b"a \xff\xfe\r\n",
        b"a LIST \"\" \"\0\"\r\n",
        b"\r\n",
        b" \r\n",
        b"a\r\n",
        b"(((((\r\n",
        b"a APPEND\r\n",
        b"a APPEND INBOX\r\n",
    ] {
        let answer = world.say(alice, bad);
        assert!(
            answer.contains("BAD "),
            "{:?}: {answer}",
            String::from_utf8_lossy(bad)
        );
        let answer = world.say(alice, b"n NOOP\r\n");
        assert!(answer.ends_with("n OK Nothing was done\r\n"), "{answer}");
    }
}

#[test]
fn mistakes_between_commands_that_succeed_end_no_connection() {
    let mut world = World::new(27);
    let alice = world.log_in();
    let mistakes = world.config.bad_commands_max;
    for _ in 0..3 * mistakes {
        let answer = world.say(alice, b"a COMPRESS DEFLATE\r\nn NOOP\r\n");
        assert!(
            answer.starts_with("a BAD ") && answer.contains("n OK "),
            "{answer}"
        );
    }
    for _ in 0..mistakes {
        assert!(!world.is_closed(alice));
        world.say(alice, b"a COMPRESS DEFLATE\r\n");
    }
    assert!(world.is_closed(alice), "nothing else came in between");
}

#[test]
fn long_lines_and_literals_are_refused_without_losing_the_line() {
    let mut world = World::new(8);
    let alice = world.log_in();
    let long = format!("a LIST \"\" {}\r\nb NOOP\r\n", "x".repeat(200_000));
    let answer = world.say(alice, long.as_bytes());
    assert_eq!(lines_with(&answer, "a BAD").len(), 1, "{answer}");
    assert!(answer.ends_with("b OK Nothing was done\r\n"), "{answer}");
    // A tag that is not whole is nobody's.
    let long = format!(
        "{} NOOP {}\r\nb NOOP\r\n",
        "t".repeat(200),
        "x".repeat(200_000)
    );
    let answer = world.say(alice, long.as_bytes());
    assert!(
        answer.starts_with("* BAD ") && answer.ends_with("b OK Nothing was done\r\n"),
        "{answer}"
    );
    // The client waits for `+` before it sends this literal, so it is simply refused.
    let answer = world.say(alice, b"a SELECT {1000000}\r\nb NOOP\r\n");
    assert!(
        answer.starts_with("a BAD") && answer.ends_with("b OK Nothing was done\r\n"),
        "{answer}"
    );
    // These octets come whether wanted or not; the command after them is no literal.
    let mut octets = b"a SELECT {1000000+}\r\n".to_vec();
    octets.extend(b"c NOOP\r\n".repeat(125_000));
    octets.extend(b"\r\nb NOOP\r\n");
    let answer = world.say_octets(alice, &octets);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("a BAD") && answer.ends_with("b OK Nothing was done\r\n"),
        "{answer}"
    );
    assert_eq!(answer.lines().count(), 2, "{answer}");
}

#[test]
fn a_message_too_big_is_refused_either_way() {
    let config = Config {
        message_bytes_max: 1_000,
        ..Config::default()
    };
    let mut world = World::with_config(9, config);
    let alice = world.log_in();
    let answer = world.say(alice, b"a APPEND INBOX {1001}\r\n");
    assert!(answer.starts_with("a NO [TOOBIG]"), "{answer}");
    let mail = "x".repeat(1_001);
    let command = format!("a APPEND INBOX {{1001+}}\r\n{mail}\r\nb NOOP\r\n");
    let answer = world.say(alice, command.as_bytes());
    assert!(answer.starts_with("a NO [TOOBIG]"), "{answer}");
    assert!(answer.ends_with("b OK Nothing was done\r\n"), "{answer}");
    assert!(world.store.objects.is_empty());
}

#[test]
fn several_messages_come_at_once_or_not_at_all() {
    let mut world = World::new(10);
    let alice = world.log_in();
    let answer = world.say(
        alice,
        b"a APPEND INBOX (\\Seen) {5+}\r\nA: b\n (\\Flagged $Work) \" 7-Feb-1994 21:52:25 -0800\" {6+}\r\nA: bb\n\r\n",
    );
    assert!(
        answer.starts_with("a OK [APPENDUID ") && answer.contains(" 1:2] "),
        "{answer}"
    );
    world.say(alice, b"s SELECT INBOX\r\n");
    let answer = world.say(alice, b"f FETCH 1:2 (FLAGS INTERNALDATE)\r\n");
    assert!(
        answer.contains("* 1 FETCH (FLAGS (\\Seen \\Recent)"),
        "{answer}"
    );
    assert!(answer.contains("* 2 FETCH (FLAGS (\\Flagged $Work \\Recent) INTERNALDATE \" 7-Feb-1994 21:52:25 -0800\")"), "{answer}");
    // The second is refused, so the first does not stay either.
    let answer = world.say(
        alice,
        b"a APPEND INBOX {5+}\r\nA: b\n (\\Recent) {6+}\r\nA: bb\n\r\nn NOOP\r\n",
    );
    assert!(answer.starts_with("a BAD"), "{answer}");
    assert!(
        answer.ends_with("n OK Nothing else was done\r\n") && !answer.contains("EXISTS"),
        "{answer}"
    );
}

#[test]
fn append_to_a_mailbox_that_is_not_there_says_so_before_the_message() {
    let mut world = World::new(11);
    let alice = world.log_in();
    let answer = world.say(alice, b"a APPEND Nowhere {10}\r\n");
    assert!(answer.starts_with("a NO [TRYCREATE]"), "{answer}");
    let answer = world.say(alice, b"a APPEND Nowhere {4+}\r\nA: b\r\nn NOOP\r\n");
    assert!(answer.starts_with("a NO [TRYCREATE]"), "{answer}");
    assert!(answer.ends_with("n OK Nothing was done\r\n"), "{answer}");
}

#[test]
fn expunged_messages_keep_their_numbers_until_they_may_go() {
    let mut world = World::new(12);
    let (alice, phone) = (world.log_in(), world.log_in());
    for _ in 0..3 {
        append(&mut world, alice, MAIL);
    }
    world.say(alice, b"s SELECT INBOX\r\n");
    world.say(phone, b"s SELECT INBOX\r\n");
    let answer = world.say(
        alice,
        b"x STORE 2 +FLAGS.SILENT (\\Deleted)\r\ny EXPUNGE\r\n",
    );
    assert_eq!(
        answer,
        "x OK Stored\r\n* 2 EXPUNGE\r\n* 2 RECENT\r\ny OK Expunged\r\n"
    );
    // The phone still counts three: FETCH may not renumber, and the message can be read.
    let answer = world.say(phone, b"f FETCH 3 (UID)\r\n");
    assert_eq!(answer, "* 3 FETCH (UID 3)\r\nf OK Fetched\r\n");
    let answer = world.say(phone, b"f FETCH 2 BODY.PEEK[HEADER.FIELDS (TO)]\r\n");
    assert!(answer.contains("To: alice@example.org"), "{answer}");
    let answer = world.say(phone, b"n NOOP\r\nf FETCH 2 UID\r\n");
    assert_eq!(
        answer,
        "* 2 EXPUNGE\r\nn OK Nothing else was done\r\n* 2 FETCH (UID 3)\r\nf OK Fetched\r\n"
    );
}

#[test]
fn recent_belongs_to_the_first_session_told() {
    let mut world = World::new(13);
    let (alice, phone) = (world.log_in(), world.log_in());
    append(&mut world, alice, MAIL);
    let answer = world.say(alice, b"e EXAMINE INBOX\r\n");
    assert!(answer.contains("* 1 RECENT"), "{answer}");
    let answer = world.say(phone, b"s SELECT INBOX\r\n");
    assert!(answer.contains("* 1 RECENT"), "{answer}");
    let answer = world.say(alice, b"s SELECT INBOX\r\n");
    assert!(answer.contains("* 0 RECENT"), "{answer}");
    world.wait_s(5);
    world.restart();
    let alice = world.log_in();
    let answer = world.say(alice, b"s SELECT INBOX\r\n");
    assert!(answer.contains("* 1 EXISTS\r\n* 0 RECENT"), "{answer}");
}

#[test]
fn mail_that_comes_while_a_command_waits_is_counted_as_recent() {
    for command in ["NOOP", "STORE 1 +FLAGS (\\Seen)", "EXPUNGE"] {
        let mut world = World::new(28);
        let (alice, phone) = (world.log_in(), world.log_in());
        append(&mut world, phone, MAIL);
        world.say(alice, b"s SELECT INBOX\r\n");
        world.hold_account();
        append(&mut world, phone, MAIL);
        world.say(alice, format!("c {command}\r\n").as_bytes());
        world.release_account();
        let answer = world.read(alice);
        let told = lines_with(&answer, " RECENT");
        assert_eq!(told.last(), Some(&"* 2 RECENT"), "{command}: {answer}");
        assert_eq!(lines_with(&answer, "* 2 EXISTS").len(), 1, "{answer}");
        assert!(
            answer.lines().last().unwrap().starts_with("c OK"),
            "{answer}"
        );
    }
}

#[test]
fn idle_tells_at_once_and_goes_on_after_done() {
    let mut world = World::new(14);
    let (alice, phone) = (world.log_in(), world.log_in());
    world.say(phone, b"s SELECT INBOX\r\n");
    assert_eq!(world.say(phone, b"i IDLE\r\n"), "+ idling\r\n");
    append(&mut world, alice, MAIL);
    assert_eq!(world.read(phone), "* 1 EXISTS\r\n* 1 RECENT\r\n");
    world.wait_s(121);
    assert_eq!(world.read(phone), "* OK Still here\r\n");
    let answer = world.say(phone, b"DONE\r\nf FETCH 1 UID\r\n");
    assert_eq!(
        answer,
        "i OK IDLE is over\r\n* 1 FETCH (UID 1)\r\nf OK Fetched\r\n"
    );
}

#[test]
fn wrong_passwords_and_unknown_users_look_alike_and_take_longer_each_time() {
    let mut world = World::new(15);
    let mut waits = Vec::new();
    for user in ["alice", "nobody"] {
        let id = world.connect();
        world.read(id);
        let mut answers = Vec::new();
        for _ in 0..3 {
            let mut answer = world.say(id, format!("a LOGIN {user} wrong\r\n").as_bytes());
            assert_eq!(answer, "", "the answer came at once");
            let mut seconds = 0;
            while answer.is_empty() {
                world.wait_s(1);
                seconds += 1;
                answer = world.read(id);
            }
            answers.push((seconds, answer));
        }
        assert!(
            answers[0].1.starts_with("a NO [AUTHENTICATIONFAILED]"),
            "{answers:?}"
        );
        assert!(answers[2].0 > answers[0].0, "{answers:?}");
        waits.push(answers);
    }
    assert_eq!(waits[0], waits[1]);
}

#[test]
fn who_knows_the_password_of_an_altered_account_is_sent_to_its_administrator() {
    let mut world = World::new(16);
    let id = world.connect();
    world.read(id);
    for number in 0..20 {
        let answer = world.say(id, b"a LOGIN altered hunter2\r\n");
        let expected = "a NO [CONTACTADMIN] This account is closed until its administrator has looked at it\r\n";
        assert_eq!(answer, expected, "{number}");
    }
    let answer = world.say(id, b"b SELECT INBOX\r\n");
    assert!(answer.starts_with("b BAD"), "{answer}");
    // None of them was a wrong password.
    let answer = world.say(id, b"c LOGIN alice hunter2\r\n");
    assert!(answer.starts_with("c OK"), "{answer}");
}

#[test]
fn plain_is_taken_inline_and_after_the_continuation() {
    let mut world = World::new(16);
    // "", alice, hunter2; alice, alice, hunter2; bob, alice, hunter2
    let plain = "AGFsaWNlAGh1bnRlcjI=";
    let same = "YWxpY2UAYWxpY2UAaHVudGVyMg==";
    let other = "Ym9iAGFsaWNlAGh1bnRlcjI=";
    for command in [
        format!("a AUTHENTICATE PLAIN {plain}\r\n"),
        format!("a AUTHENTICATE PLAIN\r\n{plain}\r\n"),
        format!("a authenticate plain {same}\r\n"),
    ] {
        let id = world.connect();
        let answer = world.say(id, command.as_bytes());
        assert!(answer.contains("a OK [CAPABILITY "), "{command}: {answer}");
    }
    let id = world.connect();
    let answer = world.say(id, format!("a AUTHENTICATE PLAIN {other}\r\n").as_bytes());
    assert!(answer.contains("a NO [AUTHORIZATIONFAILED]"), "{answer}");
    let answer = world.say(id, b"a AUTHENTICATE PLAIN\r\n*\r\n");
    assert!(answer.ends_with("a BAD Cancelled\r\n"), "{answer}");
}

#[test]
fn what_comes_in_the_clear_after_starttls_is_thrown_away() {
    let config = Config {
        starttls: true,
        ..Config::default()
    };
    let mut world = World::with_config(17, config);
    let id = world.connect();
    let answer = world.say(id, b"a STARTTLS\r\nb LOGIN alice hunter2\r\n");
    assert!(answer.starts_with("a OK"), "{answer}");
    assert!(world.asked_for_tls(id));
    world.finish_tls(id);
    assert_eq!(
        world.say(id, b"s SELECT INBOX\r\n"),
        "s BAD Log in first\r\n"
    );
}

#[test]
fn no_password_is_invited_in_the_clear() {
    let mut world = World::new(18);
    let afar = |tls| Peer {
        loopback: false,
        tls,
    };
    for announced in ["{5}", "alice {7}", "{5+}\r\nalice {7}"] {
        let id = world.connect_from(afar(false));
        assert!(world.read(id).contains("LOGINDISABLED"));
        let answer = world.say(id, format!("a login {announced}\r\n").as_bytes());
        assert!(answer.starts_with("a NO [PRIVACYREQUIRED] "), "{answer}");
        assert_eq!(answer.lines().count(), 1, "{answer}");
        // What comes next is a command again.
        let answer = world.say(id, b"b NOOP\r\n");
        assert_eq!(answer, "b OK Nothing was done\r\n", "{announced}");
        let id = world.connect_from(afar(true));
        world.read(id);
        let answer = world.say(id, format!("a login {announced}\r\n").as_bytes());
        assert!(answer.starts_with("+ "), "{announced}: {answer}");
    }
    let id = world.connect_from(afar(false));
    world.read(id);
    assert!(world.say(id, b"a ID {5}\r\n").starts_with("+ "));
}

#[test]
fn a_full_storage_is_a_clear_no_and_leaves_nothing() {
    for kind in ["CreateObject", "WriteChunk", "FinishObject", "InsertItems"] {
        let mut world = World::new(19);
        let alice = world.log_in();
        world.say(alice, b"s SELECT INBOX\r\n");
        world.store.failing.insert(kind, StorageError::Full);
        let answer = append(&mut world, alice, MAIL);
        assert!(answer.contains("p NO [OVERQUOTA]"), "{kind}: {answer}");
        world.store.failing.clear();
        let answer = world.say(alice, b"n NOOP\r\n");
        assert_eq!(answer, "n OK Nothing else was done\r\n", "{kind}");
        let answer = append(&mut world, alice, MAIL);
        assert!(answer.contains("p OK [APPENDUID"), "{kind}: {answer}");
    }
}

#[test]
fn search_finds_by_index_header_and_decoded_text() {
    let mut world = World::new(20);
    let alice = world.log_in();
    append(&mut world, alice, MAIL);
    append(
        &mut world,
        alice,
        "From: bob@example.org\r\nSubject: two\r\nContent-Transfer-Encoding: base64\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nS+RzZQ==\r\n",
    );
    append(
        &mut world,
        alice,
        "From: eve@example.org\r\nSubject: three\r\nContent-Type: application/octet-stream\r\n\r\nlighthouse\r\n",
    );
    append(
        &mut world,
        alice,
        "From: dan@example.net\r\nSubject: four quarterly\r\n\treport\r\nX-Note: of\r\n   winter\r\nContent-Type: application/octet-stream\r\n\r\nx\r\n",
    );
    world.say(
        alice,
        b"s SELECT INBOX\r\nx STORE 2 +FLAGS (\\Flagged $Todo)\r\n",
    );
    for (key, found) in [
        ("ALL", "1 2 3 4"),
        ("FLAGGED", "2"),
        ("KEYWORD $todo", "2"),
        ("UNKEYWORD $Nothing", "1 2 3 4"),
        ("SUBJECT \"gr\u{fc}\u{df}e\"", "1"),
        ("SUBJECT \"quarterly report\"", "4"),
        ("HEADER X-Note \"of winter\"", "4"),
        ("TEXT \"QUARTERLY report\"", "4"),
        ("BODY LIGHTHOUSE", "1"),
        ("TEXT \"K\u{c4}SE\"", "2"),
        ("TEXT ada", "1"),
        ("BODY ada", ""),
        ("FROM example.org NOT FROM bob", "1 3"),
        ("OR SUBJECT two TEXT light", "1 2"),
        ("SENTON 7-Feb-1994", "1"),
        ("HEADER Date \"\"", "1"),
        ("2:* UID 1:2", "2"),
        ("LARGER 200", "1"),
        ("NEW", "1 2 3 4"),
        ("NOT (OR SEEN FLAGGED)", "1 3 4"),
        ("SINCE 14-Nov-2023 BEFORE 15-Nov-2023", "1 2 3 4"),
    ] {
        let answer = world.say(
            alice,
            format!("q SEARCH CHARSET UTF-8 {key}\r\n").as_bytes(),
        );
        let expected = if found.is_empty() {
            "* SEARCH".to_owned()
        } else {
            format!("* SEARCH {found}")
        };
        assert_eq!(answer, format!("{expected}\r\nq OK Searched\r\n"), "{key}");
    }
    let answer = world.say(alice, b"q SEARCH CHARSET KOI8-R ALL\r\n");
    assert!(
        answer.starts_with("q NO [BADCHARSET (US-ASCII UTF-8)]"),
        "{answer}"
    );
    let bomb = format!("q SEARCH {}ALL{}\r\n", "(".repeat(5_000), ")".repeat(5_000));
    assert!(world.say(alice, bomb.as_bytes()).starts_with("q BAD"));
    let bomb = format!("q SEARCH {}ALL\r\n", "NOT ".repeat(2_000));
    assert!(world.say(alice, bomb.as_bytes()).starts_with("q "));
}

#[test]
fn copies_and_moves_name_their_uids() {
    let mut world = World::new(21);
    let alice = world.log_in();
    for _ in 0..4 {
        append(&mut world, alice, MAIL);
    }
    world.say(alice, b"c CREATE Work\r\ns SELECT INBOX\r\n");
    let answer = world.say(alice, b"c COPY 1,3 Work\r\n");
    assert!(
        answer.contains("c OK [COPYUID ") && answer.contains(" 1,3 1:2] "),
        "{answer}"
    );
    let answer = world.say(alice, b"m UID MOVE 2:3 Work\r\n");
    let lines: Vec<&str> = answer.lines().collect();
    assert!(
        lines[0].starts_with("* OK [COPYUID ") && lines[0].contains(" 2:3 3:4]"),
        "{answer}"
    );
    assert_eq!(lines_with(&answer, "EXPUNGE").len(), 2, "{answer}");
    let answer = world.say(alice, b"c COPY 1 Nowhere\r\n");
    assert!(answer.starts_with("c NO [TRYCREATE]"), "{answer}");
    let answer = world.say(alice, b"t STATUS Work (MESSAGES UNSEEN UIDNEXT)\r\n");
    assert!(
        answer.contains("(MESSAGES 4 UNSEEN 4 UIDNEXT 5)"),
        "{answer}"
    );
}

#[test]
fn a_slow_or_silent_client_is_let_go() {
    let mut world = World::new(22);
    let silent = world.connect();
    world.wait_s(world.config.login_timeout.as_secs() + 1);
    assert!(world.is_closed(silent));
    let slow = world.log_in();
    for octet in b"a NOOP and so on and on" {
        world.say(slow, &[*octet]);
        world.wait_s(60);
    }
    assert!(world.is_closed(slow));
    let idle = world.log_in();
    world.wait_s(30 * 60);
    assert!(
        !world.is_closed(idle),
        "thirty minutes of silence are allowed"
    );
    world.wait_s(2 * 60);
    assert!(world.is_closed(idle));
}

#[test]
fn everything_acknowledged_is_there_after_a_restart() {
    let mut world = World::new(23);
    let alice = world.log_in();
    for number in 0..600 {
        append(
            &mut world,
            alice,
            &format!("Subject: {number}\r\n\r\n{number}\r\n"),
        );
    }
    world.say(alice, b"s SELECT INBOX\r\nx STORE 1:300 +FLAGS.SILENT (\\Seen)\r\nx STORE 5,7 +FLAGS.SILENT \\Deleted\r\nx EXPUNGE\r\n");
    let before = world.say(
        alice,
        b"f UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE)\r\n",
    );
    assert_eq!(lines_with(&before, "FETCH (").len(), 598);
    world.restart();
    let alice = world.log_in();
    world.say(alice, b"e EXAMINE INBOX\r\n");
    let after = world.say(
        alice,
        b"f UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE)\r\n",
    );
    assert_eq!(
        before.replace(" \\Recent", "").replace("(\\Recent)", "()"),
        after.replace(" \\Recent", "").replace("(\\Recent)", "()")
    );
}

#[test]
fn a_new_keyword_is_announced_before_it_is_used() {
    let mut world = World::new(24);
    let (alice, phone) = (world.log_in(), world.log_in());
    append(&mut world, alice, MAIL);
    world.say(alice, b"s SELECT INBOX\r\n");
    world.say(phone, b"s SELECT INBOX\r\n");
    let flags = "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Todo)\r\n";
    let told = "* 1 FETCH (UID 1 FLAGS ($Todo \\Recent))\r\n";
    let answer = world.say(alice, b"x STORE 1 +FLAGS ($Todo)\r\n");
    assert_eq!(answer, format!("{flags}{told}x OK Stored\r\n"));
    let answer = world.say(phone, b"n NOOP\r\nn NOOP\r\n");
    let told = told.replace(" \\Recent", "");
    let done = "n OK Nothing else was done\r\n";
    assert_eq!(answer, format!("{flags}{told}{done}{done}"));
}

/// PERMANENTFLAGS, RFC 3501 §7.1.
#[test]
fn no_new_keyword_is_promised_where_none_fits() {
    let config = Config {
        keywords_max: 2,
        ..Config::default()
    };
    let mut world = World::with_config(17, config);
    let alice = world.log_in();
    append(&mut world, alice, MAIL);
    let system = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";
    for (store, permanent) in [
        ("+FLAGS ($One)", "$One \\*"),
        ("+FLAGS ($Two)", "$One $Two"),
        ("-FLAGS ($One)", "$One $Two"),
    ] {
        let commands = format!("s SELECT INBOX\r\nt STORE 1 {store}\r\ns SELECT INBOX\r\n");
        let answer = world.say(alice, commands.as_bytes());
        let last = *lines_with(&answer, "PERMANENTFLAGS").last().unwrap();
        let told = format!("* OK [PERMANENTFLAGS ({system} {permanent})] Flags are kept");
        assert_eq!(last, told, "{store}");
    }
    let answer = world.say(alice, b"t STORE 1 +FLAGS ($Three)\r\n");
    assert!(answer.starts_with("t NO [LIMIT] "), "{answer}");
}

#[test]
fn search_tells_bodies_from_headers_of_parts() {
    let mut world = World::new(25);
    let alice = world.log_in();
    // Far apart, so that the last part is read apart from the first ones.
    let attachment = "QUJD\r\n".repeat(30_000);
    let mail = format!(
        "Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         preamble of no part\r\n--b\r\nContent-Type: text/plain\r\nX-Part: firstheader\r\n\r\n\
         the first text\r\n--b\r\nContent-Type: application/octet-stream\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{attachment}\r\n--b\r\n\
         Content-Type: message/rfc822\r\n\r\nSubject: nestedsubject\r\n\r\nnested text\r\n\
         --b\r\nContent-Type: text/plain; charset=us-ascii\r\nX-Part: lastheader\r\n\r\n\
         the last text\r\n--b--\r\n"
    );
    append(&mut world, alice, &mail);
    world.say(alice, b"s SELECT INBOX\r\n");
    for (key, found) in [
        ("BODY \"first text\"", true),
        ("BODY \"last text\"", true),
        ("BODY \"nested text\"", true),
        ("BODY nestedsubject", false),
        ("TEXT nestedsubject", true),
        ("BODY firstheader", false),
        ("TEXT firstheader", true),
        ("TEXT lastheader BODY nested", true),
        ("TEXT preamble", false),
        ("TEXT ABCABC", false),
        ("TEXT QUJD", false),
        ("TEXT \"text the\"", false),
    ] {
        let answer = world.say(alice, format!("q SEARCH {key}\r\n").as_bytes());
        let expected = if found { "* SEARCH 1" } else { "* SEARCH" };
        assert_eq!(answer, format!("{expected}\r\nq OK Searched\r\n"), "{key}");
    }
    let opened = world.store.count("OpenObject");
    world.say(alice, b"q SEARCH TEXT absent\r\n");
    assert_eq!(
        world.store.count("OpenObject") - opened,
        2,
        "parts close together are read together"
    );
}

#[test]
fn what_is_not_offered_is_refused_and_not_left_out() {
    let mut world = World::new(26);
    let alice = world.log_in();
    append(&mut world, alice, MAIL);
    world.say(alice, b"s SELECT INBOX\r\n");
    for command in [
        "a UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)",
        "a SEARCH RETURN (SAVE) ALL",
    ] {
        let answer = world.say(alice, format!("{command}\r\n").as_bytes());
        assert!(
            answer.starts_with("a BAD ") && answer.lines().count() == 1,
            "{answer}"
        );
    }
    let answer = world.say(alice, b"f FETCH 1 UID\r\n");
    assert_eq!(answer, "* 1 FETCH (UID 1)\r\nf OK Fetched\r\n");
}
