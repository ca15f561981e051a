//! What the model of IMAP found (docs/modelling.md), with the pure machines.

mod world;

use restante_core::account::ConnectionId;
use world::World;

const MAIL: &str = "Subject: hello\r\n\r\nThe lighthouse keeps its light.\r\n";

fn append(world: &mut World, id: ConnectionId) {
    let command = format!("p APPEND INBOX {{{}+}}\r\n{MAIL}\r\n", MAIL.len());
    assert!(world.say(id, command.as_bytes()).contains("p OK"));
}

/// Says a command (without CRLF) and returns what is answered.
fn say(world: &mut World, id: ConnectionId, command: &str) -> String {
    world.say(id, format!("{command}\r\n").as_bytes())
}

#[test]
fn what_was_told_of_a_message_is_not_taken_back_when_it_is_gone() {
    let mut world = World::new(1);
    let (alice, other) = (world.log_in(), world.log_in());
    append(&mut world, alice);
    append(&mut world, alice);
    for client in [alice, other] {
        say(&mut world, client, "s SELECT INBOX");
    }
    // An expunge that cannot be told during STORE holds the first view of the mailbox.
    say(&mut world, other, "x STORE 1:2 +FLAGS (\\Deleted)");
    say(&mut world, alice, "x NOOP");
    say(&mut world, other, "x UID EXPUNGE 1");
    let stored = say(
        &mut world,
        alice,
        "x STORE 2 (UNCHANGEDSINCE 1000) FLAGS (\\Seen)",
    );
    let (_, modseq) = stored.split_once("MODSEQ (").expect("the change is told");
    let (modseq, _) = modseq.split_once(')').expect("a number in brackets");
    assert!(stored.contains("FLAGS (\\Seen "), "{stored}");
    say(&mut world, other, "x STORE 1 +FLAGS (\\Deleted)");
    say(&mut world, other, "x EXPUNGE");
    for _ in 0..2 {
        let fetched = say(&mut world, alice, "x FETCH 2 (FLAGS MODSEQ)");
        assert!(fetched.contains("\\Seen"), "{fetched}");
        let (_, told) = fetched.split_once("MODSEQ (").expect("it is fetched");
        let (told, _) = told.split_once(')').expect("a number in brackets");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        assert!(number(told) >= number(modseq), "{stored}{fetched}");
    }
    let told = say(&mut world, alice, "x NOOP");
    assert!(told.contains("* 2 EXPUNGE\r\n* 1 EXPUNGE\r\n"), "{told}");
}
