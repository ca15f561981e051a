//! FETCH with the pure machines: what comes of a message, and what storage is asked for it.

mod world;

use core::cell::Cell;
use restante_core::boundary::Event;
use restante_core::config::Config;
use restante_core::mime::Part;
use restante_core::random::{Random, Seed};
use restante_core::seal::{
    CONTENT_TRAILER_BYTES, ContentKind, ItemKind, Places, SUMMARY_BYTES_MAX, open_trailer,
};
use restante_core::storage::{ObjectKey, StorageRequest, StorageResponse};
use restante_core::summary::Summary;
use std::rc::Rc;
use world::{MAIL, World, append, noise};

#[test]
fn a_message_comes_back_as_it_went_in() {
    let mut world = World::new(1);
    let alice = world.log_in();
    let answer = append(&mut world, alice, MAIL);
    assert!(answer.starts_with("p OK [APPENDUID "), "{answer}");
    let answer = world.say(alice, b"s SELECT INBOX\r\n");
    assert!(answer.contains("* 1 EXISTS\r\n* 1 RECENT\r\n"), "{answer}");
    assert!(answer.contains("* OK [UNSEEN 1]"), "{answer}");
    assert!(
        answer.ends_with("s OK [READ-WRITE] Selected\r\n"),
        "{answer}"
    );
    let answer = world.say(alice, b"f FETCH 1 (UID RFC822.SIZE BODY[])\r\n");
    let expected = format!(
        "* 1 FETCH (UID 1 RFC822.SIZE {0} BODY[] {{{0}}}\r\n{MAIL} FLAGS (\\Seen \\Recent))\r\nf OK Fetched\r\n",
        MAIL.len()
    );
    assert_eq!(answer, expected);
}

#[test]
fn fields_beyond_what_the_summary_keeps_of_a_header_are_read_from_the_body() {
    let config = Config {
        header_bytes_max: 1_000,
        ..Config::default()
    };
    let mut world = World::with_config(13, config);
    let alice = world.log_in();
    let filler = "X-Filler: ".to_owned() + &"words ".repeat(15) + "\r\n";
    // One of them is cut where the summary ends.
    let header = format!(
        "To: ada\r\n{}Subject: late\r\n more\r\nCc: eve\r\n\r\n",
        filler.repeat(40)
    );
    let nested = format!("Content-Type: message/rfc822\r\n\r\n{header}");
    append(&mut world, alice, &format!("{header}Body: no\r\n"));
    append(&mut world, alice, &format!("{nested}Body: no\r\n"));
    world.say(alice, b"s SELECT INBOX\r\n");
    let late = "Subject: late\r\n more\r\n";
    for (message, section) in [(1, "HEADER"), (2, "1.HEADER")] {
        for (fields, expected) in [
            ("FIELDS (SUBJECT X-None)", format!("{late}\r\n")),
            ("FIELDS (CC TO)", "To: ada\r\nCc: eve\r\n\r\n".to_owned()),
            ("FIELDS.NOT (X-FILLER TO)", format!("{late}Cc: eve\r\n\r\n")),
            // No more of them than a summary keeps of a header, and those are whole.
            (
                "FIELDS (X-FILLER)",
                filler.repeat(1_000 / filler.len()) + "\r\n",
            ),
            ("FIELDS (TO SUBJECT)<2.9>", ": ada\r\nSu".to_owned()),
        ] {
            let (fields, partial) = fields
                .split_once('<')
                .map_or((fields, String::new()), |(fields, partial)| {
                    (fields, format!("<{partial}"))
                });
            let item = format!("BODY.PEEK[{section}.{fields}]{partial}");
            let answer = world.say(alice, format!("f FETCH {message} {item}\r\n").as_bytes());
            let literal = format!(" {{{}}}\r\n{expected})\r\nf OK", expected.len());
            assert!(answer.contains(&literal), "{item}: {answer}");
        }
    }
}

#[test]
fn envelope_structure_and_headers_never_read_a_body() {
    let mut world = World::new(2);
    let alice = world.log_in();
    append(&mut world, alice, MAIL);
    world.say(alice, b"s SELECT INBOX\r\n");
    let before = world.store.count("OpenObject");
    let answer = world.say(
        alice,
        b"f FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)] RFC822.HEADER)\r\n",
    );
    assert!(
        answer.contains("ENVELOPE (\"Mon, 7 Feb 1994 21:52:25 -0800\""),
        "{answer}"
    );
    assert!(
        answer.contains("(\"Ada\" NIL \"ada\" \"example.org\")"),
        "{answer}"
    );
    assert!(
        answer.contains("(\"text\" \"plain\" (\"charset\" \"utf-8\")"),
        "{answer}"
    );
    assert!(answer.contains("f OK"), "{answer}");
    assert_eq!(world.store.count("OpenObject"), before);
}

#[test]
fn partials_are_cut_exactly() {
    let mut world = World::new(3);
    let alice = world.log_in();
    let body: String = (0..40_000).map(|n| format!("{n:06}\r\n")).collect();
    let mail = format!("Subject: long\r\n\r\n{body}");
    append(&mut world, alice, &mail);
    world.say(alice, b"s EXAMINE INBOX\r\n");
    for (offset, len) in [
        (0, 10),
        (15, 8),
        (65_535, 2),
        (65_536, 65_536),
        (200_001, 131_072),
        (400_000, 9),
    ] {
        let command = format!("f FETCH 1 BODY[]<{offset}.{len}>\r\n");
        let answer = world.say(alice, command.as_bytes());
        let end = (offset + len).min(mail.len());
        let piece = &mail[offset.min(mail.len())..end.max(offset.min(mail.len()))];
        let expected = format!(
            "* 1 FETCH (BODY[]<{offset}> {{{}}}\r\n{piece})\r\nf OK Fetched\r\n",
            piece.len()
        );
        assert!(
            answer == expected,
            "at {offset}: {:.80} instead of {expected:.80}",
            answer
        );
    }
    let answer = world.say(alice, b"f FETCH 1 BODY[TEXT]<8.6>\r\n");
    assert!(answer.contains("BODY[TEXT]<8> {6}\r\n000001)"), "{answer}");
}

#[test]
fn a_damaged_message_is_left_out_and_the_rest_comes() {
    let mut world = World::new(18);
    let alice = world.log_in();
    for number in 1..=3 {
        append(
            &mut world,
            alice,
            &MAIL.replace("lighthouse", &format!("lighthouse{number}")),
        );
    }
    let contents = contents(&world);
    assert_eq!(contents.len(), 3);
    let mut damaged = world.store.objects[&contents[1]].to_vec();
    damaged[200] ^= 1;
    world
        .store
        .objects
        .insert(contents[1].clone(), damaged.into());
    world.say(alice, b"s SELECT INBOX\r\n");
    let answer = world.say(alice, b"f FETCH 1:3 BODY.PEEK[]\r\n");
    assert!(
        answer.contains("lighthouse1") && answer.contains("lighthouse3"),
        "{answer}"
    );
    assert!(!answer.contains("* 2 FETCH"), "{answer}");
    assert!(answer.contains("f NO [CORRUPTION]"), "{answer}");
    let damage = world
        .events
        .iter()
        .any(|event| matches!(event, Event::Damaged { place, .. } if *place == contents[1].0));
    assert!(damage, "{:?}", world.events);
    // Two objects exchanged: both are authentic, neither is what it is said to be.
    let (one, three) = (
        world.store.objects[&contents[0]].clone(),
        world.store.objects[&contents[2]].clone(),
    );
    world.store.objects.insert(contents[0].clone(), three);
    world.store.objects.insert(contents[2].clone(), one);
    let answer = world.say(alice, b"f FETCH 1:3 BODY.PEEK[]\r\n");
    assert!(!answer.contains("lighthouse"), "{answer}");
    assert!(answer.contains("f NO [CORRUPTION]"), "{answer}");
}

/// The objects of messages.
fn contents(world: &World) -> Vec<ObjectKey> {
    let objects = world.store.objects.keys();
    objects
        .filter(|key| key.0.contains("/c/"))
        .cloned()
        .collect()
}

/// From now on the test fails with the request to storage that comes after the next `max`.
fn limit_requests(world: &mut World, max: u32) {
    let left = Rc::new(Cell::new(max));
    world.store.liar = Some(Box::new(move |request, honest: StorageResponse| {
        let rest = left.get().checked_sub(1);
        left.set(rest.unwrap_or_else(|| panic!("too many requests, the last one is {request:?}")));
        honest
    }));
}

/// A message of many small chunks.
fn chunked(world: &mut World) -> String {
    let body: String = (0..40).map(|n| format!("{:04x}\r\n", n * 7919)).collect();
    let mail = format!("Subject: long\r\n\r\n{body}");
    let alice = world.log_in();
    append(world, alice, &mail);
    world.drop_client(alice);
    mail
}

fn small_chunks() -> Config {
    Config {
        chunk_bytes: 64,
        ..Config::default()
    }
}

/// What a client is answered that selects INBOX and says `command`, and whether it is disconnected.
fn ask_once(world: &mut World, command: &str) -> (String, bool) {
    const REQUESTS_MAX: u32 = 40;
    let client = world.log_in();
    world.say(client, b"s EXAMINE INBOX\r\n");
    limit_requests(world, REQUESTS_MAX);
    let answer = world.say(client, format!("f {command}\r\n").as_bytes());
    world.store.liar = None;
    let closed = world.is_closed(client);
    world.drop_client(client);
    (answer, closed)
}

#[test]
fn an_object_that_was_cut_anywhere_is_damaged_and_is_not_asked_for_for_ever() {
    let mut world = World::with_config(21, small_chunks());
    let mail = chunked(&mut world);
    let key = contents(&world)[0].clone();
    let whole = world.store.objects[&key].clone();
    let (mut read, mut refused, mut broken) = (0, 0, 0);
    for len in 0..whole.len() {
        let cut = whole.slice(..len);
        world.store.objects.insert(key.clone(), cut);
        for (command, octets) in [
            ("FETCH 1 BODY.PEEK[]", &*mail),
            ("FETCH 1 BODY.PEEK[TEXT]", &mail[17..]),
            ("FETCH 1 BODY.PEEK[]<100.10>", &mail[100..110]),
            ("SEARCH BODY nowhere", ""),
        ] {
            let (answer, closed) = ask_once(&mut world, command);
            if closed {
                broken += 1;
            } else if answer.contains("f OK") {
                read += 1;
                assert!(answer.contains(octets), "{len}, {command}: {answer}");
            } else {
                refused += 1;
                assert!(
                    answer.contains("f NO [CORRUPTION]"),
                    "{len}, {command}: {answer}"
                );
            }
        }
    }
    // Before its first chunk, in the middle, and behind what was wanted.
    let each = [refused, broken, read];
    assert!(each.iter().all(|count| *count > 100), "{each:?}");
}

/// Who delivers a message writes its layout.
#[test]
fn a_layout_that_says_that_chunks_are_shorter_is_damage_and_no_endless_reading() {
    let mut world = World::with_config(22, small_chunks());
    chunked(&mut world);
    let summaries = Places::new(world.keys.account()).summaries();
    let items = &world.store.items;
    let key = items.keys().find(|key| key.partition == summaries);
    let key = key.expect("the summary is an item").clone();
    let sealed = &items[&key];
    let plain = world
        .keys
        .open_summary_item(&key, ContentKind::Message, sealed)
        .expect("nobody damaged it");
    let mut summary = Summary::decode(&plain).expect("nobody damaged it");
    let mut layout = summary.layout.to_vec();
    let chunk_bytes = layout.len() - 4;
    // The length of the last chunk but one, of three octets each.
    layout[chunk_bytes] -= 1;
    summary.layout = layout.into();
    let sealed = world.keys.seal_item(
        &key,
        ItemKind::Summary,
        &summary.encode(),
        &mut Random::new(Seed::new([1; 32])),
    );
    world.store.items.insert(key, sealed);
    for command in ["FETCH 1 BODY.PEEK[TEXT]", "SEARCH BODY nowhere"] {
        let (answer, closed) = ask_once(&mut world, command);
        assert!(closed || answer.contains("f NO [CORRUPTION]"), "{answer}");
    }
}

/// A number as logs have it.
fn leb128(mut number: u64) -> Vec<u8> {
    let mut octets = Vec::new();
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
    octets
}

/// Who delivers a message writes where its summary is.
#[test]
fn a_summary_that_is_said_to_be_longer_than_any_is_not_asked_for() {
    let mut world = World::new(24);
    let alice = world.log_in();
    append(&mut world, alice, MAIL);
    world.restart();
    let key = contents(&world)[0].clone();
    let places = Places::new(world.keys.account());
    let content = places
        .parse_object(&places.contents(), &key)
        .expect("it is a message's object");
    let object = &world.store.objects[&key];
    let trailer = &object[object.len() - CONTENT_TRAILER_BYTES..];
    let (kind, len) = (ContentKind::Message, object.len() as u64);
    let end = open_trailer(&world.keys, kind, content, object, trailer, len);
    let place = end.expect("nobody damaged it").summary;
    let start = leb128(place.offset);
    let honest = [&*start, &leb128(place.len.into())].concat();
    let lie = [&*start, &leb128(u32::MAX.into())].concat();
    let mut lies = 0;
    for (key, sealed) in &mut world.store.items {
        let Ok(plain) = world.keys.open_item(key, ItemKind::Operation, sealed) else {
            continue;
        };
        let Some(at) = plain.windows(honest.len()).position(|it| it == honest) else {
            continue;
        };
        let plain = [&plain[..at], &lie, &plain[at + honest.len()..]].concat();
        let mut random = Random::new(Seed::new([2; 32]));
        *sealed = (world.keys).seal_item(key, ItemKind::Operation, &plain, &mut random);
        lies += 1;
    }
    assert_eq!(lies, 1);
    let alice = world.log_in();
    let answer = world.say(alice, b"s SELECT INBOX\r\n");
    assert!(answer.contains("* 1 EXISTS"), "{answer}");
    world.store.liar = Some(Box::new(|request, honest| {
        if let StorageRequest::OpenObject { max, .. } = request {
            assert!((*max as usize) < SUMMARY_BYTES_MAX, "{request:?}");
        }
        honest
    }));
    for command in ["FETCH 1 BODYSTRUCTURE", "SEARCH SUBJECT lighthouse"] {
        let answer = world.say(alice, format!("f {command}\r\n").as_bytes());
        assert!(answer.contains("f NO [CORRUPTION]"), "{answer}");
    }
    // The message itself is there.
    let answer = world.say(alice, b"f FETCH 1 BODY[]\r\n");
    assert!(answer.contains(MAIL) && answer.contains("f OK"), "{answer}");
}

/// What is read ahead for `command` of a mailbox with `count` copies of `mail`, until the first of them
/// is read on or the client should read: objects and octets of them.
fn read_ahead(mail: &str, count: usize, command: &str) -> (usize, usize) {
    let config = Config {
        transmit_bytes_max: 16,
        ..Config::default()
    };
    let mut world = World::with_config(23, config);
    let alice = world.log_in();
    append(&mut world, alice, mail);
    world.say(alice, b"s SELECT INBOX\r\n");
    for _ in 1..count {
        world.say(alice, b"c COPY 1 INBOX\r\n");
    }
    world.set_window(alice, 0);
    let ahead = Rc::new(Cell::new((0, 0)));
    let counted = Rc::clone(&ahead);
    let mut read_on = false;
    world.store.liar = Some(Box::new(move |request, honest| {
        read_on |= matches!(request, StorageRequest::ReadChunk { .. });
        if let StorageResponse::Opened { chunk, .. } = &honest
            && !read_on
        {
            let (objects, octets) = counted.get();
            counted.set((objects + 1, octets + chunk.len()));
        }
        honest
    }));
    world.say(alice, format!("f {command}\r\n").as_bytes());
    ahead.get()
}

#[test]
fn what_is_read_ahead_is_counted_as_it_lies_in_memory() {
    let Config {
        prefetch_bytes_max,
        prefetch_objects_max,
        chunk_bytes,
        ..
    } = Config::default();
    // Small messages come as many at a time as objects may.
    let small = format!("Subject: small\r\n\r\n{}", noise(500));
    let (objects, _) = read_ahead(&small, 80, "FETCH 1:* BODY.PEEK[]");
    assert!(objects >= prefetch_objects_max, "{objects}");
    let (objects, _) = read_ahead(&small, 80, "FETCH 1:* (BODYSTRUCTURE BODY.PEEK[TEXT])");
    assert!(objects >= prefetch_objects_max, "{objects}");
    // Of an octet the chunk that it is in is read.
    let large = format!("Subject: large\r\n\r\n{}", noise(20_000));
    let (_, octets) = read_ahead(&large, 80, "FETCH 1:* BODY.PEEK[]<0.1>");
    assert!(octets <= prefetch_bytes_max + 2 * chunk_bytes, "{octets}");
    assert!(octets >= prefetch_bytes_max / 2, "{octets}");
    // A structure is larger than what it was made of.
    let text = noise(18_000);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let parts = lines
        .chunks(5)
        .map(|part| format!("--b\r\n\r\n{}", part.concat()));
    let parts: String = parts.collect();
    let many = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}");
    let objects_max = prefetch_bytes_max / (900 * size_of::<Part>()) + 2;
    for command in [
        "FETCH 1:* (BODYSTRUCTURE BODY.PEEK[TEXT])",
        "SEARCH BODY nowhere",
    ] {
        let (objects, _) = read_ahead(&many, 80, command);
        assert!(
            (2..=objects_max).contains(&objects),
            "{objects} of {command}"
        );
    }
}

#[test]
fn what_waits_to_be_sent_is_bounded_also_for_long_headers_and_structures() {
    // The last line of a command comes on top.
    const LAST_LINE_BYTES_MAX: usize = 1_024;
    let mut world = World::new(25);
    let alice = world.log_in();
    let header = format!("X-Noise: {}\r\n", "words ".repeat(10)).repeat(3_000);
    let part = format!("--b\r\nContent-Type: text/x; a={}\r\n\r\n", "x".repeat(400));
    let mail = format!(
        "{header}Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
        part.repeat(500)
    );
    append(&mut world, alice, &mail);
    world.say(alice, b"s EXAMINE INBOX\r\n");
    let max = world.config.transmit_bytes_max;
    for item in [
        "BODY[HEADER]",
        "BODY[HEADER.FIELDS (X-NOISE)]",
        "BODYSTRUCTURE",
    ] {
        let command = format!("f FETCH 1 {item}\r\n");
        let whole = world.say(alice, command.as_bytes());
        assert!(whole.len() > max && whole.contains("f OK"), "{whole:.100}");
        world.set_window(alice, 0);
        let mut piecewise = world.say(alice, command.as_bytes());
        while piecewise.len() < whole.len() {
            let held = world.held_for(alice);
            assert!(
                (1..=max + LAST_LINE_BYTES_MAX).contains(&held),
                "{held} for {item}"
            );
            world.set_window(alice, 10_000);
            piecewise += &world.read(alice);
        }
        assert_eq!(piecewise, whole);
        world.set_window(alice, usize::MAX);
    }
}

/// Which messages are read, by who looks at INBOX.
fn seen(world: &mut World) -> String {
    let client = world.log_in();
    world.say(client, b"s EXAMINE INBOX\r\n");
    let answer = world.say(client, b"q SEARCH SEEN\r\n");
    world.drop_client(client);
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn mail_that_was_never_sent_is_not_marked_as_read() {
    let mail = format!("Subject: large\r\n\r\n{}", noise(20_000));
    for (command, expected) in [
        ("f FETCH 1:* BODY[]\r\n", "* SEARCH"),
        ("f FETCH 1:* (BODY[] ENVELOPE)\r\n", "* SEARCH"),
        // What is told of the first one has to be true before.
        ("f FETCH 1:* (FLAGS BODY[])\r\n", "* SEARCH 1"),
    ] {
        let mut world = World::new(26);
        let alice = world.log_in();
        append(&mut world, alice, &mail);
        world.say(alice, b"s SELECT INBOX\r\n");
        for _ in 1..10 {
            world.say(alice, b"c COPY 1 INBOX\r\n");
        }
        world.set_window(alice, 50_000);
        let answer = world.say(alice, command.as_bytes());
        assert_eq!(answer.len(), 50_000);
        world.drop_client(alice);
        assert_eq!(seen(&mut world), expected, "{command}");
    }
}

#[test]
fn mail_that_cannot_be_read_is_not_marked_as_read() {
    for (command, start) in [
        ("f FETCH 1:4 BODY[]\r\n", "BODY[]"),
        (
            "f FETCH 1:4 (FLAGS BODY[])\r\n",
            "FLAGS (\\Seen \\Recent) BODY[]",
        ),
    ] {
        let mut world = World::new(27);
        let alice = world.log_in();
        for _ in 1..=4 {
            append(&mut world, alice, MAIL);
        }
        let contents = contents(&world);
        for damaged in [1, 3] {
            let octets = world.store.objects[&contents[damaged]].slice(..200);
            world
                .store
                .objects
                .insert(contents[damaged].clone(), octets);
        }
        world.say(alice, b"s SELECT INBOX\r\n");
        let answer = world.say(alice, command.as_bytes());
        assert!(answer.contains("f NO [CORRUPTION]"), "{answer}");
        assert_eq!(answer.matches(MAIL).count(), 2, "{answer}");
        let came = |number: &usize| answer.contains(&format!("* {number} FETCH ({start}"));
        let came: Vec<String> = (1..=4).filter(came).map(|it| it.to_string()).collect();
        assert_eq!(came.len(), 2, "{answer}");
        assert_eq!(seen(&mut world), format!("* SEARCH {}", came.join(" ")));
    }
}

#[test]
fn that_mail_was_read_is_stored_for_many_messages_at_once_and_told_of_each() {
    let mut world = World::new(28);
    let alice = world.log_in();
    append(&mut world, alice, MAIL);
    world.say(alice, b"s SELECT INBOX\r\n");
    for _ in 1..100 {
        world.say(alice, b"c COPY 1 INBOX\r\n");
    }
    let before = world.store.count("InsertItems");
    let answer = world.say(alice, b"f FETCH 1:100 BODY[]\r\n");
    let commits = world.store.count("InsertItems") - before;
    assert!(commits <= 3, "{commits}");
    assert_eq!(answer.matches(MAIL).count(), 100);
    assert_eq!(answer.matches("FLAGS (\\Seen").count(), 100);
    let told = answer.rsplit("* 100 FETCH").next().unwrap_or_default();
    assert!(told.contains(MAIL), "the last one tells of itself: {told}");
    let answer = world.say(alice, b"f FETCH 1:100 BODY[]\r\n");
    assert!(!answer.contains("FLAGS"), "nothing changed");
}

/// ENVELOPE beside the whole message comes out of its first chunk; otherwise, and where the header is
/// longer than that, out of the summary. Nobody sees a difference but storage.
#[test]
fn an_envelope_is_the_same_beside_the_message_and_alone() {
    let long = format!(
        "From: Ada <ada@example.org>\r\nX-Long: {}\r\nSubject: late\r\n\r\nThe end.\r\n",
        "x ".repeat(100_000)
    );
    let mails = [
        "From: Ada <ada@example.org>\r\nSubject: =?utf-8?q?l=C3=A4ndlich?=\r\n\r\nThe lighthouse.\r\n",
        "Subject: none\r\n\r\n",
        "\r\nno header at all",
        "Subject: no end",
        "To: a@example.org\nSubject: bare\n\nlines\n",
        &long,
    ];
    let mut world = World::new(11);
    let alice = world.log_in();
    for mail in mails {
        let command = format!("p APPEND INBOX {{{}+}}\r\n{mail}\r\n", mail.len());
        let answer = world.say(alice, command.as_bytes());
        assert!(answer.contains("p OK"), "{answer}");
    }
    world.say(alice, b"s EXAMINE INBOX\r\n");
    let alone = world.say(alice, b"f FETCH 1:* ENVELOPE\r\n");
    let envelopes: Vec<&str> = alone.lines().filter(|it| it.starts_with('*')).collect();
    assert_eq!(envelopes.len(), mails.len(), "{alone}");
    for items in [
        "(ENVELOPE BODY.PEEK[])",
        "(BODY.PEEK[]<0.3> ENVELOPE)",
        "(ENVELOPE RFC822)",
    ] {
        for (number, (envelope, mail)) in (1..).zip(envelopes.iter().zip(mails)) {
            let before = world.store.count("ReadItems");
            let both = world.say(alice, format!("f FETCH {number} {items}\r\n").as_bytes());
            let reads = world.store.count("ReadItems") - before;
            let envelope = envelope.split_once('(').unwrap().1;
            let envelope = envelope.strip_suffix(')').unwrap();
            assert!(
                both.contains(envelope),
                "{items}: {both:.300} instead of {envelope}"
            );
            let whole = !items.contains("<0.3>");
            let octets = if whole {
                mail
            } else {
                &mail[..mail.len().min(3)]
            };
            assert!(both.contains(octets), "{items}: {both:.300}");
            assert!(both.contains("f OK"), "{both:.300}");
            // No blank line in the first chunk, or not the whole message: the summary is read.
            let found =
                mail.contains("\n\r\n") || mail.contains("\n\n") || mail.starts_with("\r\n");
            assert_eq!(
                reads == 0,
                whole && found && mail.len() < 65_536,
                "{items} of {mail:.60}"
            );
        }
    }
}

/// As docs/clients.md says.
#[test]
fn search_and_envelope_know_a_header_as_far_as_its_summary_does() {
    let config = Config {
        header_bytes_max: 1_000,
        ..Config::default()
    };
    let mut world = World::with_config(37, config);
    let alice = world.log_in();
    let filler = "X-Filler: ".to_owned() + &"words ".repeat(15) + "\r\n";
    let header = format!("To: ada\r\n{}Subject: late\r\n", filler.repeat(40));
    append(&mut world, alice, &format!("{header}\r\nBody\r\n"));
    world.say(alice, b"s SELECT INBOX\r\n");
    for (command, expected) in [
        (
            "FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
            "Subject: late\r\n",
        ),
        ("FETCH 1 ENVELOPE", "(ENVELOPE (NIL NIL "),
        ("SEARCH TO ada", "* SEARCH 1\r\n"),
        ("SEARCH SUBJECT late", "* SEARCH\r\n"),
        ("SEARCH NOT SUBJECT late", "* SEARCH 1\r\n"),
        ("SEARCH TEXT late", "* SEARCH\r\n"),
    ] {
        let answer = world.say(alice, format!("f {command}\r\n").as_bytes());
        assert!(answer.contains(expected), "{command}: {answer}");
    }
}
