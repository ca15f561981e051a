//! IDLE by the clock, as clients renew it, and what it costs: nothing.

mod world;

use restante_core::account::ConnectionId;
use world::World;

const STILL_HERE: &str = "* OK Still here\r\n";

/// A client with a mailbox of ten messages open, and nothing left to do for the account.
fn at_rest(world: &mut World) -> ConnectionId {
    let alice = world.log_in();
    let mail = "Subject: one of ten\r\n\r\ntext\r\n";
    for _ in 0..10 {
        let append = format!("a APPEND INBOX {{{}+}}\r\n{mail}\r\n", mail.len());
        let answer = world.say(alice, append.as_bytes());
        assert!(answer.contains("a OK"), "{answer}");
    }
    world.say(alice, b"s SELECT INBOX\r\n");
    // A sweep of the account, and `\Recent` that is written down.
    world.wait_s(60);
    world.read(alice);
    alice
}

/// Requests of all kinds that storage has had.
fn requests(world: &World) -> u64 {
    world.store.requests.values().sum()
}

fn begin(world: &mut World, id: ConnectionId) {
    let answer = world.say(id, b"i IDLE\r\n");
    assert_eq!(answer, "+ idling\r\n");
}

fn end(world: &mut World, id: ConnectionId) {
    let answer = world.say(id, b"DONE\r\n");
    assert!(answer.ends_with("i OK IDLE is over\r\n"), "{answer}");
}

#[test]
fn entering_and_leaving_idle_asks_storage_for_nothing() {
    let mut world = World::new(1);
    let alice = at_rest(&mut world);
    let before = requests(&world);
    for _ in 0..1_000 {
        begin(&mut world, alice);
        world.wait_s(2);
        end(&mut world, alice);
        world.wait_s(2);
    }
    assert_eq!(requests(&world), before);
}

#[test]
fn the_flags_of_a_whole_mailbox_come_from_the_index_alone() {
    let mut world = World::new(2);
    let alice = at_rest(&mut world);
    let before = requests(&world);
    for _ in 0..10 {
        let answer = world.say(alice, b"f UID FETCH 1:* (FLAGS)\r\n");
        assert_eq!(answer.matches(" FETCH (").count(), 10, "{answer}");
    }
    assert_eq!(requests(&world), before, "the mailbox is open");
    world.restart();
    let alice = world.log_in();
    let answer = world.say(alice, b"s SELECT INBOX\r\nf UID FETCH 1:* (FLAGS)\r\n");
    assert_eq!(answer.matches(" FETCH (").count(), 10, "{answer}");
    assert!(world.store.objects.len() >= 10, "each message is one");
    // A checkpoint is the one object that may be read.
    assert!(world.store.count("OpenObject") <= 1);
}

#[test]
fn a_sign_of_life_comes_every_two_minutes_of_idle() {
    let mut world = World::new(3);
    let alice = at_rest(&mut world);
    begin(&mut world, alice);
    world.wait_s(119);
    assert_eq!(world.read(alice), "");
    for _ in 0..10 {
        world.wait_s(120);
        assert_eq!(world.read(alice), STILL_HERE);
    }
    end(&mut world, alice);
    world.wait_s(600);
    assert_eq!(world.read(alice), "", "outside IDLE nothing is said");
}

#[test]
fn two_minutes_are_counted_from_what_was_told_last() {
    let mut world = World::new(7);
    let alice = at_rest(&mut world);
    let bob = world.log_in();
    begin(&mut world, alice);
    world.wait_s(100);
    // IDLE ends and begins in one packet.
    let answer = world.say(alice, b"DONE\r\ni IDLE\r\n");
    assert_eq!(answer, "i OK IDLE is over\r\n+ idling\r\n");
    world.wait_s(119);
    assert_eq!(world.read(alice), "");
    world.say(bob, b"a APPEND INBOX {3+}\r\nx\n\r\n");
    world.wait_s(0);
    assert!(world.read(alice).contains("* 11 EXISTS\r\n"));
    world.wait_s(119);
    assert_eq!(world.read(alice), "");
    // The news took its time as well.
    world.wait_s(2);
    assert_eq!(world.read(alice), STILL_HERE);
}

#[test]
fn an_empty_line_is_no_end_of_idle() {
    let mut world = World::new(8);
    let alice = at_rest(&mut world);
    begin(&mut world, alice);
    for nothing in [&b"\r\n"[..], b"\n", b"  \r\n", b"\r\n\r\n"] {
        assert_eq!(world.say(alice, nothing), "");
    }
    // Nor is it a reason to wait for longer.
    for _ in 0..32 {
        world.wait_s(60);
        world.say(alice, b"\r\n");
    }
    assert!(world.is_closed(alice));
    let alice = world.log_in();
    world.say(alice, b"i IDLE\r\n");
    let answer = world.say(alice, b"\r\nDONE\r\nn NOOP\r\n");
    assert_eq!(answer, "i OK IDLE is over\r\nn OK Nothing was done\r\n");
}

#[test]
fn idle_that_is_renewed_in_time_goes_on_for_a_day() {
    for (minutes, who) in [(24, "K-9"), (29, "offlineimap, Thunderbird")] {
        let mut world = World::new(4);
        let alice = at_rest(&mut world);
        begin(&mut world, alice);
        for _ in 0..24 * 60 / minutes {
            world.wait_s(minutes * 60);
            let said = world.read(alice);
            let signs = said.matches(STILL_HERE).count();
            assert_eq!(said, STILL_HERE.repeat(signs), "{who}");
            // The two minutes begin anew with each IDLE, also with one in the packet of DONE.
            assert_eq!(signs, usize::try_from(minutes / 2).unwrap(), "{who}");
            let answer = world.say(alice, b"DONE\r\ni IDLE\r\n");
            assert_eq!(answer, "i OK IDLE is over\r\n+ idling\r\n", "{who}");
        }
        assert!(!world.is_closed(alice), "{who}");
    }
}

#[test]
fn idle_that_nobody_renews_lasts_for_half_an_hour() {
    let mut world = World::new(5);
    let alice = at_rest(&mut world);
    begin(&mut world, alice);
    world.wait_s(30 * 60);
    assert!(!world.is_closed(alice), "RFC 3501 §5.4");
    world.wait_s(2 * 60);
    assert!(world.is_closed(alice));
    let said = world.read(alice);
    assert!(
        said.ends_with("* BYE You were silent for too long\r\n"),
        "{said}"
    );
}

#[test]
fn noop_every_two_to_nine_minutes_keeps_a_connection() {
    for minutes in [2, 9] {
        let mut world = World::new(6);
        let alice = at_rest(&mut world);
        for _ in 0..24 * 60 / minutes {
            world.wait_s(minutes * 60);
            let answer = world.say(alice, b"n NOOP\r\n");
            assert_eq!(answer.matches("n OK ").count(), 1, "{answer}");
        }
    }
}
