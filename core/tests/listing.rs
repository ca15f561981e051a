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
