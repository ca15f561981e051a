//! What a mail server, or who claims to be one, may send, cut anywhere, while storage fails
//! as it likes.
//!
//! Input: an octet of choices, one of when storage fails, the lengths of the pieces, then
//! what is sent.

use super::source::{Source, pieces};
use super::talk::talk;
use super::world::World;
use restante_core::config::Config;
use restante_core::storage::{StorageError, StorageRequest, StorageResponse};

const GREETED: u8 = 1;
const RECIPIENTS: u8 = 2;
const SMALL_LIMITS: u8 = 4;
const READS_SLOWLY: u8 = 8;
const STORAGE_FAILS: u8 = 16;
const ENDS: u8 = 32;
const NO_ROOM: u8 = 64;

/// Octets beyond `transmit_bytes_max` that the answers to one command may have.
const ANSWERS_BYTES: usize = 16 * 1024;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choices = source.byte();
    let failures = source.byte();
    let pattern = source.byte();
    let pattern = source.take(usize::from(pattern % 8));
    let octets = source.rest();
    let is = |choice| choices & choice != 0;

    let mut world = World::with_config(1, config(is(SMALL_LIMITS)));
    world.turns_max = 100_000 + 100 * octets.len() as u64;
    if is(NO_ROOM) {
        world.post.room = 1;
    }
    let client = world.connect_lmtp();
    let mut said = world.read_octets(client);
    if is(GREETED) {
        said.extend(world.say_octets(client, b"LHLO a\r\n"));
    }
    if is(RECIPIENTS) {
        let begin = b"MAIL FROM:<>\r\nRCPT TO:<alice>\r\nRCPT TO:<bob>\r\n";
        said.extend(world.say_octets(client, begin));
    }
    if is(STORAGE_FAILS) {
        fail(&mut world, failures);
    }
    let pieces = pieces(octets, pattern);
    let slowly = is(READS_SLOWLY);
    let heard = talk(&mut world, client, &pieces, slowly, ANSWERS_BYTES, |_| {});
    said.extend(heard);
    let open = !world.is_closed(client);
    if open && is(ENDS) {
        world.end_input(client);
        said.extend(world.read_octets(client));
    }
    world.wait_s(10_000);
    said.extend(world.read_octets(client));
    assert!(world.is_closed(client), "nobody is waited for for ever");
    assert_eq!(world.post.taken(), 0, "the room is free again");
    world.store.liar = None;
    check(&mut world, &said);
}

fn config(small: bool) -> Config {
    if !small {
        return Config::default();
    }
    Config {
        message_bytes_max: 200,
        skip_bytes_max: 300,
        receive_bytes_max: 64,
        transmit_bytes_max: 128,
        chunk_bytes: 16,
        header_bytes_max: 64,
        mime_parts_max: 4,
        mime_depth_max: 3,
        lmtp_line_bytes_max: 80,
        lmtp_path_bytes_max: 30,
        lmtp_recipients_max: 3,
        lmtp_bad_commands_max: 5,
        ..Config::default()
    }
}

/// From now on every so many-th answer of storage is an error.
fn fail(world: &mut World, pattern: u8) {
    let (every, kind) = (u32::from(pattern >> 2) % 16 + 1, pattern % 4);
    let mut count = 0;
    world.store.liar = Some(Box::new(move |_: &StorageRequest, honest| {
        count += 1;
        if count % every != 0 {
            return honest;
        }
        StorageResponse::Failed(match kind {
            0 => StorageError::Full,
            1 => StorageError::Refused("no".to_owned()),
            2 => StorageError::NotFound,
            _ => StorageError::Unavailable("gone".to_owned()),
        })
    }));
}

/// Every line must be an answer, and whatever alice got can be read.
fn check(world: &mut World, said: &[u8]) {
    let said = String::from_utf8(said.to_vec()).expect("answers are ASCII");
    // A client that does not read is left in the middle of a line.
    let whole = &said[..said.rfind('\n').map_or(0, |at| at + 1)];
    for line in whole.split_inclusive('\n') {
        let text = line.strip_suffix("\r\n").expect("CR LF ends a line");
        let (code, rest) = text.split_at_checked(3).expect("an answer has a code");
        assert!(code.bytes().all(|it| it.is_ascii_digit()), "{text}");
        assert!(rest.starts_with([' ', '-']), "{text}");
        assert!(!rest.contains(['\r', '\0']), "{text}");
        let enhanced = rest
            .get(1..3)
            .is_some_and(|it| it.starts_with(&code[..1]) && it.ends_with('.'));
        // RFC 2034 §3: neither the greeting nor what LHLO is answered has one.
        let greeting = code == "220" || code == "354" || (code == "250" && !enhanced);
        assert!(enhanced || greeting, "{text}");
    }
    let alice = world.log_in();
    let answer = world.say(alice, b"s EXAMINE INBOX\r\n");
    assert!(answer.contains("s OK"), "{answer}");
    if !answer.contains("* 0 EXISTS") {
        let answer = world.say(alice, b"f FETCH 1:* (RFC822.SIZE ENVELOPE BODY.PEEK[])\r\n");
        assert!(answer.contains("f OK"), "{answer}");
        let heads = answer.matches("Return-Path: <").count();
        assert!(heads >= answer.matches(" FETCH (").count(), "{answer}");
    }
    let damaged = |event: &&restante_core::boundary::Event| {
        matches!(event, restante_core::boundary::Event::Damaged { .. })
    };
    assert_eq!(world.events.iter().find(damaged), None);
}
