//! Commands about messages that somebody else has expunged, of which the client is not told yet
//! (RFC 2180 §4).

mod world;

use world::{MAIL, World, append};

/// RFC 5530 §3, EXPUNGEISSUED; RFC 2180 §4.4: what is gone is not copied, and where nothing is
/// left by these numbers the client is told why. UIDs that name nothing are no failure
/// (RFC 3501 §6.4.8).
#[test]
fn numbers_of_messages_that_are_gone_are_not_said_to_be_copied() {
    for (command, answer) in [
        ("COPY 2 Archive", "NO [EXPUNGEISSUED] "),
        ("MOVE 2 Archive", "NO [EXPUNGEISSUED] "),
        ("COPY 1:2 Archive", "OK [COPYUID 4 1 1] "),
        ("MOVE 1:2 Archive", "OK Moved"),
        ("UID COPY 2 Archive", "OK "),
        ("UID MOVE 2 Archive", "OK "),
        ("UID COPY 7 Archive", "OK "),
    ] {
        for sleeps in [false, true] {
            let mut world = World::new(23);
            let (alice, phone) = (world.log_in(), world.log_in());
            append(&mut world, alice, MAIL);
            append(&mut world, alice, MAIL);
            world.say(alice, b"s SELECT INBOX\r\n");
            world.say(phone, b"s SELECT INBOX\r\n");
            if sleeps {
                world.say(phone, b"i IDLE\r\n");
                world.wait_s(6);
                world.say(phone, b"DONE\r\n");
            }
            world.say(alice, b"s STORE 2 +FLAGS (\\Deleted)\r\nx EXPUNGE\r\n");
            let said = world.say(phone, format!("c {command}\r\n").as_bytes());
            assert!(said.contains("* 2 EXPUNGE\r\n"), "{command}: {said}");
            assert!(
                said.contains(&format!("\r\nc {answer}")),
                "{command}: {said}"
            );
            let status = world.say(alice, b"t STATUS Archive (MESSAGES)\r\n");
            let copied = usize::from(command.contains("1:2"));
            assert!(
                status.contains(&format!("(MESSAGES {copied})")),
                "{command}: {status}"
            );
        }
    }
}

/// RFC 5530 §3: a FETCH that leaves out what is gone says that there is something to be told.
#[test]
fn a_fetch_that_leaves_out_what_is_gone_says_so() {
    let mut world = World::new(24);
    let (alice, phone) = (world.log_in(), world.log_in());
    append(&mut world, alice, MAIL);
    append(&mut world, alice, MAIL);
    world.say(phone, b"s SELECT INBOX\r\ni IDLE\r\n");
    world.wait_s(6);
    world.say(phone, b"DONE\r\n");
    world.say(
        alice,
        b"s SELECT INBOX\r\ns STORE 2 +FLAGS (\\Deleted)\r\nx EXPUNGE\r\n",
    );
    let said = world.say(phone, b"f FETCH 1:2 UID\r\nf FETCH 1 UID\r\n");
    let one = "* 1 FETCH (UID 1)\r\n";
    assert_eq!(
        said,
        format!("{one}f OK [EXPUNGEISSUED] Fetched\r\n{one}f OK Fetched\r\n")
    );
}
