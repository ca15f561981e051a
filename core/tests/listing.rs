//! Which names LIST and LSUB tell, and what of them (RFC 3501 §6.3.8 and §6.3.9, RFC 5258,
//! RFC 5819).

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in #[test] only, not beside it"
)]

mod world;

use restante_core::account::ConnectionId;
use world::World;

/// What the command is told, without its tag and how it ended.
fn say(world: &mut World, id: ConnectionId, command: &str) -> String {
    let answer = world.say(id, format!("a {command}\r\n").as_bytes());
    let (lines, end) = answer.rsplit_once("a OK ").unwrap_or(("", &answer));
    assert!(end.ends_with("\r\n") && !lines.contains("a "), "{answer}");
    lines.to_owned()
}

/// Somebody who has these mailboxes beside the usual ones, and these subscriptions only.
fn with(mailboxes: &[&str], subscribed: &[&str]) -> (World, ConnectionId) {
    let mut world = World::new(9);
    let alice = world.log_in();
    for name in mailboxes {
        say(&mut world, alice, &format!("CREATE {name}"));
    }
    for name in ["INBOX", "Drafts", "Sent", "Archive", "Junk", "Trash"] {
        say(&mut world, alice, &format!("UNSUBSCRIBE {name}"));
    }
    for name in subscribed {
        say(&mut world, alice, &format!("SUBSCRIBE {name}"));
    }
    (world, alice)
}

/// RFC 5258 §5, example 9, and §3.3.
#[test]
fn a_parent_is_listed_for_its_children_only_where_they_are_not() {
    let (mut world, alice) = with(
        &["foo2/bar1", "foo2/bar2", "baz2/bar2", "eps2/mamba"],
        &["foo2/bar1", "foo2/bar2", "baz2/bar2", "eps2", "eps2/mamba"],
    );
    assert_eq!(
        say(
            &mut world,
            alice,
            "LIST (RECURSIVEMATCH SUBSCRIBED) \"\" *2"
        ),
        "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"baz2/bar2\"\r\n\
         * LIST (\\HasChildren \\Subscribed) \"/\" \"eps2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n\
         * LIST (\\HasChildren) \"/\" \"foo2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n\
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"foo2/bar2\"\r\n"
    );
    assert_eq!(
        say(&mut world, alice, "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" *"),
        "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"baz2/bar2\"\r\n\
         * LIST (\\HasChildren \\Subscribed) \"/\" \"eps2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n\
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"eps2/mamba\"\r\n\
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"foo2/bar1\"\r\n\
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"foo2/bar2\"\r\n"
    );
}

/// RFC 5819 §3.
#[test]
fn what_is_listed_for_its_children_has_no_status() {
    let (mut world, alice) = with(&["foo/bar"], &["INBOX", "foo/bar"]);
    let list = "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" % RETURN (STATUS (MESSAGES))";
    assert_eq!(
        say(&mut world, alice, list),
        "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"\r\n\
         * STATUS \"INBOX\" (MESSAGES 0)\r\n\
         * LIST (\\HasChildren) \"/\" \"foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
    );
}

/// A parent that the other options do not want is told for children that they do
/// (RFC 5258 §3.1).
#[test]
fn children_that_are_told_of_meet_all_that_was_asked_for() {
    let (mut world, alice) = with(&["foo/bar", "moo/baz"], &["foo/bar", "moo/baz"]);
    say(&mut world, alice, "CREATE new/sent (USE (\\Sent))");
    say(&mut world, alice, "SUBSCRIBE new/sent");
    let list = "LIST (SUBSCRIBED SPECIAL-USE RECURSIVEMATCH) \"\" %";
    assert_eq!(
        say(&mut world, alice, list),
        "* LIST (\\HasChildren) \"/\" \"new\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
    );
}

/// RFC 3501 §6.3.9: it takes a `%` to be told of what is not subscribed to.
#[test]
fn lsub_tells_of_parents_where_there_is_a_percent_sign() {
    let (mut world, alice) = with(&["Foo/Bar"], &["Foo/Bar"]);
    assert_eq!(say(&mut world, alice, "LSUB \"\" Foo"), "");
    assert_eq!(say(&mut world, alice, "LSUB \"\" *o"), "");
    let parent = "* LSUB (\\Noselect) \"/\" \"Foo\"\r\n";
    assert_eq!(say(&mut world, alice, "LSUB \"\" %"), parent);
    assert_eq!(say(&mut world, alice, "LSUB \"\" F%"), parent);
    let child = "* LSUB () \"/\" \"Foo/Bar\"\r\n";
    assert_eq!(say(&mut world, alice, "LSUB \"\" *"), child);
}

/// Two servers on one storage. The first deletes `Work` while the second makes `Work/New`,
/// between its reading that `Work` is there and its writing.
fn below_what_another_deleted() -> (World, ConnectionId) {
    let mut first = World::new(9);
    let mut second = World::new(9);
    // Two servers draw other numbers.
    second.log_in();
    let alice = first.log_in();
    say(&mut first, alice, "CREATE Work");
    second.store = core::mem::take(&mut first.store);
    second.restart();
    let phone = second.log_in();
    // The last request of a CREATE is the one that writes.
    second.hold_account();
    second.say(phone, b"a CREATE Work/Other\r\n");
    let mut requests = 0;
    while second.release() {
        requests += 1;
    }
    assert_eq!(second.read(phone), "a OK Created\r\n");
    second.say(phone, b"a DELETE Work/Other\r\n");
    while second.release() {}
    assert_eq!(second.read(phone), "a OK Deleted\r\n");
    second.say(phone, b"a CREATE Work/New\r\n");
    for _ in 1..requests {
        second.release();
    }
    first.store = core::mem::take(&mut second.store);
    say(&mut first, alice, "DELETE Work");
    second.store = core::mem::take(&mut first.store);
    second.release_account();
    assert_eq!(second.read(phone), "a OK Created\r\n");
    second.wait_s(60);
    (second, phone)
}

/// RFC 3501 §6.3.8, RFC 5258 §3.5 and §5, example 11.
#[test]
fn a_superior_that_is_no_mailbox_is_listed_for_what_is_below_it() {
    let (mut world, alice) = below_what_another_deleted();
    let below = "* LIST (\\HasNoChildren) \"/\" \"Work/New\"\r\n";
    assert_eq!(say(&mut world, alice, "LIST \"\" Work*"), below);
    assert_eq!(say(&mut world, alice, "LIST \"\" (Work Work/New)"), below);
    let superior = "* LIST (\\Noselect \\HasChildren) \"/\" \"Work\"\r\n";
    for list in ["LIST \"\" W%", "LIST \"\" Work"] {
        assert_eq!(say(&mut world, alice, list), superior, "{list}");
    }
    assert!(say(&mut world, alice, "LIST \"\" %").contains(superior));
    let xlist = say(&mut world, alice, "XLIST \"\" W%");
    assert_eq!(xlist, superior.replace("* LIST", "* XLIST"));
    let none = "* LIST (\\NonExistent \\HasChildren) \"/\" \"Work\"\r\n";
    for list in [
        "LIST () \"\" W%",
        "LIST \"\" W% RETURN (STATUS (MESSAGES))",
        "LIST \"\" (Work)",
    ] {
        assert_eq!(say(&mut world, alice, list), none, "{list}");
    }
    // It meets no criterion itself, and below it is nothing that does.
    assert_eq!(say(&mut world, alice, "LIST (SPECIAL-USE) \"\" W%"), "");
    assert_eq!(say(&mut world, alice, "LIST (SUBSCRIBED) \"\" W%"), "");
    say(&mut world, alice, "SUBSCRIBE Work/New");
    assert_eq!(
        say(
            &mut world,
            alice,
            "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" W%"
        ),
        "* LIST (\\NonExistent \\HasChildren) \"/\" \"Work\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
    );
    assert_eq!(
        say(&mut world, alice, "LSUB \"\" W%"),
        "* LSUB (\\Noselect) \"/\" \"Work\"\r\n"
    );
}

/// RFC 3501 §6.3.3 to §6.3.5.
#[test]
fn a_superior_that_is_no_mailbox_can_be_made_and_renamed_and_not_deleted() {
    let (mut world, alice) = below_what_another_deleted();
    assert_eq!(
        world.say(alice, b"a DELETE Work\r\n"),
        "a NO [CANNOT] It has children\r\n"
    );
    assert_eq!(
        world.say(alice, b"a RENAME Work Work/Old\r\n"),
        "a NO [CANNOT] It cannot be moved below itself\r\n"
    );
    assert_eq!(
        world.say(alice, b"a RENAME Wor X\r\n"),
        "a NO [NONEXISTENT] There is no such mailbox\r\n"
    );
    assert!(say(&mut world, alice, "RENAME Work Play/Day").is_empty());
    assert_eq!(
        say(&mut world, alice, "LIST \"\" (Work* Play*)"),
        "* LIST (\\HasChildren) \"/\" \"Play\"\r\n\
         * LIST (\\HasNoChildren) \"/\" \"Play/Day/New\"\r\n"
    );
    assert!(say(&mut world, alice, "CREATE Play/Day").is_empty());
    assert_eq!(
        say(&mut world, alice, "LIST \"\" Play/D*"),
        "* LIST (\\HasChildren) \"/\" \"Play/Day\"\r\n\
         * LIST (\\HasNoChildren) \"/\" \"Play/Day/New\"\r\n"
    );
}
