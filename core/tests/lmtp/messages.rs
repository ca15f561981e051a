//! Messages that come and are read again.

use crate::world::World;
use crate::{begin, codes, count, data, greeted, messages, with_head};
use proptest::prelude::*;
use restante_core::config::Config;

const MAIL: &[u8] = b"From: Ada <ada@example.org>\r\nSubject: hello\r\n\r\nOne\r\n.two\r\n..\r\n";
const STUFFED: &[u8] =
    b"From: Ada <ada@example.org>\r\nSubject: hello\r\n\r\nOne\r\n..two\r\n...\r\n.\r\n";

#[test]
fn a_message_is_read_as_it_came() {
    let mut world = World::new(1);
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice+lists@example.org"]);
    assert_eq!(codes(&data(&mut world, id, STUFFED)), ["250 2.0.0"]);
    let expected = with_head("alice+lists@example.org", MAIL);
    assert_eq!(messages(&mut world), [expected]);
    // The next one, from nobody, with an address that has to be quoted.
    world.say(id, b"MAIL FROM:<>\r\nRCPT TO:<\"alice\"@example.org>\r\n");
    assert_eq!(codes(&data(&mut world, id, b".\r\n")), ["250 2.0.0"]);
    let head = b"Return-Path: <>\r\nDelivered-To: \"alice\"@example.org\r\n";
    assert_eq!(messages(&mut world)[1], head);
}

#[test]
fn a_list_of_delivered_messages_opens_no_objects() {
    let mut world = World::new(1);
    let id = greeted(&mut world);
    for _ in 0..3 {
        begin(&mut world, id, &["alice"]);
        assert_eq!(codes(&data(&mut world, id, STUFFED)), ["250 2.0.0"]);
    }
    let alice = world.log_in();
    world.say(alice, b"s SELECT INBOX\r\n");
    let before = world.store.count("OpenObject");
    let list = |world: &mut World| {
        let told = world.say(alice, b"f FETCH 1:* (ENVELOPE BODYSTRUCTURE)\r\n");
        assert_eq!(told.matches("\"hello\"").count(), 3, "{told}");
    };
    list(&mut world);
    assert_eq!(world.store.count("OpenObject"), before);
    // What is damaged there is in the object as well.
    let items = world.store.items.iter_mut();
    let summaries = items.filter(|(key, _)| key.partition.0.ends_with("/s"));
    let mut damaged = 0;
    for (_, value) in summaries {
        let mut octets = value.to_vec();
        octets[40] ^= 1;
        *value = octets.into();
        damaged += 1;
    }
    assert_eq!(damaged, 3);
    list(&mut world);
    assert!(world.store.count("OpenObject") > before);
}

#[test]
fn whoever_idles_is_told() {
    let mut world = World::new(1);
    let alice = world.log_in();
    world.say(alice, b"s SELECT INBOX\r\n");
    world.say(alice, b"i IDLE\r\n");
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice"]);
    data(&mut world, id, STUFFED);
    let told = world.read(alice);
    assert!(told.contains("* 1 EXISTS\r\n"), "{told}");
}

#[test]
fn one_answer_for_each_recipient_and_one_copy_for_each_account() {
    let mut world = World::new(1);
    let id = greeted(&mut world);
    let recipients = ["alice+a", "bob", "sales@example.org", "alice"];
    begin(&mut world, id, &recipients);
    assert_eq!(codes(&data(&mut world, id, STUFFED)), ["250 2.0.0"; 4]);
    assert_eq!(messages(&mut world), [with_head("alice+a", MAIL)]);
    let bob = crate::world::keys_of("bob").account().to_string();
    let objects = world.store.objects.keys();
    assert_eq!(objects.filter(|key| key.0.contains(&bob)).count(), 1);
    assert_eq!(world.post.taken(), 0, "the room is free again");
}

#[test]
fn everything_may_be_sent_ahead() {
    let mut world = World::new(1);
    let id = world.connect_lmtp();
    world.read(id);
    let answer = world.say(
        id,
        b"LHLO a\r\nMAIL FROM:<ada@example.net>\r\nRCPT TO:<nobody>\r\nRCPT TO:<alice>\r\n\
          DATA\r\n",
    );
    let expected = ["250 2.1.0", "550 5.1.1", "250 2.1.5", "354 End t"];
    assert_eq!(codes(&answer)[7..], expected);
    let answer = world.say(
        id,
        b"a: b\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<nobody>\r\nDATA\r\nRSET\r\nQUIT\r\n",
    );
    let expected = [
        "250 2.0.0",
        "250 2.1.0",
        "550 5.1.1",
        "503 5.5.1",
        "250 2.0.0",
        "221 2.0.0",
    ];
    assert_eq!(codes(&answer), expected);
    assert_eq!(count(&mut world), 1);
}

#[test]
fn chunks() {
    let mut world = World::new(1);
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice", "bob"]);
    let answer = world.say(
        id,
        b"BDAT 6\r\na: b\r\nBDAT 0\r\nDATA\r\nMAIL FROM:<>\r\nRCPT TO:<bob>\r\n",
    );
    let expected = [
        "250 2.0.0",
        "250 2.0.0",
        "503 5.5.1",
        "503 5.5.1",
        "503 5.5.1",
    ];
    assert_eq!(codes(&answer), expected);
    let answer = world.say(id, b"BDAT 5 LAST\r\n.\r\n\r\nNOOP\r\n");
    assert_eq!(codes(&answer), ["250 2.0.0"; 3]);
    assert_eq!(
        messages(&mut world),
        [with_head("alice", b"a: b\r\n.\r\n\r\n")]
    );

    // One that is not the last throws nothing away but the octets in it.
    begin(&mut world, id, &["alice"]);
    let answer = world.say(id, b"BDAT 3\r\nabcBDAT 0 LAST\r\n");
    assert_eq!(codes(&answer), ["250 2.0.0"; 2]);
    assert_eq!(messages(&mut world)[1], with_head("alice", b"abc"));

    // RSET forgets the chunks before.
    begin(&mut world, id, &["alice"]);
    let answer = world.say(id, b"BDAT 3\r\nabcRSET\r\nBDAT 3 LAST\r\nabcNOOP\r\n");
    // The last chunk has no recipient, and so no answer (RFC 2033 §4.3).
    assert_eq!(codes(&answer), ["250 2.0.0"; 3]);
    assert_eq!(count(&mut world), 2);
    let answer = world.say(id, b"BDAT 5\r\nNOOP\nBDAT 5 LAST\r\nNOOP\nNOOP\r\n");
    assert_eq!(codes(&answer), ["503 5.5.1", "250 2.0.0"]);
}

fn small() -> Config {
    Config {
        message_bytes_max: 100,
        skip_bytes_max: 1_000,
        chunk_bytes: 16,
        receive_bytes_max: 64,
        ..Config::default()
    }
}

#[test]
fn what_is_too_big_is_refused_at_its_end() {
    let mut world = World::with_config(1, small());
    let id = greeted(&mut world);
    // The largest one: what stands in front of it does not count.
    for (len, expected) in [(98, "250 2.0.0"), (99, "552 5.3.4"), (800, "552 5.3.4")] {
        begin(&mut world, id, &["alice", "bob"]);
        let octets = [&b"x".repeat(len)[..], b"\r\n.\r\n"].concat();
        assert_eq!(
            codes(&data(&mut world, id, &octets)),
            [expected; 2],
            "{len}"
        );
        begin(&mut world, id, &["alice", "bob"]);
        let text = "x".repeat(len);
        let chunks = format!("BDAT {len}\r\n{text}BDAT 2 LAST\r\n\r\n");
        let answer = world.say(id, chunks.as_bytes());
        let first = if len > 100 { expected } else { "250 2.0.0" };
        assert_eq!(codes(&answer), [first, expected, expected], "{len}");
    }
    assert_eq!(count(&mut world), 2);
    assert_eq!(
        world.store.objects.len(),
        4,
        "nothing is left of the others"
    );
    // What is hopelessly too big is not even thrown away.
    begin(&mut world, id, &["alice"]);
    let answer = data(&mut world, id, &b"x".repeat(2_000));
    assert_eq!(codes(&answer), ["552 5.3.4"]);
    assert!(world.is_closed(id));
    let id = greeted(&mut world);
    let answer = world.say(id, b"BDAT 18446744073709551615\r\n");
    assert_eq!(codes(&answer), ["552 5.3.4"]);
    assert!(world.is_closed(id));
    assert_eq!(world.post.taken(), 0);
}

/// A session of everything, in pieces of these lengths.
fn session(pieces: &[usize]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let config = Config {
        chunk_bytes: 16,
        receive_bytes_max: 96,
        lmtp_line_bytes_max: 64,
        ..Config::default()
    };
    let mut world = World::with_config(1, config);
    let id = world.connect_lmtp();
    let octets = [
        b"LHLO a\r\nMAIL FROM:<ada@example.net>\r\nRCPT TO:<alice>\r\nRCPT TO:<bob>\r\nDATA\r\n",
        STUFFED,
        b"WHAT\r\nMAIL FROM:<ada@example.net>\r\nRCPT TO:<alice>\r\nBDAT 8\r\na: b\r\n\r\nBDAT 2 LAST\r\n\r\n",
        b"MAIL FROM:<>\r\nRCPT TO:<alice>\r\nDATA\r\nbare\n.\r\n\r\n.\r\n",
        &b"x".repeat(100),
        b"\r\nMAIL FROM:<>\r\nRCPT TO:<nobody>\r\nDATA\r\nQUIT\r\n",
    ]
    .concat();
    let mut said = world.read_octets(id);
    let mut rest = &octets[..];
    let mut lengths = pieces.iter().cycle();
    while !rest.is_empty() {
        let len = lengths
            .next()
            .copied()
            .unwrap_or(rest.len())
            .min(rest.len());
        said.extend(world.say_octets(id, &rest[..len]));
        rest = &rest[len..];
    }
    // Messages of one millisecond are in no order.
    let mut kept = messages(&mut world);
    kept.sort();
    (said, kept)
}

#[test]
fn a_whole_session() {
    let (said, kept) = session(&[10_000]);
    let said = String::from_utf8(said).unwrap();
    let expected = [
        "220 local",
        "250-local",
        "250-PIPEL",
        "250-SIZE ",
        "250-8BITM",
        "250-SMTPU",
        "250-ENHAN",
        "250 CHUNK",
        "250 2.1.0",
        "250 2.1.5",
        "250 2.1.5",
        "354 End t",
        "250 2.0.0",
        "250 2.0.0",
        "500 5.5.1",
        "250 2.1.0",
        "250 2.1.5",
        "250 2.0.0",
        "250 2.0.0",
        "250 2.1.0",
        "250 2.1.5",
        "354 End t",
        "554 5.6.0",
        "500 5.5.2",
        "250 2.1.0",
        "550 5.1.1",
        "503 5.5.1",
        "221 2.0.0",
    ];
    assert_eq!(codes(&said), expected);
    assert_eq!(
        kept,
        [
            with_head("alice", MAIL),
            with_head("alice", b"a: b\r\n\r\n\r\n")
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn however_it_is_cut(pieces in prop::collection::vec(1_usize..40, 1..12)) {
        prop_assert_eq!(session(&pieces), session(&[10_000]));
    }
}
