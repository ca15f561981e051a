//! Clients that are slow, broken, or up to something.

use crate::world::World;
use crate::{begin, codes, count, data, greeted, messages};
use restante_core::config::Config;

/// What servers have been known to take for the end of a message.
const FALSE_ENDS: [&[u8]; 9] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n\r.\r\n",
    b"\r\n\n.\r\n",
    b"\r\r\n.\r\r\n",
];

#[test]
fn no_second_message_is_smuggled() {
    for end in FALSE_ENDS {
        let mut world = World::new(1);
        let id = greeted(&mut world);
        begin(&mut world, id, &["alice", "bob"]);
        let smuggled = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<alice>\r\nDATA\r\nevil\r\n.\r\n";
        let octets = [b"a: b\r\n\r\ntext", end, smuggled].concat();
        let answer = data(&mut world, id, &octets);
        assert_eq!(codes(&answer), ["554 5.6.0"; 2], "{}", end.escape_ascii());
        assert_eq!(count(&mut world), 0, "{}", end.escape_ascii());
        assert_eq!(world.store.objects.len(), 0, "nothing is left of it");
        // In a chunk nothing is an end, but it is no message either.
        begin(&mut world, id, &["alice"]);
        let chunk = [
            format!("BDAT {} LAST\r\n", octets.len()).as_bytes(),
            &octets,
        ]
        .concat();
        assert_eq!(codes(&world.say(id, &chunk)), ["554 5.6.0"]);
        assert_eq!(count(&mut world), 0);
        begin(&mut world, id, &["alice"]);
        assert_eq!(
            codes(&data(&mut world, id, b"good\r\n.\r\n")),
            ["250 2.0.0"]
        );
    }
    // The CR of a chunk and the LF of the next are a line end.
    let mut world = World::new(1);
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice"]);
    let answer = world.say(id, b"BDAT 2\r\na\rBDAT 1 LAST\r\n\n");
    assert_eq!(codes(&answer), ["250 2.0.0"; 2]);
    begin(&mut world, id, &["alice"]);
    let answer = world.say(id, b"BDAT 2\r\na\rBDAT 0 LAST\r\n");
    assert_eq!(codes(&answer), ["250 2.0.0", "554 5.6.0"]);
    assert!(messages(&mut world)[0].ends_with(b"\r\na\r\n"));
}

#[test]
fn a_bare_line_end_in_a_command_ends_the_connection() {
    for octets in [
        &b"NOOP\nMAIL FROM:<>\r\n"[..],
        b"NOOP\rMAIL FROM:<>\r\n",
        b"\nNOOP\r\n",
        b"MAIL FROM:<a@b>\r\r\nNOOP\r\n",
    ] {
        let mut world = World::new(1);
        let id = greeted(&mut world);
        let answer = world.say(id, octets);
        assert_eq!(codes(&answer), ["500 5.5.2"], "{}", octets.escape_ascii());
        assert!(world.is_closed(id));
    }
}

#[test]
fn lines_are_limited() {
    let mut world = World::new(1);
    let id = greeted(&mut world);
    let line = |len: usize| [&b"NOOP "[..], &b"x".repeat(len - 7), b"\r\n"].concat();
    assert_eq!(codes(&world.say(id, &line(2_048))), ["250 2.0.0"]);
    assert_eq!(codes(&world.say(id, &line(2_049))), ["500 5.5.2"]);
    let answer = world.say(id, &[&line(1_000_000)[..], b"NOOP\r\n"].concat());
    assert_eq!(codes(&answer), ["500 5.5.2", "250 2.0.0"]);
}

#[test]
fn commands_that_make_no_sense_are_limited() {
    let mut world = World::new(1);
    let id = greeted(&mut world);
    let answer = world.say(id, &b"WHAT\r\n".repeat(19));
    assert_eq!(codes(&answer), ["500 5.5.1"; 19]);
    // Whoever delivers in between is no enemy.
    world.say(id, b"MAIL FROM:<>\r\nRSET\r\n");
    let answer = world.say(id, &b"WHAT\r\n".repeat(30));
    assert_eq!(codes(&answer)[19..], ["500 5.5.1", "421 4.7.0"]);
    assert!(world.is_closed(id));
}

#[test]
fn time_is_limited() {
    // A command.
    let mut world = World::new(1);
    let id = greeted(&mut world);
    world.say(id, b"NO");
    world.wait_s(299);
    assert_eq!(codes(&world.say(id, b"OP\r\n")), ["250 2.0.0"]);
    world.wait_s(299);
    assert!(!world.is_closed(id));
    world.wait_s(2);
    assert_eq!(codes(&world.read(id)), ["421 4.4.2"]);
    assert!(world.is_closed(id));
    // Octets of a message, one by one.
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice"]);
    data(&mut world, id, b"x");
    world.wait_s(120);
    assert_eq!(world.say(id, b"x"), "");
    world.wait_s(61);
    assert_eq!(codes(&world.read(id)), ["421 4.4.2"]);
    assert!(world.is_closed(id));
    // A whole message, which comes steadily but never ends.
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice"]);
    data(&mut world, id, b"x");
    for _ in 0..35 {
        assert_eq!(world.say(id, &b"x".repeat(20_000)), "");
        world.wait_s(100);
    }
    assert!(!world.is_closed(id));
    world.wait_s(101);
    assert_eq!(codes(&world.read(id)), ["421 4.4.2"]);
    assert_eq!(world.post.taken(), 0);
    // Chunks that stop coming.
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice"]);
    world.say(id, b"BDAT 1\r\nx");
    world.wait_s(301);
    assert_eq!(codes(&world.read(id)), ["421 4.4.2"]);
    assert_eq!(world.post.taken(), 0);
    assert_eq!(count(&mut world), 0);
}

#[test]
fn a_client_that_never_reads() {
    let config = Config {
        transmit_bytes_max: 1_024,
        receive_bytes_max: 2_048,
        ..Config::default()
    };
    let mut world = World::with_config(1, config);
    let id = greeted(&mut world);
    world.set_window(id, 0);
    world.say(id, &b"NOOP\r\n".repeat(10_000));
    assert!(world.held_for(id) <= 1_024 + 100, "{}", world.held_for(id));
    assert!(world.not_taken_from(id) > 50_000);
    world.wait_s(301);
    assert!(world.is_closed(id));
}
